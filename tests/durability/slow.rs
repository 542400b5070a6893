//! A disk that takes its time. Another program that holds the file's write lock
//! is such a disk: the server's writes wait for it, up to 30 seconds.

use std::io::{ErrorKind, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use noexd::Server;
use noexd::config::Durability;
use noexd::server::ServerThread;
use noexd::storage::MAX_BACKLOG_BYTES;
use serde_json::{Value, json};

use crate::support::{Client, Scratch};

/// Nothing is written as long as this is there.
struct Held(rusqlite::Connection);

impl Held {
    fn new(scratch: &Scratch) -> Self {
        let connection = rusqlite::Connection::open(scratch.file()).unwrap();
        connection.busy_timeout(Duration::from_secs(30)).unwrap();
        connection.execute_batch("BEGIN IMMEDIATE").unwrap();
        Held(connection)
    }

    fn release(self) {
        self.0.execute_batch("ROLLBACK").unwrap();
    }
}

/// A server in this process, whose backlog can be seen.
fn start(data: &Path, mode: Durability) -> (ServerThread, String) {
    let server = Server::builder()
        .host("127.0.0.1")
        .port(0)
        .data_dir(data)
        .durability(mode)
        .start()
        .unwrap();
    let url = format!("ws://{}/", server.local_addr());
    (server, url)
}

fn connect(url: &str) -> Client {
    Client::connect(url).expect("a connection")
}

fn backlog(server: &ServerThread) -> u64 {
    server.storage_stats().expect("storage").backlog.load(Relaxed)
}

fn define(client: &mut Client, name: &str) {
    let config = json!({"key": "id", "schema": {"id": {"type": "number"}}});
    client.call("store.defineBucket", json!({"name": name, "config": config}));
    let query = json!({"bucket": name, "aggregate": {"function": "count"}});
    client.call("store.defineQuery", json!({"name": name, "config": query}));
}

fn insert(bucket: &str, id: u64) -> Value {
    json!({"bucket": bucket, "data": {"id": id}})
}

/// Writers, and whoever saw what they wrote, wait for the disk; nobody else.
#[test]
fn only_what_depends_on_the_disk_waits_for_it() {
    for mode in [Durability::Always, Durability::Interval] {
        let scratch = Scratch::new(&format!("slow-reads-{mode:?}"));
        let (server, url) = start(&scratch.data(), mode);
        let mut other = connect(&url);
        define(&mut other, "hot");
        define(&mut other, "cold");
        other.call("store.insert", insert("cold", 1));
        let (mut writer, mut reader, mut watcher) = (connect(&url), connect(&url), connect(&url));
        watcher.call("store.subscribe", json!({"query": "hot"}));
        let held = Held::new(&scratch);
        writer.send("store.insert", insert("hot", 1)).unwrap();
        while backlog(&server) == 0 {
            std::thread::yield_now();
        }
        // The record is in memory now, and not on disk.
        reader.send("store.count", json!({"bucket": "hot"})).unwrap();
        for _ in 0..50 {
            assert_eq!(other.call("store.count", json!({"bucket": "cold"})), 1);
        }
        for (who, client) in
            [("writer", &mut writer), ("reader", &mut reader), ("watcher", &mut watcher)]
        {
            assert!(client.has_nothing_yet(), "{mode:?}: the {who} heard of what is not on disk");
        }
        held.release();
        assert_eq!(reader.response().unwrap()["data"], 1);
        assert_eq!(writer.response().unwrap()["type"], "result");
        assert_eq!(watcher.receive().unwrap()["data"], 1);
        server.stop_and_wait(Duration::ZERO).unwrap();
    }
}

#[test]
fn without_durability_nobody_waits() {
    let scratch = Scratch::new("slow-none");
    let (server, url) = start(&scratch.data(), Durability::None);
    let mut client = connect(&url);
    define(&mut client, "hot");
    client.call("store.insert", insert("hot", 1));
    let held = Held::new(&scratch);
    for id in 2..50 {
        client.call("store.insert", insert("hot", id));
    }
    assert!(backlog(&server) > 0);
    held.release();
    server.stop_and_wait(Duration::ZERO).unwrap();
    let (server, url) = start(&scratch.data(), Durability::Always);
    assert_eq!(connect(&url).call("store.count", json!({"bucket": "hot"})), 49);
    server.stop_and_wait(Duration::ZERO).unwrap();
}

/// A client that sends as much as is taken, and reads nothing yet.
struct Pushy {
    client: Client,
    stream: TcpStream,
    /// Of the request that was taken in part.
    rest: Vec<u8>,
    sent: u64,
}

impl Pushy {
    fn new(url: &str) -> Self {
        let client = connect(url);
        let stream = client.stream();
        Pushy { client, stream, rest: Vec::new(), sent: 0 }
    }

    /// Sends what is taken without waiting; whether that was anything.
    fn push(&mut self, next: impl Fn(u64) -> Vec<u8>) -> bool {
        if self.rest.is_empty() {
            self.rest = next(self.sent);
            self.sent += 1;
        }
        self.stream.set_nonblocking(true).unwrap();
        let written = match self.stream.write(&self.rest) {
            Ok(written) => written,
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(error) => panic!("{error}"),
        };
        self.rest.drain(..written);
        written > 0
    }

    /// Sends the rest, and takes all responses.
    fn finish(mut self) {
        self.stream.set_nonblocking(false).unwrap();
        let (mut stream, rest) = (self.stream, self.rest);
        // The server reads on when its responses are read.
        let sender = std::thread::spawn(move || stream.write_all(&rest).unwrap());
        for number in 0..self.sent {
            let response = self.client.response().unwrap();
            assert_eq!((&response["id"], &response["type"]), (&json!(number), &json!("result")));
        }
        sender.join().unwrap();
    }
}

/// What waits for the disk is bounded: beyond it the server does not read, and
/// the peers' own buffers fill up.
#[test]
fn a_slow_disk_stops_the_reading_of_requests() {
    const CLIENTS: u64 = 32;
    const BODY: usize = 60_000;
    /// What one turn may read behind the bound.
    const TURN: u64 = 24 << 20;
    let scratch = Scratch::new("slow-writes");
    let (server, url) = start(&scratch.data(), Durability::Always);
    define(&mut connect(&url), "hot");
    let mut clients: Vec<Pushy> = (0..CLIENTS).map(|_| Pushy::new(&url)).collect();
    let held = Held::new(&scratch);
    let text = "x".repeat(BODY);
    let mut quiet = 0;
    while quiet < 5_000 {
        let mut any = false;
        for (at, client) in clients.iter_mut().enumerate() {
            any |= client.push(|number| {
                let data = json!({"id": number * CLIENTS + at as u64, "text": text});
                let request = json!({"id": number, "type": "store.insert", "bucket": "hot",
                    "data": data});
                Client::frame(&request.to_string())
            });
        }
        // At first nothing is taken because the server has not come to it.
        quiet = if any || backlog(&server) < MAX_BACKLOG_BYTES { 0 } else { quiet + 1 };
        std::thread::yield_now();
    }
    let waiting = backlog(&server);
    assert!(waiting < MAX_BACKLOG_BYTES + TURN, "{waiting} bytes wait");
    held.release();
    let sent: u64 = clients.iter().map(|client| client.sent).sum();
    std::thread::scope(|scope| {
        clients.into_iter().for_each(|client| drop(scope.spawn(|| client.finish())));
    });
    assert!(sent * BODY as u64 > MAX_BACKLOG_BYTES + TURN, "only {sent} requests were sent");
    assert_eq!(connect(&url).call("store.count", json!({"bucket": "hot"})), sent);
    server.stop_and_wait(Duration::ZERO).unwrap();
}
