//! A server whose data outlives it: opens the storage, puts back what it holds,
//! and connects the writing thread with the loop.

use std::path::PathBuf;
use std::sync::Arc;
#[cfg(feature = "sqlite")]
use std::time::Duration;
use std::time::Instant;

use super::hosted::Hosted;
use super::service::Loading;
use super::start_error::StartError;
use crate::app::{App, CommitSeq, JobId, JobOutput};
use crate::config::Persistence;
#[cfg(feature = "sqlite")]
use crate::config::{Durability as Mode, WalCheckpoint};
use crate::json::{Json, Object, Raw, parse};
use crate::net::{Durability, Remote};
use crate::storage::{
    Claim, Document, Journal, Location, Notify, Origin, StorageError, StorageErrorKind, Stored,
    Writer,
};
use crate::store::{BucketId, Defined, Loader, Store};

#[cfg(feature = "sqlite")]
use crate::storage::Backups;

/// What was on disk, and the way to put more there.
pub(super) struct Recovered {
    pub store: Store,
    /// Where the definition of each stored bucket came from.
    pub origins: Vec<(BucketId, Origin)>,
    /// Definitions and state of other kinds.
    pub documents: Vec<Document>,
    /// The newest commit.
    pub last: CommitSeq,
    pub journal: Journal,
    pub lock: Claim,
    pub location: Location,
}

/// Deeper than a definition can be: messages have at most 1024 levels.
const MAX_DEPTH: u32 = 1024;

/// The settings' name of the storage, for messages.
fn key(settings: &Persistence) -> &'static str {
    if settings.data_dir.is_some() { "dataDir" } else { "db" }
}

pub(super) fn failed(settings: &Persistence, error: &StorageError) -> StartError {
    StartError::Storage {
        step: key(settings).into(),
        kind: error.kind,
        reason: error.message.clone(),
    }
}

fn definition(text: &str) -> Result<Object, String> {
    match parse(text, MAX_DEPTH).map(Raw::to_json) {
        Ok(Json::Object(definition)) => Ok(definition),
        _ => Err("its definition is no JSON object".to_owned()),
    }
}

/// Opens the storage and reads everything that it holds. `None`: nothing is
/// kept. `history_bytes`: of recent commits so much is to be kept; `None`: what
/// there is.
///
/// # Errors
///
/// Whatever cannot be opened, read or understood; nothing was changed then.
pub(super) fn open(
    settings: &Persistence,
    history_bytes: Option<u64>,
    mut loading: Loading,
) -> Result<Option<Recovered>, StartError> {
    let found = Location::find(settings.data_dir.as_deref(), settings.db.as_deref());
    let Some(mut location) = found.map_err(|error| StartError::Storage {
        step: if settings.db.is_some() { "db" } else { "dataDir" }.into(),
        kind: error.kind,
        reason: error.message,
    })?
    else {
        return Ok(None);
    };
    let began = Instant::now();
    let (lock, mut journal) = journal(&mut location, settings, history_bytes)
        .map_err(|error| failed(settings, &error))?;
    let mut loader = Loader::new();
    let mut open = BucketId(0);
    let (mut origins, mut documents, mut records) = (Vec::new(), Vec::new(), 0usize);
    let last = journal
        .load(&mut |stored| match stored {
            Stored::Bucket(entry) => {
                origins.push((entry.id, entry.origin));
                open = entry.id;
                let stored = Defined {
                    bucket: entry.id,
                    name: entry.name.into(),
                    persistent: true,
                    definition: Arc::new(definition(&entry.definition)?),
                    state: entry.state.into(),
                };
                loader.bucket(&stored, entry.counter).map_err(|error| error.to_string())?;
                Ok(())
            }
            Stored::Record { place, row, places, .. } => {
                records += 1;
                loading.at(records);
                loader.record(open, row, place, places).map_err(|error| error.to_string())
            }
            Stored::Document(document) => {
                documents.push(document);
                Ok(())
            }
        })
        .map_err(|error| failed(settings, &error))?;
    let store = loader.finish().map_err(|error| StartError::Storage {
        step: key(settings).into(),
        kind: StorageErrorKind::Damaged,
        reason: format!("{} cannot be loaded: {error}", location.file.display()),
    })?;
    log::info!(
        "{}: {} buckets with {records} records, up to commit {last}, loaded in {} ms",
        location.file.display(),
        origins.len(),
        began.elapsed().as_millis()
    );
    Ok(Some(Recovered { store, origins, documents, last, journal, lock, location }))
}

#[cfg(feature = "sqlite")]
fn journal(
    location: &mut Location,
    settings: &Persistence,
    history_bytes: Option<u64>,
) -> Result<(Claim, Journal), StorageError> {
    use crate::storage::{Checkpoints, Policy, Sqlite};

    let policy = match settings.durability {
        Mode::Always => Policy::Always,
        Mode::Interval => Policy::Interval(settings.durability_interval_ms),
        Mode::None => Policy::Never,
    };
    let checkpoints = match settings.wal_checkpoint {
        WalCheckpoint::Auto => Checkpoints::Own,
        WalCheckpoint::External => Checkpoints::External,
    };
    let mut claim = location.claim()?;
    if !location.file.exists() && location.holds_noex() {
        log::warn!(
            "{} holds data of noex, which is not read: take it over with `noexd import \
             --from-noex`",
            location.directory.display()
        );
    }
    let wait = Duration::from_millis(settings.storage_wait_ms);
    let storage = Sqlite::open_with(&location.file, policy == Policy::Always, checkpoints, wait)?;
    let storage = match history_bytes {
        Some(bytes) => storage.keeping(bytes),
        None => storage,
    };
    // It may have been created, or a restore may have been completed.
    claim.hold(&location.file)?;
    location.warn_of_modes();
    Backups::new(location).remove_partial();
    Ok((claim, Journal::new(Box::new(storage), policy)))
}

#[cfg(not(feature = "sqlite"))]
fn journal(
    _: &mut Location,
    _: &Persistence,
    _: Option<u64>,
) -> Result<(Claim, Journal), StorageError> {
    Err(StorageError::new(
        crate::storage::StorageErrorKind::Refused,
        "this noexd was built without the feature \"sqlite\" and keeps data in memory only; \
         leave the key out, or use a build that has it",
    ))
}

/// The storage of a running server, ended when the server has stopped.
pub(super) struct Durable {
    writer: Arc<Writer>,
    /// Held as long as the file may be written.
    _lock: Claim,
}

impl Durable {
    /// Starts the writing thread.
    pub fn start(
        journal: Journal,
        lock: Claim,
        durability: Durability,
        (remote, place): (Remote<Hosted>, PathBuf),
    ) -> Result<Self, StorageError> {
        let measure = Box::new(move || crate::storage::free_bytes(&place).ok());
        let told = Arc::new(Told { durability, remote });
        let writer = Writer::start_measuring(journal, told, Some(measure))?;
        Ok(Self { writer: Arc::new(writer), _lock: lock })
    }

    pub fn writer(&self) -> Arc<Writer> {
        self.writer.clone()
    }

    /// Writes and syncs what is left.
    ///
    /// # Errors
    ///
    /// What writing failed with, now or while the server ran.
    pub fn close(self) -> Result<(), StorageError> {
        self.writer.close()
    }
}

/// The loop, as the writing thread knows it.
struct Told {
    durability: Durability,
    remote: Remote<Hosted>,
}

impl Notify for Told {
    fn durable(&self, seq: CommitSeq) {
        if let Err(error) = self.durability.raise(seq) {
            log::error!("storage: the loop was not woken: {error}");
        }
    }

    fn failed(&self, error: &StorageError) {
        log::error!("storage: {error}; the server stops");
        // A loop that has ended already has nobody to tell.
        if let Err(error) = self.remote.run(|hosted, now| hosted.storage_failed(now)) {
            log::debug!("storage: {error}");
        }
    }

    fn task_done(&self, id: JobId, output: Result<JobOutput, String>) {
        let told = self.remote.run(move |hosted, now| hosted.job_done(id, output, now));
        if let Err(error) = told {
            log::debug!("storage: {error}");
        }
    }
}
