//! Roles and who has them.

use super::{done, forbidden, object, public, units, user_not_found};
use crate::access::Grant;
use crate::config::unknown_operation;
use crate::engine::scopes::{Managing, Users, Written};
use crate::identity::{Id, Role, SUPERADMIN};
use crate::json::{Json, Kind, Object, Raw};
use crate::protocol::{ErrorCode, OpError, Request};
use crate::store::Key;

const MAX_ROLE_NAME: usize = 64;

fn role_not_found() -> OpError {
    OpError::not_found("Role not found")
}

/// The `permissions` of a request, checked element by element; `None` if there
/// are none.
fn permissions(request: &Request<'_>) -> Result<Option<Json>, OpError> {
    let Some(raw) = request.present("permissions") else { return Ok(None) };
    if raw.kind() != Kind::Array {
        return Err(OpError::validation("Invalid \"permissions\": expected array"));
    }
    let json = raw.to_json();
    for (at, element) in json.as_array().unwrap_or_default().iter().enumerate() {
        if Grant::from_json(element).is_none() {
            return Err(OpError::validation(format!(
                "Invalid \"permissions[{at}]\": expected {{ allow, buckets?, topics? }}"
            )));
        }
    }
    Ok(Some(json))
}

/// Misspelt operations that a warning names at most.
const WARNINGS: usize = 10;

/// A role that was changed, with what is likely a mistake in it.
fn with_warnings(mut role: Object) -> Json {
    let elements = role.get("permissions").and_then(Json::as_array).unwrap_or_default();
    let grants = elements.iter().filter_map(Grant::from_json);
    let warnings: Vec<Json> = grants
        .flat_map(|grant| grant.allow)
        .filter_map(|pattern| unknown_operation(&pattern))
        .take(WARNINGS)
        .map(Json::from)
        .collect();
    if !warnings.is_empty() {
        role.insert("warnings", Json::Array(warnings));
    }
    Json::Object(role)
}

impl Users<'_> {
    /// A role as clients get it.
    fn role_info(&self, id: &str) -> Option<Json> {
        let buckets = self.identity().ok()?.directory.buckets()?;
        let row = self.store.bucket(buckets.roles)?.get(&Key::String(id.into()))?;
        Some(Json::Object(public(row)))
    }

    fn role_infos<'a>(&self, roles: impl Iterator<Item = &'a Role>) -> Json {
        let roles = roles.filter_map(|role| self.role_info(&role.id)).collect();
        object([("roles", Json::Array(roles))])
    }

    /// The id of the role of that name.
    fn role_named(&self, name: &str) -> Result<Id, OpError> {
        let role = self.identity()?.directory.role_by_name(name);
        role.map(|role| Id::clone(&role.id))
            .ok_or_else(|| OpError::not_found(format!("Role \"{name}\" not found")))
    }

    pub(in crate::engine::ops) fn list_roles(&self) -> Result<Json, OpError> {
        self.admin()?;
        Ok(self.role_infos(self.identity()?.directory.roles()))
    }

    /// Only superadmins make superadmins.
    fn check_superadmin_role(&self, caller: &str, role_name: &str) -> Result<(), OpError> {
        if role_name == SUPERADMIN && !self.is_superadmin(caller) {
            return Err(forbidden("Superadmin role required"));
        }
        Ok(())
    }

    pub(in crate::engine::ops) fn get_user_roles(
        &self,
        request: &Request<'_>,
    ) -> Result<Json, OpError> {
        self.admin()?;
        let user_id = request.require_string("userId")?;
        if !self.user_exists(&user_id) {
            return Err(user_not_found());
        }
        Ok(self.role_infos(self.identity()?.directory.roles_of(&user_id).into_iter()))
    }
}

impl Managing<'_> {
    pub(in crate::engine::ops) fn create_role(
        &mut self,
        request: &Request<'_>,
    ) -> Result<(Json, Written), OpError> {
        self.superadmin()?;
        let name = request.require_string("name")?;
        if units(&name) > MAX_ROLE_NAME {
            return Err(OpError::validation("Role name must be between 1 and 64 characters"));
        }
        if self.identity()?.directory.role_by_name(&name).is_some() {
            return Err(OpError::new(
                ErrorCode::AlreadyExists,
                format!("Role \"{name}\" already exists"),
            ));
        }
        let permissions = permissions(request)?.unwrap_or(Json::Array(Vec::new()));
        let mut record: Object = [
            ("name", Json::from(&*name)),
            ("system", Json::Bool(false)),
            ("permissions", permissions),
        ]
        .into_iter()
        .collect();
        if let Some(description) = request.str_field("description") {
            record.insert("description", Json::from(&*description));
        }
        let (row, written) = self.change(|change| change.insert(change.buckets.roles, record))?;
        Ok((with_warnings(public(&row)), written))
    }

    pub(in crate::engine::ops) fn update_role(
        &mut self,
        request: &Request<'_>,
    ) -> Result<(Json, Written), OpError> {
        self.superadmin()?;
        let role_id = request.require_string("roleId")?;
        let unchanged = self.role_info(&role_id).ok_or_else(role_not_found)?;
        let mut fields = Object::new();
        if let Some(description) = request.str_field("description") {
            fields.insert("description", Json::from(&*description));
        }
        if let Some(permissions) = permissions(request)? {
            fields.insert("permissions", permissions);
        }
        if fields.is_empty() {
            return Ok((unchanged, Written::default()));
        }
        let (row, written) =
            self.change(|change| change.update(change.buckets.roles, &role_id, fields))?;
        Ok((with_warnings(public(&row)), written))
    }

    pub(in crate::engine::ops) fn delete_role(
        &mut self,
        request: &Request<'_>,
    ) -> Result<(Json, Written), OpError> {
        self.superadmin()?;
        let role_id = request.require_string("roleId")?;
        let role = self.identity()?.directory.role(&role_id).ok_or_else(role_not_found)?;
        if role.system {
            return Err(forbidden("Cannot delete system role"));
        }
        let ((), written) = self.change(|change| change.delete_role(&role_id))?;
        Ok((done("deleted"), written))
    }

    pub(in crate::engine::ops) fn assign_role(
        &mut self,
        request: &Request<'_>,
    ) -> Result<(Json, Written), OpError> {
        let caller = self.admin()?;
        let user_id = request.require_string("userId")?;
        let role_name = request.require_string("roleName")?;
        if !self.user_exists(&user_id) {
            return Err(user_not_found());
        }
        let role_id = self.role_named(&role_name)?;
        self.check_superadmin_role(&caller, &role_name)?;
        if self.identity()?.directory.assignment(&user_id, &role_id).is_some() {
            return Err(OpError::new(
                ErrorCode::AlreadyExists,
                format!("User already has role \"{role_name}\""),
            ));
        }
        let ((), written) =
            self.change(|change| change.assign(&user_id, &role_id, Some(&caller)))?;
        Ok((done("assigned"), written))
    }

    pub(in crate::engine::ops) fn remove_role(
        &mut self,
        request: &Request<'_>,
    ) -> Result<(Json, Written), OpError> {
        let caller = self.admin()?;
        let user_id = request.require_string("userId")?;
        let role_name = request.require_string("roleName")?;
        let role_id = self.role_named(&role_name)?;
        let record = self.identity()?.directory.assignment(&user_id, &role_id).cloned();
        let record = record.ok_or_else(|| {
            OpError::not_found(format!("User does not have role \"{role_name}\""))
        })?;
        self.check_superadmin_role(&caller, &role_name)?;
        let ((), written) =
            self.change(|change| change.delete(change.buckets.user_roles, &record))?;
        Ok((done("removed"), written))
    }
}

/// The elements of a list that must be there.
pub(super) fn require_array<'r>(
    request: &Request<'r>,
    name: &str,
) -> Result<impl Iterator<Item = Raw<'r>>, OpError> {
    match request.field(name) {
        Some(raw) if raw.kind() == Kind::Array => Ok(raw.elements()),
        _ => Err(OpError::validation(format!(
            "Missing or invalid \"{name}\": expected non-empty array"
        ))),
    }
}
