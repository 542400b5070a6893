//! The conversations in the documentation are held with a real server.
//!
//! A block ```` ```json ```` whose lines are messages is a conversation: what has
//! a dot in its `type` is sent, everything else is what comes back, in this
//! order. `"…"` stands for any value. The blocks of a page belong to one
//! connection to one server.

use std::net::TcpStream;
use std::time::Duration;

use noexd::Server;
use noexd::server::ServerThread;
use serde_json::Value;
use tungstenite::{Message, WebSocket};

/// The pages, each with the members of a configuration that it needs.
const PAGES: &[(&str, &str)] = &[
    ("records.md", "{}"),
    ("queries.md", "{}"),
    ("procedures.md", "{}"),
    ("logic.md", "{}"),
    (
        "access.md",
        r#"{"auth": {"required": false, "tokens": {
                "t-ann": {"userId": "ann", "roles": ["writer"]},
                "t-mod": {"userId": "mod", "roles": ["admin", "moderator"]}}},
            "access": {"sets": {"myRooms":
                {"bucket": "members", "filter": {"user": "{{ session.userId }}"}, "field": "room"}}},
            "buckets": {
                "members": {"key": "id",
                    "schema": {"id": {"type": "string"}, "user": {"type": "string"}, "room": {"type": "string"}},
                    "rows": {"read": {"user": "{{ session.userId }}"}, "insert": false, "update": false,
                             "bypass": ["moderator"]}},
                "messages": {"key": "id",
                    "schema": {"id": {"type": "string"}, "room": {"type": "string"},
                               "author": {"type": "string"}, "text": {"type": "string"}},
                    "rows": {"set": {"author": "{{ session.userId }}"},
                             "read": {"room": {"$in": "{{ sets.myRooms }}"}},
                             "insert": {"room": {"$in": "{{ sets.myRooms }}"}},
                             "update": {"author": "{{ session.userId }}"},
                             "bypass": ["moderator"]}}}}"#,
    ),
    (
        "identity.md",
        r#"{"auth":{"builtIn":true,"adminSecret":"a secret of the admin","signup":{"roles":["reader"]}}}"#,
    ),
];

fn server(config: &str) -> ServerThread {
    let config: Value = serde_json::from_str(config).expect("a configuration");
    let mut builder = Server::builder().host("127.0.0.1").port(0);
    for (key, value) in config.as_object().expect("an object") {
        builder = builder.set(key, value.clone());
    }
    builder.start().expect("the server starts")
}

struct Client(WebSocket<TcpStream>);

impl Client {
    fn connect(server: &ServerThread) -> Client {
        let stream = TcpStream::connect(("127.0.0.1", server.port())).expect("connects");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
        let (socket, _) = tungstenite::client("ws://127.0.0.1/", stream).expect("a handshake");
        let mut client = Client(socket);
        assert_eq!(client.receive()["type"], "welcome");
        client
    }

    fn receive(&mut self) -> Value {
        loop {
            match self.0.read().expect("a message") {
                Message::Text(text) => return serde_json::from_str(&text).expect("JSON"),
                Message::Ping(_) => self.0.flush().expect("a pong"),
                other => panic!("{other:?}"),
            }
        }
    }
}

fn matches(expected: &Value, got: &Value) -> bool {
    match (expected, got) {
        (Value::String(any), _) if any == "…" => true,
        (Value::Object(expected), Value::Object(got)) => {
            expected.len() == got.len()
                && expected
                    .iter()
                    .all(|(name, value)| got.get(name).is_some_and(|got| matches(value, got)))
        }
        (Value::Array(expected), Value::Array(got)) => {
            expected.len() == got.len() && expected.iter().zip(got).all(|(a, b)| matches(a, b))
        }
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        _ => expected == got,
    }
}

/// The lines of all conversations of a page.
fn conversations(page: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for block in page.split("```json\n").skip(1) {
        let block = block.split("```").next().unwrap_or_default();
        let is_message = |line: &str| {
            let value: Option<Value> = serde_json::from_str(line).ok();
            value.is_some_and(|value| value["type"].is_string())
        };
        if block.lines().all(is_message) {
            lines.extend(block.lines().map(str::to_owned));
        }
    }
    lines
}

#[test]
fn conversations_go_as_the_pages_say() {
    for (page, config) in PAGES {
        let path = format!("{}/docs/{page}", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(&path).expect("the page");
        let lines = conversations(&text);
        assert!(lines.len() > 3, "{page} has no conversation");
        let server = server(config);
        let mut client = Client::connect(&server);
        for line in lines {
            let message: Value = serde_json::from_str(&line).expect("JSON");
            if message["type"].as_str().is_some_and(|name| name.contains('.')) {
                client.0.send(Message::text(line)).expect("sent");
                continue;
            }
            let got = client.receive();
            assert!(matches(&message, &got), "{page}\nexpected {line}\n     got {got}");
        }
    }
}
