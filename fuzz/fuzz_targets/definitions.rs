//! Definitions that clients bring: of procedures, views, computed fields,
//! constraints and rules. The first line says which operation it is for, the
//! rest is the definition. Whatever it is, it is answered; what is accepted is
//! used once, on a bucket with a few records; and afterwards a record can still
//! be read.

#![no_main]

use libfuzzer_sys::fuzz_target;
use noexd::app::{App, ConnId, Effect, Now, Peer};
use noexd::engine::{Engine, EngineOptions, RulesSetup};
use noexd::json::{DEFAULT_MAX_DEPTH, parse};
use noexd::procedures::Limits;
use noexd::store::Store;

const CONN: ConnId = ConnId { slot: 0, generation: 0 };
const NOW: Now = Now { mono: 1, wall: 1_800_000_000_000 };

/// What the server says to a request.
fn ask(engine: &mut Engine, request: &str) -> String {
    engine.message(CONN, &format!(r#"{{"id":1,{request}}}"#), NOW);
    let effects = std::mem::take(engine.effects());
    let answer = effects.list.iter().find_map(|effect| match effect {
        Effect::Send { head, body, tail, .. } => {
            let mut text = effects.bytes[head.clone()].to_vec();
            text.extend(body.iter().flat_map(|body| body.iter()));
            text.extend_from_slice(&effects.bytes[tail.clone()]);
            let text = String::from_utf8(text).expect("UTF-8");
            text.starts_with("{\"id\":1").then_some(text)
        }
        Effect::Close { code, reason, .. } => panic!("closed: {code} {reason}"),
        _ => None,
    });
    answer.unwrap_or_else(|| panic!("no answer to {request}"))
}

fuzz_target!(|input: &str| {
    let Some((operation, definition)) = input.split_once('\n') else { return };
    if definition.contains(['\n', '\r']) || parse(definition, DEFAULT_MAX_DEPTH / 2).is_err() {
        return;
    }
    let options = EngineOptions {
        request_steps: 200_000,
        first_push_delay_ms: 0,
        heartbeat_interval_ms: 0,
        ..EngineOptions::default()
    };
    let mut engine = Engine::new(options, Store::default(), NOW);
    engine.set_rules(RulesSetup::default()).expect("no definitions, none that is wrong");
    engine.set_procedures(Limits::default());
    engine.set_logic(Some(noexd::logic::Logic::default()));
    engine.connected(CONN, &Peer::of([127, 0, 0, 1].into()), NOW);
    for request in [
        r#""type":"store.defineBucket","name":"b","config":{"key":"id","schema":{"id":{"type":"string"},"n":{"type":"number"},"t":{"type":"string","search":true}},"indexes":["t",["t","n"]]}"#,
        r#""type":"store.defineBucket","name":"c","config":{"key":"id","schema":{"id":{"type":"number","generated":"autoincrement"},"b":{"type":"string"}}}"#,
        r#""type":"store.insert","bucket":"b","data":{"id":"x","n":1,"t":"a"}"#,
        r#""type":"store.insert","bucket":"c","data":{"b":"x"}"#,
    ] {
        assert!(ask(&mut engine, request).contains("\"result\""));
    }
    let (define, uses): (String, &[&str]) = match operation {
        "procedure" => (
            format!(r#""type":"procedures.register","procedure":{definition}"#),
            &[
                r#""type":"procedures.call","name":"p","input":{"id":"x","n":2,"l":[1,"a"]}"#,
                r#""type":"procedures.update","name":"p","updates":{"transaction":true}"#,
                r#""type":"procedures.call","name":"p""#,
            ],
        ),
        "view" => (
            format!(r#""type":"logic.defineView","definition":{definition}"#),
            &[
                r#""type":"logic.subscribeView","name":"v""#,
                r#""type":"store.insert","bucket":"b","data":{"id":"y","n":2,"t":"a"}"#,
                r#""type":"store.insert","bucket":"c","data":{"b":"y"}"#,
                r#""type":"store.update","bucket":"b","key":"x","data":{"n":null}"#,
                r#""type":"logic.queryView","name":"v""#,
                r#""type":"logic.explainView","name":"v""#,
            ],
        ),
        "computed" => (
            format!(r#""type":"logic.defineComputed","bucket":"b","fields":{definition}"#),
            &[r#""type":"store.update","bucket":"b","key":"x","data":{"n":3}"#],
        ),
        "constraint" => (
            format!(r#""type":"logic.defineConstraint","constraint":{definition}"#),
            &[
                r#""type":"store.update","bucket":"b","key":"x","data":{"n":3}"#,
                r#""type":"store.insert","bucket":"b","data":{"id":"z","t":"a"}"#,
                r#""type":"store.delete","bucket":"b","key":"z""#,
            ],
        ),
        _ => (
            format!(r#""type":"rules.registerRule","rule":{definition}"#),
            &[
                r#""type":"rules.emit","topic":"t.a","data":{"id":"x"}"#,
                r#""type":"rules.setFact","key":"k:a","value":1"#,
            ],
        ),
    };
    for request in std::iter::once(define.as_str()).chain(uses.iter().copied()) {
        ask(&mut engine, request);
        engine.check_invariants();
    }
    ask(&mut engine, r#""type":"store.get","bucket":"b","key":"x""#);
});
