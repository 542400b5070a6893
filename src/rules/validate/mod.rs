//! Validation of rule definitions: everything that is wrong, in a fixed order,
//! each with its path and the message clients know.
//!
//! Works on the definition as it was sent. Changes nothing, fills in nothing.

mod action;
mod condition;
mod lookup;
mod trigger;

#[cfg(test)]
mod tests;

use crate::budget::Budget;
use crate::json::{Json, Object};
use crate::protocol::bounds;
use crate::store::schema::{MAX_ISSUES, MAX_TEXT, shortened};

use super::duration::{self, DurationError};
use super::value::{is_blank, text_of};

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issue {
    pub path: String,
    pub message: String,
    pub is_error: bool,
}

impl Issue {
    fn to_json(&self) -> Json {
        let severity = if self.is_error { "error" } else { "warning" };
        let members: [(&str, Json); 3] = [
            ("path", Json::from(&*self.path)),
            ("message", Json::from(&*self.message)),
            ("severity", Json::from(severity)),
        ];
        Json::Object(members.into_iter().collect::<Object>())
    }
}

/// What a definition may refer to. Only for warnings.
pub(super) trait Surroundings {
    fn has_group(&self, group: &str) -> bool;
    fn has_service(&self, service: &str) -> bool;
}

/// All findings about one definition.
#[derive(Debug, Default)]
pub struct Findings {
    pub errors: Vec<Issue>,
    pub warnings: Vec<Issue>,
}

impl Findings {
    pub fn is_valid(&self) -> bool {
        self.errors.is_empty()
    }

    pub fn errors_json(&self) -> Json {
        Json::Array(self.errors.iter().map(Issue::to_json).collect())
    }

    pub fn warnings_json(&self) -> Json {
        Json::Array(self.warnings.iter().map(Issue::to_json).collect())
    }
}

/// Checks a definition.
pub(super) fn validate(rule: &Object, around: &dyn Surroundings, budget: &Budget) -> Findings {
    let mut check = Check { findings: Findings::default(), more: (0, 0), around, budget };
    check.rule(rule);
    check.findings
}

/// The walk over one definition. The functions take the object, the path in
/// front of its members (with a trailing dot where it is not empty) and so on
/// down.
struct Check<'a> {
    findings: Findings,
    /// Errors and warnings that are not listed.
    more: (usize, usize),
    around: &'a dyn Surroundings,
    /// What compiled patterns are taken from. Used up, there are findings that
    /// were not made.
    budget: &'a Budget,
}

/// Takes in a finding. What is not listed any more is counted in the last one.
fn add(findings: &mut Vec<Issue>, more: &mut usize, issue: Issue) {
    let Issue { path, message, is_error } = issue;
    if findings.len() < MAX_ISSUES {
        let path = shortened(&path, MAX_TEXT).into_owned();
        let message = shortened(&message, MAX_TEXT).into_owned();
        return findings.push(Issue { path, message, is_error });
    }
    *more += 1;
    findings.truncate(MAX_ISSUES);
    let (path, message) = ("(root)".to_owned(), format!("and {more} more"));
    findings.push(Issue { path, message, is_error });
}

/// How a required text is spoken of.
struct Text<'t> {
    name: &'t str,
    missing: &'t str,
    not_a_string: &'t str,
    blank: Option<&'t str>,
}

impl Check<'_> {
    fn error(&mut self, path: impl Into<String>, message: impl Into<String>) {
        let issue = Issue { path: path.into(), message: message.into(), is_error: true };
        add(&mut self.findings.errors, &mut self.more.0, issue);
    }

    fn warning(&mut self, path: impl Into<String>, message: impl Into<String>) {
        let issue = Issue { path: path.into(), message: message.into(), is_error: false };
        add(&mut self.findings.warnings, &mut self.more.1, issue);
    }

    /// A member that must be a string; what it is, if it is one.
    fn text<'j>(&mut self, object: &'j Object, at: &str, text: Text<'_>) -> Option<&'j str> {
        let path = || format!("{at}{}", text.name);
        match (object.get(text.name), text.blank) {
            (None, _) => self.error(path(), text.missing),
            (Some(Json::String(value)), Some(blank)) if is_blank(value) => {
                self.error(path(), blank);
            }
            (Some(Json::String(value)), _) => return Some(value),
            (Some(_), _) => self.error(path(), text.not_a_string),
        }
        None
    }

    fn rule(&mut self, rule: &Object) {
        for name in ["id", "name"] {
            self.text(
                rule,
                "",
                Text {
                    name,
                    missing: &format!("Required field \"{name}\" is missing"),
                    not_a_string: &format!("Field \"{name}\" must be a string"),
                    blank: Some(&format!("Field \"{name}\" cannot be empty")),
                },
            );
        }
        for (name, kind) in [("id", "Rule"), ("name", "Rule"), ("group", "Group")] {
            if rule.get(name).and_then(Json::as_str).is_some_and(bounds::is_long_name) {
                self.error(name, bounds::long_name(kind));
            }
        }
        if !rule.contains("trigger") {
            self.error("trigger", "Required field \"trigger\" is missing");
        }
        self.optional_fields(rule);
        if let Some(trigger) = rule.get("trigger") {
            self.trigger(trigger);
        }
        if let Some(conditions) = rule.get("conditions") {
            self.conditions(conditions, "conditions");
        }
        if let Some(actions) = rule.get("actions") {
            self.top_actions(actions);
        }
        if let Some(lookups) = rule.get("lookups") {
            self.lookups(lookups);
        }
    }

    fn optional_fields(&mut self, rule: &Object) {
        if rule.get("description").is_some_and(|value| value.as_str().is_none()) {
            self.error("description", "Field \"description\" must be a string");
        }
        match rule.get("priority") {
            None => {}
            Some(Json::Number(number)) if number.is_finite() && number.fract() == 0.0 => {}
            Some(Json::Number(_)) => {
                self.warning("priority", "Field \"priority\" should be an integer");
            }
            Some(_) => self.error("priority", "Field \"priority\" must be a number"),
        }
        if rule.get("enabled").is_some_and(|value| value.as_bool().is_none()) {
            self.error("enabled", "Field \"enabled\" must be a boolean");
        }
        match rule.get("tags") {
            None => {}
            Some(Json::Array(tags)) => {
                for (at, tag) in tags.iter().enumerate() {
                    if tag.as_str().is_none() {
                        self.error(format!("tags[{at}]"), "Tag must be a string");
                    }
                }
            }
            Some(_) => self.error("tags", "Field \"tags\" must be an array"),
        }
        match rule.get("group") {
            None => {}
            Some(Json::String(group)) if is_blank(group) => {
                self.error("group", "Field \"group\" cannot be empty");
            }
            Some(Json::String(group)) if !self.around.has_group(group) => {
                self.warning("group", format!("Group \"{group}\" does not exist"));
            }
            Some(Json::String(_)) => {}
            Some(_) => self.error("group", "Field \"group\" must be a string"),
        }
    }

    fn service(&mut self, service: Option<&str>, at: &str) {
        if let Some(service) = service
            && !self.around.has_service(service)
        {
            let message = format!("Service \"{service}\" is not registered");
            self.warning(format!("{at}service"), message);
        }
    }
}

/// A value as messages show it: as JavaScript's `String` does, objects and what
/// contains them as JSON.
fn shown(value: Option<&Json>) -> String {
    match value {
        None => "undefined".to_owned(),
        Some(Json::Null) => "null".to_owned(),
        Some(other) => text_of(Some(other)).into_owned(),
    }
}

/// What is wrong with a duration, if anything.
fn duration_error(value: &Json) -> Option<DurationError> {
    duration::parse(value).err()
}
