//! What the result of a view is called, and what became of single records in it:
//! for those who come back.

use super::entry::Source;
use super::form::Form;
use super::ids::ViewId;
use super::list::ListChange;
use super::live::Live;
use super::piece::Piece;
use super::value::Member;
use super::view::View;
use super::views::Views;
use crate::app::CommitSeq;
use crate::json::Json;
use crate::store::{Bucket, BucketId, Key, Row, Store};

/// What a view answers, in texts that any server has alike.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Question<'v> {
    /// The operation that asks it.
    pub kind: &'static str,
    pub definition: String,
    /// The parameters that its filter mentions.
    pub params: &'v str,
    pub read_filter: Option<&'v str>,
}

/// A record of the result.
#[derive(Debug)]
pub(crate) struct Standing {
    /// Where the record stands: ascending as the result is ordered.
    rank: u64,
    row: Row,
}

impl Views {
    /// `None`: a program's, of which nobody knows what it asks.
    pub fn question(&self, id: ViewId) -> Option<Question<'_>> {
        let entry = self.entry(id)?;
        let query = self.queries.get(&entry.query)?;
        let (kind, definition) = match &query.source {
            Source::Declared(definition) if query.ad_hoc.is_some() => {
                ("store.live", definition.normal())
            }
            Source::Declared(definition) => ("store.subscribe", definition.normal()),
            Source::Derived(derivation) => ("logic.subscribeView", derivation.definition().clone()),
            Source::Program(_) => return None,
        };
        Some(Question {
            kind,
            definition: Json::Object(definition).to_text(),
            params: &entry.key.params,
            read_filter: entry.key.read_filter.as_deref(),
        })
    }

    /// Whether its result is the same as long as its records are.
    pub fn is_lasting(&self, id: ViewId) -> bool {
        match self.get(id) {
            Some(Live::Declared(_)) => true,
            Some(Live::Derived(view, _)) => view.is_lasting(),
            Some(Live::Program(..)) | None => false,
        }
    }

    /// The commit after which the result is as it is; not older than the view.
    pub fn changed_at(&self, id: ViewId) -> CommitSeq {
        self.entry(id).map_or(CommitSeq::MAX, |entry| entry.changed)
    }

    /// Whether changes of the result can be told record by record: plain rows
    /// that are maintained. The bucket.
    pub fn rows_of(&self, id: ViewId) -> Option<BucketId> {
        match self.get(id)? {
            Live::Declared(view) if view.is_told_by_row() => Some(view.bucket()),
            _ => None,
        }
    }

    fn view_over<'a>(&'a self, store: &'a Store, id: ViewId) -> Option<(&'a View, &'a Bucket)> {
        let Some(Live::Declared(view)) = self.get(id) else { return None };
        Some((view, store.bucket(view.bucket())?))
    }

    /// Rows of the result, counted up to `most`.
    pub fn count_rows(&self, store: &Store, id: ViewId, most: usize) -> usize {
        self.view_over(store, id).map_or(0, |(view, bucket)| view.count_rows(bucket, most))
    }

    /// The record with a key, if it is in the result.
    pub fn standing(&self, store: &Store, id: ViewId, key: &Key) -> Option<Standing> {
        let (view, bucket) = self.view_over(store, id)?;
        view.standing(bucket, key)
    }

    /// Appends `"changed":[…]` with these records, in the order of the result.
    pub fn write_changed(
        &self,
        id: ViewId,
        mut standing: Vec<Standing>,
        positions: bool,
        out: &mut Vec<u8>,
    ) {
        let Some(Live::Declared(view)) = self.get(id) else { return };
        standing.sort_unstable_by_key(|it| it.rank);
        let placed = standing.into_iter().map(|it| (it.rank as usize, Piece::Row(it.row)));
        ListChange::of_placed(placed).write(&view.plan.projection, positions, out);
    }
}

impl View {
    fn is_told_by_row(&self) -> bool {
        let plan = &self.plan;
        let is_whole = plan.window.offset == 0 && plan.window.limit.is_none();
        is_whole && matches!(self.form(), Form::Rows(_) | Form::Sorted(_) | Form::Set(_))
    }

    fn count_rows(&self, bucket: &Bucket, most: usize) -> usize {
        match self.form() {
            Form::Rows(list) => list.window().take(most).count(),
            Form::Sorted(sorted) => sorted.list().window().take(most).count(),
            _ => self.plan.members(bucket).take(most).count(),
        }
    }

    fn standing(&self, bucket: &Bucket, key: &Key) -> Option<Standing> {
        let (place, row) = bucket.candidate(key, self.plan.index_of_places())?;
        if !self.plan.filter.matches(row, &self.plan.budget) {
            return None;
        }
        let rank = match self.form() {
            Form::Rows(list) => list.rank(&place)? as u64,
            Form::Sorted(sorted) => {
                let sort = self.plan.sort.as_ref()?;
                let member = self.plan.look(Member { place, row });
                sorted.list().rank(&(sort.key(member.row), place))? as u64
            }
            _ => place,
        };
        Some(Standing { rank, row: row.clone() })
    }
}
