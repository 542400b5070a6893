//! Ordered indexes: the records of a bucket in the order of one or several
//! fields.
//!
//! A key is the encoded values of the fields and, behind them, the record's
//! place in the table: what ties stands in candidate order. The counted tree
//! knows ranks, so how many records a range has is known without walking it.
//! Objects, arrays, `null` and absent values have a place, too: an index holds
//! every record, and counts what kinds of values there are, because values of
//! several kinds have no order ([`SortedIndex::is_one_kind`]).

mod encode;
mod walk;

pub(crate) use encode::{encode_text, ordered_bits};
pub use walk::InOrder;

use std::ops::Range;

use super::table::{Slot, Table};
use super::{Bounds, FieldRef, Row};
use crate::json::{Kind, Raw};
use crate::tree::{Entry, Tree};
use encode::{NOTHING, encode, encode_number, encode_string, length_of};

/// The most fields of one index.
pub const MAX_FIELDS: usize = 8;

/// The fields of a record's key as one text of bytes, and its place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// The first eight bytes: a single number needs no allocation.
    head: u64,
    rest: Box<[u8]>,
    order: u64,
}

/// What an allocation costs beside its bytes.
const ALLOCATION: usize = 16;

impl Place {
    pub(super) fn new(bytes: &[u8], order: u64) -> Place {
        let mut head = [0; 8];
        let (front, rest) = bytes.split_at(bytes.len().min(8));
        for (to, from) in head.iter_mut().zip(front) {
            *to = *from;
        }
        Place { head: u64::from_be_bytes(head), rest: rest.into(), order }
    }

    /// The bytes of the first so many fields.
    fn prefix(&self, fields: usize) -> Vec<u8> {
        let mut bytes = self.head.to_be_bytes().to_vec();
        bytes.extend_from_slice(&self.rest);
        let length = length_of(&bytes, fields);
        bytes.truncate(length);
        bytes
    }

    /// Whether the first fields are these. No encoding of a field is the
    /// beginning of another one.
    fn begins(&self, prefix: &[u8]) -> bool {
        let (head, rest) = prefix.split_at(prefix.len().min(8));
        self.head.to_be_bytes().starts_with(head) && self.rest.starts_with(rest)
    }

    pub(super) fn heap(&self) -> usize {
        if self.rest.is_empty() { 0 } else { self.rest.len() + ALLOCATION }
    }
}

/// How many values of each kind a field has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kinds {
    pub numbers: usize,
    pub booleans: usize,
    pub strings: usize,
    pub structured: usize,
}

/// See the module's description.
#[derive(Clone, Debug)]
pub struct SortedIndex {
    fields: Vec<FieldRef>,
    tree: Tree<Place, Slot>,
    /// One per field.
    kinds: Vec<Kinds>,
    heap: usize,
}

impl SortedIndex {
    pub(super) fn new(fields: Vec<FieldRef>) -> Self {
        let kinds = vec![Kinds::default(); fields.len()];
        SortedIndex { fields, tree: Tree::new(), kinds, heap: 0 }
    }

    /// The index of these records, which come in any order.
    pub(super) fn build<'t>(
        fields: Vec<FieldRef>,
        records: impl Iterator<Item = (Slot, u64, &'t Row)>,
    ) -> Self {
        let mut index = SortedIndex::new(fields);
        let mut bytes = Vec::new();
        let mut entries: Vec<Entry<Place, Slot>> = records
            .map(|(slot, order, row)| {
                index.count(row, true);
                let key = index.place_of(row, order, &mut bytes);
                index.heap += key.heap();
                Entry { key, value: slot, weight: 0 }
            })
            .collect();
        entries.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        index.tree = Tree::from_sorted(entries);
        index
    }

    pub fn fields(&self) -> &[FieldRef] {
        &self.fields
    }

    pub(super) fn is_on(&self, fields: &[FieldRef]) -> bool {
        let names = |fields: &[FieldRef]| -> Vec<Box<str>> {
            fields.iter().map(|field| field.name().into()).collect()
        };
        names(&self.fields) == names(fields)
    }

    /// Takes over the same fields in another layout.
    pub(super) fn set_fields(&mut self, fields: Vec<FieldRef>) {
        self.fields = fields;
    }

    fn place_of(&self, row: &Row, order: u64, bytes: &mut Vec<u8>) -> Place {
        bytes.clear();
        for field in &self.fields {
            encode(row.field(field), bytes);
        }
        Place::new(bytes, order)
    }

    fn count(&mut self, row: &Row, add: bool) {
        for (field, kinds) in self.fields.iter().zip(&mut self.kinds) {
            let counter = match row.field(field).map(Raw::kind) {
                None | Some(Kind::Null) => continue,
                Some(Kind::Number) => &mut kinds.numbers,
                Some(Kind::Bool) => &mut kinds.booleans,
                Some(Kind::String) => &mut kinds.strings,
                Some(Kind::Array | Kind::Object) => &mut kinds.structured,
            };
            *counter = if add { *counter + 1 } else { counter.saturating_sub(1) };
        }
    }

    /// Takes in a record that stands in the table already.
    pub(super) fn add(&mut self, table: &Table, slot: Slot) {
        let Some(row) = table.row(slot) else { return };
        self.count(row, true);
        let place = self.place_of(row, table.order(slot), &mut Vec::new());
        self.heap += place.heap();
        self.tree.insert(place, slot, 0);
    }

    /// Drops a record that still stands in the table with its old row.
    pub(super) fn remove(&mut self, table: &Table, slot: Slot) {
        let Some(row) = table.row(slot) else { return };
        self.count(row, false);
        let place = self.place_of(row, table.order(slot), &mut Vec::new());
        self.heap = self.heap.saturating_sub(place.heap());
        self.tree.remove(&place);
    }

    /// Whether a record moves when its row becomes another one.
    pub(super) fn moves(&self, old: &Row, new: &Row) -> bool {
        let text = |row: &Row, field: &FieldRef| row.field(field).map(|raw| raw.text().to_owned());
        self.fields.iter().any(|field| match (old.field(field), new.field(field)) {
            (Some(_), Some(value)) => !old.field_is(field, value.text()),
            (None, None) => false,
            _ => text(old, field) != text(new, field),
        })
    }

    /// Whether the values of a field are all of one kind that has an order.
    pub(super) fn is_one_kind(&self, field: usize) -> bool {
        self.kinds.get(field).is_some_and(|kinds| {
            let Kinds { numbers, booleans, strings, structured } = *kinds;
            let used = [numbers, booleans, strings].iter().filter(|count| **count > 0).count();
            structured == 0 && used <= 1
        })
    }

    /// The rank of the first record at or behind these bytes.
    fn rank(&self, prefix: &[u8], more: &[u8]) -> usize {
        self.tree.locate(&Place::new(&[prefix, more].concat(), 0)).rank
    }

    /// The rank behind all records whose key begins so. No field begins with
    /// more bytes of 0xff than `null` has.
    fn rank_behind(&self, prefix: &[u8]) -> usize {
        self.rank(prefix, &[0xff; 2 * MAX_FIELDS + 1])
    }

    /// The records whose key begins so.
    fn with_prefix(&self, prefix: &[u8]) -> Range<usize> {
        self.rank(prefix, &[])..self.rank_behind(prefix)
    }

    /// How many values of each kind the records have that begin so, in the
    /// field behind that.
    fn kinds_within(&self, prefix: &[u8]) -> Kinds {
        let ends = [
            &[][..],
            &encode::AFTER_BOOLEANS,
            &encode::AFTER_NUMBERS,
            &encode::AFTER_STRINGS,
            &encode::AFTER_STRUCTURED,
        ];
        let [start, booleans, numbers, strings, structured] =
            ends.map(|more| self.rank(prefix, more));
        Kinds {
            booleans: booleans.saturating_sub(start),
            numbers: numbers.saturating_sub(booleans),
            strings: strings.saturating_sub(numbers),
            structured: structured.saturating_sub(strings),
        }
    }

    /// Where the records are whose key begins so and whose next value can be
    /// within the bounds: a superset, as [`super::ranges::Ranges`] has it.
    fn within(&self, prefix: &[u8], bounds: &Bounds) -> [Range<usize>; 4] {
        let rank = |more: &[u8]| self.rank(prefix, more);
        let number = |at: f64| {
            let mut bytes = prefix.to_vec();
            encode_number(at, &mut bytes);
            bytes
        };
        let booleans = rank(&[])..rank(&encode::AFTER_BOOLEANS);
        let numbers = match bounds.numbers() {
            None => 0..0,
            Some((low, high)) => {
                low.map_or(booleans.end, |low| self.rank(&number(low), &[]))
                    ..high.map_or_else(
                        || rank(&encode::AFTER_NUMBERS),
                        |high| self.rank_behind(&number(high)),
                    )
            }
        };
        let text = |at: &str| {
            let mut bytes = prefix.to_vec();
            encode_string(at, &mut bytes);
            bytes
        };
        let (low, high) = bounds.texts();
        let texts = low
            .map_or_else(|| rank(&encode::AFTER_NUMBERS), |low| self.rank(&text(low), &[]))
            ..high
                .map_or_else(|| rank(&encode::AFTER_STRINGS), |high| self.rank_behind(&text(high)));
        let structured = rank(&encode::AFTER_STRINGS)..rank(&encode::AFTER_STRUCTURED);
        [booleans, numbers, texts, structured]
    }

    /// The rank of the first record that has nothing in the field behind.
    fn rank_of_nothing(&self, prefix: &[u8]) -> usize {
        self.rank(prefix, &NOTHING)
    }

    fn slots(&self, range: Range<usize>) -> impl Iterator<Item = Slot> {
        let count = range.len();
        self.tree.iter_from(range.start).take(count).map(|entry| entry.value)
    }

    /// An empty index like this one.
    pub(super) fn emptied(&self) -> SortedIndex {
        SortedIndex::new(self.fields.clone())
    }

    /// Gives back a piece of an index that is not used any more; how many
    /// records it was about, `None` when there is nothing left.
    pub(super) fn release(&mut self) -> Option<usize> {
        self.tree.release()
    }

    /// Bytes of memory.
    pub(super) fn memory(&self) -> usize {
        self.tree.memory() + self.heap
    }

    /// Panics if the index is not exactly that of the table.
    pub(super) fn check(&self, table: &Table) {
        let records = table
            .iter()
            .filter_map(|slot| table.row(slot).map(|row| (slot, table.order(slot), row)));
        let expected = SortedIndex::build(self.fields.clone(), records);
        let all = |index: &SortedIndex| -> Vec<(Place, Slot)> {
            index.tree.iter_from(0).map(|entry| (entry.key.clone(), entry.value)).collect()
        };
        assert_eq!(all(self), all(&expected), "an ordered index");
        assert_eq!((&self.kinds, self.heap), (&expected.kinds, expected.heap), "what it counts");
    }
}
