//! Work that is put off to later turns: what of it is due.

use super::Timer;

/// See the module's description.
#[derive(Debug, Default)]
pub(super) struct Chores {
    /// Records that expired in this turn.
    pub expired_in_turn: usize,
    /// A timer for [`Timer::MoreExpiry`] is set.
    pub expiring: bool,
    /// A timer for [`Timer::Release`] is set.
    pub releasing: bool,
    /// When costly views are looked at next, if a timer is set for that.
    pub costly_views_at: Option<u64>,
    /// Reused for expired timers.
    pub due: Vec<Timer>,
}
