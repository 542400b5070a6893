//! Stored programs made of JSON steps.
//!
//! Owns what a definition is, the registry of definitions, templates,
//! conditions and the order of execution. What a step does to records, facts
//! and events is the business of a [`Host`]; it must not know connections,
//! buckets or clocks.
//!
//! Files from the ground up; each imports only what stands above its line:
//!
//! 1. `parameter`, `scope`
//! 2. `condition`, `reshape`
//! 3. `steps`
//! 4. `validate`
//! 5. `definition`
//! 6. `run`

mod condition;
mod definition;
mod parameter;
mod reshape;
mod run;
mod scope;
mod steps;
mod validate;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

pub(crate) use definition::Definition;
pub(crate) use run::{Call, Host, Outcome, StepError};
pub(crate) use scope::{Caller, Scope, json_of, members_of};
pub(crate) use steps::Action;

use crate::json::{Json, Object};
use crate::protocol::{ErrorCode, OpError};

/// Bounds of definitions and calls.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Steps of one definition, nested ones included.
    pub max_steps: usize,
    /// Levels of `if` within each other.
    pub max_condition_depth: usize,
    /// Time of a call in milliseconds, for definitions without one.
    pub default_timeout_ms: f64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { max_steps: 100, max_condition_depth: 5, default_timeout_ms: 30_000.0 }
    }
}

/// The procedures, in the order in which they were registered.
#[derive(Debug, Default)]
pub(crate) struct Procedures {
    pub limits: Limits,
    by_name: HashMap<Box<str>, u64>,
    all: BTreeMap<u64, Arc<Definition>>,
    registered: u64,
}

impl Procedures {
    pub fn new(limits: Limits) -> Self {
        Procedures { limits, ..Procedures::default() }
    }

    /// Checks a definition, without entering it.
    pub fn check(&self, supplied: &Object) -> Result<Definition, OpError> {
        Definition::parse(supplied.clone(), &self.limits)
    }

    /// Whether a name can be registered.
    pub fn require_free(&self, name: &str) -> Result<(), OpError> {
        if !self.by_name.contains_key(name) {
            return Ok(());
        }
        let text = format!("Procedure \"{name}\" already exists");
        Err(OpError::new(ErrorCode::AlreadyExists, text))
    }

    /// Enters a definition under its name, which is free.
    pub fn register(&mut self, definition: Definition) {
        self.registered += 1;
        self.by_name.insert(definition.name.clone(), self.registered);
        self.all.insert(self.registered, Arc::new(definition));
    }

    pub fn unregister(&mut self, name: &str) -> Result<(), OpError> {
        let number = self.by_name.remove(name).ok_or_else(|| not_found(name))?;
        self.all.remove(&number);
        Ok(())
    }

    /// The definition with the members of `updates` in it. A name cannot be
    /// changed.
    pub fn merged(&self, name: &str, updates: &Object) -> Result<Object, OpError> {
        let mut merged = self.get(name)?.supplied.clone();
        for (member, value) in updates.iter().filter(|(member, _)| *member != "name") {
            merged.insert(member, value.clone());
        }
        Ok(merged)
    }

    /// Puts a definition in the place of the one of its name.
    pub fn replace(&mut self, definition: Definition) {
        if let Some(number) = self.by_name.get(&definition.name) {
            self.all.insert(*number, Arc::new(definition));
        }
    }

    pub fn get(&self, name: &str) -> Result<&Arc<Definition>, OpError> {
        let found = self.by_name.get(name).and_then(|number| self.all.get(number));
        found.ok_or_else(|| not_found(name))
    }

    pub fn is_registered(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Definition> {
        self.all.values().map(|definition| &**definition)
    }

    /// What `procedures.list` shows of a definition.
    pub fn summary(definition: &Definition) -> Json {
        let mut summary = Object::new();
        summary.insert("name", Json::from(&*definition.name));
        if let Some(description) = definition.supplied.get("description") {
            summary.insert("description", description.clone());
        }
        summary.insert("stepsCount", Json::Number(definition.steps.len() as f64));
        Json::Object(summary)
    }
}

/// `Procedure "{name}" not found`
fn not_found(name: &str) -> OpError {
    OpError::not_found(format!("Procedure \"{name}\" not found"))
}
