//! Borrowed values: slices of a text that has been checked.

use std::borrow::Cow;

use super::number::read_number;
use super::scan::{hex_value, plain_length};
use super::{Json, Object, write_string};

/// What a value is, told by its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Null,
    Bool,
    Number,
    String,
    Array,
    Object,
}

impl Kind {
    /// The word for it in messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::Null => "null",
            Kind::Bool => "boolean",
            Kind::Number => "number",
            Kind::String => "string",
            Kind::Array => "array",
            Kind::Object => "object",
        }
    }
}

/// One JSON value as a slice of checked text, without white space around it.
/// Decoding what is asked for, when it is asked for, costs less than a tree.
///
/// None of the methods can fail or panic, also if the text were not valid: they
/// then answer with whatever they understood.
#[derive(Clone, Copy, Debug)]
pub struct Raw<'a>(&'a str);

impl<'a> Raw<'a> {
    /// The JSON `null`.
    pub const NULL: Raw<'static> = Raw("null");
    pub const EMPTY_OBJECT: Raw<'static> = Raw("{}");

    /// `text` must be one valid JSON value without white space around it.
    pub(crate) fn checked(text: &'a str) -> Self {
        Raw(text)
    }

    /// The value at the start of `text`, which may go on behind it.
    pub(crate) fn first_of(text: &'a str) -> Self {
        Walker { text, at: 0 }.value()
    }

    /// The text of the value.
    pub fn text(self) -> &'a str {
        self.0
    }

    pub fn kind(self) -> Kind {
        match self.0.as_bytes().first() {
            Some(b'"') => Kind::String,
            Some(b'{') => Kind::Object,
            Some(b'[') => Kind::Array,
            Some(b't' | b'f') => Kind::Bool,
            Some(b'-' | b'0'..=b'9') => Kind::Number,
            _ => Kind::Null,
        }
    }

    pub fn is_null(self) -> bool {
        self.kind() == Kind::Null
    }

    pub fn as_bool(self) -> Option<bool> {
        match self.0 {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        }
    }

    /// The double nearest to the literal; an infinity if it is too large.
    pub fn as_number(self) -> Option<f64> {
        (self.kind() == Kind::Number).then(|| read_number(self.0))
    }

    /// The decoded string; borrowed if it has no escapes.
    pub fn as_str(self) -> Option<Cow<'a, str>> {
        if self.kind() != Kind::String {
            return None;
        }
        let inner = self.0.get(1..self.0.len().saturating_sub(1)).unwrap_or_default();
        if plain_length(inner.as_bytes()) == inner.len() {
            Some(Cow::Borrowed(inner))
        } else {
            Some(Cow::Owned(unescape(inner)))
        }
    }

    /// The members of an object as written, duplicates included; nothing for
    /// anything else.
    pub fn members(self) -> Members<'a> {
        Members { rest: Walker::inside(self, Kind::Object) }
    }

    /// The elements of an array; nothing for anything else.
    pub fn elements(self) -> Elements<'a> {
        Elements { rest: Walker::inside(self, Kind::Array) }
    }

    /// A member of an object; the last one if it was given twice.
    pub fn get(self, name: &str) -> Option<Raw<'a>> {
        self.members().filter(|(have, _)| have == name).last().map(|(_, value)| value)
    }

    /// Appends the value as [`Json::write_lossless`] prints it, without building
    /// a tree of scalars. Returns whether an infinity hides inside.
    pub fn write_lossless(self, out: &mut Vec<u8>) -> bool {
        match self.kind() {
            Kind::Null | Kind::Bool => out.extend_from_slice(self.0.as_bytes()),
            Kind::Number => {
                let value = read_number(self.0);
                super::number::write_number_lossless(out, value);
                return !value.is_finite();
            }
            // Without escapes a literal is already as short as it gets.
            Kind::String => match self.as_str() {
                // Without escapes a literal is already as short as it gets.
                Some(Cow::Borrowed(_)) => out.extend_from_slice(self.0.as_bytes()),
                text => write_string(out, &text.unwrap_or_default()),
            },
            Kind::Array | Kind::Object => {
                let tree = self.to_json();
                tree.write_lossless(out);
                return tree.has_non_finite();
            }
        }
        false
    }

    /// The value as a tree. Duplicate members: the last value at the place of
    /// the first.
    pub fn to_json(self) -> Json {
        match self.kind() {
            Kind::Null => Json::Null,
            Kind::Bool => Json::Bool(self.0 == "true"),
            Kind::Number => Json::Number(read_number(self.0)),
            Kind::String => Json::String(self.as_str().unwrap_or_default().into()),
            Kind::Array => Json::Array(self.elements().map(Raw::to_json).collect()),
            Kind::Object => {
                let mut object = Object::new();
                for (name, value) in self.members() {
                    object.insert(name, value.to_json());
                }
                Json::Object(object)
            }
        }
    }
}

fn unescape(inner: &str) -> String {
    let mut out = String::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(at) = rest.find('\\') {
        out.push_str(rest.get(..at).unwrap_or_default());
        let escape = rest.as_bytes().get(at + 1).copied().unwrap_or_default();
        let mut used = at + 2;
        match escape {
            b'b' => out.push('\u{8}'),
            b'f' => out.push('\u{c}'),
            b'n' => out.push('\n'),
            b'r' => out.push('\r'),
            b't' => out.push('\t'),
            b'u' => {
                let unit = |from: usize| {
                    rest.as_bytes().get(from..from + 4).and_then(hex_value).unwrap_or_default()
                };
                let high = unit(at + 2);
                used = at + 6;
                let code = if (0xd800..0xdc00).contains(&high) {
                    let low = unit(at + 8);
                    used = at + 12;
                    0x10000 + ((high - 0xd800) << 10) + (low.saturating_sub(0xdc00) & 0x3ff)
                } else {
                    high
                };
                out.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            other => out.push(char::from(other)),
        }
        rest = rest.get(used..).unwrap_or_default();
    }
    out.push_str(rest);
    out
}

/// Walks over checked text inside a container.
#[derive(Clone, Debug)]
struct Walker<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Walker<'a> {
    fn inside(raw: Raw<'a>, kind: Kind) -> Self {
        let text = if raw.kind() == kind { raw.0 } else { "" };
        Walker { text, at: 1 }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Stands on the next byte that is neither white space nor a separator.
    fn next_token(&mut self) -> Option<u8> {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r' | b',' | b':')) {
            self.at += 1;
        }
        self.peek()
    }

    fn string(&mut self) {
        self.at += 1;
        loop {
            self.at += plain_length(self.text.as_bytes().get(self.at..).unwrap_or_default());
            match self.peek() {
                Some(b'\\') => self.at += 2,
                Some(b'"') | None => {
                    self.at += 1;
                    return;
                }
                Some(_) => self.at += 1,
            }
        }
    }

    fn value(&mut self) -> Raw<'a> {
        let start = self.at;
        match self.peek() {
            Some(b'"') => self.string(),
            Some(b'{' | b'[') => {
                let mut depth = 0usize;
                while let Some(byte) = self.peek() {
                    match byte {
                        b'"' => {
                            self.string();
                            continue;
                        }
                        b'{' | b'[' => depth += 1,
                        b'}' | b']' => depth = depth.saturating_sub(1),
                        _ => {}
                    }
                    self.at += 1;
                    if depth == 0 {
                        break;
                    }
                }
            }
            _ => {
                while self.peek().is_some_and(|byte| {
                    !matches!(byte, b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r')
                }) {
                    self.at += 1;
                }
            }
        }
        Raw(self.text.get(start..self.at).unwrap_or_default())
    }
}

/// See [`Raw::members`].
#[derive(Clone, Debug)]
pub struct Members<'a> {
    rest: Walker<'a>,
}

impl<'a> Iterator for Members<'a> {
    type Item = (Cow<'a, str>, Raw<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.next_token()? != b'"' {
            return None;
        }
        let name = self.rest.value().as_str()?;
        self.rest.next_token()?;
        Some((name, self.rest.value()))
    }
}

/// See [`Raw::elements`].
#[derive(Clone, Debug)]
pub struct Elements<'a> {
    rest: Walker<'a>,
}

impl<'a> Iterator for Elements<'a> {
    type Item = Raw<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.rest.next_token()? {
            b']' => None,
            _ => Some(self.rest.value()),
        }
    }
}

impl From<Raw<'_>> for Json {
    fn from(raw: Raw<'_>) -> Self {
        raw.to_json()
    }
}
