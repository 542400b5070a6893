//! Switching authentication and the audit log on, before the first connection.

use super::Engine;
use super::sessions::Mode;
use crate::access::{Deliver, External, PermissionCheck, ReadFile, TokenValidator};
use crate::app::Now;
use crate::audit::{AuditLog, AuditSink};
use crate::config::BuiltIn;
use crate::identity::{self, Id, Identity};
use crate::json::{Json, Object};
use crate::protocol::OpError;
use crate::store::Key;

impl Engine {
    /// Switches external authentication on. Before the first connection.
    pub fn set_external_auth(&mut self, external: External, blacklist_ttl_ms: u64) {
        self.sessions.mode = Mode::External(Box::new(external));
        self.restore_revocations(blacklist_ttl_ms);
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

    /// Switches built-in users on: makes the system buckets and roles that are
    /// missing. After everything that was stored is back, before the first
    /// connection.
    ///
    /// # Errors
    /// A system bucket cannot be defined, for instance because the data has a
    /// bucket of that name that is none.
    pub fn set_built_in_auth(
        &mut self,
        settings: BuiltIn,
        blacklist_ttl_ms: u64,
    ) -> Result<(), OpError> {
        for (name, definition) in identity::buckets() {
            match self.store.bucket_named(name) {
                None => {
                    let set = self.store.prepare_define(name, definition, &self.budget)?;
                    self.commit(set);
                }
                // Made by a client while names like this were ordinary.
                Some(bucket) if *bucket.definition().supplied() != definition => {
                    return Err(OpError::validation(format!(
                        "the data has a bucket \"{name}\" that is not the server's own"
                    )));
                }
                Some(_) => {}
            }
        }
        let mut identity = Identity::new(settings);
        identity.directory.rebuild(&self.store);
        self.sessions.mode = Mode::BuiltIn(Box::new(identity));
        self.restore_revocations(blacklist_ttl_ms);
        self.seed_roles()?;
        self.publish();
        Ok(())
    }

    /// Makes the system roles that are missing, and gives those that were never
    /// edited what has been added since they were made.
    fn seed_roles(&mut self) -> Result<(), OpError> {
        for role in &identity::SYSTEM_ROLES {
            let existing = self.identity()?.directory.role_by_name(role.name);
            let existing = existing.map(|role| Id::clone(&role.id));
            let Some(id) = existing else {
                let record: Object = [
                    ("name", Json::from(role.name)),
                    ("description", Json::from(role.description)),
                    ("system", Json::Bool(true)),
                    ("permissions", role.permissions()),
                ]
                .into_iter()
                .collect();
                self.change(|change| change.insert(change.buckets.roles, record))?;
                continue;
            };
            let roles = self.store.bucket_named(identity::ROLES);
            let row = roles.and_then(|roles| roles.get(&Key::String((&*id).into())));
            let permissions = row.and_then(|row| row.raw().get("permissions"));
            if permissions.is_some_and(|raw| role.is_outdated(&raw.to_json())) {
                let fields: Object = [("permissions", role.permissions())].into_iter().collect();
                self.change(|change| change.update(change.buckets.roles, &id, fields))?;
            }
        }
        Ok(())
    }

    /// Reads key files again. The error has one line per problem; the old keys
    /// then stay.
    pub fn reload_keys(&mut self, read: ReadFile<'_>) -> Result<(), Vec<String>> {
        match &mut self.sessions.mode {
            Mode::Open => Ok(()),
            Mode::External(external) => external.reload(read),
            Mode::BuiltIn(identity) => identity.reload(read).map_err(|problem| vec![problem]),
        }
    }

    /// What [`Engine::reload_keys`] reads: a word for the metrics, and for people.
    pub fn key_files(&self) -> Option<(&'static str, &'static str)> {
        match &self.sessions.mode {
            Mode::External(_) => Some(("keys", "keys that stand in files are")),
            Mode::BuiltIn(identity) if identity.reads_file() => {
                Some(("secret", "secrets that stand in files are"))
            }
            Mode::Open | Mode::BuiltIn(_) => None,
        }
    }

    /// Switches the audit log on.
    pub fn set_audit(&mut self, log: AuditLog) {
        self.audit = Some(log);
    }

    /// Tells a sink every entry from now on; no effect without an audit log.
    pub fn add_audit_sink(&mut self, sink: Box<dyn AuditSink>) {
        if let Some(log) = &mut self.audit {
            log.add_sink(sink);
        }
    }

    /// Runs something that changes who may do what (a revocation), and lets the
    /// connections that it concerns know.
    pub fn administer<T>(&mut self, now: Now, change: impl FnOnce(&mut Engine) -> T) -> T {
        self.take_time(now);
        let result = change(self);
        self.publish();
        result
    }

    /// The audit log, if there is one.
    pub fn audit(&self) -> Option<&AuditLog> {
        self.audit.as_ref()
    }
}
