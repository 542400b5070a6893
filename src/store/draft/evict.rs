//! Keeping a bucket within its maximal size.

use super::Draft;
use super::overlay::Overlay;
use crate::store::millis::Millis;
use crate::store::{Bucket, Key};

impl Draft {
    /// Removes the oldest records until `coming` more fit. References to them
    /// are not looked at.
    pub(super) fn make_room(&mut self, bucket: &Bucket, coming: usize) {
        let Some(limit) = bucket.definition.max_size else { return };
        let entries = self.overlay(bucket.id).map_or(0, |overlay| overlay.entries().len());
        // Used up, the draft has an error in the end.
        let _ = self.budget.spend(entries as u64).and(self.budget.spend_sort(entries));
        let len = self.overlay(bucket.id).map_or(bucket.len(), |overlay| overlay.len(bucket, 0));
        let surplus = (len + coming).saturating_sub(limit);
        for key in self.oldest(bucket, surplus) {
            if self.budget.spend_changes(1).is_err() {
                return;
            }
            self.remove(bucket, &key, false);
            self.overlay_mut(bucket).entry_mut(bucket, &key, None).evicted = true;
        }
    }

    /// The keys of the oldest records as this draft sees them; of equally old
    /// ones the first in table order.
    fn oldest(&self, bucket: &Bucket, count: usize) -> Vec<Key> {
        if count == 0 {
            return Vec::new();
        }
        let overlay = self.overlay(bucket.id);
        let inserted = overlay.map(|overlay| ages(bucket, overlay)).unwrap_or_default();
        let gone = |key: &Key| {
            overlay.is_some_and(|overlay| {
                overlay
                    .entry(key)
                    .is_some_and(|entry| entry.row.is_none() || entry.inserted.is_some())
            })
        };
        let cleared = overlay.is_some_and(|overlay| overlay.cleared);
        let stored =
            bucket.ages.iter().flatten().filter(|_| !cleared).filter_map(|(at, order, slot)| {
                let key = bucket.key_of(bucket.table.row(*slot)?);
                (!gone(&key)).then_some((*at, *order, key))
            });
        let mut stored = stored.peekable();
        let mut inserted = inserted.into_iter().peekable();
        let mut keys = Vec::with_capacity(count);
        while keys.len() < count {
            let first = match (stored.peek(), inserted.peek()) {
                (Some(a), Some(b)) if (a.0, a.1) <= (b.0, b.1) => stored.next(),
                (Some(_), None) => stored.next(),
                _ => inserted.next(),
            };
            match first {
                Some((_, _, key)) => keys.push(key),
                None => break,
            }
        }
        keys
    }
}

/// The ages of what was inserted; its places come after all others, except
/// where it took the place of another record.
fn ages(bucket: &Bucket, overlay: &Overlay) -> Vec<(Millis, u64, Key)> {
    let entries = overlay.entries().iter();
    let mut ages: Vec<_> = entries
        .filter_map(|entry| {
            let (row, at) = (entry.row.as_ref()?, entry.inserted?);
            let place = match &entry.base {
                Some(base) if entry.over => base.order,
                _ => u64::MAX - u64::from(u32::MAX - at),
            };
            Some((bucket.created_at(row), place, entry.key.clone()))
        })
        .collect();
    ages.sort_by_key(|(at, place, _)| (*at, *place));
    ages
}
