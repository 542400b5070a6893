//! Preparing writes: an overlay over the store in which everything that can
//! fail happens.
//!
//! A draft reads the store and never changes it; it keeps the state that each
//! key it touched is to have. What comes out is the net effect per key, as a
//! [`ChangeSet`]. A draft that is dropped has done nothing.

mod computed;
mod edit;
mod evict;
mod finish;
mod many;
mod overlay;
mod owned;
mod references;
mod unique;
mod write;

pub use many::{Inserted, OnConflict};
pub(super) use unique::unique_violation;

use std::sync::Arc;

use hashbrown::HashMap;

use super::rows::{BoundRules, Decided, Sight};
use super::table::Slot;
use super::{Bucket, BucketId, ChangeSet, Filter, Key, Lookup, Row, Store, Writer};
use crate::budget::Budget;
use crate::protocol::{ErrorCode, OpError};
use overlay::Overlay;

/// From this many buckets on they are found through a table.
const INDEX_FROM: usize = 8;

/// How a draft treats what it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// One plain operation: everything is checked at once, an insert over an
    /// existing key replaces the record, and a failed insert still uses up a
    /// number of the counter.
    Single,
    /// A transaction: several operations that see each other; uniqueness and
    /// references are checked against the final state, an insert over an
    /// existing key is a conflict, and a failure leaves nothing behind.
    Transaction,
    /// Plain operations one after the other, each checked as by itself on the
    /// state that those before it have left, in one commit. A failure leaves
    /// nothing behind.
    Steps,
}

impl Mode {
    /// Whether each operation is checked as if it were the only one.
    fn checks_at_once(self) -> bool {
        self != Mode::Transaction
    }
}

/// Writes that are being prepared. Every call must get the same store, and
/// nothing may be committed to that store in between.
#[derive(Clone, Debug)]
pub struct Draft {
    mode: Mode,
    /// Unix time in milliseconds.
    now: f64,
    /// In the order in which buckets were first written to.
    touched: Vec<Overlay>,
    /// Where a bucket is among them; not there while they are few.
    places: Option<HashMap<BucketId, usize>>,
    /// What everything is taken from. A draft that has used it up finishes
    /// with an error.
    budget: Budget,
    /// Numbers the writes of all buckets in their order.
    writes: u32,
    /// Whose row rules apply; `None`: nobody's.
    sight: Option<Sight>,
    /// Who owns what it inserts, where records have owners.
    writer: Option<Writer>,
}

impl Draft {
    /// `now`: Unix time in milliseconds.
    pub fn new(mode: Mode, now: u64, budget: &Budget) -> Self {
        Draft {
            mode,
            now: now as f64,
            touched: Vec::new(),
            places: None,
            budget: budget.clone(),
            writes: 0,
            sight: None,
            writer: None,
        }
    }

    /// From now on it sees and writes with these rights. What follows from its
    /// writes (references, room that is made) is the store's own doing.
    pub fn set_sight(&mut self, sight: Option<Sight>) {
        self.sight = sight;
    }

    /// The row rules that apply to a bucket.
    fn rules(&self, bucket: &Bucket) -> Option<Arc<BoundRules>> {
        self.sight.as_ref().and_then(|sight| sight.of(bucket))
    }

    /// Whether a record is there for whoever writes.
    fn shows(&self, bucket: &Bucket, row: &Row) -> bool {
        self.rules(bucket).is_none_or(|rules| rules.read.allows(row, &self.budget))
    }

    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Whether anything was written to a bucket.
    pub fn has_touched(&self, bucket: BucketId) -> bool {
        self.overlay(bucket).is_some()
    }

    fn overlay(&self, bucket: BucketId) -> Option<&Overlay> {
        self.touched_at(bucket).and_then(|at| self.touched.get(at))
    }

    fn touched_at(&self, bucket: BucketId) -> Option<usize> {
        match &self.places {
            Some(places) => places.get(&bucket).copied(),
            None => self.touched.iter().position(|overlay| overlay.bucket == bucket),
        }
    }

    fn touch(&mut self, bucket: &Bucket) -> usize {
        let at = self.touched.len();
        self.touched.push(Overlay::new(bucket.id, bucket.counter));
        match &mut self.places {
            Some(places) => {
                places.insert(bucket.id, at);
            }
            None if self.touched.len() >= INDEX_FROM => {
                let buckets = self.touched.iter().enumerate();
                self.places = Some(buckets.map(|(at, overlay)| (overlay.bucket, at)).collect());
            }
            None => {}
        }
        at
    }

    /// The overlay of a bucket; the first call for a bucket makes it.
    fn overlay_mut(&mut self, bucket: &Bucket) -> &mut Overlay {
        let at = self.touched_at(bucket.id).unwrap_or_else(|| self.touch(bucket));
        // The position was found or made just now.
        #[allow(clippy::indexing_slicing)]
        &mut self.touched[at]
    }

    /// The record with a key, as this draft sees it.
    pub fn get(&self, store: &Store, bucket: BucketId, key: &Lookup) -> Option<Row> {
        self.budget.look().ok()?;
        let bucket = store.bucket(bucket)?;
        self.row(bucket, key.key()?).filter(|row| self.shows(bucket, row)).cloned()
    }

    /// The records that match, as this draft sees them: the store's in table
    /// order with what was written in place, then what was inserted. At most
    /// `limit`. Fewer where the budget ends, after which nothing is good any
    /// more.
    pub fn find(
        &self,
        store: &Store,
        bucket: BucketId,
        filter: Option<&Filter>,
        limit: usize,
    ) -> Vec<Row> {
        let Some(bucket) = store.bucket(bucket) else { return Vec::new() };
        let narrowed = self.narrowed(bucket, filter);
        let filter = narrowed.as_ref().or(filter);
        let matching = |row: &&Row| filter.is_none_or(|filter| filter.matches(row, &self.budget));
        let Some(overlay) = self.overlay(bucket.id) else {
            let rows = bucket.in_table_order(filter, &self.budget);
            return rows.map(|(_, row)| row.clone()).take(limit).collect();
        };
        // What was written is looked through, and put in order, each time.
        let entries = overlay.entries().len();
        if self.budget.spend(entries as u64).and(self.budget.spend_sort(entries)).is_err() {
            return Vec::new();
        }
        let inserted = overlay.inserted().filter(matching);
        if overlay.cleared {
            return inserted.take(limit).cloned().collect();
        }
        // Rows that were written to stand where they stood; whether they match
        // is decided by what they are now.
        let mut found: Vec<(u64, &Row)> = bucket
            .in_table_order(filter, &self.budget)
            .filter(|(_, row)| overlay.entry(&bucket.key_of(row)).is_none())
            .collect();
        found.extend(overlay.in_place().filter(|(_, row)| matching(row)));
        if self.budget.spend_sort(found.len()).is_err() {
            return Vec::new();
        }
        found.sort_by_key(|(order, _)| *order);
        let base = found.into_iter().map(|(_, row)| row);
        base.chain(inserted).take(limit).cloned().collect()
    }

    /// How many records match, as this draft sees them.
    pub fn count(&self, store: &Store, bucket: BucketId, filter: &Filter) -> usize {
        match store.bucket(bucket) {
            Some(bucket) if self.overlay(bucket.id).is_none() => {
                let narrowed = self.narrowed(bucket, Some(filter));
                bucket.select(narrowed.as_ref().or(Some(filter)), &self.budget).count()
            }
            _ => self.find(store, bucket, Some(filter), usize::MAX).len(),
        }
    }

    /// How many records there are, as this draft sees them.
    pub fn len(&self, store: &Store, bucket: BucketId) -> usize {
        let Some(bucket) = store.bucket(bucket) else { return 0 };
        if self.rules(bucket).is_some_and(|rules| rules.read.filter().is_some()) {
            return self.count(store, bucket.id, &Filter::default());
        }
        match self.overlay(bucket.id) {
            Some(overlay) => {
                // Used up, the draft has an error in the end.
                let _ = self.budget.spend(overlay.entries().len() as u64);
                overlay.len(bucket, bucket.count_over(&self.budget))
            }
            None => bucket.visible_len(&self.budget),
        }
    }

    /// The filter with what may be seen at all; `None`: it is as it was.
    fn narrowed(&self, bucket: &Bucket, filter: Option<&Filter>) -> Option<Filter> {
        let rules = self.rules(bucket)?;
        rules.read.filter()?;
        Some(rules.read.narrow(filter.cloned().unwrap_or_default()))
    }

    fn row<'a>(&'a self, bucket: &'a Bucket, key: &Key) -> Option<&'a Row> {
        self.place(bucket, key).map(|(row, _)| row)
    }

    /// The record with a key and, if it is as it is in the store, its slot there.
    fn place<'a>(&'a self, bucket: &'a Bucket, key: &Key) -> Option<(&'a Row, Option<Slot>)> {
        match self.overlay(bucket.id).map(|overlay| (overlay, overlay.entry(key))) {
            Some((_, Some(entry))) => entry.row.as_ref().map(|row| (row, None)),
            Some((overlay, None)) if overlay.cleared => None,
            Some(_) | None => {
                let slot = bucket.find(key)?;
                let row = bucket.table.row(slot).filter(|row| !bucket.is_over(row))?;
                Some((row, Some(slot)))
            }
        }
    }

    /// Empties a bucket; its counter goes on. References are not looked at.
    ///
    /// # Errors
    /// `FORBIDDEN` where a row rule refuses one of the records.
    pub fn clear(&mut self, store: &Store, bucket: BucketId) -> Result<(), OpError> {
        let bucket = known(store, bucket)?;
        self.require_clear(store, bucket)?;
        self.require_all_own(store, bucket)?;
        self.check_clear(store, bucket)?;
        self.overlay_mut(bucket).clear();
        Ok(())
    }

    /// Every record that is there must be seen and may be deleted.
    fn require_clear(&self, store: &Store, bucket: &Bucket) -> Result<(), OpError> {
        let Some(rules) = self.rules(bucket) else { return Ok(()) };
        let limits = [&rules.read, &rules.delete];
        if limits.iter().all(|rule| rule.filter().is_none()) {
            return Ok(());
        }
        // What was written before, the same principal has written.
        let open = Draft { sight: None, ..self.clone() };
        let allowed = |row: &Row| limits.iter().all(|rule| rule.allows(row, &self.budget));
        let refused = match self.overlay(bucket.id) {
            None => bucket.visible().any(|(_, row)| self.budget.look().is_err() || !allowed(row)),
            Some(_) => !open.find(store, bucket.id, None, usize::MAX).iter().all(allowed),
        };
        self.budget.check()?;
        match refused {
            false => Ok(()),
            true => Err(OpError::new(
                ErrorCode::Forbidden,
                format!(
                    "Row rule \"{}\" of bucket \"{}\" refuses to clear it",
                    Decided::Delete.as_str(),
                    bucket.name
                ),
            )),
        }
    }

    /// What is left of a draft that failed: the counters that a plain insert
    /// uses up whether or not it succeeds.
    pub fn abandon(self) -> ChangeSet {
        let mut set = ChangeSet::default();
        if self.mode == Mode::Single {
            set.counters = self.touched.iter().filter_map(Overlay::attempted).collect();
        }
        set
    }
}

fn known(store: &Store, bucket: BucketId) -> Result<&Bucket, OpError> {
    // Ids come from the store itself, in the same turn.
    store.bucket(bucket).ok_or_else(OpError::internal)
}
