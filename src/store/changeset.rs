//! What a commit is to change, as it is prepared.

use std::collections::BTreeSet;

use super::bucket::Bucket;
use super::change::ChangeKind;
use super::millis::Millis;
use super::ordered::OrderedKeys;
use super::owner::Owner;
use super::table::Slot;
use super::{BucketId, Key, Row};

/// What a commit is to change; prepared, checked, and impossible to refuse. To
/// be committed to the store it was prepared from, before anything else is.
#[derive(Clone, Debug, Default)]
pub struct ChangeSet {
    pub(super) definitions: Vec<DefinitionOp>,
    pub(super) cleared: Vec<BucketId>,
    pub(super) ops: Vec<Op>,
    pub(super) counters: Vec<(BucketId, u64)>,
}

#[derive(Clone, Debug)]
pub(super) enum DefinitionOp {
    /// Gets its id when it is committed.
    Define(Box<Bucket>),
    Update(Box<Rebuilt>),
    Drop(BucketId),
}

/// The new state of one key.
#[derive(Clone, Debug)]
pub(super) struct Op {
    pub bucket: BucketId,
    pub kind: ChangeKind,
    pub key: Key,
    /// Where the record stood, and which it was, if that is known.
    pub place: Option<(Slot, Row)>,
    /// `None`: the record goes.
    pub row: Option<Row>,
    /// See [`Change::written`].
    pub written: u32,
    /// See [`Change::by_reference`].
    pub by_reference: bool,
    /// Whose a record is that was inserted, where records have owners.
    pub owner: Option<Owner>,
}

impl ChangeSet {
    /// Whether a commit of it would change nothing at all.
    pub fn is_empty(&self) -> bool {
        let ChangeSet { definitions, cleared, ops, counters } = self;
        definitions.is_empty() && cleared.is_empty() && ops.is_empty() && counters.is_empty()
    }

    /// Records that it changes.
    pub fn changes(&self) -> usize {
        self.ops.len()
    }

    /// Adds what was prepared independently, to become part of the same commit.
    /// The two must not touch the same records or the same counter.
    pub fn append(&mut self, other: ChangeSet) {
        self.definitions.extend(other.definitions);
        self.cleared.extend(other.cleared);
        self.ops.extend(other.ops);
        self.counters.extend(other.counters);
    }
}

/// What a bucket with a changed definition is made of; its records stay.
#[derive(Clone, Debug)]
pub(super) struct Rebuilt {
    pub bucket: BucketId,
    /// A bucket without records; its indexes are those of the real one.
    pub parts: Box<Bucket>,
    pub expiry: Option<BTreeSet<(Millis, Slot)>>,
    pub ages: Option<BTreeSet<(Millis, u64, Slot)>>,
    pub ordered: Option<OrderedKeys>,
}
