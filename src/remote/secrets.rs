//! Secrets that come from files, the environment and the keyboard; never from
//! the command line, which others can see.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::Path;

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::config::Secret;

/// The content of a file, without a line break at its end.
pub(super) fn from_file(path: &Path) -> Result<Secret, String> {
    let failed = |reason: String| format!("{}: {reason}", path.display());
    let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() { Err(failed("the file is empty".into())) } else { Ok(Secret::new(text)) }
}

/// Asks the person at the terminal, wherever standard input and output lead.
pub(super) fn ask(prompt: &str) -> Result<Secret, String> {
    let terminal = OpenOptions::new().read(true).write(true).open("/dev/tty");
    let terminal = terminal.map_err(|_| "there is no terminal to ask at, set NOEXD_PASSWORD")?;
    read_hidden(&terminal, prompt).map_err(|error| format!("the terminal: {error}"))
}

fn read_hidden(terminal: &File, prompt: &str) -> io::Result<Secret> {
    let mut out = terminal;
    let mut line = String::new();
    let read = {
        // Before the prompt: who sees it may type at once.
        let _quiet = Quiet::new(terminal)?;
        out.write_all(prompt.as_bytes())?;
        BufReader::new(terminal).read_line(&mut line)
    };
    // The line break of the person was not shown either.
    out.write_all(b"\n")?;
    read?;
    let line = line.strip_suffix('\n').unwrap_or(&line);
    Ok(Secret::new(line.strip_suffix('\r').unwrap_or(line)))
}

/// A terminal that does not show what is typed, until this is dropped.
struct Quiet<'a> {
    terminal: &'a File,
    before: Termios,
}

impl<'a> Quiet<'a> {
    fn new(terminal: &'a File) -> io::Result<Self> {
        let before = tcgetattr(terminal)?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        tcsetattr(terminal, OptionalActions::Flush, &quiet)?;
        Ok(Quiet { terminal, before })
    }
}

impl Drop for Quiet<'_> {
    fn drop(&mut self) {
        // A terminal that is gone has nothing to show.
        let _ = tcsetattr(self.terminal, OptionalActions::Now, &self.before);
    }
}
