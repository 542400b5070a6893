//! What the engine is told at start. Defaults are the protocol's.

use crate::config::Continuity;
use crate::query::ViewLimits;

/// Settings of the engine. The transport has its own
/// (`crate::net::Options`); both are made from one configuration.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// Shown in `server.stats` and as the store's name in `store.stats`.
    pub name: String,
    /// Longest message of a client, as the transport has it.
    pub max_payload_bytes: usize,
    /// Levels of nesting allowed in a message; the message object is level 1.
    pub max_json_depth: u32,
    /// `false` removes `details` from every error.
    pub expose_error_details: bool,
    /// 0 switches the heartbeat off.
    pub heartbeat_interval_ms: u64,
    pub heartbeat_timeout_ms: u64,
    pub max_buffered_bytes: usize,
    /// Share of `max_buffered_bytes` above which pushes are not queued.
    pub high_water_mark: f64,
    pub max_subscriptions_per_connection: usize,
    pub max_total_subscriptions: usize,
    /// `(maxRequests, windowMs)`; `None`: no limit.
    pub rate_limit: Option<(u32, u64)>,
    /// Steps that one request may spend; 0: as many as it takes.
    pub request_steps: u64,
    /// Bytes of one response or push.
    pub max_reply_bytes: usize,
    /// Steps that the upkeep of one query's views may take for one commit.
    pub view_steps: u64,
    /// Records that expire in one turn.
    pub expiry_batch: usize,
    /// Least time between two updates of the views of a query that took more.
    pub costly_view_ms: u64,
    /// Path of the health check; `None`: off.
    pub health_path: Option<String>,
    /// Path of the readiness check; `None`: off.
    pub ready_path: Option<String>,
    /// The page of metrics; `None`: off.
    pub metrics: Option<MetricsPage>,
    /// Time before a shutdown in which only the readiness check announces it.
    pub shutdown_delay_ms: u64,
    /// Whether connections are closed evenly over the grace period.
    pub shutdown_spread: bool,
    pub reconnects_per_second: u32,
    /// Time between automatic checks for expired records; 0: none.
    pub ttl_check_interval_ms: u64,
    /// Least time between the response to a subscribe and its first push.
    pub first_push_delay_ms: u64,
    /// A push that has not left yet is superseded by a newer one.
    pub coalesce_pushes: bool,
    /// Whether clients may subscribe to queries without a name.
    pub ad_hoc_queries: bool,
    /// With less room on the disk writes are refused; 0: never.
    pub min_free_bytes: u64,
    /// What a response to a write waits for, in the word of the configuration;
    /// `None`: the data is in memory.
    pub durability: Option<&'static str>,
    /// Requests and views that take longer are logged; 0: none.
    pub slow_request_ms: u64,
    pub slow_view_ms: u64,
    /// Who may reach the server, for those who ask what needs attention.
    pub exposure: super::Exposure,
    /// Likewise, the most connections that are let in.
    pub max_connections: Option<usize>,
    /// What is kept for clients that come back; `None`: nothing.
    pub continuity: Option<Continuity>,
    /// Tells how long a procedure has run; `None`: none is ever late.
    pub stopwatch: Option<super::Stopwatch>,
    /// Bytes of recent changes that are kept for those who come back.
    pub ring_bytes: usize,
    /// Seed of everything random (ids). The same seed and the same inputs give
    /// the same outputs.
    pub seed: [u8; 32],
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            name: "noex-server".into(),
            max_payload_bytes: 1 << 20,
            max_json_depth: crate::json::DEFAULT_MAX_DEPTH,
            expose_error_details: true,
            heartbeat_interval_ms: 30_000,
            heartbeat_timeout_ms: 10_000,
            max_buffered_bytes: 1 << 20,
            high_water_mark: 0.8,
            max_subscriptions_per_connection: 100,
            max_total_subscriptions: 10_000,
            rate_limit: None,
            request_steps: 20_000_000,
            max_reply_bytes: 64 << 20,
            view_steps: 2_000_000,
            costly_view_ms: 250,
            health_path: Some("/healthz".into()),
            ready_path: Some("/readyz".into()),
            metrics: None,
            shutdown_delay_ms: 0,
            shutdown_spread: false,
            reconnects_per_second: 500,
            ttl_check_interval_ms: 1000,
            expiry_batch: 2000,
            first_push_delay_ms: 10,
            coalesce_pushes: false,
            ad_hoc_queries: true,
            min_free_bytes: 0,
            durability: None,
            slow_request_ms: 0,
            slow_view_ms: 0,
            exposure: super::Exposure::default(),
            max_connections: None,
            continuity: Some(Continuity::default()),
            stopwatch: None,
            ring_bytes: 16 << 20,
            seed: [0; 32],
        }
    }
}

impl EngineOptions {
    /// Buffered bytes from which on pushes are not queued. Not rounded.
    pub(crate) fn push_threshold(&self) -> f64 {
        self.max_buffered_bytes as f64 * self.high_water_mark
    }

    pub(crate) fn view_limits(&self) -> ViewLimits {
        ViewLimits {
            view_steps: self.view_steps,
            costly_view_ms: self.costly_view_ms,
            text_bytes: self.max_reply_bytes,
            ..ViewLimits::default()
        }
    }

    /// `timeoutMs`, but never later than the next ping.
    pub(crate) fn pong_timeout_ms(&self) -> u64 {
        self.heartbeat_timeout_ms.min(self.heartbeat_interval_ms)
    }
}

/// Where metrics are shown, and to whom.
#[derive(Clone)]
pub struct MetricsPage {
    pub path: String,
    /// They have a listener of their own.
    pub is_apart: bool,
    pub token: Option<String>,
}

impl std::fmt::Debug for MetricsPage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MetricsPage").field("path", &self.path).finish_non_exhaustive()
    }
}
