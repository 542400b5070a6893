//! Records with an owner: who may write which, beside permissions and row rules
//! and behind them.

use super::Draft;
use crate::protocol::{ErrorCode, OpError};
use crate::store::{Bucket, Key, Owner, Store, Writer};

impl Draft {
    /// For whom it writes to buckets with a `lifetime`.
    pub fn set_writer(&mut self, writer: Option<Writer>) {
        self.writer = writer;
    }

    /// Who will own a record that is inserted; `None`: records of this bucket
    /// have no owners.
    pub(super) fn new_owner(&self, bucket: &Bucket) -> Result<Option<Owner>, OpError> {
        if bucket.definition.lifetime.is_none() {
            return Ok(None);
        }
        match self.writer {
            Some(writer) if writer.inserts => Ok(Some(writer.owner)),
            _ => Err(OpError::validation(format!(
                "Bucket \"{}\" takes records from connections only",
                bucket.name
            ))),
        }
    }

    /// Whose records alone may be written; `None`: everybody's.
    pub(super) fn limited_to(&self, bucket: &Bucket) -> Option<Owner> {
        let writer = self.writer.filter(|writer| !writer.any);
        writer.filter(|_| bucket.definition.lifetime.is_some()).map(|writer| writer.owner)
    }

    /// Whether a record that is there may be written.
    pub(super) fn owns(&self, store: &Store, bucket: &Bucket, key: &Key) -> bool {
        let Some(owner) = self.limited_to(bucket) else { return true };
        let entry = self.overlay(bucket.id).and_then(|overlay| overlay.entry(key));
        if entry.is_some_and(|entry| entry.inserted.is_some()) {
            // It came from this draft.
            return true;
        }
        let slot = bucket.find(key);
        slot.and_then(|slot| store.owners.of(bucket.id, slot)) == Some(owner)
    }

    /// Refuses to write a record of another owner.
    pub(super) fn require_own(
        &self,
        store: &Store,
        bucket: &Bucket,
        key: &Key,
    ) -> Result<(), OpError> {
        if self.owns(store, bucket, key) {
            return Ok(());
        }
        let text = format!(
            "Record with key \"{key}\" in bucket \"{}\" belongs to another connection",
            bucket.name
        );
        Err(OpError::new(ErrorCode::Forbidden, text))
    }

    /// Refuses to clear a bucket with records of other owners. What the draft has
    /// done before was to its own.
    pub(super) fn require_all_own(&self, store: &Store, bucket: &Bucket) -> Result<(), OpError> {
        let Some(owner) = self.limited_to(bucket) else { return Ok(()) };
        let is_cleared = self.overlay(bucket.id).is_some_and(|overlay| overlay.cleared);
        if is_cleared || store.owned_in(owner, bucket.id) == bucket.len() {
            return Ok(());
        }
        let text = format!("Bucket \"{}\" holds records of other connections", bucket.name);
        Err(OpError::new(ErrorCode::Forbidden, text))
    }

    /// Refuses what would leave the writer with more records than one may own.
    pub(super) fn check_owned(&self, store: &Store) -> Result<(), OpError> {
        let Some(Writer { owner, most, .. }) = self.writer else { return Ok(()) };
        let (mut more, mut less) = (0usize, 0usize);
        for overlay in &self.touched {
            let bucket = store.bucket(overlay.bucket);
            let owned = bucket.filter(|bucket| bucket.definition.lifetime.is_some());
            let Some(bucket) = owned else { continue };
            if overlay.cleared {
                less += store.owned_in(owner, bucket.id);
            }
            for entry in overlay.entries() {
                self.budget.spend(1)?;
                let base = entry.base.as_ref();
                let was = base.and_then(|base| store.owners.of(bucket.id, base.slot));
                let was = was == Some(owner);
                let is = entry.row.is_some() && (was || entry.inserted.is_some());
                more += usize::from(is && !was);
                less += usize::from(was && !is);
            }
        }
        let after = || store.owned(owner).saturating_add(more).saturating_sub(less);
        if more > less && after() > most {
            let text = format!("Record limit reached (max {most} per connection)");
            return Err(OpError::new(ErrorCode::RateLimited, text));
        }
        Ok(())
    }
}
