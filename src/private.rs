//! Files and directories for their owner alone, whatever the umask says.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

const FILE: u32 = 0o600;
const DIRECTORY: u32 = 0o700;

/// Creates a file that is not there yet, open for writing.
///
/// # Errors
///
/// What the file system answers; `AlreadyExists`.
pub fn create(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(FILE).open(path)?;
    // An umask takes bits away, also those of the owner.
    file.set_permissions(Permissions::from_mode(FILE))?;
    Ok(file)
}

/// To open a file that may be there; what a link leads to is created, too.
pub fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).mode(FILE);
    options
}

/// Opens a file for writing; one that is there keeps its content and its mode.
///
/// # Errors
///
/// What the file system answers.
pub fn open_or_create(path: &Path) -> io::Result<File> {
    match create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            options().read(true).write(true).open(path)
        }
        created => created,
    }
}

/// Creates a directory and those above it, as far as they are missing.
///
/// # Errors
///
/// What the file system answers.
pub fn create_directory(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    DirBuilder::new()
        .recursive(true)
        .mode(DIRECTORY)
        .create(path)
        .and_then(|()| fs::set_permissions(path, Permissions::from_mode(DIRECTORY)))
}

/// Says so if others than the owner can read what is there.
pub fn warn_of_mode(path: &Path) {
    let Ok(found) = fs::metadata(path) else { return };
    let mode = found.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 && (found.is_file() || found.is_dir()) {
        log::warn!("{} can be read by other users (mode {mode:04o})", path.display());
    }
}
