//! The program as a person or a supervisor meets it: texts, exit codes,
//! standard output and error, signals.

use std::io::{BufRead, BufReader, Read};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Message, WebSocket};

fn noexd(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_noexd"));
    command.args(args).env_remove("RUST_LOG").env_remove("NOEXD_ADMIN_SECRET");
    command
}

/// Runs the program to its end.
fn output(args: &[&str]) -> Output {
    noexd(args).stdin(Stdio::null()).output().expect("run noexd")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

/// A program that serves, killed if a test fails.
struct Running {
    child: Child,
    /// The first line of standard output.
    line: String,
    out: BufReader<ChildStdout>,
}

impl Running {
    fn start(args: &[&str]) -> Self {
        let mut child = noexd(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("start noexd");
        let mut out = BufReader::new(child.stdout.take().expect("standard output"));
        let mut line = String::new();
        out.read_line(&mut line).expect("read the first line");
        Running { child, line, out }
    }

    fn port(&self) -> u16 {
        let url = self.line.split_whitespace().last().expect("a word");
        let after = url.strip_prefix("ws://127.0.0.1:").expect("the URL");
        after.split('/').next().and_then(|port| port.parse().ok()).expect("a port")
    }

    fn connect(&self) -> WebSocket<TcpStream> {
        let stream = TcpStream::connect(("127.0.0.1", self.port())).expect("connect");
        let url = format!("ws://127.0.0.1:{}/", self.port());
        let (mut socket, _) = tungstenite::client(url, stream).expect("upgrade");
        let welcome = socket.read().expect("welcome").into_text().expect("text");
        assert!(welcome.starts_with("{\"type\":\"welcome\""), "{welcome}");
        socket
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &id]).status().expect("kill");
        assert!(sent.success());
    }

    /// Waits for the end: exit code, the rest of standard output, standard error.
    fn end(mut self) -> (Option<i32>, String, String) {
        let (mut out, mut err) = (String::new(), String::new());
        self.out.read_to_string(&mut out).expect("standard output");
        let mut stderr = self.child.stderr.take().expect("standard error");
        stderr.read_to_string(&mut err).expect("standard error");
        let status = self.child.wait().expect("the end");
        (status.code(), out, err)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // One that has ended cannot be killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn help_is_a_page() {
    for args in [&["--help"] as &[&str], &["-h"], &["--version", "--help"], &["--bogus", "--help"]]
    {
        let Output { status, stdout, stderr } = output(args);
        assert_eq!(status.code(), Some(0));
        assert_eq!(text(&stderr), "");
        let help = text(&stdout);
        assert!(help.lines().count() <= 48, "{} lines", help.lines().count());
        for line in help.lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
        for flag in
            ["-p, --port PORT", "-H, --host ADDR", "-c, --config FILE", "--check", "RUST_LOG"]
        {
            assert!(help.contains(flag), "{flag}");
        }
    }
}

#[test]
fn version() {
    for args in [["--version"], ["-v"]] {
        let Output { status, stdout, stderr } = output(&args);
        assert_eq!(status.code(), Some(0));
        assert_eq!(text(&stdout), concat!("noexd ", env!("CARGO_PKG_VERSION"), "\n"));
        assert_eq!(text(&stderr), "");
    }
}

#[test]
fn flags_that_are_not_understood() {
    for (args, said) in [
        (&["--prot", "1"] as &[&str], "unknown option --prot (did you mean --port?)"),
        (&["-x"], "unknown option -x"),
        (&["--port"], "option --port needs a value"),
        (&["-p", "1", "--port", "2"], "option --port is given twice"),
        (&["--auth=yes"], "option --auth takes no value"),
        (&["serve"], "unexpected argument \"serve\""),
    ] {
        let Output { status, stdout, stderr } = output(args);
        assert_eq!(status.code(), Some(78), "{args:?}");
        assert_eq!(text(&stdout), "");
        let hint = "Run \"noexd --help\" for usage information.";
        assert_eq!(text(&stderr), format!("Error: {said}\n{hint}\n"), "{args:?}");
    }
}

#[test]
fn subcommands_that_are_not_understood() {
    let all: &[(&str, &[&str])] = &[
        ("healthcheck", &["--bogus"]),
        ("healthcheck", &["--url", "ftp://h"]),
        ("healthcheck", &["--insecure"]),
        #[cfg(feature = "tools")]
        ("shell", &["--bogus"]),
        #[cfg(feature = "tools")]
        ("top", &["--interval", "never"]),
        #[cfg(feature = "tools")]
        ("types", &["--bogus"]),
        #[cfg(feature = "sqlite")]
        ("backup", &["--bogus"]),
    ];
    for (verb, args) in all {
        let Output { status, stdout, stderr } =
            noexd(&[verb]).args(*args).stdin(Stdio::null()).output().expect("run noexd");
        let said = text(&stderr);
        assert_eq!((status.code(), text(&stdout)), (Some(78), String::new()), "{verb}: {said}");
        let hint = format!("\nRun \"noexd {verb} --help\" for usage information.\n");
        assert!(said.starts_with("Error: ") && said.ends_with(&hint), "{verb}: {said}");
    }
}

/// A file in the system's place for such, removed at the end.
struct TempFile(std::path::PathBuf);

impl TempFile {
    fn new(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("noexd-{}-{name}", std::process::id()));
        std::fs::write(&path, text).expect("write the file");
        TempFile(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("a plain path")
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).expect("remove the file");
    }
}

#[test]
fn check_opens_nothing() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("its address").port().to_string();
    let good = TempFile::new(
        "good.json",
        r#"{"name":"x","buckets":{"a":{"key":"id","schema":{"id":{"type":"string"}}}}}"#,
    );
    for flag in ["--check", "--check-config"] {
        let Output { status, stdout, stderr } = output(&[flag, "-p", &port, "-c", good.path()]);
        assert_eq!(status.code(), Some(0));
        assert_eq!(text(&stdout), "configuration is valid\n");
        assert_eq!(text(&stderr), "");
    }
    let odd = TempFile::new("odd.json", r#"{"host":"0.0.0.0"}"#);
    let Output { status, stderr, .. } = output(&["--check", "-c", odd.path()]);
    assert_eq!(status.code(), Some(0));
    assert!(text(&stderr).starts_with("Warning: host 0.0.0.0 is reachable"), "{}", text(&stderr));
}

#[test]
fn every_mistake_has_a_line() {
    let bad = TempFile::new(
        "bad.json",
        r#"{"heartbeat":{"intervalMs":"fast"},"allowedOrigin":["x"],"port":70000}"#,
    );
    for flags in [&["--check", "--config", bad.path()] as &[&str], &["--config", bad.path()]] {
        let Output { status, stdout, stderr } = output(flags);
        assert_eq!(status.code(), Some(78));
        assert_eq!(text(&stdout), "");
        assert_eq!(
            text(&stderr),
            "Error: heartbeat.intervalMs: expected integer >= 0, got \"fast\"\n\
             Error: allowedOrigin: unknown key (did you mean \"allowedOrigins\"?)\n\
             Error: Invalid port: 70000 (must be integer 0-65535)\n"
        );
    }
    let bucket = TempFile::new(
        "bucket.json",
        r#"{"buckets":{"a":{"key":"id","schema":{"id":{"type":"string"}}},
            "b":{"key":"id","schema":{"id":{"type":"int"}}},"c":{"key":"x","schema":{}}}}"#,
    );
    for flags in [&["--check", "-c", bucket.path()] as &[&str], &["-c", bucket.path()]] {
        let Output { status, stderr, .. } = output(flags);
        assert_eq!(status.code(), Some(78));
        let said = text(&stderr);
        let lines: Vec<&str> = said.lines().collect();
        let [first, second] = lines.as_slice() else { panic!("{said}") };
        assert!(
            first.starts_with("Error: buckets.b.schema.id.type: unknown type \"int\""),
            "{first}"
        );
        assert!(second.starts_with("Error: buckets.c: Key field \"x\" does not exist"), "{second}");
    }
    let step = |bucket: &str| {
        format!(r#"{{"action":"store.get","bucket":"{bucket}","key":"x","as":"a"}}"#)
    };
    let steps = TempFile::new(
        "steps.json",
        &format!(
            r#"{{"auth":{{"builtIn":true,"adminSecret":"a secret of some length"}},"procedures":{{"definitions":[
                {{"name":"a","steps":[{}]}},{{"name":"b","steps":[{}]}},{{"name":"c","steps":[]}}]}}}}"#,
            step("b"),
            step("_users")
        ),
    );
    for flags in [&["--check", "-c", steps.path()] as &[&str], &["-c", steps.path()]] {
        let Output { status, stderr, .. } = output(flags);
        assert_eq!(status.code(), Some(78));
        let said = text(&stderr);
        assert!(said.starts_with("Error: procedures.definitions[1]: \"b\": Cannot access system bucket \"_users\" directly\nError: procedures.definitions[2]: \"c\": "), "{said}");
    }
}

#[test]
fn definitions_and_keys_are_looked_at_together_and_before_the_data() {
    let dir = std::env::temp_dir().join(format!("noexd-unopened-{}", std::process::id()));
    let dir = dir.to_str().expect("a plain path");
    let bad = TempFile::new(
        "together.json",
        r#"{"zz":1,
            "auth":{"tokens":{"a":{"userId":"a"},"b":5}},
            "buckets":{"a":5,"b":{"key":"id","schema":{"id":{"type":"int"}}},
                       "c":{"key":"id","schema":{"id":{"type":"string"}}}},
            "queries":{"of-b":{"bucket":"b"},"of-c":{"bucket":"c","filter":5}},
            "rules":{"definitions":[{"id":"x"},{"id":"y","name":"y"}]}}"#,
    );
    let starts = [
        "Error: zz: unknown key",
        "Error: auth.tokens[1]: expected object, got 5",
        "Error: buckets.a: expected object, got 5",
        "Error: buckets.b.schema.id.type: unknown type \"int\"",
        "Error: queries.of-c: ",
        "Error: rules.definitions[0].name: ",
        "Error: rules.definitions[1].",
    ];
    for flags in [
        &["--check", "--data-dir", dir, "-c", bad.path()] as &[&str],
        &["--data-dir", dir, "-c", bad.path()],
    ] {
        let Output { status, stderr, .. } = output(flags);
        assert_eq!(status.code(), Some(78));
        let said = text(&stderr);
        assert_eq!(said.lines().count(), starts.len(), "{said}");
        for (line, start) in said.lines().zip(starts) {
            assert!(line.starts_with(start), "{line}");
        }
        assert!(!std::path::Path::new(dir).exists());
    }
    for (config, says) in [
        (r#"{"auth":{"jwt":{"algorithms":["HS256"],"secret":"short"}}}"#, "auth.jwt.secret: "),
        (
            r#"{"auth":{"jwt":{"algorithms":["HS256"],"secretFile":"/nonexistent"}}}"#,
            "auth.jwt.secretFile: cannot read /nonexistent",
        ),
        (
            r#"{"auth":{"tokens":{"a":{"userId":"a"},
                "sha256:ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb":
                    {"userId":"b"}}}}"#,
            "auth.tokens[1]: the same token as auth.tokens[0]",
        ),
        (r#"{"audit":{"file":5}}"#, "audit.file: expected string or object, got 5"),
    ] {
        let file = TempFile::new("keys.json", config);
        let Output { status, stderr, .. } = output(&["--data-dir", dir, "-c", file.path()]);
        assert_eq!(status.code(), Some(78));
        let said = text(&stderr);
        assert!(said.contains(&format!("Error: {says}")), "{said}");
        assert!(!std::path::Path::new(dir).exists(), "{config}");
    }
}

#[test]
fn a_config_file_that_is_not_there() {
    let Output { status, stderr, .. } = output(&["--config", "/nonexistent/noexd.json"]);
    assert_eq!(status.code(), Some(78));
    let said = text(&stderr);
    assert!(
        said.starts_with("Error: Error loading config file: /nonexistent/noexd.json: "),
        "{said}"
    );
}

#[test]
fn a_port_in_use() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("its address");
    let Output { status, stdout, stderr } = output(&["-p", &address.port().to_string()]);
    assert_eq!(status.code(), Some(1));
    assert_eq!(text(&stdout), "");
    let said = text(&stderr);
    assert!(said.ends_with(&format!("Error: port: {address} is in use\n")), "{said}");
}

#[test]
fn a_host_that_is_not_this_machine() {
    let Output { status, stderr, .. } = output(&["-p", "0", "-H", "192.0.2.1"]);
    assert_eq!(status.code(), Some(1));
    let said = text(&stderr);
    assert!(said.ends_with("Error: host: 192.0.2.1:0 is no address of this machine\n"), "{said}");
    // With the key that somebody has written.
    let Output { status, stderr, .. } = output(&["--listen", "127.0.0.1:0,192.0.2.1:0"]);
    assert_eq!(status.code(), Some(1));
    let said = text(&stderr);
    let end = "Error: listen[1].address: 192.0.2.1:0 is no address of this machine\n";
    assert!(said.ends_with(end), "{said}");
}

#[test]
fn the_first_line_is_the_only_one_on_standard_output() {
    let server = Running::start(&["-p", "0", "--path", "/live", "--name", "x"]);
    let start = concat!("noexd ", env!("CARGO_PKG_VERSION"), " listening on ws://127.0.0.1:");
    assert!(server.line.starts_with(start), "{}", server.line);
    assert!(server.line.ends_with("/live\n"), "{}", server.line);
    assert_ne!(server.port(), 0);
    server.signal("TERM");
    let (code, out, err) = server.end();
    assert_eq!((code, &*out), (Some(0), ""));
    // Time, level, module and text.
    let summary = err.lines().find(|line| line.contains("settings:")).expect("the settings");
    let words: Vec<&str> = summary.splitn(4, ' ').collect();
    assert!(words[0].len() == 24 && words[0].ends_with('Z'), "{summary}");
    assert_eq!(&words[1..3], ["INFO", "noexd:"], "{summary}");
    assert_eq!(words[3], "settings: name \"x\", port 0, path \"/live\"");
    assert!(err.contains("memory only"), "{err}");
}

/// The default port may be taken on the machine that runs the tests; the
/// program then has to say so.
#[test]
fn without_arguments_it_says_what_it_is() {
    let server = Running::start(&[]);
    if server.line.is_empty() {
        let (code, _, err) = server.end();
        assert_eq!(code, Some(1));
        assert!(err.ends_with("Error: port: 127.0.0.1:8080 is in use\n"), "{err}");
        return;
    }
    let start =
        concat!("noexd ", env!("CARGO_PKG_VERSION"), " listening on ws://127.0.0.1:8080/\n");
    assert_eq!(server.line, start);
    server.signal("TERM");
    let (code, out, err) = server.end();
    assert_eq!((code, &*out), (Some(0), ""));
    for said in ["memory only", "pip install noex-client", "ws://127.0.0.1:8080/", "--help"] {
        assert!(err.contains(said), "{said}: {err}");
    }
    assert!(!err.contains(" WARN "), "{err}");
}

/// A start that must fail, and what it says last.
fn refused(args: &[&str]) -> String {
    let Output { status, stdout, stderr } = output(args);
    assert_eq!(status.code(), Some(78), "{args:?}");
    assert_eq!(text(&stdout), "");
    text(&stderr).lines().last().unwrap_or_default().to_owned()
}

#[test]
fn the_admin_secret_from_a_file() {
    let secret = TempFile::new("secret", "a secret of some length\n");
    let args = ["-p", "0", "-H", "127.0.0.1", "--auth", "--admin-secret-file"];
    let server = Running::start(&[&args[..], &[secret.path()]].concat());
    let stream = TcpStream::connect(("127.0.0.1", server.port())).expect("connect");
    let url = format!("ws://127.0.0.1:{}/", server.port());
    let (mut socket, _) = tungstenite::client(url, stream).expect("upgrade");
    let mut receive = || socket.read().expect("a message").into_text().expect("text").to_string();
    assert!(receive().ends_with("\"requiresAuth\":true}"));
    let login = r#"{"id":1,"type":"identity.loginWithSecret","secret":"a secret of some length"}"#;
    socket.send(Message::text(login)).expect("send");
    let answer = socket.read().expect("an answer").into_text().expect("text");
    assert!(answer.contains("\"superadmin\""), "{answer}");
    server.signal("TERM");
    let (code, _, err) = server.end();
    assert_eq!(code, Some(0));
    assert!(!err.contains("shorter than"), "{err}");

    let short = TempFile::new("short-secret", "fifteen letters");
    let server = Running::start(&[&args[..], &[short.path()]].concat());
    server.signal("TERM");
    let (_, _, err) = server.end();
    assert!(err.contains("the secret of auth.adminSecretFile is shorter than 16"), "{err}");

    let empty = TempFile::new("empty-secret", "\n");
    for (path, said) in [
        (empty.path(), "the file is empty"),
        ("/nonexistent/secret", "No such file or directory (os error 2)"),
    ] {
        let last = refused(&[&args[..], &[path]].concat());
        assert_eq!(last, format!("Error: auth.adminSecretFile: {path}: {said}"));
    }
    // The text of noex-server, and on a line of its own what to do about it.
    let Output { status, stderr, .. } = output(&["-p", "0", "--auth"]);
    assert_eq!(status.code(), Some(78));
    let said = text(&stderr);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(
        lines,
        [
            "Error: --admin-secret is required when --auth is enabled",
            "  better use --admin-secret-file FILE, auth.adminSecretFile or NOEXD_ADMIN_SECRET: others see a flag"
        ]
    );
}

#[test]
fn an_ipv6_host_stands_in_brackets() {
    let server = Running::start(&["-p", "0", "-H", "::1"]);
    assert!(server.line.contains(" ws://[::1]:"), "{}", server.line);
    server.signal("INT");
    assert_eq!(server.end().0, Some(0));
}

#[test]
fn signals_end_it_and_clients_are_told() {
    for signal in ["TERM", "INT"] {
        let server = Running::start(&["-p", "0"]);
        let mut clients: Vec<_> = (0..3).map(|_| server.connect()).collect();
        server.signal(signal);
        for client in &mut clients {
            let Message::Close(Some(frame)) = client.read().expect("a close") else {
                panic!("no close frame")
            };
            assert_eq!((frame.code, &*frame.reason), (CloseCode::Normal, "server_shutdown"));
        }
        drop(clients);
        assert_eq!(server.end().0, Some(0), "{signal}");
    }
}

#[test]
fn a_second_signal_cuts_the_grace_period_short() {
    let server = Running::start(&["-p", "0", "--shutdown-grace", "3600000"]);
    let mut client = server.connect();
    server.signal("TERM");
    let notice = client.read().expect("a notice").into_text().expect("text");
    assert_eq!(notice, r#"{"type":"system","event":"shutdown","gracePeriodMs":3600000}"#);
    // Service goes on meanwhile.
    client.send(Message::text(r#"{"id":1,"type":"server.stats"}"#)).expect("send");
    let answer = client.read().expect("an answer").into_text().expect("text");
    assert!(answer.starts_with("{\"id\":1,\"type\":\"result\""), "{answer}");
    server.signal("TERM");
    assert!(matches!(client.read().expect("a close"), Message::Close(Some(_))));
    drop(client);
    assert_eq!(server.end().0, Some(0));
}

#[test]
fn log_levels_follow_the_environment() {
    let mut command = noexd(&["-p", "0", "--name", "quiet"]);
    let mut child = command
        .env("RUST_LOG", "error")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("start noexd");
    let mut out = BufReader::new(child.stdout.take().expect("standard output"));
    let mut line = String::new();
    out.read_line(&mut line).expect("the first line");
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-s", "TERM", &id]).status().expect("kill").success());
    let rest = child.wait_with_output().expect("the end");
    assert_eq!(rest.status.code(), Some(0));
    assert_eq!(text(&rest.stderr), "");
}

/// Sends an emit that is logged with some 2 KB, and waits for its answer.
fn emit(socket: &mut WebSocket<TcpStream>, id: usize) {
    let text = format!(r#"{{"id":{id},"type":"rules.emit","topic":"x","data":{{}}}}"#);
    socket.send(Message::text(text)).expect("sent");
    loop {
        let answer = socket.read().expect("an answer").into_text().expect("text");
        if answer.contains(&format!("\"id\":{id},")) {
            return assert!(answer.contains("\"type\":\"result\""), "{answer}");
        }
    }
}

fn talkative(socket: &mut WebSocket<TcpStream>) {
    let rule = format!(
        r#"{{"id":0,"type":"rules.registerRule","rule":{{"id":"r","name":"r","trigger":{{"type":"event","topic":"x"}},"conditions":[],"actions":[{{"type":"log","level":"warn","message":"{}"}}]}}}}"#,
        "m".repeat(1_900)
    );
    socket.send(Message::text(rule)).expect("sent");
    let answer = socket.read().expect("an answer").into_text().expect("text");
    assert!(answer.contains("\"type\":\"result\""), "{answer}");
}

#[test]
fn a_standard_error_that_nobody_reads_stops_nobody() {
    let mut running = Running::start(&["--port", "0"]);
    let (mut one, mut other) = (running.connect(), running.connect());
    talkative(&mut one);
    // More than the pipe and the queue hold.
    for id in 1..1_500 {
        emit(&mut one, id);
    }
    emit(&mut other, 1);
    let mut err = BufReader::new(running.child.stderr.take().expect("standard error"));
    let mut line = String::new();
    while !line.contains(" log lines were dropped because standard error was not read") {
        line.clear();
        assert_ne!(err.read_line(&mut line).expect("a line"), 0, "it was never said");
    }
    emit(&mut one, 1_501);
    running.signal("TERM");
    // Nor does it stop the end.
    assert_eq!(running.child.wait().expect("the end").code(), Some(0));
}

#[test]
fn a_standard_error_that_is_closed_or_full_ends_nothing() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("/dev/full");
    let (far, near) = std::io::pipe().expect("a pipe");
    drop(far);
    for err in [Stdio::from(full), Stdio::from(near)] {
        let mut child = noexd(&["--port", "0"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(err)
            .spawn()
            .expect("start noexd");
        let mut out = BufReader::new(child.stdout.take().expect("standard output"));
        let mut line = String::new();
        out.read_line(&mut line).expect("read the first line");
        let mut running = Running { child, line, out };
        let mut socket = running.connect();
        talkative(&mut socket);
        for id in 1..10 {
            emit(&mut socket, id);
        }
        running.signal("TERM");
        assert_eq!(running.child.wait().expect("the end").code(), Some(0));
    }
}

#[test]
fn what_all_connections_hold_is_shown() {
    let running = Running::start(&["--port", "0"]);
    let mut socket = running.connect();
    let request = r#"{"id":1,"type":"server.stats","details":true}"#;
    socket.send(Message::text(request)).expect("sent");
    let answer = socket.read().expect("an answer").into_text().expect("text");
    for limit in ["output", "input"] {
        let expected = format!("\"{limit}\":{{\"used\":0,\"limit\":268435456,\"reached\":0}}");
        assert!(answer.contains(&expected), "{answer}");
    }
}
