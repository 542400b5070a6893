//! Waiting for another program that has locked the file. Nothing is written
//! before the lock is held, so waiting loses nothing.

use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior};

/// How long SQLite itself waits at a time.
const TRY: Duration = Duration::from_secs(1);
/// When it is said that there is something to wait for, and how often.
const SAY_EVERY: Duration = Duration::from_secs(5);

fn is_locked(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

/// Begins to write, as soon as that is possible and within `most`.
///
/// # Errors
/// What SQLite answered last.
pub fn begin<'c>(
    connection: &'c Connection,
    path: &Path,
    most: Duration,
    bytes: usize,
    patience: Duration,
) -> rusqlite::Result<Transaction<'c>> {
    let began = Instant::now();
    let mut said = Duration::ZERO;
    connection.busy_timeout(TRY.min(most))?;
    let begun = loop {
        match Transaction::new_unchecked(connection, TransactionBehavior::Immediate) {
            Err(error) if is_locked(&error) && began.elapsed() < most => {
                let waited = began.elapsed();
                if waited >= said + SAY_EVERY {
                    said = waited;
                    log::warn!(
                        "storage: {} is locked by another program for {} s; {bytes} bytes of \
                         writes wait",
                        path.display(),
                        waited.as_secs()
                    );
                }
            }
            result => break result,
        }
    };
    if begun.is_ok() && !said.is_zero() {
        log::info!("storage: the lock is gone after {} s", began.elapsed().as_secs());
    }
    connection.busy_timeout(patience)?;
    begun
}
