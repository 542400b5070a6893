//! Logs of the stand-alone program: one line per record on standard error.
//!
//! `2026-01-31T12:34:56.789Z INFO noexd::server: text`. Text that came from a
//! client cannot forge a line or move a terminal's cursor: whatever is not
//! printable is escaped, and long text is cut. A program that embeds the server
//! brings a logger of its own.

//!
//! Nobody waits for standard error (limits.md section 6): see [`queue`].

pub mod queue;

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::json::js::iso_text;
use queue::Queue;

/// Characters of one record's text that are shown.
const LONGEST: usize = 2_000;

/// How long the end of the process waits for a reader of its last words.
const FAREWELL: Duration = Duration::from_secs(1);

/// Lines by level, from `error` to `trace`.
static LINES: [AtomicU64; 5] = [const { AtomicU64::new(0) }; 5];

/// What everything that is said goes through.
static QUEUE: OnceLock<Queue> = OnceLock::new();

/// Formats like `env_logger`; flushing waits for the queue.
struct Logger(env_logger::Logger);

impl log::Log for Logger {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        self.0.enabled(metadata)
    }

    fn log(&self, record: &log::Record<'_>) {
        let level = record.level() as usize;
        if let Some(count) = LINES.get(level.saturating_sub(1)).filter(|_| self.0.matches(record)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.0.log(record);
    }

    fn flush(&self) {
        flush();
    }
}

/// What `env_logger` writes to: one call for each line.
struct IntoQueue(Queue);

impl std::io::Write for IntoQueue {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        self.0.put(line.to_vec());
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Installs the logger: level `info`, or what `RUST_LOG` says.
///
/// # Errors
///
/// Another logger is installed already, or there is no thread to write.
pub fn init() -> Result<(), Box<dyn std::error::Error>> {
    let queue = Queue::start(std::io::stderr(), |lost| {
        let what = if lost == 1 { "line was" } else { "lines were" };
        let text = format!("{lost} {what} lost: standard error is not read");
        format!("{} WARN {}: {text}\n", now(), module_path!())
    })?;
    let queue = QUEUE.get_or_init(|| queue).clone();
    let logger = env_logger::Builder::new()
        .target(env_logger::Target::Pipe(Box::new(IntoQueue(queue))))
        .filter_level(log::LevelFilter::Info)
        .parse_default_env()
        .format(|out, record| {
            let (time, text) = (now(), printable(&record.args().to_string()));
            writeln!(out, "{time} {} {}: {text}", record.level(), record.target())
        })
        .build();
    let level = logger.filter();
    log::set_boxed_logger(Box::new(Logger(logger)))?;
    log::set_max_level(level);
    // The standard hook writes to standard error itself, and waits for it.
    std::panic::set_hook(Box::new(|panic| log::error!("{panic}")));
    Ok(())
}

/// Text that is no record, for people: behind the records so far.
pub fn say(text: &str) {
    match QUEUE.get() {
        Some(queue) => queue.put(text.as_bytes().to_vec()),
        // Nobody can be told that nobody can be told.
        None => drop(std::io::stderr().write_all(text.as_bytes())),
    }
}

/// Waits a moment until what was said is written; for the end of the process.
pub fn flush() {
    if let Some(queue) = QUEUE.get() {
        queue.flush(FAREWELL);
    }
}

/// Lines that nobody could be told, because standard error was not read.
pub fn dropped() -> u64 {
    QUEUE.get().map_or(0, Queue::dropped)
}

/// How many lines of each level were logged.
pub fn lines() -> [(&'static str, u64); 5] {
    const NAMES: [&str; 5] = ["error", "warn", "info", "debug", "trace"];
    std::array::from_fn(|at| {
        let count = LINES.get(at).map_or(0, |count| count.load(Ordering::Relaxed));
        (NAMES.get(at).copied().unwrap_or_default(), count)
    })
}

fn now() -> String {
    let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    iso_text(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

/// `text` with everything escaped that is not printable, cut if it is long.
pub fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (at, c) in text.chars().enumerate() {
        if at == LONGEST {
            out.push_str("...");
            break;
        }
        if is_printable(c) {
            out.push(c);
        } else {
            // Writing to a string does not fail.
            let _ = write!(out, "{}", c.escape_default());
        }
    }
    out
}

/// Not control characters, nor those that turn the direction of text or end a
/// line in some viewers.
fn is_printable(c: char) -> bool {
    !(c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_sent_cannot_forge_a_line() {
        assert_eq!(
            printable("ab\r\n2026 ERROR \u{1b}[2J\u{202e}é"),
            "ab\\r\\n2026 ERROR \\u{1b}[2J\\u{202e}é"
        );
        assert_eq!(printable(&"x".repeat(3_000)).len(), LONGEST + 3);
    }
}
