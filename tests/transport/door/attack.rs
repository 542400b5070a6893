//! Those who mean no good: half requests, long heads, too many streams.

use std::io::{Read as _, Write as _};
use std::sync::atomic::Ordering::Relaxed;

use noexd::server::ServerThread;
use serde_json::{Value, json};

use super::client::{Answer, builder, data, dial, post, post_text, raw, start};
use super::live::{Stream, request};

fn with_query() -> noexd::server::Builder {
    builder()
        .bucket(
            "b",
            json!({"key": "k", "schema": {"k": {"type": "number"}, "t": {"type": "string"}}}),
        )
        .query("all", json!({"bucket": "b"}))
}

/// Nobody is left, and nothing of them.
fn assert_nothing_left(server: &ServerThread) {
    let counters = server.counters();
    loop {
        let held = [&counters.sockets, &counters.outbox_bytes, &counters.input_bytes];
        if held.iter().all(|gauge| gauge.load(Relaxed) == 0) {
            break;
        }
        std::thread::yield_now();
    }
    let stats = server.stats().unwrap();
    assert_eq!(stats["connections"]["totalStoreSubscriptions"], 0, "{stats}");
}

/// A request that is cut at every byte.
#[test]
fn half_requests() {
    let server = with_query().start().unwrap();
    let call = post_text("Expect: 100-continue\r\n", r#"[{"type":"store.count","bucket":"b"}]"#);
    let live = request("query=all", "Last-Event-ID: x.1\r\n").into_bytes();
    for whole in [call, live] {
        for length in 0..whole.len() {
            let mut stream = dial(&server);
            stream.write_all(&whole[..length]).unwrap();
            if length % 3 == 0 {
                // Half closed, it is told that something is missing.
                stream.shutdown(std::net::Shutdown::Write).unwrap();
                let mut all = Vec::new();
                stream.read_to_end(&mut all).unwrap();
                let text = String::from_utf8_lossy(&all);
                let text = text.strip_prefix("HTTP/1.1 100 Continue\r\n\r\n").unwrap_or(&text);
                assert!(text.is_empty() || text.starts_with("HTTP/1.1 400 "), "{length}: {text}");
            }
        }
    }
    assert_nothing_left(&server);
    assert_eq!(post(&server, &json!({"type": "store.stats"})).status, 200);
}

#[test]
fn long_heads() {
    let server = start();
    let padding = "X-Padding: y\r\n";
    let fits = padding.repeat((16_000 - 200) / padding.len());
    assert_eq!(raw(&server, &post_text(&fits, r#"{"type":"store.stats"}"#)).status, 200);
    let too_long = padding.repeat(17_000 / padding.len());
    assert_eq!(raw(&server, &post_text(&too_long, "{}")).status, 431);
    let query = format!("query={}", "%41".repeat(6_000));
    assert_eq!(raw(&server, request(&query, "").as_bytes()).status, 431);
    let query = format!("query={}", "%41".repeat(5_000));
    assert_eq!(raw(&server, request(&query, "").as_bytes()).status, 404);
}

/// Two requests where there is one: what stands behind the first is never read as
/// the second.
#[test]
fn smuggled_requests() {
    let server = with_query().start().unwrap();
    let inner = post_text("", r#"{"type":"store.dropBucket","name":"b"}"#);
    let inner = String::from_utf8(inner).unwrap();
    let json = "Content-Type: application/json\r\n";
    let count = r#"{"type":"store.count","bucket":"b"}"#;
    let rows: Vec<(String, u16)> = vec![
        (
            format!(
                "POST /rpc HTTP/1.1\r\nHost: localhost\r\n{json}Content-Length: {}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{inner}",
                count.len()
            ),
            411,
        ),
        (
            format!(
                "POST /rpc HTTP/1.1\r\nHost: localhost\r\n{json}Content-Length: {}\r\nContent-Length: 0\r\n\r\n{count}{inner}",
                count.len()
            ),
            400,
        ),
        (
            format!(
                "POST /rpc HTTP/1.1\r\nHost: localhost\r\n{json}Content-Length : 5\r\n\r\n{inner}"
            ),
            400,
        ),
        (
            format!(
                "POST /rpc HTTP/1.1\r\nHost: localhost\r\n{json}Content-Length: 0\r\n\r\n{inner}"
            ),
            400,
        ),
        (
            format!(
                "POST /rpc HTTP/1.1\r\nHost: localhost\r\n{json}Content-Length: {}\r\n\r\n{count}{inner}",
                count.len()
            ),
            200,
        ),
        (
            format!(
                "POST /rpc HTTP/1.1\r\nHost: localhost\r\n{json}Transfer-Encoding\t: chunked\r\nContent-Length: {}\r\n\r\n{count}{inner}",
                count.len()
            ),
            400,
        ),
        (
            format!(
                "GET /live?query=nothing HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{inner}",
                inner.len()
            ),
            404,
        ),
        (format!("OPTIONS /rpc HTTP/1.1\r\nHost: localhost\r\n\r\n{inner}"), 204),
        (format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n{inner}"), 200),
    ];
    for (text, status) in rows {
        let answer = raw(&server, text.as_bytes());
        assert_eq!(answer.status, status, "{text}: {}", answer.head);
    }
    // Also behind an open stream.
    let mut stream = Stream::open(&server, "query=all", "");
    stream.expect("snapshot");
    let mut socket = stream.socket();
    socket.write_all(inner.as_bytes()).unwrap();
    assert_eq!(data(&server, &json!({"type": "store.count", "bucket": "b"})), 0, "it is there");
}

#[test]
fn streams_up_to_the_limits() {
    let server =
        with_query().set("connectionLimits", json!({"maxTotalSubscriptions": 60})).start().unwrap();
    for _ in 0..3 {
        let mut streams: Vec<Stream> =
            (0..60).map(|_| Stream::open(&server, "query=all", "")).collect();
        assert_eq!(raw(&server, request("query=all", "").as_bytes()).status, 429);
        data(
            &server,
            &json!({"type": "store.upsert", "bucket": "b", "key": 1, "data": {"k": 1, "t": "x"}}),
        );
        for stream in &mut streams {
            stream.expect("snapshot");
            assert_eq!(stream.expect("snapshot")[0]["k"], 1);
        }
        data(&server, &json!({"type": "store.clear", "bucket": "b"}));
        drop(streams);
        assert_nothing_left(&server);
    }
}

/// One that does not read holds little, and has the newest state when it does.
#[test]
fn a_reader_that_sleeps() {
    let server =
        with_query().set("backpressure", json!({"maxBufferedBytes": 100_000})).start().unwrap();
    let mut stream = Stream::open(&server, "query=all&mode=delta", "");
    stream.expect("snapshot");
    let text = "x".repeat(4_000);
    let counters = server.counters();
    for key in 0..4_000 {
        let record = json!({"k": key % 300, "t": format!("{key}{text}")});
        let message = json!({"bucket": "b", "key": key % 300, "data": record});
        server.call("store.upsert", message).unwrap();
        // The socket's own buffers aside.
        let held = counters.outbox_bytes.load(Relaxed);
        assert!(held < 2_000_000, "{held} bytes");
    }
    server
        .call("store.upsert", json!({"bucket": "b", "key": 999, "data": {"k": 999, "t": "last"}}))
        .unwrap();
    let mut has_reset = false;
    loop {
        let event = stream.event();
        let data = event.data.unwrap();
        let is_reset = event.event.as_deref() == Some("snapshot");
        has_reset |= is_reset;
        let list = if is_reset { &data["keys"] } else { &data["added"] };
        let is_last = |key: &Value| *key == json!(999) || key["key"] == json!(999);
        if list.as_array().is_some_and(|keys| keys.iter().any(is_last)) {
            break;
        }
    }
    assert!(has_reset, "it was spared the states between");
}

#[test]
fn answers_that_are_left_in_the_middle() {
    let server = with_query().start().unwrap();
    let text = "x".repeat(500_000);
    for key in 0..8 {
        let record = json!({"k": key, "t": text});
        server.call("store.insert", json!({"bucket": "b", "data": record})).unwrap();
    }
    let read = post_text("", r#"{"type":"store.all","bucket":"b"}"#);
    for length in [0, 1, 100, 70_000, 2_000_000] {
        let mut stream = dial(&server);
        stream.write_all(&read).unwrap();
        let mut some = vec![0; length];
        stream.read_exact(&mut some).unwrap();
        drop(stream);
        let mut live = dial(&server);
        live.write_all(request("query=all", "").as_bytes()).unwrap();
        live.read_exact(&mut some).unwrap();
    }
    assert_nothing_left(&server);
    let mut stream = dial(&server);
    stream.write_all(&read).unwrap();
    let answer = Answer::read(&mut stream);
    assert_eq!(answer.json()["data"].as_array().unwrap().len(), 8);
}
