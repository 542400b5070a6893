//! Lines of the log about handshakes that were refused: whoever floods the
//! server with them does not flood its log.
//!
//! Owns that there is one line a second for each reason, and that none of those
//! without a line of their own is left out of the count. Must not know the
//! counters, which count each.

use std::collections::BTreeMap;

use crate::address::Address;

/// Between two lines of one reason.
const SECOND_MS: u64 = 1_000;

/// What was said of a reason, and what was not.
#[derive(Debug)]
struct Told {
    /// Nothing more is said before this monotonic time.
    until: u64,
    /// Refused since the last line.
    more: u64,
}

/// See the module's description. There are as many entries as reasons.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    told: BTreeMap<&'static str, Told>,
    /// When the first of them has something left to say.
    deadline: Option<u64>,
}

/// Of a socket that is closed without a byte, because it did not come through
/// the proxy that is meant to stand in front.
fn level(reason: &str) -> log::Level {
    if reason.starts_with("proxy_") { log::Level::Debug } else { log::Level::Info }
}

impl Refusals {
    /// A handshake was refused: whether a line is to say so.
    fn is_told(&mut self, reason: &'static str, now: u64) -> bool {
        let fresh = Told { until: 0, more: 0 };
        let told = self.told.entry(reason).or_insert(fresh);
        if told.until <= now && told.more == 0 {
            told.until = now.saturating_add(SECOND_MS);
            return true;
        }
        told.more += 1;
        let due = told.until;
        self.deadline = Some(self.deadline.map_or(due, |deadline| deadline.min(due)));
        false
    }

    /// What the seconds that are over had beside their lines.
    fn rest(&mut self, now: u64) -> Vec<(&'static str, u64)> {
        let mut rest = Vec::new();
        self.deadline = None;
        for (reason, told) in self.told.iter_mut().filter(|(_, told)| told.more > 0) {
            if told.until <= now {
                rest.push((*reason, std::mem::take(&mut told.more)));
                told.until = now.saturating_add(SECOND_MS);
            } else {
                self.deadline =
                    Some(self.deadline.map_or(told.until, |deadline| deadline.min(told.until)));
            }
        }
        rest
    }

    pub fn note(&mut self, reason: &'static str, from: Address, why: &str, now: u64) {
        let level = level(reason);
        if log::max_level() >= level && self.is_told(reason, now) {
            log::log!(level, "handshake refused from {from}: {why}");
        }
    }

    pub fn next_deadline(&self) -> Option<u64> {
        self.deadline
    }

    pub fn tell(&mut self, now: u64) {
        if self.deadline.is_none_or(|deadline| deadline > now) {
            return;
        }
        for (reason, n) in self.rest(now) {
            log::log!(level(reason), n = n; "and {n} more handshakes refused: {reason}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_has_a_line_a_second_and_none_is_forgotten() {
        let mut refusals = Refusals::default();
        assert!(refusals.is_told("origin", 10));
        assert_eq!((refusals.next_deadline(), refusals.rest(5_000)), (None, Vec::new()));
        let again: Vec<bool> = (20..25).map(|now| refusals.is_told("origin", now)).collect();
        assert_eq!(again, [false; 5]);
        assert!(refusals.is_told("host", 500), "another reason is another line");
        assert!(!refusals.is_told("host", 600));
        assert_eq!(refusals.next_deadline(), Some(1_010));
        assert_eq!(refusals.rest(1_009), []);
        assert_eq!(refusals.rest(1_010), [("origin", 5)]);
        // That was the line of its next second.
        assert!(!refusals.is_told("origin", 1_011));
        assert_eq!(refusals.next_deadline(), Some(1_500));
        assert_eq!(refusals.rest(2_010), [("host", 1), ("origin", 1)]);
        assert_eq!(refusals.next_deadline(), None);
        assert!(refusals.is_told("origin", 3_010) && !refusals.is_told("origin", 3_011));
    }

    #[test]
    fn a_line_that_is_due_comes_before_a_new_one() {
        let mut refusals = Refusals::default();
        assert!(refusals.is_told("not_found", 0) && !refusals.is_told("not_found", 1));
        // The loop was late.
        assert!(!refusals.is_told("not_found", 1_500));
        assert_eq!(refusals.rest(1_500), [("not_found", 2)]);
    }
}
