//! What survives a restart.

use std::collections::BTreeMap;

use super::*;

fn durable() -> World {
    World::with(Options { durable: true, ..Options::default() })
}

/// The state that a log of changes leaves.
fn state(changes: &[RulesChange]) -> BTreeMap<(RecordKind, Arc<str>), (Origin, Arc<str>)> {
    let mut state = BTreeMap::new();
    for change in changes {
        let name = (change.kind, Arc::clone(&change.key));
        match &change.value {
            Some(value) => state.insert(name, (change.origin, Arc::clone(value))),
            None => state.remove(&name),
        };
    }
    state
}

/// The world after a restart, some time later.
fn restart(before: &World, later: u64, definitions: &[&str]) -> World {
    // The log and a snapshot say the same.
    assert_eq!(state(&before.host.records), state(&before.engine.records()));
    let records = state(&before.host.records).into_iter().map(|((kind, key), (origin, value))| {
        RulesChange { kind, key, origin, value: Some(value) }
    });
    let now = Now { mono: 7, wall: before.now.wall + later };
    let options = before.engine.options().clone();
    let mut after = World { engine: RuleEngine::new(options, now), host: Recorder::default(), now };
    // The log goes on where it was.
    after.host.records = before.host.records.clone();
    let definitions = definitions.iter().map(|definition| object(definition)).collect();
    after.call(|engine, cx| engine.restore(records, definitions, cx).expect("restores"));
    assert_eq!(state(&after.host.records), state(&after.engine.records()));
    after
}

#[test]
fn facts_keep_everything() {
    let mut world = durable();
    world.set("b", r#"{"x":[1,null,"é"]}"#);
    world.set("a", "1");
    world.set("inf", "1e400");
    world.set("b", "2");
    world.set("gone", "1");
    world.call(|engine, cx| engine.delete_fact("gone", cx));
    world.on("r", "t", r#"[{"type":"set_fact","key":"rule","value":{"ref":"event"}},{"type":"set_fact","key":"none","value":{"ref":"event.gone"}},{"type":"delete_fact","key":"a"}]"#);
    world.emit("t", r#"{"n":1.5}"#);
    let mut after = restart(&world, 0, &[]);
    let text = |world: &World| -> Vec<String> {
        let write = |(key, fact): (&str, &Fact)| {
            let mut out = Vec::new();
            fact.write(key, &mut out);
            String::from_utf8(out).expect("text")
        };
        world.engine.facts().map(write).collect()
    };
    assert_eq!(text(&after), text(&world));
    assert_eq!(after.facts(), ["b", "inf", "rule", "none"]);
    assert_eq!(after.set("b", "3").version, 3);
    assert_eq!(after.engine.fact("inf").and_then(Fact::value), Some(Json::Number(f64::INFINITY)));
    after.set("new", "1");
    assert_eq!(after.facts(), ["b", "inf", "rule", "none", "new"]);
}

#[test]
fn rules_keep_their_order_version_and_state() {
    let mut world = durable();
    for id in ["a", "b", "c", "d"] {
        world.on(id, "t", &format!(r#"[{{"type":"emit_event","topic":"{id}","data":{{}}}}]"#));
    }
    world.call(|engine, cx| {
        engine.update("a", &object(r#"{"name":"New","extra":{"k":1}}"#), cx).expect("updates");
        engine.set_enabled("b", false, cx).expect("there");
        engine.unregister("d", cx).expect("there");
    });
    let mut after = restart(&world, 1000, &[]);
    let all = |world: &World| -> Vec<String> {
        world.engine.rules().map(|rule| Json::Object(rule.clone()).to_text()).collect()
    };
    assert_eq!(all(&after), all(&world));
    after.emit("t", "{}");
    assert_eq!(after.topics(), ["t", "c", "a"]);
    // The counter of versions does not go back, although rule `d` is gone.
    after.on("e", "t", "[]");
    assert_eq!(after.engine.rule("e").expect("there").get("version"), Some(&Json::Number(6.0)));
}

/// A pattern keeps its place among the patterns, also when the rule that
/// brought it is gone.
#[test]
fn patterns_keep_their_order() {
    let mut world = durable();
    let mark = |id: &str| format!(r#"[{{"type":"emit_event","topic":"{id}","data":{{}}}}]"#);
    for (id, topic) in [("1", "x.*"), ("2", "*.y"), ("3", "x.*"), ("4", "x.y")] {
        world.on(id, topic, &mark(id));
    }
    world.call(|engine, cx| engine.unregister("1", cx).expect("there"));
    world.emit("x.y", "{}");
    assert_eq!(world.topics(), ["x.y", "4", "3", "2"]);
    let mut after = restart(&world, 0, &[]);
    after.emit("x.y", "{}");
    assert_eq!(after.topics(), ["x.y", "4", "3", "2"]);
    // What is new comes last.
    after.on("5", "*.*", &mark("5"));
    after.on("6", "x.*", &mark("6"));
    after.emit("x.y", "{}");
    assert_eq!(after.topics(), ["x.y", "4", "3", "6", "2", "5"]);
    let mut again = restart(&after, 0, &[]);
    again.emit("x.y", "{}");
    assert_eq!(again.topics(), ["x.y", "4", "3", "6", "2", "5"]);
}

/// Its rules do not run until it is configured again, or they leave it.
#[test]
fn a_group_may_be_gone_after_a_restart() {
    let mut world = durable();
    let group =
        |id: &str| Group { id: id.into(), name: id.into(), description: None, enabled: true };
    world.engine.add_group(group("night")).expect("new");
    world.register(
        r#"{"id":"r","name":"r","group":"night","trigger":{"type":"event","topic":"t"},
            "actions":[{"type":"emit_event","topic":"ran","data":{}}]}"#,
    );
    world.emit("t", "{}");
    assert_eq!(world.topics(), ["t", "ran"]);
    let mut after = restart(&world, 0, &[]);
    let warning = "Rule \"r\" does not run: its group \"night\" is not configured any more";
    assert!(after.log_text().contains(warning), "{}", after.log_text());
    after.emit("t", "{}");
    assert_eq!(after.topics(), ["t"]);
    after.engine.add_group(group("night")).expect("new");
    assert!(after.engine.set_group_enabled("night", true));
    after.emit("t", "{}");
    assert_eq!(after.topics(), ["t", "ran"]);
}

#[test]
fn timers_are_due_when_they_were() {
    let mut world = durable();
    let timers = [
        ("once", r#""duration":"10s""#),
        ("over", r#""duration":"1s""#),
        ("every", r#""duration":"10s","repeat":{"interval":"10s","maxCount":5}"#),
        ("cron", r#""cron":"*/10 * * * * *""#),
        ("cancelled", r#""duration":"10s""#),
    ];
    for (name, schedule) in timers {
        world.on(name, name, &format!(
            r#"[{{"type":"set_timer","timer":{{"name":"{name}",{schedule},"onExpire":{{"topic":"end.{name}","data":{{"n":{{"ref":"event.n"}}}}}}}}}}]"#
        ));
        let root = NewEvent {
            correlation_id: Some("K".into()),
            ..NewEvent::new(name, object(r#"{"n":7}"#))
        };
        world.call(|engine, cx| engine.emit(root, cx));
    }
    world.on("stop", "stop", r#"[{"type":"cancel_timer","name":"cancelled"}]"#);
    world.emit("stop", "{}");
    world.wait(500);
    let mut after = restart(&world, 4_500, &[]);
    assert_eq!(after.engine.stats().timers, 4);
    // Five seconds after they were set: one is overdue and fires once.
    after.wait(0);
    assert_eq!(after.topics(), ["end.over"]);
    after.wait(4_999);
    assert!(after.topics().is_empty());
    after.wait(1);
    let mut topics = after.topics();
    topics.sort();
    assert_eq!(topics, ["end.cron", "end.every", "end.once"]);
    after.wait(10_000);
    let events = std::mem::take(&mut after.host.events);
    assert_eq!(events.len(), 2);
    for event in &events {
        assert_eq!(event.data.to_text(), r#"{"n":7}"#);
        assert_eq!(event.correlation_id.as_deref(), Some("K"));
    }
    // Missed slots of an interval are skipped, the grid and the count stay.
    let mut later = restart(&after, 23_000, &[]);
    later.wait(0);
    assert_eq!(later.topics(), ["end.cron", "end.every"]);
    later.wait(7_000);
    assert_eq!(later.topics().len(), 2);
    later.wait(10_000);
    assert_eq!(later.topics().len(), 2);
    later.wait(10_000);
    assert_eq!(later.topics(), ["end.cron"]);
}

const FILE: &str = r#"{"id":"f","name":"From the file","trigger":{"type":"event","topic":"t"},
    "actions":[{"type":"emit_event","topic":"file","data":{}}]}"#;

#[test]
fn the_file_wins() {
    let mut world = durable();
    world.call(|engine, cx| engine.restore([], vec![object(FILE)], cx).expect("registers"));
    world.on("w", "t", r#"[{"type":"emit_event","topic":"wire","data":{}}]"#);
    let version = |world: &World, id: &str| {
        world.engine.rule(id).ok().and_then(|rule| rule.get("version")).map(Json::to_text)
    };
    // Equal: kept as it is.
    let after = restart(&world, 0, &[FILE]);
    assert_eq!((version(&after, "f"), version(&after, "w")), (Some("1".into()), Some("2".into())));
    let order: Vec<_> = after.engine.rules().filter_map(|rule| rule.get("id")).collect();
    assert_eq!(order, [&Json::from("f"), &Json::from("w")]);

    // Changed or switched off over the wire: until the next start.
    world.call(|engine, cx| engine.set_enabled("f", false, cx).expect("there"));
    let mut after = restart(&world, 0, &[FILE]);
    after.emit("t", "{}");
    assert_eq!(after.topics(), ["t", "wire", "file"]);
    assert_eq!(version(&after, "f").as_deref(), Some("3"));

    // Removed over the wire: back again. No longer in the file: removed.
    world.call(|engine, cx| engine.unregister("f", cx).expect("there"));
    assert!(restart(&world, 0, &[FILE]).engine.rule("f").is_ok());
    let gone = restart(&restart(&world, 0, &[FILE]), 0, &[]);
    assert!(gone.engine.rule("f").is_err() && gone.engine.rule("w").is_ok());

    // A rule of the wire that the file now has.
    let taken = FILE.replace("\"f\"", "\"w\"");
    let after = restart(&world, 0, &[&taken]);
    let name = after.engine.rule("w").expect("there").get("name").cloned();
    assert_eq!(name, Some(Json::from("From the file")));
    assert!(restart(&after, 0, &[]).engine.rule("w").is_err());
}

#[test]
fn the_first_wrong_definition_is_named() {
    let start = |definitions: &[&str]| {
        let definitions = definitions.iter().map(|definition| object(definition)).collect();
        World::new().call(|engine, cx| engine.restore([], definitions, cx))
    };
    assert_eq!(start(&[FILE]), Ok(()));
    assert_eq!(
        start(&[FILE, FILE]),
        Err("rules.definitions[1].id: Rule \"f\" already exists".to_owned())
    );
    assert_eq!(
        start(&[FILE, r#"{"id":"x","name":"x","trigger":{"type":"event"}}"#]),
        Err("rules.definitions[1].trigger.topic: Event trigger must have a \"topic\" field"
            .to_owned())
    );
    let grouped = FILE.replace("\"actions\"", "\"group\":\"night\",\"actions\"");
    assert_eq!(
        start(&[&grouped]),
        Err("rules.definitions[0].group: Group \"night\" does not exist".to_owned())
    );
}

#[test]
fn a_record_that_cannot_be_read_is_named() {
    let record = |kind, value: &str| RulesChange {
        kind,
        key: "k".into(),
        origin: Origin::Wire,
        value: Some(value.into()),
    };
    for (record, error) in [
        (record(RecordKind::Fact, "{"), "stored fact \"k\": "),
        (record(RecordKind::Fact, "{}"), "stored fact \"k\": \"timestamp\" is missing"),
        (
            record(RecordKind::Timer, r#"{"due":"x"}"#),
            "stored timer \"k\": \"due\" is not a number",
        ),
        (
            record(RecordKind::Rule, r#"{"number":1}"#),
            "stored rule \"k\": \"definition\" is missing",
        ),
        (record(RecordKind::Counter, "-1"), "stored counter \"k\": not a number"),
    ] {
        let found = World::new().call(|engine, cx| engine.restore([record], Vec::new(), cx));
        let found = found.expect_err(error);
        assert!(found.starts_with(error), "{found}");
    }
}

#[test]
fn nothing_is_recorded_without_storage() {
    let mut world = World::new();
    world.on("r", "t", r#"[{"type":"set_timer","timer":{"name":"n","duration":5,"onExpire":{"topic":"x","data":{}}}}]"#);
    world.set("a", "1");
    world.emit("t", "{}");
    world.wait(5);
    assert!(world.host.records.is_empty());
}

#[test]
fn kinds_have_names() {
    for kind in RecordKind::ALL {
        assert_eq!(RecordKind::from_name(kind.as_str()), Some(kind));
    }
    assert_eq!(RecordKind::from_name("other"), None);
}

#[test]
fn a_stored_timer_is_due_by_the_clock_on_the_wall() {
    let mut world = durable();
    world.on(
        "r",
        "go",
        r#"[{"type":"set_timer","timer":{"name":"n","duration":"3s","onExpire":{"topic":"tick","data":{}}}}]"#,
    );
    world.emit("go", "{}");
    let right = world.now.wall;
    // The machine starts with a clock that is years behind, and learns the time.
    world.now.wall -= 40 * 365 * 86_400_000;
    let mut after = restart(&world, 0, &[]);
    after.wait(5_000);
    assert!(after.topics().is_empty());
    after.now.wall = right;
    after.wait(2_999);
    assert!(after.topics().is_empty());
    after.wait(1_001);
    assert_eq!(after.topics(), ["tick"]);
}
