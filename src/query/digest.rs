//! All matching rows as a set. Nothing is kept of them: a change says by itself
//! what enters, leaves and looks different. What cannot say it, as a restore,
//! is followed by a look at all of them, and by a digest it is known whether
//! that is anything new.

use std::hash::BuildHasher as _;

use hashbrown::DefaultHashBuilder;

use super::list::ListChange;
use super::piece::{Piece, Projection};
use super::plan::Plan;
use crate::store::{Bucket, Row};

/// A sum over the rows, each with its key and as it is shown, in whatever order
/// they are. Other rows have the same one by chance only, once in 2^64: its
/// hasher is keyed.
#[derive(Clone, Debug)]
pub(crate) struct Digest {
    hasher: DefaultHashBuilder,
    rows: u64,
    sum: u64,
    /// Reused.
    text: Vec<u8>,
}

impl Digest {
    fn empty(hasher: DefaultHashBuilder) -> Digest {
        Digest { hasher, rows: 0, sum: 0, text: Vec::new() }
    }

    /// That of all rows now, to be compared with this one.
    pub fn renewed(&self, plan: &Plan, bucket: &Bucket) -> Digest {
        let mut digest = Digest::empty(self.hasher.clone());
        let mut shown = Vec::new();
        for member in plan.members(bucket) {
            shown.clear();
            plan.projection.write_row(member.row, &mut shown);
            digest.add(member.row, &shown, &plan.projection);
        }
        digest
    }

    pub fn is_same(&self, other: &Digest) -> bool {
        (self.rows, self.sum) == (other.rows, other.sum)
    }

    /// Follows a change of the set.
    pub fn follow(&mut self, change: &ListChange, projection: &Projection) {
        for gone in &change.gone {
            let hash = self.hash(&gone.piece, projection);
            self.rows = self.rows.wrapping_sub(1);
            self.sum = self.sum.wrapping_sub(hash);
        }
        for placed in &change.placed {
            let hash = self.hash(&placed.piece, projection);
            self.rows = self.rows.wrapping_add(1);
            self.sum = self.sum.wrapping_add(hash);
        }
    }

    /// Takes in a row that is shown as this text.
    fn add(&mut self, row: &Row, shown: &[u8], projection: &Projection) {
        self.text.clear();
        projection.write_key_of(row, &mut self.text);
        let hash = self.hasher.hash_one((&*self.text, shown));
        self.rows = self.rows.wrapping_add(1);
        self.sum = self.sum.wrapping_add(hash);
    }

    fn hash(&mut self, piece: &Piece, projection: &Projection) -> u64 {
        self.text.clear();
        projection.write_key(piece, &mut self.text);
        let key = self.text.len();
        projection.write(piece, &mut self.text);
        self.hasher.hash_one(self.text.split_at(key))
    }
}

/// Appends all rows, and says their digest; `None` where they are too many to
/// be written.
pub(crate) fn write_set(plan: &Plan, bucket: &Bucket, out: &mut Vec<u8>) -> Option<Digest> {
    let projection = &plan.projection;
    let start = out.len();
    let mut digest = Digest::empty(DefaultHashBuilder::default());
    let mut is_whole = true;
    for member in plan.members(bucket) {
        if out.len() > projection.text_bytes {
            is_whole = false;
            break;
        }
        out.push(if out.len() == start { b'[' } else { b',' });
        let row = out.len();
        projection.write_row(member.row, out);
        digest.add(member.row, out.get(row..).unwrap_or_default(), projection);
    }
    out.extend_from_slice(if out.len() == start { b"[]" } else { b"]" });
    is_whole.then_some(digest)
}
