//! Live queries as server-sent events.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Shutdown, TcpStream};

use noexd::server::ServerThread;
use serde_json::{Value, json};

use super::client::{Answer, builder, data, dial, post, post_with, raw};

/// One block of a stream.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Event {
    pub event: Option<String>,
    pub id: Option<String>,
    pub retry: Option<u64>,
    pub data: Option<Value>,
}

impl Event {
    fn is(&self, name: &str) -> bool {
        self.event.as_deref() == Some(name)
    }
}

/// An open stream.
pub struct Stream {
    pub head: String,
    reader: BufReader<TcpStream>,
    /// As a browser has it.
    pub last_id: Option<String>,
}

pub fn request(query: &str, fields: &str) -> String {
    format!("GET /live?{query} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n")
}

impl Stream {
    pub fn open(server: &ServerThread, query: &str, fields: &str) -> Stream {
        let mut stream = dial(server);
        stream.write_all(request(query, fields).as_bytes()).unwrap();
        Stream::of(stream)
    }

    pub fn of(stream: TcpStream) -> Stream {
        let mut reader = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(reader.read_line(&mut head).unwrap(), 0, "{head}");
        }
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        let mut opened = Stream { head, reader, last_id: None };
        assert_eq!(opened.block(), Some(Event { retry: Some(1000), ..Event::default() }));
        opened
    }

    pub fn socket(&self) -> &TcpStream {
        self.reader.get_ref()
    }

    /// The next block; `None` at the end.
    pub fn block(&mut self) -> Option<Event> {
        let mut event = Event::default();
        let mut line = String::new();
        loop {
            line.clear();
            if self.reader.read_line(&mut line).unwrap() == 0 {
                return None;
            }
            let text = line.strip_suffix('\n').expect("a whole line");
            if text.is_empty() {
                return Some(event);
            }
            let (name, value) = text.split_once(':').expect("a field");
            let value = value.strip_prefix(' ').unwrap_or(value);
            match name {
                "event" => event.event = Some(value.to_owned()),
                "id" => {
                    self.last_id = Some(value.to_owned());
                    event.id = Some(value.to_owned());
                }
                "retry" => event.retry = Some(value.parse().unwrap()),
                "data" => {
                    let value = serde_json::from_str(value).expect("JSON in one line");
                    assert!(event.data.replace(value).is_none(), "one line of data");
                }
                "" => {}
                other => panic!("field {other:?}"),
            }
        }
    }

    /// The next event with data.
    pub fn event(&mut self) -> Event {
        loop {
            let block = self.block().expect("an event");
            if block.data.is_some() {
                return block;
            }
        }
    }

    pub fn expect(&mut self, name: &str) -> Value {
        let event = self.event();
        assert!(event.is(name), "expected {name}, got {event:?}");
        event.data.unwrap()
    }

    pub fn assert_end(mut self) {
        assert_eq!(self.block(), None);
    }
}

/// A list as a client of delta mode keeps it.
#[derive(Debug, Default, PartialEq)]
pub struct List {
    seq: u64,
    rows: Vec<(Value, Value)>,
}

impl List {
    fn adopt(&mut self, state: &Value) {
        let keys = state["keys"].as_array().unwrap().iter().cloned();
        let data = state["data"].as_array().unwrap().iter().cloned();
        *self = List { seq: state["seq"].as_u64().unwrap(), rows: keys.zip(data).collect() };
    }

    /// By the rules of docs/delta.md; `resumed`: with the additions of
    /// docs/continuity.md.
    fn apply(&mut self, change: &Value, resumed: bool) {
        let list = |name: &str| change[name].as_array().cloned().unwrap_or_default();
        let (removed, added, changed) = (list("removed"), list("added"), list("changed"));
        let seq = change["seq"].as_u64().unwrap();
        assert!(resumed || seq == self.seq + 1, "{seq} behind {}", self.seq);
        self.seq = seq;
        let moved: Vec<&Value> = changed.iter().filter(|entry| entry.get("at").is_some()).collect();
        let gone =
            |key: &Value| removed.contains(key) || moved.iter().any(|entry| entry["key"] == *key);
        self.rows.retain(|(key, _)| !gone(key));
        let mut placed: Vec<&Value> = added.iter().chain(moved).collect();
        placed.sort_by_key(|entry| entry["at"].as_u64());
        for entry in placed {
            let at = entry["at"].as_u64().map_or(self.rows.len(), |at| at as usize);
            self.rows.insert(at, (entry["key"].clone(), entry["row"].clone()));
        }
        for entry in changed.iter().filter(|entry| entry.get("at").is_none()) {
            match self.rows.iter_mut().find(|(key, _)| *key == entry["key"]) {
                Some((_, row)) => *row = entry["row"].clone(),
                None if resumed => self.rows.push((entry["key"].clone(), entry["row"].clone())),
                None => panic!("{entry} is not there"),
            }
        }
    }

    fn take(&mut self, event: &Event) {
        let data = event.data.as_ref().unwrap();
        match event.event.as_deref() {
            Some("snapshot") => self.adopt(data),
            Some("resumed") => self.apply(data, true),
            Some("change") => self.apply(data, false),
            other => panic!("{other:?}"),
        }
    }

    fn rows(&self) -> Value {
        self.rows.iter().map(|(_, row)| row.clone()).collect()
    }
}

fn jobs() -> noexd::server::Builder {
    let fields = json!({"id": {"type": "number"}, "rank": {"type": "number"}});
    builder()
        // Those who stay are not waited for.
        .set("closeTimeoutMs", 200)
        .bucket("jobs", json!({"key": "id", "schema": fields}))
        .query(
            "hot",
            json!({"bucket": "jobs", "filter": {"rank": {"$gte": 0}}, "sort": {"rank": "desc"}}),
        )
        .query(
            "worst",
            json!({"bucket": "jobs", "aggregate": {"function": "min", "field": "rank"}}),
        )
}

fn insert(server: &ServerThread, id: u64, rank: i64) {
    let message =
        json!({"type": "store.insert", "bucket": "jobs", "data": {"id": id, "rank": rank}});
    data(server, &message);
}

/// The result of a query as one asks for it.
fn query(server: &ServerThread, name: &str) -> Value {
    data(server, &json!({"type": "store.query", "query": name}))
}

#[test]
fn a_snapshot_and_whole_results() {
    let server = jobs().start().unwrap();
    insert(&server, 1, 5);
    let mut stream = Stream::open(&server, "query=hot", "");
    for field in [
        "Content-Type: text/event-stream\r\n",
        "Connection: close\r\n",
        "Cache-Control: no-store\r\n",
        "X-Accel-Buffering: no\r\n",
        "X-Content-Type-Options: nosniff\r\n",
    ] {
        assert!(stream.head.contains(field), "{field}: {}", stream.head);
    }
    let first = stream.event();
    let data = first.data.clone().unwrap();
    assert!(first.is("snapshot") && data["resumed"] == json!(false), "{first:?}");
    assert_eq!(data["data"][0]["rank"], 5);
    let token = data["resume"]["token"].as_str().unwrap();
    assert_eq!(first.id, Some(format!("{token}.{}", data["resume"]["commit"])));
    insert(&server, 2, 7);
    let second = stream.event();
    assert!(second.is("snapshot"), "{second:?}");
    assert_eq!(second.data.unwrap(), query(&server, "hot"));
    assert_ne!(second.id, first.id, "a new position");
    assert!(second.id.unwrap().starts_with(token));
    // A single value, and one that is gone.
    let mut worst = Stream::open(&server, "query=worst", "");
    assert_eq!(worst.expect("snapshot")["data"], 5);
    let clear = json!({"type": "store.clear", "bucket": "jobs"});
    assert_eq!(post(&server, &clear).status, 200);
    assert_eq!(worst.expect("snapshot"), Value::Null);
    assert_eq!(stream.expect("snapshot"), json!([]));
}

#[test]
fn snapshot_and_changes_are_the_result() {
    let server = jobs().start().unwrap();
    let mut stream = Stream::open(&server, "query=hot&mode=delta", "");
    let mut sets = Stream::open(&server, "query=hot&mode=delta&positions=false", "");
    let (mut list, mut set) = (List::default(), List::default());
    list.take(&stream.event());
    set.take(&sets.event());
    let mut random = 7_u64;
    let mut next = |below: u64| {
        random =
            random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below
    };
    for step in 0..60 {
        let messages: Vec<Value> = (0..1 + next(8))
            .map(|_| {
                let (id, rank) = (next(30), next(40) as i64 - 10);
                match next(4) {
                    0 => json!({"type": "store.delete", "bucket": "jobs", "key": id}),
                    _ => json!({"type": "store.upsert", "bucket": "jobs", "key": id, "data": {"id": id, "rank": rank}}),
                }
            })
            .collect();
        assert_eq!(post(&server, &json!(messages)).status, 200);
        let marker = json!({"type": "store.upsert", "bucket": "jobs", "key": 99, "data": {"id": 99, "rank": 1000 + step}});
        assert_eq!(post(&server, &marker).status, 200, "{}", post(&server, &marker).json());
        let is_there = |list: &List| {
            list.rows
                .iter()
                .any(|(key, row)| *key == json!(99) && row["rank"] == json!(1000 + step))
        };
        while !is_there(&list) {
            list.take(&stream.event());
        }
        while !is_there(&set) {
            set.take(&sets.event());
        }
        let fresh = query(&server, "hot");
        assert_eq!(list.rows(), fresh, "step {step}");
        let sorted = |rows: &Value| {
            let mut rows = rows.as_array().unwrap().clone();
            rows.sort_by_key(|row| row["id"].as_u64());
            rows
        };
        assert_eq!(sorted(&set.rows()), sorted(&fresh), "step {step}");
    }
}

#[test]
fn who_comes_back_is_told_what_he_missed() {
    let server = jobs().start().unwrap();
    insert(&server, 1, 1);
    insert(&server, 2, 2);
    let mut stream = Stream::open(&server, "query=hot&mode=delta", "");
    let mut list = List::default();
    list.take(&stream.event());
    insert(&server, 3, 3);
    list.take(&stream.event());
    let again = |id: &str| format!("Last-Event-ID: {id}\r\n");
    let last = stream.last_id.clone().unwrap();
    drop(stream);
    // Nothing has changed.
    let mut stream = Stream::open(&server, "query=hot&mode=delta", &again(&last));
    let event = stream.event();
    assert!(event.is("resumed"), "{event:?}");
    list.take(&event);
    assert_eq!(list.rows(), query(&server, "hot"));
    drop(stream);
    // Something has.
    insert(&server, 4, 2);
    assert_eq!(
        post(&server, &json!({"type": "store.delete", "bucket": "jobs", "key": 1})).status,
        200
    );
    let mut stream = Stream::open(&server, "query=hot&mode=delta", &again(&last));
    let event = stream.event();
    assert!(event.is("resumed"), "{event:?}");
    assert_eq!(event.data.as_ref().unwrap()["changed"].as_array().unwrap().len(), 1);
    list.take(&event);
    assert_eq!(list.rows(), query(&server, "hot"));
    // Changes go on from there.
    insert(&server, 5, 9);
    list.take(&stream.event());
    assert_eq!(list.rows(), query(&server, "hot"));
    // A whole result is only kept where nothing has changed.
    let mut full = Stream::open(&server, "query=hot", "");
    full.expect("snapshot");
    let last = full.last_id.clone().unwrap();
    let mut kept = Stream::open(&server, "query=hot", &again(&last));
    let resumed = kept.expect("resumed");
    assert!(resumed.get("data").is_none(), "{resumed}");
    insert(&server, 6, 9);
    let mut whole = Stream::open(&server, "query=hot", &again(&last));
    assert_eq!(whole.expect("snapshot")["reason"], "whole");
    // Another question, and what is no id.
    let other = Stream::open(&server, "query=hot&mode=delta", &again(&last)).expect("snapshot");
    assert_eq!(other["reason"], "definition");
    for id in ["17", "x.y", "0.0", &"A".repeat(43)] {
        let first = Stream::open(&server, "query=hot", &again(id)).expect("snapshot");
        assert!(first.get("reason").is_none(), "{id}: {first}");
    }
}

#[cfg(feature = "sqlite")]
#[test]
fn a_restart_in_between() {
    let name = format!("noexd-door-{}", std::process::id());
    let directory = std::env::temp_dir().join(name);
    let _ = std::fs::remove_dir_all(&directory);
    let begin = || jobs().data_dir(&directory).start().unwrap();
    let mut list = List::default();
    let server = begin();
    insert(&server, 1, 1);
    let mut stream = Stream::open(&server, "query=hot&mode=delta", "");
    list.take(&stream.event());
    insert(&server, 2, 2);
    list.take(&stream.event());
    let last = stream.last_id.clone().unwrap();
    insert(&server, 3, 3);
    server.stop_and_wait(std::time::Duration::ZERO).unwrap();
    assert!(stream.event().is("change"), "what was committed was told");
    let end = stream.event();
    assert!(end.is("end") && end.data == Some(json!({"reason": "shutdown"})), "{end:?}");
    assert!(end.retry.is_some_and(|ms| ms >= 1000), "{end:?}");
    stream.assert_end();
    let server = begin();
    let fields = format!("Last-Event-ID: {last}\r\n");
    let mut stream = Stream::open(&server, "query=hot&mode=delta", &fields);
    let event = stream.event();
    assert!(event.is("resumed"), "{event:?}");
    list.take(&event);
    assert_eq!(list.rows(), query(&server, "hot"));
    drop(server);
    let _ = std::fs::remove_dir_all(&directory);
}

/// The program, on data that it finds.
#[cfg(feature = "sqlite")]
fn program(directory: &std::path::Path) -> (std::process::Child, u16) {
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_noexd"))
        .args(["--port", "0", "--http", "--data-dir"])
        .arg(directory)
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let port = line.trim().trim_end_matches('/').rsplit(':').next().unwrap();
    let port = port.parse().unwrap_or_else(|_| panic!("{line:?}"));
    (child, port)
}

#[cfg(feature = "sqlite")]
#[test]
fn a_server_that_is_killed_in_between() {
    let name = format!("noexd-door-killed-{}", std::process::id());
    let directory = std::env::temp_dir().join(name);
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(&directory).unwrap();
    let send = |port: u16, request: &[u8]| {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(crate::support::PATIENCE)).unwrap();
        stream.write_all(request).unwrap();
        stream
    };
    let call = |port: u16, messages: Value| {
        let request = super::client::post_text("", &messages.to_string());
        let answers = Answer::read(&mut send(port, &request)).json();
        assert!(!answers.to_string().contains("\"error\""), "{answers}");
        answers
    };
    let insert = |id: u64| json!([{"type": "store.insert", "bucket": "jobs", "data": {"id": id}}]);
    let live = |port: u16, fields: &str| {
        Stream::of(send(port, request("query=hot&mode=delta", fields).as_bytes()))
    };
    let (mut child, port) = program(&directory);
    call(
        port,
        json!([
            {"type": "store.defineBucket", "name": "jobs", "config": {"key": "id", "schema": {"id": {"type": "number"}}}},
            {"type": "store.defineQuery", "name": "hot", "config": {"bucket": "jobs", "sort": {"id": "asc"}}}]),
    );
    let mut list = List::default();
    let mut stream = live(port, "");
    list.take(&stream.event());
    call(port, insert(1));
    list.take(&stream.event());
    let last = stream.last_id.clone().unwrap();
    drop(stream);
    // Acknowledged, so it is there afterwards.
    call(port, insert(2));
    child.kill().unwrap();
    child.wait().unwrap();
    let (mut child, port) = program(&directory);
    let event = live(port, &format!("Last-Event-ID: {last}\r\n")).event();
    assert!(event.is("resumed"), "{event:?}");
    list.take(&event);
    let query = call(port, json!([{"type": "store.query", "query": "hot"}]));
    assert_eq!(list.rows(), query[0]["data"]);
    assert_eq!(list.rows.len(), 2);
    child.kill().unwrap();
    child.wait().unwrap();
    std::fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn a_stream_is_a_connection_like_others() {
    let server = jobs().start().unwrap();
    let mut stream = Stream::open(&server, "query=hot", "User-Agent: test\r\n");
    stream.expect("snapshot");
    let listed = data(&server, &json!({"type": "server.connections"}));
    assert_eq!(
        (listed.as_array().unwrap().len(), &listed[0]["storeSubscriptionCount"]),
        (1, &json!(1))
    );
    assert_eq!(data(&server, &json!({"type": "server.stats"}))["connectionCount"], 1);
    let id = listed[0]["connectionId"].as_str().unwrap();
    let gone = data(&server, &json!({"type": "server.disconnect", "connectionId": id}));
    assert_eq!(gone["disconnected"], 1);
    assert_eq!(stream.expect("end"), json!({"reason": "disconnected"}));
    stream.assert_end();
    assert_eq!(data(&server, &json!({"type": "server.connections"})), json!([]));
    // One whose client is gone is gone.
    let stream = Stream::open(&server, "query=hot", "");
    stream.socket().shutdown(Shutdown::Write).unwrap();
    while data(&server, &json!({"type": "server.connections"})) != json!([]) {
        std::thread::yield_now();
    }
    stream.assert_end_after_snapshot();
}

impl Stream {
    fn assert_end_after_snapshot(mut self) {
        self.expect("snapshot");
        self.assert_end();
    }
}

#[test]
fn what_ends_a_query_ends_its_stream() {
    let server = jobs().start().unwrap();
    for mode in ["full", "delta"] {
        let define = |name: &str| {
            let config = json!({"bucket": "jobs", "filter": {"rank": 1}});
            data(&server, &json!({"type": "store.defineQuery", "name": name, "config": config}));
        };
        define("q");
        let mut stream = Stream::open(&server, &format!("query=q&mode={mode}"), "");
        stream.expect("snapshot");
        data(&server, &json!({"type": "store.undefineQuery", "name": "q"}));
        assert_eq!(stream.expect("end"), json!({"reason": "queryUndefined"}), "{mode}");
        stream.assert_end();
        let bucket = json!({"type": "store.defineBucket", "name": "b", "config": {"key": "id", "schema": {"id": {"type": "number"}}}});
        data(&server, &bucket);
        let config = json!({"bucket": "b"});
        data(&server, &json!({"type": "store.defineQuery", "name": "of-b", "config": config}));
        let mut stream = Stream::open(&server, &format!("query=of-b&mode={mode}"), "");
        stream.expect("snapshot");
        data(&server, &json!({"type": "store.dropBucket", "name": "b"}));
        assert_eq!(stream.expect("end"), json!({"reason": "bucketDropped"}), "{mode}");
        stream.assert_end();
        data(&server, &json!({"type": "store.undefineQuery", "name": "of-b"}));
    }
    assert_eq!(data(&server, &json!({"type": "server.connections"})), json!([]));
}

#[test]
fn a_result_that_becomes_too_long_ends_the_stream() {
    let server = builder()
        .set("limits", json!({"maxReplyBytes": 65_536}))
        .bucket(
            "texts",
            json!({"key": "id", "schema": {"id": {"type": "number"}, "t": {"type": "string"}}}),
        )
        .query("all", json!({"bucket": "texts"}))
        .start()
        .unwrap();
    let mut stream = Stream::open(&server, "query=all", "");
    stream.expect("snapshot");
    for id in 0..4 {
        let text = "x".repeat(20_000);
        data(
            &server,
            &json!({"type": "store.insert", "bucket": "texts", "data": {"id": id, "t": text}}),
        );
    }
    for _ in 0..3 {
        stream.expect("snapshot");
    }
    assert_eq!(stream.expect("end"), json!({"reason": "tooLarge"}));
    stream.assert_end();
    let refused = raw(&server, request("query=all", "").as_bytes());
    assert_eq!((refused.status, &refused.json()["code"]), (400, &json!("VALIDATION_ERROR")));
}

#[test]
fn rights_and_their_ends() {
    let tokens = json!({
        "t-ann": {"userId": "ann", "roles": ["reader"]},
        "t-bob": {"userId": "bob", "roles": ["nothing"]},
        "t-ops": {"userId": "ops", "roles": ["admin"]}});
    let server =
        jobs().set("auth", json!({"tokens": tokens, "customRoleTier": "none"})).start().unwrap();
    let bearer = |token: &str| format!("Authorization: Bearer {token}\r\n");
    let refused = |fields: &str| {
        let answer = raw(&server, request("query=hot", fields).as_bytes());
        (answer.status, answer.json()["code"].as_str().unwrap().to_owned())
    };
    assert_eq!(refused(""), (401, "UNAUTHORIZED".to_owned()));
    assert_eq!(refused(&bearer("wrong")), (401, "UNAUTHORIZED".to_owned()));
    assert_eq!(refused(&bearer("t-bob")), (403, "FORBIDDEN".to_owned()));
    let mut stream = Stream::open(&server, "query=hot", &bearer("t-ann"));
    stream.expect("snapshot");
    let ops = bearer("t-ops");
    let revoke = json!({"type": "server.revokeSessions", "userId": "ann"});
    assert_eq!(post_with(&server, &ops, &revoke).json()["data"]["revoked"], 1);
    assert_eq!(stream.expect("end"), json!({"reason": "revoked"}));
    stream.assert_end();
    assert_eq!(refused(&bearer("t-ann")), (401, "SESSION_REVOKED".to_owned()));
}

/// When a user may see other records, his position gets another name: the old one
/// would say that he has what he may not have any more.
#[test]
fn other_rights_are_another_position() {
    let text = json!({"type": "string"});
    let tokens = json!({
        "t-ann": {"userId": "ann", "roles": ["writer"]},
        "t-mod": {"userId": "mod", "roles": ["writer", "moderator"]}});
    let server = builder()
        .set("closeTimeoutMs", 200)
        .set("auth", json!({"tokens": tokens}))
        .set(
            "access",
            json!({"sets": {"myRooms":
            {"bucket": "members", "filter": {"user": "{{ session.userId }}"}, "field": "room"}}}),
        )
        .bucket("members", json!({"key": "id", "schema": {"id": text, "user": text, "room": text}}))
        .bucket(
            "notes",
            json!({"key": "id", "schema": {"id": text, "room": text},
            "rows": {"read": {"room": {"$in": "{{ sets.myRooms }}"}}, "bypass": ["moderator"]}}),
        )
        .query("notes", json!({"bucket": "notes"}))
        .start()
        .unwrap();
    let moderator = "Authorization: Bearer t-mod\r\n";
    let write = |message: Value| {
        let answer = post_with(&server, moderator, &message);
        assert_eq!(answer.status, 200, "{}", answer.json());
    };
    for room in ["a", "b"] {
        write(
            json!({"type": "store.insert", "bucket": "notes", "data": {"id": room, "room": room}}),
        );
    }
    let join = |room: &str| {
        let data = json!({"id": room, "user": "ann", "room": room});
        write(json!({"type": "store.insert", "bucket": "members", "data": data}));
    };
    join("a");
    let ann = "Authorization: Bearer t-ann\r\n";
    let mut stream = Stream::open(&server, "query=notes&mode=delta", ann);
    let mut list = List::default();
    list.take(&stream.event());
    assert_eq!(list.rows.len(), 1);
    let token = |id: &Option<String>| id.as_deref().unwrap().split('.').next().unwrap().to_owned();
    let before = stream.last_id.clone();
    join("b");
    let event = stream.event();
    assert!(event.is("snapshot"), "{event:?}");
    list.take(&event);
    assert_eq!(list.rows.len(), 2);
    let after = stream.last_id.clone();
    assert_ne!(token(&before), token(&after));
    drop(stream);
    let again = |id: &Option<String>| {
        let fields = format!("{ann}Last-Event-ID: {}\r\n", id.as_deref().unwrap());
        Stream::open(&server, "query=notes&mode=delta", &fields).event()
    };
    assert!(again(&after).is("resumed"));
    let old = again(&before);
    assert!(old.is("snapshot"), "{old:?}");
    assert_eq!(old.data.unwrap()["reason"], "definition");
}

#[test]
fn errors_in_place_of_a_stream() {
    let server = jobs().start().unwrap();
    let rows = [
        ("", 400, "Missing or invalid \"query\": expected non-empty string"),
        ("query=nothing", 404, "Query \"nothing\" is not defined"),
        ("query=hot&mode=half", 400, "Invalid \"mode\": expected \"full\" or \"delta\""),
        ("query=hot&positions=perhaps", 400, "Invalid \"positions\": expected boolean"),
        ("query=hot&params=%7B", 400, "Invalid \"params\": expected JSON"),
        ("query=%zz", 400, "Invalid query string: expected percent-encoded UTF-8"),
    ];
    for (query, status, message) in rows {
        let answer = raw(&server, request(query, "").as_bytes());
        assert_eq!(
            (answer.status, &answer.json()["message"]),
            (status, &json!(message)),
            "{query}"
        );
    }
    for line in ["HEAD", "POST", "PUT"] {
        let text = request("query=hot", "").replace("GET", line);
        let answer = raw(&server, text.as_bytes());
        assert_eq!((answer.status, answer.field("Allow")), (405, Some("GET, OPTIONS")), "{line}");
    }
    let foreign = request("query=hot", "Origin: https://evil.example\r\n");
    assert_eq!(raw(&server, foreign.as_bytes()).status, 403);
    let limited =
        jobs().set("connectionLimits", json!({"maxTotalSubscriptions": 1})).start().unwrap();
    let _one = Stream::open(&limited, "query=hot", "");
    let answer: Answer = raw(&limited, request("query=hot", "").as_bytes());
    assert_eq!((answer.status, &answer.json()["code"]), (429, &json!("RATE_LIMITED")));
}
