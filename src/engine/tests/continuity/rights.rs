//! Tokens and what may be read: a right that changes and changes back, keys that
//! were never shown, and rights that are decided anew whatever a token says.

use super::client::{Held, State};
use super::{at, call};
use crate::app::{App as _, ConnId};
use crate::engine::EngineOptions;
use crate::engine::tests::Rig;
use crate::engine::tests::rows::set_external;
use crate::json::Json;

const AUTH: &str = r#"{"required":false,"tokens":{
    "ann":{"userId":"ann","roles":["admin"]},"mod":{"userId":"mod","roles":["admin","moderator"]},
    "writer":{"userId":"ann","roles":["some"]}},
    "permissions":{"default":"allow","rules":[{"role":"some","allow":["store.live","store.insert"],"buckets":["r"]}]}}"#;
const SETUP: [&str; 3] = [
    r#""store.defineBucket","name":"members","config":{"key":"id","schema":{"id":{"type":"string"},"user":{"type":"string"},"t":{"type":"string"}}}"#,
    r#""access.defineSet","name":"mine","bucket":"members","filter":{"user":"{{ session.userId }}"},"field":"t""#,
    r#""store.defineBucket","name":"r","config":{"key":"id","schema":{"id":{"type":"number"},"t":{"type":"string"}},"rows":{"read":{"t":{"$in":"{{ sets.mine }}"}},"insert":true,"bypass":["moderator"]}}"#,
];
const DELTA: &str = r#""store.live","bucket":"r","fields":["id"],"mode":"delta","positions":true"#;
const FULL: &str = r#""store.live","bucket":"r","fields":["id"]"#;

struct World {
    rig: Rig,
    writer: ConnId,
}

impl World {
    fn new() -> World {
        let options = EngineOptions {
            first_push_delay_ms: 0,
            heartbeat_interval_ms: 0,
            ..EngineOptions::default()
        };
        let mut rig = Rig::new(options);
        set_external(&mut rig.engine, AUTH);
        let writer = rig.connect();
        call(&mut rig, writer, r#""auth.login","token":"mod""#);
        for body in SETUP {
            call(&mut rig, writer, body);
        }
        let mut world = World { rig, writer };
        world.member("x", true);
        (1..4).for_each(|id| world.put(id, "x"));
        world.put(9, "y");
        world
    }

    fn write(&mut self, body: &str) {
        call(&mut self.rig, self.writer, body);
    }

    fn put(&mut self, id: u32, tag: &str) {
        self.write(&format!(r#""store.upsert","bucket":"r","data":{{"id":{id},"t":"{tag}"}}"#));
    }

    fn delete(&mut self, id: u32) {
        self.write(&format!(r#""store.delete","bucket":"r","key":{id}"#));
    }

    /// Ann may see what has this tag, or may not.
    fn member(&mut self, tag: &str, is: bool) {
        self.write(&match is {
            true => format!(
                r#""store.upsert","bucket":"members","data":{{"id":"{tag}","user":"ann","t":"{tag}"}}"#
            ),
            false => format!(r#""store.delete","bucket":"members","key":"{tag}""#),
        });
    }

    fn login(&mut self, token: &str) -> ConnId {
        let conn = self.rig.connect();
        self.rig.received(conn);
        call(&mut self.rig, conn, &format!(r#""auth.login","token":"{token}""#));
        conn
    }

    fn subscribe(&mut self, conn: ConnId, held: &mut Held) -> String {
        let answer = call(&mut self.rig, conn, &format!("{},{}", held.request, held.resume()));
        held.answered(&answer);
        let data = answer.get("data").expect("data");
        match data.get("reason").and_then(Json::as_str) {
            Some(reason) => reason.to_owned(),
            None => data.get("removed").map_or_else(
                || data.get("resumed").expect("resumed").to_text(),
                |removed| format!("removed {removed}"),
            ),
        }
    }

    fn leave(&mut self, conn: ConnId) {
        self.rig.engine.closed(conn, self.rig.now);
    }

    /// What the client has is what somebody with the same rights is answered.
    fn check(&mut self, token: &str, held: &Held) {
        let conn = self.login(token);
        let mut fresh = Held::new(&held.request);
        fresh.answered(&call(&mut self.rig, conn, &held.request));
        assert_eq!(held.state.comparable(), fresh.state.comparable());
        self.leave(conn);
    }
}

#[test]
fn a_right_that_changes_and_changes_back_makes_two_tokens() {
    for request in [DELTA, FULL] {
        // With a result that differs, and with one that does not.
        for tag in ["y", "z"] {
            let mut world = World::new();
            let conn = world.login("ann");
            let mut held = Held::new(request);
            world.subscribe(conn, &mut held);
            let first = held.clone();
            world.member(tag, true);
            let pushes = world.rig.received(conn);
            assert_eq!(pushes.len(), 1, "{request} {tag}: {pushes:?}");
            assert!(pushes[0].get("token").is_some(), "{}", pushes[0]);
            assert!(held.pushed(&pushes[0]));
            let second = held.clone();
            let token = |held: &Held| held.position.as_ref().expect("a position").token.clone();
            assert_ne!(token(&first), token(&second));
            world.leave(conn);
            // While it is away the right goes again, and somebody keeps the view.
            world.member(tag, false);
            let other = world.login("ann");
            call(&mut world.rig, other, request);
            let conn = world.login("ann");
            let mut back = second.clone();
            assert_eq!(world.subscribe(conn, &mut back), "definition", "{request} {tag}");
            world.check("ann", &back);
            // The first token names what is shown again.
            let mut back = first.clone();
            assert_eq!(world.subscribe(conn, &mut back), "true", "{request} {tag}");
            world.check("ann", &back);
        }
    }
}

#[test]
fn without_resume_nothing_is_pushed_for_a_result_that_is_equal() {
    let mut world = World::new();
    let conn = world.login("ann");
    call(&mut world.rig, conn, FULL);
    world.member("z", true);
    assert_eq!(world.rig.received(conn), Vec::<Json>::new());
}

#[test]
fn no_key_is_told_that_was_never_shown() {
    let mut world = World::new();
    let conn = world.login("ann");
    let mut held = Held::new(DELTA);
    world.subscribe(conn, &mut held);
    let position = held.position.clone().expect("a position");
    assert!(position.asks_for_keys);
    world.leave(conn);
    // A hidden record changes: with the keys nothing is said of it.
    world.put(9, "y");
    world.put(10, "y");
    let conn = world.login("ann");
    let mut back = held.clone();
    assert_eq!(world.subscribe(conn, &mut back), "true");
    world.check("ann", &back);
    // Without them the answer is whole, as it would name what was never shown.
    let mut bare = held.clone();
    bare.position.as_mut().expect("a position").asks_for_keys = false;
    assert_eq!(world.subscribe(conn, &mut bare), "whole");
    // One that goes out of sight, one that goes, one that was hidden and goes.
    world.leave(conn);
    world.put(1, "y");
    world.delete(2);
    world.delete(9);
    let conn = world.login("ann");
    assert_eq!(world.subscribe(conn, &mut back), "removed [1,2]");
    world.check("ann", &back);
    // Where all of them are in the result, no keys are needed.
    world.leave(conn);
    let mut bare = back.clone();
    bare.position.as_mut().expect("a position").asks_for_keys = false;
    world.put(3, "x");
    let conn = world.login("ann");
    assert_eq!(world.subscribe(conn, &mut bare), "true");
    world.check("ann", &bare);
}

#[test]
fn who_may_not_ask_for_a_record_is_asked_for_keys() {
    let mut world = World::new();
    let (all, some) = (world.login("mod"), world.login("writer"));
    let (mut free, mut bound) = (Held::new(DELTA), Held::new(DELTA));
    world.subscribe(all, &mut free);
    world.subscribe(some, &mut bound);
    let asks = |held: &Held| held.position.as_ref().expect("a position").asks_for_keys;
    assert!(!asks(&free), "sees everything, and may ask for it");
    assert!(asks(&bound));
    world.delete(1);
    world.leave(all);
    world.leave(some);
    let (all, some) = (world.login("mod"), world.login("writer"));
    assert_eq!(world.subscribe(all, &mut free), "removed [1]");
    assert_eq!(world.subscribe(some, &mut bound), "removed [1]");
}

#[test]
fn a_token_of_somebody_else_shows_nothing() {
    let mut world = World::new();
    let all = world.login("mod");
    let mut seen = Held::new(DELTA);
    world.subscribe(all, &mut seen);
    world.put(9, "y");
    let ann = world.login("ann");
    // With all keys of the other: what she may not see is not told.
    assert_eq!(world.subscribe(ann, &mut seen), "definition");
    world.check("ann", &seen);
    let State::List { keys, .. } = &seen.state else { panic!("a list") };
    assert_eq!(keys, &["1", "2", "3"]);
}

#[test]
fn a_resync_names_the_state_that_it_answers() {
    let mut world = World::new();
    let conn = world.login("ann");
    let mut held = Held::new(DELTA);
    world.subscribe(conn, &mut held);
    world.rig.stall(conn, true);
    world.member("y", true);
    let id = held.id.clone();
    let text = format!(r#"{{"id":5,"type":"store.resync","subscriptionId":"{id}"}}"#);
    world.rig.send(conn, &text);
    world.rig.stall(conn, false);
    for message in world.rig.received(conn) {
        match message.get("id") {
            Some(_) => held.resynced(at(&message, "data").expect("data")),
            None => assert!(held.pushed(&message)),
        }
    }
    world.check("ann", &held);
    world.leave(conn);
    world.member("y", false);
    let conn = world.login("ann");
    assert_eq!(world.subscribe(conn, &mut held), "definition");
    world.check("ann", &held);
}
