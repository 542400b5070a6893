//! Registering, updating and removing rules.

use super::*;
use crate::protocol::{ErrorCode, OpError};

const RULE: &str =
    r#"{"id":"r","name":"R","trigger":{"type":"event","topic":"t"},"note":{"kept":1.50}}"#;

fn register(world: &mut World, definition: &str) -> Result<Object, OpError> {
    let definition = object(definition);
    world.call(|engine, cx| engine.register(definition, Origin::Wire, cx).cloned())
}

fn update(world: &mut World, id: &str, updates: &str) -> Result<Object, OpError> {
    let updates = object(updates);
    world.call(|engine, cx| engine.update(id, &updates, cx).cloned())
}

#[test]
fn defaults_are_filled_in_and_server_fields_overwrite() {
    let mut world = World::new();
    let stored =
        register(&mut world, &RULE.replace("\"name\"", "\"version\":77,\"createdAt\":1,\"name\""));
    let expected = format!(
        r#"{{"id":"r","version":1,"createdAt":{WALL},"name":"R","trigger":{{"type":"event","topic":"t"}},"note":{{"kept":1.5}},"priority":0,"enabled":true,"tags":[],"conditions":[],"actions":[],"updatedAt":{WALL}}}"#
    );
    assert_eq!(Json::Object(stored.expect("registers")).to_text(), expected);
}

#[test]
fn an_existing_id_is_noticed_first() {
    let mut world = World::new();
    register(&mut world, RULE).expect("registers");
    let error = register(&mut world, r#"{"id":"r"}"#).expect_err("exists");
    assert_eq!(
        (error.code, &*error.message),
        (ErrorCode::AlreadyExists, "Rule \"r\" already exists")
    );
    let error = register(&mut world, r#"{"id":"s"}"#).expect_err("broken");
    assert_eq!(
        (error.code, &*error.message),
        (ErrorCode::ValidationError, "Rule validation failed")
    );
    let paths = error.details.map(|details| details.to_text()).unwrap_or_default();
    assert!(paths.contains(r#""path":"name""#) && paths.contains(r#""path":"trigger""#), "{paths}");
}

#[test]
fn unknown_groups_are_refused() {
    let mut world = World::new();
    let grouped = RULE.replace("\"note\"", "\"group\":\"night\",\"note\"");
    let error = register(&mut world, &grouped).expect_err("no group");
    assert_eq!(error.message, "Rule references non-existent group: \"night\"");
    let details = error.details.map(|details| details.to_text());
    let issue =
        r#"[{"path":"group","message":"Group \"night\" does not exist","severity":"error"}]"#;
    assert_eq!(details.as_deref(), Some(issue));
    // A refused rule takes no version.
    let stored = register(&mut world, RULE).expect("registers");
    assert_eq!(stored.get("version"), Some(&Json::Number(1.0)));
}

#[test]
fn updates_are_merged() {
    let mut world = World::new();
    register(&mut world, RULE).expect("registers");
    world.on("s", "t", "[]");
    world.wait(1000);
    let updated = update(
        &mut world,
        "r",
        r#"{"id":"zzz","name":"New","createdAt":5,"tags":["a"],"trigger":{"type":"event","topic":"u"},
            "actions":[{"type":"set_fact","key":"k","value":1}]}"#,
    );
    let expected = format!(
        r#"{{"id":"r","name":"New","trigger":{{"type":"event","topic":"u"}},"note":{{"kept":1.5}},"priority":0,"enabled":true,"tags":["a"],"conditions":[],"actions":[{{"type":"set_fact","key":"k","value":1}}],"version":3,"createdAt":{WALL},"updatedAt":{}}}"#,
        WALL + 1000
    );
    assert_eq!(Json::Object(updated.expect("updates")).to_text(), expected);
    let ids: Vec<_> = world.engine.rules().filter_map(|rule| rule.get("id")).collect();
    assert_eq!(ids, [&Json::from("s"), &Json::from("r")]);
    world.emit("t", "{}");
    assert!(world.facts().is_empty());
    world.emit("u", "{}");
    assert_eq!(world.facts(), ["k"]);

    for (updates, message) in [
        (r#"{"trigger":{"type":"x"}}"#, "Rule validation failed"),
        (r#"{"description":null}"#, "Rule validation failed"),
        (r#"{"group":"none"}"#, "Rule references non-existent group: \"none\""),
    ] {
        let error = update(&mut world, "r", updates).expect_err(updates);
        assert_eq!(error.message, message);
    }
    // A refused update changes nothing.
    world.emit("u", "{}");
    assert_eq!(world.engine.fact("k").map(|fact| fact.version), Some(2));
}

#[test]
fn unknown_rules() {
    let mut world = World::new();
    let unknown = |error: OpError| {
        assert_eq!((error.code, &*error.message), (ErrorCode::NotFound, "Rule \"x\" not found"));
    };
    unknown(update(&mut world, "x", "{}").expect_err("unknown"));
    unknown(world.engine.rule("x").cloned().expect_err("unknown"));
    unknown(world.call(|engine, cx| engine.unregister("x", cx)).expect_err("unknown"));
    unknown(world.call(|engine, cx| engine.set_enabled("x", true, cx)).expect_err("unknown"));
}

#[test]
fn switching_keeps_the_version() {
    let mut world = World::new();
    register(&mut world, RULE).expect("registers");
    world.wait(10);
    for enabled in [false, false, true] {
        world.call(|engine, cx| engine.set_enabled("r", enabled, cx).expect("there"));
        let rule = world.engine.rule("r").expect("there");
        assert_eq!(rule.get("enabled"), Some(&Json::Bool(enabled)));
        assert_eq!(rule.get("version"), Some(&Json::Number(1.0)));
        assert_eq!(rule.get("updatedAt"), Some(&Json::Number((WALL + 10) as f64)));
    }
}

#[test]
fn an_update_may_switch_a_rule_off_and_move_it_to_another_trigger() {
    let mut world = World::new();
    world.on("r", "t", r#"[{"type":"set_fact","key":"k","value":1}]"#);
    update(&mut world, "r", r#"{"enabled":false}"#).expect("updates");
    world.emit("t", "{}");
    update(&mut world, "r", r#"{"enabled":true,"trigger":{"type":"fact","pattern":"f:*"}}"#)
        .expect("updates");
    world.emit("t", "{}");
    assert!(world.facts().is_empty());
    world.set("f:1", "1");
    assert_eq!(world.facts(), ["f:1", "k"]);
    world.call(|engine, cx| engine.unregister("r", cx).expect("there"));
    world.set("f:2", "1");
    assert_eq!(world.engine.stats().executed, 1);
    assert_eq!(world.engine.stats().rules, 0);
}

#[test]
fn ten_thousand_patterns_and_the_one_that_matches() {
    let mut world = World::new();
    for number in 0..10_000 {
        world.on(
            &format!("r{number}"),
            &format!("t{number}.*.x"),
            r#"[{"type":"set_fact","key":"k","value":1}]"#,
        );
    }
    world.emit("t77.a.x", "{}");
    assert_eq!(world.engine.stats().executed, 1);
    for number in 0..10_000 {
        world.call(|engine, cx| engine.unregister(&format!("r{number}"), cx).expect("there"));
    }
    world.emit("t77.a.x", "{}");
    assert_eq!(world.engine.stats().executed, 1);
}

#[test]
fn statistics() {
    let world = World::new();
    let mut out = Vec::new();
    world.engine.stats().write(&mut out);
    let expected = concat!(
        r#"{"rulesCount":0,"factsCount":0,"timersCount":0,"eventsProcessed":0,"rulesExecuted":0,"#,
        r#""avgProcessingTimeMs":0,"tracing":{"enabled":false,"entriesCount":0,"maxEntries":10000}}"#
    );
    assert_eq!(String::from_utf8(out).expect("text"), expected);
    let stats = Stats { executed: 4, busy: 10_000, ..Stats::default() };
    let mut out = Vec::new();
    stats.write(&mut out);
    assert!(String::from_utf8(out).expect("text").contains("\"avgProcessingTimeMs\":2.5"));
}
