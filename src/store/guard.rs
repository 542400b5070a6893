//! What else takes part in the writes to a bucket: values that follow from
//! others, and conditions that records must fulfil.
//!
//! The store knows only when each of them is asked, not what they are.

use super::{Change, Layout, Row};
use crate::budget::Budget;
use crate::protocol::OpError;

/// What a write does to a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteKind {
    Insert,
    Update,
    Delete,
}

/// The net effect of a draft on one record.
#[derive(Clone, Copy, Debug)]
pub struct Effect<'a> {
    pub kind: WriteKind,
    pub old: Option<&'a Row>,
    pub new: Option<&'a Row>,
    /// The places of both in the table; those of new records come last.
    pub old_place: u64,
    pub new_place: u64,
    /// False: it counts, but nobody asked for it (an eviction).
    pub is_checked: bool,
}

/// When and how much.
#[derive(Clone, Copy, Debug)]
pub struct WriteCx<'a> {
    /// Unix time in milliseconds.
    pub now: f64,
    pub budget: &'a Budget,
}

/// See the module's description. Nothing but [`Guard::follow`] and
/// [`Guard::cleared`] may change what a later call answers.
pub trait Guard: Send + Sync + std::fmt::Debug {
    /// Whether clients cannot write a field, because its value is computed.
    fn is_computed(&self, field: &str) -> bool;

    /// The record with its computed values. `old`: as it was before an update.
    fn compute(&self, layout: &Layout, row: Row, old: Option<&Row>, cx: WriteCx<'_>) -> Row;

    /// Whether deletes have to be asked for.
    fn checks_deletes(&self) -> bool;

    /// # Errors
    /// Why the record cannot be written.
    fn check(&self, kind: WriteKind, row: &Row, cx: WriteCx<'_>) -> Result<(), OpError>;

    /// Whether the final state of a draft has to be checked.
    fn checks_groups(&self) -> bool;

    /// # Errors
    /// Why a draft that does this cannot be committed.
    fn check_groups(&self, effects: &[Effect<'_>], cx: WriteCx<'_>) -> Result<(), OpError>;

    /// A record of the bucket was changed by a commit.
    fn follow(&self, change: &Change);

    /// The bucket was emptied by a commit.
    fn cleared(&self);
}
