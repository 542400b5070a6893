//! What a connection has for TLS, and its output as records.

use std::io::{self, IoSlice, Write};

use super::conn::Conn;
use super::limits::SLICES;
use super::spares::Spares;
use super::tls::{RECORD_BYTES, Session};
use crate::app::{CommitSeq, TlsPeer};

/// What a connection has for TLS. Most are idle: the buffers are empty then.
#[derive(Debug, Default)]
pub(super) struct Tls {
    /// With the thread while a step is done; there is none before the first.
    pub session: Option<Session>,
    /// A record that has arrived in part.
    pub input: Vec<u8>,
    /// Records that the socket has not taken.
    pub output: Vec<u8>,
    /// How much of `input` the last step has seen.
    pub seen: usize,
    pub is_open: bool,
    /// There may be records in `input`, or in the session, to be opened.
    pub is_unopened: bool,
    /// We have said that nothing more will come.
    pub is_closed: bool,
}

impl Tls {
    /// What the handshake has shown of the peer.
    pub fn peer(&self) -> Option<TlsPeer> {
        self.session.as_ref().filter(|_| self.is_open).map(Session::peer)
    }
}

/// Buffers that all connections share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    pub plain: Vec<u8>,
    pub sealed: Vec<u8>,
}

/// What became of a write.
pub(super) struct Written {
    pub bytes: usize,
    pub then: Then,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    /// Everything that may leave has left.
    Done,
    /// The socket is full.
    Full,
    /// The socket takes nothing any more.
    Refused,
}

/// Writes as [`super::output`] does, record by record.
pub(super) fn write_sealed(
    conn: &mut Conn,
    tls: &mut Tls,
    stream: &mut impl Write,
    durable: CommitSeq,
    spares: &mut Spares,
    shared: &mut Shared,
) -> Written {
    let mut bytes = 0;
    loop {
        let (count, then) = drain(&mut tls.output, stream);
        bytes += count;
        if then != Then::Done {
            return Written { bytes, then };
        }
        let Some(session) = tls.session.as_mut().filter(|_| tls.is_open) else {
            return Written { bytes, then };
        };
        shared.plain.clear();
        gather(conn, durable, &mut shared.plain);
        if shared.plain.is_empty() {
            return Written { bytes, then };
        }
        shared.sealed.clear();
        if let Err(reason) = session.seal(&mut tls.input, &shared.plain, &mut shared.sealed) {
            log::debug!("TLS: {reason}");
            return Written { bytes, then: Then::Refused };
        }
        conn.outbox.consume(shared.plain.len(), spares);
        let (count, then) = take(&shared.sealed, stream);
        bytes += count;
        tls.output.extend_from_slice(shared.sealed.get(count..).unwrap_or_default());
        if then != Then::Done {
            return Written { bytes, then };
        }
    }
}

/// What may leave, as much as one record holds.
fn gather(conn: &Conn, durable: CommitSeq, plain: &mut Vec<u8>) {
    let mut slices = [IoSlice::new(&[]); SLICES];
    let (count, _) = conn.outbox.slices(durable, &mut slices);
    for slice in slices.iter().take(count) {
        let room = RECORD_BYTES - plain.len();
        plain.extend_from_slice(slice.get(..room).unwrap_or(slice));
        if plain.len() == RECORD_BYTES {
            return;
        }
    }
}

/// Writes what was left; an empty buffer keeps no memory.
pub(super) fn drain(output: &mut Vec<u8>, stream: &mut impl Write) -> (usize, Then) {
    let (count, then) = take(output, stream);
    if count == output.len() {
        *output = Vec::new();
    } else {
        output.drain(..count);
    }
    (count, then)
}

/// How much of it the socket takes.
pub(super) fn take(bytes: &[u8], stream: &mut impl Write) -> (usize, Then) {
    let mut at = 0;
    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
        match stream.write(rest) {
            Ok(0) => return (at, Then::Refused),
            Ok(count) => at += count,
            Err(error) => match error.kind() {
                io::ErrorKind::Interrupted => {}
                io::ErrorKind::WouldBlock => return (at, Then::Full),
                _ => return (at, Then::Refused),
            },
        }
    }
    (at, Then::Done)
}
