//! The library as a program that embeds it meets it.

use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::Duration;

use noexd::server::{CallError, Closed, StartError, Stopped};
use noexd::{Config, Handle, Server};
use serde_json::{Value, json};
use tungstenite::{Message, WebSocket};

fn items() -> Value {
    json!({"key": "id", "schema": {"id": {"type": "number", "generated": "autoincrement"}, "n": {"type": "number"}}})
}

fn config() -> Config {
    Config { port: 0, ..Config::default() }
}

fn connect(handle: &Handle) -> WebSocket<TcpStream> {
    let stream = TcpStream::connect(handle.local_addr()).expect("connect");
    let url = format!("ws://{}/", handle.local_addr());
    let (mut socket, _) = tungstenite::client(url, stream).expect("upgrade");
    assert!(socket.read().expect("welcome").into_text().expect("text").contains("welcome"));
    socket
}

#[test]
fn a_host_with_its_own_loop_polls() {
    let mut server = Server::builder()
        .host("127.0.0.1")
        .port(0)
        .bucket("items", items())
        .build()
        .expect("build");
    let (port, address) = (server.local_addr().port(), server.local_addr());
    assert_eq!(server.url(), format!("ws://127.0.0.1:{port}/"));
    // A client on another thread is served by nothing but the polling.
    let client = std::thread::spawn(move || {
        let stream = TcpStream::connect(address).expect("connect");
        let (mut socket, _) =
            tungstenite::client(format!("ws://{address}/"), stream).expect("upgrade");
        socket.read().expect("welcome");
        let insert = json!({"id": 1, "type": "store.insert", "bucket": "items", "data": {"n": 7}});
        socket.send(Message::text(insert.to_string())).expect("send");
        socket.read().expect("an answer").into_text().expect("text").to_string()
    });
    while !client.is_finished() {
        assert!(server.poll_once(Some(Duration::from_millis(1))).expect("a turn"));
    }
    let answer: Value = serde_json::from_str(&client.join().expect("the client")).expect("JSON");
    assert_eq!(answer["data"]["n"], 7);
    // The same thread can ask without waiting for itself.
    let count = server.request(r#"{"id":"x","type":"store.count","bucket":"items"}"#).expect("ask");
    assert!(count.contains("INVALID_REQUEST"), "{count}");
    let count = server.request(r#"{"id":9,"type":"store.count","bucket":"items"}"#).expect("ask");
    assert_eq!(count, r#"{"id":9,"type":"result","data":1}"#);
    let handle = server.handle();
    assert!(handle.is_running());
    handle.stop(Duration::ZERO).expect("stop");
    server.run().expect("the rest");
    assert!(!handle.is_running());
    drop(server);
    assert_eq!(handle.stop(Duration::ZERO), Err(Stopped));
    assert_eq!(handle.call("server.stats", Value::Null), Err(CallError::Stopped));
    assert_eq!(handle.request("{}"), Err(Stopped));
}

#[test]
fn a_handle_is_for_many_threads() {
    let server =
        Server::builder().config(config()).bucket("items", items()).start().expect("start");
    let threads: Vec<_> = (0..8)
        .map(|thread| {
            let handle: Handle = (*server).clone();
            std::thread::spawn(move || {
                for n in 0..50 {
                    let data = json!({"bucket": "items", "data": {"n": thread * 1000 + n}});
                    let record = handle.call("store.insert", data).expect("insert");
                    assert_eq!(record["n"], thread * 1000 + n);
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().expect("a thread");
    }
    assert_eq!(server.call("store.count", json!({"bucket": "items"})), Ok(json!(400)));
    server.stop_and_wait(Duration::ZERO).expect("stop");
}

#[test]
fn operations_fail_as_they_do_for_clients() {
    let server = Server::start(config()).expect("start");
    let refused = server.call("store.get", json!({"bucket": "none", "key": 1}));
    let Err(CallError::Refused { code, message, details }) = refused else { panic!("{refused:?}") };
    assert_eq!((&*code, &*message), ("BUCKET_NOT_DEFINED", "Bucket \"none\" is not defined"));
    assert_eq!(details, None);
    let text = server.request("not JSON").expect("an answer");
    assert_eq!(text, r#"{"id":0,"type":"error","code":"PARSE_ERROR","message":"Invalid JSON"}"#);
}

#[test]
fn no_limit_on_requests_holds_for_the_program_itself() {
    let limits = json!({"maxRequests": 1, "windowMs": 86_400_000});
    let server =
        Server::builder().config(config()).set("rateLimit", limits).start().expect("start");
    for _ in 0..5 {
        server.call("server.stats", Value::Null).expect("no limit");
    }
    let mut client = connect(&server);
    let mut ask = || {
        client.send(Message::text(r#"{"id":1,"type":"server.stats"}"#)).expect("send");
        client.read().expect("an answer").into_text().expect("text").to_string()
    };
    assert!(ask().contains("\"result\""));
    assert!(ask().contains("RATE_LIMITED"));
}

#[test]
fn what_a_server_says_of_itself() {
    let server = Server::builder().config(config()).set("name", "mine").start().expect("start");
    let client = connect(&server);
    let stats = server.stats().expect("stats");
    assert_eq!(stats["name"], "mine");
    assert_eq!(stats["host"], "127.0.0.1");
    assert_eq!(stats["port"], server.port());
    assert!(stats["uptimeMs"].is_u64());
    assert_eq!(server.connection_count(), Ok(1));
    let rows = server.connections().expect("rows");
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0]["connectionId"], "conn-1");
    drop(client);
}

#[test]
fn a_local_client_that_stays() {
    let server =
        Server::builder().config(config()).bucket("items", items()).start().expect("start");
    let client = server.connect().expect("connect");
    assert_eq!(client.receive_timeout(Duration::ZERO), Ok(None));
    for id in 1..=3 {
        client
            .send(format!(r#"{{"id":{id},"type":"store.count","bucket":"items"}}"#))
            .expect("send");
    }
    for id in 1..=3 {
        let expected = format!(r#"{{"id":{id},"type":"result","data":0}}"#);
        assert_eq!(client.receive(), Ok(expected));
    }
    assert_eq!(server.connection_count(), Ok(1));
    // It is told of a shutdown like everybody.
    server.stop(Duration::from_secs(3600)).expect("stop");
    let notice = r#"{"type":"system","event":"shutdown","gracePeriodMs":3600000}"#;
    assert_eq!(client.receive().as_deref(), Ok(notice));
    server.stop(Duration::ZERO).expect("at once");
    let closed = Closed { code: 1000, reason: "server_shutdown".into() };
    assert_eq!(client.receive(), Err(closed));
    server.stop_and_wait(Duration::ZERO).expect("the end");
}

#[test]
fn a_local_client_that_leaves_is_forgotten() {
    let server = Server::start(config()).expect("start");
    let client = server.connect().expect("connect");
    client.send(r#"{"id":1,"type":"server.connections"}"#).expect("send");
    assert!(client.receive().expect("an answer").contains("\"conn-1\""));
    drop(client);
    assert_eq!(server.connection_count(), Ok(0));
    // A grace period does not wait for it.
    server.stop_and_wait(Duration::from_secs(3600)).expect("the end");
}

#[test]
fn a_server_that_goes_away_leaves_nobody_waiting() {
    let server = Server::builder().host("127.0.0.1").port(0).build().expect("build");
    let handle = server.handle();
    let (started, begun) = mpsc::channel();
    let waiting = std::thread::spawn(move || {
        let client = handle.connect().expect("the server is there");
        client.send(r#"{"id":1,"type":"server.stats"}"#).expect("it still is");
        started.send(()).expect("somebody listens");
        client.receive()
    });
    begun.recv().expect("the request is under way");
    // It was never run.
    drop(server);
    assert!(waiting.join().expect("the thread").is_err());
}

#[test]
fn what_is_wrong_is_said_before_anything_is_open() {
    let problems = |error: StartError| error.to_string();
    let built = Server::builder()
        .set("heartbeat.intervalMs", "fast")
        .set("heartbeat.intervall", 5)
        .set("name", "")
        .build()
        .map(drop);
    assert_eq!(
        problems(built.expect_err("three mistakes")),
        "heartbeat.intervalMs: expected integer >= 0, got \"fast\"\n\
         heartbeat.intervall: unknown key (did you mean \"heartbeat.intervalMs\"?)\n\
         name: expected string of 1 to 128 characters, got \"\""
    );
    let built = Server::builder().json("{").build().map(drop);
    assert_eq!(problems(built.expect_err("no JSON")), "line 1, column 2: expected a member name");
    let built = Server::builder().bucket("b", json!({"key": "id", "schema": {}})).start().map(drop);
    let said = problems(built.expect_err("no such field"));
    assert!(said.starts_with("buckets.b: Key field \"id\" does not exist"), "{said}");
    let broken = Config { max_json_depth: 1, ..config() };
    let said = problems(Server::start(broken).map(drop).expect_err("too shallow"));
    assert_eq!(said, "maxJsonDepth: expected integer 8 to 1024, got 1");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("its address");
    let built = Server::builder().port(address.port()).build().map(drop);
    let step = StartError::Failed { step: "port".into(), reason: format!("{address} is in use") };
    assert_eq!(built, Err(step));
}

#[test]
fn settings_add_up() {
    let server = Server::builder()
        .config(Config { name: "base".into(), ..config() })
        .json(r#"{"exposeErrorDetails":false,"buckets":{"one":{"key":"id","schema":{"id":{"type":"string"}}}}}"#)
        .bucket("two", items())
        .set("maxJsonDepth", 9)
        .start()
        .expect("start");
    let stats = server.call("store.stats", Value::Null).expect("stats");
    assert_eq!(stats["name"], "base");
    assert_eq!(stats["buckets"]["names"], json!(["one", "two"]));
    let deep = format!(r#"{{"id":1,"type":"x","a":{}{}}}"#, "[".repeat(9), "]".repeat(9));
    assert!(server.request(deep).expect("an answer").contains("max 9 levels"));
}

#[test]
fn dropping_a_thread_server_ends_it() {
    let server = Server::start(config()).expect("start");
    let address = server.local_addr();
    let mut client = connect(&server);
    drop(server);
    let closed = client.read().expect("a close frame");
    assert!(matches!(closed, Message::Close(Some(frame)) if &*frame.reason == "server_shutdown"));
    // The port is free again.
    TcpListener::bind(address).expect("nobody listens there");
}

#[test]
fn what_may_cross_threads() {
    fn send<T: Send>() {}
    fn send_and_sync<T: Send + Sync>() {}
    send::<Server>();
    send_and_sync::<Handle>();
    send_and_sync::<noexd::server::LocalClient>();
}
