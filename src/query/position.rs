//! Which state a view shows, by the numbers of commits.

use super::ids::ViewId;
use super::live::Live;
use super::views::Views;
use crate::app::CommitSeq;
use crate::store::BucketId;

impl Views {
    /// The commit of the state that a view shows; `newest`: of all.
    pub fn shown(&self, id: ViewId, newest: CommitSeq) -> CommitSeq {
        match self.entry(id) {
            Some(entry) if entry.lagging => entry.shows,
            _ => newest,
        }
    }

    /// Whether a view has not followed the newest commits.
    pub fn is_lagging(&self, id: ViewId) -> bool {
        // Only those of costly queries do.
        !self.costly.is_empty() && self.entry(id).is_some_and(|entry| entry.lagging)
    }

    /// Whether this holds for each bucket that a view reads.
    pub fn reads_only(&self, id: ViewId, mut is_such: impl FnMut(BucketId) -> bool) -> bool {
        match self.get(id) {
            Some(Live::Declared(view)) => is_such(view.bucket()),
            Some(Live::Derived(view, _)) => view.buckets().into_iter().all(is_such),
            Some(Live::Program(view, _)) => {
                view.dependencies.all_buckets().into_iter().all(is_such)
            }
            None => false,
        }
    }
}
