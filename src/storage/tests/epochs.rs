//! Which positions of clients are valid after which start, on real files: the
//! table of starts of docs/durability.md.

use std::fs;
use std::path::Path;

use super::files::{Scratch, open};
use super::*;

/// What makes a file one of the format before there were epochs.
pub(super) fn make_format_2(connection: &rusqlite::Connection) {
    let triggers: Vec<String> = connection
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'trigger'")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    assert_eq!(triggers.len(), 12);
    for name in triggers {
        connection.execute_batch(&format!("DROP TRIGGER {name}")).unwrap();
    }
    connection
        .execute_batch(
            "DROP TABLE epochs; DELETE FROM meta WHERE name = 'schema';
             ALTER TABLE commits DROP COLUMN ends; ALTER TABLE commits DROP COLUMN \"check\";
             ALTER TABLE commits DROP COLUMN hash; ALTER TABLE commits DROP COLUMN sum;
             PRAGMA user_version = 2",
        )
        .unwrap();
}

/// One run: so many batches, then a clean end. Its epoch and its newest commit.
fn run(file: &Path, load: &mut Load, batches: usize) -> (EpochId, CommitSeq) {
    let mut storage = Box::new(open(file).unwrap());
    let history: Vec<Batch> = (0..batches).map(|_| load.batch()).collect();
    storage.append(&history).unwrap();
    let position = (storage.epochs().present(), load.seq);
    storage.close().unwrap();
    position
}

/// What the next start says of a position.
fn ask(file: &Path, (epoch, commit): (EpochId, CommitSeq)) -> Result<(), Unknown> {
    let mut storage = Box::new(open(file).unwrap());
    let newest = storage.load(&mut |_| Ok(())).unwrap();
    let answer = storage.epochs().check(epoch, commit, newest);
    storage.close().unwrap();
    answer
}

fn by_another_program(file: &Path, sql: &str) {
    rusqlite::Connection::open(file).unwrap().execute_batch(sql).unwrap();
}

#[test]
fn positions_survive_clean_ends_and_end_with_their_epoch() {
    let scratch = Scratch::new("epochs");
    let (file, mut load) = (scratch.file(), Load::new(5));
    let first = run(&file, &mut load, 20);
    let second = run(&file, &mut load, 20);
    assert_ne!(first.0, second.0);
    for position in [first, second, (first.0, 1)] {
        assert_eq!(ask(&file, position), Ok(()));
    }
    // A number that the first run never gave out.
    assert_eq!(ask(&file, (first.0, first.1 + 1)), Err(Unknown::Ahead));
    assert_eq!(ask(&file, (EpochId([7; 16]), 1)), Err(Unknown::Epoch));
}

#[test]
fn what_a_kill_spares_is_valid() {
    let scratch = Scratch::new("epochs-kill");
    let (file, mut load) = (scratch.file(), Load::new(6));
    let mut storage = open(&file).unwrap();
    storage.append(&[load.batch(), load.batch()]).unwrap();
    let position = (storage.epochs().present(), load.seq);
    // As a kill leaves it: the files as they are, log and all.
    let copy = Scratch::new("epochs-killed");
    for name in ["noexd.sqlite", "noexd.sqlite-wal", "noexd.sqlite-synced"] {
        fs::copy(scratch.0.join(name), copy.0.join(name)).unwrap();
    }
    drop(storage);
    assert_eq!(ask(&copy.file(), position), Ok(()));
    assert_eq!(ask(&copy.file(), (position.0, position.1 + 1)), Err(Unknown::Ahead));
}

#[test]
fn a_file_set_back_knows_the_past_that_it_has() {
    let scratch = Scratch::new("epochs-back");
    let (file, mut load) = (scratch.file(), Load::new(7));
    let first = run(&file, &mut load, 20);
    let older = scratch.0.join("older");
    fs::copy(&file, &older).unwrap();
    let storage = Box::new(open(&file).unwrap());
    let second_epoch = storage.epochs().present();
    storage.close().unwrap();
    let second = run(&file, &mut load, 20);
    fs::copy(&older, &file).unwrap();
    assert_eq!(ask(&file, first), Ok(()));
    assert_eq!(ask(&file, second), Err(Unknown::Epoch));
    // The numbers are given again, in another epoch.
    let mut other = Load::new(99);
    other.seq = first.1;
    let forked = run(&file, &mut other, 20);
    assert_eq!(ask(&file, forked), Ok(()));
    assert_eq!(ask(&file, (second_epoch, first.1 + 1)), Err(Unknown::Epoch));
    assert_eq!(ask(&file, second), Err(Unknown::Epoch));
}

#[test]
fn two_copies_share_the_past_and_nothing_else() {
    let scratch = Scratch::new("epochs-two");
    let (file, mut load) = (scratch.file(), Load::new(8));
    let common = run(&file, &mut load, 10);
    let copy = scratch.0.join("copy.sqlite");
    fs::copy(&file, &copy).unwrap();
    let mut other = Load::new(77);
    other.seq = load.seq;
    let (here, there) = (run(&file, &mut load, 10), run(&copy, &mut other, 10));
    for file in [&file, &copy] {
        assert_eq!(ask(file, common), Ok(()));
    }
    assert_eq!(ask(&file, here), Ok(()));
    assert_eq!(ask(&file, there), Err(Unknown::Epoch));
    assert_eq!(ask(&copy, there), Ok(()));
    assert_eq!(ask(&copy, here), Err(Unknown::Epoch));
}

#[test]
fn rows_changed_by_another_program_void_all_positions() {
    let changes = [
        "UPDATE records SET places = places WHERE place = (SELECT min(place) FROM records)",
        "INSERT INTO records(bucket, place, key, row) VALUES(1, 999999, '9', '{}')",
        "DELETE FROM records WHERE place = (SELECT min(place) FROM records)",
        "DELETE FROM records",
        "UPDATE documents SET body = body",
        "UPDATE buckets SET counter = counter",
        "DELETE FROM commits WHERE last = (SELECT min(last) FROM commits)",
        "UPDATE commits SET ops = ops",
        "VACUUM",
        "CREATE TABLE other(a)",
        "CREATE INDEX extra ON records(key)",
    ];
    for change in changes {
        let scratch = Scratch::new("epochs-changed");
        let (file, mut load) = (scratch.file(), Load::new(9));
        let position = run(&file, &mut load, 30);
        assert_eq!(ask(&file, position), Ok(()), "{change}");
        by_another_program(&file, change);
        assert_eq!(ask(&file, position), Err(Unknown::Epoch), "{change}");
        let later = run(&file, &mut load, 1);
        assert_eq!(ask(&file, later), Ok(()), "{change}");
    }
}

#[test]
fn reading_and_tidying_by_another_program_void_nothing() {
    let scratch = Scratch::new("epochs-read");
    let (file, mut load) = (scratch.file(), Load::new(10));
    let position = run(&file, &mut load, 30);
    let copy = scratch.0.join("copy.sqlite");
    by_another_program(
        &file,
        "SELECT count(*) FROM data; PRAGMA wal_checkpoint(TRUNCATE); ANALYZE",
    );
    // ANALYZE made a table: that is a change of the tables. The rest is none.
    assert_eq!(ask(&file, position), Err(Unknown::Epoch));
    let position = run(&file, &mut load, 1);
    by_another_program(&file, "SELECT count(*) FROM data; PRAGMA wal_checkpoint(TRUNCATE)");
    fs::copy(&file, &copy).unwrap();
    assert_eq!(ask(&file, position), Ok(()));
    assert_eq!(ask(&copy, position), Ok(()));
}

/// What `.dump` and `.recover` come to: the same rows in a new file.
#[test]
fn a_file_that_was_rebuilt_voids_all_positions() {
    let scratch = Scratch::new("epochs-rebuilt");
    let (file, mut load) = (scratch.file(), Load::new(12));
    let position = run(&file, &mut load, 30);
    let connection = rusqlite::Connection::open(&file).unwrap();
    let mut sql: Vec<String> = connection
        .prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' ORDER BY type = 'trigger', rowid")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    let tables = ["meta", "buckets", "records", "documents", "commits", "epochs"];
    let at = sql.iter().position(|sql| sql.starts_with("CREATE TRIGGER")).unwrap();
    let copies = tables.map(|name| format!("INSERT INTO {name} SELECT * FROM old.{name}"));
    sql.splice(at..at, copies);
    drop(connection);
    let old = scratch.0.join("old.sqlite");
    fs::rename(&file, &old).unwrap();
    let rebuilt = rusqlite::Connection::open(&file).unwrap();
    rebuilt.execute_batch("PRAGMA application_id = 0x6e6f6578; PRAGMA user_version = 3").unwrap();
    rebuilt.execute("ATTACH ?1 AS old", [old.to_str().unwrap()]).unwrap();
    rebuilt.execute_batch(&sql.join(";")).unwrap();
    let kept: u64 = rebuilt.query_row("SELECT count(*) FROM epochs", [], |row| row.get(0)).unwrap();
    assert_eq!(kept, 1, "the rows are there: only the cookie tells");
    drop(rebuilt);
    assert_eq!(ask(&file, position), Err(Unknown::Epoch));
}

#[test]
fn files_of_the_format_before_begin_with_no_past() {
    let scratch = Scratch::new("epochs-before");
    let (file, mut load) = (scratch.file(), Load::new(13));
    let position = run(&file, &mut load, 30);
    let connection = rusqlite::Connection::open(&file).unwrap();
    make_format_2(&connection);
    drop(connection);
    let mut storage = open(&file).unwrap();
    assert_eq!(storage.epochs().rows().len(), 1);
    let mut past = 0;
    storage
        .past(&mut |_| {
            past += 1;
            true
        })
        .unwrap();
    assert_eq!(past, 0, "batches without a checksum");
    Box::new(storage).close().unwrap();
    assert_eq!(ask(&file, position), Err(Unknown::Epoch));
    let later = run(&file, &mut load, 1);
    assert_eq!(ask(&file, later), Ok(()));
    // And it is laid out like a new one.
    let tables = |file: &Path| -> Vec<String> {
        rusqlite::Connection::open(file)
            .unwrap()
            .prepare("SELECT name FROM sqlite_schema UNION SELECT name FROM pragma_table_info('commits')")
            .unwrap()
            .query_map([], |row| row.get(0))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap()
    };
    let new = scratch.0.join("new.sqlite");
    Box::new(open(&new).unwrap()).close().unwrap();
    assert_eq!(tables(&file), tables(&new));
}

#[test]
fn backups_and_restores_go_on_with_the_epochs() {
    let scratch = Scratch::new("epochs-backup");
    let (file, mut load) = (scratch.file(), Load::new(14));
    let first = run(&file, &mut load, 20);
    let copy = scratch.0.join("backup.sqlite");
    copy_file(&file, &copy, "b", 1).unwrap();
    let second = run(&file, &mut load, 20);
    fs::copy(&copy, &file).unwrap();
    assert_eq!(ask(&file, first), Ok(()));
    assert_eq!(ask(&file, second), Err(Unknown::Epoch));
    // A copy of a file that somebody rebuilt does not vouch for it.
    by_another_program(&file, "VACUUM");
    let copy = scratch.0.join("another.sqlite");
    copy_file(&file, &copy, "c", 2).unwrap();
    assert_eq!(ask(&copy, first), Err(Unknown::Epoch));
}

#[test]
fn the_past_is_read_newest_first_until_it_is_not_whole() {
    let scratch = Scratch::new("epochs-past");
    let (file, mut load) = (scratch.file(), Load::new(15));
    let history: Vec<Batch> = (0..30)
        .map(|_| {
            let batch = load.batch();
            let commits = batch.last - batch.first + 1;
            let ends = (1..=commits).map(|end| (end as u32).min(batch.ops.len() as u32));
            Batch { ends: ends.collect(), ..batch }
        })
        .collect();
    let mut storage = Box::new(open(&file).unwrap());
    storage.append(&history).unwrap();
    storage.close().unwrap();
    let read = |file: &Path, most: usize| -> Vec<Batch> {
        let mut storage = Box::new(open(file).unwrap());
        let mut past = Vec::new();
        storage
            .past(&mut |batch| {
                past.push(batch);
                past.len() < most
            })
            .unwrap();
        storage.close().unwrap();
        past
    };
    let text = |batches: &[Batch]| -> Vec<String> {
        let text = |batch: &Batch| {
            let mut out = Vec::new();
            batch.write(&mut out);
            String::from_utf8(out).unwrap()
        };
        batches.iter().map(text).collect()
    };
    let mut expected = text(&history);
    expected.reverse();
    assert_eq!(text(&read(&file, usize::MAX)), expected);
    assert_eq!(text(&read(&file, 4)), expected[..4]);
    let damages = [
        "UPDATE commits SET ops = replace(ops, '1', '2')",
        "UPDATE commits SET at = at + 1",
        "UPDATE commits SET first = first - 1",
        "UPDATE commits SET ops = NULL",
        "UPDATE commits SET ops = 7",
        "DELETE FROM commits",
    ];
    for damage in damages {
        let copy = scratch.0.join("copy.sqlite");
        fs::copy(&file, &copy).unwrap();
        let at = history[20].last;
        by_another_program(&copy, &format!("{damage} WHERE last = {at}"));
        assert_eq!(text(&read(&copy, usize::MAX)), expected[..9], "{damage}");
        fs::remove_file(&copy).unwrap();
    }
}

#[test]
fn no_more_epochs_are_kept_than_are_promised() {
    let scratch = Scratch::new("epochs-many");
    let (file, mut load) = (scratch.file(), Load::new(16));
    let position = run(&file, &mut load, 3);
    by_another_program(
        &file,
        "WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 4200)
         INSERT INTO epochs(position, id, at, first, last)
         SELECT i, printf('%032x', i), 1, 1, 1 FROM n;
         DELETE FROM meta WHERE name = 'epochs'",
    );
    let storage = Box::new(open(&file).unwrap());
    assert_eq!(storage.epochs().rows().len(), crate::storage::epochs::MAX_EPOCHS);
    storage.close().unwrap();
    assert_eq!(ask(&file, position), Err(Unknown::Epoch));
}

#[test]
fn damage_that_is_no_text_any_more_refuses_no_file() {
    let scratch = Scratch::new("epochs-bytes");
    let (file, mut load) = (scratch.file(), Load::new(17));
    let position = run(&file, &mut load, 3);
    let copy = scratch.0.join("copy.sqlite");
    for damage in [
        "UPDATE epochs SET id = CAST(x'c328' || substr(id, 3) AS TEXT)",
        "UPDATE epochs SET first = CAST(x'ff' AS TEXT)",
        "UPDATE epochs SET last = 'x'",
        "UPDATE epochs SET last = -1",
        "UPDATE meta SET value = CAST(x'ff' AS TEXT) WHERE name = 'epochs'",
        "UPDATE meta SET value = CAST(x'ff' AS TEXT) WHERE name = 'closed'",
        "UPDATE meta SET value = CAST(x'ff' AS TEXT) WHERE name = 'schema'",
    ] {
        fs::copy(&file, &copy).unwrap();
        by_another_program(&copy, damage);
        assert_eq!(ask(&copy, position), Err(Unknown::Epoch), "{damage}");
        // And the next start finds a file as it should be.
        let mut storage = Box::new(open(&copy).unwrap());
        let newest = storage.load(&mut |_| Ok(())).unwrap();
        let again = (storage.epochs().present(), newest);
        storage.close().unwrap();
        assert_eq!(ask(&copy, again), Ok(()), "{damage}");
        fs::remove_file(&copy).unwrap();
    }
    assert_eq!(ask(&file, position), Ok(()));
}
