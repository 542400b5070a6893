//! `access.*`: sets.

use super::write_list;
use crate::engine::Engine;
use crate::json::{Json, Object, write_number, write_string};
use crate::protocol::bounds::check_name;
use crate::protocol::{OpError, Request};
use crate::storage::Origin;

/// `{"name": …, "…": …}`
fn done(name: &str, what: &str, value: bool) -> Json {
    let members: Object =
        [("name", Json::from(name)), (what, Json::Bool(value))].into_iter().collect();
    Json::Object(members)
}

impl Engine {
    pub(super) fn access_define_set(&mut self, request: &Request<'_>) -> Result<Json, OpError> {
        let name = request.require_string("name")?;
        let bucket = request.require_string("bucket")?;
        let filter = request.require_object("filter")?.to_json();
        let field = request.require_string("field")?;
        check_name("Set", &name)?;
        self.refuse_system_bucket(&bucket)?;
        let members =
            [("bucket", (&*bucket).into()), ("filter", filter), ("field", (&*field).into())];
        self.define_set(&name, &members.into_iter().collect(), Origin::Wire)?;
        Ok(done(&name, "defined", true))
    }

    pub(super) fn access_drop_set(&mut self, request: &Request<'_>) -> Result<Json, OpError> {
        let name = request.require_string("name")?;
        let dropped = self.drop_set(&name)?;
        Ok(done(&name, "dropped", dropped))
    }

    pub(super) fn access_list_sets(&self, out: &mut Vec<u8>) -> Result<(), OpError> {
        out.extend_from_slice(b"{\"sets\":");
        write_list(out, &self.budget, self.sets(), |set, out| {
            out.extend_from_slice(b"{\"name\":");
            write_string(out, set.name);
            for member in ["bucket", "filter", "field"] {
                out.push(b',');
                write_string(out, member);
                out.push(b':');
                set.body.get(member).unwrap_or(&Json::Null).write(out);
            }
            out.extend_from_slice(b",\"views\":");
            write_number(out, set.views as f64);
            out.push(b'}');
        })?;
        out.push(b'}');
        Ok(())
    }
}
