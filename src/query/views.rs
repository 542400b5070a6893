//! All queries, all views, and what a commit does to them.
//!
//! Pure over the store: knows subscribers only as numbers of people who want
//! something, and connections not at all.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use serde_json::Value;
use slab::Slab;

use super::entry::{Entry, Query, SlowView, Source, Upkeep, ViewKey, not_a_query};
use super::form::Fallback;
use super::ids::{QueryId, ViewId};
use super::live::{Common, Live};
use super::news::{News, NewsItem};
use super::params::given;
use super::program::ProgramView;
use super::routing::{Route, Routes};
use super::view::{View, ViewLimits, Want};
use crate::app::CommitSeq;
use crate::budget::Budget;
use crate::json::{Json, Raw};
use crate::protocol::OpError;
use crate::store::{BucketId, Store};

/// See the module's description.
#[derive(Debug, Default)]
pub(crate) struct Views {
    pub(super) queries: BTreeMap<QueryId, Query>,
    pub(super) names: HashMap<Box<str>, QueryId>,
    /// The same for what [`super::Derivation`] makes.
    pub(super) derived: HashMap<Box<str>, QueryId>,
    /// Queries without a name, by their text, while they have views.
    pub(super) ad_hoc: HashMap<Box<str>, QueryId>,
    pub(super) last_query: u32,
    pub(super) views: Slab<Entry>,
    pub(super) routes: HashMap<BucketId, Routes>,
    pub(super) limits: ViewLimits,
    memory: usize,
    /// How many there have been.
    last_view: u64,
    /// The slowest upkeep since somebody asked.
    pub(super) slow: Option<SlowView>,
    /// Microseconds to measure with.
    stopwatch: Option<fn() -> u64>,
    pub(super) subscribers: usize,
    /// What has happened since the last [`Views::take_news`], in commit order.
    news: Vec<NewsItem>,
    news_number: u64,
    pub(super) commits: u64,
    /// Reused.
    pub(super) touched: Vec<ViewId>,
    /// Queries whose views followed the current commit.
    pub(super) worked: Vec<QueryId>,
    /// Costly queries, as many as there are.
    pub(super) costly: BTreeSet<QueryId>,
    /// How often one was marked.
    pub costly_marks: u64,
    /// Updates of views by commits, and those of them that were evaluated from
    /// scratch, by why.
    pub followed: u64,
    pub reruns: std::collections::BTreeMap<&'static str, u64>,
    /// Monotonic milliseconds, of the newest commit.
    pub(super) now: u64,
    /// Unix time in milliseconds, likewise.
    pub wall: u64,
    /// The number of the newest commit, likewise.
    pub number: CommitSeq,
    pub(super) scratch: String,
    #[cfg(any(test, feature = "test-ops"))]
    pub panic_in: Option<Box<str>>,
}

/// Equal texts mean equal filters.
pub(super) fn filter_text(filter: &Json) -> Box<str> {
    let mut text = Vec::new();
    filter.write_lossless(&mut text);
    String::from_utf8(text).unwrap_or_default().into()
}

pub(super) fn filing_steps(routes: &[(BucketId, Route)]) -> u64 {
    routes.iter().map(|(_, route)| route.steps()).fold(0, u64::saturating_add)
}

impl Views {
    pub fn new(limits: ViewLimits) -> Self {
        Views { limits, ..Views::default() }
    }

    /// Lets what views cost be measured.
    #[must_use]
    pub fn measured_by(self, stopwatch: Option<fn() -> u64>) -> Self {
        Views { stopwatch, ..self }
    }

    /// Microseconds since some time.
    pub(super) fn watch(&self) -> u64 {
        self.stopwatch.map_or(0, |watch| watch())
    }

    /// What the configuration has to say about views.
    pub fn set_limits(&mut self, limits: ViewLimits) {
        self.limits = limits;
    }

    pub(super) fn entry(&self, id: ViewId) -> Option<&Entry> {
        self.views.get(id.0 as usize)
    }

    pub(super) fn entry_mut(&mut self, id: ViewId) -> Option<&mut Entry> {
        self.views.get_mut(id.0 as usize)
    }

    pub fn get(&self, id: ViewId) -> Option<&Live> {
        self.entry(id).map(|entry| &entry.live)
    }

    pub fn get_mut(&mut self, id: ViewId) -> Option<&mut Live> {
        self.entry_mut(id).map(|entry| &mut entry.live)
    }

    /// The name of the query of a view.
    pub fn query_of(&self, view: ViewId) -> Option<&str> {
        self.queries.get(&self.entry(view)?.query).map(|query| &*query.name)
    }

    /// Joins the view of a query with these parameters, or makes it. What it
    /// does is taken from the budget until [`Views::settle`].
    pub fn subscribe(
        &mut self,
        store: &Store,
        name: &str,
        params: Option<Raw<'_>>,
        read_filter: Option<Arc<Json>>,
        want: Want,
        budget: &Budget,
    ) -> Result<ViewId, OpError> {
        let id = *self.names.get(name).ok_or_else(|| not_a_query(name))?;
        self.join(store, (id, name), params, read_filter, want, budget)
    }

    /// Joins the view of a query that is there, or makes it.
    pub(super) fn join(
        &mut self,
        store: &Store,
        (id, name): (QueryId, &str),
        params: Option<Raw<'_>>,
        read_filter: Option<Arc<Json>>,
        want: Want,
        budget: &Budget,
    ) -> Result<ViewId, OpError> {
        let query = self.queries.get(&id).ok_or_else(|| not_a_query(name))?;
        let given = given(params);
        let read = read_filter.as_ref().map(|filter| filter_text(filter));
        let (key, live) = match &query.source {
            Source::Declared(definition) => {
                let bucket = store.require(&definition.bucket)?;
                let params = definition.filter.params(given);
                let key = ViewKey { params: params.text().into(), read_filter: read };
                let live = match query.views.get(&key) {
                    Some(view) => Err(*view),
                    None => {
                        let definition = Arc::clone(definition);
                        let view = View::new(
                            bucket,
                            definition,
                            params,
                            read_filter,
                            want,
                            (budget, self.limits.text_bytes),
                        )?;
                        Ok(Live::Declared(Box::new(view)))
                    }
                };
                (key, live)
            }
            // These have names of their own.
            Source::Derived(_) => return Err(not_a_query(name)),
            Source::Program(program) => {
                let params = given.map(Raw::to_json);
                let text = params.as_ref().map(Json::to_text).unwrap_or_default();
                let key = ViewKey { params: text.into(), read_filter: read };
                let live = match query.views.get(&key) {
                    Some(view) => Err(*view),
                    None => {
                        let params = params.as_ref().map(Value::from);
                        let view = ProgramView::new(store, Arc::clone(program), params, budget)?;
                        Ok(Live::Program(Box::new(view), Common::default()))
                    }
                };
                (key, live)
            }
        };
        let view = match live {
            Err(view) => view,
            Ok(live) => {
                let routes = live.routes(store);
                budget.spend(filing_steps(&routes))?;
                self.insert(id, key, live, routes)
            }
        };
        self.catch_up_for(store, view, budget)?;
        self.charge(view, budget);
        if let Some(live) = self.get_mut(view) {
            live.join(store, want);
            self.subscribers += 1;
        }
        self.account(store, view);
        Ok(view)
    }

    /// Joins the view of a derivation, or makes it.
    pub fn subscribe_derived(
        &mut self,
        store: &Store,
        name: &str,
        read_filter: Option<Arc<Json>>,
        want: Want,
        budget: &Budget,
    ) -> Result<ViewId, OpError> {
        let id = *self.derived.get(name).ok_or_else(|| not_a_query(name))?;
        let query = self.queries.get(&id).ok_or_else(|| not_a_query(name))?;
        let Source::Derived(derivation) = &query.source else { return Err(not_a_query(name)) };
        let read = read_filter.as_ref().map(|filter| filter_text(filter));
        let key = ViewKey { params: Box::default(), read_filter: read };
        let view = match query.views.get(&key) {
            Some(view) => *view,
            None => {
                let view = derivation.start(store, read_filter.as_ref(), self.wall, budget)?;
                budget.check()?;
                let live = Live::Derived(view, Common::default());
                let routes = live.routes(store);
                budget.spend(filing_steps(&routes))?;
                self.insert(id, key, live, routes)
            }
        };
        self.catch_up_for(store, view, budget)?;
        self.charge(view, budget);
        if let Some(live) = self.get_mut(view) {
            live.join(store, want);
            self.subscribers += 1;
        }
        self.account(store, view);
        Ok(view)
    }

    /// Lets a request pay for what a view does next.
    pub fn charge(&mut self, id: ViewId, budget: &Budget) {
        match self.get_mut(id) {
            Some(Live::Declared(view)) => view.plan.budget = budget.clone(),
            Some(Live::Derived(view, _)) => view.charge(budget),
            Some(Live::Program(view, _)) => view.budget = budget.clone(),
            None => {}
        }
    }

    /// From now on the query pays.
    pub fn settle(&mut self, id: ViewId) {
        let Some(query) = self.entry(id).and_then(|entry| self.queries.get(&entry.query)) else {
            return;
        };
        let upkeep = query.upkeep.clone();
        self.charge(id, &upkeep);
    }

    pub(super) fn insert(
        &mut self,
        query: QueryId,
        key: ViewKey,
        live: Live,
        routes: Vec<(BucketId, Route)>,
    ) -> ViewId {
        let number = self.number;
        self.last_view += 1;
        let id = ViewId::numbered(self.views.vacant_key());
        let routes = self.route(routes, id);
        if let Some(query) = self.queries.get_mut(&query) {
            query.views.insert(key.clone(), id);
        }
        self.views.insert(Entry {
            live,
            query,
            key,
            routes,
            pending: Vec::new(),
            lagging: false,
            shows: number,
            changed: number,
            upkeep: Upkeep::new(self.last_view, self.wall),
            memory: 0,
        });
        id
    }

    /// One subscriber of a view has left. The last one takes it along.
    pub fn unsubscribe(&mut self, id: ViewId, want: Want) {
        let Some(entry) = self.views.get_mut(id.0 as usize) else { return };
        self.subscribers = self.subscribers.saturating_sub(1);
        if entry.live.leave(want) == 0 {
            self.remove(id);
        }
    }

    /// Forgets a view.
    fn remove(&mut self, id: ViewId) {
        let Some(entry) = self.views.try_remove(id.0 as usize) else { return };
        self.memory = self.memory.saturating_sub(entry.memory);
        self.unroute(&entry.routes, id);
        if let Some(query) = self.queries.get_mut(&entry.query) {
            query.views.remove(&entry.key);
        }
        self.forget_unused(entry.query);
    }

    /// Files a view; the routes keep where they lead.
    pub(super) fn route(
        &mut self,
        mut routes: Vec<(BucketId, Route)>,
        id: ViewId,
    ) -> Vec<(BucketId, Route)> {
        for (bucket, route) in &mut routes {
            self.routes.entry(*bucket).or_default().insert(route, id);
        }
        routes
    }

    pub(super) fn unroute(&mut self, routes: &[(BucketId, Route)], id: ViewId) {
        for (bucket, route) in routes {
            if let Some(routes) = self.routes.get_mut(bucket) {
                routes.remove(route, id);
                if routes.is_empty() {
                    self.routes.remove(bucket);
                }
            }
        }
    }

    /// A view ends with all its subscribers.
    pub(super) fn end(&mut self, id: ViewId, news: News) {
        let left = self.get(id).map_or(0, Live::subscribers);
        self.subscribers = self.subscribers.saturating_sub(left);
        self.remove(id);
        self.tell(id, news);
    }

    pub(super) fn tell(&mut self, view: ViewId, news: News) {
        self.news_number += 1;
        let (number, commit, at) = (self.news_number, self.commits, self.number);
        if let Some(entry) = self.entry_mut(view) {
            entry.changed = at;
        }
        self.news.push(NewsItem { number, commit, at, view, news });
    }

    /// Counts what a view takes. One that takes too much, or grows while all
    /// together do, is evaluated afresh from now on.
    pub(super) fn account(&mut self, store: &Store, id: ViewId) {
        let limits = self.limits;
        let Some(entry) = self.views.get_mut(id.0 as usize) else { return };
        let mut memory = entry.live.memory();
        let others = self.memory.saturating_sub(entry.memory);
        let too_much = memory > limits.view_bytes
            || (memory > entry.memory && others.saturating_add(memory) > limits.total_bytes);
        if too_much
            && let Live::Declared(view) = &mut entry.live
            && let Some(bucket) = store.bucket(view.bucket())
        {
            view.give_up(bucket, Fallback::Budget);
            memory = view.memory();
        }
        self.memory = others.saturating_add(memory);
        entry.memory = memory;
    }

    /// The views of logic that name a bucket, there or not.
    pub(super) fn views_naming(&self, name: &str) -> Vec<ViewId> {
        let concerned = self.views.iter().filter_map(|(slot, entry)| match &entry.live {
            Live::Derived(view, _) if view.names(name) => Some(ViewId(slot as u32)),
            _ => None,
        });
        concerned.collect()
    }

    /// What has happened and was not told yet.
    pub(super) fn pending_news(&self) -> impl Iterator<Item = &NewsItem> {
        self.news.iter()
    }

    pub(super) fn over(&self, bucket: BucketId) -> Vec<ViewId> {
        let over = self.views.iter().filter(|(_, entry)| entry.live.reads(bucket));
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

    /// How many commits views have followed, and how much has happened to them: as
    /// long as both are the same, so is every result.
    pub fn followed_to(&self) -> (u64, u64) {
        (self.commits, self.news_number)
    }

    /// Live views.
    pub fn count(&self) -> usize {
        self.views.len()
    }

    /// Bytes of the state of all views, and of the way to them.
    pub fn memory(&self) -> usize {
        let routes = self.routes.values().map(Routes::memory).sum::<usize>();
        self.memory.saturating_add(routes)
    }

    /// The same by the bucket that a query reads.
    pub fn memory_by_bucket(&self) -> HashMap<BucketId, usize> {
        let of_routes = self.routes.iter().map(|(bucket, routes)| (*bucket, routes.memory()));
        let mut memory: HashMap<BucketId, usize> = of_routes.filter(|(_, it)| *it > 0).collect();
        for (_, entry) in &self.views {
            if let Live::Declared(view) = &entry.live {
                *memory.entry(view.bucket()).or_default() += entry.memory;
            }
        }
        memory
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
            assert!(entry.live.subscribers() > 0, "a view that nobody wants");
            assert!(entry.pending.is_empty(), "changes that were not applied");
            subscribers += entry.live.subscribers();
            if let Live::Declared(view) = &entry.live
                && !entry.lagging
                && let Some(bucket) = store.bucket(view.bucket())
            {
                view.check(bucket);
            }
            if let Live::Derived(view, _) = &entry.live
                && !entry.lagging
            {
                view.check(store, self.wall);
            }
        }
        assert_eq!(subscribers, self.subscribers, "subscribers");
        assert_eq!(memory, self.memory, "memory of views");
    }
}
