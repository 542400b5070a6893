//! The way from a log line to standard error: whoever writes a line puts it
//! into a queue and goes on; a thread of its own does the waiting.
//!
//! Owns what is lost when nobody reads, and that it is said.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Bytes that wait at most; what does not fit is dropped.
pub const QUEUE_BYTES: usize = 1 << 20;

/// How the writer says that lines are missing.
pub type Note = fn(u64) -> String;

/// See the module's description. Clones are of the same queue.
#[derive(Clone)]
pub struct Queue(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// Something was put in, or written.
    changed: Condvar,
}

#[derive(Default)]
struct State {
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
    /// The writer has a line in its hands.
    writing: bool,
    /// Lines that were dropped since it was last said, and ever.
    unsaid: u64,
    dropped: u64,
}

impl Queue {
    /// Starts the thread that writes.
    ///
    /// # Errors
    ///
    /// When the system gives no thread.
    pub fn start(out: impl Write + Send + 'static, note: Note) -> io::Result<Self> {
        let shared = Shared { state: Mutex::default(), changed: Condvar::new() };
        let queue = Queue(Arc::new(shared));
        let mine = queue.clone();
        thread::Builder::new().name("log".to_owned()).spawn(move || mine.write(out, note))?;
        Ok(queue)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Never waits for the reader.
    pub fn put(&self, line: Vec<u8>) {
        let mut state = self.state();
        let bytes = state.bytes.saturating_add(line.len());
        if bytes > QUEUE_BYTES {
            state.unsaid += 1;
            state.dropped += 1;
            return;
        }
        state.bytes = bytes;
        state.lines.push_back(line);
        drop(state);
        self.0.changed.notify_all();
    }

    /// Lines that were dropped so far.
    pub fn dropped(&self) -> u64 {
        self.state().dropped
    }

    /// Waits until everything is written, at most this long.
    pub fn flush(&self, most: Duration) {
        let until = Instant::now() + most;
        let mut state = self.state();
        while !state.lines.is_empty() || state.writing {
            let Some(left) = until.checked_duration_since(Instant::now()) else { return };
            let waited = self.0.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn write(&self, mut out: impl Write, note: Note) {
        loop {
            let mut state = self.state();
            let line = loop {
                if let Some(line) = state.lines.pop_front() {
                    break line;
                }
                state = self.0.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            };
            state.writing = true;
            drop(state);
            let written = out.write_all(&line).and_then(|()| out.flush());
            let mut state = self.state();
            // Its room is free only now: it has waited until now.
            state.bytes = state.bytes.saturating_sub(line.len());
            if written.is_err() {
                state.unsaid += 1;
                state.dropped += 1;
            }
            let unsaid = if written.is_ok() { std::mem::take(&mut state.unsaid) } else { 0 };
            drop(state);
            if unsaid > 0 && out.write_all(note(unsaid).as_bytes()).is_err() {
                self.state().unsaid += unsaid;
            }
            self.state().writing = false;
            self.0.changed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, Sender, channel};

    /// A reader that takes what it is told to take.
    struct Slow {
        may: Receiver<bool>,
        got: Sender<String>,
    }

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if !self.may.recv().unwrap_or(true) {
                return Err(io::ErrorKind::StorageFull.into());
            }
            let _ = self.got.send(String::from_utf8_lossy(bytes).into_owned());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn slow() -> (Queue, Sender<bool>, Receiver<String>) {
        let (go, may) = channel();
        let (got, have) = channel();
        let queue = Queue::start(Slow { may, got }, |n| format!("{n} lost\n")).unwrap();
        (queue, go, have)
    }

    #[test]
    fn a_reader_that_does_not_read_costs_lines_and_is_told_how_many() {
        let (queue, go, have) = slow();
        let line = |n: usize| {
            let mut line = format!("{n} ").into_bytes();
            line.resize(1024, b'.');
            line
        };
        for n in 0..1024 {
            queue.put(line(n));
        }
        assert_eq!(queue.dropped(), 0, "a whole MiB fits");
        queue.put(b"x".to_vec());
        queue.put(b"y".to_vec());
        assert_eq!(queue.dropped(), 2, "and one byte more does not");
        for _ in 0..2 {
            go.send(true).unwrap();
        }
        assert!(have.recv().unwrap().starts_with("0 "));
        assert_eq!(have.recv().unwrap(), "2 lost\n", "as soon as something can be written");
        drop(go);
        queue.flush(Duration::from_secs(60));
        assert_eq!(have.try_iter().count(), 1023);
        assert_eq!(queue.dropped(), 2);
    }

    #[test]
    fn what_cannot_be_written_is_counted_and_ends_nothing() {
        let (queue, go, have) = slow();
        for may in [false, false, true, true] {
            go.send(may).unwrap();
        }
        for line in ["a", "b", "c"] {
            queue.put(line.into());
        }
        queue.flush(Duration::from_secs(60));
        assert_eq!(have.try_iter().collect::<Vec<_>>(), ["c", "2 lost\n"]);
    }
}
