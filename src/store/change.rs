//! What a commit changed, as views, rules and the log see it.

use super::{Key, Row};

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

/// The net change of one key in one commit.
#[derive(Clone, Debug)]
pub struct Change {
    pub bucket: BucketId,
    pub key: Key,
    /// The record before; `None`: it was inserted.
    pub old: Option<Row>,
    /// The record after; `None`: it was deleted. A deleted key that was inserted
    /// again in the same commit is one change from its old to its new row, with
    /// a new place in the table order.
    pub new: Option<Row>,
    /// Sequence numbers in table order, ascending; unique within the bucket and
    /// never reused. Meaningless on the side that is `None`.
    pub old_order: u64,
    pub new_order: u64,
    /// One per indexed field, in the order of the bucket's indexes.
    pub candidates: Vec<Candidates>,
}
