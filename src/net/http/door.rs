//! The HTTP door (docs/http.md): which requests come in, and what is said of
//! origins. Owns the checks that need neither the body nor other connections.
//! It must not know sockets, time, or what a message means.

use super::{Method, Request, Site, phrase};
use std::borrow::Cow;

/// Where the doors are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doors {
    /// Path of messages.
    pub rpc: String,
    /// Path of live queries.
    pub live: String,
}

/// Which one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    Rpc,
    Live,
}

impl Door {
    /// A word for the metrics.
    pub fn name(self) -> &'static str {
        match self {
            Door::Rpc => "rpc",
            Door::Live => "live",
        }
    }

    fn allow(self) -> &'static str {
        match self {
            Door::Rpc => "POST, OPTIONS",
            Door::Live => "GET, OPTIONS",
        }
    }
}

impl Doors {
    pub fn of(&self, request: &Request) -> Option<Door> {
        let path = request.path.as_deref().filter(|_| !request.is_upgrade)?;
        if path == self.rpc {
            return Some(Door::Rpc);
        }
        (path == self.live).then_some(Door::Live)
    }
}

/// Why a request does not come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    Method(Door),
    NotJson,
    NoLength,
    BadLength,
    /// Longer than so many bytes.
    TooLong(usize),
    /// As many sockets as there may be.
    Full,
    /// As many connections of its address.
    AddressFull,
    /// The body did not arrive in time.
    Late,
    /// The input ended in the body.
    Incomplete,
    /// All bodies together are too much.
    TooMuchInput,
    /// The app has closed the connection before it had answered.
    Closed,
}

impl Denied {
    pub fn status(self) -> u16 {
        match self {
            Denied::BadLength | Denied::Incomplete => 400,
            Denied::Method(_) => 405,
            Denied::Late => 408,
            Denied::NoLength => 411,
            Denied::TooLong(_) => 413,
            Denied::NotJson => 415,
            Denied::AddressFull => 429,
            Denied::Full | Denied::TooMuchInput | Denied::Closed => 503,
        }
    }

    /// The line of the body.
    fn text(self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Denied::Method(door) => return format!("expected {}", door.allow()).into(),
            Denied::NotJson => "expected Content-Type: application/json",
            Denied::NoLength => "expected Content-Length and no Transfer-Encoding",
            Denied::BadLength => "malformed Content-Length",
            Denied::TooLong(most) => return format!("body longer than {most} bytes").into(),
            Denied::Full => "too many connections",
            Denied::AddressFull => "too many connections of this address",
            Denied::Late => "the request did not arrive in time",
            Denied::Incomplete => "incomplete HTTP request",
            Denied::TooMuchInput => "too many unfinished requests",
            Denied::Closed => "the server has closed the connection",
        })
    }

    /// The bytes of the answer; `fields` are those of [`cors`].
    pub fn answer(self, fields: &str, method: Method) -> Vec<u8> {
        let allow = match self {
            Denied::Method(door) => format!("Allow: {}\r\n", door.allow()),
            _ => String::new(),
        };
        let body = format!("{}\n", self.text());
        let fields = format!("{allow}{fields}");
        let kind = "text/plain; charset=utf-8";
        super::answer(self.status(), kind, &fields, body.as_bytes(), method)
    }
}

/// What is said to browsers about the origin of a page.
pub fn cors(request: &Request, site: &Site<'_>) -> String {
    if site.is_for_all {
        return "Access-Control-Allow-Origin: *\r\n".to_owned();
    }
    // Whoever was not let in does not come here.
    let is_checked = site.allowed_origins.is_some() || site.guard.is_some();
    match request.origin.as_deref().map(std::str::from_utf8) {
        Some(Ok(origin)) if is_checked => {
            format!("Access-Control-Allow-Origin: {origin}\r\nVary: Origin\r\n")
        }
        _ => String::new(),
    }
}

/// The answer to `OPTIONS`, with which a browser asks first.
pub fn preflight(door: Door, cors: &str) -> Vec<u8> {
    let asked = match cors.is_empty() {
        true => "",
        false => {
            "Access-Control-Allow-Methods: GET, POST, OPTIONS\r\nAccess-Control-Allow-Headers: authorization, content-type, last-event-id\r\nAccess-Control-Max-Age: 600\r\n"
        }
    };
    let allow = door.allow();
    format!("HTTP/1.1 204 No Content\r\nConnection: close\r\nAllow: {allow}\r\nX-Content-Type-Options: nosniff\r\nCache-Control: no-store\r\n{cors}{asked}\r\n")
        .into_bytes()
}

/// How long the body is, for a request that has one; the checks of the head in
/// their order.
pub fn length_of_body(request: &Request, door: Door, most: usize) -> Result<usize, Denied> {
    match door {
        Door::Live if request.method == Method::Get => return Ok(0),
        Door::Rpc if request.method == Method::Post => {}
        Door::Rpc | Door::Live => return Err(Denied::Method(door)),
    }
    if !request.content_type.as_deref().is_some_and(is_json) {
        return Err(Denied::NotJson);
    }
    let length = match &request.content_length {
        Some(length) if !request.has_transfer_encoding => length,
        _ => return Err(Denied::NoLength),
    };
    // Digits only: a list of two, even of equal ones, is a trick.
    let digits = std::str::from_utf8(length).ok().filter(|text| !text.is_empty());
    let digits = digits.filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let digits = digits.ok_or(Denied::BadLength)?;
    digits.parse().ok().filter(|length| *length <= most).ok_or(Denied::TooLong(most))
}

/// `application/json`, whatever its parameters.
fn is_json(content_type: &[u8]) -> bool {
    let name = content_type.split(|byte| *byte == b';').next().unwrap_or_default();
    name.trim_ascii().eq_ignore_ascii_case(b"application/json")
}

pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// What stands in front of the body of an answer.
pub fn answer_head(status: u16, fields: &str, cors: &str, length: usize) -> Vec<u8> {
    format!(
        "HTTP/1.1 {status} {}\r\nConnection: close\r\n{fields}{cors}X-Content-Type-Options: nosniff\r\nCache-Control: no-store\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n",
        phrase(status)
    )
    .into_bytes()
}

/// What stands in front of a stream of events.
pub fn stream_head(cors: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 200 OK\r\nConnection: close\r\n{cors}X-Content-Type-Options: nosniff\r\nCache-Control: no-store\r\nX-Accel-Buffering: no\r\nContent-Type: text/event-stream\r\n\r\n"
    )
    .into_bytes()
}

#[cfg(test)]
mod tests;
