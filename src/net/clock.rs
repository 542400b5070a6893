//! The only place that asks the operating system for the time.

use crate::app::Now;
use std::time::{Duration, Instant, SystemTime};

#[derive(Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    pub fn new() -> Self {
        Clock { start: Instant::now() }
    }

    pub fn now(&self) -> Now {
        // A wall clock before 1970 shows 1970.
        let wall = SystemTime::UNIX_EPOCH.elapsed().unwrap_or(Duration::ZERO);
        Now { mono: milliseconds(self.start.elapsed()), wall: milliseconds(wall) }
    }

    /// Microseconds since the start, to measure with.
    pub fn micros(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
