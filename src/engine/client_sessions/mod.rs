//! Client sessions: who a client is across its connections.
//!
//! Owns which sessions there are, whose they are, which connection holds each,
//! and how long one without a connection is kept. Sessions are of a client, not
//! of a login: those are in `engine/sessions.rs`. The table knows neither
//! requests nor output; `life.rs` is where it meets connections, `once.rs` where
//! requests meet receipts, `stored.rs` what both are on disk, in `sheets.rs`.

mod life;
mod once;
mod receipts;
mod sheets;
mod stored;
mod table;

#[cfg(test)]
mod tests;

pub(in crate::engine) use life::{Opened, Wanted};
pub(in crate::engine) use once::Numbered;
pub(crate) use table::{ClientSessions, User};

use sha2::{Digest as _, Sha256};

use crate::store::Owner;

/// Requests that a client may have unanswered under numbers of their own.
pub(crate) const WINDOW: u64 = 64;

/// Characters of the id of a client session.
const ID_LENGTH: std::ops::RangeInclusive<usize> = 22..=64;

/// What is kept of the id of a client session: it is a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Digest([u8; 32]);

impl Digest {
    /// `None`: not an id.
    pub fn of(id: &str) -> Option<Self> {
        let is_good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        let is_id = ID_LENGTH.contains(&id.len()) && id.bytes().all(is_good);
        is_id.then(|| Digest(Sha256::digest(id).into()))
    }
}

/// Names one session for the life of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct SessionNo(u64);

impl SessionNo {
    const fn new(number: u64) -> SessionNo {
        SessionNo(number)
    }

    /// As an owner of records.
    pub const fn owner(self) -> Owner {
        Owner::session(self.0)
    }
}

/// What a connection that has opted in asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct OptedIn {
    /// Numbers of commits on messages.
    pub commits: bool,
    /// Numbered events.
    pub events: bool,
    /// Its requests may be numbered.
    pub once: bool,
}
