//! Views that want a field to be one of a list of values, which may be long.
//!
//! A list is filed once under each of its values, however many views want it:
//! those of one user, whose row rules have the same list in all of his queries.
//! A change leads to the lists that have its value, and a place where views are
//! filed ([`Seats`]) knows which views of its own want which list; whichever are
//! fewer, they are walked and looked up among the others. So a change costs no
//! more for a list of ten thousand values than for one of two, and never more
//! than there are views in the place.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use slab::Slab;

use super::ids::ViewId;
use crate::json::Raw;
use crate::store::{Change, FieldRef, Row};

/// One of the lists of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct ListId(usize);

/// Values in storage form, sorted, each once.
type Values = Arc<[Arc<str>]>;

/// A list that a view wants a field to be one of.
#[derive(Clone, Debug)]
pub(crate) struct OneOf {
    pub field: FieldRef,
    values: Values,
    /// When it is filed.
    id: Option<ListId>,
}

impl PartialEq for OneOf {
    fn eq(&self, other: &OneOf) -> bool {
        self.field == other.field && self.values == other.values
    }
}

impl OneOf {
    pub fn new(field: &FieldRef, values: &[&str]) -> OneOf {
        let mut values: Vec<Arc<str>> = values.iter().map(|value| Arc::from(*value)).collect();
        values.sort_unstable();
        values.dedup();
        OneOf { field: field.clone(), values: values.into(), id: None }
    }

    pub fn len(&self) -> usize {
        self.values.len()
    }
}

/// The lists that views of a bucket want one field to be of.
#[derive(Debug)]
pub(super) struct Lists {
    field: FieldRef,
    lists: Slab<List>,
    by_values: HashMap<Values, ListId>,
    /// Sorted.
    by_value: HashMap<Arc<str>, Vec<ListId>>,
    bytes: usize,
}

#[derive(Debug)]
struct List {
    values: Values,
    /// How many routes have it.
    routes: usize,
}

/// Bytes that a value takes in a list, with where it is filed, and those that it
/// takes once, however many lists have it.
const BYTES_PER_ENTRY: usize = size_of::<Arc<str>>() + size_of::<ListId>();
const BYTES_PER_VALUE: usize = 96;

impl Lists {
    pub fn over(field: FieldRef) -> Self {
        let (by_values, by_value) = (HashMap::new(), HashMap::new());
        Lists { field, lists: Slab::new(), by_values, by_value, bytes: 0 }
    }

    pub fn field(&self) -> &FieldRef {
        &self.field
    }

    pub fn is_empty(&self) -> bool {
        self.lists.is_empty()
    }

    /// Bytes of memory, about.
    pub fn memory(&self) -> usize {
        self.bytes
    }

    /// One route more has a list.
    pub fn join(&mut self, list: &mut OneOf) {
        let id = match self.by_values.get(&list.values) {
            Some(id) => *id,
            None => self.file(&list.values),
        };
        if let Some(have) = self.lists.get_mut(id.0) {
            have.routes += 1;
            list.values = Arc::clone(&have.values);
        }
        list.id = Some(id);
    }

    fn file(&mut self, values: &Values) -> ListId {
        // The texts of a value that other lists have are shared.
        let shared = values.iter().map(|value| match self.by_value.get_key_value(value) {
            Some((have, _)) => Arc::clone(have),
            None => Arc::clone(value),
        });
        let values: Values = shared.collect();
        let id = ListId(self.lists.insert(List { values: Arc::clone(&values), routes: 0 }));
        for value in values.iter() {
            self.bytes += BYTES_PER_ENTRY;
            let lists = self.by_value.entry(Arc::clone(value)).or_insert_with(|| {
                self.bytes += BYTES_PER_VALUE + value.len();
                Vec::new()
            });
            if let Err(at) = lists.binary_search(&id) {
                lists.insert(at, id);
            }
        }
        self.by_values.insert(values, id);
        id
    }

    /// A route that had a list is gone.
    pub fn leave(&mut self, list: &OneOf) {
        let Some(id) = list.id else { return };
        let Some(have) = self.lists.get_mut(id.0) else { return };
        have.routes = have.routes.saturating_sub(1);
        if have.routes > 0 {
            return;
        }
        let values = self.lists.remove(id.0).values;
        self.by_values.remove(&values);
        for value in values.iter() {
            self.bytes = self.bytes.saturating_sub(BYTES_PER_ENTRY);
            let Some(lists) = self.by_value.get_mut(value) else { continue };
            if let Ok(at) = lists.binary_search(&id) {
                lists.remove(at);
            }
            if lists.is_empty() {
                self.by_value.remove(value);
                self.bytes = self.bytes.saturating_sub(BYTES_PER_VALUE + value.len());
            }
        }
    }

    fn with(&self, value: Raw<'_>) -> &[ListId] {
        self.by_value.get(value.text()).map_or(&[], Vec::as_slice)
    }
}

/// Which of the two records of a change lead to a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sides {
    Old,
    New,
    Both,
}

impl Sides {
    /// The values of a field on these sides, each once: nearly every update
    /// leaves a field as it is.
    pub fn values<'c>(self, change: &'c Change, field: &FieldRef) -> impl Iterator<Item = Raw<'c>> {
        let value = |row: &'c Option<Row>| row.as_ref().and_then(|row| row.field(field));
        let old = (self != Sides::New).then(|| value(&change.old)).flatten();
        let new = (self != Sides::Old).then(|| value(&change.new)).flatten();
        let old = old.filter(|old| new.map(Raw::text) != Some(old.text()));
        old.into_iter().chain(new)
    }
}

/// A change, and the lists that its values are looked up in.
#[derive(Clone, Copy)]
pub(super) struct Looking<'c> {
    pub change: &'c Change,
    pub lists: &'c [Lists],
}

/// Views that are filed in one place: those that want nothing more, and those
/// that want a field to be one of a list besides.
#[derive(Debug, Default)]
pub(super) struct Seats {
    /// Sorted.
    views: Vec<ViewId>,
    listed: Vec<(FieldRef, BTreeMap<ListId, Vec<ViewId>>)>,
}

fn take_seat(views: &mut Vec<ViewId>, view: ViewId) {
    if let Err(at) = views.binary_search(&view) {
        views.insert(at, view);
    }
}

fn leave_seat(views: &mut Vec<ViewId>, view: ViewId) {
    if let Ok(at) = views.binary_search(&view) {
        views.remove(at);
    }
}

impl Seats {
    /// The list has been filed.
    pub fn insert(&mut self, list: Option<&OneOf>, view: ViewId) {
        let Some(list) = list else { return take_seat(&mut self.views, view) };
        let Some(id) = list.id else { return };
        let at = match self.listed.iter().position(|(field, _)| *field == list.field) {
            Some(at) => at,
            None => {
                self.listed.push((list.field.clone(), BTreeMap::new()));
                self.listed.len().saturating_sub(1)
            }
        };
        if let Some((_, listed)) = self.listed.get_mut(at) {
            take_seat(listed.entry(id).or_default(), view);
        }
    }

    pub fn remove(&mut self, list: Option<&OneOf>, view: ViewId) {
        let Some(list) = list else { return leave_seat(&mut self.views, view) };
        let Some(id) = list.id else { return };
        for (_, listed) in self.listed.iter_mut().filter(|(field, _)| *field == list.field) {
            if let Some(views) = listed.get_mut(&id) {
                leave_seat(views, view);
                if views.is_empty() {
                    listed.remove(&id);
                }
            }
        }
        self.listed.retain(|(_, listed)| !listed.is_empty());
    }

    pub fn is_empty(&self) -> bool {
        self.views.is_empty() && self.listed.is_empty()
    }

    /// Calls `visit` with every view that the change can concern.
    pub fn visit(&self, looking: Looking<'_>, sides: Sides, visit: &mut impl FnMut(ViewId)) {
        self.views.iter().copied().for_each(&mut *visit);
        for (field, listed) in &self.listed {
            let Some(lists) = looking.lists.iter().find(|lists| lists.field == *field) else {
                continue;
            };
            for value in sides.values(looking.change, field) {
                let found = lists.with(value);
                if listed.len() < found.len() {
                    let fit = listed.iter().filter(|(id, _)| found.binary_search(id).is_ok());
                    fit.flat_map(|(_, views)| views).copied().for_each(&mut *visit);
                } else {
                    let fit = found.iter().filter_map(|id| listed.get(id));
                    fit.flatten().copied().for_each(&mut *visit);
                }
            }
        }
    }
}
