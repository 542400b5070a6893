//! The records that have a value: an equality index.
//!
//! For every scalar value the records that have it, in the order in which they
//! acquired it. A posting is the head and the tail of a doubly linked list
//! through the table's slots; the value itself is found in the head's row, so
//! an index costs eight bytes a record and a few more a value. `null`, absent,
//! objects and arrays are not indexed: they equal nothing.

use std::cell::OnceCell;
use std::collections::HashSet;
use std::hash::BuildHasher as _;

use hashbrown::DefaultHashBuilder;

use super::growing::{Chunks, Hashed, fold};
use super::ranges::{Bounds, Ranges};
use super::table::{NIL, Slot, Table};
use super::{FieldRef, Row};
use crate::budget::{Budget, UNITS_PER_STEP};
use crate::json::{Kind, Raw};

#[derive(Clone, Debug)]
pub struct Index {
    field: FieldRef,
    unique: bool,
    values: Hashed<Posting>,
    links: Chunks<Link>,
    /// When a record acquired its value, where that was not its insert.
    moved: Hashed<(Slot, u64)>,
    /// For comparisons; there from the first one on.
    ranges: OnceCell<Ranges>,
    hasher: DefaultHashBuilder,
}

#[derive(Clone, Debug)]
struct Posting {
    head: Slot,
    tail: Slot,
    len: u32,
}

#[derive(Clone, Debug)]
struct Link {
    prev: Slot,
    next: Slot,
}

/// Where a row stands in an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filed<'r> {
    /// `null` or absent.
    Nowhere,
    /// An object or an array: equals nothing, but compares.
    Structured,
    Under(&'r str),
}

/// The text under which a value is indexed.
pub(super) fn indexable(value: Option<Raw<'_>>) -> Option<&str> {
    value
        .filter(|value| matches!(value.kind(), Kind::String | Kind::Number | Kind::Bool))
        .map(Raw::text)
}

impl Index {
    pub(super) fn new(field: FieldRef, unique: bool) -> Self {
        Index {
            field,
            unique,
            values: Hashed::default(),
            links: Chunks::default(),
            moved: Hashed::default(),
            ranges: OnceCell::new(),
            hasher: DefaultHashBuilder::default(),
        }
    }

    pub fn field(&self) -> &FieldRef {
        &self.field
    }

    pub fn is_unique(&self) -> bool {
        self.unique
    }

    /// How many different values are indexed.
    pub fn values(&self) -> usize {
        self.values.len()
    }

    /// The text under which a row is in this index.
    pub(super) fn value_of<'r>(&self, row: &'r Row) -> Option<&'r str> {
        indexable(row.field(&self.field))
    }

    /// How a row is filed here. Rows that are filed alike need not move.
    pub(super) fn filed<'r>(&self, row: &'r Row) -> Filed<'r> {
        match row.field(&self.field) {
            None => Filed::Nowhere,
            Some(value) => match value.kind() {
                Kind::Null => Filed::Nowhere,
                Kind::Array | Kind::Object => Filed::Structured,
                Kind::String | Kind::Number | Kind::Bool => Filed::Under(value.text()),
            },
        }
    }

    /// The records whose values can be within the bounds, in no order; `None`
    /// if there are more than `limit`, or if they are too dear to be found.
    pub(super) fn within(
        &self,
        table: &Table,
        bounds: &Bounds,
        limit: usize,
        budget: &Budget,
    ) -> Option<Vec<Slot>> {
        if self.ranges.get().is_none() {
            // Who compares first pays for the order, if that is within means.
            let records = table.len() as u64;
            let depth = u64::from(records.max(1).ilog2()) + 1;
            let steps = records.saturating_add(records.saturating_mul(depth) / 4);
            if steps.saturating_mul(UNITS_PER_STEP) > budget.left_units() / 2 {
                return None;
            }
            budget.spend(steps).ok()?;
        }
        let ranges = self.ranges.get_or_init(|| {
            let value = |slot: Slot| Some((slot, table.row(slot)?.field(&self.field)?));
            Ranges::build(table.iter().filter_map(value))
        });
        ranges.candidates(bounds, limit)
    }

    fn value_at<'t>(&self, table: &'t Table, slot: Slot) -> &'t str {
        table.row(slot).and_then(|row| self.value_of(row)).unwrap_or_default()
    }

    fn posting(&self, table: &Table, value: &str) -> Option<&Posting> {
        let hash = fold(self.hasher.hash_one(value));
        self.values.find(hash, |posting| self.value_at(table, posting.head) == value)
    }

    /// The number of records with a value.
    pub(super) fn count(&self, table: &Table, value: &str) -> usize {
        self.posting(table, value).map_or(0, |posting| posting.len as usize)
    }

    /// The records with a value, in the order in which they acquired it.
    pub(super) fn slots(&self, table: &Table, value: &str) -> impl Iterator<Item = Slot> {
        let head = self.posting(table, value).map_or(NIL, |posting| posting.head);
        std::iter::successors(Some(head), |&slot| Some(self.next(slot)))
            .take_while(|&slot| slot != NIL)
    }

    /// The record that acquired the same value next.
    pub(super) fn next(&self, slot: Slot) -> Slot {
        self.links.get(slot as usize).map_or(NIL, |link| link.next)
    }

    /// When the record acquired its value. Ascends along [`Index::slots`].
    pub(super) fn acquired(&self, table: &Table, slot: Slot) -> u64 {
        self.moved(slot).unwrap_or_else(|| table.order(slot))
    }

    /// The acquisition, if it was not the record's insert.
    pub(super) fn moved(&self, slot: Slot) -> Option<u64> {
        let hash = self.hash_of_slot(slot);
        self.moved.find(hash, |(of, _)| *of == slot).map(|(_, sequence)| *sequence)
    }

    /// Whether a record acquired its value otherwise than by its insert.
    pub(super) fn has_moved(&self) -> bool {
        self.moved.len() > 0
    }

    fn hash_of_slot(&self, slot: Slot) -> u32 {
        fold(self.hasher.hash_one(slot))
    }

    /// Takes in a record that stands in the table already. `sequence` is above
    /// every earlier one.
    pub(super) fn add(&mut self, table: &Table, slot: Slot, sequence: u64) {
        if let Some(ranges) = self.ranges.get_mut()
            && let Some(value) = table.row(slot).and_then(|row| row.field(&self.field))
        {
            ranges.add(slot, value);
        }
        let Some(value) = table.row(slot).and_then(|row| self.value_of(row)) else { return };
        if sequence != table.order(slot) {
            self.moved.insert(self.hash_of_slot(slot), (slot, sequence));
        }
        let hash = fold(self.hasher.hash_one(value));
        let Index { field, values, links, .. } = self;
        let text = |slot: Slot| {
            table.row(slot).and_then(|row| indexable(row.field(field))).unwrap_or_default()
        };
        while links.len() <= slot as usize {
            links.push(Link { prev: NIL, next: NIL });
        }
        let mut prev = NIL;
        match values.find_mut(hash, |posting| text(posting.head) == value) {
            Some(posting) => {
                prev = posting.tail;
                posting.tail = slot;
                posting.len += 1;
            }
            None => {
                let posting = Posting { head: slot, tail: slot, len: 1 };
                values.insert(hash, posting);
            }
        }
        if let Some(before) = links.get_mut(prev as usize) {
            before.next = slot;
        }
        if let Some(link) = links.get_mut(slot as usize) {
            *link = Link { prev, next: NIL };
        }
    }

    /// Drops a record that still stands in the table with its old row.
    pub(super) fn remove(&mut self, table: &Table, slot: Slot) {
        if let Some(ranges) = self.ranges.get_mut()
            && let Some(value) = table.row(slot).and_then(|row| row.field(&self.field))
        {
            ranges.remove(slot, value);
        }
        let Some(value) = table.row(slot).and_then(|row| self.value_of(row)) else { return };
        self.moved.remove(self.hash_of_slot(slot), |(of, _)| *of == slot);
        let hash = fold(self.hasher.hash_one(value));
        let Index { field, values, links, .. } = self;
        let text = |slot: Slot| {
            table.row(slot).and_then(|row| indexable(row.field(field))).unwrap_or_default()
        };
        let Some(Link { prev, next }) = links.get(slot as usize).cloned() else { return };
        let is_it = |posting: &Posting| text(posting.head) == value;
        let Some(posting) = values.find_mut(hash, is_it) else { return };
        if posting.len <= 1 {
            values.remove(hash, is_it);
            return;
        }
        posting.len = posting.len.saturating_sub(1);
        match links.get_mut(prev as usize) {
            Some(link) => link.next = next,
            None => posting.head = next,
        }
        match links.get_mut(next as usize) {
            Some(link) => link.prev = prev,
            None => posting.tail = prev,
        }
    }

    /// An empty index like this one.
    pub(super) fn emptied(&self) -> Index {
        Index::new(self.field.clone(), self.unique)
    }

    /// Gives back a piece of an index that is not used any more; how many
    /// records it was about, `None` when there is nothing left.
    pub(super) fn release(&mut self) -> Option<usize> {
        let ranges = |ranges: &mut OnceCell<Ranges>| ranges.get_mut()?.release();
        self.links
            .release()
            .or_else(|| self.values.release())
            .or_else(|| self.moved.release())
            .or_else(|| ranges(&mut self.ranges))
    }

    /// Bytes of memory.
    pub(super) fn memory(&self) -> usize {
        self.values.memory()
            + self.links.memory()
            + self.moved.memory()
            + self.ranges.get().map_or(0, Ranges::memory)
    }

    /// Panics if the index is not exactly that of the table.
    /// `over`: a record whose time is over, though it is still here.
    pub(super) fn check(&self, table: &Table, over: impl Fn(Slot) -> bool) {
        let mut indexed = 0;
        for slot in table.iter() {
            let Some(value) = table.row(slot).and_then(|row| self.value_of(row)) else {
                assert_eq!(self.moved(slot), None, "an acquisition without a value");
                continue;
            };
            indexed += 1;
            // Each posting once, with its first record; that none is missing from
            // its posting follows from the sum of the lengths.
            if self.slots(table, value).next() != Some(slot) {
                continue;
            }
            let slots: Vec<Slot> = self.slots(table, value).collect();
            let once: HashSet<Slot> = slots.iter().copied().collect();
            assert_eq!(once.len(), slots.len(), "{}: a record twice", self.field.name());
            for &other in &slots {
                let found = table.row(other).and_then(|row| self.value_of(row));
                assert!(
                    found == Some(value),
                    "{}: a record is not under its value",
                    self.field.name()
                );
            }
            assert_eq!(slots.len(), self.count(table, value), "the count of a posting");
            let sequences: Vec<u64> =
                slots.iter().map(|&slot| self.acquired(table, slot)).collect();
            assert!(sequences.is_sorted(), "{}: candidates are in order", self.field.name());
            // While very many expire, a value can be given away before its record
            // is deleted.
            assert!(
                !self.unique || slots.iter().filter(|slot| !over(**slot)).count() <= 1,
                "{}: a unique value twice",
                self.field.name()
            );
        }
        if let Some(ranges) = self.ranges.get() {
            let value = |slot: Slot| Some((slot, table.row(slot)?.field(&self.field)?));
            let expected = Ranges::build(table.iter().filter_map(value));
            assert_eq!(*ranges, expected, "{}: what compares", self.field.name());
        }
        let counted: usize = self.values.iter().map(|posting| posting.len as usize).sum();
        assert_eq!(indexed, counted, "{}: as many postings as values", self.field.name());
        self.values.check();
        self.moved.check();
    }
}
