//! The data of a server that does not run: opened like a server opens it,
//! changed through the same door, written as one batch.

use std::sync::{Arc, Mutex, PoisonError};

use super::durable;
use super::service::{Loading, Notifier};
use super::start_error::StartError;
use crate::app::{App as _, JobId, Now};
use crate::config::Persistence;
use crate::engine::{CommitLog, Engine, EngineOptions};
use crate::json::Object;
use crate::protocol::OpError;
use crate::storage::{Batch, Claim, Journal, Location, StorageError, Task};
use crate::store::{Content, Data};

/// See the module's description.
pub struct Offline {
    engine: Engine,
    journal: Journal,
    batches: Batches,
    now: Now,
    /// Held as long as the data may be changed.
    _lock: Claim,
}

/// Collects what would be written.
#[derive(Clone, Default)]
struct Batches(Arc<Mutex<Vec<Batch>>>);

impl CommitLog for Batches {
    fn submit(&self, batch: Batch) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(batch);
    }

    fn backlog(&self) -> u64 {
        0
    }

    /// There is nobody to ask for a task.
    fn run_task(&self, _: JobId, _: Task) {}
}

impl Offline {
    /// Opens the data and reads all of it. `wall`: Unix time in milliseconds.
    ///
    /// # Errors
    ///
    /// What a server would not start with.
    pub fn open(persistence: &Persistence, wall: u64) -> Result<Self, StartError> {
        let recovered = durable::open(persistence, None, Loading::new(&Notifier::none()))?;
        let failed = |step: &str, reason: String| StartError::Failed { step: step.into(), reason };
        let recovered =
            recovered.ok_or_else(|| failed("dataDir", "nothing is kept here".into()))?;
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|error| failed("randomness", error.to_string()))?;
        let now = Now { mono: 0, wall };
        let options = EngineOptions { seed, ..EngineOptions::default() };
        let mut engine = Engine::new(options, recovered.store, now);
        let batches = Batches::default();
        engine.set_log(Box::new(batches.clone()), u64::MAX, recovered.last, recovered.origins);
        Ok(Offline { engine, journal: recovered.journal, batches, now, _lock: recovered.lock })
    }

    /// The buckets that there are.
    pub fn bucket_names(&self) -> impl Iterator<Item = String> {
        self.engine.store().buckets().map(|bucket| bucket.name().to_owned())
    }

    /// The definition of a bucket, as it was supplied.
    pub fn definition(&self, bucket: &str) -> Option<Object> {
        let bucket = self.engine.store().bucket_named(bucket)?;
        Some(bucket.definition().supplied().clone())
    }

    /// Replaces the content of buckets; see [`crate::store::Store::prepare_restore`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn replace(&mut self, contents: &[Content]) -> Result<(), OpError> {
        let set = self.engine.store().prepare_restore(contents)?;
        self.engine.commit(set);
        Ok(())
    }

    /// Inserts a record as `store.insert` does.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn insert(&mut self, bucket: &str, record: &Object) -> Result<(), OpError> {
        let id = self.engine.store().require(bucket)?.id();
        let data = Data::from(record);
        self.engine.write_single(|draft, store, ids| draft.insert(store, ids, id, &data))?;
        Ok(())
    }

    /// Writes everything at once, syncs and ends. Without this nothing was
    /// changed.
    ///
    /// # Errors
    ///
    /// What writing failed with.
    pub fn save(mut self) -> Result<(), StorageError> {
        self.engine.turn_ended(self.now);
        let batches =
            std::mem::take(&mut *self.batches.0.lock().unwrap_or_else(PoisonError::into_inner));
        self.journal.write(&batches, 0)?;
        self.journal.sync()?;
        self.journal.close()
    }
}

/// Locks the data of a server that does not run.
///
/// # Errors
///
/// What a server would not start with: another process has them.
pub fn claim(persistence: &Persistence, location: &mut Location) -> Result<Claim, StartError> {
    location.claim().map_err(|error| durable::failed(persistence, &error))
}
