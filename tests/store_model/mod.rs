//! The store once more, slow and obvious: lists of trees, searched from front
//! to back, written from the specification and not from the code under test.

mod bucket;
mod filter;
pub mod generate;
mod references;
mod transaction;

use noexd::json::{Json, Object};

pub use bucket::{Bucket, Record};

/// Code, message and details.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure(pub &'static str, pub String, pub Option<Json>);

pub type Answer = Result<Json, Failure>;

pub fn failure<T>(code: &'static str, message: impl Into<String>) -> Result<T, Failure> {
    Err(Failure(code, message.into(), None))
}

pub fn object<const N: usize>(members: [(&str, Json); N]) -> Json {
    Json::Object(members.into_iter().collect())
}

#[derive(Clone, Debug, Default)]
pub struct Model {
    pub buckets: Vec<Bucket>,
    /// Numbers everything that happens.
    pub clock: u64,
    pub now: f64,
}

impl Model {
    pub fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    pub fn bucket(&self, name: &str) -> Result<&Bucket, Failure> {
        let found = self.buckets.iter().find(|bucket| bucket.name == name);
        found.map_or_else(|| undefined(name), Ok)
    }

    pub fn bucket_mut(&mut self, name: &str) -> Result<&mut Bucket, Failure> {
        let found = self.buckets.iter_mut().find(|bucket| bucket.name == name);
        found.map_or_else(|| undefined(name), Ok)
    }

    /// Answers a request; requests of these tests have all the members that
    /// they must have.
    pub fn request(&mut self, now: f64, request: &Object) -> Answer {
        self.now = now;
        self.purge();
        let operation = request.get("type").and_then(Json::as_str).unwrap_or_default();
        let operation = operation.strip_prefix("store.").unwrap_or_default();
        let text = |name: &str| request.get(name).and_then(Json::as_str).unwrap_or_default();
        let (bucket, name) = (text("bucket"), text("name"));
        match operation {
            "insert" => self.insert(bucket, members(request, "data")),
            "update" => self.update(bucket, member(request, "key"), members(request, "data")),
            "delete" => {
                self.bucket(bucket)?;
                self.delete(bucket, member(request, "key"))?;
                Ok(object([("deleted", Json::Bool(true))]))
            }
            "clear" => {
                self.bucket_mut(bucket)?.records.clear();
                Ok(object([("cleared", Json::Bool(true))]))
            }
            "transaction" => self.transaction(request),
            "defineBucket" => self.define(name, members(request, "config")),
            "updateBucket" => self.update_bucket(name, members(request, "updates")),
            "dropBucket" => {
                let known = self.buckets.iter().position(|bucket| bucket.name == name);
                let Some(at) = known else { return does_not_exist(name) };
                self.buckets.remove(at);
                Ok(object([("name", Json::from(name)), ("dropped", Json::Bool(true))]))
            }
            "getBucketSchema" => match self.bucket(name) {
                Ok(bucket) => {
                    let config = Json::Object(bucket.definition.clone());
                    Ok(object([("name", Json::from(name)), ("config", config)]))
                }
                Err(_) => does_not_exist(name),
            },
            "buckets" => {
                let names: Vec<Json> =
                    self.buckets.iter().map(|bucket| Json::from(&*bucket.name)).collect();
                Ok(object([("count", number(names.len())), ("names", Json::Array(names))]))
            }
            read => self.bucket(bucket)?.read(read, request),
        }
    }

    fn define(&mut self, name: &str, config: &Object) -> Answer {
        if self.bucket(name).is_ok() {
            return failure("ALREADY_EXISTS", format!("Bucket \"{name}\" already exists"));
        }
        let at = self.tick();
        self.buckets.push(Bucket::new(name, config.clone(), at));
        Ok(object([("name", Json::from(name)), ("created", Json::Bool(true))]))
    }

    /// New fields, new indexes, another TTL; indexes are in table order again.
    fn update_bucket(&mut self, name: &str, updates: &Object) -> Answer {
        let mut changed = self.bucket(name)?.clone();
        let mut schema = changed.schema().clone();
        let added = updates.get("addFields").and_then(Json::as_object).cloned().unwrap_or_default();
        for (field, definition) in added.iter() {
            if schema.insert(field, definition.clone()).is_some() {
                return failure(
                    "VALIDATION_ERROR",
                    format!("Field \"{field}\" already exists in bucket \"{name}\""),
                );
            }
        }
        changed.definition.insert("schema", Json::Object(schema.clone()));
        let mut listed = match changed.definition.get("indexes") {
            Some(Json::Array(listed)) => listed.clone(),
            _ => Vec::new(),
        };
        for index in updates.get("addIndexes").and_then(Json::as_array).unwrap_or_default() {
            if !schema.contains(index.as_str().unwrap_or_default()) {
                return failure(
                    "VALIDATION_ERROR",
                    format!(
                        "Index field \"{}\" does not exist in schema for bucket \"{name}\"",
                        filter::text_of(index)
                    ),
                );
            }
            if !listed.contains(index) {
                listed.push(index.clone());
            }
        }
        changed.definition.remove("indexes");
        if !listed.is_empty() {
            changed.definition.insert("indexes", Json::Array(listed));
        }
        match updates.get("ttl") {
            None => {}
            Some(Json::Null) => drop(changed.definition.remove("ttl")),
            Some(ttl) => drop(changed.definition.insert("ttl", ttl.clone())),
        }
        changed.check_unique_among_all()?;
        for at in 0..changed.records.len() {
            changed.raise(&changed.records[at].fields.clone());
        }
        for (place, record) in changed.records.iter_mut().enumerate() {
            record.acquired.clear();
            record.acquired_from = place as u64;
            for (field, definition) in added.iter() {
                if definition.get("ref").is_some() {
                    let made = self.clock + 1 + place as u64;
                    record.made.push((field.to_owned(), made));
                }
            }
        }
        self.clock += changed.records.len() as u64;
        *self.bucket_mut(name)? = changed;
        Ok(object([("name", Json::from(name)), ("updated", Json::Bool(true))]))
    }

    /// Expired records go, whatever refers to them.
    fn purge(&mut self) {
        let now = self.now;
        for bucket in &mut self.buckets {
            if bucket.definition.contains("ttl") {
                bucket.records.retain(|record| {
                    record
                        .fields
                        .get("_expiresAt")
                        .and_then(Json::as_number)
                        .is_none_or(|at| at > now)
                });
            }
        }
    }

    fn insert(&mut self, name: &str, data: &Object) -> Answer {
        self.bucket(name)?;
        self.check_references(name, data)?;
        let now = self.now;
        let bucket = self.bucket_mut(name)?;
        bucket.counter += 1.0;
        let record = bucket.prepare(data, bucket.counter, now)?;
        let key = bucket.key_of(&record);
        let old = bucket.position(&key);
        bucket.check_unique(&record, old, old.is_some())?;
        if old.is_some() && bucket.option("onDuplicateKey") == "error" {
            return failure(
                "ALREADY_EXISTS",
                format!(
                    "Record with key \"{}\" already exists in bucket \"{name}\"",
                    filter::text_of(&key)
                ),
            );
        }
        if old.is_none() {
            bucket.evict(1);
        }
        bucket.raise(data);
        let made = self.tick();
        let bucket = self.bucket_mut(name)?;
        let record = Record::new(record, made);
        match old {
            Some(at) => bucket.records[at] = record,
            None => bucket.records.push(record),
        }
        Ok(Json::Object(bucket.records[bucket.position(&key).expect("there")].fields.clone()))
    }

    fn update(&mut self, name: &str, key: &Json, data: &Object) -> Answer {
        self.bucket(name)?;
        self.check_references(name, data)?;
        let (now, made) = (self.now, self.tick());
        let bucket = self.bucket_mut(name)?;
        let Some(at) = bucket.position(key) else { return bucket.not_found(key) };
        let merged = bucket.merge(&bucket.records[at].fields, data, now)?;
        bucket.check_unique(&merged, Some(at), false)?;
        bucket.change(at, merged.clone(), made);
        Ok(Json::Object(merged))
    }
}

pub fn number(n: usize) -> Json {
    Json::Number(n as f64)
}

pub fn member<'r>(request: &'r Object, name: &str) -> &'r Json {
    request.get(name).expect("a member that must be there")
}

pub fn members<'r>(request: &'r Object, name: &str) -> &'r Object {
    member(request, name).as_object().expect("an object")
}

fn undefined<T>(name: &str) -> Result<T, Failure> {
    failure("BUCKET_NOT_DEFINED", format!("Bucket \"{name}\" is not defined"))
}

fn does_not_exist(name: &str) -> Answer {
    failure("BUCKET_NOT_DEFINED", format!("Bucket \"{name}\" does not exist"))
}
