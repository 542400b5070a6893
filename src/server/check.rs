//! Looks at the parts of a configuration that only the parts of the server
//! understand, before anything is opened.
//!
//! Must not open or write anything: `--check` does no more than this.

use std::cell::Cell;
use std::io;
use std::path::Path;

use super::{assemble, logic, procedures, rules, sets};
use crate::access::External;
use crate::config::{Auth, Config, ConfigError, Problem};
use crate::json::{Json, Object};
use crate::query::{ViewLimits, Views};
use crate::store::Store;

/// Checks the definitions of a configuration (buckets, queries and the like)
/// with the code that the operations use, on an empty server, and its tokens
/// and keys unless those stand in files of their own.
///
/// What can be right only with the data that is stored is left to the start: a
/// query may read a bucket that was defined over the wire.
///
/// # Errors
///
/// Everything that would be refused, with its path.
pub fn check_definitions(config: &Config) -> Result<(), ConfigError> {
    let mut store = Store::new();
    let buckets = assemble::configure(&mut store, config).map(|_| ());
    let found = ConfigError::together(external(config), buckets);
    let found = ConfigError::together(found, queries(&store, config));
    let elsewhere = |bucket: &str| is_elsewhere(bucket, &config.buckets, config);
    let found = ConfigError::together(found, sets::check(&mut store, config, &elsewhere));
    let found = ConfigError::together(found, logic::check(&mut store, config, &elsewhere));
    let found = ConfigError::together(found, rules::check(config));
    ConfigError::together(found, procedures::check(config))
}

fn external(config: &Config) -> Result<(), ConfigError> {
    let Some(Auth::External(settings)) = &config.auth else { return Ok(()) };
    let needs_file = Cell::new(false);
    let read = |_: &Path| {
        needs_file.set(true);
        Err(io::ErrorKind::NotFound.into())
    };
    match External::new(settings, &read) {
        Err(lines) if !needs_file.get() => {
            let mut problems = assemble::access_problems(lines).problems;
            // A key that is none has a word of its own.
            let placeholders = config.placeholders();
            problems.retain(|problem| placeholders.iter().all(|known| known.at != problem.at));
            ConfigError::of(problems)
        }
        _ => Ok(()),
    }
}

fn queries(store: &Store, config: &Config) -> Result<(), ConfigError> {
    let mut views = Views::new(ViewLimits::default());
    let mut problems: Vec<Problem> = Vec::new();
    for (name, body) in config.queries.iter() {
        problems.extend(assemble::unknown_in_query(name, body));
        let source = body.as_object().and_then(|body| body.get("bucket")).and_then(Json::as_str);
        let is_unseen = source.is_some_and(|source| {
            store.bucket_id(source).is_none() && is_elsewhere(source, &config.buckets, config)
        });
        if is_unseen {
            continue;
        }
        if let Err(error) = views.define(store, name, body) {
            problems.push(assemble::query_problem(name, body, &error.message));
        }
    }
    ConfigError::of(problems)
}

/// Whether a bucket that is not there may be: its definition is wrong, which is
/// a problem of its own, or it is stored.
fn is_elsewhere(bucket: &str, configured: &Object, config: &Config) -> bool {
    configured.contains(bucket) || config.persistence.is_enabled()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::{Object, parse};

    fn object(text: &str) -> Object {
        parse(text, 64).expect("JSON").to_json().as_object().expect("an object").clone()
    }

    #[test]
    fn members_that_mean_nothing_are_mistakes_in_the_configuration() {
        let config = Config {
            buckets: object(
                r#"{"b":{"key":"id","index":["n"],"schema":{"id":{"type":"string"},"n":{"type":"number","requierd":true}}}}"#,
            ),
            queries: object(
                r#"{"q":{"bucket":"b","filters":{},"aggregate":{"function":"count","by":"n"}},"r":{"bucket":"b"}}"#,
            ),
            ..Config::default()
        };
        let error = check_definitions(&config).expect_err("refused");
        assert_eq!(
            error.to_string(),
            "buckets.b.index: Unknown member \"index\": did you mean \"indexes\"?\n\
             buckets.b.schema.n.requierd: Unknown member \"requierd\": did you mean \"required\"?\n\
             queries.q.filters: Unknown member \"filters\": did you mean \"filter\"?\n\
             queries.q.aggregate.by: Unknown member \"by\""
        );
    }
}
