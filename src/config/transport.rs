//! Settings of the transport: limits, heartbeat, slow readers, TLS, HTTP.

use std::path::PathBuf;

/// Limits on subscriptions of all kinds; 0 forbids them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Of one connection.
    pub max_subscriptions_per_connection: usize,
    /// Of all connections together.
    pub max_total_subscriptions: usize,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self { max_subscriptions_per_connection: 100, max_total_subscriptions: 10_000 }
    }
}

/// At most `max_requests` in any `window_ms` for one user or address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// Requests that are allowed.
    pub max_requests: u32,
    /// In which time, in milliseconds.
    pub window_ms: u64,
}

/// What one request may cost and how long an answer may be; what all of them
/// together may take of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Steps of work that one request may take; 0 is no limit.
    pub request_steps: u64,
    /// Records that expire in one turn.
    pub expiry_batch: usize,
    /// The longest answer or push.
    pub max_reply_bytes: usize,
    /// Steps that the live views of one query may take for one commit before
    /// they are updated less often; 0 is no limit.
    pub view_steps: u64,
    /// Least time between two updates of such views.
    pub costly_view_ms: u64,
    /// Unsent output of all connections together.
    pub max_output_bytes: usize,
    /// Messages received in part, of all connections together; `None`: a default
    /// that has room for one of the largest.
    pub max_input_bytes: Option<usize>,
    /// What records, indexes and views may take; `None` is no limit.
    pub max_data_bytes: Option<DataLimit>,
}

/// An amount of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataLimit {
    /// So many bytes.
    Bytes(u64),
    /// Of what the process may use.
    Percent(u8),
}

impl Default for DataLimit {
    fn default() -> Self {
        DataLimit::Percent(95)
    }
}

impl Limits {
    /// `max_input_bytes`, where it is `None` and messages are not longer.
    pub(super) const MAX_INPUT_BYTES: usize = 256 << 20;
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            request_steps: 20_000_000,
            expiry_batch: 2000,
            max_reply_bytes: 64 << 20,
            view_steps: 2_000_000,
            costly_view_ms: 250,
            max_output_bytes: 256 << 20,
            max_input_bytes: None,
            max_data_bytes: None,
        }
    }
}

/// Pings of the protocol (not of WebSocket).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// Time between pings; 0 sends none.
    pub interval_ms: u64,
    /// Time for the answer to a ping; in effect never longer than the time to
    /// the next one.
    pub timeout_ms: u64,
}

impl Default for Heartbeat {
    fn default() -> Self {
        Self { interval_ms: 30_000, timeout_ms: 10_000 }
    }
}

/// How much output may wait for one connection.
#[derive(Clone, Debug, PartialEq)]
pub struct Backpressure {
    /// From this many buffered bytes on the connection is not read any more.
    pub max_buffered_bytes: usize,
    /// Share of `max_buffered_bytes` from which pushes are held back; above 0,
    /// at most 1.
    pub high_water_mark: f64,
}

impl Default for Backpressure {
    fn default() -> Self {
        Self { max_buffered_bytes: 1_048_576, high_water_mark: 0.8 }
    }
}

/// Certificate of the listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// PEM file, leaf first.
    pub cert: PathBuf,
    /// PEM file.
    pub key: PathBuf,
    /// The oldest version that is spoken.
    pub min_version: TlsVersion,
    /// PEM file; clients must show a certificate that chains to one of these.
    pub client_ca: Option<PathBuf>,
}

/// The oldest version of TLS that is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsVersion {
    /// TLS 1.2.
    #[default]
    V1_2,
    /// TLS 1.3.
    V1_3,
}

/// `GET` of `path` answers whether the server is up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Path of the request.
    pub path: String,
}

impl Default for Health {
    fn default() -> Self {
        Self { path: "/healthz".into() }
    }
}

/// `GET` of `path` answers whether newcomers are welcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ready {
    /// Path of the request.
    pub path: String,
}

impl Default for Ready {
    fn default() -> Self {
        Self { path: "/readyz".into() }
    }
}

/// Metrics in the text format of Prometheus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metrics {
    /// Path of the request.
    pub path: String,
    /// A listener of its own.
    pub listen: Option<super::ListenAddress>,
    /// What `Authorization: Bearer` must carry.
    pub token: Option<super::Secret>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self { path: "/metrics".into(), listen: None, token: None }
    }
}

/// The web console's static files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Console {
    /// Whether it is served wherever the server is, or where that gives nothing
    /// away.
    pub when: ConsoleWhen,
    /// Path of the page, without a slash at its end.
    pub path: String,
    /// Whether its lock cannot be opened.
    pub read_only: bool,
}

impl Default for Console {
    fn default() -> Self {
        Self { when: ConsoleWhen::Always, path: "/console".into(), read_only: false }
    }
}

/// Where the console is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsoleWhen {
    /// On a server without authentication that only this machine reaches: its
    /// port gives everything anyway.
    Auto,
    /// Wherever the server listens.
    Always,
}

/// Requests over HTTP (docs/http.md).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http {
    /// Of messages.
    pub rpc: String,
    /// Of live queries as server-sent events.
    pub live: String,
}

impl Default for Http {
    fn default() -> Self {
        Self { rpc: "/rpc".into(), live: "/live".into() }
    }
}

/// Where the JavaScript client is: `{path}.js`, `{path}/NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// The beginning of all paths.
    pub path: String,
}

impl Default for Client {
    fn default() -> Self {
        Self { path: "/client".into() }
    }
}
