//! What all forms of patterns share: their alarms, and how much one may keep.

use super::super::due::Due;
use crate::wheel::{TimerId, Wheel};

/// Instances (or groups) of one rule; the oldest is dropped.
pub(super) const MAX_INSTANCES: usize = 10_000;

/// The clock and the wheel, as far as patterns need them.
pub(super) struct Alarms<'w> {
    pub wheel: &'w mut Wheel<Due>,
    /// Monotonic milliseconds.
    pub mono: u64,
    pub wall: u64,
    /// The time of the event, or of the alarm, on the clock of the patterns.
    pub time: u64,
    pub(super) rule: u64,
    pub(super) next: &'w mut u64,
}

impl Alarms<'_> {
    /// An alarm in so many milliseconds.
    pub(super) fn set(&mut self, after: u64) -> (u64, TimerId) {
        *self.next += 1;
        let due = Due::Pattern { rule: self.rule, alarm: *self.next };
        (*self.next, self.wheel.insert(self.mono.saturating_add(after), due))
    }
}
