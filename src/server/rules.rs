//! From the configuration of rules to a rule engine.

use crate::config::{Config, ConfigError, Problem, Rules};
use crate::engine::{Engine, RulesSetup, StoreEvents, check_rules};
use crate::json::Object;
use crate::rules::{Group, Options};

/// Checks the configured groups and definitions.
///
/// # Errors
///
/// Every definition that would be refused, with its path; of the groups, the
/// first.
pub(super) fn check(config: &Config) -> Result<(), ConfigError> {
    let Some(settings) = &config.rules else { return Ok(()) };
    check_rules(groups(settings), Vec::new()).map_err(problem)?;
    // One by one, because the first that is wrong ends a look at all of them.
    let mut problems = Vec::new();
    for (at, definition) in settings.definitions.iter().enumerate() {
        let rule = definition.as_object().cloned().ok_or_else(|| not_an_object(0));
        if let Err(line) = rule.and_then(|rule| check_rules(groups(settings), vec![rule])) {
            let line = line.replacen("definitions[0]", &format!("definitions[{at}]"), 1);
            problems.extend(problem(line).problems);
        }
    }
    ConfigError::of(problems)?;
    // Together they can still have the same id.
    check_rules(groups(settings), definitions(settings)?).map_err(problem)
}

/// Switches the rule engine on, if it is configured.
///
/// # Errors
///
/// As [`check`], or something stored cannot be read.
pub(super) fn start(config: &Config, engine: &mut Engine) -> Result<(), ConfigError> {
    let Some(settings) = &config.rules else { return Ok(()) };
    let setup = RulesSetup {
        options: Options {
            max_forward_depth: settings.max_forward_depth,
            max_cascade_events: u32::try_from(settings.max_cascade_events).unwrap_or(u32::MAX),
            chain_facts: settings.chain_facts,
            ..Options::default()
        },
        groups: groups(settings),
        definitions: definitions(settings)?,
        store_events: settings.store_events.as_ref().map(|events| StoreEvents {
            buckets: events.buckets.clone(),
            prefix: events.prefix.clone(),
        }),
        stopwatch: Some(super::stopwatch),
    };
    engine.set_rules(setup).map_err(problem)
}

fn groups(settings: &Rules) -> Vec<Group> {
    let groups = settings.groups.iter().map(|group| Group {
        id: group.id.clone(),
        name: group.name.clone(),
        description: group.description.clone(),
        enabled: group.enabled,
    });
    groups.collect()
}

fn definitions(settings: &Rules) -> Result<Vec<Object>, ConfigError> {
    let definitions = settings
        .definitions
        .iter()
        .enumerate()
        .map(|(at, rule)| rule.as_object().cloned().ok_or_else(|| problem(not_an_object(at))));
    definitions.collect()
}

fn not_an_object(at: usize) -> String {
    format!("rules.definitions[{at}]: Rule must be an object")
}

/// One problem, with the path of the setting in front.
fn problem(line: String) -> ConfigError {
    let (at, text) = line.split_once(": ").unwrap_or(("rules", &line));
    ConfigError { problems: vec![Problem { at: at.into(), text: text.into() }] }
}
