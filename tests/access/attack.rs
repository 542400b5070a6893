//! Attacks, each a test: what is refused, and that it stays refused whichever
//! way it is tried.

use serde_json::{Value, json};

use super::client::{Client, PASSWORD, SECRET, built_in, create_user, login, start, superadmin};

const DIRECTLY: &str = "FORBIDDEN Cannot access system bucket \"_users\" directly";

/// A field that is checked but not used, in front of one that is used and not
/// checked.
#[test]
fn stray_fields_do_not_open_anything() {
    let server = built_in(json!({}));
    let mut admin = superadmin(&server);
    let ann = create_user(&mut admin, "ann", &[]);
    admin.ok(
        "identity.grant",
        json!({"subjectType": "user", "subjectId": ann, "resourceType": "bucket",
               "resourceName": "maps", "operations": ["read", "write", "admin"]}),
    );
    let (mut client, _) = login(&server, "ann");
    for (operation, fields, denied) in [
        (
            "store.transaction",
            json!({"bucket": "maps", "operations": [{"op": "insert", "bucket": "notes", "data": {}}]}),
            "notes",
        ),
        (
            "store.transaction",
            json!({"operations": [{"op": "get", "bucket": "maps", "key": "1"}, {"op": "get", "bucket": "notes", "key": "1"}]}),
            "notes",
        ),
        ("store.transaction", json!({"bucket": "maps", "operations": []}), "*"),
        ("store.transaction", json!({"bucket": "maps", "operations": [null]}), "*"),
        ("store.transaction", json!({"bucket": "maps"}), "*"),
        ("store.dropBucket", json!({"bucket": "maps", "name": "notes"}), "notes"),
        ("store.updateBucket", json!({"bucket": "maps", "name": "notes", "updates": {}}), "notes"),
        ("store.defineBucket", json!({"bucket": "maps", "name": "new", "config": {}}), "new"),
        ("store.undefineQuery", json!({"bucket": "maps", "name": "all-notes"}), "all-notes"),
        (
            "store.subscribe",
            json!({"bucket": "maps", "name": "maps", "query": "all-notes"}),
            "all-notes",
        ),
        ("store.all", json!({"name": "maps"}), "*"),
        ("store.all", json!({"bucket": ["maps"], "name": "maps"}), "*"),
        ("store.buckets", json!({"bucket": "maps"}), "*"),
        ("store.stats", json!({"bucket": "maps"}), "*"),
        ("rules.getFact", json!({"topic": "maps", "key": "secret"}), "secret"),
        ("procedures.call", json!({"bucket": "maps", "name": "steps"}), "steps"),
        ("procedures.register", json!({"name": "maps", "procedure": {"name": "steps"}}), "steps"),
        ("logic.defineView", json!({"name": "maps", "definition": {"name": "view"}}), "view"),
        ("server.stats", json!({"bucket": "maps"}), "*"),
        ("nothing", json!({"bucket": "maps"}), "*"),
    ] {
        let refused = client.refused(operation, fields);
        assert_eq!(refused, format!("FORBIDDEN No access to {operation} on {denied}"));
    }
    // What is allowed is: a transaction on the own bucket.
    let own = json!({"operations": [{"op": "insert", "bucket": "maps", "data": {"id": "1"}}]});
    client.ok("store.transaction", own);
    assert_eq!(admin.ok("store.count", json!({"bucket": "notes"})), 0);
}

#[test]
fn system_buckets_are_out_of_reach_by_every_route() {
    let server = built_in(json!({"audit": {"tiers": ["admin", "write", "read"]}}));
    let mut admin = superadmin(&server);
    create_user(&mut admin, "ann", &["admin"]);
    let (mut ann, _) = login(&server, "ann");
    let schema = json!({"key": "id", "schema": {"id": {"type": "string"}}});
    for client in [&mut admin, &mut ann] {
        for operation in [
            "get", "all", "where", "findOne", "count", "first", "last", "paginate", "sum", "avg",
            "min", "max", "explain", "insert", "update", "delete", "clear",
        ] {
            let fields = json!({"bucket": "_users", "key": "x", "n": 1, "limit": 1,
                                "field": "passwordHash", "filter": {}, "data": {"username": "eve"}});
            assert_eq!(client.refused(&format!("store.{operation}"), fields), DIRECTLY);
        }
        for (operation, fields) in [
            ("store.defineBucket", json!({"name": "_users", "config": schema})),
            ("store.dropBucket", json!({"name": "_users"})),
            ("store.updateBucket", json!({"name": "_users", "updates": {}})),
            ("store.getBucketSchema", json!({"name": "_users"})),
            ("store.defineQuery", json!({"name": "_users", "config": {"bucket": "maps"}})),
            ("store.undefineQuery", json!({"name": "_users"})),
            // A query is the way around that was open.
            ("store.defineQuery", json!({"name": "leak", "config": {"bucket": "_users"}})),
            // A reference tells which keys exist, and deletes by cascade.
            (
                "store.defineBucket",
                json!({"name": "spy", "config": {"key": "id", "schema": {"id": {"type": "string"}, "user": {"type": "string", "ref": "_users"}}}}),
            ),
            (
                "store.defineBucket",
                json!({"name": "spy", "config": {"key": "id", "schema": {"id": {"type": "string"}, "deep": {"type": "object", "properties": {"users": {"type": "array", "items": {"type": "string", "ref": "_users"}}}}}}}),
            ),
            (
                "store.updateBucket",
                json!({"name": "maps", "updates": {"addFields": {"user": {"type": "string", "ref": "_users"}}}}),
            ),
        ] {
            assert_eq!(client.refused(operation, fields), DIRECTLY, "{operation}");
        }
        // Rules run with the rights of the server.
        let call = json!({"type": "call_service", "service": "store", "method": "all", "args": ["_users"]});
        for part in [
            json!({"actions": [call]}),
            json!({"actions": [{"type": "try_catch", "try": [{"type": "log"}], "catch": {"actions": [call]}}]}),
            json!({"actions": [{"type": "conditional", "then": [{"type": "for_each", "actions": [call]}]}]}),
            json!({"actions": [], "lookups": [{"name": "users", "service": "store", "method": "all", "args": ["_users"]}]}),
        ] {
            for (operation, field) in [
                ("rules.registerRule", "rule"),
                ("rules.validateRule", "rule"),
                ("rules.updateRule", "updates"),
            ] {
                let fields = json!({"ruleId": "r", field: part});
                assert_eq!(client.refused(operation, fields), DIRECTLY, "{operation}");
            }
        }
        for operations in [
            json!([{"op": "get", "bucket": "_users", "key": "x"}]),
            json!([{"op": "insert", "bucket": "maps", "data": {"id": "1"}}, {"op": "where", "bucket": "_users", "filter": {}}]),
            json!([null, {"op": "get", "bucket": "_users", "key": "x"}]),
        ] {
            let refused = client.refused("store.transaction", json!({"operations": operations}));
            assert_eq!(refused, "FORBIDDEN Cannot access system bucket \"_users\" in transaction");
        }
        let subscribed = client.refused("store.subscribe", json!({"query": "_users"}));
        assert!(subscribed.starts_with("QUERY_NOT_DEFINED"), "{subscribed}");
        assert_eq!(
            client.ok("store.buckets", json!({})),
            json!({"count": 2, "names": ["maps", "notes"]})
        );
        for answer in [
            client.ok("store.stats", json!({})),
            client.ok("server.stats", json!({}))["store"].clone(),
        ] {
            assert_eq!(answer["records"]["total"], 0, "users are not counted");
            assert!(!answer.to_string().contains("\"_"), "{answer}");
        }
    }
    assert_eq!(admin.ok("store.count", json!({"bucket": "maps"})), 0, "nothing of it ran");
    // No answer and no entry of the log has ever shown a hash or a token.
    let log = admin.ok("audit.query", json!({})).to_string();
    assert!(!log.contains("scrypt") && !log.contains(PASSWORD) && !log.contains(SECRET));
}

/// `*` names nothing in particular, and as a pattern everything: an access list
/// for a resource of that name allows nothing.
#[test]
fn an_access_list_for_a_star_opens_nothing() {
    let server = built_in(json!({}));
    let mut admin = superadmin(&server);
    let ann = create_user(&mut admin, "ann", &[]);
    let schema = json!({"key": "id", "schema": {"id": {"type": "string"}}});
    admin.ok("store.defineBucket", json!({"name": "*", "config": schema}));
    for kind in ["topic", "bucket"] {
        let grant = json!({"subjectType": "user", "subjectId": ann, "resourceType": kind,
                           "resourceName": "*", "operations": ["read", "write", "admin"]});
        admin.ok("identity.grant", grant);
    }
    let to_ann = json!({"resourceType": "bucket", "resourceName": "*", "newOwnerId": ann});
    admin.ok("identity.transferOwner", to_ann);
    let (mut client, _) = login(&server, "ann");
    for (operation, fields) in [
        ("rules.subscribe", json!({"pattern": "*"})),
        ("rules.queryFacts", json!({"pattern": "*"})),
        ("store.all", json!({"bucket": "*"})),
        ("store.transaction", json!({"operations": [{"op": "count", "bucket": "*"}]})),
    ] {
        let refused = client.refused(operation, fields);
        assert_eq!(refused, format!("FORBIDDEN No access to {operation} on *"));
    }
}

/// Defining something that reads a bucket needs the right to read it.
#[test]
fn a_definition_is_no_way_around_a_bucket() {
    let server = built_in(json!({}));
    let mut admin = superadmin(&server);
    let ann = create_user(&mut admin, "ann", &[]);
    let (mut client, _) = login(&server, "ann");
    let grant = |kind: &str, name: &str, operations: Value| {
        json!({"subjectType": "user", "subjectId": ann, "resourceType": kind,
               "resourceName": name, "operations": operations})
    };
    admin.ok("identity.grant", grant("query", "mine", json!(["admin", "read"])));
    let query = json!({"name": "mine", "config": {"bucket": "notes"}});
    assert_eq!(
        client.refused("store.defineQuery", query.clone()),
        "FORBIDDEN No access to store.all on notes"
    );
    admin.ok("identity.grant", grant("bucket", "notes", json!(["read"])));
    client.ok("store.defineQuery", query);
}

#[test]
fn nobody_rises_above_the_own_rights() {
    let server = built_in(json!({}));
    let mut admin = superadmin(&server);
    let root = create_user(&mut admin, "root", &["superadmin"]);
    let ann = create_user(&mut admin, "ann", &["admin"]);
    let roles = admin.ok("identity.listRoles", json!({}));
    let role = |name: &str| {
        let all = roles["roles"].as_array().expect("roles");
        all.iter().find(|role| role["name"] == name).expect("a role")["id"].clone()
    };
    let (mut client, _) = login(&server, "ann");
    let boundary = "FORBIDDEN Superadmin role required";
    for (operation, fields) in [
        ("identity.assignRole", json!({"userId": ann, "roleName": "superadmin"})),
        ("identity.removeRole", json!({"userId": root, "roleName": "superadmin"})),
        ("identity.resetPassword", json!({"userId": root, "newPassword": PASSWORD})),
        ("identity.disableUser", json!({"userId": root})),
        ("identity.deleteUser", json!({"userId": root})),
        ("identity.updateUser", json!({"userId": root, "email": "a@b.c"})),
        ("identity.createRole", json!({"name": "more", "permissions": [{"allow": "*"}]})),
        ("identity.updateRole", json!({"roleId": role("admin"), "permissions": [{"allow": "*"}]})),
        ("identity.deleteRole", json!({"roleId": role("reader")})),
    ] {
        assert_eq!(client.refused(operation, fields), boundary, "{operation}");
    }
    let virtual_admin = json!({"userId": "__superadmin__", "newPassword": PASSWORD});
    assert_eq!(
        client.refused("identity.resetPassword", virtual_admin.clone()),
        "NOT_FOUND User not found"
    );
    let deleted = client.refused("identity.deleteUser", virtual_admin.clone());
    assert_eq!(deleted, "FORBIDDEN Cannot delete virtual superadmin");
    let disabled = client.refused("identity.disableUser", virtual_admin);
    assert_eq!(disabled, "FORBIDDEN Cannot disable virtual superadmin");
    let same_name = json!({"username": "__superadmin__", "password": PASSWORD});
    assert!(client.refused("identity.createUser", same_name.clone()).starts_with("ALREADY_EXISTS"));
    assert_eq!(
        Client::connect(&server).refused("identity.login", same_name),
        "UNAUTHORIZED Invalid credentials"
    );
    // Fields that are not the caller's to set.
    let user = client.ok(
        "identity.createUser",
        json!({"username": "eve", "password": PASSWORD, "id": "__superadmin__",
               "roles": ["superadmin"], "passwordHash": "x", "_version": 9}),
    );
    assert_ne!(user["id"], "__superadmin__");
    let id = user["id"].clone();
    assert_eq!(client.ok("identity.getUserRoles", json!({"userId": id})), json!({"roles": []}));
    let (mut eve, _) = login(&server, "eve");
    let updated = eve.ok(
        "identity.updateUser",
        json!({"userId": id, "username": "root", "enabled": false, "passwordHash": "x"}),
    );
    assert_eq!((&updated["username"], &updated["enabled"]), (&json!("eve"), &json!(true)));
    let role = admin.ok("identity.createRole", json!({"name": "x", "system": true, "id": "y"}));
    assert_eq!(role["system"], false);
    // Granting to oneself needs to be the manager, whatever the target.
    for subject in [id.as_str().expect("an id"), "nobody"] {
        let grant = json!({"subjectType": "user", "subjectId": subject, "resourceType": "bucket",
                           "resourceName": "maps", "operations": ["admin"]});
        let refused = eve.refused("identity.grant", grant);
        assert_eq!(
            refused,
            "FORBIDDEN Must be the resource owner, admin, or have admin ACL to manage permissions"
        );
    }
}

#[test]
fn guessing_tokens_leads_nowhere() {
    let hashed = "5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8";
    let server = start(json!({"auth": {
        "tokens": {
            "k3y-for-till-7": {"userId": "till", "roles": ["writer"]},
            format!("sha256:{hashed}"): {"userId": "ops", "roles": ["admin"]},
        },
        "loginRateLimit": {"maxAttempts": 20, "windowMs": 3_600_000},
    }}));
    let mut client = Client::connect(&server);
    client.ok("auth.login", json!({"token": "password"}));
    client.ok("auth.logout", json!({}));
    for token in [
        "k3y-for-till-",
        "k3y-for-till-77",
        "K3Y-FOR-TILL-7",
        " k3y-for-till-7",
        "k3y-for-till-7 ",
        "k3y-for-till-7\u{0}",
        hashed,
        &format!("sha256:{hashed}"),
        "sha256:password",
        "constructor",
        "__proto__",
        &"x".repeat(900_000),
    ] {
        let refused = client.refused("auth.login", json!({"token": token}));
        assert_eq!(refused, "UNAUTHORIZED Invalid token", "{token:.40}");
    }
    for token in [Value::Null, json!(""), json!(7), json!(["k3y-for-till-7"]), json!({})] {
        let refused = client.refused("auth.login", json!({"token": token}));
        assert!(refused.starts_with("VALIDATION_ERROR"), "{refused}");
    }
    // The address has a budget, on all of its connections together.
    let mut failures = 12;
    while failures < 20 {
        let mut other = Client::connect(&server);
        other.refused("auth.login", json!({"token": "x"}));
        failures += 1;
    }
    let locked = "RATE_LIMITED Too many failed login attempts. Try again later.";
    assert_eq!(client.refused("auth.login", json!({"token": "k3y-for-till-7"})), locked);
    let mut elsewhere = Client::connect_from(server.local_addr(), [127, 0, 0, 2].into());
    elsewhere.ok("auth.login", json!({"token": "k3y-for-till-7"}));
}

#[test]
fn brute_force_is_stopped_by_user_and_by_address() {
    // Whoever configures the limit means what the reference does.
    let server = built_in(json!({"auth": {"builtIn": true, "adminSecret": SECRET,
        "loginRateLimit": {"maxAttempts": 5}}}));
    let mut admin = superadmin(&server);
    create_user(&mut admin, "ann", &[]);
    create_user(&mut admin, "bob", &[]);
    let attempt = |server: &_, source: u8, name: &str, password: &str| {
        let server: &noexd::server::ServerThread = server;
        let mut client = Client::connect_from(server.local_addr(), [127, 0, 0, source].into());
        match client.call("identity.login", json!({"username": name, "password": password})) {
            Ok(_) => "in".to_owned(),
            Err(refusal) => refusal.code,
        }
    };
    // One user from five addresses.
    for source in 11..16 {
        assert_eq!(attempt(&server, source, "ann", "wrong"), "UNAUTHORIZED");
    }
    for source in [11, 16] {
        assert_eq!(attempt(&server, source, "ann", PASSWORD), "RATE_LIMITED");
    }
    assert_eq!(attempt(&server, 16, "bob", PASSWORD), "in");
    // Five users from one address, whether they exist or not.
    for name in ["u1", "u2", "u3", "u4", "u5"] {
        assert_eq!(attempt(&server, 21, name, "wrong"), "UNAUTHORIZED");
    }
    assert_eq!(attempt(&server, 21, "bob", PASSWORD), "RATE_LIMITED");
    assert_eq!(attempt(&server, 22, "bob", PASSWORD), "in");
    // The secret is counted by address as well.
    let mut client = Client::connect_from(server.local_addr(), [127, 0, 0, 31].into());
    for secret in
        ["a", SECRET.trim_end_matches('n'), "", &"x".repeat(100_000), "A SECRET", "b", "c"]
    {
        let answer = client.call("identity.loginWithSecret", json!({"secret": secret}));
        assert_ne!(answer.expect_err("refused").code, "INTERNAL_ERROR");
    }
    let refused = client.call("identity.loginWithSecret", json!({"secret": SECRET}));
    let refusal = refused.expect_err("locked");
    assert_eq!(refusal.code, "RATE_LIMITED");
    assert!(refusal.details["retryAfterMs"].as_f64().expect("a time") > 800_000.0);
}

#[test]
fn sessions_cannot_be_fixed_replayed_or_kept() {
    let server = built_in(json!({}));
    let mut admin = superadmin(&server);
    let ann = create_user(&mut admin, "ann", &[]);
    let dead = |token: &str| {
        let mut client = Client::connect(&server);
        let refused = client.refused("auth.login", json!({"token": token}));
        assert_eq!(refused, "UNAUTHORIZED Invalid token");
        assert_eq!(
            client.refused("identity.refreshSession", json!({})),
            "UNAUTHORIZED Authentication required"
        );
    };
    // A token that the attacker chose never becomes one.
    let chosen = "0123456789abcdef0123456789abcdef0123456789a";
    let mut client = Client::connect(&server);
    client.refused("auth.login", json!({"token": chosen}));
    let login_fields =
        json!({"username": "ann", "password": PASSWORD, "token": chosen, "id": chosen});
    let first = client.ok("identity.login", login_fields.clone())["token"].clone();
    let second = client.ok("identity.login", login_fields)["token"].clone();
    assert_ne!(first, second);
    dead(chosen);
    // Logged out, it is dead; what is stored of it never was a token.
    client.ok("identity.logout", json!({}));
    dead(second.as_str().expect("a token"));
    let digest = noexd::identity::token_id(first.as_str().expect("a token"));
    dead(&digest);
    // Refreshed, the old one is dead.
    let (mut client, old) = login(&server, "ann");
    let new = client.ok("identity.refreshSession", json!({}))["token"].clone();
    dead(&old);
    // Another password, and everything before is dead.
    let change =
        json!({"userId": ann, "currentPassword": PASSWORD, "newPassword": "another password"});
    client.ok("identity.changePassword", change);
    dead(new.as_str().expect("a token"));
    dead(first.as_str().expect("a token"));
    client.ok("identity.whoami", json!({}));
}

#[test]
fn rights_end_while_connected() {
    let server = built_in(json!({"store": {"firstPushDelayMs": 0}}));
    let mut admin = superadmin(&server);
    let ann = create_user(&mut admin, "ann", &["admin"]);
    let (mut client, _) = login(&server, "ann");
    client.ok("store.subscribe", json!({"query": "all-maps"}));
    client.ok("identity.listUsers", json!({}));
    admin.ok("identity.removeRole", json!({"userId": ann, "roleName": "admin"}));
    admin.ok("store.insert", json!({"bucket": "maps", "data": {"id": "1"}}));
    assert_eq!(client.next().expect("a message")["event"], "subscription_cancelled");
    assert_eq!(client.pushes(), [] as [Value; 0]);
    for (operation, refused) in [
        ("identity.listUsers", "FORBIDDEN Admin role required"),
        ("identity.createUser", "FORBIDDEN Admin role required"),
        ("server.stats", "FORBIDDEN No access to server.stats on *"),
        ("audit.query", "FORBIDDEN No access to audit.query on *"),
    ] {
        assert_eq!(client.refused(operation, json!({})), refused);
    }
    let bob = create_user(&mut admin, "bob", &["writer"]);
    for (operation, reason) in
        [("identity.disableUser", "Account disabled"), ("identity.deleteUser", "Account deleted")]
    {
        let (mut client, _) = login(&server, "bob");
        client.ok("store.subscribe", json!({"query": "all-maps"}));
        admin.ok(operation, json!({"userId": bob}));
        client.assert_ended(reason);
        if operation == "identity.disableUser" {
            admin.ok("identity.enableUser", json!({"userId": bob}));
        }
    }
}

/// Requests in the same segment as the one that ends the session.
#[test]
fn nothing_runs_after_the_end_of_a_session() {
    let server = built_in(json!({}));
    let mut admin = superadmin(&server);
    let ann = create_user(&mut admin, "ann", &["admin"]);
    let (mut client, _) = login(&server, "ann");
    client.send(json!({"id": 50, "type": "server.revokeSessions", "userId": ann}).to_string());
    for id in 51..60 {
        let insert =
            json!({"id": id, "type": "store.insert", "bucket": "maps", "data": {"id": "x"}});
        client.send(insert.to_string());
    }
    assert_eq!(client.response(50).expect("revoked"), json!({"revoked": 1}));
    client.assert_ended("Session revoked by administrator");
    assert_eq!(admin.ok("store.count", json!({"bucket": "maps"})), 0);
}

#[test]
fn names_and_accounts_cannot_be_found_out() {
    let server = built_in(json!({"auth": {"builtIn": true, "adminSecret": SECRET,
        "loginRateLimit": {"maxAttempts": 1000}}}));
    let mut admin = superadmin(&server);
    let ann = create_user(&mut admin, "ann", &[]);
    create_user(&mut admin, "bob", &[]);
    admin.ok("identity.disableUser", json!({"userId": ann}));
    let mut client = Client::connect(&server);
    for name in ["ann", "bob", "nobody", "__superadmin__"] {
        let refused =
            client.refused("identity.login", json!({"username": name, "password": "wrong"}));
        assert_eq!(refused, "UNAUTHORIZED Invalid credentials", "{name}");
    }
    let (mut bob, _) = login(&server, "bob");
    for (operation, fields) in [
        ("identity.getUser", json!({"userId": ann})),
        ("identity.getUser", json!({"userId": "nobody"})),
        ("identity.updateUser", json!({"userId": ann})),
        ("identity.updateUser", json!({"userId": "nobody"})),
        ("identity.getUserRoles", json!({"userId": "nobody"})),
        ("identity.deleteUser", json!({})),
        ("identity.listUsers", json!({})),
    ] {
        assert_eq!(bob.refused(operation, fields), "FORBIDDEN Admin role required");
    }
}
