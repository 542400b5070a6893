//! Where the server can be reached: every address of the configured host, and
//! who is let in when nothing asks for a name.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _};

use super::builder::StartError;
use super::hosted::Hosted;
use crate::config::Config;
use crate::net::Transport;
use crate::net::guard::{Guard, is_loopback};

/// With port 0 the first address gets a free port, which may be taken on the
/// next one: then another is tried.
const ATTEMPTS: u32 = 16;

/// Linux without IPv6 has not even the family.
const NO_SUCH_FAMILY: i32 = 97;

fn failed(step: &str, reason: String) -> StartError {
    StartError::Failed { step: step.into(), reason }
}

/// Binds every address of the host; returns the first one.
pub(super) fn listen(
    transport: &mut Transport<Hosted>,
    config: &Config,
) -> Result<SocketAddr, StartError> {
    let host = config.bind_host();
    let addresses = resolve(host, config.port)?;
    let mut attempt = 1;
    let bound = loop {
        match bind(transport, &addresses) {
            Err((_, error))
                if config.port == 0
                    && error.kind() == ErrorKind::AddrInUse
                    && attempt < ATTEMPTS =>
            {
                attempt += 1;
                transport.listen_no_more();
            }
            Err((address, error)) => return Err(explain(address, &error)),
            Ok(bound) => break bound,
        }
    };
    let (Some(first), rest) = (bound.first().copied(), bound.get(1..).unwrap_or_default()) else {
        return Err(failed("host", format!("{host} has no address")));
    };
    for address in rest {
        log::info!("also listening on {address}");
    }
    if let Some(address) = config.metrics.as_ref().and_then(|metrics| metrics.listen) {
        let bound =
            transport.listen_apart(address).map_err(|error| explain_apart(address, &error))?;
        let path = config.metrics.as_ref().map_or("", |metrics| &metrics.path);
        log::info!("metrics on http://{bound}{path}");
    }
    if config.auth.is_none()
        && !config.allows_all_origins()
        && bound.iter().all(|address| is_loopback(address.ip()))
    {
        transport.guard(Guard::new(host, config.allowed_origins.as_deref().unwrap_or_default()));
    }
    Ok(first)
}

/// `localhost` is what it is whatever a file or a server of names says.
fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, StartError> {
    if host.eq_ignore_ascii_case("localhost") {
        let both = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
        return Ok(both.map(|ip| SocketAddr::new(ip, port)).to_vec());
    }
    let found = (host, port)
        .to_socket_addrs()
        .map_err(|error| failed("host", format!("{host} does not resolve: {error}")))?;
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for address in found {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    match addresses.is_empty() {
        true => Err(failed("host", format!("{host} has no address"))),
        false => Ok(addresses),
    }
}

/// Binds all of them. An address that this machine lacks is left out as long as
/// there is another one.
fn bind(
    transport: &mut Transport<Hosted>,
    addresses: &[SocketAddr],
) -> Result<Vec<SocketAddr>, (SocketAddr, io::Error)> {
    let mut bound: Vec<SocketAddr> = Vec::new();
    let mut lacking = None;
    for &(mut address) in addresses {
        if let Some(first) = bound.first() {
            address.set_port(first.port());
        }
        match transport.listen(address) {
            Ok(actual) => bound.push(actual),
            Err(error)
                if error.kind() == ErrorKind::AddrNotAvailable
                    || error.raw_os_error() == Some(NO_SUCH_FAMILY) =>
            {
                if addresses.len() > 1 {
                    log::info!("{address} is no address of this machine");
                }
                lacking = Some((address, error));
            }
            Err(error) => return Err((address, error)),
        }
    }
    match (bound.is_empty(), lacking) {
        (true, Some(lacking)) => Err(lacking),
        _ => Ok(bound),
    }
}

fn explain_apart(address: SocketAddr, error: &io::Error) -> StartError {
    match error.kind() {
        ErrorKind::AddrInUse => failed("metrics.listen", format!("{address} is in use")),
        _ => failed("metrics.listen", format!("{address}: {error}")),
    }
}

fn explain(address: SocketAddr, error: &io::Error) -> StartError {
    match error.kind() {
        ErrorKind::AddrInUse => failed("port", format!("{address} is in use")),
        ErrorKind::PermissionDenied => {
            failed("port", format!("{address} is not permitted: {error}"))
        }
        ErrorKind::AddrNotAvailable => {
            failed("host", format!("{address} is no address of this machine"))
        }
        _ => failed("listen", format!("{address}: {error}")),
    }
}
