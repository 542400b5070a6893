//! Everything a connection is sent goes through here, so that the engine knows
//! how much is buffered.

use std::sync::Arc;

use super::Engine;
use crate::app::{CommitSeq, ConnId};
use crate::protocol::{OpError, PROTOCOL_VERSION, RequestId, write_error, write_push_head};

/// Whether a push was queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Pushed {
    Queued,
    /// The connection reads too slowly: not queued.
    OverMark,
}

/// The header of an unmasked frame of this payload.
fn frame_header_len(payload: usize) -> usize {
    match payload {
        0..=125 => 2,
        126..=0xffff => 4,
        _ => 10,
    }
}

impl Engine {
    /// Queues one message, whatever is buffered already. It may reveal every
    /// commit so far.
    pub(crate) fn send(&mut self, id: ConnId, head: &[u8], body: Option<&Arc<[u8]>>, tail: &[u8]) {
        self.send_when(id, head, body, tail, self.log.last());
    }

    /// Queues one message that reveals no commit after `needs`.
    pub(crate) fn send_when(
        &mut self,
        id: ConnId,
        head: &[u8],
        body: Option<&Arc<[u8]>>,
        tail: &[u8],
        needs: CommitSeq,
    ) {
        // Calls are told their responses and nothing else.
        if !self.is_call(id) {
            self.send_event(id, head, body, tail, needs);
        }
    }

    /// As [`Engine::send_when`], to whomever: the bytes are what such a connection
    /// takes.
    pub(in crate::engine) fn send_event(
        &mut self,
        id: ConnId,
        head: &[u8],
        body: Option<&Arc<[u8]>>,
        tail: &[u8],
        needs: CommitSeq,
    ) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        let payload = self.effects.send(id, head, body, tail, needs);
        conn.note_queued(payload + frame_header_len(payload), self.now.mono);
    }

    /// Queues a message that is a buffer of its own; what is left there is to be
    /// written over.
    pub(in crate::engine) fn send_whole(
        &mut self,
        id: ConnId,
        text: &mut Vec<u8>,
        needs: CommitSeq,
    ) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        let payload = self.effects.send_whole(id, text, needs);
        conn.note_queued(payload + frame_header_len(payload), self.now.mono);
    }

    /// Queues a pushed result, unless the connection takes none; whether it was
    /// queued. One look at the connection: this is what a push to thousands
    /// consists of.
    pub(crate) fn send_if_taken(
        &mut self,
        id: ConnId,
        head: &[u8],
        body: Option<&Arc<[u8]>>,
        tail: &[u8],
    ) -> bool {
        let (threshold, needs) = (self.options.push_threshold(), self.log.last());
        let Some(conn) = self.conns.get_mut(id) else { return false };
        if conn.holding || !conn.has_room(threshold) {
            return false;
        }
        let payload = self.effects.send(id, head, body, tail, needs);
        conn.note_queued(payload + frame_header_len(payload), self.now.mono);
        conn.time_push(self.now.mono);
        true
    }

    pub(crate) fn send_error(&mut self, conn: ConnId, id: RequestId, error: &OpError) {
        self.send_error_of(conn, id, error, false);
    }

    /// As [`Engine::send_error`], for a request that may have been answered so
    /// before.
    pub(crate) fn send_error_of(
        &mut self,
        conn: ConnId,
        id: RequestId,
        error: &OpError,
        repeated: bool,
    ) {
        self.metrics.errors += 1;
        self.figures.count_error(error.code);
        let mut out = std::mem::take(&mut self.current.scratch);
        out.clear();
        write_error(&mut out, id, error, self.options.expose_error_details, repeated);
        self.send_response(conn, &out, Some(error), self.log.last());
        self.current.scratch = out;
    }

    pub(super) fn send_welcome(&mut self, conn: ConnId) {
        let text = format!(
            "{{\"type\":\"welcome\",\"version\":\"{PROTOCOL_VERSION}\",\"serverTime\":{},\"requiresAuth\":{}}}",
            self.now.wall,
            self.requires_auth(),
        );
        self.send_when(conn, text.as_bytes(), None, b"", 0);
    }

    /// Whether a result pushed to this connection would be queued.
    pub(crate) fn takes_pushes(&self, id: ConnId) -> bool {
        let threshold = self.options.push_threshold();
        self.conns.get(id).is_some_and(|conn| !conn.holding && conn.has_room(threshold))
    }

    fn has_room(&self, id: ConnId) -> bool {
        let threshold = self.options.push_threshold();
        self.conns.get(id).is_some_and(|conn| conn.has_room(threshold))
    }

    /// Queues one push, unless the connection is over the high-water mark.
    /// Without a body the `data` member is omitted.
    pub(crate) fn push(
        &mut self,
        conn: ConnId,
        channel: &str,
        subscription_id: &str,
        body: Option<&Arc<[u8]>>,
    ) -> Pushed {
        let pushed = self.push_untraced(conn, channel, subscription_id, body);
        if pushed == Pushed::Queued {
            let bytes = body.map_or(0, |body| body.len());
            self.trace_push(conn, channel, subscription_id, bytes);
        }
        pushed
    }

    /// The same, without a word to those who look.
    pub(crate) fn push_untraced(
        &mut self,
        conn: ConnId,
        channel: &str,
        subscription_id: &str,
        body: Option<&Arc<[u8]>>,
    ) -> Pushed {
        if !self.has_room(conn) {
            return Pushed::OverMark;
        }
        let mut head = std::mem::take(&mut self.current.scratch);
        head.clear();
        write_push_head(&mut head, channel, subscription_id, body.is_some());
        self.send(conn, &head, body, b"}");
        self.current.scratch = head;
        if let Some(conn) = self.conns.get_mut(conn) {
            conn.time_push(self.now.mono);
        }
        self.metrics.pushes += 1;
        match channel {
            "trace" => self.figures.trace_pushes += 1,
            _ => self.figures.event_pushes += 1,
        }
        Pushed::Queued
    }
}
