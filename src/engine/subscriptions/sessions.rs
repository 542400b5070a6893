//! What becomes of subscriptions when the session of their connection changes.

use super::Mode;
use crate::app::ConnId;
use crate::engine::Engine;
use crate::json::write_string;
use crate::query::EndReason;

impl Engine {
    /// The connection has no valid session any more: its subscriptions keep
    /// their ids and count towards the limits, but nothing is pushed.
    pub(crate) fn suspend_subscriptions(&mut self, conn: ConnId) {
        for (number, view) in self.own_subscriptions(conn) {
            self.subscriptions.hold(view, number, |hold| hold.suspended = true);
        }
    }

    /// Authorises all subscriptions of a connection anew. Those that are
    /// refused end; the others go on, and if they were suspended get one push
    /// if their result differs from the last one sent.
    pub(crate) fn reauthorise_subscriptions(&mut self, conn: ConnId) {
        // It is owed to the connection, whatever the request has left; counted,
        // so that a turn does not do it for many.
        let budget = std::mem::take(&mut self.budget);
        self.reauthorise_each(conn);
        let spent = std::mem::replace(&mut self.budget, budget).spent();
        let _ = self.budget.spend(spent);
        self.output_left(conn);
    }

    fn reauthorise_each(&mut self, conn: ConnId) {
        for (number, view) in self.own_subscriptions(conn) {
            let Some(query) = self.views.query_of(view).map(str::to_owned) else { continue };
            let refusal = match self.views.is_derived(view) {
                true => self.refusal_to_subscribe_view(conn, &query),
                false => match self.views.ad_hoc_bucket(view).map(str::to_owned) {
                    Some(bucket) => self.refusal_to_live(conn, &bucket),
                    None => self.refusal_to_subscribe(conn, &query),
                },
            };
            let followed = match refusal {
                Some(error) => Err(error),
                None => self.follow_rights(conn, number, view),
            };
            match followed {
                Err(error) => self.cancel_subscription(conn, number, &error.message),
                Ok(view) => {
                    self.subscriptions.hold(view, number, |hold| hold.suspended = false);
                }
            }
        }
    }

    /// Ends a subscription from this side, and tells the client why.
    pub(crate) fn cancel_subscription(&mut self, conn: ConnId, number: u64, reason: &str) {
        let Some((view, subscription)) = self.subscriptions.remove(conn, number) else { return };
        self.views.unsubscribe(view, subscription.want());
        self.count_store_subscriptions(conn, -1);
        if let Some(owner) = self.subscriptions.of_conn.get_mut(&conn) {
            owner.remember_ended(number, subscription.is_logic);
        }
        self.push_end(&subscription, EndReason::AccessRevoked);
        self.tell_cancelled(conn, &format!("sub-{number}"), reason);
    }

    pub(in crate::engine) fn tell_cancelled(&mut self, conn: ConnId, id: &str, reason: &str) {
        let mut text =
            br#"{"type":"system","event":"subscription_cancelled","subscriptionId":"#.to_vec();
        write_string(&mut text, id);
        text.extend_from_slice(b",\"reason\":");
        write_string(&mut text, reason);
        text.push(b'}');
        self.send(conn, &text, None, b"");
    }

    /// Ends the subscriptions whose push would have been too long.
    pub(in crate::engine) fn end_oversized(&mut self) {
        for (conn, number) in std::mem::take(&mut self.subscriptions.oversized) {
            let Some((view, subscription)) = self.subscriptions.remove(conn, number) else {
                continue;
            };
            self.metrics.reply_bytes_reached += 1;
            self.views.unsubscribe(view, subscription.want());
            self.count_store_subscriptions(conn, -1);
            if let Some(owner) = self.subscriptions.of_conn.get_mut(&conn) {
                owner.remember_ended(number, subscription.is_logic);
            }
            match subscription.mode {
                Mode::Delta { .. } | Mode::Window(_) => {
                    self.push_end(&subscription, EndReason::TooLarge)
                }
                Mode::Full if subscription.is_live => {
                    self.push_end(&subscription, EndReason::TooLarge)
                }
                Mode::Full => {
                    self.tell_cancelled(conn, &format!("sub-{number}"), "Result is too large")
                }
            }
        }
    }

    pub(super) fn own_subscriptions(&self, conn: ConnId) -> Vec<(u64, crate::query::ViewId)> {
        self.subscriptions.of_conn.get(&conn).map(|owner| owner.own.clone()).unwrap_or_default()
    }
}
