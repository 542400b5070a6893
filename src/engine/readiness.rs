//! Whether newcomers are welcome, and why not (operations.md section 5).

use super::Engine;
use super::metrics_table::Door;
use crate::app::{CommitSeq, HttpAnswer};

/// How long the storage may take for what it was given before that shows.
const STORAGE_LATE_MS: u64 = 30_000;

/// What the engine remembers for the readiness check.
#[derive(Debug, Default)]
pub(crate) struct Readiness {
    storage_failed: bool,
    /// What was durable when that was last looked at.
    durable: CommitSeq,
    /// Since when there has been something to write and nothing was written.
    stuck_since: Option<u64>,
}

impl Engine {
    pub(super) fn note_storage_failed(&mut self) {
        self.readiness.storage_failed = true;
    }

    /// How far the log is durable; told at the end of every turn. A storage that
    /// gets on is no reason, however much it has before it.
    pub fn note_durable(&mut self, durable: CommitSeq) {
        let (now, is_behind) = (self.now.mono, durable < self.log.last());
        let readiness = &mut self.readiness;
        let moved = std::mem::replace(&mut readiness.durable, durable) != durable;
        readiness.stuck_since = match readiness.stuck_since {
            Some(since) if is_behind && !moved => Some(since),
            _ => is_behind.then_some(now),
        };
    }

    /// Why newcomers should go elsewhere; empty if they should not.
    fn reasons_not_ready(&self) -> Vec<&'static str> {
        let readiness = &self.readiness;
        let late = |since| self.now.mono.saturating_sub(since) > STORAGE_LATE_MS;
        let reasons = [
            (!self.is_running(), "draining"),
            (readiness.storage_failed, "storage failed"),
            (self.is_read_only(), "disk full"),
            (readiness.stuck_since.is_some_and(late), "storage waiting"),
        ];
        reasons.into_iter().filter(|(holds, _)| *holds).map(|(_, reason)| reason).collect()
    }

    /// For how long nothing of what waits was written, in milliseconds.
    pub(super) fn storage_waits_ms(&self) -> u64 {
        self.readiness.stuck_since.map_or(0, |since| self.now.mono.saturating_sub(since))
    }

    pub(super) fn last_durable(&self) -> CommitSeq {
        self.readiness.durable.min(self.log.last())
    }

    pub(super) fn last_commit(&self) -> CommitSeq {
        self.log.last()
    }

    /// Connections and subscriptions, for whoever minds the process.
    pub fn service_counts(&self) -> (usize, usize) {
        (self.conns.len(), self.total_subscriptions)
    }

    /// The answer on the path of a probe.
    pub(super) fn answer_probe(&self, path: &str) -> Option<(Door, HttpAnswer)> {
        let answer = |door, status, body: String| {
            let content_type = "text/plain; charset=utf-8";
            Some((door, HttpAnswer { status, content_type, body: body.into_bytes() }))
        };
        if self.options.health_path.as_deref() == Some(path) {
            // Whoever restarts what does not answer must not cut a drain short.
            return answer(Door::Health, 200, "ok".into());
        }
        if self.options.ready_path.as_deref() != Some(path) {
            return None;
        }
        match self.reasons_not_ready() {
            reasons if reasons.is_empty() => answer(Door::Ready, 200, "ready".into()),
            reasons => answer(Door::Ready, 503, format!("not ready: {}", reasons.join(", "))),
        }
    }
}
