//! What a write costs beside live queries: `params` (many subscriptions with
//! different parameters), `topn` and `agg` (growing buckets), `delta` (one
//! changed row of a large result).

use std::collections::VecDeque;
use std::time::Duration;

use serde_json::{Value, json};

use crate::net::Net;
use crate::options::Options;
use crate::pump::Pump;
use crate::report::{Metric, Report, Row};
use crate::target::{self, Target};
use crate::watch::{Expect, Observe, Phase, Seen, Watch};
use crate::wire;

/// Default limit of subscriptions of one connection.
const PER_CONNECTION: usize = 100;

/// Writes before the measured ones: fills caches, and passes the time in which
/// a server may hold back first pushes.
const WARM: u64 = 200;

/// A server, a bucket in it, the writer and the subscribers.
struct Stage {
    net: Net,
    pid: Option<u32>,
    writer: usize,
    bucket: String,
    /// Subscription id to number of the subscription.
    ids: std::collections::HashMap<Vec<u8>, usize>,
    next: u64,
}

impl Stage {
    /// `records` records made by `make`, over an index on `indexes`.
    fn new(
        target: &Target,
        name: &str,
        records: u64,
        indexes: &[&str],
        make: impl Fn(u64) -> String,
    ) -> Result<Stage, String> {
        let mut net = Net::new()?;
        let conns = target.open(&mut net, 2)?;
        let bucket = target::fresh(name);
        target::define_bucket(&mut net, conns.start, &bucket, indexes)?;
        target::load(&mut net, conns.clone(), &bucket, records, make)?;
        let writer = conns.start;
        let ids = std::collections::HashMap::new();
        Ok(Stage { net, pid: target.pid, writer, bucket, ids, next: 0 })
    }

    /// Defines a query over the bucket and subscribes to it `count` times;
    /// `fields` makes the members of each request behind the query's name.
    /// Returns the last response.
    fn subscribe(
        &mut self,
        target: &Target,
        config: Value,
        count: usize,
        fields: impl Fn(u64) -> String,
    ) -> Result<Value, String> {
        let query = target::fresh("query");
        let mut config = config;
        config["bucket"] = self.bucket.as_str().into();
        target::define_query(&mut self.net, self.writer, &query, config)?;
        let conns = target.open(&mut self.net, count.div_ceil(PER_CONNECTION))?;
        let mut encode = |number: u64, out: &mut Vec<u8>| {
            let more = fields(number);
            let text =
                format!(r#"{{"id":{number},"type":"store.subscribe","query":"{query}"{more}}}"#);
            wire::put_text(out, text.as_bytes());
        };
        let (ids, mut last) = (&mut self.ids, Vec::new());
        let mut check = |number: u64, message: &[u8]| {
            wire::result_of(message, number)?;
            let id = subscription(message)
                .ok_or_else(|| format!("no subscriptionId in {}", wire::excerpt(message)))?;
            ids.insert(id.to_vec(), number as usize);
            last = message.to_vec();
            Ok(())
        };
        let depth = PER_CONNECTION;
        let mut pump = Pump::new(conns.collect(), depth, count as u64, &mut encode, &mut check);
        pump.start(&mut self.net)?;
        pump.drain(&mut self.net, Duration::from_secs(120))?;
        let response: Value = serde_json::from_slice(&last).map_err(|error| error.to_string())?;
        Ok(response["data"].clone())
    }

    /// A warm-up with one write in flight, then the measured phase. `change`
    /// appends key and data of write `number`: `"r00000001","data":{…`.
    fn measure(
        &mut self,
        expect: Expect,
        window: usize,
        time: Duration,
        change: &mut dyn FnMut(u64) -> String,
        observe: Observe<'_>,
    ) -> Result<Phase, String> {
        let bucket = &self.bucket;
        let mut encode = |number: u64, out: &mut Vec<u8>| {
            let change = change(number);
            let text = format!(
                r#"{{"id":{number},"type":"store.update","bucket":"{bucket}","key":{change}}}"#
            );
            wire::put_text(out, text.as_bytes());
        };
        let mut reply = |number: u64, message: &[u8]| wire::result_of(message, number).map(|_| ());
        let mut watch =
            Watch::new(self.writer, self.next, expect, &mut encode, &mut reply, observe);
        let result = watch
            .phase(&mut self.net, 1, WARM, time, None)
            .and_then(|_| watch.phase(&mut self.net, window, u64::MAX, time, self.pid));
        self.next = watch.next();
        result
    }
}

/// The id in a response or push.
fn subscription(message: &[u8]) -> Option<&[u8]> {
    const LABEL: &[u8] = br#""subscriptionId":""#;
    let start = wire::find(message, LABEL)? + LABEL.len();
    let length = message[start..].iter().position(|&byte| byte == b'"')?;
    Some(&message[start..start + length])
}

fn cost(phase: &Phase) -> Option<f64> {
    phase.span.server_micros.map(|micros| micros / phase.writes)
}

fn written(phase: &Phase) -> f64 {
    phase.writes / phase.span.seconds
}

/// Writes that touch one of many subscriptions with different parameters.
pub fn params(options: &Options, report: &mut Report) -> Result<(), String> {
    let most = options.params.iter().copied().max().unwrap_or(1);
    let config = json!({ "connectionLimits": { "maxTotalSubscriptions": most } });
    let urls = options.urls.len() + usize::from(options.server.is_some());
    let mut rows: Vec<Vec<Row>> = vec![Vec::new(); 2 * urls];
    for &count in &options.params {
        for (place, target) in target::noex_targets(options, &config)?.iter().enumerate() {
            for (half, window) in [1, 64].into_iter().enumerate() {
                let metrics = params_case(target, most as u64, count, window, options)
                    .map_err(|error| format!("{}: {error}", target.label))?;
                let label = format!("{}, {count}", target.label);
                rows[2 * place + half].push(Row { label, metrics });
            }
        }
    }
    for (number, rows) in rows.iter().enumerate() {
        let window = if number % 2 == 0 { 1 } else { 64 };
        let title = format!("subscriptions with as many parameters, {window} in flight");
        report.series("params", &title, rows);
    }
    Ok(())
}

fn params_case(
    target: &Target,
    records: u64,
    count: usize,
    window: usize,
    options: &Options,
) -> Result<Vec<Metric>, String> {
    let mut stage = Stage::new(target, "params", records, &["town"], |number| {
        target::row(number, &format!("room-{number}"), 0)
    })?;
    let query = json!({ "filter": { "town": "{{ params.town }}" } });
    stage.subscribe(target, query, count, |number| {
        format!(r#","params":{{"town":"room-{number}"}}"#)
    })?;
    let ids = std::mem::take(&mut stage.ids);
    let mut change = |number: u64| {
        let record = number % count as u64;
        format!(r#""r{record:08}","data":{{"tick":{}}}"#, number + 1)
    };
    let mut observe = |_: usize, message: &[u8]| {
        let subscriber = subscription(message)
            .and_then(|id| ids.get(id))
            .ok_or_else(|| format!("an unknown subscription: {}", wire::excerpt(message)))?;
        Ok(Seen { subscriber: *subscriber, write: tick(message) })
    };
    let expect = Expect::One(count);
    let phase = stage.measure(expect, window, options.round, &mut change, &mut observe)?;
    // The same server serves the next case: leave nothing that costs.
    Ok(vec![
        Metric::new("writes/s", written(&phase), 0),
        Metric::new("cpu us/write", cost(&phase), 2),
        Metric::new("p50 us", phase.latency.micros(0.5), 0),
        Metric::new("p99 us", phase.latency.micros(0.99), 0),
    ])
}

/// The write that the first row of a push shows.
fn tick(message: &[u8]) -> Option<u64> {
    wire::number_after(message, br#""tick":"#)?.checked_sub(1)
}

/// A sorted top-10 over more and more records: writes that enter it, and
/// writes far below it.
pub fn topn(options: &Options, report: &mut Report) -> Result<(), String> {
    growing(options, report, "topn", "records, sorted top 10, 16 in flight", |target, records| {
        let score = |number: u64| number.wrapping_mul(0x9e37_79b9_7f4a_7c15) % 1_000_000;
        let mut stage = Stage::new(target, "topn", records, &[], |number| {
            target::row(number, "town-1", score(number))
        })?;
        let query = json!({ "sort": { "score": "desc" }, "limit": 10 });
        stage.subscribe(target, query, 1, |_| String::new())?;
        let half = records / 2;
        // Records with even numbers rise to the top, one after the other.
        let mut enter = |number: u64| {
            let record = number.wrapping_mul(7919) % half * 2;
            let tick = number + 1;
            format!(r#""r{record:08}","data":{{"tick":{tick},"score":{}}}"#, 2_000_000 + number)
        };
        let mut observe = |_: usize, message: &[u8]| match tick(message) {
            Some(write) => Ok(Seen { subscriber: 0, write: Some(write) }),
            None => Err(format!("a push without a tick: {}", wire::excerpt(message))),
        };
        let hit = stage.measure(Expect::All(1), 16, options.round, &mut enter, &mut observe)?;
        // Those with odd numbers stay below.
        let mut stay = |number: u64| {
            let record = number.wrapping_mul(7919) % half * 2 + 1;
            format!(r#""r{record:08}","data":{{"score":{}}}"#, score(number))
        };
        let miss = stage.measure(Expect::Nobody, 16, options.round, &mut stay, &mut observe)?;
        Ok(vec![
            Metric::new("writes/s", written(&hit), 0),
            Metric::new("cpu us/hit", cost(&hit), 2),
            Metric::new("p50 us", hit.latency.micros(0.5), 0),
            Metric::new("misses/s", written(&miss), 0),
            Metric::new("cpu us/miss", cost(&miss), 2),
        ])
    })
}

/// A count and a groupBy over more and more records, both changed by every
/// write.
pub fn agg(options: &Options, report: &mut Report) -> Result<(), String> {
    growing(options, report, "agg", "records, 16 in flight", |target, records| {
        let town = |number: u64| number % 10;
        let make = |number: u64| target::row(number, &format!("town-{}", town(number)), 1);

        let mut stage = Stage::new(target, "count", records, &[], make)?;
        let query = json!({ "filter": { "open": true }, "aggregate": { "function": "count" } });
        stage.subscribe(target, query, 1, |_| String::new())?;
        // One after the other is opened, then one after the other is closed.
        let opening = |number: u64| (number / records).is_multiple_of(2);
        let mut change = |number: u64| {
            let record = number % records;
            format!(r#""r{record:08}","data":{{"open":{}}}"#, opening(number))
        };
        let mut pushed = 0;
        let mut observe = |_: usize, message: &[u8]| {
            let done = pushed % records + 1;
            let expected = if opening(pushed) { done } else { records - done };
            pushed += 1;
            match wire::number_after(message, br#""data":"#) == Some(expected) {
                true => Ok(Seen { subscriber: 0, write: None }),
                false => Err(format!("count {expected} due, got {}", wire::excerpt(message))),
            }
        };
        let count = stage.measure(Expect::All(1), 16, options.round, &mut change, &mut observe)?;
        drop(stage);

        let mut stage = Stage::new(target, "group", records, &[], make)?;
        let query = json!({
            "aggregate": { "function": "sum", "field": "score", "groupBy": "town" },
        });
        stage.subscribe(target, query, 1, |_| String::new())?;
        let mut scores = vec![1u64; records as usize];
        let mut sums: Vec<u64> = (0..10)
            .map(|town| (0..records).filter(|number| number % 10 == town).count() as u64)
            .collect();
        let due = std::cell::RefCell::new(VecDeque::new());
        let mut change = |number: u64| {
            let record = number.wrapping_mul(7919) % records;
            let (town, score) = (town(record) as usize, number % 1000 + 2);
            // Never the score that it has: the sum has to change.
            let score = if scores[record as usize] == score { score + 1 } else { score };
            sums[town] = sums[town] + score - scores[record as usize];
            scores[record as usize] = score;
            due.borrow_mut().push_back((town, sums[town]));
            format!(r#""r{record:08}","data":{{"score":{score}}}"#)
        };
        let mut observe = |_: usize, message: &[u8]| {
            let (town, sum) = due.borrow_mut().pop_front().ok_or("a push too many")?;
            let label = format!(r#"{{"town":"town-{town}"}},"value":"#);
            match wire::number_after(message, label.as_bytes()) == Some(sum) {
                true => Ok(Seen { subscriber: 0, write: None }),
                false => Err(format!("sum {sum} of {town} due: {}", wire::excerpt(message))),
            }
        };
        let group = stage.measure(Expect::All(1), 16, options.round, &mut change, &mut observe)?;
        Ok(vec![
            Metric::new("counts/s", written(&count), 0),
            Metric::new("cpu us/count", cost(&count), 2),
            Metric::new("groups/s", written(&group), 0),
            Metric::new("cpu us/group", cost(&group), 2),
        ])
    })
}

/// One row per number of records, on a fresh server each.
fn growing(
    options: &Options,
    report: &mut Report,
    mode: &str,
    title: &str,
    mut measure: impl FnMut(&Target, u64) -> Result<Vec<Metric>, String>,
) -> Result<(), String> {
    let mut rows: Vec<Vec<Row>> = Vec::new();
    for &records in &options.records {
        for (place, target) in target::noex_targets(options, &json!({}))?.iter().enumerate() {
            let metrics = measure(target, records)
                .map_err(|error| format!("{}, {records} records: {error}", target.label))?;
            let row = Row { label: format!("{}, {records}", target.label), metrics };
            match rows.get_mut(place) {
                Some(rows) => rows.push(row),
                None => rows.push(vec![row]),
            }
        }
    }
    for rows in &rows {
        report.series(mode, title, rows);
    }
    Ok(())
}

/// One changed row of a large result, pushed whole and as a difference.
pub fn delta(options: &Options, report: &mut Report) -> Result<(), String> {
    for target in target::noex_targets(options, &json!({}))? {
        let mut rows = Vec::new();
        for mode in ["full", "delta"] {
            match delta_case(&target, mode, options)
                .map_err(|error| format!("{}, {mode}: {error}", target.label))?
            {
                Some(metrics) => {
                    rows.push(Row { label: format!("{}, {mode}", target.label), metrics });
                }
                None => report.note("delta", &format!("{} has no delta mode", target.label)),
            }
        }
        report.series("delta", &format!("{} rows, one changed", options.rows), &rows);
    }
    Ok(())
}

/// `None`: the server answers in full mode.
fn delta_case(
    target: &Target,
    mode: &str,
    options: &Options,
) -> Result<Option<Vec<Metric>>, String> {
    let rows = options.rows;
    let mut stage =
        Stage::new(target, "delta", rows, &[], |number| target::row(number, "town-1", number))?;
    let answer = stage.subscribe(target, json!({}), 1, |_| format!(r#","mode":"{mode}""#))?;
    if answer["data"].as_array().map(Vec::len) != Some(rows as usize) {
        return Err(format!("the first result does not have {rows} rows"));
    }
    if mode == "delta" && answer["mode"] != "delta" {
        return Ok(None);
    }
    let mut change = |number: u64| {
        let record = number % rows;
        format!(r#""r{record:08}","data":{{"tick":{}}}"#, number + 1)
    };
    let (mut pushed, mut last) = (0, Vec::new());
    let mut observe = |_: usize, message: &[u8]| {
        pushed += 1;
        if mode == "delta" {
            // Small enough to look at each.
            let seq = wire::number_after(message, br#""data":{"seq":"#);
            if seq != Some(pushed) || tick(message) != Some(pushed - 1) {
                return Err(format!("state {pushed} due, got {}", wire::excerpt(message)));
            }
        }
        last.clear();
        last.extend_from_slice(message);
        Ok(Seen { subscriber: 0, write: None })
    };
    let phase = stage.measure(Expect::All(1), 1, options.round, &mut change, &mut observe)?;
    if mode == "full" {
        let push: Value = serde_json::from_slice(&last).map_err(|error| error.to_string())?;
        let newest =
            push["data"].as_array().into_iter().flatten().filter_map(|row| row["tick"].as_u64());
        if newest.max() != Some(stage.next) {
            return Err(format!("the last push does not show write {}", stage.next));
        }
    }
    Ok(Some(vec![
        Metric::new("bytes/push", phase.push_bytes / phase.pushes, 0),
        Metric::new("cpu us/write", cost(&phase), 2),
        Metric::new("writes/s", written(&phase), 0),
        Metric::new("p50 us", phase.latency.micros(0.5), 0),
    ]))
}
