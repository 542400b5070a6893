//! Why a definition is refused, as its operation says it.

use crate::protocol::OpError;

/// Why a definition is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DefinitionError {
    /// Where in the definition, if it is at one place: `schema.qty.type`.
    pub path: Option<String>,
    pub reason: String,
    /// The whole message where the protocol fixes one.
    pub(super) message: Option<String>,
}

impl DefinitionError {
    pub(super) fn at(path: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { path: Some(path.into()), reason: reason.into(), message: None }
    }

    /// Of several members, or one that the reason names.
    pub(super) fn reason(reason: impl Into<String>) -> Self {
        Self { path: None, reason: reason.into(), message: None }
    }

    pub(super) fn fixed(message: String) -> Self {
        Self { path: None, reason: message.clone(), message: Some(message) }
    }

    /// The error of the operation that tried to define the bucket.
    pub fn into_error(self, bucket: &str) -> OpError {
        let Self { path, reason, message } = self;
        OpError::validation(message.unwrap_or_else(|| match path {
            Some(path) => format!("Invalid schema for bucket \"{bucket}\": {path}: {reason}"),
            None => format!("Invalid schema for bucket \"{bucket}\": {reason}"),
        }))
    }
}
