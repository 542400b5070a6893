//! The table.

use super::MetricKind::{Counter, Gauge, Histogram as Hist};
use super::series::{
    Series, build_info, by, closed, count, durations, http, limits, maybe, one, process,
    rate_limited, reloads, request_durations, requests, resumes, rules, size, storage,
    storage_state, view_reruns,
};
use super::{Row, Sources};

const fn row(
    name: &'static str,
    kind: super::MetricKind,
    labels: &'static [&'static str],
    help: &'static str,
    get: fn(&Sources<'_>) -> Series,
) -> Row {
    Row { name, kind, labels, help, get }
}

pub(super) static ROWS: &[Row] = &[
    row("noexd_build_info", Gauge, &["version", "features"], "What runs; always 1.", build_info),
    row("process_start_time_seconds", Gauge, &[], "Unix time of the start.", |s| {
        process(s, |p| p.start_seconds)
    }),
    row("process_resident_memory_bytes", Gauge, &[], "Resident memory.", |s| {
        process(s, |p| p.resident_bytes)
    }),
    row("process_virtual_memory_bytes", Gauge, &[], "Virtual memory.", |s| {
        process(s, |p| p.virtual_bytes)
    }),
    row("process_open_fds", Gauge, &[], "Open descriptors.", |s| process(s, |p| p.open_files)),
    row("process_max_fds", Gauge, &[], "Most descriptors.", |s| process(s, |p| p.max_files)),
    row("process_cpu_seconds_total", Counter, &[], "Processor time of user and system.", |s| {
        process(s, |p| p.cpu_seconds)
    }),
    row(
        "noexd_sockets",
        Gauge,
        &[],
        "Sockets of all kinds, in handshake and closing ones too.",
        |s| count(s.world.sockets),
    ),
    row("noexd_connections", Gauge, &[], "Open connections.", |s| size(s.totals.connections)),
    row(
        "noexd_connections_authenticated",
        Gauge,
        &[],
        "Open connections that are logged in.",
        |s| size(s.totals.authenticated),
    ),
    row(
        "noexd_slow_connections",
        Gauge,
        &[],
        "Connections over the high-water mark: they get only the newest state.",
        |s| size(s.totals.slow),
    ),
    row(
        "noexd_outbox_bytes",
        Gauge,
        &[],
        "Output of all connections that no socket has taken.",
        |s| count(s.world.outbox_bytes),
    ),
    row("noexd_outbox_largest_bytes", Gauge, &[], "That of the worst connection.", |s| {
        size(s.totals.largest)
    }),
    row("noexd_input_bytes", Gauge, &[], "Messages that have arrived in part.", |s| {
        count(s.world.input_bytes)
    }),
    row("noexd_received_bytes_total", Counter, &[], "Bytes from sockets.", |s| {
        count(s.world.received_bytes)
    }),
    row("noexd_sent_bytes_total", Counter, &[], "Bytes to sockets.", |s| count(s.world.sent_bytes)),
    row("noexd_connections_opened_total", Counter, &[], "Upgrades that were completed.", |s| {
        count(s.world.connections_opened)
    }),
    row(
        "noexd_connections_closed_total",
        Counter,
        &["code"],
        "Ends of connections by close code.",
        closed,
    ),
    row(
        "noexd_handshakes_refused_total",
        Counter,
        &["reason"],
        "Requests that became no connection.",
        |s| by("reason", s.world.refused.iter().copied()),
    ),
    row(
        "noexd_tls_handshakes_total",
        Counter,
        &["result"],
        "TLS handshakes by their end: `ok`, `failed`, `timeout`.",
        |s| by("result", s.world.tls.handshakes.iter().copied()),
    ),
    row(
        "noexd_tls_handshakes_waiting",
        Gauge,
        &[],
        "Steps of TLS handshakes that wait for the thread or are done by it.",
        |s| count(s.world.tls.waiting),
    ),
    row(
        "noexd_tls_certificate_not_after_timestamp_seconds",
        Gauge,
        &[],
        "End of the certificate in force; absent without TLS.",
        |s| s.world.tls.not_after.map(count).unwrap_or_default(),
    ),
    row(
        "noexd_requests_total",
        Counter,
        &["family"],
        "Requests by the prefix of their operation.",
        requests,
    ),
    row(
        "noexd_request_duration_seconds",
        Hist,
        &["family"],
        "Loop time of requests, without jobs.",
        request_durations,
    ),
    row("noexd_request_errors_total", Counter, &["code"], "Error responses.", |s| {
        by("code", s.engine.figures.errors.iter().map(|(code, count)| (*code, *count)))
    }),
    row(
        "noexd_http_requests_total",
        Counter,
        &["door", "class"],
        "Answers to plain HTTP by what was asked: `rpc`, `live`, `metrics`, `health`, `ready`, `console`, `client`, `other`.",
        http,
    ),
    row(
        "noexd_login_failures_total",
        Counter,
        &[],
        "Logins with wrong credentials or tokens.",
        |s| count(s.engine.figures.login_failures),
    ),
    row(
        "noexd_rate_limited_total",
        Counter,
        &["kind"],
        "Refusals by a limit on how many.",
        rate_limited,
    ),
    row(
        "noexd_limits_reached_total",
        Counter,
        &["limit"],
        "How often a limit on cost or memory was met.",
        limits,
    ),
    row("noexd_subscriptions", Gauge, &["kind"], "Open subscriptions.", |s| {
        by(
            "kind",
            [
                ("store", s.totals.store_subscriptions.saturating_sub(s.totals.logic) as u64),
                ("rules", s.totals.rules_subscriptions as u64),
                ("logic", s.totals.logic as u64),
                ("trace", s.engine.traces.count_all() as u64),
            ],
        )
    }),
    row(
        "noexd_subscriptions_stale",
        Gauge,
        &[],
        "Subscriptions whose connection reads too slowly: they get only the newest state.",
        |s| size(s.engine.subscriptions.stale_in_all()),
    ),
    row("noexd_views", Gauge, &[], "Live views.", |s| size(s.engine.views.count())),
    row(
        "noexd_views_costly",
        Gauge,
        &[],
        "Queries whose views are updated less often, because they cost much.",
        |s| size(s.engine.views.costly_queries()),
    ),
    row("noexd_view_updates_total", Counter, &[], "Commits that views followed.", |s| {
        count(s.engine.views.followed)
    }),
    row(
        "noexd_view_reruns_total",
        Counter,
        &["reason"],
        "Those for which a query was evaluated from scratch: `mixed_column`, `budget`, `inconsistent`, `program`, `rebuild`.",
        view_reruns,
    ),
    row("noexd_view_bytes", Gauge, &[], "Memory of live views.", |s| size(s.engine.views.memory())),
    row("noexd_rules", Gauge, &[], "Rules.", |s| rules(s, |stats| stats.rules as f64)),
    row("noexd_facts", Gauge, &[], "Facts.", |s| rules(s, |stats| stats.facts as f64)),
    row("noexd_rule_timers", Gauge, &[], "Timers of rules.", |s| {
        rules(s, |stats| stats.timers as f64)
    }),
    row("noexd_rule_events_total", Counter, &[], "Events that rules were told of.", |s| {
        rules(s, |stats| stats.events as f64)
    }),
    row("noexd_rules_fired_total", Counter, &[], "Executions of rules.", |s| {
        rules(s, |stats| stats.executed as f64)
    }),
    row("noexd_rule_failures_total", Counter, &[], "Actions and lookups that failed.", |s| {
        rules(s, |stats| stats.failures as f64)
    }),
    row("noexd_buckets", Gauge, &[], "Buckets.", |s| size(s.engine.store.buckets().len())),
    row("noexd_records", Gauge, &[], "Records.", |s| size(s.engine.store.records())),
    row("noexd_data_bytes", Gauge, &[], "Memory of records, indexes and views.", |s| {
        one(s.engine.store.memory() as f64)
    }),
    row("noexd_commits_total", Counter, &[], "Commits.", |s| count(s.engine.metrics.commits)),
    row("noexd_sessions", Gauge, &[], "Client sessions, with connection or without.", |s| {
        size(s.engine.client_sessions.len())
    }),
    row("noexd_presence_records", Gauge, &[], "Records with `lifetime`.", |s| {
        size(s.engine.store.presence().1)
    }),
    row(
        "noexd_probe_evictions_total",
        Counter,
        &[],
        "Dead connections that made room for others of their address.",
        |s| count(s.world.probes_evicted),
    ),
    row("noexd_once_total", Counter, &["outcome"], "Numbered requests.", |s| {
        let once = s.engine.client_sessions.once;
        let outcomes = [
            ("executed", once.executed),
            ("repeated", once.repeated),
            ("conflicts", once.conflicts),
            ("withoutData", once.without_data),
        ];
        by("outcome", outcomes)
    }),
    row(
        "noexd_session_takeovers_total",
        Counter,
        &[],
        "Client sessions that were opened while another connection had them.",
        |s| count(s.engine.client_sessions.takeovers),
    ),
    row(
        "noexd_last_commit",
        Gauge,
        &[],
        "Number of the newest commit that is kept; 0 without storage.",
        |s| count(s.engine.last_commit()),
    ),
    row(
        "noexd_last_durable_commit",
        Gauge,
        &[],
        "The newest one that is as durable as promised.",
        |s| if s.world.storage.is_some() { count(s.engine.last_durable()) } else { Series::new() },
    ),
    row("noexd_pushes_total", Counter, &["channel"], "Pushes by channel.", |s| {
        by(
            "channel",
            [
                ("subscription", s.engine.figures.subscription_pushes),
                ("event", s.engine.figures.event_pushes),
                ("trace", s.engine.figures.trace_pushes),
            ],
        )
    }),
    row(
        "noexd_pushes_skipped_total",
        Counter,
        &[],
        "Results that a newer one superseded before they could be sent.",
        |s| count(s.engine.figures.pushes_skipped),
    ),
    row(
        "noexd_pushes_dropped_total",
        Counter,
        &[],
        "Events that were lost because their connection read too slowly.",
        |s| count(s.engine.metrics.pushes_dropped),
    ),
    row(
        "noexd_push_delay_seconds",
        Hist,
        &[],
        "From a push, which follows its commit at once unless it is held back, to the kernel; of each connection the oldest that is on its way.",
        |s| durations(Some(&s.engine.figures.push_delays)),
    ),
    row("noexd_ping_round_trip_seconds", Hist, &[], "From a ping to its pong.", |s| {
        durations(Some(&s.engine.figures.round_trips))
    }),
    row(
        "noexd_resumes_total",
        Counter,
        &["outcome"],
        "Subscribes that brought a token: resumed (`unchanged`, `delta`), or why not.",
        resumes,
    ),
    row("noexd_ring_bytes", Gauge, &[], "Memory of recent changes.", |s| {
        size(s.engine.log.ring().bytes())
    }),
    row("noexd_ring_commits", Gauge, &[], "Recent changes that are kept.", |s| {
        size(s.engine.log.ring().entries())
    }),
    row("noexd_panics_total", Counter, &[], "Panics that cost one connection.", |s| {
        count(s.engine.metrics.panics)
    }),
    row(
        "noexd_procedure_calls_total",
        Counter,
        &["result"],
        "Calls of procedures by clients.",
        |s| {
            by(
                "result",
                [
                    ("ok", s.engine.figures.procedures_ok),
                    ("failed", s.engine.figures.procedures_failed),
                ],
            )
        },
    ),
    row("noexd_audit_entries_total", Counter, &[], "Entries of the audit log.", |s| {
        maybe(s.engine.audit.as_ref().map(|audit| audit.recorded() as f64))
    }),
    row(
        "noexd_audit_dropped_total",
        Counter,
        &[],
        "Entries that did not get into the audit file.",
        |s| maybe(s.engine.audit.as_ref().map(|audit| audit.dropped() as f64)),
    ),
    row(
        "noexd_reloads_total",
        Counter,
        &["what", "result"],
        "Files that were read again.",
        reloads,
    ),
    row(
        "noexd_storage_batch_duration_seconds",
        Hist,
        &[],
        "Time to write a batch, its sync included.",
        |s| durations(s.world.storage.as_ref().and_then(|storage| storage.batches.as_ref())),
    ),
    row("noexd_storage_sync_duration_seconds", Hist, &[], "Time of syncs of their own.", |s| {
        durations(s.world.storage.as_ref().and_then(|storage| storage.syncs.as_ref()))
    }),
    row("noexd_storage_backlog_bytes", Gauge, &[], "Writes that wait for the disk.", |s| {
        storage(s, |figures| Some(figures.backlog_bytes))
    }),
    row(
        "noexd_storage_waiting_seconds",
        Gauge,
        &[],
        "For how long nothing of what waits was written: a lock, or a disk that hangs.",
        |s| storage_state(s, |engine| engine.storage_waits_ms() as f64 / 1_000.0),
    ),
    row(
        "noexd_storage_read_only",
        Gauge,
        &[],
        "1 while writes are refused because the disk is almost full.",
        |s| storage_state(s, |engine| f64::from(u8::from(engine.is_read_only()))),
    ),
    row(
        "noexd_backup_last_success_timestamp_seconds",
        Gauge,
        &[],
        "Unix time of the newest backup in the data directory; absent if there is none.",
        |s| storage(s, |figures| figures.last_backup),
    ),
    row("noexd_storage_file_bytes", Gauge, &[], "The database file.", |s| {
        storage(s, |figures| figures.file_bytes)
    }),
    row("noexd_storage_log_bytes", Gauge, &[], "Its write-ahead log.", |s| {
        storage(s, |figures| figures.log_bytes)
    }),
    row("noexd_storage_free_bytes", Gauge, &[], "Free space beside it.", |s| {
        storage(s, |figures| figures.free_bytes)
    }),
    row("noexd_loop_turn_duration_seconds", Hist, &[], "Turns of the loop, without sleep.", |s| {
        durations(s.world.turns.as_ref())
    }),
    row(
        "noexd_jobs_waiting",
        Gauge,
        &["queue"],
        "Jobs of the threads beside the loop: `worker` (passwords, files), `tls` (handshakes).",
        |s| by("queue", [("worker", s.world.jobs_waiting), ("tls", s.world.tls.waiting)]),
    ),
    row("noexd_log_lines_total", Counter, &["level"], "Lines of the log.", |s| {
        by("level", s.world.log_lines.iter().copied())
    }),
    row(
        "noexd_log_lines_dropped_total",
        Counter,
        &[],
        "Lines that standard error did not take.",
        |s| count(s.world.log_lines_dropped),
    ),
];
