//! Who may send what: tokens, tiers, permissions, revocation and budgets.
//!
//! Owns the decisions and the state behind them. Knows nothing of connections,
//! messages or the store: the engine tells it the facts and asks.

mod aging;
mod limiter;

pub use aging::AgingMap;
pub use limiter::{RateKey, RateLimiter, address_key};
