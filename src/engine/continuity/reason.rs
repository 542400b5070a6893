//! Why somebody who comes back is sent everything (docs/continuity.md).

/// Why the whole result is sent to somebody who came with a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::engine) enum Reason {
    Token,
    Epoch,
    Ahead,
    Definition,
    Whole,
    Evicted,
    Cleared,
    Size,
}

impl Reason {
    pub const fn as_str(self) -> &'static str {
        match self {
            Reason::Token => "token",
            Reason::Epoch => "epoch",
            Reason::Ahead => "ahead",
            Reason::Definition => "definition",
            Reason::Whole => "whole",
            Reason::Evicted => "evicted",
            Reason::Cleared => "cleared",
            Reason::Size => "size",
        }
    }
}
