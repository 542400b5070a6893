//! `commit` on messages, and the bookmark on pings.

use super::{at, call, number_at};
use crate::app::ConnId;
use crate::engine::EngineOptions;
use crate::engine::tests::Rig;
use crate::json::Json;

const DEFINE: &str = r#""store.defineBucket","name":"a","config":{"key":"id","schema":{"id":{"type":"number"},"n":{"type":"number"}}}"#;
const OPEN: &str = r#""session.open","commits":true"#;
const QUERY: &str = r#""store.defineQuery","name":"q","config":{"bucket":"a"}"#;

fn rig() -> (Rig, ConnId, ConnId) {
    let options = EngineOptions { first_push_delay_ms: 0, ..EngineOptions::default() };
    let mut rig = Rig::new(options);
    let (writer, reader) = (rig.connect(), rig.connect());
    call(&mut rig, writer, DEFINE);
    call(&mut rig, writer, QUERY);
    call(&mut rig, reader, OPEN);
    (rig, writer, reader)
}

/// The texts that a connection was sent since the last look.
fn texts(rig: &mut Rig, conn: ConnId) -> Vec<String> {
    rig.received(conn).iter().map(Json::to_text).collect()
}

fn insert(id: u32) -> String {
    format!(r#""store.insert","bucket":"a","data":{{"id":{id}}}"#)
}

fn sync(commit: f64, complete: bool) -> Json {
    let members = [("commit", Json::Number(commit)), ("complete", Json::Bool(complete))];
    Json::Object(members.into_iter().collect())
}

#[test]
fn who_wants_to_know_is_told_the_commit_of_each_state() {
    let (mut rig, writer, reader) = rig();
    let answer = call(&mut rig, reader, r#""store.subscribe","query":"q""#);
    let expected =
        r#"{"id":1,"type":"result","commit":2,"data":{"subscriptionId":"sub-1","data":[]}}"#;
    assert_eq!(answer.to_text(), expected);
    let answer = call(&mut rig, reader, r#""store.live","bucket":"a","mode":"delta""#);
    assert_eq!(number_at(&answer, "commit"), 2.0);
    // A write's own commit, and none where nothing was committed.
    let answer = call(&mut rig, reader, r#""store.delete","bucket":"a","key":9"#);
    assert_eq!(answer.to_text(), r#"{"id":1,"type":"result","data":{"deleted":true}}"#);
    call(&mut rig, writer, &insert(1));
    let pushed = texts(&mut rig, reader);
    let (full, delta) = (&pushed[0], &pushed[1]);
    assert!(full.contains(r#""subscriptionId":"sub-1","commit":3,"data":[{"id":1"#), "{full}");
    assert!(delta.contains(r#""subscriptionId":"sub-2","commit":3,"data":{"seq":1,"#), "{delta}");
    rig.received(reader);
    rig.send(reader, &format!(r#"{{"id":1,"type":{}}}"#, insert(2)));
    let mine = texts(&mut rig, reader);
    assert!(
        mine[0].starts_with(r#"{"id":1,"type":"result","commit":4,"data":{"id":2,"#),
        "{mine:?}"
    );
    let answer = call(&mut rig, reader, r#""store.resync","subscriptionId":"sub-2""#);
    assert_eq!((number_at(&answer, "commit"), number_at(&answer, "data.seq")), (4.0, 2.0));
    // Several commits of one request: each push its own, the answer the last.
    let answers = {
        rig.send(
            reader,
            r#"{"id":2,"type":"store.defineQuery","name":"r","config":{"bucket":"a"}}"#,
        );
        texts(&mut rig, reader)
    };
    assert_eq!(
        answers,
        [r#"{"id":2,"type":"result","commit":5,"data":{"name":"r","defined":true}}"#]
    );
    let refused = rig.call(reader, &format!(r#"{{"id":1,"type":{}}}"#, r#""store.get""#));
    assert!(refused.get("commit").is_none(), "{refused}");
}

#[test]
fn who_does_not_is_sent_what_was_always_sent() {
    let (mut rig, writer, _) = rig();
    let answer = call(&mut rig, writer, r#""store.subscribe","query":"q""#);
    let expected = r#"{"id":1,"type":"result","data":{"subscriptionId":"sub-1","data":[]}}"#;
    assert_eq!(answer.to_text(), expected);
    rig.send(writer, &format!(r#"{{"id":1,"type":{}}}"#, insert(1)));
    rig.advance(30_000);
    for text in texts(&mut rig, writer) {
        assert!(!text.contains("commit") && !text.contains("token"), "{text}");
    }
}

#[test]
fn a_bookmark_is_left_out_while_something_is_owed() {
    let options =
        EngineOptions { first_push_delay_ms: 0, max_buffered_bytes: 200, ..Default::default() };
    let mut rig = Rig::new(options);
    let (writer, reader) = (rig.connect(), rig.connect());
    call(&mut rig, writer, DEFINE);
    call(&mut rig, writer, QUERY);
    call(&mut rig, reader, OPEN);
    call(&mut rig, reader, r#""store.subscribe","query":"q","mode":"delta""#);
    let mut stamp = 0.0;
    let mut ping = |rig: &mut Rig, pongs: bool| {
        rig.send(reader, &format!(r#"{{"type":"pong","timestamp":{}}}"#, rig.now.wall));
        rig.send(writer, &format!(r#"{{"type":"pong","timestamp":{}}}"#, rig.now.wall));
        rig.advance(30_000);
        let messages = rig.received(reader);
        let is_ping = |it: &&Json| it.get("type").and_then(Json::as_str) == Some("ping");
        let ping = messages.iter().find(is_ping).cloned();
        assert_eq!(ping.is_some(), pongs, "{messages:?}");
        if let Some(ping) = &ping {
            assert!(number_at(ping, "timestamp") > stamp);
            stamp = number_at(ping, "timestamp");
        }
        ping
    };
    let first = ping(&mut rig, true).expect("a ping");
    assert_eq!(number_at(&first, "commit"), 2.0);
    rig.stall(reader, true);
    for id in 1..9 {
        call(&mut rig, writer, &insert(id));
    }
    // Behind those that were sent before the mark was reached.
    assert_eq!(rig.engine.bookmark(reader), None);
    rig.send(reader, r#"{"id":7,"type":"session.sync"}"#);
    rig.stall(reader, false);
    let messages = rig.received(reader);
    let synced = messages.iter().find(|it| it.get("id").is_some()).expect("an answer");
    assert_eq!(at(synced, "data"), Some(&sync(10.0, false)));
    let reset = messages.last().expect("pushes");
    assert!(at(reset, "data.reset").is_some(), "{reset}");
    assert_eq!(number_at(reset, "commit"), 10.0);
    let synced = call(&mut rig, reader, r#""session.sync""#);
    assert_eq!(at(&synced, "data"), Some(&sync(10.0, true)));
    let next = ping(&mut rig, true).expect("a ping");
    assert_eq!(number_at(&next, "commit"), 10.0);
    call(&mut rig, reader, r#""session.open","commits":false"#);
    let last = ping(&mut rig, true).expect("a ping");
    assert!(last.get("commit").is_none(), "{last}");
}
