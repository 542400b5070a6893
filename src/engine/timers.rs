//! What the engine's wheel is for.

use super::Engine;
use crate::app::{ConnId, TransportView};

/// What a timer of the engine's wheel is for. A connection's timers carry its
/// id with the generation, so that a late one finds nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timer {
    Heartbeat(ConnId),
    /// The next sign of life of a stream of events.
    Stream(ConnId),
    /// The periodic check for expired records.
    Expiry,
    /// What happened in the last second is to be logged.
    Notices,
    /// What is logged is again what was configured.
    LogLevelOver,
    /// The time of this trace is over.
    TraceOver(u64),
    /// A shutdown begins, with this grace period.
    ShutdownDelay(u64),
    /// The grace period of a shutdown is over.
    GraceOver,
    /// The next connections are closed in the grace period.
    Spread,
    /// Jobs that a shutdown waits for have had their time.
    JobsOver,
    /// The session of a connection may be over.
    Sessions,
    /// Budgets, failures and revocations may be over.
    Housekeeping,
    /// The first push of this subscription may leave.
    FirstPush(ConnId, u64),
    /// The end of a turn in which coalesced subscriptions were changed.
    CoalescedPushes,
    /// Timers and patterns of rules.
    Rules,
    /// Views of costly queries may be brought up to date.
    CostlyViews,
    /// More records have expired than one turn could remove.
    MoreExpiry,
    /// Memory of dropped and cleared buckets is to be given back.
    Release,
    /// Somebody is to look at the system again.
    Probe,
    /// More subscriptions are to follow the rights of their connections.
    FollowRights,
    /// A client session may have been without connection for too long.
    ClientSessions,
    /// Owners of records leave.
    Presence,
}

impl Engine {
    /// Has more memory given back in the next turn, if there is any.
    pub(super) fn arm_release(&mut self) {
        if self.store.has_remains() && !std::mem::replace(&mut self.chores.releasing, true) {
            self.wheel.insert(self.now.mono, Timer::Release);
        }
    }

    pub(super) fn fire(&mut self, timer: Timer, view: &dyn TransportView) {
        match timer {
            Timer::Heartbeat(conn) => self.heartbeat_due(conn, view),
            Timer::Stream(conn) => self.stream_due(conn, view),
            Timer::Expiry => {
                self.purge_expired();
                let next = self.now.mono.saturating_add(self.options.ttl_check_interval_ms);
                self.wheel.insert(next, Timer::Expiry);
            }
            Timer::Notices => self.tell_notices(),
            Timer::LogLevelOver => self.end_log_level(),
            Timer::TraceOver(number) => self.trace_over(number),
            Timer::ShutdownDelay(grace_ms) => self.delay_over(grace_ms),
            Timer::GraceOver => self.close_everyone(),
            Timer::Spread => self.spread_due(),
            Timer::JobsOver => self.close_waiting(),
            Timer::Sessions => self.session_look_due(),
            Timer::Housekeeping => self.keep_house(),
            Timer::FirstPush(conn, number) => self.first_push_due(conn, number),
            Timer::CoalescedPushes => self.release_coalesced(),
            Timer::Rules => self.rules_due(),
            Timer::Probe => self.look_around(),
            Timer::CostlyViews => self.costly_views_due(),
            Timer::MoreExpiry => self.go_on_expiring(),
            Timer::FollowRights => self.go_on_following(),
            Timer::ClientSessions => self.client_sessions_due(),
            Timer::Presence => self.presence_due(),
            Timer::Release => {
                self.chores.releasing = false;
                self.store.release_remains();
                self.arm_release();
            }
        }
    }
}
