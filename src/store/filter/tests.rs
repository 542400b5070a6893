use proptest::prelude::*;

use super::*;

proptest! {
    /// Without making the text anew for each record, `$contains` is what it was.
    #[test]
    fn contains_without_case(text in "[aAbBkK ß\u{212a}]{0,40}", part in "[aAbBkKß\u{212a}]{0,3}") {
        let part = part.to_lowercase();
        prop_assert_eq!(contains_lowercase(&text, &part), text.to_lowercase().contains(&part));
    }
}

/// What one record costs.
fn steps(filter: &str, record: &str) -> u64 {
    let layout = Layout::new(["id", "f", "g"]);
    let mut row = crate::store::RowBuilder::new(&layout);
    let record = crate::json::parse(record, 8).expect("JSON").to_json();
    for (name, value) in record.as_object().expect("an object").iter() {
        row.json(name, value);
    }
    let filter = crate::json::parse(filter, 8).expect("JSON");
    let filter = Filter::compile(&layout, filter).expect("a filter");
    let budget = Budget::unlimited();
    filter.matches(&row.finish(), &budget);
    budget.spent()
}

#[test]
fn a_condition_is_a_step_and_text_costs_its_length() {
    let record = r#"{"id":1,"f":"abc","g":2}"#;
    assert_eq!(steps("{}", record), 0);
    assert_eq!(steps(r#"{"id":1,"g":2}"#, record), 2);
    // What does not matter any more is not looked at.
    assert_eq!(steps(r#"{"id":2,"g":2}"#, record), 1);
    assert_eq!(steps(r#"{"$or":[{"id":2},{"id":3},{"id":1},{"id":4}]}"#, record), 3);
    assert_eq!(steps(r#"{"g":{"$gte":1,"$lte":3}}"#, record), 2);
    assert_eq!(steps(r#"{"g":{"$in":[5,4,3,2,1]}}"#, record), 4);
    assert_eq!(steps(r#"{"f":{"$contains":"x"}}"#, record), 2);
    let long = format!(r#"{{"id":1,"f":"{}"}}"#, "y".repeat(6398));
    // To its end, and through it.
    assert_eq!(steps(r#"{"f":{"$contains":"x"}}"#, &long), 1 + 100 + 200);
    // A field without a place is looked for in the whole record.
    assert_eq!(steps(r#"{"other":1}"#, &long), 1 + long.len() as u64 * 8 / 64);
}

#[test]
fn a_filter_of_many_alternatives_ends_with_the_budget() {
    let layout = Layout::new(["f"]);
    let mut row = crate::store::RowBuilder::new(&layout);
    row.json("f", &Json::from("abc"));
    let row = row.finish();
    let alternatives: Vec<String> = (0..100).map(|at| format!(r#"{{"f":{at}}}"#)).collect();
    let filter = format!(r#"{{"$or":[{},{{"f":"abc"}}]}}"#, alternatives.join(","));
    let filter = crate::json::parse(&filter, 8).expect("JSON");
    let filter = Filter::compile(&layout, filter).expect("a filter");
    assert_eq!(filter.conditions(), 101);
    let budget = Budget::new(101, 0);
    assert!(filter.matches(&row, &budget) && !budget.is_over());
    let budget = Budget::new(100, 0);
    assert!(!filter.matches(&row, &budget) && budget.is_over());
}
