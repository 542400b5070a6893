//! Random moves between random commits, by clients of different rights that stall,
//! ask for everything, go and come back.

use super::super::client::{Held, State};
use super::super::{call, number_at};
use super::{shift, text, window};
use crate::app::{App as _, ConnId};
use crate::engine::EngineOptions;
use crate::engine::tests::Rig;
use crate::engine::tests::durability::dice;
use crate::engine::tests::rows::set_external;
use crate::ids::IdSource;
use crate::json::Json;

struct World {
    rig: Rig,
    dice: IdSource,
    writer: ConnId,
    clients: Vec<Client>,
    next_id: u64,
    moves: u64,
    resets: u64,
    resumed: u64,
}

struct Client {
    user: &'static str,
    conn: ConnId,
    held: Vec<Held>,
    stalled: bool,
}

const SHAPES: [&str; 6] = [
    r#""store.live","bucket":"a","sort":{"n":"asc"}"#,
    r#""store.live","bucket":"a","sort":{"n":"desc"},"fields":["n"]"#,
    r#""store.live","bucket":"a","positions":true"#,
    r#""store.live","bucket":"a","sort":{"n":"asc"},"offset":2,"limit":7"#,
    r#""store.live","bucket":"a","sort":{"free":"asc"},"coalesce":true"#,
    r#""store.live","bucket":"a","sort":{"t":"asc","n":"asc"},"filter":{"n":{"$gte":2}}"#,
];

/// Everybody sees what is his, the moderator all.
const RULED: &str = r#""store.defineBucket","name":"a","config":{"key":"id","schema":{"id":{"type":"string"},"n":{"type":"number"},"t":{"type":"string"}},"rows":{"read":{"$or":[{"own":"{{ session.userId }}"},{"own":null}]},"insert":true,"bypass":["moderator"]}}"#;
const AUTH: &str = r#"{"required":false,"tokens":{"ann":{"userId":"ann","roles":["admin"]},"mod":{"userId":"mod","roles":["admin","moderator"]}}}"#;

impl World {
    fn new(seed: u64) -> World {
        let mut options = EngineOptions {
            heartbeat_interval_ms: 0,
            first_push_delay_ms: [0, 10][(seed % 2) as usize],
            max_buffered_bytes: 3_000,
            ..EngineOptions::default()
        };
        options.seed[0] = (seed % 251) as u8;
        let mut rig = Rig::new(options);
        set_external(&mut rig.engine, AUTH);
        let mut world = World {
            dice: dice(seed),
            writer: rig.connect(),
            clients: Vec::new(),
            next_id: 10,
            moves: 0,
            resets: 0,
            resumed: 0,
            rig,
        };
        let writer = world.writer;
        call(&mut world.rig, writer, r#""auth.login","token":"mod""#);
        call(&mut world.rig, writer, RULED);
        for user in ["ann", "mod", "ann"] {
            let conn = world.login(user);
            world.clients.push(Client { user, conn, held: Vec::new(), stalled: false });
        }
        world
    }

    fn login(&mut self, user: &str) -> ConnId {
        let conn = self.rig.connect();
        self.rig.send(conn, &format!(r#"{{"id":1,"type":"auth.login","token":"{user}"}}"#));
        conn
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.dice.next_u64() % bound as u64) as usize
    }

    /// One commit of some writes.
    fn write(&mut self) {
        let body = match self.below(24) {
            0 => r#""store.clear","bucket":"a""#.into(),
            1 => r#""store.updateBucket","name":"a","updates":{"addIndexes":["n"]}"#.into(),
            _ => {
                let mut operations = Vec::new();
                for key in 0..14 {
                    if self.below(4) > 0 {
                        continue;
                    }
                    let (n, own) = (self.below(8), self.below(3));
                    let free = ["1", "2", "\"x\"", "null", "true"][self.below(5)];
                    let own = ["\"ann\"", "\"mod\"", "null"][own];
                    operations.push(match self.below(3) {
                        0 => format!(r#"{{"op":"deleteMany","bucket":"a","filter":{{"id":"k{key}"}}}}"#),
                        _ => format!(
                            r#"{{"op":"upsert","bucket":"a","data":{{"id":"k{key}","n":{n},"t":"t{}","free":{free},"own":{own}}}}}"#,
                            n % 3
                        ),
                    });
                }
                format!(r#""store.transaction","operations":[{}]"#, operations.join(","))
            }
        };
        self.rig.send(self.writer, &format!(r#"{{"id":1,"type":{body}}}"#));
        self.rig.received(self.writer);
    }

    /// Everybody takes what was sent, in its order.
    fn look(&mut self) {
        for at in 0..self.clients.len() {
            for message in self.rig.received(self.clients[at].conn) {
                self.take(at, &message);
            }
        }
    }

    fn take(&mut self, at: usize, message: &Json) {
        let client = &mut self.clients[at];
        let hides = client.user == "ann" && message.to_text().contains(r#""own":"mod""#);
        assert!(!hides, "a row that ann may not see: {message}");
        if message.get("type").and_then(Json::as_str) != Some("push") {
            return;
        }
        let id = message.get("subscriptionId").and_then(Json::as_str);
        let held = client.held.iter_mut().find(|held| Some(&*held.id) == id);
        let before = held.as_ref().map(|held| held.state.clone());
        let held = held.unwrap_or_else(|| panic!("{message}"));
        assert!(held.pushed(message), "{message}");
        let is_delta = message.get("data").is_some_and(|data| data.get("reset").is_none());
        assert!(!is_delta || before.as_ref() != Some(&held.state), "nothing changed: {message}");
    }

    /// Sends a request, and takes what comes until its answer.
    fn ask(&mut self, at: usize, body: &str, answered: impl Fn(&mut Held, &Json)) {
        self.next_id += 1;
        let (number, conn) = (self.next_id as f64, self.clients[at].conn);
        self.rig.send(conn, &format!(r#"{{"id":{number},"type":{body}}}"#));
        self.clients[at].stalled = false;
        self.rig.stall(conn, false);
        for message in self.rig.received(conn) {
            if message.get("id").and_then(Json::as_number) != Some(number) {
                self.take(at, &message);
                continue;
            }
            assert_eq!(message.get("type").and_then(Json::as_str), Some("result"), "{message}");
            let id = text(at_of(&message, "subscriptionId"));
            self.resets += u64::from(at_of(&message, "reset").is_some());
            self.resumed += u64::from(at_of(&message, "resumed") == Some(&Json::Bool(true)));
            let client = &mut self.clients[at];
            let held = client.held.iter_mut().find(|held| format!("\"{}\"", held.id) == id);
            let held = match held {
                Some(held) => held,
                None => client.held.last_mut().expect("the one that subscribes"),
            };
            answered(held, &message);
            self.take(at, &message);
            self.check(at, &message);
        }
    }

    /// What the client has after an answer is what somebody new is answered.
    fn check(&mut self, at: usize, message: &Json) {
        let id = text(at_of(message, "subscriptionId"));
        let client = &self.clients[at];
        let held = client.held.iter().find(|held| format!("\"{}\"", held.id) == id).cloned();
        let total = number_at(message, "data.total");
        self.compare(at, &held.expect("held"), Some(total));
    }

    fn compare(&mut self, at: usize, held: &Held, total: Option<f64>) {
        let conn = self.login(self.clients[at].user);
        self.rig.received(conn);
        let answer = call(&mut self.rig, conn, &held.request);
        let mut fresh = Held::new(&held.request);
        fresh.answered(&answer);
        assert_eq!(held.state, fresh.state, "{}", held.request);
        let now = number_at(&answer, "data.total");
        assert!(total.is_none_or(|total| total == now), "{now}: {}", held.request);
        // And of the whole result it is this part.
        let (whole, rest) = held.request.split_once(",\"window\"").expect("a window");
        assert!(rest.contains('}'));
        let answer = call(&mut self.rig, conn, whole);
        let mut all = Held::new(whole);
        all.answered(&answer);
        let (State::List { keys, .. }, State::List { keys: all, .. }) = (&held.state, &all.state)
        else {
            panic!("lists");
        };
        assert_eq!(now, all.len() as f64);
        let span: Vec<f64> = rest
            .split(|c: char| !c.is_ascii_digit())
            .filter_map(|part| part.parse().ok())
            .collect();
        let shown: Vec<&String> =
            all.iter().skip(span[0] as usize).take(span[1] as usize).collect();
        assert_eq!(keys.iter().collect::<Vec<_>>(), shown, "{}", held.request);
        self.rig.engine.closed(conn, self.rig.now);
        self.rig.drain();
    }

    fn step(&mut self) {
        let at = self.below(self.clients.len());
        let (conn, stalled) = (self.clients[at].conn, self.clients[at].stalled);
        let count = self.clients[at].held.len();
        match self.below(20) {
            0..=6 => self.write(),
            7..=9 if count < 5 => {
                let shape = SHAPES[self.below(SHAPES.len())];
                let request = window(shape, self.below(9), self.below(6) + 1);
                self.clients[at].held.push(Held::new(&request));
                self.subscribe(at, &Held::new(&request));
            }
            10..=13 if count > 0 => {
                let which = self.below(count);
                let id = self.clients[at].held[which].id.clone();
                let body = shift(&id, self.below(14), self.below(6) + 1);
                self.moves += 1;
                self.ask(at, &body, |held, answer| held.moved(answer.get("data").expect("data")));
            }
            14 if count > 0 => {
                let which = self.below(count);
                let id = self.clients[at].held[which].id.clone();
                let body = format!(r#""store.resync","subscriptionId":"{id}""#);
                self.ask(at, &body, |held, answer| {
                    held.resynced(answer.get("data").expect("data"));
                });
            }
            15 | 16 => {
                self.clients[at].stalled = !stalled;
                self.rig.stall(conn, !stalled);
            }
            17 => {
                self.rig.engine.closed(conn, self.rig.now);
                self.rig.drain();
                if self.below(2) == 0 {
                    self.write();
                }
                self.clients[at].conn = self.login(self.clients[at].user);
                self.clients[at].stalled = false;
                for held in std::mem::take(&mut self.clients[at].held) {
                    self.clients[at].held.push(held.clone());
                    self.subscribe(at, &held);
                }
            }
            _ => self.rig.advance(30),
        }
        self.look();
    }

    /// The last of the client's, with what it has.
    fn subscribe(&mut self, at: usize, held: &Held) {
        if let Some(last) = self.clients[at].held.last_mut() {
            last.id = String::new();
        }
        let body = format!("{},{}", held.request, held.resume());
        self.ask(at, &body, |held, answer| {
            held.answered(answer);
        });
    }

    fn rest(&mut self) {
        for at in 0..self.clients.len() {
            self.clients[at].stalled = false;
            self.rig.stall(self.clients[at].conn, false);
        }
        self.rig.advance(3_000);
        self.look();
        for at in 0..self.clients.len() {
            for held in self.clients[at].held.clone() {
                self.compare(at, &held, None);
            }
        }
    }
}

fn at_of<'m>(message: &'m Json, member: &str) -> Option<&'m Json> {
    message.get("data")?.get(member)
}

#[test]
fn a_window_is_a_part_of_the_result_whatever_happens() {
    let (mut moves, mut resets, mut resumed) = (0, 0, 0);
    for seed in 0..70 {
        let mut world = World::new(seed);
        for _ in 0..70 {
            world.step();
        }
        world.rest();
        moves += world.moves;
        resets += world.resets;
        resumed += world.resumed;
    }
    println!("{moves} moves, {resets} resets, {resumed} resumed");
    assert!(moves > 500 && resets > 20 && resumed > 20, "{moves}, {resets}, {resumed}");
}
