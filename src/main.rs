//! The stand-alone program: command line, logs, one server, exit code.
#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

use noexd::config::command_line::{self, Arguments, Command};
use noexd::config::{Config, ConfigError, Resolved, manual};
use noexd::healthcheck::{self, Unhealthy};
use noexd::server::{self, StartError, exit};
use noexd::{Server, logging};

// What a burst took goes back to the system within seconds: settings in
// `.cargo/config.toml`, reasons in docs/performance.md.
#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    if let Some(("healthcheck", rest)) =
        args.split_first().and_then(|(first, rest)| Some((first.to_str()?, rest)))
    {
        return healthcheck(rest);
    }
    #[cfg(feature = "tools")]
    if let Some(done) = remote(&args) {
        return done;
    }
    #[cfg(feature = "sqlite")]
    if let Some(done) = subcommand(&args) {
        return done;
    }
    let command = match command_line::parse(args) {
        Ok(command) => command,
        Err(error) => {
            complain(&error);
            logging::say("Run \"noexd --help\" for usage information.\n");
            return ExitCode::from(exit::CONFIG);
        }
    };
    let done = match command {
        Command::Help => print(&command_line::help()),
        Command::Version => print(concat!("noexd ", env!("CARGO_PKG_VERSION"), "\n")),
        Command::Man => print(&manual::man()),
        Command::Completions(shell) => print(&manual::completions(shell)),
        Command::Check(arguments) => check(&arguments),
        Command::Print(arguments) => print_config(&arguments),
        Command::Run(arguments) => run(&arguments),
    };
    let code = match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.complain(),
    };
    logging::flush();
    code
}

fn healthcheck(args: &[OsString]) -> ExitCode {
    if args.iter().any(|arg| arg == "--help" || arg == "-h") {
        return printed(healthcheck::HELP);
    }
    let done = match healthcheck::run(args) {
        Ok(line) => print(&format!("{}\n", logging::printable(&line))),
        Err(Unhealthy::Usage(reasons)) => return misused("healthcheck", &reasons),
        Err(Unhealthy::Config(reasons)) => Err(Failure { reasons, code: exit::CONFIG }),
        Err(Unhealthy::NotReady(reason)) => Err(Failure::of(reason)),
    };
    done.map_or_else(|failure| failure.complain(), |()| ExitCode::SUCCESS)
}

/// Runs a tool that talks to a server; `None` if it is none.
#[cfg(feature = "tools")]
fn remote(args: &[OsString]) -> Option<ExitCode> {
    use noexd::remote::{Failure as Ended, shell, top, types};

    let (verb, rest) = args.split_first()?;
    let is_help = rest.iter().any(|arg| arg == "--help" || arg == "-h");
    let done = match verb.to_str()? {
        "shell" if is_help => return Some(printed(&shell::help())),
        "shell" => shell::run(rest),
        "top" if is_help => return Some(printed(&top::help())),
        "top" => top::run(rest),
        "types" if is_help => return Some(printed(&types::help())),
        "types" => types::run(rest),
        _ => return None,
    };
    if let Err(Ended::Usage(reasons)) = &done {
        return Some(misused(verb.to_str()?, reasons));
    }
    let done = done.or_else(|ended| match ended {
        Ended::Usage(reasons) => Err(Failure { reasons, code: exit::CONFIG }),
        Ended::Unreachable(reasons) => Err(Failure { reasons, code: exit::UNAVAILABLE }),
        Ended::Refused(reasons) => Err(Failure::of(reasons)),
        Ended::Told => Err(Failure::of(String::new())),
        Ended::Unread => Ok(()),
    });
    Some(done.map_or_else(|failure| failure.complain(), |()| ExitCode::SUCCESS))
}

/// Runs a subcommand; `None` if there is none.
#[cfg(feature = "sqlite")]
fn subcommand(args: &[OsString]) -> Option<ExitCode> {
    use noexd::cli::{self, Done};

    let done = match cli::help(args) {
        Some(help) => print(help),
        None => match cli::parse(args)? {
            Ok(tool) => tool.run().map_err(Failure::from).and_then(|done| match done {
                Done::Text(text) => print(&text),
                Done::Quiet => Ok(()),
                Done::Ended { out, errors, code } => {
                    print(&out).and(Err(Failure { reasons: errors, code }))
                }
            }),
            Err(error) => {
                let verb = args.first().map_or("".into(), |verb| verb.to_string_lossy());
                return Some(misused(&verb, &error));
            }
        },
    };
    Some(match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.complain(),
    })
}

/// Why the program ends with an error, and the exit code that says so.
struct Failure {
    /// Every line is one reason.
    reasons: String,
    code: u8,
}

impl Failure {
    fn of(reasons: String) -> Self {
        Failure { reasons, code: exit::OTHER }
    }

    fn complain(&self) -> ExitCode {
        complain(&self.reasons);
        ExitCode::from(self.code)
    }
}

#[cfg(feature = "sqlite")]
impl From<noexd::cli::Failed> for Failure {
    fn from(failed: noexd::cli::Failed) -> Self {
        Failure { reasons: failed.reason, code: failed.code }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Failure { reasons: error.to_string(), code: exit::CONFIG }
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        Failure { reasons: error.to_string(), code: error.exit_code() }
    }
}

fn complain(error: &dyn std::fmt::Display) {
    for line in error.to_string().lines() {
        // An indented line is about the one before.
        let word = if line.starts_with("  ") { "" } else { "Error: " };
        logging::say(&format!("{word}{}\n", logging::printable(line)));
    }
}

/// A subcommand has got a command line that it does not understand.
fn misused(verb: &str, reasons: &str) -> ExitCode {
    complain(&reasons);
    logging::say(&format!("Run \"noexd {verb} --help\" for usage information.\n"));
    ExitCode::from(exit::CONFIG)
}

/// Prints to standard output at once, whatever is behind it.
fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| Failure::of(format!("standard output: {error}")))
}

/// Prints and ends.
fn printed(text: &str) -> ExitCode {
    print(text).map_or_else(|failure| failure.complain(), |()| ExitCode::SUCCESS)
}

fn load(arguments: &Arguments) -> Result<Resolved, ConfigError> {
    command_line::gather(arguments, |name| std::env::var(name).ok())?
        .resolve_with(Config::default(), server::check_definitions)
}

fn check(arguments: &Arguments) -> Result<(), Failure> {
    let Resolved { mut config, warnings } = load(arguments)?;
    config.load_secrets()?;
    let odd = server::check_files(&config)?;
    for warning in warnings.into_iter().chain(config.oddities()).chain(odd) {
        logging::say(&format!("Warning: {}\n", logging::printable(&warning)));
    }
    print("configuration is valid\n")
}

fn print_config(arguments: &Arguments) -> Result<(), Failure> {
    print(&load(arguments)?.config.printed())
}

fn run(arguments: &Arguments) -> Result<(), Failure> {
    let Resolved { config, warnings } = load(arguments)?;
    logging::init(config.log_format, &config.log_level)
        .map_err(|error| Failure::of(format!("logs: {error}")))?;
    for warning in warnings {
        log::warn!("{warning}");
    }
    let summary = config.summary();
    let alone = config == Config::default();
    let in_memory = config.persistence.data_dir.is_none() && config.persistence.db.is_none();
    let started = config.clone();
    let again = arguments.clone();
    let reloaded = move || tell_changes(&started, load(&again));
    let mut server = Server::builder().config(config).signals().on_reload(reloaded).build()?;
    print(&format!("noexd {} listening on {}\n", env!("CARGO_PKG_VERSION"), server.url()))?;
    if alone {
        greet(server.url());
    } else {
        log::info!("settings: {summary}");
        if in_memory {
            log::info!("data lives in memory only and is gone at the end; --data-dir DIR keeps it");
        }
    }
    let failed =
        |error: std::io::Error| Failure { reasons: error.to_string(), code: exit::of_run(&error) };
    server.run().map_err(failed)?;
    log::info!("stopped");
    Ok(())
}

/// After a reload: what of the configuration is another one by now.
fn tell_changes(started: &Config, now: Result<Resolved, ConfigError>) {
    match now {
        Err(error) => {
            for line in error.to_string().lines() {
                log::error!("the configuration would not be accepted any more: {line}");
            }
        }
        Ok(resolved) => match started.changed(&resolved.config) {
            changed if changed.is_empty() => {}
            changed => log::warn!(
                "the configuration has changed in {}: that needs a restart",
                changed.join(", ")
            ),
        },
    }
}

/// For somebody who starts the program to see what it is.
fn greet(url: &str) {
    let talk = match cfg!(feature = "tools") {
        true => shell_lines(url),
        false => client_lines(url),
    };
    logging::say(&format!(
        "
This is noexd, a live data backend: buckets of records, queries that push their
changes, one JSON message per WebSocket frame. Data lives in memory only and is
gone when noexd stops. Only programs on this machine can connect.

Talk to it with any noex client, for example Python's (pip install noex-client),
or by hand:

{talk}
noexd --help lists the options, docs/configuration.md all settings. Ctrl-C stops.
"
    ));
}

/// The first conversation, with the tool that comes along.
fn shell_lines(url: &str) -> String {
    format!(
        "    noexd shell --url {url}
    noexd> defineBucket notes {{\"key\":\"id\",\"schema\":{{\"id\":{{\"type\":\"string\",\"generated\":\"uuid\"}},\"text\":{{\"type\":\"string\"}}}}}}
    noexd> insert notes {{\"text\":\"hello\"}}
    noexd> all notes
"
    )
}

/// The same with one that is easy to get.
fn client_lines(url: &str) -> String {
    format!(
        "    pip install websockets
    websockets {url}
    > {{\"id\":1,\"type\":\"store.defineBucket\",\"name\":\"notes\",\"config\":{{\"key\":\"id\",\"schema\":{{\"id\":{{\"type\":\"string\",\"generated\":\"uuid\"}},\"text\":{{\"type\":\"string\"}}}}}}}}
    > {{\"id\":2,\"type\":\"store.insert\",\"bucket\":\"notes\",\"data\":{{\"text\":\"hello\"}}}}
    > {{\"id\":3,\"type\":\"store.all\",\"bucket\":\"notes\"}}
"
    )
}
