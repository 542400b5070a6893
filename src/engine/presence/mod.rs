//! Presence: records that end with whoever inserted them (buckets with a
//! `lifetime`).
//!
//! Owns who is an owner (the client session of a connection, without one the
//! connection) and when owners end. Which record has which owner is the store's
//! (`store/owners.rs`), what may be written is a draft's.
//!
//! Owners that are due at the same step leave in one commit: a network that fails
//! does not cost owners × subscribers pushes. Nothing else may make a commit here
//! but a request that ends an owner itself.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use crate::app::ConnId;
use crate::store::{BucketId, Owner};
use crate::wheel::TimerId;

use super::client_sessions::SessionNo;
use super::{Conn, Engine, Timer};

/// Owners leave at multiples of this.
const STEP_MS: u64 = 100;

/// How long the records of an owner outlive its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Stay {
    /// `graceMs` of their bucket.
    Grace,
    Not,
}

/// Who is about to leave which bucket.
#[derive(Debug, Default)]
pub(crate) struct Presence {
    due: BTreeSet<(u64, Owner, BucketId)>,
    steps: BTreeMap<(Owner, BucketId), u64>,
    /// The first step, and its timer.
    look: Option<(u64, TimerId)>,
}

impl Presence {
    /// An owner leaves a bucket at this step, if it does not sooner.
    fn leave(&mut self, owner: Owner, bucket: BucketId, step: u64) {
        let known = self.steps.get(&(owner, bucket)).copied();
        if known.is_some_and(|known| known <= step) {
            return;
        }
        if let Some(known) = known {
            self.due.remove(&(known, owner, bucket));
        }
        self.steps.insert((owner, bucket), step);
        self.due.insert((step, owner, bucket));
    }

    /// An owner is back, or gone.
    fn forget(&mut self, owner: Owner) {
        let of_owner = (owner, BucketId(0))..=(owner, BucketId(u32::MAX));
        let known: Vec<_> = self.steps.range(of_owner).map(|(key, step)| (*key, *step)).collect();
        for ((owner, bucket), step) in known {
            self.steps.remove(&(owner, bucket));
            self.due.remove(&(step, owner, bucket));
        }
    }

    /// Takes out who is due at this time.
    fn take_due(&mut self, now: u64) -> Vec<(Owner, BucketId)> {
        let mut taken = Vec::new();
        while let Some((step, owner, bucket)) = self.due.first().copied().filter(|it| it.0 <= now) {
            self.due.remove(&(step, owner, bucket));
            self.steps.remove(&(owner, bucket));
            taken.push((owner, bucket));
        }
        taken
    }
}

/// The step at which what ends at this time leaves: the first one behind it.
fn step_after(at: u64) -> u64 {
    (at / STEP_MS).saturating_add(1).saturating_mul(STEP_MS)
}

impl Engine {
    /// Who owns what a connection inserts.
    fn owner_of(&self, conn: ConnId) -> Option<Owner> {
        self.conns.get(conn).map(Conn::owner)
    }

    /// A connection has opened a session: what it owns goes over.
    pub(in crate::engine) fn owner_opens_session(&mut self, conn: ConnId, no: SessionNo) {
        self.presence.forget(no.owner());
        if let Some(conn) = self.conns.get(conn) {
            let before = Owner::connection(conn.number);
            self.presence.forget(before);
            self.store.hand_over(before, no.owner());
        }
    }

    /// The user of a session has logged in again in time.
    pub(in crate::engine) fn owner_stays(&mut self, no: SessionNo) {
        self.presence.forget(no.owner());
    }

    /// An owner has lost its connection or its login, or has ended.
    pub(in crate::engine) fn owner_leaves(&mut self, owner: Owner, stay: Stay) {
        let now = self.now.mono;
        for bucket in self.store.buckets_of(owner) {
            let grace = match (stay, bucket.definition().lifetime) {
                (Stay::Grace, Some(lifetime)) => lifetime.grace_ms,
                _ => 0,
            };
            self.presence.leave(owner, bucket.id(), step_after(now.saturating_add(grace)));
        }
        self.arm_presence();
    }

    /// The login of a connection is over; its user may log in again.
    pub(in crate::engine) fn owner_lost_login(&mut self, conn: ConnId) {
        let Some(owner) = self.owner_of(conn) else { return };
        let has_session = self.client_session(conn).is_some();
        self.owner_leaves(owner, if has_session { Stay::Grace } else { Stay::Not });
    }

    /// A request ends what its connection is as an owner: now, in its own commit.
    pub(in crate::engine) fn end_owner_of(&mut self, conn: ConnId) {
        let Some(owner) = self.owner_of(conn) else { return };
        self.presence.forget(owner);
        let buckets = self.store.buckets_of(owner).into_iter();
        let leaving: Vec<_> = buckets.map(|bucket| (owner, bucket.id())).collect();
        let set = self.store.prepare_leave(leaving);
        self.commit(set);
    }

    /// Everybody who is due leaves, in one commit.
    pub(in crate::engine) fn presence_due(&mut self) {
        self.presence.look = None;
        let leaving = self.presence.take_due(self.now.mono);
        let set = self.store.prepare_leave(leaving);
        self.commit(set);
        self.arm_presence();
    }

    fn arm_presence(&mut self) {
        let Some(first) = self.presence.due.first().map(|(step, ..)| *step) else { return };
        if let Some((armed, timer)) = self.presence.look {
            if armed <= first {
                return;
            }
            self.wheel.cancel(timer);
        }
        self.presence.look = Some((first, self.wheel.insert(first, Timer::Presence)));
    }

    /// Holds what must be true between two calls.
    pub(in crate::engine) fn check_presence(&self) {
        let presence = &self.presence;
        assert_eq!(presence.due.len(), presence.steps.len(), "who leaves when");
        assert!(presence.due.is_empty() || presence.look.is_some(), "who leaves has a timer");
    }
}
