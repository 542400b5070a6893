//! From the configuration of procedures to their registry.

use super::definitions::{self, Met};
use crate::config::{Auth, Config, ConfigError, Problem};
use crate::engine::Engine;
use crate::identity::{RESERVED, refused_system_bucket};
use crate::json::{Json, Object};
use crate::procedures::{Limits, Procedures};
use crate::storage::Document;

fn limits(config: &Config) -> Option<Limits> {
    let settings = config.procedures.as_ref()?;
    Some(Limits {
        max_steps: settings.max_steps,
        max_condition_depth: usize::try_from(settings.max_condition_depth).unwrap_or(usize::MAX),
        default_timeout_ms: settings.default_timeout_ms,
    })
}

/// The configured definitions by name.
///
/// # Errors
/// Every one that would be refused, with its place and name.
fn configured(config: &Config) -> Result<Object, ConfigError> {
    let mut by_name = Object::new();
    let (Some(settings), Some(limits)) = (&config.procedures, limits(config)) else {
        return Ok(by_name);
    };
    let is_built_in = matches!(config.auth, Some(Auth::BuiltIn(_)));
    let mut registry = Procedures::new(limits);
    let mut problems = Vec::new();
    for (at, definition) in settings.definitions.iter().enumerate() {
        let at = format!("procedures.definitions[{at}]");
        let supplied = definition.as_object().cloned().unwrap_or_default();
        let checked = registry.check(&supplied).and_then(|definition| {
            registry.require_free(&definition.name)?;
            let mut buckets = definition.buckets().into_iter();
            match buckets.find(|bucket| is_built_in && bucket.starts_with(RESERVED)) {
                Some(bucket) => Err(refused_system_bucket(bucket)),
                None => Ok(definition),
            }
        });
        match checked {
            Ok(definition) => {
                by_name.insert(&*definition.name, Json::Object(supplied));
                registry.register(definition);
            }
            Err(error) => {
                let name = supplied.get("name").and_then(Json::as_str);
                let text = match name {
                    Some(name) => format!("\"{name}\": {}", error.message),
                    None => error.message.into_owned(),
                };
                problems.push(Problem { at, text });
            }
        }
    }
    ConfigError::of(problems).map(|()| by_name)
}

/// Checks the configured definitions.
///
/// # Errors
/// Every one that would be refused.
pub(super) fn check(config: &Config) -> Result<(), ConfigError> {
    configured(config).map(|_| ())
}

/// Lets configured and stored procedures meet.
///
/// # Errors
/// As [`check`], or for something stored that cannot be read.
pub(super) fn meet(config: &Config, stored: &mut Vec<Document>) -> Result<Met, ConfigError> {
    definitions::meet("procedure", &configured(config)?, stored)
}

/// Switches procedures on, if they are configured.
///
/// # Errors
/// For a definition that is refused on this server, or stored and not valid.
pub(super) fn start(config: &Config, met: &Met, engine: &mut Engine) -> Result<(), ConfigError> {
    let Some(limits) = limits(config) else { return Ok(()) };
    engine.set_procedures(limits);
    let mut problems = Vec::new();
    for definition in &met.definitions {
        let body = definition.body.as_object().cloned().unwrap_or_default();
        if let Err(error) = engine.define_procedure(&body) {
            let text = format!("\"{}\": {}", definition.name, error.message);
            problems.push(Problem { at: "procedures.definitions".into(), text });
        }
    }
    ConfigError::of(problems)
}
