//! The property of continuity: at rest every subscription equals a fresh
//! subscribe, whatever happened in between, with tokens and positions of any
//! age. And at once: who is answered `resumed: true` has, with the answer
//! applied, what anybody would be answered then.
//!
//! Random requests, disconnects, peers that do not read, logins, sets and
//! definitions that change, kills and losses of power over a disk that loses,
//! by seed. What was seen to be caught when it was planted: an entry too few in
//! the ring, a barrier left out, a token without the read filter, no new token
//! when the filter changes, `removed` without regard to the keys, the place of the
//! table instead of that of the index, a commit that was lost taken for one that is
//! there. A bookmark while something is owed is not met here: `messages` has it.

mod moves;
mod writes;

use std::collections::HashMap;

use super::client::{Held, State};
use crate::app::{App as _, ConnId, Now};
use crate::engine::EngineOptions;
use crate::engine::tests::Rig;
use crate::engine::tests::durability::{Queue, dice, recover_with};
use crate::engine::tests::rows::set_external;
use crate::ids::IdSource;
use crate::json::{Json, parse};
use crate::logic::VIEW;
use crate::storage::{Disk, Journal, Origin, Policy};
use crate::testing::{are_all, cases};

const SEEDS: u64 = 500;
const STEPS: usize = 50;

const AUTH: &str = r#"{"required":false,"anonymousRoles":["admin"],"tokens":{
    "ann":{"userId":"ann","roles":["admin"]},"bob":{"userId":"bob","roles":["admin"]},
    "mod":{"userId":"mod","roles":["admin","moderator"]}}}"#;
const USERS: [&str; 3] = ["ann", "bob", "mod"];

const SETUP: [&str; 8] = [
    r#""store.defineBucket","name":"a","config":{"key":"id","indexes":["t"],"schema":{"id":{"type":"string"},"t":{"type":"string"},"n":{"type":"number"}}}"#,
    r#""store.defineBucket","name":"members","config":{"key":"id","schema":{"id":{"type":"string"},"user":{"type":"string"},"t":{"type":"string"}}}"#,
    r#""access.defineSet","name":"mine","bucket":"members","filter":{"user":"{{ session.userId }}"},"field":"t""#,
    r#""store.defineBucket","name":"r","config":{"key":"id","schema":{"id":{"type":"string"},"t":{"type":"string"},"n":{"type":"number"}},"rows":{"read":{"t":{"$in":"{{ sets.mine }}"}},"insert":true,"bypass":["moderator"]}}"#,
    r#""store.defineBucket","name":"v","config":{"key":"id","persistent":false,"schema":{"id":{"type":"string"},"t":{"type":"string"},"n":{"type":"number"}}}"#,
    r#""store.defineQuery","name":"q","config":{"bucket":"a","filter":{"t":"{{ params.t }}"}}"#,
    r#""store.defineQuery","name":"s","config":{"bucket":"a","sort":{"n":"desc"},"fields":["n"]}"#,
    r#""logic.defineView","definition":{"name":"l","from":{"a":"a"},"groupBy":["a.t"],"select":{"t":"a.t","c":{"$count":"*"}},"reactive":true}"#,
];

const SHAPES: [&str; 21] = [
    r#""store.live","bucket":"a""#,
    r#""store.live","bucket":"a","mode":"delta""#,
    r#""store.live","bucket":"a","mode":"delta","positions":true"#,
    r#""store.live","bucket":"a","filter":{"n":{"$gte":4}},"mode":"delta","positions":true"#,
    r#""store.subscribe","query":"q","params":{"t":"x"},"mode":"delta","positions":true"#,
    r#""store.subscribe","query":"q","params":{"t":"y"},"mode":"delta","coalesce":true"#,
    r#""store.subscribe","query":"s","mode":"delta""#,
    r#""store.live","bucket":"a","sort":{"n":"asc"},"limit":3,"mode":"delta""#,
    r#""store.live","bucket":"a","aggregate":{"function":"sum","field":"n"},"mode":"delta""#,
    r#""store.live","bucket":"a","aggregate":{"function":"count","groupBy":"t"},"mode":"delta""#,
    r#""store.live","bucket":"r","mode":"delta","positions":true"#,
    r#""store.live","bucket":"r""#,
    r#""store.live","bucket":"r","mode":"delta""#,
    r#""store.live","bucket":"r","sort":{"n":"asc"},"mode":"delta""#,
    r#""store.live","bucket":"v","mode":"delta""#,
    r#""logic.subscribeView","name":"l""#,
    r#""store.live","bucket":"a","sort":{"n":"asc"},"mode":"delta","window":{"offset":2,"limit":4}"#,
    r#""store.live","bucket":"a","mode":"delta","positions":true,"window":{"offset":0,"limit":3}"#,
    r#""store.live","bucket":"a","sort":{"n":"asc"},"offset":1,"limit":6,"mode":"delta","window":{"offset":1,"limit":3}"#,
    r#""store.live","bucket":"r","sort":{"n":"asc"},"mode":"delta","window":{"offset":0,"limit":5}"#,
    r#""store.subscribe","query":"q","params":{"t":"x"},"mode":"delta","positions":true,"coalesce":true,"window":{"offset":1,"limit":2}"#,
];

struct Client {
    user: &'static str,
    conn: Option<ConnId>,
    held: Vec<Held>,
    /// What it had once, to come back with.
    kept: Vec<Held>,
    stalled: bool,
}

#[derive(Default)]
struct Seen {
    resumed: u64,
    told: u64,
    reasons: HashMap<String, u64>,
    tokens: u64,
    bookmarks: u64,
    restarts: u64,
    moves: u64,
    resets: u64,
}

struct World {
    seed: u64,
    rig: Rig,
    dice: IdSource,
    disk: Disk,
    policy: Policy,
    queue: Queue,
    journal: Journal,
    options: EngineOptions,
    writer: ConnId,
    clients: Vec<Client>,
    next_id: u64,
    seen: Seen,
}

fn options(seed: u64) -> EngineOptions {
    let mut options = EngineOptions {
        heartbeat_interval_ms: 2_000,
        heartbeat_timeout_ms: 2_000,
        first_push_delay_ms: [0, 10][(seed % 2) as usize],
        max_buffered_bytes: 4_000,
        ring_bytes: [1 << 20, 1_500, 0][(seed % 7 / 3) as usize],
        view_steps: if seed.is_multiple_of(5) { 4 } else { 2_000_000 },
        ..EngineOptions::default()
    };
    options.seed[0] = (seed % 251) as u8;
    options
}

fn start(disk: &Disk, policy: Policy, options: &EngineOptions, now: Now) -> (Rig, Journal, Queue) {
    let queue = Queue::default();
    let (mut engine, journal, documents) = recover_with(options.clone(), disk, policy, &queue, now);
    set_external(&mut engine, AUTH);
    let of = |kind: &'static str| documents.iter().filter(move |document| document.kind == kind);
    for document in of("set") {
        let body = parse(&document.body, 50).expect("JSON").to_json();
        let body = body.as_object().expect("an object").clone();
        engine.restore_set(&document.name, &body, Origin::Wire).expect("a set");
    }
    for document in of(VIEW) {
        let body = parse(&document.body, 50).expect("JSON").to_json();
        engine.restore_logic(VIEW, &document.name, &body, true).expect("a view");
    }
    engine.recovered(Vec::new());
    (Rig::with_engine(engine, now), journal, queue)
}

impl World {
    fn new(seed: u64) -> World {
        let (disk, options) = (Disk::new(), options(seed));
        let policy = [Policy::Always, Policy::Interval(200), Policy::Never][(seed % 3) as usize];
        let now = Now { mono: 1_000, wall: 1_800_000_000_000 };
        let (mut rig, journal, queue) = start(&disk, policy, &options, now);
        let writer = login(&mut rig, "mod", false);
        let clients = ["ann", "bob", "ann", "mod"].map(|user| Client {
            user,
            conn: None,
            held: Vec::new(),
            kept: Vec::new(),
            stalled: false,
        });
        let mut world = World {
            seed,
            rig,
            dice: dice(seed),
            disk,
            policy,
            queue,
            journal,
            options,
            writer,
            clients: clients.into(),
            next_id: 100,
            seen: Seen::default(),
        };
        for request in SETUP {
            world.write(request);
        }
        world
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.dice.next_u64() % bound as u64) as usize
    }

    fn pick<'t>(&mut self, list: &[&'t str]) -> &'t str {
        list[self.below(list.len())]
    }

    /// A write of the one who sees everything; it may be refused.
    fn write(&mut self, body: &str) {
        let request = format!(r#"{{"id":1,"type":{body}}}"#);
        self.rig.send(self.writer, &request);
        self.look();
    }

    /// Takes what everybody was sent.
    fn look(&mut self) {
        loop {
            let mut pongs = Vec::new();
            for (conn, messages) in self.rig.received_by_all() {
                for message in messages {
                    let kind = message.get("type").and_then(Json::as_str).unwrap_or_default();
                    if kind == "ping" {
                        pongs.push((conn, message.get("timestamp").expect("a time").to_text()));
                    }
                    self.take(conn, &message);
                }
            }
            if pongs.is_empty() {
                break;
            }
            for (conn, at) in pongs {
                self.rig.send(conn, &format!(r#"{{"type":"pong","timestamp":{at}}}"#));
            }
        }
        for client in &mut self.clients {
            let closed = client.conn.and_then(|conn| self.rig.is_closed(conn));
            if let Some((code, _)) = closed {
                assert_eq!(code, 4001, "seed {}", self.seed);
                (client.conn, client.stalled) = (None, false);
            }
        }
        if self.rig.is_closed(self.writer).is_some() {
            self.writer = login(&mut self.rig, "mod", false);
        }
    }

    fn take(&mut self, conn: ConnId, message: &Json) {
        let Some(client) = self.clients.iter_mut().find(|it| it.conn == Some(conn)) else { return };
        let commit = message.get("commit").and_then(Json::as_number);
        match message.get("type").and_then(Json::as_str).unwrap_or_default() {
            "ping" => {
                if let Some(commit) = commit {
                    client.held.iter_mut().for_each(|held| held.bookmark(commit));
                    self.seen.bookmarks += 1;
                }
            }
            "push" => {
                let id = message.get("subscriptionId").and_then(Json::as_str);
                let at = client.held.iter().position(|held| Some(&*held.id) == id);
                let at = at.unwrap_or_else(|| panic!("seed {}: {message}", self.seed));
                self.seen.tokens += u64::from(message.get("token").is_some());
                if !client.held[at].pushed(message) {
                    client.held.remove(at);
                }
            }
            "system" => {
                let id = message.get("subscriptionId").and_then(Json::as_str);
                client.held.retain(|held| Some(&*held.id) != id);
            }
            _ => {}
        }
    }

    /// Sends a request and returns its answer; what is pushed meanwhile is taken.
    fn ask(&mut self, conn: ConnId, body: &str) -> Json {
        self.look();
        self.next_id += 1;
        let id = self.next_id;
        self.rig.send(conn, &format!(r#"{{"id":{id},"type":{body}}}"#));
        let messages = self.rig.received(conn);
        let is_it = |it: &Json| it.get("id").and_then(Json::as_number) == Some(id as f64);
        let at = messages.iter().position(is_it);
        let at = at.unwrap_or_else(|| panic!("seed {}: no answer to {body}", self.seed));
        for message in messages[..at].iter().chain(&messages[at + 1..]) {
            self.take(conn, message);
        }
        messages[at].clone()
    }

    /// A client subscribes with what it has of it. What came of that is right.
    fn subscribe(&mut self, at: usize, mut held: Held) {
        let Some(conn) = self.clients[at].conn else { return };
        let before = held.state.clone();
        let asks = held.position.as_ref().is_some_and(|position| position.asks_for_keys);
        let answer = self.ask(conn, &format!("{},{}", held.request, held.resume()));
        if answer.get("type").and_then(Json::as_str) == Some("error") {
            return;
        }
        let data = answer.get("data").expect("data");
        if let (State::List { keys, .. }, true) = (&before, asks) {
            let removed = data.get("removed").and_then(Json::as_array).unwrap_or_default();
            let told = removed.iter().find(|key| !keys.contains(&key.to_text()));
            assert_eq!(told, None, "seed {}: a key that was never shown", self.seed);
        }
        let reason = data.get("reason").and_then(Json::as_str);
        if let Some(reason) = reason {
            *self.seen.reasons.entry(reason.into()).or_default() += 1;
        }
        let resumed = held.answered(&answer);
        self.seen.resumed += u64::from(resumed);
        self.seen.told += u64::from(resumed && before != held.state);
        let user = self.clients[at].user;
        self.check_fresh(user, &held, &format!("after {} {answer}", held.resume()));
        let duplicate = held.clone();
        self.clients[at].held.push(held);
        // Somewhere on the way it may be what somebody comes back with.
        if self.below(3) == 0 {
            self.clients[at].kept.push(duplicate);
        }
    }

    /// What a client has is what somebody new with the same rights is answered.
    fn check_fresh(&mut self, user: &'static str, held: &Held, when: &str) {
        let conn = login(&mut self.rig, user, false);
        let answer = self.ask(conn, &held.request);
        let mut fresh = Held::new(&held.request);
        assert_eq!(answer.get("type").and_then(Json::as_str), Some("result"), "{answer}");
        fresh.answered(&answer);
        assert_eq!(
            held.state.comparable(),
            fresh.state.comparable(),
            "seed {}, {user}, {}, {when}",
            self.seed,
            held.request
        );
        self.rig.engine.closed(conn, self.rig.now);
        self.rig.drain();
    }

    fn connect(&mut self, at: usize) {
        let user = self.clients[at].user;
        let conn = login(&mut self.rig, user, true);
        let client = &mut self.clients[at];
        client.conn = Some(conn);
        client.stalled = false;
        let mut back = std::mem::take(&mut client.held);
        if self.below(3) == 0 && !self.clients[at].kept.is_empty() {
            let old = self.below(self.clients[at].kept.len());
            back.push(self.clients[at].kept.swap_remove(old));
        }
        for held in back {
            self.subscribe(at, held);
        }
    }

    fn leave(&mut self, at: usize) {
        let client = &mut self.clients[at];
        if let Some(conn) = client.conn.take() {
            self.rig.engine.closed(conn, self.rig.now);
            self.rig.drain();
        }
        client.kept.extend(client.held.iter().cloned());
        let more = client.kept.len().saturating_sub(12);
        client.kept.drain(..more);
    }

    fn store(&mut self) {
        self.rig.engine.turn_ended(self.rig.now);
        let unit = self.queue.take(u64::MAX);
        self.journal.write(&unit, self.rig.now.mono).expect("written");
        if self.journal.sync_due().is_some_and(|due| due <= self.rig.now.mono) {
            self.journal.sync().expect("synced");
        }
        self.rig.engine.note_durable(self.journal.acknowledged());
    }

    fn restart(&mut self) {
        self.seen.restarts += 1;
        if self.below(2) == 0 {
            self.disk.kill();
        } else {
            self.disk.cut_power(self.dice.next_u64());
        }
        for at in 0..self.clients.len() {
            self.leave(at);
        }
        let mut options = self.options.clone();
        options.seed[1] = (self.seen.restarts % 250) as u8;
        let mut now = self.rig.now;
        now.mono += 1;
        let (rig, journal, queue) = start(&self.disk, self.policy, &options, now);
        (self.rig, self.journal, self.queue) = (rig, journal, queue);
        self.writer = login(&mut self.rig, "mod", false);
        // What was lost is defined again.
        for request in SETUP {
            self.write(request);
        }
    }

    fn step(&mut self) {
        let at = self.below(self.clients.len());
        let (conn, stalled) = (self.clients[at].conn, self.clients[at].stalled);
        match (self.below(34), conn) {
            (0..=14, _) => self.random_write(),
            (15..=17, None) => self.connect(at),
            (15..=17, Some(_)) if !stalled && self.clients[at].held.len() < 6 => {
                let shape = self.pick(&SHAPES);
                self.subscribe(at, Held::new(shape));
            }
            (20, Some(_)) if self.below(2) == 0 => self.leave(at),
            (18 | 19, Some(conn)) => {
                self.clients[at].stalled = !stalled;
                self.rig.stall(conn, !stalled);
            }
            (20, Some(conn)) if !stalled => {
                let user = self.pick(&USERS);
                self.clients[at].user = user;
                self.ask(conn, &format!(r#""auth.login","token":"{user}""#));
            }
            // It reads some of what there is for it, and is gone.
            (21, Some(conn)) if stalled => {
                for _ in 0..7 {
                    self.random_write();
                    self.rig.advance(300);
                    self.look();
                }
                let some = self.below(40);
                self.rig.take_output(conn, some);
                self.look();
                self.leave(at);
            }
            (21..=24, _) => self.store(),
            (25, _) if self.below(4) == 0 => self.restart(),
            (27, Some(_)) if !stalled => self.blink(at),
            (28..=33, Some(conn)) => {
                let held = &self.clients[at].held;
                let windows = held.iter().filter(|held| held.request.contains("window"));
                for id in windows.map(|held| held.id.clone()).collect::<Vec<_>>() {
                    self.move_window(at, conn, &id);
                }
            }
            (26, Some(conn)) if !stalled => {
                let resync: Vec<String> =
                    self.clients[at].held.iter().map(|held| held.id.clone()).collect();
                for id in resync {
                    self.resync(at, conn, &id);
                }
            }
            _ => self.rig.advance(300),
        }
        self.look();
    }

    /// Everything owed is paid, and everything is compared.
    fn rest(&mut self) {
        for at in 0..self.clients.len() {
            if let Some(conn) = self.clients[at].conn {
                self.clients[at].stalled = false;
                self.rig.stall(conn, false);
            }
        }
        for _ in 0..20 {
            self.rig.advance(300);
            self.look();
        }
        for at in 0..self.clients.len() {
            let Client { user, conn: Some(_), held, .. } = &self.clients[at] else { continue };
            let user = *user;
            for held in held.clone() {
                self.check_fresh(user, &held, "at rest");
            }
        }
    }
}

fn login(rig: &mut Rig, user: &str, opts_in: bool) -> ConnId {
    let conn = rig.connect();
    let login = format!(r#"{{"id":1,"type":"auth.login","token":"{user}"}}"#);
    rig.send(conn, &login);
    if opts_in {
        rig.send(conn, r#"{"id":2,"type":"session.open","commits":true}"#);
    }
    conn
}

/// In two halves, which two processors do at the same time.
#[test]
fn at_rest_every_subscription_equals_a_fresh_one() {
    lives(0..cases(SEEDS / 2));
}

#[test]
fn at_rest_every_subscription_equals_a_fresh_one_once_more() {
    lives(SEEDS / 2..SEEDS / 2 + cases(SEEDS / 2));
}

fn lives(seeds: std::ops::Range<u64>) {
    let mut all = Seen::default();
    for seed in seeds {
        let mut world = World::new(seed);
        for _ in 0..STEPS {
            world.step();
        }
        world.rest();
        // Everybody comes back once more, with whatever was kept.
        for at in 0..world.clients.len() {
            world.leave(at);
        }
        for _ in 0..8 {
            world.random_write();
        }
        for at in 0..world.clients.len() {
            world.connect(at);
            for held in std::mem::take(&mut world.clients[at].kept) {
                world.subscribe(at, held);
            }
        }
        world.rest();
        let Seen { resumed, told, reasons, tokens, bookmarks, restarts, moves, resets } =
            world.seen;
        all.moves += moves;
        all.resets += resets;
        all.resumed += resumed;
        all.told += told;
        all.tokens += tokens;
        all.bookmarks += bookmarks;
        all.restarts += restarts;
        for (reason, count) in reasons {
            *all.reasons.entry(reason).or_default() += count;
        }
    }
    let Seen { resumed, told, reasons, tokens, bookmarks, restarts, moves, resets } = &all;
    let text = format!(
        "{resumed} resumed, {told} told, {reasons:?}, {tokens} tokens, {bookmarks} bookmarks, {restarts} restarts, {moves} moves ({resets} resets)"
    );
    println!("{text}");
    let enough = *resumed > 300 && *told > 40 && *tokens > 8 && *bookmarks > 500 && *restarts > 50;
    let enough = enough && *moves > 30 && *resets > 0;
    let all_reasons = ["ahead", "definition", "whole", "evicted", "cleared"];
    let all_met = all_reasons.iter().all(|reason| reasons.contains_key(*reason));
    assert!((enough && all_met) || !are_all(), "{text}");
}
