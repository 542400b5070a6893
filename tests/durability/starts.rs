//! Every start of the table of continuity: which positions of clients are valid
//! after it. Real files, with tokens of two buckets and of two moments, and a
//! commit behind both that nobody was told of.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

use rusqlite::Connection;
use rusqlite::config::DbConfig;
use serde_json::{Value, json};

use crate::held::Held;
use crate::support::{Client, Scratch, Server, ends, noexd};

const BUCKETS: [&str; 2] = ["jobs", "other"];

fn put(client: &mut Client, ids: std::ops::Range<u64>) {
    for id in ids {
        for bucket in BUCKETS {
            client.call("store.upsert", json!({"bucket": bucket, "data": {"id": id % 8, "n": id}}));
        }
    }
}

/// Clients of both buckets, who leave with what they have.
fn mark(client: &mut Client) -> Vec<Held> {
    let requests = BUCKETS.map(|bucket| {
        json!({"type": "store.live", "bucket": bucket, "mode": "delta", "positions": true})
    });
    come_back(client, requests.into_iter().map(Held::new).collect()).0
}

/// They subscribe with what they have: what they have then, and what they were told.
fn come_back(client: &mut Client, mut all: Vec<Held>) -> (Vec<Held>, Vec<String>) {
    let entries: Vec<Value> = all.iter().map(Held::entry).collect();
    let answer = client.call("store.subscribeMany", json!({"subscriptions": entries}));
    let told = all.iter_mut().zip(answer["results"].as_array().expect("results"));
    let told = told.map(|(held, result)| match held.answered(result) {
        true => "resumed".to_owned(),
        false => result["reason"].as_str().unwrap_or_default().to_owned(),
    });
    let told = told.collect();
    (all, told)
}

/// What clients had at two moments.
struct Past {
    early: Vec<Held>,
    late: Vec<Held>,
}

/// Two runs' worth of records; `between` happens behind the first moment.
fn live(server: &Server, between: impl FnOnce(&mut Client)) -> Past {
    let mut client = server.client();
    let config = json!({"key": "id", "schema": {
        "id": {"type": "number"}, "n": {"type": "number"}}});
    for bucket in BUCKETS {
        client.call("store.defineBucket", json!({"name": bucket, "config": config}));
    }
    put(&mut client, 0..5);
    let early = mark(&mut client);
    between(&mut client);
    put(&mut client, 5..10);
    let late = mark(&mut client);
    put(&mut client, 10..12);
    Past { early, late }
}

impl Past {
    /// What each is told, the early ones first; with the answer they have what
    /// somebody new is answered.
    fn ask(&self, server: &Server, when: &str) -> Vec<String> {
        let mut client = server.client();
        let all = self.early.iter().chain(&self.late).cloned().collect();
        let (all, told) = come_back(&mut client, all);
        for held in all {
            let fresh = client.call("store.live", held.request.clone());
            held.check(&fresh, when);
        }
        told
    }

    fn expect(&self, server: &Server, when: &str, expected: [&str; 4]) {
        assert_eq!(self.ask(server, when), expected, "{when}");
    }
}

const ALL: [&str; 4] = ["resumed"; 4];
const NONE: [&str; 4] = ["epoch"; 4];

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for entry in fs::read_dir(from).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_file() {
            fs::copy(&path, to.join(path.file_name().expect("a name"))).expect("copied");
        }
    }
}

fn tool(scratch: &Scratch, arguments: &[&str]) {
    let mut command = noexd();
    command.arg(arguments[0]).arg("--data-dir").arg(scratch.data()).args(&arguments[1..]);
    let (code, said) = ends(&mut command);
    assert_eq!(code, Some(0), "{arguments:?}: {said}");
}

/// Everything that was committed is in the files.
fn until_written(client: &mut Client) {
    let is_written = |client: &mut Client| {
        let stats = client.call("server.stats", json!({"details": true}));
        stats["continuity"]["durableCommit"] == stats["continuity"]["commit"]
    };
    while !is_written(client) {
        std::thread::yield_now();
    }
}

#[test]
fn without_storage_nothing_outlives_the_process() {
    let start = || Server::run(noexd().args(["--port", "0"]));
    let server = start();
    let past = live(&server, |_| {});
    past.expect(&server, "the same process", ALL);
    server.kill();
    let server = start();
    live(&server, |_| {});
    past.expect(&server, "another process", NONE);
}

#[test]
fn clean_stops_and_kills_that_lose_nothing() {
    for mode in ["always", "interval", "none"] {
        for kills in [false, true] {
            let scratch = Scratch::new(&format!("starts-{mode}-{kills}"));
            let start = || Server::start(&scratch.data(), &["--durability", mode]);
            let server = start();
            let past = live(&server, |_| {});
            until_written(&mut server.client());
            match kills {
                true => server.kill(),
                false => assert!(server.stop().success()),
            }
            past.expect(&start(), mode, ALL);
            // And once more, with an epoch between.
            past.expect(&start(), mode, ALL);
        }
    }
}

/// The log is as long as it was at the first moment: what a loss of power leaves of
/// it, and a kill where nobody waits for writes.
#[test]
fn what_was_given_out_and_is_lost_is_ahead() {
    for mode in ["interval", "none"] {
        let scratch = Scratch::new(&format!("starts-power-{mode}"));
        let config = scratch.0.join("config.json");
        fs::write(&config, json!({"durabilityIntervalMs": 60_000}).to_string()).unwrap();
        let config = config.to_str().unwrap();
        let start = || Server::start(&scratch.data(), &["--durability", mode, "--config", config]);
        let log = scratch.data().join("noexd.sqlite-wal");
        let mut length = 0;
        let server = start();
        let past = live(&server, |client| {
            until_written(client);
            length = fs::metadata(&log).unwrap().len();
        });
        until_written(&mut server.client());
        server.kill();
        assert!(fs::metadata(&log).unwrap().len() > length, "more was written later");
        fs::OpenOptions::new().write(true).open(&log).unwrap().set_len(length).unwrap();
        let server = start();
        let expected = ["resumed", "resumed", "ahead", "ahead"];
        past.expect(&server, mode, expected);
        // The numbers are given again, to other commits of another epoch.
        put(&mut server.client(), 20..30);
        past.expect(&server, mode, expected);
    }
}

#[test]
fn restores_of_a_running_and_of_a_stopped_server() {
    let scratch = Scratch::new("starts-restore");
    let server = Server::start(&scratch.data(), &[]);
    let past = live(&server, |client| {
        client.call("store.backup", json!({"name": "b"}));
    });
    let mut client = server.client();
    client.call("store.restore", json!({"name": "b", "buckets": ["jobs"]}));
    let barrier = ["cleared", "resumed", "cleared", "resumed"];
    past.expect(&server, "restored while it ran", barrier);
    drop(client);
    assert!(server.stop().success());
    let server = Server::start(&scratch.data(), &[]);
    past.expect(&server, "and started again", barrier);
    assert!(server.stop().success());
    // The whole file of then; it has the epoch of both, up to its own end.
    tool(&scratch, &["restore", "b"]);
    let server = Server::start(&scratch.data(), &[]);
    past.expect(&server, "noexd restore", ["resumed", "resumed", "ahead", "ahead"]);
}

#[test]
fn older_files_and_two_copies_that_run() {
    let scratch = Scratch::new("starts-copies");
    let server = Server::start(&scratch.data(), &[]);
    let past = live(&server, |_| {});
    assert!(server.stop().success());
    let older = scratch.0.join("older");
    copy(&scratch.data(), &older);
    // A second server over the copy, and both go on.
    let (one, other) = (Server::start(&scratch.data(), &[]), Server::start(&older, &[]));
    put(&mut one.client(), 20..24);
    put(&mut other.client(), 30..34);
    past.expect(&one, "the common past", ALL);
    past.expect(&other, "the common past, there", ALL);
    let (ours, theirs) = (mark(&mut one.client()), mark(&mut other.client()));
    let ours = Past { early: ours, late: theirs };
    let only = ["resumed", "resumed", "epoch", "epoch"];
    ours.expect(&one, "each its own", only);
    let turned = Past { early: ours.late, late: ours.early };
    turned.expect(&other, "each its own, there", only);
    assert!(one.stop().success() && other.stop().success());
    // The older directory in the place of the newer one.
    fs::remove_dir_all(scratch.data()).unwrap();
    copy(&older, &scratch.data());
    let server = Server::start(&scratch.data(), &[]);
    turned.expect(&server, "set back by hand", only);
}

#[test]
fn an_import_is_a_barrier_for_what_it_replaces() {
    let scratch = Scratch::new("starts-import");
    let server = Server::start(&scratch.data(), &[]);
    let past = live(&server, |_| {});
    assert!(server.stop().success());
    let output = noexd().args(["export", "--data-dir"]).arg(scratch.data()).output().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    let of_jobs: Vec<&str> = text.lines().filter(|line| line.contains("\"jobs\"")).collect();
    assert!(of_jobs.len() > 8, "{text}");
    let mut run = noexd()
        .args(["import", "--data-dir"])
        .arg(scratch.data())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    run.stdin.take().unwrap().write_all(of_jobs.join("\n").as_bytes()).unwrap();
    assert!(run.wait().unwrap().success());
    let server = Server::start(&scratch.data(), &[]);
    past.expect(&server, "imported", ["cleared", "resumed", "cleared", "resumed"]);
}

#[test]
fn another_program_ends_the_past() {
    for sql in [
        "UPDATE records SET row = row",
        "DELETE FROM records WHERE rowid = (SELECT min(rowid) FROM records)",
        "INSERT INTO commits(last, first, at)
         SELECT max(last) + 1, max(last) + 1, max(at) FROM commits",
        "UPDATE documents SET body = body",
        "DELETE FROM commits WHERE rowid = (SELECT min(rowid) FROM commits)",
        "VACUUM",
        "CREATE TABLE ours(x)",
        "CREATE TABLE _litestream_seq(id INTEGER PRIMARY KEY, seq INTEGER)",
        FORMAT_2,
    ] {
        let scratch = Scratch::new("starts-other");
        let server = Server::start(&scratch.data(), &[]);
        let past = live(&server, |client| {
            let query = json!({"name": "q", "config": {"bucket": "jobs"}});
            client.call("store.defineQuery", query);
        });
        assert!(server.stop().success());
        let connection = Connection::open(scratch.file()).unwrap();
        if sql == FORMAT_2 {
            let drop = "SELECT group_concat('DROP TRIGGER ' || name, ';') FROM sqlite_schema
                        WHERE type = 'trigger'";
            let drop: String = connection.query_row(drop, [], |row| row.get(0)).unwrap();
            connection.execute_batch(&drop).unwrap();
        }
        connection.execute_batch(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
        drop(connection);
        let server = Server::start(&scratch.data(), &[]);
        past.expect(&server, sql, NONE);
        // What begins now is as good as ever.
        let late = mark(&mut server.client());
        let early = mark(&mut server.client());
        put(&mut server.client(), 40..44);
        let next = Past { early, late };
        assert!(server.stop().success());
        next.expect(&Server::start(&scratch.data(), &[]), sql, ALL);
    }
}

/// What makes a file one of the format before there were epochs.
const FORMAT_2: &str = "DROP TABLE epochs; DELETE FROM meta WHERE name = 'schema';
    ALTER TABLE commits DROP COLUMN ends; ALTER TABLE commits DROP COLUMN \"check\";
    ALTER TABLE commits DROP COLUMN hash; ALTER TABLE commits DROP COLUMN sum;
    PRAGMA user_version = 2";

/// `sqlite3 old .recover | sqlite3 new` and `.dump`: the rows as they were, in a
/// file of its own.
#[test]
fn a_file_that_was_written_anew_from_its_rows_has_no_past() {
    let scratch = Scratch::new("starts-dump");
    let server = Server::start(&scratch.data(), &[]);
    let past = live(&server, |_| {});
    assert!(server.stop().success());
    let anew = scratch.0.join("anew.sqlite");
    let connection = Connection::open(scratch.file()).unwrap();
    let list = |sql: &str| -> Vec<(String, String)> {
        let mut statement = connection.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    };
    let tables = list(
        "SELECT name, sql FROM sqlite_schema WHERE type = 'table' AND sql IS NOT NULL AND name NOT LIKE 'sqlite_%'",
    );
    let others =
        list("SELECT name, sql FROM sqlite_schema WHERE type <> 'table' AND sql IS NOT NULL");
    let pragma = |name: &str| -> i64 {
        connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get(0)).unwrap()
    };
    let target = Connection::open(&anew).unwrap();
    for name in ["application_id", "user_version"] {
        target.execute_batch(&format!("PRAGMA {name} = {}", pragma(name))).unwrap();
    }
    target.execute_batch(&format!("ATTACH '{}' AS old", scratch.file().display())).unwrap();
    for (name, sql) in &tables {
        target.execute_batch(sql).unwrap();
        target
            .execute_batch(&format!("INSERT INTO main.\"{name}\" SELECT * FROM old.\"{name}\""))
            .unwrap();
    }
    others.iter().for_each(|(_, sql)| target.execute_batch(sql).unwrap());
    target.execute_batch("DETACH old; PRAGMA journal_mode = WAL").unwrap();
    drop((target, connection));
    fs::copy(&anew, scratch.file()).unwrap();
    let server = Server::start(&scratch.data(), &[]);
    past.expect(&server, "dumped", NONE);
}

#[test]
fn behind_a_damaged_commit_the_ring_begins() {
    let scratch = Scratch::new("starts-damaged");
    let server = Server::start(&scratch.data(), &[]);
    let mut damaged = 0u64;
    let past = live(&server, |client| {
        put(client, 2..3);
        let stats = client.call("server.stats", json!({"details": true}));
        damaged = stats["continuity"]["commit"].as_u64().unwrap();
    });
    assert!(server.stop().success());
    let connection = Connection::open(scratch.file()).unwrap();
    // As a disk does it: the triggers of the file see nothing.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false).unwrap();
    let sql = "UPDATE commits SET \"check\" = \"check\" + 1
               WHERE first <= ?1 AND last >= ?1";
    assert_eq!(connection.execute(sql, [damaged]).unwrap(), 1);
    drop(connection);
    let server = Server::start(&scratch.data(), &[]);
    past.expect(&server, "damaged", ["evicted", "evicted", "resumed", "resumed"]);
}
