//! `logins`: reads of other connections without and beside logins with a
//! password, each of which costs the server tens of milliseconds of hashing.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::net::{Handler, Net};
use crate::options::Options;
use crate::report::{Metric, Report, Row};
use crate::stats::{Histogram, Moment};
use crate::target::{self, Target};
use crate::wire;

const SECRET: &str = "a secret of the benchmark";
const PASSWORD: &str = "correct horse";
const RECORDS: u64 = 1000;
/// Connections that read, one request in flight on each.
const READERS: usize = 8;
/// Connections that log in, one after the other, again and again.
const LOGINS: usize = 8;
/// Logins in a minute.
const RATES: [u64; 3] = [0, 300, 900];

pub fn run(options: &Options, report: &mut Report) -> Result<(), String> {
    let config = json!({ "auth": { "builtIn": true, "adminSecret": SECRET } });
    if options.server.is_none() {
        report.note("logins", "left out: needs a server of its own (--server)");
        return Ok(());
    }
    for target in target::noex_targets(options, &config)?.iter().filter(|one| one.process.is_some())
    {
        let bucket = prepare(target)?;
        let mut rows = Vec::new();
        for rate in RATES {
            let mut rounds = Vec::new();
            for _ in 0..options.rounds {
                rounds.push(round(target, &bucket, rate, options.round)?);
            }
            let label = match rate {
                0 => "no logins".to_string(),
                rate => format!("{rate} logins a minute"),
            };
            rows.push(Row::middle(&label, rounds));
        }
        let title = format!("{}: {READERS} connections, 1 in flight on each", target.label);
        report.series("logins", &title, &rows);
    }
    Ok(())
}

fn prepare(target: &Target) -> Result<String, String> {
    let mut net = Net::new()?;
    let conn = target.open(&mut net, 1)?.start;
    target::call(&mut net, conn, "identity.loginWithSecret", json!({ "secret": SECRET }))?;
    let bucket = target::fresh("logins");
    target::define_bucket(&mut net, conn, &bucket, &[])?;
    target::load(&mut net, conn..conn + 1, &bucket, RECORDS, |number| {
        target::row(number, "town-1", number)
    })?;
    let user = json!({ "username": "bench", "password": PASSWORD });
    target::call(&mut net, conn, "identity.createUser", user)?;
    Ok(bucket)
}

/// Reads in a closed loop, and logins at a steady rate.
struct Mixed<'a> {
    bucket: &'a str,
    first_login: usize,
    now: Instant,
    /// By connection: the request in flight.
    sent: HashMap<usize, (u64, Instant)>,
    number: u64,
    reading: bool,
    reads: u64,
    latency: Histogram,
    logged_in: u64,
    login_latency: Histogram,
}

impl Mixed<'_> {
    fn read(&mut self, conn: usize, out: &mut Vec<u8>) {
        self.number += 1;
        let key = target::key(self.number.wrapping_mul(0x9e37_79b1) % RECORDS);
        let (number, bucket) = (self.number, self.bucket);
        let text =
            format!(r#"{{"id":{number},"type":"store.get","bucket":"{bucket}","key":"{key}"}}"#);
        wire::put_text(out, text.as_bytes());
        self.sent.insert(conn, (number, self.now));
    }

    fn log_in(&mut self, conn: usize, out: &mut Vec<u8>) {
        self.number += 1;
        let number = self.number;
        let text = format!(
            r#"{{"id":{number},"type":"identity.login","username":"bench","password":"{PASSWORD}"}}"#
        );
        wire::put_text(out, text.as_bytes());
        self.sent.insert(conn, (number, self.now));
    }
}

impl Handler for Mixed<'_> {
    fn begin(&mut self, _conn: usize) {
        self.now = Instant::now();
    }

    fn message(&mut self, conn: usize, message: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
        let Some((number, sent)) = self.sent.remove(&conn) else {
            // The end of a session that had to make room for a newer one.
            return Ok(());
        };
        wire::result_of(message, number)?;
        if conn >= self.first_login {
            self.logged_in += 1;
            self.login_latency.add(self.now - sent);
            return Ok(());
        }
        self.reads += 1;
        self.latency.add(self.now - sent);
        if self.reading {
            self.read(conn, out);
        }
        Ok(())
    }
}

fn round(
    target: &Target,
    bucket: &str,
    per_minute: u64,
    time: Duration,
) -> Result<Vec<Metric>, String> {
    let mut net = Net::new()?;
    let conns = target.open(&mut net, READERS + LOGINS)?;
    let first_login = conns.start + READERS;
    for conn in conns.start..first_login {
        target::call(&mut net, conn, "identity.loginWithSecret", json!({ "secret": SECRET }))?;
    }
    let mut mixed = Mixed {
        bucket,
        first_login,
        now: Instant::now(),
        sent: HashMap::new(),
        number: 1,
        reading: true,
        reads: 0,
        latency: Histogram::new(),
        logged_in: 0,
        login_latency: Histogram::new(),
    };
    for conn in conns.start..first_login {
        mixed.read(conn, net.out(conn));
        net.flush(conn)?;
    }
    let pause = Duration::from_secs(60).checked_div(u32::try_from(per_minute).unwrap_or(u32::MAX));
    let begun = Moment::now(target.pid);
    let start = Instant::now();
    let (mut next, mut turn) = (start, 0);
    while start.elapsed() < time {
        let left = time.saturating_sub(start.elapsed());
        let Some(pause) = pause else {
            net.turn(left, &mut mixed)?;
            continue;
        };
        let wait = next.saturating_duration_since(Instant::now());
        if !wait.is_zero() {
            net.turn(wait.min(left), &mut mixed)?;
            continue;
        }
        next += pause;
        let conn = first_login + turn % LOGINS;
        turn += 1;
        // One that still waits for its last login is passed over.
        if !mixed.sent.contains_key(&conn) {
            mixed.now = Instant::now();
            mixed.log_in(conn, net.out(conn));
            net.flush(conn)?;
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    let span = begun.until(&Moment::now(target.pid));
    mixed.reading = false;
    let deadline = Instant::now() + Duration::from_secs(30);
    while !mixed.sent.is_empty() {
        if Instant::now() > deadline {
            return Err(format!("{} responses are lost", mixed.sent.len()));
        }
        net.turn(Duration::from_millis(100), &mut mixed)?;
    }
    if per_minute > 0 && mixed.logged_in == 0 {
        return Err("nobody could log in".into());
    }
    Ok(vec![
        Metric::new("reads/s", mixed.reads as f64 / seconds, 0),
        Metric::new("p50 us", mixed.latency.micros(0.5), 1),
        Metric::new("p99 us", mixed.latency.micros(0.99), 1),
        Metric::plain("logins/min", mixed.logged_in as f64 * 60.0 / seconds, 0),
        Metric::plain("login p50 ms", mixed.login_latency.micros(0.5).map(|us| us / 1000.0), 1),
        Metric::plain(
            "server cpu %",
            span.server_micros.map(|micros| micros / 1e4 / span.seconds),
            0,
        ),
    ])
}
