//! Records whose time has come: removed before a request can see them, in
//! batches where very many are due at once.

use super::{Engine, Timer};

impl Engine {
    /// Removes records whose time has come, as one commit per bucket, as many as
    /// a turn may take; the others are hidden, and removed in the next turns.
    pub(super) fn purge_expired(&mut self) {
        if self.options.ttl_check_interval_ms == 0 {
            return;
        }
        while let left = self.options.expiry_batch.saturating_sub(self.chores.expired_in_turn)
            && let Some(set) = self.store.prepare_expiry(self.now.wall, left)
        {
            self.chores.expired_in_turn = self.chores.expired_in_turn.saturating_add(set.changes());
            self.commit(set);
            self.publish();
        }
        if self.store.hide_expired(self.now.wall)
            && !std::mem::replace(&mut self.chores.expiring, true)
        {
            self.wheel.insert(self.now.mono, Timer::MoreExpiry);
        }
    }

    /// The next turn after one in which not all could be removed.
    pub(super) fn go_on_expiring(&mut self) {
        self.chores.expiring = false;
        self.chores.expired_in_turn = 0;
        self.purge_expired();
    }
}
