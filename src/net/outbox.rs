//! What one connection still has to be sent.
//!
//! Owns the queue, its framing and its gating by durability. It must not know
//! the socket. Small messages are copied behind each other, so that a turn's
//! responses are one slice; large bodies are queued by reference, so that a
//! push to a thousand subscribers holds one copy.

use super::frame::{Outgoing, length_of_own, write_header};
use super::limits::{PIECE_BYTES, SHARE_FROM, SLICES};
use super::spares::{SPARE_BYTES, Spares};
use crate::app::{CommitSeq, PROBE_FRAME_BYTES};
use std::collections::VecDeque;
use std::io::IoSlice;
use std::sync::Arc;

#[derive(Debug, Default)]
pub struct Outbox {
    pieces: VecDeque<Piece>,
    /// How much of the first piece is written.
    written: usize,
    buffered: usize,
    /// What is left of a frame (or an HTTP answer) of which the kernel has taken
    /// the beginning.
    begun: usize,
    /// The last piece waits for a commit of an earlier turn.
    sealed: bool,
}

/// Bytes of a begun frame that are still sent to somebody who holds too much.
const MOST_BEGUN: usize = 1 << 20;

/// A message: what is its own, what is shared, and its end.
type Parts<'a> = (&'a [u8], Option<&'a Arc<[u8]>>, &'a [u8]);

#[derive(Debug)]
struct Piece {
    bytes: Bytes,
    /// Not to be written before this commit is durable; never less than that of
    /// the piece in front.
    needs: CommitSeq,
}

#[derive(Debug)]
enum Bytes {
    Owned(Vec<u8>),
    Shared(Arc<[u8]>),
}

impl Bytes {
    fn as_slice(&self) -> &[u8] {
        match self {
            Bytes::Owned(bytes) => bytes,
            Bytes::Shared(bytes) => bytes,
        }
    }
}

impl Outbox {
    /// Bytes that the kernel has not taken, frame headers included.
    pub fn buffered(&self) -> usize {
        self.buffered
    }

    pub fn is_empty(&self) -> bool {
        self.buffered == 0
    }

    /// Queues a text message of three parts. `durable` is the newest commit
    /// that is durable now.
    pub fn push_text(
        &mut self,
        head: &[u8],
        body: Option<&Arc<[u8]>>,
        tail: &[u8],
        needs: CommitSeq,
        durable: CommitSeq,
        spares: &mut Spares,
    ) {
        self.push_parts((head, body, tail), Some(Outgoing::Text), (needs, durable), spares);
    }

    /// Queues three parts, perhaps as one frame.
    fn push_parts(
        &mut self,
        (head, body, tail): Parts<'_>,
        frame: Option<Outgoing>,
        (needs, durable): (CommitSeq, CommitSeq),
        spares: &mut Spares,
    ) {
        let body_bytes = body.map_or(&[][..], |body| body);
        let length = head.len() + body_bytes.len() + tail.len();
        let needs = if needs <= durable { 0 } else { needs };
        let shared = body.filter(|body| body.len() >= SHARE_FROM);
        let copied = if shared.is_some() { head.len() } else { length };
        let first = self.owned(needs, 10 + copied, spares);
        let before = first.len();
        if let Some(kind) = frame {
            write_header(first, kind, length);
        }
        first.extend_from_slice(head);
        match shared {
            None => {
                first.extend_from_slice(body_bytes);
                first.extend_from_slice(tail);
                self.buffered += first.len() - before;
            }
            Some(body) => {
                let needs = self.pieces.back().map_or(0, |piece| piece.needs);
                self.buffered += self.last_owned_len() - before + body.len() + tail.len();
                self.pieces.push_back(Piece { bytes: Bytes::Shared(body.clone()), needs });
                if !tail.is_empty() {
                    self.owned(needs, tail.len(), spares).extend_from_slice(tail);
                }
            }
        }
    }

    /// Queues a frame that depends on nothing.
    pub fn push_frame(&mut self, kind: Outgoing, payload: &[u8]) {
        let piece = self.owned(0, 10 + payload.len(), &mut Spares::default());
        let before = piece.len();
        write_header(piece, kind, payload.len());
        piece.extend_from_slice(payload);
        self.buffered += piece.len() - before;
    }

    /// Queues a ping behind everything that is queued, with the same waits.
    pub fn push_probe(&mut self, number: u64, needs: CommitSeq, durable: CommitSeq) {
        let needs = if needs <= durable { 0 } else { needs };
        let piece = self.owned(needs, PROBE_FRAME_BYTES, &mut Spares::default());
        write_header(piece, Outgoing::Ping, size_of::<u64>());
        piece.extend_from_slice(&number.to_be_bytes());
        self.buffered += PROBE_FRAME_BYTES;
    }

    /// Queues an HTTP answer whose body is not copied.
    pub fn push_answer(
        &mut self,
        head: Vec<u8>,
        body: Vec<u8>,
        needs: CommitSeq,
        durable: CommitSeq,
    ) {
        let needs = if needs <= durable { 0 } else { needs };
        let needs = self.pieces.back().map_or(needs, |piece| piece.needs.max(needs));
        for bytes in [head, body] {
            self.buffered += bytes.len();
            if !bytes.is_empty() {
                self.pieces.push_back(Piece { bytes: Bytes::Owned(bytes), needs });
            }
        }
        self.begun = self.buffered;
    }

    /// Queues a part of a stream, which has no frames and is cut anywhere.
    pub fn push_event(
        &mut self,
        head: &[u8],
        body: Option<&Arc<[u8]>>,
        tail: &[u8],
        needs: CommitSeq,
        durable: CommitSeq,
        spares: &mut Spares,
    ) {
        self.push_parts((head, body, tail), None, (needs, durable), spares);
        self.begun = self.buffered;
    }

    /// Queues bytes that are no frame.
    pub fn push_raw(&mut self, bytes: &[u8]) {
        if self.is_empty() {
            // No frame, and not to be cut.
            self.begun = bytes.len();
        }
        self.owned(0, bytes.len(), &mut Spares::default()).extend_from_slice(bytes);
        self.buffered += bytes.len();
    }

    fn last_owned_len(&self) -> usize {
        match self.pieces.back() {
            Some(Piece { bytes: Bytes::Owned(bytes), .. }) => bytes.len(),
            _ => 0,
        }
    }

    /// The piece that the next bytes go to. Output of one turn that waits for
    /// different commits shares a piece, because the commits of one turn become
    /// durable together.
    fn owned(&mut self, needs: CommitSeq, room: usize, spares: &mut Spares) -> &mut Vec<u8> {
        let fits = match self.pieces.back_mut() {
            Some(Piece { bytes: Bytes::Owned(bytes), needs: last }) => {
                let same_wait = *last == needs || (*last != 0 && !self.sealed);
                if same_wait && bytes.len() < PIECE_BYTES {
                    *last = (*last).max(needs);
                    grow(bytes, room, spares);
                    true
                } else {
                    false
                }
            }
            _ => false,
        };
        if !fits {
            let needs = self.pieces.back().map_or(needs, |piece| piece.needs.max(needs));
            self.sealed = false;
            self.pieces.push_back(Piece { bytes: Bytes::Owned(Vec::with_capacity(room)), needs });
        }
        match self.pieces.back_mut() {
            Some(Piece { bytes: Bytes::Owned(bytes), .. }) => bytes,
            _ => unreachable!("an owned piece was just found or appended"),
        }
    }

    /// What may be written now, in order. Returns the number of slices and of
    /// bytes.
    pub fn slices<'a>(
        &'a self,
        durable: CommitSeq,
        slices: &mut [IoSlice<'a>; SLICES],
    ) -> (usize, usize) {
        let mut written = self.written;
        let (mut count, mut bytes) = (0, 0);
        for (slot, piece) in slices.iter_mut().zip(&self.pieces) {
            if piece.needs > durable {
                break;
            }
            let slice = piece.bytes.as_slice().get(written..).unwrap_or_default();
            *slot = IoSlice::new(slice);
            written = 0;
            count += 1;
            bytes += slice.len();
        }
        (count, bytes)
    }

    /// The kernel took `count` bytes. An empty outbox keeps no memory.
    pub fn consume(&mut self, count: usize, spares: &mut Spares) {
        if count < self.buffered {
            self.begun = self.begun_after(count);
        }
        self.buffered = self.buffered.saturating_sub(count);
        let mut left = self.written + count;
        while let Some(first) = self.pieces.front() {
            let length = first.bytes.as_slice().len();
            if left < length {
                break;
            }
            left -= length;
            if let Some(Piece { bytes: Bytes::Owned(bytes), .. }) = self.pieces.pop_front() {
                spares.give(bytes);
            }
        }
        self.written = left;
        if self.pieces.is_empty() {
            self.clear();
        }
    }

    /// Called when a turn ends while output waits for a commit: what is queued
    /// from now on may depend on a later batch.
    pub fn seal(&mut self) {
        self.sealed = true;
    }

    /// What waits for a commit beyond `durable` will not be sent.
    pub fn drop_waiting(&mut self, durable: CommitSeq) {
        let keep = self.pieces.iter().take_while(|piece| piece.needs <= durable).count();
        let dropped: usize =
            self.pieces.drain(keep..).map(|piece| piece.bytes.as_slice().len()).sum();
        self.buffered = self.buffered.saturating_sub(dropped);
        if self.pieces.is_empty() {
            self.clear();
        }
    }

    /// Nothing of it will be sent.
    /// How much of a frame stays when this many bytes are taken.
    fn begun_after(&self, count: usize) -> usize {
        let mut at = self.begun;
        // Where the frames begin that are behind: headers are never cut between
        // two pieces.
        let mut start = 0;
        for piece in &self.pieces {
            let bytes = piece.bytes.as_slice();
            let skipped = if start == 0 { self.written } else { 0 };
            let end = start + bytes.len() - skipped.min(bytes.len());
            while at < count && at < end {
                let header = bytes.get(skipped + at - start..).unwrap_or_default();
                let Some(length) = length_of_own(header) else { return 0 };
                at = at.saturating_add(length);
            }
            if at >= count {
                break;
            }
            start = end;
        }
        at.saturating_sub(count)
    }

    /// Drops everything but the rest of a frame that has begun. Whether that is
    /// little enough; otherwise all is gone, and nothing may follow.
    pub fn keep_begun(&mut self) -> bool {
        let mut rest = Vec::with_capacity(self.begun.min(MOST_BEGUN));
        for (at, piece) in self.pieces.iter().enumerate() {
            let bytes = piece.bytes.as_slice();
            let bytes = bytes.get(if at == 0 { self.written } else { 0 }..).unwrap_or_default();
            let left = self.begun - rest.len();
            if left == 0 || self.begun > MOST_BEGUN {
                break;
            }
            rest.extend_from_slice(bytes.get(..left).unwrap_or(bytes));
        }
        let (begun, whole) = (rest.len(), self.begun <= MOST_BEGUN);
        self.clear();
        if begun > 0 {
            self.pieces.push_back(Piece { bytes: Bytes::Owned(rest), needs: 0 });
            (self.buffered, self.begun) = (begun, begun);
        }
        whole
    }

    pub fn clear(&mut self) {
        *self = Outbox::default();
    }
}

/// Makes room for more. One message is as small as it is; what is written to
/// again will be written to often.
fn grow(bytes: &mut Vec<u8>, room: usize, spares: &mut Spares) {
    let needed = bytes.len() + room;
    if needed <= bytes.capacity() {
        return;
    }
    if needed > SPARE_BYTES {
        bytes.reserve(room);
    } else if let Some(mut spare) = spares.take() {
        spare.extend_from_slice(bytes);
        *bytes = spare;
    } else {
        let capacity = (4 * bytes.capacity()).clamp(needed, SPARE_BYTES);
        bytes.reserve_exact(capacity - bytes.len());
    }
}

#[cfg(test)]
mod tests;
