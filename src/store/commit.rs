//! The one door for writes: what was prepared is applied, and cannot fail.

use std::sync::Arc;

use hashbrown::HashMap;

use super::bucket::{Bucket, Outgoing};
use super::change::{Candidates, Change, ChangeKind, Commit, Defined, DefinitionChange};
use super::changeset::{ChangeSet, DefinitionOp, Op, Rebuilt};
use super::owners::Owners;
use super::remains::Remains;
use super::search::SearchIndex;
use super::table::Slot;
use super::{BucketId, Data, Index, Row, RowBuilder, Store};
use crate::json::{Json, Object};

/// Keeps the highest number of each bucket. The records of a bucket lie together,
/// mostly.
fn note_number(numbers: &mut Vec<(BucketId, u64)>, id: BucketId, number: u64) {
    match numbers.iter_mut().rev().find(|(have, _)| *have == id) {
        Some((_, highest)) => *highest = (*highest).max(number),
        None => numbers.push((id, number)),
    }
}

impl Store {
    /// Applies what was prepared and tells what has changed.
    pub fn commit(&mut self, set: ChangeSet) -> Commit {
        let mut commit = Commit::default();
        for definition in set.definitions {
            commit.definitions.extend(self.apply_definition(definition));
        }
        for id in set.cleared {
            if let Some(bucket) = self.buckets.get_mut(&id) {
                commit.cleared.push((id, bucket.len()));
                if let Some(guard) = &bucket.guard {
                    guard.cleared();
                }
                self.graveyard.bury(Remains::of(bucket));
                self.owners.take_all(id);
            }
        }
        commit.changes.reserve_exact(set.ops.len());
        let mut numbers: Vec<(BucketId, u64)> = Vec::new();
        for op in set.ops {
            if let Some(bucket) = self.buckets.get_mut(&op.bucket) {
                self.sequence += 1;
                if let Some(row) = op.row.as_ref().filter(|_| bucket.has_numbers()) {
                    note_number(&mut numbers, op.bucket, bucket.highest_number(row));
                }
                let change = apply(bucket, &mut self.owners, op, self.sequence);
                if let (Some(guard), Some(change)) = (&bucket.guard, &change) {
                    guard.follow(change);
                }
                commit.changes.extend(change);
            }
        }
        for (id, counter) in set.counters {
            if let Some(bucket) = self.buckets.get_mut(&id) {
                bucket.counter = counter;
                commit.counters.push((id, counter));
            }
        }
        // A counter that was set may be that of a backup, an import.
        for (id, highest) in numbers {
            if let Some(bucket) = self.buckets.get_mut(&id).filter(|b| b.counter < highest) {
                bucket.counter = highest;
                commit.counters.retain(|(other, _)| *other != id);
                commit.counters.push((id, highest));
            }
        }
        commit
    }

    fn apply_definition(&mut self, op: DefinitionOp) -> Option<DefinitionChange> {
        let change = match op {
            DefinitionOp::Define(mut bucket) => {
                self.sequence += 1;
                self.last_id += 1;
                bucket.id = BucketId(self.last_id);
                bucket.defined_at = self.sequence;
                bucket.indexed_at = self.sequence;
                if let Some(id) = self.names.insert(bucket.name.clone(), bucket.id) {
                    self.bury(id);
                }
                let defined = bucket.defined();
                self.buckets.insert(bucket.id, *bucket);
                DefinitionChange::Defined(defined)
            }
            DefinitionOp::Update(rebuilt) => {
                self.sequence += 1;
                let bucket = self.buckets.get_mut(&rebuilt.bucket)?;
                bucket.rebuild(*rebuilt, self.sequence);
                DefinitionChange::Updated(bucket.defined())
            }
            DefinitionOp::Drop(id) => {
                let bucket = self.bury(id)?;
                self.names.remove(&bucket.name);
                DefinitionChange::Dropped {
                    bucket: id,
                    name: bucket.name.clone(),
                    persistent: bucket.definition.persistent,
                }
            }
        };
        self.connect_references();
        Some(change)
    }

    /// Takes a bucket out; its records are given back later.
    fn bury(&mut self, id: BucketId) -> Option<Bucket> {
        let mut bucket = self.buckets.remove(&id)?;
        self.graveyard.bury(Remains::of(&mut bucket));
        self.owners.take_all(id);
        Some(bucket)
    }
}

/// Applies one operation, and follows whose the record is.
fn apply(bucket: &mut Bucket, owners: &mut Owners, op: Op, sequence: u64) -> Option<Change> {
    if bucket.definition.lifetime.is_none() {
        return bucket.apply(op, sequence);
    }
    let (key, new) = (op.key.clone(), op.owner);
    let before = bucket.find(&key).and_then(|slot| owners.take(bucket.id, slot));
    let change = bucket.apply(op, sequence);
    if let (Some(slot), Some(owner)) = (bucket.find(&key), new.or(before)) {
        owners.give(bucket.id, slot, owner);
    }
    change
}

impl Bucket {
    /// The bucket as it has to be stored.
    pub fn defined(&self) -> Defined {
        let number = |sequence: u64| Json::Number(sequence as f64);
        let since: Object = self
            .references
            .iter()
            .filter(|outgoing| outgoing.since > 0)
            .map(|outgoing| (outgoing.index.field().name(), number(outgoing.since)))
            .collect();
        let state: Object = [
            ("definedAt", number(self.defined_at)),
            ("indexedAt", number(self.indexed_at)),
            ("since", Json::Object(since)),
        ]
        .into_iter()
        .collect();
        Defined {
            bucket: self.id,
            name: self.name.clone(),
            persistent: self.definition.persistent,
            definition: Arc::new(self.definition.supplied().clone()),
            state: Json::Object(state).to_text().into(),
        }
    }

    fn apply(&mut self, op: Op, sequence: u64) -> Option<Change> {
        // A record keeps its slot while it lives.
        let slot = match &op.place {
            Some((slot, row)) if self.table.row(*slot).is_some_and(|have| have.is(row)) => {
                Some(*slot)
            }
            _ => self.find(&op.key),
        };
        let old = slot.and_then(|slot| self.table.row(slot)).cloned();
        let Op { kind, key, row: new, written, by_reference, .. } = op;
        let mut candidates = self.old_candidates(slot);
        let old_order = slot.map_or(0, |slot| self.table.order(slot));
        let slot = match (slot, &new) {
            (None, None) => return None,
            (Some(slot), None) => {
                self.exit(slot);
                None
            }
            (None, Some(row)) => Some(self.enter(row.clone(), sequence)),
            (Some(slot), Some(row)) => match kind {
                ChangeKind::Replaced => {
                    self.exit(slot);
                    Some(self.enter(row.clone(), sequence))
                }
                ChangeKind::Inserted => {
                    self.leave(slot);
                    self.table.replace(slot, row.clone());
                    self.arrive(slot, sequence);
                    Some(slot)
                }
                ChangeKind::Updated | ChangeKind::Deleted => {
                    self.update(slot, row, sequence);
                    Some(slot)
                }
            },
        };
        let (mut new_order, mut places) = (0, None);
        if let Some(slot) = slot {
            new_order = self.table.order(slot);
            for (place, index) in candidates.iter_mut().zip(&self.indexes) {
                let indexed = self.table.row(slot).is_some_and(|row| index.value_of(row).is_some());
                place.new = indexed.then(|| index.acquired(&self.table, slot));
            }
            places = self.places(slot);
        }
        Some(Change {
            bucket: self.id,
            kind,
            key,
            old,
            new,
            old_order,
            new_order,
            candidates,
            places,
            written,
            by_reference,
        })
    }

    fn old_candidates(&self, slot: Option<Slot>) -> Vec<Candidates> {
        let place = |index: &Index| {
            let slot = slot?;
            index.value_of(self.table.row(slot)?)?;
            Some(index.acquired(&self.table, slot))
        };
        self.indexes.iter().map(|index| Candidates { old: place(index), new: None }).collect()
    }

    /// What is stored with a record to restore its acquisitions.
    fn places(&self, slot: Slot) -> Option<Box<str>> {
        let references = self.references.iter().map(|outgoing| &outgoing.index);
        let moved = |index: &Index| {
            let sequence = index.moved(slot)?;
            Some((Box::<str>::from(index.field().name()), Json::Number(sequence as f64)))
        };
        let indexes: Object = self.indexes.iter().filter_map(moved).collect();
        let references: Object = references.filter_map(moved).collect();
        if indexes.is_empty() && references.is_empty() {
            return None;
        }
        let places: Object = [("index", Json::Object(indexes)), ("ref", Json::Object(references))]
            .into_iter()
            .collect();
        Some(Json::Object(places).to_text().into())
    }

    pub(super) fn enter(&mut self, row: Row, sequence: u64) -> Slot {
        let slot = self.table.push(row, sequence);
        self.arrive(slot, sequence);
        self.arrive_in_order(slot);
        slot
    }

    pub(super) fn arrive_in_order(&mut self, slot: Slot) {
        let key = self.table.row(slot).map(|row| self.key_of(row));
        if let (Some(ordered), Some(key)) = (&mut self.ordered, key) {
            ordered.insert(&key, self.table.order(slot), slot);
        }
    }

    fn exit(&mut self, slot: Slot) {
        self.leave(slot);
        let key = self.table.row(slot).map(|row| self.key_of(row));
        if let (Some(ordered), Some(key)) = (&mut self.ordered, key) {
            ordered.remove(&key, self.table.order(slot));
        }
        self.table.remove(slot);
    }

    /// A row of this bucket's layout.
    pub(super) fn row_of(&self, data: &Data<'_>) -> Row {
        let mut row = RowBuilder::new(&self.layout);
        for (name, value) in data.iter() {
            value.write(name, &mut row);
        }
        row.finish()
    }

    /// Makes a record that stands in the table findable.
    fn arrive(&mut self, slot: Slot, sequence: u64) {
        for index in every(&mut self.indexes, &mut self.references) {
            index.add(&self.table, slot, sequence);
        }
        for index in &mut self.sorted {
            index.add(&self.table, slot);
        }
        for index in &mut self.searched {
            index.add(&self.table, slot);
        }
        self.arrive_in_time(slot);
    }

    /// Undoes [`Bucket::arrive`]; the row is still the old one.
    fn leave(&mut self, slot: Slot) {
        for index in every(&mut self.indexes, &mut self.references) {
            index.remove(&self.table, slot);
        }
        for index in &mut self.sorted {
            index.remove(&self.table, slot);
        }
        for index in &mut self.searched {
            index.remove(&self.table, slot);
        }
        self.leave_in_time(slot);
    }

    /// Replaces a row; what did not change keeps its place in the indexes.
    fn update(&mut self, slot: Slot, row: &Row, sequence: u64) {
        let Some(old) = self.table.row(slot).cloned() else { return };
        let moves = |index: &Index| index.filed(&old) != index.filed(row);
        for index in every(&mut self.indexes, &mut self.references).filter(|index| moves(index)) {
            index.remove(&self.table, slot);
        }
        for index in self.sorted.iter_mut().filter(|index| index.moves(&old, row)) {
            index.remove(&self.table, slot);
        }
        for index in self.searched.iter_mut().filter(|index| index.moves(&old, row)) {
            index.remove(&self.table, slot);
        }
        self.leave_in_time(slot);
        self.table.replace(slot, row.clone());
        self.arrive_in_time(slot);
        for index in every(&mut self.indexes, &mut self.references).filter(|index| moves(index)) {
            index.add(&self.table, slot, sequence);
        }
        for index in self.sorted.iter_mut().filter(|index| index.moves(&old, row)) {
            index.add(&self.table, slot);
        }
        for index in self.searched.iter_mut().filter(|index| index.moves(&old, row)) {
            index.add(&self.table, slot);
        }
    }

    pub(super) fn arrive_in_time(&mut self, slot: Slot) {
        if self.expiry.is_none() && self.ages.is_none() {
            return;
        }
        let Some(row) = self.table.row(slot) else { return };
        let (expires_at, created_at) = (self.expires_at(row), self.created_at(row));
        let order = self.table.order(slot);
        if let (Some(expiry), Some(at)) = (&mut self.expiry, expires_at) {
            expiry.insert((at, slot));
        }
        if let Some(ages) = &mut self.ages {
            ages.insert((created_at, order, slot));
        }
    }

    fn leave_in_time(&mut self, slot: Slot) {
        if self.expiry.is_none() && self.ages.is_none() {
            return;
        }
        let Some(row) = self.table.row(slot) else { return };
        let (expires_at, created_at) = (self.expires_at(row), self.created_at(row));
        let order = self.table.order(slot);
        if let (Some(expiry), Some(at)) = (&mut self.expiry, expires_at) {
            expiry.remove(&(at, slot));
        }
        if let Some(ages) = &mut self.ages {
            ages.remove(&(created_at, order, slot));
        }
    }

    /// Takes over another definition with what was built for it.
    fn rebuild(&mut self, rebuilt: Rebuilt, sequence: u64) {
        let Rebuilt { bucket: _, parts, expiry, ages, ordered } = rebuilt;
        let before: Vec<Outgoing> = std::mem::take(&mut self.references);
        let place = |outgoing: &Outgoing| {
            (Box::from(outgoing.index.field().name()), outgoing.target.clone())
        };
        let mut kept: HashMap<(Box<str>, Box<str>), Outgoing> =
            before.into_iter().map(|outgoing| (place(&outgoing), outgoing)).collect();
        self.references = parts.references;
        for outgoing in &mut self.references {
            match kept.remove(&place(outgoing)) {
                // Who referred before goes on in the same order.
                Some(old) => {
                    outgoing.since = old.since;
                    outgoing.index = old.index;
                }
                None => outgoing.since = sequence,
            }
        }
        let before = std::mem::replace(&mut self.searched, parts.searched);
        for old in before {
            let stays = |new: &&mut SearchIndex| new.field().name() == old.field().name();
            if let Some(new) = self.searched.iter_mut().find(stays) {
                let field = new.field().clone();
                *new = old;
                new.set_field(field);
            }
        }
        self.definition = parts.definition;
        self.layout = parts.layout;
        self.fields = parts.fields;
        self.indexes = parts.indexes;
        // Those that stay depend on nothing that changes.
        let before = std::mem::replace(&mut self.sorted, parts.sorted);
        for old in before {
            if let Some(new) = self.sorted.iter_mut().find(|new| new.is_on(old.fields())) {
                let fields = new.fields().to_vec();
                *new = old;
                new.set_fields(fields);
            }
        }
        self.index_places = parts.index_places;
        self.unplaced = parts.unplaced;
        self.meta = parts.meta;
        self.table.set_key_field(self.layout.field(&self.definition.key));
        self.expiry = expiry;
        self.ages = ages;
        self.ordered = ordered;
        self.indexed_at = sequence;
    }
}

/// The indexes that clients know of, then those of the references.
fn every<'a>(
    indexes: &'a mut [Index],
    references: &'a mut [Outgoing],
) -> impl Iterator<Item = &'a mut Index> {
    indexes.iter_mut().chain(references.iter_mut().map(|outgoing| &mut outgoing.index))
}
