//! The handlers: one file per family, one function per operation.

mod audit;
mod auth;
#[cfg(feature = "sqlite")]
mod backup;
mod identity;
mod queries;
mod rules;
mod server;
mod store;
#[cfg(any(test, feature = "test-ops"))]
mod testing;

#[cfg(feature = "sqlite")]
pub(super) use backup::BackupDesk;

use super::Engine;
use crate::app::ConnId;
use crate::protocol::{ErrorCode, Family, OpError, Operation, Reply, Request};

/// How a handler ended well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The reply holds the data; it can leave.
    Done,
    /// A background job was started; the response follows when it is done, and
    /// the connection's next messages wait.
    Pending,
}

impl Engine {
    /// Whether the subsystem behind a family is there, known operation or not.
    pub(super) fn family_available(
        &self,
        family: Family,
        operation: Option<Operation>,
    ) -> Result<(), OpError> {
        let unknown = |text| Err(OpError::new(ErrorCode::UnknownOperation, text));
        match family {
            Family::Store | Family::Server => Ok(()),
            Family::Rules if self.rules.is_some() => Ok(()),
            Family::Rules => {
                Err(OpError::new(ErrorCode::RulesNotAvailable, "Rule engine is not configured"))
            }
            Family::Logic => {
                Err(OpError::new(ErrorCode::LogicNotAvailable, "Logic engine is not configured"))
            }
            Family::Identity if self.identity().is_ok() => Ok(()),
            Family::Identity => unknown("Identity management is not configured"),
            Family::Auth if self.auth_enabled() => Ok(()),
            Family::Auth => unknown("Authentication is not configured"),
            Family::Audit if self.audit.is_some() => Ok(()),
            Family::Audit => unknown("Audit log is not configured"),
            // Unknown names are reported as such even without the engine: in
            // noex-server it is always there.
            Family::Procedures if operation.is_none() => Ok(()),
            Family::Procedures => unknown("Procedures engine is not configured"),
        }
    }

    /// Runs the handler of an operation.
    pub(super) fn handle(
        &mut self,
        conn: ConnId,
        operation: Operation,
        request: &Request<'_>,
        reply: &mut Reply,
    ) -> Result<Outcome, OpError> {
        match operation.family() {
            Family::Store if is_of_queries(operation, request) => {
                self.query_operation(conn, operation, request, reply)
            }
            Family::Store if is_of_backups(operation) => {
                self.backup_operation(conn, operation, request)
            }
            Family::Store => self.store_operation(operation, request, reply),
            Family::Rules => self.rules_operation(conn, operation, request, reply),
            Family::Server => self.server_operation(operation, request, reply),
            Family::Auth => self.auth_operation(conn, operation, request, reply),
            Family::Audit => self.audit_query(request, reply),
            Family::Identity => self.identity_operation(conn, operation, request, reply),
            _ => Err(OpError::new(
                ErrorCode::UnknownOperation,
                format!("\"{}\" is not available in this version", operation.name()),
            )),
        }
    }
}

fn is_of_backups(operation: Operation) -> bool {
    matches!(
        operation,
        Operation::StoreBackup
            | Operation::StoreBackups
            | Operation::StoreRestore
            | Operation::StoreDeleteBackup
    )
}

#[cfg(not(feature = "sqlite"))]
impl Engine {
    fn backup_operation(
        &mut self,
        _: ConnId,
        operation: Operation,
        _: &Request<'_>,
    ) -> Result<Outcome, OpError> {
        let what = match operation {
            Operation::StoreBackup => "create backup",
            Operation::StoreRestore => "restore backup",
            Operation::StoreDeleteBackup => "delete backup",
            _ => "list backups",
        };
        let text = format!("Cannot {what}: persistence is not configured");
        Err(OpError::new(ErrorCode::UnknownOperation, text))
    }
}

fn is_of_queries(operation: Operation, request: &Request<'_>) -> bool {
    (operation == Operation::StoreExplain && request.field("query").is_some())
        || matches!(
            operation,
            Operation::StoreSubscribe
                | Operation::StoreUnsubscribe
                | Operation::StoreResync
                | Operation::StoreDefineQuery
                | Operation::StoreUndefineQuery
                | Operation::StoreListQueries
        )
}
