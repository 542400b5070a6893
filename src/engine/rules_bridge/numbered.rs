//! Numbered events: a client that asked for them knows exactly which it lost.
//!
//! An event has its number when it is pushed, and a loss when it is told: both
//! in the order of the events, so nothing is kept per event.

use std::sync::Arc;

use crate::app::ConnId;
use crate::engine::Engine;
use crate::engine::subscriptions::subscription_id;
use crate::json::write_number;

impl Engine {
    /// Whether the events of a connection are numbered.
    pub(super) fn numbers_events(&self, conn: ConnId) -> bool {
        let opted_in = self.conns.get(conn).and_then(|conn| conn.opted_in);
        opted_in.is_some_and(|options| options.events)
    }

    /// Pushes the next event of a subscription, behind what it has lost.
    pub(super) fn push_numbered(&mut self, conn: ConnId, number: u64, body: &Arc<[u8]>) {
        let threshold = self.options.push_threshold();
        if !self.conns.get(conn).is_some_and(|conn| conn.has_room(threshold)) {
            self.event_lost(conn, number);
            return;
        }
        let lost = self.rules.as_mut().and_then(|side| side.lost.get_mut(&conn));
        if let Some(lost) = lost.and_then(|lost| lost.remove(&number)) {
            self.tell_gap(conn, number, lost);
        }
        let head = self.numbered_head(number, 1);
        self.send(conn, &head, Some(body), b"}");
        self.metrics.pushes += 1;
        self.figures.event_pushes += 1;
    }

    /// In the place of the events themselves.
    pub(super) fn tell_gap(&mut self, conn: ConnId, number: u64, lost: u64) {
        let mut text = self.numbered_head(number, lost);
        text.extend_from_slice(b"{\"gap\":");
        write_number(&mut text, lost as f64);
        text.extend_from_slice(b"}}");
        self.send(conn, &text, None, b"");
        self.figures.event_gaps += 1;
    }

    /// The beginning of a push that brings its subscription so many events on.
    fn numbered_head(&mut self, number: u64, events: u64) -> Vec<u8> {
        let mut n = events;
        if let Some(side) = &mut self.rules {
            let told = side.told.entry(number).or_default();
            *told = told.saturating_add(events);
            n = *told;
        }
        let mut text = br#"{"type":"push","channel":"event","subscriptionId":""#.to_vec();
        text.extend_from_slice(subscription_id(number, &mut [0; 24]).as_bytes());
        text.extend_from_slice(b"\",\"n\":");
        write_number(&mut text, n as f64);
        text.extend_from_slice(b",\"data\":");
        text
    }
}
