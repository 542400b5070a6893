//! The conversations in the documentation are held with a real server.
//!
//! A block ```` ```json ```` whose lines are messages is a conversation: what has
//! a dot in its `type` is sent, everything else is what comes back, in this
//! order. `"…"` stands for any value, `"…name"` for one that is the same wherever
//! it stands. The blocks of a page belong to one connection to one server.

mod http;
mod reference;
#[cfg(feature = "tools")]
mod types;

use std::collections::HashMap;
use std::net::TcpStream;
use std::time::Duration;

use noexd::Server;
use noexd::server::ServerThread;
use serde_json::Value;
use tungstenite::{Message, WebSocket};

/// The pages, each with the members of a configuration that it needs.
const PAGES: &[(&str, &str)] = &[
    ("protocol.md", "{}"),
    ("from-noex-server.md", "{}"),
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
    ("continuity.md", "{}"),
    ("reference/store.md", r#"{}"#),
    ("writing-rules.md", "{}"),
    ("reference/rules.md", r#"{}"#),
    ("reference/procedures.md", r#"{}"#),
    ("reference/logic.md", r#"{}"#),
    ("reference/sessions.md", r#"{}"#),
    (
        "reference/identity.md",
        r#"{"auth": {"builtIn": true, "adminSecret": "a secret of the admin", "signup": {"roles": ["reader"]}}, "audit": true}"#,
    ),
    (
        "reference/server.md",
        r#"{"auth": {"required": false, "tokens": {"t-ann": {"userId": "ann", "roles": ["writer"]}, "t-ops": {"userId": "ops", "roles": ["admin"]}}}, "audit": true, "buckets": {"members": {"key": "id", "schema": {"id": {"type": "string"}, "user": {"type": "string"}, "room": {"type": "string"}}}}}"#,
    ),
    (
        "identity.md",
        r#"{"auth":{"builtIn":true,"adminSecret":"a secret of the admin","signup":{"roles":["reader"]}}}"#,
    ),
];

fn server(config: &str) -> ServerThread {
    // As the program does: the level of the log can be changed. Only the first
    // server of the tests installs it.
    let _ = noexd::logging::init(noexd::config::LogFormat::Text, "error");
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

/// What `"…name"` stands for.
type Names = HashMap<String, Value>;

fn name_of(value: &Value) -> Option<&str> {
    value.as_str()?.strip_prefix('…').filter(|name| !name.is_empty())
}

/// The message with what its names stand for.
fn filled_in(message: Value, names: &Names) -> Value {
    let known = name_of(&message).and_then(|name| names.get(name)).cloned();
    match (known, message) {
        (Some(value), _) => value,
        (None, Value::Object(members)) => {
            let members = members.into_iter();
            Value::Object(members.map(|(name, value)| (name, filled_in(value, names))).collect())
        }
        (None, Value::Array(elements)) => {
            Value::Array(elements.into_iter().map(|value| filled_in(value, names)).collect())
        }
        (None, message) => message,
    }
}

fn matches(expected: &Value, got: &Value, names: &mut Names) -> bool {
    if let Some(name) = name_of(expected) {
        return names.entry(name.to_owned()).or_insert_with(|| got.clone()) == got;
    }
    match (expected, got) {
        (Value::String(any), _) if any == "…" => true,
        (Value::Object(expected), Value::Object(got)) => {
            expected.len() == got.len()
                && expected.iter().all(|(name, value)| {
                    got.get(name).is_some_and(|got| matches(value, got, names))
                })
        }
        (Value::Array(expected), Value::Array(got)) => {
            expected.len() == got.len()
                && expected.iter().zip(got).all(|(a, b)| matches(a, b, names))
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
        let mut names = Names::new();
        for line in lines {
            let message: Value = serde_json::from_str(&line).expect("JSON");
            if message["type"].as_str().is_some_and(|name| name.contains('.')) {
                let message = filled_in(message, &names).to_string();
                client.0.send(Message::text(message)).expect("sent");
                continue;
            }
            let got = client.receive();
            assert!(matches(&message, &got, &mut names), "{page}\nexpected {line}\n     got {got}");
        }
    }
}
