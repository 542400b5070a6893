//! One atomic change of the system buckets.

use crate::engine::Engine;
use crate::engine::rows::NOBODY;
use crate::engine::scopes::{Managing, Written};
use crate::identity::{Buckets, Directory, Id, Resource, Subject};
use crate::ids::IdSource;
use crate::json::{Json, Object};
use crate::protocol::{ErrorCode, OpError};
use crate::store::{BucketId, Data, Draft, Row, Store};

/// Writes to the system buckets that become one commit, or nothing.
pub(in crate::engine) struct Change<'e> {
    draft: &'e mut Draft,
    store: &'e Store,
    ids: &'e mut IdSource,
    pub directory: &'e Directory,
    pub buckets: Buckets,
}

impl Managing<'_> {
    /// Prepares one change. The store's own errors are not for clients: whatever they
    /// can cause was checked before.
    pub(super) fn change<T>(
        &mut self,
        prepare: impl FnOnce(&mut Change<'_>) -> Result<T, OpError>,
    ) -> Result<(T, Written), OpError> {
        let directory = self.directory()?;
        let buckets = directory.buckets().ok_or_else(OpError::internal)?;
        let filled = |draft: &mut Draft, store: &Store, ids: &mut IdSource| {
            prepare(&mut Change { draft, store, ids, directory, buckets })
        };
        self.write(filled, unexpected)
    }
}

impl Engine {
    /// Prepares and commits one change.
    pub(in crate::engine) fn change<T>(
        &mut self,
        prepare: impl FnOnce(&mut Change<'_>) -> Result<T, OpError>,
    ) -> Result<T, OpError> {
        let (value, written) = self.managing(NOBODY).change(prepare)?;
        self.commit_written(written)?;
        Ok(value)
    }
}

fn unexpected(error: OpError) -> OpError {
    if error.code == ErrorCode::Backpressure {
        return error;
    }
    log::error!("a change of the system buckets was refused: {error}");
    OpError::internal()
}

impl Change<'_> {
    pub fn insert(&mut self, bucket: BucketId, record: Object) -> Result<Row, OpError> {
        let data = Data::from(record);
        self.draft.insert(self.store, self.ids, bucket, &data).map_err(unexpected)
    }

    pub fn update(&mut self, bucket: BucketId, id: &str, fields: Object) -> Result<Row, OpError> {
        let data = Data::from(fields);
        self.draft.update(self.store, bucket, &id.into(), &data).map_err(unexpected)
    }

    pub fn delete(&mut self, bucket: BucketId, id: &str) -> Result<(), OpError> {
        self.draft.delete(self.store, bucket, &id.into()).map_err(unexpected)
    }

    fn delete_all(&mut self, bucket: BucketId, ids: &[Id]) -> Result<(), OpError> {
        ids.iter().try_for_each(|id| self.delete(bucket, id))
    }

    /// Gives a role to a user; nobody in particular grants what the
    /// configuration says.
    pub fn assign(&mut self, user: &str, role: &str, by: Option<&Id>) -> Result<(), OpError> {
        let mut record: Object =
            [("userId", Json::from(user)), ("roleId", Json::from(role))].into_iter().collect();
        if let Some(by) = by {
            record.insert("grantedBy", Json::from(&**by));
        }
        self.insert(self.buckets.user_roles, record).map(drop)
    }

    /// Deletes all session records of a user.
    pub fn delete_sessions(&mut self, user_id: &str) -> Result<(), OpError> {
        let ids: Vec<Id> = self.directory.sessions_of(user_id).cloned().collect();
        self.delete_all(self.buckets.sessions, &ids)
    }

    /// Deletes the access list entries of a subject.
    pub fn delete_acl_of(&mut self, subject: &Subject) -> Result<(), OpError> {
        let entries = self.directory.acl_of(subject);
        let ids: Vec<Id> = entries.into_iter().map(|(_, entry)| Id::clone(&entry.id)).collect();
        self.delete_all(self.buckets.acl, &ids)
    }

    /// Deletes everything that refers to a user, then the user.
    pub fn delete_user(&mut self, user_id: &str) -> Result<(), OpError> {
        self.delete_sessions(user_id)?;
        self.delete_all(self.buckets.user_roles, &self.directory.assignments_of_user(user_id))?;
        self.delete_acl_of(&Subject::User(user_id.into()))?;
        let owned = self.directory.owned_by(user_id);
        let ids: Vec<Id> = owned
            .filter_map(|resource| Some(Id::clone(&self.directory.owner(resource)?.1)))
            .collect();
        self.delete_all(self.buckets.owners, &ids)?;
        self.delete(self.buckets.users, user_id)
    }

    /// Deletes everything that refers to a role, then the role.
    pub fn delete_role(&mut self, role_id: &str) -> Result<(), OpError> {
        self.delete_all(self.buckets.user_roles, &self.directory.assignments_of_role(role_id))?;
        self.delete_acl_of(&Subject::Role(role_id.into()))?;
        self.delete(self.buckets.roles, role_id)
    }

    /// Makes a user the owner, in the place of another if there is one.
    pub fn set_owner(&mut self, resource: &Resource, user_id: &str) -> Result<(), OpError> {
        if let Some((_, record)) = self.directory.owner(resource) {
            self.delete(self.buckets.owners, record)?;
        }
        let record: Object = [
            ("userId", Json::from(user_id)),
            ("resourceType", Json::from(resource.kind.as_str())),
            ("resourceName", Json::from(&*resource.name)),
        ]
        .into_iter()
        .collect();
        self.insert(self.buckets.owners, record).map(drop)
    }

    /// Deletes the ownership and the whole access list of a resource.
    pub fn forget_resource(&mut self, resource: &Resource) -> Result<(), OpError> {
        if let Some((_, record)) = self.directory.owner(resource) {
            self.delete(self.buckets.owners, record)?;
        }
        let ids: Vec<Id> = self
            .directory
            .subjects_on(resource)
            .filter_map(|subject| Some(Id::clone(&self.directory.acl(subject, resource)?.id)))
            .collect();
        self.delete_all(self.buckets.acl, &ids)
    }
}
