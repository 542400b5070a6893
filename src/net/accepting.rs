//! The listeners, and the sockets that come of them.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;

use mio::event::Source as _;
use mio::{Interest, Registry, Token};

use super::limits::ACCEPT_PAUSE_MS;
use super::socket::{Listening, Stream};
use crate::address::Address;

/// Listeners count down from here.
pub(super) const FIRST_LISTENER: usize = usize::MAX - 3;

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
    doors: Vec<Door>,
    /// What listeners are called, by their numbers.
    names: Vec<Arc<str>>,
    /// Whose turn it is: a rush to one does not keep the others closed.
    turn: usize,
    spare: Option<UnixDatagram>,
    /// Nothing is accepted before this time.
    pub paused_until: Option<u64>,
    /// The shortage of descriptors that lasts has been logged.
    is_short: bool,
}

/// On what terms a listener takes connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// For metrics and probes alone, to the end.
    pub is_apart: bool,
    /// TLS is spoken.
    pub tls: bool,
    /// Every connection begins with a header of the PROXY protocol.
    pub proxy: bool,
}

/// A listener.
struct Door {
    /// Its number; tokens count down with it.
    number: usize,
    socket: Listening,
    ready: bool,
    terms: Terms,
}

/// A socket, its peer, the number of its listener, and how it was taken in.
pub(super) type Accepted = (Stream, Address, u16, Terms);

impl Accepting {
    pub fn new() -> io::Result<Self> {
        let spare = Some(spare()?);
        let (doors, names) = (Vec::new(), Vec::new());
        Ok(Accepting { doors, names, turn: 0, spare, paused_until: None, is_short: false })
    }

    pub fn listen(
        &mut self,
        registry: &Registry,
        mut socket: Listening,
        terms: Terms,
    ) -> io::Result<()> {
        let number = self.names.len();
        self.names.push(socket.to_string().into());
        socket.register(registry, Token(FIRST_LISTENER - number), Interest::READABLE)?;
        self.doors.push(Door { number, socket, ready: false, terms });
        Ok(())
    }

    /// What a listener is called.
    pub fn name(&self, number: u16) -> Option<Arc<str>> {
        self.names.get(usize::from(number)).map(Arc::clone)
    }

    /// Whether this is the token of a listener; it is ready then.
    pub fn mark_ready(&mut self, token: Token) -> bool {
        let number = FIRST_LISTENER.checked_sub(token.0);
        match self.doors.iter_mut().find(|door| Some(door.number) == number) {
            Some(door) => {
                door.ready = true;
                true
            }
            None => false,
        }
    }

    pub fn has_work(&self) -> bool {
        self.paused_until.is_none() && self.doors.iter().any(|door| door.ready)
    }

    /// Refuses new connections from now on; whoever watches goes on watching.
    pub fn close(&mut self) {
        self.doors.retain(|door| door.terms.is_apart);
        self.paused_until = None;
    }

    /// The next socket of any listener.
    pub fn next(&mut self, now: u64) -> Option<Accepted> {
        loop {
            let count = self.doors.len();
            let mut order = (0..count).map(|at| (self.turn + at) % count);
            let at = order.find(|at| self.doors.get(*at).is_some_and(|door| door.ready))?;
            self.turn = at + 1;
            let door = self.doors.get_mut(at)?;
            match door.socket.accept() {
                Ok((stream, peer)) => {
                    let accepted = (stream, peer, door.number as u16, door.terms);
                    if std::mem::take(&mut self.is_short) {
                        log::warn!("connections are accepted again");
                        self.spare = self.spare.take().or_else(|| spare().ok());
                    }
                    return Some(accepted);
                }
                Err(error) => match (error.kind(), error.raw_os_error()) {
                    (io::ErrorKind::WouldBlock, _) => door.ready = false,
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
        let accepted = self.doors.iter().find_map(|door| {
            let (stream, peer) = door.socket.accept().ok()?;
            Some((stream, peer, door.number as u16, door.terms))
        });
        self.spare = spare().ok();
        if self.spare.is_none()
            && let Some((socket, peer, ..)) = accepted
        {
            log::debug!("no descriptor for {peer}");
            drop(socket);
            self.spare = spare().ok();
            return None;
        }
        accepted
    }
}
