//! The connections of the generator: nonblocking sockets on one mio loop. Hands
//! whole messages to a [`Handler`]; knows nothing of what they mean, except
//! that it takes the welcome and answers the server's pings itself, which every
//! client has to.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::wire::{self, Item, Wire, excerpt};

/// One read takes at most this much; a shorter read has emptied the socket.
const READ: usize = 256 << 10;

/// Receives what arrives.
pub trait Handler {
    /// Messages of this connection follow, all read at the same moment.
    fn begin(&mut self, _conn: usize) {}
    /// One message; what is put into `out` is sent when the batch is done.
    fn message(&mut self, conn: usize, message: &[u8], out: &mut Vec<u8>) -> Result<(), String>;
}

#[derive(Debug)]
struct Conn {
    stream: TcpStream,
    wire: Wire,
    /// The beginning of a message whose rest has not arrived.
    partial: Vec<u8>,
    out: Vec<u8>,
    written: usize,
    connected: bool,
    /// The welcome has come, or none is expected.
    ready: bool,
    pings: u32,
}

/// All connections of one benchmark.
#[derive(Debug)]
pub struct Net {
    poll: Poll,
    events: Events,
    conns: Vec<Conn>,
    scratch: Vec<u8>,
    /// Bytes read since the start.
    pub received: u64,
}

impl Net {
    pub fn new() -> Result<Net, String> {
        Ok(Net {
            poll: Poll::new().map_err(|error| format!("epoll: {error}"))?,
            events: Events::with_capacity(1024),
            conns: Vec::new(),
            scratch: vec![0; READ],
            received: 0,
        })
    }

    /// Begins to connect; see [`Net::await_ready`].
    pub fn connect(
        &mut self,
        address: SocketAddr,
        upgrade: Option<&[u8]>,
    ) -> Result<usize, String> {
        let mut stream = TcpStream::connect(address)
            .map_err(|error| format!("connect to {address}: {error}"))?;
        let conn = self.conns.len();
        // Both interests at once: edge-triggered, an idle writable socket costs
        // nothing, and there is never a call to change the registration.
        self.poll
            .registry()
            .register(&mut stream, Token(conn), Interest::READABLE | Interest::WRITABLE)
            .map_err(|error| format!("epoll: {error}"))?;
        self.conns.push(Conn {
            stream,
            wire: if upgrade.is_some() { Wire::web_socket() } else { Wire::Redis },
            partial: Vec::new(),
            out: upgrade.map(<[u8]>::to_vec).unwrap_or_default(),
            written: 0,
            connected: false,
            ready: false,
            pings: 0,
        });
        Ok(conn)
    }

    /// Opens `count` connections, some hundred at a time, and waits until all
    /// are ready.
    pub fn open(
        &mut self,
        count: usize,
        address: SocketAddr,
        upgrade: Option<&[u8]>,
    ) -> Result<std::ops::Range<usize>, String> {
        let first = self.conns.len();
        while self.conns.len() < first + count {
            let batch = (first + count - self.conns.len()).min(200);
            for _ in 0..batch {
                self.connect(address, upgrade)?;
            }
            let waiting = self.conns.len() - batch;
            self.until(Duration::from_secs(30), &mut Unexpected, |net| {
                net.conns[waiting..].iter().all(|conn| conn.ready)
            })
            .map_err(|error| {
                let open = self.conns.iter().filter(|conn| conn.ready).count();
                format!("{open} connections are open, then: {error}")
            })?;
        }
        Ok(first..first + count)
    }

    /// How many of these connections have been pinged and have answered.
    pub fn pinged(&self, conns: std::ops::Range<usize>) -> usize {
        self.conns[conns].iter().filter(|conn| conn.pings > 0).count()
    }

    /// Bytes to be sent with the next [`Net::flush`].
    pub fn out(&mut self, conn: usize) -> &mut Vec<u8> {
        &mut self.conns[conn].out
    }

    /// Writes what the socket takes; the rest follows when it is writable.
    pub fn flush(&mut self, conn: usize) -> Result<(), String> {
        self.conns[conn].flush()
    }

    /// Turns until `done`, or fails after `limit` without it.
    pub fn until(
        &mut self,
        limit: Duration,
        handler: &mut impl Handler,
        mut done: impl FnMut(&Net) -> bool,
    ) -> Result<(), String> {
        let deadline = Instant::now() + limit;
        while !done(self) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(format!("nothing more came within {} s", limit.as_secs()));
            }
            self.turn(left, handler)?;
        }
        Ok(())
    }

    /// Waits for events, at most `timeout`, and handles them.
    pub fn turn(&mut self, timeout: Duration, handler: &mut impl Handler) -> Result<(), String> {
        match self.poll.poll(&mut self.events, Some(timeout)) {
            Err(error) if error.kind() != ErrorKind::Interrupted => {
                return Err(format!("epoll: {error}"));
            }
            _ => {}
        }
        for event in &self.events {
            let Token(number) = event.token();
            let conn = &mut self.conns[number];
            conn.ready(event, number, &mut self.scratch, &mut self.received, handler)?;
        }
        Ok(())
    }
}

impl Conn {
    fn ready(
        &mut self,
        event: &Event,
        number: usize,
        scratch: &mut [u8],
        received: &mut u64,
        handler: &mut impl Handler,
    ) -> Result<(), String> {
        if !self.connected {
            if let Ok(Some(error)) | Err(error) = self.stream.take_error() {
                return Err(format!("connect: {error}"));
            }
            if !event.is_writable() {
                return Ok(());
            }
            self.connected = true;
            self.stream.set_nodelay(true).map_err(|error| format!("TCP_NODELAY: {error}"))?;
            self.ready = matches!(self.wire, Wire::Redis);
        }
        if event.is_readable() || event.is_read_closed() {
            handler.begin(number);
            self.read(number, scratch, received, handler)?;
        }
        self.flush()
    }

    fn read(
        &mut self,
        number: usize,
        scratch: &mut [u8],
        received: &mut u64,
        handler: &mut impl Handler,
    ) -> Result<(), String> {
        loop {
            let size = match self.stream.read(scratch) {
                Ok(0) => return Err("the server cut the connection".into()),
                Ok(size) => size,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(format!("read: {error}")),
            };
            *received += size as u64;
            if self.partial.is_empty() {
                let used = self.parse(number, &scratch[..size], handler)?;
                self.partial.extend_from_slice(&scratch[used..size]);
            } else {
                let mut input = std::mem::take(&mut self.partial);
                input.extend_from_slice(&scratch[..size]);
                let used = self.parse(number, &input, handler)?;
                input.drain(..used);
                self.partial = input;
            }
            // The socket is empty; the next byte is a new edge.
            if size < scratch.len() {
                return Ok(());
            }
        }
    }

    /// Hands out the whole messages in `input` and returns their length.
    fn parse(
        &mut self,
        number: usize,
        input: &[u8],
        handler: &mut impl Handler,
    ) -> Result<usize, String> {
        let mut used = 0;
        while let Some((item, length)) = self.wire.next(&input[used..])? {
            let rest = &input[used..];
            used += length;
            match item {
                Item::Open | Item::Nothing => {}
                Item::Message(place) => self.message(number, &rest[place], handler)?,
                Item::Assembled => {
                    let whole = self.wire.take_fragments();
                    self.message(number, &whole, handler)?;
                }
                Item::Ping(place) => wire::put_frame(&mut self.out, 10, &rest[place]),
            }
        }
        Ok(used)
    }

    fn message(
        &mut self,
        number: usize,
        message: &[u8],
        handler: &mut impl Handler,
    ) -> Result<(), String> {
        if matches!(self.wire, Wire::WebSocket { .. }) && self.housekeeping(message)? {
            return Ok(());
        }
        handler.message(number, message, &mut self.out)
    }

    /// Whether the message was one that every client handles alike.
    fn housekeeping(&mut self, message: &[u8]) -> Result<bool, String> {
        if !self.ready {
            if wire::find(message, br#""type":"welcome""#).is_none() {
                return Err(format!("no welcome, but {}", excerpt(message)));
            }
            self.ready = true;
            return Ok(true);
        }
        if message.starts_with(br#"{"type":"ping""#) {
            let time = wire::number_after(message, br#""timestamp":"#)
                .ok_or_else(|| format!("a ping without a time: {}", excerpt(message)))?;
            let pong = format!(r#"{{"type":"pong","timestamp":{time}}}"#);
            wire::put_text(&mut self.out, pong.as_bytes());
            self.pings += 1;
            return Ok(true);
        }
        if message.starts_with(br#"{"type":"system""#) {
            return Err(format!("unexpected: {}", excerpt(message)));
        }
        Ok(false)
    }

    fn flush(&mut self) -> Result<(), String> {
        while self.connected && self.written < self.out.len() {
            match self.stream.write(&self.out[self.written..]) {
                Ok(size) => self.written += size,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(format!("write: {error}")),
            }
        }
        if self.connected {
            self.out.clear();
            self.written = 0;
        }
        Ok(())
    }
}

/// For times at which the server has nothing to say.
#[derive(Debug)]
pub struct Unexpected;

impl Handler for Unexpected {
    fn message(&mut self, _: usize, message: &[u8], _: &mut Vec<u8>) -> Result<(), String> {
        Err(format!("unexpected: {}", excerpt(message)))
    }
}
