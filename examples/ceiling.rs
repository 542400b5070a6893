//! What the machine could do: a server of one thread over mio that speaks the
//! frames of the protocol and answers every request with a text of the right
//! length that it has ready. It parses no JSON, keeps no data and checks
//! nothing, so a real server can come near it and never below it.
//!
//!     ceiling [ADDRESS]
//!
//! Prints its address. For `scripts/bench --table`; not a server to be used.

#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::io::{Read as _, Write as _};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use tungstenite::handshake::derive_accept_key;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const LISTENER: Token = Token(usize::MAX);

/// As long as a record of the generator with its metadata.
const RECORD: &str = r#"{"id":"r00000001","tick":0,"town":"town-1","open":false,"score":1,"note":"forty characters that nobody looks at....","_version":1,"_createdAt":1800000000000,"_updatedAt":1800000000000}"#;

struct Peer {
    socket: TcpStream,
    is_open: bool,
    input: Vec<u8>,
    output: Vec<u8>,
    waits_for_room: bool,
}

/// What a subscriber is pushed: told apart by the name of the query.
#[derive(Clone, Copy, PartialEq)]
enum Shown {
    Row,
    TopTen,
    Number,
}

struct Server {
    poll: Poll,
    peers: HashMap<usize, Peer>,
    subscribers: Vec<(usize, Shown)>,
    ten: String,
    next: usize,
}

fn main() -> Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".into());
    let mut listener = TcpListener::bind(address.parse()?)?;
    let poll = Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    println!("ws://{}/", listener.local_addr()?);
    std::io::stdout().flush()?;
    let ten = [RECORD; 10].join(",");
    let mut server = Server { poll, peers: HashMap::new(), subscribers: Vec::new(), ten, next: 0 };
    let mut events = Events::with_capacity(1024);
    loop {
        server.poll.poll(&mut events, None)?;
        for event in &events {
            match event.token() {
                LISTENER => server.accept(&listener)?,
                Token(at) => server.serve(at, event.is_readable())?,
            }
        }
        server.flush_all()?;
    }
}

impl Server {
    fn accept(&mut self, listener: &TcpListener) -> Result<()> {
        loop {
            let mut socket = match listener.accept() {
                Ok((socket, _)) => socket,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            socket.set_nodelay(true)?;
            let at = self.next;
            self.next += 1;
            self.poll.registry().register(
                &mut socket,
                Token(at),
                Interest::READABLE | Interest::WRITABLE,
            )?;
            let peer = Peer {
                socket,
                is_open: false,
                input: Vec::new(),
                output: Vec::new(),
                waits_for_room: false,
            };
            self.peers.insert(at, peer);
        }
    }

    fn serve(&mut self, at: usize, is_readable: bool) -> Result<()> {
        let Some(mut peer) = self.peers.remove(&at) else { return Ok(()) };
        peer.waits_for_room = false;
        if is_readable && !self.read(at, &mut peer)? {
            self.subscribers.retain(|(conn, _)| *conn != at);
            return Ok(());
        }
        self.peers.insert(at, peer);
        Ok(())
    }

    /// False: it has gone.
    fn read(&mut self, at: usize, peer: &mut Peer) -> Result<bool> {
        let mut buffer = [0; 64 * 1024];
        loop {
            match peer.socket.read(&mut buffer) {
                Ok(0) => return Ok(false),
                Ok(length) => peer.input.extend_from_slice(&buffer[..length]),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                Err(_) => return Ok(false),
            }
        }
        let mut input = std::mem::take(&mut peer.input);
        let mut used = 0;
        if !peer.is_open {
            let Some(end) = input.windows(4).position(|four| four == b"\r\n\r\n") else {
                peer.input = input;
                return Ok(true);
            };
            upgrade(&input[..end], &mut peer.output)?;
            peer.is_open = true;
            used = end + 4;
        }
        while let Some((opcode, text, length)) = unmask(&mut input[used..]) {
            let text = used + text.start..used + text.end;
            match opcode {
                1 => self.answer(at, &input[text], &mut peer.output)?,
                8 => return Ok(false),
                _ => {}
            }
            used += length;
        }
        input.drain(..used);
        peer.input = input;
        Ok(true)
    }

    fn answer(&mut self, at: usize, request: &[u8], out: &mut Vec<u8>) -> Result<()> {
        // The generator writes the id first, but for what is asked only once.
        let behind = |label: &[u8]| {
            let place = request.windows(label.len()).rposition(|part| part == label);
            &request[place.map_or(request.len(), |place| place + label.len())..]
        };
        let id = digits(request.strip_prefix(br#"{"id":"#).unwrap_or_else(|| behind(br#""id":"#)));
        let rest = request.get(6 + id.len()..).unwrap_or_default();
        let rest = rest.strip_prefix(br#","type":"store."#);
        let rest = rest.unwrap_or_else(|| behind(br#""type":"store."#));
        let ten = &self.ten;
        match rest.first() {
            // get, insert, update
            Some(b'g' | b'i' | b'u') => result(out, id, &[RECORD.as_bytes()]),
            Some(b'w') => result(out, id, &[b"[", ten.as_bytes(), b"]"]),
            Some(b's') => {
                let shown = shown(rest);
                self.subscribers.push((at, shown));
                let sub = format!(r#"{{"subscriptionId":"sub-{at}","data":"#);
                match shown {
                    Shown::Row => {
                        result(out, id, &[sub.as_bytes(), b"[", RECORD.as_bytes(), b"]}"])
                    }
                    Shown::TopTen => {
                        result(out, id, &[sub.as_bytes(), b"[", ten.as_bytes(), b"]}"])
                    }
                    Shown::Number => result(out, id, &[sub.as_bytes(), b"1000000}"]),
                }
            }
            // Definitions, of which only that they are there matters.
            _ => result(out, id, &[br#"{"name":"x","created":true}"#]),
        }
        if rest.first() == Some(&b'u') && !self.subscribers.is_empty() {
            self.push_all(request)?;
        }
        Ok(())
    }

    /// A push to every subscriber, with the number that the write has set.
    fn push_all(&mut self, request: &[u8]) -> Result<()> {
        let label = br#""tick":"#;
        let place = request.windows(label.len()).position(|part| part == label);
        let tick = digits(&request[place.map_or(request.len(), |place| place + label.len())..]);
        let (head, tail) = RECORD.split_once("0,").ok_or("no tick in the record")?;
        let (first, rest) = (head.as_bytes(), tail.as_bytes());
        let row = [b"[", first, tick, b",", rest].concat();
        let ten = &self.ten.as_bytes()[RECORD.len()..];
        let number: u64 = std::str::from_utf8(tick)?.parse().unwrap_or(0);
        let number = format!("{}", 1_000_000 + number).into_bytes();
        for (conn, shown) in &self.subscribers {
            let Some(peer) = self.peers.get_mut(conn) else { continue };
            let head = format!(
                r#"{{"type":"push","channel":"subscription","subscriptionId":"sub-{conn}","data":"#
            );
            let parts: &[&[u8]] = match shown {
                Shown::Row => &[head.as_bytes(), &row, b"]}"],
                Shown::TopTen => &[head.as_bytes(), &row, ten, b"]}"],
                Shown::Number => &[head.as_bytes(), &number, b"}"],
            };
            frame(&mut peer.output, parts);
        }
        Ok(())
    }

    fn flush_all(&mut self) -> Result<()> {
        let mut gone = Vec::new();
        for (at, peer) in &mut self.peers {
            while !peer.output.is_empty() && !peer.waits_for_room {
                match peer.socket.write(&peer.output) {
                    Ok(written) => {
                        peer.output.drain(..written);
                    }
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                        peer.waits_for_room = true;
                    }
                    Err(_) => {
                        gone.push(*at);
                        break;
                    }
                }
            }
        }
        for at in gone {
            self.peers.remove(&at);
            self.subscribers.retain(|(conn, _)| *conn != at);
        }
        Ok(())
    }
}

fn shown(request: &[u8]) -> Shown {
    let has = |name: &[u8]| request.windows(name.len()).any(|part| part == name);
    match () {
        () if has(b"bench-push-ten") => Shown::TopTen,
        () if has(b"bench-push-max") => Shown::Number,
        () => Shown::Row,
    }
}

fn digits(text: &[u8]) -> &[u8] {
    let length = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    &text[..length]
}

fn result(out: &mut Vec<u8>, id: &[u8], data: &[&[u8]]) {
    let mut parts: Vec<&[u8]> = vec![br#"{"id":"#, id, br#","type":"result","data":"#];
    parts.extend_from_slice(data);
    parts.push(b"}");
    frame(out, &parts);
}

fn frame(out: &mut Vec<u8>, parts: &[&[u8]]) {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    out.push(0x81);
    match length {
        0..=125 => out.push(length as u8),
        126..=0xffff => {
            out.push(126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            out.push(127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    for part in parts {
        out.extend_from_slice(part);
    }
}

fn upgrade(head: &[u8], out: &mut Vec<u8>) -> Result<()> {
    let head = std::str::from_utf8(head)?;
    let key = head
        .lines()
        .filter_map(|line| line.split_once(": "))
        .find(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key"))
        .ok_or("no key")?;
    let accept = derive_accept_key(key.1.as_bytes());
    out.extend_from_slice(
        format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {accept}\r\n\r\n"
        )
        .as_bytes(),
    );
    frame(out, &[br#"{"type":"welcome","version":"1.0.0","serverTime":1,"requiresAuth":false}"#]);
    Ok(())
}

/// The frame at the front, unmasked in its place: its opcode, where its text is,
/// its whole length.
fn unmask(input: &mut [u8]) -> Option<(u8, std::ops::Range<usize>, usize)> {
    let (opcode, short) = (*input.first()? & 15, *input.get(1)? & 127);
    let (at, length) = match short {
        126 => (4, usize::from(u16::from_be_bytes(input.get(2..4)?.try_into().ok()?))),
        127 => (10, usize::try_from(u64::from_be_bytes(input.get(2..10)?.try_into().ok()?)).ok()?),
        short => (2, usize::from(short)),
    };
    let mask: [u8; 4] = input.get(at..at + 4)?.try_into().ok()?;
    let text = at + 4..at + 4 + length;
    let payload = input.get_mut(text.clone())?;
    let wide = u32::from_ne_bytes(mask);
    let wide = u64::from(wide) << 32 | u64::from(wide);
    let (words, rest) = payload.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
    Some((opcode, text.clone(), text.end))
}
