//! Everything that can be wrong, with its path and message.

mod actions;
mod rows;

use super::*;
use crate::json::parse;

struct Around;

impl Surroundings for Around {
    fn has_group(&self, group: &str) -> bool {
        group == "day"
    }

    fn has_service(&self, service: &str) -> bool {
        service == "mail"
    }
}

fn findings(rule: &str) -> Findings {
    let rule = parse(rule, 500).unwrap_or_else(|error| panic!("{error}: {rule}")).to_json();
    validate(rule.as_object().expect("an object"), &Around, &crate::budget::Budget::unlimited())
}

fn list(issues: &[Issue]) -> Vec<String> {
    issues.iter().map(|issue| format!("{}: {}", issue.path, issue.message)).collect()
}

/// A rule that is valid but for what is given.
fn with(members: &str) -> String {
    format!(r#"{{"id":"i","name":"n","trigger":{{"type":"event","topic":"t"}},{members}}}"#)
}

#[track_caller]
fn errors(rule: &str, expected: &[&str]) {
    let found = findings(rule);
    assert_eq!(list(&found.errors), expected, "{rule}");
    assert!(found.warnings.is_empty(), "{:?}", found.warnings);
}

#[track_caller]
fn warnings(rule: &str, expected: &[&str]) {
    let found = findings(rule);
    assert_eq!(list(&found.warnings), expected, "{rule}");
    assert!(found.is_valid(), "{:?}", found.errors);
}

#[track_caller]
fn trigger(trigger: &str, expected: &[&str]) {
    errors(&format!(r#"{{"id":"i","name":"n","trigger":{trigger}}}"#), expected);
}

#[track_caller]
fn temporal(pattern: &str, expected: &[&str]) {
    let expected: Vec<String> =
        expected.iter().map(|text| format!("trigger.pattern{text}")).collect();
    let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
    trigger(&format!(r#"{{"type":"temporal","pattern":{pattern}}}"#), &expected);
}

#[track_caller]
fn condition(condition: &str, expected: &[&str]) {
    let expected: Vec<String> =
        expected.iter().map(|text| format!("conditions[0]{text}")).collect();
    let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
    errors(&with(&format!(r#""conditions":[{condition}]"#)), &expected);
}

#[track_caller]
fn action(action: &str, expected: &[&str]) {
    let expected: Vec<String> = expected.iter().map(|text| format!("actions[0]{text}")).collect();
    let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
    errors(&with(&format!(r#""actions":[{action}]"#)), &expected);
}

#[test]
fn top_level() {
    errors(
        "{}",
        &[
            "id: Required field \"id\" is missing",
            "name: Required field \"name\" is missing",
            "trigger: Required field \"trigger\" is missing",
        ],
    );
    errors(
        r#"{"lookups":{},"actions":5,"conditions":null,"trigger":[],"group":" ","tags":[1,"a",null],
            "enabled":1,"priority":"9","description":5,"name":"\ufeff","id":null}"#,
        &[
            "id: Field \"id\" must be a string",
            "name: Field \"name\" cannot be empty",
            "description: Field \"description\" must be a string",
            "priority: Field \"priority\" must be a number",
            "enabled: Field \"enabled\" must be a boolean",
            "tags[0]: Tag must be a string",
            "tags[2]: Tag must be a string",
            "group: Field \"group\" cannot be empty",
            "trigger: Trigger must be an object",
            "conditions: Conditions must be an array",
            "actions: Actions must be an array",
            "lookups: Lookups must be an array",
        ],
    );
    errors(
        &with(r#""tags":"x","group":5"#),
        &["tags: Field \"tags\" must be an array", "group: Field \"group\" must be a string"],
    );
    warnings(
        &with(r#""priority":1.5,"group":"night","actions":[]"#),
        &[
            "priority: Field \"priority\" should be an integer",
            "group: Group \"night\" does not exist",
            "actions: Rule has no actions",
        ],
    );
    warnings(&with(r#""priority":-3,"group":"day","unknown":{}"#), &[]);
}

#[test]
fn triggers() {
    trigger("{}", &["trigger.type: Trigger must have a \"type\" field"]);
    trigger(r#"{"type":5}"#, &["trigger.type: Trigger type must be a string"]);
    trigger(
        r#"{"type":"x"}"#,
        &["trigger.type: Invalid trigger type: x. Valid types: event, fact, timer, temporal"],
    );
    for (kind, speaker, field) in
        [("event", "Event", "topic"), ("fact", "Fact", "pattern"), ("timer", "Timer", "name")]
    {
        let check = |member: &str, message: &str| {
            trigger(
                &format!(r#"{{"type":"{kind}"{member}}}"#),
                &[&format!("trigger.{field}: {speaker} trigger {message}")],
            );
        };
        check("", &format!("must have a \"{field}\" field"));
        check(&format!(r#","{field}":1"#), &format!("{field} must be a string"));
        check(&format!(r#","{field}":" ""#), &format!("{field} cannot be empty"));
    }
    trigger(
        r#"{"type":"temporal"}"#,
        &["trigger.pattern: Temporal trigger must have a \"pattern\" field"],
    );
}

#[test]
fn temporal_patterns() {
    temporal("5", &[": Temporal pattern must be an object"]);
    temporal("{}", &[".type: Temporal pattern must have a \"type\" field"]);
    temporal(r#"{"type":1}"#, &[".type: Temporal pattern type must be a string"]);
    temporal(
        r#"{"type":"x"}"#,
        &[
            ".type: Invalid temporal pattern type: x. Valid types: sequence, absence, count, aggregate",
        ],
    );
    temporal(
        r#"{"type":"sequence"}"#,
        &[
            ".events: Sequence pattern must have an \"events\" field",
            ".within: Field \"within\" is required",
        ],
    );
    temporal(
        r#"{"type":"sequence","events":{},"within":true}"#,
        &[
            ".events: Sequence pattern events must be an array",
            ".within: Field \"within\" must be a string (e.g., \"5m\") or number (milliseconds)",
        ],
    );
    temporal(
        r#"{"type":"sequence","events":[{"as":5,"filter":1}],"within":"5 m","groupBy":5,"strict":1}"#,
        &[
            ".events: Sequence pattern must have at least 2 events",
            ".events[0].topic: Event matcher must have a \"topic\" field",
            ".events[0].as: Event matcher alias must be a string",
            ".events[0].filter: Event matcher filter must be an object",
            ".within: Invalid duration format: 5 m. Use formats like \"5m\", \"1h\", \"7d\"",
            ".groupBy: Field \"groupBy\" must be a string",
            ".strict: Field \"strict\" must be a boolean",
        ],
    );
    temporal(
        r#"{"type":"sequence","events":[5,{"topic":7},{"topic":""}],"within":"9"}"#,
        &[
            ".events[0]: Event matcher must be an object",
            ".events[1].topic: Event matcher topic must be a string",
        ],
    );
    temporal(
        r#"{"type":"absence","expected":null,"within":0}"#,
        &[
            ".after: Absence pattern must have an \"after\" field",
            ".expected: Event matcher must be an object",
            ".within: Duration must be positive",
        ],
    );
    temporal(
        r#"{"type":"count"}"#,
        &[
            ".event: Count pattern must have an \"event\" field",
            ".threshold: Count pattern must have a \"threshold\" field",
            ".window: Field \"window\" is required",
        ],
    );
    temporal(
        r#"{"type":"count","event":{"topic":"t"},"threshold":0.5,"comparison":"gt","window":"0ms","sliding":"no"}"#,
        &[
            ".threshold: Count pattern threshold must be a positive number",
            ".comparison: Invalid comparison: gt. Valid values: gte, lte, eq",
            ".sliding: Field \"sliding\" must be a boolean",
        ],
    );
    temporal(
        r#"{"type":"aggregate"}"#,
        &[
            ".event: Aggregate pattern must have an \"event\" field",
            ".field: Aggregate pattern must have a \"field\" field",
            ".function: Aggregate pattern must have a \"function\" field",
            ".threshold: Aggregate pattern must have a \"threshold\" field",
            ".window: Field \"window\" is required",
        ],
    );
    temporal(
        r#"{"type":"aggregate","event":{"topic":"t"},"field":1,"function":null,"threshold":"1","comparison":5,"window":"1y"}"#,
        &[
            ".field: Aggregate pattern field must be a string",
            ".function: Invalid aggregate function: null. Valid values: sum, avg, min, max, count",
            ".threshold: Aggregate pattern threshold must be a number",
            ".comparison: Invalid comparison: 5. Valid values: gte, lte, eq",
        ],
    );
    temporal(
        r#"{"type":"aggregate","event":{"topic":"t"},"field":"","function":"avg","threshold":-1,"window":5}"#,
        &[],
    );
}

#[test]
fn conditions() {
    condition("5", &[": Condition must be an object"]);
    condition(
        "{}",
        &[
            ".source: Condition must have a \"source\" field",
            ".operator: Condition must have an \"operator\" field",
        ],
    );
    condition(
        r#"{"source":[],"operator":5}"#,
        &[
            ".source: Condition source must be an object",
            ".operator: Condition operator must be a string",
        ],
    );
    condition(
        r#"{"source":{},"operator":"like"}"#,
        &[
            ".source.type: Condition source must have a \"type\" field",
            concat!(
                ".operator: Invalid operator: like. Valid operators: eq, neq, gt, gte, lt, lte, in, ",
                "not_in, contains, not_contains, matches, exists, not_exists"
            ),
            ".value: Condition must have a \"value\" field",
        ],
    );
    condition(
        r#"{"source":{"type":1},"operator":"exists"}"#,
        &[".source.type: Condition source type must be a string"],
    );
    condition(
        r#"{"source":{"type":"x"},"operator":"not_exists"}"#,
        &[
            ".source.type: Invalid source type: x. Valid types: event, fact, context, lookup, baseline",
        ],
    );
    for (kind, speaker, field) in [
        ("fact", "Fact", "pattern"),
        ("event", "Event", "field"),
        ("context", "Context", "key"),
        ("lookup", "Lookup", "name"),
    ] {
        condition(
            &format!(r#"{{"source":{{"type":"{kind}"}},"operator":"exists"}}"#),
            &[&format!(".source.{field}: {speaker} source must have a \"{field}\" field")],
        );
        condition(
            &format!(r#"{{"source":{{"type":"{kind}","{field}":1}},"operator":"exists"}}"#),
            &[&format!(".source.{field}: {speaker} source {field} must be a string")],
        );
        let empty = format!(r#"{{"source":{{"type":"{kind}","{field}":""}},"operator":"exists"}}"#);
        condition(&empty, &[]);
    }
    condition(
        r#"{"source":{"type":"lookup","name":"l","field":5},"operator":"eq","value":null}"#,
        &[".source.field: Lookup source field must be a string"],
    );
    condition(
        r#"{"source":{"type":"baseline","metric":" ","sensitivity":0},"operator":"exists"}"#,
        &[
            ".source.metric: Baseline source metric cannot be empty",
            ".source.comparison: Baseline source must have a \"comparison\" field",
            ".source.sensitivity: Baseline source sensitivity must be a positive number",
        ],
    );
    condition(
        r#"{"source":{"type":"baseline","comparison":"near","sensitivity":1.5},"operator":"exists"}"#,
        &[
            ".source.metric: Baseline source must have a \"metric\" field",
            concat!(
                ".source.comparison: Invalid baseline comparison: near. Valid comparisons: ",
                "above, below, outside, above_percentile, below_percentile"
            ),
        ],
    );
    let matches = |pattern: &str| {
        with(&format!(
            r#""conditions":[{{"source":{{"type":"event","field":"f"}},"operator":"matches","value":"{pattern}"}}]"#
        ))
    };
    warnings(&matches("^a+$"), &[]);
    let found = findings(&matches("(?=a)"));
    assert_eq!(found.warnings[0].path, "conditions[0].value");
    assert!(
        found.warnings[0]
            .message
            .starts_with("Unsupported pattern: it needs backtracking (look-around")
    );
}

#[test]
fn lookups() {
    let lookups = |lookups: &str, expected: &[&str]| {
        let expected: Vec<String> = expected.iter().map(|text| format!("lookups{text}")).collect();
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        errors(&with(&format!(r#""lookups":[{lookups}]"#)), &expected);
    };
    lookups(
        "5,{}",
        &[
            "[0]: Lookup must be an object",
            "[1].name: Lookup must have a \"name\" field",
            "[1].service: Lookup must have a \"service\" field",
            "[1].method: Lookup must have a \"method\" field",
        ],
    );
    lookups(
        r#"{"name":"a","service":1,"method":" ","args":{},"cache":5,"onError":1},
           {"name":"a","service":"mail","method":"m","cache":{},"onError":"ignore"}"#,
        &[
            "[0].service: Lookup service must be a string",
            "[0].method: Lookup method cannot be empty",
            "[0].args: Lookup args must be an array",
            "[0].cache: Lookup cache must be an object",
            "[0].onError: Lookup onError must be a string",
            "[1].name: Duplicate lookup name: a",
            "[1].cache.ttl: Lookup cache must have a \"ttl\" field",
            "[1].onError: Invalid onError strategy: ignore. Valid strategies: skip, fail",
        ],
    );
    for (ttl, message) in [
        ("0", "Lookup cache ttl must be a positive number"),
        ("true", "Lookup cache ttl must be a string or number"),
        (
            "\"x\"",
            "Invalid cache ttl duration: x. Use a duration like \"5m\", \"1h\", \"30s\" or milliseconds",
        ),
    ] {
        lookups(
            &format!(r#"{{"name":"a","service":"mail","method":"m","cache":{{"ttl":{ttl}}}}}"#),
            &[&format!("[0].cache.ttl: {message}")],
        );
    }
    warnings(
        &with(r#""lookups":[{"name":"a","service":"fax","method":"m","onError":"skip"}]"#),
        &["lookups[0].service: Service \"fax\" is not registered"],
    );
}
