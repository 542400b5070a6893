//! Transactions of the model: writes are kept beside the buckets, reads see
//! them, the end brings both together.

use noexd::json::{Json, Object};

use super::filter::{is_malformed, is_scalar, matches, strictly_equal, text_of};
use super::{Answer, Bucket, Failure, Model, Record, failure, member, members, number, object};

/// What has been written to a bucket.
struct Touched {
    name: String,
    counter: f64,
    entries: Vec<Entry>,
}

struct Entry {
    key: Json,
    stored: bool,
    /// `None`: deleted.
    fields: Option<Object>,
    /// The number of the insert it comes from.
    inserted: Option<usize>,
    /// That insert met a record.
    over: bool,
    /// The number of the write that made it what it is.
    first: usize,
    /// Fields that were written.
    written: Vec<String>,
    deleted: bool,
}

struct Transaction<'m> {
    model: &'m Model,
    touched: Vec<Touched>,
    writes: usize,
}

impl Model {
    pub fn transaction(&mut self, request: &Object) -> Answer {
        let mut transaction = Transaction { model: self, touched: Vec::new(), writes: 0 };
        let mut results = Vec::new();
        let operations = member(request, "operations").as_array().expect("an array");
        for (at, operation) in operations.iter().enumerate() {
            let data = transaction.run(operation.as_object().expect("an object"))?;
            results.push(object([("index", number(at)), ("data", data)]));
        }
        *self = transaction.commit()?;
        Ok(object([("results", Json::Array(results))]))
    }
}

impl Transaction<'_> {
    fn run(&mut self, operation: &Object) -> Answer {
        let text = |name: &str| operation.get(name).and_then(Json::as_str).unwrap_or_default();
        let (op, name) = (text("op"), text("bucket"));
        let Ok(bucket) = self.model.bucket(name) else {
            return failure("INTERNAL_ERROR", format!("Bucket \"{name}\" is not defined"));
        };
        let bucket = bucket.clone();
        let seen = self.records(&bucket);
        let found = |key: &Json| {
            seen.iter().find(|fields| strictly_equal(Some(&bucket.key_of(fields)), key))
        };
        match op {
            "get" => Ok(json(found(member(operation, "key")))),
            "insert" => self.insert(&bucket, members(operation, "data")),
            "update" => {
                let key = member(operation, "key");
                let Some(old) = found(key) else { return bucket.not_found(key) };
                let data = members(operation, "data");
                let merged = bucket.merge(old, data, self.model.now)?;
                self.writes += 1;
                let at = self.writes;
                let entry = self.entry(&bucket, key);
                if entry.first == 0 {
                    entry.first = at;
                }
                entry.fields = Some(merged.clone());
                entry.written.extend(data.keys().map(str::to_owned));
                Ok(Json::Object(merged))
            }
            "delete" => {
                let key = member(operation, "key");
                if is_scalar(key) {
                    self.writes += 1;
                    let at = self.writes;
                    let entry = self.entry(&bucket, key);
                    *entry = Entry {
                        fields: None,
                        inserted: None,
                        over: false,
                        first: at,
                        written: Vec::new(),
                        deleted: true,
                        key: key.clone(),
                        stored: entry.stored,
                    };
                }
                Ok(object([("deleted", Json::Bool(true))]))
            }
            _ => {
                let all = Object::new();
                let filter = match operation.get("filter") {
                    Some(Json::Object(filter)) => filter,
                    _ => &all,
                };
                if is_malformed(filter) {
                    return failure("VALIDATION_ERROR", "Invalid filter: ");
                }
                let found: Vec<&Object> = seen.iter().filter(|r| matches(filter, r)).collect();
                Ok(match op {
                    "where" => {
                        Json::Array(found.into_iter().map(|r| Json::Object(r.clone())).collect())
                    }
                    "findOne" => json(found.first().copied()),
                    "count" => number(found.len()),
                    other => panic!("{other} is not an operation of these tests"),
                })
            }
        }
    }

    fn insert(&mut self, bucket: &Bucket, data: &Object) -> Answer {
        let now = self.model.now;
        let touched = self.touched(bucket);
        touched.counter += 1.0;
        let record = bucket.prepare(data, touched.counter, now)?;
        let mut raised = bucket.clone();
        raised.counter = touched.counter;
        raised.raise(data);
        touched.counter = raised.counter;
        self.writes += 1;
        let at = self.writes;
        let key = bucket.key_of(&record);
        let entry = self.entry(bucket, &key);
        if entry.inserted.is_none() || entry.fields.is_none() {
            entry.inserted = Some(at);
            entry.over = entry.fields.is_some();
            entry.first = at;
        }
        entry.fields = Some(record.clone());
        entry.written = data.keys().map(str::to_owned).collect();
        Ok(Json::Object(record))
    }

    fn touched(&mut self, bucket: &Bucket) -> &mut Touched {
        let known = self.touched.iter().position(|touched| touched.name == bucket.name);
        let at = known.unwrap_or_else(|| {
            let (name, counter) = (bucket.name.clone(), bucket.counter);
            self.touched.push(Touched { name, counter, entries: Vec::new() });
            self.touched.len() - 1
        });
        &mut self.touched[at]
    }

    fn entry(&mut self, bucket: &Bucket, key: &Json) -> &mut Entry {
        let stored = bucket.position(key).map(|at| bucket.records[at].fields.clone());
        let entries = &mut self.touched(bucket).entries;
        let known = entries.iter().position(|entry| strictly_equal(Some(&entry.key), key));
        let at = known.unwrap_or_else(|| {
            entries.push(Entry {
                key: key.clone(),
                stored: stored.is_some(),
                fields: stored,
                inserted: None,
                over: false,
                first: 0,
                written: Vec::new(),
                deleted: false,
            });
            entries.len() - 1
        });
        &mut entries[at]
    }

    /// What the transaction sees of a bucket.
    fn records(&self, bucket: &Bucket) -> Vec<Object> {
        let Some(touched) = self.touched.iter().find(|touched| touched.name == bucket.name) else {
            return bucket.records.iter().map(|record| record.fields.clone()).collect();
        };
        let mut seen = Vec::new();
        for record in &bucket.records {
            let key = bucket.key_of(&record.fields);
            match touched.entries.iter().find(|entry| strictly_equal(Some(&entry.key), &key)) {
                None => seen.push(record.fields.clone()),
                Some(entry) if entry.inserted.is_none() => seen.extend(entry.fields.clone()),
                Some(_) => {}
            }
        }
        let mut inserted: Vec<&Entry> =
            touched.entries.iter().filter(|entry| entry.inserted.is_some()).collect();
        inserted.sort_by_key(|entry| entry.inserted);
        seen.extend(inserted.into_iter().filter_map(|entry| entry.fields.clone()));
        seen
    }

    /// The model as it is after the transaction.
    fn commit(self) -> Result<Model, Failure> {
        let mut after = self.model.clone();
        for touched in &self.touched {
            let bucket = self.model.bucket(&touched.name)?;
            let mut entries: Vec<&Entry> = touched.entries.iter().collect();
            entries.sort_by_key(|entry| (entry.inserted.is_none(), entry.first));
            check(bucket, &entries)?;
            let (written, deleted): (Vec<&Entry>, Vec<&Entry>) =
                entries.iter().partition(|entry| entry.fields.is_some());
            for entry in written {
                let fields = entry.fields.clone().expect("written");
                let at = after.tick();
                let bucket = after.bucket_mut(&touched.name)?;
                match bucket.position(&entry.key) {
                    Some(place) if entry.inserted.is_none() => bucket.change(place, fields, at),
                    place => {
                        place.map(|place| bucket.records.remove(place));
                        bucket.records.push(Record::new(fields, at));
                    }
                }
            }
            let bucket = after.bucket_mut(&touched.name)?;
            for entry in deleted {
                bucket.position(&entry.key).map(|place| bucket.records.remove(place));
            }
            bucket.counter = touched.counter;
        }
        for touched in &self.touched {
            for entry in &touched.entries {
                let Some(fields) = &entry.fields else { continue };
                let written = |(name, _): &(&str, &Json)| entry.written.iter().any(|w| w == name);
                let data = fields.iter().filter(written);
                let data: Object = data.map(|(name, value)| (name, value.clone())).collect();
                after.check_references(&touched.name, &data)?;
            }
        }
        let mut visited = Vec::new();
        for touched in &self.touched {
            for entry in touched.entries.iter().filter(|e| e.deleted && e.fields.is_none()) {
                let this = (touched.name.clone(), entry.key.clone());
                if !visited.contains(&this) {
                    visited.push(this);
                    after.follow(&touched.name, &entry.key, &mut visited)?;
                }
            }
        }
        for touched in &self.touched {
            let bucket = after.bucket_mut(&touched.name)?;
            let inserted =
                |entry: &Entry| entry.inserted.is_some() && bucket.position(&entry.key).is_some();
            if touched.entries.iter().any(inserted) {
                bucket.evict(0);
            }
        }
        Ok(after)
    }
}

/// Conflicts and unique values, write by write: inserts, then updates.
fn check(bucket: &Bucket, entries: &[&Entry]) -> Result<(), Failure> {
    // The bucket without what the transaction touched, then with more and more.
    let mut rest = bucket.clone();
    rest.records.retain(|record| {
        let key = bucket.key_of(&record.fields);
        !entries.iter().any(|entry| strictly_equal(Some(&entry.key), &key))
    });
    for entry in entries {
        let Some(fields) = &entry.fields else { continue };
        if entry.inserted.is_some() && entry.over {
            let message = format!(
                "Transaction conflict in bucket \"{}\" for key \"{key}\": Record with key \"{key}\" already exists",
                bucket.name,
                key = text_of(&entry.key)
            );
            let details =
                object([("bucket", Json::from(&*bucket.name)), ("key", entry.key.clone())]);
            return Err(Failure("CONFLICT", message, Some(details)));
        }
        rest.check_unique(fields, None, false)?;
        rest.records.push(Record::new(fields.clone(), 0));
    }
    Ok(())
}

fn json(fields: Option<&Object>) -> Json {
    fields.map(|fields| Json::Object(fields.clone())).unwrap_or_default()
}
