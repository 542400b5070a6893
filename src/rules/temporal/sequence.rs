//! Sequences: events that come one after the other within a time.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use super::super::event::Event;
use super::alarms::MAX_INSTANCES;
use super::completion::Completion;

/// The instances of one rule.
///
/// Instances of a group wait in one list per step. An event moves whole lists:
/// an instance is touched when it advances and never only looked at, so the
/// cost of an event does not grow with the number of those that wait. An older
/// instance of a group is never behind a younger one, which keeps every list in
/// the order of creation, and the oldest of a group at the front of its
/// furthest list.
#[derive(Debug, Default)]
pub(super) struct Sequence {
    instances: BTreeMap<u64, Instance>,
    groups: HashMap<Arc<str>, BTreeMap<usize, VecDeque<u64>>>,
    created: u64,
    /// Groups of instances whose time was over, since somebody took them.
    pub(super) expired: Vec<Arc<str>>,
}

#[derive(Debug)]
struct Instance {
    group: Arc<str>,
    expires: u64,
    events: Vec<Arc<Event>>,
}

/// What the definition says about steps and time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub steps: usize,
    pub within: u64,
    pub strict: bool,
    pub grouped: bool,
}

impl Sequence {
    pub(super) fn is_empty(&self) -> bool {
        self.instances.is_empty()
    }

    /// `hits`: the steps whose matcher accepts the event, ascending. Returns
    /// true when an instance had to be dropped because there were too many.
    pub(super) fn feed(
        &mut self,
        rules: Rules,
        hits: &[usize],
        group: &Arc<str>,
        event: &Arc<Event>,
        time: u64,
        done: &mut Vec<Completion>,
    ) -> bool {
        // All live as long, so the oldest expire first, whatever their group.
        while let Some((&id, oldest)) = self.instances.first_key_value() {
            if time <= oldest.expires {
                break;
            }
            self.expired.push(Arc::clone(&oldest.group));
            self.drop_oldest(id);
        }
        self.advance(rules, hits, group, event, done);
        let starts =
            hits.first() == Some(&0) && !(rules.grouped && self.groups.contains_key(group));
        if !starts {
            return false;
        }
        let id = self.created;
        self.created += 1;
        let expires = time.saturating_add(rules.within);
        let events = vec![Arc::clone(event)];
        self.instances.insert(id, Instance { group: Arc::clone(group), expires, events });
        self.groups.entry(Arc::clone(group)).or_default().entry(1).or_default().push_back(id);
        if self.instances.len() <= MAX_INSTANCES {
            return false;
        }
        if let Some((&oldest, _)) = self.instances.first_key_value() {
            self.drop_oldest(oldest);
        }
        true
    }

    /// How far a group is: the furthest step, how many instances there are, and
    /// when the oldest of them expires.
    pub(super) fn progress(&self, group: &str) -> (usize, usize, Option<u64>) {
        let Some(lists) = self.groups.get(group) else { return (0, 0, None) };
        let furthest = lists.last_key_value();
        let oldest = furthest.and_then(|(_, waiting)| self.instances.get(waiting.front()?));
        (
            furthest.map_or(0, |(step, _)| *step),
            lists.values().map(VecDeque::len).sum(),
            oldest.map(|instance| instance.expires),
        )
    }

    fn advance(
        &mut self,
        rules: Rules,
        hits: &[usize],
        group: &Arc<str>,
        event: &Arc<Event>,
        done: &mut Vec<Completion>,
    ) {
        let Some(lists) = self.groups.get_mut(group) else { return };
        // The furthest first: nothing advances twice.
        let steps: Vec<usize> = lists.keys().rev().copied().collect();
        for step in steps {
            let is_hit = hits.binary_search(&step).is_ok();
            if !is_hit && !rules.strict {
                continue;
            }
            let moved = lists.remove(&step).unwrap_or_default();
            if !is_hit {
                for id in moved {
                    self.instances.remove(&id);
                }
            } else if step + 1 == rules.steps {
                for id in moved {
                    if let Some(mut instance) = self.instances.remove(&id) {
                        instance.events.push(Arc::clone(event));
                        done.push(Completion::new(group, instance.events));
                    }
                }
            } else {
                for id in &moved {
                    if let Some(instance) = self.instances.get_mut(id) {
                        instance.events.push(Arc::clone(event));
                    }
                }
                lists.entry(step + 1).or_default().extend(moved);
            }
        }
        if lists.is_empty() {
            self.groups.remove(group);
        }
    }

    /// Removes the oldest instance of all.
    fn drop_oldest(&mut self, id: u64) {
        let Some(instance) = self.instances.remove(&id) else { return };
        let Some(lists) = self.groups.get_mut(&instance.group) else { return };
        if let Some(mut furthest) = lists.last_entry() {
            furthest.get_mut().pop_front();
            if furthest.get().is_empty() {
                furthest.remove();
            }
        }
        if lists.is_empty() {
            self.groups.remove(&instance.group);
        }
    }
}
