//! The condition of an `if`.

use super::scope::{Piece, Scope, json_of, pieces};
use crate::budget::OverBudget;
use crate::json::Json;
use crate::json::js::Primitive;

#[derive(Clone, Debug)]
pub(crate) struct Condition {
    /// A path, without braces.
    path: Box<str>,
    operator: Box<str>,
    /// `None`: undefined.
    value: Option<Json>,
}

impl Condition {
    pub fn parse(condition: &Json) -> Condition {
        let text = |name: &str| condition.get(name).and_then(Json::as_str).unwrap_or_default();
        let written = text("ref");
        let path = match pieces(written).as_slice() {
            [Piece::Path(path)] => path,
            _ => written,
        };
        Condition {
            path: path.into(),
            operator: text("operator").into(),
            value: condition.get("value").cloned(),
        }
    }

    pub fn holds(&self, scope: &mut Scope) -> Result<bool, OverBudget> {
        let expected = match &self.value {
            Some(value) => json_of(&scope.fill(value)?),
            None => None,
        };
        let actual = scope.resolve(&self.path);
        let actual = actual.as_deref();
        let exists = actual.is_some_and(|value| !value.is_null());
        let compares = |wanted: fn(std::cmp::Ordering) -> bool| {
            let order = primitive(actual)?.compare(&primitive(expected.as_ref())?)?;
            Some(wanted(order))
        };
        Ok(match &*self.operator {
            "exists" => exists,
            "not_exists" => !exists,
            "eq" => is_same(actual, expected.as_ref()),
            "neq" => !is_same(actual, expected.as_ref()),
            "gt" => compares(std::cmp::Ordering::is_gt).unwrap_or(false),
            "gte" => compares(std::cmp::Ordering::is_ge).unwrap_or(false),
            "lt" => compares(std::cmp::Ordering::is_lt).unwrap_or(false),
            _ => compares(std::cmp::Ordering::is_le).unwrap_or(false),
        })
    }
}

/// By type and value; objects and arrays by content. NaN, which JSON does not
/// have, is no case.
fn is_same(actual: Option<&Json>, expected: Option<&Json>) -> bool {
    match (actual, expected) {
        (None, None) => true,
        (Some(a), Some(b)) => a == b,
        _ => false,
    }
}

/// What `<` compares. Undefined, objects and arrays compare with nothing.
fn primitive(value: Option<&Json>) -> Option<Primitive<'_>> {
    value.filter(|value| !matches!(value, Json::Array(_) | Json::Object(_))).map(Primitive::of_json)
}
