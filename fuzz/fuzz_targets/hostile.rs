//! Requests over all operations that are well formed and mean harm, as the
//! simulation makes them (`src/engine/tests/hostile`). The input is the dice:
//! each choice takes two bytes, and when they are used up it is over.
//!
//! After each request: neither it nor what rules and queries made of it spent
//! more than its budget, nothing that was sent is longer than an answer may be,
//! and another connection is served.

#![no_main]

#[path = "../../src/engine/tests/hostile/requests.rs"]
mod requests;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use libfuzzer_sys::fuzz_target;
use noexd::app::{App, ConnId, Effect, Job, NobodyWaits, Now, Peer};
use noexd::engine::{Engine, EngineOptions, RulesSetup};
use noexd::procedures::Limits;
use noexd::protocol::Operation;
use noexd::store::Store;

use requests::{ENVELOPE, Hostile, LENGTH, OVERSHOOT, REPLY_BYTES, REQUESTS, STEPS};

const ATTACKER: ConnId = ConnId { slot: 0, generation: 0 };
const OTHER: ConnId = ConnId { slot: 1, generation: 0 };

struct World {
    engine: Engine,
    now: Now,
    jobs: VecDeque<Job>,
    /// The longest message since somebody looked.
    longest: usize,
    /// What the other connection was sent since then.
    received: Vec<String>,
}

impl World {
    fn new() -> World {
        let options = EngineOptions {
            heartbeat_interval_ms: 0,
            first_push_delay_ms: 0,
            max_buffered_bytes: 64 << 20,
            request_steps: STEPS,
            max_reply_bytes: REPLY_BYTES,
            view_steps: 10_000,
            expiry_batch: 50,
            ..EngineOptions::default()
        };
        let now = Now { mono: 1, wall: 1_800_000_000_000 };
        let mut engine = Engine::new(options, Store::default(), now);
        engine.set_rules(RulesSetup::default()).expect("no definitions, none that is wrong");
        engine.set_procedures(Limits::default());
        let peer = Peer::of([127, 0, 0, 1].into());
        for conn in [ATTACKER, OTHER] {
            engine.connected(conn, &peer, now);
        }
        let jobs = VecDeque::new();
        let mut world = World { engine, now, jobs, longest: 0, received: Vec::new() };
        world.drain();
        world.prepare();
        world
    }

    /// Two buckets with something in them to search.
    fn prepare(&mut self) {
        for bucket in ["a", "b"] {
            self.ask(&format!(
                r#"{{"id":1,"type":"store.defineBucket","name":"{bucket}","config":{{"key":"id","indexes":["n",{{"field":"t","ordered":true}},["n","t"]],"schema":{{"id":{{"type":"number"}},"n":{{"type":"number"}},"t":{{"type":"string","search":true}},"u":{{"type":"string"}},"l":{{"type":"array"}},"o":{{"type":"object"}}}}}}}}"#
            ));
            let records: Vec<String> = (0..300)
                .map(|at| {
                    let n = at % 7;
                    format!(
                        r#"{{"op":"insert","bucket":"{bucket}","data":{{"id":{at},"n":{n},"t":"some text {at}"}}}}"#
                    )
                })
                .collect();
            let operations = records.join(",");
            self.ask(&format!(
                r#"{{"id":1,"type":"store.transaction","operations":[{operations}]}}"#
            ));
        }
    }

    /// Performs what the engine wants, as often as that leads to more.
    fn drain(&mut self) {
        loop {
            let effects = std::mem::take(self.engine.effects());
            for effect in effects.list {
                match effect {
                    Effect::Send { conn, head, body, tail, .. } => {
                        let mut text = effects.bytes[head].to_vec();
                        text.extend(body.iter().flat_map(|body| body.iter()));
                        text.extend_from_slice(&effects.bytes[tail]);
                        self.longest = self.longest.max(text.len());
                        if conn == OTHER {
                            self.received.push(String::from_utf8(text).expect("UTF-8"));
                        }
                        self.engine.wrote(conn, 0, self.now);
                    }
                    Effect::Probe { conn, number, .. } => {
                        self.engine.wrote(conn, 0, self.now);
                        self.engine.probed(conn, number, self.now);
                    }
                    Effect::Job(job) => self.jobs.push_back(job),
                    Effect::Close { code, reason, .. } | Effect::Abandon { code, reason, .. } => {
                        panic!("closed: {code} {reason}")
                    }
                    Effect::Answer { .. } | Effect::Stream { .. } => panic!("nobody calls here"),
                    Effect::Resume { .. } | Effect::StopAccepting | Effect::Stop => {}
                }
            }
            if let Some(job) = self.jobs.pop_front() {
                let output = (job.run)();
                self.engine.job_done(job.id, Ok(output), self.now);
            } else if self.engine.effects().is_empty() {
                break;
            }
        }
        self.engine.check_invariants();
    }

    /// A request of the other connection, which is always answered.
    fn ask(&mut self, request: &str) {
        self.received.clear();
        self.engine.message(OTHER, request, self.now);
        self.drain();
        let served = self.received.iter().any(|text| text.starts_with(r#"{"id":1,"#));
        assert!(served, "nobody else is served");
    }

    /// Time passes, with a stop at the deadlines.
    fn pass(&mut self, ms: u64) {
        let end = self.now.mono + ms;
        // A deadline that does not move on would be a loop without end.
        for _ in 0..1000 {
            let due = self.engine.next_deadline().unwrap_or(u64::MAX).max(self.now.mono + 1);
            if due > end {
                break;
            }
            self.now.wall += due - self.now.mono;
            self.now.mono = due;
            self.engine.timers(self.now, &NobodyWaits);
            self.drain();
        }
    }

    fn attack(&mut self, request: &str) {
        let told = || request.chars().take(300).collect::<String>();
        self.longest = 0;
        self.engine.message(ATTACKER, request, self.now);
        let spent = self.engine.spent();
        self.drain();
        assert!(spent.request <= STEPS + OVERSHOOT, "{} steps: {}", spent.request, told());
        assert!(spent.after <= STEPS + OVERSHOOT, "{} steps after: {}", spent.after, told());
        let longest = self.longest;
        assert!(longest <= REPLY_BYTES + ENVELOPE, "{longest} bytes: {}", told());
        assert_eq!(self.engine.metrics().panics, 0, "{}", told());
        self.ask(r#"{"id":1,"type":"store.stats"}"#);
    }
}

fuzz_target!(|input: &[u8]| {
    let rest = Rc::new(RefCell::new(VecDeque::from(input.to_vec())));
    let mut dice = {
        let rest = rest.clone();
        Hostile::new(move || {
            let mut rest = rest.borrow_mut();
            let mut byte = || u64::from(rest.pop_front().unwrap_or(0));
            byte() << 8 | byte()
        })
    };
    let mut world = World::new();
    for _ in 0..REQUESTS {
        if rest.borrow().is_empty() {
            return;
        }
        let operation = Operation::ALL[dice.below(Operation::ALL.len())].name();
        let request = dice.request(operation, LENGTH);
        world.attack(&request);
        if dice.below(5) == 1 {
            world.pass(1100);
        }
    }
});
