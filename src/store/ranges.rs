//! Ordered access to an index: which records can compare less or greater than
//! an operand.
//!
//! Built when a range first asks for it, and kept from then on; an index that
//! only serves equality never pays for it. What it yields is a superset: the
//! filter decides about each candidate. Numbers and strings are sorted; what
//! compares in other ways (booleans, objects, arrays, and strings with an
//! operand that is a number) is always among the candidates.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::ops::Bound;

use super::millis::Millis;
use super::release::release_first;
use super::table::Slot;
use crate::json::js::{Primitive, compare_utf16};
use crate::json::{Kind, Raw};

/// A string in the order of its UTF-16 code units, as comparison has it.
#[derive(Clone, Debug)]
struct Text(Box<str>);

impl Ord for Text {
    fn cmp(&self, other: &Self) -> Ordering {
        compare_utf16(&self.0, &other.0)
    }
}

impl PartialOrd for Text {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for Text {}

/// Records by value; `null` and absent values compare with nothing and are not
/// here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ranges {
    numbers: BTreeSet<(Millis, Slot)>,
    texts: BTreeSet<(Text, Slot)>,
    others: BTreeSet<Slot>,
    /// Of the texts.
    text_bytes: usize,
}

/// What a conjunction of comparisons of one field asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Bounds {
    low: Option<Limit>,
    high: Option<Limit>,
    /// String operands limit strings; others do not.
    low_text: Option<Box<str>>,
    high_text: Option<Box<str>>,
    /// An operand compares with nothing that is a number.
    no_numbers: bool,
}

type Limit = f64;

impl Bounds {
    /// Between which numbers a value must be if it is a number; `None`: no
    /// number is asked for.
    pub(crate) fn numbers(&self) -> Option<(Option<f64>, Option<f64>)> {
        (!self.no_numbers).then_some((self.low, self.high))
    }

    /// Between which strings a value must be if it is a string.
    pub(crate) fn texts(&self) -> (Option<&str>, Option<&str>) {
        (self.low_text.as_deref(), self.high_text.as_deref())
    }

    pub(super) fn none() -> Self {
        Bounds { low: None, high: None, low_text: None, high_text: None, no_numbers: false }
    }

    /// Values at or above the operand. Whether it is itself included the
    /// filter decides.
    pub(super) fn at_least(&mut self, operand: &Primitive<'_>) {
        match operand.to_number() {
            number if number.is_nan() => self.no_numbers = true,
            number => self.low = Some(self.low.map_or(number, |low| low.max(number))),
        }
        if let Primitive::String(text) = operand
            && self.low_text.as_deref().is_none_or(|low| compare_utf16(low, text).is_lt())
        {
            self.low_text = Some(text.as_ref().into());
        }
    }

    /// Values at or below the operand.
    pub(super) fn at_most(&mut self, operand: &Primitive<'_>) {
        match operand.to_number() {
            number if number.is_nan() => self.no_numbers = true,
            number => self.high = Some(self.high.map_or(number, |high| high.min(number))),
        }
        if let Primitive::String(text) = operand
            && self.high_text.as_deref().is_none_or(|high| compare_utf16(high, text).is_gt())
        {
            self.high_text = Some(text.as_ref().into());
        }
    }
}

impl Ranges {
    pub fn build<'t>(values: impl Iterator<Item = (Slot, Raw<'t>)>) -> Self {
        let (mut numbers, mut texts, mut others) = (Vec::new(), Vec::new(), Vec::new());
        let mut text_bytes = 0;
        for (slot, value) in values {
            match value.kind() {
                Kind::Null => {}
                Kind::Number => numbers.push((number(value), slot)),
                Kind::String => {
                    let text = text(value);
                    text_bytes += text.0.len();
                    texts.push((text, slot));
                }
                Kind::Bool | Kind::Array | Kind::Object => others.push(slot),
            }
        }
        // Sets are built from sorted input in linear time.
        Ranges {
            numbers: numbers.into_iter().collect(),
            texts: texts.into_iter().collect(),
            others: others.into_iter().collect(),
            text_bytes,
        }
    }

    pub fn add(&mut self, slot: Slot, value: Raw<'_>) {
        match value.kind() {
            Kind::Null => {}
            Kind::Number => drop(self.numbers.insert((number(value), slot))),
            Kind::String => {
                let text = text(value);
                self.text_bytes += text.0.len();
                self.texts.insert((text, slot));
            }
            Kind::Bool | Kind::Array | Kind::Object => drop(self.others.insert(slot)),
        }
    }

    pub fn remove(&mut self, slot: Slot, value: Raw<'_>) {
        match value.kind() {
            Kind::Null => {}
            Kind::Number => drop(self.numbers.remove(&(number(value), slot))),
            Kind::String => {
                let text = text(value);
                self.text_bytes = self.text_bytes.saturating_sub(text.0.len());
                self.texts.remove(&(text, slot));
            }
            Kind::Bool | Kind::Array | Kind::Object => drop(self.others.remove(&slot)),
        }
    }

    /// The candidates; `None` if there are more than `limit`.
    pub fn candidates(&self, bounds: &Bounds, limit: usize) -> Option<Vec<Slot>> {
        let mut slots: Vec<Slot> = Vec::new();
        let numbers = between(bounds.low.map(Millis::of), bounds.high.map(Millis::of));
        if let Some(range) = numbers.filter(|_| !bounds.no_numbers) {
            slots.extend(self.numbers.range(range).map(|(_, slot)| slot).take(limit + 1));
        }
        let limit_text = |text: &Option<Box<str>>| text.clone().map(Text);
        if let Some(range) = between(limit_text(&bounds.low_text), limit_text(&bounds.high_text)) {
            slots.extend(self.texts.range(range).map(|(_, slot)| slot).take(limit + 1));
        }
        slots.extend(self.others.iter().take(limit + 1));
        (slots.len() <= limit).then_some(slots)
    }

    /// Gives back some of what is not used any more; how many records it was
    /// about.
    pub fn release(&mut self) -> Option<usize> {
        release_first(&mut self.numbers)
            .or_else(|| release_first(&mut self.texts))
            .or_else(|| release_first(&mut self.others))
    }

    /// Bytes of memory, about.
    pub fn memory(&self) -> usize {
        self.text_bytes + self.texts.len() * 48 + self.numbers.len() * 22 + self.others.len() * 6
    }
}

fn number(value: Raw<'_>) -> Millis {
    // Stored numbers are never `-0`.
    Millis(value.as_number().unwrap_or(f64::NAN))
}

fn text(value: Raw<'_>) -> Text {
    Text(value.as_str().unwrap_or_default().into())
}

type Range<T> = (Bound<(T, Slot)>, Bound<(T, Slot)>);

/// Everything from `low` to `high`, both included; `None` if that is nothing.
fn between<T: Ord>(low: Option<T>, high: Option<T>) -> Option<Range<T>> {
    if let (Some(low), Some(high)) = (&low, &high)
        && low > high
    {
        return None;
    }
    let low = low.map_or(Bound::Unbounded, |low| Bound::Included((low, Slot::MIN)));
    let high = high.map_or(Bound::Unbounded, |high| Bound::Included((high, Slot::MAX)));
    Some((low, high))
}
