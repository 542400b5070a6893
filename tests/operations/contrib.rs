//! What is shipped beside the program: it names only metrics that there are.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Command, Stdio};

fn shipped(name: &str) -> String {
    let path = format!("{}/contrib/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Words that look like names of metrics.
fn names_in(text: &str) -> BTreeSet<&str> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .filter(|word| word.starts_with("noexd_") || word.starts_with("process_"))
        .collect()
}

#[test]
fn alerts_and_dashboard_use_metrics_of_the_table() {
    let known: BTreeSet<&str> = noexd::engine::metrics_table::metric_names().collect();
    for file in ["prometheus/noexd.rules.yml", "grafana/noexd.json"] {
        let text = shipped(file);
        let names = names_in(&text);
        assert!(names.len() > 10, "{file}: {names:?}");
        for name in names {
            let family = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|end| name.strip_suffix(end).filter(|name| known.contains(name)))
                .unwrap_or(name);
            assert!(known.contains(family), "{file}: {name}");
        }
    }
}

#[test]
fn the_dashboard_is_json_with_a_question_in_every_panel() {
    let dashboard: serde_json::Value =
        serde_json::from_str(&shipped("grafana/noexd.json")).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    for panel in panels {
        let targets = panel["targets"].as_array().expect("targets");
        assert!(!targets.is_empty(), "{}", panel["title"]);
        assert!(targets.iter().all(|target| target["expr"].is_string()), "{}", panel["title"]);
    }
}

fn has_promtool() -> bool {
    let is_there = Command::new("promtool").arg("--version").output().is_ok();
    if !is_there {
        println!("skipped: no promtool here");
    }
    is_there
}

#[test]
fn prometheus_takes_the_alerts() {
    if !has_promtool() {
        return;
    }
    for (what, file) in [("check", "noexd.rules.yml"), ("test", "noexd.rules.test.yml")] {
        let path = format!("{}/contrib/prometheus/{file}", env!("CARGO_MANIFEST_DIR"));
        let output = Command::new("promtool").args([what, "rules", &path]).output();
        let output = output.expect("run it");
        let said = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
    }
}

/// Every alert is raised by some of the samples.
#[test]
fn alerts_have_tests() {
    let tests = shipped("prometheus/noexd.rules.test.yml");
    let rules = shipped("prometheus/noexd.rules.yml");
    let names = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: "));
    for name in names {
        let mark = format!("alertname: {name}");
        let mut found = tests.split(&mark).skip(1);
        let is_raised = |rest: &str| {
            rest.split("- eval_time").next().is_some_and(|it| it.contains("exp_alerts"))
                || rest.starts_with("\n        exp_alerts")
        };
        assert!(found.any(is_raised), "{name}");
    }
}

/// A page with something in every family finds no word of blame.
#[test]
fn prometheus_has_nothing_to_say_of_the_page() {
    if !has_promtool() {
        return;
    }
    let scratch = std::env::temp_dir().join(format!("noexd-promtool-{}", std::process::id()));
    let server = noexd::Server::builder()
        .host("127.0.0.1")
        .port(0)
        .set("metrics", serde_json::json!(true))
        .set("dataDir", serde_json::json!(scratch))
        .bucket("b", serde_json::json!({"key": "id", "schema": {"id": {"type": "number"}}}))
        .start()
        .expect("a server");
    for id in 0..3 {
        let insert = serde_json::json!({"bucket": "b", "data": {"id": id}});
        server.call("store.insert", insert).expect("inserted");
    }
    server.call("store.nothing", serde_json::json!({})).expect_err("no such operation");
    // What the worker looks at is there when it has looked.
    let page = loop {
        let page = server.metrics().expect("metrics").text();
        if page.contains("process_open_fds ") && page.contains("noexd_storage_free_bytes ") {
            break page;
        }
        std::thread::yield_now();
    };
    server.stop_and_wait(std::time::Duration::ZERO).expect("the end");
    std::fs::remove_dir_all(&scratch).expect("removed");
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("run it");
    promtool.stdin.take().expect("piped").write_all(page.as_bytes()).expect("written");
    let output = promtool.wait_with_output().expect("its end");
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success() && said.is_empty(), "{said}");
}
