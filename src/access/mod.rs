//! Who may send what: tokens, tiers, permissions, revocation and budgets.
//!
//! Owns the decisions and the state behind them. Knows nothing of connections,
//! messages or the store: the engine tells it the facts and asks.
//!
//! Files from the ground up; each imports only what stands above its line:
//!
//! 1. `aging`, `jwt/keys`, `permissions`, `revocation`, `session`, `tiers`, `trace`
//! 2. `limiter`, `tokens`, `validator`
//! 3. `jwt`, `login_limiter`
//! 4. `external`

mod aging;
mod external;
#[cfg(feature = "jwt")]
pub mod jwt;
mod limiter;
mod login_limiter;
mod permissions;
mod revocation;
mod session;
mod tiers;
mod tokens;
mod trace;
mod validator;

pub use aging::AgingMap;
pub use external::External;
pub use limiter::{RateKey, RateLimiter};
pub use login_limiter::{LoginLimiter, too_many_attempts};
pub use permissions::{Grant, Question, ResourceKind, pattern_matches};
pub use revocation::Revocations;
pub use session::{Roles, Session};
pub use tiers::{builtin_role, highest_tier};
pub use tokens::{Tokens, digest};
pub use trace::Trace;
pub use validator::{
    Answer, Deliver, Opinion, PermissionCheck, Principal, Ticket, TokenValidator, Verdict,
};

/// Reads key files: the file system in the server, a table in tests.
pub type ReadFile<'f> = &'f dyn Fn(&std::path::Path) -> std::io::Result<Vec<u8>>;
