//! Event subscriptions: pushes, and what becomes of those that do not fit.

use std::sync::Arc;

use super::store_events::Bridge;
use crate::app::ConnId;
use crate::engine::Engine;
use crate::engine::output::Pushed;
use crate::engine::subscriptions::subscription_id;
use crate::json::{write_number, write_string};
use crate::rules::{Event, Source};

impl Engine {
    /// Enters a subscription whose response is about to be queued.
    pub(in crate::engine) fn add_event_subscription(
        &mut self,
        conn: ConnId,
        number: u64,
        pattern: &str,
    ) {
        let Some(side) = &mut self.rules else { return };
        side.subscriptions.add(number, pattern, conn);
        side.of_conn.entry(conn).or_default().push(number);
        self.count_event_subscriptions(conn, 1);
        self.event_subscription_is_new(conn, number);
    }

    fn count_event_subscriptions(&mut self, conn: ConnId, change: i32) {
        if let Some(conn) = self.conns.get_mut(conn) {
            conn.rules_subscriptions = conn.rules_subscriptions.saturating_add_signed(change);
        }
        self.total_subscriptions = self.total_subscriptions.saturating_add_signed(change as isize);
    }

    /// Ends one of a connection's own subscriptions; false if it is not one.
    pub(in crate::engine) fn remove_event_subscription(
        &mut self,
        conn: ConnId,
        number: u64,
    ) -> bool {
        let Some(side) = &mut self.rules else { return false };
        let Some(own) = side.of_conn.get_mut(&conn) else { return false };
        let Some(at) = own.iter().position(|have| *have == number) else { return false };
        own.remove(at);
        if own.is_empty() {
            side.of_conn.remove(&conn);
        }
        side.subscriptions.remove(number);
        side.told.remove(&number);
        if let Some(lost) = side.lost.get_mut(&conn) {
            lost.remove(&number);
        }
        self.forget_first_events(conn, number);
        self.count_event_subscriptions(conn, -1);
        true
    }

    /// Forgets all subscriptions of a connection that has ended.
    pub(in crate::engine) fn drop_event_subscriptions(&mut self, conn: ConnId) {
        let Some(side) = &mut self.rules else { return };
        side.lost.remove(&conn);
        side.waiting.remove(&conn);
        let own = side.of_conn.remove(&conn).unwrap_or_default();
        for number in &own {
            side.subscriptions.remove(*number);
            side.told.remove(number);
        }
        // The connection's own count went with it.
        self.total_subscriptions = self.total_subscriptions.saturating_sub(own.len());
    }

    /// Authorises the event subscriptions of a connection anew. Those that are
    /// refused end. What was missed while the connection was suspended is not
    /// repeated.
    pub(in crate::engine) fn reauthorise_event_subscriptions(&mut self, conn: ConnId) {
        let Some(side) = &self.rules else { return };
        for number in side.of_conn.get(&conn).cloned().unwrap_or_default() {
            let side = self.rules.as_ref();
            let pattern = side.and_then(|side| side.subscriptions.pattern(number));
            let Some(pattern) = pattern.map(str::to_owned) else { continue };
            let Some(refused) = self.refusal_to_subscribe_events(conn, &pattern) else { continue };
            self.remove_event_subscription(conn, number);
            let mut text =
                br#"{"type":"system","event":"subscription_cancelled","subscriptionId":""#.to_vec();
            text.extend_from_slice(subscription_id(number, &mut [0; 24]).as_bytes());
            text.extend_from_slice(b"\",\"reason\":");
            write_string(&mut text, &refused.message);
            text.push(b'}');
            self.send(conn, &text, None, b"");
        }
    }

    /// Pushes an event to everyone who subscribed to it. Serialised once.
    pub(super) fn push_event(&mut self, event: &Arc<Event>) {
        let Some(side) = &self.rules else { return };
        if side.subscriptions.is_empty() {
            return;
        }
        // Records that not everybody may see reach rules, and no other client.
        let hidden =
            side.hides_store_events && event.source == Source::Store && self.auth_enabled();
        let matching: Vec<(u64, ConnId)> = side
            .subscriptions
            .matching(&event.topic)
            .map(|(number, conn)| (number, *conn))
            .filter(|(_, conn)| !hidden || self.conns.get(*conn).is_some_and(|it| it.trusted))
            .collect();
        if matching.is_empty() {
            return;
        }
        let mut body = Vec::with_capacity(256);
        body.extend_from_slice(b"{\"topic\":");
        write_string(&mut body, &event.topic);
        body.extend_from_slice(b",\"event\":");
        event.write(&mut body);
        body.push(b'}');
        let body: Arc<[u8]> = body.into();
        for (number, conn) in matching {
            match self.keep_event(conn, number, &body) {
                Some(true) => {}
                Some(false) => self.event_lost(conn, number),
                None => self.push_event_to(conn, number, &body),
            }
        }
    }

    pub(super) fn push_event_to(&mut self, conn: ConnId, number: u64, body: &Arc<[u8]>) {
        if self.numbers_events(conn) {
            return self.push_numbered(conn, number, body);
        }
        let mut buffer = [0; 24];
        let id = subscription_id(number, &mut buffer);
        if self.push(conn, "event", id, Some(body)) == Pushed::OverMark {
            self.event_lost(conn, number);
        }
    }

    /// A push was not queued. A connection that must log in is owed nothing, unless
    /// its events are numbered; a slow reader will be told how many it missed.
    pub(super) fn event_lost(&mut self, conn: ConnId, number: u64) {
        let is_numbered = self.numbers_events(conn);
        if self.conns.get(conn).is_none_or(|conn| conn.suspended && !is_numbered) {
            return;
        }
        if let Some(conn) = self.conns.get_mut(conn) {
            conn.meter.dropped_events = conn.meter.dropped_events.saturating_add(1);
        }
        if let Some(side) = &mut self.rules {
            *side.lost.entry(conn).or_default().entry(number).or_default() += 1;
        }
    }

    /// A connection has room again: tells it what it has lost. Comes after the
    /// results that it is owed.
    pub(in crate::engine) fn report_lost_events(&mut self, id: ConnId) {
        if self.rules.as_ref().is_none_or(|side| !side.lost.contains_key(&id)) {
            return;
        }
        let is_numbered = self.numbers_events(id);
        let Some(side) = &mut self.rules else { return };
        // Well below the mark, so that not every push is lost and reported by
        // itself.
        let room = (self.options.push_threshold() / 2.0).max(1.0);
        let takes = |conn: &crate::engine::Conn| {
            (conn.buffered as f64) < room && !(is_numbered && conn.suspended)
        };
        if !self.conns.get(id).is_some_and(takes) {
            return;
        }
        for (number, count) in side.lost.remove(&id).unwrap_or_default() {
            if self.has_first_events(id, number) {
                // It follows those that were kept.
                if let Some(side) = &mut self.rules {
                    side.lost.entry(id).or_default().insert(number, count);
                }
                continue;
            }
            if is_numbered {
                self.tell_gap(id, number, count);
                continue;
            }
            let mut text =
                br#"{"type":"system","event":"pushes_dropped","subscriptionId":""#.to_vec();
            text.extend_from_slice(subscription_id(number, &mut [0; 24]).as_bytes());
            text.extend_from_slice(b"\",\"count\":");
            write_number(&mut text, count as f64);
            text.push(b'}');
            self.send(id, &text, None, b"");
        }
    }

    /// Holds what must be true between two calls.
    pub(in crate::engine) fn check_rules_side(&self) {
        let Some(side) = &self.rules else { return };
        assert!(side.core.is_some(), "the rule engine was not put back");
        let owned: usize = side.of_conn.values().map(Vec::len).sum();
        assert_eq!(owned, side.subscriptions.len(), "event subscriptions");
        for conn in self.conns.in_order() {
            let own = side.of_conn.get(&conn.id).map_or(0, Vec::len);
            assert_eq!(own, conn.rules_subscriptions as usize, "{}", conn.name());
        }
        let waiting = side.waiting.keys();
        let is_there = |number: &u64| side.subscriptions.pattern(*number).is_some();
        assert!(side.told.keys().all(is_there), "numbers of a subscription that is gone");
        for conn in side.of_conn.keys().chain(side.lost.keys()).chain(waiting) {
            assert!(self.conns.get(*conn).is_some(), "a subscription of nobody");
        }
        assert!(side.bridge.as_ref().is_none_or(Bridge::is_empty), "bridged events are left");
    }
}
