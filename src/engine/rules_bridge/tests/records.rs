//! Rules and records: the service `store` and the bridge from commits.

use super::*;

pub(super) fn bucket(rig: &mut Rig, conn: ConnId, name: &str) {
    ok(
        rig,
        conn,
        &format!(
            r#""type":"store.defineBucket","name":"{name}","config":{{"key":"id","schema":{{"id":{{"type":"string"}},"n":{{"type":"number"}}}}}}"#
        ),
    );
}

#[test]
fn rules_write_records_through_the_one_door() {
    let (mut rig, conn) = rig();
    bucket(&mut rig, conn, "items");
    ok(&mut rig, conn, r#""type":"store.defineQuery","name":"all","config":{"bucket":"items"}"#);
    on(
        &mut rig,
        conn,
        "w",
        "w",
        r#"[{"type":"call_service","service":"store","method":"insert","args":["items",{"ref":"event"}]},
            {"type":"call_service","service":"store","method":"update","args":["items",{"ref":"event.id"},{"n":7}]},
            {"type":"call_service","service":"store","method":"delete","args":["items","none"]},
            {"type":"emit_event","topic":"done","data":{}}]"#,
    );
    subscribe(&mut rig, conn, "done");
    ok(&mut rig, conn, r#""type":"store.subscribe","query":"all""#);
    rig.advance(100);
    rig.received(conn);
    // The event is pushed before the response, the results after it: one for
    // each commit.
    rig.send(conn, r#"{"id":7,"type":"rules.emit","topic":"w","data":{"id":"a","n":1}}"#);
    assert_eq!(
        seen(&mut rig, conn),
        ["sub-1 done", "result", "subscription sub-2", "subscription sub-2"]
    );
    let record = ok(&mut rig, conn, r#""type":"store.get","bucket":"items","key":"a""#);
    assert!(record.contains(r#""n":7"#) && record.contains(r#""_version":2"#), "{record}");
}

#[test]
fn failures_of_the_store_are_failures_of_the_action() {
    let (mut rig, conn) = rig();
    bucket(&mut rig, conn, "items");
    let mut attempt = |method: &str, args: &str| {
        let id = ok(&mut rig, conn, r#""type":"rules.getRules""#).len().to_string();
        on(
            &mut rig,
            conn,
            &id,
            &id,
            &format!(
                r#"[{{"type":"try_catch","try":[{{"type":"call_service","service":"store","method":"{method}","args":{args}}}],
                     "catch":{{"as":"e","actions":[{{"type":"set_fact","key":"e","value":{{"ref":"var.e.message"}}}}]}}}}]"#
            ),
        );
        ok(&mut rig, conn, r#""type":"rules.deleteFact","key":"e""#);
        ok(&mut rig, conn, &format!(r#""type":"rules.emit","topic":"{id}""#));
        ok(&mut rig, conn, r#""type":"rules.getFact","key":"e""#)
    };
    for (method, args, expected) in [
        ("get", "[]", "store.get: argument 1 must be the bucket, a non-empty string"),
        ("get", r#"["items"]"#, "store.get: argument 2 must be the key"),
        ("insert", r#"["items",5]"#, "store.insert: argument 2 must be the record, an object"),
        ("update", r#"["items","a"]"#, "store.update: argument 3 must be the changes, an object"),
        ("update", r#"["items","a",{}]"#, "Record with key \"a\" not found in bucket \"items\""),
        ("insert", r#"["none",{}]"#, "Bucket \"none\" is not defined"),
        ("drop", r#"["items"]"#, "Method not found: store.drop"),
    ] {
        assert_eq!(attempt(method, args), Json::from(expected).to_text(), "{method} {args}");
    }
    let invalid = attempt("insert", r#"["items",{"id":5}]"#);
    assert!(invalid.contains("alidation"), "{invalid}");
    assert_eq!(attempt("delete", r#"["items","a"]"#), "null");
}

#[test]
fn changes_of_records_become_events_after_the_response() {
    let (mut rig, conn) = rig_with(options(), bridged());
    bucket(&mut rig, conn, "items");
    bucket(&mut rig, conn, "_own");
    subscribe(&mut rig, conn, "bucket.*");
    for request in [
        r#""type":"store.insert","bucket":"items","data":{"id":"a","n":1}"#,
        r#""type":"store.update","bucket":"items","key":"a","data":{"n":2}"#,
        r#""type":"store.insert","bucket":"_own","data":{"id":"a"}"#,
        r#""type":"store.delete","bucket":"items","key":"a""#,
        r#""type":"store.delete","bucket":"items","key":"a""#,
        r#""type":"store.clear","bucket":"items""#,
        r#""type":"store.transaction","operations":[{"op":"insert","bucket":"items","data":{"id":"x"}},{"op":"insert","bucket":"items","data":{"id":"y"}}]"#,
        r#""type":"store.clear","bucket":"items""#,
    ] {
        rig.send(conn, &format!(r#"{{"id":1,{request}}}"#));
    }
    let messages = rig.received(conn);
    let data = |at: usize| messages[at].get("data").and_then(|data| data.get("event")).cloned();
    let event = data(1).expect("an event");
    assert_eq!(event.get("source"), Some(&Json::from("store")));
    assert_eq!(event.get("correlationId"), None);
    let payload = event.get("data").expect("data");
    assert_eq!(payload.get("record").and_then(|r| r.get("n")), Some(&Json::Number(1.0)));
    assert!(
        payload
            .to_text()
            .starts_with(r#"{"type":"inserted","bucket":"items","key":"a","record":{"#)
    );
    let update = data(3).expect("an event");
    let n = |name| update.get("data").and_then(|data| data.get(name)).and_then(|r| r.get("n"));
    assert_eq!(
        (n("oldRecord"), n("newRecord")),
        (Some(&Json::Number(1.0)), Some(&Json::Number(2.0)))
    );
    let cleared = messages.last().and_then(|m| m.get("data")).and_then(|d| d.get("event"));
    assert_eq!(
        cleared.and_then(|event| event.get("data")).map(Json::to_text).as_deref(),
        Some(r#"{"type":"cleared","bucket":"items","count":2}"#)
    );
    let order: Vec<String> = messages
        .iter()
        .map(|message| match message.get("data").and_then(|data| data.get("topic")) {
            Some(topic) => {
                topic.as_str().unwrap_or_default().trim_start_matches("bucket.items.").into()
            }
            None => message.get("type").and_then(Json::as_str).unwrap_or_default().into(),
        })
        .collect();
    assert_eq!(
        order,
        [
            "result", "inserted", "result", "updated", "result", "result", "deleted", "result",
            "result", "result", "inserted", "inserted", "result", "cleared",
        ]
    );
}

#[test]
fn prefix_and_buckets_of_bridged_changes() {
    let events =
        StoreEvents { buckets: Some(vec!["b".into(), "a.c".into()]), prefix: "store".into() };
    let (mut rig, conn) =
        rig_with(options(), RulesSetup { store_events: Some(events), ..RulesSetup::default() });
    for name in ["a", "b", "a.c"] {
        bucket(&mut rig, conn, name);
    }
    subscribe(&mut rig, conn, "*");
    for name in ["a", "b", "a.c"] {
        rig.send(
            conn,
            &format!(r#"{{"id":1,"type":"store.insert","bucket":"{name}","data":{{"id":"x"}}}}"#),
        );
    }
    assert_eq!(
        seen(&mut rig, conn),
        ["result", "result", "sub-1 store.b.inserted", "result", "sub-1 store.a.c.inserted"]
    );
}

#[test]
fn a_rule_that_changes_what_it_listens_to_comes_to_an_end() {
    let executed = |setup: RulesSetup, updates: usize| {
        let (mut rig, conn) = rig_with(options(), setup);
        bucket(&mut rig, conn, "items");
        let update = r#"{"type":"call_service","service":"store","method":"update","args":["items","a",{"n":0}]}"#;
        let actions = format!("[{}]", vec![update; updates].join(","));
        on(&mut rig, conn, "echo", "bucket.items.updated", &actions);
        ok(&mut rig, conn, r#""type":"store.insert","bucket":"items","data":{"id":"a","n":1}"#);
        rig.send(
            conn,
            r#"{"id":1,"type":"store.update","bucket":"items","key":"a","data":{"n":2}}"#,
        );
        rig.engine.rule_engine().map(|core| core.stats().executed)
    };
    // The depth ends a single chain, the number of events one that spreads.
    assert_eq!(executed(bridged(), 1), Some(10));
    let options = Options { max_cascade_events: 50, ..Options::default() };
    assert_eq!(executed(RulesSetup { options, ..bridged() }, 3), Some(51));
}

#[test]
fn expired_records_become_events() {
    let (mut rig, conn) = rig_with(options(), bridged());
    ok(
        &mut rig,
        conn,
        r#""type":"store.defineBucket","name":"t","config":{"key":"id","ttl":5000,"schema":{"id":{"type":"string"}}}"#,
    );
    subscribe(&mut rig, conn, "bucket.t.deleted");
    ok(&mut rig, conn, r#""type":"store.insert","bucket":"t","data":{"id":"a"}"#);
    rig.received(conn);
    rig.advance(10_000);
    assert_eq!(seen(&mut rig, conn), ["sub-1 bucket.t.deleted"]);
}

#[test]
fn changes_of_one_request_that_wait_are_bounded() {
    let (mut rig, conn) = rig_with(options(), bridged());
    bucket(&mut rig, conn, "items");
    let inserts: Vec<String> = (0..10_010)
        .map(|n| format!(r#"{{"op":"insert","bucket":"items","data":{{"id":"{n}"}}}}"#))
        .collect();
    ok(
        &mut rig,
        conn,
        &format!(r#""type":"store.transaction","operations":[{}]"#, inserts.join(",")),
    );
    let stats = rig.engine.rule_engine().map(RuleEngine::stats).expect("rules");
    assert_eq!(stats.events, 10_000);
}
