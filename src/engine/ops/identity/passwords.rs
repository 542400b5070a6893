//! Changing and resetting passwords.

use super::session::{MAX_PASSWORD, output_of, session_record};
use super::{done, forbidden, unauthorized, units, user_not_found};
use crate::app::{ConnId, JobOutput};
use crate::engine::scopes::Users;
use crate::engine::{Engine, Outcome};
use crate::identity::password::{self, SALT_LEN};
use crate::identity::{Id, TOKEN_BYTES, VIRTUAL_ADMIN, token_id, token_text};
use crate::json::{Json, Object};
use crate::protocol::{OpError, Reply, Request};

const CHANGED: &str = "Password changed";
const RESET: &str = "Password reset";

impl Users<'_> {
    /// Whether a new password has a length that is allowed.
    pub(super) fn check_password(&self, password: &str) -> Result<(), OpError> {
        let least = self.identity()?.settings.password_min_length;
        match units(password) {
            length if length < least => {
                Err(OpError::validation(format!("Password must be at least {least} characters")))
            }
            length if length > MAX_PASSWORD => {
                Err(OpError::validation("Password must be at most 1024 characters"))
            }
            _ => Ok(()),
        }
    }

    fn username_text(&self, user_id: &str) -> Id {
        match self.username(user_id) {
            Json::String(name) => Id::from(name),
            _ => VIRTUAL_ADMIN.into(),
        }
    }
}

impl Engine {
    pub(in crate::engine::ops) fn change_password(
        &mut self,
        conn: ConnId,
        request: &Request<'_>,
    ) -> Result<Outcome, OpError> {
        let caller = self.users(conn).caller()?;
        let user_id: Id = (*request.require_string("userId")?).into();
        let current = request.require_string("currentPassword")?.into_owned();
        let new = request.require_string("newPassword")?.into_owned();
        if user_id != caller {
            return Err(forbidden(
                "Can only change your own password (use resetPassword for other users)",
            ));
        }
        self.users(conn).check_password(&new)?;
        let stored = self.users(conn).password_hash(&user_id).ok_or_else(user_not_found)?;
        // Guessing here counts like guessing at the door.
        let address = self.address_of(conn)?;
        let key = self.identity()?.login_key(&self.users(conn).username_text(&user_id), address);
        self.check_failures(&key)?;
        let slot = self.identity()?.hash_slot(address)?;
        let salt = self.ids.bytes::<SALT_LEN>();
        let hash = Id::clone(&stored);
        let run = Box::new(move || -> JobOutput {
            let _slot = slot;
            let right = units(&current) <= MAX_PASSWORD && password::verify(&current, &hash);
            Box::new(right.then(|| password::hash(&new, &salt)))
        });
        let then = Box::new(move |engine: &mut Engine, conn, output, reply: &mut Reply| {
            let new = output_of::<Option<String>>(output)?;
            engine.check_failures(&key)?;
            let now_stored =
                engine.users(conn).password_hash(&user_id).ok_or_else(user_not_found)?;
            let incorrect = || unauthorized("Current password is incorrect");
            let Some(new) = new.filter(|_| now_stored == stored) else {
                engine.count_failure(&key)?;
                return Err(incorrect());
            };
            engine.set_password(conn, &user_id, new, CHANGED)?;
            done("changed").write(reply.data());
            Ok(Outcome::Done)
        });
        self.start_job(conn, request.id, &request.operation, run, then)
    }

    pub(in crate::engine::ops) fn reset_password(
        &mut self,
        conn: ConnId,
        request: &Request<'_>,
    ) -> Result<Outcome, OpError> {
        let caller = self.users(conn).admin()?;
        let user_id: Id = (*request.require_string("userId")?).into();
        let new = request.require_string("newPassword")?.into_owned();
        self.users(conn).check_password(&new)?;
        self.users(conn).user_row(&user_id)?;
        self.users(conn).check_boundary(&caller, &user_id)?;
        let run = self.hash_job(conn, new)?;
        let then = Box::new(move |engine: &mut Engine, conn, output, reply: &mut Reply| {
            let new = output_of::<String>(output)?;
            // Rights and target may have gone while the job ran.
            let caller = engine.users(conn).admin()?;
            engine.users(conn).user_row(&user_id)?;
            engine.users(conn).check_boundary(&caller, &user_id)?;
            engine.set_password(conn, &user_id, new, RESET)?;
            done("reset").write(reply.data());
            Ok(Outcome::Done)
        });
        self.start_job(conn, request.id, &request.operation, run, then)
    }

    /// Hashes a password, away from the loop; what comes out is a `String`.
    pub(super) fn hash_job(
        &mut self,
        conn: ConnId,
        password: String,
    ) -> Result<Box<dyn FnOnce() -> JobOutput + Send>, OpError> {
        let slot = self.identity()?.hash_slot(self.address_of(conn)?)?;
        let salt = self.ids.bytes::<SALT_LEN>();
        Ok(Box::new(move || {
            let _slot = slot;
            Box::new(password::hash(&password, &salt))
        }))
    }

    /// Stores a new hash and ends every session of the user. The caller, if it
    /// is the user, stays: bound to a fresh record that nobody has a token of.
    fn set_password(
        &mut self,
        conn: ConnId,
        user_id: &Id,
        hash: String,
        reason: &'static str,
    ) -> Result<(), OpError> {
        let own = self.conns.get(conn).and_then(|conn| conn.session.as_ref());
        let stays = own.filter(|bound| bound.session.user_id == *user_id);
        let expires_at = stays.and_then(|bound| bound.session.expires_at);
        let record = stays.and_then(|bound| bound.record.clone());
        let (ip, agent) = match &record {
            Some(record) => self.users(conn).origin_of(record)?,
            None => (None, None),
        };
        let fresh: Id = token_id(&token_text(&self.ids.bytes::<TOKEN_BYTES>())).into();
        self.change(|change| {
            let fields: Object = [("passwordHash", Json::from(hash))].into_iter().collect();
            change.update(change.buckets.users, user_id, fields)?;
            change.delete_sessions(user_id)?;
            if let Some(expires_at) = expires_at {
                let fields = session_record(&fresh, user_id, expires_at, ip, agent);
                change.insert(change.buckets.sessions, fields)?;
            }
            Ok(())
        })?;
        self.end_user(user_id, Some(conn), reason);
        if let Some(expires_at) = expires_at {
            self.bind(conn, user_id, &fresh, expires_at);
        }
        Ok(())
    }

    /// Ends the live connections of a user, except one.
    pub(super) fn end_user(&mut self, user_id: &str, except: Option<ConnId>, reason: &'static str) {
        for conn in self.connections_of(user_id) {
            if Some(conn) != except {
                self.end_user_on(user_id, conn, reason);
            }
        }
    }
}
