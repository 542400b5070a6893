//! Subscribers who look at a part of a result, and at another part of it later;
//! and those who are given everything that they are owed in an answer.

use super::Mode;
use crate::engine::Engine;
use crate::query::{Span, ViewId};

impl Mode {
    /// What of the result is shown, if not all of it.
    pub(super) fn window(self) -> Option<Span> {
        if let Mode::Window(span) = self { Some(span) } else { None }
    }
}

impl Engine {
    /// Whether a subscription has not been sent what it shows, for whatever
    /// reason.
    pub(in crate::engine) fn is_subscription_owed(&self, view: ViewId, number: u64) -> bool {
        let hold = self.subscriptions.look(view, number).and_then(|it| it.hold.as_deref());
        hold.is_some_and(|hold| hold.owed.is_some() || hold.stale || hold.suspended)
    }

    /// A subscription looks at another part of its result, as its client is being
    /// answered. That is a change like those that are pushed.
    pub(in crate::engine) fn subscription_moved(&mut self, view: ViewId, number: u64, to: Span) {
        let Some(subscription) = self.subscriptions.find(view, number) else { return };
        let Mode::Window(from) = subscription.mode else { return };
        subscription.mode = Mode::Window(to);
        subscription.seq += 1;
        self.views.move_window(&self.store, view, from, to);
    }

    /// A delta subscriber is given the whole state: it is owed nothing else.
    pub(in crate::engine) fn subscription_resynced(&mut self, view: ViewId, number: u64) {
        self.subscriptions.hold(view, number, |hold| {
            hold.owed = None;
            hold.token = false;
            hold.stale = false;
        });
    }
}
