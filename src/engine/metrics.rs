//! Counters since the start.

use crate::app::Now;

/// What has happened so far. Read by the metrics page and the tests.
#[derive(Clone, Debug)]
pub struct Metrics {
    pub started: Now,
    /// Completed upgrades, refused ones included.
    pub connections: u64,
    /// Parsed requests.
    pub requests: u64,
    /// Error responses.
    pub errors: u64,
    /// Pushes queued.
    pub pushes: u64,
    /// Event pushes dropped because the connection does not read.
    pub pushes_dropped: u64,
    pub commits: u64,
    /// Those among them of counters alone, which nobody sees: an insert that is
    /// refused uses one up.
    pub silent_commits: u64,
    /// Requests refused because they would have taken too many steps.
    pub request_steps_reached: u64,
    /// Requests refused because their answer would have been too long.
    pub reply_bytes_reached: u64,
    /// Writes refused because there was enough data.
    pub data_bytes_reached: u64,
    /// Panics caught.
    pub panics: u64,
}

impl Metrics {
    pub(crate) fn new(started: Now) -> Self {
        Self {
            started,
            connections: 0,
            requests: 0,
            errors: 0,
            pushes: 0,
            pushes_dropped: 0,
            commits: 0,
            silent_commits: 0,
            request_steps_reached: 0,
            reply_bytes_reached: 0,
            data_bytes_reached: 0,
            panics: 0,
        }
    }

    /// Commits that others can see something of.
    pub(crate) fn seen_commits(&self) -> u64 {
        self.commits.saturating_sub(self.silent_commits)
    }
}
