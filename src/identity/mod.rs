//! Built-in users, roles, sessions, access lists and ownership (`identity.*`).
//!
//! Owns the meaning of the system buckets and the decisions that rest on them.
//! Knows nothing of connections or messages.

pub mod password;
