//! Reads of one bucket: `get`, `where`, paging, aggregates.

use super::{write_row, write_rows};
use crate::budget::Budget;
use crate::engine::Engine;
use crate::json::{Json, Object, write_number};
use crate::protocol::{OpError, Request};
use crate::store::{Access, Aggregate, Bucket, Filter, Lookup, Store};

impl Engine {
    pub(in crate::engine::ops) fn store_get(
        &self,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), OpError> {
        let name = request.require_string("bucket")?;
        let key = Lookup::from(request.require_value("key")?);
        let bucket = self.store.require(&name)?;
        self.budget.spend(1)?;
        write_row(out, key.key().and_then(|key| bucket.get(key)));
        Ok(())
    }

    pub(in crate::engine::ops) fn store_all(
        &self,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), OpError> {
        let name = request.require_string("bucket")?;
        let bucket = self.store.require(&name)?;
        let rows = bucket.visible().take_while(|_| self.budget.spend(1).is_ok());
        Ok(write_rows(out, rows.map(|(_, row)| row), &self.budget)?)
    }

    pub(in crate::engine::ops) fn store_where(
        &self,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), OpError> {
        let (bucket, filter) = filtered(&self.store, request)?;
        let rows = bucket.select(Some(&filter), &self.budget);
        Ok(write_rows(out, rows.map(|(_, row)| row), &self.budget)?)
    }

    pub(in crate::engine::ops) fn store_find_one(
        &self,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), OpError> {
        let (bucket, filter) = filtered(&self.store, request)?;
        let first = bucket.select(Some(&filter), &self.budget).next();
        self.budget.check()?;
        write_row(out, first.map(|(_, row)| row));
        Ok(())
    }

    pub(in crate::engine::ops) fn store_first(
        &self,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), OpError> {
        let (bucket, n) = some(&self.store, request, "n")?;
        let rows = bucket.first(n, &self.budget)?;
        Ok(write_rows(out, rows.into_iter(), &self.budget)?)
    }

    pub(in crate::engine::ops) fn store_last(
        &self,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), OpError> {
        let (bucket, n) = some(&self.store, request, "n")?;
        let rows = bucket.last(n, &self.budget)?;
        Ok(write_rows(out, rows.into_iter(), &self.budget)?)
    }

    pub(in crate::engine::ops) fn store_count(
        &self,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), OpError> {
        count(&self.store, &self.budget, request, out)
    }

    pub(in crate::engine::ops) fn store_paginate(
        &self,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), OpError> {
        paginate(&self.store, &self.budget, request, out)
    }

    pub(in crate::engine::ops) fn store_sum(
        &self,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), OpError> {
        aggregate(&self.store, &self.budget, request, Aggregate::Sum, out)
    }

    pub(in crate::engine::ops) fn store_avg(
        &self,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), OpError> {
        aggregate(&self.store, &self.budget, request, Aggregate::Avg, out)
    }

    pub(in crate::engine::ops) fn store_min(
        &self,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), OpError> {
        aggregate(&self.store, &self.budget, request, Aggregate::Min, out)
    }

    pub(in crate::engine::ops) fn store_max(
        &self,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), OpError> {
        aggregate(&self.store, &self.budget, request, Aggregate::Max, out)
    }

    /// With `query`, how that is kept; else how a filter is served.
    pub(in crate::engine::ops) fn store_explain(
        &self,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), OpError> {
        match request.field("query") {
            Some(_) => self.explain_query(request, out),
            None => explain(&self.store, &self.budget, request, out),
        }
    }
}

fn count(
    store: &Store,
    budget: &Budget,
    request: &Request<'_>,
    out: &mut Vec<u8>,
) -> Result<(), OpError> {
    let name = request.require_string("bucket")?;
    let filter = request.optional_object("filter")?;
    let bucket = store.require(&name)?;
    let filter = filter.map(|filter| Filter::compile(bucket.layout(), filter)).transpose()?;
    let count = match filter.filter(|filter| !filter.is_empty()) {
        Some(filter) => bucket.select(Some(&filter), budget).count(),
        None => bucket.visible_len(budget),
    };
    budget.check()?;
    write_number(out, count as f64);
    Ok(())
}

/// The bucket and the filter of a request that must have both.
fn filtered<'s>(store: &'s Store, request: &Request<'_>) -> Result<(&'s Bucket, Filter), OpError> {
    let name = request.require_string("bucket")?;
    let filter = request.require_object("filter")?;
    let bucket = store.require(&name)?;
    Ok((bucket, Filter::compile(bucket.layout(), filter)?))
}

/// The bucket and the number of records of a request that must have both.
fn some<'s>(
    store: &'s Store,
    request: &Request<'_>,
    field: &str,
) -> Result<(&'s Bucket, usize), OpError> {
    let name = request.require_string("bucket")?;
    let n = request.require_positive_integer(field)?;
    Ok((store.require(&name)?, n))
}

fn paginate(
    store: &Store,
    budget: &Budget,
    request: &Request<'_>,
    out: &mut Vec<u8>,
) -> Result<(), OpError> {
    let (bucket, limit) = some(store, request, "limit")?;
    // One more than asked for tells whether there are more.
    let wanted = limit.saturating_add(1);
    let mut rows = match request.field("after") {
        Some(after) => bucket.after(&Lookup::from(after), wanted, budget)?,
        None => bucket.first(wanted, budget)?,
    };
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    out.extend_from_slice(b"{\"records\":");
    write_rows(out, rows.iter().copied(), budget)?;
    out.extend_from_slice(b",\"hasMore\":");
    out.extend_from_slice(if has_more { b"true" } else { b"false" });
    if let Some(last) = rows.last() {
        out.extend_from_slice(b",\"nextCursor\":");
        bucket.key_of(last).write(out);
    }
    out.push(b'}');
    Ok(())
}

fn aggregate(
    store: &Store,
    budget: &Budget,
    request: &Request<'_>,
    function: Aggregate,
    out: &mut Vec<u8>,
) -> Result<(), OpError> {
    let name = request.require_string("bucket")?;
    let field = request.require_string("field")?;
    let filter = request.optional_object("filter")?;
    let bucket = store.require(&name)?;
    let filter = filter.map(|filter| Filter::compile(bucket.layout(), filter)).transpose()?;
    let field = bucket.layout().field(&field);
    let rows = bucket.select(filter.as_ref(), budget).map(|(_, row)| row);
    let rows = rows.take_while(|row| budget.spend_text(row.look_at(&field).1).is_ok());
    let number = function.over(rows, &field);
    budget.check()?;
    match number {
        Some(number) => write_number(out, number),
        None => out.extend_from_slice(b"null"),
    }
    Ok(())
}

/// How a filter is served; docs/explain.md.
fn explain(
    store: &Store,
    budget: &Budget,
    request: &Request<'_>,
    out: &mut Vec<u8>,
) -> Result<(), OpError> {
    let name = request.require_string("bucket")?;
    let filter = request.optional_object("filter")?;
    let bucket = store.require(&name)?;
    let filter = filter.map(|filter| Filter::compile(bucket.layout(), filter)).transpose()?;
    let (access, mut selection) = bucket.explain(filter.as_ref(), budget);
    let matched = selection.by_ref().count();
    budget.check()?;
    let mut answer = explain_access(bucket, &access);
    answer.insert("lookedAt", Json::Number(selection.looked_at() as f64));
    answer.insert("matched", Json::Number(matched as f64));
    Json::Object(answer).write(out);
    Ok(())
}

/// The members that tell the way to the candidates.
pub(crate) fn explain_access(bucket: &Bucket, access: &Access) -> Object {
    let (word, index) = match access {
        Access::Scan => ("scan", None),
        Access::Nothing => ("none", None),
        Access::Keys(_) => ("key", None),
        Access::Index(at, _) | Access::Values(at, _) => ("index", Some(*at)),
        Access::Range(at, _) => ("range", Some(*at)),
    };
    let mut answer = Object::new();
    answer.insert("bucket", Json::from(bucket.name()));
    answer.insert("records", Json::Number(bucket.len() as f64));
    answer.insert("access", Json::from(word));
    if let Some(index) = index.and_then(|at| bucket.indexes().get(at)) {
        answer.insert("index", Json::from(index.field().name()));
    }
    let order = if access.order().is_some() { "acquired" } else { "table" };
    answer.insert("order", Json::from(order));
    answer
}
