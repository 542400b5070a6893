//! What a program's query reads, and the record of what it has read.

use std::cell::RefCell;
use std::collections::HashSet;
use std::rc::Rc;

use serde_json::Value;

use super::super::definition::Definition;
use super::super::params::Params;
use super::super::plan::{Evaluated, Plan};
use super::value_of;
use crate::access::Session;
use crate::budget::Budget;
use crate::json::{Json, Object};
use crate::protocol::OpError;
use crate::store::rows::{Bound, Principal};
use crate::store::{Aggregate, Bucket, BucketId, Filter, Key, Lookup, Row, Store};

/// What a result depends on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Dependencies {
    /// Any change in these.
    pub buckets: HashSet<BucketId>,
    /// Changes of exactly these records, whether they exist or not.
    pub records: HashSet<(BucketId, Key)>,
}

impl Dependencies {
    /// Every bucket that was read from.
    pub fn all_buckets(&self) -> HashSet<BucketId> {
        let of_records = self.records.iter().map(|(bucket, _)| *bucket);
        self.buckets.iter().copied().chain(of_records).collect()
    }
}

/// The data as the current commit has left it: everything, unless
/// [`QueryCx::rows_of`] somebody is asked for.
///
/// What is read counts as what a request reads does (`limits.requestSteps`): a
/// first result that costs more is refused to who subscribes, whatever the query
/// then returns, and a query that costs more than `limits.viewSteps` for one
/// commit follows later ones at intervals.
#[derive(Debug)]
pub struct QueryCx<'s> {
    store: &'s Store,
    read: Rc<RefCell<Dependencies>>,
    /// Whose row rules hold.
    whose: Option<Session>,
    /// When it is used up, everything that is read ends early, and the result is
    /// not used.
    budget: Budget,
}

impl<'s> QueryCx<'s> {
    pub(crate) fn new(store: &'s Store, budget: &Budget) -> Self {
        QueryCx { store, read: Rc::default(), whose: None, budget: budget.clone() }
    }

    pub(crate) fn into_dependencies(self) -> Dependencies {
        self.read.take()
    }

    /// The same data, of which only the records that the `read` rules of their
    /// buckets show to this user are there, with his roles, metadata and sets. A
    /// query has no user of its own: those who subscribe with equal parameters
    /// share one result, so whose rows they are comes from the parameters or from
    /// what the program knows.
    ///
    /// ```
    /// use noexd::hooks::access::Session;
    /// use noexd::hooks::query::QueryCx;
    /// use serde_json::{Value, json};
    ///
    /// let unread = |cx: &QueryCx<'_>, params: Option<&Value>| {
    ///     let user = params.and_then(|params| params["user"].as_str()).unwrap_or_default();
    ///     let his = cx.rows_of(&Session::new(user, vec!["reader".into()]));
    ///     let count = his.bucket("messages")?.count(Some(&json!({"read": false})))?;
    ///     Ok(Some(json!(count)))
    /// };
    /// let server = noexd::Server::builder().port(0).program_query("unread", unread);
    /// # drop(server);
    /// ```
    #[must_use]
    pub fn rows_of(&self, session: &Session) -> QueryCx<'s> {
        QueryCx {
            store: self.store,
            read: Rc::clone(&self.read),
            whose: Some(session.clone()),
            budget: self.budget.clone(),
        }
    }

    /// A bucket to read from.
    ///
    /// # Errors
    ///
    /// `Bucket "{name}" is not defined`; with row rules also of a set that cannot
    /// be used.
    pub fn bucket(&self, name: &str) -> Result<QueryBucket<'_>, OpError> {
        let bucket = self.store.require(name)?;
        let shown = match &self.whose {
            None => Bound::All,
            Some(session) => self.shown_to(session, bucket)?,
        };
        Ok(QueryBucket { bucket, read: &self.read, shown, budget: &self.budget })
    }

    /// What somebody may read of a bucket. The result depends on the buckets of
    /// the sets that decide it.
    fn shown_to(&self, session: &Session, bucket: &Bucket) -> Result<Bound, OpError> {
        let Some(rules) = &bucket.definition().rows else { return Ok(Bound::All) };
        if rules.bypassed_by(&session.roles).is_some() {
            return Ok(Bound::All);
        }
        let who = |sets| Principal {
            user_id: Some(&*session.user_id),
            roles: &session.roles,
            metadata: session.metadata.as_deref(),
            // `read` cannot use it.
            now: 0.0,
            sets,
        };
        let values = |name: &str| {
            let set = self.store.set(name).ok_or_else(OpError::internal)?;
            let without = who(&|_| Err(OpError::internal()));
            let (from, values) = set.read(self.store, name, &without, &self.budget)?;
            self.read.borrow_mut().buckets.insert(from);
            Ok(values)
        };
        Ok(rules.bind(bucket.layout(), bucket.key_field(), &who(&values))?.read)
    }
}

/// One bucket, read-only. What the methods mean is what the operations of the
/// same names mean.
#[derive(Clone, Debug)]
pub struct QueryBucket<'c> {
    bucket: &'c Bucket,
    read: &'c RefCell<Dependencies>,
    shown: Bound,
    budget: &'c Budget,
}

/// A page of [`QueryBucket::paginate`].
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// In the order of their keys.
    pub records: Vec<Value>,
    /// More records follow.
    pub has_more: bool,
    /// The key of the last record; `None` on an empty page.
    pub next_cursor: Option<Value>,
}

/// A group of [`QueryBucket::group_by`].
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// The values that the first record of the group has in the fields.
    pub key: Value,
    /// What was computed of its records.
    pub value: f64,
}

impl<'c> QueryBucket<'c> {
    fn all_of_it(&self) -> &'c Bucket {
        self.read.borrow_mut().buckets.insert(self.bucket.id());
        self.bucket
    }

    fn value(&self, row: &Row) -> Value {
        // Whoever has spent too much is told so when the query has ended.
        let _ = self.budget.spend_bytes(row.memory());
        value_of(row)
    }

    fn compile(&self, filter: &Value) -> Result<Filter, OpError> {
        let filter = Filter::from_json(self.bucket.layout(), &Json::from(filter.clone()))?;
        Ok(self.shown.narrow(filter))
    }

    /// A filter of those that are there; `None`: every record.
    fn filter_or_seen(&self, filter: Option<&Value>) -> Result<Option<Filter>, OpError> {
        match filter {
            Some(filter) => self.compile(filter).map(Some),
            None => Ok(self.seen().cloned()),
        }
    }

    /// The filter of those that are there at all; `None`: all are.
    fn seen(&self) -> Option<&Filter> {
        self.shown.filter().map(|filter| &**filter)
    }

    /// The record with a key. The result then depends on that record and not on
    /// the rest of the bucket.
    pub fn get(&self, key: &Value) -> Option<Value> {
        let key = Key::from_json(&Json::from(key.clone()))?;
        self.read.borrow_mut().records.insert((self.bucket.id(), key.clone()));
        self.budget.look().ok()?;
        let row = self.bucket.get(&key);
        row.filter(|row| self.shown.allows(row, self.budget)).map(|row| self.value(row))
    }

    /// All records in table order.
    pub fn all(&self) -> Vec<Value> {
        let bucket = self.all_of_it();
        match self.seen() {
            None => {
                let rows = bucket.iter().take_while(|_| self.budget.look().is_ok());
                rows.map(|(_, row)| self.value(row)).collect()
            }
            Some(seen) => {
                let rows = bucket.in_table_order(Some(seen), self.budget);
                rows.map(|(_, row)| self.value(row)).collect()
            }
        }
    }

    /// The records that match.
    ///
    /// # Errors
    ///
    /// `Invalid filter: {reason}`
    pub fn filter(&self, filter: &Value) -> Result<Vec<Value>, OpError> {
        let filter = self.compile(filter)?;
        let rows = self.all_of_it().select(Some(&filter), self.budget);
        Ok(rows.map(|(_, row)| self.value(row)).collect())
    }

    /// The first record that matches.
    ///
    /// # Errors
    ///
    /// As [`QueryBucket::filter`].
    pub fn find_one(&self, filter: &Value) -> Result<Option<Value>, OpError> {
        let filter = self.compile(filter)?;
        let first = self.all_of_it().select(Some(&filter), self.budget).next();
        Ok(first.map(|(_, row)| self.value(row)))
    }

    /// How many records match; without a filter, how many there are.
    ///
    /// # Errors
    ///
    /// As [`QueryBucket::filter`].
    pub fn count(&self, filter: Option<&Value>) -> Result<usize, OpError> {
        let bucket = self.all_of_it();
        let filter = self.filter_or_seen(filter)?;
        Ok(match &filter {
            None => bucket.len(),
            Some(filter) => bucket.select(Some(filter), self.budget).count(),
        })
    }

    /// The first `n` records.
    pub fn first(&self, n: usize) -> Vec<Value> {
        self.all_of_it()
            .first_shown(n, self.seen(), self.budget)
            .into_iter()
            .flatten()
            .map(|row| self.value(row))
            .collect()
    }

    /// The last `n` records, in ascending order.
    pub fn last(&self, n: usize) -> Vec<Value> {
        self.all_of_it()
            .last_shown(n, self.seen(), self.budget)
            .into_iter()
            .flatten()
            .map(|row| self.value(row))
            .collect()
    }

    /// At most `limit` records, from the first or from behind a key.
    pub fn paginate(&self, limit: usize, after: Option<&Value>) -> Page {
        let bucket = self.all_of_it();
        let wanted = limit.saturating_add(1);
        let rows = match after {
            Some(after) => {
                let after = Lookup::from(&Json::from(after.clone()));
                bucket.after_shown(&after, wanted, self.seen(), self.budget)
            }
            None => bucket.first_shown(wanted, self.seen(), self.budget),
        };
        let mut rows = rows.unwrap_or_default();
        let has_more = rows.len() > limit;
        rows.truncate(limit);
        let last = rows.last().map(|row| Value::from(&bucket.key_of(row).to_json()));
        Page {
            records: rows.into_iter().map(|row| self.value(row)).collect(),
            has_more,
            next_cursor: last,
        }
    }

    fn aggregate(
        &self,
        function: Aggregate,
        field: &str,
        filter: Option<&Value>,
    ) -> Result<Option<f64>, OpError> {
        let bucket = self.all_of_it();
        let filter = self.filter_or_seen(filter)?;
        let rows = bucket.select(filter.as_ref(), self.budget).rows();
        Ok(function.over(rows, &bucket.layout().field(field)))
    }

    /// The sum of the numbers in a field; 0 of none.
    ///
    /// # Errors
    ///
    /// As [`QueryBucket::filter`].
    pub fn sum(&self, field: &str, filter: Option<&Value>) -> Result<f64, OpError> {
        Ok(self.aggregate(Aggregate::Sum, field, filter)?.unwrap_or(0.0))
    }

    /// The mean of the numbers in a field; 0 of none.
    ///
    /// # Errors
    ///
    /// As [`QueryBucket::filter`].
    pub fn avg(&self, field: &str, filter: Option<&Value>) -> Result<f64, OpError> {
        Ok(self.aggregate(Aggregate::Avg, field, filter)?.unwrap_or(0.0))
    }

    /// The least number in a field.
    ///
    /// # Errors
    ///
    /// As [`QueryBucket::filter`].
    pub fn min(&self, field: &str, filter: Option<&Value>) -> Result<Option<f64>, OpError> {
        self.aggregate(Aggregate::Min, field, filter)
    }

    /// The greatest number in a field.
    ///
    /// # Errors
    ///
    /// As [`QueryBucket::filter`].
    pub fn max(&self, field: &str, filter: Option<&Value>) -> Result<Option<f64>, OpError> {
        self.aggregate(Aggregate::Max, field, filter)
    }

    /// Groups of the records that match, in the order of their first records.
    /// `function`: `count`, `sum`, `avg`, `min` or `max`, the last two 0 where
    /// a group has no number; `field`: of which, not needed to count.
    ///
    /// # Errors
    ///
    /// An unknown function, a missing field, or as [`QueryBucket::filter`].
    pub fn group_by(
        &self,
        fields: &[&str],
        function: &str,
        field: Option<&str>,
        filter: Option<&Value>,
    ) -> Result<Vec<Group>, OpError> {
        let bucket = self.all_of_it();
        let names = fields.iter().map(|name| Json::from(*name)).collect();
        let mut aggregate = Object::new();
        aggregate.insert("function", Json::from(function));
        aggregate.insert("groupBy", Json::Array(names));
        if let Some(field) = field {
            aggregate.insert("field", Json::from(field));
        }
        let mut config = Object::new();
        config.insert("aggregate", Json::Object(aggregate));
        let invalid = |reason: String| OpError::validation(format!("Invalid group: {reason}"));
        let definition = Definition::parse(&Json::Object(config)).map_err(invalid)?;
        // As the reading restriction and not as the filter of the definition,
        // in which strings could be placeholders.
        let filter = filter.map(|filter| Json::from(filter.clone()));
        let filter = match (filter, self.shown.json()) {
            (Some(filter), Some(seen)) => {
                let both = Json::Array(vec![filter, (**seen).clone()]);
                Some(Json::Object([("$and", both)].into_iter().collect()))
            }
            (filter, seen) => filter.or_else(|| seen.map(|seen| (**seen).clone())),
        };
        let plan =
            Plan::new(bucket, &definition, &Params::default(), filter.as_ref(), self.budget)?;
        let Evaluated::List(groups) = plan.evaluate(bucket) else { return Ok(Vec::new()) };
        let mut texts = Vec::new();
        super::super::list::write_list(groups.iter(), &plan.projection, &mut texts);
        let read: Vec<Value> = serde_json::from_slice(&texts).unwrap_or_default();
        let group = |mut group: Value| Group {
            key: group.get_mut("key").map(Value::take).unwrap_or_default(),
            value: group.get("value").and_then(Value::as_f64).unwrap_or(f64::NAN),
        };
        Ok(read.into_iter().map(group).collect())
    }
}
