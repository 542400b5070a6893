//! Another database file in the place of the present one, while nobody uses it.
//!
//! Three files belong together (the database, its log, the record of its last
//! sync), and no file system replaces three at once. So the new file first lies
//! complete beside them, and one rename decides: from the moment at which it is
//! called `.restored` it is the data, and whoever opens the database next puts
//! it in place. Every step after that can be repeated.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::backup::{copy_database, describe, sync_file};
use super::directory::{sync_directory, with_suffix};
use super::sqlite::{Sqlite, log_path, parent, record_path, remove_if_there};
use super::{BackupInfo, Storage as _, StorageError, StorageErrorKind};

/// What the name of a database has behind it that was there before a restore.
const KEPT: &str = ".before-restore-";

/// What [`install_file`] did.
#[derive(Debug)]
pub struct Installed {
    pub info: BackupInfo,
    /// Where the data is now that was there before.
    pub kept: Option<PathBuf>,
}

/// A step that is about to be taken; for tests that stop in front of it.
type Step<'s> = &'s mut dyn FnMut() -> Result<(), StorageError>;

/// Puts a copy of a backup in the place of a database file that nobody uses.
/// The old file is kept under another name. A crash leaves the old data or the
/// new, never a mixture.
///
/// # Errors
///
/// For a backup that is damaged or none; what the file system answers.
pub fn install_file(source: &Path, database: &Path, at: u64) -> Result<Installed, StorageError> {
    let installed = install(source, database, at, &mut || Ok(()));
    if installed.is_err() && undecided(database).exists() {
        undo(database)?;
    }
    installed
}

pub(super) fn install(
    source: &Path,
    database: &Path,
    at: u64,
    step: Step<'_>,
) -> Result<Installed, StorageError> {
    let info = describe(source, None)?;
    Sqlite::open_to_read(source)?.check()?;
    // One that was interrupted comes first.
    recover(database)?;
    let there = database.exists();
    if there {
        settle(database);
    }
    // A log without its file is worth keeping, too.
    let there = there || log_path(database).exists();
    let fresh = undecided(database);
    step()?;
    copy_database(source, &fresh)?;
    step()?;
    sync_file(&fresh)?;
    step()?;
    let kept = if there { Some(keep(database, at, step)?) } else { None };
    sync_directory(&parent(database))?;
    step()?;
    let failed = |error: std::io::Error| {
        StorageError::io(&format!("cannot replace {}", database.display()), &error)
    };
    fs::rename(&fresh, decided(database)).map_err(failed)?;
    sync_directory(&parent(database))?;
    step()?;
    complete(database, step)?;
    Ok(Installed { info, kept })
}

/// The name under which the new file is the data.
fn decided(database: &Path) -> PathBuf {
    with_suffix(database, ".restored")
}

/// The name of the new file as long as the old one is the data.
fn undecided(database: &Path) -> PathBuf {
    with_suffix(database, ".restoring")
}

/// Takes the log into the file: one file is easier to keep than two. A database
/// that cannot be opened is kept with its log as it is.
fn settle(database: &Path) {
    if let Err(error) = Sqlite::open(database, true).and_then(|old| Box::new(old).close()) {
        log::warn!("{error}");
    }
}

/// Keeps the present data under another name, and leaves it where it is.
fn keep(database: &Path, at: u64, step: Step<'_>) -> Result<PathBuf, StorageError> {
    let aside = with_suffix(database, &format!("{KEPT}{at}"));
    for (from, to) in [(log_path(database), log_path(&aside)), (database.to_owned(), aside.clone())]
    {
        step()?;
        if from.exists() {
            fs::hard_link(&from, &to)
                .or_else(|_| fs::copy(&from, &to).and_then(|_| fs::File::open(&to)?.sync_all()))
                .map_err(|error| {
                    StorageError::io(&format!("cannot keep {}", from.display()), &error)
                })?;
        }
    }
    Ok(aside)
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

fn undo(database: &Path) -> Result<(), StorageError> {
    let directory = parent(database);
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

fn complete(database: &Path, step: Step<'_>) -> Result<bool, StorageError> {
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
    sync_directory(&parent(database))?;
    step()?;
    fs::rename(&decided, database).map_err(|error| {
        StorageError::io(&format!("cannot replace {}", database.display()), &error)
    })?;
    step()?;
    sync_directory(&parent(database))?;
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
