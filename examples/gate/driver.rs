//! The engine without sockets: requests in, and what it sends thrown away.

use noexd::app::{App, ConnId, Effect, NobodyWaits, Now, Peer};
use noexd::engine::{Engine, EngineOptions};
use noexd::store::Store;

pub struct Driver {
    pub engine: Engine,
    now: Now,
    next: u32,
    sent: usize,
    /// The last message that was sent without a shared body.
    pub last: Vec<u8>,
}

impl Driver {
    pub fn new(options: EngineOptions) -> Driver {
        let now = Now { mono: 1000, wall: 1_800_000_000_000 };
        let engine = Engine::new(options, Store::default(), now);
        Driver { engine, now, next: 0, sent: 0, last: Vec::new() }
    }

    pub fn connect(&mut self) -> ConnId {
        let conn = ConnId { slot: self.next, generation: 1 };
        self.next += 1;
        let peer = Peer::of([127, 0, 0, 1].into());
        self.engine.connected(conn, &peer, self.now);
        self.turn_ends();
        conn
    }

    /// One turn of the loop with one request in it.
    pub fn send(&mut self, conn: ConnId, request: &str) {
        self.engine.message(conn, request, self.now);
        self.turn_ends();
    }

    /// As [`Driver::send`]; an error ends the program.
    pub fn must(&mut self, conn: ConnId, request: &str) {
        self.send(conn, request);
        let answer = String::from_utf8_lossy(&self.last);
        assert!(!answer.contains(r#""type":"error""#), "{request:.200}: {answer:.300}");
    }

    fn turn_ends(&mut self) {
        self.engine.turn_ended(self.now);
        let mut answered = Vec::new();
        while !self.engine.effects().is_empty() {
            let effects = self.engine.effects();
            for effect in effects.list.drain(..) {
                match effect {
                    Effect::Send { conn, head, tail, body, .. } => {
                        if body.is_none() {
                            self.last.clear();
                            self.last.extend_from_slice(&effects.bytes[head.start..tail.end]);
                        }
                        self.sent += 1;
                        answered.push((conn, None));
                    }
                    Effect::Probe { conn, number, .. } => answered.push((conn, Some(number))),
                    _ => {}
                }
            }
            effects.clear();
            for (conn, probe) in answered.drain(..) {
                match probe {
                    Some(number) => self.engine.probed(conn, number, self.now),
                    None => self.engine.wrote(conn, 0, self.now),
                }
            }
        }
    }

    /// Time goes on.
    #[allow(dead_code)]
    pub fn pass(&mut self, ms: u64) {
        self.now.mono += ms;
        self.now.wall += ms;
        self.engine.timers(self.now, &NobodyWaits);
        self.turn_ends();
    }

    /// Messages so far.
    #[allow(dead_code)]
    pub fn sent(&self) -> usize {
        self.sent
    }
}
