//! Buckets, records and everything that changes them.
//!
//! Owns the data. Knows nothing of connections, sessions, subscriptions or
//! files. Reading needs `&Store`; writing goes in two steps: *prepare* does all
//! that can fail (validation, defaults, uniqueness, references) against an
//! overlay and yields a [`ChangeSet`]; [`Store::commit`] applies it and cannot
//! fail. Nothing else changes a bucket.

mod change;
mod key;
mod row;

pub use change::{BucketId, Candidates, Change};
pub use key::Key;
pub use row::{FieldRef, Layout, Row, RowBuilder};

/// What a commit is to change; prepared, checked, and impossible to refuse.
#[derive(Clone, Debug, Default)]
pub struct ChangeSet {}

impl ChangeSet {
    pub fn is_empty(&self) -> bool {
        true
    }
}

/// What a commit has changed.
#[derive(Clone, Debug, Default)]
pub struct Commit {
    pub changes: Vec<Change>,
}

/// All buckets.
#[derive(Debug, Default)]
pub struct Store {}

impl Store {
    /// Applies a change set.
    pub fn commit(&mut self, _set: ChangeSet) -> Commit {
        Commit::default()
    }

    /// The next records that are due to expire; `None` when there are none.
    pub fn prepare_expiry(&self, _now_wall: u64) -> Option<ChangeSet> {
        None
    }

    pub fn check_invariants(&self) {}
}
