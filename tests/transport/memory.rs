//! What all connections together may hold (limits.md section 4).

use crate::support::*;
use noexd::net::Options;
use std::sync::atomic::Ordering::Relaxed;

/// Asks for answers and reads none of them.
fn stalled(server: &Server, each: usize, count: usize) -> Client {
    let mut client = server.connect();
    let requests: Vec<u8> =
        (0..count).flat_map(|_| frame(0x81, format!("!big {each}").as_bytes())).collect();
    client.send(&requests);
    client
}

#[test]
fn readers_that_stand_still_are_closed_largest_first_when_all_hold_too_much() {
    let limit = 8 << 20;
    let options =
        Options { max_output_bytes: limit, max_buffered_bytes: 64 << 20, ..Options::default() };
    let server = Server::start(options);
    let counters = server.counters.clone();
    // Each holds what its socket does not take; the kernel takes some megabytes.
    let mut small = stalled(&server, 100_000, 70);
    let mut large = stalled(&server, 100_000, 400);
    let mut reader = server.connect();
    server.wait_until("room", {
        let counters = counters.clone();
        move |_| counters.output_limit_reached.load(Relaxed) == 1
    });
    assert!(counters.outbox_bytes.load(Relaxed) <= limit as u64);
    // Its frames come to an end, and then it is told.
    let frames = large.rest();
    let (last, whole) = frames.split_last().expect("frames");
    assert_eq!(*last, close(1013, "output_limit"));
    let expected = Frame::Text(format!("<{}>", "x".repeat(100_000)));
    assert!(!whole.is_empty() && whole.iter().all(|frame| *frame == expected));
    assert_eq!(counters.closed().get(&1013), Some(&1));
    // The others have lost nothing.
    for n in 0..70 {
        assert!(small.frame() == expected, "{n}");
    }
    reader.text("done");
    assert_eq!(reader.frame(), text("done"));
}

#[test]
fn the_largest_unfinished_message_goes_when_all_are_too_large() {
    let options =
        Options { max_input_bytes: 300_000, max_payload_bytes: 250_000, ..Options::default() };
    let server = Server::start(options);
    let counters = server.counters.clone();
    // Five sixths of a message.
    let begin = |client: &mut Client, bytes: usize| {
        let whole = frame(0x81, &vec![b'x'; bytes / 5 * 6]);
        client.send(&whole[..bytes]);
    };
    let (mut small, mut large, mut other) = (server.connect(), server.connect(), server.connect());
    begin(&mut small, 50_000);
    begin(&mut large, 100_000);
    server.wait_until("both", {
        let counters = counters.clone();
        move |_| counters.input_bytes.load(Relaxed) >= 149_000
    });
    assert_eq!(counters.input_limit_reached.load(Relaxed), 0);
    begin(&mut other, 200_000);
    // The largest of all.
    assert_eq!(other.rest(), [close(1013, "input_limit")]);
    assert_eq!(counters.input_limit_reached.load(Relaxed), 1);
    // The others can end theirs.
    for (client, sent) in [(&mut small, 50_000), (&mut large, 100_000)] {
        client.send(&frame(0x81, &vec![b'x'; sent / 5 * 6])[sent..]);
        assert!(client.frame() == Frame::Text("x".repeat(sent / 5 * 6)));
    }
    server.wait_until("nothing left", move |_| counters.input_bytes.load(Relaxed) < 1_000);
}
