//! Whether a write costs more where more lies beside it, over real sockets:
//! `joins` (a joined view of logic over 1,000 and over 100,000 records, with 100
//! subscribers) and `rows` (row rules that let one user see everything, or
//! 10,000 users one record each, by an owner or by a set of 50 values). One
//! write in flight; server and sizes take turns, the medians count.

use std::ops::Range;

use serde_json::{Value, json};

use crate::net::Net;
use crate::options::Options;
use crate::report::{self, Metric, Report};
use crate::target::{self, Target};
use crate::watch::{Expect, Phase, Seen, Watch};
use crate::wire;

const JOINED: [u64; 2] = [1_000, 100_000];
const SUBSCRIBERS: usize = 100;
const USERS: [usize; 2] = [1, 10_000];
/// How many times as much a write may cost where more lies beside it.
const MOST_JOINED: f64 = 1.5;
const MOST_OWNED: f64 = 1.5;
const MOST_OF_SETS: f64 = 2.0;
/// Records that the users of `rows` see.
const RECORDS: u64 = 10_000;
/// Values of a user's set.
const ROOMS: u64 = 50;
/// Writes before the measured ones: fills caches, and passes the time in which
/// a server may hold back first pushes.
const WARM: u64 = 200;

/// One size of a case on a server.
struct Stage {
    label: String,
    net: Net,
    pid: Option<u32>,
    writer: usize,
    bucket: String,
    readers: Range<usize>,
    records: u64,
    next: u64,
}

impl Stage {
    /// `change` makes the changed fields of a write; `pick` its record.
    fn measure(
        &mut self,
        expect: Expect,
        options: &Options,
        pick: impl Fn(u64) -> u64,
        change: impl Fn(u64) -> String,
    ) -> Result<Phase, String> {
        let bucket = &self.bucket;
        let mut encode = |number: u64, out: &mut Vec<u8>| {
            let (key, data) = (pick(number), change(number));
            let text = format!(
                r#"{{"id":{number},"type":"store.update","bucket":"{bucket}","key":{key},"data":{data}}}"#
            );
            wire::put_text(out, text.as_bytes());
        };
        let mut reply = |number: u64, message: &[u8]| wire::result_of(message, number).map(|_| ());
        let first = self.readers.start;
        let mut observe = |conn: usize, message: &[u8]| match conn.checked_sub(first) {
            Some(subscriber) => Ok(Seen { subscriber, write: None }),
            None => Err(format!("not a subscriber's: {}", wire::excerpt(message))),
        };
        let mut watch =
            Watch::new(self.writer, self.next, expect, &mut encode, &mut reply, &mut observe);
        let result = watch
            .phase(&mut self.net, 1, WARM, options.round, None)
            .and_then(|_| watch.phase(&mut self.net, 1, u64::MAX, options.round, self.pid));
        self.next = watch.next();
        result
    }
}

fn cost(name: &'static str, phase: &Phase) -> Metric {
    Metric::new(name, phase.span.server_micros.map(|micros| micros / phase.writes), 2)
}

/// A bucket whose keys are numbers, with these fields of texts and of numbers.
fn define(
    net: &mut Net,
    conn: usize,
    name: &str,
    (texts, numbers): (&[&str], &[&str]),
    more: Value,
) -> Result<(), String> {
    let mut config = json!({ "key": "id", "schema": { "id": { "type": "number" } } });
    for (fields, kind) in [(texts, "string"), (numbers, "number")] {
        for field in fields {
            config["schema"][field] = json!({ "type": kind });
        }
    }
    for (member, value) in more.as_object().into_iter().flatten() {
        config[member] = value.clone();
    }
    let fields = json!({ "name": name, "config": config });
    target::call(net, conn, "store.defineBucket", fields).map(|_| ())
}

pub fn joins(options: &Options, report: &mut Report) -> Result<(), String> {
    for (form, select) in [
        (
            "grouped",
            json!({ "groupBy": "c.id", "select": { "name": "c.name", "n": { "$count": "*" }, "total": { "$sum": "o.total" } } }),
        ),
        ("ordered", json!({ "select": { "name": "c.name", "total": "o.total" } })),
    ] {
        for target in target::noex_targets(options, &json!({}))? {
            let mut stages = Vec::new();
            for records in JOINED {
                let stage = join_stage(&target, records, &select)
                    .map_err(|error| format!("{}: {error}", target.label))?;
                stages.push(stage);
            }
            let label = |stage: &Stage| stage.label.clone();
            let rows = report::interleaved(&mut stages, options.rounds, label, |stage| {
                let half = stage.records / 2;
                // Even numbers rise to the top, one after the other; odd ones stay below.
                let hit = stage.measure(
                    Expect::All(SUBSCRIBERS),
                    options,
                    |number| number.wrapping_mul(7919) % half * 2,
                    |number| format!(r#"{{"total":{}}}"#, 1_000_000 + number),
                )?;
                let miss = stage.measure(
                    Expect::Nobody,
                    options,
                    |number| number.wrapping_mul(7919) % half * 2 + 1,
                    |number| format!(r#"{{"total":{}}}"#, number % 900),
                )?;
                Ok(vec![cost("cpu us/hit", &hit), cost("cpu us/miss", &miss)])
            })?;
            let title = format!(
                "{form}, first 10, {SUBSCRIBERS} subscribers; a write that changes them, one that does not"
            );
            report.series_within("joins", &title, &rows, MOST_JOINED);
        }
    }
    Ok(())
}

fn join_stage(target: &Target, records: u64, select: &Value) -> Result<Stage, String> {
    let mut net = Net::new()?;
    let conns = target.open(&mut net, 2)?;
    let writer = conns.start;
    let (orders, customers) = (target::fresh("orders"), target::fresh("customers"));
    for bucket in [&orders, &customers] {
        define(&mut net, writer, bucket, (&["name"], &["customer", "total"]), json!({}))?;
    }
    target::load(&mut net, conns.clone(), &customers, records, |id| {
        format!(r#"{{"id":{id},"name":"c{id}"}}"#)
    })?;
    target::load(&mut net, conns, &orders, records, |id| {
        format!(r#"{{"id":{id},"customer":{id},"total":{}}}"#, id * 7 % 1000)
    })?;
    let view = target::fresh("view");
    let mut definition = json!({
        "name": view, "from": { "o": orders, "c": customers }, "join": { "o.customer": "c.id" },
        "orderBy": [{ "field": "total", "direction": "desc" }], "limit": 10, "reactive": true,
    });
    for (member, value) in select.as_object().into_iter().flatten() {
        definition[member] = value.clone();
    }
    target::call(&mut net, writer, "logic.defineView", json!({ "definition": definition }))?;
    let readers = target.open(&mut net, SUBSCRIBERS)?;
    for conn in readers.clone() {
        target::call(&mut net, conn, "logic.subscribeView", json!({ "name": view }))?;
    }
    let label = format!("{}, {records}", target.label);
    Ok(Stage { label, net, pid: target.pid, writer, bucket: orders, readers, records, next: 0 })
}

/// What decides who sees a record.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rule {
    Owner,
    Set,
}

pub fn rows(options: &Options, report: &mut Report) -> Result<(), String> {
    let mut tokens = json!({ "t-root": { "userId": "root", "roles": ["admin", "all"] } });
    for users in USERS {
        for user in 0..users {
            tokens[format!("t-{users}-{user}")] =
                json!({ "userId": format!("u{users}-{user}"), "roles": ["writer"] });
        }
    }
    let subscriptions = 3 * USERS.iter().sum::<usize>();
    let config = json!({
        "auth": { "tokens": tokens },
        "connectionLimits": { "maxTotalSubscriptions": subscriptions },
    });
    for (name, rule) in [("by an owner", Rule::Owner), ("by a set of 50 values", Rule::Set)] {
        let most = match rule {
            Rule::Owner => MOST_OWNED,
            Rule::Set => MOST_OF_SETS,
        };
        for target in target::noex_targets(options, &config)? {
            let mut stages = Vec::new();
            for users in USERS {
                let stage = rows_stage(&target, users, rule)
                    .map_err(|error| format!("{}: {error}", target.label))?;
                stages.push(stage);
            }
            let label = |stage: &Stage| stage.label.clone();
            let rows = report::interleaved(&mut stages, options.rounds, label, |stage| {
                // Record n is user n's, modulo the number of users.
                let records = stage.records;
                let phase = stage.measure(
                    Expect::One(stage.readers.len()),
                    options,
                    |number| number % records,
                    |number| format!(r#"{{"n":{}}}"#, number + 1),
                )?;
                Ok(vec![
                    cost("cpu us/write", &phase),
                    Metric::plain("p50 us", phase.latency.micros(0.5), 0),
                ])
            })?;
            let title = format!("users, each write seen by one, {name}");
            report.series_within("rows", &title, &rows, most);
        }
    }
    Ok(())
}

fn rows_stage(target: &Target, users: usize, rule: Rule) -> Result<Stage, String> {
    let mut net = Net::new()?;
    let conns = target.open(&mut net, 2)?;
    let writer = conns.start;
    for conn in conns.clone() {
        target::call(&mut net, conn, "auth.login", json!({ "token": "t-root" }))?;
    }
    let bucket = target::fresh("rows");
    let (set, many) = (target::fresh("set").replace('-', "_"), users as u64);
    let read = match rule {
        Rule::Owner => json!({ "owner": "{{ session.userId }}" }),
        Rule::Set => {
            let members = target::fresh("members");
            let fields: (&[&str], &[&str]) = (&["user"], &["room"]);
            define(&mut net, writer, &members, fields, json!({ "indexes": ["user"] }))?;
            target::load(&mut net, conns.clone(), &members, many * ROOMS, |room| {
                format!(r#"{{"id":{room},"user":"u{users}-{}","room":{room}}}"#, room / ROOMS)
            })?;
            let fields = json!({
                "name": set, "bucket": members, "filter": { "user": "{{ session.userId }}" }, "field": "room",
            });
            target::call(&mut net, writer, "access.defineSet", fields)?;
            json!({ "room": { "$in": format!("{{{{ sets.{set} }}}}") } })
        }
    };
    let rules =
        json!({ "indexes": ["owner", "room"], "rows": { "read": read, "bypass": ["all"] } });
    define(&mut net, writer, &bucket, (&["owner"], &["room", "n"]), rules)?;
    target::load(&mut net, conns, &bucket, RECORDS, |id| {
        let user = id % many;
        let room = user * ROOMS + id / many % ROOMS;
        format!(r#"{{"id":{id},"owner":"u{users}-{user}","room":{room},"n":0}}"#)
    })?;
    let readers = target.open(&mut net, users)?;
    for (user, conn) in readers.clone().enumerate() {
        let token = format!("t-{users}-{user}");
        target::call(&mut net, conn, "auth.login", json!({ "token": token }))?;
        target::call(&mut net, conn, "store.live", json!({ "bucket": bucket, "mode": "delta" }))?;
    }
    let label = format!("{}, {users}", target.label);
    Ok(Stage { label, net, pid: target.pid, writer, bucket, readers, records: RECORDS, next: 0 })
}
