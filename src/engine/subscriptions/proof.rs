//! Proof that a client knows its subscription before it is pushed to.
//!
//! A published client learns the id of a subscription only when the code that
//! asked for it goes on, some rounds of its event loop after the response was
//! read; a push that is read before is thrown away. No delay is long enough for
//! a client that is not being run. So every response to a subscribe is followed
//! by a WebSocket ping, which every peer answers in the order in which it reads
//! (RFC 6455, section 5.5.3), and its pong by a second one: a first push leaves
//! when both are answered, that is, after the client's event loop has gone round
//! at least once with the response already handled. In a connection one ping
//! is on its way at a time, whatever the number of subscriptions. A client that
//! has opened a session handles answers and pushes in the order in which they
//! arrive, and needs none of this.

use super::first::First;
use crate::app::{ConnId, Effect, PROBE_FRAME_BYTES};
use crate::engine::Engine;

/// Pings that must be answered behind a response.
const ROUNDS: u64 = 2;

/// How far one connection is.
#[derive(Debug, Default)]
pub(super) struct Proof {
    /// Pings that were answered.
    pub rounds: u64,
    in_flight: bool,
    /// There are subscriptions that wait for this many.
    wanted: u64,
}

impl Proof {
    /// The round that proves what is queued now to be known.
    fn next(&self) -> u64 {
        self.rounds + u64::from(self.in_flight) + ROUNDS
    }

    /// Takes an answer; whether it is the one that was asked for.
    fn answered(&mut self, number: u64) -> bool {
        let is_it = self.in_flight && number == self.rounds + 1;
        if is_it {
            self.rounds += 1;
            self.in_flight = false;
        }
        is_it
    }

    /// The number of the ping to be sent now, if any.
    fn ask(&mut self) -> Option<u64> {
        if self.in_flight || self.wanted <= self.rounds {
            return None;
        }
        self.in_flight = true;
        Some(self.rounds + 1)
    }
}

impl Engine {
    /// The responses of the subscriptions made since the last call are queued
    /// now: their ends are known, and pings follow them.
    pub(super) fn responses_queued(&mut self) {
        if self.current.answering.is_empty() {
            return;
        }
        let mut answering = std::mem::take(&mut self.current.answering);
        answering.retain(|(conn, number)| {
            let Some(state) = self.conns.get(*conn) else { return false };
            if state.holding {
                // The response waits for the audit file.
                return true;
            }
            if self.has_opted_in(*conn) {
                // Its client handles what it reads in order.
                self.first_push_is(*conn, *number, First::Over);
                self.output_left(*conn);
                return false;
            }
            let Some(end) = self.conns.get(*conn).map(|conn| conn.queued) else { return false };
            let owner = self.subscriptions.of_conn.entry(*conn).or_default();
            let round = owner.proof.next();
            owner.proof.wanted = round;
            self.first_push_is(*conn, *number, First::Queued { end, round });
            self.ask_for_proof(*conn);
            false
        });
        self.current.answering.append(&mut answering);
    }

    fn first_push_is(&mut self, conn: ConnId, number: u64, first: First) {
        if let Some(view) = self.subscriptions.view_of(conn, number) {
            self.subscriptions.hold(view, number, |hold| hold.first = first);
        } else {
            self.event_response_queued(conn, number, first);
        }
    }

    fn ask_for_proof(&mut self, conn: ConnId) {
        let Some(owner) = self.subscriptions.of_conn.get_mut(&conn) else { return };
        let Some(number) = owner.proof.ask() else { return };
        let needs = self.log.last();
        self.effects.list.push(Effect::Probe { conn, number, needs });
        if let Some(conn) = self.conns.get_mut(conn) {
            conn.note_queued(PROBE_FRAME_BYTES, self.now.mono);
        }
    }

    /// A pong has arrived: first pushes may be due.
    pub(in crate::engine) fn proof_answered(&mut self, conn: ConnId, number: u64) {
        let Some(owner) = self.subscriptions.of_conn.get_mut(&conn) else { return };
        if owner.proof.answered(number) {
            self.ask_for_proof(conn);
            self.output_left(conn);
        }
    }
}
