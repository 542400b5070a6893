//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use getopts::Options as Parser;
use serde_json::Value;

/// All modes, in the order in which they run.
pub const MODES: [&str; 20] = [
    "get", "update", "insert", "where", "mixed", "push", "fanout", "slow", "logins", "idle",
    "params", "topn", "agg", "delta", "joins", "rows", "records", "durable", "start", "steady",
];

/// Those of the table of docs/performance.md.
const TABLE: [&str; 6] = ["get", "update", "insert", "where", "mixed", "push"];

const ABOUT: &str = "\
Measures servers of the noex protocol over loopback, and Redis beside them.

  bench [OPTION]... [MODE]...

get, update, insert   requests at several connection counts and depths
where     the same for ten records by an index
mixed     of ten requests six get, two update, one inserts, one asks where
push      a top ten and a maximum to 100 subscribers, 64 writes in flight
fanout    many subscribers of one small view, 1 and 64 writes in flight
slow      many subscribers, and one among them that does not read
logins    reads without and beside logins with a password
idle      start-up time, and memory of idle connections
params    writes beside 10 and beside 10,000 subscriptions with parameters
topn      a sorted top-10 over more and more records
agg       a count and a groupBy over more and more records
delta     one changed row of a large result, full and delta mode
joins     a joined view over 1,000 and over 100,000 records
rows      row rules of one user and of 10,000
records   memory per record
durable   updates in memory, with interval and with always, and their syncs;
          and with always as requests that are executed once
start     until a server with a million records on disk listens, beside SQLite
steady    the longest turn while millions of records come and go (a server in
          the generator's own process)

Without MODE all of them run. Every lost response or push and every error
response is a failure: exit status 1.";

#[derive(Debug, Clone)]
pub struct Options {
    pub modes: Vec<String>,
    /// Started and measured; `None` when only URLs are measured.
    pub server: Option<PathBuf>,
    pub urls: Vec<String>,
    pub redis: Option<String>,
    pub json: bool,
    /// Members that the configuration of the started server has besides.
    pub config: Value,
    pub round: Duration,
    pub rounds: usize,
    /// Connections and requests in flight on each.
    pub shapes: Vec<(usize, usize)>,
    pub subscribers: usize,
    pub idle: usize,
    pub params: Vec<usize>,
    pub records: Vec<u64>,
    pub rows: u64,
    pub coalesce: bool,
    /// One table of all cases at the end.
    pub table: bool,
    /// Tie the started servers to this core.
    pub core: Option<usize>,
}

/// `Ok(None)`: the help was asked for and has been printed.
pub fn parse(arguments: &[String]) -> Result<Option<Options>, String> {
    let mut parser = Parser::new();
    parser.optopt("", "server", "the server to start and measure", "PROGRAM");
    parser.optmulti("", "url", "measure a running server too (several times)", "ws://HOST:PORT/");
    parser.optopt(
        "",
        "redis",
        "the redis-server to compare with (default redis-server)",
        "PROGRAM",
    );
    parser.optflag("", "no-redis", "do not compare with Redis");
    parser.optflag("", "json", "print one JSON document instead of tables");
    parser.optopt("", "config", "more configuration for the started server", "FILE");
    parser.optopt("", "seconds", "length of a round (default 1)", "S");
    parser.optopt("", "rounds", "rounds per case, the median counts (default 3)", "N");
    parser.optopt("", "shapes", "connections x depth (default 50x1,16x64)", "CxD,...");
    parser.optopt("", "subscribers", "of fanout (default 1000)", "N");
    parser.optopt("", "idle", "idle connections (default 10000)", "N");
    parser.optopt("", "params", "subscriptions (default 10,10000)", "N,...");
    parser.optopt(
        "",
        "records",
        "for topn and agg; start takes the largest (default 1000,...,1000000)",
        "N,...",
    );
    parser.optopt("", "rows", "of the result in delta (default 1000)", "N");
    parser.optflag("", "coalesce", "fanout: ask for coalesced pushes as a further case");
    parser.optflag("", "table", "the modes of docs/performance.md, and one table at the end");
    parser.optopt("", "core", "tie the started servers to this core", "N");
    parser.optflag("h", "help", "print this");

    let given = parser.parse(arguments).map_err(|error| error.to_string())?;
    if given.opt_present("help") {
        print!("{}", parser.usage(ABOUT));
        return Ok(None);
    }

    let modes = match given.free.is_empty() {
        true if given.opt_present("table") => TABLE.iter().map(ToString::to_string).collect(),
        true => MODES.iter().map(ToString::to_string).collect(),
        false => given.free.clone(),
    };
    if let Some(unknown) = modes.iter().find(|mode| !MODES.contains(&mode.as_str())) {
        return Err(format!("no mode {unknown:?}; there are: {}", MODES.join(" ")));
    }
    let urls = given.opt_strs("url");
    let server = given.opt_str("server").map(PathBuf::from);
    if server.is_none() && urls.is_empty() {
        return Err("nothing to measure: --server PROGRAM or --url URL is needed".into());
    }
    let config = match given.opt_str("config") {
        None => Value::Object(serde_json::Map::new()),
        Some(file) => {
            let text =
                std::fs::read_to_string(&file).map_err(|error| format!("{file}: {error}"))?;
            let config: Value =
                serde_json::from_str(&text).map_err(|error| format!("{file}: {error}"))?;
            if !config.is_object() {
                return Err(format!("{file}: expected a JSON object"));
            }
            config
        }
    };
    let seconds: f64 = number(&given, "seconds", 1.0)?;
    if !(0.05..=60.0).contains(&seconds) {
        return Err("--seconds: expected 0.05 to 60".into());
    }
    Ok(Some(Options {
        modes,
        server,
        urls,
        redis: match given.opt_present("no-redis") {
            true => None,
            false => Some(given.opt_str("redis").unwrap_or_else(|| "redis-server".into())),
        },
        json: given.opt_present("json"),
        config,
        round: Duration::from_secs_f64(seconds),
        rounds: number(&given, "rounds", 3usize)?.clamp(1, 100),
        shapes: list(&given, "shapes", "50x1,16x64")?
            .iter()
            .map(|shape| {
                let (conns, depth) = shape
                    .split_once('x')
                    .ok_or_else(|| format!("--shapes: expected CONNSxDEPTH, got {shape:?}"))?;
                Ok((positive("shapes", conns)?, positive("shapes", depth)?))
            })
            .collect::<Result<_, String>>()?,
        subscribers: number(&given, "subscribers", 1000usize)?.max(1),
        idle: number(&given, "idle", 10_000usize)?.max(1),
        params: list(&given, "params", "10,10000")?
            .iter()
            .map(|count| positive("params", count))
            .collect::<Result<_, _>>()?,
        records: list(&given, "records", "1000,10000,100000,1000000")?
            .iter()
            .map(|count| positive("records", count).map(|count| (count as u64).max(100)))
            .collect::<Result<_, _>>()?,
        rows: number(&given, "rows", 1000u64)?.max(1),
        coalesce: given.opt_present("coalesce"),
        table: given.opt_present("table"),
        core: given
            .opt_str("core")
            .map(|core| core.parse().map_err(|_| format!("--core: not a number: {core:?}")))
            .transpose()?,
    }))
}

fn number<T: std::str::FromStr>(
    given: &getopts::Matches,
    name: &str,
    default: T,
) -> Result<T, String> {
    match given.opt_str(name) {
        None => Ok(default),
        Some(text) => text.parse().map_err(|_| format!("--{name}: not a number: {text:?}")),
    }
}

fn list(given: &getopts::Matches, name: &str, default: &str) -> Result<Vec<String>, String> {
    let text = given.opt_str(name).unwrap_or_else(|| default.into());
    let items: Vec<String> = text.split(',').map(|item| item.trim().to_string()).collect();
    match items.iter().any(String::is_empty) {
        true => Err(format!("--{name}: expected values separated by commas, got {text:?}")),
        false => Ok(items),
    }
}

fn positive(name: &str, text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err(format!("--{name}: expected a number above 0, got {text:?}")),
    }
}
