//! The seam between the transport and whatever is served over it.
//!
//! [`crate::net`] owns sockets, frames and clocks and knows nothing of the
//! protocol; an [`App`] knows the protocol and never sees a socket, a file or a
//! clock. The transport tells the app what happened and with which time; the
//! app answers with [`Effects`], which the transport drains after every call.
//! The engine is the app of the server; the echo example and the simulation
//! are others.

use crate::address::Address;
use std::ops::Range;
use std::sync::Arc;

/// The time of an event, always an argument, never asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Now {
    /// Milliseconds on the monotonic clock since an arbitrary start. Timers use it.
    pub mono: u64,
    /// Unix time in milliseconds. What clients see.
    pub wall: u64,
}

/// Names one connection for ever: the slot of the transport's slab and a
/// generation, so that an event for an earlier owner of a slot is recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId {
    pub slot: u32,
    pub generation: u32,
}

/// What the transport knows of a peer when the upgrade is complete.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Behind a trusted proxy, the proxy's word for it.
    pub address: Address,
    /// `User-Agent` of the handshake, cut to 256 characters.
    pub user_agent: Option<String>,
    /// The listener that it came to.
    pub listener: Option<Arc<str>>,
    /// `None`: it speaks plainly.
    pub tls: Option<Box<TlsPeer>>,
}

impl Peer {
    /// One of whom nothing else is known.
    pub fn of(address: Address) -> Peer {
        Peer { address, user_agent: None, listener: None, tls: None }
    }
}

/// What a handshake has shown of a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsPeer {
    /// `1.2` or `1.3`.
    pub version: &'static str,
    /// SHA-256 of the certificate that it has shown, in hexadecimal digits.
    pub client_certificate: Option<String>,
}

/// What became of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Feed the next message of this connection.
    Continue,
    /// The message waits for a background job: feed nothing more of this
    /// connection until [`Effect::Resume`].
    Wait,
}

/// Identifies a background job; never reused.
pub type JobId = u64;

/// A slow pure function (password hashing, an embedder's validator) that runs
/// on the worker thread; its result comes back through [`App::job_done`].
pub struct Job {
    pub id: JobId,
    pub run: Box<dyn FnOnce() -> JobOutput + Send>,
}

/// What a job returns; the app that made the job knows the type. A job that
/// panicked yields `Err` with the panic's text.
pub type JobOutput = Box<dyn std::any::Any + Send>;

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Job").field("id", &self.id).finish_non_exhaustive()
    }
}

/// The number of a commit. Output is tagged with the newest commit that it
/// reveals and leaves when that commit is durable; 0 depends on nothing.
pub type CommitSeq = u64;

/// What a probe takes of a connection's output: the header and the number.
pub const PROBE_FRAME_BYTES: usize = 10;

/// Something the app wants done.
#[derive(Debug)]
pub enum Effect {
    /// One text message: `head`, then `body`, then `tail`, where head and tail
    /// are ranges of [`Effects::bytes`] and the body is shared with other
    /// connections.
    Send {
        conn: ConnId,
        head: Range<usize>,
        body: Option<Arc<[u8]>>,
        tail: Range<usize>,
        needs: CommitSeq,
    },
    /// Close after everything queued so far; nothing more is read or sent.
    /// The app has already forgotten the connection.
    Close { conn: ConnId, code: u16, reason: &'static str },
    /// Close without the output that waits for a commit: that commit will never
    /// be durable. The app has already forgotten the connection.
    Abandon { conn: ConnId, code: u16, reason: &'static str },
    /// The job that held this connection back is finished.
    Resume { conn: ConnId },
    /// Ask the peer for a sign of life behind everything queued so far: a
    /// WebSocket ping of [`PROBE_FRAME_BYTES`] that carries the number. Its pong
    /// comes back through [`App::probed`].
    Probe { conn: ConnId, number: u64, needs: CommitSeq },
    /// Answers a call, for good. The app has already forgotten the connection.
    Answer { conn: ConnId, answer: Box<CallAnswer>, needs: CommitSeq },
    /// A call is answered by a stream: what is sent to the connection from now on
    /// are bytes of server-sent events, and a close ends it.
    Stream { conn: ConnId },
    /// Run this on the worker.
    Job(Job),
    /// Close the listener; new connections are refused from now on.
    StopAccepting,
    /// Everything is finished: leave the loop after flushing.
    Stop,
}

/// The effects of one call, drained by the transport. The bytes of small
/// messages lie in one arena that is reused, so that a response costs no
/// allocation.
#[derive(Debug, Default)]
pub struct Effects {
    pub list: Vec<Effect>,
    pub bytes: Vec<u8>,
}

/// A position to go back to: what a failed handler has queued is taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EffectsMark {
    list: usize,
    bytes: usize,
}

impl Effects {
    pub fn clear(&mut self) {
        self.list.clear();
        self.bytes.clear();
    }

    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub fn mark(&self) -> EffectsMark {
        EffectsMark { list: self.list.len(), bytes: self.bytes.len() }
    }

    /// Takes back everything queued since `mark`.
    pub fn rollback(&mut self, mark: EffectsMark) {
        self.list.truncate(mark.list);
        self.bytes.truncate(mark.bytes);
    }

    /// Queues one message that is a buffer of its own, without a copy where
    /// nothing was queued before it; returns its length in bytes.
    pub fn send_whole(&mut self, conn: ConnId, text: &mut Vec<u8>, needs: CommitSeq) -> usize {
        if !self.bytes.is_empty() {
            return self.send(conn, text, None, b"", needs);
        }
        std::mem::swap(&mut self.bytes, text);
        let end = self.bytes.len();
        self.list.push(Effect::Send { conn, head: 0..end, body: None, tail: end..end, needs });
        end
    }

    /// Queues one message; returns its length in bytes.
    pub fn send(
        &mut self,
        conn: ConnId,
        head: &[u8],
        body: Option<&Arc<[u8]>>,
        tail: &[u8],
        needs: CommitSeq,
    ) -> usize {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(head);
        let middle = self.bytes.len();
        self.bytes.extend_from_slice(tail);
        let end = self.bytes.len();
        let body_len = body.map_or(0, |body| body.len());
        self.list.push(Effect::Send {
            conn,
            head: start..middle,
            body: body.cloned(),
            tail: middle..end,
            needs,
        });
        head.len() + body_len + tail.len()
    }
}

/// What the app may ask the transport about a connection while timers run.
pub trait TransportView {
    /// Input of this connection has arrived and has not been handled yet, in
    /// the transport's buffer or, as far as it knows, in the socket's.
    fn has_unread_input(&self, conn: ConnId) -> bool;
    /// The transport is not reading this connection because it does not read
    /// its output.
    fn is_read_paused(&self, conn: ConnId) -> bool;
    /// Monotonic time at which the socket last took some output.
    fn last_output_progress(&self, conn: ConnId) -> u64;
    /// Since this monotonic time bytes of a message arrived that is not complete
    /// yet, or some of the output moved for which the socket had no room.
    fn is_amid_transfer(&self, _conn: ConnId, _since: u64) -> bool {
        false
    }
    /// There is output for which the socket has no room.
    fn is_blocked(&self, _conn: ConnId) -> bool {
        false
    }
}

/// A transport in which nothing ever waits: for benches and fuzzers, whose
/// connections read everything at once.
#[derive(Clone, Copy, Debug)]
pub struct NobodyWaits;

impl TransportView for NobodyWaits {
    fn has_unread_input(&self, _: ConnId) -> bool {
        false
    }

    fn is_read_paused(&self, _: ConnId) -> bool {
        false
    }

    fn last_output_progress(&self, _: ConnId) -> u64 {
        0
    }
}

/// A limit on what all connections together hold in the transport, for those who
/// show it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    pub used: u64,
    pub limit: u64,
    /// How many connections it has cost.
    pub reached: u64,
}

/// Asks the transport for unsent output and unfinished input.
pub type AskHeld = Box<dyn Fn() -> [Held; 2] + Send>;

/// A plain `GET` or `HEAD`.
#[derive(Clone, Copy, Debug)]
pub struct HttpRequest<'a> {
    pub path: &'a str,
    pub address: Address,
    /// From a program of this machine, and through no proxy that nobody knows.
    pub is_local: bool,
    /// It came to the listener for metrics and probes alone.
    pub is_apart: bool,
    /// Why everything but probes is refused: a page of elsewhere asks.
    pub foreign: Option<&'static str>,
    pub authorization: Option<&'a [u8]>,
}

/// What is answered to a plain HTTP request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpAnswer {
    pub status: u16,
    pub content_type: &'static str,
    pub body: Vec<u8>,
}

/// A request through the HTTP door: a connection of its own (docs/http.md).
#[derive(Debug)]
pub struct Call<'a> {
    pub peer: Peer,
    pub authorization: Option<&'a [u8]>,
    pub what: Asked<'a>,
}

/// What a call asks for.
#[derive(Debug)]
pub enum Asked<'a> {
    /// To have the messages of a body handled.
    Messages(Vec<u8>),
    /// To be told of a live query; `query` is what stands behind `?` in the
    /// request's target.
    Events { query: &'a str, last_event_id: Option<&'a [u8]> },
}

/// What is answered to a call that is no stream. The body is JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallAnswer {
    pub status: u16,
    /// Header fields beside the usual ones, each with its end of line.
    pub fields: String,
    pub body: Vec<u8>,
}

/// A state machine without I/O. Every call may leave effects behind.
///
/// The transport promises: `message`, `wrote`, `probed` and `closed` only for connections
/// announced by `connected` or `called` and not yet ended by [`Effect::Close`],
/// [`Effect::Answer`] or `closed`.
pub trait App {
    /// The upgrade is complete. The app answers with a welcome or with a close.
    fn connected(&mut self, conn: ConnId, peer: &Peer, now: Now);
    /// One complete text message.
    fn message(&mut self, conn: ConnId, text: &str, now: Now) -> Flow;
    /// A call has arrived. What it asks for is done by [`App::go_on`], which is
    /// called until it has been answered or has become a stream.
    fn called(&mut self, conn: ConnId, _call: Call<'_>, _now: Now) {
        let answer = CallAnswer { status: 501, ..CallAnswer::default() };
        self.effects().list.push(Effect::Answer { conn, answer: Box::new(answer), needs: 0 });
    }
    /// The next step of a call, such as one of its messages.
    fn go_on(&mut self, _conn: ConnId, _now: Now) -> Flow {
        Flow::Continue
    }
    /// The peer closed, was lost, or broke the frame protocol: forget it.
    fn closed(&mut self, conn: ConnId, now: Now);
    /// The same, with the close code that it is counted under, and why.
    fn ended(&mut self, conn: ConnId, _code: u16, _why: &'static str, now: Now) {
        self.closed(conn, now);
    }
    /// The socket took output; `buffered` bytes are still queued. Called when
    /// `buffered` fell, at most once per connection and turn.
    fn wrote(&mut self, conn: ConnId, buffered: usize, now: Now);
    /// A pong with this number has arrived. Peers may send any, at any time.
    fn probed(&mut self, _conn: ConnId, _number: u64, _now: Now) {}
    /// The earliest monotonic time at which `timers` has something to do.
    fn next_deadline(&self) -> Option<u64>;
    /// Time has passed.
    fn timers(&mut self, now: Now, view: &dyn TransportView);
    /// Everything that had arrived in this turn is handled: what belongs
    /// together, such as the commits to be logged, can be handed over now.
    fn turn_ended(&mut self, _now: Now) {}
    /// Whether more messages are welcome. Asked in every turn; while it is
    /// false nothing is read, so that what could not be worked off yet waits in
    /// the sockets of those who sent it.
    fn takes_messages(&self) -> bool {
        true
    }
    /// A job has finished.
    fn job_done(&mut self, id: JobId, output: Result<JobOutput, String>, now: Now);
    /// Begin to stop: announce, wait for `grace_ms`, close everyone.
    fn shutdown(&mut self, grace_ms: u64, now: Now);
    /// The answer to a plain request, if the app has one.
    fn http(&mut self, request: &HttpRequest<'_>, now: Now) -> Option<HttpAnswer>;
    /// What the calls since the last drain want done.
    fn effects(&mut self) -> &mut Effects;
}
