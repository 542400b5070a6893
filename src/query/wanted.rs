//! What the subscribers of a view want to be told.

use super::span::{Span, Spans};

/// What kind of pushes a subscriber wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Want {
    /// The whole result, as soon as it changes.
    Full,
    /// The whole result, some time later and then the newest.
    FullLater,
    /// Deltas. With positions or, for plain rows, as changes of a set.
    Delta { positions: bool },
    /// Deltas with positions, of what a window shows.
    Window(Span),
}

/// How many subscribers want what.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    pub full: usize,
    full_later: usize,
    pub positions: usize,
    pub sets: usize,
    pub spans: Spans,
}

impl Wanted {
    pub fn join(&mut self, want: Want) {
        match want {
            Want::Window(span) => self.spans.join(span),
            Want::Full => self.full += 1,
            Want::FullLater => self.full_later += 1,
            Want::Delta { positions: true } => self.positions += 1,
            Want::Delta { positions: false } => self.sets += 1,
        }
    }

    pub fn leave(&mut self, want: Want) {
        let count = match want {
            Want::Window(span) => return self.spans.leave(span),
            Want::Full => &mut self.full,
            Want::FullLater => &mut self.full_later,
            Want::Delta { positions: true } => &mut self.positions,
            Want::Delta { positions: false } => &mut self.sets,
        };
        *count = count.saturating_sub(1);
    }

    pub fn total(&self) -> usize {
        self.full + self.full_later + self.positions + self.sets + self.spans.lookers()
    }
}
