//! Listeners and the first moments of a socket.

use super::entry::Entry;
use super::http::{Method, Refusal};
use super::limits::{ACCEPT_PAUSE_MS, ACCEPTS_PER_TURN, SOCKETS_BEYOND_MAXIMUM};
use super::transport::{FIRST_LISTENER, Transport};
use crate::app::{App, ConnId};
use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::sync::atomic::Ordering::Relaxed;

/// `errno` of a process without a free descriptor, and of such a system; the
/// same on every Unix.
const EMFILE: i32 = 24;
const ENFILE: i32 = 23;

/// Given up to accept one more socket, only to close it: a peer that is let go
/// knows where it stands, one that is left in the backlog does not.
fn spare() -> io::Result<UnixDatagram> {
    // Not a file: an empty root has none.
    UnixDatagram::unbound()
}

pub(super) struct Accepting {
    listeners: Vec<Listener>,
    spare: Option<UnixDatagram>,
    /// Nothing is accepted before this time.
    pub paused_until: Option<u64>,
    /// The shortage of descriptors that lasts has been logged.
    is_short: bool,
}

struct Listener {
    /// Its number; tokens count down with it.
    number: usize,
    socket: TcpListener,
    ready: bool,
    /// For metrics and probes alone, to the end.
    is_apart: bool,
}

/// A socket, its peer, and whether it came to a listener that is apart.
type Accepted = (TcpStream, SocketAddr, bool);

impl Accepting {
    pub fn new() -> io::Result<Self> {
        let spare = Some(spare()?);
        Ok(Accepting { listeners: Vec::new(), spare, paused_until: None, is_short: false })
    }

    pub fn listen(
        &mut self,
        registry: &Registry,
        address: SocketAddr,
        is_apart: bool,
    ) -> io::Result<SocketAddr> {
        let mut socket = TcpListener::bind(address)?;
        let actual = socket.local_addr()?;
        let number = self.listeners.last().map_or(0, |last| last.number + 1);
        registry.register(&mut socket, Token(FIRST_LISTENER - number), Interest::READABLE)?;
        self.listeners.push(Listener { number, socket, ready: false, is_apart });
        Ok(actual)
    }

    /// Whether this is the token of a listener; it is ready then.
    pub fn mark_ready(&mut self, token: Token) -> bool {
        let number = FIRST_LISTENER.checked_sub(token.0);
        match self.listeners.iter_mut().find(|listener| Some(listener.number) == number) {
            Some(listener) => {
                listener.ready = true;
                true
            }
            None => false,
        }
    }

    pub fn has_work(&self) -> bool {
        self.paused_until.is_none() && self.listeners.iter().any(|listener| listener.ready)
    }

    /// Refuses new connections from now on; whoever watches goes on watching.
    pub fn close(&mut self) {
        self.listeners.retain(|listener| listener.is_apart);
        self.paused_until = None;
    }

    /// The next socket of any listener.
    fn next(&mut self, now: u64) -> Option<Accepted> {
        loop {
            let listener = self.listeners.iter_mut().find(|listener| listener.ready)?;
            match listener.socket.accept() {
                Ok((stream, peer)) => {
                    let accepted = (stream, peer, listener.is_apart);
                    if std::mem::take(&mut self.is_short) {
                        log::warn!("connections are accepted again");
                        self.spare = self.spare.take().or_else(|| spare().ok());
                    }
                    return Some(accepted);
                }
                Err(error) => match (error.kind(), error.raw_os_error()) {
                    (io::ErrorKind::WouldBlock, _) => listener.ready = false,
                    // The peer was gone before we came.
                    (io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted, _) => {}
                    (_, code) => {
                        let is_short = matches!(code, Some(EMFILE | ENFILE));
                        if let Some(accepted) = is_short.then(|| self.use_spare()).flatten() {
                            return Some(accepted);
                        }
                        if !std::mem::replace(&mut self.is_short, true) {
                            log::error!("cannot accept connections: {error}; trying again");
                        }
                        self.paused_until = Some(now + ACCEPT_PAUSE_MS);
                        return None;
                    }
                },
            }
        }
    }

    /// Accepts one socket in place of the spare descriptor. It is kept if there
    /// is another descriptor by now: the shortage may have passed, and it shows
    /// even when nobody waits to be accepted.
    fn use_spare(&mut self) -> Option<Accepted> {
        self.spare = None;
        let accepted = self.listeners.iter().find_map(|listener| {
            let (stream, peer) = listener.socket.accept().ok()?;
            Some((stream, peer, listener.is_apart))
        });
        self.spare = spare().ok();
        if self.spare.is_none()
            && let Some((socket, peer, _)) = accepted
        {
            log::debug!("no descriptor for {peer}");
            drop(socket);
            self.spare = spare().ok();
            return None;
        }
        accepted
    }
}

impl<A: App + 'static> Transport<A> {
    pub(super) fn accept(&mut self) {
        if self.accepting.paused_until.is_some_and(|until| until <= self.now.mono) {
            self.accepting.paused_until = None;
        }
        if self.accepting.paused_until.is_some() {
            return;
        }
        for _ in 0..ACCEPTS_PER_TURN {
            let Some(accepted) = self.accepting.next(self.now.mono) else { return };
            let peer = accepted.1;
            if let Err(error) = self.take_in(accepted) {
                log::debug!("{peer}: {error}");
            }
        }
    }

    fn take_in(&mut self, (mut stream, peer, is_apart): Accepted) -> io::Result<()> {
        let most = self.options.max_connections.unwrap_or(usize::MAX);
        if self.table.len() >= most.saturating_add(SOCKETS_BEYOND_MAXIMUM) {
            let refusal = Refusal::TooManyConnections;
            self.counters.count_refused(refusal.reason());
            return stream.write_all(&refusal.answer(Method::Other));
        }
        stream.set_nodelay(true)?;
        let vacant = self.table.vacant_entry();
        let slot = vacant.key();
        self.poll.registry().register(&mut stream, Token(slot), Interest::READABLE)?;
        let generation = self.next_generation;
        self.next_generation = generation.wrapping_add(1);
        let address = peer.ip().to_canonical();
        let mut entry = Entry::new(stream, generation, address, self.now.mono);
        entry.is_apart = is_apart;
        let deadline = self.now.mono.saturating_add(self.options.handshake_timeout_ms);
        let id = ConnId { slot: slot as u32, generation };
        entry.timer = Some(self.wheel.insert(deadline, id));
        vacant.insert(entry);
        self.counters.sockets.store(self.table.len() as u64, Relaxed);
        Ok(())
    }
}
