//! Damage to `commits` and `epochs` as a disk makes it, which no trigger sees:
//! flipped bits, cut values, rows that are lost or exchanged. Whatever it is, a
//! start takes no position for one that this data was in if it was not, and is told
//! nothing of the past that is not true.
//!
//! What was seen to be caught when it was planted: the steps of a commit without a
//! checksum over where they end, a table of epochs that nothing vouches for, newest
//! commits that are lost and not missed, a gap in the past that is not seen.

use std::fs;
use std::path::{Path, PathBuf};

use super::files::{Scratch, open};
use super::*;

/// What is true of the file: its epochs with their ranges, and its batches.
struct Truth {
    epochs: Vec<(EpochId, CommitSeq, CommitSeq)>,
    batches: Vec<Batch>,
    newest: CommitSeq,
}

impl Truth {
    /// Three runs; each batch says where its commits end, as those of a server do.
    fn make(file: &Path, load: &mut Load) -> Truth {
        let mut truth = Truth { epochs: Vec::new(), batches: Vec::new(), newest: 0 };
        for _ in 0..3 {
            let mut storage = Box::new(open(file).unwrap());
            let (id, first) = (storage.epochs().present(), truth.newest + 1);
            for _ in 0..12 {
                // Of several commits, if there is something to tell apart.
                let mut batch = load.batch();
                let commits = (batch.ops.len() as u64).clamp(1, 3);
                (batch.first, batch.last) = (truth.newest + 1, truth.newest + commits);
                let steps = batch.ops.len() as u32;
                batch.ends = (1..=commits as u32).map(|at| at.min(steps)).collect();
                if let Some(end) = batch.ends.last_mut() {
                    *end = steps;
                }
                truth.newest = batch.last;
                storage.append(std::slice::from_ref(&batch)).unwrap();
                truth.batches.push(batch);
            }
            truth.epochs.push((id, first, truth.newest));
            storage.close().unwrap();
        }
        truth
    }
}

/// Random statements, as many as it takes to damage something.
fn damage(connection: &rusqlite::Connection, load: &mut Load, newest: CommitSeq) -> String {
    let rows = |table: &str, key: &str| -> Vec<i64> {
        let mut found = connection.prepare(&format!("SELECT {key} FROM {table}")).unwrap();
        found.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
    };
    let of_commits = load.below(2) == 0;
    let (table, key) = if of_commits { ("commits", "last") } else { ("epochs", "position") };
    let keys = rows(table, key);
    let pick = |load: &mut Load, from: &[i64]| from[load.below(from.len() as u64) as usize];
    let (one, other) = (pick(load, &keys), pick(load, &keys));
    let numbers: &[&str] =
        if of_commits { &["first", "at", "\"check\""] } else { &["first", "last", "at"] };
    let texts: &[&str] = if of_commits { &["ops", "ends"] } else { &["id"] };
    let (number, text) = (
        numbers[load.below(numbers.len() as u64) as usize],
        texts[load.below(texts.len() as u64) as usize],
    );
    let (bit, at) = (1_i64 << load.below(40), 1 + load.below(60));
    let digit = load.below(10);
    let place = format!("WHERE {key} = {one}");
    let flip = |column: &str| format!("({column} | {bit}) - ({column} & {bit})");
    match load.below(9) {
        0 => format!("UPDATE {table} SET {number} = {} {place}", flip(number)),
        1 => format!("UPDATE OR IGNORE {table} SET {key} = {} {place}", flip(key)),
        2 => format!(
            "UPDATE {table} SET {text} = substr({text}, 1, {at}) || '{digit}' || substr({text}, {at} + 2) {place}"
        ),
        3 => format!("UPDATE {table} SET {text} = substr({text}, 1, {at}) {place}"),
        // Where the commits end, so that it can still be read.
        4 => format!(
            "UPDATE commits SET ends = replace(ends, '{digit}', '{}') WHERE last > {}",
            load.below(10),
            newest - load.below(20)
        ),
        5 => format!("DELETE FROM {table} {place}"),
        6 => format!("DELETE FROM {table} WHERE {key} >= {one}"),
        7 => format!("UPDATE {table} SET {number} = NULL {place}"),
        // Two rows in each other's place.
        _ => format!(
            "UPDATE {table} SET {key} = -1 {place};
             UPDATE {table} SET {key} = {one} WHERE {key} = {other};
             UPDATE {table} SET {key} = {other} WHERE {key} = -1"
        ),
    }
}

/// Everything that a client could come back with is judged rightly, and the past is
/// told as it was. Whether anything was noticed.
fn judge(file: &Path, truth: &Truth, what: &str) -> bool {
    // A start that refuses the file resumes nobody.
    let Ok(storage) = open(file) else { return true };
    let mut storage = Box::new(storage);
    let newest = storage.load(&mut |_| Ok(())).unwrap();
    let epochs = storage.epochs();
    let mut accepted = 0;
    for (id, first, last) in &truth.epochs {
        for commit in 0..=truth.newest + 40 {
            if epochs.check(*id, commit, newest).is_err() {
                continue;
            }
            accepted += 1;
            assert!(commit <= *last, "{what}: {commit} was never given out ({first} to {last})");
            assert_eq!(newest, truth.newest, "{what}: {commit} is not what its client had");
        }
    }
    let mut batches = truth.batches.iter().rev();
    let (mut told, mut follows) = (0, true);
    let text = |batch: &Batch| {
        let mut out = Vec::new();
        batch.write(&mut out);
        String::from_utf8(out).unwrap()
    };
    storage
        .past(&mut |batch| {
            // Newest commits may be lost: then no position is left.
            let known = batches.find(|known| told > 0 || known.last == batch.last);
            follows &= known.is_some_and(|known| text(known) == text(&batch));
            told += 1;
            true
        })
        .unwrap();
    assert!(follows, "{what}: a past that was not");
    storage.close().unwrap();
    let positions: u64 = truth.epochs.iter().map(|(_, _, last)| last + 1).sum();
    accepted < positions || told < truth.batches.len()
}

fn copy(from: &Path, to: &Path) -> PathBuf {
    fs::copy(from, to).unwrap();
    to.to_owned()
}

#[test]
fn what_a_disk_does_to_the_past_gives_nobody_a_wrong_position() {
    let scratch = Scratch::new("damaged-past");
    let (file, mut load) = (scratch.file(), Load::new(21));
    let truth = Truth::make(&file, &mut load);
    assert!(truth.batches.iter().any(|batch| batch.ends.len() > 1));
    let place = scratch.0.join("copy.sqlite");
    // As it is, everything is known.
    assert!(!judge(&copy(&file, &place), &truth, "nothing"));
    let (mut noticed, mut changed) = (0, 0);
    for _ in 0..300 {
        let place = copy(&file, &place);
        let connection = rusqlite::Connection::open(&place).unwrap();
        let no_triggers = rusqlite::config::DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER;
        connection.set_db_config(no_triggers, false).unwrap();
        let statement = damage(&connection, &mut load, truth.newest);
        // Some of it the table does not take; then there is none.
        let before = connection.total_changes();
        let _ = connection.execute_batch(&statement);
        changed += u64::from(connection.total_changes() > before);
        connection.close().unwrap();
        noticed += u64::from(judge(&place, &truth, &statement));
    }
    assert!(changed > 200 && noticed > 150, "{noticed} of {changed} noticed");
}
