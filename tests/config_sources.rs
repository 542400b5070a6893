//! Where settings come from and how they meet: file, environment, flags, the
//! spellings of noex-server's tool; and what is said about mistakes.

use std::path::PathBuf;

use noexd::Config;
use noexd::config::command_line::{self, Command};
use noexd::config::{Auth, ConfigError, Resolved};

/// A file that is there while the test runs.
struct TempFile(PathBuf);

impl TempFile {
    fn new(text: &str) -> Self {
        use std::sync::atomic::{AtomicU32, Ordering};
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name =
            format!("noexd-{}-{}.json", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, text).expect("write the file");
        TempFile(path)
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).expect("remove the file");
    }
}

/// Loads file, environment and flags as the program does.
fn load(file: &str, env: Option<&str>, flags: &[&str]) -> Result<Resolved, Vec<String>> {
    let file = TempFile::new(file);
    let path = file.0.to_str().expect("a plain path");
    let args = ["--config", path].into_iter().chain(flags.iter().copied());
    let Ok(Command::Run(arguments)) = command_line::parse(args.map(Into::into)) else {
        panic!("{flags:?} is not a start");
    };
    let env = |name: &str| env.filter(|_| name == "NOEXD_ADMIN_SECRET").map(str::to_owned);
    command_line::load(&arguments, env)
        .map_err(|error: ConfigError| error.problems.iter().map(ToString::to_string).collect())
}

fn config(file: &str, flags: &[&str]) -> Config {
    load(file, None, flags).expect(file).config
}

fn problems(file: &str, flags: &[&str]) -> Vec<String> {
    load(file, None, flags).expect_err(file)
}

/// Problems other than that something is missing in this version.
fn real_problems(file: &str, env: Option<&str>, flags: &[&str]) -> Vec<String> {
    let problems = load(file, env, flags).err().unwrap_or_default();
    problems
        .into_iter()
        .filter(|text| !text.ends_with("is not available in this version"))
        .collect()
}

#[test]
fn the_environment_names_a_file_where_no_flag_does() {
    let (one, other) = (TempFile::new(r#"{"port":1}"#), TempFile::new(r#"{"port":2}"#));
    let path = |file: &TempFile| file.0.to_str().expect("a plain path").to_owned();
    let port = |args: &[String], named: &str| {
        let Ok(Command::Run(arguments)) = command_line::parse(args.iter().map(Into::into)) else {
            panic!("{args:?} is not a start");
        };
        let named = named.to_owned();
        let env = move |name: &str| (name == "NOEXD_CONFIG").then(|| named.clone());
        command_line::load(&arguments, env).map(|resolved| resolved.config.port)
    };
    assert_eq!(port(&[], &path(&one)), Ok(1));
    assert_eq!(port(&["--config".into(), path(&other)], &path(&one)), Ok(2));
    assert_eq!(port(&[], ""), Ok(Config::default().port));
    assert!(port(&[], "/nonexistent/noexd.json").is_err());
}

#[test]
fn null_makes_a_key_absent_and_no_key_of_what_is_none() {
    let file = r#"{"port":null,"heartbeat":{"intervalMs":null},"tls":null,"adminSecret":null,"persistence":null}"#;
    assert_eq!(config(file, &[]), Config::default());
    let file = r#"{"prot":null,"heartbeat":{"interval":null},"audit":{"file":{"path":"a","x":null}},"listen":[{"address":"127.0.0.1:1","tsl":null}]}"#;
    assert_eq!(
        problems(file, &[]),
        [
            "prot: unknown key (did you mean \"port\"?)",
            "heartbeat.interval: unknown key (did you mean \"intervalMs\"?)",
            "listen[0].tsl: unknown key (did you mean \"tls\"?)",
            "audit.file.x: unknown key",
        ]
    );
}

/// config.md 5.4, each over the file and below its flag.
#[test]
fn every_variable_overrides_the_file_and_no_flag() {
    let file = r#"{"listen":["127.0.0.1:1"],"dataDir":"/file","logFormat":"text",
        "metrics":{"token":"file-file-file"},"auth":{"builtIn":true,"adminSecret":"file-file-file"}}"#;
    let secret = r#""(secret)""#;
    for (name, text, key, flag, shown, flagged) in [
        (
            "NOEXD_LISTEN",
            "127.0.0.1:2, unix:/s",
            "listen",
            "--listen=127.0.0.1:3",
            r#"["127.0.0.1:2","unix:/s"]"#,
            r#"["127.0.0.1:3"]"#,
        ),
        ("NOEXD_DATA_DIR", "/env", "dataDir", "--data-dir=/flag", r#""/env""#, r#""/flag""#),
        (
            "NOEXD_LOG_FORMAT",
            "json",
            "logFormat",
            "--log-format=journal",
            r#""json""#,
            r#""journal""#,
        ),
        ("NOEXD_METRICS_TOKEN", "of-the-environment", "metrics.token", "", secret, secret),
        (
            "NOEXD_ADMIN_SECRET",
            "of-the-environment",
            "auth.adminSecret",
            "--admin-secret=of-the-flag",
            secret,
            secret,
        ),
    ] {
        let file = TempFile::new(file);
        let path = file.0.to_str().expect("a plain path");
        for (flags, expected) in [(vec![], shown), (vec![flag], flagged)] {
            let flags = flags.into_iter().filter(|flag| !flag.is_empty());
            let args = ["--config", path].into_iter().chain(flags);
            let Ok(Command::Run(arguments)) = command_line::parse(args.map(Into::into)) else {
                panic!("{flag} is not a start");
            };
            let env = |asked: &str| (asked == name).then(|| text.to_owned());
            let config = command_line::load(&arguments, env).expect(name).config;
            let printed: serde_json::Value = serde_json::from_str(&config.printed()).expect("JSON");
            let value = key.split('.').fold(&printed, |value, member| &value[member]);
            let expected: serde_json::Value = serde_json::from_str(expected).expect("JSON");
            assert_eq!(value, &expected, "{name} {flag}");
            if let Some(token) = config.metrics.as_ref().filter(|_| name == "NOEXD_METRICS_TOKEN") {
                assert_eq!(token.token.as_ref().map(|token| token.expose()), Some(text));
            }
        }
        assert!(command_line::help().contains(name), "{name} in --help");
        assert!(noexd::config::manual::man().contains(name), "{name} in the manual");
        assert!(noexd::config::docs::page().contains(name), "{name} in the page");
    }
}

#[test]
fn a_flag_overrides_the_file_and_only_its_own_key() {
    let file = r#"{"port":1,"name":"file","path":"/file","allowedOrigins":["https://a.example"],
        "shutdownGraceMs":5,"maxConnectionsPerIp":3,"exposeErrorDetails":true,"host":"::1"}"#;
    let plain = config(file, &[]);
    assert_eq!((plain.port, &*plain.name, &*plain.path), (1, "file", "/file"));
    let flags = [
        "-p",
        "0",
        "--name=flag",
        "-H127.0.0.2",
        "--allowed-origins",
        " b ,, c",
        "--shutdown-grace",
        "7",
        "--no-error-details",
    ];
    let mixed = config(file, &flags);
    let expected = Config {
        port: 0,
        name: "flag".into(),
        host: Some("127.0.0.2".into()),
        allowed_origins: Some(vec!["b".into(), "c".into()]),
        shutdown_grace_ms: 7,
        expose_error_details: false,
        ..plain
    };
    assert_eq!(mixed, expected);
}

#[test]
fn flags_are_checked_like_the_file() {
    for (flags, text) in [
        (["--port", "abc"], "Invalid port: abc (must be integer 0-65535)"),
        (["--port", "-1"], "Invalid port: -1 (must be integer 0-65535)"),
        (["--port", "65536"], "Invalid port: 65536 (must be integer 0-65535)"),
        (["--port", ""], "Invalid port:  (must be integer 0-65535)"),
        // Nobody who writes a flag has put quotes around it.
        (["--port", "+80"], "Invalid port: +80 (must be integer 0-65535)"),
        (
            ["--max-connections-per-ip", "abc"],
            "--max-connections-per-ip: expected integer >= 1, got \"abc\"",
        ),
        (
            ["--max-connections-per-ip", "0"],
            "--max-connections-per-ip: expected integer >= 1, got 0",
        ),
        (["--shutdown-grace", "1h"], "--shutdown-grace: expected integer >= 0, got \"1h\""),
        (["--name", ""], "--name: expected string of 1 to 128 characters, got \"\""),
        (
            ["--durability", "often"],
            "--durability: expected \"always\", \"interval\" or \"none\", got \"often\"",
        ),
        (
            ["--persistence", "redis"],
            "Unknown persistence type: redis (must be memory, file, or sqlite)",
        ),
        (
            ["--path", "ws"],
            "--path: expected a path that begins with \"/\", in printable ASCII without space, \"?\" or \"#\", got \"ws\"",
        ),
    ] {
        assert_eq!(problems("{}", &flags), [text], "{flags:?}");
    }
}

#[test]
fn all_problems_of_all_sources_at_once() {
    let file = r#"{"heartbeat":{"intervalMs":"fast","interval":1},"allowedOrigin":[],"name":"a","name":"b",
        "rateLimit":{"maxRequests":0}}"#;
    assert_eq!(
        problems(file, &["--port", "x"]),
        [
            "name: duplicate key",
            "heartbeat.intervalMs: expected integer >= 0, got \"fast\"",
            "heartbeat.interval: unknown key (did you mean \"intervalMs\"?)",
            "allowedOrigin: unknown key (did you mean \"allowedOrigins\"?)",
            "rateLimit.maxRequests: expected integer 1 to 1000000, got 0",
            "Invalid port: x (must be integer 0-65535)",
            "rateLimit.windowMs: required",
        ]
    );
}

#[test]
fn duplicate_keys_are_found_at_every_depth_and_tokens_are_not_shown() {
    let file = r#"{"buckets":{"b":{"key":"id","schema":{"id":{"type":"string","type":"string"}}}},
        "auth":{"tokens":{"hunter2":{"userId":"a"},"hunter2":{"userId":"a","userId":"b"}}},
        "allowedOrigins":[],"allowedOrigins":[]}"#;
    let problems = real_problems(file, None, &[]);
    assert_eq!(
        problems,
        [
            "buckets.b.schema.id.type: duplicate key",
            "auth.tokens[1]: duplicate key",
            "auth.tokens[1].userId: duplicate key",
            "allowedOrigins: duplicate key",
        ]
    );
}

#[test]
fn text_that_is_no_json_is_shown_by_line_and_column() {
    for (file, text) in [
        ("{\n  \"port\": 1,\n}", "line 3, column 1: expected a member name"),
        ("{\"é\": nul}", "line 1, column 7: expected a value"),
        ("[]", "expected object, got array"),
        ("null", "expected object, got null"),
        ("{\"a\":\"\\ud800\"}", "line 1, column 7: lone surrogate escape"),
        ("// x\n{}", "line 1, column 1: expected a value"),
    ] {
        let problems = problems(file, &[]);
        let [problem] = problems.as_slice() else { panic!("{problems:?}") };
        assert!(problem.starts_with("Error loading config file: "), "{problem}");
        assert!(problem.ends_with(&format!(": {text}")), "{problem}");
    }
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(200), "]".repeat(200));
    assert!(problems(&deep, &[])[0].ends_with("nested too deeply (max 128 levels)"));
}

#[test]
fn a_section_keeps_the_defaults_of_what_it_does_not_say() {
    let config = config(
        r#"{"heartbeat":{"intervalMs":5000},"backpressure":{"highWaterMark":0.5},
            "connectionLimits":{"maxTotalSubscriptions":7},"store":{"coalescePushes":true}}"#,
        &[],
    );
    assert_eq!((config.heartbeat.interval_ms, config.heartbeat.timeout_ms), (5_000, 10_000));
    assert_eq!(config.backpressure.max_buffered_bytes, 1_048_576);
    assert_eq!(config.connection_limits.max_subscriptions_per_connection, 100);
    assert_eq!((config.store.first_push_delay_ms, config.store.coalesce_pushes), (10, true));
}

/// The admin secret that a start would use, or the problems.
fn secret(file: &str, env: Option<&str>, flags: &[&str]) -> Result<String, Vec<String>> {
    use noexd::config::command_line::load as load_all;
    let problems = real_problems(file, env, flags);
    if !problems.is_empty() {
        return Err(problems);
    }
    let temp = TempFile::new(file);
    let path = temp.0.to_str().expect("a plain path");
    let args = ["--config", path].into_iter().chain(flags.iter().copied());
    let Ok(Command::Run(arguments)) = command_line::parse(args.map(Into::into)) else { panic!() };
    let get = |name: &str| env.filter(|_| name == "NOEXD_ADMIN_SECRET").map(str::to_owned);
    match load_all(&arguments, get).map_err(|error| vec![error.to_string()])?.config.auth {
        Some(Auth::BuiltIn(auth)) => Ok(match auth.admin_secret_file {
            Some(path) => format!("file {}", path.display()),
            None => auth.admin_secret.expose().to_owned(),
        }),
        Some(Auth::External(_)) => Ok("external".into()),
        None => Ok("none".into()),
    }
}

#[test]
fn the_admin_secret_flag_over_environment_over_file() {
    let built_in = r#"{"auth":{"builtIn":true,"adminSecret":"from-the-file-0"}}"#;
    let from_file = r#"{"auth":{"builtIn":true,"adminSecretFile":"/f"}}"#;
    let flag: &[&str] = &["--admin-secret", "from-the-flag-0"];
    let file_flag: &[&str] = &["--admin-secret-file", "/flag"];
    let short: &[&str] = &["--auth"];
    let required = "--admin-secret is required when --auth is enabled\n  better use --admin-secret-file FILE, auth.adminSecretFile or NOEXD_ADMIN_SECRET: others see a flag";
    let tokens = r#"{"auth":{"tokens":{}}}"#;
    for (file, env, flags, expected) in [
        (built_in, None, &[] as &[&str], Ok("from-the-file-0")),
        (built_in, Some("from-the-env"), &[], Ok("from-the-env")),
        (built_in, Some("from-the-env"), flag, Ok("from-the-flag-0")),
        (built_in, Some("from-the-env"), file_flag, Ok("file /flag")),
        (from_file, None, &[], Ok("file /f")),
        (from_file, Some("from-the-env"), &[], Ok("from-the-env")),
        (from_file, None, flag, Ok("from-the-flag-0")),
        (r#"{"auth":{"builtIn":true}}"#, Some("from-the-env"), &[], Ok("from-the-env")),
        (
            r#"{"auth":{"builtIn":true}}"#,
            Some(""),
            &[],
            Err("auth.adminSecret: required (or adminSecretFile, or NOEXD_ADMIN_SECRET)"),
        ),
        ("{}", Some("from-the-env"), &[], Ok("none")),
        ("{}", None, flag, Ok("none")),
        ("{}", None, short, Err(required)),
        ("{}", Some("from-the-env"), short, Ok("from-the-env")),
        (r#"{"adminSecret":"from-the-top"}"#, None, short, Ok("from-the-top")),
        (built_in, None, short, Ok("from-the-file-0")),
        (r#"{"auth":false}"#, Some("from-the-env"), short, Ok("from-the-env")),
        (tokens, Some("from-the-env"), &[], Ok("external")),
        (
            tokens,
            Some("from-the-env"),
            short,
            Err("--auth: the configuration file sets up external tokens instead"),
        ),
        (r#"{"auth":true,"adminSecret":"a","auth":true}"#, None, &[], Err("auth: duplicate key")),
        (
            r#"{"adminSecret":"a","auth":{"builtIn":true,"adminSecret":"b"}}"#,
            None,
            &[],
            Err("adminSecret: given twice: here and as auth.adminSecret"),
        ),
        (
            r#"{"adminSecret":5,"auth":true}"#,
            None,
            &[],
            Err("adminSecret: expected non-empty string"),
        ),
    ] {
        let expected = expected.map(str::to_owned).map_err(|text| vec![text.to_owned()]);
        assert_eq!(secret(file, env, flags), expected, "{file} {env:?} {flags:?}");
    }
}

#[test]
fn the_spellings_of_noex_servers_tool() {
    // What noex-server's tool takes, row by row.
    let required = "--admin-secret is required when --auth is enabled\n  better use --admin-secret-file FILE, auth.adminSecretFile or NOEXD_ADMIN_SECRET: others see a flag";
    assert_eq!(secret(r#"{"auth":true}"#, None, &[]), Err(vec![required.to_owned()]));
    let found = secret(r#"{"auth":true,"adminSecret":"0123456789abcdef"}"#, None, &[]);
    assert_eq!(found.as_deref(), Ok("0123456789abcdef"));
    for file in [r#"{"auth":false,"adminSecret":"x"}"#, r#"{"adminSecret":"x"}"#] {
        let Resolved { config, warnings } = load(file, None, &[]).expect(file);
        assert_eq!(config.auth, None);
        assert_eq!(warnings, ["the admin secret is unused: auth is not switched on"]);
    }
    for (file, flags, dir, db) in [
        (r#"{"persistence":"memory"}"#, &[] as &[&str], None, None),
        (r#"{"persistence":"memory","dataDir":"d","db":"f"}"#, &[], None, None),
        (r#"{"persistence":"file"}"#, &[], Some("./data"), None),
        (r#"{"persistence":"file","dataDir":"d","db":"f"}"#, &[], Some("d"), None),
        (r#"{"persistence":"sqlite"}"#, &[], None, Some("./noex.db")),
        (r#"{"persistence":"sqlite","db":"f"}"#, &[], None, Some("f")),
        (r#"{"persistence":"sqlite","dataDir":"d"}"#, &[], None, Some("./noex.db")),
        ("{}", &["--persistence", "file"], Some("./data"), None),
        ("{}", &["--persistence", "file", "--data-dir", "x"], Some("x"), None),
        ("{}", &["--persistence", "sqlite", "--db", "x"], None, Some("x")),
        ("{}", &["--persistence", "memory", "--data-dir", "x"], None, None),
        (r#"{"dataDir":"d"}"#, &["--persistence", "memory"], None, None),
        // A flag knows better than the file.
        (r#"{"persistence":"memory"}"#, &["--data-dir", "x"], Some("x"), None),
        (r#"{"dataDir":"d"}"#, &["--data-dir", "x"], Some("x"), None),
        ("{}", &["--db", "x"], None, Some("x")),
    ] {
        let kept = config(file, flags).persistence;
        let found = (kept.data_dir, kept.db);
        assert_eq!(found, (dir.map(PathBuf::from), db.map(PathBuf::from)), "{file} {flags:?}");
    }
    for (file, kind) in [(r#"{"persistence":"redis"}"#, "redis"), (r#"{"persistence":5}"#, "5")] {
        let text = format!("Unknown persistence type: {kind} (must be memory, file, or sqlite)");
        assert_eq!(problems(file, &[]), [text]);
    }
}

#[test]
fn the_host_is_open_only_with_authentication() {
    assert_eq!(Config::default().bind_host(), "127.0.0.1");
    let auth = Some(Auth::External(Default::default()));
    assert_eq!(Config { auth: auth.clone(), ..Config::default() }.bind_host(), "0.0.0.0");
    let host = Some("10.1.2.3".to_owned());
    assert_eq!(Config { auth, host, ..Config::default() }.bind_host(), "10.1.2.3");
}

#[test]
fn what_is_seldom_meant_is_said() {
    let said = |file: &str| config(file, &[]).oddities().join("\n");
    assert_eq!(said("{}"), "");
    assert_eq!(said(r#"{"host":"localhost"}"#), "");
    assert_eq!(said(r#"{"host":"127.0.0.3"}"#), "");
    let open = said(r#"{"host":"0.0.0.0"}"#);
    assert!(open.contains("auth is not configured") && open.contains("rateLimit is not"), "{open}");
    let limited = said(r#"{"host":"::","rateLimit":{"maxRequests":1,"windowMs":1}}"#);
    assert!(limited.contains("auth is not") && !limited.contains("rateLimit"), "{limited}");
    for (origin, odd) in [
        ("https://a.example", false),
        ("http://localhost:3000", false),
        ("null", false),
        ("https://a.example/", true),
        ("https://a.example/app", true),
        ("https://A.example", true),
        ("https://a.example:443", true),
        ("http://a.example:80", true),
        ("a.example", true),
    ] {
        let file = format!(r#"{{"allowedOrigins":["{origin}"]}}"#);
        assert_eq!(!said(&file).is_empty(), odd, "{origin}");
    }
    let jwt = r#""host":"::1","auth":{"jwt":{"algorithms":["HS256"],"secret":"0123456789abcdef0123456789abcdef""#;
    for (rest, odd) in [
        ("}}", true),
        (r#","defaultRoles":["billing"]}}"#, true),
        (r#","defaultRoles":["reader"]}}"#, false),
        (r#"},"customRoleTier":"none"}"#, false),
        (r#"},"permissions":{}}"#, false),
    ] {
        let file = format!("{{{jwt}{rest}}}");
        assert_eq!(said(&file).contains("auth.jwt.defaultRoles"), odd, "{file}");
    }
    let warnings = |file: &str| load(file, None, &[]).expect(file).warnings.join("\n");
    assert!(warnings(r#"{"durability":"none"}"#).contains("durability is ignored"));
    assert!(warnings(r#"{"revocation":{}}"#).contains("no effect without auth"));
}

#[test]
fn secrets_are_shown_nowhere() {
    let file = r#"{"auth":{"builtIn":5,"adminSecret":["hunter2"],"tokens":{"hunter2":{"userId":7}},
        "jwt":{"algorithms":["HS256"],"secret":"hunter2","secretFile":{}}},
        "metrics":{"token":["hunter2"]},"adminSecret":{"hunter2":1}}"#;
    let problems = problems(file, &[]);
    assert!(problems.len() >= 5, "{problems:?}");
    assert!(!problems.concat().contains("hunter2"), "{problems:?}");
    let config = Config {
        auth: Some(Auth::BuiltIn(noexd::config::BuiltIn::new("hunter2"))),
        ..Config::default()
    };
    assert!(!format!("{config:?}").contains("hunter2"));
    assert!(!config.summary().contains("hunter2"), "{}", config.summary());
}

#[test]
fn a_configuration_made_in_code_is_checked_like_a_file() {
    assert_eq!(Config::default().check(), Ok(()));
    let mut config = Config { max_json_depth: 4, path: "ws".into(), ..Config::default() };
    config.heartbeat.interval_ms = 5;
    config.backpressure.high_water_mark = f64::NAN;
    let problems = config.check().expect_err("four mistakes").problems;
    let places: Vec<&str> = problems.iter().map(|problem| &*problem.at).collect();
    assert_eq!(
        places,
        ["path", "maxJsonDepth", "heartbeat.intervalMs", "backpressure.highWaterMark"]
    );
}

#[test]
fn built_in_users_keep_their_buckets_to_themselves() {
    let file = |auth: &str| {
        format!(
            r#"{{{auth}"buckets":{{"_a":{{"key":"id","schema":{{"id":{{"type":"string"}}}}}},
                "b":{{"key":"id","schema":{{"id":{{"type":"string"}},
                    "u":{{"type":"string","ref":"_users"}},
                    "o":{{"type":"object","properties":{{"l":{{"type":"array",
                        "items":{{"type":"string","ref":"_roles"}}}}}}}}}}}}}},
                "queries":{{"_q":{{"bucket":"b"}}}}}}"#
        )
    };
    let built_in = file(r#""auth":{"builtIn":true,"adminSecret":"long enough a secret"},"#);
    assert_eq!(
        problems(&built_in, &[]),
        [
            "buckets._a: names that begin with \"_\" belong to the system with built-in users",
            "buckets.b.schema.u.ref: Cannot access system bucket \"_users\" directly",
            "buckets.b.schema.o.properties.l.items.ref: \
             Cannot access system bucket \"_roles\" directly",
            "queries._q: names that begin with \"_\" belong to the system with built-in users",
        ]
    );
    // Without them the names are like any other.
    config(&file(""), &[]);
}
