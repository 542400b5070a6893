//! What one connection costs. Kept small: there may be tens of thousands.

/// The length of the intervals over which shares are told.
pub(super) const INTERVAL_MS: u64 = 10_000;

/// What was done in one interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Interval {
    pub requests: u32,
    pub micros: u32,
}

/// See the module's description.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Meter {
    pub requests: u64,
    pub errors: u64,
    /// Length of the messages that were received.
    pub received: u64,
    /// Time of the loop, where somebody measures it.
    pub micros: u64,
    /// The most bytes that were ever queued.
    pub largest_buffered: usize,
    /// Monotonic time at which the socket last took output, or at which the oldest
    /// that waits was queued.
    pub progress: u64,
    /// Milliseconds from the newest ping to its pong.
    pub ping_ms: Option<u32>,
    /// Results that a newer one superseded before they could be sent.
    pub skipped: u32,
    pub dropped_events: u32,
    /// The number of the interval that `current` belongs to.
    interval: u32,
    current: Interval,
    last: Interval,
}

impl Meter {
    fn roll(&mut self, now: u64) {
        let interval = u32::try_from(now / INTERVAL_MS).unwrap_or(u32::MAX);
        match interval.wrapping_sub(self.interval) {
            0 => return,
            1 => self.last = self.current,
            _ => self.last = Interval::default(),
        }
        self.current = Interval::default();
        self.interval = interval;
    }

    pub fn count_request(&mut self, now: u64, length: usize, micros: u64, failed: bool) {
        self.roll(now);
        self.requests += 1;
        self.errors += u64::from(failed);
        self.received += length as u64;
        self.micros += micros;
        self.current.requests = self.current.requests.saturating_add(1);
        let micros = u32::try_from(micros).unwrap_or(u32::MAX);
        self.current.micros = self.current.micros.saturating_add(micros);
    }

    /// So many bytes are queued now; `was_empty`: none was before.
    pub fn note_queued(&mut self, now: u64, buffered: usize, was_empty: bool) {
        self.largest_buffered = self.largest_buffered.max(buffered);
        if was_empty {
            self.progress = now;
        }
    }

    /// The last interval that is over.
    pub(super) fn last_interval(mut self, now: u64) -> Interval {
        self.roll(now);
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_that_of_the_last_whole_interval() {
        let mut meter = Meter::default();
        for at in [20_000, 25_000, 29_999] {
            meter.count_request(at, 10, 7, at == 25_000);
        }
        assert_eq!(meter.last_interval(29_999), Interval::default());
        assert_eq!(meter.last_interval(30_000), Interval { requests: 3, micros: 21 });
        assert_eq!(meter.last_interval(39_999), Interval { requests: 3, micros: 21 });
        assert_eq!(meter.last_interval(40_000), Interval::default());
        assert_eq!((meter.requests, meter.errors, meter.received), (3, 1, 30));
        assert!(size_of::<Meter>() <= 96, "{}", size_of::<Meter>());
    }
}
