//! Buckets as such: defining, changing, dropping, listing.

use crate::budget::OverBudget;
use crate::engine::Engine;
use crate::engine::ops::queries::{WARNINGS, flag, write_defined};
use crate::engine::scopes::{Defining, Written};
use crate::json::{Json, Object, Raw, write_string};
use crate::protocol::{ErrorCode, OpError, Operation, Request, bounds};
use crate::spelling::UnknownMember;
use crate::store::Bucket;
use crate::store::rows::unknown_sets;
use crate::store::schema::{
    Definition, MAX_ISSUES, differences, unknown_in_fields, unknown_members, warnings,
};

impl Engine {
    /// The buckets that clients may know of: all but the server's own.
    fn visible_buckets(&self) -> impl Iterator<Item = &Bucket> {
        self.store.buckets().filter(|bucket| !self.is_system_bucket(bucket.name()))
    }

    pub(in crate::engine::ops) fn store_schema(
        &self,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), OpError> {
        let name = request.require_string("name")?;
        let bucket = self.store.bucket_named(&name).ok_or_else(|| does_not_exist(&name))?;
        named(out, &name, "config", &Json::Object(bucket.definition().supplied().clone()));
        Ok(())
    }

    pub(in crate::engine::ops) fn store_buckets(
        &self,
        out: &mut Vec<u8>,
    ) -> Result<(), OverBudget> {
        self.budget.spend(self.store.buckets().len() as u64)?;
        let names = self.visible_buckets().map(|bucket| Json::from(bucket.name())).collect();
        bucket_names(names).write(out);
        self.budget.reply(out.len())
    }

    pub(in crate::engine::ops) fn write_store_stats(&self, out: &mut Vec<u8>) {
        self.store_stats().write(out);
    }

    /// The object of `store.stats`.
    pub(crate) fn store_stats(&self) -> Json {
        let count = |number: usize| Json::Number(number as f64);
        let each = |of: fn(&Bucket) -> usize| -> (Json, Json) {
            let per_bucket =
                self.visible_buckets().map(|bucket| (bucket.name(), count(of(bucket))));
            let total = self.visible_buckets().map(of).sum();
            (count(total), Json::Object(per_bucket.collect()))
        };
        let totals = |(total, per_bucket)| {
            Json::Object([("total", total), ("perBucket", per_bucket)].into_iter().collect())
        };
        let names = self.visible_buckets().map(|bucket| Json::from(bucket.name())).collect();
        let interval = self.options.ttl_check_interval_ms;
        let queries = [
            ("defined", count(self.views.queries())),
            ("activeSubscriptions", count(self.views.subscribers())),
        ];
        let ttl = [
            ("enabled", Json::Bool(interval > 0)),
            ("checkIntervalMs", Json::Number(interval as f64)),
        ];
        let persistence = [("enabled", Json::Bool(self.log.is_on()))];
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
}

impl Defining<'_> {
    pub(in crate::engine::ops) fn store_define(
        &mut self,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Written, OpError> {
        let name = request.require_string("name")?;
        let config = request.require_object("config")?;
        let if_missing = flag(request, "ifMissing")?.unwrap_or(false);
        bounds::check_name("Bucket", &name)?;
        check_field_names(config.get("schema"))?;
        let config = object(config);
        let mut found = config.get("schema").map(warnings).unwrap_or_default();
        found.extend(unknown_members(&config, WARNINGS).iter().map(UnknownMember::warning));
        self.require_sets(&name, None, &config)?;
        let existed = if_missing && self.store().bucket_id(&name).is_some();
        let written = if existed {
            self.require_same(&name, config)?;
            Written::default()
        } else {
            self.written(self.store().prepare_define(&name, config, self.budget)?)
        };
        write_defined(out, &name, "created", existed, found);
        Ok(written)
    }

    /// That the sets are there which the row rules of a definition, or of an
    /// update to one, name.
    fn require_sets(
        &self,
        name: &str,
        bucket: Option<&Bucket>,
        config: &Object,
    ) -> Result<(), OpError> {
        if config.get("rows").is_none_or(Json::is_null) {
            return Ok(());
        }
        let definition = match bucket {
            Some(bucket) => bucket.definition().updated(name, config, self.budget),
            None => Definition::parse_within(name, config.clone(), self.budget),
        };
        let definition = definition.map_err(|error| error.into_error(name))?;
        let Some(rows) = &definition.rows else { return Ok(()) };
        let issues = unknown_sets(rows, |set| self.store().set(set).is_some());
        match issues.is_empty() {
            true => Ok(()),
            false => Err(OpError::validation(format!(
                "Invalid schema for bucket \"{name}\": {}",
                issues.join("; ")
            ))),
        }
    }

    /// That a bucket is defined as `config` says. Where it differs is told to
    /// those who may read its definition.
    fn require_same(&mut self, name: &str, config: Object) -> Result<(), OpError> {
        let bucket = self.store().require(name)?;
        let wanted = Definition::parse_within(name, config, self.budget)
            .map_err(|error| error.into_error(name))?;
        let have = bucket.definition();
        self.budget.spend(have.fields.len().saturating_add(wanted.fields.len()) as u64)?;
        self.budget.check()?;
        let differences = differences(&have.normal(), &wanted.normal(), MAX_ISSUES);
        if differences.is_empty() {
            return Ok(());
        }
        let text = format!("Bucket \"{name}\" already exists");
        let error = OpError::new(ErrorCode::AlreadyExists, text);
        if !self.may(Operation::StoreGetBucketSchema, name) {
            return Err(error);
        }
        let paths = differences.into_iter().map(Json::from).collect();
        let details = [("differences", Json::Array(paths))].into_iter().collect();
        Err(error.with_details(Json::Object(details)))
    }

    pub(in crate::engine::ops) fn store_update_bucket(
        &mut self,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Written, OpError> {
        let name = request.require_string("name")?;
        let updates = request.require_object("updates")?;
        check_field_names(updates.get("addFields"))?;
        let updates_given = object(updates);
        self.require_sets(&name, self.store().bucket_named(&name), &updates_given)?;
        let set = self.store().prepare_update(&name, &updates_given, self.budget)?;
        let fields = updates.get("addFields").map(Raw::to_json).unwrap_or(Json::Null);
        let mut found = warnings(&fields);
        let unknown = unknown_in_fields("addFields", &fields, WARNINGS);
        found.extend(unknown.iter().map(UnknownMember::warning));
        write_defined(out, &name, "updated", false, found);
        Ok(self.written(set))
    }

    pub(in crate::engine::ops) fn store_drop(
        &mut self,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Written, OpError> {
        let name = request.require_string("name")?;
        let set = self.store().prepare_drop(&name)?;
        named(out, &name, "dropped", &Json::Bool(true));
        Ok(self.written(set))
    }
}

/// The names of fields in a schema, at any depth.
fn check_field_names(schema: Option<Raw<'_>>) -> Result<(), OpError> {
    let mut open: Vec<Raw<'_>> = schema.into_iter().collect();
    while let Some(fields) = open.pop() {
        for (name, field) in fields.members() {
            bounds::check_name("Field", &name)?;
            let mut inner = Some(field);
            while let Some(field) = inner {
                open.extend(field.get("properties"));
                inner = field.get("items");
            }
        }
    }
    Ok(())
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

/// The tree of what was checked to be an object.
fn object(raw: Raw<'_>) -> Object {
    match raw.to_json() {
        Json::Object(object) => object,
        _ => Object::new(),
    }
}
