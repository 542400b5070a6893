//! Records as they are kept: the serialised text, made once when the record is
//! written, and the places of the schema's fields in it. The text serves every
//! read, every push and the log; fields are decoded from it when a filter asks.

mod patch;

pub(super) use patch::Patch;

use hashbrown::HashMap;
use std::sync::Arc;

use crate::json::{Json, Kind, Raw, write_string};

/// The fields of a bucket that have a slot in every row: the schema's fields in
/// declaration order, then the metadata.
#[derive(Clone, Debug, Default)]
pub struct Layout {
    names: Vec<Box<str>>,
    /// Each name as a row has it: quoted, escaped, with its colon.
    prefixes: Vec<Box<[u8]>>,
    slots: HashMap<Box<str>, u16>,
    /// Fields whose words can be searched for.
    searched: Vec<Box<str>>,
    /// That of a bucket which is not known: all of its fields can be.
    is_unknown: bool,
}

/// A field of one layout, resolved once so that rows are not searched by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldRef {
    slot: Option<u16>,
    name: Box<str>,
}

impl FieldRef {
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The slot, if the field is in the schema or is metadata.
    pub fn slot(&self) -> Option<u16> {
        self.slot
    }
}

impl Layout {
    /// More fields than this get no slot and are searched by name.
    const MAX_SLOTS: usize = 4096;

    pub const METADATA: [&'static str; 4] = ["_version", "_createdAt", "_updatedAt", "_expiresAt"];

    pub fn new<'n>(fields: impl IntoIterator<Item = &'n str>) -> Self {
        let mut layout = Layout::default();
        // Metadata first in the limit's eyes: its slots must exist.
        for name in fields.into_iter().take(Self::MAX_SLOTS).chain(Self::METADATA) {
            layout.add(name);
        }
        layout
    }

    /// This layout with more fields. What had a slot keeps it, so rows of the
    /// old layout can be read with the new one.
    #[must_use]
    pub fn extended<'n>(&self, fields: impl IntoIterator<Item = &'n str>) -> Self {
        let mut layout = self.clone();
        for name in fields {
            if layout.names.len() < Self::MAX_SLOTS {
                layout.add(name);
            }
        }
        layout
    }

    fn add(&mut self, name: &str) {
        if self.slots.contains_key(name) {
            return;
        }
        self.slots.insert(name.into(), self.names.len() as u16);
        self.names.push(name.into());
        let mut prefix = Vec::with_capacity(name.len() + 3);
        write_string(&mut prefix, name);
        prefix.push(b':');
        self.prefixes.push(prefix.into());
    }

    /// Says which fields can be searched for words.
    pub(super) fn set_searched(&mut self, fields: Vec<Box<str>>) {
        self.searched = fields;
    }

    /// For what was checked when it was defined, and may have lost its bucket since.
    pub(super) fn unknown() -> Self {
        Layout { is_unknown: true, ..Layout::default() }
    }

    pub fn is_searched(&self, name: &str) -> bool {
        self.is_unknown || self.searched.iter().any(|field| **field == *name)
    }

    pub fn slots(&self) -> usize {
        self.names.len()
    }

    pub fn slot(&self, name: &str) -> Option<u16> {
        self.slots.get(name).copied()
    }

    pub fn field(&self, name: &str) -> FieldRef {
        FieldRef { slot: self.slot(name), name: name.into() }
    }
}

/// A stored record, cheap to clone.
///
/// One allocation: a header of ASCII characters, so that the whole is a `str`
/// and its parts need no second UTF-8 check, then the record's JSON text in its
/// storage form (infinities as `1e999`).
///
/// Header: one character of flags, two for the number of slots, then for every
/// slot the offset of its value in the text (0: absent) in base 128, three
/// characters each (`Flags::WIDE`: five).
#[derive(Clone, PartialEq, Eq)]
pub struct Row(Arc<str>);

const WIDE: u8 = 1;
const NON_FINITE: u8 = 2;
const HEADER: usize = 3;

impl Row {
    fn flags(&self) -> u8 {
        self.0.as_bytes().first().copied().unwrap_or_default()
    }

    fn digits(&self, at: usize, count: usize) -> usize {
        let bytes = self.0.as_bytes().get(at..at + count).unwrap_or_default();
        bytes.iter().fold(0, |value, &byte| value << 7 | usize::from(byte))
    }

    fn width(&self) -> usize {
        if self.flags() & WIDE == 0 { 3 } else { 5 }
    }

    /// The number of slots of the layout it was written with.
    pub fn slots(&self) -> usize {
        self.digits(1, 2)
    }

    /// The record's text in storage form. Equal to what clients see unless
    /// [`Row::has_non_finite`].
    pub fn text(&self) -> &str {
        self.0.get(HEADER + self.slots() * self.width()..).unwrap_or_default()
    }

    pub fn raw(&self) -> Raw<'_> {
        Raw::checked(self.text())
    }

    /// Whether a number in it is infinite, which clients see as `null`.
    pub fn has_non_finite(&self) -> bool {
        self.flags() & NON_FINITE != 0
    }

    /// Appends the record as clients see it.
    pub fn write(&self, out: &mut Vec<u8>) {
        if self.has_non_finite() {
            self.raw().to_json().write(out);
        } else {
            out.extend_from_slice(self.text().as_bytes());
        }
    }

    /// The value in a slot of the layout that the row was written with.
    pub fn slot(&self, slot: u16) -> Option<Raw<'_>> {
        let (slot, width, slots) = (usize::from(slot), self.width(), self.slots());
        if slot >= slots {
            return None;
        }
        let offset = self.digits(HEADER + slot * width, width);
        if offset == 0 {
            return None;
        }
        self.0.get(HEADER + slots * width + offset..).map(Raw::first_of)
    }

    /// What kind of value a field has, without finding out where it ends. `None`
    /// if that is not so easily told.
    pub fn kind(&self, field: &FieldRef) -> Option<Kind> {
        let (slot, width, slots) = (usize::from(field.slot?), self.width(), self.slots());
        let offset = (slot < slots).then(|| self.digits(HEADER + slot * width, width))?;
        let rest = self.0.get(HEADER + slots * width + offset..)?;
        (offset != 0).then(|| Raw::checked(rest).kind())
    }

    pub fn field(&self, field: &FieldRef) -> Option<Raw<'_>> {
        match field.slot {
            Some(slot) if usize::from(slot) < self.slots() => self.slot(slot),
            // Not in the schema, or not yet when the row was written.
            _ => self.raw().get(&field.name),
        }
    }

    /// As [`Row::field`], with about how many bytes had to be looked at.
    pub fn look_at(&self, field: &FieldRef) -> (Option<Raw<'_>>, usize) {
        match field.slot {
            Some(slot) if usize::from(slot) < self.slots() => {
                let value = self.slot(slot);
                (value, value.map_or(0, |value| value.text().len()))
            }
            // It is taken apart up to its end, which is dearer than looking.
            _ => (self.raw().get(&field.name), self.text().len().saturating_mul(8)),
        }
    }

    /// Whether both are the same stored record, not only equal ones.
    pub fn is(&self, other: &Row) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Whether the value of a field has exactly this text, without finding out
    /// where the value ends. `text` is one value in storage form.
    pub fn field_is(&self, field: &FieldRef, text: &str) -> bool {
        let Some(slot) = field.slot.map(usize::from) else {
            return self.field(field).is_some_and(|value| value.text() == text);
        };
        let (width, slots) = (self.width(), self.slots());
        if slot >= slots {
            return false;
        }
        let offset = self.digits(HEADER + slot * width, width);
        let rest = self.0.as_bytes().get(HEADER + slots * width + offset..).unwrap_or_default();
        // Strings end themselves; after anything else comes a separator.
        offset != 0
            && rest
                .strip_prefix(text.as_bytes())
                .is_some_and(|behind| matches!(behind.first(), Some(b',' | b'}')))
    }

    pub fn to_json(&self) -> Json {
        self.raw().to_json()
    }

    /// Bytes of memory, the counters of the allocation not included.
    pub fn memory(&self) -> usize {
        self.0.len()
    }
}

impl std::fmt::Debug for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.text())
    }
}

/// Writes one row, member by member.
#[derive(Debug)]
pub struct RowBuilder<'l> {
    layout: &'l Layout,
    offsets: Vec<usize>,
    /// Room for the header, then the text.
    row: Vec<u8>,
    /// Where the text begins.
    start: usize,
    /// The slot that comes next if the members come in the layout's order, as
    /// those of a stored row nearly always do.
    next: usize,
    non_finite: bool,
}

impl<'l> RowBuilder<'l> {
    pub fn new(layout: &'l Layout) -> Self {
        let slots = layout.slots();
        let start = HEADER + slots * 3;
        let mut row = Vec::with_capacity(start + 256);
        row.resize(start, 0);
        Self { layout, offsets: vec![0; slots], row, start, next: 0, non_finite: false }
    }

    fn name(&mut self, name: &str) {
        self.row.push(if self.row.len() == self.start { b'{' } else { b',' });
        let slot = match self.layout.names.get(self.next) {
            Some(expected) if **expected == *name => Some(self.next),
            _ => self.layout.slot(name).map(usize::from),
        };
        match slot.and_then(|slot| Some((slot, self.layout.prefixes.get(slot)?))) {
            Some((slot, prefix)) => {
                self.row.extend_from_slice(prefix);
                if let Some(offset) = self.offsets.get_mut(slot) {
                    *offset = self.row.len() - self.start;
                }
                self.next = slot + 1;
            }
            None => {
                write_string(&mut self.row, name);
                self.row.push(b':');
            }
        }
    }

    /// Appends a member. The caller never gives a name twice.
    pub fn json(&mut self, name: &str, value: &Json) {
        self.name(name);
        self.non_finite |= value.has_non_finite();
        value.write_lossless(&mut self.row);
    }

    /// Appends a member from a client's message, in whatever form it came.
    pub fn foreign(&mut self, name: &str, value: Raw<'_>) {
        self.name(name);
        self.non_finite |= value.write_lossless(&mut self.row);
    }

    /// Appends a member whose text is already in storage form: a value taken
    /// from another row. `non_finite` as that row has it.
    pub fn raw(&mut self, name: &str, value: Raw<'_>, non_finite: bool) {
        self.name(name);
        self.non_finite |= non_finite;
        self.row.extend_from_slice(value.text().as_bytes());
    }

    pub fn finish(mut self) -> Row {
        let end: &[u8] = if self.row.len() == self.start { b"{}" } else { b"}" };
        self.row.extend_from_slice(end);
        // Three base-128 digits reach two megabytes.
        let wide = self.row.len() - self.start >= 1 << 21;
        let width = if wide { 5 } else { 3 };
        let mut header = Vec::with_capacity(HEADER + self.offsets.len() * width);
        let flags = if wide { WIDE } else { 0 };
        header.push(if self.non_finite { flags | NON_FINITE } else { flags });
        push_digits(&mut header, self.offsets.len(), 2);
        for &offset in &self.offsets {
            push_digits(&mut header, offset, width);
        }
        if wide {
            self.row.splice(..self.start, header);
        } else {
            self.row.iter_mut().zip(header).for_each(|(place, digit)| *place = digit);
        }
        // Header digits are ASCII and the text came from strings.
        Row(String::from_utf8(self.row).unwrap_or_default().into())
    }
}

fn push_digits(out: &mut Vec<u8>, value: usize, count: usize) {
    for place in (0..count).rev() {
        out.push((value >> (7 * place) & 0x7f) as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::parse;

    fn row(layout: &Layout, source: &str) -> Row {
        let mut builder = RowBuilder::new(layout);
        for (name, value) in parse(source, 16).expect("valid").members() {
            builder.json(&name, &value.to_json());
        }
        builder.finish()
    }

    #[test]
    fn fields_are_found_in_their_slots_and_by_name() {
        let layout = Layout::new(["id", "n", "gone"]);
        let row = row(&layout, r#"{"id":"a,}\"","x":[1,{"n":0}],"n":5.0,"_version":1}"#);
        assert_eq!(row.text(), r#"{"id":"a,}\"","x":[1,{"n":0}],"n":5,"_version":1}"#);
        let get = |name| row.field(&layout.field(name)).map(Raw::text);
        assert_eq!(get("id"), Some(r#""a,}\"""#));
        assert_eq!(get("n"), Some("5"));
        assert_eq!(get("gone"), None);
        assert_eq!(get("_version"), Some("1"));
        assert_eq!(get("x"), Some(r#"[1,{"n":0}]"#));
        assert_eq!(get("y"), None);
    }

    #[test]
    fn infinities_are_kept_and_shown_as_null() {
        let layout = Layout::new(["n"]);
        let row = row(&layout, r#"{"n":-1e400}"#);
        assert_eq!(row.slot(0).and_then(Raw::as_number), Some(f64::NEG_INFINITY));
        let mut out = Vec::new();
        row.write(&mut out);
        assert_eq!(out, br#"{"n":null}"#);
    }

    #[test]
    fn rows_may_be_larger_than_three_digits_reach() {
        let layout = Layout::new(["a", "b"]);
        let long = "x".repeat(3 << 20);
        let row = row(&layout, &format!(r#"{{"a":"{long}","b":7}}"#));
        assert_eq!(row.slot(1).and_then(Raw::as_number), Some(7.0));
        assert_eq!(RowBuilder::new(&layout).finish().text(), "{}");
    }
}
