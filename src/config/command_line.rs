//! The command line: flags from the table of options, and a few of its own.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use getopts::{Fail, HasArg, Occur};

use super::options::Options;
use super::table::{Flag, Kind, Row, Takes, rows};
use super::{Config, ConfigError, Resolved};
use crate::json::Json;
use crate::spelling::nearest;

/// A shell that completions are made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shell {
    Bash,
    Zsh,
    Fish,
}

impl Shell {
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "bash" => Some(Shell::Bash),
            "zsh" => Some(Shell::Zsh),
            "fish" => Some(Shell::Fish),
            _ => None,
        }
    }
}

/// What the command line asks for.
#[derive(Debug)]
pub enum Command {
    /// Print [`help`].
    Help,
    /// Print name and version.
    Version,
    /// Read and check the configuration, open nothing.
    Check(Arguments),
    /// Print [`Config::printed`], open nothing.
    Print(Arguments),
    /// Print [`super::manual::man`].
    Man,
    /// Print [`super::manual::completions`].
    Completions(Shell),
    /// Serve.
    Run(Arguments),
}

/// Flags that concern the configuration.
#[derive(Clone, Debug, Default)]
pub struct Arguments {
    pub config_file: Option<PathBuf>,
    persistence: Option<String>,
    flags: Vec<(&'static Row, Flag, Option<String>)>,
}

/// The command line is not understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageError(pub String);

impl std::fmt::Display for UsageError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UsageError {}

/// The variable that names the file, if no flag does.
pub(super) const CONFIG_FILE: &str = "NOEXD_CONFIG";

/// Flags that are no options of the file: short, long, value, help.
const OWN: [(&str, &str, &str, &str); 9] = [
    ("c", "config", "FILE", "read settings from this JSON file"),
    ("", "persistence", "KIND", "memory, file or sqlite, as noex-server has it"),
    ("", "check", "", "check file and flags, open nothing"),
    ("", "check-config", "", "the same"),
    ("", "print-config", "", "print every setting in force, open nothing"),
    ("", "man", "", "print the manual page"),
    ("", "completions", "SHELL", "print completions for bash, zsh or fish"),
    ("h", "help", "", "print this text"),
    ("v", "version", "", "print the version"),
];

/// The subcommands and what they do.
pub(super) const COMMANDS: &[(&str, &str)] = &[
    #[cfg(feature = "sqlite")]
    ("backup", "copy the data, also of a running server"),
    #[cfg(feature = "sqlite")]
    ("restore", "put a backup in the place of the data"),
    #[cfg(feature = "sqlite")]
    ("export", "write the data as JSON Lines"),
    #[cfg(feature = "sqlite")]
    ("import", "read JSON Lines, or the data of noex"),
    #[cfg(feature = "sqlite")]
    ("check", "read all of the data and say what is damaged"),
    ("healthcheck", "ask a server whether it is ready"),
    #[cfg(feature = "tools")]
    ("shell", "talk to a server"),
    #[cfg(feature = "tools")]
    ("top", "show who and what keeps a server busy"),
    #[cfg(feature = "tools")]
    ("types", "write types for TypeScript or Python"),
];

/// Understands a command line without the program's name.
///
/// # Errors
///
/// Unknown flags, flags without their value or given twice, other words.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Command, UsageError> {
    let args: Vec<OsString> = args.into_iter().collect();
    let mut parser = getopts::Options::new();
    for (short, long, value, help) in OWN {
        let has_arg = if value.is_empty() { HasArg::No } else { HasArg::Yes };
        parser.opt(short, long, help, value, has_arg, Occur::Optional);
    }
    for flag in rows().flat_map(Row::flags) {
        let has_arg = if matches!(flag.takes, Takes::Value(_)) { HasArg::Yes } else { HasArg::No };
        parser.opt(flag.short, flag.long, flag.help, "", has_arg, Occur::Optional);
    }
    let matches = match parser.parse(&args) {
        Ok(matches) => matches,
        // Who asks for help gets it, whatever else is wrong.
        Err(_) if args.iter().any(|arg| arg == "--help" || arg == "-h") => {
            return Ok(Command::Help);
        }
        Err(fail) => return Err(UsageError(fail_text(&fail))),
    };
    if matches.opt_present("help") {
        return Ok(Command::Help);
    }
    if matches.opt_present("version") {
        return Ok(Command::Version);
    }
    if matches.opt_present("man") {
        return Ok(Command::Man);
    }
    if let Some(name) = matches.opt_str("completions") {
        let shell = Shell::from_name(&name);
        let unknown = || UsageError("--completions: expected bash, zsh or fish".into());
        return shell.map(Command::Completions).ok_or_else(unknown);
    }
    if let Some(word) = matches.free.first() {
        return Err(UsageError(format!("unexpected argument {}", Json::from(word.as_str()))));
    }
    let given = |(row, flag): (&'static Row, Flag)| {
        matches.opt_present(flag.long).then(|| (row, flag, matches.opt_str(flag.long)))
    };
    let all = rows().flat_map(|row| row.flags().map(move |flag| (row, flag)));
    let arguments = Arguments {
        config_file: matches.opt_str("config").map(PathBuf::from),
        persistence: matches.opt_str("persistence"),
        flags: all.filter_map(given).collect(),
    };
    if matches.opt_present("check") || matches.opt_present("check-config") {
        Ok(Command::Check(arguments))
    } else if matches.opt_present("print-config") {
        Ok(Command::Print(arguments))
    } else {
        Ok(Command::Run(arguments))
    }
}

fn fail_text(fail: &Fail) -> String {
    let dashed =
        |name: &str| format!("{}{name}", if name.chars().count() == 1 { "-" } else { "--" });
    match fail {
        Fail::UnrecognizedOption(name) => {
            let own = OWN.iter().map(|(_, long, _, _)| *long);
            let known = own.chain(rows().flat_map(Row::flags).map(|flag| flag.long));
            match nearest(name, known) {
                Some(meant) => format!("unknown option {} (did you mean --{meant}?)", dashed(name)),
                None => format!("unknown option {}", dashed(name)),
            }
        }
        Fail::ArgumentMissing(name) => format!("option {} needs a value", dashed(name)),
        Fail::OptionDuplicated(name) => format!("option {} is given twice", dashed(name)),
        Fail::UnexpectedArgument(name) => format!("option {} takes no value", dashed(name)),
        Fail::OptionMissing(name) => format!("option {} is missing", dashed(name)),
    }
}

/// Reads the file, the environment and the flags into one configuration.
///
/// # Errors
///
/// Every problem of all three.
pub fn load(
    arguments: &Arguments,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<Resolved, ConfigError> {
    gather(arguments, environment)?.resolve()
}

/// As [`load`], without what all of it means together.
///
/// # Errors
///
/// The file cannot be read or is not a JSON object; all else is kept for
/// [`Options::resolve`].
pub fn gather(
    arguments: &Arguments,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<Options, ConfigError> {
    let mut options = Options::new();
    let named = || environment(CONFIG_FILE).filter(|path| !path.is_empty()).map(PathBuf::from);
    if let Some(path) = arguments.config_file.clone().or_else(named) {
        read_config_file(&mut options, &path)?;
    }
    options.read_environment(environment);
    if let Some(kind) = &arguments.persistence {
        options.read_persistence_flag(kind);
    }
    for (row, flag, text) in &arguments.flags {
        options.read_flag(row, *flag, text.as_deref());
    }
    Ok(options)
}

fn read_config_file(options: &mut Options, path: &Path) -> Result<(), ConfigError> {
    let failed = |reason: &dyn std::fmt::Display| {
        ConfigError::one("", format!("Error loading config file: {}: {reason}", path.display()))
    };
    let bytes = std::fs::read(path).map_err(|error| failed(&error))?;
    let text = std::str::from_utf8(&bytes).map_err(|error| failed(&error))?;
    options.read_file(text).map_err(|error| failed(&error))
}

/// A flag as it is shown to people.
pub(super) struct Described {
    pub short: &'static str,
    pub long: &'static str,
    pub value: &'static str,
    /// With its default.
    pub help: String,
}

/// All flags that this version has a use for, in the order of the help.
pub(super) fn described() -> Vec<Described> {
    let mut config = Config::default();
    let own = |(short, long, value, help): (&'static str, &'static str, &'static str, &str)| {
        Described { short, long, value, help: help.to_owned() }
    };
    let (config_file, rest) = (OWN[0], &OWN[2..]);
    let mut list = vec![own(config_file)];
    for (row, flag) in rows().flat_map(|row| row.flags().map(move |flag| (row, flag))) {
        // What this version cannot do is no help.
        let section = super::table::row(row.section());
        if row.missing.is_some() || section.is_some_and(|section| section.missing.is_some()) {
            continue;
        }
        let value = if let Takes::Value(value) = flag.takes { value } else { "" };
        let default = match (row.kind, (row.slot)(&mut config).map(|setting| setting.json())) {
            (Kind::Boolean | Kind::Switch | Kind::AutoSwitch, _) | (_, None | Some(Json::Null)) => {
                String::new()
            }
            (_, Some(Json::String(word))) => format!(" ({word})"),
            (_, Some(other)) => format!(" ({other})"),
        };
        let help = format!("{}{default}", flag.help);
        list.push(Described { short: flag.short, long: flag.long, value, help });
    }
    list.extend(rest.iter().filter(|own| own.1 != "check-config").copied().map(own));
    list
}

/// The text of `--help`, made for a terminal of 80 columns.
pub fn help() -> String {
    let mut text = format!(
        "noexd {}: a live data backend that speaks the noex protocol over WebSocket\n\n\
         Usage: noexd [OPTIONS]\n\n",
        env!("CARGO_PKG_VERSION")
    );
    for Described { short, long, value, help } in described() {
        let short = if short.is_empty() { "   ".to_owned() } else { format!("-{short},") };
        let flag = format!("{short} --{long} {value}");
        let _ = writeln!(text, "  {flag:<32} {help}");
    }
    let _ = write!(
        text,
        "\nCommands, each with --help: {}.\n\
         Flags override the environment, which overrides the file. Its variables:\n  {}.\n\
         RUST_LOG sets what is logged: error, warn, info (default), debug, trace.\n",
        listed(28, COMMANDS.iter().map(|(name, _)| *name)),
        listed(2, [CONFIG_FILE].into_iter().chain(rows().filter_map(|row| row.env)))
    );
    text
}

/// Names behind each other, in lines for a terminal of 80 columns; the first
/// begins at this column.
fn listed(mut column: usize, names: impl Iterator<Item = &'static str>) -> String {
    let mut text = String::new();
    for (at, name) in names.enumerate() {
        if at > 0 {
            text.push(',');
            column += 2;
            // A comma or a full stop follows.
            let fits = column + name.len() < 80;
            text.push_str(if fits { " " } else { "\n  " });
            column = if fits { column } else { 2 };
        }
        text.push_str(name);
        column += name.len();
    }
    text
}
