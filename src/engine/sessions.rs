//! Who the connections act for: sessions bound to connections, what a login or
//! a logout does to subscriptions, and the end of connections whose rights end.
//!
//! Decisions about rights are taken elsewhere (`gate`, [`crate::access`],
//! [`crate::identity`]); this is where they meet connections.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::{Conn, Engine, Timer};
use crate::access::{
    Deliver, External, PermissionCheck, RateKey, ReadFile, Revocations, Roles, Session,
    TokenValidator,
};
use crate::app::ConnId;
use crate::audit::{AuditLog, Who};
use crate::json::write_string;
use crate::protocol::OpError;
use crate::wheel::TimerId;

/// The reason of a revocation, as clients get it.
pub(crate) const REVOKED: &str = "Session revoked by administrator";
/// Time between looks for forgotten budgets and failures, ms.
const HOUSEKEEPING_MS: u64 = 1000;

/// Where sessions come from.
#[derive(Debug, Default)]
pub(crate) enum Mode {
    /// Everybody may do everything.
    #[default]
    Open,
    External(Box<External>),
}

/// The session of one connection.
#[derive(Debug)]
pub(crate) struct Bound {
    pub session: Session,
    /// Fires when `expires_at` is over.
    timer: Option<TimerId>,
}

/// What is to happen to a connection when the response of the current request
/// has been queued.
#[derive(Debug)]
enum After {
    /// What it may see has changed: decide anew about its subscriptions.
    Reauthorise(ConnId),
    /// Its rights are gone.
    End(ConnId, &'static str),
}

/// Everything the engine knows about who is who.
#[derive(Default)]
pub(crate) struct Sessions {
    pub mode: Mode,
    pub revocations: Revocations,
    /// Takes the verdict of an embedded validator to the loop.
    pub deliver: Option<Deliver>,
    by_user: HashMap<Arc<str>, HashSet<ConnId>>,
    after: Vec<After>,
    /// The timer of [`Timer::Housekeeping`] is running.
    housekeeping: bool,
}

impl Engine {
    /// Switches external authentication on. Before the first connection.
    pub fn set_external_auth(&mut self, external: External, blacklist_ttl_ms: u64) {
        self.sessions.mode = Mode::External(Box::new(external));
        self.sessions.revocations = Revocations::new(blacklist_ttl_ms);
    }

    /// An embedder's judge of tokens, asked after the configured sources; no
    /// effect outside external mode. `deliver` takes late verdicts to
    /// [`Engine::token_validated`] on the engine's thread.
    pub fn set_token_validator(&mut self, validator: Box<dyn TokenValidator>, deliver: Deliver) {
        if let Mode::External(external) = &mut self.sessions.mode {
            external.set_validator(validator);
            self.sessions.deliver = Some(deliver);
        }
    }

    /// An embedder's judge of operations, asked before the declarative rules;
    /// no effect outside external mode.
    pub fn set_permission_check(&mut self, check: Box<dyn PermissionCheck>) {
        if let Mode::External(external) = &mut self.sessions.mode {
            external.set_permission_check(check);
        }
    }

    /// Reads key files again. The error has one line per problem; the old keys
    /// then stay.
    pub fn reload_keys(&mut self, read: ReadFile<'_>) -> Result<(), Vec<String>> {
        match &mut self.sessions.mode {
            Mode::Open => Ok(()),
            Mode::External(external) => external.reload(read),
        }
    }

    /// Switches the audit log on.
    pub fn set_audit(&mut self, log: AuditLog) {
        self.audit = Some(log);
    }

    /// The audit log, if there is one.
    pub fn audit(&self) -> Option<&AuditLog> {
        self.audit.as_ref()
    }

    /// Whether `auth` is configured, in any mode.
    pub(crate) fn auth_enabled(&self) -> bool {
        !matches!(self.sessions.mode, Mode::Open)
    }

    /// Whether a connection must log in before it may do anything else.
    pub(crate) fn requires_auth(&self) -> bool {
        match &self.sessions.mode {
            Mode::Open => false,
            Mode::External(external) => external.required,
        }
    }

    /// The session of a connection, unless its time is over.
    pub(crate) fn session(&self, conn: ConnId) -> Option<&Session> {
        let bound = self.conns.get(conn)?.session.as_ref()?;
        Some(&bound.session).filter(|session| !session.is_expired(self.now.wall))
    }

    /// The user of a connection that is logged in, and the roles that count now.
    pub(crate) fn principal(&self, conn: ConnId) -> Option<(Arc<str>, Roles)> {
        let session = self.session(conn)?;
        Some((Arc::clone(&session.user_id), Arc::clone(&session.roles)))
    }

    /// Whose budget the requests of a connection use.
    pub(crate) fn rate_key(&self, conn: &Conn) -> RateKey {
        match &conn.session {
            Some(bound) => RateKey::User(Arc::clone(&bound.session.user_id)),
            None => RateKey::address(conn.address),
        }
    }

    /// Binds a session to a connection; one that was bound before is replaced.
    pub(crate) fn install_session(&mut self, id: ConnId, session: Session) {
        self.unbind(id);
        let timer = session.expires_at.map(|at| {
            // The first millisecond at which it is over.
            let left = (at.floor() as u64).saturating_add(1).saturating_sub(self.now.wall);
            self.wheel.insert(self.now.mono.saturating_add(left), Timer::Session(id))
        });
        let Some(conn) = self.conns.get_mut(id) else { return };
        self.sessions.by_user.entry(Arc::clone(&session.user_id)).or_default().insert(id);
        conn.session = Some(Bound { session, timer });
        self.sessions.after.push(After::Reauthorise(id));
    }

    /// Takes the session from a connection.
    pub(crate) fn drop_session(&mut self, id: ConnId) -> Option<Bound> {
        let bound = self.unbind(id)?;
        self.sessions.after.push(After::Reauthorise(id));
        Some(bound)
    }

    /// The part of the end of a connection that is about its session.
    pub(super) fn unbind(&mut self, id: ConnId) -> Option<Bound> {
        let bound = self.conns.get_mut(id)?.session.take()?;
        self.release_session(id, &bound);
        Some(bound)
    }

    /// Forgets that this connection acts for the session's user.
    pub(super) fn release_session(&mut self, id: ConnId, bound: &Bound) {
        if let Some(timer) = bound.timer {
            self.wheel.cancel(timer);
        }
        let user = &bound.session.user_id;
        if let Some(conns) = self.sessions.by_user.get_mut(user) {
            conns.remove(&id);
            if conns.is_empty() {
                self.sessions.by_user.remove(user);
            }
        }
    }

    /// The time of a session is over: its pushes stop now, its next request
    /// will be told.
    pub(super) fn session_over(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get(id) else { return };
        let Some(bound) = &conn.session else { return };
        if !bound.session.is_expired(self.now.wall) {
            // The clock was set back.
            let session = bound.session.clone();
            self.install_session(id, session);
            return;
        }
        let user = Arc::clone(&bound.session.user_id);
        self.sessions.after.push(After::Reauthorise(id));
        self.audit_session_event("session.expired", id, &user);
    }

    fn audit_session_event(&mut self, operation: &'static str, id: ConnId, user: &str) {
        let (Some(log), Some(conn)) = (&mut self.audit, self.conns.get(id)) else { return };
        let name = conn.name();
        let who = Who { user_id: None, connection: &name, address: conn.address };
        log.session_event(operation, user, &who, self.now.wall);
    }

    /// The connections that act for a user, in connect order.
    pub(crate) fn connections_of(&self, user_id: &str) -> Vec<ConnId> {
        let mut ids: Vec<ConnId> =
            self.sessions.by_user.get(user_id).into_iter().flatten().copied().collect();
        ids.retain(|id| self.session(*id).is_some());
        ids.sort_unstable_by_key(|id| self.conns.get(*id).map(|conn| conn.number));
        ids
    }

    /// Ends a connection whose rights have ended, after the response of the
    /// current request.
    pub(crate) fn end_later(&mut self, id: ConnId, reason: &'static str) {
        self.sessions.after.push(After::End(id, reason));
    }

    /// Decides anew about the subscriptions of a connection, after the response
    /// of the current request.
    pub(crate) fn reauthorise_later(&mut self, id: ConnId) {
        self.sessions.after.push(After::Reauthorise(id));
    }

    /// Does what waited for the response. Comes before commits are published,
    /// so that nobody is pushed what he may not see any more.
    pub(super) fn settle_sessions(&mut self) {
        for after in std::mem::take(&mut self.sessions.after) {
            match after {
                After::Reauthorise(id) => self.reauthorise(id),
                After::End(id, reason) => self.end(id, reason),
            }
        }
        let busy = self.limiter.as_ref().is_some_and(|limiter| limiter.keys() > 0)
            || self.login_limiter().is_some_and(|logins| logins.records() > 0)
            || self.sessions.revocations.next_expiry().is_some();
        if busy && !self.sessions.housekeeping {
            self.sessions.housekeeping = true;
            let next = self.now.mono.saturating_add(HOUSEKEEPING_MS);
            self.wheel.insert(next, Timer::Housekeeping);
        }
    }

    /// Forgets budgets, failures and revocations that are over.
    pub(super) fn keep_house(&mut self) {
        self.sessions.housekeeping = false;
        let now = self.now;
        if let Some(limiter) = &mut self.limiter {
            limiter.expire(now.mono);
        }
        if let Some(logins) = self.login_limiter_mut() {
            logins.expire(now.mono);
        }
        while self.sessions.revocations.pop_expired(now.wall).is_some() {}
    }

    /// Tells a connection that its session has ended, and closes it: none of
    /// its requests is handled any more.
    fn end(&mut self, id: ConnId, reason: &'static str) {
        let Some(conn) = self.conns.get(id) else { return };
        if let Some(bound) = &conn.session {
            let user = Arc::clone(&bound.session.user_id);
            self.audit_session_event("session.revoked", id, &user);
        }
        let mut text = b"{\"type\":\"system\",\"event\":\"session_revoked\",\"reason\":".to_vec();
        write_string(&mut text, reason);
        text.push(b'}');
        self.send(id, &text, None, b"");
        self.close(id, 4002, "session_revoked");
    }

    /// Suspends the subscriptions of a connection that must log in and has not;
    /// for any other, keeps those that it may have and cancels the rest.
    fn reauthorise(&mut self, id: ConnId) {
        let suspended = self.requires_auth() && self.session(id).is_none();
        let Some(conn) = self.conns.get_mut(id) else { return };
        conn.suspended = suspended;
    }

    /// Revokes a user: no login for the configured time, every live session
    /// ends. Returns the number of connections told.
    pub fn revoke_session(&mut self, user_id: &str) -> usize {
        if !self.auth_enabled() {
            return 0;
        }
        self.sessions.revocations.revoke(user_id, self.now.wall);
        let ids = self.connections_of(user_id);
        for id in &ids {
            self.end_later(*id, REVOKED);
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
            self.sessions.revocations.revoke(user, self.now.wall);
            self.end_later(*id, REVOKED);
        }
        matching.len()
    }

    /// Lets a revoked user log in again. False if the user was not revoked.
    pub fn unrevoke(&mut self, user_id: &str) -> bool {
        let was = self.sessions.revocations.is_revoked(user_id, self.now.wall);
        self.sessions.revocations.unrevoke(user_id);
        was
    }

    /// Refuses a user who was revoked.
    pub(crate) fn check_revoked(&self, user_id: &str) -> Result<(), OpError> {
        if self.sessions.revocations.is_revoked(user_id, self.now.wall) {
            let text = "Session has been revoked";
            return Err(OpError::new(crate::protocol::ErrorCode::SessionRevoked, text));
        }
        Ok(())
    }
}
