//! Queries whose views are dear to keep up to date.
//!
//! What the views of one query cost for one commit is counted. A query that cost
//! too much is *costly*: its views do not follow commits any more but *lag*, and
//! are brought to the newest state once in a while, some at a time. So a write
//! costs what a write costs, whoever is watching. The mark goes when no update
//! has cost that much for a minute.

use super::entry::Costly;
use super::ids::{QueryId, ViewId};
use super::live::Happened;
use super::views::Views;
use crate::budget::Budget;
use crate::protocol::OpError;
use crate::store::Store;

/// How long nothing may have cost too much before a mark goes.
const UNMARK_AFTER_MS: u64 = 60_000;

impl Views {
    /// Costly queries.
    pub fn costly_queries(&self) -> usize {
        self.costly.len()
    }

    /// Whether a view stays behind with this commit.
    pub(super) fn put_off(&mut self, id: ViewId) -> bool {
        if self.costly.is_empty() {
            return false;
        }
        let before = self.number.saturating_sub(1);
        let Some(entry) = self.views.get_mut(id.index()) else { return false };
        let query = self.queries.get_mut(&entry.query);
        let Some(costly) = query.and_then(|query| query.costly.as_mut()) else { return false };
        if !std::mem::replace(&mut entry.lagging, true) {
            entry.shows = before;
            costly.lagging.push_back(id);
        }
        true
    }

    /// A view is about to follow: remembers where the count of its query was.
    pub(super) fn begin_upkeep(&mut self, id: ViewId) {
        let Some(query_id) = self.entry(id).map(|entry| entry.query) else { return };
        let Some(query) = self.queries.get_mut(&query_id) else { return };
        if query.counted.1 != self.commits {
            query.counted = (query.upkeep.spent(), self.commits);
            self.worked.push(query_id);
        }
    }

    /// All views have followed a commit: marks the queries that cost too much.
    pub(super) fn count_upkeep(&mut self) {
        let most = self.limits.view_steps;
        for id in self.worked.drain(..) {
            let Some(query) = self.queries.get_mut(&id) else { continue };
            let cost = query.upkeep.spent().saturating_sub(query.counted.0);
            if most == 0 || cost <= most || query.costly.is_some() {
                continue;
            }
            log::info!("query {:?} is costly: {cost} steps for one commit", query.name);
            query.costly = Some(Costly {
                last_expensive: self.now,
                next: self.now.saturating_add(self.limits.costly_view_ms),
                spent: 0,
                lagging: std::collections::VecDeque::new(),
            });
            self.costly.insert(id);
            self.costly_marks += 1;
        }
    }

    /// When something is to be done for costly queries, in monotonic
    /// milliseconds.
    pub fn next_catch_up(&self) -> Option<u64> {
        let due = |id: &QueryId| {
            let costly = self.queries.get(id)?.costly.as_ref()?;
            match costly.lagging.is_empty() {
                true => Some(costly.last_expensive.saturating_add(UNMARK_AFTER_MS)),
                false => Some(costly.next),
            }
        };
        self.costly.iter().filter_map(due).min()
    }

    /// Brings lagging views up to date whose time has come, until that has cost
    /// what one query may cost for one commit; the rest stays due.
    pub fn catch_up(&mut self, store: &Store, now: u64) {
        self.now = now;
        let mut left = self.limits.view_steps;
        for id in self.costly.clone() {
            let spent = self.catch_up_query(store, id, left);
            left = left.saturating_sub(spent);
            if left == 0 {
                return;
            }
        }
    }

    fn catch_up_query(&mut self, store: &Store, id: QueryId, most: u64) -> u64 {
        let now = self.now;
        let is_due = |views: &Self| {
            let costly = views.queries.get(&id)?.costly.as_ref()?;
            (costly.next <= now || costly.lagging.is_empty()).then_some(())
        };
        if is_due(self).is_none() {
            return 0;
        }
        let spent_by = |views: &Self| views.queries.get(&id).map_or(0, |it| it.upkeep.spent());
        let before = spent_by(self);
        while spent_by(self).saturating_sub(before) < most.max(1) {
            let query = self.queries.get_mut(&id);
            let Some(costly) = query.and_then(|query| query.costly.as_mut()) else { break };
            let Some(view) = costly.lagging.pop_front() else { break };
            self.refresh(store, view, id);
        }
        let spent = spent_by(self).saturating_sub(before);
        let (view_steps, wait) = (self.limits.view_steps, self.limits.costly_view_ms);
        let Some(query) = self.queries.get_mut(&id) else { return spent };
        let Some(costly) = &mut query.costly else { return spent };
        costly.spent = costly.spent.saturating_add(spent);
        if costly.spent > view_steps {
            costly.last_expensive = now;
        }
        if !costly.lagging.is_empty() {
            return spent;
        }
        costly.spent = 0;
        costly.next = now.saturating_add(wait);
        if now >= costly.last_expensive.saturating_add(UNMARK_AFTER_MS) {
            query.costly = None;
            self.costly.remove(&id);
        }
        spent
    }

    /// Makes a view that lags show the newest state. One that is gone, or whose
    /// place another has taken, has nothing to catch up with.
    fn refresh(&mut self, store: &Store, id: ViewId, query: QueryId) {
        let Some(entry) = self.views.get_mut(id.index()) else { return };
        if entry.query != query || !std::mem::replace(&mut entry.lagging, false) {
            return;
        }
        // Told as if a commit of its own had made it.
        self.commits += 1;
        self.maintain(store, id, Happened::CatchUp, &[]);
        self.worked.clear();
    }

    /// Somebody joins a view: it shows the newest state from the first result
    /// on, and the request pays for that.
    pub(super) fn catch_up_for(
        &mut self,
        store: &Store,
        id: ViewId,
        budget: &Budget,
    ) -> Result<(), OpError> {
        let Some(query_id) = self.entry(id).filter(|it| it.lagging).map(|it| it.query) else {
            return Ok(());
        };
        let upkeep = self.queries.get(&query_id).map(|query| query.upkeep.clone());
        let Some(upkeep) = upkeep else { return Ok(()) };
        let before = upkeep.spent();
        self.refresh(store, id, query_id);
        Ok(budget.spend(upkeep.spent().saturating_sub(before))?)
    }
}
