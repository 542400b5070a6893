//! `access.explain`: the decision, written down by what decides.

use super::*;

#[test]
fn a_decision_is_told_step_by_step() {
    let auth = r#"{"required":false,"tokens":{
        "ann":{"userId":"ann","roles":["writer"]},
        "mod":{"userId":"mod","roles":["admin","moderator"]}},
        "permissions":{"default":"deny","rules":[
            {"role":"admin","allow":"*"},{"role":"writer","allow":["store.get","store.update"],"buckets":["b"]}]}}"#;
    let mut rig = external(auth);
    let moderator = login(&mut rig, "mod");
    let ann = login(&mut rig, "ann");
    define(&mut rig, moderator, "b", OWN);
    for (id, owner, room) in [("mine", "ann", "x"), ("seen", "bob", "hall"), ("hidden", "bob", "x")]
    {
        let insert = format!(
            r#""type":"store.insert","bucket":"b","data":{{"id":"{id}","owner":"{owner}","room":"{room}"}}"#
        );
        assert!(ask(&mut rig, moderator, &insert).contains("_version"));
    }
    let mut explain =
        |rest: &str| ask(&mut rig, moderator, &format!(r#""type":"access.explain",{rest}"#));
    for both in [
        r#""userId":"ann","roles":[],"anonymous":true"#,
        r#""roles":[],"connectionId":"conn-1""#,
        r#""connectionId":"conn-1","anonymous":true"#,
        "\"resource\":\"b\"",
    ] {
        assert_eq!(
            explain(&format!(r#""operation":"store.get",{both}"#)),
            "VALIDATION_ERROR Expected one of \"userId\", \"roles\", \"connectionId\", \"anonymous\""
        );
    }
    let ann_is = r#""userId":"ann","roles":["writer"]"#;
    let head = |allowed: bool, operation: &str, by: &str| {
        let tier = if operation == "store.get" { "read" } else { "write" };
        format!(
            r#"{{"allowed":{allowed},"operation":"{operation}","resource":"b","tier":"{tier}","mode":"external","as":{{"userId":"ann","roles":["writer"]}},"decidedBy":"{by}","#
        )
    };
    let answer = explain(&format!(r#""operation":"store.get","resource":"b",{ann_is}"#));
    let steps = r#""steps":[{"step":"authentication","result":"pass"},{"step":"tier","result":"pass","needs":"read","has":"write"},{"step":"rule","result":"allow","index":1,"role":"writer","pattern":"store.get"}],"error":null}"#;
    assert_eq!(answer, head(true, "store.get", "rule") + steps);
    let answer = explain(&format!(r#""operation":"store.insert","resource":"b",{ann_is}"#));
    assert!(answer.starts_with(&head(false, "store.insert", "default")), "{answer}");
    assert!(
        answer.ends_with(
            r#""error":{"code":"FORBIDDEN","message":"No permission for store.insert on b"}}"#
        ),
        "{answer}"
    );
    for (operation, key, allowed, row) in [
        (
            "store.get",
            "mine",
            true,
            r#"{"step":"row","result":"allow","rule":"read","condition":null}],"error":null}"#,
        ),
        (
            "store.get",
            "hidden",
            false,
            r#"{"step":"row","result":"deny","rule":"read","condition":{"$or":[{"owner":"{{ session.userId }}"},{"room":"hall"}]}}],"error":{"code":"NOT_FOUND","message":"Record with key \"hidden\" not found in bucket \"b\""}}"#,
        ),
        (
            "store.update",
            "seen",
            false,
            r#"{"step":"row","result":"pass","rule":"read","condition":null},{"step":"row","result":"deny","rule":"update","condition":{"owner":"{{ session.userId }}"}}],"error":{"code":"FORBIDDEN","message":"Row rule \"update\" of bucket \"b\" refuses this record"}}"#,
        ),
        (
            "store.update",
            "mine",
            true,
            r#"{"step":"row","result":"allow","rule":"update","condition":null}],"error":null}"#,
        ),
    ] {
        let answer =
            explain(&format!(r#""operation":"{operation}","resource":"b","key":"{key}",{ann_is}"#));
        assert!(answer.starts_with(&head(allowed, operation, "row")), "{answer}");
        assert!(answer.ends_with(row), "{answer}");
    }
    let lifted = explain(
        r#""operation":"store.get","resource":"b","key":"hidden","userId":"m","roles":["admin","moderator"]"#,
    );
    assert!(
        lifted
            .contains(r#"{"step":"row","result":"allow","rule":"bypass","condition":"moderator"}"#),
        "{lifted}"
    );
    let anonymous =
        explain(r#""operation":"store.get","resource":"b","key":"mine","anonymous":true"#);
    assert!(anonymous.contains(r#""allowed":false"#), "{anonymous}");
    for (rest, expected) in [
        (
            r#""operation":"store.get""#,
            "VALIDATION_ERROR Expected one of \"userId\", \"roles\", \"connectionId\", \"anonymous\"",
        ),
        (
            r#""operation":"store.get","userId":"x""#,
            "VALIDATION_ERROR Missing or invalid \"roles\": expected array of strings",
        ),
        (
            r#""operation":"store.get","connectionId":"conn-99""#,
            "NOT_FOUND Connection \"conn-99\" not found",
        ),
    ] {
        assert_eq!(explain(rest), expected);
    }
    // What it says is what happens.
    let hidden = ask(&mut rig, ann, r#""type":"store.get","bucket":"b","key":"hidden""#);
    assert_eq!(hidden, "null");
    rig.engine.check_invariants();
}
