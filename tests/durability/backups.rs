//! Backups while the server runs, and the subcommands beside it.

use std::fs;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::{Client, Scratch, Server, ends, noexd};

fn define(client: &mut Client, name: &str, unique: bool) {
    let config = json!({"key": "id", "schema": {
        "id": {"type": "number", "generated": "autoincrement"},
        "tag": {"type": "string", "unique": unique}}});
    client.call("store.defineBucket", json!({"name": name, "config": config}));
}

fn insert(client: &mut Client, bucket: &str, tag: &str) -> Value {
    client.call("store.insert", json!({"bucket": bucket, "data": {"tag": tag}}))
}

fn all(client: &mut Client, bucket: &str) -> Value {
    client.call("store.all", json!({"bucket": bucket}))
}

#[test]
fn a_backup_brings_back_what_was() {
    let scratch = Scratch::new("backup");
    let server = Server::start(&scratch.data(), &[]);
    let mut client = server.client();
    define(&mut client, "notes", false);
    define(&mut client, "other", false);
    for at in 0..50 {
        insert(&mut client, "notes", &format!("n{at}"));
        insert(&mut client, "other", "o");
    }
    // Sent in one go: what was written before the backup is in it.
    client.send("store.insert", json!({"bucket": "notes", "data": {"tag": "last"}})).unwrap();
    client.send("store.backup", json!({"name": "first"})).unwrap();
    client.send("store.insert", json!({"bucket": "notes", "data": {"tag": "later"}})).unwrap();
    let answers: Vec<Value> = (0..3).map(|_| client.response().unwrap()["data"].take()).collect();
    let made = &answers[1];
    assert_eq!(made["name"], "first");
    assert_eq!(made["bucketNames"], json!(["notes", "other"]));
    assert_eq!(made["totalRecords"], 101);
    assert!(made["createdAt"].as_u64().unwrap() > 1_700_000_000_000);
    let mut before = all(&mut client, "notes");
    assert_eq!(before.as_array_mut().unwrap().pop().unwrap()["tag"], "later");

    client.call("store.delete", json!({"bucket": "notes", "key": 3}));
    client.call("store.update", json!({"bucket": "notes", "key": 4, "data": {"tag": "changed"}}));
    client.call("store.dropBucket", json!({"name": "other"}));
    define(&mut client, "newer", false);
    insert(&mut client, "newer", "stays");
    let unnamed = client.call("store.backup", json!({}));
    let listed = client.call("store.backups", json!({}));
    assert_eq!(listed, json!([made, unnamed]), "oldest first");
    let default = format!("backup-{}", unnamed["createdAt"]);
    assert_eq!(unnamed["name"], default);

    // A live subscription hears of the restore once.
    let count = json!({"bucket": "notes", "aggregate": {"function": "count"}});
    client.call("store.defineQuery", json!({"name": "count", "config": count}));
    insert(&mut client, "notes", "one more");
    let mut watcher = server.client();
    let first = watcher.call("store.subscribe", json!({"query": "count"}));
    assert_eq!(first["data"], 52);
    let restored = client.call("store.restore", json!({"name": "first"}));
    assert_eq!(
        restored,
        json!({"restored": true, "name": "first",
        "bucketNames": ["notes", "other"], "totalRecords": 101})
    );
    let push = watcher.receive().expect("a push");
    assert_eq!((&push["channel"], &push["data"]), (&json!("subscription"), &json!(51)));
    assert_eq!(all(&mut client, "notes"), before);
    assert_eq!(all(&mut client, "other").as_array().unwrap().len(), 50, "defined again");
    assert_eq!(all(&mut client, "newer").as_array().unwrap().len(), 1, "left alone");
    assert_eq!(insert(&mut client, "notes", "x")["id"], 52, "the counter too");
    server.kill();

    let server = Server::start(&scratch.data(), &[]);
    let mut client = server.client();
    assert_eq!(all(&mut client, "notes").as_array().unwrap().len(), 52, "a restore is durable");
    client.call("store.restore", json!({"name": "first", "buckets": ["notes"]}));
    assert_eq!(all(&mut client, "notes"), before);
    assert_eq!(
        client.call("store.deleteBackup", json!({"name": "first"})),
        json!({"deleted": true})
    );
    assert_eq!(
        client.call("store.deleteBackup", json!({"name": "first"})),
        json!({"deleted": false})
    );
    assert_eq!(client.call("store.backups", json!({})), json!([unnamed]));
}

/// Subscribers in delta mode hear of a restore as of any commit: what they have
/// afterwards is what is there.
#[test]
fn a_restore_reaches_subscribers_of_both_modes() {
    let scratch = Scratch::new("backup-delta");
    let server = Server::start(&scratch.data(), &[]);
    let mut client = server.client();
    define(&mut client, "notes", false);
    for at in 0..30 {
        insert(&mut client, "notes", &format!("n{at}"));
    }
    client.call("store.backup", json!({"name": "b"}));
    for key in 1..=28 {
        let change = match key % 3 {
            0 => ("store.delete", json!({"bucket": "notes", "key": key})),
            _ => (
                "store.update",
                json!({"bucket": "notes", "key": key, "data": {"tag": format!("t{key}")}}),
            ),
        };
        client.call(change.0, change.1);
    }
    insert(&mut client, "notes", "later");
    let rows = json!({"bucket": "notes", "sort": {"tag": "desc"}});
    client.call("store.defineQuery", json!({"name": "rows", "config": rows}));
    let mut full = server.client();
    full.call("store.subscribe", json!({"query": "rows"}));
    let mut delta = server.client();
    let first = delta.call("store.subscribe", json!({"query": "rows", "mode": "delta"}));
    assert_eq!(first["seq"], 0);
    client.call("store.restore", json!({"name": "b"}));
    let expected = full.receive().expect("a push")["data"].take();
    assert_eq!(expected.as_array().unwrap().len(), 30);
    let push = delta.receive().expect("a push")["data"].take();
    assert_eq!(push["seq"], 1, "one commit: {push}");
    let id = json!({"subscriptionId": first["subscriptionId"]});
    if push["reset"] == true {
        assert_eq!(push["data"], expected);
    } else {
        // A delta is as good if it leads there; the server knows where it led.
        let now = delta.call("store.resync", id);
        assert_eq!((&now["seq"], &now["data"]), (&json!(1), &expected));
    }
}

#[test]
fn there_is_room_for_so_many_backups() {
    let scratch = Scratch::new("backup-limit");
    let server = Server::start(&scratch.data(), &[]);
    let mut client = server.client();
    client.call("store.backup", json!({"name": "x".repeat(64)}));
    // Only their names count; and what is no backup takes no place.
    let backups = scratch.data().join("backups");
    for at in 0..98 {
        fs::write(backups.join(format!("b{at}.sqlite")), "").unwrap();
    }
    fs::write(backups.join("note.txt"), "").unwrap();
    client.call("store.backup", json!({"name": "A.b_c-9"}));
    let (code, message) = client.refused("store.backup", json!({"name": "one-more"}));
    assert_eq!(code, "CONFLICT");
    assert_eq!(message, "Cannot create backup: there are 100 backups already, delete one first");
    assert_eq!(client.call("store.deleteBackup", json!({"name": "b0"})), json!({"deleted": true}));
    assert_eq!(client.call("store.deleteBackup", json!({"name": "b0"})), json!({"deleted": false}));
    client.call("store.backup", json!({"name": "one-more"}));
}

#[test]
fn what_cannot_be_done_is_said() {
    let scratch = Scratch::new("backup-errors");
    let server = Server::start(&scratch.data(), &[]);
    let mut client = server.client();
    define(&mut client, "notes", false);
    insert(&mut client, "notes", "same");
    insert(&mut client, "notes", "same");
    assert_eq!(client.call("store.backups", json!({})), json!([]));
    client.call("store.backup", json!({"name": "b"}));
    let mut refused = |operation: &str, fields: Value| {
        let (code, message) = client.refused(operation, fields);
        format!("{code} {message}")
    };
    for name in
        [json!(""), json!("../x"), json!(".x"), json!("a b"), json!(1), json!("x".repeat(65))]
    {
        let answer = refused("store.backup", json!({"name": name}));
        assert!(
            answer.starts_with("VALIDATION_ERROR Invalid \"name\": expected 1 to 64"),
            "{answer}"
        );
    }
    assert_eq!(
        refused("store.backup", json!({"name": "b"})),
        "ALREADY_EXISTS Backup \"b\" already exists"
    );
    assert_eq!(refused("store.restore", json!({"name": "c"})), "NOT_FOUND Backup \"c\" not found");
    assert_eq!(
        refused("store.restore", json!({"name": "../b"})),
        "NOT_FOUND Backup \"../b\" not found"
    );
    assert_eq!(
        refused("store.restore", json!({})),
        "VALIDATION_ERROR Missing or invalid \"name\": expected non-empty string"
    );
    assert_eq!(
        refused("store.restore", json!({"name": "b", "buckets": []})),
        "VALIDATION_ERROR Invalid \"buckets\": expected non-empty array of strings"
    );
    assert_eq!(
        refused("store.restore", json!({"name": "b", "buckets": ["none"]})),
        "NOT_FOUND Backup \"b\" has no bucket \"none\""
    );
    // The bucket is another one now, which the content does not fit.
    client.call("store.dropBucket", json!({"name": "notes"}));
    define(&mut client, "notes", true);
    insert(&mut client, "notes", "mine");
    let before = all(&mut client, "notes");
    let (code, message) = client.refused("store.restore", json!({"name": "b"}));
    assert_eq!(code, "CONFLICT");
    assert!(
        message.starts_with("Cannot restore bucket \"notes\": Unique constraint violation"),
        "{message}"
    );
    assert_eq!(all(&mut client, "notes"), before, "nothing was changed");
    // A file that is no backup is not in the list.
    fs::write(scratch.data().join("backups/strange.sqlite"), "strange").unwrap();
    assert_eq!(client.call("store.backups", json!({})).as_array().unwrap().len(), 1);
    let (code, _) = client.refused("store.restore", json!({"name": "strange"}));
    assert_eq!(code, "INTERNAL_ERROR");
}

#[test]
fn without_storage_there_are_none() {
    let server = Server::run(noexd().args(["--port", "0"]));
    let mut client = server.client();
    for (operation, what) in [
        ("store.backup", "create backup"),
        ("store.backups", "list backups"),
        ("store.restore", "restore backup"),
        ("store.deleteBackup", "delete backup"),
    ] {
        let (code, message) = client.refused(operation, json!({"name": "b"}));
        assert_eq!(code, "UNKNOWN_OPERATION");
        assert_eq!(message, format!("Cannot {what}: persistence is not configured"));
    }
}

/// Runs a subcommand to its end: whether it went well, and what it printed.
fn tool(scratch: &Scratch, verb: &str, arguments: &[&str], input: &str) -> (bool, String) {
    use std::io::Write as _;
    let mut child = noexd()
        .arg(verb)
        .arg("--data-dir")
        .arg(scratch.data())
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    // One that refuses its arguments does not read.
    let _ = child.stdin.take().expect("piped").write_all(input.as_bytes());
    let output = child.wait_with_output().expect("waited");
    let text = if output.status.success() { output.stdout } else { output.stderr };
    (output.status.success(), String::from_utf8(text).expect("text"))
}

#[test]
fn subcommands_copy_and_put_back() {
    let scratch = Scratch::new("tools");
    let server = Server::start(&scratch.data(), &[]);
    let mut client = server.client();
    define(&mut client, "notes", false);
    for at in 0..10 {
        insert(&mut client, "notes", &format!("n{at}"));
    }
    let before = all(&mut client, "notes");
    // Beside the running server, and seen by it.
    let (good, text) = tool(&scratch, "backup", &["--name", "cli"], "");
    assert!(good && text.contains("1 buckets, 10 records"), "{text}");
    assert_eq!(client.call("store.backups", json!({}))[0]["name"], "cli");
    let elsewhere = scratch.0.join("copy.sqlite");
    let elsewhere = elsewhere.to_str().unwrap();
    assert!(tool(&scratch, "backup", &["--output", elsewhere], "").0);
    let (good, text) = tool(&scratch, "backup", &["--output", elsewhere], "");
    assert!(!good && text.contains("already exists"), "{text}");
    for verb in ["restore", "import"] {
        let (good, text) =
            tool(&scratch, verb, &[if verb == "restore" { "cli" } else { "/dev/null" }], "");
        assert!(!good && text.contains("in use by another process"), "{verb}: {text}");
    }
    client.call("store.clear", json!({"bucket": "notes"}));
    server.kill();

    for backup in ["cli", elsewhere] {
        let (good, text) = tool(&scratch, "restore", &[backup], "");
        assert!(good, "{text}");
        let server = Server::start(&scratch.data(), &[]);
        let mut client = server.client();
        assert_eq!(all(&mut client, "notes"), before, "{backup}");
        insert(&mut client, "notes", "more");
        server.kill();
    }
    let kept = fs::read_dir(scratch.data()).unwrap().filter(|entry| {
        entry.as_ref().unwrap().file_name().to_string_lossy().contains(".before-restore-")
    });
    assert_eq!(kept.count(), 2);

    // Even when what is there cannot be read any more.
    fs::write(scratch.file(), "nothing").unwrap();
    assert!(!tool(&scratch, "restore", &["none"], "").0);
    assert!(!tool(&scratch, "restore", &[scratch.file().to_str().unwrap()], "").0);
    assert_eq!(fs::read(scratch.file()).unwrap(), b"nothing");
    let (good, text) = tool(&scratch, "restore", &["cli"], "");
    assert!(good, "{text}");
    let server = Server::start(&scratch.data(), &[]);
    assert_eq!(all(&mut server.client(), "notes"), before);
}

#[test]
fn an_export_can_be_imported() {
    let scratch = Scratch::new("lines");
    let server = Server::start(&scratch.data(), &[]);
    let mut client = server.client();
    define(&mut client, "notes", true);
    define(&mut client, "empty", false);
    for tag in ["a", "b\n\"", "ü"] {
        insert(&mut client, "notes", tag);
    }
    client
        .call("store.update", json!({"bucket": "notes", "key": 1, "data": {"tag": "c", "n": 1.5}}));
    let before = all(&mut client, "notes");
    let (good, lines) = tool(&scratch, "export", &[], "");
    assert!(good);
    let (_, one) = tool(&scratch, "export", &["--bucket", "empty"], "");
    server.kill();
    assert_eq!(lines.lines().count(), 5);
    assert_eq!(one.lines().count(), 1);
    for line in lines.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        assert!(
            line["bucket"].is_string()
                && (line["definition"].is_object() || line["record"].is_object())
        );
    }
    assert!(!tool(&scratch, "export", &["--bucket", "none"], "").0);

    let other = Scratch::new("lines-other");
    assert_eq!(tool(&other, "import", &[], &lines), (true, "3 records imported\n".to_owned()));
    let server = Server::start(&other.data(), &[]);
    let mut client = server.client();
    assert_eq!(all(&mut client, "notes"), before, "with their metadata");
    assert_eq!(client.call("store.buckets", json!({}))["names"], json!(["notes", "empty"]));
    server.kill();

    // Plain records are validated, and all of them are taken or none.
    let plain = "{\"tag\":\"x\"}\n\n{\"tag\":\"y\",\"id\":77}\n";
    let (good, text) = tool(&other, "import", &["--bucket", "notes"], plain);
    assert!(good, "{text}");
    for (bad, reason) in [
        ("{\"tag\":\"z\"}\n{\"tag\":\"x\"}\n", "line 2: Unique constraint violation"),
        ("{\"tag\":\"z\"}\n{\"tag\":5}\n", "line 2: Validation failed"),
        ("{\"tag\":\"z\"}\n[1]\n", "line 2: expected a JSON object"),
        ("{\"tag\":\"z\"}\n{\n", "line 2: "),
    ] {
        let (good, text) = tool(&other, "import", &["--bucket", "notes"], bad);
        assert!(!good && text.contains(reason), "{text}");
    }
    assert!(!tool(&other, "import", &[], plain).0, "plain records need a bucket");
    let server = Server::start(&other.data(), &[]);
    let mut client = server.client();
    let ids: Vec<Value> =
        all(&mut client, "notes").as_array().unwrap().iter().map(|r| r["id"].clone()).collect();
    assert_eq!(ids, [json!(1), json!(2), json!(3), json!(4), json!(77)]);
}

/// Every kind of value, keys of every type, metadata, counters, definitions,
/// table order: an export of an import is the export that was imported.
#[test]
fn an_export_of_an_import_is_the_same() {
    let scratch = Scratch::new("lines-same");
    let server = Server::start(&scratch.data(), &[]);
    let mut client = server.client();
    let values = [
        "null",
        "true",
        "false",
        "0",
        "-0",
        "-1.5e-7",
        "5e-324",
        "1.7976931348623157e308",
        "1e999",
        "-1e999",
        "9007199254740993",
        "1e21",
        "\"\"",
        "\"\\u0000\\n\\\"\\\\/ü😀\"",
        "[]",
        "{}",
        "[null,[1,{\"a\":[]}],\"x\"]",
        "{\"b\":1,\"a\":{\"\":2,\"__proto__\":3},\"10\":4,\"9\":5}",
    ];
    let any = json!({"type": "object"});
    for (name, key, ttl) in [("strings", "string", "1h"), ("numbers", "number", "2d")] {
        let config = json!({"key": "id", "ttl": ttl, "indexes": ["tag"], "maxSize": 1000,
            "schema": {"id": {"type": key}, "tag": {"type": "string"}, "o": any}});
        client.call("store.defineBucket", json!({"name": name, "config": config}));
    }
    let flags = json!({"key": "on", "schema": {"on": {"type": "boolean"}}});
    client.call("store.defineBucket", json!({"name": "flags.of \"it\"", "config": flags}));
    for on in [true, false] {
        let data = json!({"on": on});
        client.call("store.insert", json!({"bucket": "flags.of \"it\"", "data": data}));
    }
    for (at, value) in values.iter().enumerate() {
        for (bucket, key) in [("strings", format!("\"k\\\"{at}\"")), ("numbers", format!("{at}.5"))]
        {
            // As text: a tree of this test's would not have all of them.
            let id = 1000 + at;
            client.send_text(&format!(
                "{{\"id\":{id},\"type\":\"store.insert\",\"bucket\":\"{bucket}\",\"data\":{{\
                 \"id\":{key},\"tag\":\"t{}\",\"free\":{value},\"o\":{{\"in\":{value}}}}}}}",
                at % 3
            ));
            let response = client.response().expect("an answer");
            assert_eq!(response["type"], "result", "{value}: {response}");
        }
    }
    client.call("store.update", json!({"bucket": "numbers", "key": 2.5, "data": {"tag": "t9"}}));
    client.call("store.delete", json!({"bucket": "numbers", "key": 3.5}));
    define(&mut client, "counted", false);
    for _ in 0..3 {
        insert(&mut client, "counted", "c");
    }
    client.call("store.delete", json!({"bucket": "counted", "key": 3}));
    server.kill();
    let (good, lines) = tool(&scratch, "export", &[], "");
    assert!(good);
    assert!(lines.contains("\"free\":1e999") && lines.contains("\"free\":-1e999"), "{lines}");
    let other = Scratch::new("lines-same-other");
    let records = 2 + values.len() * 2 - 1 + 2;
    let imported = tool(&other, "import", &[], &lines);
    assert_eq!(imported, (true, format!("{records} records imported\n")));
    assert_eq!(tool(&other, "export", &[], ""), (true, lines.clone()));
    // Once more into what is there already.
    assert!(tool(&other, "import", &[], &lines).0);
    assert_eq!(tool(&other, "export", &[], ""), (true, lines.clone()));
    let server = Server::start(&other.data(), &[]);
    let mut client = server.client();
    assert_eq!(insert(&mut client, "counted", "next")["id"], 4, "the counter is there, too");
    server.kill();
    // A line that is damaged is named, and nothing is changed.
    let (_, before) = tool(&other, "export", &[], "");
    let damaged: String =
        lines
            .lines()
            .enumerate()
            .map(|(at, line)| {
                if at == 6 { "{\"bucket\":\"strings\",\"rec\n".into() } else { format!("{line}\n") }
            })
            .collect();
    let (good, text) = tool(&other, "import", &[], &damaged);
    assert!(!good && text.starts_with("Error: line 7: "), "{text}");
    assert_eq!(tool(&other, "export", &[], "").1, before);
}

#[test]
fn subcommands_say_what_they_need() {
    for (arguments, reason) in [
        (vec!["backup"], "where is the data?"),
        (vec!["restore", "--data-dir", "/nowhere"], "which backup?"),
        (vec!["export", "--data-dir", "/nowhere/at/all"], "does not exist"),
        (vec!["export", "--data-dir", "/nowhere", "--name", "x"], "is for another subcommand"),
        (vec!["backup", "--data-dir", "/nowhere", "x"], "unexpected argument"),
    ] {
        let (code, errors) = ends(noexd().args(&arguments));
        assert_eq!(code, Some(78), "{arguments:?}: {errors}");
        assert!(errors.starts_with("Error: ") && errors.contains(reason), "{errors}");
    }
}
