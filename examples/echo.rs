//! An echo server on the real transport, for the test suites of the WebSocket
//! protocol (`tests/autobahn`) and for measuring the transport by itself.
//!
//! Usage: `echo [ADDRESS [CERT KEY]]` (default `127.0.0.1:0`); prints the URL it
//! listens on, and with a certificate and its key, which needs the feature `tls`, a
//! second one for TLS.

use noexd::app::{
    App, ConnId, Effect, Effects, Flow, HttpAnswer, HttpRequest, JobId, JobOutput, Now, Peer,
    TransportView,
};
use noexd::net::tls::Files;
use noexd::net::{Listening, Loaded, Options, Terms, Transport, raise_open_files_limit};
use std::io::Write;
use std::net::SocketAddr;

#[derive(Default)]
struct Echo {
    open: Vec<ConnId>,
    effects: Effects,
}

impl App for Echo {
    fn connected(&mut self, conn: ConnId, _peer: &Peer, _now: Now) {
        self.open.push(conn);
    }

    fn message(&mut self, conn: ConnId, text: &str, _now: Now) -> Flow {
        self.effects.send(conn, text.as_bytes(), None, b"", 0);
        Flow::Continue
    }

    fn closed(&mut self, conn: ConnId, _now: Now) {
        self.open.retain(|other| *other != conn);
    }

    fn wrote(&mut self, _conn: ConnId, _buffered: usize, _now: Now) {}

    fn next_deadline(&self) -> Option<u64> {
        None
    }

    fn timers(&mut self, _now: Now, _view: &dyn TransportView) {}

    fn job_done(&mut self, _id: JobId, _output: Result<JobOutput, String>, _now: Now) {}

    fn shutdown(&mut self, _grace_ms: u64, _now: Now) {
        let closes = self.open.drain(..).map(|conn| Effect::Close {
            conn,
            code: 1000,
            reason: "server_shutdown",
        });
        self.effects.list.push(Effect::StopAccepting);
        self.effects.list.extend(closes);
        self.effects.list.push(Effect::Stop);
    }

    fn http(&mut self, _request: &HttpRequest<'_>, _now: Now) -> Option<HttpAnswer> {
        None
    }

    fn effects(&mut self) -> &mut Effects {
        &mut self.effects
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    env_logger::init();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let address: SocketAddr = arguments.first().map_or("127.0.0.1:0", String::as_str).parse()?;
    raise_open_files_limit()?;
    let options = Options {
        // The suites send messages of 16 MiB.
        max_payload_bytes: 64 << 20,
        max_buffered_bytes: 64 << 20,
        binary: Some(<[u8]>::to_vec),
        ..Options::default()
    };
    let mut transport = Transport::new(options, Echo::default())?;
    let address = transport.listen(address)?;
    transport.handle_signals(0, |_, _| {})?;
    println!("listening on ws://{address}/");
    if let [_, cert, key] = arguments.as_slice() {
        let (cert, key) = (cert.into(), key.into());
        let files = Files { cert, key, client_ca: None, only_1_3: false };
        let loaded = Loaded::from(files).map_err(|bad| format!("{}: {}", bad.key, bad.reason))?;
        transport.certify(loaded);
        let socket = Listening::bind(SocketAddr::new(address.ip(), 0))?;
        let address = socket.address().ok_or("no address")?;
        transport.take_over(socket, Terms { tls: true, ..Terms::default() })?;
        println!("listening on wss://{address}/");
    }
    std::io::stdout().flush()?;
    transport.run()?;
    Ok(())
}
