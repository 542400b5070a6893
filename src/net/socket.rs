//! Sockets of both families as one: TCP, and Unix.
//!
//! Owns what differs between them. Must not know what is spoken over them.

use crate::address::Address;
use mio::event::Source;
use mio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use mio::{Interest, Registry, Token};
use std::fmt;
use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, SocketAddr};

/// A socket that takes connections.
#[derive(Debug)]
pub enum Listening {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listening {
    /// Binds an address and listens on it.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        TcpListener::bind(address).map(Listening::Tcp)
    }

    /// Takes over a socket that listens already.
    ///
    /// # Errors
    ///
    /// It cannot be made non-blocking.
    pub fn adopt_tcp(socket: std::net::TcpListener) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Listening::Tcp(TcpListener::from_std(socket)))
    }

    /// As [`Listening::adopt_tcp`].
    ///
    /// # Errors
    ///
    /// As [`Listening::adopt_tcp`].
    pub fn adopt_unix(socket: std::os::unix::net::UnixListener) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Listening::Unix(UnixListener::from_std(socket)))
    }

    /// The address in the network, with the actual port.
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Listening::Tcp(socket) => socket.local_addr().ok(),
            Listening::Unix(_) => None,
        }
    }

    /// No other machine gets here.
    pub fn is_local(&self) -> bool {
        match self {
            Listening::Tcp(_) => self.address().is_some_and(|at| Address::from(at.ip()).is_local()),
            Listening::Unix(_) => true,
        }
    }

    pub(super) fn accept(&self) -> io::Result<(Stream, Address)> {
        Ok(match self {
            Listening::Tcp(socket) => {
                let (stream, peer) = socket.accept()?;
                (Stream::Tcp(stream), peer.ip().into())
            }
            Listening::Unix(socket) => (Stream::Unix(socket.accept()?.0), Address::Unix),
        })
    }
}

/// As `listen` of the configuration has it.
impl fmt::Display for Listening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Listening::Tcp(socket) => match socket.local_addr() {
                Ok(address) => address.fmt(f),
                Err(_) => f.write_str("an unknown address"),
            },
            Listening::Unix(socket) => {
                let address = socket.local_addr().ok();
                let path = address.as_ref().and_then(|address| address.as_pathname());
                // It was bound under another name and renamed.
                let shown = path.map(|path| path.display().to_string()).unwrap_or_default();
                write!(f, "unix:{}", shown.strip_suffix(".new").unwrap_or(&shown))
            }
        }
    }
}

/// One connection's socket.
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    /// Small messages leave at once.
    pub fn set_nodelay(&self) -> io::Result<()> {
        match self {
            Stream::Tcp(socket) => socket.set_nodelay(true),
            Stream::Unix(_) => Ok(()),
        }
    }

    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        match self {
            Stream::Tcp(socket) => socket.shutdown(how),
            Stream::Unix(socket) => socket.shutdown(how),
        }
    }

    /// Our end of it in the network.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        match self {
            Stream::Tcp(socket) => socket.local_addr().ok(),
            Stream::Unix(_) => None,
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(socket) => socket.read(buffer),
            Stream::Unix(socket) => socket.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(socket) => socket.write(bytes),
            Stream::Unix(socket) => socket.write(bytes),
        }
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Stream::Tcp(socket) => socket.write_vectored(slices),
            Stream::Unix(socket) => socket.write_vectored(slices),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Both are watched alike.
macro_rules! source {
    ($kind:ident) => {
        impl Source for $kind {
            fn register(
                &mut self,
                registry: &Registry,
                token: Token,
                interest: Interest,
            ) -> io::Result<()> {
                match self {
                    $kind::Tcp(socket) => socket.register(registry, token, interest),
                    $kind::Unix(socket) => socket.register(registry, token, interest),
                }
            }

            fn reregister(
                &mut self,
                registry: &Registry,
                token: Token,
                interest: Interest,
            ) -> io::Result<()> {
                match self {
                    $kind::Tcp(socket) => socket.reregister(registry, token, interest),
                    $kind::Unix(socket) => socket.reregister(registry, token, interest),
                }
            }

            fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
                match self {
                    $kind::Tcp(socket) => socket.deregister(registry),
                    $kind::Unix(socket) => socket.deregister(registry),
                }
            }
        }
    };
}

source!(Listening);
source!(Stream);
