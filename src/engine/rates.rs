//! How often somebody may ask: the request budget of users and addresses, the second
//! step of the pipeline (access.md section 2.1), and the counters of failed logins.

use super::Engine;
use super::sessions::Mode;
use crate::access::LoginLimiter;
use crate::app::ConnId;
use crate::json::{Json, Object, Raw};
use crate::protocol::{ErrorCode, OpError, Operation, Request};

impl Engine {
    /// Takes a request from the budget of its connection's user or address. The
    /// first subscribes of a connection have a budget of their own: clients that
    /// come back subscribe to everything at once, and published ones forget a
    /// subscription for good when its renewal is refused.
    pub(super) fn limit_request(
        &mut self,
        conn: ConnId,
        request: &Request<'_>,
    ) -> Result<(), OpError> {
        let most = self.options.max_subscriptions_per_connection;
        let subscribes = match request.known {
            Some(
                Operation::StoreSubscribe
                | Operation::StoreLive
                | Operation::RulesSubscribe
                | Operation::LogicSubscribeView,
            ) => 1,
            // One that will be refused as a whole is a request like any other.
            Some(Operation::StoreSubscribeMany) => {
                let entries = request.field("subscriptions").into_iter().flat_map(Raw::elements);
                let entries = entries.take(most.saturating_add(1)).count();
                if entries > most { 0 } else { entries }
            }
            _ => 0,
        };
        let Some(own) = self.conns.get_mut(conn).filter(|_| self.limiter.is_some()) else {
            return Ok(());
        };
        let free = subscribes.min(most.saturating_sub(own.free_subscribes));
        own.free_subscribes += free;
        match (subscribes, subscribes - free) {
            (0, _) => self.limit_rate(conn, 1),
            (_, 0) => Ok(()),
            (_, cost) => {
                let limited = self.limit_rate(conn, u32::try_from(cost).unwrap_or(u32::MAX));
                if let Some(own) = self.conns.get_mut(conn).filter(|_| limited.is_err()) {
                    own.free_subscribes = own.free_subscribes.saturating_sub(free);
                }
                limited
            }
        }
    }

    /// Takes so many requests from the budget of the user or the address, or none.
    fn limit_rate(&mut self, conn: ConnId, cost: u32) -> Result<(), OpError> {
        let Some(conn) = self.conns.get(conn) else { return Ok(()) };
        if self.limiter.is_none() {
            return Ok(());
        }
        let key = self.rate_key(conn);
        let Some(limiter) = &mut self.limiter else { return Ok(()) };
        let checked = limiter.check_many(&key, cost, self.now.mono);
        self.figures.rate_limited_requests += u64::from(checked.is_err());
        checked.map_err(|retry_after| {
            let details: Object =
                [("retryAfterMs", Json::Number(retry_after as f64))].into_iter().collect();
            OpError::new(
                ErrorCode::RateLimited,
                format!("Rate limit exceeded. Retry after {retry_after}ms"),
            )
            .with_details(Json::Object(details))
        })
    }

    /// The counters of failed logins, if there are any.
    pub(super) fn login_limiter(&self) -> Option<&LoginLimiter> {
        match &self.sessions.mode {
            Mode::Open => None,
            Mode::External(external) => external.logins.as_ref(),
            Mode::BuiltIn(identity) => Some(&identity.logins),
        }
    }

    /// The counters of those who sign up, if anybody may.
    pub(super) fn signup_limiter(&self) -> Option<&LoginLimiter> {
        match &self.sessions.mode {
            Mode::BuiltIn(identity) => identity.signups.as_ref(),
            Mode::Open | Mode::External(_) => None,
        }
    }

    pub(super) fn login_limiter_mut(&mut self) -> Option<&mut LoginLimiter> {
        match &mut self.sessions.mode {
            Mode::Open => None,
            Mode::External(external) => external.logins.as_mut(),
            Mode::BuiltIn(identity) => Some(&mut identity.logins),
        }
    }
}
