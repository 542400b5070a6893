//! From the schema of a bucket to its record, and to what an insert and an
//! update take.

use super::Definitions;
use super::model::{Bucket, Member, Shape, Type, union};
use super::names::{Names, part, pascal};
use super::views::computed_type;
use crate::json::{Json, Object};

/// Endings of the names of a bucket's types.
const ENDINGS: [&str; 4] = ["", "Insert", "Update", "Key"];

/// Deeper levels of a record are not checked by the server.
const MAX_DEPTH: usize = 10;

/// Fields of every record that the server writes.
const META: [&str; 3] = ["_version", "_createdAt", "_updatedAt"];
const EXPIRES: &str = "_expiresAt";

/// One bucket's definition, as it was supplied.
struct Source<'d> {
    key: &'d str,
    schema: &'d Object,
    has_ttl: bool,
    computed: Option<&'d Object>,
}

impl<'d> Source<'d> {
    fn key_field(&self) -> &'d Json {
        self.schema.get(self.key).unwrap_or(&Json::Null)
    }
}

pub(super) fn buckets(definitions: &Definitions, names: &mut Names) -> Vec<Bucket> {
    let none = Object::new();
    let sources: Vec<(&str, Source<'_>)> = definitions
        .buckets
        .iter()
        .map(|(name, definition)| {
            let source = Source {
                key: definition.get("key").and_then(Json::as_str).unwrap_or_default(),
                schema: definition.get("schema").and_then(Json::as_object).unwrap_or(&none),
                has_ttl: definition.get("ttl").is_some_and(|ttl| !ttl.is_null()),
                computed: definitions.computed.get(name).and_then(Json::as_object),
            };
            (name, source)
        })
        .collect();
    let type_names: Vec<String> =
        sources.iter().map(|(name, _)| names.family(&pascal(name), &ENDINGS)).collect();
    let all: Vec<(&str, &Source<'_>)> =
        sources.iter().map(|(name, source)| (*name, source)).collect();
    all.iter()
        .zip(type_names)
        .enumerate()
        .map(|(at, ((name, source), type_name))| {
            let mut maker = Maker { all: &all, at, names, type_name: &type_name };
            let (record, insert, update) = maker.forms(source);
            let key = maker.key(source);
            Bucket { name: (*name).to_owned(), type_name, key, record, insert, update }
        })
        .collect()
}

/// What is needed to tell the type of a field of one bucket.
struct Maker<'m, 'd> {
    all: &'m [(&'m str, &'m Source<'d>)],
    at: usize,
    names: &'m mut Names,
    type_name: &'m str,
}

type Forms = (Vec<Member>, Vec<Member>, Vec<Member>);

impl Maker<'_, '_> {
    /// What the key type of the bucket stands for: that of the bucket that its
    /// key refers to, unless that leads back.
    fn key(&mut self, source: &Source<'_>) -> Type {
        match self.referred(source.key_field()).filter(|target| !self.leads_back(*target)) {
            Some(target) => Type::Key(target),
            None => self.own(source.key_field(), &part(source.key), 0),
        }
    }

    /// Whether the keys of a bucket are, through references, those of this one
    /// or of a circle.
    fn leads_back(&self, mut target: usize) -> bool {
        let mut seen = vec![self.at];
        loop {
            if seen.contains(&target) {
                return true;
            }
            seen.push(target);
            let field = self.all.get(target).map(|(_, source)| source.key_field());
            match field.and_then(|field| self.referred(field)) {
                Some(next) => target = next,
                None => return false,
            }
        }
    }

    /// The bucket whose keys the values of a field are.
    fn referred(&self, field: &Json) -> Option<usize> {
        let name = field.get("ref").and_then(Json::as_str)?;
        let at = self.all.iter().position(|(bucket, _)| *bucket == name)?;
        let (_, target) = self.all.get(at)?;
        let kind = |field: &Json| field.get("type").and_then(Json::as_str).map(str::to_owned);
        (!has_enum(field) && kind(target.key_field()) == kind(field)).then_some(at)
    }

    fn forms(&mut self, source: &Source<'_>) -> Forms {
        let (mut record, mut insert, mut update) = Forms::default();
        for (name, field) in source.schema.iter() {
            if META.contains(&name) || (source.has_ttl && name == EXPIRES) {
                continue;
            }
            let is = match name == source.key {
                true => Type::Key(self.at),
                false => self.field(field, &part(name)),
            };
            let note = note(name == source.key, field);
            let member = |is: &Type, optional: bool| Member {
                name: name.to_owned(),
                is: is.clone(),
                optional,
                note: note.clone(),
            };
            let or_null = is.clone().or_null();
            let required = flag(field, "required");
            if source.computed.is_some_and(|computed| computed.contains(name)) {
                // It is there whatever it is computed from, which may be nothing.
                record.push(member(if required { &is } else { &or_null }, false));
                continue;
            }
            let has_default = field.as_object().is_some_and(|field| field.contains("default"));
            let is_generated = field.get("generated").is_some_and(|by| !by.is_null());
            match (name == source.key || is_generated || required, has_default) {
                (true, _) => record.push(member(&is, false)),
                (false, true) => record.push(member(&or_null, false)),
                (false, false) => record.push(member(&or_null, true)),
            }
            if name == source.key || is_generated {
                insert.push(member(&is, is_generated || has_default));
            } else if required {
                insert.push(member(&is, has_default));
                update.push(member(&is, true));
            } else {
                insert.push(member(&or_null, true));
                update.push(member(&or_null, true));
            }
        }
        self.added(source, &mut record);
        if source.has_ttl {
            let expires = |optional| plain(EXPIRES, Type::Number.or_null(), optional);
            record.push(expires(false));
            insert.push(expires(true));
            update.push(expires(true));
        }
        (record, insert, update)
    }

    /// Fields of a record that its schema does not have.
    fn added(&self, source: &Source<'_>, record: &mut Vec<Member>) {
        if let Some(computed) = source.computed {
            for (name, expr) in computed.iter() {
                if !source.schema.contains(name) {
                    let is = computed_type(expr);
                    record.push(Member { note: "computed".into(), ..plain(name, is, false) });
                }
            }
        }
        record.extend(META.map(|name| plain(name, Type::Number, false)));
    }

    /// The type of a field of the record.
    fn field(&mut self, field: &Json, place: &str) -> Type {
        match self.referred(field) {
            Some(target) => Type::Key(target),
            None => self.own(field, place, 0),
        }
    }

    /// The type of a value by its own declaration. `place` leads to it.
    fn own(&mut self, field: &Json, place: &str, depth: usize) -> Type {
        if depth > MAX_DEPTH {
            return Type::Json;
        }
        let kind = field.get("type").and_then(Json::as_str).unwrap_or_default();
        let is = match kind {
            "string" => Type::String,
            "number" => Type::Number,
            "boolean" => Type::Boolean,
            "date" => union([Type::String, Type::Number]),
            "object" => self.object(field, place, depth),
            "array" => match field.get("items").filter(|items| items.as_object().is_some()) {
                Some(items) => {
                    let element = self.own(items, &format!("{place}_item"), depth + 1);
                    Type::Array(Box::new(element.or_null()))
                }
                None => Type::Array(Box::new(Type::Json)),
            },
            _ => Type::Json,
        };
        match field.get("enum").and_then(Json::as_array) {
            Some(values) => literals(kind, values),
            None => is,
        }
    }

    fn object(&mut self, field: &Json, place: &str, depth: usize) -> Type {
        let Some(properties) = field.get("properties").and_then(Json::as_object) else {
            return Type::JsonObject;
        };
        let name = self.names.family(&format!("{}_{place}", self.type_name), &[""]);
        let members = properties.iter().map(|(name, property)| {
            let is = self.own(property, &format!("{place}_{}", part(name)), depth + 1);
            let required = flag(property, "required");
            plain(name, if required { is } else { is.or_null() }, !required)
        });
        let members = members.collect();
        Type::Object(Shape { name, members })
    }
}

fn plain(name: &str, is: Type, optional: bool) -> Member {
    Member { name: name.to_owned(), is, optional, note: String::new() }
}

fn flag(field: &Json, name: &str) -> bool {
    field.get(name).and_then(Json::as_bool) == Some(true)
}

fn has_enum(field: &Json) -> bool {
    field.get("enum").is_some_and(|values| values.as_array().is_some())
}

/// Those of the field's type; others can never be stored.
fn literals(kind: &str, values: &[Json]) -> Type {
    let fits = |value: &&Json| match value {
        Json::String(_) => matches!(kind, "string" | "date"),
        Json::Number(_) => matches!(kind, "number" | "date"),
        Json::Bool(_) => kind == "boolean",
        _ => false,
    };
    union(values.iter().filter(fits).map(|value| match value {
        // No literal says it.
        Json::Number(number) if !number.is_finite() => Type::Number,
        other => Type::Literal(other.clone()),
    }))
}

/// What the type of a field does not say.
fn note(is_key: bool, field: &Json) -> String {
    let mut parts: Vec<String> = Vec::new();
    if is_key {
        parts.push("key".into());
    }
    if flag(field, "unique") {
        parts.push("unique".into());
    }
    for (name, shown) in [
        ("generated", "generated"),
        ("format", "format"),
        ("ref", "ref"),
        ("pattern", "pattern"),
        ("min", "min"),
        ("max", "max"),
        ("minLength", "minLength"),
        ("maxLength", "maxLength"),
        ("default", "default"),
    ] {
        match field.get(name) {
            None => {}
            Some(Json::Null) if name != "default" => {}
            Some(Json::String(text)) if name != "default" => parts.push(format!("{shown} {text}")),
            Some(value) => parts.push(format!("{shown} {}", value.to_text())),
        }
    }
    parts.join(", ")
}
