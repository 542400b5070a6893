//! How a view keeps its result, one way per form of query, and when it gives
//! up and evaluates afresh.

use super::digest::{Digest, write_set};
use super::groups::GroupsForm;
use super::list::{List, ListChange, Op, Window, write_keys, write_list};
use super::order::{Columns, SortKey, SortSpec};
use super::piece::{Piece, Projection};
use super::plan::{Evaluated, Plan};
use super::span::{BySpan, Span, Spans};
use super::sum::NeedsColumn;
use super::value::{Member, MemberChange, ValueForm, same_number};
use crate::json::write_number;
use crate::store::{Bucket, InOrder};

/// Why a view is evaluated afresh at every change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fallback {
    /// A column that it is sorted by holds values that do not compare.
    MixedColumn,
    /// Its state would take more memory than a view may have.
    Budget,
    /// What was maintained was found to be wrong.
    Inconsistent,
}

impl Fallback {
    pub const fn as_str(self) -> &'static str {
        match self {
            Fallback::MixedColumn => "mixedColumn",
            Fallback::Budget => "budget",
            Fallback::Inconsistent => "inconsistent",
        }
    }
}

/// The state must be built anew from the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rebuild;

impl From<NeedsColumn> for Rebuild {
    fn from(_: NeedsColumn) -> Self {
        Rebuild
    }
}

/// What a commit did to a result.
#[derive(Debug)]
pub(crate) enum Effect {
    Unchanged,
    /// A value became another one.
    Value,
    /// What it is for the whole result, and through windows of it.
    List(ListChange, BySpan<ListChange>),
    /// Another result, by a way that nobody kept track of; what it was, where that
    /// is known.
    Reset(Option<Evaluated>),
}

/// See the module's description.
#[derive(Debug)]
pub(crate) enum Form {
    Value(ValueForm),
    Groups(Box<GroupsForm>),
    /// Rows in candidate order.
    Rows(List<u64>),
    Sorted(Box<Sorted>),
    /// All matching rows as a set. Keeps none of them: a change says by itself
    /// what enters, leaves and looks different. Serves subscribers that do not
    /// ask for positions. `None`: nobody was sent the whole.
    Set(Option<Digest>),
    Rerun(Fallback, Evaluated),
}

/// Rows in the order of their sort keys.
#[derive(Debug)]
pub(crate) struct Sorted {
    list: List<(SortKey, u64)>,
    /// Of all members, shown or not.
    columns: Columns,
}

impl Form {
    /// Builds the state from all matching records. `as_set`: no subscriber
    /// needs the order of plain rows.
    pub fn build(plan: &Plan, bucket: &Bucket, as_set: bool) -> Form {
        match (&plan.aggregate, &plan.sort) {
            (Some((measure, None)), _) => {
                Form::Value(ValueForm::new(measure.clone(), plan.members(bucket)))
            }
            (Some((measure, Some(by))), _) => {
                let (by, measure) = (by.clone(), measure.clone());
                let members = plan.members(bucket);
                Form::Groups(Box::new(GroupsForm::new(by, measure, members, &plan.projection)))
            }
            (None, None) if as_set && plan.is_plain() => Form::Set(None),
            (None, None) => {
                let members = plan.members(bucket).count();
                let first = first_rows(plan, bucket, plan.window.held());
                Form::Rows(List::new(plan.window, members, first, &plan.projection))
            }
            (None, Some(sort)) => {
                if let Some(sorted) = Sorted::by_index(plan, bucket, sort) {
                    return Form::Sorted(Box::new(sorted));
                }
                let mut columns = sort.columns();
                let mut members = 0;
                let counted = plan.members(bucket).inspect(|member| {
                    sort.count(&mut columns, member.row, true);
                    members += 1;
                });
                let first = first_sorted(counted, sort, plan.window.held());
                if !sort.is_total(&columns) {
                    return Form::Rerun(Fallback::MixedColumn, plan.evaluate(bucket));
                }
                let list = List::new(plan.window, members, first, &plan.projection);
                Form::Sorted(Box::new(Sorted { list, columns }))
            }
        }
    }

    /// Applies a commit: O(k log n) for k changes unless it falls back.
    /// `Err`: the state is of no use any more.
    pub fn apply(
        &mut self,
        plan: &Plan,
        bucket: &Bucket,
        changes: &[MemberChange<'_>],
        spans: &Spans,
    ) -> Result<Effect, Rebuild> {
        let whole = |change| (change, BySpan::default());
        let listed = |change: Option<(ListChange, BySpan<ListChange>)>| {
            change.map_or(Effect::Unchanged, |(change, seen)| Effect::List(change, seen))
        };
        Ok(match self {
            Form::Value(form) => match form.apply(changes)? {
                true => Effect::Value,
                false => Effect::Unchanged,
            },
            Form::Groups(form) => listed(form.apply(changes, &plan.projection)?.map(whole)),
            Form::Rows(list) => {
                let ops = changes.iter().map(|change| Op {
                    old: change.old.map(|old| old.place),
                    new: change.new.map(|new| (new.place, Piece::Row(new.row.clone()))),
                });
                let refill = &mut |most| first_rows(plan, bucket, most);
                listed(list.apply(ops.collect(), &plan.projection, spans, refill))
            }
            Form::Sorted(sorted) => {
                let Some(sort) = &plan.sort else { return Err(Rebuild) };
                for change in changes {
                    sorted.count(sort, *change);
                }
                if !sort.is_total(&sorted.columns) {
                    return Err(Rebuild);
                }
                listed(sorted.apply(plan, sort, bucket, (changes, spans)))
            }
            Form::Set(digest) => {
                let change = ListChange::of_set(changes, &plan.projection);
                if let (Some(digest), Some(change)) = (digest, &change) {
                    digest.follow(change, &plan.projection);
                }
                listed(change.map(whole))
            }
            Form::Rerun(Fallback::MixedColumn, _) if plan.is_ordered(bucket) => {
                return Err(Rebuild);
            }
            Form::Rerun(_, last) => {
                let before = std::mem::replace(last, plan.evaluate(bucket));
                difference(before, last, &plan.projection)
            }
        })
    }

    /// The elements of a result that is a list.
    pub fn pieces<'f>(
        &'f self,
        plan: &'f Plan,
        bucket: &'f Bucket,
    ) -> Box<dyn Iterator<Item = Piece> + 'f> {
        match self {
            Form::Groups(form) => Box::new(form.window().cloned()),
            Form::Rows(list) => Box::new(list.window().cloned()),
            Form::Sorted(sorted) => Box::new(sorted.list.window().cloned()),
            Form::Set(_) => {
                Box::new(plan.members(bucket).map(|member| Piece::Row(member.row.clone())))
            }
            Form::Rerun(_, Evaluated::List(pieces)) => Box::new(pieces.iter().cloned()),
            Form::Value(_) | Form::Rerun(_, Evaluated::Value(_)) => Box::new(std::iter::empty()),
        }
    }

    /// What a window of a result of rows shows.
    pub fn span(&self, span: Span) -> Box<dyn Iterator<Item = &Piece> + '_> {
        match self {
            Form::Rows(list) => Box::new(list.span(span)),
            Form::Sorted(sorted) => Box::new(sorted.list.span(span)),
            Form::Rerun(_, Evaluated::List(pieces)) => Box::new(span_of(pieces, span).iter()),
            // Nobody looks at these through a window.
            Form::Set(_)
            | Form::Groups(_)
            | Form::Value(_)
            | Form::Rerun(_, Evaluated::Value(_)) => Box::new(std::iter::empty()),
        }
    }

    /// A result that is one number; `None`: it is a list.
    pub fn value(&self) -> Option<Option<f64>> {
        match self {
            Form::Value(form) => Some(form.value()),
            Form::Rerun(_, Evaluated::Value(value)) => Some(*value),
            _ => None,
        }
    }

    /// Appends the whole result; nothing if it is undefined.
    pub fn write(&self, plan: &Plan, bucket: &Bucket, out: &mut Vec<u8>) {
        let projection = &plan.projection;
        match self {
            Form::Groups(form) => {
                out.reserve(form.text_len());
                write_list(form.window(), projection, out);
            }
            Form::Rows(list) => {
                out.reserve(list.text_len());
                write_list(list.window(), projection, out);
            }
            Form::Sorted(sorted) => {
                out.reserve(sorted.list.text_len());
                write_list(sorted.list.window(), projection, out);
            }
            Form::Rerun(_, Evaluated::List(pieces)) => write_list(pieces.iter(), projection, out),
            Form::Set(_) => drop(write_set(plan, bucket, out)),
            Form::Value(_) | Form::Rerun(_, Evaluated::Value(_)) => {
                if let Some(Some(value)) = self.value() {
                    write_number(out, value);
                }
            }
        }
    }

    /// Appends the identities of the elements.
    pub fn write_keys(&self, plan: &Plan, bucket: &Bucket, out: &mut Vec<u8>) {
        match self {
            Form::Rows(list) => write_keys(list.window(), &plan.projection, out),
            Form::Sorted(sorted) => write_keys(sorted.list.window(), &plan.projection, out),
            Form::Groups(form) => write_keys(form.window(), &plan.projection, out),
            _ => {
                let pieces: Vec<Piece> = self.pieces(plan, bucket).collect();
                write_keys(pieces.iter(), &plan.projection, out);
            }
        }
    }

    /// Bytes of the state, about; the records are the bucket's.
    pub fn memory(&self) -> usize {
        match self {
            Form::Value(form) => form.memory(),
            Form::Groups(form) => form.memory(),
            Form::Rows(list) => list.memory(),
            Form::Sorted(sorted) => sorted.list.memory(),
            Form::Set(_) => 0,
            Form::Rerun(_, Evaluated::Value(_)) => 0,
            Form::Rerun(_, Evaluated::List(pieces)) => pieces.len() * size_of::<Piece>(),
        }
    }

    /// How many rows the result has; `None`: it is none, or nobody has counted.
    pub fn rows(&self) -> Option<usize> {
        match self {
            Form::Groups(form) => Some(form.rows()),
            Form::Rows(list) => Some(list.rows()),
            Form::Sorted(sorted) => Some(sorted.list.rows()),
            Form::Rerun(_, Evaluated::List(pieces)) => Some(pieces.len()),
            Form::Set(_) | Form::Value(_) | Form::Rerun(_, Evaluated::Value(_)) => None,
        }
    }

    /// Bytes of the text of a result that is a list and kept in order.
    pub fn text_len(&self) -> Option<usize> {
        match self {
            Form::Groups(form) => Some(form.text_len()),
            Form::Rows(list) => Some(list.text_len()),
            Form::Sorted(sorted) => Some(sorted.list.text_len()),
            Form::Set(_) | Form::Value(_) | Form::Rerun(..) => None,
        }
    }

    /// For `store.explain`.
    pub fn describe(&self) -> &'static str {
        match self {
            Form::Value(_) => "accumulator",
            Form::Groups(_) => "groups",
            Form::Rows(list) if list.is_complete() => "orderedList",
            Form::Sorted(sorted) if sorted.list.is_complete() => "orderedList",
            Form::Rows(_) | Form::Sorted(_) => "orderedPrefix",
            Form::Set(_) => "none",
            Form::Rerun(..) => "rerun",
        }
    }

    /// How often a list had to be filled again.
    pub fn refills(&self) -> u64 {
        match self {
            Form::Rows(list) => list.refills,
            Form::Sorted(sorted) => sorted.list.refills,
            _ => 0,
        }
    }
}

/// Members that are held behind the window where an index finds more at once.
const INDEXED_RESERVE: usize = 256;

impl Sorted {
    /// The beginning, and what is behind it by numbers only, where an ordered
    /// index knows them.
    fn by_index(plan: &Plan, bucket: &Bucket, sort: &SortSpec) -> Option<Sorted> {
        plan.window.limit?;
        let way = plan.in_order(bucket)?;
        let columns = Columns::of_one(way.kinds(bucket)?);
        if !sort.is_total(&columns) {
            return None;
        }
        let window = Window { reserve: INDEXED_RESERVE, ..plan.window };
        let first = first_on(plan, bucket, sort, &way, window.held());
        let list = List::new(window, way.len(), first, &plan.projection);
        Some(Sorted { list, columns })
    }

    pub fn list(&self) -> &List<(SortKey, u64)> {
        &self.list
    }

    fn count(&mut self, sort: &SortSpec, change: MemberChange<'_>) {
        if let Some(old) = change.old {
            sort.count(&mut self.columns, old.row, false);
        }
        if let Some(new) = change.new {
            sort.count(&mut self.columns, new.row, true);
        }
    }

    fn apply(
        &mut self,
        plan: &Plan,
        sort: &SortSpec,
        bucket: &Bucket,
        (changes, spans): (&[MemberChange<'_>], &Spans),
    ) -> Option<(ListChange, BySpan<ListChange>)> {
        let key = |member: Member<'_>| (sort.key(member.row), member.place);
        let ops = changes.iter().map(|change| Op {
            old: change.old.map(key),
            new: change.new.map(|new| (key(new), Piece::Row(new.row.clone()))),
        });
        let refill = &mut |most| match plan.in_order(bucket).filter(InOrder::is_covered) {
            Some(way) => first_on(plan, bucket, sort, &way, most),
            None => first_sorted(plan.members(bucket), sort, most),
        };
        self.list.apply(ops.collect(), &plan.projection, spans, refill)
    }
}

fn first_rows(plan: &Plan, bucket: &Bucket, most: usize) -> Vec<(u64, Piece)> {
    let members = plan.members(bucket).take(most);
    members.map(|member| (member.place, Piece::Row(member.row.clone()))).collect()
}

fn first_on(
    plan: &Plan,
    bucket: &Bucket,
    sort: &SortSpec,
    way: &InOrder,
    most: usize,
) -> Vec<((SortKey, u64), Piece)> {
    let members = plan.first_on((bucket, way), true, most).into_iter();
    let key = |member: &Member<'_>| (sort.key(member.row), member.place);
    members.map(|member| (key(&member), Piece::Row(member.row.clone()))).collect()
}

/// The first so many in the order of their keys, in O(n + most log most).
pub(super) fn first_sorted<'r>(
    members: impl Iterator<Item = Member<'r>>,
    sort: &SortSpec,
    most: usize,
) -> Vec<((SortKey, u64), Piece)> {
    let by_key = |a: &((SortKey, u64), Piece), b: &((SortKey, u64), Piece)| a.0.cmp(&b.0);
    let mut first: Vec<((SortKey, u64), Piece)> = Vec::new();
    // The greatest key that is among the first so many, once there are enough.
    let mut worst: Option<(SortKey, u64)> = None;
    for member in members {
        let key = (sort.key(member.row), member.place);
        if worst.as_ref().is_some_and(|worst| key > *worst) {
            continue;
        }
        first.push((key, Piece::Row(member.row.clone())));
        // Twice as many are collected and then cut in linear time.
        if most > 0 && first.len() >= most.saturating_mul(2) {
            first.select_nth_unstable_by(most - 1, by_key);
            first.truncate(most);
            worst = first.last().map(|(key, _)| key.clone());
        }
    }
    first.sort_unstable_by(by_key);
    first.truncate(most);
    first
}

/// Compares two results from scratch.
pub(crate) fn difference(old: Evaluated, new: &Evaluated, projection: &Projection) -> Effect {
    match (&old, new) {
        (Evaluated::Value(old), Evaluated::Value(new)) if same_number(*old, *new) => {
            Effect::Unchanged
        }
        (Evaluated::Value(_), Evaluated::Value(_)) => Effect::Value,
        (Evaluated::List(old), Evaluated::List(new)) if same_list(old, new, projection) => {
            Effect::Unchanged
        }
        _ => Effect::Reset(Some(old)),
    }
}

/// What a window of a list shows.
pub(super) fn span_of(pieces: &[Piece], span: Span) -> &[Piece] {
    pieces.get(span.of(pieces.len())).unwrap_or_default()
}

pub(super) fn same_list(old: &[Piece], new: &[Piece], projection: &Projection) -> bool {
    let key = |piece: &Piece| {
        let mut key = Vec::new();
        projection.write_key(piece, &mut key);
        key
    };
    old.len() == new.len()
        && old.iter().zip(new).all(|(a, b)| match (a, b) {
            (Piece::Group(a), Piece::Group(b)) => a == b,
            (Piece::Row(x), Piece::Row(y)) => projection.same(x, y) && key(a) == key(b),
            _ => false,
        })
}

impl Plan {
    /// Whether the columns by which it is sorted have one order. O(n).
    fn is_ordered(&self, bucket: &Bucket) -> bool {
        let Some(sort) = &self.sort else { return true };
        let mut columns = sort.columns();
        for member in self.members(bucket) {
            sort.count(&mut columns, member.row, true);
        }
        sort.is_total(&columns)
    }

    /// The word for what the result is, in delta mode.
    pub fn shape(&self) -> &'static str {
        match &self.aggregate {
            None => "rows",
            Some((_, None)) => "value",
            Some((_, Some(_))) => "groups",
        }
    }
}
