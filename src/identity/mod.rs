//! Built-in users, roles, sessions, access lists and ownership (`identity.*`).
//!
//! Owns the meaning of the system buckets and the decisions that rest on them.
//! Knows nothing of connections or messages.
//!
//! Files from the ground up; each imports only what stands above its line:
//!
//! 1. `directory/read`, `password`, `schema`
//! 2. `directory`
//! 3. `decide`, `state`

mod decide;
mod directory;
pub mod password;
mod schema;
mod state;

pub use directory::{
    ADMIN, AclEntry, Buckets, Directory, Id, Resource, Role, SUPERADMIN, SessionRecord, Subject,
    Touched, VIRTUAL_ADMIN, operation,
};
pub use schema::{RESERVED, ROLES, SYSTEM_ROLES, SystemRole, buckets, refused_system_bucket};
pub use state::{HashSlot, Identity, TOKEN_BYTES, token_id, token_text};
