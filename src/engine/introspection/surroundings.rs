//! Insights about what only the surroundings know: the disk and the log.

use super::insights::{Insight, Severity};
use crate::engine::Engine;

/// A log of the database above this is told.
const LONG_LOG: u64 = 256 * 1_048_576;
/// Syncs above this, of a hundred the slowest, are told.
const SLOW_SYNC_MICROS: u64 = 100_000;

impl Engine {
    pub(super) fn insights_of_surroundings(&self, found: &mut Vec<Insight>) {
        let Some(world) = self.world.as_ref().map(|ask| ask()) else { return };
        if world.log_lines_dropped > 0 {
            found.push(Insight {
                count: world.log_lines_dropped,
                ..Insight::new(
                    ("logsDropped", Severity::Info),
                    "log",
                    "lines of the log were dropped because standard error was not read",
                    "read standard error faster, or log less",
                )
            });
        }
        let Some(storage) = world.storage else { return };
        if let Some(micros) = self.load.sync_p99_micros().filter(|p99| *p99 > SLOW_SYNC_MICROS) {
            found.push(Insight::new(
                ("storageSlow", Severity::Warn),
                "storage",
                &format!("one sync in a hundred takes more than {} ms", micros / 1_000),
                "a faster disk, or `durability: \"interval\"`",
            ));
        }
        if let Some(bytes) = storage.log_bytes.filter(|bytes| *bytes > LONG_LOG) {
            found.push(Insight {
                count: bytes,
                ..Insight::new(
                    ("logGrows", Severity::Warn),
                    "storage",
                    "the log of the database cannot be copied into its file",
                    "find out who keeps a read transaction open on the file",
                )
            });
        }
        if let (Some(free), Some(file)) = (storage.free_bytes, storage.file_bytes)
            && free < file.saturating_mul(2)
        {
            found.push(Insight {
                count: free,
                ..Insight::new(
                    ("disk", Severity::Info),
                    "storage",
                    &format!("{free} bytes are free, less than twice the size of the database"),
                    "make room",
                )
            });
        }
    }
}
