//! Insert, update and delete against the overlay.

use super::{Draft, Mode, known};
use crate::ids::IdSource;
use crate::json::{Json, Raw};
use crate::protocol::{ErrorCode, OpError};
use crate::store::data::{Data, Datum};
use crate::store::row::Patch;
use crate::store::schema::{Generated, OnDuplicate, validate};
use crate::store::table::Slot;
use crate::store::{Bucket, BucketId, Key, Lookup, Row, RowBuilder, Store};

/// Fields that only the store writes. `_expiresAt` is not among them.
const OWN: [&str; 3] = ["_version", "_createdAt", "_updatedAt"];

impl Draft {
    /// Inserts a record and returns it as it will be stored.
    ///
    /// # Errors
    /// Those of `store.insert`; in a transaction the ones about uniqueness,
    /// references and existing keys come from [`Draft::finish`].
    pub fn insert(
        &mut self,
        store: &Store,
        ids: &mut IdSource,
        bucket: BucketId,
        data: &Data<'_>,
    ) -> Result<Row, OpError> {
        let bucket = known(store, bucket)?;
        if self.mode.checks_at_once() {
            self.check_references(store, bucket, data)?;
        }
        let counter = self.overlay_mut(bucket).attempt();
        let row = self.build(bucket, ids, counter, data);
        self.check_row(bucket, &row)?;
        let key = bucket.key_of(&row);
        let there = self.row(bucket, &key).is_some();
        if self.mode.checks_at_once() {
            self.check_unique(bucket, &key, &row, there)?;
            if there && bucket.definition.on_duplicate == OnDuplicate::Error {
                return Err(OpError::new(
                    ErrorCode::AlreadyExists,
                    format!(
                        "Record with key \"{key}\" already exists in bucket \"{}\"",
                        bucket.name
                    ),
                ));
            }
            if !there {
                self.make_room(bucket, 1);
            }
        }
        self.writes += 1;
        let at = self.writes;
        let written = written_references(bucket, data);
        let overlay = self.overlay_mut(bucket);
        overlay.counter = overlay.counter.max(bucket.highest_number(&row));
        let entry = overlay.entry_mut(bucket, &key, None);
        // Inserted twice in a transaction: the last one wins, in the place of
        // the first.
        if entry.inserted.is_none() || entry.row.is_none() {
            entry.inserted = Some(at);
            entry.over = entry.row.is_some();
        }
        entry.row = Some(row.clone());
        entry.at = entry.inserted.unwrap_or(at);
        entry.written = written;
        Ok(row)
    }

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
        let bucket = known(store, bucket)?;
        if self.mode.checks_at_once() {
            self.check_references(store, bucket, data)?;
        }
        let found = key.key().and_then(|key| Some((key, self.place(bucket, key)?)));
        let Some((key, (old, slot))) = found else {
            return Err(OpError::not_found(format!(
                "Record with key \"{key}\" not found in bucket \"{}\"",
                bucket.name
            )));
        };
        let row = self.merge(bucket, old, data);
        self.put_update(bucket, (key, slot), row, written_references(bucket, data))
    }

    /// Holds a new row against the definition, and pays for it and for what
    /// its commit will cost.
    fn check_row(&self, bucket: &Bucket, row: &Row) -> Result<(), OpError> {
        self.budget.spend_changes(1)?;
        self.budget.spend_text_bytes(row.memory())?;
        // Each of these is looked for in the whole text, several times.
        let searched = bucket.unplaced.saturating_mul(row.text().len() / 4);
        let files = bucket.indexes.len() + bucket.references.len();
        self.budget.spend((searched + files.saturating_sub(8)) as u64)?;
        validate(&bucket.name, &bucket.definition, &bucket.fields, row, &self.budget)
    }

    /// Validates an updated row and takes it into the overlay. With the key, the
    /// slot of the record in the store, if it is known.
    pub(super) fn put_update(
        &mut self,
        bucket: &Bucket,
        (key, slot): (&Key, Option<Slot>),
        row: Row,
        written: Vec<usize>,
    ) -> Result<Row, OpError> {
        self.check_row(bucket, &row)?;
        if self.mode.checks_at_once() {
            self.check_unique(bucket, key, &row, false)?;
        }
        self.writes += 1;
        let at = self.writes;
        let entry = self.overlay_mut(bucket).entry_mut(bucket, key, slot);
        entry.row = Some(row.clone());
        // A record stands among the changes where it was first written to.
        if entry.at == 0 {
            entry.at = at;
        }
        // Both ascend.
        if entry.written.is_empty() {
            entry.written = written;
        } else if !written.is_empty() {
            entry.written.extend(written);
            entry.written.sort_unstable();
            entry.written.dedup();
        }
        Ok(row)
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
        if self.mode.checks_at_once() {
            self.follow_references(store, vec![(bucket.id, key.clone())])?;
        }
        self.remove(bucket, key, true);
        Ok(())
    }

    /// Takes a record out, whatever refers to it.
    pub(super) fn remove(&mut self, bucket: &Bucket, key: &Key, asked: bool) {
        if self.row(bucket, key).is_none() {
            // In a transaction the references to a key count even if the record
            // is not there: they may have been written just now.
            if !(asked && self.mode == Mode::Transaction) {
                return;
            }
        }
        // Used up, the draft has an error in the end.
        let _ = self.budget.spend_changes(1);
        self.writes += 1;
        let at = self.writes;
        let entry = self.overlay_mut(bucket).entry_mut(bucket, key, None);
        entry.row = None;
        entry.inserted = None;
        entry.over = false;
        entry.written.clear();
        entry.at = at;
        entry.asked |= asked;
    }

    /// A complete new record: what the client gave, what is generated, what
    /// has a default, metadata.
    fn build(&self, bucket: &Bucket, ids: &mut IdSource, counter: u64, data: &Data<'_>) -> Row {
        let mut row = RowBuilder::new(&bucket.layout);
        for (name, value) in data.iter().filter(|(name, _)| !OWN.contains(name)) {
            value.write(name, &mut row);
        }
        let absent = |name: &str| !data.contains(name);
        for field in bucket.definition.fields.iter().filter(|field| absent(&field.name)) {
            let Some(generated) = field.generated else { continue };
            let value = match generated {
                Generated::Uuid => Json::from(ids.uuid()),
                Generated::Cuid => Json::from(ids.cuid()),
                Generated::Autoincrement => Json::Number(counter as f64),
                Generated::Timestamp => Json::Number(self.now),
            };
            row.json(&field.name, &value);
        }
        for field in bucket.definition.fields.iter().filter(|field| absent(&field.name)) {
            if let (Some(default), None) = (&field.default, field.generated) {
                row.json(&field.name, default);
            }
        }
        let now = Json::Number(self.now);
        row.json("_version", &Json::Number(1.0));
        row.json("_createdAt", &now);
        row.json("_updatedAt", &now);
        if let Some(ttl) = bucket.definition.ttl
            && absent("_expiresAt")
        {
            row.json("_expiresAt", &Json::Number(self.now + ttl));
        }
        row.finish()
    }

    /// The same for data that only replaces values which the record has.
    fn patch(&self, bucket: &Bucket, old: &Row, data: &Data<'_>) -> Option<Row> {
        let number = |value: f64| {
            move |out: &mut Vec<u8>| {
                Json::Number(value).write_lossless(out);
                false
            }
        };
        let meta = &bucket.meta;
        let version = old.field(&meta.version).and_then(Raw::as_number)?;
        let mut patch = Patch::of(old, &bucket.layout)?;
        patch.set(meta.version.slot()?, number(version + 1.0))?;
        patch.set(meta.updated_at.slot()?, number(self.now))?;
        for (name, value) in data.iter().filter(|(name, _)| !is_fixed(bucket, name)) {
            if matches!(value, Datum::Removed) {
                return None;
            }
            patch.set(bucket.layout.slot(name)?, |out| value.write_lossless(out))?;
        }
        patch.finish()
    }

    /// The old record with the new fields over it.
    pub(super) fn merge(&self, bucket: &Bucket, old: &Row, data: &Data<'_>) -> Row {
        let fixed = |name: &str| is_fixed(bucket, name);
        if let Some(row) = self.patch(bucket, old, data) {
            return row;
        }
        let version = old.field(&bucket.meta.version).and_then(Raw::as_number).unwrap_or(0.0);
        let mut row = RowBuilder::new(&bucket.layout);
        let mut seen_version = false;
        let mut met = vec![false; data.len()];
        for (name, value) in old.raw().members() {
            match &*name {
                "_version" => {
                    row.json("_version", &Json::Number(version + 1.0));
                    seen_version = true;
                }
                "_updatedAt" => row.json("_updatedAt", &Json::Number(self.now)),
                name => match data.find(name).filter(|_| !fixed(name)) {
                    Some((at, new)) => {
                        met.get_mut(at).into_iter().for_each(|met| *met = true);
                        new.write(name, &mut row);
                    }
                    None => row.raw(name, value, old.has_non_finite()),
                },
            }
        }
        for ((name, value), met) in data.iter().zip(met) {
            if !met && !fixed(name) {
                value.write(name, &mut row);
            }
        }
        if !seen_version {
            row.json("_version", &Json::Number(version + 1.0));
            row.json("_updatedAt", &Json::Number(self.now));
        }
        row.finish()
    }
}

/// Whether an update leaves a field as it is.
fn is_fixed(bucket: &Bucket, name: &str) -> bool {
    let definition = &bucket.definition;
    *name == *definition.key
        || OWN.contains(&name)
        || definition.field(name).is_some_and(|field| field.is_immutable())
}

/// The references that `data` writes, as positions among the bucket's.
fn written_references(bucket: &Bucket, data: &Data<'_>) -> Vec<usize> {
    let written = |name: &str| data.get(name).is_some_and(|value: &Datum<'_>| !value.is_null());
    let references = bucket.references.iter().enumerate();
    references
        .filter(|(_, outgoing)| written(outgoing.index.field().name()))
        .map(|(at, _)| at)
        .collect()
}
