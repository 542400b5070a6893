//! The hooks of embedding programs: who a token belongs to, and what somebody
//! may do.

use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use super::Session;
use crate::app::JobId;
use crate::json::Object;

/// What a source of sessions says about a token.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// The token is good; what it says.
    Session(Session),
    /// Nobody's token. The client learns no more than that.
    Invalid,
    /// A good token whose time is over.
    Expired,
    /// It could not be decided; the cause belongs in the log.
    Failed,
}

/// Decides about tokens that the server does not know itself.
pub trait TokenValidator: Send {
    /// Called on the loop's thread with the token as presented and the time in
    /// Unix milliseconds. What takes longer than a look into memory must be
    /// answered [`Answer::Later`]. A panic counts as [`Verdict::Failed`].
    fn validate(&mut self, token: &str, now_ms: u64) -> Answer;
}

/// The answer of a [`TokenValidator`].
pub enum Answer {
    /// This.
    Now(Verdict),
    /// Called at once with the ticket; must not block. Whoever gets the ticket
    /// completes it, from any thread. Until then the messages behind the login
    /// wait, on its own connection and nowhere else.
    Later(Box<dyn FnOnce(Ticket)>),
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Answer::Now(verdict) => f.debug_tuple("Now").field(verdict).finish(),
            Answer::Later(_) => f.write_str("Later"),
        }
    }
}

/// Takes a verdict to the loop, from any thread.
pub type Deliver = Arc<dyn Fn(JobId, Verdict) + Send + Sync>;

/// A login that waits for its verdict. Dropped without one, the login fails; a
/// verdict for a connection that is gone is dropped.
pub struct Ticket {
    job: JobId,
    deliver: Option<Deliver>,
}

impl Ticket {
    pub(crate) fn new(job: JobId, deliver: Deliver) -> Self {
        Self { job, deliver: Some(deliver) }
    }

    /// Ends the wait.
    pub fn complete(mut self, verdict: Verdict) {
        if let Some(deliver) = self.deliver.take() {
            deliver(self.job, verdict);
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(deliver) = self.deliver.take() {
            deliver(self.job, Verdict::Failed);
        }
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket").field("job", &self.job).finish_non_exhaustive()
    }
}

/// Who asks: the session's user, or nobody with the configured roles of
/// anonymous connections.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Principal<'a> {
    /// The user; `None` without a login.
    pub user_id: Option<&'a str>,
    /// Names of roles.
    pub roles: &'a [Box<str>],
    /// What else the token said of the user.
    pub metadata: Option<&'a Object>,
}

impl<'a> Principal<'a> {
    /// The user of a session.
    pub fn of(session: &'a Session) -> Self {
        Self {
            user_id: Some(&session.user_id),
            roles: &session.roles,
            metadata: session.metadata.as_deref(),
        }
    }

    /// Somebody without a login, who has these roles.
    pub fn anonymous(roles: &'a [Box<str>]) -> Self {
        Self { user_id: None, roles, metadata: None }
    }
}

/// What a [`PermissionCheck`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opinion {
    /// Yes, whatever `auth.permissions` says.
    Allow,
    /// No: the request ends with `FORBIDDEN`.
    Deny,
    /// The declarative rules decide.
    None,
}

/// Decides about operations before the declarative rules do.
pub trait PermissionCheck: Send {
    /// `resource` is `*` where the operation touches nothing that has a name.
    /// Called on the loop's thread for every request; must return quickly.
    fn check(&mut self, who: Principal<'_>, operation: &str, resource: &str) -> Opinion;

    /// Whether [`PermissionCheck::check_record`] is to be asked at all; looked at
    /// once, when the check is installed.
    fn looks_at_records(&self) -> bool {
        false
    }

    /// The same about one record, where a request names one that is there:
    /// `store.get`, `update`, `delete`, `upsert`, and an insert that would replace
    /// it, also as steps of a transaction. `record` is what it was before the
    /// request. Asked before [`PermissionCheck::check`]; without an opinion that one
    /// decides. Row rules hold besides, and a record that they hide is not asked
    /// about.
    fn check_record(
        &mut self,
        who: Principal<'_>,
        operation: &str,
        bucket: &str,
        record: &Value,
    ) -> Opinion {
        let _ = (who, operation, bucket, record);
        Opinion::None
    }
}
