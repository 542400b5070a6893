//! Server processes: starts them, and reads what Linux knows of them (CPU time,
//! resident memory, which process listens on a port).

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::Value;

/// With a million records on disk on a busy machine, too.
const START_LIMIT: Duration = Duration::from_secs(60);

/// Counts the directories that this process has made.
static DIRECTORIES: AtomicU32 = AtomicU32::new(0);

/// A server that was started here and is stopped when this is dropped, with a
/// directory of its own that goes with it.
#[derive(Debug)]
pub struct Process {
    child: Child,
    directory: PathBuf,
    /// The URL or address that it serves.
    pub address: String,
    pub start: Duration,
}

impl Process {
    /// Starts noexd, or a server that is started like it: `PROGRAM --config
    /// FILE`, and the first `ws://` on its output is its URL.
    pub fn noexd(program: &Path, config: &Value, core: Option<usize>) -> Result<Process, String> {
        let directory = directory()?;
        let file = directory.join("config.json");
        let mut config = config.clone();
        config["host"] = "127.0.0.1".into();
        config["port"] = 0.into();
        if config.get("dataDir").is_some() {
            config["dataDir"] = directory.join("data").to_string_lossy().into();
        }
        fs::write(&file, config.to_string())
            .map_err(|error| format!("{}: {error}", file.display()))?;
        let began = Instant::now();
        let mut command = pinned(program, core);
        command.arg("--config").arg(&file);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log(&directory)?);
        let child =
            command.spawn().map_err(|error| format!("start {}: {error}", program.display()))?;
        let mut process =
            Process { child, directory, address: String::new(), start: Duration::ZERO };
        process.address = process.read_url()?;
        process.start = began.elapsed();
        Ok(process)
    }

    /// Starts a Redis server that keeps nothing on disk.
    pub fn redis(program: &str, core: Option<usize>) -> Result<Process, String> {
        let directory = directory()?;
        // Redis cannot pick a free port itself.
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .map_err(|error| format!("a free port: {error}"))?
            .port();
        let began = Instant::now();
        let mut command = pinned(Path::new(program), core);
        command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""]);
        command.args(["--appendonly", "no", "--daemonize", "no", "--maxclients", "15000"]);
        command.current_dir(&directory);
        command.stdin(Stdio::null()).stdout(log(&directory)?).stderr(log(&directory)?);
        let child = command.spawn().map_err(|error| format!("start {program}: {error}"))?;
        let address = format!("127.0.0.1:{port}");
        let mut process = Process { child, directory, address, start: Duration::ZERO };
        while TcpStream::connect(&process.address).is_err() {
            if let Ok(Some(status)) = process.child.try_wait() {
                return Err(format!("{program} ended with {status}: {}", process.log()));
            }
            if began.elapsed() > START_LIMIT {
                return Err(format!("{program} does not listen: {}", process.log()));
            }
            std::thread::yield_now();
        }
        process.start = began.elapsed();
        Ok(process)
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The first URL on its output. The thread that reads goes on afterwards,
    /// so that what else is printed cannot fill the pipe.
    fn read_url(&mut self) -> Result<String, String> {
        let output = self.child.stdout.take().expect("stdout is piped");
        let (found, url) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if let Some(word) = line.split_whitespace().find(|word| word.starts_with("ws://")) {
                    // Nobody waits for a second one.
                    let _ = found.send(word.to_string());
                }
            }
        });
        url.recv_timeout(START_LIMIT).map_err(|_| {
            format!("no URL on the server's output within {START_LIMIT:?}: {}", self.log())
        })
    }

    fn log(&self) -> String {
        fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Already gone is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// `program`, tied to one core when one is given and `taskset` is there.
fn pinned(program: &Path, core: Option<usize>) -> Command {
    match core {
        Some(core) => {
            let mut command = Command::new("taskset");
            command.arg("-c").arg(core.to_string()).arg(program);
            command
        }
        None => Command::new(program),
    }
}

fn directory() -> Result<PathBuf, String> {
    let number = DIRECTORIES.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("noexd-bench-{}-{number}", std::process::id()));
    fs::create_dir_all(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(path)
}

fn log(directory: &Path) -> Result<Stdio, String> {
    let path = directory.join("log");
    let file = fs::OpenOptions::new().create(true).append(true).open(&path);
    file.map(Stdio::from).map_err(|error| format!("{}: {error}", path.display()))
}

/// CPU time of all threads of a process since its start, in nanoseconds.
pub fn cpu(pid: u32) -> Option<u64> {
    let mut total = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task")).ok()? {
        // Nanoseconds on the CPU, where the kernel counts them.
        let Ok(line) = fs::read_to_string(task.ok()?.path().join("schedstat")) else {
            return cpu_in_ticks(pid);
        };
        total += line.split_whitespace().next()?.parse::<u64>().ok()?;
    }
    Some(total)
}

/// The same from `/proc/PID/stat`, in steps of 10 ms.
fn cpu_in_ticks(pid: u32) -> Option<u64> {
    let line = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the name and may contain anything, blanks too.
    let fields: Vec<&str> = line[line.rfind(')')? + 2..].split(' ').collect();
    let user: u64 = fields.get(11)?.parse().ok()?;
    let system: u64 = fields.get(12)?.parse().ok()?;
    Some((user + system) * 10_000_000)
}

/// Resident memory of a process in bytes.
pub fn resident(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}

/// The process that listens on this port, if it may be looked at.
pub fn listener(address: SocketAddr) -> Option<u32> {
    let port = format!(":{:04X}", address.port());
    let mut socket = None;
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        for line in fs::read_to_string(table).unwrap_or_default().lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let (Some(local), Some(&"0A"), Some(inode)) =
                (fields.get(1), fields.get(3), fields.get(9))
            else {
                continue;
            };
            if local.ends_with(&port) {
                socket = Some(format!("socket:[{inode}]"));
            }
        }
    }
    let socket = socket?;
    for process in fs::read_dir("/proc").ok()?.flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let Ok(descriptors) = fs::read_dir(process.path().join("fd")) else { continue };
        for descriptor in descriptors.flatten() {
            if fs::read_link(descriptor.path()).is_ok_and(|link| link.as_os_str() == &*socket) {
                return Some(pid);
            }
        }
    }
    None
}
