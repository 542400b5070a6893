//! What operators are shown: who costs what, and what needs attention.

use super::*;
use crate::engine::Exposure;
use crate::engine::metrics_table::{Histogram, StorageFigures, TURN_BOUNDS, TlsFigures, World};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub(super) fn call(rig: &mut Rig, conn: ConnId, request: &str) -> Json {
    let answer = rig.call(conn, &format!(r#"{{"id":1,{request}}}"#));
    match answer.get("data") {
        Some(data) => data.clone(),
        None => answer,
    }
}

fn first_row(answer: &Json) -> Json {
    let rows = answer.get("rows").and_then(Json::as_array).expect("rows");
    rows.first().expect("a row").clone()
}

pub(super) fn number(of: &Json, name: &str) -> f64 {
    of.get(name).and_then(Json::as_number).unwrap_or_else(|| panic!("{name} in {of}"))
}

pub(super) fn text<'j>(of: &'j Json, name: &str) -> &'j str {
    of.get(name).and_then(Json::as_str).unwrap_or_else(|| panic!("{name} in {of}"))
}

/// Moves on by 7 microseconds each time that somebody looks.
fn stopwatch() -> u64 {
    use std::cell::Cell;
    thread_local!(static NOW: Cell<u64> = const { Cell::new(0) });
    NOW.with(|now| {
        now.set(now.get() + 7);
        now.get()
    })
}

pub(super) fn options() -> EngineOptions {
    EngineOptions {
        first_push_delay_ms: 0,
        max_buffered_bytes: 4_000,
        stopwatch: Some(stopwatch),
        ..EngineOptions::default()
    }
}

pub(super) fn prepared() -> (Rig, ConnId) {
    let mut rig = Rig::new(options());
    let conn = rig.connect();
    let bucket = r#""type":"store.defineBucket","name":"parts","config":{"key":"id","schema":{"id":{"type":"number"},"maker":{"type":"string"},"note":{"type":"string"}}}"#;
    assert_eq!(call(&mut rig, conn, bucket).get("type"), None);
    (rig, conn)
}

pub(super) fn insert(rig: &mut Rig, conn: ConnId, id: u32) {
    let data = format!(r#"{{"id":{id},"maker":"m{}","note":"{}"}}"#, id % 200, "x".repeat(100));
    let request = format!(r#""type":"store.insert","bucket":"parts","data":{data}"#);
    assert_eq!(call(rig, conn, &request).get("code"), None);
}

#[test]
fn top_tells_who_is_behind_and_who_costs_most() {
    let (mut rig, writer) = prepared();
    let reader = rig.connect();
    let query = r#""type":"store.live","bucket":"parts""#;
    assert!(call(&mut rig, reader, query).get("subscriptionId").is_some());
    rig.stall(reader, true);
    for id in 0..60 {
        insert(&mut rig, writer, id);
    }
    assert_eq!(text(&call(&mut rig, writer, r#""type":"nonsense""#), "code"), "UNKNOWN_OPERATION");
    rig.now.mono += 12_000;
    rig.now.wall += 12_000;
    let top = call(&mut rig, writer, r#""type":"server.top","sort":"behind""#);
    assert_eq!(number(&top, "connections"), 2.0);
    assert_eq!(number(&top, "slow"), 1.0);
    let row = first_row(&top);
    assert_eq!(text(&row, "connectionId"), "conn-2");
    assert_eq!(number(&row, "behindMs"), 12_000.0);
    assert_eq!(number(&row, "bufferedBytes"), number(&top, "bufferedBytes"));
    assert!(number(&row, "largestBufferedBytes") >= 3_200.0);
    assert_eq!(number(&row, "staleSubscriptions"), 1.0);
    assert!(number(&row, "skippedPushes") > 10.0, "{row}");
    assert_eq!(text(&row, "waiting"), "output");
    let top = call(&mut rig, writer, r#""type":"server.top","sort":"requests","limit":1"#);
    let row = first_row(&top);
    assert_eq!(text(&row, "connectionId"), "conn-1");
    assert_eq!(number(&row, "errors"), 1.0);
    assert_eq!(number(&row, "requests"), 63.0);
    assert_eq!(number(&row, "requestsPerSecond"), 6.2);
    assert!(number(&row, "loopMicros") >= 62.0 * 7.0);
    assert!(number(&row, "receivedBytes") > 60.0 * 100.0);
    let only = call(&mut rig, writer, r#""type":"server.top","connectionId":"conn-2""#);
    assert_eq!(only.get("rows").and_then(Json::as_array).map(<[Json]>::len), Some(1));
    for (request, told) in [
        (r#""sort":"nothing""#, "Invalid \"sort\": expected one of \"buffered\""),
        (r#""limit":0"#, "Invalid \"limit\": expected integer from 1 to 1000"),
        (r#""limit":1.5"#, "Invalid \"limit\""),
        (r#""connectionId":"""#, "Invalid \"connectionId\": expected non-empty string"),
        (r#""connectionId":"conn-9""#, "Connection \"conn-9\" not found"),
    ] {
        let refused = call(&mut rig, writer, &format!(r#""type":"server.top",{request}"#));
        assert!(text(&refused, "message").starts_with(told), "{refused}");
    }
}

#[test]
fn views_tell_what_they_hold_and_what_they_cost() {
    let (mut rig, conn) = prepared();
    let define = r#""type":"store.defineQuery","name":"of-maker","config":{"bucket":"parts","filter":{"maker":"{{ params.maker }}"},"sort":{"id":"desc"}}"#;
    call(&mut rig, conn, define);
    for maker in ["m1", "m2"] {
        for mode in ["full", "delta"] {
            let subscribe = format!(
                r#""type":"store.subscribe","query":"of-maker","params":{{"maker":"{maker}"}},"mode":"{mode}""#
            );
            assert!(call(&mut rig, conn, &subscribe).get("subscriptionId").is_some());
        }
    }
    let writer = rig.connect();
    for id in [1, 201, 401] {
        insert(&mut rig, writer, id);
    }
    rig.received(conn);
    let views = call(&mut rig, conn, r#""type":"server.views","sort":"rows""#);
    assert_eq!(number(&views, "views"), 2.0);
    let row = first_row(&views);
    let view = text(&row, "view").to_owned();
    assert_eq!(text(&row, "query"), "of-maker");
    assert_eq!(text(&row, "params"), r#"{"maker":"m1"}"#);
    assert_eq!(row.get("buckets").map(Json::to_text).as_deref(), Some(r#"["parts"]"#));
    assert_eq!(row.get("routedBy").map(Json::to_text).as_deref(), Some(r#"["maker"]"#));
    for (name, value) in [
        ("rows", 3.0),
        ("subscribers", 2.0),
        ("deltaSubscribers", 1.0),
        ("staleSubscribers", 0.0),
        ("commits", 3.0),
        ("changes", 3.0),
        ("reruns", 0.0),
    ] {
        assert_eq!(number(&row, name), value, "{name}");
    }
    assert!(number(&row, "pushedBytes") > 900.0, "{row}");
    let micros = row.get("updateMicros").expect("micros");
    assert!(number(micros, "total") >= 21.0 && number(micros, "largest") >= 7.0, "{micros}");
    let by_bucket = call(&mut rig, conn, r#""type":"server.views","bucket":"parts","limit":1"#);
    assert_eq!(by_bucket.get("rows").and_then(Json::as_array).map(<[Json]>::len), Some(1));
    for (field, told) in [("query", "Query \"x\" not found"), ("bucket", "Bucket \"x\" not found")]
    {
        let refused = call(&mut rig, conn, &format!(r#""type":"server.views","{field}":"x""#));
        assert_eq!(text(&refused, "message"), told);
    }
    // A number is not given again.
    for id in ["sub-1", "sub-2"] {
        call(&mut rig, conn, &format!(r#""type":"store.unsubscribe","subscriptionId":"{id}""#));
    }
    let again = r#""type":"store.subscribe","query":"of-maker","params":{"maker":"m1"}"#;
    call(&mut rig, conn, again);
    let views = call(&mut rig, conn, r#""type":"server.views","sort":"rows""#);
    assert_ne!(text(&first_row(&views), "view"), view);
}

/// Kinds and subjects, in order.
pub(super) fn told(rig: &mut Rig, conn: ConnId) -> Vec<(String, String, String)> {
    let answer = call(rig, conn, r#""type":"server.insights""#);
    let insights = answer.get("insights").and_then(Json::as_array).expect("insights");
    let words = |insight: &Json| {
        for name in ["reason", "cure"] {
            assert!(text(insight, name).len() > 5, "{insight}");
        }
        let word = |name: &str| text(insight, name).to_owned();
        (word("severity"), word("kind"), word("subject"))
    };
    insights.iter().map(words).collect()
}

pub(super) fn word(severity: &str, kind: &str, subject: &str) -> (String, String, String) {
    (severity.into(), kind.into(), subject.into())
}

#[test]
fn insights_say_what_needs_attention_and_what_helps() {
    let (mut rig, conn) = prepared();
    assert_eq!(told(&mut rig, conn), []);
    let reader = rig.connect();
    call(&mut rig, reader, r#""type":"store.live","bucket":"parts""#);
    rig.stall(reader, true);
    for id in 0..400 {
        insert(&mut rig, conn, id);
    }
    for _ in 0..700 {
        let find = r#""type":"store.where","bucket":"parts","filter":{"maker":"m7"}"#;
        call(&mut rig, conn, find);
    }
    rig.now.mono += 31_000;
    rig.now.wall += 31_000;
    let behind = word("warn", "behind", "conn-2");
    assert_eq!(told(&mut rig, conn), [word("warn", "scan", "parts"), behind.clone()]);
    // The cure works as it stands.
    let answer = call(&mut rig, conn, r#""type":"server.insights""#);
    let scan = answer.get("insights").and_then(Json::as_array).expect("insights")[0].clone();
    assert_eq!(number(&scan, "since"), 1_800_000_000_000.0);
    let cure = text(&scan, "cure");
    let cured = call(&mut rig, conn, &cure[1..cure.len() - 1]);
    assert_eq!(cured.get("updated"), Some(&Json::Bool(true)), "{cured}");
    rig.now.mono += 5 * 60_000;
    rig.now.wall += 5 * 60_000;
    assert_eq!(told(&mut rig, conn), [behind]);
}

/// Records, not steps; alternatives and reads of a transaction too; and a cure that cures.
#[test]
fn scans_are_told_by_their_records_with_what_would_serve_them() {
    let scanned = |read: &str, times: usize| {
        let mut rig = Rig::new(options());
        let conn = rig.connect();
        call(
            &mut rig,
            conn,
            r#""type":"store.defineBucket","name":"b","config":{"key":"id","indexes":["ix"],"schema":{
                "id":{"type":"number"},"no\"such":{"type":"string"},"ix":{"type":"string"}}}"#,
        );
        for id in 0..400 {
            let insert = format!(r#""type":"store.insert","bucket":"b","data":{{"id":{id}}}"#);
            call(&mut rig, conn, &insert);
        }
        for _ in 0..times {
            call(&mut rig, conn, read);
        }
        let answer = call(&mut rig, conn, r#""type":"server.insights""#);
        let found = answer.get("insights").and_then(Json::as_array).expect("insights").to_vec();
        let scan = found.iter().find(|one| text(one, "kind") == "scan").cloned();
        (rig, conn, scan)
    };
    let odd = r#""type":"store.where","bucket":"b","filter":{"no\"such":"x"}"#;
    assert!(scanned(odd, 249).2.is_none(), "99,600 records");
    let (mut rig, conn, scan) = scanned(odd, 250);
    let scan = scan.expect("100,000 records");
    assert_eq!(number(&scan, "count"), 100_000.0);
    let cure = text(&scan, "cure");
    let cured = call(&mut rig, conn, &cure[1..cure.len() - 1]);
    assert_eq!(cured.get("updated"), Some(&Json::Bool(true)), "{cured}");
    let cure = |read: &str| text(&scanned(read, 260).2.expect(read), "cure").to_string();
    let either = r#""type":"store.where","bucket":"b","filter":{"$or":[{"no\"such":"x"},{"$and":[{"y":1}]}]}"#;
    assert!(cure(either).contains(r#""addIndexes":["no\"such"]"#));
    let inside = r#""type":"store.transaction","operations":[
        {"op":"where","bucket":"b","filter":{"no\"such":"x"}}]"#;
    assert!(cure(inside).contains(r#""addIndexes":["no\"such"]"#));
    let part = r#""type":"store.where","bucket":"b","filter":{"ix":{"$contains":"x"}}"#;
    assert_eq!(cure(part), "look for whole values: an index does not serve these operators");
    let undeclared = r#""type":"store.where","bucket":"b","filter":{"y":1}"#;
    assert_eq!(cure(undeclared), "declare the fields in the schema, and an index on one of them");
}

#[test]
fn insights_know_how_the_server_stands_in_the_world() {
    let mut rig = Rig::new(EngineOptions {
        exposure: Exposure { is_public: true, is_encrypted: false },
        max_total_subscriptions: 5,
        ..options()
    });
    let conn = rig.connect();
    call(
        &mut rig,
        conn,
        r#""type":"store.defineBucket","name":"b","config":{"key":"id","schema":{"id":{"type":"number"}}}"#,
    );
    for _ in 0..5 {
        call(&mut rig, conn, r#""type":"store.live","bucket":"b""#);
    }
    rig.engine.set_world(Box::new(|| World {
        turns: Some(Histogram::new(TURN_BOUNDS)),
        log_lines_dropped: 3,
        storage: Some(StorageFigures {
            file_bytes: Some(1 << 30),
            log_bytes: Some(1 << 29),
            free_bytes: Some(1 << 30),
            ..StorageFigures::default()
        }),
        ..World::default()
    }));
    let expected = [
        word("critical", "open", "server"),
        word("warn", "noRateLimit", "server"),
        word("warn", "plain", "server"),
        word("warn", "logGrows", "storage"),
        word("warn", "limitNear", "connectionLimits.maxTotalSubscriptions"),
        word("info", "logsDropped", "log"),
        word("info", "disk", "storage"),
    ];
    assert_eq!(told(&mut rig, conn), expected);
}

#[test]
fn insights_tell_what_ends_and_what_is_not_copied() {
    const DAY: u64 = 24 * 3_600;
    let now = 1_800_000_000;
    let tls = |left: u64, problem: Option<&str>| World {
        tls: TlsFigures {
            not_after: Some(now + left),
            problem: problem.map(str::to_owned),
            ..TlsFigures::default()
        },
        ..World::default()
    };
    let storage = |last_backup: Option<u64>, file_since: u64, looked_at: u64| World {
        storage: Some(StorageFigures {
            last_backup,
            file_since: Some(file_since),
            looked_at,
            ..StorageFigures::default()
        }),
        ..World::default()
    };
    let none: [(String, String, String); 0] = [];
    let told_of = |world: World| {
        let mut rig = Rig::new(options());
        let conn = rig.connect();
        rig.engine.set_world(Box::new(move || world.clone()));
        let answer = call(&mut rig, conn, r#""type":"server.insights""#);
        (told(&mut rig, conn), answer.to_text())
    };
    assert_eq!(told_of(tls(14 * DAY, None)).0, none);
    let (words, text) = told_of(tls(14 * DAY - 1, None));
    assert_eq!(words, [word("warn", "certificate", "tls")]);
    assert!(text.contains("expires in 13 days") && text.contains("renew it"), "{text}");
    let (words, text) = told_of(tls(3 * DAY - 1, Some("tls.key: k: no private key found")));
    assert_eq!(words, [word("critical", "certificate", "tls")]);
    assert!(text.contains("the last reload failed: tls.key: k: no private key found"), "{text}");
    assert!(told_of(tls(0, None)).1.contains("has expired"));

    let missing = [word("info", "noBackup", "storage")];
    assert_eq!(told_of(storage(None, now - 25 * 3_600, now)).0, none, "young data");
    assert_eq!(told_of(storage(None, now - 26 * 3_600, now)).0, missing);
    assert_eq!(told_of(storage(Some(now - 25 * 3_600), now - 90 * DAY, now)).0, none);
    let (words, text) = told_of(storage(Some(now - 27 * 3_600), now - 90 * DAY, now));
    assert_eq!(words, missing);
    assert!(text.contains("the newest backup is 27 hours old"), "{text}");
    // What nobody has looked at for long, or at all, is not told.
    assert_eq!(told_of(storage(None, now - 90 * DAY, now - 61)).0, none);
    assert_eq!(told_of(storage(None, now - 90 * DAY, 0)).0, none);
}

#[test]
fn who_asks_for_insights_has_the_system_looked_at() {
    let mut rig = Rig::new(options());
    let conn = rig.connect();
    let looks = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&looks);
    let probe = move || {
        counted.fetch_add(1, Ordering::Relaxed);
    };
    rig.engine.set_probe(Arc::new(probe), false);
    rig.run_jobs();
    assert_eq!(looks.load(Ordering::Relaxed), 0, "without metrics nobody looks");
    for (after, expected) in [(0, 1), (1_000, 1), (4_000, 2)] {
        rig.advance(after);
        call(&mut rig, conn, r#""type":"server.insights""#);
        rig.run_jobs();
        assert_eq!(looks.load(Ordering::Relaxed), expected, "{after}");
    }
}

#[test]
fn insights_find_sets_that_anybody_may_fill_and_records_of_nobody() {
    let mut rig = super::access::rig(&super::access::tokens(r#""required":false"#));
    let conn = rig.connect();
    call(&mut rig, conn, r#""type":"auth.login","token":"t-root""#);
    for request in [
        r#""type":"store.defineBucket","name":"members","config":{"key":"id","schema":{"id":{"type":"number"},"user":{"type":"string"}}}"#,
        r#""type":"access.defineSet","name":"mine","bucket":"members","filter":{"user":"{{ session.userId }}"},"field":"id""#,
        r#""type":"store.defineBucket","name":"notes","config":{"key":"id","schema":{"id":{"type":"number"},"owner":{"type":"string"}},"rows":{"read":{"owner":"{{ session.userId }}"}}}"#,
    ] {
        assert_eq!(call(&mut rig, conn, request).get("code"), None, "{request}");
    }
    let expected = [word("warn", "openSet", "mine"), word("info", "nullOwner", "notes")];
    assert_eq!(told(&mut rig, conn), expected);
}
