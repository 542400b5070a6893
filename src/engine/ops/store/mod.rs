//! `store.*`: records, reads, transactions and the administration of buckets.
//! Subscriptions and queries are next door.

mod transaction;

use super::Outcome;
use crate::engine::Engine;
use crate::json::{Json, Kind, Object, Raw, write_number, write_string};
use crate::protocol::{ErrorCode, OpError, Operation, Reply, Request};
use crate::store::{Bucket, Data, Draft, Filter, Lookup, Mode, Row, Store};

impl Engine {
    pub(super) fn store_operation(
        &mut self,
        operation: Operation,
        request: &Request<'_>,
        reply: &mut Reply,
    ) -> Result<Outcome, OpError> {
        let out = reply.data();
        match operation {
            Operation::StoreInsert => self.store_insert(request, out)?,
            Operation::StoreGet => store_get(&self.store, request, out)?,
            Operation::StoreUpdate => self.store_update(request, out)?,
            Operation::StoreDelete => self.store_delete(request, out)?,
            Operation::StoreClear => self.store_clear(request, out)?,
            Operation::StoreAll => {
                let bucket = bucket_of(&self.store, request)?;
                write_rows(out, bucket.iter().map(|(_, row)| row));
            }
            Operation::StoreWhere => {
                let (bucket, filter) = filtered(&self.store, request)?;
                write_rows(out, bucket.select(Some(&filter)).map(|(_, row)| row));
            }
            Operation::StoreFindOne => {
                let (bucket, filter) = filtered(&self.store, request)?;
                let first = bucket.select(Some(&filter)).next();
                write_row(out, first.map(|(_, row)| row));
            }
            Operation::StoreCount => store_count(&self.store, request, out)?,
            Operation::StoreTransaction => self.store_transaction(request, out)?,
            Operation::StoreDefineBucket => self.store_define(request, out)?,
            Operation::StoreUpdateBucket => self.store_update_bucket(request, out)?,
            Operation::StoreDropBucket => self.store_drop(request, out)?,
            Operation::StoreGetBucketSchema => {
                let name = request.require_string("name")?;
                let bucket = self.store.bucket_named(&name).ok_or_else(|| does_not_exist(&name))?;
                named(out, &name, "config", &Json::Object(bucket.definition().supplied().clone()));
            }
            Operation::StoreBuckets => {
                let names = self.store.buckets().map(|bucket| Json::from(bucket.name())).collect();
                bucket_names(names).write(out);
            }
            Operation::StoreStats => self.store_stats().write(out),
            _ => {
                return Err(OpError::new(
                    ErrorCode::UnknownOperation,
                    format!("\"{}\" is not available in this version", operation.name()),
                ));
            }
        }
        Ok(Outcome::Done)
    }

    /// Runs one plain operation: prepares it, and commits what comes out. What
    /// a failed one leaves behind (a number of a counter) is committed too.
    pub(crate) fn write_single<T>(
        &mut self,
        prepare: impl FnOnce(&mut Draft, &Store, &mut crate::ids::IdSource) -> Result<T, OpError>,
    ) -> Result<T, OpError> {
        let mut draft = Draft::new(Mode::Single, self.now.wall);
        let result = prepare(&mut draft, &self.store, &mut self.ids);
        let finished = result.and_then(|value| Ok((value, draft.finish(&self.store)?)));
        match finished {
            Ok((value, set)) => {
                self.commit(set);
                Ok(value)
            }
            Err(error) => {
                self.commit(draft.abandon());
                Err(error)
            }
        }
    }

    /// The object of `store.stats`.
    pub(crate) fn store_stats(&self) -> Json {
        let count = |number: usize| Json::Number(number as f64);
        let each = |of: fn(&Bucket) -> usize| -> (Json, Json) {
            let per_bucket = self.store.buckets().map(|bucket| (bucket.name(), count(of(bucket))));
            let total = self.store.buckets().map(of).sum();
            (count(total), Json::Object(per_bucket.collect()))
        };
        let totals = |(total, per_bucket)| {
            Json::Object([("total", total), ("perBucket", per_bucket)].into_iter().collect())
        };
        let names = self.store.buckets().map(|bucket| Json::from(bucket.name())).collect();
        let interval = self.options.ttl_check_interval_ms;
        let queries = [("defined", count(0)), ("activeSubscriptions", count(0))];
        let ttl = [
            ("enabled", Json::Bool(interval > 0)),
            ("checkIntervalMs", Json::Number(interval as f64)),
        ];
        let persistence = [("enabled", Json::Bool(false))];
        let stats: Object = [
            ("name", Json::from(self.options.name.as_str())),
            ("buckets", bucket_names(names)),
            ("records", totals(each(Bucket::len))),
            ("indexes", totals(each(|bucket| bucket.definition().indexes.len()))),
            ("queries", Json::Object(queries.into_iter().collect())),
            ("persistence", Json::Object(persistence.into_iter().collect())),
            ("ttl", Json::Object(ttl.into_iter().collect())),
        ]
        .into_iter()
        .collect();
        Json::Object(stats)
    }

    fn store_insert(&mut self, request: &Request<'_>, out: &mut Vec<u8>) -> Result<(), OpError> {
        let name = request.require_string("bucket")?;
        let data = Data::from(request.require_object("data")?);
        let bucket = self.store.require(&name)?.id();
        let row = self.write_single(|draft, store, ids| draft.insert(store, ids, bucket, &data))?;
        row.write(out);
        Ok(())
    }

    fn store_update(&mut self, request: &Request<'_>, out: &mut Vec<u8>) -> Result<(), OpError> {
        let name = request.require_string("bucket")?;
        let key = Lookup::from(request.require_value("key")?);
        let data = Data::from(request.require_object("data")?);
        let bucket = self.store.require(&name)?.id();
        let row = self.write_single(|draft, store, _| draft.update(store, bucket, &key, &data))?;
        row.write(out);
        Ok(())
    }

    fn store_delete(&mut self, request: &Request<'_>, out: &mut Vec<u8>) -> Result<(), OpError> {
        let name = request.require_string("bucket")?;
        let key = Lookup::from(request.require_value("key")?);
        let bucket = self.store.require(&name)?.id();
        self.write_single(|draft, store, _| draft.delete(store, bucket, &key))?;
        out.extend_from_slice(b"{\"deleted\":true}");
        Ok(())
    }

    fn store_clear(&mut self, request: &Request<'_>, out: &mut Vec<u8>) -> Result<(), OpError> {
        let bucket = bucket_of(&self.store, request)?.id();
        self.write_single(|draft, store, _| draft.clear(store, bucket))?;
        out.extend_from_slice(b"{\"cleared\":true}");
        Ok(())
    }

    fn store_define(&mut self, request: &Request<'_>, out: &mut Vec<u8>) -> Result<(), OpError> {
        let name = request.require_string("name")?;
        let config = request.require_object("config")?;
        let set = self.store.prepare_define(&name, object(config))?;
        self.commit(set);
        named(out, &name, "created", &Json::Bool(true));
        Ok(())
    }

    fn store_update_bucket(
        &mut self,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), OpError> {
        let name = request.require_string("name")?;
        let updates = request.require_object("updates")?;
        let set = self.store.prepare_update(&name, &object(updates))?;
        self.commit(set);
        named(out, &name, "updated", &Json::Bool(true));
        Ok(())
    }

    fn store_drop(&mut self, request: &Request<'_>, out: &mut Vec<u8>) -> Result<(), OpError> {
        let name = request.require_string("name")?;
        let set = self.store.prepare_drop(&name)?;
        self.commit(set);
        named(out, &name, "dropped", &Json::Bool(true));
        Ok(())
    }
}

fn store_get(store: &Store, request: &Request<'_>, out: &mut Vec<u8>) -> Result<(), OpError> {
    let name = request.require_string("bucket")?;
    let key = Lookup::from(request.require_value("key")?);
    let bucket = store.require(&name)?;
    write_row(out, key.key().and_then(|key| bucket.get(key)));
    Ok(())
}

fn store_count(store: &Store, request: &Request<'_>, out: &mut Vec<u8>) -> Result<(), OpError> {
    let name = request.require_string("bucket")?;
    let filter = request.optional_object("filter")?;
    let bucket = store.require(&name)?;
    let filter = filter.map(|filter| Filter::compile(bucket.layout(), filter)).transpose()?;
    let count = match filter.filter(|filter| !filter.is_empty()) {
        Some(filter) => bucket.select(Some(&filter)).count(),
        None => bucket.len(),
    };
    write_number(out, count as f64);
    Ok(())
}

/// The bucket of a request that names nothing else.
fn bucket_of<'s>(store: &'s Store, request: &Request<'_>) -> Result<&'s Bucket, OpError> {
    let name = request.require_string("bucket")?;
    store.require(&name)
}

/// The bucket and the filter of a request that must have both.
fn filtered<'s>(store: &'s Store, request: &Request<'_>) -> Result<(&'s Bucket, Filter), OpError> {
    let name = request.require_string("bucket")?;
    let filter = request.require_object("filter")?;
    let bucket = store.require(&name)?;
    Ok((bucket, Filter::compile(bucket.layout(), filter)?))
}

/// A record or `null`.
pub(super) fn write_row(out: &mut Vec<u8>, row: Option<&Row>) {
    match row {
        Some(row) => row.write(out),
        None => out.extend_from_slice(b"null"),
    }
}

/// An array of records.
pub(super) fn write_rows<'r>(out: &mut Vec<u8>, rows: impl Iterator<Item = &'r Row>) {
    out.push(b'[');
    for (at, row) in rows.enumerate() {
        if at > 0 {
            out.push(b',');
        }
        row.write(out);
    }
    out.push(b']');
}

/// `{"name": …, "…": …}`
fn named(out: &mut Vec<u8>, name: &str, member: &str, value: &Json) {
    out.extend_from_slice(b"{\"name\":");
    write_string(out, name);
    out.push(b',');
    write_string(out, member);
    out.push(b':');
    value.write(out);
    out.push(b'}');
}

/// `{"count": …, "names": […]}`
fn bucket_names(names: Vec<Json>) -> Json {
    let count = Json::Number(names.len() as f64);
    let members: Object = [("count", count), ("names", Json::Array(names))].into_iter().collect();
    Json::Object(members)
}

fn does_not_exist(name: &str) -> OpError {
    OpError::new(ErrorCode::BucketNotDefined, format!("Bucket \"{name}\" does not exist"))
}

fn object(raw: Raw<'_>) -> Object {
    match raw.to_json() {
        Json::Object(object) if raw.kind() == Kind::Object => object,
        _ => Object::new(),
    }
}
