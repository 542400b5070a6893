//! `noexd healthcheck`: asks a server whether it is ready, for whoever has no
//! `curl` (a container of one file).

use std::ffi::OsString;
use std::io::Read as _;
use std::net::SocketAddr;
use std::time::Duration;

use crate::config::command_line::{self, Command};
use crate::config::{Config, ListenAddress};
use crate::remote::{Place, Socket};

/// For each step of the conversation.
const TIMEOUT: Duration = Duration::from_secs(5);

/// An answer to a probe is a line.
const LONGEST: u64 = 64 * 1024;

pub const HELP: &str = "\
Ask a server whether it is ready; the exit code is 0 if it is, else 1.

  noexd healthcheck [--url http://HOST:PORT/PATH]
  noexd healthcheck [--url https://HOST:PORT/PATH] [--insecure]
  noexd healthcheck [--config FILE] [--port PORT] ...

Without --url the server is the one of this configuration: the listener of
metrics, if it has one, else the first one that speaks plain HTTP, else the first
one that speaks TLS (whose certificate is not looked at: it is of other names).
That of an https:// URL has to chain to one in SSL_CERT_FILE, or to one of the
system, unless --insecure says otherwise.
";

/// Where the probe of a server is.
#[derive(Debug, PartialEq, Eq)]
struct Target {
    place: Place,
    path: String,
    speaks: Speaks,
}

/// What is spoken there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Speaks {
    Http,
    /// TLS, by whoever has a certificate that is trusted, or by anybody.
    Https {
        is_checked: bool,
    },
}

/// Why it is not known whether the server is ready.
pub enum Unhealthy {
    /// The command line is not understood.
    Usage(String),
    /// The configuration is wrong, or does not say whom to ask.
    Config(String),
    /// The server did not say that it is.
    NotReady(String),
}

/// Asks; the answer's line.
///
/// # Errors
///
/// See [`Unhealthy`].
pub fn run(args: &[OsString]) -> Result<String, Unhealthy> {
    let target = target(args)?;
    let failed = |error: std::io::Error| Unhealthy::NotReady(format!("{}: {error}", target.place));
    let (status, body) = ask(&target).map_err(failed)?;
    match status {
        200 => Ok(body),
        _ => Err(Unhealthy::NotReady(format!("{status} {body}"))),
    }
}

fn target(args: &[OsString]) -> Result<Target, Unhealthy> {
    let usage = |reason: &str| Unhealthy::Usage(reason.to_owned());
    let mut rest = Vec::new();
    let (mut url, mut is_checked) = (None, true);
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.to_str() {
            Some("--url") => {
                url = Some(args.next().ok_or_else(|| usage("option --url needs a value"))?.clone());
            }
            Some("--insecure") => is_checked = false,
            Some(text) if text.starts_with("--url=") => {
                url = text.strip_prefix("--url=").map(OsString::from);
            }
            _ => rest.push(arg.clone()),
        }
    }
    if let Some(url) = url {
        return of_url(url.to_str().unwrap_or_default(), is_checked).ok_or_else(|| {
            usage("--url: expected http://HOST:PORT/PATH or https://HOST:PORT/PATH")
        });
    }
    if !is_checked {
        return Err(usage("--insecure: goes with --url https://HOST:PORT/PATH"));
    }
    let command = command_line::parse(rest).map_err(|error| Unhealthy::Usage(error.to_string()))?;
    let Command::Run(arguments) = command else { return Err(usage("expected a configuration")) };
    let resolved = command_line::load(&arguments, |name| std::env::var(name).ok())
        .map_err(|error| Unhealthy::Config(error.to_string()))?;
    of_config(&resolved.config).map_err(Unhealthy::Config)
}

fn of_url(url: &str, is_checked: bool) -> Option<Target> {
    let (rest, port, speaks) = match url.strip_prefix("https://") {
        Some(rest) => (rest, 443, Speaks::Https { is_checked }),
        None => (url.strip_prefix("http://")?, 80, Speaks::Http),
    };
    let (authority, path) = match rest.find('/') {
        Some(at) => rest.split_at_checked(at)?,
        None => (rest, "/readyz"),
    };
    let place = Place::of_authority(authority, port)?;
    path.bytes().all(|byte| byte.is_ascii_graphic()).then(|| Target {
        place,
        path: path.to_owned(),
        speaks,
    })
}

fn of_config(config: &Config) -> Result<Target, String> {
    let ready = config.ready.as_ref().ok_or("ready is switched off")?;
    let apart = config.metrics.as_ref().and_then(|metrics| metrics.listen.as_ref()).and_then(place);
    let reached = |speaks_tls: bool| {
        let listeners = config.listeners().into_iter().filter(|listener| !listener.proxy_protocol);
        let mut those = listeners.filter(|listener| config.speaks_tls(listener) == speaks_tls);
        those.find_map(|listener| place(&listener.address))
    };
    // We have no certificate to show, and some builds speak no TLS.
    let has_client_ca = config.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
    let can_speak_tls = cfg!(all(feature = "tls", feature = "tools")) && !has_client_ca;
    let plain = apart.or_else(|| reached(false)).map(|place| (place, Speaks::Http));
    let sealed = || reached(can_speak_tls).filter(|_| can_speak_tls);
    let (place, speaks) = plain
        .or_else(|| Some((sealed()?, Speaks::Https { is_checked: false })))
        .ok_or(match has_client_ca {
            true => {
                "tls.clientCa: every listener of the configuration requires a certificate of its \
                 client: set metrics.listen, or give --url"
            }
            false => {
                "no listener of the configuration can be asked: set metrics.listen, or give --url"
            }
        })?;
    Ok(Target { place, path: ready.path.clone(), speaks })
}

/// Where a listener is reached; only the service manager knows it of its own.
fn place(address: &ListenAddress) -> Option<Place> {
    match (address, address.fixed()) {
        (ListenAddress::Systemd(_), _) => None,
        (ListenAddress::Unix(path), _) => Some(Place::Unix(path.clone())),
        (_, Some(address)) => {
            let address = reachable(address);
            Some(Place::Network { host: address.ip().to_string(), port: address.port() })
        }
        (ListenAddress::Tcp { host, port }, None) => {
            Some(Place::Network { host: host.clone(), port: *port })
        }
    }
}

/// Whoever listens on all addresses is reached on this machine's own.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

fn ask(target: &Target) -> std::io::Result<(u16, String)> {
    let host = match &target.place {
        Place::Network { .. } => target.place.to_string(),
        Place::Unix(_) => "localhost".to_owned(),
    };
    let socket = target.place.connect(TIMEOUT)?;
    match target.speaks {
        Speaks::Http => converse(&socket, &host, &target.path),
        Speaks::Https { is_checked } => {
            let name = match &target.place {
                Place::Network { host, .. } => host,
                Place::Unix(_) => &host,
            };
            converse(seal(socket, name, is_checked)?, &host, &target.path)
        }
    }
}

#[cfg(feature = "tools")]
fn seal(socket: Socket, host: &str, is_checked: bool) -> std::io::Result<impl Conversation> {
    crate::remote::seal(socket, host, is_checked)
}

#[cfg(not(feature = "tools"))]
fn seal(_: Socket, _: &str, _: bool) -> std::io::Result<impl Conversation> {
    let reason = "https:// needs a noexd with the features \"tls\" and \"tools\"";
    Err::<std::io::Empty, _>(std::io::Error::new(std::io::ErrorKind::Unsupported, reason))
}

/// What can be read and written.
trait Conversation: std::io::Read + std::io::Write {}

impl<T: std::io::Read + std::io::Write> Conversation for T {}

fn converse(
    mut stream: impl Conversation,
    host: &str,
    path: &str,
) -> std::io::Result<(u16, String)> {
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
    stream.flush()?;
    let mut answer = Vec::new();
    stream.take(LONGEST).read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.strip_prefix("HTTP/1.").and_then(|rest| rest.split(' ').nth(1)?.parse().ok());
    let status = status.ok_or_else(|| std::io::Error::other("this is no HTTP"))?;
    Ok((status, body.trim_end().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_says_whom_to_ask() {
        let mut config = Config { host: Some("0.0.0.0".into()), port: 9000, ..Config::default() };
        let authority = |config: &Config| of_config(config).expect("a target").place.to_string();
        assert_eq!(authority(&config), "127.0.0.1:9000");
        config.host = Some("::".into());
        assert_eq!(authority(&config), "[::1]:9000");
        config.host = Some("db.example".into());
        assert_eq!(authority(&config), "db.example:9000");
        config.metrics = Some(crate::config::Metrics {
            listen: Some(SocketAddr::from(([0, 0, 0, 0], 9464)).into()),
            ..Default::default()
        });
        assert_eq!(authority(&config), "127.0.0.1:9464");
        config.metrics = None;
        config.listen = ["systemd:web", "unix:/run/x", "127.0.0.1:9000"]
            .map(|text| text.parse::<ListenAddress>().expect("an address").into())
            .to_vec();
        assert_eq!(authority(&config), "unix:/run/x");
        config.listen.truncate(1);
        assert!(of_config(&config).is_err());
        // TLS is spoken where nothing else is, and only with whom it can be.
        config.listen = vec!["127.0.0.1:9443".parse::<ListenAddress>().expect("an address").into()];
        let mut tls = crate::config::Tls {
            cert: "cert.pem".into(),
            key: "key.pem".into(),
            min_version: Default::default(),
            client_ca: None,
        };
        config.tls = Some(tls.clone());
        let speaks = |config: &Config| of_config(config).map(|target| target.speaks);
        if cfg!(all(feature = "tls", feature = "tools")) {
            assert_eq!(authority(&config), "127.0.0.1:9443");
            assert_eq!(speaks(&config), Ok(Speaks::Https { is_checked: false }));
        } else {
            assert!(speaks(&config).is_err());
        }
        config.listen.push("unix:/run/x".parse::<ListenAddress>().expect("an address").into());
        assert_eq!(speaks(&config), Ok(Speaks::Http), "a Unix socket is plain");
        config.listen.pop();
        tls.client_ca = Some("ca.pem".into());
        config.tls = Some(tls);
        let refused = speaks(&config).expect_err("a certificate is wanted");
        assert!(refused.starts_with("tls.clientCa: "), "{refused}");
        config.listen.clear();
        config.ready = None;
        assert!(of_config(&config).is_err());
    }

    #[test]
    fn urls() {
        let target =
            |url: &str| of_url(url, true).map(|target| (target.place.to_string(), target.path));
        let is = |authority: &str, path: &str| Some((authority.to_owned(), path.to_owned()));
        assert_eq!(target("http://h:1/up"), is("h:1", "/up"));
        assert_eq!(target("http://h"), is("h:80", "/readyz"));
        assert_eq!(target("https://h"), is("h:443", "/readyz"));
        assert_eq!(target("https://h:1/up"), is("h:1", "/up"));
        let speaks = |url: &str, is_checked| of_url(url, is_checked).map(|target| target.speaks);
        for is_checked in [true, false] {
            assert_eq!(speaks("https://h", is_checked), Some(Speaks::Https { is_checked }));
            assert_eq!(speaks("http://h", is_checked), Some(Speaks::Http));
        }
        for wrong in ["", "h:1", "wss://h/", "https://", "http://", "http://h/a\r\nX: y"] {
            assert_eq!(target(wrong), None, "{wrong}");
        }
    }
}
