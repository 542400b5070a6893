//! `steady`: millions of records are inserted and removed again while others
//! read: the longest turn of the loop in each phase, and how long the readers
//! wait. The server runs in this process, on a thread of its own, because only
//! it knows how long its turns are.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use noexd::Server;
use serde_json::json;

use crate::net::Net;
use crate::options::Options;
use crate::pump::Pump;
use crate::report::{Metric, Report, Row};
use crate::stats::Histogram;
use crate::target::{self, Target};
use crate::wire;

const BUCKET: &str = "steady";
const READERS: usize = 16;
const WRITERS: usize = 4;
const DEPTH: usize = 64;

#[derive(Clone, Copy)]
enum Phase {
    Insert,
    Delete,
    /// All are there again and go with one request.
    Drop,
}

pub fn run(options: &Options, report: &mut Report) -> Result<(), String> {
    let records = options.records.iter().copied().max().unwrap_or(5_000_000).max(1);
    let server =
        Server::builder().host("127.0.0.1").port(0).start().map_err(|error| error.to_string())?;
    let counters = server.counters();
    let url = format!("ws://{}/", server.local_addr());
    let target = Target::from_url(&url, "noexd".into())?;
    let mut net = Net::new()?;
    let writers = target.open(&mut net, WRITERS)?;
    target::define_bucket(&mut net, writers.start, BUCKET, &["town"])?;
    let stop = Arc::new(AtomicBool::new(false));
    let readers = std::thread::spawn({
        let (url, stop) = (url.clone(), Arc::clone(&stop));
        move || read(&Target::from_url(&url, "readers".into())?, records, &stop)
    });
    let mut rows = Vec::new();
    for phase in [Phase::Insert, Phase::Delete, Phase::Drop] {
        if let Phase::Drop = phase {
            write(&mut net, writers.clone(), Phase::Insert, records)?;
        }
        counters.turn_micros_longest.store(0, Relaxed);
        let began = Instant::now();
        let label = match phase {
            Phase::Insert | Phase::Delete => {
                write(&mut net, writers.clone(), phase, records)?;
                if let Phase::Insert = phase { "inserting" } else { "deleting" }
            }
            Phase::Drop => {
                let fields = json!({ "name": BUCKET });
                target::call(&mut net, writers.start, "store.dropBucket", fields)?;
                // Its memory goes in the turns that follow.
                for _ in 0..2_000 {
                    target::call(&mut net, writers.start, "store.buckets", json!({}))?;
                }
                "dropping"
            }
        };
        let seconds = began.elapsed().as_secs_f64();
        let longest = counters.turn_micros_longest.load(Relaxed) as f64 / 1000.0;
        rows.push(Row::middle(
            label,
            vec![vec![
                Metric::new("longest turn ms", longest, 2),
                Metric::new("records/s", records as f64 / seconds, 0),
            ]],
        ));
    }
    stop.store(true, Relaxed);
    let waits = readers.join().map_err(|_| "the readers have ended".to_owned())??;
    report.case("steady", &format!("{records} records, {READERS} readers beside"), &rows);
    let micros = |share: f64| waits.micros(share).unwrap_or_default();
    report.note(
        "steady",
        &format!(
            "readers: p50 {:.0} us, p99 {:.0} us, p99.99 {:.0} us",
            micros(0.5),
            micros(0.99),
            micros(0.9999)
        ),
    );
    drop(net);
    server.stop_and_wait(Duration::ZERO).map_err(|error| error.to_string())
}

/// Every record once.
fn write(
    net: &mut Net,
    conns: std::ops::Range<usize>,
    phase: Phase,
    records: u64,
) -> Result<(), String> {
    let mut encode = |number: u64, out: &mut Vec<u8>| {
        let text = match phase {
            Phase::Delete => format!(
                r#"{{"id":{number},"type":"store.delete","bucket":"{BUCKET}","key":"{}"}}"#,
                target::key(number)
            ),
            Phase::Insert | Phase::Drop => format!(
                r#"{{"id":{number},"type":"store.insert","bucket":"{BUCKET}","data":{}}}"#,
                target::row(number, &format!("town-{}", number % 1000), number)
            ),
        };
        wire::put_text(out, text.as_bytes());
    };
    let mut check = |number: u64, message: &[u8]| -> Result<(), String> {
        wire::result_of(message, number).map(|_| ())
    };
    let mut pump = Pump::new(conns.collect(), DEPTH, records, &mut encode, &mut check);
    pump.start(net)?;
    pump.drain(net, Duration::from_secs(3600))
}

/// Reads scattered records, there or not, until told to stop.
fn read(target: &Target, records: u64, stop: &AtomicBool) -> Result<Histogram, String> {
    let mut net = Net::new()?;
    let conns = target.open(&mut net, READERS)?;
    let mut encode = |number: u64, out: &mut Vec<u8>| {
        let record = number.wrapping_mul(0x9e37_79b1) % records;
        let text = format!(
            r#"{{"id":{number},"type":"store.get","bucket":"{BUCKET}","key":"{}"}}"#,
            target::key(record)
        );
        wire::put_text(out, text.as_bytes());
    };
    // While the bucket is dropped an error is the answer.
    let mut check = |_, _: &[u8]| Ok(());
    let mut pump = Pump::new(conns.collect(), 1, u64::MAX, &mut encode, &mut check);
    pump.start(&mut net)?;
    while !stop.load(Relaxed) {
        pump.run(&mut net, Duration::from_millis(100))?;
    }
    pump.finish(&mut net)?;
    Ok(std::mem::replace(&mut pump.latency, Histogram::new()))
}
