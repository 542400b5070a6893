//! Bucket definitions: what a bucket's records look like and which rules they
//! obey, parsed once from the JSON a client or the configuration supplies.
//!
//! Owns the meaning of a definition and the checks that need nothing but it.
//! Knows nothing of stored records.

mod date;
mod definition;
mod error;
mod field;
mod format;
mod issues;
mod known;
mod lifetime;
mod normal;
#[cfg(test)]
mod tests;
mod ttl;
mod validate;

pub use definition::{Definition, OnDuplicate, warnings};
pub use error::DefinitionError;
pub use field::{Constraints, Field, FieldType, Generated, OnDelete, Reference};
pub use format::Format;
pub use issues::{Issues, MAX_ISSUES, MAX_MESSAGE, MAX_TEXT, shortened};
pub use known::{unknown_in_fields, unknown_members};
pub use lifetime::Lifetime;
pub use normal::differences;
pub use ttl::parse_ttl;
pub use validate::validate;
