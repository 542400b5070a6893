//! Making a user for oneself, where the operator allows it.

use super::forbidden;
use super::session::output_of;
use super::users::{check_email, check_username, insert_given, optional};
use crate::access::RateKey;
use crate::app::ConnId;
use crate::engine::sessions::Mode;
use crate::engine::{Engine, Outcome};
use crate::identity::Id;
use crate::json::{Json, Kind, Object};
use crate::protocol::{OpError, Reply, Request};

impl Engine {
    pub(in crate::engine::ops) fn signup(
        &mut self,
        conn: ConnId,
        request: &Request<'_>,
    ) -> Result<Outcome, OpError> {
        self.count_signup(conn)?;
        let username = request.require_string("username")?.into_owned();
        let password = request.require_string("password")?.into_owned();
        let fields = [
            ("displayName", optional(request, "displayName", Kind::String, "string")?),
            ("email", optional(request, "email", Kind::String, "string")?),
        ];
        let settings = self.identity()?.settings.signup.as_ref();
        if settings.is_some_and(|signup| signup.require_email) {
            request.require_string("email")?;
        }
        check_username(&username)?;
        // Such names are the server's own.
        if username.starts_with('_') {
            return Err(OpError::validation("Username must not begin with \"_\""));
        }
        self.users(conn).check_password(&password)?;
        self.users(conn).check_username_free(&username)?;
        check_email(request.present("email"))?;
        let id: Id = self.ids.uuid().into();
        let mut record: Object =
            [("id", Json::from(&*id)), ("username", Json::from(username.as_str()))]
                .into_iter()
                .collect();
        insert_given(&mut record, fields);
        let run = self.hash_job(conn, password)?;
        let then = Box::new(move |engine: &mut Engine, conn, output, reply: &mut Reply| {
            let hash = output_of::<String>(output)?;
            // The name may have been taken while the job ran.
            engine.users(conn).check_username_free(&username)?;
            record.insert("passwordHash", Json::from(hash));
            let roles = engine.signup_roles()?;
            let answer = engine.open_session_with(conn, &id, |change| {
                change.insert(change.buckets.users, record)?;
                roles.iter().try_for_each(|role| change.assign(&id, role, None))
            })?;
            answer.write(reply.data());
            Ok(Outcome::Done)
        });
        self.start_job(conn, request.id, &request.operation, run, then)
    }

    /// Refuses where nobody may sign up, and an address that has tried too
    /// often; everything else is an attempt.
    fn count_signup(&mut self, conn: ConnId) -> Result<(), OpError> {
        let key = RateKey::address(self.address_of(conn)?);
        let now = self.now.mono;
        let Some(signups) = &mut self.identity_mut()?.signups else {
            return Err(forbidden("Signing up is not enabled"));
        };
        signups.check(&key, now)?;
        signups.fail(&key, now);
        Ok(())
    }

    /// The ids of the roles that new users get. One that has gone since the
    /// start is left out: whoever dropped it wanted nobody to have it.
    fn signup_roles(&self) -> Result<Vec<Id>, OpError> {
        let identity = self.identity()?;
        let names = identity.settings.signup.iter().flat_map(|signup| &signup.roles);
        let found = names.filter_map(|name| {
            let role = identity.directory.role_by_name(name);
            if role.is_none() {
                log::warn!("auth.signup.roles: there is no role \"{name}\" (any more)");
            }
            role.map(|role| Id::clone(&role.id))
        });
        let mut ids: Vec<Id> = Vec::new();
        for id in found {
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        Ok(ids)
    }

    /// The first of the configured roles that does not exist, for the start.
    pub fn missing_signup_role(&self) -> Option<&str> {
        let Mode::BuiltIn(identity) = &self.sessions.mode else { return None };
        let mut names = identity.settings.signup.iter().flat_map(|signup| &signup.roles);
        let missing = names.find(|name| identity.directory.role_by_name(name).is_none());
        missing.map(String::as_str)
    }
}
