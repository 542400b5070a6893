//! A server as a program that embeds it sees it: built, run, spoken to.
//!
//! Owns putting the parts together: one configuration in, engine and transport
//! out. Must not know how requests are handled.
//!
//! Three ways to run one:
//!
//! - [`Server::run`] until it is stopped, by a signal or by a [`Handle`];
//! - [`Server::poll_once`] from a program that has a loop of its own;
//! - [`Server::start`] on a thread of its own.
//!
//! Files from the ground up; each imports only what stands above its line:
//!
//! 1. `definitions`, `exit`, `listen/passed`, `listen/unix`, `local`, `memory`, `rules`,
//!    `service`, `tls`, `world`
//! 2. `hosted`, `logic`, `procedures`, `sets`, `start_error`
//! 3. `console`, `durable`, `handle`, `hooks`
//! 4. `administration`, `asking`, `assemble`, `listen`, `offline`, `threaded`
//! 5. `check`
//! 6. `builder`

mod administration;
mod asking;
mod assemble;
mod builder;
mod check;
#[cfg(feature = "console")]
mod console;
mod definitions;
mod durable;
#[doc(hidden)]
pub mod exit;
mod handle;
mod hooks;
mod hosted;
mod listen;
mod local;
mod logic;
mod memory;
#[cfg(feature = "sqlite")]
mod offline;
mod procedures;
mod rules;
mod service;
mod sets;
mod start_error;
mod threaded;
mod tls;
mod world;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

pub use asking::{Ask, Live, RowRules};
pub use builder::Builder;
#[doc(hidden)]
pub use check::check_definitions;
pub use handle::{CallError, Handle, LocalClient, Stopped};
pub use local::Closed;
#[cfg(feature = "sqlite")]
pub(crate) use offline::{Offline, claim};
pub use start_error::StartError;
pub use threaded::ServerThread;
#[doc(hidden)]
pub use tls::check_files;

pub use crate::engine::metrics_table::{
    Histogram, Labels, MetricFamily, MetricKind, MetricValue, MetricsSnapshot,
};
pub use crate::net::{Counters, TURN_BOUNDS};
pub use crate::storage::{DURATION_BOUNDS, StorageErrorKind, StorageStats};

use crate::config::{Config, ConfigError};
use crate::net::{Running, Transport};
use crate::query::{Incremental, IncrementalQuery, Plain, Program, Query};
use durable::Durable;
use handle::Shared;
use hooks::Hooks;
use hosted::Hosted;
use service::{Loading, Notifier, Service};

/// A server that listens. Nothing happens while nobody runs it.
///
/// # Example
///
/// ```
/// use std::time::Duration;
/// use noexd::Server;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut server = Server::builder().host("127.0.0.1").port(0).build()?;
/// println!("listening on {}", server.url());
///
/// let handle = server.handle();
/// let other = std::thread::spawn(move || {
///     let stats = handle.stats().expect("the server answers");
///     handle.stop(Duration::ZERO).expect("the server still runs");
///     stats
/// });
/// server.run()?;
/// assert_eq!(other.join().unwrap()["name"], "noex-server");
/// # Ok(())
/// # }
/// ```
pub struct Server {
    transport: Transport<Hosted>,
    shared: Arc<Shared>,
    reached: listen::Reached,
    /// `None` without storage, and when it was ended.
    durable: Option<Durable>,
    service: Service,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("url", &self.reached.url).finish_non_exhaustive()
    }
}

/// There is a query of that name already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueryExists;

impl std::fmt::Display for QueryExists {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("there is a query of that name already")
    }
}

impl std::error::Error for QueryExists {}

impl Server {
    /// Puts a server together, from defaults.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// Starts a server on a thread of its own.
    ///
    /// # Errors
    ///
    /// As [`Builder::build`].
    pub fn start(config: Config) -> Result<ServerThread, StartError> {
        Builder::new().config(config).start()
    }

    /// Serves until the server has been stopped.
    ///
    /// # Errors
    ///
    /// The operating system's, when polling fails, and what the storage failed
    /// with. Connections that fail are dropped and no error of the server.
    pub fn run(&mut self) -> std::io::Result<()> {
        while self.poll_once(None)? {}
        Ok(())
    }

    /// One turn: sleeps until something happens, or at most `timeout`, handles
    /// it, and returns whether there is a next turn.
    ///
    /// For programs with a loop of their own. A timeout of zero handles what
    /// has arrived and does not sleep.
    ///
    /// ```
    /// use std::time::Duration;
    /// use noexd::Server;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let mut server = Server::builder().host("127.0.0.1").port(0).build()?;
    /// let handle = server.handle();
    /// let mut frames = 0;
    /// while server.poll_once(Some(Duration::from_millis(1)))? {
    ///     // The host's own work goes here.
    ///     frames += 1;
    ///     if frames == 3 {
    ///         handle.stop(Duration::ZERO)?;
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Server::run`].
    pub fn poll_once(&mut self, timeout: Option<Duration>) -> std::io::Result<bool> {
        let turn = self.transport.poll_once(self.service.sleep(timeout));
        let engine = &self.transport.app().engine;
        self.service.turn_ended(!engine.is_running(), || engine.service_counts());
        if !matches!(turn, Ok(Running::Continue)) {
            self.shared.running.store(false, Ordering::Release);
            if let Some(durable) = self.durable.take() {
                self.service.last_sync();
                durable.close().map_err(|error| {
                    self.service.storage_failed(&error.message, exit::errno(error.kind));
                    std::io::Error::other(exit::StorageFailed(error))
                })?;
            }
        }
        Ok(turn? == Running::Continue)
    }

    /// Names a query of the program; from now on clients can subscribe to it.
    ///
    /// # Errors
    ///
    /// There is a query of that name.
    pub fn define_query(
        &mut self,
        name: &str,
        query: impl Query + 'static,
    ) -> Result<(), QueryExists> {
        self.define_program(name, Arc::new(Plain(query)))
    }

    /// As [`Server::define_query`], for a query that follows the data at the
    /// cost of the change.
    ///
    /// # Errors
    ///
    /// There is a query of that name.
    pub fn define_incremental_query(
        &mut self,
        name: &str,
        query: impl IncrementalQuery + 'static,
    ) -> Result<(), QueryExists> {
        self.define_program(name, Arc::new(Incremental(query)))
    }

    fn define_program(&mut self, name: &str, query: Arc<dyn Program>) -> Result<(), QueryExists> {
        let engine = &mut self.transport.app_mut().engine;
        engine.define_program(name, query).map_err(|_| QueryExists)
    }

    /// Sends one request as a local client (see [`Handle`]) and turns the loop
    /// until it is answered. For the thread that runs the server.
    ///
    /// # Errors
    ///
    /// Polling failed, or the server stopped before it answered.
    pub fn request(&mut self, message: impl Into<String>) -> std::io::Result<String> {
        let gone = || std::io::Error::new(std::io::ErrorKind::NotConnected, Stopped);
        let client = self.handle().connect().map_err(|_| gone())?;
        client.send(message).map_err(|_| gone())?;
        loop {
            match client.receive_timeout(Duration::ZERO) {
                Ok(Some(text)) if text.starts_with("{\"id\":") => return Ok(text),
                Ok(Some(_)) => {}
                Ok(None) => {
                    self.poll_once(None)?;
                }
                Err(_) => return Err(gone()),
            }
        }
    }

    /// For other threads.
    pub fn handle(&self) -> Handle {
        Handle { remote: self.transport.remote(), shared: self.shared.clone() }
    }

    /// The first address of the network that the server listens on; `0.0.0.0`
    /// with port 0 if it listens on Unix sockets only.
    pub fn local_addr(&self) -> SocketAddr {
        self.shared.address
    }

    /// The URL of the WebSocket endpoint, with the configured host and the
    /// actual port; `unix:PATH` if the server listens on Unix sockets only.
    pub fn url(&self) -> &str {
        &self.reached.url
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.running.store(false, Ordering::Release);
    }
}

/// Everything that [`Builder::build`] makes of a configuration.
fn launch(config: Config, signals: bool, mut hooks: Hooks) -> Result<Server, StartError> {
    let started = Instant::now();
    // Whoever minds the signals is the program itself, and the manager's.
    let notifier = if signals { Notifier::from_environment() } else { Notifier::none() };
    // So are sockets that were passed on.
    let passed = if signals {
        listen::Passed::from_environment().map_err(|text| ConfigError::one("LISTEN_FDS", text))?
    } else {
        listen::Passed::default()
    };
    let plan = listen::plan(&config, passed)?;
    let certified = tls::load(&config)?;
    let (mut transport, durable) = assemble::transport(&config, Loading::new(&notifier))?;
    let mut reloaded = hooks.reloaded.take();
    hooks.install(&mut transport)?;
    if let Some(loaded) = certified {
        tls::warn(&config, &loaded);
        transport.certify(loaded);
    }
    let reached = listen::listen(&mut transport, &config, plan)?;
    if signals {
        let notifier = notifier.clone();
        let reload = move |hosted: &mut Hosted, _| {
            notifier.reloading(|| {
                hosted.reload();
                if let Some(told) = &mut reloaded {
                    told();
                }
            });
        };
        transport.handle_signals(config.shutdown_grace_ms, reload).map_err(|error| {
            StartError::Failed { step: "signals".into(), reason: error.to_string() }
        })?;
    }
    let durability = transport.durability();
    transport.app_mut().durability = Some(durability);
    log::debug!("ready after {} microseconds", started.elapsed().as_micros());
    let storage = durable.as_ref().map(|durable| durable.writer().stats());
    let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
    let address = reached.address.unwrap_or(nowhere);
    let shared =
        Arc::new(Shared::new((address, reached.url.clone()), transport.counters(), storage));
    let mut service = Service::new(notifier);
    service.ready(&reached.url);
    Ok(Server { transport, shared, reached, durable, service })
}

/// Microseconds since the first call.
fn stopwatch() -> u64 {
    static FIRST: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    u64::try_from(FIRST.get_or_init(std::time::Instant::now).elapsed().as_micros())
        .unwrap_or(u64::MAX)
}
