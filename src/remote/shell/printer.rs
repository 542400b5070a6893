//! The thread that prints above the line that is edited.
//!
//! The editor takes one text at a time, and only while a line is edited. The
//! thread that reads from the server must not wait for that: what is edited may
//! just have become a request that waits for its answer.

use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use rustyline::ExternalPrinter;

/// How long the next prompt waits for what is still to be printed.
const SETTLE: Duration = Duration::from_millis(200);

/// A way to that thread, which ends with the last of them.
#[derive(Clone, Debug)]
pub(super) struct Printer {
    sender: Sender<String>,
    /// Texts that are not printed yet.
    waiting: Arc<(Mutex<usize>, Condvar)>,
}

impl Printer {
    pub fn start(mut printer: impl ExternalPrinter + Send + 'static) -> Self {
        let (sender, texts) = channel::<String>();
        let waiting = Arc::new((Mutex::new(0usize), Condvar::new()));
        let printed = Arc::clone(&waiting);
        std::thread::spawn(move || {
            for text in texts {
                // A terminal that is gone shows nothing; the editor notices.
                let is_over = printer.print(text).is_err();
                let (count, changed) = &*printed;
                let mut count = count.lock().unwrap_or_else(PoisonError::into_inner);
                *count = count.saturating_sub(1);
                changed.notify_all();
                if is_over {
                    return;
                }
            }
        });
        Printer { sender, waiting }
    }

    /// `false`: nobody prints any more.
    pub fn print(&self, text: String) -> bool {
        *self.waiting.0.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.sender.send(text).is_ok()
    }

    /// Waits a little until everything is printed.
    pub fn settle(&self) {
        let (count, changed) = &*self.waiting;
        let count = count.lock().unwrap_or_else(PoisonError::into_inner);
        // What is late is printed above the next line.
        drop(changed.wait_timeout_while(count, SETTLE, |count| *count > 0));
    }
}
