//! Everyday operations over the engine: preconditions, operators, many records
//! at once.

mod asked;
mod define;
mod indexed;
mod many;
mod operators;
mod search;

use super::*;
use crate::engine::RulesSetup;
use crate::procedures::Limits;

fn options() -> EngineOptions {
    EngineOptions { heartbeat_interval_ms: 0, first_push_delay_ms: 0, ..EngineOptions::default() }
}

fn rig() -> (Rig, ConnId) {
    let mut rig = Rig::new(options());
    rig.engine.set_rules(RulesSetup::default()).expect("rules");
    rig.engine.set_procedures(Limits::default());
    let conn = rig.connect();
    rig.received(conn);
    (rig, conn)
}

/// A rig with a bucket `b` whose schema has these members.
fn with_bucket(config: &str) -> (Rig, ConnId) {
    let (mut rig, conn) = rig();
    let define = format!(r#""type":"store.defineBucket","name":"b","config":{config}"#);
    assert_eq!(ask(&mut rig, conn, &define), r#"{"name":"b","created":true}"#);
    (rig, conn)
}

const PLAIN: &str = r#"{"key":"id","schema":{"id":{"type":"string"}}}"#;

fn message(rig: &mut Rig, conn: ConnId, request: &str) -> Json {
    rig.send(conn, &format!(r#"{{"id":1,{request}}}"#));
    let is_answer = |message: &Json| message.get("id").is_some();
    rig.received(conn).into_iter().find(is_answer).expect("an answer")
}

/// `CODE message` of an error, the data of a result.
fn ask(rig: &mut Rig, conn: ConnId, request: &str) -> String {
    let message = message(rig, conn, request);
    let text = |name: &str| message.get(name).and_then(Json::as_str).unwrap_or_default();
    match text("type") {
        "error" => format!("{} {}", text("code"), text("message")),
        _ => message.get("data").map(Json::to_text).unwrap_or_default(),
    }
}

/// The same without metadata, at any depth.
fn bare(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = ["_version", "_createdAt", "_updatedAt", "_expiresAt"]
        .iter()
        .filter_map(|name| rest.find(&format!(r#","{name}":"#)))
        .min()
    {
        out.push_str(&rest[..at]);
        let behind = &rest[at + 1..];
        let end = behind.find([',', '}']).expect("the end of a number");
        rest = &behind[end..];
    }
    out + rest
}

#[test]
fn what_is_expected_is_compared_strictly() {
    let (mut rig, conn) = with_bucket(PLAIN);
    ask(
        &mut rig,
        conn,
        r#""type":"store.insert","bucket":"b","data":{"id":"1","n":7,"s":"x","t":true,"z":null,"l":[1],"o":{}}"#,
    );
    for (expect, differ) in [
        (r#"{}"#, ""),
        (r#"{"_version":1}"#, ""),
        (r#"{"n":7.0,"s":"x","t":true,"z":null,"none":null}"#, ""),
        (r#"{"n":"7","s":"x"}"#, "n"),
        (r#"{"n":8,"s":"y","t":false}"#, "n,s,t"),
        (r#"{"z":0,"none":false,"l":null,"o":null}"#, "z,none,l,o"),
        (r#"{"_version":2,"s":"x"}"#, "_version"),
        (r#"{"n":null}"#, "n"),
    ] {
        for write in [
            format!(
                r#""type":"store.update","bucket":"b","key":"1","data":{{}},"expect":{expect}"#
            ),
            format!(
                r#""type":"store.transaction","operations":[{{"op":"update","bucket":"b","key":"1","data":{{}},"expect":{expect}}}]"#
            ),
            format!(r#""type":"store.delete","bucket":"b","key":"1","expect":{expect}"#),
        ] {
            let mut other = Rig::with_store(options(), rig.engine.store.clone());
            let conn = other.connect();
            other.received(conn);
            let got = message(&mut other, conn, &write);
            if differ.is_empty() {
                assert_eq!(
                    got.get("type").and_then(Json::as_str),
                    Some("result"),
                    "{write}: {got}"
                );
                continue;
            }
            assert_eq!(got.get("code").and_then(Json::as_str), Some("CONFLICT"), "{write}: {got}");
            assert_eq!(
                got.get("message").and_then(Json::as_str),
                Some(r#"Record with key "1" in bucket "b" is not as expected"#)
            );
            let details = got.get("details").expect("details");
            let fields = details.get("fields").and_then(Json::as_array).expect("fields");
            let fields: Vec<&str> = fields.iter().filter_map(Json::as_str).collect();
            assert_eq!(fields.join(","), differ, "{write}");
            assert_eq!(details.get("key"), Some(&Json::from("1")));
            assert_eq!(details.get("bucket"), Some(&Json::from("b")));
            let row = ask(&mut other, conn, r#""type":"store.get","bucket":"b","key":"1""#);
            assert_eq!(details.get("record").map(Json::to_text), Some(row), "the record as it is");
        }
    }
    let gone = message(
        &mut rig,
        conn,
        r#""type":"store.delete","bucket":"b","key":"9","expect":{"_version":1,"x":null}"#,
    );
    assert_eq!(
        gone.get("details").map(Json::to_text).as_deref(),
        Some(r#"{"bucket":"b","key":"9","fields":["_version","x"]}"#)
    );
    for (request, error) in [
        (
            r#""type":"store.update","bucket":"b","key":"9","data":{},"expect":{}"#,
            r#"NOT_FOUND Record with key "9" not found in bucket "b""#,
        ),
        (
            r#""type":"store.update","bucket":"none","key":"1","data":{},"expect":[]"#,
            r#"VALIDATION_ERROR Invalid "expect": expected object"#,
        ),
        (
            r#""type":"store.delete","bucket":"none","key":"1","expect":{"a":[]}"#,
            r#"VALIDATION_ERROR Invalid "expect": expected string, number, boolean or null for field "a""#,
        ),
        (
            r#""type":"store.transaction","operations":[{"op":"delete","bucket":"b","key":"1","expect":1}]"#,
            r#"VALIDATION_ERROR operations[0]: Invalid "expect": expected object"#,
        ),
    ] {
        assert_eq!(ask(&mut rig, conn, request), error, "{request}");
    }
    assert_eq!(
        ask(&mut rig, conn, r#""type":"store.delete","bucket":"b","key":"1","expect":null"#),
        r#"{"deleted":true}"#
    );
}

#[test]
fn of_two_clients_that_expect_the_same_version_one_writes() {
    let (mut rig, one) = with_bucket(PLAIN);
    let other = rig.connect();
    rig.received(other);
    ask(&mut rig, one, r#""type":"store.insert","bucket":"b","data":{"id":"1","n":0}"#);
    let (mut wrote, mut refused) = (0, 0);
    for version in 1..=50 {
        let write = format!(
            r#"{{"id":1,"type":"store.update","bucket":"b","key":"1","apply":{{"n":{{"$inc":1}}}},"expect":{{"_version":{version}}}}}"#
        );
        // Both are on their way before either is answered.
        for conn in [one, other] {
            rig.engine.message(conn, &write, rig.now);
        }
        rig.drain();
        for message in [one, other].map(|conn| rig.received(conn)).concat() {
            match message.get("type").and_then(Json::as_str) {
                Some("result") => wrote += 1,
                _ => refused += 1,
            }
        }
    }
    assert_eq!((wrote, refused), (50, 50));
    let row = ask(&mut rig, one, r#""type":"store.get","bucket":"b","key":"1""#);
    assert_eq!(bare(&row), r#"{"id":"1","n":50}"#);
    assert!(row.contains(r#""_version":51"#));
}

#[test]
fn a_transaction_sees_what_its_steps_have_done() {
    let (mut rig, conn) = with_bucket(PLAIN);
    let answer = ask(
        &mut rig,
        conn,
        r#""type":"store.transaction","operations":[
            {"op":"insert","bucket":"b","data":{"id":"1","n":1}},
            {"op":"update","bucket":"b","key":"1","apply":{"n":{"$inc":4}},"expect":{"n":1,"_version":1}},
            {"op":"update","bucket":"b","key":"1","data":{"s":"x"},"apply":{"n":{"$mul":3},"l":{"$push":1}},"expect":{"n":5,"_version":2}},
            {"op":"get","bucket":"b","key":"1"},
            {"op":"delete","bucket":"b","key":"1","expect":{"n":15}},
            {"op":"count","bucket":"b"}]"#,
    );
    assert_eq!(
        bare(&answer),
        r#"{"results":[{"index":0,"data":{"id":"1","n":1}},{"index":1,"data":{"id":"1","n":5}},{"index":2,"data":{"id":"1","n":15,"l":[1],"s":"x"}},{"index":3,"data":{"id":"1","n":15,"l":[1],"s":"x"}},{"index":4,"data":{"deleted":true}},{"index":5,"data":0}]}"#
            .replace(r#""l":[1],"s":"x""#, r#""s":"x","l":[1]"#)
    );
    let failed = ask(
        &mut rig,
        conn,
        r#""type":"store.transaction","operations":[
            {"op":"insert","bucket":"b","data":{"id":"2","n":1}},
            {"op":"delete","bucket":"b","key":"3","expect":{}}]"#,
    );
    assert_eq!(failed, r#"CONFLICT Record with key "3" in bucket "b" is not as expected"#);
    assert_eq!(ask(&mut rig, conn, r#""type":"store.count","bucket":"b""#), "0");
}

#[test]
fn procedures_fill_the_members_from_templates() {
    for transaction in [false, true] {
        let (mut rig, conn) = with_bucket(PLAIN);
        let procedure = format!(
            r#""type":"procedures.register","procedure":{{"name":"p","transaction":{transaction},"steps":[
            {{"action":"store.update","bucket":"b","key":"1","apply":{{"n":{{"$inc":"{{{{ input.by }}}}"}}}},"expect":{{"n":"{{{{ input.was }}}}"}},"as":"row"}},
            {{"action":"store.delete","bucket":"b","key":"2","expect":{{"n":"{{{{ input.none }}}}"}}}},
            {{"action":"return","value":"{{{{ row.n }}}}"}}]}}"#
        );
        ask(&mut rig, conn, &procedure);
        for id in ["1", "2"] {
            let insert =
                format!(r#""type":"store.insert","bucket":"b","data":{{"id":"{id}","n":5}}"#);
            ask(&mut rig, conn, &insert);
        }
        // What is undefined must be absent, and is not.
        let call = r#""type":"procedures.call","name":"p","input":{"by":2,"was":5}"#;
        let conflict = r#"CONFLICT Record with key "2" in bucket "b" is not as expected"#;
        assert_eq!(ask(&mut rig, conn, call), conflict);
        let n = if transaction { 5 } else { 7 };
        let row = ask(&mut rig, conn, r#""type":"store.get","bucket":"b","key":"1""#);
        assert_eq!(
            bare(&row),
            format!(r#"{{"id":"1","n":{n}}}"#),
            "all or none with a transaction"
        );
        ask(
            &mut rig,
            conn,
            r#""type":"store.update","bucket":"b","key":"2","apply":{"n":{"$unset":true}}"#,
        );
        let call = format!(r#""type":"procedures.call","name":"p","input":{{"by":2,"was":{n}}}"#);
        let answer = ask(&mut rig, conn, &call);
        assert!(answer.contains(&format!(r#""result":{}"#, n + 2)), "{answer}");
        assert_eq!(ask(&mut rig, conn, r#""type":"store.count","bucket":"b""#), "1");
    }
}
