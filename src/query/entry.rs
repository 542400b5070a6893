//! A query and a view as they are kept, and what is counted of them.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::definition::Definition;
use super::derived::Derivation;
use super::ids::{QueryId, ViewId};
use super::live::Live;
use super::program::Program;
use super::routing::Route;
use crate::app::CommitSeq;
use crate::budget::Budget;
use crate::protocol::{ErrorCode, OpError};
use crate::recent::Recent;
use crate::store::BucketId;

#[derive(Debug)]
pub(super) struct Query {
    /// Of one without a name, what people are told about it.
    pub name: Box<str>,
    /// The text of one without a name.
    pub ad_hoc: Option<Box<str>>,
    pub source: Source,
    pub views: HashMap<ViewKey, ViewId>,
    /// What the upkeep of its views has cost: without a limit, but counted.
    pub upkeep: Budget,
    /// What it was when the current commit came, and that commit's number.
    pub counted: (u64, u64),
    pub costly: Option<Costly>,
}

/// What computes the results.
#[derive(Clone)]
pub(super) enum Source {
    Declared(Arc<Definition>),
    Program(Arc<dyn Program>),
    Derived(Arc<dyn Derivation>),
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Source::Declared(definition) => definition.fmt(f),
            Source::Program(_) => f.write_str("Program"),
            Source::Derived(_) => f.write_str("Derived"),
        }
    }
}

impl Source {
    pub fn definition(&self) -> Option<&Definition> {
        match self {
            Source::Declared(definition) => Some(definition),
            Source::Program(_) | Source::Derived(_) => None,
        }
    }
}

/// A query that has cost too much.
#[derive(Clone, Debug)]
pub(super) struct Costly {
    /// When an update last cost too much.
    pub last_expensive: u64,
    /// When the next update may begin.
    pub next: u64,
    /// Steps of the update that is under way.
    pub spent: u64,
    /// Views that have missed a commit, the longest waiting first.
    pub lagging: VecDeque<ViewId>,
}

/// What views of one query differ in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct ViewKey {
    /// The text of the parameters: of a declarative query, of those that its
    /// filter mentions.
    pub params: Box<str>,
    pub read_filter: Option<Box<str>>,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub live: Live,
    pub query: QueryId,
    pub key: ViewKey,
    /// Where it is filed.
    pub routes: Vec<(BucketId, Route)>,
    /// Changes of the current commit that concern it, by index.
    pub pending: Vec<usize>,
    /// It has not followed the newest commits.
    pub lagging: bool,
    /// The newest commit that it shows, while it lags.
    pub shows: CommitSeq,
    /// The commit after which its result is as it is.
    pub changed: CommitSeq,
    pub upkeep: Upkeep,
    pub memory: usize,
}

/// What keeping one view has cost.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Upkeep {
    /// Never given again, unlike the place of the view.
    pub number: u64,
    pub created_at: u64,
    pub micros: u64,
    pub largest_micros: u64,
    pub last_micros: u64,
    pub pushed_bytes: u64,
    /// Of those that were counted by their reason.
    pub reruns: u64,
    pub recent: Recent<Lately>,
}

/// What a view has done in some minutes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lately {
    pub commits: u32,
    pub reruns: u32,
    pub pushed_bytes: u64,
}

impl std::ops::AddAssign for Lately {
    fn add_assign(&mut self, more: Lately) {
        self.commits = self.commits.saturating_add(more.commits);
        self.reruns = self.reruns.saturating_add(more.reruns);
        self.pushed_bytes = self.pushed_bytes.saturating_add(more.pushed_bytes);
    }
}

impl Upkeep {
    pub fn new(number: u64, created_at: u64) -> Self {
        Upkeep { number, created_at, ..Upkeep::default() }
    }

    /// It has followed one commit.
    pub fn count(&mut self, micros: u64) {
        self.micros = self.micros.saturating_add(micros);
        self.largest_micros = self.largest_micros.max(micros);
        self.last_micros = micros;
    }
}

/// A view that took long to follow a commit.
#[derive(Clone, Debug)]
pub(crate) struct SlowView {
    pub query: Box<str>,
    pub micros: u64,
    /// Why it is evaluated afresh, if it is.
    pub fallback: Option<&'static str>,
}

/// `Query "{name}" is not defined`
pub(crate) fn not_a_query(name: &str) -> OpError {
    OpError::new(ErrorCode::QueryNotDefined, format!("Query \"{name}\" is not defined"))
}
