//! What errors and answers tell of records that are hidden: nothing but that
//! something stands in the way.

use super::*;

/// Everybody sees what is his, in a bucket whose records refer to others.
fn refers(to: &str, on_delete: &str) -> String {
    format!(
        r#"{{"key":"id","schema":{{"id":{{"type":"string"}},"owner":{{"type":"string"}},
        "text":{{"type":"string"}},"n":{{"type":"number"}},
        "to":{{"type":"string","ref":"{to}","onDelete":"{on_delete}"}}}},
        "rows":{{"set":{{"owner":"{{{{ session.userId }}}}"}},
            "read":{{"owner":"{{{{ session.userId }}}}"}},"bypass":["moderator"]}}}}"#
    )
}

fn insert(rig: &mut Rig, conn: ConnId, bucket: &str, data: &str) {
    let request = format!(r#""type":"store.insert","bucket":"{bucket}","data":{data}"#);
    let answer = ask(rig, conn, &request);
    assert!(answer.contains("_version"), "{answer}");
}

struct Two {
    rig: Rig,
    ann: ConnId,
    bob: ConnId,
    moderator: ConnId,
}

/// A record of Ann's in `b`.
fn two() -> Two {
    let mut rig = external(AUTH);
    let ann = login(&mut rig, "ann");
    let bob = login(&mut rig, "bob");
    let moderator = login(&mut rig, "mod");
    define(&mut rig, moderator, "b", OWN);
    insert(&mut rig, ann, "b", r#"{"id":"mine","room":"hall"}"#);
    Two { rig, ann, bob, moderator }
}

/// Plainly, as many, and as a step of a transaction.
const DELETES: [&str; 3] = [
    r#""type":"store.delete","bucket":"b","key":"mine""#,
    r#""type":"store.deleteMany","bucket":"b","filter":{"id":"mine"}"#,
    r#""type":"store.transaction","operations":[{"op":"delete","bucket":"b","key":"mine"}]"#,
];

#[test]
fn a_chain_of_references_names_no_hidden_link() {
    let Two { mut rig, ann, bob, moderator } = two();
    define(&mut rig, moderator, "mid", &refers("b", "cascade"));
    define(&mut rig, moderator, "leaf", &refers("mid", "restrict"));
    insert(&mut rig, bob, "mid", r#"{"id":"secret1","to":"mine"}"#);
    insert(&mut rig, bob, "leaf", r#"{"id":"secret2","to":"secret1"}"#);
    let text = "CONFLICT Cannot delete from bucket \"mid\": referenced by bucket \"leaf\" via field \"to\" \
        {\"sourceBucket\":\"leaf\",\"sourceField\":\"to\",\"targetBucket\":\"mid\"}";
    for request in DELETES {
        assert_eq!(ask(&mut rig, ann, request), text, "{request}");
    }
    // Whom nothing is hidden from is told which.
    let answer = ask(&mut rig, moderator, DELETES[0]);
    assert!(answer.contains("(key \"secret1\")") && answer.contains("(key \"secret2\")"));
    // Without the last link all of it goes, seen or not.
    let cleared = ask(&mut rig, moderator, r#""type":"store.clear","bucket":"leaf""#);
    assert_eq!(cleared, r#"{"cleared":true}"#);
    assert_eq!(ask(&mut rig, ann, DELETES[0]), r#"{"deleted":true}"#);
    assert_eq!(ask(&mut rig, moderator, r#""type":"store.count","bucket":"mid""#), "0");
}

#[test]
fn what_is_wrong_with_a_hidden_record_is_not_said() {
    let Two { mut rig, ann, bob, moderator } = two();
    define(&mut rig, moderator, "notes", &refers("b", "set_null"));
    let constraint = r#""type":"logic.defineConstraint","constraint":{"name":"kept","on":"notes",
        "message":"a note stays with its record","expr":{"$neq":["$to",{"$literal":null}]}}"#;
    let defined = ask(&mut rig, moderator, constraint);
    assert!(defined.contains("defined"), "{defined}");
    insert(&mut rig, bob, "notes", r#"{"id":"secret","to":"mine"}"#);
    let text = "CONFLICT Cannot delete from bucket \"b\" (key \"mine\"): referenced by bucket \"notes\" via field \"to\"";
    for request in DELETES {
        let answer = ask(&mut rig, ann, request);
        assert!(answer.starts_with(text), "{answer}");
        assert!(!answer.contains("secret") && !answer.contains("stays"), "{answer}");
    }
    let answer = ask(&mut rig, moderator, DELETES[0]);
    assert!(answer.starts_with("VALIDATION_ERROR a note stays"), "{answer}");
    assert_eq!(ask(&mut rig, moderator, r#""type":"store.count","bucket":"b""#), "1");
}

#[test]
fn a_constraint_over_hidden_records_says_its_own_words_only() {
    let Two { mut rig, ann, bob, moderator } = two();
    define(&mut rig, moderator, "notes", &refers("b", "cascade"));
    let constraint = r#""type":"logic.defineConstraint","constraint":{"name":"few","on":"notes",
        "scope":"group","groupBy":"to","message":"no more",
        "expr":{"$lte":[{"$sum":"n"},5]}}"#;
    let defined = ask(&mut rig, moderator, constraint);
    assert!(defined.contains("defined"), "{defined}");
    insert(&mut rig, bob, "notes", r#"{"id":"secret","to":"mine","n":4,"text":"whisper"}"#);
    let expected = r#"VALIDATION_ERROR no more [{"field":"_record","message":"no more","code":"constraint","constraint":"few"}]"#;
    let request = r#""type":"store.insert","bucket":"notes","data":{"id":"x","to":"mine","n":3}"#;
    assert_eq!(ask(&mut rig, ann, request), expected);
}

#[test]
fn expectations_show_a_record_behind_its_rules_only() {
    let Two { mut rig, ann, bob, .. } = two();
    insert(&mut rig, bob, "b", r#"{"id":"hidden","text":"whisper"}"#);
    insert(&mut rig, bob, "b", r#"{"id":"seen","room":"hall","text":"aloud"}"#);
    for request in [
        r#""type":"store.delete","bucket":"b","key":"K","expect":{"n":1}"#,
        r#""type":"store.update","bucket":"b","key":"K","data":{},"expect":{"n":1}"#,
        r#""type":"store.transaction","operations":[{"op":"find","bucket":"b"},{"op":"delete","bucket":"b","key":"K","expect":{"n":1}}]"#,
        r#""type":"store.transaction","operations":[{"op":"update","bucket":"b","key":"K","data":{},"expect":{"n":1}}]"#,
    ] {
        let mut told = |key: &str| ask(&mut rig, ann, &request.replace('K', key)).replace(key, "K");
        let hidden = told("hidden");
        assert_eq!(hidden, told("missing"), "{request}");
        assert!(!hidden.contains("record\":") && !hidden.contains("whisper"), "{hidden}");
        assert!(told("seen").starts_with("FORBIDDEN"), "{request}");
        let mine = told("mine");
        assert!(mine.starts_with("CONFLICT") && mine.contains(r#""record":{"#), "{mine}");
    }
}

#[test]
fn steps_that_find_see_what_is_shown_and_what_was_written() {
    let Two { mut rig, ann, bob, .. } = two();
    insert(&mut rig, bob, "b", r#"{"id":"hidden","text":"whisper","n":40}"#);
    let request = r#""type":"store.transaction","operations":[
        {"op":"find","bucket":"b","fields":["id"]},
        {"op":"insert","bucket":"b","data":{"id":"new","n":2}},
        {"op":"find","bucket":"b","fields":["id"],"sort":{"n":"desc"},"filter":{"n":{"$gt":0}}},
        {"op":"find","bucket":"b","aggregate":{"function":"sum","field":"n"}},
        {"op":"deleteMany","bucket":"b","filter":{}},
        {"op":"count","bucket":"b"}]"#;
    let answer = ask(&mut rig, ann, request);
    let numbered = |answer: &str, at: usize, data: &str| {
        assert!(answer.contains(&format!(r#"{{"index":{at},"data":{data}}}"#)), "{answer}");
    };
    numbered(&answer, 0, r#"[{"id":"mine"}]"#);
    numbered(&answer, 2, r#"[{"id":"new"}]"#);
    numbered(&answer, 3, "2");
    numbered(&answer, 4, "2");
    numbered(&answer, 5, "0");
    assert_eq!(ask(&mut rig, bob, r#""type":"store.count","bucket":"b""#), "1");
}

#[test]
fn how_a_definition_differs_is_for_those_who_may_read_it() {
    let auth = r#"{"required":false,"tokens":{
        "mod":{"userId":"mod","roles":["admin","moderator"]},
        "def":{"userId":"def","roles":["definer","admin"]}},
        "permissions":{"default":"deny","rules":[
            {"role":"moderator","allow":"*"},{"role":"definer","allow":"store.defineBucket"}]}}"#;
    let mut rig = external(auth);
    let moderator = login(&mut rig, "mod");
    let definer = login(&mut rig, "def");
    define(&mut rig, moderator, "b", OWN);
    let again = r#""type":"store.defineBucket","name":"b","ifMissing":true,"config":{"key":"id","schema":{"id":{"type":"string"}}}"#;
    assert_eq!(ask(&mut rig, definer, again), "ALREADY_EXISTS Bucket \"b\" already exists");
    let answer = ask(&mut rig, moderator, again);
    assert!(answer.contains("differences") && answer.contains("rows"), "{answer}");
}
