//! Temporal patterns: random streams of events against naive models that follow
//! the definitions word by word.

use proptest::prelude::*;

use super::patterns::{hits, pattern};
use super::*;

/// One step of a random stream.
#[derive(Clone, Debug)]
struct Step {
    gap: u64,
    /// The loop handles the event before it looks at its timers.
    late: bool,
    topic: usize,
    group: usize,
    value: i32,
}

const TOPICS: [&str; 3] = ["a", "b", "c"];

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (0..40u64, any::<bool>(), 0..3usize, 0..3usize, -3..4i32);
    let step =
        step.prop_map(|(gap, late, topic, group, value)| Step { gap, late, topic, group, value });
    proptest::collection::vec(step, 1..60)
}

/// An event as the models see it.
#[derive(Clone, Debug)]
struct Seen {
    at: u64,
    topic: &'static str,
    /// `None`: the member is missing.
    group: Option<String>,
    value: i32,
    data: String,
}

/// What a pattern does, said naively. Hits are trigger data.
trait Model {
    /// Time passes up to and including `to`.
    fn pass(&mut self, to: u64) -> Vec<String>;
    fn event(&mut self, event: &Seen) -> Vec<String>;
}

/// Plays a stream through the engine and a model; both must agree at each step.
fn compare(definition: &str, mut model: impl Model, steps: &[Step]) {
    let mut world = World::new();
    pattern(&mut world, "p", definition);
    for step in steps {
        let mut expected = Vec::new();
        if step.late {
            world.now.mono += step.gap;
            world.now.wall += step.gap;
        } else {
            world.wait(step.gap);
            world.call(|engine, cx| engine.advance(usize::MAX, cx));
            expected.extend(model.pass(world.now.wall));
        }
        let group = ["x", "y"].get(step.group).map(|group| (*group).to_owned());
        let member = group.as_ref().map(|group| format!(r#""g":"{group}","#)).unwrap_or_default();
        let value = if step.value == 0 { "\"none\"".to_owned() } else { step.value.to_string() };
        let data = format!(r#"{{{member}"v":{value}}}"#);
        let topic = TOPICS[step.topic];
        world.emit(topic, &data);
        let (at, value) = (world.now.wall, step.value);
        expected.extend(model.event(&Seen { at, topic, group, value, data }));
        if step.late {
            world.call(|engine, cx| engine.advance(usize::MAX, cx));
            expected.extend(model.pass(world.now.wall));
        }
        assert_eq!(hits(&mut world), expected, "{definition} {step:?}");
    }
    world.wait(1000);
    assert_eq!(hits(&mut world), model.pass(world.now.wall), "{definition}, at the end");
    assert_eq!(world.engine.next_deadline(), None);
}

fn head(kind: &str, group: Option<&str>) -> String {
    match group {
        Some(group) => format!(r#""type":"{kind}","groupKey":"{group}""#),
        None => format!(r#""type":"{kind}""#),
    }
}

struct NaiveSequence {
    topics: Vec<&'static str>,
    within: u64,
    grouped: bool,
    strict: bool,
    instances: Vec<(Option<String>, Vec<Seen>)>,
}

impl Model for NaiveSequence {
    fn pass(&mut self, _: u64) -> Vec<String> {
        Vec::new()
    }

    fn event(&mut self, event: &Seen) -> Vec<String> {
        let group = if self.grouped { event.group.clone() } else { None };
        if self.grouped && group.is_none() {
            return Vec::new();
        }
        let mut hits = Vec::new();
        let mut kept = Vec::new();
        for (of, mut events) in std::mem::take(&mut self.instances) {
            if of != group {
                kept.push((of, events));
            } else if event.at > events[0].at + self.within {
                continue;
            } else if event.topic == self.topics[events.len()] {
                events.push(event.clone());
                if events.len() < self.topics.len() {
                    kept.push((of, events));
                    continue;
                }
                let data: Vec<&str> = events.iter().map(|event| &*event.data).collect();
                let head = head("sequence", group.as_deref());
                hits.push(format!(r#"{{{head},"events":[{}]}}"#, data.join(",")));
            } else if !self.strict {
                kept.push((of, events));
            }
        }
        self.instances = kept;
        let taken = self.grouped && self.instances.iter().any(|(of, _)| *of == group);
        if event.topic == self.topics[0] && !taken {
            self.instances.push((group, vec![event.clone()]));
        }
        hits
    }
}

struct NaiveAbsence {
    after: &'static str,
    expected: &'static str,
    within: u64,
    grouped: bool,
    waiting: Vec<(Option<String>, Seen)>,
}

impl NaiveAbsence {
    fn hit(group: Option<&str>, after: &Seen) -> String {
        let (head, data) = (head("absence", group), &after.data);
        format!(r#"{{{head},"events":[{data}],"after":{data}}}"#)
    }
}

impl Model for NaiveAbsence {
    fn pass(&mut self, to: u64) -> Vec<String> {
        let within = self.within;
        // Started in the order of time, so they end in that order.
        let (over, rest) =
            std::mem::take(&mut self.waiting).into_iter().partition(|(_, e)| e.at + within <= to);
        self.waiting = rest;
        let over: Vec<(Option<String>, Seen)> = over;
        over.iter().map(|(group, event)| Self::hit(group.as_deref(), event)).collect()
    }

    fn event(&mut self, event: &Seen) -> Vec<String> {
        let group = if self.grouped { event.group.clone() } else { None };
        // An event that matches nothing ends nothing: the alarm will.
        let matches = [self.after, self.expected].contains(&event.topic);
        if !matches || (self.grouped && group.is_none()) {
            return Vec::new();
        }
        let mut hits = Vec::new();
        if let Some(at) = self.waiting.iter().position(|(of, _)| *of == group) {
            let expired = event.at > self.waiting[at].1.at + self.within;
            if expired || event.topic == self.expected {
                let (group, after) = self.waiting.remove(at);
                if expired {
                    hits.push(Self::hit(group.as_deref(), &after));
                }
            }
        }
        if event.topic == self.after && !self.waiting.iter().any(|(of, _)| *of == group) {
            self.waiting.push((group, event.clone()));
        }
        hits
    }
}

struct NaiveWindow {
    /// `None`: a plain count.
    function: Option<&'static str>,
    threshold: f64,
    comparison: &'static str,
    window: u64,
    grouped: bool,
    sliding: bool,
    events: Vec<(Option<String>, Seen)>,
}

impl NaiveWindow {
    fn check(&self, group: &Option<String>, events: &[&Seen]) -> Option<String> {
        let numbers: Vec<f64> = events
            .iter()
            .filter(|event| event.value != 0)
            .map(|event| event.value.into())
            .collect();
        let sum: f64 = numbers.iter().sum();
        let count = events.len() as f64;
        let value = match self.function {
            None | Some("count") => Some(count),
            _ if numbers.is_empty() => None,
            Some("sum") => Some(sum),
            Some("avg") => Some(sum / numbers.len() as f64),
            Some("min") => numbers.iter().copied().reduce(f64::min),
            _ => numbers.iter().copied().reduce(f64::max),
        }?;
        let holds = match self.comparison {
            "lte" => value <= self.threshold,
            "eq" => value == self.threshold,
            _ => value >= self.threshold,
        };
        let data: Vec<&str> = events.iter().map(|event| &*event.data).collect();
        let kind = if self.function.is_some() { "aggregate" } else { "count" };
        let value = if self.function.is_some() {
            format!(r#","value":{}"#, Json::Number(value).to_text())
        } else {
            String::new()
        };
        let (head, data) = (head(kind, group.as_deref()), data.join(","));
        holds.then(|| format!(r#"{{{head},"count":{count}{value},"events":[{data}]}}"#))
    }

    /// Closes every tumbling window that has ended by `now`.
    fn close(&mut self, now: u64) -> Vec<String> {
        let window = self.window;
        let (over, rest): (Vec<_>, Vec<_>) = std::mem::take(&mut self.events)
            .into_iter()
            .partition(|(_, event)| (event.at / window + 1) * window <= now);
        self.events = rest;
        let mut groups: Vec<Option<String>> = Vec::new();
        for (group, _) in &over {
            if !groups.contains(group) {
                groups.push(group.clone());
            }
        }
        let of = |group: &Option<String>| -> Vec<&Seen> {
            over.iter().filter(|(have, _)| have == group).map(|(_, event)| event).collect()
        };
        groups.iter().filter_map(|group| self.check(group, &of(group))).collect()
    }
}

impl Model for NaiveWindow {
    fn pass(&mut self, to: u64) -> Vec<String> {
        if self.sliding { Vec::new() } else { self.close(to) }
    }

    fn event(&mut self, event: &Seen) -> Vec<String> {
        let group = if self.grouped { event.group.clone() } else { None };
        if event.topic != "a" || (self.grouped && group.is_none()) {
            return Vec::new();
        }
        if !self.sliding {
            let hits = self.close(event.at);
            self.events.push((group, event.clone()));
            return hits;
        }
        self.events.push((group.clone(), event.clone()));
        let since = event.at - self.window;
        let inside: Vec<&Seen> = self
            .events
            .iter()
            .filter(|(of, seen)| *of == group && seen.at >= since)
            .map(|(_, seen)| seen)
            .collect();
        self.check(&group, &inside).into_iter().collect()
    }
}

fn group_by(grouped: bool) -> &'static str {
    if grouped { r#","groupBy":"g""# } else { "" }
}

proptest! {
    #[test]
    fn sequences_agree_with_the_model(
        topics in proptest::collection::vec(0..3usize, 2..5),
        within in 1..200u64,
        grouped: bool,
        strict: bool,
        steps in steps(),
    ) {
        let topics: Vec<&str> = topics.into_iter().map(|topic| TOPICS[topic]).collect();
        let matchers: Vec<String> =
            topics.iter().map(|topic| format!(r#"{{"topic":"{topic}"}}"#)).collect();
        let definition = format!(
            r#"{{"type":"sequence","within":{within},"strict":{strict},"events":[{}]{}}}"#,
            matchers.join(","),
            group_by(grouped)
        );
        let model = NaiveSequence { topics, within, grouped, strict, instances: Vec::new() };
        compare(&definition, model, &steps);
    }

    #[test]
    fn absences_agree_with_the_model(
        after in 0..3usize,
        expected in 0..3usize,
        within in 1..100u64,
        grouped: bool,
        steps in steps(),
    ) {
        let (after, expected) = (TOPICS[after], TOPICS[expected]);
        let definition = format!(
            r#"{{"type":"absence","within":{within},"after":{{"topic":"{after}"}},"expected":{{"topic":"{expected}"}}{}}}"#,
            group_by(grouped)
        );
        let model = NaiveAbsence { after, expected, within, grouped, waiting: Vec::new() };
        compare(&definition, model, &steps);
    }

    #[test]
    fn windows_agree_with_the_model(
        function in 0..6usize,
        threshold in -4..6i32,
        comparison in 0..3usize,
        window in 1..200u64,
        grouped: bool,
        sliding: bool,
        steps in steps(),
    ) {
        let function = [None, Some("sum"), Some("avg"), Some("min"), Some("max"), Some("count")][function];
        let comparison = ["gte", "lte", "eq"][comparison];
        let (kind, extra, threshold) = match function {
            None => ("count", String::new(), threshold.max(1)),
            Some(function) => {
                ("aggregate", format!(r#","field":"v","function":"{function}""#), threshold)
            }
        };
        let definition = format!(
            r#"{{"type":"{kind}","event":{{"topic":"a"}},"threshold":{threshold},"comparison":"{comparison}",
                "window":{window},"sliding":{sliding}{extra}{}}}"#,
            group_by(grouped)
        );
        let threshold = threshold.into();
        let model = NaiveWindow { function, threshold, comparison, window, grouped, sliding, events: Vec::new() };
        compare(&definition, model, &steps);
    }
}
