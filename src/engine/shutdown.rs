//! Stopping: announce, wait, close everyone, leave.

use super::spread::Phase;
use super::{Engine, Timer};
use crate::app::{ConnId, Effect};

/// How long a shutdown waits for the jobs that requests wait for, in all.
const JOBS_MS: u64 = 5000;

/// Longest time over which clients are asked to come back.
const MOST_RETRY_AFTER_MS: u64 = 60_000;

impl Engine {
    /// The first call waits for balancers to notice, announces and waits for the
    /// grace period; a second one cuts short what is going on.
    pub(super) fn begin_shutdown(&mut self, grace_ms: u64) {
        let delay_ms = self.options.shutdown_delay_ms;
        match self.ending.phase {
            Phase::Running if delay_ms > 0 => {
                self.ending.phase = Phase::Delay;
                let at = self.now.mono.saturating_add(delay_ms);
                self.wheel.insert(at, Timer::ShutdownDelay(grace_ms));
            }
            Phase::Running | Phase::Delay => {
                self.effects.list.push(Effect::StopAccepting);
                self.announce_shutdown(grace_ms);
                if grace_ms > 0 && self.conns.len() > 0 {
                    self.ending.phase = Phase::Grace;
                    self.begin_spread(grace_ms);
                    self.wheel.insert(self.now.mono.saturating_add(grace_ms), Timer::GraceOver);
                } else {
                    self.close_everyone();
                }
            }
            Phase::Grace => self.close_everyone(),
            Phase::Draining | Phase::Stopped => {}
        }
    }

    /// Tells everybody, so that nobody comes back in one instant with all others;
    /// without a grace period only those who know what to do with it.
    fn announce_shutdown(&mut self, grace_ms: u64) {
        let come_back = (self.conns.len() as u64).saturating_mul(1000);
        let come_back = come_back / u64::from(self.options.reconnects_per_second.max(1));
        let retry_after = come_back.clamp(1000, MOST_RETRY_AFTER_MS);
        self.ending.retry_after_ms = retry_after;
        let head =
            format!("{{\"type\":\"system\",\"event\":\"shutdown\",\"gracePeriodMs\":{grace_ms}");
        let tail = format!(",\"retryAfterMs\":{retry_after}}}");
        for conn in self.conns.ids() {
            if self.has_opted_in(conn) {
                self.send_when(conn, head.as_bytes(), None, tail.as_bytes(), 0);
            } else if grace_ms > 0 {
                self.send_when(conn, head.as_bytes(), None, b"}", 0);
            }
        }
    }

    /// Whoever balances has had the time to notice.
    pub(super) fn delay_over(&mut self, grace_ms: u64) {
        if self.ending.phase == Phase::Delay {
            self.begin_shutdown(grace_ms);
        }
    }

    /// Closes all connections, newest first; those whose request waits for a
    /// job have a little longer.
    pub(super) fn close_everyone(&mut self) {
        if matches!(self.ending.phase, Phase::Draining | Phase::Stopped) {
            return;
        }
        self.ending.phase = Phase::Draining;
        self.end_all_traces();
        for id in self.conns.ids().into_iter().rev() {
            if self.conns.get(id).is_some_and(|conn| !conn.is_busy()) {
                self.close(id, 1000, "server_shutdown");
            }
        }
        if self.conns.len() > 0 {
            self.wheel.insert(self.now.mono.saturating_add(JOBS_MS), Timer::JobsOver);
        }
        self.connection_left();
    }

    /// Nothing more can be done for anybody: the loop ends when those who are
    /// being closed are gone.
    pub(super) fn stop_at_once(&mut self) {
        if self.ending.phase != Phase::Stopped {
            self.ending.phase = Phase::Stopped;
            self.effects.list.push(Effect::Stop);
        }
    }

    /// The jobs did not finish in time.
    pub(super) fn close_waiting(&mut self) {
        for id in self.conns.ids().into_iter().rev() {
            self.close(id, 1000, "server_shutdown");
        }
    }

    /// While draining: whether this was the last.
    pub(super) fn connection_left(&mut self) {
        if self.conns.len() > 0 {
            return;
        }
        match self.ending.phase {
            Phase::Running | Phase::Delay | Phase::Stopped => {}
            Phase::Grace | Phase::Draining => {
                self.ending.phase = Phase::Stopped;
                self.effects.list.push(Effect::Stop);
            }
        }
    }

    pub(super) fn is_draining(&self) -> bool {
        self.ending.phase == Phase::Draining
    }

    /// While draining: closes a connection whose request has been answered.
    pub(super) fn close_if_idle(&mut self, id: ConnId) {
        if self.conns.get(id).is_some_and(|conn| !conn.is_busy()) {
            self.close(id, 1000, "server_shutdown");
        }
    }

    /// Whether the engine is still serving newcomers.
    pub(super) fn serves_newcomers(&self) -> bool {
        matches!(self.ending.phase, Phase::Running | Phase::Delay)
    }

    /// Whether nobody has asked it to stop.
    pub fn is_running(&self) -> bool {
        self.ending.phase == Phase::Running
    }
}
