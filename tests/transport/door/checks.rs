//! What comes in: the table of checks, row by row.

use std::io::{Read as _, Write as _};

use serde_json::json;

use super::client::{Answer, builder, dial, post, post_text, raw, start};

const JSON: &str = "Content-Type: application/json\r\n";

fn request(line: &str, fields: &str) -> Vec<u8> {
    format!("{line} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n").into_bytes()
}

#[test]
fn the_table_of_checks_in_its_order() {
    let server = builder().set("maxPayloadBytes", 1000).start().unwrap();
    let rows: Vec<(&str, Vec<u8>, u16)> = vec![
        ("another path", request("POST /rpcs", JSON), 405),
        ("GET of another path", request("GET /rpcs", ""), 404),
        ("a page of elsewhere", request("DELETE /rpc", "Origin: https://evil.example\r\n"), 403),
        ("a page in a frame", request("OPTIONS /rpc", "Origin: null\r\n"), 403),
        (
            "a name that leads here",
            b"POST /rpc HTTP/1.1\r\nHost: evil.example\r\n\r\n".to_vec(),
            403,
        ),
        ("OPTIONS", request("OPTIONS /rpc", "Origin: http://localhost:3000\r\n"), 204),
        ("GET", request("GET /rpc", JSON), 405),
        ("HEAD", request("HEAD /rpc", JSON), 405),
        ("DELETE", request("DELETE /rpc", JSON), 405),
        ("no type", request("POST /rpc", "Content-Length: 2000\r\n"), 415),
        (
            "what a form may send",
            request("POST /rpc", "Content-Type: text/plain\r\nContent-Length: 2\r\n"),
            415,
        ),
        ("no length", request("POST /rpc", JSON), 411),
        ("chunks", request("POST /rpc", &format!("{JSON}Transfer-Encoding: chunked\r\n")), 411),
        (
            "chunks with a length",
            request(
                "POST /rpc",
                &format!("{JSON}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
            ),
            411,
        ),
        (
            "two lengths",
            request("POST /rpc", &format!("{JSON}Content-Length: 5\r\nContent-Length: 6\r\n")),
            400,
        ),
        (
            "one length twice",
            request("POST /rpc", &format!("{JSON}Content-Length: 2\r\nContent-Length: 2\r\n")),
            400,
        ),
        ("too long", request("POST /rpc", &format!("{JSON}Content-Length: 1001\r\n")), 413),
        (
            "far too long",
            request("POST /rpc", &format!("{JSON}Content-Length: {}\r\n", "9".repeat(40))),
            413,
        ),
        ("nothing", post_text("", ""), 400),
        ("no JSON", post_text("", "{"), 400),
        ("no message", post_text("", "7"), 400),
        ("no messages", post_text("", " [ ] "), 400),
        ("half an array", post_text("", r#"[{"type":"store.stats"}"#), 400),
        ("more than JSON", post_text("", r#"{"type":"store.stats"} x"#), 400),
    ];
    for (what, bytes, status) in rows {
        let answer = raw(&server, &bytes);
        assert_eq!(answer.status, status, "{what}: {}", answer.head);
        match status {
            405 if what != "another path" => {
                assert_eq!(answer.field("Allow"), Some("POST, OPTIONS"), "{what}");
            }
            400 if what.contains("length") => {}
            400 => assert_eq!(answer.json()["type"], "error", "{what}"),
            _ => {}
        }
        let fixed = ["X-Content-Type-Options", "Cache-Control"].map(|name| answer.field(name));
        assert_eq!(fixed, [Some("nosniff"), Some("no-store")], "{what}");
    }
    let too_many: Vec<_> = (0..101).map(|_| json!({"type": "ping"})).collect();
    let longer = builder().start().unwrap();
    let answer = post(&longer, &json!(too_many));
    assert_eq!(answer.status, 400);
    assert_eq!(answer.json()["message"], "Expected 1 to 100 messages");
}

#[test]
fn the_door_is_closed_unless_it_is_opened() {
    let server = noexd::Server::builder().host("127.0.0.1").port(0).start().unwrap();
    let body = json!({"type": "store.stats"});
    assert_eq!(post(&server, &body).status, 405, "like any POST");
    let server = builder().set("http", json!({"rpc": "/api/call"})).start().unwrap();
    assert_eq!(post(&server, &body).status, 405);
    let elsewhere = String::from_utf8(post_text("", &body.to_string())).unwrap();
    let elsewhere = elsewhere.replace("POST /rpc ", "POST /x/../api/call?trace=1 ");
    assert_eq!(raw(&server, elsewhere.as_bytes()).status, 200);
}

#[test]
fn a_body_in_pieces_and_what_comes_behind_it() {
    let server = start();
    let mut stream = dial(&server);
    stream.set_nodelay(true).unwrap();
    let request = post_text("", r#"{"id":7,"type":"store.stats"}"#);
    for byte in request {
        stream.write_all(&[byte]).unwrap();
    }
    let answer = Answer::read(&mut stream);
    assert_eq!((answer.status, &answer.json()["id"]), (200, &json!(7)));
    // Somebody who thinks that the connection goes on.
    let mut twice = post_text("", r#"{"id":1,"type":"store.stats"}"#);
    twice.extend(post_text("", r#"{"id":2,"type":"store.defineBucket","name":"b","config":{}}"#));
    let answer = raw(&server, &twice);
    assert_eq!(answer.json()["id"], 1);
    let stats = post(&server, &json!({"type": "store.stats"})).json();
    assert_eq!(stats["data"]["buckets"]["count"], json!(0), "{stats}");
}

#[test]
fn a_client_that_waits_is_told_to_go_on() {
    let server = start();
    let request = post_text("Expect: 100-continue\r\n", r#"{"type":"store.stats"}"#);
    let head = request.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    let mut stream = dial(&server);
    stream.write_all(&request[..head]).unwrap();
    let go_on = b"HTTP/1.1 100 Continue\r\n\r\n";
    let mut read = vec![0; go_on.len()];
    stream.read_exact(&mut read).unwrap();
    assert_eq!(read, go_on);
    stream.write_all(&request[head..]).unwrap();
    assert_eq!(Answer::read(&mut stream).status, 200);
    // Who is not let in is not asked for the body.
    let refused = b"POST /rpc HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\n";
    assert_eq!(raw(&server, refused).status, 415);
}

#[test]
fn a_body_has_a_deadline_and_an_end() {
    let server = builder().set("handshakeTimeoutMs", 100).start().unwrap();
    let request = post_text("", r#"{"type":"store.stats"}"#);
    let mut stream = dial(&server);
    stream.write_all(&request[..request.len() - 1]).unwrap();
    assert_eq!(Answer::read(&mut stream).status, 408);
    let server = start();
    let mut stream = dial(&server);
    stream.write_all(&request[..request.len() - 1]).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(Answer::read(&mut stream).status, 400);
    // Whoever has said everything may close his side.
    let mut stream = dial(&server);
    stream.write_all(&request).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(Answer::read(&mut stream).status, 200);
}

/// A stream cannot answer a ping, and is never sent one.
#[test]
fn streams_keep_their_places() {
    let server = builder()
        .set("maxConnectionsPerIp", 1)
        .set("perIpProbeMs", 100)
        .bucket("b", json!({"key": "k", "schema": {"k": {"type": "number"}}}))
        .query("q", json!({"bucket": "b"}))
        .start()
        .unwrap();
    let mut stream = super::live::Stream::open(&server, "query=q", "");
    stream.expect("snapshot");
    // It has been silent for longer than a client that is asked for a sign of life.
    let begin = std::time::Instant::now();
    while begin.elapsed().as_millis() < 200 {
        std::thread::yield_now();
    }
    let address = ("127.0.0.1", server.port());
    let socket = std::net::TcpStream::connect(address).unwrap();
    let (mut socket, _) = tungstenite::client("ws://127.0.0.1/", socket).unwrap();
    let refused = socket.read().unwrap();
    assert!(
        matches!(&refused, tungstenite::Message::Close(Some(frame)) if u16::from(frame.code) == 4003),
        "{refused:?}"
    );
    server.call("store.insert", json!({"bucket": "b", "data": {"k": 1}})).unwrap();
    assert_eq!(stream.expect("snapshot")[0]["k"], 1);
}

#[test]
fn who_made_room_and_who_found_none_is_told() {
    let server = builder().set("maxConnectionsPerIp", 1).set("perIpProbeMs", 100).start().unwrap();
    let come = || {
        let socket = std::net::TcpStream::connect(("127.0.0.1", server.port())).unwrap();
        tungstenite::client("ws://127.0.0.1/", socket).unwrap().0
    };
    // It says nothing from here on, not even to a ping.
    let mut dead = come();
    dead.read().unwrap();
    let mut refused = 0;
    let newcomer = loop {
        let mut newcomer = come();
        match newcomer.read().unwrap() {
            tungstenite::Message::Text(_) => break newcomer,
            _ => refused += 1,
        }
    };
    let stats = server.call("server.stats", json!({"details": true})).unwrap();
    let probes = &stats["continuity"]["probes"];
    assert_eq!(*probes, json!({"evicted": 1, "refused": refused}));
    drop((dead, newcomer));
}

#[test]
fn places_are_counted_and_given_back() {
    let server = builder().set("maxConnectionsPerIp", 1).start().unwrap();
    let request = post_text("", r#"{"type":"store.stats"}"#);
    let mut first = dial(&server);
    first.write_all(&request[..request.len() - 1]).unwrap();
    // It has its place from the head on; the second may come before it is read.
    let refused = loop {
        let answer = raw(&server, &request);
        if answer.status != 200 {
            break answer;
        }
    };
    assert_eq!(refused.status, 429);
    first.write_all(b"}").unwrap();
    assert_eq!(Answer::read(&mut first).status, 200);
    // At once: the answer is complete before the connection is gone.
    for _ in 0..50 {
        assert_eq!(raw(&server, &request).status, 200);
    }
    let server = builder().set("maxConnections", 1).start().unwrap();
    let held = dial(&server);
    let refused = loop {
        let answer = raw(&server, &request);
        if answer.status != 200 {
            break answer;
        }
    };
    assert_eq!(refused.status, 503);
    drop(held);
}
