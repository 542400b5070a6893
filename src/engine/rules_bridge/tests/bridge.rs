//! The bridge from commits to events: order, what is bridged, and its bounds.

use super::records::bucket;
use super::*;
use crate::config::BuiltIn;

/// Kinds and keys of the bridged events that were pushed, in order.
fn bridged_events(rig: &mut Rig, conn: ConnId) -> Vec<String> {
    let shown = |message: Json| {
        let event = message.get("data")?.get("event")?.clone();
        let topic = event.get("topic")?.as_str()?.trim_start_matches("bucket.").to_owned();
        let data = event.get("data")?;
        let key = data.get("key").or_else(|| data.get("count"))?.to_text();
        Some(format!("{topic} {}", key.trim_matches('"')))
    };
    rig.received(conn).into_iter().filter_map(shown).collect()
}

fn define(rig: &mut Rig, conn: ConnId, name: &str, config: &str) {
    ok(rig, conn, &format!(r#""type":"store.defineBucket","name":"{name}","config":{config}"#));
}

#[test]
fn a_transaction_becomes_events_in_the_order_of_its_operations() {
    let (mut rig, conn) = rig_with(options(), bridged());
    let watcher = rig.connect();
    for name in ["a", "b", "_own"] {
        bucket(&mut rig, conn, name);
    }
    ok(&mut rig, conn, r#""type":"store.insert","bucket":"a","data":{"id":"old","n":1}"#);
    subscribe(&mut rig, watcher, "bucket.*");
    rig.received(watcher);
    ok(
        &mut rig,
        conn,
        r#""type":"store.transaction","operations":[
            {"op":"insert","bucket":"b","data":{"id":"1"}},
            {"op":"update","bucket":"a","key":"old","data":{"n":2}},
            {"op":"insert","bucket":"_own","data":{"id":"hidden"}},
            {"op":"insert","bucket":"a","data":{"id":"2"}},
            {"op":"delete","bucket":"a","key":"old"},
            {"op":"insert","bucket":"b","data":{"id":"3"}}]"#,
    );
    // A record that changes twice is one event, where it got its last state.
    assert_eq!(
        bridged_events(&mut rig, watcher),
        ["b.inserted 1", "a.inserted 2", "a.deleted old", "b.inserted 3"]
    );
    // What is not committed does not happen.
    let failing = r#"{"id":1,"type":"store.transaction","operations":[
        {"op":"insert","bucket":"a","data":{"id":"x"}},{"op":"update","bucket":"a","key":"gone","data":{}}]}"#;
    assert!(rig.call(conn, failing).get("code").is_some());
    assert!(bridged_events(&mut rig, watcher).is_empty());
}

#[test]
fn a_record_deleted_and_inserted_again_is_two_events() {
    let (mut rig, conn) = rig_with(options(), bridged());
    bucket(&mut rig, conn, "a");
    ok(&mut rig, conn, r#""type":"store.insert","bucket":"a","data":{"id":"k","n":1}"#);
    subscribe(&mut rig, conn, "bucket.*");
    rig.send(
        conn,
        r#"{"id":1,"type":"store.transaction","operations":[{"op":"delete","bucket":"a","key":"k"},{"op":"insert","bucket":"a","data":{"id":"k","n":2}}]}"#,
    );
    assert_eq!(bridged_events(&mut rig, conn), ["a.deleted k", "a.inserted k"]);
    rig.send(
        conn,
        r#"{"id":1,"type":"store.transaction","operations":[{"op":"insert","bucket":"a","data":{"id":"n"}},{"op":"delete","bucket":"a","key":"n"}]}"#,
    );
    assert!(bridged_events(&mut rig, conn).is_empty(), "it was never there");
}

#[test]
fn evicted_expired_and_cascaded_records_are_deleted() {
    let (mut rig, conn) = rig_with(options(), bridged());
    let schema = r#""schema":{"id":{"type":"string"}}"#;
    define(&mut rig, conn, "small", &format!(r#"{{"key":"id","maxSize":2,{schema}}}"#));
    define(&mut rig, conn, "brief", &format!(r#"{{"key":"id","ttl":5000,{schema}}}"#));
    define(&mut rig, conn, "top", &format!(r#"{{"key":"id",{schema}}}"#));
    define(
        &mut rig,
        conn,
        "sub",
        r#"{"key":"id","schema":{"id":{"type":"string"},"of":{"type":"string","ref":"top","onDelete":"cascade"}}}"#,
    );
    subscribe(&mut rig, conn, "bucket.*");
    for (name, data) in [
        ("small", r#"{"id":"1"}"#),
        ("small", r#"{"id":"2"}"#),
        ("small", r#"{"id":"3"}"#),
        ("brief", r#"{"id":"b"}"#),
        ("top", r#"{"id":"t"}"#),
        ("sub", r#"{"id":"s","of":"t"}"#),
    ] {
        rig.send(
            conn,
            &format!(r#"{{"id":1,"type":"store.insert","bucket":"{name}","data":{data}}}"#),
        );
    }
    let mut events = bridged_events(&mut rig, conn);
    assert!(events.contains(&"small.deleted 1".to_owned()), "{events:?}");
    events.retain(|line| line.contains("inserted"));
    assert_eq!(events.len(), 6);
    rig.send(conn, r#"{"id":1,"type":"store.delete","bucket":"top","key":"t"}"#);
    let mut events = bridged_events(&mut rig, conn);
    events.sort();
    assert_eq!(events, ["sub.deleted s", "top.deleted t"]);
    rig.advance(20_000);
    assert_eq!(bridged_events(&mut rig, conn), ["brief.deleted b"]);
    rig.send(conn, r#"{"id":1,"type":"store.clear","bucket":"small"}"#);
    assert_eq!(bridged_events(&mut rig, conn), ["small.cleared 2"]);
    rig.send(conn, r#"{"id":1,"type":"store.clear","bucket":"small"}"#);
    assert!(bridged_events(&mut rig, conn).is_empty());
}

/// The response, the pushes of queries, the bridged events and what they set
/// off, before the next request of anybody.
#[test]
fn one_turn_in_its_order() {
    let (mut rig, conn) = rig_with(options(), bridged());
    let other = rig.connect();
    bucket(&mut rig, conn, "items");
    ok(&mut rig, conn, r#""type":"store.defineQuery","name":"all","config":{"bucket":"items"}"#);
    ok(&mut rig, conn, r#""type":"store.subscribe","query":"all""#);
    subscribe(&mut rig, conn, "*");
    rig.advance(1000);
    rig.received(conn);
    let update = r#"{"type":"call_service","service":"store","method":"update","args":["items",{"ref":"event.key"},{"n":7}]}"#;
    let emit = r#"{"type":"emit_event","topic":"seen","data":{}}"#;
    on(&mut rig, conn, "r", "bucket.items.inserted", &format!("[{update},{emit}]"));
    rig.send(conn, r#"{"id":1,"type":"store.insert","bucket":"items","data":{"id":"a","n":1}}"#);
    assert_eq!(
        seen(&mut rig, conn),
        [
            "result",
            "subscription sub-1",
            "sub-2 bucket.items.inserted",
            "sub-2 seen",
            "subscription sub-1",
            "sub-2 bucket.items.updated",
        ]
    );
    let record = ok(&mut rig, other, r#""type":"store.get","bucket":"items","key":"a""#);
    assert!(record.contains(r#""n":7"#), "{record}");
}

#[test]
fn the_oldest_changes_are_dropped_and_the_next_request_starts_anew() {
    let (mut rig, conn) = rig_with(options(), bridged());
    bucket(&mut rig, conn, "items");
    on(
        &mut rig,
        conn,
        "first",
        "bucket.items.inserted",
        r#"[{"type":"conditional","conditions":[{"source":{"type":"fact","pattern":"first"},"operator":"not_exists"}],
             "then":[{"type":"set_fact","key":"first","value":{"ref":"event.key"}}]},
            {"type":"set_fact","key":"last","value":{"ref":"event.key"}}]"#,
    );
    let fill = |rig: &mut Rig, from: usize, count: usize| {
        let inserts: Vec<String> = (from..from + count)
            .map(|n| format!(r#"{{"op":"insert","bucket":"items","data":{{"id":"{n}"}}}}"#))
            .collect();
        let inserts = inserts.join(",");
        ok(rig, conn, &format!(r#""type":"store.transaction","operations":[{inserts}]"#));
        let first = ok(rig, conn, r#""type":"rules.getFact","key":"first""#);
        let last = ok(rig, conn, r#""type":"rules.getFact","key":"last""#);
        ok(rig, conn, r#""type":"rules.deleteFact","key":"first""#);
        (first, last)
    };
    assert_eq!(fill(&mut rig, 0, 10_003), (r#""3""#.into(), r#""10002""#.into()));
    assert_eq!(fill(&mut rig, 20_000, 2), (r#""20000""#.into(), r#""20001""#.into()));
}

/// Two rules that answer each other's changes: the chain is as deep as one of
/// events, and each change of it is pushed.
#[test]
fn chains_through_two_buckets_end() {
    let (mut rig, conn) = rig_with(options(), bridged());
    for name in ["ping", "pong"] {
        bucket(&mut rig, conn, name);
        ok(
            &mut rig,
            conn,
            &format!(r#""type":"store.insert","bucket":"{name}","data":{{"id":"a","n":0}}"#),
        );
    }
    for (from, to) in [("ping", "pong"), ("pong", "ping")] {
        let update = format!(
            r#"[{{"type":"call_service","service":"store","method":"update","args":["{to}","a",{{"n":1}}]}}]"#
        );
        on(&mut rig, conn, from, &format!("bucket.{from}.updated"), &update);
    }
    subscribe(&mut rig, conn, "bucket.*");
    rig.send(conn, r#"{"id":1,"type":"store.update","bucket":"ping","key":"a","data":{"n":5}}"#);
    assert_eq!(bridged_events(&mut rig, conn).len(), 11);
    // The next request is a new root.
    rig.send(conn, r#"{"id":1,"type":"store.update","bucket":"ping","key":"a","data":{"n":6}}"#);
    assert_eq!(bridged_events(&mut rig, conn).len(), 11);
}

/// A change counts for the root trigger that it belongs to, not for another one
/// that happens to come at the same time.
#[test]
fn each_root_has_its_own_limit() {
    let options = Options { max_cascade_events: 5, ..Options::default() };
    let setup = RulesSetup { options, ..bridged() };
    let (mut rig, conn) = rig_with(super::options(), setup);
    bucket(&mut rig, conn, "items");
    on(
        &mut rig,
        conn,
        "w",
        "w",
        r#"[{"type":"for_each","collection":{"ref":"event.ids"},"as":"r","actions":[
            {"type":"call_service","service":"store","method":"insert","args":["items",{"ref":"var.r"}]}]}]"#,
    );
    subscribe(&mut rig, conn, "bucket.*");
    let write = |prefix: &str, count: usize| {
        let ids: Vec<String> = (0..count).map(|n| format!(r#"{{"id":"{prefix}{n}"}}"#)).collect();
        format!(
            r#"{{"id":1,"type":"rules.emit","topic":"w","data":{{"ids":[{}]}}}}"#,
            ids.join(",")
        )
    };
    rig.send(conn, &write("a", 7));
    // All are written, five are told of.
    assert_eq!(bridged_events(&mut rig, conn).len(), 5);
    let count = ok(&mut rig, conn, r#""type":"store.count","bucket":"items""#);
    assert_eq!(count, "7");
    rig.send(conn, &write("b", 4));
    assert_eq!(bridged_events(&mut rig, conn).len(), 4);
}

#[test]
fn the_servers_own_buckets_are_out_of_reach() {
    let mut rig = Rig::new(options());
    let settings = BuiltIn::new("a-secret-of-thirty-two-characters");
    rig.engine.set_built_in_auth(settings, 60_000).expect("system buckets");
    rig.engine.set_rules(bridged()).expect("starts");
    let conn = rig.connect();
    let login = r#""type":"identity.loginWithSecret","secret":"a-secret-of-thirty-two-characters""#;
    ok(&mut rig, conn, login);
    subscribe(&mut rig, conn, "*");
    // Those that are named are refused with the rule.
    for list in ["actions", "lookups"] {
        let rule = format!(
            r#"{{"id":1,"type":"rules.registerRule","rule":{{"id":"named","name":"n","trigger":{{"type":"event","topic":"t"}},
                "{list}":[{{"name":"l","type":"call_service","service":"store","method":"get","args":["_users","x"]}}]}}}}"#
        );
        rig.send(conn, &rule);
        let answer = rig.received(conn).pop().expect("an answer");
        assert_eq!(answer.get("code"), Some(&Json::from("FORBIDDEN")), "{list}");
    }
    // Those that come out of a reference when it runs.
    for (method, args) in [
        ("get", r#"[{"ref":"event.bucket"},"x"]"#),
        ("insert", r#"[{"ref":"event.bucket"},{"id":"x"}]"#),
        ("update", r#"[{"ref":"event.sessions"},"x",{}]"#),
        ("delete", r#"[{"ref":"event.bucket"},{"ref":"event.key"}]"#),
        ("delete", r#"[{"ref":"event.bucket"},"x"]"#),
    ] {
        let id = format!("{method}{}", args.len());
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
        let emit = format!(
            r#"{{"id":1,"type":"rules.emit","topic":"{id}","data":{{"key":"x","bucket":"_users","sessions":"_sessions"}}}}"#
        );
        rig.send(conn, &emit);
        rig.received(conn);
        let text = ok(&mut rig, conn, r#""type":"rules.getFact","key":"e""#);
        let bucket = if args.contains("sessions") { "_sessions" } else { "_users" };
        let expected = Json::from(format!("Cannot access system bucket \"{bucket}\" directly"));
        assert_eq!(text, expected.to_text(), "{method}");
        ok(&mut rig, conn, r#""type":"rules.deleteFact","key":"e""#);
    }
    // What happens in them is nobody's event.
    rig.send(
        conn,
        r#"{"id":1,"type":"identity.createUser","username":"ann","password":"password"}"#,
    );
    rig.run_jobs();
    let told = seen(&mut rig, conn);
    assert_eq!(told, ["result"]);
}
