//! What it costs when everybody comes back, and what the server keeps for that:
//! the whole engine in this process, without sockets.
//!
//! `cargo run --release --example resume_bench` (or `scripts/bench --resume`)
//! prints processor time per subscribe of ten thousand clients whose views are gone, as after a restart: of
//! the whole result, with a token when nothing has changed, and with one when some
//! rows have. And per write with the ring of recent changes and without.

use std::time::{Duration, Instant};

use noexd::app::{App, ConnId, Effect, Now, Peer};
use noexd::engine::{Engine, EngineOptions};
use noexd::json::{Json, parse};
use noexd::store::Store;

const CLIENTS: u32 = 10_000;
const WRITES: u32 = 100_000;
/// Full after the first writes.
const RING: usize = 4 << 20;
/// Of everything, of which the median counts.
const ROUNDS: usize = 5;

struct Bench {
    engine: Engine,
    now: Now,
    generation: u32,
    /// The newest message of whoever is listened to.
    heard: Vec<u8>,
}

/// Processor time of this thread, or time if the system does not tell.
fn used(began: Instant) -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let used = stat.and_then(|stat| stat.split(' ').next()?.parse().ok());
    used.map_or_else(|| began.elapsed(), Duration::from_nanos)
}

/// Microseconds of processor time for each of so many.
fn timed(count: u32, work: impl FnOnce()) -> f64 {
    let began = Instant::now();
    let before = used(began);
    work();
    used(began).saturating_sub(before).as_nanos() as f64 / f64::from(count) / 1000.0
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

impl Bench {
    fn new(ring_bytes: usize) -> Bench {
        let now = Now { mono: 0, wall: 1_800_000_000_000 };
        let options = EngineOptions {
            heartbeat_interval_ms: 0,
            first_push_delay_ms: 0,
            request_steps: 0,
            max_total_subscriptions: usize::MAX,
            ring_bytes,
            ..EngineOptions::default()
        };
        let engine = Engine::new(options, Store::default(), now);
        Bench { engine, now, generation: 0, heard: Vec::new() }
    }

    fn connect(&mut self, slot: u32) -> ConnId {
        let conn = ConnId { slot, generation: self.generation };
        let peer = Peer::of([127, 0, 0, 1].into());
        self.engine.connected(conn, &peer, self.now);
        self.drain(None);
        conn
    }

    fn drain(&mut self, listen: Option<ConnId>) {
        let effects = std::mem::take(self.engine.effects());
        for effect in effects.list {
            let Effect::Send { conn, head, body, tail, .. } = effect else { continue };
            if listen == Some(conn) {
                self.heard.clear();
                self.heard.extend_from_slice(&effects.bytes[head]);
                self.heard.extend(body.iter().flat_map(|body| body.iter()));
                self.heard.extend_from_slice(&effects.bytes[tail]);
            }
            self.engine.wrote(conn, 0, self.now);
        }
    }

    fn send(&mut self, conn: ConnId, text: &str) {
        self.engine.message(conn, text, self.now);
        self.drain(None);
    }

    fn ask(&mut self, conn: ConnId, text: &str) -> Json {
        self.engine.message(conn, text, self.now);
        self.drain(Some(conn));
        let text = std::str::from_utf8(&self.heard).expect("text");
        let answer = parse(text, 64).expect("JSON").to_json();
        assert_eq!(answer.get("type").and_then(Json::as_str), Some("result"), "{answer}");
        answer
    }
}

/// What everybody follows.
#[derive(Clone, Copy)]
struct Case {
    name: &'static str,
    /// Rows of one result, and in how many rooms there are rows.
    rows: u32,
    rooms: u32,
}

impl Case {
    fn put(self, bench: &mut Bench, writer: ConnId, id: u32, n: u32) {
        let room = id % self.rooms;
        bench.send(writer, &format!(
            r#"{{"id":1,"type":"store.upsert","bucket":"b","data":{{"id":{id},"room":{room},"n":{n},"title":"something of a usual length"}}}}"#
        ));
    }

    /// Microseconds per client: whole, unchanged, with changes.
    fn measure(self) -> (f64, f64, f64) {
        let mut bench = Bench::new(64 << 20);
        let writer = bench.connect(CLIENTS);
        bench.send(writer, r#"{"id":1,"type":"store.defineBucket","name":"b","config":{"key":"id","indexes":["room"],"schema":{"id":{"type":"number"},"room":{"type":"number"},"n":{"type":"number"}}}}"#);
        for id in 0..self.rows * self.rooms {
            self.put(&mut bench, writer, id, 0);
        }
        let request = |client: u32, resume: &str| {
            let room = client % self.rooms;
            format!(
                r#"{{"id":1,"type":"store.live","bucket":"b","filter":{{"room":{room}}},"mode":"delta","resume":{resume}}}"#
            )
        };
        let mut positions = vec!["{}".to_owned(); CLIENTS as usize];
        let mut n = 0;
        let (mut whole, mut unchanged, mut changed) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            for (times, resumes, changes) in
                [(&mut whole, false, 0), (&mut unchanged, true, 0), (&mut changed, true, 5)]
            {
                for id in 0..changes {
                    n += 1;
                    self.put(&mut bench, writer, id, n);
                }
                bench.generation += 1;
                let conns: Vec<ConnId> = (0..CLIENTS).map(|slot| bench.connect(slot)).collect();
                let requests: Vec<String> = (0..CLIENTS)
                    .zip(&positions)
                    .map(|(client, position)| {
                        request(client, if resumes { position } else { "{}" })
                    })
                    .collect();
                times.push(timed(CLIENTS, || {
                    for (conn, request) in conns.iter().zip(&requests) {
                        bench.send(*conn, request);
                    }
                }));
                // What each was answered, from somebody who asks the same.
                for (client, position) in (0..CLIENTS).zip(&mut positions) {
                    if client < self.rooms {
                        let conn = conns[client as usize];
                        let answer = bench.ask(conn, &request(client, position));
                        let data = answer.get("data").expect("data");
                        let resumed = data.get("resumed").and_then(Json::as_bool) == Some(true);
                        assert!(resumed || position == "{}", "{answer}");
                        *position = data.get("resume").expect("a position").to_text();
                    }
                }
                for client in self.rooms..CLIENTS {
                    positions[client as usize] = positions[(client % self.rooms) as usize].clone();
                }
                for conn in conns {
                    bench.engine.closed(conn, bench.now);
                }
                bench.drain(None);
            }
        }
        (median(whole), median(unchanged), median(changed))
    }
}

/// Microseconds per update, with a ring of so many bytes, which is full.
fn writes(ring_bytes: usize) -> f64 {
    let mut bench = Bench::new(ring_bytes);
    let conn = bench.connect(0);
    bench.send(conn, r#"{"id":1,"type":"store.defineBucket","name":"b","config":{"key":"id","schema":{"id":{"type":"string"},"n":{"type":"number"}}}}"#);
    for id in 0..10_000 {
        bench.send(conn, &format!(
            r#"{{"id":1,"type":"store.insert","bucket":"b","data":{{"id":"a-key-of-a-usual-length-{id}","n":0}}}}"#
        ));
    }
    let requests: Vec<String> = (0..WRITES)
        .map(|write| {
            let id = write.wrapping_mul(7_919) % 10_000;
            format!(
                r#"{{"id":1,"type":"store.update","bucket":"b","key":"a-key-of-a-usual-length-{id}","data":{{"n":{write}}}}}"#
            )
        })
        .collect();
    let mut write = || requests.iter().for_each(|request| bench.send(conn, request));
    write();
    timed(WRITES, write)
}

fn main() {
    println!("{CLIENTS} clients subscribe, microseconds of processor time for each");
    for case in [
        Case { name: "one list of 200 rows", rows: 200, rooms: 1 },
        Case { name: "each its own 10 rows", rows: 10, rooms: CLIENTS },
    ] {
        let (whole, unchanged, changed) = case.measure();
        println!(
            "{:22} whole: {whole:7.2}   unchanged: {unchanged:7.2} ({:.2})   5 records changed: {changed:7.2} ({:.2})",
            case.name,
            unchanged / whole,
            changed / whole
        );
    }
    let (mut without, mut with, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    // Side by side; the first round warms up.
    for round in 0..=ROUNDS * 2 {
        let (none, some) = (writes(0), writes(RING));
        if round > 0 {
            without.push(none);
            with.push(some);
            ratios.push(some / none);
        }
    }
    println!(
        "an update of a record   without the ring: {:7.3}   with it: {:7.3}   ratio {:.3}",
        median(without),
        median(with),
        median(ratios)
    );
}
