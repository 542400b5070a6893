//! Numbered requests over a disk that fails, tears and loses what was not
//! synced: crashes between any two steps, clients that come back and repeat.
//!
//! After every crash each number has its receipt exactly if it has its effect, an
//! answer that was released is the one that is repeated, and in the end every
//! number that was not given up was executed once.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::app::{App as _, Effect, Now, Peer};
use crate::engine::Engine;
use crate::engine::client_sessions::Digest;
use crate::engine::tests::durability::{Queue, dice, recover};
use crate::ids::IdSource;
use crate::storage::{Disk, Faults, Journal, Policy};

const SEEDS: u64 = 150;
const LIVES: u64 = 4;
/// Unanswered requests of one client.
const UNANSWERED: usize = 5;

const BUCKET: &str = r#"{"id":1,"type":"store.defineBucket","name":"b","config":{"key":"id","schema":{"id":{"type":"number","generated":"autoincrement"},"who":{"type":"string"}}}}"#;

/// What lives are like.
#[derive(Clone, Copy)]
struct Shape {
    clients: usize,
    /// Of one life, at most.
    steps: u64,
    /// Of a turn, about.
    turn: u64,
    /// The first client acts so much more seldom than the others.
    rest: u64,
}

const SHORT: Shape = Shape { clients: 3, steps: 50, turn: 3, rest: 1 };
/// Long enough that receipts leave the windows of one client, and stand beside those
/// that are needed of another, so that they have to be copied.
const LONG: Shape = Shape { clients: 2, steps: 600, turn: 8, rest: 3 };
const LONG_SEEDS: u64 = 8;

/// A client that does what the contract asks of clients.
struct Client {
    name: String,
    /// The connection, and whether its session was opened there.
    conn: Option<(ConnId, bool)>,
    /// `session.open` was answered.
    is_known: bool,
    next: u64,
    unanswered: BTreeMap<u64, String>,
    /// Released answers, without the id of the message.
    answers: BTreeMap<u64, String>,
    /// Numbers whose effect was lost with its receipt.
    lost: BTreeSet<u64>,
    lives: u64,
}

impl Client {
    fn new(at: usize) -> Client {
        Client {
            name: format!("client{at}-0"),
            conn: None,
            is_known: false,
            next: 0,
            unanswered: BTreeMap::new(),
            answers: BTreeMap::new(),
            lost: BTreeSet::new(),
            lives: 0,
        }
    }

    /// After `NOT_FOUND`: another session; nothing of the old one is repeated.
    fn renew(&mut self) {
        self.lives += 1;
        let stem = self.name.split('-').next().unwrap_or_default().to_owned();
        self.name = format!("{stem}-{}", self.lives);
        (self.is_known, self.next) = (false, 0);
        self.unanswered.clear();
        self.answers.clear();
        self.lost.clear();
    }

    fn request(&mut self, ids: &mut IdSource) -> (u64, String) {
        self.next += 1;
        let (n, who) = (self.next, format!("{}/{}", self.name, self.next));
        let body = match ids.next_u64() % 5 {
            0 => format!(
                r#""type":"store.transaction","operations":[{{"op":"insert","bucket":"b","data":{{"who":"{who}"}}}},{{"op":"insert","bucket":"v","data":{{"id":{n}}}}},{{"op":"delete","bucket":"v","key":{n}}}]"#
            ),
            1 => format!(r#""type":"store.insertMany","bucket":"b","data":[{{"who":"{who}"}}]"#),
            _ => format!(r#""type":"store.insert","bucket":"b","data":{{"who":"{who}"}}"#),
        };
        let text = format!("{{\"id\":{n},{body},\"once\":{n}}}");
        self.unanswered.insert(n, text.clone());
        (n, text)
    }
}

/// One run of the server until it crashes.
pub(super) struct Life {
    pub engine: Engine,
    pub journal: Journal,
    pub queue: Queue,
    pub now: Now,
    slots: u32,
    /// Answers that wait for their commit.
    pub waiting: Vec<(u64, ConnId, Json)>,
}

impl Life {
    pub fn begin(disk: &Disk, policy: Policy, now: Now) -> Life {
        let queue = Queue::default();
        let (mut engine, journal, documents) = recover(disk, policy, &queue, now);
        engine.recovered(documents);
        let mut life = Life { engine, journal, queue, now, slots: 0, waiting: Vec::new() };
        let conn = life.connect();
        life.send(conn, BUCKET);
        life.send(
            conn,
            r#"{"id":1,"type":"store.defineBucket","name":"v","config":{"key":"id","persistent":false,"schema":{"id":{"type":"number"}}}}"#,
        );
        life.waiting.clear();
        life
    }

    pub fn connect(&mut self) -> ConnId {
        let conn = ConnId { slot: self.slots, generation: 1 };
        self.slots += 1;
        let peer = Peer::of([127, 0, 0, 1].into());
        self.engine.connected(conn, &peer, self.now);
        self.engine.effects().clear();
        conn
    }

    pub fn send(&mut self, conn: ConnId, text: &str) {
        let _ = self.engine.message(conn, text, self.now);
        self.engine.check_invariants();
        let effects = std::mem::take(self.engine.effects());
        for effect in effects.list {
            if let Effect::Send { conn, head, needs, .. } = effect {
                let text = std::str::from_utf8(&effects.bytes[head]).expect("text");
                let json = crate::json::parse(text, 100).expect("JSON").to_json();
                self.waiting.push((needs, conn, json));
            }
        }
    }

    /// The storage thread does some of its work; false when the disk failed.
    fn write(&mut self, ids: &mut IdSource) -> bool {
        let unit = self.queue.take(ids.next_u64() % 4);
        if self.journal.write(&unit, self.now.mono).is_err() {
            return false;
        }
        let is_due = self.journal.sync_due().is_some_and(|due| due <= self.now.mono);
        !is_due || self.journal.sync().is_ok()
    }

    /// What is durable leaves.
    fn release(&mut self, clients: &mut [Client], ids: &mut IdSource) {
        let acknowledged = self.journal.acknowledged();
        let (out, kept) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|(needs, ..)| *needs <= acknowledged);
        self.waiting = kept;
        let out: Vec<(u64, ConnId, Json)> = out;
        for (_, conn, answer) in out {
            let of = |client: &&mut Client| client.conn.is_some_and(|(have, _)| have == conn);
            let Some(client) = clients.iter_mut().find(of) else { continue };
            receive(client, conn, &answer);
            // Now and then an answer is lost with its connection.
            if ids.next_u64().is_multiple_of(12) {
                self.engine.closed(conn, self.now);
                client.conn = None;
            }
        }
    }
}

fn receive(client: &mut Client, conn: ConnId, answer: &Json) {
    let id = answer.get("id").and_then(Json::as_number).unwrap_or_default() as u64;
    let text = |name: &str| answer.get(name).and_then(Json::as_str).unwrap_or_default();
    if id == 1000 {
        match text("code") {
            "" => (client.conn, client.is_known) = (Some((conn, true)), true),
            "NOT_FOUND" => {
                client.renew();
                client.conn = None;
            }
            other => panic!("{other}: {}", answer.to_text()),
        }
        return;
    }
    assert_eq!(text("type"), "result", "{}", answer.to_text());
    client.unanswered.remove(&id);
    let plain = answer.to_text().replace(",\"repeated\":true", "");
    let first = client.answers.entry(id).or_insert_with(|| plain.clone());
    assert_eq!(*first, plain, "an answer is always the same");
}

/// How often each number was executed, and which have receipts. `loses`: what was
/// answered may be gone, with its receipt.
fn check(seed: u64, engine: &Engine, clients: &mut [Client], loses: bool) {
    let mut executed: BTreeMap<String, u64> = BTreeMap::new();
    for (_, row) in engine.store.bucket_named("b").into_iter().flat_map(|bucket| bucket.iter()) {
        let who = row.raw().get("who").and_then(|raw| raw.as_str()).expect("who").into_owned();
        *executed.entry(who).or_default() += 1;
    }
    assert!(executed.values().all(|times| *times == 1), "seed {seed}: {executed:?}");
    for client in clients.iter_mut() {
        let id = Digest::of(&id(&client.name)).expect("an id");
        let no = engine.client_sessions.find(&None, id);
        let session = no.and_then(|no| engine.client_sessions.get(no));
        let Some(numbers) = session.and_then(|session| session.numbers.as_deref()) else {
            continue;
        };
        let newest = numbers.newest();
        for n in newest.saturating_sub(63).max(1)..=client.next {
            let has_receipt = numbers.iter().any(|(have, _)| have == n);
            let has_effect = executed.contains_key(&format!("{}/{n}", client.name));
            assert_eq!(has_receipt, has_effect, "seed {seed}: {}/{n}", client.name);
        }
        let name = &client.name;
        let is_gone = |n: &u64| !executed.contains_key(&format!("{name}/{n}"));
        let gone: Vec<u64> = client.answers.keys().copied().filter(is_gone).collect();
        assert!(
            loses || gone.is_empty(),
            "seed {seed}: {name}/{gone:?} were answered and are gone"
        );
        for n in gone {
            client.answers.remove(&n);
            client.lost.insert(n);
        }
    }
}

fn step(life: &mut Life, clients: &mut [Client], ids: &mut IdSource, shape: Shape) {
    life.now.mono += ids.next_u64() % 90;
    life.now.wall = 1_800_000_000_000 + life.now.mono;
    let mut at = (ids.next_u64() % clients.len() as u64) as usize;
    if at == 0 && shape.rest > 1 && !ids.next_u64().is_multiple_of(shape.rest) {
        at = 1;
    }
    let client = &mut clients[at];
    match client.conn {
        None => {
            let conn = life.connect();
            client.conn = Some((conn, false));
            let open = format!(
                r#"{{"id":1000,"type":"session.open","session":"{}","once":true,"resume":{}}}"#,
                id(&client.name),
                client.is_known
            );
            life.send(conn, &open);
        }
        // Nothing before the session is open.
        Some((_, false)) => {}
        Some((conn, true)) => {
            let repeat = client.unanswered.values().next().cloned();
            let is_full = client.unanswered.len() >= UNANSWERED;
            let text = match repeat.filter(|_| is_full || ids.next_u64().is_multiple_of(3)) {
                Some(text) => text,
                None => client.request(ids).1,
            };
            life.send(conn, &text);
        }
    }
    if ids.next_u64().is_multiple_of(shape.turn) {
        life.engine.turn_ended(life.now);
    }
}

/// Nothing fails any more: every client gets all of its answers.
fn finish(life: &mut Life, clients: &mut [Client], ids: &mut IdSource, shape: Shape) {
    for _ in 0..10_000 {
        if clients.iter().all(|client| client.unanswered.is_empty() && client.next > 0) {
            return;
        }
        step(life, clients, ids, shape);
        life.engine.turn_ended(life.now);
        assert!(life.write(ids), "the disk works");
        life.release(clients, ids);
    }
    panic!("the clients did not get their answers");
}

/// What random lives came to.
#[derive(Default)]
struct Figures {
    repeated: u64,
    lost: usize,
    copied: usize,
}

impl Figures {
    fn take(&mut self, life: &Life) {
        self.repeated += life.engine.client_sessions.once.repeated;
        self.copied += life.engine.client_sessions.sheets.copied_soon();
    }
}

#[test]
fn after_every_crash_a_receipt_is_there_if_the_effect_is() {
    let mut figures = Figures::default();
    for seed in 0..SEEDS {
        live(seed, SHORT, &mut figures);
    }
    assert!(figures.repeated > 100, "{}: requests were repeated", figures.repeated);
    assert!(figures.lost > 20, "{}: answered, and lost with the power", figures.lost);
}

#[test]
fn what_is_copied_of_a_sheet_is_there_after_every_crash_too() {
    let mut figures = Figures::default();
    for seed in 1000..1000 + LONG_SEEDS {
        live(seed, LONG, &mut figures);
    }
    assert!(figures.copied > 20, "{}: sheets were copied", figures.copied);
}

fn live(seed: u64, shape: Shape, figures: &mut Figures) {
    let mut ids = dice(seed);
    let disk = Disk::new();
    let policy = if seed.is_multiple_of(2) { Policy::Always } else { Policy::Interval(200) };
    let mut clients: Vec<Client> = (0..shape.clients).map(Client::new).collect();
    let mut now = Now { mono: 1000, wall: 1_800_000_001_000 };
    let mut loses = false;
    for round in 0..LIVES {
        let mut life = Life::begin(&disk, policy, now);
        life.engine.client_sessions.sheets.copy_soon();
        clients.iter_mut().for_each(|client| client.conn = None);
        check(seed, &life.engine, &mut clients, loses);
        if ids.next_u64().is_multiple_of(3) {
            let at = Some(ids.next_u64() % 20 + 1);
            disk.set_faults(Faults { fail_write: at, ..Faults::default() });
        }
        for _ in 0..ids.next_u64() % shape.steps {
            step(&mut life, &mut clients, &mut ids, shape);
            if !life.write(&mut ids) {
                break;
            }
            life.release(&mut clients, &mut ids);
        }
        figures.take(&life);
        now = life.now;
        // With `interval` a loss of power loses what was answered, but never an
        // effect without its receipt or the other way round.
        let cuts_power = ids.next_u64().is_multiple_of(2);
        loses = cuts_power && policy != Policy::Always;
        match cuts_power {
            true => disk.cut_power(seed * 16 + round),
            false => disk.kill(),
        }
    }
    let mut life = Life::begin(&disk, policy, now);
    life.engine.client_sessions.sheets.copy_soon();
    clients.iter_mut().for_each(|client| client.conn = None);
    check(seed, &life.engine, &mut clients, loses);
    finish(&mut life, &mut clients, &mut ids, shape);
    figures.take(&life);
    check(seed, &life.engine, &mut clients, false);
    for client in &clients {
        figures.lost += client.lost.len();
        let who = |n: &u64| format!("{}/{n}", client.name);
        let bucket = life.engine.store.bucket_named("b").expect("the bucket");
        let all: Vec<String> = bucket
            .iter()
            .filter_map(|(_, row)| Some(row.raw().get("who")?.as_str()?.into_owned()))
            .collect();
        let is_there = |n: &u64| all.contains(&who(n)) != client.lost.contains(n);
        assert!((1..=client.next).all(|n| is_there(&n)), "seed {seed}");
    }
}
