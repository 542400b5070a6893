//! One record while a filter looks at it.
//!
//! The alternatives of a filter mostly ask for the same few fields again and
//! again: a value is found, decoded and put into lower case once, and the next
//! condition on it finds it done. Owns what looking costs; knows no operators.

use crate::budget::Budget;
use crate::json::js::{Primitive, string_of};
use crate::json::{Kind, Raw};
use crate::store::{FieldRef, Row};

use super::search;

/// Characters that are made anew in one step: decoded, or looked up in the table
/// of small letters.
const CHARS_PER_STEP: u64 = 4;

/// Fields that are remembered together. Filters over more of them are rare, and
/// each place is to be cleared for each record.
const PLACES: usize = 4;

pub(super) struct Look<'r> {
    row: &'r Row,
    fields: &'r [FieldRef],
    budget: &'r Budget,
    /// What was found, by the number of the field modulo `PLACES`: the first
    /// fields of a filter never put each other out.
    seen: [Option<Seen<'r>>; PLACES],
}

struct Seen<'r> {
    number: u32,
    found: Found<'r>,
}

/// The value of a field and what was made of it so far.
pub(super) struct Found<'r> {
    value: Option<Raw<'r>>,
    text: Option<Text<'r>>,
    primitive: Option<Primitive<'r>>,
}

/// A string to search in without regard to case.
pub(super) enum Text<'r> {
    /// ASCII as it is.
    Plain(&'r [u8]),
    Lower(String),
}

impl Text<'_> {
    pub(super) fn contains(&self, part: &str) -> bool {
        match self {
            Text::Plain(text) => search::contains(text, part.as_bytes()),
            Text::Lower(text) => text.contains(part),
        }
    }
}

impl<'r> Look<'r> {
    pub(super) fn new(row: &'r Row, fields: &'r [FieldRef], budget: &'r Budget) -> Look<'r> {
        Look { row, fields, budget, seen: [const { None }; PLACES] }
    }

    pub(super) fn budget(&self) -> &'r Budget {
        self.budget
    }

    /// `number` is the field's in this filter. `None`: the budget ended.
    pub(super) fn at(&mut self, number: u32) -> Option<&mut Found<'r>> {
        let seen = self.seen.get_mut(number as usize % PLACES)?;
        if seen.as_ref().is_none_or(|seen| seen.number != number) {
            let (value, looked_at) = self.row.look_at(self.fields.get(number as usize)?);
            self.budget.spend_text(looked_at).ok()?;
            *seen = Some(Seen { number, found: Found::of(value) });
        }
        seen.as_mut().map(|seen| &mut seen.found)
    }
}

impl<'r> Found<'r> {
    pub(super) fn of(value: Option<Raw<'r>>) -> Found<'r> {
        Found { value, text: None, primitive: None }
    }

    pub(super) fn value(&self) -> Option<Raw<'r>> {
        self.value
    }

    /// The value unless it is `null`.
    pub(super) fn present(&self) -> Option<Raw<'r>> {
        self.value.filter(|value| !value.is_null())
    }

    pub(super) fn string(&self) -> Option<Raw<'r>> {
        self.value.filter(|value| value.kind() == Kind::String)
    }

    /// A string, to be searched. `None` also where the budget ended.
    #[inline]
    pub(super) fn text(&mut self, budget: &Budget) -> Option<&Text<'r>> {
        if self.text.is_none() {
            self.text = Some(self.find_text(budget)?);
        }
        self.text.as_ref()
    }

    fn find_text(&self, budget: &Budget) -> Option<Text<'r>> {
        let value = self.string()?;
        if let Some(plain) = plain_text(value) {
            return Some(Text::Plain(plain));
        }
        budget.spend(value.text().len() as u64 / CHARS_PER_STEP).ok()?;
        Some(Text::Lower(string_of(value).to_lowercase()))
    }

    /// The characters of a string. `None` also where the budget ended.
    #[inline]
    pub(super) fn decoded(&mut self, budget: &Budget) -> Option<&str> {
        self.string()?;
        match self.primitive(budget)? {
            Primitive::String(text) => Some(text),
            _ => None,
        }
    }

    /// What `<` compares; strings are decoded.
    pub(super) fn primitive(&mut self, budget: &Budget) -> Option<&Primitive<'r>> {
        if self.primitive.is_none() {
            let value = self.present()?;
            let text = value.text();
            match value.kind() {
                // Each number in it is written anew.
                Kind::Array => budget.spend(text.len() as u64).ok()?,
                Kind::String if text.contains('\\') => {
                    budget.spend(text.len() as u64 / CHARS_PER_STEP).ok()?;
                }
                _ => {}
            }
            self.primitive = Some(Primitive::of(value));
        }
        self.primitive.as_ref()
    }
}

/// The characters of a string that is ASCII and has nothing escaped: most are.
fn plain_text(value: Raw<'_>) -> Option<&[u8]> {
    let inside = value.text().as_bytes().strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    let odd = inside.iter().fold(0, |odd, byte| odd | (byte & 0x80) | u8::from(*byte == b'\\'));
    (odd == 0).then_some(inside)
}
