//! The local client of an embedding program: subscriptions, the same bounds as
//! for a client over a socket, and rights of its own.

use std::time::Duration;

use noexd::server::{CallError, LocalClient};
use noexd::{Config, Server};
use serde_json::{Value, json};

fn items() -> Value {
    json!({"key": "id", "schema": {"id": {"type": "number"}, "text": {"type": "string"}}})
}

fn config() -> Config {
    Config { port: 0, ..Config::default() }
}

fn next(client: &LocalClient) -> Value {
    serde_json::from_str(&client.receive().expect("a message")).expect("JSON")
}

fn ask(client: &LocalClient, request: &Value) -> Value {
    client.send(request.to_string()).expect("send");
    next(client)
}

fn put(id: usize, text: &str) -> Value {
    json!({"bucket": "items", "data": {"id": id, "text": text}})
}

#[test]
fn changes_are_pushed_into_the_program() {
    let server = Server::builder()
        .config(config())
        .bucket("items", items())
        .query("all", json!({"bucket": "items"}))
        .query("count", json!({"bucket": "items", "aggregate": {"function": "count"}}))
        .start()
        .expect("start");
    let client = server.connect().expect("connect");
    let answer = ask(&client, &json!({"id": 1, "type": "store.subscribe", "query": "count"}));
    assert_eq!(answer["data"]["data"], 0);
    let subscription = answer["data"]["subscriptionId"].clone();
    server.call("store.insert", put(1, "a")).expect("insert");
    let push = next(&client);
    assert_eq!(
        push,
        json!({"type": "push", "channel": "subscription", "subscriptionId": subscription, "data": 1})
    );
    // Its own writes as well, behind the response.
    let own = json!({"id": 2, "type": "store.insert", "bucket": "items", "data": {"id": 2}});
    assert_eq!(ask(&client, &own)["id"], 2);
    assert_eq!(next(&client)["data"], 2);
    let gone = json!({"id": 3, "type": "store.unsubscribe", "subscriptionId": subscription});
    assert_eq!(ask(&client, &gone)["type"], "result");
    server.call("store.insert", put(3, "c")).expect("insert");
    let stats = server.stats().expect("stats");
    assert_eq!(stats["connections"]["totalStoreSubscriptions"], 0);
    assert_eq!(client.receive_timeout(Duration::ZERO), Ok(None));
}

#[test]
fn a_local_client_that_does_not_receive_gets_the_newest_state_and_no_more() {
    let buffered = 20_000;
    let server = Server::builder()
        .config(config())
        .set("backpressure.maxBufferedBytes", buffered)
        .set("store.firstPushDelayMs", 0)
        .bucket("items", items())
        .query("all", json!({"bucket": "items"}))
        .start()
        .expect("start");
    let client = server.connect().expect("connect");
    ask(&client, &json!({"id": 1, "type": "store.subscribe", "query": "all"}));
    let text = "x".repeat(1_000);
    let writes = 200;
    for id in 0..writes {
        server.call("store.insert", put(0, &format!("{text}{id}"))).expect("insert");
    }
    // 200 pushes of 1,000 bytes do not fit; what waits is bounded, and the last
    // message is the newest state.
    let (mut bytes, mut last, mut pushes) = (0, Value::Null, 0);
    let newest = format!("{text}{}", writes - 1);
    while last["data"][0]["text"] != newest.as_str() {
        let message = client.receive().expect("a push");
        bytes += message.len();
        pushes += 1;
        last = serde_json::from_str(&message).expect("JSON");
        assert_eq!(last["type"], "push");
    }
    assert!(bytes < 2 * buffered, "{bytes} bytes in {pushes} pushes");
    assert!(pushes < 40, "{pushes} pushes");
    assert_eq!(client.receive_timeout(Duration::ZERO), Ok(None));
}

#[test]
fn requests_of_a_client_that_does_not_receive_wait() {
    let server = Server::builder()
        .config(config())
        .set("backpressure.maxBufferedBytes", 10_000)
        .bucket("items", items())
        .start()
        .expect("start");
    server.call("store.insert", put(1, &"x".repeat(5_000))).expect("insert");
    let client = server.connect().expect("connect");
    let requests = 50;
    for id in 0..requests {
        client
            .send(json!({"id": id, "type": "store.all", "bucket": "items"}).to_string())
            .expect("send");
    }
    // Every one is answered, in order, as far as answers are taken.
    for id in 0..requests {
        assert_eq!(next(&client)["id"], id);
    }
}

#[test]
fn the_program_itself_needs_no_login() {
    let server = Server::builder()
        .config(config())
        .host("127.0.0.1")
        .set("auth", json!({"builtIn": true, "adminSecret": "a-secret-of-some-length"}))
        .bucket("items", items())
        .query("all", json!({"bucket": "items"}))
        .start()
        .expect("start");
    let user = server
        .call("identity.createUser", json!({"username": "mira", "password": "correct horse"}))
        .expect("it may create users");
    assert_eq!(user["username"], "mira");
    server.call("store.insert", put(1, "a")).expect("it may write");
    let bucket = json!({"name": "more", "config": items()});
    server.call("store.defineBucket", bucket).expect("it may define");
    // Its subscriptions outlive changes of other people's rights.
    let client = server.connect().expect("connect");
    let answer = ask(&client, &json!({"id": 1, "type": "store.subscribe", "query": "all"}));
    assert_eq!(answer["data"]["data"].as_array().map(Vec::len), Some(1));
    let role = json!({"userId": user["id"], "roleName": "writer"});
    server.call("identity.assignRole", role).expect("it may assign roles");
    server.call("identity.deleteUser", json!({"userId": user["id"]})).expect("it may delete");
    server.call("store.insert", put(2, "b")).expect("insert");
    assert_eq!(next(&client)["data"].as_array().map(Vec::len), Some(2));
    assert_eq!(server.call("server.stats", Value::Null).expect("stats")["authEnabled"], true);
    let wrong = server.call("identity.login", json!({"username": "mira", "password": "wrong"}));
    let unauthorized =
        matches!(&wrong, Err(CallError::Refused { code, .. }) if code == "UNAUTHORIZED");
    assert!(unauthorized, "{wrong:?}");
}

/// A directory that is removed at the end.
#[cfg(feature = "sqlite")]
struct TempDir(std::path::PathBuf);

#[cfg(feature = "sqlite")]
impl Drop for TempDir {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).expect("remove the directory");
    }
}

#[test]
#[cfg(feature = "sqlite")]
fn what_was_answered_is_there_after_a_restart() {
    let directory =
        TempDir(std::env::temp_dir().join(format!("noexd-embed-{}", std::process::id())));
    let start = || {
        Server::builder()
            .config(config())
            .set("dataDir", directory.0.to_str().expect("a plain path"))
            .bucket("items", items())
            .start()
            .expect("start")
    };
    let server = start();
    for id in 0..20 {
        server.call("store.insert", put(id, "kept")).expect("insert");
    }
    let second = Server::builder()
        .config(config())
        .set("dataDir", directory.0.to_str().expect("a plain path"))
        .build()
        .map(drop);
    let said = second.expect_err("one process at a time").to_string();
    assert!(said.starts_with("dataDir: "), "{said}");
    server.stop_and_wait(Duration::ZERO).expect("stop");
    let again = start();
    assert_eq!(again.call("store.count", json!({"bucket": "items"})), Ok(json!(20)));
}
