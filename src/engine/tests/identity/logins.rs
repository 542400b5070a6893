//! Logins that fail, and passwords that are being hashed.

use super::*;

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
fn an_answer_behind_a_job_says_its_commit() {
    let mut users = users(settings());
    let admin = users.admin;
    users.message(admin, r#""type":"session.open","commits":true"#);
    let commit = |message: &Json| message.get("commit").and_then(Json::as_number);
    let user = r#""type":"identity.createUser","username":"ann","password":"password""#;
    let created = users.message(admin, user);
    let newest = |users: &Users| Some(users.rig.engine.newest_commit() as f64);
    assert_eq!(commit(&created), newest(&users), "{created}");
    let id = created.get("data").and_then(|data| data.get("id")).expect("an id").to_text();
    let reset =
        format!(r#""type":"identity.resetPassword","userId":{id},"newPassword":"another one""#);
    let before = newest(&users);
    let reset = users.message(admin, &reset);
    assert_eq!(commit(&reset), newest(&users), "{reset}");
    assert_ne!(newest(&users), before);
    // One that changes nothing says nothing.
    let again = users.message(admin, user);
    assert_eq!((again.get("type").and_then(Json::as_str), commit(&again)), (Some("error"), None));
}

#[test]
fn what_others_do_during_a_job_is_not_the_numbered_requests() {
    let mut users = users(settings());
    let admin = users.admin;
    let open = r#""type":"session.open","session":"numbers---------------","once":true"#;
    users.rig.engine.options.continuity = Some(crate::config::Continuity::default());
    assert!(users.ask(admin, open).contains("\"newest\":0"));
    let create = r#"{"id":7,"type":"identity.createUser","username":"ann","password":"a long password","once":1}"#;
    // The name is taken while the password is being hashed.
    users.rig.send(admin, create);
    let other = users.rig.connect();
    users.rig.send(
        other,
        &format!(r#"{{"id":1,"type":"identity.loginWithSecret","secret":"{SECRET}"}}"#),
    );
    users.rig.received(other);
    users.rig.send(
        other,
        r#"{"id":2,"type":"identity.createUser","username":"ann","password":"another password"}"#,
    );
    let mut jobs = std::mem::take(&mut users.rig.jobs);
    // The second to ask is the first to be done.
    jobs.reverse();
    users.rig.jobs = jobs;
    users.rig.received(admin);
    users.rig.run_jobs();
    let refused = users.rig.received(admin).remove(0).to_text();
    assert!(refused.contains("ALREADY_EXISTS"), "{refused}");
    // It did nothing, so it is decided anew.
    let made = users.rig.received(other).remove(0);
    let id = made.get("data").and_then(|data| data.get("id")).and_then(Json::as_str);
    let id = id.expect("the user of the other").to_owned();
    users.ask(admin, &format!(r#""type":"identity.deleteUser","userId":"{id}""#));
    users.rig.received(admin);
    users.rig.send(admin, create);
    users.rig.run_jobs();
    let made = users.rig.received(admin).remove(0).to_text();
    assert!(made.contains(r#""type":"result""#) && !made.contains("repeated"), "{made}");
}
