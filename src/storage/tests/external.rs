//! Another program copies the log into the file (`walCheckpoint: external`).

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::files::{Scratch, open};
use super::*;
use crate::storage::Checkpoints;

fn open_external(path: &Path) -> Result<Sqlite, StorageError> {
    Sqlite::open_with(path, true, Checkpoints::External, Duration::from_secs(60))
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |file| file.len())
}

/// Appends until the log is longer than what would be copied by itself.
fn append(storage: &mut Sqlite, load: &mut Load, history: &mut Vec<Batch>, bytes: u64, log: &Path) {
    while length(log) < bytes {
        let unit: Vec<Batch> = (0..50).map(|_| load.batch()).collect();
        storage.append(&unit).unwrap();
        history.extend(unit);
    }
}

#[test]
fn nothing_is_copied_but_by_the_other() {
    let scratch = Scratch::new("external");
    let (file, log) = (scratch.file(), scratch.0.join("noexd.sqlite-wal"));
    let (mut load, mut history) = (Load::new(5), Vec::new());
    let mut storage = open_external(&file).unwrap();
    // 4000 pages are copied at once otherwise.
    append(&mut storage, &mut load, &mut history, 20 << 20, &log);
    let (was, logged) = (length(&file), length(&log));
    assert!(was < 1 << 20, "{was} bytes in the file");
    // Neither at the end nor at the next start.
    Box::new(storage).close().unwrap();
    assert_eq!((length(&file), length(&log)), (was, logged));
    assert!(scratch.0.join("noexd.sqlite-synced").exists(), "it vouches for the log");
    let mut storage = open_external(&file).unwrap();
    assert_eq!(State::of(&mut storage).unwrap().describe(), replay(&history).describe());
    assert_eq!(length(&file), was);
    assert!(length(&log) >= logged);
    // The other does, and the log begins anew.
    let other = rusqlite::Connection::open(&file).unwrap();
    let busy: bool =
        other.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0)).unwrap();
    assert!(!busy && length(&log) == 0 && length(&file) > was);
    drop(other);
    append(&mut storage, &mut load, &mut history, 1 << 20, &log);
    Box::new(storage).close().unwrap();
    // Whoever opens it for himself takes the log in.
    let mut storage = open(&file).unwrap();
    assert_eq!(State::of(&mut storage).unwrap().describe(), replay(&history).describe());
    assert!(length(&log) < 1 << 20);
    Box::new(storage).close().unwrap();
    assert!(!log.exists());
}

#[test]
fn a_log_that_nobody_copies_is_copied_in_the_end() {
    let scratch = Scratch::new("external-most");
    let (file, log) = (scratch.file(), scratch.0.join("noexd.sqlite-wal"));
    let (mut load, mut history) = (Load::new(6), Vec::new());
    let mut storage = open_external(&file).unwrap().copying_above(2 << 20);
    append(&mut storage, &mut load, &mut history, 1 << 20, &log);
    let was = length(&file);
    let before = length(&log);
    while length(&log) >= before {
        let unit: Vec<Batch> = (0..50).map(|_| load.batch()).collect();
        storage.append(&unit).unwrap();
        history.extend(unit);
        assert!(length(&log) < 4 << 20, "it grows and grows");
    }
    assert!(length(&file) > was);
    // While somebody reads it cannot begin anew, and everything goes on.
    let other = rusqlite::Connection::open(&file).unwrap();
    other.execute_batch("BEGIN; SELECT count(*) FROM commits").unwrap();
    append(&mut storage, &mut load, &mut history, 5 << 20, &log);
    other.execute_batch("COMMIT").unwrap();
    append(&mut storage, &mut load, &mut history, 1 << 20, &log);
    assert_eq!(State::of(&mut storage).unwrap().describe(), replay(&history).describe());
}

#[test]
fn the_end_of_a_write_that_was_cut_off_is_not_left_there() {
    let scratch = Scratch::new("external-torn");
    let (file, log) = (scratch.file(), scratch.0.join("noexd.sqlite-wal"));
    let (mut load, mut history) = (Load::new(7), Vec::new());
    let mut storage = open_external(&file).unwrap();
    append(&mut storage, &mut load, &mut history, 1 << 20, &log);
    Box::new(storage).close().unwrap();
    let record = scratch.0.join("noexd.sqlite-synced");
    let noted = fs::read(&record).unwrap();
    let mut storage = open_external(&file).unwrap();
    let (was, begun) = (length(&file), length(&log));
    storage.append(&[load.batch()]).unwrap();
    drop(storage);
    // As a loss of power in the middle of that write may leave it: its end is on
    // disk, its beginning is not.
    let mut torn = fs::read(&log).unwrap();
    torn[begun as usize + 100] ^= 1;
    fs::write(&log, torn).unwrap();
    fs::write(&record, noted).unwrap();
    let mut storage = open_external(&file).unwrap();
    assert_eq!(State::of(&mut storage).unwrap().describe(), replay(&history).describe());
    assert!(length(&file) > was && length(&log) < begun, "taken in, for once");
    Box::new(storage).close().unwrap();
}

/// Who copies the log locks the file for a moment, also while noexd starts.
#[test]
fn a_start_waits_for_a_lock() {
    let scratch = Scratch::new("locked-start");
    let file = scratch.file();
    Box::new(open(&file).unwrap()).close().unwrap();
    for checkpoints in [Checkpoints::Own, Checkpoints::External] {
        let other = rusqlite::Connection::open(&file).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        // Not without an end.
        let most = Duration::from_millis(50);
        let error = Sqlite::open_with(&file, true, checkpoints, most).unwrap_err();
        assert!(error.message.contains("locked"), "{error}");
        let (path, (sender, started)) = (file.clone(), std::sync::mpsc::channel());
        let start = std::thread::spawn(move || {
            let storage = Sqlite::open_with(&path, true, checkpoints, Duration::from_secs(60));
            sender.send(()).unwrap();
            storage.map(|storage| Box::new(storage).close())
        });
        assert!(started.recv_timeout(Duration::from_millis(500)).is_err(), "it waits");
        other.execute_batch("ROLLBACK").unwrap();
        drop(other);
        start.join().unwrap().unwrap().unwrap();
    }
}
