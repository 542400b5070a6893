//! What other threads hold of a server.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::hosted::Hosted;
use super::local::{Closed, LOCAL_SLOT, Local, Mailslot};
use crate::app::{App, ConnId};
use crate::engine::metrics_table::MetricsSnapshot;
use crate::net::{Counters, Remote};
use crate::storage::StorageStats;

/// What the server and its handles share.
#[derive(Debug)]
pub(super) struct Shared {
    pub address: SocketAddr,
    pub url: String,
    pub started: Instant,
    pub running: AtomicBool,
    next_client: AtomicU32,
    pub counters: Arc<Counters>,
    /// `None` without storage.
    pub storage: Option<Arc<StorageStats>>,
}

impl Shared {
    pub fn new(
        (address, url): (SocketAddr, String),
        counters: Arc<Counters>,
        storage: Option<Arc<StorageStats>>,
    ) -> Self {
        Shared {
            address,
            url,
            started: Instant::now(),
            running: AtomicBool::new(true),
            next_client: AtomicU32::new(0),
            counters,
            storage,
        }
    }

    pub fn next_id(&self) -> ConnId {
        let generation = self.next_client.fetch_add(1, Ordering::Relaxed);
        ConnId { slot: LOCAL_SLOT, generation }
    }
}

/// Speaks to a running server from any thread: stops it, asks it, and sends it
/// requests as a local client.
///
/// A local client is a part of the program, not a peer: it is not asked to log
/// in, no permission and no rate limit applies to it, and its requests and
/// responses never pass a socket. Otherwise it is a client like all others.
///
/// The methods that wait for an answer must not be called on the thread that
/// runs the server: they would wait for themselves. There, use
/// [`Server::request`](super::Server::request).
#[derive(Clone, Debug)]
pub struct Handle {
    pub(super) remote: Remote<Hosted>,
    pub(super) shared: Arc<Shared>,
}

/// The server has stopped, or stopped before it answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped;

impl std::fmt::Display for Stopped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the server has stopped")
    }
}

impl std::error::Error for Stopped {}

/// Why [`Handle::call`] has no result.
#[derive(Clone, Debug, PartialEq)]
pub enum CallError {
    /// The operation failed; code, message and details as a client sees them.
    Refused {
        /// One of [`ErrorCode`](crate::ErrorCode), as text.
        code: String,
        /// For people.
        message: String,
        /// For programs; depends on the code.
        details: Option<Value>,
    },
    /// See [`Stopped`].
    Stopped,
}

impl std::fmt::Display for CallError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            CallError::Refused { code, message, .. } => write!(f, "{code}: {message}"),
            CallError::Stopped => Stopped.fmt(f),
        }
    }
}

impl std::error::Error for CallError {}

impl From<Stopped> for CallError {
    fn from(_: Stopped) -> Self {
        CallError::Stopped
    }
}

impl Handle {
    /// What the storage has done so far; `None` while data lives in memory only.
    pub fn storage_stats(&self) -> Option<Arc<StorageStats>> {
        self.shared.storage.clone()
    }

    /// Begins to stop the server: no new connections, clients are told and have
    /// `grace` to leave, then they are closed. Returns at once; the loop ends
    /// when all of that is done. A second call cuts the grace period short.
    ///
    /// # Errors
    ///
    /// The server has stopped already.
    pub fn stop(&self, grace: Duration) -> Result<(), Stopped> {
        let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        self.run(move |app, now| app.shutdown(grace_ms, now))
    }

    /// All metrics at this moment, whether they are served or not.
    ///
    /// # Errors
    ///
    /// The server has stopped.
    pub fn metrics(&self) -> Result<MetricsSnapshot, Stopped> {
        let (send, receive) = std::sync::mpsc::channel();
        self.run(move |hosted, _| {
            // Whoever asked may have gone.
            let _ = send.send(hosted.engine.metrics_snapshot(|_| true));
        })?;
        receive.recv().map_err(|_| Stopped)
    }

    /// The connections that have most waiting for them, at most so many, as
    /// `server.top` shows them.
    ///
    /// # Errors
    ///
    /// The server has stopped.
    pub fn top(&self, limit: usize) -> Result<Value, Stopped> {
        self.ask(move |app, _| Value::from(&app.engine.top_by_buffered(limit)))
    }

    /// The live views that have cost most, at most so many, as `server.views` shows
    /// them.
    ///
    /// # Errors
    ///
    /// The server has stopped.
    pub fn views(&self, limit: usize) -> Result<Value, Stopped> {
        self.ask(move |app, _| Value::from(&app.engine.views_by_cost(limit)))
    }

    /// What needs attention, as `server.insights` shows it.
    ///
    /// # Errors
    ///
    /// The server has stopped.
    pub fn insights(&self) -> Result<Value, Stopped> {
        self.ask(|app, _| Value::from(&app.engine.insights()))
    }

    /// What the transport has counted: connections, bytes, the length of turns.
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.shared.counters)
    }

    /// Whether the loop has not ended.
    pub fn is_running(&self) -> bool {
        self.shared.running.load(Ordering::Acquire)
    }

    /// The URL of the WebSocket endpoint, as [`Server::url`](super::Server::url).
    pub fn url(&self) -> &str {
        &self.shared.url
    }

    /// The address that the server listens on.
    pub fn local_addr(&self) -> SocketAddr {
        self.shared.address
    }

    /// The port that the server listens on, the free one if port 0 was asked
    /// for.
    pub fn port(&self) -> u16 {
        self.shared.address.port()
    }

    /// Sends one request, a message of the protocol as JSON text, and waits for
    /// its response, the text of a `result` or `error` message.
    ///
    /// Subscriptions end with the client that made them, so they need a client
    /// that stays: [`Handle::connect`].
    ///
    /// # Errors
    ///
    /// The server stopped before it answered.
    pub fn request(&self, message: impl Into<String>) -> Result<String, Stopped> {
        Self::answer(&self.connect()?, message.into())
    }

    pub(super) fn answer(client: &LocalClient, message: String) -> Result<String, Stopped> {
        client.send(message)?;
        loop {
            match client.receive() {
                // What begins otherwise is a notice, such as that of a shutdown.
                Ok(text) if text.starts_with("{\"id\":") => return Ok(text),
                Ok(_) => {}
                Err(_) => return Err(Stopped),
            }
        }
    }

    /// Runs one operation with these fields and returns its `data`.
    ///
    /// # Errors
    ///
    /// The operation's own, or the server stopped before it answered.
    pub fn call(&self, operation: &str, fields: Value) -> Result<Value, CallError> {
        let response = self.request(request_text(operation, fields))?;
        response_data(&response)
    }

    /// As [`Handle::call`], for work that may cost more than a request may
    /// (`limits.requestSteps`, `limits.maxReplyBytes`): everybody else waits as
    /// long as it takes.
    ///
    /// # Errors
    ///
    /// Those of [`Handle::call`].
    pub fn call_unlimited(&self, operation: &str, fields: Value) -> Result<Value, CallError> {
        let client = self.connect_with(true)?;
        response_data(&Self::answer(&client, request_text(operation, fields))?)
    }

    /// Connects a local client that stays, for subscriptions or for many
    /// requests at once.
    ///
    /// # Errors
    ///
    /// The server has stopped.
    pub fn connect(&self) -> Result<LocalClient, Stopped> {
        self.connect_with(false)
    }

    fn connect_with(&self, unlimited: bool) -> Result<LocalClient, Stopped> {
        let (id, slot) = (self.shared.next_id(), Arc::new(Mailslot::default()));
        // Dropped unopened, it tells the client that there is no server.
        let local = Local::new(id, slot.clone());
        self.run(move |app, now| app.open(local, unlimited, now))?;
        Ok(LocalClient { handle: self.clone(), id, slot })
    }

    /// The data of `server.stats`, with `host`, `port` and `uptimeMs`.
    ///
    /// # Errors
    ///
    /// As [`Handle::call`].
    pub fn stats(&self) -> Result<Value, CallError> {
        let mut stats = self.call("server.stats", Value::Null)?;
        if let Value::Object(members) = &mut stats {
            let uptime = u64::try_from(self.shared.started.elapsed().as_millis());
            members.insert("host".into(), self.shared.address.ip().to_string().into());
            members.insert("port".into(), self.port().into());
            members.insert("uptimeMs".into(), uptime.unwrap_or(u64::MAX).into());
        }
        Ok(stats)
    }

    /// The rows of `server.connections`, without the one that asks.
    ///
    /// # Errors
    ///
    /// As [`Handle::call`].
    pub fn connections(&self) -> Result<Vec<Value>, CallError> {
        match self.call("server.connections", Value::Null)? {
            // In connect order, so the one that asks is the last.
            Value::Array(mut rows) => {
                rows.pop();
                Ok(rows)
            }
            _ => Ok(Vec::new()),
        }
    }

    /// The number of open connections, local clients that stay included.
    ///
    /// # Errors
    ///
    /// The server has stopped.
    pub fn connection_count(&self) -> Result<usize, Stopped> {
        let (answer, answered) = std::sync::mpsc::sync_channel(1);
        self.run(move |app, _| {
            // Nobody listens if the asking thread is gone.
            let _ = answer.send(app.engine.connection_count());
        })?;
        answered.recv().map_err(|_| Stopped)
    }

    /// Answers a call that a [`RuleService`](crate::rules::RuleService) took
    /// with [`ServiceReply::Later`](crate::rules::ServiceReply::Later): the
    /// execution that waits for it goes on. Nothing happens if it does not wait
    /// any more.
    ///
    /// # Errors
    ///
    /// The server has stopped.
    pub fn answer_rule_call(
        &self,
        ticket: crate::rules::Ticket,
        result: Result<Value, String>,
    ) -> Result<(), Stopped> {
        self.run(move |app, now| {
            app.answer_rule_call(ticket, result.map(crate::json::Json::from), now);
        })
    }

    pub(super) fn run(
        &self,
        command: impl FnOnce(&mut Hosted, crate::app::Now) + Send + 'static,
    ) -> Result<(), Stopped> {
        self.remote.run(command).map_err(|error| {
            if error.kind() != std::io::ErrorKind::NotConnected {
                log::error!("waking the loop: {error}");
            }
            Stopped
        })
    }
}

/// The text of a request; `fields` is an object or null.
pub(super) fn request_text(operation: &str, fields: Value) -> String {
    let mut members = match fields {
        Value::Object(members) => members,
        _ => serde_json::Map::new(),
    };
    members.insert("id".into(), 1.into());
    members.insert("type".into(), operation.into());
    Value::Object(members).to_string()
}

/// What a response says.
pub(super) fn response_data(response: &str) -> Result<Value, CallError> {
    let mut message: Value = serde_json::from_str(response).unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    if message["type"] == "result" {
        return Ok(message["data"].take());
    }
    Err(CallError::Refused {
        code: text(&message["code"]),
        message: text(&message["message"]),
        details: Some(message["details"].take()).filter(|details| !details.is_null()),
    })
}

/// A client inside the process, made by [`Handle::connect`]. It sends messages
/// of the protocol and receives responses, pushes and system messages, in the
/// order and with the guarantees that a client over a socket has; it gets no
/// `welcome` and no `ping`. Dropping it ends its subscriptions.
#[derive(Debug)]
pub struct LocalClient {
    handle: Handle,
    id: ConnId,
    slot: Arc<Mailslot>,
}

impl LocalClient {
    /// Sends one message, without waiting for anything.
    ///
    /// # Errors
    ///
    /// The server has stopped.
    pub fn send(&self, message: impl Into<String>) -> Result<(), Stopped> {
        let (id, text) = (self.id, message.into());
        self.handle.run(move |app, now| app.submit(id, text, now))
    }

    /// The next message; waits for it.
    ///
    /// # Errors
    ///
    /// The server has closed this client; nothing more comes.
    pub fn receive(&self) -> Result<String, Closed> {
        loop {
            if let Some(text) = self.take(None)? {
                return Ok(text);
            }
        }
    }

    /// The next message, or `None` if none comes within `timeout`; a timeout of
    /// zero does not wait.
    ///
    /// # Errors
    ///
    /// As [`LocalClient::receive`].
    pub fn receive_timeout(&self, timeout: Duration) -> Result<Option<String>, Closed> {
        self.take(Instant::now().checked_add(timeout))
    }

    fn take(&self, deadline: Option<Instant>) -> Result<Option<String>, Closed> {
        let Some(taken) = self.slot.take(deadline)? else { return Ok(None) };
        if taken.caught_up {
            let id = self.id;
            // A server that is gone pushes nothing that was held back.
            let _ = self.handle.run(move |app, now| app.caught_up(id, now));
        }
        Ok(Some(taken.text))
    }
}

impl Drop for LocalClient {
    fn drop(&mut self) {
        let id = self.id;
        // A server that is gone has nothing to forget.
        let _ = self.handle.run(move |app, now| app.leave(id, now));
    }
}
