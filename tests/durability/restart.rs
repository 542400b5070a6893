//! What a restart brings back, and which files are refused.

use std::fs;

use serde_json::{Value, json};

use crate::support::{Scratch, Server, ends, noexd, with_data};

fn parts() -> Value {
    json!({"key": "id", "indexes": ["tag"], "schema": {
        "id": {"type": "number", "generated": "autoincrement"},
        "tag": {"type": "string"}, "n": {"type": "number"}}})
}

#[test]
fn everything_comes_back() {
    let scratch = Scratch::new("comes-back");
    let server = Server::start(&scratch.data(), &[]);
    let mut client = server.client();
    client.call("store.defineBucket", json!({"name": "a.b", "config": parts()}));
    client.call("store.defineBucket", json!({"name": "gone", "config": parts()}));
    client.call(
        "store.defineBucket",
        json!({"name": "passing", "config":
        {"key": "id", "persistent": false, "schema": {"id": {"type": "string"}}}}),
    );
    for at in 0..20 {
        let tag = if at % 2 == 0 { "x" } else { "y" };
        let data = json!({"tag": tag, "n": at, "more": {"k": [1, null, "ü"]}});
        client.call("store.insert", json!({"bucket": "a.b", "data": data}));
        client.call("store.insert", json!({"bucket": "gone", "data": {}}));
    }
    client.call("store.insert", json!({"bucket": "passing", "data": {"id": "1"}}));
    client.call("store.update", json!({"bucket": "a.b", "key": 1, "data": {"tag": "y"}}));
    client.call("store.delete", json!({"bucket": "a.b", "key": 20}));
    client.call("store.updateBucket", json!({"name": "a.b", "updates": {"addIndexes": ["n"]}}));
    client.call("store.update", json!({"bucket": "a.b", "key": 2, "data": {"tag": "x"}}));
    client.call("store.dropBucket", json!({"name": "gone"}));
    client.call("store.defineBucket", json!({"name": "gone", "config": parts()}));
    let questions = [
        ("store.all", json!({"bucket": "a.b"})),
        ("store.where", json!({"bucket": "a.b", "filter": {"tag": "x"}})),
        ("store.where", json!({"bucket": "a.b", "filter": {"tag": "y"}})),
        ("store.getBucketSchema", json!({"name": "a.b"})),
        ("store.all", json!({"bucket": "gone"})),
    ];
    let answers = |client: &mut crate::support::Client| -> Vec<Value> {
        questions.iter().map(|(what, of)| client.call(what, of.clone())).collect()
    };
    let before = answers(&mut client);
    assert_eq!(before[0].as_array().unwrap().len(), 19);
    assert!(server.stop().success());
    let server = Server::start(&scratch.data(), &[]);
    assert_eq!(answers(&mut server.client()), before, "after a clean end");
    server.kill();
    let server = Server::start(&scratch.data(), &[]);
    let mut client = server.client();
    assert_eq!(answers(&mut client), before, "after a kill");
    let buckets = client.call("store.buckets", json!({}));
    assert_eq!(buckets["names"], json!(["a.b", "gone"]), "what is not persistent is gone");
    let (code, message) = client.refused("store.all", json!({"bucket": "passing"}));
    assert_eq!((&*code, &*message), ("BUCKET_NOT_DEFINED", "Bucket \"passing\" is not defined"));
    let next = client.call("store.insert", json!({"bucket": "a.b", "data": {}}));
    assert_eq!(next["id"], 21, "the counter goes on");
    let stats = client.call("store.stats", json!({}));
    assert_eq!(stats["persistence"]["enabled"], true);
}

#[test]
fn expired_records_do_not_come_back() {
    let scratch = Scratch::new("expired");
    let server = Server::start(&scratch.data(), &[]);
    let mut client = server.client();
    let config = json!({"key": "id", "ttl": "1h", "schema": {"id": {"type": "string"}}});
    client.call("store.defineBucket", json!({"name": "t", "config": config}));
    // Nobody looks at it again before the restart.
    client.call("store.insert", json!({"bucket": "t", "data": {"id": "stays"}}));
    let soon = json!({"id": "goes", "_expiresAt": 1});
    client.call("store.insert", json!({"bucket": "t", "data": soon}));
    server.kill();
    let server = Server::start(&scratch.data(), &[]);
    let left = server.client().call("store.all", json!({"bucket": "t"}));
    let ids: Vec<&Value> = left.as_array().unwrap().iter().map(|record| &record["id"]).collect();
    assert_eq!(ids, ["stays"]);
}

#[test]
fn two_processes_on_one_directory_are_refused() {
    let scratch = Scratch::new("two");
    let server = Server::start(&scratch.data(), &[]);
    let (code, errors) = ends(&mut with_data(noexd(), &scratch.data()));
    assert_eq!(code, Some(75));
    assert!(errors.contains("Error: dataDir: in use by another process"), "{errors}");
    server.client().call("store.buckets", json!({}));
}

/// Runs the server with a configuration file.
fn configured(scratch: &Scratch, config: &Value) -> std::process::Command {
    let path = scratch.0.join("config.json");
    fs::write(&path, config.to_string()).unwrap();
    let mut command = with_data(noexd(), &scratch.data());
    command.arg("--config").arg(path);
    command
}

#[test]
fn configured_and_stored_buckets_meet() {
    let scratch = Scratch::new("meet");
    let schema = |extra: Value| {
        let mut schema = json!({"id": {"type": "string"}, "n": {"type": "number"}});
        schema.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        json!({"buckets": {"conf": {"key": "id", "schema": schema}}})
    };
    let plain = schema(json!({}));
    let server = Server::run(&mut configured(&scratch, &plain));
    let mut client = server.client();
    client.call("store.defineBucket", json!({"name": "wire", "config": parts()}));
    for id in ["a", "b"] {
        client.call("store.insert", json!({"bucket": "conf", "data": {"id": id, "n": 1}}));
    }
    server.kill();

    // In the file and stored, equal: kept. On the wire: restored.
    let server = Server::run(&mut configured(&scratch, &plain));
    let mut client = server.client();
    let all = client.call("store.all", json!({"bucket": "conf"}));
    assert_eq!(client.call("store.buckets", json!({}))["count"], 2);
    server.kill();

    // Different: the file wins, the records stay.
    let extended = schema(json!({"more": {"type": "string"}}));
    let server = Server::run(&mut configured(&scratch, &extended));
    let mut client = server.client();
    assert_eq!(client.call("store.all", json!({"bucket": "conf"})), all);
    let now = client.call("store.getBucketSchema", json!({"name": "conf"}));
    assert_eq!(now["config"], extended["buckets"]["conf"]);
    // What the wire changes lasts until the next start.
    client.call("store.updateBucket", json!({"name": "conf", "updates": {"addIndexes": ["n"]}}));
    server.kill();
    let server = Server::run(&mut configured(&scratch, &extended));
    let mut client = server.client();
    let now = client.call("store.getBucketSchema", json!({"name": "conf"}));
    assert_eq!(now["config"], extended["buckets"]["conf"]);
    server.kill();

    // A conflict ends the start and changes nothing.
    for (reason, config) in [
        (
            "key field",
            json!({"buckets": {"conf": {"key": "n", "schema": {"n": {"type": "number"}}}}}),
        ),
        ("nique", schema(json!({"n": {"type": "number", "unique": true}}))),
    ] {
        let (code, errors) = ends(&mut configured(&scratch, &config));
        assert_eq!(code, Some(78));
        assert!(errors.contains("Error: buckets.conf: stored data conflicts: "), "{errors}");
        assert!(errors.contains(reason), "{errors}");
    }

    // No longer in the file: it stays, with its data.
    let server = Server::run(&mut configured(&scratch, &json!({})));
    let mut client = server.client();
    assert_eq!(client.call("store.all", json!({"bucket": "conf"})), all);
    // Dropped on the wire: back, and empty, while it is in the file.
    client.call("store.dropBucket", json!({"name": "conf"}));
    server.kill();
    let server = Server::run(&mut configured(&scratch, &plain));
    assert_eq!(server.client().call("store.all", json!({"bucket": "conf"})), json!([]));
}

#[test]
fn configured_and_stored_queries_meet() {
    let scratch = Scratch::new("queries");
    let buckets = json!({"a": {"key": "id", "schema": {"id": {"type": "string"}}}});
    let of = |limit: u64| json!({"bucket": "a", "limit": limit});
    let config = |queries: Value| json!({"buckets": buckets, "queries": queries});
    let listed = |server: &Server| -> Vec<(String, Value)> {
        let list = server.client().call("store.listQueries", json!({}));
        let list = list["queries"].as_array().or(list.as_array()).expect("queries").clone();
        let name = |query: &Value| query["name"].as_str().expect("a name").to_owned();
        list.iter().map(|query| (name(query), query["config"]["limit"].clone())).collect()
    };
    let entry = |name: &str, limit: u64| (name.to_owned(), json!(limit));

    let first = config(json!({"stays": of(1), "changes": of(1), "goes": of(1)}));
    let server = Server::run(&mut configured(&scratch, &first));
    let mut client = server.client();
    for (name, limit) in [("wire", 7), ("undefined", 8)] {
        client.call("store.defineQuery", json!({"name": name, "config": of(limit)}));
    }
    client.call("store.undefineQuery", json!({"name": "undefined"}));
    // Lasts until the next start.
    client.call("store.undefineQuery", json!({"name": "stays"}));
    let other = json!({"key": "id", "schema": {"id": {"type": "string"}}});
    client.call("store.defineBucket", json!({"name": "other", "config": other}));
    let lost = json!({"name": "lost", "config": {"bucket": "other", "limit": 9}});
    client.call("store.defineQuery", lost);
    client.call("store.dropBucket", json!({"name": "other"}));
    server.kill();

    let second = config(json!({"stays": of(1), "changes": of(2), "new": of(3)}));
    let server = Server::run(&mut configured(&scratch, &second));
    let mut found = listed(&server);
    found.sort_by(|a, b| a.0.cmp(&b.0));
    let expected = [
        entry("changes", 2),
        entry("lost", 9),
        entry("new", 3),
        entry("stays", 1),
        entry("wire", 7),
    ];
    assert_eq!(found, expected);
    let (code, _) = server.client().refused("store.subscribe", json!({"query": "lost"}));
    assert_eq!(code, "BUCKET_NOT_DEFINED");
    server.kill();
    let server = Server::run(&mut configured(&scratch, &second));
    let mut again = listed(&server);
    again.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(again, expected);
}

#[test]
fn files_that_cannot_be_read_are_named_and_left_alone() {
    let scratch = Scratch::new("bad-files");
    let server = Server::start(&scratch.data(), &[]);
    let mut client = server.client();
    client.call("store.defineBucket", json!({"name": "b", "config": parts()}));
    for _ in 0..200 {
        let data = json!({"tag": "x".repeat(100)});
        client.call("store.insert", json!({"bucket": "b", "data": data}));
    }
    assert!(server.stop().success());
    let good = fs::read(scratch.file()).unwrap();
    let mut damaged = good.clone();
    let records = damaged.windows(5).rposition(|window| window == b"xxxxx").unwrap();
    let page = records / 4096 * 4096;
    damaged[page..page + 4096].fill(0x5a);
    let mut newer = good.clone();
    newer[60..64].copy_from_slice(&99u32.to_be_bytes());
    let mut foreign = good.clone();
    foreign[68..72].fill(0);
    for (bytes, reason) in [
        (damaged, "is damaged"),
        (good[..good.len() / 2].to_vec(), "it ends after"),
        (newer, "was written by a newer noexd (format 99"),
        (foreign, "is not a data file of noexd (it is the SQLite database of another program)"),
        (b"hello\n".repeat(100), "is not a data file of noexd (it is no SQLite database)"),
    ] {
        fs::write(scratch.file(), &bytes).unwrap();
        let (code, errors) = ends(&mut with_data(noexd(), &scratch.data()));
        assert_eq!(code, Some(65), "{reason}: {errors}");
        assert!(errors.contains("Error: dataDir: "), "{errors}");
        assert!(errors.contains(reason), "{errors}");
        assert!(fs::read(scratch.file()).unwrap() == bytes, "{reason}: the file was changed");
    }
    fs::write(scratch.file(), &good).unwrap();
    let server = Server::start(&scratch.data(), &[]);
    assert_eq!(server.client().call("store.count", json!({"bucket": "b"})), 200);
}

/// A limit on file sizes is what a full disk looks like from here.
#[test]
fn a_full_disk_ends_the_server_and_loses_nothing() {
    let scratch = Scratch::new("full");
    let mut limited = std::process::Command::new("bash");
    limited.env("RUST_LOG", "error").args([
        "-c",
        "trap '' XFSZ; ulimit -f 600; exec \"$@\"",
        "bash",
    ]);
    limited.arg(env!("CARGO_BIN_EXE_noexd"));
    let server = Server::run(&mut with_data(limited, &scratch.data()));
    let mut client = server.client();
    let mut other = server.client();
    client.call("store.defineBucket", json!({"name": "b", "config": parts()}));
    let mut written = 0;
    let gone = loop {
        let data = json!({"tag": "x".repeat(2_000)});
        match client.request("store.insert", json!({"bucket": "b", "data": data})) {
            Ok(response) => {
                assert_eq!(response["type"], "result");
                written += 1;
            }
            Err(gone) => break gone,
        }
        assert!(written < 10_000, "the limit is never reached");
    };
    let failure = Some((1011, "storage_failure".to_owned()));
    assert_eq!(gone.0, failure, "after {written} writes");
    assert_eq!(other.response().expect_err("closed").0, failure);
    assert_eq!(server.wait().code(), Some(74));
    let server = Server::start(&scratch.data(), &[]);
    let found = server.client().call("store.count", json!({"bucket": "b"}));
    // The one that was refused may be there, whole.
    assert!([written, written + 1].contains(&found.as_u64().unwrap()), "{written}, {found}");
}

#[test]
fn users_sessions_and_revocations_come_back() {
    let scratch = Scratch::new("users");
    let config = json!({"auth": {"builtIn": true, "adminSecret": "a-secret-of-some-length"}});
    let secret = json!({"secret": "a-secret-of-some-length"});
    let password = "correct horse battery";
    let ann = json!({"username": "ann", "password": password});
    let server = Server::run(&mut configured(&scratch, &config));
    let mut admin = server.client();
    admin.call("identity.loginWithSecret", secret.clone());
    admin.call("identity.createUser", ann.clone());
    let bob = json!({"username": "bob", "password": password});
    let created = admin.call("identity.createUser", bob.clone());
    let bob_id =
        created["id"].as_str().or(created["user"]["id"].as_str()).expect("an id").to_owned();
    let mut client = server.client();
    let login = client.call("identity.login", ann.clone());
    let token = login["token"].as_str().expect("a token").to_owned();
    admin.call("server.revokeSessions", json!({"userId": bob_id}));
    server.kill();

    let server = Server::run(&mut configured(&scratch, &config));
    let mut client = server.client();
    client.call("auth.login", json!({"token": token}));
    server.client().call("identity.login", ann);
    let (code, _) = server.client().refused("identity.login", bob.clone());
    assert_eq!(code, "SESSION_REVOKED");
    let mut admin = server.client();
    admin.call("identity.loginWithSecret", secret);
    admin.call("server.unrevoke", json!({"userId": bob_id}));
    server.kill();
    let server = Server::run(&mut configured(&scratch, &config));
    server.client().call("identity.login", bob);
}

/// A timer that ran out while nobody looked fires once after the start, and the
/// rules that were registered over the wire hear of it.
#[test]
fn an_overdue_timer_fires_after_the_start() {
    let scratch = Scratch::new("overdue");
    let server = Server::start(&scratch.data(), &[]);
    let mut client = server.client();
    let rule = |id: &str, topic: &str, actions: Value| {
        json!({"rule": {"id": id, "name": id, "trigger": {"type": "event", "topic": topic},
            "actions": actions}})
    };
    let timer = |name: &str| {
        json!({"type": "set_timer", "timer": {"name": name, "duration": "2h",
            "onExpire": {"topic": format!("{name}.over"), "data": {"of": name}}}})
    };
    client.call("rules.registerRule", rule("arm", "arm", json!([timer("far"), timer("soon")])));
    let over = json!([{"type": "set_fact", "key": "over", "value": {"ref": "event.of"}}]);
    client.call("rules.registerRule", rule("over", "soon.over", over));
    client.call("rules.emit", json!({"topic": "arm", "data": {}}));
    server.kill();
    let sql = "UPDATE documents SET body = json_set(body, '$.due', 1), sum = NULL \
               WHERE kind = 'timer' AND body ->> '$.topic' = 'soon.over'";
    let tool = rusqlite::Connection::open(scratch.file()).unwrap();
    assert_eq!(tool.execute(sql, []).unwrap(), 1);
    drop(tool);
    for start in 0..2 {
        let server = Server::start(&scratch.data(), &[]);
        let mut client = server.client();
        while client.call("rules.stats", json!({}))["timersCount"] != 1 {}
        let over = client.call("rules.getFact", json!({"key": "over"}));
        assert!(over == "soon" || over["value"] == "soon", "start {start}: {over}");
        server.kill();
    }
}

/// A query was allowed on a bucket, not on its name; that is remembered.
#[test]
fn a_query_of_a_dropped_bucket_is_still_an_orphan_after_a_restart() {
    let scratch = Scratch::new("orphans");
    let secret = "a secret of the admin";
    let config = scratch.data().with_extension("json");
    fs::write(&config, json!({"auth": {"builtIn": true, "adminSecret": secret}}).to_string())
        .expect("the configuration is written");
    let arguments = ["--config", config.to_str().expect("UTF-8")];
    let start = || Server::start(&scratch.data(), &arguments);
    let bucket = json!({"key": "id", "schema": {"id": {"type": "number"}}});
    let login = json!({"username": "ann", "password": "correct horse"});
    let server = start();
    let mut root = server.client();
    root.call("identity.loginWithSecret", json!({"secret": secret}));
    root.call(
        "identity.createRole",
        json!({"name": "reader-of-q", "permissions": [{"allow": ["store.subscribe"]}]}),
    );
    let user = root.call("identity.createUser", login.clone());
    root.call("identity.assignRole", json!({"userId": user["id"], "roleName": "reader-of-q"}));
    for name in ["kept", "passing"] {
        let mut bucket = bucket.clone();
        bucket["persistent"] = json!(name == "kept");
        root.call("store.defineBucket", json!({"name": name, "config": bucket}));
        root.call("store.defineQuery", json!({"name": name, "config": {"bucket": name}}));
    }
    root.call("store.dropBucket", json!({"name": "kept"}));
    server.kill();
    let server = start();
    let mut root = server.client();
    root.call("identity.loginWithSecret", json!({"secret": secret}));
    let mut ann = server.client();
    ann.call("identity.login", login);
    for name in ["kept", "passing"] {
        root.call("store.defineBucket", json!({"name": name, "config": bucket}));
        let refused = ann.refused("store.subscribe", json!({"query": name}));
        assert_eq!(refused, ("FORBIDDEN".into(), format!("No access to store.all on {name}")));
    }
}

#[test]
fn procedures_come_back_and_configured_ones_win() {
    let scratch = Scratch::new("procedures");
    let program = |name: &str, value: &str| json!({"name": name, "steps": [{"action": "return", "value": value}]});
    let config = scratch.data().with_extension("json");
    let configure = |definitions: Value| {
        let text = json!({"procedures": {"definitions": definitions}}).to_string();
        fs::write(&config, text).expect("the configuration is written");
    };
    let arguments = ["--config", config.to_str().expect("UTF-8")];
    configure(json!([program("of-file", "1"), program("for-now", "1")]));
    let server = Server::start(&scratch.data(), &arguments);
    let mut client = server.client();
    for name in ["wired", "taken", "gone"] {
        client.call("procedures.register", json!({"procedure": program(name, "wire")}));
    }
    client.call("procedures.unregister", json!({"name": "gone"}));
    client.call("procedures.update", json!({"name": "wired", "updates": {"description": "d"}}));
    server.kill();
    configure(json!([program("taken", "2"), program("of-file", "2")]));
    let server = Server::start(&scratch.data(), &arguments);
    let mut client = server.client();
    let mut result =
        |name: &str| client.call("procedures.call", json!({"name": name}))["result"].clone();
    assert_eq!(result("wired"), "wire");
    assert_eq!(result("taken"), "2", "the configuration wins");
    assert_eq!(result("of-file"), "2");
    let listed = client.call("procedures.list", json!({}));
    let names: Vec<&str> = listed["procedures"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|listed| listed["name"].as_str())
        .collect();
    assert_eq!(names.len(), 3, "what is no longer configured is gone: {names:?}");
    assert_eq!(
        listed["procedures"][names.iter().position(|name| *name == "wired").expect("listed")]["description"],
        "d"
    );
    // One that is wrong ends the start, by name and with what is wrong.
    drop(client);
    assert!(server.stop().success());
    configure(json!([{"name": "bad", "steps": []}]));
    let mut command = with_data(noexd(), &scratch.data());
    let (status, said) = ends(command.args(arguments));
    assert_ne!(status, Some(0));
    assert!(said.contains("procedures.definitions[0]: \"bad\": Procedure validation failed: \"steps\" must contain at least one step"), "{said}");
}
