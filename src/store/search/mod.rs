//! The index of words behind `$search`.
//!
//! An entry per word of a record: the counted tree, in the order of words, so
//! that those with the same beginning are one range and how many there are is
//! known without walking them.

mod words;

pub(crate) use words::{Search, Words};

use std::ops::Range;

use super::sorted::Place;
use super::table::{Slot, Table};
use super::{FieldRef, Row};
use crate::tree::Tree;
use words::most_words_of;

/// See the module's description.
#[derive(Clone, Debug)]
pub struct SearchIndex {
    field: FieldRef,
    tree: Tree<Place, Slot>,
    heap: usize,
}

/// So many words of a search are looked up before the records are.
const MOST_WORDS: usize = 16;

/// No word has this byte: UTF-8 does not.
const BEHIND: u8 = 0xff;

/// What it costs to file one word, or to take it out: a place in the tree.
const STEPS_PER_WORD: u64 = 32;

/// What it costs to find them.
pub(super) fn search_steps(bytes: usize) -> u64 {
    bytes as u64 / 4
}

impl SearchIndex {
    pub(super) fn new(field: FieldRef) -> Self {
        SearchIndex { field, tree: Tree::new(), heap: 0 }
    }

    pub fn field(&self) -> &FieldRef {
        &self.field
    }

    pub(super) fn set_field(&mut self, field: FieldRef) {
        self.field = field;
    }

    /// What it costs to file the words of a record, or to take them out.
    pub(super) fn filing_steps(&self, row: &Row) -> u64 {
        let (value, bytes) = row.look_at(&self.field);
        let words = value.map_or(0, most_words_of) as u64;
        search_steps(bytes).saturating_add(words.saturating_mul(STEPS_PER_WORD))
    }

    /// The places of a record's words, each once.
    fn places(&self, row: &Row, order: u64) -> Vec<Place> {
        let place = |word: &str| Place::new(&[word.as_bytes(), &[0]].concat(), order);
        Words::of(row.field(&self.field)).iter().map(place).collect()
    }

    /// Takes in a record that stands in the table already.
    pub(super) fn add(&mut self, table: &Table, slot: Slot) {
        let Some(row) = table.row(slot) else { return };
        for place in self.places(row, table.order(slot)) {
            self.heap += place.heap();
            self.tree.insert(place, slot, 0);
        }
    }

    /// Drops a record that still stands in the table with its old row.
    pub(super) fn remove(&mut self, table: &Table, slot: Slot) {
        let Some(row) = table.row(slot) else { return };
        for place in self.places(row, table.order(slot)) {
            self.heap = self.heap.saturating_sub(place.heap());
            self.tree.remove(&place);
        }
    }

    /// Whether a record has other words when its row becomes another one.
    pub(super) fn moves(&self, old: &Row, new: &Row) -> bool {
        match (old.field(&self.field), new.field(&self.field)) {
            (Some(_), Some(value)) => !old.field_is(&self.field, value.text()),
            (None, None) => false,
            _ => true,
        }
    }

    fn range(&self, from: &[u8], to: &[u8]) -> Range<usize> {
        let rank = |bytes: &[u8]| self.tree.locate(&Place::new(bytes, 0)).rank;
        rank(from)..rank(to)
    }

    fn with_word(&self, word: &str) -> Range<usize> {
        let word = word.as_bytes();
        self.range(&[word, &[0]].concat(), &[word, &[1]].concat())
    }

    /// How many records have this word.
    pub(crate) fn count(&self, word: &str) -> usize {
        self.with_word(word).len()
    }

    /// The fewest entries that every record with these words is among; `None`:
    /// there is no word.
    pub(super) fn fewest(&self, search: &Search) -> Option<Range<usize>> {
        let beginning = search.beginning()?.as_bytes();
        let begun = self.range(beginning, &[beginning, &[BEHIND]].concat());
        let whole = search.whole().take(MOST_WORDS).map(|word| self.with_word(word));
        whole.chain([begun]).min_by_key(Range::len)
    }

    /// The records of a range, each once.
    pub(super) fn slots(&self, range: Range<usize>) -> Vec<Slot> {
        let count = range.len();
        let entries = self.tree.iter_from(range.start).take(count);
        let mut slots: Vec<Slot> = entries.map(|entry| entry.value).collect();
        slots.sort_unstable();
        slots.dedup();
        slots
    }

    /// An empty index like this one.
    pub(super) fn emptied(&self) -> SearchIndex {
        SearchIndex::new(self.field.clone())
    }

    /// Gives back a piece of an index that is not used any more; how many
    /// entries it had, `None` when there is nothing left.
    pub(super) fn release(&mut self) -> Option<usize> {
        self.tree.release()
    }

    /// Bytes of memory.
    pub(super) fn memory(&self) -> usize {
        self.tree.memory() + self.heap
    }

    /// Panics if the index is not exactly that of the table.
    pub(super) fn check(&self, table: &Table) {
        let mut expected = self.emptied();
        table.iter().for_each(|slot| expected.add(table, slot));
        let all = |index: &SearchIndex| -> Vec<(Place, Slot)> {
            index.tree.iter_from(0).map(|entry| (entry.key.clone(), entry.value)).collect()
        };
        assert_eq!(all(self), all(&expected), "an index of words");
        assert_eq!(self.heap, expected.heap, "what it counts");
    }
}
