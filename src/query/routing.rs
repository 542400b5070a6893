//! From a change to the views that it can concern, without walking all of them.
//!
//! A view whose filter demands plain equality on some fields is filed under the
//! values it demands. Views that demand values of the same fields share one
//! table, so a change costs one look-up per such set of fields (there are as
//! many as kinds of queries, not as subscriptions), before and after. Views
//! that demand nothing see every change of their bucket.

use std::collections::HashMap;

use super::views::ViewId;
use crate::json::Raw;
use crate::store::{Change, FieldRef, Filter, Row};

/// The views over one bucket.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    all: Vec<ViewId>,
    tables: Vec<Table>,
}

#[derive(Debug)]
struct Table {
    /// Sorted by name.
    fields: Vec<FieldRef>,
    views: HashMap<Box<str>, Vec<ViewId>>,
}

/// Where a view is filed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Route {
    fields: Vec<FieldRef>,
    values: Box<str>,
}

impl Route {
    pub fn of(filter: &Filter) -> Route {
        let mut demands: Vec<(&FieldRef, &str)> = filter.equalities().collect();
        demands.sort_by(|a, b| a.0.name().cmp(b.0.name()));
        demands.dedup_by(|a, b| a.0.name() == b.0.name());
        let fields = demands.iter().map(|(field, _)| (*field).clone()).collect();
        let mut values = String::new();
        for (_, value) in demands {
            append(&mut values, Some(value));
        }
        Route { fields, values: values.into() }
    }

    /// The fields in which views are told apart.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(FieldRef::name)
    }
}

/// Values in storage form contain no raw control characters.
fn append(values: &mut String, value: Option<&str>) {
    values.push_str(value.unwrap_or_default());
    values.push('\n');
}

impl Routes {
    pub fn insert(&mut self, route: &Route, view: ViewId) {
        if route.fields.is_empty() {
            self.all.push(view);
            return;
        }
        let at = match self.tables.iter().position(|table| table.fields == route.fields) {
            Some(at) => at,
            None => {
                self.tables.push(Table { fields: route.fields.clone(), views: HashMap::new() });
                self.tables.len() - 1
            }
        };
        if let Some(table) = self.tables.get_mut(at) {
            table.views.entry(route.values.clone()).or_default().push(view);
        }
    }

    pub fn remove(&mut self, route: &Route, view: ViewId) {
        if route.fields.is_empty() {
            self.all.retain(|have| *have != view);
            return;
        }
        for table in self.tables.iter_mut().filter(|table| table.fields == route.fields) {
            if let Some(views) = table.views.get_mut(&route.values) {
                views.retain(|have| *have != view);
                if views.is_empty() {
                    table.views.remove(&route.values);
                }
            }
        }
        self.tables.retain(|table| !table.views.is_empty());
    }

    pub fn is_empty(&self) -> bool {
        self.all.is_empty() && self.tables.is_empty()
    }

    /// Calls `visit` with every view that the change can concern; with some of
    /// them twice.
    pub fn visit(&self, change: &Change, scratch: &mut String, mut visit: impl FnMut(ViewId)) {
        for view in &self.all {
            visit(*view);
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
