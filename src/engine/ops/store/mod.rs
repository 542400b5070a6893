//! `store.*`: records, reads, transactions and the administration of buckets.
//! Subscriptions and queries are next door.

mod admin;
mod asked;
mod many;
mod reads;
mod transaction;

use crate::budget::{Budget, OverBudget};
use crate::engine::scopes::{Writing, Written};
use crate::json::Raw;
use crate::protocol::{OpError, Request};
use crate::store::{Apply, Data, Edit, Expect, Lookup, Mode, Row};

impl Writing<'_> {
    pub(in crate::engine::ops) fn store_insert(
        &mut self,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Written, OpError> {
        let name = request.require_string("bucket")?;
        let data = Data::from(request.require_object("data")?);
        let bucket = self.store.require(&name)?.id();
        let budget = self.budget;
        self.write(bucket, Mode::Single, |draft, store, ids| {
            draft.insert(store, ids, bucket, &data)?.write(out);
            Ok(budget.reply(out.len() + 1)?)
        })
    }

    pub(in crate::engine::ops) fn store_update(
        &mut self,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Written, OpError> {
        let name = request.require_string("bucket")?;
        let key = Lookup::from(request.require_value("key")?);
        let (data, apply) = changes(request)?;
        let expect = expected(request)?;
        let bucket = self.store.require(&name)?.id();
        let budget = self.budget;
        self.write(bucket, Mode::Single, |draft, store, _| {
            let edit = Edit { data: &data, apply: &apply, expect: expect.as_ref() };
            draft.edit(store, bucket, &key, edit)?.write(out);
            Ok(budget.reply(out.len() + 1)?)
        })
    }

    pub(in crate::engine::ops) fn store_delete(
        &mut self,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Written, OpError> {
        let name = request.require_string("bucket")?;
        let key = Lookup::from(request.require_value("key")?);
        let expect = expected(request)?;
        let bucket = self.store.require(&name)?.id();
        self.write(bucket, Mode::Single, |draft, store, _| {
            match &expect {
                Some(expect) => draft.delete_expected(store, bucket, &key, expect)?,
                None => draft.delete(store, bucket, &key)?,
            }
            out.extend_from_slice(b"{\"deleted\":true}");
            Ok(())
        })
    }

    pub(in crate::engine::ops) fn store_clear(
        &mut self,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Written, OpError> {
        let name = request.require_string("bucket")?;
        let bucket = self.store.require(&name)?.id();
        self.write(bucket, Mode::Single, |draft, store, _| {
            draft.clear(store, bucket)?;
            out.extend_from_slice(b"{\"cleared\":true}");
            Ok(())
        })
    }
}

/// The members `data` and `apply`, of which one may be missing.
fn changes<'a>(request: &Request<'a>) -> Result<(Data<'a>, Apply), OpError> {
    let apply = request.present("apply").map(Raw::to_json);
    let data = match (&apply, request.present("data")) {
        (Some(_), None) => Data::default(),
        _ => Data::from(request.require_object("data")?),
    };
    let apply = Apply::parse(apply.as_ref())?;
    apply.check_apart(&data, "data")?;
    Ok((data, apply))
}

/// The member `expect`.
fn expected(request: &Request<'_>) -> Result<Option<Expect>, OpError> {
    Expect::parse(request.present("expect").map(Raw::to_json).as_ref())
}

/// A record or `null`.
pub(super) fn write_row(out: &mut Vec<u8>, row: Option<&Row>, budget: &Budget) {
    match row {
        Some(row) => {
            row.write(out);
            budget.note_rows(1);
        }
        None => out.extend_from_slice(b"null"),
    }
}

/// An array of records, each of which has been paid for.
pub(super) fn write_rows<'r>(
    out: &mut Vec<u8>,
    rows: impl Iterator<Item = &'r Row>,
    budget: &Budget,
) -> Result<(), OverBudget> {
    out.push(b'[');
    let mut count = 0;
    for row in rows {
        if count > 0 {
            out.push(b',');
        }
        count += 1;
        row.write(out);
        budget.reply(out.len())?;
    }
    out.push(b']');
    budget.note_rows(count);
    // Rows that a walk cut short has not found are none.
    budget.check()
}
