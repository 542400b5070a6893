//! Stopping, by a call and by signals (protocol.md section 13).

use crate::support::*;
use noexd::app::App;
use noexd::net::{Options, Transport};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

#[test]
fn everybody_is_closed_and_the_loop_ends() {
    let mut server = Server::start(Options::default());
    let mut clients: Vec<Client> = (0..10).map(|_| server.connect()).collect();
    let mut handshaking = Client::dial(server.address);
    server.wait_until_sockets(11);
    server.begin_shutdown();
    for client in &mut clients {
        assert_eq!(client.frame(), close(1000, "server_shutdown"));
        client.send(&frame(0x88, &1000u16.to_be_bytes()));
        assert_eq!(client.frame(), Frame::End);
    }
    assert_eq!(read_all(&mut handshaking), "");
    server.join();
    assert!(TcpStream::connect(server.address).is_err(), "nobody listens any more");
    let error = server.remote.run(|_, _| {}).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::NotConnected);
}

#[test]
fn a_client_that_does_not_answer_the_close_delays_the_end_by_the_timeout_at_most() {
    let mut server = Server::start(Options { close_timeout_ms: 100, ..Options::default() });
    let mut client = server.connect();
    server.begin_shutdown();
    server.join();
    assert_eq!(client.frame(), close(1000, "server_shutdown"));
    assert_eq!(client.frame(), Frame::End);
}

#[test]
fn the_answers_in_front_of_the_close_are_sent() {
    let mut server = Server::start(Options { close_timeout_ms: 60_000, ..Options::default() });
    let mut client = server.connect();
    client.text("!big 20000000");
    server.wait_until("handled", |app| app.log.len() == 1);
    server.begin_shutdown();
    assert_eq!(client.frame(), Frame::Text(format!("<{}>", "x".repeat(20_000_000))));
    assert_eq!(client.frame(), close(1000, "server_shutdown"));
    drop(client);
    server.join();
}

/// Not a test by itself: the process that the tests below send signals to.
#[test]
#[ignore = "run by the tests of signals"]
fn server_with_signals() {
    let options = Options { close_timeout_ms: 3_600_000, ..Options::default() };
    let mut transport = Transport::new(options, TestApp::default()).unwrap();
    let address = transport.listen("127.0.0.1:0".parse().unwrap()).unwrap();
    transport
        .handle_signals(0, |app, _| {
            let conn = app.open[0];
            app.send(conn, "reloaded", 0);
        })
        .unwrap();
    println!("\nlistening on {address}");
    std::io::stdout().flush().unwrap();
    transport.run().unwrap();
    println!("\nstopped");
}

struct Process {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
    address: String,
}

impl Process {
    fn start(test: &str) -> Process {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--ignored", "--nocapture"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        while !line.starts_with("listening on ") {
            line.clear();
            assert!(output.read_line(&mut line).unwrap() > 0, "the child said nothing");
        }
        let address = line.trim().trim_start_matches("listening on ").to_owned();
        Process { child, output, address }
    }

    fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([signal, &self.child.id().to_string()]).status();
        assert!(status.unwrap().success());
    }

    /// The rest of what it prints, and that it ends well.
    fn finish(mut self) -> String {
        let mut text = String::new();
        std::io::Read::read_to_string(&mut self.output, &mut text).unwrap();
        assert!(self.child.wait().unwrap().success(), "{text}");
        text
    }
}

#[test]
fn a_signal_stops_and_the_third_does_not_wait() {
    let process = Process::start("stop::server_with_signals");
    let mut client = Client::open(process.address.parse().unwrap(), "", "");
    process.signal("-HUP");
    assert_eq!(client.frame(), text("reloaded"));
    process.signal("-TERM");
    assert_eq!(client.frame(), close(1000, "server_shutdown"));
    // The client does not answer, and the timeout is an hour.
    process.signal("-INT");
    process.signal("-TERM");
    assert!(process.finish().contains("\nstopped\n"));
}

#[test]
fn the_first_signal_is_enough_when_everybody_answers() {
    let process = Process::start("stop::server_with_signals");
    let mut client = Client::open(process.address.parse().unwrap(), "", "");
    process.signal("-INT");
    assert_eq!(client.frame(), close(1000, "server_shutdown"));
    client.send(&frame(0x88, &1000u16.to_be_bytes()));
    assert_eq!(client.frame(), Frame::End);
    drop(client);
    assert!(process.finish().contains("\nstopped\n"));
}

#[test]
fn newcomers_of_a_stopping_server_are_told() {
    let mut transport = Transport::new(Options::default(), TestApp::default()).unwrap();
    let address = transport.listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let mut stream = Client::dial(address);
    let counters = transport.counters();
    while counters.sockets.load(std::sync::atomic::Ordering::Relaxed) == 0 {
        transport.poll_once(None).unwrap();
    }
    // Accepted before the stop, upgraded after it.
    transport.app_mut().stop_accepting();
    transport.poll_once(Some(std::time::Duration::ZERO)).unwrap();
    stream.write_all(upgrade_request("/", "").as_bytes()).unwrap();
    while counters.connections_total.load(std::sync::atomic::Ordering::Relaxed) == 0 {
        transport.poll_once(None).unwrap();
    }
    transport.poll_once(Some(std::time::Duration::ZERO)).unwrap();
    let client = Client::after_request(stream);
    assert_eq!(client.welcome, close(1001, "server_shutting_down"));
    transport.app_mut().shutdown(0, noexd::app::Now::default());
}
