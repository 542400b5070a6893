//! A disk that is almost full: what would need room is refused, what makes room
//! and what the server itself has to remember goes on, on the reserve.

use super::Engine;
use crate::app::ConnId;
use crate::json::{Json, Object};
use crate::protocol::{ErrorCode, OpError, Operation, Tier};

/// What a refused client is told to wait.
const RETRY_AFTER_MS: f64 = 5_000.0;

/// Whether an operation adds to what is stored.
fn needs_room(operation: Operation) -> bool {
    match operation {
        Operation::StoreDelete
        | Operation::StoreDeleteMany
        | Operation::StoreClear
        | Operation::RulesDeleteFact => false,
        Operation::StoreDefineBucket
        | Operation::StoreUpdateBucket
        | Operation::StoreDefineQuery
        | Operation::RulesRegisterRule
        | Operation::RulesUpdateRule
        | Operation::ProceduresRegister
        | Operation::ProceduresUpdate
        | Operation::LogicDefineComputed
        | Operation::LogicDefineView
        | Operation::LogicDefineConstraint
        | Operation::AccessDefineSet => true,
        _ => operation.tier() == Some(Tier::Write),
    }
}

impl Engine {
    /// Looks at the room that the storage has; cheap enough for every turn.
    pub(super) fn look_at_disk(&mut self) {
        let least = self.options.min_free_bytes;
        let stats = self.log.sink().and_then(|sink| sink.stats());
        let Some(free) = stats.and_then(|stats| stats.free.get()) else { return };
        if !self.read_only.follow(free, least) {
            return;
        }
        match self.read_only.is_on() {
            true => log::error!(
                "storage: {free} bytes free, less than minFreeBytes: writes are refused"
            ),
            false => log::info!("storage: writes are accepted again"),
        }
    }

    /// Refuses what needs room that is not there.
    pub(super) fn check_room(&self, conn: ConnId, operation: Operation) -> Result<(), OpError> {
        let unlimited = self.conns.get(conn).is_some_and(|conn| conn.unlimited);
        if !self.read_only.is_on() || unlimited || !needs_room(operation) {
            return Ok(());
        }
        let details: Object =
            [("retryAfterMs", Json::Number(RETRY_AFTER_MS))].into_iter().collect();
        let text = "Disk almost full: writes are refused";
        Err(OpError::new(ErrorCode::Backpressure, text).with_details(Json::Object(details)))
    }

    pub(super) fn is_read_only(&self) -> bool {
        self.read_only.is_on()
    }
}
