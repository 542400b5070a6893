//! Numbered requests against `kill -9` in the middle of them: clients that count
//! and repeat, and counters that are exact; and what of them is on the disk.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, Sender, channel};

use serde_json::{Value, json};

use crate::support::{Client, Gone, Random, Scratch, Server};

const CLIENTS: u64 = 3;
const IN_FLIGHT: u64 = 8;
const ROUNDS: u64 = 4;
/// Answers after which the server is killed, at least.
const ANSWERS: usize = 40;

fn session(client: u64) -> String {
    format!("counting-client-{client}-with-a-long-id")
}

/// A client across its connections.
struct Counter {
    client: u64,
    /// The highest number that was sent, and the lowest that was not answered.
    sent: u64,
    unanswered: u64,
    is_known: bool,
}

fn add(client: u64, n: u64) -> (&'static str, Value) {
    match n % 3 {
        0 => (
            "store.transaction",
            json!({"once": n, "operations": [
                {"op": "insert", "bucket": "log", "data": {"client": client, "n": n}},
                {"op": "update", "bucket": "sums", "key": client, "data": {},
                 "apply": {"sum": {"$inc": n}}}]}),
        ),
        1 => (
            "procedures.call",
            json!({"once": n, "name": "add",
                "input": {"client": client, "n": n}}),
        ),
        _ => (
            "store.update",
            json!({"once": n, "bucket": "sums", "key": client, "data": {},
                "apply": {"sum": {"$inc": n}}}),
        ),
    }
}

/// Sends until the connection is gone or everything up to `last` was answered.
fn run(url: &str, counter: &mut Counter, last: u64, answered: &Sender<()>) -> Result<(), Gone> {
    let mut connection = Client::connect(url)?;
    let open = json!({"session": session(counter.client), "once": true,
        "resume": counter.is_known});
    connection.send("session.open", open)?;
    let opened = connection.response()?;
    assert_eq!(opened["type"], "result", "{opened}");
    counter.is_known = true;
    let mut next = counter.unanswered;
    while counter.unanswered <= last {
        while next <= last && next < counter.unanswered + IN_FLIGHT {
            let (operation, fields) = add(counter.client, next);
            counter.sent = counter.sent.max(next);
            connection.send(operation, fields)?;
            next += 1;
        }
        let answer = connection.response()?;
        assert_eq!(answer["type"], "result", "{answer}");
        counter.unanswered += 1;
        // The other end has what it wanted to hear, perhaps.
        let _ = answered.send(());
    }
    Ok(())
}

fn prepare(server: &Server) {
    let mut client = server.client();
    let number = json!({"type": "number"});
    let sums = json!({"key": "id", "schema": {"id": number, "sum": number}});
    client.call("store.defineBucket", json!({"name": "sums", "config": sums}));
    let log = json!({"key": "id", "schema": {
        "id": {"type": "number", "generated": "autoincrement"}, "client": number, "n": number}});
    client.call("store.defineBucket", json!({"name": "log", "config": log}));
    let steps = json!([
        {"action": "store.insert", "bucket": "log",
         "data": {"client": "{{ input.client }}", "n": "{{ input.n }}"}},
        {"action": "store.update", "bucket": "sums", "key": "{{ input.client }}", "data": {},
         "apply": {"sum": {"$inc": "{{ input.n }}"}}}]);
    let procedure = json!({"name": "add", "transaction": true, "steps": steps});
    client.call("procedures.register", json!({"procedure": procedure}));
    for client_id in 0..CLIENTS {
        client.call("store.insert", json!({"bucket": "sums", "data": {"id": client_id, "sum": 0}}));
    }
}

/// One life of the server: all clients, until it is killed behind so many answers.
fn round(server: Server, counters: &mut [Counter], wait: usize) {
    let (answered, heard): (Sender<()>, Receiver<()>) = channel();
    std::thread::scope(|scope| {
        for counter in counters.iter_mut() {
            let (answered, url) = (answered.clone(), server.url.clone());
            scope.spawn(move || run(&url, counter, u64::MAX - IN_FLIGHT, &answered));
        }
        drop(answered);
        for _ in 0..wait {
            heard.recv().expect("the clients are at work");
        }
        server.kill();
    });
}

fn exact(durability: &str) {
    let scratch = Scratch::new(&format!("once-{durability}"));
    let start = || Server::start(&scratch.data(), &["--durability", durability]);
    let server = start();
    prepare(&server);
    let counter = |client| Counter { client, sent: 0, unanswered: 1, is_known: false };
    let mut counters: Vec<Counter> = (0..CLIENTS).map(counter).collect();
    let mut random = Random(durability.len() as u64);
    let mut server = server;
    for _ in 0..ROUNDS {
        let wait = ANSWERS + random.below(60) as usize;
        round(server, &mut counters, wait);
        server = start();
    }
    let (answered, _heard) = channel();
    for counter in &mut counters {
        let last = counter.sent + 3;
        run(&server.url, counter, last, &answered).expect("nobody kills it any more");
    }
    let mut client = server.client();
    let log = client.call("store.all", json!({"bucket": "log"}));
    let mut logged: BTreeMap<(u64, u64), u64> = BTreeMap::new();
    for entry in log.as_array().expect("records") {
        let number = |name: &str| entry[name].as_u64().expect("a number");
        *logged.entry((number("client"), number("n"))).or_default() += 1;
    }
    for counter in &counters {
        let last = counter.unanswered - 1;
        let record = client.call("store.get", json!({"bucket": "sums", "key": counter.client}));
        assert_eq!(record["sum"], json!(last * (last + 1) / 2), "{durability}: {record}");
        for n in (1..=last).filter(|n| n % 3 != 2) {
            let times = logged.get(&(counter.client, n)).copied();
            assert_eq!(times, Some(1), "{durability}: client {} number {n}", counter.client);
        }
    }
    let stats = client.call("server.stats", json!({"details": true}));
    assert!(stats["continuity"]["once"]["repeated"].as_u64().is_some(), "{stats}");
    server.kill();
    let database = std::fs::read(scratch.file()).expect("the database");
    let holds = |text: &str| database.windows(text.len()).any(|part| part == text.as_bytes());
    assert!(holds("receipt") && !holds("counting-client-0"), "no id of a session is on the disk");
}

#[test]
fn counters_are_exact_with_always() {
    exact("always");
}

#[test]
fn counters_are_exact_with_interval() {
    exact("interval");
}

#[test]
fn a_session_that_was_never_numbered_is_not_stored() {
    let scratch = Scratch::new("unnumbered");
    let server = Server::start(&scratch.data(), &[]);
    let mut client = server.client();
    client.call("session.open", json!({"session": session(1)}));
    server.kill();
    let server = Server::start(&scratch.data(), &[]);
    let again = json!({"session": session(1), "resume": true});
    let (code, message) = server.client().refused("session.open", again);
    assert_eq!((&*code, &*message), ("NOT_FOUND", "Session not found"));
}
