//! Which commits have numbers.

use super::{at, call, number_at};
use crate::engine::EngineOptions;
use crate::engine::tests::Rig;
use crate::json::Json;

const DEFINE: &str =
    r#""store.defineBucket","name":"a","config":{"key":"id","schema":{"id":{"type":"number"}}}"#;

#[test]
fn without_storage_every_commit_is_counted_from_one() {
    let mut rig = Rig::new(EngineOptions::default());
    let conn = rig.connect();
    let expect = |rig: &mut Rig, body: &str, commit: f64| {
        rig.send(conn, &format!(r#"{{"id":1,"type":{body}}}"#));
        rig.received(conn);
        let stats = call(rig, conn, r#""server.stats","details":true"#);
        assert_eq!(number_at(&stats, "data.continuity.commit"), commit, "{body}");
        assert_eq!(number_at(&stats, "data.continuity.durableCommit"), commit, "{body}");
        stats
    };
    expect(&mut rig, r#""ping""#, 0.0);
    expect(&mut rig, DEFINE, 1.0);
    expect(&mut rig, r#""store.insert","bucket":"a","data":{"id":1}"#, 2.0);
    // Refused, and read.
    expect(&mut rig, r#""store.update","bucket":"a","key":7,"data":{}"#, 2.0);
    expect(&mut rig, r#""store.all","bucket":"a""#, 2.0);
    let transaction = r#""store.transaction","operations":[
        {"op":"insert","bucket":"a","data":{"id":2}},{"op":"insert","bucket":"a","data":{"id":3}}]"#;
    let stats = expect(&mut rig, transaction, 3.0);
    assert_eq!(number_at(&stats, "data.continuity.ring.entries"), 3.0);
    assert_eq!(number_at(&stats, "data.continuity.ring.from"), 0.0);
    assert!(number_at(&stats, "data.continuity.ring.bytes") >= 144.0);
    let defined = r#""store.defineQuery","name":"q","config":{"bucket":"a"}"#;
    expect(&mut rig, defined, 4.0);
    let stats = expect(&mut rig, r#""store.clear","bucket":"a""#, 5.0);
    // What is before the barrier goes in its turn.
    assert_eq!(number_at(&stats, "data.continuity.ring.entries"), 3.0);
    let epoch = at(&stats, "data.continuity.epoch").and_then(Json::as_str).expect("an epoch");
    assert!(epoch.len() == 32 && epoch.bytes().all(|byte| byte.is_ascii_hexdigit()), "{epoch}");
}

#[test]
fn another_run_without_storage_is_another_epoch() {
    let epoch = |seed: u8| {
        let rig = Rig::new(EngineOptions { seed: [seed; 32], ..EngineOptions::default() });
        rig.engine.epoch()
    };
    assert_ne!(epoch(1), epoch(2));
    assert_eq!(epoch(1), epoch(1), "the same seed gives the same outputs");
}
