//! What is wrong with definitions and inputs, each text once.

use super::*;

fn issues(definition: &str) -> Vec<String> {
    let limits = Limits { max_steps: 5, max_condition_depth: 2, ..Limits::default() };
    match Definition::parse(object(definition), &limits) {
        Ok(_) => Vec::new(),
        Err(error) => {
            let issues = error.details.as_ref().and_then(|details| details.get("issues"));
            let issues = issues.and_then(Json::as_array).expect("a list of issues");
            let texts: Vec<String> =
                issues.iter().filter_map(Json::as_str).map(str::to_owned).collect();
            assert_eq!(error.message, format!("Procedure validation failed: {}", texts.join("; ")));
            texts
        }
    }
}

fn of_step(step: &str) -> Vec<String> {
    issues(&format!(r#"{{"name":"p","steps":[{step}]}}"#))
}

#[test]
fn members_of_a_definition() {
    assert_eq!(
        issues("{}"),
        [
            "Missing or invalid \"name\": expected non-empty string",
            "Missing or invalid \"steps\": expected array"
        ]
    );
    assert_eq!(
        issues(
            r#"{"name":"","description":null,"input":[],"transaction":0,"timeoutMs":0,"asDefiner":null,"steps":[]}"#
        ),
        [
            "Missing or invalid \"name\": expected non-empty string",
            "\"description\" must be a string",
            "\"input\" must be an object",
            "\"transaction\" must be a boolean",
            "\"timeoutMs\" must be a positive number",
            "\"asDefiner\" must be a boolean",
            "\"steps\" must contain at least one step"
        ]
    );
    assert_eq!(
        issues(
            r#"{"name":"p","input":{"a":1,"b":{},"c":{"type":"date"},"d":{"type":"array"}},"steps":[{"action":"return","value":1}]}"#
        ),
        [
            "input.a: expected field definition object",
            "input.b.type: expected one of: string, number, boolean, object, array",
            "input.c.type: expected one of: string, number, boolean, object, array"
        ]
    );
}

#[test]
fn members_of_steps() {
    let bucket = "steps[0].bucket: expected non-empty string";
    let key = "steps[0].key: expected non-empty string";
    let keep = "steps[0].as: expected non-empty string";
    let filter = "steps[0].filter: expected object";
    let data = "steps[0].data: expected object";
    let source = "steps[0].source: expected non-empty string";
    for (step, expected) in [
        ("7", vec!["steps[0]: expected step object"]),
        (
            r#"{"action":"store.clear"}"#,
            vec![
                "steps[0].action: expected one of: store.get, store.where, store.findOne, store.insert, store.update, store.delete, store.count, aggregate, rules.emit, rules.setFact, rules.getFact, if, transform, return",
            ],
        ),
        (r#"{"action":"store.get","as":""}"#, vec![bucket, key, keep]),
        (r#"{"action":"store.where","filter":[]}"#, vec![bucket, filter, keep]),
        (r#"{"action":"store.findOne"}"#, vec![bucket, filter, keep]),
        (r#"{"action":"store.insert","as":null}"#, vec![bucket, data, keep]),
        (r#"{"action":"store.update","key":""}"#, vec![bucket, key, data]),
        (
            r#"{"action":"store.update","bucket":"b","key":1,"apply":[],"expect":1}"#,
            vec!["steps[0].expect: expected object", "steps[0].apply: expected object"],
        ),
        (r#"{"action":"store.delete","bucket":1,"key":null}"#, vec![bucket, key]),
        (r#"{"action":"store.count","filter":null}"#, vec![bucket, filter, keep]),
        (
            r#"{"action":"aggregate"}"#,
            vec![
                source,
                keep,
                "steps[0].op: expected one of: sum, avg, min, max, count",
                "steps[0].field: expected non-empty string",
            ],
        ),
        (r#"{"action":"aggregate","source":"s","as":"a","op":"count"}"#, vec![]),
        (
            r#"{"action":"rules.emit","data":1}"#,
            vec!["steps[0].topic: expected non-empty string", data],
        ),
        (r#"{"action":"rules.setFact"}"#, vec![key, "steps[0].value: required"]),
        (r#"{"action":"rules.setFact","key":"k","value":null}"#, vec![]),
        (r#"{"action":"rules.getFact"}"#, vec![key, keep]),
        (
            r#"{"action":"transform"}"#,
            vec![
                source,
                keep,
                "steps[0].operation: expected one of: map, filter, pick, pluck",
                "steps[0].args: required",
            ],
        ),
        (r#"{"action":"return"}"#, vec!["steps[0].value: required"]),
        (
            r#"{"action":"if"}"#,
            vec![
                "steps[0].condition: expected object",
                "steps[0].then: expected non-empty array of steps",
            ],
        ),
        (
            r#"{"action":"if","condition":{"operator":"is"},"then":[],"else":null}"#,
            vec![
                "steps[0].condition.ref: expected non-empty string",
                "steps[0].condition.operator: expected one of: eq, neq, gt, gte, lt, lte, exists, not_exists",
                "steps[0].then: expected non-empty array of steps",
                "steps[0].else: expected non-empty array of steps",
            ],
        ),
        (
            r#"{"action":"if","condition":{"ref":"a","operator":"eq"},"then":[7],"else":[{"action":"return"}]}"#,
            vec!["steps[0].then[0]: expected step object", "steps[0].else[0].value: required"],
        ),
        (
            r#"{"action":"store.upsert","bucket":"b","onInsert":1}"#,
            vec![data, "steps[0].onInsert: expected object"],
        ),
        (r#"{"action":"store.insertMany","bucket":"b"}"#, vec!["steps[0].data: required"]),
        (r#"{"action":"store.updateMany","bucket":"b"}"#, vec![filter]),
        (r#"{"action":"store.deleteMany","bucket":"b"}"#, vec![filter]),
        (r#"{"action":"store.find","bucket":"b"}"#, vec![keep]),
    ] {
        assert_eq!(of_step(step), expected, "{step}");
    }
}

#[test]
fn steps_are_counted_and_nested_only_so_deep() {
    let done = r#"{"action":"return","value":1}"#;
    let nested = |inner: &str| {
        format!(
            r#"{{"action":"if","condition":{{"ref":"a","operator":"exists"}},"then":[{inner}]}}"#
        )
    };
    assert_eq!(of_step(&nested(&nested(done))), Vec::<String>::new());
    assert_eq!(
        of_step(&nested(&nested(&nested(done)))),
        ["steps[0].then[0].then[0]: condition nesting depth exceeds maximum (2)"]
    );
    let five = [done; 5].join(",");
    assert_eq!(of_step(&five), Vec::<String>::new());
    assert_eq!(of_step(&nested(&five)), ["Total step count (6) exceeds maximum (5)"]);
}

#[test]
fn a_hundred_issues_are_listed() {
    let parameters: Vec<String> = (0..150).map(|at| format!("\"p{at}\":1")).collect();
    let definition = format!(
        r#"{{"name":"p","input":{{{}}},"steps":[{{"action":"return","value":1}}]}}"#,
        parameters.join(",")
    );
    let issues = issues(&definition);
    assert_eq!((issues.len(), issues.last().map(String::as_str)), (101, Some("and 50 more")));
}

#[test]
fn inputs() {
    let take = |parameters: &str, input: &str| {
        let definition = format!(
            r#"{{"name":"p","input":{parameters},"steps":[{{"action":"return","value":1}}]}}"#
        );
        let definition = Definition::parse(object(&definition), &Limits::default());
        let given = (!input.is_empty()).then(|| json(input));
        match definition.expect("valid").take_input(given) {
            Ok(input) => input.to_text(),
            Err(error) => error.message.into_owned(),
        }
    };
    let all = r#"{"s":{"type":"string"},"n":{"type":"number","required":false},"d":{"type":"object","default":null},"l":{"type":"array","required":"false","default":[1]}}"#;
    for (input, expected) in [
        ("", "Invalid procedure input: Missing required input \"s\""),
        ("null", "Invalid procedure input: Missing required input \"s\""),
        ("7", "Invalid \"input\": expected object"),
        ("[]", "Invalid \"input\": expected object"),
        (r#"{"s":"x","more":true}"#, r#"{"s":"x","more":true,"d":null,"l":[1]}"#),
        (r#"{"s":"x","n":null,"l":null}"#, r#"{"s":"x","n":null,"l":[1],"d":null}"#),
        (
            r#"{"s":1,"n":"1","d":[],"l":{}}"#,
            "Invalid procedure input: Input \"s\": expected string, got number; Input \"n\": expected number, got string; Input \"d\": expected object, got object; Input \"l\": expected array, got object",
        ),
        (
            r#"{"s":true,"n":1}"#,
            "Invalid procedure input: Input \"s\": expected string, got boolean",
        ),
    ] {
        assert_eq!(take(all, input), expected, "{input}");
    }
}
