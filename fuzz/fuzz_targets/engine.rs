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

mod mirror;

use std::collections::{BTreeMap, VecDeque};

use libfuzzer_sys::fuzz_target;
use noexd::app::{App, ConnId, Effect, Flow, Job, Now, PROBE_FRAME_BYTES, Peer, TransportView};
use noexd::engine::{Engine, EngineOptions, RulesSetup};
use noexd::json::{Json, parse};
use noexd::procedures::Limits;
use noexd::protocol::{Incoming, parse_message};
use noexd::store::Store;

use mirror::Mirror;

/// Connections of one input.
const CONNS: u32 = 4;

/// A connection of the check at the end, beside those of the input.
const CHECK: u32 = CONNS;

/// More steps than this find nothing that fewer do not.
const STEPS: usize = 200;

/// Sent first, so that there is something to work on.
const PREAMBLE: &[&str] = &[
    r#"{"id":1,"type":"store.defineBucket","name":"b","config":{"key":"id","schema":{"id":{"type":"string"},"n":{"type":"number","default":0},"t":{"type":"string","search":true},"u":{"type":"string","unique":true}},"indexes":["t",{"field":"n","ordered":true},["t","n"]]}}"#,
    r#"{"id":2,"type":"store.defineBucket","name":"c","config":{"key":"id","schema":{"id":{"type":"number","generated":"autoincrement"},"b":{"type":"string","ref":"b","onDelete":"cascade"},"at":{"type":"number"}},"ttl":"1s"}}"#,
    r#"{"id":3,"type":"store.defineQuery","name":"q","config":{"bucket":"b","filter":{"t":"{{ params.t }}"},"sort":{"n":"desc"},"limit":3}}"#,
    r#"{"id":5,"type":"store.defineQuery","name":"w","config":{"bucket":"b","filter":{"t":{"$search":"{{ params.t }}"}}}}"#,
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
    /// Pings that were sent and not answered.
    pings: Vec<u64>,
    welcomed: bool,
    due: VecDeque<Due>,
    /// Subscriptions that may push, by id.
    subscriptions: BTreeMap<String, Mirror>,
}

/// A request without a response.
struct Due {
    /// The id as it is echoed.
    id: String,
    /// The message, if it was one.
    request: Option<Json>,
}

struct World {
    engine: Engine,
    now: Now,
    max_buffered: usize,
    clients: Clients,
    generation: u32,
    jobs: VecDeque<Job>,
    stopped: bool,
    /// Definitions were changed under subscriptions, which may have ended.
    redefined: bool,
    /// What the connection of the check was answered.
    answer: Option<Json>,
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
        let mut engine = Engine::new(options, Store::default(), now);
        engine.set_rules(RulesSetup::default()).expect("no definitions, none that is wrong");
        engine.set_procedures(Limits::default());
        let clients = Clients::default();
        World {
            engine,
            now,
            max_buffered,
            clients,
            generation: 0,
            jobs: VecDeque::new(),
            stopped: false,
            redefined: false,
            answer: None,
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
            let peer = Peer::of([127, 0, 0, 1].into());
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
                    let id = String::from_utf8(echo).expect("digits");
                    let tree = parse(&text, noexd::json::DEFAULT_MAX_DEPTH).expect("was parsed");
                    client.due.push_back(Due { id, request: Some(tree.to_json()) });
                    self.redefined |= matches!(
                        &*request.operation,
                        "store.undefineQuery" | "store.dropBucket" | "store.updateBucket"
                    );
                }
                Err(_) => client.due.push_back(Due { id: "0".into(), request: None }),
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
                    Effect::Probe { conn, number, .. } => {
                        let client = self.open(conn);
                        client.outbox.push_back(PROBE_FRAME_BYTES);
                        client.pings.push(number);
                    }
                    Effect::Resume { conn } => {
                        if self.client(conn.slot).id == Some(conn) {
                            self.client(conn.slot).waiting = false;
                        }
                    }
                    Effect::Answer { .. } | Effect::Stream { .. } => panic!("nobody calls here"),
                    Effect::Abandon { .. } => panic!("nothing is stored here that could fail"),
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
        for slot in 0..=CHECK {
            let client = self.client(slot);
            let Some(id) = client.id.filter(|_| !client.stalled && !client.outbox.is_empty())
            else {
                continue;
            };
            client.outbox.clear();
            let pings = std::mem::take(&mut client.pings);
            self.engine.wrote(id, 0, self.now);
            // One of the clients answers no pings, against the standard.
            for number in pings.into_iter().filter(|_| slot != 1) {
                self.engine.probed(id, number, self.now);
            }
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
                assert_eq!(id, due.id, "{text}");
                if kind == "error" {
                    assert!(member("code").is_some() && member("message").is_some(), "{text}");
                } else if let (Some(request), Some(data)) = (&due.request, message.get("data")) {
                    answered(&mut client.subscriptions, request, data);
                }
                if conn.slot == CHECK {
                    self.answer = Some(message);
                }
            }
            "push" => {
                let id = member("subscriptionId").expect("a push has a subscription");
                let subscription = client.subscriptions.get_mut(id);
                let subscription =
                    subscription.unwrap_or_else(|| panic!("unknown to the client: {text}"));
                if member("channel") == Some("subscription") {
                    subscription.push(message.get("data"), false);
                }
            }
            "ping" => assert!(message.get("timestamp").is_some()),
            "system" => assert!(member("event").is_some()),
            _ => panic!("unknown to the protocol: {text}"),
        }
    }

    /// A request of the check at the end; its data, `None` for an error.
    fn ask(&mut self, kind: &str, fields: &str) -> Option<Json> {
        self.answer = None;
        self.send(CHECK, &format!(r#"{{"id":1,"type":"{kind}"{fields}}}"#));
        let answer = self.answer.take().expect("an answer at once");
        answer.get("data").cloned()
    }

    /// Every subscription shows what a fresh query of the same definition does.
    fn compare(&mut self) {
        let id = ConnId { slot: CHECK, generation: 0 };
        assert!(self.engine.connect_local(id, false, self.now));
        *self.client(CHECK) = Client { id: Some(id), welcomed: true, ..Client::default() };
        let listed = self.ask("store.listQueries", "").expect("a list");
        let listed = listed.get("queries").and_then(Json::as_array).expect("an array").to_vec();
        let mut number = 0;
        for slot in 0..CONNS {
            let mirrors: Vec<(String, String, Json)> = (self.client(slot).subscriptions.iter())
                .map(|(id, mirror)| (id.clone(), mirror.query.clone(), mirror.params.clone()))
                .collect();
            for (id, query, params) in mirrors {
                let named = |listed: &&Json| {
                    listed.get("name").and_then(Json::as_str) == Some(query.as_str())
                };
                let config = match query.as_str() {
                    LIVE => Some(&params),
                    _ => listed.iter().find(named).and_then(|query| query.get("config")),
                };
                // With a name, braces of a live query would be parameters.
                let Some(config) =
                    config.filter(|config| query != LIVE || !config.to_text().contains("{{"))
                else {
                    continue;
                };
                number += 1;
                let define =
                    format!(r#","name":"check of {number}","config":{}"#, config.to_text());
                // The bucket of a live query may be another one by now, or none.
                let defined = self.ask("store.defineQuery", &define);
                assert!(defined.is_some() || query == LIVE, "what was defined once");
                if defined.is_none() {
                    continue;
                }
                let subscribe =
                    format!(r#","query":"check of {number}","params":{}"#, params.to_text());
                let Some(fresh) = self.ask("store.subscribe", &subscribe) else { continue };
                let own = fresh.get("subscriptionId").expect("an id").to_text();
                self.ask("store.unsubscribe", &format!(r#","subscriptionId":{own}"#));
                let fresh = fresh.get("data");
                let mirror = self.client(slot).subscriptions.get(&id).expect("still there");
                assert!(
                    mirror.agrees(fresh),
                    "{id} ({query}) shows {}, afresh it is {:?}",
                    mirror.shown(),
                    fresh.map(Json::to_text)
                );
            }
        }
        self.gone(CHECK);
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
        self.engine.turn_ended(self.now);
        self.drain();
        if !self.jobs.is_empty() && what != "0" {
            self.work();
        }
    }

    fn finish(mut self) {
        self.work();
        for slot in 0..CONNS {
            self.read(slot);
            let client = self.client(slot);
            assert!(client.due.is_empty(), "{} requests without a response", client.due.len());
        }
        if !self.redefined {
            // The first pushes of new subscriptions wait, longest for who answers no pings.
            self.pass(2_100);
            self.compare();
        }
        self.engine.shutdown(0, self.now);
        self.drain();
        self.pass(60_000);
        assert_eq!(self.engine.connection_count(), 0, "connections left after the stop");
        assert!(self.stopped, "the engine does not stop");
    }
}

/// In place of the name of a query without one; no name may hold this.
const LIVE: &str = "\0";

/// What a response tells of subscriptions.
fn answered(subscriptions: &mut BTreeMap<String, Mirror>, request: &Json, data: &Json) {
    let text = |json: &Json, name| json.get(name).and_then(Json::as_str).map(String::from);
    match text(request, "type").as_deref() {
        Some("store.subscribe" | "rules.subscribe" | "logic.subscribeView") => {
            let id = text(data, "subscriptionId").expect("an id");
            let params = request.get("params").cloned().unwrap_or_default();
            let query = text(request, "query").unwrap_or_default();
            subscriptions.insert(id, Mirror::new(query, params, data));
        }
        // It is its own definition.
        Some("store.live") => {
            let id = text(data, "subscriptionId").expect("an id");
            let members = ["bucket", "filter", "sort", "limit", "offset", "fields", "aggregate"];
            let members =
                members.iter().filter_map(|name| Some((*name, request.get(name)?.clone())));
            let config = Json::Object(members.collect());
            subscriptions.insert(id, Mirror::new(LIVE.to_owned(), config, data));
        }
        Some("store.unsubscribe" | "rules.unsubscribe" | "logic.unsubscribeView") => {
            subscriptions.remove(&text(request, "subscriptionId").expect("was accepted"));
        }
        Some("store.resync") => {
            let id = text(request, "subscriptionId").expect("was accepted");
            subscriptions.get_mut(&id).expect("was accepted").push(Some(data), true);
        }
        Some("store.moveWindow") => {
            let id = text(request, "subscriptionId").expect("was accepted");
            subscriptions.get_mut(&id).expect("was accepted").moved(data);
        }
        _ => {}
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
