//! What browsers are told of origins, and what the metrics show.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::client::{Answer, builder, data, dial, post, post_text, raw, start};
use super::live::{Stream, request};

fn preflight(path: &str, origin: &str) -> Vec<u8> {
    format!(
        "OPTIONS {path} HTTP/1.1\r\nHost: localhost\r\nOrigin: {origin}\r\nAccess-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: content-type\r\n\r\n"
    )
    .into_bytes()
}

fn allowed(answer: &Answer) -> (Option<&str>, Option<&str>) {
    (answer.field("Access-Control-Allow-Origin"), answer.field("Vary"))
}

#[test]
fn preflights_and_answers_say_who_may_read_them() {
    let app = "https://app.example";
    let listed = builder().set("allowedOrigins", json!([app, "https://other.example"]));
    let listed = listed.query("q", json!({"bucket": "b"}));
    let listed = listed.bucket("b", json!({"key": "k", "schema": {"k": {"type": "number"}}}));
    let listed = listed.start().unwrap();
    for path in ["/rpc", "/live"] {
        let answer = raw(&listed, &preflight(path, app));
        assert_eq!((answer.status, allowed(&answer)), (204, (Some(app), Some("Origin"))), "{path}");
        let methods = answer.field("Access-Control-Allow-Methods");
        assert_eq!(methods, Some("GET, POST, OPTIONS"));
        let headers = answer.field("Access-Control-Allow-Headers");
        assert_eq!(headers, Some("authorization, content-type, last-event-id"));
        assert_eq!(answer.field("Access-Control-Max-Age"), Some("600"));
        assert_eq!(answer.field("Access-Control-Allow-Credentials"), None);
        assert_eq!(raw(&listed, &preflight(path, "https://evil.example")).status, 403);
    }
    // Answers too, and refusals, so that the page can tell what was wrong.
    let fields = format!("Origin: {app}\r\n");
    for (body, status) in [(r#"{"type":"store.stats"}"#, 200), ("{", 400)] {
        let answer = raw(&listed, &post_text(&fields, body));
        assert_eq!((answer.status, allowed(&answer).0), (status, Some(app)));
    }
    let text = format!(
        "POST /rpc HTTP/1.1\r\nHost: x\r\n{fields}Content-Type: text/plain\r\nContent-Length: 0\r\n\r\n"
    );
    let local = text.replace("Host: x", "Host: localhost");
    let answer = raw(&listed, local.as_bytes());
    assert_eq!((answer.status, allowed(&answer).0), (415, Some(app)));
    let answer = raw(&listed, request("query=none", &fields).as_bytes());
    assert_eq!((answer.status, allowed(&answer).0), (404, Some(app)));
    let stream = Stream::open(&listed, "query=q", &fields);
    assert!(stream.head.contains(&format!("Access-Control-Allow-Origin: {app}\r\n")));
}

#[test]
fn the_local_guard_and_everybody() {
    let server = start();
    let local = "http://localhost:5173";
    let answer = raw(&server, &preflight("/rpc", local));
    assert_eq!((answer.status, allowed(&answer)), (204, (Some(local), Some("Origin"))));
    let all = builder().set("allowedOrigins", json!(["*"])).start().unwrap();
    for origin in ["https://evil.example", "null"] {
        let answer = raw(&all, &preflight("/rpc", origin));
        assert_eq!((answer.status, allowed(&answer)), (204, (Some("*"), None)));
    }
    // With a login nothing is checked, and nothing is said: pages are kept out by
    // their browsers.
    let auth = builder().set("auth", json!({"required": false, "tokens": {}})).start().unwrap();
    let answer = raw(&auth, &preflight("/rpc", "https://evil.example"));
    assert_eq!((answer.status, allowed(&answer)), (204, (None, None)));
    let fields = "Origin: https://evil.example\r\n";
    let answer = raw(&auth, &post_text(fields, r#"{"type":"store.stats"}"#));
    assert_eq!((answer.status, allowed(&answer)), (200, (None, None)));
}

/// `noexd_http_requests_total` by its labels.
fn counted(server: &noexd::server::ServerThread) -> BTreeMap<String, u64> {
    let names = json!(["noexd_http_requests_total", "noexd_connections"]);
    let metrics = server.call("server.metrics", json!({"names": names})).unwrap();
    let series = metrics["noexd_http_requests_total"].as_array().cloned().unwrap_or_default();
    let label = |one: &Value, name: &str| one["labels"][name].as_str().unwrap().to_owned();
    let name = |one: &Value| format!("{} {}", label(one, "door"), label(one, "class"));
    series.iter().map(|one| (name(one), one["value"].as_u64().unwrap())).collect()
}

#[test]
fn answers_are_counted_by_door() {
    let server = builder()
        .bucket("b", json!({"key": "k", "schema": {"k": {"type": "number"}}}))
        .query("q", json!({"bucket": "b"}))
        .set("maxConnectionsPerIp", 2)
        .start()
        .unwrap();
    post(&server, &json!({"type": "store.stats"}));
    post(&server, &json!({"type": "store.nothing"}));
    raw(&server, &preflight("/rpc", "https://evil.example"));
    raw(&server, b"GET /rpc HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let one = Stream::open(&server, "query=q", "");
    let _two = Stream::open(&server, "query=q", "");
    assert_eq!(raw(&server, request("query=q", "").as_bytes()).status, 429);
    drop(one);
    for path in ["/healthz", "/client.js", "/nothing"] {
        raw(&server, format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes());
    }
    let expected = [
        ("client 2xx", 1),
        ("health 2xx", 1),
        ("live 2xx", 2),
        ("live 4xx", 1),
        ("other 4xx", 1),
        ("rpc 2xx", 1),
        ("rpc 4xx", 3),
    ];
    let expected: BTreeMap<_, _> =
        expected.into_iter().map(|(name, count)| (name.to_owned(), count)).collect();
    assert_eq!(counted(&server), expected);
    let limited = server.call("server.metrics", json!({"names": ["noexd_rate_limited_total"]}));
    let limited = limited.unwrap()["noexd_rate_limited_total"].clone();
    let of_connections =
        limited.as_array().unwrap().iter().find(|one| one["labels"]["kind"] == "connection");
    assert_eq!(of_connections.unwrap()["value"], 1);
    // The other one is a connection like any.
    while data(&server, &json!({"type": "server.connections"})).as_array().unwrap().len() > 1 {
        std::thread::yield_now();
    }
    drop(dial(&server));
}
