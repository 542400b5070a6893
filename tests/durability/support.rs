//! The program as a child process, and a client that blocks.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tungstenite::{Message, WebSocket};

/// Longer than anything takes, even on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(60);

/// A directory that is removed when the test ends well.
pub struct Scratch(pub PathBuf);

impl Scratch {
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("noexd-{name}-{}", std::process::id()));
        // Left over by a run that was killed, perhaps.
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("a scratch directory");
        Scratch(path)
    }

    pub fn data(&self) -> PathBuf {
        self.0.join("data")
    }

    pub fn file(&self) -> PathBuf {
        self.data().join("noexd.sqlite")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}

pub fn noexd() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_noexd"));
    command.env("RUST_LOG", "warn").stdin(Stdio::null());
    command
}

/// A running server.
pub struct Server {
    child: Child,
    pub url: String,
}

impl Server {
    /// Starts the program and waits until it listens.
    pub fn start(data: &Path, arguments: &[&str]) -> Server {
        Self::run(with_data(noexd(), data).args(arguments))
    }

    pub fn run(command: &mut Command) -> Server {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the program starts");
        let stdout = child.stdout.take().expect("piped");
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        let url = line.split_whitespace().last().unwrap_or_default().to_owned();
        if !url.starts_with("ws://") {
            panic!("the server did not start: {:?}", child.wait());
        }
        Server { child, url }
    }

    pub fn client(&self) -> Client {
        Client::connect(&self.url).expect("a connection")
    }

    /// `kill -9`
    pub fn kill(mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("waited");
    }

    /// SIGTERM; the exit status.
    pub fn stop(mut self) -> ExitStatus {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status().expect("kill runs");
        assert!(sent.success());
        self.child.wait().expect("waited")
    }

    /// Waits for an end that the server comes to by itself.
    pub fn wait(mut self) -> ExitStatus {
        self.child.wait().expect("waited")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Ended already, mostly.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn with_data(mut command: Command, data: &Path) -> Command {
    command.args(["--port", "0", "--data-dir"]).arg(data);
    command
}

/// Starts the program and kills it, in the middle of its recovery perhaps.
pub fn kill_while_starting(data: &Path, random: &mut Random) {
    let moment = Duration::from_micros(random.below(40_000));
    let child = with_data(noexd(), data).stdout(Stdio::null()).spawn();
    let killed = child.and_then(|mut child| {
        std::thread::sleep(moment);
        child.kill()?;
        child.wait()
    });
    killed.expect("started and killed");
}

/// A number from the environment.
pub fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Runs the program to its end: exit code and standard error.
pub fn ends(command: &mut Command) -> (Option<i32>, String) {
    let mut child =
        command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the program starts");
    let mut errors = String::new();
    child.stderr.take().expect("piped").read_to_string(&mut errors).expect("text");
    (child.wait().expect("waited").code(), errors)
}

/// A connection.
pub struct Client {
    socket: WebSocket<TcpStream>,
    next: u64,
    /// Pushes that arrived while a response was awaited.
    pub pushes: Vec<Value>,
}

/// The connection is gone, with the close frame's code if there was one.
#[derive(Debug)]
pub struct Gone(pub Option<(u16, String)>);

impl Client {
    pub fn connect(url: &str) -> Result<Client, Gone> {
        let address = url.trim_start_matches("ws://").trim_end_matches('/');
        let stream = TcpStream::connect(address).map_err(|_| Gone(None))?;
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_nodelay(true).expect("no delay");
        let (socket, _) = tungstenite::client(url, stream).map_err(|_| Gone(None))?;
        let mut client = Client { socket, next: 0, pushes: Vec::new() };
        let welcome = client.receive()?;
        assert_eq!(welcome["type"], "welcome");
        Ok(client)
    }

    /// Sends a request; its id.
    pub fn send(&mut self, operation: &str, mut fields: Value) -> Result<u64, Gone> {
        self.next += 1;
        fields["id"] = json!(self.next);
        fields["type"] = json!(operation);
        let sent = self.socket.send(Message::text(fields.to_string()));
        sent.map_err(|_| Gone(None))?;
        Ok(self.next)
    }

    /// The socket, for a peer that writes as it likes.
    pub fn stream(&self) -> TcpStream {
        self.socket.get_ref().try_clone().expect("a second descriptor")
    }

    /// A text frame as a client sends it, masked with zeroes.
    pub fn frame(text: &str) -> Vec<u8> {
        let mut frame = vec![0x81, 0xff];
        frame.extend_from_slice(&(text.len() as u64).to_be_bytes());
        frame.extend_from_slice(&[0; 4]);
        frame.extend_from_slice(text.as_bytes());
        frame
    }

    /// Whether nothing has arrived that nobody has read.
    pub fn has_nothing_yet(&mut self) -> bool {
        let stream = self.socket.get_ref();
        stream.set_nonblocking(true).expect("nonblocking");
        let peeked = stream.peek(&mut [0]);
        stream.set_nonblocking(false).expect("blocking");
        peeked.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
    }

    /// Sends a request that has an id already.
    pub fn send_text(&mut self, text: &str) {
        self.socket.send(Message::text(text)).expect("sent");
    }

    pub fn receive(&mut self) -> Result<Value, Gone> {
        loop {
            match self.socket.read() {
                Ok(Message::Text(text)) => {
                    return Ok(serde_json::from_str(&text).expect("the server sends JSON"));
                }
                Ok(Message::Close(frame)) => {
                    let frame =
                        frame.map(|frame| (frame.code.into(), frame.reason.as_str().to_owned()));
                    return Err(Gone(frame));
                }
                Ok(_) => {}
                Err(_) => return Err(Gone(None)),
            }
        }
    }

    /// The next response.
    pub fn response(&mut self) -> Result<Value, Gone> {
        loop {
            let message = self.receive()?;
            match message["type"].as_str() {
                Some("result" | "error") => return Ok(message),
                Some("ping") => self.pong(&message)?,
                _ => self.pushes.push(message),
            }
        }
    }

    /// Answers a ping of the protocol.
    pub fn pong(&mut self, ping: &Value) -> Result<(), Gone> {
        let pong = json!({"type": "pong", "timestamp": ping["timestamp"]});
        self.socket.send(Message::text(pong.to_string())).map_err(|_| Gone(None))
    }

    /// Sends a request and waits for its response.
    pub fn request(&mut self, operation: &str, fields: Value) -> Result<Value, Gone> {
        let id = self.send(operation, fields)?;
        let response = self.response()?;
        assert_eq!(response["id"], id, "{response}");
        Ok(response)
    }

    /// The data of a request that goes well.
    #[track_caller]
    pub fn call(&mut self, operation: &str, fields: Value) -> Value {
        let mut response = self.request(operation, fields).expect("an answer");
        assert_eq!(response["type"], "result", "{operation}: {response}");
        response["data"].take()
    }

    /// The error of a request that does not go well: code and message.
    #[track_caller]
    pub fn refused(&mut self, operation: &str, fields: Value) -> (String, String) {
        let response = self.request(operation, fields).expect("an answer");
        assert_eq!(response["type"], "error", "{operation}: {response}");
        let text = |name: &str| response[name].as_str().unwrap_or_default().to_owned();
        (text("code"), text("message"))
    }
}

/// Numbers that a seed repeats: SplitMix64 (Steele, Lea, Flood 2014).
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}
