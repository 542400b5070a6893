//! Event pushes over several connections: order, ends of subscriptions,
//! sessions and permissions.

use super::*;
use crate::access::External;
use crate::config;

/// Sends a request and says what it made the engine queue, for all connections
/// in one order: number of the connection, then what.
fn queued(rig: &mut Rig, conns: &[ConnId], from: ConnId, request: &str) -> Vec<String> {
    rig.engine.message(from, &format!(r#"{{"id":1,{request}}}"#), rig.now);
    let effects = rig.engine.effects();
    let sent: Vec<(ConnId, Json)> = effects
        .list
        .iter()
        .filter_map(|effect| {
            let Effect::Send { conn, head, body, tail, .. } = effect else { return None };
            let mut text = effects.bytes[head.clone()].to_vec();
            text.extend(body.iter().flat_map(|body| body.iter()));
            text.extend_from_slice(&effects.bytes[tail.clone()]);
            let text = String::from_utf8(text).expect("UTF-8");
            Some((*conn, crate::json::parse(&text, 64).expect("JSON").to_json()))
        })
        .collect();
    rig.drain();
    for conn in conns {
        rig.received(*conn);
    }
    let shown = |(conn, message): (ConnId, Json)| {
        let text = |name| message.get(name).and_then(Json::as_str).unwrap_or_default();
        let topic = message.get("data").and_then(|data| data.get("topic")).and_then(Json::as_str);
        let conn = conns.iter().position(|have| *have == conn).expect("a known connection");
        match text("type") {
            "push" => format!("{conn} {} {}", text("subscriptionId"), topic.unwrap_or_default()),
            other => format!("{conn} {other}"),
        }
    };
    sent.into_iter().map(shown).collect()
}

#[test]
fn one_order_over_all_connections() {
    let (mut rig, a) = rig();
    let (b, c) = (rig.connect(), rig.connect());
    let conns = [a, b, c];
    // The numbers follow the order of subscription: 1 to 6.
    for (conn, pattern) in [(c, "x.*"), (b, "*"), (a, "x.y"), (b, "x.*"), (c, "x.y"), (a, "q.*")] {
        subscribe(&mut rig, conn, pattern);
    }
    on(&mut rig, a, "r", "x.y", r#"[{"type":"emit_event","topic":"x.z","data":{}}]"#);
    let emit = r#""type":"rules.emit","topic":"x.y""#;
    // The exact pattern first, then patterns as they appeared; the event is
    // pushed to everybody before its rules run.
    let all = [
        "0 sub-3 x.y",
        "2 sub-5 x.y",
        "2 sub-1 x.y",
        "1 sub-4 x.y",
        "1 sub-2 x.y",
        "2 sub-1 x.z",
        "1 sub-4 x.z",
        "1 sub-2 x.z",
    ];
    let mut expected = all.to_vec();
    expected.push("1 result");
    assert_eq!(queued(&mut rig, &conns, b, emit), expected);
    // Who leaves takes its subscriptions along; the pattern keeps its place.
    rig.engine.closed(c, rig.now);
    rig.drain();
    let mut expected: Vec<&str> = all.into_iter().filter(|line| !line.starts_with('2')).collect();
    expected.push("0 result");
    assert_eq!(queued(&mut rig, &conns, a, emit), expected);
    assert_eq!(rig.engine.total_subscriptions, 4);
}

#[test]
fn every_matching_subscription_gets_its_own_push() {
    let (mut rig, conn) = rig();
    let ids: Vec<String> = ["t", "t", "*", "t.*", "t.*.*"]
        .iter()
        .map(|pattern| subscribe(&mut rig, conn, pattern))
        .collect();
    rig.send(conn, r#"{"id":1,"type":"rules.emit","topic":"t","data":{"n":1}}"#);
    let pushes = rig.received(conn);
    assert_eq!(pushes.len(), 6);
    for (push, id) in pushes.iter().zip(&ids) {
        assert_eq!(push.get("subscriptionId"), Some(&Json::from(&**id)));
        assert_eq!(push.get("data"), pushes[0].get("data"), "one body for all");
    }
    // None after the response of the unsubscribe, none of the ended ones.
    ok(&mut rig, conn, &format!(r#""type":"rules.unsubscribe","subscriptionId":"{}""#, ids[1]));
    rig.send(conn, r#"{"id":1,"type":"rules.emit","topic":"t","data":{"n":1}}"#);
    let pushes = rig.received(conn);
    assert_eq!(pushes.len(), 5);
    assert!(pushes.iter().all(|push| push.get("subscriptionId") != Some(&Json::from(&*ids[1]))));
}

/// Timers and facts push to everybody who asked, and nothing else does.
#[test]
fn what_is_pushed_and_what_is_not() {
    let (mut rig, conn) = rig();
    let watcher = rig.connect();
    subscribe(&mut rig, watcher, "*");
    rig.received(watcher);
    for request in [
        r#""type":"rules.setFact","key":"k","value":1"#,
        r#""type":"rules.deleteFact","key":"k""#,
        r#""type":"rules.registerRule","rule":{"id":"f","name":"f","trigger":{"type":"fact","pattern":"k"},"actions":[{"type":"set_fact","key":"x","value":1}]}"#,
        r#""type":"rules.disableRule","ruleId":"f""#,
        r#""type":"rules.enableRule","ruleId":"f""#,
        r#""type":"rules.setFact","key":"k","value":1"#,
        r#""type":"rules.unregisterRule","ruleId":"f""#,
    ] {
        ok(&mut rig, conn, request);
    }
    assert!(seen(&mut rig, watcher).is_empty());
    let timer = r#"[{"type":"set_timer","timer":{"name":"n","duration":10,"onExpire":{"topic":"end","data":{}}}}]"#;
    ok(
        &mut rig,
        conn,
        &format!(
            r#""type":"rules.registerRule","rule":{{"id":"t","name":"t","trigger":{{"type":"fact","pattern":"go"}},"actions":{timer}}}"#
        ),
    );
    ok(&mut rig, conn, r#""type":"rules.setFact","key":"go","value":1"#);
    rig.advance(10);
    assert_eq!(seen(&mut rig, watcher), ["sub-1 end"]);
}

fn external(permissions: &str) -> (Rig, ConnId) {
    let text = format!(
        r#"{{"auth":{{"tokens":{{
            "t-admin":{{"userId":"root","roles":["admin"]}},
            "t-till":{{"userId":"till","roles":["cashier"]}},
            "t-read":{{"userId":"ann","roles":["reader"]}},
            "t-write":{{"userId":"bob","roles":["writer"]}}}}{permissions}}}}}"#
    );
    let mut options = config::Options::new();
    options.read_file(&text).expect("JSON");
    let settings = match options.resolve().expect("a configuration").config.auth {
        Some(config::Auth::External(external)) => external,
        other => panic!("external mode, not {other:?}"),
    };
    let mut rig = Rig::new(super::options());
    let read = |_: &std::path::Path| Err(std::io::ErrorKind::NotFound.into());
    rig.engine.set_external_auth(External::new(&settings, &read).expect("good settings"), 60_000);
    rig.engine.set_rules(RulesSetup::default()).expect("starts");
    let admin = login(&mut rig, "t-admin");
    (rig, admin)
}

fn login(rig: &mut Rig, token: &str) -> ConnId {
    let conn = rig.connect();
    rig.received(conn);
    ok(rig, conn, &format!(r#""type":"auth.login","token":"{token}""#));
    conn
}

#[test]
fn logging_out_keeps_the_subscription_but_sends_nothing() {
    let (mut rig, admin) = external("");
    let reader = login(&mut rig, "t-read");
    let id = subscribe(&mut rig, reader, "t");
    ok(&mut rig, reader, r#""type":"auth.logout""#);
    ok(&mut rig, admin, r#""type":"rules.emit","topic":"t""#);
    assert!(seen(&mut rig, reader).is_empty());
    assert_eq!(rig.engine.total_subscriptions, 1, "it counts");
    // Logged in again it goes on, without what was missed.
    ok(&mut rig, reader, r#""type":"auth.login","token":"t-read""#);
    assert!(seen(&mut rig, reader).is_empty());
    ok(&mut rig, admin, r#""type":"rules.emit","topic":"t""#);
    assert_eq!(seen(&mut rig, reader), [format!("{id} t")]);
}

#[test]
fn a_subscription_that_is_not_allowed_any_more_ends() {
    let permissions = r#","permissions":{"default":"deny","rules":[
        {"role":"admin","allow":"*"},{"role":"reader","allow":"rules.*"},
        {"role":"cashier","allow":"rules.*","topics":["till.*"]}]}"#;
    let (mut rig, admin) = external(permissions);
    let conn = login(&mut rig, "t-read");
    let (all, till) = (subscribe(&mut rig, conn, "*"), subscribe(&mut rig, conn, "till.*"));
    rig.send(conn, r#"{"id":1,"type":"auth.login","token":"t-till"}"#);
    let told: Vec<String> = seen(&mut rig, conn);
    assert!(told.contains(&format!("subscription_cancelled {all} ")), "{told:?}");
    ok(&mut rig, admin, r#""type":"rules.emit","topic":"till.7""#);
    assert_eq!(seen(&mut rig, conn), [format!("{till} till.7")]);
    let gone = format!(r#""type":"rules.unsubscribe","subscriptionId":"{all}""#);
    assert!(error(&mut rig, conn, &gone).starts_with("NOT_FOUND"));
    assert_eq!(rig.engine.total_subscriptions, 1);
}

/// The resource is the operation's own field, whatever else the request says.
#[test]
fn permissions_look_at_the_field_that_is_used() {
    let permissions = r#","permissions":{"default":"deny","rules":[
        {"role":"admin","allow":"*"},
        {"role":"cashier","allow":"rules.*","topics":["till.*","order"]}]}"#;
    let (mut rig, _) = external(permissions);
    let conn = login(&mut rig, "t-till");
    for allowed in [
        r#""type":"rules.emit","topic":"till.1","key":"x""#,
        r#""type":"rules.setFact","key":"till.1","value":1,"topic":"x""#,
        r#""type":"rules.getFact","key":"order""#,
        r#""type":"rules.deleteFact","key":"till.1""#,
        r#""type":"rules.queryFacts","pattern":"till.*""#,
        r#""type":"rules.subscribe","pattern":"till.*""#,
        r#""type":"rules.unsubscribe","subscriptionId":"sub-1""#,
    ] {
        ok(&mut rig, conn, allowed);
    }
    for (request, resource) in [
        (r#""type":"rules.emit","topic":"x","key":"till.1""#, "rules.emit on x"),
        (r#""type":"rules.emit","key":"till.1""#, "rules.emit on *"),
        (r#""type":"rules.setFact","key":"x","value":1,"topic":"till.1""#, "rules.setFact on x"),
        (r#""type":"rules.getFact","key":"x","topic":"till.1""#, "rules.getFact on x"),
        (r#""type":"rules.deleteFact","key":"x","pattern":"order""#, "rules.deleteFact on x"),
        (r#""type":"rules.queryFacts","pattern":"*","topic":"order""#, "rules.queryFacts on *"),
        (r#""type":"rules.subscribe","pattern":"*","topic":"order""#, "rules.subscribe on *"),
        (r#""type":"rules.getAllFacts","topic":"order""#, "rules.getAllFacts on *"),
        (r#""type":"rules.stats","topic":"order""#, "rules.stats on *"),
        (r#""type":"rules.registerRule","topic":"order","rule":{}"#, "rules.registerRule on *"),
    ] {
        let expected = format!("FORBIDDEN No permission for {resource}");
        assert_eq!(error(&mut rig, conn, request), expected, "{request}");
    }
}

#[test]
fn tiers() {
    let (mut rig, _) = external("");
    let (reader, writer) = (login(&mut rig, "t-read"), login(&mut rig, "t-write"));
    let reads = ["getFact", "queryFacts", "getAllFacts", "subscribe", "unsubscribe", "stats"];
    let writes = ["emit", "setFact", "deleteFact"];
    let admins = [
        "registerRule",
        "unregisterRule",
        "updateRule",
        "enableRule",
        "disableRule",
        "getRule",
        "getRules",
        "validateRule",
    ];
    let mut is_allowed = |conn, operation: &str| {
        let reply = rig.call(conn, &format!(r#"{{"id":1,"type":"rules.{operation}"}}"#));
        reply.get("code") != Some(&Json::from("FORBIDDEN"))
    };
    for operation in reads {
        assert!(is_allowed(reader, operation) && is_allowed(writer, operation), "{operation}");
    }
    for operation in writes {
        assert!(!is_allowed(reader, operation) && is_allowed(writer, operation), "{operation}");
    }
    for operation in admins {
        assert!(!is_allowed(reader, operation) && !is_allowed(writer, operation), "{operation}");
    }
}
