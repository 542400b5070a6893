//! Connections that are closed evenly over the grace period of a shutdown, so
//! that they do not come to another server all at once.

use super::{Engine, Timer};

/// Time between two steps, ms.
const STEP_MS: u64 = 100;

/// The part of the grace period in which connections are closed: it begins and
/// ends a tenth from its ends.
#[derive(Debug)]
pub(super) struct Spread {
    begin: u64,
    length: u64,
    /// When it began.
    connections: u64,
}

impl Spread {
    fn new(now: u64, grace_ms: u64, connections: usize) -> Self {
        let tenth = grace_ms / 10;
        let length = grace_ms.saturating_sub(tenth.saturating_mul(2)).max(1);
        let begin = now.saturating_add(tenth);
        Spread { begin, length, connections: connections as u64 }
    }

    /// How many of those who are left are to be closed at this time.
    fn due(&self, now: u64, left: usize) -> usize {
        let passed = u128::from(now.saturating_sub(self.begin).min(self.length));
        let by_now = u128::from(self.connections) * passed / u128::from(self.length);
        let by_now = u64::try_from(by_now).unwrap_or(self.connections);
        // Those who went by themselves count.
        let gone = self.connections.saturating_sub(left as u64);
        usize::try_from(by_now.saturating_sub(gone)).unwrap_or(usize::MAX)
    }

    fn is_over(&self, now: u64) -> bool {
        now.saturating_sub(self.begin) >= self.length
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Running,
    /// As before, but no longer ready for more.
    Delay,
    /// Service goes on for those who are connected.
    Grace,
    /// Waiting for the jobs of the connections that are left.
    Draining,
    Stopped,
}

/// How far the end of the server is.
#[derive(Debug)]
pub(super) struct Ending {
    pub phase: Phase,
    pub spread: Option<Spread>,
    /// What clients were told at its beginning: when to come back.
    pub retry_after_ms: u64,
}

impl Default for Ending {
    fn default() -> Ending {
        Ending { phase: Phase::Running, spread: None, retry_after_ms: 1000 }
    }
}

impl Engine {
    pub(super) fn begin_spread(&mut self, grace_ms: u64) {
        if !self.options.shutdown_spread {
            return;
        }
        let spread = Spread::new(self.now.mono, grace_ms, self.conns.len());
        self.wheel.insert(spread.begin, Timer::Spread);
        self.ending.spread = Some(spread);
    }

    /// Closes those whose turn it is: first of whom nothing was heard for longest,
    /// last those who are still being sent something. Who waits for a job stays
    /// until the end of the grace period.
    pub(super) fn spread_due(&mut self) {
        if self.ending.phase != Phase::Grace {
            return;
        }
        let now = self.now.mono;
        let Some(spread) = &self.ending.spread else { return };
        let due = spread.due(now, self.conns.len());
        if !spread.is_over(now) {
            self.wheel.insert(now.saturating_add(STEP_MS), Timer::Spread);
        }
        let idle = self.conns.all().filter(|conn| !conn.is_busy());
        let mut order: Vec<_> =
            idle.map(|conn| (conn.buffered > 0, conn.asked_at, conn.number, conn.id)).collect();
        let due = due.min(order.len());
        if due > 0 && due < order.len() {
            order.select_nth_unstable(due);
        }
        for (.., id) in order.into_iter().take(due) {
            self.close(id, 1000, "server_shutdown");
        }
    }
}
