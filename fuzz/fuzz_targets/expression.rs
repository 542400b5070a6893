//! Expressions that clients bring: the first line is the expression, the rest a
//! record. What is accepted evaluates to JSON without infinities, twice to the
//! same, on a record that was sent as on one that is stored.

#![no_main]

use libfuzzer_sys::fuzz_target;
use noexd::budget::Budget;
use noexd::json::{DEFAULT_MAX_DEPTH, Kind, parse};
use noexd::logic::{ExprLimits, Expression};
use noexd::store::{Layout, RowBuilder};

fuzz_target!(|input: &str| {
    let (source, record) = input.split_once('\n').unwrap_or((input, "{}"));
    let Ok(expr) = parse(source, DEFAULT_MAX_DEPTH) else { return };
    let Ok(record) = parse(record, DEFAULT_MAX_DEPTH) else { return };
    match Expression::compile(&expr.to_json(), ExprLimits::default()) {
        Err(reason) => assert!(!reason.is_empty()),
        Ok(expr) => {
            let budget = Budget::new(1_000_000, usize::MAX);
            let value = expr.evaluate(record, 1.8e12, &budget);
            assert!(!value.has_non_finite());
            assert_eq!(value, expr.evaluate(record, 1.8e12, &budget));
            if record.kind() != Kind::Object || budget.is_over() {
                return;
            }
            let layout = Layout::new(["a", "b"]);
            let mut row = RowBuilder::new(&layout);
            if let Some(members) = record.to_json().as_object() {
                members.iter().for_each(|(name, value)| row.json(name, value));
            }
            assert_eq!(value, expr.evaluate_row(&row.finish(), 1.8e12, &budget));
        }
    }
});
