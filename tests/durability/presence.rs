//! Records with a `lifetime` against `kill -9`: their bucket is there afterwards,
//! and empty.

use serde_json::json;

use crate::support::{Scratch, Server};

#[test]
fn a_killed_server_starts_with_the_bucket_and_without_its_records() {
    let scratch = Scratch::new("presence");
    let server = Server::start(&scratch.data(), &[]);
    let (mut here, mut client) = (server.client(), server.client());
    let config = json!({
        "key": "id", "schema": {"id": {"type": "string"}},
        "lifetime": "connection", "graceMs": 600_000,
    });
    client.call("store.defineBucket", json!({"name": "here", "config": config}));
    here.call("session.open", json!({"session": "presence--------------"}));
    here.call("store.insert", json!({"bucket": "here", "data": {"id": "a"}}));
    assert_eq!(client.call("store.count", json!({"bucket": "here"})), json!(1));
    // What is stored has been synced with it.
    client.call(
        "store.defineBucket",
        json!({"name": "b", "config": {"key": "id", "schema": {"id": {"type": "string"}}}}),
    );
    server.kill();
    let server = Server::start(&scratch.data(), &[]);
    let mut client = server.client();
    assert_eq!(client.call("store.count", json!({"bucket": "here"})), json!(0));
    client.call("store.insert", json!({"bucket": "here", "data": {"id": "a"}}));
    let clear = client.call("store.clear", json!({"bucket": "here"}));
    assert_eq!(clear, json!({"cleared": true}));
}
