//! The session of a connection, and the one beneath it while somebody acts as
//! another.

use crate::access::Session;
use crate::identity::Id;

/// The session of one connection.
#[derive(Debug)]
pub(crate) struct Bound {
    pub session: Session,
    /// Built-in mode: the key of the session's record.
    pub record: Option<Id>,
    /// The first millisecond of Unix time at which it is over; it is then
    /// among the ends that are waited for, until it was noticed.
    pub over_at: Option<u64>,
}

/// The session beneath, which waits.
#[derive(Debug)]
pub(crate) struct Beneath {
    pub bound: Bound,
    pub read_only: bool,
}
