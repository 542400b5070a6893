//! `auth.*`: login with a token, logout, who am I (access.md section 4).

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::access::{Answer, RateKey, Session, Ticket, Verdict};
use crate::app::{ConnId, JobId, Now};
use crate::engine::Engine;
use crate::engine::Outcome;
use crate::engine::sessions::Mode;
use crate::json::{Json, Object};
use crate::protocol::{ErrorCode, OpError, Reply, Request};

fn unauthorized(text: &'static str) -> OpError {
    OpError::new(ErrorCode::Unauthorized, text)
}

impl Engine {
    pub(super) fn auth_logout(&mut self, conn: ConnId, out: &mut Vec<u8>) -> Result<(), OpError> {
        if matches!(self.sessions.mode, Mode::BuiltIn(_)) {
            self.logout(conn)?;
        } else {
            self.client_user_is(conn, None);
            self.drop_session(conn);
        }
        out.extend_from_slice(b"{\"loggedOut\":true}");
        Ok(())
    }

    pub(super) fn auth_login(
        &mut self,
        conn: ConnId,
        request: &Request<'_>,
        reply: &mut Reply,
    ) -> Result<Outcome, OpError> {
        let token = request.require_string("token")?;
        self.check_logins(conn)?;
        let now = self.now.wall;
        let answer = match &mut self.sessions.mode {
            Mode::Open => Answer::Now(Verdict::Invalid),
            Mode::External(external) => external.validate(&token, now),
            Mode::BuiltIn(_) => {
                let session = self.login_with_token(conn, &token)?;
                let roles = self.principal(conn).map(|(_, roles)| roles).unwrap_or_default();
                session_json(&session, &roles).write(reply.data());
                return Ok(Outcome::Done);
            }
        };
        match answer {
            Answer::Now(verdict) => self.finish_login(conn, verdict, reply),
            Answer::Later(start) => {
                let Some(deliver) = self.sessions.deliver.clone() else {
                    log::error!("a token validator answers later, but nothing takes its verdict");
                    return Err(OpError::internal());
                };
                let job = self.ids.next_job();
                let then = Box::new(|engine: &mut Engine, conn, output, reply: &mut Reply| {
                    let verdict = match output {
                        Ok(output) => Box::<dyn std::any::Any + Send>::downcast::<Verdict>(output)
                            .map_or(Verdict::Failed, |verdict| *verdict),
                        Err(_) => Verdict::Failed,
                    };
                    engine.finish_login(conn, verdict, reply)
                });
                self.wait_for(conn, job, request.id, &request.operation, then);
                let ticket = Ticket::new(job, deliver);
                if catch_unwind(AssertUnwindSafe(|| start(ticket))).is_err() {
                    // The ticket was dropped on the way and has delivered a failure.
                    log::error!("the token validator panicked");
                }
                Ok(Outcome::Pending)
            }
        }
    }

    /// The verdict of an embedded validator that answered later.
    pub fn token_validated(&mut self, job: JobId, verdict: Verdict, now: Now) {
        self.take_time(now);
        self.complete_job(job, Ok(Box::new(verdict)));
    }

    fn finish_login(
        &mut self,
        conn: ConnId,
        verdict: Verdict,
        reply: &mut Reply,
    ) -> Result<Outcome, OpError> {
        let session = match verdict {
            Verdict::Session(session) => session,
            Verdict::Expired => return Err(unauthorized("Token has expired")),
            Verdict::Failed => return Err(OpError::internal()),
            Verdict::Invalid => {
                self.count_failed_login(conn);
                return Err(unauthorized("Invalid token"));
            }
        };
        if session.is_expired(self.now.wall) {
            return Err(unauthorized("Token has expired"));
        }
        self.check_revoked(&session.user_id)?;
        session_json(&session, &session.roles).write(reply.data());
        self.install_session(conn, session, None);
        Ok(Outcome::Done)
    }

    pub(super) fn auth_whoami(&mut self, conn: ConnId, out: &mut Vec<u8>) {
        let now = self.now.wall;
        let bound = self.conns.get(conn).and_then(|conn| conn.session.as_ref());
        match bound {
            Some(bound) if !bound.session.is_expired(now) => {
                let mut answer: Object =
                    [("authenticated", Json::Bool(true))].into_iter().collect();
                let roles = self.principal(conn).map(|(_, roles)| roles).unwrap_or_default();
                if let Json::Object(session) = session_json(&bound.session, &roles) {
                    for (name, value) in session {
                        answer.insert(name, value);
                    }
                }
                Json::Object(answer).write(out);
            }
            expired => {
                if expired.is_some() {
                    self.drop_session(conn);
                }
                out.extend_from_slice(b"{\"authenticated\":false}");
            }
        }
    }

    /// Refuses an address that has presented too many wrong tokens.
    fn check_logins(&mut self, conn: ConnId) -> Result<(), OpError> {
        let now = self.now.mono;
        match self.address_key(conn).zip(self.token_limiter()) {
            Some((key, logins)) => logins.check(&key, now),
            None => Ok(()),
        }
    }

    fn count_failed_login(&mut self, conn: ConnId) {
        let now = self.now.mono;
        if let Some((key, logins)) = self.address_key(conn).zip(self.token_limiter()) {
            logins.fail(&key, now);
        }
    }

    /// The key of the connection's address in the counters of failures.
    pub(super) fn address_key(&self, conn: ConnId) -> Option<RateKey> {
        self.conns.get(conn).map(|conn| RateKey::address(conn.address))
    }

    /// Counts wrong tokens of external mode; session tokens of built-in mode
    /// cannot be guessed and are not counted.
    fn token_limiter(&mut self) -> Option<&mut crate::access::LoginLimiter> {
        match &mut self.sessions.mode {
            Mode::External(external) => external.logins.as_mut(),
            Mode::Open | Mode::BuiltIn(_) => None,
        }
    }
}

/// `{ userId, roles, expiresAt }`
pub(super) fn session_json(session: &Session, roles: &[Box<str>]) -> Json {
    let answer: Object = [
        ("userId", Json::string(&*session.user_id)),
        ("roles", Json::Array(roles.iter().cloned().map(Json::String).collect())),
        ("expiresAt", session.expires_at.map_or(Json::Null, Json::Number)),
    ]
    .into_iter()
    .collect();
    Json::Object(answer)
}
