//! Every key of the configuration file: its default, its smallest and largest
//! value, just outside, the wrong type, `null`.

mod forms;

use forms::FORMS;
use noexd::Config;
use noexd::config::{Options, Resolved, docs};

/// Reads a file with this text, without environment and flags.
fn read(text: &str) -> Result<Resolved, Vec<String>> {
    let mut options = Options::new();
    let problems = |error: noexd::config::ConfigError| {
        error.problems.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    options.read_file(text).map_err(problems)?;
    options.resolve().map_err(problems)
}

/// A file that sets `path` to `value`, with what its section cannot do without.
fn file(path: &str, value: &str) -> String {
    let siblings: &[(&str, &str)] = match path {
        "rateLimit.maxRequests" => &[("rateLimit.windowMs", "1000")],
        "rateLimit.windowMs" => &[("rateLimit.maxRequests", "10")],
        // A message that may be sent must have room.
        "limits.maxInputBytes" => &[("maxPayloadBytes", "1")],
        "tls.cert" => &[("tls.key", "\"k\"")],
        "tls.key" => &[("tls.cert", "\"c\"")],
        "tls.clientCa" => &[("tls.key", "\"k\""), ("tls.cert", "\"c\"")],
        "tls.minVersion" => &[("tls.key", "\"k\""), ("tls.cert", "\"c\"")],
        "auth.adminSecret" => &[("auth.builtIn", "true")],
        "auth.adminSecretFile" => &[("auth.builtIn", "true")],
        "auth.builtIn" => &[("auth.adminSecret", "\"0123456789abcdef\"")],
        "auth.sessionTtl"
        | "auth.passwordMinLength"
        | "auth.maxSessionsPerUser"
        | "auth.loginRateLimit.scope"
        | "auth.signup"
        | "auth.signup.roles"
        | "auth.signup.rateLimit"
        | "auth.signup.rateLimit.maxAttempts"
        | "auth.signup.rateLimit.windowMs"
        | "auth.signup.requireEmail" => {
            &[("auth.builtIn", "true"), ("auth.adminSecret", "\"0123456789abcdef\"")]
        }
        "auth.tokens" => &[],
        _ if path.starts_with("auth.") => &[("auth.tokens", "{}")],
        _ => &[],
    };
    let mut root = serde_json::json!({});
    for (path, value) in siblings.iter().chain([&(path, value)]) {
        let value: serde_json::Value = serde_json::from_str(value).expect("the test's own JSON");
        let mut at = &mut root;
        for name in path.split('.') {
            at = &mut at[name];
        }
        *at = value;
    }
    root.to_string()
}

/// What this version lacks is not what these tests are about.
fn beyond_availability(problems: Vec<String>) -> Vec<String> {
    problems
        .into_iter()
        .filter(|text| !text.ends_with("is not available in this version"))
        .collect()
}

fn accepted(path: &str, value: &str) {
    match read(&file(path, value)) {
        Ok(resolved) => prints_what_loads(&resolved, &format!("{path} = {value}")),
        Err(problems) => {
            let problems = beyond_availability(problems);
            assert!(problems.is_empty(), "{path} = {value}: {problems:?}");
        }
    }
}

/// What `--print-config` says of it is the same configuration, but for secrets.
fn prints_what_loads(resolved: &Resolved, what: &str) {
    let printed = resolved.config.printed();
    let again = read(&printed).unwrap_or_else(|problems| panic!("{what}: {problems:?}"));
    assert_eq!(again.config.printed(), printed, "{what}");
    if again.config.placeholders().is_empty() {
        // What is printed of the host is the one that it comes to.
        let mut same = resolved.config.clone();
        same.host = again.config.host.clone();
        // And of the input the number that it comes to.
        let input = same.max_payload_bytes.max(256 << 20);
        same.limits.max_input_bytes = same.limits.max_input_bytes.or(Some(input));
        let mut one_listener = again.config.clone();
        // These are for storage alone.
        if !same.persistence.is_enabled() {
            let persistence = &mut one_listener.persistence;
            persistence.durability = same.persistence.durability;
            persistence.durability_interval_ms = same.persistence.durability_interval_ms;
        }
        if same.auth.is_none() {
            one_listener.revocation = same.revocation.clone();
        }
        assert_eq!(one_listener, same, "{what}");
        assert!(again.warnings.is_empty(), "{what}: {:?}", again.warnings);
    }
}

fn refused(path: &str, value: &str, text: &str) {
    let problems = match read(&file(path, value)) {
        Ok(_) => panic!("{path} = {value} was accepted"),
        Err(problems) => beyond_availability(problems),
    };
    assert_eq!(problems, [text.replace("{path}", path)], "{path} = {value}");
}

/// Keys with whole numbers: path, smallest, largest, whether 0 is allowed
/// beside that. 2^53 - 1 is as good as no limit.
const NO_LIMIT: u64 = (1 << 53) - 1;
const INTEGERS: &[(&str, u64, u64, bool)] = &[
    ("maxPayloadBytes", 1, 1 << 30, false),
    ("maxJsonDepth", 8, 1024, false),
    ("handshakeTimeoutMs", 100, 600_000, false),
    ("closeTimeoutMs", 0, 60_000, false),
    ("shutdownGraceMs", 0, 3_600_000, false),
    ("shutdownDelayMs", 0, 600_000, false),
    ("reconnectsPerSecond", 1, 1_000_000, false),
    ("maxConnections", 1, NO_LIMIT, false),
    ("maxConnectionsPerIp", 1, NO_LIMIT, false),
    ("perIpProbeMs", 100, 10_000, true),
    ("connectionLimits.maxSubscriptionsPerConnection", 0, NO_LIMIT, false),
    ("connectionLimits.maxTotalSubscriptions", 0, NO_LIMIT, false),
    ("rateLimit.maxRequests", 1, 1_000_000, false),
    ("rateLimit.windowMs", 1, 86_400_000, false),
    ("limits.requestSteps", 10_000, 1_000_000_000_000, true),
    ("limits.maxReplyBytes", 65_536, 1 << 30, false),
    ("store.historyBytes", 1 << 20, 1 << 36, false),
    ("limits.maxOutputBytes", 1 << 20, 1 << 40, false),
    ("limits.maxInputBytes", 1, 1 << 40, false),
    ("limits.expiryBatch", 1, 1_000_000, false),
    ("limits.viewSteps", 1_000, 1_000_000_000_000, true),
    ("limits.costlyViewMs", 10, 60_000, false),
    ("heartbeat.intervalMs", 10, 86_400_000, true),
    ("heartbeat.timeoutMs", 1, 86_400_000, false),
    ("backpressure.maxBufferedBytes", 1, 1 << 30, false),
    ("auth.sessionTtl", 1, NO_LIMIT, false),
    ("auth.passwordMinLength", 1, 1024, false),
    ("auth.maxSessionsPerUser", 1, NO_LIMIT, false),
    ("auth.loginRateLimit.maxAttempts", 1, NO_LIMIT, false),
    ("auth.loginRateLimit.windowMs", 1, NO_LIMIT, false),
    ("auth.signup.rateLimit.maxAttempts", 1, 1_000_000, false),
    ("auth.signup.rateLimit.windowMs", 1, 86_400_000, false),
    ("revocation.blacklistTtlMs", 0, 31_536_000_000, false),
    ("store.firstPushDelayMs", 0, 10_000, false),
    ("store.ttlCheckIntervalMs", 10, 86_400_000, true),
    ("durabilityIntervalMs", 1, 60_000, false),
    ("continuity.ringBytes", 0, 1 << 30, false),
    ("continuity.maxResumeKeys", 0, 1_000_000, false),
    ("continuity.maxSessions", 0, 10_000_000, false),
    ("continuity.maxSessionsPerUser", 1, 1_000_000, false),
    ("continuity.keepMs", 10_000, 86_400_000, false),
    ("continuity.maxBytes", 1 << 20, 1 << 34, false),
    ("continuity.maxAnswerBytes", 0, 1 << 20, false),
    ("continuity.maxPresencePerOwner", 0, 100_000, false),
    ("continuity.maxWindowRows", 1, 1_000_000, false),
    ("rules.maxForwardDepth", 1, NO_LIMIT, false),
    ("rules.maxCascadeEvents", 1, NO_LIMIT, false),
    ("procedures.maxSteps", 1, NO_LIMIT, false),
    ("procedures.maxConditionDepth", 0, NO_LIMIT, false),
    ("logic.maxDefinitions", 1, NO_LIMIT, false),
    ("logic.maxExprDepth", 1, NO_LIMIT, false),
    ("logic.maxExprNodes", 1, NO_LIMIT, false),
    ("logic.maxViewRows", 1, NO_LIMIT, false),
    ("audit.maxEntries", 1, 10_000_000, false),
];

#[test]
fn whole_numbers_and_their_limits() {
    for &(path, min, max, zero) in INTEGERS {
        accepted(path, &min.to_string());
        accepted(path, &format!("{min}.0"));
        accepted(path, &max.to_string());
        let least = if zero { 0 } else { min };
        for (value, shown) in [
            ("-1", "-1"),
            ("\"5\"", "\"5\""),
            ("1.5", "1.5"),
            ("true", "true"),
            ("[1]", "array"),
            ("{}", "object"),
        ] {
            refused(path, value, &format!("{{path}}: expected integer >= {least}, got {shown}"));
        }
        let mut outside = Vec::new();
        if max < NO_LIMIT {
            outside.push(max + 1);
        }
        if zero {
            accepted(path, "0");
            outside.push(1);
        }
        if min > 0 {
            outside.push(min - 1);
        }
        for value in outside.into_iter().filter(|value| !(zero && *value == 0)) {
            let problems = read(&file(path, &value.to_string())).expect_err(path);
            let problems = beyond_availability(problems);
            let [problem] = problems.as_slice() else { panic!("{path}: {problems:?}") };
            assert!(problem.starts_with(&format!("{path}: expected ")), "{problem}");
            assert!(problem.ends_with(&format!(", got {value}")), "{problem}");
            assert!(problem.contains(&min.to_string()), "{problem}");
        }
    }
}

/// Keys that are true or false.
const BOOLEANS: &[&str] = &[
    "shutdownSpread",
    "exposeErrorDetails",
    "auth.required",
    "auth.signup.requireEmail",
    "store.coalescePushes",
    "store.adHocQueries",
    "rules.chainFacts",
    "audit.auth",
];

#[test]
fn booleans() {
    for path in BOOLEANS {
        accepted(path, "true");
        accepted(path, "false");
        for (value, shown) in
            [("1", "1"), ("\"true\"", "\"true\""), ("[]", "array"), ("{}", "object")]
        {
            refused(path, value, &format!("{{path}}: expected boolean, got {shown}"));
        }
    }
}

/// Keys whose value is one of a few words, the default first.
const CHOICES: &[(&str, &[&str])] = &[
    ("durability", &["always", "interval", "none"]),
    ("walCheckpoint", &["auto", "external"]),
    ("tls.minVersion", &["1.2", "1.3"]),
    ("auth.permissions.default", &["allow", "deny"]),
    ("auth.loginRateLimit.scope", &["separate", "pair"]),
    ("auth.customRoleTier", &["none", "read", "write", "admin"]),
];

#[test]
fn choices() {
    for (path, words) in CHOICES {
        for word in *words {
            accepted(path, &format!("\"{word}\""));
        }
        for (value, shown) in [("\"ALWAYS\"", "\"ALWAYS\""), ("1", "1"), ("true", "true")] {
            let problems = beyond_availability(read(&file(path, value)).expect_err(path));
            let [problem] = problems.as_slice() else { panic!("{path}: {problems:?}") };
            assert!(
                problem.starts_with(&format!("{path}: expected \"{}\"", words[0])),
                "{problem}"
            );
            assert!(problem.ends_with(&format!(", got {shown}")), "{problem}");
        }
    }
}

#[test]
fn everything_else() {
    for (path, good, bad) in FORMS {
        for value in *good {
            accepted(path, value);
        }
        for (value, text) in *bad {
            refused(path, value, text);
        }
    }
}

#[test]
fn every_key_is_printed() {
    let texts = [
        r#"{"auth":{"builtIn":true,"adminSecret":"s","signup":{}},"console":true,"metrics":true,"http":true,
            "audit":true,"dataDir":"d","rateLimit":{"maxRequests":1,"windowMs":1}}"#,
        r#"{"auth":{"tokens":{},"permissions":{},"loginRateLimit":{}},"listen":["127.0.0.1:1"]}"#,
        r#"{"tls":{"cert":"c","key":"k"}}"#,
    ];
    let readable = |text: &&str| {
        let problems = read(text).err().unwrap_or_default();
        // A feature that this build is without.
        let lacks = problems.iter().all(|text| text.ends_with("is not available in this version"));
        assert!(lacks, "{problems:?}");
        problems.is_empty()
    };
    let texts: Vec<&str> = texts.into_iter().filter(readable).collect();
    let printed: Vec<serde_json::Value> = texts
        .iter()
        .map(|text| serde_json::from_str(&read(text).expect(text).config.printed()).expect(text))
        .collect();
    let is_printed = |path: &str| {
        let pointer = format!("/{}", path.replace('.', "/"));
        printed.iter().any(|printed| printed.pointer(&pointer).is_some())
    };
    for path in tested() {
        // Only in builds that have the feature.
        let is_lacking = path.starts_with("tls.") && !cfg!(feature = "tls")
            || path.starts_with("console.") && !cfg!(feature = "console");
        assert!(is_printed(path) || is_lacking, "{path} is not printed");
    }
}

#[test]
fn secrets_are_not_printed() {
    let text = r#"{"auth":{"tokens":{"hunter-1":{"userId":"a"},"hunter-2":{"userId":"b"},
        "sha256:5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8":{"userId":"c"}},
        "jwt":{"algorithms":["HS256"],"keys":[{"alg":"HS256","secret":"hunter-3"},
            {"alg":"HS256","secretBase64":"aHVudGVyLTQ="},{"alg":"HS256","secretFile":"f"}]}},
        "metrics":{"token":"hunter-5"}}"#;
    let config = read(text).expect(text).config;
    assert!(config.placeholders().is_empty());
    let printed = config.printed();
    assert!(!printed.contains("hunter") && !printed.contains("aHVudGVyLTQ"), "{printed}");
    let again = read(&printed).expect("it loads").config;
    let problems: Vec<String> = again.placeholders().iter().map(ToString::to_string).collect();
    let expected = [
        "metrics.token: is a placeholder",
        "auth.tokens[0]: is a placeholder",
        "auth.tokens[1]: is a placeholder",
        "auth.jwt.keys[0].secret: is a placeholder",
        "auth.jwt.keys[1].secretBase64: is a placeholder",
    ];
    assert_eq!(problems, expected);
    // `--check` warns, a start refuses.
    let oddities = again.oddities();
    assert!(expected.iter().all(|text| oddities.contains(&(*text).to_owned())), "{oddities:?}");
    let refused: Vec<String> = match again.check() {
        Ok(()) => Vec::new(),
        Err(error) => error.problems.iter().map(ToString::to_string).collect(),
    };
    assert_eq!(refused, expected);
    // A key that is for all algorithms stands for itself, and is one secret.
    let text = r#"{"auth":{"jwt":{"algorithms":["HS256"],"secret":"hunter-6"}}}"#;
    let again = read(&read(text).expect(text).config.printed()).expect("it loads").config;
    let problems: Vec<String> = again.placeholders().iter().map(ToString::to_string).collect();
    assert_eq!(problems, ["auth.jwt.secret: is a placeholder"]);
}

#[test]
fn what_looks_like_a_placeholder_elsewhere_is_none() {
    let text = r#"{"name":"(secret)","buckets":{"(secret)":{"key":"id",
        "schema":{"id":{"type":"string","default":"(secret)"}}}}}"#;
    let config = read(text).expect(text).config;
    assert!(config.placeholders().is_empty());
    assert_eq!(read(&config.printed()).expect("it loads").config.buckets, config.buckets);
}

fn tested() -> impl Iterator<Item = &'static str> {
    INTEGERS
        .iter()
        .map(|(path, ..)| *path)
        .chain(BOOLEANS.iter().copied())
        .chain(CHOICES.iter().map(|(path, _)| *path))
        .chain(FORMS.iter().map(|(path, ..)| *path))
}

#[test]
fn these_tables_know_every_key() {
    let page = docs::page();
    let keys = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let keys: Vec<&str> = keys.map(|(key, _)| key).filter(|key| !key.contains(' ')).collect();
    assert!(keys.len() > 80, "{keys:?}");
    for key in keys.iter().filter(|key| !key.starts_with("persistence")) {
        assert!(tested().any(|path| path == *key), "{key} has no test");
    }
}

#[test]
fn null_is_as_good_as_absent() {
    for path in tested() {
        // What belongs to a mode of authentication is not there without it.
        if path.starts_with("auth.")
            || path.starts_with("rateLimit.")
            || path.starts_with("tls.")
            || path == "limits.maxInputBytes"
        {
            continue;
        }
        // The section is there then, and may be off by default.
        let section = path.split_once('.').map_or("", |(section, _)| section);
        if ["audit", "metrics", "http", "console"].contains(&section) {
            continue;
        }
        let config = read(&file(path, "null")).expect(path).config;
        assert_eq!(config, Config::default(), "{path}");
    }
    for (text, like) in [
        (r#"{"auth":{"tokens":{},"jwt":null,"required":null}}"#, r#"{"auth":{"tokens":{}}}"#),
        (
            r#"{"rateLimit":{"maxRequests":1,"windowMs":null}}"#,
            r#"{"rateLimit":{"maxRequests":1}}"#,
        ),
    ] {
        assert_eq!(read(text).map(|r| r.config).ok(), read(like).map(|r| r.config).ok(), "{text}");
    }
}

#[test]
fn an_empty_file_is_like_none() {
    for text in ["", " \n", "{}", "\u{feff}{}", "{\"heartbeat\":{},\"store\":{},\"rules\":{}}"] {
        let Resolved { config, warnings } = read(text).expect(text);
        assert_eq!(config, Config::default(), "{text:?}");
        assert!(warnings.is_empty(), "{warnings:?}");
    }
}
