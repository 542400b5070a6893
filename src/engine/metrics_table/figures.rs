//! What is counted for the metrics and for nothing else.

use std::collections::BTreeMap;

use crate::protocol::{ErrorCode, Family, OpError};

/// Bounds of the durations of turns and requests, in microseconds.
pub const TURN_BOUNDS: &[u64] =
    &[50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 1_000_000];

/// Bounds of the durations of what the disk does, in microseconds.
pub const BATCH_BOUNDS: &[u64] = &crate::storage::DURATION_BOUNDS;

/// Durations by their length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram {
    /// Upper bounds in microseconds, ascending.
    pub bounds: &'static [u64],
    /// How many there were up to each bound and above the one before, and behind
    /// them those that were longer.
    pub counts: Vec<u64>,
    /// All of them together, in microseconds.
    pub sum_micros: u64,
}

impl Histogram {
    /// One that has seen nothing.
    pub fn new(bounds: &'static [u64]) -> Self {
        Histogram { bounds, counts: vec![0; bounds.len() + 1], sum_micros: 0 }
    }

    /// One more, of so many microseconds.
    pub fn count(&mut self, micros: u64) {
        // Most are short, and there are as many as pushes.
        let at = match self.bounds.first() {
            Some(first) if micros <= *first => 0,
            _ => self.bounds.partition_point(|bound| *bound < micros),
        };
        if let Some(count) = self.counts.get_mut(at) {
            *count += 1;
        }
        self.sum_micros = self.sum_micros.saturating_add(micros);
    }

    /// How many there were.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }
}

/// What HTTP is spoken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Door {
    Health,
    Ready,
    Metrics,
}

impl Door {
    pub const fn as_str(self) -> &'static str {
        match self {
            Door::Health => "health",
            Door::Ready => "ready",
            Door::Metrics => "metrics",
        }
    }
}

#[derive(Debug)]
pub(crate) struct Figures {
    /// Loop time of requests, by family; `None` for what belongs to none.
    pub requests: BTreeMap<Option<Family>, Histogram>,
    pub errors: BTreeMap<&'static str, u64>,
    /// Answers by door and first digit of the status.
    pub http: BTreeMap<(Door, u16), u64>,
    pub login_failures: u64,
    pub rate_limited_requests: u64,
    pub rate_limited_logins: u64,
    pub rate_limited_subscriptions: u64,
    pub subscription_pushes: u64,
    pub event_pushes: u64,
    pub trace_pushes: u64,
    pub event_gaps: u64,
    /// Results that a newer one superseded before they could be sent.
    pub pushes_skipped: u64,
    /// From the commit, or from when what was held back could leave, to the kernel.
    pub push_delays: Histogram,
    /// From a ping of the protocol to its pong.
    pub round_trips: Histogram,
    pub procedures_ok: u64,
    pub procedures_failed: u64,
    /// By what, and whether it went well.
    pub reloads: BTreeMap<(&'static str, bool), u64>,
    /// Subscribes that brought a token, by what became of them.
    pub resumes: BTreeMap<&'static str, u64>,
}

impl Default for Figures {
    fn default() -> Self {
        Figures {
            requests: BTreeMap::new(),
            errors: BTreeMap::new(),
            http: BTreeMap::new(),
            login_failures: 0,
            rate_limited_requests: 0,
            rate_limited_logins: 0,
            rate_limited_subscriptions: 0,
            subscription_pushes: 0,
            event_pushes: 0,
            trace_pushes: 0,
            event_gaps: 0,
            pushes_skipped: 0,
            push_delays: Histogram::new(BATCH_BOUNDS),
            round_trips: Histogram::new(BATCH_BOUNDS),
            procedures_ok: 0,
            procedures_failed: 0,
            reloads: BTreeMap::new(),
            resumes: BTreeMap::new(),
        }
    }
}

impl Figures {
    pub fn count_resume(&mut self, outcome: &'static str) {
        *self.resumes.entry(outcome).or_default() += 1;
    }

    pub fn count_request(&mut self, family: Option<Family>, micros: u64) {
        let durations = self.requests.entry(family);
        durations.or_insert_with(|| Histogram::new(TURN_BOUNDS)).count(micros);
    }

    pub fn count_error(&mut self, code: ErrorCode) {
        *self.errors.entry(code.as_str()).or_default() += 1;
    }

    pub fn count_http(&mut self, door: Door, status: u16) {
        *self.http.entry((door, status / 100)).or_default() += 1;
    }

    pub fn count_reload(&mut self, what: &'static str, good: bool) {
        *self.reloads.entry((what, good)).or_default() += 1;
    }

    /// What became of a request, beside its error code. True: a login failed.
    pub fn count_outcome(&mut self, operation: &str, error: Option<&OpError>) -> bool {
        let before = self.login_failures;
        let is_login =
            matches!(operation, "auth.login" | "identity.login" | "identity.loginWithSecret");
        match (operation, error) {
            ("procedures.call", None) => self.procedures_ok += 1,
            ("procedures.call", Some(_)) => self.procedures_failed += 1,
            _ => {}
        }
        match error.map(|error| (error.code, error.details.is_some())) {
            Some((ErrorCode::Unauthorized, _)) if is_login => self.login_failures += 1,
            Some((ErrorCode::RateLimited, false)) if operation == "session.open" => {}
            // Only the limits on subscriptions say nothing of when to come again.
            Some((ErrorCode::RateLimited, false)) => self.rate_limited_subscriptions += 1,
            // Those of requests are counted where they are refused.
            Some((ErrorCode::RateLimited, true)) => self.rate_limited_logins += 1,
            _ => {}
        }
        self.login_failures > before
    }
}
