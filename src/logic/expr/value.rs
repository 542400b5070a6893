//! Values of expressions: scalars without allocation, trees where they lie.

use std::borrow::Cow;
use std::cmp::Ordering;

use crate::json::js::compare_utf16;
use crate::json::{Json, Kind, Raw, number_text};

/// Missing and null are the same; a number is finite and never `-0`.
#[derive(Clone, Debug)]
pub(crate) enum Value<'a> {
    Null,
    Bool(bool),
    Number(f64),
    Text(Cow<'a, str>),
    /// An array or an object of a record.
    Raw(Raw<'a>),
    /// An array or an object of an expression.
    Tree(Cow<'a, Json>),
}

impl<'a> Value<'a> {
    pub fn of(raw: Raw<'a>) -> Value<'a> {
        match raw.kind() {
            Kind::Null => Value::Null,
            Kind::Bool => Value::Bool(raw.as_bool().unwrap_or_default()),
            Kind::Number => Value::number(raw.as_number().unwrap_or_default()),
            Kind::String => Value::Text(raw.as_str().unwrap_or_default()),
            Kind::Array | Kind::Object => Value::Raw(raw),
        }
    }

    pub fn of_json(json: &'a Json) -> Value<'a> {
        match json {
            Json::Null => Value::Null,
            Json::Bool(value) => Value::Bool(*value),
            Json::Number(number) => Value::number(*number),
            Json::String(text) => Value::Text(Cow::Borrowed(text)),
            Json::Array(_) | Json::Object(_) => Value::Tree(Cow::Borrowed(json)),
        }
    }

    /// What is not finite has no sensible value.
    pub fn number(number: f64) -> Value<'static> {
        match number.is_finite() {
            // `-0` becomes `0`.
            true => Value::Number(number + 0.0),
            false => Value::Null,
        }
    }

    pub fn as_number(&self) -> Option<f64> {
        if let Value::Number(number) = self { Some(*number) } else { None }
    }

    pub fn as_text(&self) -> Option<&str> {
        if let Value::Text(text) = self { Some(text) } else { None }
    }

    pub fn is_true(&self) -> bool {
        match self {
            Value::Null => false,
            Value::Bool(value) => *value,
            Value::Number(number) => *number != 0.0,
            Value::Text(text) => !text.is_empty(),
            Value::Raw(_) | Value::Tree(_) => true,
        }
    }

    /// The value as a tree.
    pub fn to_json(&self) -> Json {
        match self {
            Value::Null => Json::Null,
            Value::Bool(value) => Json::Bool(*value),
            Value::Number(number) => Json::Number(*number),
            Value::Text(text) => Json::from(&**text),
            Value::Raw(raw) => raw.to_json(),
            Value::Tree(tree) => tree.as_ref().clone(),
        }
    }

    /// Deep equality by JSON type and value.
    pub fn equals(&self, other: &Value<'_>) -> bool {
        match (self, other) {
            (Value::Null, Value::Null) => true,
            (Value::Bool(a), Value::Bool(b)) => a == b,
            (Value::Number(a), Value::Number(b)) => a == b,
            (Value::Text(a), Value::Text(b)) => a == b,
            (Value::Raw(_) | Value::Tree(_), Value::Raw(_) | Value::Tree(_)) => {
                self.same_text(other) || self.to_json() == other.to_json()
            }
            _ => false,
        }
    }

    fn same_text(&self, other: &Value<'_>) -> bool {
        match (self, other) {
            (Value::Raw(a), Value::Raw(b)) => a.text() == b.text(),
            _ => false,
        }
    }

    /// The order of two values; `None` where neither is less.
    pub fn compare(&self, other: &Value<'_>) -> Option<Ordering> {
        match (self, other) {
            (Value::Number(a), Value::Number(b)) => a.partial_cmp(b),
            (Value::Text(a), Value::Text(b)) => Some(compare_utf16(a, b)),
            (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
            _ => None,
        }
    }

    /// As `$concat` writes it.
    pub fn write_text(&self, out: &mut String) {
        match self {
            Value::Null => {}
            Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Value::Number(number) => out.push_str(&number_text(*number)),
            Value::Text(text) => out.push_str(text),
            Value::Raw(raw) => out.push_str(&raw.to_json().to_text()),
            Value::Tree(tree) => out.push_str(&tree.to_text()),
        }
    }

    /// Bytes that looking at all of it means looking at.
    pub fn weight(&self) -> usize {
        match self {
            Value::Null | Value::Bool(_) | Value::Number(_) => 0,
            Value::Text(text) => text.len(),
            Value::Raw(raw) => raw.text().len(),
            Value::Tree(tree) => weight(tree),
        }
    }

    /// A member of an object, or an element of an array by its index.
    pub fn member(self, name: &str) -> Value<'a> {
        match self {
            Value::Raw(raw) => match raw.kind() {
                Kind::Object => raw.get(name).map_or(Value::Null, Value::of),
                _ => {
                    index(name).and_then(|at| raw.elements().nth(at)).map_or(Value::Null, Value::of)
                }
            },
            Value::Tree(Cow::Borrowed(tree)) => match tree {
                Json::Object(object) => object.get(name).map_or(Value::Null, Value::of_json),
                tree => index(name)
                    .and_then(|at| tree.as_array()?.get(at))
                    .map_or(Value::Null, Value::of_json),
            },
            _ => Value::Null,
        }
    }
}

fn weight(tree: &Json) -> usize {
    match tree {
        Json::String(text) => text.len() + 2,
        Json::Array(elements) => elements.iter().map(weight).sum::<usize>() + 2,
        Json::Object(object) => {
            object.iter().map(|(name, value)| name.len() + 4 + weight(value)).sum::<usize>() + 2
        }
        _ => 8,
    }
}

/// The index that a segment of a path stands for, in its only spelling.
fn index(name: &str) -> Option<usize> {
    let plain =
        name.bytes().all(|byte| byte.is_ascii_digit()) && (name == "0" || !name.starts_with('0'));
    name.parse().ok().filter(|_| plain)
}
