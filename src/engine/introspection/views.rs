//! `server.views`: the live views, what they hold and what they cost.

use std::cmp::Reverse;

use super::fields::{integer, text, word};
use crate::engine::Engine;
use crate::json::{Json, Object};
use crate::protocol::{OpError, Request};
use crate::query::{ViewRow, WantedViews};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    Cost,
    Rows,
    Bytes,
    Subscribers,
    Reruns,
    Pushed,
}

const SORTS: [(&str, Sort); 6] = [
    ("cost", Sort::Cost),
    ("rows", Sort::Rows),
    ("bytes", Sort::Bytes),
    ("subscribers", Sort::Subscribers),
    ("reruns", Sort::Reruns),
    ("pushed", Sort::Pushed),
];

impl Sort {
    fn weight(self, row: &ViewRow) -> u64 {
        match self {
            Sort::Cost => row.micros,
            Sort::Rows => row.rows.unwrap_or(0) as u64,
            Sort::Bytes => row.bytes as u64,
            Sort::Subscribers => row.subscribers as u64,
            Sort::Reruns => row.reruns,
            Sort::Pushed => row.pushed_bytes,
        }
    }
}

fn number(value: u64) -> Json {
    Json::Number(value as f64)
}

fn object<const N: usize>(members: [(&'static str, Json); N]) -> Json {
    Json::Object(members.into_iter().collect::<Object>())
}

impl Engine {
    pub(in crate::engine) fn server_views(
        &mut self,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), OpError> {
        let query = text(request, "query")?;
        let bucket = text(request, "bucket")?;
        let sort = word(request, "sort", &SORTS)?;
        let limit = integer(request, "limit", 1..=1_000, 50)?;
        if let Some(name) = query.as_deref().filter(|name| !self.has_live_query(name)) {
            return Err(OpError::not_found(format!("Query \"{name}\" not found")));
        }
        if let Some(name) = bucket.as_deref().filter(|name| self.store.bucket_id(name).is_none()) {
            return Err(OpError::not_found(format!("Bucket \"{name}\" not found")));
        }
        let wanted = WantedViews { query: query.as_deref(), bucket: bucket.as_deref() };
        self.views_shown(wanted, sort, limit as usize)?.write(out);
        Ok(())
    }

    /// The views by what they cost, at most so many, as `server.views` shows them.
    pub(crate) fn views_by_cost(&self, limit: usize) -> Json {
        self.views_shown(WantedViews::default(), Sort::Cost, limit).unwrap_or_default()
    }

    /// Whether subscribers can name it: a query, or a view of logic.
    fn has_live_query(&self, name: &str) -> bool {
        self.views.is_defined(name)
            || self.logic.as_deref().is_some_and(|logic| logic.view(name).is_some())
    }

    fn views_shown(
        &self,
        wanted: WantedViews<'_>,
        sort: Sort,
        limit: usize,
    ) -> Result<Json, OpError> {
        self.budget.spend(self.views.count() as u64)?;
        let mut rows = self.views.listed(&self.store, wanted, self.now.mono);
        rows.sort_by_key(|row| (Reverse(sort.weight(row)), row.number));
        rows.truncate(limit);
        let mut shown = Vec::with_capacity(rows.len());
        for row in rows {
            self.budget.spend(row.subscribers as u64)?;
            shown.push(self.view_row(row));
        }
        Ok(object([
            ("at", number(self.now.wall)),
            ("views", number(self.views.count() as u64)),
            ("bytes", number(self.views.memory() as u64)),
            ("rows", Json::Array(shown)),
        ]))
    }

    fn view_row(&self, row: ViewRow) -> Json {
        let names = |names: Vec<Box<str>>| {
            Json::Array(names.into_iter().map(|name| Json::from(&*name)).collect())
        };
        let count = |value: usize| number(value as u64);
        let known = |value: Option<usize>| value.map_or(Json::Null, count);
        let (delta, stale) = self.subscriptions.kinds_of(row.id);
        object([
            ("view", Json::from(format!("view-{}", row.number))),
            ("query", Json::from(&*row.query)),
            ("buckets", names(row.buckets)),
            ("params", Json::from(&*row.params)),
            ("readFilter", Json::Bool(row.has_read_filter)),
            ("state", Json::from(row.state)),
            ("routedBy", names(row.routed_by)),
            ("fallback", row.fallback.map_or(Json::Null, Json::from)),
            ("commits", number(row.commits)),
            ("changes", number(row.changes)),
            ("reruns", number(row.reruns)),
            ("refills", number(row.refills)),
            ("rows", known(row.rows)),
            ("bytes", count(row.bytes)),
            ("resultBytes", known(row.result_bytes)),
            ("subscribers", count(row.subscribers)),
            ("deltaSubscribers", count(delta)),
            ("staleSubscribers", count(stale)),
            ("costly", Json::Bool(row.is_costly)),
            (
                "updateMicros",
                object([
                    ("total", number(row.micros)),
                    ("largest", number(row.largest_micros)),
                    ("last", number(row.last_micros)),
                ]),
            ),
            ("pushedBytes", number(row.pushed_bytes)),
            ("createdAt", number(row.created_at)),
        ])
    }
}
