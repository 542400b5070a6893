//! Actions and how they fail.

use super::*;

#[test]
fn a_list_goes_on_after_a_failure() {
    let mut world = World::new();
    world.on(
        "r",
        "t",
        r#"[{"type":"set_fact","key":"a","value":1},
            {"type":"call_service","service":"none","method":"x"},
            {"type":"set_fact","key":"b","value":1}]"#,
    );
    world.emit("t", "{}");
    assert_eq!(world.facts(), ["a", "b"]);
    assert!(world.log_text().contains("WARN Rule \"r\" (Rule r): Service not found: none"));
    assert_eq!(world.engine.stats().executed, 1);
}

#[test]
fn try_stops_at_the_first_failure() {
    let mut world = World::new();
    world.on(
        "r",
        "t",
        r#"[{"type":"try_catch",
             "try":[{"type":"set_fact","key":"first","value":1},
                    {"type":"call_service","service":"none","method":"x"},
                    {"type":"set_fact","key":"never","value":1}],
             "catch":{"as":"e","actions":[{"type":"set_fact","key":"caught","value":{"ref":"var.e"}}]},
             "finally":[{"type":"set_fact","key":"finally","value":{"ref":"var.e"}}]},
            {"type":"try_catch","try":[{"type":"delete_fact","key":"first"}],
             "catch":{"actions":[{"type":"set_fact","key":"wrong","value":1}]}},
            {"type":"try_catch","try":[{"type":"set_fact","key":"${x.y}","value":1}],"finally":[]},
            {"type":"set_fact","key":"after","value":1}]"#,
    );
    world.emit("t", "{}");
    assert_eq!(world.facts(), ["caught", "finally", "after"]);
    let message = r#"{"message":"Service not found: none"}"#;
    assert_eq!(world.fact("caught").as_deref(), Some(message));
    assert_eq!(world.fact("finally").as_deref(), Some("null"));
    // What a try catches is nobody else's business.
    assert!(world.host.log.is_empty(), "{}", world.log_text());
}

#[test]
fn what_an_action_builds_is_no_longer_than_what_a_client_may_send() {
    for (action, most, message) in [
        (
            r#"{"type":"set_fact","key":"${event.x}","value":1}"#,
            1024,
            r#"Invalid \"key\": at most 1024 characters and 64 segments"#,
        ),
        (
            r#"{"type":"delete_fact","key":"${event.x}"}"#,
            1024,
            r#"Invalid \"key\": at most 1024 characters and 64 segments"#,
        ),
        (
            r#"{"type":"emit_event","topic":"${event.x}","data":{}}"#,
            1024,
            r#"Invalid \"topic\": at most 1024 characters and 64 segments"#,
        ),
        (
            r#"{"type":"set_timer","timer":{"name":"${event.x}","duration":"1h","onExpire":{"topic":"t","data":{}}}}"#,
            256,
            "Timer name is too long (maximum 256 characters)",
        ),
    ] {
        let mut world = World::new();
        world.on(
            "r",
            "t",
            &format!(
                r#"[{{"type":"try_catch","try":[{action}],
                    "catch":{{"as":"e","actions":[{{"type":"set_fact","key":"caught","value":{{"ref":"var.e"}}}}]}}}}]"#
            ),
        );
        for (length, caught) in [(most, None), (most + 1, Some(message))] {
            world.emit("t", &format!(r#"{{"x":"{}"}}"#, "x".repeat(length)));
            let caught = caught.map(|text| format!(r#"{{"message":"{text}"}}"#));
            assert_eq!(world.fact("caught"), caught, "{action} {length}");
        }
    }
}

#[test]
fn failures_inside_blocks_do_not_reach_an_outer_try() {
    let mut world = World::new();
    world.on(
        "r",
        "t",
        r#"[{"type":"try_catch","try":[
              {"type":"for_each","collection":[1,2],"as":"i","actions":[
                {"type":"call_service","service":"none","method":"x"},
                {"type":"set_fact","key":"i:${var.i}","value":{"ref":"var.i_index"}}]},
              {"type":"conditional","conditions":[{"source":{"type":"context","key":"i"},"operator":"not_exists"}],
               "then":[{"type":"call_service","service":"none","method":"x"}]},
              {"type":"set_fact","key":"end","value":1}],
             "catch":{"actions":[{"type":"set_fact","key":"caught","value":1}]}}]"#,
    );
    world.emit("t", "{}");
    assert_eq!(world.facts(), ["i:1", "i:2", "end"]);
    assert_eq!(world.fact("i:2").as_deref(), Some("1"));
}

#[test]
fn loops() {
    let mut world = World::new();
    world.on(
        "r",
        "t",
        r#"[{"type":"for_each","collection":{"ref":"event.lines"},"as":"l","maxIterations":2,"actions":[
              {"type":"for_each","collection":{"ref":"var.l.tags"},"as":"l","actions":[
                {"type":"emit_event","topic":"tag","data":{"tag":{"ref":"var.l"},"at":{"ref":"var.l_index"}}}]},
              {"type":"emit_event","topic":"line","data":{"id":{"ref":"var.l.id"},"at":{"ref":"var.l_index"}}}]},
            {"type":"emit_event","topic":"end","data":{"l":{"ref":"var.l"}}}]"#,
    );
    world.emit(
        "t",
        r#"{"lines":[{"id":1,"tags":["a","b"]},{"id":2,"tags":[]},{"id":3,"tags":[]}]}"#,
    );
    // The inner loop hides the outer variable only while it runs; elements
    // beyond the limit are ignored.
    assert_eq!(
        world.events()[1..],
        [
            r#"tag {"tag":"a","at":0}"#,
            r#"tag {"tag":"b","at":1}"#,
            r#"line {"id":1,"at":0}"#,
            r#"line {"id":2,"at":1}"#,
            "end {}",
        ]
    );
}

#[test]
fn loops_need_an_array() {
    let mut world = World::new();
    world.on(
        "r",
        "t",
        r#"[{"type":"try_catch",
             "try":[{"type":"for_each","collection":{"ref":"event.v"},"as":"x","actions":[]}],
             "catch":{"as":"e","actions":[{"type":"emit_event","topic":"e","data":{"m":{"ref":"var.e.message"}}}]}}]"#,
    );
    for (value, found) in [
        (r#"{"v":5}"#, "number"),
        (r#"{"v":null}"#, "object"),
        (r#"{"v":"s"}"#, "string"),
        (r#"{"v":{}}"#, "object"),
        (r#"{"v":true}"#, "boolean"),
        ("{}", "undefined"),
    ] {
        world.topics();
        world.emit("t", value);
        let expected = format!(r#"e {{"m":"for_each: collection must be an array, got {found}"}}"#);
        assert_eq!(world.events()[1..], [expected]);
    }
}

#[test]
fn references_in_data_and_facts() {
    let mut world = World::new();
    world.set("limit", r#"{"max":5}"#);
    world.on(
        "r",
        "t",
        r#"[{"type":"emit_event","topic":"out.${event.id}","data":{
              "missing":{"ref":"event.gone"},"null":{"ref":"event.n"},"deep":{"a":{"ref":"event.id"}},
              "text":"${event.id}","whole":{"ref":"trigger"},"fact":{"ref":"fact.limit"},
              "meta":{"ref":"meta.topic"},"matched":{"ref":"matched.0.id"},"ref":7}},
            {"type":"set_fact","key":"missing","value":{"ref":"event.gone"}},
            {"type":"set_fact","key":"literal:${event.n}","value":"${event.id}"},
            {"type":"set_fact","key":"odd","value":{"ref":5}}]"#,
    );
    world.emit("t", r#"{"id":"x","n":null}"#);
    assert_eq!(
        world.events()[1..],
        [concat!(
            r#"out.x {"null":null,"deep":{"a":{"ref":"event.id"}},"text":"${event.id}","#,
            r#""whole":{"id":"x","n":null},"fact":{"max":5},"meta":"t","matched":"x","ref":7}"#
        )]
    );
    // Written without a value; what reads it finds nothing.
    let mut out = Vec::new();
    world.engine.fact("missing").expect("there").write("missing", &mut out);
    let expected = format!(r#"{{"key":"missing","timestamp":{WALL},"source":"rule","version":1}}"#);
    assert_eq!(String::from_utf8(out), Ok(expected));
    assert_eq!(world.fact("literal:").as_deref(), Some("\"${event.id}\""));
    assert_eq!(world.fact("odd").as_deref(), Some(r#"{"ref":5}"#));
    assert_eq!(world.engine.fact("odd").map(|fact| fact.source), Some(Source::Rule));
}

#[test]
fn an_unknown_source_in_a_condition_ends_the_rule() {
    let mut world = World::new();
    world.register(
        r#"{"id":"r","name":"R","trigger":{"type":"event","topic":"t"},
            "conditions":[{"source":{"type":"fact","pattern":"${no.x}"},"operator":"exists"}],
            "actions":[{"type":"set_fact","key":"a","value":1}]}"#,
    );
    world.emit("t", "{}");
    assert!(world.facts().is_empty());
    assert!(world.log_text().contains("ERROR Rule \"r\" (R): Unknown reference source: no"));
    assert_eq!(world.engine.stats().executed, 0);
}

#[test]
fn log_lines_are_tame() {
    let mut world = World::new();
    world.on("r", "t", r#"[{"type":"log","level":"info","message":"v=${event.v}"}]"#);
    world.emit("t", r#"{"v":"a\nb\u001b[31m"}"#);
    assert_eq!(world.log_text(), "INFO [rule r] v=a\\nb\\u{1b}[31m\n");
    world.host.log.clear();
    let long = "é".repeat(10_000);
    world.emit("t", &format!(r#"{{"v":"{long}"}}"#));
    let (_, line) = &world.host.log[0];
    assert!(line.len() <= 8 * 1024 + 10 && line.ends_with('é'), "{}", line.len());
}

#[test]
fn values_that_rules_make_are_bounded() {
    let mut world = World::new();
    let wrap = r#"[{"type":"emit_event","topic":"grow","data":{"a":{"ref":"event"},"b":{"ref":"event"}}},
                   {"type":"emit_event","topic":"deep","data":{"a":{"ref":"event"}}}]"#;
    world.on("r", "grow", wrap);
    let seed = "x".repeat(10_000);
    world.emit("grow", &format!(r#"{{"s":"{seed}"}}"#));
    let largest = world.host.events.iter().map(|event| event.data.to_text().len()).max();
    assert!(largest.is_some_and(|largest| largest < 2 << 20), "{largest:?}");
    assert!(world.log_text().contains("value is too large (max 1048576 bytes)"));
}

#[test]
fn facts_are_deleted_by_their_exact_key() {
    let mut world = World::new();
    world.set("a:1", "1");
    world.set("a:*", "1");
    world.on(
        "r",
        "t",
        r#"[{"type":"delete_fact","key":"a:${event.k}"},{"type":"delete_fact","key":"none"}]"#,
    );
    world.emit("t", r#"{"k":"*"}"#);
    assert_eq!(world.facts(), ["a:1"]);
    assert!(world.host.log.is_empty());
}
