//! One entry: what it says, how it is bounded, how it is written.

use crate::address::Address;
use std::borrow::Cow;

use crate::json::{self, Json, Kind, Object, Raw, write_number, write_string};
use crate::protocol::{Operation, Request, Resource};

/// Strings longer than this, in UTF-16 units, are cut.
const MAX_TEXT: usize = 256;
/// Elements kept of an array, members kept of an object.
const MAX_ELEMENTS: usize = 16;
/// Containers below this level of `details` are emptied.
const MAX_LEVEL: usize = 2;

/// What an entry takes from its request.
#[derive(Clone, Debug)]
pub struct Note {
    operation: &'static str,
    resource: String,
    details: Option<Json>,
}

/// On whose connection it happened, as it was afterwards.
#[derive(Clone, Copy, Debug)]
pub struct Who<'a> {
    /// The user; `None` without a login.
    pub user_id: Option<&'a str>,
    /// Who acts as that user.
    pub impersonated_by: Option<&'a str>,
    /// `conn-{n}`
    pub connection: &'a str,
    /// Where its client is.
    pub address: Address,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome<'a> {
    /// It was done.
    Success,
    /// With the message of the error.
    Error(&'a str),
}

impl Note {
    /// Reads the resource and the details of a request. Never a password, a
    /// secret, a token or a record.
    pub fn of(operation: Operation, request: &Request<'_>) -> Self {
        let details = details(operation, request);
        let resource = cut(&resource(operation, request)).into_owned();
        Self { operation: operation.name(), resource, details }
    }

    /// The same, of a request that was answered before.
    #[must_use]
    pub fn repeated(mut self) -> Self {
        let members: Object = [("repeated", Json::Bool(true))].into_iter().collect();
        self.details = Some(Json::Object(members));
        self
    }

    pub fn operation(&self) -> &'static str {
        self.operation
    }

    /// Whether it only looks, as a console does again and again.
    pub fn is_look(&self) -> bool {
        matches!(
            self.operation,
            "server.top"
                | "server.views"
                | "server.insights"
                | "server.metrics"
                | "server.stats"
                | "server.connections"
                | "store.backups"
                | "audit.query"
        )
    }

    /// The same, after so many that were not recorded.
    #[must_use]
    pub fn looked_again(&self, repeats: u64) -> Self {
        let details: Object = [("repeats", Json::Number(repeats as f64))].into_iter().collect();
        Self { details: Some(Json::Object(details)), ..self.clone() }
    }

    pub(super) fn about_user(operation: &'static str, user_id: Option<&str>) -> Self {
        let resource =
            user_id.map_or_else(|| "*".into(), |id| cut(&format!("user:{id}")).into_owned());
        Self { operation, resource, details: None }
    }
}

/// An entry of the log, serialised once.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    timestamp: f64,
    user_id: Option<Box<str>>,
    operation: Cow<'static, str>,
    success: bool,
    json: Box<str>,
}

impl Entry {
    pub(super) fn new(note: &Note, who: &Who<'_>, outcome: Outcome<'_>, now_wall: u64) -> Self {
        let mut out = Vec::with_capacity(256);
        out.extend_from_slice(b"{\"timestamp\":");
        write_number(&mut out, now_wall as f64);
        out.extend_from_slice(b",\"userId\":");
        match who.user_id {
            Some(user_id) => write_string(&mut out, user_id),
            None => out.extend_from_slice(b"null"),
        }
        let mut text = |name: &str, value: &str| {
            out.push(b',');
            write_string(&mut out, name);
            out.push(b':');
            write_string(&mut out, value);
        };
        if let Some(impersonator) = who.impersonated_by {
            text("impersonatedBy", impersonator);
        }
        text("sessionId", who.connection);
        text("operation", note.operation);
        text("resource", &note.resource);
        match outcome {
            Outcome::Success => text("result", "success"),
            Outcome::Error(message) => {
                text("result", "error");
                text("error", &cut(message));
            }
        }
        if let Some(details) = &note.details {
            out.extend_from_slice(b",\"details\":");
            details.write(&mut out);
        }
        out.extend_from_slice(b",\"remoteAddress\":");
        write_string(&mut out, &who.address.to_string());
        out.push(b'}');
        Self {
            timestamp: now_wall as f64,
            user_id: who.user_id.map(Box::from),
            operation: Cow::Borrowed(note.operation),
            success: outcome == Outcome::Success,
            json: String::from_utf8(out).unwrap_or_default().into(),
        }
    }

    /// An entry from a line of the file; `None` if it is none.
    pub(super) fn parse(line: &str) -> Option<Self> {
        let raw = json::parse(line, json::DEFAULT_MAX_DEPTH).ok()?;
        let text = |name: &str| raw.get(name).and_then(Raw::as_str);
        let user_id = match raw.get("userId")? {
            null if null.is_null() => None,
            user => Some(user.as_str()?.into()),
        };
        let success = match &*text("result")? {
            "success" => true,
            "error" => false,
            _ => return None,
        };
        let _ = (text("sessionId")?, text("resource")?, text("remoteAddress")?);
        Some(Self {
            timestamp: raw.get("timestamp").and_then(Raw::as_number)?,
            user_id,
            operation: Cow::Owned(text("operation")?.into_owned()),
            success,
            json: raw.text().into(),
        })
    }

    /// Unix time in milliseconds.
    pub fn timestamp(&self) -> f64 {
        self.timestamp
    }

    /// The user who asked; `None` without a login.
    pub fn user_id(&self) -> Option<&str> {
        self.user_id.as_deref()
    }

    /// The operation, such as `store.dropBucket`.
    pub fn operation(&self) -> &str {
        &self.operation
    }

    /// Whether it was done.
    pub fn is_success(&self) -> bool {
        self.success
    }

    /// The JSON of the entry, as `audit.query` and the file have it.
    pub fn json(&self) -> &str {
        &self.json
    }
}

/// The name of what the operation works on, or `*`.
fn resource(operation: Operation, request: &Request<'_>) -> String {
    let field = |name: &str| request.str_field(name).map(Cow::into_owned);
    let inside = |outer: &str, inner: &str| {
        let value = request.field(outer)?.get(inner)?.as_str()?;
        Some(value.into_owned())
    };
    let named = match operation {
        Operation::RulesRegisterRule | Operation::RulesValidateRule => inside("rule", "id"),
        Operation::ProceduresRegister => inside("procedure", "name"),
        Operation::LogicDefineView => inside("definition", "name"),
        Operation::LogicDefineConstraint => inside("constraint", "name"),
        Operation::LogicDropConstraint => field("name"),
        Operation::StoreBackup
        | Operation::StoreRestore
        | Operation::StoreDeleteBackup
        | Operation::AccessDefineSet
        | Operation::AccessDropSet => field("name"),
        Operation::ServerDisconnect | Operation::AccessExplain => {
            target(request, &["connectionId", "userId"])
        }
        Operation::ServerTrace => target(request, &["connectionId", "ruleId", "bucket"]),
        Operation::ServerTop => target(request, &["connectionId"]),
        Operation::ServerViews => target(request, &["bucket"]),
        Operation::ServerRevokeSessions | Operation::AuthImpersonate => {
            target(request, &["userId"])
        }
        _ => match (operation.family(), operation.resource()) {
            (
                crate::protocol::Family::Rules
                | crate::protocol::Family::Identity
                | crate::protocol::Family::Auth,
                _,
            ) => first_field(request),
            (_, Resource::Bucket(name) | Resource::Query(name) | Resource::Procedure(name)) => {
                field(name)
            }
            _ => None,
        },
    };
    named.unwrap_or_else(|| "*".into())
}

/// Whom or what an operation that looks, or that ends something, is about: the
/// first of these fields that names it.
fn target(request: &Request<'_>, fields: &[&str]) -> Option<String> {
    let (field, name) =
        fields.iter().find_map(|field| Some((*field, request.str_field(field)?)))?;
    Some(match field {
        "connectionId" => name.replacen("conn-", "conn:", 1),
        "userId" => format!("user:{name}"),
        "ruleId" => format!("rule:{name}"),
        _ => format!("bucket:{name}"),
    })
}

/// The first of the fields that tell what a request is about.
fn first_field(request: &Request<'_>) -> Option<String> {
    let field = |name: &str| request.str_field(name);
    let plain = ["bucket", "name", "ruleId", "topic", "key", "pattern"];
    if let Some(value) = plain.into_iter().find_map(field) {
        return Some(value.into_owned());
    }
    let prefixed = [("username", "user"), ("userId", "user"), ("roleId", "role")];
    if let Some((prefix, value)) =
        prefixed.into_iter().find_map(|(name, prefix)| Some((prefix, field(name)?)))
    {
        return Some(format!("{prefix}:{value}"));
    }
    Some(format!("{}:{}", field("resourceType")?, field("resourceName")?))
}

/// The fields of a request that the entry keeps.
fn details(operation: Operation, request: &Request<'_>) -> Option<Json> {
    let fields: &[&str] = match operation {
        Operation::IdentityLogin | Operation::IdentityCreateUser | Operation::IdentitySignup => {
            &["username"]
        }
        Operation::IdentityAssignRole | Operation::IdentityRemoveRole => &["userId", "roleName"],
        Operation::IdentityGrant | Operation::IdentityRevoke => {
            &["subjectType", "subjectId", "resourceType", "resourceName", "operations"]
        }
        // Its end has nothing to say.
        Operation::AuthImpersonate if request.present("userId").is_none() => return None,
        Operation::AuthImpersonate => {
            let read_only = request.present("readOnly").and_then(Raw::as_bool).unwrap_or(true);
            let members = [("readOnly", Json::Bool(read_only))].into_iter().collect();
            return Some(Json::Object(members));
        }
        Operation::IdentityTransferOwner => &["resourceType", "resourceName", "newOwnerId"],
        Operation::StoreTransaction => return Some(transaction(request)),
        Operation::StoreSubscribeMany => return Some(subscriptions(request)),
        _ => return None,
    };
    let kept = fields.iter().filter_map(|name| Some((*name, bounded(request.field(name)?, 2))));
    Some(Json::Object(kept.collect()))
}

/// Which buckets a transaction names, and how many operations it has.
fn transaction(request: &Request<'_>) -> Json {
    let operations = request.field("operations");
    let mut buckets: Vec<Cow<'_, str>> = Vec::new();
    let mut count = 0usize;
    for element in operations.into_iter().flat_map(Raw::elements) {
        count += 1;
        if buckets.len() < MAX_ELEMENTS
            && let Some(bucket) = element.get("bucket").and_then(Raw::as_str)
            && !buckets.contains(&bucket)
        {
            buckets.push(bucket);
        }
    }
    let buckets = buckets.iter().map(|name| Json::string(cut(name))).collect();
    let members: Object =
        [("buckets", Json::Array(buckets)), ("operations", Json::Number(count as f64))]
            .into_iter()
            .collect();
    Json::Object(members)
}

/// What the entries of a `store.subscribeMany` name, and how many there are.
fn subscriptions(request: &Request<'_>) -> Json {
    let (mut names, mut count) = (Vec::new(), 0usize);
    for entry in request.field("subscriptions").into_iter().flat_map(Raw::elements) {
        count += 1;
        if names.len() == MAX_ELEMENTS {
            continue;
        }
        let operation = match entry.get("type").and_then(Raw::as_str) {
            None => Some(Operation::StoreSubscribe),
            Some(name) => Operation::from_name(&name),
        };
        let field = match operation {
            Some(Operation::StoreSubscribe) => "query",
            Some(Operation::StoreLive) => "bucket",
            Some(Operation::LogicSubscribeView) => "name",
            _ => continue,
        };
        names.extend(entry.get(field).and_then(Raw::as_str).map(|name| Json::string(cut(&name))));
    }
    let members = [("queries", Json::Array(names)), ("subscriptions", Json::Number(count as f64))];
    Json::Object(members.into_iter().collect())
}

/// A value within the bounds of an entry. `level` counts containers.
fn bounded(raw: Raw<'_>, level: usize) -> Json {
    match raw.kind() {
        Kind::String => Json::string(cut(&raw.as_str().unwrap_or_default())),
        Kind::Array if level > MAX_LEVEL => Json::Array(Vec::new()),
        Kind::Array => {
            let kept = raw.elements().take(MAX_ELEMENTS);
            Json::Array(kept.map(|element| bounded(element, level + 1)).collect())
        }
        Kind::Object if level > MAX_LEVEL => Json::Object(Object::new()),
        Kind::Object => {
            let kept = raw.members().take(MAX_ELEMENTS);
            let members: Object = kept
                .map(|(name, value)| (cut(&name).into_owned(), bounded(value, level + 1)))
                .collect();
            Json::Object(members)
        }
        Kind::Null | Kind::Bool | Kind::Number => raw.to_json(),
    }
}

/// At most 256 UTF-16 units; what was cut ends in an ellipsis.
fn cut(text: &str) -> Cow<'_, str> {
    // No character has fewer bytes than UTF-16 units.
    if text.len() <= MAX_TEXT || text.encode_utf16().count() <= MAX_TEXT {
        return Cow::Borrowed(text);
    }
    let mut units = 0;
    let mut kept: String = text
        .chars()
        .take_while(|character| {
            units += character.len_utf16();
            units < MAX_TEXT
        })
        .collect();
    kept.push('…');
    Cow::Owned(kept)
}
