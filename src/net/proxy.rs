//! The PROXY protocol, versions 1 and 2: who the peer of a proxy is, said in
//! front of everything else.
//!
//! Owns the form of the header. Must not know who is believed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Longest header of version 1, its line feed included.
const LONGEST_V1: usize = 107;

/// Longest header of version 2 that is read; what is in it beyond addresses
/// means nothing here.
const LONGEST_V2: usize = 2048;

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// What input begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    NeedMore,
    Found {
        /// Its length.
        used: usize,
        /// `None`: the proxy speaks for itself, or does not know.
        source: Option<IpAddr>,
    },
    /// No header, and no beginning of one.
    Bad,
}

/// Reads a header, which has to be there.
pub fn read(input: &[u8]) -> Header {
    let begins = |with: &[u8]| input.iter().zip(with).all(|(one, other)| one == other);
    if begins(SIGNATURE) {
        read_v2(input)
    } else if begins(b"PROXY ") {
        read_v1(input)
    } else {
        Header::Bad
    }
}

fn read_v1(input: &[u8]) -> Header {
    let head = input.get(..LONGEST_V1).unwrap_or(input);
    let Some(end) = head.windows(2).position(|pair| pair == b"\r\n") else {
        return if input.len() < LONGEST_V1 { Header::NeedMore } else { Header::Bad };
    };
    let line = head.get(..end).and_then(|line| std::str::from_utf8(line).ok());
    let used = end + 2;
    let words: Vec<&str> = line.unwrap_or_default().split(' ').collect();
    match words.as_slice() {
        ["PROXY", "UNKNOWN", ..] => Header::Found { used, source: None },
        ["PROXY", family @ ("TCP4" | "TCP6"), source, target, from, to] => {
            let is_v4 = *family == "TCP4";
            let address = |text: &str| {
                let address: Option<IpAddr> = text.parse().ok();
                address.filter(|address| address.is_ipv4() == is_v4)
            };
            let is_port = |text: &str| {
                text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok()
            };
            match (address(source), address(target)) {
                (Some(source), Some(_)) if is_port(from) && is_port(to) => {
                    Header::Found { used, source: Some(source) }
                }
                _ => Header::Bad,
            }
        }
        _ => Header::Bad,
    }
}

fn read_v2(input: &[u8]) -> Header {
    let Some([version, family, high, low]) = input.get(SIGNATURE.len()..SIGNATURE.len() + 4) else {
        return Header::NeedMore;
    };
    let start = SIGNATURE.len() + 4;
    let used = start + usize::from(u16::from_be_bytes([*high, *low]));
    let is_local = match version {
        0x20 => true,
        0x21 => false,
        _ => return Header::Bad,
    };
    if used > LONGEST_V2 {
        return Header::Bad;
    }
    let Some(body) = input.get(start..used) else { return Header::NeedMore };
    // Source and target address, then their ports; what follows is not looked at.
    let source = match (is_local, family >> 4) {
        (true, _) | (false, 0 | 3) => return Header::Found { used, source: None },
        (false, 1) if body.len() >= 12 => {
            body.first_chunk::<4>().map(|octets| IpAddr::V4(Ipv4Addr::from(*octets)))
        }
        (false, 2) if body.len() >= 36 => {
            body.first_chunk::<16>().map(|octets| IpAddr::V6(Ipv6Addr::from(*octets)))
        }
        _ => None,
    };
    match source {
        Some(source) => Header::Found { used, source: Some(source) },
        None => Header::Bad,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let length = (body.len() as u16).to_be_bytes();
        [SIGNATURE, &[0x20 | command, family], &length, body].concat()
    }

    /// Whole, cut at each byte, and with something behind it.
    fn check(header: &[u8], source: Option<&str>) {
        let source = source.map(|text| text.parse().expect("an address"));
        for end in 0..header.len() {
            assert_eq!(read(&header[..end]), Header::NeedMore, "{end} of {header:?}");
        }
        let found = Header::Found { used: header.len(), source };
        assert_eq!(read(header), found);
        assert_eq!(read(&[header, b"\r\nGET / HTTP/1.1\r\n"].concat()), found);
    }

    #[test]
    fn headers_of_both_versions() {
        check(b"PROXY TCP4 192.0.2.7 10.0.0.1 56324 443\r\n", Some("192.0.2.7"));
        check(b"PROXY TCP6 2001:db8::7 ::1 1 65535\r\n", Some("2001:db8::7"));
        check(b"PROXY UNKNOWN\r\n", None);
        check(b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", None);
        let v4 = [192, 0, 2, 7, 10, 0, 0, 1, 0, 1, 0, 2];
        check(&v2(1, 0x11, &v4), Some("192.0.2.7"));
        check(&v2(1, 0x11, &[&v4[..], &[3, 0, 1, 9]].concat()), Some("192.0.2.7"));
        let mut v6 = [0; 36];
        v6[..2].copy_from_slice(&[0x20, 0x01]);
        check(&v2(1, 0x21, &v6), Some("2001::"));
        check(&v2(0, 0x11, &v4), None);
        check(&v2(1, 0x31, &[0; 216]), None);
        check(&v2(1, 0, b""), None);
        check(&v2(1, 0x11, &[[7; 12].to_vec(), vec![0; 2020]].concat()), Some("7.7.7.7"));
    }

    #[test]
    fn what_is_no_header() {
        let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(LONGEST_V1 - 15));
        for bad in [
            &b"GET / HTTP/1.1\r\n"[..],
            b"\x16\x03\x01",
            b"PROXY TCP4 192.0.2.7 10.0.0.1 56324\r\n",
            b"PROXY TCP4 192.0.2.7 10.0.0.1 56324 443 1\r\n",
            b"PROXY TCP4 ::1 10.0.0.1 1 2\r\n",
            b"PROXY TCP6 192.0.2.7 10.0.0.1 1 2\r\n",
            b"PROXY TCP4 192.0.2.7 10.0.0.1 +1 2\r\n",
            b"PROXY TCP4 192.0.2.7 10.0.0.1 1 65536\r\n",
            b"PROXY  TCP4 192.0.2.7 10.0.0.1 1 2\r\n",
            b"PROXY UDP4 192.0.2.7 10.0.0.1 1 2\r\n",
            b"PROXY \xff\r\n",
            long.as_bytes(),
            &v2(2, 0x11, &[0; 12]),
            &v2(1, 0x11, &[0; 11]),
            &v2(1, 0x21, &[0; 35]),
            &v2(1, 0x41, &[0; 36]),
            &v2(1, 0x11, &[0; 2033]),
            b"\r\n\r\n\0\r\nQUIT\n\x11\x11\0\x0c",
        ] {
            assert_eq!(read(bad), Header::Bad, "{bad:?}");
        }
    }
}
