//! Insert, update and delete against the overlay.

use super::computed::add_computed_references;
use super::many::{Inserted, OnConflict, already_exists};
use super::overlay::Entry;
use super::{BoundRules, Decided, Draft, Mode, known, unique_violation};
use crate::budget::OverBudget;
use crate::ids::IdSource;
use crate::json::{Json, Raw};
use crate::protocol::OpError;
use crate::store::data::{Data, Datum, MAX_DEPTH};
use crate::store::row::Patch;
use crate::store::rows::set_by_server;
use crate::store::schema::{Generated, OnDuplicate, validate};
use crate::store::table::Slot;
use crate::store::{Bucket, BucketId, Effect, Key, Row, RowBuilder, Store, WriteCx, WriteKind};

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
        match self.insert_as(store, ids, known(store, bucket)?, data, None)? {
            Inserted::New(row) | Inserted::Replaced(row) => Ok(row),
            // Only somebody who says so skips records.
            Inserted::Skipped => Err(OpError::internal()),
        }
    }

    /// The same; `many`: what is to happen where the key is there, and the
    /// place among the records of one operation.
    pub(super) fn insert_as(
        &mut self,
        store: &Store,
        ids: &mut IdSource,
        bucket: &Bucket,
        data: &Data<'_>,
        many: Option<(OnConflict, u32)>,
    ) -> Result<Inserted, OpError> {
        let owner = self.new_owner(bucket)?;
        let how = many.map(|(how, _)| how);
        let rules = self.rules(bucket);
        let filled = match &rules {
            Some(rules) => fill_in(bucket, data, rules)?,
            None => None,
        };
        let data = filled.as_ref().unwrap_or(data);
        check_depth(bucket, data)?;
        if how == Some(OnConflict::Skip) {
            let key = data.get(bucket.key_field()).map(Datum::lookup);
            let there = |key: &Key| self.row(bucket, key).is_some();
            self.budget.spend(1)?;
            if key.and_then(|key| key.key().map(there)) == Some(true) {
                return Ok(Inserted::Skipped);
            }
        }
        if self.mode.checks_at_once() {
            self.check_references(store, bucket, data)?;
        }
        let counter = self.overlay_mut(bucket).attempt();
        let row = self.build(bucket, ids, counter, data);
        let row = self.compute(bucket, row, None);
        self.check_row(bucket, WriteKind::Insert, &row)?;
        let key = bucket.key_of(&row);
        let old = self.row(bucket, &key);
        self.pay_for_words(bucket, old, Some(&row))?;
        let there = old.is_some();
        if let Some(rules) = &rules {
            self.require_insert(bucket, (&key, old), &row, rules, how)?;
        }
        if there && how == Some(OnConflict::Skip) {
            return Ok(Inserted::Skipped);
        }
        self.check_place(store, bucket, (&key, there), &row, how)?;
        if self.mode.checks_at_once() && !there {
            self.make_room(bucket, 1);
        }
        self.writes += 1;
        let at = self.writes;
        let mut written = written_references(bucket, data);
        add_computed_references(bucket, None, &row, &mut written);
        let overlay = self.overlay_mut(bucket);
        overlay.counter = overlay.counter.max(bucket.highest_number(&row));
        let entry = overlay.entry_mut(bucket, &key, None);
        // Inserted twice in a transaction: the last one wins, in the place of
        // the first.
        if entry.inserted.is_none() || entry.row.is_none() {
            entry.inserted = Some(at);
            entry.over = entry.row.is_some();
            entry.replaces = how == Some(OnConflict::Replace);
        }
        entry.label = many.map(|(_, at)| at);
        entry.owner = owner;
        entry.row = Some(row.clone());
        entry.at = entry.inserted.unwrap_or(at);
        entry.written = written;
        entry.evicted = false;
        Ok(if there { Inserted::Replaced(row) } else { Inserted::New(row) })
    }

    /// Whether a record may come to be under its key, where one may be `there`.
    fn check_place(
        &self,
        store: &Store,
        bucket: &Bucket,
        (key, there): (&Key, bool),
        row: &Row,
        how: Option<OnConflict>,
    ) -> Result<(), OpError> {
        match how {
            Some(OnConflict::Error) if there => return Err(already_exists(bucket, key)),
            Some(OnConflict::Replace) if there => check_replace(bucket, key)?,
            _ => {}
        }
        if self.mode.checks_at_once() {
            self.check_unique(bucket, key, row, there)?;
            self.check_computed_references(store, bucket, None, row)?;
            if there && bucket.definition.on_duplicate == OnDuplicate::Error {
                return Err(already_exists(bucket, key));
            }
        }
        let replaces = match how {
            None => self.mode.checks_at_once(),
            how => how == Some(OnConflict::Replace),
        };
        if there && replaces {
            self.require_own(store, bucket, key)?;
        }
        Ok(())
    }

    /// What row rules say to a new record, and to taking the place of an old one.
    fn require_insert(
        &self,
        bucket: &Bucket,
        (key, old): (&Key, Option<&Row>),
        row: &Row,
        rules: &BoundRules,
        how: Option<OnConflict>,
    ) -> Result<(), OpError> {
        rules.require(Decided::Insert, bucket, row, &self.budget)?;
        let replaces = matches!(how, None | Some(OnConflict::Replace));
        let Some(old) = old.filter(|_| replaces) else { return Ok(()) };
        if !rules.read.allows(old, &self.budget) {
            self.budget.check()?;
            return Err(already_exists(bucket, key));
        }
        rules.require(Decided::Update, bucket, old, &self.budget)
    }

    /// Holds a new row against the definition, and pays for it and for what
    /// its commit will cost.
    fn check_row(&self, bucket: &Bucket, kind: WriteKind, row: &Row) -> Result<(), OpError> {
        self.budget.spend_changes(1)?;
        self.budget.spend_text_bytes(row.memory())?;
        // Each of these is looked for in the whole text, several times.
        let searched = bucket.unplaced.saturating_mul(row.text().len() / 4);
        let files = bucket.indexes.len() + bucket.sorted.len() + bucket.references.len();
        self.budget.spend((searched + files.saturating_sub(8)) as u64)?;
        validate(&bucket.name, &bucket.definition, &bucket.fields, row, &self.budget)?;
        match &bucket.guard {
            Some(guard) => guard.check(kind, row, self.write_cx()),
            None => Ok(()),
        }
    }

    /// Pays for the words that the commit takes out and files.
    pub(super) fn pay_for_words(
        &self,
        bucket: &Bucket,
        old: Option<&Row>,
        new: Option<&Row>,
    ) -> Result<(), OverBudget> {
        for index in &bucket.searched {
            if let (Some(old), Some(new)) = (old, new)
                && !index.moves(old, new)
            {
                continue;
            }
            for row in [old, new].into_iter().flatten() {
                self.budget.spend(index.filing_steps(row))?;
            }
        }
        Ok(())
    }

    fn write_cx(&self) -> WriteCx<'_> {
        WriteCx { now: self.now, budget: &self.budget }
    }

    /// The record with what follows from its other values.
    fn compute(&self, bucket: &Bucket, row: Row, old: Option<&Row>) -> Row {
        match &bucket.guard {
            Some(guard) => guard.compute(&bucket.layout, row, old, self.write_cx()),
            None => row,
        }
    }

    /// A record is to go, because somebody asked for it or refers to it.
    pub(super) fn check_delete(&self, bucket: &Bucket, key: &Key) -> Result<(), OpError> {
        let guard = bucket.guard.as_ref().filter(|guard| guard.checks_deletes());
        match guard.zip(self.row(bucket, key)) {
            Some((guard, row)) => guard.check(WriteKind::Delete, row, self.write_cx()),
            None => Ok(()),
        }
    }

    /// All records of a bucket are to go.
    pub(super) fn check_clear(&self, store: &Store, bucket: &Bucket) -> Result<(), OpError> {
        let Some(guard) = bucket.guard.as_ref().filter(|guard| guard.checks_deletes()) else {
            return Ok(());
        };
        let rows = self.find(store, bucket.id, None, usize::MAX);
        self.budget.check()?;
        rows.iter().try_for_each(|row| guard.check(WriteKind::Delete, row, self.write_cx()))
    }

    /// What the final state of every bucket must fulfil.
    pub(super) fn check_groups(&self, store: &Store) -> Result<(), OpError> {
        for overlay in &self.touched {
            let Some(bucket) = store.bucket(overlay.bucket) else { continue };
            let Some(guard) = bucket.guard.as_ref().filter(|guard| guard.checks_groups()) else {
                continue;
            };
            let mut effects: Vec<Effect<'_>> = Vec::new();
            if overlay.cleared {
                for (place, row) in bucket.iter() {
                    self.budget.spend(1)?;
                    effects.push(Effect {
                        kind: WriteKind::Delete,
                        old: Some(row),
                        new: None,
                        old_place: place,
                        new_place: 0,
                        is_checked: true,
                    });
                }
            }
            self.budget.spend_sort(overlay.entries().len())?;
            let mut entries: Vec<_> = overlay.entries().iter().collect();
            entries.sort_by_key(|entry| entry.at);
            effects.extend(entries.into_iter().filter_map(Entry::effect));
            guard.check_groups(&effects, self.write_cx())?;
        }
        Ok(())
    }

    /// Validates an updated row and takes it into the overlay. With the key, the
    /// slot of the record in the store, if it is known.
    pub(super) fn put_update(
        &mut self,
        store: &Store,
        bucket: &Bucket,
        (key, slot): (&Key, Option<Slot>),
        row: Row,
        mut written: Vec<usize>,
        rules: Option<&BoundRules>,
    ) -> Result<Row, OpError> {
        let old = bucket.guard.as_ref().and_then(|_| self.row(bucket, key)).cloned();
        let row = self.compute(bucket, row, old.as_ref());
        self.check_row(bucket, WriteKind::Update, &row)?;
        if !bucket.searched.is_empty() {
            self.pay_for_words(bucket, self.row(bucket, key), Some(&row))?;
        }
        if let Some(rules) = rules {
            rules.require(Decided::Update, bucket, &row, &self.budget)?;
        }
        if self.mode.checks_at_once() {
            self.check_unique(bucket, key, &row, false)?;
            self.check_computed_references(store, bucket, old.as_ref(), &row)?;
        }
        add_computed_references(bucket, old.as_ref(), &row, &mut written);
        self.writes += 1;
        let at = self.writes;
        let entry = self.overlay_mut(bucket).entry_mut(bucket, key, slot);
        entry.row = Some(row.clone());
        entry.label = None;
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
        if !bucket.searched.is_empty() {
            let _ = self.pay_for_words(bucket, self.row(bucket, key), None);
        }
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
        let own = |name: &str| OWN.contains(&name) || bucket.is_computed(name);
        for (name, value) in data.iter().filter(|(name, _)| !own(name)) {
            value.write(name, &mut row);
        }
        let absent = |name: &str| !data.contains(name) && !bucket.is_computed(name);
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

/// What is stored can be read again.
pub(super) fn check_depth(bucket: &Bucket, data: &Data<'_>) -> Result<(), OpError> {
    match data.is_too_deep() {
        false => Ok(()),
        true => Err(OpError::validation(format!(
            "A record of bucket \"{}\" would be nested too deeply (maximum {MAX_DEPTH} levels)",
            bucket.name
        ))),
    }
}

/// The data with what the server writes; `None`: it is all there.
fn fill_in<'a>(
    bucket: &Bucket,
    data: &Data<'a>,
    rules: &BoundRules,
) -> Result<Option<Data<'a>>, OpError> {
    let mut absent = Vec::new();
    for (name, value) in &rules.set {
        let Some(given) = data.get(name) else {
            absent.push((name.clone(), Some(value.clone())));
            continue;
        };
        let (mut mine, mut theirs) = (Vec::new(), Vec::new());
        value.write_lossless(&mut mine);
        given.write_lossless(&mut theirs);
        if mine != theirs {
            return Err(set_by_server(bucket, name));
        }
    }
    Ok((!absent.is_empty()).then(|| data.with(absent)))
}

/// A record with the key is there and is to be replaced: not where keys are
/// said to be unique.
fn check_replace(bucket: &Bucket, key: &Key) -> Result<(), OpError> {
    let name = bucket.key_field();
    if bucket.definition.field(name).is_some_and(|field| field.unique) {
        return Err(unique_violation(&bucket.name, name, Raw::checked(&key.text())));
    }
    match bucket.definition.on_duplicate {
        OnDuplicate::Error => Err(already_exists(bucket, key)),
        OnDuplicate::Replace => Ok(()),
    }
}

/// Whether an update leaves a field as it is.
pub(super) fn is_fixed(bucket: &Bucket, name: &str) -> bool {
    let definition = &bucket.definition;
    *name == *definition.key
        || OWN.contains(&name)
        || bucket.is_computed(name)
        || definition.field(name).is_some_and(|field| field.is_immutable())
}

/// The references that `data` writes, as positions among the bucket's.
pub(super) fn written_references(bucket: &Bucket, data: &Data<'_>) -> Vec<usize> {
    let written = |name: &str| {
        data.get(name).is_some_and(|value: &Datum<'_>| !value.is_null())
            && !bucket.is_computed(name)
    };
    let references = bucket.references.iter().enumerate();
    references
        .filter(|(_, outgoing)| written(outgoing.index.field().name()))
        .map(|(at, _)| at)
        .collect()
}
