//! Filters and values of row rules in which something stands for the principal,
//! and what they become for one.
//!
//! A value that is put in stays a value: whatever it is, it never becomes an
//! operator. What does not fit where it stands makes the condition one that
//! nothing fulfils, so a rule that goes wrong closes and never opens.

use std::collections::BTreeSet;

use super::Principal;
use crate::json::js::is_white_space;
use crate::json::{Json, Object};
use crate::protocol::OpError;

/// What a string stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Template {
    UserId,
    Roles,
    Metadata(Vec<Box<str>>),
    Set(Box<str>),
    Now,
}

/// The inside of `{{ … }}`, if that is the whole text.
fn inside(text: &str) -> Option<&str> {
    let inside = text.strip_prefix("{{")?.strip_suffix("}}")?;
    Some(inside.trim_matches(is_white_space))
}

impl Template {
    /// `None`: the text is no template. `Err`: it is one that does not exist.
    fn parse(text: &str) -> Option<Result<Template, String>> {
        let name = inside(text)?;
        let path = |path: &str| -> Option<Vec<Box<str>>> {
            path.split('.').map(|part| (!part.is_empty()).then(|| part.into())).collect()
        };
        let found = match name {
            "session.userId" => Some(Template::UserId),
            "session.roles" => Some(Template::Roles),
            "now" => Some(Template::Now),
            name => match name.strip_prefix("session.metadata.") {
                Some(rest) => path(rest).map(Template::Metadata),
                None => match name.strip_prefix("sets.") {
                    Some(set) if !set.is_empty() => Some(Template::Set(set.into())),
                    _ => None,
                },
            },
        };
        Some(found.ok_or_else(|| name.to_owned()))
    }

    /// One that has been checked.
    fn of(text: &str) -> Option<Template> {
        Template::parse(text)?.ok()
    }

    fn value(&self, who: &Principal<'_>) -> Result<Json, OpError> {
        Ok(match self {
            Template::UserId => who.user_id.map_or(Json::Null, Json::from),
            Template::Roles => {
                Json::Array(who.roles.iter().map(|role| Json::from(&**role)).collect())
            }
            Template::Now => Json::Number(who.now),
            Template::Metadata(path) => {
                let (first, rest) = path.split_first().ok_or_else(OpError::internal)?;
                let first = who.metadata.and_then(|metadata| metadata.get(first));
                let found = rest.iter().fold(first, |at, name| at.and_then(|at| at.get(name)));
                found.cloned().unwrap_or_default()
            }
            Template::Set(name) => Json::Array((who.sets)(name)?),
        })
    }
}

/// Where a template may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In `read`, or in the filter of a set: what it selects must not change by
    /// itself.
    Lasting { sets: bool },
    /// In what is looked at once.
    Once,
}

/// What is looked for in a filter or a value when it is defined.
pub(super) struct Check {
    pub place: Place,
    pub unknown: Option<String>,
    pub sets: BTreeSet<Box<str>>,
    pub uses_now: bool,
    pub null_owner: BTreeSet<Box<str>>,
}

impl Check {
    pub fn new(place: Place) -> Self {
        Check {
            place,
            unknown: None,
            sets: BTreeSet::new(),
            uses_now: false,
            null_owner: BTreeSet::new(),
        }
    }

    fn look(&mut self, text: &str, takes_set: bool) {
        let wrong = match Template::parse(text) {
            None => return,
            Some(Err(name)) => name,
            Some(Ok(Template::Set(name))) => {
                let allowed = takes_set && self.place != (Place::Lasting { sets: false });
                match allowed {
                    true => {
                        self.sets.insert(name);
                        return;
                    }
                    false => format!("sets.{name}"),
                }
            }
            Some(Ok(Template::Now)) if self.place == Place::Once => {
                self.uses_now = true;
                return;
            }
            Some(Ok(Template::Now)) => "now".to_owned(),
            Some(Ok(Template::UserId | Template::Roles | Template::Metadata(_))) => return,
        };
        self.unknown.get_or_insert(wrong);
    }

    /// All strings of a value.
    pub fn value(&mut self, value: &Json) {
        match value {
            Json::String(text) => self.look(text, false),
            Json::Array(elements) => elements.iter().for_each(|element| self.value(element)),
            Json::Object(object) => object.values().for_each(|value| self.value(value)),
            Json::Null | Json::Bool(_) | Json::Number(_) => {}
        }
    }

    pub fn filter(&mut self, filter: &Object) {
        for (name, condition) in filter.iter() {
            match (name, condition) {
                ("$or" | "$and", Json::Array(filters)) => {
                    filters.iter().filter_map(Json::as_object).for_each(|it| self.filter(it));
                }
                (_, Json::Object(operators)) if is_operators(operators) => {
                    for (operator, operand) in operators.iter() {
                        match operand {
                            Json::String(text) => {
                                self.look(text, matches!(operator, "$in" | "$nin"));
                            }
                            operand => self.value(operand),
                        }
                    }
                }
                (name, condition) => {
                    let text = condition.as_str();
                    if text.and_then(Template::of) == Some(Template::UserId) {
                        self.null_owner.insert(name.into());
                    }
                    self.value(condition);
                }
            }
        }
    }
}

/// Whether an object is a list of operators and not an ordinary value.
fn is_operators(object: &Object) -> bool {
    !object.is_empty() && object.keys().all(|name| name.starts_with('$'))
}

/// What a condition becomes that nothing fulfils.
fn nothing() -> Json {
    Json::Array(Vec::new())
}

fn is_scalar(value: &Json) -> bool {
    !matches!(value, Json::Array(_) | Json::Object(_))
}

/// The filter with what its templates stand for.
pub(super) fn fill_filter(
    filter: &Object,
    value_of: &mut dyn FnMut(&Template) -> Result<Json, OpError>,
) -> Result<Object, OpError> {
    let mut filled = Object::with_capacity(filter.len());
    for (name, condition) in filter.iter() {
        let value = match (name, condition) {
            ("$or" | "$and", Json::Array(filters)) => Json::Array(
                filters
                    .iter()
                    .map(|filter| match filter {
                        Json::Object(filter) => fill_filter(filter, value_of).map(Json::Object),
                        other => Ok(other.clone()),
                    })
                    .collect::<Result<_, _>>()?,
            ),
            (_, condition) => fill_condition(condition, value_of)?,
        };
        filled.insert(name, value);
    }
    Ok(filled)
}

fn fill_condition(
    condition: &Json,
    value_of: &mut dyn FnMut(&Template) -> Result<Json, OpError>,
) -> Result<Json, OpError> {
    match condition {
        Json::String(text) => match Template::of(text) {
            None => Ok(condition.clone()),
            Some(template) => {
                Ok(Some(value_of(&template)?).filter(is_scalar).unwrap_or_else(nothing))
            }
        },
        Json::Object(operators) if is_operators(operators) => {
            let mut filled = Object::with_capacity(operators.len());
            for (name, operand) in operators.iter() {
                match fill_operand(name, operand, value_of)? {
                    Some(operand) => {
                        filled.insert(name, operand);
                    }
                    None => return Ok(nothing()),
                }
            }
            Ok(Json::Object(filled))
        }
        // Equal to nothing, whatever is in it.
        other => Ok(other.clone()),
    }
}

/// `None`: a value does not fit where it stands.
fn fill_operand(
    operator: &str,
    operand: &Json,
    value_of: &mut dyn FnMut(&Template) -> Result<Json, OpError>,
) -> Result<Option<Json>, OpError> {
    match operand {
        Json::String(text) => {
            let Some(template) = Template::of(text) else { return Ok(Some(operand.clone())) };
            let value = value_of(&template)?;
            let fits = match operator {
                "$in" | "$nin" => matches!(value, Json::Array(_)),
                "$between" => value
                    .as_array()
                    .is_some_and(|bounds| bounds.len() == 2 && bounds.iter().all(is_scalar)),
                "$contains" | "$startsWith" | "$endsWith" | "$search" => {
                    matches!(value, Json::String(_))
                }
                "$exists" => matches!(value, Json::Bool(_)),
                _ => is_scalar(&value),
            };
            Ok(fits.then_some(value))
        }
        Json::Array(elements) => {
            let mut filled = Vec::with_capacity(elements.len());
            for element in elements {
                let template = element.as_str().and_then(Template::of);
                let value = match template {
                    Some(template) => value_of(&template)?,
                    None => element.clone(),
                };
                if !is_scalar(&value) && is_scalar(element) {
                    return Ok(None);
                }
                filled.push(value);
            }
            Ok(Some(Json::Array(filled)))
        }
        other => Ok(Some(other.clone())),
    }
}

/// A value with what its templates stand for, at any depth.
pub(super) fn fill_value(value: &Json, who: &Principal<'_>) -> Result<Json, OpError> {
    Ok(match value {
        Json::String(text) => match Template::of(text) {
            Some(template) => template.value(who)?,
            None => value.clone(),
        },
        Json::Array(elements) => Json::Array(
            elements.iter().map(|element| fill_value(element, who)).collect::<Result<_, _>>()?,
        ),
        Json::Object(object) => {
            let mut filled = Object::with_capacity(object.len());
            for (name, value) in object.iter() {
                filled.insert(name, fill_value(value, who)?);
            }
            Json::Object(filled)
        }
        Json::Null | Json::Bool(_) | Json::Number(_) => value.clone(),
    })
}

/// The filter for a principal.
pub(super) fn filter_for(filter: &Object, who: &Principal<'_>) -> Result<Object, OpError> {
    fill_filter(filter, &mut |template| template.value(who))
}

/// The filter with values that fit in the place of its templates: valid if and
/// only if what was written around them is.
pub(super) fn sample(filter: &Object) -> Object {
    fn operand(operator: &str, operand: &Json) -> Json {
        match operand {
            Json::String(text) if Template::of(text).is_some() => match operator {
                "$in" | "$nin" => Json::Array(Vec::new()),
                "$between" => Json::Array(vec![Json::Null, Json::Null]),
                "$contains" | "$startsWith" | "$endsWith" | "$search" => Json::string("x"),
                "$exists" => Json::Bool(true),
                _ => Json::Null,
            },
            other => other.clone(),
        }
    }
    let mut sampled = Object::with_capacity(filter.len());
    for (name, condition) in filter.iter() {
        let value = match (name, condition) {
            ("$or" | "$and", Json::Array(filters)) => Json::Array(
                filters
                    .iter()
                    .map(|filter| match filter {
                        Json::Object(filter) => Json::Object(sample(filter)),
                        other => other.clone(),
                    })
                    .collect(),
            ),
            (_, Json::Object(operators)) if is_operators(operators) => Json::Object(
                operators.iter().map(|(name, value)| (name, operand(name, value))).collect(),
            ),
            (_, condition) => condition.clone(),
        };
        sampled.insert(name, value);
    }
    sampled
}
