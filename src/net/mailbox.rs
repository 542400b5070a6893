//! What other threads may tell the loop: commands, results of jobs, how far the
//! log is durable.
//!
//! Owns the waker. Every message is taken in the turn after it was sent; the
//! loop is woken only for the first of several.

use super::certificates::Looked;
use super::shake::Shaken;
use crate::app::{CommitSeq, JobId, JobOutput, Now};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Something to be run with the app on the loop's thread.
pub type Command<A> = Box<dyn FnOnce(&mut A, Now) + Send>;

pub(super) enum Mail<A> {
    Run(Command<A>),
    Done(JobId, Result<JobOutput, String>),
    /// A step of a TLS handshake.
    Shaken(Box<Shaken>),
    /// The files of the certificate.
    Looked(Box<Looked>),
}

pub(super) struct Mailbox<A> {
    waker: Arc<mio::Waker>,
    /// `None` once the transport is gone.
    mail: Mutex<Option<Vec<Mail<A>>>>,
}

impl<A> Mailbox<A> {
    pub fn new(waker: Arc<mio::Waker>) -> Self {
        Mailbox { waker, mail: Mutex::new(Some(Vec::new())) }
    }

    pub fn post(&self, mail: Mail<A>) -> io::Result<()> {
        let mut guard = self.mail.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(list) = guard.as_mut() else {
            return Err(io::Error::new(io::ErrorKind::NotConnected, "the server has stopped"));
        };
        let is_first = list.is_empty();
        list.push(mail);
        drop(guard);
        if is_first { self.waker.wake() } else { Ok(()) }
    }

    pub fn take(&self) -> Vec<Mail<A>> {
        let mut guard = self.mail.lock().unwrap_or_else(PoisonError::into_inner);
        guard.as_mut().map(std::mem::take).unwrap_or_default()
    }

    pub fn close(&self) {
        let left = self.mail.lock().unwrap_or_else(PoisonError::into_inner).take();
        // Dropped after the lock is released: commands may own anything.
        drop(left);
    }
}

/// Speaks to a running transport from any thread.
pub struct Remote<A> {
    pub(super) mailbox: Arc<Mailbox<A>>,
}

impl<A> Clone for Remote<A> {
    fn clone(&self) -> Self {
        Remote { mailbox: self.mailbox.clone() }
    }
}

impl<A> std::fmt::Debug for Remote<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Remote")
    }
}

impl<A> Remote<A> {
    /// Runs `command` on the loop's thread in its next turn. Effects that it
    /// leaves in the app are performed like those of any other call.
    ///
    /// # Errors
    ///
    /// `NotConnected` when the transport is gone, or what waking the loop
    /// failed with. In the first case the command is dropped without having run.
    pub fn run(&self, command: impl FnOnce(&mut A, Now) + Send + 'static) -> io::Result<()> {
        self.mailbox.post(Mail::Run(Box::new(command)))
    }
}

/// How far the log is durable; held by whoever makes it so.
#[derive(Clone, Debug)]
pub struct Durability {
    durable: Arc<AtomicU64>,
    waker: Arc<mio::Waker>,
}

impl Durability {
    pub(super) fn new(initial: CommitSeq, waker: Arc<mio::Waker>) -> Self {
        Durability { durable: Arc::new(AtomicU64::new(initial)), waker }
    }

    /// Everything up to `seq` is durable: output that waits for it is released.
    ///
    /// # Errors
    ///
    /// What waking the loop failed with; the value is set nevertheless.
    pub fn raise(&self, seq: CommitSeq) -> io::Result<()> {
        if self.durable.fetch_max(seq, Ordering::AcqRel) < seq { self.waker.wake() } else { Ok(()) }
    }

    pub fn current(&self) -> CommitSeq {
        self.durable.load(Ordering::Acquire)
    }
}
