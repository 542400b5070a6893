//! `noexd import --from-noex`: what the reference server has kept, as it keeps
//! it in files and in SQLite.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::support::{Scratch, Server, noexd};

fn document(records: &Value, counter: u64, with_checksum: bool) -> String {
    let state = json!({"records": records, "autoincrementCounter": counter}).to_string();
    let metadata = json!({"persistedAt": 1_767_225_600_000_u64, "serverId": "s",
        "schemaVersion": 1});
    let checksum = data_encoding::HEXLOWER.encode(&Sha256::digest(state.as_bytes()));
    match with_checksum {
        true => {
            format!("{{\"state\":{state},\"metadata\":{metadata},\"checksum\":\"{checksum}\"}}")
        }
        false => format!("{{\"state\":{state},\"metadata\":{metadata}}}"),
    }
}

fn record(key: &str, value: Value, version: u64) -> Value {
    let mut record = json!({"_version": version, "_createdAt": 1_767_225_600_000_u64,
        "_updatedAt": 1_767_225_600_001_u64, "free": {"a": [null, 1.5, "ü"]}});
    record[key] = value.clone();
    json!([value, record])
}

fn samples() -> [(&'static str, Value, u64); 4] {
    [
        ("orders", json!([record("nr", json!(2), 3), record("nr", json!(1), 1)]), 7),
        ("shop.parts", json!([record("sku", json!("M4"), 2)]), 0),
        ("empty", json!([]), 0),
        ("_users", json!([record("id", json!("u1"), 1)]), 0),
    ]
}

fn files(directory: &Path) {
    fs::create_dir_all(directory).unwrap();
    for (name, records, counter) in samples() {
        let file = format!("store-1_bucket_{}.json", name.replace('.', "_"));
        fs::write(directory.join(file), document(&records, counter, true)).unwrap();
    }
    fs::write(directory.join("notes.json"), "of somebody else").unwrap();
}

fn import(data: &Path, source: &Path, more: &[&str]) -> (bool, String) {
    let mut command: Command = noexd();
    command.arg("import").arg("--data-dir").arg(data).arg("--from-noex").arg(source).args(more);
    let output = command.output().expect("the program runs");
    let text = if output.status.success() { output.stdout } else { output.stderr };
    (output.status.success(), String::from_utf8(text).expect("text"))
}

fn all(server: &Server, bucket: &str) -> Value {
    server.client().call("store.all", json!({"bucket": bucket}))
}

/// The records of a sample, in its order.
fn rows(of: &str) -> Value {
    let (_, records, _) = samples().into_iter().find(|(name, ..)| *name == of).unwrap();
    records.as_array().unwrap().iter().map(|pair| pair[1].clone()).collect()
}

#[test]
fn buckets_that_nobody_defines_are_inferred() {
    let scratch = Scratch::new("noex-inferred");
    let source = scratch.0.join("old");
    files(&source);
    // Started on it by somebody who comes from there: empty, and not silent.
    let said = scratch.0.join("said");
    let file = fs::File::create(&said).unwrap();
    let server = Server::run(crate::support::with_data(noexd(), &source).stderr(file));
    assert_eq!(server.client().call("store.buckets", json!({}))["count"], 0);
    assert!(server.stop().success());
    let said = fs::read_to_string(said).unwrap();
    assert!(said.contains("holds data of noex, which is not read"), "{said}");

    let (good, text) = import(&scratch.data(), &source, &[]);
    assert!(good, "{text}");
    assert_eq!(
        text,
        "_users: left out, it is defined by noexd itself when needed\n\
         empty: left out, it is empty and nothing defines it\n\
         orders: 2 records, with the key \"nr\" and no other field checked\n\
         shop_parts: 1 records, with the key \"sku\" and no other field checked\n"
    );
    let server = Server::start(&scratch.data(), &[]);
    assert_eq!(all(&server, "orders"), rows("orders"), "metadata and order are kept");
    assert_eq!(all(&server, "shop_parts"), rows("shop.parts"));
    let mut client = server.client();
    let next = client.call("store.insert", json!({"bucket": "orders", "data": {}}));
    assert_eq!(next["nr"], 8, "the counter goes on");
}

#[test]
fn defined_and_configured_buckets_take_the_records() {
    let scratch = Scratch::new("noex-defined");
    let source = scratch.0.join("old");
    files(&source);
    let server = Server::start(&scratch.data(), &[]);
    let parts = json!({"key": "sku", "indexes": ["free"], "schema": {
        "sku": {"type": "string", "required": true}, "free": {"type": "object"}}});
    server.client().call("store.defineBucket", json!({"name": "shop.parts", "config": parts}));
    let orders = json!({"key": "nr", "schema": {"nr": {"type": "number"}}});
    let config = scratch.0.join("config.json");
    fs::write(&config, json!({"buckets": {"orders": orders}}).to_string()).unwrap();
    let config = config.to_str().unwrap();
    let (good, text) = import(&scratch.data(), &source, &["--config", config]);
    assert!(!good && text.contains("in use by another process"), "{text}");
    assert!(server.stop().success());
    let (good, text) = import(&scratch.data(), &source, &["--config", config, "--bucket", "none"]);
    assert!(!good && text.contains("there is no bucket \"none\""), "{text}");
    let (good, text) = import(
        &scratch.data(),
        &source,
        &["--config", config, "--bucket", "orders", "--bucket", "shop.parts"],
    );
    assert!(good, "{text}");
    assert_eq!(
        text,
        "orders: 2 records, as it is configured\nshop.parts: 1 records, as it is defined\n"
    );
    let server = Server::start(&scratch.data(), &["--config", config]);
    assert_eq!(all(&server, "orders"), rows("orders"));
    assert_eq!(all(&server, "shop.parts"), rows("shop.parts"));
    let schema = server.client().call("store.getBucketSchema", json!({"name": "shop.parts"}));
    assert_eq!(schema["config"], parts);
}

#[test]
fn a_database_is_read_as_well() {
    let scratch = Scratch::new("noex-table");
    let source = scratch.0.join("noex.db");
    let connection = rusqlite::Connection::open(&source).unwrap();
    connection
        .execute_batch(
            "PRAGMA journal_mode = WAL; CREATE TABLE noex_state(key TEXT PRIMARY KEY, data TEXT, \
             created_at INTEGER, updated_at INTEGER)",
        )
        .unwrap();
    for (name, records, counter) in samples() {
        let key = format!("store-1:bucket:{name}");
        let text = document(&records, counter, false);
        connection.execute("INSERT INTO noex_state VALUES(?1, ?2, 1, 1)", [&key, &text]).unwrap();
    }
    connection.execute("INSERT INTO noex_state VALUES('other', 'x', 1, 1)", []).unwrap();
    drop(connection);
    // Started on it by somebody who comes from there.
    let (_, errors) = crate::support::ends(noexd().args(["--port", "0", "--db"]).arg(&source));
    assert!(errors.contains("is not a data file of noexd"), "{errors}");
    assert!(errors.contains("noexd import --from-noex"), "{errors}");
    let (good, text) = import(&scratch.data(), &source, &[]);
    assert!(good && text.contains("shop.parts: 1 records"), "{text}");
    let server = Server::start(&scratch.data(), &[]);
    assert_eq!(all(&server, "shop.parts"), rows("shop.parts"), "with its whole name");
}

#[test]
fn what_is_damaged_is_named_and_nothing_is_taken() {
    let scratch = Scratch::new("noex-damaged");
    let source = scratch.0.join("old");
    files(&source);
    let orders = source.join("store-1_bucket_orders.json");
    let whole = fs::read_to_string(&orders).unwrap();
    for (text, reason) in [
        (whole.replace("1.5", "1.6"), "its checksum does not match"),
        (whole[..whole.len() / 2].to_owned(), "store-1_bucket_orders.json: "),
        ("{\"state\":{}}".to_owned(), "has no \"records\""),
        (document(&json!([[1]]), 0, true), "records[0] is no pair of a key and a record"),
        (document(&json!([[1, {"a": 2}]]), 0, true), "no field holds the key of every record"),
    ] {
        fs::write(&orders, text).unwrap();
        let (good, errors) = import(&scratch.data(), &source, &[]);
        assert!(!good && errors.contains(reason), "{reason}: {errors}");
    }
    // Laid out by hand, and otherwise the same.
    let value: Value = serde_json::from_str(&whole).unwrap();
    fs::write(&orders, serde_json::to_string_pretty(&value).unwrap()).unwrap();
    let (good, errors) = import(&scratch.data(), &source, &["--bucket", "orders"]);
    assert!(good, "{errors}");
    let server = Server::start(&scratch.data(), &[]);
    assert_eq!(server.client().call("store.buckets", json!({}))["names"], json!(["orders"]));
    let (good, errors) = import(&scratch.data(), &scratch.0.join("nowhere"), &[]);
    assert!(!good, "{errors}");
}
