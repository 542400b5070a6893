//! How busy the loop is: its turns in recent intervals.

use std::collections::VecDeque;

use super::super::metrics_table::Histogram;
use super::meter::INTERVAL_MS;
use crate::engine::Engine;

/// How many samples are kept: five minutes of them.
const SAMPLES: usize = 31;

#[derive(Clone, Debug)]
struct Sample {
    at: u64,
    turns: Histogram,
    syncs: Option<Histogram>,
}

/// Samples of the turns, taken at the end of a turn when the last one is old
/// enough: looking wakes nobody up.
#[derive(Debug, Default)]
pub(in crate::engine) struct Load {
    samples: VecDeque<Sample>,
}

/// The turns of an interval.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Busy {
    /// The part of the time in which the loop did not sleep.
    pub share: f64,
    /// The bound below which 99 of 100 turns stayed.
    pub p99_micros: u64,
}

impl Load {
    fn is_due(&self, now: u64) -> bool {
        self.samples.back().is_none_or(|last| now >= last.at.saturating_add(INTERVAL_MS))
    }

    fn take(&mut self, at: u64, turns: Histogram, syncs: Option<Histogram>) {
        if self.samples.len() == SAMPLES {
            self.samples.pop_front();
        }
        self.samples.push_back(Sample { at, turns, syncs });
    }

    /// Since at least `ms` before the newest sample; `None`: not known yet.
    pub(super) fn over(&self, ms: u64) -> Option<Busy> {
        let last = self.samples.back()?;
        let mut before = self.samples.iter().rev();
        let first = before.find(|sample| sample.at.saturating_add(ms) <= last.at)?;
        let time = last.at.saturating_sub(first.at).saturating_mul(1_000);
        let worked = last.turns.sum_micros.saturating_sub(first.turns.sum_micros);
        let share = if time == 0 { 0.0 } else { (worked as f64 / time as f64).min(1.0) };
        Some(Busy { share, p99_micros: percentile(&first.turns, &last.turns) })
    }
}

impl Load {
    /// The bound above which one in a hundred syncs of the last minutes was.
    pub(super) fn sync_p99_above_micros(&self) -> Option<u64> {
        let first = self.samples.front()?.syncs.as_ref()?;
        let last = self.samples.back()?.syncs.as_ref()?;
        let bound = percentile(first, last);
        Some(last.bounds.iter().copied().filter(|lower| *lower < bound).max().unwrap_or(0))
    }
}

/// The bound below which 99 of 100 of what came between two samples stayed.
fn percentile(first: &Histogram, last: &Histogram) -> u64 {
    let counts: Vec<u64> = last
        .counts
        .iter()
        .zip(&first.counts)
        .map(|(now, then)| now.saturating_sub(*then))
        .collect();
    let total: u64 = counts.iter().sum();
    let wanted = total - total / 100;
    let mut seen = 0;
    for (count, bound) in counts.iter().zip(last.bounds) {
        seen += count;
        if seen >= wanted {
            return if total == 0 { 0 } else { *bound };
        }
    }
    last.bounds.last().copied().unwrap_or_default()
}

impl Engine {
    /// Called at the end of every turn.
    pub(in crate::engine) fn sample_load(&mut self) {
        if !self.load.is_due(self.now.mono) {
            return;
        }
        let Some(world) = self.world.as_ref().map(|ask| ask()) else { return };
        if let Some(turns) = world.turns {
            let syncs = world.storage.and_then(|storage| storage.syncs);
            self.load.take(self.now.mono, turns, syncs);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::metrics_table::TURN_BOUNDS;

    #[test]
    fn a_slow_sync_is_said_to_take_no_longer_than_it_does() {
        let (mut load, turns) = (Load::default(), Histogram::new(TURN_BOUNDS));
        let mut syncs = Histogram::new(TURN_BOUNDS);
        for at in 0..2 {
            load.take(at * INTERVAL_MS, turns.clone(), Some(syncs.clone()));
            (0..100).for_each(|_| syncs.count(120_000));
        }
        let above = load.sync_p99_above_micros().expect("two samples");
        assert!(above <= 120_000 && above > 60_000, "{above}");
    }

    #[test]
    fn the_newest_samples_tell_how_busy_the_loop_is() {
        let (mut load, mut turns) = (Load::default(), Histogram::new(TURN_BOUNDS));
        assert_eq!(load.over(INTERVAL_MS), None);
        for at in 0..200_u64 {
            if load.is_due(at * 1_000) {
                load.take(at * 1_000, turns.clone(), None);
            }
            for _ in 0..100 {
                turns.count(2_500);
            }
        }
        let busy = load.over(INTERVAL_MS).expect("two samples");
        assert_eq!(busy, Busy { share: 0.25, p99_micros: 2_500 });
        assert_eq!(load.over(60_000).map(|busy| busy.share), Some(0.25));
        assert_eq!(load.over(400_000), None);
        for at in 20..100 {
            load.take(at * INTERVAL_MS, turns.clone(), None);
        }
        assert_eq!(load.samples.len(), SAMPLES);
        assert_eq!(load.over(INTERVAL_MS), Some(Busy::default()));
    }
}
