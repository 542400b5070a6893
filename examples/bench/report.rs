//! What is printed: a small table per case, with ratios, or one JSON document.

use serde_json::{Value, json};

use crate::stats::median;

/// One column of a result.
#[derive(Clone, Debug)]
pub struct Metric {
    pub name: &'static str,
    /// `None`: could not be measured.
    pub value: Option<f64>,
    pub decimals: usize,
    /// Whether a ratio of it between two servers says something.
    pub ratio: bool,
}

impl Metric {
    pub fn new(name: &'static str, value: impl Into<Option<f64>>, decimals: usize) -> Metric {
        Metric { name, value: value.into(), decimals, ratio: true }
    }

    /// A figure for which no ratio is printed.
    pub fn plain(name: &'static str, value: impl Into<Option<f64>>, decimals: usize) -> Metric {
        Metric { ratio: false, ..Metric::new(name, value, decimals) }
    }
}

/// The figures of one server in one case.
#[derive(Clone, Debug)]
pub struct Row {
    pub label: String,
    pub metrics: Vec<Metric>,
}

impl Row {
    /// The median of each metric over several rounds of the same case.
    pub fn middle(label: &str, rounds: Vec<Vec<Metric>>) -> Row {
        let mut metrics = rounds.first().cloned().unwrap_or_default();
        for (column, metric) in metrics.iter_mut().enumerate() {
            let values = rounds.iter().filter_map(|round| round[column].value).collect();
            metric.value = median(values);
        }
        Row { label: label.to_string(), metrics }
    }

    /// Row `self` over `other`, for the metrics where that makes sense.
    fn over(&self, other: &Row) -> Row {
        let metrics = self.metrics.iter().map(|metric| {
            let other = other.metrics.iter().find(|candidate| candidate.name == metric.name);
            let value = match (metric.value, other.and_then(|metric| metric.value)) {
                (Some(value), Some(base)) if metric.ratio && base != 0.0 => Some(value / base),
                _ => None,
            };
            Metric { value, decimals: 2, ..metric.clone() }
        });
        Row { label: format!("{} / {}", self.label, other.label), metrics: metrics.collect() }
    }
}

/// Rounds of the same case on several servers, by turns, so that what else the
/// machine does hits all alike: the middle of each.
pub fn interleaved<S>(
    stages: &mut [S],
    rounds: usize,
    label: impl Fn(&S) -> String,
    mut round: impl FnMut(&mut S) -> Result<Vec<Metric>, String>,
) -> Result<Vec<Row>, String> {
    let mut done: Vec<Vec<Vec<Metric>>> = vec![Vec::new(); stages.len()];
    for _ in 0..rounds {
        for (stage, done) in stages.iter_mut().zip(&mut done) {
            let metrics = round(stage).map_err(|error| format!("{}: {error}", label(stage)))?;
            done.push(metrics);
        }
    }
    Ok(stages.iter().zip(done).map(|(stage, done)| Row::middle(&label(stage), done)).collect())
}

/// Collects the results; prints tables at once unless JSON is wanted at the end.
#[derive(Debug)]
pub struct Report {
    json: bool,
    cases: Vec<Value>,
    failures: Vec<String>,
}

impl Report {
    pub fn new(json: bool) -> Report {
        Report { json, cases: Vec::new(), failures: Vec::new() }
    }

    /// One case. Ratios: every further row over the first, or, for a `series`
    /// (the same server under growing load), every row over the first of it.
    pub fn case(&mut self, mode: &str, title: &str, rows: &[Row]) {
        let ratios: Vec<Row> = match rows {
            [first, rest @ ..] => rest.iter().map(|row| first.over(row)).collect(),
            [] => Vec::new(),
        };
        self.add(mode, title, rows, ratios);
    }

    /// Growing load on one server: ratios of each row over the first.
    pub fn series(&mut self, mode: &str, title: &str, rows: &[Row]) {
        let ratios = match rows {
            [first, rest @ ..] => rest.iter().map(|row| row.over(first)).collect(),
            [] => Vec::new(),
        };
        self.add(mode, title, rows, ratios);
    }

    /// A series whose ratios are promised to be at most `most`.
    pub fn series_within(&mut self, mode: &str, title: &str, rows: &[Row], most: f64) {
        self.series(mode, title, rows);
        let [first, rest @ ..] = rows else { return };
        for metric in rest.iter().flat_map(|row| row.over(first).metrics) {
            if let Some(ratio) = metric.value.filter(|ratio| *ratio > most) {
                self.fail(
                    mode,
                    &format!(
                        "{title}: {} is {ratio:.2} times as much, at most {most} are promised",
                        metric.name
                    ),
                );
            }
        }
    }

    fn add(&mut self, mode: &str, title: &str, rows: &[Row], ratios: Vec<Row>) {
        self.cases.push(json!({
            "mode": mode,
            "case": title,
            "rows": rows.iter().map(as_json).collect::<Vec<_>>(),
            "ratios": ratios.iter().map(as_json).collect::<Vec<_>>(),
        }));
        if !self.json {
            print!("{}", table(mode, title, rows, &ratios));
        }
    }

    pub fn note(&mut self, mode: &str, text: &str) {
        self.cases.push(json!({ "mode": mode, "note": text }));
        if !self.json {
            println!("\n{mode}: {text}");
        }
    }

    pub fn fail(&mut self, mode: &str, text: &str) {
        self.failures.push(format!("{mode}: {text}"));
        eprintln!("\n{mode}: FAILED: {text}");
    }

    /// All cases so far in one table: what an operation or a push costs the
    /// processor on each server, and the first server over the others.
    pub fn table(&mut self) {
        if self.json {
            return;
        }
        println!("\nCPU per operation or push, us (the first server over the others)\n");
        for case in self.cases.iter().filter(|case| case["rows"].is_array()) {
            let rows = case["rows"].as_array().map(Vec::as_slice).unwrap_or_default();
            let cost = |row: &Value| row["cpu us/op"].as_f64().or(row["cpu us/push"].as_f64());
            let first = rows.first().and_then(cost);
            let mut line = format!("{:8}{:44}", text(&case["mode"]), text(&case["case"]));
            for row in rows {
                let cell = match (cost(row), first) {
                    (Some(cost), Some(first)) if Some(cost) != first.into() => {
                        format!("{cost:.2} ({:.2}x)", first / cost)
                    }
                    (Some(cost), _) => format!("{cost:.2}"),
                    (None, _) => "-".into(),
                };
                line += &format!("{:>12} {cell:14}", text(&row["server"]));
            }
            println!("{}", line.trim_end());
        }
    }

    /// Prints what is left to print; whether everything went well.
    pub fn finish(self) -> bool {
        if self.json {
            let document = json!({ "cases": self.cases, "failures": self.failures });
            println!("{document:#}");
        } else if !self.failures.is_empty() {
            println!("\nfailed: {}", self.failures.join("; "));
        }
        self.failures.is_empty()
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn as_json(row: &Row) -> Value {
    let mut object = serde_json::Map::new();
    object.insert("server".into(), row.label.as_str().into());
    for metric in &row.metrics {
        object.insert(metric.name.into(), json!(metric.value));
    }
    Value::Object(object)
}

fn table(mode: &str, title: &str, rows: &[Row], ratios: &[Row]) -> String {
    let Some(first) = rows.first() else { return String::new() };
    let names = rows.iter().chain(ratios).map(|row| row.label.chars().count());
    let label = names.max().unwrap_or_default().max(10);
    let mut text = format!("\n{mode}, {title}\n{:label$}", "");
    let widths: Vec<usize> =
        first.metrics.iter().map(|metric| metric.name.chars().count().max(9) + 2).collect();
    for (metric, width) in first.metrics.iter().zip(&widths) {
        text += &format!("{:>width$}", metric.name);
    }
    text.push('\n');
    for (row, ratio) in rows.iter().map(|row| (row, false)).chain(ratios.iter().map(|r| (r, true)))
    {
        text += &format!("{:label$}", row.label);
        for (metric, width) in row.metrics.iter().zip(&widths) {
            let cell = match metric.value {
                Some(value) if ratio && value < 0.1 => format!("{value:.4}x"),
                Some(value) if ratio => format!("{value:.2}x"),
                Some(value) => format!("{value:.*}", metric.decimals),
                None if ratio => String::new(),
                None => "n/a".into(),
            };
            text += &format!("{cell:>width$}");
        }
        text.push('\n');
    }
    text
}
