//! The page of metrics over real sockets, and its documentation.

use std::collections::HashMap;

#[cfg(feature = "sqlite")]
use super::support::Place;
use super::support::{Server, ask, call};

/// Names of families, and values of series, as a scraper reads them.
fn scrape(answer: &str) -> HashMap<String, f64> {
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert!(
        head.contains("\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"),
        "{head}"
    );
    let mut types: HashMap<&str, &str> = HashMap::new();
    let mut series = HashMap::new();
    for line in body.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a type");
            assert!(types.insert(name, kind).is_none(), "{name} twice");
        } else if !line.starts_with('#') {
            let (name, value) = line.rsplit_once(' ').expect("a value");
            let value = value.parse().expect("a number");
            assert!(series.insert(name.to_owned(), value).is_none(), "{name} twice");
            let family = name.split('{').next().unwrap_or_default();
            let family = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|end| family.strip_suffix(end).filter(|name| types.contains_key(name)))
                .unwrap_or(family);
            assert!(types.contains_key(family), "{family} has no type");
        }
    }
    series
}

const GET: &str = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n";

#[test]
fn a_scraper_of_this_machine_is_served() {
    let server = Server::start(r#"{"metrics":true}"#);
    let mut socket = server.connect();
    let stats = call(&mut socket, r#"{"id":1,"type":"server.stats"}"#);
    assert_eq!(stats["type"], "result");
    server.get("/readyz");
    let series = scrape(&server.ask(&format!("{GET}\r\n")));
    assert_eq!(series["noexd_connections"], 1.0);
    assert_eq!(series["noexd_connections_opened_total"], 1.0);
    assert_eq!(series["noexd_requests_total{family=\"server\"}"], 1.0);
    assert_eq!(series["noexd_request_duration_seconds_count{family=\"server\"}"], 1.0);
    assert_eq!(series["noexd_http_requests_total{door=\"ready\",class=\"2xx\"}"], 1.0);
    assert!(series["noexd_received_bytes_total"] > 0.0);
    assert!(series["noexd_loop_turn_duration_seconds_count"] > 0.0);
    assert!(!series.contains_key("noexd_storage_backlog_bytes"), "there is no storage");
    // What the worker has looked at arrives when it has.
    let resident = loop {
        let series = scrape(&server.ask(&format!("{GET}\r\n")));
        if let Some(value) = series.get("process_resident_memory_bytes") {
            break *value;
        }
    };
    assert!(resident > 100_000.0, "{resident}");
    let head = server.ask("HEAD /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200 ") && head.ends_with("\r\n\r\n"), "{head}");
}

#[test]
fn it_is_off_unless_wanted() {
    let server = Server::start("{}");
    assert_eq!(server.get("/metrics").0, 404);
}

#[test]
fn a_token_opens_it_and_nothing_else() {
    let server =
        Server::start(r#"{"metrics":{"token":"s3cret","path":"/m"},"auth":{"tokens":{}}}"#);
    let get = |field: &str| {
        let answer = server.ask(&format!("GET /m HTTP/1.1\r\nHost: x\r\n{field}\r\n"));
        answer.split(' ').nth(1).map(str::to_owned).unwrap_or_default()
    };
    for field in [
        "",
        "Authorization: Bearer s3cre\r\n",
        "Authorization: Bearer s3cret2\r\n",
        "Authorization: Bearer \r\n",
        "Authorization: s3cret\r\n",
        "Authorization: Basic s3cret\r\n",
        "Authorization: \r\n",
    ] {
        assert_eq!(get(field), "401", "{field}");
    }
    assert_eq!(get("Authorization: Bearer s3cret\r\n"), "200");
    assert_eq!(get("authorization: bearer s3cret\r\n"), "200");
}

#[test]
fn pages_of_elsewhere_and_clients_behind_a_proxy_see_nothing() {
    let server = Server::start(r#"{"metrics":true}"#);
    let status = |fields: &str| {
        let answer = server.ask(&format!("GET /metrics HTTP/1.1\r\n{fields}\r\n"));
        answer.split(' ').nth(1).map(str::to_owned).unwrap_or_default()
    };
    assert_eq!(status("Host: localhost\r\n"), "200");
    assert_eq!(status("Host: evil.example\r\n"), "403");
    assert_eq!(status("Host: localhost\r\nOrigin: https://evil.example\r\n"), "403");
    // A proxy of this machine that nobody has told us of.
    assert_eq!(status("Host: localhost\r\nX-Forwarded-For: 192.0.2.1\r\n"), "404");
    let server = Server::start(r#"{"metrics":true,"trustedProxies":["127.0.0.1"]}"#);
    let get = |client: &str| {
        let fields = format!("Host: localhost\r\nX-Forwarded-For: {client}\r\n");
        let answer = server.ask(&format!("GET /metrics HTTP/1.1\r\n{fields}\r\n"));
        answer.split(' ').nth(1).map(str::to_owned).unwrap_or_default()
    };
    assert_eq!(get("192.0.2.1"), "404");
    assert_eq!(get("::1"), "200");
}

#[test]
fn a_listener_of_its_own_answers_to_the_end() {
    let config = r#"{"metrics":{"listen":"127.0.0.1:0"},"shutdownGraceMs":600000}"#;
    let mut server = Server::start(config);
    let line = server.line_with("metrics on http://127.0.0.1:");
    let port = line.rsplit(':').next().and_then(|end| end.split('/').next()?.parse().ok());
    let port = port.expect("a port");
    let get = |path: &str| ask(port, &format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"));
    scrape(&get("/metrics"));
    assert!(get("/readyz").ends_with("\r\n\r\nready"));
    assert!(get("/").starts_with("HTTP/1.1 404 "));
    let upgrade = "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    assert!(ask(port, upgrade).starts_with("HTTP/1.1 404 "));
    assert_eq!(server.get("/metrics").0, 404);
    let socket = server.connect();
    server.signal("TERM");
    while !get("/readyz").ends_with("not ready: draining") {}
    // The others are closed.
    assert!(std::net::TcpStream::connect(("127.0.0.1", server.port)).is_err());
    scrape(&get("/metrics"));
    assert!(get("/healthz").ends_with("\r\n\r\nok"));
    drop(socket);
    assert_eq!(server.end().0.code(), Some(0));
}

#[cfg(feature = "sqlite")]
#[test]
fn storage_shows_what_it_does() {
    let place = Place::new();
    let data = place.path().join("data");
    let server = Server::start_with(place, r#"{"metrics":true}"#, |command| {
        command.arg("--data-dir").arg(&data);
    });
    let mut socket = server.connect();
    let define = r#"{"id":1,"type":"store.defineBucket","name":"b","config":{"key":"id","schema":{"id":{"type":"string"}}}}"#;
    assert_eq!(call(&mut socket, define)["type"], "result");
    let series = scrape(&server.ask(&format!("{GET}\r\n")));
    assert!(series["noexd_storage_batch_duration_seconds_count"] >= 1.0);
    assert!(series["noexd_storage_batch_duration_seconds_sum"] > 0.0);
    assert_eq!(series["noexd_last_commit"], series["noexd_last_durable_commit"]);
    loop {
        let series = scrape(&server.ask(&format!("{GET}\r\n")));
        if let Some(free) = series.get("noexd_storage_free_bytes") {
            assert!(*free > 0.0 && series["noexd_storage_file_bytes"] > 0.0);
            break;
        }
    }
}

#[test]
fn clients_cannot_make_series() {
    let server = Server::start(r#"{"metrics":true}"#);
    let mut socket = server.connect();
    for number in 0..300 {
        let text = format!(r#"{{"id":1,"type":"family{number}.x{number}"}}"#);
        assert_eq!(call(&mut socket, &text)["type"], "error");
    }
    for number in 0..50 {
        server.get(&format!("/{number}"));
    }
    let series = scrape(&server.ask(&format!("{GET}\r\n")));
    assert!(series.len() <= 500, "{} series", series.len());
    assert!(series.keys().all(|name| !name.contains("family1")));
}

#[test]
fn a_program_that_embeds_it_asks_its_handle() {
    let server = noexd::Server::builder().host("127.0.0.1").port(0).start().expect("a server");
    let snapshot = server.metrics().expect("metrics");
    assert_eq!(snapshot.value("noexd_connections", &[]), Some(0.0));
    assert!(snapshot.text().contains("# TYPE noexd_connections gauge\n"));
    server.stop_and_wait(std::time::Duration::ZERO).expect("the end");
}

/// `NOEXD_BLESS=1` writes it anew.
#[test]
fn the_page_of_the_documentation_is_the_table() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md");
    let page = std::fs::read_to_string(path).expect("the page");
    let (before, _) = page.split_once("| name |").expect("the table");
    let expected = format!("{before}{}", noexd::engine::metrics_table::docs_table());
    if std::env::var_os("NOEXD_BLESS").is_some() {
        std::fs::write(path, &expected).expect("write the page");
    } else {
        assert_eq!(page, expected, "NOEXD_BLESS=1 writes it anew");
    }
}
