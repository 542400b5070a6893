//! The door behind TLS, with OpenSSL at the other end.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::json;

use super::client::{Answer, builder, post_text};
use super::live::request;

fn client(place: &Path, port: u16) -> Command {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-quiet", "-verify_quiet", "-connect", &format!("127.0.0.1:{port}")]);
    command.arg("-CAfile").arg(place.join("c.pem"));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

#[test]
fn calls_and_streams_over_tls() {
    let place = std::env::temp_dir().join(format!("noexd-door-tls-{}", std::process::id()));
    std::fs::create_dir_all(&place).unwrap();
    let made = Command::new("openssl")
        .args("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1 -keyout c.key -out c.pem".split(' '))
        .current_dir(&place)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let (cert, key) = (place.join("c.pem"), place.join("c.key"));
    let server = builder()
        .set("tls", json!({"cert": cert.to_str(), "key": key.to_str()}))
        .bucket(
            "b",
            json!({"key": "k", "schema": {"k": {"type": "number"}, "t": {"type": "string"}}}),
        )
        .query("q", json!({"bucket": "b"}))
        .start()
        .unwrap();
    // More than a record, more than a socket takes at once.
    for key in 0..6 {
        let record = json!({"k": key, "t": "x".repeat(700_000)});
        server.call("store.insert", json!({"bucket": "b", "data": record})).unwrap();
    }
    let mut child = client(&place, server.port()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(&post_text("", r#"{"type":"store.all","bucket":"b"}"#)).unwrap();
    let output = child.wait_with_output().unwrap();
    drop(input);
    let answer = Answer::of(&output.stdout);
    assert_eq!(answer.json()["data"].as_array().unwrap().len(), 6);
    server.call("store.clear", json!({"bucket": "b"})).unwrap();
    let mut child = client(&place, server.port()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(request("query=q", "").as_bytes()).unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = |what: &str| {
        let line = lines.find(|line| line.as_ref().is_ok_and(|line| line.starts_with(what)));
        line.expect("a line").unwrap()
    };
    assert!(next("data: ").contains("\"data\":[]"));
    let top = server.top(9).unwrap();
    let row = &top["rows"][0];
    assert_eq!(
        (&row["transport"], &row["tls"]["version"]),
        (&json!("live"), &json!("1.3")),
        "{top}"
    );
    assert_eq!(row["tls"]["clientCertificate"], json!(null), "{top}");
    server.call("store.insert", json!({"bucket": "b", "data": {"k": 1, "t": ""}})).unwrap();
    assert!(next("data: ").contains("\"k\":1"));
    drop(input);
    child.kill().unwrap();
    child.wait().unwrap();
    drop(server);
    std::fs::remove_dir_all(&place).unwrap();
}
