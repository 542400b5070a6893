//! Sets for connections: who uses which list, and what follows when one changes.

use hashbrown::{HashMap, HashSet};

use super::Engine;
use crate::app::ConnId;
use crate::json::{Json, Object};
use crate::protocol::{ErrorCode, OpError};
use crate::query::{SetId, Sets};
use crate::storage::Origin;
use crate::store::rows::Principal;
use crate::store::{Bucket, Commit};

/// The kind of the stored documents.
pub(super) const STORED: &str = "set";

/// Which connections use which lists.
#[derive(Debug, Default)]
pub(super) struct SetUsers {
    pub sets: Sets,
    by_set: HashMap<SetId, HashSet<ConnId>>,
    by_conn: HashMap<ConnId, Vec<SetId>>,
}

impl SetUsers {
    /// The values of a set for somebody, who uses it from now on.
    pub fn values(
        &mut self,
        conn: ConnId,
        name: &str,
        who: &Principal<'_>,
        (store, budget): (&crate::store::Store, &crate::budget::Budget),
    ) -> Result<Vec<Json>, OpError> {
        let id = self.sets.join(store, name, who, budget)?;
        if self.by_set.entry(id).or_default().insert(conn) {
            self.by_conn.entry(conn).or_default().push(id);
        }
        self.sets.values(id)
    }

    /// A connection uses none any more.
    pub fn leave(&mut self, conn: ConnId) {
        for id in self.by_conn.remove(&conn).unwrap_or_default() {
            let Some(users) = self.by_set.get_mut(&id) else { continue };
            users.remove(&conn);
            if users.is_empty() {
                self.by_set.remove(&id);
                self.sets.forget(id);
            }
        }
    }

    /// Takes lists away from whoever uses them.
    fn take(&mut self, ids: &[SetId]) {
        for id in ids {
            for conn in self.by_set.remove(id).into_iter().flatten() {
                if let Some(own) = self.by_conn.get_mut(&conn) {
                    own.retain(|have| have != id);
                    if own.is_empty() {
                        self.by_conn.remove(&conn);
                    }
                }
            }
            self.sets.forget(*id);
        }
    }

    /// Who uses one of these, in the order of their connections.
    fn users_of(&self, ids: &[SetId]) -> Vec<ConnId> {
        let mut users: Vec<ConnId> =
            ids.iter().filter_map(|id| self.by_set.get(id)).flatten().copied().collect();
        users.sort_unstable();
        users.dedup();
        users
    }
}

impl Engine {
    /// Whether there is a set of that name.
    pub(crate) fn has_set(&self, name: &str) -> bool {
        self.store.set(name).is_some()
    }

    /// A commit may have changed what is in sets. From now on nobody is shown
    /// what an older one let through.
    pub(super) fn note_sets(&mut self, commit: &Commit) {
        let changed = self.rows.sets.sets.follow(&self.store, commit);
        if changed.is_empty() {
            return;
        }
        let users = self.rows.sets.users_of(&changed);
        let gone: Vec<SetId> = changed
            .into_iter()
            .filter(|id| !self.rows.sets.sets.is_live(&self.store, *id))
            .collect();
        self.rows.sets.take(&gone);
        self.rights_changed(users);
    }

    /// What these connections may see is decided anew.
    fn rights_changed(&mut self, conns: Vec<ConnId>) {
        for conn in &conns {
            self.rows.unbind(*conn);
        }
        self.reauthorise_later(conns);
    }

    /// Defines a set, or another one of its name; what uses it follows.
    ///
    /// # Errors
    /// As `access.defineSet`.
    pub(crate) fn define_set(
        &mut self,
        name: &str,
        body: &Object,
        origin: Origin,
    ) -> Result<(), OpError> {
        let before = self.store.set(name).map(|set| set.bucket.clone());
        self.store.define_set(name, body)?;
        self.log_document(STORED, name, origin, &Json::Object(body.clone()));
        self.set_replaced(name);
        if let Some(bucket) = before.and_then(|bucket| self.store.bucket_id(&bucket)) {
            self.views.rerun_programs(&self.store, bucket);
        }
        Ok(())
    }

    /// Puts back a set that was stored or is configured. Before the first
    /// connection.
    ///
    /// # Errors
    /// As `access.defineSet`, but that its bucket may be gone.
    pub(crate) fn restore_set(
        &mut self,
        name: &str,
        body: &Object,
        origin: Origin,
    ) -> Result<(), OpError> {
        let bucket = body.get("bucket").and_then(Json::as_str).unwrap_or_default();
        self.refuse_system_bucket(bucket)?;
        match origin {
            Origin::File => self.store.define_set(name, body),
            Origin::Wire => self.store.restore_set(name, body),
        }
    }

    fn set_replaced(&mut self, name: &str) {
        let lists = self.rows.sets.sets.lists_of(name);
        let users = self.rows.sets.users_of(&lists);
        self.rows.sets.take(&lists);
        self.rights_changed(users);
    }

    /// The first bucket whose row rules use a set.
    pub(crate) fn user_of_set(&self, name: &str) -> Option<&Bucket> {
        self.store.buckets().find(|bucket| {
            let rows = bucket.definition().rows.as_ref();
            rows.is_some_and(|rows| rows.sets().any(|set| set == name))
        })
    }

    /// Takes a set away. Whether it was there.
    ///
    /// # Errors
    /// `Set "{name}" is used by bucket "{b}"`
    pub(crate) fn drop_set(&mut self, name: &str) -> Result<bool, OpError> {
        if !self.has_set(name) {
            return Ok(false);
        }
        if let Some(bucket) = self.user_of_set(name) {
            let text = format!("Set \"{name}\" is used by bucket \"{}\"", bucket.name());
            return Err(OpError::new(ErrorCode::Conflict, text));
        }
        self.set_replaced(name);
        self.store.undefine_set(name);
        self.log_forget(STORED, name);
        Ok(true)
    }
}
