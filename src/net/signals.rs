//! Signals as events of the loop: a handler writes a byte into a socket pair.
//!
//! `SIGPIPE` needs nothing: the Rust runtime ignores it before `main`.

use mio::net::UnixStream;
use mio::{Interest, Registry, Token};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::low_level::{pipe, unregister};
use std::io::{self, Read};

pub(super) struct Signals {
    stop: UnixStream,
    reload: UnixStream,
    registered: Vec<signal_hook::SigId>,
}

/// What has arrived since the last look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Arrived {
    /// How many times `SIGINT` or `SIGTERM`.
    pub stop: u32,
    pub reload: bool,
}

impl Signals {
    pub fn new(registry: &Registry, stop_token: Token, reload_token: Token) -> io::Result<Self> {
        let (mut stop, stop_writer) = UnixStream::pair()?;
        let (mut reload, reload_writer) = UnixStream::pair()?;
        registry.register(&mut stop, stop_token, Interest::READABLE)?;
        registry.register(&mut reload, reload_token, Interest::READABLE)?;
        let mut signals = Signals { stop, reload, registered: Vec::new() };
        let stop_writer =
            std::os::fd::OwnedFd::from(std::os::unix::net::UnixStream::from(stop_writer));
        signals.registered.push(pipe::register(SIGINT, stop_writer.try_clone()?)?);
        signals.registered.push(pipe::register(SIGTERM, stop_writer)?);
        let reload_writer = std::os::unix::net::UnixStream::from(reload_writer);
        signals.registered.push(pipe::register(SIGHUP, reload_writer)?);
        Ok(signals)
    }

    pub fn take(&mut self) -> Arrived {
        Arrived { stop: drain(&mut self.stop), reload: drain(&mut self.reload) > 0 }
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        for id in self.registered.drain(..) {
            unregister(id);
        }
    }
}

fn drain(stream: &mut UnixStream) -> u32 {
    let mut bytes = [0; 64];
    let mut total = 0u32;
    loop {
        match stream.read(&mut bytes) {
            Ok(0) => return total,
            Ok(count) => total = total.saturating_add(count as u32),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                if error.kind() != io::ErrorKind::WouldBlock {
                    log::error!("signals: {error}");
                }
                return total;
            }
        }
    }
}
