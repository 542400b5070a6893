//! What row rules cost per write: the whole engine in this process, without
//! sockets.
//!
//! `cargo run --release --example rows_bench` (or `scripts/bench --rows`) prints
//! what a write that concerns one user costs with one user and with 10,000 (whose
//! rule is equality, a set, a search for words), and
//! what a record costs in an insert of its own and in one of a hundred. The many
//! cost more because their views and connections are spread over memory that no
//! cache holds, which is also true of queries with parameters.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use noexd::access::External;
use noexd::app::{App, ConnId, Effect, Now, Peer};
use noexd::config::{Auth, Options};
use noexd::engine::{Engine, EngineOptions};
use noexd::store::Store;

const MANY: u32 = 10_000;
const WRITES: u32 = 20_000;
/// Rounds of both, of which the median ratio counts.
const ROUNDS: usize = 5;

/// What decides who sees a record.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rule {
    Owner,
    /// A set of so many rooms, which nobody shares.
    Rooms(u32),
    /// A search for the user's name in a text.
    Words,
}

struct Bench {
    engine: Engine,
    now: Now,
    /// Messages since the last look.
    sent: u64,
}

/// Processor time of this thread, or time if the system does not tell.
fn used(began: Instant) -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let used = stat.and_then(|stat| stat.split(' ').next()?.parse().ok());
    used.map_or_else(|| began.elapsed(), Duration::from_nanos)
}

/// An engine that knows so many users, and `root`, whom no rule concerns.
fn engine(users: u32) -> Engine {
    let mut tokens = String::from(r#""t-root":{"userId":"root","roles":["admin","all"]}"#);
    for user in 0..users {
        write!(tokens, r#","t-{user}":{{"userId":"u{user:05}","roles":["writer"]}}"#)
            .expect("a string takes it");
    }
    let mut options = Options::new();
    options.read_file(&format!(r#"{{"auth":{{"tokens":{{{tokens}}}}}}}"#)).expect("JSON");
    let Some(Auth::External(settings)) =
        options.resolve().expect("a good configuration").config.auth
    else {
        unreachable!("external mode was asked for")
    };
    let no_files = |_: &std::path::Path| Err(std::io::ErrorKind::NotFound.into());
    let now = Now { mono: 0, wall: 1_800_000_000_000 };
    let options = EngineOptions {
        heartbeat_interval_ms: 0,
        first_push_delay_ms: 0,
        request_steps: 0,
        max_total_subscriptions: usize::MAX,
        ..EngineOptions::default()
    };
    let mut engine = Engine::new(options, Store::default(), now);
    let external = External::new(&settings, &no_files).expect("good settings");
    engine.set_external_auth(external, 60_000);
    engine
}

impl Bench {
    fn new(users: u32) -> Bench {
        let now = Now { mono: 0, wall: 1_800_000_000_000 };
        Bench { engine: engine(users), now, sent: 0 }
    }

    fn login(&mut self, slot: u32, token: &str) -> ConnId {
        let conn = ConnId { slot, generation: 0 };
        let peer = Peer::of([127, 0, 0, 1].into());
        self.engine.connected(conn, &peer, self.now);
        self.send(conn, &format!(r#"{{"id":1,"type":"auth.login","token":"{token}"}}"#));
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
        self.sent += readers.len() as u64;
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

    fn define(&mut self, root: ConnId, name: &str, rest: &str) {
        self.send(root, &format!(
            r#"{{"id":1,"type":"store.defineBucket","name":"{name}","config":{{"key":"id","schema":{{"id":{{"type":"number"}},"user":{{"type":"string"}},"owner":{{"type":"string"}},"room":{{"type":"number"}},"text":{{"type":"string","search":true}}}}{rest}}}}}"#
        ));
    }
}

/// A bench in which `users` keep live what they see of the records, which is
/// everything for one user and one record each for many: the same records are
/// written in both cases, and each write concerns one user.
fn prepared(users: u32, rule: Rule) -> (Bench, ConnId) {
    let mut bench = Bench::new(users);
    let root = bench.login(0, "t-root");
    let read = match rule {
        Rule::Owner => r#"{"owner":"{{ session.userId }}"}"#,
        Rule::Rooms(_) => r#"{"room":{"$in":"{{ sets.mine }}"}}"#,
        Rule::Words => r#"{"text":{"$search":"{{ session.userId }}"}}"#,
    };
    if let Rule::Rooms(rooms) = rule {
        bench.define(root, "members", r#","indexes":["user"]"#);
        for member in 0..users * rooms {
            let user = member / rooms;
            bench.send(root, &format!(
                r#"{{"id":1,"type":"store.insert","bucket":"members","data":{{"id":{member},"user":"u{user:05}","room":{member}}}}}"#
            ));
        }
        bench.send(
            root,
            r#"{"id":1,"type":"access.defineSet","name":"mine","bucket":"members","filter":{"user":"{{ session.userId }}"},"field":"room"}"#,
        );
    }
    bench.define(
        root,
        "b",
        &format!(r#","indexes":["owner","room"],"rows":{{"read":{read},"bypass":["all"]}}"#),
    );
    for id in 0..MANY {
        let (user, room) = match rule {
            Rule::Owner | Rule::Words => (id % users, 0),
            Rule::Rooms(rooms) => (id % users, (id % users) * rooms + id / users % rooms),
        };
        // What a search ends with is the beginning of a word.
        let text = match rule {
            Rule::Words => format!(r#","text":"From me to u{user:05}x""#),
            Rule::Owner | Rule::Rooms(_) => String::new(),
        };
        bench.send(root, &format!(
            r#"{{"id":1,"type":"store.insert","bucket":"b","data":{{"id":{id},"owner":"u{user:05}","room":{room},"n":0{text}}}}}"#
        ));
    }
    for user in 0..users {
        let conn = bench.login(user + 1, &format!("t-{user}"));
        bench.send(conn, r#"{"id":1,"type":"store.live","bucket":"b","mode":"delta"}"#);
    }
    (bench, root)
}

/// Nanoseconds per write, each of which concerns one user.
fn writes(bench: &mut Bench, root: ConnId, round: u32) -> f64 {
    bench.sent = 0;
    let began = Instant::now();
    let before = used(began);
    for write in 0..WRITES {
        let id = write.wrapping_mul(7_919) % MANY;
        let n = write + round * WRITES;
        bench.send(
            root,
            &format!(
                r#"{{"id":1,"type":"store.update","bucket":"b","key":{id},"data":{{"n":{n}}}}}"#
            ),
        );
    }
    let nanos = used(began).saturating_sub(before).as_nanos() as f64 / f64::from(WRITES);
    assert_eq!(bench.sent, u64::from(WRITES) * 2, "an answer and a push for each write");
    nanos
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The cost of a write with one user and with many, and their ratio, side by
/// side in each round.
fn compared(rule: Rule) -> (f64, f64, f64) {
    let (mut one, one_root) = prepared(1, rule);
    let (mut many, many_root) = prepared(MANY, rule);
    let (mut few, mut lots, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=ROUNDS as u32 {
        let small = writes(&mut one, one_root, round);
        let large = writes(&mut many, many_root, round);
        // The first round warms up.
        if round > 0 {
            few.push(small);
            lots.push(large);
            ratios.push(large / small);
        }
    }
    (median(few), median(lots), median(ratios))
}

/// Nanoseconds per record: one by one, and a hundred at a time.
fn inserts() -> (f64, f64) {
    let (mut singles, mut together) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        for batch in [1_u32, 100] {
            let mut bench = Bench::new(1);
            let root = bench.login(0, "t-root");
            bench.define(root, "b", "");
            let requests: Vec<String> = (0..WRITES / batch)
                .map(|at| {
                    let record = |id: u32| format!(r#"{{"id":{id},"name":"n{id}","n":{id}}}"#);
                    let records: Vec<String> = (at * batch..(at + 1) * batch).map(record).collect();
                    match batch {
                        1 => format!(
                            r#"{{"id":1,"type":"store.insert","bucket":"b","data":{}}}"#,
                            records.concat()
                        ),
                        _ => format!(
                            r#"{{"id":1,"type":"store.insertMany","bucket":"b","data":[{}]}}"#,
                            records.join(",")
                        ),
                    }
                })
                .collect();
            let began = Instant::now();
            let before = used(began);
            for request in &requests {
                bench.send(root, request);
            }
            let nanos = used(began).saturating_sub(before).as_nanos() as f64 / f64::from(WRITES);
            match batch {
                1 => singles.push(nanos),
                _ => together.push(nanos),
            }
        }
    }
    (median(singles), median(together))
}

fn main() {
    println!("a write that concerns one user, microseconds of processor time");
    for (name, rule) in
        [("owner", Rule::Owner), ("set of 50", Rule::Rooms(50)), ("search", Rule::Words)]
    {
        let (one, many, ratio) = compared(rule);
        println!(
            "{name:10} 1 user: {:7.2}   {MANY} users: {:7.2}   ratio {ratio:.2}",
            one / 1000.0,
            many / 1000.0,
        );
    }
    let (single, together) = inserts();
    println!(
        "a record   insert: {:7.2}   insertMany of 100: {:7.2}   ratio {:.2}",
        single / 1000.0,
        together / 1000.0,
        together / single
    );
}
