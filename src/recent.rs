//! What has happened in the last minutes, minute by minute.
//!
//! Owns sums of the present minute and the five before it. What a sum is of is
//! its owner's business; the time is an argument.

use std::ops::AddAssign;

const MINUTE_MS: u64 = 60_000;
/// The minutes that are over and still count, and the present one.
const SLOTS: usize = 6;

/// See the module's description. A whole five minutes count, and of the minute
/// before them what the present one has not used up yet.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Recent<T> {
    /// The number of the minute of the first slot.
    minute: u64,
    /// The newest first.
    slots: [T; SLOTS],
}

impl<T: AddAssign + Copy + Default> Recent<T> {
    /// Something more has happened. `now`: monotonic milliseconds.
    pub fn add(&mut self, now: u64, more: T) {
        let minute = now / MINUTE_MS;
        let gone = usize::try_from(minute.saturating_sub(self.minute)).unwrap_or(SLOTS);
        if gone > 0 {
            self.minute = minute;
            self.slots.rotate_right(gone.min(SLOTS) % SLOTS);
            self.slots.iter_mut().take(gone).for_each(|slot| *slot = T::default());
        }
        if let Some(present) = self.slots.first_mut() {
            *present += more;
        }
    }

    /// All of it that is recent.
    pub fn sum(&self, now: u64) -> T {
        let gone = (now / MINUTE_MS).saturating_sub(self.minute);
        let still = SLOTS.saturating_sub(usize::try_from(gone).unwrap_or(SLOTS));
        let mut sum = T::default();
        self.slots.iter().take(still).for_each(|slot| sum += *slot);
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_older_than_its_minutes_does_not_count() {
        let mut recent = Recent::<u64>::default();
        assert_eq!(recent.sum(0), 0);
        // One in each second: what is counted is known at every time.
        for at in 0..1_000_u64 {
            recent.add(at * 1_000, 1);
            let whole = (at / 60 * 60).saturating_sub(300);
            assert_eq!(recent.sum(at * 1_000), at - whole + 1, "{at}");
        }
        let last = 999_000;
        assert_eq!(recent.sum(last + 240_000), 100, "minutes 15 and 16 are left of ten");
        assert_eq!(recent.sum(last + 300_000), 40);
        assert_eq!(recent.sum(last + 360_000), 0);
        recent.add(u64::MAX, 3);
        assert_eq!(recent.sum(u64::MAX), 3);
        // A clock that went back is none of ours, and loses nothing.
        recent.add(0, 1);
        assert_eq!(recent.sum(u64::MAX), 4);
    }
}
