//! The program itself, where a test needs more than its transport.

use crate::support::*;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

pub struct Program {
    child: Child,
    directory: PathBuf,
    pub address: SocketAddr,
}

impl Program {
    /// A server that pings its clients that often, and gives them as long to
    /// answer. `name` is the test's.
    pub fn start(name: &str, heartbeat_ms: u64) -> Program {
        let directory = std::env::temp_dir().join(format!("noexd-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let file = directory.join("config.json");
        let config = format!(
            r#"{{"host":"127.0.0.1","port":0,"heartbeat":{{"intervalMs":{heartbeat_ms},"timeoutMs":{heartbeat_ms}}}}}"#
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
        let url = line.split_whitespace().last().unwrap();
        let address = url.trim_start_matches("ws://").trim_end_matches('/').parse().unwrap();
        Program { child, directory, address }
    }

    #[cfg(unix)]
    pub fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// The time of a ping, if it is one.
pub fn ping_of(frame: &Frame) -> Option<u64> {
    let Frame::Text(message) = frame else { return None };
    let time = message.strip_prefix(r#"{"type":"ping","timestamp":"#)?;
    Some(time.trim_end_matches('}').parse().unwrap())
}

/// The time of the next ping.
pub fn ping(client: &mut Client) -> u64 {
    let frame = client.frame();
    ping_of(&frame).unwrap_or_else(|| panic!("no ping but {frame:?}"))
}

pub fn pong(client: &mut Client, time: u64) {
    client.text(&format!(r#"{{"type":"pong","timestamp":{time}}}"#));
}
