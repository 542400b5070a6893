//! The subcommands that work on a data directory: `noexd backup`, `restore`,
//! `export`, `import` and `check`. What they do is described in
//! `docs/backups.md`.
//!
//! Owns their command lines. Must not know tables of the database file.
//!
//! Files from the ground up; each imports only what stands above its line:
//!
//! 1. `files`, `noex`
//! 2. `check`, `lines`

mod check;
mod files;
mod lines;
mod noex;

use std::ffi::OsString;
use std::path::PathBuf;

use getopts::{HasArg, Matches, Occur};

use crate::config::command_line::{self, Command};
use crate::config::{Config, Persistence};
use crate::json::Object;
use crate::server::{StartError, exit};
use crate::storage::StorageError;

/// One subcommand, understood.
#[derive(Debug)]
pub struct Tool {
    verb: Verb,
    persistence: Persistence,
    buckets: Vec<String>,
    name: Option<String>,
    output: Option<PathBuf>,
    /// A file or a name, for those that take one.
    subject: Option<String>,
    /// Where the reference server has kept its data.
    noex: Option<PathBuf>,
    json: bool,
    /// The buckets of the configuration.
    configured: Object,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Backup,
    Restore,
    Export,
    Import,
    Check,
}

const VERBS: [(&str, Verb); 5] = [
    ("backup", Verb::Backup),
    ("restore", Verb::Restore),
    ("export", Verb::Export),
    ("import", Verb::Import),
    ("check", Verb::Check),
];

/// What `noexd COMMAND --help` prints.
const HELP: &str = "\
Work on a data directory (see docs/backups.md).

  noexd backup  DATA [--name NAME | --output FILE]   copy the data; the server may run
  noexd restore DATA BACKUP                          put a backup (name or file) in place
  noexd export  DATA [--bucket NAME]... [--output FILE]
                                                     write JSON Lines; the server may run
  noexd import  DATA [--bucket NAME] [FILE]          read JSON Lines
  noexd import  DATA --from-noex PLACE [--bucket NAME]...
                                                     take over the data of noex: its
                                                     directory, or its SQLite file
  noexd check   DATA [--json]                        read all of it and say what is
                                                     damaged; the server may run

DATA is --data-dir DIR, --db FILE or --config FILE, as for the server. `restore`
and `import` need the server to be stopped. Without FILE, `export` writes to
standard output and `import` reads standard input. They end with 0 if it is done, 65
if the data is damaged, 74 for what cannot be read or written, 75 if another process
uses the data, 78 for a command line, a configuration or a place that is wrong, and
1 for anything else. `check` tells damage by 65.
";

/// What a subcommand has to say when it is done.
pub enum Done {
    /// For standard output.
    Text(String),
    /// Everything has been written where it belongs.
    Quiet,
    /// Something for standard output and for standard error, and what the
    /// program is to end with.
    Ended { out: String, errors: String, code: u8 },
}

/// Why a tool ends without having done it.
#[derive(Debug)]
pub struct Failed {
    /// For people.
    pub reason: String,
    /// What the program is to end with.
    pub code: u8,
}

impl From<String> for Failed {
    fn from(reason: String) -> Self {
        Failed { reason, code: exit::OTHER }
    }
}

impl From<StorageError> for Failed {
    fn from(error: StorageError) -> Self {
        Failed { code: exit::of_storage(error.kind), reason: error.message }
    }
}

impl From<StartError> for Failed {
    fn from(error: StartError) -> Self {
        Failed { code: error.exit_code(), reason: error.to_string() }
    }
}

/// Understands a command line without the program's name. `None`: it does not
/// begin with a subcommand.
///
/// # Errors
///
/// For people.
pub fn parse(args: &[OsString]) -> Option<Result<Tool, String>> {
    let (first, rest) = args.split_first()?;
    let (_, verb) = VERBS.iter().find(|(name, _)| first == name)?;
    Some(understand(*verb, rest))
}

/// Whether help is asked for.
pub fn help(args: &[OsString]) -> Option<&'static str> {
    let (first, rest) = args.split_first()?;
    let is_tool = VERBS.iter().any(|(name, _)| first == name);
    let asked = rest.iter().any(|arg| arg == "--help" || arg == "-h");
    (is_tool && asked).then_some(HELP)
}

fn understand(verb: Verb, args: &[OsString]) -> Result<Tool, String> {
    let mut parser = getopts::Options::new();
    let flags = ["config", "data-dir", "db", "name", "output"];
    for long in flags {
        let short = if long == "config" { "c" } else { "" };
        parser.opt(short, long, "", "", HasArg::Yes, Occur::Optional);
    }
    parser.opt("", "bucket", "", "", HasArg::Yes, Occur::Multi);
    parser.opt("", "from-noex", "", "", HasArg::Yes, Occur::Optional);
    parser.opt("", "json", "", "", HasArg::No, Occur::Optional);
    let matches = parser.parse(args).map_err(|fail| fail.to_string())?;
    let only = |flag: &str, verbs: &[Verb]| {
        if matches.opt_present(flag) && !verbs.contains(&verb) {
            return Err(format!("--{flag} is for another subcommand"));
        }
        Ok(())
    };
    only("name", &[Verb::Backup])?;
    only("output", &[Verb::Backup, Verb::Export])?;
    only("bucket", &[Verb::Export, Verb::Import])?;
    only("from-noex", &[Verb::Import])?;
    only("json", &[Verb::Check])?;
    if matches.opt_present("name") && matches.opt_present("output") {
        return Err("--name and --output exclude each other".into());
    }
    let noex = matches.opt_str("from-noex").map(PathBuf::from);
    let takes_subject = matches!(verb, Verb::Restore | Verb::Import) && noex.is_none();
    if let Some(word) = matches.free.get(usize::from(takes_subject)) {
        return Err(format!("unexpected argument \"{word}\""));
    }
    if verb == Verb::Restore && matches.free.is_empty() {
        return Err("which backup? Give a name, or the path of a file".into());
    }
    let buckets = matches.opt_strs("bucket");
    if verb == Verb::Import && noex.is_none() && buckets.len() > 1 {
        return Err("--bucket: an import of plain records goes to one bucket".into());
    }
    let (persistence, configured) = settings(&matches)?;
    Ok(Tool {
        verb,
        persistence,
        buckets,
        name: matches.opt_str("name"),
        output: matches.opt_str("output").map(PathBuf::from),
        subject: matches.free.first().cloned(),
        noex,
        json: matches.opt_present("json"),
        configured,
    })
}

/// The server's own understanding of where the data lies, and the buckets of
/// its configuration.
fn settings(matches: &Matches) -> Result<(Persistence, Object), String> {
    let mut args = Vec::new();
    for flag in ["config", "data-dir", "db"] {
        if let Some(value) = matches.opt_str(flag) {
            args.push(OsString::from(format!("--{flag}={value}")));
        }
    }
    let command = command_line::parse(args).map_err(|error| error.to_string())?;
    let Command::Run(arguments) = command else {
        return Err("--config takes a file".into());
    };
    let resolved = command_line::load(&arguments, |name| std::env::var(name).ok())
        .map_err(|error| error.to_string())?;
    let Config { persistence, buckets, .. } = resolved.config;
    if !persistence.is_enabled() {
        return Err("where is the data? Give --data-dir DIR, --db FILE or --config FILE".into());
    }
    Ok((persistence, buckets))
}

impl Tool {
    /// Does it.
    ///
    /// # Errors
    ///
    /// Nothing was changed then.
    pub fn run(&self) -> Result<Done, Failed> {
        match self.verb {
            Verb::Backup => files::backup(self),
            Verb::Restore => files::restore(self),
            Verb::Export => lines::export(self),
            Verb::Check => check::check(self),
            Verb::Import => match &self.noex {
                Some(source) => lines::take_over(self, source),
                None => lines::import(self),
            },
        }
    }
}
