//! The access decision of built-in mode for everything but `identity.*` and
//! `auth.*` (identity.md section 8).

use super::directory::{Directory, Resource, Role, SUPERADMIN, Subject, VIRTUAL_ADMIN};
use crate::access::{Question, ResourceKind};
use crate::protocol::{ErrorCode, OpError};

impl Directory {
    /// `No access to {operation} on {resource}`, unless the user may.
    pub fn decide(&self, user_id: &str, question: &Question<'_>) -> Result<(), OpError> {
        if self.allows(user_id, question) {
            return Ok(());
        }
        let (operation, resource) = (&question.operation, question.resource());
        Err(OpError::new(ErrorCode::Forbidden, format!("No access to {operation} on {resource}")))
    }

    /// The first thing that allows it decides; there are no denials.
    fn allows(&self, user_id: &str, question: &Question<'_>) -> bool {
        if user_id == VIRTUAL_ADMIN {
            return true;
        }
        let roles = self.roles_of(user_id);
        if roles.iter().any(|role| &*role.name == SUPERADMIN) {
            return true;
        }
        resources(question)
            .iter()
            .any(|resource| self.is_granted(user_id, &roles, resource, question))
            || roles.iter().flat_map(|role| &role.grants).any(|grant| grant.permits(question))
    }

    /// By an access list of the user or of a role, or by ownership.
    fn is_granted(
        &self,
        user_id: &str,
        roles: &[&Role],
        resource: &Resource,
        question: &Question<'_>,
    ) -> bool {
        let listed = |subject: Subject| {
            question.class.is_some_and(|class| {
                let entry = self.acl(&subject, resource);
                entry.is_some_and(|entry| entry.operations.contains(&class))
            })
        };
        listed(Subject::User(user_id.into()))
            || roles.iter().any(|role| listed(Subject::Role(role.id.clone())))
            || self.owns(user_id, resource)
    }
}

/// What the access lists are asked about: the resource itself, and for a
/// defined query also the bucket that the query reads and, as clients of the
/// first server expect, the bucket of the query's name.
fn resources(question: &Question<'_>) -> Vec<Resource> {
    let (Some(kind), Some(name)) = (question.kind, &question.name) else { return Vec::new() };
    let mut resources = vec![Resource::new(kind, name)];
    if matches!(&*question.operation, "store.subscribe" | "store.query") {
        resources.push(Resource::new(ResourceKind::Bucket, name));
        let source = question.source.as_deref();
        resources.extend(source.map(|source| Resource::new(ResourceKind::Bucket, source)));
    }
    // It stands for no resource in particular; as a pattern it matches many.
    resources.retain(|resource| &*resource.name != "*");
    resources
}
