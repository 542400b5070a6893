//! Reading a bucket: which way leads to the candidates of a filter, and the
//! walk along it.

use super::table::{NIL, Slot};
use super::{Bucket, Filter, Row};

/// The way to the records that can match a filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// All records, in table order.
    Scan,
    /// The one record with that key, given in storage form.
    Key(Box<str>),
    /// The records that have a value in an index (its position in
    /// [`Bucket::indexes`]), in the order in which they acquired it.
    Index(usize, Box<str>),
    /// No record can match.
    Nothing,
}

/// The matching records in candidate order. Counts what it looks at.
#[derive(Clone, Debug)]
pub struct Selection<'b> {
    bucket: &'b Bucket,
    filter: Option<&'b Filter>,
    next: Slot,
    /// Follow this index and not the table.
    index: Option<usize>,
    /// Records looked at so far.
    looked_at: usize,
}

impl Bucket {
    /// The way to the records of a filter that gives them in the order that
    /// clients see: the first plain condition on an indexed field decides.
    pub fn access(&self, filter: &Filter) -> Access {
        if filter.is_never() {
            return Access::Nothing;
        }
        let mut index = None;
        for (field, value) in filter.equalities() {
            if field.name() == self.key_field() {
                return Access::Key(value.into());
            }
            if index.is_none() {
                let same = |index: &super::Index| index.field().name() == field.name();
                index =
                    self.indexes.iter().position(same).map(|at| Access::Index(at, value.into()));
            }
        }
        index.unwrap_or(Access::Scan)
    }

    /// The records that match, in the order that clients see.
    pub fn select<'b>(&'b self, filter: Option<&'b Filter>) -> Selection<'b> {
        let access = filter.map_or(Access::Scan, |filter| self.access(filter));
        let (next, index) = match &access {
            Access::Scan => (self.table.first(), None),
            Access::Nothing => (NIL, None),
            // One record and no next: any filter with a condition on the key
            // stops after it.
            Access::Key(key) => {
                let slot = self.table.find(key);
                let matches = |slot: &Slot| {
                    let row = self.table.row(*slot);
                    filter.is_none_or(|filter| row.is_some_and(|row| filter.matches(row)))
                };
                return Selection {
                    bucket: self,
                    filter: None,
                    next: slot.filter(matches).unwrap_or(NIL),
                    index: Some(usize::MAX),
                    looked_at: 0,
                };
            }
            Access::Index(at, value) => {
                let slot =
                    self.indexes.get(*at).and_then(|index| index.slots(&self.table, value).next());
                (slot.unwrap_or(NIL), Some(*at))
            }
        };
        Selection { bucket: self, filter, next, index, looked_at: 0 }
    }

    /// The records that match, with their places, in table order whatever index
    /// finds them.
    pub fn in_table_order<'b>(
        &'b self,
        filter: Option<&'b Filter>,
    ) -> Box<dyn Iterator<Item = (u64, &'b Row)> + 'b> {
        let selection = self.select(filter);
        if selection.index.is_none() {
            return Box::new(selection);
        }
        let mut found: Vec<(u64, &Row)> = Vec::new();
        let mut selection = selection;
        while let Some((slot, row)) = selection.step() {
            found.push((self.table.order(slot), row));
        }
        found.sort_by_key(|(order, _)| *order);
        Box::new(found.into_iter())
    }
}

impl<'b> Selection<'b> {
    /// Records looked at so far.
    pub fn looked_at(&self) -> usize {
        self.looked_at
    }

    fn step(&mut self) -> Option<(Slot, &'b Row)> {
        loop {
            let slot = self.next;
            let row = self.bucket.table.row(slot)?;
            self.next = match self.index {
                None => self.bucket.table.next(slot),
                Some(at) => self.bucket.indexes.get(at).map_or(NIL, |index| index.next(slot)),
            };
            self.looked_at += 1;
            if self.filter.is_none_or(|filter| filter.matches(row)) {
                return Some((slot, row));
            }
        }
    }
}

/// The place among the candidates, and the record.
impl<'b> Iterator for Selection<'b> {
    type Item = (u64, &'b Row);

    fn next(&mut self) -> Option<Self::Item> {
        let (slot, row) = self.step()?;
        let table = &self.bucket.table;
        let index = self.index.and_then(|at| self.bucket.indexes.get(at));
        Some((index.map_or_else(|| table.order(slot), |index| index.acquired(table, slot)), row))
    }
}
