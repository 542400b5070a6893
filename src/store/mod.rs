//! Buckets, records and everything that changes them.
//!
//! Owns the data. Knows nothing of connections, sessions, subscriptions or
//! files. Reading needs `&Store`; writing goes in two steps: *prepare* does all
//! that can fail (validation, defaults, uniqueness, references) against an
//! overlay and yields a [`ChangeSet`]; [`Store::commit`] applies it and cannot
//! fail. Nothing else changes a bucket.

mod change;
mod key;
mod row;

pub use change::{BucketId, Candidates, Change};
pub use key::Key;
pub use row::{FieldRef, Layout, Row, RowBuilder};
