//! What is on disk.
//!
//! Owns the durable copy of the data: a small trait, [`Storage`], a database
//! file behind it ([`sqlite`](self::Sqlite)), doubles for tests, the thread that
//! writes ([`Writer`]) and backups. It takes values ([`Batch`]) and gives values
//! back; it must not know requests, connections, subscriptions or how buckets
//! are kept in memory.
//!
//! The unit is the batch: everything that one turn of the loop has changed. A
//! batch is there whole or not at all, and batches are there in order: what is
//! recovered is a state that existed.
//!
//! Files from the ground up; each imports only what stands above its line:
//!
//! 1. `batch`, `checksum`, `epochs`, `error`, `room`, `sqlite/lock`, `sqlite/wal`
//! 2. `directory`, `journal`, `sqlite/failure`, `sqlite/meta`, `sqlite/schema`, `state`
//! 3. `faulty`, `memory`, `replacing`, `sqlite/file`, `sqlite/synced`, `sqlite/write`, `writer`
//! 4. `sqlite`, `sqlite/inspect`, `sqlite/load`, `sqlite/pinned`, `sqlite/recovery`
//! 5. `backup`
//! 6. `restore`

mod batch;
mod checksum;
mod directory;
mod epochs;
mod error;
mod faulty;
mod journal;
mod memory;
mod room;
mod state;
mod writer;

#[cfg(feature = "sqlite")]
mod backup;
#[cfg(feature = "sqlite")]
mod replacing;
#[cfg(feature = "sqlite")]
mod restore;
#[cfg(feature = "sqlite")]
mod sqlite;

#[cfg(test)]
mod tests;

pub use batch::{Batch, BucketEntry, Document, Op, Origin, RecordEntry, RowText, body_text};
pub(crate) use directory::directory_of;
pub use directory::{Claim, Location, NO_FILE_NAME, free_bytes, is_file_name};
pub use epochs::{Epoch, EpochId, Epochs, Unknown};
pub use error::{StorageError, StorageErrorKind};
pub use faulty::{Disk, Faults, Faulty};
pub use journal::{Journal, Policy};
pub use memory::Memory;
pub use room::{Free, ReadOnly};
pub use state::State;
pub use writer::{DURATION_BOUNDS, MAX_BACKLOG_BYTES, Notify, StorageStats, Task, Writer};

#[cfg(feature = "sqlite")]
pub use backup::{BackupInfo, Backups, MAX_BACKUPS, check_backup_name, copy_file};
#[cfg(feature = "sqlite")]
pub use restore::{Installed, install_file};
#[cfg(feature = "sqlite")]
pub use sqlite::{Checkpoints, FORMAT_VERSION, Found, Sqlite, SqliteReader};

use crate::app::CommitSeq;

/// How far a write has come when [`Storage::append`] returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// The operating system has it: it survives the death of this process.
    Handed,
    /// It is on disk: it survives the loss of power.
    Synced,
}

/// One piece of what is stored, lent while it is visited.
#[derive(Debug)]
pub enum Stored<'a> {
    /// A bucket; its records follow before the next one.
    Bucket(BucketEntry),
    Record {
        place: u64,
        /// JSON text of the key.
        key: &'a str,
        /// The record in its storage form.
        row: &'a str,
        /// See [`RecordEntry::places`].
        places: Option<&'a str>,
    },
    Document(Document),
}

/// What a visitor of the stored state answers: an error's text ends the visit.
pub type Visit<'v> = &'v mut dyn FnMut(Stored<'_>) -> Result<(), String>;

/// What a visitor of recent batches answers: whether it wants the one before.
pub type VisitPast<'v> = &'v mut dyn FnMut(Batch) -> bool;

/// What keeps batches. Used by one thread at a time.
///
/// An error of `append` or `sync` is final: the caller stops using the storage,
/// because what a failed sync has lost cannot be known (a later sync that
/// succeeds says nothing of the pages that the failed one dropped).
pub trait Storage: Send {
    /// Hands over everything that is stored: buckets in the order of their ids,
    /// each followed by its records in table order, then the documents in the
    /// order in which they were first stored. Returns the number of the newest
    /// commit, 0 for a storage that has none.
    ///
    /// # Errors
    ///
    /// What cannot be read, or what `visit` refused.
    fn load(&mut self, visit: Visit<'_>) -> Result<CommitSeq, StorageError>;

    /// The runs whose numbers of commits are known here, the present one last.
    /// It has begun when the storage was opened or loaded.
    fn epochs(&self) -> Epochs;

    /// Hands over recent batches, newest first without a gap, until `visit` has
    /// enough or the next one is not there, or not whole.
    ///
    /// # Errors
    ///
    /// What cannot be read.
    fn past(&mut self, visit: VisitPast<'_>) -> Result<(), StorageError>;

    /// Writes batches, in order, as one unit: all of them or none.
    ///
    /// # Errors
    ///
    /// Final; see above.
    fn append(&mut self, batches: &[Batch]) -> Result<Written, StorageError>;

    /// Everything that was appended is on disk when this returns.
    ///
    /// # Errors
    ///
    /// Final; see above.
    fn sync(&mut self) -> Result<(), StorageError>;

    /// Syncs, tidies up and ends.
    ///
    /// # Errors
    ///
    /// What the last sync failed with.
    fn close(self: Box<Self>) -> Result<(), StorageError>;
}
