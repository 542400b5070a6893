//! Unique fields.

use hashbrown::HashMap;

use super::Draft;
use super::overlay::{Entry, Overlay};
use crate::json::{Json, Object, Raw, js::string_of};
use crate::protocol::{ErrorCode, OpError};
use crate::store::{Bucket, Index, Key, Row};

/// The error for a value that another record has already.
pub(in crate::store) fn unique_violation(bucket: &str, field: &str, value: Raw<'_>) -> OpError {
    let details: Object =
        [("bucket", Json::from(bucket)), ("field", Json::from(field)), ("value", value.to_json())]
            .into_iter()
            .collect();
    OpError::new(
        ErrorCode::AlreadyExists,
        format!(
            "Unique constraint violation in bucket \"{bucket}\": field \"{field}\" already has value \"{}\"",
            string_of(value)
        ),
    )
    .with_details(Json::Object(details))
}

fn violation(bucket: &Bucket, index: &Index, value: &str) -> OpError {
    unique_violation(&bucket.name, index.field().name(), Raw::checked(value))
}

impl Draft {
    /// Checks a row that is about to be written against everything as this
    /// draft sees it. `over`: it is inserted over a record with the same key.
    pub(super) fn check_unique(
        &self,
        bucket: &Bucket,
        key: &Key,
        row: &Row,
        over: bool,
    ) -> Result<(), OpError> {
        let definition = &bucket.definition;
        for name in &definition.indexes {
            if *name == definition.key {
                if over && definition.field(name).is_some_and(|field| field.unique) {
                    return Err(unique_violation(&bucket.name, name, Raw::checked(&key.text())));
                }
                continue;
            }
            let index = bucket.index_places.get(name).and_then(|at| bucket.indexes.get(*at));
            let Some(index) = index.filter(|index| index.is_unique()) else { continue };
            let Some(value) = index.value_of(row) else { continue };
            let overlay = self.overlay(bucket.id);
            let entries = overlay.map_or(0, |overlay| overlay.entries().len());
            self.budget.spend(entries as u64)?;
            let has = |entry: &Entry| {
                entry.row.as_ref().and_then(|row| index.value_of(row)) == Some(value)
            };
            let written = overlay.is_some_and(|overlay| {
                overlay.entries().iter().any(|entry| entry.key != *key && has(entry))
            });
            if written || stored_elsewhere(bucket, overlay, index, key, value) {
                return Err(violation(bucket, index, value));
            }
        }
        Ok(())
    }

    /// Checks what a transaction wrote to a bucket against the final state, in
    /// the order of `entries`.
    pub(super) fn check_unique_finally(
        &self,
        bucket: &Bucket,
        overlay: &Overlay,
        entries: &[&Entry],
        mut before: impl FnMut(&Entry) -> Result<(), OpError>,
    ) -> Result<(), OpError> {
        let unique: Vec<&Index> = bucket.indexes.iter().filter(|index| index.is_unique()).collect();
        let mut taken: Vec<HashMap<&str, ()>> = unique.iter().map(|_| HashMap::new()).collect();
        for entry in entries {
            before(entry)?;
            let Some(row) = &entry.row else { continue };
            self.budget.spend(unique.len() as u64)?;
            for (index, taken) in unique.iter().zip(&mut taken) {
                let Some(value) = index.value_of(row) else { continue };
                let twice = taken.insert(value, ()).is_some();
                if twice || stored_elsewhere(bucket, Some(overlay), index, &entry.key, value) {
                    return Err(entry.located(violation(bucket, index, value)));
                }
            }
        }
        Ok(())
    }
}

/// Whether a record of the store that the overlay leaves alone has the value.
fn stored_elsewhere(
    bucket: &Bucket,
    overlay: Option<&Overlay>,
    index: &Index,
    key: &Key,
    value: &str,
) -> bool {
    if overlay.is_some_and(|overlay| overlay.cleared) {
        return false;
    }
    index.slots(&bucket.table, value).any(|slot| {
        let Some(row) = bucket.table.row(slot).filter(|row| !bucket.is_over(row)) else {
            return false;
        };
        let other = bucket.key_of(row);
        let touched = overlay.is_some_and(|overlay| overlay.entry(&other).is_some());
        other != *key && !touched
    })
}
