//! `server.*`: what the server says of itself.

use crate::engine::{Conn, Engine};
use crate::json::{Json, Object, Raw, write_number, write_string};
use crate::protocol::{OpError, Request};

impl Engine {
    pub(super) fn server_connections(&self, out: &mut Vec<u8>) {
        out.push(b'[');
        for (at, conn) in self.conns.listed().into_iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            self.write_connection(conn, out);
        }
        out.push(b']');
    }

    pub(super) fn write_server_stats(
        &self,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), OpError> {
        let details = match request.present("details") {
            None => false,
            Some(details) => details
                .as_bool()
                .ok_or_else(|| OpError::validation("Invalid \"details\": expected boolean"))?,
        };
        self.server_stats().write(out);
        if details {
            // Behind the members that are always there.
            out.pop();
            self.write_limits(out)?;
            out.extend_from_slice(b",\"continuity\":");
            self.continuity_stats().write(out);
            out.extend_from_slice(b",\"durability\":");
            self.options.durability.map_or(Json::Null, Json::from).write(out);
            out.push(b'}');
        }
        Ok(())
    }

    pub(super) fn server_revoke_sessions(
        &mut self,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), OpError> {
        let revoked = self.server_revoke(request)?;
        out.extend_from_slice(b"{\"revoked\":");
        write_number(out, revoked as f64);
        out.push(b'}');
        Ok(())
    }

    pub(super) fn server_unrevoke(
        &mut self,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), OpError> {
        let user_id = request.require_string("userId")?;
        let unrevoked = self.unrevoke(&user_id);
        out.extend_from_slice(b"{\"unrevoked\":");
        Json::Bool(unrevoked).write(out);
        out.push(b'}');
        Ok(())
    }

    /// Ends the sessions of one user, or of every connected user with a role.
    fn server_revoke(&mut self, request: &Request<'_>) -> Result<usize, OpError> {
        let field = |name: &str| match request.field(name) {
            None => Ok(None),
            Some(raw) => match raw.as_str().filter(|text| !text.is_empty()) {
                Some(text) => Ok(Some(text)),
                None => Err(OpError::validation(format!(
                    "Invalid \"{name}\": expected non-empty string"
                ))),
            },
        };
        match (field("userId")?, field("role")?) {
            (None, None) => {
                Err(OpError::validation("Missing \"userId\" or \"role\": expected at least one"))
            }
            (Some(user_id), None) => Ok(self.revoke_session(&user_id)),
            (user_id, role) => Ok(self.revoke_sessions(user_id.as_deref(), role.as_deref())),
        }
    }

    /// One row of `server.connections`: exactly eight members.
    fn write_connection(&self, conn: &Conn, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"connectionId\":");
        write_string(out, &conn.name());
        out.extend_from_slice(b",\"remoteAddress\":");
        write_string(out, &conn.address.to_string());
        out.extend_from_slice(b",\"connectedAt\":");
        write_number(out, conn.connected_at as f64);
        let principal = self.principal(conn.id);
        out.extend_from_slice(b",\"authenticated\":");
        Json::Bool(principal.is_some()).write(out);
        out.extend_from_slice(b",\"userId\":");
        let (user, roles) = match principal {
            Some((user, roles)) => {
                (Json::string(&*user), roles.iter().cloned().map(Json::String).collect())
            }
            None => (Json::Null, Vec::new()),
        };
        user.write(out);
        out.extend_from_slice(b",\"roles\":");
        Json::Array(roles).write(out);
        out.extend_from_slice(b",\"storeSubscriptionCount\":");
        write_number(out, f64::from(conn.store_subscriptions));
        out.extend_from_slice(b",\"rulesSubscriptionCount\":");
        write_number(out, f64::from(conn.rules_subscriptions));
        out.push(b'}');
    }

    /// Exactly the members of section 10.2 of the protocol.
    pub(crate) fn server_stats(&self) -> Json {
        let conns = self.conns.listed();
        let count = |number: usize| Json::Number(number as f64);
        let authenticated = conns.iter().filter(|conn| self.principal(conn.id).is_some()).count();
        let store_subscriptions = conns.iter().map(|c| c.store_subscriptions as usize).sum();
        let rules_subscriptions = conns.iter().map(|c| c.rules_subscriptions as usize).sum();
        let connections: Object = [
            ("active", count(conns.len())),
            ("authenticated", count(authenticated)),
            ("totalStoreSubscriptions", count(store_subscriptions)),
            ("totalRulesSubscriptions", count(rules_subscriptions)),
        ]
        .into_iter()
        .collect();
        let stats: Object = [
            ("name", Json::from(self.options.name.as_str())),
            ("connectionCount", count(conns.len())),
            ("authEnabled", Json::Bool(self.auth_enabled())),
            ("rateLimitEnabled", Json::Bool(self.limiter.is_some())),
            ("rulesEnabled", Json::Bool(self.rules_stats().is_some())),
            ("connections", Json::Object(connections)),
            ("store", self.store_stats()),
            ("rules", self.rules_stats().unwrap_or_default()),
        ]
        .into_iter()
        .collect();
        Json::Object(stats)
    }

    /// The object of `rules.stats`; `None` without a rule engine.
    fn rules_stats(&self) -> Option<Json> {
        let mut text = Vec::new();
        self.rule_engine()?.stats().write(&mut text);
        let text = String::from_utf8(text).unwrap_or_default();
        Some(Raw::checked(&text).to_json())
    }
}
