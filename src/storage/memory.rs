//! A storage without a disk, for tests and for programs that keep their own.

use std::sync::{Arc, Mutex, PoisonError};

use super::{Batch, State, Storage, StorageError, Visit, Written};
use crate::app::CommitSeq;

/// Keeps everything in memory. Clones share the state, so that a test can open
/// it again after the server that used it is gone.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    state: Arc<Mutex<State>>,
}

impl Memory {
    pub fn new() -> Self {
        Self::default()
    }

    /// A copy of what is kept.
    pub fn state(&self) -> State {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Storage for Memory {
    fn load(&mut self, visit: Visit<'_>) -> Result<CommitSeq, StorageError> {
        self.state().visit(visit)
    }

    fn append(&mut self, batches: &[Batch]) -> Result<Written, StorageError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        for batch in batches {
            state.apply(batch);
        }
        Ok(Written::Synced)
    }

    fn sync(&mut self) -> Result<(), StorageError> {
        Ok(())
    }

    fn close(self: Box<Self>) -> Result<(), StorageError> {
        Ok(())
    }
}
