//! How much memory the data may take (`limits.maxDataBytes`): from there on,
//! nothing that makes it more is prepared. What makes it less always is.

use super::changeset::{ChangeSet, DefinitionOp, Op};
use super::{Row, Store};
use crate::json::{Json, Object};
use crate::protocol::{ErrorCode, OpError};

/// The limit, and what counts beside records and indexes.
#[derive(Clone, Debug, Default)]
pub(super) struct DataLimit {
    bytes: Option<u64>,
    beside: usize,
}

impl Store {
    /// `None`: as much as there is.
    pub fn limit_memory(&mut self, bytes: Option<u64>) {
        self.limit.bytes = bytes;
    }

    /// Bytes that others take for what they keep of the data: the views.
    pub fn count_beside(&mut self, bytes: usize) {
        self.limit.beside = bytes;
    }

    /// Bytes of records, indexes and what counts beside them.
    pub fn memory(&self) -> usize {
        let (_, owned) = self.presence();
        let records = self.buckets().map(super::Bucket::memory).sum::<usize>();
        records + owned * super::owners::OWNER_BYTES + self.limit.beside
    }

    pub fn memory_limit(&self) -> Option<u64> {
        self.limit.bytes
    }

    /// Refuses what would make the data larger when there is enough of it.
    ///
    /// # Errors
    /// `BACKPRESSURE`
    pub(super) fn check_memory(&self, set: &ChangeSet) -> Result<(), OpError> {
        let Some(limit) = self.limit.bytes else { return Ok(()) };
        if !self.grows(set) {
            return Ok(());
        }
        let used = self.memory() as u64;
        if used < limit {
            return Ok(());
        }
        let details: Object =
            [("limit", Json::Number(limit as f64)), ("used", Json::Number(used as f64))]
                .into_iter()
                .collect();
        Err(OpError::new(ErrorCode::Backpressure, "Memory limit reached")
            .with_details(Json::Object(details)))
    }

    fn grows(&self, set: &ChangeSet) -> bool {
        let (mut more, mut less) = (0usize, 0usize);
        for op in &set.ops {
            more = more.saturating_add(op.row.as_ref().map_or(0, Row::memory));
            less = less.saturating_add(self.old_row(op).map_or(0, Row::memory));
        }
        let definitions = set.definitions.iter().any(|definition| match definition {
            DefinitionOp::Define(_) => true,
            DefinitionOp::Drop(_) => false,
            DefinitionOp::Update(rebuilt) => self.bucket(rebuilt.bucket).is_some_and(|old| {
                let new = &rebuilt.parts;
                new.indexes.len() > old.indexes.len()
                    || new.sorted.len() > old.sorted.len()
                    || new.searched.len() > old.searched.len()
                    || new.references.len() > old.references.len()
            }),
        });
        definitions || more > less
    }

    fn old_row<'s>(&'s self, op: &'s Op) -> Option<&'s Row> {
        match &op.place {
            Some((_, row)) => Some(row),
            None => self.bucket(op.bucket)?.get(&op.key),
        }
    }
}
