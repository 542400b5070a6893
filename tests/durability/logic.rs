//! Definitions of logic across `kill -9`, and configured ones across restarts.

use std::fs;

use serde_json::{Value, json};

use crate::support::{Client, Scratch, Server, ends, noexd, with_data};

fn answers(client: &mut Client) -> Vec<Value> {
    let questions = [
        ("logic.listComputed", json!({})),
        ("logic.listConstraints", json!({})),
        ("logic.listViews", json!({})),
        ("logic.queryView", json!({"name": "sums"})),
        ("logic.explainView", json!({"name": "sums"})),
    ];
    questions.into_iter().map(|(what, of)| client.call(what, of)).collect()
}

fn define(client: &mut Client) {
    let bucket = json!({"key": "id", "schema": {"id": {"type": "number"}}});
    for name in ["a", "gone"] {
        client.call("store.defineBucket", json!({"name": name, "config": bucket}));
    }
    let fields = json!({"twice": {"depends": ["n"], "expr": {"$multiply": ["$n", 2]}}});
    for bucket in ["a", "gone"] {
        client.call("logic.defineComputed", json!({"bucket": bucket, "fields": fields}));
    }
    let few = json!({"name": "few", "on": "a", "scope": "group", "groupBy": "g",
                     "expr": {"$lte": [{"$sum": "n"}, 10]}, "message": "Too much"});
    client.call("logic.defineConstraint", json!({"constraint": few}));
    let sums = json!({"name": "sums", "from": {"a": "a"}, "groupBy": "g",
                      "select": {"g": "g", "sum": {"$sum": "twice"}}});
    client.call("logic.defineView", json!({"definition": sums}));
    let over = json!({"name": "over", "from": {"g": "gone"}, "select": {"id": "id"}});
    client.call("logic.defineView", json!({"definition": over}));
    client.call("store.dropBucket", json!({"name": "gone"}));
}

#[test]
fn definitions_come_back_and_work() {
    let scratch = Scratch::new("logic-come-back");
    let server = Server::start(&scratch.data(), &[]);
    let mut client = server.client();
    define(&mut client);
    client.call("store.insert", json!({"bucket": "a", "data": {"id": 1, "g": 1, "n": 6}}));
    let before = answers(&mut client);
    assert_eq!(before[3], json!([{"g": 1, "sum": 12}]));
    assert_eq!(before[0].as_array().map(Vec::len), Some(1), "dropped with its bucket");
    assert_eq!(before[2].as_array().map(Vec::len), Some(2), "a view stays without its bucket");
    // The last response is the promise.
    server.kill();
    let server = Server::start(&scratch.data(), &[]);
    let mut client = server.client();
    assert_eq!(answers(&mut client), before, "after a kill");
    // The groups know what was stored.
    let more = json!({"bucket": "a", "data": {"id": 2, "g": 1, "n": 5}});
    let (code, message) = client.refused("store.insert", more);
    assert_eq!((code.as_str(), message.as_str()), ("VALIDATION_ERROR", "Too much"));
    client.call("store.insert", json!({"bucket": "a", "data": {"id": 2, "g": 1, "n": 4}}));
    assert_eq!(
        client.call("logic.queryView", json!({"name": "sums"})),
        json!([{"g": 1, "sum": 20}])
    );
    client.call("logic.dropView", json!({"name": "sums"}));
    assert!(server.stop().success());
    let server = Server::start(&scratch.data(), &[]);
    let views = server.client().call("logic.listViews", json!({}));
    assert_eq!(views.as_array().map(Vec::len), Some(1));
}

#[test]
fn the_configuration_file_wins() {
    let scratch = Scratch::new("logic-file");
    let file = scratch.0.join("config.json");
    let start = |logic: Value| {
        let bucket = json!({"key": "id", "schema": {"id": {"type": "number"}}});
        let config = json!({"buckets": {"b": bucket}, "logic": logic});
        fs::write(&file, config.to_string()).expect("written");
        let mut command = with_data(noexd(), &scratch.data());
        command.arg("--config").arg(&file);
        command
    };
    let view = |select: Value| json!({"name": "v", "from": {"b": "b"}, "select": select});
    let logic = json!({
        "computed": {"b": {"x": {"depends": [], "expr": 7}}},
        "constraints": [{"name": "c", "on": "b", "expr": {"$gt": ["$id", 0]}, "message": "No"}],
        "views": [view(json!({"id": "id", "x": "x"}))],
        "maxDefinitions": 1,
    });
    let server = Server::run(&mut start(logic));
    let mut client = server.client();
    let row = client.call("store.insert", json!({"bucket": "b", "data": {"id": 1}}));
    assert_eq!(row["x"], 7);
    assert_eq!(client.refused("store.insert", json!({"bucket": "b", "data": {"id": 0}})).1, "No");
    assert_eq!(client.call("logic.queryView", json!({"name": "v"})), json!([{"id": 1, "x": 7}]));
    let another = json!({"name": "w", "from": {"b": "b"}, "select": {"id": "id"}});
    let (_, message) = client.refused("logic.defineView", json!({"definition": another}));
    assert_eq!(message, "Too many views (maximum 1)");
    assert!(server.stop().success());
    // What is no longer configured goes, what differs is replaced.
    let server = Server::run(&mut start(json!({"views": [view(json!({"n": "id"}))]})));
    let mut client = server.client();
    assert_eq!(client.call("logic.queryView", json!({"name": "v"})), json!([{"n": 1}]));
    assert_eq!(client.call("logic.listComputed", json!({})), json!([]));
    assert_eq!(client.call("logic.listConstraints", json!({})), json!([]));
    assert!(server.stop().success());
    // What is wrong stops the start, with its place.
    let wrong = json!({"views": [view(json!({"n": {"$mul": 1}}))],
                       "constraints": [{"name": "c", "on": "q", "expr": 1, "message": "m"}]});
    let (code, text) = ends(&mut start(wrong));
    assert_ne!(code, Some(0));
    assert!(text.contains("select.n: unknown operator \"$mul\""), "{text}");
    let off = Server::run(&mut start(json!(false)));
    let (code, message) = off.client().refused("logic.listViews", json!({}));
    assert_eq!(
        (code.as_str(), message.as_str()),
        ("LOGIC_NOT_AVAILABLE", "Logic engine is not configured")
    );
}
