//! What a change of rights does to a subscription that stays allowed: from the
//! turn of the change on it shows what the new rights leave, and nothing of what
//! it was owed from before leaves.

use std::sync::Arc;

use super::{First, Mode, Owed, Sent};
use crate::app::ConnId;
use crate::engine::{Engine, Timer};
use crate::json::Json;
use crate::protocol::OpError;
use crate::query::ViewId;
use crate::store::BucketId;

impl Engine {
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
                Some(view) => self.read_of_view(conn, &view),
                None => Ok(None),
            };
        }
        match self.views.bucket_of(view).map(str::to_owned) {
            Some(bucket) => self.read_filter(conn, &bucket),
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
        let new = self.views.rejoin(&self.store, view, read, want)?;
        self.views.settle(new);
        let since = self.views.news_number();
        let subscriptions = &mut self.subscriptions;
        subscriptions.transfer(conn, number, view, new);
        let last = last.map_or(Sent::Unknown, |body| subscriptions.digest(&body));
        if let Some(subscription) = subscriptions.find(new, number) {
            subscription.since = since;
            let is_delta = subscription.mode != Mode::Full;
            subscription.seq += u64::from(is_delta);
            let mut first = First::Over;
            subscriptions.hold(new, number, |hold| {
                first = hold.first;
                hold.owed = Some(match (is_delta, hold.owed.take()) {
                    (true, _) => Owed::Reset,
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
