//! What the engine's surroundings know: sockets, the disk, the process, logs.

use super::figures::Histogram;

/// Asks the surroundings; on the loop's thread, so it must not wait.
pub type AskWorld = Box<dyn Fn() -> World + Send>;

#[derive(Clone, Debug, Default)]
pub struct World {
    pub sockets: u64,
    pub outbox_bytes: u64,
    pub input_bytes: u64,
    pub received_bytes: u64,
    pub sent_bytes: u64,
    pub connections_opened: u64,
    /// By close code; 0: one that only the peer gives a meaning to.
    pub closed: Vec<(u16, u64)>,
    pub refused: Vec<(&'static str, u64)>,
    /// Answers to plain HTTP, by what was asked and the first digit of the status.
    pub http: Vec<(&'static str, u16, u64)>,
    /// Calls for which their address had no place.
    pub calls_refused: u64,
    /// Connections that made room for others of their address, and newcomers for
    /// whom none did.
    pub probes_evicted: u64,
    pub probes_refused: u64,
    /// How often a connection was ended for the memory of all.
    pub output_limit_reached: u64,
    pub input_limit_reached: u64,
    pub tls: TlsFigures,
    pub turns: Option<Histogram>,
    /// Jobs that wait for the worker or are done by it.
    pub jobs_waiting: u64,
    pub storage: Option<StorageFigures>,
    pub process: Option<Process>,
    /// Lines of the log by level.
    pub log_lines: Vec<(&'static str, u64)>,
    pub log_lines_dropped: u64,
}

#[derive(Clone, Debug, Default)]
pub struct TlsFigures {
    /// Handshakes by their end.
    pub handshakes: [(&'static str, u64); 3],
    pub waiting: u64,
    /// Unix time; `None` without a certificate.
    pub not_after: Option<u64>,
    /// Why the last reload of the certificate did not go well, if it did not.
    pub problem: Option<String>,
    /// Reloads of the certificate, by whether they went well.
    pub reloads: [(bool, u64); 2],
}

#[derive(Clone, Debug, Default)]
pub struct StorageFigures {
    pub batches: Option<Histogram>,
    pub syncs: Option<Histogram>,
    pub backlog_bytes: u64,
    /// Of the database, its log, and what is free beside them.
    pub file_bytes: Option<u64>,
    pub log_bytes: Option<u64>,
    pub free_bytes: Option<u64>,
    /// Unix time in seconds of the newest backup; `None` if there is none.
    pub last_backup: Option<u64>,
    /// The same of the database file.
    pub file_since: Option<u64>,
    /// Unix time in seconds at which somebody looked for these; 0: nobody has.
    pub looked_at: u64,
}

/// What the system says of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Process {
    pub start_seconds: f64,
    pub resident_bytes: f64,
    pub virtual_bytes: f64,
    pub open_files: f64,
    pub max_files: f64,
    pub cpu_seconds: f64,
}
