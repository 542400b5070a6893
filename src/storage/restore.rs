//! Another database file in the place of the present one, while nobody uses it.
//!
//! Three files belong together (the database, its log, the record of its last
//! sync), and no file system replaces three at once. So the new file first lies
//! complete beside them, and one rename decides: from the moment at which it is
//! called `.restored` it is the data, and whoever opens the database next puts
//! it in place. Every step after that can be repeated.

use std::fs;
use std::path::{Path, PathBuf};

use super::backup::{copy_database, describe, sync_file};
use super::directory::{directory_of, log_path, sync_directory, with_suffix};
use super::replacing::{KEPT, Step, complete, decided, recover, undecided, undo};
use super::sqlite::Sqlite;
use super::{BackupInfo, Storage as _, StorageError};

/// What [`install_file`] did.
#[derive(Debug)]
pub struct Installed {
    pub info: BackupInfo,
    /// Where the data is now that was there before.
    pub kept: Option<PathBuf>,
}

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
    sync_directory(&directory_of(database))?;
    step()?;
    let failed = |error: std::io::Error| {
        StorageError::io(&format!("cannot replace {}", database.display()), &error)
    };
    fs::rename(&fresh, decided(database)).map_err(failed)?;
    sync_directory(&directory_of(database))?;
    step()?;
    complete(database, step)?;
    Ok(Installed { info, kept })
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
