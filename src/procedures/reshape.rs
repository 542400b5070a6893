//! `aggregate` and `transform`: steps over results, which touch nothing else.

use super::scope::{Scope, members_of};
use crate::json::Json;
use crate::protocol::{ErrorCode, OpError};
use crate::store::filter::Term;

#[derive(Clone, Debug)]
pub(crate) struct Aggregate {
    /// The name of a result: no path, no template.
    pub source: Box<str>,
    pub op: Box<str>,
    /// A direct member; ignored by `count`.
    pub field: Box<str>,
}

#[derive(Clone, Debug)]
pub(crate) struct Reshape {
    pub source: Box<str>,
    pub operation: Box<str>,
    pub args: Json,
}

fn failed(text: String) -> OpError {
    OpError::new(ErrorCode::InternalError, text)
}

impl Aggregate {
    pub fn run(&self, scope: &Scope) -> Result<Json, OpError> {
        let source = &self.source;
        let elements = scope.result(source).and_then(Json::as_array);
        let elements = elements
            .ok_or_else(|| failed(format!("aggregate: source \"{source}\" is not an array")))?;
        scope.budget().spend(elements.len() as u64)?;
        let numbers =
            || elements.iter().filter_map(|element| element.get(&self.field)?.as_number());
        let count = elements.len() as f64;
        let sum = || numbers().sum::<f64>();
        let result = match &*self.op {
            "count" => count,
            "sum" => sum(),
            // By the number of elements, and not of numbers, as clients know it.
            "avg" if elements.is_empty() => 0.0,
            "avg" => sum() / count,
            "min" => numbers().reduce(f64::min).unwrap_or(0.0),
            _ => numbers().reduce(f64::max).unwrap_or(0.0),
        };
        // An empty sum is `-0` here.
        Ok(Json::Number(result + 0.0))
    }
}

impl Reshape {
    pub fn run(&self, scope: &mut Scope) -> Result<Json, OpError> {
        let Reshape { source, operation, args } = self;
        let wrong = |what: &str| {
            failed(format!("transform.{operation}: source \"{source}\" is not an {what}"))
        };
        let invalid = || OpError::validation(format!("transform.{operation}: invalid \"args\""));
        if &**operation == "pick" {
            let object = scope.result(source).and_then(Json::as_object);
            let object = object.ok_or_else(|| wrong("object"))?;
            let names = args.as_array().ok_or_else(invalid)?;
            scope.budget().spend(names.len() as u64)?;
            let mut picked = crate::json::Object::new();
            for name in names {
                let name = name.as_str().ok_or_else(invalid)?;
                if let Some(value) = object.get(name) {
                    picked.insert(name, value.clone());
                }
            }
            return Ok(Json::Object(picked));
        }
        let args = match &**operation {
            "pluck" => Term::of_json(args),
            _ => scope.fill(args)?,
        };
        let elements = scope.result(source).and_then(Json::as_array);
        let elements = elements.ok_or_else(|| wrong("array"))?;
        let budget = scope.budget();
        let made = match (&**operation, args) {
            ("pluck", Term::Scalar(Json::String(name))) => {
                budget.spend(elements.len() as u64)?;
                let plucked = |element: &Json| element.get(&name).cloned().unwrap_or_default();
                elements.iter().map(plucked).collect()
            }
            ("filter", Term::Object(wanted)) => {
                budget.spend((elements.len() as u64).saturating_mul(1 + wanted.len() as u64))?;
                elements.iter().filter(|element| has_all(element, &wanted)).cloned().collect()
            }
            ("map", Term::Scalar(Json::Null)) => elements.to_vec(),
            ("map", args @ Term::Object(_)) => {
                let members = members_of(args);
                let one: usize =
                    members.iter().map(|(name, value)| name.len() + length(value)).sum();
                // Every element gets a copy: paid for before it is made.
                budget.reply(one.saturating_mul(elements.len()))?;
                budget.spend((elements.len() as u64).saturating_mul(1 + members.len() as u64))?;
                elements.iter().map(|element| merged(element, &members)).collect()
            }
            _ => return Err(invalid()),
        };
        Ok(Json::Array(made))
    }
}

fn length(value: &Option<Json>) -> usize {
    value.as_ref().map_or(0, |value| value.to_text().len())
}

/// Whether all members are strictly equal: scalars by type and value; objects
/// and arrays equal nothing.
fn has_all(element: &Json, wanted: &[(Box<str>, Term)]) -> bool {
    let Some(object) = element.as_object() else { return false };
    wanted.iter().all(|(name, wanted)| match (object.get(name), wanted) {
        (None, Term::Undefined) => true,
        (Some(have), Term::Scalar(wanted)) => have == wanted,
        _ => false,
    })
}

fn merged(element: &Json, members: &[(Box<str>, Option<Json>)]) -> Json {
    let Some(object) = element.as_object() else { return element.clone() };
    let mut merged = object.clone();
    for (name, value) in members {
        match value {
            Some(value) => {
                merged.insert(&**name, value.clone());
            }
            None => {
                merged.remove(name);
            }
        }
    }
    Json::Object(merged)
}
