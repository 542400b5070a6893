//! The pipeline from message to response and pushes, without I/O.
//!
//! Owns the connection table, the order of checks, the order of output, panic
//! isolation, heartbeats and shutdown. It is told what happened and when
//! ([`crate::app::App`], in `app.rs`), and answers with effects. It must not know sockets, files or
//! clocks.
//!
//! One message: parse, purge what has expired, authorise, limit, route, handle,
//! queue the response, publish what was committed, audit.
//!
//! Files from the ground up; each imports only what stands above its line:
//!
//! 1. `bound`, `client_sessions`, `client_sessions/receipts`, `client_sessions/sheets`,
//!    `clock`, `commits`, `continuity`, `continuity/position`, `continuity/reason`,
//!    `continuity/ring`, `continuity/ring/page`, `continuity/stats`, `disk`, `door/status`,
//!    `introspection`, `introspection/fields`, `introspection/meter`, `many`, `metrics`,
//!    `metrics_table/figures`, `metrics_table/render`, `ops/access`, `ops/audit`,
//!    `ops/no_backup`, `ops/subscribe_many`, `outcome`, `output`, `procedures/steps`,
//!    `rules_bridge/store_events`, `rules_bridge/store_service`, `sets`, `subscriptions/first`,
//!    `subscriptions/positions`, `subscriptions/sessions`, `subscriptions/windows`, `timers`
//! 2. `app`, `budgets`, `chores`, `client_sessions/once`, `client_sessions/table`, `door`,
//!    `door/rpc`, `expiry`, `heartbeat`, `introspection/load`, `introspection/views`,
//!    `log_level`, `metrics_table`, `metrics_table/world`, `readiness`, `spread`,
//!    `subscriptions/moved`, `subscriptions/proof`
//! 3. `audited`, `client_sessions/stored`, `metrics_table/series`, `notices`, `shutdown`
//! 4. `conn`, `metrics_table/rows`
//! 5. `introspection/insights`, `introspection/top`, `ops/disconnect`, `ops/server`,
//!    `presence`, `sessions`, `subscriptions`
//! 6. `authentication`, `client_sessions/life`, `continuity/token`, `impersonation`,
//!    `introspection/scans`, `introspection/surroundings`, `named_records`, `ops/auth`,
//!    `rates`, `revocation`, `rows`, `rules_bridge/first_events`
//! 7. `continuity/shared`, `logic`, `ops/session`, `subscriptions/publish`
//! 8. `continuity/resume`, `door/live`, `introspection/trace`, `ops/windows`,
//!    `rules_bridge/numbered`, `rules_bridge/subscriptions`, `subscriptions/release`
//! 9. `introspection/traced`
//! 10. `current`, `ops/backup`, `procedures`, `requests`, `rules_bridge`
//! 11. `jobs`, `options`
//! 12. `commit_log`
//! 13. `orphans`
//! 14. `scopes`
//! 15. `gate`, `ops`, `ops/identity`, `ops/identity/change`, `ops/identity/roles`, `ops/logic`,
//!     `ops/procedures`, `ops/queries`, `ops/rules`, `ops/store`, `ops/store/many`,
//!     `ops/store/reads`, `ops/store/transaction`
//! 16. `ops/explain`, `ops/identity/acl`, `ops/identity/owners`, `ops/identity/session`,
//!     `ops/store/admin`, `ops/store/asked`
//! 17. `ops/identity/passwords`, `ops/identity/users`
//! 18. `ops/identity/signup`

mod app;
mod audited;
mod authentication;
mod bound;
mod budgets;
mod chores;
mod client_sessions;
mod clock;
mod commit_log;
mod commits;
mod conn;
mod continuity;
mod current;
mod disk;
mod door;
mod expiry;
mod gate;
mod heartbeat;
mod impersonation;
mod introspection;
mod jobs;
mod log_level;
mod logic;
mod many;
mod metrics;
pub mod metrics_table;
mod named_records;
mod notices;
mod ops;
mod options;
mod orphans;
mod outcome;
mod output;
mod presence;
mod procedures;
mod rates;
mod readiness;
mod requests;
mod revocation;
mod rows;
mod rules_bridge;
mod scopes;
mod sessions;
mod sets;
mod shutdown;
mod spread;
mod subscriptions;
mod timers;

#[cfg(test)]
mod tests;

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::ids::IdSource;
use crate::logic::Logic;
pub use budgets::Spent;
pub use introspection::Exposure;
pub use metrics::Metrics;
pub use options::{EngineOptions, MetricsPage};
pub use procedures::Stopwatch;

pub use commit_log::CommitLog;
pub(crate) use conn::{Conn, Conns};
pub(crate) use outcome::Outcome;
pub(crate) use rules_bridge::check_rules;
pub use rules_bridge::{RulesSetup, StoreEvents};

use crate::access::RateLimiter;
use crate::app::{AskHeld, CommitSeq, ConnId, Effect, Effects, Now, Peer};
use crate::audit::AuditLog;
use crate::budget::Budget;
use crate::procedures::Procedures;
use crate::query::Views;
use crate::store::{ChangeSet, Owner, Store};
use crate::wheel::Wheel;
use chores::Chores;
use client_sessions::ClientSessions;
use commit_log::Log;
use commits::Commits;
use current::Current;
use door::Calls;
use jobs::Waits;
use presence::Stay;
use rules_bridge::RulesSide;
use sessions::{Mode, Sessions};
use spread::Ending;
use subscriptions::Subscriptions;
pub(crate) use timers::Timer;

/// The server without its sockets. See the module's description.
pub struct Engine {
    // What everything is done with.
    pub(crate) options: EngineOptions,
    pub(crate) now: Now,
    /// What is being done now may cost so much; see [`crate::budget`].
    pub(crate) budget: Budget,
    current: Current,
    pub(crate) ids: IdSource,
    pub(crate) wheel: Wheel<Timer>,
    pub(crate) effects: Effects,

    // The data, and what is defined on them.
    pub(crate) store: Store,
    pub(crate) views: Views,
    rows: rows::RowsSide,
    /// `None`: switched off.
    pub(crate) logic: Option<Box<Logic>>,
    procedures: Option<Procedures>,
    orphans: orphans::Orphans,
    pub(crate) rules: Option<Box<RulesSide>>,

    // Commits.
    commits: Commits,
    /// What commits become.
    pub(crate) log: Log,
    #[cfg(feature = "sqlite")]
    backups: Option<ops::BackupDesk>,
    /// The disk is almost full.
    read_only: crate::storage::ReadOnly,
    shared_answers: continuity::SharedAnswers,

    // Connections, and who they act for.
    pub(crate) conns: Conns,
    calls: Calls,
    waits: Waits,
    pub(crate) sessions: Sessions,
    pub(crate) client_sessions: ClientSessions,
    pub(crate) presence: presence::Presence,
    pub(crate) limiter: Option<RateLimiter>,
    pub(crate) audit: Option<AuditLog>,
    subscriptions: Subscriptions,
    /// Subscriptions of all connections and kinds.
    pub(crate) total_subscriptions: usize,

    // What goes on beside requests.
    chores: Chores,
    ending: Ending,
    readiness: readiness::Readiness,

    // What is asked of the surroundings.
    /// What the transport holds, see [`Engine::set_held`].
    held: Option<AskHeld>,
    world: Option<metrics_table::AskWorld>,
    /// Looks at the system, on the worker, once in a while.
    probe: Option<metrics_table::Probe>,

    // What is told of it all.
    pub(crate) metrics: Metrics,
    pub(crate) figures: metrics_table::Figures,
    /// How busy the loop is.
    load: introspection::Load,
    /// Filters that no index serves.
    scans: introspection::Scans,
    traces: introspection::Traces,
    notices: notices::Notices,
    log_level: log_level::LogLevel,
    /// What was last said to need attention.
    told: introspection::Told,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("name", &self.options.name)
            .field("connections", &self.conns.len())
            .field("now", &self.now)
            .finish_non_exhaustive()
    }
}

impl Engine {
    /// An engine over a store that already holds its configured buckets.
    pub fn new(options: EngineOptions, store: Store, now: Now) -> Self {
        let mut engine = Engine {
            ids: IdSource::new(options.seed),
            store,
            conns: Conns::default(),
            effects: Effects::default(),
            wheel: Wheel::new(now.mono),
            now,
            budget: Budget::unlimited(),
            current: Current::default(),
            metrics: Metrics::new(now),
            limiter: options.rate_limit.map(|(max, window)| RateLimiter::new(max, window)),
            sessions: Sessions::default(),
            client_sessions: ClientSessions::default(),
            audit: None,
            calls: Calls::default(),
            waits: Waits::default(),
            ending: Ending::default(),
            readiness: readiness::Readiness::default(),
            figures: metrics_table::Figures::default(),
            world: None,
            probe: None,
            log: Log::new(&options),
            shared_answers: continuity::SharedAnswers::default(),
            #[cfg(feature = "sqlite")]
            backups: None,
            commits: Commits::default(),
            chores: Chores::default(),
            views: Views::new(options.view_limits()).measured_by(options.stopwatch),
            orphans: orphans::Orphans::default(),
            rows: rows::RowsSide::default(),
            subscriptions: Subscriptions::default(),
            presence: presence::Presence::default(),
            rules: None,
            procedures: None,
            logic: Some(Box::default()),
            total_subscriptions: 0,
            load: introspection::Load::default(),
            scans: introspection::Scans::default(),
            traces: introspection::Traces::default(),
            notices: notices::Notices::default(),
            read_only: crate::storage::ReadOnly::default(),
            log_level: log_level::LogLevel::default(),
            told: introspection::Told::default(),
            held: None,
            options,
        };
        if engine.options.ttl_check_interval_ms > 0 {
            let first = now.mono.saturating_add(engine.options.ttl_check_interval_ms);
            engine.wheel.insert(first, Timer::Expiry);
        }
        engine
    }

    /// The one door: applies what was prepared, and remembers it for the views,
    /// the rules and the log. Cannot fail; a panic in here may have left the
    /// data half changed, so the process does not survive it.
    pub(crate) fn commit(&mut self, set: ChangeSet) -> CommitSeq {
        if set.is_empty() {
            return self.log.last();
        }
        self.commits.in_commit = true;
        let commit = self.store.commit(set);
        if let Mode::BuiltIn(identity) = &mut self.sessions.mode {
            identity.directory.apply(&self.store, &commit);
        }
        self.commits.in_commit = false;
        self.arm_release();
        self.metrics.silent_commits += u64::from(commit.is_silent());
        self.log_commit(&commit);
        self.trace_commit(&commit, self.log.newest());
        self.forget_logic(&commit);
        self.metrics.commits += 1;
        // At once: views are brought from one commit to the next.
        self.views.wall = self.now.wall;
        self.views.number = self.log.newest();
        let before = self.before_views(&commit);
        self.views.apply(&self.store, &commit, self.now.mono);
        self.trace_views(before, self.log.newest());
        self.store.count_beside(self.views.memory());
        self.note_orphans(&commit);
        self.note_definitions(&commit);
        self.note_sets(&commit);
        self.commits.unpublished.push(commit);
        self.log.last()
    }

    /// Tells views and rules about the commits since the last call. Comes after
    /// the response of the request that made them.
    fn publish(&mut self) {
        // What rights make necessary is owed to many, whatever the request had, and
        // counted together.
        let mut rights = Budget::unlimited();
        // What everything that follows from these commits may cost.
        self.fresh_budget();
        loop {
            std::mem::swap(&mut self.budget, &mut rights);
            self.settle_sessions();
            std::mem::swap(&mut self.budget, &mut rights);
            self.publish_views();
            self.end_oversized();
            self.bridge_commits();
            // What rules change, rights too, is published before the next event.
            let run = catch_unwind(AssertUnwindSafe(|| self.run_store_event()));
            match run {
                Ok(true) => {}
                Ok(false) => {
                    self.publish_traces();
                    self.close_ended_streams();
                    return self.arm_costly_views();
                }
                Err(panic) => self.survive_panic("rules.storeEvents", panic.as_ref()),
            }
        }
    }

    /// Logs and counts a caught panic. One inside a commit is not survived.
    fn survive_panic(&mut self, what: &str, panic: &(dyn std::any::Any + Send)) {
        let text = panic_text(panic);
        if self.commits.in_commit {
            log::error!(
                "panic while applying a commit ({what}): {text}; the state is not to be trusted"
            );
            log::logger().flush();
            std::process::abort();
        }
        self.metrics.panics += 1;
        log::error!("panic in {what:?}: {text}; its connection is closed");
    }

    /// Ends a connection from this side: everything it owns goes at once, the
    /// close frame follows what is already queued.
    pub(crate) fn close(&mut self, conn: ConnId, code: u16, reason: &'static str) {
        self.note_closed(conn, code, reason);
        if self.close_call(conn, code) {
            return;
        }
        if self.conns.get(conn).is_some() {
            // In front of what its end may bring about: the end of the loop, which
            // waits for those that are being closed and for nobody else.
            self.effects.list.push(Effect::Close { conn, code, reason });
            self.forget(conn, (code, reason));
        }
    }

    /// As [`Engine::close`], without the output that waits for a commit.
    fn abandon(&mut self, conn: ConnId, code: u16, reason: &'static str) {
        if self.conns.get(conn).is_some() {
            self.effects.list.push(Effect::Abandon { conn, code, reason });
            self.forget(conn, (code, reason));
        }
    }

    /// Drops everything that belongs to a connection. The one place where a
    /// connection ends, whatever the cause: a close code, and in words. False if
    /// it was not there.
    fn forget(&mut self, id: ConnId, (code, why): (u16, &'static str)) -> bool {
        let Some(conn) = self.conns.remove(id) else { return false };
        log::debug!(conn = conn.name(), code = code; "closed: {}, {why}", conn.address);
        self.calls.open -= usize::from(conn.is_call);
        if let Some(timer) = conn.heartbeat.timer {
            self.wheel.cancel(timer);
        }
        let beneath = conn.beneath.as_deref().map(|beneath| &beneath.bound);
        for bound in conn.session.iter().chain(beneath) {
            self.release_session(id, bound);
        }
        match conn.client_session {
            Some(no) => self.leave_client_session(no),
            None => self.owner_leaves(Owner::connection(conn.number), Stay::Not),
        }
        if let Some(job) = conn.waiting {
            self.waits.jobs.remove(&job);
        }
        self.drop_subscriptions(id);
        self.drop_event_subscriptions(id);
        self.rows.forget(id);
        self.forget_traces(id);
        self.connection_left();
        true
    }

    /// Holds what must always be true between two calls. For tests and fuzzing;
    /// walks everything.
    ///
    /// # Panics
    /// When something is not true.
    pub fn check_invariants(&self) {
        assert!(!self.commits.in_commit, "a commit was left half-way");
        assert!(self.commits.unpublished.is_empty(), "a commit was not published");
        for conn in self.conns.in_order() {
            assert!(conn.written <= conn.queued, "{}: more written than queued", conn.name());
            assert_eq!(
                conn.queued - conn.written,
                conn.buffered as u64,
                "{}: buffered bytes",
                conn.name()
            );
        }
        assert_eq!(self.calls.open, self.conns.all().filter(|conn| conn.is_call).count(), "calls");
        self.store.check_invariants();
        self.check_subscriptions();
        self.check_rules_side();
        self.rows.check_invariants(&self.store);
        self.log.check_invariants();
        self.check_client_sessions();
        self.check_presence();
    }

    /// The data.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// What the last request cost.
    pub fn spent(&self) -> Spent {
        self.current.spent
    }

    /// Counters since the start.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Opens a connection for the program that the server is a part of: trusted,
    /// without welcome and heartbeat, and if wanted without a budget for its
    /// requests. False while the server is stopping.
    pub fn connect_local(&mut self, id: ConnId, unlimited: bool, now: Now) -> bool {
        self.take_time(now);
        if !self.serves_newcomers() {
            return false;
        }
        let peer = Peer::of([127, 0, 0, 1].into());
        let conn = self.conns.open(id, &peer, now);
        conn.trusted = true;
        conn.unlimited = unlimited;
        true
    }

    /// Open connections; those that are closing are not counted.
    pub fn connection_count(&self) -> usize {
        self.conns.len()
    }
}

/// The text of a panic's payload.
fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no text")
}
