//! What the engine makes of the time that comes with every call.
//!
//! Timers run on the monotonic clock. What is due in Unix time (the end of a
//! session, a time of day) is compared with the wall clock in every call and
//! at least once a second, because that clock may be set at any moment.

use super::Engine;
use crate::app::Now;

/// The wall clock was set when it and the monotonic clock differ by this much
/// more between two calls, ms. What is slewed stays below and is noticed by the
/// next look.
const STEP_MS: u64 = 250;

impl Engine {
    /// The time of a call from outside. Before anything else: who is no longer
    /// logged in now is sent nothing any more.
    pub(super) fn take_time(&mut self, now: Now) {
        let before = ahead(self.now);
        self.now = now;
        self.current.ticked = None;
        if ahead(now).abs_diff(before) > STEP_MS {
            self.clock_was_set(ahead(now) < before);
        }
        if self.has_session_ended() {
            self.notice_ended_sessions();
            self.settle_sessions();
        }
    }

    fn clock_was_set(&mut self, back: bool) {
        if back {
            self.resume_ended_sessions();
            self.settle_sessions();
        }
        self.with_rules(|core, cx| core.clock_was_set(back, cx));
    }
}

/// How far the wall clock is ahead of the monotonic one.
fn ahead(now: Now) -> i64 {
    let signed = |time| i64::try_from(time).unwrap_or(i64::MAX);
    signed(now.wall).saturating_sub(signed(now.mono))
}
