//! Records against their schema.

use std::borrow::Cow;
use std::fmt::Write as _;

use hashbrown::HashMap;

use super::field::{Constraints, FieldType, Property};
use super::issues::{MAX_PATTERN, shortened};
use super::{Definition, Issues};
use crate::budget::{Budget, OverBudget};
use crate::json::{Kind, Raw, number_text};
use crate::protocol::OpError;
use crate::store::{FieldRef, Row};

/// Fields further down than this are not looked at; the record's own fields
/// are at depth 0, an array counts like an object.
const MAX_DEPTH: u32 = 10;

/// So many properties are found through a table.
const TABLE_FROM: usize = 5;

/// Holds a record against a definition. `fields` are the definition's fields in
/// its order, resolved for the row's layout.
///
/// # Errors
/// `VALIDATION_ERROR` with everything that is wrong, in the order of the schema;
/// or the budget's.
pub fn validate(
    bucket: &str,
    definition: &Definition,
    fields: &[FieldRef],
    row: &Row,
    budget: &Budget,
) -> Result<(), OpError> {
    budget.spend(fields.len() as u64)?;
    let mut check = Check { path: String::new(), issues: Issues::default(), budget };
    // Looked for one by one, what has no slot would cost fields times members.
    let mut unplaced: Option<HashMap<Cow<'_, str>, Raw<'_>>> = None;
    for (field, place) in definition.fields.iter().zip(fields) {
        let constraints = &field.constraints;
        if constraints.is_only_type()
            && row.kind(place).is_some_and(|kind| accepts(constraints.field_type, kind))
        {
            continue;
        }
        // A record without a key could never be found again.
        let required = field.required || field.name == definition.key;
        let value = match place.slot() {
            Some(_) => row.field(place),
            None => {
                let members = unplaced.get_or_insert_with(|| row.raw().members().collect());
                members.get(&*field.name).copied()
            }
        };
        check.member(&field.name, value, required, constraints, 0)?;
    }
    check.issues.into_result(bucket)
}

struct Check<'b> {
    path: String,
    issues: Issues,
    budget: &'b Budget,
}

impl Check<'_> {
    /// `message` is made only for an issue that is listed.
    fn issue<T: Into<Cow<'static, str>>>(
        &mut self,
        code: &'static str,
        message: impl FnOnce() -> T,
    ) -> Result<(), OverBudget> {
        match self.issues.add(&self.path, code, || message().into()) {
            0 => Ok(()),
            bytes => self.budget.spend_text_bytes(bytes),
        }
    }

    fn member(
        &mut self,
        name: &str,
        value: Option<Raw<'_>>,
        required: bool,
        constraints: &Constraints,
        depth: u32,
    ) -> Result<(), OverBudget> {
        let before = self.path.len();
        if before > 0 {
            self.path.push('.');
        }
        self.path.push_str(name);
        match value.filter(|value| !value.is_null()) {
            Some(value) => self.value(value, constraints, depth)?,
            None if required => self.issue("required", || "Field is required")?,
            None => {}
        }
        self.path.truncate(before);
        Ok(())
    }

    fn value(
        &mut self,
        value: Raw<'_>,
        constraints: &Constraints,
        depth: u32,
    ) -> Result<(), OverBudget> {
        let kind = value.kind();
        if !accepts(constraints.field_type, kind) {
            let wanted = constraints.field_type.as_str();
            return self
                .issue("type", || format!("Expected type \"{wanted}\", got {}", kind.as_str()));
        }
        if let Some(one_of) = &constraints.one_of
            && !one_of.contains(value.text())
        {
            self.issue("enum", || one_of.message.to_string())?;
        }
        match kind {
            Kind::String => self.string(&value.as_str().unwrap_or_default(), constraints)?,
            Kind::Number => self.number(value.as_number().unwrap_or(f64::NAN), constraints)?,
            Kind::Object if constraints.field_type == FieldType::Object => {
                self.properties(value, &constraints.properties, depth + 1)?;
            }
            Kind::Array if depth < MAX_DEPTH => {
                if let Some(items) = &constraints.items {
                    self.items(value, items, depth + 1)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn properties(
        &mut self,
        object: Raw<'_>,
        properties: &[Property],
        depth: u32,
    ) -> Result<(), OverBudget> {
        if depth > MAX_DEPTH {
            return Ok(());
        }
        self.budget.spend(properties.len() as u64)?;
        let many = properties.len() >= TABLE_FROM;
        let members: HashMap<Cow<'_, str>, Raw<'_>> =
            if many { object.members().collect() } else { HashMap::new() };
        for property in properties {
            let value = match many {
                true => members.get(&*property.name).copied(),
                false => object.get(&property.name),
            };
            self.member(&property.name, value, property.required, &property.constraints, depth)?;
        }
        Ok(())
    }

    fn items(&mut self, array: Raw<'_>, items: &Constraints, depth: u32) -> Result<(), OverBudget> {
        for (at, element) in array.elements().enumerate() {
            self.budget.spend(1)?;
            if element.is_null() {
                continue;
            }
            let before = self.path.len();
            // Writing to a String cannot fail.
            let _ = write!(self.path, "[{at}]");
            self.value(element, items, depth)?;
            self.path.truncate(before);
        }
        Ok(())
    }

    fn string(&mut self, text: &str, constraints: &Constraints) -> Result<(), OverBudget> {
        if constraints.min_length.is_some() || constraints.max_length.is_some() {
            self.budget.spend_text(text.len())?;
            let length = text.chars().map(char::len_utf16).sum::<usize>() as f64;
            if let Some(min) = constraints.min_length.filter(|min| length < *min) {
                self.issue("minLength", || format!("Minimum length is {}", number_text(min)))?;
            }
            if let Some(max) = constraints.max_length.filter(|max| length > *max) {
                self.issue("maxLength", || format!("Maximum length is {}", number_text(max)))?;
            }
        }
        if let Some(pattern) = &constraints.pattern {
            let matches = pattern.is_match(text, self.budget);
            self.budget.check()?;
            if !matches {
                self.issue("pattern", || {
                    let source = shortened(pattern.source(), MAX_PATTERN);
                    format!("Value must match pattern \"{source}\"")
                })?;
            }
        }
        if let Some(format) = constraints.format {
            self.budget.spend_text(text.len())?;
            if !format.matches(text) {
                self.issue("format", || format!("Invalid {} format", format.as_str()))?;
            }
        }
        Ok(())
    }

    fn number(&mut self, number: f64, constraints: &Constraints) -> Result<(), OverBudget> {
        if let Some(min) = constraints.min.filter(|min| number < *min) {
            self.issue("min", || format!("Minimum value is {}", number_text(min)))?;
        }
        if let Some(max) = constraints.max.filter(|max| number > *max) {
            self.issue("max", || format!("Maximum value is {}", number_text(max)))?;
        }
        Ok(())
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
