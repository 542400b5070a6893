//! From the overlay to the net effect.

use super::overlay::{Entry, Overlay};
use super::{Draft, Mode};
use crate::json::{Json, Object};
use crate::protocol::{ErrorCode, OpError};
use crate::store::change::ChangeKind;
use crate::store::changeset::Op;
use crate::store::{Bucket, BucketId, ChangeSet, Key, Store};

impl Draft {
    /// Ends the draft: what is left to check is checked, and the net effect
    /// comes out. After an error only [`Draft::abandon`] is of use.
    ///
    /// # Errors
    /// `CONFLICT` where a transaction inserted an existing key or deleted what
    /// must stay, `ALREADY_EXISTS` for unique values, `VALIDATION_ERROR` and
    /// `BUCKET_NOT_DEFINED` for references that lead nowhere.
    pub fn finish(&mut self, store: &Store) -> Result<ChangeSet, OpError> {
        if self.mode == Mode::Transaction {
            self.check_transaction(store)?;
        }
        self.check_owned(store)?;
        self.check_groups(store)?;
        self.budget.check()?;
        let set = self.net_effect();
        store.check_memory(&set)?;
        Ok(set)
    }

    fn net_effect(&mut self) -> ChangeSet {
        let mut set = ChangeSet::default();
        if let [overlay] = self.touched.as_mut_slice()
            && let Some(op) = overlay.take_only()
        {
            // Most commits are one write.
            set.counters.extend(overlay.counted());
            set.ops.push(op);
            self.touched.clear();
            self.places = None;
            return set;
        }
        let mut ops = Vec::new();
        self.places = None;
        for (bucket_at, overlay) in std::mem::take(&mut self.touched).into_iter().enumerate() {
            set.counters.extend(overlay.counted());
            if overlay.cleared {
                set.cleared.push(overlay.bucket);
            }
            ops.extend(overlay.into_ops().map(|(at, op)| (bucket_at, at, op)));
        }
        match self.mode {
            Mode::Single | Mode::Steps => ops.sort_by_key(|(_, at, _)| *at),
            Mode::Transaction => {
                ops.sort_by_key(|(bucket, at, op)| (*bucket, rank(op), *at));
            }
        }
        set.ops = ops.into_iter().map(|(_, _, op)| op).collect();
        set
    }

    fn check_transaction(&mut self, store: &Store) -> Result<(), OpError> {
        for overlay in &self.touched {
            let Some(bucket) = store.bucket(overlay.bucket) else { continue };
            let mut entries: Vec<&Entry> = overlay.entries().iter().collect();
            self.budget.spend_sort(entries.len())?;
            entries.sort_by_key(|entry| (entry.inserted.is_none(), entry.inserted, entry.at));
            self.check_unique_finally(bucket, overlay, &entries, |entry| {
                check_conflict(bucket, overlay, entry)
            })?;
        }
        for overlay in &self.touched {
            let Some(bucket) = store.bucket(overlay.bucket) else { continue };
            for entry in overlay.entries() {
                self.budget.spend(1)?;
                let written = self.check_written(store, bucket, entry);
                written.map_err(|error| entry.located(error))?;
            }
        }
        let deleted = |overlay: &Overlay| -> Vec<(BucketId, Key)> {
            let gone = overlay.entries().iter().filter(|entry| entry.asked && entry.row.is_none());
            gone.map(|entry| (overlay.bucket, entry.key.clone())).collect()
        };
        let roots: Vec<_> = self.touched.iter().flat_map(deleted).collect();
        if !roots.is_empty() {
            self.follow_references(store, roots)?;
        }
        let touched: Vec<BucketId> = self.touched.iter().map(|overlay| overlay.bucket).collect();
        for id in touched {
            let inserted =
                self.overlay(id).is_some_and(|overlay| overlay.inserted().next().is_some());
            if let (true, Some(bucket)) = (inserted, store.bucket(id)) {
                self.make_room(bucket, 0);
            }
        }
        Ok(())
    }
}

/// The order of a transaction's changes within a bucket.
fn rank(op: &Op) -> u8 {
    match op.kind {
        ChangeKind::Inserted | ChangeKind::Replaced => 0,
        ChangeKind::Updated => 1,
        ChangeKind::Deleted => 2,
    }
}

/// An insert must not meet a record; and what was read for writing must still
/// be what is stored (it is, unless something was committed since).
fn check_conflict(bucket: &Bucket, overlay: &Overlay, entry: &Entry) -> Result<(), OpError> {
    let conflict = |reason: String| {
        let details: Object = [("bucket", Json::from(&*bucket.name)), ("key", entry.key.to_json())]
            .into_iter()
            .collect();
        Err(OpError::new(
            ErrorCode::Conflict,
            format!(
                "Transaction conflict in bucket \"{}\" for key \"{}\": {reason}",
                bucket.name, entry.key
            ),
        )
        .with_details(Json::Object(details)))
    };
    if overlay.cleared {
        return Ok(());
    }
    let exists = || format!("Record with key \"{}\" already exists", entry.key);
    if entry.row.is_some() && entry.inserted.is_some() && entry.over && !entry.replaces {
        return conflict(exists());
    }
    let stored = bucket.find(&entry.key).and_then(|slot| bucket.table.row(slot));
    match (&entry.base, stored) {
        (None, Some(_)) if entry.row.is_some() => conflict(exists()),
        (Some(_), None) if entry.row.is_some() => {
            conflict(format!("Record with key \"{}\" not found", entry.key))
        }
        (Some(base), Some(now)) if !base.row.is(now) => {
            let version = |row: &crate::store::Row| {
                row.field(&bucket.meta.version)
                    .map_or("undefined", |version| version.text())
                    .to_owned()
            };
            conflict(format!(
                "Version mismatch: expected {}, got {}",
                version(&base.row),
                version(now)
            ))
        }
        _ => Ok(()),
    }
}
