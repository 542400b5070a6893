//! Filters, compiled once per query and evaluated per row without looking at
//! the filter's JSON again.
//!
//! Owns the meaning of `where`: structure, operators, JavaScript's comparisons.
//! Knows nothing of tables or indexes; it only tells which conditions an index
//! could serve.

mod compile;
mod term;

#[cfg(test)]
mod tests;

use std::collections::HashSet;

pub(crate) use compile::OPERATORS;
pub use term::{Substitute, Term};

use crate::budget::Budget;

use super::{Bounds, FieldRef, Layout, Row};
use crate::json::js::{Primitive, string_of};
use crate::json::{Json, Kind, Raw};
use crate::protocol::OpError;

/// Characters of a text operator's longer side that are one step. A text is gone
/// through twice, once to its end and once to search it, so it is half of what a
/// step is elsewhere.
const TEXT_STEP: usize = 32;

/// A compiled filter.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    root: Group,
}

/// Everything in one object of the filter must hold.
#[derive(Clone, Debug, Default)]
struct Group {
    conditions: Vec<Condition>,
    /// `$and`; empty holds.
    all: Vec<Group>,
    /// `$or`; empty does not hold.
    any: Option<Vec<Group>>,
}

#[derive(Clone, Debug)]
struct Condition {
    field: FieldRef,
    test: Test,
}

#[derive(Clone, Debug)]
enum Test {
    /// A plain value.
    Equals(Literal),
    /// A plain value that was not supplied: matches records without the field.
    Absent,
    /// All must hold.
    Operators(Vec<Op>),
}

/// A value to be strictly equal to.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Literal {
    /// In storage form, in which equal scalars have equal text; `null` too.
    Scalar(Box<str>),
    /// An object or an array: equals nothing.
    Nothing,
}

#[derive(Clone, Debug)]
enum Op {
    Eq(Literal),
    Neq(Literal),
    Compare(Relation, Primitive<'static>),
    Between(Primitive<'static>, Primitive<'static>),
    In(Set),
    Nin(Set),
    /// In lower case.
    Contains(Box<str>),
    StartsWith(Box<str>),
    EndsWith(Box<str>),
    Exists(bool),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    Gt,
    Gte,
    Lt,
    Lte,
}

/// The elements of `$in` and `$nin`.
#[derive(Clone, Debug, Default)]
struct Set {
    /// In the order given, each once.
    texts: Vec<Box<str>>,
    /// Built where a list would be slow.
    table: Option<HashSet<Box<str>>>,
    /// An element was undefined, which an absent field equals.
    absent: bool,
}

impl Filter {
    /// Compiles a filter; `Err` is `Invalid filter: …`, whatever the records.
    pub fn compile(layout: &Layout, filter: Raw<'_>) -> Result<Filter, OpError> {
        Self::from_term(layout, &Term::of(filter))
    }

    pub fn from_json(layout: &Layout, filter: &Json) -> Result<Filter, OpError> {
        Self::from_term(layout, &Term::of_json(filter))
    }

    pub fn from_term(layout: &Layout, filter: &Term) -> Result<Filter, OpError> {
        compile::filter(layout, filter)
    }

    /// Whether every record matches, without looking.
    pub fn is_empty(&self) -> bool {
        let Group { conditions, all, any } = &self.root;
        conditions.is_empty() && all.is_empty() && any.is_none()
    }

    /// False also where the budget ends before that is known.
    pub fn matches(&self, row: &Row, budget: &Budget) -> bool {
        self.root.matches(row, budget)
    }

    /// How many conditions there are to be evaluated.
    pub fn conditions(&self) -> usize {
        self.root.count()
    }

    /// The plain conditions on a scalar at the top of the filter, in filter
    /// order: the field and the value in storage form. `null` is left out: no
    /// index has it.
    pub fn equalities(&self) -> impl Iterator<Item = (&FieldRef, &str)> {
        self.root.conditions.iter().filter_map(|condition| match &condition.test {
            Test::Equals(Literal::Scalar(text)) if **text != *"null" => {
                Some((&condition.field, &**text))
            }
            _ => None,
        })
    }

    /// Whether no record can match: a plain condition on an object or an array.
    pub fn is_never(&self) -> bool {
        self.root
            .conditions
            .iter()
            .any(|condition| matches!(condition.test, Test::Equals(Literal::Nothing)))
    }
}

/// What the conditions on one field, taken together, ask for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Wanted<'f> {
    /// One of these values, in storage form.
    OneOf(Vec<&'f str>),
    Within(Bounds),
}

impl Filter {
    /// Conditions that every match must fulfil and that an index on their field
    /// can serve, in whatever order: equality, `$in`, comparisons.
    pub(crate) fn wanted(&self) -> Vec<(&FieldRef, Wanted<'_>)> {
        let mut wanted = Vec::new();
        self.root.wanted(&mut wanted);
        wanted
    }
}

impl Group {
    fn wanted<'f>(&'f self, wanted: &mut Vec<(&'f FieldRef, Wanted<'f>)>) {
        for condition in &self.conditions {
            wanted.extend(condition.wanted().map(|what| (&condition.field, what)));
        }
        self.all.iter().for_each(|group| group.wanted(wanted));
    }

    fn count(&self) -> usize {
        let own: usize = self.conditions.iter().map(Condition::count).sum();
        let inner = self.all.iter().chain(self.any.iter().flatten());
        own + inner.map(Group::count).sum::<usize>()
    }

    fn matches(&self, row: &Row, budget: &Budget) -> bool {
        self.conditions.iter().all(|condition| condition.matches(row, budget))
            && self.all.iter().all(|group| group.matches(row, budget))
            && self.any.as_ref().is_none_or(|any| {
                any.iter().any(|group| budget.spend(0).is_ok() && group.matches(row, budget))
            })
    }
}

impl Condition {
    fn wanted(&self) -> Option<Wanted<'_>> {
        let indexed = |text: &str| text != "null";
        let operators = match &self.test {
            Test::Equals(Literal::Scalar(text)) if indexed(text) => {
                return Some(Wanted::OneOf(vec![text]));
            }
            Test::Operators(operators) => operators,
            Test::Equals(_) | Test::Absent => return None,
        };
        let values = operators.iter().find_map(|operator| match operator {
            Op::Eq(Literal::Scalar(text)) if indexed(text) => Some(vec![&**text]),
            Op::In(set) if !set.absent && set.texts.iter().all(|text| indexed(text)) => {
                Some(set.texts.iter().map(|text| &**text).collect())
            }
            _ => None,
        });
        if let Some(values) = values {
            return Some(Wanted::OneOf(values));
        }
        let mut bounds = Bounds::none();
        for operator in operators {
            match operator {
                Op::Compare(Relation::Gt | Relation::Gte, operand) => bounds.at_least(operand),
                Op::Compare(Relation::Lt | Relation::Lte, operand) => bounds.at_most(operand),
                Op::Between(low, high) => {
                    bounds.at_least(low);
                    bounds.at_most(high);
                }
                _ => {}
            }
        }
        (bounds != Bounds::none()).then_some(Wanted::Within(bounds))
    }

    fn count(&self) -> usize {
        match &self.test {
            Test::Equals(_) | Test::Absent => 1,
            Test::Operators(operators) => operators.len(),
        }
    }

    fn matches(&self, row: &Row, budget: &Budget) -> bool {
        let (value, looked_at) = row.look_at(&self.field);
        budget.spend_text(looked_at).is_ok() && self.test.holds(value, budget)
    }
}

impl Test {
    fn holds(&self, value: Option<Raw<'_>>, budget: &Budget) -> bool {
        match self {
            Test::Equals(literal) => budget.spend(1).is_ok() && literal.equals(value),
            Test::Absent => budget.spend(1).is_ok() && value.is_none(),
            Test::Operators(operators) => operators
                .iter()
                .all(|operator| budget.spend(1).is_ok() && operator.holds(value, budget)),
        }
    }
}

/// What a filter asks of the value at one path, for those who find the value in
/// another way than by a field of one record.
#[derive(Clone, Debug)]
pub(crate) struct Operand(Test);

impl Operand {
    /// # Errors
    /// `Invalid filter: …`
    pub fn compile(path: &str, operand: &Json) -> Result<Operand, OpError> {
        compile::condition(path, &Term::of_json(operand)).map(Operand)
    }

    /// Whether a value in storage form is as it asks.
    pub fn holds(&self, value: Option<Raw<'_>>, budget: &Budget) -> bool {
        self.0.holds(value, budget)
    }
}

impl Literal {
    /// Rows hold their values in storage form, so equal text is all it takes.
    fn equals(&self, value: Option<Raw<'_>>) -> bool {
        match (self, value) {
            (Literal::Scalar(text), Some(value)) => **text == *value.text(),
            _ => false,
        }
    }
}

impl Set {
    fn contains(&self, value: Option<Raw<'_>>, budget: &Budget) -> bool {
        match value {
            None => self.absent,
            Some(value) => match &self.table {
                Some(table) => table.contains(value.text()),
                None => {
                    let at = self.texts.iter().position(|text| **text == *value.text());
                    // One is paid for by the condition.
                    let looked_at = at.unwrap_or(self.texts.len().saturating_sub(1));
                    budget.spend(looked_at as u64).is_ok() && at.is_some()
                }
            },
        }
    }
}

impl Op {
    fn holds(&self, value: Option<Raw<'_>>, budget: &Budget) -> bool {
        let present = value.filter(|value| !value.is_null());
        let text = |part: &str| {
            let text = present.filter(|value| value.kind() == Kind::String)?;
            let longer = text.text().len().max(part.len());
            budget.spend(longer.div_ceil(TEXT_STEP) as u64).ok()?;
            Some(string_of(text))
        };
        match self {
            Op::Eq(literal) => literal.equals(value),
            Op::Neq(literal) => !literal.equals(value),
            Op::Compare(relation, operand) => {
                present.is_some_and(|value| relation.holds(&Primitive::of(value), operand))
            }
            Op::Between(low, high) => present.is_some_and(|value| {
                let value = Primitive::of(value);
                Relation::Gte.holds(&value, low) && Relation::Lte.holds(&value, high)
            }),
            Op::In(set) => set.contains(value, budget),
            Op::Nin(set) => !set.contains(value, budget),
            Op::Contains(part) => match present.and_then(plain_text) {
                Some(plain) => {
                    let longer = plain.len().max(part.len());
                    budget.spend(longer.div_ceil(TEXT_STEP) as u64).is_ok()
                        && contains_ascii(plain, part.as_bytes())
                }
                None => text(part).is_some_and(|text| contains_lowercase(&text, part)),
            },
            Op::StartsWith(part) => text(part).is_some_and(|text| text.starts_with(&**part)),
            Op::EndsWith(part) => text(part).is_some_and(|text| text.ends_with(&**part)),
            Op::Exists(wanted) => *wanted == present.is_some(),
        }
    }
}

/// Whether the text in lower case contains a part that is in lower case.
fn contains_lowercase(text: &str, part: &str) -> bool {
    match text.is_ascii() {
        true => contains_ascii(text.as_bytes(), part.as_bytes()),
        false => text.to_lowercase().contains(part),
    }
}

/// The characters of a string that is ASCII and has nothing escaped: most are.
fn plain_text(value: Raw<'_>) -> Option<&[u8]> {
    let inside = value.text().as_bytes().strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    let odd = inside.iter().fold(0, |odd, byte| odd | (byte & 0x80) | u8::from(*byte == b'\\'));
    (odd == 0).then_some(inside)
}

/// Whether ASCII text contains a part that is in lower case.
fn contains_ascii(text: &[u8], part: &[u8]) -> bool {
    let Some((first, rest)) = part.split_first() else { return true };
    let begins = |byte: &u8| byte.to_ascii_lowercase() == *first;
    let Some(last) = text.len().checked_sub(part.len()) else { return false };
    let places = text.get(..=last).unwrap_or_default();
    for (at, chunk) in places.chunks(16).enumerate() {
        // All at once, without leaving early: that is what is fast.
        if !chunk.iter().fold(false, |found, byte| found | begins(byte)) {
            continue;
        }
        for (offset, _) in chunk.iter().enumerate().filter(|(_, byte)| begins(byte)) {
            let behind = text.get(at * 16 + offset + 1..).and_then(|text| text.get(..rest.len()));
            if behind.is_some_and(|behind| behind.eq_ignore_ascii_case(rest)) {
                return true;
            }
        }
    }
    false
}

impl Relation {
    fn holds(self, value: &Primitive<'_>, operand: &Primitive<'_>) -> bool {
        value.compare(operand).is_some_and(|order| match self {
            Relation::Gt => order.is_gt(),
            Relation::Gte => order.is_ge(),
            Relation::Lt => order.is_lt(),
            Relation::Lte => order.is_le(),
        })
    }
}
