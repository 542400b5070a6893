//! How handlers end.

/// How a handler ended well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The reply holds the data; it can leave.
    Done,
    /// A background job was started; the response follows when it is done, and
    /// the connection's next messages wait.
    Pending,
}
