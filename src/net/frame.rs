//! WebSocket frames as bytes: headers in and out, masks.
//!
//! Owns the rules that concern one frame by itself (RFC 6455 section 5.2). It
//! must not know what a message is.

use super::limits::CONTROL_PAYLOAD;
use std::io::Cursor;
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

/// How a peer broke the frame protocol; each has its close code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// Unmasked, reserved bits, unknown opcode, bad fragmentation, bad control
    /// frame, bad close code.
    Protocol,
    /// Text or the reason of a close frame is not UTF-8.
    NotUtf8,
    /// More than [`FRAGMENTS`](super::limits::FRAGMENTS) frames in a message.
    TooManyFragments,
    /// A message longer than `maxPayloadBytes`.
    TooLarge,
}

impl Violation {
    pub fn code(self) -> u16 {
        match self {
            Violation::Protocol => 1002,
            Violation::NotUtf8 => 1007,
            Violation::TooManyFragments => 1008,
            Violation::TooLarge => 1009,
        }
    }
}

/// The header of a client's frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub is_final: bool,
    pub kind: Kind,
    /// Length of the payload.
    pub length: u64,
    pub mask: [u8; 4],
    /// Length of the header itself.
    pub size: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Continuation,
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

impl Header {
    /// Reads the header at the beginning of `input`; `None` if it is not
    /// complete. What its first two bytes give away is refused without the rest.
    pub fn parse(input: &[u8]) -> Result<Option<Header>, Violation> {
        let &[first, second, ..] = input else { return Ok(None) };
        let (reserved, masked, short_length) = (first & 0x70, second & 0x80, second & 0x7f);
        if reserved != 0 || masked == 0 {
            return Err(Violation::Protocol);
        }
        let kind = match OpCode::from(first & 0x0f) {
            OpCode::Data(Data::Continue) => Kind::Continuation,
            OpCode::Data(Data::Text) => Kind::Text,
            OpCode::Data(Data::Binary) => Kind::Binary,
            OpCode::Control(Control::Close) => Kind::Close,
            OpCode::Control(Control::Ping) => Kind::Ping,
            OpCode::Control(Control::Pong) => Kind::Pong,
            OpCode::Data(Data::Reserved(_)) | OpCode::Control(Control::Reserved(_)) => {
                return Err(Violation::Protocol);
            }
        };
        let is_final = first & 0x80 != 0;
        if kind.is_control() && (!is_final || u64::from(short_length) > CONTROL_PAYLOAD) {
            return Err(Violation::Protocol);
        }
        let mut cursor = Cursor::new(input);
        match FrameHeader::parse(&mut cursor) {
            Ok(None) => Ok(None),
            Ok(Some((FrameHeader { mask: Some(mask), .. }, length))) => {
                let size = cursor.position() as usize;
                Ok(Some(Header { is_final, kind, length, mask, size }))
            }
            Ok(Some((FrameHeader { mask: None, .. }, _))) | Err(_) => Err(Violation::Protocol),
        }
    }
}

impl Kind {
    pub fn is_control(self) -> bool {
        matches!(self, Kind::Close | Kind::Ping | Kind::Pong)
    }
}

/// Removes (or applies) a mask that begins at the first of `bytes`.
pub fn unmask(bytes: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let word = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = bytes.as_chunks_mut::<8>();
    for chunk in words {
        *chunk = (u64::from_ne_bytes(*chunk) ^ word).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(mask.into_iter().cycle()) {
        *byte ^= key;
    }
}

/// The first byte of an unfragmented frame from the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Outgoing {
    Text = 0x81,
    Binary = 0x82,
    Close = 0x88,
    Ping = 0x89,
    Pong = 0x8a,
}

/// Appends the header of a frame that is not masked, as all of a server's are.
pub fn write_header(out: &mut Vec<u8>, first: Outgoing, length: usize) {
    let first = first as u8;
    if length <= 125 {
        out.extend_from_slice(&[first, length as u8]);
    } else if let Ok(length) = u16::try_from(length) {
        let [high, low] = length.to_be_bytes();
        out.extend_from_slice(&[first, 126, high, low]);
    } else {
        out.extend_from_slice(&[first, 127]);
        out.extend_from_slice(&(length as u64).to_be_bytes());
    }
}

/// A code that a peer may send in a close frame.
pub fn is_valid_close_code(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// The length of a frame of ours, header included, that begins here.
pub fn length_of_own(frame: &[u8]) -> Option<usize> {
    let short = frame.get(1)? & 0x7f;
    let (size, length) = match short {
        126 => (4, frame.get(2..4)?),
        127 => (10, frame.get(2..10)?),
        _ => return Some(2 + usize::from(short)),
    };
    let length = length.iter().fold(0usize, |sum, byte| sum << 8 | usize::from(*byte));
    length.checked_add(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_bytes_are_enough_to_refuse() {
        // (bytes, what is wrong)
        let refused: &[(&[u8], &str)] = &[
            (&[0x81, 0x05], "unmasked"),
            (&[0xc1, 0x85], "reserved bit 1, a compressed frame"),
            (&[0xa1, 0x85], "reserved bit 2"),
            (&[0x91, 0x85], "reserved bit 3"),
            (&[0x83, 0x80], "unknown data opcode"),
            (&[0x8b, 0x80], "unknown control opcode"),
            (&[0x09, 0x80], "fragmented ping"),
            (&[0x89, 0xfe], "ping of 126 bytes and more"),
            (&[0x88, 0xff], "close with a 64-bit length"),
        ];
        for (bytes, what) in refused {
            assert_eq!(Header::parse(bytes), Err(Violation::Protocol), "{what}");
        }
        assert_eq!(Header::parse(&[0x83]), Ok(None), "one byte is judged with the second");
    }

    #[test]
    fn headers_are_read_whole_or_not_at_all() {
        let mask = [1, 2, 3, 4];
        for length in [0u64, 1, 125, 126, 127, 65_535, 65_536, u64::from(u32::MAX), u64::MAX] {
            let mut bytes = vec![0x01];
            match length {
                0..=125 => bytes.push(0x80 | length as u8),
                126..=65_535 => {
                    bytes.push(0xfe);
                    bytes.extend_from_slice(&(length as u16).to_be_bytes());
                }
                _ => {
                    bytes.push(0xff);
                    bytes.extend_from_slice(&length.to_be_bytes());
                }
            }
            bytes.extend_from_slice(&mask);
            let size = bytes.len();
            for cut in 0..size {
                assert_eq!(Header::parse(&bytes[..cut]), Ok(None), "{cut} of {size} bytes");
            }
            bytes.extend_from_slice(b"payload");
            let header = Header { is_final: false, kind: Kind::Text, length, mask, size };
            assert_eq!(Header::parse(&bytes), Ok(Some(header)));
        }
    }

    #[test]
    fn unmasking_is_the_same_at_every_length() {
        let mask = [0x11, 0x22, 0x44, 0x88];
        for length in 0..40 {
            let clear: Vec<u8> = (0..length).map(|i: u8| i.wrapping_mul(7)).collect();
            let mut bytes: Vec<u8> =
                clear.iter().enumerate().map(|(i, byte)| byte ^ mask[i % 4]).collect();
            unmask(&mut bytes, mask);
            assert_eq!(bytes, clear);
        }
    }

    #[test]
    fn written_headers_are_the_shortest() {
        for (length, expected) in [
            (0, &[0x81, 0][..]),
            (125, &[0x81, 125]),
            (126, &[0x81, 126, 0, 126]),
            (65_535, &[0x81, 126, 0xff, 0xff]),
            (65_536, &[0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let mut out = Vec::new();
            write_header(&mut out, Outgoing::Text, length);
            assert_eq!(out, expected);
        }
    }

    #[test]
    fn close_codes() {
        let valid: Vec<u16> = (0..=u16::MAX).filter(|code| is_valid_close_code(*code)).collect();
        let expected: Vec<u16> = [1000, 1001, 1002, 1003].into_iter().chain(1007..=1014).collect();
        assert_eq!(valid[..12], expected);
        assert_eq!(valid[12..], (3000..=4999).collect::<Vec<u16>>());
    }
}
