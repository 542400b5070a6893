//! Numbers as records hold them, ordered: times, mostly.

use std::cmp::Ordering;

/// Milliseconds since the Unix epoch, or whatever number a client put there.
/// Ordered as numbers. Stored numbers are never `-0`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Millis(pub f64);

impl Millis {
    /// A number to compare with: `-0` is `0`.
    pub fn of(number: f64) -> Self {
        Millis(number + 0.0)
    }
}

impl Ord for Millis {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl PartialOrd for Millis {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Millis {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Millis {}
