//! Peers that send nonsense and peers that do not read.

use super::Rig;
use crate::app::App;
use crate::engine::EngineOptions;
use crate::json::Json;
use crate::protocol::{ErrorCode, Operation};

fn define(rig: &mut Rig) {
    let admin = rig.connect();
    for request in [
        r#"{"id":1,"type":"store.defineBucket","name":"b","config":{"key":"id","schema":{"id":{"type":"number"},"n":{"type":"number"},"t":{"type":"string"}},"indexes":["t"]}}"#,
        r#"{"id":1,"type":"store.defineQuery","name":"q","config":{"bucket":"b","sort":{"n":"desc"},"limit":3}}"#,
        r#"{"id":1,"type":"store.defineQuery","name":"p","config":{"bucket":"b","filter":{"t":{"$in":"{{ params.t }}"}}}}"#,
        r#"{"id":1,"type":"store.insert","bucket":"b","data":{"id":1,"n":1,"t":"x"}}"#,
    ] {
        let reply = rig.call(admin, request);
        assert_eq!(reply.get("type").and_then(Json::as_str), Some("result"), "{reply}");
    }
    rig.engine.closed(admin, rig.now);
    rig.drain();
}

#[test]
fn no_operation_answers_an_internal_error_whatever_its_fields_are() {
    let values = [
        "null",
        "true",
        "false",
        "0",
        "-1",
        "1.5",
        "1e400",
        "\"\"",
        "\"b\"",
        "\"q\"",
        "\"p\"",
        "\"x\"",
        "[]",
        "[null]",
        "[1,[2,{\"$gt\":{}}]]",
        "{}",
        "{\"$or\":5}",
        "{\"t\":{\"$in\":{}}}",
        "{\"key\":\"id\",\"schema\":{\"id\":null}}",
        "{\"id\":{\"$gt\":null},\"schema\":[]}",
        "[{\"op\":\"insert\",\"bucket\":\"b\",\"data\":[]}]",
        "[{\"op\":7},null]",
        "{\"bucket\":\"b\",\"filter\":{\"t\":{\"$between\":[]}},\"sort\":{\"n\":1}}",
        "\"\\u0000\\ud83d\\ude00\"",
    ];
    let fields = [
        "bucket",
        "key",
        "data",
        "filter",
        "field",
        "n",
        "limit",
        "after",
        "name",
        "config",
        "updates",
        "operations",
        "query",
        "params",
        "subscriptionId",
        "mode",
        "positions",
        "topic",
        "pattern",
        "value",
        "rule",
        "ruleId",
        "token",
        "username",
        "userId",
    ];
    let mut rig = Rig::new(EngineOptions { heartbeat_interval_ms: 0, ..Default::default() });
    define(&mut rig);
    let conn = rig.connect();
    rig.received(conn);
    let mut dice = crate::ids::IdSource::new([9; 32]);
    for &operation in Operation::ALL {
        for round in 0..values.len() * 2 {
            let mut text = format!("{{\"id\":{round},\"type\":\"{}\"", operation.name());
            for (at, field) in fields.iter().enumerate() {
                // Usually what is right in most places, often what is wrong.
                let good = match *field {
                    "bucket" => "\"b\"",
                    "query" => "\"q\"",
                    _ => "",
                };
                let value = match dice.next_u64() % 4 {
                    0 => values[(round + at) % values.len()],
                    1 => values[dice.next_u64() as usize % values.len()],
                    2 => good,
                    _ => "",
                };
                if !value.is_empty() {
                    text.push_str(&format!(",\"{field}\":{value}"));
                }
            }
            text.push('}');
            rig.send(conn, &text);
            let replies: Vec<Json> = rig
                .received(conn)
                .into_iter()
                .filter(|message| message.get("type").and_then(Json::as_str) != Some("push"))
                .collect();
            assert_eq!(replies.len(), 1, "{text}: {replies:?}");
            let reply = &replies[0];
            assert_eq!(reply.get("id").and_then(Json::as_number), Some(round as f64));
            let code = reply.get("code").and_then(Json::as_str);
            let kept = reply.get("message").and_then(Json::as_str).is_some_and(|message| {
                message.starts_with("Bucket \"") && operation == Operation::StoreTransaction
            });
            assert!(code != Some(ErrorCode::InternalError.as_str()) || kept, "{text}\n{reply}");
        }
    }
    assert_eq!(rig.engine.metrics().panics, 0);
    assert_eq!(rig.is_closed(conn), None);
}

#[test]
fn a_subscriber_that_stops_reading_costs_only_itself() {
    let bound = 8_000;
    let mut rig = Rig::new(EngineOptions {
        heartbeat_interval_ms: 0,
        first_push_delay_ms: 0,
        max_buffered_bytes: bound,
        ..Default::default()
    });
    define(&mut rig);
    let subscribe = r#"{"id":1,"type":"store.subscribe","query":"q"}"#;
    let readers: Vec<_> = (0..1000)
        .map(|_| {
            let conn = rig.connect();
            rig.call(conn, subscribe);
            conn
        })
        .collect();
    let slow = rig.connect();
    rig.call(slow, subscribe);
    let writer = rig.connect();
    rig.stall(slow, true);
    let writes = 120;
    for n in 0..writes {
        let text = "x".repeat(200);
        rig.send(
            writer,
            &format!(r#"{{"id":2,"type":"store.insert","bucket":"b","data":{{"id":1,"n":{n},"t":"{text}"}}}}"#),
        );
        assert!(rig.buffered(slow) <= bound, "{} bytes at write {n}", rig.buffered(slow));
    }
    let newest = |messages: &[Json]| {
        messages
            .last()
            .and_then(|push| push.get("data")?.as_array()?.first()?.get("n")?.as_number())
    };
    let mut received = rig.received_by_all();
    for reader in readers {
        let pushes = received.remove(&reader).unwrap_or_default();
        assert_eq!(pushes.len(), writes, "every push reached those who read");
        assert_eq!(newest(&pushes), Some(writes as f64 - 1.0));
    }
    rig.stall(slow, false);
    let mut late = received.remove(&slow).unwrap_or_default();
    late.extend(rig.received(slow));
    assert!(late.len() < writes, "intermediate states were left out");
    assert_eq!(newest(&late), Some(writes as f64 - 1.0), "the newest state was not");
}
