//! Oversized and malformed everything: no request makes the server fail.

use noexd::protocol::Operation;
use serde_json::{Value, json};

use super::client::{Client, built_in, create_user, login, superadmin};

/// Every field that some operation reads.
const FIELDS: [&str; 48] = [
    "bucket",
    "name",
    "query",
    "key",
    "topic",
    "pattern",
    "userId",
    "username",
    "password",
    "secret",
    "token",
    "roleId",
    "roleName",
    "subjectType",
    "subjectId",
    "resourceType",
    "resourceName",
    "operations",
    "newOwnerId",
    "currentPassword",
    "newPassword",
    "displayName",
    "email",
    "enabled",
    "metadata",
    "permissions",
    "description",
    "page",
    "pageSize",
    "role",
    "result",
    "from",
    "to",
    "limit",
    "offset",
    "operation",
    "data",
    "filter",
    "config",
    "updates",
    "params",
    "procedure",
    "rule",
    "definition",
    "constraint",
    "expression",
    "subscriptionId",
    "field",
];

fn values() -> Vec<Value> {
    vec![
        Value::Null,
        json!(true),
        json!(-1),
        json!(1.5),
        json!(1e300),
        json!(""),
        json!("x"),
        json!("_users"),
        json!("__proto__"),
        json!("constructor"),
        json!("\u{0}\u{1f600}\"\\"),
        json!("x".repeat(15_000)),
        json!([]),
        json!([null, 1, "x", [], {}]),
        json!({}),
        json!({"id": null, "name": 1, "bucket": [], "on": {}, "allow": 1, "schema": 1}),
        (0..100).fold(json!(1), |inner, _| json!([inner])),
    ]
}

#[test]
fn no_value_in_any_field_is_an_internal_error() {
    let server = built_in(json!({
        "audit": {"tiers": ["admin", "write", "read"], "auth": true},
        "auth": {"builtIn": true, "adminSecret": super::client::SECRET,
                 "signup": {"rateLimit": {"maxAttempts": 1_000_000}},
                 "loginRateLimit": {"maxAttempts": 1_000_000}},
    }));
    let mut client = superadmin(&server);
    for operation in Operation::ALL {
        for value in values() {
            let mut request: Value =
                FIELDS.map(|field| (field, value.clone())).into_iter().collect();
            if *operation == Operation::StoreTransaction {
                request["operations"] = json!([null, 1, value, {"op": value, "bucket": value}]);
            }
            let answer = client.call(operation.name(), request);
            if let Err(refusal) = answer {
                assert_ne!(refusal.code, "INTERNAL_ERROR", "{}: {value}", operation.name());
            }
            // Some of them end the session.
            if client.ok("auth.whoami", json!({}))["authenticated"] == false {
                client.ok("identity.loginWithSecret", json!({"secret": super::client::SECRET}));
            }
        }
    }
}

#[test]
fn what_is_no_request_at_all_is_answered() {
    let server = built_in(json!({}));
    let mut client = Client::connect(&server);
    for text in [
        "",
        "null",
        "[]",
        "{",
        r#"{"id":1}"#,
        r#"{"id":1,"type":7}"#,
        r#"{"id":"1","type":"store.all"}"#,
        r#"{"id":null,"type":"identity.login"}"#,
        r#"{"type":"identity.loginWithSecret","secret":"x"}"#,
        &format!("{}{}", "[".repeat(200_000), "]".repeat(200_000)),
    ] {
        client.send(text);
        let answer = client.receive().expect("an answer");
        assert_eq!((&answer["id"], &answer["type"]), (&json!(0), &json!("error")), "{text:.40}");
    }
    // Names that JavaScript's objects inherit are names like all others.
    for name in ["constructor", "__proto__", "toString", "hasOwnProperty", "valueOf"] {
        let unauthorized = "UNAUTHORIZED Authentication required";
        assert_eq!(client.refused(name, json!({})), unauthorized);
        let user = json!({"username": name, "password": "password"});
        let refused = client.refused("identity.login", user);
        // Five of them use up the address.
        assert_eq!(refused, "UNAUTHORIZED Invalid credentials");
    }
    let mut admin = Client::connect_from(server.local_addr(), [127, 0, 0, 9].into());
    admin.ok("identity.loginWithSecret", json!({"secret": super::client::SECRET}));
    for name in ["constructor", "__proto__", "toString"] {
        assert_eq!(
            admin.refused(name, json!({})),
            format!("UNKNOWN_OPERATION Unknown operation \"{name}\"")
        );
    }
    create_user(&mut admin, "__proto__", &[]);
    let role = admin.ok("identity.createRole", json!({"name": "constructor"}));
    assert_eq!(role["permissions"], json!([]));
    admin.ok("store.buckets", json!({}));
}

#[test]
fn the_audit_log_cannot_be_filled_with_somebody_elses_megabytes() {
    let server = built_in(json!({"audit": true}));
    let mut admin = superadmin(&server);
    let mut stranger = Client::connect_from(server.local_addr(), [127, 0, 0, 8].into());
    for _ in 0..20 {
        let long = "x".repeat(500_000);
        let _ = stranger.call("identity.login", json!({"username": long, "password": long}));
    }
    let log = admin.ok("audit.query", json!({"operation": "identity.login"}));
    assert_eq!(log["entries"].as_array().expect("entries").len(), 20);
    assert!(log.to_string().len() < 20 * 1500);
}

#[test]
fn one_message_too_large_costs_one_connection() {
    let server = built_in(json!({"maxPayloadBytes": 10_000}));
    let mut admin = superadmin(&server);
    create_user(&mut admin, "ann", &[]);
    let (mut ann, _) = login(&server, "ann");
    ann.send(
        json!({"id": 9, "type": "identity.login", "username": "x".repeat(20_000)}).to_string(),
    );
    assert_eq!(ann.close_code(), (1009, String::new()));
    admin.ok("identity.listUsers", json!({}));
}
