//! The JSON Lines file: every entry of the ring, in the same order, written by
//! a thread of its own. The loop only puts lines into a queue.

mod writer;

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::{AuditSink, Entry};
use crate::config::{self, AuditSync};
use writer::Writer;

/// Lines kept while the file cannot be written.
const MAX_WAITING: usize = 10_000;
/// Lines kept while it can: only a disk that is far too slow gets here.
const MAX_QUEUED: usize = 1_000_000;
/// Time between syncs, and between attempts to write again.
const INTERVAL: Duration = Duration::from_secs(1);

/// Called on the writing thread with the number of entries since the start that
/// are safe.
pub type OnSynced = Box<dyn Fn(u64) + Send>;

/// Called there, too, when the file was to be opened anew: whether it is.
pub type OnReopened = Box<dyn Fn(bool) + Send>;

/// Whom the thread tells what it has done.
struct Told {
    synced: OnSynced,
    reopened: OnReopened,
}

#[derive(Default)]
struct Queue {
    lines: VecDeque<Arc<Entry>>,
    /// Lines that had to go because the file could not be written.
    dropped: u64,
    /// All of them since the start.
    dropped_in_all: u64,
    failing: bool,
    reopen: bool,
    stop: bool,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The handle of the file; the writing thread ends with the last one.
pub struct AuditFile {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for AuditFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AuditFile")
    }
}

/// Puts entries into the queue.
struct Sink(Arc<Shared>);

impl AuditSink for Sink {
    fn entry(&mut self, entry: &Arc<Entry>) {
        let mut queue = self.0.lock();
        queue.lines.push_back(Arc::clone(entry));
        trim(&mut queue);
        self.0.changed.notify_one();
    }

    fn dropped_in_all(&self) -> u64 {
        self.0.lock().dropped_in_all
    }
}

fn trim(queue: &mut Queue) {
    let most = if queue.failing { MAX_WAITING } else { MAX_QUEUED };
    let over = queue.lines.len().saturating_sub(most);
    queue.lines.drain(..over);
    queue.dropped += over as u64;
    queue.dropped_in_all += over as u64;
}

impl AuditFile {
    /// Opens the file and starts its thread. `on_synced` is told how many lines
    /// since the start are safe: on disk with `sync: "always"`, else written.
    /// `on_reopened` is told what came of [`AuditFile::reopen`].
    ///
    /// # Errors
    /// When the file cannot be opened for appending, or the thread not started.
    pub fn open(
        settings: &config::AuditFile,
        on_synced: OnSynced,
        on_reopened: OnReopened,
    ) -> io::Result<Self> {
        let told = Told { synced: on_synced, reopened: on_reopened };
        let writer = Writer::open(settings)?;
        let shared = Arc::new(Shared::default());
        let (sync, theirs) = (settings.sync, Arc::clone(&shared));
        let thread = thread::Builder::new()
            .name("audit".into())
            .spawn(move || work(writer, sync, &theirs, &told))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// The last lines of the file, oldest first, at most `most`.
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    pub fn tail(path: &Path, most: usize) -> io::Result<Vec<String>> {
        writer::tail(path, most)
    }

    /// What the log is to be given.
    pub fn sink(&self) -> Box<dyn AuditSink> {
        Box::new(Sink(Arc::clone(&self.shared)))
    }

    /// Opens the file anew: somebody has moved it away.
    pub fn reopen(&self) {
        self.shared.lock().reopen = true;
        self.shared.changed.notify_one();
    }

    /// Whether the last attempt to write failed.
    pub fn is_failing(&self) -> bool {
        self.shared.lock().failing
    }

    /// As [`AuditFile::is_failing`], for whoever must not own the file.
    pub fn watch(&self) -> super::IsFailing {
        let shared = Arc::clone(&self.shared);
        Box::new(move || shared.lock().failing)
    }

    /// Writes and syncs what is queued and ends the thread. Gives up on a file
    /// that cannot be written.
    pub fn close(mut self) {
        self.finish();
    }

    fn finish(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        self.shared.lock().stop = true;
        self.shared.changed.notify_one();
        if thread.join().is_err() {
            log::error!("the audit file's thread panicked");
        }
    }
}

impl Drop for AuditFile {
    fn drop(&mut self) {
        self.finish();
    }
}

/// The thread: one batch after the other, until it is told to stop and has
/// nothing left that can be written.
fn work(mut writer: Writer, sync: AuditSync, shared: &Shared, told: &Told) {
    let mut synced_at = Instant::now();
    // Entries that came out of the queue and did not go back: once nothing fails,
    // all of them are safe.
    let mut taken = 0u64;
    loop {
        let mut batch = next_batch(&writer, sync, shared);
        let due = match sync {
            AuditSync::Always => true,
            AuditSync::Interval => batch.stop || synced_at.elapsed() >= INTERVAL,
            AuditSync::Never => batch.stop,
        };
        taken += batch.lines.len() as u64 + batch.dropped;
        let mut result = begin(&mut writer, &mut batch, told);
        if result.is_ok() {
            result = writer.write(&mut batch.dropped, &mut batch.lines);
        }
        if result.is_ok() && due && writer.is_dirty() {
            result = writer.sync();
            synced_at = Instant::now();
        }
        match result {
            Ok(()) => {
                if batch.failing {
                    log::info!("the audit file is written again");
                    shared.lock().failing = false;
                }
                (told.synced)(taken);
            }
            Err(error) => {
                if !batch.failing {
                    log::error!("the audit file cannot be written: {error}");
                }
                writer.take_lost(&mut batch.dropped, &mut batch.lines);
                taken -= batch.lines.len() as u64 + batch.dropped;
                give_back(batch.lines, batch.dropped, shared);
            }
        }
        if batch.stop {
            let lost = shared.lock().lines.len() + usize::from(writer.has_begun());
            if lost > 0 {
                log::error!("{lost} audit entries could not be written");
            }
            return;
        }
    }
}

/// What is to be done next, as it was asked for.
struct Batch {
    lines: VecDeque<Arc<Entry>>,
    /// Entries that found no room in the queue.
    dropped: u64,
    stop: bool,
    reopen: bool,
    /// The last one could not be written.
    failing: bool,
}

/// Waits until there is something to do.
fn next_batch(writer: &Writer, sync: AuditSync, shared: &Shared) -> Batch {
    let mut queue = shared.lock();
    // Nothing is tried before this time, however much is queued.
    let retry_at = queue.failing.then(|| Instant::now() + INTERVAL);
    while !queue.stop && !queue.reopen && (queue.lines.is_empty() || queue.failing) {
        let timed = writer.is_dirty() && sync == AuditSync::Interval;
        let left = match retry_at {
            Some(at) => at.saturating_duration_since(Instant::now()),
            None if timed => INTERVAL,
            None => Duration::MAX,
        };
        let (back, timeout) =
            shared.changed.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner);
        queue = back;
        if timeout.timed_out() {
            break;
        }
    }
    Batch {
        lines: std::mem::take(&mut queue.lines),
        dropped: std::mem::take(&mut queue.dropped),
        stop: queue.stop,
        reopen: std::mem::take(&mut queue.reopen),
        failing: queue.failing,
    }
}

/// Opens the file anew where that was asked for, or the old one cannot be written.
fn begin(writer: &mut Writer, batch: &mut Batch, told: &Told) -> io::Result<()> {
    if !batch.reopen && !batch.failing {
        return Ok(());
    }
    // What the old file has must not depend on the new one.
    let synced = if writer.is_dirty() { writer.sync() } else { Ok(()) };
    let is_synced = synced.is_ok();
    if let Err(error) = synced {
        // It is written once more, to whatever file there is then.
        writer.take_lost(&mut batch.dropped, &mut batch.lines);
        if !batch.failing {
            log::error!("the audit file cannot be written: {error}");
        }
    }
    let opened = writer.reopen();
    if batch.reopen {
        match &opened {
            Ok(()) => log::info!("reload: audit.file opened again"),
            Err(error) => {
                log::error!("audit.file: cannot be opened anew: {error}; the old one stays");
            }
        }
        (told.reopened)(opened.is_ok());
    }
    match opened {
        // The old one is as good as before.
        Err(_) if is_synced && !batch.failing => Ok(()),
        other => other,
    }
}

/// What was not written goes back to the front.
fn give_back(mut lines: VecDeque<Arc<Entry>>, dropped: u64, shared: &Shared) {
    let mut queue = shared.lock();
    queue.failing = true;
    queue.dropped += dropped;
    while let Some(line) = lines.pop_back() {
        queue.lines.push_front(line);
    }
    trim(&mut queue);
}
