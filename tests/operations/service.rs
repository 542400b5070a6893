//! The service manager: what it is told, and whether it takes the unit.

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process::Command;
use std::time::Duration;

use super::support::{Place, Server};

/// The manager's end; waits for what comes.
struct Manager(UnixDatagram);

impl Manager {
    fn at(address: &SocketAddr) -> Self {
        let socket = UnixDatagram::bind_addr(address).expect("a socket");
        socket.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
        Manager(socket)
    }

    fn told(&self) -> String {
        let mut buffer = [0; 4096];
        let length = self.0.recv(&mut buffer).expect("a message");
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    }

    /// The next message that is no sign of life.
    fn told_more(&self) -> String {
        loop {
            let told = self.told();
            if told != "WATCHDOG=1" {
                return told;
            }
        }
    }
}

#[test]
fn the_manager_hears_of_start_life_reload_and_end() {
    let place = Place::new();
    let path = place.path().join("notify");
    let manager = Manager::at(&SocketAddr::from_pathname(&path).expect("an address"));
    let config = r#"{"shutdownDelayMs":600000}"#;
    let server = Server::start_with(place, config, |command| {
        command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "50000");
    });
    let url = format!("ws://127.0.0.1:{}/", server.port);
    assert_eq!(manager.told(), format!("READY=1\nSTATUS=Serving on {url}"));
    // Nothing else wakes the loop.
    assert_eq!(manager.told(), "WATCHDOG=1");
    assert_eq!(manager.told(), "WATCHDOG=1");
    server.signal("HUP");
    let told = manager.told_more();
    assert!(told.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{told}");
    assert_eq!(manager.told_more(), "READY=1");
    server.signal("TERM");
    let stopping = "STOPPING=1\nEXTEND_TIMEOUT_USEC=15000000";
    let told = manager.told_more();
    assert!(told == stopping || told == format!("WATCHDOG=1\n{stopping}"), "{told}");
    // Alive while it drains.
    while !manager.told().starts_with("WATCHDOG=1") {}
    server.signal("TERM");
    assert_eq!(server.end().0.code(), Some(0));
}

#[test]
fn a_name_without_a_file_and_the_watchdog_of_another_process() {
    let name = format!("noexd-notify-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).expect("an address");
    let manager = Manager::at(&address);
    let server = Server::start_with(Place::new(), "{}", |command| {
        command.env("NOTIFY_SOCKET", format!("@{name}"));
        command.env("WATCHDOG_USEC", "1000").env("WATCHDOG_PID", "1");
    });
    assert!(manager.told().starts_with("READY=1\n"));
    assert_eq!(server.get("/readyz").0, 200);
    server.signal("TERM");
    assert_eq!(manager.told(), "STOPPING=1\nEXTEND_TIMEOUT_USEC=15000000");
    assert_eq!(server.end().0.code(), Some(0));
}

#[test]
fn a_manager_that_is_not_there_hinders_nobody() {
    for socket in ["/nonexistent/notify", "relative", "@", ""] {
        let server = Server::start_with(Place::new(), "{}", |command| {
            command.env("NOTIFY_SOCKET", socket);
        });
        assert_eq!(server.get("/readyz").0, 200, "{socket}");
        server.signal("TERM");
        assert_eq!(server.end().0.code(), Some(0), "{socket}");
    }
}

/// The shipped unit, with the program where it is here.
#[test]
fn systemd_takes_the_unit_and_finds_it_closed() {
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        println!("skipped: no systemd-analyze here");
        return;
    }
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/contrib/systemd/noexd.service");
    let unit = std::fs::read_to_string(root).expect("the unit");
    let place = Place::new();
    let unit = unit.replace("/usr/bin/noexd", env!("CARGO_BIN_EXE_noexd"));
    let file = place.file("noexd.service", &unit);
    for args in
        [&["verify", "--man=no"] as &[&str], &["security", "--offline=true", "--threshold=15"]]
    {
        let output =
            Command::new("systemd-analyze").args(args).arg(&file).output().expect("run it");
        let err = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && err.is_empty(), "{args:?}: {err}");
    }
}
