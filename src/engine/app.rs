//! What the loop tells the engine, one call each.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::Engine;
use super::timers::Timer;
use crate::app::{
    App, Call, ConnId, Effect, Effects, Flow, HttpAnswer, HttpRequest, JobId, JobOutput, Now, Peer,
    TransportView,
};

/// Room that is kept for the text of answers from turn to turn.
const SCRATCH_BYTES: usize = 256 * 1024;

impl App for Engine {
    fn connected(&mut self, id: ConnId, peer: &Peer, now: Now) {
        self.take_time(now);
        self.metrics.connections += 1;
        if !self.serves_newcomers() {
            self.effects.list.push(Effect::Close {
                conn: id,
                code: 1001,
                reason: "server_shutting_down",
            });
            return;
        }
        self.conns.open(id, peer, now);
        self.send_welcome(id);
        self.start_heartbeat(id);
    }

    fn message(&mut self, conn: ConnId, text: &str, now: Now) -> Flow {
        let ticked = self.current.ticked;
        self.take_time(now);
        self.current.ticked = ticked;
        if self.conns.get(conn).is_none() {
            return Flow::Continue;
        }
        self.handle_message(conn, text)
    }

    fn called(&mut self, conn: ConnId, call: Call<'_>, now: Now) {
        self.begin_call(conn, call, now);
    }

    fn go_on(&mut self, conn: ConnId, now: Now) -> Flow {
        self.step_call(conn, now)
    }

    fn closed(&mut self, conn: ConnId, now: Now) {
        self.ended(conn, 1000, "left", now);
    }

    fn ended(&mut self, conn: ConnId, code: u16, why: &'static str, now: Now) {
        self.take_time(now);
        self.forget(conn, (code, why));
        self.publish();
    }

    fn wrote(&mut self, id: ConnId, buffered: usize, now: Now) {
        self.take_time(now);
        let Some(conn) = self.conns.get_mut(id) else { return };
        let taken = conn.buffered.saturating_sub(buffered);
        conn.buffered -= taken;
        conn.written += taken as u64;
        conn.meter.progress = now.mono;
        let (end, at) = conn.timed_push;
        if end > 0 && conn.written >= end {
            conn.timed_push = (0, 0);
            self.figures.push_delays.count(now.mono.saturating_sub(at).saturating_mul(1_000));
        }
        self.note_reading(id);
        self.output_left(id);
        self.end_oversized();
        self.report_lost_events(id);
    }

    fn probed(&mut self, id: ConnId, number: u64, now: Now) {
        self.take_time(now);
        self.proof_answered(id, number);
    }

    fn next_deadline(&self) -> Option<u64> {
        self.wheel.next_deadline()
    }

    fn timers(&mut self, now: Now, view: &dyn TransportView) {
        self.take_time(now);
        let mut due = std::mem::take(&mut self.chores.due);
        self.wheel.advance(now.mono, &mut due);
        for timer in due.drain(..) {
            let run = catch_unwind(AssertUnwindSafe(|| self.fire(timer, view)));
            if let Err(panic) = run {
                self.survive_panic(&format!("{timer:?}"), panic.as_ref());
                if let Timer::Heartbeat(conn) | Timer::Stream(conn) = timer {
                    self.close(conn, 1011, "internal_error");
                }
            }
            self.publish();
        }
        self.chores.due = due;
    }

    fn turn_ended(&mut self, now: Now) {
        // What one long answer needed is not kept for the short ones.
        self.current.scratch.clear();
        self.current.scratch.shrink_to(SCRATCH_BYTES);
        self.effects.bytes.shrink_to(SCRATCH_BYTES);
        self.take_time(now);
        self.chores.expired_in_turn = 0;
        self.hand_over_batch();
        self.sample_load();
        self.look_at_disk();
    }

    fn takes_messages(&self) -> bool {
        self.log_keeps_up()
    }

    fn job_done(&mut self, id: JobId, output: Result<JobOutput, String>, now: Now) {
        self.take_time(now);
        if let Some(output) = self.rules_job_done(id, output) {
            self.complete_job(id, output);
        }
    }

    fn shutdown(&mut self, grace_ms: u64, now: Now) {
        self.take_time(now);
        self.begin_shutdown(grace_ms);
    }

    fn http(&mut self, request: &HttpRequest<'_>, now: Now) -> Option<HttpAnswer> {
        self.take_time(now);
        let (door, answer) =
            self.answer_probe(request.path).or_else(|| self.answer_metrics(request))?;
        self.figures.count_http(door, answer.status);
        Some(answer)
    }

    fn effects(&mut self) -> &mut Effects {
        &mut self.effects
    }
}
