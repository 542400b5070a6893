//! The thread for slow pure functions. It knows a queue and a mailbox.

use super::counters::Counters;
use super::mailbox::{Mail, Mailbox};
use crate::app::{Job, JobOutput};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

/// One worker, started with its first job. How many jobs may wait is the
/// business of the app that makes them.
pub(super) struct Worker<A> {
    mailbox: Arc<Mailbox<A>>,
    counters: Arc<Counters>,
    queue: Option<Sender<Job>>,
}

impl<A: 'static> Worker<A> {
    pub fn new(mailbox: Arc<Mailbox<A>>, counters: Arc<Counters>) -> Self {
        Worker { mailbox, counters, queue: None }
    }

    /// Hands over a job. If there is no thread for it, that is its result.
    pub fn submit(&mut self, job: Job) {
        let id = job.id;
        self.counters.jobs_waiting.fetch_add(1, Relaxed);
        let failure = match self.queue() {
            Ok(queue) => match queue.send(job) {
                Ok(()) => return,
                Err(_) => "the worker thread has ended".to_owned(),
            },
            Err(error) => format!("cannot start the worker thread: {error}"),
        };
        self.counters.jobs_waiting.fetch_sub(1, Relaxed);
        log::error!("job {id}: {failure}");
        post(&self.mailbox, Mail::Done(id, Err(failure)));
    }

    fn queue(&mut self) -> io::Result<&Sender<Job>> {
        match &mut self.queue {
            Some(queue) => Ok(queue),
            empty => {
                let (sender, receiver) = channel();
                let (mailbox, counters) = (self.mailbox.clone(), self.counters.clone());
                thread::Builder::new()
                    .name("worker".to_owned())
                    .spawn(move || work(&receiver, &mailbox, &counters))?;
                Ok(empty.insert(sender))
            }
        }
    }
}

/// Where both run on one core, the loop comes first: a job takes tens of
/// milliseconds, a request microseconds.
#[cfg(target_os = "linux")]
pub(super) fn yield_to_the_loop() {
    // On Linux the priority is the thread's own.
    if let Err(error) = rustix::process::nice(10) {
        log::debug!("a thread keeps the priority of the loop: {error}");
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn yield_to_the_loop() {}

/// Ends when the queue's other side is dropped.
fn work<A>(jobs: &Receiver<Job>, mailbox: &Mailbox<A>, counters: &Counters) {
    yield_to_the_loop();
    for Job { id, run } in jobs {
        // A job owns what it works with: nothing of it is seen after a panic.
        let result = catch_unwind(AssertUnwindSafe(run)).map_err(|panic| text_of(&panic));
        counters.jobs_waiting.fetch_sub(1, Relaxed);
        post(mailbox, Mail::Done(id, result));
    }
}

fn post<A>(mailbox: &Mailbox<A>, mail: Mail<A>) {
    if let Err(error) = mailbox.post(mail) {
        log::warn!("the result of a job was not delivered: {error}");
    }
}

fn text_of(panic: &JobOutput) -> String {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_owned(),
        (None, Some(text)) => text.clone(),
        (None, None) => "panicked without a text".to_owned(),
    }
}
