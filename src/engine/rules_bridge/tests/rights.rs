//! What a rule does to sets of values changes what connections may see, as what
//! anybody else does: at once, also behind the change that woke the rule.

use super::*;
use crate::engine::tests::rows::set_external;

const AUTH: &str = r#"{"required":false,"tokens":{
    "ann":{"userId":"ann","roles":["admin"]},
    "mod":{"userId":"mod","roles":["admin","moderator"]}}}"#;

fn login(rig: &mut Rig, token: &str) -> ConnId {
    let conn = rig.connect();
    ok(rig, conn, &format!(r#""type":"auth.login","token":"{token}""#));
    rig.received(conn);
    conn
}

/// Messages of the rooms that one is a member of.
fn chat() -> (Rig, ConnId, ConnId) {
    let (mut rig, _) = rig_with(options(), bridged());
    set_external(&mut rig.engine, AUTH);
    let moderator = login(&mut rig, "mod");
    for request in [
        r#""type":"store.defineBucket","name":"members","config":{"key":"id","schema":{"id":{"type":"string"},"user":{"type":"string"},"room":{"type":"string"}}}"#,
        r#""type":"access.defineSet","name":"rooms","bucket":"members","filter":{"user":"{{ session.userId }}"},"field":"room""#,
        r#""type":"store.defineBucket","name":"messages","config":{"key":"id","schema":{"id":{"type":"string"},"room":{"type":"string"}},"rows":{"read":{"room":{"$in":"{{ sets.rooms }}"}},"bypass":["moderator"]}}"#,
        r#""type":"store.defineBucket","name":"orders","config":{"key":"id","schema":{"id":{"type":"string"}}}"#,
        r#""type":"store.insert","bucket":"members","data":{"id":"ann-red","user":"ann","room":"red"}"#,
    ] {
        ok(&mut rig, moderator, request);
    }
    let ann = login(&mut rig, "ann");
    (rig, moderator, ann)
}

fn order(rig: &mut Rig, conn: ConnId, id: &str) {
    let insert = format!(r#""type":"store.insert","bucket":"orders","data":{{"id":"{id}"}}"#);
    ok(rig, conn, &insert);
}

fn texts(rig: &mut Rig, conn: ConnId) -> String {
    rig.received(conn).iter().map(Json::to_text).collect::<Vec<_>>().join("\n")
}

#[test]
fn nothing_of_the_old_view_leaves_behind_what_a_rule_did() {
    for mode in ["full", "delta"] {
        let (mut rig, moderator, ann) = chat();
        let leave_and_say = r#"[{"type":"call_service","service":"store","method":"delete","args":["members","ann-red"]},
            {"type":"call_service","service":"store","method":"insert","args":["messages",{"id":"secret","room":"red"}]}]"#;
        on(&mut rig, moderator, "r", "bucket.orders.inserted", leave_and_say);
        let live = format!(r#""type":"store.live","bucket":"messages","mode":"{mode}""#);
        ok(&mut rig, ann, &live);
        order(&mut rig, moderator, "1");
        let seen = texts(&mut rig, ann);
        assert!(!seen.contains("secret"), "{mode}: {seen}");
        rig.advance(5_000);
        let seen = texts(&mut rig, ann);
        assert!(!seen.contains("secret"), "{mode}: {seen}");
        rig.engine.check_invariants();
    }
}

#[test]
fn what_a_rule_lets_somebody_see_is_pushed_at_once() {
    let (mut rig, moderator, ann) = chat();
    let join = r#"[{"type":"call_service","service":"store","method":"insert","args":["members",{"id":"ann-blue","user":"ann","room":"blue"}]}]"#;
    on(&mut rig, moderator, "r", "bucket.orders.inserted", join);
    let say = r#""type":"store.insert","bucket":"messages","data":{"id":"hello","room":"blue"}"#;
    ok(&mut rig, moderator, say);
    ok(&mut rig, ann, r#""type":"store.live","bucket":"messages""#);
    order(&mut rig, moderator, "1");
    let seen = texts(&mut rig, ann);
    assert!(seen.contains("hello"), "{seen}");
}
