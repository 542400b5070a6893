//! What one request may cost and how long an answer may be: each limit at its
//! value and one above it (limits.md).

use super::Rig;
use crate::app::{App, ConnId};
use crate::engine::EngineOptions;
use crate::json::Json;

const RECORDS: usize = 1000;

fn options() -> EngineOptions {
    EngineOptions { heartbeat_interval_ms: 0, ..Default::default() }
}

/// A bucket `b` with records 0..1000, of which each has `n` and a text of ten
/// characters.
fn rig(options: EngineOptions) -> (Rig, ConnId) {
    let steps = options.request_steps;
    let mut rig = Rig::new(EngineOptions { request_steps: 0, ..options });
    let conn = rig.connect();
    ok(
        &mut rig,
        conn,
        r#""type":"store.defineBucket","name":"b","config":{"key":"id","schema":{"id":{"type":"number"},"n":{"type":"number"},"t":{"type":"string"}}}"#,
    );
    let inserts: Vec<String> = (0..RECORDS)
        .map(|id| {
            format!(
                r#"{{"op":"insert","bucket":"b","data":{{"id":{id},"n":{id},"t":"0123456789"}}}}"#
            )
        })
        .collect();
    let request = format!(r#""type":"store.transaction","operations":[{}]"#, inserts.join(","));
    ok(&mut rig, conn, &request);
    rig.engine.options.request_steps = steps;
    (rig, conn)
}

fn call(rig: &mut Rig, conn: ConnId, request: &str) -> Json {
    rig.call(conn, &format!("{{\"id\":7,{request}}}"))
}

fn ok(rig: &mut Rig, conn: ConnId, request: &str) -> Json {
    let reply = call(rig, conn, request);
    assert_eq!(reply.get("type").and_then(Json::as_str), Some("result"), "{request}: {reply}");
    reply.get("data").cloned().unwrap_or_default()
}

fn refused(rig: &mut Rig, conn: ConnId, request: &str) -> (String, String) {
    let reply = call(rig, conn, request);
    assert_eq!(reply.get("code").and_then(Json::as_str), Some("VALIDATION_ERROR"), "{reply}");
    let message = reply.get("message").and_then(Json::as_str).unwrap_or_default().to_owned();
    (message, reply.get("details").map(Json::to_text).unwrap_or_default())
}

#[test]
fn a_read_ends_at_its_steps_and_says_what_would_help() {
    // A record and a condition each.
    let count = r#""type":"store.count","bucket":"b","filter":{"n":{"$lt":0}}"#;
    let (mut at, conn) = rig(EngineOptions { request_steps: 2000, ..options() });
    assert_eq!(ok(&mut at, conn, count), Json::Number(0.0));
    let (mut below, conn) = rig(EngineOptions { request_steps: 1999, ..options() });
    let (message, details) = refused(&mut below, conn, count);
    assert_eq!(message, "Request is too costly: more than 1999 steps");
    let hint = r#"{"limit":1999,"hint":"no index serves this filter on bucket \"b\""}"#;
    assert_eq!(details, hint);
    assert_eq!(below.engine.metrics.request_steps_reached, 1);
    // The next request has a budget of its own.
    ok(&mut below, conn, r#""type":"store.get","bucket":"b","key":1"#);
    for read in [
        r#""type":"store.where","bucket":"b","filter":{"n":{"$lt":0}}"#,
        r#""type":"store.findOne","bucket":"b","filter":{"n":{"$lt":0}}"#,
        r#""type":"store.sum","bucket":"b","field":"n","filter":{"n":{"$lt":0}}"#,
        r#""type":"store.explain","bucket":"b","filter":{"n":{"$lt":0}}"#,
        r#""type":"store.find","bucket":"b","filter":{"n":{"$lt":0}},"limit":1"#,
        r#""type":"store.live","bucket":"b","filter":{"n":{"$lt":0}}"#,
        r#""type":"store.transaction","operations":[{"op":"count","bucket":"b","filter":{"n":{"$lt":0}}},{"op":"insert","bucket":"b","data":{"id":-1}}]"#,
    ] {
        let (message, details) = refused(&mut below, conn, read);
        assert_eq!((&*message, &*details), ("Request is too costly: more than 1999 steps", hint));
    }
    assert_eq!(ok(&mut below, conn, r#""type":"store.count","bucket":"b""#), Json::Number(1000.0));
}

#[test]
fn every_operation_that_walks_records_has_an_end() {
    let (mut rig, conn) = rig(EngineOptions { request_steps: 900, ..options() });
    ok(&mut rig, conn, r#""type":"store.defineQuery","name":"all","config":{"bucket":"b"}"#);
    ok(
        &mut rig,
        conn,
        r#""type":"store.defineQuery","name":"sum","config":{"bucket":"b","aggregate":{"function":"sum","field":"n"}}"#,
    );
    for request in [
        r#""type":"store.all","bucket":"b""#,
        r#""type":"store.find","bucket":"b","sort":{"n":"asc"},"limit":1"#,
        r#""type":"store.groupBy","bucket":"b","field":"n","aggregate":{"function":"count"}"#,
        r#""type":"store.query","query":"all""#,
        r#""type":"store.live","bucket":"b""#,
        r#""type":"store.first","bucket":"b","n":1000"#,
        r#""type":"store.last","bucket":"b","n":1000"#,
        r#""type":"store.paginate","bucket":"b","limit":1000"#,
        r#""type":"store.max","bucket":"b","field":"n""#,
        r#""type":"store.updateBucket","name":"b","updates":{"addIndexes":["n"]}"#,
        r#""type":"store.updateBucket","name":"b","updates":{"ttl":1000}"#,
        r#""type":"store.subscribe","query":"all""#,
        r#""type":"store.subscribe","query":"all","mode":"delta""#,
        r#""type":"store.subscribe","query":"sum""#,
    ] {
        let (message, _) = refused(&mut rig, conn, request);
        assert_eq!(message, "Request is too costly: more than 900 steps", "{request}");
    }
    assert_eq!(rig.engine.total_subscriptions, 0);
    rig.engine.check_invariants();
    // A transaction has one budget for all that it does.
    let update = |id: usize| {
        format!(r#"{{"op":"update","bucket":"b","key":{id},"data":{{"n":{}}}}}"#, id + 1)
    };
    let updates = |count: usize| {
        let steps: Vec<String> = (0..count).map(update).collect();
        format!(r#""type":"store.transaction","operations":[{}]"#, steps.join(","))
    };
    ok(&mut rig, conn, &updates(10));
    let (message, _) = refused(&mut rig, conn, &updates(200));
    assert_eq!(message, "Request is too costly: more than 900 steps");
    let row = ok(&mut rig, conn, r#""type":"store.get","bucket":"b","key":150"#);
    assert_eq!(row.get("n").and_then(Json::as_number), Some(150.0), "nothing has changed");
}

#[test]
fn what_a_long_answer_needed_is_given_back() {
    let (mut rig, conn) = rig(options());
    let reads = vec![r#"{"op":"where","bucket":"b","filter":{}}"#; 60].join(",");
    // An answer that is sent takes its buffer along; one that is given up does not.
    let fails = r#"{"op":"update","bucket":"b","key":-9,"data":{}}"#;
    let request = format!(r#""type":"store.transaction","operations":[{reads},{fails}]"#);
    let refused = call(&mut rig, conn, &request);
    assert_eq!(refused.get("code").and_then(Json::as_str), Some("NOT_FOUND"), "{refused}");
    assert!(rig.engine.current.scratch.capacity() > 300_000, "the answer was long");
    rig.engine.turn_ended(rig.now);
    assert!(rig.engine.current.scratch.capacity() < 300_000);
}

#[test]
fn a_reply_ends_at_its_bytes() {
    let get = r#"{"op":"get","bucket":"b","key":1}"#;
    let request = |count: usize| {
        format!(r#""type":"store.transaction","operations":[{}]"#, vec![get; count].join(","))
    };
    let (mut free, conn) = rig(options());
    let whole = call(&mut free, conn, &request(20)).to_text().len();
    let (mut at, conn) = rig(options());
    at.engine.options.max_reply_bytes = whole;
    ok(&mut at, conn, &request(20));
    at.engine.options.max_reply_bytes = whole - 1;
    let (message, details) = refused(&mut at, conn, &request(20));
    assert_eq!(message, format!("Reply is too large: more than {} bytes", whole - 1));
    assert_eq!(details, format!("{{\"limit\":{}}}", whole - 1));
    assert_eq!(at.engine.metrics.reply_bytes_reached, 1);
    // A write whose answer would be too long is none.
    at.engine.options.max_reply_bytes = 200;
    let insert = format!(
        r#""type":"store.insert","bucket":"b","data":{{"id":-5,"t":"{}"}}"#,
        "x".repeat(200)
    );
    let (message, _) = refused(&mut at, conn, &insert);
    assert_eq!(message, "Reply is too large: more than 200 bytes");
    let row = ok(&mut at, conn, r#""type":"store.get","bucket":"b","key":-5"#);
    assert_eq!(row, Json::Null);
    for request in [
        r#""type":"store.all","bucket":"b""#,
        r#""type":"store.where","bucket":"b","filter":{}"#,
        r#""type":"store.first","bucket":"b","n":50"#,
        r#""type":"store.paginate","bucket":"b","limit":50"#,
    ] {
        let (message, _) = refused(&mut at, conn, request);
        assert_eq!(message, "Reply is too large: more than 200 bytes", "{request}");
    }
}

#[test]
fn a_program_without_limits_may_do_what_it_takes() {
    let (mut rig, _) = rig(EngineOptions { request_steps: 10, ..options() });
    let local = ConnId { slot: 77, generation: 1 };
    let now = rig.now;
    assert!(rig.engine.connect_local(local, false, now));
    let all = r#"{"id":7,"type":"store.all","bucket":"b"}"#;
    let reply = rig.call(local, all);
    assert_eq!(reply.get("type").and_then(Json::as_str), Some("error"), "{reply}");
    let unlimited = ConnId { slot: 78, generation: 1 };
    assert!(rig.engine.connect_local(unlimited, true, now));
    let reply = rig.call(unlimited, all);
    assert_eq!(reply.get("data").and_then(Json::as_array).map(<[Json]>::len), Some(RECORDS));
}

/// The values of the pushes to a subscription of a count or a sum.
fn pushed(rig: &mut Rig, conn: ConnId) -> Vec<f64> {
    let received = rig.received(conn);
    let value = |push: &Json| push.get("data").and_then(Json::as_number);
    received.iter().filter_map(value).collect()
}

/// What was done before does not take the hint from who asked for too much.
#[test]
fn a_call_that_is_too_costly_says_what_would_help() {
    let (mut rig, conn) = rig(EngineOptions { request_steps: 4_000, ..options() });
    rig.engine.set_procedures(crate::procedures::Limits::default());
    let count = r#"{"action":"store.count","bucket":"b","filter":{"n":{"$lt":0}},"as":"n"}"#;
    let insert = r#"{"action":"store.insert","bucket":"b","data":{"id":"{{ input.id }}"}}"#;
    for (id, name, transaction) in [(RECORDS, "whole", true), (RECORDS, "parts", false)] {
        let steps = [insert, count, count, count].join(",");
        ok(
            &mut rig,
            conn,
            &format!(
                r#""type":"procedures.register","procedure":{{"name":"{name}","transaction":{transaction},"steps":[{steps}]}}"#
            ),
        );
        let reached = rig.engine.metrics.request_steps_reached;
        let call = format!(r#""type":"procedures.call","name":"{name}","input":{{"id":{id}}}"#);
        let (_, details) = refused(&mut rig, conn, &call);
        let hint = r#"{"limit":4000,"hint":"no index serves this filter on bucket \"b\""}"#;
        assert_eq!(details, hint, "{name}");
        assert_eq!(rig.engine.metrics.request_steps_reached, reached + 1);
    }
    let stayed = ok(&mut rig, conn, r#""type":"store.count","bucket":"b""#);
    assert_eq!(stayed, Json::Number(RECORDS as f64 + 1.0));
}

#[test]
fn a_costly_query_lags_and_never_shows_a_wrong_last_state() {
    let limits = EngineOptions { view_steps: 50, costly_view_ms: 250, ..options() };
    let (mut rig, conn) = rig(limits);
    // Two conditions, looked at before and after: four steps for a change.
    ok(
        &mut rig,
        conn,
        r#""type":"store.defineQuery","name":"q","config":{"bucket":"b","filter":{"n":{"$gte":5000},"t":"x"},"aggregate":{"function":"count"}}"#,
    );
    ok(&mut rig, conn, r#""type":"store.subscribe","query":"q""#);
    let writer = rig.connect();
    rig.advance(100);
    rig.received(conn);
    let update = |from: usize, count: usize, n: usize| {
        let steps: Vec<String> = (from..from + count)
            .map(|id| {
                format!(r#"{{"op":"update","bucket":"b","key":{id},"data":{{"n":{n},"t":"x"}}}}"#)
            })
            .collect();
        format!(r#""type":"store.transaction","operations":[{}]"#, steps.join(","))
    };
    ok(&mut rig, writer, &update(0, 10, 5000));
    assert_eq!(rig.engine.views.costly_queries(), 0);
    assert_eq!(pushed(&mut rig, conn), [10.0]);
    ok(&mut rig, writer, &update(10, 40, 5000));
    assert_eq!(rig.engine.views.costly_queries(), 1);
    assert_eq!(pushed(&mut rig, conn), [50.0], "what made it costly is still told at once");
    for id in 50..60 {
        ok(&mut rig, writer, &update(id, 1, 5000));
    }
    assert_eq!(pushed(&mut rig, conn), [0.0; 0], "it lags");
    // Who comes now begins with the newest state; the others are told of it.
    let late = rig.connect();
    let first = ok(&mut rig, late, r#""type":"store.subscribe","query":"q""#);
    assert_eq!(first.get("data").and_then(Json::as_number), Some(60.0));
    assert_eq!(pushed(&mut rig, conn), [60.0]);
    ok(&mut rig, writer, &update(60, 5, 5000));
    rig.advance(249);
    assert_eq!(pushed(&mut rig, conn), [0.0; 0]);
    rig.advance(10);
    assert_eq!(pushed(&mut rig, conn), [65.0], "once, with the newest");
    rig.engine.check_invariants();
    // An update from scratch costs too much as well, as long as it goes on.
    rig.advance(59_000);
    ok(&mut rig, writer, &update(65, 1, 5000));
    rig.advance(300);
    assert_eq!(pushed(&mut rig, conn), [66.0]);
    assert_eq!(rig.engine.views.costly_queries(), 1);
    rig.advance(61_000);
    assert_eq!(rig.engine.views.costly_queries(), 0, "a minute without");
    ok(&mut rig, writer, &update(66, 1, 5000));
    assert_eq!(pushed(&mut rig, conn), [67.0], "it follows again");
    rig.engine.check_invariants();
}

#[test]
fn a_push_that_is_too_long_ends_its_subscription() {
    let (mut rig, conn) = rig(options());
    ok(
        &mut rig,
        conn,
        r#""type":"store.defineQuery","name":"q","config":{"bucket":"b","filter":{"n":{"$gte":2000}}}"#,
    );
    let (full, delta) = (rig.connect(), rig.connect());
    ok(&mut rig, full, r#""type":"store.subscribe","query":"q""#);
    ok(&mut rig, delta, r#""type":"store.subscribe","query":"q","mode":"delta""#);
    rig.advance(100);
    let limit = |rig: &mut Rig, bytes: usize| {
        rig.engine.options.max_reply_bytes = bytes;
        let limits = rig.engine.options.view_limits();
        rig.engine.views.set_limits(limits);
    };
    limit(&mut rig, 400);
    let insert = |id: usize, length: usize| {
        let text = "x".repeat(length);
        format!(r#""type":"store.insert","bucket":"b","data":{{"id":{id},"n":{id},"t":"{text}"}}"#)
    };
    ok(&mut rig, conn, &insert(2000, 120));
    assert_eq!(rig.received(full).len(), 1);
    ok(&mut rig, conn, &insert(2001, 120));
    let last = rig.received(full).last().expect("a message").to_text();
    assert_eq!(
        last,
        r#"{"type":"system","event":"subscription_cancelled","subscriptionId":"sub-1","reason":"Result is too large"}"#
    );
    // Its deltas are short.
    assert_eq!(rig.engine.total_subscriptions, 1);
    assert_eq!(rig.received(delta).len(), 2);
    // A transaction whose answer is short and whose change is long.
    let more: Vec<String> = (0..3).map(|at| format!("{{\"op\":\"insert\",\"bucket\":\"b\",\"data\":{{\"id\":{},\"n\":9000,\"t\":\"y\"}}}}", 3000 + at)).collect();
    limit(&mut rig, 5000);
    ok(&mut rig, conn, &format!(r#""type":"store.transaction","operations":[{}]"#, more.join(",")));
    assert_eq!(rig.received(delta).len(), 1);
    limit(&mut rig, 100);
    ok(&mut rig, conn, r#""type":"store.clear","bucket":"b""#);
    let last = rig.received(delta).last().expect("a message").to_text();
    assert!(rig.engine.total_subscriptions == 1 && last.contains("\"reset\":true"), "{last}");
    limit(&mut rig, 20);
    rig.engine.options.request_steps = 0;
    let free = ConnId { slot: 79, generation: 1 };
    let now = rig.now;
    rig.engine.connect_local(free, true, now);
    ok(&mut rig, free, &insert(4000, 10));
    let last = rig.received(delta).last().expect("a message").to_text();
    assert_eq!(
        last,
        r#"{"type":"push","channel":"subscription","subscriptionId":"sub-2","data":{"seq":5,"closed":"tooLarge"}}"#
    );
    assert_eq!(rig.engine.total_subscriptions, 0);
    rig.engine.check_invariants();
}

#[test]
fn what_clients_choose_has_lengths() {
    let (mut rig, conn) = rig(options());
    rig.engine.set_rules(crate::engine::RulesSetup::default()).expect("rules");
    let name = |length: usize| "x".repeat(length);
    let cases: [(&str, &str, &str); 3] = [
        (
            r#""type":"store.defineBucket","name":"NAME","config":{"key":"id","schema":{"id":{"type":"number"}}}"#,
            "NAME",
            "Bucket name is too long (maximum 256 characters)",
        ),
        (
            r#""type":"store.defineQuery","name":"NAME","config":{"bucket":"b"}"#,
            "NAME",
            "Query name is too long (maximum 256 characters)",
        ),
        (
            r#""type":"store.updateBucket","name":"b","updates":{"addFields":{"NAME":{"type":"number"}}}"#,
            "NAME",
            "Field name is too long (maximum 256 characters)",
        ),
    ];
    for (request, place, wanted) in cases {
        ok(&mut rig, conn, &request.replace(place, &name(256)));
        assert_eq!(refused(&mut rig, conn, &request.replace(place, &name(257))).0, wanted);
    }
    for (request, field) in [
        (r#""type":"rules.emit","topic":"TEXT""#, "topic"),
        (r#""type":"rules.setFact","key":"TEXT","value":1"#, "key"),
        (r#""type":"rules.getFact","key":"TEXT""#, "key"),
        (r#""type":"rules.deleteFact","key":"TEXT""#, "key"),
        (r#""type":"rules.subscribe","pattern":"TEXT""#, "pattern"),
        (r#""type":"rules.queryFacts","pattern":"TEXT""#, "pattern"),
    ] {
        ok(&mut rig, conn, &request.replace("TEXT", &name(1024)));
        let wanted = format!("Invalid \"{field}\": at most 1024 characters and 64 segments");
        assert_eq!(refused(&mut rig, conn, &request.replace("TEXT", &name(1025))).0, wanted);
    }
    let alternatives = |count: usize| {
        let all: Vec<String> = (0..count).map(|at| format!("{{\"n\":{at}}}")).collect();
        format!(r#"{{"$or":[{}]}}"#, all.join(","))
    };
    let define = |name: &str, count: usize| {
        let filter = alternatives(count);
        format!(
            r#""type":"store.defineQuery","name":"{name}","config":{{"bucket":"b","filter":{filter}}}"#
        )
    };
    ok(&mut rig, conn, &define("many", 1000));
    assert_eq!(
        refused(&mut rig, conn, &define("more", 1001)).0,
        "Invalid filter: too many conditions (maximum 1000)"
    );
    ok(
        &mut rig,
        conn,
        &format!(r#""type":"store.count","bucket":"b","filter":{}"#, alternatives(1001)),
    );
    ok(
        &mut rig,
        conn,
        r#""type":"store.defineQuery","name":"p","config":{"bucket":"b","filter":{"t":"{{params.t}}"}}"#,
    );
    let subscribe = |bytes: usize| {
        // {"t":""} is eight of them.
        format!(
            r#""type":"store.subscribe","query":"p","params":{{"t":"{}"}}"#,
            "x".repeat(bytes - 8)
        )
    };
    ok(&mut rig, conn, &subscribe(65_536));
    assert_eq!(
        refused(&mut rig, conn, &subscribe(65_537)).0,
        "Invalid \"params\": at most 65536 bytes"
    );
}

#[test]
fn issues_are_counted_and_cut() {
    let (mut rig, conn) = rig(options());
    let values: Vec<String> = (0..25).map(|at| format!("\"v{at}\"")).collect();
    let pattern = format!("^{}$", "a".repeat(300));
    ok(
        &mut rig,
        conn,
        &format!(
            r#""type":"store.defineBucket","name":"v","config":{{"key":"id","schema":{{"id":{{"type":"number"}},"tags":{{"type":"array","items":{{"type":"string","enum":[{}]}}}},"p":{{"type":"string","pattern":"{pattern}"}}}}}}"#,
            values.join(",")
        ),
    );
    let insert = |count: usize| {
        let tags = vec!["\"w\""; count].join(",");
        format!(r#""type":"store.insert","bucket":"v","data":{{"id":1,"tags":[{tags}]}}"#)
    };
    let (_, details) = refused(&mut rig, conn, &insert(100));
    assert_eq!(details.matches("\"code\":\"enum\"").count(), 100);
    assert!(!details.contains("more"), "{details}");
    assert!(details.contains("v18, v19 … (25 in all)\""), "{details}");
    let (message, details) = refused(&mut rig, conn, &insert(101));
    assert_eq!(details.matches("\"code\":\"enum\"").count(), 100);
    assert!(details.ends_with(r#"{"field":"_record","message":"and 1 more","code":"more"}]"#));
    assert!(message.chars().count() <= 10_000);
    let (message, _) =
        refused(&mut rig, conn, r#""type":"store.insert","bucket":"v","data":{"id":1,"p":"b"}"#);
    let wanted = format!("\"^{}…\"", "a".repeat(198));
    assert!(message.ends_with(&wanted), "{message}");
}

#[test]
fn enough_data_is_enough() {
    let (mut rig, conn) = rig(options());
    let used = rig.engine.store.memory() as u64;
    rig.engine.limit_data(Some(used + 1));
    // The one that crosses the limit is the last.
    let insert = |id: usize| {
        let text = "x".repeat(2000);
        format!(r#""type":"store.insert","bucket":"b","data":{{"id":{id},"t":"{text}"}}"#)
    };
    ok(&mut rig, conn, &insert(5000));
    let used = rig.engine.store.memory();
    for request in [
        insert(5001),
        format!(r#""type":"store.transaction","operations":[{{"op":"insert","bucket":"b","data":{{"id":{}}}}}]"#, 5002),
        r#""type":"store.update","bucket":"b","key":1,"data":{"t":"longer than it was"}"#.into(),
        r#""type":"store.defineBucket","name":"c","config":{"key":"id","schema":{"id":{"type":"number"}}}"#.into(),
        r#""type":"store.updateBucket","name":"b","updates":{"addIndexes":["n"]}"#.into(),
    ] {
        let reply = call(&mut rig, conn, &request);
        assert_eq!(reply.get("code").and_then(Json::as_str), Some("BACKPRESSURE"), "{reply}");
        assert_eq!(reply.get("message").and_then(Json::as_str), Some("Memory limit reached"));
        let details = reply.get("details").map(Json::to_text).unwrap_or_default();
        assert!(details.ends_with(&format!("\"used\":{used}}}")), "{details}");
    }
    assert_eq!(rig.engine.metrics.data_bytes_reached, 5);
    // What does not grow goes on.
    ok(&mut rig, conn, r#""type":"store.get","bucket":"b","key":1"#);
    ok(&mut rig, conn, r#""type":"store.update","bucket":"b","key":1,"data":{"t":"short"}"#);
    let stats = ok(&mut rig, conn, r#""type":"server.stats","details":true"#);
    let at = |path: &[&str]| path.iter().try_fold(&stats, |value, name| value.get(name)).cloned();
    assert_eq!(at(&["limits", "data", "reached"]), Some(Json::Number(5.0)));
    let used = Json::Number(rig.engine.store.memory() as f64);
    assert_eq!(at(&["limits", "data", "used"]), Some(used));
    assert_eq!(at(&["limits", "requestSteps", "limit"]), Some(Json::Number(20_000_000.0)));
    assert_eq!(at(&["limits", "costlyViews"]), Some(Json::Number(0.0)));
    assert_eq!(at(&["data", "buckets", "b", "records"]), Some(Json::Number(1001.0)));
    assert_eq!(at(&["data", "rows"]), at(&["data", "buckets", "b", "rowBytes"]));
    let plain = ok(&mut rig, conn, r#""type":"server.stats""#);
    assert!(plain.get("limits").is_none() && plain.get("data").is_none());
    let (message, _) = refused(&mut rig, conn, r#""type":"server.stats","details":1"#);
    assert_eq!(message, "Invalid \"details\": expected boolean");
    ok(&mut rig, conn, r#""type":"store.clear","bucket":"b""#);
    ok(&mut rig, conn, &insert(5001));
    rig.engine.check_invariants();
}

#[test]
fn patterns_that_are_dear_to_compile_take_from_the_budget() {
    let (mut rig, conn) = rig(options());
    rig.engine.set_rules(crate::engine::RulesSetup::default()).expect("rules");
    let fields: Vec<String> = (0..200)
        .map(|at| format!(r#""f{at}":{{"type":"string","pattern":"(x[a-z]{{900}}){{30}}{at}"}}"#))
        .collect();
    let schema = format!(r#"{{"id":{{"type":"number"}},{}}}"#, fields.join(","));
    let (message, _) = refused(
        &mut rig,
        conn,
        &format!(
            r#""type":"store.defineBucket","name":"dear","config":{{"key":"id","schema":{schema}}}"#
        ),
    );
    assert_eq!(message, "Request is too costly: more than 20000000 steps");
    let conditions: Vec<String> = (0..200)
        .map(|at| format!(r#"{{"source":{{"type":"event","field":"x"}},"operator":"matches","value":"(x[a-z]{{900}}){{30}}{at}"}}"#))
        .collect();
    let rule = format!(
        r#"{{"id":"r","name":"r","trigger":{{"type":"event","topic":"t"}},"conditions":[{}],"actions":[]}}"#,
        conditions.join(",")
    );
    for request in ["validateRule", "registerRule"] {
        let request = format!(r#""type":"rules.{request}","rule":{rule}"#);
        let (message, _) = refused(&mut rig, conn, &request);
        assert_eq!(message, "Request is too costly: more than 20000000 steps");
    }
}

/// Whatever its tier: nothing is lost when it is not answered.
#[test]
fn what_only_looks_has_no_longer_answer_than_another() {
    let (mut rig, conn) = rig(options());
    rig.engine.set_audit(crate::audit::AuditLog::new(&crate::config::Audit::default()));
    rig.engine.options.max_reply_bytes = 300;
    for request in [
        r#""type":"audit.query""#,
        r#""type":"server.metrics""#,
        r#""type":"server.stats""#,
        r#""type":"server.top""#,
        r#""type":"store.listQueries""#,
        r#""type":"server.connections""#,
    ] {
        let answer = call(&mut rig, conn, request);
        let text = answer.to_text();
        assert!(
            text.len() < 400 || text.contains("Reply is too large: more than 300 bytes"),
            "{request}: {text}"
        );
    }
    let (message, _) = refused(&mut rig, conn, r#""type":"server.metrics""#);
    assert_eq!(message, "Reply is too large: more than 300 bytes");
    for _ in 0..3 {
        ok(&mut rig, conn, r#""type":"store.defineQuery","name":"q","config":{"bucket":"b"}"#);
        ok(&mut rig, conn, r#""type":"store.undefineQuery","name":"q""#);
    }
    let (message, _) = refused(&mut rig, conn, r#""type":"audit.query""#);
    assert_eq!(message, "Reply is too large: more than 300 bytes");
    rig.engine.options.request_steps = 2;
    rig.engine.options.max_reply_bytes = 1 << 20;
    let (message, _) = refused(&mut rig, conn, r#""type":"audit.query""#);
    assert_eq!(message, "Request is too costly: more than 2 steps");
}
