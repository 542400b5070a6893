//! Access lists: who may do what with one resource.

use std::borrow::Cow;

use super::roles::require_array;
use super::{done, forbidden, names, object};
use crate::access::ResourceKind;
use crate::engine::scopes::{Managing, Users, Written};
use crate::identity::{Id, Resource, Subject, operation};
use crate::json::js::string_of;
use crate::json::{Json, Kind, Object, Raw};
use crate::protocol::{OpError, Request, Tier};

/// What names an entry: type and id of the subject, type and name of the resource.
fn entry_fields<'r>(request: &Request<'r>) -> Result<[Cow<'r, str>; 4], OpError> {
    Ok([
        request.require_string("subjectType")?,
        request.require_string("subjectId")?,
        request.require_string("resourceType")?,
        request.require_string("resourceName")?,
    ])
}

fn words(operations: impl IntoIterator<Item = Tier>) -> Json {
    Json::Array(operations.into_iter().map(|tier| Json::from(tier.as_str())).collect())
}

impl Users<'_> {
    /// Whether a user may change the access list of a resource: an admin, the
    /// owner, or a user (not a role) that the list gives `admin`. The type may
    /// be one that does not exist.
    fn check_manager(&self, caller: &Id, kind: &str, name: &str) -> Result<(), OpError> {
        let directory = &self.identity()?.directory;
        let by_resource = ResourceKind::from_name(kind).is_some_and(|kind| {
            let resource = Resource::new(kind, name);
            let entry = directory.acl(&Subject::User(Id::clone(caller)), &resource);
            directory.owns(caller, &resource)
                || entry.is_some_and(|entry| entry.operations.contains(&Tier::Admin))
        });
        if by_resource || self.is_admin(caller) {
            return Ok(());
        }
        Err(forbidden("Must be the resource owner, admin, or have admin ACL to manage permissions"))
    }

    fn find_subject(&self, kind: &str, id: &str) -> Result<Subject, OpError> {
        let subject = Subject::new(kind, id).ok_or_else(|| {
            OpError::validation(format!(
                "Invalid subject type \"{kind}\". Must be \"user\" or \"role\""
            ))
        })?;
        let (exists, missing) = match &subject {
            Subject::User(id) => (self.user_exists(id), "Subject user not found"),
            Subject::Role(id) => {
                (self.identity()?.directory.role(id).is_some(), "Subject role not found")
            }
        };
        if exists { Ok(subject) } else { Err(OpError::not_found(missing)) }
    }

    pub(in crate::engine::ops) fn get_acl(&self, request: &Request<'_>) -> Result<Json, OpError> {
        let resource_type = request.require_string("resourceType")?;
        let resource_name = request.require_string("resourceName")?;
        let mut entries = Vec::new();
        if let Some(kind) = ResourceKind::from_name(&resource_type) {
            let directory = &self.identity()?.directory;
            let resource = Resource::new(kind, &resource_name);
            let owner =
                directory.owner(&resource).map(|(owner, _)| Subject::User(Id::clone(owner)));
            if let Some(owner) = &owner
                && directory.acl(owner, &resource).is_none()
            {
                entries.push(self.acl_entry(owner, Vec::new(), true)?);
            }
            for subject in directory.subjects_on(&resource) {
                let entry = directory.acl(subject, &resource);
                let operations = entry.map(|entry| entry.operations.clone()).unwrap_or_default();
                entries.push(self.acl_entry(
                    subject,
                    operations,
                    Some(subject) == owner.as_ref(),
                )?);
            }
        }
        Ok(object([("entries", Json::Array(entries))]))
    }

    fn acl_entry(
        &self,
        subject: &Subject,
        operations: Vec<Tier>,
        is_owner: bool,
    ) -> Result<Json, OpError> {
        let name = match subject {
            Subject::User(id) => self.username(id),
            Subject::Role(id) => {
                let role = self.identity()?.directory.role(id);
                Json::from(&**role.map_or(id, |role| &role.name))
            }
        };
        Ok(object([
            ("subjectType", Json::from(subject.kind())),
            ("subjectId", Json::from(&**subject.id())),
            ("subjectName", name),
            ("operations", words(operations)),
            ("isOwner", Json::Bool(is_owner)),
        ]))
    }

    pub(in crate::engine::ops) fn my_access(&self) -> Result<Json, OpError> {
        let caller = self.caller()?;
        if !self.user_exists(&caller) {
            return Err(super::user_not_found());
        }
        let directory = &self.identity()?.directory;
        // In the order first met: own entries, those of roles, what is owned.
        let mut found: Vec<(&Resource, Vec<Tier>, bool)> = Vec::new();
        let mut positions = std::collections::HashMap::new();
        let mut meet = |resource, operations: &[Tier], owned: bool| {
            let at = *positions.entry(resource).or_insert_with(|| {
                found.push((resource, Vec::new(), false));
                found.len() - 1
            });
            if let Some((_, have, is_owner)) = found.get_mut(at) {
                let new = operations.iter().filter(|tier| !have.contains(tier));
                let new: Vec<Tier> = new.copied().collect();
                have.extend(new);
                *is_owner |= owned;
            }
        };
        let subjects = std::iter::once(Subject::User(Id::clone(&caller)));
        let roles = directory.roles_of(&caller);
        for subject in subjects.chain(roles.iter().map(|role| Subject::Role(Id::clone(&role.id)))) {
            for (resource, entry) in directory.acl_of(&subject) {
                meet(resource, &entry.operations, false);
            }
        }
        for resource in directory.owned_by(&caller) {
            meet(resource, &[Tier::Admin, Tier::Read, Tier::Write], true);
        }
        let resources = found.into_iter().map(|(resource, mut operations, is_owner)| {
            operations.sort_unstable_by_key(|tier| tier.as_str());
            object([
                ("resourceType", Json::from(resource.kind.as_str())),
                ("resourceName", Json::from(&*resource.name)),
                ("operations", words(operations)),
                ("isOwner", Json::Bool(is_owner)),
            ])
        });
        let resources = Json::Array(resources.collect());
        let user = object([
            ("id", Json::from(&*caller)),
            ("username", self.username(&caller)),
            ("roles", names(directory.role_names(&caller))),
        ]);
        Ok(object([("user", user), ("resources", resources)]))
    }
}

impl Managing<'_> {
    pub(in crate::engine::ops) fn grant(
        &mut self,
        request: &Request<'_>,
    ) -> Result<(Json, Written), OpError> {
        let caller = self.caller()?;
        let [subject_type, subject_id, resource_type, resource_name] = entry_fields(request)?;
        let mut granted: Vec<Tier> = Vec::new();
        for element in require_array(request, "operations")? {
            let tier = element.as_str().and_then(|word| operation(&word)).ok_or_else(|| {
                OpError::validation(format!(
                    "Invalid ACL operation \"{}\". Valid operations: read, write, admin",
                    string_of(element)
                ))
            })?;
            if !granted.contains(&tier) {
                granted.push(tier);
            }
        }
        if granted.is_empty() {
            return Err(OpError::validation("Operations must be a non-empty array"));
        }
        self.check_manager(&caller, &resource_type, &resource_name)?;
        let subject = self.find_subject(&subject_type, &subject_id)?;
        let kind = ResourceKind::from_name(&resource_type).ok_or_else(|| {
            OpError::validation(
                "Invalid \"resourceType\": expected one of: bucket, topic, procedure, query",
            )
        })?;
        let resource = Resource::new(kind, &resource_name);
        let entry = self.identity()?.directory.acl(&subject, &resource).cloned();
        let ((), written) = self.change(|change| {
            let bucket = change.buckets.acl;
            let Some(entry) = entry else {
                let record: Object = [
                    ("subjectType", Json::from(subject.kind())),
                    ("subjectId", Json::from(&**subject.id())),
                    ("resourceType", Json::from(kind.as_str())),
                    ("resourceName", Json::from(&*resource.name)),
                    ("operations", words(granted)),
                    ("grantedBy", Json::from(&*caller)),
                ]
                .into_iter()
                .collect();
                return change.insert(bucket, record).map(drop);
            };
            let new = granted.into_iter().filter(|tier| !entry.operations.contains(tier));
            let union: Vec<Tier> = entry.operations.iter().copied().chain(new).collect();
            let fields: Object = [("operations", words(union))].into_iter().collect();
            change.update(bucket, &entry.id, fields).map(drop)
        })?;
        Ok((done("granted"), written))
    }

    pub(in crate::engine::ops) fn revoke(
        &mut self,
        request: &Request<'_>,
    ) -> Result<(Json, Written), OpError> {
        let caller = self.caller()?;
        let [subject_type, subject_id, resource_type, resource_name] = entry_fields(request)?;
        let operations = match request.present("operations") {
            Some(raw) if raw.kind() != Kind::Array => {
                return Err(OpError::validation("Invalid \"operations\": expected array"));
            }
            other => other,
        };
        self.check_manager(&caller, &resource_type, &resource_name)?;
        let entry = Subject::new(&subject_type, &subject_id)
            .zip(ResourceKind::from_name(&resource_type))
            .and_then(|(subject, kind)| {
                let resource = Resource::new(kind, &resource_name);
                self.identity().ok()?.directory.acl(&subject, &resource).cloned()
            })
            .ok_or_else(|| OpError::not_found("ACL entry not found"))?;
        let removed: Vec<Tier> = operations
            .into_iter()
            .flat_map(Raw::elements)
            .filter_map(|element| operation(&element.as_str()?))
            .collect();
        // An empty list is as good as none: everything goes.
        let everything = operations.is_none_or(|raw| raw.elements().next().is_none());
        let left: Vec<Tier> = match everything {
            true => Vec::new(),
            false => {
                entry.operations.iter().copied().filter(|tier| !removed.contains(tier)).collect()
            }
        };
        let ((), written) = self.change(|change| {
            if left.is_empty() {
                return change.delete(change.buckets.acl, &entry.id);
            }
            let fields: Object = [("operations", words(left))].into_iter().collect();
            change.update(change.buckets.acl, &entry.id, fields).map(drop)
        })?;
        Ok((done("revoked"), written))
    }
}
