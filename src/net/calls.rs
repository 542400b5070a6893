//! Requests through the HTTP door on their way to the app, and its answers.
//!
//! Owns what the loop does with a call: who comes in, when a step of it is done,
//! how long the socket has for the answer. What a head must look like says
//! [`super::http::door`]; what is asked and answered, the app.

use super::conn::{Answering, Caller};
use super::entry::find;
use super::http::door::{Denied, Door, cors, length_of_body, preflight};
use super::http::{Method, Request, foreign};
use super::transport::Transport;
use crate::address::Address;
use crate::app::{App, Asked, Call, CallAnswer, CommitSeq, ConnId, Flow};
use std::sync::atomic::Ordering::Relaxed;

impl<A: App + 'static> Transport<A> {
    /// A request has come to a door: in, or an answer.
    pub(super) fn enter(&mut self, id: ConnId, request: &Request, door: Door, address: Address) {
        let Some(entry) = self.table.get(id.slot as usize) else { return };
        let site = self.site(entry);
        if let Some(refusal) = foreign(request, &site) {
            self.counters.count_http(door.name(), refusal.status());
            return self.refuse_request(id.slot, refusal, request, address);
        }
        let cors = cors(request, &site);
        if request.method == Method::Options {
            self.counters.count_http(door.name(), 204);
            return self.answer_plain(id.slot, &preflight(door, &cors));
        }
        let allowed = length_of_body(request, door, self.options.max_payload_bytes)
            .and_then(|length| self.has_place(address).map(|()| length));
        match allowed {
            Ok(length) => self.let_in(id, request, Answering { door, cors }, length, address),
            Err(denied) => {
                self.counters.count_http(door.name(), denied.status());
                if denied == Denied::AddressFull {
                    self.counters.calls_refused.fetch_add(1, Relaxed);
                }
                self.answer_plain(id.slot, &denied.answer(&cors, request.method));
            }
        }
    }

    /// A call has a place; its body is still to come.
    fn let_in(
        &mut self,
        id: ConnId,
        request: &Request,
        answering: Answering,
        length: usize,
        address: Address,
    ) {
        let peer = self.peer(id.slot, request, address);
        let Some(entry) = find(&mut self.table, id) else { return };
        entry.address = address;
        entry.admitted = self.per_client.admit(address, id);
        if let Some(old) = entry.timer.take() {
            self.wheel.cancel(old);
        }
        match answering.door {
            Door::Rpc => {
                let deadline = self.now.mono.saturating_add(self.options.handshake_timeout_ms);
                entry.timer = Some(self.wheel.insert(deadline, id));
                let caller = Caller { peer, authorization: request.authorization.clone() };
                entry.conn.read_body(caller, answering, length, request.expects_continue);
                self.mark_dirty(id.slot);
            }
            Door::Live => {
                entry.conn.begin_call(answering);
                let (query, last_event_id) = (&*request.query, request.last_event_id.as_deref());
                let what = Asked::Events { query, last_event_id };
                let authorization = request.authorization.as_deref();
                self.call(id, Call { peer, authorization, what });
            }
        }
    }

    /// Whether there is a place for one more connection. Nobody waits for one
    /// here: whoever asks by HTTP can ask again.
    fn has_place(&self, address: Address) -> Result<(), Denied> {
        if self.is_full() {
            return Err(Denied::Full);
        }
        match self.per_client.has_room(address) {
            true => Ok(()),
            false => Err(Denied::AddressFull),
        }
    }

    /// The body of a call is complete.
    pub(super) fn call_with_body(&mut self, id: ConnId, caller: &Caller, body: Vec<u8>) {
        let authorization = caller.authorization.as_deref();
        let what = Asked::Messages(body);
        self.call(id, Call { peer: caller.peer.clone(), authorization, what });
    }

    fn call(&mut self, id: ConnId, call: Call<'_>) {
        let Some(entry) = find(&mut self.table, id) else { return };
        entry.announced = true;
        if let Some(timer) = entry.timer.take() {
            self.wheel.cancel(timer);
        }
        self.app.called(id, call, self.now);
        self.perform_effects();
    }

    /// The next step of a call.
    pub(super) fn go_on(&mut self, slot: u32) {
        let Some(id) = self.id_of(slot) else { return };
        let flow = self.app.go_on(id, self.now);
        // Before the effects: one of them may be to go on.
        if flow == Flow::Wait
            && let Some(entry) = find(&mut self.table, id)
        {
            entry.waiting = true;
        }
        self.perform_effects();
    }

    /// A call was refused, and the answer is queued.
    pub(super) fn begin_end_of_call(&mut self, slot: u32, door: Door, status: u16) {
        self.counters.count_http(door.name(), status);
        self.end_call(slot);
    }

    /// The app has answered.
    pub(super) fn answer_call(&mut self, id: ConnId, answer: CallAnswer, needs: CommitSeq) {
        let durable = self.durable;
        let Some(entry) = find(&mut self.table, id) else { return };
        let status = answer.status;
        if let Some(door) = entry.conn.answer_call(answer, needs, durable) {
            self.begin_end_of_call(id.slot, door, status);
        }
    }

    /// The app has something to tell, for longer.
    pub(super) fn begin_stream(&mut self, id: ConnId) {
        let Some(entry) = find(&mut self.table, id) else { return };
        if let Some(door) = entry.conn.begin_stream() {
            entry.waiting = false;
            self.counters.connections_total.fetch_add(1, Relaxed);
            self.counters.count_http(door.name(), 200);
            self.mark_dirty(id.slot);
            self.enqueue_if_ready(id.slot);
        }
    }

    /// The app closes a call before it has answered it.
    pub(super) fn break_off_call(&mut self, id: ConnId) {
        let Some(entry) = find(&mut self.table, id) else { return };
        if let Some(door) = entry.conn.door() {
            entry.conn.deny(Denied::Closed);
            self.begin_end_of_call(id.slot, door, Denied::Closed.status());
        }
    }

    /// An answer is queued: the place of its address is free, and the socket has
    /// as long as it takes something.
    fn end_call(&mut self, slot: u32) {
        let Some(entry) = self.table.get_mut(slot as usize) else { return };
        entry.announced = false;
        entry.waiting = false;
        entry.is_answer = true;
        self.leave_address(slot);
        self.begin_drain(slot);
    }

    /// Whether an answer goes on leaving: it waits for a commit, or the socket took
    /// some of it since the timer was set.
    pub(super) fn is_leaving(&self, slot: u32) -> bool {
        let patience = self.options.close_timeout_ms;
        self.table.get(slot as usize).is_some_and(|entry| {
            let waits = !entry.blocked && !entry.deaf;
            let moved = self.now.mono.saturating_sub(entry.progress) < patience;
            entry.is_answer && entry.buffered() > 0 && (waits || moved)
        })
    }
}
