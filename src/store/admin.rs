//! Defining, changing and dropping buckets, all or nothing.

use std::collections::BTreeSet;

use hashbrown::HashMap;

use super::bucket::Bucket;
use super::change::ChangeKind;
use super::changeset::{ChangeSet, DefinitionOp, Op, Rebuilt};
use super::draft::unique_violation;
use super::millis::Millis;
use super::ordered::OrderedKeys;
use super::schema::Definition;
use super::sorted::SortedIndex;
use super::table::Slot;
use super::{BucketId, Layout, Store, not_defined};
use crate::budget::Budget;
use crate::json::{Object, Raw};
use crate::protocol::{ErrorCode, OpError};

impl Store {
    /// Prepares `store.defineBucket`.
    ///
    /// # Errors
    /// `ALREADY_EXISTS` for a name in use, `VALIDATION_ERROR` for a definition
    /// that makes no sense.
    pub fn prepare_define(
        &self,
        name: &str,
        definition: Object,
        budget: &Budget,
    ) -> Result<ChangeSet, OpError> {
        if self.bucket_id(name).is_some() {
            return Err(OpError::new(
                ErrorCode::AlreadyExists,
                format!("Bucket \"{name}\" already exists"),
            ));
        }
        let definition =
            Definition::parse_within(name, definition, budget).map_err(|it| it.into_error(name))?;
        budget.check()?;
        let layout = layout_of(&definition);
        let bucket = Bucket::new(BucketId(0), name, definition, layout, 0);
        let set = ChangeSet {
            definitions: vec![DefinitionOp::Define(Box::new(bucket))],
            ..ChangeSet::default()
        };
        self.check_memory(&set)?;
        Ok(set)
    }

    /// Prepares `store.updateBucket`: more fields, more indexes, another TTL.
    ///
    /// # Errors
    /// `BUCKET_NOT_DEFINED`; `VALIDATION_ERROR` for an update that makes no
    /// sense; `ALREADY_EXISTS` where a new unique field has a value twice.
    pub fn prepare_update(
        &self,
        name: &str,
        updates: &Object,
        budget: &Budget,
    ) -> Result<ChangeSet, OpError> {
        let bucket = self.require(name)?;
        let definition =
            bucket.definition.updated(name, updates, budget).map_err(|it| it.into_error(name))?;
        budget.check()?;
        self.prepare_rebuild(bucket, definition, budget)
    }

    /// Prepares a whole new definition for a bucket that keeps its records, unless
    /// it is one whose records have owners from now on.
    ///
    /// # Errors
    /// As [`Store::prepare_update`], and `VALIDATION_ERROR` for another key
    /// field.
    pub fn prepare_redefine(&self, name: &str, definition: Object) -> Result<ChangeSet, OpError> {
        let bucket = self.require(name)?;
        let definition =
            Definition::parse(name, definition).map_err(|error| error.into_error(name))?;
        if definition.key != bucket.definition.key {
            return Err(OpError::validation(format!(
                "Invalid schema for bucket \"{name}\": the key field is \"{}\" and cannot become \"{}\"",
                bucket.definition.key, definition.key
            )));
        }
        if definition.lifetime.is_some() && bucket.definition.lifetime.is_none() {
            // Its records have no owners: they go.
            let layout = layout_of(&definition);
            let again = Bucket::new(BucketId(0), name, definition, layout, 0);
            let definitions =
                vec![DefinitionOp::Drop(bucket.id), DefinitionOp::Define(Box::new(again))];
            return Ok(ChangeSet { definitions, ..ChangeSet::default() });
        }
        self.prepare_rebuild(bucket, definition, &Budget::unlimited())
    }

    /// Prepares `store.dropBucket`.
    ///
    /// # Errors
    /// `BUCKET_NOT_DEFINED`.
    pub fn prepare_drop(&self, name: &str) -> Result<ChangeSet, OpError> {
        let id = self.bucket_id(name).ok_or_else(|| {
            let message = format!("Bucket \"{name}\" does not exist");
            OpError { message: message.into(), ..not_defined(name) }
        })?;
        Ok(ChangeSet { definitions: vec![DefinitionOp::Drop(id)], ..ChangeSet::default() })
    }

    fn prepare_rebuild(
        &self,
        bucket: &Bucket,
        definition: Definition,
        budget: &Budget,
    ) -> Result<ChangeSet, OpError> {
        let names = definition.fields.iter().map(|field| &*field.name);
        let layout = bucket.layout.extended(names);
        let mut parts = Bucket::new(bucket.id, &bucket.name, definition, layout, 0);
        fill_indexes(&mut parts, bucket, budget)?;
        fill_words_and_references(&mut parts, bucket, budget)?;
        let (expiry, ages, ordered) = fill_orders(&mut parts, bucket, budget)?;
        let mut highest = bucket.counter;
        if parts.has_numbers() {
            for (_, row) in bucket.iter() {
                budget.spend(1)?;
                highest = highest.max(parts.highest_number(row));
            }
        }
        let counter = (highest > bucket.counter).then_some((bucket.id, highest));
        let rebuilt = Rebuilt { bucket: bucket.id, parts: Box::new(parts), expiry, ages, ordered };
        let set = ChangeSet {
            definitions: vec![DefinitionOp::Update(Box::new(rebuilt))],
            counters: counter.into_iter().collect(),
            ..ChangeSet::default()
        };
        self.check_memory(&set)?;
        Ok(set)
    }
}

pub(super) fn layout_of(definition: &Definition) -> Layout {
    Layout::new(definition.fields.iter().map(|field| &*field.name))
}

impl Store {
    /// The records whose time has come, of the bucket in which one has been due
    /// longest, to be deleted as one commit; at most `limit`, the oldest first.
    /// `None` when no bucket has any. References to them are not looked at.
    /// `now`: Unix time in milliseconds.
    pub fn prepare_expiry(&self, now: u64, limit: usize) -> Option<ChangeSet> {
        let due = |at: &Millis| at.0 <= now as f64;
        let first = |bucket: &Bucket| bucket.expiry.as_ref()?.first().map(|(at, _)| *at);
        let expiring = self.expiring.iter().filter_map(|id| self.bucket(*id));
        let waiting = expiring.filter_map(|bucket| Some((first(bucket)?, bucket)));
        let (oldest, bucket) = waiting.min_by_key(|(at, _)| *at)?;
        if !due(&oldest) || limit == 0 {
            return None;
        }
        let expired = bucket.expiry.iter().flatten().take_while(|(at, _)| due(at)).take(limit);
        let op = |(_, slot): &(Millis, Slot)| {
            let row = bucket.table.row(*slot)?;
            Some(Op {
                bucket: bucket.id,
                kind: ChangeKind::Deleted,
                key: bucket.key_of(row),
                place: Some((*slot, row.clone())),
                row: None,
                written: 0,
                by_reference: false,
                owner: None,
            })
        };
        Some(ChangeSet { ops: expired.filter_map(op).collect(), ..ChangeSet::default() })
    }

    /// What is due and still here is gone for readers until it is deleted; true
    /// if there is any. `now`: Unix time in milliseconds.
    pub fn hide_expired(&mut self, now: u64) -> bool {
        let now = Millis(now as f64);
        let mut any = false;
        for id in &self.expiring {
            let Some(bucket) = self.buckets.get_mut(id) else { continue };
            let first = bucket.expiry.as_ref().and_then(|expiry| expiry.first());
            bucket.over_until = first.filter(|(at, _)| *at <= now).map(|_| now);
            any |= bucket.over_until.is_some();
        }
        any
    }
}

/// Files the records of `bucket` in the indexes of values and orders.
fn fill_indexes(parts: &mut Bucket, bucket: &Bucket, budget: &Budget) -> Result<(), OpError> {
    for index in &mut parts.indexes {
        for slot in bucket.table.iter() {
            budget.spend(1)?;
            let Some(row) = bucket.table.row(slot) else { continue };
            budget.spend_text(row.look_at(index.field()).1)?;
            let Some(value) = index.value_of(row) else { continue };
            if index.is_unique() && index.count(&bucket.table, value) > 0 {
                let value = Raw::checked(value);
                return Err(unique_violation(&bucket.name, index.field().name(), value));
            }
            index.add(&bucket.table, slot, bucket.table.order(slot));
        }
    }
    for index in &mut parts.sorted {
        // One that stays is taken over.
        if bucket.sorted.iter().any(|old| old.is_on(index.fields())) {
            continue;
        }
        budget.spend_sort(bucket.len())?;
        for field in index.fields() {
            for (_, row) in bucket.iter() {
                budget.spend(1)?;
                budget.spend_text(row.look_at(field).1)?;
            }
        }
        let records = bucket
            .table
            .iter()
            .filter_map(|slot| Some((slot, bucket.table.order(slot), bucket.table.row(slot)?)));
        *index = SortedIndex::build(index.fields().to_vec(), records);
    }
    Ok(())
}

/// The same for words, and for references that are new.
fn fill_words_and_references(
    parts: &mut Bucket,
    bucket: &Bucket,
    budget: &Budget,
) -> Result<(), OpError> {
    for index in &mut parts.searched {
        let name = index.field().name();
        if bucket.searched.iter().any(|old| old.field().name() == name) {
            continue;
        }
        for slot in bucket.table.iter() {
            let Some(row) = bucket.table.row(slot) else { continue };
            budget.spend(1)?;
            budget.spend(index.filing_steps(row))?;
            index.add(&bucket.table, slot);
        }
    }
    let before: HashMap<&str, &str> =
        bucket.references.iter().map(|old| (old.index.field().name(), &*old.target)).collect();
    for outgoing in &mut parts.references {
        let field = outgoing.index.field().name();
        // A reference that stays brings its index with it.
        if before.get(field) == Some(&&*outgoing.target) {
            continue;
        }
        for slot in bucket.table.iter() {
            budget.spend(1)?;
            let Some(row) = bucket.table.row(slot) else { continue };
            budget.spend_text(row.look_at(outgoing.index.field()).1)?;
            outgoing.index.add(&bucket.table, slot, bucket.table.order(slot));
        }
    }
    Ok(())
}

/// By expiry, by age, by key.
type Orders =
    (Option<BTreeSet<(Millis, Slot)>>, Option<BTreeSet<(Millis, u64, Slot)>>, Option<OrderedKeys>);

/// The same for the orders that the definition asks for.
fn fill_orders(parts: &mut Bucket, bucket: &Bucket, budget: &Budget) -> Result<Orders, OpError> {
    let (mut expiry, mut ages) = (parts.expiry.take(), parts.ages.take());
    let mut ordered = parts.ordered.take();
    let files = expiry.is_some() || ages.is_some() || ordered.is_some();
    for (slot, (order, row)) in
        bucket.table.iter().zip(bucket.iter()).take(if files { usize::MAX } else { 0 })
    {
        budget.spend(1)?;
        if let Some(ordered) = &mut ordered {
            ordered.insert(&bucket.key_of(row), order, slot);
        }
        if let Some(expiry) = &mut expiry
            && let Some(at) = row.field(&parts.meta.expires_at).and_then(Raw::as_number)
        {
            expiry.insert((Millis(at), slot));
        }
        if let Some(ages) = &mut ages {
            ages.insert((parts.created_at(row), order, slot));
        }
    }
    Ok((expiry, ages, ordered))
}
