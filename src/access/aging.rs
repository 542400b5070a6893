//! A map whose entries are kept in the order of their last touch.
//!
//! Everything here that a peer can make grow (request budgets, failed logins,
//! revoked users) lives for a fixed time after its last touch. So the order of
//! touches is the order of expiry, and the front of one list tells what is due:
//! no timer per entry, no scan.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::hash::Hash;

const NONE: u32 = u32::MAX;

#[derive(Debug)]
struct Node<K, V> {
    /// `None` while the node is on the free list.
    entry: Option<(K, V)>,
    previous: u32,
    /// Next of the list of touches, or of the free list.
    next: u32,
}

/// All operations are O(1); the oldest touch is at the front.
#[derive(Debug)]
pub struct AgingMap<K, V> {
    slots: HashMap<K, u32>,
    nodes: Vec<Node<K, V>>,
    first: u32,
    last: u32,
    free: u32,
}

impl<K, V> Default for AgingMap<K, V> {
    fn default() -> Self {
        Self { slots: HashMap::new(), nodes: Vec::new(), first: NONE, last: NONE, free: NONE }
    }
}

impl<K: Hash + Eq + Clone, V> AgingMap<K, V> {
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    pub fn get(&self, key: &K) -> Option<&V> {
        let slot = *self.slots.get(key)?;
        self.node(slot).map(|(_, value)| value)
    }

    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let slot = *self.slots.get(key)?;
        self.nodes.get_mut(slot as usize)?.entry.as_mut().map(|(_, value)| value)
    }

    /// The entry that was touched longest ago.
    pub fn oldest(&self) -> Option<(&K, &V)> {
        self.node(self.first).map(|(key, value)| (key, value))
    }

    /// Sets the value and makes the entry the newest.
    pub fn insert(&mut self, key: K, value: V) {
        if let Some(old) = self.get_mut(&key) {
            *old = value;
            self.touch(&key);
            return;
        }
        let node = Node { entry: Some((key.clone(), value)), previous: self.last, next: NONE };
        let slot = match self.nodes.get_mut(self.free as usize) {
            Some(freed) => {
                let slot = self.free;
                self.free = freed.next;
                *freed = node;
                slot
            }
            None => {
                let slot = self.nodes.len() as u32;
                self.nodes.push(node);
                slot
            }
        };
        match self.nodes.get_mut(self.last as usize) {
            Some(last) => last.next = slot,
            None => self.first = slot,
        }
        self.last = slot;
        self.slots.insert(key, slot);
    }

    /// Makes an existing entry the newest.
    pub fn touch(&mut self, key: &K) {
        let Some(&slot) = self.slots.get(key) else { return };
        if slot == self.last {
            return;
        }
        self.unlink(slot);
        let last = std::mem::replace(&mut self.last, slot);
        match self.nodes.get_mut(last as usize) {
            Some(node) => node.next = slot,
            None => self.first = slot,
        }
        if let Some(node) = self.nodes.get_mut(slot as usize) {
            node.previous = last;
            node.next = NONE;
        }
    }

    pub fn remove(&mut self, key: &K) -> Option<V> {
        let Slot::Occupied(entry) = self.slots.entry(key.clone()) else { return None };
        let slot = entry.remove();
        self.release(slot).map(|(_, value)| value)
    }

    pub fn pop_oldest(&mut self) -> Option<(K, V)> {
        let (key, value) = self.release(self.first)?;
        self.slots.remove(&key);
        Some((key, value))
    }

    /// From the oldest to the newest.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        let mut at = self.first;
        std::iter::from_fn(move || {
            let node = self.nodes.get(at as usize)?;
            at = node.next;
            node.entry.as_ref().map(|(key, value)| (key, value))
        })
    }

    fn node(&self, slot: u32) -> Option<&(K, V)> {
        self.nodes.get(slot as usize)?.entry.as_ref()
    }

    fn release(&mut self, slot: u32) -> Option<(K, V)> {
        let entry = self.nodes.get_mut(slot as usize)?.entry.take()?;
        self.unlink(slot);
        if let Some(node) = self.nodes.get_mut(slot as usize) {
            node.next = self.free;
        }
        self.free = slot;
        // A burst must not hold its memory for ever.
        if self.nodes.len() > 1024 && self.first == NONE {
            let Self { slots, .. } = std::mem::take(self);
            debug_assert!(slots.len() <= 1, "the list and the table hold the same entries");
            self.slots = slots;
            self.slots.shrink_to_fit();
        }
        Some(entry)
    }

    fn unlink(&mut self, slot: u32) {
        let Some((previous, next)) =
            self.nodes.get(slot as usize).map(|node| (node.previous, node.next))
        else {
            return;
        };
        match self.nodes.get_mut(previous as usize) {
            Some(node) => node.next = next,
            None => self.first = next,
        }
        match self.nodes.get_mut(next as usize) {
            Some(node) => node.previous = previous,
            None => self.last = previous,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(map: &AgingMap<u32, char>) -> Vec<(u32, char)> {
        map.iter().map(|(key, value)| (*key, *value)).collect()
    }

    #[test]
    fn entries_are_in_the_order_of_their_last_touch() {
        let mut map = AgingMap::default();
        for (key, value) in [(1, 'a'), (2, 'b'), (3, 'c')] {
            map.insert(key, value);
        }
        map.touch(&1);
        map.touch(&1);
        map.insert(3, 'd');
        assert_eq!(order(&map), [(2, 'b'), (1, 'a'), (3, 'd')]);
        assert_eq!(map.oldest(), Some((&2, &'b')));
        assert_eq!(map.remove(&1), Some('a'));
        assert_eq!(map.remove(&1), None);
        assert_eq!(map.pop_oldest(), Some((2, 'b')));
        map.insert(9, 'e');
        assert_eq!(order(&map), [(3, 'd'), (9, 'e')]);
        assert_eq!(map.len(), 2);
    }

    #[test]
    fn slots_are_used_again_and_a_burst_is_given_back() {
        let mut map = AgingMap::default();
        for round in 0..3u32 {
            for key in 0..5000 {
                map.insert(key, round);
            }
            while map.pop_oldest().is_some() {}
            assert!(map.is_empty());
            assert!(map.nodes.capacity() < 5000 && map.slots.capacity() < 5000);
        }
        for key in 0..10 {
            map.insert(key, 0);
            map.remove(&key);
        }
        assert_eq!(map.nodes.len(), 1);
    }
}
