//! Whose records are, in buckets with a `lifetime`: each has one owner, and goes
//! when that ends.
//!
//! The store knows owners by number only; when one ends is the engine's to say.

use std::collections::{BTreeMap, BTreeSet};

use hashbrown::HashMap;

use super::change::ChangeKind;
use super::commit::{ChangeSet, Op};
use super::table::Slot;
use super::{Bucket, BucketId, Store};

/// What an owner costs a record: its two entries here.
pub(super) const OWNER_BYTES: usize = 32;

/// Names one owner for the life of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Owner(u64);

impl Owner {
    /// The connection with this number, which has no session.
    pub const fn connection(number: u64) -> Owner {
        Owner(number << 1)
    }

    /// The client session with this number.
    pub const fn session(number: u64) -> Owner {
        Owner(number << 1 | 1)
    }
}

/// For whom a draft writes to buckets with a `lifetime`. Nobody, if none is given:
/// records cannot be inserted then, and all can be changed.
#[derive(Clone, Copy, Debug)]
pub struct Writer {
    /// Whose the records are that it inserts.
    pub owner: Owner,
    /// Whether it inserts any.
    pub inserts: bool,
    /// Whether it changes the records of others.
    pub any: bool,
    /// How many records the owner may have, all buckets together.
    pub most: usize,
}

/// Which record has which owner, both ways.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Owners {
    of: BTreeMap<(BucketId, Slot), Owner>,
    held: HashMap<Owner, BTreeSet<(BucketId, Slot)>>,
}

impl Owners {
    pub fn of(&self, bucket: BucketId, slot: Slot) -> Option<Owner> {
        self.of.get(&(bucket, slot)).copied()
    }

    /// A record has this owner from now on.
    pub fn give(&mut self, bucket: BucketId, slot: Slot, owner: Owner) {
        self.take(bucket, slot);
        self.of.insert((bucket, slot), owner);
        self.held.entry(owner).or_default().insert((bucket, slot));
    }

    /// A record is gone.
    pub fn take(&mut self, bucket: BucketId, slot: Slot) -> Option<Owner> {
        let owner = self.of.remove(&(bucket, slot))?;
        if let Some(held) = self.held.get_mut(&owner) {
            held.remove(&(bucket, slot));
            if held.is_empty() {
                self.held.remove(&owner);
            }
        }
        Some(owner)
    }

    /// All records of a bucket are gone.
    pub fn take_all(&mut self, bucket: BucketId) {
        let slots = self.of.range((bucket, Slot::MIN)..=(bucket, Slot::MAX));
        let slots: Vec<Slot> = slots.map(|((_, slot), _)| *slot).collect();
        for slot in slots {
            self.take(bucket, slot);
        }
    }

    fn held_in(&self, owner: Owner, bucket: BucketId) -> impl Iterator<Item = Slot> {
        let held = self.held.get(&owner).into_iter();
        held.flat_map(move |held| held.range((bucket, Slot::MIN)..=(bucket, Slot::MAX)))
            .map(|(_, slot)| *slot)
    }
}

impl Store {
    /// How many records somebody owns.
    pub fn owned(&self, owner: Owner) -> usize {
        self.owners.held.get(&owner).map_or(0, BTreeSet::len)
    }

    /// How many of them are in one bucket.
    pub(super) fn owned_in(&self, owner: Owner, bucket: BucketId) -> usize {
        self.owners.held_in(owner, bucket).count()
    }

    /// The buckets in which somebody owns records.
    pub fn buckets_of(&self, owner: Owner) -> Vec<&Bucket> {
        let held = self.owners.held.get(&owner).into_iter().flatten();
        let mut ids: Vec<BucketId> = held.map(|(bucket, _)| *bucket).collect();
        ids.dedup();
        ids.into_iter().filter_map(|id| self.bucket(id)).collect()
    }

    /// Owners of records, and their records.
    pub fn presence(&self) -> (usize, usize) {
        (self.owners.held.len(), self.owners.of.len())
    }

    /// The records of one owner are another's from now on.
    pub fn hand_over(&mut self, from: Owner, to: Owner) {
        for (bucket, slot) in self.owners.held.get(&from).cloned().unwrap_or_default() {
            self.owners.give(bucket, slot, to);
        }
    }

    /// Prepares that the records of owners in these buckets go. References to
    /// them are not looked at.
    pub fn prepare_leave(&self, leaving: impl IntoIterator<Item = (Owner, BucketId)>) -> ChangeSet {
        let mut set = ChangeSet::default();
        for (owner, id) in leaving {
            let Some(bucket) = self.bucket(id) else { continue };
            set.ops.extend(self.owners.held_in(owner, id).filter_map(|slot| {
                let row = bucket.table.row(slot)?;
                Some(Op {
                    bucket: id,
                    kind: ChangeKind::Deleted,
                    key: bucket.key_of(row),
                    place: Some((slot, row.clone())),
                    row: None,
                    written: 0,
                    owner: None,
                })
            }));
        }
        set
    }

    /// Who owns what is what the buckets have. For tests and fuzzing.
    pub(super) fn check_owners(&self) {
        for ((id, slot), owner) in &self.owners.of {
            let bucket = self.bucket(*id);
            assert!(
                bucket.is_some_and(|it| it.table.row(*slot).is_some()),
                "a record of {owner:?}"
            );
            let held = self.owners.held.get(owner);
            assert!(held.is_some_and(|held| held.contains(&(*id, *slot))), "what {owner:?} owns");
        }
        let held: usize = self.owners.held.values().map(BTreeSet::len).sum();
        assert_eq!(held, self.owners.of.len(), "records with an owner");
        for bucket in self.buckets().filter(|bucket| bucket.definition.lifetime.is_some()) {
            let owned = self.owners.of.range((bucket.id, Slot::MIN)..=(bucket.id, Slot::MAX));
            assert_eq!(owned.count(), bucket.len(), "{}: records without owner", bucket.name);
        }
    }
}
