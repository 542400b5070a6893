//! Backups in a build without storage: there are none.

use crate::app::ConnId;
use crate::engine::Engine;
use crate::protocol::{ErrorCode, OpError, Request};

fn cannot(what: &str) -> Result<(), OpError> {
    let text = format!("Cannot {what}: persistence is not configured");
    Err(OpError::new(ErrorCode::UnknownOperation, text))
}

impl Engine {
    pub(super) fn store_backup(&self, _: ConnId, _: &Request<'_>) -> Result<(), OpError> {
        cannot("create backup")
    }

    pub(super) fn store_backups(&self, _: ConnId, _: &Request<'_>) -> Result<(), OpError> {
        cannot("list backups")
    }

    pub(super) fn store_restore(&self, _: ConnId, _: &Request<'_>) -> Result<(), OpError> {
        cannot("restore backup")
    }

    pub(super) fn store_delete_backup(&self, _: ConnId, _: &Request<'_>) -> Result<(), OpError> {
        cannot("delete backup")
    }
}
