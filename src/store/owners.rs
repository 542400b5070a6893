//! Whose records are, in buckets with a `lifetime`: each has one owner, and goes
//! when that ends.
//!
//! The store knows owners by number only; when one ends is the engine's to say.

use std::collections::{BTreeMap, BTreeSet};

use hashbrown::HashMap;

use super::change::ChangeKind;
use super::changeset::{ChangeSet, Op};
use super::owner::Owner;
use super::release::RELEASED_AT_ONCE;
use super::table::Slot;
use super::{Bucket, BucketId, Store};

/// What an owner costs a record: its two entries here.
pub(super) const OWNER_BYTES: usize = 32;

/// One life of a bucket's records: from its definition or the last time it was
/// cleared, to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Life(u64);

/// Which record has which owner, both ways.
///
/// A bucket that is cleared gets a new life in one step. What its owners had in
/// the life before counts for nothing from then on, and is taken from them a piece
/// a turn, because there may be as many entries as records.
#[derive(Clone, Debug, Default)]
pub(super) struct Owners {
    lives: BTreeMap<BucketId, Life>,
    of: HashMap<Life, BTreeMap<Slot, Owner>>,
    held: HashMap<Owner, BTreeMap<Life, (BucketId, BTreeSet<Slot>)>>,
    /// Lives that are over.
    past: Vec<Life>,
    newest: u64,
    records: usize,
}

impl Owners {
    fn owners_in(&self, bucket: BucketId) -> Option<&BTreeMap<Slot, Owner>> {
        self.of.get(self.lives.get(&bucket)?)
    }

    pub fn of(&self, bucket: BucketId, slot: Slot) -> Option<Owner> {
        self.owners_in(bucket)?.get(&slot).copied()
    }

    /// A record has this owner from now on.
    pub fn give(&mut self, bucket: BucketId, slot: Slot, owner: Owner) {
        self.take(bucket, slot);
        let newest = &mut self.newest;
        let life = *self.lives.entry(bucket).or_insert_with(|| {
            *newest += 1;
            Life(*newest)
        });
        self.of.entry(life).or_default().insert(slot, owner);
        let held = self.held.entry(owner).or_default();
        held.entry(life).or_insert_with(|| (bucket, BTreeSet::new())).1.insert(slot);
        self.records += 1;
    }

    /// A record is gone.
    pub fn take(&mut self, bucket: BucketId, slot: Slot) -> Option<Owner> {
        let life = *self.lives.get(&bucket)?;
        let owner = self.of.get_mut(&life)?.remove(&slot)?;
        self.records -= 1;
        self.take_from(owner, life, slot);
        Some(owner)
    }

    fn take_from(&mut self, owner: Owner, life: Life, slot: Slot) {
        let Some(lives) = self.held.get_mut(&owner) else { return };
        if let Some((_, slots)) = lives.get_mut(&life) {
            slots.remove(&slot);
            if slots.is_empty() {
                lives.remove(&life);
            }
        }
        if lives.is_empty() {
            self.held.remove(&owner);
        }
    }

    /// All records of a bucket are gone.
    pub fn take_all(&mut self, bucket: BucketId) {
        let Some(life) = self.lives.remove(&bucket) else { return };
        self.records -= self.of.get(&life).map_or(0, BTreeMap::len);
        self.past.push(life);
        // What is small goes at once.
        if self.of.get(&life).is_none_or(|of| of.len() <= RELEASED_AT_ONCE) {
            self.release();
        }
    }

    /// Whether there are lives that are over.
    pub fn has_past(&self) -> bool {
        !self.past.is_empty()
    }

    /// Forgets some of what was owned in lives that are over: as much as a turn
    /// may take.
    pub fn release(&mut self) {
        let mut left = RELEASED_AT_ONCE;
        while let Some(life) = self.past.last().copied() {
            if left == 0 {
                return;
            }
            let Some((slot, owner)) = self.of.get_mut(&life).and_then(BTreeMap::pop_first) else {
                self.of.remove(&life);
                self.past.pop();
                continue;
            };
            self.take_from(owner, life, slot);
            left -= 1;
        }
    }

    /// What somebody owns, by bucket.
    fn held_by(&self, owner: Owner) -> impl Iterator<Item = (BucketId, &BTreeSet<Slot>)> {
        let held = self.held.get(&owner).into_iter().flatten();
        held.filter(|(life, (bucket, _))| self.lives.get(bucket) == Some(life))
            .map(|(_, (bucket, slots))| (*bucket, slots))
    }

    fn held_in(&self, owner: Owner, bucket: BucketId) -> Option<&BTreeSet<Slot>> {
        let life = self.lives.get(&bucket)?;
        self.held.get(&owner)?.get(life).map(|(_, slots)| slots)
    }
}

impl Store {
    /// How many records somebody owns.
    pub fn owned(&self, owner: Owner) -> usize {
        self.owners.held_by(owner).map(|(_, slots)| slots.len()).sum()
    }

    /// How many of them are in one bucket.
    pub(super) fn owned_in(&self, owner: Owner, bucket: BucketId) -> usize {
        self.owners.held_in(owner, bucket).map_or(0, BTreeSet::len)
    }

    /// The buckets in which somebody owns records.
    pub fn buckets_of(&self, owner: Owner) -> Vec<&Bucket> {
        self.owners.held_by(owner).filter_map(|(id, _)| self.bucket(id)).collect()
    }

    /// Owners of records, and their records.
    pub fn presence(&self) -> (usize, usize) {
        (self.owners.held.len(), self.owners.records)
    }

    /// The records of one owner are another's from now on.
    pub fn hand_over(&mut self, from: Owner, to: Owner) {
        let held = self.owners.held_by(from);
        let held: Vec<_> = held.map(|(bucket, slots)| (bucket, slots.clone())).collect();
        for (bucket, slots) in held {
            slots.into_iter().for_each(|slot| self.owners.give(bucket, slot, to));
        }
    }

    /// Prepares that the records of owners in these buckets go. References to
    /// them are not looked at.
    pub fn prepare_leave(&self, leaving: impl IntoIterator<Item = (Owner, BucketId)>) -> ChangeSet {
        let mut set = ChangeSet::default();
        for (owner, id) in leaving {
            let Some(bucket) = self.bucket(id) else { continue };
            let held = self.owners.held_in(owner, id).into_iter().flatten();
            set.ops.extend(held.filter_map(|slot| {
                let row = bucket.table.row(*slot)?;
                Some(Op {
                    bucket: id,
                    kind: ChangeKind::Deleted,
                    key: bucket.key_of(row),
                    place: Some((*slot, row.clone())),
                    row: None,
                    written: 0,
                    by_reference: false,
                    owner: None,
                })
            }));
        }
        set
    }

    /// Who owns what is what the buckets have. For tests and fuzzing.
    pub(super) fn check_owners(&self) {
        let owners = &self.owners;
        let mut records = 0;
        for (id, life) in &owners.lives {
            for (slot, owner) in owners.of.get(life).into_iter().flatten() {
                let bucket = self.bucket(*id);
                let row = bucket.and_then(|bucket| bucket.table.row(*slot));
                assert!(row.is_some(), "a record of {owner:?}");
                let held = owners.held_in(*owner, *id);
                assert!(held.is_some_and(|held| held.contains(slot)), "what {owner:?} owns");
                records += 1;
            }
        }
        assert_eq!(records, owners.records, "records with an owner");
        let entries: usize = owners.of.values().map(BTreeMap::len).sum();
        let held = owners.held.values().flat_map(BTreeMap::values);
        assert_eq!(held.map(|(_, slots)| slots.len()).sum::<usize>(), entries, "both ways");
        for bucket in self.buckets().filter(|bucket| bucket.definition.lifetime.is_some()) {
            let owned = owners.owners_in(bucket.id).map_or(0, BTreeMap::len);
            assert_eq!(owned, bucket.len(), "{}: records without owner", bucket.name);
        }
    }
}
