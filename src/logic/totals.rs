//! Running aggregates of one group: what a member adds can be taken out again.

use std::collections::BTreeMap;

use super::expr::{Aggregate, Argument, Cx, Function, Value};
use crate::json::Json;
use crate::query::order::text_bytes;
use crate::query::sum::{Sum, ordered_bits};

/// What one row contributes to each aggregate; null is nothing.
pub(super) type Parts = Box<[Json]>;

/// Evaluates the arguments of aggregates on one row.
pub(super) fn parts_of<'e>(aggregates: impl Iterator<Item = &'e Aggregate>, cx: &Cx<'_>) -> Parts {
    aggregates
        .map(|aggregate| match (&aggregate.argument, aggregate.function) {
            (Argument::Rows, _) => Json::Bool(true),
            (Argument::Of(_), function) => {
                match (function, aggregate.argument.evaluate(&shorter(cx))) {
                    (_, None | Some(Value::Null)) => Json::Null,
                    (Function::Count, Some(_)) => Json::Bool(true),
                    (_, Some(Value::Number(number))) => Json::Number(number),
                    (Function::Min | Function::Max, Some(Value::Text(text))) => Json::from(&*text),
                    (_, Some(_)) => Json::Null,
                }
            }
        })
        .collect()
}

/// The same, for the lifetime of the expression.
fn shorter<'a>(cx: &Cx<'a>) -> Cx<'a> {
    *cx
}

/// Any number is below any text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Extreme {
    Number(u64),
    Text(Box<[u8]>),
}

#[derive(Debug)]
enum Running {
    Count(usize),
    Sum {
        sum: Sum,
        is_average: bool,
        /// The exact sum could not take a value: it is added up anew.
        is_broken: bool,
    },
    Extreme {
        values: BTreeMap<Extreme, (Json, usize)>,
        is_max: bool,
    },
}

/// The aggregates of one group.
#[derive(Debug)]
pub(super) struct Totals(Box<[Running]>);

impl Totals {
    /// `placed`: every member comes with a place that orders it among the
    /// others, so that sums can be kept as they are added from first to last.
    pub fn new(functions: impl Iterator<Item = Function>, placed: bool) -> Self {
        let sum = || if placed { Sum::column() } else { Sum::exact() };
        let running = |function| match function {
            Function::Count => Running::Count(0),
            Function::Sum => Running::Sum { sum: sum(), is_average: false, is_broken: false },
            Function::Avg => Running::Sum { sum: sum(), is_average: true, is_broken: false },
            Function::Min => Running::Extreme { values: BTreeMap::new(), is_max: false },
            Function::Max => Running::Extreme { values: BTreeMap::new(), is_max: true },
        };
        Totals(functions.map(running).collect())
    }

    pub fn add(&mut self, place: u64, parts: &[Json]) {
        for (running, part) in self.0.iter_mut().zip(parts) {
            match running {
                Running::Count(count) => *count += usize::from(!part.is_null()),
                Running::Sum { sum, is_broken, .. } => {
                    if let (false, Some(number)) = (*is_broken, part.as_number()) {
                        *is_broken = sum.insert(place, number).is_err();
                    }
                }
                Running::Extreme { values, .. } => {
                    if let Some(key) = extreme(part) {
                        values.entry(key).or_insert_with(|| (part.clone(), 0)).1 += 1;
                    }
                }
            }
        }
    }

    pub fn remove(&mut self, place: u64, parts: &[Json]) {
        for (running, part) in self.0.iter_mut().zip(parts) {
            match running {
                Running::Count(count) => {
                    *count = count.saturating_sub(usize::from(!part.is_null()));
                }
                Running::Sum { sum, is_broken, .. } => {
                    if let (false, Some(number)) = (*is_broken, part.as_number()) {
                        sum.remove(place, number);
                    }
                }
                Running::Extreme { values, .. } => {
                    let Some(key) = extreme(part) else { continue };
                    if let Some((_, count)) = values.get_mut(&key) {
                        *count -= 1;
                        if *count == 0 {
                            values.remove(&key);
                        }
                    }
                }
            }
        }
    }

    /// The values; `members` gives the parts of all members from first to last,
    /// for a sum that has to be added up anew.
    pub fn values<'p, I>(&mut self, members: impl Fn() -> I) -> Vec<Json>
    where
        I: Iterator<Item = &'p Parts>,
    {
        let mut values = Vec::with_capacity(self.0.len());
        for (at, running) in self.0.iter_mut().enumerate() {
            values.push(match running {
                Running::Count(count) => Json::Number(*count as f64),
                Running::Sum { sum, is_average, is_broken } => {
                    let (total, count) = match *is_broken {
                        false => (sum.total(), sum.count()),
                        true => members()
                            .filter_map(|parts| parts.get(at)?.as_number())
                            .fold((0.0, 0), |(total, count), value| (total + value, count + 1)),
                    };
                    match (*is_average, count) {
                        (false, _) => Value::number(total).to_json(),
                        (true, 0) => Json::Null,
                        (true, count) => Value::number(total / count as f64).to_json(),
                    }
                }
                Running::Extreme { values, is_max } => {
                    let found =
                        if *is_max { values.last_key_value() } else { values.first_key_value() };
                    found.map_or(Json::Null, |(_, (value, _))| value.clone())
                }
            });
        }
        values
    }
}

fn extreme(part: &Json) -> Option<Extreme> {
    match part {
        Json::Number(number) => Some(Extreme::Number(ordered_bits(*number))),
        Json::String(text) => Some(Extreme::Text(text_bytes(text))),
        _ => None,
    }
}

/// The text of a value by which equal ones are found: the same for two values
/// exactly if they are deeply equal.
pub(super) fn group_key(value: &Value<'_>) -> Box<str> {
    let mut out = Vec::new();
    write_canonical(&value.to_json(), &mut out);
    String::from_utf8(out).unwrap_or_default().into()
}

fn write_canonical(json: &Json, out: &mut Vec<u8>) {
    match json {
        Json::Array(elements) => {
            out.push(b'[');
            for element in elements {
                write_canonical(element, out);
                out.push(b',');
            }
            out.push(b']');
        }
        Json::Object(object) => {
            let mut members: Vec<_> = object.iter().collect();
            members.sort_by_key(|(name, _)| *name);
            out.push(b'{');
            for (name, value) in members {
                crate::json::write_string(out, name);
                out.push(b':');
                write_canonical(value, out);
                out.push(b',');
            }
            out.push(b'}');
        }
        scalar => scalar.write(out),
    }
}
