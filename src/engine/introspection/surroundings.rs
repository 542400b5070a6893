//! Insights about what only the surroundings know: the disk and the log.

use super::insights::{Insight, Severity};
use crate::engine::Engine;
use crate::engine::metrics_table::{StorageFigures, TlsFigures};

/// A log of the database above this is told.
const LONG_LOG: u64 = 256 * 1_048_576;
/// Syncs above this, of a hundred the slowest, are told.
const SLOW_SYNC_MICROS: u64 = 100_000;

/// A certificate that ends within this many days is told, and within so few it is
/// critical.
const CERTIFICATE_DAYS: (u64, u64) = (14, 3);
const DAY_SECONDS: u64 = 24 * 3_600;
/// Data without a newer backup is told.
const BACKUP_SECONDS: u64 = 26 * 3_600;
/// What was seen of the disk is believed for so long.
const FRESH_SECONDS: u64 = 60;

impl Engine {
    fn insight_of_certificate(&self, tls: &TlsFigures, found: &mut Vec<Insight>) {
        let Some(end) = tls.not_after else { return };
        let left = end.saturating_sub(self.now.wall / 1_000);
        let (soon, at_once) = CERTIFICATE_DAYS;
        if left >= soon * DAY_SECONDS {
            return;
        }
        let severity = match left < at_once * DAY_SECONDS {
            true => Severity::Critical,
            false => Severity::Warn,
        };
        let reason = match left {
            0 => "the certificate has expired: clients refuse it".to_owned(),
            _ => format!("the certificate expires in {} days", left / DAY_SECONDS),
        };
        let cure = match &tls.problem {
            Some(problem) => format!("the last reload failed: {problem}"),
            None => "renew it: noexd takes the new files within a minute, or on SIGHUP".to_owned(),
        };
        found.push(Insight::new(("certificate", severity), "tls", &reason, &cure));
    }

    fn insight_of_backups(&self, storage: &StorageFigures, found: &mut Vec<Insight>) {
        let now = self.now.wall / 1_000;
        let is_fresh = now.saturating_sub(storage.looked_at) <= FRESH_SECONDS;
        let since = storage.last_backup.or(storage.file_since);
        let Some(since) = since.filter(|_| is_fresh && storage.looked_at > 0) else { return };
        if now.saturating_sub(since) < BACKUP_SECONDS {
            return;
        }
        let hours = now.saturating_sub(since) / 3_600;
        let reason = match storage.last_backup {
            Some(_) => format!("the newest backup is {hours} hours old"),
            None => format!("these data are {hours} hours old and have no backup"),
        };
        found.push(Insight {
            since: Some(since.saturating_mul(1_000)),
            ..Insight::new(
                ("noBackup", Severity::Info),
                "storage",
                &reason,
                "`store.backup`, or `noexd backup` beside the server, every day; or Litestream",
            )
        });
    }

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
        self.insight_of_certificate(&world.tls, found);
        let Some(storage) = world.storage else { return };
        self.insight_of_backups(&storage, found);
        if let Some(micros) =
            self.load.sync_p99_above_micros().filter(|p99| *p99 >= SLOW_SYNC_MICROS)
        {
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
        self.insight_of_room(&storage, found);
    }

    fn insight_of_room(&self, storage: &StorageFigures, found: &mut Vec<Insight>) {
        let Some(free) = storage.free_bytes else { return };
        let twice = |bytes: u64| bytes.saturating_mul(2);
        let (severity, than) = if free < twice(self.options.min_free_bytes) {
            (Severity::Critical, "twice `minFreeBytes`, below which writes are refused")
        } else if storage.file_bytes.is_some_and(|file| free < twice(file)) {
            (Severity::Info, "twice the size of the database")
        } else {
            return;
        };
        let reason = format!("{free} bytes are free, less than {than}");
        let insight = Insight::new(("disk", severity), "storage", &reason, "make room");
        found.push(Insight { count: free, ..insight });
    }
}
