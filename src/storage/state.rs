//! The stored state in memory: what batches amount to, applied one by one.
//! Behind the doubles, and the model that tests compare with.

use std::collections::BTreeMap;

use super::batch::key_text;
use super::{Batch, BucketEntry, Document, Op, StorageError, StorageErrorKind, Stored, Visit};
use crate::app::CommitSeq;
use crate::store::BucketId;

/// A record as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordState {
    /// JSON text of the key.
    pub key: String,
    pub row: String,
    pub places: Option<String>,
}

/// A bucket and its records by place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketState {
    pub entry: BucketEntry,
    pub records: BTreeMap<u64, RecordState>,
}

/// Everything that is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    pub buckets: BTreeMap<BucketId, BucketState>,
    /// In the order in which they were first stored.
    pub documents: Vec<Document>,
    pub last: CommitSeq,
}

impl State {
    /// Applies a batch. Steps that have nothing to act on do nothing, as in the
    /// database file.
    pub fn apply(&mut self, batch: &Batch) {
        for op in &batch.ops {
            self.apply_op(op);
        }
        self.last = batch.last;
    }

    fn apply_op(&mut self, op: &Op) {
        match op {
            Op::Bucket(entry) => match self.buckets.get_mut(&entry.id) {
                Some(bucket) => {
                    let counter = bucket.entry.counter;
                    bucket.entry = BucketEntry { counter, ..entry.clone() };
                }
                None => {
                    let bucket = BucketState { entry: entry.clone(), records: BTreeMap::new() };
                    self.buckets.insert(entry.id, bucket);
                }
            },
            Op::DropBucket(id) => {
                self.buckets.remove(id);
            }
            Op::Clear(id) => {
                if let Some(bucket) = self.buckets.get_mut(id) {
                    bucket.records.clear();
                }
            }
            Op::Counter { bucket, value } => {
                if let Some(bucket) = self.buckets.get_mut(bucket) {
                    bucket.entry.counter = *value;
                }
            }
            Op::Put(record) => {
                if let Some(bucket) = self.buckets.get_mut(&record.bucket) {
                    let state = RecordState {
                        key: key_text(&record.key),
                        row: record.row.as_str().to_owned(),
                        places: record.places.as_deref().map(str::to_owned),
                    };
                    bucket.records.insert(record.place, state);
                }
            }
            Op::Delete { bucket, place, .. } => {
                if let Some(bucket) = self.buckets.get_mut(bucket) {
                    bucket.records.remove(place);
                }
            }
            Op::Document(document) => {
                let same =
                    |have: &&mut Document| have.kind == document.kind && have.name == document.name;
                match self.documents.iter_mut().find(same) {
                    Some(have) => *have = document.clone(),
                    None => self.documents.push(document.clone()),
                }
            }
            Op::Forget { kind, name } => {
                self.documents.retain(|have| have.kind != *kind || have.name != *name);
            }
        }
    }

    /// Hands everything over, in the order that [`super::Storage::load`] promises.
    ///
    /// # Errors
    ///
    /// What `visit` refused.
    pub fn visit(&self, visit: Visit<'_>) -> Result<CommitSeq, StorageError> {
        let refused = |text| StorageError::new(StorageErrorKind::Damaged, text);
        for bucket in self.buckets.values() {
            visit(Stored::Bucket(bucket.entry.clone())).map_err(refused)?;
            for (&place, record) in &bucket.records {
                visit(Stored::Record {
                    place,
                    key: &record.key,
                    row: &record.row,
                    places: record.places.as_deref(),
                })
                .map_err(refused)?;
            }
        }
        for document in &self.documents {
            visit(Stored::Document(document.clone())).map_err(refused)?;
        }
        Ok(self.last)
    }

    /// Collects what a storage holds.
    ///
    /// # Errors
    ///
    /// What loading failed with.
    pub fn of(storage: &mut dyn super::Storage) -> Result<State, StorageError> {
        let mut state = State::default();
        let mut open = None;
        let last = storage.load(&mut |stored| {
            match stored {
                Stored::Bucket(entry) => {
                    let id = entry.id;
                    open = Some(id);
                    state.buckets.insert(id, BucketState { entry, records: BTreeMap::new() });
                }
                Stored::Record { place, key, row, places } => {
                    let bucket = open.and_then(|id| state.buckets.get_mut(&id));
                    let bucket = bucket.ok_or("a record without a bucket")?;
                    let places = places.map(str::to_owned);
                    let record = RecordState { key: key.to_owned(), row: row.to_owned(), places };
                    if let Some(other) = bucket.records.insert(place, record) {
                        return Err(format!("two records at place {place}: {}", other.key));
                    }
                }
                Stored::Document(document) => state.documents.push(document),
            }
            Ok(())
        })?;
        state.last = last;
        Ok(state)
    }

    /// A text that is equal for equal states, one line per thing.
    pub fn describe(&self) -> String {
        use std::fmt::Write as _;
        let mut out = format!("commit {}\n", self.last);
        for bucket in self.buckets.values() {
            let entry = &bucket.entry;
            // Writing to a String cannot fail.
            let _ = writeln!(
                out,
                "{} {} {} {} {} {}",
                entry.id.0,
                entry.name,
                entry.origin.as_str(),
                entry.counter,
                entry.state,
                entry.definition
            );
            for (place, record) in &bucket.records {
                let places = record.places.as_deref().unwrap_or_default();
                let _ = writeln!(out, "  {place} {} {} {places}", record.key, record.row);
            }
        }
        for document in &self.documents {
            let _ = writeln!(out, "{} {} {}", document.kind, document.name, document.body);
        }
        out
    }
}
