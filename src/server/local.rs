//! Connections without a socket: what a local client and the loop share.
//!
//! The loop's side is a [`Mailslot`] per client; the client's side waits on it.
//! A local client that does not take its messages is treated like a peer that
//! does not read: the engine is told how much is buffered.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::app::{CommitSeq, ConnId};

/// The slot of all local connections; the transport's table never grows to it.
pub(super) const LOCAL_SLOT: u32 = u32::MAX;

/// Messages for one local client.
#[derive(Debug, Default)]
pub(super) struct Mailslot {
    state: Mutex<State>,
    arrived: Condvar,
}

#[derive(Debug, Default)]
struct State {
    messages: VecDeque<String>,
    bytes: usize,
    closed: Option<Closed>,
    /// The engine believes that so much is buffered that it wants to hear when
    /// it is not.
    report_drain: bool,
}

/// Why a local client gets nothing more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    /// The close code that a WebSocket client would see.
    pub code: u16,
    /// The reason that comes with it.
    pub reason: String,
}

impl Closed {
    pub(super) fn stopped() -> Self {
        Closed { code: 1001, reason: "server_shutting_down".into() }
    }
}

impl std::fmt::Display for Closed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "closed with {} {}", self.code, self.reason)
    }
}

impl std::error::Error for Closed {}

/// A message taken from a [`Mailslot`].
pub(super) struct Taken {
    pub text: String,
    /// The engine is to be told that the client has caught up.
    pub caught_up: bool,
}

impl Mailslot {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a message; returns the bytes that now wait.
    pub fn put(&self, text: String) -> usize {
        let mut state = self.lock();
        state.bytes += text.len();
        state.messages.push_back(text);
        self.arrived.notify_one();
        state.bytes
    }

    /// How much waits; with more than `mark` the client says when it has caught
    /// up.
    pub fn watch(&self, mark: usize) -> usize {
        let mut state = self.lock();
        state.report_drain = state.bytes > mark;
        state.bytes
    }

    /// How much waits.
    pub fn waiting_bytes(&self) -> usize {
        self.lock().bytes
    }

    /// Nothing more comes; the first reason stands.
    pub fn close(&self, closed: Closed) {
        self.lock().closed.get_or_insert(closed);
        self.arrived.notify_all();
    }

    /// The next message, waiting until `deadline` (for ever without one).
    /// `Ok(None)` when the time is over.
    pub fn take(&self, deadline: Option<Instant>) -> Result<Option<Taken>, Closed> {
        let mut state = self.lock();
        loop {
            if let Some(text) = state.messages.pop_front() {
                state.bytes = state.bytes.saturating_sub(text.len());
                let empty = state.messages.is_empty();
                let caught_up = empty && std::mem::take(&mut state.report_drain);
                return Ok(Some(Taken { text, caught_up }));
            }
            if let Some(closed) = &state.closed {
                return Err(closed.clone());
            }
            state = match deadline {
                None => self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left == Duration::ZERO {
                        return Ok(None);
                    }
                    let waited = self.arrived.wait_timeout(state, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }
}

/// The loop's side of one local client.
#[derive(Debug)]
pub(super) struct Local {
    pub id: ConnId,
    pub slot: Arc<Mailslot>,
    /// Requests that have not been handled yet.
    pub inbox: VecDeque<String>,
    /// The current request waits for a job.
    pub waiting: bool,
    /// Messages on their way, each with the number of the commit that it needs.
    pub held: VecDeque<(CommitSeq, String)>,
    /// The engine has ended the connection.
    pub closing: Option<Closed>,
}

impl Local {
    pub fn new(id: ConnId, slot: Arc<Mailslot>) -> Self {
        Local {
            id,
            slot,
            inbox: VecDeque::new(),
            waiting: false,
            held: VecDeque::new(),
            closing: None,
        }
    }
}

impl Drop for Local {
    /// Whoever waits for a message of a server that is gone waits in vain.
    fn drop(&mut self) {
        self.slot.close(Closed::stopped());
    }
}
