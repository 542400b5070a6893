//! Derived views: joined, grouped, ordered rows of one or more buckets.
//!
//! Owns their definitions, how they are evaluated, and how a live one follows
//! the data: the same state, built from scratch or changed by what a commit
//! changed. Rows are always those of a fresh evaluation.

mod plan;
mod predicate;
mod sources;
mod state;

use std::sync::Arc;

use super::LogicLimits;
use super::issues::Issues;
use crate::budget::Budget;
use crate::json::{Json, Object};
use crate::protocol::{ErrorCode, OpError, bounds};
use crate::query::{Body, Derivation, Derived};
use crate::store::{Access, BucketId, Change, Filter, Layout, Store};
use plan::{Paths, Plan};
use state::{State, TooMany, With};

/// The definition of a view.
#[derive(Debug)]
pub(crate) struct View {
    pub name: Box<str>,
    /// Alias and bucket, in their order.
    from: plan::From,
    pub definition: Object,
    pub is_reactive: bool,
    pub as_definer: bool,
    limits: LogicLimits,
}

impl View {
    /// # Errors
    /// Everything that is wrong with the definition.
    pub fn parse(definition: &Object, limits: LogicLimits) -> Result<View, OpError> {
        let mut issues = Issues::default();
        let name = plan::name(definition, &mut issues);
        let from = plan::sources(definition, &mut issues);
        let paths = Paths { from: &from, layouts: &[] };
        let compiled = plan::compile(definition, &paths, limits.expr, &mut issues);
        issues.into_result("View")?;
        bounds::check_conditions(compiled.predicate.conditions())?;
        let definition = plan::stored(definition);
        let flag = |name: &str| definition.get(name).and_then(Json::as_bool).unwrap_or_default();
        let (is_reactive, as_definer) = (flag("reactive"), flag("asDefiner"));
        Ok(View { name, from, definition, is_reactive, as_definer, limits })
    }

    /// The names of the buckets, each once.
    pub fn buckets(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for (_, bucket) in &self.from {
            if !names.contains(&&**bucket) {
                names.push(bucket);
            }
        }
        names
    }

    /// # Errors
    /// `BUCKET_NOT_DEFINED`
    pub fn require_buckets(&self, store: &Store) -> Result<(), OpError> {
        self.from.iter().try_for_each(|(_, bucket)| store.require(bucket).map(|_| ()))
    }

    /// Whether the words of what is searched are known, as far as its buckets are
    /// there.
    ///
    /// # Errors
    /// `where: "$search" needs a field with "search"`
    pub fn check_searches(&self, store: &Store) -> Result<(), OpError> {
        let is_searched = |path: &str| {
            let path = path.strip_prefix('$').unwrap_or(path);
            let of_alias = path.split_once('.').and_then(|(alias, field)| {
                let source = self.from.iter().find(|(have, _)| **have == *alias)?;
                Some((source, field))
            });
            let found = of_alias.or_else(|| Some((self.from.first()?, path)));
            let bucket = found.and_then(|((_, bucket), _)| store.bucket_named(bucket));
            let field = found.map_or("", |(_, field)| field);
            bucket.is_none_or(|bucket| bucket.layout().is_searched(field))
        };
        let conditions = self.definition.get("where").and_then(Json::as_object);
        let mut issues = Issues::default();
        if conditions.is_some_and(|conditions| !searches_fit(conditions, &is_searched)) {
            issues.add("where: \"$search\" needs a field with \"search\"");
        }
        issues.into_result("View")
    }

    /// `read`: what may be seen of the buckets, by name.
    fn bind(&self, store: &Store, read: Option<&Json>) -> Bound {
        let buckets: Vec<Option<BucketId>> =
            self.from.iter().map(|(_, bucket)| store.bucket_id(bucket)).collect();
        let empty = Layout::default();
        let layouts: Vec<&Layout> = buckets
            .iter()
            .map(|id| id.and_then(|id| store.bucket(id)).map_or(&empty, |bucket| bucket.layout()))
            .collect();
        let paths = Paths { from: &self.from, layouts: &layouts };
        // It was compiled before, without layouts: nothing is wrong with it.
        let plan =
            plan::compile(&self.definition, &paths, self.limits.expr, &mut Issues::default());
        let filters = (0..self.from.len()).map(|at| {
            let own = self.filter_of(at, &layouts);
            let (_, bucket) = self.from.get(at)?;
            match read.and_then(|read| read.get(bucket)) {
                None => own,
                Some(read) => Some(restricted(own, read, layouts.get(at).copied()?)),
            }
        });
        let filters = filters.collect();
        Bound { plan, buckets, filters }
    }

    /// What the top of `where` asks of one source alone.
    fn filter_of(&self, source: usize, layouts: &[&Layout]) -> Option<Filter> {
        let conditions = self.definition.get("where")?.as_object()?;
        let (alias, _) = self.from.get(source)?;
        let mut own = Object::new();
        for (path, operand) in conditions.iter().filter(|(path, _)| !path.starts_with('$')) {
            let field = match path.split_once('.') {
                Some((first, field)) if *first == **alias => field,
                None if self.from.len() == 1 && *path != **alias => path,
                _ => continue,
            };
            if !field.contains('.') && !own.contains(field) {
                own.insert(field, operand.clone());
            }
        }
        let layout = layouts.get(source)?;
        Filter::from_json(layout, &Json::Object(own)).ok().filter(|filter| !filter.is_empty())
    }

    /// The answer of `logic.explainView`.
    pub fn explain(&self, store: &Store, budget: &Budget) -> Json {
        let member = |name: &str| self.definition.get(name).cloned();
        let empty = || Json::Object(Object::new());
        let mut answer = Object::new();
        answer.insert("name", Json::from(&*self.name));
        answer.insert("sources", member("from").unwrap_or_default());
        answer.insert("joins", member("join").unwrap_or_else(empty));
        answer.insert("filters", member("where").unwrap_or_else(empty));
        answer.insert("groupBy", Json::Array(plan::group_paths(&self.definition)));
        answer.insert("select", member("select").unwrap_or_default());
        let names = self.buckets().into_iter().map(Json::from).collect();
        answer.insert("dependencies", Json::Array(names));
        answer.insert("orderBy", member("orderBy").unwrap_or(Json::Array(Vec::new())));
        if let Some(limit) = member("limit") {
            answer.insert("limit", limit);
        }
        answer.insert("reactive", Json::Bool(self.is_reactive));
        let bound = self.bind(store, None);
        let plan = (0..self.from.len()).map(|at| self.explain_source(at, &bound, store, budget));
        answer.insert("plan", Json::Array(plan.collect()));
        Json::Object(answer)
    }

    fn explain_source(&self, at: usize, bound: &Bound, store: &Store, budget: &Budget) -> Json {
        let mut row = Object::new();
        let Some((alias, name)) = self.from.get(at) else { return Json::Null };
        row.insert("alias", Json::from(&**alias));
        row.insert("bucket", Json::from(&**name));
        let bucket = store.bucket_named(name);
        let filter = bound.filters.get(at).and_then(Option::as_ref);
        let own = bucket
            .zip(filter)
            .map(|(bucket, filter)| (bucket, bucket.explain(Some(filter), budget).0));
        let (access, on) = match own {
            Some((bucket, Access::Keys(_))) => ("key", Some(bucket.key_field().to_owned())),
            Some((
                bucket,
                Access::Index(index, _) | Access::Values(index, _) | Access::Range(index, _),
            )) => {
                let index =
                    bucket.indexes().get(index).map(|index| index.field().name().to_owned());
                ("index", index)
            }
            _ => {
                // Behind the first source, records are found by what they are
                // joined on.
                let end = bound.plan.joins.iter().flat_map(|join| &join.ends);
                let field = end
                    .filter(|(source, _)| at > 0 && *source == at)
                    .find_map(|(_, place)| Some(place.field.as_ref()?.name().to_owned()));
                let is_key = field.as_deref() == bucket.map(|bucket| bucket.key_field());
                match field {
                    Some(field) if is_key => ("key", Some(field)),
                    Some(field) => ("index", Some(field)),
                    None => ("scan", None),
                }
            }
        };
        row.insert("access", Json::from(access));
        if let Some(on) = on {
            row.insert("on", Json::from(on));
        }
        Json::Object(row)
    }

    fn too_many(&self) -> OpError {
        let text = format!("View \"{}\" exceeds {} joined rows", self.name, self.limits.view_rows);
        OpError::new(ErrorCode::InternalError, text)
    }

    /// Evaluates it once: the rows, and how many.
    ///
    /// # Errors
    /// Of a bucket that is not there, a budget that is used up, too many rows.
    pub fn query(
        &self,
        store: &Store,
        read: Option<&Json>,
        (now, budget): (u64, &Budget),
        out: &mut Vec<u8>,
    ) -> Result<usize, OpError> {
        self.require_buckets(store)?;
        let bound = self.bind(store, read);
        let with = bound.with(now, budget, self.limits);
        let state = bound.build(store, with);
        budget.check()?;
        let state = state.map_err(|TooMany| self.too_many())?;
        state.write(bound.plan.limit, budget, out);
        budget.check()?;
        Ok(state.len(bound.plan.limit))
    }
}

fn searches_fit(conditions: &Object, is_searched: &impl Fn(&str) -> bool) -> bool {
    conditions.iter().all(|(name, value)| match value {
        Json::Array(predicates) if matches!(name, "$and" | "$or") => {
            let mut predicates = predicates.iter().filter_map(Json::as_object);
            predicates.all(|predicate| searches_fit(predicate, is_searched))
        }
        Json::Object(operators) if !name.starts_with('$') => {
            !operators.contains("$search") || is_searched(name)
        }
        _ => true,
    })
}

/// A filter with what may be seen at all. One that is not right, which it was
/// when it was made, shows nothing.
fn restricted(own: Option<Filter>, read: &Json, layout: &Layout) -> Filter {
    match Filter::from_json(layout, read) {
        Ok(read) => own.unwrap_or_default().and(&Arc::new(read)),
        Err(_) => {
            let none = Json::Object([("$or", Json::Array(Vec::new()))].into_iter().collect());
            Filter::from_json(layout, &none).unwrap_or_default()
        }
    }
}

/// A view bound to the buckets that are there.
#[derive(Debug)]
struct Bound {
    plan: Plan,
    buckets: Vec<Option<BucketId>>,
    /// What each source has to fulfil by itself.
    filters: Vec<Option<Filter>>,
}

impl Bound {
    fn with<'a>(&'a self, now: u64, budget: &'a Budget, limits: LogicLimits) -> With<'a> {
        With { plan: &self.plan, now: now as f64, budget, most: limits.view_rows }
    }

    fn build(&self, store: &Store, with: With<'_>) -> Result<State, TooMany> {
        let mut state = State::new(self.buckets.len(), with);
        for (source, (id, filter)) in self.buckets.iter().zip(&self.filters).enumerate() {
            let Some(bucket) = id.and_then(|id| store.bucket(id)) else { continue };
            for (order, row) in bucket.in_table_order(filter.as_ref(), with.budget) {
                // Used up, what comes out is not looked at.
                if with.budget.spend(1).is_err() {
                    return Ok(state);
                }
                state.insert(source, order, row, with)?;
            }
        }
        state.settle(with);
        Ok(state)
    }
}

/// What makes live views of a definition.
#[derive(Debug)]
pub(crate) struct Maker(pub Arc<View>);

impl Derivation for Maker {
    fn start(
        &self,
        store: &Store,
        read: Option<&Arc<Json>>,
        now: u64,
        budget: &Budget,
    ) -> Result<Box<dyn Derived>, OpError> {
        let mut live = Live {
            view: Arc::clone(&self.0),
            bound: self.0.bind(store, read.map(|read| &**read)),
            read: read.cloned(),
            state: None,
            body: None,
            budget: budget.clone(),
        };
        live.start_over(store, now);
        budget.check()?;
        match live.state {
            Some(_) => Ok(Box::new(live)),
            None => Err(self.0.too_many()),
        }
    }

    fn definition(&self) -> &Object {
        &self.0.definition
    }
}

/// A view that is followed.
#[derive(Debug)]
struct Live {
    view: Arc<View>,
    /// What may be seen of the buckets, by name.
    read: Option<Arc<Json>>,
    bound: Bound,
    /// `None`: more rows than there may be.
    state: Option<State>,
    body: Body,
    budget: Budget,
}

impl Live {
    fn start_over(&mut self, store: &Store, now: u64) -> bool {
        self.bound = self.view.bind(store, self.read.as_deref());
        // The old rows go before the new ones come.
        self.state = None;
        let with = self.bound.with(now, &self.budget, self.view.limits);
        self.state = self.bound.build(store, with).ok();
        self.show()
    }

    /// Writes the rows anew; whether they are others.
    fn show(&mut self) -> bool {
        let Some(state) = &self.state else { return false };
        let mut text = Vec::new();
        state.write(self.bound.plan.limit, &self.budget, &mut text);
        if self.body.as_deref() == Some(text.as_slice()) {
            return false;
        }
        self.body = Some(text.into());
        true
    }

    fn apply(&mut self, changes: &[&Change], now: u64) -> Result<bool, TooMany> {
        let with = self.bound.with(now, &self.budget, self.view.limits);
        let Some(state) = &mut self.state else { return Err(TooMany) };
        for change in changes {
            for (source, bucket) in self.bound.buckets.iter().enumerate() {
                if *bucket != Some(change.bucket) {
                    continue;
                }
                if change.old.is_some() {
                    state.remove(source, change.old_order, with);
                }
                let Some(new) = &change.new else { continue };
                let filter = self.bound.filters.get(source).and_then(Option::as_ref);
                if filter.is_none_or(|filter| filter.matches(new, with.budget)) {
                    state.insert(source, change.new_order, new, with)?;
                }
            }
        }
        Ok(state.settle(with))
    }
}

impl Derived for Live {
    fn buckets(&self) -> Vec<BucketId> {
        let mut buckets: Vec<BucketId> = self.bound.buckets.iter().copied().flatten().collect();
        buckets.sort_unstable();
        buckets.dedup();
        buckets
    }

    fn sources(&self) -> Vec<(BucketId, Option<&Filter>)> {
        let sources = self.bound.buckets.iter().zip(&self.bound.filters);
        // What depends on the time is another result with every commit.
        let uses_now = self.bound.plan.uses_now;
        let sources = sources
            .filter_map(|(bucket, own)| Some(((*bucket)?, own.as_ref().filter(|_| !uses_now))));
        sources.collect()
    }

    fn names(&self, bucket: &str) -> bool {
        self.view.from.iter().any(|(_, name)| **name == *bucket)
    }

    fn charge(&mut self, budget: &Budget) {
        self.budget = budget.clone();
    }

    fn follow(&mut self, store: &Store, changes: &[&Change], again: bool, now: u64) -> bool {
        if again || self.bound.plan.uses_now || self.state.is_none() {
            return self.start_over(store, now);
        }
        match self.apply(changes, now) {
            Ok(changed) => changed && self.show(),
            Err(TooMany) => {
                self.state = None;
                false
            }
        }
    }

    fn body(&self) -> Body {
        self.body.clone()
    }

    fn is_lasting(&self) -> bool {
        !self.bound.plan.uses_now
    }

    fn check(&self, store: &Store, now: u64) {
        if self.state.is_none() || self.bound.plan.uses_now {
            return;
        }
        let budget = Budget::unlimited();
        let bound = self.view.bind(store, self.read.as_deref());
        let state = bound.build(store, bound.with(now, &budget, self.view.limits));
        let mut text = Vec::new();
        let Ok(state) = state else { return };
        state.write(bound.plan.limit, &budget, &mut text);
        let body = self.body.as_deref().map(String::from_utf8_lossy);
        assert_eq!(body, Some(String::from_utf8_lossy(&text)), "view {}", self.view.name);
    }

    fn memory(&self) -> usize {
        self.body.as_ref().map_or(0, |body| body.len())
            + self.state.as_ref().map_or(0, State::memory)
    }
}
