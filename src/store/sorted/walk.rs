//! Records in the order of a query, from an ordered index: as many as are
//! wanted, and no others are looked at.

use std::ops::Range;

use super::{Kinds, SortedIndex};
use crate::budget::Budget;
use crate::store::filter::Wanted;
use crate::store::read::Access;
use crate::store::table::Slot;
use crate::store::{Bounds, Bucket, Filter, Row};

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
            if budget.spend(1).is_err() {
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
    budget: &'a Budget,
}

impl Walk<'_> {
    /// Visits the records of a range that agree in everything before the field
    /// `at` of the sort. False: enough.
    fn go(&self, range: Range<usize>, at: usize, visit: &mut dyn FnMut(Slot) -> bool) -> bool {
        let rest = self.ways.get(at..).unwrap_or_default();
        let Some(descends) = rest.first() else { return self.tied(range, visit) };
        if self.ties.is_none() && rest.iter().all(|descends| !descends) {
            return self.index.slots(range).all(visit);
        }
        if !descends {
            let mut start = range.start;
            while start < range.end {
                let Some(group) = self.prefix_at(start, at) else { return true };
                let end = self.index.rank_behind(&group).clamp(start + 1, range.end);
                if !self.go(start..end, at + 1, visit) {
                    return false;
                }
                start = end;
            }
            return true;
        }
        // Nothing comes last in both directions.
        let Some(first) = self.prefix_before(range.start, at) else { return true };
        let nothing = self.index.rank_of_nothing(&first).clamp(range.start, range.end);
        let mut end = nothing;
        while end > range.start {
            let Some(group) = self.prefix_at(end - 1, at) else { return true };
            let start = self.index.rank(&group, &[]).clamp(range.start, end - 1);
            if !self.go(start..end, at + 1, visit) {
                return false;
            }
            end = start;
        }
        nothing == range.end || self.go(nothing..range.end, at + 1, visit)
    }

    /// Visits records that tie.
    fn tied(&self, range: Range<usize>, visit: &mut dyn FnMut(Slot) -> bool) -> bool {
        let Some(place) = self.ties.filter(|_| range.len() > 1) else {
            return self.index.slots(range).all(visit);
        };
        if self.budget.spend_sort(range.len()).is_err() {
            return false;
        }
        let mut slots: Vec<(u64, Slot)> =
            self.index.slots(range).map(|slot| (place(slot), slot)).collect();
        slots.sort_unstable();
        slots.into_iter().all(|(_, slot)| visit(slot))
    }

    /// The key of the record at a rank, up to the field `at` of the sort.
    fn prefix_at(&self, rank: usize, at: usize) -> Option<Vec<u8>> {
        Some(self.index.tree.at(rank)?.key.prefix(self.fixed + at + 1))
    }

    /// The same without that field.
    fn prefix_before(&self, rank: usize, at: usize) -> Option<Vec<u8>> {
        Some(self.index.tree.at(rank)?.key.prefix(self.fixed + at))
    }
}
