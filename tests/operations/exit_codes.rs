use super::support::{Place, Server, noexd};

/// Exit code and standard error of a program that does not get to serve.
fn fails(args: &[&str]) -> (Option<i32>, String) {
    let output = noexd().args(["--port", "0"]).args(args).output().expect("run noexd");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn what_a_restart_does_not_mend() {
    let place = Place::new();
    let wrong = place.file("wrong.json", r#"{"heartbeat":{"intervalMs":-1}}"#);
    let dangling = place.path().join("dangling");
    std::os::unix::fs::symlink("/nonexistent/noexd", &dangling).expect("a link");
    #[cfg(feature = "sqlite")]
    let dangling = dangling.to_str().expect("UTF-8");
    let secret = place.file("secret.json", r#"{"auth":{"builtIn":true,"adminSecretFile":"/no"}}"#);
    for args in [
        &["--bogus"] as &[&str],
        &["--config", wrong.to_str().expect("UTF-8")],
        &["--check", "--config", wrong.to_str().expect("UTF-8")],
        &["--config", secret.to_str().expect("UTF-8")],
        &["--config", "/no/such/file"],
        &["backup", "--bogus"],
        #[cfg(feature = "sqlite")]
        &["--db", dangling],
    ] {
        let (code, err) = fails(args);
        assert_eq!(code, Some(78), "{args:?}: {err}");
    }
}

#[test]
fn a_role_of_new_users_that_does_not_exist_is_a_mistake_of_the_configuration() {
    let place = Place::new();
    let auth =
        r#"{"builtIn":true,"adminSecret":"not-so-secret","signup":{"roles":["writer","nope"]}}"#;
    let file = place.file("signup.json", &format!(r#"{{"auth":{auth}}}"#));
    let (code, err) = fails(&["--host", "127.0.0.1", "--config", file.to_str().expect("UTF-8")]);
    assert_eq!(code, Some(78), "{err}");
    let error = err.lines().find(|line| line.starts_with("Error: "));
    assert_eq!(error, Some("Error: auth.signup.roles: there is no role \"nope\""), "{err}");
}

#[test]
fn a_port_that_is_taken_may_be_free_later() {
    let server = Server::start("{}");
    let output = noexd().args(["--port", &server.port.to_string()]).output().expect("run noexd");
    let err = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{err}");
    assert!(err.contains("is in use"), "{err}");
}

#[cfg(feature = "sqlite")]
mod storage {
    use super::*;

    /// What the server would end with, the tools that work on its data do.
    #[test]
    fn tools_end_as_a_server_would() {
        let place = Place::new();
        let scratch = Place::new();
        let data = place.path().join("data").to_str().expect("UTF-8").to_owned();
        let copy = scratch.path().join("copy").to_str().expect("UTF-8").to_owned();
        let server = Server::start_with(place, "{}", |command| {
            command.args(["--data-dir", &data]);
        });
        let run = |args: &[&str]| {
            let output = noexd().args(args).output().expect("run noexd");
            (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
        };
        let (code, err) = run(&["backup", "--data-dir", &data, "--output", &copy]);
        assert_eq!(code, Some(0), "{err}");
        for args in [
            &["restore", "--data-dir", &data, &copy] as &[&str],
            &["import", "--data-dir", &data, "/dev/null"],
        ] {
            let (code, err) = run(args);
            let expected = "Error: dataDir: in use by another process\n";
            assert_eq!((code, err.as_str()), (Some(75), expected), "{args:?}");
        }
        let (code, err) = run(&["restore", "--data-dir", &data, "/no/such/backup"]);
        assert_eq!(
            (code, err.as_str()),
            (Some(78), "Error: Backup \"/no/such/backup\" not found\n")
        );
        drop(server);
        let file = scratch.file("none.sqlite", &"This is no database. ".repeat(400));
        let none = file.to_str().expect("UTF-8");
        for args in [&["export", "--db", none] as &[&str], &["import", "--db", none, "/dev/null"]] {
            let (code, err) = run(args);
            assert_eq!(code, Some(65), "{args:?}: {err}");
        }
        let (code, err) = run(&["import", "--data-dir", "/proc/noexd", "/dev/null"]);
        assert_eq!(code, Some(74), "{err}");
    }

    #[test]
    fn data_that_somebody_uses() {
        let place = Place::new();
        let data = place.path().join("data");
        let data = data.to_str().expect("UTF-8").to_owned();
        let server = Server::start_with(place, "{}", |command| {
            command.args(["--data-dir", &data]);
        });
        let (code, err) = fails(&["--data-dir", &data]);
        assert_eq!(code, Some(75), "{err}");
        drop(server);
    }

    #[test]
    fn data_that_is_none_of_ours() {
        let place = Place::new();
        let file = place.file("data.sqlite", &"This is no database. ".repeat(400));
        let (code, err) = fails(&["--db", file.to_str().expect("UTF-8")]);
        assert_eq!(code, Some(65), "{err}");
    }

    #[test]
    fn a_place_that_cannot_be_written() {
        let (code, err) = fails(&["--data-dir", "/proc/noexd"]);
        assert_eq!(code, Some(74), "{err}");
    }
}
