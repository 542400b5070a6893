//! `store.transaction`: checks of the whole request, then one draft.

use crate::budget::Budget;
use crate::engine::many::{Given, Kind as ManyKind, Many};
use crate::engine::scopes::{Writing, Written};
use crate::ids::IdSource;
use crate::json::{Json, Kind, Raw, write_number};
use crate::protocol::{ErrorCode, OpError, Request};
use crate::query::AdHoc;
use crate::store::{Apply, BucketId, Data, Draft, Edit, Expect, Filter, Lookup, Mode, Store};

/// One operation of a transaction, checked as far as the request alone allows.
struct Step<'a> {
    bucket: Box<str>,
    action: Action<'a>,
}

enum Action<'a> {
    Get(Lookup),
    Insert(Raw<'a>),
    Update(Lookup, Data<'a>, Apply, Option<Expect>),
    Delete(Lookup, Option<Expect>),
    Where(Raw<'a>),
    FindOne(Raw<'a>),
    Count(Option<Raw<'a>>),
    Find(Box<AdHoc>),
    /// With the filter, where it takes one.
    Many(Many<'a>, Option<Raw<'a>>),
}

impl Writing<'_> {
    pub(in crate::engine::ops) fn store_transaction(
        &mut self,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Written, OpError> {
        let steps = parse(request)?;
        let asking = (self.budget, self.text_bytes);
        let buckets = steps.iter().filter_map(|step| self.store.bucket_id(&step.bucket)).collect();
        self.write_all(buckets, Mode::Transaction, |draft, store, ids| {
            out.extend_from_slice(b"{\"results\":[");
            for (at, step) in steps.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                out.extend_from_slice(b"{\"index\":");
                write_number(out, at as f64);
                out.extend_from_slice(b",\"data\":");
                run(step, draft, (store, asking), ids, out)
                    .map_err(|error| with_index(error, at))?;
                out.push(b'}');
                asking.0.spend(1)?;
                asking.0.reply(out.len())?;
            }
            out.extend_from_slice(b"]}");
            Ok(asking.0.reply(out.len() + 1)?)
        })
    }
}

/// A violated constraint says at which operation.
fn with_index(mut error: OpError, at: usize) -> OpError {
    if let Some(Json::Array(entries)) = error.details.as_deref_mut() {
        for entry in entries {
            if let Json::Object(entry) = entry
                && entry.get("code").and_then(Json::as_str) == Some("constraint")
            {
                entry.insert("index", Json::Number(at as f64));
            }
        }
    }
    error
}

fn run(
    step: &Step<'_>,
    draft: &mut Draft,
    (store, (budget, text_bytes)): (&Store, (&Budget, usize)),
    ids: &mut IdSource,
    out: &mut Vec<u8>,
) -> Result<(), OpError> {
    let bucket = store.bucket_named(&step.bucket).ok_or_else(|| {
        // Documented and pinned by clients: not BUCKET_NOT_DEFINED here.
        let message = format!("Bucket \"{}\" is not defined", step.bucket);
        OpError::new(ErrorCode::InternalError, message)
    })?;
    let id: BucketId = bucket.id();
    let compile = |filter: &Raw<'_>| Filter::compile(bucket.layout(), *filter);
    match &step.action {
        Action::Get(key) => super::write_row(out, draft.get(store, id, key).as_ref(), budget),
        Action::Insert(data) => draft.insert(store, ids, id, &Data::from(*data))?.write(out),
        Action::Update(key, data, apply, expect) => {
            let edit = Edit { data, apply, expect: expect.as_ref() };
            draft.edit(store, id, key, edit)?.write(out);
        }
        Action::Delete(key, expect) => {
            match expect {
                Some(expect) => draft.delete_expected(store, id, key, expect)?,
                None => draft.delete(store, id, key)?,
            }
            out.extend_from_slice(b"{\"deleted\":true}");
        }
        Action::Where(filter) => {
            let rows = draft.find(store, id, Some(&compile(filter)?), usize::MAX);
            super::write_rows(out, rows.iter(), budget)?;
        }
        Action::FindOne(filter) => {
            let rows = draft.find(store, id, Some(&compile(filter)?), 1);
            super::write_row(out, rows.first(), budget);
        }
        Action::Count(None) => write_number(out, draft.len(store, id) as f64),
        Action::Find(query) => {
            query.answer_in(draft, (store, bucket), (budget, text_bytes), out)?;
        }
        Action::Many(many, filter) => {
            let filter = filter.as_ref().map(compile).transpose()?;
            let place = (id, filter.as_ref());
            many.run(draft, (store, ids), place, (budget, out.len()))?.write(out);
        }
        Action::Count(Some(filter)) => {
            let count = draft.count(store, id, &compile(filter)?);
            write_number(out, count as f64);
        }
    }
    Ok(())
}

fn parse<'a>(request: &Request<'a>) -> Result<Vec<Step<'a>>, OpError> {
    let operations = request.field("operations").filter(|raw| raw.kind() == Kind::Array);
    let operations = operations
        .ok_or_else(|| OpError::validation("Missing or invalid \"operations\": expected array"))?;
    let steps: Vec<_> = operations
        .elements()
        .enumerate()
        .map(|(at, element)| parse_step(at, element))
        .collect::<Result<_, _>>()?;
    if steps.is_empty() {
        return Err(OpError::validation("\"operations\" must contain at least one operation"));
    }
    Ok(steps)
}

fn parse_step(at: usize, raw: Raw<'_>) -> Result<Step<'_>, OpError> {
    let fail = |reason: &str| Err(OpError::validation(format!("operations[{at}]: {reason}")));
    if raw.kind() != Kind::Object {
        return fail("expected object");
    }
    let op = raw.get("op").and_then(Raw::as_str).unwrap_or_default();
    let known = ["get", "insert", "update", "delete", "where", "findOne", "count"];
    let has = |name: &str| raw.get(name).is_some_and(|value| !value.is_null());
    // What is not complete is not known: clients have been recorded that send
    // such operations.
    let many = ManyKind::from_name(&op).filter(|kind| kind.is_complete(has));
    let is_find = op == "find" && has("bucket");
    if many.is_none() && !is_find && !known.contains(&&*op) {
        return fail(&format!("invalid \"op\" — expected one of: {}", known.join(", ")));
    }
    let bucket = raw.get("bucket").and_then(Raw::as_str).unwrap_or_default();
    if bucket.is_empty() {
        return fail("missing or invalid \"bucket\"");
    }
    let action = match many {
        Some(kind) => parse_many(at, raw, &op, kind)?,
        None => parse_action(at, raw, &op)?,
    };
    Ok(Step { bucket: bucket.into(), action })
}

/// A member that is not `null`.
fn member(raw: Raw<'_>, name: &str) -> Option<Json> {
    raw.get(name).filter(|value| !value.is_null()).map(Raw::to_json)
}

fn object<'r>(at: usize, raw: Raw<'r>, op: &str, name: &str) -> Result<Raw<'r>, OpError> {
    let object = raw.get(name).filter(|value| value.kind() == Kind::Object);
    object.map_or_else(|| fail_with(at, op, &format!("{name}\" object")), Ok)
}

/// An operation on many records.
fn parse_many<'r>(
    at: usize,
    raw: Raw<'r>,
    op: &str,
    kind: ManyKind,
) -> Result<Action<'r>, OpError> {
    let filter = match kind.is_filtered() {
        true => Some(object(at, raw, op, "filter")?),
        false => None,
    };
    let data = Given::of_raw(raw.get("data"));
    let many = Many::parse(kind, data, || Ok(()), &|name: &str| member(raw, name));
    Ok(Action::Many(many.map_err(|error| located(at, error))?, filter))
}

/// Any other.
fn parse_action<'r>(at: usize, raw: Raw<'r>, op: &str) -> Result<Action<'r>, OpError> {
    let key = || {
        let key = raw.get("key").filter(|key| !key.is_null()).map(Lookup::from);
        key.map_or_else(|| fail_with(at, op, "key"), Ok)
    };
    let object = |name: &str| object(at, raw, op, name);
    let at_step = |error: OpError| located(at, error);
    let expect = || Expect::parse(member(raw, "expect").as_ref()).map_err(at_step);
    let filter = || raw.get("filter").filter(|filter| !filter.is_null());
    Ok(match op {
        "get" => Action::Get(key()?),
        "insert" => Action::Insert(object("data")?),
        "update" => {
            let key = key()?;
            let apply = member(raw, "apply");
            let data = match apply.is_some() && raw.get("data").is_none_or(Raw::is_null) {
                true => Data::default(),
                false => Data::from(object("data")?),
            };
            let apply = Apply::parse(apply.as_ref()).map_err(at_step)?;
            apply.check_apart(&data, "data").map_err(at_step)?;
            Action::Update(key, data, apply, expect()?)
        }
        "delete" => Action::Delete(key()?, expect()?),
        "where" => Action::Where(object("filter")?),
        "findOne" => Action::FindOne(object("filter")?),
        "find" => {
            if filter().is_some() {
                object("filter")?;
            }
            let query = AdHoc::parse(|name: &str| member(raw, name)).map_err(at_step)?;
            Action::Find(Box::new(query))
        }
        // The names were checked before; this is "count".
        _ => match filter() {
            Some(filter) => {
                object("filter")?;
                Action::Count(Some(filter))
            }
            None => Action::Count(None),
        },
    })
}

/// The error of a member of an operation, with where it stands.
fn located(at: usize, mut error: OpError) -> OpError {
    error.message = format!("operations[{at}]: {}", error.message).into();
    error
}

/// `operations[{at}]: "{op}" requires "{what}"`, where `what` may end the
/// quotation itself.
fn fail_with<T>(at: usize, op: &str, what: &str) -> Result<T, OpError> {
    let quote = if what.contains('"') { "" } else { "\"" };
    Err(OpError::validation(format!("operations[{at}]: \"{op}\" requires \"{what}{quote}")))
}
