//! Temporal patterns: random streams of events against naive models that follow
//! the definitions word by word.

use proptest::prelude::*;

use super::patterns::{hits, pattern};
use super::*;

/// One step of a random stream.
#[derive(Clone, Debug)]
struct Step {
    gap: u64,
    /// The wall clock is set by so much.
    jump: i64,
    /// The loop handles the event before it looks at its timers.
    late: bool,
    topic: usize,
    group: usize,
    value: i32,
}

const TOPICS: [&str; 3] = ["a", "b", "c"];

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let jump = prop_oneof![9 => Just(0), 1 => -400..400i64];
    let step = (0..40u64, jump, any::<bool>(), 0..3usize, 0..3usize, -3..4i32);
    let step = step.prop_map(|(gap, jump, late, topic, group, value)| Step {
        gap,
        jump,
        late,
        topic,
        group,
        value,
    });
    proptest::collection::vec(step, 1..60)
}

/// An event as the models see it.
#[derive(Clone, Debug)]
struct Seen {
    /// On the clock of the patterns, on the wall, and since the start.
    at: u64,
    wall: u64,
    mono: u64,
    topic: &'static str,
    /// `None`: the member is missing.
    group: Option<String>,
    value: i32,
    data: String,
}

/// A topic, and what the filter asks of the value.
#[derive(Clone, Copy, Debug)]
struct Matcher {
    topic: &'static str,
    value: Option<i32>,
}

impl Matcher {
    fn accepts(self, event: &Seen) -> bool {
        event.topic == self.topic && self.value.is_none_or(|value| event.value == value)
    }

    fn definition(self) -> String {
        let filter = self.value.map(|value| format!(r#","filter":{{"v":{}}}"#, shown(value)));
        format!(r#"{{"topic":"{}"{}}}"#, self.topic, filter.unwrap_or_default())
    }
}

fn matcher() -> impl Strategy<Value = Matcher> {
    let value = prop_oneof![2 => Just(None), 1 => (-1..2i32).prop_map(Some)];
    (0..3usize, value).prop_map(|(topic, value)| Matcher { topic: TOPICS[topic], value })
}

/// Zero stands for what is no number.
fn shown(value: i32) -> String {
    if value == 0 { "\"none\"".to_owned() } else { value.to_string() }
}

/// What a pattern does, said naively. Hits are trigger data.
trait Model {
    /// Time passes up to and including `to`, on the clock that nobody sets.
    fn pass(&mut self, to: u64) -> Vec<String>;
    fn event(&mut self, event: &Seen) -> Vec<String>;
}

/// Plays a stream through the engine and a model; both must agree at each step.
fn compare(definition: &str, mut model: impl Model, steps: &[Step]) {
    let mut world = World::new();
    pattern(&mut world, "p", definition);
    // The clock of the patterns is the wall clock; when that is set back, it
    // goes on at its pace.
    let mut ahead = 0;
    for step in steps {
        let mut expected = Vec::new();
        world.now.wall = world.now.wall.saturating_add_signed(step.jump);
        ahead = ahead.max(world.now.wall - world.now.mono);
        if step.late {
            world.now.mono += step.gap;
            world.now.wall += step.gap;
        } else {
            world.wait(step.gap);
            world.call(|engine, cx| engine.advance(usize::MAX, cx));
            expected.extend(model.pass(world.now.mono));
        }
        let group = ["x", "y"].get(step.group).map(|group| (*group).to_owned());
        let member = group.as_ref().map(|group| format!(r#""g":"{group}","#)).unwrap_or_default();
        let data = format!(r#"{{{member}"v":{}}}"#, shown(step.value));
        let topic = TOPICS[step.topic];
        world.emit(topic, &data);
        let Now { mono, wall } = world.now;
        let (at, value) = (mono + ahead, step.value);
        expected.extend(model.event(&Seen { at, wall, mono, topic, group, value, data }));
        if step.late {
            world.call(|engine, cx| engine.advance(usize::MAX, cx));
            expected.extend(model.pass(world.now.mono));
        }
        assert_eq!(hits(&mut world), expected, "{definition} {step:?}");
    }
    world.wait(1000);
    assert_eq!(hits(&mut world), model.pass(world.now.mono), "{definition}, at the end");
    assert_eq!(world.engine.next_deadline(), None);
}

fn head(kind: &str, group: Option<&str>) -> String {
    match group {
        Some(group) => format!(r#""type":"{kind}","groupKey":"{group}""#),
        None => format!(r#""type":"{kind}""#),
    }
}

struct NaiveSequence {
    matchers: Vec<Matcher>,
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
            } else if self.matchers[events.len()].accepts(event) {
                events.push(event.clone());
                if events.len() < self.matchers.len() {
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
        if self.matchers[0].accepts(event) && !taken {
            self.instances.push((group, vec![event.clone()]));
        }
        hits
    }
}

struct NaiveAbsence {
    after: Matcher,
    expected: Matcher,
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
            std::mem::take(&mut self.waiting).into_iter().partition(|(_, e)| e.mono + within <= to);
        self.waiting = rest;
        let over: Vec<(Option<String>, Seen)> = over;
        over.iter().map(|(group, event)| Self::hit(group.as_deref(), event)).collect()
    }

    fn event(&mut self, event: &Seen) -> Vec<String> {
        let group = if self.grouped { event.group.clone() } else { None };
        // An event that matches nothing ends nothing: the alarm will.
        let (is_after, is_expected) = (self.after.accepts(event), self.expected.accepts(event));
        if !(is_after || is_expected) || (self.grouped && group.is_none()) {
            return Vec::new();
        }
        let mut hits = Vec::new();
        if let Some(at) = self.waiting.iter().position(|(of, _)| *of == group) {
            let expired = event.at > self.waiting[at].1.at + self.within;
            if expired || is_expected {
                let (group, after) = self.waiting.remove(at);
                if expired {
                    hits.push(Self::hit(group.as_deref(), &after));
                }
            }
        }
        if is_after && !self.waiting.iter().any(|(of, _)| *of == group) {
            self.waiting.push((group, event.clone()));
        }
        hits
    }
}

struct NaiveWindow {
    matcher: Matcher,
    /// `None`: a plain count.
    function: Option<&'static str>,
    threshold: f64,
    comparison: &'static str,
    window: u64,
    grouped: bool,
    sliding: bool,
    events: Vec<(Option<String>, Seen)>,
    /// Tumbling: where the open window ends, on the patterns' clock and on the
    /// one that nobody sets.
    end: Option<(u64, u64)>,
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

    /// Closes the tumbling window.
    fn close(&mut self) -> Vec<String> {
        self.end = None;
        let over = std::mem::take(&mut self.events);
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
        if self.end.is_some_and(|(_, end)| end <= to) { self.close() } else { Vec::new() }
    }

    fn event(&mut self, event: &Seen) -> Vec<String> {
        let group = if self.grouped { event.group.clone() } else { None };
        if !self.matcher.accepts(event) || (self.grouped && group.is_none()) {
            return Vec::new();
        }
        if !self.sliding {
            let over = self.end.is_some_and(|(end, _)| end <= event.at);
            let hits = if over { self.close() } else { Vec::new() };
            if self.end.is_none() {
                let clock = if event.at - event.wall > 100 { event.wall } else { event.at };
                let left = (clock / self.window + 1) * self.window - clock;
                self.end = Some((event.at + left, event.mono + left));
            }
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
        matchers in proptest::collection::vec(matcher(), 2..5),
        within in 1..200u64,
        grouped: bool,
        strict: bool,
        steps in steps(),
    ) {
        let events: Vec<String> = matchers.iter().map(|matcher| matcher.definition()).collect();
        let definition = format!(
            r#"{{"type":"sequence","within":{within},"strict":{strict},"events":[{}]{}}}"#,
            events.join(","),
            group_by(grouped)
        );
        let model = NaiveSequence { matchers, within, grouped, strict, instances: Vec::new() };
        compare(&definition, model, &steps);
    }

    #[test]
    fn absences_agree_with_the_model(
        after in matcher(),
        expected in matcher(),
        within in 1..100u64,
        grouped: bool,
        steps in steps(),
    ) {
        let definition = format!(
            r#"{{"type":"absence","within":{within},"after":{},"expected":{}{}}}"#,
            after.definition(),
            expected.definition(),
            group_by(grouped)
        );
        let model = NaiveAbsence { after, expected, within, grouped, waiting: Vec::new() };
        compare(&definition, model, &steps);
    }

    #[test]
    fn windows_agree_with_the_model(
        matcher in matcher(),
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
            r#"{{"type":"{kind}","event":{},"threshold":{threshold},"comparison":"{comparison}",
                "window":{window},"sliding":{sliding}{extra}{}}}"#,
            matcher.definition(),
            group_by(grouped)
        );
        let threshold = threshold.into();
        let model = NaiveWindow {
            matcher,
            function,
            threshold,
            comparison,
            window,
            grouped,
            sliding,
            events: Vec::new(),
            end: None,
        };
        compare(&definition, model, &steps);
    }
}
