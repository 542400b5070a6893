//! The handlers: one file per family, one function per operation. Which there
//! are says the table in `protocol::operation`.

mod access;
mod audit;
mod auth;
#[cfg(feature = "sqlite")]
mod backup;
#[cfg(not(feature = "sqlite"))]
#[path = "no_backup.rs"]
mod backup;
mod disconnect;
mod explain;
mod identity;
mod logic;
mod procedures;
mod queries;
mod rules;
mod server;
mod session;
mod store;
mod subscribe_many;
#[cfg(any(test, feature = "test-ops"))]
mod testing;
mod windows;

#[cfg(feature = "sqlite")]
pub(super) use backup::BackupDesk;

use super::scopes::Written;
use super::{Engine, Outcome};
use crate::app::ConnId;
use crate::budget::{Budget, OverBudget};
use crate::json::Json;
use crate::protocol::{ErrorCode, Family, OpError, Operation, Reply, Request, operation_table};

impl Engine {
    /// Whether the subsystem behind a family is there, known operation or not.
    pub(super) fn family_available(&self, family: Family) -> Result<(), OpError> {
        let unknown = |text| Err(OpError::new(ErrorCode::UnknownOperation, text));
        match family {
            Family::Store | Family::Server | Family::Access => Ok(()),
            Family::Session if self.options.continuity.is_some() => Ok(()),
            Family::Session => unknown("Sessions are not configured"),
            Family::Rules if self.rules.is_some() => Ok(()),
            Family::Rules => {
                Err(OpError::new(ErrorCode::RulesNotAvailable, "Rule engine is not configured"))
            }
            Family::Logic if self.logic.is_some() => Ok(()),
            Family::Logic => {
                Err(OpError::new(ErrorCode::LogicNotAvailable, "Logic engine is not configured"))
            }
            Family::Identity if self.identity().is_ok() => Ok(()),
            Family::Identity => unknown("Identity management is not configured"),
            Family::Auth if self.auth_enabled() => Ok(()),
            Family::Auth => unknown("Authentication is not configured"),
            Family::Audit if self.audit.is_some() => Ok(()),
            Family::Audit => unknown("Audit log is not configured"),
            Family::Procedures if self.procedures.is_some() => Ok(()),
            Family::Procedures => unknown("Procedures engine is not configured"),
        }
    }
}

/// What a handler may return: how it ended, the JSON of its answer, or what is to be
/// committed now that its answer is written.
trait Answer {
    fn finish(self, engine: &mut Engine, reply: &mut Reply) -> Result<Outcome, OpError>;
}

impl Answer for () {
    fn finish(self, _: &mut Engine, _: &mut Reply) -> Result<Outcome, OpError> {
        Ok(Outcome::Done)
    }
}

impl Answer for Outcome {
    fn finish(self, _: &mut Engine, _: &mut Reply) -> Result<Outcome, OpError> {
        Ok(self)
    }
}

impl Answer for Json {
    fn finish(self, _: &mut Engine, reply: &mut Reply) -> Result<Outcome, OpError> {
        self.write(reply.data());
        Ok(Outcome::Done)
    }
}

impl Answer for Written {
    fn finish(self, engine: &mut Engine, _: &mut Reply) -> Result<Outcome, OpError> {
        engine.commit_written(self)?;
        Ok(Outcome::Done)
    }
}

impl Answer for (Json, Written) {
    fn finish(self, engine: &mut Engine, reply: &mut Reply) -> Result<Outcome, OpError> {
        let (answer, written) = self;
        engine.commit_written(written)?;
        answer.finish(engine, reply)
    }
}

impl<T: Answer, E: Into<OpError>> Answer for Result<T, E> {
    fn finish(self, engine: &mut Engine, reply: &mut Reply) -> Result<Outcome, OpError> {
        self.map_err(Into::into)?.finish(engine, reply)
    }
}

/// One argument of a handler, by the name that the table gives it.
macro_rules! argument {
    (conn, $conn:ident, $request:ident, $reply:ident) => {
        $conn
    };
    (request, $conn:ident, $request:ident, $reply:ident) => {
        $request
    };
    (reply, $conn:ident, $request:ident, $reply:ident) => {
        $reply
    };
    (out, $conn:ident, $request:ident, $reply:ident) => {
        $reply.data()
    };
}

/// The table of operations as the dispatch: one arm per row.
macro_rules! dispatch {
    ($($variant:ident $name:literal $tier:expr, $resource:expr $(, $once:ident)?
        => $scope:ident $handler:ident ($($argument:ident),*);)*) => {
        impl Engine {
            /// Runs the handler of an operation.
            pub(super) fn handle(
                &mut self,
                conn: ConnId,
                operation: Operation,
                request: &Request<'_>,
                reply: &mut Reply,
            ) -> Result<Outcome, OpError> {
                match operation {
                    $(Operation::$variant => {
                        let answer = self
                            .$scope(conn)
                            .$handler($(argument!($argument, conn, request, reply)),*);
                        answer.finish(self, reply)
                    })*
                }
            }
        }
    };
}

operation_table!(dispatch);

/// An array, each element of which is a step and part of the answer.
fn write_list<T>(
    out: &mut Vec<u8>,
    budget: &Budget,
    elements: impl IntoIterator<Item = T>,
    write: impl Fn(T, &mut Vec<u8>),
) -> Result<(), OverBudget> {
    out.push(b'[');
    let mut count = 0;
    for element in elements {
        if count > 0 {
            out.push(b',');
        }
        count += 1;
        write(element, out);
        budget.spend(1)?;
        budget.reply(out.len())?;
    }
    out.push(b']');
    budget.note_rows(count);
    Ok(())
}
