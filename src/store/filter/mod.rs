//! Filters, compiled once per query and evaluated per row without looking at
//! the filter's JSON again.
//!
//! Owns the meaning of `where`: structure, operators, JavaScript's comparisons.
//! Knows nothing of tables or indexes; it only tells which conditions an index
//! could serve.

mod compile;
mod look;
mod search;
mod term;

#[cfg(test)]
mod tests;

use std::cmp::Ordering;
use std::collections::HashSet;
use std::sync::Arc;

pub(crate) use compile::OPERATORS;
pub use term::{Substitute, Term};

use crate::budget::Budget;

use super::search::{Search, search_steps};
use super::{Bounds, FieldRef, Layout, Row};
use crate::json::js::Primitive;
use crate::json::{Json, Raw};
use crate::protocol::OpError;
use look::{Found, Look};

/// Characters of a text operator's longer side that are one step. A text is gone
/// through twice, once to its end and once to search it, so it is half of what a
/// step is elsewhere.
const TEXT_STEP: usize = 32;

/// A compiled filter.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    root: Group,
    /// What it asks for, each once, in the order of their first mention.
    fields: Box<[FieldRef]>,
    /// Another filter that must match too.
    also: Option<Arc<Filter>>,
}

/// Everything in one object of the filter must hold.
#[derive(Clone, Debug, Default)]
struct Group {
    conditions: Vec<Condition>,
    /// `$and`; empty holds.
    all: Vec<Group>,
    /// `$or`; empty does not hold.
    any: Option<Vec<Alternative>>,
}

/// Of those there may be tens of thousands, each looked at for each record: what
/// most of them are lies side by side.
#[derive(Clone, Debug)]
enum Alternative {
    One(Condition),
    Several(Box<Group>),
}

#[derive(Clone, Debug)]
struct Condition {
    /// Its place among the fields of this filter.
    field: u32,
    test: Test,
}

#[derive(Clone, Debug)]
enum Test {
    /// A plain value.
    Equals(Literal),
    /// A plain value that was not supplied: matches records without the field.
    Absent,
    Operator(Op),
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
    Between(Box<[Primitive<'static>; 2]>),
    In(Box<Set>),
    Nin(Box<Set>),
    /// In lower case.
    Contains(Box<str>),
    StartsWith(Box<str>),
    EndsWith(Box<str>),
    Exists(bool),
    Search(Box<Search>),
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
        conditions.is_empty() && all.is_empty() && any.is_none() && self.also.is_none()
    }

    /// Whether there is one condition at the top and nothing else, no empty list
    /// of alternatives either, which nothing matches.
    pub(in crate::store) fn is_one_condition(&self) -> bool {
        let Group { conditions, all, any } = &self.root;
        conditions.len() == 1 && all.is_empty() && any.is_none() && self.also.is_none()
    }

    /// This and another one. The order of the candidates stays that of this one,
    /// whatever index serves both together.
    #[must_use]
    pub fn and(self, other: &Arc<Filter>) -> Filter {
        let also = match self.also {
            None => Arc::clone(other),
            Some(also) => Arc::new((*also).clone().and(other)),
        };
        Filter { also: Some(also), ..self }
    }

    /// Whether another one must match too.
    pub(crate) fn is_narrowed(&self) -> bool {
        self.also.is_some()
    }

    /// This one, then those that must match too.
    fn parts(&self) -> impl Iterator<Item = &Filter> {
        std::iter::successors(Some(self), |part| part.also.as_deref())
    }

    /// False also where the budget ends before that is known.
    pub fn matches(&self, row: &Row, budget: &Budget) -> bool {
        self.parts().all(|part| part.root.matches(&mut Look::new(row, &part.fields, budget)))
    }

    /// How many conditions there are to be evaluated, without those of filters
    /// that must match too.
    pub fn conditions(&self) -> usize {
        self.root.count()
    }

    /// The plain conditions on a scalar at the top of the filter, in filter
    /// order: the field and the value in storage form. `null` is left out: no
    /// index has it.
    pub fn equalities(&self) -> impl Iterator<Item = (&FieldRef, &str)> {
        let equal = self.root.conditions.iter().filter_map(|condition| match &condition.test {
            Test::Equals(Literal::Scalar(text)) if **text != *"null" => {
                Some((condition.field, &**text))
            }
            _ => None,
        });
        equal.filter_map(|(field, text)| Some((self.field(field)?, text)))
    }

    fn field(&self, at: u32) -> Option<&FieldRef> {
        self.fields.get(at as usize)
    }

    /// The same, and those of the filters that must match too.
    pub(crate) fn all_equalities(&self) -> impl Iterator<Item = (&FieldRef, &str)> {
        self.parts().flat_map(Filter::equalities)
    }

    /// Whether no record can match: a plain condition on an object or an array.
    pub fn is_never(&self) -> bool {
        let nothing =
            |condition: &Condition| matches!(condition.test, Test::Equals(Literal::Nothing));
        self.parts().any(|part| part.root.conditions.iter().any(nothing))
    }
}

/// What the conditions on one field, taken together, ask for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Wanted<'f> {
    /// One of these values, in storage form.
    OneOf(Vec<&'f str>),
    Within(Bounds),
    /// With these words.
    Words(&'f Search),
}

impl Filter {
    /// Conditions that every match must fulfil and that an index on their field
    /// can serve, in whatever order: equality, `$in`, comparisons.
    pub(crate) fn wanted(&self) -> Vec<(&FieldRef, Wanted<'_>)> {
        let mut all = Vec::new();
        for part in self.parts() {
            let mut wanted = Vec::new();
            part.root.wanted(&mut wanted);
            let named = wanted.into_iter().filter_map(|(at, what)| Some((part.field(at)?, what)));
            all.extend(named);
        }
        all
    }
}

impl Filter {
    /// Whether it is a conjunction that asks for these fields only.
    pub(crate) fn is_only_about(&self, fields: &[&str]) -> bool {
        self.parts().all(|part| {
            part.root.is_conjunction()
                && part.fields.iter().all(|field| fields.contains(&field.name()))
        })
    }
}

impl Group {
    fn is_conjunction(&self) -> bool {
        self.any.is_none() && self.all.iter().all(Group::is_conjunction)
    }

    fn wanted<'f>(&'f self, wanted: &mut Vec<(u32, Wanted<'f>)>) {
        for condition in &self.conditions {
            wanted.extend(condition.wanted().map(|what| (condition.field, what)));
        }
        self.all.iter().for_each(|group| group.wanted(wanted));
    }

    fn count(&self) -> usize {
        let own: usize = self.conditions.iter().map(Condition::count).sum();
        let any = self.any.iter().flatten().map(|alternative| match alternative {
            Alternative::One(condition) => condition.count(),
            Alternative::Several(group) => group.count(),
        });
        own + self.all.iter().map(Group::count).chain(any).sum::<usize>()
    }

    fn matches(&self, look: &mut Look<'_>) -> bool {
        self.conditions.iter().all(|condition| condition.matches(look))
            && self.all.iter().all(|group| group.is_paid(look) && group.matches(look))
            && self.any.as_ref().is_none_or(|any| {
                any.iter().any(|alternative| match alternative {
                    Alternative::One(condition) => condition.matches(look),
                    Alternative::Several(group) => group.is_paid(look) && group.matches(look),
                })
            })
    }

    /// Inside of another, also a group without conditions of its own is work.
    fn is_paid(&self, look: &Look<'_>) -> bool {
        !self.conditions.is_empty() || look.budget().spend(1).is_ok()
    }
}

impl Condition {
    fn wanted(&self) -> Option<Wanted<'_>> {
        let indexed = |text: &str| text != "null";
        let operators = match &self.test {
            Test::Equals(Literal::Scalar(text)) if indexed(text) => {
                return Some(Wanted::OneOf(vec![text]));
            }
            Test::Operator(operator) => std::slice::from_ref(operator),
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
        let search = operators.iter().find_map(|operator| match operator {
            Op::Search(search) if search.beginning().is_some() => Some(search),
            _ => None,
        });
        if let Some(search) = search {
            return Some(Wanted::Words(search));
        }
        let mut bounds = Bounds::none();
        for operator in operators {
            match operator {
                Op::Compare(Relation::Gt | Relation::Gte, operand) => bounds.at_least(operand),
                Op::Compare(Relation::Lt | Relation::Lte, operand) => bounds.at_most(operand),
                Op::Between(both) => {
                    let [low, high] = &**both;
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
            Test::Equals(_) | Test::Absent | Test::Operator(_) => 1,
            Test::Operators(operators) => operators.len(),
        }
    }

    fn matches(&self, look: &mut Look<'_>) -> bool {
        let budget = look.budget();
        look.at(self.field).is_some_and(|found| self.test.holds(found, budget))
    }
}

impl Test {
    fn holds(&self, found: &mut Found<'_>, budget: &Budget) -> bool {
        match self {
            Test::Equals(literal) => budget.spend(1).is_ok() && literal.equals(found, budget),
            Test::Absent => budget.spend(1).is_ok() && found.value().is_none(),
            Test::Operator(operator) => {
                operator.is_paid(found, budget) && operator.holds(found, budget)
            }
            Test::Operators(operators) => operators
                .iter()
                .all(|operator| operator.is_paid(found, budget) && operator.holds(found, budget)),
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
        // What is there of the field is at hand: to search it no index is needed.
        compile::condition(path, &Term::of_json(operand), true).map(Operand)
    }

    /// Whether a value in storage form is as it asks.
    pub fn holds(&self, value: Option<Raw<'_>>, budget: &Budget) -> bool {
        self.0.holds(&mut Found::of(value), budget)
    }
}

impl Literal {
    /// Rows hold their values in storage form, so equal text is all it takes.
    fn equals(&self, found: &Found<'_>, budget: &Budget) -> bool {
        match (self, found.value()) {
            (Literal::Scalar(text), Some(value)) if text.len() == value.text().len() => {
                budget.spend_text_bytes(text.len()).is_ok() && **text == *value.text()
            }
            _ => false,
        }
    }
}

impl Set {
    /// `None`: the budget ended before that was known.
    fn contains(&self, found: &Found<'_>, budget: &Budget) -> Option<bool> {
        let Some(value) = found.value() else { return Some(self.absent) };
        let text = value.text();
        match &self.table {
            Some(table) => {
                // It is made a number first.
                budget.spend(text.len() as u64 / 16).ok()?;
                Some(table.contains(text))
            }
            None => {
                let at = self.texts.iter().position(|have| **have == *text);
                // One is paid for by the condition.
                let looked_at = at.unwrap_or(self.texts.len().saturating_sub(1));
                budget.spend(looked_at as u64).ok()?;
                budget.spend_text_bytes(looked_at.saturating_mul(text.len())).ok()?;
                Some(at.is_some())
            }
        }
    }
}

impl Op {
    /// A condition is a step, and a text that is looked through is some more: paid
    /// for at once, because there is nothing that is done more often.
    #[inline]
    fn is_paid(&self, found: &Found<'_>, budget: &Budget) -> bool {
        let more = match self {
            Op::Contains(part) | Op::StartsWith(part) | Op::EndsWith(part) => found
                .string()
                .map_or(0, |text| text.text().len().max(part.len()).div_ceil(TEXT_STEP)),
            _ => 0,
        };
        budget.spend(1 + more as u64).is_ok()
    }

    fn holds<'r>(&self, found: &mut Found<'r>, budget: &Budget) -> bool {
        match self {
            Op::Eq(literal) => literal.equals(found, budget),
            Op::Neq(literal) => !literal.equals(found, budget),
            Op::Compare(relation, operand) => found
                .primitive(budget)
                .is_some_and(|value| relation.holds(compare(value, operand, budget))),
            Op::Between(both) => found.primitive(budget).is_some_and(|value| {
                let [low, high] = &**both;
                Relation::Gte.holds(compare(value, low, budget))
                    && Relation::Lte.holds(compare(value, high, budget))
            }),
            Op::In(set) => set.contains(found, budget) == Some(true),
            Op::Nin(set) => set.contains(found, budget) == Some(false),
            Op::Contains(part) => found.text(budget).is_some_and(|text| text.contains(part)),
            Op::StartsWith(part) => {
                found.decoded(budget).is_some_and(|text| text.starts_with(&**part))
            }
            Op::EndsWith(part) => found.decoded(budget).is_some_and(|text| text.ends_with(&**part)),
            Op::Exists(wanted) => *wanted == found.present().is_some(),
            Op::Search(search) => found.present().is_some_and(|value| {
                budget.spend(search_steps(value.text().len())).is_ok() && search.matches(value)
            }),
        }
    }
}

/// As JavaScript does, which may go through both texts, or read one as a number.
fn compare(value: &Primitive<'_>, operand: &Primitive<'_>, budget: &Budget) -> Option<Ordering> {
    let chars = match (value, operand) {
        (Primitive::String(a), Primitive::String(b)) => a.len().min(b.len()),
        (Primitive::String(text), _) | (_, Primitive::String(text)) => text.len().saturating_mul(8),
        _ => 0,
    };
    budget.spend_text(chars).ok()?;
    value.compare(operand)
}

impl Relation {
    fn holds(self, order: Option<Ordering>) -> bool {
        order.is_some_and(|order| match self {
            Relation::Gt => order.is_gt(),
            Relation::Gte => order.is_ge(),
            Relation::Lt => order.is_lt(),
            Relation::Lte => order.is_le(),
        })
    }
}
