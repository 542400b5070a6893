//! Queries and writes of many records for programs, without the text of
//! requests.

use serde_json::{Map, Value, json};

use super::handle::{CallError, Handle, LocalClient, response_data};
use super::local::Closed;
use crate::json::{Json, Object};

/// A question to one bucket: what `store.find` answers once and `store.live`
/// keeps answering. Filters are those of the protocol.
///
/// ```
/// use noexd::server::Ask;
/// use serde_json::json;
///
/// let newest = Ask::of("messages")
///     .filter(json!({"room": "hall", "at": {"$gt": 5}}))
///     .descending("at")
///     .limit(20)
///     .fields(["author", "text"]);
/// assert!(newest.to_text().ends_with(r#""sort":{"at":"desc"}}"#));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Ask {
    members: Map<String, Value>,
    /// Apart, because the order of its members counts.
    sort: Object,
}

impl Ask {
    /// Everything in a bucket, in the order of its table.
    pub fn of(bucket: impl Into<String>) -> Self {
        let mut members = Map::new();
        members.insert("bucket".into(), Value::String(bucket.into()));
        Ask { members, sort: Object::new() }
    }

    fn with(mut self, name: &str, value: Value) -> Self {
        self.members.insert(name.into(), value);
        self
    }

    /// Only the records that match. A second filter takes the place of the
    /// first.
    #[must_use]
    pub fn filter(self, filter: Value) -> Self {
        self.with("filter", filter)
    }

    /// In the order of a field, behind that of the fields given before.
    #[must_use]
    pub fn ascending(self, field: impl Into<String>) -> Self {
        self.sorted(field.into(), "asc")
    }

    /// In the opposite order of a field, behind that of the fields given before.
    #[must_use]
    pub fn descending(self, field: impl Into<String>) -> Self {
        self.sorted(field.into(), "desc")
    }

    fn sorted(mut self, field: String, direction: &str) -> Self {
        self.sort.insert(field, Json::from(direction));
        self
    }

    /// At most that many records.
    #[must_use]
    pub fn limit(self, limit: u32) -> Self {
        self.with("limit", limit.into())
    }

    /// Without that many at the beginning.
    #[must_use]
    pub fn offset(self, offset: u32) -> Self {
        self.with("offset", offset.into())
    }

    /// Only these fields of each record.
    #[must_use]
    pub fn fields<T: Into<String>>(self, fields: impl IntoIterator<Item = T>) -> Self {
        self.with("fields", fields.into_iter().map(Into::into).collect::<Vec<String>>().into())
    }

    /// A number instead of records: `count`, or `sum`, `avg`, `min`, `max` of a
    /// field.
    #[must_use]
    pub fn aggregate(self, function: &str, field: Option<&str>) -> Self {
        let mut aggregate = json!({"function": function});
        if let Some(field) = field {
            aggregate["field"] = field.into();
        }
        self.with("aggregate", aggregate)
    }

    /// The aggregate for each combination of values of these fields.
    #[must_use]
    pub fn group_by<T: Into<String>>(mut self, fields: impl IntoIterator<Item = T>) -> Self {
        let fields: Vec<String> = fields.into_iter().map(Into::into).collect();
        let aggregate =
            self.members.entry("aggregate").or_insert_with(|| json!({"function": "count"}));
        if let Value::Object(aggregate) = aggregate {
            aggregate.insert("groupBy".into(), fields.into());
        }
        self
    }

    /// The members of the request, as JSON.
    pub fn to_text(&self) -> String {
        self.text(Map::new())
    }

    fn text(&self, mut more: Map<String, Value>) -> String {
        more.extend(self.members.clone());
        let mut members = Json::from(Value::Object(more));
        if let Json::Object(members) = &mut members
            && !self.sort.is_empty()
        {
            members.insert("sort", Json::Object(self.sort.clone()));
        }
        members.to_text()
    }

    fn request(&self, operation: &str) -> String {
        let id = [("id", Value::from(1)), ("type", operation.into())];
        self.text(id.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }
}

/// The row rules of a bucket, the member `rows` of its definition. What a
/// filter takes from whoever asks stands in templates.
///
/// ```
/// use noexd::Server;
/// use noexd::server::RowRules;
/// use serde_json::json;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let own = json!({"owner": RowRules::USER_ID});
/// let notes = json!({
///     "key": "id",
///     "schema": {"id": {"type": "string", "generated": "uuid"},
///                "owner": {"type": "string", "required": true}, "text": {"type": "string"}},
///     "rows": RowRules::new().read(own.clone()).set("owner", json!(RowRules::USER_ID))
///         .bypass(["admin"]).into_json(),
/// });
/// let server = Server::builder().host("127.0.0.1").port(0)
///     .json(&json!({"buckets": {"notes": notes}}).to_string())
///     .start()?;
/// // The program itself sees everything.
/// assert_eq!(server.delete_many("notes", json!({}))?, 0);
/// # server.stop_and_wait(std::time::Duration::ZERO)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RowRules(Map<String, Value>);

impl RowRules {
    /// The user who asks; null for nobody.
    pub const USER_ID: &str = "{{ session.userId }}";
    /// The names of the roles of who asks.
    pub const ROLES: &str = "{{ session.roles }}";

    /// The template of a set of who asks; for `$in` and `$nin`.
    pub fn set_named(name: &str) -> String {
        format!("{{{{ sets.{name} }}}}")
    }

    /// Rules that refuse nothing.
    pub fn new() -> Self {
        RowRules::default()
    }

    fn with(mut self, name: &str, value: Value) -> Self {
        self.0.insert(name.into(), value);
        self
    }

    /// Which records there are: a filter or a boolean.
    #[must_use]
    pub fn read(self, filter: Value) -> Self {
        self.with("read", filter)
    }

    /// What a new record must match.
    #[must_use]
    pub fn insert(self, filter: Value) -> Self {
        self.with("insert", filter)
    }

    /// What a record must match before and after a change; without it `read`.
    #[must_use]
    pub fn update(self, filter: Value) -> Self {
        self.with("update", filter)
    }

    /// What a record must match to be removed; without it `update`.
    #[must_use]
    pub fn delete(self, filter: Value) -> Self {
        self.with("delete", filter)
    }

    /// A field that the server writes: a value or a template.
    #[must_use]
    pub fn set(mut self, field: impl Into<String>, value: Value) -> Self {
        let set = self.0.entry("set").or_insert_with(|| json!({}));
        if let Value::Object(fields) = set {
            fields.insert(field.into(), value);
        }
        self
    }

    /// Roles to which none of this applies.
    #[must_use]
    pub fn bypass<T: Into<String>>(self, roles: impl IntoIterator<Item = T>) -> Self {
        self.with("bypass", roles.into_iter().map(Into::into).collect::<Vec<String>>().into())
    }

    /// The value of the member `rows`.
    pub fn into_json(self) -> Value {
        Value::Object(self.0)
    }
}

/// An answer that is kept, made by [`Handle::live`]. Dropping it ends it.
#[derive(Debug)]
pub struct Live {
    client: LocalClient,
    /// The answer when it began.
    pub data: Value,
}

impl Live {
    /// The next answer; waits until there is another one.
    ///
    /// # Errors
    ///
    /// The server has stopped, or the question has no answer any more.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Result<&Value, Closed> {
        loop {
            let text = self.client.receive()?;
            let mut message: Value = serde_json::from_str(&text).unwrap_or_default();
            if message["type"] == "push" {
                self.data = message["data"].take();
                return Ok(&self.data);
            }
        }
    }
}

fn count(answer: &Value) -> u64 {
    answer.as_u64().unwrap_or_default()
}

fn list(answer: Value) -> Vec<Value> {
    match answer {
        Value::Array(values) => values,
        _ => Vec::new(),
    }
}

/// Reading and writing many records. As with [`Handle::call`], no permission and
/// no row rule applies, and the calls wait for their answers.
///
/// ```
/// use noexd::Server;
/// use noexd::server::Ask;
/// use serde_json::json;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let scores = json!({"key": "id", "schema": {"id": {"type": "string"}, "n": {"type": "number"}}});
/// let server = Server::builder().host("127.0.0.1").port(0)
///     .json(&json!({"buckets": {"scores": scores}}).to_string())
///     .start()?;
/// let mut best = server.live(&Ask::of("scores").descending("n").limit(1).fields(["id"]))?;
/// server.insert_many("scores", vec![json!({"id": "ann", "n": 3}), json!({"id": "bob", "n": 5})])?;
/// assert_eq!(best.next()?, &json!([{"id": "bob"}]));
///
/// let record = server.upsert("scores", json!({"id": "ann", "n": 9}))?;
/// assert_eq!(record["_version"], 2);
/// assert_eq!(best.next()?, &json!([{"id": "ann"}]));
///
/// let sum = server.find(&Ask::of("scores").aggregate("sum", Some("n")))?;
/// assert_eq!(sum, 14);
/// let ties = Ask::of("scores").descending("n").ascending("id");
/// assert_eq!(server.find(&ties)?[0]["id"], "ann");
/// let owners = server.group_by("scores", &["id"], json!({"function": "count"}))?;
/// assert_eq!(owners.len(), 2);
/// assert_eq!(server.update_many("scores", json!({"n": {"$gt": 6}}), json!({"n": 6}))?, 1);
/// assert_eq!(server.delete_many("scores", json!({}))?, 2);
/// # server.stop_and_wait(std::time::Duration::ZERO)?;
/// # Ok(())
/// # }
/// ```
impl Handle {
    /// Asks once (`store.find`).
    ///
    /// # Errors
    ///
    /// As [`Handle::call`].
    pub fn find(&self, ask: &Ask) -> Result<Value, CallError> {
        response_data(&self.request(ask.request("store.find"))?)
    }

    /// Asks a defined query once (`store.query`); `params` is an object or null.
    ///
    /// # Errors
    ///
    /// As [`Handle::call`].
    pub fn query(&self, name: &str, params: Value) -> Result<Value, CallError> {
        let mut fields = json!({"query": name});
        if !params.is_null() {
            fields["params"] = params;
        }
        self.call("store.query", fields)
    }

    /// Asks, and goes on to be told when the answer changes (`store.live`).
    ///
    /// # Errors
    ///
    /// As [`Handle::call`].
    pub fn live(&self, ask: &Ask) -> Result<Live, CallError> {
        let client = self.connect()?;
        let mut answer = response_data(&Self::answer(&client, ask.request("store.live"))?)?;
        Ok(Live { client, data: answer["data"].take() })
    }

    /// Changes the record with the key in `data`, or inserts it; the record.
    ///
    /// # Errors
    ///
    /// As [`Handle::call`].
    pub fn upsert(&self, bucket: &str, data: Value) -> Result<Value, CallError> {
        self.call("store.upsert", json!({"bucket": bucket, "data": data}))
    }

    /// Inserts all of these records or none; the records as they are stored.
    ///
    /// # Errors
    ///
    /// As [`Handle::call`].
    pub fn insert_many(&self, bucket: &str, data: Vec<Value>) -> Result<Vec<Value>, CallError> {
        self.call("store.insertMany", json!({"bucket": bucket, "data": data})).map(list)
    }

    /// Changes every record that matches, or none; how many. An empty filter is
    /// `{}`.
    ///
    /// # Errors
    ///
    /// As [`Handle::call`].
    pub fn update_many(&self, bucket: &str, filter: Value, data: Value) -> Result<u64, CallError> {
        let fields = json!({"bucket": bucket, "filter": filter, "data": data});
        self.call("store.updateMany", fields).map(|answer| count(&answer))
    }

    /// Removes every record that matches, or none; how many.
    ///
    /// # Errors
    ///
    /// As [`Handle::call`].
    pub fn delete_many(&self, bucket: &str, filter: Value) -> Result<u64, CallError> {
        let fields = json!({"bucket": bucket, "filter": filter});
        self.call("store.deleteMany", fields).map(|answer| count(&answer))
    }

    /// An aggregate per combination of values of `fields`
    /// (`{"function", "field"}`); an array of `{"key", "value"}`.
    ///
    /// # Errors
    ///
    /// As [`Handle::call`].
    pub fn group_by(
        &self,
        bucket: &str,
        fields: &[&str],
        aggregate: Value,
    ) -> Result<Vec<Value>, CallError> {
        let fields = json!({"bucket": bucket, "field": fields, "aggregate": aggregate});
        self.call("store.groupBy", fields).map(list)
    }
}
