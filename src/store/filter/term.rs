//! A filter before it is compiled: JSON in which a value may be undefined.
//!
//! JSON has no undefined, but a parameter of a query that nobody supplied is
//! exactly that, and filters have rules for it.

use crate::json::js::string_of_json;
use crate::json::{Json, Raw};

#[derive(Clone, Debug, PartialEq)]
pub enum Term {
    Undefined,
    /// `null`, a boolean, a number or a string.
    Scalar(Json),
    Array(Vec<Term>),
    /// Members in JavaScript's order, names once.
    Object(Vec<(Box<str>, Term)>),
}

/// What stands for a string of the filter.
#[derive(Clone, Debug, PartialEq)]
pub enum Substitute {
    /// The string itself.
    Literal,
    /// A parameter that was not supplied.
    Undefined,
    /// A parameter's value. Strings inside it are not looked at again.
    Value(Json),
}

impl Term {
    pub fn of(raw: Raw<'_>) -> Term {
        Term::of_json(&raw.to_json())
    }

    pub fn of_json(json: &Json) -> Term {
        Term::interpolate(json, &mut |_| Substitute::Literal)
    }

    /// The filter with parameters in place: `parameter` is asked for every
    /// string that is a value, at any depth; names of members are not values.
    pub fn interpolate(json: &Json, parameter: &mut dyn FnMut(&str) -> Substitute) -> Term {
        match json {
            Json::String(text) => match parameter(text) {
                Substitute::Literal => Term::Scalar(json.clone()),
                Substitute::Undefined => Term::Undefined,
                Substitute::Value(value) => Term::of_json(&value),
            },
            Json::Null | Json::Bool(_) | Json::Number(_) => Term::Scalar(json.clone()),
            Json::Array(elements) => Term::Array(
                elements.iter().map(|element| Term::interpolate(element, parameter)).collect(),
            ),
            Json::Object(object) => Term::Object(
                crate::json::js::js_order(object)
                    .into_iter()
                    .map(|(name, value)| (name.into(), Term::interpolate(value, parameter)))
                    .collect(),
            ),
        }
    }

    /// The word for the type in messages.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Term::Undefined => "undefined",
            Term::Scalar(Json::Null) => "null",
            Term::Scalar(Json::Bool(_)) => "a boolean",
            Term::Scalar(Json::Number(_)) => "a number",
            Term::Scalar(_) => "a string",
            Term::Array(_) => "an array",
            Term::Object(_) => "an object",
        }
    }

    /// `String(term)` of an operand, as comparison sees it.
    pub(super) fn to_text(&self) -> String {
        match self {
            Term::Undefined => "undefined".into(),
            Term::Scalar(json) => string_of_json(json).into_owned(),
            Term::Object(_) => "[object Object]".into(),
            Term::Array(elements) => {
                let parts: Vec<String> = elements
                    .iter()
                    .map(|element| match element {
                        Term::Undefined | Term::Scalar(Json::Null) => String::new(),
                        other => other.to_text(),
                    })
                    .collect();
                parts.join(",")
            }
        }
    }
}
