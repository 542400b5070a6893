//! TLS with OpenSSL at the other end.

use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};
use std::time::Duration;

use tungstenite::{Message, WebSocket};

use crate::support::{Place, Server, call, noexd};

/// A directory with an authority and what it has signed.
pub struct Authority(Place);

fn openssl(place: &Path, args: &str) -> Output {
    let output = Command::new("openssl")
        .args(args.split(' '))
        .current_dir(place)
        .stdin(Stdio::null())
        .output()
        .expect("openssl");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {args}: {said}");
    output
}

impl Authority {
    pub fn new() -> Self {
        let place = Place::new();
        let config = "[v3]\nsubjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\n";
        place.file("v3.cnf", config);
        openssl(
            place.path(),
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=test-ca -keyout ca.key -out ca.pem",
        );
        Authority(place)
    }

    /// Signs a certificate, `{name}.pem` with `{name}.key`.
    pub fn sign(&self, name: &str, days: i32, kind: &str) {
        let place = self.0.path();
        openssl(
            place,
            &format!(
                "req -new -newkey {kind} -nodes -subj /CN=localhost -keyout {name}.key -out {name}.csr"
            ),
        );
        openssl(
            place,
            &format!(
                "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days {days} -extfile v3.cnf -extensions v3 -out {name}.pem"
            ),
        );
    }

    /// With a certificate for this machine.
    pub fn with_server() -> Self {
        let authority = Self::new();
        authority.sign("server", 90, EC);
        authority
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The configuration with `tls` and these members.
    pub fn config(&self, tls: &str, rest: &str) -> String {
        let (cert, key) = (self.path("server.pem"), self.path("server.key"));
        let (cert, key) = (cert.display(), key.display());
        format!("{{\"tls\":{{\"cert\":\"{cert}\",\"key\":\"{key}\"{tls}}}{rest}}}")
    }

    /// OpenSSL's client, which goes on whatever it reads.
    fn client(&self, port: u16, args: &str) -> Command {
        let mut command = Command::new("openssl");
        command.args(["s_client", "-connect", &format!("127.0.0.1:{port}")]);
        command.arg("-CAfile").arg(self.path("ca.pem")).arg("-verify_return_error");
        command.args(args.split(' ').filter(|arg| !arg.is_empty())).current_dir(self.0.path());
        command
    }

    /// Its handshake and what it says about it, with an empty input.
    pub fn handshake(&self, port: u16, args: &str) -> (bool, String) {
        let output = self.client(port, args).stdin(Stdio::null()).output().expect("openssl");
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&said).into_owned())
    }

    /// A pipe to the server through it.
    pub fn pipe(&self, port: u16, args: &str) -> Pipe {
        let mut child = self
            .client(port, &format!("-quiet {args}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("openssl");
        let (to, from) = (child.stdin.take(), child.stdout.take());
        Pipe { child, to: to.expect("its input"), from: from.expect("its output") }
    }

    pub fn connect(&self, port: u16, args: &str) -> WebSocket<Pipe> {
        let url = format!("ws://127.0.0.1:{port}/");
        let (mut socket, _) = tungstenite::client(url, self.pipe(port, args)).expect("upgrade");
        let welcome = socket.read().expect("welcome").into_text().expect("text");
        assert!(welcome.starts_with("{\"type\":\"welcome\""), "{welcome}");
        socket
    }
}

pub const EC: &str = "ec -pkeyopt ec_paramgen_curve:P-256";

/// Through OpenSSL's client, whose input and output it is.
pub struct Pipe {
    child: Child,
    to: ChildStdin,
    from: ChildStdout,
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.from.read(buffer)
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.to.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const HEALTH: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";

fn metric(socket: &mut WebSocket<Pipe>, name: &str) -> serde_json::Value {
    let request = format!("{{\"id\":9,\"type\":\"server.metrics\",\"names\":[\"{name}\"]}}");
    call(socket, &request)["data"][name].clone()
}

#[test]
fn a_conversation_over_both_versions() {
    let authority = Authority::with_server();
    let server = Server::start(&authority.config("", ""));
    for version in ["-tls1_3", "-tls1_2"] {
        let mut socket = authority.connect(server.port, version);
        let text = "x".repeat(300_000);
        let bucket = "{\"key\":\"id\",\"schema\":{\"id\":{\"type\":\"string\"},\"text\":{\"type\":\"string\"}}}";
        let define = format!(
            "{{\"id\":1,\"type\":\"store.defineBucket\",\"name\":\"b{version}\",\"config\":{bucket}}}"
        );
        assert_eq!(call(&mut socket, &define)["type"], "result");
        // Many records each way, and a message that fills several reads.
        let insert = format!(
            "{{\"id\":2,\"type\":\"store.insert\",\"bucket\":\"b{version}\",\"data\":{{\"id\":\"a\",\"text\":\"{text}\"}}}}"
        );
        assert_eq!(call(&mut socket, &insert)["data"]["text"], text.as_str(), "{version}");
        for id in 10..200 {
            let get = format!("{{\"id\":{id},\"type\":\"store.count\",\"bucket\":\"b{version}\"}}");
            socket.write(Message::text(get)).expect("queue");
        }
        socket.flush().expect("send");
        for id in 10..200 {
            let answer: serde_json::Value =
                serde_json::from_str(socket.read().expect("read").to_text().expect("text"))
                    .expect("JSON");
            assert_eq!(answer["id"], id);
        }
        socket.close(None).expect("close");
        while socket.read().is_ok() {}
    }
    let mut socket = authority.connect(server.port, "");
    let handshakes = metric(&mut socket, "noexd_tls_handshakes_total").to_string();
    assert!(handshakes.contains("{\"labels\":{\"result\":\"ok\"},\"value\":3}"), "{handshakes}");
    let end = metric(&mut socket, "noexd_tls_certificate_not_after_timestamp_seconds");
    assert!(end.as_f64() > Some(1.7e9), "{end}");
}

#[test]
fn the_line_names_the_scheme() {
    let authority = Authority::with_server();
    let place = Place::new();
    let file = place.file("noexd.json", &authority.config("", ""));
    let mut child = noexd()
        .args(["--port", "0", "--config"])
        .arg(file)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("start noexd");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("its output")).read_line(&mut line).expect("a line");
    child.kill().expect("kill it");
    child.wait().expect("the end");
    assert!(line.contains(" listening on wss://127.0.0.1:"), "{line}");
}

#[test]
fn what_is_negotiated() {
    let authority = Authority::with_server();
    let server = Server::start(&authority.config("", ""));
    let port = server.port;
    let (ok, said) = authority.handshake(port, "-alpn http/1.1 -servername localhost");
    assert!(ok && said.contains("ALPN protocol: http/1.1"), "{said}");
    assert!(said.contains("TLSv1.3") && said.contains("Verify return code: 0 (ok)"), "{said}");
    let (ok, said) = authority.handshake(port, "-alpn h2,http/1.1");
    assert!(ok && said.contains("ALPN protocol: http/1.1"), "{said}");
    let (ok, said) = authority.handshake(port, "-alpn h2");
    assert!(!ok && said.contains("no application protocol"), "{said}");
    let (ok, said) = authority.handshake(port, "-tls1_1");
    assert!(!ok && said.contains("alert"), "{said}");
    let strict = Server::start(&authority.config(",\"minVersion\":\"1.3\"", ""));
    let (ok, said) = authority.handshake(strict.port, "-tls1_2");
    assert!(!ok && said.contains("alert protocol version"), "{said}");
    let (ok, said) = authority.handshake(strict.port, "-tls1_3");
    assert!(ok, "{said}");
}

#[test]
fn one_ticket_that_is_good_for_the_next_handshake() {
    let authority = Authority::with_server();
    let server = Server::start(&authority.config("", ""));
    for version in ["-tls1_2", "-tls1_3"] {
        // A ticket of 1.3 comes with the first answer.
        let mut pipe = authority.pipe(server.port, &format!("{version} -sess_out session.pem"));
        pipe.write_all(HEALTH).expect("write");
        let mut answer = String::new();
        pipe.read_to_string(&mut answer).expect("an answer");
        assert!(answer.ends_with("\r\n\r\nok"), "{answer}");
        drop(pipe);
        let (ok, said) =
            authority.handshake(server.port, &format!("{version} -sess_in session.pem"));
        assert!(ok && said.contains("Reused, "), "{version}: {said}");
    }
}

#[test]
fn keys_change_amid_a_connection() {
    let authority = Authority::with_server();
    let server = Server::start(&authority.config("", ""));
    let mut child = authority
        .client(server.port, "-tls1_3")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("openssl");
    let mut input = child.stdin.take().expect("its input");
    let mut said = BufReader::new(child.stderr.take().expect("its words"));
    // "K": new keys, and the other side is asked for new ones.
    for _ in 0..3 {
        input.write_all(b"K\n").expect("write");
        let mut line = String::new();
        while !line.contains("KEYUPDATE") {
            line.clear();
            assert!(said.read_line(&mut line).expect("a line") > 0, "no change of keys");
        }
    }
    input.write_all(HEALTH).expect("write");
    let mut answer = String::new();
    let mut output = child.stdout.take().expect("its output");
    output.read_to_string(&mut answer).expect("an answer");
    assert!(answer.contains("\r\n\r\nok"), "{answer}");
    child.wait().expect("the end");
}

#[test]
fn who_speaks_the_wrong_language_is_told() {
    let authority = Authority::with_server();
    let listen = ",\"listen\":[\"127.0.0.1:0\",{\"address\":\"127.0.0.1:0\",\"tls\":false}]";
    let mut server = Server::run(Place::new(), &authority.config("", listen), |_| {});
    let answer = server.ask("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\nthis port speaks TLS, use https:// or wss://\n"), "{answer}");
    let other = server.line_with("also listening on ");
    let port: u16 = other.trim().rsplit(':').next().expect("a port").parse().expect("a port");
    let answer = crate::support::ask(port, "\x16\x03\x01\x02\x00\x01");
    assert!(answer.ends_with("this port does not speak TLS, use http:// or ws://\n"), "{answer}");
    assert!(crate::support::ask(port, "GET /healthz HTTP/1.1\r\n\r\n").ends_with("\r\n\r\nok"));
}

fn fails(authority: &Authority, tls: &str) -> String {
    let place = Place::new();
    let file = place.file("noexd.json", &format!("{{\"port\":0,\"tls\":{tls}}}"));
    for check in [false, true] {
        let mut command = noexd();
        command.arg("--config").arg(&file).current_dir(authority.0.path());
        if check {
            command.arg("--check");
        }
        let Output { status, stderr, .. } = command.output().expect("run noexd");
        let said = String::from_utf8_lossy(&stderr).into_owned();
        assert_eq!(status.code(), Some(78), "{said}");
        if check {
            return said;
        }
    }
    unreachable!("it was checked")
}

#[test]
fn files_that_are_not_as_they_should_be_end_the_start() {
    let authority = Authority::with_server();
    authority.sign("other", 30, EC);
    let place = authority.0.path();
    openssl(place, "ec -in server.key -aes128 -passout pass:x -out old.key");
    openssl(place, "pkcs8 -topk8 -in server.key -passout pass:x -out new.key");
    authority.0.file("empty.pem", "nothing\n");
    authority.0.file("bad.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let encrypted = "is encrypted, remove the passphrase";
    for (tls, expected) in [
        (
            "{\"cert\":\"empty.pem\",\"key\":\"server.key\"}",
            "tls.cert: empty.pem: no certificate found, expected PEM with the leaf first\n".into(),
        ),
        (
            "{\"cert\":\"server.pem\",\"key\":\"empty.pem\"}",
            "tls.key: empty.pem: no private key found, expected PEM (PKCS#8, PKCS#1 or SEC1)\n"
                .into(),
        ),
        (
            "{\"cert\":\"server.pem\",\"key\":\"old.key\"}",
            format!("tls.key: old.key: {encrypted}\n"),
        ),
        (
            "{\"cert\":\"server.pem\",\"key\":\"new.key\"}",
            format!("tls.key: new.key: {encrypted}\n"),
        ),
        (
            "{\"cert\":\"server.pem\",\"key\":\"other.key\"}",
            "tls.key: other.key: does not belong to the certificate in server.pem\n".into(),
        ),
        (
            "{\"cert\":\"gone.pem\",\"key\":\"server.key\"}",
            "tls.cert: gone.pem: No such file or directory (os error 2)\n".into(),
        ),
        ("{\"cert\":\"bad.pem\",\"key\":\"server.key\"}", "tls.cert: bad.pem: ".into()),
        (
            "{\"cert\":\"server.pem\",\"key\":\"server.key\",\"clientCa\":\"empty.pem\"}",
            "tls.clientCa: empty.pem: no certificate found, expected PEM\n".into(),
        ),
    ] {
        let said = fails(&authority, tls);
        assert!(said.contains(&format!("Error: {expected}")), "{tls}: {said}");
    }
}

#[test]
fn keys_of_every_form() {
    let authority = Authority::with_server();
    let place = authority.0.path();
    authority.sign("rsa", 90, "rsa:2048");
    openssl(place, "ec -in server.key -out sec1.key");
    openssl(place, "rsa -in rsa.key -traditional -out pkcs1.key");
    for (cert, key) in [("server", "server"), ("server", "sec1"), ("rsa", "rsa"), ("rsa", "pkcs1")]
    {
        let config = format!("{{\"tls\":{{\"cert\":\"{cert}.pem\",\"key\":\"{key}.key\"}}}}");
        let path = place.to_owned();
        let server = Server::start_with(Place::new(), &config, |command| {
            command.current_dir(path);
        });
        let (ok, said) = authority.handshake(server.port, "");
        assert!(ok, "{key}: {said}");
    }
}

#[test]
fn a_certificate_is_warned_of() {
    let authority = Authority::with_server();
    authority.sign("rsa", 3, "rsa:2048");
    let config = authority.config("", "").replace("server.", "rsa.");
    let mut server = Server::start(&config);
    server.line_with("tls.cert: an RSA key costs three times the processor time");
    server.line_with("tls.cert: holds no intermediate certificate, many clients will refuse it");
    let line = server.line_with("tls.cert: expires in ");
    // It was made for three days a moment ago.
    assert!(["2 days", "3 days"].iter().any(|days| line.trim_end().ends_with(days)), "{line}");
}

#[test]
fn rubbish_costs_only_its_own_connection() {
    let authority = Authority::with_server();
    let server = Server::start(&authority.config("", ",\"handshakeTimeoutMs\":1000"));
    let mut live = authority.connect(server.port, "");
    let record = |length: u16| [&[0x16, 3, 1][..], &length.to_be_bytes()].concat();
    let rubbish: Vec<Vec<u8>> = vec![
        [record(4), vec![0; 4]].concat(),
        [record(5), vec![1, 0xff, 0xff, 0xff, 0]].concat(),
        record(0xffff),
        vec![0x16; 70_000],
        [record(2), vec![1, 0]].concat(),
        (0..2000).flat_map(|_| [record(1), vec![1]].concat()).collect(),
    ];
    for bytes in rubbish {
        let mut stream = TcpStream::connect(("127.0.0.1", server.port)).expect("connect");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
        // It may be closed before all of it is written.
        let _ = stream.write_all(&bytes);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert!(answer.is_empty() || answer[0] == 0x15, "an alert or nothing: {answer:?}");
        assert_eq!(call(&mut live, "{\"id\":1,\"type\":\"server.stats\"}")["type"], "result");
    }
    let failed = metric(&mut live, "noexd_tls_handshakes_total").to_string();
    assert!(!failed.contains("\"failed\"},\"value\":0}"), "{failed}");
    let refused = metric(&mut live, "noexd_handshakes_refused_total").to_string();
    assert!(refused.contains("tls_failed"), "{refused}");
}

#[test]
fn five_hundred_stalled_handshakes_keep_nobody_out() {
    let authority = Authority::with_server();
    let server = Server::start(&authority.config("", ""));
    // A whole first message each: the thread has its work with all of them.
    let hello = client_hello(&authority);
    let stalled: Vec<TcpStream> = (0..500)
        .map(|_| {
            let mut stream = TcpStream::connect(("127.0.0.1", server.port)).expect("connect");
            stream.write_all(&hello).expect("write");
            stream
        })
        .collect();
    let mut socket = authority.connect(server.port, "");
    assert_eq!(call(&mut socket, "{\"id\":1,\"type\":\"server.stats\"}")["type"], "result");
    assert_eq!(metric(&mut socket, "noexd_sockets"), 501);
    // Each was answered; none of them holds a place.
    for mut stream in stalled {
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
        let mut first = [0];
        stream.read_exact(&mut first).expect("an answer");
        assert_eq!(first, [0x16]);
    }
    assert_eq!(metric(&mut socket, "noexd_tls_handshakes_waiting"), 0);
}

/// The first message of OpenSSL's client.
fn client_hello(authority: &Authority) -> Vec<u8> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("its address").port();
    let pipe = authority.pipe(port, "");
    let (mut stream, _) = listener.accept().expect("accept");
    let mut head = [0; 5];
    stream.read_exact(&mut head).expect("a record");
    let mut body = vec![0; usize::from(u16::from_be_bytes([head[3], head[4]]))];
    stream.read_exact(&mut body).expect("its content");
    drop(pipe);
    [head.to_vec(), body].concat()
}

#[test]
fn a_handshake_byte_by_byte_runs_out_of_time() {
    let authority = Authority::with_server();
    let server = Server::start(&authority.config("", ",\"handshakeTimeoutMs\":500"));
    let hello = client_hello(&authority);
    let mut stream = TcpStream::connect(("127.0.0.1", server.port)).expect("connect");
    stream.set_read_timeout(Some(Duration::from_millis(5))).expect("a timeout");
    // However long the message is: the end comes before it.
    let end = hello.iter().take(hello.len() - 1).find_map(|byte| {
        let written = stream.write_all(&[*byte]);
        let mut answer = [0; 64];
        match (written, stream.read(&mut answer)) {
            (Err(_), _) | (_, Ok(0)) => Some(true),
            (_, Ok(_)) => Some(false),
            (_, Err(error)) if is_timeout(&error) => None,
            (_, Err(_)) => Some(true),
        }
    });
    assert!(end.is_some());
    let mut stream = TcpStream::connect(("127.0.0.1", server.port)).expect("connect");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
    stream.write_all(&hello[..hello.len() - 1]).expect("write");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("the end");
    assert_eq!(answer, b"", "nothing is said before there is a common language");
    let mut socket = authority.connect(server.port, "");
    let handshakes = metric(&mut socket, "noexd_tls_handshakes_total").to_string();
    assert!(
        handshakes.contains("{\"labels\":{\"result\":\"timeout\"},\"value\":2}"),
        "{handshakes}"
    );
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

#[test]
fn a_client_without_the_right_certificate_stays_outside() {
    let authority = Authority::with_server();
    authority.sign("client", 30, EC);
    let foreign = Authority::new();
    foreign.sign("client", 30, EC);
    let ca = format!(",\"clientCa\":\"{}\"", authority.path("ca.pem").display());
    let server = Server::start(&authority.config(&ca, ""));
    for version in ["-tls1_3", "-tls1_2"] {
        let shown = |from: &Authority| {
            let (cert, key) = (from.path("client.pem"), from.path("client.key"));
            format!("{version} -cert {} -key {}", cert.display(), key.display())
        };
        let ask = |args: &str| {
            let mut pipe = authority.pipe(server.port, args);
            // The client may know that it is out before the request is written.
            let _ = pipe.write_all(HEALTH);
            let mut answer = String::new();
            pipe.read_to_string(&mut answer).expect("the end");
            answer
        };
        assert!(ask(&shown(&authority)).ends_with("\r\n\r\nok"), "{version}");
        let mut socket = authority.connect(server.port, &shown(&authority));
        let top = call(&mut socket, "{\"id\":4,\"type\":\"server.top\"}");
        let row = &top["data"]["rows"][0];
        let digest = openssl(
            authority.path("").as_path(),
            "x509 -in client.pem -noout -fingerprint -sha256",
        );
        let digest = String::from_utf8_lossy(&digest.stdout).trim().to_ascii_lowercase();
        let digest = digest.rsplit('=').next().unwrap_or_default().replace(':', "");
        let expected = serde_json::json!({
            "version": if version == "-tls1_3" { "1.3" } else { "1.2" },
            "clientCertificate": digest,
        });
        assert_eq!(row["tls"], expected, "{top}");
        assert_eq!(row["transport"], "ws", "{top}");
        assert_eq!(ask(version), "", "{version} with none");
        assert_eq!(ask(&shown(&foreign)), "", "{version} with a foreign one");
    }
}

/// operations.md 10: of the main listener, if there is none for metrics.
#[test]
#[cfg(feature = "tools")]
fn healthcheck_asks_a_server_that_speaks_tls_only() {
    let authority = Authority::with_server();
    let server = Server::start(&authority.config("", ""));
    let run = |args: &[&str], roots: Option<PathBuf>| {
        let mut command = noexd();
        command.arg("healthcheck").args(args).env_remove("SSL_CERT_FILE");
        command.envs(roots.map(|file| ("SSL_CERT_FILE", file)));
        let output = command.output().expect("run noexd");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let place = Place::new();
    let port = server.port.to_string();
    let file = place.file("noexd.json", &authority.config("", &format!(",\"port\":{port}")));
    let ready = (Some(0), "ready\n".to_owned(), String::new());
    assert_eq!(run(&["--config", file.to_str().expect("UTF-8")], None), ready);
    let url = format!("https://127.0.0.1:{port}/readyz");
    assert_eq!(run(&["--url", &url], Some(authority.path("ca.pem"))), ready);
    assert_eq!(run(&["--url", &url, "--insecure"], None), ready);
    let foreign = Authority::new();
    let (code, out, err) = run(&["--url", &url], Some(foreign.path("ca.pem")));
    assert_eq!((code, &*out), (Some(1), ""), "{err}");
    assert!(err.starts_with(&format!("Error: 127.0.0.1:{port}: ")), "{err}");
    // Nobody is let in without a certificate, and there is none to show.
    let ca = format!(",\"clientCa\":\"{}\"", authority.path("ca.pem").display());
    let file = place.file("noexd.json", &authority.config(&ca, ""));
    let (code, _, err) = run(&["--config", file.to_str().expect("UTF-8")], None);
    assert_eq!(code, Some(78), "{err}");
    assert!(err.starts_with("Error: tls.clientCa: ") && err.contains("metrics.listen"), "{err}");
}

/// The serial number of the certificate that the server shows.
fn serial(authority: &Authority, port: u16) -> String {
    let (ok, said) = authority.handshake(port, "");
    assert!(ok, "{said}");
    let begin = said.find("-----BEGIN CERTIFICATE-----").expect("a certificate");
    let end = said.find("-----END CERTIFICATE-----").expect("its end");
    said[begin..end].to_owned()
}

#[test]
fn a_renewed_certificate_is_taken_and_a_bad_one_is_not() {
    let authority = Authority::with_server();
    let mut server = Server::start(&authority.config("", ""));
    let mut open = authority.connect(server.port, "");
    let before = serial(&authority, server.port);
    authority.sign("next", 60, EC);
    let rename = |from: &str, to: &str| {
        std::fs::rename(authority.path(from), authority.path(to)).expect("rename");
    };
    // Half of it: the key does not fit.
    rename("next.pem", "server.pem");
    server.signal("HUP");
    let line = server.line_with("does not belong to the certificate in");
    assert!(line.contains("; the old certificate stays, valid until "), "{line}");
    assert_eq!(serial(&authority, server.port), before);
    rename("next.key", "server.key");
    server.signal("HUP");
    server.line_with("tls: new certificate, valid until ");
    assert_ne!(serial(&authority, server.port), before);
    authority.0.file("server.pem", "rubbish");
    server.signal("HUP");
    server.line_with("no certificate found, expected PEM with the leaf first; the old certificate");
    let reloads = metric(&mut open, "noexd_reloads_total").to_string();
    for expected in [
        "{\"labels\":{\"result\":\"ok\",\"what\":\"tls\"},\"value\":1}",
        "{\"labels\":{\"result\":\"failed\",\"what\":\"tls\"},\"value\":2}",
    ] {
        assert!(reloads.contains(expected), "{reloads}");
    }
    assert_eq!(call(&mut open, "{\"id\":1,\"type\":\"server.stats\"}")["type"], "result");
}
