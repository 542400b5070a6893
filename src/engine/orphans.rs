//! What was allowed to read a bucket that is gone (access.md A20).
//!
//! A query names its bucket. When the bucket was dropped and somebody defines
//! another one of that name, the query would show its readers records that
//! nobody allowed them. So it is remembered as an orphan, also over a restart,
//! until it is defined again by somebody who may read the bucket; until then
//! its readers need the right to read the bucket itself.

use std::collections::HashSet;

use super::Engine;
use super::commit_log::Log;
use crate::app::ConnId;
use crate::json::Json;
use crate::protocol::{OpError, Operation};
use crate::storage::Origin;
use crate::store::{Commit, DefinitionChange, Store};

/// The kind of the stored documents that say so; their names are those of the
/// queries.
const STORED: &str = "orphan";

/// In front of the name of a view of logic. No name that begins like this is
/// stored for a query, whose names come from clients as they are.
const VIEW: &str = "\0view ";

/// The names of queries whose bucket was dropped since they were defined.
pub(super) type Orphans = HashSet<Box<str>>;

/// The name of a view of logic among them.
pub(super) fn view(name: &str) -> String {
    format!("{VIEW}{name}")
}

/// A query is gone; one that is defined by its name is another one.
pub(super) fn forget(orphans: &mut Orphans, (log, store): (&mut Log, &Store), query: &str) {
    if orphans.remove(query) {
        log.forget(store, STORED, query);
    }
}

impl Engine {
    /// Takes over what was stored; what the configuration defines was allowed
    /// anew by whoever wrote it.
    pub(crate) fn restore_orphans(&mut self, is_configured: impl Fn(&str) -> bool) {
        for document in self.take_documents(STORED) {
            if document.name.starts_with(VIEW) {
                self.orphans.insert(document.name.into());
            } else if is_configured(&document.name) || !self.views.is_defined(&document.name) {
                self.log_forget(STORED, &document.name);
            } else {
                self.orphans.insert(document.name.into());
            }
        }
        // A bucket that is not kept is gone without having been dropped.
        let gone = self.views.list().filter_map(|query| {
            let bucket = query.config?.get("bucket")?.as_str()?;
            let is_gone = self.store.bucket_id(bucket).is_none() && !is_configured(query.name);
            is_gone.then(|| query.name.into())
        });
        self.orphans.extend(gone.collect::<Vec<_>>());
    }

    /// A commit may have dropped buckets that queries read.
    pub(super) fn note_orphans(&mut self, commit: &Commit) {
        for definition in &commit.definitions {
            let DefinitionChange::Dropped { name: bucket, .. } = definition else { continue };
            let views = self.logic.iter().flat_map(|logic| logic.views_over(bucket));
            let views: Vec<String> = views.map(|view| format!("{VIEW}{view}")).collect();
            for query in self.views.queries_over(bucket).into_iter().chain(views) {
                if self.orphans.insert(query.as_str().into()) {
                    self.log_document(STORED, &query, Origin::Wire, &Json::Bool(true));
                }
            }
        }
    }

    /// See [`Deriving::require_read`].
    pub(super) fn require_read_of_view(&mut self, conn: ConnId, view: &str) -> Result<(), OpError> {
        self.deriving(conn).require_read(view)
    }

    /// The buckets that who reads an orphan must be allowed to read.
    pub(super) fn buckets_of_orphan(
        &self,
        operation: Option<Operation>,
        name: Option<&str>,
    ) -> Vec<String> {
        let Some(name) = name else { return Vec::new() };
        let buckets: Vec<String> = match operation {
            Some(Operation::StoreSubscribe | Operation::StoreQuery)
                if self.orphans.contains(name) =>
            {
                self.query_source(name).into_iter().collect()
            }
            Some(Operation::LogicSubscribeView | Operation::LogicQueryView)
                if self.orphans.contains(&*view(name)) =>
            {
                let view = self.logic.as_ref().and_then(|logic| logic.view(name));
                view.into_iter().flat_map(|view| view.buckets()).map(str::to_owned).collect()
            }
            _ => Vec::new(),
        };
        buckets.into_iter().filter(|name| self.store.bucket_id(name).is_some()).collect()
    }

    /// Built-in mode: who reads an orphan must be allowed to read the bucket.
    pub(super) fn require_read_of_orphan(
        &mut self,
        conn: ConnId,
        query: &str,
    ) -> Result<(), OpError> {
        let buckets = self.buckets_of_orphan(Some(Operation::StoreQuery), Some(query));
        buckets.iter().try_for_each(|bucket| self.require_read(conn, bucket))
    }
}
