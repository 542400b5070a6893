//! Absences: something that should have followed and did not.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::super::event::Event;
use super::alarms::{Alarms, MAX_INSTANCES};
use super::completion::Completion;
use crate::wheel::TimerId;

/// The groups of one rule that wait.
#[derive(Debug, Default)]
pub(super) struct Absence {
    waiting: HashMap<Arc<str>, Waiting>,
    /// Groups by the number of their alarm, which grows with time.
    by_alarm: BTreeMap<u64, Arc<str>>,
}

#[derive(Debug)]
struct Waiting {
    alarm: u64,
    timer: TimerId,
    expires: u64,
    event: Arc<Event>,
}

impl Absence {
    /// Returns true when a group had to be dropped because there were too many.
    pub(super) fn feed(
        &mut self,
        within: u64,
        (is_after, is_expected): (bool, bool),
        group: &Arc<str>,
        event: &Arc<Event>,
        alarms: &mut Alarms<'_>,
        done: &mut Vec<Completion>,
    ) -> bool {
        if let Some(waiting) = self.waiting.get(group) {
            if alarms.time > waiting.expires {
                self.end(group, alarms)
                    .into_iter()
                    .for_each(|event| done.push(Completion::new(group, vec![event])));
            } else if is_expected {
                self.end(group, alarms);
            }
        }
        if !is_after || self.waiting.contains_key(group) {
            return false;
        }
        let expires = alarms.time.saturating_add(within);
        let (alarm, timer) = alarms.set(within);
        let event = Arc::clone(event);
        self.waiting.insert(Arc::clone(group), Waiting { alarm, timer, expires, event });
        self.by_alarm.insert(alarm, Arc::clone(group));
        if self.waiting.len() <= MAX_INSTANCES {
            return false;
        }
        if let Some((_, oldest)) = self.by_alarm.first_key_value() {
            let oldest = Arc::clone(oldest);
            self.end(&oldest, alarms);
        }
        true
    }

    /// When the time of a group is over, if it waits.
    pub(super) fn expires(&self, group: &str) -> Option<u64> {
        self.waiting.get(group).map(|waiting| waiting.expires)
    }

    fn end(&mut self, group: &Arc<str>, alarms: &mut Alarms<'_>) -> Option<Arc<Event>> {
        let waiting = self.waiting.remove(group)?;
        self.by_alarm.remove(&waiting.alarm);
        alarms.wheel.cancel(waiting.timer);
        Some(waiting.event)
    }

    /// The time of one group is over.
    pub(super) fn alarm(
        &mut self,
        alarm: u64,
        alarms: &mut Alarms<'_>,
        done: &mut Vec<Completion>,
    ) {
        let Some(group) = self.by_alarm.get(&alarm).map(Arc::clone) else { return };
        if let Some(event) = self.end(&group, alarms) {
            done.push(Completion::new(&group, vec![event]));
        }
    }

    pub(super) fn discard(&mut self, alarms: &mut Alarms<'_>) {
        for waiting in self.waiting.values() {
            alarms.wheel.cancel(waiting.timer);
        }
        *self = Absence::default();
    }
}
