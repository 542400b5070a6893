//! The engine with its local clients: what the transport runs.
//!
//! Passes everything through and takes out what is meant for local connections
//! before the transport sees it. Must not know operations.

use std::path::Path;

use super::local::{Closed, LOCAL_SLOT, Local};
use crate::access::Verdict;
use crate::app::{
    App, Call, CommitSeq, ConnId, Effect, Effects, Flow, HttpAnswer, HttpRequest, JobId, JobOutput,
    Now, Peer, TransportView,
};
use crate::audit::AuditFile;
use crate::engine::Engine;
use crate::json::Json;
use crate::net::Durability;
use crate::rules::Ticket;

/// See the module's description.
pub(super) struct Hosted {
    pub engine: Engine,
    locals: Vec<Local>,
    /// How far the log is durable.
    pub durability: Option<Durability>,
    /// Flushed and synced when it is dropped.
    pub audit_file: Option<AuditFile>,
}

impl Hosted {
    pub fn new(engine: Engine) -> Self {
        Hosted { engine, locals: Vec::new(), durability: None, audit_file: None }
    }

    /// The storage cannot keep what it was given.
    pub fn storage_failed(&mut self, now: Now) {
        self.engine.storage_failed(now);
        self.settle(now);
    }

    /// Reads again what may have been changed outside: keys, the audit file.
    pub fn reload(&mut self) {
        self.engine.end_log_level();
        match self.engine.key_files() {
            None => log::info!("reload: there are no keys to be read again"),
            Some((what, shown)) => {
                let reloaded = self.engine.reload_keys(&read_file);
                self.engine.count_reload(what, reloaded.is_ok());
                match reloaded {
                    Ok(()) => log::info!("reload: {shown} read again"),
                    Err(problems) => {
                        for problem in problems {
                            log::error!("{problem}; the old keys stay");
                        }
                    }
                }
            }
        }
        // Its thread says what comes of it.
        if let Some(file) = &self.audit_file {
            file.reopen();
        }
    }

    /// A token validator has answered later.
    pub fn validated(&mut self, job: JobId, verdict: Verdict, now: Now) {
        self.engine.token_validated(job, verdict, now);
        self.settle(now);
    }

    /// The audit file has this many entries on disk.
    pub fn audit_synced(&mut self, entries: u64, now: Now) {
        self.engine.audit_synced(entries, now);
        self.settle(now);
    }

    /// Does something to sessions, with what follows from it for connections.
    pub fn revoke<T>(&mut self, now: Now, change: impl FnOnce(&mut Engine) -> T) -> T {
        let result = self.engine.administer(now, change);
        self.settle(now);
        result
    }

    /// A service of rules has answered later.
    pub fn answer_rule_call(&mut self, ticket: Ticket, result: Result<Json, String>, now: Now) {
        // The execution may have been given up meanwhile.
        if !self.engine.answer_rule_call(ticket, result, now) {
            log::debug!("nothing waits for the answer to rule call {ticket} any more");
        }
        self.settle(now);
    }

    /// A local client arrives; `unlimited`: its requests take what they take.
    pub fn open(&mut self, local: Local, unlimited: bool, now: Now) {
        // Refused, it is dropped, and its client told by that.
        if self.engine.connect_local(local.id, unlimited, now) {
            self.locals.push(local);
        }
    }

    /// A local client sends a message.
    pub fn submit(&mut self, id: ConnId, text: String, now: Now) {
        if let Some(local) = self.local(id) {
            local.inbox.push_back(text);
        }
        self.settle(now);
    }

    /// A local client has taken all its messages.
    pub fn caught_up(&mut self, id: ConnId, now: Now) {
        self.engine.wrote(id, 0, now);
        self.settle(now);
    }

    /// A local client leaves.
    pub fn leave(&mut self, id: ConnId, now: Now) {
        self.locals.retain(|local| local.id != id);
        self.engine.closed(id, now);
        self.settle(now);
    }

    fn local(&mut self, id: ConnId) -> Option<&mut Local> {
        self.locals.iter_mut().find(|local| local.id == id)
    }

    /// After every call of the engine: hands out what it left for local
    /// clients and handles what they have sent, until there is neither.
    fn settle(&mut self, now: Now) {
        while !self.locals.is_empty() {
            let taken = self.take_effects(now);
            let released = self.release(now);
            let fed = self.feed(now);
            if !(taken || released || fed) {
                return;
            }
        }
    }

    /// Takes the effects for local connections out of the engine's; whether
    /// there were any.
    fn take_effects(&mut self, now: Now) -> bool {
        let effects = self.engine.effects();
        if !effects.list.iter().any(is_local) {
            return false;
        }
        for effect in std::mem::take(&mut effects.list) {
            let effects = self.engine.effects();
            if !is_local(&effect) {
                effects.list.push(effect);
                continue;
            }
            match effect {
                Effect::Send { conn, head, body, tail, needs } => {
                    let parts = [
                        effects.bytes.get(head).unwrap_or_default(),
                        body.as_deref().unwrap_or_default(),
                        effects.bytes.get(tail).unwrap_or_default(),
                    ];
                    let text = String::from_utf8_lossy(&parts.concat()).into_owned();
                    if let Some(local) = self.local(conn) {
                        local.held.push_back((needs, text));
                    }
                }
                Effect::Close { conn, code, reason } => {
                    if let Some(local) = self.local(conn) {
                        local.closing = Some(Closed { code, reason: reason.into() });
                    }
                }
                Effect::Abandon { conn, code, reason } => {
                    if let Some(local) = self.local(conn) {
                        local.held.clear();
                        local.closing = Some(Closed { code, reason: reason.into() });
                    }
                }
                // Messages are handed over one by one: what was handed over is
                // known.
                Effect::Probe { conn, number, .. } => self.engine.probed(conn, number, now),
                Effect::Resume { conn } => {
                    if let Some(local) = self.local(conn) {
                        local.waiting = false;
                    }
                }
                // A local client makes no calls.
                Effect::Answer { .. }
                | Effect::Stream { .. }
                | Effect::Job(_)
                | Effect::StopAccepting
                | Effect::Stop => {}
            }
        }
        true
    }

    /// Hands out what is durable and tells the engine how much its client has
    /// left untaken; ends those whose last message is out.
    fn release(&mut self, now: Now) -> bool {
        let durable = self.durability.as_ref().map_or(CommitSeq::MAX, Durability::current);
        // Below this the client is as good as caught up.
        let mark = self.engine.options.push_threshold() as usize / 2;
        let mut reports = Vec::new();
        for local in &mut self.locals {
            let mut any = false;
            while local.held.front().is_some_and(|(needs, _)| *needs <= durable)
                && let Some((_, text)) = local.held.pop_front()
            {
                local.slot.put(text);
                any = true;
            }
            if any {
                let bytes = local.slot.watch(mark);
                reports.push((local.id, if bytes > mark { bytes } else { 0 }));
            }
        }
        self.locals.retain_mut(|local| {
            if !local.held.is_empty() {
                return true;
            }
            let Some(closed) = local.closing.take() else { return true };
            local.slot.close(closed);
            false
        });
        let any = !reports.is_empty();
        for (id, bytes) in reports {
            self.engine.wrote(id, bytes, now);
        }
        any
    }

    /// Handles one message of each local client that may have one handled: not
    /// while a job is pending, nor while it does not take what it is sent.
    fn feed(&mut self, now: Now) -> bool {
        if !self.engine.takes_messages() {
            return false;
        }
        let most = self.engine.options.max_buffered_bytes;
        let mut messages = Vec::new();
        for local in &mut self.locals {
            if !local.waiting
                && local.slot.waiting_bytes() < most
                && let Some(text) = local.inbox.pop_front()
            {
                messages.push((local.id, text));
            }
        }
        let any = !messages.is_empty();
        for (id, text) in messages {
            let flow = self.engine.message(id, &text, now);
            if let Some(local) = self.local(id) {
                local.waiting = flow == Flow::Wait;
            }
        }
        any
    }
}

fn is_local(effect: &Effect) -> bool {
    match effect {
        Effect::Send { conn, .. }
        | Effect::Close { conn, .. }
        | Effect::Abandon { conn, .. }
        | Effect::Probe { conn, .. }
        | Effect::Answer { conn, .. }
        | Effect::Stream { conn }
        | Effect::Resume { conn } => conn.slot == LOCAL_SLOT,
        Effect::Job(_) | Effect::StopAccepting | Effect::Stop => false,
    }
}

impl App for Hosted {
    fn connected(&mut self, conn: ConnId, peer: &Peer, now: Now) {
        self.engine.connected(conn, peer, now);
        self.settle(now);
    }

    fn probed(&mut self, conn: ConnId, number: u64, now: Now) {
        self.engine.probed(conn, number, now);
        self.settle(now);
    }

    fn message(&mut self, conn: ConnId, text: &str, now: Now) -> Flow {
        let flow = self.engine.message(conn, text, now);
        self.settle(now);
        flow
    }

    fn called(&mut self, conn: ConnId, call: Call<'_>, now: Now) {
        self.engine.called(conn, call, now);
        self.settle(now);
    }

    fn go_on(&mut self, conn: ConnId, now: Now) -> Flow {
        let flow = self.engine.go_on(conn, now);
        self.settle(now);
        flow
    }

    fn closed(&mut self, conn: ConnId, now: Now) {
        self.engine.closed(conn, now);
        self.settle(now);
    }

    fn ended(&mut self, conn: ConnId, code: u16, why: &'static str, now: Now) {
        self.engine.ended(conn, code, why, now);
        self.settle(now);
    }

    fn wrote(&mut self, conn: ConnId, buffered: usize, now: Now) {
        self.engine.wrote(conn, buffered, now);
        self.settle(now);
    }

    fn next_deadline(&self) -> Option<u64> {
        self.engine.next_deadline()
    }

    fn timers(&mut self, now: Now, view: &dyn TransportView) {
        self.engine.timers(now, view);
        self.settle(now);
    }

    fn turn_ended(&mut self, now: Now) {
        self.engine.turn_ended(now);
        if let Some(durability) = &self.durability {
            self.engine.note_durable(durability.current());
        }
        self.settle(now);
    }

    fn takes_messages(&self) -> bool {
        self.engine.takes_messages()
    }

    fn job_done(&mut self, id: JobId, output: Result<JobOutput, String>, now: Now) {
        self.engine.job_done(id, output, now);
        self.settle(now);
    }

    fn shutdown(&mut self, grace_ms: u64, now: Now) {
        self.engine.shutdown(grace_ms, now);
        self.settle(now);
    }

    fn http(&mut self, request: &HttpRequest<'_>, now: Now) -> Option<HttpAnswer> {
        self.engine.http(request, now)
    }

    fn effects(&mut self) -> &mut Effects {
        self.engine.effects()
    }
}

/// Reads a file of keys or secrets.
pub(super) fn read_file(path: &Path) -> std::io::Result<Vec<u8>> {
    std::fs::read(path)
}
