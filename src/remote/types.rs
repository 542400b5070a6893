//! `noexd types`: types for programs, from the definitions of a server, of its
//! data or of its configuration.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use getopts::{HasArg, Matches, Occur};

use super::access::{self, Access};
use super::client::{Answer, Client};
use super::{Failure, screen};
use crate::config::command_line::{self, Command};
use crate::config::{Config, Resolved};
use crate::json::{Json, Object};
use crate::protocol::{ErrorCode, Operation};
use crate::types::{Definitions, Language, generate};

const HELP: &str = "\
Write the types of buckets, queries, procedures and views for a program.

  noexd types --typescript|--python [SOURCE] [--output FILE [--check]]

SOURCE is one of
  --config FILE        what a configuration defines
  --data-dir DIR, --db FILE
                       what is stored, also beside a running server
  --url URL            what a running server has; needs an account with level
                       admin where the server has accounts

  --typescript         an interface DB, for connect<DB>() of the client
  --python             TypedDicts, for Python 3.11 and newer
  --output FILE        write this file and not to standard output
  --check              write nothing; end with 1 if the file is another one

";

/// An answer that takes longer is none.
const PATIENCE: Duration = Duration::from_secs(30);

/// What `noexd types --help` prints.
pub fn help() -> String {
    format!("{HELP}{}", access::HELP)
}

/// Runs it with a command line without `noexd types`.
///
/// # Errors
///
/// See [`Failure`].
pub fn run(args: &[OsString]) -> Result<(), Failure> {
    let mut parser = getopts::Options::new();
    access::add_flags(&mut parser);
    for (short, long) in [("c", "config"), ("", "data-dir"), ("", "db"), ("", "output")] {
        parser.opt(short, long, "", "", HasArg::Yes, Occur::Optional);
    }
    for long in ["typescript", "python", "check"] {
        parser.opt("", long, "", "", HasArg::No, Occur::Optional);
    }
    let matches = parser.parse(args).map_err(|fail| Failure::Usage(fail.to_string()))?;
    let wanted = Wanted::of(&matches).map_err(Failure::Usage)?;
    let text = generate(&definitions(&matches)?, wanted.language);
    match (wanted.output, wanted.check) {
        (None, _) => screen::write(&text).map_err(|_| Failure::Unread),
        (Some(path), true) => compare(&path, &text),
        (Some(path), false) => std::fs::write(&path, text)
            .map_err(|error| Failure::Refused(format!("{}: {error}", path.display()))),
    }
}

/// What is to be made of the types.
struct Wanted {
    language: Language,
    output: Option<PathBuf>,
    check: bool,
}

impl Wanted {
    fn of(matches: &Matches) -> Result<Wanted, String> {
        if let Some(word) = matches.free.first() {
            return Err(format!("unexpected argument \"{word}\""));
        }
        let language = match (matches.opt_present("typescript"), matches.opt_present("python")) {
            (true, false) => Language::TypeScript,
            (false, true) => Language::Python,
            (true, true) => return Err("--typescript and --python exclude each other".into()),
            (false, false) => return Err("which language? Give --typescript or --python".into()),
        };
        let output = matches.opt_str("output").map(PathBuf::from);
        let check = matches.opt_present("check");
        if check && output.is_none() {
            return Err("--check compares with a file: give --output FILE".into());
        }
        let sources = ["config", "data-dir", "db", "url"];
        let mut given = sources.iter().filter(|flag| matches.opt_present(flag));
        if let (Some(first), Some(second)) = (given.next(), given.next()) {
            return Err(format!("--{first} and --{second} exclude each other"));
        }
        Ok(Wanted { language, output, check })
    }
}

/// Says where the file is another one.
fn compare(path: &Path, text: &str) -> Result<(), Failure> {
    let have = std::fs::read_to_string(path)
        .map_err(|error| Failure::Refused(format!("{}: {error}", path.display())))?;
    if have == text {
        return Ok(());
    }
    let (mut old, mut new) = (have.lines(), text.lines());
    let mut number = 0u64;
    let differs = loop {
        number = number.saturating_add(1);
        match (old.next(), new.next()) {
            (None, None) => break "has other ends of lines".to_owned(),
            (old, new) if old == new => {}
            (old, new) => break format!("is {}, would be {}", shown(old), shown(new)),
        }
    };
    Err(Failure::Refused(format!("{}:{number}: {differs}", path.display())))
}

fn shown(line: Option<&str>) -> String {
    line.map_or("the end".into(), |line| format!("\"{line}\""))
}

fn definitions(matches: &Matches) -> Result<Definitions, Failure> {
    if let Some(file) = matches.opt_str("config") {
        return configured(&file).map_err(Failure::Usage);
    }
    let place = |flag: &str| matches.opt_str(flag).map(PathBuf::from);
    match (place("data-dir"), place("db")) {
        (None, None) => {
            let environment = |name: &str| std::env::var(name).ok();
            let access = Access::of(matches, environment).map_err(Failure::Usage)?;
            asked(&mut access.connect("noexd-types", |_| {})?)
        }
        (dir, file) => stored(dir.as_deref(), file.as_deref()),
    }
}

/// What a configuration defines, checked as a start checks it.
fn configured(file: &str) -> Result<Definitions, String> {
    let command = command_line::parse([OsString::from(format!("--config={file}"))])
        .map_err(|error| error.to_string())?;
    let Command::Run(arguments) = command else { return Err("--config takes a file".into()) };
    let Resolved { config, .. } = command_line::gather(&arguments, |name| std::env::var(name).ok())
        .and_then(|options| {
            options.resolve_with(Config::default(), crate::server::check_definitions)
        })
        .map_err(|error| error.to_string())?;
    let mut found = Definitions { queries: config.queries, ..Definitions::default() };
    for (name, bucket) in config.buckets.iter() {
        found.bucket(name, bucket.clone());
    }
    let name = |definition: &Json| {
        definition.get("name").and_then(Json::as_str).unwrap_or_default().to_owned()
    };
    for procedure in config.procedures.iter().flat_map(|settings| &settings.definitions) {
        found.procedure(&name(procedure), procedure);
    }
    if let Some(logic) = config.logic {
        for (bucket, fields) in logic.computed.iter() {
            found.computed(bucket, fields);
        }
        for view in &logic.views {
            found.view(&name(view), view.get("from"), view.get("select"));
        }
    }
    Ok(found)
}

/// What is stored.
#[cfg(feature = "sqlite")]
fn stored(dir: Option<&Path>, file: Option<&Path>) -> Result<Definitions, Failure> {
    use crate::json::{Raw, parse};
    use crate::logic::{COMPUTED, VIEW};
    use crate::storage::{Location, Sqlite, Stored};

    let refused = |error: crate::storage::StorageError| Failure::Refused(error.message);
    let location = Location::find(dir, file).map_err(refused)?;
    let location = location.ok_or_else(|| Failure::Usage("where is the data?".into()))?;
    let mut found = Definitions::default();
    let mut take = |stored: Stored<'_>| {
        let (text, what) = match &stored {
            Stored::Bucket(entry) => (&entry.definition, &entry.name),
            Stored::Document(document) => (&document.body, &document.name),
            Stored::Record { .. } => return Ok(()),
        };
        let body = parse(text, super::client::MAX_DEPTH).map(Raw::to_json);
        let body = body.map_err(|error| format!("the definition of \"{what}\": {error}"))?;
        let kind = match &stored {
            Stored::Document(document) => &*document.kind,
            _ => "bucket",
        };
        match kind {
            "bucket" => found.bucket(what, body),
            "query" => drop(found.queries.insert(what.as_str(), body)),
            "procedure" => found.procedure(what, &body),
            COMPUTED => found.computed(what, &body),
            VIEW => found.view(what, body.get("from"), body.get("select")),
            _ => {}
        }
        Ok(())
    };
    let mut reader = Sqlite::open_to_read(&location.file).map_err(refused)?;
    reader.definitions(&mut take).map_err(refused)?;
    Ok(found)
}

#[cfg(not(feature = "sqlite"))]
fn stored(_: Option<&Path>, _: Option<&Path>) -> Result<Definitions, Failure> {
    Err(Failure::Usage("this build keeps no data: give --config or --url".into()))
}

/// What a server says that it has.
fn asked(client: &mut Client) -> Result<Definitions, Failure> {
    let mut found = Definitions::default();
    let mut ask = |operation: Operation, name: Option<&str>| {
        let fields: Object = name.map(|name| ("name", Json::from(name))).into_iter().collect();
        client.call_within((operation.name(), fields), Some(PATIENCE))
    };
    let buckets = ask(Operation::StoreBuckets, None)?.data()?;
    for name in elements(buckets.get("names")).iter().filter_map(Json::as_str) {
        // Those of the server itself are no business of a program.
        if !name.starts_with('_') {
            let answer = ask(Operation::StoreGetBucketSchema, Some(name))?.data()?;
            found.bucket(name, member(&answer, "config"));
        }
    }
    let queries = ask(Operation::StoreListQueries, None)?.data()?;
    for query in elements(queries.get("queries")) {
        found.queries.insert(name_of(query), member(query, "config"));
    }
    if let Some(list) = unless_off(ask(Operation::ProceduresList, None)?.outcome())? {
        for name in elements(list.get("procedures")).iter().map(name_of) {
            let procedure = ask(Operation::ProceduresGet, Some(name))?.data()?;
            found.procedure(name, &procedure);
        }
    }
    let Some(computed) = unless_off(ask(Operation::LogicListComputed, None)?.outcome())? else {
        return Ok(found);
    };
    for of in elements(Some(&computed)) {
        let bucket = of.get("bucket").and_then(Json::as_str).unwrap_or_default();
        found.computed(bucket, &member(of, "fields"));
    }
    let views = ask(Operation::LogicListViews, None)?.data()?;
    for name in elements(Some(&views)).iter().map(name_of) {
        let view = ask(Operation::LogicExplainView, Some(name))?.data()?;
        found.view(name, view.get("sources"), view.get("select"));
    }
    Ok(found)
}

/// `None`: this server does without that part.
fn unless_off(answer: Answer) -> Result<Option<Json>, Failure> {
    let off = [ErrorCode::LogicNotAvailable.as_str(), ErrorCode::UnknownOperation.as_str()];
    match answer {
        Answer::Data(data) => Ok(Some(data)),
        Answer::Error { code, .. } if off.contains(&&*code) => Ok(None),
        Answer::Error { code, message } => Err(Failure::Refused(format!("{code}: {message}"))),
    }
}

fn elements(list: Option<&Json>) -> &[Json] {
    list.and_then(Json::as_array).unwrap_or_default()
}

fn name_of(definition: &Json) -> &str {
    definition.get("name").and_then(Json::as_str).unwrap_or_default()
}

fn member(of: &Json, name: &str) -> Json {
    of.get(name).cloned().unwrap_or_default()
}
