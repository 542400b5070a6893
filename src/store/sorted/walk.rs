//! Records in the order of a query, from an ordered index: as many as are
//! wanted, and no others are looked at.

use std::cell::Cell;
use std::ops::Range;

use super::{Kinds, Place, SortedIndex};
use crate::budget::Budget;
use crate::store::filter::Wanted;
use crate::store::read::Access;
use crate::store::table::Slot;
use crate::store::{Bounds, Bucket, Filter, Row};
use crate::tree::Entry;

/// Where a group of equal values ends is looked for among so many neighbours,
/// before the tree is asked. Few in tests, so that groups reach beyond them.
const NEIGHBOURS: usize = if cfg!(test) { 4 } else { 64 };

/// A way through an ordered index that yields the records of a query in its
/// order.
#[derive(Clone, Debug)]
pub struct InOrder {
    index: usize,
    /// The fields that the filter fixes, encoded.
    prefix: Vec<u8>,
    fixed: usize,
    range: Range<usize>,
    /// For each field of the sort whether it descends.
    ways: Vec<bool>,
    /// Ties have to be put into candidate order: the index of the table that
    /// has it, or the fields behind those of the sort.
    order: Option<usize>,
    is_partial: bool,
    /// Every record on the way matches, as far as the index can tell.
    is_covered: bool,
    /// Every record on the way matches.
    is_exact: bool,
    /// How many of the first records are left out.
    passed: usize,
}

/// A conjunction as an ordered index sees it.
struct Asked<'f>(Vec<(&'f str, Wanted<'f>)>);

impl<'f> Asked<'f> {
    fn of(filter: &'f Filter) -> Self {
        Asked(filter.wanted().into_iter().map(|(field, wanted)| (field.name(), wanted)).collect())
    }

    fn value(&self, field: &str) -> Option<&'f str> {
        self.0.iter().find_map(|(name, wanted)| match wanted {
            Wanted::OneOf(values) if *name == field => match values.as_slice() {
                [value] => Some(*value),
                _ => None,
            },
            _ => None,
        })
    }

    fn bounds(&self, field: &str) -> Option<&Bounds> {
        self.0.iter().find_map(|(name, wanted)| match wanted {
            Wanted::Within(bounds) if *name == field => Some(bounds),
            _ => None,
        })
    }
}

impl SortedIndex {
    /// How many of the first fields a filter fixes.
    fn fixed(&self, asked: &Asked<'_>) -> usize {
        let fields = self.fields().iter();
        fields.take_while(|field| asked.value(field.name()).is_some()).count()
    }

    fn prefix(&self, asked: &Asked<'_>, fixed: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        for field in self.fields().iter().take(fixed) {
            let value = asked.value(field.name()).map(crate::json::Raw::checked);
            super::encode(value, &mut bytes);
        }
        bytes
    }
}

impl Bucket {
    /// The ordered indexes, in the order of the definition.
    pub fn sorted_indexes(&self) -> &[SortedIndex] {
        &self.sorted
    }

    /// A way to the records of a filter in the order of these fields; `true`:
    /// descending. `None` where no index has it, or where the values have no
    /// order.
    pub fn in_order(&self, filter: &Filter, sort: &[(&str, bool)]) -> Option<InOrder> {
        if self.sorted.is_empty() || sort.is_empty() || filter.is_never() {
            return None;
        }
        let access = self.candidates(filter);
        if matches!(access, Access::Keys(_) | Access::Nothing) {
            return None;
        }
        let asked = Asked::of(filter);
        let ways = self.sorted.iter().enumerate().filter_map(|(at, index)| {
            let fits = |fixed: &usize| {
                let fields = index.fields().get(*fixed..).unwrap_or_default();
                fields.len() >= sort.len()
                    && fields.iter().zip(sort).all(|(field, (name, _))| field.name() == *name)
            };
            let fixed = (0..=index.fixed(&asked)).rev().find(fits)?;
            let one_kind = (fixed..fixed + sort.len()).all(|field| index.is_one_kind(field));
            one_kind.then(|| self.way(at, index, (&asked, filter), fixed, sort, &access))
        });
        // The most that is fixed, and then what has no ties to be sorted.
        ways.min_by_key(|way| (!way.is_covered, way.is_partial, way.range.len()))
    }

    fn way(
        &self,
        at: usize,
        index: &SortedIndex,
        (asked, filter): (&Asked<'_>, &Filter),
        fixed: usize,
        sort: &[(&str, bool)],
        access: &Access,
    ) -> InOrder {
        let prefix = index.prefix(asked, fixed);
        let bounds = sort.first().and_then(|(name, _)| asked.bounds(name));
        // One kind of value: at most one of the ranges has records.
        let range = match bounds {
            None => index.with_prefix(&prefix),
            Some(bounds) => {
                let ranges = index.within(&prefix, bounds);
                ranges.into_iter().find(|range| !range.is_empty()).unwrap_or(0..0)
            }
        };
        let known = fixed + usize::from(bounds.is_some());
        let known: Vec<&str> =
            index.fields().iter().take(known).map(|field| field.name()).collect();
        // While no record has moved, acquisitions are in the order of the table.
        let order = access
            .order()
            .filter(|at| self.indexes.get(*at).is_some_and(|index| index.has_moved()));
        InOrder {
            index: at,
            prefix,
            fixed,
            range,
            ways: sort.iter().map(|(_, descends)| *descends).collect(),
            order,
            is_partial: fixed + sort.len() < index.fields().len(),
            is_covered: filter.is_only_about(&known),
            is_exact: bounds.is_none()
                && !filter.is_narrowed()
                && filter.conditions() == fixed
                && filter.is_only_about(&known),
            passed: 0,
        }
    }

    /// Candidates of a filter from an ordered index on several fields, or on
    /// one with a range, if there are at most `limit`.
    pub(in crate::store) fn narrowed_in_order(
        &self,
        filter: &Filter,
        limit: usize,
    ) -> Option<(usize, Vec<Slot>)> {
        if self.sorted.is_empty() {
            return None;
        }
        let asked = Asked::of(filter);
        let mut best: Option<(usize, Vec<Range<usize>>, usize)> = None;
        for (at, index) in self.sorted.iter().enumerate() {
            let fixed = index.fixed(&asked);
            let bounds = index.fields().get(fixed).and_then(|field| asked.bounds(field.name()));
            // A single value is what ordinary indexes are for, too.
            if fixed == 0 && bounds.is_none() {
                continue;
            }
            let prefix = index.prefix(&asked, fixed);
            let ranges = match bounds {
                None => vec![index.with_prefix(&prefix)],
                Some(bounds) => index.within(&prefix, bounds).into(),
            };
            let count = ranges.iter().map(Range::len).sum();
            if count <= best.as_ref().map_or(limit, |(_, _, best)| best.saturating_sub(1)) {
                best = Some((at, ranges, count));
            }
        }
        let (at, ranges, _) = best?;
        let index = self.sorted.get(at)?;
        Some((at, ranges.into_iter().flat_map(|range| index.slots(range)).collect()))
    }

    /// Walks the matching records until `visit`, which is told the place among
    /// the candidates, has enough. `all`: with records that are over.
    pub fn walk<'b>(
        &'b self,
        way: &InOrder,
        (filter, all): (&Filter, bool),
        budget: &Budget,
        mut visit: impl FnMut(u64, &'b Row) -> bool,
    ) {
        let Some(index) = self.sorted.get(way.index) else { return };
        let order = way.order.and_then(|at| self.indexes.get(at));
        let place = |slot: Slot| match order {
            Some(index) => index.acquired(&self.table, slot),
            None => self.table.order(slot),
        };
        let mut visit = |slot: Slot| {
            let Some(row) = self.table.row(slot) else { return false };
            if budget.look().is_err() {
                return false;
            }
            if (!all && self.is_over(row)) || !filter.matches(row, budget) {
                return true;
            }
            visit(place(slot), row)
        };
        let walk = Walk {
            index,
            fixed: way.fixed,
            ways: &way.ways,
            ties: (way.is_partial || way.order.is_some()).then_some(&place),
            passing: Cell::new(way.passed),
            budget,
        };
        walk.go(way.range.clone(), 0, &mut visit);
    }
}

impl InOrder {
    /// The index, by its position in [`Bucket::sorted_indexes`].
    pub fn index(&self) -> usize {
        self.index
    }

    /// How many records are on the way.
    pub fn len(&self) -> usize {
        self.range.len()
    }

    pub fn is_empty(&self) -> bool {
        self.range.is_empty()
    }

    /// Whether the filter asks for nothing but what the index has.
    pub fn is_covered(&self) -> bool {
        self.is_covered
    }

    /// Leaves out at most so many of the first records, without looking at
    /// them, where all on the way match and are shown. How many it leaves out.
    pub fn pass(&mut self, most: usize, bucket: &Bucket) -> usize {
        if self.is_exact && bucket.over_until.is_none() {
            self.passed = most.min(self.range.len());
        }
        self.passed
    }

    /// What kinds of values the records on the way have in the one field of
    /// the sort, if all of them match.
    pub fn kinds(&self, bucket: &Bucket) -> Option<Kinds> {
        let index = bucket.sorted.get(self.index)?;
        (self.is_exact && self.ways.len() == 1).then(|| index.kinds_within(&self.prefix))
    }
}

/// A walk through nested groups of equal values.
struct Walk<'a> {
    index: &'a SortedIndex,
    fixed: usize,
    ways: &'a [bool],
    /// The place among the candidates, where ties do not stand in its order.
    ties: Option<&'a dyn Fn(Slot) -> u64>,
    /// How many records are still to be left out.
    passing: Cell<usize>,
    budget: &'a Budget,
}

/// Entries that stand side by side, and the rank of the first one.
struct Neighbours<'a> {
    start: usize,
    entries: Vec<&'a Entry<Place, Slot>>,
}

impl Walk<'_> {
    /// Visits the records of a range that agree in everything before the field
    /// `at` of the sort. False: enough.
    fn go(&self, range: Range<usize>, at: usize, visit: &mut dyn FnMut(Slot) -> bool) -> bool {
        if self.passes(&range) {
            return true;
        }
        let rest = self.ways.get(at..).unwrap_or_default();
        let Some(descends) = rest.first() else { return self.tied(range, visit) };
        if self.ties.is_none() && rest.iter().all(|descends| !descends) {
            return self.plain(range, visit);
        }
        if !descends {
            return self.ascending(range, at, visit);
        }
        // Nothing comes last in both directions.
        let Some(first) = self.prefix_at(range.start, at) else { return true };
        let nothing = self.index.rank_of_nothing(&first).clamp(range.start, range.end);
        self.descending(range.start..nothing, at, visit)
            && self.go(nothing..range.end, at + 1, visit)
    }

    /// Whether a whole range is left out; where it is not, it is longer than
    /// what is.
    fn passes(&self, range: &Range<usize>) -> bool {
        let left = self.passing.get().checked_sub(range.len());
        left.inspect(|left| self.passing.set(*left)).is_some()
    }

    /// Visits a range as it stands.
    fn plain(&self, range: Range<usize>, visit: &mut dyn FnMut(Slot) -> bool) -> bool {
        self.index.slots(range.start + self.passing.take()..range.end).all(visit)
    }

    /// Visits a range group by group.
    fn ascending(
        &self,
        range: Range<usize>,
        at: usize,
        visit: &mut dyn FnMut(Slot) -> bool,
    ) -> bool {
        let mut start = range.start;
        let target = start + self.passing.get();
        if target > start {
            let Some(group) = self.prefix_at(target, at + 1) else { return true };
            start = self.index.rank(&group, &[]).clamp(range.start, target);
            self.passing.set(target - start);
        }
        while start < range.end {
            let beside = self.neighbours(start..range.end.min(start + NEIGHBOURS));
            let mut from = 0;
            while let Some(entry) = beside.entries.get(from) {
                let group = self.prefix_of(entry, at + 1);
                let behind = beside.entries.get(from + 1..).unwrap_or_default().iter();
                let to = from + 1 + behind.take_while(|entry| entry.key.begins(&group)).count();
                let mut end = start + to;
                if to == beside.entries.len() && end < range.end {
                    end = self.index.rank_behind(&group).clamp(end, range.end);
                }
                if !self.group((beside.start + from..end, entry), at + 1, visit) {
                    return false;
                }
                from = end - beside.start;
            }
            start = beside.start + from.max(1);
        }
        true
    }

    /// Visits a range group by group, the last one first.
    fn descending(
        &self,
        range: Range<usize>,
        at: usize,
        visit: &mut dyn FnMut(Slot) -> bool,
    ) -> bool {
        if self.passes(&range) {
            return true;
        }
        let mut end = range.end;
        // The last record that is visited, if any is left out.
        let target = end - 1 - self.passing.get();
        if target + 1 < end {
            let Some(group) = self.prefix_at(target, at + 1) else { return true };
            end = self.index.rank_behind(&group).clamp(target + 1, range.end);
            self.passing.set(end - 1 - target);
        }
        while end > range.start {
            let start = end.saturating_sub(NEIGHBOURS).max(range.start);
            let beside = self.neighbours(start..end);
            while let Some(entry) = end.checked_sub(start + 1).and_then(|at| beside.entries.get(at))
            {
                let group = self.prefix_of(entry, at + 1);
                let before = beside.entries.get(..end - 1 - start).unwrap_or_default().iter();
                let equal = before.rev().take_while(|entry| entry.key.begins(&group)).count();
                let mut first = end - 1 - equal;
                if first == start && start > range.start {
                    first = self.index.rank(&group, &[]).clamp(range.start, start);
                }
                if !self.group((first..end, entry), at + 1, visit) {
                    return false;
                }
                end = first;
            }
        }
        true
    }

    /// Visits a group, one of whose entries this is.
    fn group(
        &self,
        (range, entry): (Range<usize>, &Entry<Place, Slot>),
        at: usize,
        visit: &mut dyn FnMut(Slot) -> bool,
    ) -> bool {
        // Most groups have one record, which is at hand.
        if range.len() == 1 && self.passing.get() == 0 {
            return visit(entry.value);
        }
        self.go(range, at, visit)
    }

    /// Visits records that tie.
    fn tied(&self, range: Range<usize>, visit: &mut dyn FnMut(Slot) -> bool) -> bool {
        let Some(place) = self.ties.filter(|_| range.len() > 1) else {
            return self.plain(range, visit);
        };
        if self.budget.spend_sort(range.len()).is_err() {
            return false;
        }
        let mut slots: Vec<(u64, Slot)> =
            self.index.slots(range).map(|slot| (place(slot), slot)).collect();
        slots.sort_unstable();
        slots.into_iter().skip(self.passing.take()).all(|(_, slot)| visit(slot))
    }

    fn neighbours(&self, range: Range<usize>) -> Neighbours<'_> {
        let entries = self.index.tree.iter_from(range.start).take(range.len()).collect();
        Neighbours { start: range.start, entries }
    }

    /// A key up to what is fixed and so many fields of the sort.
    fn prefix_of(&self, entry: &Entry<Place, Slot>, fields: usize) -> Vec<u8> {
        entry.key.prefix(self.fixed + fields)
    }

    /// That of the record at a rank.
    fn prefix_at(&self, rank: usize, fields: usize) -> Option<Vec<u8>> {
        Some(self.prefix_of(self.index.tree.at(rank)?, fields))
    }
}
