//! What rules cost: the whole engine in this process, without sockets.
//!
//! `cargo run --release --example rules_bench` (or `scripts/bench --rules`)
//! prints a table and ends with status 1 if the cost of an event depends on the
//! number of rules that do not match, or on the number of events before it.

use std::process::ExitCode;
use std::time::Instant;

use noexd::app::{App, ConnId, Effect, Now, Peer};
use noexd::engine::{Engine, EngineOptions, RulesSetup};
use noexd::store::Store;

/// The engine, its clock, and one connection that asks.
struct Bench {
    engine: Engine,
    now: Now,
    next: u32,
    client: ConnId,
    /// Messages sent since the start.
    sent: u64,
}

impl Bench {
    fn new() -> Bench {
        let now = Now { mono: 0, wall: 1_800_000_000_000 };
        let options = EngineOptions {
            heartbeat_interval_ms: 0,
            max_total_subscriptions: 100_000,
            ..EngineOptions::default()
        };
        let mut engine = Engine::new(options, Store::default(), now);
        engine.set_rules(RulesSetup::default()).expect("no definitions");
        let client = ConnId { slot: 0, generation: 0 };
        let mut bench = Bench { engine, now, next: 0, client, sent: 0 };
        bench.client = bench.connect();
        bench
    }

    fn connect(&mut self) -> ConnId {
        let conn = ConnId { slot: self.next, generation: 0 };
        self.next += 1;
        let peer = Peer::of([127, 0, 0, 1].into());
        self.engine.connected(conn, &peer, self.now);
        self.drain();
        conn
    }

    /// Takes everything that was sent, as a transport whose peers read fast.
    fn drain(&mut self) {
        let effects = self.engine.effects();
        let mut readers: Vec<ConnId> = effects
            .list
            .iter()
            .filter_map(|effect| match effect {
                Effect::Send { conn, .. } => Some(*conn),
                _ => None,
            })
            .collect();
        self.sent += readers.len() as u64;
        effects.clear();
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

    fn register(&mut self, id: usize, trigger: &str, actions: &str) {
        let text = format!(
            r#"{{"id":1,"type":"rules.registerRule","rule":{{"id":"{id}","name":"n","trigger":{trigger},
                "conditions":[{{"source":{{"type":"event","field":"c"}},"operator":"gt","value":70}}],"actions":{actions}}}}}"#
        );
        let client = self.client;
        self.send(client, &text);
    }

    /// Emits so many events, one per simulated millisecond; seconds it took.
    fn emit(&mut self, topic: &str, count: usize) -> f64 {
        let text = format!(
            r#"{{"id":7,"type":"rules.emit","topic":"{topic}","data":{{"id":"s4","c":71.5}}}}"#
        );
        let begin = Instant::now();
        for _ in 0..count {
            self.now.mono += 1;
            self.now.wall += 1;
            let client = self.client;
            self.send(client, &text);
        }
        begin.elapsed().as_secs_f64()
    }

    fn stats(&mut self) -> String {
        let client = self.client;
        self.engine.message(client, r#"{"id":1,"type":"rules.stats"}"#, self.now);
        let effects = self.engine.effects();
        let text = String::from_utf8_lossy(&effects.bytes).into_owned();
        effects.clear();
        text
    }
}

const SET_FACT: &str = r#"[{"type":"set_fact","key":"sensor:${event.id}:hot","value":true}]"#;

/// Bytes of memory the process has.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or(0) * 4096
}

/// Events per second with so many rules, one of which matches.
fn with_rules(rules: usize) -> f64 {
    let mut bench = Bench::new();
    for number in 1..rules {
        let topic = match number % 4 {
            0 => format!("sensor.reading{number}"),
            1 => format!("plant{number}.*"),
            2 => format!("*.level{number}"),
            _ => format!("sensor.r*{number}"),
        };
        bench.register(number, &format!(r#"{{"type":"event","topic":"{topic}"}}"#), SET_FACT);
    }
    if rules > 0 {
        bench.register(0, r#"{"type":"event","topic":"sensor.reading"}"#, SET_FACT);
    }
    bench.emit("sensor.reading", 20_000);
    // The best of some runs: what else the machine does is not of interest.
    let best = (0..5).map(|_| bench.emit("sensor.reading", 40_000)).fold(f64::MAX, f64::min);
    let expected = if rules == 0 { 0 } else { 220_000 };
    let stats = bench.stats();
    assert!(stats.contains(&format!(r#""rulesExecuted":{expected}"#)), "{stats}");
    40_000.0 / best
}

/// Root events per second, each of which runs a chain of ten rules.
fn chains() -> f64 {
    let mut bench = Bench::new();
    for step in 0..10 {
        let actions = format!(
            r#"[{{"type":"emit_event","topic":"step{}","data":{{"c":{{"ref":"event.c"}}}}}}]"#,
            step + 1
        );
        bench.register(step, &format!(r#"{{"type":"event","topic":"step{step}"}}"#), &actions);
    }
    bench.emit("step0", 2_000);
    let seconds = bench.emit("step0", 20_000);
    let stats = bench.stats();
    assert!(stats.contains(r#""rulesExecuted":220000"#), "{stats}");
    20_000.0 / seconds
}

/// Pushes per second to this many subscribers, one per connection.
fn subscribers(count: usize) -> f64 {
    let mut bench = Bench::new();
    for _ in 0..count {
        let conn = bench.connect();
        bench.send(conn, r#"{"id":1,"type":"rules.subscribe","pattern":"sensor.*"}"#);
    }
    bench.emit("sensor.reading", 50);
    let before = bench.sent;
    let seconds = bench.emit("sensor.reading", 1_000);
    assert_eq!(bench.sent - before, 1_000 * (count as u64 + 1));
    (1_000 * count) as f64 / seconds
}

/// A million events on one topic: for each tenth, nanoseconds per event and
/// resident memory.
fn million(pattern: bool) -> Vec<(f64, u64)> {
    let mut bench = Bench::new();
    if pattern {
        // Ten thousand events in the window, a fact at each of them.
        let trigger = r#"{"type":"temporal","pattern":{"type":"aggregate","event":{"topic":"sensor.reading"},
            "field":"c","function":"avg","threshold":70,"window":"10s"}}"#;
        let text = format!(
            r#"{{"id":1,"type":"rules.registerRule","rule":{{"id":"w","name":"w","trigger":{trigger},
                "actions":[{{"type":"set_fact","key":"avg","value":{{"ref":"trigger.value"}}}}]}}}}"#
        );
        let client = bench.client;
        bench.send(client, &text);
        bench.emit("sensor.reading", 20_000);
    } else {
        bench.register(0, r#"{"type":"event","topic":"sensor.*"}"#, SET_FACT);
        bench.emit("sensor.reading", 20_000);
    }
    (0..10).map(|_| (bench.emit("sensor.reading", 100_000) * 1e4, resident())).collect()
}

fn main() -> ExitCode {
    let mut fine = true;
    let mut check = |what: &str, holds: bool| {
        if !holds {
            println!("NOT AS IT SHOULD BE: {what}");
            fine = false;
        }
    };

    println!("rules registered, one matches      events/s");
    let rates: Vec<f64> = [0, 100, 10_000]
        .into_iter()
        .map(|rules| {
            let rate = with_rules(rules);
            println!("{rules:>6}                      {rate:>14.0}");
            rate
        })
        .collect();
    let (slowest, fastest) =
        rates.iter().fold((f64::MAX, 0f64), |(low, high), rate| (low.min(*rate), high.max(*rate)));
    println!("fastest to slowest            {:>12.2}", fastest / slowest);
    check("rules that do not match cost something", fastest / slowest <= 2.0);

    let rate = chains();
    println!("\nchains of ten rules           {rate:>12.0} /s ({:.0} events/s)", rate * 11.0);
    let rate = subscribers(1_000);
    println!("1000 event subscribers        {rate:>12.0} pushes/s");

    for (title, pattern) in [("an event rule", false), ("a sliding aggregate of 10000", true)] {
        println!("\na million events on one topic, {title}\n  events      ns/event   resident KiB");
        let tenths = million(pattern);
        for (at, (nanos, bytes)) in tenths.iter().enumerate() {
            println!("{:>8} {nanos:>13.0} {:>14}", (at + 1) * 100_000, bytes / 1024);
        }
        let (early, late) = tenths.split_at(5);
        let best =
            |half: &[(f64, u64)]| half.iter().map(|(nanos, _)| *nanos).fold(f64::MAX, f64::min);
        check("later events cost more", best(late) <= best(early) * 1.3);
        let memory = |at: usize| tenths.get(at).map_or(0, |(_, bytes)| *bytes);
        check("memory grows with events", memory(9) <= memory(0) + (4 << 20));
    }
    if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
