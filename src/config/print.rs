//! `--print-config`: every key with its value in force, as a file that loads,
//! with placeholders in the place of secrets; and what becomes of those when
//! such a file is used.

use super::resolve::is_on;
use super::setting::PLACEHOLDER;
use super::table::{Kind, Row, rows};
use super::{Auth, Config, ConsoleWhen, Problem};
use crate::json::{Json, Object};

/// Longest line of the output, as far as values allow.
const WIDTH: usize = 100;

/// As [`PLACEHOLDER`], where several stand beside each other as names.
pub(super) fn placeholder(at: usize) -> String {
    if at == 0 { PLACEHOLDER.to_owned() } else { format!("(secret {})", at + 1) }
}

fn is_placeholder(text: &str) -> bool {
    let number = text.strip_prefix("(secret ").and_then(|rest| rest.strip_suffix(')'));
    text == PLACEHOLDER || number.is_some_and(|number| number.parse::<usize>().is_ok())
}

impl Config {
    /// The text of `--print-config`.
    pub fn printed(&self) -> String {
        let mut config = self.clone();
        let mut text = Json::Object(section(&mut config, "")).to_pretty(WIDTH);
        text.push('\n');
        text
    }

    /// Where a placeholder stands for a secret. Whoever has only those knows
    /// none, so no server starts with them.
    pub fn placeholders(&self) -> Vec<Problem> {
        let mut config = self.clone();
        let mut places = Vec::new();
        for row in rows().filter(|row| row.secret) {
            if let Some(value) = (row.slot)(&mut config).map(|setting| setting.json()) {
                find(&value, row.path, &mut places);
            }
        }
        places.into_iter().map(|at| Problem { at, text: "is a placeholder".into() }).collect()
    }
}

fn find(value: &Json, place: &str, places: &mut Vec<String>) {
    match value {
        Json::String(text) if is_placeholder(text) => places.push(place.to_owned()),
        Json::Array(elements) => {
            for (at, element) in elements.iter().enumerate() {
                find(element, &format!("{place}[{at}]"), places);
            }
        }
        // The names of tokens are what is secret of them.
        Json::Object(tokens) if place == "auth.tokens" => {
            for (at, _) in tokens.keys().enumerate().filter(|(_, name)| is_placeholder(name)) {
                places.push(format!("{place}[{at}]"));
            }
        }
        Json::Object(members) => {
            for (name, member) in members.iter() {
                find(member, &format!("{place}.{name}"), places);
            }
        }
        _ => {}
    }
}

/// The members of a section that is on.
fn section(config: &mut Config, path: &str) -> Object {
    let mut members = Object::new();
    for row in rows().filter(|row| row.section() == path) {
        if let Some(value) = value(config, row) {
            members.insert(row.name(), value);
        }
    }
    members
}

/// The value of a row; `None` if it does not belong to this configuration, such
/// as the keys of another kind of authentication.
fn value(config: &mut Config, row: &'static Row) -> Option<Json> {
    match row.path {
        // `listen` stands in their place.
        "host" | "port" if !config.listen.is_empty() => return None,
        "host" => return Some(Json::from(config.bind_host())),
        "auth.builtIn" => {
            return matches!(config.auth, Some(Auth::BuiltIn(_))).then_some(Json::Bool(true));
        }
        "limits.maxInputBytes" => return Some(Json::Number(config.max_input_bytes() as f64)),
        // Nothing asks for these.
        "durability" | "durabilityIntervalMs" if !config.persistence.is_enabled() => {
            return Some(Json::Null);
        }
        "revocation" if config.auth.is_none() => return Some(Json::Null),
        _ => {}
    }
    if !row.has_members() {
        return (row.slot)(config).map(|setting| setting.shown());
    }
    match (is_on(config, row.path), row.kind) {
        (Some(false), Kind::OptionalSection) => Some(Json::Null),
        (Some(false), Kind::AutoSwitch) => {
            let when = config.console.as_ref().map(|console| console.when);
            Some(if when == Some(ConsoleWhen::Auto) { Json::from("auto") } else { false.into() })
        }
        (Some(false), _) => Some(Json::Bool(false)),
        _ => {
            let members = section(config, row.path);
            // Without a place for any of them there is no place for it.
            (!members.is_empty()).then_some(Json::Object(members))
        }
    }
}
