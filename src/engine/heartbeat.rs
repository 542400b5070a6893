//! Pings and what happens without a pong.

use super::{Engine, Timer};
use crate::app::{ConnId, TransportView};
use crate::json::Json;

/// A connection that always has input in front of its pong, because it floods,
/// is not waited for longer than this many turns.
const MOST_PUT_OFF: u8 = 100;

/// Deadlines in a row that a transfer excuses (limits.md section 5).
const MOST_TRANSFERS: u8 = 10;

impl Engine {
    pub(super) fn start_heartbeat(&mut self, id: ConnId) {
        let interval = self.options.heartbeat_interval_ms;
        if interval == 0 {
            return;
        }
        let Some(conn) = self.conns.get_mut(id) else { return };
        conn.heartbeat.next_ping = self.now.mono.saturating_add(interval);
        let timer = self.wheel.insert(conn.heartbeat.next_ping, Timer::Heartbeat(id));
        conn.heartbeat.timer = Some(timer);
    }

    /// A pong answers the newest ping if it carries at least its time. One that
    /// came before the ping answers nothing: the ping resets `answered`.
    pub(super) fn pong(&mut self, id: ConnId, timestamp: f64) {
        if let Some(conn) = self.conns.get_mut(id)
            && timestamp >= conn.heartbeat.pinged as f64
        {
            let was_answered = std::mem::replace(&mut conn.heartbeat.answered, true);
            conn.heartbeat.transfers = 0;
            if !was_answered {
                let took = self.now.mono.saturating_sub(conn.heartbeat.pinged_mono);
                conn.meter.ping_ms = Some(u32::try_from(took).unwrap_or(u32::MAX));
                self.figures.round_trips.count(took.saturating_mul(1_000));
                self.trace_state(id, "ping", [("ms", Json::Number(took as f64))]);
            }
        }
    }

    /// Either the next ping is due, or the time to answer the last one is over.
    pub(super) fn heartbeat_due(&mut self, id: ConnId, view: &dyn TransportView) {
        let now = self.now;
        let interval = self.options.heartbeat_interval_ms;
        let timeout = self.options.pong_timeout_ms();
        let is_behind = self.last_durable() < self.log.last();
        let Some(conn) = self.conns.get_mut(id) else { return };
        let beat = &mut conn.heartbeat;
        beat.timer = None;
        let next = if !beat.answered && !beat.is_excused {
            // A connection that the server itself does not read is not blamed:
            // a request that waits for a job holds its messages back, and a
            // client that is slow to read is alive while it takes output.
            // Nor is one whose ping lies behind output that waits for the disk.
            let excused = conn.waiting.is_some()
                || (conn.buffered > 0 && is_behind)
                || (view.is_read_paused(id) && view.last_output_progress(id) >= beat.pinged_mono);
            if !excused
                && beat.transfers < MOST_TRANSFERS
                && view.is_amid_transfer(id, beat.pinged_mono)
            {
                // Slow, and moving: the next ping decides.
                beat.transfers += 1;
                beat.is_excused = true;
                beat.next_ping
            } else if excused {
                now.mono.saturating_add(timeout)
            } else if view.has_unread_input(id) && beat.put_off < MOST_PUT_OFF {
                // The pong may be among what has arrived: read first.
                beat.put_off += 1;
                now.mono.saturating_add(1)
            } else {
                self.close(id, 4001, "heartbeat_timeout");
                return;
            }
        } else if now.mono < beat.next_ping {
            beat.next_ping
        } else {
            beat.pinged = now.wall.max(beat.pinged.saturating_add(1));
            beat.pinged_mono = now.mono;
            beat.answered = false;
            beat.is_excused = false;
            beat.put_off = 0;
            // Counted from the connect, so that pings do not drift; ticks that
            // were missed are skipped.
            let late = now.mono.saturating_sub(beat.next_ping) / interval.max(1);
            beat.next_ping =
                beat.next_ping.saturating_add(interval.saturating_mul(late.saturating_add(1)));
            let mut text = format!("{{\"type\":\"ping\",\"timestamp\":{}", beat.pinged);
            if let Some(commit) = self.bookmark(id) {
                text.push_str(&format!(",\"commit\":{commit}"));
            }
            text.push('}');
            let due = now.mono.saturating_add(timeout);
            self.send_when(id, text.as_bytes(), None, b"", 0);
            due
        };
        let timer = self.wheel.insert(next, Timer::Heartbeat(id));
        match self.conns.get_mut(id) {
            Some(conn) => conn.heartbeat.timer = Some(timer),
            None => drop(self.wheel.cancel(timer)),
        }
    }
}
