//! The authorisation step, the first of the pipeline, and the request budget,
//! the second.

use super::Engine;
use crate::access::RateKey;
use crate::app::ConnId;
use crate::json::{Json, Object};
use crate::protocol::{ErrorCode, OpError, Operation, Request};

impl Engine {
    /// Whether `welcome` tells clients to log in.
    pub(super) fn requires_auth(&self) -> bool {
        false
    }

    pub(super) fn auth_enabled(&self) -> bool {
        false
    }

    /// The user and the roles of a connection that is logged in.
    pub(super) fn principal(&self, _conn: ConnId) -> Option<(Box<str>, Vec<Box<str>>)> {
        None
    }

    /// Refuses what this connection may not do. Without authentication
    /// everybody may do everything.
    pub(super) fn authorise(
        &mut self,
        _conn: ConnId,
        _operation: Option<Operation>,
        _request: &Request<'_>,
    ) -> Result<(), OpError> {
        Ok(())
    }

    /// Takes one request from the budget of the user or the address.
    pub(super) fn limit_rate(&mut self, conn: ConnId) -> Result<(), OpError> {
        let Some(limiter) = &mut self.limiter else { return Ok(()) };
        let Some(conn) = self.conns.get(conn) else { return Ok(()) };
        limiter.check(&RateKey::address(conn.address), self.now.mono).map_err(|retry_after| {
            let details: Object =
                [("retryAfterMs", Json::Number(retry_after as f64))].into_iter().collect();
            OpError::new(
                ErrorCode::RateLimited,
                format!("Rate limit exceeded. Retry after {retry_after}ms"),
            )
            .with_details(Json::Object(details))
        })
    }
}
