//! Where the data lies: one data set whatever its name, files for their owner
//! alone, nothing left behind, and a log that others cannot take away.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::support::{Client, Scratch, Server, ends, noexd};

fn define(client: &mut Client) {
    let config =
        json!({"key": "id", "schema": {"id": {"type": "number"}, "text": {"type": "string"}}});
    client.call("store.defineBucket", json!({"name": "b", "config": config}));
}

fn insert(client: &mut Client, id: u64) {
    client.call("store.insert", json!({"bucket": "b", "data": {"id": id}}));
}

fn ids(client: &mut Client) -> Vec<u64> {
    let records = client.call("store.all", json!({"bucket": "b"}));
    records.as_array().unwrap().iter().map(|record| record["id"].as_u64().unwrap()).collect()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// Every way to the same file that a command line could take.
fn names(scratch: &Scratch) -> Vec<Vec<String>> {
    let text = |path: PathBuf| path.to_str().unwrap().to_owned();
    let data = scratch.data();
    let to_directory = scratch.0.join("link");
    symlink(&data, &to_directory).unwrap();
    let elsewhere = scratch.0.join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    let to_file = elsewhere.join("noexd.sqlite");
    symlink(scratch.file(), &to_file).unwrap();
    let twice = scratch.0.join("twice");
    symlink(&to_file, &twice).unwrap();
    let hard = elsewhere.join("hard.sqlite");
    fs::hard_link(scratch.file(), &hard).unwrap();
    let db = |path: PathBuf| vec!["--db".to_owned(), text(path)];
    vec![
        vec!["--data-dir".to_owned(), text(data.clone())],
        vec!["--data-dir".to_owned(), text(to_directory.clone())],
        vec!["--data-dir".to_owned(), text(elsewhere.clone())],
        [vec!["--data-dir".to_owned(), text(scratch.0.join("other"))], db(scratch.file())].concat(),
        db(scratch.file()),
        db(data.join("../data/./noexd.sqlite")),
        db(to_directory.join("noexd.sqlite")),
        db(to_file),
        db(twice),
        db(hard),
    ]
}

#[test]
fn one_data_set_has_one_user_whatever_its_name() {
    let scratch = Scratch::new("one-name");
    let server = Server::start(&scratch.data(), &[]);
    let mut client = server.client();
    define(&mut client);
    insert(&mut client, 1);
    let backup = scratch.0.join("backup.sqlite");
    let (code, _) =
        ends(noexd().args(["backup", "--db"]).arg(scratch.file()).arg("--output").arg(&backup));
    assert_eq!(code, Some(0));
    let names = names(&scratch);
    for name in &names {
        for command in [&["--port", "0"][..], &["restore"], &["import", "--bucket", "b"]] {
            let mut run = noexd();
            run.args(command).args(name);
            match command {
                ["restore"] => drop(run.arg(&backup)),
                ["import", ..] => drop(run.arg("/dev/null")),
                _ => {}
            }
            let (code, said) = ends(&mut run);
            assert_eq!(code, Some(75), "{command:?} {name:?}: {said}");
            assert!(said.contains("in use by another process"), "{command:?} {name:?}: {said}");
        }
    }
    insert(&mut client, 2);
    assert!(server.stop().success());
    // And each of them leads to the data: what was written under one name is
    // there under the next.
    for (at, name) in (3..).zip(&names) {
        if name.last().unwrap().ends_with("hard.sqlite") {
            // It has the file and not the log, which the kill has left.
            let (code, said) = ends(noexd().args(["--port", "0"]).args(name));
            assert_eq!(code, Some(78));
            assert!(said.contains("which has a log with newer writes: use that name"), "{said}");
            assert!(Server::start(&scratch.data(), &[]).stop().success());
        }
        let server = Server::run(noexd().args(["--port", "0"]).args(name));
        let mut client = server.client();
        assert_eq!(ids(&mut client), (1..at).collect::<Vec<_>>(), "{name:?}");
        insert(&mut client, at);
        // A link leads to the same log, too.
        server.kill();
    }
}

#[test]
fn what_is_no_name_of_a_file_is_refused_and_makes_none() {
    let scratch = Scratch::new("no-name");
    symlink(scratch.0.join("nothing"), scratch.0.join("dead")).unwrap();
    let dead = format!("{}/dead", scratch.0.display());
    for (arguments, expected) in [
        (
            ["--db", ":memory:"],
            "expected a path, got \":memory:\" (leave db out to keep data in memory)".to_owned(),
        ),
        (
            ["--db", "file:x?mode=ro"],
            "expected a path, got \"file:x?mode=ro\" (leave db out".to_owned(),
        ),
        (["--db", &dead], format!("Error: db: {dead} is a link to nothing\n")),
        (["--data-dir", &dead], format!("Error: dataDir: {dead} is a link to nothing\n")),
    ] {
        let (code, said) =
            ends(noexd().current_dir(&scratch.0).args(["--port", "0"]).args(arguments));
        assert_eq!(code, Some(78), "{said}");
        assert!(said.contains(&expected), "{said}");
        let (code, _) = ends(noexd().current_dir(&scratch.0).arg("export").args(arguments));
        assert!(matches!(code, Some(1 | 78)), "{code:?}");
        assert_eq!(fs::read_dir(&scratch.0).unwrap().count(), 1, "only the link is there");
    }
}

/// With the umask in octal.
fn noexd_with(umask: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("sh");
    command.env("RUST_LOG", "warn");
    command.args([
        "-c",
        &format!("umask {umask}; exec \"$0\" \"$@\""),
        env!("CARGO_BIN_EXE_noexd"),
    ]);
    command.args(arguments);
    command
}

#[test]
fn files_are_for_their_owner_alone_whatever_the_umask() {
    for umask in ["000", "022", "777"] {
        let scratch = Scratch::new(&format!("modes-{umask}"));
        let data = scratch.data();
        let data_text = data.to_str().unwrap();
        let audit = scratch.0.join("audit.jsonl");
        let config = scratch.0.join("config.json");
        fs::write(&config, json!({"audit": {"file": audit}}).to_string()).unwrap();
        let arguments =
            ["--port", "0", "--data-dir", data_text, "--config", config.to_str().unwrap()];
        let server = Server::run(&mut noexd_with(umask, &arguments));
        let mut client = server.client();
        define(&mut client);
        insert(&mut client, 1);
        client.call("store.backup", json!({"name": "inside"}));
        let outside = |name: &str| scratch.0.join(name).to_str().unwrap().to_owned();
        let backup = outside("backup.sqlite");
        let export = outside("export.jsonl");
        for command in [["backup", "--output", &backup], ["export", "--output", &export]] {
            let arguments = [&command[..], &["--data-dir", data_text]].concat();
            assert_eq!(ends(&mut noexd_with(umask, &arguments)).0, Some(0), "{arguments:?}");
        }
        let mut files = vec![audit, backup.into(), export.into()];
        for directory in [data.clone(), data.join("backups")] {
            assert_eq!(mode(&directory), 0o700, "{umask}: {}", directory.display());
            let entries = fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path());
            files.extend(entries.filter(|path| path.is_file()));
        }
        assert!(files.len() >= 9, "{files:?}");
        for file in &files {
            assert_eq!(mode(file), 0o600, "{umask}: {}", file.display());
        }
        assert!(server.stop().success());
    }
}

#[test]
fn wider_modes_stay_and_are_told() {
    let scratch = Scratch::new("wide");
    let server = Server::start(&scratch.data(), &[]);
    define(&mut server.client());
    assert!(server.stop().success());
    fs::set_permissions(scratch.data(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(scratch.file(), fs::Permissions::from_mode(0o644)).unwrap();
    let log = scratch.0.join("log");
    let mut command = noexd();
    command.args(["--port", "0", "--data-dir"]).arg(scratch.data());
    let server = Server::run(command.stderr(fs::File::create(&log).unwrap()));
    assert!(server.stop().success());
    let said = fs::read_to_string(&log).unwrap();
    let directory = scratch.data().canonicalize().unwrap();
    let file = directory.join("noexd.sqlite");
    for (path, shown) in [(directory, "0755"), (file, "0644")] {
        let line = format!("{} can be read by other users (mode {shown})", path.display());
        assert!(said.contains(&line), "{line}: {said}");
    }
    assert_eq!((mode(&scratch.data()), mode(&scratch.file())), (0o755, 0o644));
}

#[test]
fn half_backups_are_gone_after_the_next_start() {
    let scratch = Scratch::new("half");
    let server = Server::start(&scratch.data(), &[]);
    define(&mut server.client());
    server.client().call("store.backup", json!({"name": "whole"}));
    server.kill();
    let backups = scratch.data().join("backups");
    for name in ["a.sqlite.partial", "a.sqlite.partial-journal", "b.sqlite.partial"] {
        fs::write(backups.join(name), "half a copy").unwrap();
    }
    // Somebody else's, and one that another process is writing.
    fs::write(backups.join("notes.partial"), "mine").unwrap();
    let held = fs::File::create(backups.join("c.sqlite.partial")).unwrap();
    held.lock().unwrap();
    let server = Server::start(&scratch.data(), &[]);
    let mut left: Vec<String> = fs::read_dir(&backups)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(left, ["c.sqlite.partial", "notes.partial", "whole.sqlite"]);
    let mut client = server.client();
    let (code, _) = client.refused("store.backup", json!({"name": "c"}));
    assert_ne!(code, "");
    assert_eq!(client.call("store.backups", json!({})).as_array().map(Vec::len), Some(1));
}

/// Not a test: another program that reads the database and ends.
#[test]
#[ignore = "run by the test below, as a process of its own"]
fn reads_the_database_and_ends() {
    let Some(file) = std::env::var_os("NOEXD_TEST_DATABASE") else { return };
    let connection = rusqlite::Connection::open(file).unwrap();
    let records: u64 =
        connection.query_row("SELECT count(*) FROM records", [], |row| row.get(0)).unwrap();
    assert!(records > 0);
    connection.close().unwrap();
}

/// A backup must not cost the server its locks: the next reader to end would
/// take the log away, and everything that is written after that.
#[test]
fn readers_that_end_leave_the_log_alone() {
    let scratch = Scratch::new("readers");
    let server = Server::start(&scratch.data(), &[]);
    let mut client = server.client();
    define(&mut client);
    insert(&mut client, 1);
    client.call("store.backup", json!({"name": "inside"}));
    client.call("store.backups", json!({}));
    let read = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "place::reads_the_database_and_ends", "--ignored"])
        .env("NOEXD_TEST_DATABASE", scratch.file())
        .output()
        .unwrap();
    assert!(read.status.success(), "{read:?}");
    assert!(String::from_utf8_lossy(&read.stdout).contains("1 passed"), "{read:?}");
    insert(&mut client, 2);
    server.kill();
    let server = Server::start(&scratch.data(), &[]);
    assert_eq!(ids(&mut server.client()), [1, 2]);
}

#[test]
fn a_log_that_a_reader_keeps_is_told() {
    let scratch = Scratch::new("pinned");
    let log = scratch.0.join("log");
    let mut command = noexd();
    command.args(["--port", "0", "--durability", "interval", "--data-dir"]).arg(scratch.data());
    let server = Server::run(command.stderr(fs::File::create(&log).unwrap()));
    let mut client = server.client();
    define(&mut client);
    let mut write = |range: std::ops::Range<u64>| {
        for id in range {
            let data = json!({"id": id, "text": "x".repeat(900_000)});
            client.call("store.insert", json!({"bucket": "b", "data": data}));
        }
        fs::read_to_string(&log).unwrap()
    };
    // Each record is written twice: as itself, and in the history of commits.
    assert_eq!(write(0..70), "", "more than that, and nobody is in the way");
    let reader = rusqlite::Connection::open(scratch.file()).unwrap();
    reader.execute_batch("BEGIN").unwrap();
    let count = |reader: &rusqlite::Connection| -> u64 {
        reader.query_row("SELECT count(*) FROM records", [], |row| row.get(0)).unwrap()
    };
    assert_eq!(count(&reader), 70);
    let said = write(70..140);
    let line = "MiB: another program reads the database in one long transaction";
    assert_eq!(said.matches(line).count(), 1, "{said}");
    reader.execute_batch("COMMIT").unwrap();
    assert_eq!(count(&reader), 140);
    assert!(server.stop().success());
}
