//! Update and delete: what an operation expects, what it does to single
//! fields, and then the write.

use super::write::{check_depth, is_fixed, written_references};
use super::{Decided, Draft, known};
use crate::protocol::OpError;
use crate::store::data::{Data, Members};
use crate::store::edit::{Apply, Clock, Edit, Expect};
use crate::store::schema::FieldType;
use crate::store::{Bucket, BucketId, Lookup, Row, Store};

impl Draft {
    /// Changes fields of a record and returns it as it will be stored.
    ///
    /// # Errors
    /// Those of `store.update`; in a transaction the ones about uniqueness and
    /// references come from [`Draft::finish`].
    pub fn update(
        &mut self,
        store: &Store,
        bucket: BucketId,
        key: &Lookup,
        data: &Data<'_>,
    ) -> Result<Row, OpError> {
        self.edit(store, bucket, key, Edit { data, apply: &Apply::default(), expect: None })
    }

    /// The same, with what the operation expects of the record and with
    /// operators on single fields.
    ///
    /// # Errors
    /// As [`Draft::update`], and `CONFLICT` for a record that is not as
    /// expected.
    pub fn edit(
        &mut self,
        store: &Store,
        bucket: BucketId,
        key: &Lookup,
        edit: Edit<'_, '_>,
    ) -> Result<Row, OpError> {
        let bucket = known(store, bucket)?;
        let data = edit.data;
        if self.mode.checks_at_once() {
            self.check_references(store, bucket, data)?;
        }
        let found = key.key().and_then(|key| Some((key, self.place(bucket, key)?)));
        // What may not be seen is not there.
        let found = found.filter(|(_, (old, _))| self.shows(bucket, old));
        self.budget.check()?;
        let Some((found, (old, slot))) = found else {
            return Err(OpError::not_found(format!(
                "Record with key \"{key}\" not found in bucket \"{}\"",
                bucket.name
            )));
        };
        let rules = self.rules(bucket);
        if let Some(rules) = &rules {
            rules.require(Decided::Update, bucket, old, &self.budget)?;
        }
        check_depth(bucket, data)?;
        self.require_own(store, bucket, found)?;
        if let Some(expect) = edit.expect {
            self.budget.spend(expect.len() as u64)?;
            expect.check(bucket, key, Some(old))?;
        }
        if edit.apply.is_empty() {
            let row = self.merge(bucket, old, data);
            if let Some(rules) = &rules {
                rules.check_kept(bucket, old, &row)?;
            }
            let written = written_references(bucket, data);
            return self.put_update(store, bucket, (found, slot), row, written, rules.as_deref());
        }
        let data = data.with(self.applied(bucket, Some(old), edit.apply)?);
        if self.mode.checks_at_once() {
            self.check_references(store, bucket, &data)?;
        }
        let row = self.merge(bucket, old, &data);
        if let Some(rules) = &rules {
            rules.check_kept(bucket, old, &row)?;
        }
        let written = written_references(bucket, &data);
        self.put_update(store, bucket, (found, slot), row, written, rules.as_deref())
    }

    /// What operators make of the fields of a record, or of nothing.
    pub(super) fn applied(
        &self,
        bucket: &Bucket,
        old: Option<&Row>,
        apply: &Apply,
    ) -> Result<Members, OpError> {
        let definition = &bucket.definition;
        let is_text = |name: &str| {
            let field = definition.field(name);
            field.is_some_and(|field| field.constraints.field_type == FieldType::String)
        };
        let clock = Clock { now: self.now, is_text };
        let stored = |name: &str| old?.field(&bucket.layout.field(name));
        apply.evaluate(stored, |name| is_fixed(bucket, name), &clock, &self.budget)
    }

    /// Deletes a record if it is there. In a plain operation the references to
    /// the key are followed first; a transaction does that in
    /// [`Draft::finish`].
    ///
    /// # Errors
    /// `CONFLICT` where a reference with `restrict` is in the way; what an
    /// update can fail with, for references with `set_null`.
    pub fn delete(&mut self, store: &Store, bucket: BucketId, key: &Lookup) -> Result<(), OpError> {
        let bucket = known(store, bucket)?;
        let Some(key) = key.key() else { return Ok(()) };
        if let Some(rules) = self.rules(bucket) {
            let row = self.row(bucket, key).filter(|row| rules.read.allows(row, &self.budget));
            let Some(row) = row else {
                // Nothing tells whether it is hidden or not there.
                return Ok(self.budget.check()?);
            };
            rules.require(Decided::Delete, bucket, row, &self.budget)?;
        }
        if self.row(bucket, key).is_some() {
            self.require_own(store, bucket, key)?;
        }
        self.check_delete(bucket, key)?;
        if self.mode.checks_at_once() {
            self.follow_references(store, vec![(bucket.id, key.clone())])?;
        }
        self.remove(bucket, key, true);
        Ok(())
    }

    /// Deletes a record that must be there and as expected.
    ///
    /// # Errors
    /// As [`Draft::delete`], and `CONFLICT` for a record that is not there or
    /// not as expected.
    pub fn delete_expected(
        &mut self,
        store: &Store,
        bucket: BucketId,
        key: &Lookup,
        expect: &Expect,
    ) -> Result<(), OpError> {
        let known = known(store, bucket)?;
        self.budget.spend(expect.len() as u64)?;
        let row = key.key().and_then(|key| self.row(known, key));
        let row = row.filter(|row| self.shows(known, row));
        self.budget.check()?;
        if let (Some(row), Some(rules)) = (row, self.rules(known)) {
            rules.require(Decided::Delete, known, row, &self.budget)?;
        }
        if let (Some(_), Some(key)) = (row, key.key()) {
            self.require_own(store, known, key)?;
        }
        expect.check(known, key, row)?;
        self.delete(store, bucket, key)
    }
}
