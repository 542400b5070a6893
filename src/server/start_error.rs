//! Why a server does not start.

use super::exit;
use crate::config::ConfigError;
use crate::storage::StorageErrorKind;

/// Why a server did not start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartError {
    /// Settings or definitions are wrong.
    Config(ConfigError),
    /// A step of the start failed.
    Failed {
        /// The key or the step, such as `port`.
        step: String,
        /// What happened, and what to do.
        reason: String,
    },
    /// The data cannot be opened, read or understood.
    Storage {
        /// The key that says where it is.
        step: String,
        /// What is the matter with it.
        kind: StorageErrorKind,
        /// What happened, and what to do.
        reason: String,
    },
}

impl StartError {
    /// What a program that ends with this tells its supervisor.
    pub fn exit_code(&self) -> u8 {
        match self {
            StartError::Config(_) => exit::CONFIG,
            StartError::Failed { .. } => exit::OTHER,
            StartError::Storage { kind, .. } => exit::of_storage(*kind),
        }
    }
}

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            StartError::Config(error) => error.fmt(f),
            StartError::Failed { step, reason } | StartError::Storage { step, reason, .. } => {
                write!(f, "{step}: {reason}")
            }
        }
    }
}

impl std::error::Error for StartError {}

impl From<ConfigError> for StartError {
    fn from(error: ConfigError) -> Self {
        StartError::Config(error)
    }
}
