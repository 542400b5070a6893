//! Evaluation: a value for every node, without errors.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::date::Date;
use super::ops::Operator;
use super::round::round;
use super::value::Value;
use super::{Cx, Node, Place, Record, Source};
use crate::json::js::is_white_space;
use crate::json::{Json, Kind};

impl Node {
    pub(super) fn evaluate<'a>(&'a self, cx: &Cx<'a>) -> Value<'a> {
        if cx.budget.spend(1).is_err() {
            return Value::Null;
        }
        match self {
            Node::Constant(json) => Value::of_json(json),
            Node::Reference(place) => place.read(cx),
            Node::Aggregate(at) => cx.aggregates.get(*at).map_or(Value::Null, Value::of_json),
            Node::OneOf(wanted, list) => {
                let wanted = wanted.evaluate(cx);
                Value::Bool(list.iter().any(|element| equal(&wanted, &element.evaluate(cx), cx)))
            }
            Node::Call(operator, args) => call(*operator, args, cx),
        }
    }
}

impl Place {
    /// The value that is there.
    pub fn read<'a>(&'a self, cx: &Cx<'a>) -> Value<'a> {
        let value = match self.source {
            Source::Computed(at) => cx.computed.get(at).map_or(Value::Null, Value::of_json),
            Source::Record(at) => match cx.records.get(at) {
                None => Value::Null,
                Some(Record::Row(row)) => match &self.field {
                    None => Value::of(row.raw()),
                    Some(field) => {
                        let (value, looked_at) = row.look_at(field);
                        if cx.budget.spend_text(looked_at).is_err() {
                            return Value::Null;
                        }
                        value.map_or(Value::Null, Value::of)
                    }
                },
                Some(Record::Raw(raw)) => match &self.field {
                    None => Value::of(*raw),
                    Some(field) => {
                        if cx.budget.spend_text(raw.text().len()).is_err() {
                            return Value::Null;
                        }
                        raw.get(field.name()).map_or(Value::Null, Value::of)
                    }
                },
            },
        };
        self.rest.iter().fold(value, |value, name| {
            // Used up, it is null like everything else.
            let _ = cx.budget.spend_text(value.weight());
            value.member(name)
        })
    }
}

fn equal(a: &Value<'_>, b: &Value<'_>, cx: &Cx<'_>) -> bool {
    cx.budget.spend_text(a.weight().min(b.weight())).is_ok() && a.equals(b)
}

fn compare(a: &Value<'_>, b: &Value<'_>, cx: &Cx<'_>) -> Option<Ordering> {
    cx.budget.spend_text(a.weight().min(b.weight())).ok()?;
    a.compare(b)
}

fn holds(order: Option<Ordering>, test: fn(Ordering) -> bool) -> Value<'static> {
    Value::Bool(order.is_some_and(test))
}

/// Numbers, or nothing.
fn numbers<const N: usize>(args: &[Node], cx: &Cx<'_>) -> Option<[f64; N]> {
    let mut numbers = [0.0; N];
    for (place, arg) in numbers.iter_mut().zip(args) {
        *place = arg.evaluate(cx).as_number()?;
    }
    Some(numbers)
}

fn number(result: Option<f64>) -> Value<'static> {
    result.map_or(Value::Null, Value::number)
}

fn call<'a>(operator: Operator, args: &'a [Node], cx: &Cx<'a>) -> Value<'a> {
    use Operator as O;
    let arg = |at: usize| args.get(at).map_or(Value::Null, |arg| arg.evaluate(cx));
    let one = |f: fn(f64) -> f64| number(numbers(args, cx).map(|[a]| f(a)));
    let two = |f: fn(f64, f64) -> f64| number(numbers(args, cx).map(|[a, b]| f(a, b)));
    let ordered = |test| holds(compare(&arg(0), &arg(1), cx), test);
    match operator {
        O::Add => fold(args, cx, |a, b| a + b),
        O::Multiply => fold(args, cx, |a, b| a * b),
        O::Subtract => two(|a, b| a - b),
        O::Divide => two(|a, b| if b == 0.0 { f64::NAN } else { a / b }),
        O::Mod => two(|a, b| a % b),
        O::Abs => one(f64::abs),
        O::Floor => one(f64::floor),
        O::Ceil => one(f64::ceil),
        O::Round => {
            let decimals = if args.len() > 1 { arg(1) } else { Value::Number(0.0) };
            let both = arg(0).as_number().zip(decimals.as_number());
            number(both.and_then(|(number, decimals)| round(number, decimals)))
        }
        O::Eq => Value::Bool(equal(&arg(0), &arg(1), cx)),
        O::Neq => Value::Bool(!equal(&arg(0), &arg(1), cx)),
        O::Gt => ordered(Ordering::is_gt),
        O::Gte => ordered(Ordering::is_ge),
        O::Lt => ordered(Ordering::is_lt),
        O::Lte => ordered(Ordering::is_le),
        O::Between => {
            let (value, low, high) = (arg(0), arg(1), arg(2));
            let within = compare(&value, &low, cx).is_some_and(Ordering::is_ge)
                && compare(&value, &high, cx).is_some_and(Ordering::is_le);
            Value::Bool(within)
        }
        O::In => Value::Bool(is_element(&arg(0), &arg(1), cx)),
        O::And => Value::Bool(args.iter().all(|arg| arg.evaluate(cx).is_true())),
        O::Or => Value::Bool(args.iter().any(|arg| arg.evaluate(cx).is_true())),
        O::Not => Value::Bool(!arg(0).is_true()),
        O::Cond => arg(if arg(0).is_true() { 1 } else { 2 }),
        O::Now => Value::number(cx.now),
        O::Year | O::Month | O::Day => number(Date::of(&arg(0)).map(|date| {
            let civil = date.civil();
            match operator {
                O::Year => civil.year as f64,
                O::Month => civil.month as f64,
                _ => civil.day as f64,
            }
        })),
        O::DaysBetween => {
            let both = Date::of(&arg(0)).zip(Date::of(&arg(1)));
            number(both.map(|(from, to)| from.days_until(to)))
        }
        O::DateAdd => {
            let (count, unit) = (arg(1).as_number(), arg(2));
            let date = Date::of(&arg(0)).zip(count).zip(unit.as_text());
            date.and_then(|((date, count), unit)| date.plus(count, unit)).unwrap_or(Value::Null)
        }
        O::Concat => concat(args, cx),
        O::Upper => changed(arg(0), cx, |text| Cow::Owned(text.to_uppercase())),
        O::Lower => changed(arg(0), cx, |text| Cow::Owned(text.to_lowercase())),
        O::Trim => trim(arg(0), cx),
        O::Length => length(&arg(0), cx),
        O::Substring => {
            let count = if args.len() > 2 { Some(arg(2)) } else { None };
            substring(&arg(0), &arg(1), count.as_ref(), cx).unwrap_or(Value::Null)
        }
        // Constants and aggregates are nodes of their own.
        O::Literal | O::Sum | O::Avg | O::Min | O::Max | O::Count => Value::Null,
    }
}

fn fold<'a>(args: &'a [Node], cx: &Cx<'a>, f: fn(f64, f64) -> f64) -> Value<'static> {
    let mut result: Option<f64> = None;
    for arg in args {
        let Some(next) = arg.evaluate(cx).as_number() else { return Value::Null };
        result = Some(result.map_or(next, |result| f(result, next)));
    }
    number(result)
}

fn is_element(wanted: &Value<'_>, list: &Value<'_>, cx: &Cx<'_>) -> bool {
    let is = |element: Value<'_>| cx.budget.spend(1).is_ok() && equal(wanted, &element, cx);
    match list {
        Value::Raw(raw) if raw.kind() == Kind::Array => {
            cx.budget.spend_text(raw.text().len()).is_ok()
                && raw.elements().any(|element| is(Value::of(element)))
        }
        Value::Tree(tree) => match tree.as_ref() {
            Json::Array(elements) => elements.iter().any(|element| is(Value::of_json(element))),
            _ => false,
        },
        _ => false,
    }
}

fn concat<'a>(args: &'a [Node], cx: &Cx<'a>) -> Value<'a> {
    let mut out = String::new();
    for arg in args {
        let value = arg.evaluate(cx);
        if cx.budget.spend_text(value.weight()).is_err() {
            return Value::Null;
        }
        value.write_text(&mut out);
    }
    Value::Text(out.into())
}

/// A text made of another.
fn changed<'a>(
    value: Value<'a>,
    cx: &Cx<'_>,
    change: impl FnOnce(&str) -> Cow<'a, str>,
) -> Value<'a> {
    match &value {
        Value::Text(text) if cx.budget.spend_text(text.len()).is_ok() => Value::Text(change(text)),
        _ => Value::Null,
    }
}

/// `White_Space` of Unicode with U+FEFF and without U+0085.
fn trim<'a>(value: Value<'a>, cx: &Cx<'_>) -> Value<'a> {
    match value {
        Value::Text(text) if cx.budget.spend_text(text.len()).is_ok() => Value::Text(match text {
            Cow::Borrowed(text) => Cow::Borrowed(text.trim_matches(is_white_space)),
            Cow::Owned(text) => Cow::Owned(text.trim_matches(is_white_space).to_owned()),
        }),
        _ => Value::Null,
    }
}

fn length(value: &Value<'_>, cx: &Cx<'_>) -> Value<'static> {
    if cx.budget.spend_text(value.weight()).is_err() {
        return Value::Null;
    }
    let length = match value {
        Value::Text(text) => text.chars().count(),
        Value::Raw(raw) if raw.kind() == Kind::Array => raw.elements().count(),
        Value::Tree(tree) => match tree.as_array() {
            Some(elements) => elements.len(),
            None => return Value::Null,
        },
        _ => return Value::Null,
    };
    Value::Number(length as f64)
}

fn substring<'a>(
    text: &Value<'a>,
    start: &Value<'_>,
    count: Option<&Value<'_>>,
    cx: &Cx<'_>,
) -> Option<Value<'a>> {
    let Value::Text(text) = text else { return None };
    let start = start.as_number()?.trunc();
    let count = match count {
        // Counts beyond the range of `usize` saturate, and mean everything.
        Some(count) => count.as_number()?.trunc().max(0.0) as usize,
        None => usize::MAX,
    };
    cx.budget.spend_text(text.len()).ok()?;
    let skipped = match start < 0.0 {
        true => (text.chars().count() as f64 + start).max(0.0),
        false => start,
    };
    let from = byte_of(text, skipped as usize);
    let rest = text.get(from..).unwrap_or_default();
    let to = from + byte_of(rest, count);
    Some(Value::Text(match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.get(from..to).unwrap_or_default()),
        Cow::Owned(text) => Cow::Owned(text.get(from..to).unwrap_or_default().to_owned()),
    }))
}

/// Where the character with this number begins; the end if there is none.
fn byte_of(text: &str, at: usize) -> usize {
    text.char_indices().nth(at).map_or(text.len(), |(byte, _)| byte)
}
