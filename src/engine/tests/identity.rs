//! Built-in users over the engine: what becomes of live connections, of
//! passwords that are being hashed, and of the system buckets.

use super::*;
use crate::config::BuiltIn;

const SECRET: &str = "a secret of the admin";

struct Users {
    rig: Rig,
    admin: ConnId,
}

fn settings() -> BuiltIn {
    BuiltIn::new(SECRET)
}

fn users(settings: BuiltIn) -> Users {
    users_over(settings, Store::default())
}

fn users_over(settings: BuiltIn, store: Store) -> Users {
    // Over a store with records, other ids than those that are there.
    let seed = [store.records() as u8; 32];
    let options = EngineOptions { heartbeat_interval_ms: 0, seed, ..EngineOptions::default() };
    let mut rig = Rig::with_store(options, store);
    rig.engine.set_built_in_auth(settings, 60_000).expect("system buckets");
    let admin = rig.connect();
    let mut users = Users { rig, admin };
    let login =
        users.ask(admin, &format!(r#""type":"identity.loginWithSecret","secret":"{SECRET}""#));
    assert!(login.contains("__superadmin__"), "{login}");
    users
}

impl Users {
    /// Sends a request, runs the password jobs that it starts, and returns
    /// `CODE message` or the data.
    fn ask(&mut self, conn: ConnId, request: &str) -> String {
        let message = self.message(conn, request);
        let text = |name: &str| message.get(name).and_then(Json::as_str).unwrap_or_default();
        match text("type") {
            "error" => format!("{} {}", text("code"), text("message")),
            _ => message.get("data").map(Json::to_text).unwrap_or_default(),
        }
    }

    fn message(&mut self, conn: ConnId, request: &str) -> Json {
        self.rig.received(conn);
        self.rig.send(conn, &format!(r#"{{"id":1,{request}}}"#));
        self.rig.run_jobs();
        self.rig.received(conn).into_iter().next().expect("an answer")
    }

    fn admin(&mut self, request: &str) -> String {
        self.ask(self.admin, request)
    }

    fn data(&mut self, conn: ConnId, request: &str) -> Json {
        let message = self.message(conn, request);
        message.get("data").cloned().unwrap_or_else(|| panic!("{request}: {message}"))
    }

    /// A new user with the password `password`; the id.
    fn create(&mut self, name: &str) -> String {
        let request =
            format!(r#""type":"identity.createUser","username":"{name}","password":"password""#);
        let user = self.data(self.admin, &request);
        user.get("id").and_then(Json::as_str).expect("an id").to_owned()
    }

    fn connect(&mut self) -> ConnId {
        let conn = self.rig.connect();
        self.rig.received(conn);
        conn
    }

    /// A connection logged in as this user, and its token.
    fn login(&mut self, name: &str) -> (ConnId, String) {
        let conn = self.connect();
        let token = self.login_on(conn, name, "password");
        (conn, token)
    }

    fn login_on(&mut self, conn: ConnId, name: &str, password: &str) -> String {
        let request =
            format!(r#""type":"identity.login","username":"{name}","password":"{password}""#);
        let result = self.data(conn, &request);
        result.get("token").and_then(Json::as_str).expect("a token").to_owned()
    }

    /// Asserts that the connection was told why it ended.
    fn assert_ended(&mut self, conn: ConnId, reason: &str) {
        let told: Vec<String> = self.rig.received(conn).iter().map(Json::to_text).collect();
        let message =
            format!(r#"{{"type":"system","event":"session_revoked","reason":"{reason}"}}"#);
        assert_eq!(told.last(), Some(&message));
        assert_eq!(self.rig.is_closed(conn), Some((4002, "session_revoked")));
    }

    fn assert_lives(&mut self, conn: ConnId) {
        assert_eq!(self.rig.is_closed(conn), None);
        let who = self.ask(conn, r#""type":"identity.whoami""#);
        assert!(who.contains(r#""authenticated":true"#), "{who}");
    }

    fn assert_dead(&mut self, token: &str) {
        let conn = self.connect();
        let request = format!(r#""type":"auth.login","token":"{token}""#);
        assert_eq!(self.ask(conn, &request), "UNAUTHORIZED Invalid token");
    }

    fn count(&self, bucket: &str) -> usize {
        self.rig.engine.store.bucket_named(bucket).expect("a system bucket").len()
    }
}

#[test]
fn logout_ends_every_connection_of_the_session() {
    let mut users = users(settings());
    users.create("ann");
    let (first, token) = users.login("ann");
    let second = users.connect();
    users.data(second, &format!(r#""type":"auth.login","token":"{token}""#));
    let (other, _) = users.login("ann");
    assert_eq!(users.ask(first, r#""type":"identity.logout""#), r#"{"loggedOut":true}"#);
    users.assert_ended(second, "Session ended");
    users.assert_lives(other);
    assert_eq!(users.rig.is_closed(first), None);
    users.assert_dead(&token);
    // `auth.logout` is the same, and does not mind being told twice.
    let (conn, token) = users.login("ann");
    for _ in 0..2 {
        assert_eq!(users.ask(conn, r#""type":"auth.logout""#), r#"{"loggedOut":true}"#);
    }
    users.assert_dead(&token);
}

#[test]
fn a_refreshed_session_takes_its_connections_along() {
    let mut users = users(settings());
    users.create("ann");
    let (first, old) = users.login("ann");
    let second = users.connect();
    users.data(second, &format!(r#""type":"auth.login","token":"{old}""#));
    users.rig.advance(5000);
    let result = users.data(first, r#""type":"identity.refreshSession""#);
    let new = result.get("token").and_then(Json::as_str).expect("a token").to_owned();
    assert_ne!(old, new);
    assert_eq!(
        result.get("expiresAt").and_then(Json::as_number),
        Some(users.rig.now.wall as f64 + 86_400_000.0)
    );
    users.assert_dead(&old);
    let who = users.ask(second, r#""type":"auth.whoami""#);
    assert!(who.contains(&(users.rig.now.wall + 86_400_000).to_string()), "{who}");
    users.ask(second, r#""type":"identity.logout""#);
    users.assert_ended(first, "Session ended");
    users.assert_dead(&new);
}

#[test]
fn a_token_binds_the_connection_to_its_session() {
    let mut users = users(settings());
    users.create("ann");
    users.create("bob");
    let (_, ann) = users.login("ann");
    let (conn, bob) = users.login("bob");
    let login = users.ask(conn, &format!(r#""type":"auth.login","token":"{ann}""#));
    assert!(login.contains(r#""roles":[]"#), "{login}");
    // What is refreshed is the session that was presented last.
    let refreshed = users.ask(conn, r#""type":"identity.refreshSession""#);
    assert!(refreshed.contains(r#""username":"ann""#), "{refreshed}");
    let again = users.connect();
    let bob = users.ask(again, &format!(r#""type":"auth.login","token":"{bob}""#));
    assert!(bob.starts_with('{'), "replaced on one connection, alive elsewhere: {bob}");
}

#[test]
fn changing_the_password_ends_everybody_else() {
    let mut users = users(settings());
    let ann = users.create("ann");
    let (caller, token) = users.login("ann");
    let (other, other_token) = users.login("ann");
    let change = |current: &str, new: &str| {
        format!(
            r#""type":"identity.changePassword","userId":"{ann}","currentPassword":"{current}","newPassword":"{new}""#
        )
    };
    assert_eq!(
        users.ask(caller, &change("wrong", "password-2")),
        "UNAUTHORIZED Current password is incorrect"
    );
    assert_eq!(users.ask(caller, &change("password", "password-2")), r#"{"changed":true}"#);
    users.assert_ended(other, "Password changed");
    users.assert_lives(caller);
    users.assert_dead(&token);
    users.assert_dead(&other_token);
    // The caller is bound to a record that nobody has a token of, yet.
    let fresh = users.data(caller, r#""type":"identity.refreshSession""#);
    let fresh = fresh.get("token").and_then(Json::as_str).expect("a token").to_owned();
    let conn = users.connect();
    users.data(conn, &format!(r#""type":"auth.login","token":"{fresh}""#));
    let conn = users.connect();
    users.login_on(conn, "ann", "password-2");
    let conn = users.connect();
    let old = r#""type":"identity.login","username":"ann","password":"password""#;
    assert_eq!(users.ask(conn, old), "UNAUTHORIZED Invalid credentials");
}

#[test]
fn what_happens_to_a_user_happens_to_the_connections() {
    let mut users = users(settings());
    let ann = users.create("ann");
    let about = |operation: &str| format!(r#""type":"identity.{operation}","userId":"{ann}""#);
    let reset = format!(r#"{},"newPassword":"password""#, about("resetPassword"));
    for (request, reason) in [
        (reset, "Password reset"),
        (about("disableUser"), "Account disabled"),
        (about("deleteUser"), "Account deleted"),
    ] {
        let (conn, token) = users.login("ann");
        users.admin(&request);
        users.assert_ended(conn, reason);
        users.assert_dead(&token);
        users.admin(&about("enableUser"));
    }
    assert_eq!(users.admin(&about("getUser")), "NOT_FOUND User not found");
}

#[test]
fn who_ends_its_own_account_gets_the_answer_first() {
    let mut users = users(settings());
    let ann = users.create("ann");
    users.admin(&format!(r#""type":"identity.assignRole","userId":"{ann}","roleName":"admin""#));
    let (conn, _) = users.login("ann");
    users.rig.received(conn);
    users.rig.send(conn, &format!(r#"{{"id":5,"type":"identity.deleteUser","userId":"{ann}"}}"#));
    let got: Vec<String> = users.rig.received(conn).iter().map(Json::to_text).collect();
    assert_eq!(got[0], r#"{"id":5,"type":"result","data":{"deleted":true}}"#);
    assert!(got[1].contains("Account deleted"));
    assert_eq!(users.rig.is_closed(conn), Some((4002, "session_revoked")));
}

#[test]
fn deleting_a_user_leaves_nothing_behind() {
    let mut users = users(settings());
    let ann = users.create("ann");
    users.admin(&format!(r#""type":"identity.assignRole","userId":"{ann}","roleName":"admin""#));
    let (conn, _) = users.login("ann");
    users.data(conn, r#""type":"store.defineBucket","name":"maps","config":{"key":"id","schema":{"id":{"type":"string"}}}"#);
    let grant = |kind: &str, id: &str| {
        format!(
            r#""type":"identity.grant","subjectType":"{kind}","subjectId":"{id}","resourceType":"bucket","resourceName":"maps","operations":["read"]"#
        )
    };
    users.admin(&grant("user", &ann));
    let role = users.data(users.admin, r#""type":"identity.createRole","name":"curator""#);
    let role = role.get("id").and_then(Json::as_str).expect("an id").to_owned();
    users.admin(&grant("role", &role));
    let counts = ["_users", "_user_roles", "_acl", "_sessions", "_resource_owners"]
        .map(|bucket| users.count(bucket));
    assert_eq!(counts, [1, 1, 2, 2, 1]);
    users.admin(&format!(r#""type":"identity.deleteUser","userId":"{ann}""#));
    users.admin(&format!(r#""type":"identity.deleteRole","roleId":"{role}""#));
    let counts = ["_users", "_user_roles", "_acl", "_sessions", "_resource_owners"]
        .map(|bucket| users.count(bucket));
    assert_eq!(counts, [0, 0, 0, 1, 0], "the admin's own session is left");
    // The bucket stays, and a superadmin may give it to somebody.
    let bob = users.create("bob");
    let transfer = format!(
        r#""type":"identity.transferOwner","resourceType":"bucket","resourceName":"maps","newOwnerId":"{bob}""#
    );
    assert_eq!(users.admin(&transfer), r#"{"transferred":true}"#);
    let nothing = transfer.replace("maps", "nothing");
    assert_eq!(users.admin(&nothing), "NOT_FOUND Resource has no owner");
}

#[test]
fn sessions_of_a_user_are_limited() {
    let mut users = users(BuiltIn { max_sessions_per_user: 2, ..settings() });
    users.create("ann");
    let (first, _) = users.login("ann");
    users.rig.advance(10);
    let (second, _) = users.login("ann");
    users.rig.engine.closed(second, users.rig.now);
    users.rig.advance(10);
    // The one without a connection goes first, though it is younger.
    let (third, _) = users.login("ann");
    users.assert_lives(first);
    users.rig.advance(10);
    let (fourth, _) = users.login("ann");
    users.assert_ended(first, "Session limit reached");
    users.assert_lives(third);
    // Logging in again on the same connection replaces its own session.
    users.login_on(fourth, "ann", "password");
    users.login_on(fourth, "ann", "password");
    users.assert_lives(third);
    users.assert_lives(fourth);
    assert_eq!(users.count("_sessions"), 3);
}

#[test]
fn records_of_sessions_live_exactly_as_long() {
    let mut users = users(BuiltIn { session_ttl_ms: 5000, ..settings() });
    users.create("ann");
    let (conn, token) = users.login("ann");
    assert_eq!(users.count("_sessions"), 2);
    let row = users.rig.engine.store.bucket_named("_sessions").expect("a bucket").iter().last();
    let text = row.expect("a session").1.text().to_owned();
    assert!(!text.contains(&token), "stored is what cannot be presented: {text}");
    users.rig.advance(4999);
    users.assert_lives(conn);
    users.rig.advance(2000);
    assert_eq!(users.count("_sessions"), 0);
    users.assert_dead(&token);
    assert_eq!(users.ask(conn, r#""type":"identity.whoami""#), "UNAUTHORIZED Session expired");
    assert_eq!(
        users.ask(conn, r#""type":"identity.whoami""#),
        "UNAUTHORIZED Authentication required"
    );
}

#[test]
fn rights_follow_the_roles_of_the_moment() {
    let mut users = users(settings());
    let ann = users.create("ann");
    let role = |operation: &str, name: &str| {
        format!(r#""type":"identity.{operation}","userId":"{ann}","roleName":"{name}""#)
    };
    let (conn, _) = users.login("ann");
    let list = r#""type":"identity.listUsers""#;
    assert_eq!(users.ask(conn, list), "FORBIDDEN Admin role required");
    users.admin(&role("assignRole", "admin"));
    assert!(users.ask(conn, list).starts_with('{'));
    assert!(users.ask(conn, r#""type":"auth.whoami""#).contains(r#""roles":["admin"]"#));
    assert!(users.admin(r#""type":"server.connections""#).contains(r#""roles":["admin"]"#));
    // An admin does not get further.
    let boundary = "FORBIDDEN Superadmin role required";
    assert_eq!(users.ask(conn, &role("assignRole", "superadmin")), boundary);
    users.admin(&role("removeRole", "admin"));
    assert_eq!(users.ask(conn, list), "FORBIDDEN Admin role required");
    let bob = users.create("bob");
    users.admin(&format!(
        r#""type":"identity.assignRole","userId":"{bob}","roleName":"superadmin""#
    ));
    users.admin(&role("assignRole", "admin"));
    for operation in ["disableUser", "deleteUser", "updateUser"] {
        let request = format!(r#""type":"identity.{operation}","userId":"{bob}""#);
        assert_eq!(users.ask(conn, &request), boundary, "{operation}");
    }
    let reset =
        format!(r#""type":"identity.resetPassword","userId":"{bob}","newPassword":"password""#);
    assert_eq!(users.ask(conn, &reset), boundary);
}

#[test]
fn failures_are_counted_across_connections() {
    let mut users = users(settings());
    let ann = users.create("ann");
    let (caller, _) = users.login("ann");
    let wrong = r#""type":"identity.login","username":"ann","password":"wrong""#;
    for _ in 0..4 {
        let conn = users.connect();
        assert_eq!(users.ask(conn, wrong), "UNAUTHORIZED Invalid credentials");
    }
    // A wrong current password is a guess like any other.
    let change = format!(
        r#""type":"identity.changePassword","userId":"{ann}","currentPassword":"wrong","newPassword":"password""#
    );
    assert_eq!(users.ask(caller, &change), "UNAUTHORIZED Current password is incorrect");
    let locked = "RATE_LIMITED Too many failed login attempts. Try again later.";
    let right = r#""type":"identity.login","username":"ann","password":"password""#;
    let conn = users.connect();
    assert_eq!(users.ask(conn, right), locked);
    assert_eq!(users.ask(caller, &change), locked);
    users.rig.advance(900_001);
    assert!(users.ask(conn, right).starts_with('{'));
}

/// With the limits of the default: one person's errors cost that person's
/// attempts from there, not those of the office, nor hers from elsewhere.
#[test]
fn typing_errors_of_one_lock_out_nobody_else() {
    let mut users = users(settings());
    users.create("ann");
    users.create("bob");
    let login = |name: &str, password: &str| {
        format!(r#""type":"identity.login","username":"{name}","password":"{password}""#)
    };
    let office = [192, 0, 2, 1];
    let conn = users.rig.connect_from(office);
    users.rig.received(conn);
    for _ in 0..5 {
        assert_eq!(users.ask(conn, &login("ann", "wrong")), "UNAUTHORIZED Invalid credentials");
    }
    let locked = "RATE_LIMITED Too many failed login attempts. Try again later.";
    assert_eq!(users.ask(conn, &login("ann", "password")), locked);
    assert!(users.ask(conn, &login("bob", "password")).starts_with('{'), "the office");
    let home = users.rig.connect_from([198, 51, 100, 1]);
    users.rig.received(home);
    assert!(users.ask(home, &login("ann", "password")).starts_with('{'), "from elsewhere");
    // An address that tries names has its limit, too: 20 times as many.
    for n in 5..100 {
        let answer = users.ask(conn, &login(&format!("guess{n}"), "wrong"));
        assert_eq!(answer, "UNAUTHORIZED Invalid credentials", "{n}");
    }
    assert_eq!(users.ask(conn, &login("bob", "password")), locked);
}

#[test]
fn what_would_open_more_than_it_says_is_no_permission() {
    let mut users = users(settings());
    let admin = users.admin;
    let role = |permissions: &str| {
        format!(r#""type":"identity.createRole","name":"r","permissions":{permissions}"#)
    };
    for bad in [
        r#"[{"allow":"store.*","bucket":["a"]}]"#,
        r#"[{"allow":"store.*"},{"allow":"store.*","Buckets":["a"]}]"#,
        r#"[{"allow":"store.*","topic":[]}]"#,
        r#"[{"allow":"store.*","buckets":["a"],"rows":1}]"#,
    ] {
        let at = usize::from(bad.contains("Buckets"));
        let expected = format!(
            "VALIDATION_ERROR Invalid \"permissions[{at}]\": expected {{ allow, buckets?, topics? }}"
        );
        assert_eq!(users.ask(admin, &role(bad)), expected, "{bad}");
    }
    let made = users.ask(admin, &role(r#"[{"allow":["store.gett","store.get","no.*"]}]"#));
    let warning =
        r#""warnings":["unknown operation \"store.gett\" (did you mean \"store.get\"?)"]"#;
    assert!(made.contains(warning), "{made}");
}

#[test]
fn attempts_at_the_same_time_do_not_slip_past_the_limit() {
    let mut users = users(settings());
    users.create("ann");
    let conns: Vec<ConnId> = (0..20).map(|_| users.connect()).collect();
    for conn in &conns {
        users
            .rig
            .send(*conn, r#"{"id":1,"type":"identity.login","username":"ann","password":"wrong"}"#);
    }
    users.rig.run_jobs();
    let told = |users: &mut Users, conn| {
        let got = users.rig.received(conn).remove(0);
        got.get("code").and_then(Json::as_str).expect("an error").to_owned()
    };
    let codes: Vec<String> = conns.iter().map(|conn| told(&mut users, *conn)).collect();
    // Of the eight that an address may have in the queue.
    assert_eq!(codes.iter().filter(|code| *code == "UNAUTHORIZED").count(), 5);
    assert_eq!(codes.iter().filter(|code| *code == "RATE_LIMITED").count(), 15);
}

#[test]
fn nobody_learns_who_exists_or_who_is_disabled() {
    let mut users = users(BuiltIn {
        login_rate_limit: crate::config::LoginRateLimit { max_attempts: 1000, window_ms: 1000 },
        ..settings()
    });
    let ann = users.create("ann");
    users.admin(&format!(r#""type":"identity.disableUser","userId":"{ann}""#));
    let invalid = "UNAUTHORIZED Invalid credentials";
    let long = "x".repeat(100_000);
    for (username, password, expected) in [
        ("ann", "wrong", invalid),
        ("nobody", "password", invalid),
        ("__superadmin__", "password", invalid),
        (&long, "password", invalid),
        ("ann", &long, invalid),
        ("ann", "password", "UNAUTHORIZED Account disabled"),
    ] {
        let conn = users.connect();
        let request = format!(
            r#"{{"id":1,"type":"identity.login","username":"{username}","password":"{password}"}}"#
        );
        users.rig.send(conn, &request);
        // Each costs one hash, whether the user exists or not.
        assert_eq!(users.rig.jobs.len(), usize::from(username.len() < 100), "{username}");
        users.rig.run_jobs();
        let got = users.rig.received(conn).remove(0);
        let text = |name: &str| got.get(name).and_then(Json::as_str).expect("an error").to_owned();
        assert_eq!(format!("{} {}", text("code"), text("message")), expected);
    }
}

#[test]
fn the_queue_of_password_jobs_is_bounded_and_holds_back_nobody_else() {
    let mut users = users(settings());
    // Eight of each address, and one more.
    let mut conns: Vec<ConnId> =
        (0..64).map(|n| users.rig.connect_from([192, 0, 2, n / 8])).collect();
    conns.push(users.rig.connect_from([192, 0, 2, 99]));
    conns.iter().for_each(|conn| drop(users.rig.received(*conn)));
    for (n, conn) in conns.iter().enumerate() {
        let request = format!(
            r#"{{"id":1,"type":"identity.login","username":"user{n}","password":"password"}}"#
        );
        users.rig.send(*conn, &request);
    }
    let refused = users.rig.received(conns[64]).remove(0);
    assert_eq!(
        refused.get("message").and_then(Json::as_str),
        Some("Too many login attempts in progress. Try again later.")
    );
    for (n, conn) in conns.iter().enumerate().take(64) {
        assert!(users.rig.received(*conn).is_empty(), "{n}");
    }
    assert!(
        users.rig.call(users.admin, r#"{"id":1,"type":"store.buckets"}"#).get("data").is_some()
    );
    // Connections that go away do not keep their places.
    for conn in &conns {
        users.rig.engine.closed(*conn, users.rig.now);
    }
    users.rig.jobs.clear();
    // A crowd of one address leaves room for the others.
    let crowd: Vec<ConnId> = (0..9).map(|_| users.rig.connect_from([192, 0, 2, 1])).collect();
    let elsewhere = users.rig.connect_from([192, 0, 2, 2]);
    let request = r#"{"id":1,"type":"identity.login","username":"ann","password":"password"}"#;
    for conn in crowd.iter().chain([&elsewhere]) {
        users.rig.received(*conn);
        users.rig.send(*conn, request);
    }
    let waits: Vec<bool> = crowd.iter().map(|conn| users.rig.received(*conn).is_empty()).collect();
    assert_eq!(waits, [true, true, true, true, true, true, true, true, false]);
    assert!(users.rig.received(elsewhere).is_empty());
    users.rig.jobs.clear();
    let (_, token) = {
        users.create("ann");
        users.login("ann")
    };
    assert_eq!(token.len(), 43);
}

#[test]
fn the_state_is_read_again_when_a_hash_is_done() {
    let mut users = users(settings());
    let ann = users.create("ann");
    let login = r#"{"id":1,"type":"identity.login","username":"ann","password":"password"}"#;
    for (meanwhile, expected) in [
        (
            format!(r#"{{"id":2,"type":"identity.disableUser","userId":"{ann}"}}"#),
            "Account disabled",
        ),
        (
            format!(r#"{{"id":2,"type":"identity.deleteUser","userId":"{ann}"}}"#),
            "Invalid credentials",
        ),
    ] {
        let conn = users.connect();
        users.rig.send(conn, login);
        users.rig.send(users.admin, &meanwhile);
        users.rig.run_jobs();
        let got = users.rig.received(conn).remove(0);
        assert_eq!(got.get("message").and_then(Json::as_str), Some(expected));
        users.admin(&format!(r#""type":"identity.enableUser","userId":"{ann}""#));
    }
    // Two at once: the name is taken when the second one is done.
    let other = users.connect();
    users.data(other, &format!(r#""type":"identity.loginWithSecret","secret":"{SECRET}""#));
    for conn in [users.admin, other] {
        users.rig.received(conn);
        users.rig.send(
            conn,
            r#"{"id":3,"type":"identity.createUser","username":"eve","password":"password"}"#,
        );
    }
    users.rig.run_jobs();
    assert!(users.rig.received(users.admin)[0].get("data").is_some());
    let second = users.rig.received(other).remove(0);
    assert_eq!(second.get("code").and_then(Json::as_str), Some("ALREADY_EXISTS"));
}

#[test]
fn a_revoked_user_has_no_way_in() {
    let mut users = users(settings());
    let ann = users.create("ann");
    let (conn, token) = users.login("ann");
    let revoke = format!(r#""type":"server.revokeSessions","userId":"{ann}""#);
    assert_eq!(users.admin(&revoke), r#"{"revoked":1}"#);
    users.assert_ended(conn, "Session revoked by administrator");
    users.assert_dead(&token);
    let conn = users.connect();
    let login = r#""type":"identity.login","username":"ann","password":"password""#;
    assert_eq!(users.ask(conn, login), "SESSION_REVOKED Session has been revoked");
    users.admin(&format!(r#""type":"server.unrevoke","userId":"{ann}""#));
    users.login_on(conn, "ann", "password");
    // The virtual superadmin always has the secret.
    users.admin(r#""type":"server.revokeSessions","userId":"__superadmin__""#);
    let conn = users.connect();
    let secret = format!(r#""type":"identity.loginWithSecret","secret":"{SECRET}""#);
    assert!(users.ask(conn, &secret).starts_with('{'));
}

#[test]
fn only_system_roles_that_nobody_edited_are_topped_up() {
    let mut first = users(settings());
    let roles = first.data(first.admin, r#""type":"identity.listRoles""#);
    let id = |name: &str| {
        let roles = roles.get("roles").and_then(Json::as_array).expect("roles");
        let role = roles.iter().find(|role| role.get("name").and_then(Json::as_str) == Some(name));
        role.and_then(|role| role.get("id")).and_then(Json::as_str).expect("an id").to_owned()
    };
    // `admin` as noex-server left it, `writer` emptied, `reader` as it is.
    let admin = crate::identity::SYSTEM_ROLES[1]
        .permissions()
        .to_text()
        .replace(",\"logic.*\",\"access.*\"", "");
    for (name, permissions) in [("admin", admin.as_str()), ("writer", "[]")] {
        let request = format!(
            r#""type":"identity.updateRole","roleId":"{}","permissions":{permissions}"#,
            id(name)
        );
        assert!(first.admin(&request).starts_with('{'));
    }
    let mut again = users_over(settings(), first.rig.engine.store.clone());
    let roles = again.admin(r#""type":"identity.listRoles""#);
    assert!(roles.contains("logic.*"));
    assert!(roles.contains(r#""name":"writer","description":"Data mutations and reads","system":true,"permissions":[]"#), "{roles}");
    assert_eq!(again.count("_roles"), 4);
    // Everything derived from the buckets is there again.
    again.create("ann");
    again.login("ann");
}

#[test]
fn a_foreign_bucket_of_a_system_name_stops_the_start() {
    let mut store = Store::new();
    let config = crate::json::parse(r#"{"key":"id","schema":{"id":{"type":"string"}}}"#, 9);
    let Json::Object(definition) = config.expect("JSON").to_json() else { panic!("an object") };
    let set = store
        .prepare_define("_users", definition, &crate::budget::Budget::unlimited())
        .expect("defined");
    store.commit(set);
    let options = EngineOptions::default();
    let mut rig = Rig::with_store(options, store);
    let error = rig.engine.set_built_in_auth(settings(), 0).expect_err("refused");
    assert!(error.message.contains("_users"), "{error}");
}

/// A query was allowed on a bucket and not on its name (access.md A20).
#[test]
fn a_query_does_not_show_the_next_bucket_of_its_name() {
    let mut users = users(settings());
    users.admin(r#""type":"identity.createRole","name":"builder","permissions":[{"allow":["store.defineBucket","store.dropBucket","store.defineQuery","store.undefineQuery"]}]"#);
    let mut conns = Vec::new();
    for name in ["ann", "bob", "eve"] {
        let id = users.create(name);
        users.admin(&format!(
            r#""type":"identity.assignRole","userId":"{id}","roleName":"builder""#
        ));
        conns.push((users.login(name).0, id));
    }
    let [(ann, _), (bob, _), (eve, eve_id)] = conns.as_slice() else { panic!("three") };
    let (ann, bob, eve) = (*ann, *bob, *eve);
    let define = r#""type":"store.defineBucket","name":"b","config":{"key":"id","schema":{"id":{"type":"number"}}}"#;
    let subscribe = r#""type":"store.subscribe","query":"q""#;
    users.ask(ann, define);
    users.ask(ann, r#""type":"store.defineQuery","name":"q","config":{"bucket":"b"}"#);
    let grant = format!(
        r#""type":"identity.grant","subjectType":"user","subjectId":"{eve_id}","resourceType":"query","resourceName":"q","operations":["read"]"#
    );
    users.admin(&grant);
    assert!(users.ask(eve, subscribe).contains("subscriptionId"));
    users.ask(ann, r#""type":"store.dropBucket","name":"b""#);
    assert_eq!(users.ask(ann, subscribe), "BUCKET_NOT_DEFINED Bucket \"b\" is not defined");
    users.ask(bob, define);
    users.ask(bob, r#""type":"store.insert","bucket":"b","data":{"id":1}"#);
    let refused = "FORBIDDEN No access to store.all on b";
    assert_eq!(users.ask(ann, subscribe), refused);
    assert_eq!(users.ask(eve, subscribe), refused);
    // Who may read the new bucket may use the query on it.
    assert!(users.ask(bob, subscribe).contains("subscriptionId"));
    users.rig.advance(20);
    users.rig.received_by_all();
    users.ask(bob, r#""type":"store.insert","bucket":"b","data":{"id":2}"#);
    users.rig.advance(20);
    let pushed = users.rig.received_by_all();
    assert!(!pushed.contains_key(&ann) && !pushed.contains_key(&eve), "{pushed:?}");
    // Defined again by somebody who may read the bucket, it is as any other.
    users.admin(r#""type":"store.undefineQuery","name":"q""#);
    assert_eq!(
        users.ask(ann, r#""type":"store.defineQuery","name":"q","config":{"bucket":"b"}"#),
        refused
    );
    users.ask(bob, r#""type":"store.defineQuery","name":"q","config":{"bucket":"b"}"#);
    users.admin(&grant);
    assert!(users.ask(eve, subscribe).contains("subscriptionId"));
}

/// Who finds a bucket or a query as he wants it does not become its owner.
#[test]
fn what_is_there_already_keeps_its_owner() {
    let mut users = users(settings());
    users.admin(
        r#""type":"identity.createRole","name":"builder","permissions":[{"allow":["store.*"]}]"#,
    );
    let mut conns = Vec::new();
    for name in ["ann", "bob"] {
        let id = users.create(name);
        users.admin(&format!(
            r#""type":"identity.assignRole","userId":"{id}","roleName":"builder""#
        ));
        conns.push(users.login(name).0);
    }
    let [ann, bob] = *conns.as_slice() else { panic!("two") };
    let bucket = r#""type":"store.defineBucket","name":"b","ifMissing":true,"config":{"key":"id","schema":{"id":{"type":"number"}}}"#;
    let query = r#""type":"store.defineQuery","name":"q","ifMissing":true,"config":{"bucket":"b"}"#;
    assert_eq!(users.ask(ann, bucket), r#"{"name":"b","created":true}"#);
    assert_eq!(users.ask(ann, query), r#"{"name":"q","defined":true}"#);
    assert_eq!(users.ask(bob, bucket), r#"{"name":"b","created":true,"existed":true}"#);
    assert_eq!(users.ask(bob, query), r#"{"name":"q","defined":true,"existed":true}"#);
    for (kind, name) in [("bucket", "b"), ("query", "q")] {
        let owner = users.admin(&format!(
            r#""type":"identity.getOwner","resourceType":"{kind}","resourceName":"{name}""#
        ));
        assert!(owner.contains(r#""username":"ann""#), "{owner}");
    }
}

#[test]
fn a_system_bucket_is_refused_before_the_type_is_looked_at() {
    let mut users = users(settings());
    let refused = "FORBIDDEN Cannot access system bucket \"_a\" directly";
    assert_eq!(users.admin(r#""type":"store.nope","bucket":"_a""#), refused);
    assert_eq!(users.admin(r#""type":"store.nope","name":"_a""#), refused);
    let unknown = "UNKNOWN_OPERATION Unknown store operation \"store.nope\"";
    assert_eq!(users.admin(r#""type":"store.nope","bucket":"a","name":7"#), unknown);
    let other = "UNKNOWN_OPERATION Unknown server operation \"server.nope\"";
    assert_eq!(users.admin(r#""type":"server.nope","bucket":"_a""#), other);
}

/// Logic in built-in mode: reserved buckets, the right to read what a view reads,
/// who may see everything, and whose a view is.
#[test]
fn logic_is_no_way_around_rights() {
    let mut users = users(settings());
    users.admin(r#""type":"identity.createRole","name":"builder","permissions":[{"allow":["store.*","logic.*"]}]"#);
    let bob = users.create("bob");
    users.admin(&format!(r#""type":"identity.assignRole","userId":"{bob}","roleName":"builder""#));
    let (bob, _) = users.login("bob");
    let define = r#""type":"store.defineBucket","name":"b","config":{"key":"id","schema":{"id":{"type":"number"}}}"#;
    users.ask(bob, define);
    let view = |name: &str, bucket: &str, more: &str| {
        format!(
            r#""type":"logic.defineView","definition":{{"name":"{name}","from":{{"x":"{bucket}"}},"select":{{"id":"id"}},"reactive":true{more}}}"#
        )
    };
    let system = "FORBIDDEN Cannot access system bucket \"_users\" directly";
    assert_eq!(users.admin(&view("v", "_users", "")), system);
    assert_eq!(
        users.admin(r#""type":"logic.defineConstraint","constraint":{"name":"c","on":"_users","expr":1,"message":"m"}"#),
        system
    );
    assert_eq!(
        users.admin(r#""type":"logic.defineComputed","bucket":"_users","fields":{"x":{"depends":[],"expr":1}}"#),
        system
    );
    // The issues come first.
    assert!(
        users
            .admin(r#""type":"logic.defineView","definition":{"from":{"x":"_users"}}"#)
            .starts_with("VALIDATION_ERROR")
    );
    let definer = users.ask(bob, &view("v", "b", r#","asDefiner":true"#));
    assert_eq!(definer, "FORBIDDEN Admin role required");
    assert!(users.admin(&view("all", "b", r#","asDefiner":true"#)).contains("defined"));
    assert!(users.ask(bob, &view("v", "b", "")).contains("defined"));
    // A reader of the system may query views, and define none.
    let eve = users.create("eve");
    users.admin(&format!(r#""type":"identity.assignRole","userId":"{eve}","roleName":"reader""#));
    let (eve, _) = users.login("eve");
    assert_eq!(users.ask(eve, r#""type":"logic.queryView","name":"v""#), "[]");
    assert_eq!(users.ask(eve, &view("w", "b", "")), "FORBIDDEN No access to logic.defineView on w");
    let owner =
        users.admin(r#""type":"identity.getOwner","resourceType":"query","resourceName":"v""#);
    assert!(owner.contains("userId"), "{owner}");
    // A view does not show the next bucket of the name to those who may not
    // read it.
    users.admin(r#""type":"identity.createRole","name":"watcher","permissions":[{"allow":["logic.queryView"]}]"#);
    let kim = users.create("kim");
    users.admin(&format!(r#""type":"identity.assignRole","userId":"{kim}","roleName":"watcher""#));
    let (kim, _) = users.login("kim");
    assert_eq!(users.ask(kim, r#""type":"logic.queryView","name":"v""#), "[]");
    users.ask(bob, r#""type":"store.dropBucket","name":"b""#);
    users.ask(bob, define);
    let refused = "FORBIDDEN No access to store.all on b";
    assert_eq!(users.ask(kim, r#""type":"logic.queryView","name":"v""#), refused);
    assert_eq!(users.ask(eve, r#""type":"logic.queryView","name":"v""#), "[]");
}
