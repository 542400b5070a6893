//! Lines of the log that peers can cause. A flood of them is one line a second
//! for each kind, with how many more there were.

use std::collections::BTreeMap;

use log::kv::Value;

use super::budgets::Spent;
use super::{Engine, Timer};
use crate::app::ConnId;
use crate::protocol::Request;
use crate::query::SlowView;

/// How long the worst of a kind is waited for.
const SECOND_MS: u64 = 1_000;

/// Characters of a name.
const LONGEST_NAME: usize = 128;

/// What is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    SlowRequest,
    SlowView,
    LoginFailed,
    Closed,
}

impl Kind {
    const fn level(self) -> log::Level {
        match self {
            Kind::SlowRequest | Kind::SlowView => log::Level::Warn,
            Kind::LoginFailed | Kind::Closed => log::Level::Info,
        }
    }
}

/// Members of a line; of those that are known.
#[derive(Clone, Debug, Default)]
struct Members {
    conn: Option<String>,
    user: Option<String>,
    op: Option<String>,
    ms: Option<u64>,
    code: Option<u16>,
    bucket: Option<String>,
    query: Option<String>,
    rule: Option<String>,
    traceparent: Option<String>,
}

#[derive(Clone, Debug)]
struct Worst {
    weight: u64,
    text: String,
    members: Members,
    /// How many there were beside it.
    more: u64,
}

/// See the module's description.
#[derive(Debug, Default)]
pub(super) struct Notices {
    waiting: BTreeMap<Kind, Worst>,
    armed: bool,
}

impl Notices {
    fn note(&mut self, kind: Kind, weight: u64, text: impl FnOnce() -> (String, Members)) {
        match self.waiting.get_mut(&kind) {
            None => {
                let (text, members) = text();
                self.waiting.insert(kind, Worst { weight, text, members, more: 0 });
            }
            Some(worst) => {
                worst.more += 1;
                if weight > worst.weight {
                    worst.weight = weight;
                    (worst.text, worst.members) = text();
                }
            }
        }
    }
}

impl Worst {
    fn say(&self, kind: Kind) {
        let more = match self.more {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let Members { conn, user, op, ms, code, bucket, query, rule, traceparent } = &self.members;
        let texts = [
            ("conn", conn),
            ("user", user),
            ("op", op),
            ("bucket", bucket),
            ("query", query),
            ("rule", rule),
            ("traceparent", traceparent),
        ];
        let texts = texts
            .iter()
            .filter_map(|(name, value)| value.as_deref().map(|value| (*name, Value::from(value))));
        let n = Some(self.more).filter(|more| *more > 0);
        let numbers = [("ms", *ms), ("code", code.map(u64::from)), ("n", n)];
        let numbers =
            numbers.iter().filter_map(|(name, value)| Some((*name, Value::from((*value)?))));
        let pairs: Vec<(&str, Value<'_>)> = texts.chain(numbers).collect();
        log::logger().log(
            &log::Record::builder()
                .level(kind.level())
                .target(module_path!())
                .args(format_args!("{}{more}", self.text))
                .key_values(&pairs)
                .build(),
        );
    }
}

impl Engine {
    fn note(&mut self, kind: Kind, weight: u64, text: impl FnOnce() -> (String, Members)) {
        if log::max_level() < kind.level() {
            return;
        }
        self.notices.note(kind, weight, text);
        if !self.notices.armed {
            self.notices.armed = true;
            self.wheel.insert(self.now.mono.saturating_add(SECOND_MS), Timer::Notices);
        }
    }

    /// A second is over: what it had is told.
    pub(super) fn tell_notices(&mut self) {
        self.notices.armed = false;
        for (kind, worst) in std::mem::take(&mut self.notices.waiting) {
            worst.say(kind);
        }
    }

    /// A request was answered, `micros` after it came.
    pub(super) fn note_slow_request(&mut self, conn: ConnId, request: &Request<'_>, micros: u64) {
        let limit = self.options.slow_request_ms;
        if limit == 0 || micros < limit.saturating_mul(1_000) {
            return;
        }
        let field = |name: &str| request.str_field(name).map(|text| cut(&text));
        let named = ["bucket", "query", "name", "topic", "ruleId"];
        let resource = named.into_iter().find_map(field);
        let resource = resource.map_or_else(String::new, |name| format!(" on \"{name}\""));
        let (op, ms) = (cut(&request.operation), micros / 1_000);
        let Spent { looked_at, rows, .. } = self.current.spent;
        let text = format!(
            "slow request: {op}{resource} took {ms} ms, looked at {looked_at}, {rows} rows"
        );
        let members = Members {
            conn: self.conns.get(conn).map(|conn| conn.name()),
            user: self.session(conn).map(|session| session.user_id.to_string()),
            op: Some(op),
            ms: Some(ms),
            bucket: field("bucket"),
            query: field("query"),
            rule: field("ruleId"),
            traceparent: field("traceparent").filter(|text| is_traceparent(text)),
            ..Members::default()
        };
        self.note(Kind::SlowRequest, micros, || (text, members));
    }

    /// Views have followed a commit, one of them slowly.
    pub(super) fn note_slow_view(&mut self) {
        let limit = self.options.slow_view_ms.saturating_mul(1_000);
        let Some(slow) = self.views.take_slow() else { return };
        if limit == 0 || slow.micros < limit {
            return;
        }
        let SlowView { query, micros, fallback } = slow;
        let ms = micros / 1_000;
        let why = fallback.map_or_else(String::new, |why| format!(" (rerun: {why})"));
        let text = format!("slow view: query \"{query}\" took {ms} ms for one commit{why}");
        let members = Members { ms: Some(ms), query: Some(query.into()), ..Members::default() };
        self.note(Kind::SlowView, micros, || (text, members));
    }

    /// Somebody could not log in.
    pub(super) fn note_failed_login(&mut self, conn: ConnId, operation: &str, message: &str) {
        let Some(conn) = self.conns.get(conn) else { return };
        let text = format!("login failed: {operation} from {}: {message}", conn.address);
        let members = Members {
            conn: Some(conn.name()),
            op: Some(operation.to_owned()),
            ..Members::default()
        };
        self.note(Kind::LoginFailed, 0, || (text, members));
    }

    /// The server ends a connection of its own accord.
    pub(super) fn note_closed(&mut self, conn: ConnId, code: u16, reason: &'static str) {
        // What everybody is told at the end is no news.
        if code == 1000 {
            return;
        }
        let Some(conn) = self.conns.get(conn) else { return };
        let text = format!("closed by the server: {code} {reason}, {}", conn.address);
        let members = Members { conn: Some(conn.name()), code: Some(code), ..Members::default() };
        self.note(Kind::Closed, 0, || (text, members));
    }
}

/// What a client has called something, at most so much of it that the rest of
/// the line is told, too.
fn cut(name: &str) -> String {
    match name.char_indices().nth(LONGEST_NAME) {
        Some((end, _)) => format!("{}…", name.get(..end).unwrap_or_default()),
        None => name.to_owned(),
    }
}

/// Whether a text has the form of W3C's trace context: version, trace, parent,
/// flags.
fn is_traceparent(text: &str) -> bool {
    let is_hex = |part: &str, digits: usize| {
        part.len() == digits && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let is_id = |part: &str, digits| is_hex(part, digits) && part.bytes().any(|byte| byte != b'0');
    let mut parts = text.split('-');
    let begins = parts.next().is_some_and(|version| is_hex(version, 2) && version != "ff")
        && parts.next().is_some_and(|trace| is_id(trace, 32))
        && parts.next().is_some_and(|parent| is_id(parent, 16));
    begins && parts.next().is_some_and(|flags| is_hex(flags, 2)) && parts.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_name_leaves_room_for_the_rest() {
        assert_eq!(cut(&"é".repeat(LONGEST_NAME)), "é".repeat(LONGEST_NAME));
        assert_eq!(cut(&"é".repeat(LONGEST_NAME + 1)), format!("{}…", "é".repeat(LONGEST_NAME)));
    }

    #[test]
    fn only_what_has_the_form_of_a_trace_is_one() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert!(is_traceparent(good));
        for bad in [
            "",
            "00",
            &good.to_uppercase(),
            &good[1..],
            &format!("{good}-x"),
            &good.replace("00-", "ff-"),
            &good.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
            &good.replace("b7ad6b7169203331", &"0".repeat(16)),
            &good.replace('-', "_"),
            &good.replace("01", "0g"),
        ] {
            assert!(!is_traceparent(bad), "{bad}");
        }
    }

    #[test]
    fn the_worst_of_a_second_is_told_with_how_many_more_there_were() {
        let mut notices = Notices::default();
        for weight in [3, 9, 5] {
            notices
                .note(Kind::SlowRequest, weight, || (format!("took {weight}"), Members::default()));
        }
        let worst = &notices.waiting[&Kind::SlowRequest];
        assert_eq!((&*worst.text, worst.more), ("took 9", 2));
    }
}
