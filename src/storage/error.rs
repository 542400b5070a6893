//! What can be wrong with what is on disk.

/// What kind of trouble it is, for callers that tell cases apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StorageErrorKind {
    /// Another process uses the directory.
    InUse,
    /// The file belongs to another program.
    Foreign,
    /// A newer version of this program wrote the file.
    Newer,
    /// The content is damaged or cut off.
    Damaged,
    /// The disk or the file system has no room left.
    Full,
    /// A name, a limit or a request that cannot be served.
    Refused,
    /// Nothing of that name.
    NotFound,
    /// Anything else that reading or writing failed with.
    Io,
}

/// An error with a text for people: what is wrong, and what would help.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageError {
    pub kind: StorageErrorKind,
    pub message: String,
}

impl StorageError {
    pub fn new(kind: StorageErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    pub fn io(what: &str, error: &std::io::Error) -> Self {
        let kind = match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                StorageErrorKind::Full
            }
            _ => StorageErrorKind::Io,
        };
        Self::new(kind, format!("{what}: {error}"))
    }
}

impl std::fmt::Display for StorageError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for StorageError {}
