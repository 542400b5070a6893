//! Records against their schema.

use std::borrow::Cow;
use std::fmt::Write as _;

use super::Definition;
use super::field::{Constraints, FieldType, Property};
use crate::json::{Json, Kind, Object, Raw, number_text};
use crate::protocol::OpError;
use crate::store::{FieldRef, Row};

/// Fields further down than this are not looked at; the record's own fields
/// are at depth 0, an array counts like an object.
const MAX_DEPTH: u32 = 10;

/// One thing that is wrong with a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issue {
    /// Path from the record: `address.lines[2]`.
    pub field: String,
    pub message: Cow<'static, str>,
    pub code: &'static str,
}

/// Everything that is wrong with a record, in the order of the schema. `fields`
/// are the definition's fields in its order, resolved for the row's layout.
pub fn validate(definition: &Definition, fields: &[FieldRef], row: &Row) -> Vec<Issue> {
    let mut check = Check { path: String::new(), issues: Vec::new() };
    for (field, place) in definition.fields.iter().zip(fields) {
        let constraints = &field.constraints;
        if constraints.is_only_type()
            && row.kind(place).is_some_and(|kind| accepts(constraints.field_type, kind))
        {
            continue;
        }
        // A record without a key could never be found again.
        let required = field.required || field.name == definition.key;
        check.member(&field.name, row.field(place), required, constraints, 0);
    }
    check.issues
}

/// The error for a record with issues.
pub fn validation_error(bucket: &str, issues: Vec<Issue>) -> OpError {
    let mut message = format!("Validation failed for bucket \"{bucket}\": ");
    let mut details = Vec::with_capacity(issues.len());
    for (at, issue) in issues.into_iter().enumerate() {
        let separator = if at > 0 { "; " } else { "" };
        // Writing to a String cannot fail.
        let _ = write!(message, "{separator}{}: {}", issue.field, issue.message);
        let detail: Object = [
            ("field", Json::from(issue.field)),
            ("message", Json::from(issue.message.into_owned())),
            ("code", Json::from(issue.code)),
        ]
        .into_iter()
        .collect();
        details.push(Json::Object(detail));
    }
    OpError::validation(message).with_details(Json::Array(details))
}

struct Check {
    path: String,
    issues: Vec<Issue>,
}

impl Check {
    fn issue(&mut self, code: &'static str, message: impl Into<Cow<'static, str>>) {
        self.issues.push(Issue { field: self.path.clone(), message: message.into(), code });
    }

    fn member(
        &mut self,
        name: &str,
        value: Option<Raw<'_>>,
        required: bool,
        constraints: &Constraints,
        depth: u32,
    ) {
        let before = self.path.len();
        if before > 0 {
            self.path.push('.');
        }
        self.path.push_str(name);
        match value.filter(|value| !value.is_null()) {
            Some(value) => self.value(value, constraints, depth),
            None if required => self.issue("required", "Field is required"),
            None => {}
        }
        self.path.truncate(before);
    }

    fn value(&mut self, value: Raw<'_>, constraints: &Constraints, depth: u32) {
        let kind = value.kind();
        if !accepts(constraints.field_type, kind) {
            let message = format!(
                "Expected type \"{}\", got {}",
                constraints.field_type.as_str(),
                name_of(kind)
            );
            return self.issue("type", message);
        }
        if let Some(one_of) = &constraints.one_of
            && !one_of.texts.iter().any(|text| **text == *value.text())
        {
            self.issue("enum", one_of.message.to_string());
        }
        match kind {
            Kind::String => self.string(&value.as_str().unwrap_or_default(), constraints),
            Kind::Number => self.number(value.as_number().unwrap_or(f64::NAN), constraints),
            Kind::Object if constraints.field_type == FieldType::Object => {
                self.properties(value, &constraints.properties, depth + 1);
            }
            Kind::Array if depth < MAX_DEPTH => {
                if let Some(items) = &constraints.items {
                    self.items(value, items, depth + 1);
                }
            }
            _ => {}
        }
    }

    fn properties(&mut self, object: Raw<'_>, properties: &[Property], depth: u32) {
        if depth > MAX_DEPTH {
            return;
        }
        for property in properties {
            let value = object.get(&property.name);
            self.member(&property.name, value, property.required, &property.constraints, depth);
        }
    }

    fn items(&mut self, array: Raw<'_>, items: &Constraints, depth: u32) {
        for (at, element) in array.elements().enumerate() {
            if element.is_null() {
                continue;
            }
            let before = self.path.len();
            // Writing to a String cannot fail.
            let _ = write!(self.path, "[{at}]");
            self.value(element, items, depth);
            self.path.truncate(before);
        }
    }

    fn string(&mut self, text: &str, constraints: &Constraints) {
        if constraints.min_length.is_some() || constraints.max_length.is_some() {
            let length = text.chars().map(char::len_utf16).sum::<usize>() as f64;
            if let Some(min) = constraints.min_length.filter(|min| length < *min) {
                self.issue("minLength", format!("Minimum length is {}", number_text(min)));
            }
            if let Some(max) = constraints.max_length.filter(|max| length > *max) {
                self.issue("maxLength", format!("Maximum length is {}", number_text(max)));
            }
        }
        if let Some(pattern) = constraints.pattern.as_ref().filter(|it| !it.is_match(text)) {
            let message = format!("Value must match pattern \"{}\"", pattern.source());
            self.issue("pattern", message);
        }
        if let Some(format) = constraints.format.filter(|format| !format.matches(text)) {
            self.issue("format", format!("Invalid {} format", format.as_str()));
        }
    }

    fn number(&mut self, number: f64, constraints: &Constraints) {
        if let Some(min) = constraints.min.filter(|min| number < *min) {
            self.issue("min", format!("Minimum value is {}", number_text(min)));
        }
        if let Some(max) = constraints.max.filter(|max| number > *max) {
            self.issue("max", format!("Maximum value is {}", number_text(max)));
        }
    }
}

fn accepts(field_type: FieldType, kind: Kind) -> bool {
    match field_type {
        FieldType::String => kind == Kind::String,
        FieldType::Number => kind == Kind::Number,
        FieldType::Boolean => kind == Kind::Bool,
        FieldType::Object => kind == Kind::Object,
        FieldType::Array => kind == Kind::Array,
        FieldType::Date => matches!(kind, Kind::String | Kind::Number),
    }
}

fn name_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Null => "null",
        Kind::Bool => "boolean",
        Kind::Number => "number",
        Kind::String => "string",
        Kind::Array => "array",
        Kind::Object => "object",
    }
}
