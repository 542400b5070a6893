//! What a handler is given: the part of the engine that its operation may touch.
//!
//! The table of operations (`protocol/operation.rs`) says the scope of each row, and the
//! method of that name here makes it: a borrow of some fields of the engine, which the
//! compiler keeps apart from all others. So a read cannot write, queue output or end a
//! session, because nothing that it has can.

use std::ops::Deref;
use std::sync::Arc;

use super::commit_log::Log;
use super::orphans::{self, Orphans};
use super::rows::{Rights, rights};
use super::sessions::Mode as AuthMode;
use super::{Conns, Engine};
use crate::access::Question;
use crate::app::ConnId;
use crate::budget::Budget;
use crate::ids::IdSource;
use crate::json::Json;
use crate::logic::{Draft as LogicDraft, Logic, Maker};
use crate::procedures::Procedures;
use crate::protocol::OpError;
use crate::query::Views;
use crate::rules::RuleEngine;
use crate::storage::Origin;
use crate::store::rows::Sight;
use crate::store::{BucketId, ChangeSet, Draft, Mode, Store, WriteCx};

/// For reads of records: the store, what the connection sees of it, and what is defined
/// over it.
pub(in crate::engine) struct Reading<'e> {
    pub store: &'e Store,
    pub views: &'e Views,
    pub budget: &'e Budget,
    pub rights: Rights<'e>,
}

impl Reading<'_> {
    /// What an answer is taken from, and how long it may be.
    pub fn asking(&self) -> (&Budget, usize) {
        (self.budget, self.views.text_bytes())
    }
}

/// For writes of records: as [`Reading`], and a draft. What it prepares is committed when
/// the handler has ended; the handler itself cannot.
pub(in crate::engine) struct Writing<'e> {
    pub store: &'e Store,
    pub budget: &'e Budget,
    /// See [`Views::text_bytes`].
    pub text_bytes: usize,
    rights: Rights<'e>,
    ids: &'e mut IdSource,
    wall: u64,
}

/// What a write has become, on its way to [`Engine::commit`]. Only here can one be made.
#[derive(Default)]
#[must_use = "what is not handed on is not committed"]
pub(in crate::engine) struct Written {
    set: ChangeSet,
    /// The write was refused. What it leaves is committed all the same.
    refused: Option<Box<OpError>>,
}

impl Writing<'_> {
    /// Prepares a write to one bucket, with the rights of the connection.
    pub fn write(
        &mut self,
        bucket: BucketId,
        mode: Mode,
        prepare: impl FnOnce(&mut Draft, &Store, &mut IdSource) -> Result<(), OpError>,
    ) -> Result<Written, OpError> {
        let sight = self.rights.sight([bucket])?;
        self.prepare(sight, mode, prepare)
    }

    /// The same to several.
    pub fn write_all(
        &mut self,
        buckets: Vec<BucketId>,
        mode: Mode,
        prepare: impl FnOnce(&mut Draft, &Store, &mut IdSource) -> Result<(), OpError>,
    ) -> Result<Written, OpError> {
        let sight = self.rights.sight(buckets)?;
        self.prepare(sight, mode, prepare)
    }

    fn prepare(
        &mut self,
        sight: Option<Sight>,
        mode: Mode,
        prepare: impl FnOnce(&mut Draft, &Store, &mut IdSource) -> Result<(), OpError>,
    ) -> Result<Written, OpError> {
        let writer = self.rights.writer(false);
        let mut draft = Draft::new(mode, self.wall, self.budget);
        draft.set_sight(sight);
        draft.set_writer(writer);
        match prepared(&mut draft, (self.store, self.ids), prepare) {
            Ok(((), set)) => Ok(Written { set, refused: None }),
            Err(error) if mode == Mode::Single => {
                Ok(Written { set: draft.abandon(), refused: Some(Box::new(error)) })
            }
            Err(error) => Err(error),
        }
    }
}

/// For what is asked about users: who asks, and the directory with the records that it
/// is of.
#[derive(Clone, Copy)]
pub(in crate::engine) struct Users<'e> {
    pub conn: ConnId,
    pub conns: &'e Conns,
    pub mode: &'e AuthMode,
    pub store: &'e Store,
    pub wall: u64,
}

/// The [`Users`] of a connection; see [`rights!`].
macro_rules! users {
    ($engine:ident, $conn:ident) => {
        Users {
            conn: $conn,
            conns: &$engine.conns,
            mode: &$engine.sessions.mode,
            store: &$engine.store,
            wall: $engine.now.wall,
        }
    };
}

/// For changes of users, roles and access lists: as [`Users`], and a draft.
pub(in crate::engine) struct Managing<'e> {
    users: Users<'e>,
    ids: &'e mut IdSource,
    budget: &'e Budget,
}

impl<'e> Deref for Managing<'e> {
    type Target = Users<'e>;

    fn deref(&self) -> &Users<'e> {
        &self.users
    }
}

impl Managing<'_> {
    /// Prepares a write that is all or nothing. `refused`: what becomes of the errors
    /// that the draft has as a whole.
    pub fn write<T>(
        &mut self,
        prepare: impl FnOnce(&mut Draft, &Store, &mut IdSource) -> Result<T, OpError>,
        refused: fn(OpError) -> OpError,
    ) -> Result<(T, Written), OpError> {
        let mut draft = Draft::new(Mode::Transaction, self.wall, self.budget);
        let value = prepare(&mut draft, self.users.store, self.ids)?;
        let set = draft.finish(self.users.store).map_err(refused)?;
        Ok((value, Written { set, refused: None }))
    }
}

/// For what logic derives from records: as [`Reading`], and the definitions of logic.
pub(in crate::engine) struct Deriving<'e> {
    pub logic: Option<&'e Logic>,
    pub orphans: &'e Orphans,
    pub users: Users<'e>,
    pub store: &'e Store,
    pub budget: &'e Budget,
    pub rights: Rights<'e>,
    pub wall: u64,
}

/// For definitions: those that there are, the log that keeps them, and who asks. What is
/// defined on records goes into the store by the methods of this type alone.
pub(in crate::engine) struct Defining<'e> {
    pub conn: ConnId,
    pub conns: &'e Conns,
    mode: &'e mut AuthMode,
    views: &'e mut Views,
    pub procedures: &'e mut Option<Procedures>,
    pub budget: &'e Budget,
    pub wall: u64,
    store: &'e mut Store,
    logic: Option<&'e mut Logic>,
    orphans: &'e mut Orphans,
    log: &'e mut Log,
}

impl Defining<'_> {
    pub fn store(&self) -> &Store {
        self.store
    }

    pub fn mode(&self) -> &AuthMode {
        self.mode
    }

    /// Whether the connection would be allowed this beside what it does.
    pub fn may_be_asked(&mut self, question: &Question<'_>) -> bool {
        let session = self.conns.session(self.conn, self.wall);
        self.mode.decide(session, question).is_ok()
    }

    /// Defines a query; whether it was there already, where that is allowed.
    pub fn add_query(
        &mut self,
        name: &str,
        config: &Json,
        if_missing: bool,
    ) -> Result<bool, OpError> {
        match if_missing {
            true => self.views.define_if_missing(self.store, name, config),
            false => self.views.define(self.store, name, config).map(|()| false),
        }
    }

    pub fn remove_query(&mut self, name: &str) -> Result<(), OpError> {
        self.views.undefine(name)
    }

    /// A view that was defined can be subscribed to.
    pub fn name_view(&mut self, name: &str) {
        let view = self.logic().and_then(|logic| logic.view(name)).cloned();
        if let Some(view) = view {
            self.views.define_derived(name, Arc::new(Maker(view)));
        }
    }

    pub fn remove_view(&mut self, name: &str) {
        self.views.undefine_derived(name);
    }

    pub fn logic(&self) -> Option<&Logic> {
        self.logic.as_deref()
    }

    /// Who asks.
    pub fn users(&self) -> Users<'_> {
        let (conn, conns, wall) = (self.conn, self.conns, self.wall);
        Users { conn, conns, mode: self.mode, store: self.store, wall }
    }

    /// Whether the program itself asks.
    pub fn is_trusted(&self) -> bool {
        self.conns.get(self.conn).is_some_and(|conn| conn.trusted)
    }

    /// A bucket that was prepared.
    pub fn written(&self, set: ChangeSet) -> Written {
        Written { set, refused: None }
    }

    /// With what it is to be stored as.
    pub fn define_logic(&mut self, draft: LogicDraft) -> Result<Option<Json>, OpError> {
        let cx = WriteCx { now: self.wall as f64, budget: self.budget };
        let Some(logic) = &mut self.logic else { return Ok(None) };
        logic.define(self.store, draft, false, cx).map(Some)
    }

    /// Whether it was there.
    pub fn undefine_logic(&mut self, kind: &'static str, name: &str) -> bool {
        self.logic.as_mut().is_some_and(|logic| logic.undefine(self.store, kind, name))
    }

    /// A query of that name, or a view as [`orphans::view`] names it, was defined anew
    /// or is gone.
    pub fn forget_orphan(&mut self, query: &str) {
        orphans::forget(self.orphans, (self.log, self.store), query);
    }

    /// See [`Log::document`].
    pub fn keep(&mut self, kind: &str, name: &str, body: &Json) {
        self.log.document(self.store, (kind, name), Origin::Wire, body);
    }

    /// Removes what [`Defining::keep`] has stored.
    pub fn forget(&mut self, kind: &str, name: &str) {
        self.log.forget(self.store, kind, name);
    }
}

/// For what is asked about rules, facts and timers.
pub(in crate::engine) struct Knowing<'e> {
    pub rules: Option<&'e RuleEngine>,
    pub budget: &'e Budget,
}

/// Fills a draft, and ends it.
fn prepared<T>(
    draft: &mut Draft,
    (store, ids): (&Store, &mut IdSource),
    prepare: impl FnOnce(&mut Draft, &Store, &mut IdSource) -> Result<T, OpError>,
) -> Result<(T, ChangeSet), OpError> {
    let value = prepare(draft, store, ids)?;
    Ok((value, draft.finish(store)?))
}

impl Engine {
    /// Runs one plain operation of the server itself: prepares it, and commits what
    /// comes out. What a failed one leaves behind (a number of a counter) is committed
    /// too.
    pub(crate) fn write_single<T>(
        &mut self,
        prepare: impl FnOnce(&mut Draft, &Store, &mut IdSource) -> Result<T, OpError>,
    ) -> Result<T, OpError> {
        self.write_draft(Mode::Single, prepare)
    }

    /// The same for what is all or nothing in itself.
    pub(crate) fn write_draft<T>(
        &mut self,
        mode: Mode,
        prepare: impl FnOnce(&mut Draft, &Store, &mut IdSource) -> Result<T, OpError>,
    ) -> Result<T, OpError> {
        let mut draft = Draft::new(mode, self.now.wall, &self.budget);
        match prepared(&mut draft, (&self.store, &mut self.ids), prepare) {
            Ok((value, set)) => {
                self.commit(set);
                Ok(value)
            }
            Err(error) => {
                if mode == Mode::Single {
                    self.commit(draft.abandon());
                }
                Err(error)
            }
        }
    }

    /// What a handler has written.
    pub(super) fn commit_written(&mut self, written: Written) -> Result<(), OpError> {
        self.commit(written.set);
        written.refused.map_or(Ok(()), |error| Err(*error))
    }

    /// What an answer is taken from, and how long it may be.
    pub(super) fn asking(&self) -> (&Budget, usize) {
        (&self.budget, self.views.text_bytes())
    }

    /// Scope `reading`.
    pub(super) fn reading(&mut self, conn: ConnId) -> Reading<'_> {
        Reading {
            store: &self.store,
            views: &self.views,
            budget: &self.budget,
            rights: rights!(self, conn),
        }
    }

    /// Scope `writing`.
    pub(super) fn writing(&mut self, conn: ConnId) -> Writing<'_> {
        Writing {
            store: &self.store,
            budget: &self.budget,
            text_bytes: self.views.text_bytes(),
            rights: rights!(self, conn),
            ids: &mut self.ids,
            wall: self.now.wall,
        }
    }

    /// Scope `users`.
    pub(super) fn users(&self, conn: ConnId) -> Users<'_> {
        users!(self, conn)
    }

    /// Scope `managing`.
    pub(super) fn managing(&mut self, conn: ConnId) -> Managing<'_> {
        Managing { users: users!(self, conn), ids: &mut self.ids, budget: &self.budget }
    }

    /// Scope `defining`.
    pub(super) fn defining(&mut self, conn: ConnId) -> Defining<'_> {
        Defining {
            conn,
            conns: &self.conns,
            mode: &mut self.sessions.mode,
            views: &mut self.views,
            procedures: &mut self.procedures,
            budget: &self.budget,
            wall: self.now.wall,
            store: &mut self.store,
            logic: self.logic.as_deref_mut(),
            orphans: &mut self.orphans,
            log: &mut self.log,
        }
    }

    /// Scope `deriving`.
    pub(super) fn deriving(&mut self, conn: ConnId) -> Deriving<'_> {
        Deriving {
            logic: self.logic.as_deref(),
            orphans: &self.orphans,
            users: users!(self, conn),
            store: &self.store,
            budget: &self.budget,
            rights: rights!(self, conn),
            wall: self.now.wall,
        }
    }

    /// Scope `knowing`.
    pub(super) fn knowing(&self, _: ConnId) -> Knowing<'_> {
        Knowing { rules: self.rule_engine(), budget: &self.budget }
    }

    /// Scope `looking`: everything, changing nothing.
    pub(super) fn looking(&self, _: ConnId) -> &Engine {
        self
    }

    /// Scope `whole`: everything. ARCHITECTURE.md says of each row that has it, why.
    pub(super) fn whole(&mut self, _: ConnId) -> &mut Engine {
        self
    }
}

#[cfg(test)]
mod tests {
    /// Names between quotes or backticks, on the lines that are asked for.
    fn names(text: &str, quote: char, is_asked: impl Fn(&str) -> bool) -> Vec<&str> {
        let lines = text.lines().filter(|line| is_asked(line));
        let mut names: Vec<&str> = lines
            .flat_map(|line| line.split(quote).skip(1).step_by(2))
            .filter(|name| name.contains('.'))
            .collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn who_is_given_everything_has_a_reason() {
        let table = include_str!("../protocol/operation.rs");
        let rows = names(table, '"', |line| line.contains("=> whole "));
        let reasons = include_str!("../../ARCHITECTURE.md");
        let (_, reasons) = reasons.split_once("`whole` is for").unwrap();
        let (reasons, _) = reasons.split_once("\n## ").unwrap();
        let reasons = names(reasons, '`', |line| line.starts_with("- "));
        assert!(rows.contains(&"store.subscribe"));
        // Of `Bucket("a.b")` only the first name is the operation's.
        let rows: Vec<&str> = rows
            .into_iter()
            .filter(|row| crate::protocol::Operation::from_name(row).is_some())
            .collect();
        assert_eq!(rows, reasons);
    }
}
