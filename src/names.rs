//! The addresses that a host's name stands for.
//!
//! A program with a static glibc must not ask that library: it would load the
//! machine's own modules for names into a process that they do not fit. Such a
//! build reads `/etc/hosts` and asks the program `getent`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// All of them, each once; addresses stand for themselves. `localhost` is what
/// it is whatever a file or a server of names says.
///
/// # Errors
///
/// Why there is none, with the name.
pub fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
    let plain = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    if let Ok(ip) = plain.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    if host.eq_ignore_ascii_case("localhost") {
        let both = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
        return Ok(both.map(|ip| SocketAddr::new(ip, port)).to_vec());
    }
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for address in look_up(host, port)? {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    match addresses.is_empty() {
        true => Err(format!("{host} has no address")),
        false => Ok(addresses),
    }
}

#[cfg(not(target_feature = "crt-static"))]
fn look_up(host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
    use std::net::ToSocketAddrs as _;

    let found = (host, port).to_socket_addrs();
    found.map(Iterator::collect).map_err(|error| format!("{host} does not resolve: {error}"))
}

#[cfg(target_feature = "crt-static")]
fn look_up(host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
    let cannot = || format!("cannot resolve \"{host}\" here, give an IP address");
    // It becomes an argument of a program.
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    if host.starts_with('-') || !host.bytes().all(is_name) {
        return Err(cannot());
    }
    let hosts = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
    let mut found = in_hosts(&hosts, host);
    if found.is_empty() {
        let asked = std::process::Command::new("getent")
            .args(["ahosts", host])
            .stdin(std::process::Stdio::null())
            .output()
            .map_err(|_| cannot())?;
        found = in_answer(&String::from_utf8_lossy(&asked.stdout));
    }
    match found.is_empty() {
        true => Err(cannot()),
        false => Ok(found.into_iter().map(|ip| SocketAddr::new(ip, port)).collect()),
    }
}

/// The addresses that a file like `/etc/hosts` has for a name.
#[cfg(any(test, target_feature = "crt-static"))]
fn in_hosts(text: &str, name: &str) -> Vec<IpAddr> {
    let address = |line: &str| {
        let line = line.split('#').next()?;
        let mut words = line.split_whitespace();
        let ip = words.next()?.parse().ok()?;
        words.any(|word| word.eq_ignore_ascii_case(name)).then_some(ip)
    };
    text.lines().filter_map(address).collect()
}

/// What `getent ahosts` says: a line per address and kind of socket.
#[cfg(any(test, target_feature = "crt-static"))]
fn in_answer(text: &str) -> Vec<IpAddr> {
    text.lines().filter_map(|line| line.split_whitespace().next()?.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ips(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().expect("an address")).collect()
    }

    #[test]
    fn addresses_and_this_machine_need_nobody() {
        let texts = |host| -> Vec<String> {
            resolve(host, 7).expect(host).iter().map(ToString::to_string).collect()
        };
        assert_eq!(texts("192.0.2.1"), ["192.0.2.1:7"]);
        assert_eq!(texts("::1"), ["[::1]:7"]);
        assert_eq!(texts("[2001:db8::1]"), ["[2001:db8::1]:7"]);
        assert_eq!(texts("LocalHost"), ["127.0.0.1:7", "[::1]:7"]);
        assert!(resolve("no such host", 7).is_err());
    }

    #[test]
    fn the_file_of_hosts() {
        let text = "# 192.0.2.9 db\n127.0.0.1\tlocalhost\n192.0.2.1  db.example DB # store\n\
                    2001:db8::1 db\nrubbish db\n192.0.2.2 dbx";
        assert_eq!(in_hosts(text, "db"), ips(&["192.0.2.1", "2001:db8::1"]));
        assert_eq!(in_hosts(text, "db.example"), ips(&["192.0.2.1"]));
        assert_eq!(in_hosts(text, "store"), ips(&[]));
    }

    #[test]
    fn the_answer_of_getent() {
        let text = "192.0.2.1      STREAM db.example\n192.0.2.1      DGRAM\n2001:db8::1 RAW\n";
        assert_eq!(in_answer(text), ips(&["192.0.2.1", "192.0.2.1", "2001:db8::1"]));
        assert_eq!(in_answer(""), ips(&[]));
    }
}
