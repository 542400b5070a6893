//! Who gets which budget, and what becomes of a request that used its own up.

use super::{Engine, Outcome, Timer};
use crate::app::ConnId;
use crate::budget::OverBudget;
use crate::json::{Json, Object};
use crate::protocol::{OpError, Operation, Reply, Tier};
use crate::store::BucketId;

impl Engine {
    /// A budget for a request of this connection.
    pub(super) fn begin_budget(&mut self, conn: ConnId) {
        match self.conns.get(conn).is_some_and(|conn| conn.unlimited) {
            true => self.budget.renew(0, usize::MAX),
            false => self.fresh_budget(),
        }
    }

    /// A budget for what no request is charged for: a root trigger of rules.
    pub(super) fn fresh_budget(&mut self) {
        self.budget.renew(self.options.request_steps, self.options.max_reply_bytes);
    }

    /// Whether work that can be put off has done less than one request may.
    pub(super) fn may_go_on(&self, spent: u64) -> bool {
        self.options.request_steps == 0 || spent < self.options.request_steps
    }

    /// Sets the timer for costly views, if there are any.
    pub(super) fn arm_costly_views(&mut self) {
        let Some(due) = self.views.next_catch_up() else { return };
        if self.costly_views_at.is_none_or(|at| due < at) {
            self.costly_views_at = Some(due);
            self.wheel.insert(due, Timer::CostlyViews);
        }
    }

    /// Some may be brought up to date.
    pub(super) fn costly_views_due(&mut self) {
        self.costly_views_at = None;
        self.views.catch_up(&self.store, self.now.mono);
    }

    /// The last look at a request that ran: whether what it found out can be
    /// trusted and may be sent. `commits`: how many there were before it.
    pub(super) fn hold_budget(
        &mut self,
        commits: u64,
        operation: &str,
        reply: &Reply,
        result: Result<Outcome, OpError>,
    ) -> Result<Outcome, OpError> {
        let untouched = self.metrics.commits == commits;
        match result {
            // What changes something has looked before it did: now it is too
            // late to say no.
            Ok(outcome) => {
                let reads = || Operation::from_name(operation)?.tier();
                match self.budget.reply(reply.length()) {
                    Err(_) if untouched && reads() == Some(Tier::Read) => Err(self.too_costly()),
                    _ => Ok(outcome),
                }
            }
            // Without the rest of what it had to look at, it may be mistaken.
            Err(_) if untouched && self.budget.is_over() => Err(self.too_costly()),
            Err(error) => {
                if self.budget.is_over() {
                    self.count_over_budget();
                }
                Err(error)
            }
        }
    }

    /// The error of a request whose budget is used up, with what may help.
    fn too_costly(&mut self) -> OpError {
        self.count_over_budget();
        let Err(over) = self.budget.check() else { return OpError::internal() };
        let mut error = OpError::from(over);
        let scanned = self.budget.scanned().filter(|_| matches!(over, OverBudget::Steps(_)));
        let bucket = scanned.and_then(|id| self.store.bucket(BucketId(id)));
        if let (Some(bucket), OverBudget::Steps(steps)) = (bucket, over) {
            let hint = format!("no index serves this filter on bucket \"{}\"", bucket.name());
            let details: Object =
                [("limit", Json::Number(steps as f64)), ("hint", Json::from(hint))]
                    .into_iter()
                    .collect();
            error = error.with_details(Json::Object(details));
        }
        error
    }

    fn count_over_budget(&mut self) {
        match self.budget.check() {
            Ok(()) => {}
            Err(OverBudget::Steps(_)) => self.metrics.request_steps_reached += 1,
            Err(OverBudget::Reply(_)) => self.metrics.reply_bytes_reached += 1,
        }
    }
}
