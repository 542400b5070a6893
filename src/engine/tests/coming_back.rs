//! What makes coming back gentle: numbered events, subscribes with a budget of
//! their own, a shutdown that says when.

use super::*;
use crate::engine::RulesSetup;

fn options() -> EngineOptions {
    EngineOptions { heartbeat_interval_ms: 0, ..EngineOptions::default() }
}

fn with_rules(options: EngineOptions) -> Rig {
    let mut rig = Rig::new(options);
    rig.engine.set_rules(RulesSetup::default()).expect("rules");
    rig
}

fn emit(rig: &mut Rig, conn: ConnId, topic: &str) {
    rig.send(conn, &format!(r#"{{"id":1,"type":"rules.emit","topic":"{topic}","data":{{}}}}"#));
}

/// What a connection was sent of events: subscription, number, and the gap.
fn events(rig: &mut Rig, conn: ConnId) -> Vec<String> {
    let got = rig.received(conn);
    let is_push = |message: &&Json| {
        let text = message.to_text();
        text.contains("\"channel\":\"event\"") || text.contains("pushes_dropped")
    };
    let show = |message: &Json| {
        let member = |name: &str| message.get(name).map_or("-".into(), Json::to_text);
        let gap = message.get("data").and_then(|data| data.get("gap")).map(Json::to_text);
        let gap = gap.map_or_else(String::new, |gap| format!(" gap {gap}"));
        format!("{} {}{gap}", member("subscriptionId").trim_matches('"'), member("n"))
    };
    got.iter().filter(is_push).map(show).collect()
}

fn subscribe(rig: &mut Rig, conn: ConnId, pattern: &str) {
    rig.send(conn, &format!(r#"{{"id":2,"type":"rules.subscribe","pattern":"{pattern}"}}"#));
}

#[test]
fn events_have_numbers_for_who_asked() {
    let mut rig = with_rules(options());
    let [numbered, plain] = [rig.connect(), rig.connect()];
    rig.send(numbered, r#"{"id":1,"type":"session.open","events":true}"#);
    subscribe(&mut rig, numbered, "a.*");
    subscribe(&mut rig, numbered, "*.x");
    rig.send(plain, r#"{"id":1,"type":"session.open"}"#);
    subscribe(&mut rig, plain, "a.*");
    for topic in ["a.x", "a.y", "b.x"] {
        emit(&mut rig, plain, topic);
    }
    assert_eq!(events(&mut rig, numbered), ["sub-1 1", "sub-2 1", "sub-1 2", "sub-2 2"]);
    assert_eq!(events(&mut rig, plain), ["sub-3 -", "sub-3 -"]);
    rig.send(numbered, r#"{"id":3,"type":"rules.unsubscribe","subscriptionId":"sub-1"}"#);
    subscribe(&mut rig, numbered, "a.*");
    emit(&mut rig, plain, "a.y");
    assert_eq!(events(&mut rig, numbered), ["sub-4 1"], "each subscription from 1");
}

#[test]
fn the_head_of_a_numbered_event() {
    let mut rig = with_rules(options());
    let conn = rig.connect();
    rig.send(conn, r#"{"id":1,"type":"session.open","events":true}"#);
    subscribe(&mut rig, conn, "a");
    rig.received(conn);
    emit(&mut rig, conn, "a");
    let push = rig.received(conn).remove(0).to_text();
    let head =
        r#"{"type":"push","channel":"event","subscriptionId":"sub-1","n":1,"data":{"topic":"a","#;
    assert!(push.starts_with(head), "{push}");
}

/// The model: whatever was lost and pushed, the numbers and gaps account for
/// every event, in order.
#[test]
fn what_a_slow_reader_lost_stands_in_its_place() {
    for seed in 0..40u64 {
        let mut dice = durability::dice(seed);
        let mut rig = with_rules(EngineOptions { max_buffered_bytes: 1500, ..options() });
        let [reader, writer] = [rig.connect(), rig.connect()];
        rig.send(reader, r#"{"id":1,"type":"session.open","events":true}"#);
        subscribe(&mut rig, reader, "a");
        subscribe(&mut rig, reader, "*");
        rig.received(reader);
        let mut emitted = [0u64; 2];
        let mut told = [0u64; 2];
        let mut gaps = 0;
        for _ in 0..200 {
            match dice.next_u64() % 8 {
                0 => rig.stall(reader, true),
                1 => rig.stall(reader, false),
                2 => rig.take_output(reader, 2),
                n => {
                    emitted[0] += u64::from(n < 6);
                    emitted[1] += 1;
                    emit(&mut rig, writer, if n < 6 { "a" } else { "b" });
                }
            }
        }
        rig.stall(reader, false);
        // Nothing is owed any more but what comes with the next event.
        emitted = emitted.map(|events| events + 1);
        emit(&mut rig, writer, "a");
        for event in events(&mut rig, reader) {
            let words: Vec<&str> = event.split(' ').collect();
            let at = usize::from(words[0] != "sub-1");
            let n: u64 = words[1].parse().expect("a number");
            let step = words.get(3).map_or(1, |gap| gap.parse::<u64>().expect("a gap"));
            told[at] += step;
            gaps += u64::from(words.len() > 2);
            assert_eq!(n, told[at], "seed {seed}: {event}");
        }
        assert_eq!(told, emitted, "seed {seed}: every event is accounted for");
        assert!(gaps > 0 || seed > 0, "something was lost");
    }
}

#[test]
fn what_was_missed_without_login_is_a_gap() {
    let auth = r#""required":true"#;
    let mut rig = access::rig_of(auth, options());
    rig.engine.set_rules(RulesSetup::default()).expect("rules");
    let [reader, writer] = [rig.connect(), rig.connect()];
    let login = |token: &str| format!(r#"{{"id":1,"type":"auth.login","token":"{token}"}}"#);
    rig.send(reader, &login("t-bob"));
    rig.send(writer, &login("t-root"));
    rig.send(reader, r#"{"id":1,"type":"session.open","events":true}"#);
    subscribe(&mut rig, reader, "a");
    emit(&mut rig, writer, "a");
    rig.send(reader, r#"{"id":1,"type":"auth.logout"}"#);
    emit(&mut rig, writer, "a");
    emit(&mut rig, writer, "a");
    assert_eq!(events(&mut rig, reader), ["sub-1 1"]);
    rig.send(reader, &login("t-bob"));
    emit(&mut rig, writer, "a");
    assert_eq!(events(&mut rig, reader), ["sub-1 3 gap 2", "sub-1 4"]);
}

fn code(answer: &Json) -> &str {
    answer.get("code").and_then(Json::as_str).unwrap_or("ok")
}

#[test]
fn the_first_subscribes_do_not_touch_the_budget() {
    let mut rig = with_rules(EngineOptions {
        rate_limit: Some((2, 60_000)),
        max_subscriptions_per_connection: 4,
        ..options()
    });
    let conn = rig.connect();
    let wrong = r#"{"id":1,"type":"store.subscribe","query":"none"}"#;
    let event = r#"{"id":1,"type":"rules.subscribe","pattern":"a"}"#;
    // One that fails has used it, too.
    assert_eq!(code(&rig.call(conn, wrong)), "QUERY_NOT_DEFINED");
    for _ in 0..3 {
        assert_eq!(code(&rig.call(conn, event)), "ok");
    }
    let buckets = r#"{"id":1,"type":"store.buckets"}"#;
    assert_eq!(code(&rig.call(conn, buckets)), "ok", "nothing of the budget is used");
    assert_eq!(code(&rig.call(conn, event)), "ok", "from here on they cost");
    assert_eq!(code(&rig.call(conn, event)), "RATE_LIMITED");
    assert_eq!(code(&rig.call(conn, buckets)), "RATE_LIMITED");
    // Another connection of that address has its own.
    let other = rig.connect();
    assert_eq!(code(&rig.call(other, event)), "ok");
    assert_eq!(code(&rig.call(other, buckets)), "RATE_LIMITED");
}

#[test]
fn entries_of_subscribe_many_count_singly_all_or_none() {
    let mut rig = with_rules(EngineOptions {
        rate_limit: Some((2, 60_000)),
        max_subscriptions_per_connection: 3,
        ..options()
    });
    let conn = rig.connect();
    let many = |entries: usize| {
        let entries = vec![r#"{"query":"none"}"#; entries].join(",");
        format!(r#"{{"id":1,"type":"store.subscribeMany","subscriptions":[{entries}]}}"#)
    };
    assert_eq!(code(&rig.call(conn, &many(2))), "ok");
    // One is free; two cost, and that is what there is.
    assert_eq!(code(&rig.call(conn, &many(3))), "ok");
    assert_eq!(code(&rig.call(conn, &many(1))), "RATE_LIMITED");
    let other = rig.connect();
    assert_eq!(code(&rig.call(other, &many(2))), "ok");
    assert_eq!(code(&rig.call(other, &many(2))), "RATE_LIMITED", "one of both");
    assert_eq!(code(&rig.call(other, &many(1))), "ok", "nothing was taken for that");
    let third = rig.connect();
    assert_eq!(code(&rig.call(third, &many(4))), "RATE_LIMITED", "refused as a whole: one request");
}

/// The announcements of a shutdown: grace period, and when to come back.
fn announced(rig: &mut Rig, conn: ConnId) -> Vec<String> {
    let got = rig.received(conn);
    let is_it = |message: &&Json| message.get("event") == Some(&Json::from("shutdown"));
    got.iter().filter(is_it).map(Json::to_text).collect()
}

#[test]
fn those_who_opted_in_are_told_when_to_come_back() {
    for (grace, plain_hears) in [(5000, true), (0, false)] {
        let mut rig = Rig::new(EngineOptions { reconnects_per_second: 1, ..options() });
        let [opted_in, plain] = [rig.connect(), rig.connect()];
        rig.send(opted_in, r#"{"id":1,"type":"session.open"}"#);
        rig.engine.shutdown(grace, rig.now);
        rig.drain();
        let head = format!(r#"{{"type":"system","event":"shutdown","gracePeriodMs":{grace}"#);
        assert_eq!(announced(&mut rig, opted_in), [format!("{head},\"retryAfterMs\":2000}}")]);
        let expected = if plain_hears { vec![format!("{head}}}")] } else { Vec::new() };
        assert_eq!(announced(&mut rig, plain), expected);
        rig.advance(grace);
        assert_eq!(rig.is_closed(opted_in), Some((1000, "server_shutdown")));
    }
}

#[test]
fn coming_back_takes_a_second_at_least_and_a_minute_at_most() {
    for (rate, expected) in [(1_000_000, 1000), (1, 60_000)] {
        let mut rig = Rig::new(EngineOptions { reconnects_per_second: rate, ..options() });
        let conns: Vec<ConnId> = (0..70).map(|_| rig.connect()).collect();
        rig.send(conns[0], r#"{"id":1,"type":"session.open"}"#);
        rig.engine.shutdown(1000, rig.now);
        rig.drain();
        let told = announced(&mut rig, conns[0]);
        assert!(told[0].ends_with(&format!("\"retryAfterMs\":{expected}}}")), "{told:?}");
    }
}

#[test]
fn connections_are_closed_evenly_over_the_grace_period() {
    let mut rig = Rig::new(EngineOptions { shutdown_spread: true, ..options() });
    let conns: Vec<ConnId> = (0..80).map(|_| rig.connect()).collect();
    // Of the first one something is heard last; another waits for a job.
    rig.advance(10);
    rig.send(conns[0], r#"{"id":1,"type":"store.buckets"}"#);
    rig.send(conns[1], r#"{"id":1,"type":"test.job"}"#);
    rig.engine.shutdown(10_000, rig.now);
    rig.drain();
    rig.advance(999);
    assert_eq!(rig.closed.len(), 0);
    rig.advance(1001);
    assert_eq!(rig.closed.len(), 10, "an eighth of the time, an eighth of them");
    rig.advance(4000);
    assert_eq!(rig.closed.len(), 50);
    assert!(
        rig.closed.iter().all(|(_, code, reason)| (*code, *reason) == (1000, "server_shutdown"))
    );
    assert_eq!((rig.is_closed(conns[0]), rig.is_closed(conns[1])), (None, None));
    rig.advance(3000);
    assert_eq!(rig.closed.len(), 79, "all but the one with a job");
    assert!(rig.is_closed(conns[0]).is_some() && rig.is_closed(conns[1]).is_none());
    rig.run_jobs();
    rig.advance(1000);
    assert_eq!(rig.closed.len(), 80);
    assert!(rig.stopped);
}

#[test]
fn without_spread_nobody_goes_before_the_end_of_the_grace_period() {
    let mut rig = Rig::new(options());
    for _ in 0..5 {
        rig.connect();
    }
    rig.engine.shutdown(10_000, rig.now);
    rig.advance(9_999);
    assert_eq!(rig.closed.len(), 0);
    rig.advance(1);
    assert_eq!(rig.closed.len(), 5);
}
