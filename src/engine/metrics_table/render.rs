//! The text format of Prometheus, version 0.0.4, and JSON.

use std::fmt::Write as _;

use super::{Labels, MetricValue, MetricsSnapshot};
use crate::json::{Json, Object};

/// What the text is called.
pub const TEXT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

impl MetricsSnapshot {
    /// The page.
    pub fn text(&self) -> String {
        let mut out = String::new();
        for family in &self.families {
            let (name, kind) = (family.name, family.kind.as_str());
            line(&mut out, format_args!("# HELP {name} {}", escaped(family.help, false)));
            line(&mut out, format_args!("# TYPE {name} {kind}"));
            for (labels, value) in &family.series {
                series(&mut out, name, labels, value);
            }
        }
        out
    }

    /// The value of a series, a histogram's number of observations.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let family = self.families.iter().find(|family| family.name == name)?;
        let (_, value) = family.series.iter().find(|(own, _)| {
            own.len() == labels.len()
                && own.iter().zip(labels).all(|(a, b)| a.0 == b.0 && a.1 == b.1)
        })?;
        Some(match value {
            MetricValue::Number(number) => *number,
            MetricValue::Histogram(histogram) => histogram.total() as f64,
        })
    }
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _ = writeln!(out, "{text}");
}

fn series(out: &mut String, name: &str, labels: &Labels, value: &MetricValue) {
    match value {
        MetricValue::Number(number) => {
            line(out, format_args!("{name}{} {number}", label_text(labels, None)));
        }
        MetricValue::Histogram(histogram) => {
            let mut total = 0;
            let bounds = histogram.bounds.iter().map(|micros| seconds(*micros).to_string());
            for (count, bound) in histogram.counts.iter().zip(bounds.chain(["+Inf".to_owned()])) {
                total += count;
                let labels = label_text(labels, Some(&bound));
                line(out, format_args!("{name}_bucket{labels} {total}"));
            }
            let labels = label_text(labels, None);
            line(out, format_args!("{name}_sum{labels} {}", seconds(histogram.sum_micros)));
            line(out, format_args!("{name}_count{labels} {total}"));
        }
    }
}

fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}

fn label_text(labels: &Labels, bound: Option<&str>) -> String {
    let own = labels.iter().map(|(name, value)| (*name, &**value));
    let parts: Vec<String> = own
        .chain(bound.map(|bound| ("le", bound)))
        .map(|(name, value)| format!("{name}=\"{}\"", escaped(value, true)))
        .collect();
    if parts.is_empty() { String::new() } else { format!("{{{}}}", parts.join(",")) }
}

fn escaped(text: &str, is_label: bool) -> String {
    let text = text.replace('\\', "\\\\").replace('\n', "\\n");
    if is_label { text.replace('"', "\\\"") } else { text }
}

/// One family in `server.metrics`.
pub(super) fn json(series: Vec<(Labels, MetricValue)>) -> Json {
    let is_plain = series.iter().all(|(labels, _)| labels.is_empty());
    let mut all: Vec<Json> = Vec::new();
    for (labels, value) in series {
        let value = match value {
            MetricValue::Number(number) => Json::Number(number),
            MetricValue::Histogram(histogram) => {
                let total = Json::Number(histogram.total() as f64);
                let mut running = 0;
                let mut buckets = Object::new();
                for (bound, count) in histogram.bounds.iter().zip(&histogram.counts) {
                    running += count;
                    buckets.insert(seconds(*bound).to_string(), Json::Number(running as f64));
                }
                buckets.insert("+Inf", total.clone());
                let sum = Json::Number(seconds(histogram.sum_micros));
                object([("count", total), ("sum", sum), ("buckets", Json::Object(buckets))])
            }
        };
        if is_plain {
            return value;
        }
        let labels = labels.into_iter().map(|(name, value)| (name, Json::from(&*value)));
        all.push(object([("labels", Json::Object(labels.collect())), ("value", value)]));
    }
    Json::Array(all)
}

fn object<const N: usize>(members: [(&str, Json); N]) -> Json {
    Json::Object(members.into_iter().collect())
}
