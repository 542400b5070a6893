//! `get`, `update`, `insert`, `where`, `mixed`: requests in a closed loop at
//! several connection counts and depths, with Redis' GET and SET beside those
//! that it has.

use std::time::Duration;

use serde_json::json;

use crate::net::Net;
use crate::options::Options;
use crate::pump::Pump;
use crate::report::{Metric, Report, interleaved};
use crate::stats::Moment;
use crate::target::{self, Kind, Target};
use crate::wire;

/// Records that are read and updated.
const RECORDS: u64 = 10_000;

/// A round of inserts ends at this many, however long it is, so that the
/// memory of the machine is not the limit.
const INSERTS: u64 = 300_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Get,
    Update,
    Insert,
    /// Ten records by an index.
    Where,
    /// Of ten requests six get, two update, one inserts, one asks `where`.
    Mixed,
}

impl Operation {
    fn of(mode: &str) -> Operation {
        match mode {
            "get" => Operation::Get,
            "update" => Operation::Update,
            "where" => Operation::Where,
            "mixed" => Operation::Mixed,
            _ => Operation::Insert,
        }
    }

    /// What request `serial` is.
    fn at(self, serial: u64) -> Operation {
        match (self, serial % 10) {
            (Operation::Mixed, 0..=5) => Operation::Get,
            (Operation::Mixed, 6..=7) => Operation::Update,
            (Operation::Mixed, 8) => Operation::Insert,
            (Operation::Mixed, _) => Operation::Where,
            (other, _) => other,
        }
    }

    /// Whether Redis has the like.
    fn is_of_redis(self) -> bool {
        !matches!(self, Operation::Where | Operation::Mixed)
    }
}

/// Records of one town.
const PER_TOWN: u64 = 10;

fn town(record: u64) -> String {
    format!("town-{}", record / PER_TOWN)
}

/// A target with its data.
struct Ready<'a> {
    target: &'a Target,
    bucket: String,
    /// Requests sent so far: the next key of an insert.
    sent: u64,
}

pub fn run(mode: &str, options: &Options, report: &mut Report) -> Result<(), String> {
    let operation = Operation::of(mode);
    let targets = match operation.is_of_redis() {
        true => target::all_targets(options, &json!({}))?,
        false => target::noex_targets(options, &json!({}))?,
    };
    let bucket = target::fresh(mode);
    let indexes: &[&str] = if operation.is_of_redis() { &[] } else { &["town"] };
    let value = prepare(&targets, &bucket, indexes)?;
    let mut ready: Vec<Ready> =
        targets.iter().map(|target| Ready { target, bucket: bucket.clone(), sent: 0 }).collect();

    for &(conns, depth) in &options.shapes {
        let rows = interleaved(
            &mut ready,
            options.rounds,
            |it| it.target.label.clone(),
            |it| round(it, operation, conns, depth, &value, options.round),
        )?;
        let title = format!("{conns} connections, {depth} in flight on each");
        report.case(mode, &title, &rows);
    }
    Ok(())
}

/// Puts the same records everywhere. Returns a value for Redis that is as long
/// as a stored row.
fn prepare(targets: &[Target], bucket: &str, indexes: &[&str]) -> Result<Vec<u8>, String> {
    let mut length = 0;
    for target in targets.iter().filter(|target| target.kind == Kind::Noex) {
        let fill = || -> Result<usize, String> {
            let mut net = Net::new()?;
            let conns = target.open(&mut net, 2)?;
            target::define_bucket(&mut net, conns.start, bucket, indexes)?;
            target::load(&mut net, conns.clone(), bucket, RECORDS, |number| {
                target::row(number, &town(number), number)
            })?;
            let key = target::key(1);
            let fields = json!({ "bucket": bucket, "key": key });
            let row = target::call(&mut net, conns.start, "store.get", fields)?;
            if row["id"] != key {
                return Err(format!("store.get of {key} answered {row}"));
            }
            Ok(row.to_string().len())
        };
        length = fill().map_err(|error| format!("{}: {error}", target.label))?;
    }
    let value = vec![b'x'; length];
    for target in targets.iter().filter(|target| target.kind == Kind::Redis) {
        let mut net = Net::new()?;
        let conns = target.open(&mut net, 1)?;
        let mut encode = |number: u64, out: &mut Vec<u8>| {
            wire::put_command(out, &[b"SET", target::key(number).as_bytes(), &value]);
        };
        let mut check = |_, _: &[u8]| Ok(());
        let mut pump = Pump::new(conns.collect(), 64, RECORDS, &mut encode, &mut check);
        pump.start(&mut net)?;
        pump.drain(&mut net, Duration::from_secs(60))?;
    }
    Ok(value)
}

fn round(
    ready: &mut Ready,
    operation: Operation,
    conns: usize,
    depth: usize,
    value: &[u8],
    time: Duration,
) -> Result<Vec<Metric>, String> {
    let mut net = Net::new()?;
    let opened = ready.target.open(&mut net, conns)?;
    let first = ready.sent;
    let mut text = Vec::new();
    let bucket = &ready.bucket;
    let redis = ready.target.kind == Kind::Redis;
    let mut encode = |number: u64, out: &mut Vec<u8>| {
        let serial = first + number;
        let operation = operation.at(serial);
        let record = match operation {
            Operation::Insert => RECORDS + serial,
            // Scattered over the records, the same way everywhere.
            _ => serial.wrapping_mul(0x9e37_79b1) % RECORDS,
        };
        if redis {
            redis_command(operation, record, value, out);
        } else {
            text.clear();
            noex_request(operation, number, bucket, record, serial, &mut text);
            wire::put_text(out, &text);
        }
    };
    let mut check = |number: u64, message: &[u8]| -> Result<(), String> {
        let good = match (redis, operation.at(first + number)) {
            (false, Operation::Where) => {
                wire::result_of(message, number)?.starts_with(br#","data":[{"#)
            }
            (true, Operation::Get) => message.starts_with(b"$") && message.len() > value.len(),
            (true, _) => message.starts_with(b"+OK"),
            (false, _) => wire::result_of(message, number)?.starts_with(br#","data":{"#),
        };
        match good {
            true => Ok(()),
            false => Err(format!("wrong answer: {}", wire::excerpt(message))),
        }
    };
    let limit = if operation == Operation::Insert { INSERTS } else { u64::MAX };
    let mut pump = Pump::new(opened.collect(), depth, limit, &mut encode, &mut check);
    pump.start(&mut net)?;
    pump.run(&mut net, time / 5)?;

    let (answered, before) = (pump.answered, Moment::now(ready.target.pid));
    pump.latency.clear();
    pump.run(&mut net, time)?;
    let span = before.until(&Moment::now(ready.target.pid));
    let done = (pump.answered - answered) as f64;
    let (p50, p99) = (pump.latency.micros(0.5), pump.latency.micros(0.99));
    pump.finish(&mut net)?;
    ready.sent += pump.answered;

    Ok(vec![
        Metric::new("ops/s", done / span.seconds, 0),
        Metric::new("cpu us/op", span.server_micros.map(|micros| micros / done), 2),
        Metric::new("p50 us", p50, 0),
        Metric::new("p99 us", p99, 0),
        Metric::plain("generator", span.own_share, 2),
    ])
}

fn redis_command(operation: Operation, record: u64, value: &[u8], out: &mut Vec<u8>) {
    let key = target::key(record);
    match operation {
        Operation::Get => wire::put_command(out, &[b"GET", key.as_bytes()]),
        _ => wire::put_command(out, &[b"SET", key.as_bytes(), value]),
    }
}

fn noex_request(
    operation: Operation,
    id: u64,
    bucket: &str,
    record: u64,
    serial: u64,
    text: &mut Vec<u8>,
) {
    use std::io::Write;
    // Writing into a vector cannot fail.
    let _ = match operation {
        Operation::Get => write!(
            text,
            r#"{{"id":{id},"type":"store.get","bucket":"{bucket}","key":"r{record:08}"}}"#
        ),
        Operation::Update => write!(
            text,
            r#"{{"id":{id},"type":"store.update","bucket":"{bucket}","key":"r{record:08}","data":{{"tick":{serial}}}}}"#
        ),
        Operation::Insert => write!(
            text,
            r#"{{"id":{id},"type":"store.insert","bucket":"{bucket}","data":{}}}"#,
            target::row(record, &town(record), serial)
        ),
        Operation::Where | Operation::Mixed => write!(
            text,
            r#"{{"id":{id},"type":"store.where","bucket":"{bucket}","filter":{{"town":"{}"}}}}"#,
            town(record)
        ),
    };
}
