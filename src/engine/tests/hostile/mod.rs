//! No request of one client harms the others, whatever it asks for: each
//! operation of the table with what [`requests`] makes of it, from a seed.
//!
//! `HOSTILE_SEEDS=100..5000` runs others than the few of every test run and
//! tells which requests took long for what they paid.

mod requests;

use std::time::{Duration, Instant};

use requests::{ENVELOPE, Hostile, LENGTH, OVERSHOOT, REPLY_BYTES, REQUESTS, STEPS};

use super::*;
use crate::engine::RulesSetup;
use crate::ids::IdSource;
use crate::procedures::Limits;
use crate::protocol::Operation;

struct World {
    rig: Rig,
    hostile: Hostile<Box<dyn FnMut() -> u64>>,
    attacker: ConnId,
    other: ConnId,
    has_users: bool,
    slowest: Vec<(Duration, u64, String)>,
}

impl World {
    fn new(seed: u64) -> World {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let options = EngineOptions {
            heartbeat_interval_ms: 0,
            first_push_delay_ms: 0,
            max_buffered_bytes: 64 << 20,
            request_steps: STEPS,
            max_reply_bytes: REPLY_BYTES,
            view_steps: 10_000,
            expiry_batch: 50,
            seed: bytes,
            ..EngineOptions::default()
        };
        // Every other world has users, and buckets whose rows belong to them.
        let has_users = seed % 2 == 1;
        let mut rig = match has_users {
            true => super::access::rig_with(&super::access::tokens(r#""required":false"#), options),
            false => Rig::new(options),
        };
        rig.engine.set_rules(RulesSetup::default()).expect("rules");
        rig.engine.set_procedures(Limits::default());
        let (attacker, other) = (rig.connect(), rig.connect());
        let mut dice = IdSource::new(bytes);
        let hostile = Hostile::new(Box::new(move || dice.next_u64()) as Box<dyn FnMut() -> u64>);
        World { rig, hostile, attacker, other, has_users, slowest: Vec::new() }
    }

    fn prepare(&mut self) {
        for bucket in ["a", "b"] {
            let define = format!(
                r#"{{"id":1,"type":"store.defineBucket","name":"{bucket}","config":{{"key":"id","indexes":["n",{{"field":"t","ordered":true}},["n","t"]],"schema":{{"id":{{"type":"number"}},"n":{{"type":"number"}},"t":{{"type":"string","search":true}},"u":{{"type":"string"}},"l":{{"type":"array"}},"o":{{"type":"object"}}}}}}}}"#
            );
            self.rig.send(self.other, &define);
            let records: Vec<String> = (0..300)
                .map(|at| format!(r#"{{"op":"insert","bucket":"{bucket}","data":{{"id":{at},"n":{},"t":"some text {at}"}}}}"#, at % 7))
                .collect();
            let insert = format!(
                r#"{{"id":1,"type":"store.transaction","operations":[{}]}}"#,
                records.join(",")
            );
            self.rig.send(self.other, &insert);
        }
        if self.has_users {
            self.give_rows_to_users();
        }
    }

    /// Lets the attacker log in, and see of `a` what `b` says is his.
    fn give_rows_to_users(&mut self) {
        let rows = r#"{"read":{"$or":[{"n":{"$in":"{{ sets.mine }}"}},{"u":"{{ session.userId }}"}]},"set":{"u":"{{ session.userId }}"},"delete":{"l":{"$nin":"{{ sets.mine }}"}}}"#;
        for (conn, request) in [
            (self.attacker, r#""type":"auth.login","token":"t-root""#.to_owned()),
            (
                self.other,
                r#""type":"access.defineSet","name":"mine","bucket":"b","filter":{"n":3},"field":"id""#
                    .to_owned(),
            ),
            (
                self.other,
                format!(r#""type":"store.updateBucket","name":"a","updates":{{"rows":{rows}}}"#),
            ),
        ] {
            self.rig.received(conn);
            let answer = self.rig.call(conn, &format!(r#"{{"id":1,{request}}}"#));
            assert_eq!(answer.get("type").and_then(Json::as_str), Some("result"), "{answer}");
        }
    }

    fn step(&mut self, seed: u64) {
        let at = self.hostile.below(Operation::ALL.len());
        let operation = Operation::ALL[at].name();
        let request = self.hostile.request(operation, LENGTH);
        let told = format!("seed {seed}: {request:.300}");
        self.rig.longest = 0;
        let began = Instant::now();
        self.rig.engine.message(self.attacker, &request, self.rig.now);
        let took = began.elapsed();
        let spent = self.rig.engine.spent();
        self.slowest.push((took, spent.request + spent.after, told.clone()));
        self.rig.drain();
        self.rig.run_jobs();
        assert!(spent.request <= STEPS + OVERSHOOT, "{} steps: {told}", spent.request);
        assert!(spent.after <= STEPS + OVERSHOOT, "{} steps after: {told}", spent.after);
        assert!(self.rig.longest <= REPLY_BYTES + ENVELOPE, "{} bytes: {told}", self.rig.longest);
        for answer in self.rig.received(self.attacker) {
            issues_are_bounded(&answer, &told);
        }
        assert_eq!(self.rig.engine.metrics.panics, 0, "{told}");
        self.rig.send(self.other, r#"{"id":8,"type":"store.stats"}"#);
        let answers = self.rig.received(self.other);
        let served = answers.iter().any(|answer| answer.get("id") == Some(&Json::Number(8.0)));
        assert!(served, "nobody else is served: {told}");
        if self.hostile.below(5) == 0 {
            self.rig.advance(1100);
        }
    }
}

fn issues_are_bounded(answer: &Json, told: &str) {
    let chars = |name: &str, of: &Json| {
        of.get(name).and_then(Json::as_str).map_or(0, |text| text.chars().count())
    };
    if answer.get("type").and_then(Json::as_str) != Some("error") {
        return;
    }
    assert!(chars("message", answer) <= 10_000, "{} characters: {told}", chars("message", answer));
    let Some(details) = answer.get("details") else { return };
    let issues = details.get("issues").unwrap_or(details);
    for issue in issues.as_array().into_iter().flatten() {
        let length = issue.as_str().map_or(0, |text| text.chars().count());
        let length = length.max(chars("message", issue)).max(chars("path", issue));
        assert!(length <= 1001, "an issue of {length} characters: {told}");
    }
    assert!(issues.as_array().is_none_or(|issues| issues.len() <= 101), "issues: {told}");
}

#[test]
fn hostile_requests_pay_for_what_they_cost() {
    let seeds = std::env::var("HOSTILE_SEEDS").ok();
    let (from, to) = seeds
        .as_deref()
        .and_then(|range| range.split_once(".."))
        .and_then(|(from, to)| Some((from.parse().ok()?, to.parse().ok()?)))
        .unwrap_or((0, 4));
    let mut slowest = Vec::new();
    for seed in from..to {
        let mut world = World::new(seed);
        world.prepare();
        (0..REQUESTS).for_each(|_| world.step(seed));
        slowest.append(&mut world.slowest);
        slowest.sort_by_key(|(took, ..)| std::cmp::Reverse(*took));
        slowest.truncate(30);
    }
    if seeds.is_some() {
        for (took, steps, told) in slowest {
            println!("{:>8} us {steps:>8} steps {told}", took.as_micros());
        }
    }
}
