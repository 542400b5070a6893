//! One element of a result: its identity, and its text as clients see it.

use std::sync::Arc;

use crate::json::{Raw, write_string};
use crate::store::{FieldRef, Layout, Row};

/// An element of a list of rows or groups; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) enum Piece {
    Row(Row),
    Group(Arc<GroupText>),
}

/// A group as it is shown.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct GroupText {
    /// JSON array of the String() of its values.
    pub identity: Arc<str>,
    /// `{"key":{…},"value":…}`
    pub text: Box<str>,
}

/// How rows are shown: as they are, or some of their fields.
#[derive(Clone, Debug)]
pub(crate) struct Projection {
    key_field: FieldRef,
    /// Each with its name as a JSON string and a colon. Empty: the whole record.
    fields: Vec<(Box<str>, FieldRef)>,
    shows_key: bool,
    /// A list is not written on when it is longer than this: nobody will be
    /// sent it.
    pub text_bytes: usize,
}

impl Projection {
    pub fn new(layout: &Layout, key_field: &str, fields: &[Box<str>]) -> Self {
        let shown = fields.iter().map(|name| {
            let mut text = Vec::with_capacity(name.len() + 3);
            write_string(&mut text, name);
            text.push(b':');
            (String::from_utf8(text).unwrap_or_default().into(), layout.field(name))
        });
        Projection {
            key_field: layout.field(key_field),
            fields: shown.collect(),
            text_bytes: usize::MAX,
            shows_key: fields.is_empty() || fields.iter().any(|name| &**name == key_field),
        }
    }

    /// Whether two different records always look different.
    pub fn shows_key(&self) -> bool {
        self.shows_key
    }

    /// Appends the identity of an element: for a row the value of the key.
    pub fn write_key(&self, piece: &Piece, out: &mut Vec<u8>) {
        match piece {
            Piece::Row(row) => self.write_key_of(row, out),
            Piece::Group(group) => out.extend_from_slice(group.identity.as_bytes()),
        }
    }

    pub fn write_key_of(&self, row: &Row, out: &mut Vec<u8>) {
        write_value(row, row.field(&self.key_field).unwrap_or(Raw::NULL), out);
    }

    /// Appends the element as clients see it.
    pub fn write(&self, piece: &Piece, out: &mut Vec<u8>) {
        match piece {
            Piece::Row(row) => self.write_row(row, out),
            Piece::Group(group) => out.extend_from_slice(group.text.as_bytes()),
        }
    }

    pub fn write_row(&self, row: &Row, out: &mut Vec<u8>) {
        if self.fields.is_empty() {
            return row.write(out);
        }
        let start = out.len();
        for (name, field) in &self.fields {
            if let Some(value) = row.field(field) {
                out.push(if out.len() == start { b'{' } else { b',' });
                out.extend_from_slice(name.as_bytes());
                write_value(row, value, out);
            }
        }
        out.extend_from_slice(if out.len() == start { b"{}" } else { b"}" });
    }

    /// Bytes of what [`Projection::write`] appends.
    pub fn len(&self, piece: &Piece) -> u32 {
        let len = match piece {
            Piece::Group(group) => group.text.len(),
            Piece::Row(row) if row.has_non_finite() => {
                let mut text = Vec::new();
                self.write_row(row, &mut text);
                text.len()
            }
            Piece::Row(row) if self.fields.is_empty() => row.text().len(),
            Piece::Row(row) => {
                let shown = self.fields.iter().filter_map(|(name, field)| {
                    row.field(field).map(|value| name.len() + value.text().len() + 1)
                });
                // Braces, and a comma less than there are members.
                shown.sum::<usize>().max(1) + 1
            }
        };
        u32::try_from(len).unwrap_or(u32::MAX)
    }

    /// Whether two rows look the same.
    pub fn same(&self, a: &Row, b: &Row) -> bool {
        if self.fields.is_empty() {
            return same_text(a.text(), b.text());
        }
        self.fields.iter().all(|(_, field)| match (a.field(field), b.field(field)) {
            (None, None) => true,
            (Some(a), Some(b)) => same_text(a.text(), b.text()),
            _ => false,
        })
    }
}

/// Infinities are null to clients.
fn write_value(row: &Row, value: Raw<'_>, out: &mut Vec<u8>) {
    if row.has_non_finite() {
        value.to_json().write(out);
    } else {
        out.extend_from_slice(value.text().as_bytes());
    }
}

/// Whether two stored texts are deeply equal. Equal values have one spelling
/// but for the order of members, so unequal texts can only be equal values if
/// they consist of the same bytes.
pub(crate) fn same_text(a: &str, b: &str) -> bool {
    if a == b {
        return true;
    }
    let sum = |text: &str| text.bytes().map(u64::from).sum::<u64>();
    let nested = a.starts_with(['{', '[']);
    nested
        && a.len() == b.len()
        && sum(a) == sum(b)
        && Raw::checked(a).to_json() == Raw::checked(b).to_json()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::parse;
    use crate::store::RowBuilder;

    fn row(text: &str) -> Row {
        let layout = Layout::new(["id", "a", "b"]);
        let mut builder = RowBuilder::new(&layout);
        for (name, value) in parse(text, 8).expect("JSON").members() {
            builder.json(&name, &value.to_json());
        }
        builder.finish()
    }

    #[test]
    fn rows_show_the_fields_they_have() {
        let layout = Layout::new(["id", "a", "b"]);
        let fields = |names: &[&str]| names.iter().map(|name| Box::from(*name)).collect::<Vec<_>>();
        for (names, record, shown, key) in [
            (vec![], r#"{"id":1,"a":2}"#, r#"{"id":1,"a":2}"#, "1"),
            (vec!["b", "a"], r#"{"id":"x","a":null}"#, r#"{"a":null}"#, "\"x\""),
            (vec!["b", "a"], r#"{"id":"x","a":1,"b":[1]}"#, r#"{"b":[1],"a":1}"#, "\"x\""),
            (vec!["q\""], r#"{"id":true,"a":1}"#, "{}", "true"),
            (
                vec!["q\"", "_version"],
                r#"{"id":0,"q\"":1,"_version":3}"#,
                r#"{"q\"":1,"_version":3}"#,
                "0",
            ),
            (vec!["a"], r#"{"id":0,"a":[1e400]}"#, r#"{"a":[null]}"#, "0"),
            (vec![], r#"{"id":0,"a":-1e400}"#, r#"{"id":0,"a":null}"#, "0"),
        ] {
            let projection = Projection::new(&layout, "id", &fields(&names));
            let piece = Piece::Row(row(record));
            let (mut text, mut id) = (Vec::new(), Vec::new());
            projection.write(&piece, &mut text);
            projection.write_key(&piece, &mut id);
            assert_eq!(String::from_utf8_lossy(&text), shown);
            assert_eq!(String::from_utf8_lossy(&id), key);
            assert_eq!(projection.len(&piece) as usize, shown.len(), "{shown}");
            assert_eq!(projection.shows_key(), names.is_empty());
        }
    }

    #[test]
    fn the_order_of_members_is_no_difference() {
        for (a, b, same) in [
            (r#"{"a":1,"b":2}"#, r#"{"b":2,"a":1}"#, true),
            (r#"{"a":1,"b":2}"#, r#"{"a":2,"b":1}"#, false),
            (r#"[1,2]"#, r#"[2,1]"#, false),
            (r#"12"#, r#"21"#, false),
            (r#"{"a":{"x":1,"y":[2]}}"#, r#"{"a":{"y":[2],"x":1}}"#, true),
        ] {
            assert_eq!(same_text(a, b), same, "{a} {b}");
        }
    }
}
