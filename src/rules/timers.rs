//! Named timers set by rules.
//!
//! Owns which timers there are and when they are due; the engine runs what
//! their expiry triggers.

use std::collections::HashMap;
use std::sync::Arc;

use crate::app::Now;
use crate::json::Json;
use crate::wheel::{TimerId, Wheel};

use super::engine::Due;
use super::rule::Schedule;

/// Timers that may be armed at once.
const MAX_TIMERS: usize = 1_000_000;

/// One armed timer.
#[derive(Clone, Debug)]
pub(super) struct Timer {
    pub id: Arc<str>,
    /// Unix milliseconds.
    pub due: u64,
    pub schedule: Schedule,
    /// Expiries that are left, this one included.
    pub left: Option<u64>,
    pub topic: Arc<str>,
    pub data: Arc<Json>,
    pub correlation_id: Option<Arc<str>>,
}

#[derive(Debug)]
struct Armed {
    timer: Timer,
    /// Names this arming: an expiry that was on its way when the timer was
    /// replaced is recognised.
    arming: u64,
    wheel: TimerId,
    /// The due time on the monotonic clock, which may lie before its start.
    /// Intervals are counted on it, so that a wall clock that is set does not
    /// stretch them.
    mono: i64,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Timers {
    by_name: HashMap<Arc<str>, Armed>,
    by_arming: HashMap<u64, Arc<str>>,
    armings: u64,
}

impl Timers {
    pub(super) fn len(&self) -> usize {
        self.by_name.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Timer)> {
        self.by_name.iter().map(|(name, armed)| (&**name, &armed.timer))
    }

    pub(super) fn get(&self, name: &str) -> Option<&Timer> {
        self.by_name.get(name).map(|armed| &armed.timer)
    }

    /// Whether a timer of this name can be armed.
    pub(super) fn has_room(&self, name: &str) -> Result<(), String> {
        if self.by_name.len() < MAX_TIMERS || self.by_name.contains_key(name) {
            return Ok(());
        }
        Err(format!("Too many timers (max {MAX_TIMERS})"))
    }

    /// Arms a timer; one of the same name is replaced.
    pub(super) fn arm(&mut self, name: &str, timer: Timer, now: Now, wheel: &mut Wheel<Due>) {
        let ahead = signed(timer.due).saturating_sub(signed(now.wall));
        self.arm_at(name, timer, signed(now.mono).saturating_add(ahead), wheel);
    }

    fn arm_at(&mut self, name: &str, timer: Timer, mono: i64, wheel: &mut Wheel<Due>) {
        self.cancel(name, wheel);
        let name: Arc<str> = name.into();
        self.armings += 1;
        let arming = self.armings;
        let due = wheel.insert(u64::try_from(mono).unwrap_or(0), Due::Timer(arming));
        self.by_arming.insert(arming, Arc::clone(&name));
        self.by_name.insert(name, Armed { timer, arming, wheel: due, mono });
    }

    /// Disarms; false if there is no such timer.
    pub(super) fn cancel(&mut self, name: &str, wheel: &mut Wheel<Due>) -> bool {
        let Some(armed) = self.by_name.remove(name) else { return false };
        self.by_arming.remove(&armed.arming);
        wheel.cancel(armed.wheel);
        true
    }

    /// Takes the timer of an arming that is due. `None` if it was cancelled or
    /// replaced. A timer that goes on is armed again, before anything that the
    /// expiry triggers can set or cancel it.
    pub(super) fn expire(
        &mut self,
        arming: u64,
        now: Now,
        wheel: &mut Wheel<Due>,
    ) -> Option<Expired> {
        let name = self.by_arming.remove(&arming)?;
        let armed = self.by_name.remove(&name)?;
        let timer = armed.timer;
        if let Schedule::Cron { .. } = timer.schedule
            && timer.due > now.wall
        {
            // The wall clock was set back: it is not yet that time of day.
            self.arm(&name, timer, now, wheel);
            return None;
        }
        let left = timer.left.map(|left| left.saturating_sub(1));
        match &timer.schedule {
            _ if left == Some(0) => {}
            Schedule::After { interval: None, .. } => {}
            Schedule::After { interval: Some(interval), .. } => {
                // Counted from the due time; slots that have passed are skipped.
                let interval = signed((*interval).max(1));
                let late = signed(now.mono).saturating_sub(armed.mono).max(0);
                let slots = (late / interval).saturating_add(1);
                let mono = armed.mono.saturating_add(interval.saturating_mul(slots));
                let ahead = mono.saturating_sub(signed(now.mono));
                let due = now.wall.saturating_add_signed(ahead);
                self.arm_at(&name, Timer { due, left, ..timer.clone() }, mono, wheel);
            }
            Schedule::Cron { cron, .. } => {
                if let Some(due) = cron.next_after(now.wall) {
                    self.arm(&name, Timer { due, left, ..timer.clone() }, now, wheel);
                }
            }
        }
        Some(Expired { name, timer })
    }
}

/// A timer that is due.
#[derive(Debug)]
pub(super) struct Expired {
    pub name: Arc<str>,
    pub timer: Timer,
}

impl Schedule {
    /// The first expiry of a timer that is set now.
    pub(super) fn first(&self, wall: u64) -> Result<u64, String> {
        match self {
            Schedule::After { first, .. } => Ok(wall.saturating_add(*first)),
            Schedule::Cron { cron, expression } => cron
                .next_after(wall)
                .ok_or_else(|| format!("Cron expression \"{expression}\" has no next run")),
        }
    }
}

fn signed(milliseconds: u64) -> i64 {
    i64::try_from(milliseconds).unwrap_or(i64::MAX)
}
