//! Who sees which records: row rules (`crate::store::rows`) for connections.
//!
//! The rules of a bucket are made filters for a connection once, and kept until
//! the definition, the session, its roles or a set is another one. There is no
//! other place where row rules meet connections.

use std::collections::VecDeque;
use std::sync::Arc;

use hashbrown::{HashMap, HashSet};

use super::client_sessions::Numbered;
use super::sessions::Mode;
use super::sets::SetUsers;
use super::{Conns, Engine};
use crate::access::Roles;
use crate::app::{ConnId, Now};
use crate::budget::Budget;
use crate::config::Continuity;
use crate::identity::{SUPERADMIN, VIRTUAL_ADMIN};
use crate::json::{Json, Object};
use crate::logic::View;
use crate::protocol::OpError;
use crate::query::{ListedSet, Views};
use crate::store::rows::{Bound, BoundRules, Principal, RowRules, Sight};
use crate::store::{BucketId, Commit, DefinitionChange, Store, Writer, not_defined};

/// Who a connection acts for, as far as row rules are concerned.
#[derive(Clone, Debug)]
pub(super) struct Who {
    /// Row rules do not apply.
    is_exempt: bool,
    user_id: Option<Arc<str>>,
    roles: Roles,
    metadata: Option<Arc<Object>>,
}

impl Who {
    /// Somebody to whom row rules apply.
    pub fn of(user_id: Option<Arc<str>>, roles: Roles, metadata: Option<Arc<Object>>) -> Who {
        Who { is_exempt: false, user_id, roles, metadata }
    }

    fn principal<'a>(
        &'a self,
        now: f64,
        sets: &'a dyn Fn(&str) -> Result<Vec<Json>, OpError>,
    ) -> Principal<'a> {
        Principal {
            user_id: self.user_id.as_deref(),
            roles: &self.roles,
            metadata: self.metadata.as_deref(),
            now,
            sets,
        }
    }
}

impl PartialEq for Who {
    fn eq(&self, other: &Who) -> bool {
        let metadata = match (&self.metadata, &other.metadata) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (None, None) => true,
            _ => false,
        };
        metadata
            && self.is_exempt == other.is_exempt
            && self.user_id == other.user_id
            && self.roles == other.roles
    }
}

#[derive(Debug)]
struct Kept {
    rules: Arc<RowRules>,
    who: Who,
    bound: Arc<BoundRules>,
}

/// See the module's description.
#[derive(Debug, Default)]
pub(super) struct RowsSide {
    kept: HashMap<ConnId, HashMap<BucketId, Kept>>,
    pub sets: SetUsers,
    /// Connections whose subscriptions are to follow their rights.
    pub waiting: Waiting,
}

/// In the order in which they came, each once.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    queue: VecDeque<ConnId>,
    known: HashSet<ConnId>,
}

impl Waiting {
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub fn contains(&self, conn: ConnId) -> bool {
        self.known.contains(&conn)
    }

    pub fn push(&mut self, conn: ConnId) {
        if self.known.insert(conn) {
            self.queue.push_back(conn);
        }
    }

    pub fn pop(&mut self) -> Option<ConnId> {
        let conn = self.queue.pop_front()?;
        self.known.remove(&conn);
        Some(conn)
    }
}

impl RowsSide {
    /// A connection has ended.
    pub fn forget(&mut self, conn: ConnId) {
        self.kept.remove(&conn);
        self.sets.leave(conn);
    }

    /// What was made for a connection holds no more.
    pub fn unbind(&mut self, conn: ConnId) {
        self.kept.remove(&conn);
    }

    /// For tests and fuzzing.
    pub fn check_invariants(&self, store: &Store) {
        self.sets.sets.check_invariants(store);
    }
}

/// Putting one value of a set into filters, and compiling these.
const STEPS_PER_VALUE: u64 = 4;

/// No connection: for rules that are bound for somebody who need not have one.
pub(super) const NOBODY: ConnId = ConnId { slot: u32::MAX, generation: u32::MAX };

/// What one connection may do with records. Who it is stays in here: whoever has this
/// is told what it sees and for whom it writes, and gets at no session and no other
/// connection.
pub(super) struct Rights<'e> {
    conn: ConnId,
    conns: &'e Conns,
    mode: &'e Mode,
    rows: &'e mut RowsSide,
    /// Takes note of the buckets whose rules were looked at.
    numbered: Option<&'e mut Numbered>,
    continuity: Option<&'e Continuity>,
    store: &'e Store,
    budget: &'e Budget,
    now: Now,
}

impl<'e> Rights<'e> {
    /// By `rights!` alone, which knows where all this is.
    pub fn of(
        (conn, conns, mode): (ConnId, &'e Conns, &'e Mode),
        (rows, numbered): (&'e mut RowsSide, Option<&'e mut Numbered>),
        continuity: Option<&'e Continuity>,
        (store, budget, now): (&'e Store, &'e Budget, Now),
    ) -> Rights<'e> {
        Rights { conn, conns, mode, rows, numbered, continuity, store, budget, now }
    }
}

/// The [`Rights`] of a connection. A macro, because a method would borrow all of the
/// engine, and what stands beside rights in a scope is the rest of it.
macro_rules! rights {
    ($engine:ident, $conn:expr) => {
        $crate::engine::rows::Rights::of(
            ($conn, &$engine.conns, &$engine.sessions.mode),
            (&mut $engine.rows, $engine.current.numbered.as_mut()),
            $engine.options.continuity.as_ref(),
            (&$engine.store, &$engine.budget, $engine.now),
        )
    };
}
pub(super) use rights;

impl Rights<'_> {
    fn who(&self) -> Who {
        let nobody =
            || Who { is_exempt: false, user_id: None, roles: Roles::default(), metadata: None };
        let is_open = matches!(self.mode, Mode::Open);
        if is_open || self.conns.get(self.conn).is_none_or(|conn| conn.trusted) {
            // A server that checks nothing; the program that embeds the server.
            return Who { is_exempt: true, ..nobody() };
        }
        let Some(session) = self.conns.session(self.conn, self.now.wall) else {
            return Who { roles: self.mode.anonymous_roles(), ..nobody() };
        };
        let user_id = Some(Arc::clone(&session.user_id));
        match self.mode {
            Mode::BuiltIn(identity) => {
                let roles: Roles = identity.directory.role_names(&session.user_id).into();
                let is_exempt = *session.user_id == *VIRTUAL_ADMIN
                    || roles.iter().any(|role| **role == *SUPERADMIN);
                // Users edit their own metadata.
                Who { is_exempt, user_id, roles, metadata: None }
            }
            Mode::Open | Mode::External(_) => Who {
                is_exempt: false,
                user_id,
                roles: Arc::clone(&session.roles),
                metadata: session.metadata.clone(),
            },
        }
    }

    /// The row rules that apply to the connection in a bucket, if any do.
    ///
    /// # Errors
    /// Of a set that cannot be used.
    fn rules_for(&mut self, id: BucketId) -> Result<Option<Arc<BoundRules>>, OpError> {
        let Some(bucket) = self.store.bucket(id) else { return Ok(None) };
        let Some(rules) = bucket.definition().rows.clone() else { return Ok(None) };
        if let Some(numbered) = &mut self.numbered {
            numbered.note_rules_used(id);
        }
        let who = self.who();
        if who.is_exempt || rules.bypassed_by(&who.roles).is_some() {
            return Ok(None);
        }
        let kept = self.rows.kept.get(&self.conn).and_then(|kept| kept.get(&id));
        if let Some(kept) = kept
            && Arc::ptr_eq(&kept.rules, &rules)
            && kept.who == who
        {
            return Ok(Some(Arc::clone(&kept.bound)));
        }
        if kept.is_some_and(|kept| kept.who != who) {
            // Somebody else: what was used for the one before is let go.
            self.rows.forget(self.conn);
        }
        let bound = Arc::new(self.bind_rules(id, &rules, &who)?);
        if !rules.uses_now() {
            let kept = Kept { rules, who, bound: Arc::clone(&bound) };
            self.rows.kept.entry(self.conn).or_default().insert(id, kept);
        }
        Ok(Some(bound))
    }

    fn bind_rules(
        &mut self,
        id: BucketId,
        rules: &RowRules,
        who: &Who,
    ) -> Result<BoundRules, OpError> {
        let principal = who.principal(self.now.wall as f64, &|_| Err(OpError::internal()));
        let mut values: HashMap<&str, Vec<Json>> = HashMap::new();
        for name in rules.sets() {
            let asking = (self.store, self.budget);
            let listed = self.rows.sets.values(self.conn, name, &principal, asking)?;
            self.budget.spend((listed.len() as u64).saturating_mul(STEPS_PER_VALUE))?;
            values.insert(name, listed);
        }
        let of_set = |name: &str| values.get(name).cloned().ok_or_else(OpError::internal);
        let principal = who.principal(self.now.wall as f64, &of_set);
        let bucket = self.store.bucket(id).ok_or_else(OpError::internal)?;
        rules.bind(bucket.layout(), bucket.key_field(), &principal)
    }

    /// The rules for somebody who need not be connected; of [`NOBODY`].
    ///
    /// # Errors
    /// Of a set that cannot be used.
    pub(super) fn bind_for(
        mut self,
        id: BucketId,
        rules: &RowRules,
        who: &Who,
    ) -> Result<BoundRules, OpError> {
        let bound = self.bind_rules(id, rules, who);
        // No connection has it: what it uses of sets is let go at once.
        self.rows.forget(self.conn);
        bound
    }

    /// What the connection may read of a bucket.
    ///
    /// # Errors
    /// `BUCKET_NOT_DEFINED`, or of a set that cannot be used.
    pub(super) fn readable(&mut self, bucket: &str) -> Result<Bound, OpError> {
        let id = self.store.bucket_id(bucket).ok_or_else(|| not_defined(bucket))?;
        Ok(self.rules_for(id)?.map_or(Bound::All, |rules| rules.read.clone()))
    }

    /// What the connection sees of buckets, and of those that refer to them. `None`:
    /// everything.
    ///
    /// # Errors
    /// Of a set that cannot be used.
    pub(super) fn sight(
        &mut self,
        buckets: impl IntoIterator<Item = BucketId>,
    ) -> Result<Option<Sight>, OpError> {
        if self.who().is_exempt {
            return Ok(None);
        }
        let mut sight = Sight::default();
        let mut open: Vec<BucketId> = buckets.into_iter().collect();
        let asked = open.clone();
        while let Some(id) = open.pop() {
            if sight.knows(id) {
                continue;
            }
            match self.rules_for(id) {
                Ok(rules) => sight.insert(id, rules),
                Err(error) if asked.contains(&id) => return Err(error),
                // Only the messages about its records need to know: closed.
                Err(_) => continue,
            }
            if let Some(bucket) = self.store.bucket(id) {
                open.extend(self.store.referrers(bucket.name()).filter(|id| !sight.knows(*id)));
            }
        }
        Ok(Some(sight))
    }

    /// The read filters of a query's or a view's source, as part of the key of
    /// its view; `None`: everything is shown.
    ///
    /// # Errors
    /// As [`Rights::readable`].
    pub(super) fn read_filter(&mut self, bucket: &str) -> Result<Option<Arc<Json>>, OpError> {
        // A bucket that is not there shows nothing, and whoever asks is told.
        match self.store.bucket_id(bucket) {
            None => Ok(None),
            Some(_) => Ok(self.readable(bucket)?.json().cloned()),
        }
    }

    /// The same of a query with a name. A query of the program has none: it sees
    /// everything.
    ///
    /// # Errors
    /// As [`Rights::readable`].
    pub(super) fn read_of_query(
        &mut self,
        views: &Views,
        query: &str,
    ) -> Result<Option<Arc<Json>>, OpError> {
        match views.source(query) {
            Some(bucket) => self.read_filter(bucket),
            None => Ok(None),
        }
    }

    /// The same of several buckets: by name, those that hide something.
    ///
    /// # Errors
    /// As [`Rights::readable`].
    fn read_filters<'n>(
        &mut self,
        buckets: impl IntoIterator<Item = &'n str>,
    ) -> Result<Option<Arc<Json>>, OpError> {
        let mut filters = Object::new();
        for bucket in buckets {
            if let Some(filter) = self.read_filter(bucket)? {
                filters.insert(bucket, (*filter).clone());
            }
        }
        Ok((!filters.is_empty()).then(|| Arc::new(Json::Object(filters))))
    }

    /// What the connection may see of the buckets of a view of logic.
    ///
    /// # Errors
    /// As [`Rights::readable`].
    pub(super) fn read_of_view(&mut self, view: &View) -> Result<Option<Arc<Json>>, OpError> {
        match view.as_definer {
            true => Ok(None),
            false => self.read_filters(view.buckets()),
        }
    }

    /// For whom the connection writes; `any`: also the records of others.
    pub(super) fn writer(&self, any: bool) -> Option<Writer> {
        let conn = self.conns.get(self.conn)?;
        // Sessions may be switched off; records of connections are not.
        let most = self.continuity.map(|limits| limits.max_presence_per_owner);
        Some(Writer {
            owner: conn.owner(),
            inserts: conn.is_owner(),
            any: any || conn.trusted,
            most: most.unwrap_or_else(|| Continuity::default().max_presence_per_owner),
        })
    }
}

impl Engine {
    /// What a connection may do with records.
    pub(super) fn rights(&mut self, conn: ConnId) -> Rights<'_> {
        rights!(self, conn)
    }

    /// The sets in order of definition.
    pub(super) fn sets(&self) -> impl Iterator<Item = ListedSet<'_>> {
        self.rows.sets.sets.list(&self.store)
    }

    /// A commit may have changed what is there for whom.
    pub(super) fn note_definitions(&mut self, commit: &Commit) {
        for definition in &commit.definitions {
            match definition {
                DefinitionChange::Defined(defined) | DefinitionChange::Updated(defined) => {
                    self.reauthorise_readers(defined.bucket, &defined.name);
                }
                DefinitionChange::Dropped { .. } => {}
            }
        }
    }
}
