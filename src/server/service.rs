//! What a service manager is told: systemd's `sd_notify` protocol, lines in
//! datagrams (operations.md section 5).
//!
//! Owns the socket and the times at which something is due. Nobody waits for
//! the manager: what it does not take is lost.

use std::fmt::Write as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A start that takes longer asks for more time, and goes on asking.
const LOADING_AFTER: Duration = Duration::from_secs(1);
const AGAIN: Duration = Duration::from_secs(5);
/// Least time between two descriptions of a server that serves.
const STATUS_EVERY: Duration = Duration::from_secs(60);

/// Sends lines to the manager, if there is one.
#[derive(Debug)]
pub(super) struct Notifier(Option<(UnixDatagram, SocketAddr)>);

impl Notifier {
    pub fn none() -> Arc<Self> {
        Arc::new(Notifier(None))
    }

    /// To whom `NOTIFY_SOCKET` leads.
    pub fn from_environment() -> Arc<Self> {
        let Some(name) = std::env::var_os("NOTIFY_SOCKET") else { return Self::none() };
        let opened = address(&name).and_then(|address| {
            let socket = UnixDatagram::unbound()?;
            socket.set_nonblocking(true)?;
            Ok((socket, address))
        });
        if let Err(error) = &opened {
            log::warn!("NOTIFY_SOCKET: {error}; the service manager is told nothing");
        }
        Arc::new(Notifier(opened.ok()))
    }

    pub fn tell(&self, lines: &str) {
        let Some((socket, address)) = &self.0 else { return };
        if let Err(error) = socket.send_to_addr(lines.as_bytes(), address) {
            log::debug!("service manager: {error}");
        }
    }

    /// Runs `reload` between the two words for it.
    pub fn reloading(&self, reload: impl FnOnce()) {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let part = |value: i64| u64::try_from(value).unwrap_or(0);
        let seconds = part(time.tv_sec).saturating_mul(1_000_000);
        let micros = seconds.saturating_add(part(time.tv_nsec) / 1_000);
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={micros}"));
        reload();
        self.tell("READY=1");
    }
}

/// A path, or behind `@` a name that no file has.
fn address(name: &std::ffi::OsStr) -> std::io::Result<SocketAddr> {
    use std::os::unix::ffi::OsStrExt as _;
    #[cfg(target_os = "linux")]
    if let Some(name) = name.as_bytes().strip_prefix(b"@") {
        use std::os::linux::net::SocketAddrExt as _;
        return SocketAddr::from_abstract_name(name);
    }
    match name.as_bytes().first() {
        Some(b'/') => SocketAddr::from_pathname(name),
        _ => Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, "expected a path")),
    }
}

/// Tells of a start that takes long.
pub(super) struct Loading {
    notifier: Arc<Notifier>,
    next: Instant,
}

impl Loading {
    pub fn new(notifier: &Arc<Notifier>) -> Self {
        Loading { notifier: notifier.clone(), next: Instant::now() + LOADING_AFTER }
    }

    /// So many records are loaded. Looks at the clock once in a while.
    pub fn at(&mut self, records: usize) {
        if records.is_multiple_of(1_024) && Instant::now() >= self.next {
            self.next = Instant::now() + AGAIN;
            let text = format!("EXTEND_TIMEOUT_USEC=30000000\nSTATUS=Loading: {records} records");
            self.notifier.tell(&text);
        }
    }
}

/// A running server as its manager sees it.
pub(super) struct Service {
    notifier: Arc<Notifier>,
    /// Half of what the manager waits for a sign of life.
    watchdog: Option<Duration>,
    alive: Instant,
    described: Instant,
    stopping: Option<Instant>,
}

impl Service {
    pub fn new(notifier: Arc<Notifier>) -> Self {
        let now = Instant::now();
        let watchdog = notifier.0.as_ref().and_then(|_| watchdog(|name| std::env::var(name).ok()));
        Service { notifier, watchdog, alive: now, described: now, stopping: None }
    }

    /// Everything accepts.
    pub fn ready(&mut self, url: &str) {
        self.notifier.tell(&format!("READY=1\nSTATUS=Serving on {url}"));
    }

    /// How long the loop may sleep at most.
    pub fn sleep(&self, timeout: Option<Duration>) -> Option<Duration> {
        let now = Instant::now();
        let watchdog = self.watchdog.map(|every| self.alive + every);
        // Nothing but this wakes a loop that waits for its end.
        let stopping = self.stopping.map(|last| last + AGAIN);
        let due = [watchdog, stopping].into_iter().flatten().min();
        match due.map(|due| due.saturating_duration_since(now)) {
            None => timeout,
            Some(due) => Some(timeout.map_or(due, |timeout| timeout.min(due))),
        }
    }

    /// A turn has ended. `is_stopping`: a signal has come.
    pub fn turn_ended(&mut self, is_stopping: bool, counts: impl FnOnce() -> (usize, usize)) {
        if self.notifier.0.is_none() {
            return;
        }
        let now = Instant::now();
        let mut lines = String::new();
        // Writing to a string does not fail.
        let mut say = |line: std::fmt::Arguments<'_>| {
            let _ = writeln!(lines, "{line}");
        };
        if self.watchdog.is_some_and(|every| now >= self.alive + every) {
            self.alive = now;
            say(format_args!("WATCHDOG=1"));
        }
        if is_stopping && self.stopping.is_none_or(|last| now >= last + AGAIN) {
            self.stopping = Some(now);
            say(format_args!("STOPPING=1\nEXTEND_TIMEOUT_USEC=15000000"));
        }
        if !is_stopping && now >= self.described + STATUS_EVERY {
            self.described = now;
            let (connections, subscriptions) = counts();
            say(format_args!("STATUS={connections} connections, {subscriptions} subscriptions"));
        }
        if !lines.is_empty() {
            self.notifier.tell(lines.trim_end());
        }
    }

    /// The loop is over; the last writes may take a moment.
    pub fn last_sync(&self) {
        self.notifier.tell("STOPPING=1\nEXTEND_TIMEOUT_USEC=15000000");
    }

    pub fn storage_failed(&self, reason: &str, errno: i32) {
        self.notifier.tell(&format!("STATUS=Storage failed: {reason}\nERRNO={errno}"));
    }
}

/// How often the manager wants to hear that this process lives, twice as often.
fn watchdog(variable: impl Fn(&str) -> Option<String>) -> Option<Duration> {
    let micros: u64 = variable("WATCHDOG_USEC")?.parse().ok()?;
    let own = std::process::id().to_string();
    let is_ours = variable("WATCHDOG_PID").is_none_or(|id| id == own);
    (is_ours && micros > 0).then(|| Duration::from_micros(micros / 2))
}
