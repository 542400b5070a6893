//! What a joined view costs per write: the whole engine in this process,
//! without sockets.
//!
//! `cargo run --release --example views_bench` (or `scripts/bench --views`, which
//! measures over sockets first and holds the bound there) prints what a write
//! costs under a join of 100,000 records and under one of 1,000. Nothing but the
//! records is touched here, so the ratio is that of the misses of the cache.

use std::time::Instant;

use noexd::app::{App, ConnId, Effect, Now, Peer};
use noexd::engine::{Engine, EngineOptions};
use noexd::store::Store;

const SUBSCRIBERS: u32 = 100;
const WRITES: u32 = 4_000;

/// What the views of a run select.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Groups with sums and counts, of which the first ten are shown.
    Grouped,
    /// The first ten rows in an order.
    Ordered,
}

struct Bench {
    engine: Engine,
    now: Now,
    /// Pushes since the start.
    pushes: u64,
}

impl Bench {
    fn new() -> Bench {
        let now = Now { mono: 0, wall: 1_800_000_000_000 };
        let options = EngineOptions {
            heartbeat_interval_ms: 0,
            first_push_delay_ms: 0,
            request_steps: 0,
            ..EngineOptions::default()
        };
        Bench { engine: Engine::new(options, Store::default(), now), now, pushes: 0 }
    }

    fn connect(&mut self, slot: u32) -> ConnId {
        let conn = ConnId { slot, generation: 0 };
        let peer = Peer::of([127, 0, 0, 1].into());
        self.engine.connected(conn, &peer, self.now);
        self.drain();
        conn
    }

    /// Takes what was sent, as a transport whose peers read fast.
    fn drain(&mut self) {
        let effects = std::mem::take(self.engine.effects());
        let mut readers = Vec::new();
        for effect in &effects.list {
            if let Effect::Send { conn, .. } = effect {
                readers.push(*conn);
            }
        }
        self.pushes += readers.len() as u64;
        readers.sort_unstable();
        readers.dedup();
        for conn in readers {
            self.engine.wrote(conn, 0, self.now);
        }
    }

    fn send(&mut self, conn: ConnId, text: &str) {
        self.engine.message(conn, text, self.now);
        self.drain();
    }
}

/// Nanoseconds per write, and pushes per write.
fn run(records: u32, form: Form) -> (f64, f64) {
    let mut bench = Bench::new();
    let writer = bench.connect(0);
    for bucket in ["orders", "customers"] {
        bench.send(writer, &format!(
            r#"{{"id":1,"type":"store.defineBucket","name":"{bucket}","config":{{"key":"id","schema":{{"id":{{"type":"number"}}}}}}}}"#
        ));
    }
    for id in 0..records {
        bench.send(writer, &format!(
            r#"{{"id":1,"type":"store.insert","bucket":"customers","data":{{"id":{id},"name":"c{id}"}}}}"#
        ));
        let total = id * 7 % 1_000;
        bench.send(writer, &format!(
            r#"{{"id":1,"type":"store.insert","bucket":"orders","data":{{"id":{id},"customer":{id},"total":{total}}}}}"#
        ));
    }
    let select = match form {
        Form::Grouped => {
            r#""groupBy":"c.id","select":{"name":"c.name","n":{"$count":"*"},"total":{"$sum":"o.total"}}"#
        }
        Form::Ordered => r#""select":{"name":"c.name","total":"o.total"}"#,
    };
    bench.send(writer, &format!(
        r#"{{"id":1,"type":"logic.defineView","definition":{{"name":"v","from":{{"o":"orders","c":"customers"}},"join":{{"o.customer":"c.id"}},{select},"orderBy":[{{"field":"total","direction":"desc"}}],"limit":10,"reactive":true}}}}"#
    ));
    for slot in 1..=SUBSCRIBERS {
        let conn = bench.connect(slot);
        bench.send(conn, r#"{"id":1,"type":"logic.subscribeView","name":"v"}"#);
    }
    bench.pushes = 0;
    let start = Instant::now();
    for write in 0..WRITES {
        // Every tenth changes what is shown.
        let id = write.wrapping_mul(7_919) % records;
        let total = if write % 10 == 0 { 1_000_000 + write } else { write % 900 };
        bench.send(writer, &format!(
            r#"{{"id":1,"type":"store.update","bucket":"orders","key":{id},"data":{{"total":{total}}}}}"#
        ));
    }
    let nanos = start.elapsed().as_nanos() as f64 / f64::from(WRITES);
    (nanos, (bench.pushes as f64) / f64::from(WRITES) - 1.0)
}

fn main() {
    println!("a join of two buckets, {SUBSCRIBERS} subscribers, microseconds per write");
    for (name, form) in [("grouped", Form::Grouped), ("ordered", Form::Ordered)] {
        let (small, few) = run(1_000, form);
        let (large, many) = run(100_000, form);
        let ratio = large / small;
        println!(
            "{name:8}  1,000 records: {:8.2} ({few:.1} pushes)  100,000: {:8.2} ({many:.1} pushes)  ratio {ratio:.2}",
            small / 1000.0,
            large / 1000.0,
        );
    }
}
