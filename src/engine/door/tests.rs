//! Calls against the clock: signs of life, sockets that are stuck, sessions that
//! end, a shutdown.

use crate::app::{App, Asked, CallAnswer, ConnId, TransportView};
use crate::engine::EngineOptions;
use crate::engine::tests::{Rig, rig_of};
use crate::json::Json;

fn options() -> EngineOptions {
    EngineOptions { heartbeat_interval_ms: 0, ..EngineOptions::default() }
}

/// A bucket and a query over it.
fn prepare(rig: &mut Rig) -> ConnId {
    let conn = rig.connect();
    for text in [
        r#"{"id":1,"type":"store.defineBucket","name":"b","config":{"key":"k","schema":{"k":{"type":"number"},"t":{"type":"string"}}}}"#,
        r#"{"id":2,"type":"store.defineQuery","name":"q","config":{"bucket":"b"}}"#,
    ] {
        rig.send(conn, text);
    }
    rig.received(conn);
    conn
}

fn insert(rig: &mut Rig, conn: ConnId, key: u64, text: &str) {
    let data = format!(r#"{{"k":{key},"t":"{text}"}}"#);
    rig.send(conn, &format!(r#"{{"id":3,"type":"store.insert","bucket":"b","data":{data}}}"#));
}

fn live(rig: &mut Rig, query: &str, authorization: Option<&str>) -> ConnId {
    rig.through_door(Asked::Events { query, last_event_id: None }, authorization)
}

/// The blocks that a stream was sent.
fn blocks(rig: &mut Rig, stream: ConnId) -> Vec<String> {
    let all = rig.received(stream);
    let text: String = all.iter().map(|part| part.as_str().expect("text").to_owned()).collect();
    assert!(text.is_empty() || text.ends_with("\n\n"), "{text:?}");
    text.split_terminator("\n\n").map(str::to_owned).collect()
}

/// Where a stream is.
fn id_of(block: &str) -> Option<(&str, u64)> {
    let line = block.lines().find_map(|line| line.strip_prefix("id: "))?;
    let (token, commit) = line.split_once('.')?;
    Some((token, commit.parse().ok()?))
}

fn answered(rig: &Rig, conn: ConnId) -> Option<&CallAnswer> {
    rig.answers.iter().find(|(to, _)| *to == conn).map(|(_, answer)| answer)
}

/// A socket that takes nothing since a time.
struct Stuck(u64);

impl TransportView for Stuck {
    fn has_unread_input(&self, _conn: ConnId) -> bool {
        false
    }

    fn is_read_paused(&self, _conn: ConnId) -> bool {
        false
    }

    fn last_output_progress(&self, _conn: ConnId) -> u64 {
        self.0
    }

    fn is_blocked(&self, _conn: ConnId) -> bool {
        true
    }
}

#[test]
fn an_idle_stream_moves_on() {
    let mut rig = Rig::new(options());
    let conn = prepare(&mut rig);
    let stream = live(&mut rig, "query=q", None);
    let first = blocks(&mut rig, stream);
    assert_eq!(first.len(), 2, "{first:?}");
    let (token, commit) = id_of(&first[1]).expect("an id");
    // Something that the query does not read.
    rig.send(conn, r#"{"id":4,"type":"store.defineBucket","name":"other","config":{"key":"k","schema":{"k":{"type":"number"}}}}"#);
    rig.send(conn, r#"{"id":5,"type":"store.insert","bucket":"other","data":{"k":1}}"#);
    rig.advance(14_000);
    assert_eq!(blocks(&mut rig, stream), Vec::<String>::new());
    rig.advance(2_000);
    let alive = blocks(&mut rig, stream);
    let [block] = alive.as_slice() else { panic!("{alive:?}") };
    let (same, moved) = id_of(block).expect("an id");
    assert_eq!((same, block.lines().count()), (token, 1), "{block}");
    assert!(moved > commit, "{moved}");
    rig.advance(60_000);
    assert_eq!(blocks(&mut rig, stream).len(), 4, "every 15 s");
}

#[test]
fn a_stale_stream_names_no_position_and_catches_up() {
    let small = EngineOptions { max_buffered_bytes: 1_000, ..options() };
    let mut rig = Rig::new(small);
    let conn = prepare(&mut rig);
    let stream = live(&mut rig, "query=q&mode=delta", None);
    blocks(&mut rig, stream);
    rig.stall(stream, true);
    for key in 0..20 {
        insert(&mut rig, conn, key, &"x".repeat(200));
    }
    rig.received(conn);
    assert!(rig.buffered(stream) < 3_000, "{}", rig.buffered(stream));
    rig.advance(16_000);
    rig.stall(stream, false);
    rig.take_output(stream, usize::MAX);
    rig.drain();
    let got = blocks(&mut rig, stream);
    assert!(got.iter().any(|block| block == ":"), "{got:?}");
    let last = got.last().expect("a block");
    assert!(last.starts_with("event: snapshot\nid: "), "{last}");
    assert!(last.contains("\"seq\":20,\"reset\":true"), "{last}");
    let newest = rig.engine.newest_commit();
    assert_eq!(id_of(last).map(|(_, commit)| commit), Some(newest));
}

#[test]
fn a_socket_that_is_stuck_is_given_up() {
    let mut rig = Rig::new(options());
    prepare(&mut rig);
    let stream = live(&mut rig, "query=q", None);
    let since = rig.now.mono;
    let mut pass = |ms: u64| {
        rig.now.mono = since + ms;
        rig.engine.timers(rig.now, &Stuck(since));
        rig.drain();
        rig.is_closed(stream)
    };
    assert_eq!(pass(15_100), None);
    assert_eq!(pass(29_900), None);
    assert_eq!(pass(30_100), Some((4001, "ended")));
    assert_eq!(blocks(&mut rig, stream).len(), 2, "no more was said");
    assert_eq!(rig.engine.connection_count(), 1);
}

#[test]
fn a_session_that_is_over_ends_its_stream() {
    let mut rig = rig_of(r#""required":true"#, options());
    let body = br#"[{"type":"store.defineBucket","name":"b","config":{"key":"k","schema":{"k":{"type":"number"}}}},
        {"type":"store.defineQuery","name":"q","config":{"bucket":"b"}}]"#;
    let call = rig.through_door(Asked::Messages(body.to_vec()), Some("Bearer t-root"));
    assert_eq!(answered(&rig, call).map(|answer| answer.status), Some(200));
    let refused = live(&mut rig, "query=q", None);
    assert_eq!(answered(&rig, refused).map(|answer| answer.status), Some(401));
    let stream = live(&mut rig, "query=q", Some("Bearer t-short"));
    blocks(&mut rig, stream);
    rig.advance(3_000);
    assert_eq!(blocks(&mut rig, stream), ["event: end\ndata: {\"reason\":\"sessionExpired\"}"]);
    assert_eq!(rig.is_closed(stream), Some((1000, "ended")));
    let late = live(&mut rig, "query=q", Some("Bearer t-short"));
    assert_eq!(answered(&rig, late).map(|answer| answer.status), Some(401));
}

#[test]
fn a_shutdown_tells_streams_when_to_come_back() {
    let mut rig = Rig::new(EngineOptions { reconnects_per_second: 1, ..options() });
    prepare(&mut rig);
    let streams: Vec<ConnId> = (0..4).map(|_| live(&mut rig, "query=q", None)).collect();
    for stream in &streams {
        blocks(&mut rig, *stream);
    }
    rig.engine.shutdown(0, rig.now);
    rig.drain();
    for stream in streams {
        let end = "event: end\nretry: 5000\ndata: {\"reason\":\"shutdown\"}";
        assert_eq!(blocks(&mut rig, stream), [end]);
        assert_eq!(rig.is_closed(stream), Some((1000, "ended")));
    }
    let late = rig.through_door(Asked::Messages(b"{\"type\":\"store.stats\"}".to_vec()), None);
    let answer = answered(&rig, late).expect("an answer");
    assert_eq!((answer.status, rig.stopped), (503, true));
}

/// A shutdown waits for a call that has begun, as for any request.
#[test]
fn a_call_is_finished_before_the_end() {
    let mut rig = Rig::new(options());
    prepare(&mut rig);
    let id = ConnId { slot: 900, generation: 1 };
    let peer = crate::app::Peer::of([127, 0, 0, 1].into());
    let body = br#"[{"type":"store.count","bucket":"b"},{"type":"store.count","bucket":"b"}]"#;
    let what = Asked::Messages(body.to_vec());
    let call = crate::app::Call { peer, authorization: None, what };
    rig.engine.called(id, call, rig.now);
    rig.engine.go_on(id, rig.now);
    rig.engine.shutdown(0, rig.now);
    rig.drain();
    assert!(!rig.stopped && answered(&rig, id).is_none());
    rig.go_on(id);
    let answer = answered(&rig, id).expect("an answer");
    assert_eq!(answer.status, 200);
    let expected = r#"[{"id":0,"type":"result","data":0},{"id":1,"type":"result","data":0}]"#;
    assert_eq!(String::from_utf8_lossy(&answer.body), expected);
    assert!(rig.stopped);
}

/// A panic costs one connection: what is behind it is not done, and is told so.
#[test]
fn a_panic_ends_a_call() {
    let mut rig = Rig::new(options());
    prepare(&mut rig);
    let body = br#"[{"type":"store.count","bucket":"b"},{"id":7,"type":"test.panic"},{"id":8,"type":"store.count","bucket":"b"}]"#;
    let call = rig.through_door(Asked::Messages(body.to_vec()), None);
    let answer = answered(&rig, call).expect("an answer");
    let body = String::from_utf8(answer.body.clone()).expect("text");
    let Json::Array(answers) = crate::json::parse(&body, 9).expect("JSON").to_json() else {
        panic!("{body}")
    };
    let member = |at: usize, name: &str| answers[at].get(name).cloned().unwrap_or_default();
    assert_eq!((answers.len(), member(0, "data")), (3, Json::Number(0.0)), "{body}");
    for (at, id) in [(1, 7.0), (2, 8.0)] {
        assert_eq!(member(at, "id"), Json::Number(id), "{body}");
        assert_eq!(member(at, "code"), Json::from("INTERNAL_ERROR"), "{body}");
    }
    assert_eq!(rig.engine.connection_count(), 1);
}

proptest::proptest! {
    /// Whatever a body is, it is answered once, by JSON, and leaves nothing behind.
    #[test]
    fn any_body_is_answered(
        parts in proptest::collection::vec(0usize..PARTS.len(), 0..14),
        noise in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..3),
        at in proptest::prelude::any::<proptest::sample::Index>(),
    ) {
        let mut rig = Rig::new(options());
        prepare(&mut rig);
        let mut body: Vec<u8> = parts.iter().flat_map(|part| PARTS[*part].bytes()).collect();
        let place = at.index(body.len() + 1);
        body.splice(place..place, noise);
        let call = rig.through_door(Asked::Messages(body.clone()), None);
        let answers: Vec<_> = rig.answers.iter().filter(|(to, _)| *to == call).collect();
        proptest::prop_assert_eq!(answers.len(), 1, "{:?}", body);
        let text = std::str::from_utf8(&answers[0].1.body).expect("text");
        crate::json::parse(text, 200).expect("JSON");
        proptest::prop_assert_eq!(rig.engine.connection_count(), 1);
    }

    /// Whatever a query string is, it is a stream or an answer.
    #[test]
    fn any_query_string_is_answered(
        parts in proptest::collection::vec(0usize..QUERIES.len(), 0..8),
        noise in "[ -~]{0,3}",
    ) {
        let mut rig = Rig::new(options());
        prepare(&mut rig);
        let mut query: String = parts.iter().map(|part| QUERIES[*part]).collect();
        query.push_str(&noise);
        let call = live(&mut rig, &query, None);
        let is_stream = rig.streams.contains(&call);
        proptest::prop_assert!(is_stream != answered(&rig, call).is_some(), "{}", query);
        proptest::prop_assert_eq!(rig.engine.connection_count(), 1 + usize::from(is_stream));
    }
}

const PARTS: [&str; 14] = [
    "[",
    "]",
    ",",
    "{",
    "}",
    "\"id\":",
    "-3.5",
    "\"type\":",
    "\"store.count\"",
    "\"bucket\":\"b\"",
    "{\"type\":\"store.count\",\"bucket\":\"b\"}",
    "{\"id\":null,\"type\":\"pong\",\"timestamp\":1}",
    "{\"type\":\"session.open\",\"id\":\"x\"}",
    " ",
];

const QUERIES: [&str; 12] = [
    "query=q",
    "&",
    "query=",
    "%71",
    "mode=delta",
    "mode=",
    "positions=false",
    "params=",
    "%7B%7D",
    "params=%5B",
    "+",
    "=",
];
