//! What an operator reads: forms, levels that change, lines that peers cause.

use serde_json::Value;

use super::support::{Server, call};

const AUTH: &str =
    r#""auth":{"tokens":{"t-ops":{"userId":"ops","roles":["admin"]}},"required":false}"#;

fn json_of(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

#[test]
fn failed_logins_and_slow_requests_are_told_with_their_members() {
    let mut server = Server::start(&format!(r#"{{"logFormat":"json","slowRequestMs":1,{AUTH}}}"#));
    let mut socket = server.connect();
    call(&mut socket, r#"{"id":1,"type":"auth.login","token":"hush-hush"}"#);
    let line = json_of(&server.line_with("login failed"));
    assert_eq!(line["level"], "info");
    assert_eq!(line["module"], "noexd::engine::notices");
    assert_eq!(line["op"], "auth.login");
    assert_eq!(line["conn"], "conn-1");
    let said = line["msg"].as_str().expect("text");
    assert!(said.starts_with("login failed: auth.login from 127.0.0.1"), "{said}");
    assert!(!line.to_string().contains("hush"), "{line}");
    let define = r#"{"id":2,"type":"store.defineBucket","name":"b","config":{"key":"id","schema":{"id":{"type":"number"}}}}"#;
    call(&mut socket, define);
    let inserts: Vec<String> = (0..10_000)
        .map(|id| format!(r#"{{"op":"insert","bucket":"b","data":{{"id":{id}}}}}"#))
        .collect();
    let many =
        format!(r#"{{"id":3,"type":"store.transaction","operations":[{}]}}"#, inserts.join(","));
    call(&mut socket, &many);
    let line = json_of(&server.line_with("slow request: store.transaction"));
    assert_eq!(line["level"], "warn");
    assert!(line["ms"].as_f64().is_some_and(|ms| ms >= 1.0), "{line}");
    // How many records were looked at, how many are in the answer, and whose trace
    // it belongs to.
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let slow = format!(
        r#"{{"id":31,"type":"store.where","bucket":"b","filter":{{"id":{{"$lt":12}}}},"traceparent":"{trace}"}}"#
    );
    call(&mut socket, &slow);
    let line = json_of(&server.line_with("slow request: store.where"));
    let said = line["msg"].as_str().expect("text");
    let (begin, rest) = said.split_once(" took ").expect("a time");
    assert_eq!(begin, "slow request: store.where on \"b\"");
    assert!(rest.ends_with(" ms, looked at 10000, 12 rows"), "{said}");
    assert_eq!((line["bucket"].as_str(), line["traceparent"].as_str()), (Some("b"), Some(trace)));
    assert!(line["n"].is_null(), "it was alone: {line}");
    // Several within a second are one line, with how many more there were.
    for _ in 0..5 {
        call(&mut socket, &slow.replace("0af7", "OAF7"));
    }
    let mut told = 0;
    while told < 5 {
        let line = json_of(&server.line_with("slow request: store.where"));
        let n = line["n"].as_f64().unwrap_or_default() as u64;
        let ending = if n == 0 { "12 rows".to_owned() } else { format!("12 rows and {n} more") };
        assert!(line["msg"].as_str().is_some_and(|said| said.ends_with(&ending)), "{line}");
        assert!(line["traceparent"].is_null(), "no trace has that form: {line}");
        told += 1 + n;
    }
    assert_eq!(told, 5);
    // What the server ends is told with the reason.
    call(&mut socket, r#"{"id":4,"type":"server.disconnect","connectionId":"conn-1"}"#);
    let line = json_of(&server.line_with("closed by the server"));
    assert_eq!((line["code"].as_f64(), line["conn"].as_str()), (Some(1012.0), Some("conn-1")));
}

#[test]
fn the_level_changes_for_a_while_and_for_the_journal_lines_are_short() {
    let mut server = Server::start(&format!(r#"{{"logFormat":"journal",{AUTH}}}"#));
    let mut socket = server.connect();
    let mut ask = |request: &str| call(&mut socket, request);
    let refused = ask(r#"{"id":1,"type":"server.setLogLevel","filter":"noexd=loud"}"#);
    assert_eq!(refused["message"], "Invalid \"filter\": expected a filter as in RUST_LOG");
    let set = ask(r#"{"id":2,"type":"server.setLogLevel","filter":"error","ttlMs":60000}"#);
    assert_eq!(set["data"]["filter"], "error");
    assert!(set["data"]["until"].is_number(), "{set}");
    ask(r#"{"id":3,"type":"auth.login","token":"one"}"#);
    // Again as configured: what was not logged meanwhile is not told later.
    let back = ask(r#"{"id":4,"type":"server.setLogLevel","filter":null}"#);
    assert_eq!(back["data"], serde_json::json!({"filter": null, "until": null}));
    ask(r#"{"id":5,"type":"auth.login","token":"two"}"#);
    let line = server.line_with("login failed");
    assert!(line.starts_with("<6>noexd::engine::notices: login failed"), "{line}");
    assert!(!line.contains("more"), "{line}");
}

/// What a flood of one kind of request may say, and must count.
struct Flood {
    reason: &'static str,
    request: String,
    said: &'static str,
}

impl Flood {
    fn upgrade(reason: &'static str, fields: &str, said: &'static str) -> Self {
        let request = format!(
            "GET / HTTP/1.1\r\n{fields}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        Flood { reason, request, said }
    }

    /// How many refusals a line tells of.
    fn count(&self, line: &Value) -> u64 {
        let said = line["msg"].as_str().unwrap_or_default();
        let rest = format!(" more handshakes refused: {}", self.reason);
        if said == format!("handshake refused from 127.0.0.1: {}", self.said) {
            return 1;
        }
        let n = line["n"].as_f64().unwrap_or_default() as u64;
        if said == format!("and {n}{rest}") { n } else { 0 }
    }
}

#[test]
fn refused_handshakes_are_a_line_a_second_for_each_reason() {
    const EACH: u64 = 20;
    let mut server = Server::start(r#"{"logFormat":"json"}"#);
    let floods = [
        Flood::upgrade(
            "origin",
            "Host: localhost\r\nOrigin: http://evil.example",
            "origin not allowed: http://evil.example",
        ),
        Flood::upgrade("host", "Host: evil.example", "host not allowed: evil.example"),
        Flood::upgrade(
            "bad_version",
            "Host: localhost\r\nSec-WebSocket-Version: 7",
            "missing or unsupported Sec-WebSocket-Version, expected 13 or 8",
        ),
        Flood {
            reason: "not_found",
            request: "GET /nope?token=hush HTTP/1.1\r\nHost: localhost\r\n\r\n".into(),
            said: "not found",
        },
        Flood {
            reason: "malformed",
            request: "GARBAGE\r\n\r\n".into(),
            said: "malformed HTTP request",
        },
        Flood {
            reason: "tls_on_plain",
            request: "\u{16}\u{3}\u{1}\0\u{5}hello".into(),
            said: "this port does not speak TLS, use http:// or ws://",
        },
    ];
    let began = std::time::Instant::now();
    for _ in 0..EACH {
        for flood in &floods {
            server.ask(&flood.request);
        }
    }
    let mut told = [(0, 0); 6];
    while told.iter().any(|(count, _)| *count < EACH) {
        let line = json_of(&server.line_with("refused"));
        assert_eq!(line["level"], "info");
        assert!(!line.to_string().contains("hush"), "{line}");
        let (flood, (count, lines)) = floods
            .iter()
            .zip(&mut told)
            .find(|(flood, _)| flood.count(&line) > 0)
            .unwrap_or_else(|| panic!("{line}"));
        *count += flood.count(&line);
        *lines += 1;
        assert!(*count <= EACH, "{line}");
        assert!(*lines <= 2 + began.elapsed().as_secs(), "{lines} lines: {line}");
    }
}

#[test]
fn connections_come_and_go_for_who_wants_to_know() {
    let mut server = Server::start(r#"{"logFormat":"json","logLevel":"noexd=debug"}"#);
    let mut socket = server.connect();
    let line = json_of(&server.line_with("connected"));
    let members = |line: &Value| (line["level"].clone(), line["conn"].clone(), line["msg"].clone());
    let is = |text: &str| ("debug".into(), "conn-1".into(), text.into());
    assert_eq!(members(&line), is("connected: 127.0.0.1"));
    socket.close(None).expect("a close");
    let line = json_of(&server.line_with("closed"));
    assert_eq!(members(&line), is("closed: 127.0.0.1, by the peer"));
    assert_eq!(line["code"], 1005.0);
    // What is not closed is lost; what the server closes says why.
    drop(server.connect());
    let line = json_of(&server.line_with("\"closed"));
    assert_eq!((line["conn"].as_str(), line["code"].as_f64()), (Some("conn-2"), Some(1006.0)));
    assert_eq!(line["msg"], "closed: 127.0.0.1, lost");
    let mut socket = server.connect();
    call(&mut socket, r#"{"id":1,"type":"server.disconnect","connectionId":"conn-3"}"#);
    let line = json_of(&server.line_with("\"closed: "));
    assert_eq!(line["msg"], "closed: 127.0.0.1, disconnected");
    assert_eq!(line["code"], 1012.0);
}
