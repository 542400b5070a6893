//! Errors of SQLite, for people.

use std::path::Path;

use rusqlite::ErrorCode;

use crate::storage::{StorageError, StorageErrorKind};

/// An error of SQLite in our words.
pub(in crate::storage) fn failure(
    what: &str,
    path: &Path,
    error: &rusqlite::Error,
) -> StorageError {
    use rusqlite::Error::{
        FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType, Utf8Error,
    };
    let kind = match error.sqlite_error_code() {
        // What noexd has not written there.
        None if matches!(
            error,
            FromSqlConversionFailure(..)
                | IntegralValueOutOfRange(..)
                | InvalidColumnType(..)
                | Utf8Error(..)
        ) =>
        {
            StorageErrorKind::Damaged
        }
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => StorageErrorKind::Damaged,
        Some(ErrorCode::DiskFull) => StorageErrorKind::Full,
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StorageErrorKind::InUse,
        _ => StorageErrorKind::Io,
    };
    let path = path.display();
    let message = match kind {
        StorageErrorKind::Damaged => format!(
            "{path} is damaged ({error}); it was left as it is. Restore a backup \
             (`noexd restore`), or save what is left of it with `sqlite3 {path} .recover`"
        ),
        StorageErrorKind::InUse => {
            format!("cannot {what} {path}: another program is writing to it ({error})")
        }
        _ => format!("cannot {what} {path}: {error}"),
    };
    StorageError::new(kind, message)
}
