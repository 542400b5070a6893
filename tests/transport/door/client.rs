//! A server with the door open, and HTTP by hand.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use noexd::server::{Builder, ServerThread};
use serde_json::Value;

use crate::support::PATIENCE;

/// With the door open.
pub fn builder() -> Builder {
    noexd::Server::builder().host("127.0.0.1").port(0).set("http", true)
}

pub fn start() -> ServerThread {
    builder().start().expect("the server starts")
}

pub fn dial(server: &ServerThread) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", server.port())).expect("connects");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
    stream
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    /// Reads it to the end of the connection, and holds its length against what it
    /// says.
    pub fn read(stream: &mut TcpStream) -> Answer {
        let mut all = Vec::new();
        stream.read_to_end(&mut all).expect("an answer");
        Answer::of(&all)
    }

    pub fn of(all: &[u8]) -> Answer {
        let end = all.windows(4).position(|four| four == b"\r\n\r\n");
        let end = end.unwrap_or_else(|| panic!("no head: {:?}", String::from_utf8_lossy(all))) + 4;
        let head = String::from_utf8(all[..end].to_vec()).expect("text");
        let body = all[end..].to_vec();
        let status = head.split(' ').nth(1).and_then(|digits| digits.parse().ok());
        let answer = Answer { status: status.expect("a status"), head, body };
        // The answer to HEAD says how long it would have been.
        if let Some(length) = answer.field("Content-Length").filter(|_| !answer.body.is_empty()) {
            assert_eq!(length, answer.body.len().to_string(), "{}", answer.head);
        }
        assert_eq!(answer.field("Connection"), Some("close"), "{}", answer.head);
        answer
    }

    pub fn field(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(have, _)| have.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
    }

    pub fn json(&self) -> Value {
        assert_eq!(self.field("Content-Type"), Some("application/json"), "{}", self.head);
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {:?}", String::from_utf8_lossy(&self.body)))
    }
}

/// A request with exactly these bytes.
pub fn raw(server: &ServerThread, request: &[u8]) -> Answer {
    let mut stream = dial(server);
    stream.write_all(request).expect("a request");
    Answer::read(&mut stream)
}

pub fn post_text(fields: &str, body: &str) -> Vec<u8> {
    format!(
        "POST /rpc HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{fields}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// `POST /rpc` with more fields.
pub fn post_with(server: &ServerThread, fields: &str, body: &Value) -> Answer {
    raw(server, &post_text(fields, &body.to_string()))
}

pub fn post(server: &ServerThread, body: &Value) -> Answer {
    post_with(server, "", body)
}

/// The data of a message that goes well.
pub fn data(server: &ServerThread, body: &Value) -> Value {
    let answer = post(server, body);
    assert_eq!(answer.status, 200, "{body}: {}", answer.json());
    answer.json()["data"].clone()
}
