//! Input of connections: read, cut into messages, handed to the app; and the
//! beginning of every end.

use super::clock::Clock;
use super::conn::{NO_CLOSE_FRAME, Step};
use super::http::{Method, Refusal};
use super::limits::{
    BYTES_PER_CONNECTION, INPUT_PER_CONNECTION, MESSAGES_PER_CONNECTION, MESSAGES_PER_TURN,
    MICROS_PER_TURN, MILLIS_PER_CONNECTION, OUTPUT_PER_CONNECTION,
};
use super::transport::Transport;
use crate::address::Address;
use crate::app::{App, ConnId, Flow, Peer};
use std::io::{self, Read};
use std::sync::atomic::Ordering::Relaxed;

/// Why a connection ended that nobody has closed.
const LOST: &str = "lost";

/// What one connection may still use of this turn.
pub(super) struct Budget {
    steps: usize,
    pub bytes: usize,
    /// On the coarse clock.
    began: u64,
    /// Bytes that were queued for it when its share began.
    buffered: usize,
}

/// What a read came to.
pub(super) enum Arrived {
    Bytes(usize),
    Nothing,
    End,
    Lost,
}

impl<A: App + 'static> Transport<A> {
    /// Serves each connection that has input once; those that used up their
    /// share go to the end of the line, for the next turn.
    pub(super) fn serve_ready(&mut self) {
        let mut left = MESSAGES_PER_TURN;
        let end = self.clock.micros().saturating_add(MICROS_PER_TURN);
        for _ in 0..self.ready.len() {
            if left == 0 || self.clock.micros() > end {
                break;
            }
            let Some(slot) = self.ready.pop_front() else { break };
            left -= self.serve_share(slot, left);
        }
        for _ in 0..self.heavy.len() {
            let Some(slot) = self.heavy.pop_front() else { return };
            left -= self.serve_share(slot, left.max(1)).min(left);
            if left == 0 || self.clock.micros() > end {
                return;
            }
        }
    }

    /// Serves a connection with its share of the turn; how many messages it used.
    fn serve_share(&mut self, slot: u32, left: usize) -> usize {
        let Some(entry) = self.table.get_mut(slot as usize) else { return 0 };
        if !std::mem::take(&mut entry.is_ready) {
            return 0;
        }
        entry.is_heavy = false;
        let steps = left.min(MESSAGES_PER_CONNECTION);
        let mut budget = Budget {
            steps,
            bytes: BYTES_PER_CONNECTION,
            began: Clock::coarse(),
            buffered: entry.conn.outbox.buffered(),
        };
        self.serve(slot, &mut budget);
        if BYTES_PER_CONNECTION - budget.bytes > INPUT_PER_CONNECTION
            && let Some(entry) = self.table.get_mut(slot as usize)
        {
            entry.is_heavy = true;
        }
        self.note_input(slot);
        self.enqueue_if_ready(slot);
        steps - budget.steps
    }

    /// Ends the share of a connection that has cost much.
    fn weigh(&mut self, slot: u32, budget: &mut Budget) -> bool {
        let Some(entry) = self.table.get_mut(slot as usize) else { return true };
        let output = entry.conn.outbox.buffered().saturating_sub(budget.buffered);
        let spent = Clock::coarse().saturating_sub(budget.began);
        entry.is_heavy = output > OUTPUT_PER_CONNECTION || spent > MILLIS_PER_CONNECTION;
        entry.is_heavy
    }

    /// Puts a connection with something to do into the line.
    pub(super) fn enqueue_if_ready(&mut self, slot: u32) {
        if let Some(entry) = self.table.get_mut(slot as usize)
            && entry.has_input_work()
            && !std::mem::replace(&mut entry.is_ready, true)
        {
            let line = if entry.is_heavy { &mut self.heavy } else { &mut self.ready };
            line.push_back(slot);
        }
    }

    fn serve(&mut self, slot: u32, budget: &mut Budget) {
        while budget.steps > 0 && budget.bytes > 0 {
            let Some(entry) = self.table.get_mut(slot as usize) else { return };
            if !entry.has_input_work() || entry.is_heavy {
                return;
            }
            if entry.conn.is_calling() {
                budget.steps -= 1;
                self.go_on(slot);
                if self.weigh(slot, budget) {
                    return;
                }
            } else if entry.conn.has_handleable_input() {
                let mut kept = entry.conn.take_kept();
                let (used, stalled) = self.handle(slot, &mut kept, budget);
                if let Some(entry) = self.table.get_mut(slot as usize) {
                    entry.conn.keep_from(kept, used, stalled);
                }
            } else if entry.has_unopened_input() {
                self.open_rest(slot, budget);
            } else if entry.readable && entry.awaits_header {
                self.read_header(slot, budget);
            } else if entry.readable && entry.tls.is_some() {
                self.read_sealed(slot, budget);
            } else if entry.readable {
                self.read_and_handle(slot, budget);
            } else {
                // All that came before the end is handled.
                let step = entry.conn.end_of_input();
                self.perform(slot, step);
                self.finish_if_done(slot);
                return;
            }
        }
    }

    fn read_and_handle(&mut self, slot: u32, budget: &mut Budget) {
        let mut buffer = std::mem::take(&mut self.buffer);
        let Some(entry) = self.table.get_mut(slot as usize) else { return };
        // The beginning of a frame or head, which is short, goes in front.
        let kept = entry.conn.take_kept();
        let room = buffer.len();
        if let Some(front) = buffer.get_mut(..kept.len()) {
            front.copy_from_slice(&kept);
        }
        let arrived = read(&mut entry.stream, buffer.get_mut(kept.len()..).unwrap_or_default());
        match arrived {
            Arrived::Bytes(count) => {
                // A read that leaves room has emptied the socket; whatever comes
                // later is a new event. The end has been announced already if it
                // came with these bytes.
                let filled = kept.len() + count;
                entry.input_progress = self.now.mono;
                entry.readable = filled == room || entry.hung_up;
                budget.bytes = budget.bytes.saturating_sub(count);
                self.counters.input_bytes_total.fetch_add(count as u64, Relaxed);
                let input = buffer.get_mut(..filled).unwrap_or_default();
                let (used, stalled) = self.handle(slot, input, budget);
                if let Some(entry) = self.table.get_mut(slot as usize) {
                    entry.conn.keep(input.get(used..).unwrap_or_default(), stalled);
                }
            }
            Arrived::Nothing => {
                entry.readable = false;
                entry.conn.keep(&kept, true);
                if entry.deaf {
                    // It takes nothing and gives nothing.
                    self.lose(slot);
                }
            }
            Arrived::End => {
                entry.readable = false;
                entry.ended = true;
                entry.conn.keep(&kept, true);
                self.finish_if_done(slot);
            }
            Arrived::Lost => {
                entry.readable = false;
                entry.ended = true;
                self.lose(slot);
            }
        }
        self.buffer = buffer;
    }

    /// Handles `input` as far as it and the budget go. Returns how much was used
    /// and whether the rest needs more bytes.
    pub(super) fn handle(
        &mut self,
        slot: u32,
        input: &mut [u8],
        budget: &mut Budget,
    ) -> (usize, bool) {
        let mut at = 0;
        loop {
            let Some(entry) = self.table.get_mut(slot as usize) else { return (at, true) };
            if entry.is_held() || budget.steps == 0 {
                return (at, false);
            }
            let rest = input.get_mut(at..).unwrap_or_default();
            let (used, step) = entry.conn.step(rest, &self.rules);
            at += used;
            if matches!(step, Step::NeedMore) {
                return (at, true);
            }
            budget.steps -= 1;
            self.perform(slot, step);
            if self.weigh(slot, budget) {
                return (at, false);
            }
        }
    }

    pub(super) fn perform(&mut self, slot: u32, step: Step<'_>) {
        let Some(id) = self.id_of(slot) else { return };
        match step {
            Step::NeedMore => {}
            // Perhaps a pong.
            Step::Nothing => self.note_output(slot),
            Step::Pong(number) => {
                self.app.probed(id, number, self.now);
                self.perform_effects();
            }
            Step::Text(text) => {
                let flow = self.app.message(id, &text, self.now);
                // Before the effects: one of them may be to go on.
                if flow == Flow::Wait
                    && let Some(entry) = self.table.get_mut(slot as usize)
                {
                    entry.waiting = true;
                }
                self.perform_effects();
            }
            Step::Binary(bytes) => {
                if let Some(respond) = self.options.binary {
                    self.send_binary(slot, &respond(&bytes));
                }
            }
            Step::Request(request) => self.answer_request(id, &request),
            Step::Call(caller, body) => self.call_with_body(id, &caller, body),
            Step::Denied(door, denied) => self.begin_end_of_call(slot, door, denied.status()),
            Step::Refused(refusal) => {
                self.begin_end_of_handshake(slot, refusal.reason(), refusal.text());
            }
            Step::Ended(code) => {
                let why = if code == NO_CLOSE_FRAME { LOST } else { "by the peer" };
                self.tell_closed(id, code, why);
                self.begin_end(slot, code);
            }
        }
    }

    /// The upgrade is complete.
    pub(super) fn connect(&mut self, id: ConnId, peer: Peer) {
        self.counters.connections_total.fetch_add(1, Relaxed);
        self.mark_dirty(id.slot);
        let is_full = !self.per_client.has_room(peer.address);
        if !self.stop.accepts_no_more && is_full && self.park(id, &peer) {
            return;
        }
        self.admit(id, peer);
    }

    /// A place for a newcomer, or a close.
    pub(super) fn admit(&mut self, id: ConnId, peer: Peer) {
        // Whoever stops has a word of its own for newcomers, and says it first.
        let stopping = self.stop.accepts_no_more;
        let admitted = !stopping && self.per_client.admit(peer.address, id);
        let Some(entry) = self.table.get_mut(id.slot as usize) else { return };
        entry.admitted = admitted;
        if !admitted && !stopping {
            entry.conn.close(4003, "too_many_connections");
            self.counters.probes_refused.fetch_add(1, Relaxed);
            self.begin_end(id.slot, 4003);
            return;
        }
        entry.announced = true;
        self.app.connected(id, &peer, self.now);
        self.perform_effects();
    }

    /// Refuses what has not become a WebSocket.
    pub(super) fn refuse(&mut self, slot: u32, refusal: Refusal, method: Method) {
        self.refuse_because(slot, refusal, method, refusal.text());
    }

    /// The same, with what is to be logged of it.
    pub(super) fn refuse_because(
        &mut self,
        slot: u32,
        refusal: Refusal,
        method: Method,
        why: &str,
    ) {
        if let Some(entry) = self.table.get_mut(slot as usize) {
            entry.conn.refuse(refusal, method);
            self.begin_end_of_handshake(slot, refusal.reason(), why);
        }
    }

    pub(super) fn begin_end_of_handshake(&mut self, slot: u32, reason: &'static str, why: &str) {
        if let Some(from) = self.table.get(slot as usize).map(|entry| entry.address) {
            self.note_refused(reason, from, why);
        }
        self.begin_drain(slot);
    }

    /// Counts a handshake that was refused, and logs it if it is the first of its
    /// reason in this second.
    pub(super) fn note_refused(&mut self, reason: &'static str, from: Address, why: &str) {
        self.counters.count_refused(reason);
        self.refusals.note(reason, from, why, self.now.mono);
    }

    /// A close frame is queued, or none will be: from here on the connection is
    /// out of the count of its client.
    pub(super) fn begin_end(&mut self, slot: u32, code: u16) {
        let Some(entry) = self.table.get_mut(slot as usize) else { return };
        self.counters.count_closed(code);
        entry.announced = false;
        entry.waiting = false;
        entry.paused = false;
        self.leave_address(slot);
        self.begin_drain(slot);
    }

    /// The connection is out of the count of its client.
    pub(super) fn leave_address(&mut self, slot: u32) {
        if let Some(entry) = self.table.get_mut(slot as usize)
            && std::mem::take(&mut entry.admitted)
        {
            let id = ConnId { slot, generation: entry.generation };
            self.per_client.leave(entry.address, id);
        }
    }

    /// Bounds the time to the end, whatever the peer does.
    pub(super) fn begin_drain(&mut self, slot: u32) {
        let Some(id) = self.id_of(slot) else { return };
        let deadline = self.now.mono.saturating_add(self.options.close_timeout_ms);
        let timer = self.wheel.insert(deadline, id);
        if let Some(entry) = self.table.get_mut(slot as usize)
            && let Some(old) = entry.timer.replace(timer)
        {
            self.wheel.cancel(old);
        }
        self.mark_dirty(slot);
        self.enqueue_if_ready(slot);
    }

    /// The socket gives and takes nothing any more.
    pub(super) fn lose(&mut self, slot: u32) {
        let Some(id) = self.id_of(slot) else { return };
        self.tell_closed(id, NO_CLOSE_FRAME, LOST);
        if let Some(entry) = self.table.get_mut(slot as usize)
            && (entry.conn.is_open() || entry.conn.is_streaming())
        {
            entry.conn.end_of_input();
            self.begin_end(slot, NO_CLOSE_FRAME);
        }
        self.leave_address(slot);
        self.doom(slot);
    }

    pub(super) fn tell_closed(&mut self, id: ConnId, code: u16, why: &'static str) {
        if let Some(entry) = self.table.get_mut(id.slot as usize)
            && std::mem::take(&mut entry.announced)
        {
            self.app.ended(id, code, why, self.now);
            self.perform_effects();
        }
    }

    pub(super) fn finish_if_done(&mut self, slot: u32) {
        if self.table.get(slot as usize).is_some_and(|entry| entry.is_finished()) {
            self.doom(slot);
        }
    }

    pub(super) fn id_of(&self, slot: u32) -> Option<ConnId> {
        let generation = self.table.get(slot as usize)?.generation;
        Some(ConnId { slot, generation })
    }
}

pub(super) fn read(stream: &mut impl Read, buffer: &mut [u8]) -> Arrived {
    loop {
        match stream.read(buffer) {
            Ok(0) => return Arrived::End,
            Ok(count) => return Arrived::Bytes(count),
            Err(error) => match error.kind() {
                io::ErrorKind::Interrupted => {}
                io::ErrorKind::WouldBlock => return Arrived::Nothing,
                _ => return Arrived::Lost,
            },
        }
    }
}
