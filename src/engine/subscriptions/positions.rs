//! What is said of the states that subscribers are shown.

use crate::app::ConnId;
use crate::engine::Engine;
use crate::query::ViewId;

impl Engine {
    /// The options of a connection are others: its pushes say which commit they
    /// show, or do not.
    pub(in crate::engine) fn subscriptions_show_commits(&mut self, conn: ConnId) {
        let commits = self.shows_commits(conn);
        for (number, view) in self.own_subscriptions(conn) {
            if let Some(subscription) = self.subscriptions.find(view, number) {
                subscription.commits = commits;
            }
        }
    }

    /// Whether some subscription of a connection has not been sent what it shows, or
    /// does not show what is newest.
    pub(in crate::engine) fn is_owed_a_push(&self, conn: ConnId) -> bool {
        let Some(owner) = self.subscriptions.of_conn.get(&conn) else { return false };
        let owes = |(number, view): (&u64, &ViewId)| {
            let hold = self.subscriptions.look(*view, *number).and_then(|it| it.hold.as_deref());
            hold.is_some_and(|hold| hold.owed.is_some() || hold.stale || hold.suspended)
        };
        self.follows_later(conn)
            || owner.held.iter().any(owes)
            || owner.own.iter().any(|(_, view)| self.views.is_lagging(*view))
    }

    /// Whether the client of a subscription has a token of it.
    pub(in crate::engine) fn subscription_resumes(&self, view: ViewId, number: u64) -> bool {
        self.subscriptions.look(view, number).is_some_and(|subscription| subscription.resumes)
    }
}
