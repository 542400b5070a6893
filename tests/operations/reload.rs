//! What an operator is told of configurations, and how one asks a server.

use super::support::{Place, Server, noexd};

#[test]
fn a_reload_says_what_it_read_and_what_it_could_not_follow() {
    let place = Place::new();
    let path = place.path().to_owned();
    let audit = path.join("audit.log");
    let config = |grace: u32| {
        format!(
            r#"{{"shutdownGraceMs":{grace},"auth":{{"tokens":{{}}}},"audit":{{"file":{:?}}}}}"#,
            audit.display().to_string()
        )
    };
    let mut server = Server::start_with(place, &config(0), |_| {});
    std::fs::write(path.join("noexd.json"), config(5)).expect("a configuration");
    server.signal("HUP");
    server.lines_with([
        "reload: keys that stand in files are read again",
        "reload: audit.file opened again",
        "the configuration has changed in shutdownGraceMs: that needs a restart",
    ]);
    std::fs::write(path.join("noexd.json"), "{").expect("a configuration");
    server.signal("HUP");
    server.line_with("the configuration would not be accepted any more: ");
    assert_eq!(server.get("/readyz").0, 200);
}

/// operations.md 6: each kind of file has its series.
#[test]
fn reloads_are_counted_by_what_was_read_and_how_that_went() {
    let place = Place::new();
    let path = place.path().to_owned();
    let (secret, logs) = (place.file("secret", "a-secret-of-many-letters"), path.join("logs"));
    std::fs::create_dir(&logs).expect("a directory");
    let config = format!(
        r#"{{"host":"127.0.0.1","metrics":true,"auth":{{"builtIn":true,"adminSecretFile":{:?}}},"audit":{{"file":{:?}}}}}"#,
        secret.display().to_string(),
        logs.join("audit.jsonl").display().to_string()
    );
    let mut server = Server::start_with(place, &config, |_| {});
    let series = |server: &Server| {
        let (_, text) = server.get("/metrics");
        let mine = text.lines().filter(|line| line.starts_with("noexd_reloads_total{"));
        let mut mine: Vec<String> = mine.map(str::to_owned).collect();
        mine.sort();
        mine
    };
    // The audit file's thread says when it is done, and the loop counts that.
    let counted = |server: &Server, expected: &[&str]| {
        let expected: Vec<String> = expected
            .iter()
            .map(|series| {
                let (what, rest) = series.split_once(' ').expect("three words");
                let (result, count) = rest.split_once(' ').expect("three words");
                format!("noexd_reloads_total{{what=\"{what}\",result=\"{result}\"}} {count}")
            })
            .collect();
        let (mut seen, began) = (series(server), std::time::Instant::now());
        while seen != expected && began.elapsed().as_secs() < 60 {
            seen = series(server);
        }
        assert_eq!(seen, expected);
    };
    assert_eq!(series(&server), [""; 0]);
    server.signal("HUP");
    server.lines_with([
        "reload: secrets that stand in files are read again",
        "reload: audit.file opened again",
    ]);
    counted(&server, &["audit ok 1", "secret ok 1"]);
    std::fs::write(&secret, "").expect("an empty file");
    std::fs::rename(&logs, path.join("moved")).expect("moved");
    server.signal("HUP");
    let [_, line] = server.lines_with(["the file is empty; the old keys stay", "audit.file"]);
    assert!(line.contains("cannot be opened anew: "), "{line}");
    counted(&server, &["audit failed 1", "audit ok 1", "secret failed 1", "secret ok 1"]);
}

#[test]
fn healthcheck_tells_by_its_exit_code() {
    let server = Server::start(r#"{"shutdownDelayMs":600000}"#);
    let run = |args: &[&str]| {
        let output = noexd().arg("healthcheck").args(args).output().expect("run noexd");
        let out = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.code(), out, String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (port, url) = (server.port.to_string(), format!("http://127.0.0.1:{}", server.port));
    assert_eq!(run(&["--port", &port]), (Some(0), "ready\n".into(), String::new()));
    assert_eq!(run(&["--url", &url]).0, Some(0));
    server.signal("TERM");
    while server.get("/readyz").0 == 200 {}
    let (code, out, err) = run(&["--port", &port]);
    assert_eq!((code, &*out, &*err), (Some(1), "", "Error: 503 not ready: draining\n"));
    drop(server);
    assert_eq!(run(&["--port", &port]).0, Some(1));
    assert_eq!(run(&["--url", "nonsense"]).0, Some(78));
    assert_eq!(run(&["--bogus"]).0, Some(78));
}

#[test]
fn check_looks_at_what_a_start_would_need() {
    let place = Place::new();
    for (config, code, said) in [
        (
            r#"{"auth":{"builtIn":true,"adminSecretFile":"/no/such"}}"#,
            78,
            "Error: auth.adminSecretFile: /no/such: ",
        ),
        (r#"{"queries":{"s":{"filter":{}}}}"#, 78, "Error: queries.s.bucket: required"),
        (r#"{"port":"8080"}"#, 78, "without quotes"),
        (r#"{"auth":true}"#, 78, "NOEXD_ADMIN_SECRET"),
        (
            r#"{"heartbeat":{"intervalMs":1000,"timeoutMs":5000}}"#,
            0,
            "Warning: heartbeat.timeoutMs: 5000 is longer than intervalMs (1000)",
        ),
        // Who changes the interval alone has not chosen the timeout.
        (r#"{"heartbeat":{"intervalMs":1000}}"#, 0, ""),
    ] {
        let file = place.file("noexd.json", config);
        let output = noexd().args(["--check", "--config"]).arg(file).output().expect("run noexd");
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{config}: {err}");
        assert!(err.contains(said) && (!said.is_empty() || err.is_empty()), "{config}: {err}");
    }
}
