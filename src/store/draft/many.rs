//! Several records at once, and writes that decide between insert and update:
//! each made of the single ones, and all of it or nothing.

use super::{Decided, Draft, known};
use crate::ids::IdSource;
use crate::protocol::{ErrorCode, OpError};
use crate::store::data::{Data, Members};
use crate::store::edit::{Apply, Edit};
use crate::store::{Bucket, BucketId, Filter, Key, Lookup, Row, Store};

/// What an insert does where a record with its key is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnConflict {
    Error,
    Skip,
    Replace,
}

/// What became of one record of several that were to be inserted.
#[derive(Clone, Debug)]
pub enum Inserted {
    New(Row),
    Replaced(Row),
    Skipped,
}

/// `Record with key "{k}" already exists in bucket "{b}"`
pub(super) fn already_exists(bucket: &Bucket, key: &Key) -> OpError {
    let text = format!("Record with key \"{key}\" already exists in bucket \"{}\"", bucket.name);
    OpError::new(ErrorCode::AlreadyExists, text)
}

/// The error of one record of several.
pub(super) fn of_record(at: u32, mut error: OpError) -> OpError {
    error.message = format!("data[{at}]: {}", error.message).into();
    error
}

impl Draft {
    /// Updates the record that has the key in `data`, or inserts `data`, the
    /// values of `on_insert` and what the operators make of nothing. Whether it
    /// was created.
    ///
    /// # Errors
    /// Those of [`Draft::edit`] or of [`Draft::insert`].
    pub fn upsert(
        &mut self,
        store: &Store,
        ids: &mut IdSource,
        bucket: BucketId,
        (data, apply): (&Data<'_>, &Apply),
        on_insert: &Members,
    ) -> Result<(Row, bool), OpError> {
        let known = known(store, bucket)?;
        let key = data.get(known.key_field()).map(|value| value.lookup());
        // A hidden record is met by the insert, and not told of.
        let there = |key: &Lookup| {
            let row = key.key().and_then(|key| self.row(known, key));
            row.is_some_and(|row| self.shows(known, row))
        };
        if let Some(key) = key.filter(there) {
            let edit = Edit { data, apply, expect: None };
            return Ok((self.edit(store, bucket, &key, edit)?, false));
        }
        if on_insert.is_empty() && apply.is_empty() {
            return Ok((self.insert(store, ids, bucket, data)?, true));
        }
        let mut values = on_insert.clone();
        values.extend(self.applied(known, None, apply)?);
        values.retain(|(_, value)| value.is_some());
        Ok((self.insert(store, ids, bucket, &data.with(values))?, true))
    }

    /// Inserts records in their order and says what became of each.
    ///
    /// # Errors
    /// `data[{i}]: ` and the error of an insert, or `ALREADY_EXISTS` for a key
    /// that is there; those of `each`.
    pub fn insert_many(
        &mut self,
        store: &Store,
        ids: &mut IdSource,
        bucket: BucketId,
        (records, on_conflict): (&[Data<'_>], OnConflict),
        mut each: impl FnMut(Inserted) -> Result<(), OpError>,
    ) -> Result<(), OpError> {
        let known = known(store, bucket)?;
        for (at, data) in (0u32..).zip(records) {
            let inserted = self.insert_as(store, ids, known, data, Some((on_conflict, at)));
            let inserted = inserted.map_err(|error| match self.budget.is_over() {
                // The request has failed, not this record.
                true => error,
                false => of_record(at, error),
            })?;
            each(inserted)?;
        }
        Ok(())
    }

    /// Changes the first `limit` records that match. How many.
    ///
    /// # Errors
    /// Those of [`Draft::edit`].
    pub fn update_many(
        &mut self,
        store: &Store,
        bucket: BucketId,
        (filter, limit): (&Filter, usize),
        (data, apply): (&Data<'_>, &Apply),
    ) -> Result<usize, OpError> {
        let keys = self.keys(store, bucket, filter, limit, Decided::Update)?;
        let count = keys.len();
        for key in keys {
            let edit = Edit { data, apply, expect: None };
            self.edit(store, bucket, &Lookup::from(key), edit)?;
        }
        Ok(count)
    }

    /// Deletes the first `limit` records that match. How many.
    ///
    /// # Errors
    /// Those of [`Draft::delete`].
    pub fn delete_many(
        &mut self,
        store: &Store,
        bucket: BucketId,
        (filter, limit): (&Filter, usize),
    ) -> Result<usize, OpError> {
        let keys = self.keys(store, bucket, filter, limit, Decided::Delete)?;
        let count = keys.len();
        for key in keys {
            self.delete(store, bucket, &Lookup::from(key))?;
            self.budget.check()?;
        }
        Ok(count)
    }

    /// The first records that match and that may be written; what a row rule
    /// refuses, and what others own, is passed over.
    fn keys(
        &self,
        store: &Store,
        bucket: BucketId,
        filter: &Filter,
        limit: usize,
        rule: Decided,
    ) -> Result<Vec<Key>, OpError> {
        let bucket = known(store, bucket)?;
        let rules = self.rules(bucket);
        let narrowed = rules.map(|rules| rules.rule(rule).narrow(filter.clone()));
        let filter = narrowed.as_ref().unwrap_or(filter);
        let some_are_passed_over = self.limited_to(bucket).is_some();
        let looked_at = if some_are_passed_over { usize::MAX } else { limit };
        let rows = self.candidates(store, bucket.id, filter, looked_at)?;
        let keys = rows.iter().map(|row| bucket.key_of(row));
        Ok(keys.filter(|key| self.owns(store, bucket, key)).take(limit).collect())
    }

    /// The first records that match: in candidate order, unless something was
    /// written to the bucket.
    ///
    /// # Errors
    /// The budget's.
    pub fn candidates(
        &self,
        store: &Store,
        bucket: BucketId,
        filter: &Filter,
        limit: usize,
    ) -> Result<Vec<Row>, OpError> {
        let rows = match store.bucket(bucket) {
            Some(known) if !self.has_touched(bucket) => {
                let narrowed = self.narrowed(known, Some(filter));
                let rows = known.select(narrowed.as_ref().or(Some(filter)), &self.budget);
                rows.map(|(_, row)| row.clone()).take(limit).collect()
            }
            _ => self.find(store, bucket, Some(filter), limit),
        };
        // Rows that a walk cut short has not found are none.
        self.budget.check()?;
        Ok(rows)
    }
}
