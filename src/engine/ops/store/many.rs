//! `store.upsert`, `store.insertMany`, `store.updateMany`, `store.deleteMany`.

use crate::engine::many::{Given, Kind, Many};
use crate::engine::scopes::{Writing, Written};
use crate::json::Raw;
use crate::protocol::{ErrorCode, OpError, Request};
use crate::store::Filter;

impl Writing<'_> {
    pub(in crate::engine::ops) fn store_upsert(
        &mut self,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Written, OpError> {
        require_complete(request, Kind::Upsert)?;
        self.store_many(Kind::Upsert, request, out)
    }

    pub(in crate::engine::ops) fn store_insert_many(
        &mut self,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Written, OpError> {
        require_complete(request, Kind::InsertMany)?;
        self.store_many(Kind::InsertMany, request, out)
    }

    pub(in crate::engine::ops) fn store_update_many(
        &mut self,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Written, OpError> {
        self.store_many(Kind::UpdateMany, request, out)
    }

    pub(in crate::engine::ops) fn store_delete_many(
        &mut self,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Written, OpError> {
        self.store_many(Kind::DeleteMany, request, out)
    }

    fn store_many(
        &mut self,
        kind: Kind,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Written, OpError> {
        let name = request.require_string("bucket")?;
        let many = Many::parse(
            kind,
            Given::of_raw(request.field("data")),
            || request.require_object("filter").map(drop),
            &|name| request.present(name).map(Raw::to_json),
        )?;
        let bucket = self.store.require(&name)?;
        let filter = match kind.is_filtered() {
            true => Some(Filter::compile(bucket.layout(), request.require_object("filter")?)?),
            false => None,
        };
        let bucket = bucket.id();
        let budget = self.budget;
        self.write(bucket, kind.mode(), |draft, store, ids| {
            let place = (bucket, filter.as_ref());
            many.run(draft, (store, ids), place, (budget, out.len()))?.write(out);
            Ok(budget.reply(out.len() + 1)?)
        })
    }
}

/// What an older server answers to a request that lacks what these need:
/// clients have been recorded that send it.
pub(super) fn unknown_operation(request: &Request<'_>) -> OpError {
    let text = format!("Unknown store operation \"{}\"", request.operation);
    OpError::new(ErrorCode::UnknownOperation, text)
}

fn require_complete(request: &Request<'_>, kind: Kind) -> Result<(), OpError> {
    match kind.is_complete(|name| request.present(name).is_some()) {
        true => Ok(()),
        false => Err(unknown_operation(request)),
    }
}
