//! Where a server is, and the way there.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A host's name or address, IPv6 without brackets.
    Network {
        host: String,
        port: u16,
    },
    Unix(PathBuf),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Place::Network { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Place::Network { host, port } => write!(f, "{host}:{port}"),
            Place::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl Place {
    /// `HOST:PORT`, `[IPv6]:PORT`, or one of them without its port.
    pub fn of_authority(authority: &str, default_port: u16) -> Option<Place> {
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, port.parse().ok()?),
            _ => (authority, default_port),
        };
        let host = match host.strip_prefix('[') {
            Some(rest) => rest.strip_suffix(']')?,
            // Without brackets it is not clear where the port begins.
            None if host.contains(':') => return None,
            None => host,
        };
        let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"/@?#[]".contains(&byte);
        (!host.is_empty() && host.bytes().all(is_plain))
            .then(|| Place::Network { host: host.to_owned(), port })
    }

    /// Connects; each step of the conversation then has `patience`.
    ///
    /// # Errors
    ///
    /// That of the last address that was tried.
    pub fn connect(&self, patience: Duration) -> io::Result<Socket> {
        let socket = match self {
            Place::Unix(path) => Socket::Unix(UnixStream::connect(path)?),
            Place::Network { host, port } => {
                let addresses = crate::names::resolve(host, *port).map_err(io::Error::other)?;
                let mut last = io::Error::other("no address");
                let connected = addresses.iter().find_map(|address| {
                    let connected = TcpStream::connect_timeout(address, patience);
                    connected.map_err(|error| last = error).ok()
                });
                let Some(stream) = connected else { return Err(last) };
                stream.set_nodelay(true)?;
                Socket::Tcp(stream)
            }
        };
        socket.set_patience(Some(patience))?;
        Ok(socket)
    }
}

/// A connection that blocks.
#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    /// How long each step may take; `None`: as long as it takes.
    pub fn set_patience(&self, patience: Option<Duration>) -> io::Result<()> {
        match self {
            Socket::Tcp(stream) => {
                stream.set_read_timeout(patience).and(stream.set_write_timeout(patience))
            }
            Socket::Unix(stream) => {
                stream.set_read_timeout(patience).and(stream.set_write_timeout(patience))
            }
        }
    }

    /// Ends it, also for a thread that reads just now.
    #[cfg(feature = "tools")]
    pub fn shut_down(&self) -> io::Result<()> {
        match self {
            Socket::Tcp(stream) => stream.shutdown(std::net::Shutdown::Both),
            Socket::Unix(stream) => stream.shutdown(std::net::Shutdown::Both),
        }
    }
}

impl Read for &Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(stream) => (&*stream).read(buffer),
            Socket::Unix(stream) => (&*stream).read(buffer),
        }
    }
}

impl Write for &Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(stream) => (&*stream).write(bytes),
            Socket::Unix(stream) => (&*stream).write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities() {
        let place = |text| Place::of_authority(text, 80).map(|place| place.to_string());
        for (text, is) in [
            ("h", "h:80"),
            ("h:1", "h:1"),
            ("192.0.2.1:9", "192.0.2.1:9"),
            ("[::1]", "[::1]:80"),
            ("[::1]:9", "[::1]:9"),
        ] {
            assert_eq!(place(text).as_deref(), Some(is), "{text}");
        }
        for wrong in ["", ":1", "h:", "h:x", "h:65536", "::1", "[::1", "a b", "u@h:1", "h\n:1"] {
            assert_eq!(place(wrong), None, "{wrong}");
        }
    }
}
