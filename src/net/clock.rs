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

    /// Milliseconds of a clock that is some milliseconds behind and costs next
    /// to nothing to look at.
    pub fn coarse() -> u64 {
        #[cfg(target_os = "linux")]
        {
            let time = rustix::time::clock_gettime(rustix::time::ClockId::MonotonicCoarse);
            let part = |value: i64| u64::try_from(value).unwrap_or(0);
            part(time.tv_sec).saturating_mul(1000).saturating_add(part(time.tv_nsec) / 1_000_000)
        }
        #[cfg(not(target_os = "linux"))]
        {
            static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
            milliseconds(START.get_or_init(Instant::now).elapsed())
        }
    }

    /// Microseconds since the start, to measure with.
    pub fn micros(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
