//! What subscribers see who look at a part of a result.

use std::sync::Arc;

use super::form::{Effect, same_list, span_of};
use super::ids::ViewId;
use super::list::{ListChange, write_keys, write_list};
use super::live::Live;
use super::piece::Piece;
use super::plan::Evaluated;
use super::span::{BySpan, Span};
use super::view::View;
use super::views::Views;
use crate::store::Store;

impl View {
    /// What a change of the result is to those who look through windows.
    pub(super) fn see(&self, effect: Effect) -> BySpan<Arc<[u8]>> {
        if self.spans().is_empty() {
            return BySpan::default();
        }
        match effect {
            Effect::List(_, seen) => {
                seen.iter().map(|(span, change)| (*span, self.delta_text(change, true))).collect()
            }
            Effect::Reset(before) => {
                let before = match &before {
                    Some(Evaluated::List(before)) => Some(before.as_slice()),
                    _ => None,
                };
                let changed = self.spans().behind(0).filter(|span| !self.is_same(before, *span));
                changed.map(|span| (span, self.window_reset_text(span))).collect()
            }
            Effect::Unchanged | Effect::Value => BySpan::default(),
        }
    }

    /// Whether a window shows what it would have shown of another result.
    fn is_same(&self, before: Option<&[Piece]>, span: Span) -> bool {
        let Some(before) = before.map(|before| span_of(before, span)) else { return false };
        // Its own budget has no end.
        let _ = self.plan.budget.spend(before.len() as u64);
        let now: Vec<Piece> = self.form().span(span).cloned().collect();
        same_list(before, &now, &self.plan.projection)
    }

    /// Appends `"keys":[…],"data":[…]` with what a window shows.
    fn write_window(&self, span: Span, out: &mut Vec<u8>) {
        out.extend_from_slice(b"\"keys\":");
        write_keys(self.form().span(span), &self.plan.projection, out);
        out.extend_from_slice(b",\"data\":");
        write_list(self.form().span(span), &self.plan.projection, out);
    }

    /// What follows `"seq":n,` in a reset of a window.
    pub fn window_reset_text(&self, span: Span) -> Arc<[u8]> {
        let mut out = b"\"reset\":true,".to_vec();
        self.write_window(span, &mut out);
        out.into()
    }

    /// The difference between two windows.
    fn between(&self, from: Span, to: Span) -> ListChange {
        let rows = self.form().rows().unwrap_or_default();
        let (was, is) = (from.of(rows), to.of(rows));
        let rest = |span: Span, other: &std::ops::Range<usize>| {
            let (first, other) = (span.of(rows).start, other.clone());
            let shown = (first..).zip(self.form().span(span));
            shown.filter(move |(rank, _)| !other.contains(rank))
        };
        let gone = rest(from, &is).map(|(_, piece)| piece.clone());
        let placed = rest(to, &was).map(|(rank, piece)| (rank - is.start, piece.clone()));
        ListChange::of_crossed(gone, placed)
    }
}

impl Live {
    /// Rows of the whole result, of which windows show a part.
    pub fn total(&self) -> usize {
        self.size().0.unwrap_or_default()
    }

    /// Appends `"keys":[…],"data":[…]` with what a window shows.
    pub fn write_window(&self, span: Span, out: &mut Vec<u8>) {
        if let Live::Declared(view) = self {
            view.write_window(span, out);
        }
    }

    /// Appends what leads from one window to another, without the braces around
    /// it: nothing where both show the same.
    pub fn write_move(&self, from: Span, to: Span, out: &mut Vec<u8>) {
        if let Live::Declared(view) = self {
            view.between(from, to).write(&view.plan.projection, true, out);
        }
    }
}

impl Views {
    /// Whether the result of a query is rows; `None`: there is no such query, or it is
    /// the program's.
    pub fn is_of_rows(&self, query: &str) -> Option<bool> {
        let definition = self.source_named(query)?.definition()?;
        Some(definition.aggregate.is_none())
    }

    /// Somebody who looked at one part of a result looks at another.
    pub fn move_window(&mut self, store: &Store, id: ViewId, from: Span, to: Span) {
        if let Some(Live::Declared(view)) = self.get_mut(id) {
            view.look_elsewhere(from, to);
        }
        self.account(store, id);
    }
}
