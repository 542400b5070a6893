//! The rows of a view, kept up to date at the cost of what changes.

use std::collections::{BTreeMap, BTreeSet};

use hashbrown::HashMap;

use super::plan::{Column, Key, Plan};
use super::sources::Sources;
use crate::budget::Budget;
use crate::json::{Json, write_string};
use crate::logic::expr::{Cx, Record, Value};
use crate::logic::totals::{Parts, Totals, group_key, parts_of};
use crate::query::order::text_bytes;
use crate::query::sum::ordered_bits;
use crate::store::Row;

/// The places of the records of a joined row, in the order of the sources: rows
/// compare as they do without `orderBy`.
type Places = Box<[u64]>;

/// What a row is ordered by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Ascending(Scalar),
    Descending(std::cmp::Reverse<Scalar>),
    /// Last in both directions.
    Null,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Scalar {
    Bool(bool),
    Number(u64),
    Text(Box<[u8]>),
    Other,
}

type SortKey = (Box<[Part]>, Places);

#[derive(Debug)]
pub(super) struct State {
    sources: Sources,
    /// How many.
    count: usize,
    /// The joined rows that match.
    joined: BTreeSet<Places>,
    groups: HashMap<Box<str>, Group>,
    /// Groups that the current commit has changed.
    dirty: BTreeSet<Box<str>>,
    out: BTreeMap<SortKey, Box<str>>,
    /// Where a joined row stands in `out`; not with groups.
    shown: HashMap<Places, SortKey>,
    changed: bool,
    bytes: usize,
}

#[derive(Debug)]
struct Group {
    members: BTreeMap<Places, Parts>,
    totals: Totals,
    shown: Option<SortKey>,
}

/// More joined rows than there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooMany;

/// What everything is evaluated with.
#[derive(Clone, Copy)]
pub(super) struct With<'a> {
    pub plan: &'a Plan,
    pub now: f64,
    pub budget: &'a Budget,
    /// Joined rows that there may be.
    pub most: usize,
}

impl State {
    pub fn new(sources: usize, with: With<'_>) -> State {
        let mut state = State {
            sources: Sources::new(sources, &with.plan.joins),
            count: sources,
            joined: BTreeSet::new(),
            groups: HashMap::new(),
            dirty: BTreeSet::new(),
            out: BTreeMap::new(),
            shown: HashMap::new(),
            changed: false,
            bytes: 0,
        };
        if with.plan.group.as_ref().is_some_and(Vec::is_empty) {
            // One row, also over nothing.
            state.dirty.insert("".into());
        }
        state
    }

    /// Takes a record of a source out, if it is there.
    pub fn remove(&mut self, source: usize, order: u64, with: With<'_>) {
        if self.sources.row(source, order).is_none() {
            return;
        }
        let mut gone = Vec::new();
        self.sources.rows_with(source, order, &with.plan.joins, with.budget, &mut |places| {
            gone.push(Places::from(places));
            true
        });
        for places in gone {
            if self.joined.contains(&places) {
                self.leave(&places, with);
                self.joined.remove(&places);
            }
        }
        self.sources.remove(source, order, &with.plan.joins, with.budget);
    }

    /// Adds a record of a source, instead of the one at its place if there is
    /// one.
    pub fn insert(
        &mut self,
        source: usize,
        order: u64,
        row: &Row,
        with: With<'_>,
    ) -> Result<(), TooMany> {
        self.remove(source, order, with);
        self.sources.insert(source, order, row, &with.plan.joins, with.budget);
        let mut found = Vec::new();
        let mut room = with.most.saturating_sub(self.joined.len());
        let mut too_many = false;
        let sources = &self.sources;
        sources.rows_with(source, order, &with.plan.joins, with.budget, &mut |places| {
            if !matches(sources, places, with) {
                return true;
            }
            too_many = room == 0;
            room = room.saturating_sub(1);
            found.push(Places::from(places));
            !too_many
        });
        if too_many {
            return Err(TooMany);
        }
        for places in found {
            self.enter(&places, with);
            self.joined.insert(places);
        }
        Ok(())
    }

    fn enter(&mut self, places: &Places, with: With<'_>) {
        let plan = with.plan;
        let rows = rows_of(&self.sources, places);
        let records: Vec<Record<'_>> = rows.iter().map(|row| Record::Row(row)).collect();
        let cx = context(&records, &[], with);
        match &plan.group {
            None => {
                let (key, text) = output(plan, &cx, &[], places.clone());
                self.shown.insert(places.clone(), key.clone());
                self.show(None, Some((key, text)));
            }
            Some(by) => {
                let key = key_of(by, &cx);
                let aggregates = plan.columns.iter().flat_map(|column| column.expr.aggregates());
                let parts = parts_of(aggregates, &cx);
                let group = self
                    .groups
                    .entry(key.clone())
                    .or_insert_with(|| Group::new(plan, places.len()));
                group.totals.add(place_of(places), &parts);
                group.members.insert(places.clone(), parts);
                self.dirty.insert(key);
            }
        }
    }

    fn leave(&mut self, places: &Places, with: With<'_>) {
        let Some(by) = &with.plan.group else {
            let key = self.shown.remove(places);
            self.show(key, None);
            return;
        };
        let rows = rows_of(&self.sources, places);
        let records: Vec<Record<'_>> = rows.iter().map(|row| Record::Row(row)).collect();
        let key = key_of(by, &context(&records, &[], with));
        if let Some(group) = self.groups.get_mut(&key)
            && let Some(parts) = group.members.remove(places)
        {
            group.totals.remove(place_of(places), &parts);
        }
        self.dirty.insert(key);
    }

    /// Replaces a row of the output.
    fn show(&mut self, old: Option<SortKey>, new: Option<(SortKey, Box<str>)>) {
        let gone = old.and_then(|old| self.out.remove(&old));
        self.changed |= gone.is_some() || new.is_some();
        self.bytes = self.bytes.saturating_sub(gone.map_or(0, |text| text.len()));
        if let Some((key, text)) = new {
            self.bytes += text.len();
            self.out.insert(key, text);
        }
    }

    /// Brings the groups up to date. Whether rows may be others than at the
    /// last call.
    pub fn settle(&mut self, with: With<'_>) -> bool {
        let mut moved = Vec::new();
        for key in std::mem::take(&mut self.dirty) {
            let (old, new) = self.settle_group(key, with);
            let same = match (&old, &new) {
                (Some(old), Some((key, text))) => old == key && self.out.get(old) == Some(text),
                (old, new) => old.is_none() && new.is_none(),
            };
            if !same {
                moved.push((old, new));
            }
        }
        // All old rows go before the new ones come: one group may now stand
        // where another stood.
        for (old, _) in &mut moved {
            self.show(old.take(), None);
        }
        for (_, new) in moved {
            self.show(None, new);
        }
        std::mem::take(&mut self.changed)
    }

    /// The row that a group was shown as, and the one it is to be shown as.
    fn settle_group(
        &mut self,
        key: Box<str>,
        with: With<'_>,
    ) -> (Option<SortKey>, Option<(SortKey, Box<str>)>) {
        let plan = with.plan;
        let always = plan.group.as_ref().is_some_and(Vec::is_empty);
        let mut group = match self.groups.remove(&key) {
            Some(group) => group,
            None => Group::new(plan, self.count),
        };
        let old = group.shown.take();
        let first = group.members.keys().next().cloned();
        if first.is_none() && !always {
            return (old, None);
        }
        let Group { members, totals, .. } = &mut group;
        let values = totals.values(|| {
            // A sum that is added up anew looks at all members.
            let _ = with.budget.spend(members.len() as u64);
            members.values()
        });
        let rows = first.as_ref().map(|first| rows_of(&self.sources, first)).unwrap_or_default();
        let records: Vec<Record<'_>> = rows.iter().map(|row| Record::Row(row)).collect();
        let cx = context(&records, &values, with);
        let (sort, text) = output(plan, &cx, &values, first.clone().unwrap_or_default());
        group.shown = Some(sort.clone());
        self.groups.insert(key, group);
        (old, Some((sort, text)))
    }

    /// The rows as they are shown.
    pub fn write(&self, limit: usize, budget: &Budget, out: &mut Vec<u8>) {
        out.push(b'[');
        for (at, text) in self.out.values().take(limit).enumerate() {
            if at > 0 {
                out.push(b',');
            }
            if budget.spend_bytes(text.len()).is_err() {
                break;
            }
            out.extend_from_slice(text.as_bytes());
        }
        out.push(b']');
    }

    pub fn len(&self, limit: usize) -> usize {
        self.out.len().min(limit)
    }

    /// Bytes, about.
    pub fn memory(&self) -> usize {
        self.sources.memory() + self.bytes + self.joined.len() * 160 + self.groups.len() * 256
    }
}

impl Group {
    fn new(plan: &Plan, sources: usize) -> Group {
        let aggregates = plan.columns.iter().flat_map(|column| column.expr.aggregates());
        // The places of one source order its rows; those of several do not fit.
        let totals = Totals::new(aggregates.map(|aggregate| aggregate.function), sources == 1);
        Group { members: BTreeMap::new(), totals, shown: None }
    }
}

fn place_of(places: &Places) -> u64 {
    places.first().copied().unwrap_or_default()
}

fn rows_of<'s>(sources: &'s Sources, places: &[u64]) -> Vec<&'s Row> {
    let rows = places.iter().enumerate();
    rows.filter_map(|(source, order)| sources.row(source, *order)).collect()
}

fn matches(sources: &Sources, places: &[u64], with: With<'_>) -> bool {
    let rows = rows_of(sources, places);
    let records: Vec<Record<'_>> = rows.iter().map(|row| Record::Row(row)).collect();
    with.plan.predicate.holds(&rows, &records, with.now, with.budget)
}

fn context<'a>(records: &'a [Record<'a>], aggregates: &'a [Json], with: With<'a>) -> Cx<'a> {
    Cx { records, computed: &[], aggregates, now: with.now, budget: with.budget }
}

fn key_of(by: &[crate::logic::expr::Place], cx: &Cx<'_>) -> Box<str> {
    let mut key = String::new();
    for place in by {
        key.push_str(&group_key(&place.read(cx)));
        key.push(',');
    }
    // One group of everything has the empty key.
    key.into()
}

/// A row of the output and what it is ordered by.
fn output(plan: &Plan, cx: &Cx<'_>, aggregates: &[Json], places: Places) -> (SortKey, Box<str>) {
    let values: Vec<Json> =
        plan.columns.iter().map(|column| column_value(column, cx, aggregates)).collect();
    let mut text = Vec::new();
    for (column, value) in plan.columns.iter().zip(&values) {
        text.push(if text.is_empty() { b'{' } else { b',' });
        write_string(&mut text, &column.name);
        text.push(b':');
        value.write(&mut text);
    }
    text.push(b'}');
    let parts = plan.order.iter().map(|(key, descending)| {
        let value = match key {
            Key::Column(at) => values.get(*at).map_or(Value::Null, Value::of_json),
            Key::Path(place) => place.read(cx),
        };
        let scalar = match value {
            Value::Null => return Part::Null,
            Value::Bool(value) => Scalar::Bool(value),
            Value::Number(number) => Scalar::Number(ordered_bits(number)),
            Value::Text(text) => Scalar::Text(text_bytes(&text)),
            Value::Raw(_) | Value::Tree(_) => Scalar::Other,
        };
        match descending {
            false => Part::Ascending(scalar),
            true => Part::Descending(std::cmp::Reverse(scalar)),
        }
    });
    let key = (parts.collect(), places);
    (key, String::from_utf8(text).unwrap_or_default().into())
}

fn column_value(column: &Column, cx: &Cx<'_>, aggregates: &[Json]) -> Json {
    let aggregates = aggregates.get(column.first_aggregate..).unwrap_or_default();
    column.expr.evaluate(&Cx { aggregates, ..*cx }).to_json()
}
