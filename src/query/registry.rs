//! The queries: their names and definitions.

use std::collections::HashMap;
use std::sync::Arc;

use super::definition::Definition;
use super::derived::Derivation;
use super::entry::{Query, Source, not_a_query};
use super::ids::{QueryId, ViewId};
use super::live::Live;
use super::news::{EndReason, News};
use super::program::Program;
use super::routing::Route;
use super::views::Views;
use crate::budget::Budget;
use crate::json::Json;
use crate::protocol::{ErrorCode, OpError, bounds};
use crate::store::schema::{MAX_ISSUES, differences};
use crate::store::{BucketId, Filter, Store, not_defined};

/// Under what a query is found.
#[derive(Clone, Copy, Debug)]
pub(super) enum Name<'n> {
    Given(&'n str),
    /// Its text, and what people are told.
    Text(&'n str, &'n str),
}

/// What `store.listQueries` shows of a query.
#[derive(Debug)]
pub(crate) struct Listed<'v> {
    pub name: &'v str,
    pub subscribers: usize,
    /// `None`: a query of the program.
    pub config: Option<&'v Json>,
}

impl Views {
    /// `store.defineQuery`: checks a configuration and gives it its name.
    pub fn define(&mut self, store: &Store, name: &str, config: &Json) -> Result<(), OpError> {
        let definition = self.checked(store, name, config, |views| views.require_free(name))?;
        self.add(Name::Given(name), Source::Declared(Arc::new(definition)));
        Ok(())
    }

    /// The same with `ifMissing`: whether the query was there already, and says
    /// the same.
    pub fn define_if_missing(
        &mut self,
        store: &Store,
        name: &str,
        config: &Json,
    ) -> Result<bool, OpError> {
        let definition = self.checked(store, name, config, |_| Ok(()))?;
        let Some(query) = self.query(name) else {
            self.add(Name::Given(name), Source::Declared(Arc::new(definition)));
            return Ok(false);
        };
        // A query of the program says nothing that could be compared.
        let have = query.source.definition().map(Definition::normal).unwrap_or_default();
        let differences = differences(&have, &definition.normal(), MAX_ISSUES);
        if differences.is_empty() {
            return Ok(true);
        }
        let paths = differences.into_iter().map(Json::from).collect();
        let details = [("differences", Json::Array(paths))].into_iter().collect();
        Err(already_defined(name).with_details(Json::Object(details)))
    }

    /// A definition that is right, once its name is.
    fn checked(
        &self,
        store: &Store,
        name: &str,
        config: &Json,
        check_name: impl FnOnce(&Self) -> Result<(), OpError>,
    ) -> Result<Definition, OpError> {
        let bucket = match config.get("bucket") {
            None => "undefined".into(),
            Some(bucket) => crate::json::js::string_of_json(bucket),
        };
        let known = config.get("bucket").and_then(Json::as_str);
        let bucket =
            known.and_then(|name| store.bucket_named(name)).ok_or_else(|| not_defined(&bucket))?;
        check_name(self)?;
        let invalid =
            |reason: &str| OpError::validation(format!("Invalid query \"{name}\": {reason}"));
        let definition = Definition::parse(config).map_err(|reason| invalid(&reason))?;
        let sample = Filter::from_json(bucket.layout(), &definition.filter.sample());
        let sample = sample.map_err(|error| {
            invalid(error.message.strip_prefix("Invalid filter: ").unwrap_or(&error.message))
        })?;
        bounds::check_conditions(sample.conditions())?;
        Ok(definition)
    }

    /// Names a query of the program.
    pub fn define_program(&mut self, name: &str, program: Arc<dyn Program>) -> Result<(), OpError> {
        self.require_free(name)?;
        self.add(Name::Given(name), Source::Program(program));
        Ok(())
    }

    /// Gives a view of logic its name, among its kind.
    pub fn define_derived(&mut self, name: &str, derivation: Arc<dyn Derivation>) {
        self.add(Name::Given(name), Source::Derived(derivation));
    }

    /// Takes it away; its subscriptions end silently.
    pub fn undefine_derived(&mut self, name: &str) {
        if let Some(id) = self.derived.remove(name) {
            self.end_query(id);
        }
    }

    /// The bucket of a view whose query has no name.
    pub fn ad_hoc_bucket(&self, view: ViewId) -> Option<&str> {
        let query = self.queries.get(&self.entry(view)?.query)?;
        query.ad_hoc.as_ref()?;
        query.source.definition().map(|definition| &*definition.bucket)
    }

    /// Whether a view belongs to logic.
    pub fn is_derived(&self, view: ViewId) -> bool {
        matches!(self.get(view), Some(Live::Derived(..)))
    }

    fn require_free(&self, name: &str) -> Result<(), OpError> {
        if !self.names.contains_key(name) {
            return Ok(());
        }
        Err(already_defined(name))
    }

    /// Puts back a query that was defined before a restart; its bucket may have
    /// been dropped since, and then it fails as it did before.
    pub fn restore(&mut self, name: &str, config: &Json) -> Result<(), OpError> {
        let definition = Definition::parse(config)
            .map_err(|reason| OpError::validation(format!("Invalid query \"{name}\": {reason}")))?;
        self.add(Name::Given(name), Source::Declared(Arc::new(definition)));
        Ok(())
    }

    pub(super) fn add(&mut self, name: Name<'_>, source: Source) -> QueryId {
        self.last_query += 1;
        let id = QueryId(self.last_query);
        let (found_by, told) = match name {
            Name::Given(name) => (name, name),
            Name::Text(text, told) => (text, told),
        };
        let names = match (name, &source) {
            (Name::Text(..), _) => &mut self.ad_hoc,
            (_, Source::Derived(_)) => &mut self.derived,
            (_, Source::Declared(_) | Source::Program(_)) => &mut self.names,
        };
        names.insert(found_by.into(), id);
        let query = Query {
            name: told.into(),
            ad_hoc: matches!(name, Name::Text(..)).then(|| found_by.into()),
            source,
            views: HashMap::new(),
            upkeep: Budget::unlimited(),
            counted: (0, 0),
            costly: None,
        };
        self.queries.insert(id, query);
        id
    }

    /// `store.undefineQuery`: its subscriptions end.
    pub fn undefine(&mut self, name: &str) -> Result<(), OpError> {
        let id = self.names.remove(name).ok_or_else(|| not_a_query(name))?;
        self.end_query(id);
        Ok(())
    }

    fn end_query(&mut self, id: QueryId) {
        let query = self.queries.remove(&id);
        self.costly.remove(&id);
        self.commits += 1;
        for view in query.into_iter().flat_map(|query| query.views.into_values()) {
            self.end(view, News::Ended(EndReason::QueryUndefined));
        }
    }

    /// The queries in the order of their definition.
    pub fn list(&self) -> impl Iterator<Item = Listed<'_>> {
        let own =
            |query: &&Query| query.ad_hoc.is_none() && !matches!(query.source, Source::Derived(_));
        self.queries.values().filter(own).map(|query| Listed {
            name: &query.name,
            subscribers: query
                .views
                .values()
                .filter_map(|id| self.get(*id))
                .map(Live::subscribers)
                .sum(),
            config: query.source.definition().map(|definition| &definition.config),
        })
    }

    pub fn queries(&self) -> usize {
        self.names.len()
    }

    /// Queries without a name.
    #[cfg(test)]
    pub fn ad_hoc_queries(&self) -> usize {
        assert!(self.ad_hoc.values().all(|id| self.queries.contains_key(id)));
        self.ad_hoc.len()
    }

    /// Live subscriptions.
    pub fn subscribers(&self) -> usize {
        self.subscribers
    }

    fn query(&self, name: &str) -> Option<&Query> {
        self.names.get(name).and_then(|id| self.queries.get(id))
    }

    /// Whether a query is code of the program.
    pub fn is_program(&self, name: &str) -> bool {
        self.query(name).is_some_and(|query| query.source.definition().is_none())
    }

    /// What computes the results of a query.
    pub(super) fn source_named(&self, name: &str) -> Option<&Source> {
        self.query(name).map(|query| &query.source)
    }

    pub fn is_defined(&self, name: &str) -> bool {
        self.names.contains_key(name)
    }

    /// The bucket of a declarative query.
    pub fn source(&self, query: &str) -> Option<&str> {
        self.query(query)?.source.definition().map(|definition| &*definition.bucket)
    }

    /// Whether results of a query have positions unless asked otherwise.
    pub fn is_sorted(&self, query: &str) -> bool {
        let definition = self.query(query).and_then(|query| query.source.definition());
        definition.is_some_and(|definition| !definition.sort.is_empty())
    }

    /// The names of the declarative queries that read a bucket.
    pub fn queries_over(&self, bucket: &str) -> Vec<String> {
        let reads = |query: &&Query| {
            query.ad_hoc.is_none()
                && query.source.definition().is_some_and(|definition| &*definition.bucket == bucket)
        };
        self.queries.values().filter(reads).map(|query| String::from(&*query.name)).collect()
    }

    /// The views of a query, each with where it is filed.
    pub fn views_of(&self, query: &str) -> impl Iterator<Item = (&[(BucketId, Route)], &Live)> {
        let ids = self.query(query).into_iter().flat_map(|query| query.views.values());
        ids.filter_map(|id| self.entry(*id)).map(|entry| (&*entry.routes, &entry.live))
    }
}

fn already_defined(name: &str) -> OpError {
    OpError::new(ErrorCode::AlreadyExists, format!("Query \"{name}\" is already defined"))
}
