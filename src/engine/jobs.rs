//! Requests that wait for a slow pure function on the worker thread.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};

use hashbrown::HashMap;

use super::client_sessions::Numbered;
use super::requests::Answered;
use super::{Engine, Outcome};
use crate::app::{CommitSeq, ConnId, Effect, Job, JobId, JobOutput};
use crate::audit::Note;
use crate::protocol::{OpError, Reply, RequestId};

/// What goes on with a request when its job is done. It must read again the
/// state that it decides on: other requests ran meanwhile.
pub(crate) type Continuation = Box<
    dyn FnOnce(
            &mut Engine,
            ConnId,
            Result<JobOutput, String>,
            &mut Reply,
        ) -> Result<Outcome, OpError>
        + Send,
>;

/// A request whose response is still to come.
pub(crate) struct Pending {
    conn: ConnId,
    request: RequestId,
    operation: String,
    /// What the audit log will take.
    note: Option<Note>,
    pub(super) numbered: Option<Numbered>,
    /// The last commit that it has made so far, for an answer that says so.
    commit: Option<CommitSeq>,
    then: Continuation,
}

/// Requests whose responses are still to come.
#[derive(Default)]
pub(crate) struct Waits {
    /// By the job that they wait for.
    pub(super) jobs: HashMap<JobId, Pending>,
    /// Those that wait for the audit file: number of the entry, job.
    pub(super) audited: VecDeque<(u64, JobId)>,
}

impl Engine {
    /// Starts a job for a request and holds its connection's next messages
    /// back. The handler returns what this returns.
    pub(crate) fn start_job(
        &mut self,
        conn: ConnId,
        request: RequestId,
        operation: &str,
        run: Box<dyn FnOnce() -> JobOutput + Send>,
        then: Continuation,
    ) -> Result<Outcome, OpError> {
        let id = self.ids.next_job();
        self.wait_for(conn, id, request, operation, then);
        self.effects.list.push(Effect::Job(Job { id, run }));
        Ok(Outcome::Pending)
    }

    /// Registers a request that is completed by [`Engine::complete_job`] with
    /// this id, whoever does the work.
    pub(crate) fn wait_for(
        &mut self,
        conn: ConnId,
        id: JobId,
        request: RequestId,
        operation: &str,
        then: Continuation,
    ) {
        if let Some(conn) = self.conns.get_mut(conn) {
            conn.waiting = Some(id);
        }
        let operation = operation.into();
        let (note, numbered, commit) = (None, None, None);
        let pending = Pending { conn, request, operation, note, numbered, commit, then };
        self.waits.jobs.insert(id, pending);
    }

    /// Keeps what the audit log will take from a request that waits, its number, and
    /// what it has committed.
    pub(super) fn note_pending(
        &mut self,
        conn: ConnId,
        note: Option<Note>,
        commit: Option<CommitSeq>,
    ) {
        let numbered = self.pause_numbered();
        let job = self.conns.get(conn).and_then(|conn| conn.waiting);
        if let Some(pending) = job.and_then(|job| self.waits.jobs.get_mut(&job)) {
            pending.note = note;
            pending.numbered = numbered;
            pending.commit = commit;
        }
    }

    /// Continues the request that waited. A result for a connection that is
    /// gone finds nobody.
    pub(super) fn complete_job(&mut self, id: JobId, output: Result<JobOutput, String>) {
        let Some(pending) = self.waits.jobs.remove(&id) else { return };
        let Pending { conn, request, operation, note, numbered, commit, then } = pending;
        match self.conns.get_mut(conn) {
            Some(open) => open.waiting = None,
            None => return,
        }
        if let Err(panic) = &output {
            self.metrics.panics += 1;
            log::error!("panic in a job of {operation:?}: {panic}");
        }
        let mut reply = Reply::new(request, std::mem::take(&mut self.current.scratch));
        let mark = self.effects.mark();
        reply.commit = commit;
        let before = self.begin_answer();
        self.go_on_numbered(numbered);
        let result = catch_unwind(AssertUnwindSafe(|| then(self, conn, output, &mut reply)));
        self.end_answer(conn, before, &mut reply);
        let repeated = self.settle_numbered(conn, &result, &reply);
        let needs = self.log.last();
        let operation = &*operation;
        let answered = Answered { id: request, operation, note, needs, repeated, holds: true };
        let outcome = self.respond(conn, answered, mark, reply, result);
        if outcome == Outcome::Done {
            self.effects.list.push(Effect::Resume { conn });
        }
        self.publish();
        if self.is_draining() {
            self.close_if_idle(conn);
        }
    }
}
