//! The thread that writes.
//!
//! Takes batches from the loop and tells how far they are durable. Everything
//! that is queued when the thread comes back from the disk goes out together:
//! the slower the disk, the more acknowledgements share one sync. Knows a clock
//! only to sync in time.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::room::{self, Free};
use super::{Batch, Journal, StorageError, StorageErrorKind};
use crate::app::{CommitSeq, JobId, JobOutput};

/// Bytes of batches that are written as one unit. Bounds the memory that a
/// transaction takes and the time until the first acknowledgement.
const UNIT_BYTES: usize = 8 << 20;

/// Queued bytes above which the server should not read more requests.
pub const MAX_BACKLOG_BYTES: u64 = 32 << 20;

/// Who is told what happened; called from the writer's threads.
pub trait Notify: Send + Sync + 'static {
    /// Everything up to this commit may be acknowledged.
    fn durable(&self, seq: CommitSeq);
    /// Nothing more will be. Called once.
    fn failed(&self, error: &StorageError);
    /// A task has ended.
    fn task_done(&self, id: JobId, output: Result<JobOutput, String>);
}

/// Tells how many bytes are free.
pub type Measure = Box<dyn Fn() -> Option<u64> + Send>;

/// Slow work on what is stored (a backup), run on a thread of its own once all
/// batches submitted before it are written.
pub type Task = Box<dyn FnOnce() -> JobOutput + Send>;

enum Item {
    Batch(Batch, usize),
    Task(JobId, Task),
}

#[derive(Default)]
struct Queue {
    items: VecDeque<Item>,
    closing: bool,
    failed: Option<StorageError>,
}

/// Counters since the start.
#[derive(Debug, Default)]
pub struct StorageStats {
    /// Transactions.
    pub units: AtomicU64,
    /// Batches: what one turn of the loop has written.
    pub batches: AtomicU64,
    /// Syncs of their own.
    pub syncs: AtomicU64,
    /// Microseconds spent writing, syncs of transactions included.
    pub write_micros: AtomicU64,
    /// Microseconds spent in syncs of their own.
    pub sync_micros: AtomicU64,
    /// Bytes of batches that wait.
    pub backlog: AtomicU64,
    /// Units and syncs by how long they took: up to each of
    /// [`DURATION_BOUNDS`], and longer ones.
    pub write_counts: [AtomicU64; DURATION_BOUNDS.len() + 1],
    /// Syncs by how long they took, as `write_counts`.
    pub sync_counts: [AtomicU64; DURATION_BOUNDS.len() + 1],
    /// Room on the disk, if somebody looks.
    pub free: Free,
}

/// In microseconds.
pub const DURATION_BOUNDS: [u64; 12] = [
    1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    10_000_000,
];

/// Adds to a sum of durations, and to the count of those as long.
fn count_duration(sum: &AtomicU64, counts: &[AtomicU64], micros: u64) {
    sum.fetch_add(micros, Ordering::Relaxed);
    if let Some(count) = counts.get(DURATION_BOUNDS.partition_point(|bound| *bound < micros)) {
        count.fetch_add(1, Ordering::Relaxed);
    }
}

struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
    stats: Arc<StorageStats>,
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The loop's end of the writing thread. Dropping it without
/// [`Writer::close`] writes what is queued, too, but tells nobody of errors.
pub struct Writer {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<Result<(), StorageError>>>>,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").field("stats", &self.shared.stats).finish_non_exhaustive()
    }
}

impl Writer {
    /// Starts the thread with a journal that has been loaded.
    ///
    /// # Errors
    ///
    /// When the system has no thread for it.
    pub fn start(journal: Journal, notify: Arc<dyn Notify>) -> Result<Self, StorageError> {
        Self::start_measuring(journal, notify, None)
    }

    /// The same, looking for room on the disk now and then.
    ///
    /// # Errors
    ///
    /// As [`Writer::start`].
    pub fn start_measuring(
        journal: Journal,
        notify: Arc<dyn Notify>,
        measure: Option<Measure>,
    ) -> Result<Self, StorageError> {
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            changed: Condvar::new(),
            stats: Arc::default(),
        });
        let thread = {
            let shared = shared.clone();
            std::thread::Builder::new()
                .name("storage".to_owned())
                .spawn(move || run(&shared, journal, &notify, measure.as_ref()))
                .map_err(|error| StorageError::io("cannot start the storage thread", &error))?
        };
        Ok(Self { shared, thread: Mutex::new(Some(thread)) })
    }

    /// Queues a batch. After a failure it is dropped: nothing that depends on
    /// it will be acknowledged.
    pub fn submit(&self, batch: Batch) {
        let weight = batch.weight();
        self.push(Item::Batch(batch, weight), weight);
    }

    /// Queues a task; see [`Task`]. After a failure it is dropped.
    pub fn run_task(&self, id: JobId, task: Task) {
        self.push(Item::Task(id, task), 0);
    }

    fn push(&self, item: Item, weight: usize) {
        let mut queue = self.shared.queue();
        if queue.failed.is_some() {
            return;
        }
        queue.items.push_back(item);
        let first = queue.items.len() == 1;
        drop(queue);
        self.shared.stats.backlog.fetch_add(weight as u64, Ordering::Relaxed);
        if first {
            self.shared.changed.notify_one();
        }
    }

    /// Bytes of batches that are queued or being written.
    pub fn backlog(&self) -> u64 {
        self.shared.stats.backlog.load(Ordering::Relaxed)
    }

    pub fn stats(&self) -> Arc<StorageStats> {
        self.shared.stats.clone()
    }

    /// Writes and syncs what is queued, and ends the thread. Does nothing when
    /// it was called before.
    ///
    /// # Errors
    ///
    /// What writing failed with, now or earlier.
    pub fn close(&self) -> Result<(), StorageError> {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(thread) = thread else { return Ok(()) };
        self.shared.queue().closing = true;
        self.shared.changed.notify_one();
        thread.join().unwrap_or_else(|_| {
            Err(StorageError::new(StorageErrorKind::Io, "the storage thread panicked"))
        })
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            log::error!("storage: {error}");
        }
    }
}

/// What the thread does next.
struct Work {
    batches: Vec<Batch>,
    weight: usize,
    tasks: Vec<(JobId, Task)>,
    closing: bool,
}

/// Waits for something to do, at most until `due`.
fn next_work(shared: &Shared, due: Option<Instant>) -> Work {
    let mut queue = shared.queue();
    while queue.items.is_empty() && !queue.closing {
        match due.map(|due| due.saturating_duration_since(Instant::now())) {
            None => {
                queue = shared.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
            }
            Some(Duration::ZERO) => break,
            Some(left) => {
                let waited = shared.changed.wait_timeout(queue, left);
                queue = waited.unwrap_or_else(PoisonError::into_inner).0;
            }
        }
    }
    let mut work = Work { batches: Vec::new(), weight: 0, tasks: Vec::new(), closing: false };
    while work.weight < UNIT_BYTES {
        match queue.items.pop_front() {
            // Batches before a task are written before it runs.
            Some(Item::Batch(batch, weight)) if work.tasks.is_empty() => {
                work.weight += weight;
                work.batches.push(batch);
            }
            Some(Item::Task(id, task)) => work.tasks.push((id, task)),
            Some(item) => {
                queue.items.push_front(item);
                break;
            }
            None => {
                work.closing = queue.closing;
                break;
            }
        }
    }
    work
}

fn run(
    shared: &Shared,
    journal: Journal,
    notify: &Arc<dyn Notify>,
    measure: Option<&Measure>,
) -> Result<(), StorageError> {
    let result = catch_unwind(AssertUnwindSafe(|| write_all(shared, journal, notify, measure)));
    let result = result.unwrap_or_else(|_| {
        Err(StorageError::new(StorageErrorKind::Io, "the storage thread panicked"))
    });
    if let Err(error) = &result {
        let mut queue = shared.queue();
        queue.failed = Some(error.clone());
        let left = std::mem::take(&mut queue.items);
        drop(queue);
        for item in left {
            if let Item::Task(id, _) = item {
                notify.task_done(id, Err(error.message.clone()));
            }
        }
        notify.failed(error);
    }
    result
}

fn write_all(
    shared: &Shared,
    mut journal: Journal,
    notify: &Arc<dyn Notify>,
    measure: Option<&Measure>,
) -> Result<(), StorageError> {
    let start = Instant::now();
    let stats = &*shared.stats;
    let mut look = measure.map(|measure| (measure, start));
    loop {
        if let Some((measure, at)) = &mut look
            && *at <= Instant::now()
        {
            // What cannot be measured is as it was.
            if let Some(free) = measure() {
                stats.free.set(free);
            }
            *at = Instant::now() + room::LOOK_EVERY;
        }
        let due = journal.sync_due().map(|due| start + Duration::from_millis(due));
        let due = due.into_iter().chain(look.map(|(_, at)| at)).min();
        let Work { batches, weight, tasks, closing } = next_work(shared, due);
        if !batches.is_empty() {
            let began = Instant::now();
            let synced = journal.write(&batches, milliseconds(start))?;
            count_duration(&stats.write_micros, &stats.write_counts, micros(began));
            stats.units.fetch_add(1, Ordering::Relaxed);
            stats.batches.fetch_add(batches.len() as u64, Ordering::Relaxed);
            stats.syncs.fetch_add(u64::from(synced), Ordering::Relaxed);
            stats.backlog.fetch_sub(weight as u64, Ordering::Relaxed);
            notify.durable(journal.acknowledged());
        }
        if journal.sync_due().is_some_and(|due| due <= milliseconds(start)) {
            let began = Instant::now();
            journal.sync()?;
            count_duration(&stats.sync_micros, &stats.sync_counts, micros(began));
            stats.syncs.fetch_add(1, Ordering::Relaxed);
        }
        for (id, task) in tasks {
            spawn_task(id, task, notify.clone());
        }
        if closing {
            return journal.close();
        }
    }
}

fn spawn_task(id: JobId, task: Task, notify: Arc<dyn Notify>) {
    let told = notify.clone();
    let spawned = std::thread::Builder::new().name("backup".to_owned()).spawn(move || {
        let output =
            catch_unwind(AssertUnwindSafe(task)).map_err(|_| "the task panicked".to_owned());
        notify.task_done(id, output);
    });
    if let Err(error) = spawned {
        told.task_done(id, Err(format!("cannot start a thread: {error}")));
    }
}

fn milliseconds(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX)
}

fn micros(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX)
}
