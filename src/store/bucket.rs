//! One bucket: its definition, its records and what finds them.

use std::collections::BTreeSet;

use hashbrown::HashMap;
use std::sync::Arc;

use super::index::Index;
use super::millis::Millis;
use super::ordered::OrderedKeys;
use super::schema::{Definition, Field, Generated, OnDelete};
use super::search::SearchIndex;
use super::sorted::SortedIndex;
use super::table::{NIL, Slot, Table};
use super::{BucketId, FieldRef, Guard, Key, Layout, Row};
use crate::budget::Budget;
use crate::json::Raw;

/// A number of a record raises the counter only up to here: beyond it there
/// would not be room left for the numbers that follow.
const MAX_RAISE: f64 = (1u64 << 52) as f64;

/// A bucket and everything in it. Changed by [`super::Store::commit`] only.
#[derive(Clone, Debug)]
pub struct Bucket {
    pub(super) id: BucketId,
    pub(super) name: Arc<str>,
    pub(super) definition: Arc<Definition>,
    pub(super) layout: Arc<Layout>,
    /// The definition's fields in its order.
    pub(super) fields: Vec<FieldRef>,
    pub(super) table: Table,
    /// The number of the last insert attempt; the source of `autoincrement`.
    pub(super) counter: u64,
    /// The declared indexes except one on the key, which the table serves.
    pub(super) indexes: Vec<Index>,
    /// Indexes and references on fields without a place in the rows.
    pub(super) unplaced: usize,
    /// Where the index on a field is among them.
    pub(super) index_places: HashMap<Box<str>, usize>,
    /// The indexes that have an order.
    pub(super) sorted: Vec<SortedIndex>,
    /// The indexes of words.
    pub(super) searched: Vec<SearchIndex>,
    /// The outgoing references, one per field that has one.
    pub(super) references: Vec<Outgoing>,
    /// Records whose time came up to then are still here, and gone for readers:
    /// very many expire in pieces.
    pub(super) over_until: Option<Millis>,
    /// With a TTL: the records that expire, soonest first.
    pub(super) expiry: Option<BTreeSet<(Millis, Slot)>>,
    /// `ordered_set`: the records in the order of their keys.
    pub(super) ordered: Option<OrderedKeys>,
    /// With a maximal size: all records, oldest first; then table order.
    pub(super) ages: Option<BTreeSet<(Millis, u64, Slot)>>,
    /// The sequence number of the definition: references that are older than
    /// that were to an earlier bucket of the name.
    pub(super) defined_at: u64,
    /// The sequence number of the last rebuild of the indexes: acquisitions
    /// before it count from the record's place in the table.
    pub(super) indexed_at: u64,
    pub(super) meta: Metadata,
    /// Who else takes part in writes.
    pub(super) guard: Option<Arc<dyn Guard>>,
}

/// The fields the store itself writes.
#[derive(Clone, Debug)]
pub(super) struct Metadata {
    pub version: FieldRef,
    pub created_at: FieldRef,
    pub updated_at: FieldRef,
    pub expires_at: FieldRef,
}

/// A field whose value is the key of a record elsewhere.
#[derive(Clone, Debug)]
pub(super) struct Outgoing {
    pub target: Box<str>,
    pub on_delete: OnDelete,
    /// Who refers to a key, in the order in which the references were made.
    pub index: Index,
    /// References older than this count as made now: the field became a
    /// reference later.
    pub since: u64,
}

fn places(indexes: &[Index]) -> HashMap<Box<str>, usize> {
    indexes.iter().enumerate().map(|(at, index)| (index.field().name().into(), at)).collect()
}

/// One index per field that is to have one; the key's is the table itself.
fn indexes_of(definition: &Definition, layout: &Layout) -> Vec<Index> {
    let index = |name: &str| {
        let unique = definition.field(name).is_some_and(|field| field.unique);
        Index::new(layout.field(name), unique)
    };
    let others = definition.indexes.iter().filter(|&name| *name != definition.key);
    others.map(|name| index(name)).collect()
}

fn references_of(definition: &Definition, layout: &Layout) -> Vec<Outgoing> {
    let outgoing = |field: &Field| {
        let reference = field.reference.as_ref()?;
        Some(Outgoing {
            target: reference.bucket.clone(),
            on_delete: reference.on_delete,
            index: Index::new(layout.field(&field.name), false),
            since: 0,
        })
    };
    definition.fields.iter().filter_map(outgoing).collect()
}

impl Bucket {
    pub(super) fn new(
        id: BucketId,
        name: &str,
        definition: Definition,
        mut layout: Layout,
        sequence: u64,
    ) -> Self {
        let meta = Metadata {
            version: layout.field("_version"),
            created_at: layout.field("_createdAt"),
            updated_at: layout.field("_updatedAt"),
            expires_at: layout.field("_expiresAt"),
        };
        let searched: Vec<Box<str>> =
            definition.fields.iter().filter(|it| it.search).map(|it| it.name.clone()).collect();
        layout.set_searched(searched.clone());
        let fields = definition.fields.iter().map(|field| layout.field(&field.name)).collect();
        let indexes = indexes_of(&definition, &layout);
        let references = references_of(&definition, &layout);
        Bucket {
            id,
            name: name.into(),
            table: Table::new(layout.field(&definition.key)),
            counter: 0,
            unplaced: references
                .iter()
                .map(|outgoing| &outgoing.index)
                .chain(&indexes)
                .filter(|index| index.field().slot().is_none())
                .count(),
            sorted: definition
                .sorted
                .iter()
                .map(|names| names.iter().map(|name| layout.field(name)).collect())
                .map(SortedIndex::new)
                .collect(),
            searched: searched
                .iter()
                .map(|name| layout.field(name))
                .map(SearchIndex::new)
                .collect(),
            index_places: places(&indexes),
            indexes,
            references,
            over_until: None,
            expiry: definition.ttl.map(|_| BTreeSet::new()),
            ordered: definition.ordered.then(OrderedKeys::default),
            ages: definition.max_size.map(|_| BTreeSet::new()),
            defined_at: sequence,
            indexed_at: sequence,
            definition: Arc::new(definition),
            layout: Arc::new(layout),
            fields,
            meta,
            guard: None,
        }
    }

    pub fn id(&self) -> BucketId {
        self.id
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn definition(&self) -> &Definition {
        &self.definition
    }

    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The name of the field that holds the primary key.
    pub fn key_field(&self) -> &str {
        &self.definition.key
    }

    /// Whether clients cannot write a field, because its value is computed.
    pub fn is_computed(&self, field: &str) -> bool {
        self.guard.as_ref().is_some_and(|guard| guard.is_computed(field))
    }

    pub fn len(&self) -> usize {
        self.table.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The highest number that a record has in an `autoincrement` field, 0 for
    /// none. The counter is never below it, whichever way the record came: a
    /// generated key would replace a record.
    pub(super) fn highest_number(&self, row: &Row) -> u64 {
        let fields = self.definition.fields.iter();
        fields
            .filter(|field| field.generated == Some(Generated::Autoincrement))
            .filter_map(|field| row.field(&self.layout.field(&field.name))?.as_number())
            .filter(|number| *number == number.trunc() && *number <= MAX_RAISE)
            .fold(0.0, f64::max) as u64
    }

    /// Whether there are numbers to look for.
    pub(super) fn has_numbers(&self) -> bool {
        let fields = &self.definition.fields;
        fields.iter().any(|field| field.generated == Some(Generated::Autoincrement))
    }

    /// The last number of `autoincrement`.
    pub fn counter(&self) -> u64 {
        self.counter
    }

    /// The indexes of which [`super::Change::candidates`] tells, in that order.
    /// An index on the key is not among them: the table of keys is it.
    pub fn indexes(&self) -> &[Index] {
        &self.indexes
    }

    /// The record with a key, unless its time is over.
    pub fn get(&self, key: &Key) -> Option<&Row> {
        let row = self.find(key).and_then(|slot| self.table.row(slot));
        row.filter(|row| !self.is_over(row))
    }

    /// As [`Bucket::get`], by the text of [`Key::text_of`].
    pub fn get_by_text(&self, key: &str) -> Option<&Row> {
        let row = self.table.find(key).and_then(|slot| self.table.row(slot));
        row.filter(|row| !self.is_over(row))
    }

    /// The record with a key, also one that is over, and its place among the
    /// candidates of an index, or in the table.
    pub fn candidate(&self, key: &Key, index: Option<usize>) -> Option<(u64, &Row)> {
        let slot = self.find(key)?;
        let row = self.table.row(slot)?;
        let index = index.and_then(|at| self.indexes.get(at));
        let place = match index {
            Some(index) => index.acquired(&self.table, slot),
            None => self.table.order(slot),
        };
        Some((place, row))
    }

    /// Whether a record is only here because very many expire at once.
    pub(super) fn is_over(&self, row: &Row) -> bool {
        match self.over_until {
            None => false,
            Some(until) => self.expires_at(row).is_some_and(|at| at <= until),
        }
    }

    /// Records that are over and still here; each is a step.
    pub(super) fn count_over(&self, budget: &Budget) -> usize {
        let (Some(until), Some(expiry)) = (self.over_until, &self.expiry) else { return 0 };
        let over = expiry.range(..=(until, Slot::MAX)).count();
        // Used up, whoever asks has an error in the end.
        let _ = budget.spend(over as u64);
        over
    }

    /// How many records there are for readers.
    pub fn visible_len(&self, budget: &Budget) -> usize {
        self.len().saturating_sub(self.count_over(budget))
    }

    /// The records in table order, without those that are over.
    pub fn visible(&self) -> impl Iterator<Item = (u64, &Row)> {
        self.iter().filter(|(_, row)| !self.is_over(row))
    }

    pub(super) fn find(&self, key: &Key) -> Option<Slot> {
        key.with_text(|text| self.table.find(text))
    }

    /// The records in table order, each with its place.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &Row)> {
        self.table
            .iter()
            .filter_map(|slot| self.table.row(slot).map(|row| (self.table.order(slot), row)))
    }

    /// The records in table order, last first.
    pub fn iter_back(&self) -> impl Iterator<Item = (u64, &Row)> {
        std::iter::successors(Some(self.table.last()), |&slot| Some(self.table.prev(slot)))
            .take_while(|&slot| slot != NIL)
            .filter_map(|slot| self.table.row(slot).map(|row| (self.table.order(slot), row)))
    }

    /// The primary key of one of the bucket's records.
    pub fn key_of(&self, row: &Row) -> Key {
        Key::from_raw(Raw::checked(self.table.key_text(row))).unwrap_or(Key::Bool(false))
    }

    /// When a record expires: only in a bucket with a TTL, and only if the
    /// record's `_expiresAt` is a number.
    pub(super) fn expires_at(&self, row: &Row) -> Option<Millis> {
        self.expiry.as_ref()?;
        row.field(&self.meta.expires_at).and_then(Raw::as_number).map(Millis)
    }

    pub(super) fn created_at(&self, row: &Row) -> Millis {
        Millis(row.field(&self.meta.created_at).and_then(Raw::as_number).unwrap_or(0.0))
    }

    /// Bytes of memory for the records and what finds them.
    pub fn memory(&self) -> usize {
        self.row_memory() + self.index_memory()
    }

    /// Of the records alone.
    pub fn row_memory(&self) -> usize {
        self.table.memory()
    }

    /// Of what finds them.
    pub fn index_memory(&self) -> usize {
        let ordered = |entries: usize, size: usize| entries * size * 3 / 2;
        self.indexes.iter().map(Index::memory).sum::<usize>()
            + self.sorted.iter().map(SortedIndex::memory).sum::<usize>()
            + self.searched.iter().map(SearchIndex::memory).sum::<usize>()
            + self.references.iter().map(|outgoing| outgoing.index.memory()).sum::<usize>()
            + self.expiry.as_ref().map_or(0, |set| ordered(set.len(), 16))
            + self.ordered.as_ref().map_or(0, OrderedKeys::memory)
            + self.ages.as_ref().map_or(0, |set| ordered(set.len(), 24))
    }

    /// Panics if anything that finds records disagrees with the records.
    pub(super) fn check(&self) {
        self.table.check();
        let over = |slot| self.table.row(slot).is_some_and(|row| self.is_over(row));
        for index in &self.indexes {
            index.check(&self.table, over);
        }
        for index in &self.sorted {
            index.check(&self.table);
        }
        for index in &self.searched {
            index.check(&self.table);
        }
        for outgoing in &self.references {
            outgoing.index.check(&self.table, over);
        }
        let slots: Vec<Slot> = self.table.iter().collect();
        let row = |slot: &Slot| self.table.row(*slot);
        if let Some(expiry) = &self.expiry {
            let expected: BTreeSet<_> = slots
                .iter()
                .filter_map(|slot| {
                    row(slot).and_then(|row| self.expires_at(row)).map(|at| (at, *slot))
                })
                .collect();
            assert_eq!(*expiry, expected, "{}: what expires", self.name);
        }
        if let Some(ordered) = &self.ordered {
            let mut expected = OrderedKeys::default();
            for slot in &slots {
                if let Some(row) = row(slot) {
                    expected.insert(&self.key_of(row), self.table.order(*slot), *slot);
                }
            }
            assert_eq!(*ordered, expected, "{}: the order of keys", self.name);
        }
        if let Some(ages) = &self.ages {
            let expected: BTreeSet<_> = slots
                .iter()
                .filter_map(|slot| {
                    row(slot).map(|row| (self.created_at(row), self.table.order(*slot), *slot))
                })
                .collect();
            assert_eq!(*ages, expected, "{}: the ages", self.name);
        }
    }
}
