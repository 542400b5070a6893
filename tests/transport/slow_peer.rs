//! Peers that are slow: while something moves they are alive, though their pong
//! has to wait until the message in front of it is through.
//!
//! As 1 MB at 60 KB/s is to the heartbeat's default settings, with everything
//! shorter. How long it takes is nowhere asserted: a slower machine only makes
//! the pieces fewer.

use crate::program::{Program, ping, ping_of, pong};
use crate::support::*;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// A piece of an upload has ten times its pause to arrive.
const HEARTBEAT_MS: u64 = 500;
const PAUSE: Duration = Duration::from_millis(HEARTBEAT_MS / 10);

/// The next frame that is no ping; those are answered.
fn answer(client: &mut Client) -> Frame {
    loop {
        let frame = client.frame();
        match ping_of(&frame) {
            Some(time) => pong(client, time),
            None => return frame,
        }
    }
}

/// A request of nearly a megabyte, as one frame.
fn upload() -> Vec<u8> {
    let text = "x".repeat(1_000_000);
    let request =
        format!(r#"{{"id":2,"type":"store.insert","bucket":"b","data":{{"id":1,"t":"{text}"}}}}"#);
    frame(0x81, request.as_bytes())
}

fn client_with_bucket(program: &Program) -> Client {
    let mut client = Client::open(program.address, "", "");
    client.text(
        r#"{"id":1,"type":"store.defineBucket","name":"b","config":{"key":"id","schema":{"id":{"type":"number"},"t":{"type":"string"}}}}"#,
    );
    let defined = answer(&mut client);
    assert!(matches!(&defined, Frame::Text(text) if text.contains(r#""type":"result""#)));
    client
}

#[test]
fn a_slow_upload_is_no_missing_pong() {
    let program = Program::start("slow-upload", HEARTBEAT_MS);
    let mut client = client_with_bucket(&program);
    let upload = upload();
    let mut pieces = upload.chunks(upload.len() / 100);
    client.send(pieces.next().unwrap());
    // It comes in the middle of the frame, so its pong cannot be sent.
    let mut time = ping(&mut client);
    let pinged = Instant::now();
    // Beyond four deadlines, each of another ping.
    while pinged.elapsed() < Duration::from_millis(HEARTBEAT_MS * 9 / 2) {
        client.send(pieces.next().unwrap());
        sleep(PAUSE);
        if !client.has_nothing() {
            time = ping(&mut client);
        }
    }
    pieces.for_each(|rest| client.send(rest));
    while !client.has_nothing() {
        let frame = client.frame();
        match ping_of(&frame) {
            Some(newest) => time = newest,
            None => panic!("{frame:?} instead of an answer"),
        }
    }
    pong(&mut client, time);
    let Frame::Text(result) = answer(&mut client) else { panic!("no result") };
    assert!(result.starts_with(r#"{"id":2,"type":"result""#), "{}", &result[..200]);
    assert!(result.len() > 1_000_000);
    // And the heart beats on.
    for _ in 0..2 {
        let time = ping(&mut client);
        pong(&mut client, time);
    }
}

#[test]
fn an_upload_that_stands_still_is_a_missing_pong() {
    let program = Program::start("standing-upload", HEARTBEAT_MS);
    let mut client = client_with_bucket(&program);
    client.send(&upload()[..10_000]);
    ping(&mut client);
    assert_eq!(client.frame(), close(4001, "heartbeat_timeout"));
}

#[test]
fn an_upload_that_never_ends_is_not_excused_for_ever() {
    let program = Program::start("endless-upload", 200);
    let mut client = client_with_bucket(&program);
    let upload = upload();
    let mut bytes = upload.chunks(1);
    client.send(bytes.next().unwrap());
    let mut pings = 0;
    let last = loop {
        if client.has_nothing() {
            client.send(bytes.next().unwrap());
            sleep(Duration::from_millis(10));
            continue;
        }
        let frame = client.frame();
        match ping_of(&frame) {
            Some(_) => pings += 1,
            None => break frame,
        }
    };
    assert_eq!(last, close(4001, "heartbeat_timeout"));
    assert_eq!(pings, 11, "the deadlines of ten are let pass");
}
