//! What a change of rights does to a subscription that stays allowed: from the
//! turn of the change on it shows what the new rights leave, and nothing of what
//! it was owed from before leaves.

use std::sync::Arc;

use super::{First, Mode, Owed, Sent};
use crate::app::ConnId;
use crate::budget::Budget;
use crate::engine::{Engine, Timer};
use crate::json::Json;
use crate::protocol::OpError;
use crate::query::ViewId;
use crate::store::BucketId;

/// Steps that moving one subscription takes by itself.
const FOLLOW_STEPS: u64 = 50;

impl Engine {
    /// Whether this turn has done little enough of it, and nobody waits.
    pub(in crate::engine) fn may_follow_now(&self) -> bool {
        let most = self.options.view_steps;
        self.rows.waiting.is_empty() && (most == 0 || self.budget.spent() < most)
    }

    /// One of many whose rights have changed: from now on nothing of the old
    /// views leaves, and the new ones are made in one of the next turns.
    pub(in crate::engine) fn follow_later(&mut self, conn: ConnId) {
        self.suspend_subscriptions(conn);
        if self.rows.waiting.is_empty() {
            self.wheel.insert(self.now.mono, Timer::FollowRights);
        }
        self.rows.waiting.push(conn);
    }

    /// Whether the views of a connection's rights are still to be made.
    pub(super) fn follows_later(&self, conn: ConnId) -> bool {
        self.rows.waiting.contains(conn)
    }

    /// The next of those who wait: as many as one turn may take, at least one.
    pub(in crate::engine) fn go_on_following(&mut self) {
        self.budget = Budget::unlimited();
        let most = self.options.view_steps;
        while let Some(conn) = self.rows.waiting.pop() {
            // Without a session it goes on when it has one again.
            if !self.conns.get(conn).is_none_or(|conn| conn.suspended) {
                self.reauthorise_subscriptions(conn);
            }
            if most > 0 && self.budget.spent() >= most {
                break;
            }
        }
        if !self.rows.waiting.is_empty() {
            self.wheel.insert(self.now.mono, Timer::FollowRights);
        }
        self.fresh_budget();
    }

    /// A request is about one of the connection's subscriptions, which may be
    /// waiting.
    pub(in crate::engine) fn follow_before_request(&mut self, conn: ConnId) {
        if self.rows.waiting.contains(conn) {
            self.reauthorise_subscriptions(conn);
        }
    }

    /// What a subscription may be shown now.
    fn read_of_subscription(
        &mut self,
        conn: ConnId,
        view: ViewId,
    ) -> Result<Option<Arc<Json>>, OpError> {
        if self.views.is_derived(view) {
            let name = self.views.query_of(view).map(str::to_owned).unwrap_or_default();
            let logic = self.logic.as_deref().and_then(|logic| logic.view(&name)).map(Arc::clone);
            return match logic {
                Some(view) => self.rights(conn).read_of_view(&view),
                None => Ok(None),
            };
        }
        match self.views.bucket_of(view).map(str::to_owned) {
            Some(bucket) => self.rights(conn).read_filter(&bucket),
            None => Ok(None),
        }
    }

    /// Moves a subscription to the view of its connection's rights, if that is
    /// another one.
    ///
    /// # Errors
    /// Why it cannot go on.
    pub(super) fn follow_rights(
        &mut self,
        conn: ConnId,
        number: u64,
        view: ViewId,
    ) -> Result<ViewId, OpError> {
        let read = self.read_of_subscription(conn, view)?;
        if self.views.shows_through(view, read.as_deref()) {
            return Ok(view);
        }
        let Some(subscription) = self.subscriptions.find(view, number) else { return Ok(view) };
        let (want, since) = (subscription.want(), subscription.since);
        let last = self.views.last_told(view, since);
        let (new, spent) = self.views.rejoin(&self.store, view, read, want)?;
        // Counted where there is no limit: how much one turn does.
        let _ = self.budget.spend(spent.saturating_add(FOLLOW_STEPS));
        self.views.settle(new);
        let since = self.views.news_number();
        let subscriptions = &mut self.subscriptions;
        subscriptions.transfer(conn, number, view, new);
        let last = last.map_or(Sent::Unknown, |body| subscriptions.digest(&body));
        if let Some(subscription) = subscriptions.find(new, number) {
            subscription.since = since;
            let is_delta = subscription.mode != Mode::Full;
            let resumes = subscription.resumes;
            subscription.seq += u64::from(is_delta);
            let mut first = First::Over;
            subscriptions.hold(new, number, |hold| {
                first = hold.first;
                hold.token |= resumes;
                hold.owed = Some(match (is_delta, hold.owed.take()) {
                    (true, _) => Owed::Reset,
                    // Whatever the result is: its name is another one.
                    (false, _) if resumes => Owed::Full(Sent::Unknown),
                    (false, Some(Owed::Full(sent))) => Owed::Full(sent),
                    (false, _) => Owed::Full(last),
                });
            });
            if let First::At { at, .. } = first {
                self.wheel.insert(at, Timer::FirstPush(conn, number));
            }
        }
        self.views.unsubscribe(view, want);
        Ok(new)
    }

    /// A bucket is defined otherwise: whoever is subscribed to something over it
    /// is looked at again.
    pub(in crate::engine) fn reauthorise_readers(&mut self, bucket: BucketId, name: &str) {
        let mut conns: Vec<ConnId> = Vec::new();
        for view in self.views.reading(bucket, name) {
            let all = self.subscriptions.of_view.get(&view).into_iter().flatten();
            conns.extend(all.map(|subscription| subscription.conn));
        }
        conns.sort_unstable();
        conns.dedup();
        self.reauthorise_later(conns);
    }
}
