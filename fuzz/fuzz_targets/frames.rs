//! The bytes of a client behind the handshake, through the state machine of one
//! connection, whole and cut into pieces.
//!
//! What is handed out must not depend on the cuts and must be what a decoder
//! that is written for clarity makes of the same bytes; what is kept between
//! two pieces stays within the limit.

#![no_main]

use libfuzzer_sys::fuzz_target;
use noexd::net::conn::{Conn, Step};
use noexd::net::decode::Rules;

#[derive(Debug, PartialEq, Eq)]
enum Event {
    Text(String),
    Binary(Vec<u8>),
    Ended(u16),
}

/// Drives a connection as the transport does.
fn drive(input: &[u8], cuts: &[u8], rules: &Rules) -> Vec<Event> {
    let mut conn = Conn::new();
    conn.upgrade(b"");
    let mut events = Vec::new();
    let mut cuts = cuts.iter().cycle();
    let mut rest = input;
    while !rest.is_empty() {
        let length = cuts.next().map_or(rest.len(), |&cut| usize::from(cut).max(1)).min(rest.len());
        let (piece, behind) = rest.split_at(length);
        rest = behind;
        let mut buffer = conn.take_kept();
        buffer.extend_from_slice(piece);
        let mut used = 0;
        let stalled = loop {
            let (taken, step) = conn.step(&mut buffer[used..], rules);
            used += taken;
            let stalled = match step {
                Step::NeedMore => true,
                Step::Nothing | Step::Pong(_) => false,
                Step::Text(text) => {
                    events.push(Event::Text(text.into_owned()));
                    false
                }
                Step::Binary(bytes) => {
                    events.push(Event::Binary(bytes.into_owned()));
                    false
                }
                Step::Ended(code) => {
                    events.push(Event::Ended(code));
                    false
                }
                step
                @ (Step::Request(_) | Step::Refused(_) | Step::Call(..) | Step::Denied(..)) => {
                    panic!("{step:?} after the upgrade")
                }
            };
            if stalled {
                break true;
            }
            if used == buffer.len() {
                break false;
            }
        };
        conn.keep_from(buffer, used, stalled);
        let kept = conn.take_kept();
        // A control frame and a header at most; payloads are in the decoder.
        assert!(kept.len() <= 14 + 125, "{} bytes kept", kept.len());
        conn.keep(&kept, stalled);
        let ended = events.iter().any(|event| matches!(event, Event::Ended(_)));
        assert_eq!(conn.is_open(), !ended);
    }
    if conn.is_open() {
        assert!(matches!(conn.end_of_input(), Step::Ended(_)));
    }
    events
}

/// The same by the rules of the protocol, one by one, over the whole input.
fn reference(mut input: &[u8], rules: &Rules) -> Vec<Event> {
    let mut events = Vec::new();
    let mut message: Option<(bool, Vec<u8>, u64, u32)> = None;
    let ended = |mut events: Vec<Event>, code| {
        events.push(Event::Ended(code));
        events
    };
    while let [first, second, ..] = *input {
        let (last, opcode) = (first & 0x80 != 0, first & 0x0f);
        let control = opcode >= 8;
        if first & 0x70 != 0 || second & 0x80 == 0 || !matches!(opcode, 0..=2 | 8..=10) {
            return ended(events, 1002);
        }
        if control && (!last || second & 0x7f > 125) {
            return ended(events, 1002);
        }
        let size = match second & 0x7f {
            126 => 4,
            127 => 10,
            _ => 2,
        };
        let Some(mask) = input.get(size..size + 4) else { return events };
        let length = match size {
            2 => u64::from(second & 0x7f),
            _ => input[2..size].iter().fold(0, |length, &byte| length << 8 | u64::from(byte)),
        };
        if !control {
            let (sum, fragments) = match (&message, opcode) {
                (Some((.., sum, fragments)), 0) => (*sum, *fragments),
                (None, 1 | 2) => (0, 0),
                _ => return ended(events, 1002),
            };
            if sum.saturating_add(length) > rules.max_payload_bytes {
                return ended(events, 1009);
            }
            if fragments == 16_384 {
                return ended(events, 1008);
            }
        }
        let available = &input[size + 4..];
        let complete = available.len() as u64 >= length;
        let payload: Vec<u8> = available
            .iter()
            .take(usize::try_from(length).unwrap_or(usize::MAX))
            .zip(mask.iter().cycle())
            .map(|(byte, mask)| byte ^ mask)
            .collect();
        if control {
            if !complete {
                return events;
            }
            if opcode == 8 {
                let code = match payload[..] {
                    [] => 1005,
                    [_] => 1002,
                    [high, low, ref reason @ ..] => match u16::from_be_bytes([high, low]) {
                        code @ (1000..=1003 | 1007..=1014 | 3000..=4999) => {
                            if std::str::from_utf8(reason).is_ok() { code } else { 1007 }
                        }
                        _ => 1002,
                    },
                };
                return ended(events, code);
            }
        } else {
            let (binary, bytes, sum, fragments) =
                message.get_or_insert((opcode == 2, Vec::new(), 0, 0));
            bytes.extend_from_slice(&payload);
            *sum += length;
            *fragments += 1;
            let hopeless = std::str::from_utf8(bytes)
                .is_err_and(|error| error.error_len().is_some() || (complete && last));
            if !*binary && hopeless {
                return ended(events, 1007);
            }
            if !complete {
                return events;
            }
            if last {
                match (*binary, rules.accept_binary) {
                    (false, _) => {
                        let text = String::from_utf8(std::mem::take(bytes)).expect("checked");
                        events.push(Event::Text(text));
                    }
                    (true, true) => events.push(Event::Binary(std::mem::take(bytes))),
                    (true, false) => return ended(events, 1003),
                }
                message = None;
            }
        }
        input = &available[length as usize..];
    }
    events
}

fuzz_target!(|data: &[u8]| {
    let [kind, limit, count, rest @ ..] = data else { return };
    let (cuts, input) = rest.split_at(rest.len().min(usize::from(count % 8)));
    let rules = Rules { max_payload_bytes: u64::from(*limit) * 16, accept_binary: kind & 1 == 1 };
    let expected = reference(input, &rules);
    assert_eq!(drive(input, &[], &rules), expected, "whole");
    assert_eq!(drive(input, cuts, &rules), expected, "in pieces");
    assert_eq!(drive(input, &[1], &rules), expected, "byte by byte");
});
