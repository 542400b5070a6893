//! What the engine's wheel wakes it for.

use super::service::Ticket;

/// What is due on the engine's wheel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// An arming of a timer.
    Timer(u64),
    /// An alarm of a temporal pattern.
    Pattern { rule: u64, alarm: u64 },
    /// A service did not answer in time.
    Call(Ticket),
}
