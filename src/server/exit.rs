//! What a program that ends with an error tells its supervisor by its exit code
//! (operations.md section 5).

use crate::storage::{StorageError, StorageErrorKind};

/// Command line, environment, configuration, the files it names: a restart
/// changes nothing.
pub const CONFIG: u8 = 78;
/// Anything else: a restart may help.
pub const OTHER: u8 = 1;
/// For tools: there is no connection to a server.
pub const UNAVAILABLE: u8 = 69;
/// Damaged, foreign or newer data: a restart changes nothing.
pub const DATA: u8 = 65;
/// Storage that cannot be read or written, or has no room.
pub const IO: u8 = 74;
/// The data is used by another process.
const IN_USE: u8 = 75;

/// The code for what the storage failed with.
pub(crate) fn of_storage(kind: StorageErrorKind) -> u8 {
    match kind {
        StorageErrorKind::InUse => IN_USE,
        StorageErrorKind::Foreign | StorageErrorKind::Newer | StorageErrorKind::Damaged => DATA,
        StorageErrorKind::Full | StorageErrorKind::Io => IO,
        StorageErrorKind::Refused | StorageErrorKind::NotFound => CONFIG,
    }
}

/// The system's number for the same; the storage says no more than its kind.
pub(super) fn errno(kind: StorageErrorKind) -> i32 {
    const EIO: i32 = 5;
    const ENOSPC: i32 = 28;
    if kind == StorageErrorKind::Full { ENOSPC } else { EIO }
}

/// The storage of a running server failed. What [`std::io::Error::get_ref`] of
/// the error of [`Server::run`](super::Server::run) is then.
#[derive(Debug)]
pub struct StorageFailed(pub(super) StorageError);

impl std::fmt::Display for StorageFailed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "storage: {}", self.0)
    }
}

impl std::error::Error for StorageFailed {}

/// The exit code for what [`Server::run`](super::Server::run) failed with.
pub fn of_run(error: &std::io::Error) -> u8 {
    let storage = error.get_ref().and_then(|inner| inner.downcast_ref::<StorageFailed>());
    storage.map_or(OTHER, |failed| of_storage(failed.0.kind))
}
