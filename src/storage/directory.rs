//! The directory that the data lies in: created for its owner alone, used by
//! one process at a time, with room left.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::{StorageError, StorageErrorKind};

/// The name of the database file in a data directory.
const DEFAULT_FILE: &str = "noexd.sqlite";
/// Backups lie in this directory beside the database file.
const BACKUPS: &str = "backups";
/// A start with less free space than this is refused: the next minute would
/// end it.
pub const MIN_FREE_BYTES: u64 = 16 * 1024 * 1024;

/// Where the data lies, as `dataDir` and `db` say it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    pub file: PathBuf,
    pub directory: PathBuf,
    lock: PathBuf,
}

impl Location {
    /// `None` when neither is given: nothing is kept.
    pub fn new(data_dir: Option<&Path>, db: Option<&Path>) -> Option<Self> {
        match (data_dir, db) {
            (None, None) => None,
            (Some(directory), db) => Some(Location {
                file: directory.join(db.unwrap_or(Path::new(DEFAULT_FILE))),
                directory: directory.to_owned(),
                lock: directory.join("noexd.lock"),
            }),
            (None, Some(file)) => {
                let directory = match file.parent() {
                    Some(parent) if parent != Path::new("") => parent.to_owned(),
                    _ => PathBuf::from("."),
                };
                Some(Location {
                    file: file.to_owned(),
                    directory,
                    lock: with_suffix(file, ".lock"),
                })
            }
        }
    }

    pub fn backups(&self) -> PathBuf {
        self.file.parent().unwrap_or(&self.directory).join(BACKUPS)
    }

    /// Whether the reference server keeps its files here: `STORE_bucket_NAME.json`.
    #[cfg(feature = "sqlite")]
    pub fn holds_noex(&self) -> bool {
        let is_bucket = |name: &str| name.contains("_bucket_") && name.ends_with(".json");
        std::fs::read_dir(&self.directory).is_ok_and(|mut entries| {
            entries.any(|entry| {
                entry.is_ok_and(|entry| entry.file_name().to_str().is_some_and(is_bucket))
            })
        })
    }

    /// Creates the directory if it is missing, with mode 0700, and takes the
    /// lock, which lasts as long as the returned file is open. The lock file
    /// stays when the process ends; only a lock held on it counts.
    ///
    /// # Errors
    ///
    /// `InUse` if another process holds the lock; `Full` if there is no room;
    /// what the file system answers.
    pub fn claim(&self) -> Result<File, StorageError> {
        let shown = self.directory.display();
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.directory)
            .map_err(|error| StorageError::io(&format!("cannot create {shown}"), &error))?;
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&self.lock)
            .map_err(|error| {
                StorageError::io(&format!("cannot open {}", self.lock.display()), &error)
            })?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StorageError::new(
                    StorageErrorKind::InUse,
                    "in use by another process",
                ));
            }
            Err(TryLockError::Error(error)) => {
                return Err(StorageError::io(
                    &format!("cannot lock {}", self.lock.display()),
                    &error,
                ));
            }
        }
        let free = free_bytes(&self.directory)?;
        if free < MIN_FREE_BYTES {
            return Err(StorageError::new(
                StorageErrorKind::Full,
                format!(
                    "{shown} has {free} bytes of free space, at least {MIN_FREE_BYTES} are needed"
                ),
            ));
        }
        Ok(lock)
    }
}

/// Bytes that this process may still write to the file system of `path`.
///
/// # Errors
///
/// What the file system answers.
pub fn free_bytes(path: &Path) -> Result<u64, StorageError> {
    let stat = rustix::fs::statvfs(path).map_err(|error| {
        let error = io::Error::from(error);
        StorageError::io(&format!("cannot ask for the free space of {}", path.display()), &error)
    })?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// The path with text added to its last component.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Makes names that were created, renamed or removed in a directory durable.
#[cfg(feature = "sqlite")]
pub(super) fn sync_directory(path: &Path) -> Result<(), StorageError> {
    File::open(path)
        .and_then(|directory| directory.sync_all())
        .map_err(|error| StorageError::io(&format!("cannot sync {}", path.display()), &error))
}
