//! The records of a joined view, findable by the values that they are joined
//! on: one row of the join is found from any of its records.

use std::collections::BTreeSet;

use hashbrown::HashMap;

use super::plan::Join;
use super::predicate::value_at;
use crate::budget::Budget;
use crate::json::Kind;
use crate::logic::expr::Place;
use crate::store::Row;

/// The records of all sources.
#[derive(Debug)]
pub(super) struct Sources {
    sources: Vec<Records>,
    /// For every source: the others in an order in which each is linked to one
    /// before it.
    walks: Vec<Vec<usize>>,
}

#[derive(Debug, Default)]
struct Records {
    rows: HashMap<u64, Row>,
    /// Per end of a join at this source: which join, and who has which value.
    ends: Vec<End>,
}

#[derive(Debug)]
struct End {
    join: usize,
    other: usize,
    values: HashMap<Box<str>, BTreeSet<u64>>,
}

/// The value of a record that others are joined with; null, objects and arrays
/// match nothing.
fn joined_on(place: &Place, row: &Row, budget: &Budget) -> Option<Box<str>> {
    let value = value_at(place, row, budget)?;
    match value.kind() {
        Kind::String | Kind::Bool => Some(value.text().into()),
        Kind::Number => value.as_number().filter(|n| n.is_finite()).map(|_| value.text().into()),
        Kind::Null | Kind::Array | Kind::Object => None,
    }
}

fn place_of(join: &Join, source: usize) -> Option<&Place> {
    join.ends.iter().find(|(at, _)| *at == source).map(|(_, place)| place)
}

impl Sources {
    pub fn new(count: usize, joins: &[Join]) -> Self {
        let mut sources: Vec<Records> = (0..count).map(|_| Records::default()).collect();
        for (at, join) in joins.iter().enumerate() {
            let [(a, _), (b, _)] = &join.ends;
            for (here, other) in [(*a, *b), (*b, *a)] {
                if let Some(source) = sources.get_mut(here) {
                    source.ends.push(End { join: at, other, values: HashMap::new() });
                }
            }
        }
        let walk = |start: usize| {
            let mut walk = vec![start];
            let mut next = 0;
            while let Some(here) = walk.get(next).copied() {
                for end in sources.get(here).into_iter().flat_map(|source| &source.ends) {
                    if !walk.contains(&end.other) {
                        walk.push(end.other);
                    }
                }
                next += 1;
            }
            walk
        };
        let walks = (0..count).map(walk).collect();
        Sources { sources, walks }
    }

    pub fn row(&self, source: usize, order: u64) -> Option<&Row> {
        self.sources.get(source)?.rows.get(&order)
    }

    pub fn insert(
        &mut self,
        source: usize,
        order: u64,
        row: &Row,
        joins: &[Join],
        budget: &Budget,
    ) {
        let Some(records) = self.sources.get_mut(source) else { return };
        for end in &mut records.ends {
            let place = joins.get(end.join).and_then(|join| place_of(join, source));
            if let Some(value) = place.and_then(|place| joined_on(place, row, budget)) {
                end.values.entry(value).or_default().insert(order);
            }
        }
        records.rows.insert(order, row.clone());
    }

    pub fn remove(&mut self, source: usize, order: u64, joins: &[Join], budget: &Budget) {
        let Some(records) = self.sources.get_mut(source) else { return };
        let Some(row) = records.rows.remove(&order) else { return };
        for end in &mut records.ends {
            let place = joins.get(end.join).and_then(|join| place_of(join, source));
            let Some(value) = place.and_then(|place| joined_on(place, &row, budget)) else {
                continue;
            };
            if let Some(orders) = end.values.get_mut(&value) {
                orders.remove(&order);
                if orders.is_empty() {
                    end.values.remove(&value);
                }
            }
        }
    }

    /// Calls `with` for the places of every row of the join that a record of a
    /// source is a part of; until it says no.
    pub fn rows_with(
        &self,
        source: usize,
        order: u64,
        joins: &[Join],
        budget: &Budget,
        with: &mut dyn FnMut(&[u64]) -> bool,
    ) {
        let Some(walk) = self.walks.get(source) else { return };
        let mut places: Vec<Option<u64>> = vec![None; self.sources.len()];
        if let Some(place) = places.get_mut(source) {
            *place = Some(order);
        }
        self.extend(walk, 1, &mut places, joins, budget, with);
    }

    /// One more source; as deep as there are sources.
    fn extend(
        &self,
        walk: &[usize],
        next: usize,
        places: &mut Vec<Option<u64>>,
        joins: &[Join],
        budget: &Budget,
        with: &mut dyn FnMut(&[u64]) -> bool,
    ) -> bool {
        let Some(&source) = walk.get(next) else {
            let row: Option<Vec<u64>> = places.iter().copied().collect();
            return budget.spend(1).is_ok() && row.is_none_or(|row| with(&row));
        };
        let Some(records) = self.sources.get(source) else { return true };
        // Every end that leads to a source which has its record already: all of
        // them must hold, the shortest list is walked.
        let mut lists = Vec::new();
        for end in &records.ends {
            let Some(Some(order)) = places.get(end.other).copied() else { continue };
            let other = joins.get(end.join).and_then(|join| place_of(join, end.other));
            let value = self
                .row(end.other, order)
                .zip(other)
                .and_then(|(row, place)| joined_on(place, row, budget));
            match value.and_then(|value| end.values.get(&value)) {
                Some(orders) => lists.push(orders),
                None => return true,
            }
        }
        lists.sort_by_key(|list| list.len());
        let Some((shortest, others)) = lists.split_first() else { return true };
        for order in *shortest {
            if budget.look().is_err() {
                return false;
            }
            if !others.iter().all(|list| list.contains(order)) {
                continue;
            }
            if let Some(place) = places.get_mut(source) {
                *place = Some(*order);
            }
            if !self.extend(walk, next + 1, places, joins, budget, with) {
                return false;
            }
        }
        if let Some(place) = places.get_mut(source) {
            *place = None;
        }
        true
    }

    /// Bytes, about.
    pub fn memory(&self) -> usize {
        let values = |end: &End| end.values.len() * 96 + 16;
        let of = |source: &Records| {
            source.rows.len() * (48 + 24 * source.ends.len())
                + source.ends.iter().map(values).sum::<usize>()
        };
        self.sources.iter().map(of).sum()
    }
}
