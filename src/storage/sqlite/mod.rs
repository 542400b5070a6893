//! The database file: SQLite in WAL mode.
//!
//! Owns the tables, and the question whether a file may be opened at all. One
//! transaction holds one or more whole batches, so SQLite's own recovery of an
//! unfinished transaction is ours. Other processes may read the file while we
//! write it; none may write it.

mod failure;
mod file;
mod inspect;
mod load;
mod lock;
mod meta;
mod pinned;
mod recovery;
pub(super) mod schema;
mod synced;
mod wal;
mod write;

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

pub(super) use failure::failure;
pub use file::Checkpoints;
pub(super) use file::open;
pub use inspect::Found;
pub(super) use meta::{last_commit, meta, note_copied_cookie, set_lineage};
pub use schema::FORMAT_VERSION;

use super::{Batch, Epochs, Storage, StorageError, StorageErrorKind, Visit, VisitPast, Written};
use super::{directory, replacing};
use crate::app::CommitSeq;
use recovery::Evidence;
use synced::Synced;
use write::History;

/// How long another program may lock the file, unless something else is wanted.
const DEFAULT_WAIT: Duration = Duration::from_secs(600);

/// A database file, open for writing.
pub struct Sqlite {
    connection: Connection,
    /// How long it waits for others who have locked the file.
    wait: Duration,
    /// Every transaction is on disk when it ends.
    each_synced: bool,
    history: History,
    epochs: Epochs,
    /// The newest commit that was appended.
    last: CommitSeq,
    /// Something was appended that no sync has followed.
    dirty: bool,
    synced: Synced,
    checkpoints: Checkpoints,
    log: pinned::Watch,
}

impl std::fmt::Debug for Sqlite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sqlite").field("path", &self.path()).finish_non_exhaustive()
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
        Self::open_with(path, synced, Checkpoints::Own, DEFAULT_WAIT)
    }

    /// As [`Sqlite::open`]; another program that has locked the file is waited for,
    /// now and later.
    ///
    /// # Errors
    ///
    /// As [`Sqlite::open`].
    pub fn open_with(
        path: &Path,
        synced: bool,
        checkpoints: Checkpoints,
        wait: Duration,
    ) -> Result<Self, StorageError> {
        replacing::recover(path)?;
        file::create_if_missing(path)?;
        file::check_header(path)?;
        let evidence = Evidence::gather(path)?;
        judge(path, &evidence)?;
        let connection = file::open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        let history = History::load(&connection).map_err(|error| failure("read", path, &error))?;
        file::begin_wal(&connection, path, synced, checkpoints)?;
        let is_own = checkpoints == Checkpoints::Own;
        if !is_own {
            recovery::keep_log(&connection, path)?;
        }
        let emptied = (is_own || evidence.has_torn_end()) && file::checkpoint(&connection, path)?;
        if evidence.has_torn_end() && !emptied {
            // What was never finished would lie behind what is written next.
            return Err(StorageError::new(
                StorageErrorKind::InUse,
                format!(
                    "cannot recover {} while another program reads it: end that one first",
                    path.display()
                ),
            ));
        }
        file::upgrade(&connection, path, wait)?;
        file::make_dense(&connection, path, wait)?;
        let (record, epochs) = recovery::note(&connection, path, synced, checkpoints, wait)?;
        let last = record.last;
        let synced_file = Synced::open(directory::record_path(path), record)?;
        synced_file.sync()?;
        directory::sync_directory(&directory::directory_of(path))?;
        Ok(Self {
            connection,
            wait,
            each_synced: synced,
            history,
            epochs,
            last,
            dirty: false,
            synced: synced_file,
            checkpoints,
            log: pinned::Watch::new(checkpoints),
        })
    }

    /// So many bytes of recent commits are kept for those who come back.
    #[must_use]
    pub fn keeping(mut self, bytes: u64) -> Self {
        self.history.keep(bytes);
        self
    }

    /// Another length of a log that nobody copies.
    #[cfg(test)]
    #[must_use]
    pub fn copying_above(mut self, bytes: u64) -> Self {
        self.log = self.log.from(bytes);
        self
    }

    /// Opens the file of a running or stopped server for reading; what is
    /// appended meanwhile is not seen by a transaction that has begun.
    ///
    /// # Errors
    ///
    /// As [`Sqlite::open`]; `NotFound` if there is no such file.
    pub fn open_to_read(path: &Path) -> Result<SqliteReader, StorageError> {
        replacing::check_complete(path)?;
        if !path.exists() {
            return Err(StorageError::new(
                StorageErrorKind::NotFound,
                format!("{} does not exist", path.display()),
            ));
        }
        file::check_header(path)?;
        Self::open_own_to_read(path)
    }

    /// Opens a file that this very process is writing.
    ///
    /// Closing any descriptor of a file takes all locks of the process from it,
    /// and then the next program that reads the file and ends takes itself for
    /// the last user and removes the log. So nobody but SQLite, which knows,
    /// may open such a file, not even to look at its header.
    ///
    /// # Errors
    ///
    /// As [`Sqlite::open_to_read`].
    pub fn open_own_to_read(path: &Path) -> Result<SqliteReader, StorageError> {
        let evidence = Evidence::gather(path)?;
        let connection = file::open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)
            .or_else(|_| file::open(path, OpenFlags::SQLITE_OPEN_READ_ONLY))?;
        if std::fs::metadata(directory::log_path(path)).is_ok_and(|log| log.len() > 0) {
            // A reader leaves a log to the next start, which looks at it.
            recovery::keep_log(&connection, path)?;
        }
        connection
            .pragma_update(None, "query_only", true)
            .map_err(|error| failure("open", path, &error))?;
        file::check_contents(&connection, path)?;
        evidence.check(&connection, path)?;
        Ok(SqliteReader { connection, path: path.to_owned() })
    }
}

/// Whether a database may be opened for writing; changes nothing. On a
/// connection of its own: behind an integrity check SQLite does not let the same
/// one change the journal mode and copy the log.
fn judge(path: &Path, evidence: &Evidence) -> Result<(), StorageError> {
    let connection = file::open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    if connection.is_readonly("main").map_err(|error| failure("open", path, &error))? {
        return Err(StorageError::new(
            StorageErrorKind::Io,
            format!(
                "cannot open {}: this user may not write to it; it was left as it is",
                path.display()
            ),
        ));
    }
    recovery::keep_log(&connection, path)?;
    file::check_contents(&connection, path)?;
    recovery::check_second_name(&connection, path)?;
    evidence.check(&connection, path)?;
    file::check_integrity(&connection, path)
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

    /// Buckets, then documents, as [`SqliteReader::load`] hands them over, without
    /// reading a record.
    ///
    /// # Errors
    ///
    /// As [`SqliteReader::load`].
    pub fn definitions(&mut self, visit: Visit<'_>) -> Result<(), StorageError> {
        let snapshot =
            self.connection.transaction().map_err(|error| failure("read", &self.path, &error))?;
        load::definitions(&snapshot, &self.path, visit)
    }

    /// Reads everything there is, and goes on behind what is wrong: that is
    /// told to `found`, with what `visit` refuses. The rest as
    /// [`SqliteReader::load`].
    ///
    /// # Errors
    ///
    /// What ended the reading.
    pub fn inspect(
        &mut self,
        visit: Visit<'_>,
        found: Found<'_>,
    ) -> Result<CommitSeq, StorageError> {
        let snapshot =
            self.connection.transaction().map_err(|error| failure("read", &self.path, &error))?;
        inspect::Inspection::new(&snapshot, &self.path)?.run(visit, found)
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

    fn epochs(&self) -> Epochs {
        self.epochs.clone()
    }

    fn past(&mut self, visit: VisitPast<'_>) -> Result<(), StorageError> {
        load::past(&self.connection, visit).map_err(|error| failure("read", &self.path(), &error))
    }

    fn append(&mut self, batches: &[Batch]) -> Result<Written, StorageError> {
        let path = self.path();
        let failed = |error: &rusqlite::Error| failure("write", &path, error);
        let bytes: usize = batches.iter().map(Batch::weight).sum();
        let transaction = lock::begin(&self.connection, &path, self.wait, bytes, file::BUSY)
            .map_err(|error| failed(&error))?;
        for batch in batches {
            write::batch(&transaction, batch, &mut self.history).map_err(|error| failed(&error))?;
        }
        transaction.commit().map_err(|error| failed(&error))?;
        self.log.look(&self.connection, &path);
        self.last = batches.last().map_or(self.last, |batch| batch.last);
        if self.each_synced {
            // Not synced itself: what a kill leaves is exact, what a loss of
            // power leaves is a little older, and nobody waits for it.
            self.synced.raise(self.last)?;
            return Ok(Written::Synced);
        }
        self.dirty = true;
        Ok(Written::Handed)
    }

    fn sync(&mut self) -> Result<(), StorageError> {
        if !self.dirty {
            return Ok(());
        }
        recovery::sync_log(&self.path())?;
        // Here the log may have holes behind the last sync, and only this file
        // tells them from damage before it.
        self.synced.raise(self.last)?;
        self.synced.sync()?;
        self.dirty = false;
        Ok(())
    }

    fn close(mut self: Box<Self>) -> Result<(), StorageError> {
        let path = self.path();
        let is_own = self.checkpoints == Checkpoints::Own;
        // Before the last sync, which it is part of. Without it nothing but this
        // witness is lost. Where others copy the log, its record stays.
        if is_own {
            match recovery::note_end(&self.connection, self.last) {
                Ok(()) => self.dirty |= !self.each_synced,
                Err(error) => log::warn!("{}: its end is not noted: {error}", path.display()),
            }
        }
        Storage::sync(&mut *self)?;
        if is_own && file::checkpoint(&self.connection, &path)? {
            // The file has everything, and nothing has to vouch for its log.
            self.synced.remove()?;
        }
        self.connection.close().map_err(|(_, error)| failure("close", &path, &error))
    }
}

impl Sqlite {
    fn path(&self) -> PathBuf {
        self.connection.path().map(PathBuf::from).unwrap_or_default()
    }
}
