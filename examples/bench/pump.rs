//! Requests in a closed loop: every connection keeps a fixed number of them in
//! flight and sends the next one when an answer has come. Checks every answer,
//! and that they come in order.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::net::{Handler, Net};
use crate::stats::Histogram;

/// No answer for this long means that one is lost.
const SILENCE: Duration = Duration::from_secs(10);

/// Appends request `number`, framed, to the output.
pub type Encode<'a> = &'a mut dyn FnMut(u64, &mut Vec<u8>);
/// Checks the answer to request `number`.
pub type Check<'a> = &'a mut dyn FnMut(u64, &[u8]) -> Result<(), String>;

pub struct Pump<'a> {
    conns: Vec<usize>,
    depth: usize,
    encode: Encode<'a>,
    check: Check<'a>,
    /// By connection: the requests in flight, oldest first.
    flights: Vec<VecDeque<(u64, Instant)>>,
    next: u64,
    limit: u64,
    now: Instant,
    pub answered: u64,
    pub latency: Histogram,
}

impl<'a> Pump<'a> {
    /// Over these connections, `depth` requests in flight on each, at most
    /// `limit` in all.
    pub fn new(
        conns: Vec<usize>,
        depth: usize,
        limit: u64,
        encode: Encode<'a>,
        check: Check<'a>,
    ) -> Pump<'a> {
        let highest = conns.iter().max().map_or(0, |highest| highest + 1);
        Pump {
            conns,
            depth,
            encode,
            check,
            flights: vec![VecDeque::new(); highest],
            next: 0,
            limit,
            now: Instant::now(),
            answered: 0,
            latency: Histogram::new(),
        }
    }

    /// Sends the first requests of every connection.
    pub fn start(&mut self, net: &mut Net) -> Result<(), String> {
        for place in 0..self.conns.len() {
            let conn = self.conns[place];
            self.now = Instant::now();
            while self.flights[conn].len() < self.depth && self.next < self.limit {
                self.send(conn, net.out(conn));
            }
            net.flush(conn)?;
        }
        Ok(())
    }

    /// Goes on until the time is over or all requests are sent.
    pub fn run(&mut self, net: &mut Net, time: Duration) -> Result<(), String> {
        let deadline = Instant::now() + time;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || self.next >= self.limit {
                return Ok(());
            }
            net.turn(left, self)?;
        }
    }

    /// Sends the rest up to the limit and waits for all answers.
    pub fn drain(&mut self, net: &mut Net, time: Duration) -> Result<(), String> {
        let deadline = Instant::now() + time;
        let (mut seen, mut silent_since) = (self.answered, Instant::now());
        while self.answered < self.next {
            if seen != self.answered {
                (seen, silent_since) = (self.answered, Instant::now());
            }
            if silent_since.elapsed() > SILENCE || Instant::now() > deadline {
                return Err(format!("{} responses are lost", self.next - self.answered));
            }
            net.turn(Duration::from_millis(100), self)?;
        }
        Ok(())
    }

    /// Sends nothing new and waits for what is in flight.
    pub fn finish(&mut self, net: &mut Net) -> Result<(), String> {
        self.limit = self.next;
        self.drain(net, 2 * SILENCE)
    }

    fn send(&mut self, conn: usize, out: &mut Vec<u8>) {
        (self.encode)(self.next, out);
        self.flights[conn].push_back((self.next, self.now));
        self.next += 1;
    }
}

impl Handler for Pump<'_> {
    fn begin(&mut self, _conn: usize) {
        self.now = Instant::now();
    }

    fn message(&mut self, conn: usize, message: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
        let Some((number, sent)) = self.flights.get_mut(conn).and_then(VecDeque::pop_front) else {
            return Err(format!("unexpected: {}", crate::wire::excerpt(message)));
        };
        (self.check)(number, message)?;
        self.answered += 1;
        self.latency.add(self.now - sent);
        if self.next < self.limit {
            self.send(conn, out);
        }
        Ok(())
    }
}
