//! The page about HTTP: its commands are run, and what they print is what it says.
//!
//! A block of commands is followed by a block of what comes back: JSON, or the
//! lines of a stream. `…` stands for anything.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use super::{matches, server};

/// Blocks of code in their order, each with its language.
fn blocks(page: &str) -> Vec<(&str, &str)> {
    let fenced = page.split("```").skip(1).step_by(2);
    fenced.filter_map(|block| block.split_once('\n')).collect()
}

/// A command of the page against a server at this port.
fn run(command: &str, port: u16) -> Command {
    let mut shell = Command::new("sh");
    shell.args([
        "-c",
        &format!("exec {}", command.replace("localhost:8080", &format!("127.0.0.1:{port}"))),
    ]);
    shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    shell
}

/// A line of the page and one that came.
fn is_like(expected: &str, got: &str) -> bool {
    let json =
        |line: &str| -> Option<Value> { serde_json::from_str(line.strip_prefix("data: ")?).ok() };
    if let (Some(expected), Some(got)) = (json(expected), json(got)) {
        return matches(&expected, &got, &mut HashMap::new());
    }
    match expected.split_once('…') {
        None => expected == got,
        Some((before, _)) => got.starts_with(before),
    }
}

/// The commands of a block; quoted text may have lines of its own.
fn commands_of(block: &str) -> Vec<String> {
    let mut commands: Vec<String> = Vec::new();
    for line in block.lines() {
        match commands.last_mut() {
            Some(last) if !line.starts_with("curl ") => {
                last.push('\n');
                last.push_str(line);
            }
            _ => commands.push(line.to_owned()),
        }
    }
    commands
}

type Lines = Box<dyn Iterator<Item = String>>;

fn lines_of(child: &mut Running) -> Lines {
    let out = BufReader::new(child.0.stdout.take().expect("its output"));
    Box::new(out.lines().map(|line| line.expect("text")))
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_commands_of_the_page_print_what_it_says() {
    if Command::new("curl").arg("--version").output().is_err() {
        eprintln!("there is no curl here: the page about HTTP is not run");
        return;
    }
    let path = format!("{}/docs/http.md", env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(path).expect("the page");
    let server = server(r#"{"http": true}"#);
    let (mut last, mut stream): (Option<Running>, Option<(Running, Lines)>) = (None, None);
    let (mut commands, mut held) = (0, 0);
    for (kind, text) in blocks(&page) {
        match kind {
            "sh" => {
                for command in commands_of(text) {
                    commands += 1;
                    if let Some(mut done) = last.take() {
                        assert!(done.0.wait().expect("curl").success(), "in front of {command}");
                    }
                    last = Some(Running(run(&command, server.port()).spawn().expect("curl")));
                }
            }
            "json" => {
                let mut child = last.take().expect("a command in front");
                let got: String = lines_of(&mut child).collect();
                let got: Value = serde_json::from_str(&got).expect("JSON");
                let wanted: Value = serde_json::from_str(text).expect("JSON");
                let is_so = matches(&wanted, &got, &mut HashMap::new());
                assert!(is_so, "expected {wanted}\n     got {got}");
                held += 1;
            }
            "text" => {
                if let Some(mut child) = last.take() {
                    let lines = lines_of(&mut child);
                    stream = Some((child, lines));
                }
                let (_, lines) = stream.as_mut().expect("a stream");
                for wanted in text.lines() {
                    let got = lines.next().expect("a line");
                    assert!(is_like(wanted, &got), "expected {wanted}\n     got {got}");
                }
                // The line that ends an event.
                assert_eq!(lines.next().as_deref(), Some(""));
                held += 1;
            }
            other => panic!("a block of {other}"),
        }
    }
    assert!(commands >= 5 && held >= 4, "{commands} commands, {held} held against the page");
}
