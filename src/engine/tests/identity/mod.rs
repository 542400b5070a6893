//! Built-in users over the engine: what becomes of live connections, of
//! passwords that are being hashed, and of the system buckets.

mod impersonation;
mod logins;
mod resources;
mod rows;
mod signup;

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
