//! What the metrics show beside the engine: sockets, disk, process, logs.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::engine::metrics_table::{
    BATCH_BOUNDS, Histogram, Process, StorageFigures, TURN_BOUNDS, TlsFigures, World,
};
use crate::logging;
use crate::net::Counters;
use crate::storage::{StorageStats, free_bytes};

/// What has to be asked of the system, off the loop.
#[derive(Clone, Copy, Debug, Default)]
struct Looked {
    process: Option<Process>,
    file_bytes: Option<u64>,
    log_bytes: Option<u64>,
    free_bytes: Option<u64>,
    last_backup: Option<u64>,
    file_since: Option<u64>,
    looked_at: u64,
}

/// Looks at the system when it is told to; anybody may ask what it saw.
#[derive(Debug)]
pub(super) struct Probe {
    started: f64,
    database: Option<PathBuf>,
    backups: Option<PathBuf>,
    looked: Mutex<Looked>,
}

impl Probe {
    pub fn new(database: Option<PathBuf>, backups: Option<PathBuf>) -> Arc<Self> {
        let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let started = started.as_secs_f64();
        Arc::new(Probe { started, database, backups, looked: Mutex::default() })
    }

    /// Reads files: for the worker.
    pub fn look(&self) {
        let size = |path: &Path| std::fs::metadata(path).map(|about| about.len()).ok();
        let made = |path: &Path| {
            let about = std::fs::metadata(path).ok()?;
            about.created().or_else(|_| about.modified()).ok().map(unix_seconds)
        };
        let database = self.database.as_deref();
        let looked = Looked {
            process: process(self.started),
            file_bytes: database.and_then(size),
            log_bytes: database.map(|path| size(&log_of(path)).unwrap_or(0)),
            free_bytes: database
                .and_then(Path::parent)
                .and_then(|directory| free_bytes(directory).ok()),
            file_since: database.and_then(made),
            last_backup: self.backups.as_deref().and_then(newest_in),
            looked_at: unix_seconds(SystemTime::now()),
        };
        *self.looked.lock().unwrap_or_else(PoisonError::into_inner) = looked;
    }

    fn looked(&self) -> Looked {
        *self.looked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unix_seconds(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// When the newest backup of a directory was made, whoever made it.
fn newest_in(directory: &Path) -> Option<u64> {
    let entries = std::fs::read_dir(directory).ok()?.flatten();
    let backups = entries.filter(|entry| {
        let path = entry.path();
        path.extension().is_some_and(|extension| extension == "sqlite")
    });
    let made = backups.filter_map(|backup| backup.metadata().ok()?.modified().ok());
    made.map(unix_seconds).max()
}

fn log_of(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

fn process(started: f64) -> Option<Process> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let kilobytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim_start_matches(':').split_whitespace().next()?.parse::<f64>().ok()
    };
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Some(Process {
        start_seconds: started,
        resident_bytes: kilobytes("VmRSS")? * 1024.0,
        virtual_bytes: kilobytes("VmSize")? * 1024.0,
        // Without the one that the listing itself takes.
        open_files: std::fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1) as f64,
        max_files: rlimit::Resource::NOFILE.get_soft().ok()? as f64,
        cpu_seconds: time.tv_sec as f64 + time.tv_nsec as f64 / 1e9,
    })
}

fn histogram(bounds: &'static [u64], counts: &[AtomicU64], sum_micros: u64) -> Histogram {
    let counts = counts.iter().map(|count| count.load(Relaxed)).collect();
    Histogram { bounds, counts, sum_micros }
}

/// Puts together what the parts have counted.
pub(super) fn ask(counters: &Counters, storage: Option<&StorageStats>, probe: &Probe) -> World {
    let looked = probe.looked();
    World {
        sockets: counters.sockets.load(Relaxed),
        outbox_bytes: counters.outbox_bytes.load(Relaxed),
        input_bytes: counters.input_bytes.load(Relaxed),
        received_bytes: counters.input_bytes_total.load(Relaxed),
        sent_bytes: counters.output_bytes_total.load(Relaxed),
        connections_opened: counters.connections_total.load(Relaxed),
        closed: counters.closed().into_iter().collect(),
        refused: counters.refused().into_iter().collect(),
        http: counters
            .http()
            .into_iter()
            .map(|((door, class), count)| (door, class, count))
            .collect(),
        calls_refused: counters.calls_refused.load(Relaxed),
        probes_evicted: counters.probes_evicted.load(Relaxed),
        probes_refused: counters.probes_refused.load(Relaxed),
        output_limit_reached: counters.output_limit_reached.load(Relaxed),
        input_limit_reached: counters.input_limit_reached.load(Relaxed),
        tls: TlsFigures {
            handshakes: [
                ("ok", counters.tls_ok.load(Relaxed)),
                ("failed", counters.tls_failed.load(Relaxed)),
                ("timeout", counters.tls_timeout.load(Relaxed)),
            ],
            waiting: counters.tls_waiting.load(Relaxed),
            not_after: Some(counters.tls_not_after.load(Relaxed)).filter(|end| *end > 0),
            problem: counters.tls_problem(),
            reloads: [
                (true, counters.tls_reloaded.load(Relaxed)),
                (false, counters.tls_not_reloaded.load(Relaxed)),
            ],
        },
        jobs_waiting: counters.jobs_waiting.load(Relaxed),
        turns: Some(histogram(
            TURN_BOUNDS,
            &counters.turn_micros,
            counters.turn_micros_sum.load(Relaxed),
        )),
        storage: storage.map(|stats| StorageFigures {
            batches: Some(histogram(
                BATCH_BOUNDS,
                &stats.write_counts,
                stats.write_micros.load(Relaxed),
            )),
            syncs: Some(histogram(
                BATCH_BOUNDS,
                &stats.sync_counts,
                stats.sync_micros.load(Relaxed),
            )),
            backlog_bytes: stats.backlog.load(Relaxed),
            file_bytes: looked.file_bytes,
            log_bytes: looked.log_bytes,
            free_bytes: looked.free_bytes,
            last_backup: looked.last_backup,
            file_since: looked.file_since,
            looked_at: looked.looked_at,
        }),
        process: looked.process,
        log_lines: logging::lines().to_vec(),
        log_lines_dropped: logging::dropped(),
    }
}
