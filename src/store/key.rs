//! Primary keys and their strict identity.

use std::borrow::Cow;
use std::hash::{Hash, Hasher};

use crate::json::{Json, Kind, Raw, is_plain, number_text, write_number, write_string};

/// A primary key: a string, a number or a boolean. `1` and `"1"` are different
/// keys, `0` and `-0` the same.
#[derive(Clone, Debug)]
pub enum Key {
    Bool(bool),
    /// Never NaN.
    Number(f64),
    String(Box<str>),
}

/// Keys up to here are looked for without memory from the heap.
const SHORT: usize = 62;

impl Key {
    /// The key in a request; `None` for `null`, objects and arrays, which never
    /// equal a stored key.
    pub fn from_raw(raw: Raw<'_>) -> Option<Key> {
        match raw.kind() {
            Kind::String => raw.as_str().map(|text| Key::String(text.into())),
            Kind::Number => raw.as_number().map(Key::Number),
            Kind::Bool => raw.as_bool().map(Key::Bool),
            Kind::Null | Kind::Array | Kind::Object => None,
        }
    }

    /// The text in storage form of the key in a request, without a key of it.
    pub fn text_of(raw: Raw<'_>) -> Option<Cow<'_, str>> {
        match (raw.kind(), raw.as_str()) {
            // Without escapes it has that form.
            (Kind::String, Some(Cow::Borrowed(_))) => Some(Cow::Borrowed(raw.text())),
            _ => Key::from_raw(raw).map(|key| key.text().into_string().into()),
        }
    }

    pub fn from_json(json: &Json) -> Option<Key> {
        match json {
            Json::Bool(value) => Some(Key::Bool(*value)),
            Json::Number(value) => Some(Key::Number(*value)),
            Json::String(text) => Some(Key::String(text.clone())),
            Json::Null | Json::Array(_) | Json::Object(_) => None,
        }
    }

    pub fn to_json(&self) -> Json {
        match self {
            Key::Bool(value) => Json::Bool(*value),
            Key::Number(value) => Json::Number(*value),
            Key::String(text) => Json::String(text.clone()),
        }
    }

    /// The key's text in storage form, in which equal keys have equal text.
    pub fn text(&self) -> Box<str> {
        // Just enough for a string without escapes.
        let mut out = Vec::with_capacity(match self {
            Key::String(text) => text.len() + 2,
            Key::Bool(_) | Key::Number(_) => 24,
        });
        match self {
            Key::Number(_) => self.to_json().write_lossless(&mut out),
            _ => self.write(&mut out),
        }
        String::from_utf8(out).unwrap_or_default().into()
    }

    /// What `use_it` makes of [`Key::text`], mostly without memory of its own.
    pub fn with_text<T>(&self, use_it: impl FnOnce(&str) -> T) -> T {
        if let Key::String(text) = self {
            let mut room = [0; SHORT + 2];
            let literal = room.get_mut(..text.len().saturating_add(2));
            if let Some([first, inner @ .., last]) = literal
                && is_plain(text)
            {
                (*first, *last) = (b'"', b'"');
                inner.copy_from_slice(text.as_bytes());
                let literal = room.get(..text.len() + 2).unwrap_or_default();
                if let Ok(literal) = std::str::from_utf8(literal) {
                    return use_it(literal);
                }
            }
        }
        use_it(&self.text())
    }

    /// Appends the JSON text of the key.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Key::Bool(true) => out.extend_from_slice(b"true"),
            Key::Bool(false) => out.extend_from_slice(b"false"),
            Key::Number(value) => write_number(out, *value),
            Key::String(text) => write_string(out, text),
        }
    }
}

impl From<&str> for Key {
    fn from(text: &str) -> Self {
        Key::String(text.into())
    }
}

impl From<f64> for Key {
    fn from(number: f64) -> Self {
        Key::Number(number)
    }
}

/// `String(key)`, as messages have it.
impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Key::Bool(value) => write!(f, "{value}"),
            Key::Number(value) => f.write_str(&number_text(*value)),
            Key::String(text) => f.write_str(text),
        }
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Key::Bool(a), Key::Bool(b)) => a == b,
            (Key::Number(a), Key::Number(b)) => a == b,
            (Key::String(a), Key::String(b)) => a == b,
            _ => false,
        }
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Key::Bool(value) => value.hash(state),
            // Adding zero turns -0 into 0, so that equal keys hash alike.
            Key::Number(value) => (value + 0.0).to_bits().hash(state),
            Key::String(text) => text.hash(state),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::parse;

    #[test]
    fn every_way_to_the_text_of_a_key_leads_to_the_same() {
        let texts = ["", "a", "é", "a\"b", "back\\slash", "line\nbreak", "\u{7f}\u{2028}"];
        let lengths = [SHORT - 1, SHORT, SHORT + 1, 1000].map(|length| "k".repeat(length));
        let strings = texts.into_iter().chain(lengths.iter().map(String::as_str)).map(Key::from);
        let numbers = [0.0, -0.0, 1.5, 1e21, f64::INFINITY].map(Key::Number);
        for key in strings.chain(numbers).chain([true, false].map(Key::Bool)) {
            let text = key.text();
            assert!(key.with_text(|short| short == &*text), "{key}");
            let raw = parse(&text, 1).expect("a literal");
            assert_eq!(Key::text_of(raw).as_deref(), Some(&*text), "{key}");
        }
        // As a client may write it.
        let escaped = parse(r#""\u0061\/""#, 1).expect("a literal");
        assert_eq!(Key::text_of(escaped).as_deref(), Some(r#""a/""#));
        assert_eq!(Key::text_of(Raw::NULL), None);
        assert_eq!(Key::text_of(Raw::EMPTY_OBJECT), None);
    }
}
