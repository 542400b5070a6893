//! One writer and its subscribers: a bounded number of writes in flight, where
//! a write is done when its response and every push that it causes have come.
//! Checks that each subscriber is told of every write that concerns it, in
//! order and once.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::net::{Handler, Net};
use crate::pump::{Check, Encode};
use crate::stats::{Histogram, Moment, Span};
use crate::wire::excerpt;

/// Nothing for this long means that something is lost.
const SILENCE: Duration = Duration::from_secs(10);

/// Who is told of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Every one of this many subscribers.
    All(usize),
    /// Write `n` concerns subscriber `n` modulo this number, and no other.
    One(usize),
    /// Nobody.
    Nobody,
}

/// What a push says.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    pub subscriber: usize,
    /// The newest write that it shows; `None`: the next one for this
    /// subscriber.
    pub write: Option<u64>,
}

/// Reads a push that came on a connection.
pub type Observe<'a> = &'a mut dyn FnMut(usize, &[u8]) -> Result<Seen, String>;

struct Flight {
    sent: Instant,
    /// Responses and pushes that have not come.
    pending: usize,
}

pub struct Watch<'a> {
    writer: usize,
    window: usize,
    expect: Expect,
    /// Whether one push may show several writes.
    coalesced: bool,
    encode: Encode<'a>,
    reply: Check<'a>,
    observe: Observe<'a>,
    /// By subscriber: the next write it has to be told of.
    due: Vec<u64>,
    flights: VecDeque<Flight>,
    /// Number of the write at the front of `flights`.
    oldest: u64,
    next: u64,
    replied: u64,
    now: Instant,
    pushes: u64,
    push_bytes: u64,
    latency: Histogram,
    progress: bool,
}

/// Figures of one phase.
#[derive(Clone, Debug)]
pub struct Phase {
    pub writes: f64,
    pub pushes: f64,
    pub push_bytes: f64,
    /// From sending a write to the arrival of a push that shows it.
    pub latency: Histogram,
    pub span: Span,
}

impl<'a> Watch<'a> {
    /// `first` is the number of the first write.
    pub fn new(
        writer: usize,
        first: u64,
        expect: Expect,
        encode: Encode<'a>,
        reply: Check<'a>,
        observe: Observe<'a>,
    ) -> Watch<'a> {
        let due = match expect {
            Expect::All(count) => vec![first; count],
            // The first write from `first` on that concerns the subscriber.
            Expect::One(count) => (0..count as u64)
                .map(|number| {
                    let count = count as u64;
                    first + (number + count - first % count) % count
                })
                .collect(),
            Expect::Nobody => Vec::new(),
        };
        Watch {
            writer,
            window: 1,
            expect,
            coalesced: false,
            encode,
            reply,
            observe,
            due,
            flights: VecDeque::new(),
            oldest: first,
            next: first,
            replied: first,
            now: Instant::now(),
            pushes: 0,
            push_bytes: 0,
            latency: Histogram::new(),
            progress: false,
        }
    }

    pub fn coalesced(mut self) -> Watch<'a> {
        self.coalesced = true;
        self
    }

    /// Writes with `window` in flight until `limit` writes or the time is over,
    /// then waits until all are done.
    pub fn phase(
        &mut self,
        net: &mut Net,
        window: usize,
        limit: u64,
        time: Duration,
        server: Option<u32>,
    ) -> Result<Phase, String> {
        self.window = window;
        self.pushes = 0;
        self.push_bytes = 0;
        self.latency.clear();
        let first = self.next;
        let end = first.saturating_add(limit);
        let before = Moment::now(server);
        let deadline = Instant::now() + time;
        let mut silent_since = Instant::now();
        loop {
            let sending = self.next < end && Instant::now() < deadline;
            if sending && self.flights.len() < self.window {
                while self.next < end && self.flights.len() < self.window {
                    self.write(net.out(self.writer));
                }
                net.flush(self.writer)?;
            }
            if !sending && self.flights.is_empty() {
                break;
            }
            self.progress = false;
            net.turn(Duration::from_millis(100), self)?;
            if self.progress {
                silent_since = Instant::now();
            } else if silent_since.elapsed() > SILENCE {
                return Err(self.missing());
            }
        }
        let span = before.until(&Moment::now(server));
        Ok(Phase {
            writes: (self.next - first) as f64,
            pushes: self.pushes as f64,
            push_bytes: self.push_bytes as f64,
            latency: self.latency.clone(),
            span,
        })
    }

    fn missing(&self) -> String {
        let pushes: usize = self.flights.iter().map(|flight| flight.pending).sum();
        format!(
            "{} writes are not done: {pushes} responses and pushes are lost (write {} is answered: {})",
            self.flights.len(),
            self.oldest,
            self.replied > self.oldest,
        )
    }

    /// The number of the next write.
    pub fn next(&self) -> u64 {
        self.next
    }

    fn write(&mut self, out: &mut Vec<u8>) {
        let told = match self.expect {
            Expect::All(count) => count,
            Expect::One(_) => 1,
            Expect::Nobody => 0,
        };
        (self.encode)(self.next, out);
        self.flights.push_back(Flight { sent: Instant::now(), pending: told + 1 });
        self.next += 1;
    }

    /// One of the things that write `number` has to cause has come.
    fn came(&mut self, number: u64) -> Result<Instant, String> {
        let place = number.checked_sub(self.oldest).and_then(|place| usize::try_from(place).ok());
        let flight = place
            .and_then(|place| self.flights.get_mut(place))
            .ok_or_else(|| format!("something came for write {number}, which is not in flight"))?;
        flight.pending = flight
            .pending
            .checked_sub(1)
            .ok_or_else(|| format!("more came for write {number} than it can cause"))?;
        let sent = flight.sent;
        self.progress = true;
        while self.flights.front().is_some_and(|flight| flight.pending == 0) {
            self.flights.pop_front();
            self.oldest += 1;
        }
        Ok(sent)
    }

    fn push(&mut self, conn: usize, message: &[u8]) -> Result<(), String> {
        let seen = (self.observe)(conn, message)?;
        let Some(due) = self.due.get(seen.subscriber).copied() else {
            return Err(format!("an unexpected push: {}", excerpt(message)));
        };
        let step = match self.expect {
            Expect::One(count) => count as u64,
            Expect::All(_) | Expect::Nobody => 1,
        };
        let shown = seen.write.unwrap_or(due);
        let early = shown > due && !(self.coalesced && self.expect != Expect::Nobody);
        if shown < due || early {
            return Err(format!(
                "subscriber {} was due write {due} and was pushed {shown}: {}",
                seen.subscriber,
                excerpt(message)
            ));
        }
        self.pushes += 1;
        self.push_bytes += message.len() as u64;
        let mut number = due;
        while number <= shown {
            let sent = self.came(number)?;
            if number == shown {
                self.latency.add(self.now - sent);
            }
            number += step;
        }
        self.due[seen.subscriber] = number;
        Ok(())
    }
}

impl Handler for Watch<'_> {
    fn begin(&mut self, _conn: usize) {
        self.now = Instant::now();
    }

    fn message(&mut self, conn: usize, message: &[u8], _: &mut Vec<u8>) -> Result<(), String> {
        if conn != self.writer {
            return self.push(conn, message);
        }
        (self.reply)(self.replied, message)?;
        self.replied += 1;
        self.came(self.replied - 1).map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRITER: usize = 0;

    /// Sends `writes` writes, delivers the events and says what became of it.
    /// An event `(conn, text)` on a subscriber's connection names a write.
    fn play(
        expect: Expect,
        coalesced: bool,
        writes: u64,
        events: &[(usize, &str)],
    ) -> Result<usize, String> {
        let mut encode = |_: u64, _: &mut Vec<u8>| {};
        let mut reply = |_: u64, _: &[u8]| Ok(());
        let mut observe = |conn: usize, text: &[u8]| {
            let write = std::str::from_utf8(text).expect("UTF-8").parse().ok();
            Ok(Seen { subscriber: conn - 1, write })
        };
        let mut watch = Watch::new(WRITER, 0, expect, &mut encode, &mut reply, &mut observe);
        if coalesced {
            watch = watch.coalesced();
        }
        let mut out = Vec::new();
        for _ in 0..writes {
            watch.write(&mut out);
        }
        for (conn, text) in events {
            watch.message(*conn, text.as_bytes(), &mut out)?;
        }
        Ok(watch.flights.len())
    }

    #[test]
    fn a_write_is_done_when_all_have_been_told() {
        let two = Expect::All(2);
        assert_eq!(play(two, false, 1, &[(1, "0"), (2, "0")]), Ok(1));
        assert_eq!(play(two, false, 1, &[(0, ""), (1, "0"), (2, "0")]), Ok(0));
        assert_eq!(play(two, false, 2, &[(0, ""), (1, "0"), (1, "1"), (2, "0")]), Ok(1));
    }

    #[test]
    fn lost_and_repeated_pushes_are_noticed() {
        let two = Expect::All(2);
        assert!(play(two, false, 2, &[(1, "1")]).is_err(), "skipped");
        assert!(play(two, false, 2, &[(1, "0"), (1, "0")]).is_err(), "repeated");
        assert!(play(two, false, 1, &[(1, "0"), (1, "1")]).is_err(), "invented");
        assert!(play(Expect::Nobody, false, 1, &[(1, "0")]).is_err(), "not asked for");
        assert!(play(two, false, 1, &[(0, ""), (0, "")]).is_err(), "answered twice");
    }

    #[test]
    fn one_push_may_show_several_writes_only_where_that_was_asked_for() {
        let one = Expect::All(1);
        let events = [(0, ""), (0, ""), (0, ""), (1, "2")];
        assert_eq!(play(one, true, 3, &events), Ok(0));
        assert!(play(one, false, 3, &events).is_err());
    }

    #[test]
    fn writes_for_one_subscriber_each() {
        let turns = Expect::One(2);
        let events = [(0, ""), (1, "0"), (0, ""), (2, "1"), (0, ""), (1, "2")];
        assert_eq!(play(turns, false, 3, &events), Ok(0));
        assert!(play(turns, false, 2, &[(2, "0")]).is_err(), "the wrong one");
    }
}
