//! Rules through the whole engine, over simulated time.

mod bridge;
mod checklist;
mod durable;
mod first_events;
mod isolation;
mod records;
mod rights;
mod wire;

use super::*;
use crate::app::App as _;
use crate::engine::EngineOptions;
use crate::engine::tests::Rig;

/// Subscribers are pushed to at once; waiting for that has tests of its own.
fn options() -> EngineOptions {
    EngineOptions { heartbeat_interval_ms: 0, first_push_delay_ms: 0, ..EngineOptions::default() }
}

fn rig_with(options: EngineOptions, setup: RulesSetup) -> (Rig, ConnId) {
    let mut rig = Rig::new(options);
    rig.engine.set_rules(setup).expect("starts");
    let conn = rig.connect();
    rig.received(conn);
    (rig, conn)
}

fn rig() -> (Rig, ConnId) {
    rig_with(options(), RulesSetup::default())
}

/// Bridged changes of all buckets.
fn bridged() -> RulesSetup {
    let store_events = Some(StoreEvents { buckets: None, prefix: "bucket".into() });
    RulesSetup { store_events, ..RulesSetup::default() }
}

/// Sends a request that must succeed; the data of its response.
fn ok(rig: &mut Rig, conn: ConnId, fields: &str) -> String {
    let reply = rig.call(conn, &format!(r#"{{"id":1,{fields}}}"#));
    assert!(reply.get("data").is_some(), "{fields}: {reply}");
    reply.get("data").map(Json::to_text).unwrap_or_default()
}

/// The code and message of the error of a request.
fn error(rig: &mut Rig, conn: ConnId, fields: &str) -> String {
    let reply = rig.call(conn, &format!(r#"{{"id":1,{fields}}}"#));
    let text = |name| reply.get(name).and_then(Json::as_str).unwrap_or_default().to_owned();
    format!("{} {}", text("code"), text("message"))
}

fn on(rig: &mut Rig, conn: ConnId, id: &str, topic: &str, actions: &str) {
    ok(
        rig,
        conn,
        &format!(
            r#""type":"rules.registerRule","rule":{{"id":"{id}","name":"{id}","trigger":{{"type":"event","topic":"{topic}"}},"actions":{actions}}}"#
        ),
    );
}

fn subscribe(rig: &mut Rig, conn: ConnId, pattern: &str) -> String {
    let data = ok(rig, conn, &format!(r#""type":"rules.subscribe","pattern":"{pattern}""#));
    data.trim_start_matches(r#"{"subscriptionId":""#).trim_end_matches("\"}").to_owned()
}

/// What a connection got: responses as `result` or their code, event pushes as
/// subscription and topic, other messages as their event.
fn seen(rig: &mut Rig, conn: ConnId) -> Vec<String> {
    let shown = |message: Json| {
        let text = |name| message.get(name).and_then(Json::as_str).unwrap_or_default();
        match text("type") {
            "push" if text("channel") == "event" => {
                let data = message.get("data").expect("data");
                let topic = data.get("topic").and_then(Json::as_str).unwrap_or_default();
                format!("{} {topic}", text("subscriptionId"))
            }
            "push" => format!("{} {}", text("channel"), text("subscriptionId")),
            "error" => text("code").to_owned(),
            "system" => format!(
                "{} {} {}",
                text("event"),
                text("subscriptionId"),
                message.get("count").map(Json::to_text).unwrap_or_default()
            ),
            other => other.to_owned(),
        }
    };
    rig.received(conn).into_iter().map(shown).collect()
}

#[test]
fn pushes_come_before_the_response() {
    let (mut rig, conn) = rig();
    on(&mut rig, conn, "r", "a", r#"[{"type":"emit_event","topic":"a.b","data":{}}]"#);
    let (all, exact) = (subscribe(&mut rig, conn, "*"), subscribe(&mut rig, conn, "a"));
    assert_eq!((all.as_str(), exact.as_str()), ("sub-1", "sub-2"));
    rig.send(conn, r#"{"id":7,"type":"rules.emit","topic":"a","data":{"x":1.0}}"#);
    let got = rig.received(conn);
    let event = got.last().and_then(|reply| reply.get("data")).expect("a result");
    assert_eq!(event.get("data").map(Json::to_text).as_deref(), Some(r#"{"x":1}"#));
    let expected = format!(
        r#"{{"type":"push","channel":"event","subscriptionId":"sub-2","data":{{"topic":"a","event":{event}}}}}"#
    );
    assert_eq!(got[0].to_text(), expected);
    rig.send(conn, r#"{"id":7,"type":"rules.emit","topic":"a"}"#);
    assert_eq!(seen(&mut rig, conn), ["sub-2 a", "sub-1 a", "sub-1 a.b", "result"]);
}

#[test]
fn subscriptions_end() {
    let (mut rig, conn) = rig();
    let other = rig.connect();
    let id = subscribe(&mut rig, conn, "a.*");
    let unsubscribe = format!(r#""type":"rules.unsubscribe","subscriptionId":"{id}""#);
    let gone = format!("NOT_FOUND Subscription \"{id}\" not found");
    assert_eq!(error(&mut rig, other, &unsubscribe), gone);
    let store = unsubscribe.replace("rules", "store");
    assert_eq!(error(&mut rig, conn, &store), gone);
    assert_eq!(ok(&mut rig, conn, &unsubscribe), r#"{"unsubscribed":true}"#);
    assert_eq!(error(&mut rig, conn, &unsubscribe), gone);
    for odd in ["sub-01", "sub-+1", "sub-", "1", "sub-1 "] {
        let text = error(
            &mut rig,
            conn,
            &format!(r#""type":"rules.unsubscribe","subscriptionId":"{odd}""#),
        );
        assert_eq!(text, format!("NOT_FOUND Subscription \"{odd}\" not found"));
    }
    subscribe(&mut rig, other, "*");
    rig.engine.closed(other, rig.now);
    rig.drain();
    rig.send(conn, r#"{"id":7,"type":"rules.emit","topic":"a"}"#);
    assert_eq!(seen(&mut rig, conn), ["result"]);
    assert_eq!(rig.engine.total_subscriptions, 0);
}

#[test]
fn limits_are_shared_with_other_subscriptions_and_come_first() {
    let limits = EngineOptions {
        max_subscriptions_per_connection: 2,
        max_total_subscriptions: 3,
        ..options()
    };
    let (mut rig, conn) = rig_with(limits, RulesSetup::default());
    let other = rig.connect();
    subscribe(&mut rig, conn, "*");
    subscribe(&mut rig, conn, "*");
    let full = "RATE_LIMITED Subscription limit reached (max 2 per connection)";
    assert_eq!(error(&mut rig, conn, r#""type":"rules.subscribe""#), full);
    assert_eq!(error(&mut rig, conn, r#""type":"store.subscribe""#), full);
    subscribe(&mut rig, other, "*");
    let full = "RATE_LIMITED Global subscription limit reached (max 3)";
    assert_eq!(error(&mut rig, other, r#""type":"rules.subscribe""#), full);
    let missing = r#""type":"rules.unsubscribe","subscriptionId":"sub-1""#;
    ok(&mut rig, conn, missing);
    assert_eq!(
        error(&mut rig, other, r#""type":"rules.subscribe""#),
        "VALIDATION_ERROR Missing or invalid \"pattern\": expected non-empty string"
    );
}

#[test]
fn without_a_rule_engine_nothing_is_known() {
    let mut rig = Rig::new(options());
    let conn = rig.connect();
    let absent = "RULES_NOT_AVAILABLE Rule engine is not configured";
    assert_eq!(error(&mut rig, conn, r#""type":"rules.emit""#), absent);
    assert_eq!(error(&mut rig, conn, r#""type":"rules.nope""#), absent);
    let (mut rig, conn) = super::tests::rig();
    assert_eq!(
        error(&mut rig, conn, r#""type":"rules.nope""#),
        "UNKNOWN_OPERATION Unknown rules operation \"rules.nope\""
    );
}

#[test]
fn fields_of_an_event() {
    let (mut rig, conn) = rig();
    for (fields, expected) in [
        ("", "VALIDATION_ERROR Missing or invalid \"topic\": expected non-empty string"),
        (r#","topic":"t","data":[]"#, "VALIDATION_ERROR Invalid \"data\": expected object"),
        (r#","topic":"t","data":false"#, "VALIDATION_ERROR Invalid \"data\": expected object"),
        (
            r#","topic":"t","correlationId":"""#,
            "VALIDATION_ERROR Invalid \"correlationId\": expected non-empty string",
        ),
        (
            r#","topic":"t","correlationId":"c","causationId":5"#,
            "VALIDATION_ERROR Invalid \"causationId\": expected non-empty string",
        ),
    ] {
        assert_eq!(error(&mut rig, conn, &format!(r#""type":"rules.emit"{fields}"#)), expected);
    }
    let mut emit = |fields: &str| {
        let data = ok(&mut rig, conn, &format!(r#""type":"rules.emit","topic":"t"{fields}"#));
        data.contains("correlationId")
            .then_some(0)
            .into_iter()
            .chain(data.contains(r#""causationId":"d""#).then_some(1))
            .collect::<Vec<_>>()
    };
    assert_eq!(emit(r#","data":null,"correlationId":null,"causationId":null"#), [0; 0]);
    assert_eq!(emit(r#","causationId":"d""#), [0; 0]);
    assert_eq!(emit(r#","correlationId":"c","causationId":"d""#), [0, 1]);
}

#[test]
fn timers_fire_without_requests() {
    let (mut rig, conn) = rig();
    on(
        &mut rig,
        conn,
        "r",
        "go",
        r#"[{"type":"set_timer","timer":{"name":"n","duration":"1m","repeat":{"interval":"1m"},"onExpire":{"topic":"tick","data":{}}}}]"#,
    );
    subscribe(&mut rig, conn, "tick");
    ok(&mut rig, conn, r#""type":"rules.emit","topic":"go""#);
    rig.advance(59_999);
    assert!(seen(&mut rig, conn).is_empty());
    rig.advance(1);
    assert_eq!(seen(&mut rig, conn), ["sub-1 tick"]);
    rig.advance(180_000);
    assert_eq!(seen(&mut rig, conn).len(), 3);
}

#[test]
fn slow_readers_lose_events_and_are_told_how_many() {
    let small = EngineOptions { max_buffered_bytes: 1000, ..options() };
    let (mut rig, conn) = rig_with(small, RulesSetup::default());
    let slow = rig.connect();
    let (a, b) = (subscribe(&mut rig, slow, "t"), subscribe(&mut rig, slow, "*"));
    rig.received(slow);
    rig.stall(slow, true);
    for number in 0..50 {
        ok(&mut rig, conn, &format!(r#""type":"rules.emit","topic":"t","data":{{"n":{number}}}"#));
    }
    assert!(rig.buffered(slow) < 1300, "{}", rig.buffered(slow));
    rig.stall(slow, false);
    let got = seen(&mut rig, slow);
    let pushed = got.iter().filter(|line| line.ends_with(" t")).count();
    let lost: Vec<&String> = got.iter().filter(|line| line.starts_with("pushes_dropped")).collect();
    let count = |line: &str| line.rsplit(' ').next().and_then(|n| n.parse::<usize>().ok());
    let total: usize = lost.iter().filter_map(|line| count(line)).sum();
    assert_eq!((lost.len(), pushed + total), (2, 100), "{got:?}");
    assert!(lost[0].starts_with(&format!("pushes_dropped {a} ")));
    assert!(lost[1].starts_with(&format!("pushes_dropped {b} ")));
    // From here on everything arrives again.
    ok(&mut rig, conn, r#""type":"rules.emit","topic":"t""#);
    assert_eq!(seen(&mut rig, slow).len(), 2);
}

#[test]
fn one_slow_reader_costs_nobody_else() {
    let small = EngineOptions { max_buffered_bytes: 1000, ..options() };
    let (mut rig, conn) = rig_with(small, RulesSetup::default());
    let (slow, fast) = (rig.connect(), rig.connect());
    subscribe(&mut rig, slow, "*");
    subscribe(&mut rig, fast, "*");
    rig.received(fast);
    rig.stall(slow, true);
    for _ in 0..50 {
        ok(&mut rig, conn, r#""type":"rules.emit","topic":"t""#);
    }
    assert_eq!(seen(&mut rig, fast).len(), 50);
    // What was lost is forgotten with the connection.
    rig.engine.closed(slow, rig.now);
    rig.drain();
    assert!(rig.engine.rules.as_ref().is_some_and(|side| side.lost.is_empty()));
}

/// A service that answers from a job, or when told.
struct Slow;

impl RuleService for Slow {
    fn call(&mut self, _: &str, _: &[Value]) -> Result<Value, ServiceError> {
        Err(ServiceError::UnknownMethod)
    }

    fn begin(
        &mut self,
        method: &str,
        args: &[Value],
        ticket: Ticket,
    ) -> Result<crate::rules::ServiceReply, ServiceError> {
        use crate::rules::ServiceReply;
        let arg = args.first().cloned().unwrap_or_default();
        match method {
            "job" => Ok(ServiceReply::Job(Box::new(move || Ok(arg)))),
            "crash" => Ok(ServiceReply::Job(Box::new(|| panic!("on purpose")))),
            "later" => Ok(ServiceReply::Later),
            "ticket" => Ok(ServiceReply::Now(ticket.into())),
            other => self.call(other, args).map(ServiceReply::Now),
        }
    }
}

fn slow() -> (Rig, ConnId) {
    let (mut rig, conn) = rig();
    rig.engine.add_rule_service("slow", Box::new(Slow)).expect("a new name");
    (rig, conn)
}

#[test]
fn jobs_of_services_run_elsewhere() {
    let (mut rig, conn) = slow();
    ok(
        &mut rig,
        conn,
        r#""type":"rules.registerRule","rule":{"id":"r","name":"r","trigger":{"type":"event","topic":"t"},
        "lookups":[{"name":"l","service":"slow","method":"job","args":[{"ref":"event.x"}]}],
        "actions":[{"type":"emit_event","topic":"out","data":{"l":{"ref":"lookup.l"}}}]}"#,
    );
    subscribe(&mut rig, conn, "out");
    rig.send(conn, r#"{"id":1,"type":"rules.emit","topic":"t","data":{"x":[1]}}"#);
    assert_eq!(seen(&mut rig, conn), ["result"]);
    assert_eq!(rig.jobs.len(), 1);
    rig.run_jobs();
    let push = rig.received(conn).remove(0);
    let event = push.get("data").and_then(|data| data.get("event")).expect("an event");
    assert_eq!(event.get("data").map(Json::to_text).as_deref(), Some(r#"{"l":[1]}"#));
}

#[test]
fn a_job_that_panics_fails_its_call() {
    let (mut rig, conn) = slow();
    on(
        &mut rig,
        conn,
        "r",
        "t",
        r#"[{"type":"try_catch","try":[{"type":"call_service","service":"slow","method":"crash"}],
             "catch":{"as":"e","actions":[{"type":"set_fact","key":"e","value":{"ref":"var.e.message"}}]}}]"#,
    );
    ok(&mut rig, conn, r#""type":"rules.emit","topic":"t""#);
    let job = rig.jobs.remove(0);
    rig.engine.job_done(job.id, Err("on purpose".into()), rig.now);
    rig.drain();
    assert_eq!(
        ok(&mut rig, conn, r#""type":"rules.getFact","key":"e""#),
        "\"The job of the service panicked: on purpose\""
    );
}

#[test]
fn calls_are_answered_by_the_program() {
    let (mut rig, conn) = slow();
    on(
        &mut rig,
        conn,
        "r",
        "t",
        r#"[{"type":"call_service","service":"slow","method":"later"},{"type":"emit_event","topic":"after","data":{}}]"#,
    );
    subscribe(&mut rig, conn, "after");
    ok(&mut rig, conn, r#""type":"rules.emit","topic":"t""#);
    rig.received(conn);
    assert!(rig.engine.answer_rule_call(1, Ok(Json::Null), rig.now));
    assert!(!rig.engine.answer_rule_call(1, Ok(Json::Null), rig.now));
    rig.drain();
    assert_eq!(seen(&mut rig, conn), ["sub-1 after"]);
}

#[test]
fn statistics_are_those_of_the_server() {
    let (mut rig, conn) = rig();
    ok(&mut rig, conn, r#""type":"rules.setFact","key":"a","value":1"#);
    let rules = ok(&mut rig, conn, r#""type":"rules.stats""#);
    assert!(rules.starts_with(r#"{"rulesCount":0,"factsCount":1,"#), "{rules}");
    let server = ok(&mut rig, conn, r#""type":"server.stats""#);
    assert!(server.contains(&format!(r#""rules":{rules}"#)), "{server}");
    assert!(server.contains(r#""rulesEnabled":true"#));
}

#[test]
fn every_operation_of_the_family_answers() {
    let (mut rig, conn) = rig();
    on(&mut rig, conn, "r", "t", "[]");
    for (request, expected) in [
        (r#""type":"rules.getFact","key":"k""#, "null"),
        (r#""type":"rules.getAllFacts""#, "[]"),
        (r#""type":"rules.queryFacts","pattern":"b:(*""#, "[]"),
        (r#""type":"rules.deleteFact","key":"k""#, r#"{"deleted":false}"#),
        (r#""type":"rules.disableRule","ruleId":"r""#, r#"{"ruleId":"r","enabled":false}"#),
        (r#""type":"rules.enableRule","ruleId":"r""#, r#"{"ruleId":"r","enabled":true}"#),
        (
            r#""type":"rules.getRules""#,
            r#"{"rules":[{"id":"r","name":"r","enabled":true,"priority":0,"version":1,"tags":[]}]}"#,
        ),
        (
            r#""type":"rules.validateRule","rule":{"id":"r","name":"r","trigger":{"type":"timer","name":"n"},"group":"g"}"#,
            r#"{"valid":true,"errors":[],"warnings":[{"path":"group","message":"Group \"g\" does not exist","severity":"warning"}]}"#,
        ),
        (r#""type":"rules.unregisterRule","ruleId":"r""#, r#"{"ruleId":"r","unregistered":true}"#),
    ] {
        assert_eq!(ok(&mut rig, conn, request), expected, "{request}");
    }
    assert_eq!(
        error(&mut rig, conn, r#""type":"rules.setFact","key":"k""#),
        "VALIDATION_ERROR Missing \"value\": expected a value"
    );
    assert_eq!(
        error(&mut rig, conn, r#""type":"rules.updateRule","ruleId":"r","updates":{}"#),
        "NOT_FOUND Rule \"r\" not found"
    );
}

#[test]
fn configured_rules_are_checked() {
    let rule = |text: &str| crate::json::parse(text, 32).expect("JSON").to_json();
    let object = |text: &str| rule(text).as_object().expect("an object").clone();
    let group =
        |id: &str| Group { id: id.into(), name: id.into(), description: None, enabled: true };
    let good = r#"{"id":"r","name":"r","group":"g","trigger":{"type":"event","topic":"t"}}"#;
    assert_eq!(check_rules(vec![group("g")], vec![object(good)]), Ok(()));
    assert_eq!(
        check_rules(Vec::new(), vec![object(good)]),
        Err("rules.definitions[0].group: Group \"g\" does not exist".into())
    );
    assert_eq!(
        check_rules(vec![group("g"), group("g")], Vec::new()),
        Err("rules.groups[1].id: Group \"g\" already exists".into())
    );
}
