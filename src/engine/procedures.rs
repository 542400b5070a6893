//! What the steps of a procedure do to records, facts and events.
//!
//! A transactional call works on one draft and keeps facts and events back
//! until it is committed; any other commits step by step.

mod steps;

use std::collections::HashMap;

use self::steps::key_of;
use super::Engine;
use super::introspection::Author;
use super::many::{Given, Kind as ManyKind, Many};
use crate::app::ConnId;
use crate::json::{Json, Object, parse};
use crate::procedures::{
    Action, Call, Caller, Definition, Host, Outcome, Scope, StepError, json_of, members_of,
};
use crate::protocol::bounds::check_topic;
use crate::protocol::{ErrorCode, OpError};
use crate::query::AdHoc;
use crate::rules::NewEvent;
use crate::store::filter::Term;
use crate::store::rows::{Bound, Sight};
use crate::store::{
    Apply, Bucket, BucketId, Draft, Expect, Filter, Lookup, Mode, Row, Store, Writer,
};

/// Microseconds on a clock that only goes forward. Without one no call is ever
/// late: a replay has the same outcome.
pub type Stopwatch = fn() -> u64;

/// What a transaction does to rules when it is committed.
enum Deferred {
    Fact(String, Json),
    Event(String, Object),
}

/// The steps that see each other before the world does.
struct Transaction {
    draft: Draft,
    deferred: Vec<Deferred>,
    /// Facts as this call sees them.
    facts: HashMap<String, Json>,
}

struct Running<'e> {
    engine: &'e mut Engine,
    transaction: Option<Transaction>,
    /// On the stopwatch.
    deadline: Option<u64>,
    /// Whose row rules apply; `None`: nobody's.
    caller: Option<ConnId>,
    /// What the caller sees of the bucket of the current step; `None`: everything.
    sight: Option<Sight>,
    /// For whom it writes: the caller's records, and those of others.
    writer: Option<Writer>,
}

impl Engine {
    /// Runs a procedure for a connection, and writes the answer. That comes before
    /// the commit of a transaction: an answer that is too long undoes it.
    pub(super) fn run_procedure(
        &mut self,
        conn: ConnId,
        definition: &Definition,
        input: Json,
        out: &mut Vec<u8>,
    ) -> Result<(), OpError> {
        let author =
            std::mem::replace(&mut self.current.author, Author::Procedure(definition.name.clone()));
        let result = self.run_steps_of(conn, definition, input, out);
        self.current.author = author;
        result
    }

    fn run_steps_of(
        &mut self,
        conn: ConnId,
        definition: &Definition,
        input: Json,
        out: &mut Vec<u8>,
    ) -> Result<(), OpError> {
        let (user_id, roles) = match self.principal(conn) {
            Some((user, roles)) => (Some(user), roles.to_vec()),
            None => (None, Vec::new()),
        };
        let caller = Caller { user_id, roles };
        let timeout = definition.timeout_ms.unwrap_or(self.procedure_timeout());
        let deadline = self.options.stopwatch.map(|now| {
            // A float beyond the range saturates: such a call is never late.
            now().saturating_add((timeout * 1000.0) as u64)
        });
        let writer = self.rights(conn).writer(true);
        let transaction = definition.transaction.then(|| {
            let mut draft = Draft::new(Mode::Steps, self.now.wall, &self.budget);
            draft.set_writer(writer);
            Transaction { draft, deferred: Vec::new(), facts: HashMap::new() }
        });
        let budget = self.budget.clone();
        let call = Call { definition, input, caller: &caller, budget: &budget };
        let caller = (!definition.as_definer).then_some(conn);
        let mut running =
            Running { engine: self, transaction, deadline, caller, sight: None, writer };
        let outcome = call.run(&mut running).map_err(|error| match error {
            StepError::Late => OpError::new(
                ErrorCode::InternalError,
                format!(
                    "Procedure \"{}\" timed out after {}ms",
                    definition.name,
                    crate::json::number_text(timeout)
                ),
            ),
            // The whole request has failed, not this step.
            StepError::Failed { error, .. } if budget.is_over() => error,
            StepError::Failed { path, action, error } => located(&path, &action, error),
        })?;
        write_outcome(outcome, out);
        budget.reply(out.len() + 1)?;
        match running.transaction.take() {
            Some(transaction) => running.engine.commit_procedure(transaction),
            None => Ok(()),
        }
    }

    fn commit_procedure(&mut self, transaction: Transaction) -> Result<(), OpError> {
        let Transaction { mut draft, deferred, .. } = transaction;
        let set = draft.finish(&self.store)?;
        self.commit(set);
        for deferred in deferred {
            match deferred {
                Deferred::Fact(key, value) => {
                    self.set_fact(&key, &value);
                }
                Deferred::Event(topic, data) => {
                    let new = NewEvent::new(&topic, data);
                    self.with_rules(|core, cx| core.emit(new, cx));
                }
            }
        }
        Ok(())
    }
}

/// `{"success":true,"result"?,"results"}`
fn write_outcome(outcome: Outcome, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"success\":true");
    if let Some(result) = outcome.result {
        out.extend_from_slice(b",\"result\":");
        result.write(out);
    }
    out.extend_from_slice(b",\"results\":");
    Json::Object(outcome.results).write(out);
    out.push(b'}');
}

/// The error of a step, with where it stands.
fn located(path: &str, action: &str, error: OpError) -> OpError {
    let mut details: Object =
        [("step", Json::from(path)), ("action", Json::from(action))].into_iter().collect();
    if let Some(cause) = &error.details {
        details.insert("cause", (**cause).clone());
    }
    error.with_details(Json::Object(details))
}

/// A member of a step with its templates resolved.
fn filled(action: &Action, scope: &mut Scope, name: &str) -> Result<Option<Term>, OpError> {
    match action.step.get(name) {
        Some(value) => Ok(Some(scope.fill(value)?)),
        None => Ok(None),
    }
}

/// Which action on several records a name means.
fn many_kind(name: &str) -> Option<ManyKind> {
    name.strip_prefix("store.").and_then(ManyKind::from_name)
}

/// The member `apply`.
fn applied(action: &Action, scope: &mut Scope) -> Result<Apply, OpError> {
    Apply::parse(filled(action, scope, "apply")?.as_ref().and_then(json_of).as_ref())
}

/// The member `expect`; what its templates leave undefined must be absent.
fn expected(action: &Action, scope: &mut Scope) -> Result<Option<Expect>, OpError> {
    filled(action, scope, "expect")?.map(|term| Expect::of_members(members_of(term))).transpose()
}

impl Host for Running<'_> {
    fn act(&mut self, action: &Action, scope: &mut Scope) -> Result<Json, OpError> {
        match &*action.name {
            "rules.emit" | "rules.setFact" | "rules.getFact" => self.act_on_rules(action, scope),
            _ => self.act_on_store(action, scope),
        }
    }

    fn is_late(&mut self) -> bool {
        match (self.deadline, self.engine.options.stopwatch) {
            (Some(deadline), Some(now)) => now() >= deadline,
            _ => false,
        }
    }
}

impl Running<'_> {
    fn act_on_store(&mut self, action: &Action, scope: &mut Scope) -> Result<Json, OpError> {
        // Names that came over the wire were looked at when it was registered;
        // what is a system bucket depends on the mode of this start.
        self.engine.refuse_system_bucket(&action.bucket)?;
        let bucket = self.engine.store.require(&action.bucket)?.id();
        self.sight = match self.caller {
            Some(conn) => self.engine.rights(conn).sight([bucket])?,
            None => None,
        };
        if let Some(Transaction { draft, .. }) = &mut self.transaction {
            draft.set_sight(self.sight.clone());
        }
        match &*action.name {
            "store.get" => {
                let key = key_of(action, scope)?;
                Ok(self.record(bucket, &key)?.map_or(Json::Null, |row| row.to_json()))
            }
            "store.where" => {
                let rows = self.matching(bucket, action, scope, usize::MAX)?;
                rows_json(rows, scope)
            }
            "store.findOne" => {
                let rows = self.matching(bucket, action, scope, 1)?;
                Ok(rows.first().map_or(Json::Null, |row| row.to_json()))
            }
            "store.count" => self.count(bucket, action, scope),
            "store.find" => self.find(bucket, action, scope),
            "store.insert" => self.insert_step(bucket, action, scope),
            "store.update" => self.update_step(bucket, action, scope),
            "store.delete" => self.delete_step(bucket, action, scope),
            name if many_kind(name).is_some() => self.act_on_many(bucket, action, scope),
            name => Err(OpError::new(
                ErrorCode::UnknownOperation,
                format!("Unknown store operation \"{name}\""),
            )),
        }
    }

    fn act_on_many(
        &mut self,
        bucket: BucketId,
        action: &Action,
        scope: &mut Scope,
    ) -> Result<Json, OpError> {
        let kind = many_kind(&action.name).ok_or_else(OpError::internal)?;
        let mut members = Object::new();
        let names = ["data", "apply", "onInsert", "detail", "onConflict", "answer", "limit"];
        for name in names {
            let value = filled(action, scope, name)?.as_ref().and_then(json_of);
            value.map(|value| members.insert(name, value));
        }
        let member = |name: &str| members.get(name).filter(|value| !value.is_null()).cloned();
        let given = Given::of_json(members.get("data"));
        let many = Many::parse(kind, given, || Ok(()), &member)?;
        let filter = match kind.is_filtered() {
            true => Some(self.filter(bucket, action, scope)?),
            false => None,
        };
        let budget = self.engine.budget.clone();
        let place = (bucket, filter.as_ref());
        let written = self.write(kind.mode(), |draft, store, ids| {
            many.run(draft, (store, ids), place, (&budget, 0))
        })?;
        Ok(written.into_json())
    }

    /// A write in the transaction, or else of its own, with the rights of the step.
    fn write<T>(
        &mut self,
        mode: Mode,
        prepare: impl FnOnce(&mut Draft, &Store, &mut crate::ids::IdSource) -> Result<T, OpError>,
    ) -> Result<T, OpError> {
        if let Some(Transaction { draft, .. }) = &mut self.transaction {
            let Engine { store, ids, .. } = &mut *self.engine;
            return prepare(draft, store, ids);
        }
        let (sight, writer) = (self.sight.clone(), self.writer);
        self.engine.write_draft(mode, |draft, store, ids| {
            draft.set_sight(sight);
            draft.set_writer(writer);
            prepare(draft, store, ids)
        })
    }

    /// What the step may read of its bucket.
    fn read(&self, id: BucketId) -> Result<Bound, OpError> {
        let bucket = self.bucket(id)?;
        let rules = self.sight.as_ref().and_then(|sight| sight.of(bucket));
        Ok(rules.map_or(Bound::All, |rules| rules.read.clone()))
    }

    fn bucket(&self, id: BucketId) -> Result<&Bucket, OpError> {
        // Looked up in the same step.
        self.engine.store.bucket(id).ok_or_else(OpError::internal)
    }

    fn record(&self, bucket: BucketId, key: &Lookup) -> Result<Option<Row>, OpError> {
        let budget = &self.engine.budget;
        budget.spend(1)?;
        Ok(match &self.transaction {
            Some(Transaction { draft, .. }) => draft.get(&self.engine.store, bucket, key),
            None => {
                let found = key.key().and_then(|key| self.bucket(bucket).ok()?.get(key));
                let read = self.read(bucket)?;
                found.filter(|row| read.allows(row, budget)).cloned()
            }
        })
    }

    fn filter(
        &self,
        bucket: BucketId,
        action: &Action,
        scope: &mut Scope,
    ) -> Result<Filter, OpError> {
        let term = filled(action, scope, "filter")?.unwrap_or(Term::Object(Vec::new()));
        let filter = Filter::from_term(self.bucket(bucket)?.layout(), &term)?;
        Ok(self.read(bucket)?.narrow(filter))
    }

    fn matching(
        &self,
        bucket: BucketId,
        action: &Action,
        scope: &mut Scope,
        limit: usize,
    ) -> Result<Vec<Row>, OpError> {
        let filter = self.filter(bucket, action, scope)?;
        let store = &self.engine.store;
        let rows = match &self.transaction {
            Some(Transaction { draft, .. }) if draft.has_touched(bucket) => {
                draft.find(store, bucket, Some(&filter), limit)
            }
            _ => {
                let rows = self.bucket(bucket)?.select(Some(&filter), &self.engine.budget);
                rows.map(|(_, row)| row.clone()).take(limit).collect()
            }
        };
        // Rows that a walk cut short has not found are none.
        self.engine.budget.check()?;
        Ok(rows)
    }

    fn find(&self, id: BucketId, action: &Action, scope: &mut Scope) -> Result<Json, OpError> {
        let mut members = Object::new();
        for name in ["filter", "sort", "limit", "offset", "fields", "aggregate"] {
            let value = filled(action, scope, name)?.as_ref().and_then(json_of);
            value.map(|value| members.insert(name, value));
        }
        let query = AdHoc::parse(|name| members.get(name).cloned())?;
        let (bucket, asking, read) = (self.bucket(id)?, self.engine.asking(), self.read(id)?);
        let mut text = Vec::new();
        match &self.transaction {
            Some(Transaction { draft, .. }) if draft.has_touched(id) => {
                query.answer_in(draft, (&self.engine.store, bucket), asking, &mut text)?;
            }
            _ => query.answer(bucket, read.filter(), asking, &mut text)?,
        }
        let text = std::str::from_utf8(&text).map_err(|_| OpError::internal())?;
        let answer = parse(text, u32::MAX).map_err(|_| OpError::internal())?;
        Ok(answer.to_json())
    }

    fn count(&self, id: BucketId, action: &Action, scope: &mut Scope) -> Result<Json, OpError> {
        let bucket = self.bucket(id)?;
        let store = &self.engine.store;
        let filter = self.filter(id, action, scope)?;
        let count = match &self.transaction {
            Some(Transaction { draft, .. }) if filter.is_empty() => draft.len(store, id),
            Some(Transaction { draft, .. }) => draft.count(store, id, &filter),
            None if filter.is_empty() => bucket.visible_len(&self.engine.budget),
            None => bucket.select(Some(&filter), &self.engine.budget).count(),
        };
        self.engine.budget.check()?;
        Ok(Json::Number(count as f64))
    }

    fn act_on_rules(&mut self, action: &Action, scope: &mut Scope) -> Result<Json, OpError> {
        let name = &*action.name;
        if self.engine.rule_engine().is_none() {
            let text = format!("{name}: rule engine is not configured");
            return Err(OpError::new(ErrorCode::RulesNotAvailable, text));
        }
        let (member, separator) = if name == "rules.emit" { ("topic", '.') } else { ("key", ':') };
        let text = filled(action, scope, member)?.as_ref().and_then(json_of);
        let text = text.as_ref().and_then(Json::as_str).filter(|text| !text.is_empty());
        let text = text.ok_or_else(|| {
            let text = format!("{name}: \"{member}\" must resolve to a non-empty string");
            OpError::validation(text)
        })?;
        check_topic(member, text, separator)?;
        match name {
            "rules.emit" => {
                let data = filled(action, scope, "data")?.as_ref().and_then(json_of);
                let data = data.as_ref().and_then(Json::as_object).cloned().unwrap_or_default();
                match &mut self.transaction {
                    Some(Transaction { deferred, .. }) => {
                        deferred.push(Deferred::Event(text.to_owned(), data));
                    }
                    None => {
                        let new = NewEvent::new(text, data);
                        self.engine.with_rules(|core, cx| core.emit(new, cx));
                    }
                }
                Ok(Json::Null)
            }
            "rules.setFact" => {
                let value = filled(action, scope, "value")?.as_ref().and_then(json_of);
                let value = value.unwrap_or_default();
                match &mut self.transaction {
                    Some(Transaction { deferred, facts, .. }) => {
                        facts.insert(text.to_owned(), value.clone());
                        deferred.push(Deferred::Fact(text.to_owned(), value));
                    }
                    None => {
                        self.engine.set_fact(text, &value);
                    }
                }
                Ok(Json::Null)
            }
            _ => {
                let own = self.transaction.as_ref().and_then(|own| own.facts.get(text));
                let stored = || self.engine.rule_engine()?.fact(text)?.value();
                Ok(own.cloned().or_else(stored).unwrap_or_default())
            }
        }
    }
}

/// Records as JSON; paid for before they are copied.
fn rows_json(rows: Vec<Row>, scope: &Scope) -> Result<Json, OpError> {
    let mut bytes = 0usize;
    let mut records = Vec::with_capacity(rows.len());
    for row in rows {
        bytes = bytes.saturating_add(row.memory());
        scope.budget().reply(bytes)?;
        records.push(row.to_json());
    }
    Ok(Json::Array(records))
}
