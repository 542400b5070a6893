//! Conditions: compiled from their definitions, evaluated against a scope.

use std::borrow::Cow;

use crate::json::Json;
use crate::store::pattern::Pattern as Expression;

use super::reference::{Operand, Reference, Scope, Template};
use super::regexes::{self, RegexCache};
use super::report::shown;
use super::value::Path;

/// Where the left side comes from.
#[derive(Clone, Debug)]
enum Source {
    Event(Path),
    Fact(Template),
    Context(Box<str>, Option<Path>),
    Lookup(Box<str>, Option<Path>),
    /// No baselines are kept: always missing.
    Baseline,
}

impl Source {
    /// As people would write it.
    fn described(&self, scope: Scope<'_>) -> String {
        let path = |name: &str, path: &Option<Path>| match path {
            Some(path) => format!("{name}.{}", path.text()),
            None => name.to_owned(),
        };
        match self {
            Source::Event(path) => format!("event.{}", path.text()),
            Source::Fact(pattern) => {
                format!("fact {}", scope.text(pattern).unwrap_or_default())
            }
            Source::Context(name, of) => format!("context {}", path(name, of)),
            Source::Lookup(name, of) => format!("lookup {}", path(name, of)),
            Source::Baseline => "baseline".into(),
        }
    }
}

/// The operators by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Eq,
    Neq,
    Gt,
    Gte,
    Lt,
    Lte,
    In,
    NotIn,
    Contains,
    NotContains,
    Matches,
    Exists,
    NotExists,
}

impl Operator {
    pub(super) const ALL: [(&'static str, Operator); 13] = [
        ("eq", Operator::Eq),
        ("neq", Operator::Neq),
        ("gt", Operator::Gt),
        ("gte", Operator::Gte),
        ("lt", Operator::Lt),
        ("lte", Operator::Lte),
        ("in", Operator::In),
        ("not_in", Operator::NotIn),
        ("contains", Operator::Contains),
        ("not_contains", Operator::NotContains),
        ("matches", Operator::Matches),
        ("exists", Operator::Exists),
        ("not_exists", Operator::NotExists),
    ];

    pub(super) fn from_name(name: &str) -> Option<Operator> {
        Self::ALL.iter().find(|(have, _)| *have == name).map(|(_, operator)| *operator)
    }
}

/// The right side.
#[derive(Clone, Debug)]
enum Value {
    Operand(Operand),
    /// A literal expression, compiled once; `None` if it cannot be.
    Expression(Option<Expression>),
    Missing,
}

#[derive(Clone, Debug)]
pub(super) struct Condition {
    source: Source,
    operator: Operator,
    value: Value,
}

impl Condition {
    /// Compiles a validated definition.
    pub(super) fn compile(definition: &Json) -> Result<Condition, String> {
        let malformed = || "malformed condition".to_owned();
        let source = definition.get("source").ok_or_else(malformed)?;
        let text = |name: &str| source.get(name).and_then(Json::as_str);
        let named = |name: &str| match name.split_once('.') {
            Some((name, path)) => (Box::from(name), Some(Path::parse(path))),
            None => (Box::from(name), None),
        };
        let source = match (text("type"), text("field"), text("name")) {
            (Some("event"), Some(field), _) => Source::Event(Path::parse(field)),
            (Some("fact"), ..) => {
                Source::Fact(Template::parse(text("pattern").ok_or_else(malformed)?))
            }
            (Some("context"), ..) => {
                let (name, path) = named(text("key").ok_or_else(malformed)?);
                Source::Context(name, path)
            }
            (Some("lookup"), field, Some(name)) => {
                Source::Lookup(name.into(), field.map(Path::parse))
            }
            (Some("baseline"), ..) => Source::Baseline,
            _ => return Err(malformed()),
        };
        let operator = definition.get("operator").and_then(Json::as_str);
        let operator = operator.and_then(Operator::from_name).ok_or_else(malformed)?;
        let value = match definition.get("value") {
            None => Value::Missing,
            Some(Json::String(pattern)) if operator == Operator::Matches => {
                Value::Expression(regexes::compile(pattern).ok())
            }
            Some(value) => operand(value),
        };
        Ok(Condition { source, operator, value })
    }

    /// What it compares, for people: where from, how, and both sides.
    pub(super) fn describe(&self, scope: Scope<'_>) -> Vec<(&'static str, Json)> {
        let actual = self.left(scope).ok().flatten();
        let wanted = match &self.value {
            Value::Operand(operand) => operand.resolve(scope).ok().flatten(),
            Value::Missing | Value::Expression(_) => None,
        };
        let named = Operator::ALL.iter().find(|(_, operator)| *operator == self.operator);
        vec![
            ("source", Json::from(self.source.described(scope))),
            ("operator", Json::from(named.map_or("", |(name, _)| name))),
            ("actual", shown(actual.as_deref())),
            ("wanted", shown(wanted.as_deref())),
        ]
    }

    pub(super) fn holds(&self, scope: Scope<'_>, regexes: &mut RegexCache) -> Result<bool, String> {
        let left = self.left(scope)?;
        let left = left.as_deref();
        self.charge(left, scope);
        let operand = match &self.value {
            Value::Operand(operand) => operand.resolve(scope)?,
            Value::Missing => None,
            Value::Expression(expression) => {
                let matches = |expression: &Expression| {
                    left.and_then(Json::as_str).is_some_and(|text| expression.is_linear_match(text))
                };
                return Ok(expression.as_ref().is_some_and(matches));
            }
        };
        self.charge(operand.as_deref(), scope);
        if self.operator == Operator::Matches
            && let Some(pattern) = operand.as_deref().and_then(Json::as_str)
            && !regexes.knows(pattern)
        {
            let steps = usize::try_from(regexes::cost(pattern)).unwrap_or(usize::MAX);
            if !scope.cause.budget.take_steps(steps) {
                return Ok(false);
            }
        }
        Ok(compare(self.operator, left, operand.as_deref(), regexes))
    }

    /// What it costs to search a side.
    fn charge(&self, side: Option<&Json>, scope: Scope<'_>) {
        match (side, self.operator) {
            (_, Operator::Exists | Operator::NotExists) => {}
            (Some(Json::String(text)), _) => scope.cause.budget.take_bytes(text.len()),
            (Some(Json::Array(elements)), _) => scope.cause.budget.take_looks(elements.len()),
            _ => {}
        }
    }

    fn left<'a>(&self, scope: Scope<'a>) -> Result<Option<Cow<'a, Json>>, String> {
        Ok(match &self.source {
            Source::Event(path) => scope.cause.data.find(path),
            Source::Fact(pattern) => {
                let (fact, looked_at) = scope.facts.first(&scope.text(pattern)?);
                scope.cause.budget.take_looks(looked_at);
                fact.and_then(|fact| scope.read(fact)).map(Cow::Owned)
            }
            Source::Context(name, path) => {
                scope.resolve(&Reference::Var(name.clone(), path.clone()))?
            }
            Source::Lookup(name, path) => {
                scope.resolve(&Reference::Lookup(name.clone(), path.clone()))?
            }
            Source::Baseline => None,
        })
    }
}

/// Here, unlike in actions, an object with a `ref` to an unknown source stands
/// for itself, and `baseline` is a source that has nothing.
fn operand(value: &Json) -> Value {
    match Operand::new(value) {
        Operand::Reference(Reference::Unknown(source)) if &*source == "baseline" => Value::Missing,
        Operand::Reference(Reference::Unknown(_)) => {
            Value::Operand(Operand::Literal(value.clone()))
        }
        operand => Value::Operand(operand),
    }
}

/// `None` is a missing value. Equality is deep; missing equals missing only.
fn compare(
    operator: Operator,
    left: Option<&Json>,
    right: Option<&Json>,
    regexes: &mut RegexCache,
) -> bool {
    let numbers = |relation: fn(&f64, &f64) -> bool| {
        let left = left.and_then(Json::as_number);
        let right = right.and_then(Json::as_number);
        left.zip(right).is_some_and(|(left, right)| relation(&left, &right))
    };
    let elements = right.and_then(Json::as_array);
    let among = |elements: &[Json]| left.is_some_and(|left| elements.contains(left));
    match operator {
        Operator::Eq => left == right,
        Operator::Neq => left != right,
        Operator::Gt => numbers(f64::gt),
        Operator::Gte => numbers(f64::ge),
        Operator::Lt => numbers(f64::lt),
        Operator::Lte => numbers(f64::le),
        Operator::In => elements.is_some_and(among),
        Operator::NotIn => elements.is_some_and(|elements| !among(elements)),
        Operator::Contains => contains(left, right).unwrap_or(false),
        Operator::NotContains => !contains(left, right).unwrap_or(false),
        Operator::Matches => {
            let left = left.and_then(Json::as_str);
            let right = right.and_then(Json::as_str);
            left.zip(right).is_some_and(|(text, pattern)| regexes.is_match(pattern, text))
        }
        Operator::Exists => left.is_some_and(|value| !value.is_null()),
        Operator::NotExists => left.is_none_or(Json::is_null),
    }
}

/// `None` when the left side cannot contain anything.
fn contains(left: Option<&Json>, right: Option<&Json>) -> Option<bool> {
    match (left?, right) {
        (Json::String(text), Some(Json::String(part))) => Some(text.contains(&**part)),
        (Json::Array(elements), Some(value)) => Some(elements.contains(value)),
        (Json::Array(_), None) => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::cause::Cause;
    use super::super::event::{Budget, Event};
    use super::super::facts::{Facts, Source};
    use super::super::reference::Vars;
    use super::*;
    use crate::json::parse;

    fn json(text: &str) -> Json {
        parse(text, 64).expect("valid").to_json()
    }

    fn holds_with(data: &str, condition: &str, facts: &Facts, vars: &Vars) -> Result<bool, String> {
        let event = Arc::new(Event {
            id: "e".into(),
            topic: "t".into(),
            data: Arc::new(json(data)),
            timestamp: 0,
            correlation_id: None,
            causation_id: None,
            source: Source::Api,
        });
        let cause = Cause::event(&event, 1, &Budget::new(1, &crate::budget::Budget::unlimited()));
        let scope = Scope { cause: &cause, facts, vars, lookups: &[] };
        let condition = Condition::compile(&json(condition)).expect("compiles");
        condition.holds(scope, &mut RegexCache::default())
    }

    fn holds(data: &str, operator: &str, value: &str) -> bool {
        let condition = format!(
            r#"{{"source":{{"type":"event","field":"v"}},"operator":"{operator}","value":{value}}}"#
        );
        holds_with(data, &condition, &Facts::default(), &Vars::default()).expect("evaluates")
    }

    #[test]
    fn operators() {
        let v = |value: &str| format!(r#"{{"v":{value}}}"#);
        for (left, operator, right, expected) in [
            (v("1"), "eq", "1.0", true),
            (v("1"), "eq", "\"1\"", false),
            ("{}".into(), "eq", "null", false),
            (v("null"), "eq", "null", true),
            (v(r#"{"a":[1],"b":2}"#), "eq", r#"{"b":2,"a":[1.0]}"#, true),
            (v("[1,2]"), "eq", "[2,1]", false),
            ("{}".into(), "neq", "1", true),
            (v("1"), "neq", "1", false),
            ("{}".into(), "neq", r#"{"ref":"event.gone"}"#, false),
            ("{}".into(), "eq", r#"{"ref":"event.gone"}"#, true),
            (v("2"), "gt", "1", true),
            (v("\"b\""), "gt", "\"a\"", false),
            (v("2"), "gte", "2", true),
            (v("2"), "lt", "\"3\"", false),
            (v("2"), "lte", "2", true),
            (v("true"), "gt", "0", false),
            (v("1"), "in", "[1,\"b\"]", true),
            (v("[1]"), "in", "[[1.0]]", true),
            (v("1"), "in", "1", false),
            ("{}".into(), "in", "[null]", false),
            ("{}".into(), "not_in", "[1]", true),
            (v("1"), "not_in", "[1]", false),
            (v("1"), "not_in", "\"x\"", false),
            (v("\"abc\""), "contains", "\"b\"", true),
            (v("[1,{\"a\":2}]"), "contains", "{\"a\":2}", true),
            (v("\"a1\""), "contains", "1", false),
            (v("5"), "contains", "5", false),
            ("{}".into(), "contains", "\"b\"", false),
            ("{}".into(), "not_contains", "\"b\"", true),
            (v("\"abc\""), "not_contains", "\"b\"", false),
            (v("[1]"), "not_contains", "2", true),
            (v("5"), "not_contains", "5", true),
            (v("\"xabcx\""), "matches", "\"a.c\"", true),
            (v("\"abc\""), "matches", "\"^B\"", false),
            (v("\"abc\""), "matches", "\"(\"", false),
            (v("12"), "matches", "\"1\"", false),
            (v(r#""ab","p":"^a""#), "matches", r#"{"ref":"event.p"}"#, true),
            (v("0"), "exists", "null", true),
            (v("null"), "exists", "null", false),
            ("{}".into(), "not_exists", "null", true),
            (v("null"), "not_exists", "null", true),
            (v("\"\""), "not_exists", "null", false),
        ] {
            assert_eq!(holds(&left, operator, right), expected, "{left} {operator} {right}");
        }
    }

    #[test]
    fn right_sides() {
        let data = r#"{"v":5,"w":5,"":7,"u":{"ref":"no.such"}}"#;
        for (value, expected) in [
            (r#"{"ref":"event.w"}"#, true),
            (r#"{"ref":"trigger.w","x":1}"#, true),
            (r#"{"ref":"matched.0.w"}"#, true),
            (r#"{"ref":5}"#, false),
            (r#"{"ref":"no.such"}"#, false),
            (r#"{"ref":"baseline.x"}"#, false),
            (r#"{"ref":"event."}"#, false),
            (r#"[{"ref":"event.w"}]"#, false),
        ] {
            assert_eq!(holds(data, "eq", value), expected, "{value}");
        }
        // An unknown source stands for the object itself.
        let itself =
            r#"{"source":{"type":"event","field":"u"},"operator":"eq","value":{"ref":"no.such"}}"#;
        assert_eq!(holds_with(data, itself, &Facts::default(), &Vars::default()), Ok(true));
    }

    #[test]
    fn left_sides() {
        let mut facts = Facts::default();
        facts.set("limit:b", Some(&json("9")), 0, Source::Api);
        facts.set("limit:a", Some(&json("3")), 0, Source::Api);
        let mut vars = Vars::default();
        vars.push(&"line".into(), json(r#"{"n":{"m":4}}"#));
        let eq = |source: &str, value: &str| {
            let condition = format!(r#"{{"source":{source},"operator":"eq","value":{value}}}"#);
            holds_with(r#"{"id":"a","":1}"#, &condition, &facts, &vars)
        };
        assert_eq!(eq(r#"{"type":"fact","pattern":"limit:${event.id}"}"#, "3"), Ok(true));
        // The first in the order of insertion.
        assert_eq!(eq(r#"{"type":"fact","pattern":"limit:*"}"#, "9"), Ok(true));
        assert_eq!(eq(r#"{"type":"fact","pattern":"none"}"#, "null"), Ok(false));
        assert_eq!(eq(r#"{"type":"context","key":"line.n.m"}"#, "4"), Ok(true));
        assert_eq!(eq(r#"{"type":"context","key":"other"}"#, "4"), Ok(false));
        assert_eq!(eq(r#"{"type":"event","field":""}"#, "1"), Ok(true));
        assert_eq!(eq(r#"{"type":"baseline","metric":"m","comparison":"above"}"#, "1"), Ok(false));
        assert_eq!(
            eq(r#"{"type":"fact","pattern":"${env.X}"}"#, "1"),
            Err("Unknown reference source: env".to_owned())
        );
    }
}
