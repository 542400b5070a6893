//! The difference between two states of a list, and what is made of it: the
//! delta that clients apply, and the text of the new result from the old one.

use super::super::piece::{Piece, Projection};
use super::super::value::{Member, MemberChange};
use crate::json::write_number;

/// How a shown element of the list changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// It left the window, or entered it.
    Crossed,
    /// It is somewhere else, seen from the elements that stayed.
    Moved,
    /// It looks different in the same place.
    Replaced,
}

/// Something that was shown.
#[derive(Clone, Debug)]
pub(crate) struct Gone {
    pub piece: Piece,
    pub index: usize,
    pub how: How,
    /// Its bytes in the text of the old result, see [`patch`].
    pub(super) start: u64,
    pub(super) len: u32,
}

/// Something that is shown now.
#[derive(Clone, Debug)]
pub(crate) struct Placed {
    pub piece: Piece,
    pub index: usize,
    pub how: How,
    pub(super) start: u64,
}

/// The difference between two states of a window.
#[derive(Clone, Debug, Default)]
pub(crate) struct ListChange {
    /// Ascending by old index.
    pub gone: Vec<Gone>,
    /// Ascending by new index.
    pub placed: Vec<Placed>,
}

impl ListChange {
    /// The change of a list that shows all members and whose order does not
    /// matter. The indices mean nothing.
    pub fn of_set(changes: &[MemberChange<'_>], projection: &Projection) -> Option<ListChange> {
        let mut change = ListChange::default();
        for MemberChange { old, new } in changes {
            let how = match (old, new) {
                (Some(old), Some(new)) if projection.same(old.row, new.row) => continue,
                (Some(_), Some(_)) => How::Replaced,
                _ => How::Crossed,
            };
            let piece = |member: Member<'_>| Piece::Row(member.row.clone());
            if let Some(old) = old {
                change.gone.push(Gone { piece: piece(*old), index: 0, how, start: 0, len: 0 });
            }
            if let Some(new) = new {
                change.placed.push(Placed { piece: piece(*new), index: 0, how, start: 0 });
            }
        }
        (!change.gone.is_empty() || !change.placed.is_empty()).then_some(change)
    }

    /// These elements left, and these entered at their indices; the others stayed.
    pub fn of_crossed(
        gone: impl Iterator<Item = Piece>,
        placed: impl Iterator<Item = (usize, Piece)>,
    ) -> ListChange {
        let how = How::Crossed;
        let gone = gone.map(|piece| Gone { piece, index: 0, how, start: 0, len: 0 });
        let placed = placed.map(|(index, piece)| Placed { piece, index, how, start: 0 });
        ListChange { gone: gone.collect(), placed: placed.collect() }
    }

    /// These elements, each in its place, whatever was there before.
    pub fn of_placed(placed: impl Iterator<Item = (usize, Piece)>) -> ListChange {
        let placed =
            placed.map(|(index, piece)| Placed { piece, index, how: How::Moved, start: 0 });
        ListChange { gone: Vec::new(), placed: placed.collect() }
    }

    /// Writes the delta that clients apply: what left, what entered, what
    /// changed, without the braces around it. With `positions`, entries carry
    /// the index at which they are to be inserted.
    pub fn write(&self, projection: &Projection, positions: bool, out: &mut Vec<u8>) {
        let start = out.len();
        let mut list = |name: &str, entries: &mut dyn Iterator<Item = Line<'_>>| {
            let mut first = true;
            for entry in entries {
                if out.len() > projection.text_bytes {
                    break;
                }
                if first {
                    if out.len() > start {
                        out.push(b',');
                    }
                    out.push(b'"');
                    out.extend_from_slice(name.as_bytes());
                    out.extend_from_slice(b"\":[");
                } else {
                    out.push(b',');
                }
                first = false;
                entry.write(projection, out);
            }
            if !first {
                out.push(b']');
            }
        };
        let left = self.gone.iter().filter(|gone| gone.how == How::Crossed);
        list("removed", &mut left.map(|gone| Line::Key(&gone.piece)));
        let entered = self.placed.iter().filter(|placed| placed.how == How::Crossed);
        list(
            "added",
            &mut entered.map(|placed| Line::Row(&placed.piece, positions.then_some(placed.index))),
        );
        let changed = self.placed.iter().filter(|placed| placed.how != How::Crossed);
        list(
            "changed",
            &mut changed.map(|placed| {
                let at = (positions && placed.how == How::Moved).then_some(placed.index);
                Line::Row(&placed.piece, at)
            }),
        );
    }
}

enum Line<'p> {
    Key(&'p Piece),
    Row(&'p Piece, Option<usize>),
}

impl Line<'_> {
    fn write(&self, projection: &Projection, out: &mut Vec<u8>) {
        match self {
            Line::Key(piece) => projection.write_key(piece, out),
            Line::Row(piece, at) => {
                out.extend_from_slice(b"{\"key\":");
                projection.write_key(piece, out);
                if let Some(at) = at {
                    out.extend_from_slice(b",\"at\":");
                    write_number(out, *at as f64);
                }
                out.extend_from_slice(b",\"row\":");
                projection.write(piece, out);
                out.push(b'}');
            }
        }
    }
}

/// The text of a list.
pub(crate) fn write_list<'p>(
    pieces: impl Iterator<Item = &'p Piece>,
    projection: &Projection,
    out: &mut Vec<u8>,
) {
    write_array(pieces, projection.text_bytes, out, |piece, out| projection.write(piece, out));
}

/// The identities of the elements of a list.
pub(crate) fn write_keys<'p>(
    pieces: impl Iterator<Item = &'p Piece>,
    projection: &Projection,
    out: &mut Vec<u8>,
) {
    write_array(pieces, projection.text_bytes, out, |piece, out| projection.write_key(piece, out));
}

fn write_array<'p>(
    pieces: impl Iterator<Item = &'p Piece>,
    most: usize,
    out: &mut Vec<u8>,
    write: impl Fn(&Piece, &mut Vec<u8>),
) {
    let start = out.len();
    for piece in pieces {
        if out.len() > most {
            break;
        }
        out.push(if out.len() == start { b'[' } else { b',' });
        write(piece, out);
    }
    out.extend_from_slice(if out.len() == start { b"[]" } else { b"]" });
}

/// The text of the new result, made from that of the old one: whatever did not
/// change is copied in large pieces, so that a push of a large result costs
/// what its bytes cost.
///
/// Every element is seen as its text and the comma or bracket behind it.
pub(crate) fn patch(old: &[u8], change: &ListChange, projection: &Projection, out: &mut Vec<u8>) {
    // What stands between the outer brackets, and the closing one.
    let elements = if old == b"[]" { &[] } else { old.get(1..).unwrap_or_default() };
    out.push(b'[');
    let begin = out.len();
    let mut from = 0usize;
    let mut gone = change.gone.iter().peekable();
    // Copies unchanged elements until `out` has `until` bytes of elements.
    let mut copy_until = |out: &mut Vec<u8>, until: usize| {
        loop {
            let hole = gone.peek().map_or(elements.len(), |gone| gone.start as usize);
            let wanted = until.saturating_sub(out.len() - begin);
            let to = hole.min(from.saturating_add(wanted));
            let run = elements.get(from..to).unwrap_or_default();
            out.extend_from_slice(run);
            if to == elements.len()
                && !run.is_empty()
                && let Some(last) = out.last_mut()
            {
                *last = b',';
            }
            from = to;
            if to < hole {
                return;
            }
            match gone.next_if(|gone| gone.start as usize == to) {
                Some(gone) => from += gone.len as usize + 1,
                None => return,
            }
        }
    };
    for placed in &change.placed {
        copy_until(out, placed.start as usize);
        projection.write(&placed.piece, out);
        out.push(b',');
    }
    copy_until(out, usize::MAX / 2);
    match out.last_mut() {
        Some(last) if *last == b',' => *last = b']',
        _ => out.push(b']'),
    }
}
