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

pub(crate) use change::{Gone, How, ListChange, Placed, patch, write_keys, write_list};

use super::piece::{Piece, Projection};
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

/// The place of an element before or after.
#[derive(Clone, Copy, Debug)]
struct Spot {
    rank: usize,
    before: u64,
    len: u32,
}

/// A member that may have changed its place in the window.
struct Candidate<K> {
    key_after: Option<K>,
    was: Option<(Spot, Piece)>,
    is: Option<(Spot, Piece)>,
    /// Changed its order.
    structural: bool,
    /// Looks different.
    altered: bool,
    moved: bool,
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

    fn shows(&self, rank: usize) -> bool {
        (self.offset..self.end).contains(&rank)
    }

    /// Applies what a commit did to the members. O(k log n) for k changes, if
    /// the list does not have to be filled. `None`: the window is as it was.
    pub fn apply(
        &mut self,
        ops: Vec<Op<K>>,
        projection: &Projection,
        refill: Refill<'_, K>,
    ) -> Option<ListChange> {
        let base_before = self.tree.weight_before(self.offset);
        let structural = ops.iter().filter(|op| op.old.as_ref() != op.new.as_ref().map(|n| &n.0));
        let shift = structural.count();
        let mut candidates = self.neighbours(&ops, shift);
        candidates.reserve(ops.len());
        self.change_members(ops, projection, &mut candidates);
        self.refill_if_short(projection, refill, &mut candidates);
        for candidate in &mut candidates {
            let found = candidate.key_after.as_ref().and_then(|key| self.spot(key));
            candidate.is = found.map(|(spot, piece)| (spot, piece.clone()));
            candidate.was = candidate.was.take().filter(|(spot, _)| self.shows(spot.rank));
            candidate.is = candidate.is.take().filter(|(spot, _)| self.shows(spot.rank));
        }
        candidates.retain(|c| match (&c.was, &c.is) {
            (None, None) => false,
            (Some(_), Some(_)) => c.structural || c.altered,
            _ => true,
        });
        mark_moved(&mut candidates);
        let base_after = self.tree.weight_before(self.offset);
        self.difference(candidates, base_before, base_after)
    }

    /// Members at the borders of the window that others may push across: as
    /// many on both sides as there are changes. Those that change themselves
    /// are left out.
    fn neighbours(&self, ops: &[Op<K>], shift: usize) -> Vec<Candidate<K>> {
        let mut candidates = Vec::new();
        if shift == 0 {
            return candidates;
        }
        let mut changing: Vec<&K> = ops.iter().filter_map(|op| op.old.as_ref()).collect();
        changing.sort_unstable();
        let mut next = 0;
        for border in [self.offset, self.end] {
            if border == 0 || border == usize::MAX {
                continue;
            }
            let from = border.saturating_sub(shift).max(next);
            let to = border.saturating_add(shift).min(self.tree.len());
            if from >= to {
                continue;
            }
            next = to;
            let mut before = self.tree.weight_before(from);
            for (rank, entry) in (from..to).zip(self.tree.iter_from(from)) {
                let spot = Spot { rank, before, len: entry.weight };
                before += u64::from(entry.weight);
                if changing.binary_search(&&entry.key).is_err() {
                    candidates.push(Candidate {
                        key_after: Some(entry.key.clone()),
                        was: Some((spot, entry.value.clone())),
                        is: None,
                        structural: false,
                        altered: false,
                        moved: false,
                    });
                }
            }
        }
        candidates
    }

    /// First notes where everything was, then takes out, then puts in.
    fn change_members(
        &mut self,
        ops: Vec<Op<K>>,
        projection: &Projection,
        candidates: &mut Vec<Candidate<K>>,
    ) {
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
            candidates.push(Candidate {
                key_after: new.as_ref().map(|(key, _)| key.clone()),
                was,
                is: None,
                structural,
                altered,
                moved: false,
            });
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
    }

    fn refill_if_short(
        &mut self,
        projection: &Projection,
        refill: Refill<'_, K>,
        candidates: &mut Vec<Candidate<K>>,
    ) {
        let most = self.end.saturating_add(self.reserve.saturating_mul(2));
        while self.tree.len() > most {
            let Some(key) = self.tree.last().map(|last| last.key.clone()) else { break };
            self.tree.remove(&key);
            self.heap = self.heap.saturating_sub(key.heap());
        }
        if self.tree.len() >= self.end || self.is_complete() {
            return;
        }
        let known = self.tree.len();
        self.refills += 1;
        self.reserve = self.reserve.saturating_mul(4);
        let entries = refill(self.end.saturating_add(self.reserve));
        self.fill(projection, entries);
        debug_assert!(self.tree.len() >= known);
        // What was beyond the reserve and is shown now.
        let mut touched: Vec<&K> = candidates.iter().filter_map(|c| c.key_after.as_ref()).collect();
        touched.sort_unstable();
        let shown = self.end.saturating_sub(known);
        let new: Vec<K> = self
            .tree
            .iter_from(known)
            .take(shown)
            .filter(|entry| touched.binary_search(&&entry.key).is_err())
            .map(|entry| entry.key.clone())
            .collect();
        candidates.extend(new.into_iter().map(|key| Candidate {
            key_after: Some(key),
            was: None,
            is: None,
            structural: false,
            altered: true,
            moved: false,
        }));
    }

    fn difference(
        &self,
        candidates: Vec<Candidate<K>>,
        base_before: u64,
        base_after: u64,
    ) -> Option<ListChange> {
        let mut change = ListChange::default();
        for candidate in candidates {
            let how = match (&candidate.was, &candidate.is) {
                (Some(_), Some(_)) if candidate.moved => How::Moved,
                (Some(_), Some(_)) if candidate.altered => How::Replaced,
                (Some(_), Some(_)) => continue,
                _ => How::Crossed,
            };
            if let Some((spot, piece)) = candidate.was {
                let index = spot.rank - self.offset;
                let start = spot.before - base_before + index as u64;
                change.gone.push(Gone { piece, index, how, start, len: spot.len });
            }
            if let Some((spot, piece)) = candidate.is {
                let index = spot.rank - self.offset;
                let start = spot.before - base_after + index as u64;
                change.placed.push(Placed { piece, index, how, start });
            }
        }
        change.gone.sort_unstable_by_key(|gone| gone.index);
        change.placed.sort_unstable_by_key(|placed| placed.index);
        (!change.gone.is_empty() || !change.placed.is_empty()).then_some(change)
    }
}

/// Decides which of the members with a new order are in another place, seen
/// from the others. One is not if as many of the members that did not change
/// stand before it as did before, and it has not changed places with another
/// one that stays.
fn mark_moved<K>(candidates: &mut [Candidate<K>]) {
    let stays = |c: &Candidate<K>| c.was.is_some() && c.is.is_some() && !c.structural;
    let ranks = |of: fn(&Candidate<K>) -> Option<usize>, all: &[Candidate<K>]| {
        let mut ranks: Vec<usize> = all.iter().filter(|c| !stays(c)).filter_map(of).collect();
        ranks.sort_unstable();
        ranks
    };
    let left = ranks(|c| c.was.as_ref().map(|(spot, _)| spot.rank), candidates);
    let came = ranks(|c| c.is.as_ref().map(|(spot, _)| spot.rank), candidates);
    // The ranks and not the indices: the offset is the same on both sides.
    let fixed = |rank: usize, others: &[usize]| rank - others.partition_point(|at| *at < rank);
    let mut ordered: Vec<(usize, usize, &mut Candidate<K>)> = candidates
        .iter_mut()
        .filter(|c| c.structural)
        .filter_map(|c| match (&c.was, &c.is) {
            (Some((was, _)), Some((is, _))) => Some((is.rank, was.rank, c)),
            _ => None,
        })
        .collect();
    ordered.sort_unstable_by_key(|(is, ..)| *is);
    let mut last = None;
    for (is, was, candidate) in ordered {
        if fixed(was, &left) == fixed(is, &came) && last.is_none_or(|last| last < was) {
            last = Some(was);
        } else {
            candidate.moved = true;
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
