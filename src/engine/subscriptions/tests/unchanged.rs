//! A result that is as it was is pushed to nobody, whatever happened to its
//! bucket, and also where nobody keeps the rows: one subscriber of deltas
//! without positions.

use super::*;

const DELTA: &str = r#""mode":"delta""#;

/// The rig, the admin, a subscriber with his subscription, and what he was told.
struct World {
    rig: Rig,
    admin: ConnId,
    conn: ConnId,
    id: String,
}

impl World {
    fn new(options: EngineOptions, query: &str) -> World {
        let (mut rig, admin) = rig_with(options);
        for record in [r#"{"id":1,"n":1,"room":"a"}"#, r#"{"id":2,"n":2,"room":"b"}"#] {
            insert(&mut rig, admin, record);
        }
        let conn = rig.connect();
        let (id, told) = subscribe_settled(&mut rig, conn, &format!("{query},{DELTA}"));
        assert_eq!(told.get("positions"), Some(&Json::Bool(false)), "{told}");
        pushes(&mut rig, conn, &id);
        World { rig, admin, conn, id }
    }

    /// What a request makes the subscriber hear.
    fn heard(&mut self, request: &str) -> Vec<String> {
        let reply = self.rig.call(self.admin, &format!(r#"{{"id":5,"type":{request}}}"#));
        assert_eq!(reply.get("type").and_then(Json::as_str), Some("result"), "{request}: {reply}");
        self.rig.advance(1_000);
        pushes(&mut self.rig, self.conn, &self.id)
    }
}

fn options() -> EngineOptions {
    EngineOptions { heartbeat_interval_ms: 0, ..EngineOptions::default() }
}

#[test]
fn a_definition_that_changes_changes_no_result() {
    let mut world = World::new(options(), r#""query":"all""#);
    for updates in [
        "{}",
        r#"{"addFields":{"more":{"type":"string"}}}"#,
        r#"{"addIndexes":["n"]}"#,
        r#"{"ttl":3600000}"#,
    ] {
        let update = format!(r#""store.updateBucket","name":"t","updates":{updates}"#);
        assert_eq!(world.heard(&update), [""; 0], "{updates}");
    }
    // And it is followed as before.
    let next = world.heard(r#""store.update","bucket":"t","key":1,"data":{"n":5}"#);
    assert_eq!(next, [r#"{"seq":1,"changed":[{"key":1,"row":{"id":1,"n":5}}]}"#]);
}

#[test]
fn what_was_empty_is_cleared_without_a_word() {
    let mut world = World::new(options(), r#""query":"room","params":{"room":"c"}"#);
    assert_eq!(world.heard(r#""store.clear","bucket":"t""#), [""; 0]);
    let mut world = World::new(options(), r#""query":"room","params":{"room":"a"}"#);
    let reset = r#"{"seq":1,"reset":true,"keys":[],"data":[]}"#;
    assert_eq!(world.heard(r#""store.clear","bucket":"t""#), [reset]);
    assert_eq!(world.heard(r#""store.clear","bucket":"t""#), [""; 0]);
}

#[test]
fn what_lags_is_told_nothing_of_what_it_does_not_show() {
    let limits = EngineOptions { view_steps: 1, costly_view_ms: 50, ..options() };
    let mut world = World::new(limits, r#""query":"room","params":{"room":"a"}"#);
    // A look at what a record was, and one at what it is, are too many.
    let first = world.heard(r#""store.update","bucket":"t","key":1,"data":{"n":3}"#);
    assert_eq!(first, [r#"{"seq":1,"changed":[{"key":1,"row":{"id":1,"n":3}}]}"#]);
    assert_eq!(world.rig.engine.views.costly_queries(), 1);
    for id in 11..14 {
        let elsewhere =
            format!(r#""store.insert","bucket":"t","data":{{"id":{id},"n":1,"room":"z"}}"#);
        assert_eq!(world.heard(&elsewhere), [""; 0]);
        // What is not shown of a row that is.
        let hidden = r#""store.update","bucket":"t","key":1,"data":{"n":3}"#;
        assert_eq!(world.heard(hidden), [""; 0]);
    }
    let shown = world.heard(r#""store.update","bucket":"t","key":1,"data":{"n":7}"#);
    assert_eq!(shown.len(), 1, "{shown:?}");
    assert!(shown[0].starts_with(r#"{"seq":2,"#) && shown[0].contains(r#""n":7"#), "{shown:?}");
}
