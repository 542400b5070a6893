//! What queries and views are called where they are kept.

/// Names one definition of a query for ever; ascends with time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct QueryId(pub(super) u32);

/// Names a view while it has subscribers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ViewId(pub(super) u32);

impl ViewId {
    /// For what is found as views are, and is none.
    pub(super) fn numbered(number: usize) -> ViewId {
        ViewId(u32::try_from(number).unwrap_or(u32::MAX))
    }

    pub(super) fn index(self) -> usize {
        self.0 as usize
    }
}
