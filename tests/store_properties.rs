//! The store against a naive model written from its specification: random
//! schemas, records, filters and sequences of requests; every answer of the
//! engine is compared, and what an index finds with what a scan finds.

mod store_model;

use noexd::app::{App, ConnId, Effect, Now, Peer};
use noexd::budget::Budget;
use noexd::engine::{Engine, EngineOptions};
use noexd::json::{Json, Object, parse};
use noexd::store::{Filter, Store};
use proptest::prelude::*;
use store_model::generate::{BUCKETS, Bytes, any_request, definition, filter};
use store_model::{Answer, Model};

const CONN: ConnId = ConnId { slot: 0, generation: 0 };
const START: u64 = 1_800_000_000_000;

/// One client of a real engine under simulated time.
struct Rig {
    engine: Engine,
    now: Now,
}

impl Rig {
    fn new() -> Self {
        let now = Now { mono: 0, wall: START };
        let mut engine = Engine::new(EngineOptions::default(), Store::default(), now);
        let peer = Peer::of([127, 0, 0, 1].into());
        engine.connected(CONN, &peer, now);
        engine.effects().clear();
        Rig { engine, now }
    }

    fn request(&mut self, request: &Object) -> Json {
        let mut request = request.clone();
        request.insert("id", Json::Number(1.0));
        self.engine.message(CONN, &Json::Object(request).to_text(), self.now);
        let effects = self.engine.effects();
        let mut answers = effects.list.iter().filter_map(|effect| match effect {
            Effect::Send { head, body, tail, .. } => {
                let mut text = effects.bytes[head.clone()].to_vec();
                text.extend(body.iter().flat_map(|body| body.iter()));
                text.extend_from_slice(&effects.bytes[tail.clone()]);
                let text = String::from_utf8(text).expect("UTF-8");
                Some((parse(&text, 200).expect("JSON").to_json(), text.len()))
            }
            _ => None,
        });
        let (answer, len) = answers.next().expect("an answer");
        assert!(answers.next().is_none(), "one answer");
        drop(answers);
        effects.clear();
        assert!(len > 0);
        self.engine.wrote(CONN, 0, self.now);
        answer
    }
}

/// The model's answer as a message; `Invalid filter: …` only as far as the
/// specification words it.
fn message(answer: Answer) -> Object {
    let mut message = Object::new();
    message.insert("id", Json::Number(1.0));
    match answer {
        Ok(data) => {
            message.insert("type", Json::from("result"));
            message.insert("data", data);
        }
        Err(store_model::Failure(code, text, details)) => {
            message.insert("type", Json::from("error"));
            message.insert("code", Json::from(code));
            message.insert("message", Json::from(text));
            details.map(|details| message.insert("details", details));
        }
    }
    message
}

fn comparable(answer: Json) -> Json {
    let Json::Object(mut answer) = answer else { return answer };
    if answer
        .get("message")
        .and_then(Json::as_str)
        .is_some_and(|m| m.starts_with("Invalid filter: "))
    {
        answer.insert("message", Json::from("Invalid filter: "));
    }
    Json::Object(answer)
}

fn step(rig: &mut Rig, model: &mut Model, request: &Object) -> Result<(), TestCaseError> {
    let expected = Json::Object(message(model.request(rig.now.wall as f64, request)));
    let answer = comparable(rig.request(request));
    prop_assert_eq!(answer, expected, "{}", Json::Object(request.clone()));
    Ok(())
}

fn requests() -> impl Strategy<Value = (Vec<u8>, Vec<[u8; 24]>)> {
    let definitions = prop::collection::vec(any::<u8>(), 0..72);
    (definitions, prop::collection::vec(prop::array::uniform24(any::<u8>()), 1..40))
}

fn define_all(rig: &mut Rig, model: &mut Model, bytes: &[u8]) -> Result<(), TestCaseError> {
    let mut bytes = Bytes(bytes);
    for bucket in BUCKETS {
        let mut request = Object::new();
        request.insert("type", Json::from("store.defineBucket"));
        request.insert("name", Json::from(bucket));
        request.insert("config", Json::Object(definition(bucket, &mut bytes)));
        step(rig, model, &request)?;
    }
    Ok(())
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases) }
}

proptest! {
    #![proptest_config(config(10_000))]

    #[test]
    fn every_answer_is_that_of_the_model((definitions, requests) in requests()) {
        let (mut rig, mut model) = (Rig::new(), Model::default());
        define_all(&mut rig, &mut model, &definitions)?;
        for bytes in &requests {
            let mut bytes = Bytes(bytes);
            rig.now.wall += bytes.below(4) as u64 * 5;
            let request = any_request(&mut bytes);
            step(&mut rig, &mut model, &request)?;
        }
        rig.engine.store().check_invariants();
        for bucket in BUCKETS {
            let request: Object =
                [("type", "store.all"), ("bucket", bucket)].map(|(n, v)| (n, Json::from(v))).into_iter().collect();
            step(&mut rig, &mut model, &request)?;
        }
    }
}

proptest! {
    #![proptest_config(config(1_000))]

    #[test]
    fn an_index_finds_what_a_scan_finds(
        (definitions, requests) in requests(),
        filters in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..16), 8),
    ) {
        let (mut rig, mut model) = (Rig::new(), Model::default());
        define_all(&mut rig, &mut model, &definitions)?;
        for bytes in &requests {
            rig.request(&any_request(&mut Bytes(bytes)));
            // Between the writes, so that the ordered form of an index is there
            // while they happen.
            let store = rig.engine.store();
            let free = Budget::unlimited();
            let buckets: Vec<_> = store.buckets().collect();
            for (bytes, bucket) in filters.iter().zip(buckets.iter().cycle()) {
                let source = Json::Object(filter(2, &mut Bytes(bytes)));
                let Ok(filter) = Filter::from_json(bucket.layout(), &source) else { continue };
                let texts = |rows: &mut dyn Iterator<Item = &noexd::store::Row>| -> Vec<String> {
                    rows.map(|row| row.text().to_owned()).collect()
                };
                let scanned =
                    texts(&mut bucket.iter().map(|(_, row)| row).filter(|row| filter.matches(row, &free)));
                let in_order = texts(&mut bucket.in_table_order(Some(&filter), &free).map(|(_, row)| row));
                prop_assert_eq!(&in_order, &scanned, "{}", source);
                let mut served = texts(&mut bucket.select(Some(&filter), &free).map(|(_, row)| row));
                if bucket.access(&filter).order().is_none() {
                    prop_assert_eq!(&served, &scanned, "{}", source);
                }
                served.sort();
                let mut scanned = scanned;
                scanned.sort();
                prop_assert_eq!(served, scanned, "{}", source);
            }
        }
        rig.engine.store().check_invariants();
    }
}
