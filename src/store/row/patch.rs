//! Replacing values of a record whose other members stay as they are.
//!
//! An update usually gives some fields new values and takes none away. Then the
//! new text is the old one with other values between the same members: nothing
//! has to be parsed, and the places of the fields only shift.

use std::ops::Range;

use super::{HEADER, Layout, NON_FINITE, Row, WIDE};

/// The values that are to be replaced.
#[derive(Debug)]
pub(in crate::store) struct Patch<'r> {
    old: &'r Row,
    text: &'r str,
    edits: Vec<Edit>,
    /// The new values, in storage form.
    values: Vec<u8>,
}

#[derive(Debug)]
struct Edit {
    /// Of the old text.
    place: Range<usize>,
    /// Of the new values.
    value: Range<usize>,
}

impl<'r> Patch<'r> {
    /// `None` for rows that are better written anew: of an older layout, very
    /// large ones, and those with infinite numbers.
    pub fn of(old: &'r Row, layout: &Layout) -> Option<Patch<'r>> {
        let plain = old.flags() & (WIDE | NON_FINITE) == 0 && old.slots() == layout.slots();
        let values = Vec::with_capacity(64);
        plain.then(|| Patch { old, text: old.text(), edits: Vec::with_capacity(4), values })
    }

    /// Replaces the value in a slot by what `write` appends; it tells whether
    /// there is an infinite number in it. `None` if the row has no such value,
    /// or the new one is better written anew. A slot is replaced once.
    pub fn set(&mut self, slot: u16, write: impl FnOnce(&mut Vec<u8>) -> bool) -> Option<()> {
        let value = self.old.slot(slot)?.text();
        let start = self.old.digits(HEADER + usize::from(slot) * 3, 3);
        let from = self.values.len();
        if write(&mut self.values) {
            return None;
        }
        let edit = Edit { place: start..start + value.len(), value: from..self.values.len() };
        self.edits.push(edit);
        Some(())
    }

    pub fn finish(mut self) -> Option<Row> {
        self.edits.sort_unstable_by_key(|edit| edit.place.start);
        let values = std::str::from_utf8(&self.values).ok()?;
        let removed: usize = self.edits.iter().map(|edit| edit.place.len()).sum();
        let length = self.text.len() + values.len() - removed;
        if length >= 1 << 21 {
            return None;
        }
        // Where each edit begins, and what those up to it add and take away.
        let shifts: Vec<(usize, usize, usize)> = self
            .edits
            .iter()
            .scan((0, 0), |(longer, shorter), edit| {
                *longer += edit.value.len();
                *shorter += edit.place.len();
                Some((edit.place.start, *longer, *shorter))
            })
            .collect();
        let header = self.old.0.get(..HEADER + self.old.slots() * 3)?;
        let mut row = String::with_capacity(header.len() + length);
        row.push_str(header.get(..HEADER)?);
        let (places, _) = header.as_bytes().get(HEADER..)?.as_chunks::<3>();
        for place in places {
            let old = place.iter().fold(0, |value, digit| value << 7 | usize::from(*digit));
            // An absent one (0) stays: no value begins before the text does.
            let before = shifts.partition_point(|(start, ..)| *start < old);
            let shift = before.checked_sub(1).and_then(|at| shifts.get(at));
            let new = shift.map_or(old, |(_, longer, shorter)| old + longer - shorter);
            for digit in [new >> 14, new >> 7, new] {
                // ASCII.
                row.push(char::from((digit & 0x7f) as u8));
            }
        }
        let mut at = 0;
        for edit in &self.edits {
            row.push_str(self.text.get(at..edit.place.start)?);
            row.push_str(values.get(edit.value.clone())?);
            at = edit.place.end;
        }
        row.push_str(self.text.get(at..)?);
        Some(Row(row.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::RowBuilder;
    use super::*;
    use crate::json::{Json, Raw};
    use proptest::prelude::*;

    const NAMES: [&str; 6] = ["id", "a", "b", "\"ü\"", "long", "x"];

    fn value() -> impl Strategy<Value = Json> {
        prop_oneof![
            any::<i32>().prop_map(|number| Json::Number(f64::from(number))),
            "[a-z\",}\\\\é]{0,12}".prop_map(|text| Json::from(text.as_str())),
            Just(Json::Null),
            Just(Json::Array(vec![Json::from(","), Json::Number(1.5)])),
            (100usize..300).prop_map(|length| Json::from("y".repeat(length).as_str())),
        ]
    }

    fn row(layout: &Layout, members: &[(usize, Json)]) -> Row {
        let mut row = RowBuilder::new(layout);
        for (name, value) in members {
            row.json(NAMES[*name], value);
        }
        row.finish()
    }

    proptest! {
        /// The same row as one that is written with the new values.
        #[test]
        fn like_a_row_written_anew(
            order in Just((0..6usize).collect::<Vec<_>>()).prop_shuffle(),
            old in prop::collection::vec(value(), 6),
            new in prop::collection::vec(prop::option::of(value()), 6),
            present in 1..=6usize,
        ) {
            // "x" is not in the schema.
            let layout = Layout::new(NAMES.into_iter().take(5));
            let kept = order.iter().take(present);
            let before: Vec<_> = kept.clone().map(|&name| (name, old[name].clone())).collect();
            let after: Vec<_> = kept
                .map(|&name| (name, new[name].clone().unwrap_or_else(|| old[name].clone())))
                .collect();
            let (before, after) = (row(&layout, &before), row(&layout, &after));
            let mut patch = Patch::of(&before, &layout).expect("plain");
            for (name, value) in new.iter().enumerate() {
                let Some(value) = value else { continue };
                let slot = layout.slot(NAMES[name]);
                let there = order.iter().take(present).any(|&have| have == name);
                let write = |out: &mut Vec<u8>| {
                    value.write_lossless(out);
                    false
                };
                let set = slot.and_then(|slot| patch.set(slot, write));
                prop_assert_eq!(set.is_some(), there && name < 5);
            }
            let patched = patch.finish().expect("small");
            // What has no slot cannot be patched; it stays as it was.
            if new[5].is_none() || !order.iter().take(present).any(|&name| name == 5) {
                prop_assert_eq!(&patched.0, &after.0);
            }
            for slot in 0..layout.slots() as u16 {
                prop_assert_eq!(patched.slot(slot).map(Raw::text), after.slot(slot).map(Raw::text));
            }
        }
    }

    #[test]
    fn what_cannot_be_patched_is_told() {
        let layout = Layout::new(["a"]);
        let plain = row(&layout, &[(1, Json::Number(1.0))]);
        assert!(Patch::of(&plain, &layout.extended(["b"])).is_none(), "an older layout");
        let mut patch = Patch::of(&plain, &layout).expect("plain");
        assert_eq!(patch.set(1, |_| false), None, "absent");
        assert_eq!(patch.set(0, |_| true), None, "infinite");
        let infinite = row(&layout, &[(1, Json::Number(f64::INFINITY))]);
        assert!(Patch::of(&infinite, &layout).is_none());
        let mut patch = Patch::of(&plain, &layout).expect("plain");
        let large = |out: &mut Vec<u8>| {
            out.resize(3 << 20, b'7');
            false
        };
        patch.set(0, large).expect("there");
        assert!(patch.finish().is_none(), "too large for narrow places");
    }
}
