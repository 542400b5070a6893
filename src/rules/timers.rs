//! Named timers set by rules.
//!
//! Owns which timers there are and when they are due; the engine runs what
//! their expiry triggers.
//!
//! Durations are counted on the monotonic clock, in the engine's wheel. What is
//! due at a time of day, and what was stored by a run before this one, is due
//! by the wall clock, which may be set at any moment: it lies in an order of
//! its own, and the clock is looked at while there is something in it.

use std::collections::{BTreeSet, HashMap};
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;

use crate::app::Now;
use crate::json::{Json, write_number, write_string};
use crate::wheel::{TimerId, Wheel};

use super::due::Due;
use super::rule::Schedule;

/// Timers that may be armed at once.
const MAX_TIMERS: usize = 1_000_000;

/// Time between looks at the wall clock, ms: this late a timer can be after
/// the clock was set.
pub(super) const LOOK_MS: u64 = 1000;

/// Timers that one look takes on: those that are due, and times of day that are
/// computed anew after the clock was set back.
const LOOKED_AT_ONCE: usize = 1000;

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
    /// The rule that set it. Records of earlier versions do not say.
    pub rule: Option<Arc<str>>,
}

#[derive(Debug)]
struct Armed {
    timer: Timer,
    /// Names this arming: an expiry that was on its way when the timer was
    /// replaced is recognised.
    arming: u64,
    clock: Clock,
}

/// What decides that a timer is due.
#[derive(Debug)]
enum Clock {
    /// The due time on the monotonic clock, which may lie before its start.
    /// Intervals are counted on it, so that a wall clock that is set does not
    /// stretch them.
    Mono {
        due: i64,
        wheel: TimerId,
    },
    Wall,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Timers {
    by_name: HashMap<Arc<str>, Armed>,
    by_arming: HashMap<u64, Arc<str>>,
    armings: u64,
    /// Those that the wall clock decides about: due time and arming.
    by_wall: BTreeSet<(u64, u64)>,
    /// Monotonic time of the next look at the wall clock.
    look: Option<u64>,
    /// How far computing times of day anew has come, while it goes on.
    reckoned: Option<(u64, u64)>,
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
        if matches!(timer.schedule, Schedule::Cron { .. }) {
            self.arm_by_wall(name, timer, now, wheel);
            return;
        }
        let ahead = signed(timer.due).saturating_sub(signed(now.wall));
        self.arm_at(name, timer, signed(now.mono).saturating_add(ahead), wheel);
    }

    /// Arms a timer that is due when the wall clock shows its time.
    pub(super) fn arm_by_wall(
        &mut self,
        name: &str,
        timer: Timer,
        now: Now,
        wheel: &mut Wheel<Due>,
    ) {
        let due = timer.due;
        let arming = self.enter(name, timer, Clock::Wall, wheel);
        self.by_wall.insert((due, arming));
        self.plan_look(now);
    }

    fn arm_at(&mut self, name: &str, timer: Timer, mono: i64, wheel: &mut Wheel<Due>) {
        let id = wheel.insert(u64::try_from(mono).unwrap_or(0), Due::Timer(self.armings + 1));
        self.enter(name, timer, Clock::Mono { due: mono, wheel: id }, wheel);
    }

    fn enter(&mut self, name: &str, timer: Timer, clock: Clock, wheel: &mut Wheel<Due>) -> u64 {
        self.cancel(name, wheel);
        let name: Arc<str> = name.into();
        self.armings += 1;
        let arming = self.armings;
        self.by_arming.insert(arming, Arc::clone(&name));
        self.by_name.insert(name, Armed { timer, arming, clock });
        arming
    }

    /// The monotonic time at which [`Timers::look`] has something to do.
    pub(super) fn next_look(&self) -> Option<u64> {
        self.look
    }

    fn plan_look(&mut self, now: Now) {
        self.look = self.by_wall.first().map(|(due, _)| {
            let ahead = match self.reckoned.is_none() {
                true => due.saturating_sub(now.wall).min(LOOK_MS),
                false => 0,
            };
            now.mono.saturating_add(ahead)
        });
    }

    /// Looks at the wall clock: which armings are due by it, oldest first, and
    /// which timers are due at another time than before.
    pub(super) fn look(&mut self, now: Now) -> (Vec<Due>, Vec<Arc<str>>) {
        let moved = self.reckon(now);
        let mut due = Vec::new();
        for _ in 0..LOOKED_AT_ONCE {
            let Some(first) = self.by_wall.first().copied() else { break };
            if first.0 > now.wall {
                break;
            }
            self.by_wall.remove(&first);
            due.push(Due::Timer(first.1));
        }
        self.plan_look(now);
        (due, moved)
    }

    /// The wall clock was set, perhaps while nothing ran: what is due by it may be
    /// due now, and after a step back the next time of day may be an earlier one.
    pub(super) fn clock_was_set(&mut self, back: bool, now: Now) {
        if back {
            self.reckoned = Some((0, 0));
        }
        self.look = self.by_wall.first().map(|_| now.mono);
    }

    fn reckon(&mut self, now: Now) -> Vec<Arc<str>> {
        let mut moved = Vec::new();
        for _ in 0..LOOKED_AT_ONCE {
            let Some(from) = self.reckoned else { break };
            // Times only become earlier: what was moved lies behind the cursor.
            let next = self.by_wall.range((Excluded(from), Unbounded)).next().copied();
            self.reckoned = next;
            let Some((_, arming)) = next else { break };
            let Some(name) = self.by_arming.get(&arming) else { continue };
            let Some(armed) = self.by_name.get_mut(name) else { continue };
            let Schedule::Cron { cron, .. } = &armed.timer.schedule else { continue };
            let Some(due) = cron.next_after(now.wall).filter(|due| *due < armed.timer.due) else {
                continue;
            };
            self.by_wall.remove(&(armed.timer.due, arming));
            armed.timer.due = due;
            self.by_wall.insert((due, arming));
            moved.push(Arc::clone(name));
        }
        moved
    }

    /// Disarms; false if there is no such timer.
    pub(super) fn cancel(&mut self, name: &str, wheel: &mut Wheel<Due>) -> bool {
        let Some(armed) = self.by_name.remove(name) else { return false };
        self.by_arming.remove(&armed.arming);
        match armed.clock {
            Clock::Mono { wheel: id, .. } => {
                wheel.cancel(id);
            }
            Clock::Wall => {
                self.by_wall.remove(&(armed.timer.due, armed.arming));
                if self.by_wall.is_empty() {
                    self.look = None;
                }
            }
        }
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
        let left = timer.left.map(|left| left.saturating_sub(1));
        match &timer.schedule {
            _ if left == Some(0) => {}
            Schedule::After { interval: None, .. } => {}
            Schedule::After { interval: Some(interval), .. } => {
                // Counted from the due time; slots that have passed are skipped.
                let interval = signed((*interval).max(1));
                let due = match armed.clock {
                    Clock::Mono { due, .. } => due,
                    Clock::Wall => {
                        let late = signed(now.wall).saturating_sub(signed(timer.due));
                        signed(now.mono).saturating_sub(late)
                    }
                };
                let late = signed(now.mono).saturating_sub(due).max(0);
                let slots = (late / interval).saturating_add(1);
                let mono = due.saturating_add(interval.saturating_mul(slots));
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

/// An armed timer, as it is shown.
#[derive(Debug)]
pub struct ArmedTimer<'t> {
    pub(super) name: &'t str,
    pub(super) timer: &'t Timer,
    pub(super) rule: Option<&'t str>,
}

impl ArmedTimer<'_> {
    /// The object of the protocol. `maxCount` is how many expiries are left.
    pub fn write(&self, out: &mut Vec<u8>) {
        let mut member = |name: &str, text: &str| {
            out.extend_from_slice(name.as_bytes());
            write_string(out, text);
        };
        member("{\"name\":", self.name);
        member(",\"id\":", &self.timer.id);
        out.extend_from_slice(b",\"expiresAt\":");
        write_number(out, self.timer.due as f64);
        let left = |out: &mut Vec<u8>| {
            if let Some(left) = self.timer.left {
                out.extend_from_slice(b",\"maxCount\":");
                write_number(out, left as f64);
            }
        };
        match &self.timer.schedule {
            Schedule::After { interval: Some(interval), .. } => {
                out.extend_from_slice(b",\"repeat\":{\"interval\":");
                write_number(out, *interval as f64);
                left(out);
                out.push(b'}');
            }
            Schedule::After { interval: None, .. } => {}
            Schedule::Cron { expression, .. } => {
                out.extend_from_slice(b",\"cron\":");
                write_string(out, expression);
                left(out);
            }
        }
        let optional = [
            (",\"correlationId\":", self.timer.correlation_id.as_deref()),
            (",\"ruleId\":", self.rule),
        ];
        for (name, text) in optional {
            if let Some(text) = text {
                out.extend_from_slice(name.as_bytes());
                write_string(out, text);
            }
        }
        out.push(b'}');
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
