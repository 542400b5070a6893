//! `--print-config`: what it says of a configuration is that configuration.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn noexd(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_noexd"));
    for name in ["RUST_LOG", "NOEXD_ADMIN_SECRET", "NOEXD_CONFIG", "NOEXD_METRICS_TOKEN"] {
        command.env_remove(name);
    }
    command.args(args).stdin(Stdio::null()).output().expect("run noexd")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

/// A folder of this test, empty at first and gone at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("noexd-print-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder");
        Folder(path)
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, text).expect("a file");
        path.to_str().expect("a plain path").to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).expect("removed");
    }
}

/// What is printed of a file, if it is a configuration of this build.
fn printed(file: &str) -> Result<String, String> {
    let Output { status, stdout, stderr } = noexd(&["--print-config", "--config", file]);
    match status.code() {
        Some(0) => {
            assert_eq!(text(&stderr), "", "{file}");
            Ok(text(&stdout))
        }
        code => {
            assert_eq!((code, stdout.as_slice()), (Some(78), &b""[..]), "{file}");
            Err(text(&stderr))
        }
    }
}

/// For development, and for production.
const TYPICAL: [&str; 2] = [
    r#"{ "port": 8080,
  "buckets": {
    "benches": { "key": "id", "schema": { "id": {"type":"string","generated":"uuid"}, "town": {"type":"string","required":true} }, "indexes": ["town"] },
    "visits":  { "key": "id", "ttl": "30d", "schema": { "id": {"type":"number","generated":"autoincrement"}, "bench": {"type":"string","ref":"benches"} } } },
  "queries": { "benches-in": { "bucket": "benches", "filter": { "town": "{{ params.town }}" } } } }"#,
    r#"{ "name": "benches", "host": "0.0.0.0", "port": 8443, "path": "/ws",
  "auth": { "builtIn": true, "adminSecretFile": "/etc/noexd/secret", "sessionTtl": 28800000, "passwordMinLength": 12 },
  "rateLimit": { "maxRequests": 200, "windowMs": 10000 },
  "maxConnectionsPerIp": 50, "allowedOrigins": ["https://benches.example"],
  "exposeErrorDetails": false, "shutdownGraceMs": 3000,
  "audit": { "tiers": ["admin", "write"], "file": "/var/log/noexd/audit.jsonl" },
  "metrics": { "listen": "127.0.0.1:9464" } }"#,
];

/// The configurations of the repository: the examples' files, and every object
/// in the documentation that is one.
fn examples() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = TYPICAL.map(str::to_owned).to_vec();
    let mut folders = vec![root.join("examples"), root.join("docs"), root.join("contrib")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let is = |extension: &str| path.extension().is_some_and(|found| found == extension);
            if path.is_dir() {
                folders.push(path);
            } else if is("json") {
                found.push(std::fs::read_to_string(&path).expect("text"));
            } else if is("md") {
                let page = std::fs::read_to_string(&path).expect("text");
                let blocks = page.split("```json\n").skip(1);
                found.extend(blocks.filter_map(|block| block.split("```").next()).map(Into::into));
            }
        }
    }
    found
}

#[test]
fn every_example_prints_what_loads_and_prints_the_same() {
    let folder = Folder::new("examples");
    let mut configurations = 0;
    for example in examples() {
        let Ok(once) = printed(&folder.file("example.json", &example)) else { continue };
        configurations += 1;
        let again = printed(&folder.file("printed.json", &once)).expect(&once);
        assert_eq!(again, once, "{example}");
        let checked = noexd(&["--check", "--config", &folder.file("printed.json", &once)]);
        let errors = text(&checked.stderr);
        // Files that an example names are not on every machine.
        let needs_files = errors.contains("No such file or directory");
        assert!(checked.status.success() || needs_files, "{example}: {errors}");
    }
    assert!(configurations >= 6, "only {configurations} examples were found");
}

#[test]
fn flags_and_the_environment_are_in_force() {
    let folder = Folder::new("force");
    let file = folder.file("file.json", r#"{"port":1,"path":"/file","auth":{"builtIn":true}}"#);
    let mut command = Command::new(env!("CARGO_BIN_EXE_noexd"));
    command.env("NOEXD_ADMIN_SECRET", "hunter2-hunter2-hunter2").stdin(Stdio::null());
    command.args(["--config", &file, "--port", "2", "--print-config"]);
    let Output { status, stdout, stderr } = command.output().expect("run noexd");
    assert!(status.success(), "{}", text(&stderr));
    let printed = text(&stdout);
    let value: serde_json::Value = serde_json::from_str(&printed).expect("JSON");
    assert_eq!(value["port"], 2);
    assert_eq!(value["path"], "/file");
    assert_eq!(value["host"], "0.0.0.0", "that of a server with authentication");
    assert_eq!(value["auth"]["adminSecret"], "(secret)");
    assert!(!printed.contains("hunter2"), "{printed}");
}

/// What has no number of its own has one in force.
#[test]
fn the_input_that_all_connections_may_hold_is_a_number() {
    let folder = Folder::new("input");
    for (file, bytes) in [
        ("{}", 268_435_456_u64),
        (r#"{"maxPayloadBytes":1073741824}"#, 1_073_741_824),
        (r#"{"limits":{"maxInputBytes":2097152}}"#, 2_097_152),
    ] {
        let once = printed(&folder.file("file.json", file)).expect(file);
        let value: serde_json::Value = serde_json::from_str(&once).expect("JSON");
        assert_eq!(value["limits"]["maxInputBytes"], bytes, "{file}");
    }
}

#[test]
fn it_opens_nothing() {
    let folder = Folder::new("nothing");
    let secret = folder.0.join("secret");
    let data = folder.0.join("data");
    let file = serde_json::json!({
        "auth": { "builtIn": true, "adminSecretFile": secret },
        "dataDir": cfg!(feature = "sqlite").then_some(&data),
    });
    let once = printed(&folder.file("file.json", &file.to_string())).expect("it need not exist");
    assert!(once.contains("adminSecretFile") && !data.exists() && !secret.exists());
    let again = printed(&folder.file("printed.json", &once)).expect("loads");
    assert_eq!(again, once);
}

#[test]
fn a_placeholder_is_warned_of_and_does_not_start() {
    let folder = Folder::new("placeholder");
    let file = folder.file(
        "file.json",
        r#"{"port":0,"auth":{"builtIn":true,"adminSecret":"0123456789abcdef"},
            "metrics":{"token":"0123456789abcdef"}}"#,
    );
    let printed = folder.file("printed.json", &printed(&file).expect("a configuration"));
    let checked = noexd(&["--check", "--config", &printed]);
    assert!(checked.status.success());
    let warnings = text(&checked.stderr);
    for key in ["metrics.token", "auth.adminSecret"] {
        assert!(warnings.contains(&format!("Warning: {key}: is a placeholder\n")), "{warnings}");
    }
    assert!(!warnings.contains("shorter"), "{warnings}");
    let started = noexd(&["--config", &printed]);
    assert_eq!(started.status.code(), Some(78));
    assert_eq!(text(&started.stdout), "");
    let errors = text(&started.stderr);
    let lines: Vec<&str> = errors.lines().filter(|line| line.starts_with("Error: ")).collect();
    let expected =
        ["Error: metrics.token: is a placeholder", "Error: auth.adminSecret: is a placeholder"];
    assert_eq!(lines, expected, "{errors}");
    // What stands in the place of one is the secret.
    let mut command = Command::new(env!("CARGO_BIN_EXE_noexd"));
    command.env("NOEXD_ADMIN_SECRET", "0123456789abcdef").stdin(Stdio::null());
    let checked = command.args(["--check", "--config", &printed]).output().expect("run noexd");
    assert!(!text(&checked.stderr).contains("auth.adminSecret"), "{}", text(&checked.stderr));
}

#[cfg(feature = "jwt")]
#[test]
fn a_placeholder_is_no_key_that_is_too_short() {
    let folder = Folder::new("jwt");
    let file = folder.file(
        "file.json",
        r#"{"port":0,"auth":{"jwt":{"algorithms":["HS256"],
            "keys":[{"kid":"a","alg":"HS256","secret":"0123456789abcdef0123456789abcdef"},
                {"kid":"b","alg":"HS256","secretBase64":"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="}]}}}"#,
    );
    let printed = folder.file("printed.json", &printed(&file).expect("a configuration"));
    let checked = noexd(&["--check", "--config", &printed]);
    assert!(checked.status.success(), "{}", text(&checked.stderr));
    let started = noexd(&["--config", &printed]);
    let errors = text(&started.stderr);
    let lines: Vec<&str> = errors.lines().filter(|line| line.starts_with("Error: ")).collect();
    let expected = [
        "Error: auth.jwt.keys[0].secret: is a placeholder",
        "Error: auth.jwt.keys[1].secretBase64: is a placeholder",
    ];
    assert_eq!(lines, expected, "{errors}");
    assert_eq!(started.status.code(), Some(78));
}
