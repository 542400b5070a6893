//! When two definitions say the same, however they were written.

use super::Definition;
use super::definition::OnDuplicate;
use super::field::{Generated, automatic};
use crate::json::js::js_order;
use crate::json::{Json, Object};

/// Members of a field that mean what they say wherever the field stands.
const PLAIN: &[&str] =
    &["type", "enum", "format", "min", "max", "minLength", "maxLength", "pattern"];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// A field of the record.
    Top,
    /// In `properties`.
    Property,
    Items,
}

impl Definition {
    /// What the definition says: without what is the default anyway, what has no
    /// effect where it stands, and what is not known.
    pub fn normal(&self) -> Object {
        let mut normal = Object::new();
        normal.insert("key", Json::from(&*self.key));
        let schema = self.supplied().get("schema").and_then(Json::as_object);
        normal.insert("schema", fields(schema, Place::Top));
        if !self.indexes.is_empty() || !self.sorted.is_empty() {
            let names = self.indexes.iter().map(|name| Json::from(&**name));
            let sorted = self
                .sorted
                .iter()
                .map(|fields| Json::Array(fields.iter().map(|name| Json::from(&**name)).collect()));
            normal.insert("indexes", Json::Array(names.chain(sorted).collect()));
        }
        if self.ordered {
            normal.insert("etsType", Json::from("ordered_set"));
        }
        if !self.persistent {
            normal.insert("persistent", Json::Bool(false));
        }
        if let Some(lifetime) = self.lifetime {
            normal.insert("lifetime", Json::from("connection"));
            normal.insert("graceMs", Json::Number(lifetime.grace_ms as f64));
        }
        if let Some(ttl) = self.ttl {
            normal.insert("ttl", Json::Number(ttl));
        }
        if let Some(size) = self.max_size {
            normal.insert("maxSize", Json::Number(size as f64));
        }
        if self.on_duplicate == OnDuplicate::Error {
            normal.insert("onDuplicateKey", Json::from("error"));
        }
        if self.rows.is_some() {
            let rows = self.supplied().get("rows").cloned();
            normal.insert("rows", rows.unwrap_or_default());
        }
        normal
    }
}

fn fields(fields: Option<&Object>, place: Place) -> Json {
    let fields = fields.map(js_order).unwrap_or_default();
    Json::Object(fields.into_iter().map(|(name, body)| (name, field(body, place))).collect())
}

/// A field of a definition that was accepted.
fn field(body: &Json, place: Place) -> Json {
    let Some(body) = body.as_object() else { return body.clone() };
    let mut normal = Object::new();
    for name in PLAIN {
        if let Some(value) = body.get(name) {
            normal.insert(*name, value.clone());
        }
    }
    let is_on = |name: &str| body.get(name).and_then(Json::as_bool) == Some(true);
    if is_on("required") && place != Place::Items {
        normal.insert("required", Json::Bool(true));
    }
    let properties = body.get("properties").and_then(Json::as_object);
    if let Some(properties) = properties.filter(|properties| !properties.is_empty()) {
        normal.insert("properties", fields(Some(properties), Place::Property));
    }
    if let Some(items) = body.get("items") {
        normal.insert("items", field(items, Place::Items));
    }
    if place != Place::Top {
        return Json::Object(normal);
    }
    if is_on("search") {
        normal.insert("search", Json::Bool(true));
    }
    if is_on("unique") {
        normal.insert("unique", Json::Bool(true));
    }
    let generated = body.get("generated").cloned();
    let automatic = || automatic(body).map(Generated::as_str).map(Json::from);
    if let Some(generated) = generated.or_else(automatic) {
        normal.insert("generated", generated);
    }
    if let Some(default) = body.get("default") {
        normal.insert("default", default.clone());
    }
    if let Some(target) = body.get("ref") {
        normal.insert("ref", target.clone());
        let on_delete = body.get("onDelete").filter(|what| what.as_str() != Some("restrict"));
        if let Some(on_delete) = on_delete {
            normal.insert("onDelete", on_delete.clone());
        }
    }
    Json::Object(normal)
}

/// The paths at which two definitions differ, at most `most` of them. Members
/// have no order.
pub fn differences(have: &Object, wanted: &Object, most: usize) -> Vec<String> {
    let mut paths = Vec::new();
    compare("", have, wanted, most, &mut paths);
    paths
}

fn compare(place: &str, have: &Object, wanted: &Object, most: usize, paths: &mut Vec<String>) {
    let added = wanted.keys().filter(|name| !have.contains(name));
    for name in have.keys().chain(added) {
        if paths.len() >= most {
            return;
        }
        let path = if place.is_empty() { name.to_owned() } else { format!("{place}.{name}") };
        match (have.get(name), wanted.get(name)) {
            (Some(Json::Object(have)), Some(Json::Object(wanted))) => {
                compare(&path, have, wanted, most, paths);
            }
            (have, wanted) if have == wanted => {}
            _ => paths.push(path),
        }
    }
}
