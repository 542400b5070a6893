//! The seam for results that are defined and maintained elsewhere (the views of
//! logic): they share the subscriptions, the routing and the pushes of queries.

use std::sync::Arc;

use super::view::Body;
use crate::budget::Budget;
use crate::json::{Json, Object};
use crate::protocol::OpError;
use crate::store::{BucketId, Change, Filter, Store};

/// What makes such results.
pub(crate) trait Derivation: Send + Sync {
    /// Evaluates it once. `read`: what may be seen of its buckets, by name.
    /// `now`: Unix time in milliseconds.
    ///
    /// # Errors
    /// Why there is no result; the budget is asked by the caller.
    fn start(
        &self,
        store: &Store,
        read: Option<&Arc<Json>>,
        now: u64,
        budget: &Budget,
    ) -> Result<Box<dyn Derived>, OpError>;

    /// What it says, as it is stored.
    fn definition(&self) -> &Object;
}

/// A result that follows the data.
pub(crate) trait Derived: Send + std::fmt::Debug {
    /// The buckets that it reads, as far as they are there.
    fn buckets(&self) -> Vec<BucketId>;

    /// The same, each as often as it is read, with what a record must match to
    /// be read; `None`: every change of the bucket concerns it.
    fn sources(&self) -> Vec<(BucketId, Option<&Filter>)>;

    /// Whether it reads a bucket of that name, there or not.
    fn names(&self, bucket: &str) -> bool;

    /// Who pays from now on.
    fn charge(&mut self, budget: &Budget);

    /// Follows a commit; `again`: from scratch. Whether the result is another
    /// one.
    fn follow(&mut self, store: &Store, changes: &[&Change], again: bool, now: u64) -> bool;

    fn body(&self) -> Body;

    /// Whether it is the same as long as its records are.
    fn is_lasting(&self) -> bool;

    fn memory(&self) -> usize;

    /// Panics if the result is not what an evaluation gives. For tests and
    /// fuzzing.
    fn check(&self, store: &Store, now: u64);
}
