//! Metrics (operations.md section 6): one table of names, types, help texts,
//! labels and where each value comes from. The page, `server.metrics`,
//! [`crate::server::Handle::metrics`] and `docs/metrics.md` are made from it.
//!
//! Owns the table, what is counted for it alone ([`Figures`]) and the text
//! format. Must not know sockets, files or threads: what only they know comes
//! as a [`World`]. No client chooses a label's value.

mod figures;
mod render;
mod rows;
mod series;
mod world;

use std::borrow::Cow;
use std::sync::Arc;

pub use figures::{BATCH_BOUNDS, Histogram, TURN_BOUNDS};
pub(crate) use figures::{Door, Figures};
pub use render::TEXT_TYPE;
pub use world::{AskWorld, Process, StorageFigures, TlsFigures, World};

use super::{Engine, Timer};
use subtle::ConstantTimeEq as _;

use crate::app::{Effect, HttpAnswer, HttpRequest, Job, JobOutput};
use crate::json::{Json, Object, Raw};
use crate::protocol::{OpError, Request};

/// Time between two looks at the system.
const PROBE_EVERY_MS: u64 = 5_000;

/// How a metric moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// Up and down.
    Gauge,
    /// Only up.
    Counter,
    /// Counts of values by their size.
    Histogram,
}

impl MetricKind {
    /// Its name in the format of Prometheus.
    pub const fn as_str(self) -> &'static str {
        match self {
            MetricKind::Gauge => "gauge",
            MetricKind::Counter => "counter",
            MetricKind::Histogram => "histogram",
        }
    }
}

/// Looks at the system, off the loop.
pub(crate) struct Probe {
    run: Arc<dyn Fn() + Send + Sync>,
    repeats: bool,
    /// When it ran last.
    at: Option<u64>,
}

/// Names and values of the labels of one series.
pub type Labels = Vec<(&'static str, Cow<'static, str>)>;

/// What a series shows.
#[derive(Clone, Debug, PartialEq)]
pub enum MetricValue {
    /// Of a gauge or a counter.
    Number(f64),
    /// Of a histogram.
    Histogram(Histogram),
}

/// One family of series.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricFamily {
    /// As it is served, such as `noexd_connections`.
    pub name: &'static str,
    /// How it moves.
    pub kind: MetricKind,
    /// What it is, for people.
    pub help: &'static str,
    /// One per combination of labels.
    pub series: Vec<(Labels, MetricValue)>,
}

/// All metrics at one moment; those that have no source here (`process_*`
/// without `/proc`, `noexd_storage_*` without storage) are left out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MetricsSnapshot {
    /// In the order of docs/metrics.md.
    pub families: Vec<MetricFamily>,
}

/// A row of the table.
pub(crate) struct Row {
    pub name: &'static str,
    pub kind: MetricKind,
    pub labels: &'static [&'static str],
    pub help: &'static str,
    get: fn(&Sources<'_>) -> Vec<(Labels, MetricValue)>,
}

/// Whom a row asks.
pub(crate) struct Sources<'a> {
    engine: &'a Engine,
    world: World,
    /// Of all connections, looked at once.
    totals: Totals,
}

#[derive(Clone, Copy, Debug, Default)]
struct Totals {
    connections: usize,
    authenticated: usize,
    slow: usize,
    largest: usize,
    store_subscriptions: usize,
    rules_subscriptions: usize,
    /// Those of views of logic.
    logic: usize,
}

/// The page of `docs/metrics.md`, without what stands before the table.
pub fn docs_table() -> String {
    let mut text = "| name | type | labels | |\n|---|---|---|---|\n".to_owned();
    for row in rows::ROWS {
        let labels: Vec<String> = row.labels.iter().map(|label| format!("`{label}`")).collect();
        let (name, kind, labels) = (row.name, row.kind.as_str(), labels.join(", "));
        text.push_str(&format!("| `{name}` | {kind} | {labels} | {} |\n", row.help));
    }
    text
}

/// The names of the table.
pub fn metric_names() -> impl Iterator<Item = &'static str> {
    rows::ROWS.iter().map(|row| row.name)
}

impl Engine {
    /// Lets the engine ask for what only its surroundings know.
    pub fn set_world(&mut self, ask: AskWorld) {
        self.world = Some(ask);
    }

    /// The page of metrics, for whoever may see it.
    pub(super) fn answer_metrics(&self, request: &HttpRequest<'_>) -> Option<(Door, HttpAnswer)> {
        let door = self.options.metrics.as_ref()?;
        if door.path != request.path || door.is_apart != request.is_apart {
            return None;
        }
        let answer = |status, content_type, body: String| {
            Some((Door::Metrics, HttpAnswer { status, content_type, body: body.into_bytes() }))
        };
        if let Some(why) = request.foreign {
            return answer(403, PLAIN, format!("{why}\n"));
        }
        let token = door.token.as_deref();
        match token.map(|token| carries(request.authorization, token)) {
            Some(false) => answer(401, PLAIN, "unauthorized\n".into()),
            // Whoever asks from elsewhere learns nothing, not even that it is there.
            None if !request.is_local && !request.is_apart => None,
            _ => answer(200, TEXT_TYPE, self.metrics_snapshot(|_| true).text()),
        }
    }

    /// Has `probe` run on the worker, now and every few seconds, or (`repeats`)
    /// only when somebody asks for insights: what it finds out comes back through
    /// [`Engine::set_world`].
    pub fn set_probe(&mut self, probe: Arc<dyn Fn() + Send + Sync>, repeats: bool) {
        self.probe = Some(Probe { run: probe, repeats, at: None });
        if repeats {
            self.look_around();
        }
    }

    /// Somebody wants to know: has the system looked at, if nobody has done so
    /// just now. What is found is there when he asks again.
    pub(super) fn look_around_once(&mut self) {
        let recent = self.now.mono.saturating_sub(PROBE_EVERY_MS);
        let waits = |probe: &Probe| !probe.repeats && probe.at.is_none_or(|at| at <= recent);
        if self.probe.as_ref().is_some_and(waits) {
            self.look_around();
        }
    }

    pub(super) fn look_around(&mut self) {
        let Some(probe) = &mut self.probe else { return };
        probe.at = Some(self.now.mono);
        let (probe, repeats) = (Arc::clone(&probe.run), probe.repeats);
        let id = self.ids.next_job();
        // No request waits for it.
        let run = Box::new(move || {
            probe();
            Box::new(()) as JobOutput
        });
        self.effects.list.push(Effect::Job(Job { id, run }));
        if repeats {
            self.wheel.insert(self.now.mono.saturating_add(PROBE_EVERY_MS), Timer::Probe);
        }
    }

    /// Something was read again.
    pub fn count_reload(&mut self, what: &'static str, good: bool) {
        self.figures.count_reload(what, good);
    }

    /// Microseconds to measure with; stands still where nobody gave a watch.
    pub(super) fn stopwatch(&self) -> u64 {
        self.options.stopwatch.map_or(0, |watch| watch())
    }

    /// What the table says now, for all names or for some.
    pub fn metrics_snapshot(&self, wanted: impl Fn(&str) -> bool) -> MetricsSnapshot {
        let sources = Sources {
            engine: self,
            world: self.world.as_ref().map(|ask| ask()).unwrap_or_default(),
            totals: self.totals(),
        };
        let families = rows::ROWS.iter().filter(|row| wanted(row.name)).map(|row| MetricFamily {
            name: row.name,
            kind: row.kind,
            help: row.help,
            series: (row.get)(&sources),
        });
        MetricsSnapshot { families: families.filter(|family| !family.series.is_empty()).collect() }
    }

    fn totals(&self) -> Totals {
        let threshold = self.options.push_threshold();
        let logic = self.subscriptions.count_of_views(|view| self.views.is_derived(view));
        let mut totals = Totals { logic, ..Totals::default() };
        for conn in self.conns.all() {
            totals.connections += usize::from(conn.is_listed());
            totals.authenticated += usize::from(conn.session.is_some());
            totals.slow += usize::from(conn.buffered as f64 >= threshold);
            totals.largest = totals.largest.max(conn.buffered);
            totals.store_subscriptions += conn.store_subscriptions as usize;
            totals.rules_subscriptions += conn.rules_subscriptions as usize;
        }
        totals
    }

    /// `server.metrics`
    pub(super) fn server_metrics(
        &self,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), OpError> {
        let names = match request.present("names") {
            None => None,
            Some(names) => Some(named(names)?),
        };
        let wanted =
            |name: &str| names.as_ref().is_none_or(|names| names.iter().any(|n| n == name));
        let snapshot = self.metrics_snapshot(wanted);
        let mut answer = Object::new();
        for family in snapshot.families {
            answer.insert(family.name, render::json(family.series));
        }
        Json::Object(answer).write(out);
        Ok(())
    }
}

const PLAIN: &str = "text/plain; charset=utf-8";

/// Whether the field `Authorization` has this token, in a time that does not
/// tell how much of it is right.
fn carries(authorization: Option<&[u8]>, token: &str) -> bool {
    let Some((scheme, given)) = authorization.and_then(|field| field.split_at_checked(7)) else {
        return false;
    };
    scheme.eq_ignore_ascii_case(b"bearer ") && given.ct_eq(token.as_bytes()).into()
}

fn named(names: Raw<'_>) -> Result<Vec<String>, OpError> {
    let invalid = |what: &str| OpError::validation(format!("Invalid \"names\": expected {what}"));
    let Json::Array(names) = names.to_json() else { return Err(invalid("array of names")) };
    let mut known = Vec::new();
    for name in names {
        let name = name.as_str().map(str::to_owned).ok_or_else(|| invalid("array of names"))?;
        if !metric_names().any(|one| one == name) {
            return Err(invalid("names of metrics such as \"noexd_commits_total\""));
        }
        known.push(name);
    }
    Ok(known)
}

#[cfg(test)]
mod tests;
