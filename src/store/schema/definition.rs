//! The definition of a bucket as a whole.

use super::super::sorted::MAX_FIELDS;
use super::error::DefinitionError;
use super::field::{At, Field, FieldType, automatic, kind_of};
use std::sync::Arc;

use super::lifetime::Lifetime;
use super::parse_ttl;
use hashbrown::{HashMap, HashSet};

use crate::budget::Budget;
use crate::json::js::{js_order, string_of_json};
use crate::json::{Json, Object};
use crate::store::rows::RowRules;

/// What an insert over an existing key does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OnDuplicate {
    /// The new record takes the place of the old one.
    #[default]
    Replace,
    Error,
}

/// A bucket's definition, checked and compiled.
#[derive(Clone, Debug)]
pub struct Definition {
    supplied: Object,
    pub key: Box<str>,
    /// In JavaScript's order of members, which is the order of all checks.
    pub fields: Vec<Field>,
    places: HashMap<Box<str>, usize>,
    /// Fields with an index that clients know of: the listed ones, then the
    /// unique ones, each once.
    pub indexes: Vec<Box<str>>,
    /// The fields of each ordered index.
    pub sorted: Vec<Vec<Box<str>>>,
    /// `etsType: "ordered_set"`.
    pub ordered: bool,
    /// False: neither it nor its records are stored.
    pub persistent: bool,
    /// Its records end with their owners.
    pub lifetime: Option<Lifetime>,
    /// Milliseconds.
    pub ttl: Option<f64>,
    /// Records kept; at least 1.
    pub max_size: Option<usize>,
    pub on_duplicate: OnDuplicate,
    /// Which records exist for whom.
    pub rows: Option<Arc<RowRules>>,
}

impl Definition {
    /// Checks 4 to 7 of `store.defineBucket` and everything else that needs no
    /// look at other buckets.
    pub fn parse(bucket: &str, supplied: Object) -> Result<Definition, DefinitionError> {
        Self::parse_within(bucket, supplied, &Budget::unlimited())
    }

    /// The same with a budget; used up, the definition is of no use.
    pub fn parse_within(
        bucket: &str,
        supplied: Object,
        budget: &Budget,
    ) -> Result<Definition, DefinitionError> {
        let at = At { path: "config", member: &supplied, budget };
        let place = |name: &str, error: DefinitionError| DefinitionError {
            path: Some(name.into()),
            ..error
        };
        let (schema, key) = schema_and_key(bucket, &supplied)?;
        // These messages are the protocol's own, so that they come before what
        // is asked for on top of them.
        check_indexes(bucket, &supplied, schema)?;
        check_set_null(bucket, schema)?;
        let ttl = match supplied.get("ttl") {
            Some(ttl) => Some(parse_ttl(ttl).map_err(DefinitionError::fixed)?),
            None => None,
        };
        let fields = js_order(schema)
            .into_iter()
            .map(|(name, definition)| Field::parse(name, definition, budget))
            .collect::<Result<Vec<_>, _>>()?;
        let Listed { names: listed, sorted } = Listed::parse(&supplied)?;
        check_key_type(&fields, &key)?;
        let max_size = at.number("maxSize").map_err(|error| place("maxSize", error))?;
        let persistent = at.flag("persistent").map_err(|error| place("persistent", error))?;
        let lifetime = Lifetime::parse(&supplied, persistent)?;
        let choices = [("replace", OnDuplicate::Replace), ("error", OnDuplicate::Error)];
        let on_duplicate = at.choice("onDuplicateKey", "behaviour", &choices);
        let on_duplicate = on_duplicate.map_err(|error| place("onDuplicateKey", error))?;
        if supplied.get("validate").is_some_and(|value| !value.is_null()) {
            return Err(DefinitionError::at("validate", "a function cannot be given as JSON"));
        }
        let rows = parse_rows(&supplied, &key, &fields)?;
        let places = fields.iter().enumerate().map(|(at, field)| (field.name.clone(), at));
        Ok(Definition {
            key,
            places: places.collect(),
            indexes: indexed(listed, &fields),
            fields,
            sorted,
            ordered: supplied.get("etsType").and_then(Json::as_str) == Some("ordered_set"),
            persistent: persistent.unwrap_or(true),
            lifetime,
            ttl,
            // A limit below 1 keeps exactly the newest record. Beyond `usize`
            // the cast saturates: no limit in practice.
            max_size: max_size.map(|limit| (limit.ceil() as usize).max(1)),
            on_duplicate: on_duplicate.unwrap_or_default(),
            rows: rows.map(Arc::new),
            supplied,
        })
    }

    /// Whether its records are stored.
    pub fn keeps_records(&self) -> bool {
        self.persistent && self.lifetime.is_none()
    }

    /// The definition as it was supplied (and since then updated).
    pub fn supplied(&self) -> &Object {
        &self.supplied
    }

    /// The definition with what `store.updateBucket` adds to it.
    pub fn updated(
        &self,
        bucket: &str,
        updates: &Object,
        budget: &Budget,
    ) -> Result<Definition, DefinitionError> {
        let mut merged = self.supplied.clone();
        if let Some(added) = updates.get("addFields") {
            let added = added.as_object().ok_or_else(|| {
                DefinitionError::at(
                    "addFields",
                    format!("expected an object, got {}", kind_of(added)),
                )
            })?;
            let mut schema =
                merged.get("schema").and_then(Json::as_object).cloned().unwrap_or_default();
            for (name, definition) in js_order(added) {
                if schema.contains(name) {
                    return Err(DefinitionError::fixed(format!(
                        "Field \"{name}\" already exists in bucket \"{bucket}\""
                    )));
                }
                schema.insert(name, definition.clone());
            }
            merged.insert("schema", Json::Object(schema));
        }
        if let Some(added) = updates.get("addIndexes") {
            let added = added.as_array().ok_or_else(|| {
                DefinitionError::at(
                    "addIndexes",
                    format!("expected an array, got {}", kind_of(added)),
                )
            })?;
            let mut indexes =
                merged.get("indexes").and_then(Json::as_array).unwrap_or_default().to_vec();
            let mut known: HashSet<String> = indexes.iter().map(Json::to_text).collect();
            for index in added {
                if known.insert(index.to_text()) {
                    indexes.push(index.clone());
                }
            }
            merged.insert("indexes", Json::Array(indexes));
        }
        match updates.get("ttl") {
            None => {}
            Some(Json::Null) => {
                merged.remove("ttl");
            }
            Some(ttl) => {
                merged.insert("ttl", ttl.clone());
            }
        }
        match updates.get("rows") {
            None => {}
            Some(Json::Null) => {
                merged.remove("rows");
            }
            Some(rows) => {
                merged.insert("rows", rows.clone());
            }
        }
        if merged.get("indexes").and_then(Json::as_array).is_some_and(<[_]>::is_empty) {
            merged.remove("indexes");
        }
        Definition::parse_within(bucket, merged, budget)
    }

    pub fn field(&self, name: &str) -> Option<&Field> {
        self.places.get(name).and_then(|at| self.fields.get(*at))
    }
}

/// What a definition that is accepted should say otherwise: `schema` holds its
/// fields, or those that an update adds.
pub fn warnings(schema: &Json) -> Vec<String> {
    let Some(schema) = schema.as_object() else { return Vec::new() };
    let read_as_generated = |(name, field): (&str, &Json)| {
        automatic(field.as_object()?)?;
        Some(format!("field \"{name}\": \"auto\" is read as \"generated\""))
    };
    js_order(schema).into_iter().filter_map(read_as_generated).collect()
}

/// What a definition cannot do without.
fn schema_and_key<'s>(
    bucket: &str,
    supplied: &'s Object,
) -> Result<(&'s Object, Box<str>), DefinitionError> {
    let schema = match supplied.get("schema") {
        Some(Json::Object(schema)) => schema,
        other => {
            let kind = other.map_or("nothing", kind_of);
            return Err(DefinitionError::at("schema", format!("expected an object, got {kind}")));
        }
    };
    let key = match supplied.get("key") {
        Some(Json::String(key)) if schema.contains(key) => key.clone(),
        other => {
            let key = other.map_or("undefined".into(), string_of_json);
            return Err(DefinitionError::fixed(format!(
                "Key field \"{key}\" does not exist in schema for bucket \"{bucket}\""
            )));
        }
    };
    Ok((schema, key))
}

/// That every listed index is a field, or several of them.
fn check_indexes(bucket: &str, supplied: &Object, schema: &Object) -> Result<(), DefinitionError> {
    for index in supplied.get("indexes").and_then(Json::as_array).unwrap_or_default() {
        let names = match index {
            Json::Array(names) => names.as_slice(),
            Json::Object(members) => members.get("field").map(std::slice::from_ref).unwrap_or(&[]),
            name => std::slice::from_ref(name),
        };
        let unknown = names.iter().map(string_of_json).find(|name| !schema.contains(name));
        if let Some(name) = unknown {
            return Err(DefinitionError::fixed(format!(
                "Index field \"{name}\" does not exist in schema for bucket \"{bucket}\""
            )));
        }
    }
    Ok(())
}

/// That no field is required to be what a delete makes null.
fn check_set_null(bucket: &str, schema: &Object) -> Result<(), DefinitionError> {
    for (name, field) in js_order(schema) {
        let Some(field) = field.as_object() else { continue };
        let set_null = field.get("onDelete").and_then(Json::as_str) == Some("set_null");
        if set_null && field.get("required").and_then(Json::as_bool) == Some(true) {
            return Err(DefinitionError::fixed(format!(
                "Invalid schema for bucket \"{bucket}\": field \"{name}\" has onDelete \"set_null\" but is required"
            )));
        }
    }
    Ok(())
}

/// What `indexes` asks for.
#[derive(Default)]
struct Listed {
    /// The fields that are to be found by their value.
    names: Vec<Box<str>>,
    /// Those that have an order, alone or together; none twice.
    sorted: Vec<Vec<Box<str>>>,
}

impl Listed {
    fn parse(supplied: &Object) -> Result<Listed, DefinitionError> {
        let mut listed = Listed::default();
        let Some(given) = supplied.get("indexes") else { return Ok(listed) };
        let given = given.as_array().ok_or_else(|| {
            DefinitionError::at(
                "indexes",
                format!("expected an array of field names, got {}", kind_of(given)),
            )
        })?;
        for (at, index) in given.iter().enumerate() {
            listed.add(index, &format!("indexes[{at}]"))?;
        }
        Ok(listed)
    }

    fn add(&mut self, index: &Json, path: &str) -> Result<(), DefinitionError> {
        let field_name = |name: &Json| {
            name.as_str().map(Box::<str>::from).ok_or_else(|| {
                DefinitionError::at(path, format!("expected a field name, got {}", kind_of(name)))
            })
        };
        match index {
            Json::Object(members) => {
                let name = field_name(members.get("field").unwrap_or(&Json::Null))?;
                let ordered = match members.get("ordered") {
                    None | Some(Json::Null) => false,
                    Some(Json::Bool(ordered)) => *ordered,
                    Some(other) => {
                        let reason = format!("expected true or false, got {}", kind_of(other));
                        return Err(DefinitionError::at(format!("{path}.ordered"), reason));
                    }
                };
                if ordered {
                    self.sort(vec![name.clone()]);
                }
                self.names.push(name);
            }
            Json::Array(names) => {
                let fields: Vec<Box<str>> =
                    names.iter().map(field_name).collect::<Result<_, _>>()?;
                let different = fields.iter().collect::<HashSet<_>>().len();
                if !(1..=MAX_FIELDS).contains(&fields.len()) || different < fields.len() {
                    let reason = "Index needs 1 to 8 different fields";
                    return Err(DefinitionError::at(path, reason));
                }
                self.sort(fields);
            }
            name => self.names.push(field_name(name)?),
        }
        Ok(())
    }

    fn sort(&mut self, fields: Vec<Box<str>>) {
        if !self.sorted.contains(&fields) {
            self.sorted.push(fields);
        }
    }
}

fn check_key_type(fields: &[Field], key: &str) -> Result<(), DefinitionError> {
    let Some(field) = fields.iter().find(|field| &*field.name == key) else { return Ok(()) };
    match field.constraints.field_type {
        FieldType::Object | FieldType::Array => Err(DefinitionError::at(
            format!("schema.{key}.type"),
            format!("a key cannot be an {}", field.constraints.field_type.as_str()),
        )),
        _ => Ok(()),
    }
}

fn parse_rows(
    supplied: &Object,
    key: &str,
    fields: &[Field],
) -> Result<Option<RowRules>, DefinitionError> {
    let rows = supplied.get("rows").map(|rows| RowRules::parse(rows, key, fields));
    rows.transpose().map_err(|issues| DefinitionError {
        path: None,
        reason: issues.join("; "),
        message: None,
    })
}

/// Fields with an index: those that are listed, and those that are unique.
fn indexed(listed: Vec<Box<str>>, fields: &[Field]) -> Vec<Box<str>> {
    let unique = fields.iter().filter(|field| field.unique).map(|field| field.name.clone());
    let mut known = HashSet::new();
    listed.into_iter().chain(unique).filter(|name| known.insert(name.clone())).collect()
}
