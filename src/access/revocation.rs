//! Users who may not log in for a while (access.md section 10).

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// A blacklist of user ids with an expiry each. Times are Unix milliseconds:
/// the list is stored and outlives the process.
#[derive(Debug, Default)]
pub struct Revocations {
    ttl_ms: u64,
    expiries: HashMap<Arc<str>, u64>,
    by_expiry: BTreeSet<(u64, Arc<str>)>,
}

impl Revocations {
    pub fn new(ttl_ms: u64) -> Self {
        Self { ttl_ms, ..Self::default() }
    }

    /// Puts a user on the list, or restarts the user's time. Returns the expiry.
    pub fn revoke(&mut self, user_id: &str, now_wall: u64) -> u64 {
        let expiry = now_wall.saturating_add(self.ttl_ms);
        self.restore(user_id, expiry);
        expiry
    }

    /// Puts back an entry that was stored.
    pub fn restore(&mut self, user_id: &str, expiry: u64) {
        self.unrevoke(user_id);
        let user_id: Arc<str> = user_id.into();
        self.by_expiry.insert((expiry, Arc::clone(&user_id)));
        self.expiries.insert(user_id, expiry);
    }

    /// Takes a user off the list. False if it was not on it.
    pub fn unrevoke(&mut self, user_id: &str) -> bool {
        let Some((user_id, expiry)) = self.expiries.remove_entry(user_id) else { return false };
        self.by_expiry.remove(&(expiry, user_id));
        true
    }

    /// Whether the user may not log in now.
    pub fn is_revoked(&self, user_id: &str, now_wall: u64) -> bool {
        self.expiries.get(user_id).is_some_and(|expiry| *expiry > now_wall)
    }

    /// When the next entry can be forgotten.
    pub fn next_expiry(&self) -> Option<u64> {
        self.by_expiry.first().map(|(expiry, _)| *expiry)
    }

    /// Forgets one entry that is over and names its user.
    pub fn pop_expired(&mut self, now_wall: u64) -> Option<Arc<str>> {
        self.next_expiry().filter(|expiry| *expiry <= now_wall)?;
        let (_, user_id) = self.by_expiry.pop_first()?;
        self.expiries.remove(&user_id);
        Some(user_id)
    }

    /// All entries, the next to expire first.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.by_expiry.iter().map(|(expiry, user_id)| (&**user_id, *expiry))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_active_while_its_expiry_lies_ahead() {
        let mut list = Revocations::new(100);
        assert_eq!(list.revoke("ann", 1000), 1100);
        assert!(list.is_revoked("ann", 1099));
        assert!(!list.is_revoked("ann", 1100));
        assert!(!list.is_revoked("bob", 1000));
        // Again: the time starts anew.
        list.revoke("ann", 1050);
        assert!(list.is_revoked("ann", 1149));
        assert_eq!(list.next_expiry(), Some(1150));
        assert_eq!(list.iter().count(), 1);
        assert!(list.unrevoke("ann"));
        assert!(!list.unrevoke("ann"));
        assert!(!list.is_revoked("ann", 1050));
        assert_eq!(list.next_expiry(), None);
    }

    #[test]
    fn what_is_over_is_forgotten_in_order() {
        let mut list = Revocations::new(100);
        list.restore("old", 500);
        list.restore("older", 400);
        list.revoke("new", 450);
        assert_eq!(list.pop_expired(399), None);
        assert_eq!(list.pop_expired(520).as_deref(), Some("older"));
        assert_eq!(list.pop_expired(520).as_deref(), Some("old"));
        assert_eq!(list.pop_expired(520), None);
        let rest: Vec<_> = list.iter().collect();
        assert_eq!(rest, [("new", 550)]);
    }

    #[test]
    fn a_lifetime_of_nothing_revokes_nobody_later() {
        let mut list = Revocations::new(0);
        list.revoke("ann", 7);
        assert!(!list.is_revoked("ann", 7));
    }
}
