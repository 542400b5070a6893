//! `store.subscribeMany`: each entry as its own operation, in its place.

use super::{at, call, number_at};
use crate::app::ConnId;
use crate::engine::EngineOptions;
use crate::engine::tests::Rig;
use crate::engine::tests::rows::set_external;
use crate::json::Json;

const DEFINE: &str = r#""store.defineBucket","name":"a","config":{"key":"id","schema":{"id":{"type":"number"},"n":{"type":"number"}}}"#;
const QUERY: &str = r#""store.defineQuery","name":"q","config":{"bucket":"a"}"#;
const VIEW: &str = r#""logic.defineView","definition":{"name":"v","from":{"a":"a"},"select":{"n":"a.n"},"reactive":true}"#;

fn rig(options: EngineOptions) -> (Rig, ConnId) {
    let mut rig = Rig::new(EngineOptions { first_push_delay_ms: 0, ..options });
    let conn = rig.connect();
    for body in [DEFINE, QUERY, VIEW] {
        call(&mut rig, conn, body);
    }
    (rig, conn)
}

/// Each result as text: the id of a subscription, or the error.
fn results(answer: &Json) -> Vec<String> {
    let list = at(answer, "data.results").and_then(Json::as_array).expect("results");
    let text = |result: &Json| match result.get("error") {
        None => result.get("subscriptionId").expect("an id").as_str().expect("text").to_owned(),
        Some(error) => {
            let text = |name: &str| error.get(name).and_then(Json::as_str).unwrap_or_default();
            format!("{} {}", text("code"), text("message"))
        }
    };
    list.iter().map(text).collect()
}

fn many(entries: &str) -> String {
    format!(r#""store.subscribeMany","subscriptions":[{entries}]"#)
}

#[test]
fn entries_are_answered_in_their_places() {
    let (mut rig, conn) = rig(EngineOptions::default());
    let entries = r#"{"query":"q"},{"query":"gone"},{"type":"store.live","bucket":"a","mode":"delta","resume":{}},
        7,null,{"type":"store.get","bucket":"a"},{"type":1},{"type":null},{"type":"logic.subscribeView","name":"v"},{},
        {"query":"q","mode":"x"},{"type":"store.live","bucket":"none"},{"type":"store.live","bucket":"a","limit":"x"},
        {"type":"store.subscribe","query":"q","resume":1}"#;
    let answer = call(&mut rig, conn, &many(entries));
    let expected = [
        "sub-1",
        "QUERY_NOT_DEFINED Query \"gone\" is not defined",
        "sub-3",
        "VALIDATION_ERROR Expected object",
        "VALIDATION_ERROR Expected object",
        "VALIDATION_ERROR Invalid \"type\"",
        "VALIDATION_ERROR Invalid \"type\"",
        "VALIDATION_ERROR Invalid \"type\"",
        "sub-4",
        "VALIDATION_ERROR Missing or invalid \"query\": expected non-empty string",
        "VALIDATION_ERROR Invalid \"mode\": expected \"full\" or \"delta\"",
        "BUCKET_NOT_DEFINED Bucket \"none\" is not defined",
        "VALIDATION_ERROR Invalid query: \"limit\" must be a non-negative integer",
        "VALIDATION_ERROR Invalid \"resume\": expected object",
    ];
    assert_eq!(results(&answer), expected);
    assert!(answer.get("commit").is_none(), "{answer}");
    // Each single answer, word by word.
    let single = call(&mut rig, conn, r#""store.live","bucket":"a","mode":"delta","resume":{}"#);
    let list = at(&answer, "data.results").and_then(Json::as_array).expect("results");
    let same = single.get("data").expect("data").to_text().replace("sub-7", "sub-3");
    let same = same.split_once(',').expect("members").1.to_owned();
    assert!(list[2].to_text().ends_with(&same), "{} {same}", list[2]);
    // Those that were made are there, and are pushed to.
    rig.send(conn, r#"{"id":2,"type":"store.insert","bucket":"a","data":{"id":1,"n":1}}"#);
    assert_eq!(rig.received(conn).len(), 5, "the answer and four pushes");
}

#[test]
fn the_whole_is_refused_if_it_is_no_list_or_not_of_so_many() {
    let options = EngineOptions { max_subscriptions_per_connection: 3, ..Default::default() };
    let (mut rig, conn) = rig(options);
    for (subscriptions, expected) in [
        ("1", "Missing or invalid \"subscriptions\": expected array"),
        ("null", "Missing or invalid \"subscriptions\": expected array"),
        ("[]", "\"subscriptions\" must contain 1 to 3 entries"),
        ("[1,2,3,4]", "\"subscriptions\" must contain 1 to 3 entries"),
    ] {
        let text =
            format!(r#"{{"id":1,"type":"store.subscribeMany","subscriptions":{subscriptions}}}"#);
        let answer = rig.call(conn, &text);
        assert_eq!(answer.get("message").and_then(Json::as_str), Some(expected), "{answer}");
    }
    // At the limit each entry is told, those before it stand.
    call(&mut rig, conn, r#""store.subscribe","query":"q""#);
    let answer = call(&mut rig, conn, &many(r#"{"query":"q"},{"query":"q"},{"query":"q"}"#));
    let limit = "RATE_LIMITED Subscription limit reached (max 3 per connection)";
    assert_eq!(results(&answer), ["sub-2", "sub-3", limit]);
}

#[test]
fn rights_are_decided_entry_by_entry() {
    let (mut rig, conn) = rig(EngineOptions::default());
    let auth = r#"{"required":true,"tokens":{"ann":{"userId":"ann","roles":["some"]}},
        "permissions":{"default":"deny","rules":[{"role":"some","allow":["store.subscribe","store.live"],"buckets":["a"]}]}}"#;
    set_external(&mut rig.engine, auth);
    let text = format!("{{\"id\":1,\"type\":{}}}", many(r#"{"query":"q"}"#));
    let answer = rig.call(conn, &text);
    assert_eq!(answer.get("code").and_then(Json::as_str), Some("UNAUTHORIZED"), "{answer}");
    call(&mut rig, conn, r#""auth.login","token":"ann""#);
    let entries = r#"{"query":"q"},{"query":"other"},{"type":"store.live","bucket":"a"},
        {"type":"store.live","bucket":"b"},{"type":"logic.subscribeView","name":"v"}"#;
    let answer = call(&mut rig, conn, &many(entries));
    let codes: Vec<String> = results(&answer)
        .iter()
        .map(|text| text.split(' ').next().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(codes, ["sub-1", "FORBIDDEN", "sub-2", "FORBIDDEN", "FORBIDDEN"]);
}

#[test]
fn a_budget_that_is_used_up_is_the_answer_of_all_that_follow() {
    let (mut rig, conn) = rig(EngineOptions {
        request_steps: 12_000,
        max_reply_bytes: 1 << 20,
        ..Default::default()
    });
    let rows = |from: usize| -> String {
        let rows = (from..from + 50).map(|id| format!(r#"{{"id":{id},"n":{id}}}"#));
        format!(
            r#""store.insertMany","bucket":"a","data":[{}]"#,
            rows.collect::<Vec<_>>().join(",")
        )
    };
    (0..16).for_each(|at| drop(call(&mut rig, conn, &rows(at * 50))));
    let live = |at: usize| {
        format!(r#"{{"type":"store.live","bucket":"a","filter":{{"n":{{"$lt":{at}}}}}}}"#)
    };
    let entries: Vec<String> = (0..8).map(live).collect();
    let answer = call(&mut rig, conn, &many(&entries.join(",")));
    let results = results(&answer);
    let made = results.iter().take_while(|text| text.starts_with("sub-")).count();
    assert!((1..7).contains(&made), "{results:?}");
    let over = "VALIDATION_ERROR Request is too costly: more than 12000 steps";
    assert!(results[made..].iter().all(|text| text == over), "{results:?}");
    assert_eq!(rig.engine.total_subscriptions, made);
    // The same of an answer that would be too long.
    let (mut rig, conn) =
        self::rig(EngineOptions { max_reply_bytes: 12_000, ..Default::default() });
    (0..4).for_each(|at| drop(call(&mut rig, conn, &rows(at * 50))));
    let rest: Vec<&str> = vec![r#"{"query":"q"}"#; 5];
    rig.received(conn);
    let first = rig.call(conn, r#"{"id":1,"type":"store.subscribe","query":"q"}"#);
    let is_refused = first.get("code").is_some();
    let entries = format!(r#"{{"type":"store.live","bucket":"a","limit":2}},{}"#, rest.join(","));
    let answer = call(&mut rig, conn, &many(&entries));
    let results = self::results(&answer);
    let over = "VALIDATION_ERROR Reply is too large: more than 12000 bytes";
    assert!(is_refused && results[0].starts_with("sub-"), "{results:?}");
    assert!(results[1..].iter().all(|text| text == over), "{results:?}");
}

#[test]
fn all_are_at_one_commit() {
    let (mut rig, conn) = rig(EngineOptions::default());
    call(&mut rig, conn, r#""session.open","commits":true"#);
    let entry = r#"{"type":"store.live","bucket":"a","mode":"delta","resume":{}}"#;
    let answer = call(&mut rig, conn, &many(&[entry; 100].join(",")));
    let commit = number_at(&answer, "commit");
    let list = at(&answer, "data.results").and_then(Json::as_array).expect("results");
    assert_eq!(list.len(), 100);
    assert!(list.iter().all(|result| number_at(result, "resume.commit") == commit), "{answer}");
}
