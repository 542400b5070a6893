//! Temporal patterns: which events complete which patterns, and when.
//!
//! Owns the state of every temporal rule. Knows nothing of conditions and
//! actions: it answers with completions, the engine runs their rules. Time is
//! the timestamp of the events ([`Clock`]); what has to happen without an event
//! is put on the engine's wheel.

mod absence;
mod alarms;
pub(super) mod completion;
mod sequence;
pub(super) mod spec;
mod window;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::app::Now;
use crate::json::{Json, Object};
use crate::wheel::Wheel;

use super::due::Due;
use super::event::Event;
use super::index::PatternIndex;
use super::pattern::Grammar;
use super::rule::{Rule, Trigger};
use absence::Absence;
use alarms::Alarms;
use completion::Completion;
use sequence::Sequence;
use spec::{Function, Kind, TemporalSpec};
use window::{Measured, Windows};

#[derive(Debug)]
enum State {
    Sequence(Sequence),
    Absence(Absence),
    Windows(Windows),
}

#[derive(Debug)]
struct Tracked {
    rule: Arc<Rule>,
    spec: Arc<TemporalSpec>,
    state: State,
    /// Numbers of its matchers in the index.
    entries: Vec<u64>,
    warned: bool,
}

/// Characters of a group that is told.
const MOST_GROUP: usize = 256;

/// A rule and what completed its pattern, in the order in which they run.
pub(super) type Completed = Vec<(Arc<Rule>, Arc<TemporalSpec>, Completion)>;

/// All temporal rules.
#[derive(Debug)]
pub(super) struct Temporal {
    /// Rule and step of every matcher.
    index: PatternIndex<(u64, usize)>,
    rules: BTreeMap<u64, Tracked>,
    /// Strict sequences that any event of their group can end.
    watchful: BTreeSet<u64>,
    entries: u64,
    alarms: u64,
    clock: Clock,
    /// Numbers of the rules that somebody watches.
    pub(super) watched: BTreeSet<u64>,
    /// What became of their patterns, since somebody took it.
    pub(super) told: Vec<(Arc<Rule>, Object)>,
}

/// What is told of a pattern that is watched.
fn progress_of(state: &State, spec: &TemporalSpec, group: &str, time: u64) -> Object {
    let (step, of, count, expires) = match state {
        State::Sequence(sequence) => {
            let (step, count, expires) = sequence.progress(group);
            (step, Some(spec.matchers.len() as f64), count, expires)
        }
        State::Absence(absence) => {
            let expires = absence.expires(group);
            let waits = usize::from(expires.is_some());
            (waits, Some(2.0), waits, expires)
        }
        State::Windows(windows) => {
            let (count, end) = windows.progress(group);
            match &spec.kind {
                Kind::Count(window) => {
                    let end = end.or(Some(time.saturating_add(window.length)));
                    (count, Some(window.threshold), count, end)
                }
                Kind::Aggregate { window, .. } => {
                    (count, None, count, end.or(Some(time.saturating_add(window.length))))
                }
                _ => (count, None, count, end),
            }
        }
    };
    let number = |value: u64| Json::Number(value as f64);
    [
        ("kind", Json::from("progress")),
        ("group", Json::from(cut(group))),
        ("step", number(step as u64)),
        ("of", of.map_or(Json::Null, Json::Number)),
        ("count", number(count as u64)),
        ("expiresAt", expires.map_or(Json::Null, number)),
    ]
    .into_iter()
    .collect()
}

fn expired(group: &str) -> Object {
    [("kind", Json::from("expired")), ("group", Json::from(cut(group)))].into_iter().collect()
}

/// A group is data of a client.
fn cut(group: &str) -> String {
    group.chars().take(MOST_GROUP).collect()
}

/// The clock of the patterns: the wall clock, as long as it goes forward. When
/// that is set back, this one goes on at its pace, so that durations stay what
/// they are.
#[derive(Debug, Default)]
struct Clock {
    /// How far it is ahead of the monotonic clock.
    ahead: Option<i64>,
}

impl Clock {
    fn read(&mut self, now: Now) -> u64 {
        let signed = |milliseconds: u64| i64::try_from(milliseconds).unwrap_or(i64::MAX);
        let ahead = signed(now.wall).saturating_sub(signed(now.mono));
        let ahead = self.ahead.map_or(ahead, |before| before.max(ahead));
        self.ahead = Some(ahead);
        now.mono.saturating_add_signed(ahead)
    }
}

impl Temporal {
    pub(super) fn new() -> Self {
        Temporal {
            index: PatternIndex::new(Grammar::Topic),
            rules: BTreeMap::new(),
            watchful: BTreeSet::new(),
            entries: 0,
            alarms: 0,
            clock: Clock::default(),
            watched: BTreeSet::new(),
            told: Vec::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    pub(super) fn add(&mut self, rule: &Arc<Rule>) {
        let Trigger::Temporal(spec) = &rule.trigger else { return };
        let mut entries = Vec::with_capacity(spec.matchers.len());
        for (step, matcher) in spec.matchers.iter().enumerate() {
            self.entries += 1;
            self.index.insert(&matcher.topic, self.entries, (rule.number, step));
            entries.push(self.entries);
        }
        let state = match spec.kind {
            Kind::Sequence { .. } => State::Sequence(Sequence::default()),
            Kind::Absence { .. } => State::Absence(Absence::default()),
            Kind::Count(_) | Kind::Aggregate { .. } => State::Windows(Windows::default()),
        };
        let (rule, spec) = (Arc::clone(rule), Arc::clone(spec));
        self.rules.insert(rule.number, Tracked { rule, spec, state, entries, warned: false });
    }

    pub(super) fn remove(&mut self, rule: u64, wheel: &mut Wheel<Due>) {
        self.discard(rule, wheel);
        let Some(tracked) = self.rules.remove(&rule) else { return };
        for (matcher, entry) in tracked.spec.matchers.iter().zip(tracked.entries) {
            self.index.remove(&matcher.topic, entry);
        }
    }

    /// Forgets everything about a rule that is no longer active.
    pub(super) fn discard(&mut self, rule: u64, wheel: &mut Wheel<Due>) {
        let Some(tracked) = self.rules.get_mut(&rule) else { return };
        // Alarms are only taken back here.
        let (mono, wall, time, next) = (0, 0, 0, &mut self.alarms);
        let mut alarms = Alarms { wheel, mono, wall, time, rule, next };
        match &mut tracked.state {
            State::Sequence(sequence) => *sequence = Sequence::default(),
            State::Absence(absence) => absence.discard(&mut alarms),
            State::Windows(windows) => windows.discard(&mut alarms),
        }
        self.watchful.remove(&rule);
    }

    /// Tells all patterns about an event. `warn` gets the rules that had to
    /// drop something for the first time.
    pub(super) fn feed(
        &mut self,
        event: &Arc<Event>,
        mono: u64,
        wheel: &mut Wheel<Due>,
        mut warn: impl FnMut(&Rule),
    ) -> Completed {
        let wall = event.timestamp;
        let time = self.clock.read(Now { mono, wall });
        let mut completed = Completed::new();
        let mut done = Vec::new();
        for (number, hits) in self.hits(event) {
            let Some(tracked) = self.rules.get_mut(&number) else { continue };
            let Tracked { rule, spec, state, warned, .. } = tracked;
            if !rule.is_active() {
                continue;
            }
            let Some(group) = spec.group_of(event) else { continue };
            let next = &mut self.alarms;
            let mut alarms = Alarms { wheel, mono, wall, time, rule: number, next };
            let dropped = match (&mut *state, &spec.kind) {
                (State::Sequence(sequence), Kind::Sequence { within, strict }) => {
                    let rules = sequence::Rules {
                        steps: spec.matchers.len(),
                        within: *within,
                        strict: *strict,
                        grouped: spec.group_by.is_some(),
                    };
                    let dropped = sequence.feed(rules, &hits, &group, event, time, &mut done);
                    if *strict && !sequence.is_empty() {
                        self.watchful.insert(number);
                    } else {
                        self.watchful.remove(&number);
                    }
                    dropped
                }
                (State::Absence(absence), Kind::Absence { within }) => {
                    let kinds = (hits.contains(&0), hits.contains(&1));
                    absence.feed(*within, kinds, &group, event, &mut alarms, &mut done)
                }
                (State::Windows(windows), Kind::Count(window)) => {
                    let measured = Measured { window, function: Function::Count };
                    windows.feed(measured, None, &group, event, &mut alarms, &mut done)
                }
                (State::Windows(windows), Kind::Aggregate { window, field, function }) => {
                    let number = field.find(&event.data).and_then(|value| value.as_number());
                    let measured = Measured { window, function: *function };
                    windows.feed(measured, number, &group, event, &mut alarms, &mut done)
                }
                _ => false,
            };
            if let State::Sequence(sequence) = state {
                let over = std::mem::take(&mut sequence.expired);
                if self.watched.contains(&number) {
                    self.told.extend(over.iter().map(|group| (Arc::clone(rule), expired(group))));
                }
            }
            if self.watched.contains(&number) && !hits.is_empty() {
                let entry = progress_of(state, spec, &group, time);
                self.told.push((Arc::clone(rule), entry));
            }
            if dropped && !std::mem::replace(warned, true) {
                warn(rule);
            }
            let of_rule = |completion| (Arc::clone(rule), Arc::clone(spec), completion);
            completed.extend(done.drain(..).map(of_rule));
        }
        sort(&mut completed);
        completed
    }

    /// The rules an event is for, with the steps whose matchers accept it.
    fn hits(&self, event: &Event) -> BTreeMap<u64, Vec<usize>> {
        let mut hits: BTreeMap<u64, Vec<usize>> =
            self.watchful.iter().map(|rule| (*rule, Vec::new())).collect();
        let mut add = |rule: u64, step: usize| {
            let accepts = self.rules.get(&rule).is_some_and(|tracked| {
                tracked.rule.is_active()
                    && tracked.spec.matchers.get(step).is_some_and(|matcher| matcher.accepts(event))
            });
            if accepts {
                hits.entry(rule).or_default().push(step);
            }
        };
        if let Some(group) = self.index.exact(&event.topic) {
            group.members.values().for_each(|(rule, step)| add(*rule, *step));
        }
        self.index.each_wild(&event.topic, |group| {
            group.members.values().for_each(|(rule, step)| add(*rule, *step));
        });
        for steps in hits.values_mut() {
            steps.sort_unstable();
        }
        hits
    }

    /// Something is due that no event caused.
    pub(super) fn alarm(
        &mut self,
        number: u64,
        alarm: u64,
        now: Now,
        wheel: &mut Wheel<Due>,
    ) -> Completed {
        let time = self.clock.read(now);
        let Some(tracked) = self.rules.get_mut(&number) else { return Vec::new() };
        let Tracked { rule, spec, state, .. } = tracked;
        let (Now { mono, wall }, next) = (now, &mut self.alarms);
        let mut alarms = Alarms { wheel, mono, wall, time, rule: number, next };
        let mut done = Vec::new();
        match (&mut *state, &spec.kind) {
            (State::Absence(absence), _) => absence.alarm(alarm, &mut alarms, &mut done),
            (State::Windows(windows), Kind::Count(window)) => {
                let measured = Measured { window, function: Function::Count };
                windows.alarm(alarm, measured, &mut alarms, &mut done);
            }
            (State::Windows(windows), Kind::Aggregate { window, function, .. }) => {
                let measured = Measured { window, function: *function };
                windows.alarm(alarm, measured, &mut alarms, &mut done);
            }
            _ => {}
        }
        if self.watched.contains(&number) {
            let over = done.iter().map(|it: &Completion| (Arc::clone(rule), expired(&it.group)));
            self.told.extend(over);
        }
        let of_rule = |completion| (Arc::clone(rule), Arc::clone(spec), completion);
        done.into_iter().map(of_rule).collect()
    }
}

/// By priority, then by registration; the matches of one rule keep their order.
fn sort(completed: &mut Completed) {
    completed.sort_by(|(a, ..), (b, ..)| {
        let priorities = b.priority.partial_cmp(&a.priority);
        priorities.unwrap_or(std::cmp::Ordering::Equal).then(a.number.cmp(&b.number))
    });
}
