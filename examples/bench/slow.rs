//! `slow`: many subscribers of one view, with and without one among them that
//! does not read. When that one reads again it must hold the newest result
//! without having been sent all that it missed.

use std::net::TcpStream;
use std::time::Duration;

use serde_json::json;
use tungstenite::{Message, WebSocket};

use crate::fanout::{self, Stage};
use crate::options::Options;
use crate::process;
use crate::report::{Metric, Report, Row};
use crate::target::{self, Target};
use crate::wire;

/// Bytes that the row has besides.
const PAD: usize = 1024;

/// Subscriptions of the slow one, so that what the kernel takes for one that
/// does not read is used up soon.
const OWN: usize = 64;

/// The kernel takes a few MiB on either side of a connection; this much is
/// pushed to the slow one before anything is measured.
const FILL_BYTES: u64 = 16 << 20;

/// All that may be delivered late: what the kernel and the server keep.
const LATE_BYTES: u64 = 14 << 20;

pub fn run(options: &Options, report: &mut Report) -> Result<(), String> {
    let most = json!({
        "connectionLimits": { "maxTotalSubscriptions": options.subscribers + OWN },
        // Whoever does not read answers no pings.
        "heartbeat": { "intervalMs": 3_600_000 },
    });
    for target in target::noex_targets(options, &most)? {
        one(&target, options, report).map_err(|error| format!("{}: {error}", target.label))?;
    }
    Ok(())
}

fn one(target: &Target, options: &Options, report: &mut Report) -> Result<(), String> {
    let mut stage = fanout::stage(target, options.subscribers, false, 0, PAD)?;
    let mut rounds = [Vec::new(), Vec::new()];
    let mut late = Vec::new();
    for _ in 0..options.rounds {
        rounds[0].push(measure(&mut stage, options)?);
        let mut slow = Slow::open(&mut stage)?;
        fanout::quick(&mut stage, options, FILL_BYTES / (PAD * OWN) as u64)?;
        rounds[1].push(measure(&mut stage, options)?);
        late.push(slow.resume(stage.next)?);
    }
    let [without, with] = rounds;
    let rows = [Row::middle("all read", without), Row::middle("one does not", with)];
    let title = format!("{} subscribers, 1 in flight, rows of {PAD} bytes", options.subscribers);
    report.case("slow", &title, &rows);
    let most = late.iter().copied().max().unwrap_or(0);
    report.note(
        "slow",
        &format!("reading again, it got {:.1} MiB and holds the newest", most as f64 / 1048576.0),
    );
    Ok(())
}

fn measure(stage: &mut Stage<'_>, options: &Options) -> Result<Vec<Metric>, String> {
    let mut metrics = fanout::round(stage, options, 1, false)?;
    let memory = stage.target.pid.and_then(process::resident);
    metrics.push(Metric::plain("MiB", memory.map(|bytes| bytes as f64 / 1048576.0), 1));
    Ok(metrics)
}

/// A subscriber that reads only when told to.
struct Slow {
    socket: WebSocket<TcpStream>,
    /// Bytes of pushes read since it stopped.
    late: u64,
}

impl Slow {
    fn open(stage: &mut Stage<'_>) -> Result<Slow, String> {
        let address = stage.target.address;
        let stream = TcpStream::connect(address).map_err(|error| error.to_string())?;
        let limit = Some(Duration::from_secs(30));
        stream.set_read_timeout(limit).map_err(|error| error.to_string())?;
        let (socket, _) = tungstenite::client(format!("ws://{address}/"), stream)
            .map_err(|error| error.to_string())?;
        let mut slow = Slow { socket, late: 0 };
        slow.text()?;
        for id in 1..=OWN as u64 {
            let subscribe = json!({ "id": id, "type": "store.subscribe", "query": stage.name });
            slow.socket.send(subscribe.to_string().into()).map_err(|error| error.to_string())?;
            wire::result_of(slow.text()?.as_bytes(), id)?;
        }
        Ok(slow)
    }

    fn text(&mut self) -> Result<String, String> {
        loop {
            match self.socket.read().map_err(|error| format!("the slow subscriber: {error}"))? {
                Message::Text(text) => return Ok(text.as_str().to_owned()),
                Message::Ping(_) => {
                    self.socket.flush().map_err(|error| format!("the slow subscriber: {error}"))?;
                }
                other => return Err(format!("the slow subscriber was sent {other:?}")),
            }
        }
    }

    /// Reads until every subscription has shown the last write before `next`;
    /// how many bytes of pushes that took.
    fn resume(&mut self, next: u64) -> Result<u64, String> {
        let mut current = 0;
        while current < OWN {
            let text = self.text()?;
            let Some(tick) = wire::number_after(text.as_bytes(), fanout::LABEL) else { continue };
            self.late += text.len() as u64;
            if self.late > LATE_BYTES {
                return Err(format!("the slow subscriber was sent {} bytes", self.late));
            }
            current += usize::from(tick == next);
        }
        Ok(self.late)
    }
}
