//! References of the model.

use noexd::json::{Json, Object};

use super::filter::{is_scalar, strictly_equal, text_of};
use super::{Failure, Model, object, undefined};

/// A field that refers: its name, the bucket referred to, the policy.
fn references(schema: &Object) -> Vec<(String, String, String)> {
    let text = |field: &Json, name: &str| field.get(name).and_then(Json::as_str).map(str::to_owned);
    schema
        .iter()
        .filter_map(|(name, field)| {
            let policy = text(field, "onDelete").unwrap_or("restrict".into());
            Some((name.to_owned(), text(field, "ref")?, policy))
        })
        .collect()
}

fn details(source: &str, field: &str, target: &str, key: &Json) -> Option<Json> {
    let key = if is_scalar(key) { key.clone() } else { Json::from(text_of(key)) };
    Some(object([
        ("sourceBucket", Json::from(source)),
        ("sourceField", Json::from(field)),
        ("targetBucket", Json::from(target)),
        ("targetKey", key),
    ]))
}

impl Model {
    /// Every reference in `data` leads to a record.
    pub fn check_references(&self, name: &str, data: &Object) -> Result<(), Failure> {
        for (field, target, _) in references(self.bucket(name)?.schema()) {
            let Some(value) = data.get(&field).filter(|value| !value.is_null()) else { continue };
            let Some(bucket) = self.buckets.iter().find(|bucket| bucket.name == target) else {
                return undefined(&target);
            };
            if bucket.position(value).is_none() {
                let message = format!(
                    "Foreign key violation in bucket \"{name}\": field \"{field}\" references bucket \"{target}\" with key \"{}\", but no such record exists",
                    text_of(value)
                );
                let details = details(name, &field, &target, value);
                return Err(Failure("VALIDATION_ERROR", message, details));
            }
        }
        Ok(())
    }

    /// Deletes with everything that follows, or changes nothing.
    pub fn delete(&mut self, name: &str, key: &Json) -> Result<(), Failure> {
        let mut after = self.clone();
        after.delete_step(name, key, &mut Vec::new())?;
        *self = after;
        Ok(())
    }

    /// Everything that refers to a record, in the order in which the references
    /// were made: bucket, key, field, policy.
    fn referrers(&self, name: &str, key: &Json) -> Vec<(String, Json, String, String)> {
        let Ok(target) = self.bucket(name) else { return Vec::new() };
        let mut found = Vec::new();
        for bucket in &self.buckets {
            for (field, to, policy) in references(bucket.schema()) {
                for record in bucket.records.iter().filter(|_| to == name) {
                    let made = record.made(&field);
                    if strictly_equal(record.fields.get(&field), key) && made > target.defined_at {
                        let key = bucket.key_of(&record.fields);
                        found.push((
                            made,
                            (bucket.name.clone(), key, field.clone(), policy.clone()),
                        ));
                    }
                }
            }
        }
        found.sort_by_key(|(made, _)| *made);
        found.into_iter().map(|(_, referrer)| referrer).collect()
    }

    pub fn delete_step(
        &mut self,
        name: &str,
        key: &Json,
        visited: &mut Vec<(String, Json)>,
    ) -> Result<(), Failure> {
        let this = (name.to_owned(), key.clone());
        if visited.contains(&this) {
            return Ok(());
        }
        visited.push(this);
        self.follow(name, key, visited)?;
        let bucket = self.bucket_mut(name)?;
        if let Some(at) = bucket.position(key) {
            bucket.records.remove(at);
        }
        Ok(())
    }

    /// What happens to those who refer to a record.
    pub fn follow(
        &mut self,
        name: &str,
        key: &Json,
        visited: &mut Vec<(String, Json)>,
    ) -> Result<(), Failure> {
        for (source, source_key, field, policy) in self.referrers(name, key) {
            let bucket = self.bucket(&source)?;
            // What was dealt with since refers no more.
            let Some(at) = bucket.position(&source_key) else { continue };
            if !strictly_equal(bucket.records[at].fields.get(&field), key) {
                continue;
            }
            match &*policy {
                "cascade" => self.delete_step(&source, &source_key, visited)?,
                "set_null" => {
                    let null: Object = [(&*field, Json::Null)].into_iter().collect();
                    let (now, made) = (self.now, self.tick());
                    let bucket = self.bucket_mut(&source)?;
                    let merged = bucket.merge(&bucket.records[at].fields, &null, now)?;
                    bucket.change(at, merged, made);
                }
                _ => {
                    let message = format!(
                        "Cannot delete from bucket \"{name}\" (key \"{}\"): referenced by bucket \"{source}\" (key \"{}\") via field \"{field}\"",
                        text_of(key),
                        text_of(&source_key)
                    );
                    let details = details(&source, &field, name, key);
                    return Err(Failure("CONFLICT", message, details));
                }
            }
        }
        Ok(())
    }
}
