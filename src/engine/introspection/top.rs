//! `server.top`: who costs what.

use std::cmp::Reverse;

use super::fields::{integer, text, word};
use super::meter::INTERVAL_MS;
use crate::app::TlsPeer;
use crate::engine::{Conn, Engine};
use crate::json::{Json, Object};
use crate::protocol::{OpError, Request};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    Buffered,
    Behind,
    Ping,
    Requests,
    Loop,
    Errors,
    Stale,
}

const SORTS: [(&str, Sort); 7] = [
    ("buffered", Sort::Buffered),
    ("behind", Sort::Behind),
    ("ping", Sort::Ping),
    ("requests", Sort::Requests),
    ("loop", Sort::Loop),
    ("errors", Sort::Errors),
    ("stale", Sort::Stale),
];

fn number(value: u64) -> Json {
    Json::Number(value as f64)
}

fn tls_json(tls: &TlsPeer) -> Json {
    let certificate = tls.client_certificate.as_deref().map_or(Json::Null, Json::from);
    let members: Object =
        [("version", Json::from(tls.version)), ("clientCertificate", certificate)]
            .into_iter()
            .collect();
    Json::Object(members)
}

impl Engine {
    pub(in crate::engine) fn server_top(
        &mut self,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), OpError> {
        let sort = word(request, "sort", &SORTS)?;
        let limit = integer(request, "limit", 1..=1_000, 20)?;
        let only = text(request, "connectionId")?;
        self.top(sort, limit as usize, only.as_deref())?.write(out);
        Ok(())
    }

    /// The connections by what they have buffered, at most so many, as
    /// `server.top` shows them.
    pub(crate) fn top_by_buffered(&self, limit: usize) -> Json {
        self.top(Sort::Buffered, limit, None).unwrap_or_default()
    }

    fn top(&self, sort: Sort, limit: usize, only: Option<&str>) -> Result<Json, OpError> {
        self.budget.spend(self.conns.len() as u64)?;
        let threshold = self.options.push_threshold();
        let (mut slow, mut buffered) = (0, 0);
        let mut found: Vec<&Conn> = Vec::new();
        for conn in self.conns.all().filter(|conn| !conn.trusted) {
            slow += u64::from(conn.buffered as f64 >= threshold);
            buffered += conn.buffered as u64;
            if only.is_none_or(|name| conn.name() == name) {
                found.push(conn);
            }
        }
        if let Some(name) = only.filter(|_| found.is_empty()) {
            return Err(OpError::not_found(format!("Connection \"{name}\" not found")));
        }
        found.sort_by_cached_key(|conn| (Reverse(self.weight(conn, sort)), conn.number));
        found.truncate(limit);
        let busy = self.load.over(INTERVAL_MS).unwrap_or_default();
        let turns: Object =
            [("busy", Json::Number(busy.share)), ("turnP99Micros", number(busy.p99_micros))]
                .into_iter()
                .collect();
        let rows = found.into_iter().map(|conn| self.top_row(conn)).collect();
        let answer: Object = [
            ("at", number(self.now.wall)),
            ("connections", number(self.conns.len() as u64)),
            ("slow", number(slow)),
            ("bufferedBytes", number(buffered)),
            ("loop", Json::Object(turns)),
            ("rows", Json::Array(rows)),
        ]
        .into_iter()
        .collect();
        Ok(Json::Object(answer))
    }

    fn weight(&self, conn: &Conn, sort: Sort) -> u64 {
        let last = conn.meter.last_interval(self.now.mono);
        match sort {
            Sort::Buffered => conn.buffered as u64,
            Sort::Behind => conn.behind_ms(self.now.mono),
            Sort::Ping => conn.meter.ping_ms.map_or(0, u64::from),
            Sort::Requests => u64::from(last.requests),
            Sort::Loop => u64::from(last.micros),
            Sort::Errors => conn.meter.errors,
            Sort::Stale => self.subscriptions.stale_of(conn.id) as u64,
        }
    }

    fn top_row(&self, conn: &Conn) -> Json {
        let (meter, now) = (&conn.meter, self.now.mono);
        let last = meter.last_interval(now);
        let optional = |value: Option<&str>| value.map_or(Json::Null, Json::from);
        let seconds = INTERVAL_MS as f64 / 1_000.0;
        let user = self.principal(conn.id).map(|(user, _)| user);
        let row: Object = [
            ("connectionId", Json::from(conn.name())),
            ("remoteAddress", Json::from(conn.address.to_string())),
            ("listener", optional(conn.listener.as_deref())),
            ("transport", Json::from(conn.transport())),
            ("tls", conn.tls.as_deref().map_or(Json::Null, tls_json)),
            ("userId", optional(user.as_deref())),
            ("impersonatedBy", optional(self.impersonator(conn.id).map(|user| &**user))),
            ("userAgent", optional(conn.user_agent.as_deref())),
            ("connectedAt", number(conn.connected_at)),
            ("bufferedBytes", number(conn.buffered as u64)),
            ("largestBufferedBytes", number(meter.largest_buffered as u64)),
            ("behindMs", number(conn.behind_ms(now))),
            ("pingMs", meter.ping_ms.map_or(Json::Null, |ms| Json::Number(f64::from(ms)))),
            ("requests", number(meter.requests)),
            ("errors", number(meter.errors)),
            ("requestsPerSecond", Json::Number(f64::from(last.requests) / seconds)),
            ("receivedBytes", number(meter.received)),
            ("sentBytes", number(conn.written)),
            ("loopMicros", number(meter.micros)),
            ("loopShare", Json::Number(f64::from(last.micros) / (seconds * 1e6))),
            ("subscriptions", number(conn.subscriptions() as u64)),
            ("staleSubscriptions", number(self.subscriptions.stale_of(conn.id) as u64)),
            ("skippedPushes", number(u64::from(meter.skipped))),
            ("droppedEvents", number(u64::from(meter.dropped_events))),
            ("waiting", optional(self.waits_for(conn))),
        ]
        .into_iter()
        .collect();
        Json::Object(row)
    }

    /// What a connection waits for.
    fn waits_for(&self, conn: &Conn) -> Option<&'static str> {
        if conn.waiting.is_some() || conn.holding {
            Some("job")
        } else if conn.buffered == 0 {
            None
        } else if self.last_durable() < self.log.last() {
            Some("commit")
        } else {
            Some("output")
        }
    }
}
