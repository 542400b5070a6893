//! Procedures over the engine: transactions, errors, rights, what survives, and
//! random programs against a naive interpreter.

use std::collections::BTreeMap;

use super::*;
use crate::config::BuiltIn;
use crate::engine::RulesSetup;
use crate::ids::IdSource;
use crate::procedures::Limits;

fn options() -> EngineOptions {
    EngineOptions { heartbeat_interval_ms: 0, first_push_delay_ms: 0, ..EngineOptions::default() }
}

fn rig_with(options: EngineOptions) -> (Rig, ConnId) {
    let mut rig = Rig::new(options);
    rig.engine.set_rules(RulesSetup::default()).expect("rules");
    rig.engine.set_procedures(Limits::default());
    let conn = rig.connect();
    rig.received(conn);
    (rig, conn)
}

/// `CODE message` of an error, the data of a result; pushes stay.
fn ask(rig: &mut Rig, conn: ConnId, request: &str) -> String {
    outcome(&message(rig, conn, request))
}

fn message(rig: &mut Rig, conn: ConnId, request: &str) -> Json {
    rig.send(conn, &format!(r#"{{"id":1,{request}}}"#));
    let is_answer = |message: &Json| message.get("id").is_some();
    rig.received(conn).into_iter().find(is_answer).expect("an answer")
}

fn outcome(message: &Json) -> String {
    let text = |name: &str| message.get(name).and_then(Json::as_str).unwrap_or_default();
    match text("type") {
        "error" => format!("{} {}", text("code"), text("message")),
        _ => message.get("data").map(Json::to_text).unwrap_or_default(),
    }
}

fn register(rig: &mut Rig, conn: ConnId, procedure: &str) -> String {
    ask(rig, conn, &format!(r#""type":"procedures.register","procedure":{procedure}"#))
}

fn call(rig: &mut Rig, conn: ConnId, name: &str, input: &str) -> String {
    ask(rig, conn, &format!(r#""type":"procedures.call","name":"{name}","input":{input}"#))
}

const BUCKETS: [&str; 2] = [
    r#""type":"store.defineBucket","name":"parents","config":{"key":"id","schema":{"id":{"type":"string"}}}"#,
    r#""type":"store.defineBucket","name":"b","config":{"key":"id","maxSize":3,"schema":{"id":{"type":"string"},"n":{"type":"number","min":0},"u":{"type":"string","unique":true},"p":{"type":"string","ref":"parents"}}}"#,
];

#[test]
fn a_transaction_is_one_commit_with_the_checks_of_each_step() {
    let (mut rig, conn) = rig_with(options());
    for bucket in BUCKETS {
        ask(&mut rig, conn, bucket);
    }
    ask(&mut rig, conn, r#""type":"store.defineQuery","name":"q","config":{"bucket":"b"}"#);
    ask(&mut rig, conn, r#""type":"store.subscribe","query":"q""#);
    ask(&mut rig, conn, r#""type":"rules.subscribe","pattern":"*""#);
    let steps = |last: &str| {
        format!(
            r#"[{{"action":"store.insert","bucket":"parents","data":{{"id":"p"}}}},
            {{"action":"store.insert","bucket":"b","data":{{"id":"1","n":1,"u":"x","p":"p"}},"as":"one"}},
            {{"action":"store.update","bucket":"b","key":"1","data":{{"n":"{{{{ input.n }}}}","u":"{{{{ input.none }}}}"}},"as":"two"}},
            {{"action":"store.insert","bucket":"b","data":{{"id":"2","u":"x"}}}},
            {{"action":"store.insert","bucket":"b","data":{{"id":"1","n":5}}}},
            {{"action":"store.where","bucket":"b","filter":{{"n":{{"$gt":0}}}},"as":"some"}},
            {{"action":"store.count","bucket":"b","as":"all"}},
            {{"action":"rules.setFact","key":"k","value":"{{{{ all }}}}"}},
            {{"action":"rules.getFact","key":"k","as":"fact"}},
            {{"action":"rules.emit","topic":"done","data":{{"all":"{{{{ all }}}}"}}}}{last}]"#
        )
    };
    let procedure = |name: &str, last: &str| {
        format!(r#"{{"name":"{name}","transaction":true,"steps":{}}}"#, steps(last))
    };
    register(&mut rig, conn, &procedure("ok", ""));
    for (name, last, failure) in [
        (
            "schema",
            r#",{"action":"store.update","bucket":"b","key":"2","data":{"n":-1}}"#,
            "VALIDATION_ERROR Validation failed for bucket \"b\": n: Minimum value is 0",
        ),
        (
            "unique",
            r#",{"action":"store.update","bucket":"b","key":"1","data":{"u":"x"}}"#,
            "ALREADY_EXISTS Unique constraint violation in bucket \"b\": field \"u\" already has value \"x\"",
        ),
        (
            "reference",
            r#",{"action":"store.insert","bucket":"b","data":{"id":"3","p":"q"}}"#,
            "VALIDATION_ERROR Foreign key violation in bucket \"b\": field \"p\" references bucket \"parents\" with key \"q\", but no such record exists",
        ),
        (
            "missing",
            r#",{"action":"store.update","bucket":"b","key":"{{ input.none }}","data":{}}"#,
            "NOT_FOUND Record with key \"undefined\" not found in bucket \"b\"",
        ),
        (
            "bucket",
            r#",{"action":"store.get","bucket":"ghost","key":"1","as":"x"}"#,
            "BUCKET_NOT_DEFINED Bucket \"ghost\" is not defined",
        ),
        (
            "topic",
            r#",{"action":"rules.emit","topic":"{{ input.none }}"}"#,
            "VALIDATION_ERROR rules.emit: \"topic\" must resolve to a non-empty string",
        ),
        (
            "key",
            r#",{"action":"rules.setFact","key":"{{ input.n }}","value":1}"#,
            "VALIDATION_ERROR rules.setFact: \"key\" must resolve to a non-empty string",
        ),
    ] {
        assert!(register(&mut rig, conn, &procedure(name, last)).contains("registered"));
        rig.received(conn);
        rig.send(
            conn,
            &format!(r#"{{"id":1,"type":"procedures.call","name":"{name}","input":{{"n":2}}}}"#),
        );
        let got = rig.received(conn);
        assert_eq!(got.len(), 1, "no push, no event: {got:?}");
        assert_eq!(outcome(&got[0]), failure);
        let step = got[0].get("details").and_then(|details| details.get("step"));
        assert_eq!(step, Some(&Json::from("steps[10]")), "{name}");
        for bucket in ["b", "parents"] {
            let count = format!(r#""type":"store.count","bucket":"{bucket}""#);
            assert_eq!(ask(&mut rig, conn, &count), "0", "{name}");
        }
        assert_eq!(ask(&mut rig, conn, r#""type":"rules.getFact","key":"k""#), "null");
    }
    rig.send(conn, r#"{"id":1,"type":"procedures.call","name":"ok","input":{"n":2}}"#);
    let got = rig.received(conn);
    let pushes = |channel: &str| {
        let of = |message: &&Json| message.get("channel").and_then(Json::as_str) == Some(channel);
        got.iter().filter(of).count()
    };
    assert_eq!((pushes("subscription"), pushes("event")), (1, 1), "{got:?}");
    let answer = got.iter().find(|message| message.get("id").is_some()).expect("an answer");
    let results = answer.get("data").and_then(|data| data.get("results")).expect("results");
    let at = |path: &str| {
        let pick = |value: Option<&Json>, part: &str| match value?.as_array() {
            Some(list) => list.get(part.parse::<usize>().ok()?).cloned(),
            None => value?.get(part).cloned(),
        };
        path.split('.').try_fold(results.clone(), |value, part| pick(Some(&value), part))
    };
    // Snapshots: what was read does not change with what is written later.
    assert_eq!(at("one.n"), Some(Json::Number(1.0)));
    assert_eq!(at("two.n"), Some(Json::Number(2.0)));
    assert_eq!(at("two.u"), None, "an undefined member is taken out");
    assert_eq!(at("all"), Some(Json::Number(2.0)));
    assert_eq!(at("fact"), Some(Json::Number(2.0)));
    assert_eq!(at("some.0.n"), Some(Json::Number(5.0)));
}

/// Characters that are written as six count as what they are in the answer.
#[test]
fn an_answer_that_is_too_long_undoes_a_transaction() {
    let (mut rig, conn) = rig_with(EngineOptions { max_reply_bytes: 65_536, ..options() });
    for bucket in BUCKETS {
        ask(&mut rig, conn, bucket);
    }
    let insert = r#"{"action":"store.insert","bucket":"parents","data":{"id":"p"}}"#;
    let procedure = |value: &str| {
        let steps = format!(r#"[{insert},{{"action":"return","value":"{value}"}}]"#);
        format!(r#"{{"name":"p","transaction":true,"steps":{steps}}}"#)
    };
    register(&mut rig, conn, &procedure("{{ input.text }}"));
    let count = r#""type":"store.count","bucket":"parents""#;
    let input = |characters: usize| format!(r#"{{"text":"{}"}}"#, "\\u0001".repeat(characters));
    assert_eq!(
        call(&mut rig, conn, "p", &input(11_000)),
        "VALIDATION_ERROR Reply is too large: more than 65536 bytes"
    );
    assert_eq!(ask(&mut rig, conn, count), "0");
    assert!(call(&mut rig, conn, "p", &input(10_000)).starts_with("{\"success\":true"));
    assert_eq!(ask(&mut rig, conn, count), "1");
}

#[test]
fn without_a_transaction_what_was_done_stays() {
    let (mut rig, conn) = rig_with(options());
    for bucket in BUCKETS {
        ask(&mut rig, conn, bucket);
    }
    let steps = r#"[{"action":"store.insert","bucket":"b","data":{"id":"1"}},
        {"action":"rules.setFact","key":"k","value":"{{ input.none }}"},
        {"action":"store.delete","bucket":"b","key":"none"},
        {"action":"if","condition":{"ref":"input","operator":"exists"},"then":[{"action":"store.update","bucket":"b","key":7,"data":{}}]}]"#;
    register(&mut rig, conn, &format!(r#"{{"name":"p","steps":{steps}}}"#));
    let got = message(&mut rig, conn, r#""type":"procedures.call","name":"p""#);
    assert_eq!(outcome(&got), "NOT_FOUND Record with key \"7\" not found in bucket \"b\"");
    assert_eq!(
        got.get("details").map(Json::to_text).as_deref(),
        Some(r#"{"step":"steps[3].then[0]","action":"store.update"}"#)
    );
    assert_eq!(ask(&mut rig, conn, r#""type":"store.count","bucket":"b""#), "1");
    assert_eq!(ask(&mut rig, conn, r#""type":"rules.getFact","key":"k""#), "null");
    assert!(ask(&mut rig, conn, r#""type":"rules.getAllFacts""#).contains("\"k\""));
}

#[test]
fn the_registry() {
    let (mut rig, conn) = rig_with(options());
    let procedure = |name: &str, more: &str| {
        format!(r#"{{"name":"{name}",{more}"steps":[{{"action":"return","value":1}}],"x":[1]}}"#)
    };
    register(&mut rig, conn, &procedure("a", ""));
    register(&mut rig, conn, &procedure("b", "\"description\":\"\","));
    assert_eq!(
        register(&mut rig, conn, &procedure("a", "")),
        "ALREADY_EXISTS Procedure \"a\" already exists"
    );
    assert!(register(&mut rig, conn, r#"{"name":"a"}"#).starts_with("VALIDATION_ERROR"));
    let long = register(&mut rig, conn, &procedure(&"n".repeat(257), ""));
    assert_eq!(long, "VALIDATION_ERROR Procedure name is too long (maximum 256 characters)");
    assert!(register(&mut rig, conn, &procedure(&"n".repeat(256), "")).contains("registered"));
    let update =
        |updates: &str| format!(r#""type":"procedures.update","name":"a","updates":{updates}"#);
    assert_eq!(
        ask(&mut rig, conn, &update(r#"{"name":"z","x":2,"timeoutMs":5}"#)),
        r#"{"name":"a","updated":true}"#
    );
    assert!(ask(&mut rig, conn, &update(r#"{"steps":null}"#)).starts_with("VALIDATION_ERROR"));
    assert_eq!(
        ask(&mut rig, conn, r#""type":"procedures.get","name":"a""#),
        r#"{"name":"a","steps":[{"action":"return","value":1}],"x":2,"timeoutMs":5}"#
    );
    assert!(ask(&mut rig, conn, r#""type":"procedures.list""#).starts_with(
        r#"{"procedures":[{"name":"a","stepsCount":1},{"name":"b","description":"","stepsCount":1}"#
    ));
    ask(&mut rig, conn, r#""type":"procedures.unregister","name":"a""#);
    for request in [
        r#""type":"procedures.unregister","name":"a""#,
        r#""type":"procedures.get","name":"a""#,
        r#""type":"procedures.call","name":"a""#,
        r#""type":"procedures.update","name":"a","updates":{}"#,
    ] {
        assert_eq!(ask(&mut rig, conn, request), "NOT_FOUND Procedure \"a\" not found");
    }
    assert_eq!(
        ask(&mut rig, conn, r#""type":"procedures.nothing""#),
        "UNKNOWN_OPERATION Unknown procedures operation \"procedures.nothing\""
    );
}

#[test]
fn without_procedures_every_request_says_so() {
    let mut rig = Rig::new(options());
    let conn = rig.connect();
    for request in ["list", "nothing"] {
        assert_eq!(
            ask(&mut rig, conn, &format!(r#""type":"procedures.{request}""#)),
            "UNKNOWN_OPERATION Procedures engine is not configured"
        );
    }
}

#[test]
fn without_rules_the_steps_say_so() {
    let mut rig = Rig::new(options());
    rig.engine.set_procedures(Limits::default());
    let conn = rig.connect();
    rig.received(conn);
    register(&mut rig, conn, r#"{"name":"p","steps":[{"action":"rules.emit","topic":"t"}]}"#);
    assert_eq!(
        call(&mut rig, conn, "p", "{}"),
        "RULES_NOT_AVAILABLE rules.emit: rule engine is not configured"
    );
}

#[test]
fn a_call_that_takes_too_long_ends_between_its_steps() {
    // Every look at the clock finds a millisecond gone.
    fn stopwatch() -> u64 {
        thread_local!(static CLOCK: std::cell::Cell<u64> = const { std::cell::Cell::new(0) });
        CLOCK.with(|clock| clock.replace(clock.get() + 1000))
    }
    let (mut rig, conn) = rig_with(EngineOptions { stopwatch: Some(stopwatch), ..options() });
    for bucket in BUCKETS {
        ask(&mut rig, conn, bucket);
    }
    for (transaction, left) in [("false", "2"), ("true", "0")] {
        let insert =
            r#"{"action":"store.insert","bucket":"parents","data":{"id":"{{ input.id }}"}}"#;
        let second = r#"{"action":"store.insert","bucket":"parents","data":{"id":"second"}}"#;
        let third = r#"{"action":"store.insert","bucket":"parents","data":{"id":"third"}}"#;
        register(
            &mut rig,
            conn,
            &format!(
                r#"{{"name":"p{transaction}","timeoutMs":2.5,"transaction":{transaction},"steps":[{insert},{second},{third}]}}"#
            ),
        );
        let name = format!("p{transaction}");
        assert_eq!(
            call(&mut rig, conn, &name, r#"{"id":"first"}"#),
            format!("INTERNAL_ERROR Procedure \"{name}\" timed out after 2.5ms")
        );
        assert_eq!(ask(&mut rig, conn, r#""type":"store.count","bucket":"parents""#), left);
        ask(&mut rig, conn, r#""type":"store.clear","bucket":"parents""#);
    }
}

/// What can be stored can be read again, at the next start too.
#[test]
fn a_record_is_not_wrapped_deeper_than_any_message() {
    let (mut rig, conn) = rig_with(options());
    ask(&mut rig, conn, BUCKETS[0]);
    ask(&mut rig, conn, r#""type":"store.insert","bucket":"parents","data":{"id":"x","v":1}"#);
    let value = format!("{}\"{{{{ it.v }}}}\"{}", r#"{"p":"#.repeat(31), "}".repeat(31));
    let wraps = format!(
        r#"{{"name":"wraps","steps":[
            {{"action":"store.get","bucket":"parents","key":"x","as":"it"}},
            {{"action":"store.update","bucket":"parents","key":"x","data":{{"v":{value}}}}}
        ]}}"#
    );
    assert!(register(&mut rig, conn, &wraps).contains("registered"));
    let called: Vec<String> = (0..35).map(|_| call(&mut rig, conn, "wraps", "{}")).collect();
    let refused = "VALIDATION_ERROR A record of bucket \"parents\" would be nested too deeply (maximum 1024 levels)";
    let first = called.iter().position(|answer| answer.contains("too deeply"));
    // 33 times 31 levels; the record itself is one more.
    assert_eq!(first, Some(33), "{:?}", called.last());
    assert!(called[33..].iter().all(|answer| answer == refused), "{}", called[33]);
    let insert = wraps.replace("wraps", "inserts").replace("store.update", "store.insert");
    let insert = insert.replace(r#""key":"x","data":{"#, r#""data":{"id":"y","#);
    assert!(register(&mut rig, conn, &insert).contains("registered"), "{insert}");
    assert_eq!(call(&mut rig, conn, "inserts", "{}"), refused);
    let record = rig.engine.store().bucket_named("parents").expect("a bucket");
    let (_, row) = record.iter().next().expect("a record");
    assert!(crate::json::parse(row.text(), 1024).is_ok());
}

#[test]
fn rights_in_built_in_mode() {
    let mut rig = Rig::new(options());
    rig.engine.set_built_in_auth(BuiltIn::new("a secret of the admin"), 60_000).expect("buckets");
    rig.engine.set_procedures(Limits::default());
    let root = rig.connect();
    rig.received(root);
    let mut people = Vec::new();
    ask(&mut rig, root, r#""type":"identity.loginWithSecret","secret":"a secret of the admin""#);
    ask(
        &mut rig,
        root,
        r#""type":"identity.createRole","name":"author","permissions":[{"allow":"procedures.*"}]"#,
    );
    for (name, role) in
        [("ada", "author"), ("adam", "admin"), ("walt", "writer"), ("rita", "reader")]
    {
        let create = format!(
            r#"{{"id":1,"type":"identity.createUser","username":"{name}","password":"password"}}"#
        );
        rig.send(root, &create);
        rig.run_jobs();
        let answer = rig.received(root).remove(0);
        let id = answer.get("data").and_then(|data| data.get("id")).cloned().expect("an id");
        ask(
            &mut rig,
            root,
            &format!(r#""type":"identity.assignRole","userId":{id},"roleName":"{role}""#),
        );
        let conn = rig.connect();
        rig.received(conn);
        rig.send(
            conn,
            &format!(
                r#"{{"id":1,"type":"identity.login","username":"{name}","password":"password"}}"#
            ),
        );
        rig.run_jobs();
        rig.received(conn);
        people.push(conn);
    }
    let [ada, adam, walt, rita] = people.as_slice() else { panic!("four") };
    let (ada, adam, walt, rita) = (*ada, *adam, *walt, *rita);
    let plain = |name: &str, more: &str| {
        format!(
            r#"{{"name":"{name}",{more}"steps":[{{"action":"return","value":"{{{{ session.roles }}}}"}}]}}"#
        )
    };
    assert!(register(&mut rig, ada, &plain("p", "")).contains("registered"));
    assert_eq!(
        register(&mut rig, ada, &plain("d", "\"asDefiner\":true,")),
        "FORBIDDEN Admin role required"
    );
    let update = r#""type":"procedures.update","name":"p","updates":{"asDefiner":true}"#;
    assert_eq!(ask(&mut rig, ada, update), "FORBIDDEN Admin role required");
    assert!(register(&mut rig, adam, &plain("d", "\"asDefiner\":true,")).contains("registered"));
    // System buckets, also for a superadmin; after the validation and before
    // the name.
    let reads = r#"{"name":"p","steps":[{"action":"if","condition":{"ref":"a","operator":"exists"},"then":[{"action":"store.where","bucket":"_users","filter":{},"as":"x"}]}]}"#;
    let refused = "FORBIDDEN Cannot access system bucket \"_users\" directly";
    assert_eq!(register(&mut rig, root, reads), refused);
    assert_eq!(
        call(&mut rig, walt, "p", "{}"),
        r#"{"success":true,"result":["writer"],"results":{}}"#
    );
    assert_eq!(call(&mut rig, rita, "p", "{}"), "FORBIDDEN No access to procedures.call on p");
    assert!(ask(&mut rig, rita, r#""type":"procedures.get","name":"p""#).contains("session.roles"));
    assert_eq!(
        register(&mut rig, walt, &plain("w", "")),
        "FORBIDDEN No access to procedures.register on w"
    );
    assert_eq!(
        ask(&mut rig, walt, r#""type":"procedures.list""#),
        "FORBIDDEN No access to procedures.list on *"
    );
    // Who registers owns, until it is unregistered.
    let owner = r#""type":"identity.getOwner","resourceType":"procedure","resourceName":"p""#;
    assert!(ask(&mut rig, root, owner).contains("userId"));
    ask(&mut rig, ada, r#""type":"procedures.unregister","name":"p""#);
    assert!(
        !ask(&mut rig, root, owner).contains("\"userId\":\""),
        "{}",
        ask(&mut rig, root, owner)
    );
}

/// A program of random steps, as text, and what it does to a map of numbers.
struct Model {
    records: BTreeMap<String, f64>,
    results: BTreeMap<String, Option<f64>>,
}

enum Ended {
    Returned,
    Failed(&'static str),
}

impl Model {
    /// Appends steps and does the same to the model. `None`: went on to the end.
    fn grow(
        &mut self,
        dice: &mut IdSource,
        depth: u32,
        live: bool,
        out: &mut Vec<String>,
    ) -> Option<Ended> {
        let mut ended = None;
        for _ in 0..1 + dice.next_u64() % 3 {
            let alive = live && ended.is_none();
            let key = format!("k{}", dice.next_u64() % 4);
            let number = (dice.next_u64() % 5) as f64 - 1.0;
            let name = format!("r{}", dice.next_u64() % 3);
            let step = match dice.next_u64() % 8 {
                0 | 1 => {
                    if alive {
                        if number < 0.0 {
                            ended = Some(Ended::Failed("VALIDATION_ERROR"));
                        } else {
                            self.records.insert(key.clone(), number);
                            self.results.insert(name.clone(), Some(number));
                        }
                    }
                    format!(
                        r#"{{"action":"store.insert","bucket":"m","data":{{"id":"{key}","n":{number}}},"as":"{name}"}}"#
                    )
                }
                2 => {
                    // What is not a number any more is taken out of the record.
                    let value = self.results.get(&name).copied().flatten();
                    if alive {
                        match (self.records.get_mut(&key), value) {
                            (None, _) => ended = Some(Ended::Failed("NOT_FOUND")),
                            (Some(_), None) => ended = Some(Ended::Failed("VALIDATION_ERROR")),
                            (Some(have), Some(value)) => *have = value,
                        }
                    }
                    format!(
                        r#"{{"action":"store.update","bucket":"m","key":"{key}","data":{{"n":"{{{{ {name}.n }}}}"}}}}"#
                    )
                }
                3 => {
                    if alive {
                        self.records.remove(&key);
                    }
                    format!(
                        r#"{{"action":"store.delete","bucket":"m","key":"{key}","as":"{name}"}}"#
                    )
                }
                4 | 5 => {
                    if alive {
                        self.results.insert(name.clone(), self.records.get(&key).copied());
                    }
                    format!(r#"{{"action":"store.get","bucket":"m","key":"{key}","as":"{name}"}}"#)
                }
                6 if depth > 0 => {
                    let holds = self
                        .results
                        .get(&name)
                        .copied()
                        .flatten()
                        .is_some_and(|have| have > number);
                    let (mut then, mut otherwise) = (Vec::new(), Vec::new());
                    let first = self.grow(dice, depth - 1, alive && holds, &mut then);
                    let second = self.grow(dice, depth - 1, alive && !holds, &mut otherwise);
                    if alive {
                        ended = if holds { first } else { second };
                    }
                    format!(
                        r#"{{"action":"if","condition":{{"ref":"{name}.n","operator":"gt","value":{number}}},"then":[{}],"else":[{}]}}"#,
                        then.join(","),
                        otherwise.join(",")
                    )
                }
                _ => {
                    if dice.next_u64().is_multiple_of(4) {
                        if alive {
                            ended = Some(Ended::Returned);
                        }
                        r#"{"action":"return","value":7}"#.to_owned()
                    } else {
                        continue;
                    }
                }
            };
            out.push(step);
        }
        if out.is_empty() {
            out.push(r#"{"action":"rules.getFact","key":"none","as":"nothing"}"#.into());
        }
        ended
    }
}

fn records(rig: &mut Rig, conn: ConnId) -> BTreeMap<String, f64> {
    let answer = message(rig, conn, r#""type":"store.all","bucket":"m""#);
    let all = answer.get("data").and_then(Json::as_array).expect("records");
    let pair = |record: &Json| {
        Some((record.get("id")?.as_str()?.to_owned(), record.get("n")?.as_number()?))
    };
    all.iter().map(|record| pair(record).expect("a number")).collect()
}

#[test]
fn random_programs_do_what_a_naive_interpreter_does() {
    let (mut rig, conn) = rig_with(options());
    ask(
        &mut rig,
        conn,
        r#""type":"store.defineBucket","name":"m","config":{"key":"id","schema":{"id":{"type":"string"},"n":{"type":"number","required":true,"min":0}}}"#,
    );
    let mut dice = IdSource::new([3; 32]);
    let (mut failures, mut returns) = (0, 0);
    for turn in 0..600 {
        let transaction = dice.next_u64().is_multiple_of(2);
        let before = records(&mut rig, conn);
        let mut model = Model { records: before.clone(), results: BTreeMap::new() };
        let mut steps = Vec::new();
        let ended = model.grow(&mut dice, 3, true, &mut steps);
        let procedure =
            format!(r#"{{"name":"p","transaction":{transaction},"steps":[{}]}}"#, steps.join(","));
        assert!(register(&mut rig, conn, &procedure).contains("registered"), "{procedure}");
        let answer = message(&mut rig, conn, r#""type":"procedures.call","name":"p""#);
        let code = answer.get("code").and_then(Json::as_str);
        let data = answer.get("data");
        let expected = match ended {
            Some(Ended::Failed(expected)) => {
                failures += 1;
                assert_eq!(code, Some(expected), "turn {turn}: {procedure}");
                if transaction { &before } else { &model.records }
            }
            ended => {
                assert_eq!(code, None, "turn {turn}: {answer} {procedure}");
                let returned = data.and_then(|data| data.get("result")).is_some();
                returns += usize::from(returned);
                assert_eq!(returned, ended.is_some(), "turn {turn}: {procedure}");
                let results = data.and_then(|data| data.get("results")).expect("results");
                for (name, value) in &model.results {
                    let got = results.get(name).expect("a result");
                    let number = got.get("n").and_then(Json::as_number);
                    assert_eq!(number, *value, "turn {turn}, {name}: {procedure}");
                }
                &model.records
            }
        };
        assert_eq!(records(&mut rig, conn), *expected, "turn {turn}: {procedure}");
        ask(&mut rig, conn, r#""type":"procedures.unregister","name":"p""#);
    }
    assert!(failures > 100 && returns > 30, "{failures} failures, {returns} returns");
}
