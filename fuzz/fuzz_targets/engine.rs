//! The whole engine: sequences of messages from several connections, with time,
//! slow readers and lost peers in between.
//!
//! The first line of an input chooses options, each letter one (see
//! [`options`]). Every further line is one step:
//!
//! ```text
//! 0 {"id":1,...}    connection 0 sends this; it is opened if it is not open
//! - 0               the peer of connection 0 is gone
//! @ 500             half a second passes
//! ! 0               connection 0 stops to read
//! ~ 0               connection 0 reads everything and goes on reading
//! ```
//!
//! After each step: the engine's own invariants hold; every message is JSON of
//! a kind that the protocol knows; responses come in the order of the requests
//! and with their ids; pushes come only for subscriptions that the connection
//! knows; nothing comes behind a close. At the end the engine stops when asked.

#![no_main]

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use libfuzzer_sys::fuzz_target;
use noexd::app::{App, ConnId, Effect, Flow, Job, Now, Peer, TransportView};
use noexd::engine::{Engine, EngineOptions};
use noexd::json::{Json, parse};
use noexd::protocol::{Incoming, parse_message};
use noexd::store::Store;

/// Connections of one input.
const CONNS: u32 = 4;

/// More steps than this find nothing that fewer do not.
const STEPS: usize = 200;

/// Sent first, so that there is something to work on.
const PREAMBLE: &[&str] = &[
    r#"{"id":1,"type":"store.defineBucket","name":"b","config":{"key":"id","schema":{"id":{"type":"string"},"n":{"type":"number","default":0},"t":{"type":"string"},"u":{"type":"string","unique":true}},"indexes":["t"]}}"#,
    r#"{"id":2,"type":"store.defineBucket","name":"c","config":{"key":"id","schema":{"id":{"type":"number","generated":"autoincrement"},"b":{"type":"string","ref":"b","onDelete":"cascade"},"at":{"type":"number"}},"ttl":"1s"}}"#,
    r#"{"id":3,"type":"store.defineQuery","name":"q","config":{"bucket":"b","filter":{"t":"{{ params.t }}"},"sort":{"n":"desc"},"limit":3}}"#,
    r#"{"id":4,"type":"store.defineQuery","name":"g","config":{"bucket":"b","aggregate":{"function":"sum","field":"n","groupBy":"t"}}}"#,
];

fn options(letters: &str) -> EngineOptions {
    let mut options = EngineOptions { heartbeat_interval_ms: 1000, ..EngineOptions::default() };
    for letter in letters.chars() {
        match letter {
            'r' => options.rate_limit = Some((5, 1000)),
            'b' => options.max_buffered_bytes = 2000,
            'p' => options.first_push_delay_ms = 0,
            'c' => options.coalesce_pushes = true,
            'd' => options.expose_error_details = false,
            's' => options.max_subscriptions_per_connection = 2,
            'h' => options.heartbeat_interval_ms = 0,
            _ => {}
        }
    }
    options
}

/// The peer of one connection and what the transport keeps for it.
#[derive(Default)]
struct Client {
    id: Option<ConnId>,
    /// Messages that wait for a job or for room in the output.
    inbox: VecDeque<String>,
    waiting: bool,
    stalled: bool,
    /// Lengths on the wire of what is queued.
    outbox: VecDeque<usize>,
    welcomed: bool,
    /// Ids of requests without a response, as they are echoed.
    due: VecDeque<String>,
    /// Ids of subscriptions that may push.
    subscriptions: BTreeSet<String>,
}

struct World {
    engine: Engine,
    now: Now,
    max_buffered: usize,
    clients: Clients,
    generation: u32,
    jobs: VecDeque<Job>,
    stopped: bool,
}

/// By slot.
#[derive(Default)]
struct Clients(BTreeMap<u32, Client>);

impl TransportView for Clients {
    fn has_unread_input(&self, conn: ConnId) -> bool {
        self.0.get(&conn.slot).is_some_and(|client| !client.inbox.is_empty())
    }

    fn is_read_paused(&self, conn: ConnId) -> bool {
        self.0.get(&conn.slot).is_some_and(|client| client.stalled)
    }

    fn last_output_progress(&self, _conn: ConnId) -> u64 {
        0
    }
}

impl World {
    fn new(options: EngineOptions) -> World {
        let now = Now { mono: 1, wall: 1_800_000_000_000 };
        let max_buffered = options.max_buffered_bytes;
        let engine = Engine::new(options, Store::default(), now);
        let clients = Clients::default();
        World {
            engine,
            now,
            max_buffered,
            clients,
            generation: 0,
            jobs: VecDeque::new(),
            stopped: false,
        }
    }

    fn client(&mut self, slot: u32) -> &mut Client {
        self.clients.0.entry(slot).or_default()
    }

    fn send(&mut self, slot: u32, text: &str) {
        if self.client(slot).id.is_none() {
            self.generation += 1;
            let id = ConnId { slot, generation: self.generation };
            *self.client(slot) = Client { id: Some(id), ..Client::default() };
            let peer = Peer { address: [127, 0, 0, 1].into(), user_agent: None };
            self.engine.connected(id, &peer, self.now);
            self.drain();
        }
        if self.client(slot).id.is_some() {
            self.client(slot).inbox.push_back(text.to_string());
            self.feed(slot);
        }
    }

    /// Hands over what the connection may be read for now.
    fn feed(&mut self, slot: u32) {
        loop {
            let max_buffered = self.max_buffered;
            let client = self.client(slot);
            let full = client.outbox.iter().sum::<usize>() >= max_buffered;
            let Some(id) = client.id.filter(|_| !client.waiting && !full) else { return };
            let Some(text) = client.inbox.pop_front() else { return };
            match parse_message(&text, noexd::json::DEFAULT_MAX_DEPTH) {
                Ok(Incoming::Pong { .. }) => {}
                Ok(Incoming::Request(request)) => {
                    let mut echo = Vec::new();
                    request.id.write(&mut echo);
                    client.due.push_back(String::from_utf8(echo).expect("digits"));
                }
                Err(_) => client.due.push_back("0".into()),
            }
            let flow = self.engine.message(id, &text, self.now);
            if flow == Flow::Wait {
                self.client(slot).waiting = true;
            }
            self.drain();
        }
    }

    /// Performs what the engine wants.
    fn drain(&mut self) {
        loop {
            let effects = std::mem::take(self.engine.effects());
            if effects.is_empty() {
                break;
            }
            for effect in effects.list {
                match effect {
                    Effect::Send { conn, head, body, tail, .. } => {
                        let mut text = effects.bytes[head].to_vec();
                        text.extend(body.iter().flat_map(|body| body.iter()));
                        text.extend_from_slice(&effects.bytes[tail]);
                        self.sent(conn, &text);
                    }
                    Effect::Close { conn, .. } => {
                        let client = self.open(conn);
                        *client = Client::default();
                    }
                    Effect::Resume { conn } => {
                        if self.client(conn.slot).id == Some(conn) {
                            self.client(conn.slot).waiting = false;
                        }
                    }
                    Effect::Job(job) => self.jobs.push_back(job),
                    Effect::StopAccepting => {}
                    Effect::Stop => self.stopped = true,
                }
            }
            self.flush();
        }
        self.engine.check_invariants();
    }

    /// The client of a connection that the engine speaks of: it must be open.
    fn open(&mut self, conn: ConnId) -> &mut Client {
        let client = self.client(conn.slot);
        assert_eq!(client.id, Some(conn), "output for a connection that is gone");
        client
    }

    /// Clients that read take everything.
    fn flush(&mut self) {
        for slot in 0..CONNS {
            let client = self.client(slot);
            let Some(id) = client.id.filter(|_| !client.stalled && !client.outbox.is_empty())
            else {
                continue;
            };
            client.outbox.clear();
            self.engine.wrote(id, 0, self.now);
        }
    }

    fn sent(&mut self, conn: ConnId, text: &[u8]) {
        let client = self.open(conn);
        client.outbox.push_back(
            text.len()
                + match text.len() {
                    0..=125 => 2,
                    126..=0xffff => 4,
                    _ => 10,
                },
        );
        let text = std::str::from_utf8(text).expect("messages are UTF-8");
        // Stored data may be as deep as a message, inside an envelope.
        let message = parse(text, 1000).expect("messages are JSON").to_json();
        let member = |name| message.get(name).and_then(Json::as_str);
        let kind = member("type").expect("messages have a type");
        assert_eq!(kind == "welcome", !client.welcomed, "welcome once, and first");
        match kind {
            "welcome" => client.welcomed = true,
            "result" | "error" => {
                let due = client.due.pop_front().expect("a response without a request");
                let id = message.get("id").expect("a response has an id").to_text();
                assert_eq!(id, due, "{text}");
                if kind == "error" {
                    assert!(member("code").is_some() && member("message").is_some(), "{text}");
                } else if let Some(data) = message.get("data") {
                    let subscription = data.get("subscriptionId").and_then(Json::as_str);
                    client.subscriptions.extend(subscription.map(String::from));
                }
            }
            "push" => {
                let id = member("subscriptionId").expect("a push has a subscription");
                assert!(client.subscriptions.contains(id), "unknown to the client: {text}");
            }
            "ping" => assert!(message.get("timestamp").is_some()),
            "system" => assert!(member("event").is_some()),
            _ => panic!("unknown to the protocol: {text}"),
        }
    }

    fn gone(&mut self, slot: u32) {
        if let Some(id) = self.client(slot).id {
            *self.client(slot) = Client::default();
            self.engine.closed(id, self.now);
            self.drain();
        }
    }

    fn read(&mut self, slot: u32) {
        self.client(slot).stalled = false;
        self.flush();
        self.drain();
        self.feed(slot);
    }

    fn stall(&mut self, slot: u32) {
        self.client(slot).stalled = true;
    }

    /// Time passes, with a stop at every deadline.
    fn pass(&mut self, ms: u64) {
        let end = self.now.mono + ms;
        // A deadline that does not move on would be a loop without end.
        for _ in 0..1000 {
            let due = self.engine.next_deadline().unwrap_or(u64::MAX);
            let next = due.clamp(self.now.mono + 1, end.max(self.now.mono + 1));
            if next > end {
                break;
            }
            self.now.wall += next - self.now.mono;
            self.now.mono = next;
            self.engine.timers(self.now, &self.clients);
            self.drain();
        }
        self.work();
    }

    /// The worker finishes its jobs.
    fn work(&mut self) {
        while let Some(job) = self.jobs.pop_front() {
            let output = (job.run)();
            self.engine.job_done(job.id, Ok(output), self.now);
            self.drain();
            for slot in 0..CONNS {
                self.feed(slot);
            }
        }
    }

    fn step(&mut self, line: &str) {
        let Some((what, rest)) = line.split_once(' ') else { return };
        let slot = rest.trim().parse().unwrap_or(0) % CONNS;
        match what {
            "-" => self.gone(slot),
            "!" => self.stall(slot),
            "~" => self.read(slot),
            "@" => self.pass(rest.trim().parse().unwrap_or(0).min(100_000)),
            _ => match what.parse::<u32>() {
                Ok(slot) => self.send(slot % CONNS, rest),
                Err(_) => return,
            },
        }
        if !self.jobs.is_empty() && what != "0" {
            self.work();
        }
    }

    fn finish(mut self) {
        self.work();
        for slot in 0..CONNS {
            self.read(slot);
            let client = self.client(slot);
            assert!(client.due.is_empty(), "requests without a response: {:?}", client.due);
        }
        self.engine.shutdown(0, self.now);
        self.drain();
        self.pass(60_000);
        assert_eq!(self.engine.connection_count(), 0, "connections left after the stop");
        assert!(self.stopped, "the engine does not stop");
    }
}

fuzz_target!(|text: &str| {
    let mut lines = text.lines();
    let Some(letters) = lines.next() else { return };
    let mut world = World::new(options(letters));
    for message in PREAMBLE {
        world.send(0, message);
    }
    for line in lines.take(STEPS) {
        world.step(line);
    }
    world.finish();
});
