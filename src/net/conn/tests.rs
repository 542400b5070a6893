//! A whole conversation without a socket: the same bytes in any segments lead
//! to the same output.

use super::*;
use crate::net::http::{Site, Verdict, judge};
use crate::net::limits::SLICES;
use crate::net::spares::Spares;
use crate::net::testing::{client_frame, raw_frame};
use proptest::prelude::*;
use std::io::IoSlice;

const RULES: Rules = Rules { max_payload_bytes: 1_000, accept_binary: false };

const UPGRADE: &str = "GET /ws HTTP/1.1\r\nHost: a b\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Version: 13\r\n\r\n";

/// An echo server around one connection, as the transport drives it.
#[derive(Default)]
struct Echo {
    conn: Conn,
    ended: Option<u16>,
}

impl Echo {
    fn receive(&mut self, piece: &[u8]) {
        let mut input = self.conn.take_kept();
        input.extend_from_slice(piece);
        let mut at = 0;
        loop {
            let (used, step) = self.conn.step(&mut input[at..], &RULES);
            at += used;
            match step {
                Step::NeedMore => break,
                Step::Nothing | Step::Pong(_) | Step::Refused(_) => {}
                // Nothing here comes to the door.
                Step::Call(..) | Step::Denied(..) => unreachable!("no call"),
                Step::Request(request) => {
                    match judge(
                        &request,
                        &Site {
                            path: "/ws",
                            allowed_origins: None,
                            guard: None,
                            is_for_all: false,
                        },
                    ) {
                        Verdict::Upgrade(answer) => {
                            self.conn.upgrade(&answer);
                            self.conn.outbox.push_text(
                                b"welcome",
                                None,
                                b"",
                                0,
                                0,
                                &mut Spares::default(),
                            );
                        }
                        Verdict::Options | Verdict::Page(_) => {
                            self.conn.refuse(Refusal::NotFound, request.method)
                        }
                        Verdict::Refuse(refusal) => self.conn.refuse(refusal, request.method),
                    }
                }
                Step::Text(text) => {
                    self.conn.outbox.push_text(
                        text.as_bytes(),
                        None,
                        b"",
                        0,
                        0,
                        &mut Spares::default(),
                    );
                }
                Step::Binary(_) => unreachable!("binary messages are refused"),
                Step::Ended(code) => {
                    assert!(self.ended.replace(code).is_none(), "ended twice");
                }
            }
        }
        self.conn.keep_from(input, at, true);
    }

    fn output(&self) -> Vec<u8> {
        let mut slices = [IoSlice::new(&[]); SLICES];
        let (count, _) = self.conn.outbox.slices(0, &mut slices);
        slices[..count].iter().flat_map(|slice| slice.iter().copied()).collect()
    }

    /// What was sent behind the answer to the handshake and the welcome.
    fn frames(&self) -> Vec<u8> {
        let output = self.output();
        let welcome = output.windows(7).position(|w| w == b"welcome").expect("a welcome");
        output[welcome + 7..].to_vec()
    }
}

fn text(text: &str) -> Vec<u8> {
    client_frame(0x81, text.as_bytes())
}

#[test]
fn a_message_behind_the_handshake_is_answered_after_the_welcome() {
    let mut echo = Echo::default();
    echo.receive(&[UPGRADE.as_bytes(), &text("early")].concat());
    assert_eq!(echo.frames(), b"\x81\x05early");
}

#[test]
fn responses_before_what_is_fatal_leave_before_the_close_frame() {
    let mut echo = Echo::default();
    echo.receive(UPGRADE.as_bytes());
    let mut burst: Vec<u8> = (1..=5).flat_map(|n| text(&n.to_string())).collect();
    burst.extend(client_frame(0x82, b"binary"));
    burst.extend(text("never"));
    echo.receive(&burst);
    let close = b"\x88\x16\x03\xebbinary_not_supported";
    let expected = [&b"\x81\x011\x81\x012\x81\x013\x81\x014\x81\x015"[..], close].concat();
    assert_eq!(echo.frames(), expected);
    assert_eq!(echo.ended, Some(1003));
    assert!(!echo.conn.is_draining(), "the peer's close frame is awaited");
    echo.receive(&[client_frame(0x89, b"no pong"), client_frame(0x88, b"\x03\xeb")].concat());
    assert!(echo.conn.is_draining());
    assert_eq!(echo.frames(), expected, "the close frame is the last thing");
}

#[test]
fn closes_are_echoed() {
    for (sent, answered, code) in [
        (raw_frame(0x88, b"\x03\xe8bye"), &b"\x88\x05\x03\xe8bye"[..], 1000),
        (raw_frame(0x88, b""), b"\x88\x00", NO_CODE),
        (raw_frame(0x88, b"\x03\xed"), b"\x88\x02\x03\xea", 1002),
        (raw_frame(0x89, b"hi"), b"\x8a\x02hi", 0),
    ] {
        let mut echo = Echo::default();
        echo.receive(UPGRADE.as_bytes());
        echo.receive(&[sent, text("behind")].concat());
        let frames = echo.frames();
        assert!(frames.starts_with(answered), "{frames:?}");
        if code != 0 {
            assert_eq!(echo.ended, Some(code));
            assert_eq!(frames, answered, "nothing is handled behind a close");
        }
    }
}

#[test]
fn the_end_of_the_input() {
    let mut echo = Echo::default();
    assert!(matches!(echo.conn.end_of_input(), Step::Nothing), "nobody said anything");
    assert_eq!(echo.output(), b"");

    let mut echo = Echo::default();
    echo.receive(b"GET / HTTP/1.1\r\n");
    assert!(matches!(echo.conn.end_of_input(), Step::Refused(Refusal::Malformed(_))));
    assert!(echo.output().starts_with(b"HTTP/1.1 400 "));

    let mut echo = Echo::default();
    echo.receive(UPGRADE.as_bytes());
    echo.receive(&text("question"));
    assert!(matches!(echo.conn.end_of_input(), Step::Ended(NO_CLOSE_FRAME)));
    assert_eq!(echo.frames(), b"\x81\x08question", "the answer is still to be sent");
}

#[test]
fn an_idle_connection_keeps_nothing() {
    let mut echo = Echo::default();
    for byte in UPGRADE.as_bytes().chunks(1).chain(text("hello").chunks(1)) {
        echo.receive(byte);
    }
    echo.conn.outbox.consume(echo.conn.outbox.buffered(), &mut Spares::default());
    assert_eq!(echo.conn.kept.capacity(), 0);
    assert_eq!(echo.conn.decoder.kept_bytes(), 0);
    assert!(size_of::<Conn>() <= 200, "{} bytes of state", size_of::<Conn>());
}

proptest! {
    #[test]
    fn segments_change_nothing(
        messages in prop::collection::vec((prop::sample::select(vec![0x81u8, 0x01, 0x80, 0x89, 0x82, 0x88, 0xc1]), "[a-zü]{0,40}"), 0..12),
        head_is_good in prop::bool::weighted(0.9),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let head = if head_is_good { UPGRADE.to_owned() } else { UPGRADE.replace("/ws", "/") };
        let mut bytes = head.into_bytes();
        for (first, payload) in messages {
            bytes.extend(client_frame(first, payload.as_bytes()));
        }
        let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len())).collect();
        places.extend([0, bytes.len()]);
        places.sort_unstable();
        let mut whole = Echo::default();
        whole.receive(&bytes);
        let mut cut = Echo::default();
        for pair in places.windows(2) {
            cut.receive(&bytes[pair[0]..pair[1]]);
        }
        prop_assert_eq!(cut.output(), whole.output());
        prop_assert_eq!(cut.ended, whole.ended);
        prop_assert_eq!(cut.conn.is_draining(), whole.conn.is_draining());
    }

    /// Arbitrary bytes never lead to a panic, nor to more kept than one frame.
    #[test]
    fn garbage(open: bool, bytes in prop::collection::vec(any::<u8>(), 0..2_000)) {
        let mut echo = Echo::default();
        if open {
            echo.receive(UPGRADE.as_bytes());
        }
        for piece in bytes.chunks(100) {
            echo.receive(piece);
        }
    }
}
