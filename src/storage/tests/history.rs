//! How far back the database keeps its commits.

use super::files::{Scratch, open};
use super::*;
use std::path::Path;

/// Appends so many batches with steps of about this length.
fn append(storage: &mut Sqlite, last: &mut CommitSeq, batches: usize, length: usize) {
    for _ in 0..batches {
        *last += 1;
        let document = Document {
            kind: "query".into(),
            name: "q".into(),
            origin: Origin::Wire,
            body: "x".repeat(length),
        };
        let ops = vec![Op::Document(document)];
        storage.append(&[Batch { first: *last, last: *last, at: 7, ops, ends: vec![1] }]).unwrap();
    }
}

/// The rows that are kept, their oldest and newest number, and the bytes of their
/// steps.
fn kept(path: &Path) -> (u64, u64, u64, u64) {
    let connection = rusqlite::Connection::open(path).unwrap();
    let sql =
        "SELECT count(*), min(last), max(last), sum(coalesce(octet_length(ops), 0)) FROM commits";
    let row = connection
        .query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)));
    row.unwrap()
}

const MIB: u64 = 1 << 20;

#[test]
fn as_many_commits_are_kept_as_hold_so_many_bytes() {
    let scratch = Scratch::new("history");
    let (file, mut last) = (scratch.file(), 0);
    let mut storage = open(&file).unwrap().keeping(MIB);
    append(&mut storage, &mut last, 100, 1_000);
    assert_eq!(kept(&file).0, 100, "all, as long as there is room");
    for (batches, length) in [(3_000, 1_000), (30_000, 3)] {
        append(&mut storage, &mut last, batches, length);
        let (rows, oldest, newest, bytes) = kept(&file);
        // Without a gap, so that one can go on from any of them.
        assert_eq!((newest, newest - oldest + 1), (last, rows));
        let taken = bytes + rows * 64;
        let piece = MIB / 256 + 2_000;
        assert!((MIB - piece..=MIB).contains(&taken), "{length}: {taken} of {MIB}");
        if length == 1_000 {
            assert!(rows < 1_100, "{rows}");
        } else {
            assert!(rows > 5_000, "{rows}");
        }
    }
    // One that is larger by itself leaves its number.
    append(&mut storage, &mut last, 1, MIB as usize + 1);
    assert_eq!(kept(&file), (1, last, last, 0));
    append(&mut storage, &mut last, 10, 100);
    assert_eq!(kept(&file).0, 11);
    Box::new(storage).close().unwrap();
}

#[test]
fn more_or_less_is_kept_from_the_next_start_on() {
    let scratch = Scratch::new("history-changed");
    let (file, mut last) = (scratch.file(), 0);
    let mut storage = open(&file).unwrap().keeping(20 * MIB);
    append(&mut storage, &mut last, 19, MIB as usize);
    Box::new(storage).close().unwrap();
    // A tool that does not know what the server is told keeps what is there.
    let mut storage = open(&file).unwrap();
    append(&mut storage, &mut last, 1, 10);
    assert_eq!(kept(&file).0, 20);
    Box::new(storage).close().unwrap();
    let mut storage = open(&file).unwrap().keeping(4 * MIB);
    append(&mut storage, &mut last, 1, 10);
    let (rows, oldest, newest, bytes) = kept(&file);
    assert_eq!((rows, newest, newest - oldest + 1), (5, last, rows));
    assert!(bytes <= 4 * MIB);
    Box::new(storage).close().unwrap();
}
