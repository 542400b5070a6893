//! From `access.sets` of the configuration to the sets of the engine.

use super::definitions::{self, Met};
use crate::config::{Config, ConfigError, Problem};
use crate::engine::Engine;
use crate::json::{Json, Object};
use crate::spelling::Unknown;
use crate::storage::{Document, Origin};
use crate::store::Store;
use crate::store::rows::{RowRules, unknown_sets};

const MEMBERS: &[&str] = &["bucket", "filter", "field"];

fn path(name: &str) -> String {
    format!("access.sets.{name}")
}

/// What is wrong with a set by itself.
fn problems_of(name: &str, body: &Json) -> Vec<Problem> {
    let Some(body) = body.as_object() else { return Vec::new() };
    let mut unknown = Unknown::at_most(MEMBERS.len());
    unknown.look("", body, MEMBERS);
    let mut problems: Vec<Problem> = unknown
        .found()
        .into_iter()
        .map(|member| Problem {
            at: format!("{}.{}", path(name), member.name),
            text: member.problem(),
        })
        .collect();
    for member in ["bucket", "field"] {
        if body.get(member).and_then(Json::as_str).is_none_or(str::is_empty) {
            let text = "expected non-empty string".into();
            problems.push(Problem { at: format!("{}.{member}", path(name)), text });
        }
    }
    if body.get("filter").and_then(Json::as_object).is_none() {
        problems
            .push(Problem { at: format!("{}.filter", path(name)), text: "expected object".into() });
    }
    problems
}

/// Row rules of configured buckets that name sets which are not there.
fn rows_problems(store: &Store, config: &Config, is_set: impl Fn(&str) -> bool) -> Vec<Problem> {
    let mut problems = Vec::new();
    for name in config.buckets.keys() {
        let Some(bucket) = store.bucket_named(name) else { continue };
        let Some(rows) = &bucket.definition().rows else { continue };
        let issues = unknown_sets(rows, &is_set);
        if !issues.is_empty() {
            problems.push(Problem { at: format!("buckets.{name}"), text: issues.join("; ") });
        }
    }
    problems
}

/// Checks the configured sets and what names them.
///
/// # Errors
/// Every one that would be refused.
pub(super) fn check(
    store: &mut Store,
    config: &Config,
    is_elsewhere: &dyn Fn(&str) -> bool,
) -> Result<(), ConfigError> {
    let mut problems = Vec::new();
    for (name, body) in config.access_sets.iter() {
        let own = problems_of(name, body);
        if !own.is_empty() {
            problems.extend(own);
            continue;
        }
        let body = body.as_object().cloned().unwrap_or_default();
        let bucket = body.get("bucket").and_then(Json::as_str).unwrap_or_default();
        if store.bucket_id(bucket).is_none() && is_elsewhere(bucket) {
            continue;
        }
        if let Err(error) = store.define_set(name, &body) {
            problems.push(problem(name, &error.message));
        }
    }
    // A set may be stored.
    if !config.persistence.is_enabled() {
        problems.extend(rows_problems(store, config, |name| config.access_sets.contains(name)));
    }
    ConfigError::of(problems)
}

fn problem(name: &str, message: &str) -> Problem {
    let prefix = format!("Invalid set \"{name}\": ");
    let text = message.strip_prefix(&*prefix).unwrap_or(message);
    Problem { at: path(name), text: text.to_owned() }
}

/// Lets configured and stored sets meet. One that is not configured any more
/// stays as long as a bucket uses it.
///
/// # Errors
/// For something stored that cannot be read, and as [`check`].
pub(super) fn meet(
    config: &Config,
    store: &Store,
    stored: &mut Vec<Document>,
) -> Result<Met, ConfigError> {
    let problems = config.access_sets.iter().flat_map(|(name, body)| problems_of(name, body));
    ConfigError::of(problems.collect())?;
    let is_used = |name: &str| {
        store.buckets().any(|bucket| {
            let rows = bucket.definition().rows.as_ref();
            rows.is_some_and(|rows| rows.sets().any(|set| set == name))
        })
    };
    for document in stored.iter_mut().filter(|document| document.kind == "set") {
        if document.origin == Origin::File
            && !config.access_sets.contains(&document.name)
            && is_used(&document.name)
        {
            log::warn!(
                "set \"{}\" is no longer configured; it stays, because a bucket uses it",
                document.name
            );
            document.origin = Origin::Wire;
        }
    }
    definitions::meet("set", &config.access_sets, stored)
}

/// What a configuration with row rules may not mean.
fn warn(config: &Config, store: &Store) {
    let named = |wanted: &dyn Fn(&RowRules) -> bool| {
        let buckets = store
            .buckets()
            .filter(|bucket| bucket.definition().rows.as_ref().is_some_and(|rows| wanted(rows)));
        buckets.map(|bucket| format!("\"{}\"", bucket.name())).collect::<Vec<_>>().join(", ")
    };
    if config.auth.is_none() {
        let buckets = named(&|_| true);
        if !buckets.is_empty() {
            log::warn!(
                "without \"auth\" nothing is checked: the row rules of these buckets do not apply: \
                 {buckets}"
            );
        }
        return;
    }
    let events = config.rules.as_ref().and_then(|rules| rules.store_events.as_ref());
    if events.is_some_and(|events| events.buckets.is_none()) {
        let buckets = named(&RowRules::hides);
        if !buckets.is_empty() {
            log::warn!(
                "rules.storeEvents: events of these buckets reach rules and no client, because \
                 not everybody may see their records (name them in \"buckets\" to change that): \
                 {buckets}"
            );
        }
    }
}

/// Defines them.
///
/// # Errors
/// For a set that is refused, and for row rules that name one that is not there.
pub(super) fn start(config: &Config, met: &Met, engine: &mut Engine) -> Result<(), ConfigError> {
    let mut problems = Vec::new();
    for definition in &met.definitions {
        let body: Object = definition.body.as_object().cloned().unwrap_or_default();
        if let Err(error) = engine.restore_set(&definition.name, &body, definition.origin) {
            problems.push(problem(&definition.name, &error.message));
        }
    }
    warn(config, engine.store());
    let missing = rows_problems(engine.store(), config, |name| engine.has_set(name));
    problems.extend(missing);
    ConfigError::of(problems)
}
