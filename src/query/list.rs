//! Results that are lists, maintained: rows or groups in their order, of which
//! a window (offset and limit) is shown.
//!
//! A list without a limit holds all members. One with a limit over many members
//! holds the first of them only: the window and a reserve behind it. Members
//! beyond the reserve are merely counted. When departures have used the reserve
//! up, the list is filled again from the bucket, with a reserve four times as
//! large: a queue that is worked off from the front ends up with a complete
//! list after a few refills, and a quiet top ten stays small.

mod change;
mod turnover;

pub(crate) use change::{ListChange, patch, write_keys, write_list};
use turnover::{Spot, Touched, Turnover};

use std::ops::Range;

use super::piece::{Piece, Projection};
use super::span::{BySpan, Span, Spans};
use crate::tree::{Entry, Tree};

/// Reserve of a list that is filled for the first time. With some 60 bytes per
/// entry it takes a megabyte.
const FIRST_RESERVE: usize = 16_384;

/// What happens to one member. `old` and `new` are equal if the order does not
/// change.
#[derive(Clone, Debug)]
pub(crate) struct Op<K> {
    pub old: Option<K>,
    pub new: Option<(K, Piece)>,
}

/// What is shown of a list, and how much is kept behind it at first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub offset: usize,
    pub limit: Option<usize>,
    pub reserve: usize,
}

impl Window {
    pub fn new(offset: usize, limit: Option<usize>) -> Self {
        Window { offset, limit, reserve: FIRST_RESERVE }
    }

    /// The rank behind what is shown.
    pub fn end(&self) -> usize {
        self.limit.map_or(usize::MAX, |limit| self.offset.saturating_add(limit))
    }

    /// How many members are held at first.
    pub fn held(&self) -> usize {
        self.end().saturating_add(self.reserve)
    }
}

/// Where members come from when the list has to be filled: the first so many
/// in order, or all if there are fewer.
pub(crate) type Refill<'f, K> = &'f mut dyn FnMut(usize) -> Vec<(K, Piece)>;

/// The order of a list, with what has to be counted against the budget.
pub(crate) trait Key: Ord + Clone {
    /// Bytes on the heap.
    fn heap(&self) -> usize;
}

impl Key for u64 {
    fn heap(&self) -> usize {
        0
    }
}

impl Key for (super::order::SortKey, u64) {
    fn heap(&self) -> usize {
        self.0.heap()
    }
}

/// See the module's description.
#[derive(Debug)]
pub(crate) struct List<K> {
    tree: Tree<K, Piece>,
    offset: usize,
    /// The rank behind the window.
    end: usize,
    /// Members, whether held or not.
    members: usize,
    reserve: usize,
    heap: usize,
    /// How often it had to be filled after the first time.
    pub refills: u64,
}

impl<K: Key> List<K> {
    /// A list over so many members, of which `first` are the first
    /// [`Window::held`] in order.
    pub fn new(
        window: Window,
        members: usize,
        first: Vec<(K, Piece)>,
        projection: &Projection,
    ) -> Self {
        let Window { offset, reserve, .. } = window;
        let (end, tree) = (window.end(), Tree::new());
        let mut list = List { tree, offset, end, members, reserve, heap: 0, refills: 0 };
        list.fill(projection, first);
        list
    }

    fn fill(&mut self, projection: &Projection, entries: Vec<(K, Piece)>) {
        self.heap = entries.iter().map(|(key, _)| key.heap()).sum();
        self.tree = Tree::from_sorted(entries.into_iter().map(|(key, piece)| {
            let weight = projection.len(&piece);
            Entry { key, value: piece, weight }
        }));
    }

    #[cfg(test)]
    pub fn members(&self) -> usize {
        self.members
    }

    /// How many of them are shown.
    pub fn rows(&self) -> usize {
        self.end.min(self.members).saturating_sub(self.offset)
    }

    /// Whether all members are held.
    pub fn is_complete(&self) -> bool {
        self.tree.len() == self.members
    }

    /// Bytes, about. Rows belong to the bucket and do not count.
    pub fn memory(&self) -> usize {
        self.tree.memory() + self.heap
    }

    /// What is shown, in order.
    pub fn window(&self) -> impl Iterator<Item = &Piece> {
        let shown = self.end.saturating_sub(self.offset);
        self.tree.iter_from(self.offset).take(shown).map(|entry| &entry.value)
    }

    /// Bytes of the text of the whole window, brackets included, at least.
    pub fn text_len(&self) -> usize {
        let last = self.end.min(self.tree.len());
        let bytes =
            self.tree.weight_before(last).saturating_sub(self.tree.weight_before(self.offset));
        bytes as usize + last.saturating_sub(self.offset) + 2
    }

    fn spot(&self, key: &K) -> Option<(Spot, &Piece)> {
        let place = self.tree.locate(key);
        let entry = self.tree.at(place.rank).filter(|_| place.found)?;
        let spot = Spot { rank: place.rank, before: place.before, len: entry.weight };
        Some((spot, &entry.value))
    }

    /// How many members stand before this one, if it is held.
    pub fn rank(&self, key: &K) -> Option<usize> {
        let place = self.tree.locate(key);
        place.found.then_some(place.rank)
    }

    /// What a window of the result shows, in order.
    pub fn span(&self, span: Span) -> impl Iterator<Item = &Piece> {
        let shown = span.of(self.rows());
        let from = self.offset.saturating_add(shown.start);
        self.tree.iter_from(from).take(shown.len()).map(|entry| &entry.value)
    }

    /// The ranks of a window of the result.
    fn ranks(&self, span: Span) -> Range<usize> {
        let shown = span.of(self.end.saturating_sub(self.offset));
        self.offset.saturating_add(shown.start)..self.offset.saturating_add(shown.end)
    }

    /// Applies what a commit did to the members. O(k log n) for k changes, if
    /// the list does not have to be filled, and O(k) more for each window that
    /// shows one of them. `None`: the result is as it was.
    pub fn apply(
        &mut self,
        ops: Vec<Op<K>>,
        projection: &Projection,
        spans: &Spans,
        refill: Refill<'_, K>,
    ) -> Option<(ListChange, BySpan<ListChange>)> {
        let base = self.tree.weight_before(self.offset);
        let held = self.tree.len();
        let (keys, mut touched): (Vec<_>, Vec<_>) =
            self.change_members(ops, projection).into_iter().unzip();
        self.refill_if_short(projection, refill);
        for (key, touched) in keys.iter().zip(&mut touched) {
            let found = key.as_ref().and_then(|key| self.spot(key));
            touched.is = found.map(|(spot, piece)| (spot, piece.clone()));
        }
        let turnover = Turnover::new(touched, (held, self.tree.len()));
        let bases = (base, self.tree.weight_before(self.offset));
        let whole = turnover.through(&self.tree, &(self.offset..self.end), bases);
        let seen = whole.is_some().then(|| self.seen_through(&turnover, spans));
        self.cut();
        whole.zip(seen)
    }

    /// The same difference through the windows that show it. Their bytes are
    /// nobody's concern.
    fn seen_through(&self, turnover: &Turnover, spans: &Spans) -> BySpan<ListChange> {
        let first = turnover.first().unwrap_or_default().saturating_sub(self.offset);
        let seen = spans.behind(first).filter_map(|span| {
            let change = turnover.through(&self.tree, &self.ranks(span), (0, 0))?;
            Some((span, change))
        });
        seen.collect()
    }

    /// First notes where everything was, then takes out, then puts in. Returns
    /// each with its key from now on.
    fn change_members(
        &mut self,
        ops: Vec<Op<K>>,
        projection: &Projection,
    ) -> Vec<(Option<K>, Touched)> {
        let mut touched = Vec::with_capacity(ops.len());
        let mut coming = Vec::with_capacity(ops.len());
        let mut going = Vec::with_capacity(ops.len());
        let mut staying = Vec::new();
        for Op { old, new } in ops {
            let was = old.as_ref().and_then(|key| self.spot(key));
            let was = was.map(|(spot, piece)| (spot, piece.clone()));
            let structural = old.as_ref() != new.as_ref().map(|(key, _)| key);
            let altered = match (&was, &new) {
                (Some((_, Piece::Row(a))), Some((_, Piece::Row(b)))) => !projection.same(a, b),
                (Some((_, Piece::Group(a))), Some((_, Piece::Group(b)))) => a != b,
                _ => true,
            };
            let key = new.as_ref().map(|(key, _)| key.clone());
            touched.push((key, Touched { was, is: None, structural, altered }));
            if structural {
                going.extend(old);
                coming.extend(new);
            } else {
                staying.extend(new);
            }
        }
        for (key, piece) in staying {
            let weight = projection.len(&piece);
            self.tree.replace(&key, piece, weight);
        }
        for key in going {
            self.members = self.members.saturating_sub(1);
            if self.tree.remove(&key).is_some() {
                self.heap = self.heap.saturating_sub(key.heap());
            }
        }
        for (key, piece) in coming {
            // What comes behind the last held member of an incomplete list may
            // come behind others that are not held.
            let inside = self.is_complete() || self.tree.last().is_some_and(|last| key < last.key);
            self.members += 1;
            if inside {
                let weight = projection.len(&piece);
                self.heap += key.heap();
                self.tree.insert(key, piece, weight);
            }
        }
        touched
    }

    fn refill_if_short(&mut self, projection: &Projection, refill: Refill<'_, K>) {
        if self.tree.len() >= self.end || self.is_complete() {
            return;
        }
        let known = self.tree.len();
        self.refills += 1;
        self.reserve = self.reserve.saturating_mul(4);
        let entries = refill(self.end.saturating_add(self.reserve));
        self.fill(projection, entries);
        debug_assert!(self.tree.len() >= known);
    }

    /// Lets go what is far behind the end. Comes last: what was pushed there was
    /// shown before.
    fn cut(&mut self) {
        let most = self.end.saturating_add(self.reserve.saturating_mul(2));
        while self.tree.len() > most {
            let Some(key) = self.tree.last().map(|last| last.key.clone()) else { break };
            self.tree.remove(&key);
            self.heap = self.heap.saturating_sub(key.heap());
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
