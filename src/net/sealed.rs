//! Connections that speak TLS: between their sockets and their state machines.
//!
//! Owns what has arrived in part and what the socket has not taken. The outbox
//! stays plain: a record is made when the socket takes bytes, so bodies stay
//! shared and a subscription that has become stale still gets the newest state.

use super::certificates::{Looked, Reloaded};
use super::entry::{Entry, find};
use super::http::{Method, Refusal};
use super::limits::KEPT_BYTES;
use super::serve::{Arrived, Budget, read};
use super::shake::{Shaken, Step};
use super::tls::{FIRST_BYTE, LONGEST_WAIT, Opened, Shake, whole_records};
use super::transport::Transport;
use crate::app::{App, ConnId};
use std::io::Write;
use std::sync::atomic::Ordering::Relaxed;

impl<A: App + 'static> Transport<A> {
    /// Reads from a socket that speaks TLS.
    pub(super) fn read_sealed(&mut self, slot: u32, budget: &mut Budget) {
        let mut buffer = std::mem::take(&mut self.buffer);
        self.read_sealed_into(slot, &mut buffer, budget);
        self.buffer = buffer;
    }

    fn read_sealed_into(&mut self, slot: u32, buffer: &mut [u8], budget: &mut Budget) {
        let Some(entry) = self.table.get_mut(slot as usize) else { return };
        let Some(tls) = &mut entry.tls else { return };
        let kept = std::mem::take(&mut tls.input);
        let room = buffer.len();
        if let Some(front) = buffer.get_mut(..kept.len()) {
            front.copy_from_slice(&kept);
        }
        match read(&mut entry.stream, buffer.get_mut(kept.len()..).unwrap_or_default()) {
            Arrived::Bytes(count) => {
                let filled = kept.len() + count;
                entry.input_progress = self.now.mono;
                entry.readable = filled == room || entry.hung_up;
                budget.bytes = budget.bytes.saturating_sub(count);
                self.counters.input_bytes_total.fetch_add(count as u64, Relaxed);
                let is_open = tls.is_open;
                let input = buffer.get_mut(..filled).unwrap_or_default();
                match is_open {
                    true => self.open_and_handle(slot, input, budget),
                    false => self.go_on_shaking(slot, input),
                }
            }
            Arrived::Nothing => {
                tls.input = kept;
                entry.readable = false;
                if entry.deaf {
                    self.lose(slot);
                }
            }
            Arrived::End => {
                entry.readable = false;
                entry.ended = true;
                if !tls.is_open && !kept.is_empty() {
                    self.counters.tls_failed.fetch_add(1, Relaxed);
                }
                self.finish_if_done(slot);
            }
            Arrived::Lost => {
                entry.readable = false;
                entry.ended = true;
                self.lose(slot);
            }
        }
    }

    /// Opens what is there and was not looked at.
    pub(super) fn open_rest(&mut self, slot: u32, budget: &mut Budget) {
        let Some(entry) = self.table.get_mut(slot as usize) else { return };
        let Some(tls) = &mut entry.tls else { return };
        tls.is_unopened = false;
        let mut input = std::mem::take(&mut tls.input);
        self.open_and_handle(slot, &mut input, budget);
    }

    /// Decrypts input and has the messages in it handled.
    fn open_and_handle(&mut self, slot: u32, input: &mut [u8], budget: &mut Budget) {
        let mut plain = std::mem::take(&mut self.shared.plain);
        plain.clear();
        let opened = self.open(slot, input, &mut plain);
        let (used, stalled) = self.handle(slot, &mut plain, budget);
        if let Some(entry) = self.table.get_mut(slot as usize) {
            entry.conn.keep(plain.get(used..).unwrap_or_default(), stalled);
        }
        if let Err(reason) = opened {
            self.break_off(slot, &reason);
        }
        plain.clear();
        plain.shrink_to(KEPT_BYTES);
        self.shared.plain = plain;
    }

    fn open(&mut self, slot: u32, input: &mut [u8], plain: &mut Vec<u8>) -> Result<(), String> {
        let gone = || "the connection is gone".to_owned();
        let entry = self.table.get_mut(slot as usize).ok_or_else(gone)?;
        plain.extend_from_slice(&entry.conn.take_kept());
        let tls = entry.tls.as_mut().ok_or_else(gone)?;
        let session = tls.session.as_mut().ok_or_else(gone)?;
        let opened = session.open(input, plain, &mut tls.output);
        let has_output = !tls.output.is_empty();
        if let Ok(Opened { used, ended }) = opened {
            tls.input = input.get(used..).unwrap_or_default().to_vec();
            if ended {
                entry.ended = true;
                entry.readable = false;
            }
            if tls.input.len() > LONGEST_WAIT {
                return Err("a message is too long".into());
            }
        }
        if has_output {
            self.mark_dirty(slot);
        }
        opened.map(drop)
    }

    /// What has come makes no sense: the alert that says so leaves if the socket
    /// takes it.
    fn break_off(&mut self, slot: u32, reason: &str) {
        let Some(entry) = self.table.get_mut(slot as usize) else { return };
        log::debug!("{}: TLS: {reason}", entry.address);
        let alert = entry.tls.as_mut().map(|tls| std::mem::take(&mut tls.output));
        if let Err(error) = entry.stream.write(&alert.unwrap_or_default()) {
            log::debug!("{}: {error}", entry.address);
        }
        entry.ended = true;
        entry.readable = false;
        self.lose(slot);
    }

    /// More of a handshake has arrived.
    pub(super) fn go_on_shaking(&mut self, slot: u32, input: &[u8]) {
        let Some(id) = self.id_of(slot) else { return };
        let Some(entry) = self.table.get_mut(slot as usize) else { return };
        let Some(tls) = &mut entry.tls else { return };
        let is_first = tls.session.is_none();
        if is_first && input.first().is_some_and(|first| *first != FIRST_BYTE) {
            entry.tls = None;
            return self.refuse(slot, Refusal::PlainOnTls, Method::Other);
        }
        tls.input = input.to_vec();
        if whole_records(input) <= tls.seen {
            if input.len() > LONGEST_WAIT {
                self.fail_handshake(slot, "a handshake message is too long");
            }
            return;
        }
        // Nothing is read meanwhile.
        entry.is_shaking = true;
        let client = entry.address.client();
        if self.handshakes.line.enter(client, id) {
            self.hand_in(slot);
        }
        self.count_waiting();
    }

    /// Gives a step of a handshake to the thread.
    fn hand_in(&mut self, slot: u32) {
        let Some(id) = self.id_of(slot) else { return };
        let Some(entry) = self.table.get_mut(slot as usize) else { return };
        let (Some(tls), Some(certificates)) = (&mut entry.tls, &self.certificates) else { return };
        let client = entry.address.client();
        let step = Step {
            id,
            client,
            session: tls.session.take(),
            certificate: certificates.current.clone(),
            input: std::mem::take(&mut tls.input),
        };
        if let Err(error) = self.handshakes.submit(step) {
            log::error!("TLS: {error}");
            self.handshakes.line.leave(client);
            self.fail_handshake(slot, "no thread for it");
        }
    }

    /// The thread has done a step.
    pub(super) fn shaken(&mut self, shaken: Shaken) {
        let Shaken { id, client, session, input, output, result } = shaken;
        self.handshakes.line.leave(client);
        while let Some((client, next)) = self.handshakes.line.next() {
            match find(&mut self.table, next) {
                Some(entry) if entry.is_shaking => self.hand_in(next.slot),
                // It did not wait for its turn.
                _ => self.handshakes.line.leave(client),
            }
        }
        self.count_waiting();
        // Its slot may have another owner by now.
        let Some(entry) = find(&mut self.table, id).filter(|entry| entry.is_shaking) else {
            return;
        };
        let Some(tls) = &mut entry.tls else { return };
        entry.is_shaking = false;
        tls.session = session;
        tls.seen = whole_records(&input);
        tls.input = input;
        tls.output.extend_from_slice(&output);
        match result {
            Shake::More => {}
            Shake::Done => {
                tls.is_open = true;
                tls.is_unopened = true;
                self.counters.tls_ok.fetch_add(1, Relaxed);
            }
            Shake::Failed(reason) => return self.fail_handshake(id.slot, &reason),
        }
        self.mark_dirty(id.slot);
        self.enqueue_if_ready(id.slot);
    }

    /// Ends a connection whose handshake failed, with the alert that says why.
    fn fail_handshake(&mut self, slot: u32, reason: &str) {
        self.counters.tls_failed.fetch_add(1, Relaxed);
        let Some(entry) = self.table.get_mut(slot as usize) else { return };
        entry.is_shaking = false;
        // From here on bytes are what they are.
        let alert = entry.tls.take().map(|tls| tls.output).unwrap_or_default();
        entry.conn.answer(&alert);
        self.begin_end_of_handshake(slot, "tls_failed", &format!("TLS: {reason}"));
    }

    fn count_waiting(&self) {
        self.counters.tls_waiting.store(self.handshakes.line.len() as u64, Relaxed);
    }

    /// Has the certificate's files looked at, if that is due.
    pub(super) fn look_at_certificates(&mut self) {
        let now = self.now.mono;
        let Some(look) = self.certificates.as_mut().and_then(|held| held.due(now)) else { return };
        if let Err(error) = self.handshakes.look(look) {
            log::error!("tls: {error}");
        }
    }

    pub(super) fn certificates_looked_at(&mut self, looked: Looked) {
        let Some(certificates) = &mut self.certificates else { return };
        let count = match certificates.looked(looked, self.now.mono) {
            Reloaded::Not => return,
            Reloaded::Ok => &self.counters.tls_reloaded,
            Reloaded::Failed => &self.counters.tls_not_reloaded,
        };
        count.fetch_add(1, Relaxed);
        self.counters.note_tls_problem(certificates.problem.clone());
        self.counters.tls_not_after.store(certificates.current.not_after(), Relaxed);
    }

    /// Says that nothing more will come; whether that is said already.
    pub(super) fn has_closed_tls(&mut self, id: ConnId) -> bool {
        let Some(Entry { tls: Some(tls), .. }) = find(&mut self.table, id) else { return true };
        if !tls.is_open || std::mem::replace(&mut tls.is_closed, true) {
            return true;
        }
        let Some(session) = &mut tls.session else { return true };
        if let Err(reason) = session.close(&mut tls.input, &mut tls.output) {
            log::debug!("TLS: {reason}");
            return true;
        }
        self.mark_dirty(id.slot);
        false
    }
}
