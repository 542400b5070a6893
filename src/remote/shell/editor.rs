//! The shell of a person at a terminal: lines are edited, remembered and
//! completed, and what comes meanwhile stands above them.

use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;

use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::DefaultHistory;
use rustyline::validate::Validator;
use rustyline::{CompletionType, Config, Context, Editor, Helper};

use super::complete;
use super::printer::Printer;
use super::session::{Flow, Output, Session};
use crate::private;
use crate::remote::{Failure, screen};

const PROMPT: &str = "noexd> ";

type Shared = Rc<RefCell<Session>>;

struct Completions(Shared);

impl Completer for Completions {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        pos: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        let mut session = self.0.borrow_mut();
        Ok(complete::complete(line.get(..pos).unwrap_or(line), &mut *session))
    }
}

impl Hinter for Completions {
    type Hint = String;
}
impl Highlighter for Completions {}
impl Validator for Completions {}
impl Helper for Completions {}

/// Whether a line may be remembered.
fn is_harmless(line: &str) -> bool {
    let line = line.to_lowercase();
    !["password", "secret", "token"].iter().any(|word| line.contains(word))
}

/// Where lines are remembered.
fn history_file() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let state = set("XDG_STATE_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(|| Some(PathBuf::from(set("HOME")?).join(".local/state")))?;
    Some(state.join("noexd/history"))
}

pub(super) fn run(mut session: Session) -> Result<(), Failure> {
    session.connect()?;
    let terminal = |error: ReadlineError| Failure::Usage(format!("the terminal: {error}"));
    let config = Config::builder()
        .completion_type(CompletionType::List)
        .max_history_size(1000)
        .and_then(|builder| builder.history_ignore_dups(true))
        .map_err(terminal)?
        .auto_add_history(false)
        .build();
    let mut editor: Editor<Completions, DefaultHistory> =
        Editor::with_config(config).map_err(terminal)?;
    let history = history_file();
    if let Some(path) = &history {
        match path.parent().map(private::create_directory) {
            Some(Err(error)) => session.complain(&format!("{}: {error}", path.display())),
            _ if path.exists() => {
                if let Err(error) = editor.load_history(path) {
                    session.complain(&format!("{}: {error}", path.display()));
                }
            }
            _ => {}
        }
    }
    // Without one (TERM=dumb) text goes where it goes.
    let printing = editor.create_external_printer().ok().map(Printer::start);
    if let Some(printing) = &printing {
        session.print_to(Output::Above(printing.clone()));
    }
    let _ = screen::write(&format!("{}; .help lists what there is\n", session.server()));
    let session = Rc::new(RefCell::new(session));
    editor.set_helper(Some(Completions(Rc::clone(&session))));
    let ended = converse(&mut editor, &session, history.as_ref(), printing.as_ref());
    editor.set_helper(None);
    match Rc::try_unwrap(session) {
        Ok(session) => session.into_inner().close().and(ended),
        Err(_) => ended,
    }
}

fn converse(
    editor: &mut Editor<Completions, DefaultHistory>,
    session: &Shared,
    history: Option<&PathBuf>,
    printing: Option<&Printer>,
) -> Result<(), Failure> {
    loop {
        let line = match editor.readline(PROMPT) {
            Ok(line) => line,
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => return Ok(()),
            Err(error) => return Err(Failure::Usage(format!("the terminal: {error}"))),
        };
        if is_harmless(&line) && !line.trim().is_empty() {
            let added = editor.add_history_entry(line.as_str());
            if let (Ok(true), Some(path)) = (added, history) {
                // A line that is not remembered is no reason not to execute it.
                if let Err(error) = editor.append_history(path) {
                    log::debug!("{}: {error}", path.display());
                }
            }
        }
        let done = session.borrow_mut().execute(&line);
        match done {
            Ok(Flow::GoOn) | Err(Failure::Told) => {}
            Ok(Flow::Quit) | Err(Failure::Unread) => return Ok(()),
            Err(Failure::Refused(text) | Failure::Usage(text)) => session.borrow().complain(&text),
            // The thread that reads has said so, unless there was none.
            Err(Failure::Unreachable(text)) => session.borrow().complain(&text),
        }
        if let Some(printing) = printing {
            printing.settle();
        }
    }
}
