//! The engine as a whole, on simulated time.

mod action_model;
mod actions;
mod chains;
mod durable;
mod order_model;
mod pattern_models;
mod patterns;
mod registry;
mod services;
mod timers;

use std::sync::Arc;

use super::*;
use crate::app::Now;
use crate::json::{Json, Object, parse};
use crate::storage::Origin;

/// What the engine told its surroundings.
#[derive(Default)]
struct Recorder {
    events: Vec<Arc<Event>>,
    log: Vec<(log::Level, String)>,
    records: Vec<RulesChange>,
    jobs: Vec<(Ticket, ServiceJob)>,
    stored: Vec<(String, Vec<Json>)>,
    /// Chains of the calls of the service `store`.
    chains: Vec<Chain>,
    random: u64,
}

impl Host for Recorder {
    fn event(&mut self, event: &Arc<Event>) {
        if &*event.topic == "panic" {
            panic!("on purpose");
        }
        self.events.push(Arc::clone(event));
    }

    fn log(&mut self, level: log::Level, text: &str) {
        self.log.push((level, text.to_owned()));
    }

    fn random(&mut self) -> u64 {
        self.random += 1;
        self.random
    }

    fn record(&mut self, change: RulesChange) {
        self.records.push(change);
    }

    fn start_job(&mut self, ticket: Ticket, job: ServiceJob) {
        self.jobs.push((ticket, job));
    }

    fn store_service(
        &mut self,
        method: &str,
        args: &[Json],
        chain: Chain,
    ) -> Result<Json, ServiceError> {
        self.stored.push((method.to_owned(), args.to_vec()));
        self.chains.push(chain);
        match method {
            "get" => Ok(args.first().cloned().unwrap_or_default()),
            "insert" => Ok(Json::Null),
            _ => Err(ServiceError::UnknownMethod),
        }
    }

    fn stopwatch(&mut self) -> u64 {
        self.random
    }
}

/// An engine with its surroundings and a clock.
struct World {
    engine: RuleEngine,
    host: Recorder,
    now: Now,
}

/// Where the simulated clocks begin.
const MONO: u64 = 5_000;
const WALL: u64 = 1_800_000_000_000;

fn json(text: &str) -> Json {
    parse(text, 200).unwrap_or_else(|error| panic!("{error}: {text}")).to_json()
}

fn object(text: &str) -> Object {
    json(text).as_object().expect("an object").clone()
}

impl World {
    fn new() -> World {
        World::with(Options::default())
    }

    fn with(options: Options) -> World {
        let now = Now { mono: MONO, wall: WALL };
        World { engine: RuleEngine::new(options, now), host: Recorder::default(), now }
    }

    /// Calls the engine with its surroundings.
    fn call<R>(&mut self, f: impl FnOnce(&mut RuleEngine, &mut Cx<'_>) -> R) -> R {
        f(
            &mut self.engine,
            &mut Cx {
                now: self.now,
                budget: crate::budget::Budget::unlimited(),
                host: &mut self.host,
            },
        )
    }

    fn register(&mut self, definition: &str) {
        let definition = object(definition);
        self.call(|engine, cx| {
            engine.register(definition, Origin::Wire, cx).expect("registers");
        });
    }

    /// A rule without conditions on a topic.
    fn on(&mut self, id: &str, topic: &str, actions: &str) {
        self.rule(id, 0, &format!(r#"{{"type":"event","topic":"{topic}"}}"#), actions);
    }

    fn rule(&mut self, id: &str, priority: i32, trigger: &str, actions: &str) {
        self.register(&format!(
            r#"{{"id":"{id}","name":"Rule {id}","priority":{priority},
                "trigger":{trigger},"actions":{actions}}}"#
        ));
    }

    fn emit(&mut self, topic: &str, data: &str) -> Arc<Event> {
        let new = NewEvent::new(topic, object(data));
        self.call(|engine, cx| engine.emit(new, cx))
    }

    fn set(&mut self, key: &str, value: &str) -> Fact {
        let value = json(value);
        self.call(|engine, cx| engine.set_fact(key, &value, cx))
    }

    fn fact(&self, key: &str) -> Option<String> {
        self.engine.fact(key).map(|fact| fact.value().unwrap_or_default().to_text())
    }

    fn facts(&self) -> Vec<String> {
        self.engine.facts().map(|(key, _)| key.to_owned()).collect()
    }

    /// Topics of all events since the last call.
    fn topics(&mut self) -> Vec<String> {
        self.host.events.drain(..).map(|event| event.topic.to_string()).collect()
    }

    /// Topics and data of all events since the last call.
    fn events(&mut self) -> Vec<String> {
        let text = |event: Arc<Event>| format!("{} {}", event.topic, event.data.to_text());
        self.host.events.drain(..).map(text).collect()
    }

    /// Lets time pass, stopping wherever something is due.
    fn wait(&mut self, milliseconds: u64) {
        let end = self.now.mono + milliseconds;
        loop {
            let next = self.engine.next_deadline().unwrap_or(u64::MAX).max(self.now.mono);
            if next > end {
                break;
            }
            self.now.wall += next - self.now.mono;
            self.now.mono = next;
            self.call(|engine, cx| engine.advance(usize::MAX, cx));
        }
        self.now.wall += end - self.now.mono;
        self.now.mono = end;
    }

    fn log_text(&self) -> String {
        self.host.log.iter().map(|(level, text)| format!("{level} {text}\n")).collect()
    }
}
