//! What a commit did to the members of a list, and how that looks through a
//! window of it: through any window, at the cost of the commit.
//!
//! Members whose order stayed stand in the same order among themselves before
//! and after; the place of one among these is its *number*, the same on both
//! sides. So what others push across a border of a window is found from the
//! ranks of those that came and went, and nobody looks at what is between the
//! borders.

use std::ops::Range;

use super::super::piece::Piece;
use super::change::{Gone, How, ListChange, Placed};
use crate::tree::Tree;

/// The place of an element before or after.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spot {
    pub rank: usize,
    /// Bytes of the elements before it.
    pub before: u64,
    pub len: u32,
}

/// A member that the commit changed, as far as it is held.
#[derive(Debug)]
pub(super) struct Touched {
    pub was: Option<(Spot, Piece)>,
    pub is: Option<(Spot, Piece)>,
    /// Changed its order.
    pub structural: bool,
    /// Looks different.
    pub altered: bool,
}

/// Ranks, and bytes that count from each of them on.
#[derive(Debug, Default)]
struct Marks(Vec<Mark>);

#[derive(Debug)]
struct Mark {
    rank: usize,
    /// How many members without a mark stand before it.
    unmarked: usize,
    /// Of all marks up to this one.
    bytes: i64,
}

impl Marks {
    fn new(marks: impl Iterator<Item = (usize, i64)>) -> Self {
        let mut marks: Vec<(usize, i64)> = marks.collect();
        marks.sort_unstable();
        let mut sum = 0;
        let marks = marks.into_iter().enumerate().map(|(index, (rank, bytes))| {
            sum += bytes;
            Mark { rank, unmarked: rank - index, bytes: sum }
        });
        Marks(marks.collect())
    }

    fn before(&self, rank: usize) -> usize {
        self.0.partition_point(|mark| mark.rank < rank)
    }

    fn bytes_before(&self, rank: usize) -> i64 {
        let last = self.before(rank).checked_sub(1).and_then(|at| self.0.get(at));
        last.map_or(0, |mark| mark.bytes)
    }

    /// The number of the first member without a mark at this rank or behind it.
    fn number_at(&self, rank: usize) -> usize {
        rank - self.before(rank)
    }

    fn rank_of(&self, number: usize) -> usize {
        number + self.0.partition_point(|mark| mark.unmarked <= number)
    }
}

/// See the module's description.
#[derive(Debug)]
pub(super) struct Turnover {
    touched: Vec<Touched>,
    /// Ranks before and after, ascending, with whose they are.
    by_was: Vec<(usize, usize)>,
    by_is: Vec<(usize, usize)>,
    /// Those that left their place, by the ranks before.
    left: Marks,
    /// Those that came to theirs, by the ranks after.
    came: Marks,
    /// Those that stayed and look different, by the ranks after.
    replaced: Marks,
    /// How many members were held, and are.
    held: (usize, usize),
}

/// A member that may have changed its place in a window.
struct Candidate<'t> {
    was: Option<(Spot, &'t Piece)>,
    is: Option<(Spot, &'t Piece)>,
    structural: bool,
    altered: bool,
    moved: bool,
}

impl Turnover {
    pub fn new(touched: Vec<Touched>, held: (usize, usize)) -> Self {
        let sorted = |of: fn(&Touched) -> Option<usize>| {
            let ranks = touched.iter().enumerate();
            let mut ranks: Vec<(usize, usize)> =
                ranks.filter_map(|(at, it)| Some((of(it)?, at))).collect();
            ranks.sort_unstable();
            ranks
        };
        let len = |side: &Option<(Spot, Piece)>| {
            side.as_ref().map(|(spot, _)| (spot.rank, i64::from(spot.len)))
        };
        let structural = || touched.iter().filter(|it| it.structural);
        let stayed = touched.iter().filter(|it| !it.structural);
        Turnover {
            by_was: sorted(|it| it.was.as_ref().map(|(spot, _)| spot.rank)),
            by_is: sorted(|it| it.is.as_ref().map(|(spot, _)| spot.rank)),
            left: Marks::new(structural().filter_map(|it| len(&it.was))),
            came: Marks::new(structural().filter_map(|it| len(&it.is))),
            replaced: Marks::new(stayed.filter_map(|it| {
                let ((_, old), (rank, new)) = (len(&it.was)?, len(&it.is)?);
                Some((rank, new - old))
            })),
            held,
            touched,
        }
    }

    /// The lowest rank at which anything changed.
    pub fn first(&self) -> Option<usize> {
        let firsts = [self.by_was.first(), self.by_is.first()];
        firsts.into_iter().flatten().map(|(rank, _)| *rank).min()
    }

    /// The difference between what the window showed and what it shows.
    /// `bases`: bytes before the window in the text of the old and of the new
    /// list. `None`: it is as it was.
    pub fn through<K: Ord + Clone>(
        &self,
        tree: &Tree<K, Piece>,
        window: &Range<usize>,
        bases: (u64, u64),
    ) -> Option<ListChange> {
        let mut candidates = self.touched_in(window);
        let numbers = |marks: &Marks, held: usize| {
            marks.number_at(window.start.min(held))..marks.number_at(window.end.min(held))
        };
        let was = numbers(&self.left, self.held.0);
        let is = numbers(&self.came, self.held.1);
        for run in without(&was, &is) {
            self.cross(tree, run, true, &mut candidates);
        }
        for run in without(&is, &was) {
            self.cross(tree, run, false, &mut candidates);
        }
        candidates.retain(|c| match (&c.was, &c.is) {
            (None, None) => false,
            (Some(_), Some(_)) => c.structural || c.altered,
            _ => true,
        });
        mark_moved(&mut candidates);
        difference(candidates, window.start, bases)
    }

    /// The changed members that the window showed or shows.
    fn touched_in(&self, window: &Range<usize>) -> Vec<Candidate<'_>> {
        let within = |ranks: &[(usize, usize)]| {
            let from = ranks.partition_point(|(rank, _)| *rank < window.start);
            from..ranks.partition_point(|(rank, _)| *rank < window.end).max(from)
        };
        let shown = |side: &'_ Option<(Spot, Piece)>| {
            side.as_ref().is_some_and(|(spot, _)| window.contains(&spot.rank))
        };
        let was = self.by_was.get(within(&self.by_was)).unwrap_or_default();
        let is = self.by_is.get(within(&self.by_is)).unwrap_or_default();
        let here = |(_, at): &(usize, usize)| self.touched.get(*at);
        let came = is.iter().filter_map(here).filter(|it| !shown(&it.was));
        let all = was.iter().filter_map(here).chain(came);
        all.map(|it| Candidate {
            was: it.was.as_ref().filter(|_| shown(&it.was)).map(|(spot, piece)| (*spot, piece)),
            is: it.is.as_ref().filter(|_| shown(&it.is)).map(|(spot, piece)| (*spot, piece)),
            structural: it.structural,
            altered: it.altered,
            moved: false,
        })
        .collect()
    }

    /// Members that did nothing, and were pushed out of the window or into it: by
    /// their numbers.
    fn cross<'t, K: Ord + Clone>(
        &self,
        tree: &'t Tree<K, Piece>,
        run: Range<usize>,
        out: bool,
        candidates: &mut Vec<Candidate<'t>>,
    ) where
        Self: 't,
    {
        let Some(last) = run.end.checked_sub(1).filter(|last| run.start <= *last) else { return };
        let (from, to) = (self.came.rank_of(run.start), self.came.rank_of(last));
        let mut before = tree.weight_before(from);
        for (rank, entry) in (from..=to).zip(tree.iter_from(from)) {
            let spot = Spot { rank, before, len: entry.weight };
            before += u64::from(entry.weight);
            if self.by_is.binary_search_by_key(&rank, |(rank, _)| *rank).is_ok() {
                continue;
            }
            let (was, is) = match out {
                true => (Some((self.spot_before(spot), &entry.value)), None),
                false => (None, Some((spot, &entry.value))),
            };
            candidates.push(Candidate { was, is, structural: false, altered: false, moved: false });
        }
    }

    /// Where a member was that did nothing.
    fn spot_before(&self, Spot { rank, before, len }: Spot) -> Spot {
        let was = self.left.rank_of(self.came.number_at(rank));
        let gained = self.came.bytes_before(rank) + self.replaced.bytes_before(rank);
        let before = before.saturating_add_signed(self.left.bytes_before(was) - gained);
        Spot { rank: was, before, len }
    }
}

/// What is in one range and not in the other.
fn without(range: &Range<usize>, other: &Range<usize>) -> [Range<usize>; 2] {
    [range.start..range.end.min(other.start), range.start.max(other.end)..range.end]
}

fn difference(
    candidates: Vec<Candidate<'_>>,
    start: usize,
    (base_before, base_after): (u64, u64),
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
            let (index, piece) = (spot.rank - start, piece.clone());
            let start = spot.before - base_before + index as u64;
            change.gone.push(Gone { piece, index, how, start, len: spot.len });
        }
        if let Some((spot, piece)) = candidate.is {
            let (index, piece) = (spot.rank - start, piece.clone());
            let start = spot.before - base_after + index as u64;
            change.placed.push(Placed { piece, index, how, start });
        }
    }
    change.gone.sort_unstable_by_key(|gone| gone.index);
    change.placed.sort_unstable_by_key(|placed| placed.index);
    (!change.gone.is_empty() || !change.placed.is_empty()).then_some(change)
}

/// Decides which of the members with a new order are in another place, seen
/// from the others. One is not if as many of the members that did not change
/// stand before it as did before, and it has not changed places with another
/// one that stays.
fn mark_moved(candidates: &mut [Candidate<'_>]) {
    let stays = |c: &Candidate<'_>| c.was.is_some() && c.is.is_some() && !c.structural;
    let ranks = |of: fn(&Candidate<'_>) -> Option<usize>, all: &[Candidate<'_>]| {
        let mut ranks: Vec<usize> = all.iter().filter(|c| !stays(c)).filter_map(of).collect();
        ranks.sort_unstable();
        ranks
    };
    let left = ranks(|c| c.was.as_ref().map(|(spot, _)| spot.rank), candidates);
    let came = ranks(|c| c.is.as_ref().map(|(spot, _)| spot.rank), candidates);
    // The ranks and not the indices: the offset is the same on both sides.
    let fixed = |rank: usize, others: &[usize]| rank - others.partition_point(|at| *at < rank);
    let mut ordered: Vec<(usize, usize, &mut Candidate<'_>)> = candidates
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
