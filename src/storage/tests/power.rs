//! The database file after a loss of power.
//!
//! The bytes on disk at a loss of power are those of the last sync, mixed
//! sector by sector with those that were written since. Such mixtures are made
//! from snapshots of the real files and opened with the real SQLite.

use std::fs;
use std::path::Path;

use super::files::{Scratch, open};
use super::*;

const SECTOR: usize = 512;
const FILES: [&str; 3] = ["noexd.sqlite", "noexd.sqlite-wal", "noexd.sqlite-synced"];

/// The bytes of the files at one moment.
#[derive(Clone, PartialEq)]
struct Snapshot([Vec<u8>; 3]);

impl Snapshot {
    fn take(directory: &Path) -> Self {
        Snapshot(FILES.map(|name| fs::read(directory.join(name)).unwrap_or_default()))
    }

    fn lay(&self, directory: &Path) {
        for (name, bytes) in FILES.iter().zip(&self.0) {
            let path = directory.join(name);
            if bytes.is_empty() {
                let _ = fs::remove_file(&path);
            } else {
                fs::write(&path, bytes).unwrap();
            }
        }
        let _ = fs::remove_file(directory.join("noexd.sqlite-shm"));
    }

    /// What may be on disk between two syncs.
    fn torn(&self, later: &Snapshot, load: &mut Load) -> Snapshot {
        let mut mixed = self.clone();
        // The record of the last sync is written after it: it stays the old one.
        for (bytes, new) in mixed.0.iter_mut().zip(&later.0).take(2) {
            let length = match bytes.len().cmp(&new.len()) {
                std::cmp::Ordering::Less => {
                    bytes.len() + load.below((new.len() - bytes.len() + 1) as u64) as usize
                }
                _ => new.len(),
            };
            bytes.resize(length, 0);
            for (at, sector) in bytes.chunks_mut(SECTOR).enumerate() {
                let from = at * SECTOR;
                let part = match load.below(3) {
                    0 => 0,
                    1 => load.below(sector.len() as u64 + 1) as usize,
                    _ => sector.len(),
                };
                sector[..part].copy_from_slice(&new[from..from + part]);
            }
        }
        mixed
    }
}

/// Between the sync of one unit and that of the next: the one or the other.
#[test]
fn a_torn_transaction_is_there_whole_or_not_at_all() {
    let (scratch, copy) = (Scratch::new("torn"), Scratch::new("torn-copy"));
    let mut storage = open(&scratch.file()).unwrap();
    let mut load = Load::new(21);
    let mut before = (Snapshot::take(&scratch.0), State::default());
    let (mut old, mut new) = (0, 0);
    for _ in 0..60 {
        let unit: Vec<Batch> = (0..1 + load.below(3)).map(|_| load.batch()).collect();
        storage.append(&unit).unwrap();
        let mut state = before.1.clone();
        unit.iter().for_each(|batch| state.apply(batch));
        let snapshot = Snapshot::take(&scratch.0);
        for _ in 0..4 {
            before.0.torn(&snapshot, &mut load).lay(&copy.0);
            let found = State::of(&mut open(&copy.file()).unwrap()).unwrap();
            assert!(found == before.1 || found == state, "neither the one nor the other");
            old += usize::from(found == before.1);
            new += usize::from(found == state);
        }
        snapshot.lay(&copy.0);
        assert!(State::of(&mut open(&copy.file()).unwrap()).unwrap() == state, "synced and gone");
        before = (snapshot, state);
    }
    assert!(old > 20, "{old} were torn, {new} were whole");
}

/// Without a sync for each unit: a state that existed, at least as new as the
/// last sync.
#[test]
fn without_syncs_a_prefix_is_there() {
    let (scratch, copy) = (Scratch::new("prefix"), Scratch::new("prefix-copy"));
    let mut storage = Sqlite::open(&scratch.file(), false).unwrap();
    let mut load = Load::new(22);
    let mut history = Vec::new();
    let mut synced = (Snapshot::take(&scratch.0), 0);
    for round in 0..80 {
        let batch = load.batch();
        storage.append(std::slice::from_ref(&batch)).unwrap();
        history.push(batch);
        let snapshot = Snapshot::take(&scratch.0);
        synced.0.torn(&snapshot, &mut load).lay(&copy.0);
        let found = State::of(&mut open(&copy.file()).unwrap()).unwrap();
        assert!(found.last >= synced.1, "synced {}, found {}", synced.1, found.last);
        let upto = history.iter().filter(|batch| batch.last <= found.last).count();
        assert!(replay(&history[..upto]) == found, "not a state that existed");
        if round % 7 == 6 {
            storage.sync().unwrap();
            synced = (snapshot, last_of(&history));
        }
    }
}

/// While the log is copied into the file: the log still has everything.
#[test]
fn a_torn_checkpoint_loses_nothing() {
    let (scratch, copy) = (Scratch::new("checkpoint"), Scratch::new("checkpoint-copy"));
    let mut load = Load::new(23);
    let mut state = State::default();
    let mut storage = open(&scratch.file()).unwrap();
    for _ in 0..20 {
        for _ in 0..10 {
            let batch = load.batch();
            storage.append(std::slice::from_ref(&batch)).unwrap();
            state.apply(&batch);
        }
        let before = Snapshot::take(&scratch.0);
        let tool = rusqlite::Connection::open(scratch.file()).unwrap();
        // PASSIVE leaves the log as it is, so that the mixture has all of it.
        tool.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())).unwrap();
        drop(tool);
        let after = Snapshot::take(&scratch.0);
        assert!(before != after, "nothing was copied");
        for _ in 0..4 {
            before.torn(&after, &mut load).lay(&copy.0);
            let mut found = open(&copy.file()).unwrap();
            assert!(State::of(&mut found).unwrap() == state, "lost by a checkpoint");
        }
    }
}
