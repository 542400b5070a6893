//! Sets as they are defined: which records of which bucket give their values to
//! whom. The lists that are kept of them are `crate::query`'s.

use super::{Principal, SetFilter};
use crate::budget::Budget;
use crate::json::{Json, Kind, Object, parse};
use crate::protocol::{OpError, bounds};
use crate::store::{Bucket, BucketId, FieldRef, Filter, Layout, Row, Store, not_defined};

/// How many sets there may be.
const MAX_SETS: usize = 100;
/// How many values one may have.
pub(crate) const MOST_SET_VALUES: usize = 10_000;

/// A named list of values that belongs to somebody.
#[derive(Clone, Debug)]
pub struct SetDefinition {
    pub bucket: Box<str>,
    pub filter: SetFilter,
    pub field: Box<str>,
    /// As it is stored.
    pub body: Object,
}

/// In order of definition.
#[derive(Clone, Debug, Default)]
pub(in crate::store) struct SetDefinitions(Vec<(Box<str>, SetDefinition)>);

/// What a record adds to a set by that field, in storage form.
pub fn set_value<'r>(row: &'r Row, field: &FieldRef) -> Option<&'r str> {
    let value = row.field(field)?;
    (!matches!(value.kind(), Kind::Null | Kind::Array | Kind::Object)).then(|| value.text())
}

/// The values of a set named `name`, from their storage form.
///
/// # Errors
/// `Set "{n}" has too many values (maximum 10000)`
pub fn set_values<'v>(
    name: &str,
    values: impl ExactSizeIterator<Item = &'v str>,
) -> Result<Vec<Json>, OpError> {
    if values.len() > MOST_SET_VALUES {
        let text = format!("Set \"{name}\" has too many values (maximum {MOST_SET_VALUES})");
        return Err(OpError::validation(text));
    }
    let value = |text: &str| parse(text, 1).map(|raw| raw.to_json()).unwrap_or_default();
    Ok(values.map(value).collect())
}

impl SetDefinition {
    fn parse(layout: &Layout, name: &str, body: &Object) -> Result<SetDefinition, OpError> {
        let text = |member: &str| body.get(member).and_then(Json::as_str).unwrap_or_default();
        let filter = body.get("filter").and_then(Json::as_object).cloned().unwrap_or_default();
        let filter = SetFilter::parse(layout, &filter)
            .map_err(|reason| OpError::validation(format!("Invalid set \"{name}\": {reason}")))?;
        Ok(SetDefinition {
            bucket: text("bucket").into(),
            filter,
            field: text("field").into(),
            body: body.clone(),
        })
    }

    /// Its filter for somebody.
    ///
    /// # Errors
    /// None: there are no sets in it.
    pub fn fill(&self, who: &Principal<'_>) -> Result<Json, OpError> {
        self.filter.fill(who).map(Json::Object)
    }

    /// The same, compiled.
    ///
    /// # Errors
    /// Too many conditions.
    pub fn compile(bucket: &Bucket, filled: &Json) -> Result<Filter, OpError> {
        let filter = Filter::from_json(bucket.layout(), filled)?;
        bounds::check_conditions(filter.conditions())?;
        Ok(filter)
    }

    /// Its values for somebody as they are now, sorted by their text, and the
    /// bucket that they come from.
    ///
    /// # Errors
    /// `BUCKET_NOT_DEFINED`, too many values, the budget's.
    pub fn read(
        &self,
        store: &Store,
        name: &str,
        who: &Principal<'_>,
        budget: &Budget,
    ) -> Result<(BucketId, Vec<Json>), OpError> {
        let bucket = store.bucket_named(&self.bucket).ok_or_else(|| not_defined(&self.bucket))?;
        let filter = Self::compile(bucket, &self.fill(who)?)?;
        let field = bucket.layout().field(&self.field);
        let rows = bucket.select_all(Some(&filter), budget);
        let mut values: Vec<&str> = rows.filter_map(|(_, row)| set_value(row, &field)).collect();
        values.sort_unstable();
        values.dedup();
        budget.check()?;
        Ok((bucket.id(), set_values(name, values.iter().copied())?))
    }
}

impl Store {
    /// A set by its name.
    pub fn set(&self, name: &str) -> Option<&SetDefinition> {
        self.sets.0.iter().find(|(have, _)| **have == *name).map(|(_, defined)| defined)
    }

    /// The sets in order of definition.
    pub fn sets(&self) -> impl Iterator<Item = (&str, &SetDefinition)> {
        self.sets.0.iter().map(|(name, defined)| (&**name, defined))
    }

    /// Defines a set, or another one of its name. `body` has `bucket`, `filter`
    /// and `field`, each of its type.
    ///
    /// # Errors
    /// `BUCKET_NOT_DEFINED`, `Invalid set "{name}": {reason}`, too many sets.
    pub fn define_set(&mut self, name: &str, body: &Object) -> Result<(), OpError> {
        let bucket = body.get("bucket").and_then(Json::as_str).unwrap_or_default();
        let defined = SetDefinition::parse(self.require(bucket)?.layout(), name, body)?;
        self.put_set(name, defined)
    }

    /// Puts back one that was stored; its bucket may be gone since, or another one of
    /// its name that does not know the words of what is searched. Whoever uses it is
    /// told so.
    ///
    /// # Errors
    /// `Invalid set "{name}": {reason}`, too many sets.
    pub fn restore_set(&mut self, name: &str, body: &Object) -> Result<(), OpError> {
        let defined = SetDefinition::parse(&Layout::unknown(), name, body)?;
        self.put_set(name, defined)
    }

    fn put_set(&mut self, name: &str, defined: SetDefinition) -> Result<(), OpError> {
        let count = self.sets.0.len();
        match self.sets.0.iter_mut().find(|(have, _)| **have == *name) {
            Some((_, have)) => *have = defined,
            None if count >= MAX_SETS => {
                let text = format!("Too many sets (maximum {MAX_SETS})");
                return Err(OpError::validation(text));
            }
            None => self.sets.0.push((name.into(), defined)),
        }
        Ok(())
    }

    /// Takes a set away. Whether it was there.
    pub fn undefine_set(&mut self, name: &str) -> bool {
        let before = self.sets.0.len();
        self.sets.0.retain(|(have, _)| **have != *name);
        before != self.sets.0.len()
    }
}
