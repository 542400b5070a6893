//! What belongs to the request that is being answered, and to nothing else: begun with
//! it, gone with its answer.

use super::budgets::Spent;
use super::client_sessions::Numbered;
use super::introspection::Author;
use crate::app::{CommitSeq, ConnId};

/// See the module's description. Its budget and the time stand beside it, because what no
/// request asked for has them, too.
#[derive(Default)]
pub(super) struct Current {
    /// What the last one cost.
    pub spent: Spent,
    /// Who changes records now.
    pub author: Author,
    /// The commit of the state that its answer names.
    pub named: Option<CommitSeq>,
    /// It has a number.
    pub numbered: Option<Numbered>,
    /// Subscriptions made in it, while its response is not queued yet.
    pub answering: Vec<(ConnId, u64)>,
    /// What the stopwatch said at the end of the last message, if nothing came
    /// between: the next one begins there.
    pub ticked: Option<u64>,
    /// Reused for building responses.
    pub scratch: Vec<u8>,
}
