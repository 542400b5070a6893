//! When a held subscription may be sent to again, and what it is sent then.

use super::first::PATIENCE_MS;
use super::publish::Kind;
use super::{Delta, First, Mode, Owed};
use crate::app::ConnId;
use crate::engine::continuity::Token;
use crate::engine::{Engine, Timer};
use crate::query::{Span, ViewId};

/// What came of trying to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tried {
    /// Nothing is owed any more, or not yet.
    Done,
    /// The connection takes no more pushes.
    OverMark,
}

impl Engine {
    /// The socket of a connection took output: first pushes may be due, and
    /// those that were held back for want of room.
    pub(in crate::engine) fn output_left(&mut self, conn: ConnId) {
        self.release_first_events(conn);
        let Some(owner) = self.subscriptions.of_conn.get(&conn) else { return };
        if owner.held.is_empty() {
            return;
        }
        let own = |(number, view): (&u64, &ViewId)| (*number, *view);
        let behind = owner.held.range(owner.next..).map(own);
        let round: Vec<_> = behind.chain(owner.held.range(..owner.next).map(own)).collect();
        let mut next = 0;
        for (number, view) in round {
            self.response_left(conn, number, view);
            if self.release(conn, number, view) == Tried::OverMark {
                next = number;
                break;
            }
        }
        if let Some(owner) = self.subscriptions.of_conn.get_mut(&conn) {
            owner.next = next;
        }
    }

    /// From the moment in which the response has left, the delay runs.
    fn response_left(&mut self, conn: ConnId, number: u64, view: ViewId) {
        let written = self.conns.get(conn).map_or(0, |conn| conn.written);
        let Some(subscription) = self.subscriptions.find(view, number) else { return };
        let Some(hold) = &mut subscription.hold else { return };
        let at = self.now.mono.saturating_add(self.options.first_push_delay_ms);
        if hold.first.response_left(written, at).is_some() && hold.owed.is_some() {
            self.wheel.insert(at, Timer::FirstPush(conn, number));
        }
    }

    /// The time of a first push has come.
    pub(in crate::engine) fn first_push_due(&mut self, conn: ConnId, number: u64) {
        if self.first_event_due(conn, number) {
            return;
        }
        let Some(view) = self.subscriptions.view_of(conn, number) else { return };
        self.release(conn, number, view);
        let proven = self.subscriptions.proven(conn);
        let hold = self.subscriptions.find(view, number).and_then(|have| have.hold.as_deref());
        if let Some(First::At { at, round }) = hold.map(|hold| hold.first)
            && proven < round
            && at <= self.now.mono
        {
            self.wheel.insert(at.saturating_add(PATIENCE_MS), Timer::FirstPush(conn, number));
        }
    }

    /// The end of a turn in which coalesced subscriptions were changed.
    pub(in crate::engine) fn release_coalesced(&mut self) {
        let mut waiting = std::mem::take(&mut self.subscriptions.coalescing);
        waiting.sort_unstable();
        for (number, conn) in waiting {
            if let Some(view) = self.subscriptions.view_of(conn, number) {
                self.release(conn, number, view);
            }
        }
    }

    /// Sends what is owed, if it may be sent now.
    fn release(&mut self, conn: ConnId, number: u64, view: ViewId) -> Tried {
        let Some(state) = self.conns.get(conn) else { return Tried::Done };
        if state.holding {
            return Tried::Done;
        }
        let (buffered, written) = (state.buffered, state.written);
        let (now, proven) = (self.now.mono, self.subscriptions.proven(conn));
        let Some(subscription) = self.subscriptions.find(view, number) else {
            return Tried::Done;
        };
        let (seq, mode, commits) = (subscription.seq, subscription.mode, subscription.commits);
        let (is_logic, is_live) = (subscription.is_logic, subscription.is_live);
        let unsent = subscription.coalesce && written < subscription.last_push;
        let Some(hold) = &subscription.hold else { return Tried::Done };
        if hold.suspended || hold.first.waits(now, proven) || (unsent && hold.owed.is_some()) {
            return Tried::Done;
        }
        // Once it was over the mark, a connection has to be well below it, so
        // that not every push is held back and released by itself.
        let threshold = self.options.push_threshold();
        let room = if hold.stale { threshold / 2.0 } else { threshold };
        if hold.owed.is_some() && buffered as f64 >= room.max(1.0) {
            self.subscriptions.hold(view, number, |hold| hold.stale = true);
            return Tried::OverMark;
        }
        let (mut owed, mut token) = (None, false);
        if hold.stale {
            self.trace_stale(conn, number, "caughtUp");
        }
        self.subscriptions.hold(view, number, |hold| {
            owed = hold.owed.take();
            token = std::mem::take(&mut hold.token);
            hold.first = First::Over;
            hold.stale = false;
        });
        if let Some(owed) = owed {
            let commit = commits.then(|| self.commit_shown(view)).flatten();
            let token = token.then(|| self.token_of(view, mode)).flatten().map(Token::text);
            let seq = (mode != Mode::Full).then_some(seq);
            let kind = Kind { is_logic, is_live, seq, commit, token };
            self.pay(conn, (number, mode.window()), view, kind, owed);
        }
        Tried::Done
    }

    fn pay(
        &mut self,
        conn: ConnId,
        (number, window): (u64, Option<Span>),
        view_id: ViewId,
        kind: Kind,
        owed: Owed,
    ) {
        let Some(view) = self.views.get_mut(view_id) else { return };
        match owed {
            Owed::Full(sent) => {
                let body = view.body(&self.store);
                if !self.subscriptions.is_same(&sent, &body) {
                    self.push_result(conn, number, kind, body.as_ref());
                }
            }
            Owed::Deltas(deltas) => {
                for Delta { seq, commit, text } in deltas {
                    let commit = kind.commit.map(|_| commit);
                    let kind = Kind { seq: Some(seq), commit, ..kind };
                    self.push_result(conn, number, kind, Some(&text));
                }
            }
            Owed::Reset => {
                debug_assert!(kind.seq.is_some(), "only deltas are reset");
                let text = view.reset_text(&self.store, window);
                self.push_result(conn, number, kind, text.as_ref());
            }
        }
        let end = self.conns.get(conn).map_or(0, |conn| conn.queued);
        if let Some(subscription) = self.subscriptions.find(view_id, number) {
            subscription.last_push = end;
        }
    }
}
