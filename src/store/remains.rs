//! What is left of a bucket that was dropped or cleared.
//!
//! It has disappeared in one commit; its memory is given back a piece a turn,
//! because freeing millions of records takes as long as making them.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use super::bucket::Bucket;
use super::index::Index;
use super::millis::Millis;
use super::ordered::OrderedKeys;
use super::release::{RELEASED_AT_ONCE, release_first};
use super::search::SearchIndex;
use super::sorted::SortedIndex;
use super::table::{Slot, Table};

/// See the module's description.
#[derive(Clone, Debug)]
pub(super) struct Remains {
    bucket: Arc<str>,
    total: usize,
    table: Table,
    indexes: Vec<Index>,
    sorted: Vec<SortedIndex>,
    searched: Vec<SearchIndex>,
    ordered: Option<OrderedKeys>,
    expiry: Option<BTreeSet<(Millis, Slot)>>,
    ages: Option<BTreeSet<(Millis, u64, Slot)>>,
}

/// All of them, the oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Graveyard(VecDeque<Remains>);

/// Work that goes on over several turns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Background {
    pub kind: &'static str,
    pub bucket: Arc<str>,
    pub done: usize,
    pub total: usize,
}

impl Remains {
    /// Empties a bucket and keeps what was in it.
    pub fn of(bucket: &mut Bucket) -> Remains {
        let emptied = |index: &mut Index| {
            let empty = index.emptied();
            std::mem::replace(index, empty)
        };
        let mut indexes: Vec<Index> = bucket.indexes.iter_mut().map(emptied).collect();
        let references = bucket.references.iter_mut();
        indexes.extend(references.map(|outgoing| emptied(&mut outgoing.index)));
        let sorted = bucket.sorted.iter_mut().map(|index| {
            let empty = index.emptied();
            std::mem::replace(index, empty)
        });
        let sorted: Vec<SortedIndex> = sorted.collect();
        let searched: Vec<SearchIndex> = bucket
            .searched
            .iter_mut()
            .map(|index| {
                let empty = index.emptied();
                std::mem::replace(index, empty)
            })
            .collect();
        let table = Table::new(bucket.table.key_field().clone());
        Remains {
            bucket: Arc::clone(&bucket.name),
            total: bucket.len(),
            table: std::mem::replace(&mut bucket.table, table),
            indexes,
            sorted,
            searched,
            ordered: bucket.ordered.as_mut().map(std::mem::take),
            expiry: bucket.expiry.as_mut().map(std::mem::take),
            ages: bucket.ages.as_mut().map(std::mem::take),
        }
    }

    /// Gives back a piece; how many entries it had, `None` when nothing is left.
    fn release(&mut self) -> Option<usize> {
        self.table
            .release()
            .or_else(|| {
                let index = self.indexes.last_mut()?;
                let released = index.release();
                if released.is_none() {
                    self.indexes.pop();
                }
                Some(released.unwrap_or(0))
            })
            .or_else(|| {
                let released = self.sorted.last_mut()?.release();
                if released.is_none() {
                    self.sorted.pop();
                }
                Some(released.unwrap_or(0))
            })
            .or_else(|| {
                let released = self.searched.last_mut()?.release();
                if released.is_none() {
                    self.searched.pop();
                }
                Some(released.unwrap_or(0))
            })
            .or_else(|| self.ordered.as_mut().and_then(OrderedKeys::release))
            .or_else(|| self.expiry.as_mut().and_then(release_first))
            .or_else(|| self.ages.as_mut().and_then(release_first))
    }
}

impl Graveyard {
    pub fn bury(&mut self, remains: Remains) {
        // What is small goes at once.
        if remains.total > RELEASED_AT_ONCE {
            self.0.push_back(remains);
        }
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The work of one turn.
    pub fn release(&mut self) {
        let mut left = RELEASED_AT_ONCE;
        while let Some(oldest) = self.0.front_mut() {
            match oldest.release() {
                Some(released) => left = left.saturating_sub(released.max(1)),
                None => {
                    self.0.pop_front();
                }
            }
            if left == 0 {
                return;
            }
        }
    }

    pub fn background(&self) -> impl Iterator<Item = Background> {
        self.0.iter().map(|remains| Background {
            kind: "release",
            bucket: Arc::clone(&remains.bucket),
            done: remains.total.saturating_sub(remains.table.len()),
            total: remains.total,
        })
    }
}
