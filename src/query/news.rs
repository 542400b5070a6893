//! What views tell those who follow them.

use super::ids::ViewId;
use super::view::Changed;
use crate::app::CommitSeq;

/// Why subscriptions end without their clients' doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EndReason {
    QueryUndefined,
    BucketDropped,
    AccessRevoked,
    /// What it would be sent is longer than a message may be.
    TooLarge,
}

impl EndReason {
    pub const fn as_str(self) -> &'static str {
        match self {
            EndReason::QueryUndefined => "queryUndefined",
            EndReason::BucketDropped => "bucketDropped",
            EndReason::AccessRevoked => "accessRevoked",
            EndReason::TooLarge => "tooLarge",
        }
    }
}

/// What has happened to a view.
#[derive(Debug)]
pub(crate) enum News {
    Changed(Changed),
    /// It is gone.
    Ended(EndReason),
    /// A panic while it was maintained: it is gone.
    Failed,
}

/// One piece of news.
#[derive(Debug)]
pub(crate) struct NewsItem {
    /// Ascends by one.
    pub number: u64,
    /// The same for everything that one commit did.
    pub commit: u64,
    /// The number of that commit in the log, or of the one before it that has
    /// one.
    pub at: CommitSeq,
    pub view: ViewId,
    pub news: News,
}
