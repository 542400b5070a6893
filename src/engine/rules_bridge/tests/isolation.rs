//! What fails in one rule harms nothing else.

use std::cell::Cell;

use super::*;

thread_local! {
    /// The next look at the stopwatch panics: the engine itself fails in the
    /// middle of an evaluation.
    static BROKEN: Cell<bool> = const { Cell::new(false) };
}

fn stopwatch() -> u64 {
    assert!(!BROKEN.replace(false), "on purpose");
    0
}

/// Panics in every way a service can, and breaks the engine when told.
struct Hostile;

impl RuleService for Hostile {
    fn call(&mut self, method: &str, _: &[Value]) -> Result<Value, ServiceError> {
        match method {
            "panic" => panic!("on purpose"),
            "break" => {
                BROKEN.set(true);
                Ok(Value::Null)
            }
            "fail" => Err(ServiceError::Failed("out of order".into())),
            _ => Err(ServiceError::UnknownMethod),
        }
    }
}

fn hostile(setup: RulesSetup) -> (Rig, ConnId) {
    let (mut rig, conn) = rig_with(options(), RulesSetup { stopwatch: Some(stopwatch), ..setup });
    rig.engine.add_rule_service("hostile", Box::new(Hostile)).expect("a new name");
    (rig, conn)
}

fn facts(rig: &mut Rig, conn: ConnId) -> Vec<String> {
    let all = ok(rig, conn, r#""type":"rules.getAllFacts""#);
    all.split(r#"{"key":""#)
        .skip(1)
        .filter_map(|rest| rest.split_once('"'))
        .map(|(key, _)| key.to_owned())
        .collect()
}

fn calls(method: &str) -> String {
    format!(r#"{{"type":"call_service","service":"hostile","method":"{method}"}}"#)
}

fn sets(key: &str) -> String {
    format!(r#"{{"type":"set_fact","key":"{key}","value":1}}"#)
}

#[test]
fn a_service_that_panics_fails_its_call_and_is_called_again() {
    let (mut rig, conn) = hostile(RulesSetup::default());
    let caught =
        r#""catch":{"as":"e","actions":[{"type":"set_fact","key":"${var.e.message}","value":1}]}"#;
    for method in ["panic", "fail", "none"] {
        let actions = format!(
            r#"[{},{{"type":"try_catch","try":[{},{}],{caught}}},{}]"#,
            calls(method),
            calls(method),
            sets("never"),
            sets(&format!("after {method}"))
        );
        on(&mut rig, conn, method, "t", &actions);
    }
    ok(&mut rig, conn, r#""type":"rules.emit","topic":"t""#);
    let expected = [
        "Service \\",
        "after panic",
        "out of order",
        "after fail",
        "Method not found: hostile.none",
        "after none",
    ];
    assert_eq!(facts(&mut rig, conn), expected);
    let text = ok(&mut rig, conn, r#""type":"rules.getAllFacts""#);
    assert!(text.contains(r#"Service \"hostile\" panicked: on purpose"#), "{text}");
    let stats = ok(&mut rig, conn, r#""type":"rules.stats""#);
    assert!(stats.contains(r#""rulesExecuted":3"#), "{stats}");
}

#[test]
fn a_lookup_that_panics_skips_its_rule() {
    let (mut rig, conn) = hostile(RulesSetup::default());
    for (id, more) in [("skip", ""), ("fail", r#","onError":"fail""#)] {
        ok(
            &mut rig,
            conn,
            &format!(
                r#""type":"rules.registerRule","rule":{{"id":"{id}","name":"{id}","trigger":{{"type":"event","topic":"t"}},
                   "lookups":[{{"name":"l","service":"hostile","method":"panic"{more}}}],"actions":[{}]}}"#,
                sets("never")
            ),
        );
    }
    on(&mut rig, conn, "other", "t", &format!("[{}]", sets("other")));
    ok(&mut rig, conn, r#""type":"rules.emit","topic":"t""#);
    assert_eq!(facts(&mut rig, conn), ["other"]);
}

/// The engine itself fails at the end of the first of three rules.
#[test]
fn a_panic_ends_one_evaluation() {
    let (mut rig, conn) = hostile(RulesSetup::default());
    let watcher = rig.connect();
    subscribe(&mut rig, watcher, "*");
    rig.received(watcher);
    on(&mut rig, conn, "1", "t", &format!("[{},{}]", sets("one"), calls("break")));
    on(&mut rig, conn, "2", "t", &format!("[{}]", sets("two")));
    on(
        &mut rig,
        conn,
        "3",
        "t",
        &format!(r#"[{},{{"type":"emit_event","topic":"end","data":{{}}}}]"#, sets("three")),
    );
    ok(&mut rig, conn, r#""type":"rules.emit","topic":"t""#);
    assert_eq!(facts(&mut rig, conn), ["one", "two", "three"]);
    assert_eq!(seen(&mut rig, watcher), ["sub-1 t", "sub-1 end"]);
    let stats = ok(&mut rig, conn, r#""type":"rules.stats""#);
    // The first one failed after its last action.
    assert!(stats.contains(r#""rulesExecuted":3"#), "{stats}");
    rig.engine.check_invariants();
}

/// A rule whose beginning fails: the ones before and after it run, also those
/// further up in the chain.
#[test]
fn a_panic_deep_in_a_chain_leaves_the_chain_above_it() {
    let (mut rig, conn) = hostile(RulesSetup::default());
    let emit = |topic: &str| format!(r#"{{"type":"emit_event","topic":"{topic}","data":{{}}}}"#);
    on(
        &mut rig,
        conn,
        "outer",
        "t",
        &format!("[{},{},{}]", sets("before"), emit("inner"), sets("after")),
    );
    // Breaks the engine, and goes on into the rule that then fails to begin.
    on(
        &mut rig,
        conn,
        "inner",
        "inner",
        &format!("[{},{},{}]", calls("break"), emit("deep"), sets("inner")),
    );
    on(&mut rig, conn, "deep", "deep", &format!("[{}]", sets("deep")));
    on(&mut rig, conn, "deeper", "deep", &format!("[{}]", sets("deeper")));
    ok(&mut rig, conn, r#""type":"rules.emit","topic":"t""#);
    assert_eq!(facts(&mut rig, conn), ["before", "deeper", "inner", "after"]);
    // The next trigger finds everything as it should be.
    ok(&mut rig, conn, r#""type":"rules.emit","topic":"deep""#);
    assert_eq!(facts(&mut rig, conn), ["before", "deeper", "inner", "after", "deep"]);
}

#[test]
fn a_panic_of_a_timer_leaves_the_other_timers() {
    let (mut rig, conn) = hostile(RulesSetup::default());
    let timer = |name: &str| {
        format!(
            r#"{{"type":"set_timer","timer":{{"name":"{name}","duration":10,"repeat":{{"interval":10}},"onExpire":{{"topic":"tick.{name}","data":{{}}}}}}}}"#
        )
    };
    on(&mut rig, conn, "set", "go", &format!("[{},{}]", timer("a"), timer("b")));
    on(&mut rig, conn, "a", "tick.a", &format!("[{},{}]", sets("a"), calls("panic")));
    on(&mut rig, conn, "break", "tick.a", &format!("[{}]", calls("break")));
    on(&mut rig, conn, "b", "tick.b", &format!("[{}]", sets("b")));
    subscribe(&mut rig, conn, "tick.*");
    ok(&mut rig, conn, r#""type":"rules.emit","topic":"go""#);
    rig.advance(25);
    assert_eq!(
        seen(&mut rig, conn),
        ["sub-1 tick.a", "sub-1 tick.b", "sub-1 tick.a", "sub-1 tick.b"]
    );
    assert_eq!(facts(&mut rig, conn), ["a", "b"]);
}

/// The same behind the bridge: the request that changed the record succeeds.
#[test]
fn a_panic_behind_the_bridge_leaves_the_request() {
    let (mut rig, conn) = hostile(bridged());
    super::records::bucket(&mut rig, conn, "items");
    on(&mut rig, conn, "r", "bucket.items.*", &format!("[{},{}]", calls("break"), calls("panic")));
    on(&mut rig, conn, "s", "bucket.items.*", &format!("[{}]", sets("s")));
    ok(&mut rig, conn, r#""type":"store.insert","bucket":"items","data":{"id":"a"}"#);
    assert_eq!(facts(&mut rig, conn), ["s"]);
    assert_eq!(rig.is_closed(conn), None);
    ok(&mut rig, conn, r#""type":"store.get","bucket":"items","key":"a""#);
}
