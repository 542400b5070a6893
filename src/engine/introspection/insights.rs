//! `server.insights`: what needs attention, why, and what helps.
//!
//! Made when somebody asks, from figures that are kept anyway. What is looked at
//! is bounded: the connections, the views, the buckets and the sets.

use std::cmp::Reverse;

use hashbrown::HashMap;

use super::meter::INTERVAL_MS;
use crate::engine::Engine;
use crate::json::{Json, Object};
use crate::query::{ViewId, WantedViews};

/// How many insights of one kind are shown.
const MOST_OF_A_KIND: usize = 20;
const MINUTE_MS: u64 = 60_000;
/// What views and rules did in so long counts, and in the minute that is not over.
const WINDOW_MS: u64 = 5 * MINUTE_MS;
/// So many executions of a rule must have failed.
const FAILURES: u64 = 10;
const MEBIBYTE: f64 = 1_048_576.0;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Severity {
    Info,
    Warn,
    Critical,
}

impl Severity {
    const fn as_str(self) -> &'static str {
        match self {
            Severity::Info => "info",
            Severity::Warn => "warn",
            Severity::Critical => "critical",
        }
    }
}

/// One thing that needs attention.
#[derive(Clone, Debug)]
pub(super) struct Insight {
    pub kind: &'static str,
    pub severity: Severity,
    /// Names what it is about.
    pub subject: String,
    pub reason: String,
    pub cure: String,
    /// Unix time, where it is known; else when it was first told.
    pub since: Option<u64>,
    /// Tells those apart that have the same subject.
    pub of: Option<ViewId>,
    pub count: u64,
}

/// Who may reach the server, as it was configured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exposure {
    /// Other machines can reach a listener.
    pub is_public: bool,
    /// What passes there is encrypted, here or by a proxy in front.
    pub is_encrypted: bool,
}

/// Since when what was told last was true.
#[derive(Debug, Default)]
pub(in crate::engine) struct Told {
    since: HashMap<(&'static str, String, Option<ViewId>), u64>,
}

impl Engine {
    pub(in crate::engine) fn server_insights(&mut self, out: &mut Vec<u8>) {
        self.insights().write(out);
    }

    /// What needs attention, the worst first, as `server.insights` shows it.
    pub(crate) fn insights(&mut self) -> Json {
        self.look_around_once();
        let mut found = Vec::new();
        self.insights_of_exposure(&mut found);
        self.insights_of_reads(MOST_OF_A_KIND, &mut found);
        self.insights_of_views(&mut found);
        self.insights_of_connections(&mut found);
        self.insights_of_surroundings(&mut found);
        self.insights_of_limits(&mut found);
        self.insights_of_rules(&mut found);
        self.insights_of_access(&mut found);
        found.sort_by_key(|insight| Reverse(insight.severity));
        let (now, mut before) = (self.now.wall, std::mem::take(&mut self.told.since));
        let mut shown = Vec::with_capacity(found.len());
        for insight in found {
            let key = (insight.kind, insight.subject.clone(), insight.of);
            let first = before.remove(&key).unwrap_or(now);
            let since = insight.since.unwrap_or(first);
            self.told.since.insert(key, first);
            shown.push(insight.into_json(since));
        }
        let answer: Object = [("at", Json::Number(now as f64)), ("insights", Json::Array(shown))]
            .into_iter()
            .collect();
        Json::Object(answer)
    }

    fn insights_of_exposure(&self, found: &mut Vec<Insight>) {
        let exposure = self.options.exposure;
        if !exposure.is_public {
            return;
        }
        if !self.auth_enabled() {
            found.push(Insight::new(
                ("open", Severity::Critical),
                "server",
                "other machines can reach this server, and it asks nobody who they are",
                "configure `auth`, or listen on 127.0.0.1",
            ));
        }
        if self.limiter.is_none() {
            found.push(Insight::new(
                ("noRateLimit", Severity::Warn),
                "server",
                "other machines can send as many requests as they like",
                "configure `rateLimit`",
            ));
        }
        if !exposure.is_encrypted {
            found.push(Insight::new(
                ("plain", Severity::Warn),
                "server",
                "passwords, tokens and records pass the network in the clear",
                "configure `tls`, or put a proxy in front and name it in `trustedProxies`",
            ));
        }
    }

    fn insights_of_views(&self, found: &mut Vec<Insight>) {
        let now = self.now.mono;
        let mut views = self.views.listed(&self.store, WantedViews::default(), now);
        views.sort_by_key(|view| Reverse(view.micros));
        let reruns = views.iter().filter(|view| {
            let lately = view.lately;
            lately.reruns >= 100 && lately.reruns.saturating_mul(10) > lately.commits
        });
        for view in reruns.take(MOST_OF_A_KIND) {
            let cure = match view.fallback {
                Some("mixedColumn") => {
                    "keep values of one type in the columns that the query sorts by"
                }
                Some("budget") => "give the query a `limit`, or a narrower filter",
                _ if view.state == "rerun" => "write the query as an `IncrementalQuery`",
                _ => "give the query a `limit`",
            };
            found.push(Insight {
                count: u64::from(view.lately.reruns),
                of: Some(view.id),
                ..Insight::new(
                    ("rerun", Severity::Warn),
                    &view.query,
                    &format!(
                        "query \"{}\" was evaluated from scratch for {} of the {} commits of the last five minutes",
                        view.query, view.lately.reruns, view.lately.commits
                    ),
                    cure,
                )
            });
        }
        for view in views.iter().filter(|view| view.is_costly).take(MOST_OF_A_KIND) {
            found.push(Insight {
                of: Some(view.id),
                ..Insight::new(
                    ("costly", Severity::Warn),
                    &view.query,
                    &format!(
                        "query \"{}\" costs so much that its subscribers follow late",
                        view.query
                    ),
                    "a narrower query, or a limit",
                )
            });
        }
        let whole = views.iter().filter(|view| {
            let (delta, _) = self.subscriptions.kinds_of(view.id);
            let age = self.now.wall.saturating_sub(view.created_at);
            let seconds = age.min(WINDOW_MS + now % MINUTE_MS) as f64 / 1_000.0;
            delta < view.subscribers
                && seconds >= 10.0
                && view.lately.pushed_bytes as f64 / seconds >= MEBIBYTE
        });
        for view in whole.take(MOST_OF_A_KIND) {
            found.push(Insight {
                count: view.lately.pushed_bytes,
                of: Some(view.id),
                ..Insight::new(
                    ("wholeResults", Severity::Info),
                    &view.query,
                    &format!(
                        "query \"{}\" sends whole results at more than 1 MiB a second",
                        view.query
                    ),
                    "subscribe with `mode: \"delta\"`",
                )
            });
        }
    }

    fn insights_of_connections(&self, found: &mut Vec<Insight>) {
        let now = self.now.mono;
        let mut behind: Vec<_> = self
            .conns
            .all()
            .filter(|conn| !conn.trusted && conn.behind_ms(now) >= 30_000)
            .collect();
        behind.sort_by_key(|conn| (Reverse(conn.behind_ms(now)), conn.number));
        for conn in behind.into_iter().take(MOST_OF_A_KIND) {
            let (name, late) = (conn.name(), conn.behind_ms(now));
            found.push(Insight {
                since: Some(self.now.wall.saturating_sub(late)),
                count: conn.buffered as u64,
                ..Insight::new(
                    ("behind", Severity::Warn),
                    &name,
                    &format!(
                        "{name} has taken nothing for {} s; {} bytes wait for it",
                        late / 1_000,
                        conn.buffered
                    ),
                    &format!("{{\"type\":\"server.disconnect\",\"connectionId\":\"{name}\"}}"),
                )
            });
        }
        let Some(busy) = self.load.over(MINUTE_MS).filter(|busy| busy.share > 0.7) else { return };
        let mut by_loop: Vec<_> = self.conns.all().filter(|conn| !conn.trusted).collect();
        let weight = |conn: &crate::engine::Conn| conn.meter.last_interval(now).micros;
        by_loop.sort_by_key(|conn| (Reverse(weight(conn)), conn.number));
        let top: Vec<String> = by_loop
            .into_iter()
            .take(3)
            .map(|conn| {
                let share = f64::from(weight(conn)) / (INTERVAL_MS as f64 * 10.0);
                format!("{} ({share:.0} %)", conn.name())
            })
            .collect();
        found.push(Insight::new(
            ("loopBusy", Severity::Warn),
            "server",
            &format!("the loop was busy for {:.0} % of the last minute", busy.share * 100.0),
            &format!("look at those who cost most: {}", top.join(", ")),
        ));
    }

    fn insights_of_limits(&self, found: &mut Vec<Insight>) {
        let options = &self.options;
        let subscriptions = (self.total_subscriptions, options.max_total_subscriptions);
        let data = (self.store.memory(), self.store.memory_limit().unwrap_or(0) as usize);
        // As they are counted when one comes: in handshakes, and closing, too.
        let sockets = self.world.as_ref().map_or(0, |ask| ask().sockets) as usize;
        let connections = (sockets.max(self.conns.len()), options.max_connections.unwrap_or(0));
        let held = self.held.as_ref().map_or_else(Default::default, |ask| ask());
        let [output, input] = held.map(|held| (held.used as usize, held.limit as usize));
        for (key, (used, limit)) in [
            ("connectionLimits.maxTotalSubscriptions", subscriptions),
            ("limits.maxDataBytes", data),
            ("limits.maxOutputBytes", output),
            ("limits.maxInputBytes", input),
            ("maxConnections", connections),
        ] {
            if limit > 0 && used as f64 > limit as f64 * 0.8 {
                found.push(Insight {
                    count: used as u64,
                    ..Insight::new(
                        ("limitNear", Severity::Warn),
                        key,
                        &format!("{used} of {limit} are used"),
                        &format!("raise `{key}`"),
                    )
                });
            }
        }
    }

    fn insights_of_rules(&self, found: &mut Vec<Insight>) {
        let Some(rules) = self.rule_engine() else { return };
        let failing = rules.failing(FAILURES, self.now.mono);
        for (rule, count) in failing.into_iter().take(MOST_OF_A_KIND) {
            let target = Json::from(rule).to_text();
            found.push(Insight {
                count,
                ..Insight::new(
                    ("ruleFails", Severity::Warn),
                    rule,
                    &format!("rule {target} failed {count} times in the last five minutes"),
                    &format!("{{\"type\":\"server.trace\",\"ruleId\":{target}}}"),
                )
            });
        }
    }

    fn insights_of_access(&self, found: &mut Vec<Insight>) {
        for (name, set) in self.store.sets() {
            let Some(bucket) = self.store.bucket_named(&set.bucket) else { continue };
            let guarded =
                bucket.definition().rows.as_ref().is_some_and(|rows| rows.limits_inserts());
            if !guarded && self.auth_enabled() {
                found.push(Insight::new(
                    ("openSet", Severity::Warn),
                    name,
                    &format!(
                        "set \"{name}\" reads bucket \"{}\", into which whoever may write can put rights for himself",
                        set.bucket
                    ),
                    &format!("give bucket \"{}\" a row rule `insert`", set.bucket),
                ));
            }
        }
        for bucket in self.store.buckets() {
            let Some(rows) = &bucket.definition().rows else { continue };
            let fields = &bucket.definition().fields;
            let is_required =
                |name: &str| fields.iter().any(|field| *field.name == *name && field.required);
            let optional = rows.owner_fields().find(|name| !is_required(name));
            if let Some(field) = optional {
                found.push(Insight::new(
                    ("nullOwner", Severity::Info),
                    bucket.name(),
                    &format!(
                        "records of bucket \"{}\" without \"{field}\" belong to everybody who is not logged in",
                        bucket.name()
                    ),
                    &format!("make field \"{field}\" required"),
                ));
            }
        }
    }
}

impl Insight {
    pub fn new(
        (kind, severity): (&'static str, Severity),
        subject: &str,
        reason: &str,
        cure: &str,
    ) -> Insight {
        Insight {
            kind,
            severity,
            subject: subject.into(),
            reason: reason.into(),
            cure: cure.into(),
            since: None,
            of: None,
            count: 1,
        }
    }

    fn into_json(self, since: u64) -> Json {
        let members: Object = [
            ("kind", Json::from(self.kind)),
            ("severity", Json::from(self.severity.as_str())),
            ("subject", Json::from(self.subject)),
            ("reason", Json::from(self.reason)),
            ("cure", Json::from(self.cure)),
            ("since", Json::Number(since as f64)),
            ("count", Json::Number(self.count as f64)),
        ]
        .into_iter()
        .collect();
        Json::Object(members)
    }
}
