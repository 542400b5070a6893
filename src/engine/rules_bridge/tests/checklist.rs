//! The check list of the specification (rules.md section 17), row by row, over
//! the wire.

use super::*;

/// Emits an event; its data, as the result has it.
fn emit(rig: &mut Rig, conn: ConnId, fields: &str) -> Json {
    let text = ok(rig, conn, &format!(r#""type":"rules.emit",{fields}"#));
    crate::json::parse(&text, 64).expect("JSON").to_json()
}

/// Sends a request and says what was pushed before its response.
fn pushed(rig: &mut Rig, conn: ConnId, fields: &str) -> Vec<String> {
    rig.received(conn);
    rig.send(conn, &format!(r#"{{"id":1,{fields}}}"#));
    let mut all = seen(rig, conn);
    assert_eq!(all.pop().as_deref(), Some("result"), "{fields}");
    let topic = |line: String| line.split_once(' ').map(|(_, topic)| topic.to_owned());
    all.into_iter().filter_map(topic).collect()
}

fn fact(rig: &mut Rig, conn: ConnId, key: &str) -> String {
    ok(rig, conn, &format!(r#""type":"rules.getFact","key":"{key}""#))
}

fn register(rig: &mut Rig, conn: ConnId, id: &str, rest: &str) {
    let rule = format!(r#"{{"id":"{id}","name":"{id}",{rest}}}"#);
    ok(rig, conn, &format!(r#""type":"rules.registerRule","rule":{rule}"#));
}

#[test]
fn rows_1_to_3_members_of_events() {
    let (mut rig, conn) = rig();
    for (fields, data) in [
        (r#""topic":"t","data":null"#, "{}"),
        (r#""topic":"t","correlationId":null"#, "{}"),
        (r#""topic":"t","causationId":"c""#, "{}"),
    ] {
        let event = emit(&mut rig, conn, fields);
        let names: Vec<&str> =
            event.as_object().expect("an object").iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["id", "topic", "data", "timestamp", "source"], "{fields}");
        assert_eq!(event.get("data").map(Json::to_text).as_deref(), Some(data));
        let id = event.get("id").and_then(Json::as_str).expect("an id");
        let (time, random) = id.split_once('-').expect("two parts");
        assert_eq!(u64::from_str_radix(time, 36), Ok(rig.now.wall));
        assert!(random.len() == 9 && u64::from_str_radix(random, 36).is_ok(), "{id}");
    }
}

#[test]
fn rows_4_and_5_null_facts_and_versions() {
    let (mut rig, conn) = rig();
    let wall = rig.now.wall;
    let set = r#""type":"rules.setFact","key":"k","value":null"#;
    let stored =
        format!(r#"{{"key":"k","value":null,"timestamp":{wall},"source":"api","version":1}}"#);
    assert_eq!(ok(&mut rig, conn, set), stored);
    assert_eq!(fact(&mut rig, conn, "k"), "null");
    let deleted = ok(&mut rig, conn, r#""type":"rules.deleteFact","key":"k""#);
    assert_eq!(deleted, r#"{"deleted":true}"#);
    assert_eq!(ok(&mut rig, conn, set), stored);
    assert_eq!(ok(&mut rig, conn, set), stored.replace(r#""version":1"#, r#""version":2"#));
}

#[test]
fn rows_6_to_8_subscriptions_and_triggers_match_differently() {
    let (mut rig, conn) = rig();
    on(&mut rig, conn, "r", "order.*", r#"[{"type":"set_fact","key":"ran","value":1}]"#);
    on(&mut rig, conn, "all", "*", r#"[{"type":"set_fact","key":"all","value":1}]"#);
    subscribe(&mut rig, conn, "order.*");
    assert_eq!(pushed(&mut rig, conn, r#""type":"rules.emit","topic":"order""#), ["order"]);
    assert_eq!(fact(&mut rig, conn, "ran"), "null");
    assert_eq!(fact(&mut rig, conn, "all"), "1");
    ok(&mut rig, conn, r#""type":"rules.deleteFact","key":"all""#);
    subscribe(&mut rig, conn, "*");
    assert_eq!(pushed(&mut rig, conn, r#""type":"rules.emit","topic":"a.b""#), ["a.b"]);
    assert_eq!(fact(&mut rig, conn, "all"), "null");
}

#[test]
fn row_9_the_order_of_rules() {
    let (mut rig, conn) = rig();
    for (id, topic, priority) in
        [("1", "x.*", 0), ("2", "x.y", 0), ("3", "x.*", 0), ("4", "x.y", 1), ("5", "*.y", -1)]
    {
        let rest = format!(
            r#""priority":{priority},"trigger":{{"type":"event","topic":"{topic}"}},
               "actions":[{{"type":"emit_event","topic":"ran{id}","data":{{}}}}]"#
        );
        register(&mut rig, conn, id, &rest);
    }
    subscribe(&mut rig, conn, "*");
    let emit = r#""type":"rules.emit","topic":"x.y""#;
    assert_eq!(pushed(&mut rig, conn, emit), ["x.y", "ran4", "ran2", "ran1", "ran3", "ran5"]);
    // An update moves a rule to the end: of its topic, and of the list. The
    // pattern keeps its place as long as it has another rule.
    ok(&mut rig, conn, r#""type":"rules.updateRule","ruleId":"1","updates":{}"#);
    assert_eq!(pushed(&mut rig, conn, emit), ["x.y", "ran4", "ran2", "ran3", "ran1", "ran5"]);
    ok(&mut rig, conn, r#""type":"rules.updateRule","ruleId":"5","updates":{"priority":0}"#);
    assert_eq!(pushed(&mut rig, conn, emit), ["x.y", "ran4", "ran2", "ran3", "ran1", "ran5"]);
    let rules = ok(&mut rig, conn, r#""type":"rules.getRules""#);
    let order: Vec<&str> =
        rules.split(r#"{"id":""#).skip(1).filter_map(|rest| rest.get(..1)).collect();
    assert_eq!(order, ["2", "3", "4", "1", "5"]);
}

#[test]
fn rows_10_and_11_missing_is_not_null() {
    let (mut rig, conn) = rig();
    for (operator, value, data, expected) in [
        ("eq", "null", "{}", false),
        ("eq", "null", r#"{"f":null}"#, true),
        ("not_contains", "1", "{}", true),
        ("not_in", r#""abc""#, r#"{"f":"x"}"#, false),
    ] {
        let condition = format!(
            r#""trigger":{{"type":"event","topic":"t"}},"conditions":[{{"source":{{"type":"event","field":"f"}},"operator":"{operator}","value":{value}}}],
               "actions":[{{"type":"set_fact","key":"hit","value":1}}]"#
        );
        register(&mut rig, conn, "r", &condition);
        ok(&mut rig, conn, &format!(r#""type":"rules.emit","topic":"t","data":{data}"#));
        let hit = ok(&mut rig, conn, r#""type":"rules.deleteFact","key":"hit""#);
        assert_eq!(hit, format!(r#"{{"deleted":{expected}}}"#), "{operator} {value} {data}");
        ok(&mut rig, conn, r#""type":"rules.unregisterRule","ruleId":"r""#);
    }
}

#[test]
fn row_12_facts_of_rules_trigger_nothing_unless_chained() {
    let chained = |chain_facts| {
        let options = Options { chain_facts, ..Options::default() };
        let (mut rig, conn) =
            rig_with(super::options(), RulesSetup { options, ..RulesSetup::default() });
        for (id, pattern, key) in [("1", "in:*", "out:1"), ("2", "out:*", "end")] {
            let rest = format!(
                r#""trigger":{{"type":"fact","pattern":"{pattern}"}},
                   "actions":[{{"type":"set_fact","key":"{key}","value":{{"ref":"trigger.fact.key"}}}}]"#
            );
            register(&mut rig, conn, id, &rest);
        }
        ok(&mut rig, conn, r#""type":"rules.setFact","key":"in:1","value":1"#);
        assert_eq!(fact(&mut rig, conn, "out:1"), r#""in:1""#);
        fact(&mut rig, conn, "end")
    };
    assert_eq!(chained(false), "null");
    assert_eq!(chained(true), r#""out:1""#);
}

#[test]
fn rows_13_and_14_failures() {
    let (mut rig, conn) = rig();
    on(
        &mut rig,
        conn,
        "r",
        "t",
        r#"[{"type":"set_fact","key":"a","value":1},
            {"type":"call_service","service":"gone","method":"m"},
            {"type":"set_fact","key":"b","value":1},
            {"type":"try_catch","try":[{"type":"call_service","service":"gone","method":"m","args":[]},
                                       {"type":"set_fact","key":"never","value":1}],
             "catch":{"as":"e","actions":[{"type":"set_fact","key":"e","value":{"ref":"var.e.message"}}]}}]"#,
    );
    ok(&mut rig, conn, r#""type":"rules.emit","topic":"t""#);
    let text = r#""Service not found: gone""#;
    for (key, value) in [("a", "1"), ("b", "1"), ("never", "null"), ("e", text)] {
        assert_eq!(fact(&mut rig, conn, key), value, "{key}");
    }
}

#[test]
fn row_15_a_rule_that_triggers_itself() {
    let (mut rig, conn) = rig();
    on(&mut rig, conn, "r", "t", r#"[{"type":"emit_event","topic":"t","data":{}}]"#);
    subscribe(&mut rig, conn, "t");
    assert_eq!(pushed(&mut rig, conn, r#""type":"rules.emit","topic":"t""#).len(), 11);
    let stats = ok(&mut rig, conn, r#""type":"rules.stats""#);
    assert!(stats.contains(r#""eventsProcessed":11,"rulesExecuted":10"#), "{stats}");
}

#[test]
fn rows_16_17_and_19_validation() {
    let (mut rig, conn) = rig();
    let request = r#"{"id":1,"type":"rules.registerRule","rule":{}}"#;
    let reply = rig.call(conn, request);
    let issue = |name: &str| {
        format!(
            r#"{{"path":"{name}","message":"Required field \"{name}\" is missing","severity":"error"}}"#
        )
    };
    let issues = [issue("id"), issue("name"), issue("trigger")].join(",");
    let code = reply.get("code").and_then(Json::as_str);
    let message = reply.get("message").and_then(Json::as_str);
    assert_eq!((code, message), (Some("VALIDATION_ERROR"), Some("Rule validation failed")));
    let details = reply.get("details").map(Json::to_text);
    assert_eq!(details, Some(format!("[{issues}]")));
    on(&mut rig, conn, "r", "t", "[]");
    assert_eq!(
        error(&mut rig, conn, r#""type":"rules.registerRule","rule":{"id":"r","name":5}"#),
        "ALREADY_EXISTS Rule \"r\" already exists"
    );
    let validate = |actions: &str| {
        format!(
            r#""type":"rules.validateRule","rule":{{"id":"r","name":"r","trigger":{{"type":"event","topic":"t"}}{actions}}}"#
        )
    };
    assert_eq!(ok(&mut rig, conn, &validate("")), r#"{"valid":true,"errors":[],"warnings":[]}"#);
    assert_eq!(
        ok(&mut rig, conn, &validate(r#","actions":[]"#)),
        r#"{"valid":true,"errors":[],"warnings":[{"path":"actions","message":"Rule has no actions","severity":"warning"}]}"#
    );
}

#[test]
fn details_are_for_those_who_expose_them() {
    let hidden = EngineOptions { expose_error_details: false, ..options() };
    let (mut rig, conn) = rig_with(hidden, RulesSetup::default());
    for rule in ["{}", r#"{"id":"r","name":"r","trigger":{"type":"timer","name":"n"},"group":"g"}"#]
    {
        let request = format!(r#"{{"id":1,"type":"rules.registerRule","rule":{rule}}}"#);
        let reply = rig.call(conn, &request);
        assert_eq!(reply.get("code").and_then(Json::as_str), Some("VALIDATION_ERROR"));
        assert_eq!(reply.get("details"), None);
    }
    // What was asked for is not the detail of an error.
    let found = ok(&mut rig, conn, r#""type":"rules.validateRule","rule":{}"#);
    assert!(found.starts_with(r#"{"valid":false,"errors":[{"path":"id","#), "{found}");
}

#[test]
fn row_18_a_timer_set_twice_expires_once() {
    let (mut rig, conn) = rig();
    let set = |duration: u32| {
        format!(
            r#"{{"type":"set_timer","timer":{{"name":"n","duration":{duration},"onExpire":{{"topic":"end","data":{{"d":{duration}}}}}}}}}"#
        )
    };
    on(&mut rig, conn, "r", "t", &format!("[{},{}]", set(100), set(200)));
    subscribe(&mut rig, conn, "end");
    ok(&mut rig, conn, r#""type":"rules.emit","topic":"t""#);
    rig.advance(199);
    assert!(seen(&mut rig, conn).is_empty());
    rig.advance(1);
    let push = rig.received(conn).remove(0).to_text();
    assert!(push.contains(r#""data":{"d":200}"#), "{push}");
    rig.advance(10_000);
    assert!(seen(&mut rig, conn).is_empty());
}

#[test]
fn row_20_unsubscribing_twice() {
    let (mut rig, conn) = rig();
    let id = subscribe(&mut rig, conn, "t");
    let request = format!(r#""type":"rules.unsubscribe","subscriptionId":"{id}""#);
    assert_eq!(ok(&mut rig, conn, &request), r#"{"unsubscribed":true}"#);
    assert_eq!(
        error(&mut rig, conn, &request),
        format!("NOT_FOUND Subscription \"{id}\" not found")
    );
}

/// The definition comes back as it was sent, numbers and text unchanged, with
/// the defaults and the server's members.
#[test]
fn definitions_come_back_equal() {
    let (mut rig, conn) = rig();
    let definition = r#"{"id":"r","name":"é\u0000\ud83d\ude00 \"q\"","extra":{"n":[1.5,-0.25,1e21,123456789012,null,true]},
        "version":77,"createdAt":1,"description":"d","trigger":{"type":"fact","pattern":"a:*","more":1},
        "conditions":[{"source":{"type":"fact","pattern":"x"},"operator":"exists","why":"w"}],
        "actions":[{"type":"log","level":"info","message":"m","x":{"ref":"event"}}],"priority":0.5}"#;
    ok(&mut rig, conn, &format!(r#""type":"rules.registerRule","rule":{definition}"#));
    let wall = rig.now.wall;
    let mut expected = crate::json::parse(definition, 64).expect("JSON").to_json();
    let Json::Object(members) = &mut expected else { panic!("an object") };
    for (name, value) in [("version", 1), ("createdAt", wall), ("updatedAt", wall)] {
        members.insert(name, Json::Number(value as f64));
    }
    members.insert("enabled", Json::Bool(true));
    members.insert("tags", Json::Array(Vec::new()));
    let stored = rig.call(conn, r#"{"id":1,"type":"rules.getRule","ruleId":"r"}"#);
    assert_eq!(stored.get("data"), Some(&expected));
    // An update keeps the time of creation, takes the next version, ignores
    // the id, and replaces members whole.
    rig.advance(5);
    let updates = r#"{"id":"other","actions":[],"createdAt":3,"version":9,"description":"e","enabled":false}"#;
    let request = format!(r#""type":"rules.updateRule","ruleId":"r","updates":{updates}"#);
    let result = ok(&mut rig, conn, &request);
    assert_eq!(result, format!(r#"{{"id":"r","version":2,"updatedAt":{}}}"#, wall + 5));
    let Json::Object(members) = &mut expected else { panic!("an object") };
    members.insert("version", Json::Number(2.0));
    members.insert("updatedAt", Json::Number((wall + 5) as f64));
    members.insert("actions", Json::Array(Vec::new()));
    members.insert("description", Json::from("e"));
    members.insert("enabled", Json::Bool(false));
    let stored = rig.call(conn, r#"{"id":1,"type":"rules.getRule","ruleId":"r"}"#);
    assert_eq!(stored.get("data"), Some(&expected));
    // Switching touches the time and nothing else, also when nothing changes.
    rig.advance(5);
    ok(&mut rig, conn, r#""type":"rules.disableRule","ruleId":"r""#);
    let Json::Object(members) = &mut expected else { panic!("an object") };
    members.insert("updatedAt", Json::Number((wall + 10) as f64));
    let stored = rig.call(conn, r#"{"id":1,"type":"rules.getRule","ruleId":"r"}"#);
    assert_eq!(stored.get("data"), Some(&expected));
    // What does not validate changes nothing.
    let request = r#""type":"rules.updateRule","ruleId":"r","updates":{"tags":null,"name":"x"}"#;
    assert_eq!(error(&mut rig, conn, request), "VALIDATION_ERROR Rule validation failed");
    let stored = rig.call(conn, r#"{"id":1,"type":"rules.getRule","ruleId":"r"}"#);
    assert_eq!(stored.get("data"), Some(&expected));
}

/// Every operation's own checks, in their order.
#[test]
fn fields_are_checked_in_order() {
    let (mut rig, conn) = rig();
    let text = |field: &str| {
        format!("VALIDATION_ERROR Missing or invalid \"{field}\": expected non-empty string")
    };
    let object =
        |field: &str| format!("VALIDATION_ERROR Missing or invalid \"{field}\": expected object");
    for (operation, field) in [
        ("emit", "topic"),
        ("setFact", "key"),
        ("getFact", "key"),
        ("deleteFact", "key"),
        ("queryFacts", "pattern"),
        ("subscribe", "pattern"),
        ("unsubscribe", "subscriptionId"),
        ("unregisterRule", "ruleId"),
        ("updateRule", "ruleId"),
        ("enableRule", "ruleId"),
        ("disableRule", "ruleId"),
        ("getRule", "ruleId"),
    ] {
        for value in ["", r#","F":null"#, r#","F":5"#, r#","F":"""#, r#","F":{}"#, r#","F":["x"]"#]
        {
            let value = value.replace('F', field);
            let request = format!(r#""type":"rules.{operation}"{value}"#);
            assert_eq!(error(&mut rig, conn, &request), text(field), "{request}");
        }
    }
    for operation in ["registerRule", "validateRule"] {
        for value in ["", r#","rule":null"#, r#","rule":[]"#, r#","rule":"r""#] {
            let request = format!(r#""type":"rules.{operation}"{value}"#);
            assert_eq!(error(&mut rig, conn, &request), object("rule"), "{request}");
        }
    }
    // Both are checked before the rule is looked for.
    for value in ["", r#","updates":null"#, r#","updates":[1]"#] {
        let request = format!(r#""type":"rules.updateRule","ruleId":"gone"{value}"#);
        assert_eq!(error(&mut rig, conn, &request), object("updates"), "{request}");
    }
    for request in ["unregisterRule", "enableRule", "disableRule", "getRule"] {
        let request = format!(r#""type":"rules.{request}","ruleId":" ""#);
        assert_eq!(error(&mut rig, conn, &request), "NOT_FOUND Rule \" \" not found");
    }
    // Blank is not empty.
    ok(&mut rig, conn, r#""type":"rules.setFact","key":" ","value":0"#);
    ok(&mut rig, conn, r#""type":"rules.emit","topic":" ""#);
    ok(&mut rig, conn, r#""type":"rules.subscribe","pattern":" ""#);
}
