//! Giving back what is not used any more, a piece a turn.

use std::collections::BTreeSet;

/// Records whose memory is given back in one turn.
pub(super) const RELEASED_AT_ONCE: usize = 20_000;

/// Takes some elements out of an ordered set that is not used any more; how
/// many, `None` if there were none.
pub(super) fn release_first<T: Ord>(set: &mut BTreeSet<T>) -> Option<usize> {
    release_some(|| set.pop_first().is_some())
}

/// The same for anything that gives its elements one by one.
pub(super) fn release_some(mut take: impl FnMut() -> bool) -> Option<usize> {
    let released = (0..RELEASED_AT_ONCE / 4).take_while(|_| take()).count();
    (released > 0).then_some(released)
}
