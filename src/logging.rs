//! Logs of the stand-alone program: one line per record on standard error.
//!
//! `2026-01-31T12:34:56.789Z INFO noexd::server: text`. Text that came from a
//! client cannot forge a line or move a terminal's cursor: whatever is not
//! printable is escaped, and long text is cut. A program that embeds the server
//! brings a logger of its own.

//!
//! Nobody waits for standard error (limits.md section 6): see [`queue`].

pub mod queue;

mod form;

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{OnceLock, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::config::LogFormat;
use crate::json::js::iso_text;
use env_filter::Filter;
use form::Form;
use queue::Queue;

/// Characters of one record's text that are shown.
const LONGEST: usize = 2_000;

/// How long the end of the process waits for a reader of its last words.
const FAREWELL: Duration = Duration::from_secs(1);

/// Lines by level, from `error` to `trace`.
static LINES: [AtomicU64; 5] = [const { AtomicU64::new(0) }; 5];

static FORM: OnceLock<Form> = OnceLock::new();

/// What everything that is said goes through.
static QUEUE: OnceLock<Queue> = OnceLock::new();

/// What is logged, and what was asked for when the program began.
static FILTER: RwLock<Option<Filters>> = RwLock::new(None);

struct Filters {
    begun_with: Filter,
    /// For a while.
    other: Option<Filter>,
}

impl Filters {
    fn now(&self) -> &Filter {
        self.other.as_ref().unwrap_or(&self.begun_with)
    }
}

fn matches(record: &log::Record<'_>) -> bool {
    let filters = FILTER.read().unwrap_or_else(PoisonError::into_inner);
    filters.as_ref().is_some_and(|filters| filters.now().matches(record))
}

fn parse(filter: &str) -> Option<Filter> {
    Some(env_filter::Builder::new().try_parse(filter).ok()?.build())
}

/// Whether this is the logger of the program.
pub fn is_installed() -> bool {
    FILTER.read().unwrap_or_else(PoisonError::into_inner).is_some()
}

/// Whether a text says what is to be logged.
pub fn is_filter(text: &str) -> bool {
    !text.trim().is_empty() && parse(text).is_some()
}

/// Logs by another filter, or by the first one again. False: there is nothing to
/// filter, because the program has a logger of its own, or it is none.
pub fn set_filter(text: Option<&str>) -> bool {
    let mut filters = FILTER.write().unwrap_or_else(PoisonError::into_inner);
    let Some(filters) = filters.as_mut() else { return false };
    let other = match text {
        None => None,
        Some(text) => match parse(text) {
            Some(filter) => Some(filter),
            None => return false,
        },
    };
    filters.other = other;
    log::set_max_level(filters.now().filter());
    true
}

/// Formats like `env_logger`; flushing waits for the queue.
struct Logger(env_logger::Logger);

impl log::Log for Logger {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        let filters = FILTER.read().unwrap_or_else(PoisonError::into_inner);
        filters.as_ref().is_some_and(|filters| filters.now().enabled(metadata))
    }

    fn log(&self, record: &log::Record<'_>) {
        if !matches(record) {
            return;
        }
        let level = record.level() as usize;
        if let Some(count) = LINES.get(level.saturating_sub(1)) {
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

/// Installs the logger: what `RUST_LOG` says is logged, without it `level`.
///
/// # Errors
///
/// Another logger is installed already, or there is no thread to write.
pub fn init(format: LogFormat, level: &str) -> Result<(), Box<dyn std::error::Error>> {
    let form = FORM.get_or_init(|| Form::of(format));
    let queue = Queue::start(std::io::stderr(), |lost| {
        let what = if lost == 1 { "log line was" } else { "log lines were" };
        let text = format!("{lost} {what} dropped because standard error was not read");
        let record = log::Record::builder().level(log::Level::Warn).build();
        FORM.get().copied().unwrap_or_default().line(&record, module_path!(), &text)
    })?;
    let queue = QUEUE.get_or_init(|| queue).clone();
    let logger = env_logger::Builder::new()
        .target(env_logger::Target::Pipe(Box::new(IntoQueue(queue))))
        // What matters is decided in front of it.
        .filter_level(log::LevelFilter::Trace)
        .format(|out, record| {
            let text = record.args().to_string();
            out.write_all(form.line(record, record.target(), &text).as_bytes())
        })
        .build();
    let wanted = std::env::var("RUST_LOG").ok().filter(|text| is_filter(text));
    let begun_with =
        wanted.as_deref().or(Some(level)).and_then(parse).unwrap_or_else(|| {
            env_filter::Builder::new().filter_level(log::LevelFilter::Info).build()
        });
    let level = begun_with.filter();
    *FILTER.write().unwrap_or_else(PoisonError::into_inner) =
        Some(Filters { begun_with, other: None });
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
