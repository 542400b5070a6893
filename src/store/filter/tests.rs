use proptest::prelude::*;

use super::*;

proptest! {
    /// Without making the text anew for each record, `$contains` is what it was.
    #[test]
    fn contains_without_case(text in "[aAbBkK \u{df}\u{212a}\n]{0,80}", part in "[aAbBkK\u{df}\u{212a}\n]{0,4}") {
        let layout = Layout::new(["f"]);
        let mut row = crate::store::RowBuilder::new(&layout);
        row.json("f", &Json::from(&*text));
        let filter = Json::Object([("f", Json::Object([("$contains", Json::from(&*part))].into_iter().collect()))].into_iter().collect());
        let filter = Filter::from_json(&layout, &filter).expect("a filter");
        let contains = text.to_lowercase().contains(&part.to_lowercase());
        prop_assert_eq!(filter.matches(&row.finish(), &Budget::unlimited()), contains);
    }

    /// Also where every place looks promising.
    #[test]
    fn contains_in_repetitions(text in "(a{1,60}b?){1,4}", part in "a{0,30}b?a{0,30}") {
        let upper = text.to_uppercase();
        prop_assert_eq!(search::contains(upper.as_bytes(), part.as_bytes()), text.contains(&part));
    }
}

#[test]
fn groups_without_conditions_are_work_too() {
    let record = r#"{"id":1}"#;
    assert_eq!(steps(r#"{"$or":[{"$or":[]},{"$or":[]},{"$or":[]}]}"#, record), 3);
    assert_eq!(steps(r#"{"$and":[{},{},{"$and":[{}]}]}"#, record), 4);
}

#[test]
fn a_value_is_made_ready_once() {
    let long = format!(r#"{{"id":1,"f":"{}"}}"#, "\u{e9}".repeat(3200));
    let one = steps(r#"{"f":{"$contains":"x"}}"#, &long);
    let two = steps(r#"{"$or":[{"f":{"$contains":"x"}},{"f":{"$contains":"y"}}]}"#, &long);
    // The second alternative only searches.
    assert_eq!(two - one, 1 + 6402_u64.div_ceil(TEXT_STEP as u64));
}

#[test]
fn four_fields_are_remembered_together() {
    let long = "\u{e9}".repeat(3200);
    let record = format!(r#"{{"a":1,"b":2,"f":"{long}","o":4,"p":5}}"#);
    // Three others are asked in between, with a place in the record or without.
    let between = |others: [&str; 3]| {
        let ask = r#"{"f":{"$contains":"x"}}"#;
        let others: Vec<String> =
            others.iter().map(|name| format!(r#"{{"{name}":{{"$exists":false}}}}"#)).collect();
        let others = others.join(",");
        let once = steps(&format!(r#"{{"$or":[{ask},{others}]}}"#), &record);
        steps(&format!(r#"{{"$or":[{ask},{others},{ask}]}}"#), &record) - once
    };
    let only_searched = 1 + 6402_u64.div_ceil(TEXT_STEP as u64);
    assert_eq!(between(["a", "b", "o"]), only_searched);
    assert_eq!(between(["a", "p", "o"]), only_searched);
}

proptest! {
    /// However many fields it is about, each condition sees its own.
    #[test]
    fn many_fields_are_not_mixed_up(
        values in proptest::collection::vec(0..3_u8, 12),
        asked in proptest::collection::vec((0..14_usize, 0..3_u8), 1..40),
    ) {
        let layout = Layout::new(["0", "1", "2", "3", "4", "5", "6"]);
        let mut row = crate::store::RowBuilder::new(&layout);
        for (name, value) in values.iter().enumerate() {
            row.json(&name.to_string(), &Json::Number(f64::from(*value)));
        }
        let row = row.finish();
        let conditions: Vec<String> = asked
            .iter()
            .map(|(field, value)| format!(r#"{{"{field}":{{"$gt":{value}}}}}"#))
            .collect();
        let holds = |(field, value): &(usize, u8)| values.get(*field).is_some_and(|have| have > value);
        for (group, wanted) in [("$or", asked.iter().any(holds)), ("$and", asked.iter().all(holds))] {
            let filter = format!(r#"{{"{group}":[{}]}}"#, conditions.join(","));
            let filter = crate::json::parse(&filter, 8).expect("JSON");
            let filter = Filter::compile(&layout, filter).expect("a filter");
            prop_assert_eq!(filter.matches(&row, &Budget::unlimited()), wanted);
        }
    }
}

/// What one record costs.
fn steps(filter: &str, record: &str) -> u64 {
    let layout = Layout::new(["id", "f", "g", "a", "b"]);
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
