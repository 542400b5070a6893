//! Each row of protocol.md section 2 on the wire, with its close code.

use crate::support::*;
use noexd::net::Options;

fn options() -> Options {
    Options { max_payload_bytes: 1_000, ..Options::default() }
}

/// What was sent and what must come back, the end of the connection included.
struct Row {
    what: &'static str,
    bytes: Vec<u8>,
    frames: Vec<Frame>,
}

fn row(what: &'static str, bytes: Vec<u8>, frames: Vec<Frame>) -> Row {
    Row { what, bytes, frames }
}

fn rows() -> Vec<Row> {
    let longest = "x".repeat(1_000);
    let oversized = frame(0x81, "x".repeat(1_001).as_bytes());
    let mut fragments = frame(0x01, b"");
    for _ in 0..16_384 {
        fragments.extend(frame(0x00, b""));
    }
    let closing =
        |code: u16, reason: &[u8]| frame(0x88, &[&code.to_be_bytes()[..], reason].concat());
    let binary = close(1003, "binary_not_supported");
    vec![
        row(
            "an oversized message, from its header",
            oversized[..8].to_vec(),
            vec![close(1009, "")],
        ),
        row(
            "oversized fragments",
            [frame(0x01, longest.as_bytes()), frame(0x80, b"x")].concat(),
            vec![close(1009, "")],
        ),
        row(
            "a message of 2^63 bytes",
            [&[0x81, 0xff, 0x80][..], &[0; 11]].concat(),
            vec![close(1009, "")],
        ),
        row("binary", frame(0x82, b"x"), vec![binary.clone()]),
        row("empty binary", frame(0x82, b""), vec![binary.clone()]),
        row("oversized binary", frame(0x82, &[0; 1_001]), vec![close(1009, "")]),
        row("no UTF-8", frame(0x81, b"\xc0\xaf"), vec![close(1007, "")]),
        row("no UTF-8 in a fragment", frame(0x01, b"\xed\xa0\x80"), vec![close(1007, "")]),
        row("unmasked", b"\x81\x05hello".to_vec(), vec![close(1002, "")]),
        row("reserved bits", frame(0xf1, b""), vec![close(1002, "")]),
        row("unknown opcode", frame(0x85, b""), vec![close(1002, "")]),
        row("a continuation of nothing", frame(0x80, b""), vec![close(1002, "")]),
        row(
            "a message in a message",
            [frame(0x01, b""), frame(0x81, b"")].concat(),
            vec![close(1002, "")],
        ),
        row("a long ping", frame(0x89, &[0; 126]), vec![close(1002, "")]),
        row("a fragmented ping", frame(0x09, b""), vec![close(1002, "")]),
        row("16385 fragments", fragments, vec![close(1008, "")]),
        row("a close", closing(3333, "tschüß".as_bytes()), vec![close(3333, "tschüß")]),
        row("an empty close", frame(0x88, b""), vec![Frame::EmptyClose]),
        row("a close of one byte", frame(0x88, b"\x03"), vec![close(1002, "")]),
        row("close 1004", closing(1004, b""), vec![close(1002, "")]),
        row("close 1006", closing(1006, b""), vec![close(1002, "")]),
        row("close 1015", closing(1015, b""), vec![close(1002, "")]),
        row("close 5000", closing(5000, b""), vec![close(1002, "")]),
        row("a close reason that is no UTF-8", closing(1000, b"\xff"), vec![close(1007, "")]),
        row(
            "five messages and a binary one",
            [
                (1..=5).flat_map(|n| frame(0x81, n.to_string().as_bytes())).collect(),
                frame(0x82, b"fatal"),
                frame(0x81, b"never"),
            ]
            .concat(),
            vec![text("1"), text("2"), text("3"), text("4"), text("5"), binary],
        ),
        row(
            "messages in front of a close",
            [frame(0x81, b"1"), frame(0x81, b"2"), closing(1000, b"bye"), frame(0x81, b"never")]
                .concat(),
            vec![text("1"), text("2"), close(1000, "bye")],
        ),
    ]
}

#[test]
fn each_row_in_one_write() {
    let server = Server::start(options());
    for Row { what, bytes, frames } in rows() {
        let mut client = server.connect();
        client.send(&bytes);
        for expected in &frames {
            assert_eq!(client.frame(), *expected, "{what}");
        }
        // A client answers a close before the server ends the connection.
        if let Some(Frame::Close(code, _)) = frames.last() {
            client.send(&frame(0x88, &code.to_be_bytes()));
        }
        assert_eq!(client.frame(), Frame::End, "{what}");
        server.assert_alive(what);
    }
    assert!(!server.ask(|app| app.log.contains(&"never".to_owned())));
}

#[test]
fn each_row_in_one_write_with_the_handshake() {
    let server = Server::start(options());
    for Row { what, bytes, frames } in rows() {
        let mut stream = Client::dial(server.address);
        let request = upgrade_request("/", "");
        std::io::Write::write_all(&mut stream, &[request.as_bytes(), &bytes].concat()).unwrap();
        let mut client = Client::after_request(stream);
        assert_eq!(client.welcome, text("welcome 127.0.0.1"), "{what}");
        for expected in &frames {
            assert_eq!(client.frame(), *expected, "{what}");
        }
    }
}

#[test]
fn what_keeps_a_connection_open() {
    let server = Server::start(options());
    let mut client = server.connect();
    let longest = "x".repeat(1_000);
    client.text(&longest);
    assert_eq!(client.frame(), text(&longest));
    client.send(&frame(0x89, b"payload"));
    assert_eq!(client.frame(), Frame::Pong(b"payload".to_vec()));
    client.send(&frame(0x8a, b"nobody asked"));
    client.send(&frame(0x01, "grü".as_bytes()));
    client.send(&frame(0x89, b""));
    client.send(&frame(0x00, b""));
    client.send(&frame(0x80, b"n"));
    assert_eq!(client.frame(), Frame::Pong(Vec::new()));
    assert_eq!(client.frame(), text("grün"));
    for byte in frame(0x81, b"slow") {
        client.send(&[byte]);
    }
    assert_eq!(client.frame(), text("slow"));
    assert_eq!(server.ask(|app| app.log.len()), 3);
}

#[test]
fn after_a_close_of_the_server_nothing_is_read_as_a_message() {
    let server = Server::start(options());
    let mut client = server.connect();
    let burst = [frame(0x81, b"before"), frame(0x81, b"!close"), frame(0x81, b"behind")].concat();
    client.send(&burst);
    assert_eq!(client.frame(), text("before"));
    assert_eq!(client.frame(), close(4001, "heartbeat_timeout"));
    client.text("later");
    client.send(&frame(0x89, b"no pong"));
    // Even a broken frame gets no second close.
    client.send(&frame(0x81, &[b'x'; 5_000]));
    client.send(&frame(0x88, &4001u16.to_be_bytes()));
    assert_eq!(client.frame(), Frame::End);
    assert_eq!(server.ask(|app| app.log.clone()), ["before", "!close"]);
}

#[test]
fn a_client_that_does_not_answer_a_close_is_dropped() {
    let server = Server::start(Options { close_timeout_ms: 100, ..options() });
    // By the app, by a violation, by itself without closing its socket.
    for bytes in [frame(0x81, b"!close"), frame(0x82, b""), frame(0x88, b"")] {
        let mut client = server.connect();
        client.send(&bytes);
        assert!(matches!(client.frame(), Frame::Close(..) | Frame::EmptyClose));
        assert_eq!(client.frame(), Frame::End);
        server.wait_until_sockets(0);
    }
}

#[test]
fn an_end_in_the_middle_of_a_frame_is_an_end() {
    let server = Server::start(options());
    for part in [&frame(0x81, b"hello")[..1], &frame(0x81, b"hello")[..8], &frame(0x01, b"x")] {
        let mut client = server.connect();
        client.send(part);
        client.finish_writing();
        assert_eq!(client.frame(), Frame::End);
    }
    assert_eq!(server.ask(|app| app.log.clone()), ["closed", "closed", "closed"]);
    server.assert_alive("cut frames");
}
