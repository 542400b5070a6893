//! Requests that the audit log records, and responses that wait for its file.

use std::borrow::Cow;
use std::sync::Arc;

use super::client_sessions::Numbered;
use super::{Engine, Outcome};
use crate::app::{ConnId, Now};
use crate::audit::{self, Note, Who};
use crate::protocol::{OpError, Operation, Reply, Request, RequestId};

/// How long repeats of a look are not recorded.
const LOOK_AGAIN_MS: u64 = 10 * 60_000;

/// The newest entry about an operation that only looks, and how often it was
/// repeated since.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    operation: &'static str,
    at: u64,
    repeats: u64,
}

impl Engine {
    /// What the audit log takes from a request that it records.
    pub(super) fn audit_note(&self, conn: ConnId, request: &Request<'_>) -> Option<Note> {
        let (log, operation) = (self.audit.as_ref()?, request.known?);
        match self.impersonator(conn).is_some() || operation == Operation::AuthImpersonate {
            true => log.note_of_impersonator(operation, request),
            false => log.note(operation, request),
        }
    }

    /// Refuses what would have to be recorded and cannot be.
    pub(super) fn check_audit(&self, note: Option<&Note>) -> Result<(), OpError> {
        let unavailable = self.audit.as_ref().is_some_and(audit::AuditLog::is_unavailable);
        if note.is_some() && unavailable {
            let text = "Audit log unavailable";
            return Err(OpError::new(crate::protocol::ErrorCode::InternalError, text));
        }
        Ok(())
    }

    /// Records what became of a request; its connection is as it left it.
    pub(super) fn record(&mut self, id: ConnId, note: Option<&Note>, outcome: audit::Outcome<'_>) {
        let Some(note) = note else { return };
        let user = self.session(id).map(|session| Arc::clone(&session.user_id));
        let Some(note) = self.note_of_look(id, note, outcome) else { return };
        let impersonator = self.impersonator(id).map(Arc::clone);
        let (Some(log), Some(conn)) = (&mut self.audit, self.conns.get(id)) else { return };
        let name = conn.name();
        let who = Who {
            user_id: user.as_deref(),
            impersonated_by: impersonator.as_deref(),
            connection: &name,
            address: conn.address,
        };
        log.record(&note, &who, outcome, self.now.wall);
    }

    /// Looking must not fill the log: what a connection that has opted in repeats
    /// is recorded every few minutes, with how often it was.
    fn note_of_look<'n>(
        &mut self,
        id: ConnId,
        note: &'n Note,
        outcome: audit::Outcome<'_>,
    ) -> Option<Cow<'n, Note>> {
        let now = self.now.mono;
        let conn = self.conns.get_mut(id).filter(|conn| conn.opted_in.is_some());
        let (Some(conn), true) = (conn, note.is_look() && outcome == audit::Outcome::Success)
        else {
            return Some(Cow::Borrowed(note));
        };
        let looks = &mut conn.looks;
        match looks.iter_mut().find(|look| look.operation == note.operation()) {
            None => {
                looks.push(Look { operation: note.operation(), at: now, repeats: 0 });
                Some(Cow::Borrowed(note))
            }
            Some(look) if now < look.at.saturating_add(LOOK_AGAIN_MS) => {
                look.repeats += 1;
                None
            }
            Some(look) => {
                look.at = now;
                match std::mem::take(&mut look.repeats) {
                    0 => Some(Cow::Borrowed(note)),
                    repeats => Some(Cow::Owned(note.looked_again(repeats))),
                }
            }
        }
    }

    /// Whether the response to a request that has just been recorded waits for
    /// the file: then it is kept, and the connection's next messages wait.
    pub(super) fn hold_response(
        &mut self,
        conn: ConnId,
        (request, repeated): (RequestId, bool),
        operation: &str,
        note: Option<&Note>,
        result: Result<&mut Reply, &OpError>,
    ) -> bool {
        let held =
            note.is_some() && self.audit.as_ref().is_some_and(audit::AuditLog::holds_responses);
        let Some(entry) = self.audit.as_ref().filter(|_| held).map(audit::AuditLog::recorded)
        else {
            return false;
        };
        let result = result.map(|reply| (reply.take_data(), reply.commit)).map_err(OpError::clone);
        let job = self.ids.next_job();
        let then = Box::new(move |engine: &mut Engine, conn, _, reply: &mut Reply| {
            engine.stop_holding(conn);
            let (data, commit) = result?;
            reply.data().extend_from_slice(&data);
            reply.commit = commit;
            Ok(Outcome::Done)
        });
        self.wait_for(conn, job, request, operation, then);
        if let Some(pending) = self.waits.jobs.get_mut(&job) {
            pending.numbered = repeated.then_some(Numbered::Repeats);
        }
        self.waits.audited.push_back((entry, job));
        if let Some(conn) = self.conns.get_mut(conn) {
            // What the request changed is pushed behind its response.
            conn.holding = true;
        }
        true
    }

    /// The file has this many entries since the start on disk: responses that
    /// waited for them leave.
    pub fn audit_synced(&mut self, entries: u64, now: Now) {
        self.take_time(now);
        while let Some((entry, job)) = self.waits.audited.front().copied()
            && entry <= entries
        {
            self.waits.audited.pop_front();
            self.complete_job(job, Ok(Box::new(())));
        }
    }
}
