//! Operations that misbehave on purpose, to prove that a panic costs one
//! connection. They exist in test builds only.

use super::Outcome;
use crate::engine::Engine;
use crate::protocol::{OpError, Request};

impl Engine {
    /// `None`: not one of these.
    pub(in crate::engine) fn test_operation(
        &mut self,
        name: &str,
        _request: &Request<'_>,
    ) -> Option<Result<Outcome, OpError>> {
        match name {
            "test.panic" => panic!("asked to"),
            _ => None,
        }
    }
}
