//! Turns made one by one, on the test's own thread.

use crate::support::*;
use noexd::net::{Options, Running, Transport};
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A transport that turns only when told.
struct Bench {
    transport: Transport<TestApp>,
    address: SocketAddr,
}

impl Bench {
    fn new(options: Options) -> Bench {
        let mut transport = Transport::new(options, TestApp::default()).unwrap();
        let address = transport.listen("127.0.0.1:0".parse().unwrap()).unwrap();
        Bench { transport, address }
    }

    fn turn(&mut self) {
        let running = self.transport.poll_once(Some(Duration::ZERO)).unwrap();
        assert_eq!(running, Running::Continue);
    }

    fn turn_until(&mut self, what: &str, condition: impl Fn(&TestApp) -> bool) {
        for _ in 0..1_000_000 {
            if condition(self.transport.app()) {
                return;
            }
            self.turn();
        }
        panic!("never happened: {what}");
    }

    fn connect(&mut self) -> Client {
        let open = self.transport.app().open.len();
        let mut stream = Client::dial(self.address);
        stream.write_all(upgrade_request("/", "").as_bytes()).unwrap();
        self.turn_until("connected", |app| app.open.len() > open);
        self.turn();
        Client::after_request(stream)
    }

    fn log(&self) -> &[String] {
        &self.transport.app().log
    }
}

fn send(stream: &mut TcpStream, texts: impl Iterator<Item = String>) {
    let bytes: Vec<u8> = texts.flat_map(|text| frame(0x81, text.as_bytes())).collect();
    stream.write_all(&bytes).unwrap();
}

#[test]
fn a_flood_gets_its_share_of_each_turn_and_no_more() {
    let mut bench = Bench::new(Options::default());
    let mut flood = bench.connect();
    let mut modest = bench.connect();
    send(&mut flood.stream, (0..1_000).map(|n| format!("flood {n}")));
    send(&mut modest.stream, std::iter::once("modest".to_owned()));
    bench.turn_until("the modest one is served", |app| app.log.contains(&"modest".to_owned()));
    assert!(bench.log().len() <= 129, "{} messages came first", bench.log().len());
    let mut turns = 0;
    while bench.log().len() < 1_001 {
        let before = bench.log().len();
        bench.turn();
        assert!(bench.log().len() - before <= 128);
        turns += 1;
    }
    assert!(turns >= 6, "only {turns} turns");
    for n in 0..1_000 {
        assert_eq!(flood.frame(), text(&format!("flood {n}")));
    }
    assert_eq!(modest.frame(), text("modest"));
}

#[test]
fn a_burst_is_answered_in_one_turn_and_reported_once() {
    let mut bench = Bench::new(Options::default());
    let mut client = bench.connect();
    bench.transport.app_mut().wrote.clear();
    send(&mut client.stream, (0..64).map(|n| n.to_string()));
    bench.turn_until("handled", |app| app.log.len() == 64);
    let conn = bench.transport.app().open[0];
    assert_eq!(bench.transport.app().wrote, [(conn, 0)]);
    for n in 0..64 {
        assert_eq!(client.frame(), text(&n.to_string()));
    }
}

#[test]
fn input_that_has_arrived_is_known_when_a_timer_fires() {
    let mut bench = Bench::new(Options::default());
    let mut client = bench.connect();
    // The deadline has passed already, but the message is handled first.
    bench.transport.app_mut().deadline = Some(0);
    client.text("in time");
    bench.turn_until("the timer", |app| !app.seen.is_empty());
    let message_was_first = bench.log() == ["in time"];
    // The kernel may deliver after the turn; then nothing was known of it.
    assert!(message_was_first || bench.transport.app().seen == [(false, false)]);

    // A flood is not handled in one turn: the rest is unread input.
    bench.transport.app_mut().seen.clear();
    bench.transport.app_mut().log.clear();
    send(&mut client.stream, (0..500).map(|n| n.to_string()));
    bench.turn_until("a first part", |app| app.log.iter().any(|line| line == "0"));
    assert!(bench.log().len() < 500);
    bench.transport.app_mut().deadline = Some(0);
    bench.turn();
    assert_eq!(bench.transport.app().seen, [(true, false)]);
    bench.turn_until("the rest", |app| app.log.iter().any(|line| line == "499"));
    bench.transport.app_mut().seen.clear();
    bench.transport.app_mut().deadline = Some(0);
    bench.turn();
    assert_eq!(bench.transport.app().seen, [(false, false)]);

    // Half a frame is no input that could be handled.
    bench.transport.app_mut().seen.clear();
    let (half, rest) = (&frame(0x81, b"slow")[..3], &frame(0x81, b"slow")[3..]);
    client.send(half);
    for _ in 0..1_000 {
        bench.turn();
    }
    bench.transport.app_mut().deadline = Some(0);
    bench.turn();
    assert_eq!(bench.transport.app().seen, [(false, false)]);
    client.send(rest);
    bench.turn_until("the whole", |app| app.log.last().is_some_and(|line| line == "slow"));
}

#[test]
fn a_paused_connection_is_known_to_be() {
    let options = Options { max_buffered_bytes: 100_000, ..Options::default() };
    let mut bench = Bench::new(options);
    let mut client = bench.connect();
    client.text("!big 50000000");
    bench.turn_until("handled", |app| app.log.len() == 1);
    bench.turn();
    bench.transport.app_mut().deadline = Some(0);
    bench.turn();
    assert_eq!(bench.transport.app().seen, [(false, true)]);
}

#[test]
fn turns_end_and_sleep_ends_with_its_limit() {
    let mut bench = Bench::new(Options::default());
    let before = bench.transport.app().turns;
    bench.transport.poll_once(Some(Duration::from_millis(1))).unwrap();
    assert_eq!(bench.transport.app().turns, before + 1);
}

#[test]
fn effects_left_between_turns_are_performed() {
    let mut bench = Bench::new(Options::default());
    let mut client = bench.connect();
    let conn = bench.transport.app().open[0];
    bench.transport.app_mut().send(conn, "from outside", 0);
    bench.turn();
    assert_eq!(client.frame(), text("from outside"));
}

#[test]
fn ipv6_and_several_listeners() {
    let mut bench = Bench::new(Options::default());
    let Ok(v6) = bench.transport.listen("[::1]:0".parse().unwrap()) else {
        // This machine has no IPv6.
        return;
    };
    let mut stream = Client::dial(v6);
    stream.write_all(upgrade_request("/", "").as_bytes()).unwrap();
    bench.turn_until("connected", |app| app.open.len() == 1);
    bench.turn();
    let v6 = Client::after_request(stream);
    assert_eq!(v6.welcome, text("welcome ::1"));
    let v4 = bench.connect();
    assert_eq!(v4.welcome, text("welcome 127.0.0.1"));
}

#[test]
fn a_transport_may_be_made_on_one_thread_and_run_on_another() {
    fn check<T: Send>() {}
    check::<Transport<TestApp>>();
}
