//! The engine over simulated time: no sockets, no clock, no sleeps.

mod access;
mod access_checks;
mod bounds;
mod coming_back;
mod continuity;
pub(crate) mod durability;
mod expiry;
mod hostile;
mod identity;
mod insights;
mod introspection;
mod limits;
mod logic;
mod procedures;
mod records;
mod rig;
pub(crate) mod rows;
mod simulation;
mod traces;

use super::*;
use crate::app::{App, Effect, Flow, HttpRequest};
use crate::json::Json;
pub(crate) use access::{external_rig, rig_of, rig_with};
pub(crate) use rig::Rig;

fn timestamps(messages: &[Json]) -> Vec<f64> {
    messages
        .iter()
        .filter(|message| message.get("type").and_then(Json::as_str) == Some("ping"))
        .filter_map(|message| message.get("timestamp").and_then(Json::as_number))
        .collect()
}

fn beating(interval: u64, timeout: u64) -> Rig {
    Rig::new(EngineOptions {
        heartbeat_interval_ms: interval,
        heartbeat_timeout_ms: timeout,
        ..EngineOptions::default()
    })
}

#[test]
fn the_welcome_comes_first() {
    let mut rig = Rig::new(EngineOptions::default());
    let conn = rig.connect();
    let got = rig.received(conn);
    assert_eq!(
        got[0].to_text(),
        r#"{"type":"welcome","version":"1.0.0","serverTime":1800000000000,"requiresAuth":false}"#
    );
    assert_eq!(got.len(), 1);
}

#[test]
fn a_silent_client_is_closed_after_the_timeout() {
    let mut rig = beating(1000, 300);
    let conn = rig.connect();
    rig.advance(999);
    assert_eq!(timestamps(&rig.received(conn)).len(), 0);
    rig.advance(1);
    assert_eq!(timestamps(&rig.received(conn)).len(), 1);
    rig.advance(299);
    assert_eq!(rig.is_closed(conn), None);
    rig.advance(1);
    assert_eq!(rig.is_closed(conn), Some((4001, "heartbeat_timeout")));
    assert_eq!(rig.engine.connection_count(), 0);
}

#[test]
fn a_deadline_amid_a_transfer_is_let_pass_and_the_next_ping_decides() {
    let mut rig = beating(3000, 1000);
    let conn = rig.connect();
    rig.advance(3000);
    let first = timestamps(&rig.received(conn));
    rig.moved_at = Some(rig.now.mono + 1);
    // The upload pauses, for longer than the timeout.
    rig.advance(2999);
    assert_eq!((timestamps(&rig.received(conn)).len(), rig.is_closed(conn)), (0, None));
    rig.advance(1);
    let second = timestamps(&rig.received(conn));
    assert_eq!(second.len(), 1, "pings come as ever");
    // Only the newest one can be answered, and took as long as it did.
    rig.engine.message(conn, &format!(r#"{{"type":"pong","timestamp":{}}}"#, first[0]), rig.now);
    rig.advance(250);
    rig.engine.message(conn, &format!(r#"{{"type":"pong","timestamp":{}}}"#, second[0]), rig.now);
    assert_eq!(rig.engine.conns.get(conn).and_then(|conn| conn.meter.ping_ms), Some(250));
    rig.advance(2750);
    assert_eq!(timestamps(&rig.received(conn)).len(), 1);
    rig.advance(1000);
    assert_eq!(rig.is_closed(conn), Some((4001, "heartbeat_timeout")), "nothing has moved");
}

#[test]
fn ten_deadlines_in_a_row_are_let_pass() {
    let mut rig = beating(1000, 300);
    let conn = rig.connect();
    for ping in 1..=10 {
        rig.advance(1000);
        assert_eq!(timestamps(&rig.received(conn)).len(), 1, "{ping}");
        rig.moved_at = Some(rig.now.mono + 1);
    }
    rig.advance(1000);
    rig.moved_at = Some(rig.now.mono + 1);
    rig.advance(299);
    assert_eq!(rig.is_closed(conn), None);
    rig.advance(1);
    assert_eq!(rig.is_closed(conn), Some((4001, "heartbeat_timeout")));
}

#[test]
fn the_timeout_is_never_longer_than_the_interval() {
    let mut rig = beating(1000, 5000);
    let conn = rig.connect();
    rig.advance(2000);
    assert_eq!(rig.is_closed(conn), Some((4001, "heartbeat_timeout")));
}

#[test]
fn answering_keeps_the_connection_and_pings_do_not_drift() {
    let mut rig = beating(1000, 300);
    let conn = rig.connect();
    let start = rig.now.wall;
    rig.received(conn);
    for beat in 1..=5u64 {
        rig.advance(1000 - if beat == 1 { 0 } else { 17 });
        let pings = timestamps(&rig.received(conn));
        assert_eq!(pings, [(start + beat * 1000) as f64], "beat {beat}");
        rig.advance(17);
        rig.send(conn, &format!(r#"{{"type":"pong","timestamp":{}}}"#, pings[0]));
    }
    assert_eq!(rig.is_closed(conn), None);
}

#[test]
fn only_a_pong_after_the_ping_with_its_timestamp_answers() {
    for forged in [
        // Before the ping, from the far future.
        (0, r#"{"type":"pong","timestamp":1e300}"#),
        // After it, but older.
        (1100, r#"{"type":"pong","timestamp":1}"#),
        // Traffic is no pong.
        (1100, r#"{"id":1,"type":"server.stats"}"#),
    ] {
        let mut rig = beating(1000, 300);
        let conn = rig.connect();
        rig.advance(forged.0);
        rig.send(conn, forged.1);
        rig.advance(1300 - forged.0);
        assert_eq!(rig.is_closed(conn), Some((4001, "heartbeat_timeout")), "{forged:?}");
    }
}

#[test]
fn input_that_has_arrived_is_read_before_a_timeout_is_declared() {
    let mut rig = beating(1000, 300);
    let conn = rig.connect();
    rig.unread.push(conn);
    rig.advance(1350);
    assert_eq!(rig.is_closed(conn), None);
    let pinged = timestamps(&rig.received(conn))[0];
    rig.send(conn, &format!(r#"{{"type":"pong","timestamp":{pinged}}}"#));
    rig.unread.clear();
    rig.advance(600);
    assert_eq!(rig.is_closed(conn), None);
}

#[test]
fn a_flood_of_input_does_not_put_the_timeout_off_for_ever() {
    let mut rig = beating(1000, 300);
    let conn = rig.connect();
    rig.unread.push(conn);
    rig.advance(3000);
    assert_eq!(rig.is_closed(conn), Some((4001, "heartbeat_timeout")));
}

#[test]
fn no_interval_means_no_heartbeat() {
    let mut rig = beating(0, 10);
    let conn = rig.connect();
    rig.advance(1_000_000);
    assert_eq!(timestamps(&rig.received(conn)).len(), 0);
    assert_eq!(rig.is_closed(conn), None);
}

#[test]
fn the_request_budget_slides() {
    let mut rig = Rig::new(EngineOptions { rate_limit: Some((2, 1000)), ..Default::default() });
    let conn = rig.connect();
    let code = |reply: Json| reply.get("code").and_then(Json::as_str).map(str::to_owned);
    let ask = r#"{"id":1,"type":"nothing"}"#;
    assert_eq!(code(rig.call(conn, ask)).as_deref(), Some("UNKNOWN_OPERATION"));
    rig.advance(400);
    assert_eq!(code(rig.call(conn, ask)).as_deref(), Some("UNKNOWN_OPERATION"));
    let refused = rig.call(conn, ask);
    assert_eq!(
        refused.to_text(),
        r#"{"id":1,"type":"error","code":"RATE_LIMITED","message":"Rate limit exceeded. Retry after 600ms","details":{"retryAfterMs":600}}"#
    );
    // Malformed messages cost nothing and are answered.
    assert_eq!(code(rig.call(conn, "{")).as_deref(), Some("PARSE_ERROR"));
    rig.advance(600);
    assert_eq!(code(rig.call(conn, ask)).as_deref(), Some("UNKNOWN_OPERATION"));
}

#[test]
fn shutdown_announces_waits_and_closes() {
    let mut rig = Rig::new(EngineOptions::default());
    let (a, b) = (rig.connect(), rig.connect());
    rig.received(a);
    rig.engine.shutdown(5000, rig.now);
    rig.drain();
    assert_eq!(
        rig.received(a)[0].to_text(),
        r#"{"type":"system","event":"shutdown","gracePeriodMs":5000}"#
    );
    // Service goes on, newcomers are refused without a welcome.
    assert!(rig.call(a, r#"{"id":1,"type":"server.stats"}"#).get("data").is_some());
    let late = rig.connect();
    assert_eq!(rig.is_closed(late), Some((1001, "server_shutting_down")));
    assert!(rig.received(late).is_empty());
    rig.advance(4999);
    assert!(!rig.stopped);
    rig.advance(1);
    assert_eq!(rig.is_closed(a), Some((1000, "server_shutdown")));
    assert_eq!(rig.is_closed(b), Some((1000, "server_shutdown")));
    assert!(rig.stopped);
}

#[test]
fn shutdown_ends_early_when_all_have_left_or_when_asked_again() {
    let mut rig = Rig::new(EngineOptions::default());
    let conn = rig.connect();
    rig.engine.shutdown(5000, rig.now);
    rig.engine.closed(conn, rig.now);
    rig.drain();
    assert!(rig.stopped);

    let mut rig = Rig::new(EngineOptions::default());
    let conn = rig.connect();
    rig.engine.shutdown(5000, rig.now);
    rig.engine.shutdown(5000, rig.now);
    rig.drain();
    assert_eq!(rig.is_closed(conn), Some((1000, "server_shutdown")));
    assert!(rig.stopped);

    let mut rig = Rig::new(EngineOptions::default());
    rig.engine.shutdown(5000, rig.now);
    rig.drain();
    assert!(rig.stopped, "nobody to wait for");
}

#[test]
fn a_panic_costs_one_connection() {
    let mut rig = Rig::new(EngineOptions::default());
    let others: Vec<ConnId> = (0..100).map(|_| rig.connect()).collect();
    let unlucky = rig.connect();
    let reply = rig.call(unlucky, r#"{"id":9,"type":"test.panic"}"#);
    assert_eq!(
        reply.to_text(),
        r#"{"id":9,"type":"error","code":"INTERNAL_ERROR","message":"Internal server error"}"#
    );
    assert_eq!(rig.is_closed(unlucky), Some((1011, "internal_error")));
    assert_eq!(rig.engine.metrics().panics, 1);
    for other in others {
        assert!(rig.call(other, r#"{"id":1,"type":"server.stats"}"#).get("data").is_some());
    }
}

/// A plain request of this machine.
fn plain(path: &str) -> HttpRequest<'_> {
    HttpRequest {
        path,
        address: [127, 0, 0, 1].into(),
        is_local: true,
        is_apart: false,
        foreign: None,
        authorization: None,
    }
}

#[test]
fn health_tells_whether_newcomers_are_served() {
    let mut rig = Rig::new(EngineOptions::default());
    let status = |rig: &mut Rig, path: &str| {
        let now = rig.now;
        rig.engine.http(&plain(path), now).map(|answer| answer.status)
    };
    assert_eq!(status(&mut rig, "/healthz"), Some(200));
    assert_eq!(status(&mut rig, "/other"), None);
    rig.connect();
    rig.engine.shutdown(100, rig.now);
    // Whoever restarts what does not answer must not cut a drain short.
    assert_eq!(status(&mut rig, "/healthz"), Some(200));
}

#[test]
fn readiness_says_why_not() {
    let mut rig = Rig::new(EngineOptions { shutdown_delay_ms: 500, ..EngineOptions::default() });
    let ready = |rig: &mut Rig| {
        let now = rig.now;
        let answer = rig.engine.http(&plain("/readyz"), now).expect("an answer");
        (answer.status, String::from_utf8(answer.body).expect("text"))
    };
    assert_eq!(ready(&mut rig), (200, "ready".into()));
    let conn = rig.connect();
    rig.engine.shutdown(0, rig.now);
    assert_eq!(ready(&mut rig), (503, "not ready: draining".into()));
    // All else is as before, for newcomers too.
    let other = rig.connect();
    assert!(rig.call(other, r#"{"id":1,"type":"server.stats"}"#).get("data").is_some());
    rig.advance(499);
    assert_eq!(rig.is_closed(conn), None);
    rig.advance(1);
    assert_eq!(rig.is_closed(conn), Some((1000, "server_shutdown")));
    assert_eq!(rig.is_closed(other), Some((1000, "server_shutdown")));
    rig.engine.storage_failed(rig.now);
    assert_eq!(ready(&mut rig), (503, "not ready: draining, storage failed".into()));
}

#[test]
fn a_second_request_to_stop_does_not_wait() {
    let mut rig = Rig::new(EngineOptions { shutdown_delay_ms: 500, ..EngineOptions::default() });
    let conn = rig.connect();
    rig.engine.shutdown(10_000, rig.now);
    assert_eq!(rig.is_closed(conn), None);
    rig.engine.shutdown(0, rig.now);
    rig.drain();
    assert_eq!(rig.is_closed(conn), Some((1000, "server_shutdown")));
    // What was planned before finds nobody.
    rig.advance(500);
}

/// The loop drops whoever is not being closed when it is told to stop, with the
/// output that waits for the disk.
#[test]
fn the_last_connection_is_closed_before_the_loop_is_told_to_stop() {
    for count in [1, 3] {
        let mut rig = Rig::new(EngineOptions::default());
        for _ in 0..count {
            rig.connect();
        }
        rig.engine.shutdown(0, rig.now);
        let effects = std::mem::take(rig.engine.effects());
        let stop = effects.list.iter().position(|effect| matches!(effect, Effect::Stop));
        let is_close = |effect: &Effect| matches!(effect, Effect::Close { .. });
        let last = effects.list.iter().rposition(is_close).expect("they are closed");
        assert_eq!(effects.list.iter().filter(|it| is_close(it)).count(), count);
        assert!(stop.expect("it stops") > last, "{:?}", effects.list);
    }
}

#[test]
fn a_request_that_waits_for_a_job_is_answered_when_it_is_done() {
    let mut rig = beating(1000, 300);
    let conn = rig.connect();
    rig.received(conn);
    assert_eq!(rig.engine.message(conn, r#"{"id":4,"type":"test.job"}"#, rig.now), Flow::Wait);
    rig.drain();
    assert!(rig.received(conn).is_empty());
    // The server holds its messages back, so a missing pong is not its fault.
    rig.advance(3000);
    assert_eq!(rig.is_closed(conn), None);
    rig.received(conn);
    rig.run_jobs();
    assert_eq!(rig.received(conn)[0].to_text(), r#"{"id":4,"type":"result","data":42}"#);
    assert_eq!(rig.resumed, [conn]);
}

#[test]
fn a_job_for_a_connection_that_is_gone_finds_nobody() {
    let mut rig = Rig::new(EngineOptions::default());
    let conn = rig.connect();
    rig.send(conn, r#"{"id":4,"type":"test.job"}"#);
    rig.engine.closed(conn, rig.now);
    rig.received(conn);
    rig.run_jobs();
    assert!(rig.received(conn).is_empty());
    assert!(rig.resumed.is_empty());
}

#[test]
fn shutdown_waits_for_jobs_but_not_for_ever() {
    for patient in [true, false] {
        let mut rig = Rig::new(EngineOptions::default());
        let (idle, busy) = (rig.connect(), rig.connect());
        rig.send(busy, r#"{"id":4,"type":"test.job"}"#);
        rig.engine.shutdown(0, rig.now);
        rig.drain();
        assert_eq!(rig.is_closed(idle), Some((1000, "server_shutdown")));
        assert_eq!(rig.is_closed(busy), None);
        rig.received(busy);
        if patient {
            rig.run_jobs();
            assert_eq!(rig.received(busy).len(), 1);
        } else {
            rig.advance(5000);
        }
        assert_eq!(rig.is_closed(busy), Some((1000, "server_shutdown")));
        assert!(rig.stopped);
    }
}

#[test]
fn a_definition_that_is_read_otherwise_than_it_is_written_is_warned_about() {
    let mut rig = Rig::new(EngineOptions::default());
    let conn = rig.connect();
    rig.received(conn);
    let answer = |rig: &mut Rig, request: &str| {
        let answer = rig.call(conn, &format!(r#"{{"id":1,{request}}}"#));
        answer.get("data").map(Json::to_text).unwrap_or_default()
    };
    let define = r#""type":"store.defineBucket","name":"b","config":{"key":"id","schema":{"id":{"type":"string","auto":"uuid"}}}"#;
    assert_eq!(
        answer(&mut rig, define),
        r#"{"name":"b","created":true,"warnings":["field \"id\": \"auto\" is read as \"generated\""]}"#
    );
    let inserted = answer(&mut rig, r#""type":"store.insert","bucket":"b","data":{}"#);
    assert!(inserted.starts_with(r#"{"id":""#), "{inserted}");
    let add = |field: &str| {
        format!(r#""type":"store.updateBucket","name":"b","updates":{{"addFields":{{{field}}}}}"#)
    };
    assert_eq!(
        answer(&mut rig, &add(r#""t":{"type":"number","auto":"timestamp"}"#)),
        r#"{"name":"b","updated":true,"warnings":["field \"t\": \"auto\" is read as \"generated\""]}"#
    );
    assert_eq!(
        answer(&mut rig, &add(r#""u":{"type":"number","auto":"never"}"#)),
        r#"{"name":"b","updated":true,"warnings":["addFields.u: unknown member \"auto\""]}"#
    );
}
