//! Conversations with a server that runs, as its clients have them: what
//! `noexd healthcheck`, `noexd shell`, `noexd top` and `noexd types` have in
//! common, and the latter three.
//!
//! Owns command lines, sockets that block, what is on the screen. Must not know
//! the engine: what a server says is all there is.
//!
//! Files from the ground up; each imports only what stands above its line:
//!
//! 1. `place`, `screen`, `secrets`, `shell/printer`
//! 2. `target`, `top/table`, `top/terminal`, `wire`
//! 3. `client`, `top/page`
//! 4. `access`, `shell/line`, `shell/show`
//! 5. `shell`, `shell/session`, `top`, `top/live`, `types`
//! 6. `shell/complete`
//! 7. `shell/editor`

mod place;

#[cfg(feature = "tools")]
mod access;
#[cfg(feature = "tools")]
mod client;
#[cfg(feature = "tools")]
mod screen;
#[cfg(feature = "tools")]
mod secrets;
#[cfg(feature = "tools")]
pub mod shell;
#[cfg(feature = "tools")]
mod target;
#[cfg(feature = "tools")]
pub mod top;
#[cfg(feature = "tools")]
pub mod types;
#[cfg(feature = "tools")]
mod wire;

pub(crate) use place::{Place, Socket};

/// Why a tool ended.
#[derive(Debug)]
pub enum Failure {
    /// The command line, the environment or a file that they name is wrong.
    Usage(String),
    /// There is no connection, or none any more.
    Unreachable(String),
    /// The server has said no.
    Refused(String),
    /// It has, and the person has been told.
    Told,
    /// Whoever read the output has gone.
    Unread,
}

/// Puts TLS on a connection: with `host`, if that is to be checked, else with
/// whoever answers.
#[cfg(feature = "tools")]
pub(crate) fn seal(
    socket: Socket,
    host: &str,
    is_checked: bool,
) -> std::io::Result<impl std::io::Read + std::io::Write> {
    use crate::net::tls::{Client, Trust};

    let trust = match is_checked {
        true => Trust::Roots(access::roots(None, |name| std::env::var(name).ok())),
        false => Trust::Anybody,
    };
    let client = Client::connect(host, &trust, &mut client::Blocking(&socket))?;
    Ok(wire::Wire::new(socket, Some(client)))
}
