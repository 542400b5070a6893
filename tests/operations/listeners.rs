//! Where the program listens: several addresses, Unix sockets, sockets that the
//! service manager has opened.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use crate::support::{Place, Server, call, noexd};

/// Runs the program to its end, which has to come by itself.
fn fails(config: &str) -> (Option<i32>, String) {
    let place = Place::new();
    let file = place.file("noexd.json", config);
    let Output { status, stderr, .. } =
        noexd().arg("--config").arg(file).output().expect("run noexd");
    (status.code(), String::from_utf8_lossy(&stderr).into_owned())
}

/// The answer to a request on a Unix socket.
fn ask_unix(path: &Path, request: &str) -> String {
    let mut stream = UnixStream::connect(path).expect("connect");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
    stream.write_all(request.as_bytes()).expect("write");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

const HEALTH: &str = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";

#[test]
fn several_addresses_are_served_and_named() {
    let place = Place::new();
    let path = place.path().join("noexd.sock");
    let listen = format!("[\"unix:{}\",\"127.0.0.1:0\",\"127.0.0.1:0\"]", path.display());
    let mut server = Server::start_listening(place, &listen, |_| {});
    // The line names the first one of the network, the log the others.
    let unix = server.line_with("also listening on unix:");
    assert!(unix.contains(path.to_str().expect("plain")), "{unix}");
    assert!(!unix.contains(".new"), "{unix}");
    let other = server.line_with("also listening on 127.0.0.1:");
    let port: u16 = other.trim().rsplit(':').next().expect("a port").parse().expect("a port");
    assert_ne!(port, server.port);
    for port in [server.port, port] {
        assert!(crate::support::ask(port, HEALTH).ends_with("\r\n\r\nok"));
    }
    assert!(ask_unix(&path, HEALTH).ends_with("\r\n\r\nok"));
}

#[test]
fn a_unix_socket_is_for_its_group_and_goes_with_the_server() {
    // Not the server's, which goes with it.
    let place = Place::new();
    let (path, mine) = (place.path().join("a.sock"), place.path().join("b.sock"));
    // What a start that was killed left behind.
    drop(UnixListener::bind(&path).expect("a socket"));
    drop(UnixListener::bind(place.path().join("a.sock.new")).expect("a socket"));
    let listen = format!(
        "[\"unix:{}\",{{\"address\":\"unix:{}\",\"mode\":\"0600\"}}]",
        path.display(),
        mine.display()
    );
    let config = format!("{{\"listen\":{listen}}}");
    let server = Server::start_unix(Place::new(), &config, &path);
    let mode = |path: &Path| {
        let about = std::fs::metadata(path).expect("a file");
        assert!(about.file_type().is_socket());
        about.permissions().mode() & 0o7777
    };
    assert_eq!((mode(&path), mode(&mine)), (0o660, 0o600));
    let stream = UnixStream::connect(&path).expect("connect");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
    let (mut socket, _) = tungstenite::client("ws://localhost/", stream).expect("upgrade");
    socket.read().expect("welcome");
    let rows = call(&mut socket, "{\"id\":1,\"type\":\"server.connections\"}");
    assert_eq!(rows["data"][0]["remoteAddress"], "unix", "{rows}");
    // Whoever took the path over keeps it.
    std::fs::remove_file(&mine).expect("remove it");
    let successor = UnixListener::bind(&mine).expect("a socket");
    server.signal("TERM");
    let (status, said) = server.end();
    assert!(status.success(), "{said}");
    assert!(!path.exists(), "{said}");
    assert!(mine.exists(), "{said}");
    drop(successor);
}

#[test]
fn a_path_of_somebody_else_is_left_alone() {
    let place = Place::new();
    let file = place.file("file", "text");
    let config = |path: &Path| format!("{{\"listen\":[\"unix:{}\"]}}", path.display());
    let (code, said) = fails(&config(&file));
    let text = format!("Error: listen[0].address: {} exists and is no socket\n", file.display());
    assert!(said.contains(&text), "{said}");
    assert_eq!(code, Some(1));
    assert_eq!(std::fs::read_to_string(&file).expect("still there"), "text");
    let path = place.path().join("live.sock");
    let other = UnixListener::bind(&path).expect("a socket");
    let (_, said) = fails(&config(&path));
    let text =
        format!("Error: listen[0].address: {} is in use by another process\n", path.display());
    assert!(said.contains(&text), "{said}");
    drop(other);
    assert!(path.exists());
}

#[test]
fn peers_on_a_unix_socket_are_of_this_machine_and_many() {
    let place = Place::new();
    let path = place.path().join("noexd.sock");
    let config = format!(
        "{{\"listen\":[\"unix:{}\"],\"maxConnectionsPerIp\":1,\"metrics\":true,\
         \"trustedProxies\":[\"unix\"]}}",
        path.display()
    );
    let server = Server::start_unix(place, &config, &path);
    let upgrade = |fields: &str| {
        ask_unix(&path, &format!("GET / HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n"))
    };
    let foreign =
        upgrade("Origin: https://evil.example\r\nConnection: upgrade\r\nUpgrade: websocket\r\n");
    assert!(foreign.contains("403 Forbidden"), "{foreign}");
    let metrics = |fields: &str| {
        ask_unix(&path, &format!("GET /metrics HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n"))
    };
    assert!(metrics("").starts_with("HTTP/1.1 200 OK"));
    // The proxy's word counts: it asks for somebody of another machine.
    assert!(metrics("X-Forwarded-For: 192.0.2.7\r\n").starts_with("HTTP/1.1 404"));
    let mut open = Vec::new();
    for _ in 0..3 {
        let stream = UnixStream::connect(&path).expect("connect");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
        let (mut socket, _) = tungstenite::client("ws://localhost/", stream).expect("upgrade");
        let welcome = socket.read().expect("a message").to_string();
        assert!(welcome.starts_with("{\"type\":\"welcome\""), "{welcome}");
        open.push(socket);
    }
    drop(server);
}

#[test]
fn a_listener_has_one_place() {
    let both = "{\"listen\":[\"127.0.0.1:0\"],\"port\":1}";
    let (code, said) = fails(both);
    assert_eq!((code, &*said), (Some(78), "Error: listen: does not go with host and port\n"));
    let (_, said) = fails("{\"listen\":[\"127.0.0.1:8080\",\"127.0.0.1:8080\"]}");
    assert!(said.contains("listen[1].address: the same address as listen[0]"), "{said}");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("its address");
    let (code, said) = fails(&format!("{{\"listen\":[\"127.0.0.1:0\",\"{address}\"]}}"));
    assert!(said.contains(&format!("Error: port: {address} is in use")), "{said}");
    assert_eq!(code, Some(1));
    let name = format!("localhost:{}", address.port());
    let (_, said) = fails(&format!("{{\"listen\":[\"{name}\"]}}"));
    assert!(said.contains(&format!("Error: port: {address} is in use")), "{said}");
    drop(taken);
    let (code, said) = fails(&format!("{{\"listen\":[\"{name}\",\"{address}\"]}}"));
    assert!(said.contains("listen[1].address: the same address as listen[0]"), "{said}");
    assert_eq!(code, Some(78));
}

#[cfg(not(feature = "tls"))]
#[test]
fn a_build_without_tls_says_so() {
    let (code, said) = fails("{\"port\":0,\"tls\":{\"cert\":\"c\",\"key\":\"k\"}}");
    let text = "Error: tls: this noexd was built without the feature \"tls\"; use a build that has \
                it, or a proxy in front\n";
    assert_eq!((code, &*said), (Some(78), text));
}

#[test]
fn flag_and_environment_override_the_file() {
    let place = Place::new();
    let file = place.file("noexd.json", "{\"host\":\"192.0.2.1\",\"port\":1}");
    for from_environment in [false, true] {
        let mut command = noexd();
        command.arg("--config").arg(&file).stdout(Stdio::piped()).stderr(Stdio::null());
        match from_environment {
            true => command.env("NOEXD_LISTEN", "localhost:0, 127.0.0.1:0"),
            false => command.args(["--listen", "localhost:0,127.0.0.1:0"]),
        };
        let mut child = command.spawn().expect("start noexd");
        let mut line = String::new();
        let out = child.stdout.take().expect("standard output");
        BufReader::new(out).read_line(&mut line).expect("a line");
        child.kill().expect("kill it");
        child.wait().expect("the end");
        assert!(line.contains(" listening on ws://localhost:"), "{line}");
    }
}

/// A descriptor can only be passed on by a program that opens it: systemd's own.
fn activate(names: &str, addresses: &[&str], config: &Path) -> Option<Command> {
    let program = "systemd-socket-activate";
    if Command::new(program).arg("--version").output().is_err() {
        println!("skipped: no {program} here");
        return None;
    }
    let mut command = Command::new(program);
    for address in addresses {
        command.args(["--listen", address]);
    }
    command.arg(format!("--fdname={names}")).arg(env!("CARGO_BIN_EXE_noexd"));
    command.arg("--config").arg(config).stdin(Stdio::null());
    Some(command)
}

/// An address that was free a moment ago.
fn free_address() -> String {
    let socket = TcpListener::bind("127.0.0.1:0").expect("a port");
    socket.local_addr().expect("its address").to_string()
}

/// The manager listens as soon as it can: a connect before that is refused.
fn connect(address: &str) -> TcpStream {
    loop {
        if let Ok(stream) = TcpStream::connect(address) {
            return stream;
        }
        std::thread::yield_now();
    }
}

#[test]
fn passed_sockets_are_served_by_their_names() {
    let place = Place::new();
    let (web, other) = (free_address(), free_address());
    let config = place
        .file("noexd.json", "{\"listen\":[\"systemd:web\",\"systemd:other\"],\"metrics\":true}");
    let Some(mut command) = activate("web:other", &[&web, &other], &config) else { return };
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("start it");
    // The first byte starts the program, which finds it waiting.
    for address in [&web, &other] {
        let mut stream = connect(address);
        stream.write_all(HEALTH.as_bytes()).expect("write");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        assert!(answer.ends_with("\r\n\r\nok"), "{answer}");
    }
    child.kill().expect("kill it");
    let output = child.wait_with_output().expect("the end");
    let line = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(line.contains(&format!(" listening on ws://{web}/")), "{line}");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains(&format!("also listening on {other}")), "{said}");
}

#[test]
fn names_that_do_not_fit_end_the_start() {
    for (listen, expected) in [
        (
            "{\"listen\":[\"systemd:web\"]}",
            "Error: listen: a socket named \"other\" was passed that no entry takes\n",
        ),
        (
            "{\"listen\":[\"systemd:web\",\"systemd:other\",\"systemd:third\"]}",
            "Error: listen[2].address: no socket named \"third\" was passed\n",
        ),
        (
            "{\"listen\":[\"systemd:web\",\"systemd:other\"],\"metrics\":{\"listen\":\"systemd:m\"}}",
            "Error: metrics.listen: no socket named \"m\" was passed\n",
        ),
    ] {
        let place = Place::new();
        let (web, other) = (free_address(), free_address());
        let config = place.file("noexd.json", listen);
        let Some(mut command) = activate("web:other", &[&web, &other], &config) else { return };
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let child = command.spawn().expect("start it");
        // Whoever waits is let go when the program ends.
        let _stream = connect(&web);
        let output = child.wait_with_output().expect("the end");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains(expected), "{said}");
        assert_eq!(output.status.code(), Some(78), "{said}");
    }
}

#[test]
fn passed_sockets_take_the_place_of_host_and_port() {
    let place = Place::new();
    let address = free_address();
    let config = place.file("noexd.json", "{}");
    let Some(mut command) = activate("noexd.socket", &[&address], &config) else { return };
    command.stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().expect("start it");
    let mut stream = connect(&address);
    stream.write_all(HEALTH.as_bytes()).expect("write");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.ends_with("\r\n\r\nok"), "{answer}");
    child.kill().expect("kill it");
    let output = child.wait_with_output().expect("the end");
    let line = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(line.contains(&format!(" listening on ws://{address}/")), "{line}");
}

const UPGRADE_AS: &str = "PROXY TCP4 192.0.2.7 10.0.0.1 1000 443\r\n";

fn connect_as(port: u16, header: &[u8], fields: &str) -> serde_json::Value {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("connect");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
    // In pieces, each of which may be read alone.
    stream.set_nodelay(true).expect("no delay");
    for byte in header.chunks(1) {
        stream.write_all(byte).expect("write");
    }
    let mut request = tungstenite::client::IntoClientRequest::into_client_request(format!(
        "ws://127.0.0.1:{port}/"
    ))
    .expect("a request");
    if !fields.is_empty() {
        request.headers_mut().insert("X-Forwarded-For", fields.parse().expect("a field"));
    }
    let (mut socket, _) = tungstenite::client(request, stream).expect("upgrade");
    socket.read().expect("welcome");
    let answer = call(&mut socket, "{\"id\":1,\"type\":\"server.connections\"}");
    // The one before may not have gone yet; they stand in the order of connecting.
    let newest = answer["data"].as_array().and_then(|all| all.last()).expect("its own");
    newest["remoteAddress"].clone()
}

#[test]
fn a_proxy_says_whom_it_speaks_for_before_anything_else() {
    let config = "{\"listen\":[{\"address\":\"127.0.0.1:0\",\"proxyProtocol\":true}],\
                   \"trustedProxies\":[\"127.0.0.1\"]}";
    let server = Server::run(Place::new(), config, |_| {});
    assert_eq!(connect_as(server.port, UPGRADE_AS.as_bytes(), ""), "192.0.2.7");
    // It is the peer from then on, and no proxy of ours.
    assert_eq!(connect_as(server.port, UPGRADE_AS.as_bytes(), "192.0.2.8"), "192.0.2.7");
    assert_eq!(connect_as(server.port, b"PROXY UNKNOWN\r\n", ""), "127.0.0.1");
    let body = [192, 0, 2, 9, 10, 0, 0, 1, 0, 1, 0, 2];
    let v2 = [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"[..], &body].concat();
    assert_eq!(connect_as(server.port, &v2, ""), "192.0.2.9");
    // Without a header there is no answer, whatever it is.
    for bad in ["GET /healthz HTTP/1.1\r\n\r\n", "PROXY TCP4 x y 1 2\r\n\r\n"] {
        let mut stream = TcpStream::connect(("127.0.0.1", server.port)).expect("connect");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
        stream.write_all(bad.as_bytes()).expect("write");
        let mut answer = Vec::new();
        // Closed with input that was not read.
        let _ = stream.read_to_end(&mut answer);
        assert_eq!(answer, b"", "{bad:?}");
    }
    let url = format!("http://127.0.0.1:{}/healthz", server.port);
    match Command::new("curl").args(["-s", "--haproxy-protocol", &url]).output() {
        Ok(output) => assert_eq!(output.stdout, b"ok"),
        Err(_) => println!("skipped: no curl here"),
    }
}

#[test]
fn not_everybody_is_a_proxy() {
    let config = "{\"listen\":[{\"address\":\"127.0.0.1:0\",\"proxyProtocol\":true}],\
                   \"trustedProxies\":[\"192.0.2.1\"]}";
    let server = Server::run(Place::new(), config, |_| {});
    let mut stream = TcpStream::connect(("127.0.0.1", server.port)).expect("connect");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
    let _ = stream.write_all(UPGRADE_AS.as_bytes());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert_eq!(answer, b"");
}
