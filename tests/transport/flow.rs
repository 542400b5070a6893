//! Slow readers, half-closed and lost peers, jobs, durability (protocol.md
//! sections 2, 7, 12).

use crate::support::*;
use noexd::net::Options;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::channel;

#[test]
fn a_slow_reader_is_bounded_while_others_proceed() {
    const EACH: usize = 100_000;
    const COUNT: usize = 400;
    let options = Options { max_buffered_bytes: 500_000, ..Options::default() };
    let read_again = (options.max_buffered_bytes as f64 * options.high_water_mark) as u64;
    let server = Server::start(options);
    let mut slow = server.connect();
    let requests: Vec<u8> =
        (0..COUNT).flat_map(|_| frame(0x81, format!("!big {EACH}").as_bytes())).collect();
    slow.send(&requests);
    let mut other = server.connect();
    let mut handled = 0;
    loop {
        other.text("ping");
        assert_eq!(other.frame(), text("ping"));
        let buffered = server.counters.outbox_bytes.load(Relaxed);
        assert!(buffered < 500_000 + EACH as u64 + 100, "{buffered} bytes are queued");
        // It stands still once the kernel takes nothing more. Where the kernel stopped
        // taking is its own affair: a connection is paused at the limit, and stays so
        // down to the share of it below which it is read again.
        let before = std::mem::replace(
            &mut handled,
            server.ask(|app| app.log.iter().filter(|line| line.starts_with("!big")).count()),
        );
        if handled == COUNT || before == handled && buffered >= read_again {
            break;
        }
    }
    assert!(handled < COUNT, "all {COUNT} requests were handled for a client that does not read");
    let expected = Frame::Text(format!("<{}>", "x".repeat(EACH)));
    for n in 0..COUNT {
        assert!(slow.frame() == expected, "response {n}");
    }
    slow.text("done");
    assert_eq!(slow.frame(), text("done"));
    assert!(server.ask(|app| app.wrote.iter().any(|(_, buffered)| *buffered == 0)));
}

#[test]
fn a_slow_reader_of_pongs_is_bounded_too() {
    let options = Options { max_buffered_bytes: 10_000, ..Options::default() };
    let server = Server::start(options);
    let mut slow = server.connect();
    let stream = slow.stream.try_clone().unwrap();
    let writer = std::thread::spawn(move || {
        let pings: Vec<u8> = (0..1_000).flat_map(|_| frame(0x89, &[7; 125])).collect();
        for _ in 0..200 {
            std::io::Write::write_all(&mut &stream, &pings).unwrap();
        }
    });
    for _ in 0..200_000 {
        let buffered = server.counters.outbox_bytes.load(Relaxed);
        assert!(buffered <= 10_000 + 127, "{buffered} bytes are queued");
        assert_eq!(slow.frame(), Frame::Pong(vec![7; 125]));
    }
    writer.join().unwrap();
}

#[test]
fn a_closed_slow_reader_does_not_stay() {
    let options =
        Options { max_buffered_bytes: 100_000, close_timeout_ms: 100, ..Options::default() };
    let server = Server::start(options);
    let mut slow = server.connect();
    // More than the kernel buffers; the close is queued behind it.
    slow.text("!big 50000000");
    server.wait_until("handled", |app| app.log.len() == 1);
    server.remote.run(|app, now| noexd::app::App::shutdown(app, 0, now)).unwrap();
    let mut server = server;
    server.join();
}

#[test]
fn a_half_closed_client_gets_its_answers() {
    let server = Server::start(Options::default());
    let mut client = server.connect();
    let requests: Vec<u8> = (0..300).flat_map(|n| frame(0x81, n.to_string().as_bytes())).collect();
    client.send(&requests);
    client.finish_writing();
    let expected: Vec<Frame> = (0..300).map(|n| text(&n.to_string())).collect();
    assert_eq!(client.rest(), expected);
    server.wait_until("closed", |app| app.log.last().is_some_and(|line| line == "closed"));
}

#[test]
fn a_half_closed_client_gets_the_answer_of_a_job() {
    let (open, gate) = channel();
    let server = Server::with_app(Options::default(), || TestApp::with_gate(gate));
    let mut client = server.connect();
    client.send(&[frame(0x81, b"!job done"), frame(0x81, b"behind")].concat());
    client.finish_writing();
    server.assert_alive("a half-closed client with a job");
    assert!(client.has_nothing());
    open.send(()).unwrap();
    assert_eq!(client.rest(), [text("done"), text("behind")]);
}

#[test]
fn messages_before_a_reset_take_effect() {
    let server = Server::start(Options::default());
    for round in 1..=20 {
        let mut client = server.connect();
        // Unread answers make the kernel reset the connection.
        client.text("unread");
        server.wait_until("the answer", move |app| {
            app.log.iter().filter(|line| *line == "unread").count() == round
        });
        let burst: Vec<u8> = (0..50).flat_map(|_| frame(0x81, b"effect")).collect();
        client.send(&burst);
        drop(client);
        server.wait_until("closed", move |app| {
            app.log.iter().filter(|line| *line == "closed").count() == round
        });
        let effects = server.ask(|app| app.log.iter().filter(|line| *line == "effect").count());
        assert_eq!(effects, 50 * round);
    }
    server.wait_until_sockets(0);
}

#[test]
fn a_job_holds_back_its_own_connection_only() {
    let (open, gate) = channel();
    let server = Server::with_app(Options::default(), || TestApp::with_gate(gate));
    let mut waiting = server.connect();
    let burst = [frame(0x81, b"!job slow"), frame(0x81, b"second"), frame(0x89, b"third")].concat();
    waiting.send(&burst);
    server.assert_alive("a waiting connection");
    waiting.text("fourth");
    server.assert_alive("a waiting connection");
    assert!(waiting.has_nothing());
    assert!(!server.ask(|app| app.log.contains(&"second".to_owned())));
    open.send(()).unwrap();
    assert_eq!(waiting.frame(), text("slow"));
    assert_eq!(waiting.frame(), text("second"));
    assert_eq!(waiting.frame(), Frame::Pong(b"third".to_vec()));
    assert_eq!(waiting.frame(), text("fourth"));
}

#[test]
fn a_job_that_panics_is_an_error_of_its_own() {
    let server = Server::start(Options::default());
    let mut client = server.connect();
    client.text("!panic");
    assert_eq!(client.frame(), text("panicked: on purpose"));
    client.text("!job next");
    assert_eq!(client.frame(), text("next"));
}

#[test]
fn output_waits_until_what_it_says_is_durable() {
    let server = Server::start(Options { gate_output: true, ..Options::default() });
    let mut client = server.connect();
    let burst = [frame(0x81, b"free"), frame(0x81, b"!needs 2 two"), frame(0x81, b"behind")];
    client.send(&burst.concat());
    assert_eq!(client.frame(), text("free"));
    client.text("!needs 3 three");
    server.wait_until("handled", |app| app.log.len() == 4);
    server.assert_alive("output that waits");
    assert!(client.has_nothing());
    server.durability.raise(1).unwrap();
    server.assert_alive("an earlier commit");
    assert!(client.has_nothing());
    server.durability.raise(2).unwrap();
    assert_eq!(client.frame(), text("two"));
    assert_eq!(client.frame(), text("behind"));
    server.assert_alive("output that waits");
    assert!(client.has_nothing());
    server.durability.raise(7).unwrap();
    assert_eq!(client.frame(), text("three"));
    client.text("!needs 6 at once");
    assert_eq!(client.frame(), text("at once"));
}

#[test]
fn a_close_waits_for_the_output_in_front_of_it() {
    let server = Server::start(Options { gate_output: true, ..Options::default() });
    let mut client = server.connect();
    client.send(&[frame(0x81, b"!needs 1 written"), frame(0x82, b"")].concat());
    server.assert_alive("output that waits");
    assert!(client.has_nothing());
    server.durability.raise(1).unwrap();
    assert_eq!(client.frame(), text("written"));
    assert_eq!(client.frame(), close(1003, "binary_not_supported"));
}

#[test]
fn what_will_never_be_durable_is_not_waited_for() {
    let server = Server::start(Options { gate_output: true, ..Options::default() });
    let mut client = server.connect();
    let burst = [frame(0x81, b"free"), frame(0x81, b"!needs 1 never"), frame(0x81, b"!abandon")];
    client.send(&burst.concat());
    assert_eq!(client.frame(), text("free"));
    assert_eq!(client.frame(), close(1011, "storage_failure"));
}

#[test]
fn nothing_is_read_while_no_messages_are_welcome() {
    let server = Server::start(Options::default());
    let mut clients = [server.connect(), server.connect()];
    server.ask(|app| app.full = true);
    for client in &mut clients {
        client.text("waits");
    }
    // Turns go by, and other threads are heard.
    let turns = server.ask(|app| app.turns);
    server.wait_until("turns", move |app| app.turns > turns + 20);
    assert_eq!(server.ask(|app| app.log.len()), 0);
    assert!(clients.iter_mut().all(|client| client.has_nothing()));
    server.ask(|app| app.full = false);
    for client in &mut clients {
        assert_eq!(client.frame(), text("waits"));
    }
}

#[test]
fn a_name_of_an_earlier_connection_reaches_nobody() {
    let server = Server::start(Options::default());
    let first = server.connect();
    drop(first);
    server.wait_until_sockets(0);
    let mut second = server.connect();
    let (old, new) = server.ask(|app| (app.first.unwrap(), app.open[0]));
    assert_eq!(old.slot, new.slot, "the slot is used again");
    assert_ne!(old.generation, new.generation);
    second.text("!first for the first");
    assert_eq!(second.frame(), text("sent"));
}

#[test]
fn commands_of_other_threads_run_in_order() {
    let server = Server::start(Options::default());
    let mut client = server.connect();
    for n in 0..1_000 {
        server.remote.run(move |app, _| app.send(app.open[0], &n.to_string(), 0)).unwrap();
    }
    for n in 0..1_000 {
        assert_eq!(client.frame(), text(&n.to_string()));
    }
}
