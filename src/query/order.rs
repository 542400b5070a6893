//! The order of rows: sort keys that compare as bytes, and the comparison of
//! the protocol for columns that have no order.
//!
//! Among the values of a column that are not null, numbers and booleans compare
//! as numbers, strings by their UTF-16 units; a column of only one of these
//! kinds is totally ordered, and its keys are encoded so that comparing bytes
//! compares rows. Every other mixture is not even transitive ("b" ties with 3,
//! and 3 with "a"): then the outcome depends on the algorithm, and views fall
//! back to sorting again with the algorithm of the reference.

use std::cmp::Ordering;

use crate::json::js::Primitive;
use crate::json::{Kind, Raw};
use crate::store::{FieldRef, Kinds, Layout, Row, encode_text, ordered_bits};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Ascending,
    Descending,
}

impl Direction {
    pub const fn as_str(self) -> &'static str {
        match self {
            Direction::Ascending => "asc",
            Direction::Descending => "desc",
        }
    }
}

/// The `sort` of a query, resolved against the layout of its bucket.
#[derive(Clone, Debug)]
pub(crate) struct SortSpec {
    fields: Vec<(FieldRef, Direction)>,
}

/// What kind of values are in a column.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Column {
    numbers: usize,
    booleans: usize,
    strings: usize,
    others: usize,
}

/// How many values of each kind the members of a view have in the columns by
/// which it is sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Columns(Vec<Column>);

impl Columns {
    /// Those of a sort by one field.
    pub fn of_one(kinds: Kinds) -> Columns {
        let Kinds { numbers, booleans, strings, structured: others } = kinds;
        Columns(vec![Column { numbers, booleans, strings, others }])
    }
}

impl SortSpec {
    pub fn new<'n>(
        layout: &Layout,
        fields: impl IntoIterator<Item = (&'n str, Direction)>,
    ) -> Self {
        let fields = fields.into_iter().map(|(name, way)| (layout.field(name), way)).collect();
        SortSpec { fields }
    }

    /// The fields and whether each descends.
    pub fn ways(&self) -> Vec<(&str, bool)> {
        let ways = self.fields.iter();
        ways.map(|(field, way)| (field.name(), *way == Direction::Descending)).collect()
    }

    /// Bytes of the values by which a row is sorted.
    pub fn text_len(&self, row: &Row) -> usize {
        let lengths = self.fields.iter().filter_map(|(field, _)| row.field(field));
        lengths.map(|value| value.text().len()).sum()
    }

    /// Empty counters for [`SortSpec::count`].
    pub fn columns(&self) -> Columns {
        Columns(vec![Column::default(); self.fields.len()])
    }

    /// Counts the values of one row, or takes them out again.
    pub fn count(&self, columns: &mut Columns, row: &Row, add: bool) {
        for ((field, _), column) in self.fields.iter().zip(&mut columns.0) {
            let counter = match row.field(field).map(Raw::kind) {
                None | Some(Kind::Null) => continue,
                Some(Kind::Number) => &mut column.numbers,
                Some(Kind::Bool) => &mut column.booleans,
                Some(Kind::String) => &mut column.strings,
                Some(Kind::Array | Kind::Object) => &mut column.others,
            };
            *counter = if add { *counter + 1 } else { counter.saturating_sub(1) };
        }
    }

    /// Whether rows of such columns have one order. `true` ties with `1` and
    /// ends the comparison there, `1` with `1` does not: together they are in
    /// order only in the last column.
    pub fn is_total(&self, columns: &Columns) -> bool {
        let last = columns.0.len().saturating_sub(1);
        columns.0.iter().enumerate().all(|(at, column)| {
            let kinds = [column.numbers, column.booleans, column.strings];
            let used = kinds.iter().filter(|count| **count > 0).count();
            column.others == 0 && (used <= 1 || (at == last && column.strings == 0))
        })
    }

    /// The key of a row. Rows compare as their keys do, provided that the
    /// columns are totally ordered; equal keys are ties.
    pub fn key(&self, row: &Row) -> SortKey {
        if let [(field, way)] = self.fields.as_slice()
            && let Some(value) = row.field(field)
            && let Some(number) = numeric(value)
        {
            let bits = ordered_bits(number);
            let head = if *way == Direction::Ascending { bits } else { !bits };
            return SortKey { head, rest: Box::default() };
        }
        let mut bytes = Vec::with_capacity(9 * self.fields.len());
        for (field, way) in &self.fields {
            let start = bytes.len();
            match row.field(field) {
                None => {}
                Some(value) => encode(value, &mut bytes),
            }
            if bytes.len() == start {
                // Nothing sorts behind everything, in both directions.
                bytes.extend_from_slice(&[0xff; 8]);
            } else if *way == Direction::Descending {
                // Keeps clear of 0xff, see `encode`.
                let number = row.field(field).and_then(numeric).is_some();
                let most = if number { 0xff } else { 0xfe };
                for byte in bytes.iter_mut().skip(start) {
                    *byte = most - *byte;
                }
            }
        }
        SortKey::new(&bytes)
    }

    /// The order of two rows as the protocol defines it; equal means a tie,
    /// which candidate order decides. Not transitive in general.
    pub fn compare(&self, a: &Row, b: &Row) -> Ordering {
        for (field, way) in &self.fields {
            let (a, b) = match (present(a, field), present(b, field)) {
                (None, None) => continue,
                (None, Some(_)) => return Ordering::Greater,
                (Some(_), None) => return Ordering::Less,
                (Some(a), Some(b)) => (a, b),
            };
            if strictly_equal(a, b) {
                continue;
            }
            let order = match Primitive::of(a).compare(&Primitive::of(b)) {
                Some(order) if *way == Direction::Descending => order.reverse(),
                Some(order) => order,
                None => Ordering::Equal,
            };
            // Neither less nor greater, or decided: later fields are not asked.
            return order;
        }
        Ordering::Equal
    }
}

fn present<'r>(row: &'r Row, field: &FieldRef) -> Option<Raw<'r>> {
    row.field(field).filter(|value| !value.is_null())
}

fn strictly_equal(a: Raw<'_>, b: Raw<'_>) -> bool {
    // Stored scalars have one spelling; arrays and objects equal nothing.
    !matches!(a.kind(), Kind::Array | Kind::Object) && a.text() == b.text()
}

fn numeric(value: Raw<'_>) -> Option<f64> {
    value.as_number().or_else(|| value.as_bool().map(|truth| if truth { 1.0 } else { 0.0 }))
}

/// Bytes that sort like the string among strings.
pub(crate) fn text_bytes(text: &str) -> Box<[u8]> {
    let mut out = Vec::with_capacity(text.len() + 1);
    encode_text(text, &mut out);
    out.into()
}

/// Appends bytes that sort like the value among values of its kind. Numbers
/// have eight bytes that are never all 0xff in either direction (that would be
/// NaN); strings have none at 0xff and end with 0.
fn encode(value: Raw<'_>, out: &mut Vec<u8>) {
    if let Some(number) = numeric(value) {
        out.extend_from_slice(&ordered_bits(number).to_be_bytes());
    } else if let Some(text) = value.as_str() {
        encode_text(&text, out);
    }
}

/// Compares like the bytes it was made from. A single number needs no
/// allocation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SortKey {
    head: u64,
    rest: Box<[u8]>,
}

impl SortKey {
    fn new(bytes: &[u8]) -> Self {
        let mut head = [0; 8];
        let (front, rest) = bytes.split_at(bytes.len().min(8));
        for (to, from) in head.iter_mut().zip(front) {
            *to = *from;
        }
        SortKey { head: u64::from_be_bytes(head), rest: rest.into() }
    }

    /// Bytes beside the key itself.
    pub fn heap(&self) -> usize {
        self.rest.len()
    }
}

/// Sorts as the reference's runtime does, also by a comparison that is not
/// transitive: the run at the start, then binary insertion, for lists that its
/// algorithm (TimSort) treats as one run; longer lists are cut into such runs
/// and merged. Stable. O(n log n).
pub(crate) fn sort_like_reference<T: Clone>(
    items: &mut Vec<T>,
    compare: &mut impl FnMut(&T, &T) -> Ordering,
) {
    const ONE_RUN: usize = 64;
    if items.len() < ONE_RUN {
        insertion_sort(items, compare);
        return;
    }
    let mut right = items.split_off(items.len() / 2);
    sort_like_reference(items, compare);
    sort_like_reference(&mut right, compare);
    let left = std::mem::take(items);
    items.reserve(left.len() + right.len());
    let (mut left, mut right) = (left.into_iter().peekable(), right.into_iter().peekable());
    while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
        let next = if compare(b, a) == Ordering::Less { right.next() } else { left.next() };
        items.extend(next);
    }
    items.extend(left);
    items.extend(right);
}

fn insertion_sort<T: Clone>(items: &mut [T], compare: &mut impl FnMut(&T, &T) -> Ordering) {
    let mut less = |items: &[T], a: usize, b: usize| match (items.get(a), items.get(b)) {
        (Some(a), Some(b)) => compare(a, b) == Ordering::Less,
        _ => false,
    };
    // The ascending or strictly descending run at the start.
    let mut run = items.len().min(2);
    let descending = run == 2 && less(items, 1, 0);
    while run < items.len() && less(items, run, run - 1) == descending {
        run += 1;
    }
    if descending {
        items.get_mut(..run).unwrap_or_default().reverse();
    }
    for next in run..items.len() {
        let (mut low, mut high) = (0, next);
        while low < high {
            let middle = low + (high - low) / 2;
            if less(items, next, middle) {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        items.get_mut(low..=next).unwrap_or_default().rotate_right(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Json;
    use crate::store::RowBuilder;
    use proptest::prelude::*;

    fn layout() -> Layout {
        Layout::new(["id", "a", "b"])
    }

    fn row(layout: &Layout, a: Option<&Json>, b: Option<&Json>) -> Row {
        let mut builder = RowBuilder::new(layout);
        for (name, value) in [("a", a), ("b", b)] {
            if let Some(value) = value {
                builder.json(name, value);
            }
        }
        builder.finish()
    }

    fn spec(a: bool, b: Option<bool>) -> SortSpec {
        let way = |up: bool| if up { Direction::Ascending } else { Direction::Descending };
        let fields = [Some(("a", way(a))), b.map(|b| ("b", way(b)))];
        SortSpec::new(&layout(), fields.into_iter().flatten())
    }

    fn number() -> BoxedStrategy<Option<Json>> {
        prop_oneof![
            4 => (-5..5i32).prop_map(|n| Some(Json::Number(f64::from(n) / 2.0))),
            1 => prop::num::f64::NORMAL.prop_map(|n| Some(Json::Number(n))),
            1 => Just(Some(Json::Number(f64::INFINITY))),
            1 => Just(Some(Json::Number(f64::NEG_INFINITY))),
            1 => Just(Some(Json::Null)),
            1 => Just(None),
        ]
        .boxed()
    }

    fn string() -> BoxedStrategy<Option<Json>> {
        prop_oneof![
            4 => "[a-c\u{0}\u{7f}\u{fffd}\u{e000}\u{10000}\u{10ffff}\u{d7ff}]{0,4}"
                .prop_map(|s| Some(Json::string(s))),
            1 => any::<String>().prop_map(|s| Some(Json::string(s))),
            1 => Just(Some(Json::Null)),
            1 => Just(None),
        ]
        .boxed()
    }

    proptest! {
        #[test]
        fn keys_compare_like_the_rows_of_ordered_columns(
            (a, b) in prop_oneof![
                (prop::collection::vec((number(), string()), 2)).prop_map(|v| (v[0].clone(), v[1].clone())),
                (prop::collection::vec((string(), number()), 2)).prop_map(|v| (v[0].clone(), v[1].clone())),
            ],
            up in any::<bool>(),
            then in prop::option::of(any::<bool>()),
        ) {
            let (spec, layout) = (spec(up, then), layout());
            let a = row(&layout, a.0.as_ref(), a.1.as_ref());
            let b = row(&layout, b.0.as_ref(), b.1.as_ref());
            let mut columns = spec.columns();
            spec.count(&mut columns, &a, true);
            spec.count(&mut columns, &b, true);
            prop_assert!(spec.is_total(&columns));
            prop_assert_eq!(spec.key(&a).cmp(&spec.key(&b)), spec.compare(&a, &b), "{:?} {:?}", a, b);
        }

        #[test]
        fn sorting_with_a_total_order_is_a_stable_sort(
            items in prop::collection::vec((0..20u32, any::<u8>()), 0..400)
        ) {
            let (mut mine, mut expected) = (items.clone(), items);
            sort_like_reference(&mut mine, &mut |a, b| a.0.cmp(&b.0));
            expected.sort_by_key(|item| item.0);
            prop_assert_eq!(mine, expected);
        }
    }

    #[test]
    fn only_columns_of_one_kind_are_ordered() {
        let layout = layout();
        let values = |texts: &[&str]| -> Vec<Row> {
            let parse = |text: &&str| crate::json::parse(text, 8).expect("JSON").to_json();
            texts.iter().map(|text| row(&layout, Some(&parse(text)), None)).collect()
        };
        for (texts, single, first_of_two) in [
            (vec!["1", "2.5", "null"], true, true),
            (vec![r#""a""#, r#""b""#], true, true),
            (vec!["true", "false"], true, true),
            (vec!["true", "1"], true, false),
            (vec![r#""1""#, "1"], false, false),
            (vec!["[1]"], false, false),
            (vec!["{}", "null"], false, false),
        ] {
            for (spec, expected) in
                [(spec(true, None), single), (spec(true, Some(true)), first_of_two)]
            {
                let mut columns = spec.columns();
                for row in values(&texts) {
                    spec.count(&mut columns, &row, true);
                }
                assert_eq!(spec.is_total(&columns), expected, "{texts:?}");
                for row in values(&texts) {
                    spec.count(&mut columns, &row, false);
                }
                assert_eq!(columns, spec.columns());
            }
        }
    }

    #[test]
    fn values_that_do_not_compare_stay_as_they_are() {
        // "b" ties with 3: the order of the candidates decides.
        let mut items = vec![Some("b"), None, Some("a"), None];
        let mut compare = |a: &Option<&str>, b: &Option<&str>| match (a, b) {
            (Some(a), Some(b)) => a.cmp(b),
            _ => Ordering::Equal,
        };
        sort_like_reference(&mut items, &mut compare);
        assert_eq!(items, [Some("b"), None, Some("a"), None]);
    }
}
