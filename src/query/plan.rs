//! A query with its parameters, resolved against one bucket: what to look at,
//! in which order, and what to show. And its evaluation from scratch.

use super::definition::{Definition, Function};
use super::groups::{GroupBy, group_text};
use super::list::Window;
use super::order::{SortSpec, sort_like_reference};
use super::params::Params;
use super::piece::{GroupText, Piece, Projection};
use super::value::{Measure, Member, MemberChange};
use crate::budget::Budget;
use crate::json::Json;
use crate::protocol::OpError;
use crate::store::{Access, Bucket, BucketId, Change, Filter, InOrder, Row};
use std::collections::HashMap;
use std::sync::Arc;

/// Where the place of a record among the candidates comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Places {
    /// The order of the table.
    Table,
    /// The order in which records acquired their value in this index.
    Index(usize),
}

/// See the module's description.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub bucket: BucketId,
    pub filter: Filter,
    places: Places,
    /// No record can match.
    pub is_never: bool,
    pub projection: Projection,
    pub window: Window,
    pub sort: Option<SortSpec>,
    pub aggregate: Option<(Measure, Option<GroupBy>)>,
    /// What evaluations and upkeep are taken from: of the request that needs
    /// them, later of the query, which has no limit and counts.
    pub budget: Budget,
    /// Steps for each record that is shown, on top of looking at it.
    width: u64,
    /// Columns that are looked for in the whole record.
    unplaced: u64,
    /// Values are copied, to sort or to group by them.
    is_keyed: bool,
}

/// A result from scratch.
#[derive(Clone, Debug)]
pub(crate) enum Evaluated {
    Value(Option<f64>),
    List(Vec<Piece>),
}

impl Plan {
    /// `read_filter` restricts what the subscriber may see at all.
    pub fn new(
        bucket: &Bucket,
        definition: &Definition,
        params: &Params,
        read_filter: Option<&Json>,
        budget: &Budget,
    ) -> Result<Plan, OpError> {
        let layout = bucket.layout();
        let term = definition.filter.fill(params, budget)?;
        let mut filter = Filter::from_term(layout, &term)?;
        if let Some(read) = read_filter {
            filter = filter.and(&Arc::new(Filter::from_json(layout, read)?));
        }
        let access = bucket.access(&filter);
        let places = access.order().map_or(Places::Table, Places::Index);
        let sort = definition.sort.iter().map(|(name, way)| (&**name, *way));
        let aggregate = definition.aggregate.as_ref().map(|aggregate| {
            let by = aggregate.group_by.as_ref().map(|names| GroupBy::new(layout, names));
            (Measure::new(aggregate, layout), by)
        });
        let grouped = definition.aggregate.as_ref().and_then(|it| it.group_by.as_ref());
        let is_grouped = grouped.is_some();
        let sorted = definition.sort.iter().map(|(name, _)| &**name);
        let shown = definition.fields.iter().map(|name| &**name);
        let grouped = grouped.into_iter().flatten().map(|name| &**name);
        let (mut columns, mut unplaced) = (0u64, 0u64);
        for name in sorted.chain(shown).chain(grouped) {
            columns += 1;
            unplaced += u64::from(layout.slot(name).is_none());
        }
        Ok(Plan {
            budget: budget.clone(),
            // A few columns are part of looking.
            width: columns.saturating_sub(8) * 4,
            unplaced,
            is_keyed: !definition.sort.is_empty() || is_grouped,
            bucket: bucket.id(),
            is_never: access == Access::Nothing
                || (aggregate.is_none() && definition.limit == Some(0)),
            filter,
            places,
            projection: Projection::new(layout, bucket.key_field(), &definition.fields),
            window: Window::new(definition.offset, definition.limit),
            sort: (!definition.sort.is_empty()).then(|| SortSpec::new(layout, sort)),
            aggregate,
        })
    }

    /// Shows only what matches this filter too. The way to the candidates may be
    /// another one then, their order is not.
    pub fn narrow(&mut self, bucket: &Bucket, read: &Arc<Filter>) {
        let filter = std::mem::take(&mut self.filter).and(read);
        self.is_never |= bucket.access(&filter) == Access::Nothing;
        self.filter = filter;
    }

    /// The matching records with their places, in candidate order.
    pub fn members<'s>(&'s self, bucket: &'s Bucket) -> impl Iterator<Item = Member<'s>> + Clone {
        let rows = bucket.select_all(Some(&self.filter), &self.budget);
        rows.map(|(place, row)| self.look(Member { place, row }))
    }

    /// The same without records whose time is over, which is what a read shows.
    /// At most `pass` of the first ones are left out where that needs no look at
    /// them; how many are. The caller leaves out the others.
    pub fn shown<'s>(
        &'s self,
        bucket: &'s Bucket,
        pass: usize,
    ) -> (usize, impl Iterator<Item = Member<'s>> + Clone) {
        let mut rows = bucket.select(Some(&self.filter), &self.budget);
        let passed = rows.pass(pass);
        (passed, rows.map(|(place, row)| self.look(Member { place, row })))
    }

    /// A way to the rows in the order of the query, if an ordered index has it.
    pub fn in_order(&self, bucket: &Bucket) -> Option<InOrder> {
        let sort = self.sort.as_ref().filter(|_| self.aggregate.is_none())?;
        bucket.in_order(&self.filter, &sort.ways())
    }

    /// The first members on such a way. `all`: with records that are over.
    pub fn first_on<'b>(
        &self,
        (bucket, way): (&'b Bucket, &InOrder),
        all: bool,
        most: usize,
    ) -> Vec<Member<'b>> {
        let mut found = Vec::new();
        if most > 0 {
            bucket.walk(way, (&self.filter, all), &self.budget, |place, row| {
                found.push(self.look(Member { place, row }));
                found.len() < most
            });
        }
        found
    }

    /// Pays for looking at a member.
    pub fn look<'s>(&self, member: Member<'s>) -> Member<'s> {
        // Used up, the walk ends at its next step.
        let length = member.row.text().len();
        let searched = self.unplaced.saturating_mul(length as u64 / 8);
        let _ = self.budget.spend(self.width.saturating_add(searched));
        if self.is_keyed {
            let _ = self.budget.spend_text_bytes(length);
        }
        member
    }

    /// What a change means for the members. `None`: nothing, the record
    /// matches neither before nor after.
    pub fn change<'c>(&self, change: &'c Change) -> Option<MemberChange<'c>> {
        let places = match self.places {
            Places::Table => (Some(change.old_order), Some(change.new_order)),
            Places::Index(at) => {
                let candidates = change.candidates.get(at).copied().unwrap_or_default();
                (candidates.old, candidates.new)
            }
        };
        let member = |row: &'c Option<Row>, place: Option<u64>| {
            let row = row.as_ref().filter(|row| self.filter.matches(row, &self.budget))?;
            Some(Member { place: place?, row })
        };
        let (old, new) = (member(&change.old, places.0), member(&change.new, places.1));
        (old.is_some() || new.is_some()).then_some(MemberChange { old, new })
    }

    /// The index whose order is that of the candidates; none: that of the table.
    pub fn index_of_places(&self) -> Option<usize> {
        match self.places {
            Places::Table => None,
            Places::Index(at) => Some(at),
        }
    }

    /// Whether the rows stand in candidate order and all of them are shown.
    pub fn is_plain(&self) -> bool {
        self.sort.is_none()
            && self.aggregate.is_none()
            && self.window.offset == 0
            && self.window.limit.is_none()
    }

    /// The result from scratch. What is maintained is at all times equal to it.
    pub fn evaluate(&self, bucket: &Bucket) -> Evaluated {
        self.evaluate_over(self.members(bucket), usize::MAX)
    }

    /// The result of these members, which come in candidate order. Groups whose
    /// keys are together longer than `most` bytes are not gone on with: nobody
    /// will be sent them.
    pub fn evaluate_over<'r>(
        &self,
        members: impl Iterator<Item = Member<'r>>,
        most: usize,
    ) -> Evaluated {
        match &self.aggregate {
            None => Evaluated::List(self.rows(members)),
            Some((measure, None)) => {
                let mut tally = Tally::default();
                members.for_each(|member| tally.add(measure.number(member.row)));
                Evaluated::Value(tally.value(measure.function))
            }
            Some((measure, Some(by))) => Evaluated::List(groups(members, measure, by, most)),
        }
    }

    fn rows<'r>(&self, members: impl Iterator<Item = Member<'r>>) -> Vec<Piece> {
        let limit = self.window.limit.unwrap_or(usize::MAX);
        let mut rows: Vec<&Row> = members.map(|member| member.row).collect();
        if let Some(sort) = &self.sort {
            sort_like_reference(&mut rows, &mut |a, b| sort.compare(a, b));
        }
        let shown = rows.into_iter().skip(self.window.offset);
        shown.take(limit).map(|row| Piece::Row(row.clone())).collect()
    }
}

fn groups<'r>(
    members: impl Iterator<Item = Member<'r>>,
    measure: &Measure,
    by: &GroupBy,
    most: usize,
) -> Vec<Piece> {
    let mut groups: Vec<(Box<str>, Tally)> = Vec::new();
    let mut index: HashMap<Box<str>, usize> = HashMap::new();
    let mut bytes = 0usize;
    for member in members {
        let at = *index.entry(by.identity(member.row).into()).or_insert_with(|| {
            let key = by.key(member.row);
            bytes = bytes.saturating_add(key.len());
            groups.push((key, Tally::default()));
            groups.len() - 1
        });
        if let Some((_, tally)) = groups.get_mut(at) {
            tally.add(measure.number(member.row));
        }
        if bytes > most {
            break;
        }
    }
    let mut identities: Vec<(usize, Box<str>)> =
        index.into_iter().map(|(identity, at)| (at, identity)).collect();
    identities.sort_unstable_by_key(|(at, _)| *at);
    let shown = identities.into_iter().zip(groups).map(|((_, identity), (key, tally))| {
        let text = group_text(&key, tally.value(measure.function));
        Piece::Group(Arc::new(GroupText { identity: identity.into(), text }))
    });
    shown.collect()
}

/// What the functions make of values that come one by one, in this order.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    members: usize,
    numbers: usize,
    sum: f64,
    min: Option<f64>,
    max: Option<f64>,
}

impl Tally {
    /// `None`: the record has no number there.
    fn add(&mut self, number: Option<f64>) {
        self.members += 1;
        let Some(number) = number else { return };
        self.numbers += 1;
        self.sum += number;
        self.min = Some(self.min.map_or(number, |min| min.min(number)));
        self.max = Some(self.max.map_or(number, |max| max.max(number)));
    }

    fn value(&self, function: Function) -> Option<f64> {
        match function {
            Function::Count => Some(self.members as f64),
            Function::Sum => Some(self.sum),
            Function::Avg if self.numbers == 0 => Some(0.0),
            Function::Avg => Some(self.sum / self.numbers as f64),
            Function::Min => self.min,
            Function::Max => self.max,
        }
    }
}
