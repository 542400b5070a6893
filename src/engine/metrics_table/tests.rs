use super::*;
use crate::engine::EngineOptions;
use crate::engine::tests::Rig;

#[test]
fn names_are_one_each_and_of_their_kind() {
    let mut bare: Vec<&str> =
        metric_names().map(|name| name.strip_suffix("_total").unwrap_or(name)).collect();
    bare.sort_unstable();
    let all = bare.len();
    bare.dedup();
    assert_eq!(bare.len(), all, "unique also without _total");
    for row in rows::ROWS {
        assert!(row.name.starts_with("noexd_") || row.name.starts_with("process_"), "{}", row.name);
        assert_eq!(row.name.ends_with("_total"), row.kind == MetricKind::Counter, "{}", row.name);
        assert!(row.help.ends_with('.') && !row.help.contains('|'), "{}", row.name);
    }
}

#[test]
fn what_happens_is_counted() {
    let mut rig = Rig::new(EngineOptions::default());
    let conn = rig.connect();
    rig.call(conn, r#"{"id":1,"type":"store.defineBucket","name":"b","config":{"key":"id","schema":{"id":{"type":"string"}}}}"#);
    rig.call(conn, r#"{"id":2,"type":"store.insert","bucket":"b","data":{"id":"x"}}"#);
    rig.call(conn, r#"{"id":3,"type":"store.insert","bucket":"c","data":{"id":"x"}}"#);
    rig.call(conn, r#"{"id":4,"type":"nonsense"}"#);
    let snapshot = rig.engine.metrics_snapshot(|_| true);
    for (name, labels, value) in [
        ("noexd_connections", &[] as &[(&str, &str)], 1.0),
        ("noexd_records", &[], 1.0),
        ("noexd_buckets", &[], 1.0),
        ("noexd_commits_total", &[], 2.0),
        ("noexd_requests_total", &[("family", "store")], 3.0),
        ("noexd_requests_total", &[("family", "other")], 1.0),
        ("noexd_request_duration_seconds", &[("family", "store")], 3.0),
        ("noexd_request_errors_total", &[("code", "BUCKET_NOT_DEFINED")], 1.0),
        ("noexd_request_errors_total", &[("code", "UNKNOWN_OPERATION")], 1.0),
        ("noexd_rate_limited_total", &[("kind", "login")], 0.0),
    ] {
        assert_eq!(snapshot.value(name, labels), Some(value), "{name} {labels:?}");
    }
}

#[test]
fn limits_on_how_many_are_told_apart() {
    let mut rig = Rig::new(EngineOptions {
        rate_limit: Some((2, 1_000)),
        max_total_subscriptions: 0,
        ..EngineOptions::default()
    });
    let conn = rig.connect();
    rig.call(conn, r#"{"id":1,"type":"rules.subscribe","pattern":"*"}"#);
    rig.call(conn, r#"{"id":2,"type":"server.stats"}"#);
    rig.call(conn, r#"{"id":3,"type":"server.stats"}"#);
    rig.call(conn, r#"{"id":4,"type":"server.stats"}"#);
    let snapshot = rig.engine.metrics_snapshot(|name| name == "noexd_rate_limited_total");
    let count = |kind| snapshot.value("noexd_rate_limited_total", &[("kind", kind)]);
    assert_eq!(snapshot.families.len(), 1);
    assert_eq!(count("request"), Some(1.0));
    assert_eq!(count("login"), Some(0.0));
    // Without rules there is nothing to subscribe to before the limit is asked.
    assert!(count("subscription").is_some());
}

#[test]
fn the_operation_gives_all_or_what_is_named() {
    let mut rig = Rig::new(EngineOptions::default());
    let conn = rig.connect();
    let all = rig.call(conn, r#"{"id":1,"type":"server.metrics"}"#).to_text();
    assert!(all.contains("\"noexd_connections\":1,"), "{all}");
    let some =
        r#"{"id":2,"type":"server.metrics","names":["noexd_connections","noexd_requests_total"]}"#;
    assert_eq!(
        rig.call(conn, some).to_text(),
        r#"{"id":2,"type":"result","data":{"noexd_connections":1,"noexd_requests_total":[{"labels":{"family":"server"},"value":1}]}}"#
    );
    for wrong in ["5", "[5]", "[\"connections\"]"] {
        let text = format!(r#"{{"id":3,"type":"server.metrics","names":{wrong}}}"#);
        let answer = rig.call(conn, &text).to_text();
        assert!(answer.contains("Invalid \\\"names\\\": expected "), "{answer}");
    }
}

#[test]
fn histograms_add_up() {
    let mut histogram = Histogram::new(TURN_BOUNDS);
    for micros in [0, 50, 51, 2_000_000] {
        histogram.count(micros);
    }
    let family = MetricFamily {
        name: "noexd_x_seconds",
        kind: MetricKind::Histogram,
        help: "A\\B\nC.",
        series: vec![(vec![("family", "a\"b\\".into())], MetricValue::Histogram(histogram))],
    };
    let text = MetricsSnapshot { families: vec![family] }.text();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "# HELP noexd_x_seconds A\\\\B\\nC.");
    assert_eq!(lines[1], "# TYPE noexd_x_seconds histogram");
    assert_eq!(lines[2], "noexd_x_seconds_bucket{family=\"a\\\"b\\\\\",le=\"0.00005\"} 2");
    assert_eq!(lines[3], "noexd_x_seconds_bucket{family=\"a\\\"b\\\\\",le=\"0.0001\"} 3");
    assert_eq!(lines[14], "noexd_x_seconds_bucket{family=\"a\\\"b\\\\\",le=\"+Inf\"} 4");
    assert_eq!(lines[15], "noexd_x_seconds_sum{family=\"a\\\"b\\\\\"} 2.000101");
    assert_eq!(lines[16], "noexd_x_seconds_count{family=\"a\\\"b\\\\\"} 4");
}
