//! Settings of the store, of its persistence and of the families of operations
//! that can be switched off.

use std::path::PathBuf;

use crate::json::{Json, Object};
use crate::protocol::Tier;

/// Settings of the store and its live queries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    /// A push that has not left yet is superseded by a newer one.
    pub coalesce_pushes: bool,
    /// Least time between the response to a subscribe and its first push; 0 is
    /// off.
    pub first_push_delay_ms: u64,
    /// Time between looks for expired records; 0 expires none by itself.
    pub ttl_check_interval_ms: u64,
    /// Whether clients may subscribe to queries without a name.
    pub ad_hoc_queries: bool,
    /// Recent commits that are kept in the database for those who come back.
    pub history_bytes: u64,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            coalesce_pushes: false,
            first_push_delay_ms: 10,
            ttl_check_interval_ms: 1_000,
            ad_hoc_queries: true,
            history_bytes: 16 << 20,
        }
    }
}

/// Where data is kept beyond the life of the process, and how safely.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Persistence {
    /// The folder that the data is in; `None` with `db`, or for data in memory.
    pub data_dir: Option<PathBuf>,
    /// Name of the database file instead of the default one in `data_dir`.
    pub db: Option<PathBuf>,
    /// What a response to a write waits for.
    pub durability: Durability,
    /// Longest time between syncs with [`Durability::Interval`].
    pub durability_interval_ms: u64,
    /// With less room on the disk writes are refused.
    pub min_free_bytes: u64,
    /// How long a batch waits for another program that has locked the file.
    pub storage_wait_ms: u64,
    /// Who copies the database's log into its file.
    pub wal_checkpoint: WalCheckpoint,
}

impl Default for Persistence {
    fn default() -> Self {
        Self {
            data_dir: None,
            db: None,
            durability: Durability::default(),
            min_free_bytes: 64 << 20,
            storage_wait_ms: 600_000,
            durability_interval_ms: 100,
            wal_checkpoint: WalCheckpoint::default(),
        }
    }
}

impl Persistence {
    /// Whether anything is kept at all.
    pub fn is_enabled(&self) -> bool {
        self.data_dir.is_some() || self.db.is_some()
    }
}

/// When the response to a write may leave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// When the write is synced to disk.
    #[default]
    Always,
    /// When the operating system has it; synced soon after.
    Interval,
    /// At once.
    None,
}

impl Durability {
    /// As the configuration has it.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Durability::Always => "always",
            Durability::Interval => "interval",
            Durability::None => "none",
        }
    }
}

/// Who copies the write-ahead log into the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WalCheckpoint {
    /// This process does.
    #[default]
    Auto,
    /// A replicator does, which has to see all of the log before.
    External,
}

/// The form of lines of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For the systemd journal if standard error is that, else text.
    #[default]
    Auto,
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
    /// With the journal's levels in front, and without times.
    Journal,
}

/// What is kept for clients that come back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Continuity {
    /// Recent changes, for resume.
    pub ring_bytes: usize,
    /// Changed keys that a resumed answer may have, and keys that a client may
    /// send for one.
    pub max_resume_keys: usize,
    /// Client sessions, with a connection and without.
    pub max_sessions: usize,
    /// Those of one user; without login, of one address.
    pub max_sessions_per_user: usize,
    /// Life of a client session without connection.
    pub keep_ms: u64,
    /// Client sessions with their receipts.
    pub max_bytes: u64,
    /// The longest answer that a receipt keeps.
    pub max_answer_bytes: usize,
    /// Records with `lifetime` of one owner.
    pub max_presence_per_owner: usize,
    /// `limit` of a window.
    pub max_window_rows: usize,
}

impl Default for Continuity {
    fn default() -> Self {
        Self {
            ring_bytes: 16 << 20,
            max_resume_keys: 10_000,
            max_sessions: 100_000,
            max_sessions_per_user: 1_000,
            keep_ms: 600_000,
            max_bytes: 64 << 20,
            max_answer_bytes: 65_536,
            max_presence_per_owner: 100,
            max_window_rows: 10_000,
        }
    }
}

/// Settings of the rule engine.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    /// Rules registered at start, as `rules.registerRule` takes them.
    pub definitions: Vec<Json>,
    /// Groups created before the rules.
    pub groups: Vec<RuleGroup>,
    /// Depth of a chain of events that follow from each other.
    pub max_forward_depth: u32,
    /// Events that one trigger may produce.
    pub max_cascade_events: usize,
    /// Whether facts that rules set trigger rules.
    pub chain_facts: bool,
    /// Store changes as events, if wanted.
    pub store_events: Option<StoreEvents>,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            definitions: Vec::new(),
            groups: Vec::new(),
            max_forward_depth: 10,
            max_cascade_events: 10_000,
            chain_facts: false,
            store_events: None,
        }
    }
}

/// A group that rules name and that is switched as one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleGroup {
    /// Its name in definitions of rules.
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// Whether its rules run.
    pub enabled: bool,
}

/// Which store changes become events, and under which topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreEvents {
    /// Only these buckets; `None` is all of them.
    pub buckets: Option<Vec<String>>,
    /// First segment of the topic.
    pub prefix: String,
}

impl Default for StoreEvents {
    fn default() -> Self {
        Self { buckets: None, prefix: "bucket".into() }
    }
}

/// Settings of procedures.
#[derive(Clone, Debug, PartialEq)]
pub struct Procedures {
    /// Steps of one definition, nested ones included.
    pub max_steps: usize,
    /// Nesting of `if` steps.
    pub max_condition_depth: u32,
    /// Time for procedures that say nothing themselves; above 0.
    pub default_timeout_ms: f64,
    /// As `procedures.register` takes them.
    pub definitions: Vec<Json>,
}

impl Default for Procedures {
    fn default() -> Self {
        Self {
            max_steps: 100,
            max_condition_depth: 5,
            default_timeout_ms: 30_000.0,
            definitions: Vec::new(),
        }
    }
}

/// Settings of computed fields, derived views and constraints.
#[derive(Clone, Debug, PartialEq)]
pub struct Logic {
    /// Bucket -> fields, as `logic.defineComputed` takes them.
    pub computed: Object,
    /// Views, as `logic.defineView` takes them.
    pub views: Vec<Json>,
    /// Constraints, as `logic.defineConstraint` takes them.
    pub constraints: Vec<Json>,
    /// Of views, and separately of constraints.
    pub max_definitions: usize,
    /// The deepest nesting of an expression.
    pub max_expr_depth: u32,
    /// The most parts of an expression.
    pub max_expr_nodes: usize,
    /// Joined rows before grouping.
    pub max_view_rows: usize,
}

impl Default for Logic {
    fn default() -> Self {
        Self {
            computed: Object::new(),
            views: Vec::new(),
            constraints: Vec::new(),
            max_definitions: 1_000,
            max_expr_depth: 32,
            max_expr_nodes: 500,
            max_view_rows: 1_000_000,
        }
    }
}

/// Settings of the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    /// Operations of these tiers are recorded.
    pub tiers: Vec<Tier>,
    /// Entries kept in memory.
    pub max_entries: usize,
    /// A file for its entries, besides the ring in memory.
    pub file: Option<AuditFile>,
    /// Whether `auth.*` and what the server does to sessions is recorded too.
    pub auth: bool,
}

impl Default for Audit {
    fn default() -> Self {
        Self { tiers: vec![Tier::Admin], max_entries: 10_000, file: None, auth: false }
    }
}

/// The audit log's JSON Lines file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditFile {
    /// The file; the folder must be there.
    pub path: PathBuf,
    /// When it is synced to disk.
    pub sync: AuditSync,
    /// Rotate before the file would grow beyond this.
    pub max_bytes: Option<u64>,
    /// Rotated files that are kept.
    pub max_files: usize,
    /// Whether the last entries are read back at start.
    pub restore: bool,
}

impl AuditFile {
    /// The defaults with this path.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            sync: AuditSync::default(),
            max_bytes: None,
            max_files: 5,
            restore: false,
        }
    }
}

/// When the audit file is synced to disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AuditSync {
    /// When the operating system likes.
    Never,
    /// At most once a second.
    #[default]
    Interval,
    /// After every batch; responses wait for it.
    Always,
}
