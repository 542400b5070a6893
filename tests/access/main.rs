//! Authentication, permissions, identity and audit, over real sockets.

mod attack;
mod client;
mod jwt;
mod malformed;
mod matrix;
mod rows;
mod sessions;
