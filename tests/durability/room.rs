//! A disk that fills up and is emptied again, and a lock that is held for longer
//! than a heartbeat.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Client, Scratch, Server};

/// A file system of its own, gone with the test.
struct Mounted(Scratch);

impl Mounted {
    /// `None`: this user may not mount anything.
    fn new(name: &str, size: &str) -> Option<Mounted> {
        let scratch = Scratch::new(&format!("room-{name}"));
        let made = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(&scratch.0)
            .output()
            .is_ok_and(|output| output.status.success());
        made.then_some(Mounted(scratch))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Lazily: whoever still has a file there loses it with the last use.
        let _ = Command::new("umount").arg("-l").arg(&self.0.0).status();
    }
}

fn insert(id: u64) -> Value {
    json!({"bucket": "b", "data": {"id": id}})
}

fn define(client: &mut Client) {
    let config = json!({"key": "id", "schema": {"id": {"type": "number"}}});
    client.call("store.defineBucket", json!({"name": "b", "config": config}));
}

/// The status and the body of a plain request.
fn get(port: u16, path: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("connects");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

/// Inserts until the answer is of this kind; the id that it was about.
fn until(client: &mut Client, from: u64, refused: bool) -> u64 {
    let mut id = from;
    loop {
        id += 1;
        let sent = client.send("store.insert", insert(id)).expect("open");
        let answer = client.response().expect("an answer");
        assert_eq!(answer["id"], sent);
        match (answer["type"].as_str(), refused) {
            (Some("error"), true) => {
                assert_eq!(answer["code"], "BACKPRESSURE", "{answer}");
                assert_eq!(answer["message"], "Disk almost full: writes are refused");
                assert_eq!(answer["details"]["retryAfterMs"], 5_000);
                return id;
            }
            (Some("result"), false) => return id,
            _ => std::thread::yield_now(),
        }
    }
}

#[test]
fn a_full_disk_refuses_writes_and_nothing_else() {
    let Some(mounted) = Mounted::new("full", "200m") else {
        eprintln!("skipped: nothing can be mounted here");
        return;
    };
    let server = Server::start(&mounted.0.data(), &[]);
    let port: u16 = server
        .url
        .rsplit(':')
        .next()
        .and_then(|end| end.trim_end_matches('/').parse().ok())
        .expect("a port");
    let mut client = server.client();
    define(&mut client);
    client.call("store.insert", insert(0));
    assert!(
        get(port, "/readyz").ends_with("\r\n\r\nready\n") || get(port, "/readyz").contains("ready")
    );
    // Less than 64 MiB are left.
    let filler = mounted.0.0.join("filler");
    std::fs::write(&filler, vec![1; 150 << 20]).expect("room for it");
    let last = until(&mut client, 0, true);
    let answer = get(port, "/readyz");
    assert!(
        answer.starts_with("HTTP/1.1 503") && answer.contains("not ready: disk full"),
        "{answer}"
    );
    let (code, _) =
        client.refused("store.defineQuery", json!({"name": "q", "config": {"bucket": "b"}}));
    assert_eq!(code, "BACKPRESSURE");
    // What was there stays, can be read, and can be deleted.
    assert_eq!(client.call("store.count", json!({"bucket": "b"})), json!(last));
    client.call("store.delete", json!({"bucket": "b", "key": 0}));
    std::fs::remove_file(&filler).expect("removed");
    let next = until(&mut client, last, false);
    assert_eq!(client.call("store.count", json!({"bucket": "b"})), json!(last));
    assert!(next > last);
    server.kill();
}

#[test]
fn a_lock_is_waited_for_and_nobody_is_taken_for_dead() {
    let scratch = Scratch::new("locked");
    let config = scratch.0.join("config.json");
    let heartbeat = json!({"heartbeat": {"intervalMs": 300, "timeoutMs": 200}});
    std::fs::write(&config, heartbeat.to_string()).expect("written");
    let server = Server::start(&scratch.data(), &["--config", config.to_str().expect("text")]);
    let (mut writer, mut reader) = (server.client(), server.client());
    define(&mut writer);
    let other = rusqlite::Connection::open(scratch.file()).expect("opened");
    other.busy_timeout(Duration::from_secs(30)).expect("set");
    other.execute_batch("BEGIN IMMEDIATE").expect("locked");
    let sent = writer.send("store.insert", insert(1)).expect("open");
    // Several heartbeats pass, for whoever does not wait for the disk.
    let mut pings = 0;
    while pings < 5 {
        let message = reader.receive().expect("open");
        pings += usize::from(message["type"] == "ping");
        reader.send_text(&json!({"type": "pong", "timestamp": message["timestamp"]}).to_string());
    }
    other.execute_batch("ROLLBACK").expect("released");
    let answer = writer.response().expect("still connected");
    assert_eq!((&answer["id"], &answer["type"]), (&json!(sent), &json!("result")), "{answer}");
    server.kill();
}
