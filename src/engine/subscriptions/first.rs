//! When the first push to a new subscription may leave.

/// Milliseconds after which a first push leaves although the peer, against the
/// standard, answers no pings.
pub(in crate::engine) const PATIENCE_MS: u64 = 2_000;

/// The published clients discard a push for an id that they do not know yet,
/// and they learn of it only when they have handled the response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::engine) enum First {
    /// The first push may leave.
    #[default]
    Over,
    /// The response has not left: it ends with this byte of the connection's
    /// output.
    Queued { end: u64, round: u64 },
    /// The response is being queued.
    Answering,
    /// The first push may leave at this time, when the connection has answered
    /// this many pings.
    At { at: u64, round: u64 },
}

impl First {
    /// So many bytes of the output have left. If that was the response, the first
    /// push may leave at `at`: the answer, once.
    pub fn response_left(&mut self, written: u64, at: u64) -> Option<u64> {
        let First::Queued { end, round } = *self else { return None };
        if end > written {
            return None;
        }
        *self = First::At { at, round };
        Some(at)
    }

    /// Whether the first push must not leave yet.
    pub fn waits(self, now: u64, proven: u64) -> bool {
        match self {
            First::Over => false,
            First::At { at, round } => {
                now < at || (proven < round && now < at.saturating_add(PATIENCE_MS))
            }
            First::Queued { .. } | First::Answering => true,
        }
    }
}
