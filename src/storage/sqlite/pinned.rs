//! A log that grows with every write, because another program reads the database
//! in one long transaction, or because nobody takes it into the file: somebody
//! should be told before the disk is full.

use std::path::Path;

use rusqlite::Connection;

use super::file::{self, Checkpoints};
use crate::storage::directory::log_path;

/// Above what is usual, see `LOG_BYTES` in [`super::file`].
const FIRST: u64 = 80 << 20;

/// Most that is left to another program.
const MOST: u64 = 1 << 30;

/// When to speak next.
#[derive(Debug)]
pub struct Watch {
    checkpoints: Checkpoints,
    first: u64,
    next: u64,
}

impl Watch {
    pub fn new(checkpoints: Checkpoints) -> Self {
        let first = match checkpoints {
            Checkpoints::Own => FIRST,
            Checkpoints::External => MOST,
        };
        Self { checkpoints, first, next: first }
    }

    /// Another length from which on it matters.
    #[cfg(test)]
    pub fn from(mut self, first: u64) -> Self {
        (self.first, self.next) = (first, first);
        self
    }

    /// Looks at the log after something was appended.
    pub fn look(&mut self, connection: &Connection, database: &Path) {
        let log = log_path(database);
        let Ok(bytes) = std::fs::metadata(&log).map(|log| log.len()) else { return };
        if bytes < self.first && self.next > self.first {
            log::info!("{} is taken into the file again", log.display());
            self.next = self.first;
        }
        if bytes < self.next {
            return;
        }
        match self.checkpoints {
            // A large transaction makes a large log, too, which is gone at once.
            Checkpoints::Own if !is_pinned(connection) => return,
            Checkpoints::Own => log::warn!(
                "{} has grown to {} MiB: another program reads the database in one long \
                 transaction, and until it ends its transaction the log cannot be taken into the \
                 file",
                log.display(),
                bytes >> 20
            ),
            Checkpoints::External => {
                let copied = match file::checkpoint(connection, database) {
                    Ok(true) => "noexd has done so".to_owned(),
                    Ok(false) => "noexd cannot either while another program reads it".to_owned(),
                    Err(error) => format!("noexd cannot either: {error}"),
                };
                log::warn!(
                    "{} has grown to {} MiB: walCheckpoint is external, and nobody takes it into \
                     the file; {copied}",
                    log.display(),
                    bytes >> 20
                );
            }
        }
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
