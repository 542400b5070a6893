//! An app that does what messages tell it, a server around it on a thread of
//! its own, and a client that speaks bytes.

use noexd::app::{
    App, Asked, Call, CallAnswer, ConnId, Effect, Effects, Flow, HttpAnswer, HttpRequest, Job,
    JobId, JobOutput, Now, Peer, TransportView,
};
use noexd::net::{Counters, Durability, Options, Remote, Transport};
use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// Says `welcome ADDRESS` to newcomers, echoes what it does not understand, and
/// writes down what happens.
#[derive(Default)]
pub struct TestApp {
    pub log: Vec<String>,
    pub open: Vec<ConnId>,
    pub first: Option<ConnId>,
    pub wrote: Vec<(ConnId, usize)>,
    pub deadline: Option<u64>,
    /// What the view said when the deadline was reached: unread input, paused.
    pub seen: Vec<(bool, bool)>,
    pub turns: usize,
    /// No messages are welcome.
    pub full: bool,
    stopping: bool,
    /// Bodies of calls that are not answered.
    calls: HashMap<ConnId, String>,
    jobs: HashMap<JobId, ConnId>,
    next_job: JobId,
    /// What jobs wait for.
    gate: Option<Receiver<()>>,
    effects: Effects,
}

impl TestApp {
    /// Jobs wait until something is sent, or the sender dropped.
    pub fn with_gate(gate: Receiver<()>) -> Self {
        TestApp { gate: Some(gate), ..TestApp::default() }
    }

    pub fn send(&mut self, conn: ConnId, text: &str, needs: u64) {
        self.effects.send(conn, text.as_bytes(), None, b"", needs);
    }

    /// The first part of a shutdown.
    pub fn stop_accepting(&mut self) {
        self.stopping = true;
        self.effects.list.push(Effect::StopAccepting);
    }

    fn job(&mut self, conn: ConnId, run: Box<dyn FnOnce() -> JobOutput + Send>) {
        let id = self.next_job;
        self.next_job += 1;
        self.jobs.insert(id, conn);
        self.effects.list.push(Effect::Job(Job { id, run }));
    }
}

impl App for TestApp {
    fn connected(&mut self, conn: ConnId, peer: &Peer, _now: Now) {
        if self.stopping {
            let (code, reason) = (1001, "server_shutting_down");
            self.effects.list.push(Effect::Close { conn, code, reason });
            return;
        }
        self.first.get_or_insert(conn);
        self.open.push(conn);
        self.send(conn, &format!("welcome {}", peer.address), 0);
    }

    fn message(&mut self, conn: ConnId, text: &str, _now: Now) -> Flow {
        self.log.push(text.to_owned());
        let (verb, rest) = text.split_once(' ').unwrap_or((text, ""));
        match verb {
            "!close" => {
                self.open.retain(|other| *other != conn);
                let (code, reason) = (4001, "heartbeat_timeout");
                self.effects.list.push(Effect::Close { conn, code, reason });
            }
            "!abandon" => {
                self.open.retain(|other| *other != conn);
                let (code, reason) = (1011, "storage_failure");
                self.effects.list.push(Effect::Abandon { conn, code, reason });
            }
            "!job" => {
                let gate = self.gate.take();
                let text = rest.to_owned();
                let run = move || {
                    if let Some(gate) = gate {
                        let _ = gate.recv();
                    }
                    Box::new(text) as JobOutput
                };
                self.job(conn, Box::new(run));
                return Flow::Wait;
            }
            "!panic" => {
                self.job(conn, Box::new(|| panic!("on purpose")));
                return Flow::Wait;
            }
            "!big" => {
                let body: Arc<[u8]> = vec![b'x'; rest.parse().unwrap()].into();
                self.effects.send(conn, b"<", Some(&body), b">", 0);
            }
            "!needs" => {
                let (needs, text) = rest.split_once(' ').unwrap();
                self.send(conn, text, needs.parse().unwrap());
            }
            "!first" => {
                let first = self.first.unwrap();
                self.send(first, rest, 0);
                self.send(conn, "sent", 0);
            }
            _ => self.send(conn, text, 0),
        }
        Flow::Continue
    }

    fn called(&mut self, conn: ConnId, call: Call<'_>, _now: Now) {
        let body = match call.what {
            Asked::Messages(body) => String::from_utf8(body).unwrap(),
            Asked::Events { query, .. } => query.to_owned(),
        };
        self.log.push(format!("call {body}"));
        self.open.push(conn);
        self.calls.insert(conn, body);
    }

    fn go_on(&mut self, conn: ConnId, _now: Now) -> Flow {
        let body = self.calls.get(&conn).cloned().unwrap_or_default();
        let (verb, rest) = body.split_once(' ').unwrap_or((&body, ""));
        let (needs, body) = match verb {
            "!stream" => {
                self.effects.list.push(Effect::Stream { conn });
                self.send(conn, rest, 0);
                return Flow::Continue;
            }
            "!steps" => {
                // One less of them.
                let left: usize = rest.parse().unwrap();
                self.calls.insert(
                    conn,
                    match left {
                        0 => "done".to_owned(),
                        left => format!("!steps {}", left - 1),
                    },
                );
                return Flow::Continue;
            }
            "!close" => {
                self.open.retain(|other| *other != conn);
                let (code, reason) = (1012, "disconnected");
                self.effects.list.push(Effect::Close { conn, code, reason });
                return Flow::Continue;
            }
            "!big" => (0, "x".repeat(rest.parse().unwrap())),
            "!needs" => {
                let (needs, text) = rest.split_once(' ').unwrap();
                (needs.parse().unwrap(), text.to_owned())
            }
            _ => (0, body.clone()),
        };
        self.open.retain(|other| *other != conn);
        let answer = CallAnswer { status: 200, fields: String::new(), body: body.into_bytes() };
        self.effects.list.push(Effect::Answer { conn, answer: Box::new(answer), needs });
        Flow::Continue
    }

    fn closed(&mut self, conn: ConnId, _now: Now) {
        assert!(self.open.contains(&conn), "closed twice, or never connected");
        self.open.retain(|other| *other != conn);
        self.log.push("closed".to_owned());
    }

    fn wrote(&mut self, conn: ConnId, buffered: usize, _now: Now) {
        self.wrote.push((conn, buffered));
    }

    fn next_deadline(&self) -> Option<u64> {
        self.deadline
    }

    fn timers(&mut self, now: Now, view: &dyn TransportView) {
        assert!(self.deadline.take().is_some_and(|deadline| deadline <= now.mono));
        for conn in &self.open {
            self.seen.push((view.has_unread_input(*conn), view.is_read_paused(*conn)));
        }
    }

    fn turn_ended(&mut self, _now: Now) {
        self.turns += 1;
    }

    fn takes_messages(&self) -> bool {
        !self.full
    }

    fn job_done(&mut self, id: JobId, output: Result<JobOutput, String>, _now: Now) {
        let conn = self.jobs.remove(&id).unwrap();
        let text = match output {
            Ok(output) => *output.downcast::<String>().unwrap(),
            Err(panic) => format!("panicked: {panic}"),
        };
        self.send(conn, &text, 0);
        self.effects.list.push(Effect::Resume { conn });
    }

    fn shutdown(&mut self, _grace_ms: u64, _now: Now) {
        if std::mem::replace(&mut self.stopping, true) {
            return;
        }
        self.effects.list.push(Effect::StopAccepting);
        for conn in self.open.drain(..) {
            let (code, reason) = (1000, "server_shutdown");
            self.effects.list.push(Effect::Close { conn, code, reason });
        }
        self.effects.list.push(Effect::Stop);
    }

    fn http(&mut self, request: &HttpRequest<'_>, _now: Now) -> Option<HttpAnswer> {
        let (path, peer) = (request.path, request.address);
        let body = format!("hello {peer}").into_bytes();
        (path == "/page").then_some(HttpAnswer { status: 200, content_type: "text/plain", body })
    }

    fn effects(&mut self) -> &mut Effects {
        &mut self.effects
    }
}

/// A transport on a thread of its own; stops when dropped.
pub struct Server {
    pub address: SocketAddr,
    pub remote: Remote<TestApp>,
    pub durability: Durability,
    pub counters: Arc<Counters>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub fn start(options: Options) -> Server {
        Server::with_app(options, TestApp::default)
    }

    pub fn with_app(options: Options, app: impl FnOnce() -> TestApp + Send + 'static) -> Server {
        let (sender, receiver) = channel();
        let thread = std::thread::spawn(move || {
            let mut transport = Transport::new(options, app()).unwrap();
            let address = transport.listen("127.0.0.1:0".parse().unwrap()).unwrap();
            let parts = (address, transport.remote(), transport.durability(), transport.counters());
            sender.send(parts).unwrap();
            transport.run().unwrap();
        });
        let (address, remote, durability, counters) = receiver.recv().unwrap();
        Server { address, remote, durability, counters, thread: Some(thread) }
    }

    /// Asks the app something, on its own thread.
    pub fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut TestApp) -> T + Send + 'static,
    ) -> T {
        let (sender, receiver) = channel();
        self.remote.run(move |app, _| sender.send(question(app)).unwrap()).unwrap();
        receiver.recv_timeout(PATIENCE).unwrap()
    }

    /// Asks again and again until the answer is yes.
    pub fn wait_until(
        &self,
        what: &str,
        condition: impl Fn(&TestApp) -> bool + Send + Sync + 'static,
    ) {
        let condition = Arc::new(condition);
        for _ in 0..1_000_000 {
            let condition = condition.clone();
            if self.ask(move |app| condition(app)) {
                return;
            }
            std::thread::yield_now();
        }
        panic!("never happened: {what}");
    }

    pub fn wait_until_sockets(&self, count: u64) {
        let counters = self.counters.clone();
        self.wait_until("that many sockets", move |_| counters.sockets.load(Relaxed) == count);
    }

    pub fn connect(&self) -> Client {
        Client::open(self.address, "", "")
    }

    /// A new client is served.
    pub fn assert_alive(&self, after: &str) {
        let mut client = self.connect();
        client.text("alive?");
        assert_eq!(client.frame(), text("alive?"), "after {after}");
    }

    pub fn begin_shutdown(&self) {
        self.remote.run(|app, now| app.shutdown(0, now)).unwrap();
    }

    pub fn join(&mut self) {
        self.thread.take().unwrap().join().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            // Fails if the loop ended by itself; a panic of it is shown below.
            let _ = self.remote.run(|app, now| app.shutdown(0, now));
            let result = thread.join();
            if !std::thread::panicking() {
                result.unwrap();
            }
        }
    }
}

/// How long a test waits for what must come before it calls it missing.
pub const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(u16, String),
    EmptyClose,
    /// The connection ended, properly or by a reset.
    End,
}

pub fn text(text: &str) -> Frame {
    Frame::Text(text.to_owned())
}

pub fn close(code: u16, reason: &str) -> Frame {
    Frame::Close(code, reason.to_owned())
}

/// A masked frame.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [0x12, 0x34, 0x56, 0x78];
    let mut out = vec![first];
    match payload.len() {
        length @ 0..=125 => out.push(0x80 | length as u8),
        length @ 126..=65_535 => {
            out.push(0xfe);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            out.push(0xff);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&mask);
    out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
    out
}

pub fn upgrade_request(path: &str, extra: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{extra}\r\n"
    )
}

pub struct Client {
    pub stream: TcpStream,
    pub welcome: Frame,
    /// The head of the answer to the handshake.
    pub head: String,
}

impl Client {
    /// Connects without a word.
    pub fn dial(address: SocketAddr) -> TcpStream {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Shakes hands with `fields` added to the request and `early` behind it.
    pub fn open(address: SocketAddr, fields: &str, early: &str) -> Client {
        let mut stream = Client::dial(address);
        let mut request = upgrade_request("/", fields).into_bytes();
        if !early.is_empty() {
            request.extend(frame(0x81, early.as_bytes()));
        }
        stream.write_all(&request).unwrap();
        Client::after_request(stream)
    }

    /// Reads the answer to a handshake and the first frame.
    pub fn after_request(mut stream: TcpStream) -> Client {
        let head = read_head(&mut stream);
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        let mut client = Client { stream, welcome: Frame::End, head };
        client.welcome = client.frame();
        client
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    pub fn text(&mut self, text: &str) {
        self.send(&frame(0x81, text.as_bytes()));
    }

    pub fn frame(&mut self) -> Frame {
        let mut head = [0; 2];
        if !read_exact(&mut self.stream, &mut head) {
            return Frame::End;
        }
        assert_eq!(head[1] & 0x80, 0, "a server's frame is not masked");
        let length = match head[1] {
            126 => u64::from(u16::from_be_bytes(self.bytes())),
            127 => u64::from_be_bytes(self.bytes()),
            short => u64::from(short),
        };
        let mut payload = vec![0; length as usize];
        assert!(read_exact(&mut self.stream, &mut payload), "cut off in a frame");
        match head[0] {
            0x81 => Frame::Text(String::from_utf8(payload).unwrap()),
            0x82 => Frame::Binary(payload),
            0x89 => Frame::Ping(payload),
            0x8a => Frame::Pong(payload),
            0x88 if payload.is_empty() => Frame::EmptyClose,
            0x88 => Frame::Close(
                u16::from_be_bytes([payload[0], payload[1]]),
                String::from_utf8(payload[2..].to_vec()).unwrap(),
            ),
            other => panic!("frame of kind {other:#x}"),
        }
    }

    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        assert!(read_exact(&mut self.stream, &mut bytes), "cut off in a header");
        bytes
    }

    /// All frames up to the end.
    pub fn rest(&mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        loop {
            match self.frame() {
                Frame::End => return frames,
                frame => frames.push(frame),
            }
        }
    }

    /// Nothing has arrived at this moment.
    pub fn has_nothing(&self) -> bool {
        self.stream.set_nonblocking(true).unwrap();
        let result = self.stream.peek(&mut [0]);
        self.stream.set_nonblocking(false).unwrap();
        matches!(result, Err(error) if error.kind() == ErrorKind::WouldBlock)
    }

    pub fn finish_writing(&self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }
}

/// False at a clean or unclean end before the first byte.
fn read_exact(stream: &mut TcpStream, buffer: &mut [u8]) -> bool {
    let mut at = 0;
    while at < buffer.len() {
        match stream.read(&mut buffer[at..]) {
            Ok(0) if at == 0 => return false,
            Ok(0) => panic!("cut off after {at} bytes"),
            Ok(count) => at += count,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return false,
            Err(error) => panic!("waiting for {} bytes: {error}", buffer.len()),
        }
    }
    true
}

pub fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if !read_exact(stream, &mut byte) {
            break;
        }
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

/// Everything up to the end.
pub fn read_all(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        Err(error) => panic!("waiting for the end: {error}"),
    }
    String::from_utf8(bytes).unwrap()
}
