//! What traces of buckets tell: who has changed what, and which views that
//! concerned.

use super::trace::{MOST_KEY, Target, object};
use crate::app::ConnId;
use crate::engine::Engine;
use crate::json::{Json, Object};
use crate::store::{BucketId, Change, Commit};

/// Names of fields that one change lists.
const MOST_FIELDS: usize = 64;

/// Who changes records now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::engine) enum Author {
    /// A request of this connection.
    Conn(ConnId),
    Rule(Box<str>),
    Procedure(Box<str>),
    /// Time.
    #[default]
    Expiry,
    #[cfg(feature = "sqlite")]
    Restore,
}

/// Traced buckets that a commit has changed, and how things stood before the views
/// followed it.
#[derive(Debug)]
pub(in crate::engine) struct Followed {
    buckets: Vec<BucketId>,
    began: u64,
    looked: u64,
    changed: u64,
}

impl Engine {
    /// A commit has changed records.
    pub(in crate::engine) fn trace_commit(&mut self, commit: &Commit, number: u64) {
        if !self.is_tracing() {
            return;
        }
        let traced: Vec<BucketId> = self.traces.buckets().collect();
        for change in commit.changes.iter().filter(|change| traced.contains(&change.bucket)) {
            if !self.traces.has_room() {
                break;
            }
            let Some(entry) = self.change_entry(change, number) else { continue };
            self.traces.keep(Target::Bucket(change.bucket), entry);
        }
    }

    /// Views are about to follow a commit. `None`: nobody traces what it changes.
    pub(in crate::engine) fn before_views(&self, commit: &Commit) -> Option<Followed> {
        if !self.is_tracing() {
            return None;
        }
        let has_changed = |id: &BucketId| {
            commit.changes.iter().any(|change| change.bucket == *id)
                || commit.cleared.iter().any(|(bucket, _)| bucket == id)
        };
        let mut buckets: Vec<BucketId> = self.traces.buckets().filter(has_changed).collect();
        buckets.sort_unstable();
        buckets.dedup();
        (!buckets.is_empty()).then(|| Followed {
            buckets,
            began: self.stopwatch(),
            looked: self.views.followed,
            changed: self.views.news_number(),
        })
    }

    /// They have: how many it concerned, and of how many the result is another one.
    pub(in crate::engine) fn trace_views(&mut self, before: Option<Followed>, number: u64) {
        let Some(Followed { buckets, began, looked, changed }) = before else { return };
        let since = |now: u64, then: u64| Json::Number(now.saturating_sub(then) as f64);
        let entry = object([
            ("kind", Json::from("views")),
            ("commit", Json::Number(number as f64)),
            ("looked", since(self.views.followed, looked)),
            ("changed", since(self.views.news_number(), changed)),
            ("micros", since(self.stopwatch(), began)),
        ]);
        for bucket in buckets {
            self.traces.keep(Target::Bucket(bucket), entry.clone());
        }
    }

    fn change_entry(&self, change: &Change, number: u64) -> Option<Object> {
        let bucket = self.store.bucket(change.bucket)?;
        let (op, row) = match (&change.old, &change.new) {
            (None, Some(row)) => ("insert", row),
            (Some(_), Some(row)) => ("update", row),
            (Some(row), None) => ("delete", row),
            (None, None) => return None,
        };
        let key: String = bucket.key_of(row).to_json().to_text().chars().take(MOST_KEY).collect();
        let old = change.old.as_ref().map(|row| row.raw());
        let new = change.new.as_ref().map(|row| row.raw());
        let differs = |name: &str| {
            let of = |raw: Option<crate::json::Raw<'_>>| {
                raw.and_then(|raw| raw.get(name)).map(|value| value.text().to_owned())
            };
            of(old) != of(new)
        };
        let both = new.into_iter().chain(old).flat_map(crate::json::Raw::members);
        let mut fields: Vec<String> = Vec::new();
        for (name, _) in both.take(2 * MOST_FIELDS) {
            if fields.len() < MOST_FIELDS
                && !fields.iter().any(|have| **have == *name)
                && differs(&name)
            {
                fields.push(name.into_owned());
            }
        }
        let fields = fields.into_iter().map(Json::from).collect();
        Some(object([
            ("kind", Json::from("change")),
            ("commit", Json::Number(number as f64)),
            ("op", Json::from(op)),
            ("key", Json::from(key)),
            ("fields", Json::Array(fields)),
            ("by", self.author(change)),
        ]))
    }

    fn author(&self, change: &Change) -> Json {
        let members = match &self.current.author {
            _ if change.by_reference => object([("reference", Json::Bool(true))]),
            Author::Conn(conn) => {
                let name = self.conns.get(*conn).map_or_else(String::new, |conn| conn.name());
                object([("connectionId", Json::from(name))])
            }
            Author::Rule(id) => object([("ruleId", Json::from(&**id))]),
            Author::Procedure(name) => object([("procedure", Json::from(&**name))]),
            Author::Expiry => object([("expiry", Json::Bool(true))]),
            #[cfg(feature = "sqlite")]
            Author::Restore => object([("restore", Json::Bool(true))]),
        };
        Json::Object(members)
    }
}
