//! Queries in the code of the program that the server is a part of.
//!
//! A [`Query`] is run again whenever something that it read may have changed; an
//! [`IncrementalQuery`] is told what changed and follows by itself. Both share
//! the namespace, the subscriptions and the pushes of declarative queries.

mod cx;
mod state;

use std::any::Any;

use serde_json::Value;

pub(crate) use cx::Dependencies;
pub use cx::{Group, Page, QueryBucket, QueryCx};
pub(crate) use state::ProgramView;

use crate::protocol::OpError;
use crate::store;

/// A query written in Rust. Pure and read-only: what it returns depends on the
/// parameters and on what it reads through the context, and on nothing else.
///
/// It runs on the thread of the server, inside the turn of the commit: until it
/// returns, nobody is served. A panic is caught and counts as an error.
///
/// Closures are queries:
///
/// ```
/// use noexd::Server;
/// use noexd::hooks::query::QueryCx;
/// use serde_json::{Value, json};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let server = Server::builder()
///     .port(0)
///     .bucket("orders", json!({"key": "id", "schema": {"id": {"type": "number"}}}))
///     .program_query("open-orders", |cx: &QueryCx<'_>, params: Option<&Value>| {
///         let customer = params.and_then(|params| params.get("customer"));
///         let orders = cx.bucket("orders")?;
///         let open = orders.filter(&json!({"state": "open", "customer": customer}))?;
///         Ok(Some(json!({"count": open.len(), "newest": open.last()})))
///     })
///     .build()?;
/// # Ok(())
/// # }
/// ```
pub trait Query: Send + Sync {
    /// `Ok(None)` is "undefined": responses and pushes then have no `data`.
    ///
    /// # Errors
    ///
    /// What is answered to a subscribe. Later, when the query is run again, an
    /// error is logged and counted, and subscribers keep the last result.
    fn run(&self, cx: &QueryCx<'_>, params: Option<&Value>) -> Result<Option<Value>, OpError>;
}

impl<F> Query for F
where
    F: Fn(&QueryCx<'_>, Option<&Value>) -> Result<Option<Value>, OpError> + Send + Sync,
{
    fn run(&self, cx: &QueryCx<'_>, params: Option<&Value>) -> Result<Option<Value>, OpError> {
        self(cx, params)
    }
}

/// A query that follows the data at the cost of the change.
pub trait IncrementalQuery: Send + Sync {
    /// What is kept for one set of parameters.
    type State: Send + 'static;

    /// Reads everything once. Changes of whatever is read here through the
    /// context are what [`IncrementalQuery::apply`] will be told.
    ///
    /// # Errors
    ///
    /// As [`Query::run`].
    fn init(&self, cx: &QueryCx<'_>, params: Option<&Value>) -> Result<Self::State, OpError>;

    /// Follows one commit.
    fn apply(&self, state: &mut Self::State, changes: &[RecordChange<'_>]) -> Effect;

    /// The result of a state; `None` is "undefined".
    fn result(&self, state: &Self::State) -> Option<Value>;
}

/// What a commit did to the state of an [`IncrementalQuery`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The result is as it was.
    Unchanged,
    /// The result may be another one.
    Changed,
    /// The state cannot follow: initialise it anew.
    Rerun,
}

/// The net change of one record in one commit.
#[derive(Clone, Copy, Debug)]
pub struct RecordChange<'c> {
    bucket: &'c str,
    change: &'c store::Change,
}

impl<'c> RecordChange<'c> {
    /// The name of the bucket.
    pub fn bucket(&self) -> &'c str {
        self.bucket
    }

    /// The primary key.
    pub fn key(&self) -> Value {
        Value::from(&self.change.key.to_json())
    }

    /// The record before; `None`: it was inserted.
    pub fn before(&self) -> Option<Value> {
        self.change.old.as_ref().map(value_of)
    }

    /// The record after; `None`: it was deleted.
    pub fn after(&self) -> Option<Value> {
        self.change.new.as_ref().map(value_of)
    }

    /// One field of the record before, without decoding the others.
    pub fn field_before(&self, name: &str) -> Option<Value> {
        let value = self.change.old.as_ref()?.raw().get(name)?;
        Some(Value::from(&value.to_json()))
    }

    /// One field of the record after, without decoding the others.
    pub fn field_after(&self, name: &str) -> Option<Value> {
        let value = self.change.new.as_ref()?.raw().get(name)?;
        Some(Value::from(&value.to_json()))
    }
}

fn value_of(row: &store::Row) -> Value {
    Value::from(&row.to_json())
}

/// Either kind, without its types.
pub(crate) trait Program: Send + Sync {
    fn start(&self, cx: &QueryCx<'_>, params: Option<&Value>) -> Result<Started, OpError>;
    fn apply(&self, state: &mut (dyn Any + Send), changes: &[RecordChange<'_>]) -> Effect;
    /// Only for a state that was kept.
    fn result(&self, state: &(dyn Any + Send)) -> Option<Value>;
}

/// What a run gave: a result, and what is kept to follow the data.
pub(crate) struct Started {
    pub result: Option<Value>,
    pub state: Option<Box<dyn Any + Send>>,
}

pub(crate) struct Plain<Q>(pub Q);

impl<Q: Query> Program for Plain<Q> {
    fn start(&self, cx: &QueryCx<'_>, params: Option<&Value>) -> Result<Started, OpError> {
        Ok(Started { result: self.0.run(cx, params)?, state: None })
    }

    fn apply(&self, _state: &mut (dyn Any + Send), _changes: &[RecordChange<'_>]) -> Effect {
        Effect::Rerun
    }

    fn result(&self, _state: &(dyn Any + Send)) -> Option<Value> {
        None
    }
}

pub(crate) struct Incremental<Q>(pub Q);

impl<Q: IncrementalQuery> Program for Incremental<Q> {
    fn start(&self, cx: &QueryCx<'_>, params: Option<&Value>) -> Result<Started, OpError> {
        let state = self.0.init(cx, params)?;
        Ok(Started { result: self.0.result(&state), state: Some(Box::new(state)) })
    }

    fn apply(&self, state: &mut (dyn Any + Send), changes: &[RecordChange<'_>]) -> Effect {
        match state.downcast_mut() {
            Some(state) => self.0.apply(state, changes),
            None => Effect::Rerun,
        }
    }

    fn result(&self, state: &(dyn Any + Send)) -> Option<Value> {
        state.downcast_ref().and_then(|state| self.0.result(state))
    }
}
