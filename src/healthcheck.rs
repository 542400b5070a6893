//! `noexd healthcheck`: asks a server whether it is ready, for whoever has no
//! `curl` (a container of one file).

use std::ffi::OsString;
use std::io::Read as _;
use std::net::SocketAddr;
use std::time::Duration;

use crate::config::command_line::{self, Command};
use crate::config::{Config, ListenAddress};
use crate::remote::Place;

/// For each step of the conversation.
const TIMEOUT: Duration = Duration::from_secs(5);

/// An answer to a probe is a line.
const LONGEST: u64 = 64 * 1024;

pub const HELP: &str = "\
Ask a server whether it is ready; the exit code is 0 if it is, else 1.

  noexd healthcheck [--url http://HOST:PORT/PATH]
  noexd healthcheck [--config FILE] [--port PORT] ...

Without --url the server is the one of this configuration: the listener of
metrics, if it has one, else the first one that speaks plain HTTP.
";

/// Where the probe of a server is.
#[derive(Debug, PartialEq, Eq)]
struct Target {
    place: Place,
    path: String,
}

/// Why it is not known whether the server is ready.
pub enum Unhealthy {
    /// The command line or the configuration is wrong.
    Usage(String),
    /// The server did not say that it is.
    NotReady(String),
}

/// Asks; the answer's line.
///
/// # Errors
///
/// See [`Unhealthy`].
pub fn run(args: &[OsString]) -> Result<String, Unhealthy> {
    let target = target(args).map_err(Unhealthy::Usage)?;
    let failed = |error: std::io::Error| Unhealthy::NotReady(format!("{}: {error}", target.place));
    let (status, body) = ask(&target).map_err(failed)?;
    match status {
        200 => Ok(body),
        _ => Err(Unhealthy::NotReady(format!("{status} {body}"))),
    }
}

fn target(args: &[OsString]) -> Result<Target, String> {
    let mut rest = Vec::new();
    let mut url = None;
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.to_str() {
            Some("--url") => url = Some(args.next().ok_or("option --url needs a value")?.clone()),
            Some(text) if text.starts_with("--url=") => {
                url = text.strip_prefix("--url=").map(OsString::from);
            }
            _ => rest.push(arg.clone()),
        }
    }
    if let Some(url) = url {
        return of_url(url.to_str().unwrap_or_default())
            .ok_or_else(|| "--url: expected http://HOST:PORT/PATH".to_owned());
    }
    let command = command_line::parse(rest).map_err(|error| error.to_string())?;
    let Command::Run(arguments) = command else { return Err("expected a configuration".into()) };
    let resolved = command_line::load(&arguments, |name| std::env::var(name).ok())
        .map_err(|error| error.to_string())?;
    of_config(&resolved.config)
}

fn of_url(url: &str) -> Option<Target> {
    let rest = url.strip_prefix("http://")?;
    let (authority, path) = match rest.find('/') {
        Some(at) => rest.split_at_checked(at)?,
        None => (rest, "/readyz"),
    };
    let place = Place::of_authority(authority, 80)?;
    path.bytes()
        .all(|byte| byte.is_ascii_graphic())
        .then(|| Target { place, path: path.to_owned() })
}

fn of_config(config: &Config) -> Result<Target, String> {
    let ready = config.ready.as_ref().ok_or("ready is switched off")?;
    let apart = config.metrics.as_ref().and_then(|metrics| metrics.listen.as_ref()).and_then(place);
    let main = || {
        let plain = config
            .listeners()
            .into_iter()
            .filter(|listener| !listener.proxy_protocol && !config.speaks_tls(listener));
        plain.filter_map(|listener| place(&listener.address)).next()
    };
    let place = apart.or_else(main).ok_or(
        "no listener of the configuration speaks plain HTTP at a known address: set \
         metrics.listen, or give --url",
    )?;
    Ok(Target { place, path: ready.path.clone() })
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
    converse(&target.place.connect(TIMEOUT)?, &host, &target.path)
}

fn converse(
    mut stream: impl std::io::Read + std::io::Write,
    host: &str,
    path: &str,
) -> std::io::Result<(u16, String)> {
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
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
        config.listen.clear();
        config.ready = None;
        assert!(of_config(&config).is_err());
    }

    #[test]
    fn urls() {
        let target = |url: &str| of_url(url).map(|target| (target.place.to_string(), target.path));
        let is = |authority: &str, path: &str| Some((authority.to_owned(), path.to_owned()));
        assert_eq!(target("http://h:1/up"), is("h:1", "/up"));
        assert_eq!(target("http://h"), is("h:80", "/readyz"));
        for wrong in ["", "h:1", "https://h/", "http://", "http://h/a\r\nX: y"] {
            assert_eq!(target(wrong), None, "{wrong}");
        }
    }
}
