//! A process that has no descriptor left.

use crate::support::*;
use noexd::net::Options;
use std::io::Write;
use std::process::Command;

/// Not a test by itself: it lowers the limit of the whole process.
#[test]
#[ignore = "run by the test below, in a process of its own"]
fn with_few_descriptors() {
    let server = Server::start(Options::default());
    let mut first = server.connect();
    // The clients live in this process too and take the other half.
    let mut streams: Vec<std::net::TcpStream> = Vec::new();
    let (_, hard) = rlimit::Resource::NOFILE.get().unwrap();
    rlimit::Resource::NOFILE.set(64, hard).unwrap();
    while let Ok(stream) = std::net::TcpStream::connect(server.address) {
        streams.push(stream);
        assert!(streams.len() < 64);
    }
    // Whoever is connected is served as before.
    first.text("still here");
    assert_eq!(first.frame(), text("still here"));
    // The shortage lasts until the server has seen all of them leave; a client
    // that comes too early is let go and tries again.
    drop(streams);
    let served = (0..10_000).any(|_| {
        let mut stream = Client::dial(server.address);
        let sent = stream.write_all(upgrade_request("/", "").as_bytes());
        sent.is_ok() && read_head(&mut stream).starts_with("HTTP/1.1 101 ")
    });
    assert!(served, "nobody is served after the shortage");
    server.wait_until_sockets(1);
    server.assert_alive("a shortage of descriptors");
    first.text("still here");
    assert_eq!(first.frame(), text("still here"));
}

#[test]
fn a_shortage_of_descriptors_is_survived() {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "descriptors::with_few_descriptors", "--ignored", "--nocapture"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("1 passed"), "{text}");
}
