//! The first events of a subscription wait until its client knows it.

use super::*;
use crate::engine::rules_bridge::first_events::{MAX_WAITING_BYTES, MAX_WAITING_EVENTS};

fn waiting() -> (Rig, ConnId) {
    let options = EngineOptions { heartbeat_interval_ms: 0, ..EngineOptions::default() };
    rig_with(options, RulesSetup::default())
}

fn emit(rig: &mut Rig, from: ConnId, topic: &str, n: usize) {
    let emit = format!(r#"{{"id":1,"type":"rules.emit","topic":"{topic}","data":{{"n":{n}}}}}"#);
    rig.send(from, &emit);
}

/// The numbers of the events that were pushed, and what else came.
fn pushed(rig: &mut Rig, conn: ConnId) -> (Vec<f64>, Vec<Json>) {
    let number = |message: &Json| match message.get("data")?.get("event")?.get("data")?.get("n")? {
        Json::Number(n) => Some(*n),
        _ => None,
    };
    let (events, others): (Vec<Json>, _) =
        rig.received(conn).into_iter().partition(|message| number(message).is_some());
    (events.iter().filter_map(number).collect(), others)
}

#[test]
fn events_wait_for_the_proof_and_keep_their_order() {
    let (mut rig, conn) = waiting();
    let other = rig.connect();
    rig.mute(conn, true);
    subscribe(&mut rig, conn, "t");
    for n in 0..3 {
        emit(&mut rig, other, "t", n);
    }
    rig.advance(100);
    assert!(pushed(&mut rig, conn).0.is_empty());
    rig.mute(conn, false);
    assert_eq!(pushed(&mut rig, conn).0, [0.0, 1.0, 2.0]);
    emit(&mut rig, other, "t", 3);
    assert_eq!(pushed(&mut rig, conn).0, [3.0]);
}

#[test]
fn the_delay_is_kept_although_the_pings_are_answered() {
    let (mut rig, conn) = waiting();
    subscribe(&mut rig, conn, "t");
    emit(&mut rig, conn, "t", 0);
    assert!(pushed(&mut rig, conn).0.is_empty());
    rig.advance(9);
    assert!(pushed(&mut rig, conn).0.is_empty());
    rig.advance(2);
    assert_eq!(pushed(&mut rig, conn).0, [0.0]);
}

#[test]
fn a_peer_that_answers_no_pings_is_served_in_the_end() {
    let (mut rig, conn) = waiting();
    rig.mute(conn, true);
    subscribe(&mut rig, conn, "t");
    emit(&mut rig, conn, "t", 0);
    rig.advance(2_000);
    assert!(pushed(&mut rig, conn).0.is_empty());
    rig.advance(20);
    assert_eq!(pushed(&mut rig, conn).0, [0.0]);
}

#[test]
fn what_waits_is_bounded_and_the_rest_is_told_behind_it() {
    let (mut rig, conn) = waiting();
    let other = rig.connect();
    rig.mute(conn, true);
    let id = subscribe(&mut rig, conn, "t");
    for n in 0..MAX_WAITING_EVENTS + 2 {
        emit(&mut rig, other, "t", n);
    }
    rig.advance(100);
    rig.received(conn);
    rig.mute(conn, false);
    let (events, others) = pushed(&mut rig, conn);
    assert_eq!(events.len(), MAX_WAITING_EVENTS);
    let expected = format!(
        r#"{{"type":"system","event":"pushes_dropped","subscriptionId":"{id}","count":2}}"#
    );
    assert_eq!(others.iter().map(Json::to_text).collect::<Vec<_>>(), [expected]);
}

#[test]
fn bytes_that_wait_are_bounded_too() {
    let (mut rig, conn) = waiting();
    rig.mute(conn, true);
    subscribe(&mut rig, conn, "t");
    let text = "x".repeat(MAX_WAITING_BYTES / 4);
    for n in 0..5 {
        let data = format!(r#"{{"n":{n},"text":"{text}"}}"#);
        rig.send(conn, &format!(r#"{{"id":1,"type":"rules.emit","topic":"t","data":{data}}}"#));
    }
    rig.advance(100);
    rig.received(conn);
    rig.mute(conn, false);
    let (events, others) = pushed(&mut rig, conn);
    assert_eq!(events, [0.0, 1.0, 2.0]);
    assert_eq!(others[0].get("count"), Some(&Json::Number(2.0)));
}

#[test]
fn events_of_an_ended_subscription_are_forgotten() {
    let (mut rig, conn) = waiting();
    let (a, _) = (subscribe(&mut rig, conn, "t"), subscribe(&mut rig, conn, "*"));
    emit(&mut rig, conn, "t", 0);
    ok(&mut rig, conn, &format!(r#""type":"rules.unsubscribe","subscriptionId":"{a}""#));
    rig.advance(20);
    assert_eq!(pushed(&mut rig, conn).0, [0.0]);
}
