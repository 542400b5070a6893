//! Login, logout, who am I, a new token for the same user.

use crate::address::Address;

use super::{Change, names, object, unauthorized, units};
use crate::access::{RateKey, Session};
use crate::app::{ConnId, JobOutput};
use crate::engine::scopes::Users;
use crate::engine::{Engine, Outcome};
use crate::identity::{Id, TOKEN_BYTES, VIRTUAL_ADMIN, password, token_id, token_text};
use crate::json::{Json, Object, Raw};
use crate::protocol::{OpError, Reply, Request};

/// Usernames and passwords that are longer cannot exist.
pub(super) const MAX_USERNAME: usize = 64;
pub(super) const MAX_PASSWORD: usize = 1024;

/// The reason for connections of a session that was logged out elsewhere.
const SESSION_ENDED: &str = "Session ended";
const SESSION_LIMIT: &str = "Session limit reached";

fn invalid_credentials() -> OpError {
    unauthorized("Invalid credentials")
}

impl Users<'_> {
    pub(in crate::engine::ops) fn whoami(&self) -> Result<Json, OpError> {
        let session = self
            .conns
            .session(self.conn, self.wall)
            .ok_or_else(|| unauthorized("Authentication required"))?;
        Ok(object([
            ("authenticated", Json::Bool(true)),
            ("userId", Json::from(&*session.user_id)),
            ("roles", names(self.directory()?.role_names(&session.user_id))),
            ("expiresAt", session.expires_at.map_or(Json::Null, Json::Number)),
        ]))
    }

    /// Where a session was made.
    pub(super) fn origin_of(&self, record: &str) -> Result<(Option<Json>, Option<Json>), OpError> {
        let buckets = self.directory()?.buckets().ok_or_else(OpError::internal)?;
        let bucket = self.store.bucket(buckets.sessions).ok_or_else(OpError::internal)?;
        let row = bucket.get(&crate::store::Key::String(record.into()));
        let field = |name| row.and_then(|row| row.raw().get(name)).map(Raw::to_json);
        Ok((field("ip"), field("userAgent")))
    }

    fn login_result(&self, token: &str, expires_at: f64, user_id: &str) -> Result<Json, OpError> {
        let mut user: Object = [("id", Json::from(user_id)), ("username", self.username(user_id))]
            .into_iter()
            .collect();
        let display = self.user_row(user_id).ok().and_then(|row| row.raw().get("displayName"));
        if let Some(name) = display {
            user.insert("displayName", name.to_json());
        }
        user.insert("roles", names(self.directory()?.role_names(user_id)));
        Ok(object([
            ("token", Json::from(token)),
            ("expiresAt", Json::Number(expires_at)),
            ("user", Json::Object(user)),
        ]))
    }

    pub(super) fn password_hash(&self, user_id: &str) -> Option<Id> {
        let row = self.user_row(user_id).ok()?;
        row.raw().get("passwordHash").and_then(Raw::as_str).map(|hash| (&*hash).into())
    }

    pub(super) fn is_enabled(&self, user_id: &str) -> bool {
        let row = self.user_row(user_id).ok();
        row.and_then(|row| row.raw().get("enabled")).and_then(Raw::as_bool) == Some(true)
    }
}

impl Engine {
    pub(in crate::engine::ops) fn login(
        &mut self,
        conn: ConnId,
        request: &Request<'_>,
    ) -> Result<Outcome, OpError> {
        let username = request.require_string("username")?.into_owned();
        let given = request.require_string("password")?.into_owned();
        let address = self.address_key(conn).ok_or_else(OpError::internal)?;
        if units(&username) > MAX_USERNAME {
            // Nobody can have that name, and it is not worth a counter.
            self.check_failures(&address)?;
            self.count_failure(&address)?;
            return Err(invalid_credentials());
        }
        let from = self.address_of(conn)?;
        let user = self.identity()?.login_key(&username, from);
        self.check_failures(&user)?;
        self.check_failures(&address)?;

        let identity = self.identity()?;
        let slot = identity.hash_slot(from)?;
        let user_id = identity.directory.user_by_name(&username).cloned();
        let stored = user_id.as_ref().and_then(|id| self.users(conn).password_hash(id));
        // Nobody learns from the time it takes whether the name exists.
        let hash = stored.clone().unwrap_or_else(|| Id::clone(&identity.dummy));
        let run = Box::new(move || -> JobOutput {
            let _slot = slot;
            let fits = units(&given) <= MAX_PASSWORD;
            Box::new(password::verify(if fits { &given } else { "" }, &hash) && fits)
        });
        let then = Box::new(move |engine: &mut Engine, conn, output, reply: &mut Reply| {
            let matches = output_of::<bool>(output)?;
            // Failures of other connections may have arrived meanwhile: this
            // attempt does not slip past the limit.
            engine.check_failures(&user)?;
            engine.check_failures(&address)?;
            // The state that the password was compared with may be gone.
            let user_id = user_id
                .filter(|id| stored.is_some() && engine.users(conn).password_hash(id) == stored);
            let accepted = match user_id.filter(|_| matches) {
                None => Err(invalid_credentials()),
                Some(id) if !engine.users(conn).is_enabled(&id) => {
                    Err(unauthorized("Account disabled"))
                }
                Some(id) => Ok(id),
            };
            let user_id = match accepted {
                Ok(id) => id,
                Err(error) => {
                    engine.count_failure(&user)?;
                    engine.count_failure(&address)?;
                    return Err(error);
                }
            };
            engine.check_revoked(&user_id)?;
            let answer = engine.open_session(conn, &user_id)?;
            engine.identity_mut()?.logins.reset(&user);
            answer.write(reply.data());
            Ok(Outcome::Done)
        });
        self.start_job(conn, request.id, &request.operation, run, then)
    }

    pub(in crate::engine::ops) fn login_with_secret(
        &mut self,
        conn: ConnId,
        request: &Request<'_>,
    ) -> Result<Json, OpError> {
        let secret = request.require_string("secret")?;
        let from = self.address_of(conn)?;
        let key = self.identity()?.secret_key(from);
        self.check_failures(&key)?;
        if !self.identity()?.is_secret(&secret) {
            self.count_failure(&key)?;
            return Err(unauthorized("Invalid secret"));
        }
        let logins = &mut self.identity_mut()?.logins;
        logins.reset(&key);
        // Whoever knows the secret vouches for the others there.
        logins.reset(&RateKey::address(from));
        self.open_session(conn, VIRTUAL_ADMIN)
    }

    /// Ends the session that a connection is bound to, for everybody who is
    /// bound to it.
    pub(in crate::engine) fn logout(&mut self, conn: ConnId) -> Result<Json, OpError> {
        self.client_user_is(conn, None);
        if let Some(bound) = self.drop_session(conn)
            && let Some(record) = bound.record
        {
            for other in self.bound_to(&bound.session.user_id, &record) {
                self.end_later(other, SESSION_ENDED);
            }
            self.change(|change| change.delete(change.buckets.sessions, &record))?;
        }
        Ok(super::done("loggedOut"))
    }

    /// A new session for the user, in the place of the one that the connection
    /// is bound to; whoever is bound to that follows.
    pub(in crate::engine::ops) fn refresh_session(
        &mut self,
        conn: ConnId,
    ) -> Result<Json, OpError> {
        let bound = self.conns.get(conn).and_then(|conn| conn.session.as_ref());
        let record = bound.and_then(|bound| bound.record.clone());
        let record = record.ok_or_else(|| unauthorized("No active session to refresh"))?;
        let user_id = self.users(conn).caller()?;
        let invalid = || unauthorized("Invalid or expired session");
        let old = self.identity()?.directory.session(&record).ok_or_else(invalid)?;
        if old.expires_at < self.now.wall as f64 {
            return Err(invalid());
        }
        let gone = user_id[..] != *VIRTUAL_ADMIN && !self.users(conn).is_enabled(&user_id);
        if gone {
            self.change(|change| change.delete(change.buckets.sessions, &record))?;
            return Err(unauthorized("User not found or disabled"));
        }
        self.check_revoked(&user_id)?;
        let followers = self.bound_to(&user_id, &record);
        let (ip, agent) = self.users(conn).origin_of(&record)?;
        let token = token_text(&self.ids.bytes::<TOKEN_BYTES>());
        let new: Id = token_id(&token).into();
        let expires_at = self.new_expiry()?;
        let fields = session_record(&new, &user_id, expires_at, ip, agent);
        self.change(|change| {
            change.delete(change.buckets.sessions, &record)?;
            change.insert(change.buckets.sessions, fields)
        })?;
        for follower in followers {
            self.bind(follower, &user_id, &new, expires_at);
        }
        self.users(conn).login_result(&token, expires_at, &user_id)
    }

    /// `auth.login` of built-in mode: a token that a login has given out.
    pub(in crate::engine) fn login_with_token(
        &mut self,
        conn: ConnId,
        token: &str,
    ) -> Result<Session, OpError> {
        let invalid = || unauthorized("Invalid token");
        let id: Id = token_id(token).into();
        let directory = &self.identity()?.directory;
        let record = directory.session(&id).ok_or_else(invalid)?;
        let (user_id, expires_at) = (Id::clone(&record.user_id), record.expires_at);
        if expires_at < self.now.wall as f64 {
            self.change(|change| change.delete(change.buckets.sessions, &id))?;
            return Err(invalid());
        }
        if *user_id != *VIRTUAL_ADMIN && !self.users(conn).is_enabled(&user_id) {
            return Err(invalid());
        }
        self.check_revoked(&user_id)?;
        self.bind(conn, &user_id, &id, expires_at);
        self.session(conn).cloned().ok_or_else(invalid)
    }

    /// Makes a session for a user, binds it to the connection, and answers with
    /// its token.
    fn open_session(&mut self, conn: ConnId, user_id: &str) -> Result<Json, OpError> {
        self.open_session_with(conn, user_id, |_| Ok(()))
    }

    /// As [`Engine::open_session`], in one commit with what `prepare` writes.
    pub(super) fn open_session_with(
        &mut self,
        conn: ConnId,
        user_id: &str,
        prepare: impl FnOnce(&mut Change<'_>) -> Result<(), OpError>,
    ) -> Result<Json, OpError> {
        let evicted = self.sessions_to_evict(conn, user_id)?;
        let token = token_text(&self.ids.bytes::<TOKEN_BYTES>());
        let id: Id = token_id(&token).into();
        let expires_at = self.new_expiry()?;
        let peer = self.conns.get(conn).ok_or_else(OpError::internal)?;
        let ip = Some(Json::String(peer.address.to_string().into()));
        let agent = peer.user_agent.clone().map(Json::String);
        let fields = session_record(&id, user_id, expires_at, ip, agent);
        self.change(|change| {
            prepare(change)?;
            for old in &evicted {
                change.delete(change.buckets.sessions, old)?;
            }
            change.insert(change.buckets.sessions, fields)
        })?;
        for old in &evicted {
            for other in self.bound_to(user_id, old).into_iter().filter(|other| *other != conn) {
                self.end_later(other, SESSION_LIMIT);
            }
        }
        let user_id: Id = user_id.into();
        self.bind(conn, &user_id, &id, expires_at);
        self.users(conn).login_result(&token, expires_at, &user_id)
    }

    /// Sessions that have to go so that one more does not exceed the limit: the
    /// oldest that no live connection is bound to, else the oldest of all. What
    /// the connection itself is bound to is about to be replaced.
    fn sessions_to_evict(&self, conn: ConnId, user_id: &str) -> Result<Vec<Id>, OpError> {
        let identity = self.identity()?;
        let most = identity.settings.max_sessions_per_user;
        if user_id == VIRTUAL_ADMIN {
            return Ok(Vec::new());
        }
        let mut sessions: Vec<(bool, f64, Id)> = identity
            .directory
            .sessions_of(user_id)
            .filter_map(|id| {
                let record = identity.directory.session(id)?;
                let bound = self.bound_to(user_id, id).into_iter().any(|other| other != conn);
                Some((bound, record.created_at, Id::clone(id)))
            })
            .collect();
        let over = (sessions.len() + 1).saturating_sub(most);
        // Stable: creation order decides between equals.
        sessions.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
        Ok(sessions.into_iter().take(over).map(|(_, _, id)| id).collect())
    }

    fn new_expiry(&self) -> Result<f64, OpError> {
        Ok(self.now.wall.saturating_add(self.identity()?.settings.session_ttl_ms) as f64)
    }

    pub(super) fn bind(&mut self, conn: ConnId, user_id: &Id, record: &Id, expires_at: f64) {
        let session = Session {
            expires_at: Some(expires_at),
            ..Session::new(Id::clone(user_id), Vec::new())
        };
        self.install_session(conn, session, Some(Id::clone(record)));
    }

    /// The connections bound to a session record, in connect order.
    pub(super) fn bound_to(&self, user_id: &str, record: &str) -> Vec<ConnId> {
        let mut conns = self.connections_of(user_id);
        conns.retain(|id| {
            let Some(conn) = self.conns.get(*id) else { return false };
            let beneath = conn.beneath.as_deref().map(|beneath| &beneath.bound);
            let mut all = conn.session.iter().chain(beneath);
            all.any(|bound| bound.record.as_deref() == Some(record))
        });
        conns
    }

    pub(super) fn address_of(&self, conn: ConnId) -> Result<Address, OpError> {
        self.conns.get(conn).map(|conn| conn.address).ok_or_else(OpError::internal)
    }

    /// Refuses while a key has too many failures.
    pub(super) fn check_failures(&mut self, key: &RateKey) -> Result<(), OpError> {
        let now = self.now.mono;
        self.identity_mut()?.logins.check(key, now)
    }

    pub(super) fn count_failure(&mut self, key: &RateKey) -> Result<(), OpError> {
        let now = self.now.mono;
        self.identity_mut()?.logins.fail(key, now);
        Ok(())
    }
}

/// A new record of `_sessions`.
pub(super) fn session_record(
    id: &str,
    user_id: &str,
    expires_at: f64,
    ip: Option<Json>,
    user_agent: Option<Json>,
) -> Object {
    let mut record: Object = [
        ("id", Json::from(id)),
        ("userId", Json::from(user_id)),
        ("expiresAt", Json::Number(expires_at)),
    ]
    .into_iter()
    .collect();
    for (name, value) in [("ip", ip), ("userAgent", user_agent)] {
        if let Some(value) = value {
            record.insert(name, value);
        }
    }
    record
}

/// What a password job has found out.
pub(super) fn output_of<T: 'static>(output: Result<JobOutput, String>) -> Result<T, OpError> {
    match output.map(JobOutput::downcast::<T>) {
        Ok(Ok(value)) => Ok(*value),
        // A job that panicked has been logged.
        Ok(Err(_)) | Err(_) => Err(OpError::internal()),
    }
}
