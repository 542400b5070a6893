//! The values of one metric: where they come from, and with which labels.

use super::figures::Histogram;
use super::world::{Process, StorageFigures};
use super::{Labels, MetricValue, Sources};
use crate::protocol::Family;

pub(super) type Series = Vec<(Labels, MetricValue)>;

pub(super) fn one(value: f64) -> Series {
    vec![(Labels::new(), MetricValue::Number(value))]
}

pub(super) fn count(value: u64) -> Series {
    one(value as f64)
}

pub(super) fn size(value: usize) -> Series {
    one(value as f64)
}

pub(super) fn maybe(value: Option<f64>) -> Series {
    value.map(one).unwrap_or_default()
}

/// One label, known values.
pub(super) fn by(
    label: &'static str,
    values: impl IntoIterator<Item = (&'static str, u64)>,
) -> Series {
    let series = |(value, count): (&'static str, u64)| {
        (vec![(label, value.into())], MetricValue::Number(count as f64))
    };
    values.into_iter().map(series).collect()
}

pub(super) fn process(sources: &Sources<'_>, part: fn(&Process) -> f64) -> Series {
    maybe(sources.world.process.as_ref().map(part))
}

pub(super) fn storage(sources: &Sources<'_>, part: fn(&StorageFigures) -> Option<u64>) -> Series {
    maybe(sources.world.storage.as_ref().and_then(part).map(|value| value as f64))
}

/// What the engine knows of the storage, if there is one.
pub(super) fn storage_state(
    sources: &Sources<'_>,
    part: fn(&crate::engine::Engine) -> f64,
) -> Series {
    maybe(sources.world.storage.is_some().then(|| part(sources.engine)))
}

pub(super) fn view_reruns(sources: &Sources<'_>) -> Series {
    let reason = |fallback: &str| match fallback {
        "mixedColumn" => "mixed_column",
        "budget" => "budget",
        "inconsistent" => "inconsistent",
        "programmatic" => "program",
        _ => "rebuild",
    };
    let reruns = sources.engine.views.reruns.iter();
    by("reason", reruns.map(|(fallback, count)| (reason(fallback), *count)))
}

pub(super) fn durations(histogram: Option<&Histogram>) -> Series {
    let series = |histogram: &Histogram| (Labels::new(), MetricValue::Histogram(histogram.clone()));
    histogram.map(series).into_iter().collect()
}

pub(super) fn rules(sources: &Sources<'_>, part: fn(&crate::rules::Stats) -> f64) -> Series {
    maybe(sources.engine.rule_engine().map(|engine| part(&engine.stats())))
}

pub(super) fn build_info(_: &Sources<'_>) -> Series {
    let features: Vec<&str> = [
        ("console", cfg!(feature = "console")),
        ("jwt", cfg!(feature = "jwt")),
        ("sqlite", cfg!(feature = "sqlite")),
        ("tls", cfg!(feature = "tls")),
        ("tools", cfg!(feature = "tools")),
    ]
    .into_iter()
    .filter_map(|(name, on)| on.then_some(name))
    .collect();
    let version = ("version", env!("CARGO_PKG_VERSION").into());
    vec![(vec![version, ("features", features.join(",").into())], MetricValue::Number(1.0))]
}

pub(super) fn closed(sources: &Sources<'_>) -> Series {
    let series = |&(code, count): &(u16, u64)| {
        let code = if code == 0 { "other".into() } else { code.to_string().into() };
        (vec![("code", code)], MetricValue::Number(count as f64))
    };
    sources.world.closed.iter().map(series).collect()
}

fn family_name(family: Option<Family>) -> &'static str {
    family.map_or("other", Family::as_str)
}

pub(super) fn requests(sources: &Sources<'_>) -> Series {
    let requests = &sources.engine.figures.requests;
    by("family", requests.iter().map(|(family, all)| (family_name(*family), all.total())))
}

pub(super) fn request_durations(sources: &Sources<'_>) -> Series {
    let series = |(family, all): (&Option<Family>, &Histogram)| {
        (vec![("family", family_name(*family).into())], MetricValue::Histogram(all.clone()))
    };
    sources.engine.figures.requests.iter().map(series).collect()
}

pub(super) fn http(sources: &Sources<'_>) -> Series {
    let series = |(door, class, count): (&'static str, u16, u64)| {
        let labels = vec![("door", door.into()), ("class", format!("{class}xx").into())];
        (labels, MetricValue::Number(count as f64))
    };
    let pages = sources.engine.figures.http.iter();
    let pages = pages.map(|(&(door, class), &count)| (door.as_str(), class, count));
    pages.chain(sources.world.http.iter().copied()).map(series).collect()
}

pub(super) fn rate_limited(sources: &Sources<'_>) -> Series {
    let figures = &sources.engine.figures;
    let too_many = sources.world.closed.iter().find(|(code, _)| *code == 4003);
    by(
        "kind",
        [
            ("request", figures.rate_limited_requests),
            ("login", figures.rate_limited_logins.saturating_sub(figures.rate_limited_requests)),
            ("subscription", figures.rate_limited_subscriptions),
            ("connection", too_many.map_or(0, |(_, count)| *count) + sources.world.calls_refused),
        ],
    )
}

pub(super) fn limits(sources: &Sources<'_>) -> Series {
    let (engine, world) = (sources.engine, &sources.world);
    by(
        "limit",
        [
            ("requestSteps", engine.metrics.request_steps_reached),
            ("maxReplyBytes", engine.metrics.reply_bytes_reached),
            ("maxDataBytes", engine.metrics.data_bytes_reached),
            ("maxOutputBytes", world.output_limit_reached),
            ("maxInputBytes", world.input_limit_reached),
            ("viewSteps", engine.views.costly_marks),
        ],
    )
}

pub(super) fn resumes(sources: &Sources<'_>) -> Series {
    by("outcome", sources.engine.figures.resumes.iter().map(|(what, count)| (*what, *count)))
}

pub(super) fn reloads(sources: &Sources<'_>) -> Series {
    let series = |(&(what, good), &count): (&(&'static str, bool), &u64)| {
        let result = if good { "ok" } else { "failed" };
        let labels = vec![("what", what.into()), ("result", result.into())];
        (labels, MetricValue::Number(count as f64))
    };
    let of_tls = sources.world.tls.reloads;
    let of_tls = of_tls.iter().filter(|(_, count)| *count > 0);
    let of_tls: Vec<_> = of_tls.map(|(good, count)| (("tls", *good), *count)).collect();
    let others = sources.engine.figures.reloads.iter();
    others.chain(of_tls.iter().map(|(key, count)| (key, count))).map(series).collect()
}
