//! Keys whose values have a form of their own.

/// Path, values that are accepted, values that are not and
/// what is said about them.
pub type Forms = (&'static str, &'static [&'static str], &'static [(&'static str, &'static str)]);
pub const FORMS: &[Forms] = &[
    (
        "name",
        &["\"x\"", "\"näme\""],
        &[
            ("\"\"", "{path}: expected string of 1 to 128 characters, got \"\""),
            ("7", "{path}: expected string, got 7"),
        ],
    ),
    (
        "host",
        &["\"0.0.0.0\"", "\"::1\"", "\"localhost\""],
        &[
            ("\"\"", "{path}: expected IP address or host name, got \"\""),
            ("\"a b\"", "{path}: expected IP address or host name, got \"a b\""),
            ("\"[::1]\"", "{path}: expected IPv6 address without brackets, got \"[::1]\""),
            ("1", "{path}: expected string, got 1"),
        ],
    ),
    (
        "port",
        &["0", "1", "65535", "8080.0"],
        &[
            ("65536", "Invalid port: 65536 (must be integer 0-65535)"),
            ("-1", "Invalid port: -1 (must be integer 0-65535)"),
            ("80.5", "Invalid port: 80.5 (must be integer 0-65535)"),
            (
                "\"8080\"",
                "Invalid port: \"8080\" is a string (must be integer 0-65535, without quotes)",
            ),
            ("true", "Invalid port: true (must be integer 0-65535)"),
        ],
    ),
    (
        "minFreeBytes",
        &["0", "67108864", "1099511627776"],
        &[
            ("1099511627777", "{path}: expected integer 0 to 1099511627776, got 1099511627777"),
            ("-1", "{path}: expected integer >= 0, got -1"),
        ],
    ),
    (
        "storageWaitMs",
        &["1000", "86400000"],
        &[
            ("999", "{path}: expected integer 1000 to 86400000, got 999"),
            ("86400001", "{path}: expected integer 1000 to 86400000, got 86400001"),
        ],
    ),
    (
        "logFormat",
        &["\"auto\"", "\"text\"", "\"json\"", "\"journal\""],
        &[
            (
                "\"xml\"",
                "{path}: expected \"auto\", \"text\", \"json\" or \"journal\", got \"xml\"",
            ),
            ("1", "{path}: expected \"auto\", \"text\", \"json\" or \"journal\", got 1"),
        ],
    ),
    (
        "logLevel",
        &["\"info\"", "\"noexd=debug,noexd::net=trace\"", "\"off\""],
        &[
            (
                "\"noexd=loud\"",
                "{path}: expected a filter as in RUST_LOG, like \"info\" or \"noexd=debug\", got \"noexd=loud\"",
            ),
            ("1", "{path}: expected string, got 1"),
        ],
    ),
    (
        "slowRequestMs",
        &["0", "60000"],
        &[
            ("60001", "{path}: expected integer 0 to 60000, got 60001"),
            ("-1", "{path}: expected integer >= 0, got -1"),
        ],
    ),
    (
        "slowViewMs",
        &["0", "60000"],
        &[
            ("60001", "{path}: expected integer 0 to 60000, got 60001"),
            ("-1", "{path}: expected integer >= 0, got -1"),
        ],
    ),
    (
        "path",
        &["\"/\"", "\"/ws\"", "\"/a/b~!$\""],
        &[
            (
                "\"ws\"",
                "{path}: expected a path that begins with \"/\", in printable ASCII without space, \"?\" or \"#\", got \"ws\"",
            ),
            (
                "\"/a?b\"",
                "{path}: expected a path that begins with \"/\", in printable ASCII without space, \"?\" or \"#\", got \"/a?b\"",
            ),
            (
                "\"/é\"",
                "{path}: expected a path that begins with \"/\", in printable ASCII without space, \"?\" or \"#\", got \"/é\"",
            ),
            ("\"/healthz\"", "health.path: must not be the same path as path"),
        ],
    ),
    ("health", &["true", "false", "{}"], &[("1", "{path}: expected boolean or object, got 1")]),
    (
        "health.path",
        &["\"/up\""],
        &[
            (
                "\"up\"",
                "{path}: expected a path that begins with \"/\", in printable ASCII without space, \"?\" or \"#\", got \"up\"",
            ),
            ("\"/\"", "{path}: must not be the same path as path"),
        ],
    ),
    ("ready", &["true", "false", "{}"], &[("1", "{path}: expected boolean or object, got 1")]),
    (
        "ready.path",
        &["\"/ok\""],
        &[("\"/healthz\"", "{path}: must not be the same path as health.path")],
    ),
    (
        "metrics",
        &["true", "false", "{}"],
        &[("\"on\"", "{path}: expected boolean or object, got \"on\"")],
    ),
    ("http", &["true", "false", "{}"], &[("1", "{path}: expected boolean or object, got 1")]),
    (
        "http.live",
        &["\"/events\""],
        &[("\"/rpc\"", "{path}: must not be the same path as http.rpc")],
    ),
    (
        "http.rpc",
        &["\"/call\""],
        &[
            ("1", "{path}: expected string, got 1"),
            ("\"/healthz\"", "{path}: must not be the same path as health.path"),
        ],
    ),
    (
        "metrics.path",
        &["\"/m\""],
        &[
            ("1", "{path}: expected string, got 1"),
            ("\"/healthz\"", "{path}: must not be the same path as health.path"),
        ],
    ),
    (
        "metrics.listen",
        &["\"127.0.0.1:0\"", "\"[::1]:9464\"", "\"unix:/run/m\"", "\"systemd:metrics\""],
        &[
            (
                "\"9464\"",
                "{path}: expected IP:PORT, [IPv6]:PORT, unix:PATH or systemd:NAME, got \"9464\"",
            ),
            (
                "\"localhost:9464\"",
                "{path}: expected IP:PORT, [IPv6]:PORT, unix:PATH or systemd:NAME, got \"localhost:9464\"",
            ),
        ],
    ),
    (
        "listen",
        &[
            "[\"127.0.0.1:0\",\"127.0.0.1:0\"]",
            "[\"localhost:8080\",\"unix:/run/n\",{\"address\":\"unix:n\",\"mode\":\"0600\"}]",
            "[\"[::]:8080\",\"0.0.0.0:8081\",{\"address\":\"systemd:web\",\"tls\":false}]",
        ],
        &[
            (
                "\"127.0.0.1:1\"",
                "{path}: expected array of 1 to 16 strings or objects, got \"127.0.0.1:1\"",
            ),
            ("[]", "{path}: expected 1 to 16 entries, got 0"),
            ("[1]", "{path}[0]: expected string or object, got 1"),
            (
                "[\"8080\"]",
                "{path}[0].address: expected IP:PORT, [IPv6]:PORT, NAME:PORT, unix:PATH or systemd:NAME, got \"8080\"",
            ),
            ("[{\"tls\":false}]", "{path}[0].address: required"),
            ("[{\"address\":\"h:1\",\"tls\":1}]", "{path}[0].tls: expected boolean, got 1"),
            ("[{\"address\":\"h:1\",\"tls\":true}]", "{path}[0].tls: needs tls"),
            (
                "[{\"address\":\"h:1\",\"proxyProtocol\":true}]",
                "{path}[0].proxyProtocol: needs trustedProxies",
            ),
            ("[{\"address\":\"h:1\",\"mode\":\"0660\"}]", "{path}[0].mode: is for unix: only"),
            (
                "[{\"address\":\"unix:h\",\"mode\":\"660\"}]",
                "{path}[0].mode: expected \"0600\" to \"0777\", got \"660\"",
            ),
            (
                "[\"[::]:8080\",\"0.0.0.0:8080\"]",
                "{path}[1].address: [::]:8080 takes IPv4 connections too, leave 0.0.0.0:8080 out",
            ),
            (
                "[\"0.0.0.0:8080\",\"[::]:8080\"]",
                "{path}[1].address: [::]:8080 takes IPv4 connections too, leave 0.0.0.0:8080 out",
            ),
            (
                "[\"h:1\",\"127.0.0.1:2\",\"127.0.0.1:2\"]",
                "{path}[2].address: the same address as listen[1]",
            ),
            ("[\"unix:a\",\"unix:a\"]", "{path}[1].address: the same address as listen[0]"),
        ],
    ),
    (
        "metrics.token",
        &["\"t\""],
        &[
            ("\"\"", "{path}: expected non-empty string"),
            ("5", "{path}: expected string, got number"),
        ],
    ),
    (
        "console",
        &["true", "false", "{}", "\"auto\""],
        &[
            ("[]", "{path}: expected boolean, \"auto\" or object, got array"),
            ("\"on\"", "{path}: expected boolean, \"auto\" or object, got \"on\""),
        ],
    ),
    ("console.path", &["\"/ui\""], &[("\"/\"", "{path}: must not be the same path as path")]),
    ("console.readOnly", &["true", "false"], &[("1", "{path}: expected boolean, got 1")]),
    (
        "client",
        &["true", "false", "{}"],
        &[("\"on\"", "{path}: expected boolean or object, got \"on\"")],
    ),
    (
        "client.path",
        &["\"/js\""],
        &[
            ("\"/\"", "{path}: must not be the same path as path"),
            ("\"/js/\"", "{path}: must not end with \"/\""),
        ],
    ),
    (
        "allowedOrigins",
        &["[]", "[\"https://a.example\"]", "[\"*\"]"],
        &[
            (
                "\"https://a.example\"",
                "{path}: expected array of strings, got \"https://a.example\"",
            ),
            ("[1]", "{path}[0]: expected string, got 1"),
            ("[\"a\",\"\"]", "{path}[1]: expected non-empty string"),
            ("[\"https://a.example\",\"*\"]", "{path}[1]: \"*\" stands alone"),
        ],
    ),
    (
        "trustedProxies",
        &["[]", "[\"10.0.0.0/8\",\"::1\",\"fd00::/8\",\"192.0.2.7\",\"unix\"]"],
        &[
            (
                "\"10.0.0.1\"",
                "{path}: expected array of IP addresses, CIDR ranges and \"unix\", got \"10.0.0.1\"",
            ),
            ("[1]", "{path}[0]: expected string, got 1"),
        ],
    ),
    ("connectionLimits", &["{}"], &[("5", "{path}: expected object, got 5")]),
    (
        "rateLimit",
        &["{\"maxRequests\":1,\"windowMs\":1}"],
        &[("true", "{path}: expected object, got true")],
    ),
    ("heartbeat", &["{}"], &[("[]", "{path}: expected object, got array")]),
    ("backpressure", &["{}"], &[("1", "{path}: expected object, got 1")]),
    (
        "backpressure.highWaterMark",
        &["1", "0.5", "1e-9"],
        &[
            ("0", "{path}: expected number > 0 and <= 1, got 0"),
            ("1.01", "{path}: expected number > 0 and <= 1, got 1.01"),
            ("\"0.5\"", "{path}: expected number > 0 and <= 1, got \"0.5\""),
        ],
    ),
    (
        "tls",
        &["{\"cert\":\"c\",\"key\":\"k\"}"],
        &[("true", "{path}: expected object, got true"), ("{\"cert\":\"c\"}", "tls.key: required")],
    ),
    ("tls.cert", &["\"c.pem\""], &[("\"\"", "{path}: expected non-empty string, got \"\"")]),
    ("tls.clientCa", &["\"ca.pem\""], &[("1", "{path}: expected string, got 1")]),
    ("tls.key", &["\"k.pem\""], &[("1", "{path}: expected string, got 1")]),
    (
        "auth",
        &["false", "{\"tokens\":{}}", "{\"builtIn\":true,\"adminSecret\":\"x\"}"],
        &[
            ("{}", "{path}: expected \"builtIn\": true, \"tokens\" or \"jwt\""),
            ("{\"builtIn\":false}", "{path}: expected \"builtIn\": true, \"tokens\" or \"jwt\""),
            ("{\"required\":false}", "{path}: expected \"builtIn\": true, \"tokens\" or \"jwt\""),
            (
                "true",
                "--admin-secret is required when --auth is enabled\n  better use --admin-secret-file FILE, auth.adminSecretFile or NOEXD_ADMIN_SECRET: others see a flag",
            ),
            (
                "{\"builtIn\":true}",
                "auth.adminSecret: required (or adminSecretFile, or NOEXD_ADMIN_SECRET)",
            ),
            (
                "{\"builtIn\":true,\"adminSecret\":\"s\",\"adminSecretFile\":\"f\"}",
                "auth.adminSecret: expected one of adminSecret and adminSecretFile, got both",
            ),
            (
                "{\"builtIn\":true,\"adminSecret\":\"s\",\"tokens\":{}}",
                "auth.tokens: does not go with built-in users (builtIn)",
            ),
            (
                "{\"tokens\":{},\"sessionTtl\":1}",
                "auth.sessionTtl: does not go with external tokens",
            ),
            ("\"yes\"", "{path}: expected boolean or object, got \"yes\""),
        ],
    ),
    ("auth.builtIn", &["true"], &[("1", "{path}: expected boolean, got 1")]),
    (
        "auth.adminSecret",
        &["\"s\""],
        &[
            ("\"\"", "{path}: expected non-empty string"),
            ("123456", "{path}: expected string, got number"),
        ],
    ),
    (
        "auth.adminSecretFile",
        &["\"/run/secret\""],
        &[("\"\"", "{path}: expected non-empty string, got \"\"")],
    ),
    (
        "auth.tokens",
        &[
            "{}",
            "{\"t\":{\"userId\":\"u\"}}",
            "{\"t\":{\"userId\":\"u\",\"roles\":[\"admin\"],\"metadata\":{\"a\":1},\"expiresAt\":1e12}}",
            "{\"t\":{\"userId\":\"u\",\"roles\":null,\"metadata\":null,\"expiresAt\":null}}",
            "{\"sha256:5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8\":{\"userId\":\"u\"}}",
        ],
        &[
            ("[]", "{path}: expected object of tokens, got array"),
            ("{\"hunter2\":5}", "{path}[0]: expected object, got 5"),
            ("{\"hunter2\":{}}", "{path}[0].userId: required"),
            (
                "{\"hunter2\":{\"userId\":\"\"}}",
                "{path}[0].userId: expected non-empty string, got \"\"",
            ),
            (
                "{\"hunter2\":{\"userId\":\"u\",\"roles\":\"admin\"}}",
                "{path}[0].roles: expected array of strings, got \"admin\"",
            ),
            (
                "{\"hunter2\":{\"userId\":\"u\",\"roles\":[1]}}",
                "{path}[0].roles[0]: expected string, got 1",
            ),
            (
                "{\"hunter2\":{\"userId\":\"u\",\"metadata\":[]}}",
                "{path}[0].metadata: expected object, got array",
            ),
            (
                "{\"hunter2\":{\"userId\":\"u\",\"expiresAt\":\"2030\"}}",
                "{path}[0].expiresAt: expected Unix time in milliseconds, got \"2030\"",
            ),
            (
                "{\"hunter2\":{\"userId\":\"u\",\"rolse\":[]}}",
                "{path}[0].rolse: unknown key (did you mean \"roles\"?)",
            ),
            ("{\"\":{\"userId\":\"u\"}}", "{path}[0]: the token must not be empty"),
            (
                "{\"sha256:5e88\":{\"userId\":\"u\"}}",
                "{path}[0]: expected 64 hex digits after \"sha256:\"",
            ),
        ],
    ),
    (
        "auth.jwt",
        &[
            "{\"algorithms\":[\"HS256\"],\"secret\":\"01234567890123456789012345678901\"}",
            "{\"algorithms\":[\"RS256\",\"ES256\",\"EdDSA\"],\"publicKeyFile\":\"k.pem\",\"issuer\":\"i\",\"audience\":[\"a\",\"b\"]}",
            "{\"algorithms\":[\"HS256\"],\"keys\":[{\"kid\":\"1\",\"alg\":\"HS256\",\"secretBase64\":\"AA==\"}]}",
            "{\"algorithms\":[\"RS256\"],\"jwksFile\":\"keys.json\",\"clockToleranceMs\":0,\"requireExp\":false,\"userIdClaim\":\"u\",\"rolesClaim\":\"a.b\",\"defaultRoles\":[],\"metadataClaim\":\"m\"}",
        ],
        &[
            ("true", "{path}: expected object, got boolean"),
            ("{\"secret\":\"s\"}", "{path}.algorithms: required"),
            (
                "{\"algorithms\":[],\"secret\":\"s\"}",
                "{path}.algorithms: expected non-empty array of algorithms, got array",
            ),
            (
                "{\"algorithms\":[\"none\"],\"secret\":\"s\"}",
                "{path}.algorithms[0]: expected \"HS256\", \"RS256\", \"ES256\" or \"EdDSA\", got \"none\"",
            ),
            (
                "{\"algorithms\":[\"HS256\"]}",
                "{path}: expected a key: secret, secretBase64, secretFile, publicKey, publicKeyFile, keys or jwksFile",
            ),
            (
                "{\"algorithms\":[\"HS256\"],\"secret\":\"a\",\"secretFile\":\"b\"}",
                "{path}: expected exactly one of secret, secretBase64, secretFile, publicKey, publicKeyFile",
            ),
            (
                "{\"algorithms\":[\"HS256\"],\"keys\":[{\"alg\":\"HS256\"}]}",
                "{path}.keys[0]: expected exactly one of secret, secretBase64, secretFile, publicKey, publicKeyFile",
            ),
            (
                "{\"algorithms\":[\"HS256\"],\"keys\":[{\"secret\":\"s\"}]}",
                "{path}.keys[0].alg: required",
            ),
            (
                "{\"algorithms\":[\"HS256\"],\"secret\":7}",
                "{path}.secret: expected non-empty string, got number",
            ),
            (
                "{\"algorithms\":[\"HS256\"],\"secret\":\"s\",\"clockToleranceMs\":-1}",
                "{path}.clockToleranceMs: expected integer >= 0, got -1",
            ),
            (
                "{\"algorithms\":[\"HS256\"],\"secret\":\"s\",\"isuer\":\"x\"}",
                "{path}.isuer: unknown key (did you mean \"issuer\"?)",
            ),
        ],
    ),
    ("auth.permissions", &["{}"], &[("\"deny\"", "{path}: expected object, got \"deny\"")]),
    (
        "auth.permissions.rules",
        &[
            "[]",
            "[{\"role\":\"r\",\"allow\":\"*\"},{\"role\":\"s\",\"allow\":[\"store.*\"],\"buckets\":[],\"topics\":[\"a.*\"]}]",
        ],
        &[
            ("{}", "{path}: expected array of rules, got object"),
            ("[1]", "{path}[0]: expected object, got 1"),
            ("[{\"allow\":\"*\"}]", "{path}[0].role: required"),
            ("[{\"role\":\"r\"}]", "{path}[0].allow: required"),
            (
                "[{\"role\":\"r\",\"allow\":5}]",
                "{path}[0].allow: expected string or array of strings, got 5",
            ),
            (
                "[{\"role\":\"r\",\"allow\":\"*\",\"bucket\":[]}]",
                "{path}[0].bucket: unknown key (did you mean \"buckets\"?)",
            ),
            (
                "[{\"role\":\"r\",\"allow\":[\"store.get\",\"store.gett\"]}]",
                "{path}[0].allow[1]: unknown operation \"store.gett\" (did you mean \"store.get\"?)",
            ),
            (
                "[{\"role\":\"r\",\"allow\":\"everything\"}]",
                "{path}[0].allow: unknown operation \"everything\"",
            ),
            (
                "[{\"role\":\"r\",\"allow\":\"*\",\"topics\":\"a\"}]",
                "{path}[0].topics: expected array of strings, got \"a\"",
            ),
        ],
    ),
    (
        "auth.anonymousRoles",
        &["[]", "[\"reader\"]"],
        &[("\"reader\"", "{path}: expected array of strings, got \"reader\"")],
    ),
    ("auth.loginRateLimit", &["{}"], &[("5", "{path}: expected object, got 5")]),
    (
        "auth.signup",
        &["false", "{}"],
        &[
            ("5", "{path}: expected false or object, got 5"),
            ("true", "{path}: expected false or object, got true"),
            ("{\"role\":[]}", "{path}.role: unknown key (did you mean \"roles\"?)"),
        ],
    ),
    (
        "auth.signup.roles",
        &["[\"reader\",\"player\"]"],
        &[
            ("\"reader\"", "{path}: expected array of strings, got \"reader\""),
            ("[\"reader\",\"admin\"]", "{path}[1]: must not be admin or superadmin"),
            ("[\"superadmin\"]", "{path}[0]: must not be admin or superadmin"),
            ("[\"\"]", "{path}[0]: expected non-empty string"),
            ("[]", "{path}: expected at least one role"),
        ],
    ),
    ("auth.signup.rateLimit", &["{}"], &[("5", "{path}: expected object, got 5")]),
    ("revocation", &["{}"], &[("5", "{path}: expected object, got 5")]),
    (
        "buckets",
        &["{}", "{\"a\":{\"key\":\"id\",\"schema\":{\"id\":{\"type\":\"string\"}}}}"],
        &[
            ("[]", "{path}: expected object of bucket definitions, got array"),
            ("{\"a\":5}", "{path}.a: expected object, got 5"),
            ("{\"\":{}}", "{path}: names must not be empty"),
        ],
    ),
    ("access", &["{}"], &[("5", "{path}: expected object, got 5")]),
    (
        "access.sets",
        &["{}", "{\"s\":{\"bucket\":\"a\",\"filter\":{},\"field\":\"x\"}}"],
        &[("{\"s\":[]}", "{path}.s: expected object, got array")],
    ),
    (
        "queries",
        &["{}", "{\"q\":{\"bucket\":\"a\"}}"],
        &[("{\"q\":[]}", "{path}.q: expected object, got array")],
    ),
    ("store", &["{}"], &[("5", "{path}: expected object, got 5")]),
    (
        "dataDir",
        &["\"./data\""],
        &[
            ("\"\"", "{path}: expected non-empty string, got \"\""),
            ("true", "{path}: expected string, got true"),
        ],
    ),
    (
        "db",
        &["\"a.db\""],
        &[
            ("5", "{path}: expected string, got 5"),
            (
                "\":memory:\"",
                "{path}: expected a path, got \":memory:\" (leave db out to keep data in memory)",
            ),
        ],
    ),
    ("limits", &["{}"], &[("[]", "{path}: expected object, got array")]),
    (
        "limits.maxDataBytes",
        &["1048576", "1099511627776", "\"1%\"", "\"95%\""],
        &[
            (
                "1048575",
                "{path}: expected integer 1048576 to 1099511627776, or \"1%\" to \"95%\", got 1048575",
            ),
            (
                "\"96%\"",
                "{path}: expected integer 1048576 to 1099511627776, or \"1%\" to \"95%\", got \"96%\"",
            ),
            (
                "\"0%\"",
                "{path}: expected integer 1048576 to 1099511627776, or \"1%\" to \"95%\", got \"0%\"",
            ),
            (
                "\"half\"",
                "{path}: expected integer 1048576 to 1099511627776, or \"1%\" to \"95%\", got \"half\"",
            ),
        ],
    ),
    ("rules", &["true", "false", "{}"], &[("[]", "{path}: expected boolean or object, got array")]),
    ("rules.definitions", &["[]"], &[("{}", "{path}: expected array of rules, got object")]),
    (
        "rules.groups",
        &["[]", "[{\"id\":\"a\",\"name\":\"A\",\"description\":\"d\",\"enabled\":false}]"],
        &[
            ("[{\"name\":\"A\"}]", "{path}[0].id: required"),
            (
                "[{\"id\":\"a\",\"name\":\"A\"},{\"id\":\"a\",\"name\":\"B\"}]",
                "{path}[1]: duplicate id \"a\"",
            ),
            (
                "[{\"id\":\"a\",\"name\":\"A\",\"enabled\":1}]",
                "{path}[0].enabled: expected boolean, got 1",
            ),
        ],
    ),
    (
        "rules.storeEvents",
        &["true", "false", "{}", "{\"buckets\":[\"a\"],\"prefix\":\"store\"}"],
        &[
            ("5", "{path}: expected boolean or object, got 5"),
            ("{\"prefix\":\"\"}", "{path}.prefix: expected non-empty string, got \"\""),
            ("{\"bucket\":[]}", "{path}.bucket: unknown key (did you mean \"buckets\"?)"),
        ],
    ),
    ("continuity", &["true", "false", "{}"], &[("1", "{path}: expected boolean or object, got 1")]),
    ("procedures", &["true", "false", "{}"], &[("1", "{path}: expected boolean or object, got 1")]),
    (
        "procedures.defaultTimeoutMs",
        &["1", "0.5", "1e300"],
        &[
            ("0", "{path}: expected number > 0, got 0"),
            ("\"1s\"", "{path}: expected number > 0, got \"1s\""),
        ],
    ),
    (
        "procedures.definitions",
        &["[]"],
        &[("{}", "{path}: expected array of procedures, got object")],
    ),
    ("logic", &["true", "false", "{}"], &[("1", "{path}: expected boolean or object, got 1")]),
    ("logic.computed", &["{}"], &[("[]", "{path}: expected object of computed fields, got array")]),
    ("logic.views", &["[]"], &[("{}", "{path}: expected array of views, got object")]),
    ("logic.constraints", &["[]"], &[("{}", "{path}: expected array of constraints, got object")]),
    ("audit", &["true", "false", "{}"], &[("1", "{path}: expected boolean or object, got 1")]),
    (
        "audit.tiers",
        &["[]", "[\"admin\",\"write\",\"read\"]"],
        &[
            (
                "\"admin\"",
                "{path}: expected array of \"admin\", \"write\", \"read\", got \"admin\"",
            ),
            (
                "[\"admin\",\"all\"]",
                "{path}[1]: expected \"admin\", \"write\" or \"read\", got \"all\"",
            ),
        ],
    ),
    (
        "audit.file",
        &[
            "\"a.jsonl\"",
            "{\"path\":\"a\",\"sync\":\"always\",\"maxBytes\":4096,\"maxFiles\":1,\"restore\":true}",
        ],
        &[
            ("5", "{path}: expected string or object, got 5"),
            ("{}", "{path}.path: required"),
            ("\"\"", "{path}: expected non-empty string, got \"\""),
            ("{\"path\":\"\"}", "{path}.path: expected non-empty string, got \"\""),
            (
                "{\"path\":\"a\",\"sync\":\"often\"}",
                "{path}.sync: expected \"never\", \"interval\" or \"always\", got \"often\"",
            ),
            (
                "{\"path\":\"a\",\"maxBytes\":4095}",
                "{path}.maxBytes: expected integer >= 4096, got 4095",
            ),
            ("{\"path\":\"a\",\"maxFiles\":0}", "{path}.maxFiles: expected integer >= 1, got 0"),
        ],
    ),
];
