//! Who may reach a server without authentication that serves this machine only
//! (operations.md section 4): every page that any browser of the machine shows
//! can open a socket to it, and a name that leads here by trickery (DNS
//! rebinding) makes such a page look like one of ours.
//!
//! Owns what a good `Origin` and a good `Host` are. Must not know requests.

use std::net::IpAddr;

/// The guard of one server.
#[derive(Clone, Debug, Default)]
pub struct Guard {
    /// Names under which the server may be asked beside those of the machine.
    hosts: Vec<String>,
}

impl Guard {
    /// `hosts`: the configured ones. `origins`: those that are listed.
    pub fn new<'a>(hosts: impl Iterator<Item = &'a str>, origins: &'a [String]) -> Self {
        let listed = origins.iter().filter_map(|origin| host_of_origin(origin));
        Guard { hosts: hosts.chain(listed).map(str::to_ascii_lowercase).collect() }
    }

    /// Whether a page of this origin is one of this machine, where no list of
    /// origins says more. Framed pages of anybody send `null`.
    pub fn allows_origin(&self, origin: &[u8]) -> bool {
        let host = std::str::from_utf8(origin).ok().and_then(host_of_origin);
        host.is_some_and(|host| is_localhost(host) || address(host).is_some_and(is_loopback))
    }

    /// Whether the name that the client has for this server leads here.
    pub fn allows_host(&self, host: Option<&[u8]>) -> bool {
        // Whoever sends none is no browser.
        let Some(host) = host else { return true };
        let host = std::str::from_utf8(host).ok().and_then(without_port);
        host.is_some_and(|host| {
            is_localhost(host)
                || address(host).is_some()
                || self.hosts.iter().any(|known| known.eq_ignore_ascii_case(host))
        })
    }
}

fn host_of_origin(origin: &str) -> Option<&str> {
    let (scheme, authority) = origin.split_once("://")?;
    let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    if is_scheme { without_port(authority) } else { None }
}

/// A name or an address, IPv6 in its brackets, with or without a port.
fn without_port(text: &str) -> Option<&str> {
    let text = text.trim();
    let end = match text.starts_with('[') {
        true => text.find(']')? + 1,
        false => text.find(':').unwrap_or(text.len()),
    };
    let (host, port) = text.split_at_checked(end)?;
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    let has_good_port = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-[]:".contains(&byte);
    (has_good_port && !host.is_empty() && host.bytes().all(plain)).then_some(host)
}

fn is_localhost(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    host == "localhost" || host.ends_with(".localhost")
}

fn address(host: &str) -> Option<IpAddr> {
    match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']')?.parse().ok().map(IpAddr::V6),
        None => host.parse().ok(),
    }
}

/// Loopback addresses, mapped ones too.
pub fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_of_this_machine() {
        let guard = Guard::default();
        for origin in [
            "http://localhost",
            "http://localhost:3000",
            "https://LOCALHOST:3000",
            "http://localhost.",
            "http://app.localhost:5173",
            "http://127.0.0.1:8080",
            "http://127.8.9.1",
            "http://[::1]:80",
            "http://[::ffff:127.0.0.1]",
            "app://localhost",
            "chrome-extension://localhost",
        ] {
            assert!(guard.allows_origin(origin.as_bytes()), "{origin}");
        }
        for origin in [
            "null",
            "",
            "localhost",
            "https://evil.example",
            "https://localhost.evil.example",
            "https://evil.example/.localhost",
            "https://notlocalhost",
            "https://127.0.0.1.evil.example",
            "https://user@localhost",
            "http://localhost:1:2",
            "http://192.168.1.2",
            "http://[::1",
            "http://localhost:80x",
            "://localhost",
            "http://localhost, http://localhost",
            "file://",
            "http://0.0.0.0",
            "http://[::]",
        ] {
            assert!(!guard.allows_origin(origin.as_bytes()), "{origin}");
        }
        assert!(!guard.allows_origin(b"http://local\xffhost"));
    }

    #[test]
    fn names_that_lead_here() {
        let guard = Guard::new(["Box.Lan"].into_iter(), &["https://app.example:8443".to_owned()]);
        for host in [
            "localhost",
            "localhost:8080",
            "a.b.localhost",
            "127.0.0.1:8080",
            "[::1]:8080",
            "[::1]",
            "192.168.1.2",
            "box.lan",
            "BOX.LAN:80",
            "app.example",
            "app.example:1",
        ] {
            assert!(guard.allows_host(Some(host.as_bytes())), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:8080",
            "",
            " ",
            "a b",
            "[",
            "[::1",
            "::1:x",
            "x:99x",
            "sub.app.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "127.1",
            "localhost, evil.example",
            "localhost/evil.example",
        ] {
            assert!(!guard.allows_host(Some(host.as_bytes())), "{host}");
        }
        assert!(guard.allows_host(None));
    }
}
