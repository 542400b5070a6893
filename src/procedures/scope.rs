//! What templates can see, and what becomes of them.
//!
//! `{{ path }}` alone in a string stands for the value itself, with its type;
//! inside other text for the value's text. There is no escape and nothing but
//! paths between the braces.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use crate::budget::{Budget, OverBudget};
use crate::json::js::is_white_space;
use crate::json::{Json, Object, number_text};
use crate::store::filter::{Substitute, Term};

/// Who called.
#[derive(Clone, Debug, Default)]
pub(crate) struct Caller {
    pub user_id: Option<Arc<str>>,
    pub roles: Vec<Box<str>>,
}

impl Caller {
    fn to_json(&self) -> Json {
        let roles = self.roles.iter().map(|role| Json::from(&**role)).collect();
        let user_id = self.user_id.as_deref().map_or(Json::Null, Json::from);
        let members = [("userId", user_id), ("roles", Json::Array(roles))];
        Json::Object(members.into_iter().collect())
    }
}

/// The input, the results so far and the caller.
#[derive(Debug)]
pub(crate) struct Scope {
    input: Json,
    session: Json,
    /// In the order in which they were first set.
    results: Vec<(Box<str>, Json)>,
    places: HashMap<Box<str>, usize>,
    budget: Budget,
    /// Bytes that the arguments of all steps and the results were copied to.
    copied: usize,
}

/// One piece of a text.
#[derive(Debug, PartialEq)]
pub(super) enum Piece<'t> {
    Text(&'t str),
    Path(&'t str),
}

/// Takes a text apart. `{{`, at least one character that is no `}`, `}}`.
pub(super) fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let (mut from, mut at) = (0, 0);
    while let Some(open) = text.get(at..).and_then(|rest| rest.find("{{")).map(|open| open + at) {
        let inside = open + 2;
        let Some(close) = text.get(inside..).and_then(|rest| rest.find('}')) else { break };
        let close = close + inside;
        let ends = text.get(close..).is_some_and(|rest| rest.starts_with("}}"));
        if close == inside || !ends {
            // No template begins before this brace.
            at = close;
            continue;
        }
        let before = text.get(from..open).unwrap_or_default();
        if !before.is_empty() {
            pieces.push(Piece::Text(before));
        }
        pieces.push(Piece::Path(path(text.get(inside..close).unwrap_or_default())));
        (from, at) = (close + 2, close + 2);
    }
    let rest = text.get(from..).unwrap_or_default();
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest));
    }
    pieces
}

/// Without the white space around it; of nothing but white space the last
/// character is the path.
fn path(inside: &str) -> &str {
    let trimmed = inside.trim_matches(is_white_space);
    match inside.char_indices().next_back() {
        Some((last, _)) if trimmed.is_empty() => inside.get(last..).unwrap_or_default(),
        _ => trimmed,
    }
}

impl Scope {
    pub fn new(input: Json, caller: &Caller, budget: &Budget) -> Scope {
        Scope {
            input,
            session: caller.to_json(),
            results: Vec::new(),
            places: HashMap::new(),
            budget: budget.clone(),
            copied: 0,
        }
    }

    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Keeps the result of a step.
    pub fn keep(&mut self, name: &str, value: Json) -> Result<(), OverBudget> {
        self.pay(&value)?;
        match self.places.get(name).and_then(|at| self.results.get_mut(*at)) {
            Some((_, old)) => *old = value,
            None => {
                self.places.insert(name.into(), self.results.len());
                self.results.push((name.into(), value));
            }
        }
        Ok(())
    }

    pub fn into_results(self) -> Object {
        self.results.into_iter().collect()
    }

    /// A result by its name, taken literally.
    pub fn result(&self, name: &str) -> Option<&Json> {
        self.places.get(name).and_then(|at| self.results.get(*at)).map(|(_, value)| value)
    }

    /// The value of a path; `None` is undefined.
    pub fn resolve(&self, path: &str) -> Option<Cow<'_, Json>> {
        let mut parts = path.split('.');
        let first = parts.next().unwrap_or_default();
        let root = match first {
            "input" => &self.input,
            name => match self.result(name) {
                Some(value) => value,
                None if name == "session" => &self.session,
                None => return None,
            },
        };
        let mut value = Cow::Borrowed(root);
        for part in parts {
            value = match value {
                Cow::Borrowed(Json::Object(object)) => Cow::Borrowed(object.get(part)?),
                Cow::Borrowed(Json::Array(elements)) if part == "length" => {
                    Cow::Owned(Json::Number(elements.len() as f64))
                }
                Cow::Borrowed(Json::Array(elements)) => Cow::Borrowed(elements.get(index(part)?)?),
                _ => return None,
            };
        }
        Some(value)
    }

    /// Takes the copy of a value from the budget. All copies of a call together
    /// have the bound of an answer: short templates can name long values.
    fn pay(&mut self, value: &Json) -> Result<(), OverBudget> {
        self.copied = self.copied.saturating_add(size(value));
        self.budget.reply(self.copied)
    }

    /// Resolves the templates in a value, at any depth; names of members are
    /// not looked at.
    pub fn fill(&mut self, value: &Json) -> Result<Term, OverBudget> {
        let mut over = Ok(());
        let term = Term::interpolate(value, &mut |text| {
            if over.is_err() {
                return Substitute::Undefined;
            }
            match self.substitute(text) {
                Ok(substitute) => substitute,
                Err(error) => {
                    over = Err(error);
                    Substitute::Undefined
                }
            }
        });
        over.map(|()| term)
    }

    fn substitute(&mut self, text: &str) -> Result<Substitute, OverBudget> {
        self.budget.spend_text(text.len())?;
        if !text.contains("{{") {
            return Ok(Substitute::Literal);
        }
        match pieces(text).as_slice() {
            [] | [Piece::Text(_)] => Ok(Substitute::Literal),
            [Piece::Path(path)] => {
                let Some(value) = self.resolve(path) else { return Ok(Substitute::Undefined) };
                // Paid for before it is copied.
                let copied = self.copied.saturating_add(size(&value));
                self.budget.reply(copied)?;
                let value = value.into_owned();
                self.copied = copied;
                Ok(Substitute::Value(value))
            }
            mixed => {
                let mut out = String::new();
                for piece in mixed {
                    match piece {
                        Piece::Text(text) => out.push_str(text),
                        Piece::Path(path) => {
                            if let Some(value) = self.resolve(path) {
                                let size = size(&value);
                                self.budget.reply(self.copied.saturating_add(size))?;
                                push_text(&mut out, &value);
                            }
                        }
                    }
                    self.budget.reply(self.copied.saturating_add(out.len()))?;
                }
                self.copied = self.copied.saturating_add(out.len());
                Ok(Substitute::Value(Json::from(out)))
            }
        }
    }
}

/// A decimal index, as JavaScript writes it.
fn index(part: &str) -> Option<usize> {
    let index: usize = part.parse().ok()?;
    let is_plain = part.bytes().all(|byte| byte.is_ascii_digit());
    (is_plain && (part == "0" || !part.starts_with('0'))).then_some(index)
}

/// About the length of a value's text.
fn size(value: &Json) -> usize {
    let mut size = 0usize;
    let mut open = vec![value];
    while let Some(value) = open.pop() {
        size = size.saturating_add(match value {
            Json::String(text) => text.len() + 2,
            Json::Null | Json::Bool(_) | Json::Number(_) => 8,
            Json::Array(elements) => {
                open.extend(elements);
                2
            }
            Json::Object(object) => {
                open.extend(object.values());
                object.iter().map(|(name, _)| name.len() + 4).sum()
            }
        });
    }
    size
}

/// The text of a value inside other text.
fn push_text(out: &mut String, value: &Json) {
    match value {
        Json::Null => {}
        Json::String(text) => out.push_str(text),
        Json::Number(number) => out.push_str(&number_text(*number)),
        Json::Bool(_) | Json::Array(_) | Json::Object(_) => out.push_str(&value.to_text()),
    }
}

/// The members of an object with templates, each with its value; `None` is
/// undefined.
pub(crate) fn members_of(term: Term) -> Vec<(Box<str>, Option<Json>)> {
    match term {
        Term::Object(members) => {
            members.into_iter().map(|(name, value)| (name, json_of(&value))).collect()
        }
        _ => Vec::new(),
    }
}

/// A term as JSON: members that are undefined are left out, elements are null.
/// `None`: it is undefined itself.
pub(crate) fn json_of(term: &Term) -> Option<Json> {
    Some(match term {
        Term::Undefined => return None,
        Term::Scalar(value) => value.clone(),
        Term::Array(elements) => Json::Array(
            elements.iter().map(|element| json_of(element).unwrap_or_default()).collect(),
        ),
        Term::Object(members) => Json::Object(
            members.iter().filter_map(|(name, value)| Some((&**name, json_of(value)?))).collect(),
        ),
    })
}
