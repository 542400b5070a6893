//! Aggregates of one set of members, maintained: count, sum, avg, min, max.

use super::definition::{Aggregate, Function};
use super::sum::{Extremes, NeedsColumn, Sum};
use crate::json::Raw;
use crate::store::{FieldRef, Layout, Row};

/// A member of a view: its place in candidate order, and its record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member<'r> {
    pub place: u64,
    pub row: &'r Row,
}

/// What a commit did to one record, as a view sees it: `None` where the record
/// is not among those that match.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MemberChange<'r> {
    pub old: Option<Member<'r>>,
    pub new: Option<Member<'r>>,
}

/// How a function is computed from records.
#[derive(Clone, Debug)]
pub(crate) struct Measure {
    pub function: Function,
    field: Option<FieldRef>,
    /// Sums keep their values as columns; see [`super::sum`].
    pub columns: bool,
}

impl Measure {
    pub fn new(aggregate: &Aggregate, layout: &Layout) -> Self {
        let field = match aggregate.function {
            Function::Count => None,
            _ => aggregate.field.as_ref().map(|name| layout.field(name)),
        };
        Measure { function: aggregate.function, field, columns: false }
    }

    /// The number that takes part; values of other types do not.
    pub fn number(&self, row: &Row) -> Option<f64> {
        row.field(self.field.as_ref()?).and_then(Raw::as_number)
    }

    pub fn accumulator(&self) -> Accumulator {
        match self.function {
            Function::Count => Accumulator::Count(0),
            Function::Sum | Function::Avg if self.columns => Accumulator::Sum(Sum::column()),
            Function::Sum | Function::Avg => Accumulator::Sum(Sum::exact()),
            Function::Min | Function::Max => Accumulator::Extremes(Extremes::default()),
        }
    }
}

/// What a function needs to know of a set of records.
#[derive(Debug)]
pub(crate) enum Accumulator {
    Count(usize),
    Sum(Sum),
    Extremes(Extremes),
}

impl Accumulator {
    pub fn change(
        &mut self,
        measure: &Measure,
        change: MemberChange<'_>,
    ) -> Result<(), NeedsColumn> {
        if let Accumulator::Count(count) = self {
            *count += usize::from(change.new.is_some());
            *count = count.saturating_sub(usize::from(change.old.is_some()));
            return Ok(());
        }
        let number = |member: Option<Member<'_>>| {
            member.and_then(|member| measure.number(member.row).map(|value| (member.place, value)))
        };
        let (old, new) = (number(change.old), number(change.new));
        // Bits, because a column must notice that 0 became -0.
        let bits = |value: Option<(u64, f64)>| value.map(|(place, v)| (place, v.to_bits()));
        if bits(old) == bits(new) {
            return Ok(());
        }
        match self {
            Accumulator::Count(_) => {}
            Accumulator::Sum(sum) => {
                if let Some((place, value)) = old {
                    sum.remove(place, value);
                }
                if let Some((place, value)) = new {
                    sum.insert(place, value)?;
                }
            }
            Accumulator::Extremes(extremes) => {
                if let Some((_, value)) = old {
                    extremes.remove(value);
                }
                if let Some((_, value)) = new {
                    extremes.insert(value);
                }
            }
        }
        Ok(())
    }

    /// The value; `None` for the extremes of nothing.
    pub fn value(&mut self, function: Function) -> Option<f64> {
        match (self, function) {
            (Accumulator::Count(count), _) => Some(*count as f64),
            (Accumulator::Sum(sum), Function::Avg) => {
                Some(if sum.count() == 0 { 0.0 } else { sum.total() / sum.count() as f64 })
            }
            (Accumulator::Sum(sum), _) => Some(sum.total()),
            (Accumulator::Extremes(extremes), Function::Min) => extremes.min(),
            (Accumulator::Extremes(extremes), _) => extremes.max(),
        }
    }

    pub fn memory(&self) -> usize {
        match self {
            Accumulator::Count(_) => 0,
            Accumulator::Sum(sum) => sum.memory(),
            Accumulator::Extremes(extremes) => extremes.memory(),
        }
    }
}

/// A view that is one number.
#[derive(Debug)]
pub(crate) struct ValueForm {
    measure: Measure,
    accumulator: Accumulator,
    value: Option<f64>,
}

impl ValueForm {
    pub fn new<'r>(measure: Measure, members: impl Iterator<Item = Member<'r>> + Clone) -> Self {
        let mut form = ValueForm { accumulator: measure.accumulator(), measure, value: None };
        if form.add_all(members.clone()).is_err() {
            form.measure.columns = true;
            form.accumulator = form.measure.accumulator();
            // A column takes every value.
            let _ = form.add_all(members);
        }
        form.value = form.accumulator.value(form.measure.function);
        form
    }

    fn add_all<'r>(
        &mut self,
        members: impl Iterator<Item = Member<'r>>,
    ) -> Result<(), NeedsColumn> {
        members.into_iter().try_for_each(|member| {
            self.accumulator.change(&self.measure, MemberChange { old: None, new: Some(member) })
        })
    }

    /// Whether the value is another one now.
    pub fn apply(&mut self, changes: &[MemberChange<'_>]) -> Result<bool, NeedsColumn> {
        for change in changes {
            self.accumulator.change(&self.measure, *change)?;
        }
        let value = self.accumulator.value(self.measure.function);
        let changed = !same_number(self.value, value);
        self.value = value;
        Ok(changed)
    }

    pub fn value(&self) -> Option<f64> {
        self.value
    }

    pub fn memory(&self) -> usize {
        self.accumulator.memory()
    }
}

/// Equal as results are: NaN equals NaN, 0 equals -0.
pub(crate) fn same_number(a: Option<f64>, b: Option<f64>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => a == b || (a.is_nan() && b.is_nan()),
        (None, None) => true,
        _ => false,
    }
}
