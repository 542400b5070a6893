//! Sums and extremes over the numbers of a field.

use super::{FieldRef, Row};
use crate::json::Raw;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aggregate {
    Sum,
    Avg,
    Min,
    Max,
}

impl Aggregate {
    /// Over the values of a field that are numbers, added from left to right:
    /// the order of the rows decides over the last bits. `None`: there is no
    /// number to be the least or the greatest.
    pub fn over<'r>(self, rows: impl Iterator<Item = &'r Row>, field: &FieldRef) -> Option<f64> {
        let mut numbers = rows.filter_map(|row| row.field(field).and_then(Raw::as_number));
        match self {
            Aggregate::Sum => Some(numbers.fold(0.0, |sum, number| sum + number)),
            Aggregate::Avg => {
                let (sum, count) =
                    numbers.fold((0.0, 0u64), |(sum, count), number| (sum + number, count + 1));
                Some(if count == 0 { 0.0 } else { sum / count as f64 })
            }
            Aggregate::Min => numbers.next().map(|first| numbers.fold(first, f64::min)),
            Aggregate::Max => numbers.next().map(|first| numbers.fold(first, f64::max)),
        }
    }
}
