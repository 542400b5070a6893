//! What all connections together may hold (limits.md section 4): output that
//! nobody takes, and messages that nobody ends.

use super::counters::Counters;
use super::entry::Entry;
use super::http::door::Denied;
use super::transport::Transport;
use crate::app::App;
use std::sync::atomic::Ordering::Relaxed;

/// Milliseconds without progress after which a reader may be given up for the
/// others.
const STILL_MS: u64 = 1_000;

/// How often somebody is looked for while there is too much output: whoever
/// looks, looks at every connection.
const LOOK_EVERY_MS: u64 = 100;

impl<A: App + 'static> Transport<A> {
    /// Closes the largest of those whose output stands still, until there is
    /// room.
    pub(super) fn bound_output(&mut self) {
        let limit = self.options.max_output_bytes as u64;
        let mut held = self.counters.outbox_bytes.load(Relaxed);
        if held <= limit {
            self.output_again = None;
            return;
        }
        let now = self.now.mono;
        if self.output_again.is_some_and(|at| now < at) {
            return;
        }
        self.output_again = Some(now.saturating_add(LOOK_EVERY_MS));
        // What waits for a commit is not the peer's fault.
        let stands_still = |entry: &Entry| {
            let is_read = entry.conn.is_open() || entry.conn.is_streaming() || entry.is_answer;
            entry.blocked && is_read && now.saturating_sub(entry.progress) >= STILL_MS
        };
        let still = self.table.iter().filter(|(_, entry)| stands_still(entry));
        let mut largest: Vec<(usize, u32)> =
            still.map(|(slot, entry)| (entry.reported, slot as u32)).collect();
        largest.sort_unstable_by(|a, b| b.cmp(a));
        let room = limit / 8 * 7;
        for (bytes, slot) in largest {
            if held < room {
                return;
            }
            self.counters.output_limit_reached.fetch_add(1, Relaxed);
            self.give_up(slot, "output_limit");
            held = held.saturating_sub(bytes as u64);
        }
    }

    /// Input of a connection was handled: what is left of it counts.
    pub(super) fn note_input(&mut self, slot: u32) {
        let Some(entry) = self.table.get_mut(slot as usize) else { return };
        let bytes = entry.unfinished_bytes();
        Counters::replace(&self.counters.input_bytes, entry.reported_input, bytes);
        entry.reported_input = bytes;
        if self.counters.input_bytes.load(Relaxed) <= self.options.max_input_bytes as u64 {
            return;
        }
        let has_some = |entry: &Entry| entry.conn.is_open() || entry.conn.is_reading_body();
        let amid = self.table.iter().filter(|(_, entry)| has_some(entry));
        let largest = amid.max_by_key(|(_, entry)| entry.reported_input).map(|(slot, _)| slot);
        if let Some(largest) = largest {
            self.counters.input_limit_reached.fetch_add(1, Relaxed);
            self.give_up(largest as u32, "input_limit");
        }
    }

    /// The gauges of what a connection holds, which has become less.
    fn note_less(&mut self, slot: u32) {
        let Some(entry) = self.table.get_mut(slot as usize) else { return };
        let bytes = entry.unfinished_bytes();
        Counters::replace(&self.counters.input_bytes, entry.reported_input, bytes);
        entry.reported_input = bytes;
        let buffered = entry.buffered();
        Counters::replace(&self.counters.outbox_bytes, entry.reported, buffered);
        entry.reported = buffered;
    }

    /// Closes with 1013, without what makes it too much.
    fn give_up(&mut self, slot: u32, reason: &'static str) {
        let Some(id) = self.id_of(slot) else { return };
        self.tell_closed(id, 1013, reason);
        let Some(entry) = self.table.get_mut(slot as usize) else { return };
        log::warn!("connection from {}: closed, {reason}", entry.address);
        if entry.conn.is_reading_body() {
            let step = entry.conn.deny(Denied::TooMuchInput);
            self.perform(slot, step);
            return self.note_less(slot);
        }
        let (is_framed, is_answer) = (entry.conn.is_open(), entry.is_answer);
        let whole = entry.conn.outbox.keep_begun() && is_framed;
        if is_framed {
            entry.conn.close(1013, reason);
        } else if entry.conn.is_streaming() {
            entry.conn.end_stream();
        }
        self.note_less(slot);
        if !is_answer {
            self.begin_end(slot, 1013);
        }
        if !whole {
            // Too long a rest of a message that has begun.
            self.doom(slot);
        }
    }
}
