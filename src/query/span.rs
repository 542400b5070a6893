//! Parts of a result that subscribers look at instead of the whole: windows, as
//! clients call them.

use std::collections::BTreeMap;
use std::ops::Range;

/// One of them: rows of the result as its query defines it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub offset: usize,
    pub limit: usize,
}

impl Span {
    /// The rank behind its last row.
    fn end(self) -> usize {
        self.offset.saturating_add(self.limit)
    }

    /// What it shows of so many rows.
    pub fn of(self, rows: usize) -> Range<usize> {
        self.offset.min(rows)..self.end().min(rows)
    }

    /// The order in which they are kept.
    fn key(self) -> (usize, usize) {
        (self.end(), self.offset)
    }
}

/// Something for each of several spans, in their order.
#[derive(Clone, Debug, Default)]
pub(crate) struct BySpan<T>(Vec<(Span, T)>);

impl<T> BySpan<T> {
    pub fn get(&self, span: Span) -> Option<&T> {
        let at = self.0.binary_search_by_key(&span.key(), |(have, _)| have.key()).ok()?;
        self.0.get(at).map(|(_, it)| it)
    }

    pub fn iter(&self) -> impl Iterator<Item = &(Span, T)> {
        self.0.iter()
    }
}

/// In the order of [`Spans`].
impl<T> FromIterator<(Span, T)> for BySpan<T> {
    fn from_iter<I: IntoIterator<Item = (Span, T)>>(all: I) -> Self {
        let all: Vec<(Span, T)> = all.into_iter().collect();
        debug_assert!(all.is_sorted_by_key(|(span, _)| span.key()), "in their order");
        BySpan(all)
    }
}

/// The spans that somebody looks at, with how many do. Who looks at the same
/// shares what is made for it.
#[derive(Debug, Default)]
pub(crate) struct Spans {
    open: BTreeMap<(usize, usize), usize>,
    lookers: usize,
}

impl Spans {
    pub fn join(&mut self, span: Span) {
        *self.open.entry(span.key()).or_default() += 1;
        self.lookers += 1;
    }

    pub fn leave(&mut self, span: Span) {
        let Some(count) = self.open.get_mut(&span.key()) else { return };
        self.lookers = self.lookers.saturating_sub(1);
        *count -= 1;
        if *count == 0 {
            self.open.remove(&span.key());
        }
    }

    /// How many subscribers look at one.
    pub fn lookers(&self) -> usize {
        self.lookers
    }

    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Those that show this rank or one behind it: all that can be concerned by
    /// a change there.
    pub fn behind(&self, rank: usize) -> impl Iterator<Item = Span> {
        let spans = self.open.range((rank.saturating_add(1), 0)..);
        spans.map(|((end, offset), _)| Span { offset: *offset, limit: end - offset })
    }

    /// Bytes, about.
    pub fn memory(&self) -> usize {
        self.open.len() * 2 * size_of::<((usize, usize), usize)>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_counted_and_found_by_what_they_show() {
        let span = |offset, limit| Span { offset, limit };
        let mut spans = Spans::default();
        for one in [span(0, 3), span(10, 5), span(0, 3), span(2, 13), span(usize::MAX, 4)] {
            spans.join(one);
        }
        let behind = |spans: &Spans, rank| spans.behind(rank).collect::<Vec<_>>();
        assert_eq!(behind(&spans, 2)[0], span(0, 3));
        assert_eq!(behind(&spans, 3)[..2], [span(2, 13), span(10, 5)]);
        assert_eq!((behind(&spans, 15).len(), spans.lookers()), (1, 5));
        spans.leave(span(0, 3));
        assert_eq!(behind(&spans, 0).len(), 4, "somebody still looks at it");
        spans.leave(span(0, 3));
        assert_eq!((behind(&spans, 0).len(), spans.lookers()), (3, 3));
        let by_span: BySpan<usize> = spans.behind(0).zip(0..).collect();
        assert_eq!(by_span.get(span(10, 5)), Some(&1));
        assert_eq!(by_span.get(span(10, 4)), None);
        assert_eq!(span(2, 13).of(9), 2..9);
        assert_eq!(span(10, 5).of(9), 9..9);
    }
}
