//! What a commit does to views: which it concerns, and letting those follow.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::ids::ViewId;
use super::live::{Happened, Live};
use super::news::{EndReason, News};
use super::views::Views;
use crate::store::{BucketId, Change, Commit, DefinitionChange, Store};

impl Views {
    /// Brings all views up to date with a commit. Comes directly after it: the
    /// store is as the commit left it.
    /// `now`: monotonic milliseconds.
    pub fn apply(&mut self, store: &Store, commit: &Commit, now: u64) {
        self.commits += 1;
        self.now = now;
        // Views over these were built anew from what the commit has left.
        let mut restarted = Vec::new();
        for definition in &commit.definitions {
            match definition {
                DefinitionChange::Defined(defined) => self.rebind(store, &defined.name),
                DefinitionChange::Dropped { bucket, name, .. } => {
                    self.rebind(store, name);
                    for id in self.over(*bucket) {
                        self.end(id, News::Ended(EndReason::BucketDropped));
                    }
                }
                DefinitionChange::Updated(defined) => restarted.push(defined.bucket),
            }
        }
        let emptied = commit.cleared.iter().filter(|(_, records)| *records > 0);
        restarted.extend(emptied.map(|(bucket, _)| *bucket));
        restarted.sort_unstable();
        restarted.dedup();
        for bucket in &restarted {
            for id in self.over(*bucket) {
                if let Some(entry) = self.entry_mut(id) {
                    entry.lagging = false;
                }
                self.maintain(store, id, Happened::StartOver, &[]);
                self.route_again(store, id);
            }
        }
        self.apply_changes(store, &commit.changes, &restarted);
        self.count_upkeep();
    }

    /// A bucket is there, or is not any more. What logic derives from one of
    /// that name goes on with it, or without.
    fn rebind(&mut self, store: &Store, name: &str) {
        for id in self.views_naming(name) {
            self.maintain(store, id, Happened::StartOver, &[]);
        }
    }

    /// Programs that read a bucket run again: a set over it is another one.
    pub fn rerun_programs(&mut self, store: &Store, bucket: BucketId) {
        for id in self.over(bucket) {
            let live = self.entry_mut(id).map(|entry| &entry.live);
            if matches!(live, Some(Live::Program(..))) {
                self.maintain(store, id, Happened::StartOver, &[]);
            }
        }
    }

    fn apply_changes(&mut self, store: &Store, changes: &[Change], restarted: &[BucketId]) {
        let mut touched = std::mem::take(&mut self.touched);
        let Views { routes, views, scratch, .. } = self;
        for (index, change) in changes.iter().enumerate() {
            let Some(routes) = routes.get(&change.bucket) else { continue };
            if restarted.contains(&change.bucket) {
                continue;
            }
            routes.visit(change, scratch, |id| {
                let Some(entry) = views.get_mut(id.index()) else { return };
                if entry.pending.is_empty() {
                    touched.push(id);
                }
                if entry.pending.last() != Some(&index) {
                    entry.pending.push(index);
                }
            });
        }
        for id in touched.drain(..) {
            let Some(entry) = self.views.get_mut(id.index()) else { continue };
            let mut pending = std::mem::take(&mut entry.pending);
            if !self.put_off(id) {
                let mine: Vec<&Change> =
                    pending.iter().filter_map(|index| changes.get(*index)).collect();
                self.maintain(store, id, Happened::Changes, &mine);
            }
            if let Some(entry) = self.views.get_mut(id.index()) {
                pending.clear();
                entry.pending = pending;
            }
        }
        self.touched = touched;
    }

    /// Lets a view follow. A panic ends the view, and nothing else.
    pub(super) fn maintain(
        &mut self,
        store: &Store,
        id: ViewId,
        happened: Happened,
        changes: &[&Change],
    ) {
        self.begin_upkeep(id);
        let began = self.watch();
        let (limits, wall) = (self.limits, self.wall);
        #[cfg(any(test, feature = "test-ops"))]
        let panics = self.panic_in.is_some() && self.query_of(id) == self.panic_in.as_deref();
        let Some(entry) = self.views.get_mut(id.index()) else { return };
        let live = &mut entry.live;
        let result = catch_unwind(AssertUnwindSafe(|| {
            #[cfg(any(test, feature = "test-ops"))]
            assert!(!panics, "a test wants this view to fail");
            live.follow(store, happened, changes, &limits, wall)
        }));
        match result {
            Ok(changed) => {
                // What a program read may be something else every time.
                let is_bound_anew = happened != Happened::Changes;
                match live {
                    Live::Program(..) => self.route_again(store, id),
                    Live::Derived(..) if is_bound_anew => self.route_again(store, id),
                    Live::Derived(..) | Live::Declared(_) => {}
                }
                if let Some(changed) = changed {
                    self.tell(id, News::Changed(changed));
                }
                self.account(store, id);
                let took = self.watch().saturating_sub(began);
                self.count_followed(id, took);
            }
            Err(_) => self.end(id, News::Failed),
        }
    }

    /// Files a view anew: the layout of its bucket has changed, or what it
    /// reads.
    fn route_again(&mut self, store: &Store, id: ViewId) {
        let Some(entry) = self.views.get_mut(id.index()) else { return };
        let now = entry.live.routes(store);
        if now == entry.routes {
            return;
        }
        let before = std::mem::take(&mut entry.routes);
        self.unroute(&before, id);
        let now = self.route(now, id);
        if let Some(entry) = self.views.get_mut(id.index()) {
            entry.routes = now;
        }
    }
}
