//! One pass over the text that checks all of it.

use std::borrow::Cow;

use super::scan::{hex_value, plain_length};
use super::{Json, Raw};

/// Depth allowed where the configuration does not say otherwise (`maxJsonDepth`).
pub const DEFAULT_MAX_DEPTH: u32 = 128;

/// Why a text is not acceptable JSON. Offsets are in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JsonError {
    /// Not JSON: what stands at `offset` is not what the grammar wants there.
    Syntax { offset: usize, expected: &'static str },
    /// A `\ud800`-like escape without its other half: not representable.
    LoneSurrogate { offset: usize },
    /// More than `max` levels of arrays and objects.
    TooDeep { max: u32 },
    /// Only from [`parse_strict`]: an object has the same member twice.
    DuplicateKey { offset: usize, key: String },
    /// Only from [`parse_fields`]: JSON, but not an object.
    NotAnObject,
}

impl std::fmt::Display for JsonError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            JsonError::Syntax { offset, expected } => {
                write!(f, "expected {expected} at byte {offset}")
            }
            JsonError::LoneSurrogate { offset } => {
                write!(f, "lone surrogate escape at byte {offset}")
            }
            JsonError::TooDeep { max } => write!(f, "nested too deeply (max {max} levels)"),
            JsonError::DuplicateKey { offset, key } => {
                write!(f, "duplicate key \"{key}\" at byte {offset}")
            }
            JsonError::NotAnObject => f.write_str("expected an object"),
        }
    }
}

impl std::error::Error for JsonError {}

/// Checks `text`, one JSON value with optional white space around it.
pub fn parse(text: &str, max_depth: u32) -> Result<Raw<'_>, JsonError> {
    Scanner::new(text, max_depth).whole()
}

/// As [`parse`], but an object with the same member twice is an error. For
/// files that people write.
pub fn parse_strict(text: &str, max_depth: u32) -> Result<Json, JsonError> {
    let raw = parse(text, max_depth)?;
    check_duplicates(text, raw)?;
    Ok(raw.to_json())
}

fn check_duplicates(text: &str, raw: Raw<'_>) -> Result<(), JsonError> {
    let mut seen = std::collections::HashSet::new();
    for (name, value) in raw.members() {
        if seen.contains(&name) {
            let offset = (value.text().as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
            return Err(JsonError::DuplicateKey { offset, key: name.into_owned() });
        }
        check_duplicates(text, value)?;
        seen.insert(name);
    }
    for element in raw.elements() {
        check_duplicates(text, element)?;
    }
    Ok(())
}

/// The members of one object, borrowed from its text.
#[derive(Clone, Debug, Default)]
pub struct Fields<'a> {
    members: Vec<(Cow<'a, str>, Raw<'a>)>,
}

impl<'a> Fields<'a> {
    /// The value of a member; the last one if it was given twice.
    pub fn get(&self, name: &str) -> Option<Raw<'a>> {
        self.members.iter().rev().find(|(have, _)| **have == *name).map(|(_, value)| *value)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, Raw<'a>)> {
        self.members.iter().map(|(name, value)| (name.as_ref(), *value))
    }
}

/// Checks `text` and splits the object it must be into its members.
pub fn parse_fields(text: &str, max_depth: u32) -> Result<Fields<'_>, JsonError> {
    Scanner::new(text, max_depth).fields()
}

/// As [`parse_fields`], with lone surrogate escapes let pass: only for members
/// that are no strings, and for saying what else is right with a message.
pub fn parse_fields_loosely(text: &str, max_depth: u32) -> Result<Fields<'_>, JsonError> {
    Scanner { lets_surrogates_pass: true, ..Scanner::new(text, max_depth) }.fields()
}

/// The name in a checked literal.
fn name_of(literal: &str, plain: bool) -> Cow<'_, str> {
    match literal.get(1..literal.len().saturating_sub(1)) {
        Some(inner) if plain => Cow::Borrowed(inner),
        _ => Raw::checked(literal).as_str().unwrap_or_default(),
    }
}

/// Whether a string has no need of escapes.
pub(crate) fn is_plain(text: &str) -> bool {
    plain_length(text.as_bytes()) == text.len()
}

struct Scanner<'a> {
    text: &'a str,
    at: usize,
    max_depth: u32,
    lets_surrogates_pass: bool,
}

impl<'a> Scanner<'a> {
    fn new(text: &'a str, max_depth: u32) -> Self {
        Scanner { text, at: 0, max_depth, lets_surrogates_pass: false }
    }

    fn fields(self) -> Result<Fields<'a>, JsonError> {
        let mut scanner = self;
        scanner.space();
        if scanner.peek() != Some(b'{') {
            return scanner.whole().and(Err(JsonError::NotAnObject));
        }
        if scanner.max_depth == 0 {
            return Err(JsonError::TooDeep { max: 0 });
        }
        let mut members = Vec::with_capacity(6);
        scanner.object(1, |name, value| members.push((name, value)))?;
        scanner.end()?;
        Ok(Fields { members })
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn error(&self, expected: &'static str) -> JsonError {
        JsonError::Syntax { offset: self.at, expected }
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn end(&mut self) -> Result<(), JsonError> {
        self.space();
        if self.at == self.text.len() { Ok(()) } else { Err(self.error("end of text")) }
    }

    fn whole(&mut self) -> Result<Raw<'a>, JsonError> {
        self.space();
        let value = self.value(0)?;
        self.end()?;
        Ok(value)
    }

    /// `depth` counts the containers around the value.
    fn value(&mut self, depth: u32) -> Result<Raw<'a>, JsonError> {
        let start = self.at;
        match self.peek() {
            Some(b'"') => {
                self.string()?;
            }
            Some(b'{') => {
                self.deeper(depth)?;
                self.object(depth + 1, |_, _| ())?;
            }
            Some(b'[') => {
                self.deeper(depth)?;
                self.array(depth + 1)?;
            }
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(b't') => self.word("true")?,
            Some(b'f') => self.word("false")?,
            Some(b'n') => self.word("null")?,
            _ => return Err(self.error("a value")),
        }
        Ok(Raw::checked(self.text.get(start..self.at).unwrap_or_default()))
    }

    fn deeper(&self, depth: u32) -> Result<(), JsonError> {
        if depth >= self.max_depth {
            return Err(JsonError::TooDeep { max: self.max_depth });
        }
        Ok(())
    }

    fn word(&mut self, word: &'static str) -> Result<(), JsonError> {
        if self.text.as_bytes().get(self.at..).is_some_and(|rest| rest.starts_with(word.as_bytes()))
        {
            self.at += word.len();
            Ok(())
        } else {
            Err(self.error("a value"))
        }
    }

    fn object(
        &mut self,
        depth: u32,
        mut member: impl FnMut(Cow<'a, str>, Raw<'a>),
    ) -> Result<(), JsonError> {
        self.at += 1;
        self.space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        loop {
            if self.peek() != Some(b'"') {
                return Err(self.error("a member name"));
            }
            let start = self.at;
            let plain = self.string()?;
            let name = self.text.get(start..self.at).unwrap_or_default();
            self.space();
            if self.peek() != Some(b':') {
                return Err(self.error("\":\""));
            }
            self.at += 1;
            self.space();
            let value = self.value(depth)?;
            member(name_of(name, plain), value);
            self.space();
            match self.peek() {
                Some(b',') => {
                    self.at += 1;
                    self.space();
                }
                Some(b'}') => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return Err(self.error("\",\" or \"}\"")),
            }
        }
    }

    fn array(&mut self, depth: u32) -> Result<(), JsonError> {
        self.at += 1;
        self.space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.value(depth)?;
            self.space();
            match self.peek() {
                Some(b',') => {
                    self.at += 1;
                    self.space();
                }
                Some(b']') => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return Err(self.error("\",\" or \"]\"")),
            }
        }
    }

    fn digits(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == start { Err(self.error("a digit")) } else { Ok(()) }
    }

    fn number(&mut self) -> Result<(), JsonError> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
            if self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
                return Err(self.error("no digit after a leading zero"));
            }
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    /// Whether it has no escapes.
    fn string(&mut self) -> Result<bool, JsonError> {
        self.at += 1;
        let mut plain = true;
        loop {
            let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
            self.at += plain_length(rest);
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(plain);
                }
                Some(b'\\') => {
                    plain = false;
                    self.escape()?;
                }
                Some(_) => return Err(self.error("no control character in a string")),
                None => return Err(self.error("the end of the string")),
            }
        }
    }

    fn escape(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        self.at += 1;
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 1;
                Ok(())
            }
            Some(b'u') => {
                let unit = self.hex()?;
                match unit {
                    0xd800..=0xdbff => {
                        if self.text.as_bytes().get(self.at..self.at + 2) != Some(b"\\u") {
                            return self.lone_surrogate(start);
                        }
                        let second = self.at;
                        self.at += 1;
                        match self.hex()? {
                            0xdc00..=0xdfff => Ok(()),
                            _ => {
                                // It may be the first half of another pair.
                                self.at = second;
                                self.lone_surrogate(start)
                            }
                        }
                    }
                    0xdc00..=0xdfff => self.lone_surrogate(start),
                    _ => Ok(()),
                }
            }
            _ => Err(self.error("an escape")),
        }
    }

    fn lone_surrogate(&self, offset: usize) -> Result<(), JsonError> {
        match self.lets_surrogates_pass {
            true => Ok(()),
            false => Err(JsonError::LoneSurrogate { offset }),
        }
    }

    /// Reads `uXXXX`, standing on the `u`.
    fn hex(&mut self) -> Result<u32, JsonError> {
        self.at += 1;
        let digits = self.text.as_bytes().get(self.at..self.at + 4);
        let unit = digits.and_then(hex_value).ok_or_else(|| self.error("four hex digits"))?;
        self.at += 4;
        Ok(unit)
    }
}
