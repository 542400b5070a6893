//! The newest commit that is known to be on disk, in a small file beside the
//! database.
//!
//! Written after every sync, never before it, so it can lag behind the data and
//! cannot be ahead of it. A database that ends before the commit that stands
//! here has lost something: part of its log, or all of it. What a loss of power
//! leaves of this file is checked by itself, and if it is nothing, nothing is
//! claimed.

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use crate::app::CommitSeq;
use crate::private;
use crate::storage::StorageError;
use crate::storage::checksum::checksum;
use crate::storage::directory::remove_if_there;

/// Characters of a lineage, see [`Record::lineage`].
pub const LINEAGE: usize = 32;
/// `noexd`, the lineage, 20 digits and 16 hexadecimal ones of a checksum, each
/// with a character behind it: less than a sector, which disks write whole.
const BYTES: usize = 6 + LINEAGE + 1 + 20 + 1 + 16 + 1;

/// What the file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Which database it is about. A copy that was put in the place of the file
    /// has another history, and is not to be measured by this one.
    pub lineage: String,
    pub last: CommitSeq,
}

impl Record {
    /// `None`: there is no file, or none that is whole.
    ///
    /// # Errors
    ///
    /// What the file system answers.
    pub fn read(path: &Path) -> Result<Option<Self>, StorageError> {
        let failed = |error| StorageError::io(&format!("cannot read {}", path.display()), &error);
        let file = match File::open(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            file => file.map_err(failed)?,
        };
        let mut bytes = Vec::new();
        file.take(BYTES as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
        let record = Self::parse(&bytes);
        if record.is_none() {
            log::warn!("{} is not whole and says nothing", path.display());
        }
        Ok(record)
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let mut words = text.split_ascii_whitespace();
        let (_, lineage, last) = (words.next()?, words.next()?, words.next()?.parse().ok()?);
        let record = Record { lineage: lineage.to_owned(), last };
        (record.text().as_bytes() == bytes).then_some(record)
    }

    fn text(&self) -> String {
        let text = format!("noexd {} {:020} ", self.lineage, self.last);
        let sum = checksum(text.as_bytes());
        format!("{text}{sum:016x}\n")
    }
}

/// The file, open for writing.
#[derive(Debug)]
pub struct Synced {
    path: PathBuf,
    file: File,
    record: Record,
}

impl Synced {
    /// Begins with what is known at the start.
    ///
    /// # Errors
    ///
    /// What the file system answers.
    pub fn open(path: PathBuf, record: Record) -> Result<Self, StorageError> {
        let file = private::open_or_create(&path).map_err(|error| {
            StorageError::io(&format!("cannot write {}", path.display()), &error)
        })?;
        let synced = Synced { path, file, record };
        synced.write()?;
        // What an earlier version or somebody else left behind ours.
        synced.file.set_len(BYTES as u64).map_err(|error| synced.failed(&error))?;
        Ok(synced)
    }

    /// Everything up to `last` is on disk.
    ///
    /// # Errors
    ///
    /// What the file system answers.
    pub fn raise(&mut self, last: CommitSeq) -> Result<(), StorageError> {
        self.record.last = last;
        self.write()
    }

    /// Puts the file itself on disk.
    ///
    /// # Errors
    ///
    /// What the file system answers.
    pub fn sync(&self) -> Result<(), StorageError> {
        self.file.sync_data().map_err(|error| self.failed(&error))
    }

    /// Takes the file away: from now on the database speaks for itself.
    ///
    /// # Errors
    ///
    /// What the file system answers.
    pub fn remove(self) -> Result<(), StorageError> {
        remove_if_there(&self.path)
    }

    fn write(&self) -> Result<(), StorageError> {
        let text = self.record.text();
        self.file.write_all_at(text.as_bytes(), 0).map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &std::io::Error) -> StorageError {
        StorageError::io(&format!("cannot write {}", self.path.display()), error)
    }
}
