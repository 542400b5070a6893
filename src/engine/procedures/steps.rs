//! Steps that write one record.

use super::{Running, applied, expected, filled, json_of, members_of};
use crate::json::Json;
use crate::procedures::{Action, Scope};
use crate::protocol::OpError;
use crate::store::{BucketId, Data, Edit, Lookup, Mode};

impl Running<'_> {
    pub(super) fn insert_step(
        &mut self,
        bucket: BucketId,
        action: &Action,
        scope: &mut Scope,
    ) -> Result<Json, OpError> {
        let data = filled(action, scope, "data")?.as_ref().and_then(json_of);
        let data = data.as_ref().and_then(Json::as_object).map(Data::from);
        let data = data.unwrap_or_default();
        let row =
            self.write(Mode::Single, |draft, store, ids| draft.insert(store, ids, bucket, &data))?;
        Ok(row.to_json())
    }

    pub(super) fn update_step(
        &mut self,
        bucket: BucketId,
        action: &Action,
        scope: &mut Scope,
    ) -> Result<Json, OpError> {
        let key = key_of(action, scope)?;
        let data = filled(action, scope, "data")?.map(members_of).unwrap_or_default();
        let data = Data::with_removals(data);
        let apply = applied(action, scope)?;
        apply.check_apart(&data, "data")?;
        let expect = expected(action, scope)?;
        let edit = Edit { data: &data, apply: &apply, expect: expect.as_ref() };
        let row =
            self.write(Mode::Single, |draft, store, _| draft.edit(store, bucket, &key, edit))?;
        Ok(row.to_json())
    }

    pub(super) fn delete_step(
        &mut self,
        bucket: BucketId,
        action: &Action,
        scope: &mut Scope,
    ) -> Result<Json, OpError> {
        let key = key_of(action, scope)?;
        let expect = expected(action, scope)?;
        self.write(Mode::Single, |draft, store, _| match &expect {
            Some(expect) => draft.delete_expected(store, bucket, &key, expect),
            None => draft.delete(store, bucket, &key),
        })?;
        Ok(Json::Null)
    }
}

/// The key that a step names.
pub(super) fn key_of(action: &Action, scope: &mut Scope) -> Result<Lookup, OpError> {
    Ok(match filled(action, scope, "key")?.as_ref().and_then(json_of) {
        Some(key) => Lookup::from(&key),
        None => Lookup::undefined(),
    })
}
