//! `fanout`: many subscribers of one small view and one writer, with Redis'
//! PUBLISH of messages of the same size beside it.

use std::time::Duration;

use serde_json::json;

use crate::net::Net;
use crate::options::Options;
use crate::pump::Pump;
use crate::report::{Metric, Report, interleaved};
use crate::target::{self, Kind, Target};
use crate::watch::{Expect, Phase, Seen, Watch};
use crate::wire;

const WINDOWS: [usize; 2] = [1, 64];

/// A message on the channel is found by this label in its text.
pub const LABEL: &[u8] = br#""tick":"#;

/// A server with its subscribers.
pub struct Stage<'a> {
    pub target: &'a Target,
    net: Net,
    writer: usize,
    /// Bucket, query or channel.
    pub name: String,
    /// Length of a push, so that Redis sends as much.
    size: usize,
    /// The number of the next write; it sets the tick to one more.
    pub next: u64,
}

pub fn run(options: &Options, report: &mut Report) -> Result<(), String> {
    // Every subscriber is one connection, so this many are needed beside the
    // writer, whatever the machine allows a server by default.
    let config = json!({ "connectionLimits": { "maxTotalSubscriptions": options.subscribers } });
    case(options, report, &config, false)?;
    if options.coalesce {
        case(options, report, &config, true)?;
    }
    Ok(())
}

fn case(
    options: &Options,
    report: &mut Report,
    config: &serde_json::Value,
    coalesce: bool,
) -> Result<(), String> {
    let targets = target::all_targets(options, config)?;
    let mut stages = Vec::new();
    let mut size = 0;
    for target in &targets {
        let stage = stage(target, options.subscribers, coalesce, size, 0)
            .map_err(|error| format!("{}: {error}", target.label))?;
        size = stage.size;
        stages.push(stage);
    }
    for window in WINDOWS {
        let rows = interleaved(
            &mut stages,
            options.rounds,
            |it| it.target.label.clone(),
            |it| round(it, options, window, coalesce),
        )?;
        let title = format!(
            "{} subscribers, {window} in flight, {size} bytes{}",
            options.subscribers,
            if coalesce { ", coalesced" } else { "" }
        );
        report.case("fanout", &title, &rows);
    }
    Ok(())
}

/// `size` is that of a message on Redis' channel, `pad` makes the row larger.
pub fn stage<'a>(
    target: &'a Target,
    subscribers: usize,
    coalesce: bool,
    size: usize,
    pad: usize,
) -> Result<Stage<'a>, String> {
    let mut net = Net::new()?;
    let writer = target.open(&mut net, 1)?.start;
    let name = target::fresh("fanout");
    if target.kind == Kind::Noex {
        target::define_bucket(&mut net, writer, &name, &[])?;
        let town = format!("town-1{}", "-".repeat(pad));
        target::load(&mut net, writer..writer + 1, &name, 1, |number| {
            target::row(number, &town, 0)
        })?;
        let filter = json!({ "bucket": name, "filter": { "id": target::key(0) } });
        target::define_query(&mut net, writer, &name, filter)?;
    }
    let conns = target.open(&mut net, subscribers)?;
    let redis = target.kind == Kind::Redis;
    let mut answer_length = 0;
    let mut encode = |number: u64, out: &mut Vec<u8>| {
        if redis {
            wire::put_command(out, &[b"SUBSCRIBE", name.as_bytes()]);
        } else {
            let text = format!(
                r#"{{"id":{number},"type":"store.subscribe","query":"{name}","coalesce":{coalesce}}}"#
            );
            wire::put_text(out, text.as_bytes());
        }
    };
    let mut check = |number: u64, message: &[u8]| {
        answer_length = message.len();
        if redis { Ok(()) } else { wire::result_of(message, number).map(|_| ()) }
    };
    let mut pump = Pump::new(conns.collect(), 1, subscribers as u64, &mut encode, &mut check);
    pump.start(&mut net)?;
    pump.drain(&mut net, Duration::from_secs(60))?;
    let size = if redis { size.max(64) } else { answer_length };
    let mut stage = Stage { target, net, writer, name, size, next: 0 };
    // Past the time in which a server may hold back first pushes.
    phase(&mut stage, subscribers, 1, 50, Duration::from_secs(5), coalesce)?;
    Ok(stage)
}

pub fn round(
    stage: &mut Stage,
    options: &Options,
    window: usize,
    coalesce: bool,
) -> Result<Vec<Metric>, String> {
    let subscribers = options.subscribers;
    phase(stage, subscribers, window, 4 * window as u64, options.round, coalesce)?;
    let phase = phase(stage, subscribers, window, u64::MAX, options.round, coalesce)?;
    let cpu = phase.span.server_micros;
    Ok(vec![
        Metric::new("pushes/s", phase.pushes / phase.span.seconds, 0),
        Metric::new("writes/s", phase.writes / phase.span.seconds, 0),
        Metric::new("cpu us/push", cpu.map(|micros| micros / phase.pushes), 3),
        Metric::new("cpu us/write", cpu.map(|micros| micros / phase.writes), 0),
        Metric::new("p50 us", phase.latency.micros(0.5), 0),
        Metric::new("p99 us", phase.latency.micros(0.99), 0),
        Metric::plain("generator", phase.span.own_share, 2),
    ])
}

/// So many writes, without figures.
pub fn quick(stage: &mut Stage, options: &Options, writes: u64) -> Result<(), String> {
    let limit = Duration::from_secs(120);
    phase(stage, options.subscribers, 1, writes, limit, false).map(|_| ())
}

fn phase(
    stage: &mut Stage,
    subscribers: usize,
    window: usize,
    limit: u64,
    time: Duration,
    coalesce: bool,
) -> Result<Phase, String> {
    let redis = stage.target.kind == Kind::Redis;
    let (name, size, writer) = (&stage.name, stage.size, stage.writer);
    let first_subscriber = writer + 1;
    let told = format!(":{subscribers}\r\n");
    let mut text = Vec::new();
    let mut encode = |number: u64, out: &mut Vec<u8>| {
        use std::io::Write;
        let tick = number + 1;
        text.clear();
        // Writing into a vector cannot fail.
        if redis {
            let _ = write!(text, r#"{{"tick":{tick},"#);
            text.resize(size, b' ');
            wire::put_command(out, &[b"PUBLISH", name.as_bytes(), &text]);
        } else {
            let _ = write!(
                text,
                r#"{{"id":{number},"type":"store.update","bucket":"{name}","key":"r00000000","data":{{"tick":{tick}}}}}"#
            );
            wire::put_text(out, &text);
        }
    };
    let mut reply = |number: u64, message: &[u8]| {
        if !redis {
            return wire::result_of(message, number).map(|_| ());
        }
        match message == told.as_bytes() {
            true => Ok(()),
            false => Err(format!("PUBLISH was answered {}", wire::excerpt(message))),
        }
    };
    // The label is nearly always where it was in the push before.
    let mut place = 0;
    let mut observe = |conn: usize, message: &[u8]| {
        if !message.get(place..).is_some_and(|rest| rest.starts_with(LABEL)) {
            place = wire::find(message, LABEL).unwrap_or(0);
        }
        let tick = wire::number_after(&message[place..], LABEL)
            .filter(|&tick| tick > 0)
            .ok_or_else(|| format!("a push without a tick: {}", wire::excerpt(message)))?;
        Ok(Seen { subscriber: conn - first_subscriber, write: Some(tick - 1) })
    };
    let expect = Expect::All(subscribers);
    let mut watch = Watch::new(writer, stage.next, expect, &mut encode, &mut reply, &mut observe);
    if coalesce && !redis {
        watch = watch.coalesced();
    }
    let result = watch.phase(&mut stage.net, window, limit, time, stage.target.pid);
    stage.next = watch.next();
    result
}
