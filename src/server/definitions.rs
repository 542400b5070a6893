//! How configured and stored definitions meet at start, for every kind but
//! buckets: queries, procedures, rules and the like.
//!
//! The file wins over what is stored under the same name; what came from the
//! file and is no longer in it goes; what came over the wire stays.

use crate::config::ConfigError;
use crate::engine::Engine;
use crate::json::{Json, Object, Raw, parse};
use crate::storage::{Document, Origin};

/// Deeper than a definition can be: messages have at most 1024 levels.
const MAX_DEPTH: u32 = 1024;

/// The definitions of one kind that this start is to have.
#[derive(Debug, Default)]
pub(super) struct Met {
    kind: &'static str,
    /// Stored ones first, in the order in which they were first stored.
    pub definitions: Vec<Definition>,
    /// Stored ones that are gone from the file.
    removed: Vec<String>,
}

#[derive(Debug)]
pub(super) struct Definition {
    pub name: String,
    pub body: Json,
    pub origin: Origin,
    /// Not stored like this.
    is_new: bool,
}

/// Lets the definitions of a kind meet. `stored` are all stored documents;
/// those of the kind are taken out.
///
/// # Errors
///
/// For a stored definition that cannot be read.
pub(super) fn meet(
    kind: &'static str,
    configured: &Object,
    stored: &mut Vec<Document>,
) -> Result<Met, ConfigError> {
    let mut met = Met { kind, ..Met::default() };
    let (mine, others) = std::mem::take(stored).into_iter().partition(|have| have.kind == kind);
    *stored = others;
    let mine: Vec<Document> = mine;
    for Document { name, origin, body, .. } in mine {
        let stored_body = parse(&body, MAX_DEPTH).map(Raw::to_json).map_err(|error| {
            ConfigError::one("dataDir", format!("the stored {kind} \"{name}\": {error}"))
        })?;
        let definition = match configured.get(&name) {
            Some(body) => {
                let is_same = *body == stored_body;
                if !is_same {
                    log::info!("{kind} \"{name}\": the configuration differs from what is stored");
                }
                let is_new = !is_same || origin != Origin::File;
                Definition { name, body: body.clone(), origin: Origin::File, is_new }
            }
            None if origin == Origin::File => {
                log::info!("{kind} \"{name}\" is no longer configured and is removed");
                met.removed.push(name);
                continue;
            }
            None => Definition { name, body: stored_body, origin, is_new: false },
        };
        met.definitions.push(definition);
    }
    for (name, body) in configured.iter() {
        if !met.definitions.iter().any(|have| have.name == name) {
            met.definitions.push(Definition {
                name: name.to_owned(),
                body: body.clone(),
                origin: Origin::File,
                is_new: true,
            });
        }
    }
    Ok(met)
}

impl Met {
    /// Stores what this start has changed.
    pub fn log(&self, engine: &mut Engine) {
        for name in &self.removed {
            engine.log_forget(self.kind, name);
        }
        for definition in self.definitions.iter().filter(|definition| definition.is_new) {
            engine.log_document(self.kind, &definition.name, definition.origin, &definition.body);
        }
    }
}
