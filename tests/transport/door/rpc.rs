//! What is done and answered.

use serde_json::{Value, json};

use super::client::{builder, data, post, post_text, post_with, raw, start};

#[test]
fn messages_are_handled_in_order_and_each_is_answered() {
    let server = start();
    let messages = json!([
        {"type": "store.defineBucket", "name": "kilns", "config": {"key": "id", "schema": {"id": {"type": "number", "generated": "autoincrement"}, "heat": {"type": "number"}}}},
        {"id": 40, "type": "store.insert", "bucket": "kilns", "data": {"heat": 1}},
        {"type": "store.insert", "bucket": "nowhere", "data": {}},
        {"type": "store.insert", "bucket": "kilns", "data": {"heat": 2}},
        {"id": -1.5, "type": "store.count", "bucket": "kilns"},
        {"id": "x", "type": "store.count", "bucket": "kilns"},
        [],
        {"type": "pong", "timestamp": 1},
        {"type": "store.count", "bucket": "kilns"},
        {"a": 1},
        5,
        {"id": 70},
        {"type": "store.count"}
    ]);
    let answer = post(&server, &messages);
    assert_eq!(answer.status, 200);
    let answers = answer.json();
    let answers = answers.as_array().unwrap();
    let ids: Vec<&Value> = answers.iter().map(|answer| &answer["id"]).collect();
    assert_eq!(json!(ids), json!([0, 40, 2, 3, -1.5, 0, 6, 7, 8, 9, 10, 0, 12]));
    let codes: Vec<&Value> = answers.iter().map(|answer| &answer["code"]).collect();
    let (none, not_defined, invalid) = (Value::Null, "BUCKET_NOT_DEFINED", "INVALID_REQUEST");
    let expected = json!([
        none,
        none,
        not_defined,
        none,
        none,
        invalid,
        "PARSE_ERROR",
        invalid,
        none,
        invalid,
        "PARSE_ERROR",
        invalid,
        "VALIDATION_ERROR"
    ]);
    assert_eq!(json!(codes), expected);
    assert_eq!((&answers[4]["data"], &answers[8]["data"]), (&json!(2), &json!(2)));
    assert_eq!(answers[7]["message"], "\"pong\" needs a WebSocket");
}

#[test]
fn a_single_error_has_its_status() {
    let server = builder().set("auth", json!({"required": false, "tokens": {}})).start().unwrap();
    let define = json!({"type": "store.defineBucket", "name": "b", "config": {"key": "k", "schema": {"k": {"type": "string"}}}});
    assert_eq!(post(&server, &define).status, 200);
    let insert = json!({"type": "store.insert", "bucket": "b", "data": {"k": "a"}});
    assert_eq!(post(&server, &insert).status, 200);
    let rows = [
        (define, 409, "ALREADY_EXISTS"),
        (json!({"type": "store.insert", "bucket": "b", "data": {"k": 7}}), 400, "VALIDATION_ERROR"),
        (json!({"type": ""}), 400, "INVALID_REQUEST"),
        (json!({"type": "store.get", "bucket": "x", "key": "a"}), 404, "BUCKET_NOT_DEFINED"),
        (json!({"type": "store.query", "query": "q"}), 404, "QUERY_NOT_DEFINED"),
        (json!({"type": "store.update", "bucket": "b", "key": "z", "data": {}}), 404, "NOT_FOUND"),
        (json!({"type": "store.nothing"}), 404, "UNKNOWN_OPERATION"),
        (json!({"type": "auth.login", "token": "no"}), 401, "UNAUTHORIZED"),
    ];
    for (message, status, code) in rows {
        let answer = post(&server, &message);
        assert_eq!((answer.status, &answer.json()["code"]), (status, &json!(code)), "{message}");
        let challenge = (status == 401).then_some("Bearer");
        assert_eq!(answer.field("WWW-Authenticate"), challenge, "{message}");
    }
}

#[test]
fn what_needs_somebody_who_stays_is_refused() {
    let server = start();
    for operation in [
        "store.subscribe",
        "store.live",
        "store.subscribeMany",
        "rules.subscribe",
        "logic.subscribeView",
        "server.trace",
        "server.tail",
        "auth.impersonate",
        "session.open",
        "session.sync",
        "session.close",
    ] {
        let answer = post(&server, &json!({"id": 5, "type": operation}));
        let expected = json!({"id": 5, "type": "error", "code": "INVALID_REQUEST",
            "message": format!("\"{operation}\" needs a WebSocket")});
        assert_eq!((answer.status, answer.json()), (400, expected));
    }
    // A number needs a session, which there is none of.
    let once = json!({"type": "store.defineBucket", "name": "b", "config": {}, "once": 1});
    assert_eq!(
        post(&server, &once).json()["message"],
        "\"once\" needs a session opened with \"once\""
    );
}

#[test]
fn a_call_is_no_owner() {
    let bucket =
        json!({"key": "id", "schema": {"id": {"type": "string"}}, "lifetime": "connection"});
    let server = builder().bucket("here", bucket).start().unwrap();
    let insert = json!({"type": "store.insert", "bucket": "here", "data": {"id": "a"}});
    let answer = post(&server, &insert).json();
    assert_eq!(answer["message"], "Bucket \"here\" takes records from connections only");
    server.call("store.insert", json!({"bucket": "here", "data": {"id": "b"}})).unwrap();
    let own = server.connect().unwrap();
    own.send(
        json!({"id": 1, "type": "store.insert", "bucket": "here", "data": {"id": "c"}}).to_string(),
    )
    .unwrap();
    own.receive().unwrap();
    let delete = json!({"type": "store.delete", "bucket": "here", "key": "c"});
    assert_eq!(post(&server, &delete).status, 403);
}

#[test]
fn calls_are_not_listed() {
    let server = start();
    assert_eq!(data(&server, &json!({"type": "server.connections"})), json!([]));
    assert_eq!(data(&server, &json!({"type": "server.stats"}))["connectionCount"], 0);
    let top = data(&server, &json!({"type": "server.top"}));
    assert_eq!(top["rows"].as_array().unwrap().len(), 1, "but for who looks: {top}");
    let row = &top["rows"][0];
    assert_eq!((&row["transport"], &row["tls"]), (&json!("rpc"), &Value::Null), "{top}");
    assert_eq!(row["listener"], format!("127.0.0.1:{}", server.port()), "{top}");
}

/// A hundred reads that together cost more than one request may.
#[test]
fn one_budget_for_all() {
    let server = builder()
        .set("limits", json!({"requestSteps": 10_000}))
        .bucket(
            "b",
            json!({"key": "id", "schema": {"id": {"type": "number"}, "n": {"type": "number"}}}),
        )
        .start()
        .unwrap();
    let records: Vec<_> = (0..900).map(|n| json!({"id": n, "n": n})).collect();
    server.call_unlimited("store.insertMany", json!({"bucket": "b", "data": records})).unwrap();
    let read = json!({"type": "store.where", "bucket": "b", "filter": {"n": -1}});
    assert_eq!(post(&server, &read).status, 200, "one is cheap enough");
    let mut messages = vec![read; 99];
    messages.push(json!({"type": "store.insert", "bucket": "b", "data": {"id": 1000, "n": 0}}));
    let answers = post(&server, &json!(messages)).json();
    let answers = answers.as_array().unwrap();
    assert_eq!(answers.len(), 100);
    let good = answers.iter().take_while(|answer| answer["type"] == "result").count();
    assert!((2..20).contains(&good), "{good}");
    for answer in &answers[good..] {
        assert_eq!(answer["message"], "Request is too costly: more than 10000 steps", "{answer}");
        assert_eq!(answer["details"]["limit"], 10_000, "{answer}");
    }
    assert_eq!(data(&server, &json!({"type": "store.count", "bucket": "b"})), 900, "and no insert");
}

#[test]
fn one_length_for_all() {
    let server = builder()
        .set("limits", json!({"maxReplyBytes": 65_536}))
        .bucket(
            "b",
            json!({"key": "id", "schema": {"id": {"type": "number"}, "t": {"type": "string"}}}),
        )
        .start()
        .unwrap();
    server
        .call("store.insert", json!({"bucket": "b", "data": {"id": 1, "t": "x".repeat(20_000)}}))
        .unwrap();
    let read = json!({"type": "store.get", "bucket": "b", "key": 1});
    let answers = post(&server, &json!(vec![read; 5])).json();
    let kinds: Vec<_> = answers.as_array().unwrap().iter().map(|answer| &answer["type"]).collect();
    assert_eq!(json!(kinds), json!(["result", "result", "result", "error", "error"]));
    assert_eq!(answers[4]["message"], "Reply is too large: more than 65536 bytes");
}

#[test]
fn a_token_is_a_login_in_front() {
    let tokens = json!({"t-ann": {"userId": "ann", "roles": ["writer"]}});
    let server = builder()
        .set(
            "auth",
            json!({"tokens": tokens, "loginRateLimit": {"maxAttempts": 2, "windowMs": 60_000}}),
        )
        .set("audit", json!({"tiers": ["read", "write", "admin"]}))
        .start()
        .unwrap();
    let who = json!({"type": "auth.whoami"});
    let stats = json!({"type": "store.stats"});
    let bearer = |token: &str| format!("Authorization: Bearer {token}\r\n");
    assert_eq!(post(&server, &stats).status, 401);
    let answer = post_with(&server, &bearer("t-ann"), &who);
    assert_eq!(answer.json()["data"]["userId"], "ann");
    assert_eq!(answer.json()["id"], 0, "the login is not among the answers");
    let answer = post_with(&server, "authorization: bEARER   t-ann \r\n", &json!([who, stats]));
    assert_eq!(answer.json()[1]["type"], "result");
    // Somebody else's scheme is not ours.
    assert_eq!(post_with(&server, "Authorization: Basic eDp5\r\n", &stats).status, 401);
    // Nothing behind a login that failed is done, an array has its status too.
    let answer = post_with(&server, &bearer("wrong"), &json!([stats, stats]));
    assert_eq!((answer.status, &answer.json()["code"]), (401, &json!("UNAUTHORIZED")));
    assert_eq!(answer.field("WWW-Authenticate"), Some("Bearer"));
    assert_eq!(post_with(&server, &bearer("wrong"), &stats).status, 401);
    let answer = post_with(&server, &bearer("t-ann"), &stats);
    assert_eq!(answer.status, 429, "{}", answer.json());
    let seconds: u64 = answer.field("Retry-After").unwrap().parse().unwrap();
    assert!((1..=60).contains(&seconds), "{seconds}");
    // Bad JSON is said before anybody is asked who he is.
    assert_eq!(raw(&server, &post_text(&bearer("wrong"), "{")).status, 400);
}

#[test]
fn requests_over_the_limit() {
    let server =
        builder().set("rateLimit", json!({"maxRequests": 3, "windowMs": 60_000})).start().unwrap();
    let ping = json!({"type": "store.stats"});
    let answers = post(&server, &json!([ping, ping, ping, ping])).json();
    assert_eq!(answers[3]["code"], "RATE_LIMITED");
    let answer = post(&server, &ping);
    assert_eq!(answer.status, 429);
    assert!(answer.field("Retry-After").is_some());
    // Subscribes of those who come back are free, of calls they are not.
    let answer = post(&server, &json!({"type": "store.subscribe", "query": "q"}));
    assert_eq!(answer.json()["code"], "RATE_LIMITED");
}

/// The hash is made on the worker; the connection waits meanwhile.
#[test]
fn a_login_with_a_password_is_answered() {
    let server = builder()
        .set("auth", json!({"builtIn": true, "adminSecret": "a secret of the admin"}))
        .start()
        .unwrap();
    let secret = json!({"type": "identity.loginWithSecret", "secret": "a secret of the admin"});
    let token = data(&server, &secret)["token"].as_str().unwrap().to_owned();
    let bearer = format!("Authorization: Bearer {token}\r\n");
    let user = json!({"username": "ann", "password": "correct horse", "roles": []});
    let mut create = user.clone();
    create["type"] = "identity.createUser".into();
    let answer = post_with(&server, &bearer, &create);
    assert_eq!(answer.status, 200, "{}", answer.json());
    let login = json!({"type": "identity.login", "username": "ann", "password": "correct horse"});
    let wrong = json!({"type": "identity.login", "username": "ann", "password": "wrong horse"});
    assert_eq!(post(&server, &wrong).status, 401);
    // Two jobs in one call, and what comes behind them.
    let answers = post(&server, &json!([login, wrong, login, {"type": "identity.whoami"}])).json();
    let kinds: Vec<_> = answers.as_array().unwrap().iter().map(|answer| &answer["type"]).collect();
    assert_eq!(json!(kinds), json!(["result", "error", "result", "result"]), "{answers}");
    assert_eq!(answers[3]["data"]["userId"], answers[2]["data"]["user"]["id"], "{answers}");
}
