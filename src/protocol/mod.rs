//! Bytes to typed requests and typed answers to bytes; error codes; the table
//! of operations. Pure functions: knows nothing of connections, sessions or
//! data. Fuzzed as a whole.
//!
//! Files from the ground up; each imports only what stands above its line:
//!
//! 1. `error`, `operation`
//! 2. `bounds`, `fields`, `message`
//! 3. `reply`

pub mod bounds;
mod error;
mod fields;
mod message;
mod operation;
mod reply;

#[cfg(test)]
mod tests;

pub use error::{ErrorCode, OpError};
pub use message::{Incoming, Rejected, Request, RequestId, id_of, parse_message, parse_message_at};
pub(crate) use operation::operation_table;
pub use operation::{Family, Operation, Resource, Tier};
pub use reply::{Reply, write_error, write_error_object, write_push_head};

/// The version of the protocol that `welcome` announces.
pub const PROTOCOL_VERSION: &str = "1.0.0";
