//! Very many records that expire at once: removed in pieces, and gone for
//! everybody who reads from the moment they are due.

use super::*;

const BATCH: usize = 10;
const MANY: usize = 35;

/// A bucket whose records live for a second, another that refers to it, and a
/// live query over the first.
fn full() -> (Rig, ConnId) {
    let options = EngineOptions {
        heartbeat_interval_ms: 0,
        first_push_delay_ms: 0,
        expiry_batch: BATCH,
        // Only what a request finds is removed.
        ttl_check_interval_ms: 1_000_000,
        ..EngineOptions::default()
    };
    let mut rig = Rig::new(options);
    let conn = rig.connect();
    for request in [
        r#""type":"store.defineBucket","name":"t","config":{"key":"id","ttl":1000,"indexes":["k"],"schema":{"id":{"type":"number"},"k":{"type":"string"},"u":{"type":"string","unique":true},"p":{"type":"number","ref":"kept","onDelete":"restrict"}}}"#,
        r#""type":"store.defineBucket","name":"kept","config":{"key":"id","schema":{"id":{"type":"number"},"t":{"type":"number","ref":"t"}}}"#,
        r#""type":"store.insert","bucket":"kept","data":{"id":1}"#,
        r#""type":"store.defineQuery","name":"q","config":{"bucket":"t","aggregate":{"function":"count"}}"#,
        r#""type":"store.subscribe","query":"q""#,
    ] {
        ask(&mut rig, conn, request);
    }
    for id in 0..MANY {
        let more = if id == MANY - 1 { ",\"p\":1" } else { "" };
        let insert = format!(
            r#""type":"store.insert","bucket":"t","data":{{"id":{id},"k":"a","u":"u{id}"{more}}}"#
        );
        ask(&mut rig, conn, &insert);
    }
    rig.advance(999);
    ask(&mut rig, conn, r#""type":"store.insert","bucket":"t","data":{"id":100,"k":"a"}"#);
    rig.received(conn);
    (rig, conn)
}

fn ask(rig: &mut Rig, conn: ConnId, request: &str) -> String {
    rig.engine.message(conn, &format!(r#"{{"id":1,{request}}}"#), rig.now);
    rig.drain();
    let is_answer = |message: &Json| message.get("id").is_some();
    let answer = rig.received(conn).into_iter().find(is_answer).expect("an answer");
    match answer.get("message").and_then(Json::as_str) {
        Some(message) => message.to_owned(),
        None => answer.get("data").map(Json::to_text).unwrap_or_default(),
    }
}

/// All are due, and the first request of the turn has removed ten of them.
fn over() -> (Rig, ConnId) {
    let (mut rig, conn) = full();
    rig.now.mono += 2;
    rig.now.wall += 2;
    assert_eq!(ask(&mut rig, conn, r#""type":"store.count","bucket":"t""#), "1");
    let stored = rig.engine.store().bucket_named("t").map(|bucket| bucket.len());
    assert_eq!(stored, Some(MANY + 1 - BATCH));
    (rig, conn)
}

#[test]
fn what_is_over_is_gone_for_readers() {
    let (mut rig, conn) = over();
    for (request, expected) in [
        (r#""type":"store.get","bucket":"t","key":20"#, "null"),
        (r#""type":"store.count","bucket":"t","filter":{"k":"a"}"#, "1"),
        (r#""type":"store.findOne","bucket":"t","filter":{"u":"u20"}"#, "null"),
        (r#""type":"store.sum","bucket":"t","field":"id""#, "100"),
        (r#""type":"store.min","bucket":"t","field":"id""#, "100"),
        (
            r#""type":"store.update","bucket":"t","key":20,"data":{}"#,
            "Record with key \"20\" not found in bucket \"t\"",
        ),
        (r#""type":"store.delete","bucket":"t","key":20"#, r#"{"deleted":true}"#),
        (
            r#""type":"store.insert","bucket":"kept","data":{"id":2,"t":20}"#,
            "Foreign key violation in bucket \"kept\": field \"t\" references bucket \"t\" with key \"20\", but no such record exists",
        ),
        // Nobody who is still there refers to it.
        (r#""type":"store.delete","bucket":"kept","key":1"#, r#"{"deleted":true}"#),
        (
            r#""type":"store.transaction","operations":[{"op":"count","bucket":"t"},{"op":"get","bucket":"t","key":20},{"op":"insert","bucket":"t","data":{"id":20}},{"op":"count","bucket":"t"},{"op":"update","bucket":"t","key":21,"data":{}}]"#,
            "Record with key \"21\" not found in bucket \"t\"",
        ),
    ] {
        assert_eq!(ask(&mut rig, conn, request), expected, "{request}");
    }
    for request in [
        r#""type":"store.all","bucket":"t""#,
        r#""type":"store.where","bucket":"t","filter":{"k":"a"}"#,
        r#""type":"store.where","bucket":"t","filter":{"id":{"$gte":0}}"#,
        r#""type":"store.first","bucket":"t","n":9"#,
        r#""type":"store.last","bucket":"t","n":9"#,
        r#""type":"store.paginate","bucket":"t","limit":9"#,
    ] {
        let text = ask(&mut rig, conn, request);
        assert_eq!(text.matches("\"id\":").count(), 1, "{request}: {text}");
    }
}

#[test]
fn keys_and_unique_values_of_what_is_over_are_free() {
    let (mut rig, conn) = over();
    let insert = r#""type":"store.insert","bucket":"t","data":{"id":20,"k":"b","u":"u21"}"#;
    assert!(ask(&mut rig, conn, insert).contains("\"_version\":1"));
    let both = r#""type":"store.transaction","operations":[{"op":"insert","bucket":"t","data":{"id":22,"u":"u23"}},{"op":"count","bucket":"t"}]"#;
    let text = ask(&mut rig, conn, both);
    assert!(text.ends_with(r#"{"index":1,"data":3}]}"#), "{text}");
    assert_eq!(ask(&mut rig, conn, r#""type":"store.count","bucket":"t""#), "3");
    // When all is removed, they are still there.
    rig.advance(10);
    assert_eq!(rig.engine.store().bucket_named("t").map(|bucket| bucket.len()), Some(3));
    assert_eq!(ask(&mut rig, conn, r#""type":"store.count","bucket":"t""#), "3");
}

#[test]
fn a_live_query_follows_the_delete_turn_by_turn() {
    let (mut rig, conn) = full();
    rig.now.mono += 2;
    rig.now.wall += 2;
    rig.send(conn, r#"{"id":1,"type":"store.buckets"}"#);
    let counts = |rig: &mut Rig| -> Vec<f64> {
        let pushes = rig.received(conn).into_iter();
        pushes
            .filter(|message| message.get("channel").is_some())
            .filter_map(|message| message.get("data")?.as_number())
            .collect()
    };
    assert_eq!(counts(&mut rig), [26.0]);
    // A second request of the same turn removes nothing.
    rig.send(conn, r#"{"id":1,"type":"store.buckets"}"#);
    assert!(counts(&mut rig).is_empty());
    let subscribed = ask(&mut rig, conn, r#""type":"store.subscribe","query":"q""#);
    assert!(subscribed.ends_with("\"data\":26}"), "{subscribed}");
    assert_eq!(rig.engine.next_deadline(), Some(rig.now.mono), "the next turn goes on at once");
    rig.advance(0);
    rig.advance(3);
    let mut all = counts(&mut rig);
    all.dedup();
    assert_eq!(all, [16.0, 6.0, 1.0]);
}
