//! From a change to the views that it can concern, without walking all of them.
//!
//! A view whose filter demands plain equality on some fields is filed under the
//! values it demands. Views that demand values of the same fields share one
//! table, so a change costs one look-up per such set of fields (there are as
//! many as kinds of queries, not as subscriptions), before and after. Views
//! that demand nothing see every change of their bucket.

use std::collections::HashMap;

use super::program::Dependencies;
use super::views::ViewId;
use crate::json::Raw;
use crate::store::{BucketId, Change, FieldRef, Filter, Key, Row};

/// The views over one bucket.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    all: Vec<ViewId>,
    tables: Vec<Table>,
    /// Programs that read single records.
    records: HashMap<Key, Vec<ViewId>>,
}

#[derive(Debug)]
struct Table {
    /// Sorted by name.
    fields: Vec<FieldRef>,
    views: HashMap<Box<str>, Vec<ViewId>>,
}

/// Where a view is filed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Route {
    /// Concerned by every change.
    All,
    /// By changes of records with these values in these fields.
    Values { fields: Vec<FieldRef>, values: Box<str> },
    /// By changes of this record.
    Record(Key),
}

impl Route {
    pub fn of(filter: &Filter) -> Route {
        let mut demands: Vec<(&FieldRef, &str)> = filter.equalities().collect();
        demands.sort_by(|a, b| a.0.name().cmp(b.0.name()));
        demands.dedup_by(|a, b| a.0.name() == b.0.name());
        if demands.is_empty() {
            return Route::All;
        }
        let fields = demands.iter().map(|(field, _)| (*field).clone()).collect();
        let mut values = String::new();
        for (_, value) in demands {
            append(&mut values, Some(value));
        }
        Route::Values { fields, values: values.into() }
    }

    /// Where a program's view is filed.
    pub fn of_dependencies(dependencies: &Dependencies) -> Vec<(BucketId, Route)> {
        let buckets = dependencies.buckets.iter().map(|bucket| (*bucket, Route::All));
        let records = dependencies.records.iter();
        let records = records.filter(|(bucket, _)| !dependencies.buckets.contains(bucket));
        let records = records.map(|(bucket, key)| (*bucket, Route::Record(key.clone())));
        buckets.chain(records).collect()
    }

    /// The fields in which views are told apart.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        let fields = match self {
            Route::Values { fields, .. } => fields.as_slice(),
            Route::All | Route::Record(_) => &[],
        };
        fields.iter().map(FieldRef::name)
    }
}

/// Values in storage form contain no raw control characters.
fn append(values: &mut String, value: Option<&str>) {
    values.push_str(value.unwrap_or_default());
    values.push('\n');
}

impl Routes {
    pub fn insert(&mut self, route: &Route, view: ViewId) {
        match route {
            Route::All => self.all.push(view),
            Route::Record(key) => self.records.entry(key.clone()).or_default().push(view),
            Route::Values { fields, values } => {
                let at = match self.tables.iter().position(|table| table.fields == *fields) {
                    Some(at) => at,
                    None => {
                        let views = HashMap::new();
                        self.tables.push(Table { fields: fields.clone(), views });
                        self.tables.len() - 1
                    }
                };
                if let Some(table) = self.tables.get_mut(at) {
                    table.views.entry(values.clone()).or_default().push(view);
                }
            }
        }
    }

    pub fn remove(&mut self, route: &Route, view: ViewId) {
        match route {
            Route::All => self.all.retain(|have| *have != view),
            Route::Record(key) => {
                if let Some(views) = self.records.get_mut(key) {
                    views.retain(|have| *have != view);
                    if views.is_empty() {
                        self.records.remove(key);
                    }
                }
            }
            Route::Values { fields, values } => {
                for table in self.tables.iter_mut().filter(|table| table.fields == *fields) {
                    if let Some(views) = table.views.get_mut(values) {
                        views.retain(|have| *have != view);
                        if views.is_empty() {
                            table.views.remove(values);
                        }
                    }
                }
                self.tables.retain(|table| !table.views.is_empty());
            }
        }
    }

    pub fn is_empty(&self) -> bool {
        self.all.is_empty() && self.tables.is_empty() && self.records.is_empty()
    }

    /// Calls `visit` with every view that the change can concern; with some of
    /// them twice.
    pub fn visit(&self, change: &Change, scratch: &mut String, mut visit: impl FnMut(ViewId)) {
        for view in &self.all {
            visit(*view);
        }
        if !self.records.is_empty() {
            self.records.get(&change.key).into_iter().flatten().copied().for_each(&mut visit);
        }
        for table in &self.tables {
            let mut before = None;
            for row in [&change.old, &change.new].into_iter().flatten() {
                let Some(views) = table.find(row, scratch) else { continue };
                // An update that keeps the values leads to the same views.
                if before.is_some_and(|before| std::ptr::eq(before, views)) {
                    continue;
                }
                before = Some(views);
                for view in views {
                    visit(*view);
                }
            }
        }
    }
}

impl Table {
    fn find(&self, row: &Row, scratch: &mut String) -> Option<&Vec<ViewId>> {
        scratch.clear();
        for field in &self.fields {
            append(scratch, row.field(field).map(Raw::text));
        }
        self.views.get(scratch.as_str())
    }
}
