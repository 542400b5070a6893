//! JSON as the protocol means it: JavaScript's numbers, bounded depth, borrowed
//! access to text that has been checked once.
//!
//! Owns parsing ([`Raw`], [`parse`]), the tree for what has to be changed
//! ([`Json`], [`Object`]) and printing. Knows nothing of messages or records.
//!
//! Why not `serde_json`'s parser: the protocol shows JavaScript's semantics
//! where JSON libraries differ. A literal too large for a double is an infinity
//! and not an error, `-0` prints as `0`, `5.0` as `5`, `1e21` as `1e+21`; a
//! message that is nested too deeply gets its own error; the last of two equal
//! keys wins at the place of the first. Most of a message is never looked at as
//! a tree: [`Raw`] is a checked slice of the text, and fields are decoded when
//! an operation asks for them. `serde_json` is the oracle of the tests and the
//! currency of the embedding API.
//!
//! Files from the ground up; each imports only what stands above its line:
//!
//! 1. `number`, `scan`
//! 2. `value`
//! 3. `pretty`, `raw`
//! 4. `js`, `parse`

pub mod js;
mod number;
mod parse;
mod pretty;
mod raw;
mod scan;
mod value;

#[cfg(test)]
mod tests;

pub use number::{number_text, write_integer, write_number};
pub(crate) use parse::is_plain;
pub use parse::{
    DEFAULT_MAX_DEPTH, Fields, JsonError, parse, parse_fields, parse_fields_loosely, parse_strict,
};
pub use raw::{Kind, Raw};
pub use value::{Json, Object, write_string};
