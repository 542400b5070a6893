//! `start`: the time from the start of the program until it listens, and its
//! memory then, over a data directory with many records; beside it what SQLite
//! itself takes to read the same rows from the same file, and throw them away.

use std::path::{Path, PathBuf};
use std::time::Instant;

use noexd::Server;
use rusqlite::{Connection, OpenFlags};
use serde_json::json;

use crate::net::Net;
use crate::options::Options;
use crate::process::{self, Process};
use crate::report::{Metric, Report, Row};
use crate::target::{self, Target};

struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left over is only in the way.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub fn run(options: &Options, report: &mut Report) -> Result<(), String> {
    let Some(program) = &options.server else {
        return Err("needs --server PROGRAM: only a program can be started".into());
    };
    let records = options.records.iter().copied().max().unwrap_or(1_000_000);
    let scratch =
        Scratch(std::env::temp_dir().join(format!("noexd-bench-start-{}", std::process::id())));
    let file = scratch.0.join("noexd.sqlite");
    fill(&scratch.0, records)?;
    let (mut starts, mut reads) = (Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        reads.push(read(&file, records)?);
        starts.push(start(program, &file, records, options.core)?);
    }
    let rows = [Row::middle("noexd", starts), Row::middle("SQLite", reads)];
    let bytes = std::fs::metadata(&file).map_err(|error| error.to_string())?.len();
    let title = format!("{records} records with one index, {} MiB", bytes >> 20);
    report.case("start", &title, &rows);
    Ok(())
}

/// A data directory, made by a server that was stopped well.
fn fill(directory: &Path, records: u64) -> Result<(), String> {
    let server = Server::builder()
        .host("127.0.0.1")
        .port(0)
        .set("dataDir", directory.to_string_lossy().into_owned())
        .set("durability", "interval")
        .start()
        .map_err(|error| error.to_string())?;
    let target = Target::from_url(&format!("ws://{}/", server.local_addr()), "start".into())?;
    let mut net = Net::new()?;
    let opened = target.open(&mut net, 2)?;
    target::define_bucket(&mut net, opened.start, "people", &["town"])?;
    target::load(&mut net, opened, "people", records, |number| {
        target::row(number, &format!("town-{}", number % 1000), number)
    })?;
    drop(net);
    server.stop_and_wait(std::time::Duration::ZERO).map_err(|error| error.to_string())
}

fn metrics(seconds: f64, records: u64, resident: Option<u64>) -> Vec<Metric> {
    vec![
        Metric::new("ms", seconds * 1000.0, 0),
        Metric::new("records/s", records as f64 / seconds, 0),
        Metric::plain("MiB", resident.map(|bytes| bytes as f64 / 1_048_576.0), 0),
        Metric::plain("bytes/record", resident.map(|bytes| bytes as f64 / records as f64), 0),
    ]
}

fn start(
    program: &Path,
    file: &Path,
    records: u64,
    core: Option<usize>,
) -> Result<Vec<Metric>, String> {
    let config = json!({ "db": file.to_string_lossy() });
    let process = Process::noexd(program, &config, core)?;
    let resident = process::resident(process.id());
    let mut target = Target::from_url(&process.address, "noexd".into())?;
    target.pid = Some(process.id());
    let mut net = Net::new()?;
    let conn = target.open(&mut net, 1)?.start;
    let count = target::call(&mut net, conn, "store.count", json!({ "bucket": "people" }))?;
    if count != json!(records) {
        return Err(format!("{count} of {records} records are there"));
    }
    Ok(metrics(process.start.as_secs_f64(), records, resident))
}

fn read(file: &Path, records: u64) -> Result<Vec<Metric>, String> {
    let failed = |error: rusqlite::Error| error.to_string();
    let began = Instant::now();
    let connection =
        Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(failed)?;
    let mut statement =
        connection.prepare("SELECT * FROM records ORDER BY bucket, place").map_err(failed)?;
    let columns = statement.column_count();
    let mut rows = statement.query([]).map_err(failed)?;
    let (mut count, mut bytes) = (0, 0);
    while let Some(row) = rows.next().map_err(failed)? {
        for column in 0..columns {
            let value = row.get_ref(column).map_err(failed)?;
            bytes += value.as_str().map_or(8, str::len);
        }
        count += 1;
    }
    if count != records || bytes == 0 {
        return Err(format!("SQLite finds {count} of {records} records"));
    }
    Ok(metrics(began.elapsed().as_secs_f64(), records, None))
}
