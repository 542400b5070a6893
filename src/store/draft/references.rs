//! References: what a record refers to must exist, and what happens to those
//! who refer to a record that is deleted.

use hashbrown::{HashMap, HashSet};

use super::overlay::Entry;
use super::{Draft, Mode};
use crate::budget::OverBudget;
use crate::json::{Json, Object};
use crate::protocol::{ErrorCode, OpError};
use crate::store::bucket::Outgoing;
use crate::store::index::indexable;
use crate::store::schema::OnDelete;
use crate::store::{Bucket, BucketId, Data, Key, Lookup, Store, not_defined};

/// A record that refers to another.
#[derive(Clone, Debug)]
struct Referrer {
    bucket: BucketId,
    /// Position among the bucket's references.
    reference: usize,
    key: Key,
    /// When the reference was made; those of the draft come last, in the order
    /// of the writes.
    made: (u64, u64),
}

/// A record whose referrers are being dealt with.
struct Frame {
    bucket: BucketId,
    key: Key,
    /// The root of the walk is taken out by the caller.
    remove: bool,
    referrers: std::vec::IntoIter<Referrer>,
}

/// References that the draft has written: the referring bucket, the position
/// of the reference and the value, to the places in the commit and the keys.
type Written = HashMap<(BucketId, usize, Box<str>), Vec<(u64, Key)>>;

impl Draft {
    /// Every reference in `data` must lead to a record as this draft sees it.
    pub(super) fn check_references(
        &self,
        store: &Store,
        bucket: &Bucket,
        data: &Data<'_>,
    ) -> Result<(), OpError> {
        for outgoing in &bucket.references {
            let name = outgoing.index.field().name();
            let Some(value) = data.get(name).filter(|_| !bucket.is_computed(name)) else {
                continue;
            };
            if !value.is_null() {
                self.check_reference(store, bucket, outgoing, &value.lookup())?;
            }
        }
        Ok(())
    }

    /// The same for references that a transaction has written, when it ends.
    pub(super) fn check_written(
        &self,
        store: &Store,
        bucket: &Bucket,
        entry: &Entry,
    ) -> Result<(), OpError> {
        let Some(row) = &entry.row else { return Ok(()) };
        for (at, outgoing) in bucket.references.iter().enumerate() {
            if entry.written.binary_search(&at).is_err() {
                continue;
            }
            let value = row.field(outgoing.index.field()).filter(|value| !value.is_null());
            if let Some(value) = value {
                self.check_reference(store, bucket, outgoing, &Lookup::from(value))?;
            }
        }
        Ok(())
    }

    pub(super) fn check_reference(
        &self,
        store: &Store,
        bucket: &Bucket,
        outgoing: &Outgoing,
        value: &Lookup,
    ) -> Result<(), OpError> {
        let target = store.bucket_named(&outgoing.target);
        let target = target.ok_or_else(|| not_defined(&outgoing.target))?;
        if value.key().is_some_and(|key| self.row(target, key).is_some()) {
            return Ok(());
        }
        let field = outgoing.index.field().name();
        let message = format!(
            "Foreign key violation in bucket \"{}\": field \"{field}\" references bucket \"{}\" with key \"{value}\", but no such record exists",
            bucket.name, outgoing.target
        );
        let target_key = value.key().map_or_else(|| Json::from(value.to_string()), Key::to_json);
        let details: Object = [
            ("sourceBucket", Json::from(&*bucket.name)),
            ("sourceField", Json::from(field)),
            ("targetBucket", Json::from(&*outgoing.target)),
            ("targetKey", target_key),
        ]
        .into_iter()
        .collect();
        Err(OpError::validation(message).with_details(Json::Object(details)))
    }

    /// Deals with everything that refers to the given records, depth first, in
    /// the order in which the references were made. The records themselves are
    /// left to the caller.
    pub(super) fn follow_references(
        &mut self,
        store: &Store,
        roots: Vec<(BucketId, Key)>,
    ) -> Result<(), OpError> {
        if store.incoming.is_empty() {
            return Ok(());
        }
        let written = self.written(store)?;
        let mut visited: HashSet<(BucketId, Key)> = HashSet::new();
        // An explicit stack: a chain of references may be as long as a bucket.
        let mut stack: Vec<Frame> = Vec::new();
        for (bucket, key) in roots {
            if visited.insert((bucket, key.clone())) {
                stack.push(self.frame(store, &written, bucket, key, false));
            }
            while let Some(frame) = stack.last_mut() {
                self.budget.check()?;
                let Some(referrer) = frame.referrers.next() else {
                    let Frame { bucket, key, remove, .. } = match stack.pop() {
                        Some(frame) => frame,
                        None => break,
                    };
                    if let (true, Some(bucket)) = (remove, store.bucket(bucket)) {
                        self.check_delete(bucket, &key)?;
                        self.remove(bucket, &key, false);
                        self.note_reference(bucket, &key);
                    }
                    continue;
                };
                let (target, target_key) = (frame.bucket, frame.key.clone());
                let next = self.meet(store, &referrer, target, &target_key)?;
                if let Some((bucket, key)) = next
                    && visited.insert((bucket, key.clone()))
                {
                    stack.push(self.frame(store, &written, bucket, key, true));
                }
            }
        }
        Ok(())
    }

    /// One referrer of a record that is to go. `Some`: it has to go too.
    fn meet(
        &mut self,
        store: &Store,
        referrer: &Referrer,
        target: BucketId,
        target_key: &Key,
    ) -> Result<Option<(BucketId, Key)>, OpError> {
        let Some(source) = store.bucket(referrer.bucket) else { return Ok(None) };
        let Some(outgoing) = source.references.get(referrer.reference) else { return Ok(None) };
        // What was dealt with since the list was made refers no more.
        let Some(row) = self.row(source, &referrer.key) else { return Ok(None) };
        let field = outgoing.index.field();
        if indexable(row.field(field)) != Some(&*target_key.text()) {
            return Ok(None);
        }
        match outgoing.on_delete {
            OnDelete::Cascade => Ok(Some((referrer.bucket, referrer.key.clone()))),
            OnDelete::SetNull => {
                let null: Object = [(field.name(), Json::Null)].into_iter().collect();
                let shown = self.shows(source, row);
                let row = self.merge(source, row, &Data::from(&null));
                let key = (&referrer.key, None);
                match self.put_update(store, source, key, row, Vec::new(), None) {
                    // What is wrong with a hidden record would tell of it.
                    Err(_) if !shown && !self.budget.is_over() => {
                        Err(self.restricted(store, (source, outgoing, None), target, target_key))
                    }
                    done => {
                        done?;
                        self.note_reference(source, &referrer.key);
                        Ok(None)
                    }
                }
            }
            OnDelete::Restrict => {
                // A record that is hidden stops the delete and stays hidden.
                let shown = self.shows(source, row).then_some(&referrer.key);
                Err(self.restricted(store, (source, outgoing, shown), target, target_key))
            }
        }
    }

    /// What was done to a record just now was done by a reference.
    fn note_reference(&mut self, bucket: &Bucket, key: &Key) {
        let overlay = self.overlay_mut(bucket);
        if overlay.entry(key).is_some() {
            overlay.entry_mut(bucket, key, None).by_reference = true;
        }
    }

    /// The error for a record that stays because of one that refers to it. The
    /// keys of records that are hidden, also from a `cascade` on the way, are
    /// left out.
    fn restricted(
        &self,
        store: &Store,
        (source, outgoing, source_key): (&Bucket, &Outgoing, Option<&Key>),
        target: BucketId,
        target_key: &Key,
    ) -> OpError {
        let target = store.bucket(target);
        // What a transaction has taken out itself, it has seen.
        let is_shown = |target: &Bucket| {
            self.row(target, target_key).is_none_or(|row| self.shows(target, row))
        };
        let target_key = target.is_none_or(is_shown).then_some(target_key);
        let target = target.map_or("", Bucket::name);
        let field = outgoing.index.field().name();
        let named = |key: Option<&Key>| key.map(|key| format!(" (key \"{key}\")"));
        let message = format!(
            "Cannot delete from bucket \"{target}\"{}: referenced by bucket \"{}\"{} via field \"{field}\"",
            named(target_key).unwrap_or_default(),
            source.name,
            named(source_key).unwrap_or_default(),
        );
        let mut details: Object = [
            ("sourceBucket", Json::from(&*source.name)),
            ("sourceField", Json::from(field)),
            ("targetBucket", Json::from(target)),
        ]
        .into_iter()
        .collect();
        if let Some(key) = target_key {
            details.insert("targetKey", key.to_json());
        }
        OpError::new(ErrorCode::Conflict, message).with_details(Json::Object(details))
    }

    fn frame(
        &self,
        store: &Store,
        written: &Written,
        bucket: BucketId,
        key: Key,
        remove: bool,
    ) -> Frame {
        let mut referrers = match store.bucket(bucket) {
            Some(target) => self.referrers(store, written, target, &key),
            None => Vec::new(),
        };
        // Used up, the walk ends at its next step.
        let _ = self.budget.spend_sort(referrers.len());
        referrers.sort_by_key(|referrer| referrer.made);
        Frame { bucket, key, remove, referrers: referrers.into_iter() }
    }

    /// Who refers to a record as this draft sees it.
    fn referrers(
        &self,
        store: &Store,
        written: &Written,
        target: &Bucket,
        key: &Key,
    ) -> Vec<Referrer> {
        let value = key.text();
        let mut found = Vec::new();
        for &(source, reference) in store.incoming.get(&*target.name).into_iter().flatten() {
            let Some(bucket) = store.bucket(source) else { continue };
            let Some(outgoing) = bucket.references.get(reference) else { continue };
            let average = bucket.row_memory() / bucket.len().max(1);
            let unplaced = outgoing.index.field().slot().is_none();
            let searched = if unplaced { average / 8 } else { 0 };
            if self.budget.spend(1 + searched as u64).is_err() {
                return found;
            }
            let overlay = self.overlay(source);
            if !overlay.is_some_and(|overlay| overlay.cleared) {
                for slot in outgoing.index.slots(&bucket.table, &value) {
                    if self.budget.spend(1).is_err() {
                        return found;
                    }
                    let acquired = outgoing.index.acquired(&bucket.table, slot);
                    let Some(row) = bucket.table.row(slot).filter(|row| !bucket.is_over(row))
                    else {
                        continue;
                    };
                    let key = bucket.key_of(row);
                    // Inserted anew: the reference will be one of `written`.
                    let renewed = overlay
                        .and_then(|overlay| overlay.entry(&key))
                        .is_some_and(|entry| entry.inserted.is_some());
                    // An older reference was to a bucket that is gone.
                    if !renewed && acquired.max(outgoing.since) > target.defined_at {
                        let made = (acquired.max(outgoing.since), acquired);
                        found.push(Referrer { bucket: source, reference, key, made });
                    }
                }
            }
            let keys = written.get(&(source, reference, value.clone())).into_iter().flatten();
            for (at, key) in keys {
                if self.budget.spend(1).is_err() {
                    return found;
                }
                let made = (u64::MAX, *at);
                found.push(Referrer { bucket: source, reference, key: key.clone(), made });
            }
        }
        found
    }

    /// The references that a transaction has written, in the order in which
    /// its commit will make them.
    fn written(&self, store: &Store) -> Result<Written, OverBudget> {
        let mut written = Written::new();
        if self.mode == Mode::Single {
            return Ok(written);
        }
        let mut made = 0;
        for overlay in &self.touched {
            let Some(bucket) = store.bucket(overlay.bucket) else { continue };
            let mut entries: Vec<&Entry> = overlay.entries().iter().collect();
            self.budget.spend_sort(entries.len())?;
            entries.sort_by_key(|entry| (entry.inserted.is_none(), entry.at));
            for entry in entries {
                self.budget.spend(bucket.references.len() as u64)?;
                made += 1;
                let Some(row) = &entry.row else { continue };
                for (at, outgoing) in bucket.references.iter().enumerate() {
                    // What did not change is found in the store.
                    let stored = entry.base.as_ref().filter(|_| entry.inserted.is_none());
                    let before = stored.and_then(|base| outgoing.index.value_of(&base.row));
                    let value = outgoing.index.value_of(row);
                    if let Some(value) = value.filter(|_| before != value) {
                        let place = (bucket.id, at, value.into());
                        written.entry(place).or_default().push((made, entry.key.clone()));
                    }
                }
            }
        }
        Ok(written)
    }
}
