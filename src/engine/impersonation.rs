//! Acting as somebody else (operations.md section 8): a session over the session
//! of a connection, for a while. It yields no token, so nothing outlives it.

use std::sync::Arc;

use super::Engine;
use super::bound::{Beneath, Bound};
use super::sessions::Mode;
use crate::access::{Roles, Session, highest_tier};
use crate::app::ConnId;
use crate::identity::{SUPERADMIN, VIRTUAL_ADMIN};
use crate::json::{Json, Object, Raw};
use crate::protocol::{ErrorCode, Family, OpError, Operation, Request, Tier};

const TTL_MS: std::ops::RangeInclusive<u64> = 1_000..=900_000;
const DEFAULT_TTL_MS: u64 = 300_000;

fn forbidden(text: &'static str) -> OpError {
    OpError::new(ErrorCode::Forbidden, text)
}

/// What is asked for.
struct Wanted {
    user_id: Arc<str>,
    roles: Roles,
    ttl_ms: u64,
    read_only: bool,
}

fn answer(user_id: &str, roles: &Roles, until: Option<f64>) -> Json {
    let roles = roles.iter().map(|role| Json::from(&**role)).collect();
    let members: Object = [
        ("userId", Json::from(user_id)),
        ("roles", Json::Array(roles)),
        ("until", until.map_or(Json::Null, Json::Number)),
    ]
    .into_iter()
    .collect();
    Json::Object(members)
}

fn is_superadmin(user: &str, roles: &[Box<str>]) -> bool {
    *user == *VIRTUAL_ADMIN || roles.iter().any(|role| **role == *SUPERADMIN)
}

fn is_end(request: &Request<'_>) -> bool {
    request.known == Some(Operation::AuthImpersonate)
        && request.field("userId").is_some_and(|user| user.is_null())
}

/// Whether it is done by whoever a connection really is.
fn is_of_oneself(operation: Operation) -> bool {
    match operation {
        Operation::AuthLogin | Operation::SessionOpen => true,
        Operation::IdentityWhoami | Operation::IdentityMyAccess => false,
        _ => operation.tier() == Some(Tier::Admin) || operation.family() == Family::Identity,
    }
}

fn only_reads(operation: Operation) -> bool {
    match operation {
        Operation::SessionSync
        | Operation::AuthWhoami
        | Operation::AuthLogout
        | Operation::IdentityWhoami
        | Operation::IdentityMyAccess => true,
        _ => operation.tier() == Some(Tier::Read),
    }
}

impl Engine {
    /// Who really is behind a connection that acts as somebody else.
    pub(super) fn impersonator(&self, conn: ConnId) -> Option<&Arc<str>> {
        let beneath = self.conns.get(conn)?.beneath.as_ref()?;
        Some(&beneath.bound.session.user_id)
    }

    /// What nobody may do as somebody else. True: it needs no further right.
    pub(super) fn check_impersonated(
        &self,
        conn: ConnId,
        request: &Request<'_>,
    ) -> Result<bool, OpError> {
        if is_end(request) {
            return Ok(true);
        }
        let beneath = self.conns.get(conn).and_then(|conn| conn.beneath.as_ref());
        let Some(beneath) = beneath else { return Ok(false) };
        let is_of_oneself = match request.known {
            Some(operation) => is_of_oneself(operation),
            None => request.family() == Some(Family::Identity),
        };
        if is_of_oneself {
            return Err(forbidden("Not while impersonating"));
        }
        let Some(operation) = request.known else { return Ok(false) };
        if beneath.read_only && !only_reads(operation) {
            return Err(forbidden("Impersonation is read-only"));
        }
        Ok(false)
    }

    /// `auth.impersonate`
    pub(in crate::engine) fn impersonate(
        &mut self,
        conn: ConnId,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), OpError> {
        if is_end(request) {
            self.end_impersonation(conn);
            let own = self.principal(conn);
            match own {
                Some((user, roles)) => answer(&user, &roles, None).write(out),
                None => answer("", &Roles::default(), None).write(out),
            }
            return Ok(());
        }
        let wanted = self.wanted(conn, request)?;
        let own = self.session(conn).and_then(|session| session.expires_at);
        let until = self.now.wall.saturating_add(wanted.ttl_ms) as f64;
        let until = own.map_or(until, |own| until.min(own));
        let session = Session {
            expires_at: Some(until),
            roles: Arc::clone(&wanted.roles),
            ..Session::new(Arc::clone(&wanted.user_id), Vec::new())
        };
        self.begin_impersonation(conn, session, wanted.read_only);
        let roles = self.principal(conn).map(|(_, roles)| roles).unwrap_or(wanted.roles);
        answer(&wanted.user_id, &roles, Some(until)).write(out);
        Ok(())
    }

    fn wanted(&self, conn: ConnId, request: &Request<'_>) -> Result<Wanted, OpError> {
        let own = self
            .principal(conn)
            .ok_or_else(|| OpError::new(ErrorCode::Unauthorized, "Authentication required"))?;
        if matches!(self.sessions.mode, Mode::BuiltIn(_)) && !is_superadmin(&own.0, &own.1) {
            return Err(forbidden("Superadmin role required"));
        }
        let user_id = request.require_string("userId")?;
        let ttl_ms = match request.present("ttlMs").map(Raw::as_number) {
            None => DEFAULT_TTL_MS,
            Some(number) => number
                .filter(|ms| ms.fract() == 0.0 && TTL_MS.contains(&(*ms as u64)))
                .map(|ms| ms as u64)
                .ok_or_else(|| {
                    OpError::validation("Invalid \"ttlMs\": expected integer from 1000 to 900000")
                })?,
        };
        let read_only = match request.present("readOnly").map(Raw::as_bool) {
            None => true,
            Some(Some(read_only)) => read_only,
            Some(None) => {
                return Err(OpError::validation("Invalid \"readOnly\": expected boolean"));
            }
        };
        let roles = self.roles_to_act_with(conn, &user_id, request)?;
        if self.audit.is_none() {
            return Err(forbidden("Impersonation needs the audit log"));
        }
        if self.conns.get(conn).is_some_and(|conn| conn.client_session.is_some()) {
            let text = "A session is bound to this connection already";
            return Err(OpError::new(ErrorCode::Conflict, text));
        }
        self.check_revoked(&user_id)?;
        Ok(Wanted { user_id: Arc::from(&*user_id), roles, ttl_ms, read_only })
    }

    /// Refuses users whom nobody acts as; the roles that count where the server
    /// does not know them.
    fn roles_to_act_with(
        &self,
        conn: ConnId,
        user_id: &str,
        request: &Request<'_>,
    ) -> Result<Roles, OpError> {
        match &self.sessions.mode {
            Mode::Open => Err(OpError::internal()),
            Mode::BuiltIn(identity) => {
                if !self.users(conn).user_exists(user_id) {
                    return Err(OpError::not_found(format!("User \"{user_id}\" not found")));
                }
                let roles: Roles = identity.directory.role_names(user_id).into();
                if is_superadmin(user_id, &roles) {
                    return Err(forbidden("Cannot impersonate a superadmin"));
                }
                Ok(Roles::default())
            }
            Mode::External(external) => {
                let named = request.field("roles").map(Raw::to_json);
                let roles: Option<Roles> = named
                    .as_ref()
                    .and_then(|roles| {
                        let names = roles.as_array()?.iter();
                        names.map(|name| name.as_str().map(Box::from)).collect::<Option<Vec<_>>>()
                    })
                    .map(Roles::from);
                let roles = roles.ok_or_else(|| {
                    let text = "Missing or invalid \"roles\": expected array of strings";
                    OpError::validation(text)
                })?;
                if highest_tier(&roles, external.custom_role_tier()) == Some(Tier::Admin) {
                    let text = "Invalid \"roles\": expected roles below level admin";
                    return Err(OpError::validation(text));
                }
                Ok(roles)
            }
        }
    }

    fn begin_impersonation(&mut self, id: ConnId, session: Session, read_only: bool) {
        let Some(own) = self.conns.get_mut(id).and_then(|conn| conn.session.take()) else {
            return;
        };
        // Its user still has this connection: a revocation finds it.
        if let Some(conn) = self.conns.get_mut(id) {
            conn.beneath = Some(Box::new(Beneath { bound: own, read_only }));
        }
        self.bind_session(id, session, None);
    }

    /// A connection is itself again. Does nothing to others.
    pub(super) fn end_impersonation(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        let Some(beneath) = conn.beneath.take() else { return };
        if let Some(bound) = conn.session.take() {
            self.release_session(id, &bound);
        }
        let Bound { session, record, .. } = beneath.bound;
        self.bind_session(id, session, record);
    }

    /// The rights of a user have ended. Who only acts as him is himself again.
    pub(super) fn end_user_on(&mut self, user_id: &str, id: ConnId, reason: &'static str) {
        match self.impersonator(id) {
            Some(own) if **own != *user_id => self.end_impersonation(id),
            _ => self.end_later(id, reason),
        }
    }
}
