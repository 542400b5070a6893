//! Who may send what: tokens, tiers, permissions, revocation and budgets.
//!
//! Owns the decisions and the state behind them. Knows nothing of connections,
//! messages or the store: the engine tells it the facts and asks.

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
pub use external::{External, ReadFile};
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
