//! Counts and aggregates over a window of time.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use super::super::event::Event;
use super::alarms::{Alarms, MAX_INSTANCES};
use super::completion::Completion;
use super::spec::{Function, Window};
use crate::wheel::TimerId;

/// Events of all groups of one rule that are kept, as time and number.
const MAX_EVENTS: usize = 100_000;
/// Event bodies kept per group.
const MAX_BODIES: usize = 100;

/// Milliseconds by which the clock of the patterns may be ahead of the wall clock
/// without the latter having been set back.
const CLOCK_ROUNDING: u64 = 100;

/// What the definition says: which windows, and what is compared.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measured<'s> {
    pub window: &'s Window,
    pub function: Function,
}

/// The windows of one rule.
#[derive(Debug, Default)]
pub(super) struct Windows {
    ids: HashMap<Arc<str>, u64>,
    groups: BTreeMap<u64, Group>,
    /// Every event with the group it is in, oldest first. Those of a dropped
    /// group stay until their turn.
    events: VecDeque<(u64, u64)>,
    next_group: u64,
    /// Tumbling: when the open window ends, and the alarm for it.
    open: Option<(u64, u64, TimerId)>,
}

#[derive(Debug)]
struct Group {
    key: Arc<str>,
    numbers: Numbers,
    /// The most recent ones.
    bodies: VecDeque<Arc<Event>>,
}

impl Windows {
    /// Returns true when something had to be dropped because there was too much.
    pub(super) fn feed(
        &mut self,
        measured: Measured<'_>,
        number: Option<f64>,
        group: &Arc<str>,
        event: &Arc<Event>,
        alarms: &mut Alarms<'_>,
        done: &mut Vec<Completion>,
    ) -> bool {
        let (time, window) = (alarms.time, measured.window);
        if window.sliding {
            let begin = time.saturating_sub(window.length);
            while self.events.front().is_some_and(|(at, _)| *at < begin) {
                self.drop_oldest_event();
            }
        } else {
            self.turn(measured, alarms, done);
        }
        let dropped = self.add(number, group, event, time);
        if window.sliding
            && let Some(group) = self.ids.get(group).and_then(|id| self.groups.get(id))
        {
            done.extend(group.completion(measured));
        }
        dropped
    }

    /// How many events of a group are in the window, and when that ends if it does
    /// not slide.
    pub(super) fn progress(&self, group: &str) -> (usize, Option<u64>) {
        let group = self.ids.get(group).and_then(|id| self.groups.get(id));
        (group.map_or(0, |group| group.numbers.len()), self.open.map(|(end, ..)| end))
    }

    fn add(&mut self, number: Option<f64>, key: &Arc<str>, event: &Arc<Event>, time: u64) -> bool {
        let id = match self.ids.get(key) {
            Some(id) => *id,
            None => {
                let id = self.next_group;
                self.next_group += 1;
                self.ids.insert(Arc::clone(key), id);
                let (numbers, bodies) = (Numbers::default(), VecDeque::new());
                self.groups.insert(id, Group { key: Arc::clone(key), numbers, bodies });
                id
            }
        };
        if let Some(group) = self.groups.get_mut(&id) {
            group.numbers.push(number);
            group.bodies.push_back(Arc::clone(event));
            if group.bodies.len() > MAX_BODIES {
                group.bodies.pop_front();
            }
        }
        self.events.push_back((time, id));
        let mut dropped = false;
        if self.events.len() > MAX_EVENTS {
            self.drop_oldest_event();
            dropped = true;
        }
        if self.groups.len() > MAX_INSTANCES
            && let Some((_, group)) = self.groups.pop_first()
        {
            self.ids.remove(&group.key);
            dropped = true;
        }
        dropped
    }

    fn drop_oldest_event(&mut self) {
        let Some((_, id)) = self.events.pop_front() else { return };
        let Some(group) = self.groups.get_mut(&id) else { return };
        group.numbers.pop();
        while group.bodies.len() > group.numbers.len() {
            group.bodies.pop_front();
        }
        if group.numbers.len() == 0
            && let Some(group) = self.groups.remove(&id)
        {
            self.ids.remove(&group.key);
        }
    }

    /// Tumbling: closes the open window if the time has left it, and opens the
    /// one of the current time.
    fn turn(
        &mut self,
        measured: Measured<'_>,
        alarms: &mut Alarms<'_>,
        done: &mut Vec<Completion>,
    ) {
        if self.open.as_ref().is_some_and(|(end, ..)| alarms.time >= *end) {
            self.close(measured, alarms, done);
        }
        if self.open.is_none() {
            // Aligned to the wall clock, also after it was set back. Less than
            // that is how two clocks round.
            let was_set_back = alarms.time.saturating_sub(alarms.wall) > CLOCK_ROUNDING;
            let clock = if was_set_back { alarms.wall } else { alarms.time };
            let length = measured.window.length.max(1);
            let left = length - clock % length;
            let (alarm, timer) = alarms.set(left);
            self.open = Some((alarms.time.saturating_add(left), alarm, timer));
        }
    }

    fn close(
        &mut self,
        measured: Measured<'_>,
        alarms: &mut Alarms<'_>,
        done: &mut Vec<Completion>,
    ) {
        for group in self.groups.values() {
            done.extend(group.completion(measured));
        }
        self.discard(alarms);
    }

    /// The end of a tumbling window.
    pub(super) fn alarm(
        &mut self,
        alarm: u64,
        measured: Measured<'_>,
        alarms: &mut Alarms<'_>,
        done: &mut Vec<Completion>,
    ) {
        if self.open.as_ref().is_some_and(|(_, set, _)| *set == alarm) {
            self.close(measured, alarms, done);
        }
    }

    pub(super) fn discard(&mut self, alarms: &mut Alarms<'_>) {
        if let Some((.., timer)) = self.open {
            alarms.wheel.cancel(timer);
        }
        let next_group = self.next_group;
        *self = Windows { next_group, ..Windows::default() };
    }
}

impl Group {
    fn completion(&self, measured: Measured<'_>) -> Option<Completion> {
        let window = measured.window;
        let count = self.numbers.len();
        let value = self.numbers.value(measured.function)?;
        window.comparison.holds(value, window.threshold).then(|| Completion {
            group: Arc::clone(&self.key),
            events: self.bodies.iter().cloned().collect(),
            count: Some(count),
            value: Some(value),
        })
    }
}

/// The numbers of one group, oldest first, with their aggregates in constant
/// time: two stacks, each with the aggregate of everything below. Nothing is
/// ever subtracted, so nothing drifts.
#[derive(Debug, Default)]
struct Numbers {
    /// The oldest is last; each with the aggregate of itself and all younger
    /// ones in this stack.
    front: Vec<Summary>,
    back: Vec<Option<f64>>,
    back_summary: Summary,
}

#[derive(Clone, Copy, Debug)]
struct Summary {
    numbers: usize,
    sum: f64,
    min: f64,
    max: f64,
}

impl Default for Summary {
    fn default() -> Self {
        Summary { numbers: 0, sum: 0.0, min: f64::INFINITY, max: f64::NEG_INFINITY }
    }
}

impl Summary {
    fn of(number: Option<f64>) -> Summary {
        number.map_or_else(Summary::default, |number| Summary {
            numbers: 1,
            sum: number,
            min: number,
            max: number,
        })
    }

    fn then(self, younger: Summary) -> Summary {
        Summary {
            numbers: self.numbers + younger.numbers,
            sum: self.sum + younger.sum,
            min: self.min.min(younger.min),
            max: self.max.max(younger.max),
        }
    }
}

impl Numbers {
    /// Events, with and without a number.
    fn len(&self) -> usize {
        self.front.len() + self.back.len()
    }

    fn push(&mut self, number: Option<f64>) {
        self.back.push(number);
        self.back_summary = self.back_summary.then(Summary::of(number));
    }

    fn pop(&mut self) {
        if self.front.is_empty() {
            let mut summary = Summary::default();
            for number in self.back.drain(..).rev() {
                summary = Summary::of(number).then(summary);
                self.front.push(summary);
            }
            self.back_summary = Summary::default();
        }
        self.front.pop();
    }

    fn value(&self, function: Function) -> Option<f64> {
        if function == Function::Count {
            return Some(self.len() as f64);
        }
        let all = self.front.last().copied().unwrap_or_default().then(self.back_summary);
        (all.numbers > 0).then_some(match function {
            Function::Sum => all.sum,
            Function::Avg => all.sum / all.numbers as f64,
            Function::Min => all.min,
            Function::Max => all.max,
            Function::Count => self.len() as f64,
        })
    }
}
