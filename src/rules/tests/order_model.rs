//! Which rules run, and in which order: random registrations, updates, removals
//! and switches against a naive model of what the protocol says.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Register {
        rule: usize,
        pattern: usize,
        priority: i32,
        enabled: bool,
    },
    /// With a new pattern, or only a new priority.
    Update {
        rule: usize,
        pattern: Option<usize>,
        priority: i32,
    },
    Unregister(usize),
    Switch(usize, bool),
    SwitchGroup(bool),
    Trigger(usize),
}

/// Patterns that mean the same for topics and for keys, but for the separator.
const PATTERNS: [&str; 8] = ["a.b", "a.*", "*.b", "*.*", "a.c", "*", "a", "a.b*"];
const SUBJECTS: [&str; 6] = ["a.b", "a.c", "a", "b.b", "a.bb", "a.b.c"];
const RULES: usize = 7;

fn step() -> impl Strategy<Value = Step> {
    let (rule, pattern) = (0..RULES, 0..PATTERNS.len());
    prop_oneof![
        4 => (rule.clone(), pattern.clone(), -1..2i32, prop::bool::weighted(0.8)).prop_map(
            |(rule, pattern, priority, enabled)| Step::Register { rule, pattern, priority, enabled }
        ),
        2 => (rule.clone(), proptest::option::of(pattern), -1..2i32)
            .prop_map(|(rule, pattern, priority)| Step::Update { rule, pattern, priority }),
        2 => rule.clone().prop_map(Step::Unregister),
        1 => (rule, any::<bool>()).prop_map(|(rule, on)| Step::Switch(rule, on)),
        1 => any::<bool>().prop_map(Step::SwitchGroup),
        6 => (0..SUBJECTS.len()).prop_map(Step::Trigger),
    ]
}

struct Known {
    pattern: String,
    priority: i32,
    enabled: bool,
}

/// What a JavaScript map of lists would hold: patterns in the order in which
/// they came, rules in theirs.
#[derive(Default)]
struct Model {
    rules: BTreeMap<usize, Known>,
    by_pattern: Vec<(String, Vec<usize>)>,
    group: bool,
}

impl Model {
    fn put(&mut self, rule: usize, known: Known) {
        self.take(rule);
        match self.by_pattern.iter_mut().find(|(pattern, _)| *pattern == known.pattern) {
            Some((_, rules)) => rules.push(rule),
            None => self.by_pattern.push((known.pattern.clone(), vec![rule])),
        }
        self.rules.insert(rule, known);
    }

    fn take(&mut self, rule: usize) -> Option<Known> {
        for (_, rules) in &mut self.by_pattern {
            rules.retain(|have| *have != rule);
        }
        self.by_pattern.retain(|(_, rules)| !rules.is_empty());
        self.rules.remove(&rule)
    }

    fn run(&self, grammar: Grammar, subject: &str) -> Vec<String> {
        let literal = |pattern: &str| !pattern.contains('*');
        let exact = self.by_pattern.iter().filter(|(pattern, _)| pattern == subject);
        let wild = self.by_pattern.iter().filter(|(pattern, _)| {
            !literal(pattern) && Pattern::new(grammar, pattern).matches(subject)
        });
        let rules = exact.chain(wild).flat_map(|(_, rules)| rules);
        let mut run: Vec<(usize, i32)> = rules
            .filter_map(|rule| {
                let known = self.rules.get(rule)?;
                // Every third rule belongs to the group.
                let active = known.enabled && (self.group || rule % 3 != 0);
                active.then_some((*rule, known.priority))
            })
            .collect();
        run.sort_by_key(|(_, priority)| -priority);
        run.into_iter().map(|(rule, _)| format!("r{rule}")).collect()
    }
}

fn compare(facts: bool, steps: &[Step]) {
    let separator = |text: &str| if facts { text.replace('.', ":") } else { text.to_owned() };
    let grammar = if facts { Grammar::Key } else { Grammar::Topic };
    let mut world = World::new();
    let group = Group { id: "g".into(), name: "g".into(), description: None, enabled: true };
    world.engine.add_group(group).expect("new");
    let mut model = Model { group: true, ..Model::default() };
    let trigger = |pattern: &str| match facts {
        true => format!(r#"{{"type":"fact","pattern":"{pattern}"}}"#),
        false => format!(r#"{{"type":"event","topic":"{pattern}"}}"#),
    };
    for step in steps {
        match *step {
            Step::Register { rule, pattern, priority, enabled } => {
                let pattern = separator(PATTERNS[pattern]);
                let member = if rule % 3 == 0 { r#","group":"g""# } else { "" };
                let definition = object(&format!(
                    r#"{{"id":"r{rule}","name":"r","priority":{priority},"enabled":{enabled}{member},
                        "trigger":{},"actions":[{{"type":"call_service","service":"store","method":"insert","args":["r{rule}"]}}]}}"#,
                    trigger(&pattern)
                ));
                let done =
                    world.call(|engine, cx| engine.register(definition, Origin::Wire, cx).is_ok());
                assert_eq!(done, !model.rules.contains_key(&rule));
                if done {
                    model.put(rule, Known { pattern, priority, enabled });
                }
            }
            Step::Update { rule, pattern, priority } => {
                let pattern = pattern.map(|pattern| separator(PATTERNS[pattern]));
                let member = pattern.as_ref().map(|pattern| trigger(pattern));
                let member = member.map(|trigger| format!(r#","trigger":{trigger}"#));
                let updates =
                    object(&format!(r#"{{"priority":{priority}{}}}"#, member.unwrap_or_default()));
                let done = world
                    .call(|engine, cx| engine.update(&format!("r{rule}"), &updates, cx).is_ok());
                let known = model.take(rule);
                assert_eq!(done, known.is_some());
                if let Some(known) = known {
                    let pattern = pattern.unwrap_or_else(|| known.pattern.clone());
                    model.put(rule, Known { pattern, priority, ..known });
                }
            }
            Step::Unregister(rule) => {
                let done =
                    world.call(|engine, cx| engine.unregister(&format!("r{rule}"), cx).is_ok());
                assert_eq!(done, model.take(rule).is_some());
            }
            Step::Switch(rule, on) => {
                let done = world
                    .call(|engine, cx| engine.set_enabled(&format!("r{rule}"), on, cx).is_ok());
                let known = model.rules.get_mut(&rule);
                assert_eq!(done, known.is_some());
                if let Some(known) = known {
                    known.enabled = on;
                }
            }
            Step::SwitchGroup(on) => {
                assert!(world.engine.set_group_enabled("g", on));
                model.group = on;
            }
            Step::Trigger(subject) => {
                let subject = separator(SUBJECTS[subject]);
                world.host.chains.clear();
                if facts {
                    world.set(&subject, "1");
                } else {
                    world.emit(&subject, "{}");
                }
                let calls = world.host.stored.drain(..);
                let run: Vec<String> = calls
                    .filter_map(|(_, args)| args.first()?.as_str().map(str::to_owned))
                    .collect();
                assert_eq!(run, model.run(grammar, &subject), "{subject}");
            }
        }
    }
    assert_eq!(world.engine.stats().rules, model.rules.len());
}

proptest! {
    #[test]
    fn the_order_is_that_of_the_model(
        facts: bool,
        steps in proptest::collection::vec(step(), 1..60),
    ) {
        compare(facts, &steps);
    }
}
