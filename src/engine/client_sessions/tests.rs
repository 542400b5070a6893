//! Sessions over the engine: what opens, takes over, leaves and ends them, and
//! random lives beside a naive model.

use super::life::FORGOTTEN_PER_TURN;
use super::table;
use crate::app::ConnId;
use crate::config::Continuity;
use crate::engine::EngineOptions;
use crate::engine::tests::{Rig, external_rig, rig_with};
use crate::json::Json;

const KEEP_MS: u64 = 10_000;

pub(super) fn limits() -> Continuity {
    Continuity { keep_ms: KEEP_MS, ..Continuity::default() }
}

fn options(continuity: Continuity) -> EngineOptions {
    EngineOptions {
        heartbeat_interval_ms: 0,
        continuity: Some(continuity),
        ..EngineOptions::default()
    }
}

fn rig() -> Rig {
    Rig::new(options(limits()))
}

/// The id of the session that tests call so.
pub(super) fn id(name: &str) -> String {
    format!("{name:-<22}")
}

/// `CODE message` of an error, else the named members of the answer's `data`.
pub(super) fn ask(rig: &mut Rig, conn: ConnId, request: &str, members: &[&str]) -> String {
    let answer = rig.call(conn, &format!("{{\"id\":1,{request}}}"));
    let text = |name: &str| answer.get(name).and_then(Json::as_str).unwrap_or_default();
    if text("type") == "error" {
        return format!("{} {}", text("code"), text("message"));
    }
    let data = answer.get("data").expect("an answer has data");
    let shown = members.iter().map(|name| data.get(name).map_or("-".into(), Json::to_text));
    shown.collect::<Vec<_>>().join(" ")
}

pub(super) fn open(rig: &mut Rig, conn: ConnId, name: &str, rest: &str) -> String {
    let request = format!("\"type\":\"session.open\",\"session\":\"{}\"{rest}", id(name));
    ask(rig, conn, &request, &["session", "replaced"])
}

fn close(rig: &mut Rig, conn: ConnId) -> String {
    ask(rig, conn, "\"type\":\"session.close\"", &["closed"])
}

fn login(rig: &mut Rig, conn: ConnId, token: &str) {
    let request = format!("\"type\":\"auth.login\",\"token\":\"{token}\"");
    assert!(!ask(rig, conn, &request, &["userId"]).contains("UNAUTHORIZED"));
}

fn leave(rig: &mut Rig, conn: ConnId) {
    use crate::app::App as _;
    rig.engine.closed(conn, rig.now);
    rig.drain();
}

#[test]
fn the_answer_says_what_a_client_has_to_know() {
    let mut rig = rig();
    let conn = rig.connect();
    let answer = rig.call(conn, r#"{"id":1,"type":"session.open"}"#).to_text();
    let epoch = rig.engine.epoch();
    assert_eq!(
        answer,
        format!(
            r#"{{"id":1,"type":"result","data":{{"epoch":"{epoch}","commit":0,"session":null,"replaced":false,"keepMs":10000,"window":64,"heartbeatMs":0,"maxPayloadBytes":1048576,"features":["resume","many","window","once","presence"]}}}}"#
        )
    );
    assert!(!epoch.bytes().all(|digit| digit == b'0'), "an epoch is random: {epoch}");
}

#[test]
fn fields_are_checked_in_their_order() {
    let mut rig = rig();
    let conn = rig.connect();
    let session =
        "Invalid \"session\": expected 22 to 64 characters of A-Z, a-z, 0-9, \"-\" and \"_\"";
    let long = "x".repeat(65);
    let [short, good] = ["x".repeat(21), "x".repeat(22)];
    for (fields, expected) in [
        (r#""session":7"#.to_owned(), session.to_owned()),
        (format!(r#""session":"{short}""#), session.to_owned()),
        (format!(r#""session":"{long}","commits":1"#), session.to_owned()),
        (format!(r#""session":"{good}!","commits":1"#), session.to_owned()),
        (r#""commits":1,"events":1"#.into(), r#"Invalid "commits": expected boolean"#.into()),
        (r#""events":"x","once":1"#.into(), r#"Invalid "events": expected boolean"#.into()),
        (r#""once":1,"resume":1"#.into(), r#"Invalid "once": expected boolean"#.into()),
        (r#""once":true,"resume":1"#.into(), r#"Invalid "resume": expected boolean"#.into()),
        (r#""once":true,"resume":true"#.into(), r#""once" needs "session""#.into()),
        (r#""resume":true"#.into(), r#""resume" needs "session""#.into()),
    ] {
        let request = format!("\"type\":\"session.open\",{fields}");
        let got = ask(&mut rig, conn, &request, &[]);
        assert_eq!(got, format!("VALIDATION_ERROR {expected}"), "{fields}");
    }
    assert_eq!(open(&mut rig, conn, "a", ",\"resume\":true"), "NOT_FOUND Session not found");
    assert!(!rig.engine.has_opted_in(conn), "nothing was opened");
    assert_eq!(open(&mut rig, conn, "a", ""), "\"new\" false");
    assert_eq!(
        open(&mut rig, conn, "b", ",\"resume\":true"),
        "CONFLICT A session is bound to this connection already"
    );
}

#[test]
fn options_are_replaced_while_no_session_is_bound() {
    let mut rig = rig();
    let conn = rig.connect();
    let opted_in = |rig: &Rig| rig.engine.conns.get(conn).and_then(|conn| conn.opted_in);
    ask(&mut rig, conn, r#""type":"session.open","commits":true"#, &[]);
    assert_eq!(opted_in(&rig).map(|it| (it.commits, it.events)), Some((true, false)));
    assert_eq!(open(&mut rig, conn, "a", ",\"events\":true"), "\"new\" false");
    assert_eq!(opted_in(&rig).map(|it| (it.commits, it.events)), Some((false, true)));
    assert_eq!(close(&mut rig, conn), "true");
    assert_eq!(opted_in(&rig).map(|it| (it.commits, it.events)), Some((false, true)));
    assert_eq!(close(&mut rig, conn), "false");
    assert_eq!(open(&mut rig, conn, "a", ""), "\"new\" false", "it was forgotten");
}

#[test]
fn off_is_off() {
    let mut rig = Rig::new(EngineOptions { continuity: None, ..EngineOptions::default() });
    let conn = rig.connect();
    for operation in ["session.open", "session.close", "session.nothing"] {
        let got = ask(&mut rig, conn, &format!("\"type\":\"{operation}\""), &[]);
        assert_eq!(got, "UNKNOWN_OPERATION Sessions are not configured");
    }
    let mut rig = self::rig();
    let conn = rig.connect();
    let got = ask(&mut rig, conn, "\"type\":\"session.nothing\"", &[]);
    assert_eq!(got, "UNKNOWN_OPERATION Unknown session operation \"session.nothing\"");
}

#[test]
fn a_session_is_taken_over_and_the_old_connection_closed_before_the_answer() {
    let mut rig = rig();
    let [old, new] = [rig.connect(), rig.connect()];
    assert_eq!(open(&mut rig, old, "a", ""), "\"new\" false");
    assert_eq!(open(&mut rig, new, "a", ",\"resume\":true"), "\"known\" true");
    assert_eq!(rig.is_closed(old), Some((4004, "session_replaced")));
    assert_eq!(rig.engine.connection_count(), 1);
    assert_eq!(rig.engine.client_sessions.takeovers, 1);
    // What the old one sent and nobody read is not executed.
    rig.send(old, r#"{"id":9,"type":"session.close"}"#);
    assert_eq!(close(&mut rig, new), "true");
}

#[test]
fn a_connection_that_waits_for_a_job_is_taken_over_without_effect() {
    let mut rig = rig();
    let [old, new] = [rig.connect(), rig.connect()];
    open(&mut rig, old, "a", "");
    rig.send(old, r#"{"id":2,"type":"test.job"}"#);
    rig.received(old);
    assert_eq!(open(&mut rig, new, "a", ""), "\"known\" true");
    rig.run_jobs();
    assert_eq!(rig.received(old), [], "nobody waits for it");
}

#[test]
fn a_session_without_connection_is_kept_for_a_while() {
    let mut rig = rig();
    let conn = rig.connect();
    open(&mut rig, conn, "a", "");
    leave(&mut rig, conn);
    rig.advance(KEEP_MS - 1);
    let conn = rig.connect();
    assert_eq!(open(&mut rig, conn, "a", ",\"resume\":true"), "\"known\" false");
    rig.advance(10 * KEEP_MS);
    leave(&mut rig, conn);
    rig.advance(KEEP_MS);
    let conn = rig.connect();
    assert_eq!(open(&mut rig, conn, "a", ",\"resume\":true"), "NOT_FOUND Session not found");
}

#[test]
fn at_a_limit_the_one_that_was_left_longest_ago_goes() {
    let mut rig =
        Rig::new(options(Continuity { max_sessions: 3, max_sessions_per_user: 2, ..limits() }));
    let conns: Vec<_> = (0..2).map(|_| rig.connect()).collect();
    for (conn, name) in conns.iter().zip(["a", "b"]) {
        open(&mut rig, *conn, name, "");
    }
    let third = rig.connect();
    let refused = "RATE_LIMITED Session limit reached (max 2 per user)";
    assert_eq!(open(&mut rig, third, "c", ""), refused, "both have connections");
    leave(&mut rig, conns[1]);
    leave(&mut rig, conns[0]);
    assert_eq!(open(&mut rig, third, "c", ""), "\"new\" false");
    let again = rig.connect();
    assert_eq!(open(&mut rig, again, "b", ",\"resume\":true"), "NOT_FOUND Session not found");
    assert_eq!(open(&mut rig, again, "a", ",\"resume\":true"), "\"known\" false");
    // Another address has its own two, within the three of all.
    let other = rig.connect_from([10, 0, 0, 1]);
    assert_eq!(open(&mut rig, other, "d", ""), "\"new\" false");
    let other = rig.connect_from([10, 0, 0, 1]);
    let refused = "RATE_LIMITED Session limit reached (max 3)";
    assert_eq!(open(&mut rig, other, "e", ""), refused);
    leave(&mut rig, again);
    assert_eq!(open(&mut rig, other, "e", ""), "\"new\" false");
}

#[test]
fn of_many_that_are_due_at_once_some_are_forgotten_in_each_turn() {
    use crate::app::App as _;
    const ALL: usize = 3 * FORGOTTEN_PER_TURN + 5;
    let mut rig = rig();
    for at in 0..ALL {
        let conn = rig.connect();
        open(&mut rig, conn, &format!("s{at}"), "");
        leave(&mut rig, conn);
    }
    let kept = |rig: &Rig| rig.engine.client_sessions.bytes() / table::SESSION_BYTES;
    assert_eq!(kept(&rig), ALL as u64);
    (rig.now.mono, rig.now.wall) = (rig.now.mono + KEEP_MS + 1, rig.now.wall + KEEP_MS + 1);
    for left in [ALL - FORGOTTEN_PER_TURN, ALL - 2 * FORGOTTEN_PER_TURN, 5, 0] {
        let view = rig.view();
        rig.engine.timers(rig.now, &view);
        assert_eq!(kept(&rig), left as u64);
        let next = rig.engine.next_deadline();
        assert!(left == 0 || next.is_some_and(|at| at <= rig.now.mono + 1), "{next:?}");
        rig.now.mono += 1;
    }
}

#[test]
fn a_session_belongs_to_its_user() {
    let mut rig = external_rig(options(limits()));
    let [ann, bob, nobody] = [rig.connect(), rig.connect(), rig.connect()];
    login(&mut rig, ann, "t-ann");
    login(&mut rig, bob, "t-bob");
    assert_eq!(open(&mut rig, ann, "a", ""), "\"new\" false");
    for other in [bob, nobody] {
        let got = open(&mut rig, other, "a", ",\"resume\":true");
        assert_eq!(got, "NOT_FOUND Session not found", "the id of somebody else is unknown");
        assert_eq!(open(&mut rig, other, "a", ""), "\"new\" false");
    }
    assert_eq!(rig.is_closed(ann), None);
    assert_eq!(rig.engine.client_sessions.len(), 3);
}

#[test]
fn logins_and_logouts() {
    let mut rig = external_rig(options(limits()));
    let conn = rig.connect();
    // Of nobody; the first login is as another user.
    open(&mut rig, conn, "a", "");
    ask(&mut rig, conn, r#""type":"auth.logout""#, &[]);
    assert!(rig.engine.client_session(conn).is_some(), "nobody stays nobody");
    login(&mut rig, conn, "t-ann");
    assert_eq!((rig.engine.client_session(conn), rig.engine.client_sessions.kept()), (None, 1));
    open(&mut rig, conn, "b", "");
    login(&mut rig, conn, "t-ann");
    assert!(rig.engine.client_session(conn).is_some(), "the same user");
    login(&mut rig, conn, "t-bob");
    assert_eq!(rig.engine.client_session(conn), None);
    login(&mut rig, conn, "t-ann");
    assert_eq!(open(&mut rig, conn, "b", ",\"resume\":true"), "\"known\" false", "it was kept");
    ask(&mut rig, conn, r#""type":"auth.logout""#, &[]);
    assert_eq!((rig.engine.client_session(conn), rig.engine.client_sessions.kept()), (None, 2));
    assert!(rig.engine.has_opted_in(conn), "that is the connection's");
}

#[test]
fn a_login_that_expires_leaves_the_session_bound() {
    let mut rig = external_rig(options(limits()));
    let conn = rig.connect();
    login(&mut rig, conn, "t-short");
    open(&mut rig, conn, "a", "");
    rig.advance(2000);
    ask(&mut rig, conn, r#""type":"store.buckets""#, &[]);
    assert!(rig.engine.client_session(conn).is_some());
    login(&mut rig, conn, "t-bob");
    assert_eq!(rig.engine.client_session(conn), None, "another user");
}

#[test]
fn revoking_a_user_forgets_all_of_his_sessions() {
    let mut rig = external_rig(options(limits()));
    let [one, two, other] = [rig.connect(), rig.connect(), rig.connect()];
    for (conn, token) in [(one, "t-ann"), (two, "t-ann"), (other, "t-bob")] {
        login(&mut rig, conn, token);
    }
    open(&mut rig, one, "a", "");
    open(&mut rig, two, "b", "");
    open(&mut rig, other, "c", "");
    leave(&mut rig, one);
    rig.engine.administer(rig.now, |engine| engine.revoke_session("ann"));
    rig.drain();
    assert_eq!(rig.is_closed(two), Some((4002, "session_revoked")));
    assert_eq!((rig.engine.client_sessions.len(), rig.engine.client_sessions.kept()), (1, 0));
}

#[test]
fn first_pushes_follow_at_once_and_no_ping_is_sent() {
    let mut rig = rig();
    let [conn, writer] = [rig.connect(), rig.connect()];
    rig.mute(conn, true);
    ask(
        &mut rig,
        writer,
        r#""type":"store.defineBucket","name":"b","config":{"key":"id","schema":{"id":{"type":"number"}}}"#,
        &[],
    );
    ask(
        &mut rig,
        writer,
        r#""type":"store.defineQuery","name":"q","config":{"bucket":"b","count":true}"#,
        &[],
    );
    rig.stall(conn, true);
    rig.send(conn, r#"{"id":1,"type":"session.open"}"#);
    rig.send(conn, r#"{"id":2,"type":"store.subscribe","query":"q"}"#);
    ask(&mut rig, writer, r#""type":"store.insert","bucket":"b","data":{"id":1}"#, &[]);
    rig.take_output(conn, 100);
    let types: Vec<_> = rig
        .received(conn)
        .iter()
        .map(|message| message.get("type").and_then(Json::as_str).unwrap_or_default().to_owned())
        .collect();
    assert_eq!(types, ["welcome", "result", "result", "push"]);
    assert_eq!(rig.buffered(conn), 0, "no ping behind them");
}

mod crash;
mod model;
mod once;
mod sheets;
