//! The records of one bucket: found by key in O(1), walked in table order.
//!
//! A slab of slots with an intrusive doubly linked list in table order, and a
//! hash table of slot numbers that finds the key in the row itself, so that no
//! key is kept twice. Both grow in pieces. Knows nothing of schemas or indexes.

use std::hash::BuildHasher as _;

use hashbrown::DefaultHashBuilder;

use super::growing::{Chunks, Hashed, fold};
use super::{FieldRef, Row};

/// The number of a slot; stable while the record lives.
pub(super) type Slot = u32;

/// No slot.
pub(super) const NIL: Slot = Slot::MAX;

#[derive(Clone, Debug)]
struct Entry {
    /// `None`: free, and `next` is the next free one.
    row: Option<Row>,
    order: u64,
    prev: Slot,
    next: Slot,
}

#[derive(Clone, Debug)]
pub(super) struct Table {
    key: FieldRef,
    slots: Chunks<Entry>,
    free: Slot,
    head: Slot,
    tail: Slot,
    /// Of all rows.
    row_bytes: usize,
    keys: Hashed<Slot>,
    hasher: DefaultHashBuilder,
}

impl Table {
    pub fn new(key: FieldRef) -> Self {
        Table {
            key,
            slots: Chunks::default(),
            free: NIL,
            head: NIL,
            tail: NIL,
            row_bytes: 0,
            keys: Hashed::default(),
            hasher: DefaultHashBuilder::default(),
        }
    }

    pub fn key_field(&self) -> &FieldRef {
        &self.key
    }

    pub fn len(&self) -> usize {
        self.keys.len()
    }

    fn entry(&self, slot: Slot) -> Option<&Entry> {
        self.slots.get(slot as usize)
    }

    pub fn row(&self, slot: Slot) -> Option<&Row> {
        self.entry(slot)?.row.as_ref()
    }

    /// The record's place in table order: ascending, never reused.
    pub fn order(&self, slot: Slot) -> u64 {
        self.entry(slot).map_or(0, |entry| entry.order)
    }

    pub fn first(&self) -> Slot {
        self.head
    }

    pub fn last(&self) -> Slot {
        self.tail
    }

    pub fn next(&self, slot: Slot) -> Slot {
        self.entry(slot).map_or(NIL, |entry| entry.next)
    }

    pub fn prev(&self, slot: Slot) -> Slot {
        self.entry(slot).map_or(NIL, |entry| entry.prev)
    }

    /// The slot behind so many of the first ones, by links from the nearer end.
    pub fn behind(&self, count: usize) -> Slot {
        let rest = self.len().saturating_sub(count);
        if rest == 0 {
            return NIL;
        }
        match count <= rest {
            true => (0..count).fold(self.head, |slot, _| self.next(slot)),
            false => (1..rest).fold(self.tail, |slot, _| self.prev(slot)),
        }
    }

    /// The text of a row's key in storage form.
    pub fn key_text<'r>(&self, row: &'r Row) -> &'r str {
        row.field(&self.key).map_or("null", |key| key.text())
    }

    fn slot_key(&self, slot: Slot) -> &str {
        self.row(slot).map_or("null", |row| self.key_text(row))
    }

    fn hash(&self, key: &str) -> u32 {
        fold(self.hasher.hash_one(key))
    }

    /// The slot of a key, given its text in storage form.
    pub fn find(&self, key: &str) -> Option<Slot> {
        let hash = self.hash(key);
        let is_key = |&slot: &Slot| self.row(slot).is_some_and(|row| row.field_is(&self.key, key));
        self.keys.find(hash, is_key).copied()
    }

    /// Puts a row with a new key at the end of the table order.
    pub fn push(&mut self, row: Row, order: u64) -> Slot {
        let hash = self.hash(self.key_text(&row));
        self.row_bytes += row.memory();
        let entry = Entry { row: Some(row), order, prev: self.tail, next: NIL };
        let slot = match self.slots.get_mut(self.free as usize) {
            Some(reused) => {
                let slot = self.free;
                self.free = reused.next;
                *reused = entry;
                slot
            }
            None => {
                self.slots.push(entry);
                (self.slots.len() - 1) as Slot
            }
        };
        self.link(self.tail, slot);
        self.tail = slot;
        self.keys.insert(hash, slot);
        slot
    }

    /// Makes `next` the successor of `prev`, or the head.
    fn link(&mut self, prev: Slot, next: Slot) {
        match self.slots.get_mut(prev as usize) {
            Some(entry) => entry.next = next,
            None => self.head = next,
        }
    }

    /// Replaces a row by one with the same key.
    pub fn replace(&mut self, slot: Slot, row: Row) {
        if let Some(entry) = self.slots.get_mut(slot as usize) {
            self.row_bytes += row.memory();
            let old = entry.row.replace(row);
            self.row_bytes -= old.map_or(0, |old| old.memory()).min(self.row_bytes);
        }
    }

    /// Removes a record and frees its slot.
    pub fn remove(&mut self, slot: Slot) {
        let hash = self.hash(self.slot_key(slot));
        self.keys.remove(hash, |&other| other == slot);
        let (prev, next) = (self.prev(slot), self.next(slot));
        self.link(prev, next);
        match self.slots.get_mut(next as usize) {
            Some(entry) => entry.prev = prev,
            None => self.tail = prev,
        }
        if let Some(entry) = self.slots.get_mut(slot as usize) {
            let old = entry.row.take();
            self.row_bytes -= old.map_or(0, |old| old.memory()).min(self.row_bytes);
            entry.next = self.free;
            entry.prev = NIL;
            self.free = slot;
        }
    }

    /// Slots in table order.
    pub fn iter(&self) -> impl Iterator<Item = Slot> {
        std::iter::successors(Some(self.head), |&slot| Some(self.next(slot)))
            .take_while(|&slot| slot != NIL)
    }

    /// Gives the key's field another layout; rows stay as they are.
    pub fn set_key_field(&mut self, key: FieldRef) {
        self.key = key;
    }

    /// Bytes of memory: the rows, and everything around them.
    pub fn memory(&self) -> usize {
        // Two counters in front of every row's text.
        self.row_bytes + self.len() * 16 + self.slots.memory() + self.keys.memory()
    }

    /// Gives back a piece of a table that is not used any more; how many records
    /// it was about, `None` when there is nothing left.
    pub fn release(&mut self) -> Option<usize> {
        self.slots.release().or_else(|| self.keys.release())
    }

    /// Panics if the list, the table of keys and the free list disagree.
    pub fn check(&self) {
        let mut seen = 0;
        let mut prev = NIL;
        let mut order = None;
        for slot in self.iter() {
            assert!(self.row(slot).is_some(), "a free slot is in the list");
            assert_eq!(self.prev(slot), prev, "the list's back links");
            assert!(order < Some(self.order(slot)), "table order ascends");
            assert_eq!(self.find(self.slot_key(slot)), Some(slot), "a key leads to its record");
            order = Some(self.order(slot));
            prev = slot;
            seen += 1;
        }
        assert_eq!(prev, self.tail, "the last of the list");
        let bytes: usize = self.iter().filter_map(|slot| self.row(slot)).map(Row::memory).sum();
        assert_eq!(bytes, self.row_bytes, "bytes of the rows");
        assert_eq!(seen, self.len(), "as many keys as records");
        let mut free = self.free;
        while free != NIL {
            assert!(self.row(free).is_none(), "a free slot holds a record");
            free = self.next(free);
            seen += 1;
        }
        assert_eq!(seen, self.slots.len(), "every slot is used or free");
        self.keys.check();
    }
}
