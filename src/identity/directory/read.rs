//! Reading the directory.

use std::collections::{BTreeMap, HashMap};

use super::{
    AclEntry, Buckets, Directory, Id, Resource, Role, SUPERADMIN, SessionRecord, Subject, Touched,
    VIRTUAL_ADMIN,
};

impl Directory {
    pub fn buckets(&self) -> Option<Buckets> {
        self.buckets
    }

    /// Whose rights have changed since the last call.
    pub fn take_touched(&mut self) -> Touched {
        std::mem::take(&mut self.touched)
    }

    /// Whether somebody's rights have changed since they were last taken.
    pub fn has_touched(&self) -> bool {
        self.touched.everybody || !self.touched.users.is_empty() || !self.touched.roles.is_empty()
    }

    pub fn user_by_name(&self, username: &str) -> Option<&Id> {
        self.users.get(username)
    }

    pub fn role(&self, id: &str) -> Option<&Role> {
        self.role_by_id.get(id).and_then(|order| self.roles.get(order))
    }

    pub fn role_by_name(&self, name: &str) -> Option<&Role> {
        self.role_by_name.get(name).and_then(|order| self.roles.get(order))
    }

    /// All roles in creation order.
    pub fn roles(&self) -> impl Iterator<Item = &Role> {
        self.roles.values()
    }

    /// The roles of a user, in creation order of the roles. The virtual
    /// superadmin has one and no other.
    pub fn roles_of(&self, user_id: &str) -> Vec<&Role> {
        if user_id == VIRTUAL_ADMIN {
            return self.role_by_name(SUPERADMIN).into_iter().collect();
        }
        let mut orders: Vec<u64> = self
            .assignments
            .get(user_id)
            .into_iter()
            .flat_map(HashMap::keys)
            .filter_map(|role| self.role_by_id.get(role).copied())
            .collect();
        orders.sort_unstable();
        orders.iter().filter_map(|order| self.roles.get(order)).collect()
    }

    pub fn role_names(&self, user_id: &str) -> Vec<Box<str>> {
        if user_id == VIRTUAL_ADMIN {
            return vec![SUPERADMIN.into()];
        }
        self.roles_of(user_id).into_iter().map(|role| (&*role.name).into()).collect()
    }

    pub fn has_role(&self, user_id: &str, name: &str) -> bool {
        if user_id == VIRTUAL_ADMIN {
            return name == SUPERADMIN;
        }
        let role = self.role_by_name(name).map(|role| &role.id);
        role.is_some_and(|role| self.assignment(user_id, role).is_some())
    }

    /// The key of the record that gives a user a role.
    pub fn assignment(&self, user_id: &str, role_id: &str) -> Option<&Id> {
        self.assignments.get(user_id)?.get(role_id)
    }

    /// Keys of all records that give a user roles.
    pub fn assignments_of_user(&self, user_id: &str) -> Vec<Id> {
        self.assignments.get(user_id).into_iter().flat_map(HashMap::values).cloned().collect()
    }

    /// Keys of all records that give users this role.
    pub fn assignments_of_role(&self, role_id: &str) -> Vec<Id> {
        self.assignments.values().filter_map(|roles| roles.get(role_id)).cloned().collect()
    }

    pub fn acl(&self, subject: &Subject, resource: &Resource) -> Option<&AclEntry> {
        self.acl.get(subject)?.get(resource)
    }

    /// The entries of a subject, oldest first.
    pub fn acl_of(&self, subject: &Subject) -> Vec<(&Resource, &AclEntry)> {
        let mut entries: Vec<_> = self.acl.get(subject).into_iter().flatten().collect();
        entries.sort_unstable_by_key(|(_, entry)| entry.order);
        entries
    }

    /// Everybody who is granted something on a resource, oldest first.
    pub fn subjects_on(&self, resource: &Resource) -> impl Iterator<Item = &Subject> {
        self.acl_by_resource.get(resource).into_iter().flat_map(BTreeMap::values)
    }

    /// The owner and the key of the owner's record.
    pub fn owner(&self, resource: &Resource) -> Option<&(Id, Id)> {
        self.owners.get(resource)
    }

    pub fn owns(&self, user_id: &str, resource: &Resource) -> bool {
        self.owner(resource).is_some_and(|(owner, _)| &**owner == user_id)
    }

    /// What a user owns, oldest first.
    pub fn owned_by(&self, user_id: &str) -> impl Iterator<Item = &Resource> {
        self.owned.get(user_id).into_iter().flat_map(BTreeMap::values)
    }

    /// By the key of the record.
    pub fn session(&self, id: &str) -> Option<&SessionRecord> {
        self.sessions.get(id)
    }

    /// Keys of a user's session records, oldest first.
    pub fn sessions_of(&self, user_id: &str) -> impl Iterator<Item = &Id> {
        self.sessions_of.get(user_id).into_iter().flat_map(BTreeMap::values)
    }

    /// When the next session record is over, Unix milliseconds.
    pub fn next_session_expiry(&self) -> Option<u64> {
        self.session_expiry.first().map(|(at, _)| at.saturating_add(1))
    }

    /// Keys of the session records that are over.
    pub fn expired_sessions(&self, now_wall: u64) -> Vec<Id> {
        let over = self.session_expiry.iter().take_while(|(at, _)| *at < now_wall);
        over.map(|(_, id)| Id::clone(id)).collect()
    }
}
