//! Subscribers whose rights have changed: from the view of one read filter to
//! that of another.

use std::sync::Arc;

use super::entry::{Source, ViewKey, not_a_query};
use super::ids::{QueryId, ViewId};
use super::live::{Common, Live};
use super::news::News;
use super::view::{Body, View, Want};
use super::views::{Views, filing_steps, filter_text};
use crate::budget::Budget;
use crate::json::Json;
use crate::protocol::OpError;
use crate::store::{BucketId, Store};

/// Bytes of the text of a read filter that are a step.
const BYTES_PER_STEP: u64 = 16;

impl Views {
    /// Whether a view shows what this read filter leaves.
    pub fn shows_through(&self, id: ViewId, read: Option<&Json>) -> bool {
        let Some(entry) = self.entry(id) else { return false };
        match (&entry.key.read_filter, read) {
            (None, None) => true,
            (Some(have), Some(read)) => **have == *filter_text(read),
            _ => false,
        }
    }

    /// The bucket of a declarative query's view, with or without a name.
    pub fn bucket_of(&self, id: ViewId) -> Option<&str> {
        let query = self.queries.get(&self.entry(id)?.query)?;
        query.source.definition().map(|definition| &*definition.bucket)
    }

    /// The views that read a bucket, or one of its name.
    pub fn reading(&self, bucket: BucketId, name: &str) -> Vec<ViewId> {
        let mut views = self.over(bucket);
        views.extend(self.views_naming(name));
        views.sort_unstable();
        views.dedup();
        views
    }

    /// The last result that a subscriber can have been sent who was told
    /// everything up to `since`. `None`: it is not known any more.
    pub fn last_told(&self, id: ViewId, since: u64) -> Option<Body> {
        let mut news = self.pending_news().filter(|item| item.view == id && item.number > since);
        match news.next().map(|item| &item.news) {
            Some(News::Changed(changed)) => changed.previous.clone(),
            Some(News::Ended(_) | News::Failed) => None,
            None => match self.get(id)? {
                Live::Declared(view) => view.made_body(),
                Live::Program(view, _) => Some(view.body()),
                Live::Derived(view, _) => Some(view.body()),
            },
        }
    }

    fn insert_moved(
        &mut self,
        store: &Store,
        (query, key): (QueryId, ViewKey),
        live: Live,
        upkeep: &Budget,
    ) -> ViewId {
        let routes = live.routes(store);
        let _ = upkeep.spend(filing_steps(&routes));
        self.insert(query, key, live, routes)
    }

    /// Joins the view of the same query and parameters through another read
    /// filter, or makes it; with the steps that this took. The old one is left by
    /// the caller.
    ///
    /// # Errors
    /// Why there is no result.
    pub fn rejoin(
        &mut self,
        store: &Store,
        from: ViewId,
        read_filter: Option<Arc<Json>>,
        want: Want,
    ) -> Result<(ViewId, u64), OpError> {
        let text_bytes = self.limits.text_bytes;
        let entry = self.entry(from).ok_or_else(OpError::internal)?;
        let id = entry.query;
        let query = self.queries.get(&id).ok_or_else(|| not_a_query(""))?;
        let upkeep = query.upkeep.clone();
        let before = upkeep.spent();
        let read = read_filter.as_ref().map(|filter| filter_text(filter));
        // A filter with a list is long: it is made a text, and then compared.
        let length = read.as_ref().map_or(0, |read| read.len());
        let _ = upkeep.spend(length as u64 / BYTES_PER_STEP);
        let key = ViewKey { params: entry.key.params.clone(), read_filter: read };
        let found = query.views.get(&key).copied();
        let view = match (found, &query.source, &entry.live) {
            (Some(view), ..) => view,
            (None, Source::Declared(definition), Live::Declared(view)) => {
                let bucket = store.require(&definition.bucket)?;
                let (definition, params) = (Arc::clone(definition), view.params().clone());
                let asking = (&upkeep, text_bytes);
                let view = View::new(bucket, definition, params, read_filter, want, asking)?;
                self.insert_moved(store, (id, key), Live::Declared(Box::new(view)), &upkeep)
            }
            (None, Source::Derived(derivation), _) => {
                let view = derivation.start(store, read_filter.as_ref(), self.wall, &upkeep)?;
                let live = Live::Derived(view, Common::default());
                self.insert_moved(store, (id, key), live, &upkeep)
            }
            // What a program shows depends on no read filter.
            (None, ..) => from,
        };
        self.catch_up_for(store, view, &upkeep)?;
        if let Some(live) = self.get_mut(view) {
            live.join(store, want);
            self.subscribers += 1;
        }
        self.account(store, view);
        Ok((view, upkeep.spent().saturating_sub(before)))
    }
}
