//! Bucket definitions: what a bucket's records look like and which rules they
//! obey, parsed once from the JSON a client or the configuration supplies.
//!
//! Owns the meaning of a definition and the checks that need nothing but it.
//! Knows nothing of stored records.

mod date;
mod definition;
mod field;
mod format;
#[cfg(test)]
mod tests;
mod ttl;
mod validate;

pub use definition::{Definition, DefinitionError, OnDuplicate};
pub use field::{Constraints, Field, FieldType, Generated, OnDelete, Reference};
pub use format::Format;
pub use ttl::parse_ttl;
pub use validate::{Issue, validate, validation_error};

use crate::json::Object;

/// The members in the order in which JavaScript enumerates them: names that
/// look like array indexes first, ascending, the others as they came.
pub(super) fn js_order(object: &Object) -> Vec<(&str, &crate::json::Json)> {
    let mut members: Vec<_> = object.iter().collect();
    if members.iter().any(|(name, _)| array_index(name).is_some()) {
        // Stable: `u64::MAX` keeps all other names behind, in their order.
        members.sort_by_key(|(name, _)| array_index(name).map_or(u64::MAX, u64::from));
    }
    members
}

/// The number that an array-index-like name stands for: `0`, `7`, `4294967294`,
/// but not `07` or `4294967295`.
pub(super) fn array_index(name: &str) -> Option<u32> {
    let plain = !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_digit())
        && (name == "0" || !name.starts_with('0'));
    if !plain {
        return None;
    }
    name.parse().ok().filter(|&index| index != u32::MAX)
}
