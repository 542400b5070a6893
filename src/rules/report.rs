//! What people are told: how far an evaluation came, and texts that fit a line.

use std::fmt::Write as _;

use crate::json::{Json, Object};

/// Bytes of one line of a `log` action.
const MAX_LOG: usize = 8 * 1024;

/// Why a rule ran, or how far it got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Fired,
    Condition,
    Lookup,
    Disabled,
    Depth,
    Cascade,
    Failed,
}

impl Verdict {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Verdict::Fired => "fired",
            Verdict::Condition => "condition",
            Verdict::Lookup => "lookup",
            Verdict::Disabled => "disabled",
            Verdict::Depth => "depth",
            Verdict::Cascade => "cascade",
            Verdict::Failed => "failed",
        }
    }
}

/// What an evaluation of a watched rule has done so far.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) actions: Vec<Json>,
}

/// Actions that one report lists.
const MOST_ACTIONS: usize = 100;
/// Characters of a value that is shown.
const MOST_TEXT: usize = 256;

impl Report {
    pub fn action(&mut self, at: usize, kind: &'static str, error: Option<&str>) {
        if self.actions.len() >= MOST_ACTIONS {
            return;
        }
        let mut action: Object = [
            ("index", Json::Number(at as f64)),
            ("type", Json::from(kind)),
            ("ok", Json::Bool(error.is_none())),
        ]
        .into_iter()
        .collect();
        if let Some(error) = error {
            action.insert("error", Json::from(cut(error)));
        }
        self.actions.push(Json::Object(action));
    }
}

pub(super) fn cut(text: &str) -> String {
    text.chars().take(MOST_TEXT).collect()
}

/// A value for people: short ones as they are.
pub(super) fn shown(value: Option<&Json>) -> Json {
    match value {
        None => Json::Null,
        Some(Json::String(text)) => Json::from(cut(text)),
        Some(value @ (Json::Array(_) | Json::Object(_))) => Json::from(cut(&value.to_text())),
        Some(value) => value.clone(),
    }
}

/// The text on one line, control characters escaped, cut to a length.
pub(super) fn printable(text: &str) -> String {
    let mut line = String::with_capacity(text.len().min(MAX_LOG));
    for character in text.chars() {
        if character.is_control() {
            // Writing to a String cannot fail.
            let _ = write!(line, "{}", character.escape_default());
        } else {
            line.push(character);
        }
        if line.len() > MAX_LOG {
            let mut end = MAX_LOG;
            while !line.is_char_boundary(end) {
                end -= 1;
            }
            line.truncate(end);
            break;
        }
    }
    line
}
