//! Generated numbers never meet those of records that are there, whichever way
//! the records came.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::{Client, Scratch, Server, ends, noexd};

fn automatic() -> Value {
    json!({"key": "id", "schema": {
        "id": {"type": "number", "generated": "autoincrement"}, "v": {"type": "string"}}})
}

fn plain() -> Value {
    json!({"key": "id", "schema": {"id": {"type": "number"}, "v": {"type": "string"}}})
}

fn keys(client: &mut Client) -> Vec<u64> {
    let records = client.call("store.all", json!({"bucket": "n"}));
    records.as_array().unwrap().iter().map(|record| record["id"].as_u64().unwrap()).collect()
}

/// Three inserts bring three records more, also after a restart.
fn grows(data: &Path, more: &[&str], before: &[u64]) {
    let server = Server::start(data, more);
    let mut client = server.client();
    assert_eq!(keys(&mut client), before);
    for n in 1..=2 {
        client.call("store.insert", json!({"bucket": "n", "data": {"v": "new"}}));
        assert_eq!(keys(&mut client).len(), before.len() + n);
    }
    server.kill();
    let server = Server::start(data, more);
    let mut client = server.client();
    client.call("store.insert", json!({"bucket": "n", "data": {"v": "new"}}));
    assert_eq!(keys(&mut client).len(), before.len() + 3);
    assert!(server.stop().success());
}

fn import(data: &Path, lines: &[Value]) {
    let mut run = noexd()
        .args(["import", "--data-dir"])
        .arg(data)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = run.stdin.take().unwrap();
    for line in lines {
        writeln!(input, "{line}").unwrap();
    }
    drop(input);
    assert!(run.wait().unwrap().success());
}

fn record(id: u64) -> Value {
    json!({"bucket": "n", "record": {"id": id, "v": id.to_string()}})
}

#[test]
fn lines_without_a_counter_and_with_one_that_lags() {
    for (name, first) in [
        ("none", json!({"bucket": "n", "definition": automatic()})),
        ("lags", json!({"bucket": "n", "definition": automatic(), "counter": 1})),
    ] {
        let scratch = Scratch::new(&format!("numbers-lines-{name}"));
        import(&scratch.data(), &[first, record(1), record(3), record(2)]);
        grows(&scratch.data(), &[], &[1, 3, 2]);
    }
}

#[test]
fn what_the_reference_has_kept() {
    let scratch = Scratch::new("numbers-noex");
    let old = scratch.0.join("old");
    fs::create_dir(&old).unwrap();
    let state = json!({"state": {"records": [[2, {"id": 2}], [3, {"id": 3}]],
        "autoincrementCounter": 2}});
    fs::write(old.join("store-1_bucket_n.json"), state.to_string()).unwrap();
    let (code, said) = ends(
        noexd().args(["import", "--data-dir"]).arg(scratch.data()).arg("--from-noex").arg(&old),
    );
    assert_eq!(code, Some(0), "{said}");
    grows(&scratch.data(), &[], &[2, 3]);
}

#[test]
fn a_field_that_becomes_automatic() {
    let scratch = Scratch::new("numbers-automatic");
    let config = scratch.0.join("config.json");
    let buckets = |definition: Value| json!({"buckets": {"n": definition}}).to_string();
    fs::write(&config, buckets(plain())).unwrap();
    let more = ["--config", config.to_str().unwrap()];
    let server = Server::start(&scratch.data(), &more);
    for id in [3, 1, 2] {
        server.client().call("store.insert", json!({"bucket": "n", "data": {"id": id}}));
    }
    assert!(server.stop().success());
    fs::write(&config, buckets(automatic())).unwrap();
    grows(&scratch.data(), &more, &[3, 1, 2]);
    // A field of its own, beside the key, added over the wire to records that
    // have had it all along.
    let scratch = Scratch::new("numbers-added");
    let server = Server::start(&scratch.data(), &[]);
    let mut client = server.client();
    let loose = json!({"key": "id", "schema": {"id": {"type": "string", "generated": "uuid"}}});
    client.call("store.defineBucket", json!({"name": "m", "config": loose}));
    client.call("store.insert", json!({"bucket": "m", "data": {"no": 7}}));
    let updates = json!({"addFields": {"no": {"type": "number", "generated": "autoincrement"}}});
    client.call("store.updateBucket", json!({"name": "m", "updates": updates}));
    let made = client.call("store.insert", json!({"bucket": "m", "data": {}}));
    assert_eq!(made["no"], 8);
    // Nobody changes one afterwards.
    let update = json!({"bucket": "m", "key": made["id"], "data": {"no": 20}});
    assert_eq!(client.call("store.update", update)["no"], 8);
}

#[test]
fn a_restore_beside_newer_records_and_a_file_that_lags() {
    let scratch = Scratch::new("numbers-restore");
    let server = Server::start(&scratch.data(), &[]);
    let mut client = server.client();
    client.call("store.defineBucket", json!({"name": "n", "config": plain()}));
    for id in [1, 2, 3] {
        client.call("store.insert", json!({"bucket": "n", "data": {"id": id}}));
    }
    client.call("store.backup", json!({"name": "b"}));
    client.call("store.dropBucket", json!({"name": "n"}));
    client.call("store.defineBucket", json!({"name": "n", "config": automatic()}));
    client.call("store.restore", json!({"name": "b"}));
    assert!(server.stop().success());
    grows(&scratch.data(), &[], &[1, 2, 3]);
    // As an earlier version may have left it.
    let file = rusqlite::Connection::open(scratch.file()).unwrap();
    assert_eq!(file.execute("UPDATE buckets SET counter = 1", []).unwrap(), 1);
    file.close().unwrap();
    grows(&scratch.data(), &[], &[1, 2, 3, 4, 5, 6]);
}
