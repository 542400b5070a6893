//! Backups: copies of the database file as it was at one commit, made while the
//! server runs.
//!
//! A backup is a database file of its own, in the same format, that holds its
//! own description; the directory of backups is the list of them.

use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use rusqlite::{OpenFlags, params};

use super::directory::{
    MIN_FREE_BYTES, directory_of, free_bytes, remove_if_there, sync_directory, with_suffix,
};
use super::sqlite::{
    Sqlite, SqliteReader, failure, last_commit, meta, note_copied_cookie, open, set_lineage,
};
use super::{Location, StorageError, StorageErrorKind};
use crate::app::CommitSeq;
use crate::private;

/// Backups of one data directory at a time. Bounds what a list costs, and the
/// disk that somebody fills who may make backups and do nothing else.
pub const MAX_BACKUPS: usize = 100;

/// Characters of a name.
const MAX_NAME: usize = 64;

const SUFFIX: &str = ".sqlite";

/// Behind the name of a copy that is not complete.
const PARTIAL: &str = ".partial";

/// What is known of a backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupInfo {
    pub name: String,
    /// Unix time in milliseconds.
    pub created_at: u64,
    /// The newest commit in it.
    pub last: CommitSeq,
    /// In the order of their definition.
    pub bucket_names: Vec<String>,
    pub records: u64,
    /// Size of its file.
    pub bytes: u64,
}

/// The backups of one data directory.
#[derive(Clone, Debug)]
pub struct Backups {
    database: PathBuf,
    directory: PathBuf,
    /// This process writes the database.
    is_own: bool,
}

/// Whether a name may be that of a backup: 1 to 64 characters of `A-Z`, `a-z`,
/// `0-9`, `.`, `_` and `-`, not beginning with `.`.
pub fn check_backup_name(name: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=MAX_NAME).contains(&name.len()) && !name.starts_with('.') && name.bytes().all(good)
}

impl Backups {
    pub fn new(location: &Location) -> Self {
        Self { database: location.file.clone(), directory: location.backups(), is_own: false }
    }

    /// For the process that writes the database, see [`Sqlite::open_own_to_read`].
    pub fn of_own(location: &Location) -> Self {
        Self { is_own: true, ..Self::new(location) }
    }

    /// Where the backup of that name lies, or would lie.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{name}{SUFFIX}"))
    }

    /// Copies everything that is in the database file now. Takes time in
    /// proportion to its size, and does not hold up the writer.
    ///
    /// # Errors
    ///
    /// `Refused` for a name that is taken, or when there are [`MAX_BACKUPS`];
    /// `Full`; what the file system or SQLite answers. Nothing is left behind.
    pub fn create(&self, name: &str, created_at: u64) -> Result<BackupInfo, StorageError> {
        let shown = self.directory.display();
        private::create_directory(&self.directory)
            .map_err(|error| StorageError::io(&format!("cannot create {shown}"), &error))?;
        let target = self.path(name);
        if target.exists() {
            return Err(refused(format!("Backup \"{name}\" already exists")));
        }
        if self.names()?.len() >= MAX_BACKUPS {
            return Err(refused(format!(
                "there are {MAX_BACKUPS} backups already, delete one first"
            )));
        }
        let size = fs::metadata(&self.database).map_or(0, |file| file.len());
        let free = free_bytes(&self.directory)?;
        if free < size.saturating_add(MIN_FREE_BYTES) {
            return Err(StorageError::new(
                StorageErrorKind::Full,
                format!("{shown} has {free} bytes of free space, too little for {size} more"),
            ));
        }
        let open = if self.is_own { Sqlite::open_own_to_read } else { Sqlite::open_to_read };
        copy_with(open, &self.database, &target, name, created_at)
    }

    /// Removes the beginnings of copies whose makers have ended. A copy that is
    /// being made is locked.
    pub fn remove_partial(&self) {
        let Ok(entries) = fs::read_dir(&self.directory) else { return };
        for path in entries.flatten().map(|entry| entry.path()) {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let is_partial = [PARTIAL, ".partial-journal", ".partial-wal", ".partial-shm"]
                .iter()
                .any(|end| name.strip_suffix(end).is_some_and(|name| name.ends_with(SUFFIX)));
            if !is_partial || !path.is_file() || is_locked(&path) {
                continue;
            }
            match fs::remove_file(&path) {
                Ok(()) => log::info!("{}: half a backup, removed", path.display()),
                Err(error) => log::warn!("cannot remove {}: {error}", path.display()),
            }
        }
    }

    /// The names of those that are complete.
    ///
    /// # Errors
    ///
    /// When the directory cannot be read.
    pub fn names(&self) -> Result<Vec<String>, StorageError> {
        let failed = |error: std::io::Error| {
            StorageError::io(&format!("cannot read {}", self.directory.display()), &error)
        };
        let entries = match fs::read_dir(&self.directory) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(failed)?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let file = entry.map_err(failed)?.file_name();
            let name = file.to_str().and_then(|file| file.strip_suffix(SUFFIX));
            names.extend(name.filter(|name| check_backup_name(name)).map(str::to_owned));
        }
        Ok(names)
    }

    /// All backups, oldest first. Files that are no readable backups are left
    /// out, and logged.
    ///
    /// # Errors
    ///
    /// When the directory cannot be read.
    pub fn list(&self) -> Result<Vec<BackupInfo>, StorageError> {
        let mut list = Vec::new();
        for name in self.names()? {
            match self.info(&name) {
                Ok(info) => list.push(info),
                Err(error) => log::warn!("backup \"{name}\" is left out of the list: {error}"),
            }
        }
        list.sort_by(|a, b| (a.created_at, &a.name).cmp(&(b.created_at, &b.name)));
        Ok(list)
    }

    fn info(&self, name: &str) -> Result<BackupInfo, StorageError> {
        describe(&self.path(name), Some(name))
    }

    /// The backup of that name, to be read.
    ///
    /// # Errors
    ///
    /// `NotFound`; what opening a database file is refused with.
    pub fn open(&self, name: &str) -> Result<SqliteReader, StorageError> {
        let path = self.path(name);
        if !check_backup_name(name) || !path.exists() {
            return Err(StorageError::new(
                StorageErrorKind::NotFound,
                format!("Backup \"{name}\" not found"),
            ));
        }
        Sqlite::open_to_read(&path)
    }

    /// Whether there was one to delete.
    ///
    /// # Errors
    ///
    /// What the file system answers.
    pub fn delete(&self, name: &str) -> Result<bool, StorageError> {
        if !check_backup_name(name) {
            return Ok(false);
        }
        let path = self.path(name);
        match fs::remove_file(&path) {
            Ok(()) => sync_directory(&self.directory).map(|()| true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => {
                Err(StorageError::io(&format!("cannot remove {}", path.display()), &error))
            }
        }
    }
}

fn refused(message: String) -> StorageError {
    StorageError::new(StorageErrorKind::Refused, message)
}

/// Copies what is in a database file now into a new file that describes itself
/// as a backup. The file is there whole or not at all.
///
/// # Errors
///
/// `Refused` if `target` is there; what the file system or SQLite answers.
pub fn copy_file(
    source: &Path,
    target: &Path,
    name: &str,
    created_at: u64,
) -> Result<BackupInfo, StorageError> {
    copy_with(Sqlite::open_to_read, source, target, name, created_at)
}

/// How a source is opened.
type Open = fn(&Path) -> Result<SqliteReader, StorageError>;

fn copy_with(
    open: Open,
    source: &Path,
    target: &Path,
    name: &str,
    created_at: u64,
) -> Result<BackupInfo, StorageError> {
    if target.exists() {
        return Err(refused(format!("{} already exists", target.display())));
    }
    let reader = open(source)?;
    let partial = with_suffix(target, PARTIAL);
    if is_locked(&partial) {
        return Err(refused(format!("{} is being written by another process", target.display())));
    }
    remove_if_there(&partial)?;
    // Held until the copy has its name; a killed process holds nothing.
    let lock = create_empty(&partial)?;
    if let Err(error) = lock.try_lock() {
        log::debug!("{}: {error}", partial.display());
    }
    if let Err(error) = copy_described(&reader, source, &partial, name, created_at) {
        // What cannot be removed now is removed by the next try.
        let _ = fs::remove_file(&partial);
        return Err(error);
    }
    fs::rename(&partial, target).map_err(|error| {
        StorageError::io(&format!("cannot create {}", target.display()), &error)
    })?;
    sync_directory(&directory_of(target))?;
    describe(target, Some(name))
}

fn copy_described(
    reader: &SqliteReader,
    source: &Path,
    target: &Path,
    name: &str,
    created_at: u64,
) -> Result<(), StorageError> {
    copy_into(reader, source, target)?;
    let failed = |error: rusqlite::Error| failure("write", target, &error);
    let copy = open(target, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    copy.execute_batch("PRAGMA synchronous = FULL").map_err(failed)?;
    let records: u64 =
        copy.query_row("SELECT count(*) FROM records", [], |row| row.get(0)).map_err(failed)?;
    // It is no longer what the file beside the original speaks of.
    set_lineage(&copy).map_err(failed)?;
    let mut insert =
        copy.prepare("INSERT OR REPLACE INTO meta(name, value) VALUES(?1, ?2)").map_err(failed)?;
    insert.execute(params!["backup.name", name]).map_err(failed)?;
    insert.execute(params!["backup.createdAt", created_at]).map_err(failed)?;
    insert.execute(params!["backup.records", records]).map_err(failed)?;
    drop(insert);
    copy.close().map_err(|(_, error)| failed(error))?;
    sync_file(target)
}

/// Whether another process is at work on a file. One that is not there, or
/// cannot be asked, is not locked.
fn is_locked(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
}

/// What SQLite then fills: it would create it with the mode of the umask.
fn create_empty(path: &Path) -> Result<File, StorageError> {
    private::create(path)
        .map_err(|error| StorageError::io(&format!("cannot create {}", path.display()), &error))
}

pub(super) fn sync_file(path: &Path) -> Result<(), StorageError> {
    File::open(path)
        .and_then(|file| file.sync_all())
        .map_err(|error| StorageError::io(&format!("cannot sync {}", path.display()), &error))
}

/// Copies one state of a database file, log included, into a new file.
pub(super) fn copy_database(source: &Path, target: &Path) -> Result<(), StorageError> {
    let reader = Sqlite::open_to_read(source)?;
    create_empty(target)?;
    copy_into(&reader, source, target)
}

fn copy_into(reader: &SqliteReader, source: &Path, target: &Path) -> Result<(), StorageError> {
    let failed = |error: rusqlite::Error| failure("copy", source, &error);
    // Makes a file, and so is no query in the eyes of that setting.
    reader.connection.pragma_update(None, "query_only", false).map_err(failed)?;
    let Some(path) = target.to_str() else {
        return Err(refused(format!("{} is no name that SQLite takes", target.display())));
    };
    reader.connection.execute("VACUUM INTO ?1", params![path]).map_err(failed)?;
    // A copy of our own goes on with the epochs of the original.
    let copy = self::open(target, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let failed = |error: rusqlite::Error| failure("write", target, &error);
    copy.execute_batch("PRAGMA synchronous = FULL").map_err(failed)?;
    note_copied_cookie(&copy).map_err(failed)?;
    copy.close().map_err(|(_, error)| failed(error))
}

/// What is known of a backup file. Without `name` it is the one in the file.
pub fn describe(path: &Path, name: Option<&str>) -> Result<BackupInfo, StorageError> {
    let failed = |error: rusqlite::Error| failure("read", path, &error);
    let reader = Sqlite::open_to_read(path)?;
    let connection = &reader.connection;
    let bytes = fs::metadata(path)
        .map_err(|error| StorageError::io(&format!("cannot read {}", path.display()), &error))?
        .len();
    let bucket_names = connection
        .prepare("SELECT name FROM buckets ORDER BY id")
        .and_then(|mut names| names.query_map([], |row| row.get(0))?.collect())
        .map_err(failed)?;
    let last = last_commit(connection).map_err(failed)?;
    let named: Option<String> = meta(connection, "backup.name").map_err(failed)?;
    Ok(BackupInfo {
        name: name.map_or_else(|| named.unwrap_or_default(), str::to_owned),
        created_at: meta(connection, "backup.createdAt").map_err(failed)?.unwrap_or_default(),
        records: meta(connection, "backup.records").map_err(failed)?.unwrap_or_default(),
        last,
        bucket_names,
        bytes,
    })
}
