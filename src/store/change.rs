//! What a commit changed, as views, rules and the log see it.

use std::sync::Arc;

use super::{Key, Row};
use crate::json::Object;

/// Names one definition of a bucket for ever: a bucket that is dropped and
/// defined again gets another. Events are routed by it, never by text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BucketId(pub u32);

/// The place of a record among the candidates of an index value: the sequence
/// number with which it acquired the value. `None`: not in that index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Candidates {
    pub old: Option<u64>,
    pub new: Option<u64>,
}

/// Which events a change stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// A new record, or one that took the place of another with its key: `old`
    /// is there then, and the place in the table order is the same.
    Inserted,
    Updated,
    Deleted,
    /// Deleted and inserted again in the same commit: two events, `deleted` with
    /// the old record, then `inserted`. The record has a new place.
    Replaced,
}

/// The net change of one key in one commit.
#[derive(Clone, Debug)]
pub struct Change {
    pub bucket: BucketId,
    pub kind: ChangeKind,
    pub key: Key,
    /// The record before; `None`: it was not there.
    pub old: Option<Row>,
    /// The record after; `None`: it is gone.
    pub new: Option<Row>,
    /// Sequence numbers in table order, ascending; never reused. Meaningless on
    /// the side that is `None`.
    pub old_order: u64,
    pub new_order: u64,
    /// One per [`super::Bucket::indexes`], in that order.
    pub candidates: Vec<Candidates>,
    /// What has to be stored with the record, besides its text and its order,
    /// to restore the order of index candidates; see
    /// [`super::Loader::record`]. `None` for most.
    pub places: Option<Box<str>>,
    /// Which write of the commit made the record what it is: the order of a
    /// transaction's operations, where that of its changes is another one.
    pub written: u32,
    /// It follows from a reference to a record that was deleted.
    pub by_reference: bool,
}

/// A change of what buckets there are.
#[derive(Clone, Debug)]
pub enum DefinitionChange {
    Defined(Defined),
    /// Records, counter and table order stay.
    Updated(Defined),
    /// Records and everything else of the bucket go.
    Dropped {
        bucket: BucketId,
        name: Arc<str>,
        persistent: bool,
    },
}

/// A bucket as it has to be stored.
#[derive(Clone, Debug)]
pub struct Defined {
    pub bucket: BucketId,
    pub name: Arc<str>,
    /// False: neither the bucket nor its records are to be stored.
    pub persistent: bool,
    /// As supplied, with the updates since.
    pub definition: Arc<Object>,
    /// To be handed back to [`super::Loader::bucket`] as it is.
    pub state: Box<str>,
}

/// Everything one commit changed, in the order of application: definitions,
/// cleared buckets, changes.
#[derive(Clone, Debug, Default)]
pub struct Commit {
    pub definitions: Vec<DefinitionChange>,
    /// Emptied buckets, with the number of records that went. There is no
    /// [`Change`] for each of them.
    pub cleared: Vec<(BucketId, usize)>,
    pub changes: Vec<Change>,
    /// New values of `autoincrement` counters.
    pub counters: Vec<(BucketId, u64)>,
}

impl Commit {
    /// Whether nobody sees anything of it: the counter that an insert uses up
    /// also when it is refused.
    pub(crate) fn is_silent(&self) -> bool {
        self.definitions.is_empty() && self.cleared.is_empty() && self.changes.is_empty()
    }
}
