//! One row of the connection table: the state machine, its socket, and what the
//! loop remembers about both. It must not know the app.

use super::conn::Conn;
use super::sealing::Tls;
use super::socket::Stream;
use crate::address::Address;
use crate::app::{ConnId, TransportView};
use crate::wheel::TimerId;
use slab::Slab;

pub(super) struct Entry {
    pub conn: Conn,
    pub stream: Stream,
    /// What stands between both where TLS is spoken.
    pub tls: Option<Box<Tls>>,
    pub generation: u32,
    /// The number of its listener.
    pub listener: u16,
    /// The peer; after the upgrade, the client.
    pub address: Address,
    /// The deadline of the handshake, or of the closing.
    pub timer: Option<TimerId>,
    /// Monotonic time at which the socket last took output.
    pub progress: u64,
    /// What was last added to the gauge of buffered bytes.
    pub reported: usize,
    /// What was last added to the gauge of unfinished input.
    pub reported_input: usize,
    /// Monotonic time at which bytes last arrived.
    pub input_progress: u64,
    /// An answer to a call is leaving: the socket may take its time as long as it
    /// takes something.
    pub is_answer: bool,
    /// It came to the listener for metrics and probes alone.
    pub is_apart: bool,
    /// The app knows this connection.
    pub announced: bool,
    /// Counted for the limit per client.
    pub admitted: bool,
    /// The socket may have input.
    pub readable: bool,
    /// The kernel has said that the input ends; it says so once.
    pub hung_up: bool,
    /// The input has ended.
    pub ended: bool,
    /// The app asked for [`Flow::Wait`](crate::app::Flow::Wait).
    pub waiting: bool,
    /// The header of the PROXY protocol has not arrived.
    pub awaits_header: bool,
    /// A step of its handshake is being done, or waits for that.
    pub is_shaking: bool,
    /// It waits for a place among the connections of its address.
    pub parked: bool,
    /// Not read because its output is not read.
    pub paused: bool,
    /// The socket is full; the kernel reports when it is not.
    pub blocked: bool,
    /// The kernel was asked to report that.
    pub is_watched: bool,
    /// Output is thrown away: the socket takes no more.
    pub deaf: bool,
    /// The sending side was closed.
    pub shut: bool,
    /// On one of the lists of connections with input.
    pub is_ready: bool,
    /// Its last share of a turn cost much: it waits in a line of such.
    pub is_heavy: bool,
    /// On the list of connections with new output.
    pub is_dirty: bool,
    /// On the list of connections whose output waits for a commit.
    pub is_gated: bool,
    /// On the list of connections that this turn ends with.
    pub is_doomed: bool,
}

impl Entry {
    pub fn new(stream: Stream, generation: u32, address: Address, now: u64) -> Self {
        Entry {
            conn: Conn::new(),
            stream,
            tls: None,
            generation,
            listener: 0,
            address,
            timer: None,
            progress: now,
            reported: 0,
            reported_input: 0,
            input_progress: now,
            is_answer: false,
            is_apart: false,
            announced: false,
            admitted: false,
            readable: false,
            hung_up: false,
            ended: false,
            waiting: false,
            awaits_header: false,
            is_shaking: false,
            parked: false,
            paused: false,
            blocked: false,
            is_watched: false,
            deaf: false,
            shut: false,
            is_ready: false,
            is_heavy: false,
            is_dirty: false,
            is_gated: false,
            is_doomed: false,
        }
    }

    /// No input is handled at present.
    pub fn is_held(&self) -> bool {
        self.waiting || self.parked || self.paused || self.is_shaking || self.is_doomed
    }

    /// There is something to do on the input side.
    pub fn has_input_work(&self) -> bool {
        !self.is_held()
            && (self.conn.has_handleable_input()
                || self.has_unopened_input()
                || self.conn.is_calling()
                || self.readable
                || (self.ended && self.conn.is_alive()))
    }

    /// Something has arrived that is still encrypted.
    pub fn has_unopened_input(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.is_unopened)
    }

    /// Nothing can be said to the peer yet.
    pub fn is_veiled(&self) -> bool {
        self.awaits_header || self.tls.as_ref().is_some_and(|tls| !tls.is_open)
    }

    /// Bytes that the kernel has not taken.
    pub fn buffered(&self) -> usize {
        self.conn.outbox.buffered() + self.tls.as_ref().map_or(0, |tls| tls.output.len())
    }

    /// Bytes of input that wait to be completed.
    pub fn unfinished_bytes(&self) -> usize {
        let sealed = self.tls.as_ref().map_or(0, |tls| tls.input.capacity());
        self.conn.unfinished_bytes().saturating_add(sealed)
    }

    /// Everything is done: nothing to send, nothing to receive.
    pub fn is_finished(&self) -> bool {
        !self.conn.is_alive() && self.buffered() == 0 && (self.ended || self.deaf)
    }
}

/// The entry of a connection, unless its slot has another owner by now.
pub(super) fn find(table: &mut Slab<Entry>, id: ConnId) -> Option<&mut Entry> {
    table.get_mut(id.slot as usize).filter(|entry| entry.generation == id.generation)
}

/// The transport as timers of the app see it.
pub(super) struct View<'a>(pub &'a Slab<Entry>);

impl View<'_> {
    fn ask<T: Default>(&self, id: ConnId, answer: impl Fn(&Entry) -> T) -> T {
        let entry = self.0.get(id.slot as usize);
        entry.filter(|entry| entry.generation == id.generation).map(answer).unwrap_or_default()
    }
}

impl TransportView for View<'_> {
    fn has_unread_input(&self, conn: ConnId) -> bool {
        self.ask(conn, |entry| entry.conn.has_handleable_input() || entry.readable)
    }

    fn is_read_paused(&self, conn: ConnId) -> bool {
        self.ask(conn, |entry| entry.paused)
    }

    fn is_amid_transfer(&self, conn: ConnId, since: u64) -> bool {
        self.ask(conn, |entry| {
            let is_amid_record = entry.tls.as_ref().is_some_and(|tls| !tls.input.is_empty());
            ((entry.conn.is_amid_message() || is_amid_record) && entry.input_progress > since)
                || (entry.is_watched && entry.progress > since)
        })
    }

    fn is_blocked(&self, conn: ConnId) -> bool {
        self.ask(conn, |entry| entry.blocked)
    }

    fn last_output_progress(&self, conn: ConnId) -> u64 {
        self.ask(conn, |entry| entry.progress)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten thousand idle connections are ten thousand of these.
    #[test]
    fn an_entry_is_small() {
        assert!(size_of::<Entry>() <= 304, "{} bytes", size_of::<Entry>());
    }
}
