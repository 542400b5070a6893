//! Services and lookups, answered at once and later.

use serde_json::{Value, json as value};

use super::*;

/// Methods that answer in every way there is.
#[derive(Default)]
struct Demo {
    calls: u64,
}

impl RuleService for Demo {
    fn call(&mut self, method: &str, args: &[Value]) -> Result<Value, ServiceError> {
        self.calls += 1;
        match method {
            "echo" => Ok(value!(args)),
            "calls" => Ok(value!(self.calls)),
            "fail" => Err(ServiceError::Failed("out of stamps".to_owned())),
            "panic" => panic!("stamps on fire"),
            _ => Err(ServiceError::UnknownMethod),
        }
    }

    fn begin(
        &mut self,
        method: &str,
        args: &[Value],
        ticket: Ticket,
    ) -> Result<ServiceReply, ServiceError> {
        match method {
            "later" => Ok(ServiceReply::Later),
            "job" => {
                let result = value!(args);
                Ok(ServiceReply::Job(Box::new(move || Ok(result))))
            }
            "ticket" => Ok(ServiceReply::Now(value!(ticket))),
            _ => self.call(method, args).map(ServiceReply::Now),
        }
    }
}

fn world() -> World {
    let mut world = World::new();
    world.engine.add_service("demo", Box::new(Demo::default())).expect("new");
    world
}

fn answer(world: &mut World, ticket: Ticket, result: Result<&str, &str>) -> bool {
    let result = result.map(json).map_err(str::to_owned);
    world.call(|engine, cx| engine.answer(ticket, result, cx))
}

#[test]
fn names_are_taken_once() {
    let mut world = world();
    let error = world.engine.add_service("demo", Box::new(Demo::default()));
    assert_eq!(error, Err("Service \"demo\" is already registered".to_owned()));
    assert!(world.engine.add_service(STORE_SERVICE, Box::new(Demo::default())).is_err());
}

#[test]
fn failures_have_their_texts() {
    let mut world = world();
    for (service, method, text) in [
        ("none", "x", "Service not found: none"),
        ("demo", "x", "Method not found: demo.x"),
        ("demo", "fail", "out of stamps"),
        ("demo", "panic", "Service \"demo\" panicked: stamps on fire"),
        ("store", "x", "Method not found: store.x"),
    ] {
        world.on(
            &format!("{service}-{method}"),
            &format!("{service}.{method}"),
            &format!(
                r#"[{{"type":"try_catch","try":[{{"type":"call_service","service":"{service}","method":"{method}","args":[]}}],
                     "catch":{{"as":"e","actions":[{{"type":"set_fact","key":"e","value":{{"ref":"var.e.message"}}}}]}}}}]"#
            ),
        );
        world.emit(&format!("{service}.{method}"), "{}");
        assert_eq!(world.fact("e"), Some(Json::from(text).to_text()));
    }
    // A service that has panicked goes on.
    world.on("ok", "ok", r#"[{"type":"call_service","service":"demo","method":"echo"},{"type":"set_fact","key":"ok","value":1}]"#);
    world.host.log.clear();
    world.emit("ok", "{}");
    assert!(world.fact("ok").is_some() && world.host.log.is_empty());
}

#[test]
fn arguments_are_resolved() {
    let mut world = world();
    world.on("r", "t", r#"[{"type":"call_service","service":"store","method":"insert","args":["b",{"ref":"event.x"},{"ref":"event.gone"},{"a":{"ref":"event.x"}}]}]"#);
    world.emit("t", r#"{"x":[1]}"#);
    let expected = json(r#"["b",[1],null,{"a":{"ref":"event.x"}}]"#);
    let [(method, args)] = world.host.stored.as_slice() else { panic!("one call") };
    assert_eq!((method.as_str(), Json::Array(args.clone())), ("insert", expected));
}

fn lookup_rule(world: &mut World, id: &str, lookups: &str) {
    world.register(&format!(
        r#"{{"id":"{id}","name":"{id}","trigger":{{"type":"event","topic":"{id}"}},"lookups":{lookups},
            "conditions":[{{"source":{{"type":"lookup","name":"l"}},"operator":"exists"}}],
            "actions":[{{"type":"emit_event","topic":"{id}.out","data":{{"l":{{"ref":"lookup.l"}}}}}}]}}"#
    ));
}

#[test]
fn lookups_come_before_the_conditions() {
    let mut world = world();
    lookup_rule(
        &mut world,
        "a",
        r#"[{"name":"l","service":"demo","method":"echo","args":[{"ref":"event.id"},2]}]"#,
    );
    world.emit("a", r#"{"id":"x"}"#);
    assert_eq!(world.events()[1..], [r#"a.out {"l":["x",2]}"#]);
    // The built-in service can be looked up too.
    lookup_rule(&mut world, "s", r#"[{"name":"l","service":"store","method":"get","args":["b"]}]"#);
    world.emit("s", "{}");
    assert_eq!(world.events()[1..], [r#"s.out {"l":"b"}"#]);
}

#[test]
fn failed_lookups_skip_or_fail_the_rule() {
    let mut world = world();
    lookup_rule(&mut world, "skip", r#"[{"name":"l","service":"none","method":"x"}]"#);
    world.emit("skip", "{}");
    assert_eq!(world.topics(), ["skip"]);
    assert!(world.host.log.is_empty(), "{}", world.log_text());

    lookup_rule(
        &mut world,
        "fail",
        r#"[{"name":"a","service":"demo","method":"nope"},
            {"name":"l","service":"demo","method":"nope","onError":"fail"},
            {"name":"c","service":"demo","method":"calls"}]"#,
    );
    world.emit("fail", "{}");
    assert_eq!(world.topics(), ["fail"]);
    assert_eq!(
        world.log_text(),
        "ERROR Rule \"fail\" (fail): Lookup \"l\" failed: Method \"nope\" not found on service \"demo\"\n"
    );
    // All are attempted: the two unknown methods and `calls`.
    lookup_rule(&mut world, "count", r#"[{"name":"l","service":"demo","method":"calls"}]"#);
    world.emit("count", "{}");
    assert_eq!(world.events()[1..], [r#"count.out {"l":4}"#]);

    lookup_rule(
        &mut world,
        "no",
        r#"[{"name":"l","service":"none","method":"x","onError":"fail"}]"#,
    );
    world.host.log.clear();
    world.emit("no", "{}");
    assert!(world.log_text().contains("Lookup \"l\" failed: Service \"none\" is not registered"));
    assert_eq!(world.engine.stats().executed, 1);
}

#[test]
fn lookups_are_cached_for_their_time() {
    let mut world = world();
    lookup_rule(
        &mut world,
        "c",
        r#"[{"name":"l","service":"demo","method":"calls","args":[{"ref":"event.o"}],"cache":{"ttl":"1s"}}]"#,
    );
    let look = |world: &mut World, data: &str| {
        world.topics();
        world.emit("c", data);
        world.events().pop().unwrap_or_default()
    };
    assert_eq!(look(&mut world, r#"{"o":{"a":1,"b":2}}"#), r#"c.out {"l":1}"#);
    assert_eq!(look(&mut world, r#"{"o":{"b":2,"a":1}}"#), r#"c.out {"l":1}"#);
    assert_eq!(look(&mut world, r#"{"o":{"b":2}}"#), r#"c.out {"l":2}"#);
    world.wait(999);
    assert_eq!(look(&mut world, r#"{"o":{"b":2}}"#), r#"c.out {"l":2}"#);
    world.wait(1);
    assert_eq!(look(&mut world, r#"{"o":{"b":2}}"#), r#"c.out {"l":3}"#);
}

#[test]
fn an_execution_that_waits_holds_nobody_up() {
    let mut world = world();
    let go = r#"{"type":"event","topic":"go"}"#;
    world.rule(
        "slow",
        5,
        go,
        r#"[{"type":"emit_event","topic":"slow.before","data":{}},
            {"type":"call_service","service":"demo","method":"later"},
            {"type":"emit_event","topic":"slow.after","data":{"id":{"ref":"event.id"}}}]"#,
    );
    world.rule("fast", 1, go, r#"[{"type":"emit_event","topic":"fast","data":{}}]"#);
    world.emit("go", r#"{"id":1}"#);
    world.emit("go", r#"{"id":2}"#);
    assert_eq!(world.topics(), ["go", "slow.before", "fast", "go", "slow.before", "fast"]);
    assert_eq!((world.engine.waiting(), world.engine.stats().executed), (2, 2));
    // Answers come in any order; each resumes its own execution.
    assert!(answer(&mut world, 2, Ok("null")));
    assert!(answer(&mut world, 1, Ok("null")));
    assert_eq!(world.events(), [r#"slow.after {"id":2}"#, r#"slow.after {"id":1}"#]);
    assert!(!answer(&mut world, 1, Ok("null")));
    assert_eq!((world.engine.waiting(), world.engine.stats().executed), (0, 4));
    assert_eq!(world.engine.next_deadline(), None);
}

#[test]
fn a_late_failure_is_an_ordinary_failure() {
    let mut world = world();
    world.on(
        "r",
        "go",
        r#"[{"type":"try_catch",
             "try":[{"type":"call_service","service":"demo","method":"later"},{"type":"set_fact","key":"never","value":1}],
             "catch":{"as":"e","actions":[{"type":"set_fact","key":"e","value":{"ref":"var.e.message"}}]}},
            {"type":"for_each","collection":[1,2],"as":"i","actions":[
              {"type":"call_service","service":"demo","method":"later"},
              {"type":"set_fact","key":"i:${var.i}","value":1}]}]"#,
    );
    world.emit("go", "{}");
    assert!(answer(&mut world, 1, Err("no stamps")));
    assert_eq!(world.fact("e").as_deref(), Some("\"no stamps\""));
    assert!(answer(&mut world, 2, Err("none either")));
    assert!(answer(&mut world, 3, Ok("1")));
    assert_eq!(world.facts(), ["e", "i:1", "i:2"]);
    assert!(world.log_text().contains("none either"));
}

#[test]
fn a_service_that_never_answers_times_out() {
    let mut world = world();
    world.on("r", "go", r#"[{"type":"call_service","service":"demo","method":"later"},{"type":"set_fact","key":"after","value":1}]"#);
    world.emit("go", "{}");
    world.wait(29_999);
    assert!(world.facts().is_empty());
    world.wait(1);
    assert_eq!(world.facts(), ["after"]);
    assert!(world.log_text().contains("Service \"demo\" did not answer within 30000 ms"));
    assert!(!answer(&mut world, 1, Ok("1")));
}

#[test]
fn lookups_may_be_answered_later() {
    let mut world = world();
    lookup_rule(
        &mut world,
        "a",
        r#"[{"name":"first","service":"demo","method":"later"},
            {"name":"l","service":"demo","method":"job","args":[{"ref":"event.id"}],"cache":{"ttl":1000}}]"#,
    );
    world.emit("a", r#"{"id":3}"#);
    assert_eq!(world.topics(), ["a"]);
    assert!(answer(&mut world, 1, Ok("true")));
    assert_eq!(world.engine.waiting(), 1);
    let (ticket, job) = world.host.jobs.pop().expect("a job");
    let result = job().map(Json::from);
    world.call(|engine, cx| assert!(engine.answer(ticket, result, cx)));
    assert_eq!(world.events(), [r#"a.out {"l":[3]}"#]);
    // The second time the job's result is in the cache.
    world.emit("a", r#"{"id":3}"#);
    assert!(answer(&mut world, ticket + 1, Ok("true")));
    assert_eq!(world.events()[1..], [r#"a.out {"l":[3]}"#]);
    assert!(world.host.jobs.is_empty());
}

/// What the arguments mean has changed by the time at which the answer comes.
#[test]
fn a_late_answer_is_remembered_for_what_was_asked() {
    let mut world = world();
    lookup_rule(
        &mut world,
        "a",
        r#"[{"name":"l","service":"demo","method":"job","args":[{"ref":"fact.k"}],"cache":{"ttl":1000}}]"#,
    );
    let run = |world: &mut World| {
        let (ticket, job) = world.host.jobs.pop().expect("a job");
        let result = job().map(Json::from);
        world.call(|engine, cx| assert!(engine.answer(ticket, result, cx)));
    };
    world.set("k", "1");
    world.emit("a", "{}");
    world.set("k", "2");
    run(&mut world);
    assert_eq!(world.events()[1..], [r#"a.out {"l":[1]}"#]);
    world.emit("a", "{}");
    assert_eq!(world.topics(), ["a"], "nobody has asked for this yet");
    run(&mut world);
    assert_eq!(world.events(), [r#"a.out {"l":[2]}"#]);
    world.set("k", "1");
    world.emit("a", "{}");
    assert_eq!(world.events()[1..], [r#"a.out {"l":[1]}"#]);
}

#[test]
fn a_rule_that_is_gone_does_not_begin() {
    let mut world = world();
    lookup_rule(&mut world, "a", r#"[{"name":"l","service":"demo","method":"later"}]"#);
    world.on("b", "a", r#"[{"type":"call_service","service":"demo","method":"later"},{"type":"set_fact","key":"b","value":1}]"#);
    world.emit("a", "{}");
    for id in ["a", "b"] {
        world.call(|engine, cx| engine.unregister(id, cx).expect("there"));
    }
    // What has begun is finished, what has not begun does not begin.
    assert!(answer(&mut world, 1, Ok("1")));
    assert!(answer(&mut world, 2, Ok("1")));
    assert_eq!(world.topics(), ["a"]);
    assert_eq!(world.facts(), ["b"]);
}

#[test]
fn what_waits_is_bounded() {
    let mut world = world();
    world.on("r", "go", r#"[{"type":"call_service","service":"demo","method":"later"}]"#);
    for _ in 0..10_001 {
        world.emit("go", "{}");
    }
    assert_eq!(world.engine.waiting(), 10_000);
    // What is answered at once is still answered.
    world.on(
        "now",
        "now",
        r#"[{"type":"try_catch","try":[{"type":"call_service","service":"demo","method":"echo"},
              {"type":"call_service","service":"store","method":"insert","args":[]}],
             "finally":[],"catch":{"actions":[{"type":"set_fact","key":"failed","value":1}]}}]"#,
    );
    world.emit("now", "{}");
    assert_eq!((world.host.stored.len(), world.facts().len()), (1, 0));
    assert!(world.log_text().contains("Too many calls wait for an answer (max 10000)"));
}

#[test]
fn changes_of_records_continue_the_chain() {
    let mut world = World::new();
    world.on(
        "r",
        "t",
        r#"[{"type":"call_service","service":"store","method":"insert","args":["b",{}]}]"#,
    );
    world.emit("t", "{}");
    // The bridge brings each change back as an event of the same chain.
    let mut rounds = 0;
    while let Some(chain) = world.host.chains.pop() {
        rounds += 1;
        let new = NewEvent { source: Source::Store, ..NewEvent::new("t", Object::new()) };
        world.call(|engine, cx| assert!(engine.emit_from(&chain, new, cx)));
    }
    assert_eq!((rounds, world.engine.stats().executed), (10, 10));
}
