//! What is shipped beside the program: it names only metrics that there are.

use std::collections::BTreeSet;

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

#[test]
fn prometheus_takes_the_alerts() {
    use std::process::Command;
    if Command::new("promtool").arg("--version").output().is_err() {
        println!("skipped: no promtool here");
        return;
    }
    let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/contrib/prometheus/noexd.rules.yml");
    let output = Command::new("promtool").args(["check", "rules", rules]).output().expect("run it");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
