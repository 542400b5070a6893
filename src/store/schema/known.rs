//! The members that a definition may have; all others are named to whoever
//! wrote them.

use super::field::automatic;
use crate::json::js::js_order;
use crate::json::{Json, Object};
use crate::spelling::{Unknown, UnknownMember};

const BUCKET: &[&str] = &[
    "key",
    "schema",
    "indexes",
    "etsType",
    "persistent",
    "lifetime",
    "graceMs",
    "ttl",
    "maxSize",
    "onDuplicateKey",
    "validate",
    "rows",
];

/// Nested fields may have the same: what has no effect there is not misspelt.
const FIELD: &[&str] = &[
    "type",
    "required",
    "default",
    "generated",
    "enum",
    "format",
    "min",
    "max",
    "minLength",
    "maxLength",
    "pattern",
    "unique",
    "ref",
    "onDelete",
    "search",
    "properties",
    "items",
    "validate",
];

/// The first `most` members of a bucket's definition that have no meaning.
pub fn unknown_members(definition: &Object, most: usize) -> Vec<UnknownMember> {
    let mut unknown = Unknown::at_most(most);
    unknown.look("", definition, BUCKET);
    if let Some(rows) = definition.get("rows").and_then(Json::as_object) {
        crate::store::rows::unknown_members(rows, &mut unknown);
    }
    look_at_fields("schema", definition.get("schema"), &mut unknown);
    unknown.found()
}

/// The same of fields alone, as an update adds them.
pub fn unknown_in_fields(place: &str, fields: &Json, most: usize) -> Vec<UnknownMember> {
    let mut unknown = Unknown::at_most(most);
    look_at_fields(place, Some(fields), &mut unknown);
    unknown.found()
}

fn look_at_fields(place: &str, fields: Option<&Json>, unknown: &mut Unknown) {
    let Some(fields) = fields.and_then(Json::as_object) else { return };
    for (name, field) in js_order(fields) {
        look_at_field(&format!("{place}.{name}"), field, unknown);
    }
}

fn look_at_field(place: &str, field: &Json, unknown: &mut Unknown) {
    let Some(members) = field.as_object().filter(|_| !unknown.is_full()) else { return };
    // `auto` has a meaning only where it is read as `generated`.
    for name in members.keys().filter(|name| !FIELD.contains(name)) {
        if name != "auto" || automatic(members).is_none() {
            unknown.add(place, name, FIELD);
        }
    }
    look_at_fields(&format!("{place}.properties"), members.get("properties"), unknown);
    if let Some(items) = members.get("items") {
        look_at_field(&format!("{place}.items"), items, unknown);
    }
}
