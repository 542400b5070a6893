//! Presence over the engine: who owns what, who may write it, and when it goes.

mod lives;
mod rights;

use crate::app::{App as _, ConnId};
use crate::config::Continuity;
use crate::engine::EngineOptions;
use crate::engine::tests::Rig;
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
