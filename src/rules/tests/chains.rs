//! Order of evaluation, depth and limits.

use super::super::event::MAX_STEPS;
use super::*;

fn emit(topic: &str) -> String {
    format!(r#"{{"type":"emit_event","topic":"{topic}","data":{{}}}}"#)
}

#[test]
fn exact_topics_first_then_patterns_in_order_all_by_priority() {
    let mut world = World::new();
    let rules =
        [("1", "x.*", 0), ("2", "x.y", 0), ("3", "x.*", 0), ("4", "x.y", 1), ("5", "*.y", -1)];
    for (id, topic, priority) in rules {
        let trigger = format!(r#"{{"type":"event","topic":"{topic}"}}"#);
        world.rule(id, priority, &trigger, &format!("[{}]", emit(&format!("ran{id}"))));
    }
    world.emit("x.y", "{}");
    assert_eq!(world.topics(), ["x.y", "ran4", "ran2", "ran1", "ran3", "ran5"]);
}

#[test]
fn depth_first_and_strictly_sequential() {
    let mut world = World::new();
    let event = |topic: &str| format!(r#"{{"type":"event","topic":"{topic}"}}"#);
    world.rule("A", 10, &event("go"), &format!("[{},{}]", emit("A1"), emit("A2")));
    world.rule("B", 5, &event("go"), &format!("[{}]", emit("B1")));
    world.rule("X", 1, &event("A1"), &format!("[{},{}]", emit("A1x"), emit("A1y")));
    world.emit("go", "{}");
    assert_eq!(world.topics(), ["go", "A1", "A1x", "A1y", "A2", "B1"]);
    assert_eq!(world.engine.stats().executed, 3);
}

#[test]
fn facts_of_earlier_rules_are_seen_by_later_ones() {
    let mut world = World::new();
    let go = r#"{"type":"event","topic":"go"}"#;
    world.rule("late", 1, go, r#"[{"type":"set_fact","key":"seen","value":{"ref":"fact.a"}}]"#);
    world.rule("early", 2, go, r#"[{"type":"set_fact","key":"a","value":7}]"#);
    world.emit("go", "{}");
    assert_eq!(world.fact("seen").as_deref(), Some("7"));
}

#[test]
fn the_depth_is_that_of_the_chain() {
    let mut world = World::new();
    for step in 0..15 {
        let actions = format!("[{}]", emit(&format!("s{}", step + 1)));
        world.on(&format!("r{step}"), &format!("s{step}"), &actions);
    }
    world.emit("s0", "{}");
    // Ten rules run; the event of the tenth is still there.
    assert_eq!(world.topics().len(), 11);
    assert_eq!(world.engine.stats().executed, 10);

    // Siblings do not use up each other's depth.
    let mut world = World::new();
    for sibling in 0..12 {
        world.on(&format!("a{sibling}"), "go", &format!("[{}]", emit(&format!("t{sibling}"))));
        world.on(&format!("b{sibling}"), &format!("t{sibling}"), &format!("[{}]", emit("end")));
    }
    world.emit("go", "{}");
    assert_eq!(world.topics().iter().filter(|topic| *topic == "end").count(), 12);
}

#[test]
fn a_rule_that_triggers_itself_ends() {
    let mut world = World::new();
    world.on("self", "loop", &format!("[{}]", emit("loop")));
    world.emit("loop", "{}");
    assert_eq!(world.topics().len(), 11);
    let stats = world.engine.stats();
    assert_eq!((stats.events, stats.executed), (11, 10));
}

#[test]
fn deep_chains_do_not_need_the_stack_of_the_thread() {
    let limits = Options { max_forward_depth: 50_000, ..Options::default() };
    let mut world = World::with(Options { max_cascade_events: 60_000, ..limits });
    world.on("self", "loop", &format!("[{}]", emit("loop")));
    world.emit("loop", "{}");
    assert_eq!(world.topics().len(), 50_001);
}

#[test]
fn cascades_are_limited() {
    let mut world = World::with(Options { max_cascade_events: 100, ..Options::default() });
    // Two events at every level would be 1023 rules.
    world.on(
        "double",
        "d",
        &format!("[{0},{0},{{\"type\":\"set_fact\",\"key\":\"end\",\"value\":1}}]", emit("d")),
    );
    world.emit("d", "{}");
    assert_eq!(world.topics().len(), 101);
    assert_eq!(world.fact("end").as_deref(), Some("1"));
    let warnings = world.log_text();
    assert_eq!(warnings.matches("(Rule double): Cascade limit reached (100 events)\n").count(), 2);
    // The next root trigger starts anew.
    world.host.log.clear();
    world.emit("d", "{}");
    assert_eq!(world.topics().len(), 101);
}

#[test]
fn nested_loops_are_limited() {
    let mut world = World::new();
    let body = r#"{"type":"set_fact","key":"n","value":{"ref":"var.i"}}"#;
    let each = |inner: &str| {
        format!(
            r#"{{"type":"for_each","collection":{{"ref":"event.l"}},"as":"i","actions":[{inner}]}}"#
        )
    };
    world.on("nested", "go", &format!("[{},{}]", each(&each(&each(body))), emit("after")));
    let list = format!("[{}]", vec!["1"; 400].join(","));
    world.emit("go", &format!(r#"{{"l":{list}}}"#));
    assert!(world.log_text().contains("one trigger caused more than 1000000 steps"));
    assert_eq!(world.topics(), ["go"]);
    world.emit("go", r#"{"l":[1]}"#);
    assert_eq!(world.topics(), ["go", "after"]);
}

/// What a trigger costs in steps, besides the action that tells.
fn steps_of(action: &str, text: &str) -> u32 {
    let mut world = World::new();
    world.set("big", &format!("\"{text}\""));
    let tell = r#"{"type":"call_service","service":"store","method":"insert"}"#;
    world.on("r", "go", &format!("[{action},{tell}]"));
    world.emit("go", &format!(r#"{{"text":"{text}","texts":["{text}"]}}"#));
    let chain = world.host.chains.pop().expect("told");
    MAX_STEPS - chain.budget.steps_left()
}

/// Large values cost more: a rule that copies, reads, searches or joins them
/// again and again ends as early as one that does other things.
#[test]
fn large_values_cost_more_steps() {
    let large = "x".repeat(100 * 1024);
    for (action, times) in [
        (r#"{"type":"set_fact","key":"k","value":{"ref":"event.text"}}"#, 1),
        (r#"{"type":"set_fact","key":"k","value":{"ref":"fact.big"}}"#, 2),
        (r#"{"type":"delete_fact","key":"${event.text}"}"#, 1),
        (r#"{"type":"emit_event","topic":"t","data":{"x":{"ref":"event.text"}}}"#, 1),
        (
            r#"{"type":"set_timer","timer":{"name":"n","duration":9,"onExpire":{"topic":"t","data":{"x":{"ref":"event.text"}}}}}"#,
            1,
        ),
        (
            r#"{"type":"call_service","service":"store","method":"insert","args":[{"ref":"event.text"}]}"#,
            1,
        ),
        (r#"{"type":"for_each","collection":{"ref":"event.texts"},"as":"x","actions":[]}"#, 1),
        (
            r#"{"type":"conditional","conditions":[{"source":{"type":"event","field":"text"},"operator":"matches","value":"y"}],
                "then":[{"type":"delete_fact","key":"none"}]}"#,
            1,
        ),
        (
            r#"{"type":"conditional","conditions":[{"source":{"type":"fact","pattern":"big"},"operator":"exists"}],
                "then":[{"type":"delete_fact","key":"none"}]}"#,
            1,
        ),
    ] {
        let more = steps_of(action, &large) - steps_of(action, "x");
        assert!((times * 100..=times * 100 + 2).contains(&more), "{action}: {more}");
    }
}

#[test]
fn fact_rules_are_triggered_by_the_wire_only() {
    let mut world = World::new();
    let fact = |pattern: &str| format!(r#"{{"type":"fact","pattern":"{pattern}"}}"#);
    world.rule("in", 0, &fact("in:*"), r#"[{"type":"set_fact","key":"out:1","value":1}]"#);
    let seen = r#"[{"type":"set_fact","key":"seen","value":{"ref":"trigger.fact.value"}}]"#;
    world.rule("out", 0, &fact("out:*"), seen);
    let written = world.set("in:1", "5");
    assert_eq!(written.version, 1);
    assert_eq!(world.facts(), ["in:1", "out:1"]);
    world.set("out:1", "6");
    assert_eq!(world.fact("seen").as_deref(), Some("6"));
    // Also with an unchanged value; deleting triggers nothing.
    assert_eq!(world.engine.stats().executed, 2);
    world.set("out:1", "6");
    world.call(|engine, cx| assert!(engine.delete_fact("out:1", cx)));
    assert_eq!(world.engine.stats().executed, 3);
}

#[test]
fn chained_facts_trigger_at_the_next_depth() {
    let mut world = World::with(Options { chain_facts: true, ..Options::default() });
    let count = r#"[{"type":"set_fact","key":"n:1","value":{"ref":"trigger.fact.version"}}]"#;
    world.rule("again", 0, r#"{"type":"fact","pattern":"n:*"}"#, count);
    world.set("n:1", "0");
    assert_eq!(world.engine.stats().executed, 10);
    assert_eq!(world.engine.fact("n:1").map(|fact| fact.version), Some(11));
}

#[test]
fn the_fact_that_was_written_is_returned_even_if_a_rule_overwrites_it() {
    let mut world = World::new();
    let overwrite = r#"[{"type":"set_fact","key":"k","value":"theirs"}]"#;
    world.rule("over", 0, r#"{"type":"fact","pattern":"k"}"#, overwrite);
    let written = world.set("k", "\"mine\"");
    assert_eq!((written.version, written.value()), (1, Some(Json::from("mine"))));
    assert_eq!(world.fact("k").as_deref(), Some("\"theirs\""));
}

#[test]
fn disabled_rules_and_groups_do_not_run() {
    let mut world = World::new();
    let group =
        Group { id: "night".into(), name: "Night".into(), description: None, enabled: false };
    world.engine.add_group(group).expect("new");
    world.register(
        r#"{"id":"g","name":"g","group":"night","trigger":{"type":"event","topic":"t"},
            "actions":[{"type":"set_fact","key":"g","value":1}]}"#,
    );
    world.on("r", "t", r#"[{"type":"set_fact","key":"r","value":1}]"#);
    world.call(|engine, cx| engine.set_enabled("r", false, cx).expect("there"));
    world.emit("t", "{}");
    assert!(world.facts().is_empty());
    world.call(|engine, cx| engine.set_enabled("r", true, cx).expect("there"));
    assert!(world.engine.set_group_enabled("night", true));
    world.emit("t", "{}");
    assert_eq!(world.facts(), ["r", "g"].map(String::from).into_iter().rev().collect::<Vec<_>>());
}

#[test]
fn a_panic_ends_the_execution_it_happens_in() {
    let mut world = World::new();
    let go = r#"{"type":"event","topic":"go"}"#;
    world.rule("bad", 5, go, &format!("[{},{}]", emit("panic"), emit("never")));
    world.rule("good", 1, go, &format!("[{}]", emit("fine")));
    world.emit("go", "{}");
    assert_eq!(world.topics(), ["go", "fine"]);
    assert!(world.log_text().contains("ERROR Rule \"bad\" (Rule bad): panic: on purpose"));
    assert_eq!(world.engine.stats().executed, 1);
}

#[test]
fn correlation_and_causation() {
    let mut world = World::new();
    world.on("a", "one", &format!("[{}]", emit("two")));
    world.on("b", "two", &format!("[{}]", emit("three")));
    let root = NewEvent { correlation_id: Some("K".into()), ..NewEvent::new("one", Object::new()) };
    world.call(|engine, cx| engine.emit(root, cx));
    let [one, two, three] = world.host.events.as_slice() else { panic!("three events") };
    assert_eq!(three.correlation_id.as_deref(), Some("K"));
    assert_eq!(
        (two.causation_id.clone(), three.causation_id.clone()),
        (Some(one.id.clone()), Some(two.id.clone()))
    );
    assert_eq!((one.source, two.source), (Source::Api, Source::Rule));
    assert_ne!(one.id, two.id);
}

#[test]
fn failures_are_logged_ever_more_rarely() {
    let mut world = World::new();
    world.on("bad", "t", r#"[{"type":"set_fact","key":"${no.such}","value":1}]"#);
    for _ in 0..1000 {
        world.emit("t", "{}");
    }
    assert_eq!(world.host.log.len(), 10);
    assert!(world.log_text().contains("Unknown reference source: no (512 failures so far)"));
    assert_eq!(world.engine.stats().executed, 1000);
}
