//! What a draft has done to one bucket.

use hashbrown::HashMap;

use super::many::of_record;
use crate::protocol::OpError;
use crate::store::change::ChangeKind;
use crate::store::changeset::Op;
use crate::store::table::Slot;
use crate::store::{Bucket, BucketId, Effect, Key, Owner, Row, WriteKind};

/// From this many keys on they are found through a table.
const INDEX_FROM: usize = 8;

#[derive(Clone, Debug)]
pub(super) struct Overlay {
    pub bucket: BucketId,
    pub cleared: bool,
    /// The counter as it will be.
    pub counter: u64,
    counter_before: u64,
    /// The counter after the last attempt to insert, without what an explicit
    /// number has raised it to: what a failure leaves behind.
    attempts: u64,
    entries: Vec<Entry>,
    index: Option<HashMap<Key, usize>>,
}

/// One key that was written to.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub key: Key,
    /// The record in the store.
    pub base: Option<Base>,
    /// The record as it will be; `None`: it goes.
    pub row: Option<Row>,
    /// The row comes from an insert: its number among the writes.
    pub inserted: Option<u32>,
    /// The insert met a record that had not been deleted before.
    pub over: bool,
    /// The number of the write that made it what it is: an insert, an update or
    /// a delete. 0: not written to yet.
    pub at: u32,
    /// Fields with references that were written, as positions among the
    /// bucket's references; the values must exist in the end.
    pub written: Vec<usize>,
    /// A delete that a client asked for, whose references have to be followed.
    pub asked: bool,
    /// It is as it is because of a reference to a record that goes.
    pub by_reference: bool,
    /// It goes to make room.
    pub evicted: bool,
    /// The insert was told to replace a record that is there.
    pub replaces: bool,
    /// Its place among the records of the operation that inserted it.
    pub label: Option<u32>,
    /// Whose it is, if it was inserted where records have owners.
    pub owner: Option<Owner>,
}

#[derive(Clone, Debug)]
pub(super) struct Base {
    pub row: Row,
    pub order: u64,
    pub slot: Slot,
}

impl Entry {
    /// An error that it is the reason of.
    pub fn located(&self, error: OpError) -> OpError {
        match self.label {
            Some(at) => of_record(at, error),
            None => error,
        }
    }

    /// The net effect; `None`: there is none.
    pub fn effect(&self) -> Option<Effect<'_>> {
        let old = self.base.as_ref().map(|base| &base.row);
        let kind = match (old, &self.row) {
            (None, None) => return None,
            (_, None) => WriteKind::Delete,
            (Some(_), Some(_)) if self.inserted.is_none() => WriteKind::Update,
            (_, Some(_)) => WriteKind::Insert,
        };
        let old_place = self.base.as_ref().map_or(0, |base| base.order);
        let stays = old.is_some() && (self.inserted.is_none() || self.over);
        // Behind everything that is there.
        let last = u64::MAX - u64::from(u32::MAX - self.at);
        Some(Effect {
            kind,
            old,
            new: self.row.as_ref(),
            old_place,
            new_place: if stays { old_place } else { last },
            is_checked: !self.evicted,
        })
    }
}

impl Overlay {
    pub fn new(bucket: BucketId, counter: u64) -> Self {
        Overlay {
            bucket,
            cleared: false,
            counter,
            counter_before: counter,
            attempts: counter,
            entries: Vec::new(),
            index: None,
        }
    }

    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The counter moves with every attempt to insert.
    pub fn attempt(&mut self) -> u64 {
        self.counter = self.counter.saturating_add(1);
        self.attempts = self.counter;
        self.counter
    }

    pub fn attempted(&self) -> Option<(BucketId, u64)> {
        (self.attempts != self.counter_before).then_some((self.bucket, self.attempts))
    }

    pub fn counted(&self) -> Option<(BucketId, u64)> {
        (self.counter != self.counter_before).then_some((self.bucket, self.counter))
    }

    fn position(&self, key: &Key) -> Option<usize> {
        match &self.index {
            Some(index) => index.get(key).copied(),
            None => self.entries.iter().position(|entry| entry.key == *key),
        }
    }

    pub fn entry(&self, key: &Key) -> Option<&Entry> {
        self.position(key).and_then(|at| self.entries.get(at))
    }

    /// The entry of a key; the first call for a key makes it, with the record
    /// of the store as it is: in this slot, if the caller knows it.
    pub fn entry_mut(&mut self, bucket: &Bucket, key: &Key, slot: Option<Slot>) -> &mut Entry {
        let at = self.position(key).unwrap_or_else(|| {
            let slot = if self.cleared { None } else { slot.or_else(|| bucket.find(key)) };
            let base = slot.and_then(|slot| {
                let row = bucket.table.row(slot)?.clone();
                Some(Base { row, order: bucket.table.order(slot), slot })
            });
            self.add(Entry {
                key: key.clone(),
                // A record that is over is written to as if it were deleted.
                row: base
                    .as_ref()
                    .map(|base| &base.row)
                    .filter(|row| !bucket.is_over(row))
                    .cloned(),
                base,
                inserted: None,
                over: false,
                at: 0,
                written: Vec::new(),
                asked: false,
                by_reference: false,
                evicted: false,
                replaces: false,
                label: None,
                owner: None,
            })
        });
        // The position was found or made just now.
        #[allow(clippy::indexing_slicing)]
        let entry = &mut self.entries[at];
        // Whoever writes to it now has a reason of his own.
        entry.by_reference = false;
        entry
    }

    fn add(&mut self, entry: Entry) -> usize {
        let at = self.entries.len();
        if let Some(index) = &mut self.index {
            index.insert(entry.key.clone(), at);
        }
        self.entries.push(entry);
        if self.index.is_none() && self.entries.len() >= INDEX_FROM {
            let keys = self.entries.iter().enumerate();
            self.index = Some(keys.map(|(at, entry)| (entry.key.clone(), at)).collect());
        }
        at
    }

    pub fn clear(&mut self) {
        self.cleared = true;
        self.entries.clear();
        self.index = None;
    }

    /// Rows that were inserted and are still there, in the order of inserts.
    pub fn inserted(&self) -> impl Iterator<Item = &Row> {
        let mut rows: Vec<(u32, &Row)> = self
            .entries
            .iter()
            .filter_map(|entry| Some((entry.inserted?, entry.row.as_ref()?)))
            .collect();
        rows.sort_by_key(|(at, _)| *at);
        rows.into_iter().map(|(_, row)| row)
    }

    /// Rows of the store that were updated, with their places.
    pub fn in_place(&self) -> impl Iterator<Item = (u64, &Row)> {
        self.entries.iter().filter_map(|entry| match (&entry.base, &entry.row, entry.inserted) {
            (Some(base), Some(row), None) => Some((base.order, row)),
            _ => None,
        })
    }

    /// How many records the bucket will have, if those that are over, so many,
    /// are none.
    pub fn len(&self, bucket: &Bucket, over: usize) -> usize {
        let before = if self.cleared { 0 } else { bucket.len().saturating_sub(over) };
        let base = |entry: &Entry| {
            entry.base.as_ref().is_some_and(|base| over == 0 || !bucket.is_over(&base.row))
        };
        self.entries.iter().fold(before, |len, entry| match (base(entry), &entry.row) {
            (true, None) => len.saturating_sub(1),
            (false, Some(_)) => len + 1,
            _ => len,
        })
    }

    /// The net effect, each with the number of its write.
    pub fn into_ops(self) -> impl Iterator<Item = (u32, Op)> {
        let bucket = self.bucket;
        self.entries.into_iter().filter_map(move |entry| Some((entry.at, entry.into_op(bucket)?)))
    }

    /// The net effect, if it is on one key and nothing else.
    pub fn take_only(&mut self) -> Option<Op> {
        if self.cleared || self.entries.len() != 1 {
            return None;
        }
        self.entries.pop()?.into_op(self.bucket)
    }
}

impl Entry {
    fn into_op(self, bucket: BucketId) -> Option<Op> {
        let kind = match (&self.base, &self.row) {
            (None, None) => return None,
            (Some(_), None) => ChangeKind::Deleted,
            (None, Some(_)) => ChangeKind::Inserted,
            (Some(_), Some(_)) if self.inserted.is_none() => ChangeKind::Updated,
            (Some(_), Some(_)) if self.over => ChangeKind::Inserted,
            (Some(_), Some(_)) => ChangeKind::Replaced,
        };
        let Entry { at, key, base, row, owner, by_reference, .. } = self;
        let place = base.map(|base| (base.slot, base.row));
        Some(Op { bucket, kind, key, place, row, written: at, by_reference, owner })
    }
}
