//! Messages from the client: the checks of section 3 of the protocol, in order.

use std::borrow::Cow;

use super::{ErrorCode, Family, OpError, Operation};
use crate::json::{
    Fields, JsonError, Kind, Raw, parse_fields, parse_fields_loosely, write_integer, write_number,
};

/// A parsed message.
#[derive(Debug)]
pub enum Incoming<'a> {
    /// The answer to a heartbeat; gets no answer.
    Pong {
        timestamp: f64,
    },
    Request(Request<'a>),
}

/// One request: its id, its type and its fields, borrowed from the message.
#[derive(Debug)]
pub struct Request<'a> {
    pub id: RequestId,
    pub operation: Cow<'a, str>,
    /// The same, if it is one of the table.
    pub known: Option<Operation>,
    pub fields: Fields<'a>,
}

/// The `id` as it is echoed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RequestId {
    /// A plain integer of at most 15 digits needs no detour over doubles.
    Integer(i64),
    Number(f64),
}

impl RequestId {
    pub fn write(self, out: &mut Vec<u8>) {
        match self {
            RequestId::Integer(value) => write_integer(out, value),
            RequestId::Number(value) => write_number(out, value),
        }
    }
}

/// A message that is not a request, and the id that its answer carries.
#[derive(Clone, Debug, PartialEq)]
pub struct Rejected {
    /// 0, with one exception (P9): a string that is none is nothing that a client
    /// does on purpose, and its call would never end without an answer.
    pub id: RequestId,
    pub error: OpError,
}

/// Checks one text message.
pub fn parse_message(text: &str, max_depth: u32) -> Result<Incoming<'_>, Rejected> {
    parse_message_at(text, max_depth, None)
}

/// As [`parse_message`]; without an id of its own it has its place for one.
pub fn parse_message_at(
    text: &str,
    max_depth: u32,
    place: Option<u64>,
) -> Result<Incoming<'_>, Rejected> {
    let place = place.and_then(|place| i64::try_from(place).ok()).map(RequestId::Integer);
    let nobody = RequestId::Integer(0);
    let parse_error = |message: Cow<'static, str>| Rejected {
        id: place.unwrap_or(nobody),
        error: OpError::new(ErrorCode::ParseError, message),
    };
    let fields = parse_fields(text, max_depth).map_err(|error| match error {
        JsonError::TooDeep { max } => {
            parse_error(format!("Message is nested too deeply (max {max} levels)").into())
        }
        JsonError::NotAnObject => parse_error("Message must be a JSON object".into()),
        JsonError::LoneSurrogate { .. } => {
            let loosely = parse_fields_loosely(text, max_depth).ok();
            let id = loosely.and_then(|fields| read_id(fields.get("id")?));
            let rejected = parse_error("Invalid JSON".into());
            Rejected { id: id.unwrap_or(rejected.id), ..rejected }
        }
        _ => parse_error("Invalid JSON".into()),
    })?;
    // An id that is there and of no request names nothing.
    let invalid = |message| {
        let id = place.filter(|_| fields.get("id").is_none()).unwrap_or(nobody);
        Err(Rejected { id, error: OpError::new(ErrorCode::InvalidRequest, message) })
    };
    let operation = match fields.get("type").and_then(Raw::as_str) {
        Some(name) if !name.is_empty() => name,
        _ => return invalid("Message must include non-empty string \"type\""),
    };
    if operation == "pong" {
        return match finite(fields.get("timestamp")) {
            Some(timestamp) => Ok(Incoming::Pong { timestamp }),
            None => invalid("Pong must include finite numeric \"timestamp\""),
        };
    }
    let id = match fields.get("id") {
        None => place,
        Some(id) => read_id(id),
    };
    let Some(id) = id else {
        return invalid("Request must include finite numeric \"id\"");
    };
    let known = Operation::from_name(&operation);
    Ok(Incoming::Request(Request { id, operation, known, fields }))
}

/// The id of what may be a message.
pub fn id_of(message: Raw<'_>) -> Option<RequestId> {
    message.get("id").and_then(read_id)
}

fn finite(raw: Option<Raw<'_>>) -> Option<f64> {
    raw.and_then(Raw::as_number).filter(|number| number.is_finite())
}

fn read_id(raw: Raw<'_>) -> Option<RequestId> {
    let text = raw.text();
    if text.len() <= 15
        && text.bytes().all(|byte| byte.is_ascii_digit())
        && let Ok(value) = text.parse()
    {
        return Some(RequestId::Integer(value));
    }
    finite(Some(raw)).map(RequestId::Number)
}

/// Reading fields in the protocol's words. The order in which an operation
/// calls these is the order of its checks.
impl<'a> Request<'a> {
    /// The family of its operation, known or not.
    pub fn family(&self) -> Option<Family> {
        match self.known {
            Some(operation) => Some(operation.family()),
            None => Family::of(&self.operation),
        }
    }

    /// A field that is there, `null` included.
    pub fn field(&self, name: &str) -> Option<Raw<'a>> {
        self.fields.get(name)
    }

    /// A field that is there and not `null`.
    pub fn present(&self, name: &str) -> Option<Raw<'a>> {
        self.field(name).filter(|raw| !raw.is_null())
    }

    /// A field if it is a string, the empty one included.
    pub fn str_field(&self, name: &str) -> Option<Cow<'a, str>> {
        self.field(name).and_then(Raw::as_str)
    }

    /// `Missing or invalid "{name}": expected non-empty string`
    pub fn require_string(&self, name: &str) -> Result<Cow<'a, str>, OpError> {
        self.str_field(name).filter(|text| !text.is_empty()).ok_or_else(|| {
            OpError::validation(format!("Missing or invalid \"{name}\": expected non-empty string"))
        })
    }

    /// `Missing or invalid "{name}": expected object`
    pub fn require_object(&self, name: &str) -> Result<Raw<'a>, OpError> {
        self.field(name).filter(|raw| raw.kind() == Kind::Object).ok_or_else(|| {
            OpError::validation(format!("Missing or invalid \"{name}\": expected object"))
        })
    }

    /// Absent or `null` is none; else `Invalid "{name}": expected object`
    pub fn optional_object(&self, name: &str) -> Result<Option<Raw<'a>>, OpError> {
        match self.present(name) {
            None => Ok(None),
            Some(raw) if raw.kind() == Kind::Object => Ok(Some(raw)),
            Some(_) => Err(OpError::validation(format!("Invalid \"{name}\": expected object"))),
        }
    }

    /// `Missing "{name}": expected non-null value`
    pub fn require_value(&self, name: &str) -> Result<Raw<'a>, OpError> {
        self.present(name).ok_or_else(|| {
            OpError::validation(format!("Missing \"{name}\": expected non-null value"))
        })
    }

    /// `Missing or invalid "{name}": expected positive integer`. Numbers beyond
    /// `usize` mean "as many as there are".
    pub fn require_positive_integer(&self, name: &str) -> Result<usize, OpError> {
        finite(self.field(name))
            .filter(|number| *number >= 1.0 && *number == number.trunc())
            .map(|number| number as usize)
            .ok_or_else(|| {
                OpError::validation(format!(
                    "Missing or invalid \"{name}\": expected positive integer"
                ))
            })
    }
}
