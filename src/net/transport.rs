//! The transport as its owner sees it: made, told to listen, run, asked.

use super::accepting::{Accepting, Terms};
use super::address::{PerClient, TrustedProxy};
use super::certificates::{Certificates, Loaded};
use super::clock::Clock;
use super::counters::Counters;
use super::decode::Rules;
use super::entry::Entry;
use super::guard::Guard;
use super::handshakes::Handshakes;
use super::http::client::ClientFiles;
#[cfg(feature = "console")]
use super::http::console::ConsoleFiles;
use super::http::door::Doors;
use super::limits::{EVENTS, READ_BYTES};
use super::mailbox::{Durability, Mailbox, Remote};
use super::refusals::Refusals;
use super::rounds::Probing;
use super::sealing::Shared;
use super::signals::Signals;
use super::socket::Listening;
use super::spares::Spares;
use super::worker::Worker;
use crate::app::{App, AskHeld, CommitSeq, ConnId, Held, Now};
use crate::wheel::Wheel;
use mio::{Events, Poll, Token, Waker};
use slab::Slab;
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// What an operator may choose. The defaults are those of the configuration
/// file (config.md section 2).
#[derive(Clone, Debug)]
pub struct Options {
    /// Path of the WebSocket; begins with `/`.
    pub path: String,
    /// Path of the JavaScript client; `None` serves none.
    pub client_path: Option<String>,
    /// Paths of the HTTP door; `None`: it is closed.
    pub doors: Option<Doors>,
    /// Longest message of a client.
    pub max_payload_bytes: usize,
    /// From accepting a socket to its complete request head.
    pub handshake_timeout_ms: u64,
    /// From queueing a close frame (or an HTTP answer) to dropping the socket,
    /// whatever the peer does.
    pub close_timeout_ms: u64,
    /// With this much output queued a connection is not read.
    pub max_buffered_bytes: usize,
    /// Output of all connections together, see [`super::memory`].
    pub max_output_bytes: usize,
    /// Messages received in part, of all connections together.
    pub max_input_bytes: usize,
    /// It is read again below this share of `max_buffered_bytes`.
    pub high_water_mark: f64,
    /// Origins that may connect; `None` is all of them.
    pub allowed_origins: Option<Vec<String>>,
    /// `allowed_origins` is none because all are welcome, and pages are told so.
    pub welcomes_all_origins: bool,
    /// For a server without authentication that serves this machine only.
    pub guard: Option<Guard>,
    /// Sockets of all kinds; `None` is no limit.
    pub max_connections: Option<usize>,
    /// Open connections of one IPv4 address or IPv6 /64.
    pub max_connections_per_ip: Option<u32>,
    /// How long silent connections of an address at its limit have to answer; 0:
    /// newcomers are refused at once.
    pub per_ip_probe_ms: u64,
    /// Proxies whose word for the client's address is believed.
    pub trusted_proxies: Vec<TrustedProxy>,
    /// Output waits until [`Durability::raise`] has reached the commit that it
    /// needs; it begins with 0, so that the owner raises it to what recovery
    /// found. Otherwise nothing waits.
    pub gate_output: bool,
    /// The answer to a binary message; `None` closes with 1003, as the protocol
    /// has it. Exists for the echo server of the WebSocket test suites.
    pub binary: Option<BinaryAnswer>,
}

/// Makes the answer to a binary message.
pub type BinaryAnswer = fn(&[u8]) -> Vec<u8>;

impl Default for Options {
    fn default() -> Self {
        Options {
            path: "/".to_owned(),
            client_path: None,
            doors: None,
            max_payload_bytes: 1_048_576,
            handshake_timeout_ms: 10_000,
            close_timeout_ms: 5_000,
            max_buffered_bytes: 1_048_576,
            max_output_bytes: 256 << 20,
            max_input_bytes: 256 << 20,
            high_water_mark: 0.8,
            allowed_origins: None,
            welcomes_all_origins: false,
            guard: None,
            max_connections: None,
            max_connections_per_ip: None,
            per_ip_probe_ms: 1000,
            trusted_proxies: Vec::new(),
            gate_output: false,
            binary: None,
        }
    }
}

/// Whether there is a next turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Running {
    Continue,
    /// The app asked to stop and every connection is gone.
    Stopped,
}

/// An app and everything that connects it with the network.
pub struct Transport<A: App> {
    pub(super) app: A,
    pub(super) options: Options,
    pub(super) rules: Rules,
    /// The JavaScript client's files.
    pub(super) client: Option<ClientFiles>,
    #[cfg(feature = "console")]
    pub(super) console: Option<ConsoleFiles>,
    /// Below this many queued bytes a paused connection is read again.
    pub(super) threshold: f64,

    pub(super) poll: Poll,
    pub(super) events: Events,
    pub(super) clock: Clock,
    pub(super) now: Now,
    pub(super) wheel: Wheel<ConnId>,
    pub(super) expired: Vec<ConnId>,

    pub(super) accepting: Accepting,
    pub(super) table: Slab<Entry>,
    pub(super) next_generation: u32,
    pub(super) per_client: PerClient,
    pub(super) probing: Probing,
    /// Somebody was told of a proxy that is not trusted.
    pub(super) proxy_told: bool,
    /// What was told of refused handshakes.
    pub(super) refusals: Refusals,
    /// Nobody is looked for before this time who holds too much output.
    pub(super) output_again: Option<u64>,
    /// Input of all connections goes through here.
    pub(super) buffer: Vec<u8>,

    /// Buffers of outboxes.
    pub(super) spares: Spares,

    /// Slots with input to handle, in turn.
    pub(super) ready: VecDeque<u32>,
    /// Those whose requests cost much: at least one of them in every turn, and
    /// behind all others, so that many of them are not added up for one who
    /// asks for little.
    pub(super) heavy: VecDeque<u32>,
    /// Slots with output to write.
    pub(super) dirty: Vec<u32>,
    /// Slots whose output waits for a commit.
    pub(super) gated: Vec<ConnId>,
    /// Slots to be dropped when the turn ends.
    pub(super) doomed: Vec<u32>,
    /// Whose buffered bytes fell in this turn.
    pub(super) drained: Vec<ConnId>,

    pub(super) mailbox: Arc<Mailbox<A>>,
    pub(super) worker: Worker<A>,
    pub(super) handshakes: Handshakes<A>,
    pub(super) certificates: Option<Certificates>,
    pub(super) shared: Shared,
    pub(super) durability: Durability,
    /// Its value in this turn.
    pub(super) durable: CommitSeq,
    pub(super) signals: Option<SignalActions<A>>,
    pub(super) stop: Stop,
    pub(super) counters: Arc<Counters>,
}

/// What signals do.
pub(super) struct SignalActions<A> {
    pub signals: Signals,
    pub grace_ms: u64,
    pub reload: Reload<A>,
}

type Reload<A> = Box<dyn FnMut(&mut A, Now) + Send>;

/// How far the end is.
#[derive(Debug, Default)]
pub(super) struct Stop {
    /// A signal waits to be read.
    pub signal_arrived: bool,
    /// Stop signals so far.
    pub signals: u32,
    /// New connections are refused.
    pub accepts_no_more: bool,
    /// The loop ends at this time at the latest.
    pub deadline: Option<u64>,
    /// Closing handshakes are not waited for.
    pub at_once: bool,
}

/// Tokens above all slots of the table.
pub(super) const WAKER: Token = Token(usize::MAX);
pub(super) const STOP_SIGNAL: Token = Token(usize::MAX - 1);
pub(super) const RELOAD_SIGNAL: Token = Token(usize::MAX - 2);

impl<A: App + 'static> Transport<A> {
    /// # Errors
    ///
    /// When the system gives no poll, no waker or no spare descriptor.
    pub fn new(options: Options, app: A) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let clock = Clock::new();
        let now = clock.now();
        let mailbox = Arc::new(Mailbox::new(waker.clone()));
        let initial = if options.gate_output { 0 } else { CommitSeq::MAX };
        let counters = Arc::new(Counters::default());
        Ok(Transport {
            app,
            rules: Rules {
                max_payload_bytes: options.max_payload_bytes as u64,
                accept_binary: options.binary.is_some(),
            },
            client: options.client_path.as_deref().map(ClientFiles::new),
            #[cfg(feature = "console")]
            console: None,
            threshold: options.max_buffered_bytes as f64 * options.high_water_mark,
            poll,
            events: Events::with_capacity(EVENTS),
            clock,
            now,
            wheel: Wheel::new(now.mono),
            expired: Vec::new(),
            accepting: Accepting::new()?,
            table: Slab::new(),
            next_generation: 0,
            per_client: PerClient::new(options.max_connections_per_ip),
            probing: Probing::default(),
            proxy_told: false,
            refusals: Refusals::default(),
            output_again: None,
            buffer: vec![0; READ_BYTES],
            spares: Spares::default(),
            ready: VecDeque::new(),
            heavy: VecDeque::new(),
            dirty: Vec::new(),
            gated: Vec::new(),
            doomed: Vec::new(),
            drained: Vec::new(),
            worker: Worker::new(mailbox.clone(), counters.clone()),
            handshakes: Handshakes::new(mailbox.clone()),
            certificates: None,
            shared: Shared::default(),
            mailbox,
            durability: Durability::new(initial, waker),
            durable: initial,
            signals: None,
            stop: Stop::default(),
            counters,
            options,
        })
    }

    /// Listens on one more address; returns the actual one (port 0 becomes a
    /// free port).
    ///
    /// # Errors
    ///
    /// What binding failed with.
    pub fn listen(&mut self, address: SocketAddr) -> io::Result<SocketAddr> {
        let socket = Listening::bind(address)?;
        let actual = socket.address().unwrap_or(address);
        self.take_over(socket, Terms::default())?;
        Ok(actual)
    }

    /// Takes connections from a socket that listens already.
    ///
    /// # Errors
    ///
    /// When it cannot be watched.
    pub fn take_over(&mut self, socket: Listening, terms: Terms) -> io::Result<()> {
        self.accepting.listen(self.poll.registry(), socket, terms)
    }

    /// What listeners speak TLS with; its files are looked at again when a
    /// signal says so, and every minute.
    pub fn certify(&mut self, loaded: Loaded) {
        self.counters.tls_not_after.store(loaded.certificate.not_after(), Relaxed);
        self.certificates = Some(Certificates::new(loaded, self.now.mono));
    }

    /// From now on only pages and names of this machine are let in.
    pub fn guard(&mut self, guard: Guard) {
        self.options.guard = Some(guard);
    }

    /// From now on the web console is served.
    #[cfg(feature = "console")]
    pub fn serve_console(&mut self, files: ConsoleFiles) {
        self.console = Some(files);
    }

    /// From now on `SIGINT` and `SIGTERM` begin a shutdown with `grace_ms`; the
    /// second skips the rest of the grace period and the third the wait for
    /// closing handshakes. `SIGHUP` calls `reload`.
    ///
    /// # Errors
    ///
    /// When the handlers cannot be installed.
    pub fn handle_signals(
        &mut self,
        grace_ms: u64,
        reload: impl FnMut(&mut A, Now) + Send + 'static,
    ) -> io::Result<()> {
        let signals = Signals::new(self.poll.registry(), STOP_SIGNAL, RELOAD_SIGNAL)?;
        self.signals = Some(SignalActions { signals, grace_ms, reload: Box::new(reload) });
        Ok(())
    }

    /// Turns until the app has stopped.
    ///
    /// # Errors
    ///
    /// Only what polling fails with; sockets that fail are dropped.
    pub fn run(&mut self) -> io::Result<()> {
        while self.poll_once(None)? == Running::Continue {}
        Ok(())
    }

    /// One turn. Sleeps until something happens, a deadline is reached or
    /// `timeout` is over.
    ///
    /// # Errors
    ///
    /// As [`Transport::run`].
    pub fn poll_once(&mut self, timeout: Option<Duration>) -> io::Result<Running> {
        self.turn(timeout)
    }

    pub fn app(&self) -> &A {
        &self.app
    }

    /// What the app leaves in its effects is performed in the next turn.
    pub fn app_mut(&mut self) -> &mut A {
        &mut self.app
    }

    /// For other threads.
    pub fn remote(&self) -> Remote<A> {
        Remote { mailbox: self.mailbox.clone() }
    }

    /// For the storage thread. Of no use without [`Options::gate_output`].
    pub fn durability(&self) -> Durability {
        self.durability.clone()
    }

    /// Whom an app asks for what all connections together hold.
    pub fn held(&self) -> AskHeld {
        let counters = self.counters.clone();
        let limits = [self.options.max_output_bytes, self.options.max_input_bytes];
        let [output, input] = limits.map(|limit| limit as u64);
        Box::new(move || {
            let counters = &counters;
            let held = |used: &AtomicU64, limit, reached: &AtomicU64| Held {
                used: used.load(Relaxed),
                limit,
                reached: reached.load(Relaxed),
            };
            [
                held(&counters.outbox_bytes, output, &counters.output_limit_reached),
                held(&counters.input_bytes, input, &counters.input_limit_reached),
            ]
        })
    }

    pub fn counters(&self) -> Arc<Counters> {
        self.counters.clone()
    }
}

impl<A: App> Drop for Transport<A> {
    fn drop(&mut self) {
        self.mailbox.close();
    }
}

/// Raises the soft limit of open files to the hard one, if that is permitted (a
/// service manager may filter the call); returns what is in force.
///
/// # Errors
///
/// What the system refused with.
pub fn raise_open_files_limit() -> io::Result<u64> {
    rlimit::increase_nofile_limit(u64::MAX).or_else(|error| {
        let soft = rlimit::Resource::NOFILE.get_soft()?;
        log::debug!("the limit of open files stays {soft}: {error}");
        Ok(soft)
    })
}
