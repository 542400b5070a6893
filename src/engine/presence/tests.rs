//! Presence over the engine: who owns what, who may write it, and when it goes.

use crate::app::{App as _, ConnId};
use crate::config::Continuity;
use crate::engine::tests::{Rig, external_rig, rig_with as rig_with_auth};
use crate::engine::{EngineOptions, RulesSetup};
use crate::json::Json;

const BUCKET: &str = r#""type":"store.defineBucket","name":"here","config":{"key":"id","schema":{"id":{"type":"string"},"n":{"type":"number","default":0}},"lifetime":"connection","graceMs":1000}"#;

fn options(most: usize) -> EngineOptions {
    EngineOptions {
        heartbeat_interval_ms: 0,
        continuity: Some(Continuity {
            keep_ms: 10_000,
            max_presence_per_owner: most,
            ..Continuity::default()
        }),
        ..EngineOptions::default()
    }
}

/// `CODE message` of an error, else `data`.
fn ask(rig: &mut Rig, conn: ConnId, request: &str) -> String {
    let answer = rig.call(conn, &format!("{{\"id\":1,{request}}}"));
    let text = |name: &str| answer.get(name).and_then(Json::as_str).unwrap_or_default();
    match text("type") {
        "error" => format!("{} {}", text("code"), text("message")),
        _ => answer.get("data").map(Json::to_text).unwrap_or_default(),
    }
}

/// As [`ask`], of what has to succeed.
fn done(rig: &mut Rig, conn: ConnId, request: &str) -> String {
    rig.received(conn);
    let got = ask(rig, conn, request);
    assert!(got.starts_with(['{', '[']), "{request}: {got}");
    got
}

/// A server with the bucket, and who looks at it.
fn rig_with(most: usize) -> (Rig, ConnId) {
    let mut rig = Rig::new(options(most));
    let conn = rig.connect();
    done(&mut rig, conn, BUCKET);
    (rig, conn)
}

fn open(rig: &mut Rig, conn: ConnId, name: &str) {
    done(rig, conn, &format!(r#""type":"session.open","session":"{name:-<22}""#));
}

fn insert(rig: &mut Rig, conn: ConnId, key: &str) {
    let request = format!(r#""type":"store.insert","bucket":"here","data":{{"id":"{key}"}}"#);
    done(rig, conn, &request);
}

fn leave(rig: &mut Rig, conn: ConnId) {
    rig.engine.closed(conn, rig.now);
    rig.drain();
}

/// The keys that are there, in order.
fn keys(rig: &Rig) -> Vec<String> {
    let bucket = rig.engine.store.bucket_named("here").expect("the bucket");
    let mut keys: Vec<String> =
        bucket.iter().map(|(_, row)| bucket.key_of(row).to_string()).collect();
    keys.sort();
    keys
}

/// To the time at which the step of `from` begins that is `steps` behind it.
fn advance_to(rig: &mut Rig, at: u64) {
    rig.advance(at - rig.now.mono);
}

#[test]
fn definitions_are_checked_and_shown() {
    let mut rig = Rig::new(options(100));
    let conn = rig.connect();
    for (members, reason) in [
        (r#""lifetime":"session""#, r#""lifetime" must be "connection""#),
        (r#""lifetime":true"#, r#""lifetime" must be "connection""#),
        (
            r#""lifetime":"connection","graceMs":600001"#,
            r#""graceMs" must be an integer from 0 to 600000"#,
        ),
        (
            r#""lifetime":"connection","graceMs":1.5"#,
            r#""graceMs" must be an integer from 0 to 600000"#,
        ),
        (
            r#""lifetime":"connection","graceMs":-1"#,
            r#""graceMs" must be an integer from 0 to 600000"#,
        ),
        (r#""graceMs":"x""#, r#""graceMs" must be an integer from 0 to 600000"#),
        (r#""graceMs":5"#, r#""graceMs" needs "lifetime""#),
        (
            r#""lifetime":"connection","persistent":true"#,
            r#""lifetime" excludes "persistent": true"#,
        ),
    ] {
        let request = format!(
            r#""type":"store.defineBucket","name":"b","config":{{"key":"id","schema":{{"id":{{"type":"string"}}}},{members}}}"#
        );
        let expected = format!("VALIDATION_ERROR Invalid schema for bucket \"b\": {reason}");
        assert_eq!(ask(&mut rig, conn, &request), expected, "{members}");
    }
    done(&mut rig, conn, BUCKET);
    let update = r#""type":"store.updateBucket","name":"here","updates":{"graceMs":7,"lifetime":null,"addFields":{"x":{"type":"string"}}}"#;
    done(&mut rig, conn, update);
    let bucket = rig.engine.store.bucket_named("here").expect("the bucket");
    let lifetime = bucket.definition().lifetime.map(|lifetime| lifetime.grace_ms);
    assert_eq!(lifetime, Some(1_000), "an update does not change it");
}

#[test]
fn without_a_session_records_go_with_the_connection() {
    let (mut rig, _) = rig_with(100);
    let [a, b] = [rig.connect(), rig.connect()];
    insert(&mut rig, a, "a");
    insert(&mut rig, b, "b");
    leave(&mut rig, a);
    rig.advance(100);
    assert_eq!(keys(&rig), ["b"]);
    leave(&mut rig, b);
    rig.advance(100);
    assert!(keys(&rig).is_empty());
}

#[test]
fn grace_is_hit_and_missed_by_one_step() {
    for (back_after, is_in_time) in [(999, true), (1_099, true), (1_100, false)] {
        let (mut rig, _) = rig_with(100);
        let a = rig.connect();
        open(&mut rig, a, "a");
        insert(&mut rig, a, "a");
        // From the beginning of a step.
        let at = rig.now.mono.next_multiple_of(100);
        advance_to(&mut rig, at);
        leave(&mut rig, a);
        advance_to(&mut rig, at + back_after);
        let again = rig.connect();
        open(&mut rig, again, "a");
        rig.advance(5_000);
        assert_eq!(keys(&rig).len(), usize::from(is_in_time), "{back_after}");
    }
}

#[test]
fn a_takeover_shows_nothing_and_takes_the_records_along() {
    let (mut rig, watch) = rig_with(100);
    let live = r#""type":"store.live","bucket":"here""#;
    let a = rig.connect();
    insert(&mut rig, a, "before");
    open(&mut rig, a, "a");
    insert(&mut rig, a, "a");
    done(&mut rig, watch, live);
    rig.received(watch);
    let b = rig.connect();
    insert(&mut rig, b, "own");
    rig.advance(500);
    rig.received(watch);
    open(&mut rig, b, "a");
    assert_eq!(rig.is_closed(a), Some((4004, "session_replaced")));
    rig.advance(20_000);
    assert!(rig.received(watch).is_empty(), "nobody notices");
    assert_eq!(keys(&rig), ["a", "before", "own"]);
    // They are of one owner now.
    assert_eq!(done(&mut rig, b, r#""type":"store.clear","bucket":"here""#), r#"{"cleared":true}"#);
}

#[test]
fn session_close_takes_records_in_its_commit() {
    let (mut rig, _) = rig_with(100);
    let a = rig.connect();
    open(&mut rig, a, "a");
    insert(&mut rig, a, "a");
    let commits = rig.engine.metrics.commits;
    done(&mut rig, a, r#""type":"session.close""#);
    assert_eq!(rig.engine.metrics.commits, commits + 1);
    assert!(keys(&rig).is_empty());
}

#[test]
fn a_thousand_owners_that_are_lost_in_one_step_are_one_commit() {
    let (mut rig, watch) = rig_with(100);
    let conns: Vec<ConnId> = (0..1_000).map(|_| rig.connect()).collect();
    for (n, conn) in conns.iter().enumerate() {
        if n % 2 == 0 {
            let name = format!("s{n}");
            let text = format!(r#"{{"id":1,"type":"session.open","session":"{name:-<22}"}}"#);
            rig.engine.message(*conn, &text, rig.now);
        }
        let text =
            format!(r#"{{"id":1,"type":"store.insert","bucket":"here","data":{{"id":"k{n}"}}}}"#);
        rig.engine.message(*conn, &text, rig.now);
    }
    rig.drain();
    done(&mut rig, watch, r#""type":"store.live","bucket":"here","mode":"delta""#);
    rig.advance(5_000);
    let at = rig.now.mono.next_multiple_of(100);
    advance_to(&mut rig, at);
    rig.received(watch);
    let commits = rig.engine.metrics.commits;
    for (n, conn) in conns.iter().enumerate() {
        if n == 500 {
            rig.advance(99);
        }
        rig.engine.closed(*conn, rig.now);
    }
    advance_to(&mut rig, at + 100);
    assert_eq!((keys(&rig).len(), rig.engine.metrics.commits), (500, commits + 1));
    // With a session they have their grace.
    advance_to(&mut rig, at + 1_100);
    assert_eq!((keys(&rig).len(), rig.engine.metrics.commits), (0, commits + 2));
    assert_eq!(rig.received(watch).len(), 2, "one push per commit");
}

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
fn clearing_is_not_work_in_proportion_to_the_records() {
    let most = 100_000;
    let (mut rig, admin) = rig_with(most);
    // What holds is looked at when all is there.
    let fill = |rig: &mut Rig, conn: ConnId, name: &str, count: usize| {
        for from in (0..count).step_by(5_000) {
            let data: Vec<String> =
                (from..from + 5_000).map(|n| format!(r#"{{"id":"{name}{n}"}}"#)).collect();
            let data = data.join(",");
            let request =
                format!(r#"{{"id":1,"type":"store.insertMany","bucket":"here","data":[{data}]}}"#);
            rig.engine.message(conn, &request, rig.now);
        }
        rig.drain();
        assert_eq!(rig.engine.store.presence().1, count);
    };
    let a = rig.connect();
    open(&mut rig, a, "a");
    fill(&mut rig, a, "x", 45_000);
    done(&mut rig, a, r#""type":"store.clear","bucket":"here""#);
    assert_eq!(rig.engine.store.presence().1, 0, "nothing counts as owned any more");
    assert!(rig.engine.store.has_remains(), "and most of it is still to be forgotten");
    // What comes now is of the new life, whatever is left of the old one.
    insert(&mut rig, a, "new");
    let b = rig.connect();
    insert(&mut rig, b, "b");
    rig.engine.check_invariants();
    assert_eq!(rig.engine.store.presence(), (2, 2));
    let mut turns = 0;
    while rig.engine.store.has_remains() {
        rig.advance(1);
        turns += 1;
        assert!(turns < 100, "it comes to an end");
    }
    assert!(turns > 2, "{turns} turns");
    rig.engine.check_invariants();
    assert_eq!(keys(&rig), ["b", "new"]);
    // An owner that ends while most of its old entries are there.
    leave(&mut rig, b);
    rig.advance(100);
    done(&mut rig, a, r#""type":"store.clear","bucket":"here""#);
    fill(&mut rig, a, "y", 25_000);
    done(&mut rig, admin, r#""type":"store.dropBucket","name":"here""#);
    done(&mut rig, admin, BUCKET);
    insert(&mut rig, a, "last");
    leave(&mut rig, a);
    rig.advance(2_000);
    assert!(keys(&rig).is_empty());
    rig.advance(100);
    assert_eq!(rig.engine.store.presence(), (0, 0));
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

/// A client that comes and goes, as the model has it.
#[derive(Default)]
struct Peer {
    conn: Option<ConnId>,
    has_session: bool,
    /// When its records go, if it does not come back.
    due: Option<u64>,
    keys: Vec<String>,
}

/// Random lives of owners: the records that are there are those of the model.
fn random_lives(seed: u64) {
    let (mut rig, _) = rig_with(1_000);
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut below = |bound: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % bound
    };
    let mut peers: Vec<Peer> = (0..5).map(|_| Peer::default()).collect();
    for step in 0..60 {
        let at = below(5) as usize;
        let now = rig.now.mono;
        let peer = &mut peers[at];
        match (below(6), peer.conn) {
            (0, Some(conn)) => {
                leave(&mut rig, conn);
                let grace = if peer.has_session { 1_000 } else { 0 };
                peer.due = Some((now + grace) / 100 * 100 + 100);
                peer.conn = None;
            }
            (1, Some(conn)) if peer.has_session => {
                done(&mut rig, conn, r#""type":"session.close""#);
                (peer.has_session, peer.keys) = (false, Vec::new());
            }
            (2, Some(conn)) if !peer.has_session => {
                open(&mut rig, conn, &format!("p{at}"));
                peer.has_session = true;
            }
            (3, Some(conn)) if peer.has_session => {
                // It is there twice for a moment.
                let again = rig.connect();
                open(&mut rig, again, &format!("p{at}"));
                assert_eq!(rig.is_closed(conn), Some((4004, "session_replaced")));
                peer.conn = Some(again);
            }
            (_, Some(conn)) => {
                let key = format!("{at}-{step}");
                insert(&mut rig, conn, &key);
                peer.keys.push(key);
            }
            // What it left is still there, and no longer its own.
            (_, None) if !peer.has_session && peer.due.is_some() => {}
            (_, None) => {
                let conn = rig.connect();
                peer.conn = Some(conn);
                if peer.has_session {
                    open(&mut rig, conn, &format!("p{at}"));
                    peer.due = None;
                }
            }
        }
        rig.advance(below(400));
        let now = rig.now.mono;
        for peer in &mut peers {
            if peer.due.is_some_and(|due| due <= now) {
                (peer.due, peer.keys) = (None, Vec::new());
            }
        }
        let mut expected: Vec<String> = peers.iter().flat_map(|it| it.keys.clone()).collect();
        expected.sort();
        assert_eq!(keys(&rig), expected, "seed {seed}, step {step}");
    }
}

#[test]
fn random_owners_have_the_records_of_the_model() {
    (1..=120).for_each(random_lives);
}
