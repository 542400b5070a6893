//! Room on the disk, as the storage thread sees it, and what follows from it for
//! writes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Time between two looks.
pub const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Nobody has looked yet.
const UNKNOWN: u64 = u64::MAX;

/// Bytes that were free at the last look.
#[derive(Debug)]
pub struct Free(AtomicU64);

impl Default for Free {
    fn default() -> Self {
        Free(AtomicU64::new(UNKNOWN))
    }
}

impl Free {
    pub fn set(&self, bytes: u64) {
        self.0.store(bytes.min(UNKNOWN - 1), Ordering::Relaxed);
    }

    pub fn get(&self) -> Option<u64> {
        Some(self.0.load(Ordering::Relaxed)).filter(|bytes| *bytes != UNKNOWN)
    }
}

/// Whether the disk is so full that writes are refused. It ends with a quarter
/// more room than it began with, so that it does not come and go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadOnly(bool);

impl ReadOnly {
    pub fn is_on(self) -> bool {
        self.0
    }

    /// Follows the free space. True: it is another state than before.
    pub fn follow(&mut self, free: u64, least: u64) -> bool {
        let now = match self.0 {
            true => free < least.saturating_add(least / 4),
            false => free < least,
        };
        std::mem::replace(&mut self.0, now) != now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_ends_with_more_room_than_it_began_with() {
        let mut state = ReadOnly::default();
        let seen: Vec<(bool, bool)> = [200, 100, 99, 124, 125, 99, 1_000]
            .into_iter()
            .map(|free| (state.follow(free, 100), state.is_on()))
            .collect();
        let expected = [
            (false, false),
            (false, false),
            (true, true),
            (false, true),
            (true, false),
            (true, true),
            (true, false),
        ];
        assert_eq!(seen, expected);
        assert!(!ReadOnly::default().follow(0, 0), "switched off");
        let free = Free::default();
        assert_eq!(free.get(), None);
        free.set(7);
        assert_eq!(free.get(), Some(7));
    }
}
