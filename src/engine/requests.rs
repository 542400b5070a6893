//! One message, from its text to its response: the list of what happens to it.
//!
//! Owns the order of checks and that a panicking handler costs one connection.
//! What is checked and done stands next door (`gate.rs`, `budgets.rs`,
//! `audited.rs`, `ops/`).

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::budgets::Spent;
use super::introspection::Author;
use super::{Engine, Outcome};
use crate::app::{CommitSeq, ConnId, EffectsMark, Flow};
use crate::audit::{self, Note};
use crate::protocol::{ErrorCode, Incoming, OpError, Reply, Request, RequestId, parse_message_at};

/// A request that is being answered.
pub(super) struct Answered<'a> {
    pub id: RequestId,
    pub operation: &'a str,
    pub note: Option<Note>,
    /// What a successful response waits for.
    pub needs: CommitSeq,
    /// It was answered before.
    pub repeated: bool,
    /// The response may wait for the audit file.
    pub holds: bool,
}

impl Engine {
    /// Handles one text message.
    pub(super) fn handle_message(&mut self, conn: ConnId, text: &str) -> Flow {
        let place = self.place_in_call(conn);
        let request = match parse_message_at(text, self.options.max_json_depth, place) {
            Ok(Incoming::Pong { .. }) if place.is_some() => {
                self.refuse_pong(conn, place);
                return Flow::Continue;
            }
            Ok(Incoming::Pong { timestamp }) => {
                self.pong(conn, timestamp);
                return Flow::Continue;
            }
            Err(rejected) => {
                self.send_error(conn, rejected.id, &rejected.error);
                return Flow::Continue;
            }
            Ok(Incoming::Request(request)) => request,
        };
        if let Some(error) = self.call_is_over(conn) {
            self.send_error(conn, request.id, &error);
            return Flow::Continue;
        }
        self.metrics.requests += 1;
        if let Some(conn) = self.conns.get_mut(conn) {
            conn.asked_at = self.now.mono;
        }
        let (began, errors) =
            (self.current.ticked.unwrap_or_else(|| self.stopwatch()), self.metrics.errors);
        self.purge_expired();
        self.current.author = Author::Conn(conn);
        self.begin_budget(conn);
        let note = self.audit_note(conn, &request);
        let audited = self.check_audit(note.as_ref());
        let holds = audited.is_ok();
        let mut reply = Reply::new(request.id, std::mem::take(&mut self.current.scratch));
        let mark = self.effects.mark();
        let before = self.begin_answer();
        let result = catch_unwind(AssertUnwindSafe(|| {
            let commits = self.metrics.seen_commits();
            let result = self.run_request(conn, &request, audited, &mut reply);
            self.hold_budget(commits, request.known, &reply, result)
        }));
        let budget = &self.budget;
        self.current.spent = Spent {
            request: budget.spent(),
            looked_at: budget.looked_at(),
            rows: budget.rows(),
            after: 0,
        };
        self.note_spent(conn, result.as_ref().ok().and_then(|result| result.as_ref().err()));
        self.end_answer(conn, before, &mut reply);
        self.note_scan(&request);
        let repeated = self.settle_numbered(conn, &result, &reply);
        let code = match &result {
            Ok(Ok(_)) => None,
            Ok(Err(error)) => Some(error.code.as_str()),
            Err(_) => Some(ErrorCode::InternalError.as_str()),
        };
        let needs = self.response_needs(&request);
        let operation = &*request.operation;
        let answered = Answered { id: request.id, operation, note, needs, repeated, holds };
        let outcome = self.respond(conn, answered, mark, reply, result);
        self.after_request(conn, &request, text.len(), (began, errors), code);
        match outcome {
            Outcome::Done => Flow::Continue,
            Outcome::Pending => Flow::Wait,
        }
    }

    /// What follows from a request that has its response: pushes, figures, what is
    /// told to those who look. `began` by the stopwatch, with as many errors.
    fn after_request(
        &mut self,
        conn: ConnId,
        request: &Request<'_>,
        length: usize,
        (began, errors): (u64, u64),
        code: Option<&'static str>,
    ) {
        // Without a commit there is little between the two.
        let handled = (!self.commits.unpublished.is_empty()).then(|| self.stopwatch());
        self.publish();
        self.current.author = Author::default();
        let ended = self.stopwatch();
        self.figures
            .count_request(request.family(), handled.unwrap_or(ended).saturating_sub(began));
        self.current.ticked = Some(ended);
        let took = ended.saturating_sub(began);
        if let Some(conn) = self.conns.get_mut(conn) {
            conn.meter.count_request(self.now.mono, length, took, self.metrics.errors > errors);
        }
        self.trace_request(conn, request, code, (took, length));
        self.note_slow_request(conn, request, took);
        self.note_slow_view();
        self.current.spent.after = self.budget.spent();
    }

    /// One request, from its first check to its response. `Err` is the error
    /// response; the reply buffer then goes unused. `audited`: what the audit log
    /// says about it, which nobody learns who may not ask, or asks too often.
    fn run_request(
        &mut self,
        conn: ConnId,
        request: &Request<'_>,
        audited: Result<(), OpError>,
        reply: &mut Reply,
    ) -> Result<Outcome, OpError> {
        if !self.conns.get(conn).is_some_and(|conn| conn.trusted) {
            self.authorise(conn, request)?;
            self.limit_request(conn, request)?;
        }
        audited?;
        self.route(conn, request, reply)
    }

    fn route(
        &mut self,
        conn: ConnId,
        request: &Request<'_>,
        reply: &mut Reply,
    ) -> Result<Outcome, OpError> {
        let name = &*request.operation;
        self.check_door(conn, name)?;
        let Some(family) = request.family() else {
            #[cfg(any(test, feature = "test-ops"))]
            if let Some(result) = self.test_operation(conn, name, request) {
                return result;
            }
            return Err(OpError::new(
                ErrorCode::UnknownOperation,
                format!("Unknown operation \"{name}\""),
            ));
        };
        self.family_available(family)?;
        let trusted = self.conns.get(conn).is_some_and(|conn| conn.trusted);
        let Some(operation) = request.known else {
            if !trusted {
                self.guard_unknown(family, request)?;
            }
            return Err(OpError::new(
                ErrorCode::UnknownOperation,
                format!("Unknown {} operation \"{name}\"", family.as_str()),
            ));
        };
        if !trusted {
            self.guard(conn, operation, request)?;
        }
        if let Some(repeated) = self.begin_numbered(conn, operation, request, reply)? {
            return Ok(repeated);
        }
        self.check_room(conn, operation)?;
        let was_defined = self.is_defined_already(operation, request);
        #[cfg(any(test, feature = "test-ops"))]
        Self::panic_if_asked(request, "before");
        let outcome = self.handle(conn, operation, request, reply)?;
        #[cfg(any(test, feature = "test-ops"))]
        Self::panic_if_asked(request, "behind");
        if !was_defined {
            self.settle_ownership(conn, operation, request)?;
        }
        Ok(outcome)
    }

    /// Queues the response to a request that ran, whichever way it ended, and
    /// records it.
    pub(super) fn respond(
        &mut self,
        conn: ConnId,
        answered: Answered<'_>,
        mark: EffectsMark,
        mut reply: Reply,
        result: std::thread::Result<Result<Outcome, OpError>>,
    ) -> Outcome {
        let Answered { id, operation, note, needs, repeated, holds } = answered;
        let note = note.map(|note| if repeated { note.repeated() } else { note });
        reply.repeated = repeated;
        match result {
            Ok(Ok(Outcome::Done)) => {
                self.record(conn, note.as_ref(), audit::Outcome::Success);
                let held = note.as_ref().filter(|_| holds);
                if self.hold_response(conn, (id, repeated), operation, held, Ok(&mut reply)) {
                    self.current.scratch = reply.discard();
                    return Outcome::Pending;
                }
                self.figures.count_outcome(operation, None);
                let mut response = reply.finish();
                match self.is_call(conn) {
                    true => self.send_response(conn, &response, None, needs),
                    false => self.send_whole(conn, &mut response, needs),
                }
                self.current.scratch = response;
            }
            Ok(Ok(Outcome::Pending)) => {
                let commit = reply.commit;
                self.current.scratch = reply.discard();
                self.note_pending(conn, note, commit);
                return Outcome::Pending;
            }
            Ok(Err(error)) => {
                self.current.scratch = reply.discard();
                self.record(conn, note.as_ref(), audit::Outcome::Error(&error.message));
                let held = note.as_ref().filter(|_| holds);
                if self.hold_response(conn, (id, repeated), operation, held, Err(&error)) {
                    return Outcome::Pending;
                }
                if self.figures.count_outcome(operation, Some(&error)) {
                    self.note_failed_login(conn, operation, &error.message);
                }
                self.send_error_of(conn, id, &error, repeated);
            }
            Err(panic) => {
                self.effects.rollback(mark);
                self.survive_panic(operation, panic.as_ref());
                let error = OpError::internal();
                self.send_error(conn, id, &error);
                self.record(conn, note.as_ref(), audit::Outcome::Error(&error.message));
                self.close(conn, 1011, "internal_error");
            }
        }
        Outcome::Done
    }
}
