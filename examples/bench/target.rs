//! The servers that are measured, and the data that is put into them.

use std::net::{SocketAddr, ToSocketAddrs};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::net::{Handler, Net};
use crate::options::Options;
use crate::process::{self, Process};
use crate::pump::Pump;
use crate::wire;

/// How long a single answer may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// The longest a load of records may take.
const LOAD_LIMIT: Duration = Duration::from_secs(300);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Noex,
    Redis,
}

/// One server.
#[derive(Debug)]
pub struct Target {
    pub kind: Kind,
    pub label: String,
    pub address: SocketAddr,
    /// For the CPU and memory columns; `None` if it cannot be found.
    pub pid: Option<u32>,
    /// The request for the upgrade; `None` for Redis.
    pub upgrade: Option<Vec<u8>>,
    /// Stops the process when the target goes.
    pub process: Option<Process>,
}

impl Target {
    pub fn from_url(url: &str, label: String) -> Result<Target, String> {
        let bad = || format!("expected a URL like ws://127.0.0.1:8080/, got {url:?}");
        let rest = url.strip_prefix("ws://").ok_or_else(bad)?;
        let (host, path) = match rest.find('/') {
            Some(slash) => rest.split_at(slash),
            None => (rest, "/"),
        };
        let named = if host.contains(':') { host.to_string() } else { format!("{host}:80") };
        let address = named
            .to_socket_addrs()
            .map_err(|error| format!("{url}: {error}"))?
            .next()
            .ok_or_else(bad)?;
        if !address.ip().is_loopback() {
            return Err(format!("{url}: only addresses of this machine are measured"));
        }
        Ok(Target {
            kind: Kind::Noex,
            label,
            address,
            pid: process::listener(address),
            upgrade: Some(wire::upgrade(host, path)),
            process: None,
        })
    }

    fn redis(program: &str, core: Option<usize>) -> Result<Target, String> {
        let process = Process::redis(program, core)?;
        let address = process.address.parse().map_err(|error| format!("redis: {error}"))?;
        Ok(Target {
            kind: Kind::Redis,
            label: "redis".into(),
            address,
            pid: Some(process.id()),
            upgrade: None,
            process: Some(process),
        })
    }

    /// Opens connections to it.
    pub fn open(&self, net: &mut Net, count: usize) -> Result<std::ops::Range<usize>, String> {
        net.open(count, self.address, self.upgrade.as_deref())
    }
}

/// The servers for one benchmark: the started one first, then the URLs.
/// `config` is what the benchmark needs in the configuration of the started one.
pub fn noex_targets(options: &Options, config: &Value) -> Result<Vec<Target>, String> {
    let mut targets = Vec::new();
    if let Some(program) = &options.server {
        let mut merged = options.config.clone();
        for (name, value) in config.as_object().into_iter().flatten() {
            merged[name] = value.clone();
        }
        let process = Process::noexd(program, &merged, options.core)?;
        let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut target = Target::from_url(&process.address, name)?;
        target.pid = Some(process.id());
        target.process = Some(process);
        targets.push(target);
    }
    for url in &options.urls {
        targets.push(Target::from_url(url, url.clone())?);
    }
    Ok(targets)
}

/// The same with Redis last, if it is wanted.
pub fn all_targets(options: &Options, config: &Value) -> Result<Vec<Target>, String> {
    let mut targets = noex_targets(options, config)?;
    if let Some(program) = &options.redis {
        targets.push(Target::redis(program, options.core)?);
    }
    Ok(targets)
}

/// Sends one request and waits for its result's `data`.
pub fn call(net: &mut Net, conn: usize, kind: &str, fields: Value) -> Result<Value, String> {
    struct Answer(Option<Vec<u8>>);
    impl Handler for Answer {
        fn message(&mut self, _: usize, text: &[u8], _: &mut Vec<u8>) -> Result<(), String> {
            self.0 = Some(text.to_vec());
            Ok(())
        }
    }
    let mut request = json!({ "id": 1, "type": kind });
    for (name, value) in fields.as_object().into_iter().flatten() {
        request[name] = value.clone();
    }
    wire::put_text(net.out(conn), request.to_string().as_bytes());
    net.flush(conn)?;
    let mut answer = Answer(None);
    let deadline = Instant::now() + ANSWER_LIMIT;
    while answer.0.is_none() {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(format!("{kind}: no answer within {} s", ANSWER_LIMIT.as_secs()));
        }
        net.turn(left, &mut answer)?;
    }
    let text = answer.0.unwrap_or_default();
    let response: Value =
        serde_json::from_slice(&text).map_err(|error| format!("{kind}: {error}"))?;
    match response["type"].as_str() {
        Some("result") => Ok(response["data"].clone()),
        _ => Err(format!("{kind} was answered with {}", wire::excerpt(&text))),
    }
}

/// A name that no earlier run has used on a server that keeps running.
pub fn fresh(name: &str) -> String {
    let time = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    format!("bench-{name}-{:x}", time.map(|time| time.as_micros()).unwrap_or_default())
}

/// Defines the bucket that most modes use; its records are made by [`row`].
pub fn define_bucket(
    net: &mut Net,
    conn: usize,
    name: &str,
    indexes: &[&str],
) -> Result<(), String> {
    let config = json!({
        "key": "id",
        "schema": {
            "id": { "type": "string", "required": true },
            "tick": { "type": "number" },
            "town": { "type": "string" },
            "open": { "type": "boolean" },
            "score": { "type": "number" },
            "note": { "type": "string" },
        },
        "indexes": indexes,
    });
    call(net, conn, "store.defineBucket", json!({ "name": name, "config": config })).map(|_| ())
}

pub fn define_query(net: &mut Net, conn: usize, name: &str, config: Value) -> Result<(), String> {
    call(net, conn, "store.defineQuery", json!({ "name": name, "config": config })).map(|_| ())
}

/// The key of record `number`.
pub fn key(number: u64) -> String {
    format!("r{number:08}")
}

/// One record, about 190 bytes with the server's metadata.
pub fn row(number: u64, town: &str, score: u64) -> String {
    format!(
        r#"{{"id":"r{number:08}","tick":0,"town":"{town}","open":false,"score":{score},"note":"forty characters that nobody looks at...."}}"#
    )
}

/// Inserts `count` records and waits until all are acknowledged.
pub fn load(
    net: &mut Net,
    conns: std::ops::Range<usize>,
    bucket: &str,
    count: u64,
    make: impl Fn(u64) -> String,
) -> Result<(), String> {
    let mut encode = |number: u64, out: &mut Vec<u8>| {
        let text = format!(
            r#"{{"id":{number},"type":"store.insert","bucket":"{bucket}","data":{}}}"#,
            make(number)
        );
        wire::put_text(out, text.as_bytes());
    };
    let mut check = |number: u64, message: &[u8]| wire::result_of(message, number).map(|_| ());
    let mut pump = Pump::new(conns.collect(), 64, count, &mut encode, &mut check);
    pump.start(net)?;
    pump.drain(net, LOAD_LIMIT).map_err(|error| format!("loading records: {error}"))
}
