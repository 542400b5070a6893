//! Temporal patterns by example.

use super::*;

/// A rule that reports its trigger data. Not by an event: that would be the
/// next event of a strict sequence.
pub(super) fn pattern(world: &mut World, id: &str, pattern: &str) {
    world.rule(
        id,
        0,
        &format!(r#"{{"type":"temporal","pattern":{pattern}}}"#),
        r#"[{"type":"call_service","service":"store","method":"insert","args":[{"ref":"trigger"}]}]"#,
    );
}

/// Trigger data of the completions since the last call.
pub(super) fn hits(world: &mut World) -> Vec<String> {
    world.host.chains.clear();
    let calls = world.host.stored.drain(..);
    calls.map(|(_, args)| args.first().map(Json::to_text).unwrap_or_default()).collect()
}

#[test]
fn a_sequence_with_aliases_and_filters() {
    let mut world = World::new();
    pattern(
        &mut world,
        "s",
        r#"{"type":"sequence","within":"10s","events":[
            {"topic":"order.placed","as":"order"},
            {"topic":"order.*","filter":{"state.ok":true,"n":null},"as":"events"}]}"#,
    );
    world.emit("order.placed", r#"{"id":1}"#);
    world.emit("order.paid", r#"{"state":{"ok":false},"n":null}"#);
    world.emit("order.paid", r#"{"state":{"ok":true}}"#);
    assert!(hits(&mut world).is_empty());
    world.wait(10_000);
    // The last millisecond still counts. The alias "events" loses.
    world.emit("order.paid", r#"{"state":{"ok":true},"n":null}"#);
    let data = r#"{"state":{"ok":true},"n":null}"#;
    assert_eq!(
        hits(&mut world),
        [format!(r#"{{"order":{{"id":1}},"events":[{{"id":1}},{data}],"type":"sequence"}}"#)]
    );
    world.emit("order.placed", r#"{"id":2}"#);
    world.wait(10_001);
    world.emit("order.paid", data);
    assert!(hits(&mut world).is_empty());
}

#[test]
fn a_sequence_of_the_same_fires_on_every_event_from_the_second_on() {
    let mut world = World::new();
    pattern(
        &mut world,
        "s",
        r#"{"type":"sequence","within":100,"events":[{"topic":"a"},{"topic":"a"}]}"#,
    );
    for _ in 0..4 {
        world.emit("a", "{}");
    }
    assert_eq!(hits(&mut world).len(), 3);
}

#[test]
fn an_event_in_between_cancels_a_strict_sequence() {
    let mut world = World::new();
    let strict = |strict: bool| {
        format!(
            r#"{{"type":"sequence","strict":{strict},"within":"1m","groupBy":"g",
                "events":[{{"topic":"a"}},{{"topic":"b"}}]}}"#
        )
    };
    pattern(&mut world, "strict", &strict(true));
    pattern(&mut world, "loose", &strict(false));
    for (topic, data) in
        [("a", r#"{"g":1}"#), ("c", r#"{"g":2}"#), ("c", "{}"), ("b", r#"{"g":1}"#)]
    {
        world.emit(topic, data);
    }
    assert_eq!(hits(&mut world).len(), 2);
    for topic in ["a", "c", "b"] {
        world.emit(topic, r#"{"g":1}"#);
    }
    assert_eq!(hits(&mut world).len(), 1);
    // What the rules of an event emit reaches the patterns before the event.
    world.on("r", "a", r#"[{"type":"emit_event","topic":"c","data":{"g":1}}]"#);
    world.emit("a", r#"{"g":1}"#);
    world.emit("b", r#"{"g":1}"#);
    assert_eq!(hits(&mut world).len(), 2);
}

#[test]
fn a_dead_mans_switch() {
    let mut world = World::new();
    pattern(
        &mut world,
        "d",
        r#"{"type":"absence","within":"1m","groupBy":"who","after":{"topic":"beat","as":"last"},"expected":{"topic":"beat"}}"#,
    );
    for beat in 0..5 {
        world.emit("beat", &format!(r#"{{"who":"x","n":{beat}}}"#));
        world.wait(50_000);
    }
    assert!(hits(&mut world).is_empty());
    world.wait(10_000);
    let data = r#"{"who":"x","n":4}"#;
    assert_eq!(
        hits(&mut world),
        [format!(
            r#"{{"last":{data},"type":"absence","groupKey":"x","events":[{data}],"after":{data}}}"#
        )]
    );
    assert_eq!(world.engine.next_deadline(), None);
    assert_eq!(world.engine.stats().timers, 0);
}

#[test]
fn groups_are_told_apart_by_their_text() {
    let mut world = World::new();
    pattern(
        &mut world,
        "c",
        r#"{"type":"count","event":{"topic":"e"},"threshold":2,"window":"1h","groupBy":"g.k"}"#,
    );
    for group in ["1", "\"1\"", "2", "null", "true"] {
        world.emit("e", &format!(r#"{{"g":{{"k":{group}}}}}"#));
    }
    world.emit("e", "{}");
    world.emit("e", r#"{"g":{"k":null}}"#);
    assert_eq!(
        hits(&mut world),
        [r#"{"type":"count","groupKey":"1","count":2,"events":[{"g":{"k":1}},{"g":{"k":"1"}}]}"#]
    );
}

#[test]
fn a_count_fires_on_every_further_event() {
    let mut world = World::new();
    pattern(
        &mut world,
        "c",
        r#"{"type":"count","event":{"topic":"e"},"threshold":3,"window":100}"#,
    );
    for _ in 0..5 {
        world.emit("e", "{}");
    }
    assert_eq!(hits(&mut world).len(), 3);
    world.wait(100);
    world.emit("e", "{}");
    assert_eq!(hits(&mut world).len(), 1);
    world.wait(1);
    world.emit("e", "{}");
    assert!(hits(&mut world).is_empty());
}

#[test]
fn tumbling_windows_are_aligned_and_fire_at_their_end() {
    let mut world = World::new();
    pattern(
        &mut world,
        "c",
        r#"{"type":"aggregate","event":{"topic":"e"},"field":"v","function":"sum","threshold":5,"window":"1m","sliding":false,"groupBy":"g"}"#,
    );
    assert_eq!(WALL % 60_000, 0);
    world.wait(59_000);
    world.emit("e", r#"{"g":"a","v":3}"#);
    world.emit("e", r#"{"g":"b","v":9}"#);
    world.emit("e", r#"{"g":"a","v":4}"#);
    world.emit("e", r#"{"g":"c","v":"9"}"#);
    world.wait(999);
    assert!(hits(&mut world).is_empty());
    world.wait(1);
    assert_eq!(
        hits(&mut world),
        [
            r#"{"type":"aggregate","groupKey":"a","count":2,"value":7,"events":[{"g":"a","v":3},{"g":"a","v":4}]}"#,
            r#"{"type":"aggregate","groupKey":"b","count":1,"value":9,"events":[{"g":"b","v":9}]}"#,
        ]
    );
    assert_eq!(world.engine.next_deadline(), None);
}

#[test]
fn switching_a_rule_off_forgets_everything() {
    let mut world = World::new();
    let absence =
        r#"{"type":"absence","within":100,"after":{"topic":"a"},"expected":{"topic":"b"}}"#;
    let count = r#"{"type":"count","event":{"topic":"a"},"threshold":2,"window":"1h"}"#;
    let sequence =
        r#"{"type":"sequence","strict":true,"within":"1h","events":[{"topic":"a"},{"topic":"a"}]}"#;
    let tumbling =
        r#"{"type":"count","event":{"topic":"a"},"threshold":1,"window":"1h","sliding":false}"#;
    for (id, definition) in [("1", absence), ("2", count), ("3", sequence), ("4", tumbling)] {
        pattern(&mut world, id, definition);
    }
    let toggle = |world: &mut World, enabled: bool| {
        for id in ["1", "2", "3", "4"] {
            world.call(|engine, cx| engine.set_enabled(id, enabled, cx).expect("there"));
        }
    };
    world.emit("a", "{}");
    toggle(&mut world, false);
    assert_eq!(world.engine.next_deadline(), None);
    world.emit("a", "{}");
    toggle(&mut world, true);
    world.emit("a", "{}");
    assert!(hits(&mut world).is_empty());
    world.emit("a", "{}");
    // Two of the sliding count and the sequence; then the others by time.
    assert_eq!(hits(&mut world).len(), 2);
    world.wait(100);
    assert_eq!(hits(&mut world).len(), 1);
    world.call(|engine, cx| engine.unregister("4", cx).expect("there"));
    world.wait(10_000_000);
    assert!(hits(&mut world).is_empty());
}

#[test]
fn completions_run_by_priority_and_after_the_rules_of_the_event() {
    let mut world = World::new();
    let count = r#"{"type":"temporal","pattern":{"type":"count","event":{"topic":"e"},"threshold":1,"window":1000}}"#;
    let emit = |topic: &str| format!(r#"[{{"type":"emit_event","topic":"{topic}","data":{{}}}}]"#);
    world.rule("low", 1, count, &emit("low"));
    world.rule("high", 9, count, &emit("high"));
    world.rule("event", -5, r#"{"type":"event","topic":"e"}"#, &emit("event"));
    world.emit("e", "{}");
    assert_eq!(world.topics(), ["e", "event", "high", "low"]);
}

#[test]
fn completions_count_for_the_depth() {
    let mut world = World::new();
    let count = r#"{"type":"temporal","pattern":{"type":"count","event":{"topic":"e"},"threshold":1,"window":1000}}"#;
    world.rule("self", 1, count, r#"[{"type":"emit_event","topic":"e","data":{}}]"#);
    world.emit("e", "{}");
    assert_eq!(world.topics().len(), 11);
}

#[test]
fn references_of_completions() {
    let mut world = World::new();
    world.rule(
        "r",
        0,
        r#"{"type":"temporal","pattern":{"type":"sequence","within":"1m","events":[{"topic":"a","as":"first"},{"topic":"b"}]}}"#,
        r#"[{"type":"emit_event","topic":"hit","data":{"first":{"ref":"trigger.first.id"},"last":{"ref":"matched.1.id"},
             "via":{"ref":"trigger.events.0.id"},"topic":{"ref":"meta.topic"},"type":{"ref":"event.type"},
             "n":{"ref":"trigger.events.length"},"none":{"ref":"matched.2"}}}]"#,
    );
    world.emit("a", r#"{"id":1}"#);
    let root =
        NewEvent { correlation_id: Some("K".into()), ..NewEvent::new("b", object(r#"{"id":2}"#)) };
    world.call(|engine, cx| engine.emit(root, cx));
    let hit = world.host.events.last().expect("fired");
    assert_eq!(
        hit.data.to_text(),
        r#"{"first":1,"last":2,"via":1,"topic":"b","type":"sequence","n":2}"#
    );
    assert_eq!(hit.correlation_id.as_deref(), Some("K"));
    assert_eq!(hit.causation_id, Some(world.host.events[1].id.clone()));
}

#[test]
fn state_is_bounded() {
    let mut world = World::new();
    let sequence = r#"{"type":"sequence","within":"1d","events":[{"topic":"a"},{"topic":"z"}]}"#;
    let absence = r#"{"type":"absence","within":"1d","groupBy":"n","after":{"topic":"a"},"expected":{"topic":"z"}}"#;
    let count = r#"{"type":"count","event":{"topic":"a"},"threshold":1000000,"window":"1d"}"#;
    let groups = r#"{"type":"aggregate","event":{"topic":"a"},"field":"n","function":"max","threshold":1000000,"window":"1d","groupBy":"n"}"#;
    for (id, definition) in [("s", sequence), ("a", absence), ("c", count), ("g", groups)] {
        pattern(&mut world, id, definition);
    }
    for number in 0..120_000 {
        world.emit("a", &format!(r#"{{"n":{number}}}"#));
        world.host.events.clear();
    }
    for id in ["s", "a", "c", "g"] {
        let warning = format!("Rule \"{id}\" (Rule {id}): too much state for its pattern");
        assert_eq!(world.log_text().matches(&warning).count(), 1, "{id}");
    }
    // Ten thousand instances are left, the youngest.
    world.emit("z", "{}");
    let hits = hits(&mut world);
    assert_eq!(hits.len(), 10_000);
    assert!(hits[0].contains(r#"{"n":110000}"#), "{}", hits[0]);
}
