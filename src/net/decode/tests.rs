//! Every row of protocol.md section 2, whole and cut at every place.

use super::*;
use crate::net::testing::{client_frame, raw_frame};
use proptest::prelude::*;

const RULES: Rules = Rules { max_payload_bytes: 1_000, accept_binary: false };

/// What a decoder made of its input, without borrows.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Text(String),
    Binary(Vec<u8>),
    BinaryRefused,
    Ping(Vec<u8>),
    Close(Option<(u16, String)>),
    Violation(u16),
}

/// Feeds `pieces` one after the other, keeping what is left over.
fn run(pieces: &[&[u8]], rules: &Rules) -> Vec<Seen> {
    let mut decoder = Decoder::default();
    let mut kept = Vec::new();
    let mut seen = Vec::new();
    for piece in pieces {
        kept.extend_from_slice(piece);
        let mut at = 0;
        loop {
            let before = kept.len() - at;
            let (used, item) = decoder.next(&mut kept[at..], rules);
            assert!(used <= before);
            at += used;
            match item {
                Ok(Item::NeedMore) => break,
                Ok(Item::Nothing | Item::Pong(_)) => assert!(used > 0, "no progress"),
                Ok(Item::Text(text)) => seen.push(Seen::Text(text.into_owned())),
                Ok(Item::Binary(bytes)) => seen.push(Seen::Binary(bytes.into_owned())),
                Ok(Item::BinaryRefused) => seen.push(Seen::BinaryRefused),
                Ok(Item::Ping(bytes)) => seen.push(Seen::Ping(bytes.to_vec())),
                Ok(Item::Close(reason)) => {
                    seen.push(Seen::Close(reason.map(|(code, text)| (code, text.to_owned()))));
                    return seen;
                }
                Err(violation) => {
                    seen.push(Seen::Violation(violation.code()));
                    return seen;
                }
            }
        }
        kept.drain(..at);
        assert!(kept.len() < 14 + 125, "only a header or a control frame is kept: {}", kept.len());
    }
    seen
}

/// What it is, the frames, what the decoder makes of them.
type Row = (&'static str, Vec<Vec<u8>>, Vec<Seen>);

fn text(text: &str) -> Seen {
    Seen::Text(text.to_owned())
}

#[test]
fn each_row() {
    let long = "x".repeat(1_000);
    let too_long = "x".repeat(1_001);
    let mut many = raw_frame(0x01, b"");
    for _ in 0..16_382 {
        many.extend(raw_frame(0x00, b""));
    }
    let mut too_many = many.clone();
    many.extend(raw_frame(0x80, b"end"));
    too_many.extend(raw_frame(0x00, b""));
    too_many.extend(raw_frame(0x80, b"end"));
    let announced = client_frame(0x81, too_long.as_bytes())[..8].to_vec();
    let close =
        |code: u16, reason: &[u8]| raw_frame(0x88, &[&code.to_be_bytes()[..], reason].concat());
    let rows: Vec<Row> = vec![
        ("text", vec![client_frame(0x81, b"hi")], vec![text("hi")]),
        ("empty text", vec![client_frame(0x81, b"")], vec![text("")]),
        (
            "fragments with control frames between",
            vec![
                client_frame(0x01, b"one "),
                client_frame(0x89, b"ping"),
                client_frame(0x00, b"two "),
                client_frame(0x8a, b"pong"),
                client_frame(0x80, b"three"),
            ],
            vec![Seen::Ping(b"ping".to_vec()), text("one two three")],
        ),
        (
            "empty fragments",
            vec![client_frame(0x01, b""), client_frame(0x00, b""), client_frame(0x80, b"")],
            vec![text("")],
        ),
        (
            "a character cut by a fragment",
            vec![client_frame(0x01, b"gr\xc3"), client_frame(0x80, b"\xbcn")],
            vec![text("grün")],
        ),
        ("as long as allowed", vec![client_frame(0x81, long.as_bytes())], vec![text(&long)]),
        ("one byte more, from the header", vec![announced], vec![Seen::Violation(1009)]),
        (
            "sum of fragments",
            vec![client_frame(0x01, long.as_bytes()), client_frame(0x80, b"x")[..6].to_vec()],
            vec![Seen::Violation(1009)],
        ),
        (
            "a length of 2^64-1",
            vec![[&[0x81, 0xff][..], &[0xff; 8], &[0; 4]].concat()],
            vec![Seen::Violation(1009)],
        ),
        ("binary", vec![client_frame(0x82, b"hi")], vec![Seen::BinaryRefused]),
        ("empty binary", vec![client_frame(0x82, b"")], vec![Seen::BinaryRefused]),
        (
            "fragmented binary",
            vec![client_frame(0x02, b"\xff"), client_frame(0x80, b"\xfe")],
            vec![Seen::BinaryRefused],
        ),
        (
            "binary, size first",
            vec![client_frame(0x82, too_long.as_bytes())],
            vec![Seen::Violation(1009)],
        ),
        ("not UTF-8", vec![client_frame(0x81, b"a\xffb")], vec![Seen::Violation(1007)]),
        ("half a character", vec![client_frame(0x81, b"a\xc3")], vec![Seen::Violation(1007)]),
        (
            "half a character in fragments",
            vec![client_frame(0x01, b"a"), client_frame(0x80, b"\xc3")],
            vec![Seen::Violation(1007)],
        ),
        (
            "not UTF-8, found before the end of the frame",
            vec![client_frame(0x81, &[b"\xf4\x90".as_slice(), &[b'x'; 90]].concat())[..8].to_vec()],
            vec![Seen::Violation(1007)],
        ),
        ("unmasked", vec![vec![0x81, 2, b'h', b'i']], vec![Seen::Violation(1002)]),
        ("reserved bit", vec![client_frame(0xc1, b"hi")], vec![Seen::Violation(1002)]),
        ("unknown opcode", vec![client_frame(0x83, b"")], vec![Seen::Violation(1002)]),
        ("nothing to continue", vec![client_frame(0x80, b"")], vec![Seen::Violation(1002)]),
        (
            "a second message inside the first",
            vec![client_frame(0x01, b"a"), client_frame(0x81, b"b")],
            vec![Seen::Violation(1002)],
        ),
        ("long ping", vec![raw_frame(0x89, &[0; 126])], vec![Seen::Violation(1002)]),
        ("ping of 125", vec![raw_frame(0x89, &[7; 125])], vec![Seen::Ping(vec![7; 125])]),
        ("fragmented ping", vec![client_frame(0x09, b"")], vec![Seen::Violation(1002)]),
        ("16384 fragments", vec![many], vec![text("end")]),
        ("16385 fragments", vec![too_many], vec![Seen::Violation(1008)]),
        ("close", vec![close(1000, b"bye")], vec![Seen::Close(Some((1000, "bye".into())))]),
        ("empty close", vec![raw_frame(0x88, b"")], vec![Seen::Close(None)]),
        ("close with one byte", vec![raw_frame(0x88, b"\x03")], vec![Seen::Violation(1002)]),
        ("close 4999", vec![close(4999, b"")], vec![Seen::Close(Some((4999, String::new())))]),
        ("close 1005", vec![close(1005, b"")], vec![Seen::Violation(1002)]),
        ("close 2000", vec![close(2000, b"")], vec![Seen::Violation(1002)]),
        ("close reason not UTF-8", vec![close(1000, b"\xff")], vec![Seen::Violation(1007)]),
        (
            "nothing is read behind a close",
            vec![close(1000, b""), client_frame(0x81, b"x")],
            vec![Seen::Close(Some((1000, String::new())))],
        ),
        (
            "messages before what is fatal",
            vec![client_frame(0x81, b"1"), client_frame(0x81, b"2"), client_frame(0x82, b"")],
            vec![text("1"), text("2"), Seen::BinaryRefused],
        ),
    ];
    for (what, frames, expected) in rows {
        let bytes = frames.concat();
        assert_eq!(run(&[&bytes], &RULES), expected, "{what}");
        if bytes.len() < 5_000 {
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            assert_eq!(run(&single, &RULES), expected, "{what}, byte by byte");
        }
    }
}

#[test]
fn a_promise_reserves_nothing() {
    let rules = Rules { max_payload_bytes: 1 << 30, accept_binary: false };
    let mut decoder = Decoder::default();
    let mut input = [&[0x81, 0xff][..], &(1u64 << 30).to_be_bytes(), &[0; 4], b"abc"].concat();
    let (used, item) = decoder.next(&mut input, &rules);
    assert_eq!((used, item), (14, Ok(Item::Nothing)));
    let (used, item) = decoder.next(&mut input[14..], &rules);
    assert_eq!((used, item), (3, Ok(Item::NeedMore)));
    assert!(decoder.kept_bytes() <= 16, "{}", decoder.kept_bytes());
}

#[test]
fn a_refused_binary_message_is_not_kept() {
    let rules = Rules { max_payload_bytes: 1 << 20, accept_binary: false };
    let mut decoder = Decoder::default();
    let mut input = client_frame(0x02, &vec![0; 100_000]);
    let mut at = 0;
    while at < input.len() {
        let (used, item) = decoder.next(&mut input[at..], &rules);
        assert_eq!(item, Ok(Item::Nothing));
        at += used;
    }
    assert_eq!(decoder.kept_bytes(), 0);
}

#[test]
fn while_discarding_only_a_close_is_seen() {
    let mut decoder = Decoder::default();
    let first = client_frame(0x01, b"begun");
    let rest = [
        client_frame(0x80, b"\xff"),
        client_frame(0x81, &[0xff; 2_000]),
        client_frame(0x82, b""),
        client_frame(0x88, b"\x03\xe8"),
    ];
    let mut input = [vec![first], rest.to_vec()].concat().concat();
    let mut at = 0;
    let mut items = 0;
    loop {
        if items == 1 {
            decoder.discard();
        }
        items += 1;
        let (used, item) = decoder.next(&mut input[at..], &RULES);
        at += used;
        match item {
            Ok(Item::Nothing) => {}
            Ok(Item::Close(Some((1000, "")))) => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(at, input.len());
}

/// Messages, each as its fragments, with pings between.
fn conversation() -> impl Strategy<Value = Vec<u8>> {
    let frame = prop_oneof![
        6 => (any::<String>(), prop::bool::weighted(0.6)).prop_map(|(text, whole)| {
            if whole {
                client_frame(0x81, text.as_bytes())
            } else {
                let (a, b) = text.as_bytes().split_at(text.len() / 2);
                [client_frame(0x01, a), client_frame(0x89, b"?"), client_frame(0x80, b)].concat()
            }
        }),
        1 => prop::collection::vec(any::<u8>(), 0..300).prop_map(|bytes| client_frame(0x81, &bytes)),
        1 => prop::collection::vec(any::<u8>(), 0..300).prop_map(|bytes| client_frame(0x82, &bytes)),
        1 => prop::collection::vec(any::<u8>(), 0..30).prop_map(|bytes| bytes),
    ];
    prop::collection::vec(frame, 1..12).prop_map(|frames| frames.concat())
}

proptest! {
    #[test]
    fn cuts_change_nothing(
        bytes in conversation(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        accept_binary: bool,
    ) {
        let rules = Rules { accept_binary, ..RULES };
        // Also at the end, and where there are no bytes at all.
        let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        places.extend([0, bytes.len()]);
        places.sort_unstable();
        let pieces: Vec<&[u8]> = places.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
        prop_assert_eq!(run(&pieces, &rules), run(&[&bytes], &rules));
    }
}
