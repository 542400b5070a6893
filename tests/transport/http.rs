//! Handshakes and plain HTTP (protocol.md sections 1 and 8).

use crate::support::*;
use noexd::net::Options;
use std::io::Write;

/// Sends `request`, reads everything up to the end of the connection.
fn ask(server: &Server, request: &str) -> String {
    let mut stream = Client::dial(server.address);
    stream.write_all(request.as_bytes()).unwrap();
    read_all(&mut stream)
}

#[test]
fn every_refusal_is_answered_and_leaves_the_server_alive() {
    let options = Options {
        allowed_origins: Some(vec!["https://good.example".to_owned()]),
        ..Options::default()
    };
    let server = Server::start(options);
    let good = upgrade_request("/", "");
    let long = format!("X: {}\r\n", "y".repeat(17_000));
    let rows: Vec<(&str, String, &str)> = vec![
        ("garbage", "\x16\x03\x01garbage\r\n\r\n".into(), "400"),
        ("no version", "GET /\r\n\r\n".into(), "400"),
        ("HTTP/1.0", good.replace("1.1", "1.0"), "400"),
        ("no Host", good.replace("Host: x\r\n", ""), "400"),
        ("a head too long", upgrade_request("/", &long), "431"),
        ("an endless line", "x".repeat(20_000), "431"),
        ("Host: a b without upgrade", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n".into(), "426"),
        ("target //", upgrade_request("//", ""), "404"),
        ("target // without upgrade", "GET // HTTP/1.1\r\nHost: x\r\n\r\n".into(), "404"),
        ("another path", upgrade_request("/other", ""), "404"),
        ("another origin", upgrade_request("/", "Origin: https://evil.example\r\n"), "403"),
        ("POST", good.replace("GET", "POST"), "405"),
        ("another protocol", good.replace(": websocket", ": h2c"), "400"),
        ("no key", good.replace("Sec-WebSocket-Key", "X"), "400"),
        ("a bad key", good.replace("dGhl", "!!!!"), "400"),
        ("version 12", good.replace(": 13", ": 12"), "400"),
        ("bad subprotocols", upgrade_request("/", "Sec-WebSocket-Protocol: ,\r\n"), "400"),
        ("plain GET", "GET / HTTP/1.1\r\nHost: x\r\n\r\n".into(), "426"),
        ("plain GET elsewhere", "GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n".into(), "404"),
        ("plain DELETE", "DELETE / HTTP/1.1\r\nHost: x\r\n\r\n".into(), "405"),
        (
            "a body is not read",
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nsome body".into(),
            "405",
        ),
    ];
    for (what, request, status) in rows {
        let answer = ask(&server, &request);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{what}: {answer}");
        assert!(answer.contains("\r\nConnection: close\r\n"), "{what}: {answer}");
        server.assert_alive(what);
    }
    assert_eq!(server.counters.refused().values().sum::<u64>(), 21);
}

#[test]
fn hosts_are_never_interpreted() {
    let server = Server::start(Options::default());
    for host in ["a b", "[", "%", "x:99999", " ", "[::1", "//"] {
        let request = upgrade_request("/?token=1", "").replace("Host: x", &format!("Host: {host}"));
        let mut stream = Client::dial(server.address);
        stream.write_all(request.as_bytes()).unwrap();
        assert_eq!(Client::after_request(stream).welcome, text("welcome 127.0.0.1"), "{host}");
    }
}

#[test]
fn pages_are_the_apps() {
    let server = Server::start(Options::default());
    let get = ask(&server, "GET /page?x HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(get.starts_with("HTTP/1.1 200 OK\r\n"), "{get}");
    assert!(get.ends_with("\r\nContent-Length: 15\r\n\r\nhello 127.0.0.1"), "{get}");
    let head = ask(&server, "HEAD /page HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(head.ends_with("\r\nContent-Length: 15\r\n\r\n"), "{head}");
}

#[test]
fn the_first_subprotocol_is_chosen_and_no_extension() {
    let server = Server::start(Options::default());
    let fields = "Sec-WebSocket-Protocol: a, b\r\nSec-WebSocket-Protocol: c\r\n\
        Sec-WebSocket-Extensions: permessage-deflate\r\n";
    let client = Client::open(server.address, fields, "");
    assert!(client.head.contains("\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
    assert!(client.head.contains("\r\nSec-WebSocket-Protocol: a\r\n"), "{}", client.head);
    assert!(!client.head.contains("Extensions"), "{}", client.head);
}

#[test]
fn a_message_in_the_handshake_is_answered_after_the_welcome() {
    let server = Server::start(Options::default());
    let mut client = Client::open(server.address, "", "early");
    assert_eq!(client.welcome, text("welcome 127.0.0.1"));
    assert_eq!(client.frame(), text("early"));
}

#[test]
fn a_handshake_byte_by_byte() {
    let server = Server::start(Options::default());
    let mut stream = Client::dial(server.address);
    stream.set_nodelay(true).unwrap();
    for byte in upgrade_request("/", "").bytes() {
        stream.write_all(&[byte]).unwrap();
    }
    assert_eq!(Client::after_request(stream).welcome, text("welcome 127.0.0.1"));
}

#[test]
fn a_handshake_has_a_deadline() {
    let server = Server::start(Options { handshake_timeout_ms: 100, ..Options::default() });
    for beginning in ["", "GET / HTTP/1.1\r\nHost: x\r\n"] {
        let answer = ask(&server, beginning);
        assert!(answer.starts_with("HTTP/1.1 408 "), "{beginning:?}: {answer}");
    }
    server.assert_alive("silent clients");
}

#[test]
fn a_half_closed_handshake() {
    let server = Server::start(Options::default());
    for (request, status) in [
        ("GET /page HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200 "),
        ("GET /page HTTP/1.1\r\n", "HTTP/1.1 400 "),
        ("", ""),
    ] {
        let mut stream = Client::dial(server.address);
        stream.write_all(request.as_bytes()).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let answer = read_all(&mut stream);
        assert!(answer.starts_with(status), "{request:?}: {answer}");
        assert_eq!(answer.is_empty(), status.is_empty());
    }
}

#[test]
fn all_sockets_count_and_a_full_server_still_answers() {
    let server = Server::start(Options { max_connections: Some(2), ..Options::default() });
    let mut first = server.connect();
    let second = server.connect();
    let refused = ask(&server, &upgrade_request("/", ""));
    assert!(refused.starts_with("HTTP/1.1 503 "), "{refused}");
    let elsewhere = ask(&server, &upgrade_request("/other", ""));
    assert!(elsewhere.starts_with("HTTP/1.1 404 "), "in its place among the checks: {elsewhere}");
    let page = ask(&server, "GET /page HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(page.starts_with("HTTP/1.1 200 "), "{page}");
    // Beyond the sockets that are listened to nobody is heard.
    server.wait_until_sockets(2);
    let silent: Vec<_> = (0..32).map(|_| Client::dial(server.address)).collect();
    server.wait_until_sockets(34);
    let unheard = read_all(&mut Client::dial(server.address));
    assert!(unheard.starts_with("HTTP/1.1 503 "), "{unheard}");
    drop((silent, second));
    server.wait_until_sockets(1);
    server.assert_alive("the crowd");
    first.text("still here");
    assert_eq!(first.frame(), text("still here"));
}

#[test]
fn connections_per_address() {
    let server = Server::start(Options { max_connections_per_ip: Some(1), ..Options::default() });
    let mut first = server.connect();
    let mut second = server.connect();
    assert_eq!(second.welcome, close(4003, "too_many_connections"));
    second.send(&[0x81, 0x01, b'x']);
    second.text("discarded");
    second.send(&frame(0x88, &4003u16.to_be_bytes()));
    assert_eq!(second.frame(), Frame::End);
    // The place is free when closing begins, not when the socket is gone.
    first.send(&frame(0x88, &1000u16.to_be_bytes()));
    assert_eq!(first.frame(), close(1000, ""));
    let mut third = server.connect();
    assert_eq!(third.welcome, text("welcome 127.0.0.1"));
    third.text("!close");
    assert_eq!(third.frame(), close(4001, "heartbeat_timeout"));
    assert_eq!(server.connect().welcome, text("welcome 127.0.0.1"));
    assert_eq!(server.ask(|app| app.log[..2].to_vec()), ["closed", "!close"]);
}

#[test]
fn the_address_behind_a_proxy() {
    let options = Options {
        trusted_proxies: vec!["127.0.0.0/8".parse().unwrap()],
        max_connections_per_ip: Some(1),
        ..Options::default()
    };
    let server = Server::start(options);
    let with = |fields: &str| Client::open(server.address, fields, "");
    let one = with("X-Forwarded-For: 6.6.6.6, 1.2.3.4, 127.0.0.9\r\n");
    assert_eq!(one.welcome, text("welcome 1.2.3.4"));
    let same = with("X-Forwarded-For: 1.2.3.4\r\n");
    assert_eq!(same.welcome, close(4003, "too_many_connections"));
    let real = with("X-Real-IP: 2001:db8::1\r\n");
    assert_eq!(real.welcome, text("welcome 2001:db8::1"));
    let neighbour = with("X-Real-IP: 2001:db8::2\r\n");
    assert_eq!(neighbour.welcome, close(4003, "too_many_connections"));
    let broken = with("X-Forwarded-For: unknown\r\n");
    assert_eq!(broken.welcome, text("welcome 127.0.0.1"));
}
