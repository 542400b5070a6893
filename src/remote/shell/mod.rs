//! `noexd shell`: lines that are typed become requests, and what comes back is
//! shown.

mod complete;
mod editor;
mod line;
mod printer;
mod session;
mod show;

use std::ffi::OsString;
use std::io::{BufRead as _, IsTerminal as _};

use getopts::{HasArg, Occur};

use super::access::{self, Access};
use super::{Failure, screen};
use session::{Flow, Session};

const HELP: &str = "\
Talk to a server.

  noexd shell [-e LINE]... [--json]

A line is a message as the protocol has it, or OPERATION ARGUMENT...; .help says
more. With -e the lines are executed and the shell ends, with 1 if an answer is an
error and with 69 if there is no connection.

  -e LINE              execute this line, and those of further -e
  --json               print messages as the server sends them, one per line

";

/// What `noexd shell --help` prints.
pub fn help() -> String {
    format!("{HELP}{}", access::HELP)
}

/// Runs it with a command line without `noexd shell`.
///
/// # Errors
///
/// See [`Failure`].
pub fn run(args: &[OsString]) -> Result<(), Failure> {
    let mut parser = getopts::Options::new();
    access::add_flags(&mut parser);
    parser.opt("e", "", "", "", HasArg::Yes, Occur::Multi);
    parser.opt("", "json", "", "", HasArg::No, Occur::Optional);
    let matches = parser.parse(args).map_err(|fail| Failure::Usage(fail.to_string()))?;
    if let Some(word) = matches.free.first() {
        return Err(Failure::Usage(format!("unexpected argument \"{word}\"; -e executes a line")));
    }
    let access = Access::of(&matches, |name| std::env::var(name).ok()).map_err(Failure::Usage)?;
    let mut session = Session::new(access, matches.opt_present("json"));
    let lines = matches.opt_strs("e");
    if lines.is_empty() && std::io::stdin().is_terminal() {
        return editor::run(session);
    }
    session.connect()?;
    if lines.is_empty() {
        for line in std::io::stdin().lock().lines() {
            let line = line.map_err(|error| Failure::Usage(format!("standard input: {error}")))?;
            if session.execute(&line)? == Flow::Quit {
                return session.close();
            }
        }
    }
    for line in lines {
        if session.execute(&line)? == Flow::Quit {
            return session.close();
        }
    }
    // Who watches something wants to see what comes of it.
    session.finish()
}

/// The width to which answers are made.
fn style() -> screen::Style {
    screen::Style::of_output()
}
