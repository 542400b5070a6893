//! `store.find`, `store.groupBy`, `store.query`: queries that are asked once.

use super::many::unknown_operation;
use crate::engine::scopes::Reading;
use crate::json::Raw;
use crate::protocol::{OpError, Request, bounds};
use crate::query::AdHoc;

impl Reading<'_> {
    pub(in crate::engine::ops) fn store_find(
        &mut self,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), OpError> {
        let name = request.require_string("bucket")?;
        request.optional_object("filter")?;
        let query = AdHoc::parse(|name| request.present(name).map(Raw::to_json))?;
        let read = self.rights.readable(&name)?;
        query.answer(self.store.require(&name)?, read.filter(), self.asking(), out)
    }

    pub(in crate::engine::ops) fn store_group_by(
        &mut self,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), OpError> {
        let member = |name: &str| request.present(name).map(Raw::to_json);
        let (Some(_), Some(field), Some(_)) =
            (request.present("bucket"), member("field"), request.present("aggregate"))
        else {
            return Err(unknown_operation(request));
        };
        let name = request.require_string("bucket")?;
        let is_name = |name: &str| !name.is_empty();
        let named = match field.as_array() {
            None => field.as_str().is_some_and(is_name),
            Some(names) => names.iter().all(|name| name.as_str().is_some_and(is_name)),
        };
        if !named {
            let text = "Invalid \"field\": expected non-empty string or array of them";
            return Err(OpError::validation(text));
        }
        let aggregate = request.require_object("aggregate")?.to_json();
        request.optional_object("filter")?;
        let query = AdHoc::grouping(field, aggregate, member)?;
        let read = self.rights.readable(&name)?;
        query.answer(self.store.require(&name)?, read.filter(), self.asking(), out)
    }

    pub(in crate::engine::ops) fn store_query(
        &mut self,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), OpError> {
        let query = request.require_string("query")?;
        let params = request.field("params");
        bounds::check_params(params)?;
        let read = self.rights.read_of_query(self.views, &query)?;
        self.views.ask(self.store, (&query, params), read, self.budget, out)
    }
}
