//! Who gets which budget, and what becomes of a request that used its own up.

use super::{Engine, Outcome, Timer};
use crate::app::{AskHeld, ConnId, Held};
use crate::budget::OverBudget;
use crate::json::{Json, Object};
use crate::protocol::{ErrorCode, OpError, Operation, Reply, Tier};
use crate::store::BucketId;

/// Steps of the last request, for whoever compares them with its time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spent {
    pub request: u64,
    /// Records that it looked at.
    pub looked_at: u64,
    /// Rows of its answer.
    pub rows: u64,
    /// What rules made of it.
    pub after: u64,
}

impl Engine {
    /// A budget for a request of this connection.
    pub(super) fn begin_budget(&mut self, conn: ConnId) {
        match self.conns.get(conn).is_some_and(|conn| conn.unlimited) {
            true => self.budget.renew(0, usize::MAX),
            false => self.fresh_budget(),
        }
        self.go_on_with_budget(conn);
    }

    /// A budget for what no request is charged for: a root trigger of rules.
    pub(super) fn fresh_budget(&mut self) {
        self.budget.renew(self.options.request_steps, self.options.max_reply_bytes);
    }

    /// Whether work that can be put off has done less than one request may.
    pub(super) fn may_go_on(&self, spent: u64) -> bool {
        self.options.request_steps == 0 || spent < self.options.request_steps
    }

    /// What records, indexes and views may take; `None`: as much as there is.
    /// Who knows what the transport holds.
    pub(crate) fn set_held(&mut self, ask: AskHeld) {
        self.held = Some(ask);
    }

    pub(crate) fn limit_data(&mut self, bytes: Option<u64>) {
        self.store.limit_memory(bytes);
    }

    /// `limits` and `data` of `server.stats`.
    pub(super) fn write_limits(&self, out: &mut Vec<u8>) -> Result<(), OverBudget> {
        out.extend_from_slice(b",\"limits\":");
        self.limits_json().write(out);
        out.extend_from_slice(b",\"data\":");
        self.data_json()?.write(out);
        self.budget.reply(out.len())
    }

    fn limits_json(&self) -> Json {
        let metrics = &self.metrics;
        let background = self.store.background().map(|work| {
            object([
                ("kind", Json::from(work.kind)),
                ("bucket", Json::from(&*work.bucket)),
                ("done", number(work.done as f64)),
                ("total", number(work.total as f64)),
            ])
        });
        let [output, input] = self.held.as_ref().map_or_else(Default::default, |ask| ask());
        let limit = self.store.memory_limit().map_or(Json::Null, |limit| number(limit as f64));
        object([
            ("output", held_json(output)),
            ("input", held_json(input)),
            (
                "data",
                object([
                    ("used", number(self.store.memory() as f64)),
                    ("limit", limit),
                    ("reached", number(metrics.data_bytes_reached as f64)),
                ]),
            ),
            (
                "requestSteps",
                object([
                    ("limit", number(self.options.request_steps as f64)),
                    ("reached", number(metrics.request_steps_reached as f64)),
                ]),
            ),
            (
                "replyBytes",
                object([
                    ("limit", number(self.options.max_reply_bytes as f64)),
                    ("reached", number(metrics.reply_bytes_reached as f64)),
                ]),
            ),
            ("costlyViews", number(self.views.costly_queries() as f64)),
            ("background", Json::Array(background.collect())),
        ])
    }

    fn data_json(&self) -> Result<Json, OverBudget> {
        let views = self.views.memory_by_bucket();
        let mut buckets = Object::new();
        let (mut rows, mut indexes) = (0, 0);
        for bucket in self.store.buckets() {
            self.budget.spend(1)?;
            let (row_bytes, index_bytes) = (bucket.row_memory(), bucket.index_memory());
            rows += row_bytes;
            indexes += index_bytes;
            if self.is_system_bucket(bucket.name()) {
                continue;
            }
            let view_bytes = views.get(&bucket.id()).copied().unwrap_or(0);
            buckets.insert(
                bucket.name(),
                object([
                    ("records", number(bucket.len() as f64)),
                    ("rowBytes", number(row_bytes as f64)),
                    ("indexBytes", number(index_bytes as f64)),
                    ("viewBytes", number(view_bytes as f64)),
                ]),
            );
        }
        Ok(object([
            ("rows", number(rows as f64)),
            ("indexes", number(indexes as f64)),
            ("views", number(self.views.memory() as f64)),
            ("buckets", Json::Object(buckets)),
        ]))
    }

    /// Sets the timer for costly views, if there are any.
    pub(super) fn arm_costly_views(&mut self) {
        let Some(due) = self.views.next_catch_up() else { return };
        if self.chores.costly_views_at.is_none_or(|at| due < at) {
            self.chores.costly_views_at = Some(due);
            self.wheel.insert(due, Timer::CostlyViews);
        }
    }

    /// Some may be brought up to date.
    pub(super) fn costly_views_due(&mut self) {
        self.chores.costly_views_at = None;
        self.views.catch_up(&self.store, self.now.mono);
    }

    /// The last look at a request that ran: whether what it found out can be
    /// trusted and may be sent. `commits`: how many were seen before it.
    pub(super) fn hold_budget(
        &mut self,
        commits: u64,
        operation: Option<Operation>,
        reply: &Reply,
        result: Result<Outcome, OpError>,
    ) -> Result<Outcome, OpError> {
        let untouched = self.metrics.seen_commits() == commits;
        match result {
            // What changes something has looked before it did: now it is too
            // late to say no.
            Ok(outcome) => match self.budget.reply(reply.length()) {
                Err(_) if untouched && operation.is_some_and(may_be_given_up) => {
                    Err(self.too_costly())
                }
                _ => Ok(outcome),
            },
            // Without the rest of what it had to look at, it may be mistaken.
            Err(error) if error.code == ErrorCode::Backpressure => {
                self.metrics.data_bytes_reached += 1;
                Err(error)
            }
            Err(_) if untouched && self.budget.is_over() => Err(self.too_costly()),
            // Something was done before; the budget's own error says what helps.
            Err(error) if self.budget.check().is_err_and(|over| OpError::from(over) == error) => {
                Err(self.too_costly())
            }
            Err(error) => {
                if self.budget.is_over() {
                    self.count_over_budget();
                }
                Err(error)
            }
        }
    }

    /// The error of a request whose budget is used up, with what may help.
    pub(super) fn too_costly(&mut self) -> OpError {
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

/// Whether nothing is lost, and nothing has happened, when it is not answered.
fn may_be_given_up(operation: Operation) -> bool {
    match operation {
        // Its entries say it, each for itself.
        Operation::StoreSubscribeMany => false,
        // They look, too, at more than any scope shows.
        Operation::ServerTop | Operation::ServerViews | Operation::ServerInsights => true,
        _ => operation.only_looks() || operation.tier() == Some(Tier::Read),
    }
}

fn number(value: f64) -> Json {
    Json::Number(value)
}

fn object<const N: usize>(members: [(&str, Json); N]) -> Json {
    Json::Object(members.into_iter().collect())
}

/// What a transport holds for its connections.
fn held_json(held: Held) -> Json {
    object([
        ("used", number(held.used as f64)),
        ("limit", number(held.limit as f64)),
        ("reached", number(held.reached as f64)),
    ])
}
