//! A place for whoever comes back while its dead connections still hold theirs.

use crate::support::*;
use noexd::net::Options;

const REFUSED: (u16, &str) = (4003, "too_many_connections");

fn limited(limit: u32, per_ip_probe_ms: u64) -> Server {
    let options =
        Options { max_connections_per_ip: Some(limit), per_ip_probe_ms, ..Options::default() };
    Server::start(options)
}

/// Comes until it is not refused at once: until somebody has been silent for
/// long enough to be asked.
fn come(server: &Server) -> Client {
    loop {
        let client = server.connect();
        if client.welcome != close(REFUSED.0, REFUSED.1) {
            return client;
        }
    }
}

#[test]
fn a_dead_connection_makes_room() {
    let server = limited(1, 100);
    let mut dead = server.connect();
    assert_eq!(dead.welcome, text("welcome 127.0.0.1"));
    let mut newcomer = come(&server);
    assert_eq!(newcomer.welcome, text("welcome 127.0.0.1"));
    assert!(matches!(dead.frame(), Frame::Ping(_)));
    assert_eq!(dead.frame(), close(4001, "heartbeat_timeout"));
    newcomer.text("here");
    assert_eq!(newcomer.frame(), text("here"));
    assert_eq!(server.ask(|app| app.log.clone()), ["closed", "here"]);
}

#[test]
fn a_living_connection_keeps_its_place() {
    let server = limited(1, 100);
    let mut living = server.connect();
    std::thread::scope(|scope| {
        // Refused at first because it is too soon, then because of the answer.
        let newcomer = scope.spawn(|| {
            let mut refused = 0;
            while server.ask(|app| app.log.is_empty()) {
                assert_eq!(server.connect().welcome, close(REFUSED.0, REFUSED.1));
                refused += 1;
            }
            refused
        });
        let Frame::Ping(payload) = living.frame() else { panic!("a sign of life is asked for") };
        living.send(&frame(0x8a, &payload));
        // Whoever is parked now has its answer before the next one comes.
        living.text("still here");
        assert_eq!(living.frame(), text("still here"));
        assert!(newcomer.join().expect("the newcomers") > 0);
    });
}

#[test]
fn the_longest_silent_goes_first_and_each_newcomer_takes_one() {
    let server = limited(2, 100);
    let [mut first, mut second] = [server.connect(), server.connect()];
    // The first goes on for some ticks of the server's clock after the second.
    let begun = std::time::Instant::now();
    while begun.elapsed() < std::time::Duration::from_millis(10) {
        first.text("a");
        assert_eq!(first.frame(), text("a"));
    }
    let mut newcomer = come(&server);
    assert_eq!(newcomer.welcome, text("welcome 127.0.0.1"));
    assert!(matches!(second.frame(), Frame::Ping(_)));
    assert_eq!(second.frame(), close(4001, "heartbeat_timeout"));
    newcomer.text("b");
    assert_eq!(newcomer.frame(), text("b"));
    // The first may have been asked, too; it is still there.
    first.text("c");
    let next = first.frame();
    let answer = if matches!(next, Frame::Ping(_)) { first.frame() } else { next };
    assert_eq!(answer, text("c"));
}

#[test]
fn switched_off_newcomers_are_refused_at_once() {
    let server = limited(1, 0);
    let mut first = server.connect();
    for _ in 0..20 {
        assert_eq!(server.connect().welcome, close(REFUSED.0, REFUSED.1));
    }
    first.text("nobody asked");
    assert_eq!(first.frame(), text("nobody asked"));
}
