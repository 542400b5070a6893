//! One connection to a server: requests are sent by whoever has the client, all
//! that comes is read by a thread of its own.

use std::fmt::Write as _;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tungstenite::handshake::HandshakeError;
use tungstenite::protocol::{Role, WebSocket, WebSocketConfig, WebSocketContext};
use tungstenite::{ClientRequestBuilder, Message};

use super::Failure;
use super::Place;
use super::target::Target;
use super::wire::Wire;
use crate::json::{self, Json, Object, Raw};
use crate::net::tls::{self, Trust};

/// For each step until the server has said welcome.
const PATIENCE: Duration = Duration::from_secs(10);

/// Deepest nesting of what a server may say.
pub(super) const MAX_DEPTH: u32 = 4096;

/// What comes from the server.
#[derive(Clone, Copy, Debug)]
pub(super) enum Incoming<'a> {
    /// The answer to the request with this id, as the server wrote it.
    Answer { id: &'a str, text: &'a str },
    /// A push, or what the server says of itself.
    Push(&'a str),
    /// Nothing more comes, and why.
    Ended(&'a str),
}

/// What an answer says.
#[derive(Debug, PartialEq)]
pub(super) enum Answer {
    Data(Json),
    Error { code: String, message: String },
}

/// An answer, as the server wrote it.
#[derive(Debug)]
pub(super) struct Text(pub String);

impl Text {
    pub fn outcome(&self) -> Answer {
        let message = parse(&self.0).map(Raw::to_json).unwrap_or_default();
        let text =
            |name: &str| message.get(name).and_then(Json::as_str).unwrap_or_default().to_owned();
        match text("type").as_str() {
            "error" => Answer::Error { code: text("code"), message: text("message") },
            _ => Answer::Data(message.get("data").cloned().unwrap_or_default()),
        }
    }

    /// The data; what else is said is an error.
    pub fn data(&self) -> Result<Json, Failure> {
        match self.outcome() {
            Answer::Data(data) => Ok(data),
            Answer::Error { code, message } => Err(Failure::Refused(format!("{code}: {message}"))),
        }
    }
}

pub(super) fn parse(text: &str) -> Option<Raw<'_>> {
    json::parse(text, MAX_DEPTH).ok()
}

#[derive(Debug)]
enum Event {
    Welcome(Json),
    /// The text of the id, and the answer's.
    Answer(String, String),
    Ended(String),
}

struct Writer {
    context: WebSocketContext,
    wire: Wire,
}

impl Writer {
    fn send(&mut self, message: Message) -> tungstenite::Result<()> {
        self.context.write(&mut self.wire, message)?;
        self.context.flush(&mut self.wire)
    }
}

/// See the module. Dropping it closes the connection.
pub(super) struct Client {
    writer: Arc<Mutex<Writer>>,
    events: Receiver<Event>,
    reading: Option<JoinHandle<()>>,
    next: u64,
    ended: Option<String>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("next", &self.next).field("ended", &self.ended).finish()
    }
}

impl Client {
    pub fn connect(
        target: &Target,
        trust: &Trust,
        agent: &str,
        handler: impl FnMut(Incoming<'_>) + Send + 'static,
    ) -> io::Result<Client> {
        let socket = target.place.connect(PATIENCE)?;
        let tls = match &target.place {
            Place::Network { host, .. } if target.tls => {
                let shaken = tls::Client::connect(host, trust, &mut Blocking(&socket))?;
                Some(shaken)
            }
            _ => None,
        };
        let wire = Wire::new(socket, tls);
        let writer = wire.writer();
        let reader = upgrade(target, agent, wire)?;
        // From now on nobody knows when the next message comes.
        reader.get_ref().socket().set_patience(None)?;
        let config = WebSocketConfig::default();
        let context = WebSocketContext::new(Role::Client, Some(config));
        let writer = Arc::new(Mutex::new(Writer { context, wire: writer }));
        let (sender, events) = channel();
        let mut reading = Reading { reader, writer: Arc::clone(&writer), sender, handler };
        let reading =
            std::thread::Builder::new().name("reader".into()).spawn(move || reading.run())?;
        Ok(Client { writer, events, reading: Some(reading), next: 0, ended: None })
    }

    /// What the server says first.
    pub fn welcome(&mut self) -> Result<Json, Failure> {
        match self.events.recv_timeout(PATIENCE) {
            Ok(Event::Welcome(welcome)) => Ok(welcome),
            Ok(Event::Answer(..)) => {
                Err(Failure::Unreachable("the server did not say welcome".into()))
            }
            Ok(Event::Ended(reason)) => Err(self.end(reason)),
            Err(_) => Err(Failure::Unreachable("the server did not say welcome in time".into())),
        }
    }

    fn end(&mut self, reason: String) -> Failure {
        self.ended.get_or_insert(reason.clone());
        Failure::Unreachable(reason)
    }

    /// Whether somebody has been told that the connection has ended.
    pub fn is_over(&self) -> bool {
        self.ended.is_some()
    }

    /// Whether it is known that the connection has ended.
    pub fn has_ended(&mut self) -> bool {
        while let Ok(event) = self.events.try_recv() {
            if let Event::Ended(reason) = event {
                self.ended = Some(reason);
            }
        }
        self.ended.is_some()
    }

    /// An id that no request of this connection has had.
    pub fn new_id(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Sends a request and waits for its answer.
    pub fn call(&mut self, (operation, fields): (&str, Object)) -> Result<Text, Failure> {
        self.call_within((operation, fields), None)
    }

    /// As [`Client::call`]; an answer that takes longer than `most` is one from
    /// a server that is out of reach.
    pub fn call_within(
        &mut self,
        (operation, fields): (&str, Object),
        most: Option<Duration>,
    ) -> Result<Text, Failure> {
        let id = self.new_id();
        self.send(&request(id, operation, &fields))?;
        self.wait(&[&id.to_string()], most)
    }

    pub fn send(&mut self, text: &str) -> Result<(), Failure> {
        if let Some(reason) = &self.ended {
            return Err(Failure::Unreachable(reason.clone()));
        }
        let message = Message::text(text);
        let sent = self.writer.lock().unwrap_or_else(PoisonError::into_inner).send(message);
        sent.map_err(|error| self.end(format!("the connection is lost: {error}")))
    }

    /// Waits for the answer with one of these ids. Answers that nobody waited
    /// for any more are thrown away.
    pub fn wait(&mut self, ids: &[&str], most: Option<Duration>) -> Result<Text, Failure> {
        let begun = Instant::now();
        loop {
            let event = match most {
                None => self.events.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(most) => self.events.recv_timeout(most.saturating_sub(begun.elapsed())),
            };
            match event {
                Ok(Event::Answer(of, text)) if ids.contains(&&*of) => return Ok(Text(text)),
                Ok(Event::Answer(..) | Event::Welcome(_)) => {}
                Ok(Event::Ended(reason)) => return Err(self.end(reason)),
                Err(RecvTimeoutError::Timeout) => {
                    return Err(Failure::Unreachable("no answer in time".into()));
                }
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(self.end("the connection is lost".into()));
                }
            }
        }
    }

    /// Waits until the connection ends, and why it did.
    pub fn until_end(&mut self) -> String {
        if let Some(reason) = &self.ended {
            return reason.clone();
        }
        loop {
            match self.events.recv() {
                Ok(Event::Ended(reason)) => return reason,
                Ok(_) => {}
                Err(_) => return "the connection is lost".into(),
            }
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        {
            let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
            let patience = writer.wire.socket().set_patience(Some(Duration::from_secs(1)));
            // The peer may be gone; then nobody has to be told.
            if patience.is_ok() {
                let _ = writer.send(Message::Close(None));
            }
            let _ = writer.wire.socket().shut_down();
        }
        if let Some(reading) = self.reading.take() {
            let _ = reading.join();
        }
    }
}

/// A request as text.
pub(super) fn request(id: u64, operation: &str, fields: &Object) -> String {
    let mut text = format!("{{\"id\":{id},\"type\":{}", Json::from(operation));
    for (name, value) in fields.iter() {
        let mut out = Vec::new();
        value.write_lossless(&mut out);
        let value = String::from_utf8(out).unwrap_or_default();
        let _ = write!(text, ",{}:{value}", Json::from(name));
    }
    text.push('}');
    text
}

/// For the handshake, which reads and writes by itself.
pub(super) struct Blocking<'a>(pub &'a super::Socket);

impl io::Read for Blocking<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl io::Write for Blocking<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn upgrade(target: &Target, agent: &str, wire: Wire) -> io::Result<WebSocket<Wire>> {
    let broken = |reason: String| io::Error::new(io::ErrorKind::InvalidData, reason);
    let url = target.http_url().parse().map_err(|_| broken("this is no URL".into()))?;
    let request = ClientRequestBuilder::new(url)
        .with_header("User-Agent", format!("{agent}/{}", env!("CARGO_PKG_VERSION")));
    // How long an answer may be is the server's affair.
    let config = WebSocketConfig::default().max_message_size(None).max_frame_size(None);
    match tungstenite::client::client_with_config(request, wire, Some(config)) {
        Ok((socket, _)) => Ok(socket),
        Err(HandshakeError::Interrupted(_)) => Err(io::ErrorKind::TimedOut.into()),
        Err(HandshakeError::Failure(tungstenite::Error::Io(error))) => Err(error),
        Err(HandshakeError::Failure(tungstenite::Error::Http(answer))) => {
            let body = answer.body().as_deref().unwrap_or_default();
            let body = String::from_utf8_lossy(body);
            Err(broken(format!("{} {}", answer.status().as_u16(), body.trim())))
        }
        Err(HandshakeError::Failure(error)) => Err(broken(error.to_string())),
    }
}

/// The thread that reads.
struct Reading<H> {
    reader: WebSocket<Wire>,
    writer: Arc<Mutex<Writer>>,
    sender: Sender<Event>,
    handler: H,
}

impl<H: FnMut(Incoming<'_>)> Reading<H> {
    fn run(&mut self) {
        let reason = self.read();
        (self.handler)(Incoming::Ended(&reason));
        self.tell(Event::Ended(reason));
    }

    fn tell(&self, event: Event) {
        // Without anybody who waits the answer is of no use.
        let _ = self.sender.send(event);
    }

    /// Until nothing more comes, and why.
    fn read(&mut self) -> String {
        let mut reason = None;
        loop {
            match self.reader.read() {
                Ok(Message::Text(text)) => {
                    if let Err(error) = self.message(&text) {
                        return format!("the connection is lost: {error}");
                    }
                }
                Ok(Message::Close(frame)) => {
                    reason = Some(frame.map_or_else(
                        || "the server has closed the connection".to_owned(),
                        |frame| {
                            let code = u16::from(frame.code);
                            format!("the server has closed the connection: {code} {}", frame.reason)
                        },
                    ));
                }
                Ok(_) => {}
                Err(error) => {
                    return reason.unwrap_or_else(|| format!("the connection is lost: {error}"));
                }
            }
        }
    }

    fn message(&mut self, text: &str) -> tungstenite::Result<()> {
        let Some(message) = parse(text) else { return Ok(()) };
        let kind = message.get("type").and_then(Raw::as_str).unwrap_or_default();
        match &*kind {
            "ping" => {
                let at = message.get("timestamp").map_or("null", Raw::text);
                let pong = format!("{{\"type\":\"pong\",\"timestamp\":{at}}}");
                return self
                    .writer
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .send(Message::text(pong));
            }
            "welcome" => self.tell(Event::Welcome(message.to_json())),
            "result" | "error" => {
                let id = message.get("id").map_or("null", Raw::text);
                (self.handler)(Incoming::Answer { id, text });
                self.tell(Event::Answer(id.to_owned(), text.to_owned()));
            }
            _ => (self.handler)(Incoming::Push(text)),
        }
        Ok(())
    }
}
