//! Sets: named lists of values that belong to somebody and follow the data.
//!
//! A set is kept per distinct filter: how often each value occurs among the
//! records that match, so a change costs what the change costs. Changes find
//! the sets that they can concern as they find the views of queries.

use std::collections::{BTreeMap, HashMap};

use slab::Slab;

use super::routing::{Route, Routes};
use super::views::ViewId;
use crate::budget::Budget;
use crate::json::{Json, Object, parse};
use crate::protocol::{ErrorCode, OpError, bounds};
use crate::store::rows::{Principal, SetFilter};
use crate::store::{
    BucketId, Change, Commit, DefinitionChange, FieldRef, Filter, Row, Store, not_defined,
};

/// How many sets there may be.
const MAX_SETS: usize = 100;
/// How many values one may have.
const MAX_VALUES: usize = 10_000;

/// One list that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct SetId(usize);

#[derive(Clone, Debug)]
struct Defined {
    bucket: Box<str>,
    filter: SetFilter,
    field: Box<str>,
    /// As it is stored.
    body: Object,
}

#[derive(Debug)]
struct List {
    name: Box<str>,
    /// The filter for those who share it.
    text: Box<str>,
    json: Json,
    bucket: BucketId,
    filter: Filter,
    field: FieldRef,
    routes: Vec<Route>,
    /// Values in storage form, with how many records have each.
    values: BTreeMap<Box<str>, usize>,
}

/// See the module's description.
#[derive(Debug, Default)]
pub(crate) struct Sets {
    /// In order of definition.
    defined: Vec<(Box<str>, Defined)>,
    lists: Slab<List>,
    by_text: HashMap<(Box<str>, Box<str>), SetId>,
    routes: HashMap<BucketId, Routes>,
    scratch: String,
}

/// What the protocol shows of a set.
#[derive(Debug)]
pub(crate) struct Listed<'s> {
    pub name: &'s str,
    pub body: &'s Object,
    pub views: usize,
}

impl List {
    fn value_of<'r>(&self, row: Option<&'r Row>, budget: &Budget) -> Option<&'r str> {
        let row = row.filter(|row| self.filter.matches(row, budget))?;
        let value = row.field(&self.field)?;
        use crate::json::Kind::{Array, Null, Object};
        (!matches!(value.kind(), Null | Array | Object)).then(|| value.text())
    }

    fn add(&mut self, value: &str) -> bool {
        if let Some(count) = self.values.get_mut(value) {
            *count += 1;
            return false;
        }
        self.values.insert(value.into(), 1);
        true
    }

    fn take(&mut self, value: &str) -> bool {
        let Some(count) = self.values.get_mut(value) else { return false };
        *count = count.saturating_sub(1);
        let gone = *count == 0;
        if gone {
            self.values.remove(value);
        }
        gone
    }

    /// Whether other values are in it than before.
    fn follow(&mut self, change: &Change, budget: &Budget) -> bool {
        let (old, new) = (
            self.value_of(change.old.as_ref(), budget),
            self.value_of(change.new.as_ref(), budget),
        );
        if old == new {
            return false;
        }
        let gone = old.is_some_and(|old| self.take(old));
        let came = new.is_some_and(|new| self.add(new));
        gone || came
    }

    fn fill(&mut self, store: &Store, budget: &Budget) {
        self.values.clear();
        let Some(bucket) = store.bucket(self.bucket) else { return };
        let filter = self.filter.clone();
        for (_, row) in bucket.select_all(Some(&filter), budget) {
            if let Some(value) = self.value_of(Some(row), budget) {
                self.add(value);
            }
        }
    }
}

impl Sets {
    pub fn is_defined(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    fn find(&self, name: &str) -> Option<&Defined> {
        self.defined.iter().find(|(have, _)| **have == *name).map(|(_, defined)| defined)
    }

    /// The sets in order of definition.
    pub fn list(&self) -> impl Iterator<Item = Listed<'_>> {
        self.defined.iter().map(|(name, defined)| {
            let of_it = self.lists.iter().filter(|(_, list)| list.name == *name);
            Listed { name, body: &defined.body, views: of_it.count() }
        })
    }

    /// Defines a set, or another one of its name. `body` has `bucket`, `filter`
    /// and `field`, each of its type.
    ///
    /// # Errors
    /// `BUCKET_NOT_DEFINED`, `Invalid set "{name}": {reason}`, too many sets.
    pub fn define(&mut self, store: &Store, name: &str, body: &Object) -> Result<(), OpError> {
        let text = |member: &str| body.get(member).and_then(Json::as_str).unwrap_or_default();
        let bucket = store.require(text("bucket"))?;
        let filter = body.get("filter").and_then(Json::as_object).cloned().unwrap_or_default();
        let filter = SetFilter::parse(bucket.layout(), &filter)
            .map_err(|reason| OpError::validation(format!("Invalid set \"{name}\": {reason}")))?;
        let defined = Defined {
            bucket: text("bucket").into(),
            filter,
            field: text("field").into(),
            body: body.clone(),
        };
        let count = self.defined.len();
        match self.defined.iter_mut().find(|(have, _)| **have == *name) {
            Some((_, have)) => *have = defined,
            None if count >= MAX_SETS => {
                let text = format!("Too many sets (maximum {MAX_SETS})");
                return Err(OpError::validation(text));
            }
            None => self.defined.push((name.into(), defined)),
        }
        Ok(())
    }

    /// Puts back one that was stored; its bucket may be gone since.
    ///
    /// # Errors
    /// `Invalid set "{name}": {reason}`
    pub fn restore(&mut self, store: &Store, name: &str, body: &Object) -> Result<(), OpError> {
        let bucket = body.get("bucket").and_then(Json::as_str).unwrap_or_default();
        if store.bucket_id(bucket).is_some() {
            return self.define(store, name, body);
        }
        let filter = body.get("filter").and_then(Json::as_object).cloned().unwrap_or_default();
        let filter = SetFilter::parse(&crate::store::Layout::default(), &filter)
            .map_err(|reason| OpError::validation(format!("Invalid set \"{name}\": {reason}")))?;
        let field = body.get("field").and_then(Json::as_str).unwrap_or_default();
        let defined =
            Defined { bucket: bucket.into(), filter, field: field.into(), body: body.clone() };
        self.defined.push((name.into(), defined));
        Ok(())
    }

    /// True if it was there.
    pub fn undefine(&mut self, name: &str) -> bool {
        let before = self.defined.len();
        self.defined.retain(|(have, _)| **have != *name);
        before != self.defined.len()
    }

    /// The lists of a set.
    pub fn lists_of(&self, name: &str) -> Vec<SetId> {
        let of_it = self.lists.iter().filter(|(_, list)| *list.name == *name);
        of_it.map(|(at, _)| SetId(at)).collect()
    }

    /// The list of a set for somebody: the one that others with the same filter
    /// have, or a new one.
    ///
    /// # Errors
    /// Of a bucket that is not there, or the budget's.
    pub fn join(
        &mut self,
        store: &Store,
        name: &str,
        who: &Principal<'_>,
        budget: &Budget,
    ) -> Result<SetId, OpError> {
        let defined = self.find(name).ok_or_else(|| {
            OpError::new(ErrorCode::InternalError, format!("Set \"{name}\" is not defined"))
        })?;
        let bucket = store.bucket_named(&defined.bucket);
        let bucket = bucket.ok_or_else(|| not_defined(&defined.bucket))?;
        let json = Json::Object(defined.filter.fill(who)?);
        let key = (Box::from(name), json.to_text().into());
        if let Some(id) = self.by_text.get(&key) {
            return Ok(*id);
        }
        let filter = Filter::from_json(bucket.layout(), &json)?;
        bounds::check_conditions(filter.conditions())?;
        let routes = match filter.is_never() {
            true => Vec::new(),
            false => Route::of(&filter),
        };
        let mut list = List {
            name: key.0.clone(),
            text: key.1.clone(),
            json,
            bucket: bucket.id(),
            filter,
            field: bucket.layout().field(&defined.field),
            routes,
            values: BTreeMap::new(),
        };
        list.fill(store, budget);
        budget.check()?;
        let slot = self.lists.vacant_entry();
        let id = SetId(slot.key());
        let all = self.routes.entry(list.bucket).or_default();
        list.routes.iter().for_each(|route| all.insert(route, ViewId::numbered(id.0)));
        slot.insert(list);
        self.by_text.insert(key, id);
        Ok(id)
    }

    /// The values, sorted by their text.
    ///
    /// # Errors
    /// `Set "{n}" has too many values (maximum 10000)`
    pub fn values(&self, id: SetId) -> Result<Vec<Json>, OpError> {
        let list = self.lists.get(id.0).ok_or_else(OpError::internal)?;
        if list.values.len() > MAX_VALUES {
            return Err(OpError::validation(format!(
                "Set \"{}\" has too many values (maximum {MAX_VALUES})",
                list.name
            )));
        }
        let value = |text: &str| parse(text, 1).map(|raw| raw.to_json()).unwrap_or_default();
        Ok(list.values.keys().map(|text| value(text)).collect())
    }

    /// Whether the bucket of a list is there.
    pub fn is_live(&self, store: &Store, id: SetId) -> bool {
        self.lists.get(id.0).is_some_and(|list| store.bucket(list.bucket).is_some())
    }

    /// Nobody needs a list any more.
    pub fn forget(&mut self, id: SetId) {
        let Some(list) = self.lists.try_remove(id.0) else { return };
        self.unroute(&list, id);
        self.by_text.remove(&(list.name, list.text));
    }

    fn unroute(&mut self, list: &List, id: SetId) {
        if let Some(all) = self.routes.get_mut(&list.bucket) {
            list.routes.iter().for_each(|route| all.remove(route, ViewId::numbered(id.0)));
            if all.is_empty() {
                self.routes.remove(&list.bucket);
            }
        }
    }

    /// Follows a commit. The lists that have other values now, or none because
    /// their bucket is gone.
    pub fn follow(&mut self, store: &Store, commit: &Commit) -> Vec<SetId> {
        if self.lists.is_empty() {
            return Vec::new();
        }
        let mut changed = Vec::new();
        let mut again: Vec<BucketId> = commit.cleared.iter().map(|(bucket, _)| *bucket).collect();
        for definition in &commit.definitions {
            match definition {
                DefinitionChange::Updated(defined) => again.push(defined.bucket),
                DefinitionChange::Dropped { bucket, .. } => {
                    let over = self.lists.iter().filter(|(_, list)| list.bucket == *bucket);
                    let over: Vec<SetId> = over.map(|(at, _)| SetId(at)).collect();
                    changed.extend(over);
                }
                DefinitionChange::Defined(_) => {}
            }
        }
        let budget = Budget::unlimited();
        for at in self.lists.iter().map(|(at, _)| at).collect::<Vec<_>>() {
            if self.lists.get(at).is_some_and(|list| again.contains(&list.bucket))
                && self.start_over(store, SetId(at), &budget)
            {
                changed.push(SetId(at));
            }
        }
        let Sets { routes, lists, scratch, .. } = self;
        for change in &commit.changes {
            let Some(routes) = routes.get(&change.bucket) else { continue };
            if again.contains(&change.bucket) {
                continue;
            }
            let mut concerned = Vec::new();
            routes.visit(change, scratch, |view| concerned.push(view.index()));
            concerned.sort_unstable();
            concerned.dedup();
            for at in concerned {
                if lists.get_mut(at).is_some_and(|list| list.follow(change, &budget)) {
                    changed.push(SetId(at));
                }
            }
        }
        changed.sort_unstable();
        changed.dedup();
        changed
    }

    /// From the records as they are now, in the layout that they have now.
    fn start_over(&mut self, store: &Store, id: SetId, budget: &Budget) -> bool {
        let Some(list) = self.lists.get(id.0) else { return false };
        let Some(bucket) = store.bucket(list.bucket) else { return false };
        let routes = list.routes.clone();
        if let Some(all) = self.routes.get_mut(&list.bucket) {
            routes.iter().for_each(|route| all.remove(route, ViewId::numbered(id.0)));
        }
        let Some(list) = self.lists.get_mut(id.0) else { return false };
        list.filter = Filter::from_json(bucket.layout(), &list.json).unwrap_or_default();
        list.field = bucket.layout().field(list.field.name());
        list.routes = match list.filter.is_never() {
            true => Vec::new(),
            false => Route::of(&list.filter),
        };
        let before = std::mem::take(&mut list.values);
        list.fill(store, budget);
        let changed = !before.keys().eq(list.values.keys());
        let all = self.routes.entry(list.bucket).or_default();
        list.routes.iter().for_each(|route| all.insert(route, ViewId::numbered(id.0)));
        changed
    }

    /// Holds what is kept against the records. For tests and fuzzing.
    ///
    /// # Panics
    /// When something is not true.
    pub fn check_invariants(&self, store: &Store) {
        let budget = Budget::unlimited();
        assert_eq!(self.by_text.len(), self.lists.len(), "lists of sets by their text");
        for (_, list) in &self.lists {
            let Some(bucket) = store.bucket(list.bucket) else {
                panic!("a list of set {:?} without its bucket", list.name)
            };
            let mut fresh: BTreeMap<Box<str>, usize> = BTreeMap::new();
            for (_, row) in bucket.iter() {
                if let Some(value) = list.value_of(Some(row), &budget) {
                    *fresh.entry(value.into()).or_default() += 1;
                }
            }
            assert_eq!(fresh, list.values, "the values of set {:?}", list.name);
        }
    }
}
