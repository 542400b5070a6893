//! Insights about what was done in the last minutes, and about what is almost used up.

use super::introspection::{call, insert, number, options, prepared, text, told, word};
use super::*;
use crate::app::Held;
use crate::engine::RulesSetup;
use crate::engine::metrics_table::{StorageFigures, World};

const MINUTE: u64 = 60_000;

fn pass(rig: &mut Rig, ms: u64) {
    rig.now.mono += ms;
    rig.now.wall += ms;
}

fn insights(rig: &mut Rig, conn: ConnId) -> Vec<Json> {
    let answer = call(rig, conn, r#""type":"server.insights""#);
    answer.get("insights").and_then(Json::as_array).expect("insights").to_vec()
}

fn rules() -> (Rig, ConnId) {
    let (mut rig, conn) = prepared();
    rig.engine.set_rules(RulesSetup::default()).expect("rules");
    (rig, conn)
}

fn register(rig: &mut Rig, conn: ConnId, id: &str, rest: &str) {
    let rule = format!(
        r#""type":"rules.registerRule","rule":{{"id":{id},"name":"R","trigger":{{"type":"event","topic":"go"}},{rest}}}"#
    );
    let answer = call(rig, conn, &rule);
    assert_eq!(answer.get("code"), None, "{answer}");
}

const BAD: &str = r#"{"type":"call_service","service":"nothing","method":"x","args":[]}"#;
const GOOD: &str = r#"{"type":"set_fact","key":"k","value":1}"#;

#[test]
fn a_rule_that_fails_again_and_again_is_told_and_how_to_see_why() {
    let (mut rig, conn) = rules();
    register(&mut rig, conn, r#""st\"ock""#, &format!(r#""actions":[{BAD},{BAD}]"#));
    // What is met by a `catch` is no failure.
    let met = format!(
        r#""actions":[{{"type":"try_catch","try":[{BAD}],"catch":{{"actions":[{GOOD}]}}}}]"#
    );
    register(&mut rig, conn, r#""met""#, &met);
    register(&mut rig, conn, r#""good""#, &format!(r#""actions":[{GOOD}]"#));
    let emit = |rig: &mut Rig| {
        call(rig, conn, r#""type":"rules.emit","topic":"go","data":{}"#);
    };
    // Two actions of one execution are one failure.
    (0..9).for_each(|_| emit(&mut rig));
    assert_eq!(told(&mut rig, conn), []);
    pass(&mut rig, 2 * MINUTE);
    emit(&mut rig);
    assert_eq!(told(&mut rig, conn), [word("warn", "ruleFails", "st\"ock")]);
    let insight = insights(&mut rig, conn)[0].clone();
    assert_eq!(number(&insight, "count"), 10.0);
    // The cure works as it stands.
    let cure = text(&insight, "cure");
    let looking = rig.connect();
    let cured = call(&mut rig, looking, &cure[1..cure.len() - 1]);
    assert!(cured.get("subscriptionId").is_some(), "{cured}");
    // Nine of the ten are over.
    pass(&mut rig, 4 * MINUTE);
    assert_eq!(told(&mut rig, conn), []);
    (0..9).for_each(|_| emit(&mut rig));
    assert_eq!(told(&mut rig, conn).len(), 1);
    // One that is not there any more needs nothing.
    call(&mut rig, conn, r#""type":"rules.unregisterRule","ruleId":"st\"ock""#);
    assert_eq!(told(&mut rig, conn), []);
}

#[test]
fn lookups_that_fail_and_conditions_with_errors_are_failures_of_their_rules() {
    let (mut rig, conn) = rules();
    let lookup = |error: &str| {
        format!(
            r#""lookups":[{{"name":"l","service":"store","method":"get","args":["nowhere",1],"onError":"{error}"}}],"actions":[]"#
        )
    };
    register(&mut rig, conn, r#""fails""#, &lookup("fail"));
    register(&mut rig, conn, r#""skips""#, &lookup("skip"));
    let condition = format!(
        r#""conditions":[{{"source":{{"type":"fact","pattern":"${{no.such}}"}},"operator":"exists"}}],"actions":[{GOOD}]"#
    );
    register(&mut rig, conn, r#""wrong""#, &condition);
    let uncaught =
        format!(r#""actions":[{{"type":"try_catch","try":[{BAD}],"finally":[{GOOD}]}}]"#);
    register(&mut rig, conn, r#""uncaught""#, &uncaught);
    for _ in 0..10 {
        call(&mut rig, conn, r#""type":"rules.emit","topic":"go","data":{}"#);
    }
    let expected = ["fails", "uncaught", "wrong"].map(|rule| word("warn", "ruleFails", rule));
    assert_eq!(told(&mut rig, conn), expected);
}

/// A view whose column has numbers and strings is evaluated for each commit.
#[test]
fn views_are_judged_by_what_they_did_lately() {
    let (mut rig, conn) = prepared();
    let bucket = r#""type":"store.defineBucket","name":"mixed","config":{"key":"id","schema":{"id":{"type":"number"}}}"#;
    assert_eq!(call(&mut rig, conn, bucket).get("code"), None);
    let define = r#""type":"store.defineQuery","name":"by-v","config":{"bucket":"mixed","sort":{"v":"asc"},"limit":5}"#;
    assert_eq!(call(&mut rig, conn, define).get("code"), None);
    let subscribe = r#""type":"store.subscribe","query":"by-v""#;
    let reader = rig.connect();
    assert!(call(&mut rig, reader, subscribe).get("subscriptionId").is_some());
    let put = |rig: &mut Rig, id: u32| {
        let value = if id.is_multiple_of(2) { "1" } else { r#""a""# };
        let data = format!(r#"{{"id":{id},"v":{value}}}"#);
        call(rig, conn, &format!(r#""type":"store.insert","bucket":"mixed","data":{data}"#));
    };
    (0..90).for_each(|id| put(&mut rig, id));
    assert_eq!(told(&mut rig, conn), []);
    pass(&mut rig, 3 * MINUTE);
    (90..120).for_each(|id| put(&mut rig, id));
    let insight = insights(&mut rig, conn)[0].clone();
    assert_eq!((text(&insight, "kind"), text(&insight, "subject")), ("rerun", "by-v"));
    assert!((100.0..=120.0).contains(&number(&insight, "count")), "{insight}");
    assert_eq!(
        text(&insight, "cure"),
        "keep values of one type in the columns that the query sorts by"
    );
    pass(&mut rig, 3 * MINUTE);
    assert_eq!(told(&mut rig, conn), [], "most of it was long ago");
}

#[test]
fn whole_results_are_judged_by_the_last_minutes() {
    let (mut rig, conn) = prepared();
    let reader = rig.connect();
    call(&mut rig, reader, r#""type":"store.live","bucket":"parts""#);
    for id in 0..400 {
        insert(&mut rig, conn, id);
    }
    pass(&mut rig, 10_000);
    let updates = |rig: &mut Rig| {
        for n in 0..150 {
            let update = format!(
                r#""type":"store.update","bucket":"parts","key":1,"data":{{"note":"{n}"}}"#
            );
            call(rig, conn, &update);
            rig.received(reader);
        }
    };
    updates(&mut rig);
    let told_of = told(&mut rig, conn);
    assert_eq!(told_of.iter().filter(|(_, kind, _)| kind == "wholeResults").count(), 1);
    assert_eq!(told_of.len(), 1, "{told_of:?}");
    // The same in five minutes is little, however long the view has been there.
    pass(&mut rig, 20 * MINUTE);
    updates(&mut rig);
    assert_eq!(told(&mut rig, conn), []);
}

#[test]
fn what_is_almost_used_up_is_told_with_its_key() {
    let mut rig = Rig::new(EngineOptions { min_free_bytes: 1_000, ..options() });
    let conn = rig.connect();
    let held = |used, limit| Held { used, limit, reached: 0 };
    rig.engine.held = Some(Box::new(move || [held(81, 100), held(80, 100)]));
    let near = word("warn", "limitNear", "limits.maxOutputBytes");
    assert_eq!(told(&mut rig, conn), std::slice::from_ref(&near));
    rig.engine.held = Some(Box::new(move || [held(80, 100), held(81, 100)]));
    assert_eq!(told(&mut rig, conn), [word("warn", "limitNear", "limits.maxInputBytes")]);
    rig.engine.held = None;
    // Handshakes count as they do when one comes.
    rig.engine.options.max_connections = Some(10);
    rig.engine.set_world(Box::new(|| World { sockets: 8, ..World::default() }));
    assert_eq!(told(&mut rig, conn), []);
    rig.engine.set_world(Box::new(|| World { sockets: 9, ..World::default() }));
    assert_eq!(told(&mut rig, conn), [word("warn", "limitNear", "maxConnections")]);
    rig.engine.options.max_connections = None;
    for (free, file, expected) in [
        (1_999, 10, Some(("critical", "twice `minFreeBytes`"))),
        (2_000, 1_000, None),
        (2_000, 1_001, Some(("info", "twice the size of the database"))),
        (1_999, 1_000, Some(("critical", "twice `minFreeBytes`"))),
    ] {
        rig.engine.set_world(Box::new(move || World {
            storage: Some(StorageFigures {
                free_bytes: Some(free),
                file_bytes: Some(file),
                ..StorageFigures::default()
            }),
            ..World::default()
        }));
        let found = insights(&mut rig, conn);
        let found =
            found.first().map(|insight| (text(insight, "severity"), text(insight, "reason")));
        match (found, expected) {
            (None, None) => {}
            (Some((severity, reason)), Some((wanted, part))) => {
                assert!(severity == wanted && reason.contains(part), "{free} {file}: {reason}");
            }
            other => panic!("{free} {file}: {other:?}"),
        }
    }
}
