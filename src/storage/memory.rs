//! A storage without a disk, for tests and for programs that keep their own.

use std::sync::{Arc, Mutex, PoisonError};

use super::{Batch, EpochId, Epochs, State, Storage, StorageError, Visit, VisitPast, Written};
use crate::app::CommitSeq;

/// Keeps everything in memory. Clones share the state, so that a test can open
/// it again after the server that used it is gone.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    state: Arc<Mutex<State>>,
    past: Arc<Mutex<Past>>,
}

#[derive(Debug, Default)]
struct Past {
    epochs: Epochs,
    opened: u64,
    batches: Vec<Batch>,
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
        let last = self.state().visit(visit)?;
        let mut past = self.past.lock().unwrap_or_else(PoisonError::into_inner);
        past.opened = past.opened.saturating_add(1);
        let mut id = [0; 16];
        id.iter_mut().zip(past.opened.to_le_bytes()).for_each(|(to, from)| *to = from);
        past.epochs.begin(EpochId(id), last);
        Ok(last)
    }

    fn epochs(&self) -> Epochs {
        self.past.lock().unwrap_or_else(PoisonError::into_inner).epochs.clone()
    }

    fn past(&mut self, visit: VisitPast<'_>) -> Result<(), StorageError> {
        let past = self.past.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = past.batches.iter().rev().all(|batch| visit(batch.clone()));
        Ok(())
    }

    fn append(&mut self, batches: &[Batch]) -> Result<Written, StorageError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        for batch in batches {
            state.apply(batch);
        }
        let mut past = self.past.lock().unwrap_or_else(PoisonError::into_inner);
        past.batches.extend_from_slice(batches);
        Ok(Written::Synced)
    }

    fn sync(&mut self) -> Result<(), StorageError> {
        Ok(())
    }

    fn close(self: Box<Self>) -> Result<(), StorageError> {
        Ok(())
    }
}
