//! `lifetime` and `graceMs`: records that end with their connection.

use super::error::DefinitionError;
use crate::json::Object;

/// Time in which a client comes back, if the definition says nothing.
const GRACE_MS: u64 = 5_000;
const MOST_GRACE_MS: f64 = 600_000.0;

/// How long records outlive the connection of their session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    pub grace_ms: u64,
}

impl Lifetime {
    /// `None`: records have no owner.
    pub(super) fn parse(
        supplied: &Object,
        persistent: Option<bool>,
    ) -> Result<Option<Lifetime>, DefinitionError> {
        let given = |name: &str| supplied.get(name).filter(|value| !value.is_null());
        let (lifetime, grace) = (given("lifetime"), given("graceMs"));
        if lifetime.is_some_and(|lifetime| lifetime.as_str() != Some("connection")) {
            return Err(DefinitionError::reason("\"lifetime\" must be \"connection\""));
        }
        let is_whole = |ms: &f64| ms.fract() == 0.0 && (0.0..=MOST_GRACE_MS).contains(ms);
        let grace_ms = match grace {
            None => GRACE_MS,
            // Checked to be a whole number within bounds.
            Some(grace) => {
                grace.as_number().filter(is_whole).map(|ms| ms as u64).ok_or_else(|| {
                    DefinitionError::reason("\"graceMs\" must be an integer from 0 to 600000")
                })?
            }
        };
        if lifetime.is_none() {
            return match grace {
                None => Ok(None),
                Some(_) => Err(DefinitionError::reason("\"graceMs\" needs \"lifetime\"")),
            };
        }
        if persistent == Some(true) {
            return Err(DefinitionError::reason("\"lifetime\" excludes \"persistent\": true"));
        }
        Ok(Some(Lifetime { grace_ms }))
    }
}
