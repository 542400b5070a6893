//! `apply`: operators on single fields of a record.
//!
//! Read and checked once from the request, then evaluated against the record
//! that is stored: what comes out are ordinary values, which take the way of
//! `data`. Knows nothing of schemas but what type a time is to have.

use std::cmp::Ordering;

use crate::budget::Budget;
use crate::json::js::{compare_utf16, iso_text};
use crate::json::{Json, Kind, Raw};
use crate::protocol::OpError;
use crate::store::Data;
use crate::store::data::Members;

const OPERATORS: [&str; 11] = [
    "$inc",
    "$mul",
    "$min",
    "$max",
    "$push",
    "$pushAll",
    "$addToSet",
    "$pull",
    "$set",
    "$unset",
    "$now",
];

/// What is done to one field.
#[derive(Clone, Debug)]
enum Operator {
    Inc(f64),
    Mul(f64),
    /// The smaller one is kept, or the larger one.
    Extreme(Json, Ordering),
    /// Appends; of the result so many are kept, the last or, if negative, the
    /// first.
    Push(Vec<Json>, Option<f64>),
    AddToSet(Json),
    Pull(Json),
    Set(Json),
    Unset,
    Now,
}

/// Fields, each with what is to be done to it.
#[derive(Clone, Debug, Default)]
pub struct Apply(Vec<Field>);

#[derive(Clone, Debug)]
struct Field {
    name: Box<str>,
    /// As it was written.
    op: &'static str,
    operator: Operator,
}

/// The time, and whether a field wants it as a text.
pub(in crate::store) struct Clock<F> {
    pub now: f64,
    pub is_text: F,
}

impl Apply {
    /// The member `apply` of a request; absent or `null` is none.
    ///
    /// # Errors
    /// `Invalid "apply": …`, `Unknown operator …`
    pub fn parse(value: Option<&Json>) -> Result<Apply, OpError> {
        let Some(value) = value.filter(|value| !value.is_null()) else {
            return Ok(Apply::default());
        };
        let Some(object) = value.as_object() else {
            return Err(OpError::validation("Invalid \"apply\": expected object"));
        };
        object
            .iter()
            .map(|(name, operator)| field(name, operator))
            .collect::<Result<_, _>>()
            .map(Apply)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn contains(&self, field: &str) -> bool {
        self.0.iter().any(|have| &*have.name == field)
    }

    /// # Errors
    /// `Field "{f}" is in both data and apply`
    pub fn check_apart(&self, data: &Data<'_>, called: &str) -> Result<(), OpError> {
        match self.0.iter().find(|field| data.contains(&field.name)) {
            None => Ok(()),
            Some(Field { name, .. }) => Err(in_both(name, called, "apply")),
        }
    }

    /// The values that the fields are to have, `None`: the field goes. A field
    /// that stays as it is, is not among them.
    ///
    /// # Errors
    /// `Cannot apply {op} to field "{f}": …`, or the budget's.
    pub(in crate::store) fn evaluate<'r>(
        &self,
        stored: impl Fn(&str) -> Option<Raw<'r>>,
        passes_over: impl Fn(&str) -> bool,
        clock: &Clock<impl Fn(&str) -> bool>,
        budget: &Budget,
    ) -> Result<Members, OpError> {
        let mut values = Vec::new();
        for field in self.0.iter().filter(|field| !passes_over(&field.name)) {
            let value = stored(&field.name);
            // Read, taken apart and put together again.
            let length = value.map_or(0, |value| value.text().len());
            budget.spend(1)?;
            budget.spend_text_bytes(length.saturating_mul(2))?;
            let new = match &field.operator {
                Operator::Now if (clock.is_text)(&field.name) => {
                    // A clock's milliseconds, before the year 10000.
                    Some(Some(Json::from(iso_text(clock.now as u64))))
                }
                Operator::Now => Some(Some(Json::Number(clock.now))),
                Operator::Set(value) => Some(Some(value.clone())),
                Operator::Unset => Some(None),
                _ => field.change(value, budget)?.map(Some),
            };
            values.extend(new.map(|new| (field.name.clone(), new)));
        }
        Ok(values)
    }
}

/// `Field "{f}" is in both {a} and {b}`
pub(in crate::store) fn in_both(field: &str, a: &str, b: &str) -> OpError {
    OpError::validation(format!("Field \"{field}\" is in both {a} and {b}"))
}

fn field(name: &str, value: &Json) -> Result<Field, OpError> {
    let one = || {
        OpError::validation(format!(
            "Invalid \"apply\": expected one operator for field \"{name}\""
        ))
    };
    let members = value.as_object().ok_or_else(one)?;
    let mut operators = members.iter().filter(|(op, _)| *op != "$keep");
    let (op, operand) = operators.next().ok_or_else(one)?;
    if operators.next().is_some() {
        return Err(one());
    }
    let Some(op) = OPERATORS.into_iter().find(|known| *known == op) else {
        return Err(OpError::validation(format!(
            "Unknown operator \"{op}\" (expected one of: {})",
            OPERATORS.join(", ")
        )));
    };
    let keep = members.get("$keep");
    if keep.is_some() && !matches!(op, "$push" | "$pushAll") {
        return Err(one());
    }
    let operator = operator(name, op, operand, keep)?;
    Ok(Field { name: name.into(), op, operator })
}

fn operator(
    name: &str,
    op: &'static str,
    operand: &Json,
    keep: Option<&Json>,
) -> Result<Operator, OpError> {
    let invalid = |what: &str, op: &str| {
        OpError::validation(format!(
            "Invalid \"apply\": expected {what} for {op} of field \"{name}\""
        ))
    };
    let number = || operand.as_number().ok_or_else(|| invalid("number", op));
    let comparable = || match operand {
        Json::Number(_) | Json::String(_) => Ok(operand.clone()),
        _ => Err(invalid("number or string", op)),
    };
    let is_true = |operator: Operator| match operand {
        Json::Bool(true) => Ok(operator),
        _ => Err(invalid("true", op)),
    };
    let keep = match keep {
        None => None,
        Some(Json::Number(keep)) if keep.is_finite() && keep.trunc() == *keep => Some(*keep),
        Some(_) => return Err(invalid("integer", "$keep")),
    };
    Ok(match op {
        "$inc" => Operator::Inc(number()?),
        "$mul" => Operator::Mul(number()?),
        "$min" => Operator::Extreme(comparable()?, Ordering::Less),
        "$max" => Operator::Extreme(comparable()?, Ordering::Greater),
        "$push" => Operator::Push(vec![operand.clone()], keep),
        "$pushAll" => match operand {
            Json::Array(values) => Operator::Push(values.clone(), keep),
            _ => return Err(invalid("array", op)),
        },
        "$addToSet" => Operator::AddToSet(operand.clone()),
        "$pull" => Operator::Pull(operand.clone()),
        "$set" => Operator::Set(operand.clone()),
        "$unset" => return is_true(Operator::Unset),
        _ => return is_true(Operator::Now),
    })
}

impl Field {
    /// The new value; `None`: it stays as it is.
    fn change(&self, value: Option<Raw<'_>>, budget: &Budget) -> Result<Option<Json>, OpError> {
        let there = value.filter(|value| !value.is_null());
        Ok(match &self.operator {
            Operator::Inc(by) => {
                let before = there.map_or(Ok(0.0), |value| self.number(Some(value)))?;
                Some(self.finite(before + by)?)
            }
            Operator::Mul(by) => Some(self.finite(self.number(value)? * by)?),
            Operator::Extreme(other, wanted) => {
                let Some(value) = there else { return Ok(Some(other.clone())) };
                let order = match other {
                    Json::Number(other) => other.partial_cmp(&self.number(Some(value))?),
                    Json::String(other) => {
                        let text =
                            value.as_str().ok_or_else(|| self.wrong("string", Some(value)))?;
                        Some(compare_utf16(other, &text))
                    }
                    _ => None,
                };
                (order == Some(*wanted)).then(|| other.clone())
            }
            Operator::Push(new, keep) => {
                let mut elements = self.elements(there, budget)?;
                elements.extend(new.iter().cloned());
                Some(Json::Array(kept(elements, *keep)))
            }
            Operator::AddToSet(new) => {
                let mut elements = self.elements(there, budget)?;
                if elements.contains(new) {
                    return Ok(None);
                }
                elements.push(new.clone());
                Some(Json::Array(elements))
            }
            Operator::Pull(gone) => {
                let mut elements = self.elements(there, budget)?;
                let before = elements.len();
                elements.retain(|element| element != gone);
                (elements.len() != before).then_some(Json::Array(elements))
            }
            Operator::Set(_) | Operator::Unset | Operator::Now => None,
        })
    }

    fn number(&self, value: Option<Raw<'_>>) -> Result<f64, OpError> {
        value.and_then(Raw::as_number).ok_or_else(|| self.wrong("number", value))
    }

    fn finite(&self, number: f64) -> Result<Json, OpError> {
        if number.is_finite() {
            return Ok(Json::Number(number));
        }
        let Field { name, op, .. } = self;
        Err(OpError::validation(format!(
            "Cannot apply {op} to field \"{name}\": the result is no finite number"
        )))
    }

    fn elements(&self, value: Option<Raw<'_>>, budget: &Budget) -> Result<Vec<Json>, OpError> {
        let Some(value) = value else { return Ok(Vec::new()) };
        if value.kind() != Kind::Array {
            return Err(self.wrong("array", Some(value)));
        }
        let elements: Vec<Json> = value.elements().map(Raw::to_json).collect();
        budget.spend((elements.len() / 8) as u64)?;
        Ok(elements)
    }

    fn wrong(&self, expected: &str, value: Option<Raw<'_>>) -> OpError {
        let Field { name, op, .. } = self;
        let found = value.map_or("missing", |value| value.kind().as_str());
        OpError::validation(format!(
            "Cannot apply {op} to field \"{name}\": expected {expected}, found {found}"
        ))
    }
}

/// The last ones, or the first ones.
fn kept(mut elements: Vec<Json>, keep: Option<f64>) -> Vec<Json> {
    let Some(keep) = keep else { return elements };
    // A float beyond the range saturates.
    let count = keep.abs() as usize;
    if keep < 0.0 {
        elements.truncate(count);
        return elements;
    }
    let first = elements.len().saturating_sub(count);
    elements.split_off(first)
}
