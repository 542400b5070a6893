//! The directory that the data lies in: created for its owner alone, used by
//! one process at a time, with room left.

use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::{StorageError, StorageErrorKind};
use crate::private;

/// The name of the database file in a data directory.
const DEFAULT_FILE: &str = "noexd.sqlite";
/// Backups lie in this directory beside the database file.
const BACKUPS: &str = "backups";
/// The lock file of versions that knew no other.
const OLD_LOCK: &str = "noexd.lock";
/// A start with less free space than this is refused: the next minute would
/// end it.
pub const MIN_FREE_BYTES: u64 = 16 * 1024 * 1024;

/// Where the data lies, as `dataDir` and `db` say it. A data set has one name,
/// whatever path or link leads to it: everything beside the database (log, lock,
/// backups) lies beside the real file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// Without links, as far as it exists.
    pub file: PathBuf,
    /// The directory of the settings.
    pub directory: PathBuf,
    is_own_directory: bool,
}

/// The right to change the data: locks, held as long as this lives. Dropped only
/// after the database was closed (see [`Claim::hold`]).
#[derive(Debug)]
pub struct Claim {
    locks: Vec<File>,
    /// Device and number of the database files that are held.
    held: Vec<(u64, u64)>,
}

impl Location {
    /// `None` when neither is given: nothing is kept. Creates nothing.
    ///
    /// # Errors
    ///
    /// `Refused` for a name that is none, and for a link that leads nowhere.
    pub fn find(data_dir: Option<&Path>, db: Option<&Path>) -> Result<Option<Self>, StorageError> {
        if let Some(db) = db.filter(|db| !is_file_name(db)) {
            let shown = format!("\"{}\"", db.display());
            return Err(StorageError::new(
                StorageErrorKind::Refused,
                NO_FILE_NAME.replace("{}", &shown),
            ));
        }
        let (named, directory) = match (data_dir, db) {
            (None, None) => return Ok(None),
            (Some(directory), db) => {
                (directory.join(db.unwrap_or(Path::new(DEFAULT_FILE))), directory.to_owned())
            }
            (None, Some(file)) => (file.to_owned(), directory_of(file)),
        };
        not_a_dead_link(&directory)?;
        let file = real_file(&named)?;
        Ok(Some(Location { file, directory, is_own_directory: data_dir.is_some() }))
    }

    pub fn backups(&self) -> PathBuf {
        directory_of(&self.file).join(BACKUPS)
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
    /// locks. Lock files stay when the process ends; only a lock held on them
    /// counts. Afterwards the name of the file is final.
    ///
    /// # Errors
    ///
    /// `InUse` if another process holds a lock; `Full` if there is no room;
    /// what the file system answers.
    pub fn claim(&mut self) -> Result<Claim, StorageError> {
        private::create_directory(&self.directory).map_err(|error| {
            StorageError::io(&format!("cannot create {}", self.directory.display()), &error)
        })?;
        // What was missing before may have led through a link.
        self.file = real_file(&self.file)?;
        let mut claim = Claim { locks: Vec::new(), held: Vec::new() };
        claim.take(&with_suffix(&self.file, ".lock"))?;
        if self.is_own_directory {
            // The only lock of earlier versions.
            claim.take(&self.directory.join(OLD_LOCK))?;
        }
        claim.hold(&self.file)?;
        let place = directory_of(&self.file);
        let (shown, free) = (place.display(), free_bytes(&place)?);
        if free < MIN_FREE_BYTES {
            return Err(StorageError::new(
                StorageErrorKind::Full,
                format!(
                    "{shown} has {free} bytes of free space, at least {MIN_FREE_BYTES} are needed"
                ),
            ));
        }
        Ok(claim)
    }

    /// Says what other users of the machine can read. Such modes were chosen by
    /// somebody, or by an earlier version: they stay.
    pub fn warn_of_modes(&self) {
        let place = directory_of(&self.file);
        let beside = ["", "-wal", "-shm", "-synced", ".lock"];
        let files = beside.map(|suffix| with_suffix(&self.file, suffix));
        for path in [&place, &self.backups()].into_iter().chain(&files) {
            private::warn_of_mode(path);
        }
        if self.directory.canonicalize().is_ok_and(|directory| directory != place) {
            private::warn_of_mode(&self.directory);
        }
    }
}

impl Claim {
    fn take(&mut self, path: &Path) -> Result<(), StorageError> {
        let file = private::open_or_create(path).map_err(|error| {
            StorageError::io(&format!("cannot open {}", path.display()), &error)
        })?;
        match file.try_lock() {
            Ok(()) => self.locks.push(file),
            Err(TryLockError::WouldBlock) => return Err(in_use()),
            Err(TryLockError::Error(error)) => {
                return Err(StorageError::io(&format!("cannot lock {}", path.display()), &error));
            }
        }
        Ok(())
    }

    /// Takes the file itself, too: a hard link gives it a second name, with
    /// another lock file. To be called again when the file was created or
    /// replaced.
    ///
    /// Its descriptor must not be closed before SQLite has closed the file: the
    /// system would drop all of SQLite's own locks with it.
    ///
    /// # Errors
    ///
    /// `InUse` if another process holds it.
    pub fn hold(&mut self, database: &Path) -> Result<(), StorageError> {
        let Ok(found) = std::fs::metadata(database) else { return Ok(()) };
        let identity = (found.dev(), found.ino());
        if self.held.contains(&identity) || !found.is_file() || is_remote(database) {
            return Ok(());
        }
        if found.nlink() > 1 {
            log::warn!(
                "{} has a second name (a hard link): what is written under one name is not seen \
                 under the other until noexd has ended; copy the file instead",
                database.display()
            );
        }
        // What may not be opened is refused with its reason a moment later.
        let Ok(file) = File::open(database) else { return Ok(()) };
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => Err(in_use()),
            // A file system that knows no locks has the lock files.
            _ => {
                self.held.push(identity);
                self.locks.push(file);
                Ok(())
            }
        }
    }
}

fn in_use() -> StorageError {
    StorageError::new(StorageErrorKind::InUse, "in use by another process")
}

/// Whether a name is that of a file. SQLite has others, which its own calls
/// would understand and the rest of noexd would not.
pub fn is_file_name(db: &Path) -> bool {
    let shown = db.to_string_lossy();
    shown != ":memory:" && !shown.starts_with("file:")
}

/// What is said otherwise; the braces stand for the name in quotation marks.
pub const NO_FILE_NAME: &str = "expected a path, got {} (leave db out to keep data in memory)";

/// The name of a file without links, as far as it exists.
fn real_file(named: &Path) -> Result<PathBuf, StorageError> {
    not_a_dead_link(named)?;
    if let Ok(real) = named.canonicalize() {
        return Ok(real);
    }
    let directory = directory_of(named);
    not_a_dead_link(&directory)?;
    Ok(match (directory.canonicalize(), named.file_name()) {
        (Ok(real), Some(name)) => real.join(name),
        _ => named.to_owned(),
    })
}

fn not_a_dead_link(path: &Path) -> Result<(), StorageError> {
    let is_link = std::fs::symlink_metadata(path).is_ok_and(|file| file.is_symlink());
    let leads = std::fs::metadata(path);
    match leads {
        Err(error) if is_link && error.kind() == io::ErrorKind::NotFound => Err(StorageError::new(
            StorageErrorKind::Refused,
            format!("{} is a link to nothing", path.display()),
        )),
        Err(error) if is_link => {
            Err(StorageError::io(&format!("cannot follow the link {}", path.display()), &error))
        }
        _ => Ok(()),
    }
}

pub(crate) fn directory_of(file: &Path) -> PathBuf {
    match file.parent() {
        Some(parent) if parent != Path::new("") => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// Network file systems make this kind of lock out of the kind that SQLite
/// takes: ours would keep out our own SQLite.
fn is_remote(path: &Path) -> bool {
    const NFS: i64 = 0x6969;
    const SMB2: i64 = 0xfe53_4d42;
    const CIFS: i64 = 0xff53_4d42;
    #[cfg(target_os = "linux")]
    return rustix::fs::statfs(path)
        .is_ok_and(|stat| [NFS, SMB2, CIFS].contains(&i64::from(stat.f_type as u32)));
    #[cfg(not(target_os = "linux"))]
    return false;
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

/// The log of a database.
#[cfg(feature = "sqlite")]
pub(super) fn log_path(database: &Path) -> PathBuf {
    with_suffix(database, "-wal")
}

/// The record of what of it is on disk.
#[cfg(feature = "sqlite")]
pub(super) fn record_path(database: &Path) -> PathBuf {
    with_suffix(database, "-synced")
}

/// Removes a file; one that is not there is no error.
#[cfg(feature = "sqlite")]
pub(super) fn remove_if_there(path: &Path) -> Result<(), StorageError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(StorageError::io(&format!("cannot remove {}", path.display()), &error))
        }
        _ => Ok(()),
    }
}
