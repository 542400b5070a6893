//! Defining what is there already, and members that nobody knows.

use super::*;

const SCHEMA: &str = r#""id":{"type":"string","generated":"uuid"},"n":{"type":"number","min":0},"o":{"type":"object","properties":{"a":{"type":"string"}}},"p":{"type":"string","ref":"q"}"#;

fn define(rig: &mut Rig, conn: ConnId, rest: &str) -> Json {
    message(rig, conn, &format!(r#""type":"store.defineBucket","name":"b",{rest}"#))
}

fn data(answer: &Json) -> String {
    answer.get("data").map(Json::to_text).unwrap_or_default()
}

/// The paths at which an answer says that a definition differs.
fn differences(answer: &Json) -> String {
    assert_eq!(answer.get("code").and_then(Json::as_str), Some("ALREADY_EXISTS"), "{answer}");
    let details = answer.get("details").expect("details");
    details.get("differences").expect("differences").to_text()
}

#[test]
fn a_bucket_that_says_the_same_is_there_already() {
    let (mut rig, conn) = rig();
    let plain = format!(r#""config":{{"key":"id","schema":{{{SCHEMA}}},"indexes":["n"]}}"#);
    let first = define(&mut rig, conn, &format!(r#"{plain},"ifMissing":true"#));
    assert_eq!(data(&first), r#"{"name":"b","created":true}"#);
    ask(&mut rig, conn, r#""type":"store.insert","bucket":"b","data":{"id":"1","n":1}"#);
    let again = r#"{"name":"b","created":true,"existed":true}"#;
    assert_eq!(data(&define(&mut rig, conn, &format!(r#"{plain},"ifMissing":true"#))), again);
    // Written with every default, in another order, with what has no effect.
    let long = r#""config":{"persistent":true,"etsType":"set","onDuplicateKey":"replace","indexes":["n","n"],"validate":null,"schema":{
        "p":{"type":"string","ref":"q","onDelete":"restrict","required":false},
        "o":{"type":"object","properties":{"a":{"type":"string","required":false,"default":"x","unique":true}}},
        "n":{"min":0,"type":"number","onDelete":"cascade"},
        "id":{"type":"string","auto":"uuid","properties":{}}},"key":"id"},"ifMissing":true"#;
    assert_eq!(
        data(&define(&mut rig, conn, long)),
        r#"{"name":"b","created":true,"existed":true,"warnings":["field \"id\": \"auto\" is read as \"generated\""]}"#
    );
    let count = ask(&mut rig, conn, r#""type":"store.count","bucket":"b""#);
    assert_eq!(count, "1", "the records stay");
    for plainly in ["", r#","ifMissing":false"#] {
        let answer = define(&mut rig, conn, &format!("{plain}{plainly}"));
        assert_eq!(
            answer.get("message").and_then(Json::as_str),
            Some("Bucket \"b\" already exists")
        );
        assert_eq!(answer.get("details"), None);
    }
}

#[test]
fn a_bucket_that_says_something_else_is_told_where() {
    let (mut rig, conn) = rig();
    define(&mut rig, conn, &format!(r#""config":{{"key":"id","schema":{{{SCHEMA}}},"ttl":"1h"}}"#));
    let id = r#""id":{"type":"string","generated":"uuid"}"#;
    let rest = r#""o":{"type":"object","properties":{"a":{"type":"string"}}},"p":{"type":"string","ref":"q"}"#;
    for (config, paths) in [
        (format!(r#"{{"key":"id","schema":{{{SCHEMA}}}}}"#), r#"["ttl"]"#),
        (format!(r#"{{"key":"n","schema":{{{SCHEMA}}},"ttl":3600000}}"#), r#"["key"]"#),
        (
            format!(
                r#"{{"key":"id","schema":{{{SCHEMA}}},"ttl":3600000,"indexes":["n"],"maxSize":3,"persistent":false,"etsType":"ordered_set","onDuplicateKey":"error"}}"#
            ),
            r#"["indexes","etsType","persistent","maxSize","onDuplicateKey"]"#,
        ),
        (
            format!(
                r#"{{"key":"id","schema":{{{id},{rest},"n":{{"type":"number","min":1,"required":true,"unique":true}},"more":{{"type":"date"}}}},"ttl":3600000}}"#
            ),
            r#"["schema.n.min","schema.n.required","schema.n.unique","schema.more","indexes"]"#,
        ),
        (
            format!(
                r#"{{"key":"id","schema":{{{id},"n":{{"type":"number","min":0,"default":null}},"o":{{"type":"object","properties":{{"a":{{"type":"number","required":true}}}}}},"p":{{"type":"string","ref":"q","onDelete":"cascade"}}}},"ttl":"1h"}}"#
            ),
            r#"["schema.n.default","schema.o.properties.a.type","schema.o.properties.a.required","schema.p.onDelete"]"#,
        ),
    ] {
        let answer = define(&mut rig, conn, &format!(r#""config":{config},"ifMissing":true"#));
        assert_eq!(differences(&answer), paths, "{config}");
    }
    // What is no definition at all is not compared.
    let wrong = r#""config":{"key":"id","schema":{"id":{"type":"text"}}},"ifMissing":true"#;
    let answer = define(&mut rig, conn, wrong);
    assert_eq!(answer.get("code").and_then(Json::as_str), Some("VALIDATION_ERROR"));
    let answer = define(&mut rig, conn, r#""config":{},"ifMissing":1"#);
    assert_eq!(
        answer.get("message").and_then(Json::as_str),
        Some("Invalid \"ifMissing\": expected boolean")
    );
}

#[test]
fn a_query_that_says_the_same_is_there_already() {
    let (mut rig, conn) = with_bucket(PLAIN);
    let define = |rig: &mut Rig, config: &str| {
        let rest = format!(r#""name":"q","config":{{"bucket":"b"{config}}},"ifMissing":true"#);
        message(rig, conn, &format!(r#""type":"store.defineQuery",{rest}"#))
    };
    let first = r#","filter":{"id":"{{ params.id }}"},"sort":{"a":"asc","b":"desc"},"limit":3"#;
    assert_eq!(data(&define(&mut rig, first)), r#"{"name":"q","defined":true}"#);
    let again = r#"{"name":"q","defined":true,"existed":true}"#;
    assert_eq!(data(&define(&mut rig, first)), again);
    let long = r#","limit":3,"sort":{"a":"asc","b":"desc"},"offset":0,"fields":[],"aggregate":null,"strictParams":false,"filter":{"id":"{{ params.id }}"}"#;
    assert_eq!(data(&define(&mut rig, long)), again);
    let other = r#","filter":{"id":"{{ params.key }}"},"sort":{"b":"desc","a":"asc"},"offset":1,"fields":["a"],"strictParams":true"#;
    assert_eq!(
        differences(&define(&mut rig, other)),
        r#"["filter.id","sort","limit","strictParams","offset","fields"]"#
    );
    let unknown = r#"BUCKET_NOT_DEFINED Bucket "none" is not defined"#;
    let elsewhere =
        r#""type":"store.defineQuery","name":"q","config":{"bucket":"none"},"ifMissing":true"#;
    assert_eq!(ask(&mut rig, conn, elsewhere), unknown);
    ask(&mut rig, conn, r#""type":"store.undefineQuery","name":"q""#);
    // What an aggregate ignores is not compared.
    let sum = r#","aggregate":{"function":"count","groupBy":"a"}"#;
    assert_eq!(data(&define(&mut rig, sum)), r#"{"name":"q","defined":true}"#);
    let same =
        r#","sort":{"a":"asc"},"aggregate":{"function":"count","field":"x","groupBy":["a"]}"#;
    assert_eq!(data(&define(&mut rig, same)), again);
    let other = r#","aggregate":{"function":"sum","field":"x","groupBy":["a","b"]}"#;
    assert_eq!(
        differences(&define(&mut rig, other)),
        r#"["aggregate.function","aggregate.groupBy","aggregate.field"]"#
    );
}

#[test]
fn members_that_nobody_knows_are_named_and_ignored() {
    let (mut rig, conn) = rig();
    let config = r#""config":{"key":"id","index":["n"],"colour":1,"schema":{"id":{"type":"string"},"n":{"type":"number","requierd":true},"l":{"type":"array","items":{"type":"object","properties":{"x":{"type":"string","Min":1}}}}}}"#;
    let warnings = r#""warnings":["unknown member \"index\": did you mean \"indexes\"?","unknown member \"colour\"","schema.n: unknown member \"requierd\": did you mean \"required\"?","schema.l.items.properties.x: unknown member \"Min\": did you mean \"min\"?"]"#;
    let answer = define(&mut rig, conn, config);
    assert_eq!(data(&answer), format!(r#"{{"name":"b","created":true,{warnings}}}"#));
    // They say nothing, so they are no difference; they are kept all the same.
    let again = define(&mut rig, conn, &format!(r#"{config},"ifMissing":true"#));
    assert_eq!(data(&again), format!(r#"{{"name":"b","created":true,"existed":true,{warnings}}}"#));
    let plain = config.replace(r#""index":["n"],"colour":1,"#, "");
    let again = define(&mut rig, conn, &format!(r#"{plain},"ifMissing":true"#));
    assert!(data(&again).starts_with(r#"{"name":"b","created":true,"existed":true,"#), "{again}");
    let schema = ask(&mut rig, conn, r#""type":"store.getBucketSchema","name":"b""#);
    assert!(schema.contains(r#""index":["n"],"colour":1"#), "{schema}");
    assert_eq!(
        ask(
            &mut rig,
            conn,
            r#""type":"store.updateBucket","name":"b","updates":{"addFields":{"u":{"type":"string","uniqe":true}}}"#
        ),
        r#"{"name":"b","updated":true,"warnings":["addFields.u: unknown member \"uniqe\": did you mean \"unique\"?"]}"#
    );
    assert_eq!(
        ask(
            &mut rig,
            conn,
            r#""type":"store.defineQuery","name":"q","config":{"bucket":"b","filters":{},"aggregate":{"function":"count","group_by":"n"}}"#
        ),
        r#"{"name":"q","defined":true,"warnings":["unknown member \"filters\": did you mean \"filter\"?","aggregate: unknown member \"group_by\": did you mean \"groupBy\"?"]}"#
    );
}
