//! Reading a bucket: which way leads to the candidates of a filter, and the
//! walk along it.

use super::filter::Wanted;
use super::table::{NIL, Slot};
use super::{Bounds, Bucket, Filter, Row, SearchIndex};
use crate::budget::Budget;

/// With more candidates than this share of the records, walking the table in
/// its order is cheaper than sorting the candidates into it.
const WORTHWHILE: usize = 8;
/// So few candidates are always worth it.
const FEW: usize = 16;

/// The way to the records that can match a filter.
#[derive(Clone, Debug, PartialEq)]
pub enum Access {
    /// All records, in table order.
    Scan,
    /// No record can match.
    Nothing,
    /// The records with these keys, given in storage form; in table order.
    Keys(Vec<Box<str>>),
    /// The records that have a value in an index (its position in
    /// [`Bucket::indexes`]), in the order in which they acquired it.
    Index(usize, Box<str>),
    /// The records that have one of these values in an index; in table order.
    Values(usize, Vec<Box<str>>),
    /// The records whose value in an index can be within these bounds; in table
    /// order.
    Range(usize, Bounds),
    /// The records that an ordered index (its position in
    /// [`Bucket::sorted_indexes`]) has for the filter; in table order, or in the
    /// order in which they acquired their value in this index.
    Sorted(usize, Option<usize>),
    /// The records with a word, from the index of words of this field (its
    /// position in [`Bucket::search_indexes`]); in such an order.
    Words(usize, Option<usize>),
}

impl Access {
    /// The index whose acquisitions the order of the candidates follows;
    /// `None`: table order.
    pub fn order(&self) -> Option<usize> {
        match self {
            Access::Index(at, _) => Some(*at),
            Access::Sorted(_, order) | Access::Words(_, order) => *order,
            _ => None,
        }
    }
}

/// The matching records in candidate order. Counts what it looks at, and ends
/// early when the budget does.
#[derive(Clone, Debug)]
pub struct Selection<'b> {
    bucket: &'b Bucket,
    filter: Option<&'b Filter>,
    budget: &'b Budget,
    walk: Walk,
    /// Records that are over are among them.
    all: bool,
    /// The filter asks for nothing but the value that the index has them for.
    is_exact: bool,
    /// Records looked at so far.
    looked_at: usize,
}

#[derive(Clone, Debug)]
enum Walk {
    Table(Slot),
    Index(usize, Slot),
    /// In the order of acquisition in an index.
    Acquired(usize, std::vec::IntoIter<Slot>),
    List(std::vec::IntoIter<Slot>),
}

impl Bucket {
    /// Whether a filter has candidates, and in what order they are, which
    /// clients see: the first plain condition on an indexed field decides.
    pub fn access(&self, filter: &Filter) -> Access {
        self.candidates(filter)
    }

    /// How many candidates a filter has by its plain conditions alone.
    pub fn count_candidates(&self, filter: &Filter) -> usize {
        match self.candidates(filter) {
            Access::Nothing => 0,
            Access::Index(at, value) => {
                self.indexes.get(at).map_or(0, |index| index.count(&self.table, &value))
            }
            Access::Scan => self.len(),
            _ => 1,
        }
    }

    /// What the plain conditions of a filter say about candidates and their
    /// order; [`Access::Scan`]: nothing.
    pub(super) fn candidates(&self, filter: &Filter) -> Access {
        if filter.is_never() {
            return Access::Nothing;
        }
        let mut index = None;
        for (field, value) in filter.equalities() {
            if field.name() == self.key_field() {
                return Access::Keys(vec![value.into()]);
            }
            if index.is_none() {
                let at = self.index_on(field.name());
                index = at.map(|at| Access::Index(at, value.into()));
            }
        }
        index.unwrap_or(Access::Scan)
    }

    /// The access, and the candidates where finding it meant finding them.
    fn plan(&self, filter: &Filter, budget: &Budget) -> (Access, Vec<Slot>) {
        match self.candidates(filter) {
            Access::Scan => self.cheapest(filter, budget),
            Access::Keys(keys) => {
                let found = keys.iter().filter_map(|key| self.table.find(key)).collect();
                (Access::Keys(keys), found)
            }
            Access::Index(at, value) => self.fewer(filter, at, value),
            access => (access, Vec::new()),
        }
    }

    /// The records that have a value in an index, in that order, or fewer of
    /// them where an ordered index knows more of what the filter asks for.
    fn fewer(&self, filter: &Filter, at: usize, value: Box<str>) -> (Access, Vec<Slot>) {
        let found = self.indexes.get(at).and_then(|index| {
            let limit = (index.count(&self.table, &value) / WORTHWHILE).max(FEW);
            let (access, mut slots) = self.narrowed(filter, limit, Some(at))?;
            // What is not in the index has no place in its order.
            slots.retain(|slot| {
                self.table.row(*slot).and_then(|row| index.value_of(row)) == Some(&*value)
            });
            slots.sort_unstable_by_key(|slot| index.acquired(&self.table, *slot));
            Some((access, slots))
        });
        found.unwrap_or_else(|| (Access::Index(at, value), Vec::new()))
    }

    /// The candidates that an ordered index or one of words has, if there are
    /// at most `limit`.
    fn narrowed(
        &self,
        filter: &Filter,
        limit: usize,
        order: Option<usize>,
    ) -> Option<(Access, Vec<Slot>)> {
        if self.sorted.is_empty() && self.searched.is_empty() {
            return None;
        }
        let by_words = filter.wanted().into_iter().filter_map(|(field, wanted)| {
            let Wanted::Words(search) = wanted else { return None };
            let at = self.searched.iter().position(|it| it.field().name() == field.name())?;
            Some((at, self.searched.get(at)?.fewest(search)?))
        });
        let words = by_words.min_by_key(|(_, range)| range.len());
        let limit = words.as_ref().map_or(limit, |(_, range)| range.len().min(limit));
        // Ranges of order are exact, mostly: as many of them are better.
        let sorted = self.narrowed_in_order(filter, limit.min(self.len() / WORTHWHILE).max(FEW));
        if let Some((at, slots)) = sorted {
            return Some((Access::Sorted(at, order), slots));
        }
        let (at, range) = words.filter(|(_, range)| range.len() <= limit)?;
        let slots = self.searched.get(at)?.slots(range);
        Some((Access::Words(at, order), slots))
    }

    /// The indexes of words, in the order of the definition.
    pub fn search_indexes(&self) -> &[SearchIndex] {
        &self.searched
    }

    fn index_on(&self, field: &str) -> Option<usize> {
        self.index_places.get(field).copied()
    }

    /// The way with the fewest candidates that does not change their order.
    fn cheapest(&self, filter: &Filter, budget: &Budget) -> (Access, Vec<Slot>) {
        let mut best = (Access::Scan, Vec::new());
        let mut limit = (self.len() / WORTHWHILE).max(FEW);
        // To look for words in a record costs more than to find it.
        let most = if self.searched.is_empty() { limit } else { self.len() };
        if let Some((access, slots)) = self.narrowed(filter, most, None) {
            if budget.spend(slots.len() as u64 / 8).is_err() {
                return best;
            }
            limit = slots.len().saturating_sub(1).min(limit);
            best = (access, slots);
        }
        let is_sorted_by = |field: &str| {
            let mut first = self.sorted.iter().filter_map(|index| index.fields().first());
            first.any(|first| first.name() == field)
        };
        for (field, wanted) in filter.wanted() {
            let looked_up = match &wanted {
                // The first one is part of the condition.
                Wanted::OneOf(keys) => keys.len().saturating_sub(1),
                Wanted::Within(_) | Wanted::Words(_) => 0,
            };
            if budget.spend(looked_up as u64).is_err() {
                break;
            }
            let index =
                self.index_on(field.name()).and_then(|at| Some((at, self.indexes.get(at)?)));
            let found = match (&wanted, index) {
                (Wanted::OneOf(keys), _) if field.name() == self.key_field() => {
                    let found = keys.iter().filter_map(|key| self.table.find(key)).collect();
                    Some((Access::Keys(owned(keys)), found))
                }
                (Wanted::OneOf(values), Some((at, index))) => {
                    let count: usize =
                        values.iter().map(|value| index.count(&self.table, value)).sum();
                    (count <= limit).then(|| {
                        let slots = values.iter().flat_map(|value| index.slots(&self.table, value));
                        (Access::Values(at, owned(values)), slots.collect())
                    })
                }
                // What has an order already needs no other one.
                (Wanted::Within(_), _) if is_sorted_by(field.name()) => None,
                (Wanted::Within(bounds), Some((at, index))) => index
                    .within(&self.table, bounds, limit, budget)
                    .map(|slots| (Access::Range(at, bounds.clone()), slots)),
                (Wanted::Words(_), _) | (_, None) => None,
            };
            if let Some((access, slots)) = found {
                let slots: Vec<Slot> = slots;
                limit = slots.len();
                best = (access, slots);
            }
        }
        best.1.sort_unstable_by_key(|slot| self.table.order(*slot));
        best
    }

    /// The records that match, in the order that clients see.
    pub fn select<'b>(&'b self, filter: Option<&'b Filter>, budget: &'b Budget) -> Selection<'b> {
        self.explain(filter, budget).1
    }

    /// As [`Bucket::select`], with the records that are over and still here: live
    /// queries follow the delete.
    pub fn select_all<'b>(
        &'b self,
        filter: Option<&'b Filter>,
        budget: &'b Budget,
    ) -> Selection<'b> {
        Selection { all: true, ..self.select(filter, budget) }
    }

    /// The way to the records that match, and the records.
    pub fn explain<'b>(
        &'b self,
        filter: Option<&'b Filter>,
        budget: &'b Budget,
    ) -> (Access, Selection<'b>) {
        let (access, slots) = match filter {
            Some(filter) => self.plan(filter, budget),
            None => (Access::Scan, Vec::new()),
        };
        let walk = match &access {
            Access::Scan => {
                if filter.is_some_and(|filter| !filter.is_empty()) {
                    budget.note_scan(self.id.0);
                }
                Walk::Table(self.table.first())
            }
            Access::Index(at, value) => {
                let index = self.indexes.get(*at);
                let first = index.and_then(|index| index.slots(&self.table, value).next());
                Walk::Index(*at, first.unwrap_or(NIL))
            }
            Access::Sorted(_, Some(order)) | Access::Words(_, Some(order)) => {
                Walk::Acquired(*order, slots.into_iter())
            }
            _ => Walk::List(slots.into_iter()),
        };
        let is_exact =
            matches!(access, Access::Index(..)) && filter.is_some_and(Filter::is_one_condition);
        let all = false;
        (access, Selection { bucket: self, filter, budget, walk, all, is_exact, looked_at: 0 })
    }

    /// The records that match, with their places, in table order whatever index
    /// finds them.
    pub fn in_table_order<'b>(
        &'b self,
        filter: Option<&'b Filter>,
        budget: &'b Budget,
    ) -> Box<dyn Iterator<Item = (u64, &'b Row)> + 'b> {
        let mut selection = self.select(filter, budget);
        if !matches!(selection.walk, Walk::Index(..) | Walk::Acquired(..)) {
            return Box::new(selection);
        }
        let mut found: Vec<(u64, &Row)> = Vec::new();
        while let Some((slot, row)) = selection.step() {
            found.push((self.table.order(slot), row));
        }
        if budget.spend_sort(found.len()).is_err() {
            return Box::new(std::iter::empty());
        }
        found.sort_by_key(|(order, _)| *order);
        Box::new(found.into_iter())
    }
}

fn owned(texts: &[&str]) -> Vec<Box<str>> {
    texts.iter().map(|text| Box::from(*text)).collect()
}

impl<'b> Selection<'b> {
    /// Leaves out at most so many of the first records, where all are shown and
    /// nothing has to be known of them; how many. Following the links of the
    /// table takes an eighth of a look.
    pub fn pass(&mut self, most: usize) -> usize {
        let is_all = self.filter.is_none_or(Filter::is_empty) && self.bucket.over_until.is_none();
        let Walk::Table(slot) = &mut self.walk else { return 0 };
        if !is_all || *slot != self.bucket.table.first() {
            return 0;
        }
        let passed = most.min(self.bucket.len());
        let steps = passed.min(self.bucket.len() - passed) as u64;
        if self.budget.spend(steps / 8).is_err() {
            return 0;
        }
        *slot = self.bucket.table.behind(passed);
        passed
    }

    /// Records looked at so far.
    pub fn looked_at(&self) -> usize {
        self.looked_at
    }

    fn advance(&mut self) -> Slot {
        match &mut self.walk {
            Walk::Table(next) => std::mem::replace(next, self.bucket.table.next(*next)),
            Walk::Index(at, next) => {
                let index = self.bucket.indexes.get(*at);
                std::mem::replace(next, index.map_or(NIL, |index| index.next(*next)))
            }
            Walk::Acquired(_, slots) | Walk::List(slots) => slots.next().unwrap_or(NIL),
        }
    }

    fn step(&mut self) -> Option<(Slot, &'b Row)> {
        loop {
            let slot = self.advance();
            let row = self.bucket.table.row(slot)?;
            self.looked_at += 1;
            self.budget.look().ok()?;
            if !self.all && self.bucket.is_over(row) {
                continue;
            }
            if self.holds(row) {
                if matches!(self.walk, Walk::Table(_)) {
                    self.budget.note_found();
                }
                return Some((slot, row));
            }
        }
    }
}

impl<'b> Selection<'b> {
    /// Whether a candidate matches. What an index has decided is not decided
    /// again, and costs the same.
    fn holds(&self, row: &Row) -> bool {
        match self.is_exact {
            true => self.budget.spend(1).is_ok(),
            false => self.filter.is_none_or(|filter| filter.matches(row, self.budget)),
        }
    }

    /// The records alone: nobody looks for their places.
    pub fn rows(mut self) -> impl Iterator<Item = &'b Row> {
        std::iter::from_fn(move || self.step().map(|(_, row)| row))
    }
}

/// The place among the candidates, and the record.
impl<'b> Iterator for Selection<'b> {
    type Item = (u64, &'b Row);

    fn next(&mut self) -> Option<Self::Item> {
        let (slot, row) = self.step()?;
        let table = &self.bucket.table;
        let place = match &self.walk {
            Walk::Index(at, _) | Walk::Acquired(at, _) => {
                self.bucket.indexes.get(*at).map_or(0, |index| index.acquired(table, slot))
            }
            Walk::Table(_) | Walk::List(_) => table.order(slot),
        };
        Some((place, row))
    }
}
