//! Times as records hold them, ordered.

use std::cmp::Ordering;

/// Milliseconds since the Unix epoch; whatever number a client put there.
/// Ordered as numbers, `-0` below `0`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Millis(pub f64);

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
