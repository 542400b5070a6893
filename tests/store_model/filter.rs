//! Filters as the specification words them, over trees, without any compiling.

use noexd::json::{Json, Object};

pub fn is_scalar(value: &Json) -> bool {
    matches!(value, Json::Bool(_) | Json::Number(_) | Json::String(_))
}

/// Strict equality: objects and arrays equal nothing, absent equals nothing.
pub fn strictly_equal(a: Option<&Json>, b: &Json) -> bool {
    match (a, b) {
        (Some(Json::Null), Json::Null) => true,
        (Some(a), b) => is_scalar(a) && is_scalar(b) && a == b,
        (None, _) => false,
    }
}

/// `String(value)`.
pub fn text_of(value: &Json) -> String {
    match value {
        Json::String(text) => text.to_string(),
        Json::Object(_) => "[object Object]".into(),
        Json::Array(elements) => {
            let part = |element: &Json| {
                if element.is_null() { String::new() } else { text_of(element) }
            };
            elements.iter().map(part).collect::<Vec<_>>().join(",")
        }
        other => other.to_text(),
    }
}

/// `Number(value)` for the values that these tests use.
fn number_of(value: &Json) -> f64 {
    match value {
        Json::Null => 0.0,
        Json::Bool(value) => f64::from(u8::from(*value)),
        Json::Number(number) => *number,
        other => {
            let text = text_of(other);
            let text = text.trim();
            if text.is_empty() { 0.0 } else { text.parse().unwrap_or(f64::NAN) }
        }
    }
}

/// Below zero, zero, above; `None` where every comparison is false.
fn compare(a: &Json, b: &Json) -> Option<i32> {
    let is_text =
        |value: &Json| matches!(value, Json::String(_) | Json::Array(_) | Json::Object(_));
    if is_text(a) && is_text(b) {
        let units = |value: &Json| text_of(value).encode_utf16().collect::<Vec<u16>>();
        return Some(units(a).cmp(&units(b)) as i32);
    }
    number_of(a).partial_cmp(&number_of(b)).map(|order| order as i32)
}

fn operator(name: &str, value: Option<&Json>, operand: &Json) -> bool {
    let present = value.filter(|value| !value.is_null());
    let compared = |holds: fn(i32) -> bool| {
        present.is_some_and(|value| compare(value, operand).is_some_and(holds))
    };
    let text = value.and_then(Json::as_str);
    let elements = operand.as_array().unwrap_or_default();
    match name {
        "$eq" => strictly_equal(value, operand),
        "$neq" => !strictly_equal(value, operand),
        "$gt" => compared(|order| order > 0),
        "$gte" => compared(|order| order >= 0),
        "$lt" => compared(|order| order < 0),
        "$lte" => compared(|order| order <= 0),
        "$in" => elements.iter().any(|element| strictly_equal(value, element)),
        "$nin" => !elements.iter().any(|element| strictly_equal(value, element)),
        "$contains" => text.is_some_and(|text| {
            text.to_lowercase().contains(&operand.as_str().unwrap_or_default().to_lowercase())
        }),
        "$startsWith" => text.is_some_and(|t| t.starts_with(operand.as_str().unwrap_or_default())),
        "$endsWith" => text.is_some_and(|t| t.ends_with(operand.as_str().unwrap_or_default())),
        "$exists" => operand.as_bool() == Some(present.is_some()),
        "$between" => {
            operator("$gte", value, &elements[0]) && operator("$lte", value, &elements[1])
        }
        other => panic!("{other} is not an operator"),
    }
}

fn is_operators(condition: &Json) -> bool {
    condition
        .as_object()
        .is_some_and(|object| !object.is_empty() && object.keys().all(|name| name.starts_with('$')))
}

/// What is wrong with a filter, as far as these tests go.
pub fn is_malformed(filter: &Object) -> bool {
    filter.iter().any(|(name, value)| match name {
        "$or" | "$and" => value.as_array().is_none_or(|filters| {
            filters.iter().any(|filter| filter.as_object().is_none_or(is_malformed))
        }),
        _ if is_operators(value) => value.as_object().is_some_and(|operators| {
            operators.iter().any(|(name, operand)| match name {
                "$eq" | "$neq" | "$gt" | "$gte" | "$lt" | "$lte" => false,
                "$in" | "$nin" => operand.as_array().is_none(),
                "$contains" | "$startsWith" | "$endsWith" => operand.as_str().is_none(),
                "$exists" => operand.as_bool().is_none(),
                "$between" => operand.as_array().is_none_or(|bounds| bounds.len() != 2),
                _ => true,
            })
        }),
        _ => false,
    })
}

pub fn matches(filter: &Object, record: &Object) -> bool {
    filter.iter().all(|(name, condition)| {
        let filters =
            || condition.as_array().unwrap_or_default().iter().filter_map(Json::as_object);
        match name {
            "$or" => filters().any(|filter| matches(filter, record)),
            "$and" => filters().all(|filter| matches(filter, record)),
            field if is_operators(condition) => condition
                .as_object()
                .is_some_and(|all| all.iter().all(|(op, o)| operator(op, record.get(field), o))),
            field => strictly_equal(record.get(field), condition),
        }
    })
}

/// The first plain condition on an indexed field, if an index can serve it.
pub fn served_by<'f>(filter: &'f Object, indexes: &[String]) -> Option<(&'f str, &'f Json)> {
    filter
        .iter()
        .find(|(name, value)| is_scalar(value) && indexes.iter().any(|index| index == name))
}
