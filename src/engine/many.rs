//! Writes of several records, and upserts: what their members say, and how they
//! run on a draft. As operations, as steps of a transaction and of a procedure
//! they are the same.

use crate::budget::Budget;
use crate::ids::IdSource;
use crate::json::{Json, Object, Raw, write_number};
use crate::protocol::OpError;
use crate::store::{
    Apply, BucketId, Data, Draft, Filter, Inserted, Members, Mode, OnConflict, Row, Store,
};

/// Which of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Upsert,
    InsertMany,
    UpdateMany,
    DeleteMany,
}

impl Kind {
    /// By the name of the operation without `store.`.
    pub fn from_name(name: &str) -> Option<Kind> {
        Some(match name {
            "upsert" => Kind::Upsert,
            "insertMany" => Kind::InsertMany,
            "updateMany" => Kind::UpdateMany,
            "deleteMany" => Kind::DeleteMany,
            _ => return None,
        })
    }

    pub fn is_filtered(self) -> bool {
        matches!(self, Kind::UpdateMany | Kind::DeleteMany)
    }

    /// Whether every member is there that it cannot do without.
    pub fn is_complete(self, has: impl Fn(&str) -> bool) -> bool {
        has("bucket")
            && match self {
                Kind::Upsert | Kind::InsertMany => has("data"),
                Kind::UpdateMany => has("filter") && (has("data") || has("apply")),
                Kind::DeleteMany => has("filter"),
            }
    }

    /// How a draft of only this one treats it.
    pub fn mode(self) -> Mode {
        match self {
            Kind::Upsert => Mode::Single,
            Kind::InsertMany | Kind::UpdateMany | Kind::DeleteMany => Mode::Transaction,
        }
    }
}

/// The member `data`.
pub(super) enum Given<'a> {
    Nothing,
    Record(Data<'a>),
    /// `None`: no object.
    Records(Vec<Option<Data<'a>>>),
    Other,
}

impl<'a> Given<'a> {
    pub fn of_raw(data: Option<Raw<'a>>) -> Given<'a> {
        let object = |raw: Raw<'a>| raw.kind() == crate::json::Kind::Object;
        match data {
            None => Given::Nothing,
            Some(raw) if raw.is_null() => Given::Nothing,
            Some(raw) if object(raw) => Given::Record(Data::from(raw)),
            Some(raw) if raw.kind() == crate::json::Kind::Array => Given::Records(
                raw.elements().map(|raw| object(raw).then(|| Data::from(raw))).collect(),
            ),
            Some(_) => Given::Other,
        }
    }

    pub fn of_json(data: Option<&'a Json>) -> Given<'a> {
        match data {
            None | Some(Json::Null) => Given::Nothing,
            Some(Json::Object(object)) => Given::Record(Data::from(object)),
            Some(Json::Array(records)) => Given::Records(
                records.iter().map(|record| record.as_object().map(Data::from)).collect(),
            ),
            Some(_) => Given::Other,
        }
    }

    fn record(self) -> Result<Data<'a>, OpError> {
        match self {
            Given::Record(data) => Ok(data),
            _ => Err(OpError::validation("Missing or invalid \"data\": expected object")),
        }
    }

    fn records(self) -> Result<Vec<Data<'a>>, OpError> {
        let Given::Records(records) = self else {
            return Err(OpError::validation("Missing or invalid \"data\": expected array"));
        };
        let object = |(at, data): (usize, Option<Data<'a>>)| {
            data.ok_or_else(|| OpError::validation(format!("data[{at}]: expected object")))
        };
        records.into_iter().enumerate().map(object).collect()
    }
}

/// What `store.insertMany` answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Records,
    Keys,
    Counts,
}

/// One of them, checked as far as the request alone allows.
pub(super) enum Many<'a> {
    Upsert { data: Data<'a>, apply: Apply, on_insert: Members, detail: bool },
    Insert { records: Vec<Data<'a>>, on_conflict: OnConflict, answer: Answer },
    Update { data: Data<'a>, apply: Apply, limit: usize },
    Delete { limit: usize },
}

impl<'a> Many<'a> {
    /// `member`: the members that are there and not `null`. `filter`: the check
    /// of the filter, which stands between `data` and these.
    pub fn parse(
        kind: Kind,
        given: Given<'a>,
        filter: impl FnOnce() -> Result<(), OpError>,
        member: &dyn Fn(&str) -> Option<Json>,
    ) -> Result<Many<'a>, OpError> {
        match kind {
            Kind::Upsert => {
                let data = given.record()?;
                let apply = Apply::parse(member("apply").as_ref())?;
                apply.check_apart(&data, "data")?;
                let on_insert = on_insert(member("onInsert"), &data, &apply)?;
                let detail = match member("detail") {
                    None => false,
                    Some(Json::Bool(detail)) => detail,
                    Some(_) => return Err(invalid("detail", "boolean")),
                };
                Ok(Many::Upsert { data, apply, on_insert, detail })
            }
            Kind::InsertMany => {
                let records = given.records()?;
                let on_conflict = choice(
                    ("onConflict", member("onConflict")),
                    OnConflict::Error,
                    &[
                        ("error", OnConflict::Error),
                        ("skip", OnConflict::Skip),
                        ("replace", OnConflict::Replace),
                    ],
                    "\"error\", \"skip\" or \"replace\"",
                )?;
                let answer = choice(
                    ("answer", member("answer")),
                    Answer::Records,
                    &[("keys", Answer::Keys), ("counts", Answer::Counts)],
                    "\"keys\" or \"counts\"",
                )?;
                Ok(Many::Insert { records, on_conflict, answer })
            }
            Kind::UpdateMany => {
                let apply = member("apply");
                let data = match given {
                    Given::Nothing if apply.is_some() => Data::default(),
                    given => given.record()?,
                };
                filter()?;
                let apply = Apply::parse(apply.as_ref())?;
                apply.check_apart(&data, "data")?;
                Ok(Many::Update { data, apply, limit: limit(member("limit"))? })
            }
            Kind::DeleteMany => {
                filter()?;
                Ok(Many::Delete { limit: limit(member("limit"))? })
            }
        }
    }

    /// Does it. `filter` is there where the kind is filtered; `before`: the
    /// length of the answer so far.
    pub fn run(
        &self,
        draft: &mut Draft,
        (store, ids): (&Store, &mut IdSource),
        (bucket, filter): (BucketId, Option<&Filter>),
        (budget, before): (&Budget, usize),
    ) -> Result<Written, OpError> {
        match self {
            Many::Upsert { data, apply, on_insert, detail } => {
                let (row, created) = draft.upsert(store, ids, bucket, (data, apply), on_insert)?;
                budget.reply(before.saturating_add(row.text().len()))?;
                Ok(Written::Row(row, detail.then_some(created)))
            }
            Many::Insert { records, on_conflict, answer } => {
                let mut written = Collected::default();
                draft.insert_many(store, ids, bucket, (records, *on_conflict), |inserted| {
                    written.add(store, bucket, *answer, inserted)?;
                    Ok(budget.reply(before.saturating_add(written.bytes))?)
                })?;
                Ok(written.into_answer(*answer))
            }
            Many::Update { data, apply, limit } => {
                let filter = filter.ok_or_else(OpError::internal)?;
                let changes = (data, apply);
                let count = draft.update_many(store, bucket, (filter, *limit), changes)?;
                Ok(Written::Count(count))
            }
            Many::Delete { limit } => {
                let filter = filter.ok_or_else(OpError::internal)?;
                Ok(Written::Count(draft.delete_many(store, bucket, (filter, *limit))?))
            }
        }
    }
}

/// The answer.
pub(super) enum Written {
    /// With detail: whether it was created.
    Row(Row, Option<bool>),
    Rows(Vec<Row>),
    Value(Json),
    Count(usize),
}

impl Written {
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Written::Row(row, None) => row.write(out),
            Written::Row(row, Some(created)) => {
                out.extend_from_slice(b"{\"record\":");
                row.write(out);
                out.extend_from_slice(b",\"created\":");
                Json::Bool(*created).write(out);
                out.push(b'}');
            }
            Written::Rows(rows) => {
                out.push(b'[');
                for (at, row) in rows.iter().enumerate() {
                    if at > 0 {
                        out.push(b',');
                    }
                    row.write(out);
                }
                out.push(b']');
            }
            Written::Value(value) => value.write(out),
            Written::Count(count) => write_number(out, *count as f64),
        }
    }

    pub fn into_json(self) -> Json {
        match self {
            Written::Row(row, None) => row.to_json(),
            Written::Row(row, Some(created)) => {
                let members = [("record", row.to_json()), ("created", Json::Bool(created))];
                Json::Object(members.into_iter().collect())
            }
            Written::Rows(rows) => Json::Array(rows.iter().map(Row::to_json).collect()),
            Written::Value(value) => value,
            Written::Count(count) => Json::Number(count as f64),
        }
    }
}

/// What became of the records of an `insertMany` so far.
#[derive(Default)]
struct Collected {
    rows: Vec<Row>,
    keys: Vec<Json>,
    inserted: usize,
    skipped: usize,
    replaced: usize,
    /// Of the answer.
    bytes: usize,
}

impl Collected {
    fn add(
        &mut self,
        store: &Store,
        bucket: BucketId,
        answer: Answer,
        inserted: Inserted,
    ) -> Result<(), OpError> {
        let row = match inserted {
            Inserted::New(row) => {
                self.inserted += 1;
                row
            }
            Inserted::Replaced(row) => {
                self.replaced += 1;
                row
            }
            Inserted::Skipped => {
                self.skipped += 1;
                return Ok(());
            }
        };
        match answer {
            Answer::Records => {
                self.bytes = self.bytes.saturating_add(row.text().len() + 1);
                self.rows.push(row);
            }
            Answer::Keys => {
                let bucket = store.bucket(bucket).ok_or_else(OpError::internal)?;
                let key = bucket.key_of(&row);
                self.bytes = self.bytes.saturating_add(key.text().len() + 1);
                self.keys.push(key.to_json());
            }
            Answer::Counts => {}
        }
        Ok(())
    }

    fn into_answer(self, answer: Answer) -> Written {
        match answer {
            Answer::Records => Written::Rows(self.rows),
            Answer::Keys => Written::Value(Json::Array(self.keys)),
            Answer::Counts => {
                let count = |count: usize| Json::Number(count as f64);
                let counts: Object = [
                    ("inserted", count(self.inserted)),
                    ("skipped", count(self.skipped)),
                    ("replaced", count(self.replaced)),
                ]
                .into_iter()
                .collect();
                Written::Value(Json::Object(counts))
            }
        }
    }
}

fn invalid(name: &str, expected: &str) -> OpError {
    OpError::validation(format!("Invalid \"{name}\": expected {expected}"))
}

/// One of several words.
fn choice<T: Copy>(
    (name, value): (&str, Option<Json>),
    default: T,
    choices: &[(&str, T)],
    expected: &str,
) -> Result<T, OpError> {
    let Some(value) = value else { return Ok(default) };
    let found = choices.iter().find(|(word, _)| value.as_str() == Some(*word));
    found.map(|(_, choice)| *choice).ok_or_else(|| invalid(name, expected))
}

/// At most so many records.
fn limit(value: Option<Json>) -> Result<usize, OpError> {
    match value {
        None => Ok(usize::MAX),
        // Beyond `usize` means "as many as there are".
        Some(Json::Number(n)) if n >= 1.0 && n.trunc() == n && n.is_finite() => Ok(n as usize),
        Some(_) => Err(invalid("limit", "positive integer")),
    }
}

/// Values for an insert only.
fn on_insert(value: Option<Json>, data: &Data<'_>, apply: &Apply) -> Result<Members, OpError> {
    let members = match value {
        None => return Ok(Members::new()),
        Some(Json::Object(members)) => members,
        Some(_) => return Err(invalid("onInsert", "object")),
    };
    let both = |name: &str, other: &str| {
        OpError::validation(format!("Field \"{name}\" is in both {other} and onInsert"))
    };
    for name in members.keys() {
        if data.contains(name) {
            return Err(both(name, "data"));
        }
        if apply.contains(name) {
            return Err(both(name, "apply"));
        }
    }
    Ok(members.into_iter().map(|(name, value)| (name, Some(value))).collect())
}
