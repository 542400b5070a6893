//! What becomes of a token, and the hooks of embedding programs.

use super::Session;

/// What a source of sessions says about a token.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    Session(Session),
    /// Nobody's token. The client learns no more than that.
    Invalid,
    /// A good token whose time is over.
    Expired,
    /// It could not be decided; the cause belongs in the log.
    Failed,
}
