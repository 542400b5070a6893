//! Numbered requests: each executed at most once, answered alike.

use super::*;
use crate::protocol::Operation;

const BUCKET: &str = r#""type":"store.defineBucket","name":"b","config":{"key":"id","schema":{"id":{"type":"number","generated":"autoincrement"},"t":{"type":"string","required":true}}}"#;

/// A rig with a bucket and a connection whose requests may be numbered.
fn numbered(continuity: Continuity) -> (Rig, ConnId) {
    let mut rig = Rig::new(options(continuity));
    rig.engine.set_procedures(crate::procedures::Limits::default());
    let conn = rig.connect();
    ask(&mut rig, conn, BUCKET, &[]);
    assert_eq!(open(&mut rig, conn, "a", ",\"once\":true"), "\"new\" false");
    (rig, conn)
}

/// The whole answer, without the id of the message.
fn whole(rig: &mut Rig, conn: ConnId, request: &str) -> String {
    let answer = rig.call(conn, &format!("{{\"id\":7,{request}}}")).to_text();
    answer.strip_prefix("{\"id\":7,").expect("the id").to_owned()
}

fn insert(n: u64, text: &str) -> String {
    format!(r#""type":"store.insert","bucket":"b","data":{{"t":"{text}"}},"once":{n}"#)
}

fn records(rig: &Rig) -> usize {
    rig.engine.store.bucket_named("b").map_or(0, |bucket| bucket.iter().count())
}

#[test]
fn a_repetition_is_answered_and_not_executed() {
    let (mut rig, conn) = numbered(limits());
    let first = whole(&mut rig, conn, &insert(1, "x"));
    let again = whole(&mut rig, conn, &insert(1, "x"));
    assert_eq!(again, first.replace("\"result\",", "\"result\",\"repeated\":true,"));
    assert_eq!(records(&rig), 1);
    // On another connection, and with the members spelt in another order.
    leave(&mut rig, conn);
    let conn = rig.connect();
    open(&mut rig, conn, "a", ",\"once\":true,\"resume\":true");
    let spelt = r#""once":1,"data":{"t":"\u0078"},"bucket":"b","type":"store.insert""#;
    assert_eq!(whole(&mut rig, conn, spelt), again);
    assert_eq!(records(&rig), 1);
    let figures = rig.engine.client_sessions.once;
    assert_eq!((figures.executed, figures.repeated), (1, 2));
}

#[test]
fn a_repetition_says_the_commit_of_the_first_answer() {
    let (mut rig, conn) = numbered(limits());
    ask(&mut rig, conn, "\"type\":\"session.close\"", &[]);
    open(&mut rig, conn, "b", ",\"once\":true,\"commits\":true");
    let first = whole(&mut rig, conn, &insert(1, "x"));
    assert!(first.starts_with("\"type\":\"result\",\"commit\":"), "{first}");
    whole(&mut rig, conn, &insert(2, "y"));
    let again = whole(&mut rig, conn, &insert(1, "x"));
    assert_eq!(again, first.replace("\"result\",", "\"result\",\"repeated\":true,"));
}

#[test]
fn the_newest_number_is_told() {
    let (mut rig, conn) = numbered(limits());
    whole(&mut rig, conn, &insert(9, "x"));
    leave(&mut rig, conn);
    let conn = rig.connect();
    let request = format!("\"type\":\"session.open\",\"session\":\"{}\",\"once\":true", id("a"));
    assert_eq!(ask(&mut rig, conn, &request, &["session", "newest"]), "\"known\" 9");
}

#[test]
fn the_checks_in_their_order() {
    let (mut rig, conn) = numbered(limits());
    let plain = rig.connect();
    for n in ["0", "-1", "1.5", "\"1\"", "true", "{}", "9007199254740992", "1e999"] {
        let request = format!(r#""type":"store.all","bucket":"b","once":{n}"#);
        let got = ask(&mut rig, plain, &request, &[]);
        assert_eq!(got, "VALIDATION_ERROR Invalid \"once\": expected positive integer", "{n}");
    }
    let got = ask(&mut rig, plain, r#""type":"store.all","bucket":"b","once":1"#, &[]);
    assert_eq!(got, "VALIDATION_ERROR \"once\" is not possible with store.all");
    for name in ["session.sync", "session.close"] {
        let got = ask(&mut rig, conn, &format!(r#""type":"{name}","once":1"#), &[]);
        assert_eq!(got, format!("VALIDATION_ERROR \"once\" is not possible with {name}"));
    }
    let needs = "CONFLICT \"once\" needs a session opened with \"once\"";
    assert_eq!(ask(&mut rig, plain, &insert(1, "x"), &[]), needs);
    open(&mut rig, plain, "plain", "");
    assert_eq!(ask(&mut rig, plain, &insert(1, "x"), &[]), needs, "opened without");
    whole(&mut rig, conn, &insert(1, "x"));
    assert_eq!(ask(&mut rig, conn, &insert(1, "y"), &[]), "CONFLICT Request 1 was another one");
    whole(&mut rig, conn, &insert(65, "x"));
    let old = "CONFLICT Request 1 is too old to be repeated (newest 65)";
    assert_eq!(ask(&mut rig, conn, &insert(1, "x"), &[]), old);
    let details = rig.call(conn, &format!("{{\"id\":1,{}}}", insert(1, "x")));
    let details = details.get("details").expect("details").to_text();
    assert_eq!(details, r#"{"once":1,"newest":65}"#);
    assert_eq!(records(&rig), 2);
    ask(&mut rig, conn, "\"type\":\"session.close\"", &[]);
    assert_eq!(ask(&mut rig, conn, &insert(65, "x"), &[]), needs, "closed");
}

#[test]
fn null_is_no_number() {
    let (mut rig, conn) = numbered(limits());
    let request = r#""type":"store.insert","bucket":"b","data":{"t":"x"},"once":null"#;
    for _ in 0..2 {
        assert!(!whole(&mut rig, conn, request).contains("repeated"));
    }
    assert_eq!(records(&rig), 2);
}

#[test]
fn which_operations_take_a_number() {
    let takes = |name: &str| Operation::from_name(name).map(Operation::takes_once);
    let count = Operation::ALL.iter().filter(|operation| operation.takes_once()).count();
    assert_eq!(count, 52, "as in continuity.md 7");
    for operation in Operation::ALL {
        let name = operation.name();
        let is_definition = ["access.", "logic."].iter().any(|family| name.starts_with(family))
            && [".define", ".drop"].iter().any(|verb| name.contains(verb));
        assert!(!is_definition || operation.takes_once(), "{name}");
        assert!(!operation.takes_once() || operation.tier() != Some(crate::protocol::Tier::Read));
    }
    for name in ["auth.login", "identity.login", "identity.signup", "identity.refreshSession"] {
        assert_eq!(takes(name), Some(false), "{name} answers a secret");
    }
    for name in ["store.backup", "store.deleteBackup", "server.disconnect", "session.open"] {
        assert_eq!(takes(name), Some(false), "{name}");
    }
}

#[test]
fn an_error_that_did_nothing_is_decided_anew() {
    let (mut rig, conn) = numbered(limits());
    let update = r#""type":"store.update","bucket":"b","key":1,"data":{"t":"y"},"once":1"#;
    let missing = ask(&mut rig, conn, update, &[]);
    assert!(missing.starts_with("NOT_FOUND"), "{missing}");
    whole(&mut rig, conn, &insert(2, "x"));
    assert_eq!(ask(&mut rig, conn, update, &["t"]), "\"y\"");
    assert!(whole(&mut rig, conn, update).contains("\"repeated\":true"));
    // An insert that is refused uses up a number of the bucket's, which nobody
    // sees.
    let before = rig.engine.newest_commit();
    for operation in ["insert", "upsert"] {
        let wrong = format!(r#""type":"store.{operation}","bucket":"b","data":{{"t":1}},"once":3"#);
        for _ in 0..2 {
            let refused = whole(&mut rig, conn, &wrong);
            assert!(
                refused.starts_with("\"type\":\"error\",\"code\":\"VALIDATION_ERROR\""),
                "{refused}"
            );
        }
    }
    assert!(rig.engine.newest_commit() > before, "the counter moves");
    assert!(!whole(&mut rig, conn, &insert(3, "right")).contains("repeated"));
    assert!(whole(&mut rig, conn, &insert(3, "right")).contains("\"repeated\":true"));
}

#[test]
fn success_that_changed_nothing_is_remembered() {
    let (mut rig, conn) = numbered(limits());
    let delete = r#""type":"store.delete","bucket":"b","key":5,"once":1"#;
    let first = whole(&mut rig, conn, delete);
    assert!(whole(&mut rig, conn, delete).contains("\"repeated\":true"), "{first}");
}

#[test]
fn a_failure_behind_committed_steps_is_remembered() {
    let (mut rig, conn) = numbered(limits());
    let steps = r#"[{"action":"store.insert","bucket":"b","data":{"t":"one"}},{"action":"store.update","bucket":"b","key":99,"data":{"t":"two"}}]"#;
    let register = format!(
        r#""type":"procedures.register","procedure":{{"name":"p","transaction":false,"steps":{steps}}}"#
    );
    whole(&mut rig, conn, &register);
    let call = r#""type":"procedures.call","name":"p","once":1"#;
    let first = whole(&mut rig, conn, call);
    assert!(first.starts_with("\"type\":\"error\",\"code\":\"NOT_FOUND\""), "{first}");
    let again = whole(&mut rig, conn, call);
    assert_eq!(again, first.replace("\"error\",", "\"error\",\"repeated\":true,"));
    assert_eq!(records(&rig), 1);
}

#[test]
fn a_panic_before_a_commit_leaves_nothing_and_one_behind_it_is_remembered() {
    for place in ["before", "behind"] {
        let (mut rig, conn) = numbered(limits());
        let request = format!(r#"{},"testPanic":"{place}""#, insert(1, "x"));
        rig.received(conn);
        rig.send(conn, &format!("{{\"id\":7,{request}}}"));
        let first = rig.received(conn).remove(0).to_text();
        assert!(first.contains(r#""code":"INTERNAL_ERROR""#), "{first}");
        assert_eq!(rig.is_closed(conn), Some((1011, "internal_error")));
        let behind = place == "behind";
        assert_eq!(records(&rig), usize::from(behind), "{place}");
        let conn = rig.connect();
        let opened = open(&mut rig, conn, "a", ",\"once\":true,\"resume\":true");
        assert_eq!(opened, "\"known\" false");
        if behind {
            let again = rig.call(conn, &format!("{{\"id\":7,{request}}}")).to_text();
            assert_eq!(again, first.replace("\"error\",", "\"error\",\"repeated\":true,"));
            assert_eq!(rig.is_closed(conn), None, "it is told again, and did not happen again");
            assert_eq!(records(&rig), 1);
        } else {
            // The number is free, also for another request.
            assert!(!whole(&mut rig, conn, &insert(1, "x")).contains("repeated"));
        }
    }
}

/// With a bucket whose records are read by those who wrote them, and by moderators.
fn rig_with_rows() -> Rig {
    let mut rig = rig_with(
        r#"{"tokens":{"w":{"userId":"ann","roles":["writer"]},"m":{"userId":"ann","roles":["writer","mod"]}},"required":false}"#,
        options(limits()),
    );
    let conn = rig.connect();
    let bucket = BUCKET.replace(
        "\"key\":\"id\"",
        r#""key":"id","rows":{"set":{"t":"{{ session.userId }}"},"read":{"t":"{{ session.userId }}"},"bypass":["mod"]}"#,
    );
    ask(&mut rig, conn, &bucket, &[]);
    rig
}

#[test]
fn what_may_be_read_has_changed_when_the_session_is_resumed() {
    let mut rig = rig_with_rows();
    let begin = |rig: &mut Rig, token: &str, resume: &str| {
        let conn = rig.connect();
        login(rig, conn, token);
        open(rig, conn, "a", &format!(",\"once\":true{resume}"));
        conn
    };
    let moderator = begin(&mut rig, "m", "");
    let first = whole(&mut rig, moderator, &insert(1, "x"));
    assert!(first.contains("\"data\""), "{first}");
    leave(&mut rig, moderator);
    let writer = begin(&mut rig, "w", ",\"resume\":true");
    let again = whole(&mut rig, writer, &insert(1, "x"));
    assert_eq!(again, "\"type\":\"result\",\"repeated\":true}", "he may read less than then");
    leave(&mut rig, writer);
    let moderator = begin(&mut rig, "m", ",\"resume\":true");
    let again = whole(&mut rig, moderator, &insert(1, "x"));
    assert_eq!(again, first.replace("\"result\",", "\"result\",\"repeated\":true,"));
    assert_eq!(records(&rig), 1);
    assert_eq!(rig.engine.client_sessions.once.without_data, 1);
}

#[test]
fn an_answer_behind_a_job_says_what_was_committed_before_it() {
    let (mut rig, conn) = numbered(limits());
    ask(&mut rig, conn, "\"type\":\"session.close\"", &[]);
    open(&mut rig, conn, "b", ",\"commits\":true");
    for (bucket, says) in [(r#","bucket":"b""#, true), ("", false)] {
        rig.received(conn);
        rig.send(conn, &format!(r#"{{"id":3,"type":"test.job"{bucket}}}"#));
        let commit = rig.engine.newest_commit();
        // What others do meanwhile is not the request's.
        let other = rig.connect();
        ask(&mut rig, other, r#""type":"store.insert","bucket":"b","data":{"t":"o"}"#, &[]);
        rig.run_jobs();
        let answer = rig.received(conn).remove(0);
        let expected = says.then_some(Json::Number(commit as f64));
        assert_eq!(answer.get("commit"), expected.as_ref(), "{}", answer.to_text());
    }
}

#[test]
fn what_is_too_long_is_repeated_without_data() {
    let (mut rig, conn) = numbered(Continuity { max_answer_bytes: 200, ..limits() });
    for (n, length, kept) in [(1, 20, true), (2, 400, false)] {
        let request = insert(n, &"x".repeat(length));
        assert!(whole(&mut rig, conn, &request).contains("\"data\""));
        let again = whole(&mut rig, conn, &request);
        assert!(again.starts_with("\"type\":\"result\",\"repeated\":true"), "{again}");
        assert_eq!(again.contains("\"data\""), kept, "{again}");
    }
    assert_eq!((records(&rig), rig.engine.client_sessions.once.without_data), (2, 1));
}

#[test]
fn at_the_limit_of_memory_sessions_without_connection_go_first() {
    let most = 1 << 20;
    let (mut rig, old) =
        numbered(Continuity { max_bytes: most, max_answer_bytes: 1 << 20, ..limits() });
    let fill = |rig: &mut Rig, conn, n| whole(rig, conn, &insert(n, &"x".repeat(100_000)));
    (1..=9).for_each(|n| drop(fill(&mut rig, old, n)));
    leave(&mut rig, old);
    let conn = rig.connect();
    open(&mut rig, conn, "b", ",\"once\":true");
    (1..=4).for_each(|n| drop(fill(&mut rig, conn, n)));
    assert_eq!(rig.engine.client_sessions.len(), 1, "the other was forgotten");
    for n in 5..=60 {
        let room = most.saturating_sub(rig.engine.client_sessions.bytes());
        let length = room.saturating_sub(260).clamp(1, 100_000) as usize;
        whole(&mut rig, conn, &insert(n, &"x".repeat(length)));
    }
    assert_eq!(rig.engine.client_sessions.len(), 1);
    let bytes = rig.engine.client_sessions.bytes();
    assert!((most..most + 8192).contains(&bytes), "{bytes}: what goes beyond has a bound");
    assert!(!whole(&mut rig, conn, &insert(60, "x")).contains("\"data\""), "no room for that");
    assert!(fill(&mut rig, conn, 4).contains("\"data\""), "there was room for this");
    let third = rig.connect();
    let got = open(&mut rig, third, "c", ",\"once\":true");
    assert_eq!(got, "RATE_LIMITED Session limit reached (max 1048576 bytes)");
    assert_eq!(open(&mut rig, third, "c", ""), "\"new\" false", "one without numbers");
}

#[test]
fn another_user_has_other_numbers() {
    let mut rig = external_rig(options(limits()));
    let conn = rig.connect();
    ask(&mut rig, conn, BUCKET, &[]);
    login(&mut rig, conn, "t-bob");
    open(&mut rig, conn, "a", ",\"once\":true");
    whole(&mut rig, conn, &insert(1, "x"));
    ask(&mut rig, conn, r#""type":"auth.logout""#, &[]);
    let needs = "CONFLICT \"once\" needs a session opened with \"once\"";
    assert_eq!(ask(&mut rig, conn, &insert(1, "x"), &[]), needs);
    open(&mut rig, conn, "a", ",\"once\":true");
    assert!(!whole(&mut rig, conn, &insert(1, "x")).contains("repeated"), "nobody's own");
    login(&mut rig, conn, "t-bob");
    open(&mut rig, conn, "a", ",\"once\":true");
    assert!(whole(&mut rig, conn, &insert(1, "x")).contains("repeated"));
}

#[test]
fn rights_are_decided_anew() {
    let mut rig = external_rig(options(limits()));
    let conn = rig.connect();
    ask(&mut rig, conn, BUCKET, &[]);
    login(&mut rig, conn, "t-bob");
    open(&mut rig, conn, "a", ",\"once\":true");
    whole(&mut rig, conn, &insert(1, "x"));
    rig.engine.sessions.mode = {
        // The same user, who may only read from now on.
        let mut mode = std::mem::take(&mut rig.engine.sessions.mode);
        if let crate::engine::sessions::Mode::External(_) = &mut mode {
            let bound = rig.engine.conns.get_mut(conn).and_then(|conn| conn.session.as_mut());
            bound.expect("a login").session.roles = ["reader".into()].into();
        }
        mode
    };
    let got = ask(&mut rig, conn, &insert(1, "x"), &[]);
    assert!(got.starts_with("FORBIDDEN"), "{got}");
}

#[test]
fn a_job_whose_connection_is_taken_over_was_not_executed() {
    let (mut rig, old) = numbered(limits());
    // Nothing with a number is a job here but in the identity family; a session
    // taken over between request and job is what counts.
    rig.send(old, r#"{"id":3,"type":"test.job"}"#);
    let new = rig.connect();
    assert_eq!(open(&mut rig, new, "a", ",\"once\":true,\"resume\":true"), "\"known\" true");
    rig.run_jobs();
    assert!(!whole(&mut rig, new, &insert(1, "x")).contains("repeated"));
    assert_eq!(records(&rig), 1);
}
