//! Actions, nested ones included.

use super::*;

#[test]
fn simple_actions() {
    action("null", &[": Action must be an object"]);
    action("{}", &[".type: Action must have a \"type\" field"]);
    action(r#"{"type":[]}"#, &[".type: Action type must be a string"]);
    action(
        r#"{"type":"x"}"#,
        &[concat!(
            ".type: Invalid action type: x. Valid types: set_fact, delete_fact, emit_event, set_timer, ",
            "cancel_timer, call_service, log, conditional, for_each, try_catch"
        )],
    );
    action(
        r#"{"type":"set_fact"}"#,
        &[
            ".key: set_fact action must have a \"key\" field",
            ".value: set_fact action must have a \"value\" field",
        ],
    );
    action(r#"{"type":"delete_fact","key":5}"#, &[".key: delete_fact action key must be a string"]);
    action(
        r#"{"type":"emit_event"}"#,
        &[
            ".topic: emit_event action must have a \"topic\" field",
            ".data: emit_event action must have a \"data\" field",
        ],
    );
    action(
        r#"{"type":"emit_event","topic":1,"data":[]}"#,
        &[
            ".topic: emit_event action topic must be a string",
            ".data: emit_event action data must be an object",
        ],
    );
    action(
        r#"{"type":"cancel_timer"}"#,
        &[".name: cancel_timer action must have a \"name\" field"],
    );
    action(
        r#"{"type":"call_service","method":1,"args":{}}"#,
        &[
            ".service: call_service action must have a \"service\" field",
            ".method: call_service action method must be a string",
            ".args: call_service action args must be an array",
        ],
    );
    action(r#"{"type":"call_service","service":"mail","method":"send"}"#, &[]);
    warnings(
        &with(r#""actions":[{"type":"call_service","service":"fax","method":"send"}]"#),
        &["actions[0].service: Service \"fax\" is not registered"],
    );
    action(
        r#"{"type":"log"}"#,
        &[
            ".level: log action must have a \"level\" field",
            ".message: log action must have a \"message\" field",
        ],
    );
    action(
        r#"{"type":"log","level":5,"message":5}"#,
        &[
            ".level: Invalid log level: 5. Valid levels: debug, info, warn, error",
            ".message: log action message must be a string",
        ],
    );
}

#[test]
fn timers() {
    let timer = |timer: &str, expected: &[&str]| {
        let expected: Vec<String> = expected.iter().map(|text| format!(".timer{text}")).collect();
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        action(&format!(r#"{{"type":"set_timer","timer":{timer}}}"#), &expected);
    };
    action(r#"{"type":"set_timer"}"#, &[".timer: set_timer action must have a \"timer\" field"]);
    timer("[]", &[": set_timer action timer must be an object"]);
    timer(
        "{}",
        &[
            ".name: Timer must have a \"name\" field",
            ".duration: Timer must have a \"duration\" field",
            ".onExpire: Timer must have an \"onExpire\" field",
        ],
    );
    timer(
        r#"{"name":1,"duration":"x","onExpire":5}"#,
        &[
            ".name: Timer name must be a string",
            ".duration: Invalid duration format: x",
            ".onExpire: Timer onExpire must be an object",
        ],
    );
    timer(
        r#"{"name":"n","duration":-1,"onExpire":{}}"#,
        &[
            ".duration: Timer duration must be positive",
            ".onExpire.topic: Timer onExpire must have a \"topic\" field",
            ".onExpire.data: Timer onExpire must have a \"data\" field",
        ],
    );
    let rest = r#""onExpire":{"topic":5,"data":null}"#;
    timer(
        &format!(r#"{{"name":"n","duration":[],{rest}}}"#),
        &[".duration: Timer duration must be a string or number"],
    );
    timer(&format!(r#"{{"name":"n","cron":"0 9 * * 1-5",{rest}}}"#), &[]);
    timer(
        &format!(r#"{{"name":"n","cron":"9h",{rest}}}"#),
        &[".cron: Invalid cron expression: 9h"],
    );
    timer(
        &format!(r#"{{"name":"n","cron":5,{rest}}}"#),
        &[".duration: Timer must have a \"duration\" field"],
    );
    for (interval, message) in [
        (r#""interval":"1h""#, None),
        (r#""interval":"soon""#, Some("Invalid duration format: soon")),
        (r#""interval":0"#, Some("Timer duration must be positive")),
        (r#""interval":"0ms""#, Some("Timer duration must be positive")),
        ("", Some("Invalid duration format: undefined")),
    ] {
        let message = message.map(|message| format!(".repeat.interval: {message}"));
        let expected: Vec<&str> = message.iter().map(String::as_str).collect();
        timer(
            &format!(r#"{{"name":"n","duration":"5m","repeat":{{{interval}}},{rest}}}"#),
            &expected,
        );
    }
}

#[test]
fn blocks() {
    action(
        r#"{"type":"conditional"}"#,
        &[
            ".conditions: conditional action must have a \"conditions\" field",
            ".then: conditional action must have a \"then\" field",
        ],
    );
    action(
        r#"{"type":"conditional","conditions":[],"then":[],"else":5}"#,
        &[
            ".conditions: conditional action conditions must not be empty",
            ".then: conditional action then must not be empty",
            ".else: conditional action else must be an array",
        ],
    );
    action(
        r#"{"type":"conditional","conditions":[{"source":{"type":"event","field":"f"},"operator":"exists"},4],
            "then":[{"type":"set_fact","value":1}],"else":[{"type":"log","level":"info","message":"m"},{}]}"#,
        &[
            ".conditions[1]: Condition must be an object",
            ".then[0].key: set_fact action must have a \"key\" field",
            ".else[1].type: Action must have a \"type\" field",
        ],
    );
    action(
        r#"{"type":"conditional","conditions":{},"then":{}}"#,
        &[
            ".conditions: conditional action conditions must be an array",
            ".then: conditional action then must be an array",
        ],
    );
    action(
        r#"{"type":"for_each"}"#,
        &[
            ".collection: for_each action must have a \"collection\" field",
            ".as: for_each action must have an \"as\" field",
            ".actions: for_each action must have an \"actions\" field",
        ],
    );
    action(
        r#"{"type":"for_each","collection":1,"as":1,"actions":[5],"maxIterations":1.5}"#,
        &[
            ".as: for_each action as must be a string",
            ".actions[0]: Action must be an object",
            ".maxIterations: for_each action maxIterations must be a positive integer",
        ],
    );
    action(
        r#"{"type":"for_each","collection":[],"as":"x","actions":{}}"#,
        &[".actions: for_each action actions must be an array"],
    );
    action(
        r#"{"type":"try_catch"}"#,
        &[
            ".try: try_catch action must have a \"try\" field",
            ": try_catch action must have at least \"catch\" or \"finally\"",
        ],
    );
    action(
        r#"{"type":"try_catch","try":[],"catch":{"as":5}}"#,
        &[
            ".try: try_catch action try must not be empty",
            ".catch.actions: try_catch catch must have an \"actions\" field",
            ".catch.as: try_catch catch as must be a string",
        ],
    );
    action(
        r#"{"type":"try_catch","try":1,"catch":[],"finally":1}"#,
        &[
            ".try: try_catch action try must be an array",
            ".catch: try_catch action catch must be an object",
            ".finally: try_catch action finally must be an array",
        ],
    );
    action(
        r#"{"type":"try_catch","try":[{"type":"x"}],"catch":{"actions":[]},"finally":[{"type":"delete_fact"}]}"#,
        &[
            concat!(
                ".try[0].type: Invalid action type: x. Valid types: set_fact, delete_fact, emit_event, ",
                "set_timer, cancel_timer, call_service, log, conditional, for_each, try_catch"
            ),
            ".catch.actions: try_catch catch actions must not be empty",
            ".finally[0].key: delete_fact action must have a \"key\" field",
        ],
    );
    let one = r#"[{"type":"set_fact","key":"k","value":1}]"#;
    warnings(
        &with(&format!(
            r#""actions":[{{"type":"try_catch","try":{one},"catch":{{"actions":{one}}},"finally":[]}},
                {{"type":"conditional","conditions":[{{"source":{{"type":"event","field":"f"}},"operator":"exists"}}],"then":{one},"else":[]}}]"#
        )),
        &[
            "actions[0].finally: try_catch action finally is empty",
            "actions[1].else: conditional action else is empty",
        ],
    );
}

#[test]
fn nesting_is_limited() {
    let nested = |levels: usize| {
        let mut action = r#"{"type":"set_fact","key":"k","value":1}"#.to_owned();
        for _ in 1..levels {
            action =
                format!(r#"{{"type":"for_each","collection":[],"as":"x","actions":[{action}]}}"#);
        }
        with(&format!(r#""actions":[{action}]"#))
    };
    errors(&nested(32), &[]);
    let found = list(&findings(&nested(33)).errors);
    let path = format!("actions[0]{}", ".actions[0]".repeat(32));
    assert_eq!(found, [format!("{path}: Actions are nested too deeply")]);
}
