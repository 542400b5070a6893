//! TLS as bytes in and bytes out: no socket, no clock, no thread.
//!
//! This folder alone names the library and the cryptography behind it
//! ([`session`], [`certificate`]). Must not know the loop.

#[cfg(feature = "tls")]
mod certificate;
#[cfg(all(feature = "tls", feature = "tools"))]
mod client;
#[cfg(feature = "tls")]
mod session;

#[cfg(feature = "tls")]
pub use certificate::{Certificate, load};
#[cfg(all(feature = "tls", feature = "tools"))]
pub use client::Client;
#[cfg(feature = "tls")]
pub(super) use session::Session;

#[cfg(not(feature = "tls"))]
mod absent;
#[cfg(all(not(feature = "tls"), feature = "tools"))]
pub use absent::Client;
#[cfg(not(feature = "tls"))]
pub(super) use absent::Session;
#[cfg(not(feature = "tls"))]
pub use absent::{Certificate, load};

use std::path::PathBuf;

/// Most plaintext of one record (RFC 8446 section 5.1).
pub(super) const RECORD_BYTES: usize = 16 * 1024;

/// The header of a record: type, version, length.
const HEADER_BYTES: usize = 5;

/// Longest record on the wire (RFC 5246 section 6.2.3).
const LONGEST_RECORD: usize = RECORD_BYTES + 2048;

/// Longest input that may wait for the rest of a handshake message.
pub(super) const LONGEST_WAIT: usize = 3 * RECORD_BYTES;

/// The first byte of a client that speaks TLS.
pub(super) const FIRST_BYTE: u8 = 0x16;

/// Where the certificate is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// PEM, leaf first.
    pub cert: PathBuf,
    pub key: PathBuf,
    /// Clients must show a certificate that chains to one of these.
    pub client_ca: Option<PathBuf>,
    /// Refuses everything older than TLS 1.3.
    pub only_1_3: bool,
}

/// Whom a client of another server believes.
#[cfg(feature = "tools")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Whoever has a certificate that is in this file (PEM), or chains to one
    /// there.
    Roots(PathBuf),
    /// Anybody: nothing is known of who listens in or answers.
    Anybody,
}

/// What is wrong with one of the files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadFile {
    /// The member of `tls`.
    pub key: &'static str,
    pub reason: String,
}

impl std::fmt::Display for BadFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.key, self.reason)
    }
}

/// How far a handshake is.
#[derive(Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "tls"), expect(dead_code, reason = "there is nobody to make them"))]
pub(super) enum Shake {
    /// It needs more from the peer.
    More,
    Done,
    Failed(String),
}

/// What opening input came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Opened {
    /// This much of the input is not needed any more.
    pub used: usize,
    /// The peer has said that it sends no more.
    pub ended: bool,
}

/// The length of the whole records that input begins with. What no record can
/// be counts as one: there is nothing to wait for.
pub(super) fn whole_records(input: &[u8]) -> usize {
    let mut at = 0;
    while let Some([.., high, low]) = input.get(at..at + HEADER_BYTES) {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        if length > LONGEST_RECORD {
            return input.len();
        }
        let end = at + HEADER_BYTES + length;
        if end > input.len() {
            break;
        }
        at = end;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_counted_whole() {
        let record = |length: u16| {
            let mut bytes = vec![FIRST_BYTE, 3, 1];
            bytes.extend(length.to_be_bytes());
            bytes.resize(HEADER_BYTES + usize::from(length), 7);
            bytes
        };
        let two = [record(3), record(0)].concat();
        for (length, whole) in [(0, 0), (4, 0), (7, 0), (8, 8), (12, 8), (13, 13)] {
            assert_eq!(whole_records(&two[..length]), whole, "{length}");
        }
        assert_eq!(whole_records(&record(18_432)), 18_437);
        assert_eq!(whole_records(&record(18_433)[..9]), 9, "no record: not waited for");
    }
}
