//! `noexd check` beside a running server, and on files that are damaged.

use std::fs;

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::support::{Scratch, Server, noexd};

/// Exit code and standard output.
fn check(scratch: &Scratch, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = noexd();
    command.arg("check").arg("--data-dir").arg(scratch.data()).args(arguments);
    let output = command.output().expect("the program runs");
    (output.status.code(), String::from_utf8(output.stdout).expect("text"))
}

/// Two buckets with 20 records each, one referring to the other, a query and a
/// backup; 44 commits with those of the definitions.
fn fill(server: &Server) {
    let mut client = server.client();
    let rooms = json!({"key": "id", "schema": {
        "id": {"type": "number"}, "name": {"type": "string", "unique": true}}});
    client.call("store.defineBucket", json!({"name": "rooms", "config": rooms}));
    let seats = json!({"key": "id", "schema": {
        "id": {"type": "number"}, "room": {"type": "number", "ref": "rooms"}}});
    client.call("store.defineBucket", json!({"name": "seats", "config": seats}));
    client.call("store.defineQuery", json!({"name": "all", "config": {"bucket": "rooms"}}));
    for id in 0..20 {
        let room = json!({"id": id, "name": format!("r{id}")});
        client.call("store.insert", json!({"bucket": "rooms", "data": room}));
        let seat = json!({"id": id, "room": id});
        client.call("store.insert", json!({"bucket": "seats", "data": seat}));
    }
    client.call("store.backup", json!({"name": "b"}));
}

/// A stopped server's data.
fn filled(name: &str) -> Scratch {
    let scratch = Scratch::new(&format!("check-{name}"));
    let server = Server::start(&scratch.data(), &[]);
    fill(&server);
    assert!(server.stop().success());
    scratch
}

fn alter(scratch: &Scratch, sql: &str) {
    let connection = Connection::open(scratch.file()).expect("a database");
    connection.execute_batch(sql).expect("altered");
}

#[test]
fn beside_a_running_server_nothing_is_found_and_nothing_changes() {
    let scratch = Scratch::new("check-beside");
    let server = Server::start(&scratch.data(), &[]);
    fill(&server);
    let log = scratch.data().join("noexd.sqlite-wal");
    let files = || [fs::read(scratch.file()).unwrap(), fs::read(&log).unwrap()];
    let before = files();
    let (code, out) = check(&scratch, &[]);
    assert_eq!(code, Some(0), "{out}");
    assert!(out.starts_with("2 buckets, 40 records, commit "), "{out}");
    assert!(out.ends_with(": no damage found\n"), "{out}");
    assert!(files() == before, "a file was changed");
    let (code, out) = check(&scratch, &["--json"]);
    let report: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!((code, &report["records"]), (Some(0), &json!(40)));
    assert_eq!((&report["backups"], &report["findings"]), (&json!(1), &json!([])));
    // The server has not lost its log to a reader that ended.
    let count = server.client().call("store.count", json!({"bucket": "rooms"}));
    assert_eq!(count, 20);
    server.kill();
    assert_eq!(check(&scratch, &[]).0, Some(0), "what a kill leaves is no damage");
}

#[test]
fn every_row_that_was_changed_is_named() {
    let scratch = filled("check-rows");
    alter(
        &scratch,
        "UPDATE records SET row = replace(row, 'r3', 'r4') WHERE place IN \
           (SELECT place FROM records WHERE row LIKE '%\"r3\"%');
         UPDATE documents SET body = '{' WHERE name = 'all';
         UPDATE commits SET ops = '[]' WHERE last = (SELECT max(last) FROM commits);
         INSERT INTO records(bucket, place, key, row) VALUES(99, 1, '1', '{}');",
    );
    let (code, out) = check(&scratch, &[]);
    assert_eq!(code, Some(65), "{out}");
    for part in [
        "1 records belong to bucket 99, which is not there",
        "bucket \"rooms\", place ",
        "key 3 does not match its checksum",
        "query \"all\" does not match its checksum",
        "what they changed does not match its checksum",
    ] {
        assert!(out.contains(part), "{part}: {out}");
    }
    let file = scratch.file().display().to_string();
    assert_eq!(out.lines().filter(|line| line.starts_with(&file)).count(), 4, "{out}");
}

#[test]
fn what_only_all_of_it_together_tells() {
    let scratch = filled("check-together");
    // Whoever changes rows on purpose clears their checksums.
    alter(
        &scratch,
        "UPDATE records SET row = replace(row, '\"r3\"', '\"r4\"'), sum = NULL;
         UPDATE documents SET body = '{\"bucket\":\"rooms\",\"filter\":7}', sum = NULL WHERE name = 'all';",
    );
    let (code, out) = check(&scratch, &[]);
    assert_eq!(code, Some(65), "{out}");
    assert!(out.contains("same value in the unique field \"name\""), "{out}");
    assert!(out.contains("query \"all\": Invalid query"), "{out}");
    alter(&scratch, "UPDATE buckets SET definition = '{}', sum = NULL WHERE name = 'rooms'");
    let (code, out) = check(&scratch, &[]);
    assert_eq!(code, Some(65), "{out}");
    assert!(out.contains("bucket \"rooms\": "), "{out}");
}

#[test]
fn a_reference_that_leads_nowhere_is_told_and_is_no_damage() {
    let scratch = Scratch::new("check-references");
    let server = Server::start(&scratch.data(), &[]);
    fill(&server);
    server.client().call("store.clear", json!({"bucket": "rooms"}));
    let (code, out) = check(&scratch, &[]);
    assert_eq!(code, Some(0), "{out}");
    let note = "note: 20 records of bucket \"seats\" refer in \"room\" to records of \"rooms\"";
    assert!(out.starts_with(note), "{out}");
    assert!(out.ends_with(": no damage found\n"), "{out}");
    server.kill();
}

#[test]
fn files_that_are_cut_off_or_overwritten() {
    let scratch = filled("check-pages");
    let whole = fs::read(scratch.file()).unwrap();
    // In the middle of a page, where its rows are.
    let mut damaged = whole.clone();
    for page in damaged.chunks_mut(4096).skip(1) {
        page[..8].fill(0xff);
    }
    fs::write(scratch.file(), &damaged).unwrap();
    assert_eq!(check(&scratch, &[]).0, Some(65), "overwritten");
    fs::write(scratch.file(), &whole[..whole.len() / 2]).unwrap();
    let (code, out) = check(&scratch, &[]);
    assert!(code == Some(65) && out.contains("it ends after"), "{code:?} {out}");
    // The data is whole, its backup is not.
    fs::write(scratch.file(), &whole).unwrap();
    assert_eq!(check(&scratch, &[]).0, Some(0), "whole again");
    let backup = scratch.data().join("backups/b.sqlite");
    let bytes = fs::read(&backup).unwrap();
    fs::write(&backup, &bytes[..bytes.len() / 2]).unwrap();
    let (code, out) = check(&scratch, &[]);
    assert!(code == Some(65) && out.contains("b.sqlite"), "{code:?} {out}");
    fs::write(&backup, &bytes).unwrap();
    // The log is gone, and the record of the last sync knows of it.
    let server = Server::start(&scratch.data(), &[]);
    server.client().call("store.delete", json!({"bucket": "seats", "key": 1}));
    server.kill();
    fs::remove_file(scratch.data().join("noexd.sqlite-wal")).unwrap();
    let (code, out) = check(&scratch, &[]);
    assert!(code == Some(65) && out.contains("ends with commit"), "{code:?} {out}");
}

#[test]
fn a_place_without_data_and_one_that_cannot_be_read() {
    let scratch = Scratch::new("check-nothing");
    assert_eq!(check(&scratch, &[]).0, Some(78));
    assert!(!scratch.data().exists(), "nothing was made");
    fs::create_dir_all(scratch.file()).unwrap();
    assert_eq!(check(&scratch, &[]).0, Some(74), "a directory");
    let code = noexd().args(["check", "--name", "x"]).status().expect("runs").code();
    assert_eq!(code, Some(78), "usage");
}
