//! The pages: what of an answer is shown, and how.

use super::Look;
use super::table::{Column, bytes, cut, number, percent, table, text, time};
use crate::json::Json;
use crate::remote::screen::{Style, harmless};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Page {
    Connections,
    Views,
    Insights,
}

const CONNECTION_SORTS: [&str; 7] =
    ["buffered", "behind", "ping", "requests", "loop", "errors", "stale"];
const VIEW_SORTS: [&str; 6] = ["cost", "rows", "bytes", "subscribers", "reruns", "pushed"];

/// What the pages are sorted by.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sorts {
    connections: usize,
    views: usize,
}

impl Sorts {
    pub fn connections(&self) -> &'static str {
        CONNECTION_SORTS.get(self.connections).copied().unwrap_or("buffered")
    }

    pub fn views(&self) -> &'static str {
        VIEW_SORTS.get(self.views).copied().unwrap_or("cost")
    }

    /// The next one of a page.
    pub fn next(&mut self, page: Page) {
        match page {
            Page::Connections => self.connections = (self.connections + 1) % CONNECTION_SORTS.len(),
            Page::Views => self.views = (self.views + 1) % VIEW_SORTS.len(),
            Page::Insights => {}
        }
    }
}

const CONNECTIONS: [Column; 13] = [
    ("CONNECTION", |row| text(row, "connectionId")),
    ("ADDRESS", |row| text(row, "remoteAddress")),
    ("USER", |row| text(row, "userId")),
    ("AGENT", |row| text(row, "userAgent")),
    ("REQ/S", |row| text(row, "requestsPerSecond")),
    ("LOOP", |row| percent(number(row, "loopShare"))),
    ("BUFFERED", |row| bytes(number(row, "bufferedBytes"))),
    ("BEHIND", |row| time(number(row, "behindMs").map(|ms| ms * 1e3))),
    ("PING", |row| time(number(row, "pingMs").map(|ms| ms * 1e3))),
    ("SUBS", |row| text(row, "subscriptions")),
    ("STALE", |row| text(row, "staleSubscriptions")),
    ("ERRORS", |row| text(row, "errors")),
    ("WAITS", |row| text(row, "waiting")),
];

const VIEWS: [Column; 11] = [
    ("VIEW", |row| text(row, "view")),
    ("QUERY", |row| text(row, "query")),
    ("BUCKETS", |row| text(row, "buckets")),
    ("STATE", |row| text(row, "state")),
    ("ROWS", |row| text(row, "rows")),
    ("BYTES", |row| bytes(number(row, "bytes"))),
    ("SUBS", |row| text(row, "subscribers")),
    ("COST", |row| time(micros(row, "total"))),
    ("LAST", |row| time(micros(row, "last"))),
    ("RERUNS", |row| text(row, "reruns")),
    ("PUSHED", |row| bytes(number(row, "pushedBytes"))),
];

fn micros(row: &Json, name: &str) -> Option<f64> {
    row.get("updateMicros").and_then(|micros| number(micros, name))
}

fn rows(answer: &Json) -> &[Json] {
    answer.get("rows").and_then(Json::as_array).unwrap_or_default()
}

/// The line above all pages.
pub(super) fn head(look: &Look, server: &str, style: Style) -> String {
    let top = &look.top;
    let turn = top.get("loop").unwrap_or(&Json::Null);
    let slow = number(top, "slow").unwrap_or(0.0);
    let slow = format!("{slow} slow");
    format!(
        "{}  {} connections, {}, {} buffered, loop {} busy, turn p99 {}",
        style.bold(server),
        text(top, "connections"),
        if slow.starts_with("0 ") { slow } else { style.yellow(&slow) },
        bytes(number(top, "bufferedBytes")),
        percent(number(turn, "busy")),
        time(number(turn, "turnP99Micros")),
    )
}

impl Page {
    pub fn title(self, sorts: &Sorts, style: Style) -> String {
        match self {
            Page::Connections => style.cyan(&format!("Connections by {}", sorts.connections())),
            Page::Views => style.cyan(&format!("Live views by {}", sorts.views())),
            Page::Insights => style.cyan("Insights"),
        }
    }

    /// Lines that are not cut. The first line of a table is its heading.
    pub fn lines(self, look: &Look, style: Style) -> Vec<String> {
        match self {
            Page::Connections => table(&CONNECTIONS, rows(&look.top)),
            Page::Views => table(&VIEWS, rows(&look.views)),
            Page::Insights => insights(&look.insights, style),
        }
    }

    /// What is traced of a row: the field of `server.trace`, and its value.
    pub fn traced(self, look: &Look, selected: usize) -> Option<(&'static str, String)> {
        match self {
            Page::Connections => Some(("connectionId", self.connection(look, selected)?)),
            Page::Views => {
                let buckets = rows(&look.views).get(selected)?.get("buckets")?.as_array()?;
                Some(("bucket", buckets.first()?.as_str()?.to_owned()))
            }
            Page::Insights => None,
        }
    }

    /// The connection of a row.
    pub fn connection(self, look: &Look, selected: usize) -> Option<String> {
        let row = rows(&look.top).get(selected).filter(|_| self == Page::Connections)?;
        Some(row.get("connectionId")?.as_str()?.to_owned())
    }

    /// How many rows can be selected.
    pub fn count(self, look: &Look) -> usize {
        match self {
            Page::Connections => rows(&look.top).len(),
            Page::Views => rows(&look.views).len(),
            Page::Insights => 0,
        }
    }
}

fn insights(answer: &Json, style: Style) -> Vec<String> {
    let all = answer.get("insights").and_then(Json::as_array).unwrap_or_default();
    if all.is_empty() {
        return vec!["nothing that deserves a look".into()];
    }
    let mut lines = Vec::new();
    for insight in all {
        let part = |name: &str| harmless(&text(insight, name)).replace('\n', " ");
        let severity = part("severity");
        let severity = match severity.as_str() {
            "critical" => style.red(&severity),
            "warn" => style.yellow(&severity),
            _ => severity,
        };
        lines.push(format!("{severity} {} {}: {}", part("kind"), part("subject"), part("reason")));
        lines.push(format!("    {}", part("cure")));
    }
    lines
}

/// An entry of a trace, on one line.
pub(super) fn traced(entry: &Json) -> String {
    let known = ["n", "at", "kind"];
    let mut line = text(entry, "kind");
    for (name, value) in entry.as_object().into_iter().flat_map(crate::json::Object::iter) {
        if !known.contains(&name) {
            line.push_str(&format!(" {name}={}", value.to_text()));
        }
    }
    cut(&harmless(&line).replace('\n', " "), 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Json {
        crate::json::parse(text, 32).expect(text).to_json()
    }

    #[test]
    fn a_page_for_each() {
        let style = Style { colors: false, width: 80 };
        let look = Look {
            top: value(
                r#"{"connections":2,"slow":0,"bufferedBytes":2048,
                "loop":{"busy":0.5,"turnP99Micros":120},"rows":[{"connectionId":"c-1",
                "remoteAddress":"::1","userId":null,"requestsPerSecond":7,"loopShare":0.25,
                "bufferedBytes":2048,"behindMs":1500,"pingMs":null,"subscriptions":3,
                "staleSubscriptions":1,"errors":0,"waiting":"job","userAgent":"x"}]}"#,
            ),
            views: value(r#"{"rows":[{"view":"view-1","query":"hot","buckets":["a","b"]}]}"#),
            insights: value(
                r#"{"insights":[{"kind":"open","severity":"critical","subject":"*:1",
                "reason":"everybody","cure":"auth"}]}"#,
            ),
        };
        assert_eq!(
            head(&look, "ws://h/", style),
            "ws://h/  2 connections, 0 slow, 2.0K buffered, loop 50.0% busy, turn p99 120us"
        );
        let lines = Page::Connections.lines(&look, style);
        assert_eq!(lines.len(), 2);
        let cells: Vec<&str> = lines[1].split_whitespace().collect();
        let expected =
            ["c-1", "::1", "-", "x", "7", "25.0%", "2.0K", "1.5s", "-", "3", "1", "0", "job"];
        assert_eq!(cells, expected);
        assert_eq!(
            Page::Insights.lines(&look, style),
            ["critical open *:1: everybody", "    auth"]
        );
        let traced = |page: Page| page.traced(&look, 0);
        assert_eq!(traced(Page::Connections), Some(("connectionId", "c-1".into())));
        assert_eq!(traced(Page::Views), Some(("bucket", "a".into())));
        assert_eq!(traced(Page::Insights), None);
        assert_eq!(Page::Connections.traced(&look, 1), None);
        assert_eq!(Page::Views.connection(&look, 0), None);
    }

    #[test]
    fn the_sorts_are_those_of_the_server() {
        let reference = std::fs::read_to_string(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/docs/reference/server.md"
        ))
        .expect("a page");
        let section = |name: &str| {
            let (_, rest) = reference.split_once(&format!("\n### {name}\n")).expect(name);
            rest.split("\n### ").next().unwrap_or_default().to_owned()
        };
        for (name, sorts) in
            [("server.top", &CONNECTION_SORTS[..]), ("server.views", &VIEW_SORTS[..])]
        {
            let section = section(name);
            assert!(sorts.iter().all(|sort| section.contains(&format!("`{sort}`"))), "{name}");
        }
        let mut sorts = Sorts::default();
        (0..CONNECTION_SORTS.len()).for_each(|_| sorts.next(Page::Connections));
        assert_eq!(sorts.connections(), "buffered");
    }

    #[test]
    fn entries_of_a_trace() {
        let entry = value(r#"{"n":1,"at":2,"kind":"request","type":"store.get","micros":7}"#);
        assert_eq!(traced(&entry), "request type=\"store.get\" micros=7");
    }
}
