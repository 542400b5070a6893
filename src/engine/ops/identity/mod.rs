//! `identity.*`: users, roles, sessions, access lists, ownership
//! (identity.md sections 9 and 10).
//!
//! The gate lets every logged-in connection through to here; each handler says
//! in its first lines who may.

mod acl;
mod change;
mod owners;
mod passwords;
mod roles;
mod session;
mod signup;
mod users;

use change::Change;

use crate::engine::Engine;
use crate::engine::scopes::Users;
use crate::engine::sessions::Mode;
use crate::identity::{ADMIN, Directory, Id, Identity, SUPERADMIN, VIRTUAL_ADMIN};
use crate::json::{Json, Object};
use crate::protocol::{ErrorCode, OpError};
use crate::store::{Key, Row};

fn forbidden(text: &'static str) -> OpError {
    OpError::new(ErrorCode::Forbidden, text)
}

fn unauthorized(text: &'static str) -> OpError {
    OpError::new(ErrorCode::Unauthorized, text)
}

fn user_not_found() -> OpError {
    OpError::not_found("User not found")
}

/// UTF-16 units, in which the protocol counts.
fn units(text: &str) -> usize {
    text.encode_utf16().count()
}

impl Engine {
    /// The state of built-in mode.
    pub(in crate::engine) fn identity(&self) -> Result<&Identity, OpError> {
        self.sessions.mode.identity()
    }

    pub(in crate::engine) fn identity_mut(&mut self) -> Result<&mut Identity, OpError> {
        match &mut self.sessions.mode {
            Mode::BuiltIn(identity) => Ok(identity),
            Mode::Open | Mode::External(_) => Err(OpError::internal()),
        }
    }
}

impl<'e> Users<'e> {
    fn identity(&self) -> Result<&'e Identity, OpError> {
        self.mode.identity()
    }

    fn directory(&self) -> Result<&'e Directory, OpError> {
        Ok(&self.identity()?.directory)
    }

    /// The user of the connection.
    fn caller(&self) -> Result<Id, OpError> {
        match self.conns.session(self.conn, self.wall) {
            Some(session) => Ok(Id::clone(&session.user_id)),
            // The program that embeds the server.
            None if self.conns.get(self.conn).is_some_and(|conn| conn.trusted) => {
                Ok(VIRTUAL_ADMIN.into())
            }
            None => Err(unauthorized("Authentication required")),
        }
    }

    fn is_superadmin(&self, user_id: &str) -> bool {
        self.directory().is_ok_and(|directory| directory.has_role(user_id, SUPERADMIN))
    }

    fn is_admin(&self, user_id: &str) -> bool {
        self.is_superadmin(user_id)
            || self.directory().is_ok_and(|directory| directory.has_role(user_id, ADMIN))
    }

    /// The caller, if an admin.
    pub(in crate::engine) fn admin(&self) -> Result<Id, OpError> {
        let caller = self.caller()?;
        if self.is_admin(&caller) { Ok(caller) } else { Err(forbidden("Admin role required")) }
    }

    /// The caller, if a superadmin.
    fn superadmin(&self) -> Result<Id, OpError> {
        let caller = self.caller()?;
        match self.is_superadmin(&caller) {
            true => Ok(caller),
            false => Err(forbidden("Superadmin role required")),
        }
    }

    /// Only superadmins touch superadmins.
    fn check_boundary(&self, caller: &str, target: &str) -> Result<(), OpError> {
        if self.is_superadmin(target) && !self.is_superadmin(caller) {
            return Err(forbidden("Superadmin role required"));
        }
        Ok(())
    }

    /// The record of a user.
    pub(in crate::engine) fn user_row(&self, user_id: &str) -> Result<&'e Row, OpError> {
        let buckets = self.directory()?.buckets().ok_or_else(OpError::internal)?;
        let users = self.store.bucket(buckets.users).ok_or_else(OpError::internal)?;
        users.get(&Key::String(user_id.into())).ok_or_else(user_not_found)
    }

    /// Whether there is such a user, the virtual one included.
    pub(in crate::engine) fn user_exists(&self, user_id: &str) -> bool {
        user_id == VIRTUAL_ADMIN || self.user_row(user_id).is_ok()
    }

    /// The name of a user; the id itself if there is none (any more).
    fn username(&self, user_id: &str) -> Json {
        let name = self.user_row(user_id).ok().and_then(|row| row.raw().get("username"));
        name.map_or_else(|| user_id.into(), Json::from)
    }
}

/// A record as clients get it: without what is the server's business.
fn public(row: &Row) -> Object {
    let mut object = match row.to_json() {
        Json::Object(object) => object,
        _ => Object::new(),
    };
    object.remove("passwordHash");
    object.remove("_version");
    object
}

/// `{ [name]: true }`
fn done(name: &'static str) -> Json {
    object([(name, Json::Bool(true))])
}

fn object<const N: usize>(members: [(&str, Json); N]) -> Json {
    Json::Object(members.into_iter().collect())
}

fn names(roles: Vec<Box<str>>) -> Json {
    Json::Array(roles.into_iter().map(Json::String).collect())
}
