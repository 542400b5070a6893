//! Who gets a connection of a server that asks for no name: the program itself,
//! over real sockets.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

struct Server {
    child: Child,
    port: u16,
}

impl Server {
    fn start(args: &[&str], config: &str) -> Self {
        let name = format!("noexd-open-{}-{}", std::process::id(), config.len() + args.len());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, config).expect("a configuration");
        let mut child = Command::new(env!("CARGO_BIN_EXE_noexd"))
            .args(["--port", "0", "--config"])
            .arg(&path)
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("start noexd");
        let mut line = String::new();
        let out = child.stdout.take().expect("standard output");
        BufReader::new(out).read_line(&mut line).expect("a line");
        let _ = std::fs::remove_file(&path);
        let port = line.trim_end().trim_end_matches('/').rsplit(':').next().expect("a port");
        Server { child, port: port.parse().expect("a port") }
    }

    /// The status line and the rest of the answer.
    fn ask(&self, request: &str) -> String {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let mut stream = TcpStream::connect(address).expect("connect");
        stream.write_all(request.as_bytes()).expect("write");
        let mut answer = vec![0; 4096];
        let mut length = 0;
        while !answer[..length].windows(4).any(|end| end == b"\r\n\r\n") {
            match stream.read(&mut answer[length..]).expect("an answer") {
                0 => break,
                read => length += read,
            }
        }
        String::from_utf8_lossy(&answer[..length]).into_owned()
    }

    fn upgrade(&self, fields: &str) -> String {
        self.ask(&format!(
            "GET / HTTP/1.1\r\n{fields}Upgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        ))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const OK: &str = "HTTP/1.1 101 ";
const NO: &str = "HTTP/1.1 403 ";

#[test]
fn pages_of_elsewhere_have_no_business_with_an_open_server() {
    let page = "Host: 127.0.0.1:8080\r\nOrigin: https://evil.example\r\n";
    let rebound = "Host: evil.example:8080\r\n";
    let own = "Host: localhost:8080\r\nOrigin: http://localhost:5173\r\n";
    let framed = "Host: localhost:8080\r\nOrigin: null\r\n";
    let tool = "Host: 127.0.0.1\r\n";
    let secret = r#"{"host":"127.0.0.1","auth":{"tokens":{}}}"#;
    let all = r#"{"allowedOrigins":["*"]}"#;
    let some = r#"{"allowedOrigins":["https://evil.example"]}"#;
    for (config, page_is, rebound_is, own_is, framed_is) in [
        ("{}", NO, NO, OK, NO),
        (all, OK, OK, OK, OK),
        (some, OK, OK, NO, NO),
        (secret, OK, OK, OK, OK),
        (r#"{"host":"0.0.0.0"}"#, OK, OK, OK, OK),
    ] {
        let server = Server::start(&[], config);
        for (fields, expected) in
            [(page, page_is), (rebound, rebound_is), (own, own_is), (framed, framed_is), (tool, OK)]
        {
            let answer = server.upgrade(fields);
            assert!(answer.starts_with(expected), "{config} {fields}: {answer}");
        }
        // A probe is for everybody.
        let probe = format!("GET /healthz HTTP/1.1\r\n{page}\r\n");
        assert!(server.ask(&probe).starts_with("HTTP/1.1 200 "), "{config}");
    }
    let server = Server::start(&[], "{}");
    let why = "not allowed: this server has no authentication and serves pages of this machine \
               only (set allowedOrigins)";
    for (fields, what) in [(page, "origin"), (rebound, "host")] {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, server.port));
        let mut stream = TcpStream::connect(address).expect("connect");
        let head = "Upgrade: websocket\r\nConnection: Upgrade\r\n";
        write!(stream, "GET / HTTP/1.1\r\n{fields}{head}\r\n").expect("write");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        assert!(answer.ends_with(&format!("\r\n\r\n{what} {why}\n")), "{answer}");
        for field in ["X-Content-Type-Options: nosniff", "Cache-Control: no-store"] {
            assert!(answer.contains(field), "{answer}");
        }
    }
}

#[test]
fn probes_of_old_tools_are_answered() {
    let server = Server::start(&[], "{ }");
    for (request, expected) in [
        ("GET /healthz HTTP/1.0\r\n\r\n", "HTTP/1.1 200 OK\r\n"),
        ("HEAD /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "HTTP/1.1 200 OK\r\n"),
        ("GET /healthz HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK\r\n"),
        ("GET /readyz HTTP/1.0\r\n\r\n", "HTTP/1.1 200 OK\r\n"),
        ("GET /readyz HTTP/1.1\r\nHost: evil.example\r\n\r\n", "HTTP/1.1 200 OK\r\n"),
        ("OPTIONS / HTTP/1.0\r\n\r\n", "HTTP/1.1 204 No Content\r\n"),
        ("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 204 No Content\r\n"),
        ("GET / HTTP/2.0\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n"),
        ("\x16\x03\x01\x02\x00\x01", "HTTP/1.1 400 Bad Request\r\n"),
    ] {
        let answer = server.ask(request);
        assert!(answer.starts_with(expected), "{request:?}: {answer}");
    }
    let answer = server.ask("OPTIONS / HTTP/1.0\r\n\r\n");
    for field in
        ["Allow: GET, HEAD, OPTIONS", "X-Content-Type-Options: nosniff", "Cache-Control: no-store"]
    {
        assert!(answer.contains(&format!("\r\n{field}\r\n")), "{answer}");
    }
}

#[test]
fn localhost_is_both_families() {
    if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
        return; // A machine without IPv6 has only one.
    }
    for name in ["localhost", "LocalHost"] {
        let server = Server::start(&["--host", name], "{}");
        for address in [Ipv4Addr::LOCALHOST.into(), std::net::IpAddr::V6(Ipv6Addr::LOCALHOST)] {
            TcpStream::connect((address, server.port)).expect("both are served");
        }
        let page = "Host: localhost\r\nOrigin: https://evil.example\r\n";
        assert!(server.upgrade(page).starts_with(NO), "both are of this machine");
        // The port of one of them is taken: no half of a server.
        let busy = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).expect("a port");
        let port = busy.local_addr().expect("its address").port().to_string();
        let run = Command::new(env!("CARGO_BIN_EXE_noexd"))
            .args(["--host", name, "--port", &port])
            .output()
            .expect("run noexd");
        let said = String::from_utf8_lossy(&run.stderr).into_owned();
        assert!(said.contains(&format!("Error: port: [::1]:{port} is in use")), "{said}");
    }
}
