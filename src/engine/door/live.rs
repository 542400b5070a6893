//! A live query as a stream of server-sent events: one subscription, one
//! connection.
//!
//! Owns what is asked for and the text of events. The subscription is one like any
//! other; its pushes come here for their heads (`engine/subscriptions/publish.rs`).

use super::super::continuity::{Token, TokenText};
use super::super::subscriptions::Kind;
use super::{Door, Failure};
use crate::app::{CommitSeq, ConnId, Effect, TransportView};
use crate::engine::{Engine, Timer};
use crate::json::{Raw, parse, write_number, write_string};
use crate::protocol::{OpError, Operation, Rejected, RequestId};
use std::borrow::Cow;
use std::sync::Arc;

/// Time between two signs of life, ms.
const ALIVE_MS: u64 = 15_000;

/// How long a socket may take nothing of what there is for it, ms.
const STUCK_MS: u64 = 30_000;

/// What stands in front of all events: how long a client waits before it comes
/// back, ms.
const FIRST: &str = "retry: 1000\n\n";

/// See the module's description.
#[derive(Debug)]
pub(crate) struct Live {
    /// The message that logs in, if that is still to be done.
    login: Option<String>,
    logs_in: bool,
    /// The message that subscribes, likewise.
    subscribe: Option<String>,
    refused: Option<Failure>,
    login_failed: bool,
    pub(super) streams: bool,
    /// What stands in front of the commit in ids; `None`: the query cannot resume.
    token: Option<TokenText>,
    /// The newest commit that an id has named.
    commit: CommitSeq,
}

/// What is asked for in a query string.
#[derive(Default)]
struct Wanted<'q> {
    query: Option<Cow<'q, str>>,
    params: Option<Cow<'q, str>>,
    mode: Option<Cow<'q, str>>,
    positions: Option<Cow<'q, str>>,
}

/// A name or value of a query string; `None`: no text.
fn decoded(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains(['%', '+']) {
        return Some(Cow::Borrowed(text));
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        match first {
            b'+' => out.push(b' '),
            b'%' => {
                let (digits, behind) = rest.split_at_checked(2)?;
                let digits = std::str::from_utf8(digits).ok()?;
                let is_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
                out.push(u8::from_str_radix(digits, 16).ok().filter(|_| is_hex)?);
                rest = behind;
            }
            byte => out.push(*byte),
        }
    }
    String::from_utf8(out).ok().map(Cow::Owned)
}

fn wanted(query: &str) -> Option<Wanted<'_>> {
    let mut wanted = Wanted::default();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (name, value) = (decoded(name)?, decoded(value)?);
        match &*name {
            "query" => wanted.query = Some(value),
            "params" => wanted.params = Some(value),
            "mode" => wanted.mode = Some(value),
            "positions" => wanted.positions = Some(value),
            _ => {}
        }
    }
    Some(wanted)
}

/// The token and the commit of an id that is one of ours.
fn position(id: &[u8]) -> Option<(&str, u64)> {
    let (token, commit) = std::str::from_utf8(id).ok()?.split_once('.')?;
    let is_number = commit.len() <= 15 && commit.bytes().all(|digit| digit.is_ascii_digit());
    let commit = commit.parse().ok().filter(|_| is_number)?;
    Token::read(token).map(|_| (token, commit))
}

/// The subscribe that a request stands for.
fn subscribe(query: &str, last: Option<&[u8]>, max_depth: u32) -> Result<String, OpError> {
    let invalid = || OpError::validation("Invalid query string: expected percent-encoded UTF-8");
    let wanted = wanted(query).ok_or_else(invalid)?;
    let mut out = b"{\"id\":0,\"type\":".to_vec();
    write_string(&mut out, Operation::StoreSubscribe.name());
    let mut member = |name: &str, write: &dyn Fn(&mut Vec<u8>)| {
        out.push(b',');
        write_string(&mut out, name);
        out.push(b':');
        write(&mut out);
    };
    if let Some(query) = &wanted.query {
        member("query", &|out| write_string(out, query));
    }
    if let Some(params) = &wanted.params {
        let params = parse(params, max_depth)
            .map_err(|_| OpError::validation("Invalid \"params\": expected JSON"))?;
        member("params", &|out| out.extend_from_slice(params.text().as_bytes()));
    }
    if let Some(mode) = &wanted.mode {
        member("mode", &|out| write_string(out, mode));
    }
    match wanted.positions.as_deref() {
        None => {}
        Some(word @ ("true" | "false")) => {
            member("positions", &|out| out.extend_from_slice(word.as_bytes()));
        }
        Some(other) => member("positions", &|out| write_string(out, other)),
    }
    member("resume", &|out| match last.and_then(position) {
        None => out.extend_from_slice(b"{}"),
        Some((token, commit)) => {
            let text = format!("{{\"token\":\"{token}\",\"commit\":{commit}}}");
            out.extend_from_slice(text.as_bytes());
        }
    });
    out.push(b'}');
    String::from_utf8(out).map_err(|_| OpError::internal())
}

impl Live {
    pub fn new(
        login: Option<String>,
        query: &str,
        last_event_id: Option<&[u8]>,
        max_depth: u32,
    ) -> Result<Live, Rejected> {
        let subscribe = subscribe(query, last_event_id, max_depth)
            .map_err(|error| Rejected { id: RequestId::Integer(0), error })?;
        Ok(Live {
            login,
            logs_in: false,
            subscribe: Some(subscribe),
            refused: None,
            login_failed: false,
            streams: false,
            token: None,
            commit: 0,
        })
    }

    /// The next message to be handled.
    pub fn next(&mut self) -> Option<String> {
        if self.refused.is_some() {
            return None;
        }
        if let Some(login) = self.login.take() {
            self.logs_in = true;
            return Some(login);
        }
        self.subscribe.take()
    }

    /// A login went well; false if it was none.
    pub fn logged_in(&mut self) -> bool {
        std::mem::take(&mut self.logs_in)
    }

    pub(super) fn fail(&mut self, failure: Failure) {
        self.login_failed = std::mem::take(&mut self.logs_in);
        self.refused = Some(failure);
    }

    /// What is answered in place of a stream, and whether the login failed.
    pub(super) fn take_refusal(&mut self) -> Option<(Failure, bool)> {
        Some((self.refused.take()?, self.login_failed))
    }

    /// Appends the line of the id, if there is one.
    fn write_id(&mut self, commit: Option<CommitSeq>, out: &mut Vec<u8>) {
        let (Some(token), Some(commit)) = (self.token, commit) else { return };
        self.commit = self.commit.max(commit);
        out.extend_from_slice(b"id: ");
        out.extend_from_slice(&token);
        out.push(b'.');
        write_number(out, self.commit as f64);
        out.push(b'\n');
    }
}

/// What a push is called.
fn name_of(kind: Kind, text: Option<&Arc<[u8]>>) -> &'static str {
    let resets = || text.is_some_and(|text| text.starts_with(b"\"reset\":true"));
    if kind.seq.is_none() || resets() { "snapshot" } else { "change" }
}

impl Engine {
    fn live(&mut self, id: ConnId) -> Option<&mut Live> {
        match self.door_mut(id)? {
            Door::Live(live) => Some(live),
            Door::Rpc(_) => None,
        }
    }

    /// Whether a connection is a stream of events.
    pub(in crate::engine) fn streams(&self, id: ConnId) -> bool {
        matches!(self.door(id), Some(Door::Live(live)) if live.streams)
    }

    /// The subscribe went well: from here on it is a stream.
    pub(super) fn begin_stream(&mut self, id: ConnId, response: &[u8], needs: CommitSeq) {
        let Ok(response) = std::str::from_utf8(response) else { return };
        let data = Raw::checked(response).get("data");
        let (mut is_resumed, mut resume) = (false, None);
        // Once, whatever the length of the result among them.
        for (name, value) in data.into_iter().flat_map(Raw::members) {
            match &*name {
                "resumed" => is_resumed = value.as_bool() == Some(true),
                "resume" => resume = Some(value),
                _ => {}
            }
        }
        let token = resume.and_then(|resume| resume.get("token")).and_then(Raw::as_str);
        let commit = resume.and_then(|resume| resume.get("commit")).and_then(Raw::as_number);
        let Some(live) = self.live(id) else { return };
        live.streams = true;
        live.token = token.as_deref().and_then(Token::read).map(Token::text);
        let event = if is_resumed { "resumed" } else { "snapshot" };
        let mut head = format!("{FIRST}event: {event}\n").into_bytes();
        live.write_id(commit.map(|commit| commit as CommitSeq), &mut head);
        head.extend_from_slice(b"data: ");
        head.extend_from_slice(data.map_or("null", Raw::text).as_bytes());
        self.metrics.connections += 1;
        self.effects.list.push(Effect::Stream { conn: id });
        self.send_event(id, &head, None, b"\n\n", needs);
        self.arm_sign_of_life(id, ALIVE_MS);
    }

    /// Appends what stands in front of the text of a push; returns what stands
    /// behind it.
    pub(in crate::engine) fn write_event_head(
        &mut self,
        id: ConnId,
        kind: Kind,
        text: Option<&Arc<[u8]>>,
        head: &mut Vec<u8>,
    ) -> &'static [u8] {
        head.clear();
        head.extend_from_slice(b"event: ");
        head.extend_from_slice(name_of(kind, text).as_bytes());
        head.push(b'\n');
        if let Some(live) = self.live(id) {
            live.token = kind.token.or(live.token);
            live.write_id(kind.commit, head);
        }
        head.extend_from_slice(b"data: ");
        match (kind.seq, text) {
            (Some(seq), _) => {
                head.extend_from_slice(b"{\"seq\":");
                write_number(head, seq as f64);
                head.push(b',');
                b"}\n\n"
            }
            (None, Some(_)) => b"\n\n",
            // A result that there is none of.
            (None, None) => b"null\n\n",
        }
    }

    /// Queues the last event of a stream, which is closed when everything else is
    /// done.
    pub(in crate::engine) fn end_stream_later(&mut self, id: ConnId, reason: &str) {
        self.send_end(id, reason, None);
        self.calls.ended_streams.push(id);
    }

    /// Ends a stream, with the reason.
    pub(in crate::engine) fn end_stream(&mut self, id: ConnId, reason: &str) {
        self.send_end(id, reason, None);
        self.close_stream(id, 1000);
    }

    /// Closes those that have been sent their last event.
    pub(in crate::engine) fn close_ended_streams(&mut self) {
        for id in std::mem::take(&mut self.calls.ended_streams) {
            self.close_stream(id, 1000);
        }
    }

    /// The part of a close that is about a stream.
    pub(super) fn end_stream_with(&mut self, id: ConnId, code: u16) {
        match code {
            1000 => self.send_end(id, "shutdown", Some(self.ending.retry_after_ms)),
            1012 => self.send_end(id, "disconnected", None),
            4002 => self.send_end(id, "revoked", None),
            _ => {}
        }
        self.close_stream(id, code);
    }

    fn close_stream(&mut self, conn: ConnId, code: u16) {
        if self.conns.get(conn).is_some() {
            self.effects.list.push(Effect::Close { conn, code, reason: "ended" });
            self.forget(conn, (code, "stream ended"));
        }
    }

    fn send_end(&mut self, id: ConnId, reason: &str, retry_after: Option<u64>) {
        let retry = retry_after.map_or_else(String::new, |ms| format!("retry: {ms}\n"));
        let text = format!("event: end\n{retry}data: {{\"reason\":\"{reason}\"}}\n\n");
        self.send_event(id, text.as_bytes(), None, b"", self.log.last());
    }

    fn arm_sign_of_life(&mut self, id: ConnId, after: u64) {
        let timer = self.wheel.insert(self.now.mono.saturating_add(after), Timer::Stream(id));
        match self.conns.get_mut(id) {
            Some(conn) => conn.heartbeat.timer = Some(timer),
            None => drop(self.wheel.cancel(timer)),
        }
    }

    /// A stream gives a sign of life, which moves the position of its client; one
    /// whose socket has taken nothing for long is given up.
    pub(in crate::engine) fn stream_due(&mut self, id: ConnId, view: &dyn TransportView) {
        let now = self.now.mono;
        let Some(conn) = self.conns.get_mut(id) else { return };
        conn.heartbeat.timer = None;
        if view.is_blocked(id) {
            let end = view.last_output_progress(id).saturating_add(STUCK_MS);
            match end.saturating_sub(now) {
                0 => self.close(id, 4001, "heartbeat_timeout"),
                left => self.arm_sign_of_life(id, left.min(ALIVE_MS)),
            }
            return;
        }
        let mut text = Vec::new();
        let commit = self.bookmark(id);
        if let Some(live) = self.live(id) {
            live.write_id(commit, &mut text);
        }
        if text.is_empty() {
            text.push(b':');
            text.push(b'\n');
        }
        text.push(b'\n');
        self.send_event(id, &text, None, b"", 0);
        self.arm_sign_of_life(id, ALIVE_MS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(query: &str) -> String {
        match subscribe(query, None, 128) {
            Ok(text) => text.replace("{\"id\":0,\"type\":\"store.subscribe\"", "{"),
            Err(error) => error.message.into_owned(),
        }
    }

    #[test]
    fn query_strings_become_subscribes() {
        let rows = [
            ("", r#"{,"resume":{}}"#),
            ("query=hot", r#"{,"query":"hot","resume":{}}"#),
            (
                "query=a&query=%22b%22&x=%ff".trim_end_matches("&x=%ff"),
                r#"{,"query":"\"b\"","resume":{}}"#,
            ),
            ("qu%65ry=a+b%2Bc%C3%A9&unknown", r#"{,"query":"a b+cé","resume":{}}"#),
            (
                "query=q&params=%7B%22a%22:+1%7D&mode=delta&positions=false",
                r#"{,"query":"q","params":{"a": 1},"mode":"delta","positions":false,"resume":{}}"#,
            ),
            ("positions=no", r#"{,"positions":"no","resume":{}}"#),
            ("params=", "Invalid \"params\": expected JSON"),
            // Nothing gets out of its member.
            (r#"params=1,"type":"store.clear""#, "Invalid \"params\": expected JSON"),
            (r#"params={}}{"a":{}"#, "Invalid \"params\": expected JSON"),
            ("query=%", "Invalid query string: expected percent-encoded UTF-8"),
            ("query=%4", "Invalid query string: expected percent-encoded UTF-8"),
            ("query=%+4", "Invalid query string: expected percent-encoded UTF-8"),
            ("x=%ff", "Invalid query string: expected percent-encoded UTF-8"),
        ];
        for (query, expected) in rows {
            assert_eq!(asked(query), expected, "{query}");
        }
    }

    #[test]
    fn an_id_is_a_token_and_a_commit() {
        let token = "A".repeat(43);
        let id = format!("{token}.17");
        assert_eq!(position(id.as_bytes()), Some((&*token, 17)));
        let resumed = subscribe("query=q", Some(id.as_bytes()), 128).unwrap();
        assert!(resumed.ends_with(&format!(r#","resume":{{"token":"{token}","commit":17}}}}"#)));
        for wrong in ["", "17", ".17", &token, &format!("{token}."), &format!("{token}.1e3")] {
            assert_eq!(position(wrong.as_bytes()), None, "{wrong}");
        }
        assert_eq!(position(format!("{token}.{}", "9".repeat(16)).as_bytes()), None);
        assert_eq!(position(b"\xff.1"), None);
    }
}
