//! What the app wants done, and output on its way to sockets.

use super::conn::Conn;
use super::counters::Counters;
use super::entry::{Entry, find};
use super::frame::Outgoing;
use super::limits::{KEPT_BYTES, SLICES};
use super::sealing::{Then, Written, write_sealed};
use super::spares::Spares;
use super::transport::Transport;
use crate::app::{App, CommitSeq, ConnId, Effect};
use mio::event::Source as _;
use mio::{Interest, Token};
use slab::Slab;
use std::io::{self, IoSlice, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

impl<A: App + 'static> Transport<A> {
    /// Performs what the calls since the last time have left in the app.
    pub(super) fn perform_effects(&mut self) {
        if self.app.effects().is_empty() {
            return;
        }
        let mut effects = std::mem::take(self.app.effects());
        for effect in effects.list.drain(..) {
            match effect {
                Effect::Send { conn, head, body, tail, needs } => {
                    let head = effects.bytes.get(head).unwrap_or_default();
                    let tail = effects.bytes.get(tail).unwrap_or_default();
                    self.send_text(conn, head, body.as_ref(), tail, needs);
                }
                Effect::Close { conn, code, reason } => self.close(conn, code, reason),
                Effect::Answer { conn, answer, needs } => self.answer_call(conn, *answer, needs),
                Effect::Stream { conn } => self.begin_stream(conn),
                Effect::Abandon { conn, code, reason } => {
                    if let Some(entry) = find(&mut self.table, conn) {
                        entry.conn.outbox.drop_waiting(self.durable);
                    }
                    self.close(conn, code, reason);
                }
                Effect::Probe { conn, number, needs } => {
                    let durable = self.durable;
                    if let Some(open) = open_conn(&mut self.table, conn) {
                        open.outbox.push_probe(number, needs, durable);
                        self.note_output(conn.slot);
                    }
                }
                Effect::Resume { conn } => {
                    if let Some(entry) = find(&mut self.table, conn) {
                        entry.waiting = false;
                        self.enqueue_if_ready(conn.slot);
                    }
                }
                Effect::Job(job) => self.worker.submit(job),
                Effect::StopAccepting => {
                    self.stop.accepts_no_more = true;
                    self.accepting.close();
                }
                Effect::Stop => self.begin_stop(),
            }
        }
        effects.clear();
        effects.bytes.shrink_to(KEPT_BYTES);
        *self.app.effects() = effects;
    }

    fn send_text(
        &mut self,
        id: ConnId,
        head: &[u8],
        body: Option<&Arc<[u8]>>,
        tail: &[u8],
        needs: CommitSeq,
    ) {
        let durable = self.durable;
        let spares = &mut self.spares;
        if let Some(conn) = open_conn(&mut self.table, id) {
            match conn.is_streaming() {
                true => conn.outbox.push_event(head, body, tail, needs, durable, spares),
                false => conn.outbox.push_text(head, body, tail, needs, durable, spares),
            }
            self.note_output(id.slot);
        }
    }

    pub(super) fn send_binary(&mut self, slot: u32, bytes: &[u8]) {
        if let Some(entry) = self.table.get_mut(slot as usize)
            && !entry.deaf
        {
            entry.conn.outbox.push_frame(Outgoing::Binary, bytes);
            self.note_output(slot);
        }
    }

    /// Output was queued: it is to be written, and there may be too much of it.
    pub(super) fn note_output(&mut self, slot: u32) {
        if let Some(entry) = self.table.get_mut(slot as usize)
            && entry.conn.is_open()
            && entry.buffered() >= self.options.max_buffered_bytes
        {
            entry.paused = true;
        }
        self.mark_dirty(slot);
    }

    pub(super) fn mark_dirty(&mut self, slot: u32) {
        if let Some(entry) = self.table.get_mut(slot as usize)
            && !std::mem::replace(&mut entry.is_dirty, true)
        {
            self.dirty.push(slot);
        }
    }

    /// The app closes a connection, and has forgotten it.
    fn close(&mut self, id: ConnId, code: u16, reason: &'static str) {
        let Some(entry) = find(&mut self.table, id) else { return };
        if entry.conn.is_open() {
            entry.conn.close(code, reason);
            self.begin_end(id.slot, code);
        } else if entry.conn.is_streaming() {
            entry.conn.end_stream();
            self.begin_end(id.slot, code);
        } else {
            self.break_off_call(id);
        }
    }

    fn begin_stop(&mut self) {
        self.stop.accepts_no_more = true;
        self.accepting.close();
        let deadline = self.now.mono.saturating_add(self.options.close_timeout_ms);
        self.stop.deadline.get_or_insert(deadline);
        // Whoever is in the middle of a closing handshake may finish it.
        let is_over = |entry: &Entry| entry.conn.is_alive();
        let over: Vec<usize> =
            self.table.iter().filter(|(_, entry)| is_over(entry)).map(|(slot, _)| slot).collect();
        for slot in over {
            self.doom(slot as u32);
        }
    }

    /// Writes what may be written, with one call per connection.
    pub(super) fn flush_dirty(&mut self) {
        let mut dirty = std::mem::take(&mut self.dirty);
        for slot in dirty.drain(..) {
            self.flush(slot);
        }
        // The same list again, for its room.
        std::mem::swap(&mut self.dirty, &mut dirty);
        self.dirty.append(&mut dirty);
    }

    fn flush(&mut self, slot: u32) {
        let Some(entry) = self.table.get_mut(slot as usize) else { return };
        if !std::mem::take(&mut entry.is_dirty) {
            return;
        }
        let id = ConnId { slot, generation: entry.generation };
        let before = entry.buffered();
        if !entry.blocked && !entry.deaf {
            let (durable, spares) = (self.durable, &mut self.spares);
            let (conn, stream) = (&mut entry.conn, &mut entry.stream);
            let Written { bytes, then } = match &mut entry.tls {
                None => write(conn, stream, durable, spares),
                Some(tls) => write_sealed(conn, tls, stream, durable, spares, &mut self.shared),
            };
            if bytes > 0 {
                entry.progress = self.now.mono;
                self.counters.output_bytes_total.fetch_add(bytes as u64, Relaxed);
            }
            entry.blocked = then == Then::Full;
            entry.deaf = then == Then::Refused;
        }
        if entry.deaf {
            // Nobody hears it. The input may still hold complete messages,
            // which take effect; the end is found by reading.
            entry.conn.outbox.clear();
            if let Some(tls) = &mut entry.tls {
                tls.output = Vec::new();
            }
            entry.readable = true;
        }
        let after = entry.buffered();
        Counters::replace(&self.counters.outbox_bytes, entry.reported, after);
        entry.reported = after;
        if after < before && entry.announced {
            self.drained.push(id);
        }
        if (after as f64) < self.threshold {
            entry.paused = false;
        }
        if after > 0 {
            entry.conn.outbox.seal();
            if !entry.blocked && !std::mem::replace(&mut entry.is_gated, true) {
                self.gated.push(id);
            }
        }
        self.watch(slot);
        self.close_sending_side(slot);
        self.finish_if_done(slot);
        self.enqueue_if_ready(slot);
    }

    /// The kernel tells when a full socket has room, and does not bother us
    /// otherwise.
    fn watch(&mut self, slot: u32) {
        let Some(entry) = self.table.get_mut(slot as usize) else { return };
        if entry.blocked == entry.is_watched {
            return;
        }
        entry.is_watched = entry.blocked;
        let interest = if entry.blocked {
            Interest::READABLE | Interest::WRITABLE
        } else {
            Interest::READABLE
        };
        let registry = self.poll.registry();
        if let Err(error) = entry.stream.reregister(registry, Token(slot as usize), interest) {
            log::error!("connection from {}: {error}", entry.address);
            self.lose(slot);
        }
    }

    /// When everything is said, the peer learns that nothing more will come; it
    /// is listened to until it has closed as well, because a socket closed with
    /// unread input takes back what was sent.
    fn close_sending_side(&mut self, slot: u32) {
        let Some(entry) = self.table.get_mut(slot as usize) else { return };
        let is_due = entry.conn.is_draining() && entry.buffered() == 0;
        let id = ConnId { slot, generation: entry.generation };
        if !is_due || !self.has_closed_tls(id) {
            return;
        }
        let Some(entry) = self.table.get_mut(slot as usize) else { return };
        if !entry.ended && !entry.deaf && !std::mem::replace(&mut entry.shut, true) {
            // Fails when the peer is gone, which reading finds out as well.
            if let Err(error) = entry.stream.shutdown(Shutdown::Write) {
                log::debug!("connection from {}: {error}", entry.address);
                entry.readable = true;
            }
        }
    }

    /// Tells the app whose queue became shorter.
    pub(super) fn report_drained(&mut self) {
        let mut drained = std::mem::take(&mut self.drained);
        for id in drained.drain(..) {
            if let Some(entry) = find(&mut self.table, id)
                && entry.announced
            {
                let buffered = entry.buffered();
                self.app.wrote(id, buffered, self.now);
                self.perform_effects();
            }
        }
        self.drained = drained;
    }
}

/// A connection that is sent to.
fn open_conn(table: &mut Slab<Entry>, id: ConnId) -> Option<&mut Conn> {
    let entry = find(table, id)?;
    let is_heard = entry.conn.is_open() || entry.conn.is_streaming();
    let is_sent_to = entry.announced && is_heard && !entry.deaf;
    is_sent_to.then_some(&mut entry.conn)
}

fn write(
    conn: &mut Conn,
    stream: &mut impl Write,
    durable: CommitSeq,
    spares: &mut Spares,
) -> Written {
    let mut bytes = 0;
    loop {
        let mut slices = [IoSlice::new(&[]); SLICES];
        let (count, offered) = conn.outbox.slices(durable, &mut slices);
        if offered == 0 {
            return Written { bytes, then: Then::Done };
        }
        // The kernel takes one slice more cheaply than a list of one.
        let result = match slices.get(..count).unwrap_or_default() {
            [only] => stream.write(only),
            several => stream.write_vectored(several),
        };
        match result {
            Ok(0) => return Written { bytes, then: Then::Refused },
            Ok(written) => {
                conn.outbox.consume(written, spares);
                bytes += written;
                if written < offered {
                    return Written { bytes, then: Then::Full };
                }
            }
            Err(error) => match error.kind() {
                io::ErrorKind::Interrupted => {}
                io::ErrorKind::WouldBlock => return Written { bytes, then: Then::Full },
                _ => return Written { bytes, then: Then::Refused },
            },
        }
    }
}
