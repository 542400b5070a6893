//! The access decision of built-in mode for everything but `identity.*` and
//! `auth.*` (identity.md section 8).

use super::directory::{AclEntry, Directory, Resource, Role, SUPERADMIN, Subject, VIRTUAL_ADMIN};
use crate::access::{Question, ResourceKind, Trace};
use crate::json::Json;
use crate::protocol::{ErrorCode, OpError};

impl Directory {
    /// `No access to {operation} on {resource}`, unless the user may.
    pub fn decide(&self, user_id: &str, question: &Question<'_>) -> Result<(), OpError> {
        let roles = self.roles_of(user_id);
        self.decided(Some(user_id), &roles, question, &mut Trace::off())
    }

    /// The same for somebody with these roles, writing down how it came about.
    pub fn decide_traced(
        &self,
        (user_id, roles): (Option<&str>, &[Box<str>]),
        question: &Question<'_>,
        trace: &mut Trace,
    ) -> Result<(), OpError> {
        let roles: Vec<&Role> = roles.iter().filter_map(|name| self.role_by_name(name)).collect();
        self.decided(user_id, &roles, question, trace)
    }

    fn decided(
        &self,
        user_id: Option<&str>,
        roles: &[&Role],
        question: &Question<'_>,
        trace: &mut Trace,
    ) -> Result<(), OpError> {
        if self.allows(user_id, roles, question, trace) {
            return Ok(());
        }
        trace.plain("deny", "deny");
        let (operation, resource) = (&question.operation, question.resource());
        Err(OpError::new(ErrorCode::Forbidden, format!("No access to {operation} on {resource}")))
    }

    /// The first thing that allows it decides; there are no denials.
    fn allows(
        &self,
        user_id: Option<&str>,
        roles: &[&Role],
        question: &Question<'_>,
        trace: &mut Trace,
    ) -> bool {
        let is_superadmin =
            user_id == Some(VIRTUAL_ADMIN) || roles.iter().any(|role| &*role.name == SUPERADMIN);
        trace.plain("superadmin", if is_superadmin { "allow" } else { "pass" });
        is_superadmin
            || self.is_granted(user_id, roles, question, trace)
            || is_permitted(roles, question, trace)
    }

    /// By an access list of the user or of a role, or by ownership.
    fn is_granted(
        &self,
        user_id: Option<&str>,
        roles: &[&Role],
        question: &Question<'_>,
        trace: &mut Trace,
    ) -> bool {
        let resources = resources(question);
        let listed = |subject: Subject| {
            let class = question.class?;
            resources.iter().find_map(|resource| {
                let entry = self.acl(&subject, resource)?;
                entry.operations.contains(&class).then_some(entry)
            })
        };
        let operations = |entry: &AclEntry| {
            Json::Array(entry.operations.iter().map(|tier| Json::from(tier.as_str())).collect())
        };
        if let Some(entry) = user_id.and_then(|user_id| listed(Subject::User(user_id.into()))) {
            trace.note("aclUser", "allow", || vec![("operations", operations(entry))]);
            return true;
        }
        trace.plain("aclUser", "pass");
        let of_role = |role: &&Role| listed(Subject::Role(role.id.clone()));
        if let Some((role, entry)) = roles.iter().find_map(|role| Some((role, of_role(role)?))) {
            trace.note("aclRole", "allow", || {
                vec![("role", Json::from(&*role.name)), ("operations", operations(entry))]
            });
            return true;
        }
        trace.plain("aclRole", "pass");
        let owns =
            user_id.is_some_and(|user| resources.iter().any(|resource| self.owns(user, resource)));
        trace.plain("owner", if owns { "allow" } else { "pass" });
        owns
    }
}

/// By a permission of a role.
fn is_permitted(roles: &[&Role], question: &Question<'_>, trace: &mut Trace) -> bool {
    for role in roles {
        let Some(at) = role.grants.iter().position(|grant| grant.permits(question)) else {
            continue;
        };
        trace.note("permission", "allow", || {
            let pattern = role.grants.get(at).map(|grant| grant.pattern_for(question));
            vec![
                ("role", Json::from(&*role.name)),
                ("index", Json::Number(at as f64)),
                ("pattern", pattern.unwrap_or_default()),
            ]
        });
        return true;
    }
    trace.plain("permission", "pass");
    false
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
