//! Sessions and the audit log, from the program that embeds the server.

use std::sync::mpsc;

use super::handle::{Handle, Stopped};
use super::hosted::Hosted;
use crate::app::Now;
use crate::audit::AuditFilter;

impl Handle {
    /// Runs something on the loop's thread and waits for its result.
    pub(super) fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Hosted, Now) -> T + Send + 'static,
    ) -> Result<T, Stopped> {
        let (answer, answered) = mpsc::sync_channel(1);
        self.run(move |app, now| {
            // Nobody listens if the asking thread is gone.
            let _ = answer.send(question(app, now));
        })?;
        answered.recv().map_err(|_| Stopped)
    }

    /// Lets a user log in no more for `revocation.blacklistTtlMs` and ends every
    /// connection of that user with close code 4002. Returns how many there
    /// were. Does nothing without authentication.
    ///
    /// # Errors
    ///
    /// The server has stopped.
    pub fn revoke_session(&self, user_id: &str) -> Result<usize, Stopped> {
        let user_id = user_id.to_owned();
        self.ask(move |app, now| app.revoke(now, |engine| engine.revoke_session(&user_id)))
    }

    /// As [`Handle::revoke_session`] for every user who has a live connection
    /// that matches all that is given; without anything given, for all.
    ///
    /// # Errors
    ///
    /// The server has stopped.
    pub fn revoke_sessions(
        &self,
        user_id: Option<&str>,
        role: Option<&str>,
    ) -> Result<usize, Stopped> {
        let (user_id, role) = (user_id.map(str::to_owned), role.map(str::to_owned));
        self.ask(move |app, now| {
            app.revoke(now, |engine| engine.revoke_sessions(user_id.as_deref(), role.as_deref()))
        })
    }

    /// Lets a revoked user log in again. False if the user was not revoked.
    ///
    /// # Errors
    ///
    /// The server has stopped.
    pub fn unrevoke(&self, user_id: &str) -> Result<bool, Stopped> {
        let user_id = user_id.to_owned();
        self.ask(move |app, now| app.revoke(now, |engine| engine.unrevoke(&user_id)))
    }

    /// The entries of the audit log that match, newest first, each as the JSON
    /// that `audit.query` answers with. Empty without an audit log.
    ///
    /// # Errors
    ///
    /// The server has stopped.
    pub fn audit_entries(&self, filter: AuditFilter) -> Result<Vec<String>, Stopped> {
        self.ask(move |app, _| {
            let entries = app.engine.audit().into_iter().flat_map(|log| log.query(&filter));
            entries.map(|entry| entry.json().to_owned()).collect()
        })
    }

    /// How many entries the audit log holds.
    ///
    /// # Errors
    ///
    /// The server has stopped.
    pub fn audit_len(&self) -> Result<usize, Stopped> {
        self.ask(|app, _| app.engine.audit().map_or(0, crate::audit::AuditLog::len))
    }
}
