//! The program, stopped for a while as a busy or suspended machine does it.

use crate::support::*;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Enough to stop a process after a ping, even on a busy machine.
const TIMEOUT_MS: u64 = 400;

struct Program(Child);

impl Program {
    /// A server whose clients have that long to answer a ping.
    fn start(directory: &std::path::Path) -> (Program, SocketAddr) {
        let file = directory.join("config.json");
        let config = format!(
            r#"{{"host":"127.0.0.1","port":0,"heartbeat":{{"intervalMs":{TIMEOUT_MS},"timeoutMs":{TIMEOUT_MS}}}}}"#
        );
        std::fs::write(&file, config).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_noexd"))
            .arg("--config")
            .arg(file)
            // These clients call it by another name.
            .args(["--allowed-origins", "*"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let program = Program(child);
        let url = line.split_whitespace().last().unwrap();
        (program, url.trim_start_matches("ws://").trim_end_matches('/').parse().unwrap())
    }

    fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.0.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The time of the next ping.
fn ping(client: &mut Client) -> u64 {
    let frame = client.frame();
    let Frame::Text(message) = &frame else { panic!("no ping but {frame:?}") };
    let time = message.strip_prefix(r#"{"type":"ping","timestamp":"#).expect(message);
    time.trim_end_matches('}').parse().unwrap()
}

#[test]
fn a_pong_that_came_while_the_server_stood_still_is_in_time() {
    let directory = std::env::temp_dir().join(format!("noexd-stopped-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let (program, address) = Program::start(&directory);
    let mut client = Client::open(address, "", "");
    for _ in 0..3 {
        let time = ping(&mut client);
        program.signal("STOP");
        client.text(&format!(r#"{{"type":"pong","timestamp":{time}}}"#));
        // Not to wait for something: so long does the server stand still.
        std::thread::sleep(Duration::from_millis(TIMEOUT_MS + 100));
        program.signal("CONT");
    }
    ping(&mut client);
    drop(program);
    std::fs::remove_dir_all(&directory).unwrap();
}
