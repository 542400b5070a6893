//! Who may write which record, and what happens to it when rights go.

use super::{BUCKET, ask, done, insert, keys, leave, open, options, rig_with};
use crate::engine::RulesSetup;
use crate::engine::tests::{Rig, external_rig, rig_with as rig_with_auth};
use crate::json::Json;

#[test]
fn only_ones_own_records_are_written() {
    let (mut rig, _) = rig_with(100);
    let [a, b] = [rig.connect(), rig.connect()];
    insert(&mut rig, a, "a");
    insert(&mut rig, b, "b");
    let other = "FORBIDDEN Record with key \"a\" in bucket \"here\" belongs to another connection";
    for request in [
        r#""type":"store.insert","bucket":"here","data":{"id":"a"}"#,
        r#""type":"store.update","bucket":"here","key":"a","data":{"n":1}"#,
        r#""type":"store.delete","bucket":"here","key":"a""#,
        r#""type":"store.delete","bucket":"here","key":"a","expect":{"n":0}"#,
        r#""type":"store.upsert","bucket":"here","data":{"id":"a","n":1}"#,
        r#""type":"store.transaction","operations":[{"op":"update","bucket":"here","key":"a","data":{"n":1}}]"#,
        r#""type":"store.transaction","operations":[{"op":"delete","bucket":"here","key":"a"}]"#,
    ] {
        assert_eq!(ask(&mut rig, b, request), other, "{request}");
    }
    let many = r#""type":"store.insertMany","bucket":"here","data":[{"id":"b"},{"id":"a"}],"onConflict":"replace""#;
    assert_eq!(ask(&mut rig, b, many), other.replace("FORBIDDEN ", "FORBIDDEN data[1]: "));
    assert_eq!(
        ask(&mut rig, b, r#""type":"store.clear","bucket":"here""#),
        "FORBIDDEN Bucket \"here\" holds records of other connections"
    );
    let update =
        r#""type":"store.updateMany","bucket":"here","filter":{},"data":{"n":7},"limit":1"#;
    assert_eq!(ask(&mut rig, b, update), "1");
    let seven = r#""type":"store.where","bucket":"here","filter":{"n":7}"#;
    assert!(done(&mut rig, b, seven).starts_with(r#"[{"id":"b""#), "others are passed over");
    let delete = r#""type":"store.deleteMany","bucket":"here","filter":{}"#;
    assert_eq!(ask(&mut rig, b, delete), "1");
    assert_eq!(keys(&rig), ["a"]);
    done(&mut rig, a, r#""type":"store.upsert","bucket":"here","data":{"id":"a","n":2}"#);
    done(&mut rig, a, r#""type":"store.insert","bucket":"here","data":{"id":"a"}"#);
    done(&mut rig, a, r#""type":"store.clear","bucket":"here""#);
    assert!(keys(&rig).is_empty());
}

#[test]
fn one_owner_has_so_many_records_at_most() {
    let (mut rig, _) = rig_with(2);
    let a = rig.connect();
    done(&mut rig, a, &BUCKET.replace("here", "there"));
    insert(&mut rig, a, "a");
    done(&mut rig, a, r#""type":"store.insert","bucket":"there","data":{"id":"a"}"#);
    let full = "RATE_LIMITED Record limit reached (max 2 per connection)";
    let more = r#""type":"store.insert","bucket":"here","data":{"id":"b"}"#;
    assert_eq!(ask(&mut rig, a, more), full);
    // What is replaced or goes makes room.
    insert(&mut rig, a, "a");
    let swap = |first: &str, second: &str| {
        format!(r#""type":"store.transaction","operations":[{first},{second}]"#)
    };
    let add = r#"{"op":"insert","bucket":"here","data":{"id":"b"}}"#;
    let remove = r#"{"op":"delete","bucket":"here","key":"a"}"#;
    done(&mut rig, a, &swap(add, remove));
    assert_eq!(keys(&rig), ["b"]);
    let add = r#"{"op":"insert","bucket":"here","data":{"id":"c"}}"#;
    assert_eq!(ask(&mut rig, a, &swap(add, &add.replace(r#""c""#, r#""d""#))), full);
    // Everybody has a limit of his own.
    let b = rig.connect();
    insert(&mut rig, b, "c");
}

#[test]
fn procedures_write_any_record_and_insert_for_their_caller() {
    let (mut rig, admin) = rig_with(100);
    rig.engine.set_procedures(crate::procedures::Limits::default());
    for (name, definer) in [("touch", "false"), ("touchAsDefiner", "true")] {
        let request = format!(
            r#""type":"procedures.register","procedure":{{"name":"{name}","asDefiner":{definer},"input":{{"id":{{"type":"string"}}}},"steps":[{{"action":"store.update","bucket":"here","key":"a","data":{{"n":5}}}},{{"action":"store.insert","bucket":"here","data":{{"id":"{{{{ input.id }}}}"}}}}]}}"#
        );
        done(&mut rig, admin, &request);
    }
    let [a, b] = [rig.connect(), rig.connect()];
    insert(&mut rig, a, "a");
    for name in ["touch", "touchAsDefiner"] {
        done(
            &mut rig,
            b,
            &format!(r#""type":"procedures.call","name":"{name}","input":{{"id":"{name}"}}"#),
        );
    }
    assert_eq!(keys(&rig), ["a", "touch", "touchAsDefiner"]);
    leave(&mut rig, b);
    rig.advance(100);
    assert_eq!(keys(&rig), ["a"], "the caller was the owner");
}

#[test]
fn logins_and_logouts_end_owners() {
    let mut rig = external_rig(options(100));
    let conn = rig.connect();
    done(&mut rig, conn, BUCKET);
    let login = |token: &str| format!(r#""type":"auth.login","token":"t-{token}""#);
    for with_session in [false, true] {
        let a = rig.connect();
        let name = format!("s{with_session}");
        let begin = |rig: &mut Rig, key: &str| {
            if with_session {
                open(rig, a, &format!("{name}{key}"));
            }
            insert(rig, a, key);
        };
        begin(&mut rig, "nobody");
        done(&mut rig, a, &login("bob"));
        assert!(keys(&rig).is_empty(), "the first login is another user");
        begin(&mut rig, "bob");
        done(&mut rig, a, &login("bob"));
        assert_eq!(keys(&rig), ["bob"], "the same user");
        done(&mut rig, a, &login("root"));
        assert!(keys(&rig).is_empty(), "another user");
        begin(&mut rig, "root");
        done(&mut rig, a, r#""type":"auth.logout""#);
        assert!(keys(&rig).is_empty(), "a logout");
    }
}

#[test]
fn a_login_that_expires_leaves_records_their_grace() {
    // The token's session ends after a second.
    for (with_session, back) in [(false, false), (true, false), (true, true)] {
        let auth = r#"{"tokens":{
            "t-short":{"userId":"sam","roles":["writer"],"expiresAt":1800000001000},
            "t-sam":{"userId":"sam","roles":["writer"]}},"required":false}"#;
        let mut rig = rig_with_auth(auth, options(100));
        let conn = rig.connect();
        done(&mut rig, conn, BUCKET);
        let a = rig.connect();
        done(&mut rig, a, r#""type":"auth.login","token":"t-short""#);
        if with_session {
            open(&mut rig, a, "a");
        }
        insert(&mut rig, a, "a");
        assert_eq!(keys(&rig), ["a"], "it is still valid");
        // The end is noticed within a second, and `graceMs` is another one.
        rig.advance(1_500);
        assert_eq!(keys(&rig).len(), usize::from(with_session));
        if back {
            done(&mut rig, a, r#""type":"auth.login","token":"t-sam""#);
        }
        rig.advance(5_000);
        assert_eq!(keys(&rig).len(), usize::from(back), "{with_session} {back}");
    }
}

#[test]
fn a_revocation_takes_records_at_once() {
    for with_session in [false, true] {
        let mut rig = external_rig(options(100));
        let admin = rig.connect();
        done(&mut rig, admin, BUCKET);
        let [here, left, other] = [rig.connect(), rig.connect(), rig.connect()];
        for (conn, user) in [(here, "bob"), (left, "bob"), (other, "root")] {
            done(&mut rig, conn, &format!(r#""type":"auth.login","token":"t-{user}""#));
        }
        for (conn, key) in [(here, "here"), (left, "left"), (other, "other")] {
            if with_session {
                open(&mut rig, conn, key);
            }
            insert(&mut rig, conn, key);
        }
        leave(&mut rig, left);
        rig.engine.administer(rig.now, |engine| engine.revoke_session("bob"));
        rig.drain();
        assert_eq!(rig.is_closed(here), Some((4002, "session_revoked")));
        // The next step, and not `graceMs` after it.
        rig.advance(100);
        assert_eq!(keys(&rig), ["other"], "{with_session}");
    }
}

#[test]
fn owners_are_decided_behind_row_rules() {
    let mut rig = external_rig(options(100));
    let admin = rig.connect();
    let bucket = BUCKET.replace(
        r#""key":"id","schema":{"#,
        r#""key":"id","rows":{"set":{"by":"{{ session.userId }}"},"read":{"by":"{{ session.userId }}"},"bypass":["admin"]},"schema":{"by":{"type":"string"},"#,
    );
    done(&mut rig, admin, &bucket);
    let [bob, again, root] = [rig.connect(), rig.connect(), rig.connect()];
    for (conn, user) in [(bob, "bob"), (again, "bob"), (root, "root")] {
        done(&mut rig, conn, &format!(r#""type":"auth.login","token":"t-{user}""#));
    }
    let made = done(&mut rig, bob, r#""type":"store.insert","bucket":"here","data":{"id":"b"}"#);
    assert!(made.contains(r#""by":"bob""#), "rules fill in as ever: {made}");
    done(&mut rig, root, r#""type":"store.insert","bucket":"here","data":{"id":"r"}"#);
    let update = |key: &str| {
        format!(r#""type":"store.update","bucket":"here","key":"{key}","data":{{"n":1}}"#)
    };
    // What is hidden is not there, whoever owns it.
    let hidden = ask(&mut rig, bob, &update("r"));
    assert!(hidden.starts_with("NOT_FOUND"), "{hidden}");
    // What the rules let through still belongs to its owner.
    let owned = "FORBIDDEN Record with key \"b\" in bucket \"here\" belongs to another connection";
    assert_eq!(ask(&mut rig, again, &update("b")), owned, "the same user, another connection");
    assert_eq!(ask(&mut rig, root, &update("b")), owned, "a bypass of rules is none of owners");
    done(&mut rig, bob, &update("b"));
    assert_eq!(keys(&rig), ["b", "r"]);
}

#[test]
fn references_are_followed_by_writes_and_not_by_the_end_of_an_owner() {
    let (mut rig, admin) = rig_with(100);
    // Who sits at a table that somebody else has put up, and notes about those here.
    for (name, on_delete, target, rest) in [
        ("seats", "cascade", "here", r#","lifetime":"connection""#),
        ("notes", "restrict", "here", ""),
        ("marks", "cascade", "here", ""),
    ] {
        let define = format!(
            r#""type":"store.defineBucket","name":"{name}","config":{{"key":"id","schema":{{"id":{{"type":"string"}},"of":{{"type":"string","ref":"{target}","onDelete":"{on_delete}"}}}}{rest}}}"#
        );
        done(&mut rig, admin, &define);
    }
    let [a, b] = [rig.connect(), rig.connect()];
    let add = |rig: &mut Rig, conn, bucket: &str, of: &str| {
        let request = format!(
            r#""type":"store.insert","bucket":"{bucket}","data":{{"id":"{bucket}-{of}","of":"{of}"}}"#
        );
        done(rig, conn, &request);
    };
    let count = |rig: &Rig, name: &str| {
        rig.engine.store.bucket_named(name).map_or(0, |bucket| bucket.iter().count())
    };
    insert(&mut rig, a, "gone");
    add(&mut rig, b, "seats", "gone");
    add(&mut rig, b, "marks", "gone");
    // A cascade takes the record of another owner.
    done(&mut rig, a, r#""type":"store.delete","bucket":"here","key":"gone""#);
    assert_eq!((count(&rig, "seats"), count(&rig, "marks")), (0, 0));
    insert(&mut rig, a, "a");
    add(&mut rig, b, "seats", "a");
    add(&mut rig, b, "notes", "a");
    add(&mut rig, b, "marks", "a");
    let refused = ask(&mut rig, a, r#""type":"store.delete","bucket":"here","key":"a""#);
    assert!(refused.starts_with("CONFLICT"), "restrict: {refused}");
    // Its end asks nobody, and what refers to it stays.
    leave(&mut rig, a);
    rig.advance(100);
    assert!(keys(&rig).is_empty());
    let left = ["seats", "notes", "marks"].map(|name| count(&rig, name));
    assert_eq!(left, [1, 1, 1]);
}

#[test]
fn rules_cannot_insert() {
    let (mut rig, admin) = rig_with(100);
    rig.engine.set_rules(RulesSetup::default()).expect("rules");
    let data = crate::json::Json::Object(
        [("id", Json::from("rule"))].into_iter().collect::<crate::json::Object>(),
    );
    let refused = rig.engine.call_store("insert", &[Json::from("here"), data]);
    let text = format!("{refused:?}");
    assert!(text.contains("takes records from connections only"), "{text}");
    insert(&mut rig, admin, "a");
    let deleted = rig.engine.call_store("delete", &[Json::from("here"), Json::from("a")]);
    assert!(matches!(deleted, Ok(Json::Bool(true))), "rules delete any record");
}
