//! One turn of the loop, in one place.
//!
//! Nothing is freed while something else iterates over it: connections that
//! end are put on a list, and the last step of the turn drops them.

use super::entry::{Entry, View, find};
use super::http::door::Denied;
use super::http::{Method, Refusal};
use super::limits::{EVENTS, KEPT_BYTES, POLLS};
use super::mailbox::Mail;
use super::transport::{RELOAD_SIGNAL, Running, STOP_SIGNAL, Transport, WAKER};
use crate::app::{App, ConnId};
use std::io;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

impl<A: App + 'static> Transport<A> {
    pub(super) fn turn(&mut self, timeout: Option<Duration>) -> io::Result<Running> {
        // What was done with the app between two turns.
        self.perform_effects();
        // The only place that sleeps. All that has arrived by then is known
        // before anything is handled, so no timer fires for a peer whose answer
        // is already there; and the time stands still for the turn.
        self.wait(timeout)?;
        let start = self.clock.micros();
        self.handle_signal_events();
        // Results of jobs and commands of other threads: they may let input go on.
        self.take_mail();
        self.accept();
        // Messages, each with the effects of its handling.
        if self.app.takes_messages() {
            self.serve_ready();
        }
        self.fire_timers();
        self.look_at_certificates();
        // The app hands over what belongs together, such as a batch to be logged.
        self.app.turn_ended(self.now);
        self.perform_effects();
        // What has become durable leaves with the rest, in one write each.
        self.release_durable();
        self.flush_dirty();
        self.bound_output();
        self.report_drained();
        self.drop_doomed();
        self.spares.look(self.now.mono);
        self.counters.count_turn(self.clock.micros().saturating_sub(start));
        Ok(self.running())
    }

    /// How long nothing needs to be done; `None` is for ever.
    fn time_to_sleep(&self, limit: Option<Duration>) -> Option<Duration> {
        // Whoever wants no messages wakes the loop when that changes.
        let has_work = (!(self.ready.is_empty() && self.heavy.is_empty())
            && self.app.takes_messages())
            || !self.dirty.is_empty()
            || !self.doomed.is_empty()
            || self.accepting.has_work();
        if has_work {
            return Some(Duration::ZERO);
        }
        let now = self.clock.now().mono;
        let sleep = self.next_deadline().map(|at| Duration::from_millis(at.saturating_sub(now)));
        match (sleep, limit) {
            (Some(sleep), Some(limit)) => Some(sleep.min(limit)),
            (sleep, limit) => sleep.or(limit),
        }
    }

    fn next_deadline(&self) -> Option<u64> {
        let deadlines = [
            self.wheel.next_deadline(),
            self.app.next_deadline(),
            self.probing.next_deadline(),
            self.accepting.paused_until,
            self.spares.deadline(),
            self.output_again,
            self.refusals.next_deadline(),
            self.certificates.as_ref().map(|certificates| certificates.look_at),
            self.stop.deadline,
        ];
        deadlines.into_iter().flatten().min()
    }

    fn wait(&mut self, limit: Option<Duration>) -> io::Result<()> {
        let mut timeout = self.time_to_sleep(limit);
        let (mut is_complete, mut rounds) = (false, 0);
        loop {
            let interrupted = match self.poll.poll(&mut self.events, timeout) {
                Ok(()) => false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                    self.events.clear();
                    true
                }
                Err(error) => return Err(error),
            };
            timeout = Some(Duration::ZERO);
            rounds += 1;
            if self.note_events() >= EVENTS && rounds < POLLS {
                // There may be more than fitted.
                continue;
            }
            if is_complete {
                return Ok(());
            }
            self.now = self.clock.now();
            // A process that was stopped or had no processor for a while learns
            // nothing of what came meanwhile from the call that ends then. So
            // before a timer fires, everything that arrived until the time it
            // fires at is asked for.
            let is_due = self.next_deadline().is_some_and(|at| at <= self.now.mono);
            if !interrupted && !is_due {
                return Ok(());
            }
            is_complete = true;
        }
    }

    /// Puts what is ready on lists; handles nothing.
    fn note_events(&mut self) -> usize {
        let mut count = 0;
        for event in &self.events {
            count += 1;
            let token = event.token();
            // Mail is looked for in every turn.
            if token == WAKER || self.accepting.mark_ready(token) {
                continue;
            }
            if token == STOP_SIGNAL || token == RELOAD_SIGNAL {
                self.stop.signal_arrived = true;
                continue;
            }
            let Some(entry) = self.table.get_mut(token.0) else { continue };
            // The loss of a connection is learned by reading; one that is not
            // being read learns of it by writing.
            let is_lost = event.is_error() || (event.is_write_closed() && event.is_read_closed());
            entry.readable |= event.is_readable() || event.is_read_closed() || is_lost;
            entry.hung_up |= event.is_read_closed() || is_lost;
            if (event.is_writable() && entry.blocked) || is_lost {
                entry.blocked = false;
                if !std::mem::replace(&mut entry.is_dirty, true) {
                    self.dirty.push(token.0 as u32);
                }
            }
            if entry.has_input_work() && !std::mem::replace(&mut entry.is_ready, true) {
                let line = if entry.is_heavy { &mut self.heavy } else { &mut self.ready };
                line.push_back(token.0 as u32);
            }
        }
        count
    }

    fn handle_signal_events(&mut self) {
        if !std::mem::take(&mut self.stop.signal_arrived) {
            return;
        }
        let Some(actions) = &mut self.signals else { return };
        let arrived = actions.signals.take();
        if arrived.reload {
            (actions.reload)(&mut self.app, self.now);
            if let Some(certificates) = &mut self.certificates {
                certificates.ask(self.now.mono);
            }
        }
        for _ in 0..arrived.stop {
            self.stop.signals = self.stop.signals.saturating_add(1);
            match self.stop.signals {
                1 => self.app.shutdown(actions.grace_ms, self.now),
                2 => self.app.shutdown(0, self.now),
                _ => self.stop.at_once = true,
            }
        }
        self.perform_effects();
    }

    fn take_mail(&mut self) {
        for mail in self.mailbox.take() {
            match mail {
                Mail::Run(command) => command(&mut self.app, self.now),
                Mail::Done(id, result) => self.app.job_done(id, result, self.now),
                Mail::Shaken(shaken) => self.shaken(*shaken),
                Mail::Looked(looked) => self.certificates_looked_at(*looked),
            }
            self.perform_effects();
        }
    }

    fn fire_timers(&mut self) {
        let mut expired = std::mem::take(&mut self.expired);
        self.wheel.advance(self.now.mono, &mut expired);
        for id in expired.drain(..) {
            self.time_is_over(id);
        }
        self.expired = expired;
        self.end_rounds();
        self.refusals.tell(self.now.mono);
        if self.app.next_deadline().is_some_and(|deadline| deadline <= self.now.mono) {
            self.app.timers(self.now, &View(&self.table));
            self.perform_effects();
        }
    }

    fn time_is_over(&mut self, id: ConnId) {
        let Some(entry) = find(&mut self.table, id) else { return };
        entry.timer = None;
        if entry.is_veiled() && entry.conn.is_in_handshake() {
            if !entry.awaits_header {
                self.counters.tls_timeout.fetch_add(1, Relaxed);
            }
            let (from, refusal) = (entry.address, Refusal::Timeout);
            self.note_refused(refusal.reason(), from, refusal.text());
            self.doom(id.slot);
        } else if entry.conn.is_in_handshake() {
            self.refuse(id.slot, Refusal::Timeout, Method::Other);
        } else if entry.conn.is_reading_body() {
            let step = entry.conn.deny(Denied::Late);
            self.perform(id.slot, step);
        } else if self.is_leaving(id.slot) {
            self.begin_drain(id.slot);
        } else {
            self.doom(id.slot);
        }
    }

    fn release_durable(&mut self) {
        let durable = self.durability.current();
        if durable == self.durable {
            return;
        }
        self.durable = durable;
        for id in std::mem::take(&mut self.gated) {
            if let Some(entry) = find(&mut self.table, id) {
                entry.is_gated = false;
                if !std::mem::replace(&mut entry.is_dirty, true) {
                    self.dirty.push(id.slot);
                }
            }
        }
    }

    /// Puts a connection on the list of those that this turn ends with.
    pub(super) fn doom(&mut self, slot: u32) {
        if let Some(entry) = self.table.get_mut(slot as usize)
            && !std::mem::replace(&mut entry.is_doomed, true)
        {
            self.doomed.push(slot);
        }
    }

    fn drop_doomed(&mut self) {
        while let Some(slot) = self.doomed.pop() {
            let Some(mut entry) = self.table.try_remove(slot as usize) else { continue };
            if let Some(timer) = entry.timer.take() {
                self.wheel.cancel(timer);
            }
            self.counters.outbox_bytes.fetch_sub(entry.reported as u64, Relaxed);
            self.counters.input_bytes.fetch_sub(entry.reported_input as u64, Relaxed);
            self.counters.sockets.store(self.table.len() as u64, Relaxed);
            // Every list of slots is checked against the table when it is used.
        }
        if self.table.is_empty() && self.table.capacity() * size_of::<Entry>() > KEPT_BYTES {
            self.table.shrink_to_fit();
        }
    }

    fn running(&mut self) -> Running {
        let Some(deadline) = self.stop.deadline else { return Running::Continue };
        if self.table.is_empty() || self.stop.at_once || deadline <= self.now.mono {
            self.table.clear();
            return Running::Stopped;
        }
        Running::Continue
    }
}
