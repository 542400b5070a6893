//! What a connection is allowed to be: the outcome of a login.

use std::sync::Arc;

use crate::json::Object;

/// Names of roles, shared.
pub type Roles = Arc<[Box<str>]>;

/// Who a connection acts for. Cheap to clone.
#[derive(Clone, Debug, PartialEq)]
pub struct Session {
    /// Whose it is.
    pub user_id: Arc<str>,
    /// In the order of the source.
    pub roles: Roles,
    /// For embedded hooks; never sent to a client.
    pub metadata: Option<Arc<Object>>,
    /// Unix time in milliseconds; `None`: for ever.
    pub expires_at: Option<f64>,
}

impl Session {
    /// A session of this user with these roles, that does not end by itself.
    pub fn new(user_id: impl Into<Arc<str>>, roles: Vec<String>) -> Self {
        Self {
            user_id: user_id.into(),
            roles: roles.into_iter().map(Box::from).collect(),
            metadata: None,
            expires_at: None,
        }
    }

    /// Whether its time is over: strictly later than `expires_at`.
    pub fn is_expired(&self, now_wall: u64) -> bool {
        self.expires_at.is_some_and(|at| at < now_wall as f64)
    }
}
