//! Calls of the transport alone: answers that wait, that are long, that nobody
//! reads.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use noexd::net::Options;
use noexd::net::http::door::Doors;

use super::client::{Answer, post_text};
use crate::support::{Client, Server};

fn options() -> Options {
    let doors = Doors { rpc: "/rpc".to_owned(), live: "/live".to_owned() };
    Options { doors: Some(doors), ..Options::default() }
}

fn call(server: &Server, body: &str) -> TcpStream {
    let mut stream = Client::dial(server.address);
    stream.write_all(&post_text("", body)).unwrap();
    stream
}

fn live(server: &Server, query: &str) -> TcpStream {
    let mut stream = Client::dial(server.address);
    let request = format!("GET /live?{query} HTTP/1.1\r\nHost: x\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    stream
}

#[test]
fn an_answer_waits_for_its_commit_as_long_as_that_takes() {
    let short = Options { gate_output: true, close_timeout_ms: 20, ..options() };
    let server = Server::start(short);
    let mut waiting = call(&server, "!needs 5 done");
    let mut other = call(&server, "at once");
    assert_eq!(Answer::read(&mut other).body, b"at once");
    // Longer than a socket has for an answer that may leave.
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_millis(200) {
        assert_eq!(Answer::read(&mut call(&server, "meanwhile")).body, b"meanwhile");
    }
    waiting.set_nonblocking(true).unwrap();
    assert!(waiting.peek(&mut [0]).is_err(), "nothing yet");
    waiting.set_nonblocking(false).unwrap();
    server.durability.raise(5).unwrap();
    assert_eq!(Answer::read(&mut waiting).body, b"done");
}

#[test]
fn a_long_answer_leaves_as_the_socket_takes_it() {
    let short = Options { close_timeout_ms: 50, ..options() };
    let server = Server::start(short);
    let length = 24 << 20;
    let mut stream = call(&server, &format!("!big {length}"));
    let mut all = Vec::new();
    let mut buffer = vec![0; 256 << 10];
    let begin = Instant::now();
    loop {
        let count = stream.read(&mut buffer).unwrap();
        if count == 0 {
            break;
        }
        all.extend_from_slice(&buffer[..count]);
        // Slower than a timeout that counts from the beginning allows.
        let share = 400 * all.len() / length;
        while begin.elapsed() < Duration::from_millis(share as u64) {
            std::thread::yield_now();
        }
    }
    let answer = Answer::of(&all);
    assert_eq!(answer.body.len(), length);
    server.wait_until_sockets(0);
}

#[test]
fn an_answer_that_nobody_takes_is_given_up() {
    let short = Options { close_timeout_ms: 50, ..options() };
    let server = Server::start(short);
    let stuck: Vec<_> = (0..3).map(|_| call(&server, "!big 30000000")).collect();
    // It has begun before it ends.
    server.wait_until("three calls", |app| app.log.len() >= 3);
    server.wait_until_sockets(0);
    assert_eq!(server.counters.outbox_bytes.load(Relaxed), 0);
    drop(stuck);
    server.assert_alive("answers that nobody took");
}

#[test]
fn clients_that_leave_in_the_middle() {
    let server = Server::start(options());
    for round in 0..20 {
        let mut stream = call(&server, "!big 8000000");
        let mut some = vec![0; 1000 * round + 1];
        stream.read_exact(&mut some).unwrap();
        drop(stream);
    }
    for _ in 0..20 {
        drop(live(&server, "!stream"));
    }
    server.wait_until_sockets(0);
    assert_eq!(server.counters.outbox_bytes.load(Relaxed), 0);
    assert_eq!(server.counters.input_bytes.load(Relaxed), 0);
    assert!(server.ask(|app| app.open.is_empty()));
}

#[test]
fn many_steps_leave_room_for_others() {
    let server = Server::start(options());
    let mut long = call(&server, "!steps 200000");
    let mut other = server.connect();
    other.text("hello");
    assert_eq!(other.frame(), crate::support::text("hello"));
    assert!(server.ask(|app| app.open.len()) == 2, "the long one goes on");
    assert_eq!(Answer::read(&mut long).body, b"done");
}

#[test]
fn bodies_that_are_never_ended_make_room() {
    let most = Options { max_input_bytes: 1 << 20, ..options() };
    let server = Server::start(most);
    let head = b"POST /rpc HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 500000\r\n\r\n";
    let mut senders = Vec::new();
    let refused = 'found: loop {
        let mut stream = Client::dial(server.address);
        stream.write_all(head).unwrap();
        stream.write_all(&vec![b' '; 400_000]).unwrap();
        senders.push(stream);
        server.ask(|_| ());
        for sender in &mut senders {
            sender.set_nonblocking(true).unwrap();
            let has_answer = sender.peek(&mut [0]).is_ok();
            sender.set_nonblocking(false).unwrap();
            if has_answer {
                break 'found Answer::read(sender);
            }
        }
        assert!(senders.len() < 20);
    };
    assert_eq!(refused.status, 503, "{}", refused.head);
    assert!(server.counters.input_limit_reached.load(Relaxed) > 0);
    assert!(server.counters.input_bytes.load(Relaxed) <= 1 << 20);
    server.assert_alive("too much input");
}

#[test]
fn streams_that_nobody_reads_make_room() {
    let most = Options { max_output_bytes: 1 << 20, ..options() };
    let server = Server::start(most);
    let _stuck: Vec<_> = (0..4).map(|_| live(&server, "!stream")).collect();
    server.wait_until("four streams", |app| app.open.len() == 4);
    let fill = |app: &mut crate::support::TestApp| {
        for conn in app.open.clone() {
            app.send(conn, &"x".repeat(200_000), 0);
        }
    };
    // Until the sockets take no more, and for longer than a reader may stand still.
    server.wait_until("there is room", {
        let counters = server.counters.clone();
        let remote = server.remote.clone();
        move |app| {
            if counters.outbox_bytes.load(Relaxed) < 4 << 20 {
                remote.run(move |app, _| fill(app)).unwrap();
            }
            app.open.len() < 4
        }
    });
    assert!(server.counters.output_limit_reached.load(Relaxed) > 0);
    assert!(server.counters.closed().contains_key(&1013));
}

#[test]
fn an_app_that_closes_has_its_say() {
    let server = Server::start(options());
    assert_eq!(Answer::read(&mut call(&server, "!close")).status, 503);
    server.wait_until_sockets(0);
}
