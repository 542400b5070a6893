//! Users side by side under random writes, logins, sets and definitions, by
//! seed: whatever is sent to somebody holds nothing that he does not see then,
//! and what he keeps live is what he sees.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::app::App;
use crate::ids::IdSource;
use crate::json::parse;

const SEEDS: u8 = 12;
const STEPS: usize = 60;
const USERS: [&str; 3] = ["ann", "bob", "mod"];
const ROOMS: [&str; 3] = ["r0", "r1", "hall"];

/// Whose a record is or which of his rooms it is in, or whose it is only.
const READS: [&str; 2] = [
    r#"{"$or":[{"owner":"{{ session.userId }}"},{"room":{"$in":"{{ sets.rooms }}"}}]}"#,
    r#"{"owner":"{{ session.userId }}"}"#,
];

struct Peer {
    conn: ConnId,
    user: &'static str,
    /// What a subscription in full mode was told last.
    full: (String, BTreeSet<String>),
}

struct World {
    rig: Rig,
    dice: IdSource,
    /// Sees everything, and subscribes to nothing.
    all: ConnId,
    peers: Vec<Peer>,
    reads: usize,
    writes: usize,
    /// Who wrote what since the last look.
    asked: Vec<(ConnId, String)>,
}

/// Every value of a field `text`, which no two writes share.
fn secrets(text: &str) -> BTreeSet<String> {
    let parts = text.split("secret-").skip(1);
    parts.map(|part| part.chars().take_while(char::is_ascii_digit).collect()).collect()
}

fn rows_of(read: usize) -> String {
    format!(
        r#"{{"set":{{"owner":"{{{{ session.userId }}}}"}},"read":{},"insert":true,
        "bypass":["moderator"]}}"#,
        READS[read]
    )
}

impl World {
    fn new(seed: u8) -> World {
        // Of some, whoever's rights have changed follows in later turns, one at a time.
        let view_steps = if seed.is_multiple_of(2) { 2_000_000 } else { 1 };
        let options =
            EngineOptions { heartbeat_interval_ms: 0, view_steps, ..EngineOptions::default() };
        let mut rig = external_with(AUTH, options);
        let all = login(&mut rig, "mod");
        let members = r#"{"key":"id","schema":{"id":{"type":"string"},"user":{"type":"string"},
            "room":{"type":"string"}},"rows":{"insert":false,"bypass":["moderator"]}}"#;
        define(&mut rig, all, "members", members);
        let set = r#""type":"access.defineSet","name":"rooms","bucket":"members","filter":{"user":"{{ session.userId }}"},"field":"room""#;
        assert!(ask(&mut rig, all, set).contains("defined"));
        let bucket = format!(
            r#"{{"key":"id","schema":{{"id":{{"type":"string"}},"owner":{{"type":"string"}},
            "room":{{"type":"string"}},"text":{{"type":"string"}}}},"indexes":["room"],"rows":{}}}"#,
            rows_of(0)
        );
        define(&mut rig, all, "b", &bucket);
        let mut world = World {
            rig,
            dice: IdSource::new([seed; 32]),
            all,
            peers: Vec::new(),
            reads: 0,
            writes: 0,
            asked: Vec::new(),
        };
        for user in ["ann", "bob", "ann", "mod"] {
            let peer = world.peer(user);
            world.peers.push(peer);
        }
        world
    }

    /// Somebody who connects and keeps live what he sees.
    fn peer(&mut self, user: &'static str) -> Peer {
        let conn = login(&mut self.rig, user);
        let live = r#""type":"store.live","bucket":"b""#;
        let answer = ask(&mut self.rig, conn, live);
        let told = secrets(&answer);
        let answer = parse(&answer, 8).expect("JSON").to_json();
        let id = answer.get("subscriptionId").and_then(Json::as_str).expect("an id");
        let delta = ask(&mut self.rig, conn, &format!(r#"{live},"mode":"delta""#));
        assert!(delta.contains("subscriptionId"), "{delta}");
        assert_eq!(secrets(&delta), told, "both modes begin with the same");
        Peer { conn, user, full: (id.into(), told) }
    }

    fn below(&mut self, n: usize) -> usize {
        (self.dice.next_u64() % n as u64) as usize
    }

    fn send(&mut self, conn: ConnId, request: &str) {
        let text = format!(r#"{{"id":1,{request}}}"#);
        self.rig.send(conn, &text);
    }

    fn step(&mut self) {
        let at = self.below(self.peers.len());
        let (conn, id) = (self.peers[at].conn, self.below(8));
        let room = ROOMS[self.below(3)];
        self.writes += 1;
        self.asked.push((conn, self.writes.to_string()));
        let data = format!(r#""room":"{room}","text":"secret-{}""#, self.writes);
        match self.below(14) {
            0..=2 => self.send(
                conn,
                &format!(r#""type":"store.upsert","bucket":"b","data":{{"id":"k{id}",{data}}}"#),
            ),
            3..=5 => self.send(
                conn,
                &format!(r#""type":"store.update","bucket":"b","key":"k{id}","data":{{{data}}}"#),
            ),
            6 => self.send(conn, &format!(r#""type":"store.delete","bucket":"b","key":"k{id}""#)),
            7 => self.send(
                conn,
                &format!(
                    r#""type":"store.transaction","operations":[
                    {{"op":"updateMany","bucket":"b","filter":{{"room":"{room}"}},"data":{{{data}}}}},
                    {{"op":"delete","bucket":"b","key":"k{id}","expect":{{"room":"r0"}}}},
                    {{"op":"where","bucket":"b","filter":{{}}}}]"#
                ),
            ),
            8 => {
                let user = USERS[self.below(2)];
                let insert = format!(
                    r#""type":"store.insert","bucket":"members","data":{{"id":"{user}{room}","user":"{user}","room":"{room}"}}"#
                );
                self.send(self.all, &insert);
            }
            9 => {
                let user = USERS[self.below(2)];
                let delete = format!(
                    r#""type":"store.delete","bucket":"members","key":"{user}{room}""#
                );
                self.send(self.all, &delete);
            }
            // He leaves, and something is said there.
            10 => {
                let user = USERS[self.below(2)];
                let both = format!(
                    r#""type":"store.transaction","operations":[
                    {{"op":"delete","bucket":"members","key":"{user}{room}"}},
                    {{"op":"upsert","bucket":"b","data":{{"id":"k{id}",{data}}}}}]"#
                );
                self.send(self.all, &both);
            }
            11 => {
                let user = USERS[self.below(3)];
                self.peers[at].user = user;
                self.send(conn, &format!(r#""type":"auth.login","token":"{user}""#));
            }
            12 => {
                self.rig.engine.closed(conn, self.rig.now);
                let user = USERS[self.below(3)];
                self.peers[at] = self.peer(user);
            }
            _ => {
                self.reads = self.below(2);
                let update = format!(
                    r#""type":"store.updateBucket","name":"b","updates":{{"rows":{}}}"#,
                    rows_of(self.reads)
                );
                self.send(self.all, &update);
            }
        }
    }

    /// Who sees which texts, from the records alone.
    fn visible(&mut self) -> BTreeMap<&'static str, BTreeSet<String>> {
        let mut records = |bucket: &str| {
            let request = format!(r#""type":"store.all","bucket":"{bucket}""#);
            let answer = ask(&mut self.rig, self.all, &request);
            let rows = parse(&answer, 8).expect("JSON").to_json();
            rows.as_array().expect("records").to_vec()
        };
        let (rows, members) = (records("b"), records("members"));
        let field = |row: &Json, name: &str| {
            row.get(name).and_then(Json::as_str).unwrap_or_default().to_owned()
        };
        let sees = |user: &str, row: &Json| {
            let room = field(row, "room");
            let is_member = members
                .iter()
                .any(|member| field(member, "user") == user && field(member, "room") == room);
            user == "mod" || field(row, "owner") == user || (self.reads == 0 && is_member)
        };
        let of = |user: &'static str| {
            let rows = rows.iter().filter(|row| sees(user, row));
            (user, rows.flat_map(|row| secrets(&field(row, "text"))).collect())
        };
        USERS.into_iter().map(of).collect()
    }

    /// `seen`: what somebody saw since the last time, by his place.
    fn check(&mut self, told: &str, seen: &[BTreeSet<String>]) {
        // Everything that is owed is sent before the model looks.
        self.rig.advance(5_000);
        let received: Vec<Vec<Json>> =
            self.peers.iter().map(|peer| self.rig.received(peer.conn)).collect();
        let visible = self.visible();
        let asked = std::mem::take(&mut self.asked);
        for (at, (peer, messages)) in self.peers.iter_mut().zip(received).enumerate() {
            let sees = &visible[peer.user];
            for message in messages {
                let text = message.to_text();
                let mut leaked: Vec<_> = secrets(&text).difference(&seen[at]).cloned().collect();
                // A transaction that failed tells whoever asked for it what it
                // had written itself.
                if message.get("type").and_then(Json::as_str) == Some("error") {
                    leaked.retain(|secret| !asked.contains(&(peer.conn, secret.clone())));
                }
                assert!(leaked.is_empty(), "{told}: {} was told {leaked:?}: {text}", peer.user);
                if message.get("subscriptionId").and_then(Json::as_str) == Some(&*peer.full.0) {
                    peer.full.1 = secrets(&text);
                }
            }
            assert_eq!(&peer.full.1, sees, "{told}: what {} keeps", peer.user);
        }
        for at in 0..self.peers.len() {
            let (conn, user) = (self.peers[at].conn, self.peers[at].user);
            let answer = ask(&mut self.rig, conn, r#""type":"store.all","bucket":"b""#);
            assert_eq!(secrets(&answer), visible[user], "{told}: what {user} reads");
        }
        self.rig.engine.check_invariants();
    }
}

#[test]
fn nothing_hidden_leaves_whatever_happens() {
    for seed in 0..SEEDS {
        let mut world = World::new(seed);
        for step in 0..STEPS {
            // Several between two looks, of which the model takes every state.
            let steps = if seed % 4 < 2 { 1 } else { 1 + world.below(3) };
            let mut seen = vec![BTreeSet::new(); world.peers.len()];
            for _ in 0..steps {
                world.step();
                let visible = world.visible();
                for (seen, peer) in seen.iter_mut().zip(&world.peers) {
                    seen.extend(visible[peer.user].iter().cloned());
                }
            }
            world.check(&format!("seed {seed}, step {step}"), &seen);
        }
    }
}
