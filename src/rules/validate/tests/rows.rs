//! The texts of the specification, letter by letter: those that the other tests
//! only meet in parts.

use super::*;

#[test]
fn triggers_of_each_kind() {
    for (given, expected) in [
        (r#"{"type":"event"}"#, "trigger.topic: Event trigger must have a \"topic\" field"),
        (r#"{"type":"event","topic":null}"#, "trigger.topic: Event trigger topic must be a string"),
        (r#"{"type":"event","topic":" "}"#, "trigger.topic: Event trigger topic cannot be empty"),
        (r#"{"type":"fact"}"#, "trigger.pattern: Fact trigger must have a \"pattern\" field"),
        (
            r#"{"type":"fact","pattern":1}"#,
            "trigger.pattern: Fact trigger pattern must be a string",
        ),
        (
            r#"{"type":"fact","pattern":""}"#,
            "trigger.pattern: Fact trigger pattern cannot be empty",
        ),
        (r#"{"type":"timer"}"#, "trigger.name: Timer trigger must have a \"name\" field"),
        (r#"{"type":"timer","name":[]}"#, "trigger.name: Timer trigger name must be a string"),
        (r#"{"type":"timer","name":"\t"}"#, "trigger.name: Timer trigger name cannot be empty"),
    ] {
        trigger(given, &[expected]);
    }
    temporal(
        r#"{"type":"absence","within":1}"#,
        &[
            ".after: Absence pattern must have an \"after\" field",
            ".expected: Absence pattern must have an \"expected\" field",
        ],
    );
}

#[test]
fn sources_of_each_kind() {
    let comparisons = "Invalid baseline comparison: over. Valid comparisons: above, below, \
                       outside, above_percentile, below_percentile";
    for (source, path, message) in [
        (r#"{"type":"fact"}"#, "pattern", "Fact source must have a \"pattern\" field"),
        (r#"{"type":"fact","pattern":1}"#, "pattern", "Fact source pattern must be a string"),
        (r#"{"type":"event"}"#, "field", "Event source must have a \"field\" field"),
        (r#"{"type":"event","field":null}"#, "field", "Event source field must be a string"),
        (r#"{"type":"context"}"#, "key", "Context source must have a \"key\" field"),
        (r#"{"type":"context","key":{}}"#, "key", "Context source key must be a string"),
        (r#"{"type":"lookup"}"#, "name", "Lookup source must have a \"name\" field"),
        (r#"{"type":"lookup","name":5}"#, "name", "Lookup source name must be a string"),
        (
            r#"{"type":"lookup","name":"l","field":5}"#,
            "field",
            "Lookup source field must be a string",
        ),
        (
            r#"{"type":"baseline","comparison":"above"}"#,
            "metric",
            "Baseline source must have a \"metric\" field",
        ),
        (
            r#"{"type":"baseline","metric":5,"comparison":"above"}"#,
            "metric",
            "Baseline source metric must be a string",
        ),
        (
            r#"{"type":"baseline","metric":" ","comparison":"above"}"#,
            "metric",
            "Baseline source metric cannot be empty",
        ),
        (
            r#"{"type":"baseline","metric":"m"}"#,
            "comparison",
            "Baseline source must have a \"comparison\" field",
        ),
        (
            r#"{"type":"baseline","metric":"m","comparison":5}"#,
            "comparison",
            "Baseline source comparison must be a string",
        ),
        (r#"{"type":"baseline","metric":"m","comparison":"over"}"#, "comparison", comparisons),
        (
            r#"{"type":"baseline","metric":"m","comparison":"above","sensitivity":0}"#,
            "sensitivity",
            "Baseline source sensitivity must be a positive number",
        ),
        (
            r#"{"type":"odd"}"#,
            "type",
            "Invalid source type: odd. Valid types: event, fact, context, lookup, baseline",
        ),
    ] {
        condition(
            &format!(r#"{{"source":{source},"operator":"exists"}}"#),
            &[&format!(".source.{path}: {message}")],
        );
    }
    // An unknown operator asks for a value too; one that is no string does not.
    condition(
        r#"{"source":{"type":"event","field":"f"},"operator":"like"}"#,
        &[
            ".operator: Invalid operator: like. Valid operators: eq, neq, gt, gte, lt, lte, in, \
             not_in, contains, not_contains, matches, exists, not_exists",
            ".value: Condition must have a \"value\" field",
        ],
    );
    condition(
        r#"{"source":5,"operator":5}"#,
        &[
            ".source: Condition source must be an object",
            ".operator: Condition operator must be a string",
        ],
    );
}

#[test]
fn texts_of_actions_and_lookups() {
    for (given, expected) in [
        (
            r#"{"type":"jump"}"#,
            ".type: Invalid action type: jump. Valid types: set_fact, delete_fact, emit_event, \
             set_timer, cancel_timer, call_service, log, conditional, for_each, try_catch",
        ),
        (r#"{"type":"cancel_timer","name":5}"#, ".name: cancel_timer action name must be a string"),
        (
            r#"{"type":"try_catch","try":[{"type":"cancel_timer","name":"n"}],"catch":{"actions":{}}}"#,
            ".catch.actions: try_catch catch actions must be an array",
        ),
        (
            r#"{"type":"try_catch","try":[{"type":"cancel_timer","name":"n"}],"catch":{}}"#,
            ".catch.actions: try_catch catch must have an \"actions\" field",
        ),
        (
            r#"{"type":"log","level":true,"message":"m"}"#,
            ".level: Invalid log level: true. Valid levels: debug, info, warn, error",
        ),
    ] {
        action(given, &[expected]);
    }
    for (name, message) in
        [("5", "Lookup name must be a string"), ("\"  \"", "Lookup name cannot be empty")]
    {
        errors(
            &with(&format!(r#""lookups":[{{"name":{name},"service":"mail","method":"m"}}]"#)),
            &[&format!("lookups[0].name: {message}")],
        );
    }
    errors(
        r#"{"id":"\u00a0","name":"\ufeff","trigger":{"type":"event","topic":"t"}}"#,
        &["id: Field \"id\" cannot be empty", "name: Field \"name\" cannot be empty"],
    );
}

/// Values that are no strings are shown as JavaScript shows them.
#[test]
fn values_in_messages() {
    for (value, text) in [
        ("5", "5"),
        ("1.50", "1.5"),
        ("null", "null"),
        ("false", "false"),
        ("[1,[\"a\",null],true]", "1,a,,true"),
        ("[]", ""),
        ("{\"a\":1}", "{\"a\":1}"),
        ("[{}]", "[{}]"),
        ("\"x\"", "x"),
    ] {
        temporal(
            &format!(
                r#"{{"type":"count","event":{{"topic":"t"}},"threshold":1,"comparison":{value},"window":1}}"#
            ),
            &[&format!(".comparison: Invalid comparison: {text}. Valid values: gte, lte, eq")],
        );
    }
}

/// All areas in their order, nothing left out.
#[test]
fn everything_is_collected_in_order() {
    errors(
        r#"{"lookups":5,"actions":5,"conditions":5,"trigger":5,"group":5,"tags":5,"enabled":5,
            "priority":"p","description":5,"name":5,"id":5}"#,
        &[
            "id: Field \"id\" must be a string",
            "name: Field \"name\" must be a string",
            "description: Field \"description\" must be a string",
            "priority: Field \"priority\" must be a number",
            "enabled: Field \"enabled\" must be a boolean",
            "tags: Field \"tags\" must be an array",
            "group: Field \"group\" must be a string",
            "trigger: Trigger must be an object",
            "conditions: Conditions must be an array",
            "actions: Actions must be an array",
            "lookups: Lookups must be an array",
        ],
    );
    // `null` is there, and of the wrong type.
    errors(
        r#"{"id":null,"name":null,"trigger":null,"description":null,"priority":null,"enabled":null,
            "tags":null,"group":null,"conditions":null,"actions":null,"lookups":null}"#,
        &[
            "id: Field \"id\" must be a string",
            "name: Field \"name\" must be a string",
            "description: Field \"description\" must be a string",
            "priority: Field \"priority\" must be a number",
            "enabled: Field \"enabled\" must be a boolean",
            "tags: Field \"tags\" must be an array",
            "group: Field \"group\" must be a string",
            "trigger: Trigger must be an object",
            "conditions: Conditions must be an array",
            "actions: Actions must be an array",
            "lookups: Lookups must be an array",
        ],
    );
}
