//! Counting: latencies in a histogram, and what happened between two moments.

use std::time::{Duration, Instant};

use crate::process;

/// Steps per doubling: a value is known to about 3 percent.
const STEPS: usize = 32;

/// Durations up to some minutes in buckets that grow with the value.
#[derive(Clone, Debug)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

impl Histogram {
    pub fn new() -> Histogram {
        Histogram { counts: vec![0; STEPS * 40], total: 0 }
    }

    pub fn add(&mut self, value: Duration) {
        let nanos = value.as_nanos() as u64;
        self.counts[index(nanos)] += 1;
        self.total += 1;
    }

    pub fn clear(&mut self) {
        self.counts.fill(0);
        self.total = 0;
    }

    /// The value that this share of all values does not exceed, in
    /// microseconds; `None` when nothing was added.
    pub fn micros(&self, share: f64) -> Option<f64> {
        let rank = (self.total as f64 * share).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return Some(value(index) as f64 / 1000.0);
            }
        }
        None
    }
}

fn index(nanos: u64) -> usize {
    let steps = STEPS as u64;
    if nanos < steps {
        return nanos as usize;
    }
    let doubling = nanos.ilog2() - steps.ilog2();
    let step = (nanos >> doubling) - steps;
    ((doubling as usize + 1) * STEPS + step as usize).min(STEPS * 40 - 1)
}

/// The middle of a bucket.
fn value(index: usize) -> u64 {
    let (doubling, step) = (index / STEPS, (index % STEPS) as u64);
    match doubling {
        0 => step,
        _ => {
            let shift = doubling as u32 - 1;
            ((step + STEPS as u64) << shift) + (1 << shift) / 2
        }
    }
}

/// Clocks at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    time: Instant,
    server: Option<u64>,
    own: Option<u64>,
}

/// What passed between two moments.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    pub seconds: f64,
    /// CPU time of the server in microseconds, if it can be read.
    pub server_micros: Option<f64>,
    /// How much of one core the generator used, 0 to 1.
    pub own_share: Option<f64>,
}

impl Moment {
    pub fn now(server: Option<u32>) -> Moment {
        Moment {
            server: server.and_then(process::cpu),
            own: process::cpu(std::process::id()),
            time: Instant::now(),
        }
    }

    pub fn until(&self, later: &Moment) -> Span {
        let seconds = (later.time - self.time).as_secs_f64();
        let between = |from: Option<u64>, to: Option<u64>| Some(to?.saturating_sub(from?) as f64);
        Span {
            seconds,
            server_micros: between(self.server, later.server).map(|nanos| nanos / 1000.0),
            own_share: between(self.own, later.own).map(|nanos| nanos / 1e9 / seconds),
        }
    }
}

/// The middle one of several measurements.
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() % 2 {
        _ if values.is_empty() => None,
        1 => Some(values[middle]),
        _ => Some((values[middle - 1] + values[middle]) / 2.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_histogram_is_right_to_a_few_percent() {
        for micros in [1u64, 3, 50, 777, 12_345, 9_999_999] {
            let mut histogram = Histogram::new();
            histogram.add(Duration::from_micros(micros));
            let seen = histogram.micros(0.5).expect("one value");
            assert!((seen / micros as f64 - 1.0).abs() < 0.04, "{micros}: {seen}");
        }
        assert_eq!(Histogram::new().micros(0.5), None);
    }

    #[test]
    fn shares_are_taken_from_below() {
        let mut histogram = Histogram::new();
        for micros in 1..=100 {
            histogram.add(Duration::from_micros(micros));
        }
        let near = |share, expected: f64| {
            let seen = histogram.micros(share).expect("values");
            assert!((seen / expected - 1.0).abs() < 0.04, "{share}: {seen}");
        };
        near(0.5, 50.0);
        near(0.99, 99.0);
    }

    #[test]
    fn the_median_ignores_an_outlier() {
        assert_eq!(median(vec![5.0, 1000.0, 4.0]), Some(5.0));
        assert_eq!(median(vec![1.0, 2.0]), Some(1.5));
        assert_eq!(median(vec![]), None);
    }
}
