//! Who owns what, and what owning follows from.

use super::{done, forbidden, object};
use crate::access::ResourceKind;
use crate::app::ConnId;
use crate::engine::Engine;
use crate::engine::scopes::Users;
use crate::engine::sessions::Mode;
use crate::identity::Resource;
use crate::json::Json;
use crate::protocol::{OpError, Operation, Request};

impl Users<'_> {
    pub(in crate::engine::ops) fn get_owner(&self, request: &Request<'_>) -> Result<Json, OpError> {
        let resource_type = request.require_string("resourceType")?;
        let resource_name = request.require_string("resourceName")?;
        let directory = &self.identity()?.directory;
        let owner = ResourceKind::from_name(&resource_type)
            .and_then(|kind| directory.owner(&Resource::new(kind, &resource_name)))
            .map_or(Json::Null, |(owner, _)| {
                object([
                    ("userId", Json::from(&**owner)),
                    ("username", self.username(owner)),
                    ("resourceType", Json::from(&*resource_type)),
                    ("resourceName", Json::from(&*resource_name)),
                ])
            });
        Ok(object([("owner", owner)]))
    }
}

impl Engine {
    pub(in crate::engine::ops) fn transfer_owner(
        &mut self,
        conn: ConnId,
        request: &Request<'_>,
    ) -> Result<Json, OpError> {
        let users = self.users(conn);
        let caller = users.caller()?;
        let resource_type = request.require_string("resourceType")?;
        let resource_name = request.require_string("resourceName")?;
        let new_owner = request.require_string("newOwnerId")?;
        let no_owner = || OpError::not_found("Resource has no owner");
        let kind = ResourceKind::from_name(&resource_type).ok_or_else(no_owner)?;
        let resource = Resource::new(kind, &resource_name);
        let is_superadmin = users.is_superadmin(&caller);
        match users.directory()?.owner(&resource) {
            Some((owner, _)) if *owner == caller || is_superadmin => {}
            Some(_) => {
                return Err(forbidden("Only the owner or superadmin can transfer ownership"));
            }
            // What the configuration defined, or whose owner is gone.
            None if is_superadmin && self.resource_exists(&resource) => {}
            None => return Err(no_owner()),
        }
        if !self.users(conn).user_exists(&new_owner) {
            return Err(OpError::not_found("New owner not found"));
        }
        self.change(|change| change.set_owner(&resource, &new_owner))?;
        Ok(done("transferred"))
    }

    /// Whether an operation defines what is there: with `ifMissing` that changes
    /// nothing, and not whose it is.
    pub(in crate::engine) fn is_defined_already(
        &self,
        operation: Operation,
        request: &Request<'_>,
    ) -> bool {
        let name = || request.str_field("name");
        match operation {
            Operation::StoreDefineBucket => {
                name().is_some_and(|name| self.store.bucket_id(&name).is_some())
            }
            Operation::StoreDefineQuery => name().is_some_and(|name| self.views.is_defined(&name)),
            _ => false,
        }
    }

    /// What a successful operation means for ownership: who defines something
    /// owns it, what is dropped has neither owner nor access list.
    pub(in crate::engine) fn settle_ownership(
        &mut self,
        conn: ConnId,
        operation: Operation,
        request: &Request<'_>,
    ) -> Result<(), OpError> {
        if !matches!(self.sessions.mode, Mode::BuiltIn(_)) {
            return Ok(());
        }
        let (kind, path, defines) = match operation {
            Operation::StoreDefineBucket => (ResourceKind::Bucket, "name", true),
            Operation::StoreDropBucket => (ResourceKind::Bucket, "name", false),
            Operation::StoreDefineQuery => (ResourceKind::Query, "name", true),
            Operation::StoreUndefineQuery => (ResourceKind::Query, "name", false),
            Operation::ProceduresRegister => (ResourceKind::Procedure, "procedure.name", true),
            Operation::ProceduresUnregister => (ResourceKind::Procedure, "name", false),
            Operation::LogicDefineView => (ResourceKind::Query, "definition.name", true),
            Operation::LogicDropView => (ResourceKind::Query, "name", false),
            _ => return Ok(()),
        };
        let Some(name) = crate::engine::gate::string_at(request, path) else { return Ok(()) };
        let resource = Resource::new(kind, &name);
        match self.session(conn).map(|session| session.user_id.clone()) {
            Some(caller) if defines => self.change(|change| change.set_owner(&resource, &caller)),
            // Somebody without a session: the program that embeds the server.
            None if defines => Ok(()),
            // A query and a view share the kind: one of them may still be there.
            _ if self.resource_exists(&resource) => Ok(()),
            _ => self.change(|change| change.forget_resource(&resource)),
        }
    }
}
