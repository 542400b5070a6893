//! Commits on their way from the store to those who are told.

use crate::store::Commit;

/// See the module's description.
#[derive(Debug, Default)]
pub(super) struct Commits {
    /// Set while the store is being changed: a panic then is fatal.
    pub in_commit: bool,
    /// Those whose effects on rules have not been published yet.
    pub unpublished: Vec<Commit>,
}
