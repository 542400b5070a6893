//! `idle`: what a server costs before anybody works with it: start-up time,
//! memory when empty, memory of connections that only answer pings. And
//! `records`: memory of stored records.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::net::{Net, Unexpected};
use crate::options::Options;
use crate::process::{self, Process};
use crate::report::{Metric, Report, Row};
use crate::stats::{Moment, median};
use crate::target::{self, Target};

/// Ping interval of the started server: soon, but not before all are open.
const INTERVAL_MS: u64 = 5000;

/// A server with another configuration may ping every 30 seconds.
const PING_LIMIT: Duration = Duration::from_secs(70);

const STARTS: usize = 7;

/// Records whose memory is measured.
const RECORDS: u64 = 200_000;

pub fn idle(options: &Options, report: &mut Report) -> Result<(), String> {
    let config = json!({
        "heartbeat": { "intervalMs": INTERVAL_MS, "timeoutMs": INTERVAL_MS },
    });
    let mut rows = Vec::new();
    let starts = start_times(options)?;
    for target in target::noex_targets(options, &config)? {
        let start = target.process.as_ref().and(starts);
        let metrics = measure(&target, options.idle, start)
            .map_err(|error| format!("{}: {error}", target.label))?;
        rows.push(Row { label: target.label, metrics });
    }
    report.case("idle", &format!("{} connections after a ping round", options.idle), &rows);
    Ok(())
}

/// Median time from starting the process to its URL, in milliseconds.
fn start_times(options: &Options) -> Result<Option<f64>, String> {
    let Some(program) = &options.server else { return Ok(None) };
    let mut times = Vec::new();
    for _ in 0..STARTS {
        // Not tied to a core: that would start another program in between.
        let process = Process::noexd(program, &options.config, None)?;
        times.push(process.start.as_secs_f64() * 1000.0);
    }
    Ok(median(times))
}

fn measure(target: &Target, count: usize, start: Option<f64>) -> Result<Vec<Metric>, String> {
    let empty = target.pid.and_then(process::resident);
    let mut net = Net::new()?;
    let began = Instant::now();
    let conns = target.open(&mut net, count)?;
    let opening = began.elapsed().as_secs_f64();
    let before = Moment::now(target.pid);
    net.until(PING_LIMIT, &mut Unexpected, |net| net.pinged(conns.clone()) == count).map_err(
        |error| format!("{} of {count} were pinged, then: {error}", net.pinged(conns.clone())),
    )?;
    let span = before.until(&Moment::now(target.pid));
    // The answer to one more request comes after the server has read the pongs.
    let extra = target.open(&mut net, 1)?.start;
    let stats = target::call(&mut net, extra, "server.stats", json!({}))?;
    let active = stats["connectionCount"].as_u64().unwrap_or_default();
    if active < count as u64 + 1 {
        return Err(format!("of {} connections the server has {active}", count + 1));
    }
    let full = target.pid.and_then(process::resident);
    let mib = |bytes: Option<u64>| bytes.map(|bytes| bytes as f64 / 1_048_576.0);
    let each =
        empty.zip(full).map(|(empty, full)| full.saturating_sub(empty) as f64 / count as f64);
    Ok(vec![
        Metric::new("start ms", start, 2),
        Metric::new("empty MiB", mib(empty), 2),
        Metric::new("full MiB", mib(full), 2),
        Metric::new("bytes/conn", each, 0),
        Metric::new("opened/s", count as f64 / opening, 0),
        Metric::new("cpu us/ping", span.server_micros.map(|micros| micros / count as f64), 2),
    ])
}

pub fn records(options: &Options, report: &mut Report) -> Result<(), String> {
    let mut rows = Vec::new();
    for target in target::noex_targets(options, &json!({}))? {
        let fill = || -> Result<Vec<Metric>, String> {
            let mut net = Net::new()?;
            let conns = target.open(&mut net, 2)?;
            let bucket = target::fresh("records");
            target::define_bucket(&mut net, conns.start, &bucket, &[])?;
            let empty = target.pid.and_then(process::resident);
            let began = Instant::now();
            target::load(&mut net, conns.clone(), &bucket, RECORDS, |number| {
                target::row(number, &format!("town-{}", number % 10), number)
            })?;
            let seconds = began.elapsed().as_secs_f64();
            let fields = json!({ "bucket": bucket, "key": target::key(RECORDS - 1) });
            let row = target::call(&mut net, conns.start, "store.get", fields)?;
            let length = row.to_string().len() as f64;
            let full = target.pid.and_then(process::resident);
            let each = empty
                .zip(full)
                .map(|(empty, full)| full.saturating_sub(empty) as f64 / RECORDS as f64);
            Ok(vec![
                Metric::plain("JSON bytes", length, 0),
                Metric::new("bytes/record", each, 0),
                Metric::plain("of the JSON", each.map(|each| each / length), 2),
                Metric::new("inserts/s", RECORDS as f64 / seconds, 0),
            ])
        };
        let metrics = fill().map_err(|error| format!("{}: {error}", target.label))?;
        rows.push(Row { label: target.label.clone(), metrics });
    }
    report.case("records", &format!("{RECORDS} records"), &rows);
    Ok(())
}
