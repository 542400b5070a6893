//! `server.trace`: what one connection, one rule or one bucket does.

use super::*;
use crate::engine::RulesSetup;

fn call(rig: &mut Rig, conn: ConnId, request: &str) -> Json {
    rig.received(conn);
    rig.send(conn, &format!(r#"{{"id":1,{request}}}"#));
    let answers = rig.received(conn);
    let answer = answers.into_iter().find(|message| message.get("id").is_some());
    let answer = answer.unwrap_or_else(|| panic!("no answer to {request}"));
    answer.get("data").cloned().unwrap_or(answer)
}

/// The entries that a connection was told since the last look.
fn entries(rig: &mut Rig, conn: ConnId) -> Vec<Json> {
    let pushes = rig
        .received(conn)
        .into_iter()
        .filter(|message| message.get("channel").and_then(Json::as_str) == Some("trace"));
    pushes.filter_map(|push| push.get("data").cloned()).collect()
}

fn text<'j>(of: &'j Json, name: &str) -> &'j str {
    of.get(name).and_then(Json::as_str).unwrap_or_else(|| panic!("{name} in {of}"))
}

fn prepared() -> (Rig, ConnId, ConnId) {
    let mut rig = Rig::new(EngineOptions {
        first_push_delay_ms: 0,
        max_buffered_bytes: 6_000,
        ..EngineOptions::default()
    });
    rig.engine.set_rules(RulesSetup::default()).expect("rules");
    let (admin, client) = (rig.connect(), rig.connect());
    let define = r#""type":"store.defineBucket","name":"parts","config":{"key":"id","schema":{"id":{"type":"number"},"qty":{"type":"number"},"note":{"type":"string"}}}"#;
    call(&mut rig, admin, define);
    (rig, admin, client)
}

#[test]
fn a_connection_is_followed_without_what_it_says() {
    let (mut rig, admin, client) = prepared();
    let started = call(&mut rig, admin, r#""type":"server.trace","connectionId":"conn-2""#);
    assert_eq!(started.get("endsAt"), Some(&Json::Number(1_800_000_300_000.0)));
    call(&mut rig, client, r#""type":"store.live","bucket":"parts""#);
    let secret = r#""type":"store.insert","bucket":"parts","data":{"id":1,"note":"hush"}"#;
    call(&mut rig, client, secret);
    call(&mut rig, client, r#""type":"store.get","bucket":"nowhere","key":1"#);
    let told = entries(&mut rig, admin);
    let kinds: Vec<(&str, &str)> = told
        .iter()
        .map(|entry| match text(entry, "kind") {
            "request" => (text(entry, "type"), text(entry, "result")),
            kind => (kind, text(entry, "channel")),
        })
        .collect();
    assert_eq!(
        kinds,
        [
            ("store.live", "success"),
            ("push", "subscription"),
            ("store.insert", "success"),
            ("store.get", "error"),
        ]
    );
    assert_eq!(text(&told[3], "code"), "BUCKET_NOT_DEFINED");
    assert_eq!(text(&told[2], "resource"), "parts");
    // The length of the message, as it was sent.
    let bytes = told[2].get("bytes").and_then(Json::as_number);
    assert_eq!(bytes, Some((secret.len() + r#"{"id":1,}"#.len()) as f64));
    assert!(told.iter().all(|entry| !entry.to_text().contains("hush")), "{told:?}");
    let numbers: Vec<f64> =
        told.iter().filter_map(|entry| entry.get("n").and_then(Json::as_number)).collect();
    assert_eq!(numbers, [1.0, 2.0, 3.0, 4.0]);
    let counted =
        call(&mut rig, admin, r#""type":"server.metrics","names":["noexd_pushes_total"]"#);
    let of = |channel: &str| {
        let series = format!(r#"{{"labels":{{"channel":"{channel}"}},"value":"#);
        let text = counted.to_text();
        let (_, rest) = text.split_once(&series).unwrap_or_else(|| panic!("{channel} in {text}"));
        rest.split('}').next().and_then(|value| value.parse::<u64>().ok()).expect("a number")
    };
    assert_eq!((of("subscription"), of("event"), of("trace")), (1, 0, 4));
    rig.engine.closed(client, rig.now);
    rig.drain();
    let last = entries(&mut rig, admin);
    assert_eq!(text(&last[0], "event"), "closed");
    assert_eq!((text(&last[1], "kind"), text(&last[1], "reason")), ("end", "target"));
    assert_eq!(rig.engine.total_subscriptions, 0);
    rig.engine.check_invariants();
}

#[test]
fn a_rule_says_why_it_did_not_fire() {
    let (mut rig, admin, client) = prepared();
    let rule = r#""type":"rules.registerRule","rule":{"id":"low","name":"Low","trigger":{"type":"event","topic":"stock.changed"},"conditions":[{"source":{"type":"event","field":"kind"},"operator":"eq","value":"bolt"},{"source":{"type":"event","field":"qty"},"operator":"lt","value":10}],"actions":[{"type":"set_fact","key":"low","value":true},{"type":"call_service","service":"nothing","method":"x","args":[]}]}"#;
    let registered = call(&mut rig, admin, rule);
    assert_eq!(registered.get("code"), None, "{registered}");
    let started = call(&mut rig, admin, r#""type":"server.trace","ruleId":"low""#);
    assert!(started.get("subscriptionId").is_some(), "{started}");
    let emit = |rig: &mut Rig, qty: u32| {
        let emit = format!(
            r#""type":"rules.emit","topic":"stock.changed","data":{{"kind":"bolt","qty":{qty}}}"#
        );
        call(rig, client, &emit);
    };
    emit(&mut rig, 12);
    emit(&mut rig, 3);
    let told = entries(&mut rig, admin);
    assert_eq!(text(&told[0], "outcome"), "condition");
    assert_eq!(
        told[0].get("condition").map(Json::to_text).as_deref(),
        Some(r#"{"index":1,"source":"event.qty","operator":"lt","actual":12,"wanted":10}"#)
    );
    assert_eq!(
        told[0].get("trigger").map(Json::to_text).as_deref(),
        Some(r#"{"kind":"event","name":"stock.changed"}"#)
    );
    assert_eq!(text(&told[1], "outcome"), "fired");
    assert_eq!(
        told[1].get("actions").map(Json::to_text).as_deref(),
        Some(
            r#"[{"index":0,"type":"set_fact","ok":true},{"index":1,"type":"call_service","ok":false,"error":"Service not found: nothing"}]"#
        )
    );
    call(&mut rig, client, r#""type":"rules.disableRule","ruleId":"low""#);
    emit(&mut rig, 3);
    let told = entries(&mut rig, admin);
    assert_eq!(told.iter().map(|entry| text(entry, "outcome")).collect::<Vec<_>>(), ["disabled"]);
    call(&mut rig, client, r#""type":"rules.unregisterRule","ruleId":"low""#);
    emit(&mut rig, 3);
    let told = entries(&mut rig, admin);
    assert_eq!(text(told.last().expect("an end"), "reason"), "target");
}

/// Entries without what is different every time, as `kind member…`.
fn patterns(told: &[Json]) -> Vec<String> {
    let members = ["kind", "group", "step", "of", "count", "expiresAt", "outcome"];
    let show = |entry: &Json| {
        let shown = members.iter().filter_map(|name| entry.get(name)).map(Json::to_text);
        shown.collect::<Vec<_>>().join(" ").replace('"', "")
    };
    told.iter().map(show).collect()
}

#[test]
fn a_temporal_rule_says_how_far_it_is() {
    let (mut rig, admin, client) = prepared();
    let pattern = |id: &str, pattern: &str| {
        format!(
            r#""type":"rules.registerRule","rule":{{"id":"{id}","name":"R","trigger":{{"type":"temporal","pattern":{pattern}}},"actions":[{{"type":"set_fact","key":"k","value":1}}]}}"#
        )
    };
    let sequence = pattern(
        "seq",
        r#"{"type":"sequence","within":1000,"groupBy":"who","events":[{"topic":"a"},{"topic":"b"},{"topic":"c"}]}"#,
    );
    let count = pattern(
        "cnt",
        r#"{"type":"count","event":{"topic":"a"},"threshold":3,"window":5000,"comparison":"gte"}"#,
    );
    let absence = pattern(
        "abs",
        r#"{"type":"absence","after":{"topic":"a"},"expected":{"topic":"b"},"within":2000}"#,
    );
    for rule in [sequence, count, absence] {
        let registered = call(&mut rig, admin, &rule);
        assert_eq!(registered.get("code"), None, "{registered}");
    }
    let watch = |rig: &mut Rig, rule: &str| {
        let request = format!(r#""type":"server.trace","ruleId":"{rule}""#);
        let started = call(rig, admin, &request);
        text(&started, "subscriptionId").to_owned()
    };
    let emit = |rig: &mut Rig, topic: &str| {
        let request = format!(r#""type":"rules.emit","topic":"{topic}","data":{{"who":"ann"}}"#);
        call(rig, client, &request);
    };
    let at = rig.now.wall;
    watch(&mut rig, "seq");
    emit(&mut rig, "a");
    emit(&mut rig, "b");
    emit(&mut rig, "x");
    emit(&mut rig, "c");
    let end = at + 1_000;
    let expected = [
        format!("progress ann 1 3 1 {end}"),
        format!("progress ann 2 3 1 {end}"),
        "progress ann 0 3 0 null".into(),
        "evaluated fired".into(),
    ];
    assert_eq!(patterns(&entries(&mut rig, admin)), expected);
    emit(&mut rig, "a");
    rig.advance(1_001);
    emit(&mut rig, "b");
    let told = patterns(&entries(&mut rig, admin));
    assert_eq!(told[1..], ["expired ann", "progress ann 0 3 0 null"], "{told:?}");

    let abs = watch(&mut rig, "abs");
    emit(&mut rig, "a");
    emit(&mut rig, "b");
    emit(&mut rig, "a");
    rig.advance(2_100);
    let told = entries(&mut rig, admin);
    let of_abs = told.iter().filter(|entry| entry.get("of") != Some(&Json::Number(3.0)));
    let of_abs: Vec<String> = patterns(&of_abs.cloned().collect::<Vec<_>>());
    let words: Vec<&str> = of_abs.iter().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(words[..3], ["progress"; 3], "{of_abs:?}");
    assert!(of_abs[1].ends_with("0 2 0 null"), "what was expected came: {of_abs:?}");
    assert_eq!(words[3..], ["expired", "evaluated"], "{of_abs:?}");
    call(&mut rig, admin, &format!(r#""type":"server.untrace","subscriptionId":"{abs}""#));

    watch(&mut rig, "cnt");
    rig.advance(6_000);
    entries(&mut rig, admin);
    (0..3).for_each(|_| emit(&mut rig, "a"));
    let told = entries(&mut rig, admin);
    let of_cnt = patterns(&told);
    let end = rig.now.wall + 5_000;
    for n in 1..=3 {
        let line = of_cnt.iter().any(|line| line.ends_with(&format!(" {n} 3 {n} {end}")));
        assert!(line, "{n}: {of_cnt:?}");
    }
    rig.engine.check_invariants();
}

#[test]
fn a_connection_that_is_not_read_from_says_so() {
    let (mut rig, admin, client) = prepared();
    call(&mut rig, admin, r#""type":"server.trace","connectionId":"conn-2""#);
    rig.stall(client, true);
    let long = "x".repeat(2_000);
    for id in 0..4 {
        let insert = format!(
            r#"{{"id":1,"type":"store.insert","bucket":"parts","data":{{"id":{id},"note":"{long}"}}}}"#
        );
        rig.send(client, &insert);
    }
    rig.stall(client, false);
    rig.drain();
    let events = |told: &[Json]| -> Vec<String> {
        let states = told.iter().filter(|entry| text(entry, "kind") == "state");
        states.map(|entry| text(entry, "event").to_owned()).collect()
    };
    assert_eq!(events(&entries(&mut rig, admin)), ["paused", "resumed"]);
}

#[test]
fn a_bucket_tells_who_changed_which_fields() {
    let (mut rig, admin, client) = prepared();
    call(&mut rig, admin, r#""type":"server.trace","bucket":"parts","maxEntries":8"#);
    for request in [
        r#""type":"store.insert","bucket":"parts","data":{"id":7,"qty":1,"note":"x"}"#,
        r#""type":"store.update","bucket":"parts","key":7,"data":{"qty":2}"#,
        r#""type":"store.delete","bucket":"parts","key":7"#,
        r#""type":"store.insert","bucket":"parts","data":{"id":8}"#,
        r#""type":"store.insert","bucket":"parts","data":{"id":9}"#,
    ] {
        call(&mut rig, client, request);
    }
    let told = entries(&mut rig, admin);
    let kinds: Vec<&str> = told.iter().map(|entry| text(entry, "kind")).collect();
    let pairs = ["change", "views"].repeat(4);
    assert_eq!(kinds, [pairs, vec!["end"]].concat());
    let views = told[1].to_text();
    assert!(views.contains(r#""looked":0,"changed":0,"micros":"#), "nobody looks: {views}");
    let last = told.last().cloned();
    let told: Vec<Json> =
        told.into_iter().filter(|entry| text(entry, "kind") == "change").collect();
    let ops: Vec<&str> = told.iter().map(|entry| text(entry, "op")).collect();
    assert_eq!(ops, ["insert", "update", "delete", "insert"]);
    let fields = told[1].get("fields").map(Json::to_text);
    assert_eq!(fields.as_deref(), Some(r#"["qty","_version"]"#), "{}", told[1]);
    assert_eq!(text(&told[1], "key"), "7");
    let by = told[1].get("by").map(Json::to_text);
    assert_eq!(by.as_deref(), Some(r#"{"connectionId":"conn-2"}"#));
    assert_eq!(text(&last.expect("an end"), "reason"), "entries");
}

/// Entries of one kind.
fn of_kind(told: &[Json], kind: &str) -> Vec<Json> {
    told.iter().filter(|entry| text(entry, "kind") == kind).cloned().collect()
}

#[test]
fn a_bucket_tells_how_many_views_a_commit_concerned() {
    let (mut rig, admin, client) = prepared();
    let define = r#""type":"store.defineQuery","name":"least","config":{"bucket":"parts","filter":{"qty":{"$gt":"{{ params.least }}"}},"sort":{"id":"asc"},"limit":2}"#;
    assert_eq!(call(&mut rig, admin, define).get("code"), None);
    for least in [0, 10, 100] {
        let subscribe =
            format!(r#""type":"store.subscribe","query":"least","params":{{"least":{least}}}"#);
        assert!(call(&mut rig, client, &subscribe).get("subscriptionId").is_some());
    }
    let other = r#""type":"store.defineBucket","name":"other","config":{"key":"id","schema":{"id":{"type":"number"}}}"#;
    call(&mut rig, admin, other);
    call(&mut rig, client, r#""type":"store.live","bucket":"other""#);
    call(&mut rig, admin, r#""type":"server.trace","bucket":"parts""#);
    let looked = |rig: &mut Rig, request: &str| -> Vec<(f64, f64)> {
        call(rig, client, request);
        let told = of_kind(&entries(rig, admin), "views");
        let number = |entry: &Json, name: &str| entry.get(name).and_then(Json::as_number).unwrap();
        for entry in &told {
            assert_eq!(number(entry, "commit"), rig.engine.log.newest() as f64);
            assert!(number(entry, "micros") >= 0.0);
        }
        told.iter().map(|entry| (number(entry, "looked"), number(entry, "changed"))).collect()
    };
    let insert = |id: u32, qty: i32| {
        format!(r#""type":"store.insert","bucket":"parts","data":{{"id":{id},"qty":{qty}}}"#)
    };
    assert_eq!(looked(&mut rig, &insert(1, 20)), [(2.0, 2.0)]);
    assert_eq!(looked(&mut rig, &insert(2, -5)), [(0.0, 0.0)], "it is in no result");
    assert_eq!(looked(&mut rig, &insert(3, 200)), [(3.0, 3.0)]);
    // Behind the limit of two of the three.
    assert_eq!(looked(&mut rig, &insert(4, 200)), [(3.0, 1.0)]);
    let elsewhere = r#""type":"store.insert","bucket":"other","data":{"id":1}"#;
    assert_eq!(looked(&mut rig, elsewhere), []);
    // What it concerns in all, also beyond this bucket.
    let both = r#""type":"store.transaction","operations":[{"op":"insert","bucket":"other","data":{"id":2}},{"op":"insert","bucket":"parts","data":{"id":5,"qty":1}}]"#;
    assert_eq!(looked(&mut rig, both), [(2.0, 1.0)]);
    assert_eq!(looked(&mut rig, r#""type":"store.clear","bucket":"parts""#), [(3.0, 3.0)]);
}

#[test]
fn a_bucket_tells_what_a_reference_has_changed() {
    let (mut rig, admin, client) = prepared();
    for (name, on_delete) in [("uses", "cascade"), ("notes", "set_null")] {
        let define = format!(
            r#""type":"store.defineBucket","name":"{name}","config":{{"key":"id","schema":{{"id":{{"type":"number"}},"part":{{"type":"number","ref":"parts","onDelete":"{on_delete}"}}}}}}"#
        );
        assert_eq!(call(&mut rig, admin, &define).get("code"), None);
        call(&mut rig, admin, &format!(r#""type":"server.trace","bucket":"{name}""#));
    }
    call(&mut rig, admin, r#""type":"server.trace","bucket":"parts""#);
    for request in [
        r#""type":"store.insert","bucket":"parts","data":{"id":7}"#,
        r#""type":"store.insert","bucket":"uses","data":{"id":1,"part":7}"#,
        r#""type":"store.insert","bucket":"notes","data":{"id":1,"part":7}"#,
    ] {
        assert_eq!(call(&mut rig, client, request).get("code"), None);
    }
    entries(&mut rig, admin);
    call(&mut rig, client, r#""type":"store.delete","bucket":"parts","key":7"#);
    let told = of_kind(&entries(&mut rig, admin), "change");
    let by = |op: &str| -> Vec<String> {
        let ops = told.iter().filter(|entry| text(entry, "op") == op);
        ops.map(|entry| entry.get("by").map(Json::to_text).unwrap_or_default()).collect()
    };
    assert_eq!(by("update"), [r#"{"reference":true}"#]);
    let mut deleted = by("delete");
    deleted.sort();
    assert_eq!(deleted, [r#"{"connectionId":"conn-2"}"#, r#"{"reference":true}"#]);
    // What a client writes afterwards is his again.
    call(
        &mut rig,
        client,
        r#""type":"store.update","bucket":"notes","key":1,"data":{"part":null}"#,
    );
    let told = of_kind(&entries(&mut rig, admin), "change");
    assert_eq!(
        told[0].get("by").map(Json::to_text).as_deref(),
        Some(r#"{"connectionId":"conn-2"}"#)
    );
}

#[test]
fn traces_are_few_end_by_themselves_and_are_for_those_who_may() {
    let (mut rig, admin, client) = prepared();
    let trace = r#""type":"server.trace","bucket":"parts","durationMs":1000"#;
    let ids: Vec<String> =
        (0..4).map(|_| text(&call(&mut rig, admin, trace), "subscriptionId").to_owned()).collect();
    let refused = call(&mut rig, client, trace);
    assert_eq!(text(&refused, "message"), "Too many traces (max 4)");
    let untrace = format!(r#""type":"server.untrace","subscriptionId":"{}""#, ids[0]);
    let foreign = call(&mut rig, client, &untrace);
    assert_eq!(text(&foreign, "code"), "NOT_FOUND");
    call(&mut rig, admin, &untrace);
    assert_eq!(rig.engine.total_subscriptions, 3);
    rig.advance(1_000);
    let told = entries(&mut rig, admin);
    let reasons: Vec<&str> = told.iter().map(|entry| text(entry, "reason")).collect();
    assert_eq!(reasons, ["time"; 3]);
    for (fields, told) in [
        (r#""bucket":"parts","ruleId":"x""#, "Expected exactly one of"),
        (r#""maxEntries":5"#, "Expected exactly one of"),
        (r#""bucket":"parts","maxEntries":0"#, "Invalid \"maxEntries\": expected integer from 1"),
        (r#""bucket":"x""#, "Bucket \"x\" not found"),
        (r#""ruleId":"x""#, "Rule \"x\" not found"),
        (r#""connectionId":"x""#, "Connection \"x\" not found"),
    ] {
        let refused = call(&mut rig, admin, &format!(r#""type":"server.trace",{fields}"#));
        assert!(text(&refused, "message").starts_with(told), "{refused}");
    }
    // A slow reader is told how much it missed.
    call(&mut rig, admin, r#""type":"server.trace","bucket":"parts","maxEntries":1000"#);
    rig.stall(admin, true);
    let insert = |rig: &mut Rig, id: u32| {
        let data = format!(r#"{{"id":{id}}}"#);
        call(rig, client, &format!(r#""type":"store.insert","bucket":"parts","data":{data}"#));
    };
    for id in 0..100 {
        insert(&mut rig, id);
    }
    rig.stall(admin, false);
    let before = entries(&mut rig, admin);
    insert(&mut rig, 100);
    let told = entries(&mut rig, admin);
    assert!(before.len() < 50, "{}", before.len());
    let missed = told[0].get("missed").and_then(Json::as_number).expect("missed");
    // A hundred changes, and what each was to views.
    assert_eq!(missed as usize + before.len(), 200, "{}", told[0]);
}
