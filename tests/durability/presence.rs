//! Records with a `lifetime` against `kill -9`: their bucket is there afterwards,
//! and empty.

use serde_json::{Value, json};

use crate::support::{Client, Scratch, Server};

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

/// A backup has the definition of such a bucket and none of its records.
#[test]
fn a_restore_leaves_presence_alone_and_gives_no_record_without_an_owner() {
    let scratch = Scratch::new("presence-restore");
    let server = Server::start(&scratch.data(), &[]);
    let (mut here, mut client) = (server.client(), server.client());
    let config = |rest: Value| {
        let mut config = json!({"key": "id", "schema": {"id": {"type": "string"}}});
        config.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        config
    };
    let presence = json!({"lifetime": "connection"});
    let define = |client: &mut Client, name: &str, rest: &Value| {
        client.call("store.defineBucket", json!({"name": name, "config": config(rest.clone())}));
    };
    for (name, rest) in [("here", &presence), ("kept", &json!({})), ("turns", &json!({}))] {
        define(&mut client, name, rest);
        here.call("store.insert", json!({"bucket": name, "data": {"id": "a"}}));
    }
    client.call("store.backup", json!({"name": "b"}));
    client.call("store.clear", json!({"bucket": "kept"}));
    client.call("store.restore", json!({"name": "b", "buckets": ["kept", "turns"]}));
    let count =
        |client: &mut Client, name: &str| client.call("store.count", json!({"bucket": name}));
    assert_eq!(count(&mut client, "kept"), json!(1));
    client.call("store.clear", json!({"bucket": "kept"}));
    let restored = client.call("store.restore", json!({"name": "b"}));
    assert_eq!(restored["bucketNames"], json!(["kept", "turns"]), "what it had records of");
    assert_eq!(count(&mut client, "kept"), json!(1));
    assert_eq!(count(&mut client, "here"), json!(1), "who is here stays");
    let named = client.refused("store.restore", json!({"name": "b", "buckets": ["here"]}));
    assert_eq!(named, ("NOT_FOUND".into(), "Backup \"b\" has no bucket \"here\"".into()));
    // One that was stored when the backup was made.
    client.call("store.dropBucket", json!({"name": "turns"}));
    define(&mut client, "turns", &presence);
    here.call("store.insert", json!({"bucket": "turns", "data": {"id": "b"}}));
    client.call("store.clear", json!({"bucket": "kept"}));
    let text = "Cannot restore bucket \"turns\": it takes records from connections only";
    let refused = client.refused("store.restore", json!({"name": "b"}));
    assert_eq!(refused, ("CONFLICT".into(), text.into()));
    assert_eq!(count(&mut client, "kept"), json!(0), "nothing was restored");
    assert_eq!(count(&mut client, "turns"), json!(1));
    // One that is gone is defined again, and is empty.
    client.call("store.dropBucket", json!({"name": "here"}));
    client.call("store.restore", json!({"name": "b", "buckets": ["here"]}));
    here.call("store.insert", json!({"bucket": "here", "data": {"id": "again"}}));
    assert_eq!(count(&mut client, "here"), json!(1));
    drop(here);
    let empty = |client: &mut Client| count(client, "here") == json!(0);
    while !empty(&mut client) {
        std::thread::yield_now();
    }
}
