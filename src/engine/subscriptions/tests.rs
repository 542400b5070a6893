//! Subscriptions through the whole engine, over simulated time.

mod unchanged;

use crate::app::{App as _, ConnId};
use crate::engine::EngineOptions;
use crate::engine::tests::Rig;
use crate::json::{Json, parse};

/// A rig with a bucket `t` (key `id`) and some queries over it.
fn rig_with(options: EngineOptions) -> (Rig, ConnId) {
    let mut rig = Rig::new(options);
    let admin = rig.connect();
    for text in [
        r#"{"id":1,"type":"store.defineBucket","name":"t","config":{"key":"id","schema":{
            "id":{"type":"number"},"n":{"type":"number"},"room":{"type":"string"}}}}"#,
        r#"{"id":2,"type":"store.defineQuery","name":"all","config":{"bucket":"t","fields":["id","n"]}}"#,
        r#"{"id":3,"type":"store.defineQuery","name":"room","config":{"bucket":"t",
            "filter":{"room":"{{params.room}}"},"fields":["id","n"]}}"#,
        r#"{"id":4,"type":"store.defineQuery","name":"top","config":{"bucket":"t",
            "sort":{"n":"desc"},"limit":2,"fields":["n"]}}"#,
        r#"{"id":5,"type":"store.defineQuery","name":"count","config":{"bucket":"t",
            "aggregate":{"function":"count"}}}"#,
        r#"{"id":6,"type":"store.defineQuery","name":"min","config":{"bucket":"t",
            "aggregate":{"function":"min","field":"n"}}}"#,
    ] {
        let reply = rig.call(admin, text);
        assert_eq!(reply.get("type").and_then(Json::as_str), Some("result"), "{text}: {reply}");
    }
    (rig, admin)
}

fn rig() -> (Rig, ConnId) {
    rig_with(EngineOptions { heartbeat_interval_ms: 0, ..EngineOptions::default() })
}

fn subscribe(rig: &mut Rig, conn: ConnId, fields: &str) -> (String, Json) {
    let reply = rig.call(conn, &format!(r#"{{"id":9,"type":"store.subscribe",{fields}}}"#));
    let data = reply.get("data").unwrap_or_else(|| panic!("{reply}")).clone();
    let id = data.get("subscriptionId").and_then(Json::as_str).expect("an id").to_owned();
    (id, data)
}

/// Subscribes, and lets the time pass in which no first push leaves.
fn subscribe_settled(rig: &mut Rig, conn: ConnId, fields: &str) -> (String, Json) {
    let made = subscribe(rig, conn, fields);
    rig.advance(20);
    made
}

fn insert(rig: &mut Rig, conn: ConnId, data: &str) {
    rig.send(conn, &format!(r#"{{"id":5,"type":"store.insert","bucket":"t","data":{data}}}"#));
}

/// The data of the pushes that a connection was sent; of one subscription.
fn pushes(rig: &mut Rig, conn: ConnId, id: &str) -> Vec<String> {
    let of = |message: &Json| {
        (message.get("subscriptionId").and_then(Json::as_str) == Some(id))
            .then(|| message.get("data").map_or_else(|| "undefined".into(), Json::to_text))
    };
    rig.received(conn).iter().filter_map(of).collect()
}

#[test]
fn the_response_comes_first_and_every_commit_pushes_once() {
    let (mut rig, conn) = rig();
    let (all, data) = subscribe_settled(&mut rig, conn, r#""query":"all""#);
    assert_eq!(data.to_text(), format!(r#"{{"subscriptionId":"{all}","data":[]}}"#));
    let (count, data) = subscribe_settled(&mut rig, conn, r#""query":"count""#);
    assert_eq!(data.get("data"), Some(&Json::Number(0.0)));
    rig.received(conn);
    insert(&mut rig, conn, r#"{"id":1,"n":5}"#);
    let got: Vec<String> = rig.received(conn).iter().map(Json::to_text).collect();
    assert!(got[0].starts_with(r#"{"id":5,"type":"result""#), "{got:?}");
    assert_eq!(
        got[1..],
        [
            format!(
                r#"{{"type":"push","channel":"subscription","subscriptionId":"{all}","data":[{{"id":1,"n":5}}]}}"#
            ),
            format!(
                r#"{{"type":"push","channel":"subscription","subscriptionId":"{count}","data":1}}"#
            ),
        ]
    );
    // One push for a transaction; none for what leaves everything as it was.
    rig.send(
        conn,
        r#"{"id":6,"type":"store.transaction","operations":[
            {"op":"insert","bucket":"t","data":{"id":2,"n":1}},
            {"op":"insert","bucket":"t","data":{"id":3,"n":1}},
            {"op":"delete","bucket":"t","key":3}]}"#,
    );
    assert_eq!(pushes(&mut rig, conn, &all), [r#"[{"id":1,"n":5},{"id":2,"n":1}]"#]);
    rig.send(conn, r#"{"id":7,"type":"store.update","bucket":"t","key":2,"data":{"room":"x"}}"#);
    assert!(pushes(&mut rig, conn, &all).is_empty(), "projected away");
    rig.send(conn, r#"{"id":8,"type":"store.clear","bucket":"t"}"#);
    assert_eq!(pushes(&mut rig, conn, &all), ["[]"]);
    rig.send(conn, r#"{"id":9,"type":"store.clear","bucket":"t"}"#);
    assert!(pushes(&mut rig, conn, &all).is_empty());
}

#[test]
fn undefined_results_have_no_data() {
    let (mut rig, conn) = rig();
    let (min, data) = subscribe_settled(&mut rig, conn, r#""query":"min""#);
    assert_eq!(data.get("data"), None);
    insert(&mut rig, conn, r#"{"id":1,"n":5}"#);
    rig.send(conn, r#"{"id":2,"type":"store.delete","bucket":"t","key":1}"#);
    assert_eq!(pushes(&mut rig, conn, &min), ["5", "undefined"]);
}

#[test]
fn the_first_push_waits_and_brings_the_newest_result() {
    let (mut rig, conn) = rig();
    let (all, _) = subscribe(&mut rig, conn, r#""query":"all""#);
    insert(&mut rig, conn, r#"{"id":1}"#);
    insert(&mut rig, conn, r#"{"id":2}"#);
    assert!(pushes(&mut rig, conn, &all).is_empty());
    rig.advance(9);
    assert!(pushes(&mut rig, conn, &all).is_empty());
    rig.advance(1);
    assert_eq!(pushes(&mut rig, conn, &all), [r#"[{"id":1},{"id":2}]"#]);
    insert(&mut rig, conn, r#"{"id":3}"#);
    assert_eq!(pushes(&mut rig, conn, &all).len(), 1, "later ones are not delayed");
    // What is as it was in the response is not pushed.
    let (count, _) = subscribe(&mut rig, conn, r#""query":"count""#);
    insert(&mut rig, conn, r#"{"id":4}"#);
    rig.send(conn, r#"{"id":2,"type":"store.delete","bucket":"t","key":4}"#);
    rig.advance(50);
    assert!(pushes(&mut rig, conn, &count).is_empty());
}

#[test]
fn the_first_push_waits_until_the_response_has_left() {
    let (mut rig, conn) = rig();
    let client = rig.connect();
    rig.received(client);
    rig.stall(client, true);
    rig.send(client, r#"{"id":1,"type":"store.subscribe","query":"count"}"#);
    insert(&mut rig, conn, r#"{"id":1}"#);
    rig.advance(1000);
    rig.take_output(client, 1);
    let response = rig.received(client);
    assert_eq!(response[0].get("id"), Some(&Json::Number(1.0)));
    let ping = crate::app::PROBE_FRAME_BYTES;
    assert_eq!(rig.buffered(client), ping, "the push was not written with the response");
    rig.advance(9);
    assert_eq!(rig.buffered(client), ping);
    rig.advance(1);
    rig.stall(client, false);
    assert_eq!(rig.received(client)[0].get("data"), Some(&Json::Number(1.0)));
}

#[test]
fn the_first_push_waits_until_the_client_is_seen_to_run() {
    let (mut rig, conn) = rig();
    let client = rig.connect();
    rig.mute(client, true);
    let (count, _) = subscribe(&mut rig, client, r#""query":"count""#);
    // However late the change comes.
    rig.advance(500);
    insert(&mut rig, conn, r#"{"id":1}"#);
    rig.advance(500);
    assert!(pushes(&mut rig, client, &count).is_empty());
    rig.mute(client, false);
    assert_eq!(pushes(&mut rig, client, &count), ["1"]);
    // What is proven once is proven: changes go out at once.
    rig.mute(client, true);
    insert(&mut rig, conn, r#"{"id":2}"#);
    assert_eq!(pushes(&mut rig, client, &count), ["2"]);
    // Another subscription begins anew.
    let (all, _) = subscribe(&mut rig, client, r#""query":"all""#);
    rig.advance(100);
    insert(&mut rig, conn, r#"{"id":3}"#);
    assert_eq!(pushes(&mut rig, client, &count), ["3"]);
    assert!(pushes(&mut rig, client, &all).is_empty());
}

#[test]
fn the_first_push_does_not_wait_for_ever_for_peers_without_pongs() {
    let (mut rig, conn) = rig();
    let client = rig.connect();
    rig.mute(client, true);
    let (count, _) = subscribe(&mut rig, client, r#""query":"count""#);
    insert(&mut rig, conn, r#"{"id":1}"#);
    rig.advance(2_009);
    assert!(pushes(&mut rig, client, &count).is_empty());
    // Pongs that nobody asked for prove nothing.
    for number in [0, 2, 3, u64::MAX] {
        rig.engine.probed(client, number, rig.now);
    }
    assert!(pushes(&mut rig, client, &count).is_empty());
    rig.advance(1);
    assert_eq!(pushes(&mut rig, client, &count), ["1"]);
    insert(&mut rig, conn, r#"{"id":2}"#);
    assert_eq!(pushes(&mut rig, client, &count), ["2"]);
}

#[test]
fn no_delay_means_no_delay() {
    let options = EngineOptions { first_push_delay_ms: 0, ..EngineOptions::default() };
    let (mut rig, conn) = rig_with(options);
    let (all, _) = subscribe(&mut rig, conn, r#""query":"count""#);
    insert(&mut rig, conn, r#"{"id":1}"#);
    assert_eq!(pushes(&mut rig, conn, &all), ["1"]);
}

#[test]
fn equal_subscriptions_share_a_view_and_end_one_by_one() {
    let (mut rig, conn) = rig();
    let other = rig.connect();
    let room = r#""query":"room","params":{"room":"a"}"#;
    let (one, _) = subscribe_settled(&mut rig, conn, room);
    let (two, _) = subscribe_settled(&mut rig, conn, room);
    let (three, _) = subscribe_settled(&mut rig, other, room);
    let views = |rig: &Rig| rig.engine.views.explain("room").get("views").and_then(Json::as_number);
    assert_eq!(views(&rig), Some(1.0));
    insert(&mut rig, conn, r#"{"id":1,"room":"a"}"#);
    insert(&mut rig, conn, r#"{"id":2,"room":"b"}"#);
    let row = r#"[{"id":1}]"#;
    let got = rig.received(conn);
    let ids: Vec<&str> = got.iter().filter_map(|m| m.get("subscriptionId")?.as_str()).collect();
    assert_eq!(ids, [&one, &two], "in the order of subscribing");
    assert_eq!(pushes(&mut rig, other, &three), [row]);
    let unsubscribe =
        |id: &str| format!(r#"{{"id":1,"type":"store.unsubscribe","subscriptionId":"{id}"}}"#);
    assert!(rig.call(conn, &unsubscribe(&three)).get("code").is_some(), "not its own");
    assert_eq!(
        rig.call(conn, &unsubscribe(&one)).get("data").map(Json::to_text).as_deref(),
        Some(r#"{"unsubscribed":true}"#)
    );
    assert_eq!(
        rig.call(conn, &unsubscribe(&one)).get("message").and_then(Json::as_str),
        Some(&*format!("Subscription \"{one}\" not found"))
    );
    rig.engine.closed(conn, rig.now);
    rig.drain();
    assert_eq!(views(&rig), Some(1.0));
    rig.call(other, &unsubscribe(&three));
    assert_eq!(views(&rig), Some(0.0));
}

#[test]
fn the_end_is_silent_and_frees_the_place() {
    let options = EngineOptions { max_subscriptions_per_connection: 1, ..EngineOptions::default() };
    let (mut rig, conn) = rig_with(options);
    let (all, _) = subscribe_settled(&mut rig, conn, r#""query":"all""#);
    let full = rig.call(conn, r#"{"id":1,"type":"store.subscribe"}"#);
    assert_eq!(
        full.get("message").and_then(Json::as_str),
        Some("Subscription limit reached (max 1 per connection)")
    );
    rig.call(conn, r#"{"id":1,"type":"store.undefineQuery","name":"all"}"#);
    let (count, _) = subscribe_settled(&mut rig, conn, r#""query":"count""#);
    insert(&mut rig, conn, r#"{"id":1}"#);
    assert!(
        !rig.received(conn)
            .iter()
            .any(|m| m.get("subscriptionId").and_then(Json::as_str) == Some(&all))
    );
    rig.call(conn, r#"{"id":1,"type":"store.dropBucket","name":"t"}"#);
    for (id, answered) in [(&all, true), (&all, false), (&count, true), (&count, false)] {
        let text = format!(r#"{{"id":1,"type":"store.unsubscribe","subscriptionId":"{id}"}}"#);
        assert_eq!(rig.call(conn, &text).get("data").is_some(), answered, "{id}");
    }
    let gone = rig.call(conn, r#"{"id":1,"type":"store.subscribe","query":"count"}"#);
    assert_eq!(gone.get("code").and_then(Json::as_str), Some("BUCKET_NOT_DEFINED"));
    rig.call(
        conn,
        r#"{"id":1,"type":"store.defineBucket","name":"t","config":{"key":"id","schema":{"id":{"type":"number"}}}}"#,
    );
    subscribe(&mut rig, conn, r#""query":"count""#);
}

#[test]
fn a_slow_reader_gets_the_newest_result_once() {
    let (mut rig, conn) = rig_with(EngineOptions {
        max_buffered_bytes: 1000,
        heartbeat_interval_ms: 0,
        ..EngineOptions::default()
    });
    let (slow, quick) = (rig.connect(), rig.connect());
    let (id, _) = subscribe_settled(&mut rig, slow, r#""query":"all""#);
    let (other, _) = subscribe_settled(&mut rig, quick, r#""query":"all""#);
    rig.received(slow);
    rig.stall(slow, true);
    for n in 0..100 {
        insert(&mut rig, conn, &format!(r#"{{"id":{n}}}"#));
    }
    assert!(rig.buffered(slow) < 2000, "{}", rig.buffered(slow));
    assert_eq!(pushes(&mut rig, quick, &other).len(), 100);
    rig.stall(slow, false);
    let got = pushes(&mut rig, slow, &id);
    let last = parse(got.last().expect("a push"), 9).expect("JSON").to_json();
    assert_eq!(last.as_array().map(<[Json]>::len), Some(100));
    assert!(got.len() < 20);
    // A state that comes back is not sent again.
    for rounds in [100, 101] {
        rig.stall(slow, true);
        for n in 0..rounds {
            rig.send(
                conn,
                &format!(
                    r#"{{"id":5,"type":"store.update","bucket":"t","key":1,"data":{{"n":{}}}}}"#,
                    n % 2
                ),
            );
        }
        rig.stall(slow, false);
        let got = pushes(&mut rig, slow, &id);
        assert!(got.len() < 20 && got.windows(2).all(|pair| pair[0] != pair[1]));
        let current = format!(r#"{{"id":1,"n":{}}}"#, (rounds - 1) % 2);
        assert!(got.last().is_some_and(|last| last.contains(&current)));
    }
}

#[test]
fn large_results_take_turns_on_a_slow_connection() {
    let (mut rig, conn) = rig_with(EngineOptions {
        max_buffered_bytes: 600,
        heartbeat_interval_ms: 0,
        ..EngineOptions::default()
    });
    for n in 0..50 {
        insert(&mut rig, conn, &format!(r#"{{"id":{n},"n":{n},"room":"a"}}"#));
    }
    let slow = rig.connect();
    let ids: Vec<String> =
        (0..3).map(|_| subscribe_settled(&mut rig, slow, r#""query":"all""#).0).collect();
    rig.received(slow);
    rig.stall(slow, true);
    let mut served: Vec<String> = Vec::new();
    for n in 0..12 {
        // Every result changes between any two messages that are read.
        rig.send(
            conn,
            &format!(r#"{{"id":5,"type":"store.update","bucket":"t","key":1,"data":{{"n":{n}}}}}"#),
        );
        rig.take_output(slow, 1);
        let got = rig.received(slow);
        served.extend(
            got.iter().filter_map(|m| m.get("subscriptionId")?.as_str().map(str::to_owned)),
        );
    }
    for id in &ids {
        assert!(served.iter().filter(|have| *have == id).count() >= 3, "{served:?}");
    }
}

#[test]
fn deltas_follow_the_result() {
    let (mut rig, conn) = rig();
    for (id, n) in [(7, 90), (2, 80), (5, 70)] {
        insert(&mut rig, conn, &format!(r#"{{"id":{id},"n":{n}}}"#));
    }
    let (top, data) = subscribe_settled(&mut rig, conn, r#""query":"top","mode":"delta""#);
    assert_eq!(
        data.to_text(),
        format!(
            r#"{{"subscriptionId":"{top}","mode":"delta","shape":"rows","seq":0,"positions":true,"key":"id","keys":[7,2],"data":[{{"n":90}},{{"n":80}}]}}"#
        )
    );
    insert(&mut rig, conn, r#"{"id":4,"n":85}"#);
    assert_eq!(
        pushes(&mut rig, conn, &top),
        [r#"{"seq":1,"removed":[2],"added":[{"key":4,"at":1,"row":{"n":85}}]}"#]
    );
    rig.send(conn, r#"{"id":5,"type":"store.update","bucket":"t","key":4,"data":{"n":95}}"#);
    assert_eq!(
        pushes(&mut rig, conn, &top),
        [r#"{"seq":2,"changed":[{"key":4,"at":0,"row":{"n":95}}]}"#]
    );
    rig.send(conn, r#"{"id":5,"type":"store.update","bucket":"t","key":4,"data":{"n":96}}"#);
    assert_eq!(pushes(&mut rig, conn, &top), [r#"{"seq":3,"changed":[{"key":4,"row":{"n":96}}]}"#]);
    rig.send(conn, r#"{"id":5,"type":"store.clear","bucket":"t"}"#);
    assert_eq!(pushes(&mut rig, conn, &top), [r#"{"seq":4,"reset":true,"keys":[],"data":[]}"#]);
    let resync = |id: &str| format!(r#"{{"id":5,"type":"store.resync","subscriptionId":"{id}"}}"#);
    assert_eq!(
        rig.call(conn, &resync(&top)).get("data").map(Json::to_text),
        Some(format!(r#"{{"subscriptionId":"{top}","seq":4,"keys":[],"data":[]}}"#))
    );
    let (full, _) = subscribe_settled(&mut rig, conn, r#""query":"top""#);
    assert_eq!(
        rig.call(conn, &resync(&full)).get("message").and_then(Json::as_str),
        Some(&*format!("Subscription \"{full}\" is not in delta mode"))
    );
    rig.send(conn, r#"{"id":5,"type":"store.undefineQuery","name":"top"}"#);
    assert_eq!(pushes(&mut rig, conn, &top), [r#"{"seq":4,"closed":"queryUndefined"}"#]);
}

#[test]
fn values_have_deltas_too_and_the_first_ones_are_kept() {
    let (mut rig, conn) = rig();
    let (min, data) = subscribe(&mut rig, conn, r#""query":"min","mode":"delta""#);
    assert_eq!(
        data.to_text(),
        format!(
            r#"{{"subscriptionId":"{min}","mode":"delta","shape":"value","seq":0,"data":null}}"#
        )
    );
    insert(&mut rig, conn, r#"{"id":1,"n":5}"#);
    insert(&mut rig, conn, r#"{"id":2,"n":4}"#);
    assert!(pushes(&mut rig, conn, &min).is_empty());
    rig.advance(10);
    assert_eq!(pushes(&mut rig, conn, &min), [r#"{"seq":1,"value":5}"#, r#"{"seq":2,"value":4}"#]);
    for n in 0..40 {
        insert(&mut rig, conn, &format!(r#"{{"id":{},"n":-{n}}}"#, n + 10));
    }
    assert_eq!(pushes(&mut rig, conn, &min).len(), 40);
}

#[test]
fn a_slow_reader_of_deltas_gets_exactly_one_reset() {
    let (mut rig, conn) = rig_with(EngineOptions {
        max_buffered_bytes: 400,
        heartbeat_interval_ms: 0,
        ..EngineOptions::default()
    });
    let slow = rig.connect();
    let (id, _) = subscribe_settled(&mut rig, slow, r#""query":"all","mode":"delta""#);
    rig.received(slow);
    rig.stall(slow, true);
    for n in 0..50 {
        insert(&mut rig, conn, &format!(r#"{{"id":{n}}}"#));
    }
    rig.stall(slow, false);
    let got = pushes(&mut rig, slow, &id);
    let resets: Vec<&String> = got.iter().filter(|text| text.contains("reset")).collect();
    assert_eq!(resets.len(), 1, "{got:?}");
    let reset = parse(resets[0], 9).expect("JSON").to_json();
    assert_eq!(reset.get("seq"), Some(&Json::Number(50.0)));
    assert_eq!(reset.get("keys").and_then(Json::as_array).map(<[Json]>::len), Some(50));
    assert_eq!(got.last(), Some(resets[0]));
    insert(&mut rig, conn, r#"{"id":99}"#);
    assert_eq!(pushes(&mut rig, slow, &id), [r#"{"seq":51,"added":[{"key":99,"row":{"id":99}}]}"#]);
}

#[test]
fn coalescing_pushes_once_per_turn() {
    let (mut rig, conn) = rig();
    let both = r#""query":"count","coalesce":true"#;
    let (full, _) = subscribe_settled(&mut rig, conn, both);
    let (delta, _) = subscribe_settled(&mut rig, conn, &format!(r#"{both},"mode":"delta""#));
    let (plain, _) = subscribe_settled(&mut rig, conn, r#""query":"count""#);
    rig.received(conn);
    // Five messages in one turn.
    for n in 0..5 {
        let insert =
            format!(r#"{{"id":5,"type":"store.insert","bucket":"t","data":{{"id":{n}}}}}"#);
        rig.engine.message(conn, &insert, rig.now);
    }
    // The end of the turn is now.
    assert!(rig.engine.wheel.next_deadline().is_some_and(|at| at <= rig.now.mono));
    rig.engine.timers(rig.now, &crate::app::NobodyWaits);
    rig.drain();
    let of = |messages: &[Json], id: &str| -> Vec<String> {
        let mine =
            messages.iter().filter(|m| m.get("subscriptionId").and_then(Json::as_str) == Some(id));
        mine.filter_map(|m| m.get("data").map(Json::to_text)).collect()
    };
    let got = rig.received(conn);
    assert_eq!(of(&got, &plain), ["1", "2", "3", "4", "5"]);
    assert_eq!(of(&got, &full), ["5"]);
    assert_eq!(of(&got, &delta), [r#"{"seq":5,"reset":true,"value":5}"#]);
    insert(&mut rig, conn, r#"{"id":77}"#);
    rig.advance(0);
    let got = rig.received(conn);
    assert_eq!(of(&got, &full), ["6"]);
    assert_eq!(of(&got, &delta), [r#"{"seq":6,"value":6}"#]);
}

#[test]
fn a_panic_in_a_view_costs_its_subscribers_their_connections() {
    let (mut rig, conn) = rig();
    let (victim, bystander) = (rig.connect(), rig.connect());
    subscribe_settled(&mut rig, victim, r#""query":"all""#);
    subscribe_settled(&mut rig, victim, r#""query":"count""#);
    subscribe_settled(&mut rig, victim, r#""query":"all""#);
    let (count, _) = subscribe_settled(&mut rig, bystander, r#""query":"count""#);
    rig.engine.views.panic_in = Some("all".into());
    insert(&mut rig, conn, r#"{"id":1}"#);
    assert_eq!(rig.is_closed(victim), Some((1011, "internal_error")));
    assert_eq!(rig.is_closed(bystander), None);
    assert_eq!(pushes(&mut rig, bystander, &count), ["1"]);
    rig.engine.views.panic_in = None;
    let (_, data) = subscribe(&mut rig, bystander, r#""query":"all""#);
    assert_eq!(data.get("data").map(Json::to_text).as_deref(), Some(r#"[{"id":1}]"#));
}

#[test]
fn requests_are_checked_in_order() {
    let (mut rig, conn) = rig();
    for (fields, code, message) in [
        ("", "VALIDATION_ERROR", "Missing or invalid \"query\": expected non-empty string"),
        (
            r#","query":"nope","mode":"x""#,
            "VALIDATION_ERROR",
            "Invalid \"mode\": expected \"full\" or \"delta\"",
        ),
        (
            r#","query":"nope","positions":1"#,
            "VALIDATION_ERROR",
            "Invalid \"positions\": expected boolean",
        ),
        (r#","query":"nope""#, "QUERY_NOT_DEFINED", "Query \"nope\" is not defined"),
    ] {
        let reply = rig.call(conn, &format!(r#"{{"id":1,"type":"store.subscribe"{fields}}}"#));
        assert_eq!(reply.get("code").and_then(Json::as_str), Some(code), "{fields}");
        assert_eq!(reply.get("message").and_then(Json::as_str), Some(message), "{fields}");
    }
    for id in ["sub-01", "sub-", "sub-+1", "1", "sub-99999999999999999999999", "sub-1 "] {
        let text = format!(r#"{{"id":1,"type":"store.unsubscribe","subscriptionId":"{id}"}}"#);
        assert_eq!(rig.call(conn, &text).get("code").and_then(Json::as_str), Some("NOT_FOUND"));
    }
}

#[test]
fn a_live_query_can_be_explained() {
    let (mut rig, conn) = rig();
    subscribe(&mut rig, conn, r#""query":"room","params":{"room":"a"}"#);
    let explain = |rig: &mut Rig, fields: &str| {
        rig.call(conn, &format!(r#"{{"id":1,"type":"store.explain",{fields}}}"#))
    };
    let data = explain(&mut rig, r#""bucket":"t","query":"room""#);
    let data = data.get("data").expect("an answer");
    assert_eq!(data.get("routedBy").map(Json::to_text).as_deref(), Some(r#"["room"]"#));
    assert_eq!(data.get("state").map(Json::to_text).as_deref(), Some(r#"{"orderedList":1}"#));
    for (fields, message) in [
        (r#""bucket":"t","query":5"#, "Missing or invalid \"query\": expected non-empty string"),
        (r#""bucket":"u","query":"room""#, "Bucket \"u\" is not defined"),
        (r#""bucket":"t","query":"nope""#, "Query \"nope\" is not defined"),
    ] {
        let reply = explain(&mut rig, fields);
        assert_eq!(reply.get("message").and_then(Json::as_str), Some(message));
    }
}
