//! Sockets that a service manager has opened for us (`LISTEN_FDS`).

use std::collections::VecDeque;

use listenfd::ListenFd;

use crate::net::Listening;

/// Passed sockets that nobody has taken, with their names.
#[derive(Default)]
pub(in crate::server) struct Passed(VecDeque<(String, Listening)>);

/// A socket without a name is called so by systemd.
const UNNAMED: &str = "unknown";

impl Passed {
    /// What the environment says was passed. Asked once: the descriptors have an
    /// owner then.
    pub fn from_environment() -> Result<Self, String> {
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut names = names.split(':');
        let mut found = ListenFd::from_env();
        let mut passed = VecDeque::new();
        for at in 0..found.len() {
            let name = names.next().filter(|name| !name.is_empty()).unwrap_or(UNNAMED);
            let socket = take(&mut found, at).map_err(|reason| format!("{name}: {reason}"))?;
            passed.push_back((name.to_owned(), socket));
        }
        Ok(Passed(passed))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The names of those that are left.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.0.iter().map(|(name, _)| name.clone()).collect();
        names.dedup();
        names
    }

    /// All sockets of a name.
    pub fn take(&mut self, wanted: &str) -> Vec<Listening> {
        let (mut taken, mut left) = (Vec::new(), VecDeque::new());
        for (name, socket) in self.0.drain(..) {
            if name == wanted {
                taken.push(socket);
            } else {
                left.push_back((name, socket));
            }
        }
        self.0 = left;
        taken
    }
}

/// Of one family or the other.
fn take(found: &mut ListenFd, at: usize) -> Result<Listening, String> {
    let tcp = found.take_tcp_listener(at);
    if let Ok(Some(socket)) = tcp {
        return Listening::adopt_tcp(socket).map_err(|error| error.to_string());
    }
    match found.take_unix_listener(at) {
        Ok(Some(socket)) => Listening::adopt_unix(socket).map_err(|error| error.to_string()),
        Ok(None) | Err(_) => Err("expected a listening TCP or Unix socket".into()),
    }
}
