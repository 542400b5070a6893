//! Users whose sessions were taken away, and who may not come back for a while
//! (access.md section 10). The list is stored and survives a restart.

use std::sync::Arc;

use super::Engine;
use super::sessions::Mode;
use crate::access::Revocations;
use crate::app::ConnId;
use crate::json::{self, Json, Object};
use crate::protocol::{ErrorCode, OpError};
use crate::storage::Origin;

/// The kind under which revocations are stored.
const REVOCATION: &str = "revocation";
/// The reason of a revocation, as clients get it.
const REVOKED: &str = "Session revoked by administrator";

impl Engine {
    /// Takes over the revocations that were stored before this start.
    pub(super) fn restore_revocations(&mut self, blacklist_ttl_ms: u64) {
        let mut revocations = Revocations::new(blacklist_ttl_ms);
        for document in self.take_documents(REVOCATION) {
            let body = json::parse(&document.body, json::DEFAULT_MAX_DEPTH).ok();
            if let Some(expiry) = body.and_then(|raw| raw.get("expiresAt")?.as_number()) {
                revocations.restore(&document.name, expiry as u64);
            }
        }
        self.sessions.revocations = revocations;
        self.arm_housekeeping();
    }

    /// Revokes a user: no login for the configured time, every live session
    /// ends. Returns the number of connections told.
    pub fn revoke_session(&mut self, user_id: &str) -> usize {
        if !self.auth_enabled() {
            return 0;
        }
        self.revoke_user(user_id);
        let ids = self.connections_of(user_id);
        for id in &ids {
            self.end_user_on(user_id, *id, REVOKED);
        }
        ids.len()
    }

    /// Revokes every user who has a live connection that matches all that is
    /// given. Returns the number of connections told.
    pub fn revoke_sessions(&mut self, user_id: Option<&str>, role: Option<&str>) -> usize {
        let matching: Vec<(ConnId, Arc<str>)> = self
            .conns
            .ids()
            .into_iter()
            .filter_map(|id| {
                let (user, roles) = self.principal(id)?;
                let matches = user_id.is_none_or(|wanted| wanted == &*user)
                    && role.is_none_or(|wanted| roles.iter().any(|have| &**have == wanted));
                matches.then_some((id, user))
            })
            .collect();
        for (id, user) in &matching {
            self.revoke_user(user);
            self.end_user_on(user, *id, REVOKED);
        }
        matching.len()
    }

    /// Puts a user on the list; in built-in mode no token of the user is left.
    fn revoke_user(&mut self, user_id: &str) {
        let expiry = self.sessions.revocations.revoke(user_id, self.now.wall);
        let body: Object = [("expiresAt", Json::Number(expiry as f64))].into_iter().collect();
        self.log_document(REVOCATION, user_id, Origin::Wire, &Json::Object(body));
        self.forget_client_sessions_of(user_id);
        if matches!(self.sessions.mode, Mode::BuiltIn(_)) {
            let deleted = self.change(|change| change.delete_sessions(user_id));
            if let Err(error) = deleted {
                log::error!("sessions of a revoked user stay: {error}");
            }
        }
    }

    /// Lets a revoked user log in again. False if the user was not revoked.
    pub fn unrevoke(&mut self, user_id: &str) -> bool {
        let was = self.sessions.revocations.is_revoked(user_id, self.now.wall);
        if self.sessions.revocations.unrevoke(user_id) {
            self.log_forget(REVOCATION, user_id);
        }
        was
    }

    /// Refuses a user who was revoked.
    pub(crate) fn check_revoked(&self, user_id: &str) -> Result<(), OpError> {
        if self.sessions.revocations.is_revoked(user_id, self.now.wall) {
            let text = "Session has been revoked";
            return Err(OpError::new(ErrorCode::SessionRevoked, text));
        }
        Ok(())
    }

    /// Forgets revocations that are over.
    pub(super) fn expire_revocations(&mut self) {
        while let Some(user_id) = self.sessions.revocations.pop_expired(self.now.wall) {
            self.log_forget(REVOCATION, &user_id);
        }
    }
}
