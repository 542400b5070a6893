//! Before a database is opened: does it still have everything that was told to
//! be on disk? Two witnesses are heard: the log itself ([`wal`]), and the file
//! that says how far the last sync went ([`synced`]).

use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::config::DbConfig;

use super::failure::failure;
use super::file::{self, Checkpoints};
use super::lock;
use super::meta::{
    CLOSED, EACH_SYNCED, EPOCHS, LINEAGE, PLACE, SCHEMA, cookie, epochs_sum, last_commit, meta,
    meta_is, set_lineage, set_meta,
};
use super::synced::Record;
use super::wal::{self, Stop};
use crate::app::CommitSeq;
use crate::storage::directory::{directory_of, log_path, record_path, sync_directory};
use crate::storage::epochs::MAX_EPOCHS;
use crate::storage::{Epoch, EpochId, Epochs, StorageError, StorageErrorKind};

/// What was found beside the database before anything was opened.
#[derive(Debug)]
pub struct Evidence {
    stop: Option<Stop>,
    record: Option<Record>,
}

impl Evidence {
    /// Reads what lies beside the database; somebody may be writing to it.
    ///
    /// # Errors
    ///
    /// What the file system answers.
    pub fn gather(database: &Path) -> Result<Self, StorageError> {
        let log = log_path(database);
        let scan = || {
            wal::scan(&log).map_err(|error| {
                StorageError::io(&format!("cannot read {}", log.display()), &error)
            })
        };
        // First, so that a database that is being written can only be newer.
        let record = Record::read(&record_path(database))?;
        let stop = scan()?;
        // A log that starts its next round while it is read looks damaged once,
        // but not twice at the same place.
        let stop = match stop {
            Some(stop) if stop.ends > 1 && scan()? != Some(stop) => None,
            stop => stop,
        };
        Ok(Evidence { stop, record })
    }

    /// Compares with what SQLite makes of the database.
    ///
    /// # Errors
    ///
    /// `Damaged` if anything is missing that had been on disk.
    pub fn check(&self, connection: &Connection, path: &Path) -> Result<(), StorageError> {
        let failed = |error: rusqlite::Error| failure("read", path, &error);
        let found = last_commit(connection).map_err(failed)?;
        let lineage: Option<String> = meta(connection, LINEAGE).map_err(failed)?;
        let log = log_path(path);
        if let Some(record) = &self.record
            && lineage.as_ref() == Some(&record.lineage)
            && record.last > found
        {
            let last = record.last;
            let why = match self.stop {
                Some(Stop { frame, offset, .. }) => {
                    format!("its log {} is damaged in frame {frame} (byte {offset})", log.display())
                }
                None => format!("its log {} is damaged, cut off or gone", log.display()),
            };
            return Err(lost(path, &format!("ends with commit {found} of {last}: {why}")));
        }
        let each_synced: Option<i64> = meta(connection, EACH_SYNCED).map_err(failed)?;
        match self.stop {
            Some(Stop { frame, offset, ends }) if ends > 1 && each_synced == Some(1) => {
                let behind = ends - 1;
                Err(lost(
                    path,
                    &format!(
                        "would end with commit {found}: its log {} is damaged in frame {frame} \
                         (byte {offset}), and at least {behind} more transactions follow",
                        log.display(),
                    ),
                ))
            }
            _ => Ok(()),
        }
    }

    /// Whether the end of a write that was never finished lies in the log. If it
    /// stayed there, the next start might take it for a later one.
    pub fn has_torn_end(&self) -> bool {
        self.stop.is_some_and(|stop| stop.ends > 0)
    }
}

fn lost(path: &Path, what: &str) -> StorageError {
    let (file, record) = (path.display(), record_path(path));
    StorageError::new(
        StorageErrorKind::Damaged,
        format!(
            "{file} {what}. Everything was left as it is. Restore a backup (`noexd restore`), or \
             go on with what precedes the damage and lose the rest: \
             sqlite3 {file} 'PRAGMA wal_checkpoint(TRUNCATE)' && rm {}",
            record.display()
        ),
    )
}

/// Closing this connection leaves the log as it is.
pub fn keep_log(connection: &Connection, path: &Path) -> Result<(), StorageError> {
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
        .map(drop)
        .map_err(|error| failure("open", path, &error))
}

/// Writes down what the next start needs to know before the log grows, begins an
/// epoch, and returns the record of what is on disk with the table of epochs.
pub fn note(
    connection: &Connection,
    path: &Path,
    synced: bool,
    checkpoints: Checkpoints,
    wait: Duration,
) -> Result<(Record, Epochs), StorageError> {
    let failed = |error: rusqlite::Error| failure("write", path, &error);
    let transaction = lock::begin(connection, path, wait, 0, file::BUSY).map_err(failed)?;
    let known: Option<i64> = meta(connection, EACH_SYNCED).map_err(failed)?;
    let lineage: Option<String> = meta(connection, LINEAGE).map_err(failed)?;
    if lineage.is_none() {
        set_lineage(connection).map_err(failed)?;
    }
    if known != Some(i64::from(synced)) {
        set_meta(connection, EACH_SYNCED, i64::from(synced)).map_err(failed)?;
    }
    let place = path.to_string_lossy();
    if meta::<String>(connection, PLACE).map_err(failed)?.as_deref() != Some(&*place) {
        set_meta(connection, PLACE, place).map_err(failed)?;
    }
    let last = last_commit(connection).map_err(failed)?;
    let epochs = begin_epoch(connection, last).map_err(failed)?;
    transaction.commit().map_err(failed)?;
    // Nothing may follow in the log before this is on disk: the next start
    // judges the log by it.
    if checkpoints == Checkpoints::Own {
        file::checkpoint(connection, path)?;
    }
    sync_log(path)?;
    sync_directory(&directory_of(path))?;
    let lineage = meta(connection, LINEAGE).map_err(failed)?.unwrap_or_default();
    Ok((Record { lineage, last }, epochs))
}

/// What was begun by earlier processes ends with the newest commit, and a new
/// epoch begins behind it. Who altered the tables, or rebuilt the file, may have
/// altered anything: then no position of before means anything. Nor does one if the
/// table of epochs is not what noexd left, or the newest commits are not there with
/// which the file was closed: damage could otherwise give a position to a state that
/// never had it.
fn begin_epoch(connection: &Connection, last: CommitSeq) -> rusqlite::Result<Epochs> {
    let cookie = cookie(connection)?;
    let is_ours = meta_is(connection, SCHEMA, cookie)? == Some(true);
    // A file of before has neither.
    let sum = epochs_sum(connection)?;
    let is_whole = meta_is(connection, EPOCHS, sum)?.unwrap_or(true);
    let newest = i64::try_from(last).unwrap_or(i64::MAX);
    let has_all = meta_is(connection, CLOSED, newest)?.unwrap_or(true);
    if !(is_ours && is_whole && has_all) {
        connection.execute("DELETE FROM epochs", [])?;
        set_meta(connection, SCHEMA, cookie)?;
    }
    connection.execute("DELETE FROM meta WHERE name = ?1", [CLOSED])?;
    connection.execute("UPDATE epochs SET last = ?1 WHERE last IS NULL", [last])?;
    connection.execute(
        "INSERT INTO epochs(id, at, first) VALUES(\
           lower(hex(randomblob(16))), \
           CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER), ?1)",
        [last.saturating_add(1)],
    )?;
    connection.execute(
        "DELETE FROM epochs WHERE position <= (SELECT max(position) FROM epochs) - ?1",
        [MAX_EPOCHS],
    )?;
    set_meta(connection, EPOCHS, epochs_sum(connection)?)?;
    read_epochs(connection)
}

/// The file is closed, with everything that was written to it.
pub fn note_end(connection: &Connection, last: CommitSeq) -> rusqlite::Result<()> {
    set_meta(connection, CLOSED, last)
}

fn read_epochs(connection: &Connection) -> rusqlite::Result<Epochs> {
    let mut statement =
        connection.prepare("SELECT id, first, last FROM epochs ORDER BY position")?;
    let mut rows = statement.query([])?;
    let mut epochs = Vec::new();
    while let Some(row) = rows.next()? {
        // What is no name is none that a client could have, and what has no range has
        // no positions.
        let (Ok(id), Ok(first), Ok(last)) = (row.get::<_, String>(0), row.get(1), row.get(2))
        else {
            continue;
        };
        if let Some(id) = EpochId::from_hex(&id) {
            epochs.push(Epoch { id, first, last });
        }
    }
    Ok(Epochs::new(epochs))
}

/// A file with a second name (a hard link) may have a log under that name,
/// which nobody would find from here.
///
/// # Errors
///
/// `Refused` if there is one.
pub fn check_second_name(connection: &Connection, path: &Path) -> Result<(), StorageError> {
    let identity = |path: &Path| std::fs::metadata(path).ok().map(|file| (file.dev(), file.ino()));
    let place: Option<String> =
        meta(connection, PLACE).map_err(|error| failure("read", path, &error))?;
    let Some(other) = place.map(PathBuf::from).filter(|other| other != path) else {
        return Ok(());
    };
    let has_log = std::fs::metadata(log_path(&other)).is_ok_and(|log| log.len() > 0);
    if !has_log || identity(&other) != identity(path) {
        return Ok(());
    }
    Err(StorageError::new(
        StorageErrorKind::Refused,
        format!(
            "{} is a second name of {}, which has a log with newer writes: use that name",
            path.display(),
            other.display()
        ),
    ))
}

/// Puts the log on disk.
///
/// The log is the only file that a transaction writes; what a checkpoint writes
/// is synced by SQLite itself. Any descriptor of the file will do, and SQLite
/// holds no POSIX lock on this one that closing a descriptor could drop.
pub fn sync_log(database: &Path) -> Result<(), StorageError> {
    let log = log_path(database);
    File::open(&log)
        .and_then(|log| log.sync_data())
        .map_err(|error| StorageError::io(&format!("cannot sync {}", log.display()), &error))
}
