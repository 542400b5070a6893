//! Buckets, records and everything that changes them.
//!
//! Owns the data. Knows nothing of connections, sessions, subscriptions or
//! files. Reading needs `&Store`; writing goes in two steps: *prepare* does all
//! that can fail (validation, defaults, uniqueness, references) against an
//! overlay ([`Draft`]) and yields a [`ChangeSet`]; [`Store::commit`] applies it
//! and cannot fail. Nothing else changes a bucket.
//!
//! Files from the ground up; each imports only what stands above its line:
//!
//! 1. `filter/search`, `filter/term`, `growing`, `key`, `millis`, `owner`, `pattern`,
//!    `pattern/named`, `release`, `row`, `row/patch`, `rows/template`, `schema`, `schema/date`,
//!    `schema/error`, `schema/issues`, `schema/ttl`, `search/words`, `sorted/encode`
//! 2. `aggregate`, `change`, `data`, `filter/compile`, `filter/look`, `pattern/parse`,
//!    `schema/format`, `schema/lifetime`, `table`
//! 3. `dangling`, `edit`, `edit/apply`, `guard`, `ordered`, `pattern/linear`,
//!    `pattern/program`, `ranges`, `schema/field`
//! 4. `index`, `pattern/vm`, `sorted`
//! 5. `search`
//! 6. `filter`
//! 7. `rows`
//! 8. `schema/definition`, `schema/known`
//! 9. `bucket`, `schema/normal`, `schema/validate`
//! 10. `changeset`, `draft/computed`, `draft/owned`, `edit/expect`, `key_order`, `read`,
//!     `remains`, `rows/bound`, `rows/set`
//! 11. `draft`, `draft/many`, `owners`, `shown`, `sorted/walk`
//! 12. `commit`, `draft/overlay`, `limit`
//! 13. `draft/evict`, `draft/finish`, `draft/references`, `draft/unique`
//! 14. `admin`, `draft/write`
//! 15. `draft/edit`, `load`, `restore`

mod admin;
mod aggregate;
mod bucket;
mod change;
mod changeset;
mod commit;
#[cfg(feature = "sqlite")]
mod dangling;
mod data;
mod draft;
mod edit;
pub mod filter;
mod growing;
mod guard;
mod index;
mod key;
mod key_order;
mod limit;
mod load;
mod millis;
mod ordered;
mod owner;
mod owners;
pub mod pattern;
mod ranges;
mod read;
mod release;
mod remains;
mod restore;
mod row;
pub mod rows;
pub mod schema;
mod search;
mod shown;
mod sorted;
mod table;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use hashbrown::HashMap;
use std::sync::Arc;

pub use aggregate::Aggregate;
pub use bucket::Bucket;
pub use change::{BucketId, Candidates, Change, ChangeKind, Commit, Defined, DefinitionChange};
pub use changeset::ChangeSet;
#[cfg(feature = "sqlite")]
pub use dangling::Dangling;
pub use data::{Data, Lookup, Members};
pub use draft::{Draft, Inserted, Mode, OnConflict};
pub use edit::{Apply, Edit, Expect};
pub use filter::Filter;
pub use guard::{Effect, Guard, WriteCx, WriteKind};
pub use index::Index;
pub use key::Key;
pub use load::{LoadError, Loader};
pub use owner::{Owner, Writer};
pub use ranges::Bounds;
pub use read::{Access, Selection};
pub use remains::Background;
pub use restore::Content;
pub use row::{FieldRef, Layout, Row, RowBuilder};
pub use search::SearchIndex;
pub(crate) use search::{Search, Words};
pub use sorted::{InOrder, Kinds, SortedIndex};
pub(crate) use sorted::{encode_text, ordered_bits};

use crate::protocol::{ErrorCode, OpError};
use millis::Millis;

/// All buckets.
#[derive(Clone, Debug, Default)]
pub struct Store {
    /// Ids ascend with time, so this is the order of definition.
    buckets: BTreeMap<BucketId, Bucket>,
    names: HashMap<Arc<str>, BucketId>,
    /// The last bucket id given out.
    last_id: u32,
    /// The last number given to a change. Table order and index acquisitions
    /// are such numbers, comparable across buckets.
    sequence: u64,
    /// Who refers to a bucket of that name: bucket and position among its
    /// references.
    incoming: HashMap<Box<str>, Vec<(BucketId, usize)>>,
    /// The buckets whose records expire: asked about with every request.
    expiring: Vec<BucketId>,
    owners: owners::Owners,
    /// What is to be given back.
    graveyard: remains::Graveyard,
    limit: limit::DataLimit,
    sets: rows::SetDefinitions,
}

impl Store {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn bucket_id(&self, name: &str) -> Option<BucketId> {
        self.names.get(name).copied()
    }

    pub fn bucket(&self, id: BucketId) -> Option<&Bucket> {
        self.buckets.get(&id)
    }

    pub fn bucket_named(&self, name: &str) -> Option<&Bucket> {
        self.bucket_id(name).and_then(|id| self.bucket(id))
    }

    /// The bucket of an operation, or its `BUCKET_NOT_DEFINED`.
    pub fn require(&self, name: &str) -> Result<&Bucket, OpError> {
        self.bucket_named(name).ok_or_else(|| not_defined(name))
    }

    /// The buckets with a reference to one of that name.
    pub fn referrers(&self, name: &str) -> impl Iterator<Item = BucketId> {
        self.incoming.get(name).into_iter().flatten().map(|(bucket, _)| *bucket)
    }

    /// Lets somebody take part in the writes to a bucket, or no longer.
    pub fn set_guard(&mut self, bucket: BucketId, guard: Option<Arc<dyn Guard>>) {
        if let Some(bucket) = self.buckets.get_mut(&bucket) {
            bucket.guard = guard;
        }
    }

    /// All buckets in the order of their definition.
    pub fn buckets(&self) -> impl ExactSizeIterator<Item = &Bucket> {
        self.buckets.values()
    }

    /// Records in all buckets.
    pub fn records(&self) -> usize {
        self.buckets().map(Bucket::len).sum()
    }

    /// Whether memory of dropped and cleared buckets is to be given back.
    pub fn has_remains(&self) -> bool {
        !self.graveyard.is_empty() || self.owners.has_past()
    }

    /// Gives back some of the memory of dropped and cleared buckets: as much as
    /// a turn may take.
    pub fn release_remains(&mut self) {
        self.graveyard.release();
        self.owners.release();
    }

    /// What goes on over several turns.
    pub fn background(&self) -> impl Iterator<Item = Background> {
        self.graveyard.background()
    }

    /// When the next record expires, in milliseconds of the wall clock.
    pub fn next_expiry(&self) -> Option<f64> {
        let soonest = |bucket: &Bucket| bucket.expiry.as_ref()?.first().map(|(at, _)| *at);
        self.buckets().filter_map(soonest).min().map(|Millis(at)| at)
    }

    /// Panics where two parts of the store disagree. For tests and fuzzing;
    /// walks everything.
    ///
    /// # Panics
    /// When something is not true.
    pub fn check_invariants(&self) {
        assert_eq!(self.names.len(), self.buckets.len(), "a name for every bucket");
        for bucket in self.buckets() {
            assert_eq!(self.names.get(&bucket.name), Some(&bucket.id), "the bucket of a name");
            bucket.check();
        }
        let mut other = self.clone();
        other.connect_references();
        assert_eq!(self.incoming, other.incoming, "who refers to whom");
        assert_eq!(self.expiring, other.expiring, "whose records expire");
        self.check_owners();
    }

    /// Recomputes who refers to which bucket, and whose records expire.
    fn connect_references(&mut self) {
        self.incoming.clear();
        self.expiring.clear();
        for bucket in self.buckets.values() {
            if bucket.expiry.is_some() {
                self.expiring.push(bucket.id);
            }
            for (at, outgoing) in bucket.references.iter().enumerate() {
                self.incoming.entry(outgoing.target.clone()).or_default().push((bucket.id, at));
            }
        }
    }
}

/// `Bucket "{name}" is not defined`
pub fn not_defined(name: &str) -> OpError {
    OpError::new(ErrorCode::BucketNotDefined, format!("Bucket \"{name}\" is not defined"))
}
