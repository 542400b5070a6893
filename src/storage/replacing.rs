//! The steps by which one database file takes the place of another, and what the
//! next start does of them if they were interrupted. `restore.rs` says why.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::directory::{
    directory_of, log_path, record_path, remove_if_there, sync_directory, with_suffix,
};
use super::{StorageError, StorageErrorKind};

/// What the name of a database has behind it that was there before a restore.
pub(super) const KEPT: &str = ".before-restore-";

/// A step that is about to be taken; for tests that stop in front of it.
pub(super) type Step<'s> = &'s mut dyn FnMut() -> Result<(), StorageError>;

/// The name under which the new file is the data.
pub(super) fn decided(database: &Path) -> PathBuf {
    with_suffix(database, ".restored")
}

/// The name of the new file as long as the old one is the data.
pub(super) fn undecided(database: &Path) -> PathBuf {
    with_suffix(database, ".restoring")
}

/// Completes a restore that was interrupted, or undoes it if it had not come to
/// its decision. Only for the process that has the data directory to itself.
///
/// # Errors
///
/// What the file system answers.
pub(super) fn recover(database: &Path) -> Result<(), StorageError> {
    if complete(database, &mut || Ok(()))? {
        log::warn!(
            "{}: a restore had been interrupted; it is complete now, and the data that was there \
             before is in the newest file of that name with {KEPT}*",
            database.display()
        );
    }
    if undecided(database).exists() {
        undo(database)?;
        log::warn!(
            "{}: a restore had been interrupted before it took effect; the data is as it was",
            database.display()
        );
    }
    Ok(())
}

pub(super) fn undo(database: &Path) -> Result<(), StorageError> {
    let directory = directory_of(database);
    let failed = |error: std::io::Error| {
        StorageError::io(&format!("cannot read {}", directory.display()), &error)
    };
    let place = |path: &Path| fs::metadata(path).ok().map(|file| (file.dev(), file.ino()));
    let live = [place(database), place(&log_path(database))];
    // Second names of files that are in use: whoever opened one would write to
    // the data behind noexd's back.
    for entry in fs::read_dir(&directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let kept = path.to_string_lossy().contains(KEPT);
        if kept && live.iter().flatten().any(|live| place(&path) == Some(*live)) {
            remove_if_there(&path)?;
        }
    }
    let fresh = undecided(database);
    remove_if_there(&with_suffix(&fresh, "-journal"))?;
    // Last, so that what is interrupted here is done again.
    remove_if_there(&fresh)?;
    sync_directory(&directory)
}

pub(super) fn complete(database: &Path, step: Step<'_>) -> Result<bool, StorageError> {
    let decided = decided(database);
    if !decided.exists() {
        return Ok(false);
    }
    // The old file's companions must not be taken for those of the new one:
    // they go first.
    for companion in [record_path(database), log_path(database), with_suffix(database, "-shm")] {
        step()?;
        remove_if_there(&companion)?;
    }
    step()?;
    sync_directory(&directory_of(database))?;
    step()?;
    fs::rename(&decided, database).map_err(|error| {
        StorageError::io(&format!("cannot replace {}", database.display()), &error)
    })?;
    step()?;
    sync_directory(&directory_of(database))?;
    Ok(true)
}

/// For those who only read, and must not change anything.
///
/// # Errors
///
/// `InUse` while a restore is not complete.
pub(super) fn check_complete(database: &Path) -> Result<(), StorageError> {
    if !decided(database).exists() {
        return Ok(());
    }
    Err(StorageError::new(
        StorageErrorKind::InUse,
        format!(
            "a restore of {} was interrupted: repeat it, or start noexd, which completes it",
            database.display()
        ),
    ))
}
