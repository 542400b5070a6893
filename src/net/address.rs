//! Addresses of clients: ranges, trusted proxies, what counts as one client.

use crate::address::Address;
use crate::app::ConnId;
use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// An address or a CIDR range. IPv4-mapped IPv6 is IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IpNet {
    /// The bits of the range; all others are zero.
    bits: u128,
    mask: u128,
    is_v4: bool,
}

impl IpNet {
    /// Whether the address is in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        let (bits, is_v4) = to_bits(address);
        is_v4 == self.is_v4 && bits & self.mask == self.bits
    }
}

fn to_bits(address: IpAddr) -> (u128, bool) {
    match address.to_canonical() {
        IpAddr::V4(v4) => (u128::from(u32::from(v4)) << 96, true),
        IpAddr::V6(v6) => (u128::from(v6), false),
    }
}

/// The first `length` of 128 bits.
fn prefix_mask(length: u32) -> u128 {
    u128::MAX.checked_shl(128 - length.min(128)).unwrap_or(0)
}

/// What was wrong with the text of a range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IpNetError(String);

impl fmt::Display for IpNetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for IpNetError {}

/// Always with its length: `10.0.0.0/8`, `192.0.2.7/32`.
impl fmt::Display for IpNet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let length = self.mask.count_ones();
        if self.is_v4 {
            write!(f, "{}/{length}", Ipv4Addr::from((self.bits >> 96) as u32))
        } else {
            write!(f, "{}/{length}", Ipv6Addr::from(self.bits))
        }
    }
}

impl FromStr for IpNet {
    type Err = IpNetError;

    fn from_str(text: &str) -> Result<Self, IpNetError> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| {
            IpNetError(format!(
                "expected an IP address or a range such as 10.0.0.0/8, got {text:?}"
            ))
        })?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let length = match length {
            None => width,
            Some(digits) => {
                match digits.parse::<u32>().ok().filter(|n| *n <= width && !digits.starts_with('+'))
                {
                    Some(length) => length,
                    None => {
                        return Err(IpNetError(format!(
                            "expected a prefix length of 0..{width} after the /, got {text:?}"
                        )));
                    }
                }
            }
        };
        let mapped = address.is_ipv6() && address.to_canonical().is_ipv4();
        // A range of mapped addresses that is wider than all of IPv4 is not one
        // of IPv4 addresses only; its IPv6 part has no use here.
        let length = if mapped { length.saturating_sub(96) } else { length };
        let (bits, is_v4) = to_bits(address);
        let mask = prefix_mask(length);
        Ok(IpNet { bits: bits & mask, mask, is_v4 })
    }
}

/// Whose word for the client's address is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrustedProxy {
    /// Every peer in this network.
    Net(IpNet),
    /// Every peer on a Unix socket.
    Unix,
}

impl TrustedProxy {
    fn is(self, address: Address) -> bool {
        match (self, address) {
            (TrustedProxy::Net(range), Address::Ip(ip)) => range.contains(ip),
            (TrustedProxy::Unix, Address::Unix) => true,
            _ => false,
        }
    }
}

impl fmt::Display for TrustedProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TrustedProxy::Net(range) => range.fmt(f),
            TrustedProxy::Unix => f.write_str("unix"),
        }
    }
}

impl FromStr for TrustedProxy {
    type Err = IpNetError;

    fn from_str(text: &str) -> Result<Self, IpNetError> {
        match text {
            "unix" => Ok(TrustedProxy::Unix),
            _ => text.parse().map(TrustedProxy::Net),
        }
    }
}

/// Whether a peer is a proxy of ours.
pub fn is_trusted(peer: Address, trusted: &[TrustedProxy]) -> bool {
    trusted.iter().any(|proxy| proxy.is(peer))
}

/// The address of a client (config.md C5): the peer's own, or what a trusted
/// proxy says in `X-Forwarded-For` (the rightmost entry that is not itself
/// trusted) or else in `X-Real-IP`. What is no IP address is not believed.
pub fn client_address(
    peer: Address,
    forwarded_for: Option<&[u8]>,
    real_ip: Option<&[u8]>,
    trusted: &[TrustedProxy],
) -> Address {
    if !is_trusted(peer, trusted) {
        return peer;
    }
    let parse = |text: &[u8]| parse_address(text).map(Address::from);
    match (forwarded_for, real_ip) {
        (Some(entries), _) => entries
            .rsplit(|byte| *byte == b',')
            .map(parse)
            .find(|entry| !entry.is_some_and(|address| is_trusted(address, trusted)))
            .flatten()
            .unwrap_or(peer),
        (None, Some(entry)) => parse(entry).unwrap_or(peer),
        (None, None) => peer,
    }
}

/// An address as proxies write it: with or without a port (then IPv6 in
/// brackets), perhaps between quotation marks.
fn parse_address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?.trim();
    let quoted = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let text = quoted.unwrap_or(text);
    let bracketed = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let address = match bracketed {
        Some(v6) => IpAddr::V6(v6.parse().ok()?),
        None => match text.parse::<SocketAddr>() {
            Ok(with_port) => with_port.ip(),
            Err(_) => text.parse().ok()?,
        },
    };
    Some(address.to_canonical())
}

/// Whether a peer that says whom it speaks for is likely a proxy of ours that
/// the configuration does not know.
pub fn is_untold_proxy(peer: Address, trusted: &[TrustedProxy]) -> bool {
    let is_near = peer.is_local()
        || match peer {
            Address::Ip(IpAddr::V4(v4)) => v4.is_private() || v4.is_link_local(),
            Address::Ip(IpAddr::V6(v6)) => v6.is_unique_local() || v6.is_unicast_link_local(),
            Address::Unix => true,
        };
    is_near && !is_trusted(peer, trusted)
}

/// Open connections per client. Empty while there is no limit, so that it
/// costs nothing. Peers on Unix sockets cannot be told apart, so none of them is
/// kept out for the sake of the others.
#[derive(Debug)]
pub struct PerClient {
    limit: Option<u32>,
    /// Those that are admitted, by the address that limits count by.
    admitted: HashMap<Address, BTreeSet<ConnId>>,
}

impl PerClient {
    pub fn new(limit: Option<u32>) -> Self {
        PerClient { limit, admitted: HashMap::new() }
    }

    /// Whether one more would be admitted.
    pub fn has_room(&self, address: Address) -> bool {
        let (Some(limit), Address::Ip(_)) = (self.limit, address) else { return true };
        self.connections(address).len() < limit as usize
    }

    /// Counts one more connection, or refuses it.
    pub fn admit(&mut self, address: Address, id: ConnId) -> bool {
        let (Some(_), Address::Ip(_)) = (self.limit, address) else { return true };
        let has_room = self.has_room(address);
        if has_room {
            self.admitted.entry(address.client()).or_default().insert(id);
        }
        has_room
    }

    /// An admitted connection has begun to close.
    pub fn leave(&mut self, address: Address, id: ConnId) {
        let key = address.client();
        if let Some(admitted) = self.admitted.get_mut(&key) {
            admitted.remove(&id);
            if admitted.is_empty() {
                self.admitted.remove(&key);
            }
        }
    }

    /// The connections of a client; none where nothing is counted.
    pub fn connections(&self, address: Address) -> impl ExactSizeIterator<Item = ConnId> {
        static NONE: BTreeSet<ConnId> = BTreeSet::new();
        self.admitted.get(&address.client()).unwrap_or(&NONE).iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn at(text: &str) -> Address {
        if text == "unix" { Address::Unix } else { ip(text).into() }
    }

    #[test]
    fn ranges() {
        let inside = [
            ("10.0.0.0/8", "10.255.0.1"),
            ("10.0.0.0/8", "::ffff:10.1.2.3"),
            ("10.1.2.3", "10.1.2.3"),
            ("0.0.0.0/0", "1.2.3.4"),
            ("::ffff:10.0.0.0/104", "10.9.9.9"),
            ("2001:db8::/32", "2001:db8:1::5"),
            ("::/0", "2001:db8::1"),
            ("::1", "::1"),
        ];
        for (range, address) in inside {
            assert!(range.parse::<IpNet>().unwrap().contains(ip(address)), "{address} in {range}");
        }
        let outside = [
            ("10.0.0.0/8", "11.0.0.1"),
            ("10.1.2.3", "10.1.2.4"),
            ("0.0.0.0/0", "2001:db8::1"),
            ("::/0", "1.2.3.4"),
            ("2001:db8::/32", "2001:db9::1"),
        ];
        for (range, address) in outside {
            assert!(!range.parse::<IpNet>().unwrap().contains(ip(address)), "{address} in {range}");
        }
        for bad in ["", "10.0.0", "10.0.0.0/33", "::/129", "10.0.0.0/", "10.0.0.0/+8", "a/8"] {
            let error = bad.parse::<IpNet>().unwrap_err().to_string();
            assert!(error.contains("expected"), "{error}");
        }
    }

    #[test]
    fn proxies_are_believed_when_trusted() {
        let trusted: Vec<TrustedProxy> =
            ["10.0.0.0/8", "127.0.0.1", "unix"].map(|range| range.parse().unwrap()).to_vec();
        // (peer, X-Forwarded-For, X-Real-IP, client)
        let rows = [
            ("9.9.9.9", Some("1.1.1.1"), Some("2.2.2.2"), "9.9.9.9"),
            ("10.0.0.1", Some("1.1.1.1"), Some("2.2.2.2"), "1.1.1.1"),
            ("::ffff:10.0.0.1", Some("1.1.1.1"), None, "1.1.1.1"),
            ("10.0.0.1", Some("6.6.6.6, 1.1.1.1, 10.0.0.2"), None, "1.1.1.1"),
            ("10.0.0.1", Some(" 2001:db8::1 ,127.0.0.1"), None, "2001:db8::1"),
            ("10.0.0.1", Some("1.1.1.1, unknown"), None, "10.0.0.1"),
            ("10.0.0.1", Some("1.1.1.1:80"), None, "1.1.1.1"),
            ("10.0.0.1", Some("\"1.1.1.1:80\""), None, "1.1.1.1"),
            ("10.0.0.1", Some("[2001:db8::1]:4000"), None, "2001:db8::1"),
            ("10.0.0.1", Some("\"[2001:db8::1]\""), None, "2001:db8::1"),
            ("10.0.0.1", Some("6.6.6.6:1, 1.1.1.1:2, 10.0.0.2:3"), None, "1.1.1.1"),
            ("10.0.0.1", None, Some("[::ffff:2.2.2.2]:80"), "2.2.2.2"),
            ("10.0.0.1", Some("[1.1.1.1]"), None, "10.0.0.1"),
            ("10.0.0.1", Some("1.1.1.1:99999"), None, "10.0.0.1"),
            ("10.0.0.1", Some("2001:db8::1]:80"), None, "10.0.0.1"),
            ("10.0.0.1", Some("10.0.0.3, 10.0.0.2"), None, "10.0.0.1"),
            ("10.0.0.1", Some(""), Some("2.2.2.2"), "10.0.0.1"),
            ("10.0.0.1", None, Some("2.2.2.2"), "2.2.2.2"),
            ("10.0.0.1", None, Some("nobody"), "10.0.0.1"),
            ("10.0.0.1", None, None, "10.0.0.1"),
            ("unix", Some("1.1.1.1"), None, "1.1.1.1"),
            ("unix", None, Some("2.2.2.2"), "2.2.2.2"),
            ("unix", Some("unix"), None, "unix"),
            ("unix", None, None, "unix"),
        ];
        for (peer, forwarded, real, client) in rows {
            let found = client_address(
                at(peer),
                forwarded.map(str::as_bytes),
                real.map(str::as_bytes),
                &trusted,
            );
            assert_eq!(found, at(client), "{peer} {forwarded:?} {real:?}");
        }
    }

    #[test]
    fn a_client_is_an_ipv4_address_or_a_64_bit_prefix() {
        let mut counts = PerClient::new(Some(1));
        let id = |slot| ConnId { slot, generation: 1 };
        assert!(counts.admit(at("1.1.1.1"), id(1)));
        assert!(!counts.admit(at("::ffff:1.1.1.1"), id(2)));
        assert!(counts.admit(at("1.1.1.2"), id(3)));
        assert!(counts.admit(at("2001:db8::1"), id(4)));
        assert!(!counts.admit(at("2001:db8::ffff:2"), id(5)));
        assert!(counts.connections(at("2001:db8::9")).eq([id(4)]));
        assert!(counts.admit(at("2001:db8:0:1::1"), id(6)));
        counts.leave(at("2001:db8::1"), id(4));
        assert!(counts.admit(at("2001:db8::2"), id(7)));
        for (address, slot) in
            [("1.1.1.1", 1), ("1.1.1.2", 3), ("2001:db8::2", 7), ("2001:db8:0:1::1", 6)]
        {
            counts.leave(at(address), id(slot));
        }
        assert!(counts.admitted.is_empty(), "nobody is remembered for ever");
        assert!((0..9).all(|slot| counts.admit(Address::Unix, id(slot))));
        assert!(counts.admitted.is_empty());
        assert!(!PerClient::new(Some(0)).admit(at("1.1.1.1"), id(1)));
    }
}
