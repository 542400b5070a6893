//! A server in this process and clients over real sockets.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use noexd::Server;
use noexd::server::ServerThread;
use serde_json::{Value, json};
use tungstenite::{Message, WebSocket};

pub const SECRET: &str = "a secret of the admin";
pub const PASSWORD: &str = "correct horse";

/// Longer than any answer takes; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

pub fn start(mut config: Value) -> ServerThread {
    config["port"] = json!(0);
    config["heartbeat"] = json!({"intervalMs": 0});
    Server::builder().json(&config.to_string()).start().expect("the server starts")
}

/// A server with built-in users and a bucket and a query that nobody owns.
pub fn built_in(more: Value) -> ServerThread {
    let mut config = json!({
        "auth": {"builtIn": true, "adminSecret": SECRET},
        "buckets": {
            "maps": {"key": "id", "schema": {"id": {"type": "string"}, "n": {"type": "number"}}},
            "notes": {"key": "id", "schema": {"id": {"type": "string"}}},
        },
        "queries": {"all-maps": {"bucket": "maps"}, "all-notes": {"bucket": "notes"}},
    });
    if let (Value::Object(config), Value::Object(more)) = (&mut config, more) {
        config.extend(more);
    }
    start(config)
}

/// Why an operation was refused.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    pub code: String,
    pub message: String,
    pub details: Value,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.code, self.message)
    }
}

pub struct Client {
    socket: WebSocket<TcpStream>,
    /// Everything that is no response, in order.
    pub others: VecDeque<Value>,
    ids: u64,
    closed: Option<(u16, String)>,
}

impl Client {
    pub fn connect(server: &ServerThread) -> Self {
        Self::connect_from(server.local_addr(), [127, 0, 0, 1].into())
    }

    /// From another address of this machine.
    pub fn connect_from(server: SocketAddr, source: IpAddr) -> Self {
        let socket = socket2::Socket::new(
            socket2::Domain::IPV4,
            socket2::Type::STREAM,
            Some(socket2::Protocol::TCP),
        )
        .expect("a socket");
        socket.bind(&SocketAddr::new(source, 0).into()).expect("bind");
        socket.connect(&server.into()).expect("connect");
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let (socket, _) = tungstenite::client(format!("ws://{server}/"), stream).expect("upgrade");
        let mut client = Client { socket, others: VecDeque::new(), ids: 0, closed: None };
        assert_eq!(client.receive().expect("a welcome")["type"], "welcome");
        client
    }

    pub fn send(&mut self, text: impl Into<String>) {
        self.socket.send(Message::text(text.into())).expect("sent");
    }

    /// The next message; `None` when the server has closed.
    pub fn receive(&mut self) -> Option<Value> {
        if self.closed.is_some() {
            return None;
        }
        loop {
            match self.socket.read() {
                Ok(Message::Text(text)) => {
                    return Some(serde_json::from_str(&text).expect("JSON"));
                }
                Ok(Message::Close(frame)) => {
                    let frame = frame.expect("a close code");
                    self.closed = Some((frame.code.into(), frame.reason.to_string()));
                    return None;
                }
                Ok(_) => {}
                Err(error) => panic!("no message: {error}"),
            }
        }
    }

    /// A message, if one comes soon; for conditions that are waited for.
    pub fn try_receive(&mut self) -> Option<Value> {
        let soon = Duration::from_millis(50);
        self.socket.get_ref().set_read_timeout(Some(soon)).expect("a timeout");
        let message = match self.socket.read() {
            Ok(Message::Text(text)) => Some(serde_json::from_str(&text).expect("JSON")),
            _ => None,
        };
        self.socket.get_ref().set_read_timeout(Some(PATIENCE)).expect("a timeout");
        message
    }

    /// Sends a request and waits for its response.
    pub fn call(&mut self, operation: &str, fields: Value) -> Result<Value, Refusal> {
        self.ids += 1;
        let mut request = fields;
        request["id"] = json!(self.ids);
        request["type"] = json!(operation);
        self.send(request.to_string());
        self.response(self.ids)
    }

    /// The response to a request that was sent.
    pub fn response(&mut self, id: u64) -> Result<Value, Refusal> {
        loop {
            let Some(mut message) = self.receive() else {
                panic!("closed instead of an answer: {:?}", self.closed);
            };
            if message["id"] != id {
                self.others.push_back(message);
                continue;
            }
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            return match message["type"].as_str() {
                Some("result") => Ok(message["data"].take()),
                _ => Err(Refusal {
                    code: text(&message["code"]),
                    message: text(&message["message"]),
                    details: message["details"].take(),
                }),
            };
        }
    }

    #[track_caller]
    pub fn ok(&mut self, operation: &str, fields: Value) -> Value {
        match self.call(operation, fields.clone()) {
            Ok(data) => data,
            Err(refusal) => panic!("{operation} {fields}: {refusal}"),
        }
    }

    /// `CODE message` of a request that is refused.
    #[track_caller]
    pub fn refused(&mut self, operation: &str, fields: Value) -> String {
        match self.call(operation, fields.clone()) {
            Ok(data) => panic!("{operation} {fields} was allowed: {data}"),
            Err(refusal) => refusal.to_string(),
        }
    }

    /// The next message that is no response.
    pub fn next(&mut self) -> Option<Value> {
        self.others.pop_front().or_else(|| self.receive())
    }

    /// Reads to the end and says how the server closed.
    pub fn close_code(&mut self) -> (u16, String) {
        while let Some(message) = self.receive() {
            self.others.push_back(message);
        }
        self.closed.clone().expect("closed")
    }

    /// Asserts that the connection was ended with this reason.
    #[track_caller]
    pub fn assert_ended(&mut self, reason: &str) {
        assert_eq!(self.close_code(), (4002, "session_revoked".to_owned()));
        let told = json!({"type": "system", "event": "session_revoked", "reason": reason});
        assert_eq!(self.others.back(), Some(&told));
    }

    /// Every push that is there so far: a request is a round trip behind them.
    pub fn pushes(&mut self) -> Vec<Value> {
        // Answered or refused, the answer comes behind them.
        let _ = self.call("auth.whoami", json!({}));
        let others = std::mem::take(&mut self.others);
        others.into_iter().filter(|message| message["type"] == "push").collect()
    }
}

/// A client that is logged in with the secret.
pub fn superadmin(server: &ServerThread) -> Client {
    let mut client = Client::connect(server);
    client.ok("identity.loginWithSecret", json!({"secret": SECRET}));
    client
}

/// Makes a user with these roles; the id.
pub fn create_user(admin: &mut Client, name: &str, roles: &[&str]) -> String {
    let user = admin.ok("identity.createUser", json!({"username": name, "password": PASSWORD}));
    let id = user["id"].as_str().expect("an id").to_owned();
    for role in roles {
        admin.ok("identity.assignRole", json!({"userId": id, "roleName": role}));
    }
    id
}

/// A client that is logged in as this user, and its token.
pub fn login(server: &ServerThread, name: &str) -> (Client, String) {
    let mut client = Client::connect(server);
    let result = client.ok("identity.login", json!({"username": name, "password": PASSWORD}));
    let token = result["token"].as_str().expect("a token").to_owned();
    (client, token)
}
