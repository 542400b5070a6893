//! Templates, paths, conditions, `aggregate` and `transform`.

use super::*;

#[test]
fn strings_with_templates() {
    for (text, expected) in [
        ("{{input.a}}", "1"),
        ("{{  input.a  }}", "1"),
        (" {{ input.a }}", "\" 1\""),
        ("{{ input.a }}\\n", "\"1\\n\""),
        ("{{input.a}}{{input.a}}", "\"11\""),
        ("{{ }}", "undefined"),
        ("{{}}", "\"{{}}\""),
        ("{{ a } }}", "\"{{ a } }}\""),
        ("{{{ input.a }}}", "\"}\""),
        ("{{ input . a }}", "undefined"),
        ("x{{ input.none }}y", "\"xy\""),
        ("x{{ input.nothing }}y", "\"xy\""),
        ("{{ input.nothing }}", "null"),
        ("<{{ input.o }}|{{ input.l }}|{{ input.t }}>", "\"<{\\\"k\\\":[1]}|[1,\\\"a\\\"]|true>\""),
        ("{{ input.big }}!", "\"1e+21!\""),
        ("{{ r.n }}!", "\"0!\""),
        // What was put in is not looked at again.
        ("{{ input.template }}", "\"{{ input.a }}\""),
        ("<{{ input.template }}>", "\"<{{ input.a }}>\""),
        ("no template", "\"no template\""),
        ("{{ input.a", "\"{{ input.a\""),
        ("{{{{ input.a }}", "undefined"),
    ] {
        let input = r#"{"a":1,"nothing":null,"o":{"k":[1]},"l":[1,"a"],"t":true,"big":1e21,"template":"{{ input.a }}"}"#;
        assert_eq!(returned(&format!("\"{text}\""), input), expected, "{text}");
    }
}

#[test]
fn paths() {
    for (path, expected) in [
        ("input", r#"{"a":[1,[2]]}"#),
        ("input.a.0", "1"),
        ("input.a.1.0", "2"),
        ("input.a.01", "undefined"),
        ("input.a.+1", "undefined"),
        ("input.a.length", "2"),
        ("input.a.map", "undefined"),
        ("input.constructor", "undefined"),
        ("r.list.1.x", "null"),
        ("r.list.1.x.y", "undefined"),
        ("r.list.2", "undefined"),
        ("r.s.length", "undefined"),
        ("r.s.0", "undefined"),
        ("r.o.__proto__", "1"),
        ("r.o.a.b", "undefined"),
        ("none", "undefined"),
        ("session.userId", "\"u-1\""),
        ("session.roles.0", "\"writer\""),
        ("session.nothing", "undefined"),
    ] {
        assert_eq!(
            returned(&format!("\"{{{{ {path} }}}}\""), r#"{"a":[1,[2]]}"#),
            expected,
            "{path}"
        );
    }
}

#[test]
fn a_result_hides_the_session_but_not_the_input() {
    let steps = r#"[{"action":"store.get","bucket":"b","key":"k","as":"session","gives":7},
        {"action":"store.get","bucket":"b","key":"k","as":"input","gives":8},
        {"action":"return","value":["{{ session }}","{{ input.a }}"]}]"#;
    assert_eq!(run(steps, r#"{"a":1}"#), r#"{"result":[7,1],"results":{"session":7,"input":8}}"#);
}

#[test]
fn undefined_members_are_left_out_and_elements_are_null() {
    let value =
        r#"{"a":"{{ input.none }}","b":["{{ input.none }}",{"{{ input.a }}":"{{ input.a }}"}]}"#;
    assert_eq!(returned(value, r#"{"a":1}"#), r#"{"b":[null,{"{{ input.a }}":1}]}"#);
}

fn holds(condition: &str) -> bool {
    let steps = format!(
        r#"[{{"action":"if","condition":{condition},"then":[{{"action":"return","value":true}}]}}]"#
    );
    let input = r#"{"s":"10","n":9,"z":null,"e":"","l":[],"o":{"a":[1]},"o2":{"a":[1]},"t":true}"#;
    match run(&steps, input).as_str() {
        r#"{"result":true,"results":{}}"# => true,
        r#"{"results":{}}"# => false,
        other => panic!("{other}"),
    }
}

#[test]
fn conditions() {
    let condition = |path: &str, operator: &str, value: &str| {
        let value = if value.is_empty() { String::new() } else { format!(",\"value\":{value}") };
        holds(&format!(r#"{{"ref":"{path}","operator":"{operator}"{value}}}"#))
    };
    for (path, operator, value, expected) in [
        ("input.e", "exists", "", true),
        ("input.l", "exists", "", true),
        ("input.z", "exists", "", false),
        ("input.none", "not_exists", "", true),
        ("input.n", "not_exists", "", false),
        ("input.none", "eq", "", true),
        ("input.z", "eq", "", false),
        ("input.z", "eq", "null", true),
        ("input.none", "eq", "null", false),
        ("input.n", "eq", "\"9\"", false),
        ("input.n", "eq", "9", true),
        ("input.n", "neq", "9", false),
        ("input.o", "eq", "\"{{ input.o2 }}\"", true),
        ("input.o", "neq", "{\"a\":[2]}", true),
        ("input.s", "gt", "9", true),
        ("input.s", "gt", "\"9\"", false),
        ("input.z", "gt", "-1", true),
        ("input.t", "gte", "1", true),
        ("input.e", "lte", "0", true),
        ("input.none", "lt", "1", false),
        ("input.none", "gte", "\"\"", false),
        ("input.n", "lt", "\"x\"", false),
        ("input.l", "lte", "0", false),
        ("input.n", "gt", "[1]", false),
        ("{{ input.n }}", "eq", "9", true),
        ("x{{ input.n }}", "exists", "", false),
        ("input.n", "lt", "\"{{ input.s }}\"", true),
    ] {
        assert_eq!(condition(path, operator, value), expected, "{path} {operator} {value}");
    }
}

fn over_list(step: &str) -> String {
    let list = r#"[{"n":1,"k":"a"},{"n":2.5,"k":null},{"n":"3","k":"a"},7,null,{"k":"a"}]"#;
    let steps = format!(
        r#"[{{"action":"store.where","bucket":"b","filter":{{}},"as":"l","gives":{list}}},
           {{"action":"store.get","bucket":"b","key":"k","as":"o","gives":{{"a":1,"b":2}}}},
           {{"action":"store.get","bucket":"b","key":"k","as":"none","gives":[]}},
           {step},{{"action":"return","value":"{{{{ x }}}}"}}]"#
    );
    let text = run(&steps, r#"{"k":"a"}"#);
    match text.strip_prefix("{\"result\":").and_then(|rest| rest.split_once(",\"results\":")) {
        Some((result, _)) => result.to_owned(),
        None => text,
    }
}

#[test]
fn aggregates_over_results() {
    for (source, op, expected) in [
        ("l", "count", "6"),
        ("l", "sum", "3.5"),
        ("l", "avg", "0.5833333333333334"),
        ("l", "min", "1"),
        ("l", "max", "2.5"),
        ("none", "avg", "0"),
        ("none", "sum", "0"),
        ("none", "max", "0"),
        ("o", "sum", "steps[3] INTERNAL_ERROR aggregate: source \"o\" is not an array"),
        ("l.0", "sum", "steps[3] INTERNAL_ERROR aggregate: source \"l.0\" is not an array"),
        ("input", "sum", "steps[3] INTERNAL_ERROR aggregate: source \"input\" is not an array"),
    ] {
        let step = format!(
            r#"{{"action":"aggregate","source":"{source}","op":"{op}","field":"n","as":"x"}}"#
        );
        assert_eq!(over_list(&step), expected, "{source} {op}");
    }
}

#[test]
fn transforms() {
    for (source, operation, args, expected) in [
        ("l", "pluck", "\"n\"", "[1,2.5,\"3\",null,null,null]"),
        ("l", "filter", "{\"k\":\"{{ input.k }}\",\"n\":1}", "[{\"n\":1,\"k\":\"a\"}]"),
        ("l", "filter", "{\"n\":\"{{ input.none }}\"}", "[{\"k\":\"a\"}]"),
        ("l", "filter", "{\"k\":null}", "[{\"n\":2.5,\"k\":null}]"),
        ("none", "filter", "{}", "[]"),
        ("none", "map", "null", "[]"),
        (
            "l",
            "map",
            "{\"k\":\"{{ input.none }}\",\"z\":[\"{{ input.k }}\"]}",
            "[{\"n\":1,\"z\":[\"a\"]},{\"n\":2.5,\"z\":[\"a\"]},{\"n\":\"3\",\"z\":[\"a\"]},7,null,{\"z\":[\"a\"]}]",
        ),
        ("o", "pick", "[\"b\",\"zz\",\"a\"]", "{\"b\":2,\"a\":1}"),
        (
            "l",
            "pick",
            "[]",
            "steps[3] INTERNAL_ERROR transform.pick: source \"l\" is not an object",
        ),
        (
            "o",
            "pluck",
            "\"n\"",
            "steps[3] INTERNAL_ERROR transform.pluck: source \"o\" is not an array",
        ),
        ("o", "pick", "\"ab\"", "steps[3] VALIDATION_ERROR transform.pick: invalid \"args\""),
        ("o", "pick", "[1]", "steps[3] VALIDATION_ERROR transform.pick: invalid \"args\""),
        ("l", "filter", "7", "steps[3] VALIDATION_ERROR transform.filter: invalid \"args\""),
        ("l", "map", "[]", "steps[3] VALIDATION_ERROR transform.map: invalid \"args\""),
        ("l", "pluck", "[\"n\"]", "steps[3] VALIDATION_ERROR transform.pluck: invalid \"args\""),
    ] {
        let step = format!(
            r#"{{"action":"transform","source":"{source}","operation":"{operation}","args":{args},"as":"x"}}"#
        );
        assert_eq!(over_list(&step), expected, "{operation} {args}");
    }
}

#[test]
fn return_ends_everything_from_any_depth() {
    let steps = r#"[{"action":"if","condition":{"ref":"input","operator":"exists"},"then":[
        {"action":"if","condition":{"ref":"no","operator":"exists"},"then":[{"action":"return","value":1}],
         "else":[{"action":"return","value":2},{"action":"return","value":3}]},
        {"action":"return","value":4}]},{"action":"return","value":5}]"#;
    assert_eq!(run(steps, "{}"), r#"{"result":2,"results":{}}"#);
}

/// Short templates that name long values cannot fill the memory.
#[test]
fn copies_have_the_bound_of_an_answer() {
    let long = "x".repeat(100_000);
    let copies = ["\"{{ input.long }}\""; 11].join(",");
    let steps = format!(r#"[{{"action":"return","value":[{copies}]}}]"#);
    let input = format!(r#"{{"long":"{long}"}}"#);
    let too_large = "steps[0] VALIDATION_ERROR Reply is too large: more than 1048576 bytes";
    assert_eq!(run(&steps, &input), too_large);
    let mixed = format!(r#"[{{"action":"return","value":"{}"}}]"#, "{{ input.long }}".repeat(11));
    assert_eq!(run(&mixed, &input), too_large);
    let elements = ["{}"; 20].join(",");
    let map = format!(
        r#"[{{"action":"store.where","bucket":"b","filter":{{}},"as":"l","gives":[{elements}]}},
            {{"action":"transform","source":"l","operation":"map","args":{{"a":"{{{{ input.long }}}}"}},"as":"x"}}]"#
    );
    let too_large = "steps[1] VALIDATION_ERROR Reply is too large: more than 1048576 bytes";
    assert_eq!(run(&map, &input), too_large);
}
