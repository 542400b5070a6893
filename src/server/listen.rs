//! Where the server can be reached: every address of every listener, and who is
//! let in when nothing asks for a name.

mod passed;
mod unix;

use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use super::hosted::Hosted;
use super::start_error::StartError;
use crate::config::{Config, ConfigError, Listen, ListenAddress, listen_problem, same_as};
use crate::net::guard::Guard;
use crate::net::{Listening, Terms, Transport};
pub(super) use passed::Passed;
use unix::SocketFile;

/// With port 0 the first address gets a free port, which may be taken on the
/// next one: then another is tried.
const ATTEMPTS: u32 = 16;

/// Linux without IPv6 has not even the family.
const NO_SUCH_FAMILY: i32 = 97;

fn failed(step: impl Into<String>, reason: String) -> StartError {
    StartError::Failed { step: step.into(), reason }
}

/// Where the server is reached.
#[derive(Debug, Default)]
pub(super) struct Reached {
    /// The first address in the network.
    pub address: Option<SocketAddr>,
    /// What clients of the first listener connect to.
    pub url: String,
    /// Ours as long as this is.
    files: Vec<SocketFile>,
}

/// Something to be listened on, and the number of its entry.
struct Bound {
    socket: Listening,
    entry: usize,
}

/// The entries to listen on and the sockets that were passed for them, which
/// stand in the order of the entries.
pub(super) struct Plan {
    entries: Vec<Listen>,
    passed: Vec<Vec<Listening>>,
    metrics: Vec<Listening>,
}

/// Who takes which of the passed sockets. Comes before anything is opened.
pub(super) fn plan(config: &Config, mut passed: Passed) -> Result<Plan, ConfigError> {
    let mut problems = Vec::new();
    let mut metrics = Vec::new();
    if let Some(ListenAddress::Systemd(name)) =
        config.metrics.as_ref().and_then(|metrics| metrics.listen.as_ref())
    {
        metrics = passed.take(name);
        if metrics.is_empty() {
            problems.push(ConfigError::one("metrics.listen", not_passed(name)));
        }
    }
    let mut entries = config.listeners();
    if config.listen.is_empty() && !passed.is_empty() {
        let names = passed.names();
        log::info!("listening on the sockets that were passed ({})", names.join(", "));
        entries = names.into_iter().map(|name| ListenAddress::Systemd(name).into()).collect();
    }
    let mut sockets = Vec::new();
    for (at, entry) in entries.iter().enumerate() {
        let mut taken = Vec::new();
        if let ListenAddress::Systemd(name) = &entry.address {
            taken = passed.take(name);
            if taken.is_empty() {
                problems.push(listen_problem(at, not_passed(name)));
            }
        }
        sockets.push(taken);
    }
    for name in passed.names() {
        let text = format!("a socket named \"{name}\" was passed that no entry takes");
        problems.push(ConfigError::one("listen", text));
    }
    ConfigError::all(problems)?;
    Ok(Plan { entries, passed: sockets, metrics })
}

fn not_passed(name: &str) -> String {
    format!("no socket named \"{name}\" was passed")
}

/// Listens everywhere, or nowhere.
pub(super) fn listen(
    transport: &mut Transport<Hosted>,
    config: &Config,
    plan: Plan,
) -> Result<Reached, StartError> {
    let mut reached = Reached::default();
    let mut bound = Vec::new();
    for (at, (entry, passed)) in plan.entries.iter().zip(plan.passed).enumerate() {
        let sockets = match &entry.address {
            ListenAddress::Systemd(_) => passed,
            ListenAddress::Tcp { host, port } => bind_name((host, *port), (at, config), &bound)?,
            ListenAddress::Unix(path) => {
                let place = format!("listen[{at}].address");
                let (socket, file) =
                    unix::bind(path, entry.mode).map_err(|reason| failed(&*place, reason))?;
                reached.files.push(file);
                vec![adopt(socket, &place)?]
            }
        };
        bound.extend(sockets.into_iter().map(|socket| Bound { socket, entry: at }));
    }
    let apart = listen_apart(config, plan.metrics, &mut reached.files)?;
    announce(config, &plan.entries, &bound, &mut reached);
    let is_local = bound.iter().all(|one| one.socket.is_local());
    if !is_local {
        warn_of_passed(config, &plan.entries, &bound);
    }
    if config.auth.is_none() && !config.allows_all_origins() && is_local {
        let origins = config.allowed_origins.as_deref().unwrap_or_default();
        let hosts = plan.entries.iter().filter_map(|entry| match &entry.address {
            ListenAddress::Tcp { host, .. } => Some(&**host),
            _ => None,
        });
        transport.guard(Guard::new(hosts, origins));
    }
    #[cfg(feature = "console")]
    super::console::open(transport, config, &reached.url, is_local);
    let take_over = |transport: &mut Transport<Hosted>, socket, terms| {
        transport.take_over(socket, terms).map_err(|error| failed("listen", error.to_string()))
    };
    for Bound { socket, entry } in bound {
        let entry = plan.entries.get(entry);
        let terms = Terms {
            tls: entry.is_some_and(|entry| config.speaks_tls(entry)),
            proxy: entry.is_some_and(|entry| entry.proxy_protocol),
            is_apart: false,
        };
        take_over(transport, socket, terms)?;
    }
    for socket in apart {
        take_over(transport, socket, Terms { is_apart: true, ..Terms::default() })?;
    }
    Ok(reached)
}

/// Says where the server is: the first address of the network in its URL, all
/// others in the log.
fn announce(config: &Config, entries: &[Listen], bound: &[Bound], reached: &mut Reached) {
    let first = bound.iter().position(|one| one.socket.address().is_some());
    for (at, one) in bound.iter().enumerate() {
        let entry = entries.get(one.entry);
        let address = one.socket.address();
        if Some(at) == first.or(Some(0)) {
            reached.address = address;
            let host = match entry.map(|entry| &entry.address) {
                Some(ListenAddress::Tcp { host, .. }) => Some(host.clone()),
                _ => address.map(|address| address.ip().to_string()),
            };
            let speaks_tls = entry.is_some_and(|entry| config.speaks_tls(entry));
            let scheme = if speaks_tls { "wss" } else { "ws" };
            reached.url = match (address, host) {
                (Some(address), Some(host)) => url(scheme, &host, address.port(), &config.path),
                _ => one.socket.to_string(),
            };
        } else {
            log::info!("also listening on {}", one.socket);
        }
    }
}

/// `ws://HOST:PORT/PATH`, IPv6 in brackets.
fn url(scheme: &str, host: &str, port: u16, path: &str) -> String {
    if host.contains(':') {
        format!("{scheme}://[{host}]:{port}{path}")
    } else {
        format!("{scheme}://{host}:{port}{path}")
    }
}

/// Only now it is known what the passed sockets are bound to.
fn warn_of_passed(config: &Config, entries: &[Listen], bound: &[Bound]) {
    let is_passed = |one: &&Bound| {
        let entry = entries.get(one.entry).map(|entry| &entry.address);
        matches!(entry, Some(ListenAddress::Systemd(_))) && !one.socket.is_local()
    };
    for one in bound.iter().filter(is_passed) {
        for warning in config.exposure(&one.socket.to_string()) {
            log::warn!("{warning}");
        }
    }
}

fn adopt(socket: std::os::unix::net::UnixListener, place: &str) -> Result<Listening, StartError> {
    Listening::adopt_unix(socket).map_err(|error| failed(place, error.to_string()))
}

/// The listener of the metrics.
fn listen_apart(
    config: &Config,
    passed: Vec<Listening>,
    files: &mut Vec<SocketFile>,
) -> Result<Vec<Listening>, StartError> {
    const PLACE: &str = "metrics.listen";
    let Some(metrics) = &config.metrics else { return Ok(Vec::new()) };
    let sockets = match &metrics.listen {
        None => return Ok(Vec::new()),
        Some(ListenAddress::Systemd(_)) => passed,
        Some(ListenAddress::Unix(path)) => {
            let (socket, file) = unix::bind(path, None).map_err(|reason| failed(PLACE, reason))?;
            files.push(file);
            vec![adopt(socket, PLACE)?]
        }
        Some(address @ ListenAddress::Tcp { .. }) => match address.fixed().map(Listening::bind) {
            Some(Ok(socket)) => vec![socket],
            Some(Err(error)) if error.kind() == ErrorKind::AddrInUse => {
                return Err(failed(PLACE, format!("{address} is in use")));
            }
            Some(Err(error)) => return Err(failed(PLACE, format!("{address}: {error}"))),
            None => return Err(failed(PLACE, format!("{address} is no IP address"))),
        },
    };
    for socket in &sockets {
        match socket.address() {
            Some(address) => log::info!("metrics on http://{address}{}", metrics.path),
            None => log::info!("metrics on {socket}, path {}", metrics.path),
        }
    }
    Ok(sockets)
}

/// Binds every address of a name, which none of the earlier listeners has.
fn bind_name(
    (host, port): (&str, u16),
    (entry, config): (usize, &Config),
    earlier: &[Bound],
) -> Result<Vec<Listening>, StartError> {
    // The key that somebody has written.
    let place = match config.listen.is_empty() {
        true => "host".to_owned(),
        false => format!("listen[{entry}].address"),
    };
    let addresses = crate::names::resolve(host, port).map_err(|reason| failed(&*place, reason))?;
    let taken = |address: &SocketAddr| {
        earlier.iter().find(|one| port != 0 && one.socket.address() == Some(*address))
    };
    if let Some(other) = addresses.iter().find_map(taken) {
        return Err(listen_problem(entry, same_as(other.entry)).into());
    }
    let mut attempt = 1;
    loop {
        match bind(&addresses) {
            Err((_, error))
                if port == 0 && error.kind() == ErrorKind::AddrInUse && attempt < ATTEMPTS =>
            {
                attempt += 1;
            }
            Err((address, error)) => return Err(explain(&place, address, &error)),
            Ok(bound) => return Ok(bound),
        }
    }
}

/// Binds all of them. An address that this machine lacks is left out as long as
/// there is another one.
fn bind(addresses: &[SocketAddr]) -> Result<Vec<Listening>, (SocketAddr, io::Error)> {
    let mut bound: Vec<Listening> = Vec::new();
    let mut lacking = None;
    for &(mut address) in addresses {
        if let Some(first) = bound.first().and_then(Listening::address) {
            address.set_port(first.port());
        }
        match Listening::bind(address) {
            Ok(socket) => bound.push(socket),
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

fn explain(place: &str, address: SocketAddr, error: &io::Error) -> StartError {
    match error.kind() {
        ErrorKind::AddrInUse => failed("port", format!("{address} is in use")),
        ErrorKind::PermissionDenied => {
            failed("port", format!("{address} is not permitted: {error}"))
        }
        ErrorKind::AddrNotAvailable => {
            failed(place, format!("{address} is no address of this machine"))
        }
        _ => failed("listen", format!("{address}: {error}")),
    }
}
