//! `server.trace`: what happens to one connection, one rule or one bucket, told
//! as it happens, for a while. Without traces it costs a look at an empty list.

use super::fields::{integer, text};
use crate::access::Question;
use crate::app::ConnId;
use crate::engine::output::Pushed;
use crate::engine::subscriptions::{subscription_id, subscription_not_found, subscription_number};
use crate::engine::{Engine, Timer};
use crate::json::{Json, Object};
use crate::protocol::{ErrorCode, OpError, Operation, Request};
use crate::store::BucketId;
use crate::wheel::TimerId;

/// How many traces there may be.
const MOST: usize = 4;
/// Characters of a key that is shown.
pub(super) const MOST_KEY: usize = 256;
/// Entries that wait for the end of a request.
const MOST_PENDING: usize = 4_000;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Conn(ConnId),
    Rule(Box<str>),
    Bucket(BucketId),
}

#[derive(Debug)]
struct Trace {
    number: u64,
    conn: ConnId,
    target: Target,
    told: u64,
    left: u64,
    missed: u64,
    timer: TimerId,
}

/// See the module's description.
#[derive(Debug, Default)]
pub(in crate::engine) struct Traces {
    all: Vec<Trace>,
    /// What was seen in the middle of a request, for after its response.
    pending: Vec<(Target, Object)>,
}

impl Traces {
    /// Whatever a commit holds, a trace has an end.
    pub(super) fn keep(&mut self, target: Target, entry: Object) {
        if self.has_room() {
            self.pending.push((target, entry));
        }
    }

    pub(super) fn has_room(&self) -> bool {
        self.pending.len() < MOST_PENDING
    }

    /// The buckets that somebody traces.
    pub(super) fn buckets(&self) -> impl Iterator<Item = BucketId> {
        self.all.iter().filter_map(|trace| match trace.target {
            Target::Bucket(id) => Some(id),
            Target::Conn(_) | Target::Rule(_) => None,
        })
    }

    fn has(&self, target: &Target) -> bool {
        self.all.iter().any(|trace| trace.target == *target)
    }

    fn of_conn(&self, conn: ConnId) -> bool {
        self.all.iter().any(|trace| trace.target == Target::Conn(conn))
    }

    /// How many there are.
    pub fn count_all(&self) -> usize {
        self.all.len()
    }

    /// How many a connection has.
    pub fn count(&self, conn: ConnId) -> usize {
        self.all.iter().filter(|trace| trace.conn == conn).count()
    }
}

pub(super) fn object<const N: usize>(members: [(&'static str, Json); N]) -> Object {
    members.into_iter().collect()
}

impl Engine {
    pub(in crate::engine) fn server_trace(
        &mut self,
        conn: ConnId,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), OpError> {
        let target = self.trace_target(request)?;
        let most = integer(request, "maxEntries", 1..=1_000, 200)?;
        let duration = integer(request, "durationMs", 1_000..=900_000, 300_000)?;
        if self.traces.all.len() >= MOST {
            let text = format!("Too many traces (max {MOST})");
            return Err(OpError::new(ErrorCode::RateLimited, text));
        }
        self.check_subscription_limits(conn)?;
        let number = self.ids.next_subscription();
        if let Target::Rule(rule) = &target {
            self.with_rules(|core, _| core.watch(rule));
        }
        let at = self.now.mono.saturating_add(duration);
        let timer = self.wheel.insert(at, Timer::TraceOver(number));
        let trace = Trace { number, conn, target, told: 0, left: most, missed: 0, timer };
        self.traces.all.push(trace);
        self.total_subscriptions += 1;
        let answer = object([
            ("subscriptionId", Json::from(subscription_id(number, &mut [0; 24]))),
            ("endsAt", Json::Number(self.now.wall.saturating_add(duration) as f64)),
        ]);
        Json::Object(answer).write(out);
        Ok(())
    }

    fn trace_target(&self, request: &Request<'_>) -> Result<Target, OpError> {
        let [conn, rule, bucket] =
            [text(request, "connectionId")?, text(request, "ruleId")?, text(request, "bucket")?];
        let missing =
            |kind: &str, name: &str| OpError::not_found(format!("{kind} \"{name}\" not found"));
        match (conn, rule, bucket) {
            (Some(name), None, None) => {
                let found = self.conns.all().find(|conn| !conn.trusted && conn.name() == name);
                found.map(|conn| Target::Conn(conn.id)).ok_or_else(|| missing("Connection", &name))
            }
            (None, Some(id), None) => {
                let known = self.rule_engine().is_some_and(|engine| engine.rule(&id).is_ok());
                let target = Target::Rule(id.as_str().into());
                known.then_some(target).ok_or_else(|| missing("Rule", &id))
            }
            (None, None, Some(name)) => {
                let visible = self.store.bucket_id(&name).filter(|_| !self.is_system_bucket(&name));
                visible.map(Target::Bucket).ok_or_else(|| missing("Bucket", &name))
            }
            _ => Err(OpError::validation(
                "Expected exactly one of \"connectionId\", \"ruleId\", \"bucket\"",
            )),
        }
    }

    pub(in crate::engine) fn server_untrace(
        &mut self,
        conn: ConnId,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), OpError> {
        let id = request.require_string("subscriptionId")?;
        let number = subscription_number(&id);
        let own = |trace: &Trace| trace.conn == conn && Some(trace.number) == number;
        if !self.traces.all.iter().any(own) {
            return Err(subscription_not_found(&id));
        }
        self.end_traces(None, own);
        out.extend_from_slice(b"{\"untraced\":true}");
        Ok(())
    }

    /// Its time is over.
    pub(in crate::engine) fn trace_over(&mut self, number: u64) {
        self.end_traces(Some("time"), |trace| trace.number == number);
    }

    /// A connection has ended: its traces with it, and those of it.
    pub(in crate::engine) fn forget_traces(&mut self, conn: ConnId) {
        if self.traces.all.is_empty() {
            return;
        }
        self.trace_state(conn, "closed", []);
        self.end_traces(None, |trace| trace.conn == conn);
        self.end_traces(Some("target"), |trace| trace.target == Target::Conn(conn));
    }

    /// Traces whose rule or bucket is gone end.
    pub(in crate::engine) fn look_after_traces(&mut self) {
        if self.traces.all.is_empty() {
            return;
        }
        let gone: Vec<u64> = self
            .traces
            .all
            .iter()
            .filter(|trace| match &trace.target {
                Target::Conn(_) => false,
                Target::Rule(id) => {
                    self.rule_engine().is_some_and(|engine| engine.rule(id).is_err())
                }
                Target::Bucket(id) => self.store.bucket(*id).is_none(),
            })
            .map(|trace| trace.number)
            .collect();
        self.end_traces(Some("target"), |trace| gone.contains(&trace.number));
    }

    pub(in crate::engine) fn end_all_traces(&mut self) {
        self.end_traces(Some("shutdown"), |_| true);
    }

    /// Traces of a connection that may look no more.
    pub(in crate::engine) fn reauthorise_traces(&mut self, conn: ConnId) {
        if self.traces.count(conn) == 0 {
            return;
        }
        let Err(refused) = self.may_trace(conn) else { return };
        let own = self.traces.all.iter().filter(|trace| trace.conn == conn);
        for number in own.map(|trace| trace.number).collect::<Vec<_>>() {
            let id = subscription_id(number, &mut [0; 24]).to_owned();
            self.end_traces(None, |trace| trace.number == number);
            self.tell_cancelled(conn, &id, &refused.message);
        }
    }

    fn may_trace(&mut self, conn: ConnId) -> Result<(), OpError> {
        let session = self.session(conn).cloned();
        let tier = Operation::ServerTrace.tier();
        let question = Question {
            operation: Operation::ServerTrace.name().into(),
            tier,
            class: tier,
            kind: None,
            name: None,
            source: None,
            record: None,
        };
        self.decide(session.as_ref(), &question)
    }

    /// Ends those that are meant, with a last entry where there is a reason.
    fn end_traces(&mut self, reason: Option<&'static str>, meant: impl Fn(&Trace) -> bool) {
        let (over, rest): (Vec<Trace>, Vec<Trace>) =
            std::mem::take(&mut self.traces.all).into_iter().partition(meant);
        self.traces.all = rest;
        for mut trace in over {
            self.wheel.cancel(trace.timer);
            self.total_subscriptions = self.total_subscriptions.saturating_sub(1);
            if let Target::Rule(rule) = &trace.target
                && !self.traces.has(&trace.target)
            {
                self.with_rules(|core, _| core.unwatch(rule));
            }
            if let Some(reason) = reason {
                let entry = object([("kind", Json::from("end")), ("reason", Json::from(reason))]);
                self.push_entry(&mut trace, entry);
            }
        }
    }

    fn push_entry(&mut self, trace: &mut Trace, entry: Object) {
        trace.told += 1;
        let mut data = object([
            ("n", Json::Number(trace.told as f64)),
            ("at", Json::Number(self.now.wall as f64)),
        ]);
        if trace.missed > 0 {
            data.insert("missed", Json::Number(trace.missed as f64));
        }
        for (name, value) in entry {
            data.insert(name, value);
        }
        let body = Json::Object(data).to_text().into_bytes().into();
        let id = subscription_id(trace.number, &mut [0; 24]).to_owned();
        match self.push_untraced(trace.conn, "trace", &id, Some(&body)) {
            Pushed::Queued => trace.missed = 0,
            Pushed::OverMark => {
                trace.told -= 1;
                trace.missed += 1;
            }
        }
    }

    /// Tells one entry to whoever traces that target.
    fn tell_traces(&mut self, meant: impl Fn(&Target) -> bool, entry: &Object) {
        let mut used_up = Vec::new();
        let mut all = std::mem::take(&mut self.traces.all);
        for trace in all.iter_mut().filter(|trace| meant(&trace.target)) {
            if trace.left == 0 {
                continue;
            }
            trace.left -= 1;
            self.push_entry(trace, entry.clone());
            if trace.left == 0 {
                used_up.push(trace.number);
            }
        }
        self.traces.all = all;
        self.end_traces(Some("entries"), |trace| used_up.contains(&trace.number));
    }

    /// A request of a connection was answered.
    pub(in crate::engine) fn trace_request(
        &mut self,
        conn: ConnId,
        request: &Request<'_>,
        code: Option<&'static str>,
        (micros, bytes): (u64, usize),
    ) {
        if !self.traces.of_conn(conn) {
            return;
        }
        let named = ["bucket", "query", "name", "ruleId", "topic", "key", "pattern"];
        let resource = named.into_iter().find_map(|name| request.str_field(name));
        let mut entry = object([
            ("kind", Json::from("request")),
            ("type", Json::from(request.operation.chars().take(MOST_KEY).collect::<String>())),
            (
                "resource",
                resource
                    .map_or_else(
                        || "*".into(),
                        |name| name.chars().take(MOST_KEY).collect::<String>(),
                    )
                    .into(),
            ),
            ("result", Json::from(if code.is_none() { "success" } else { "error" })),
        ]);
        if let Some(code) = code {
            entry.insert("code", Json::from(code));
        }
        entry.insert("micros", Json::Number(micros as f64));
        entry.insert("bytes", Json::Number(bytes as f64));
        self.tell_traces(|target| *target == Target::Conn(conn), &entry);
    }

    /// Something was pushed to a connection.
    pub(in crate::engine) fn trace_push(
        &mut self,
        conn: ConnId,
        channel: &str,
        id: &str,
        bytes: usize,
    ) {
        if self.traces.all.is_empty() || !self.traces.of_conn(conn) {
            return;
        }
        let entry = object([
            ("kind", Json::from("push")),
            ("channel", Json::from(channel)),
            ("subscriptionId", Json::from(id)),
            ("commit", Json::Number(self.newest_commit() as f64)),
            ("bytes", Json::Number(bytes as f64)),
        ]);
        self.tell_traces(|target| *target == Target::Conn(conn), &entry);
    }

    /// Whether anything is traced.
    pub(in crate::engine) fn is_tracing(&self) -> bool {
        !self.traces.all.is_empty()
    }

    /// A subscription fell behind, or is told everything again.
    pub(in crate::engine) fn trace_stale(
        &mut self,
        conn: ConnId,
        number: u64,
        event: &'static str,
    ) {
        let id = Json::from(subscription_id(number, &mut [0; 24]));
        self.trace_state(conn, event, [("subscriptionId", id)]);
    }

    /// So much of its output waits that a connection is not read from, or no longer:
    /// the bounds are those of the transport.
    #[inline]
    pub(in crate::engine) fn note_reading(&mut self, conn: ConnId) {
        if !self.traces.all.is_empty() {
            self.trace_reading(conn);
        }
    }

    fn trace_reading(&mut self, conn: ConnId) {
        let (most, threshold) = (self.options.max_buffered_bytes, self.options.push_threshold());
        let Some(known) = self.conns.get_mut(conn) else { return };
        let buffered = known.buffered;
        let is_paused = match known.is_paused {
            true => buffered as f64 >= threshold,
            false => buffered >= most,
        };
        if std::mem::replace(&mut known.is_paused, is_paused) != is_paused {
            let event = if is_paused { "paused" } else { "resumed" };
            self.trace_state(conn, event, [("bufferedBytes", Json::Number(buffered as f64))]);
        }
    }

    /// What a connection is has changed.
    pub(in crate::engine) fn trace_state<const N: usize>(
        &mut self,
        conn: ConnId,
        event: &'static str,
        more: [(&'static str, Json); N],
    ) {
        if self.traces.all.is_empty() || !self.traces.of_conn(conn) {
            return;
        }
        let mut entry = object([("kind", Json::from("state")), ("event", Json::from(event))]);
        for (name, value) in more {
            entry.insert(name, value);
        }
        self.tell_traces(|target| *target == Target::Conn(conn), &entry);
    }

    /// A rule that is traced was evaluated.
    pub(in crate::engine) fn trace_rule(&mut self, rule: &str, report: Object) {
        let mut entry = object([("kind", Json::from("evaluated"))]);
        for (name, value) in report {
            entry.insert(name, value);
        }
        self.traces.keep(Target::Rule(rule.into()), entry);
    }

    /// Tells what was seen since the last call. Comes after the response of the
    /// request that it happened in.
    pub(in crate::engine) fn publish_traces(&mut self) {
        if self.traces.all.is_empty() {
            return;
        }
        self.look_after_traces();
        let traced = self.traces.all.iter().filter_map(|trace| match trace.target {
            Target::Conn(conn) => Some(conn),
            _ => None,
        });
        for conn in traced.collect::<Vec<_>>() {
            self.note_reading(conn);
        }
        for (seen, entry) in std::mem::take(&mut self.traces.pending) {
            self.tell_traces(|target| *target == seen, &entry);
        }
    }
}
