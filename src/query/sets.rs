//! Sets: named lists of values that belong to somebody and follow the data.
//!
//! A set is kept per distinct filter: how often each value occurs among the
//! records that match, so a change costs what the change costs. Changes find
//! the sets that they can concern as they find the views of queries.

use std::collections::{BTreeMap, HashMap};

use slab::Slab;

use super::ids::ViewId;
use super::routing::{Route, Routes};
use crate::budget::Budget;
use crate::json::{Json, Object};
use crate::protocol::{ErrorCode, OpError};
use crate::store::rows::{Principal, SetDefinition, set_value, set_values};
use crate::store::{
    Bucket, BucketId, Change, Commit, DefinitionChange, FieldRef, Filter, Row, Store, not_defined,
};

/// One list that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct SetId(usize);

#[derive(Debug)]
struct List {
    name: Box<str>,
    /// The filter for those who share it.
    text: Box<str>,
    json: Json,
    bucket: BucketId,
    filter: Filter,
    field: FieldRef,
    /// `None`: no change concerns it.
    route: Option<Route>,
    /// Values in storage form, with how many records have each.
    values: BTreeMap<Box<str>, usize>,
}

/// See the module's description.
#[derive(Debug, Default)]
pub(crate) struct Sets {
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
        set_value(row.filter(|row| self.filter.matches(row, budget))?, &self.field)
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

fn route_of(filter: &Filter, bucket: &Bucket) -> Option<Route> {
    match filter.is_never() {
        true => None,
        false => Route::of(filter, bucket),
    }
}

impl Sets {
    /// The sets in order of definition.
    pub fn list<'s>(&'s self, store: &'s Store) -> impl Iterator<Item = Listed<'s>> {
        store.sets().map(|(name, defined)| {
            let of_it = self.lists.iter().filter(|(_, list)| *list.name == *name);
            Listed { name, body: &defined.body, views: of_it.count() }
        })
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
        let defined = store.set(name).ok_or_else(|| {
            OpError::new(ErrorCode::InternalError, format!("Set \"{name}\" is not defined"))
        })?;
        let bucket = store.bucket_named(&defined.bucket);
        let bucket = bucket.ok_or_else(|| not_defined(&defined.bucket))?;
        let json = defined.fill(who)?;
        let key = (Box::from(name), json.to_text().into());
        if let Some(id) = self.by_text.get(&key) {
            return Ok(*id);
        }
        let filter = SetDefinition::compile(bucket, &json)?;
        let route = route_of(&filter, bucket);
        let mut list = List {
            name: key.0.clone(),
            text: key.1.clone(),
            json,
            bucket: bucket.id(),
            filter,
            field: bucket.layout().field(&defined.field),
            route,
            values: BTreeMap::new(),
        };
        list.fill(store, budget);
        budget.check()?;
        let slot = self.lists.vacant_entry();
        let id = SetId(slot.key());
        let all = self.routes.entry(list.bucket).or_default();
        list.route.iter_mut().for_each(|route| all.insert(route, ViewId::numbered(id.0)));
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
        set_values(&list.name, list.values.keys().map(|text| &**text))
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
            list.route.iter().for_each(|route| all.remove(route, ViewId::numbered(id.0)));
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
        for id in self.lists_over(&again) {
            if self.start_over(store, id, &budget) {
                changed.push(id);
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

    /// The lists that are made from these buckets, of which nearly every commit
    /// has none.
    fn lists_over(&self, buckets: &[BucketId]) -> Vec<SetId> {
        if buckets.is_empty() {
            return Vec::new();
        }
        let over = self.lists.iter().filter(|(_, list)| buckets.contains(&list.bucket));
        over.map(|(at, _)| SetId(at)).collect()
    }

    /// From the records as they are now, in the layout that they have now.
    fn start_over(&mut self, store: &Store, id: SetId, budget: &Budget) -> bool {
        let Some(list) = self.lists.get(id.0) else { return false };
        let Some(bucket) = store.bucket(list.bucket) else { return false };
        let route = list.route.clone();
        if let Some(all) = self.routes.get_mut(&list.bucket) {
            route.iter().for_each(|route| all.remove(route, ViewId::numbered(id.0)));
        }
        let Some(list) = self.lists.get_mut(id.0) else { return false };
        // One that the new definition does not allow stays what it was: an empty
        // filter would open what the set closes.
        if let Ok(filter) = Filter::from_json(bucket.layout(), &list.json) {
            list.filter = filter;
        }
        list.field = bucket.layout().field(list.field.name());
        list.route = route_of(&list.filter, bucket);
        let before = std::mem::take(&mut list.values);
        list.fill(store, budget);
        let changed = !before.keys().eq(list.values.keys());
        let all = self.routes.entry(list.bucket).or_default();
        list.route.iter_mut().for_each(|route| all.insert(route, ViewId::numbered(id.0)));
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
