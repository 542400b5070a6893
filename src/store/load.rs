//! Restoring a store from what was stored of it: definitions, records with
//! their places, counters. Nothing is validated again; what cannot be restored
//! exactly is an error.

use std::collections::BTreeMap;

use super::bucket::Bucket;
use super::data::MAX_DEPTH;
use super::schema::Definition;
use super::sorted::SortedIndex;
use super::table::Slot;
use super::{BucketId, Defined, Index, Store, admin};
use crate::json::{Json, Object, Raw, parse};

/// Why stored data cannot be restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadError(String);

impl std::fmt::Display for LoadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for LoadError {}

/// A store that is being restored: buckets first, then their records in table
/// order, then [`Loader::finish`].
#[derive(Debug, Default)]
pub struct Loader {
    store: Store,
    /// Acquisitions that were not inserts, by bucket and slot.
    places: BTreeMap<BucketId, Vec<(Slot, Object)>>,
}

impl Loader {
    pub fn new() -> Self {
        Self::default()
    }

    /// Restores a bucket from the last [`Defined`] of its id and the last value
    /// of its counter. In any order.
    ///
    /// # Errors
    /// For a definition that is none, a name or an id that is there already.
    pub fn bucket(&mut self, stored: &Defined, counter: u64) -> Result<(), LoadError> {
        let Defined { bucket: id, name, definition, state, .. } = stored;
        let fail = |reason: String| LoadError(format!("bucket \"{name}\": {reason}"));
        let definition = Definition::parse(name, Object::clone(definition))
            .map_err(|error| fail(error.into_error(name).message.into_owned()))?;
        if self.store.buckets.contains_key(id) || self.store.names.contains_key(name) {
            return Err(fail("it is stored twice".into()));
        }
        let state = parse(state, MAX_DEPTH)
            .map_err(|error| fail(format!("its stored state is damaged: {error}")))?;
        let layout = admin::layout_of(&definition);
        let mut bucket = Bucket::new(*id, name, definition, layout, 0);
        bucket.counter = counter;
        bucket.defined_at = sequence(state.get("definedAt"));
        bucket.indexed_at = sequence(state.get("indexedAt"));
        self.store.sequence = self.store.sequence.max(bucket.defined_at).max(bucket.indexed_at);
        for outgoing in &mut bucket.references {
            let since =
                state.get("since").and_then(|since| since.get(outgoing.index.field().name()));
            outgoing.since = sequence(since);
            self.store.sequence = self.store.sequence.max(outgoing.since);
        }
        self.store.last_id = self.store.last_id.max(id.0);
        self.store.names.insert(bucket.name.clone(), *id);
        self.store.buckets.insert(*id, bucket);
        Ok(())
    }

    /// Restores a record from its text and order, and the places of its last
    /// [`super::Change`].
    ///
    /// # Errors
    /// For text that is no record, a key that is there already, or a record
    /// that is not behind the one before it.
    pub fn record(
        &mut self,
        bucket: BucketId,
        text: &str,
        order: u64,
        places: Option<&str>,
    ) -> Result<(), LoadError> {
        let unknown = || LoadError(format!("a record of the unknown bucket {}", bucket.0));
        let bucket = self.store.buckets.get_mut(&bucket).ok_or_else(unknown)?;
        if bucket.definition.lifetime.is_some() {
            // Another program has put it there: nobody owns it.
            return Ok(());
        }
        let name = bucket.name.clone();
        let fail = |reason: &str| LoadError(format!("bucket \"{name}\", record {order}: {reason}"));
        let raw = parse(text, MAX_DEPTH).map_err(|error| fail(&error.to_string()))?;
        let row = bucket.row_of(&super::Data::from(raw));
        let key = bucket.table.key_text(&row);
        if super::Key::from_raw(Raw::checked(key)).is_none() {
            return Err(fail("it has no key"));
        }
        if bucket.table.find(key).is_some() {
            return Err(fail(&format!("the key {key} is stored twice")));
        }
        let last = bucket.table.last();
        if bucket.table.row(last).is_some() && bucket.table.order(last) >= order {
            return Err(fail("it is not in table order"));
        }
        let slot = bucket.table.push(row, order);
        self.store.sequence = self.store.sequence.max(order);
        if let Some(places) = places {
            let places = parse(places, MAX_DEPTH).map_err(|error| fail(&error.to_string()))?;
            if let Json::Object(places) = places.to_json() {
                self.places.entry(bucket.id).or_default().push((slot, places));
            }
        }
        Ok(())
    }

    /// Builds what finds the records. Records that have expired meanwhile are
    /// still there: commit [`Store::prepare_expiry`] until there is none.
    ///
    /// # Errors
    /// For a unique value that two records have.
    pub fn finish(mut self) -> Result<Store, LoadError> {
        for (id, bucket) in &mut self.store.buckets {
            let places = self.places.remove(id).unwrap_or_default();
            if bucket.has_numbers() {
                let rows = bucket.iter().map(|(_, row)| bucket.highest_number(row));
                // Earlier versions let an import fall behind.
                bucket.counter = bucket.counter.max(rows.max().unwrap_or_default());
            }
            let highest = bucket.restore_indexes(&places)?;
            self.store.sequence = self.store.sequence.max(highest);
        }
        self.store.connect_references();
        Ok(self.store)
    }
}

/// A sequence number as it was stored; 0 for none.
fn sequence(raw: Option<Raw<'_>>) -> u64 {
    raw.and_then(Raw::as_number).map_or(0, |number| number as u64)
}

impl Bucket {
    /// Adds all records to all indexes in the order of acquisition; returns the
    /// highest sequence number there is.
    fn restore_indexes(&mut self, places: &[(Slot, Object)]) -> Result<u64, LoadError> {
        let mut highest = 0;
        let moved = |kind: &str, field: &str| -> BTreeMap<Slot, u64> {
            let sequence = |places: &Object| {
                let number = places.get(kind)?.get(field)?.as_number()?;
                Some(number as u64)
            };
            let moves = places.iter();
            moves.filter_map(|(slot, places)| Some((*slot, sequence(places)?))).collect()
        };
        let table = &self.table;
        let mut restore = |index: &mut Index, kind: &str, valid_from: u64| -> bool {
            let moved = moved(kind, index.field().name());
            let place = |slot: Slot| {
                let moved = moved.get(&slot).copied().filter(|sequence| *sequence > valid_from);
                (moved.unwrap_or_else(|| table.order(slot)), slot)
            };
            let mut order: Vec<(u64, Slot)> = table.iter().map(place).collect();
            order.sort_unstable();
            highest = highest.max(order.last().map_or(0, |(sequence, _)| *sequence));
            order.into_iter().all(|(sequence, slot)| {
                let value = || table.row(slot).and_then(|row| index.value_of(row));
                let taken =
                    index.is_unique() && value().is_some_and(|value| index.count(table, value) > 0);
                index.add(table, slot, sequence);
                !taken
            })
        };
        for index in &mut self.indexes {
            if !restore(index, "index", self.indexed_at) {
                return Err(LoadError(format!(
                    "bucket \"{}\": two records have the same value in the unique field \"{}\"",
                    self.name,
                    index.field().name()
                )));
            }
        }
        for outgoing in &mut self.references {
            restore(&mut outgoing.index, "ref", outgoing.since);
        }
        for index in &mut self.sorted {
            let records = self
                .table
                .iter()
                .filter_map(|slot| Some((slot, self.table.order(slot), self.table.row(slot)?)));
            *index = SortedIndex::build(index.fields().to_vec(), records);
        }
        for index in &mut self.searched {
            self.table.iter().for_each(|slot| index.add(&self.table, slot));
        }
        let slots: Vec<Slot> = self.table.iter().collect();
        for slot in slots {
            self.arrive_in_time(slot);
            self.arrive_in_order(slot);
        }
        Ok(highest)
    }
}
