//! Clients that come back to a server that was killed: what they had, with the
//! answer applied, is what is there.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::{Client, Scratch, Server};

/// A live list and its position, as a client keeps them.
struct Held {
    request: Value,
    rows: BTreeMap<String, Value>,
    resume: Value,
}

fn key(entry: &Value) -> String {
    entry.to_string()
}

impl Held {
    fn new(request: Value) -> Held {
        Held { request, rows: BTreeMap::new(), resume: json!({}) }
    }

    fn entry(&self) -> Value {
        let mut entry = self.request.clone();
        entry["resume"] = self.resume.clone();
        entry
    }

    fn answered(&mut self, data: &Value) {
        let list = |name: &str| data[name].as_array().cloned().unwrap_or_default();
        if data["resumed"] != json!(true) {
            let keys: Vec<String> = list("keys").iter().map(key).collect();
            self.rows = keys.into_iter().zip(list("data")).collect();
        }
        for gone in list("removed") {
            self.rows.remove(&key(&gone));
        }
        for changed in list("changed") {
            self.rows.insert(key(&changed["key"]), changed["row"].clone());
        }
        self.resume = data["resume"].clone();
    }

    /// A push in delta mode.
    fn pushed(&mut self, push: &Value) {
        let data = &push["data"];
        assert!(data["reset"].is_null(), "{push}");
        for gone in data["removed"].as_array().into_iter().flatten() {
            self.rows.remove(&key(gone));
        }
        for name in ["added", "changed"] {
            for entry in data[name].as_array().into_iter().flatten() {
                self.rows.insert(key(&entry["key"]), entry["row"].clone());
            }
        }
        self.resume["commit"] = push["commit"].clone();
    }
}

fn define(client: &mut Client) {
    let config =
        json!({"key": "id", "schema": {"id": {"type": "number"}, "n": {"type": "number"}}});
    client.call("store.defineBucket", json!({"name": "jobs", "config": config}));
    client.call(
        "store.defineQuery",
        json!({"name": "open", "config": {"bucket": "jobs", "filter": {"n": {"$lt": 50}}}}),
    );
}

fn put(client: &mut Client, id: u32, n: u32) {
    client.call("store.upsert", json!({"bucket": "jobs", "data": {"id": id, "n": n}}));
}

/// The next push.
fn push(client: &mut Client) -> Value {
    loop {
        let message = client.receive().expect("a message");
        if message["type"] == "push" {
            return message;
        }
    }
}

/// What somebody new is shown.
fn fresh(server: &Server) -> BTreeMap<String, Value> {
    let mut held = Held::new(json!({"query": "open", "mode": "delta"}));
    let answer = server.client().call("store.subscribe", held.request.clone());
    held.answered(&answer);
    held.rows
}

fn come_back(server: &Server, held: &mut Held) -> (Client, Value) {
    let mut client = server.client();
    client.call("session.open", json!({"commits": true}));
    let answer = client.call("store.subscribeMany", json!({"subscriptions": [held.entry()]}));
    let result = answer["results"][0].clone();
    held.answered(&result);
    (client, result)
}

#[test]
fn subscriptions_outlive_a_kill() {
    let scratch = Scratch::new("resume-kill");
    let mut held = Held::new(json!({"query": "open", "mode": "delta"}));
    let mut server = Server::start(&scratch.data(), &["--durability", "always"]);
    define(&mut server.client());
    let (mut client, first) = come_back(&server, &mut held);
    assert_eq!((&first["resumed"], &first["reason"]), (&json!(false), &Value::Null));
    for round in 0u32..6 {
        // Some of it the client is pushed, the rest it misses.
        let mut writer = server.client();
        for at in 0..5 {
            put(&mut writer, round * 3 + at, at * 20);
            if at < 3 {
                held.pushed(&push(&mut client));
            }
        }
        drop(client);
        writer.call("store.delete", json!({"bucket": "jobs", "key": round}));
        server.kill();
        server = Server::start(&scratch.data(), &["--durability", "always"]);
        // Also before anything happens on the new one.
        if round % 2 == 0 {
            put(&mut server.client(), 1000 + round, 1);
        }
        let (again, result) = come_back(&server, &mut held);
        client = again;
        assert_eq!(result["resumed"], json!(true), "{result}");
        let told = |name: &str| result[name].as_array().is_some_and(|list| !list.is_empty());
        assert!(told("changed") || told("removed"), "{result}");
        assert!(result["keys"].is_null() && result["data"].is_null(), "{result}");
        assert_eq!(held.rows, fresh(&server), "round {round}");
        // Nothing happened: nothing is told.
        drop(client);
        server.kill();
        server = Server::start(&scratch.data(), &["--durability", "always"]);
        let (again, result) = come_back(&server, &mut held);
        client = again;
        assert_eq!(result["resumed"], json!(true), "{result}");
        assert!(result["changed"].is_null() && result["removed"].is_null(), "{result}");
    }
}

#[test]
fn a_copy_that_went_its_own_way_and_data_set_back_are_told_apart() {
    let scratch = Scratch::new("resume-fork");
    let server = Server::start(&scratch.data(), &[]);
    define(&mut server.client());
    put(&mut server.client(), 1, 1);
    let mut held = Held::new(json!({"query": "open", "mode": "delta"}));
    drop(come_back(&server, &mut held));
    assert!(server.stop().success());
    let older = scratch.0.join("older");
    std::fs::create_dir(&older).expect("a directory");
    let copy = |from: &std::path::Path, to: &std::path::Path| {
        for entry in std::fs::read_dir(from).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_file() {
                let to = to.join(path.file_name().expect("a name"));
                std::fs::copy(&path, to).expect("copied");
            }
        }
    };
    copy(&scratch.data(), &older);
    // On both sides of the fork the common past is known.
    let server = Server::start(&scratch.data(), &[]);
    put(&mut server.client(), 2, 2);
    let common = Held {
        request: held.request.clone(),
        rows: held.rows.clone(),
        resume: held.resume.clone(),
    };
    let (_client, result) = come_back(&server, &mut held);
    assert_eq!(result["resumed"], json!(true), "{result}");
    assert!(server.stop().success());
    let other = Server::start(&older, &[]);
    put(&mut other.client(), 3, 3);
    let mut common = common;
    let (_client, result) = come_back(&other, &mut common);
    assert_eq!(result["resumed"], json!(true), "{result}");
    assert_eq!(common.rows, fresh(&other));
    // What the one added, the other does not know.
    let (_client, result) = come_back(&other, &mut held);
    assert_eq!(result["reason"], json!("epoch"), "{result}");
    assert_eq!(held.rows, fresh(&other));
}
