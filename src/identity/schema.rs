//! The system buckets and the system roles (identity.md sections 2 and 3).

use crate::json::{DEFAULT_MAX_DEPTH, Json, Object, parse};
use crate::protocol::{ErrorCode, OpError};

/// Names that start like this are the server's own.
pub const RESERVED: char = '_';

/// What who reaches for one of them is told.
pub fn refused_system_bucket(bucket: &str) -> OpError {
    let text = format!("Cannot access system bucket \"{bucket}\" directly");
    OpError::new(ErrorCode::Forbidden, text)
}

pub const USERS: &str = "_users";
pub const ROLES: &str = "_roles";
pub const USER_ROLES: &str = "_user_roles";
pub const ACL: &str = "_acl";
pub const SESSIONS: &str = "_sessions";
pub const OWNERS: &str = "_resource_owners";

/// The buckets with their definitions. References between them are kept by
/// this module, not by the store: the virtual superadmin has no record that one
/// could refer to.
const BUCKETS: [(&str, &str); 6] = [
    (
        USERS,
        r#"{"key":"id","indexes":["username","email"],"schema":{
            "id":{"type":"string","generated":"uuid"},
            "username":{"type":"string","required":true,"unique":true,"minLength":3,"maxLength":64},
            "passwordHash":{"type":"string","required":true},
            "displayName":{"type":"string"},
            "email":{"type":"string","format":"email"},
            "enabled":{"type":"boolean","default":true},
            "metadata":{"type":"object"}}}"#,
    ),
    (
        ROLES,
        r#"{"key":"id","indexes":["name"],"schema":{
            "id":{"type":"string","generated":"uuid"},
            "name":{"type":"string","required":true,"unique":true,"minLength":1,"maxLength":64},
            "description":{"type":"string"},
            "system":{"type":"boolean","default":false},
            "permissions":{"type":"array"}}}"#,
    ),
    (
        USER_ROLES,
        r#"{"key":"id","indexes":["userId","roleId"],"schema":{
            "id":{"type":"string","generated":"uuid"},
            "userId":{"type":"string","required":true},
            "roleId":{"type":"string","required":true},
            "grantedBy":{"type":"string"},
            "grantedAt":{"type":"number","generated":"timestamp"}}}"#,
    ),
    (
        ACL,
        r#"{"key":"id","indexes":["subjectId","resourceName"],"schema":{
            "id":{"type":"string","generated":"uuid"},
            "subjectType":{"type":"string","required":true,"enum":["user","role"]},
            "subjectId":{"type":"string","required":true},
            "resourceType":{"type":"string","required":true,"enum":["bucket","topic","procedure","query"]},
            "resourceName":{"type":"string","required":true},
            "operations":{"type":"array","required":true},
            "grantedBy":{"type":"string"},
            "grantedAt":{"type":"number","generated":"timestamp"}}}"#,
    ),
    (
        SESSIONS,
        r#"{"key":"id","indexes":["userId"],"schema":{
            "id":{"type":"string","generated":"uuid"},
            "userId":{"type":"string","required":true},
            "expiresAt":{"type":"number","required":true},
            "createdAt":{"type":"number","generated":"timestamp"},
            "ip":{"type":"string"},
            "userAgent":{"type":"string"}}}"#,
    ),
    (
        OWNERS,
        r#"{"key":"id","indexes":["userId","resourceName"],"schema":{
            "id":{"type":"string","generated":"uuid"},
            "userId":{"type":"string","required":true},
            "resourceType":{"type":"string","required":true,"enum":["bucket","topic","procedure","query"]},
            "resourceName":{"type":"string","required":true},
            "createdAt":{"type":"number","generated":"timestamp"}}}"#,
    ),
];

/// A role that exists from the start.
pub struct SystemRole {
    pub name: &'static str,
    pub description: &'static str,
    /// What noex-server gave it, and what was given to it since: a role with
    /// exactly these was never edited.
    before: [&'static str; 2],
    permissions: &'static str,
}

macro_rules! reads {
    () => {
        r#"{"allow":["store.get","store.all","store.where","store.findOne","store.count"]},
           {"allow":["store.first","store.last","store.paginate"]},
           {"allow":["store.sum","store.avg","store.min","store.max"]},
           {"allow":["store.subscribe","store.unsubscribe","store.buckets","store.stats"]}"#
    };
}
macro_rules! facts {
    () => {
        r#"{"allow":["rules.getFact","rules.queryFacts","rules.getAllFacts"]},
           {"allow":["rules.subscribe","rules.unsubscribe","rules.stats"]}"#
    };
}
macro_rules! views {
    () => {
        r#"{"allow":["logic.queryView","logic.subscribeView","logic.unsubscribeView","logic.evaluateExpr"]}"#
    };
}
/// What reads more than noex-server has.
macro_rules! more_reads {
    () => {
        r#"{"allow":["store.explain","store.groupBy","store.find","store.query","store.live","rules.getTimers"]}"#
    };
}
macro_rules! more_writes {
    () => {
        r#"{"allow":["store.upsert","store.insertMany","store.updateMany","store.deleteMany"]}"#
    };
}
macro_rules! administration {
    () => {
        r#"{"allow":["identity.createUser","identity.getUser","identity.updateUser","identity.deleteUser","identity.listUsers"]},
           {"allow":["identity.enableUser","identity.disableUser","identity.resetPassword"]},
           {"allow":["identity.listRoles","identity.assignRole","identity.removeRole","identity.getUserRoles"]},
           {"allow":["identity.grant","identity.revoke","identity.getAcl"]}"#
    };
}
macro_rules! writer {
    () => {
        concat!(
            r#"{"allow":["store.insert","store.update","store.delete","store.clear","store.transaction"]},"#,
            reads!(),
            r#",{"allow":["rules.emit","rules.setFact","rules.deleteFact"]},"#,
            facts!(),
            r#",{"allow":["procedures.call","procedures.get"]}"#
        )
    };
}
macro_rules! reader {
    () => {
        concat!(reads!(), ",", facts!(), r#",{"allow":["procedures.get"]}"#)
    };
}

/// In the order in which they are made.
pub const SYSTEM_ROLES: [SystemRole; 4] = [
    SystemRole {
        name: "superadmin",
        description: "Full access to everything including identity management",
        before: [r#"[{"allow":"*"}]"#; 2],
        permissions: r#"[{"allow":"*"}]"#,
    },
    SystemRole {
        name: "admin",
        description: "Structural operations, data mutations, and reads",
        before: [
            concat!(
                r#"[{"allow":["store.*","rules.*","procedures.*","server.*","audit.*"]},"#,
                administration!(),
                "]"
            ),
            concat!(
                r#"[{"allow":["store.*","rules.*","procedures.*","server.*","audit.*","logic.*"]},"#,
                administration!(),
                "]"
            ),
        ],
        permissions: concat!(
            r#"[{"allow":["store.*","rules.*","procedures.*","server.*","audit.*","logic.*","access.*"]},"#,
            administration!(),
            "]"
        ),
    },
    SystemRole {
        name: "writer",
        description: "Data mutations and reads",
        before: [concat!("[", writer!(), "]"), concat!("[", writer!(), ",", views!(), "]")],
        permissions: concat!(
            "[",
            writer!(),
            ",",
            views!(),
            ",",
            more_reads!(),
            ",",
            more_writes!(),
            "]"
        ),
    },
    SystemRole {
        name: "reader",
        description: "Read-only access",
        before: [concat!("[", reader!(), "]"), concat!("[", reader!(), ",", views!(), "]")],
        permissions: concat!("[", reader!(), ",", views!(), ",", more_reads!(), "]"),
    },
];

impl SystemRole {
    pub fn permissions(&self) -> Json {
        constant(self.permissions)
    }

    /// Whether these permissions are those of a role that was never edited but
    /// lacks what has been added since.
    pub fn is_outdated(&self, permissions: &Json) -> bool {
        self.before.into_iter().any(|before| *permissions == constant(before))
            && *permissions != self.permissions()
    }
}

/// The definitions of the system buckets, in the order in which they are made.
pub fn buckets() -> impl Iterator<Item = (&'static str, Object)> {
    BUCKETS.into_iter().map(|(name, definition)| match constant(definition) {
        Json::Object(object) => (name, object),
        _ => (name, Object::new()),
    })
}

/// A text of this file; a test holds that they are JSON.
fn constant(text: &str) -> Json {
    parse(text, DEFAULT_MAX_DEPTH).map(|raw| raw.to_json()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;

    #[test]
    fn the_definitions_are_accepted_by_the_store() {
        let mut store = Store::new();
        for (name, definition) in buckets() {
            let set = store
                .prepare_define(name, definition, &crate::budget::Budget::unlimited())
                .expect(name);
            store.commit(set);
            assert!(name.starts_with(RESERVED));
        }
        assert_eq!(store.buckets().count(), 6);
    }

    #[test]
    fn system_roles_have_permissions() {
        let lengths: Vec<(usize, usize)> = SYSTEM_ROLES
            .iter()
            .map(|role| {
                let length = |json: Json| json.as_array().expect("an array").len();
                assert!(!role.is_outdated(&role.permissions()), "{}", role.name);
                (length(constant(role.before[0])), length(role.permissions()))
            })
            .collect();
        assert_eq!(lengths, [(1, 1), (5, 5), (9, 12), (7, 9)]);
        let [superadmin, admin, writer, _] = &SYSTEM_ROLES;
        for before in 0..2 {
            assert!(!superadmin.is_outdated(&constant(superadmin.before[before])));
            assert!(admin.is_outdated(&constant(admin.before[before])));
            assert!(writer.is_outdated(&constant(writer.before[before])));
            assert!(!writer.is_outdated(&constant(admin.before[before])), "edited");
        }
        assert!(!writer.is_outdated(&Json::Array(Vec::new())), "emptied");
    }
}
