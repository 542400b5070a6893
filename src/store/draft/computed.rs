//! References whose values are computed.

use super::Draft;
use crate::json::Raw;
use crate::protocol::OpError;
use crate::store::{Bucket, Lookup, Row, Store};

impl Draft {
    /// The references among the values that were computed just now.
    pub(super) fn check_computed_references(
        &self,
        store: &Store,
        bucket: &Bucket,
        old: Option<&Row>,
        row: &Row,
    ) -> Result<(), OpError> {
        computed_references(bucket, old, row).into_iter().try_for_each(|at| {
            let outgoing = bucket.references.get(at).ok_or_else(OpError::internal)?;
            let value = row.field(outgoing.index.field()).unwrap_or(Raw::NULL);
            self.check_reference(store, bucket, outgoing, &Lookup::from(value))
        })
    }
}

/// The references whose value was computed and is another one now, as positions
/// among the bucket's, ascending.
fn computed_references(bucket: &Bucket, old: Option<&Row>, row: &Row) -> Vec<usize> {
    if bucket.guard.is_none() {
        return Vec::new();
    }
    let text = |row: &Row, field| {
        let value = row.field(field).filter(|value| !value.is_null());
        value.map(|value| value.text().to_owned())
    };
    let references = bucket.references.iter().enumerate();
    references
        .filter(|(_, outgoing)| {
            let field = outgoing.index.field();
            let now = text(row, field);
            bucket.is_computed(field.name())
                && now.is_some()
                && now != old.and_then(|old| text(old, field))
        })
        .map(|(at, _)| at)
        .collect()
}

/// Those too, among the references that were written.
pub(super) fn add_computed_references(
    bucket: &Bucket,
    old: Option<&Row>,
    row: &Row,
    written: &mut Vec<usize>,
) {
    let computed = computed_references(bucket, old, row);
    if !computed.is_empty() {
        written.extend(computed);
        written.sort_unstable();
        written.dedup();
    }
}
