//! When what was written may be acknowledged, and when it has to be synced.
//!
//! Owns the promise of each policy, without threads and without a clock, so
//! that the simulation drives the same code as the thread does.

use super::{Batch, Epochs, Storage, StorageError, Visit, VisitPast, Written};
use crate::app::CommitSeq;

/// What must have happened to a batch before it is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// It is on disk.
    Always,
    /// The operating system has it; it is on disk within so many milliseconds.
    Interval(u64),
    /// Nothing.
    Never,
}

/// A storage and how far it is.
pub struct Journal {
    storage: Box<dyn Storage>,
    policy: Policy,
    /// Newest commit that the operating system has.
    written: CommitSeq,
    /// Newest commit that is on disk.
    synced: CommitSeq,
    /// When what is not on disk has to be.
    sync_due: Option<u64>,
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Journal")
            .field("policy", &self.policy)
            .field("written", &self.written)
            .field("synced", &self.synced)
            .finish_non_exhaustive()
    }
}

impl Journal {
    pub fn new(storage: Box<dyn Storage>, policy: Policy) -> Self {
        Self { storage, policy, written: 0, synced: 0, sync_due: None }
    }

    /// See [`Storage::load`]. Comes first.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn load(&mut self, visit: Visit<'_>) -> Result<CommitSeq, StorageError> {
        let last = self.storage.load(visit)?;
        (self.written, self.synced) = (last, last);
        Ok(last)
    }

    /// See [`Storage::epochs`].
    pub fn epochs(&self) -> Epochs {
        self.storage.epochs()
    }

    /// See [`Storage::past`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn past(&mut self, visit: VisitPast<'_>) -> Result<(), StorageError> {
        self.storage.past(visit)
    }

    pub fn policy(&self) -> Policy {
        self.policy
    }

    /// The newest commit that may be acknowledged.
    pub fn acknowledged(&self) -> CommitSeq {
        match self.policy {
            Policy::Always => self.synced,
            Policy::Interval(_) | Policy::Never => self.written,
        }
    }

    /// The newest commit that a loss of power spares.
    pub fn synced(&self) -> CommitSeq {
        self.synced
    }

    /// When [`Journal::sync`] has to be called, on the clock that `write` is
    /// told; `None`: nothing waits.
    pub fn sync_due(&self) -> Option<u64> {
        self.sync_due
    }

    /// Writes batches as one unit. Returns whether that included a sync.
    ///
    /// # Errors
    ///
    /// Final: the journal must not be used again.
    pub fn write(&mut self, batches: &[Batch], now: u64) -> Result<bool, StorageError> {
        let Some(last) = batches.last().map(|batch| batch.last) else { return Ok(false) };
        let written = self.storage.append(batches)?;
        self.written = last;
        if written == Written::Synced {
            self.synced = last;
            return Ok(true);
        }
        match self.policy {
            Policy::Always => {
                self.sync()?;
                return Ok(true);
            }
            Policy::Interval(ms) => {
                self.sync_due.get_or_insert(now.saturating_add(ms));
            }
            Policy::Never => {}
        }
        Ok(false)
    }

    /// Puts everything that was written on disk.
    ///
    /// # Errors
    ///
    /// Final: the journal must not be used again.
    pub fn sync(&mut self) -> Result<(), StorageError> {
        self.storage.sync()?;
        self.synced = self.written;
        self.sync_due = None;
        Ok(())
    }

    /// Syncs and ends.
    ///
    /// # Errors
    ///
    /// What the storage ends with.
    pub fn close(self) -> Result<(), StorageError> {
        self.storage.close()
    }
}
