//! The audit log: who did what, when, and what came of it.
//!
//! Owns the ring of entries, their shape and their bounds, the queries over
//! them, and the file that they are also written to. Knows nothing of
//! connections, of the store or of how requests are handled: it is told.
//!
//! Files from the ground up; each imports only what stands above its line:
//!
//! 1. `entry`
//! 2. `file`, `file/writer`, `filter`

mod entry;
mod file;
mod filter;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

pub use entry::{Entry, Note, Outcome, Who};
pub use file::AuditFile;
pub use filter::AuditFilter;

use crate::config;
use crate::protocol::{Operation, Request, Tier};

/// Gets every entry in the order in which they are recorded.
pub trait AuditSink: Send {
    /// Called on the loop's thread; must return quickly. A panic is caught,
    /// counted and logged; the entry stays in the ring, the response as it is.
    fn entry(&mut self, entry: &Arc<Entry>);

    /// Entries that it had to drop since the start.
    fn dropped_in_all(&self) -> u64 {
        0
    }
}

/// Tells whether the file cannot be written just now.
pub type IsFailing = Box<dyn Fn() -> bool + Send>;

/// The ring and what feeds it.
pub struct AuditLog {
    tiers: Vec<Tier>,
    /// Operations of `auth.*` and `session.*`, and what the server does to sessions count too.
    auth: bool,
    max_entries: usize,
    ring: VecDeque<Arc<Entry>>,
    sinks: Vec<Box<dyn AuditSink>>,
    /// With `sync: "always"`: whether the file cannot be written just now.
    is_failing: Option<IsFailing>,
    recorded: u64,
    sink_failures: u64,
}

impl std::fmt::Debug for AuditLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuditLog")
            .field("tiers", &self.tiers)
            .field("entries", &self.ring.len())
            .field("recorded", &self.recorded)
            .finish_non_exhaustive()
    }
}

impl AuditLog {
    pub fn new(settings: &config::Audit) -> Self {
        Self {
            tiers: settings.tiers.clone(),
            auth: settings.auth,
            max_entries: settings.max_entries,
            ring: VecDeque::new(),
            sinks: Vec::new(),
            is_failing: None,
            recorded: 0,
            sink_failures: 0,
        }
    }

    pub fn add_sink(&mut self, sink: Box<dyn AuditSink>) {
        self.sinks.push(sink);
    }

    /// From now on responses to what is recorded wait until the file has the
    /// entry on disk, and nothing that is to be recorded runs while it cannot
    /// have it.
    pub fn hold_responses(&mut self, is_failing: IsFailing) {
        self.is_failing = Some(is_failing);
    }

    /// Whether responses wait for the file.
    pub fn holds_responses(&self) -> bool {
        self.is_failing.is_some()
    }

    /// Whether what is to be recorded must not run.
    pub fn is_unavailable(&self) -> bool {
        self.is_failing.as_ref().is_some_and(|is_failing| is_failing())
    }

    /// Whether this operation is recorded, whatever comes of it.
    pub fn records(&self, operation: Operation) -> bool {
        match operation.tier() {
            Some(tier) => self.tiers.contains(&tier),
            None => self.auth && counts_as_admin(operation) && self.tiers.contains(&Tier::Admin),
        }
    }

    /// What an entry takes from the request, read before the request runs.
    pub fn note(&self, operation: Operation, request: &Request<'_>) -> Option<Note> {
        self.records(operation).then(|| Note::of(operation, request))
    }

    /// The same of somebody who acts as somebody else: whatever has a tier.
    pub fn note_of_impersonator(
        &self,
        operation: Operation,
        request: &Request<'_>,
    ) -> Option<Note> {
        let recorded = operation.tier().is_some() || self.records(operation);
        recorded.then(|| Note::of(operation, request))
    }

    /// Records what became of a request. `now_wall` in Unix milliseconds.
    pub fn record(&mut self, note: &Note, who: &Who<'_>, outcome: Outcome<'_>, now_wall: u64) {
        self.push(Entry::new(note, who, outcome, now_wall));
    }

    /// Records something that the server did to a session of this user.
    pub fn session_event(
        &mut self,
        operation: &'static str,
        user_id: Option<&str>,
        who: &Who<'_>,
        now_wall: u64,
    ) {
        if self.auth && self.tiers.contains(&Tier::Admin) {
            let note = Note::about_user(operation, user_id);
            self.push(Entry::new(&note, who, Outcome::Success, now_wall));
        }
    }

    fn push(&mut self, entry: Entry) {
        let entry = Arc::new(entry);
        self.recorded += 1;
        self.keep(Arc::clone(&entry));
        for sink in &mut self.sinks {
            if catch_unwind(AssertUnwindSafe(|| sink.entry(&entry))).is_err() {
                self.sink_failures += 1;
                log::error!("an audit sink panicked; the entry is in the ring only");
            }
        }
    }

    fn keep(&mut self, entry: Arc<Entry>) {
        if self.ring.len() >= self.max_entries {
            self.ring.pop_front();
        }
        self.ring.push_back(entry);
    }

    /// Fills the ring from lines of an earlier file, oldest first. What is not
    /// an entry is skipped. Sinks are not told.
    pub fn restore<'l>(&mut self, lines: impl Iterator<Item = &'l str>) {
        for entry in lines.filter_map(Entry::parse) {
            self.keep(Arc::new(entry));
        }
    }

    /// The entries that match, newest first.
    pub fn query<'l>(&'l self, filter: &'l AuditFilter) -> impl Iterator<Item = &'l Entry> {
        self.newest_first()
            .filter(|entry| filter.matches(entry))
            .skip(filter.offset)
            .take(filter.limit.unwrap_or(usize::MAX))
    }

    /// All entries held.
    pub(crate) fn newest_first(&self) -> impl Iterator<Item = &Entry> {
        self.ring.iter().rev().map(|entry| &**entry)
    }

    /// Entries held at most.
    pub fn capacity(&self) -> usize {
        self.max_entries
    }

    /// Entries held.
    pub fn len(&self) -> usize {
        self.ring.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ring.is_empty()
    }

    /// Entries recorded since the start.
    pub fn recorded(&self) -> u64 {
        self.recorded
    }

    /// Entries that sinks had to drop since the start.
    pub fn dropped(&self) -> u64 {
        self.sinks.iter().map(|sink| sink.dropped_in_all()).sum()
    }

    /// Entries that a sink failed to take since the start.
    pub fn sink_failures(&self) -> u64 {
        self.sink_failures
    }
}

/// Operations without a tier that `audit.auth` records as if they were `admin`.
fn counts_as_admin(operation: Operation) -> bool {
    matches!(
        operation,
        Operation::AuthLogin
            | Operation::AuthLogout
            | Operation::IdentityUpdateUser
            | Operation::IdentityUpdateRole
            | Operation::IdentityRefreshSession
            | Operation::SessionOpen
            | Operation::SessionClose
    )
}
