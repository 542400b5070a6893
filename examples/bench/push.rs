//! `push`: results that are more than the changed row, to a hundred subscribers
//! with 64 writes in flight: a sorted top ten, and a maximum.

use std::time::Duration;

use serde_json::{Value, json};

use crate::net::Net;
use crate::options::Options;
use crate::pump::Pump;
use crate::report::{Metric, Report, interleaved};
use crate::target::{self, Target};
use crate::watch::{Expect, Phase, Seen, Watch};
use crate::wire;

const SUBSCRIBERS: usize = 100;
const WINDOW: usize = 64;
const RECORDS: u64 = 1_000;

/// The score of the record that is written to, above all others, before it is.
const BASE: u64 = 1_000_000;

#[derive(Clone, Copy, Debug)]
enum View {
    TopTen,
    Max,
}

impl View {
    /// Also what the server without data tells them apart by.
    const fn name(self) -> &'static str {
        match self {
            View::TopTen => "push-ten",
            View::Max => "push-max",
        }
    }

    fn query(self, bucket: &str) -> Value {
        match self {
            View::TopTen => json!({ "bucket": bucket, "sort": { "score": "desc" }, "limit": 10 }),
            View::Max => {
                json!({ "bucket": bucket, "aggregate": { "function": "max", "field": "score" } })
            }
        }
    }

    /// What write `number` changes: the first of the ten, or the maximum.
    fn change(self, number: u64) -> String {
        let tick = number + 1;
        match self {
            View::TopTen => format!(r#"{{"tick":{tick}}}"#),
            View::Max => format!(r#"{{"tick":{tick},"score":{}}}"#, BASE + tick),
        }
    }

    /// The write that a push shows.
    fn seen(self, message: &[u8]) -> Option<u64> {
        let tick = match self {
            View::TopTen => wire::number_after(message, br#""tick":"#)?,
            View::Max => wire::number_after(message, br#""data":"#)?.checked_sub(BASE)?,
        };
        tick.checked_sub(1)
    }
}

struct Stage<'a> {
    target: &'a Target,
    view: View,
    net: Net,
    writer: usize,
    bucket: String,
    next: u64,
}

pub fn run(options: &Options, report: &mut Report) -> Result<(), String> {
    for view in [View::TopTen, View::Max] {
        let targets = target::noex_targets(options, &json!({}))?;
        let mut stages = Vec::new();
        for target in &targets {
            let stage = Stage::new(target, view);
            stages.push(stage.map_err(|error| format!("{}: {error}", target.label))?);
        }
        let rows = interleaved(
            &mut stages,
            options.rounds,
            |it| it.target.label.clone(),
            |it| it.round(options.round),
        )?;
        let title = format!(
            "{} to {SUBSCRIBERS} subscribers, {WINDOW} in flight",
            match view {
                View::TopTen => "top ten",
                View::Max => "maximum",
            }
        );
        report.case("push", &title, &rows);
    }
    Ok(())
}

impl<'a> Stage<'a> {
    fn new(target: &'a Target, view: View) -> Result<Stage<'a>, String> {
        let mut net = Net::new()?;
        let writer = target.open(&mut net, 1)?.start;
        let bucket = target::fresh(view.name());
        target::define_bucket(&mut net, writer, &bucket, &[])?;
        target::load(&mut net, writer..writer + 1, &bucket, RECORDS, |number| {
            let score = if number == 0 { BASE } else { number };
            target::row(number, "town-1", score)
        })?;
        target::define_query(&mut net, writer, &bucket, view.query(&bucket))?;
        let conns = target.open(&mut net, SUBSCRIBERS)?;
        let mut encode = |number: u64, out: &mut Vec<u8>| {
            let text = format!(r#"{{"id":{number},"type":"store.subscribe","query":"{bucket}"}}"#);
            wire::put_text(out, text.as_bytes());
        };
        let mut check = |number: u64, message: &[u8]| wire::result_of(message, number).map(|_| ());
        let (conns, count) = (conns.collect(), SUBSCRIBERS as u64);
        let mut pump = Pump::new(conns, 1, count, &mut encode, &mut check);
        pump.start(&mut net)?;
        pump.drain(&mut net, Duration::from_secs(60))?;
        let mut stage = Stage { target, view, net, writer, bucket, next: 0 };
        // Past the time in which a server may hold back first pushes.
        stage.phase(1, 50, Duration::from_secs(5))?;
        Ok(stage)
    }

    fn round(&mut self, time: Duration) -> Result<Vec<Metric>, String> {
        self.phase(WINDOW, 4 * WINDOW as u64, time)?;
        let phase = self.phase(WINDOW, u64::MAX, time)?;
        let cpu = phase.span.server_micros;
        Ok(vec![
            Metric::new("pushes/s", phase.pushes / phase.span.seconds, 0),
            Metric::new("cpu us/push", cpu.map(|micros| micros / phase.pushes), 3),
            Metric::new("p50 us", phase.latency.micros(0.5), 0),
            Metric::new("p99 us", phase.latency.micros(0.99), 0),
            Metric::plain("generator", phase.span.own_share, 2),
        ])
    }

    fn phase(&mut self, window: usize, limit: u64, time: Duration) -> Result<Phase, String> {
        let (view, bucket, first) = (self.view, &self.bucket, self.writer + 1);
        let mut encode = |number: u64, out: &mut Vec<u8>| {
            let change = view.change(number);
            let text = format!(
                r#"{{"id":{number},"type":"store.update","bucket":"{bucket}","key":"r00000000","data":{change}}}"#
            );
            wire::put_text(out, text.as_bytes());
        };
        let mut reply = |number: u64, message: &[u8]| wire::result_of(message, number).map(|_| ());
        let mut observe = |conn: usize, message: &[u8]| {
            let write = view.seen(message);
            let write = write.ok_or_else(|| format!("no write in {}", wire::excerpt(message)))?;
            Ok(Seen { subscriber: conn - first, write: Some(write) })
        };
        let expect = Expect::All(SUBSCRIBERS);
        let mut watch =
            Watch::new(self.writer, self.next, expect, &mut encode, &mut reply, &mut observe);
        let result = watch.phase(&mut self.net, window, limit, time, self.target.pid);
        self.next = watch.next();
        result
    }
}
