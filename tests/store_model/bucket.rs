//! One bucket of the model.

use noexd::json::{Json, Object};

use super::filter::{is_malformed, is_scalar, matches, served_by, strictly_equal, text_of};
use super::{Answer, Failure, failure, member, members, number, object};

#[derive(Clone, Debug)]
pub struct Record {
    pub fields: Object,
    /// Indexed field -> when the record acquired its value, if later than…
    pub acquired: Vec<(String, u64)>,
    /// … this.
    pub acquired_from: u64,
    /// Field -> when the reference in it was made, if not with the record.
    pub made: Vec<(String, u64)>,
    pub made_from: u64,
}

impl Record {
    pub fn new(fields: Object, at: u64) -> Self {
        Record { fields, acquired: Vec::new(), acquired_from: at, made: Vec::new(), made_from: at }
    }

    fn acquired(&self, field: &str) -> u64 {
        let found = self.acquired.iter().rev().find(|(have, _)| have == field);
        found.map_or(self.acquired_from, |(_, at)| *at)
    }

    pub fn made(&self, field: &str) -> u64 {
        let found = self.made.iter().rev().find(|(have, _)| have == field);
        found.map_or(self.made_from, |(_, at)| *at)
    }
}

/// The root collation of ASCII: letters whatever their case first, then case.
fn collate(text: &str) -> (Vec<usize>, Vec<bool>) {
    const ORDER: &str = " _-,;:!?.'\"()[]{}@*/\\&#%`^+<=>|~$0123456789abcdefghijklmnopqrstuvwxyz";
    let primary = |c: char| ORDER.find(c.to_ascii_lowercase()).expect("ASCII");
    (text.chars().map(primary).collect(), text.chars().map(|c| c.is_ascii_uppercase()).collect())
}

#[derive(Clone, Debug)]
pub struct Bucket {
    pub name: String,
    pub definition: Object,
    /// In table order.
    pub records: Vec<Record>,
    pub counter: f64,
    pub defined_at: u64,
}

impl Bucket {
    pub fn new(name: &str, definition: Object, defined_at: u64) -> Self {
        Bucket { name: name.into(), definition, records: Vec::new(), counter: 0.0, defined_at }
    }

    pub fn schema(&self) -> &Object {
        members(&self.definition, "schema")
    }

    pub fn option(&self, name: &str) -> &str {
        self.definition.get(name).and_then(Json::as_str).unwrap_or_default()
    }

    fn field_is(&self, field: &str, what: &str) -> bool {
        self.schema().get(field).and_then(|field| field.get(what)) == Some(&Json::Bool(true))
    }

    fn generated(&self, field: &str) -> Option<&str> {
        self.schema().get(field).and_then(|field| field.get("generated")).and_then(Json::as_str)
    }

    /// The listed fields, then the unique ones, each once.
    fn indexes(&self) -> Vec<String> {
        let listed = self.definition.get("indexes").and_then(Json::as_array).unwrap_or_default();
        let mut names: Vec<String> = Vec::new();
        let unique = self.schema().keys().filter(|field| self.field_is(field, "unique"));
        for name in listed.iter().filter_map(Json::as_str).chain(unique) {
            if !names.iter().any(|have| have == name) {
                names.push(name.into());
            }
        }
        names
    }

    pub fn key_of(&self, record: &Object) -> Json {
        record.get(self.option("key")).cloned().unwrap_or_default()
    }

    pub fn position(&self, key: &Json) -> Option<usize> {
        let field = self.option("key");
        self.records.iter().position(|record| strictly_equal(record.fields.get(field), key))
    }

    pub fn not_found<T>(&self, key: &Json) -> Result<T, Failure> {
        failure(
            "NOT_FOUND",
            format!("Record with key \"{}\" not found in bucket \"{}\"", text_of(key), self.name),
        )
    }

    /// The record that an insert of `data` makes.
    pub fn prepare(&self, data: &Object, counter: f64, now: f64) -> Result<Object, Failure> {
        let mut record = data.clone();
        for field in ["_version", "_createdAt", "_updatedAt"] {
            record.remove(field);
        }
        for (name, _) in self.schema().iter() {
            if !record.contains(name) {
                match self.generated(name) {
                    Some("autoincrement") => drop(record.insert(name, Json::Number(counter))),
                    Some("timestamp") => drop(record.insert(name, Json::Number(now))),
                    _ => {}
                }
            }
        }
        for (name, field) in self.schema().iter() {
            if let (false, Some(default)) = (record.contains(name), field.get("default")) {
                record.insert(name, default.clone());
            }
        }
        record.insert("_version", Json::Number(1.0));
        record.insert("_createdAt", Json::Number(now));
        record.insert("_updatedAt", Json::Number(now));
        let ttl = self.definition.get("ttl").and_then(Json::as_number);
        if let (Some(ttl), false) = (ttl, record.contains("_expiresAt")) {
            record.insert("_expiresAt", Json::Number(now + ttl));
        }
        self.validate(&record)?;
        Ok(record)
    }

    /// The record that an update of `old` with `data` makes.
    pub fn merge(&self, old: &Object, data: &Object, now: f64) -> Result<Object, Failure> {
        let mut record = old.clone();
        for (name, value) in data.iter() {
            let fixed = name == self.option("key")
                || self.generated(name).is_some()
                || ["_version", "_createdAt", "_updatedAt"].contains(&name);
            if !fixed {
                record.insert(name, value.clone());
            }
        }
        let version = old.get("_version").and_then(Json::as_number).expect("a version");
        record.insert("_version", Json::Number(version + 1.0));
        record.insert("_updatedAt", Json::Number(now));
        self.validate(&record)?;
        Ok(record)
    }

    fn validate(&self, record: &Object) -> Result<(), Failure> {
        let mut issues: Vec<(String, String, &str)> = Vec::new();
        for (name, field) in self.schema().iter() {
            let mut issue = |code, text: String| issues.push((name.to_owned(), text, code));
            let Some(value) = record.get(name).filter(|value| !value.is_null()) else {
                if self.field_is(name, "required") || name == self.option("key") {
                    issue("required", "Field is required".into());
                }
                continue;
            };
            let kind = match value {
                Json::Bool(_) => "boolean",
                Json::Number(_) => "number",
                Json::String(_) => "string",
                Json::Array(_) => "array",
                _ => "object",
            };
            let wanted = field.get("type").and_then(Json::as_str).expect("a type");
            if kind != wanted && !(wanted == "date" && (kind == "string" || kind == "number")) {
                issue("type", format!("Expected type \"{wanted}\", got {kind}"));
                continue;
            }
            if let Some(values) = field.get("enum").and_then(Json::as_array)
                && !values.iter().any(|allowed| strictly_equal(Some(value), allowed))
            {
                let names: Vec<String> = values.iter().map(text_of).collect();
                issue("enum", format!("Value must be one of: {}", names.join(", ")));
            }
            if let (Some(text), Some(max)) = (value.as_str(), field.get("maxLength"))
                && text.encode_utf16().count() as f64 > max.as_number().expect("a number")
            {
                issue("maxLength", format!("Maximum length is {max}"));
            }
            if let (Some(number), Some(min)) = (value.as_number(), field.get("min"))
                && number < min.as_number().expect("a number")
            {
                issue("min", format!("Minimum value is {min}"));
            }
        }
        if issues.is_empty() {
            return Ok(());
        }
        let texts: Vec<String> =
            issues.iter().map(|(field, text, _)| format!("{field}: {text}")).collect();
        let details = issues.into_iter().map(|(field, text, code)| {
            object([
                ("field", Json::from(field)),
                ("message", Json::from(text)),
                ("code", Json::from(code)),
            ])
        });
        let message =
            format!("Validation failed for bucket \"{}\": {}", self.name, texts.join("; "));
        Err(Failure("VALIDATION_ERROR", message, Some(Json::Array(details.collect()))))
    }

    fn unique_violation(&self, field: &str, value: &Json) -> Failure {
        let details = object([
            ("bucket", Json::from(&*self.name)),
            ("field", Json::from(field)),
            ("value", value.clone()),
        ]);
        let message = format!(
            "Unique constraint violation in bucket \"{}\": field \"{field}\" already has value \"{}\"",
            self.name,
            text_of(value)
        );
        Failure("ALREADY_EXISTS", message, Some(details))
    }

    /// `own`: the record that the new one takes the place of; `over`: by an
    /// insert with its key.
    pub fn check_unique(
        &self,
        new: &Object,
        own: Option<usize>,
        over: bool,
    ) -> Result<(), Failure> {
        for field in self.indexes().iter().filter(|field| self.field_is(field, "unique")) {
            let Some(value) = new.get(field).filter(|value| is_scalar(value)) else { continue };
            let mut records = self.records.iter().enumerate();
            let taken = records.any(|(at, record)| {
                let own = Some(at) == own && !(over && field == self.option("key"));
                !own && strictly_equal(record.fields.get(field), value)
            });
            if taken {
                return Err(self.unique_violation(field, value));
            }
        }
        Ok(())
    }

    pub fn check_unique_among_all(&self) -> Result<(), Failure> {
        for field in self.indexes().iter().filter(|field| self.field_is(field, "unique")) {
            for (at, record) in self.records.iter().enumerate() {
                let Some(value) = record.fields.get(field).filter(|value| is_scalar(value)) else {
                    continue;
                };
                if self.records[..at].iter().any(|r| strictly_equal(r.fields.get(field), value)) {
                    return Err(self.unique_violation(field, value));
                }
            }
        }
        Ok(())
    }

    /// Removes the oldest records until `coming` more fit.
    pub fn evict(&mut self, coming: usize) {
        let Some(limit) = self.definition.get("maxSize").and_then(Json::as_number) else { return };
        while !self.records.is_empty() && (self.records.len() + coming) as f64 > limit.max(1.0) {
            let age = |record: &Record| {
                record.fields.get("_createdAt").and_then(Json::as_number).expect("an age")
            };
            let oldest = self.records.iter().map(age).fold(f64::INFINITY, f64::min);
            let at = self.records.iter().position(|record| age(record) == oldest);
            self.records.remove(at.expect("one is the oldest"));
        }
    }

    /// An explicit number in an autoincrement field raises the counter, as far as
    /// there is room for the numbers that follow.
    pub fn raise(&mut self, data: &Object) {
        for (name, _) in self.schema().clone().iter() {
            let number = data
                .get(name)
                .and_then(Json::as_number)
                .filter(|n| n.fract() == 0.0 && *n <= 2f64.powi(52));
            if let (Some("autoincrement"), Some(number)) = (self.generated(name), number) {
                self.counter = self.counter.max(number);
            }
        }
    }

    /// Updates a record: what it acquires by that, it acquires now.
    pub fn change(&mut self, at: usize, new: Object, now: u64) {
        let mut fields = self.indexes();
        let references = self.schema().iter().filter(|(_, field)| field.get("ref").is_some());
        let references: Vec<String> = references.map(|(name, _)| name.to_owned()).collect();
        let record = &mut self.records[at];
        let moves = |field: &String| match (record.fields.get(field), new.get(field)) {
            (Some(old), Some(new)) => !strictly_equal(Some(old), new),
            (old, new) => old != new,
        };
        fields.retain(moves);
        let references: Vec<String> = references.into_iter().filter(moves).collect();
        record.acquired.extend(fields.into_iter().map(|field| (field, now)));
        record.made.extend(references.into_iter().map(|field| (field, now)));
        record.fields = new;
    }

    /// The records that match, in candidate order.
    fn find(&self, filter: &Object) -> Result<Vec<&Record>, Failure> {
        if is_malformed(filter) {
            return failure("VALIDATION_ERROR", "Invalid filter: ");
        }
        let mut found: Vec<&Record> =
            self.records.iter().filter(|record| matches(filter, &record.fields)).collect();
        if let Some((field, _)) = served_by(filter, &self.indexes()) {
            found.sort_by_key(|record| record.acquired(field));
        }
        Ok(found)
    }

    fn filtered(&self, request: &Object) -> Result<Vec<&Record>, Failure> {
        match request.get("filter") {
            Some(Json::Object(filter)) => self.find(filter),
            _ => Ok(self.records.iter().collect()),
        }
    }

    /// In key order for an ordered set of ASCII letters and digits or of
    /// numbers.
    fn in_key_order(&self) -> Vec<&Record> {
        let mut records: Vec<&Record> = self.records.iter().collect();
        if self.option("etsType") == "ordered_set" {
            records.sort_by(|a, b| {
                let (a, b) = (self.key_of(&a.fields), self.key_of(&b.fields));
                match (a.as_number(), b.as_number()) {
                    (Some(a), Some(b)) => a.total_cmp(&b),
                    _ => collate(&text_of(&a)).cmp(&collate(&text_of(&b))),
                }
            });
        }
        records
    }

    pub fn read(&self, operation: &str, request: &Object) -> Answer {
        let list = |records: Vec<&Record>| {
            Json::Array(records.iter().map(|r| Json::Object(r.fields.clone())).collect())
        };
        let n = |name: &str| member(request, name).as_number().expect("a number") as usize;
        Ok(match operation {
            "get" => {
                let at = self.position(member(request, "key"));
                at.map(|at| Json::Object(self.records[at].fields.clone())).unwrap_or_default()
            }
            "all" => list(self.records.iter().collect()),
            "where" => list(self.filtered(request)?),
            "findOne" => {
                let found = self.filtered(request)?;
                found.first().map(|r| Json::Object(r.fields.clone())).unwrap_or_default()
            }
            "count" => number(self.filtered(request)?.len()),
            "first" => list(self.in_key_order().into_iter().take(n("n")).collect()),
            "last" => {
                let all = self.in_key_order();
                let skip = all.len().saturating_sub(n("n"));
                list(all.into_iter().skip(skip).collect())
            }
            "paginate" => self.paginate(request, n("limit")),
            aggregate => self.aggregate(aggregate, request)?,
        })
    }

    fn paginate(&self, request: &Object, limit: usize) -> Json {
        let all = self.in_key_order();
        let start = match request.get("after") {
            None => 0,
            Some(after) => {
                let key = |record: &&Record| self.key_of(&record.fields);
                let there = all.iter().position(|r| strictly_equal(Some(&key(r)), after));
                match there {
                    Some(at) => at + 1,
                    None if self.option("etsType") == "ordered_set" && is_scalar(after) => {
                        let greater = |r: &&Record| match (key(r).as_number(), after.as_number()) {
                            (Some(key), Some(after)) => key > after,
                            _ => collate(&text_of(&key(r))) > collate(&text_of(after)),
                        };
                        all.iter().position(greater).unwrap_or(all.len())
                    }
                    None => all.len(),
                }
            }
        };
        let page: Vec<Json> =
            all.iter().skip(start).take(limit).map(|r| Json::Object(r.fields.clone())).collect();
        let mut answer = Object::new();
        answer.insert("hasMore", Json::Bool(start + page.len() < all.len()));
        if let Some(Json::Object(last)) = page.last() {
            answer.insert("nextCursor", self.key_of(last));
        }
        answer.insert("records", Json::Array(page));
        Json::Object(answer)
    }

    fn aggregate(&self, function: &str, request: &Object) -> Answer {
        let field = member(request, "field").as_str().expect("a field");
        let found = self.filtered(request)?;
        let numbers: Vec<f64> =
            found.iter().filter_map(|r| r.fields.get(field)?.as_number()).collect();
        let mut sum = 0.0;
        for number in &numbers {
            sum += number;
        }
        let extreme = |better: fn(f64, f64) -> bool| {
            let mut best = None;
            for &number in &numbers {
                if best.is_none_or(|best| better(number, best)) {
                    best = Some(number);
                }
            }
            best.map(Json::Number).unwrap_or_default()
        };
        Ok(match function {
            "sum" => Json::Number(sum),
            "avg" if numbers.is_empty() => Json::Number(0.0),
            "avg" => Json::Number(sum / numbers.len() as f64),
            "min" => extreme(|a, b| a < b),
            "max" => extreme(|a, b| a > b),
            other => panic!("{other} is not an operation of these tests"),
        })
    }
}
