//! Where the server is to be reached: the forms of `listen`, and which entries
//! go together.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use super::problem::{Reader, shown};
use super::{Config, ConfigError};
use crate::json::Json;

/// Most entries of `listen`.
pub(super) const MOST: usize = 16;

/// Longest path of a Unix socket: what the system takes, with room for the name
/// under which it is made.
const LONGEST_PATH: usize = 100;

/// One listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Where.
    pub address: ListenAddress,
    /// Whether TLS is spoken; `None`: over TCP if there is a certificate.
    pub tls: Option<bool>,
    /// Whether every connection begins with a header of the PROXY protocol.
    pub proxy_protocol: bool,
    /// Who may connect to a Unix socket; `None`: its owner and their group.
    pub mode: Option<u32>,
}

impl From<ListenAddress> for Listen {
    fn from(address: ListenAddress) -> Self {
        Listen { address, tls: None, proxy_protocol: false, mode: None }
    }
}

/// What a listener listens on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    /// Every address that the host resolves to.
    Tcp {
        /// An IP address or a name.
        host: String,
        /// 0 takes any free one.
        port: u16,
    },
    /// A Unix socket, by its path.
    Unix(PathBuf),
    /// Sockets of this name that the service manager passes on.
    Systemd(String),
}

impl ListenAddress {
    /// The address, where none has to be looked for.
    pub fn fixed(&self) -> Option<SocketAddr> {
        match self {
            ListenAddress::Tcp { host, port } => Some(SocketAddr::new(host.parse().ok()?, *port)),
            _ => None,
        }
    }

    /// Whether other machines can get there; of what is passed on nothing is
    /// known yet.
    pub fn is_public(&self) -> bool {
        match self {
            ListenAddress::Tcp { host, .. } => {
                let is_loopback = |ip: IpAddr| ip.to_canonical().is_loopback();
                !host.eq_ignore_ascii_case("localhost") && !host.parse().is_ok_and(is_loopback)
            }
            ListenAddress::Unix(_) | ListenAddress::Systemd(_) => false,
        }
    }
}

impl From<SocketAddr> for ListenAddress {
    fn from(address: SocketAddr) -> Self {
        ListenAddress::Tcp { host: address.ip().to_string(), port: address.port() }
    }
}

/// As the file has it.
impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListenAddress::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            ListenAddress::Tcp { host, port } => write!(f, "{host}:{port}"),
            ListenAddress::Unix(path) => write!(f, "unix:{}", path.display()),
            ListenAddress::Systemd(name) => write!(f, "systemd:{name}"),
        }
    }
}

/// Why a text is no address to listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadAddress {
    /// It has another form.
    Form,
    /// The path of a Unix socket is longer than the system allows.
    LongPath,
}

impl fmt::Display for BadAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadAddress::Form => {
                f.write_str("expected IP:PORT, [IPv6]:PORT, NAME:PORT, unix:PATH or systemd:NAME")
            }
            BadAddress::LongPath => write!(f, "expected a path of at most {LONGEST_PATH} bytes"),
        }
    }
}

impl std::error::Error for BadAddress {}

impl std::str::FromStr for ListenAddress {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Self, BadAddress> {
        let is_plain = |text: &str| {
            !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c.is_control())
        };
        if let Some(path) = text.strip_prefix("unix:") {
            return match path.len() {
                0 => Err(BadAddress::Form),
                1..=LONGEST_PATH if !path.contains('\0') => Ok(ListenAddress::Unix(path.into())),
                _ => Err(BadAddress::LongPath),
            };
        }
        if let Some(name) = text.strip_prefix("systemd:") {
            let is_name = is_plain(name) && !name.contains(':');
            return is_name.then(|| ListenAddress::Systemd(name.into())).ok_or(BadAddress::Form);
        }
        let (host, port) = text.rsplit_once(':').ok_or(BadAddress::Form)?;
        let digits = port.bytes().all(|byte| byte.is_ascii_digit());
        let port = port.parse().ok().filter(|_| digits).ok_or(BadAddress::Form)?;
        let host = match host.strip_prefix('[') {
            Some(rest) => {
                let v6: Option<Ipv6Addr> = rest.strip_suffix(']').and_then(|v6| v6.parse().ok());
                v6.ok_or(BadAddress::Form)?.to_string()
            }
            None if is_plain(host) && !host.contains([':', '/']) => host.to_owned(),
            None => return Err(BadAddress::Form),
        };
        Ok(ListenAddress::Tcp { host, port })
    }
}

fn address(reader: &mut Reader, value: &Json) -> Option<ListenAddress> {
    match reader.text(value)?.parse::<ListenAddress>() {
        Ok(address) => Some(address),
        Err(error) => {
            reader.problem(format!("{error}, got {}", shown(value)));
            None
        }
    }
}

/// `"0660"`.
fn mode(reader: &mut Reader, value: &Json) -> Option<u32> {
    let text = value.as_str().filter(|text| text.len() == 4 && text.starts_with("0"));
    let mode = text.and_then(|text| u32::from_str_radix(text, 8).ok());
    let mode = mode.filter(|mode| (0o600..=0o777).contains(mode));
    if mode.is_none() {
        reader.problem(format!("expected \"0600\" to \"0777\", got {}", shown(value)));
    }
    mode
}

fn boolean(reader: &mut Reader, value: &Json) -> Option<bool> {
    let on = value.as_bool();
    if on.is_none() {
        reader.problem(format!("expected boolean, got {}", shown(value)));
    }
    on
}

pub(super) fn entry(reader: &mut Reader, value: &Json) -> Option<Listen> {
    if value.as_str().is_some() {
        return reader.inside("address", |reader| address(reader, value)).map(Listen::from);
    }
    if value.as_object().is_none() {
        reader.problem(format!("expected string or object, got {}", shown(value)));
        return None;
    }
    let members = reader.object(value, &["address", "tls", "proxyProtocol", "mode"])?;
    let found = members.require(reader, "address", address);
    let tls = members.read(reader, "tls", boolean);
    let proxy_protocol = members.read(reader, "proxyProtocol", boolean).unwrap_or(false);
    let mode = members.read(reader, "mode", mode);
    Some(Listen { address: found?, tls, proxy_protocol, mode })
}

impl Config {
    /// The listeners: those of `listen`, or the one of `host` and `port`.
    pub fn listeners(&self) -> Vec<Listen> {
        if !self.listen.is_empty() {
            return self.listen.clone();
        }
        let host = self.bind_host().to_owned();
        vec![Listen::from(ListenAddress::Tcp { host, port: self.port })]
    }

    /// Whether a listener speaks TLS.
    pub fn speaks_tls(&self, listener: &Listen) -> bool {
        let is_unix = matches!(listener.address, ListenAddress::Unix(_));
        listener.tls.unwrap_or(self.tls.is_some() && !is_unix)
    }

    /// Which entries of `listen` go together, and with the rest.
    pub(super) fn check_listen(&self, reader: &mut Reader) {
        if !self.listen.is_empty() && self.host.is_some() {
            reader.at("listen", |reader| reader.problem(NOT_BOTH));
        }
        for (at, entry) in self.listen.iter().enumerate() {
            let mut problem = |member: &str, text: String| {
                let place = format!("listen[{at}].{member}");
                reader.at(&place, |reader| reader.problem(text));
            };
            if entry.tls == Some(true) && self.tls.is_none() {
                problem("tls", "needs tls".into());
            }
            if entry.proxy_protocol && self.trusted_proxies.is_empty() {
                problem("proxyProtocol", "needs trustedProxies".into());
            }
            if entry.mode.is_some() && !matches!(entry.address, ListenAddress::Unix(_)) {
                problem("mode", "is for unix: only".into());
            }
            let before = self.listen.iter().take(at).enumerate();
            for (other, earlier) in before {
                if let Some(text) = conflict(&entry.address, &earlier.address, other) {
                    problem("address", text);
                    break;
                }
            }
        }
    }
}

pub(super) const NOT_BOTH: &str = "does not go with host and port";

/// Why two listeners cannot both be.
fn conflict(address: &ListenAddress, earlier: &ListenAddress, place: usize) -> Option<String> {
    if let (Some(one), Some(two)) = (address.fixed(), earlier.fixed()) {
        if one.port() == 0 || one.port() != two.port() {
            return None;
        }
        let all = |address: SocketAddr| match address.ip() {
            IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Some(true),
            IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Some(false),
            _ => None,
        };
        match (all(one), all(two)) {
            (Some(true), Some(false)) => return Some(both_families(one, two)),
            (Some(false), Some(true)) => return Some(both_families(two, one)),
            _ => {}
        }
        return (one == two).then(|| same_as(place));
    }
    let is_free = matches!(address, ListenAddress::Tcp { port: 0, .. });
    (address == earlier && !is_free).then(|| same_as(place))
}

fn both_families(v6: SocketAddr, v4: SocketAddr) -> String {
    format!("{v6} takes IPv4 connections too, leave {v4} out")
}

pub(crate) fn same_as(place: usize) -> String {
    format!("the same address as listen[{place}]")
}

/// For whoever finds out later what is wrong with an entry.
pub(crate) fn problem_of(place: usize, text: String) -> ConfigError {
    ConfigError::one(format!("listen[{place}].address"), text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_as_they_are_written() {
        for text in [
            "127.0.0.1:8080",
            "[::]:8080",
            "localhost:0",
            "db.example:65535",
            "unix:/run/noexd.sock",
            "unix:noexd.sock",
            "systemd:web",
        ] {
            let address: ListenAddress = text.parse().expect(text);
            assert_eq!(address.to_string(), text);
        }
        let long = format!("unix:/{}", "x".repeat(LONGEST_PATH));
        for (text, error) in [
            ("", BadAddress::Form),
            ("8080", BadAddress::Form),
            (":8080", BadAddress::Form),
            ("::1:8080", BadAddress::Form),
            ("[::1]", BadAddress::Form),
            ("[h]:1", BadAddress::Form),
            ("h:65536", BadAddress::Form),
            ("h:+1", BadAddress::Form),
            ("h:", BadAddress::Form),
            ("http://h:1", BadAddress::Form),
            ("a b:1", BadAddress::Form),
            ("unix:", BadAddress::Form),
            ("systemd:", BadAddress::Form),
            ("systemd:a:b", BadAddress::Form),
            (long.as_str(), BadAddress::LongPath),
        ] {
            assert_eq!(text.parse::<ListenAddress>(), Err(error), "{text}");
        }
    }
}
