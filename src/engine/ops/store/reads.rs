//! Reads of one bucket: `get`, `where`, paging, aggregates.

use super::{write_row, write_rows};
use crate::budget::Budget;
use crate::engine::scopes::Reading;
use crate::json::{Json, Object, Raw, write_number};
use crate::protocol::{OpError, Request};
use crate::store::rows::Bound;
use crate::store::{Access, Aggregate, Bucket, Filter, Key, Lookup, SortedIndex, Store};

impl Reading<'_> {
    /// What may be read of the bucket of a request. What is wrong with its fields
    /// is found by whoever reads them.
    fn read_rule(&mut self, request: &Request<'_>) -> Result<Bound, OpError> {
        match request.str_field("bucket") {
            Some(name) if self.store.bucket_id(&name).is_some() => self.rights.readable(&name),
            _ => Ok(Bound::All),
        }
    }

    pub(in crate::engine::ops) fn store_get(
        &mut self,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), OpError> {
        let name = request.require_string("bucket")?;
        let key = request.require_value("key")?;
        let read = self.rights.readable(&name)?;
        let bucket = self.store.require(&name)?;
        self.budget.look()?;
        let row = Key::text_of(key).and_then(|key| bucket.get_by_text(&key));
        let row = row.filter(|row| read.allows(row, self.budget));
        self.budget.check()?;
        write_row(out, row, self.budget);
        Ok(())
    }

    pub(in crate::engine::ops) fn store_all(
        &mut self,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), OpError> {
        let name = request.require_string("bucket")?;
        let read = self.rights.readable(&name)?;
        let bucket = self.store.require(&name)?;
        if read.filter().is_some() {
            let filter = read.narrow(Filter::default());
            let rows = bucket.in_table_order(Some(&filter), self.budget);
            return Ok(write_rows(out, rows.map(|(_, row)| row), self.budget)?);
        }
        let rows = bucket.visible().take_while(|_| self.budget.look().is_ok());
        Ok(write_rows(out, rows.map(|(_, row)| row), self.budget)?)
    }

    pub(in crate::engine::ops) fn store_where(
        &mut self,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), OpError> {
        let read = self.read_rule(request)?;
        let (bucket, filter) = filtered(self.store, &read, request)?;
        let rows = bucket.select(Some(&filter), self.budget).rows();
        Ok(write_rows(out, rows, self.budget)?)
    }

    pub(in crate::engine::ops) fn store_find_one(
        &mut self,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), OpError> {
        let read = self.read_rule(request)?;
        let (bucket, filter) = filtered(self.store, &read, request)?;
        let first = bucket.select(Some(&filter), self.budget).rows().next();
        self.budget.check()?;
        write_row(out, first, self.budget);
        Ok(())
    }

    pub(in crate::engine::ops) fn store_first(
        &mut self,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), OpError> {
        let read = self.read_rule(request)?;
        let (bucket, n) = some(self.store, request, "n")?;
        let rows = bucket.first_shown(n, read.filter().map(|it| &**it), self.budget)?;
        Ok(write_rows(out, rows.into_iter(), self.budget)?)
    }

    pub(in crate::engine::ops) fn store_last(
        &mut self,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), OpError> {
        let read = self.read_rule(request)?;
        let (bucket, n) = some(self.store, request, "n")?;
        let rows = bucket.last_shown(n, read.filter().map(|it| &**it), self.budget)?;
        Ok(write_rows(out, rows.into_iter(), self.budget)?)
    }

    pub(in crate::engine::ops) fn store_count(
        &mut self,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), OpError> {
        let read = self.read_rule(request)?;
        count(self.store, (self.budget, &read), request, out)
    }

    pub(in crate::engine::ops) fn store_paginate(
        &mut self,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), OpError> {
        let read = self.read_rule(request)?;
        paginate(self.store, (self.budget, &read), request, out)
    }

    pub(in crate::engine::ops) fn store_sum(
        &mut self,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), OpError> {
        let read = self.read_rule(request)?;
        aggregate(self.store, (self.budget, &read), request, Aggregate::Sum, out)
    }

    pub(in crate::engine::ops) fn store_avg(
        &mut self,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), OpError> {
        let read = self.read_rule(request)?;
        aggregate(self.store, (self.budget, &read), request, Aggregate::Avg, out)
    }

    pub(in crate::engine::ops) fn store_min(
        &mut self,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), OpError> {
        let read = self.read_rule(request)?;
        aggregate(self.store, (self.budget, &read), request, Aggregate::Min, out)
    }

    pub(in crate::engine::ops) fn store_max(
        &mut self,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), OpError> {
        let read = self.read_rule(request)?;
        aggregate(self.store, (self.budget, &read), request, Aggregate::Max, out)
    }

    /// With `query`, how that is kept; else how a filter is served.
    pub(in crate::engine::ops) fn store_explain(
        &mut self,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), OpError> {
        match request.field("query") {
            Some(_) => self.explain_query(request, out),
            None => {
                let read = self.read_rule(request)?;
                explain(self.store, (self.budget, &read), request, out)
            }
        }
    }
}

fn count(
    store: &Store,
    (budget, read): (&Budget, &Bound),
    request: &Request<'_>,
    out: &mut Vec<u8>,
) -> Result<(), OpError> {
    let name = request.require_string("bucket")?;
    let filter = request.optional_object("filter")?;
    let bucket = store.require(&name)?;
    let filter = narrowed(bucket, filter, read)?;
    let count = match filter.filter(|filter| !filter.is_empty()) {
        Some(filter) => bucket.select(Some(&filter), budget).rows().count(),
        None => bucket.visible_len(budget),
    };
    budget.check()?;
    write_number(out, count as f64);
    Ok(())
}

/// The filter of a request, with what may be read at all.
fn narrowed(
    bucket: &Bucket,
    filter: Option<Raw<'_>>,
    read: &Bound,
) -> Result<Option<Filter>, OpError> {
    let filter = filter.map(|filter| Filter::compile(bucket.layout(), filter)).transpose()?;
    Ok(match read.filter() {
        None => filter,
        Some(_) => Some(read.narrow(filter.unwrap_or_default())),
    })
}

/// The bucket and the filter of a request that must have both.
fn filtered<'s>(
    store: &'s Store,
    read: &Bound,
    request: &Request<'_>,
) -> Result<(&'s Bucket, Filter), OpError> {
    let name = request.require_string("bucket")?;
    let filter = request.require_object("filter")?;
    let bucket = store.require(&name)?;
    Ok((bucket, read.narrow(Filter::compile(bucket.layout(), filter)?)))
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
    (budget, read): (&Budget, &Bound),
    request: &Request<'_>,
    out: &mut Vec<u8>,
) -> Result<(), OpError> {
    let (bucket, limit) = some(store, request, "limit")?;
    let read = read.filter().map(|it| &**it);
    // One more than asked for tells whether there are more.
    let wanted = limit.saturating_add(1);
    let mut rows = match request.field("after") {
        Some(after) => bucket.after_shown(&Lookup::from(after), wanted, read, budget)?,
        None => bucket.first_shown(wanted, read, budget)?,
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
    (budget, read): (&Budget, &Bound),
    request: &Request<'_>,
    function: Aggregate,
    out: &mut Vec<u8>,
) -> Result<(), OpError> {
    let name = request.require_string("bucket")?;
    let field = request.require_string("field")?;
    let filter = request.optional_object("filter")?;
    let bucket = store.require(&name)?;
    let filter = narrowed(bucket, filter, read)?;
    let field = bucket.layout().field(&field);
    let rows = bucket.select(filter.as_ref(), budget).rows();
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
    (budget, read): (&Budget, &Bound),
    request: &Request<'_>,
    out: &mut Vec<u8>,
) -> Result<(), OpError> {
    let name = request.require_string("bucket")?;
    let filter = request.optional_object("filter")?;
    let bucket = store.require(&name)?;
    let filter = narrowed(bucket, filter, read)?;
    let (access, mut selection) = bucket.explain(filter.as_ref(), budget);
    let matched = selection.by_ref().count();
    budget.check()?;
    let mut answer = explain_access(bucket, &access);
    match read.filter() {
        None => {
            answer.insert("lookedAt", Json::Number(selection.looked_at() as f64));
        }
        // These count hidden records.
        Some(_) => {
            answer.remove("records");
            answer.insert("rowFilter", Json::Bool(true));
        }
    }
    answer.insert("matched", Json::Number(matched as f64));
    Json::Object(answer).write(out);
    Ok(())
}

/// An ordered index by its fields.
fn names_of(index: &SortedIndex) -> Json {
    match index.fields() {
        [field] => Json::from(field.name()),
        fields => Json::Array(fields.iter().map(|field| Json::from(field.name())).collect()),
    }
}

/// The members that tell the way to the candidates.
pub(crate) fn explain_access(bucket: &Bucket, access: &Access) -> Object {
    let (word, index) = match access {
        Access::Scan => ("scan", None),
        Access::Nothing => ("none", None),
        Access::Keys(_) => ("key", None),
        Access::Index(at, _) | Access::Values(at, _) => ("index", Some(*at)),
        Access::Range(at, _) => ("range", Some(*at)),
        Access::Sorted(..) => ("ordered", None),
        Access::Words(..) => ("words", None),
    };
    let mut answer = Object::new();
    answer.insert("bucket", Json::from(bucket.name()));
    answer.insert("records", Json::Number(bucket.len() as f64));
    answer.insert("access", Json::from(word));
    if let Some(index) = index.and_then(|at| bucket.indexes().get(at)) {
        answer.insert("index", Json::from(index.field().name()));
    }
    if let Access::Sorted(at, _) = access
        && let Some(index) = bucket.sorted_indexes().get(*at)
    {
        answer.insert("index", names_of(index));
    }
    if let Access::Words(at, _) = access
        && let Some(index) = bucket.search_indexes().get(*at)
    {
        answer.insert("index", Json::from(index.field().name()));
    }
    let order = if access.order().is_some() { "acquired" } else { "table" };
    answer.insert("order", Json::from(order));
    answer
}
