//! The view of a program's query.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use serde_json::Value;

use super::super::view::{Body, Changed, ViewStats};
use super::{Dependencies, Effect, Program, QueryCx, RecordChange, Started};
use crate::budget::Budget;
use crate::json::Json;
use crate::protocol::{ErrorCode, OpError};
use crate::store::{Change, Store};

/// One in so many failures of a query is logged.
const LOG_EVERY: u64 = 1000;

/// A program's query with one set of parameters.
pub(crate) struct ProgramView {
    program: Arc<dyn Program>,
    params: Option<Value>,
    state: Option<Box<dyn Any + Send>>,
    result: Option<Json>,
    body: Body,
    /// What its upkeep is taken from.
    pub budget: Budget,
    pub dependencies: Dependencies,
    pub failures: u64,
}

impl std::fmt::Debug for ProgramView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProgramView").field("params", &self.params).finish_non_exhaustive()
    }
}

fn text(result: Option<&Json>) -> Body {
    result.map(|result| {
        let mut out = Vec::new();
        result.write(&mut out);
        out.into()
    })
}

impl ProgramView {
    pub fn new(
        store: &Store,
        program: Arc<dyn Program>,
        params: Option<Value>,
        budget: &Budget,
    ) -> Result<ProgramView, OpError> {
        let mut view = ProgramView {
            program,
            params,
            state: None,
            result: None,
            body: None,
            budget: budget.clone(),
            dependencies: Dependencies::default(),
            failures: 0,
        };
        view.result = view.start(store)?;
        view.body = text(view.result.as_ref());
        Ok(view)
    }

    /// Runs it from scratch. An error leaves everything as it was.
    fn start(&mut self, store: &Store) -> Result<Option<Json>, OpError> {
        let cx = QueryCx::new(store, &self.budget);
        let run = catch_unwind(AssertUnwindSafe(|| self.program.start(&cx, self.params.as_ref())));
        let run = run.unwrap_or_else(|_| Err(panicked()));
        // Also of a query that made something of what was cut short.
        self.budget.check()?;
        let Started { result, state } = run?;
        self.state = state;
        self.dependencies = cx.into_dependencies();
        Ok(result.map(Json::from))
    }

    pub fn body(&self) -> Body {
        self.body.clone()
    }

    pub fn is_incremental(&self) -> bool {
        self.state.is_some()
    }

    pub fn memory(&self) -> usize {
        self.body.as_ref().map_or(0, |body| body.len() * 4)
    }

    /// Follows a commit, of which these changes could concern it; all changes
    /// of a bucket may be missing if the bucket was cleared: then `again`.
    pub fn apply(
        &mut self,
        store: &Store,
        changes: &[&Change],
        again: bool,
        stats: &mut ViewStats,
    ) -> Option<Changed> {
        stats.commits += 1;
        let effect = if again { Effect::Rerun } else { self.follow(store, changes) };
        let next = match effect {
            Effect::Unchanged => return None,
            Effect::Changed => Ok(self.current()),
            Effect::Rerun => {
                stats.reruns += 1;
                self.start(store)
            }
        };
        match next {
            Ok(next) if next == self.result => None,
            Ok(next) => {
                stats.changes += 1;
                self.result = next;
                let body = text(self.result.as_ref());
                // Its upkeep has no end.
                let _ = self.budget.spend_bytes(body.as_ref().map_or(0, |body| body.len()));
                let previous = std::mem::replace(&mut self.body, body.clone());
                Some(Changed {
                    full: true,
                    body: Some(body),
                    previous: Some(previous),
                    ..Changed::default()
                })
            }
            Err(error) => {
                if self.failures.is_multiple_of(LOG_EVERY) {
                    log::warn!("a query fails and keeps its last result: {error}");
                }
                self.failures += 1;
                None
            }
        }
    }

    /// Lets an incremental query follow. One that panics starts anew.
    fn follow(&mut self, store: &Store, changes: &[&Change]) -> Effect {
        let Some(state) = &mut self.state else { return Effect::Rerun };
        let records: Vec<RecordChange<'_>> = changes
            .iter()
            .filter_map(|change| {
                let bucket = store.bucket(change.bucket)?.name();
                Some(RecordChange { bucket, change })
            })
            .collect();
        let program = &self.program;
        let run = catch_unwind(AssertUnwindSafe(|| program.apply(state.as_mut(), &records)));
        run.unwrap_or(Effect::Rerun)
    }

    fn current(&self) -> Option<Json> {
        let state = self.state.as_ref()?;
        let run = catch_unwind(AssertUnwindSafe(|| self.program.result(state.as_ref())));
        run.ok().flatten().map(Json::from)
    }
}

/// What a subscriber is told of a query that panicked.
fn panicked() -> OpError {
    OpError::new(ErrorCode::InternalError, "An unexpected error occurred")
}
