//! People who make users for themselves.

use super::*;
use crate::config::{LoginRateLimit, Signup};

fn open_to(signup: Signup) -> BuiltIn {
    BuiltIn { signup: Some(signup), ..settings() }
}

fn request(username: &str, more: &str) -> String {
    format!(r#""type":"identity.signup","username":"{username}","password":"password"{more}"#)
}

#[test]
fn nobody_signs_up_unless_the_operator_says_so() {
    let mut users = users(settings());
    let conn = users.connect();
    assert_eq!(users.ask(conn, &request("ann", "")), "FORBIDDEN Signing up is not enabled");
    let nothing = r#""type":"identity.signup""#;
    assert_eq!(users.ask(conn, nothing), "FORBIDDEN Signing up is not enabled");
    assert_eq!(users.ask(users.admin, nothing), "FORBIDDEN Signing up is not enabled");
    assert_eq!(users.count("_users"), 0);
}

#[test]
fn a_new_user_is_logged_in_with_the_roles_of_the_configuration() {
    let mut users = users(open_to(Signup {
        roles: vec!["writer".into(), "reader".into(), "writer".into()],
        ..Signup::default()
    }));
    let conn = users.connect();
    let answer = users
        .data(conn, &request("ann", r#","displayName":"Ann","email":"a@b.c","enabled":false"#));
    let user = answer.get("user").expect("a user").to_text();
    assert!(
        user.contains(r#""username":"ann","displayName":"Ann","roles":["writer","reader"]"#),
        "{user}"
    );
    users.assert_lives(conn);
    // What was given out is an ordinary session of an ordinary user.
    let token = answer.get("token").and_then(Json::as_str).expect("a token").to_owned();
    let other = users.connect();
    let login = format!(r#""type":"auth.login","token":"{token}""#);
    assert!(users.ask(other, &login).starts_with('{'));
    let (again, _) = users.login("ann");
    users.assert_lives(again);
    assert_eq!(users.ask(again, r#""type":"identity.listUsers""#), "FORBIDDEN Admin role required");
    assert_eq!(users.count("_users"), 1);
    assert_eq!(users.count("_user_roles"), 2, "no role twice");
    let listed = users.admin(r#""type":"identity.listUsers""#);
    assert!(
        listed.contains(r#""enabled":true"#) && listed.contains(r#""email":"a@b.c""#),
        "{listed}"
    );
    // A connection that was somebody else is the new user.
    users.data(again, &request("bob", ""));
    assert!(users.ask(again, r#""type":"auth.whoami""#).contains(r#""roles":["writer","reader"]"#));
}

#[test]
fn what_is_asked_of_a_new_user() {
    let mut users = users(open_to(Signup {
        rate_limit: LoginRateLimit { max_attempts: 1000, window_ms: 1000 },
        require_email: true,
        ..Signup::default()
    }));
    users.create("taken");
    let conn = users.connect();
    let with = r#","email":"a@b.c""#;
    let long = "x".repeat(65);
    for (fields, expected) in [
        (
            "".to_owned(),
            r#"VALIDATION_ERROR Missing or invalid "username": expected non-empty string"#,
        ),
        (
            r#","username":"ann""#.to_owned(),
            r#"VALIDATION_ERROR Missing or invalid "password": expected non-empty string"#,
        ),
        (
            format!(r#","username":"ann","password":"password","displayName":5{with}"#),
            r#"VALIDATION_ERROR Invalid "displayName": expected string"#,
        ),
        (
            r#","username":"an","password":"p""#.to_owned(),
            r#"VALIDATION_ERROR Missing or invalid "email": expected non-empty string"#,
        ),
        (
            r#","username":"ann","password":"password","email":null"#.to_owned(),
            r#"VALIDATION_ERROR Missing or invalid "email": expected non-empty string"#,
        ),
        (
            r#","username":"ann","password":"password","email":"""#.to_owned(),
            r#"VALIDATION_ERROR Missing or invalid "email": expected non-empty string"#,
        ),
        (
            format!(r#","username":"an","password":"password"{with}"#),
            "VALIDATION_ERROR Username must be between 3 and 64 characters",
        ),
        (
            format!(r#","username":"{long}","password":"password"{with}"#),
            "VALIDATION_ERROR Username must be between 3 and 64 characters",
        ),
        (
            format!(r#","username":"_ann","password":"p"{with}"#),
            r#"VALIDATION_ERROR Username must not begin with "_""#,
        ),
        (
            format!(r#","username":"__superadmin__","password":"password"{with}"#),
            r#"VALIDATION_ERROR Username must not begin with "_""#,
        ),
        (
            format!(r#","username":"ann","password":"short"{with}"#),
            "VALIDATION_ERROR Password must be at least 8 characters",
        ),
        (
            format!(r#","username":"taken","password":"password"{with}"#),
            r#"ALREADY_EXISTS User "taken" already exists"#,
        ),
        (
            r#","username":"ann","password":"password","email":"nobody""#.to_owned(),
            r#"VALIDATION_ERROR Invalid "email": expected email address"#,
        ),
    ] {
        let request = format!(r#""type":"identity.signup"{fields}"#);
        assert_eq!(users.ask(conn, &request), expected, "{fields}");
    }
    assert_eq!(users.count("_users"), 1);
    assert!(users.ask(conn, &request("ann", with)).starts_with('{'));
}

/// Whatever comes of an attempt, it counts; a window does not slide.
#[test]
fn an_address_signs_up_only_so_often() {
    let mut users = users(open_to(Signup {
        rate_limit: LoginRateLimit { max_attempts: 3, window_ms: 60_000 },
        ..Signup::default()
    }));
    let conn = users.connect();
    assert!(users.ask(conn, r#""type":"identity.signup""#).starts_with("VALIDATION_ERROR"));
    users.rig.advance(1_000);
    assert!(users.ask(conn, &request("ann", "")).starts_with('{'));
    assert!(users.ask(conn, &request("ann", "")).starts_with("ALREADY_EXISTS"));
    let other = users.connect();
    let refused = users.message(other, &request("bob", ""));
    let details = refused.get("details").map(Json::to_text);
    assert_eq!(details.as_deref(), Some(r#"{"retryAfterMs":59000}"#));
    let limited = "RATE_LIMITED Too many sign-ups. Try again later.";
    assert_eq!(users.ask(other, &request("bob", "")), limited);
    // Nobody else is held back, and logging in is another matter.
    let elsewhere = users.rig.connect_from([198, 51, 100, 7]);
    users.rig.received(elsewhere);
    assert!(users.ask(elsewhere, &request("bob", "")).starts_with('{'));
    users.login("ann");
    users.rig.advance(62_000);
    let Ok(identity) = users.rig.engine.identity() else { panic!("built-in mode") };
    assert_eq!(identity.signups.as_ref().map(|signups| signups.records()), Some(0), "forgotten");
    assert!(users.ask(other, &request("eve", "")).starts_with('{'));
}

#[test]
fn two_at_once_and_a_role_that_has_gone() {
    let role = |users: &mut Users| {
        let create = r#""type":"identity.createRole","name":"player""#;
        let role = users.data(users.admin, create);
        role.get("id").and_then(Json::as_str).expect("an id").to_owned()
    };
    let mut first = users(settings());
    role(&mut first);
    let store = std::mem::take(&mut first.rig.engine.store);
    let roles = vec!["player".into(), "reader".into()];
    let mut users = users_over(open_to(Signup { roles, ..Signup::default() }), store);
    let (one, two) = (users.connect(), users.connect());
    for conn in [one, two] {
        users.rig.send(conn, &format!("{{\"id\":1,{}}}", request("ann", "")));
    }
    users.rig.run_jobs();
    let data = |users: &mut Users, conn| users.rig.received(conn).remove(0);
    let won = data(&mut users, one).to_text();
    assert!(won.contains(r#""roles":["reader","player"]"#), "{won}");
    let lost = data(&mut users, two);
    assert_eq!(lost.get("code").and_then(Json::as_str), Some("ALREADY_EXISTS"));
    assert_eq!(users.count("_sessions"), 3, "of the admin twice, and one");
    let roles = users.data(users.admin, r#""type":"identity.listRoles""#);
    let roles = roles.get("roles").and_then(Json::as_array).expect("roles").to_vec();
    let player =
        roles.iter().find(|role| role.get("name").and_then(Json::as_str) == Some("player"));
    let id = player.and_then(|role| role.get("id")).and_then(Json::as_str).expect("a role");
    users.admin(&format!(r#""type":"identity.deleteRole","roleId":"{id}""#));
    let conn = users.connect();
    let answer = users.ask(conn, &request("bob", ""));
    assert!(answer.contains(r#""roles":["reader"]"#), "{answer}");
}

#[test]
fn a_role_that_is_not_there_is_found_at_the_start() {
    let mut rig = Rig::new(EngineOptions::default());
    let roles = vec!["writer".into(), "player".into()];
    let settings = open_to(Signup { roles, ..Signup::default() });
    assert_eq!(rig.engine.missing_signup_role(), None);
    rig.engine.set_built_in_auth(settings, 0).expect("its own buckets");
    assert_eq!(rig.engine.missing_signup_role(), Some("player"));
}
