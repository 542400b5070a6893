//! Who the connections act for: sessions bound to connections, what a login or
//! a logout does to subscriptions, and the end of connections whose rights end.
//!
//! Decisions about rights are taken elsewhere (`gate`, [`crate::access`],
//! [`crate::identity`]); this is where they meet connections.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::bound::Bound;
use super::{Conn, Engine, Timer};
use crate::access::{
    Deliver, External, LoginLimiter, RateKey, RateLimiter, Revocations, Roles, Session,
};
use crate::app::ConnId;
use crate::audit::Who;
use crate::identity::{Directory, Id, Identity, RESERVED, refused_system_bucket};
use crate::json::write_string;
use crate::protocol::OpError;
use crate::wheel::TimerId;

/// Time between looks for forgotten budgets and failures, ms.
const HOUSEKEEPING_MS: u64 = 1000;

/// Time between looks at the wall clock while a session has an end, ms: the
/// clock may be set at any moment.
const LOOK_MS: u64 = 1000;

/// Where sessions come from.
#[derive(Debug, Default)]
pub(crate) enum Mode {
    /// Everybody may do everything.
    #[default]
    Open,
    External(Box<External>),
    BuiltIn(Box<Identity>),
}

impl Mode {
    /// Whether a name is the server's own, out of reach for clients.
    pub fn is_system_bucket(&self, name: &str) -> bool {
        matches!(self, Mode::BuiltIn(_)) && name.starts_with(RESERVED)
    }

    /// `Cannot access system bucket "{bucket}" directly`, for whatever else can
    /// name a bucket: procedure steps, rule actions, views, constraints.
    pub fn refuse_system_bucket(&self, bucket: &str) -> Result<(), OpError> {
        if !self.is_system_bucket(bucket) {
            return Ok(());
        }
        Err(refused_system_bucket(bucket))
    }

    /// The state of built-in mode.
    pub fn identity(&self) -> Result<&Identity, OpError> {
        match self {
            Mode::BuiltIn(identity) => Ok(identity),
            Mode::Open | Mode::External(_) => Err(OpError::internal()),
        }
    }

    /// The roles of connections that are not logged in.
    pub fn anonymous_roles(&self) -> Roles {
        match self {
            Mode::External(external) => external.anonymous_roles.clone().unwrap_or_default().into(),
            Mode::Open | Mode::BuiltIn(_) => Roles::default(),
        }
    }
}

/// What is to happen to a connection when the response of the current request
/// has been queued.
#[derive(Debug)]
enum After {
    /// What it may see has changed: decide anew about its subscriptions.
    Reauthorise(ConnId),
    /// Its rights are gone.
    End(ConnId, &'static str),
    /// An operator ends it.
    Disconnect(ConnId),
    /// It may be pushed to again.
    Release(ConnId),
}

/// Everything the engine knows about who is who.
#[derive(Default)]
pub(crate) struct Sessions {
    pub mode: Mode,
    pub revocations: Revocations,
    /// Takes the verdict of an embedded validator to the loop.
    pub deliver: Option<Deliver>,
    by_user: HashMap<Arc<str>, HashSet<ConnId>>,
    /// Ends of sessions in Unix time.
    ends: BTreeSet<(u64, ConnId)>,
    /// When the timer of [`Timer::Sessions`] fires.
    look: Option<(u64, TimerId)>,
    after: Vec<After>,
    /// When the timer of [`Timer::Housekeeping`] fires.
    housekeeping: Option<(u64, TimerId)>,
}

impl Engine {
    /// Whether `auth` is configured, in any mode.
    pub(crate) fn auth_enabled(&self) -> bool {
        !matches!(self.sessions.mode, Mode::Open)
    }

    /// Whether a connection must log in before it may do anything else.
    pub(crate) fn requires_auth(&self) -> bool {
        match &self.sessions.mode {
            Mode::Open => false,
            Mode::External(external) => external.required,
            Mode::BuiltIn(_) => true,
        }
    }

    /// Whether a name is the server's own, out of reach for clients.
    pub(crate) fn is_system_bucket(&self, name: &str) -> bool {
        self.sessions.mode.is_system_bucket(name)
    }

    /// The session of a connection, unless its time is over.
    pub(crate) fn session(&self, conn: ConnId) -> Option<&Session> {
        self.conns.session(conn, self.now.wall)
    }

    /// The user of a connection that is logged in, and the roles that count now.
    pub(crate) fn principal(&self, conn: ConnId) -> Option<(Arc<str>, Roles)> {
        let session = self.session(conn)?;
        let roles = match &self.sessions.mode {
            // Roles are not frozen at login.
            Mode::BuiltIn(identity) => identity.directory.role_names(&session.user_id).into(),
            Mode::Open | Mode::External(_) => Arc::clone(&session.roles),
        };
        Some((Arc::clone(&session.user_id), roles))
    }

    /// Whose budget the requests of a connection use.
    pub(crate) fn rate_key(&self, conn: &Conn) -> RateKey {
        match &conn.session {
            Some(bound) => RateKey::User(Arc::clone(&bound.session.user_id)),
            None => RateKey::address(conn.address),
        }
    }

    /// Binds a session to a connection; one that was bound before is replaced.
    pub(crate) fn install_session(&mut self, id: ConnId, session: Session, record: Option<Id>) {
        self.client_user_is(id, Some(&session.user_id));
        self.unbind(id);
        self.bind_session(id, session, record);
    }

    /// Lets a connection that has no session act for one.
    pub(super) fn bind_session(&mut self, id: ConnId, session: Session, record: Option<Id>) {
        let over_at = session.expires_at.map(|at| (at.floor() as u64).saturating_add(1));
        let Some(conn) = self.conns.get_mut(id) else { return };
        self.sessions.by_user.entry(Arc::clone(&session.user_id)).or_default().insert(id);
        conn.session = Some(Bound { session, record, over_at });
        self.trace_state(id, "login", []);
        if let Some(over_at) = over_at {
            self.sessions.ends.insert((over_at, id));
            self.arm_session_look();
        }
        self.sessions.after.push(After::Reauthorise(id));
    }

    /// What these connections are subscribed to is decided anew, before anything
    /// is pushed.
    pub(super) fn reauthorise_later(&mut self, conns: impl IntoIterator<Item = ConnId>) {
        self.sessions.after.extend(conns.into_iter().map(After::Reauthorise));
    }

    /// Takes the session from a connection.
    pub(crate) fn drop_session(&mut self, id: ConnId) -> Option<Bound> {
        let bound = self.unbind(id)?;
        self.trace_state(id, "logout", []);
        self.sessions.after.push(After::Reauthorise(id));
        Some(bound)
    }

    /// The part of the end of a connection that is about its session.
    pub(super) fn unbind(&mut self, id: ConnId) -> Option<Bound> {
        self.end_impersonation(id);
        let bound = self.conns.get_mut(id)?.session.take()?;
        self.release_session(id, &bound);
        Some(bound)
    }

    /// Forgets that this connection acts for the session's user.
    pub(super) fn release_session(&mut self, id: ConnId, bound: &Bound) {
        if let Some(over_at) = bound.over_at {
            self.sessions.ends.remove(&(over_at, id));
        }
        let user = &bound.session.user_id;
        if let Some(conns) = self.sessions.by_user.get_mut(user) {
            conns.remove(&id);
            if conns.is_empty() {
                self.sessions.by_user.remove(user);
            }
        }
    }

    /// Whether the time of a session is over and nobody has noticed.
    pub(super) fn has_session_ended(&self) -> bool {
        self.sessions.ends.first().is_some_and(|(at, _)| *at <= self.now.wall)
    }

    /// The wall clock is looked at: where the time of a session is over, pushes
    /// stop now; the next request will be told.
    pub(super) fn notice_ended_sessions(&mut self) {
        while let Some((at, id)) = self.sessions.ends.first().copied() {
            if at > self.now.wall {
                break;
            }
            self.sessions.ends.remove(&(at, id));
            if self.conns.get(id).is_some_and(|conn| conn.beneath.is_some()) {
                self.end_impersonation(id);
                continue;
            }
            let Some(bound) = self.conns.get(id).and_then(|conn| conn.session.as_ref()) else {
                continue;
            };
            let user = Arc::clone(&bound.session.user_id);
            self.sessions.after.push(After::Reauthorise(id));
            self.owner_lost_login(id);
            self.audit_session_event("session.expired", id, Some(&user));
        }
        self.arm_session_look();
    }

    /// The wall clock was set back: sessions that were over go on.
    pub(super) fn resume_ended_sessions(&mut self) {
        for conn in self.conns.in_order() {
            let over_at = conn.session.as_ref().and_then(|bound| bound.over_at);
            if let Some(at) = over_at.filter(|at| *at > self.now.wall)
                && self.sessions.ends.insert((at, conn.id))
            {
                self.sessions.after.push(After::Reauthorise(conn.id));
            }
        }
        self.arm_session_look();
    }

    /// Has the wall clock looked at when the next session is over, and once a
    /// second until then.
    fn arm_session_look(&mut self) {
        let first = self.sessions.ends.first().map(|(at, _)| {
            let ahead = at.saturating_sub(self.now.wall).min(LOOK_MS);
            self.now.mono.saturating_add(ahead)
        });
        match (self.sessions.look, first) {
            (Some((armed, _)), Some(at)) if armed > self.now.mono && armed <= at => return,
            (Some((_, timer)), _) => {
                self.wheel.cancel(timer);
            }
            (None, _) => {}
        }
        self.sessions.look = first.map(|at| (at, self.wheel.insert(at, Timer::Sessions)));
    }

    /// The timer for a look at the wall clock has fired.
    pub(super) fn session_look_due(&mut self) {
        self.sessions.look = None;
        self.notice_ended_sessions();
    }

    pub(super) fn audit_session_event(
        &mut self,
        operation: &'static str,
        id: ConnId,
        user: Option<&str>,
    ) {
        let (Some(log), Some(conn)) = (&mut self.audit, self.conns.get(id)) else { return };
        let name = conn.name();
        let who =
            Who { user_id: None, impersonated_by: None, connection: &name, address: conn.address };
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

    /// Ends a connection whose client may come back, after the response of the
    /// current request.
    pub(super) fn disconnect_later(&mut self, id: ConnId) {
        self.sessions.after.push(After::Disconnect(id));
    }

    /// The response that was held back is about to be queued; then come the
    /// results that wait behind it.
    pub(super) fn stop_holding(&mut self, id: ConnId) {
        if let Some(conn) = self.conns.get_mut(id) {
            conn.holding = false;
        }
        self.sessions.after.push(After::Release(id));
    }

    /// Does what waited for the response. Comes before commits are published,
    /// so that nobody is pushed what he may not see any more.
    pub(super) fn settle_sessions(&mut self) {
        self.note_touched();
        // The end of one takes its records along, which others' rights may depend on.
        while !self.sessions.after.is_empty() {
            for after in std::mem::take(&mut self.sessions.after) {
                match after {
                    After::Reauthorise(id) => self.reauthorise(id),
                    After::End(id, reason) => self.end(id, reason),
                    After::Disconnect(id) => self.close(id, 1012, "disconnected"),
                    After::Release(id) => self.output_left(id),
                }
            }
        }
        self.arm_housekeeping();
    }

    /// Has the timer run for the first thing that can be forgotten, but not
    /// more often than once a second.
    pub(super) fn arm_housekeeping(&mut self) {
        let now = self.now;
        let mono = |wall: u64| now.mono.saturating_add(wall.saturating_sub(now.wall));
        let directory = match &self.sessions.mode {
            Mode::BuiltIn(identity) => Some(&identity.directory),
            Mode::Open | Mode::External(_) => None,
        };
        let due = [
            self.limiter.as_ref().and_then(RateLimiter::next_expiry),
            self.login_limiter().and_then(LoginLimiter::next_expiry),
            self.signup_limiter().and_then(LoginLimiter::next_expiry),
            self.sessions.revocations.next_expiry().map(mono),
            directory.and_then(Directory::next_session_expiry).map(mono),
        ];
        let Some(due) = due.into_iter().flatten().min() else { return };
        let due = due.max(now.mono.saturating_add(HOUSEKEEPING_MS));
        match self.sessions.housekeeping {
            Some((at, _)) if at <= due => {}
            running => {
                if let Some((_, timer)) = running {
                    self.wheel.cancel(timer);
                }
                let timer = self.wheel.insert(due, Timer::Housekeeping);
                self.sessions.housekeeping = Some((due, timer));
            }
        }
    }

    /// Forgets budgets, failures, revocations and sessions that are over.
    pub(super) fn keep_house(&mut self) {
        self.sessions.housekeeping = None;
        let now = self.now;
        if let Some(limiter) = &mut self.limiter {
            limiter.expire(now.mono);
        }
        if let Some(logins) = self.login_limiter_mut() {
            logins.expire(now.mono);
        }
        if let Mode::BuiltIn(identity) = &mut self.sessions.mode
            && let Some(signups) = &mut identity.signups
        {
            signups.expire(now.mono);
        }
        self.expire_revocations();
        let Mode::BuiltIn(identity) = &self.sessions.mode else { return };
        let expired = identity.directory.expired_sessions(now.wall);
        if !expired.is_empty() {
            let deleted = self.change(|change| {
                expired.iter().try_for_each(|id| change.delete(change.buckets.sessions, id))
            });
            if let Err(error) = deleted {
                log::error!("expired sessions stay: {error}");
            }
        }
    }

    /// Whoever is concerned by a change of roles, access lists or ownership is
    /// looked at again.
    fn note_touched(&mut self) {
        let Mode::BuiltIn(identity) = &mut self.sessions.mode else { return };
        if !identity.directory.has_touched() {
            return;
        }
        let touched = identity.directory.take_touched();
        let directory = &identity.directory;
        let by_role = |user: &Id| {
            !touched.roles.is_empty()
                && directory.roles_of(user).iter().any(|role| touched.roles.contains(&role.id))
        };
        for (user, conns) in &self.sessions.by_user {
            if touched.everybody || touched.users.contains(user) || by_role(user) {
                self.sessions.after.extend(conns.iter().copied().map(After::Reauthorise));
            }
        }
    }

    /// Tells a connection that its session has ended, and closes it: none of
    /// its requests is handled any more.
    fn end(&mut self, id: ConnId, reason: &'static str) {
        let Some(conn) = self.conns.get(id) else { return };
        if let Some(bound) = &conn.session {
            let user = Arc::clone(&bound.session.user_id);
            self.audit_session_event("session.revoked", id, Some(&user));
        }
        let mut text = b"{\"type\":\"system\",\"event\":\"session_revoked\",\"reason\":".to_vec();
        write_string(&mut text, reason);
        text.push(b'}');
        self.send(id, &text, None, b"");
        self.end_client_session(id);
        self.close(id, 4002, "session_revoked");
    }

    /// Suspends the subscriptions of a connection that must log in and has not;
    /// for any other, keeps those that it may have and cancels the rest.
    fn reauthorise(&mut self, id: ConnId) {
        let suspended = self.requires_auth() && self.session(id).is_none();
        let Some(conn) = self.conns.get_mut(id) else { return };
        // The program that embeds the server needs no session.
        if conn.trusted {
            return;
        }
        conn.suspended = suspended;
        if suspended && self.streams(id) {
            return self.end_stream(id, "sessionExpired");
        }
        if suspended {
            self.suspend_subscriptions(id);
            return;
        }
        if self.may_follow_now() {
            self.reauthorise_subscriptions(id);
        } else {
            self.follow_later(id);
        }
        self.reauthorise_event_subscriptions(id);
        self.reauthorise_traces(id);
    }
}
