//! What callers hand in: the fields of a record to write, and keys to look for.

use hashbrown::HashMap;
use std::borrow::Cow;

use super::schema::{MAX_TEXT, shortened};
use super::{Key, RowBuilder};
use crate::json::js::{string_of, string_of_json};
use crate::json::{Json, Object, Raw};

/// Members whose values may be undefined.
pub type Members = Vec<(Box<str>, Option<Json>)>;

/// From this many members on they are found through a table.
const INDEX_FROM: usize = 16;

/// Levels of nesting that a stored record may have: as many as any message can.
pub(super) const MAX_DEPTH: u32 = 1024;

fn is_deeper(value: &Json, levels: u32) -> bool {
    let inside = |value: &Json| match levels.checked_sub(1) {
        Some(levels) => is_deeper(value, levels),
        None => true,
    };
    match value {
        Json::Array(elements) => levels == 0 || elements.iter().any(inside),
        Json::Object(object) => levels == 0 || object.iter().any(|(_, value)| inside(value)),
        _ => false,
    }
}

/// The fields of an insert or an update: slices of a message or values made in
/// the program.
#[derive(Clone, Debug, Default)]
pub struct Data<'a> {
    members: Vec<(Cow<'a, str>, Datum<'a>)>,
    index: Option<HashMap<Cow<'a, str>, usize>>,
}

#[derive(Clone, Debug)]
pub(super) enum Datum<'a> {
    Raw(Raw<'a>),
    Json(Cow<'a, Json>),
    /// The member is to go; only in updates.
    Removed,
}

impl<'a> Data<'a> {
    /// These, with values in addition; `None`: the member is to go.
    pub(super) fn with(&self, values: Members) -> Data<'a> {
        let mut data = self.clone();
        data.add(values);
        data
    }

    fn add(&mut self, values: Members) {
        for (name, value) in values {
            let value = value.map_or(Datum::Removed, |value| Datum::Json(Cow::Owned(value)));
            self.push(Cow::Owned(name.into()), value);
        }
    }

    fn push(&mut self, name: Cow<'a, str>, value: Datum<'a>) {
        match self.position(&name) {
            // The last of two equal members wins at the place of the first.
            Some(at) => {
                if let Some((_, old)) = self.members.get_mut(at) {
                    *old = value;
                }
            }
            None => {
                let at = self.members.len();
                if let Some(index) = &mut self.index {
                    index.insert(name.clone(), at);
                }
                self.members.push((name, value));
                if self.index.is_none() && self.members.len() >= INDEX_FROM {
                    let names = self.members.iter().enumerate();
                    self.index = Some(names.map(|(at, (name, _))| (name.clone(), at)).collect());
                }
            }
        }
    }

    fn position(&self, name: &str) -> Option<usize> {
        match &self.index {
            Some(index) => index.get(name).copied(),
            None => self.members.iter().position(|(have, _)| have == name),
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&Datum<'a>> {
        self.position(name).and_then(|at| self.members.get(at)).map(|(_, value)| value)
    }

    /// With its place among the members.
    pub(super) fn find(&self, name: &str) -> Option<(usize, &Datum<'a>)> {
        let at = self.position(name)?;
        self.members.get(at).map(|(_, value)| (at, value))
    }

    /// Whether a value is nested more deeply than what can be read again. Messages
    /// cannot be: those of the program can.
    pub(super) fn is_too_deep(&self) -> bool {
        self.members.iter().any(|(_, value)| match value {
            Datum::Json(value) => is_deeper(value, MAX_DEPTH - 1),
            Datum::Raw(_) | Datum::Removed => false,
        })
    }

    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    pub fn contains(&self, name: &str) -> bool {
        self.position(name).is_some()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Datum<'a>)> {
        self.members.iter().map(|(name, value)| (&**name, value))
    }
}

/// The members of a JSON object; nothing for anything else.
impl<'a> From<Raw<'a>> for Data<'a> {
    fn from(raw: Raw<'a>) -> Self {
        let mut data = Data { members: Vec::with_capacity(8), index: None };
        for (name, value) in raw.members() {
            data.push(name, Datum::Raw(value));
        }
        data
    }
}

impl<'a> From<&'a Object> for Data<'a> {
    fn from(object: &'a Object) -> Self {
        let mut data = Data::default();
        for (name, value) in object.iter() {
            data.push(Cow::Borrowed(name), Datum::Json(Cow::Borrowed(value)));
        }
        data
    }
}

impl From<Object> for Data<'static> {
    fn from(object: Object) -> Self {
        let mut data = Data::default();
        for (name, value) in object {
            data.push(Cow::Owned(name.into()), Datum::Json(Cow::Owned(value)));
        }
        data
    }
}

impl Data<'static> {
    /// The members of an object whose values may be undefined: these are taken
    /// out of the record that is updated.
    pub fn with_removals(members: Members) -> Self {
        let mut data = Data::default();
        data.add(members);
        data
    }
}

impl Datum<'_> {
    pub fn is_null(&self) -> bool {
        match self {
            Datum::Removed => true,
            Datum::Raw(raw) => raw.is_null(),
            Datum::Json(json) => json.is_null(),
        }
    }

    pub fn lookup(&self) -> Lookup {
        match self {
            Datum::Removed => Lookup::undefined(),
            Datum::Raw(raw) => Lookup::from(*raw),
            Datum::Json(json) => Lookup::from(&**json),
        }
    }

    /// Appends the value in storage form; whether an infinite number is in it.
    pub fn write_lossless(&self, out: &mut Vec<u8>) -> bool {
        match self {
            Datum::Removed => false,
            Datum::Raw(raw) => raw.write_lossless(out),
            Datum::Json(json) => {
                json.write_lossless(out);
                json.has_non_finite()
            }
        }
    }

    pub fn write(&self, name: &str, row: &mut RowBuilder<'_>) {
        match self {
            Datum::Removed => {}
            Datum::Raw(raw) => row.foreign(name, *raw),
            Datum::Json(json) => row.json(name, json),
        }
    }
}

/// A key to look for, which may be any JSON value: one that cannot be a key is
/// looked for and not found.
#[derive(Clone, Debug)]
pub struct Lookup {
    pub(super) key: Option<Key>,
    /// `String(key)`, for messages.
    shown: Box<str>,
}

impl Lookup {
    /// What is not found, shown as JavaScript shows it.
    pub fn undefined() -> Lookup {
        Lookup { key: None, shown: "undefined".into() }
    }

    pub fn key(&self) -> Option<&Key> {
        self.key.as_ref()
    }
}

/// What cannot be a key may be as long as a request; a message is not.
fn shown(text: &str) -> Box<str> {
    shortened(text, MAX_TEXT).into()
}

impl From<Raw<'_>> for Lookup {
    fn from(raw: Raw<'_>) -> Self {
        match Key::from_raw(raw) {
            Some(key) => key.into(),
            None => Lookup { key: None, shown: shown(&string_of(raw)) },
        }
    }
}

impl From<&Json> for Lookup {
    fn from(json: &Json) -> Self {
        match Key::from_json(json) {
            Some(key) => key.into(),
            None => Lookup { key: None, shown: shown(&string_of_json(json)) },
        }
    }
}

impl From<Key> for Lookup {
    fn from(key: Key) -> Self {
        Lookup { key: Some(key), shown: "".into() }
    }
}

impl From<&str> for Lookup {
    fn from(key: &str) -> Self {
        Key::String(key.into()).into()
    }
}

impl std::fmt::Display for Lookup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.key {
            Some(key) => key.fmt(f),
            None => f.write_str(&self.shown),
        }
    }
}
