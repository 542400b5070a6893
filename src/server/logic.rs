//! From the configuration of logic to its definitions.

use super::definitions::{self, Met};
use crate::budget::Budget;
use crate::config::{Config, ConfigError, Logic as Settings, Problem};
use crate::engine::Engine;
use crate::json::{Json, Object};
use crate::logic::{COMPUTED, CONSTRAINT, ExprLimits, Logic, LogicLimits, VIEW};
use crate::protocol::{ErrorCode, OpError};
use crate::storage::{Document, Origin};
use crate::store::{Store, WriteCx};

/// The kinds of definitions in the order of the start, and where each is
/// configured.
const KINDS: [(&str, &str); 3] =
    [(COMPUTED, "logic.computed"), (CONSTRAINT, "logic.constraints"), (VIEW, "logic.views")];

/// What this start is to have, kind by kind.
pub(super) type AllMet = Vec<(&'static str, Met)>;

fn limits(settings: &Settings) -> LogicLimits {
    LogicLimits {
        definitions: settings.max_definitions,
        expr: ExprLimits {
            depth: usize::try_from(settings.max_expr_depth).unwrap_or(usize::MAX),
            nodes: settings.max_expr_nodes,
        },
        view_rows: settings.max_view_rows,
    }
}

/// The configured definitions of a kind by their names.
fn configured(settings: &Settings, kind: &str) -> Result<Object, ConfigError> {
    let (list, at) = match kind {
        COMPUTED => return Ok(settings.computed.clone()),
        VIEW => (&settings.views, "logic.views"),
        _ => (&settings.constraints, "logic.constraints"),
    };
    let mut problems = Vec::new();
    let mut named = Object::new();
    for (place, definition) in list.iter().enumerate() {
        let at = format!("{at}[{place}]");
        if definition.as_object().is_none() {
            problems.push(Problem { at, text: "expected object".into() });
            continue;
        }
        // One without a name says so when it is defined.
        let name = definition.get("name").and_then(Json::as_str).unwrap_or_default();
        if named.insert(name, definition.clone()).is_some() {
            problems.push(Problem { at, text: format!("\"{name}\" is there twice") });
        }
    }
    ConfigError::of(problems).map(|()| named)
}

fn problem(at: &str, name: &str, error: &OpError) -> Problem {
    Problem { at: format!("{at}.{name}"), text: error.message.clone().into_owned() }
}

/// Lets configured and stored definitions meet.
///
/// # Errors
///
/// For a configured one that is none, or a stored one that cannot be read.
pub(super) fn meet(config: &Config, stored: &mut Vec<Document>) -> Result<AllMet, ConfigError> {
    let Some(settings) = &config.logic else { return Ok(Vec::new()) };
    let of = |(kind, _): (&'static str, &str)| {
        Ok((kind, definitions::meet(kind, &configured(settings, kind)?, stored)?))
    };
    KINDS.into_iter().map(of).collect()
}

/// Switches logic on, if it is configured, with all its definitions.
///
/// # Errors
///
/// Every configured definition that would be refused over the wire.
pub(super) fn start(config: &Config, met: &AllMet, engine: &mut Engine) -> Result<(), ConfigError> {
    engine.set_logic(config.logic.as_ref().map(|settings| Logic::new(limits(settings))));
    let mut problems = Vec::new();
    for (kind, met) in met {
        let at = KINDS.iter().find(|(have, _)| have == kind).map_or(*kind, |(_, at)| *at);
        for definitions::Definition { name, body, origin, .. } in &met.definitions {
            let is_stored = *origin == Origin::Wire;
            match engine.restore_logic(kind, name, body, is_stored) {
                Ok(()) => {}
                Err(error) if is_stored => {
                    log::warn!("{kind} \"{name}\" is not taken over: {error}");
                }
                Err(error) => problems.push(problem(at, name, &error)),
            }
        }
    }
    ConfigError::of(problems)
}

/// Checks what is configured, on a store that has the configured buckets.
///
/// # Errors
///
/// Every definition that would be refused, but those on buckets that may be
/// `elsewhere`.
pub(super) fn check(
    store: &mut Store,
    config: &Config,
    elsewhere: &dyn Fn(&str) -> bool,
) -> Result<(), ConfigError> {
    let Some(settings) = &config.logic else { return Ok(()) };
    let mut logic = Logic::new(limits(settings));
    let mut found = Ok(());
    let budget = Budget::unlimited();
    for (kind, at) in KINDS {
        let definitions = match configured(settings, kind) {
            Ok(definitions) => definitions,
            Err(error) => {
                found = ConfigError::together(found, Err(error));
                continue;
            }
        };
        let mut problems = Vec::new();
        for (name, body) in definitions.iter() {
            let object = body.as_object().cloned().unwrap_or_default();
            let cx = WriteCx { now: 0.0, budget: &budget };
            let defined = logic
                .parse(store, kind, name, &object)
                .and_then(|draft| logic.define(store, draft, false, cx));
            if let Err(error) = defined {
                let missing = error.code == ErrorCode::BucketNotDefined;
                let bucket = error.message.split('"').nth(1).unwrap_or_default();
                if !(missing && elsewhere(bucket)) {
                    problems.push(problem(at, name, &error));
                }
            }
        }
        found = ConfigError::together(found, ConfigError::of(problems));
    }
    found
}
