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
