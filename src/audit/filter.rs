//! Which entries a query asks for.

use super::Entry;
use crate::json::{Kind, Raw};
use crate::protocol::{OpError, Request};

/// All conditions given must hold; the default asks for everything.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AuditFilter {
    /// Of this user.
    pub user_id: Option<String>,
    /// Of this operation.
    pub operation: Option<String>,
    /// Those that succeeded, or those that did not.
    pub success: Option<bool>,
    /// Unix time in milliseconds, both ends included.
    pub from: Option<f64>,
    /// The later end.
    pub to: Option<f64>,
    /// At most so many.
    pub limit: Option<usize>,
    /// Matching entries to skip before `limit` counts.
    pub offset: usize,
}

impl AuditFilter {
    /// The filter of an `audit.query`, checked in the order of the protocol.
    pub(crate) fn of(request: &Request<'_>) -> Result<Self, OpError> {
        let invalid = |name: &str, expected: &str| {
            OpError::validation(format!("Invalid \"{name}\": expected {expected}"))
        };
        let string = |name: &str| match request.field(name) {
            None => Ok(None),
            Some(raw) => match raw.as_str() {
                Some(text) => Ok(Some(text.into_owned())),
                None => Err(invalid(name, "string")),
            },
        };
        let number = |name: &str| match request.field(name) {
            None => Ok(None),
            Some(raw) if raw.kind() == Kind::Number => Ok(raw.as_number()),
            Some(_) => Err(invalid(name, "number")),
        };
        let integer = |name: &str, least: f64, expected: &str| match request.field(name) {
            None => Ok(None),
            Some(raw) => integer(raw)
                .filter(|value| *value >= least)
                // Beyond the range of `usize`: as many as there are.
                .map(|value| Some(value as usize))
                .ok_or_else(|| invalid(name, expected)),
        };
        Ok(Self {
            user_id: string("userId")?,
            operation: string("operation")?,
            success: match request.field("result").map(Raw::as_str) {
                None => None,
                Some(Some(text)) if text == "success" => Some(true),
                Some(Some(text)) if text == "error" => Some(false),
                Some(_) => return Err(invalid("result", "\"success\" or \"error\"")),
            },
            from: number("from")?,
            to: number("to")?,
            limit: integer("limit", 1.0, "positive integer")?,
            offset: integer("offset", 0.0, "non-negative integer")?.unwrap_or(0),
        })
    }

    pub(crate) fn matches(&self, entry: &Entry) -> bool {
        let time = entry.timestamp();
        self.user_id.as_deref().is_none_or(|id| entry.user_id() == Some(id))
            && self.operation.as_deref().is_none_or(|name| entry.operation() == name)
            && self.success.is_none_or(|success| entry.is_success() == success)
            && self.from.is_none_or(|from| time >= from)
            && self.to.is_none_or(|to| time <= to)
    }
}

fn integer(raw: Raw<'_>) -> Option<f64> {
    raw.as_number().filter(|value| value.is_finite() && *value == value.trunc())
}
