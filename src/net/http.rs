//! The HTTP that precedes a WebSocket: one request head in, one answer out.
//!
//! Owns protocol.md sections 1.1 to 1.4. It must not know sockets or time.
//! `Host` is looked for, and looked at by the guard of an open server only.

pub mod client;
#[cfg(feature = "console")]
pub mod console;
pub mod door;
mod target;

use super::guard::Guard;
use super::limits::{COMMON_HEADER_FIELDS, HEAD_BYTES, HEADER_FIELDS, USER_AGENT_CHARS};
use std::borrow::Cow;
pub use target::comparable_path;
use target::query_of;
use tungstenite::handshake::derive_accept_key;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Get,
    Head,
    Options,
    Post,
    Other,
}

/// What was asked. Repeated header fields are joined with `, `.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub method: Method,
    /// The path as it is compared (section 1.2); `None` for targets without one.
    pub path: Option<String>,
    /// `Connection` lists `upgrade` and there is an `Upgrade`.
    pub is_upgrade: bool,
    upgrade: Option<Vec<u8>>,
    key: Option<Vec<u8>>,
    version: Option<Vec<u8>>,
    protocols: Option<Vec<u8>>,
    origin: Option<Vec<u8>>,
    host: Option<Vec<u8>>,
    pub authorization: Option<Vec<u8>>,
    pub user_agent: Option<String>,
    pub forwarded_for: Option<Vec<u8>>,
    pub real_ip: Option<Vec<u8>>,
    /// For the door only; see [`door`].
    content_type: Option<Vec<u8>>,
    content_length: Option<Vec<u8>>,
    has_transfer_encoding: bool,
    /// `Expect: 100-continue`, of a client that knows what that is.
    pub expects_continue: bool,
    /// What stands behind `?` in the target.
    pub query: String,
    pub last_event_id: Option<Vec<u8>>,
    /// For files only; see [`client`].
    accept_encoding: Option<Vec<u8>>,
    if_none_match: Option<Vec<u8>>,
}

impl Request {
    /// Why it was refused, for the log: without its path, which may say anything.
    pub fn refused(&self, refusal: Refusal) -> Cow<'static, str> {
        let (what, value) = match refusal {
            Refusal::ForeignHost => ("host", &self.host),
            Refusal::ForeignOrigin | Refusal::OriginNotAllowed => ("origin", &self.origin),
            _ => return refusal.text().into(),
        };
        let value = String::from_utf8_lossy(value.as_deref().unwrap_or_default());
        format!("{what} not allowed: {value}").into()
    }
}

/// The first byte of a client that speaks TLS, and of no HTTP.
const TLS_HANDSHAKE: u8 = 0x16;

/// Reads a head that arrives in pieces. It is parsed when it grew to twice the
/// length and when an empty line came in, so that what is no HTTP is refused
/// early and a client that sends single bytes costs little.
#[derive(Debug, Default)]
pub struct HeadReader {
    parsed: usize,
    seen: usize,
}

impl HeadReader {
    /// `input` is everything that has arrived so far. Returns the request and
    /// the length of its head, or `None` when more is needed.
    pub fn read(&mut self, input: &[u8]) -> Result<Option<(Box<Request>, usize)>, Refusal> {
        let fresh = input.get(self.seen.saturating_sub(3)..).unwrap_or_default();
        let has_empty_line =
            fresh.windows(2).any(|w| w == b"\n\n") || fresh.windows(3).any(|w| w == b"\n\r\n");
        self.seen = input.len();
        if input.first() == Some(&TLS_HANDSHAKE) {
            return Err(Refusal::TlsOnPlain);
        }
        let has_doubled = input.len() >= self.parsed.saturating_mul(2);
        if !has_empty_line && !has_doubled && input.len() <= HEAD_BYTES {
            return Ok(None);
        }
        self.parsed = input.len();
        match parse(input)? {
            Some((_, length)) if length > HEAD_BYTES => Err(Refusal::HeadTooLarge),
            None if input.len() > HEAD_BYTES => Err(Refusal::HeadTooLarge),
            result => Ok(result),
        }
    }
}

fn parse(input: &[u8]) -> Result<Option<(Box<Request>, usize)>, Refusal> {
    let mut common = [httparse::EMPTY_HEADER; COMMON_HEADER_FIELDS];
    match parse_with(input, &mut common) {
        Err(httparse::Error::TooManyHeaders) => {
            let mut all = vec![httparse::EMPTY_HEADER; HEADER_FIELDS];
            match parse_with(input, &mut all) {
                Err(httparse::Error::TooManyHeaders) => Err(Refusal::HeadTooLarge),
                Err(_) => Err(Refusal::Malformed("malformed HTTP request")),
                Ok(result) => result,
            }
        }
        Err(_) => Err(Refusal::Malformed("malformed HTTP request")),
        Ok(result) => result,
    }
}

type Parsed = Result<Option<(Box<Request>, usize)>, Refusal>;

fn parse_with<'a>(
    input: &'a [u8],
    headers: &mut [httparse::Header<'a>],
) -> Result<Parsed, httparse::Error> {
    let mut head = httparse::Request::new(headers);
    let length = match head.parse(input)? {
        httparse::Status::Partial => return Ok(Ok(None)),
        httparse::Status::Complete(length) => length,
    };
    Ok(understand(&head).map(|request| Some((Box::new(request), length))))
}

fn understand(head: &httparse::Request<'_, '_>) -> Result<Request, Refusal> {
    let fields = &*head.headers;
    let method = match head.method {
        Some("GET") => Method::Get,
        Some("HEAD") => Method::Head,
        Some("OPTIONS") => Method::Options,
        Some("POST") => Method::Post,
        _ => Method::Other,
    };
    let target = head.path.unwrap_or_default();
    let path = comparable_path(target);
    if path.is_none() && target != "*" && head.method != Some("CONNECT") {
        return Err(Refusal::Malformed("malformed request target"));
    }
    let upgrade = joined(fields, "upgrade");
    let connection = joined(fields, "connection").unwrap_or_default();
    let has_token = connection
        .split(|byte| *byte == b',')
        .any(|t| t.trim_ascii().eq_ignore_ascii_case(b"upgrade"));
    let (host, is_upgrade) = (joined(fields, "host"), has_token && upgrade.is_some());
    // The checks of a balancer, and old tools, know neither.
    if is_upgrade && head.version != Some(1) {
        return Err(Refusal::Malformed("expected HTTP/1.1"));
    }
    if is_upgrade && host.is_none() {
        return Err(Refusal::Malformed("missing Host"));
    }
    Ok(Request {
        method,
        path,
        is_upgrade,
        host,
        upgrade,
        key: joined(fields, "sec-websocket-key"),
        version: joined(fields, "sec-websocket-version"),
        protocols: joined(fields, "sec-websocket-protocol"),
        origin: joined(fields, "origin"),
        authorization: joined(fields, "authorization"),
        user_agent: joined(fields, "user-agent")
            .map(|text| String::from_utf8_lossy(&text).chars().take(USER_AGENT_CHARS).collect()),
        forwarded_for: joined(fields, "x-forwarded-for"),
        real_ip: joined(fields, "x-real-ip"),
        content_type: joined(fields, "content-type"),
        content_length: joined(fields, "content-length"),
        has_transfer_encoding: joined(fields, "transfer-encoding").is_some(),
        expects_continue: head.version == Some(1)
            && joined(fields, "expect")
                .is_some_and(|value| value.eq_ignore_ascii_case(b"100-continue")),
        query: query_of(target).to_owned(),
        last_event_id: joined(fields, "last-event-id"),
        accept_encoding: joined(fields, "accept-encoding"),
        if_none_match: joined(fields, "if-none-match"),
    })
}

fn joined(fields: &[httparse::Header<'_>], name: &str) -> Option<Vec<u8>> {
    let mut values = fields.iter().filter(|field| field.name.eq_ignore_ascii_case(name));
    let mut all = values.next()?.value.trim_ascii().to_vec();
    for field in values {
        all.extend_from_slice(b", ");
        all.extend_from_slice(field.value.trim_ascii());
    }
    Some(all)
}

/// A request that gets an answer and no WebSocket, in the order of the checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    Malformed(&'static str),
    HeadTooLarge,
    Timeout,
    NotFound,
    UpgradeRequired,
    OriginNotAllowed,
    /// By the guard of an open server.
    ForeignOrigin,
    ForeignHost,
    TlsOnPlain,
    PlainOnTls,
    MethodNotAllowed,
    BadUpgrade(&'static str),
    BadVersion,
    TooManyConnections,
}

impl Refusal {
    /// Status, header fields beyond the usual ones, and the line of the body.
    fn parts(self) -> (u16, &'static str, &'static str) {
        match self {
            Refusal::Malformed(why) | Refusal::BadUpgrade(why) => (400, "", why),
            Refusal::BadVersion => (
                400,
                "Sec-WebSocket-Version: 13, 8\r\n",
                "missing or unsupported Sec-WebSocket-Version, expected 13 or 8",
            ),
            Refusal::OriginNotAllowed => (403, "", "origin not allowed"),
            Refusal::ForeignOrigin => (
                403,
                "",
                "origin not allowed: this server has no authentication and serves pages of this machine only (set allowedOrigins)",
            ),
            Refusal::ForeignHost => (
                403,
                "",
                "host not allowed: this server has no authentication and serves pages of this machine only (set allowedOrigins)",
            ),
            Refusal::TlsOnPlain => (400, "", "this port does not speak TLS, use http:// or ws://"),
            Refusal::PlainOnTls => (400, "", "this port speaks TLS, use https:// or wss://"),
            Refusal::NotFound => (404, "", "not found"),
            Refusal::MethodNotAllowed => (405, "Allow: GET, HEAD\r\n", "method not allowed"),
            Refusal::Timeout => (408, "", "the request did not arrive in time"),
            Refusal::UpgradeRequired => {
                (426, "Upgrade: websocket\r\n", "this is a WebSocket endpoint")
            }
            Refusal::HeadTooLarge => (431, "", "request head longer than 16 KiB"),
            Refusal::TooManyConnections => (503, "", "too many connections"),
        }
    }

    /// The line of the body.
    pub fn text(self) -> &'static str {
        self.parts().2
    }

    pub fn status(self) -> u16 {
        self.parts().0
    }

    /// A word for the metrics.
    pub fn reason(self) -> &'static str {
        match self {
            Refusal::Malformed(_) => "malformed",
            Refusal::HeadTooLarge => "head_too_large",
            Refusal::Timeout => "timeout",
            Refusal::NotFound => "not_found",
            Refusal::UpgradeRequired => "upgrade_required",
            Refusal::OriginNotAllowed | Refusal::ForeignOrigin => "origin",
            Refusal::ForeignHost => "host",
            Refusal::TlsOnPlain => "tls_on_plain",
            Refusal::PlainOnTls => "plain_on_tls",
            Refusal::MethodNotAllowed => "method",
            Refusal::BadUpgrade(_) => "bad_upgrade",
            Refusal::BadVersion => "bad_version",
            Refusal::TooManyConnections => "too_many_connections",
        }
    }

    /// The bytes of the answer; without its body for `HEAD`.
    pub fn answer(self, method: Method) -> Vec<u8> {
        let (status, fields, why) = self.parts();
        let body = format!("{why}\n");
        answer(status, "text/plain; charset=utf-8", fields, body.as_bytes(), method)
    }
}

/// An answer after which the connection is closed.
pub fn answer(
    status: u16,
    content_type: &str,
    fields: &str,
    body: &[u8],
    method: Method,
) -> Vec<u8> {
    let mut out = format!(
        "HTTP/1.1 {status} {}\r\nConnection: close\r\n{fields}X-Content-Type-Options: nosniff\r\nCache-Control: no-store\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n",
        phrase(status),
        body.len()
    )
    .into_bytes();
    if method != Method::Head {
        out.extend_from_slice(body);
    }
    out
}

/// The answer to `OPTIONS`, with which some balancers look whether we are there.
pub const OPTIONS_ANSWER: &[u8] =
    b"HTTP/1.1 204 No Content\r\nConnection: close\r\nAllow: GET, HEAD, OPTIONS\r\nX-Content-Type-Options: nosniff\r\nCache-Control: no-store\r\n\r\n";

fn phrase(status: u16) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
        301 => "Moved Permanently",
        302 => "Found",
        304 => "Not Modified",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        411 => "Length Required",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        _ => "",
    }
}

/// What a request is compared with.
#[derive(Clone, Debug)]
pub struct Site<'a> {
    /// Path of the WebSocket; empty where there is none.
    pub path: &'a str,
    pub allowed_origins: Option<&'a [String]>,
    /// Pages of everywhere are welcome, and said to be.
    pub is_for_all: bool,
    pub guard: Option<&'a Guard>,
}

/// What becomes of a well-formed request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// These bytes complete the upgrade.
    Upgrade(Vec<u8>),
    /// `OPTIONS` of any path.
    Options,
    /// `GET` or `HEAD` of some other path: perhaps somebody has an answer.
    Page(String),
    Refuse(Refusal),
}

/// Rows 3 to 10 of section 1.1, in that order.
pub fn judge(request: &Request, site: &Site<'_>) -> Verdict {
    let is_socket_path = request.path.as_deref() == Some(site.path);
    if !request.is_upgrade && request.method == Method::Options {
        return Verdict::Options;
    }
    if !request.is_upgrade {
        return Verdict::Refuse(match &request.path {
            _ if matches!(request.method, Method::Post | Method::Other) => {
                Refusal::MethodNotAllowed
            }
            _ if is_socket_path => Refusal::UpgradeRequired,
            Some(path) => return Verdict::Page(path.clone()),
            None => Refusal::NotFound,
        });
    }
    match upgrade(request, site, is_socket_path) {
        Ok(answer) => Verdict::Upgrade(answer),
        Err(refusal) => Verdict::Refuse(refusal),
    }
}

/// Whether a page of elsewhere asks, or under a name that is none of ours.
pub fn foreign(request: &Request, site: &Site<'_>) -> Option<Refusal> {
    if let (Some(allowed), Some(origin)) = (site.allowed_origins, &request.origin)
        && !allowed.iter().any(|one| one.as_bytes() == origin.as_slice())
    {
        return Some(Refusal::OriginNotAllowed);
    }
    if let Some(guard) = site.guard {
        let origin = request.origin.as_deref().filter(|_| site.allowed_origins.is_none());
        if origin.is_some_and(|origin| !guard.allows_origin(origin)) {
            return Some(Refusal::ForeignOrigin);
        }
        if !guard.allows_host(request.host.as_deref()) {
            return Some(Refusal::ForeignHost);
        }
    }
    None
}

fn upgrade(request: &Request, site: &Site<'_>, is_socket_path: bool) -> Result<Vec<u8>, Refusal> {
    if !is_socket_path {
        return Err(Refusal::NotFound);
    }
    if let Some(refusal) = foreign(request, site) {
        return Err(refusal);
    }
    if request.method != Method::Get {
        return Err(Refusal::MethodNotAllowed);
    }
    if !request.upgrade.as_ref().is_some_and(|name| name.eq_ignore_ascii_case(b"websocket")) {
        return Err(Refusal::BadUpgrade("Upgrade is not websocket"));
    }
    let key = request.key.as_deref().filter(|key| is_key(key));
    let key = key.ok_or(Refusal::BadUpgrade("missing or invalid Sec-WebSocket-Key"))?;
    if !matches!(request.version.as_deref(), Some(b"13" | b"8")) {
        return Err(Refusal::BadVersion);
    }
    let protocol = match request.protocols.as_deref().map(first_protocol) {
        Some(None) => return Err(Refusal::BadUpgrade("invalid Sec-WebSocket-Protocol")),
        Some(Some(first)) => format!("Sec-WebSocket-Protocol: {first}\r\n"),
        None => String::new(),
    };
    let accept = derive_accept_key(key);
    Ok(format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n{protocol}\r\n"
    )
    .into_bytes())
}

/// 22 base64 characters and `==`: 16 bytes.
fn is_key(key: &[u8]) -> bool {
    key.strip_suffix(b"==").is_some_and(|digits| {
        digits.len() == 22
            && digits.iter().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'+' | b'/'))
    })
}

/// The first of a list of subprotocols; `None` unless all of them are tokens
/// and different (RFC 6455 section 4.1).
fn first_protocol(list: &[u8]) -> Option<Cow<'_, str>> {
    let names: Vec<&[u8]> = list.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).collect();
    let is_token = |name: &[u8]| {
        !name.is_empty()
            && name.iter().all(|c| c.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(c))
    };
    let mut sorted = names.clone();
    sorted.sort_unstable();
    sorted.dedup();
    let all_differ = sorted.len() == names.len();
    if !all_differ || !names.iter().all(|name| is_token(name)) {
        return None;
    }
    names.first().map(|name| String::from_utf8_lossy(name))
}

#[cfg(test)]
mod tests;
