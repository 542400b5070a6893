//! Many come back with the same: what they are told is made once.

use super::client::Held;
use super::{at, call};
use crate::app::{App as _, ConnId};
use crate::engine::EngineOptions;
use crate::engine::tests::Rig;
use crate::json::Json;

const DEFINE: &str = r#""store.defineBucket","name":"a","config":{"key":"id",
    "schema":{"id":{"type":"number"},"n":{"type":"number"}}}"#;
const LIVE: &str =
    r#""store.live","bucket":"a","sort":{"n":"asc"},"mode":"delta","positions":true"#;

/// What the client comes back with is answered, and what that took.
fn come_back(rig: &mut Rig, held: &Held) -> (Held, String, u64) {
    let conn = rig.connect();
    rig.received(conn);
    let mut held = held.clone();
    let answer = call(rig, conn, &format!("{},{}", held.request, held.resume()));
    let spent = rig.engine.spent().request;
    assert!(held.answered(&answer), "{answer}");
    let changed = at(&answer, "data.changed").map(Json::to_text).unwrap_or_default();
    rig.engine.closed(conn, rig.now);
    rig.drain();
    (held, changed, spent)
}

fn write(rig: &mut Rig, writer: ConnId, id: usize, n: usize) {
    let upsert = format!(r#""store.upsert","bucket":"a","data":{{"id":{id},"n":{n}}}"#);
    call(rig, writer, &upsert);
}

#[test]
fn who_comes_back_with_the_same_is_told_the_same_text() {
    let mut rig = Rig::new(EngineOptions { first_push_delay_ms: 0, ..EngineOptions::default() });
    let writer = rig.connect();
    call(&mut rig, writer, DEFINE);
    (0..200).for_each(|id| write(&mut rig, writer, id, id));
    let first = rig.connect();
    let mut held = Held::new(LIVE);
    let answer = call(&mut rig, first, &format!("{LIVE},{}", held.resume()));
    held.answered(&answer);
    // Its view stays, so that nobody pays for one.
    write(&mut rig, writer, 0, 500);
    let (later, ..) = come_back(&mut rig, &held);
    (1..50).for_each(|id| write(&mut rig, writer, id, 500 + id));
    rig.received(first);

    let (one, text, cost) = come_back(&mut rig, &held);
    for _ in 0..3 {
        let (other, same, less) = come_back(&mut rig, &held);
        assert_eq!((other.state.comparable(), &same), (one.state.comparable(), &text));
        assert!(less * 5 < cost, "{less} of {cost} steps");
    }
    // Another position has another answer, with the same end.
    let (other, shorter, _) = come_back(&mut rig, &later);
    assert_eq!(other.state.comparable(), one.state.comparable());
    assert_ne!(shorter, text);
    assert_eq!(come_back(&mut rig, &later).1, shorter);
    // After one more commit there is more to tell.
    write(&mut rig, writer, 60, 1);
    let (newer, longer, again) = come_back(&mut rig, &held);
    assert!(longer.len() > text.len() && again >= cost, "{again} of {cost} steps");
    assert_ne!(newer.state.comparable(), one.state.comparable());
    let fresh = rig.connect();
    let mut whole = Held::new(LIVE);
    whole.answered(&call(&mut rig, fresh, LIVE));
    assert_eq!(newer.state.comparable(), whole.state.comparable());
    rig.engine.check_invariants();
}
