//! Events of subscriptions that their clients may not know yet.
//!
//! The first pushes of a subscription wait until the client is proven to know
//! its id, as those of live queries do (`engine/subscriptions/proof.rs`). An
//! event is not a state that a newer one replaces: all of them wait, in order,
//! up to a bound; what is beyond is lost and told like what a slow reader
//! loses.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::app::ConnId;
use crate::engine::subscriptions::{First, PATIENCE_MS};
use crate::engine::{Engine, Timer};

/// Events that wait for one subscription.
pub(in crate::engine) const MAX_WAITING_EVENTS: usize = 1000;

/// Bytes of the events that wait for one subscription.
pub(in crate::engine) const MAX_WAITING_BYTES: usize = 256 * 1024;

/// Bytes of the events that wait for all subscriptions of one connection.
const MAX_WAITING_BYTES_OF_CONN: usize = 4 * MAX_WAITING_BYTES;

/// The new event subscriptions of one connection, and what waits for them.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    new: BTreeMap<u64, New>,
    /// In the order in which they happened.
    events: VecDeque<(u64, Arc<[u8]>)>,
    bytes: usize,
}

#[derive(Debug)]
struct New {
    first: First,
    events: usize,
    bytes: usize,
}

impl Waiting {
    /// Keeps an event; false if there is no room.
    fn keep(&mut self, number: u64, body: &Arc<[u8]>) -> bool {
        let Some(new) = self.new.get_mut(&number) else { return false };
        let bytes = new.bytes.saturating_add(body.len());
        let all = self.bytes.saturating_add(body.len());
        if new.events >= MAX_WAITING_EVENTS
            || bytes > MAX_WAITING_BYTES
            || all > MAX_WAITING_BYTES_OF_CONN
        {
            return false;
        }
        new.events += 1;
        new.bytes = bytes;
        self.bytes = all;
        self.events.push_back((number, Arc::clone(body)));
        true
    }

    /// Forgets a subscription and its events.
    fn forget(&mut self, number: u64) {
        if let Some(new) = self.new.remove(&number)
            && new.events > 0
        {
            self.bytes = self.bytes.saturating_sub(new.bytes);
            self.events.retain(|(of, _)| *of != number);
        }
    }

    /// The events of subscriptions that need not wait any more, in order.
    fn release(&mut self, waits: impl Fn(First) -> bool) -> Vec<(u64, Arc<[u8]>)> {
        self.new.retain(|_, new| waits(new.first));
        let (kept, released) =
            self.events.drain(..).partition(|(number, _)| self.new.contains_key(number));
        self.events = kept;
        self.bytes = self.new.values().map(|new| new.bytes).sum();
        let released: VecDeque<_> = released;
        released.into()
    }
}

impl Engine {
    /// An event subscription is made; its response is about to be queued.
    pub(super) fn event_subscription_is_new(&mut self, conn: ConnId, number: u64) {
        if self.options.first_push_delay_ms == 0 {
            return;
        }
        let Some(side) = &mut self.rules else { return };
        let new = New { first: First::Answering, events: 0, bytes: 0 };
        side.waiting.entry(conn).or_default().new.insert(number, new);
        self.current.answering.push((conn, number));
    }

    /// Its response is queued and ends with this byte of the connection's
    /// output; whether there is such a subscription.
    pub(in crate::engine) fn event_response_queued(
        &mut self,
        conn: ConnId,
        number: u64,
        first: First,
    ) -> bool {
        let side = self.rules.as_mut();
        let new = side
            .and_then(|side| side.waiting.get_mut(&conn))
            .and_then(|waiting| waiting.new.get_mut(&number));
        match new {
            Some(new) => {
                new.first = first;
                true
            }
            None => false,
        }
    }

    /// Keeps an event for a subscription that must not be pushed to yet.
    /// `None`: it may be pushed to.
    pub(super) fn keep_event(
        &mut self,
        conn: ConnId,
        number: u64,
        body: &Arc<[u8]>,
    ) -> Option<bool> {
        let side = self.rules.as_mut()?;
        let waiting = side.waiting.get_mut(&conn)?;
        waiting.new.contains_key(&number).then(|| waiting.keep(number, body))
    }

    /// The connection's output has moved, a ping was answered or time has
    /// passed: new subscriptions may be pushed to.
    pub(in crate::engine) fn release_first_events(&mut self, conn: ConnId) {
        if self.rules.as_ref().is_none_or(|side| side.waiting.is_empty()) {
            return;
        }
        let (now, proven) = (self.now.mono, self.subscriptions.proven(conn));
        let Some(state) = self.conns.get(conn) else { return };
        let (holding, written) = (state.holding, state.written);
        let delay = self.options.first_push_delay_ms;
        let Some(side) = &mut self.rules else { return };
        let Some(waiting) = side.waiting.get_mut(&conn) else { return };
        if holding {
            return;
        }
        let mut timers = Vec::new();
        for (number, new) in &mut waiting.new {
            if let Some(at) = new.first.response_left(written, now.saturating_add(delay)) {
                timers.push((at, *number));
            }
        }
        let before = waiting.new.len();
        let released = waiting.release(|first| first.waits(now, proven));
        let is_known = waiting.new.len() < before;
        if waiting.new.is_empty() {
            side.waiting.remove(&conn);
        }
        for (at, number) in timers {
            self.wheel.insert(at, Timer::FirstPush(conn, number));
        }
        for (number, body) in released {
            self.push_event_to(conn, number, &body);
        }
        if is_known {
            // Behind those that were kept: what was not.
            self.report_lost_events(conn);
        }
    }

    /// The time of a new subscription's first push has come. False if it is no
    /// new event subscription.
    pub(in crate::engine) fn first_event_due(&mut self, conn: ConnId, number: u64) -> bool {
        let first = self.first_of_event(conn, number);
        let Some(first) = first else { return false };
        self.release_first_events(conn);
        if let First::At { at, .. } = first
            && at <= self.now.mono
            && self.first_of_event(conn, number).is_some()
        {
            // Served in the end, though it answers no pings.
            self.wheel.insert(at.saturating_add(PATIENCE_MS), Timer::FirstPush(conn, number));
        }
        true
    }

    fn first_of_event(&self, conn: ConnId, number: u64) -> Option<First> {
        let waiting = self.rules.as_ref()?.waiting.get(&conn)?;
        waiting.new.get(&number).map(|new| new.first)
    }

    /// A subscription has ended: what waits for it goes with it.
    pub(super) fn forget_first_events(&mut self, conn: ConnId, number: u64) {
        let Some(side) = &mut self.rules else { return };
        let Some(waiting) = side.waiting.get_mut(&conn) else { return };
        waiting.forget(number);
        if waiting.new.is_empty() {
            side.waiting.remove(&conn);
        }
    }

    /// Whether a subscription still waits for its first push.
    pub(super) fn has_first_events(&self, conn: ConnId, number: u64) -> bool {
        self.first_of_event(conn, number).is_some()
    }
}
