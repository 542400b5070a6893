//! All queries, all views, and what a commit does to them.
//!
//! Pure over the store: knows subscribers only as numbers of people who want
//! something, and connections not at all.

use std::collections::{BTreeMap, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use slab::Slab;

use super::definition::Definition;
use super::form::Fallback;
use super::params::{Params, given};
use super::routing::{Route, Routes};
use super::view::{Changed, View, ViewLimits, Want};
use crate::json::{Json, Raw};
use crate::protocol::{ErrorCode, OpError};
use crate::store::{BucketId, Change, Commit, DefinitionChange, Filter, Store, not_defined};

/// Names a view while it has subscribers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ViewId(u32);

/// Names one definition of a query for ever; ascends with time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct QueryId(u32);

/// Why subscriptions end without their clients' doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EndReason {
    QueryUndefined,
    BucketDropped,
    AccessRevoked,
}

impl EndReason {
    pub const fn as_str(self) -> &'static str {
        match self {
            EndReason::QueryUndefined => "queryUndefined",
            EndReason::BucketDropped => "bucketDropped",
            EndReason::AccessRevoked => "accessRevoked",
        }
    }
}

/// What has happened to a view.
#[derive(Debug)]
pub(crate) enum News {
    Changed(Changed),
    /// It is gone.
    Ended(EndReason),
    /// A panic while it was maintained: it is gone.
    Failed,
}

/// One piece of news.
#[derive(Debug)]
pub(crate) struct NewsItem {
    /// Ascends by one.
    pub number: u64,
    /// The same for everything that one commit did.
    pub commit: u64,
    pub view: ViewId,
    pub news: News,
}

#[derive(Debug)]
struct Query {
    name: Box<str>,
    definition: Arc<Definition>,
    views: HashMap<ViewKey, ViewId>,
}

/// What views of one query differ in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct ViewKey {
    /// The text of the parameters that the filter mentions.
    params: Box<str>,
    read_filter: Option<Box<str>>,
}

#[derive(Debug)]
struct Entry {
    view: View,
    query: QueryId,
    key: ViewKey,
    route: Route,
    /// Changes of the current commit that concern it, by index.
    pending: Vec<usize>,
    memory: usize,
}

/// See the module's description.
#[derive(Debug, Default)]
pub(crate) struct Views {
    queries: BTreeMap<QueryId, Query>,
    names: HashMap<Box<str>, QueryId>,
    last_query: u32,
    views: Slab<Entry>,
    routes: HashMap<BucketId, Routes>,
    limits: ViewLimits,
    memory: usize,
    subscribers: usize,
    /// What has happened since the last [`Views::take_news`], in commit order.
    news: Vec<NewsItem>,
    news_number: u64,
    commits: u64,
    /// Reused.
    touched: Vec<ViewId>,
    scratch: String,
    #[cfg(any(test, feature = "test-ops"))]
    pub panic_in: Option<Box<str>>,
}

/// What `store.listQueries` shows of a query.
#[derive(Debug)]
pub(crate) struct Listed<'v> {
    pub name: &'v str,
    pub subscribers: usize,
    pub config: &'v Json,
}

impl Views {
    pub fn new(limits: ViewLimits) -> Self {
        Views { limits, ..Views::default() }
    }

    /// `store.defineQuery`: checks a configuration and gives it its name.
    pub fn define(&mut self, store: &Store, name: &str, config: &Json) -> Result<(), OpError> {
        let bucket = match config.get("bucket") {
            None => "undefined".into(),
            Some(bucket) => crate::json::js::string_of_json(bucket),
        };
        let known = config.get("bucket").and_then(Json::as_str);
        let bucket =
            known.and_then(|name| store.bucket_named(name)).ok_or_else(|| not_defined(&bucket))?;
        if self.names.contains_key(name) {
            return Err(OpError::new(
                ErrorCode::AlreadyExists,
                format!("Query \"{name}\" is already defined"),
            ));
        }
        let invalid =
            |reason: &str| OpError::validation(format!("Invalid query \"{name}\": {reason}"));
        let definition = Definition::parse(config).map_err(|reason| invalid(&reason))?;
        Filter::from_json(bucket.layout(), &definition.filter.sample()).map_err(|error| {
            invalid(error.message.strip_prefix("Invalid filter: ").unwrap_or(&error.message))
        })?;
        self.add(name, definition);
        Ok(())
    }

    /// Puts back a query that was defined before a restart; its bucket may have
    /// been dropped since, and then it fails as it did before.
    pub fn restore(&mut self, name: &str, config: &Json) -> Result<(), OpError> {
        let definition = Definition::parse(config)
            .map_err(|reason| OpError::validation(format!("Invalid query \"{name}\": {reason}")))?;
        self.add(name, definition);
        Ok(())
    }

    fn add(&mut self, name: &str, definition: Definition) {
        self.last_query += 1;
        let id = QueryId(self.last_query);
        let definition = Arc::new(definition);
        self.queries.insert(id, Query { name: name.into(), definition, views: HashMap::new() });
        self.names.insert(name.into(), id);
    }

    /// `store.undefineQuery`: its subscriptions end.
    pub fn undefine(&mut self, name: &str) -> Result<(), OpError> {
        let id = self.names.remove(name).ok_or_else(|| not_a_query(name))?;
        let query = self.queries.remove(&id);
        self.commits += 1;
        for view in query.into_iter().flat_map(|query| query.views.into_values()) {
            self.end(view, News::Ended(EndReason::QueryUndefined));
        }
        Ok(())
    }

    /// The queries in the order of their definition.
    pub fn list(&self) -> impl ExactSizeIterator<Item = Listed<'_>> {
        self.queries.values().map(|query| Listed {
            name: &query.name,
            subscribers: query
                .views
                .values()
                .filter_map(|id| self.get(*id))
                .map(View::subscribers)
                .sum(),
            config: &query.definition.config,
        })
    }

    pub fn queries(&self) -> usize {
        self.queries.len()
    }

    /// Live subscriptions.
    pub fn subscribers(&self) -> usize {
        self.subscribers
    }

    /// The bucket of a query; `None`: there is no such query.
    pub fn source(&self, query: &str) -> Option<&str> {
        let query = self.queries.get(self.names.get(query)?)?;
        Some(&query.definition.bucket)
    }

    /// Whether results of a query have positions unless asked otherwise.
    pub fn is_sorted(&self, query: &str) -> bool {
        let query = self.names.get(query).and_then(|id| self.queries.get(id));
        query.is_some_and(|query| !query.definition.sort.is_empty())
    }

    fn get(&self, id: ViewId) -> Option<&View> {
        self.views.get(id.0 as usize).map(|entry| &entry.view)
    }

    pub fn view(&mut self, id: ViewId) -> Option<&mut View> {
        self.views.get_mut(id.0 as usize).map(|entry| &mut entry.view)
    }

    /// The name of the query of a view.
    pub fn query_of(&self, view: ViewId) -> Option<&str> {
        let entry = self.views.get(view.0 as usize)?;
        self.queries.get(&entry.query).map(|query| &*query.name)
    }

    /// Joins the view of a query with these parameters, or makes it.
    pub fn subscribe(
        &mut self,
        store: &Store,
        name: &str,
        params: Option<Raw<'_>>,
        read_filter: Option<Arc<Json>>,
        want: Want,
    ) -> Result<ViewId, OpError> {
        let id = *self.names.get(name).ok_or_else(|| not_a_query(name))?;
        let query = self.queries.get_mut(&id).ok_or_else(|| not_a_query(name))?;
        let bucket = store.require(&query.definition.bucket)?;
        let params: Params = query.definition.filter.params(given(params));
        let key = ViewKey {
            params: params.text().into(),
            read_filter: read_filter.as_ref().map(|filter| filter.to_text().into()),
        };
        let view_id = match query.views.get(&key) {
            Some(view) => *view,
            None => {
                let definition = Arc::clone(&query.definition);
                let view = View::new(bucket, definition, params, read_filter, want)?;
                let route = Route::of(&view.plan.filter);
                let slot = self.views.vacant_entry();
                let view_id = ViewId(u32::try_from(slot.key()).unwrap_or(u32::MAX));
                if !view.plan.is_never {
                    self.routes.entry(view.bucket()).or_default().insert(&route, view_id);
                }
                let (pending, memory) = (Vec::new(), 0);
                slot.insert(Entry { view, query: id, key: key.clone(), route, pending, memory });
                query.views.insert(key, view_id);
                view_id
            }
        };
        if let Some(entry) = self.views.get_mut(view_id.0 as usize) {
            entry.view.join(bucket, want);
            self.subscribers += 1;
        }
        self.account(store, view_id);
        Ok(view_id)
    }

    /// One subscriber of a view has left. The last one takes it along.
    pub fn unsubscribe(&mut self, id: ViewId, want: Want) {
        let Some(entry) = self.views.get_mut(id.0 as usize) else { return };
        self.subscribers = self.subscribers.saturating_sub(1);
        if entry.view.leave(want) == 0 {
            self.remove(id);
        }
    }

    /// Forgets a view.
    fn remove(&mut self, id: ViewId) {
        let Some(entry) = self.views.try_remove(id.0 as usize) else { return };
        self.memory = self.memory.saturating_sub(entry.memory);
        let bucket = entry.view.bucket();
        if let Some(routes) = self.routes.get_mut(&bucket) {
            routes.remove(&entry.route, id);
            if routes.is_empty() {
                self.routes.remove(&bucket);
            }
        }
        if let Some(query) = self.queries.get_mut(&entry.query) {
            query.views.remove(&entry.key);
        }
    }

    /// A view ends with all its subscribers.
    fn end(&mut self, id: ViewId, news: News) {
        let left = self.get(id).map_or(0, View::subscribers);
        self.subscribers = self.subscribers.saturating_sub(left);
        self.remove(id);
        self.tell(id, news);
    }

    fn tell(&mut self, view: ViewId, news: News) {
        self.news_number += 1;
        let (number, commit) = (self.news_number, self.commits);
        self.news.push(NewsItem { number, commit, view, news });
    }

    /// Counts what a view takes. One that takes too much, or grows while all
    /// together do, is evaluated afresh from now on.
    fn account(&mut self, store: &Store, id: ViewId) {
        let limits = self.limits;
        let Some(entry) = self.views.get_mut(id.0 as usize) else { return };
        let mut memory = entry.view.memory();
        let others = self.memory.saturating_sub(entry.memory);
        let too_much = memory > limits.view_bytes
            || (memory > entry.memory && others.saturating_add(memory) > limits.total_bytes);
        if too_much && let Some(bucket) = store.bucket(entry.view.bucket()) {
            entry.view.give_up(bucket, Fallback::Budget);
            memory = entry.view.memory();
        }
        self.memory = others.saturating_add(memory);
        entry.memory = memory;
    }

    /// Brings all views up to date with a commit. Comes directly after it: the
    /// store is as the commit left it.
    pub fn apply(&mut self, store: &Store, commit: &Commit) {
        self.commits += 1;
        for definition in &commit.definitions {
            match definition {
                DefinitionChange::Defined(_) => {}
                DefinitionChange::Dropped { bucket, .. } => {
                    for id in self.over(*bucket) {
                        self.end(id, News::Ended(EndReason::BucketDropped));
                    }
                }
                DefinitionChange::Updated(defined) => {
                    for id in self.over(defined.bucket) {
                        self.maintain(store, id, |view, bucket, limits| {
                            view.start_over(bucket, limits)
                        });
                        self.route_again(id);
                    }
                }
            }
        }
        for (bucket, records) in &commit.cleared {
            if *records > 0 {
                for id in self.over(*bucket) {
                    self.maintain(store, id, |view, bucket, limits| {
                        view.start_over(bucket, limits)
                    });
                }
            }
        }
        self.apply_changes(store, &commit.changes, &commit.cleared);
    }

    fn apply_changes(&mut self, store: &Store, changes: &[Change], cleared: &[(BucketId, usize)]) {
        let mut touched = std::mem::take(&mut self.touched);
        let Views { routes, views, scratch, .. } = self;
        for (index, change) in changes.iter().enumerate() {
            // A cleared bucket was started over, with what came afterwards.
            let Some(routes) = routes.get(&change.bucket) else { continue };
            if cleared.iter().any(|(bucket, _)| *bucket == change.bucket) {
                continue;
            }
            routes.visit(change, scratch, |id| {
                let Some(entry) = views.get_mut(id.0 as usize) else { return };
                if entry.pending.is_empty() {
                    touched.push(id);
                }
                if entry.pending.last() != Some(&index) {
                    entry.pending.push(index);
                }
            });
        }
        for id in touched.drain(..) {
            let Some(entry) = self.views.get_mut(id.0 as usize) else { continue };
            let mut pending = std::mem::take(&mut entry.pending);
            self.maintain(store, id, |view, bucket, limits| {
                let mine: Vec<&Change> =
                    pending.iter().filter_map(|index| changes.get(*index)).collect();
                view.apply(bucket, &mine, limits)
            });
            if let Some(entry) = self.views.get_mut(id.0 as usize) {
                pending.clear();
                entry.pending = pending;
            }
        }
        self.touched = touched;
    }

    /// Runs something on a view. A panic ends the view, and nothing else.
    fn maintain(
        &mut self,
        store: &Store,
        id: ViewId,
        run: impl FnOnce(&mut View, &crate::store::Bucket, &ViewLimits) -> Option<Changed>,
    ) {
        let limits = self.limits;
        #[cfg(any(test, feature = "test-ops"))]
        let panics = self.views.get(id.0 as usize).is_some_and(|entry| {
            let query = self.queries.get(&entry.query);
            self.panic_in.is_some() && query.map(|q| &q.name) == self.panic_in.as_ref()
        });
        let Some(entry) = self.views.get_mut(id.0 as usize) else { return };
        let view = &mut entry.view;
        let Some(bucket) = store.bucket(view.bucket()) else { return };
        let result = catch_unwind(AssertUnwindSafe(|| {
            #[cfg(any(test, feature = "test-ops"))]
            assert!(!panics, "a test wants this view to fail");
            run(view, bucket, &limits)
        }));
        match result {
            Ok(changed) => {
                if let Some(changed) = changed {
                    self.tell(id, News::Changed(changed));
                }
                self.account(store, id);
            }
            Err(_) => self.end(id, News::Failed),
        }
    }

    /// Files a view anew after its bucket's layout has changed.
    fn route_again(&mut self, id: ViewId) {
        let Some(entry) = self.views.get_mut(id.0 as usize) else { return };
        let route = Route::of(&entry.view.plan.filter);
        let old = std::mem::replace(&mut entry.route, route);
        let routes = self.routes.entry(entry.view.bucket()).or_default();
        if !entry.view.plan.is_never {
            routes.remove(&old, id);
            routes.insert(&entry.route, id);
        }
    }

    /// The views of a query, each with its route.
    pub fn views_of(&self, query: &str) -> impl Iterator<Item = (&Route, &View)> {
        let query = self.names.get(query).and_then(|id| self.queries.get(id));
        let ids = query.into_iter().flat_map(|query| query.views.values());
        ids.filter_map(|id| self.views.get(id.0 as usize)).map(|entry| (&entry.route, &entry.view))
    }

    fn over(&self, bucket: BucketId) -> Vec<ViewId> {
        let over = self.views.iter().filter(|(_, entry)| entry.view.bucket() == bucket);
        over.map(|(slot, _)| ViewId(slot as u32)).collect()
    }

    /// What has happened since the last call, in commit order.
    pub fn take_news(&mut self) -> Vec<NewsItem> {
        std::mem::take(&mut self.news)
    }

    /// The number of the newest news.
    pub fn news_number(&self) -> u64 {
        self.news_number
    }

    pub fn has_news(&self) -> bool {
        !self.news.is_empty()
    }

    /// Panics where a kept result is not what an evaluation gives.
    pub fn check_invariants(&self, store: &Store) {
        assert!(self.news.is_empty(), "something has happened that nobody was told");
        let (mut subscribers, mut memory) = (0, 0);
        for (_, entry) in &self.views {
            memory += entry.memory;
            assert!(entry.view.subscribers() > 0, "a view that nobody wants");
            assert!(entry.pending.is_empty(), "changes that were not applied");
            subscribers += entry.view.subscribers();
            if let Some(bucket) = store.bucket(entry.view.bucket()) {
                entry.view.check(bucket);
            }
        }
        assert_eq!(subscribers, self.subscribers, "subscribers");
        assert_eq!(memory, self.memory, "memory of views");
    }
}

/// `Query "{name}" is not defined`
pub(crate) fn not_a_query(name: &str) -> OpError {
    OpError::new(ErrorCode::QueryNotDefined, format!("Query \"{name}\" is not defined"))
}
