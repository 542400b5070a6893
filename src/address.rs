//! Where a client is, and what counts as one client.
//!
//! Must not know sockets: whoever accepts one says where its peer is.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// The far end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Address {
    /// In the network; IPv4-mapped IPv6 is IPv4.
    Ip(IpAddr),
    /// Behind a Unix socket, which does not tell its peers apart.
    Unix,
}

impl Address {
    /// A program of this machine.
    pub fn is_local(self) -> bool {
        match self {
            Address::Ip(ip) => ip.to_canonical().is_loopback(),
            Address::Unix => true,
        }
    }

    /// What limits count by (protocol.md P22): an IPv4 address in full, IPv6 by
    /// its /64 prefix, because that is the least that a provider hands to one
    /// customer.
    #[must_use]
    pub fn client(self) -> Self {
        match self {
            Address::Ip(ip) => Address::Ip(match ip.to_canonical() {
                IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
                v4 => v4,
            }),
            Address::Unix => Address::Unix,
        }
    }
}

impl From<IpAddr> for Address {
    fn from(ip: IpAddr) -> Self {
        Address::Ip(ip.to_canonical())
    }
}

impl From<[u8; 4]> for Address {
    fn from(v4: [u8; 4]) -> Self {
        Address::Ip(v4.into())
    }
}

/// As `remoteAddress` has it.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Ip(ip) => ip.fmt(f),
            Address::Unix => f.write_str("unix"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> Address {
        text.parse::<IpAddr>().expect("an address").into()
    }

    #[test]
    fn a_client_is_an_ipv4_address_or_a_prefix_of_64_bits_or_the_machine() {
        let key = |text: &str| ip(text).client();
        assert_eq!(key("2001:db8:1:2:3:4:5:6"), key("2001:db8:1:2:ffff::1"));
        assert_ne!(key("2001:db8:1:2::1"), key("2001:db8:1:3::1"));
        assert_eq!(key("::ffff:192.0.2.7"), key("192.0.2.7"));
        assert_ne!(key("192.0.2.7"), key("192.0.2.8"));
        assert_eq!(Address::Unix.client(), Address::Unix);
    }

    #[test]
    fn local_is_what_no_network_leads_to() {
        for (address, local) in
            [(ip("127.8.9.1"), true), (ip("::1"), true), (ip("::ffff:127.0.0.1"), true)]
        {
            assert_eq!(address.is_local(), local, "{address}");
        }
        assert!(Address::Unix.is_local() && !ip("192.0.2.7").is_local());
        assert_eq!(Address::Unix.to_string(), "unix");
    }
}
