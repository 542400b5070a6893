//! The tree, for values that are built or changed.

use hashbrown::HashMap;
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::number::{write_number, write_number_lossless};
use super::scan::plain_length;

/// A JSON value with JavaScript's numbers.
///
/// Equality is deep: numbers by value (`0` equals `-0`, NaN equals NaN), arrays
/// in order, objects irrespective of the order of members.
#[derive(Clone, Debug, Default)]
pub enum Json {
    /// `null`.
    #[default]
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A double, as JavaScript has it; infinities are possible, NaN is not.
    Number(f64),
    /// A text.
    String(Box<str>),
    /// A list.
    Array(Vec<Json>),
    /// Members by name, in their order.
    Object(Object),
}

impl Json {
    /// A text.
    pub fn string(text: impl Into<Box<str>>) -> Self {
        Json::String(text.into())
    }

    /// Whether it is `null`.
    pub fn is_null(&self) -> bool {
        matches!(self, Json::Null)
    }

    /// The text, of a text.
    pub fn as_str(&self) -> Option<&str> {
        if let Json::String(text) = self { Some(text) } else { None }
    }

    /// The number, of a number.
    pub fn as_number(&self) -> Option<f64> {
        if let Json::Number(number) = self { Some(*number) } else { None }
    }

    /// `true` or `false`, of a boolean.
    pub fn as_bool(&self) -> Option<bool> {
        if let Json::Bool(value) = self { Some(*value) } else { None }
    }

    /// The elements, of a list.
    pub fn as_array(&self) -> Option<&[Json]> {
        if let Json::Array(elements) = self { Some(elements) } else { None }
    }

    /// The members, of an object.
    pub fn as_object(&self) -> Option<&Object> {
        if let Json::Object(object) = self { Some(object) } else { None }
    }

    /// A member of an object; `None` for anything else.
    pub fn get(&self, name: &str) -> Option<&Json> {
        self.as_object().and_then(|object| object.get(name))
    }

    /// Appends the text a client sees.
    pub fn write(&self, out: &mut Vec<u8>) {
        self.write_with(out, write_number);
    }

    /// Appends text that reads back as the same value, infinities included.
    /// For storage; never sent to a client.
    pub fn write_lossless(&self, out: &mut Vec<u8>) {
        self.write_with(out, write_number_lossless);
    }

    fn write_with(&self, out: &mut Vec<u8>, number: fn(&mut Vec<u8>, f64)) {
        match self {
            Json::Null => out.extend_from_slice(b"null"),
            Json::Bool(true) => out.extend_from_slice(b"true"),
            Json::Bool(false) => out.extend_from_slice(b"false"),
            Json::Number(value) => number(out, *value),
            Json::String(text) => write_string(out, text),
            Json::Array(elements) => {
                out.push(b'[');
                for (at, element) in elements.iter().enumerate() {
                    if at > 0 {
                        out.push(b',');
                    }
                    element.write_with(out, number);
                }
                out.push(b']');
            }
            Json::Object(object) => {
                out.push(b'{');
                for (at, (name, value)) in object.iter().enumerate() {
                    if at > 0 {
                        out.push(b',');
                    }
                    write_string(out, name);
                    out.push(b':');
                    value.write_with(out, number);
                }
                out.push(b'}');
            }
        }
    }

    /// The text of [`Json::write`].
    pub fn to_text(&self) -> String {
        let mut out = Vec::new();
        self.write(&mut out);
        String::from_utf8(out).unwrap_or_default()
    }

    /// Whether an infinity (or NaN) hides anywhere inside.
    pub fn has_non_finite(&self) -> bool {
        match self {
            Json::Number(value) => !value.is_finite(),
            Json::Array(elements) => elements.iter().any(Json::has_non_finite),
            Json::Object(object) => object.values().any(Json::has_non_finite),
            Json::Null | Json::Bool(_) | Json::String(_) => false,
        }
    }
}

/// Appends a string literal: escapes for `"`, `\` and control characters,
/// everything else as it is.
pub fn write_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    loop {
        let (plain, special) = rest.split_at(plain_length(rest).min(rest.len()));
        out.extend_from_slice(plain);
        let Some((&byte, behind)) = special.split_first() else { break };
        rest = behind;
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0c => out.extend_from_slice(b"\\f"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            control => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                out.extend_from_slice(b"\\u00");
                out.extend(HEX.get(usize::from(control >> 4)));
                out.extend(HEX.get(usize::from(control & 0xf)));
            }
        }
    }
    out.push(b'"');
}

impl PartialEq for Json {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Json::Null, Json::Null) => true,
            (Json::Bool(a), Json::Bool(b)) => a == b,
            (Json::Number(a), Json::Number(b)) => a == b || (a.is_nan() && b.is_nan()),
            (Json::String(a), Json::String(b)) => a == b,
            (Json::Array(a), Json::Array(b)) => a == b,
            (Json::Object(a), Json::Object(b)) => a == b,
            _ => false,
        }
    }
}

impl From<bool> for Json {
    fn from(value: bool) -> Self {
        Json::Bool(value)
    }
}

impl From<f64> for Json {
    fn from(value: f64) -> Self {
        Json::Number(value)
    }
}

impl From<&str> for Json {
    fn from(text: &str) -> Self {
        Json::String(text.into())
    }
}

impl From<String> for Json {
    fn from(text: String) -> Self {
        Json::String(text.into())
    }
}

impl From<Object> for Json {
    fn from(object: Object) -> Self {
        Json::Object(object)
    }
}

impl From<Vec<Json>> for Json {
    fn from(elements: Vec<Json>) -> Self {
        Json::Array(elements)
    }
}

impl std::fmt::Display for Json {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.to_text())
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Json::Null => serializer.serialize_unit(),
            Json::Bool(value) => serializer.serialize_bool(*value),
            // Integers as integers: `serde_json` would print `5.0`.
            Json::Number(value) if *value == value.trunc() && value.abs() < 9e15 => {
                serializer.serialize_i64(*value as i64)
            }
            Json::Number(value) if value.is_finite() => serializer.serialize_f64(*value),
            Json::Number(_) => serializer.serialize_unit(),
            Json::String(text) => serializer.serialize_str(text),
            Json::Array(elements) => serializer.collect_seq(elements),
            Json::Object(object) => {
                let mut map = serializer.serialize_map(Some(object.len()))?;
                for (name, value) in object.iter() {
                    map.serialize_entry(name, value)?;
                }
                map.end()
            }
        }
    }
}

impl From<serde_json::Value> for Json {
    fn from(value: serde_json::Value) -> Self {
        match value {
            serde_json::Value::Null => Json::Null,
            serde_json::Value::Bool(value) => Json::Bool(value),
            serde_json::Value::Number(number) => {
                Json::Number(number.as_f64().unwrap_or(f64::INFINITY))
            }
            serde_json::Value::String(text) => Json::String(text.into()),
            serde_json::Value::Array(elements) => {
                Json::Array(elements.into_iter().map(Json::from).collect())
            }
            serde_json::Value::Object(members) => Json::Object(
                members.into_iter().map(|(name, value)| (name, Json::from(value))).collect(),
            ),
        }
    }
}

impl From<&Json> for serde_json::Value {
    fn from(json: &Json) -> Self {
        serde_json::to_value(json).unwrap_or_default()
    }
}

/// From this many members on, names are found through a table. A peer can send
/// an object with a hundred thousand members; a linear search for each of them
/// would stall the loop.
const INDEX_FROM: usize = 24;

/// Members in the order in which their names first appeared.
#[derive(Clone, Debug, Default)]
pub struct Object {
    members: Vec<(Box<str>, Json)>,
    index: Option<HashMap<Box<str>, usize>>,
}

impl Object {
    /// An object without members.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same, with room for so many.
    pub fn with_capacity(members: usize) -> Self {
        Self { members: Vec::with_capacity(members), index: None }
    }

    /// How many members there are.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    fn position(&self, name: &str) -> Option<usize> {
        match &self.index {
            Some(index) => index.get(name).copied(),
            None => self.members.iter().position(|(have, _)| &**have == name),
        }
    }

    /// The value of a member.
    pub fn get(&self, name: &str) -> Option<&Json> {
        self.position(name).and_then(|at| self.members.get(at)).map(|(_, value)| value)
    }

    /// The value of a member, to be changed.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Json> {
        let at = self.position(name)?;
        self.members.get_mut(at).map(|(_, value)| value)
    }

    /// Whether there is a member of that name.
    pub fn contains(&self, name: &str) -> bool {
        self.position(name).is_some()
    }

    /// Sets a member; an existing one keeps its place. Returns the old value.
    pub fn insert(&mut self, name: impl Into<Box<str>>, value: Json) -> Option<Json> {
        let name = name.into();
        if let Some(at) = self.position(&name)
            && let Some((_, old)) = self.members.get_mut(at)
        {
            return Some(std::mem::replace(old, value));
        }
        let at = self.members.len();
        if let Some(index) = &mut self.index {
            index.insert(name.clone(), at);
        }
        self.members.push((name, value));
        if self.index.is_none() && self.members.len() >= INDEX_FROM {
            self.reindex();
        }
        None
    }

    /// Removes a member; the others keep their order.
    pub fn remove(&mut self, name: &str) -> Option<Json> {
        let at = self.position(name)?;
        let (_, value) = self.members.remove(at);
        if self.index.is_some() {
            self.reindex();
        }
        Some(value)
    }

    /// Keeps the members for which `keep` holds.
    pub fn retain(&mut self, mut keep: impl FnMut(&str, &Json) -> bool) {
        self.members.retain(|(name, value)| keep(name, value));
        if self.index.is_some() {
            self.reindex();
        }
    }

    fn reindex(&mut self) {
        self.index = (self.members.len() >= INDEX_FROM).then(|| {
            self.members.iter().enumerate().map(|(at, (name, _))| (name.clone(), at)).collect()
        });
    }

    /// Names and values, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Json)> {
        self.members.iter().map(|(name, value)| (&**name, value))
    }

    /// The same, with values that may be changed.
    pub fn iter_mut(&mut self) -> impl ExactSizeIterator<Item = (&str, &mut Json)> {
        self.members.iter_mut().map(|(name, value)| (&**name, value))
    }

    /// The names, in order.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &str> {
        self.members.iter().map(|(name, _)| &**name)
    }

    /// The values, in order.
    pub fn values(&self) -> impl ExactSizeIterator<Item = &Json> {
        self.members.iter().map(|(_, value)| value)
    }
}

impl IntoIterator for Object {
    type Item = (Box<str>, Json);
    type IntoIter = std::vec::IntoIter<(Box<str>, Json)>;

    fn into_iter(self) -> Self::IntoIter {
        self.members.into_iter()
    }
}

impl<N: Into<Box<str>>> FromIterator<(N, Json)> for Object {
    fn from_iter<T: IntoIterator<Item = (N, Json)>>(members: T) -> Self {
        let mut object = Object::new();
        for (name, value) in members {
            object.insert(name, value);
        }
        object
    }
}

/// Equal members, whatever their order.
impl PartialEq for Object {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len()
            && self.iter().all(|(name, value)| other.get(name).is_some_and(|have| have == value))
    }
}
