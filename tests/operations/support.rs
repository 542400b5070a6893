//! The program, started with a configuration of the test's own.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use tungstenite::{Message, WebSocket};

/// A directory that goes with the test.
pub struct Place(PathBuf);

impl Place {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("noexd-ops-{}-{}", std::process::id(), NEXT.fetch_add(1, Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).expect("a directory");
        Place(path)
    }

    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).expect("a file");
        path
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub fn noexd() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_noexd"));
    for name in ["RUST_LOG", "NOEXD_ADMIN_SECRET", "NOTIFY_SOCKET", "WATCHDOG_USEC"] {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
    command
}

pub struct Server {
    pub child: Child,
    pub port: u16,
    pub err: BufReader<ChildStderr>,
    _place: Place,
}

impl Server {
    pub fn start(config: &str) -> Self {
        Self::start_with(Place::new(), config, |_| {})
    }

    pub fn start_with(place: Place, config: &str, change: impl FnOnce(&mut Command)) -> Self {
        Self::run(place, config, |command| {
            command.args(["--port", "0"]);
            change(command);
        })
    }

    /// With these entries of `listen`.
    pub fn start_listening(place: Place, listen: &str, change: impl FnOnce(&mut Command)) -> Self {
        Self::run(place, &format!("{{\"listen\":{listen}}}"), change)
    }

    /// Which listens on this Unix socket only.
    pub fn start_unix(place: Place, config: &str, path: &Path) -> Self {
        let (mut child, line) = Self::spawn(&place, config, |_| {});
        let err = BufReader::new(child.stderr.take().expect("standard error"));
        assert!(line.ends_with(&format!(" listening on unix:{}\n", path.display())), "{line}");
        Server { child, port: 0, err, _place: place }
    }

    fn spawn(place: &Place, config: &str, change: impl FnOnce(&mut Command)) -> (Child, String) {
        let file = place.file("noexd.json", config);
        let mut command = noexd();
        command.arg("--config").arg(file);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        change(&mut command);
        let mut child = command.spawn().expect("start noexd");
        let mut line = String::new();
        let out = child.stdout.take().expect("standard output");
        BufReader::new(out).read_line(&mut line).expect("a line");
        (child, line)
    }

    /// Of which no setting comes from elsewhere.
    pub fn run(place: Place, config: &str, change: impl FnOnce(&mut Command)) -> Self {
        let (mut child, line) = Self::spawn(&place, config, change);
        let mut err = BufReader::new(child.stderr.take().expect("standard error"));
        let port = line.rsplit(':').next().and_then(|end| end.split('/').next()?.parse().ok());
        let Some(port) = port else {
            let mut why = String::new();
            let _ = err.read_to_string(&mut why);
            panic!("no port in {line:?}: {why}");
        };
        Server { child, port, err, _place: place }
    }

    /// Status and body of an answer.
    pub fn get(&self, path: &str) -> (u16, String) {
        let answer = self.ask(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        let status = head.split(' ').nth(1).and_then(|word| word.parse().ok());
        (status.expect("a status"), body.to_owned())
    }

    /// Everything that comes back until the connection is closed.
    pub fn ask(&self, request: &str) -> String {
        ask(self.port, request)
    }

    pub fn connect(&self) -> WebSocket<TcpStream> {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).expect("connect");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
        let url = format!("ws://127.0.0.1:{}/", self.port);
        let (mut socket, _) = tungstenite::client(url, stream).expect("upgrade");
        let welcome = socket.read().expect("welcome").into_text().expect("text");
        assert!(welcome.starts_with("{\"type\":\"welcome\""), "{welcome}");
        socket
    }

    pub fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &id]).status().expect("kill");
        assert!(sent.success());
    }

    /// Reads standard error up to a line with this text in it; returns the line.
    pub fn line_with(&mut self, text: &str) -> String {
        let [line] = self.lines_with([text]);
        line
    }

    /// A line for each of the texts, in whatever order they come: threads do not
    /// wait for each other.
    pub fn lines_with<const N: usize>(&mut self, texts: [&str; N]) -> [String; N] {
        let mut found = [const { None }; N];
        let mut seen = String::new();
        while let Some(missing) = (0..N).find(|at| found[*at].is_none()) {
            let mut line = String::new();
            let read = self.err.read_line(&mut line).expect("standard error");
            assert!(read > 0, "no {:?} in:\n{seen}", texts[missing]);
            seen.push_str(&line);
            let is_of = |at: &usize| found[*at].is_none() && line.contains(texts[*at]);
            if let Some(at) = (0..N).find(is_of) {
                found[at] = Some(line);
            }
        }
        found.map(|line| line.expect("a line for each"))
    }

    /// The end, and what is left of standard error.
    pub fn end(mut self) -> (ExitStatus, String) {
        let mut err = String::new();
        self.err.read_to_string(&mut err).expect("standard error");
        (self.child.wait().expect("the end"), err)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn ask(port: u16, request: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("connect");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
    stream.write_all(request.as_bytes()).expect("write");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer");
    String::from_utf8_lossy(&answer).into_owned()
}

/// Sends a request and reads up to its response.
pub fn call<S: std::io::Read + std::io::Write>(
    socket: &mut WebSocket<S>,
    request: &str,
) -> serde_json::Value {
    let id = serde_json::from_str::<serde_json::Value>(request).expect("JSON")["id"].clone();
    socket.send(Message::text(request)).expect("send");
    loop {
        let text = socket.read().expect("a message").into_text().unwrap_or_default();
        match serde_json::from_str::<serde_json::Value>(&text) {
            Ok(message) if message["id"] == id => return message,
            _ => {}
        }
    }
}
