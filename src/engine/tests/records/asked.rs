//! Queries without a name, and queries that are asked once.

use super::*;

/// The members of a random query over records of `record`.
fn query(dice: &mut IdSource) -> String {
    let mut pick = |from: &[&str]| {
        from.get(dice.next_u64() as usize % from.len()).copied().unwrap_or_default().to_owned()
    };
    let mut members = vec![r#""bucket":"b""#.to_owned()];
    let filter =
        pick(&["", "", r#"{"n":{"$gte":2}}"#, r#"{"s":"a"}"#, r#"{"$or":[{"n":1},{"s":"b"}]}"#]);
    let sort = pick(&["", "", r#"{"n":"asc"}"#, r#"{"s":"desc","n":"asc"}"#, r#"{"m":"desc"}"#]);
    let limit = pick(&["", "0", "1", "3", "100"]);
    let offset = pick(&["", "0", "2", "50"]);
    let fields = pick(&["", "", r#"["s","n"]"#, r#"["id"]"#]);
    let aggregate = pick(&[
        "",
        "",
        r#"{"function":"count"}"#,
        r#"{"function":"min","field":"n"}"#,
        r#"{"function":"avg","field":"n","groupBy":"s"}"#,
        r#"{"function":"sum","field":"n","groupBy":["s","m"]}"#,
    ]);
    let given = [
        ("filter", filter),
        ("sort", sort),
        ("limit", limit),
        ("offset", offset),
        ("fields", fields),
        ("aggregate", aggregate),
    ];
    let given = given.into_iter().filter(|(_, value)| !value.is_empty());
    members.extend(given.map(|(name, value)| format!(r#""{name}":{value}"#)));
    members.join(",")
}

fn record(dice: &mut IdSource, key: u64) -> String {
    let n = ["0", "1", "2", "3.5", "null"][dice.next_u64() as usize % 5];
    let s = ["\"a\"", "\"b\"", "\"c\"", "null"][dice.next_u64() as usize % 4];
    // A column without one order.
    let m = ["1", "\"1\"", "true", "[2]", "null"][dice.next_u64() as usize % 5];
    format!(r#"{{"id":"{key}","n":{n},"s":{s},"m":{m}}}"#)
}

fn data(answer: &str) -> String {
    let json = crate::json::parse(answer, 64).expect("JSON").to_json();
    // A result that is undefined is not there in a subscription.
    json.get("data").map_or_else(|| "null".to_owned(), Json::to_text)
}

#[test]
fn asked_once_live_and_by_name_a_query_answers_the_same() {
    let config =
        r#"{"key":"id","schema":{"id":{"type":"string"},"s":{"type":"string"}},"indexes":["s"]}"#;
    for seed in 0..40u64 {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let mut dice = IdSource::new(bytes);
        let (mut rig, conn) = with_bucket(config);
        for turn in 0..12u64 {
            let key = dice.next_u64() % 12;
            let data_of = record(&mut dice, key);
            ask(&mut rig, conn, &format!(r#""type":"store.insert","bucket":"b","data":{data_of}"#));
            if turn % 4 == 3 {
                let gone = dice.next_u64() % 12;
                ask(
                    &mut rig,
                    conn,
                    &format!(r#""type":"store.delete","bucket":"b","key":"{gone}""#),
                );
            }
            let members = query(&mut dice);
            let found = ask(&mut rig, conn, &format!(r#""type":"store.find",{members}"#));
            let live = ask(&mut rig, conn, &format!(r#""type":"store.live",{members}"#));
            assert_eq!(data(&live), found, "seed {seed}: {members}");
            let name = format!("q{turn}");
            let define =
                format!(r#""type":"store.defineQuery","name":"{name}","config":{{{members}}}"#);
            assert!(ask(&mut rig, conn, &define).contains("true"), "{members}");
            let queried = ask(&mut rig, conn, &format!(r#""type":"store.query","query":"{name}""#));
            assert_eq!(queried, found, "seed {seed}: {members}");
            let step =
                format!(r#""type":"store.transaction","operations":[{{"op":"find",{members}}}]"#);
            let inside = format!(r#"{{"results":[{{"index":0,"data":{found}}}]}}"#);
            let answer = ask(&mut rig, conn, &step);
            // A transaction walks the table, and not the index.
            if !members.contains(r#""filter":{"s""#) {
                assert_eq!(answer, inside, "seed {seed}: {members}");
            }
            let id = crate::json::parse(&live, 64).expect("JSON").to_json();
            let id = id.get("subscriptionId").and_then(Json::as_str).expect("an id").to_owned();
            let leave = format!(r#""type":"store.unsubscribe","subscriptionId":"{id}""#);
            assert_eq!(ask(&mut rig, conn, &leave), r#"{"unsubscribed":true}"#);
        }
        rig.engine.check_invariants();
    }
}

#[test]
fn equal_queries_share_a_view_and_the_last_subscriber_takes_it_along() {
    let (mut rig, conn) = with_bucket(PLAIN);
    let one =
        ask(&mut rig, conn, r#""type":"store.live","bucket":"b","limit":2,"sort":{"id":"asc"}"#);
    let other = ask(
        &mut rig,
        conn,
        r#""type":"store.live","sort":{"id":"asc"},"bucket":"b","limit":2,"coalesce":true"#,
    );
    assert_eq!((data(&one), data(&other)), ("[]".to_owned(), "[]".to_owned()));
    let delta = ask(&mut rig, conn, r#""type":"store.live","bucket":"b","mode":"delta""#);
    assert!(
        delta.contains(r#""mode":"delta","shape":"rows","seq":0,"positions":false,"key":"id""#),
        "{delta}"
    );
    assert_eq!(rig.engine.views.ad_hoc_queries(), 2);
    let listed = ask(&mut rig, conn, r#""type":"store.listQueries""#);
    assert_eq!(listed, r#"{"queries":[]}"#, "they have no names");
    rig.send(conn, r#"{"id":9,"type":"store.insert","bucket":"b","data":{"id":"1"}}"#);
    let pushes = rig.received(conn);
    let is_push = |message: &&Json| message.get("type").and_then(Json::as_str) == Some("push");
    assert_eq!(pushes.iter().filter(is_push).count(), 3, "{pushes:?}");
    for number in 1..=3 {
        let leave = format!(r#""type":"store.unsubscribe","subscriptionId":"sub-{number}""#);
        assert_eq!(ask(&mut rig, conn, &leave), r#"{"unsubscribed":true}"#);
    }
    assert_eq!(rig.engine.views.ad_hoc_queries(), 0);
    ask(&mut rig, conn, r#""type":"store.live","bucket":"b""#);
    rig.send(conn, r#"{"id":9,"type":"store.dropBucket","name":"b"}"#);
    rig.received(conn);
    assert_eq!(rig.engine.views.ad_hoc_queries(), 0, "it ended with its bucket");
    rig.engine.check_invariants();
}

#[test]
fn mistakes_are_told_and_braces_are_text() {
    let (mut rig, conn) = with_bucket(PLAIN);
    ask(&mut rig, conn, r#""type":"store.insert","bucket":"b","data":{"id":"{{ params.x }}"}"#);
    let found =
        r#""type":"store.find","bucket":"b","filter":{"id":"{{ params.x }}"},"fields":["id"]"#;
    assert_eq!(ask(&mut rig, conn, found), r#"[{"id":"{{ params.x }}"}]"#);
    for kind in ["store.find", "store.live"] {
        for (members, error) in [
            ("", r#"VALIDATION_ERROR Missing or invalid "bucket": expected non-empty string"#),
            (r#","bucket":"nope""#, r#"BUCKET_NOT_DEFINED Bucket "nope" is not defined"#),
            (
                r#","bucket":"nope","filter":1"#,
                r#"VALIDATION_ERROR Invalid "filter": expected object"#,
            ),
            (
                r#","bucket":"b","limit":-1"#,
                r#"VALIDATION_ERROR Invalid query: "limit" must be a non-negative integer"#,
            ),
            (
                r#","bucket":"b","sort":{"a":"up"}"#,
                r#"VALIDATION_ERROR Invalid query: sort direction of "a" must be "asc" or "desc""#,
            ),
        ] {
            assert_eq!(ask(&mut rig, conn, &format!(r#""type":"{kind}"{members}"#)), error);
        }
        let unknown = ask(
            &mut rig,
            conn,
            &format!(r#""type":"{kind}","bucket":"b","filter":{{"n":{{"$x":1}}}}"#),
        );
        assert!(unknown.starts_with("VALIDATION_ERROR Invalid query: "), "{unknown}");
    }
    assert_eq!(rig.engine.views.ad_hoc_queries(), 0);
    let nope = ask(&mut rig, conn, r#""type":"store.query","query":"nope""#);
    assert_eq!(nope, r#"QUERY_NOT_DEFINED Query "nope" is not defined"#);
    let step =
        r#""type":"store.transaction","operations":[{"op":"find","bucket":"b","limit":"1"}]"#;
    assert_eq!(
        ask(&mut rig, conn, step),
        r#"VALIDATION_ERROR operations[0]: Invalid query: "limit" must be a non-negative integer"#
    );
    rig.engine.options.ad_hoc_queries = false;
    let live = ask(&mut rig, conn, r#""type":"store.live","bucket":"b""#);
    assert_eq!(live, "FORBIDDEN Ad hoc queries are disabled");
    assert!(ask(&mut rig, conn, found).starts_with('['), "reads stay");
}

#[test]
fn groups_by_fields() {
    let (mut rig, conn) = with_bucket(PLAIN);
    for (id, s, n) in [(1, "x", 2), (2, "y", 5), (3, "x", 4)] {
        let data = format!(r#"{{"id":"{id}","s":"{s}","n":{n}}}"#);
        ask(&mut rig, conn, &format!(r#""type":"store.insert","bucket":"b","data":{data}"#));
    }
    let mut group = |members: &str| {
        ask(&mut rig, conn, &format!(r#""type":"store.groupBy","bucket":"b",{members}"#))
    };
    assert_eq!(
        group(r#""field":"s","aggregate":{"function":"sum","field":"n"}"#),
        r#"[{"key":{"s":"x"},"value":6},{"key":{"s":"y"},"value":5}]"#
    );
    assert_eq!(
        group(r#""field":["s","n"],"aggregate":{"function":"count"},"filter":{"s":"x"}"#),
        r#"[{"key":{"s":"x","n":2},"value":1},{"key":{"s":"x","n":4},"value":1}]"#
    );
    let unknown = r#"UNKNOWN_OPERATION Unknown store operation "store.groupBy""#;
    for (members, error) in [
        (r#""field":"s""#, unknown),
        (r#""aggregate":{"function":"count"}"#, unknown),
        (
            r#""field":"","aggregate":{}"#,
            r#"VALIDATION_ERROR Invalid "field": expected non-empty string or array of them"#,
        ),
        (
            r#""field":"s","aggregate":1"#,
            r#"VALIDATION_ERROR Missing or invalid "aggregate": expected object"#,
        ),
        (
            r#""field":"s","aggregate":{}"#,
            r#"VALIDATION_ERROR Invalid query: "aggregate.function" must be one of: count, sum, avg, min, max"#,
        ),
    ] {
        assert_eq!(group(members), error);
    }
}

#[test]
fn a_procedure_finds_what_it_wrote() {
    let (mut rig, conn) = with_bucket(PLAIN);
    let steps = r#"[{"action":"store.insert","bucket":"b","data":{"id":"z","n":7}},
        {"action":"store.find","bucket":"b","sort":{"n":"desc"},"limit":"{{ input.most }}","fields":["id"],"as":"top"},
        {"action":"return","value":"{{ top }}"}]"#;
    for transaction in [true, false] {
        let name = format!("p{transaction}");
        let register = format!(
            r#""type":"procedures.register","procedure":{{"name":"{name}","input":{{"most":{{"type":"number"}}}},"transaction":{transaction},"steps":{steps}}}"#
        );
        let answer = ask(&mut rig, conn, &register);
        assert!(answer.starts_with('{'), "{answer}");
        let answer = ask(
            &mut rig,
            conn,
            &format!(r#""type":"procedures.call","name":"{name}","input":{{"most":1}}"#),
        );
        assert!(answer.contains(r#"[{"id":"z"}]"#), "{answer}");
    }
}

#[test]
fn what_is_kept_of_a_query_is_bounded() {
    let (mut rig, conn) = with_bucket(PLAIN);
    let of = |length: usize| {
        format!(r#""type":"store.live","bucket":"b","filter":{{"id":"{}"}}"#, "x".repeat(length))
    };
    // Its text is `{"bucket":"b","filter":{"id":"…"}}`.
    let around = r#"{"bucket":"b","filter":{"id":""}}"#.len();
    let refused = ask(&mut rig, conn, &of(65_537 - around));
    assert_eq!(refused, "VALIDATION_ERROR Invalid query: at most 65536 bytes");
    assert_eq!(rig.engine.views.ad_hoc_queries(), 0);
    assert!(ask(&mut rig, conn, &of(65_536 - around)).contains("subscriptionId"));
}

#[test]
fn long_values_are_sorted_and_grouped_for_what_they_cost() {
    let config = r#"{"key":"id","schema":{"id":{"type":"number"},"t":{"type":"string"}}}"#;
    let mut rig =
        Rig::new(EngineOptions { request_steps: 20_000, max_reply_bytes: 100_000, ..options() });
    let conn = rig.connect();
    rig.received(conn);
    ask(&mut rig, conn, &format!(r#""type":"store.defineBucket","name":"b","config":{config}"#));
    for id in 0..50 {
        let text = "x".repeat(20_000 + (id * 7) % 50);
        let insert =
            format!(r#""type":"store.insert","bucket":"b","data":{{"id":{id},"t":"{text}"}}"#);
        assert!(ask(&mut rig, conn, &insert).contains(r#""id""#));
    }
    // Keys of more bytes than an answer may have: compared where they stand.
    let sorted =
        r#""type":"store.find","bucket":"b","sort":{"t":"asc"},"offset":45,"fields":["id"]"#;
    let costly = "VALIDATION_ERROR Request is too costly: more than 20000 steps";
    assert_eq!(ask(&mut rig, conn, sorted), costly);
    rig.engine.options.request_steps = 40_000;
    let mut order: Vec<u64> = (0..50).collect();
    order.sort_by_key(|id| (id * 7) % 50);
    let last: Vec<String> = order[45..].iter().map(|id| format!(r#"{{"id":{id}}}"#)).collect();
    assert_eq!(ask(&mut rig, conn, sorted), format!("[{}]", last.join(",")));
    let grouped =
        r#""type":"store.groupBy","bucket":"b","field":"t","aggregate":{"function":"count"}"#;
    let refused = ask(&mut rig, conn, grouped);
    assert_eq!(refused, "VALIDATION_ERROR Reply is too large: more than 100000 bytes");
    // Not because it was looked at to the end: no step of the others was taken.
    assert!(rig.engine.budget.spent() < 1_500, "{} steps", rig.engine.budget.spent());
}

#[test]
fn the_same_name_twice_is_one_member() {
    let (mut rig, conn) = with_bucket(PLAIN);
    ask(&mut rig, conn, r#""type":"store.insert","bucket":"b","data":{"id":"1","s":"x"}"#);
    let grouped = r#""type":"store.groupBy","bucket":"b","field":["s","u","s","s","id"],"aggregate":{"function":"count"}"#;
    assert_eq!(ask(&mut rig, conn, grouped), r#"[{"key":{"s":"x","id":"1"},"value":1}]"#);
    let found = r#""type":"store.find","bucket":"b","fields":["s","id","s"]"#;
    assert_eq!(ask(&mut rig, conn, found), r#"[{"s":"x","id":"1"}]"#);
}

#[test]
fn records_whose_time_is_over_are_not_found() {
    let (mut rig, conn) =
        with_bucket(r#"{"key":"id","schema":{"id":{"type":"string"}},"ttl":100}"#);
    ask(&mut rig, conn, r#""type":"store.insert","bucket":"b","data":{"id":"1"}"#);
    let found = r#""type":"store.find","bucket":"b","fields":["id"]"#;
    assert_eq!(ask(&mut rig, conn, found), r#"[{"id":"1"}]"#);
    rig.now.wall += 101;
    assert_eq!(ask(&mut rig, conn, found), "[]");
}
