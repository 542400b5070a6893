//! The writing thread: order, group commit, failure, backlog.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex};

use super::*;
use crate::app::{JobId, JobOutput};

#[derive(Debug, PartialEq, Eq)]
enum Told {
    Durable(CommitSeq),
    Failed(StorageErrorKind),
    Task(JobId, Result<i32, String>),
}

struct Listener(Mutex<Sender<Told>>);

impl Listener {
    fn new() -> (Arc<Self>, Receiver<Told>) {
        let (sender, receiver) = channel();
        (Arc::new(Listener(Mutex::new(sender))), receiver)
    }

    fn tell(&self, told: Told) {
        // A test that has ended does not listen.
        let _ = self.0.lock().unwrap().send(told);
    }
}

impl Notify for Listener {
    fn durable(&self, seq: CommitSeq) {
        self.tell(Told::Durable(seq));
    }

    fn failed(&self, error: &StorageError) {
        self.tell(Told::Failed(error.kind));
    }

    fn task_done(&self, id: JobId, output: Result<JobOutput, String>) {
        self.tell(Told::Task(id, output.map(|any| *any.downcast::<i32>().unwrap())));
    }
}

/// Counts units and waits in front of each until it is let through.
struct Gate {
    inner: Faulty,
    open: Arc<(Mutex<u32>, Condvar)>,
    units: Arc<Mutex<Vec<usize>>>,
}

impl Storage for Gate {
    fn load(&mut self, visit: Visit<'_>) -> Result<CommitSeq, StorageError> {
        self.inner.load(visit)
    }

    fn epochs(&self) -> Epochs {
        self.inner.epochs()
    }

    fn past(&mut self, visit: VisitPast<'_>) -> Result<(), StorageError> {
        self.inner.past(visit)
    }

    fn append(&mut self, batches: &[Batch]) -> Result<Written, StorageError> {
        let mut passes = self.open.0.lock().unwrap();
        while *passes == 0 {
            passes = self.open.1.wait(passes).unwrap();
        }
        *passes -= 1;
        self.units.lock().unwrap().push(batches.len());
        self.inner.append(batches)
    }

    fn sync(&mut self) -> Result<(), StorageError> {
        self.inner.sync()
    }

    fn close(self: Box<Self>) -> Result<(), StorageError> {
        Box::new(self.inner).close()
    }
}

#[test]
fn what_queues_up_behind_a_sync_shares_the_next_one() {
    let disk = Disk::new();
    let (open, units) = (Arc::new((Mutex::new(0), Condvar::new())), Arc::default());
    let gate =
        Gate { inner: Faulty::new(disk.clone()), open: open.clone(), units: Arc::clone(&units) };
    let (listener, told) = Listener::new();
    let writer = Writer::start(Journal::new(Box::new(gate), Policy::Always), listener).unwrap();
    let mut load = Load::new(3);
    let first = load.batch();
    let first_seq = first.last;
    writer.submit(first);
    // The thread is in front of the gate with the first batch, or has not come
    // for it yet; it takes at most what is there when it comes.
    *open.0.lock().unwrap() += 1;
    open.1.notify_all();
    assert_eq!(told.recv().unwrap(), Told::Durable(first_seq));
    let (task, last) = (7, {
        let rest: Vec<Batch> = (0..50).map(|_| load.batch()).collect();
        let last = rest.last().unwrap().last;
        rest.into_iter().for_each(|batch| writer.submit(batch));
        last
    });
    assert!(writer.backlog() > 0);
    writer.run_task(task, Box::new(|| Box::new(42)));
    *open.0.lock().unwrap() += 50;
    open.1.notify_all();
    let mut seen = Vec::new();
    loop {
        match told.recv().unwrap() {
            Told::Durable(seq) => seen.push(seq),
            Told::Task(id, output) => {
                assert_eq!((id, output), (task, Ok(42)));
                break;
            }
            Told::Failed(kind) => panic!("failed: {kind:?}"),
        }
    }
    assert_eq!(seen.last(), Some(&last), "the task runs behind the batches before it");
    assert!(seen.is_sorted());
    assert_eq!(writer.backlog(), 0);
    writer.close().unwrap();
    let units = units.lock().unwrap();
    assert_eq!(units.iter().sum::<usize>(), 51);
    assert!(units.len() <= 3, "50 queued batches needed {} syncs", units.len() - 1);
}

#[test]
fn a_failed_write_is_final() {
    for faults in [
        Faults { fail_write: Some(3), ..Faults::default() },
        Faults { fail_sync: Some(3), ..Faults::default() },
        Faults { capacity: Some(2_000), ..Faults::default() },
    ] {
        let disk = Disk::new();
        disk.set_faults(faults);
        let (listener, told) = Listener::new();
        let journal = Journal::new(Box::new(Faulty::new(disk.clone())), Policy::Always);
        let writer = Writer::start(journal, listener).unwrap();
        let (mut load, mut acknowledged, mut history) = (Load::new(4), 0, Vec::new());
        let kind = loop {
            let batch = load.batch();
            history.push(batch.clone());
            writer.submit(batch);
            match told.recv().unwrap() {
                Told::Durable(seq) => acknowledged = seq,
                Told::Failed(kind) => break kind,
                other => panic!("{other:?}"),
            }
        };
        let full = faults.capacity.is_some();
        assert_eq!(kind, if full { StorageErrorKind::Full } else { StorageErrorKind::Io });
        writer.submit(load.batch());
        writer.run_task(1, Box::new(|| Box::new(1)));
        assert!(writer.close().is_err());
        assert_eq!(told.try_iter().count(), 0, "nothing is acknowledged after a failure");
        disk.cut_power(5);
        let found = State::of(&mut Faulty::new(disk)).unwrap();
        assert!(found.last >= acknowledged);
        history.retain(|batch| batch.last <= found.last);
        assert_eq!(replay(&history), found, "not a state that existed");
    }
}

/// Nobody has to write again for a sync to come.
#[test]
fn an_interval_ends_without_another_write() {
    let disk = Disk::new();
    let (listener, told) = Listener::new();
    let journal = Journal::new(Box::new(Faulty::new(disk.clone())), Policy::Interval(1));
    let writer = Writer::start(journal, listener).unwrap();
    let batch = Load::new(7).batch();
    let last = batch.last;
    writer.submit(batch);
    assert_eq!(told.recv().unwrap(), Told::Durable(last));
    while writer.stats().syncs.load(std::sync::atomic::Ordering::Relaxed) == 0 {
        std::thread::yield_now();
    }
    assert_eq!(disk.syncs(), 1);
    disk.cut_power(1);
    assert_eq!(State::of(&mut Faulty::new(disk)).unwrap().last, last);
    writer.close().unwrap();
}

#[test]
fn an_interval_syncs_in_time_and_once() {
    let disk = Disk::new();
    let mut journal = Journal::new(Box::new(Faulty::new(disk.clone())), Policy::Interval(100));
    let mut load = Load::new(6);
    let first = load.batch();
    assert!(!journal.write(std::slice::from_ref(&first), 1_000).unwrap());
    assert_eq!(journal.acknowledged(), first.last, "handed over is enough");
    assert_eq!((journal.synced(), journal.sync_due()), (0, Some(1_100)));
    journal.write(&[load.batch()], 1_099).unwrap();
    assert_eq!(journal.sync_due(), Some(1_100), "later writes do not move the sync");
    journal.sync().unwrap();
    assert_eq!((journal.synced(), journal.sync_due()), (journal.acknowledged(), None));
    assert_eq!(disk.syncs(), 1);
    journal.write(&[load.batch()], 1_200).unwrap();
    assert_eq!(journal.sync_due(), Some(1_300));
}

/// Hundreds of histories with power cuts: what was acknowledged is there, and
/// what is there is a state that existed.
#[test]
fn power_cuts_leave_whole_batches() {
    for seed in 0..300 {
        let disk = Disk::new();
        let mut load = Load::new(seed);
        let policy = match seed % 3 {
            0 => Policy::Always,
            1 => Policy::Interval(50),
            _ => Policy::Never,
        };
        let mut history: Vec<Batch> = Vec::new();
        for life in 0..3 {
            let mut journal = Journal::new(Box::new(Faulty::new(disk.clone())), policy);
            assert_eq!(journal.load(&mut |_| Ok(())).unwrap(), last_of(&history));
            let mut now = 0;
            for _ in 0..load.below(10) {
                let batches: Vec<Batch> = (0..1 + load.below(4)).map(|_| load.batch()).collect();
                journal.write(&batches, now).unwrap();
                history.extend(batches);
                now += load.below(40);
                if journal.sync_due().is_some_and(|due| due <= now) {
                    journal.sync().unwrap();
                }
            }
            let (acknowledged, synced) = (journal.acknowledged(), journal.synced());
            let killed = load.below(2) == 0;
            if killed {
                disk.kill()
            } else {
                disk.cut_power(seed * 8 + life)
            }
            let found = State::of(&mut Faulty::new(disk.clone())).unwrap();
            assert!(found.last >= synced, "seed {seed}: synced {synced}, found {}", found.last);
            if killed || policy == Policy::Always {
                assert!(found.last >= acknowledged, "seed {seed}: acknowledged {acknowledged}");
            }
            // The next life goes on from what is there.
            history.retain(|batch| batch.last <= found.last);
            assert_eq!(replay(&history), found, "seed {seed}: not a state that existed");
            load.forget_after(&found);
        }
    }
}
