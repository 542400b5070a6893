//! What the system buckets say, in the form in which decisions need it.
//!
//! Derived from the records and from nothing else: every commit that touches a
//! system bucket passes through [`Directory::apply`], whichever way it came
//! about. So the next request sees what the last commit changed.

mod read;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::schema;
use crate::access::{Grant, ResourceKind};
use crate::json::Raw;
use crate::protocol::Tier;
use crate::store::{BucketId, Commit, Row, Store};

/// The user without a record: reached by the admin secret.
pub const VIRTUAL_ADMIN: &str = "__superadmin__";
/// The role that may do everything.
pub const SUPERADMIN: &str = "superadmin";
/// The role that may administer users, below superadmins.
pub const ADMIN: &str = "admin";

/// Ids of the system buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buckets {
    pub users: BucketId,
    pub roles: BucketId,
    pub user_roles: BucketId,
    pub acl: BucketId,
    pub sessions: BucketId,
    pub owners: BucketId,
}

impl Buckets {
    /// `None` while one of them is missing.
    pub fn of(store: &Store) -> Option<Self> {
        Some(Self {
            users: store.bucket_id(schema::USERS)?,
            roles: store.bucket_id(schema::ROLES)?,
            user_roles: store.bucket_id(schema::USER_ROLES)?,
            acl: store.bucket_id(schema::ACL)?,
            sessions: store.bucket_id(schema::SESSIONS)?,
            owners: store.bucket_id(schema::OWNERS)?,
        })
    }

    fn all(&self) -> [BucketId; 6] {
        let Buckets { users, roles, user_roles, acl, sessions, owners } = *self;
        [users, roles, user_roles, acl, sessions, owners]
    }
}

pub type Id = Arc<str>;

/// Who is granted something.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    User(Id),
    /// By role id.
    Role(Id),
}

impl Subject {
    /// A subject in the protocol's words; `None` for an unknown type.
    pub fn new(kind: &str, id: &str) -> Option<Self> {
        match kind {
            "user" => Some(Subject::User(id.into())),
            "role" => Some(Subject::Role(id.into())),
            _ => None,
        }
    }

    pub fn kind(&self) -> &'static str {
        match self {
            Subject::User(_) => "user",
            Subject::Role(_) => "role",
        }
    }

    pub fn id(&self) -> &Id {
        match self {
            Subject::User(id) | Subject::Role(id) => id,
        }
    }
}

/// Something that can be owned and granted; it need not exist.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Resource {
    pub kind: ResourceKind,
    pub name: Arc<str>,
}

impl Resource {
    pub fn new(kind: ResourceKind, name: &str) -> Self {
        Self { kind, name: name.into() }
    }
}

/// One entry of an access list.
#[derive(Clone, Debug)]
pub struct AclEntry {
    /// Key of the record.
    pub id: Id,
    /// In the order in which they were granted.
    pub operations: Vec<Tier>,
    order: u64,
}

#[derive(Clone, Debug)]
pub struct Role {
    pub id: Id,
    pub name: Id,
    pub system: bool,
    pub grants: Vec<Grant>,
}

#[derive(Clone, Debug)]
pub struct SessionRecord {
    pub user_id: Id,
    pub expires_at: f64,
    pub created_at: f64,
    order: u64,
}

/// Whose rights a commit has changed.
#[derive(Clone, Debug, Default)]
pub struct Touched {
    pub everybody: bool,
    pub users: HashSet<Id>,
    pub roles: HashSet<Id>,
}

/// Lookups over the system buckets.
#[derive(Debug, Default)]
pub struct Directory {
    buckets: Option<Buckets>,
    /// By username.
    users: HashMap<Id, Id>,
    /// In creation order.
    roles: BTreeMap<u64, Role>,
    role_by_id: HashMap<Id, u64>,
    role_by_name: HashMap<Id, u64>,
    /// User to roles to keys of records.
    assignments: HashMap<Id, HashMap<Id, Id>>,
    acl: HashMap<Subject, HashMap<Resource, AclEntry>>,
    acl_by_resource: HashMap<Resource, BTreeMap<u64, Subject>>,
    /// Owner and key of the record.
    owners: HashMap<Resource, (Id, Id)>,
    owned: HashMap<Id, BTreeMap<u64, Resource>>,
    sessions: HashMap<Id, SessionRecord>,
    sessions_of: HashMap<Id, BTreeMap<u64, Id>>,
    session_expiry: BTreeSet<(u64, Id)>,
    touched: Touched,
}

fn text(row: &Row, name: &str) -> Option<Id> {
    row.raw().get(name).and_then(Raw::as_str).map(|text| (&*text).into())
}

fn number(row: &Row, name: &str) -> Option<f64> {
    row.raw().get(name).and_then(Raw::as_number)
}

/// The tier of an access list's word.
pub fn operation(word: &str) -> Option<Tier> {
    [Tier::Read, Tier::Write, Tier::Admin].into_iter().find(|tier| tier.as_str() == word)
}

/// Removes `key` from the map inside `outer`, and that when it is empty.
fn remove_inner<A, B, V>(outer: &mut HashMap<A, BTreeMap<B, V>>, at: &A, key: &B) -> Option<V>
where
    A: std::hash::Hash + Eq,
    B: Ord,
{
    let inner = outer.get_mut(at)?;
    let value = inner.remove(key);
    if inner.is_empty() {
        outer.remove(at);
    }
    value
}

impl Directory {
    /// Reads everything anew.
    pub fn rebuild(&mut self, store: &Store) {
        *self = Directory { buckets: Buckets::of(store), ..Directory::default() };
        self.touched.everybody = true;
        let buckets = self.buckets;
        for id in buckets.iter().flat_map(Buckets::all) {
            for (order, row) in store.bucket(id).into_iter().flat_map(|bucket| bucket.iter()) {
                self.add(id, row, order);
            }
        }
    }

    /// Takes over what a commit changed.
    pub fn apply(&mut self, store: &Store, commit: &Commit) {
        if !commit.definitions.is_empty() && Buckets::of(store) != self.buckets {
            self.rebuild(store);
            return;
        }
        let Some(mine) = self.buckets.map(|buckets| buckets.all()) else { return };
        if commit.cleared.iter().any(|(id, _)| mine.contains(id)) {
            self.rebuild(store);
            return;
        }
        // First everything that goes: what comes may take its place, whichever
        // of them was written first.
        let changes = || commit.changes.iter().filter(|change| mine.contains(&change.bucket));
        for change in changes() {
            if let Some(row) = &change.old {
                self.remove(change.bucket, row, change.old_order);
            }
        }
        for change in changes() {
            if let Some(row) = &change.new {
                self.add(change.bucket, row, change.new_order);
            }
        }
    }

    fn add(&mut self, bucket: BucketId, row: &Row, order: u64) {
        let Some(buckets) = self.buckets else { return };
        // Records that are malformed, which only a restore can bring, mean nothing.
        let _ = if bucket == buckets.users {
            self.add_user(row)
        } else if bucket == buckets.roles {
            self.add_role(row, order)
        } else if bucket == buckets.user_roles {
            self.add_assignment(row)
        } else if bucket == buckets.acl {
            self.add_acl(row, order)
        } else if bucket == buckets.owners {
            self.add_owner(row, order)
        } else {
            self.add_session(row, order)
        };
    }

    fn remove(&mut self, bucket: BucketId, row: &Row, order: u64) {
        let Some(buckets) = self.buckets else { return };
        let _ = if bucket == buckets.users {
            self.remove_user(row)
        } else if bucket == buckets.roles {
            self.remove_role(row, order)
        } else if bucket == buckets.user_roles {
            self.remove_assignment(row)
        } else if bucket == buckets.acl {
            self.remove_acl(row, order)
        } else if bucket == buckets.owners {
            self.remove_owner(row, order)
        } else {
            self.remove_session(row, order)
        };
    }

    fn add_user(&mut self, row: &Row) -> Option<()> {
        self.users.insert(text(row, "username")?, text(row, "id")?);
        Some(())
    }

    fn remove_user(&mut self, row: &Row) -> Option<()> {
        self.users.remove(&text(row, "username")?);
        Some(())
    }

    fn add_role(&mut self, row: &Row, order: u64) -> Option<()> {
        let (id, name) = (text(row, "id")?, text(row, "name")?);
        let permissions = row.raw().get("permissions").map(Raw::to_json).unwrap_or_default();
        let role = Role {
            id: Arc::clone(&id),
            name: Arc::clone(&name),
            system: row.raw().get("system").and_then(Raw::as_bool).unwrap_or_default(),
            grants: permissions
                .as_array()
                .unwrap_or_default()
                .iter()
                .filter_map(Grant::from_json)
                .collect(),
        };
        self.touched.roles.insert(Arc::clone(&id));
        self.role_by_id.insert(id, order);
        self.role_by_name.insert(name, order);
        self.roles.insert(order, role);
        Some(())
    }

    fn remove_role(&mut self, row: &Row, order: u64) -> Option<()> {
        let role = self.roles.remove(&order)?;
        self.role_by_id.remove(&role.id);
        self.role_by_name.remove(&text(row, "name")?);
        self.touched.roles.insert(role.id);
        Some(())
    }

    fn add_assignment(&mut self, row: &Row) -> Option<()> {
        let (user, role) = (text(row, "userId")?, text(row, "roleId")?);
        self.touched.users.insert(Arc::clone(&user));
        self.assignments.entry(user).or_default().insert(role, text(row, "id")?);
        Some(())
    }

    fn remove_assignment(&mut self, row: &Row) -> Option<()> {
        let user = text(row, "userId")?;
        let roles = self.assignments.get_mut(&user)?;
        roles.remove(&text(row, "roleId")?);
        if roles.is_empty() {
            self.assignments.remove(&user);
        }
        self.touched.users.insert(user);
        Some(())
    }

    fn touch(&mut self, subject: &Subject) {
        match subject {
            Subject::User(id) => self.touched.users.insert(Arc::clone(id)),
            Subject::Role(id) => self.touched.roles.insert(Arc::clone(id)),
        };
    }

    fn acl_key(row: &Row) -> Option<(Subject, Resource)> {
        let subject = Subject::new(&text(row, "subjectType")?, &text(row, "subjectId")?)?;
        let kind = ResourceKind::from_name(&text(row, "resourceType")?)?;
        Some((subject, Resource { kind, name: text(row, "resourceName")? }))
    }

    fn add_acl(&mut self, row: &Row, order: u64) -> Option<()> {
        let (subject, resource) = Self::acl_key(row)?;
        let words = row.raw().get("operations")?;
        let operations = words.elements().filter_map(|word| operation(&word.as_str()?)).collect();
        self.touch(&subject);
        self.acl_by_resource.entry(resource.clone()).or_default().insert(order, subject.clone());
        let entry = AclEntry { id: text(row, "id")?, operations, order };
        self.acl.entry(subject).or_default().insert(resource, entry);
        Some(())
    }

    fn remove_acl(&mut self, row: &Row, order: u64) -> Option<()> {
        let (subject, resource) = Self::acl_key(row)?;
        remove_inner(&mut self.acl_by_resource, &resource, &order);
        self.touch(&subject);
        let entries = self.acl.get_mut(&subject)?;
        entries.remove(&resource);
        if entries.is_empty() {
            self.acl.remove(&subject);
        }
        Some(())
    }

    fn owner_key(row: &Row) -> Option<(Id, Resource)> {
        let kind = ResourceKind::from_name(&text(row, "resourceType")?)?;
        Some((text(row, "userId")?, Resource { kind, name: text(row, "resourceName")? }))
    }

    fn add_owner(&mut self, row: &Row, order: u64) -> Option<()> {
        let (user, resource) = Self::owner_key(row)?;
        self.touched.users.insert(Arc::clone(&user));
        self.owned.entry(Arc::clone(&user)).or_default().insert(order, resource.clone());
        self.owners.insert(resource, (user, text(row, "id")?));
        Some(())
    }

    fn remove_owner(&mut self, row: &Row, order: u64) -> Option<()> {
        let (user, resource) = Self::owner_key(row)?;
        remove_inner(&mut self.owned, &user, &order);
        self.owners.remove(&resource);
        self.touched.users.insert(user);
        Some(())
    }

    fn add_session(&mut self, row: &Row, order: u64) -> Option<()> {
        let (id, user_id) = (text(row, "id")?, text(row, "userId")?);
        let expires_at = number(row, "expiresAt")?;
        let record = SessionRecord {
            user_id: Arc::clone(&user_id),
            expires_at,
            created_at: number(row, "createdAt").unwrap_or_default(),
            order,
        };
        self.sessions_of.entry(user_id).or_default().insert(order, Arc::clone(&id));
        self.session_expiry.insert((expires_at as u64, Arc::clone(&id)));
        self.sessions.insert(id, record);
        Some(())
    }

    fn remove_session(&mut self, row: &Row, _order: u64) -> Option<()> {
        let (id, record) = self.sessions.remove_entry(&text(row, "id")?)?;
        remove_inner(&mut self.sessions_of, &record.user_id, &record.order);
        self.session_expiry.remove(&(record.expires_at as u64, id));
        Some(())
    }
}
