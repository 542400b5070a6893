//! A log that cannot be taken into the file, because another program reads the
//! database in one long transaction: it grows with every write, and somebody
//! should be told before the disk is full.

use std::path::Path;

use rusqlite::Connection;

use super::recovery::log_path;

/// Above what is usual, see `LOG_BYTES` in [`super::file`].
const FIRST: u64 = 80 << 20;

/// When to speak next.
#[derive(Debug)]
pub struct Watch {
    next: u64,
}

impl Watch {
    pub fn new() -> Self {
        Self { next: FIRST }
    }

    /// Looks at the log after something was appended.
    pub fn look(&mut self, connection: &Connection, database: &Path) {
        let log = log_path(database);
        let Ok(bytes) = std::fs::metadata(&log).map(|log| log.len()) else { return };
        if bytes < FIRST && self.next > FIRST {
            log::info!("{} is taken into the file again", log.display());
            self.next = FIRST;
        }
        // A large transaction makes a large log, too, which is gone at once.
        if bytes < self.next || !is_pinned(connection) {
            return;
        }
        log::warn!(
            "{} has grown to {} MiB: another program reads the database in one long transaction, \
             and until it ends its transaction the log cannot be taken into the file",
            log.display(),
            bytes >> 20
        );
        self.next = bytes.saturating_mul(2);
    }
}

/// Whether part of the log stays behind when it is copied.
fn is_pinned(connection: &Connection) -> bool {
    let copied = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| {
        Ok((row.get::<_, i64>(1)?, row.get::<_, i64>(2)?))
    });
    copied.is_ok_and(|(log, copied)| copied < log)
}
