//! The record that a request names, for a check of the embedding program that
//! decides about records. Nothing is looked up without such a check.

use super::Engine;
use super::sessions::Mode;
use crate::app::ConnId;
use crate::json::{Kind, Raw};
use crate::protocol::{Operation, Request};
use crate::store::{Lookup, Row};

/// Where a request says which record it means.
#[derive(Clone, Copy)]
enum Named {
    /// By its key.
    Key,
    /// As what is to be written, the key in its place.
    Data,
}

impl Named {
    fn by(operation: Operation) -> Option<Named> {
        match operation {
            Operation::StoreGet | Operation::StoreUpdate | Operation::StoreDelete => {
                Some(Named::Key)
            }
            Operation::StoreInsert | Operation::StoreUpsert => Some(Named::Data),
            _ => None,
        }
    }

    fn in_step(op: &str) -> Option<Named> {
        match op {
            "get" | "update" | "delete" => Some(Named::Key),
            "insert" | "upsert" => Some(Named::Data),
            _ => None,
        }
    }
}

impl Engine {
    fn looks_at_records(&self) -> bool {
        matches!(&self.sessions.mode, Mode::External(external) if external.looks_at_records)
    }

    /// The record that a request names, if there is one and the connection may
    /// know of it.
    pub(super) fn record_asked(&mut self, conn: ConnId, request: &Request<'_>) -> Option<Row> {
        if !self.looks_at_records() {
            return None;
        }
        let named = Named::by(request.known?)?;
        let bucket = request.str_field("bucket")?;
        self.named_record(conn, &bucket, named, &|member| request.field(member))
    }

    /// The same of a step of a transaction.
    pub(super) fn record_of_step(&mut self, conn: ConnId, step: Raw<'_>) -> Option<Row> {
        if !self.looks_at_records() {
            return None;
        }
        let named = Named::in_step(&step.get("op")?.as_str()?)?;
        let bucket = step.get("bucket")?.as_str()?;
        self.named_record(conn, &bucket, named, &|member| step.get(member))
    }

    fn named_record<'r>(
        &mut self,
        conn: ConnId,
        name: &str,
        named: Named,
        member: &dyn Fn(&str) -> Option<Raw<'r>>,
    ) -> Option<Row> {
        let row = self.record_with(name, named, member)?;
        // What cannot be bound is closed; the handler says why.
        let read = self.rights(conn).readable(name).ok()?;
        read.allows(&row, &self.budget).then_some(row)
    }

    fn record_with<'r>(
        &self,
        name: &str,
        named: Named,
        member: &dyn Fn(&str) -> Option<Raw<'r>>,
    ) -> Option<Row> {
        let bucket = self.store.bucket_named(name)?;
        let key = match named {
            Named::Key => member("key")?,
            Named::Data => {
                let data = member("data").filter(|data| data.kind() == Kind::Object)?;
                data.get(bucket.key_field())?
            }
        };
        // Used up, the request ends with that error.
        self.budget.spend(1).ok()?;
        bucket.get(Lookup::from(key).key()?).cloned()
    }

    /// The record that `access.explain` is asked about.
    pub(super) fn record_explained(&self, bucket: &str, request: &Request<'_>) -> Option<Row> {
        if !self.looks_at_records() {
            return None;
        }
        self.record_with(bucket, Named::Key, &|member| request.field(member))
    }
}
