//! The configuration: what the operator wants, checked before anything opens.
//!
//! Owns the settings of the server ([`Config`], one part per section of the
//! configuration file) and their defaults. Knows nothing of sockets, buckets or
//! sessions: whoever needs a setting is handed it.
//!
//! Files from the ground up; each imports only what stands above its line:
//!
//! 1. `problem`, `secret`, `subsystems`
//! 2. `jwt`, `listen`
//! 3. `access`, `transport`
//! 4. `setting`
//! 5. `listeners`, `table`, `table/access`, `table/server`, `table/subsystems`
//! 6. `docs`, `options`
//! 7. `resolve`
//! 8. `check`, `command_line`, `print`
//! 9. `manual`, `structured`

mod access;
mod check;
#[doc(hidden)]
pub mod command_line;
#[doc(hidden)]
pub mod docs;
mod jwt;
mod listen;
mod listeners;
#[doc(hidden)]
pub mod manual;
mod options;
mod print;
mod problem;
mod resolve;
mod secret;
mod setting;
mod structured;
mod subsystems;
mod table;
mod transport;

pub use access::{
    Auth, BuiltIn, CustomRoleTier, External, LoginRateLimit, LoginScope, PermissionDefault,
    PermissionRule, Permissions, Revocation, Signup, StaticToken, TokenKey,
};
pub use jwt::{Jwt, JwtAlgorithm, JwtKey, JwtKeyMaterial};
pub use listen::{BadAddress, Listen, ListenAddress};
pub(crate) use listen::{problem_of as listen_problem, same_as};
pub use options::Options;
pub use problem::{ConfigError, Problem};
pub use resolve::Resolved;
pub use secret::Secret;
pub use subsystems::{
    Audit, AuditFile, AuditSync, Continuity, Durability, LogFormat, Logic, Persistence, Procedures,
    RuleGroup, Rules, Store, StoreEvents, WalCheckpoint,
};
pub use transport::{
    Backpressure, Client, ConnectionLimits, Console, ConsoleWhen, DataLimit, Health, Heartbeat,
    Http, Limits, Metrics, RateLimit, Ready, Tls, TlsVersion,
};

pub use crate::json::{Json, Object};
pub use crate::net::{IpNet, TrustedProxy};
pub use crate::protocol::Tier;
use problem::Reader;
pub(crate) use problem::unknown_operation;

/// Everything that can be configured, with the defaults of the reference
/// documentation as [`Default`].
///
/// Times are in milliseconds and sizes in bytes wherever a name says nothing
/// else. A configuration that was read from a file is checked as a whole; one
/// that is put together in code is checked when the server is built.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Shown in `server.stats`, and as the store's name in `store.stats`.
    pub name: String,
    /// IP address or host name to listen on; `None` is [`Config::bind_host`]'s
    /// choice.
    pub host: Option<String>,
    /// Lines of the log.
    pub log_format: LogFormat,
    /// What is logged: a filter as in `RUST_LOG`.
    pub log_level: String,
    /// Requests and views that take longer are logged; 0: none.
    pub slow_request_ms: u64,
    /// The same for the update of a live view; 0: none.
    pub slow_view_ms: u64,
    /// 0 takes any free port.
    pub port: u16,
    /// The listeners; empty: one, of `host` and `port`.
    pub listen: Vec<Listen>,
    /// Path of the WebSocket endpoint.
    pub path: String,
    /// Longest message that a client may send.
    pub max_payload_bytes: usize,
    /// Deepest nesting in a message; the message itself is level 1.
    pub max_json_depth: u32,
    /// Time for a complete request head, TLS handshake included.
    pub handshake_timeout_ms: u64,
    /// Time for the closing handshake.
    pub close_timeout_ms: u64,
    /// Grace period of a shutdown that a signal asked for.
    pub shutdown_grace_ms: u64,
    /// Time before that in which only the readiness check says what is coming.
    pub shutdown_delay_ms: u64,
    /// Whether connections are closed evenly over the grace period.
    pub shutdown_spread: bool,
    /// How fast those who are told to come back may do so.
    pub reconnects_per_second: u32,
    /// Whether errors carry `details`.
    pub expose_error_details: bool,
    /// Origins that may connect, compared byte for byte; `None` checks nothing.
    pub allowed_origins: Option<Vec<String>>,
    /// Peers whose `X-Forwarded-For` and `X-Real-IP` are believed.
    pub trusted_proxies: Vec<TrustedProxy>,

    /// Sockets at once; `None` follows the limit of open files.
    pub max_connections: Option<usize>,
    /// Connections at once of one client address.
    pub max_connections_per_ip: Option<usize>,
    /// How long dead connections of an address at its limit have to answer; 0
    /// refuses newcomers at once.
    pub per_ip_probe_ms: u64,
    /// How much one connection may hold.
    pub connection_limits: ConnectionLimits,
    /// How many requests one user or address may send; `None`: any number.
    pub rate_limit: Option<RateLimit>,
    /// What requests and answers may cost.
    pub limits: Limits,
    /// How dead connections are noticed.
    pub heartbeat: Heartbeat,
    /// What happens to clients that read too slowly.
    pub backpressure: Backpressure,

    /// `None` is an open server: whoever connects may do everything.
    pub auth: Option<Auth>,
    /// Where revoked tokens and sessions are kept.
    pub revocation: Revocation,

    /// `None` switches the family of operations off, as for the next four.
    pub continuity: Option<Continuity>,
    /// Facts, events and rules.
    pub rules: Option<Rules>,
    /// Stored procedures.
    pub procedures: Option<Procedures>,
    /// Computed fields, views and constraints.
    pub logic: Option<Logic>,
    /// The audit log.
    pub audit: Option<Audit>,

    /// Bucket definitions by name, in the order in which they are defined; each
    /// is what `store.defineBucket` takes.
    pub buckets: Object,
    /// Query definitions by name, as `store.defineQuery` takes them.
    pub queries: Object,
    /// Sets by name, as `access.defineSet` takes them.
    pub access_sets: Object,
    /// Buckets and live queries in general.
    pub store: Store,
    /// Where data is kept; by default in memory.
    pub persistence: Persistence,

    /// TLS on the listeners; needs the feature `tls`.
    pub tls: Option<Tls>,
    /// `GET /health`: the process lives.
    pub health: Option<Health>,
    /// `GET /ready`: it serves.
    pub ready: Option<Ready>,
    /// Metrics for Prometheus.
    pub metrics: Option<Metrics>,
    /// Requests over HTTP.
    pub http: Option<Http>,
    /// The web console; needs the feature `console`.
    pub console: Option<Console>,
    /// The JavaScript client as files.
    pub client: Option<Client>,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            name: "noex-server".into(),
            host: None,
            log_format: LogFormat::Auto,
            log_level: "info".into(),
            slow_request_ms: 100,
            slow_view_ms: 50,
            port: 8080,
            listen: Vec::new(),
            path: "/".into(),
            max_payload_bytes: 1_048_576,
            max_json_depth: 128,
            handshake_timeout_ms: 10_000,
            close_timeout_ms: 5_000,
            shutdown_grace_ms: 0,
            shutdown_delay_ms: 0,
            shutdown_spread: false,
            reconnects_per_second: 500,
            expose_error_details: true,
            allowed_origins: None,
            trusted_proxies: Vec::new(),
            max_connections: None,
            max_connections_per_ip: None,
            per_ip_probe_ms: 1000,
            connection_limits: ConnectionLimits::default(),
            rate_limit: None,
            limits: Limits::default(),
            heartbeat: Heartbeat::default(),
            backpressure: Backpressure::default(),
            auth: None,
            revocation: Revocation::default(),
            continuity: Some(Continuity::default()),
            rules: Some(Rules::default()),
            procedures: Some(Procedures::default()),
            logic: Some(Logic::default()),
            audit: None,
            buckets: Object::new(),
            queries: Object::new(),
            access_sets: Object::new(),
            store: Store::default(),
            persistence: Persistence::default(),
            tls: None,
            health: Some(Health::default()),
            ready: Some(Ready::default()),
            metrics: None,
            http: None,
            console: Some(Console { when: ConsoleWhen::Auto, ..Console::default() }),
            client: Some(Client::default()),
        }
    }
}

impl Config {
    /// `allowedOrigins: ["*"]`: whoever asks is let in, whatever the page.
    pub fn allows_all_origins(&self) -> bool {
        self.allowed_origins.as_deref().is_some_and(|list| list.iter().any(|one| one == "*"))
    }

    /// Bytes of messages received in part; the longest message has room.
    pub(crate) fn max_input_bytes(&self) -> usize {
        let least = Limits::MAX_INPUT_BYTES.max(self.max_payload_bytes);
        self.limits.max_input_bytes.unwrap_or(least)
    }

    /// The host to listen on: the configured one, else every interface for a
    /// server with authentication and only loopback for one without. An open
    /// database belongs on no other interface unless somebody says so.
    pub fn bind_host(&self) -> &str {
        match (&self.host, &self.auth) {
            (Some(host), _) => host,
            (None, Some(_)) => "0.0.0.0",
            (None, None) => "127.0.0.1",
        }
    }
}
