//! `noexd types`, with the real program: what it makes of every form of a
//! definition, and that it is the same from all sources.
//!
//! `NOEXD_BLESS=1` renews the files beside this one. Their TypeScript is compiled
//! by `tests/web`, their Python by `tests/tools`.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use noexd::Server;
use noexd::query::QueryCx;
use noexd::server::ServerThread;
use serde_json::{Value, json};

const LANGUAGES: [(&str, &str); 2] = [("--typescript", "ts"), ("--python", "py")];

fn here(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/types").join(name)
}

fn noexd(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_noexd"))
        .arg("types")
        .args(args)
        .env_remove("NOEXD_URL")
        .env_remove("NOEXD_CONFIG")
        .output()
        .expect("it runs")
}

fn types(args: &[&str]) -> String {
    let output = noexd(args);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{args:?}: {errors}");
    String::from_utf8(output.stdout).expect("text")
}

/// Exit code and what was said.
fn refusal(args: &[&str]) -> (Option<i32>, String) {
    let output = noexd(args);
    assert!(output.stdout.is_empty(), "{args:?}");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).trim_end().to_owned())
}

/// A folder of this test, empty.
fn scratch(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("types-{name}"));
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).expect("a folder");
    path
}

fn serve(config: &Value) -> ServerThread {
    let mut builder = Server::builder().host("127.0.0.1").port(0);
    for (name, value) in config.as_object().expect("an object") {
        builder = builder.set(name, value.clone());
    }
    builder.start().expect("the server starts")
}

#[test]
fn every_form_of_a_definition_in_both_languages() {
    let config = here("definitions.json").display().to_string();
    for (flag, ending) in LANGUAGES {
        let text = types(&[flag, "--config", &config]);
        // It would be another one with every release.
        let text = text.replacen(env!("CARGO_PKG_VERSION"), "VERSION", 1);
        let file = here(&format!("definitions.{ending}"));
        if std::env::var_os("NOEXD_BLESS").is_some() {
            std::fs::write(&file, &text).expect("written");
        }
        let known = std::fs::read_to_string(&file).expect("the file");
        let changed = known.lines().zip(text.lines()).find(|(old, new)| old != new);
        assert!(known == text, "{}: {changed:?}; NOEXD_BLESS=1 renews it", file.display());
    }
}

#[test]
fn all_sources_give_the_same_bytes() {
    let file = here("definitions.json");
    let dir = scratch("sources");
    let started = Command::new(env!("CARGO_BIN_EXE_noexd"))
        .args(["--config", &file.display().to_string(), "--data-dir"])
        .arg(&dir)
        .args(["--port", "0"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn();
    let mut server = Running(started.expect("it starts"));
    let url = server.url();
    let data = dir.display().to_string();
    for (flag, _) in LANGUAGES {
        let configured = types(&[flag, "--config", &file.display().to_string()]);
        assert!(configured.contains("low-stock"), "{configured}");
        for source in [["--url", &url], ["--data-dir", &data]] {
            let other = types(&[flag, source[0], source[1]]);
            let differs = configured.lines().zip(other.lines()).find(|(ours, its)| ours != its);
            assert!(configured == other, "{source:?}: {differs:?}");
        }
    }
}

/// A server that goes with the test.
struct Running(std::process::Child);

impl Running {
    /// What it says when it listens.
    fn url(&mut self) -> String {
        use std::io::{BufRead as _, BufReader};

        let out = self.0.stdout.take().expect("its output");
        let mut line = String::new();
        BufReader::new(out).read_line(&mut line).expect("a line");
        line.split_whitespace().last().expect("a URL").to_owned()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn of_a_server_with_accounts_and_without_logic() {
    let config = json!({
        "auth": {"builtIn": true, "adminSecret": "a secret of the admin"},
        "procedures": false, "logic": false,
        "buckets": {"parts": {"key": "id", "schema": {"id": {"type": "string"}}}},
    });
    let server = serve(&config);
    let url = format!("ws://127.0.0.1:{}/", server.port());
    let (code, said) = refusal(&["--python", "--url", &url]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("UNAUTHORIZED"), "{said}");
    let file = scratch("accounts").join("secret");
    std::fs::write(&file, "a secret of the admin").expect("written");
    let secret = file.display().to_string();
    let text = types(&["--python", "--url", &url, "--secret-file", &secret]);
    assert!(text.contains("class Parts(TypedDict)"), "{text}");
    assert!(!text.contains("Users"), "the server's own buckets: {text}");
}

#[test]
fn programs_of_the_host_are_named() {
    let server = Server::builder()
        .host("127.0.0.1")
        .port(0)
        .bucket("parts", json!({"key": "id", "schema": {"id": {"type": "string"}}}))
        .program_query("mine", |_: &QueryCx<'_>, _: Option<&Value>| Ok(Some(json!(1))))
        .start()
        .expect("the server starts");
    let url = format!("ws://127.0.0.1:{}/", server.port());
    let text = types(&["--typescript", "--url", &url]);
    assert!(text.contains("    // \"mine\" is a program of the server.\n"), "{text}");
    let text = types(&["--python", "--url", &url]);
    assert!(text.contains("# Query \"mine\" is a program of the server.\n"), "{text}");
}

#[test]
fn a_check_says_where_a_file_is_another_one() {
    let config = here("definitions.json").display().to_string();
    let file = scratch("check").join("types.ts");
    let path = file.display().to_string();
    let check = ["--typescript", "--config", &config, "--output", &path, "--check"];
    let (code, said) = refusal(&check);
    assert_eq!(code, Some(1));
    assert!(said.contains("types.ts: No such file"), "{said}");
    let write = ["--typescript", "--config", &config, "--output", &path];
    assert_eq!(types(&write), "");
    assert_eq!(types(&check), "");
    let text = std::fs::read_to_string(&file).expect("written");
    let changed = text.replacen("  qty: number;", "  qty: string;", 1);
    let line = 1 + changed.lines().position(|line| line == "  qty: string;").expect("a line");
    std::fs::write(&file, &changed).expect("written");
    let (code, said) = refusal(&check);
    assert_eq!(code, Some(1));
    let expected =
        format!("Error: {path}:{line}: is \"  qty: string;\", would be \"  qty: number;\"");
    assert_eq!(said, expected);
    assert_eq!(std::fs::read_to_string(&file).expect("there"), changed, "nothing is written");
    std::fs::write(&file, format!("{text}more\n")).expect("written");
    let (_, said) = refusal(&check);
    assert!(said.ends_with("is \"more\", would be the end"), "{said}");
    std::fs::write(&file, text.replace('\n', "\r\n")).expect("written");
    let (_, said) = refusal(&check);
    assert!(said.ends_with("has other ends of lines"), "{said}");
}

#[test]
fn wrong_command_lines() {
    let config = here("definitions.json").display().to_string();
    for (args, text) in [
        (&[][..], "which language? Give --typescript or --python"),
        (&["--typescript", "--python"], "--typescript and --python exclude each other"),
        (&["--python", "--check"], "--check compares with a file: give --output FILE"),
        (&["--python", "--url", "ws://h/", "--db", "f"], "--db and --url exclude each other"),
        (&["--python", "--url", "http://h/"], "--url: expected ws://"),
        (&["--python", "parts"], "unexpected argument \"parts\""),
        (&["--python", "--config", "/nonexistent"], "/nonexistent"),
    ] {
        let (code, said) = refusal(args);
        assert_eq!(code, Some(78), "{args:?}: {said}");
        assert!(said.contains(text), "{args:?}: {said}");
    }
    let (code, said) = refusal(&["--python", "--url", "ws://127.0.0.1:1/"]);
    assert_eq!(code, Some(69), "{said}");
    let (code, said) = refusal(&["--python", "--data-dir", "/nonexistent"]);
    assert_eq!(code, Some(1), "{said}");
    let output = "/nonexistent/types.py";
    let (code, said) = refusal(&["--python", "--config", &config, "--output", output]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(output), "{said}");
}
