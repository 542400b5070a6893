//! Clients that come back: tokens, positions, sessions, numbered requests and
//! windows, from several connections.
//!
//! The first line of an input chooses options, each letter one (see
//! [`options`]). Every further line is one step:
//!
//! ```text
//! 0 {"type":...}    connection 0 sends this; it is opened if it is not open
//! - 0               the peer of connection 0 is gone
//! @ 500             half a second passes
//! ```
//!
//! In a message `$7` stands for the eighth position that anybody was told, with the
//! keys where they were asked for. Whoever is answered `resumed: true` to a position
//! that he was told, or to an older one with its token, has, with the answer
//! applied, what somebody new is answered; and so has everybody in the end. A
//! number of a session is executed once, and answered the same again.

#![no_main]

#[path = "../../tests/durability/held.rs"]
#[allow(dead_code)]
mod held;

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use noexd::app::{App, ConnId, Effect, NobodyWaits, Now, Peer};
use noexd::engine::{Engine, EngineOptions};
use noexd::store::Store;
use serde_json::{Value, json};

use held::Held;

const CONNS: u32 = 3;
/// The connection of somebody new.
const FRESH: u32 = CONNS;
const STEPS: usize = 150;
/// Positions that are remembered.
const POSITIONS: usize = 32;

const PREAMBLE: &[&str] = &[
    r#"{"id":1,"type":"store.defineBucket","name":"b","config":{"key":"id","schema":{"id":{"type":"string"},"n":{"type":"number"},"t":{"type":"string"}},"indexes":["t",{"field":"n","ordered":true}]}}"#,
    r#"{"id":2,"type":"store.defineBucket","name":"p","config":{"key":"id","lifetime":"connection","graceMs":500,"schema":{"id":{"type":"string"},"n":{"type":"number"}}}}"#,
    r#"{"id":3,"type":"store.defineQuery","name":"q","config":{"bucket":"b","filter":{"t":"{{ params.t }}"},"sort":{"n":"desc"}}}"#,
];

fn options(letters: &str) -> EngineOptions {
    let mut options = EngineOptions { heartbeat_interval_ms: 0, ..EngineOptions::default() };
    for letter in letters.chars() {
        match (letter, &mut options.continuity) {
            ('c', _) => options.coalesce_pushes = true,
            ('r', _) => options.ring_bytes = 300,
            ('0', _) => options.ring_bytes = 0,
            ('f', _) => options.first_push_delay_ms = 0,
            ('k', Some(limits)) => limits.max_resume_keys = 2,
            ('u', Some(limits)) => limits.max_sessions_per_user = 1,
            ('s', Some(limits)) => limits.keep_ms = 1_000,
            ('m', Some(limits)) => limits.max_bytes = 2_000,
            ('a', Some(limits)) => limits.max_answer_bytes = 40,
            ('w', Some(limits)) => limits.max_window_rows = 3,
            _ => {}
        }
    }
    options
}

#[derive(Default)]
struct Client {
    id: Option<ConnId>,
    /// The request that is being answered.
    request: Option<Value>,
    /// The session that it opened with `once`.
    session: Option<String>,
    /// What is known of each subscription; `None`: not what it was before, so
    /// nothing can be said of it.
    held: BTreeMap<String, Option<Held>>,
}

struct World {
    engine: Engine,
    now: Now,
    clients: Vec<Client>,
    generation: u32,
    positions: Vec<Held>,
    /// What each number of each session was answered.
    answers: BTreeMap<(String, u64), Value>,
    /// The answer to somebody new.
    fresh: Option<Value>,
    /// Resumed just now: to be compared.
    unchecked: Vec<(u32, String)>,
    stopped: bool,
}

impl World {
    fn new(options: EngineOptions) -> World {
        let now = Now { mono: 1, wall: 1_800_000_000_000 };
        World {
            engine: Engine::new(options, Store::default(), now),
            now,
            clients: (0..=FRESH).map(|_| Client::default()).collect(),
            generation: 0,
            positions: Vec::new(),
            answers: BTreeMap::new(),
            fresh: None,
            unchecked: Vec::new(),
            stopped: false,
        }
    }

    fn client(&mut self, slot: u32) -> &mut Client {
        &mut self.clients[slot as usize]
    }

    fn send(&mut self, slot: u32, text: &str) {
        let id = match self.client(slot).id {
            Some(id) => id,
            None => {
                self.generation += 1;
                let id = ConnId { slot, generation: self.generation };
                *self.client(slot) = Client { id: Some(id), ..Client::default() };
                let peer = Peer::of([127, 0, 0, 1].into());
                self.engine.connected(id, &peer, self.now);
                self.drain();
                id
            }
        };
        // It may have been refused.
        if self.client(slot).id == Some(id) {
            self.client(slot).request = serde_json::from_str(text).ok();
            self.engine.message(id, text, self.now);
            self.drain();
            self.client(slot).request = None;
        }
    }

    fn drain(&mut self) {
        loop {
            let effects = std::mem::take(self.engine.effects());
            if effects.is_empty() {
                break;
            }
            let mut wrote = Vec::new();
            for effect in effects.list {
                match effect {
                    Effect::Send { conn, head, body, tail, .. } => {
                        let mut text = effects.bytes[head].to_vec();
                        text.extend(body.iter().flat_map(|body| body.iter()));
                        text.extend_from_slice(&effects.bytes[tail]);
                        let message = serde_json::from_slice(&text).expect("JSON");
                        self.hear(conn, &message);
                        wrote.push((conn, None));
                    }
                    Effect::Close { conn, .. } => *self.open(conn) = Client::default(),
                    Effect::Probe { conn, number, .. } => wrote.push((conn, Some(number))),
                    Effect::Resume { .. } | Effect::StopAccepting => {}
                    Effect::Stop => self.stopped = true,
                    other => panic!("nobody needs that: {other:?}"),
                }
            }
            // Everybody reads everything at once, and answers every ping.
            for (conn, probe) in wrote {
                if self.client(conn.slot).id == Some(conn) {
                    self.engine.wrote(conn, 0, self.now);
                    if let Some(number) = probe {
                        self.engine.probed(conn, number, self.now);
                    }
                }
            }
        }
        self.engine.check_invariants();
    }

    fn open(&mut self, conn: ConnId) -> &mut Client {
        let client = self.client(conn.slot);
        assert_eq!(client.id, Some(conn), "output for a connection that is gone");
        client
    }

    fn hear(&mut self, conn: ConnId, message: &Value) {
        let slot = conn.slot;
        let client = self.open(conn);
        let id = message["subscriptionId"].as_str().unwrap_or_default();
        match message["type"].as_str().expect("a kind") {
            "push" if message["channel"] != "event" => {
                let held = client.held.get_mut(id).expect("a subscription of the connection");
                if held.as_mut().is_some_and(|held| !held.pushed(message)) {
                    client.held.remove(id);
                    return;
                }
                let told = held.clone();
                self.remember(told);
            }
            "result" if slot == FRESH => self.fresh = Some(message["data"].clone()),
            "error" if slot == FRESH => self.fresh = None,
            "result" => {
                if let Some(request) = client.request.take() {
                    self.answered(slot, &request, message);
                }
            }
            "ping" => {
                if let Some(commit) = message["commit"].as_u64() {
                    client.held.values_mut().flatten().for_each(|held| held.bookmark(commit));
                }
            }
            "system" if message["event"] == "subscription_cancelled" => {
                client.held.remove(id);
            }
            _ => {}
        }
    }

    fn remember(&mut self, held: Option<Held>) {
        if let Some(held) = held.filter(|held| !held.position()["token"].is_null()) {
            if self.positions.len() == POSITIONS {
                self.positions.remove(0);
            }
            self.positions.push(held);
        }
    }

    fn answered(&mut self, slot: u32, request: &Value, message: &Value) {
        let data = &message["data"];
        self.count(slot, request, message);
        let id = request["subscriptionId"].as_str().unwrap_or_default().to_owned();
        match request["type"].as_str().unwrap_or_default() {
            "session.open" => {
                let session = request["session"].as_str().unwrap_or_default().to_owned();
                if data["session"] != "known" {
                    self.answers.retain(|(of, _), _| *of != session);
                }
                let once = request["once"] == true && !session.is_empty();
                self.client(slot).session = once.then_some(session);
            }
            "session.close" => {
                if let Some(session) = self.client(slot).session.take() {
                    self.answers.retain(|(of, _), _| *of != session);
                }
            }
            "session.sync" if data["complete"] == true => {
                let commit = data["commit"].as_u64().expect("a number");
                self.client(slot).held.values_mut().flatten().for_each(|it| it.bookmark(commit));
            }
            "store.subscribe" | "store.live" => self.subscribed(slot, request, data),
            "store.subscribeMany" => {
                let entries = request["subscriptions"].as_array().expect("was accepted");
                let results = data["results"].as_array().expect("results");
                for (entry, result) in entries.iter().zip(results) {
                    let mut entry = entry.clone();
                    if result["error"].is_null() {
                        if entry["type"].is_null() {
                            entry["type"] = json!("store.subscribe");
                        }
                        self.subscribed(slot, &entry, result);
                    }
                }
            }
            "store.unsubscribe" => drop(self.client(slot).held.remove(&id)),
            "store.resync" => {
                if let Some(Some(held)) = self.client(slot).held.get_mut(&id) {
                    held.resynced(data);
                }
            }
            "store.moveWindow" => {
                if let Some(Some(held)) = self.client(slot).held.get_mut(&id) {
                    held.moved(data);
                    let told = held.clone();
                    self.remember(Some(told));
                    self.unchecked.push((slot, id));
                }
            }
            _ => {}
        }
    }

    fn subscribed(&mut self, slot: u32, request: &Value, data: &Value) {
        let asked = &request["resume"];
        let mut question = request.clone();
        if let Some(members) = question.as_object_mut() {
            members.remove("resume");
            members.remove("id");
        }
        let fits = |held: &&Held| {
            let position = held.position();
            let knows = |commit: &Value| commit.as_u64() <= position["commit"].as_u64();
            position["token"] == asked["token"]
                && knows(&asked["commit"])
                && (asked["keys"].is_null() || asked["keys"] == position["keys"])
        };
        let before = match data["resumed"] == true {
            true => self.positions.iter().find(fits).cloned(),
            false => Some(Held::new(json!({}))),
        };
        let id = data["subscriptionId"].as_str().expect("an id").to_owned();
        let held = before.map(|mut held| {
            held.request = question;
            held.answered(data);
            held
        });
        self.remember(held.clone());
        self.client(slot).held.insert(id.clone(), held);
        self.unchecked.push((slot, id));
    }

    /// A numbered request was answered.
    fn count(&mut self, slot: u32, request: &Value, message: &Value) {
        let number = request["once"].as_u64().filter(|_| request["type"] != "session.open");
        let Some((session, number)) = self.client(slot).session.clone().zip(number) else {
            return;
        };
        let key = (session, number);
        let (data, is_repeated) = (&message["data"], message["repeated"] == true);
        match self.answers.get(&key) {
            Some(first) if is_repeated => assert!(data.is_null() || data == first, "{message}"),
            Some(_) => panic!("executed twice: {request} {message}"),
            None => {
                assert!(!is_repeated, "never answered: {request} {message}");
                self.answers.insert(key, data.clone());
            }
        }
    }

    /// What clients have of these is what somebody new is answered.
    fn check(&mut self, all: Vec<(u32, String)>) {
        for (slot, id) in all {
            let Some(Some(held)) = self.client(slot).held.get(&id).cloned() else { continue };
            let mut request = held.request.clone();
            request["id"] = json!(1);
            self.fresh = None;
            self.send(FRESH, &request.to_string());
            // What it asks may be gone, and a result in full mode ends silently.
            let Some(fresh) = self.fresh.take() else { continue };
            held.check(&fresh, &id);
            let id = &fresh["subscriptionId"];
            self.send(
                FRESH,
                &format!(r#"{{"id":2,"type":"store.unsubscribe","subscriptionId":{id}}}"#),
            );
        }
    }

    fn gone(&mut self, slot: u32) {
        if let Some(id) = self.client(slot).id {
            *self.client(slot) = Client::default();
            self.engine.closed(id, self.now);
            self.drain();
        }
    }

    /// Time passes, with a stop at every deadline.
    fn pass(&mut self, ms: u64) {
        let end = self.now.mono + ms;
        for _ in 0..1000 {
            let due = self.engine.next_deadline().unwrap_or(u64::MAX);
            let next = due.clamp(self.now.mono + 1, end.max(self.now.mono + 1));
            if next > end {
                break;
            }
            self.now.wall += next - self.now.mono;
            self.now.mono = next;
            self.engine.timers(self.now, &NobodyWaits);
            self.drain();
        }
    }

    /// The message with what its `$` stand for.
    fn expanded(&self, text: &str) -> String {
        let mut parts = text.split('$');
        let mut out = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let digits = part.bytes().take(2).take_while(u8::is_ascii_digit).count();
            let number: usize = part[..digits].parse().unwrap_or(0);
            match self.positions.get(number) {
                Some(held) if digits > 0 => out += &held.position().to_string(),
                _ => out += &part[..digits],
            }
            out += &part[digits..];
        }
        out
    }

    fn step(&mut self, line: &str) {
        let Some((what, rest)) = line.split_once(' ') else { return };
        match what {
            "-" => self.gone(rest.trim().parse().unwrap_or(0) % CONNS),
            "@" => self.pass(rest.trim().parse().unwrap_or(0).min(100_000)),
            _ => match what.parse::<u32>() {
                Ok(slot) => {
                    let text = self.expanded(rest);
                    self.send(slot % CONNS, &text);
                }
                Err(_) => return,
            },
        }
        self.engine.turn_ended(self.now);
        self.drain();
        let unchecked = std::mem::take(&mut self.unchecked);
        self.check(unchecked);
    }

    fn finish(mut self) {
        self.pass(3_000);
        let clients = (0..CONNS).zip(&self.clients);
        let all = clients.flat_map(|(slot, client)| {
            client.held.keys().map(move |id| (slot, id.clone())).collect::<Vec<_>>()
        });
        let all = all.collect();
        self.check(all);
        self.engine.shutdown(0, self.now);
        self.drain();
        self.pass(60_000);
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
