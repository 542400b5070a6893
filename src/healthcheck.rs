//! `noexd healthcheck`: asks a server whether it is ready, for whoever has no
//! `curl` (a container of one file).

use std::ffi::OsString;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use crate::config::Config;
use crate::config::command_line::{self, Command};

/// For each step of the conversation.
const TIMEOUT: Duration = Duration::from_secs(5);

/// An answer to a probe is a line.
const LONGEST: u64 = 64 * 1024;

pub const HELP: &str = "\
Ask a server whether it is ready; the exit code is 0 if it is, else 1.

  noexd healthcheck [--url http://HOST:PORT/PATH]
  noexd healthcheck [--config FILE] [--port PORT] ...

Without --url the server is the one of this configuration: the listener of
metrics, if it has one, else the main one.
";

/// Where the probe of a server is.
#[derive(Debug, PartialEq, Eq)]
struct Target {
    /// `HOST:PORT`, IPv6 in brackets.
    authority: String,
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
    let failed =
        |error: std::io::Error| Unhealthy::NotReady(format!("{}: {error}", target.authority));
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
    of_config(&resolved.config).ok_or_else(|| "ready is switched off".to_owned())
}

fn of_url(url: &str) -> Option<Target> {
    let rest = url.strip_prefix("http://")?;
    let (authority, path) = match rest.find('/') {
        Some(at) => rest.split_at_checked(at)?,
        None => (rest, "/readyz"),
    };
    let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
    let has_port = authority.rsplit(':').next().is_some_and(|port| port.parse::<u16>().is_ok());
    let authority = if has_port { authority.to_owned() } else { format!("{authority}:80") };
    (is_plain(rest) && !rest.is_empty()).then(|| Target { authority, path: path.to_owned() })
}

fn of_config(config: &Config) -> Option<Target> {
    let path = config.ready.as_ref()?.path.clone();
    let authority = match config.metrics.as_ref().and_then(|metrics| metrics.listen) {
        Some(address) => reachable(address).to_string(),
        None => match config.bind_host().parse() {
            Ok(ip) => reachable(SocketAddr::new(ip, config.port)).to_string(),
            Err(_) => format!("{}:{}", config.bind_host(), config.port),
        },
    };
    Some(Target { authority, path })
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
    let mut last = std::io::Error::other("no address");
    for address in target.authority.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, TIMEOUT) {
            Ok(stream) => return converse(stream, target),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn converse(mut stream: TcpStream, target: &Target) -> std::io::Result<(u16, String)> {
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let Target { authority, path } = target;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n")?;
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
        let authority = |config: &Config| of_config(config).expect("a target").authority;
        assert_eq!(authority(&config), "127.0.0.1:9000");
        config.host = Some("::".into());
        assert_eq!(authority(&config), "[::1]:9000");
        config.host = Some("db.example".into());
        assert_eq!(authority(&config), "db.example:9000");
        config.metrics = Some(crate::config::Metrics {
            listen: Some(([0, 0, 0, 0], 9464).into()),
            ..Default::default()
        });
        assert_eq!(authority(&config), "127.0.0.1:9464");
        config.ready = None;
        assert_eq!(of_config(&config), None);
    }

    #[test]
    fn urls() {
        let target = |url: &str| of_url(url).map(|target| (target.authority, target.path));
        let is = |authority: &str, path: &str| Some((authority.to_owned(), path.to_owned()));
        assert_eq!(target("http://h:1/up"), is("h:1", "/up"));
        assert_eq!(target("http://h"), is("h:80", "/readyz"));
        for wrong in ["", "h:1", "https://h/", "http://", "http://h/a\r\nX: y"] {
            assert_eq!(target(wrong), None, "{wrong}");
        }
    }
}
