//! `durable`: acknowledged updates per second in memory, with `interval` and
//! with `always`, and the syncs that they took; and with `always` the same as
//! requests that are executed once. The server runs inside this
//! process, on a thread of its own, because nobody else can count its syncs; so
//! the figures are comparable with each other and not with those of `update`.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use noexd::Server;
use noexd::server::ServerThread;
use noexd::storage::StorageStats;
use serde_json::json;

use crate::net::Net;
use crate::options::Options;
use crate::pump::Pump;
use crate::report::{Metric, Report, interleaved};
use crate::stats::Moment;
use crate::target::{self, Target};
use crate::wire;

/// Records that are updated.
const RECORDS: u64 = 10_000;

/// Connections; each has one request in flight.
const CONNECTIONS: [usize; 3] = [1, 16, 256];

/// Where the data is kept, and whether requests are numbered.
const MODES: [(&str, bool, &str); 4] = [
    ("memory", false, "memory"),
    ("interval", false, "interval"),
    ("always", false, "always"),
    ("always", true, "always, once"),
];

/// A directory that goes with the benchmark.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left over is only in the way.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

struct Ready {
    label: &'static str,
    /// Its requests are numbered, in sessions of their own for each round.
    is_once: bool,
    sessions: usize,
    target: Target,
    bucket: String,
    stats: Option<Arc<StorageStats>>,
    /// Stopped before the directory goes.
    _server: ServerThread,
    _scratch: Scratch,
}

pub fn run(options: &Options, report: &mut Report) -> Result<(), String> {
    let mut ready: Vec<Ready> = MODES.into_iter().map(start).collect::<Result<_, _>>()?;
    for conns in CONNECTIONS {
        let rows = interleaved(
            &mut ready,
            options.rounds,
            |it| it.label.to_string(),
            |it| round(it, conns, options),
        )?;
        report.case("durable", &format!("{conns} connections, 1 update in flight on each"), &rows);
    }
    Ok(())
}

fn start((mode, is_once, label): (&str, bool, &'static str)) -> Result<Ready, String> {
    let name = format!("noexd-bench-durable-{}-{mode}-{is_once}", std::process::id());
    let scratch = Scratch(std::env::temp_dir().join(name));
    let mut builder = Server::builder().host("127.0.0.1").port(0);
    if mode != "memory" {
        builder = builder
            .set("dataDir", scratch.0.to_string_lossy().into_owned())
            .set("durability", mode);
    }
    let server = builder.start().map_err(|error| error.to_string())?;
    let url = format!("ws://{}/", server.local_addr());
    let target = Target::from_url(&url, mode.into())?;
    let bucket = target::fresh("durable");
    let mut net = Net::new()?;
    let opened = target.open(&mut net, 16)?;
    target::define_bucket(&mut net, opened.start, &bucket, &[])?;
    target::load(&mut net, opened, &bucket, RECORDS, |number| {
        target::row(number, "town-1", number)
    })?;
    let stats = server.storage_stats();
    Ok(Ready {
        label,
        is_once,
        sessions: 0,
        target,
        bucket,
        stats,
        _server: server,
        _scratch: scratch,
    })
}

fn round(ready: &mut Ready, conns: usize, options: &Options) -> Result<Vec<Metric>, String> {
    let mut net = Net::new()?;
    let opened = ready.target.open(&mut net, conns)?;
    for conn in opened.clone().filter(|_| ready.is_once) {
        ready.sessions += 1;
        let session = format!("a-session-of-the-benchmark-{}", ready.sessions);
        let fields = json!({ "session": session, "once": true });
        target::call(&mut net, conn, "session.open", fields)?;
    }
    let (bucket, is_once) = (&ready.bucket, ready.is_once);
    let mut encode = |number: u64, out: &mut Vec<u8>| {
        let key = target::key(number.wrapping_mul(0x9e37_79b1) % RECORDS);
        // Ascending on each connection, which is all that a session asks for.
        let once = if is_once { format!(r#","once":{}"#, number + 1) } else { String::new() };
        let text = format!(
            r#"{{"id":{number},"type":"store.update","bucket":"{bucket}","key":"{key}","data":{{"tick":{number}}}{once}}}"#
        );
        wire::put_text(out, text.as_bytes());
    };
    let mut check = |number: u64, message: &[u8]| wire::result_of(message, number).map(|_| ());
    let mut pump = Pump::new(opened.collect(), 1, u64::MAX, &mut encode, &mut check);
    pump.start(&mut net)?;
    pump.run(&mut net, options.round / 5)?;
    let count = |of: fn(&StorageStats) -> u64| ready.stats.as_deref().map(of);
    let syncs = |stats: &StorageStats| stats.syncs.load(Ordering::Relaxed);
    let (answered, synced, before) = (pump.answered, count(syncs), Moment::now(None));
    pump.latency.clear();
    pump.run(&mut net, options.round)?;
    let span = before.until(&Moment::now(None));
    let done = (pump.answered - answered) as f64;
    let synced = count(syncs).zip(synced).map(|(after, before)| (after - before) as f64);
    let (p50, p99) = (pump.latency.micros(0.5), pump.latency.micros(0.99));
    pump.finish(&mut net)?;
    let per_sync = synced.filter(|synced| *synced > 0.0).map(|synced| done / synced);
    Ok(vec![
        Metric::new("acknowledged/s", done / span.seconds, 0),
        Metric::plain("syncs/s", synced.map(|synced| synced / span.seconds), 0),
        Metric::plain("writes/sync", per_sync, 1),
        Metric::new("p50 us", p50, 0),
        Metric::new("p99 us", p99, 0),
    ])
}
