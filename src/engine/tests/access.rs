//! External authentication over the engine: sessions, the gate, revocation.

use std::sync::Arc;

use super::*;
use crate::access::{Answer, External, Session, Ticket, TokenValidator, Verdict};
use crate::app::Flow;
use crate::audit::AuditLog;
use crate::config;
use crate::protocol::Tier;
use std::sync::mpsc;

fn settings(json: &str) -> config::External {
    let text = format!(r#"{{"auth":{json}}}"#);
    let mut options = config::Options::new();
    options.read_file(&text).expect("JSON");
    match options.resolve().expect("a configuration").config.auth {
        Some(config::Auth::External(external)) => external,
        other => panic!("external mode, not {other:?}"),
    }
}

pub(super) fn rig(json: &str) -> Rig {
    rig_with(json, EngineOptions { heartbeat_interval_ms: 0, ..EngineOptions::default() })
}

pub(crate) fn rig_with(json: &str, options: EngineOptions) -> Rig {
    let mut rig = Rig::new(options);
    let read = |_: &std::path::Path| Err(std::io::ErrorKind::NotFound.into());
    let external = External::new(&settings(json), &read).expect("good settings");
    rig.engine.set_external_auth(external, 60_000);
    rig
}

/// With the tokens of these tests, and more settings.
pub(crate) fn rig_of(rest: &str, options: EngineOptions) -> Rig {
    rig_with(&tokens(rest), options)
}

/// Logging in is optional; the tokens of these tests are known.
pub(crate) fn external_rig(options: EngineOptions) -> Rig {
    rig_with(&tokens(r#""required":false"#), options)
}

/// `CODE message` of an error, the JSON of anything else.
pub(super) fn answer(rig: &mut Rig, conn: ConnId, request: &str) -> String {
    outcome(&rig.call(conn, &format!(r#"{{"id":1,{request}}}"#)))
}

fn outcome(message: &Json) -> String {
    let text = |name: &str| message.get(name).and_then(Json::as_str).unwrap_or_default();
    match text("type") {
        "error" => format!("{} {}", text("code"), text("message")),
        _ => message.get("data").map(Json::to_text).unwrap_or_default(),
    }
}

const TOKENS: &str = r#"{"tokens":{
    "t-ann":{"userId":"ann","roles":["reader"]},
    "t-bob":{"userId":"bob","roles":["writer"]},
    "t-root":{"userId":"root","roles":["admin"]},
    "t-short":{"userId":"sam","roles":["admin"],"expiresAt":1800000001000},
    "t-old":{"userId":"old","roles":["admin"],"expiresAt":1799999999999}},"#;

pub(super) fn tokens(rest: &str) -> String {
    format!("{TOKENS}{rest}}}")
}

#[test]
fn the_order_of_the_gate() {
    let mut rig = rig(&tokens(
        r#""required":true,"permissions":{"default":"deny","rules":[{"role":"reader","allow":"store.*","buckets":["maps"]}]}"#,
    ));
    let conn = rig.connect();
    let welcome = rig.received(conn).remove(0);
    assert_eq!(welcome.get("requiresAuth"), Some(&Json::Bool(true)));
    for (request, expected) in [
        (r#""type":"store.all","bucket":"maps""#, "UNAUTHORIZED Authentication required"),
        (r#""type":"nonsense""#, "UNAUTHORIZED Authentication required"),
        (r#""type":"identity.whoami""#, "UNAUTHORIZED Authentication required"),
        (r#""type":"ping""#, "UNKNOWN_OPERATION Unknown operation \"ping\""),
        (r#""type":"identity.login""#, "UNKNOWN_OPERATION Identity management is not configured"),
        (r#""type":"auth.nothing""#, "UNKNOWN_OPERATION Unknown auth operation \"auth.nothing\""),
        (
            r#""type":"auth.login","token":"""#,
            "VALIDATION_ERROR Missing or invalid \"token\": expected non-empty string",
        ),
        (r#""type":"auth.login","token":"t-old""#, "UNAUTHORIZED Token has expired"),
        (r#""type":"auth.whoami""#, r#"{"authenticated":false}"#),
        (
            r#""type":"auth.login","token":"t-ann""#,
            r#"{"userId":"ann","roles":["reader"],"expiresAt":null}"#,
        ),
        (
            r#""type":"store.insert","bucket":"maps""#,
            "FORBIDDEN Role level insufficient for store.insert (requires write)",
        ),
        (
            r#""type":"store.all","bucket":"notes""#,
            "FORBIDDEN No permission for store.all on notes",
        ),
        (r#""type":"store.stats""#, "FORBIDDEN No permission for store.stats on *"),
        (r#""type":"constructor""#, "FORBIDDEN No permission for constructor on *"),
        (
            r#""type":"identity.createUser""#,
            "FORBIDDEN Role level insufficient for identity.createUser (requires admin)",
        ),
        (r#""type":"auth.login","token":"wrong""#, "UNAUTHORIZED Invalid token"),
        (
            r#""type":"auth.whoami""#,
            r#"{"authenticated":true,"userId":"ann","roles":["reader"],"expiresAt":null}"#,
        ),
        (r#""type":"auth.logout""#, r#"{"loggedOut":true}"#),
        (r#""type":"auth.logout""#, r#"{"loggedOut":true}"#),
        (r#""type":"server.stats""#, "UNAUTHORIZED Authentication required"),
    ] {
        assert_eq!(answer(&mut rig, conn, request), expected, "{request}");
    }
    answer(&mut rig, conn, r#""type":"auth.login","token":"t-ann""#);
    // One's own subscriptions need no permission.
    let own = answer(&mut rig, conn, r#""type":"store.unsubscribe","subscriptionId":"sub-9""#);
    assert!(!own.starts_with("FORBIDDEN"), "{own}");
}

#[test]
fn a_transaction_is_decided_bucket_by_bucket() {
    let rules = r#""permissions":{"default":"deny","rules":[{"role":"writer","allow":"store.*","buckets":["a","b"]},{"role":"reader","allow":"*"}]}"#;
    let mut rig = rig(&tokens(rules));
    let conn = rig.connect();
    answer(&mut rig, conn, r#""type":"auth.login","token":"t-bob""#);
    let denied = |on: &str| format!("FORBIDDEN No permission for store.transaction on {on}");
    for (request, on) in [
        (r#""bucket":"a","operations":[{"op":"insert","bucket":"c"}]"#, "c"),
        (
            r#""operations":[{"op":"insert","bucket":"a"},{"op":"get","bucket":"c"},{"op":"get","bucket":"d"}]"#,
            "c",
        ),
        (r#""operations":[{"op":"insert","bucket":"a"},null]"#, "*"),
        (r#""operations":[{"op":"insert","bucket":"a"},{"op":"insert"}]"#, "*"),
        (r#""operations":[{"op":"insert","bucket":["a"]}]"#, "*"),
        (r#""operations":[]"#, "*"),
        (r#""operations":{"bucket":"a"}"#, "*"),
        (r#""bucket":"a""#, "*"),
    ] {
        let request = format!(r#""type":"store.transaction",{request}"#);
        assert_eq!(answer(&mut rig, conn, &request), denied(on), "{request}");
    }
    let allowed = r#""type":"store.transaction","operations":[{"op":"insert","bucket":"a"},{"op":"get","bucket":"b"}]"#;
    assert!(!answer(&mut rig, conn, allowed).starts_with("FORBIDDEN"));
    // Reading only is still a transaction.
    answer(&mut rig, conn, r#""type":"auth.login","token":"t-ann""#);
    let reading = r#""type":"store.transaction","operations":[{"op":"get","bucket":"a"}]"#;
    assert_eq!(
        answer(&mut rig, conn, reading),
        "FORBIDDEN Role level insufficient for store.transaction (requires write)"
    );
}

#[test]
fn only_the_field_that_is_used_is_checked() {
    let rules = r#""permissions":{"default":"deny","rules":[{"role":"admin","allow":"*","buckets":["items"],"topics":["order.*"]}]}"#;
    let mut rig = rig(&tokens(rules));
    let conn = rig.connect();
    answer(&mut rig, conn, r#""type":"auth.login","token":"t-root""#);
    for (request, denied) in [
        (
            r#""type":"store.dropBucket","bucket":"items","name":"other""#,
            "store.dropBucket on other",
        ),
        (r#""type":"rules.getFact","topic":"order.x","key":"secret""#, "rules.getFact on secret"),
        (r#""type":"store.buckets","bucket":"items""#, "store.buckets on *"),
        (r#""type":"store.get","name":"items""#, "store.get on *"),
        (r#""type":"store.get","bucket":["items"]"#, "store.get on *"),
        (r#""type":"store.subscribe","bucket":"items","query":"q""#, "store.subscribe on q"),
    ] {
        assert_eq!(
            answer(&mut rig, conn, request),
            format!("FORBIDDEN No permission for {denied}"),
            "{request}"
        );
    }
}

#[test]
fn a_session_ends_with_its_time() {
    let mut rig = rig(&tokens(r#""required":true"#));
    let conn = rig.connect();
    let other = rig.connect();
    answer(&mut rig, conn, r#""type":"auth.login","token":"t-short""#);
    rig.advance(1000);
    assert!(answer(&mut rig, conn, r#""type":"server.connections""#).contains(r#""userId":"sam""#));
    rig.advance(1);
    assert!(rig.engine.conns.get(conn).expect("open").suspended, "by the timer");
    answer(&mut rig, other, r#""type":"auth.login","token":"t-root""#);
    let row = r#"{"connectionId":"conn-1","remoteAddress":"127.0.0.1","connectedAt":1800000000000,"authenticated":false,"userId":null,"roles":[]"#;
    assert!(answer(&mut rig, other, r#""type":"server.connections""#).contains(row));
    assert_eq!(answer(&mut rig, conn, r#""type":"server.stats""#), "UNAUTHORIZED Session expired");
    let required = "UNAUTHORIZED Authentication required";
    assert_eq!(answer(&mut rig, conn, r#""type":"server.stats""#), required);
    answer(&mut rig, conn, r#""type":"auth.login","token":"t-root""#);
    assert!(!rig.engine.conns.get(conn).expect("open").suspended);
}

#[test]
fn without_login_in_optional_mode() {
    let mut open = rig(&tokens(r#""required":false"#));
    let conn = open.connect();
    let welcome = open.received(conn).remove(0);
    assert_eq!(welcome.get("requiresAuth"), Some(&Json::Bool(false)));
    assert!(answer(&mut open, conn, r#""type":"server.stats""#).starts_with('{'));
    answer(&mut open, conn, r#""type":"auth.login","token":"t-short""#);
    open.advance(2000);
    assert_eq!(answer(&mut open, conn, r#""type":"server.stats""#), "UNAUTHORIZED Session expired");
    assert!(answer(&mut open, conn, r#""type":"server.stats""#).starts_with('{'));

    let mut limited = rig(&tokens(r#""required":false,"anonymousRoles":["reader"]"#));
    let conn = limited.connect();
    assert_eq!(
        answer(&mut limited, conn, r#""type":"server.stats""#),
        "FORBIDDEN Role level insufficient for server.stats (requires admin)"
    );
    answer(&mut limited, conn, r#""type":"auth.login","token":"t-root""#);
    assert!(answer(&mut limited, conn, r#""type":"server.stats""#).starts_with('{'));
}

#[test]
fn revocation_ends_live_sessions_and_refuses_new_ones() {
    let mut rig = rig(&tokens(r#""required":true"#));
    let [ann, again, root] = [rig.connect(), rig.connect(), rig.connect()];
    for (conn, token) in [(ann, "t-ann"), (again, "t-ann"), (root, "t-root")] {
        answer(&mut rig, conn, &format!(r#""type":"auth.login","token":"{token}""#));
    }
    for (request, expected) in [
        ("", r#"VALIDATION_ERROR Missing "userId" or "role": expected at least one"#),
        (r#","userId":"""#, r#"VALIDATION_ERROR Invalid "userId": expected non-empty string"#),
        (
            r#","userId":"x","role":1"#,
            r#"VALIDATION_ERROR Invalid "role": expected non-empty string"#,
        ),
        (r#","userId":"nobody""#, r#"{"revoked":0}"#),
        (r#","userId":"ann","role":"writer""#, r#"{"revoked":0}"#),
        (r#","userId":"ann""#, r#"{"revoked":2}"#),
    ] {
        let request = format!(r#""type":"server.revokeSessions"{request}"#);
        assert_eq!(answer(&mut rig, root, &request), expected, "{request}");
    }
    for conn in [ann, again] {
        let told = rig.received(conn);
        assert_eq!(
            told.last().map(Json::to_text).as_deref(),
            Some(
                r#"{"type":"system","event":"session_revoked","reason":"Session revoked by administrator"}"#
            )
        );
        assert_eq!(rig.is_closed(conn), Some((4002, "session_revoked")));
    }
    let conn = rig.connect();
    rig.received(conn);
    answer(&mut rig, conn, r#""type":"auth.login","token":"t-bob""#);
    let revoked = "SESSION_REVOKED Session has been revoked";
    assert_eq!(answer(&mut rig, conn, r#""type":"auth.login","token":"t-ann""#), revoked);
    // The session it had stays.
    assert!(answer(&mut rig, conn, r#""type":"auth.whoami""#).contains(r#""userId":"bob""#));
    assert_eq!(
        answer(&mut rig, root, r#""type":"server.unrevoke","userId":"ann""#),
        r#"{"unrevoked":true}"#
    );
    assert_eq!(
        answer(&mut rig, root, r#""type":"server.unrevoke","userId":"ann""#),
        r#"{"unrevoked":false}"#
    );
    assert!(answer(&mut rig, conn, r#""type":"auth.login","token":"t-ann""#).contains("ann"));

    // The caller's own connection gets its response first.
    rig.received(root);
    rig.send(root, r#"{"id":7,"type":"server.revokeSessions","role":"admin"}"#);
    let got: Vec<String> = rig.received(root).iter().map(Json::to_text).collect();
    assert_eq!(got[0], r#"{"id":7,"type":"result","data":{"revoked":1}}"#);
    assert!(got[1].contains("session_revoked"));
    assert_eq!(rig.is_closed(root), Some((4002, "session_revoked")));
    assert_eq!(answer(&mut rig, conn, r#""type":"auth.login","token":"t-root""#), revoked);
    rig.advance(60_001);
    assert!(answer(&mut rig, conn, r#""type":"auth.login","token":"t-root""#).contains("root"));
    assert_eq!(rig.engine.sessions.revocations.iter().count(), 0);
}

#[test]
fn budgets_follow_the_user() {
    let options = EngineOptions {
        rate_limit: Some((3, 10_000)),
        heartbeat_interval_ms: 0,
        ..EngineOptions::default()
    };
    let mut rig = rig_with(&tokens(r#""required":true"#), options);
    let [one, two] = [rig.connect(), rig.connect()];
    let limited = |answer: &str| answer.starts_with("RATE_LIMITED");
    // Refused in the first step: costs nothing.
    for _ in 0..5 {
        assert!(!limited(&answer(&mut rig, one, r#""type":"server.stats""#)));
    }
    for conn in [one, two] {
        answer(&mut rig, conn, r#""type":"auth.login","token":"t-root""#);
    }
    for conn in [one, two, one] {
        assert!(!limited(&answer(&mut rig, conn, r#""type":"server.stats""#)));
    }
    assert!(limited(&answer(&mut rig, two, r#""type":"server.stats""#)));
    assert!(limited(&answer(&mut rig, two, r#""type":"auth.logout""#)));
    rig.advance(20_000);
    assert_eq!(rig.engine.limiter.as_ref().map(RateLimiter::keys), Some(0), "forgotten");
}

#[test]
fn wrong_tokens_are_counted_where_that_is_configured() {
    let mut rig = rig(&tokens(r#""loginRateLimit":{"maxAttempts":2,"windowMs":1000}"#));
    let conn = rig.connect();
    for _ in 0..2 {
        let wrong = answer(&mut rig, conn, r#""type":"auth.login","token":"x""#);
        assert_eq!(wrong, "UNAUTHORIZED Invalid token");
    }
    let refused = rig.call(conn, r#"{"id":1,"type":"auth.login","token":"t-ann"}"#);
    assert_eq!(outcome(&refused), "RATE_LIMITED Too many failed login attempts. Try again later.");
    let details = refused.get("details").map(Json::to_text);
    assert_eq!(details.as_deref(), Some(r#"{"retryAfterMs":1000}"#));
    // Another connection from the same address is the same attacker.
    let other = rig.connect();
    rig.received(other);
    assert!(answer(&mut rig, other, r#""type":"auth.login","token":"t-ann""#).starts_with("RATE"));
    rig.advance(2500);
    assert!(answer(&mut rig, conn, r#""type":"auth.login","token":"t-ann""#).contains("ann"));
}

/// Answers by the token: at once, later, or by misbehaving.
struct Judge(mpsc::Sender<Ticket>);

impl TokenValidator for Judge {
    fn validate(&mut self, token: &str, _now_ms: u64) -> Answer {
        match token {
            "later" => {
                let tickets = self.0.clone();
                Answer::Later(Box::new(move |ticket| {
                    tickets.send(ticket).expect("the test waits");
                }))
            }
            "dropped" => Answer::Later(Box::new(drop)),
            "panic" => panic!("the validator is broken"),
            "panic later" => Answer::Later(Box::new(|_| panic!("the validator is broken"))),
            "failed" => Answer::Now(Verdict::Failed),
            "expired" => Answer::Now(Verdict::Expired),
            "known" => Answer::Now(Verdict::Session(Session::new("eve", vec!["reader".into()]))),
            _ => Answer::Now(Verdict::Invalid),
        }
    }
}

#[test]
fn an_embedded_validator_may_answer_later() {
    let mut rig = rig(r#"{"tokens":{}}"#);
    let (tickets, given) = mpsc::channel();
    let (verdicts, delivered) = mpsc::channel();
    let deliver = Arc::new(move |job, verdict| {
        verdicts.send((job, verdict)).expect("the test waits");
    });
    rig.engine.set_token_validator(Box::new(Judge(tickets)), deliver);
    let deliver_one = |rig: &mut Rig| {
        let (job, verdict) = delivered.try_recv().expect("a verdict");
        rig.engine.token_validated(job, verdict, rig.now);
        rig.drain();
    };
    let conn = rig.connect();
    let login = |token: &str| format!(r#""type":"auth.login","token":"{token}""#);
    let internal = "INTERNAL_ERROR Internal server error";
    assert!(answer(&mut rig, conn, &login("known")).contains("eve"));
    assert_eq!(answer(&mut rig, conn, &login("expired")), "UNAUTHORIZED Token has expired");
    assert_eq!(answer(&mut rig, conn, &login("nobody")), "UNAUTHORIZED Invalid token");
    assert_eq!(answer(&mut rig, conn, &login("failed")), internal);
    assert_eq!(answer(&mut rig, conn, &login("panic")), internal);
    for dropped in ["dropped", "panic later"] {
        rig.send(conn, &format!(r#"{{"id":2,{}}}"#, login(dropped)));
        assert_eq!(rig.received(conn).len(), 0);
        deliver_one(&mut rig);
        assert_eq!(outcome(&rig.received(conn)[0]), internal);
    }
    // The session it had is untouched by all of that.
    assert!(answer(&mut rig, conn, r#""type":"auth.whoami""#).contains("eve"));

    let flow = rig.engine.message(conn, &format!(r#"{{"id":3,{}}}"#, login("later")), rig.now);
    assert_eq!(flow, Flow::Wait);
    // Others are served meanwhile.
    let other = rig.connect();
    rig.received(other);
    assert!(answer(&mut rig, other, r#""type":"auth.whoami""#).contains("false"));
    let ticket = given.try_recv().expect("a ticket");
    let session = Session::new("mallory", vec![]);
    std::thread::spawn(move || ticket.complete(Verdict::Session(session))).join().expect("done");
    rig.resumed.clear();
    deliver_one(&mut rig);
    assert_eq!(
        outcome(&rig.received(conn)[0]),
        r#"{"userId":"mallory","roles":[],"expiresAt":null}"#
    );
    assert_eq!(rig.resumed, [conn]);

    // A verdict for a connection that is gone finds nobody.
    rig.engine.message(other, &format!(r#"{{"id":3,{}}}"#, login("later")), rig.now);
    rig.engine.closed(other, rig.now);
    given.try_recv().expect("a ticket").complete(Verdict::Invalid);
    deliver_one(&mut rig);
    assert_eq!(rig.received(other).len(), 0);
}

#[test]
fn requests_are_recorded_with_what_became_of_them() {
    let mut rig = rig(&tokens(r#""required":true"#));
    rig.engine.set_audit(AuditLog::new(&config::Audit {
        tiers: vec![Tier::Admin],
        auth: true,
        ..config::Audit::default()
    }));
    let conn = rig.connect();
    answer(&mut rig, conn, r#""type":"server.stats""#);
    answer(&mut rig, conn, r#""type":"auth.login","token":"t-short""#);
    answer(&mut rig, conn, r#""type":"server.nothing""#);
    answer(&mut rig, conn, r#""type":"server.stats""#);
    rig.advance(2000);
    answer(&mut rig, conn, r#""type":"server.stats""#);
    answer(&mut rig, conn, r#""type":"auth.login","token":"t-root""#);
    let entries = answer(&mut rig, conn, r#""type":"audit.query""#);
    let entries = crate::json::parse(&entries, 16).expect("JSON").to_json();
    let lines: Vec<String> = entries
        .get("entries")
        .and_then(Json::as_array)
        .expect("entries")
        .iter()
        .rev()
        .map(|entry| {
            let text = |name: &str| entry.get(name).map(Json::to_text).unwrap_or_default();
            assert_eq!(text("sessionId"), "\"conn-1\"");
            assert_eq!(text("remoteAddress"), "\"127.0.0.1\"");
            format!("{} {} {} {}", text("operation"), text("userId"), text("result"), text("error"))
                .replace('"', "")
        })
        .collect();
    assert_eq!(
        lines,
        [
            "server.stats null error Authentication required",
            "auth.login sam success ",
            "server.stats sam success ",
            "session.expired null success ",
            "server.stats null error Session expired",
            "auth.login root success ",
        ]
    );
}

/// An optional login that ends at 1 s, subscribed to what only it may have.
fn subscribed_until_the_end(rig: &mut Rig) -> (ConnId, ConnId) {
    rig.engine.set_rules(RulesSetup::default()).expect("rules");
    let root = rig.connect();
    answer(rig, root, r#""type":"auth.login","token":"t-root""#);
    let conn = rig.connect();
    answer(rig, conn, r#""type":"auth.login","token":"t-short""#);
    let subscribed = answer(rig, conn, r#""type":"rules.subscribe","pattern":"secret.*""#);
    assert!(subscribed.contains("subscriptionId"), "{subscribed}");
    rig.advance(20);
    rig.received_by_all();
    (root, conn)
}

const OPTIONAL: &str = r#""required":false,"anonymousRoles":["guest"],"permissions":{"default":"deny","rules":[{"role":"admin","allow":"*"}]}"#;

#[test]
fn events_end_with_an_optional_session() {
    let mut rig = rig(&tokens(OPTIONAL));
    let (root, conn) = subscribed_until_the_end(&mut rig);
    rig.advance(1_000);
    let told = rig.received(conn);
    assert_eq!(told[0].get("event"), Some(&Json::from("subscription_cancelled")));
    answer(&mut rig, root, r#""type":"rules.emit","topic":"secret.x","data":{}"#);
    assert_eq!(rig.received(conn), []);
}

#[test]
fn a_clock_that_is_set_forward_ends_a_session_before_the_next_push() {
    let mut rig = rig(&tokens(OPTIONAL));
    let (root, conn) = subscribed_until_the_end(&mut rig);
    rig.now.wall += 3_600_000;
    // No timer has fired: the message is the first that is heard of it.
    answer(&mut rig, root, r#""type":"rules.emit","topic":"secret.x","data":{}"#);
    let told = rig.received(conn);
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].get("event"), Some(&Json::from("subscription_cancelled")));
}

#[test]
fn a_clock_that_is_set_forward_ends_a_session_within_a_second() {
    let mut rig = rig(&tokens(OPTIONAL));
    let (_, conn) = subscribed_until_the_end(&mut rig);
    rig.advance(100);
    rig.now.wall += 700;
    rig.advance(700);
    let told = rig.received(conn);
    assert_eq!(told[0].get("event"), Some(&Json::from("subscription_cancelled")));
}

#[test]
fn a_clock_that_is_set_back_lets_a_session_go_on() {
    let mut rig = rig(&tokens(r#""required":true"#));
    let (root, conn) = subscribed_until_the_end(&mut rig);
    rig.now.wall += 3_600_000;
    rig.advance(10);
    rig.now.wall -= 3_600_000;
    rig.advance(10);
    answer(&mut rig, root, r#""type":"rules.emit","topic":"secret.x","data":{}"#);
    rig.advance(20);
    assert_eq!(rig.received(conn).len(), 1);
}
