//! The database file: SQLite in WAL mode.
//!
//! Owns the tables, and the question whether a file may be opened at all. One
//! transaction holds one or more whole batches, so SQLite's own recovery of an
//! unfinished transaction is ours. Other processes may read the file while we
//! write it; none may write it.

mod file;
mod load;
mod schema;
mod write;

use std::fs::File;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode, OpenFlags};

pub(super) use file::{open, parent, remove_if_there};
pub use schema::FORMAT_VERSION;

use super::directory::with_suffix;
use super::{Batch, Storage, StorageError, StorageErrorKind, Visit, Written};
use crate::app::CommitSeq;
use write::History;

/// A database file, open for writing.
pub struct Sqlite {
    connection: Connection,
    wal: PathBuf,
    /// Every transaction is on disk when it ends.
    synced: bool,
    history: History,
    /// Something was appended that no sync has followed.
    dirty: bool,
}

impl std::fmt::Debug for Sqlite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sqlite").field("wal", &self.wal).finish_non_exhaustive()
    }
}

impl Sqlite {
    /// Opens the file, or creates it. With `synced` every append is on disk
    /// when it returns; without, [`Storage::sync`] puts it there.
    ///
    /// # Errors
    ///
    /// `Foreign`, `Newer` and `Damaged` name the file and what to do; it is left
    /// as it was. Otherwise what the file system or SQLite answers.
    pub fn open(path: &Path, synced: bool) -> Result<Self, StorageError> {
        file::create_if_missing(path)?;
        file::check_header(path)?;
        let connection = file::open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        file::check_contents(&connection, path)?;
        file::begin_wal(&connection, path, synced)?;
        let history = History::load(&connection).map_err(|error| failure("read", path, &error))?;
        Ok(Self { connection, wal: with_suffix(path, "-wal"), synced, history, dirty: false })
    }

    /// Opens the file of a running or stopped server for reading; what is
    /// appended meanwhile is not seen by a transaction that has begun.
    ///
    /// # Errors
    ///
    /// As [`Sqlite::open`]; `NotFound` if there is no such file.
    pub fn open_to_read(path: &Path) -> Result<SqliteReader, StorageError> {
        if !path.exists() {
            return Err(StorageError::new(
                StorageErrorKind::NotFound,
                format!("{} does not exist", path.display()),
            ));
        }
        file::check_header(path)?;
        let connection = file::open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)
            .or_else(|_| file::open(path, OpenFlags::SQLITE_OPEN_READ_ONLY))?;
        connection
            .pragma_update(None, "query_only", true)
            .map_err(|error| failure("open", path, &error))?;
        file::check_contents(&connection, path)?;
        Ok(SqliteReader { connection, path: path.to_owned() })
    }
}

/// A database file, open for reading.
#[derive(Debug)]
pub struct SqliteReader {
    pub(super) connection: Connection,
    path: PathBuf,
}

impl SqliteReader {
    /// Like [`Storage::load`].
    ///
    /// # Errors
    ///
    /// What cannot be read, or what `visit` refused.
    pub fn load(&mut self, visit: Visit<'_>) -> Result<CommitSeq, StorageError> {
        let snapshot =
            self.connection.transaction().map_err(|error| failure("read", &self.path, &error))?;
        load::load(&snapshot, &self.path, visit)
    }

    /// Reads every page and every index; what is wrong, one problem a line.
    ///
    /// # Errors
    ///
    /// `Damaged` with the problems.
    pub fn check(&self) -> Result<(), StorageError> {
        file::check_integrity(&self.connection, &self.path)
    }
}

impl Storage for Sqlite {
    fn load(&mut self, visit: Visit<'_>) -> Result<CommitSeq, StorageError> {
        let path = self.path();
        let snapshot =
            self.connection.transaction().map_err(|error| failure("read", &path, &error))?;
        load::load(&snapshot, &path, visit)
    }

    fn append(&mut self, batches: &[Batch]) -> Result<Written, StorageError> {
        let path = self.path();
        let failed = |error: &rusqlite::Error| failure("write", &path, error);
        let transaction = self.connection.transaction().map_err(|error| failed(&error))?;
        for batch in batches {
            write::batch(&transaction, batch, &mut self.history).map_err(|error| failed(&error))?;
        }
        transaction.commit().map_err(|error| failed(&error))?;
        if self.synced {
            return Ok(Written::Synced);
        }
        self.dirty = true;
        Ok(Written::Handed)
    }

    fn sync(&mut self) -> Result<(), StorageError> {
        if !self.dirty {
            return Ok(());
        }
        // The log is the only file that a transaction writes; what a checkpoint
        // writes is synced by SQLite itself. Any descriptor of the file will
        // do, and SQLite holds no POSIX lock on this one that closing a
        // descriptor could drop.
        File::open(&self.wal).and_then(|wal| wal.sync_data()).map_err(|error| {
            StorageError::io(&format!("cannot sync {}", self.wal.display()), &error)
        })?;
        self.dirty = false;
        Ok(())
    }

    fn close(mut self: Box<Self>) -> Result<(), StorageError> {
        self.sync()?;
        let path = self.path();
        file::checkpoint(&self.connection, &path)?;
        self.connection.close().map_err(|(_, error)| failure("close", &path, &error))
    }
}

impl Sqlite {
    fn path(&self) -> PathBuf {
        self.connection.path().map(PathBuf::from).unwrap_or_default()
    }
}

/// An error of SQLite in our words.
pub(super) fn failure(what: &str, path: &Path, error: &rusqlite::Error) -> StorageError {
    let kind = match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => StorageErrorKind::Damaged,
        Some(ErrorCode::DiskFull) => StorageErrorKind::Full,
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StorageErrorKind::InUse,
        _ => StorageErrorKind::Io,
    };
    let path = path.display();
    let message = match kind {
        StorageErrorKind::Damaged => format!(
            "{path} is damaged ({error}); it was left as it is. Restore a backup \
             (`noexd restore`), or save what is left of it with `sqlite3 {path} .recover`"
        ),
        StorageErrorKind::InUse => {
            format!("cannot {what} {path}: another program is writing to it ({error})")
        }
        _ => format!("cannot {what} {path}: {error}"),
    };
    StorageError::new(kind, message)
}
