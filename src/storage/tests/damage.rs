//! Damage in the log, and in the record of the last sync: what a crash explains
//! is recovered, everything else is refused and left alone.

use std::fs;

use super::files::{Scratch, open};
use super::*;

const LOG: &str = "noexd.sqlite-wal";
const RECORD: &str = "noexd.sqlite-synced";
const FRAME: usize = 24 + 4096;

/// The files of a database that was killed, and what it held after each unit.
struct Killed {
    scratch: Scratch,
    files: Vec<(&'static str, Vec<u8>)>,
    states: Vec<State>,
    /// Frames in the log after each unit.
    frames: Vec<usize>,
}

impl Killed {
    fn new(name: &str, synced: bool, seed: u64) -> Self {
        let scratch = Scratch::new(name);
        let mut storage = Sqlite::open(&scratch.file(), synced).unwrap();
        let mut load = Load::new(seed);
        let (mut states, mut frames) = (vec![State::default()], vec![0]);
        for unit in 0..12 {
            let batch = load.batch();
            storage.append(std::slice::from_ref(&batch)).unwrap();
            let mut state = states.last().unwrap().clone();
            state.apply(&batch);
            states.push(state);
            let bytes = fs::metadata(scratch.0.join(LOG)).unwrap().len() as usize;
            assert_eq!((bytes - 32) % FRAME, 0);
            frames.push((bytes - 32) / FRAME);
            if !synced && unit == 5 {
                storage.sync().unwrap();
            }
        }
        let read = |name| (name, fs::read(scratch.0.join(name)).unwrap());
        let files = ["noexd.sqlite", LOG, RECORD].map(read).to_vec();
        Killed { scratch, files, states, frames }
    }

    fn log(&self) -> &[u8] {
        &self.files[1].1
    }

    /// Lays the files out again, with another log, and with the record or not.
    fn lay(&self, log: &[u8], with_record: bool) {
        fs::remove_dir_all(&self.scratch.0).unwrap();
        fs::create_dir(&self.scratch.0).unwrap();
        for (name, bytes) in &self.files {
            let bytes = if *name == LOG { log } else { bytes };
            if *name != RECORD || with_record {
                fs::write(self.scratch.0.join(name), bytes).unwrap();
            }
        }
    }

    /// What opening finds: the number of units.
    fn found(&self) -> usize {
        let state = State::of(&mut open(&self.scratch.file()).unwrap()).unwrap();
        self.states.iter().position(|known| *known == state).expect("a state that existed")
    }

    #[track_caller]
    fn refused(&self, log: &[u8], with_record: bool, reason: &str) {
        self.lay(log, with_record);
        for attempt in 0..2 {
            let reader = Sqlite::open_to_read(&self.scratch.file()).unwrap_err();
            let error = open(&self.scratch.file()).unwrap_err();
            assert_eq!(error.kind, StorageErrorKind::Damaged, "{attempt}: {error}");
            assert_eq!(reader, error);
            for part in [reason, "Restore a backup", "wal_checkpoint(TRUNCATE)", LOG] {
                assert!(error.message.contains(part), "{part}: {error}");
            }
            assert!(fs::read(self.scratch.0.join(LOG)).unwrap() == log, "the log was touched");
            let file = fs::read(self.scratch.file()).unwrap();
            assert!(file == self.files[0].1, "the file was touched");
        }
    }

    fn flipped(&self, frame: usize, byte: usize) -> Vec<u8> {
        let mut log = self.log().to_vec();
        log[32 + frame * FRAME + byte] ^= 0x10;
        log
    }
}

/// Every frame, its header and its page: with the record of the last sync no
/// damage passes.
#[test]
fn damage_anywhere_in_the_log_is_found() {
    let killed = Killed::new("log-damage", true, 31);
    killed.lay(killed.log(), true);
    assert_eq!(killed.found(), 12);
    for frame in 0..*killed.frames.last().unwrap() {
        for byte in [0, 5, 9, 17, 24 + frame * 97 % 4096] {
            let offset = format!("is damaged in frame {} (byte {})", frame + 1, 32 + frame * FRAME);
            killed.refused(&killed.flipped(frame, byte), true, &offset);
        }
    }
    for length in [0, 31, 32, 32 + FRAME, 32 + 5 * FRAME + 100, killed.log().len() - 1] {
        killed.refused(&killed.log()[..length], true, "is damaged");
    }
    let mut header = killed.log().to_vec();
    header[13] ^= 1;
    killed.refused(&header, true, "is damaged, cut off or gone");
}

/// Without it the log speaks for itself: what a transaction follows had been
/// there, the last one may never have been.
#[test]
fn the_log_alone_tells_damage_from_a_torn_tail() {
    let killed = Killed::new("log-alone-tells", true, 32);
    let last = killed.frames[11];
    for frame in 0..*killed.frames.last().unwrap() {
        let log = killed.flipped(frame, 24 + frame * 97 % 4096);
        if frame < last {
            killed.refused(&log, false, &format!("is damaged in frame {}", frame + 1));
        } else {
            killed.lay(&log, false);
            assert_eq!(killed.found(), 11, "the last transaction as a whole, or not at all");
        }
    }
    for (units, &frames) in killed.frames.iter().enumerate() {
        for extra in [0, 1, 24, 1000] {
            let length = (32 + frames * FRAME + extra).min(killed.log().len());
            killed.lay(&killed.log()[..length], false);
            assert_eq!(killed.found(), units, "cut off, which a crash explains");
        }
    }
    // A record that is not whole claims nothing.
    killed.lay(&killed.log()[..32 + last * FRAME], true);
    fs::write(killed.scratch.0.join(RECORD), &killed.files[2].1[..40]).unwrap();
    assert_eq!(killed.found(), 11);
}

/// Between two syncs the disk may have anything; before the last one it may not.
#[test]
fn with_intervals_what_was_not_synced_may_be_torn() {
    let killed = Killed::new("log-interval", false, 33);
    let synced = killed.frames[6];
    for frame in 0..*killed.frames.last().unwrap() {
        let log = killed.flipped(frame, 24 + frame * 97 % 4096);
        if frame < synced {
            killed.refused(&log, true, &format!("is damaged in frame {}", frame + 1));
        } else {
            killed.lay(&log, true);
            let units = killed.frames.iter().rposition(|&end| end <= frame).unwrap();
            assert_eq!(killed.found(), units);
        }
    }
}

/// Frames of an earlier round behind those of the present one are no damage,
/// and hide none.
#[test]
fn an_earlier_round_of_the_log_is_no_part_of_it() {
    let scratch = Scratch::new("log-round");
    let mut storage = open(&scratch.file()).unwrap();
    let mut load = Load::new(34);
    let mut state = State::default();
    let log = scratch.0.join(LOG);
    for _ in 0..30 {
        let batch = load.batch();
        storage.append(std::slice::from_ref(&batch)).unwrap();
        state.apply(&batch);
    }
    let first_round = fs::metadata(&log).unwrap().len();
    let tool = rusqlite::Connection::open(scratch.file()).unwrap();
    tool.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())).unwrap();
    tool.close().unwrap();
    for _ in 0..5 {
        let batch = load.batch();
        storage.append(std::slice::from_ref(&batch)).unwrap();
        state.apply(&batch);
    }
    assert_eq!(fs::metadata(&log).unwrap().len(), first_round, "the log was not begun again");
    let copy = Scratch::new("log-round-copy");
    let lay = |log: &[u8]| {
        for name in ["noexd.sqlite", RECORD] {
            fs::copy(scratch.0.join(name), copy.0.join(name)).unwrap();
        }
        fs::write(copy.0.join(LOG), log).unwrap();
    };
    let bytes = fs::read(&log).unwrap();
    lay(&bytes);
    assert!(State::of(&mut open(&copy.file()).unwrap()).unwrap() == state);
    for with_record in [true, false] {
        let mut damaged = bytes.clone();
        damaged[32 + FRAME + 30] ^= 1;
        lay(&damaged);
        if !with_record {
            fs::remove_file(copy.0.join(RECORD)).unwrap();
        }
        let error = open(&copy.file()).unwrap_err();
        assert!(error.message.contains("is damaged in frame 2"), "{error}");
    }
}

/// An older file in the place of the data is noticed, a backup is welcome.
#[test]
fn an_older_copy_is_told_from_a_backup() {
    let killed = Killed::new("older-copy", true, 35);
    let file = killed.scratch.file();
    let elsewhere = Scratch::new("older-copy-backup");
    let backup = elsewhere.0.join("backup.sqlite");
    killed.lay(killed.log(), true);
    copy_file(&file, &backup, "b", 1).unwrap();
    // The file without its log.
    killed.refused(b"", true, "ends with commit 0 of ");
    fs::copy(&backup, &file).unwrap();
    assert_eq!(killed.found(), 12);
    // What the message offers: go on with what is there.
    killed.refused(&killed.flipped(killed.frames[4] + 1, 30), true, "is damaged in frame");
    let tool = rusqlite::Connection::open(&file).unwrap();
    tool.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    drop(tool);
    fs::remove_file(killed.scratch.0.join(RECORD)).unwrap();
    assert_eq!(killed.found(), 4);
}

/// A replicator that reads all the time is in nobody's way, except where the
/// end of a torn transaction would stay in the log.
#[test]
fn somebody_who_reads_all_the_time() {
    let killed = Killed::new("long-reader", true, 37);
    let file = killed.scratch.file();
    let read = || {
        let reader = rusqlite::Connection::open(&file).unwrap();
        reader.execute_batch("BEGIN; SELECT count(*) FROM records").unwrap();
        reader
    };
    killed.lay(killed.log(), true);
    let reader = read();
    let mut storage = open(&file).unwrap();
    let mut state = State::of(&mut storage).unwrap();
    assert!(state == killed.states[12]);
    let mut load = Load::new(38);
    load.forget_after(&state);
    let batch = load.batch();
    storage.append(std::slice::from_ref(&batch)).unwrap();
    state.apply(&batch);
    Box::new(storage).close().unwrap();
    drop(reader);
    assert!(State::of(&mut open(&file).unwrap()).unwrap() == state);

    let torn = killed.flipped(killed.frames[11], 30);
    killed.lay(&torn, false);
    let reader = read();
    let error = open(&file).unwrap_err();
    assert_eq!(error.kind, StorageErrorKind::InUse);
    assert!(error.message.contains("end that one first"), "{error}");
    drop(reader);
    assert_eq!(killed.found(), 11);
}

#[test]
fn a_clean_end_leaves_one_file() {
    let scratch = Scratch::new("one-file");
    for synced in [true, false] {
        let mut storage = Box::new(Sqlite::open(&scratch.file(), synced).unwrap());
        assert!(scratch.0.join(RECORD).exists());
        let state = State::of(&mut *storage).unwrap();
        let mut load = Load::new(36);
        load.forget_after(&state);
        storage.append(&[load.batch()]).unwrap();
        storage.close().unwrap();
        let left: Vec<_> =
            fs::read_dir(&scratch.0).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["noexd.sqlite"]);
    }
}
