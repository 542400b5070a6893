//! Opening a database file: is it ours, is it whole, can we read it.

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::failure::failure;
use super::lock;
use super::meta::{keep_cookie, set_cookie, set_lineage};
use super::schema::{
    APPLICATION_ID, DENSE, FORMAT_VERSION, RECORD_TRIGGERS, SPARSE, TABLES, TRIGGERS, UPGRADES,
};
use crate::private;
use crate::storage::directory::{
    MIN_FREE_BYTES, directory_of, free_bytes, log_path, record_path, remove_if_there,
    sync_directory, with_suffix,
};
use crate::storage::{StorageError, StorageErrorKind};

/// How long a write waits for another program that holds the file: somebody's
/// `sqlite3` with an open transaction is no reason to die at once.
pub(super) const BUSY: Duration = Duration::from_secs(30);

/// How long emptying the log waits for those who still read it.
const BUSY_READER: Duration = Duration::from_millis(200);

/// Pages of log after which it is copied into the file, about 16 MiB. Rarer
/// than SQLite's own default: every copy costs two syncs.
const CHECKPOINT_PAGES: u32 = 4000;

/// Bytes to which the log is cut back after it was copied.
const LOG_BYTES: i64 = 64 << 20;

/// Who copies the log into the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checkpoints {
    /// This process does.
    Own,
    /// Another program does, because it has to see every piece of the log before
    /// that is used again. This process does so only where it must.
    External,
}

/// The start of every SQLite file (file format, section 1.3).
const HEADER: usize = 100;
const MAGIC: &[u8] = b"SQLite format 3\0";

/// Creates an empty database under another name and moves it to its place, so
/// that a file that exists has its tables.
pub fn create_if_missing(path: &Path) -> Result<(), StorageError> {
    match std::fs::metadata(path) {
        Ok(_) => return Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => {
            return Err(StorageError::io(&format!("cannot read {}", path.display()), &error));
        }
    }
    // A log without its file is half of a database: starting afresh beside it
    // would drop what it holds.
    let log = log_path(path);
    if std::fs::metadata(&log).is_ok_and(|log| log.len() > 0) {
        return Err(StorageError::new(
            StorageErrorKind::Damaged,
            format!(
                "{} is missing, but its log {} is there: put the file back, or move the log away \
                 to start empty",
                path.display(),
                log.display()
            ),
        ));
    }
    let fresh = with_suffix(path, ".new");
    for left in [fresh.clone(), with_suffix(&fresh, "-journal"), log, record_path(path)] {
        remove_if_there(&left)?;
    }
    let failed = |error: rusqlite::Error| failure("create", &fresh, &error);
    private::create(&fresh)
        .map_err(|error| StorageError::io(&format!("cannot create {}", fresh.display()), &error))?;
    let connection = Connection::open(&fresh).map_err(failed)?;
    connection
        .execute_batch(&format!(
            "PRAGMA synchronous = FULL; BEGIN; PRAGMA application_id = {APPLICATION_ID}; \
             PRAGMA user_version = {FORMAT_VERSION}; {TABLES} {TRIGGERS} COMMIT;"
        ))
        .and_then(|()| set_lineage(&connection))
        .and_then(|()| set_cookie(&connection))
        .map_err(failed)?;
    connection.close().map_err(|(_, error)| failed(error))?;
    std::fs::rename(&fresh, path)
        .map_err(|error| StorageError::io(&format!("cannot create {}", path.display()), &error))?;
    sync_directory(&directory_of(path))
}

/// Looks at the first bytes before SQLite does, which would roll back or
/// recover a file of somebody else.
pub fn check_header(path: &Path) -> Result<(), StorageError> {
    let shown = path.display();
    let mut file = File::open(path)
        .map_err(|error| StorageError::io(&format!("cannot open {shown}"), &error))?;
    let length = file
        .metadata()
        .map_err(|error| StorageError::io(&format!("cannot read {shown}"), &error))?
        .len();
    let mut header = [0; HEADER];
    let read = read_up_to(&mut file, &mut header)
        .map_err(|error| StorageError::io(&format!("cannot read {shown}"), &error))?;
    let start = header.get(..read).unwrap_or_default();
    if !start.starts_with(MAGIC) && !MAGIC.starts_with(start) {
        return Err(foreign(path, "it is no SQLite database"));
    }
    if read < HEADER {
        return Err(damaged(path, &format!("it ends after {length} bytes")));
    }
    if field(&header, 68) != APPLICATION_ID.cast_unsigned() {
        return Err(foreign(path, "it is the SQLite database of another program"));
    }
    check_version(path, i64::from(field(&header, 60)))?;
    let page_bytes = match u64::from(field(&header, 16) >> 16) {
        1 => 65_536,
        bytes => bytes,
    };
    // With a log the file may be in the middle of taking it in, and the log has
    // what is missing; then SQLite is the judge.
    let log = std::fs::metadata(log_path(path)).map_or(0, |log| log.len());
    // The number of pages counts only where the two counters agree.
    let pages = u64::from(field(&header, 28));
    if log == 0 && field(&header, 24) == field(&header, 92) && pages * page_bytes > length {
        return Err(damaged(
            path,
            &format!("it ends after {length} of {} bytes", pages * page_bytes),
        ));
    }
    Ok(())
}

fn read_up_to(file: &mut File, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read(rest)? {
            0 => break,
            read => filled += read,
        }
    }
    Ok(filled)
}

fn field(header: &[u8; HEADER], at: usize) -> u32 {
    let bytes = header.get(at..at + 4).unwrap_or_default();
    bytes.iter().fold(0, |value, &byte| value << 8 | u32::from(byte))
}

fn check_version(path: &Path, version: i64) -> Result<(), StorageError> {
    if version <= i64::from(FORMAT_VERSION) {
        return Ok(());
    }
    Err(StorageError::new(
        StorageErrorKind::Newer,
        format!(
            "{} was written by a newer noexd (format {version}, this one reads up to \
             {FORMAT_VERSION}); it was left as it is. Use that version, or another directory",
            path.display()
        ),
    ))
}

fn foreign(path: &Path, why: &str) -> StorageError {
    StorageError::new(
        StorageErrorKind::Foreign,
        format!(
            "{} is not a data file of noexd ({why}); it was left as it is. Use another name or \
             directory; the data of noex is taken over by `noexd import --from-noex`",
            path.display()
        ),
    )
}

fn damaged(path: &Path, why: &str) -> StorageError {
    StorageError::new(
        StorageErrorKind::Damaged,
        format!(
            "{} is damaged ({why}); it was left as it is. Restore a backup (`noexd restore`)",
            path.display()
        ),
    )
}

pub fn open(path: &Path, access: OpenFlags) -> Result<Connection, StorageError> {
    let flags = access | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let failed = |error: &rusqlite::Error| failure("open", path, error);
    let connection = Connection::open_with_flags(path, flags).map_err(|error| failed(&error))?;
    connection.busy_timeout(BUSY).map_err(|error| failed(&error))?;
    // They are for other programs, see [`TRIGGERS`].
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)
        .map_err(|error| failed(&error))?;
    // Nothing of the data lies in a file that is not beside it.
    connection.pragma_update(None, "temp_store", "MEMORY").map_err(|error| failed(&error))?;
    // Every statement of the writer and of the loader, with room.
    connection.set_prepared_statement_cache_capacity(32);
    Ok(connection)
}

/// What only SQLite can tell: the header's fields may still lie in the log.
pub fn check_contents(connection: &Connection, path: &Path) -> Result<(), StorageError> {
    let pragma = |name: &str| -> Result<i64, StorageError> {
        connection
            .pragma_query_value(None, name, |row| row.get(0))
            .map_err(|error| failure("read", path, &error))
    };
    if pragma("application_id")? != i64::from(APPLICATION_ID) {
        return Err(foreign(path, "it is the SQLite database of another program"));
    }
    check_version(path, pragma("user_version")?)
}

/// Brings the tables of an older file up to date, in one transaction.
pub fn upgrade(connection: &Connection, path: &Path, wait: Duration) -> Result<(), StorageError> {
    let failed = |error: rusqlite::Error| failure("bring up to date", path, &error);
    let version = version_of(connection).map_err(failed)?;
    let done = usize::try_from(version - 1).unwrap_or(0);
    let Some(steps) = UPGRADES.get(done..).filter(|steps| !steps.is_empty()) else {
        return Ok(());
    };
    log::info!("{}: from format {version} to format {FORMAT_VERSION}", path.display());
    let transaction = lock::begin(connection, path, wait, 0, BUSY).map_err(failed)?;
    for step in steps {
        transaction.execute_batch(step).map_err(failed)?;
    }
    transaction.execute_batch(TRIGGERS).map_err(failed)?;
    transaction.pragma_update(None, "user_version", FORMAT_VERSION).map_err(failed)?;
    set_cookie(&transaction).map_err(failed)?;
    transaction.commit().map_err(failed)
}

/// Lays out anew what takes several times its size, if there is room for both.
pub fn make_dense(
    connection: &Connection,
    path: &Path,
    wait: Duration,
) -> Result<(), StorageError> {
    let failed = |error: rusqlite::Error| failure("lay out", path, &error);
    let sparse: u64 = connection.query_row(SPARSE, [], |row| row.get(0)).map_err(failed)?;
    let size = std::fs::metadata(path).map_or(0, |file| file.len());
    // The new pages, and the log that they come through.
    let needed = size.saturating_mul(2).saturating_add(MIN_FREE_BYTES);
    if sparse == 0 || free_bytes(&directory_of(path))? < needed {
        return Ok(());
    }
    log::info!("{}: its records are laid out more densely, once", path.display());
    let transaction = lock::begin(connection, path, wait, 0, BUSY).map_err(failed)?;
    keep_cookie(&transaction, |tables| {
        tables.execute_batch(DENSE)?;
        tables.execute_batch(RECORD_TRIGGERS)
    })
    .map_err(failed)?;
    transaction.commit().map_err(failed)
}

/// The version of a file's tables.
pub fn version_of(connection: &Connection) -> rusqlite::Result<i32> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Switches to write-ahead logging.
pub fn begin_wal(
    connection: &Connection,
    path: &Path,
    synced: bool,
    checkpoints: Checkpoints,
) -> Result<(), StorageError> {
    let failed = |error: &rusqlite::Error| failure("open", path, error);
    let mode: String = connection
        .pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))
        .map_err(|error| failed(&error))?;
    if !mode.eq_ignore_ascii_case("wal") {
        return Err(StorageError::new(
            StorageErrorKind::Io,
            format!(
                "cannot open {}: its file system does not allow a write-ahead log (SQLite \
                 answers \"{mode}\"); use a local one",
                path.display()
            ),
        ));
    }
    let set = |name: &str, value: i64| {
        connection.pragma_update(None, name, value).map_err(|error| failed(&error))
    };
    // FULL: every transaction ends with a sync of the log. NORMAL: only copying
    // the log into the file syncs, which keeps the file whole.
    set("synchronous", if synced { 2 } else { 1 })?;
    let pages = match checkpoints {
        Checkpoints::Own => CHECKPOINT_PAGES,
        Checkpoints::External => 0,
    };
    set("wal_autocheckpoint", i64::from(pages))?;
    set("journal_size_limit", LOG_BYTES)
}

/// Copies the log into the file and empties it, as far as no reader needs it;
/// whether it is empty then.
pub fn checkpoint(connection: &Connection, path: &Path) -> Result<bool, StorageError> {
    // A replicator reads all the time: it is not worth waiting for.
    connection
        .busy_timeout(BUSY_READER)
        .and_then(|()| {
            connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, bool>(0))
        })
        .and_then(|busy| connection.busy_timeout(BUSY).map(|()| !busy))
        .map_err(|error| failure("write", path, &error))
}

pub fn check_integrity(connection: &Connection, path: &Path) -> Result<(), StorageError> {
    let mut problems = Vec::new();
    connection
        .pragma(None, "integrity_check", 10, |row| {
            problems.push(row.get::<_, String>(0)?);
            Ok(())
        })
        .map_err(|error| failure("read", path, &error))?;
    match problems.as_slice() {
        [fine] if fine == "ok" => Ok(()),
        _ => Err(damaged(path, &problems.join("; "))),
    }
}
