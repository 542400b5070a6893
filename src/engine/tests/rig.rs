//! A transport without sockets: keeps what every connection was sent, and lets
//! a test decide how fast each of them reads.

use std::collections::{HashMap, VecDeque};

use super::super::*;
use crate::app::{App, Asked, Call, CallAnswer, Flow, Job, TransportView};

use crate::json::{Json, parse};

/// One connection of the rig: what is queued for it and has not been read.
#[derive(Default)]
struct Outbox {
    /// Bytes on the wire and what they are.
    queued: VecDeque<(usize, Frame)>,
    buffered: usize,
    /// The peer does not read.
    stalled: bool,
    /// The peer answers no pings.
    mute: bool,
    /// Pings that were read and not answered.
    unanswered: Vec<u64>,
}

enum Frame {
    Text(String),
    Ping(u64),
}

/// Drives an engine and keeps what every connection was sent.
pub(crate) struct Rig {
    pub engine: Engine,
    pub now: Now,
    outboxes: HashMap<ConnId, Outbox>,
    sent: Vec<(ConnId, Json)>,
    pub closed: Vec<(ConnId, u16, &'static str)>,
    pub stopped: bool,
    next_slot: u32,
    pub unread: Vec<ConnId>,
    /// When part of a message last arrived, of everybody.
    pub moved_at: Option<u64>,
    pub jobs: Vec<Job>,
    pub resumed: Vec<ConnId>,
    /// Of calls.
    pub answers: Vec<(ConnId, CallAnswer)>,
    pub streams: Vec<ConnId>,
    /// Bytes of the longest message so far.
    pub longest: usize,
}

/// Who has input that nobody read, and when part of a message last arrived.
pub(crate) struct View {
    unread: Vec<ConnId>,
    moved_at: Option<u64>,
}

impl TransportView for View {
    fn has_unread_input(&self, conn: ConnId) -> bool {
        self.unread.contains(&conn)
    }

    fn is_amid_transfer(&self, _conn: ConnId, since: u64) -> bool {
        self.moved_at.is_some_and(|at| at > since)
    }

    fn is_read_paused(&self, _conn: ConnId) -> bool {
        false
    }

    fn last_output_progress(&self, _conn: ConnId) -> u64 {
        0
    }
}

impl Rig {
    pub fn new(options: EngineOptions) -> Rig {
        Rig::with_store(options, Store::default())
    }

    pub fn with_store(options: EngineOptions, store: Store) -> Rig {
        let now = Now { mono: 1000, wall: 1_800_000_000_000 };
        Rig::with_engine(Engine::new(options, store, now), now)
    }

    pub fn with_engine(engine: Engine, now: Now) -> Rig {
        Rig {
            engine,
            now,
            outboxes: HashMap::new(),
            sent: Vec::new(),
            closed: Vec::new(),
            stopped: false,
            next_slot: 0,
            unread: Vec::new(),
            moved_at: None,
            jobs: Vec::new(),
            resumed: Vec::new(),
            answers: Vec::new(),
            streams: Vec::new(),
            longest: 0,
        }
    }

    /// Takes the effects. Sockets take everything at once, except those that
    /// are stalled.
    pub fn drain(&mut self) {
        let effects = std::mem::take(self.engine.effects());
        for effect in effects.list {
            match effect {
                Effect::Send { conn, head, body, tail, .. } => {
                    let mut text = effects.bytes[head].to_vec();
                    text.extend(body.iter().flat_map(|body| body.iter()));
                    text.extend_from_slice(&effects.bytes[tail]);
                    let text = String::from_utf8(text).expect("UTF-8");
                    let bytes = text.len()
                        + match text.len() {
                            0..=125 => 2,
                            126..=0xffff => 4,
                            _ => 10,
                        };
                    self.longest = self.longest.max(text.len());
                    let outbox = self.outboxes.entry(conn).or_default();
                    outbox.buffered += bytes;
                    outbox.queued.push_back((bytes, Frame::Text(text)));
                }
                Effect::Close { conn, code, reason } | Effect::Abandon { conn, code, reason } => {
                    self.closed.push((conn, code, reason));
                }
                Effect::Probe { conn, number, .. } => {
                    let outbox = self.outboxes.entry(conn).or_default();
                    outbox.buffered += crate::app::PROBE_FRAME_BYTES;
                    outbox.queued.push_back((crate::app::PROBE_FRAME_BYTES, Frame::Ping(number)));
                }
                Effect::Answer { conn, answer, .. } => self.answers.push((conn, *answer)),
                Effect::Stream { conn } => self.streams.push(conn),
                Effect::Stop => self.stopped = true,
                Effect::Resume { conn } => self.resumed.push(conn),
                Effect::StopAccepting => {}
                Effect::Job(job) => self.jobs.push(job),
            }
        }
        self.flush();
        self.engine.check_invariants();
    }

    /// What one turn of the loop would write.
    fn flush(&mut self) {
        let mut ids: Vec<ConnId> = self.outboxes.keys().copied().collect();
        ids.sort_unstable();
        for id in ids {
            self.take_output(id, usize::MAX);
        }
    }

    /// The peer reads up to `limit` messages.
    pub fn take_output(&mut self, id: ConnId, limit: usize) {
        let Some(outbox) = self.outboxes.get_mut(&id) else { return };
        if outbox.queued.is_empty() || (outbox.stalled && limit == usize::MAX) {
            return;
        }
        let count = limit.min(outbox.queued.len());
        for (bytes, frame) in outbox.queued.drain(..count) {
            outbox.buffered -= bytes;
            match frame {
                // Text of events.
                Frame::Text(text) if self.streams.contains(&id) => {
                    self.sent.push((id, Json::from(text)));
                }
                Frame::Text(text) => {
                    self.sent.push((id, parse(&text, 1100).expect("JSON").to_json()));
                }
                Frame::Ping(number) => outbox.unanswered.push(number),
            }
        }
        let answers = match outbox.mute {
            true => Vec::new(),
            false => std::mem::take(&mut outbox.unanswered),
        };
        self.engine.wrote(id, outbox.buffered, self.now);
        for number in answers {
            self.engine.probed(id, number, self.now);
        }
        if !self.engine.effects.is_empty() {
            self.drain();
        }
    }

    /// From now on the peer reads only when told to.
    pub fn stall(&mut self, id: ConnId, stalled: bool) {
        self.outboxes.entry(id).or_default().stalled = stalled;
        if !stalled {
            self.drain();
        }
    }

    /// From now on the peer answers pings, also those of before, or does not.
    pub fn mute(&mut self, id: ConnId, mute: bool) {
        let outbox = self.outboxes.entry(id).or_default();
        outbox.mute = mute;
        if !mute {
            for number in std::mem::take(&mut outbox.unanswered) {
                self.engine.probed(id, number, self.now);
            }
            self.drain();
        }
    }

    pub fn buffered(&self, id: ConnId) -> usize {
        self.outboxes.get(&id).map_or(0, |outbox| outbox.buffered)
    }

    pub fn connect(&mut self) -> ConnId {
        self.connect_from([127, 0, 0, 1])
    }

    pub fn connect_from(&mut self, address: [u8; 4]) -> ConnId {
        let id = ConnId { slot: self.next_slot, generation: 7 };
        self.next_slot += 1;
        let peer = Peer::of(address.into());
        self.engine.connected(id, &peer, self.now);
        self.drain();
        id
    }

    /// A call through the HTTP door, as far as it goes without a job.
    pub fn through_door(&mut self, what: Asked<'_>, authorization: Option<&str>) -> ConnId {
        let id = ConnId { slot: self.next_slot, generation: 8 };
        self.next_slot += 1;
        let peer = Peer::of([127, 0, 0, 1].into());
        let authorization = authorization.map(str::as_bytes);
        self.engine.called(id, Call { peer, authorization, what }, self.now);
        self.drain();
        self.go_on(id);
        id
    }

    /// The rest of a call.
    pub fn go_on(&mut self, id: ConnId) {
        let is_done =
            |rig: &Rig| rig.streams.contains(&id) || rig.answers.iter().any(|(to, _)| *to == id);
        while !is_done(self) {
            let flow = self.engine.go_on(id, self.now);
            self.drain();
            if flow == Flow::Wait {
                return;
            }
        }
    }

    pub fn view(&self) -> View {
        View { unread: self.unread.clone(), moved_at: self.moved_at }
    }

    /// Moves time forward, stopping at every deadline on the way.
    pub fn advance(&mut self, ms: u64) {
        let end = self.now.mono + ms;
        loop {
            let next = self.engine.next_deadline().unwrap_or(u64::MAX).clamp(self.now.mono, end);
            self.now.wall += next - self.now.mono;
            self.now.mono = next;
            let view = self.view();
            self.engine.timers(self.now, &view);
            self.drain();
            if next == end {
                return;
            }
            // A deadline may be early by less than a slot of the wheel.
            if self.engine.next_deadline().is_some_and(|at| at <= self.now.mono) {
                self.now.mono += 1;
                self.now.wall += 1;
            }
        }
    }

    /// Runs the jobs that were started, as the worker would.
    pub fn run_jobs(&mut self) {
        for job in std::mem::take(&mut self.jobs) {
            let output = (job.run)();
            self.engine.job_done(job.id, Ok(output), self.now);
        }
        self.drain();
    }

    pub fn send(&mut self, conn: ConnId, text: &str) {
        self.engine.message(conn, text, self.now);
        self.drain();
    }

    /// What `conn` was sent since the last call.
    pub fn received(&mut self, conn: ConnId) -> Vec<Json> {
        let (mine, others) = self.sent.drain(..).partition(|(to, _)| *to == conn);
        self.sent = others;
        mine.into_iter().map(|(_, json)| json).collect()
    }

    /// What every connection was sent since the last call.
    pub fn received_by_all(&mut self) -> HashMap<ConnId, Vec<Json>> {
        let mut all: HashMap<ConnId, Vec<Json>> = HashMap::new();
        for (conn, json) in self.sent.drain(..) {
            all.entry(conn).or_default().push(json);
        }
        all
    }

    /// Sends one request and returns the only message that came back.
    pub fn call(&mut self, conn: ConnId, text: &str) -> Json {
        self.received(conn);
        self.send(conn, text);
        let mut got = self.received(conn);
        assert_eq!(got.len(), 1, "{text}: {got:?}");
        got.remove(0)
    }

    pub fn is_closed(&self, conn: ConnId) -> Option<(u16, &'static str)> {
        self.closed.iter().find(|(id, ..)| *id == conn).map(|(_, code, reason)| (*code, *reason))
    }
}
