//! Acting as somebody else, in built-in mode.

use super::*;
use crate::audit::AuditLog;
use crate::config::Audit;

fn audited() -> Users {
    let mut users = users(settings());
    users.rig.engine.set_audit(AuditLog::new(&Audit::default()));
    users
}

fn entries(users: &mut Users) -> Vec<Json> {
    let answer = users.data(users.admin, r#""type":"audit.query""#);
    answer.get("entries").and_then(Json::as_array).expect("entries").to_vec()
}

/// A bucket with one record of ann's and one of bob's.
fn prepare(users: &mut Users) -> (String, String) {
    let (ann, bob) = (users.create("ann"), users.create("bob"));
    for user in [&ann, &bob] {
        users.admin(&format!(
            r#""type":"identity.assignRole","userId":"{user}","roleName":"writer""#
        ));
    }
    let define = r#""type":"store.defineBucket","name":"notes","config":{"key":"id","schema":{"id":{"type":"number"},"owner":{"type":"string"}},"rows":{"read":{"owner":"{{ session.userId }}"}}}"#;
    assert!(users.admin(define).contains("notes"));
    for (id, user) in [(1, &ann), (2, &bob)] {
        let insert = format!(
            r#""type":"store.insert","bucket":"notes","data":{{"id":{id},"owner":"{user}"}}"#
        );
        assert!(users.admin(&insert).contains(user.as_str()), "{insert}");
    }
    (ann, bob)
}

#[test]
fn a_superadmin_sees_what_somebody_else_sees_and_is_himself_again() {
    let mut users = audited();
    let (ann, _) = prepare(&mut users);
    let admin = users.admin;
    let live = users.data(admin, r#""type":"store.live","bucket":"notes""#);
    assert_eq!(live.get("data").and_then(Json::as_array).map(<[Json]>::len), Some(2));
    let begin = format!(r#""type":"auth.impersonate","userId":"{ann}","ttlMs":60000"#);
    let until = 1_800_000_000_000_u64 + 60_000;
    users.rig.received(admin);
    users.rig.send(admin, &format!(r#"{{"id":1,{begin}}}"#));
    users.rig.advance(2_000);
    let received: Vec<String> = users.rig.received(admin).iter().map(Json::to_text).collect();
    let begun = format!(r#""data":{{"userId":"{ann}","roles":["writer"],"until":{until}}}"#);
    assert!(received[0].contains(&begun), "{received:?}");
    // Its open subscriptions are that user's from now on.
    let pushes: Vec<_> =
        received.iter().filter(|push| push.contains(r#""channel":"subscription""#)).collect();
    assert_eq!(pushes.len(), 1, "{received:?}");
    assert!(pushes[0].contains(r#""id":1"#) && !pushes[0].contains(r#""id":2"#), "{pushes:?}");
    let whoami = users.admin(r#""type":"auth.whoami""#);
    assert!(whoami.contains(&format!(r#""userId":"{ann}""#)), "{whoami}");
    let all = users.admin(r#""type":"store.all","bucket":"notes""#);
    assert!(all.contains(r#""id":1"#) && !all.contains(r#""id":2"#), "{all}");
    for (request, told) in [
        (r#""type":"store.insert","bucket":"notes","data":{"id":3}"#, "read-only"),
        (r#""type":"store.transaction","operations":[]"#, "read-only"),
        (r#""type":"server.stats""#, "Not while impersonating"),
        (r#""type":"auth.login","token":"x""#, "Not while impersonating"),
        (r#""type":"session.open""#, "Not while impersonating"),
        (r#""type":"identity.listUsers""#, "Not while impersonating"),
        (r#""type":"identity.nothing""#, "Not while impersonating"),
        (r#""type":"identity.loginWithSecret","secret":"x""#, "Not while impersonating"),
        (&*begin, "Not while impersonating"),
    ] {
        let refused = users.admin(request);
        assert!(refused.starts_with("FORBIDDEN") && refused.ends_with(told), "{refused}");
    }
    assert!(users.admin(r#""type":"identity.myAccess""#).contains("writer"));
    let back = users.admin(r#""type":"auth.impersonate","userId":null"#);
    assert!(back.contains("__superadmin__") && back.contains(r#""until":null"#), "{back}");
    let all = users.admin(r#""type":"store.all","bucket":"notes""#);
    assert!(all.contains(r#""id":2"#), "{all}");
    // Everything was recorded, with who it really was.
    let seen: Vec<String> = entries(&mut users).iter().map(Json::to_text).collect();
    let of = |operation: &str| {
        let wanted = format!(r#""operation":"{operation}""#);
        seen.iter().find(|entry| entry.contains(&wanted)).expect("an entry").clone()
    };
    for operation in ["store.insert", "store.transaction", "server.stats"] {
        let entry = of(operation);
        let by = r#""impersonatedBy":"__superadmin__""#;
        assert!(entry.contains(&format!(r#""userId":"{ann}",{by}"#)), "{entry}");
    }
    let begun = seen.iter().find(|entry| entry.contains(r#""readOnly":true"#)).expect("begun");
    assert!(begun.contains(&format!(r#""resource":"user:{ann}""#)), "{begun}");
}

#[test]
fn it_ends_by_itself_and_with_either_user() {
    let mut users = audited();
    let (ann, bob) = prepare(&mut users);
    let admin = users.admin;
    let begin =
        |user: &str, rest: &str| format!(r#""type":"auth.impersonate","userId":"{user}"{rest}"#);
    let is_admin =
        |users: &mut Users| users.admin(r#""type":"auth.whoami""#).contains("__superadmin__");
    // Its time is over.
    users.admin(&begin(&ann, r#","ttlMs":1000"#));
    assert!(!is_admin(&mut users));
    users.rig.advance(1_001);
    assert!(is_admin(&mut users));
    // The user was revoked: whoever acted as him goes on as himself.
    users.admin(&begin(&ann, r#","readOnly":false"#));
    let insert =
        format!(r#""type":"store.insert","bucket":"notes","data":{{"id":9,"owner":"{ann}"}}"#);
    assert!(users.admin(&insert).contains(r#""id":9"#));
    assert_eq!(users.rig.engine.revoke_session(&ann), 1);
    let other = users.connect();
    users.rig.engine.closed(other, users.rig.now);
    assert!(is_admin(&mut users));
    assert_eq!(users.rig.is_closed(admin), None);
    assert!(users.admin(&begin(&ann, "")).starts_with("SESSION_REVOKED"));
    // Logging out ends both.
    users.admin(&begin(&bob, ""));
    assert_eq!(users.admin(r#""type":"auth.logout""#), r#"{"loggedOut":true}"#);
    assert_eq!(users.admin(r#""type":"auth.whoami""#), r#"{"authenticated":false}"#);
    users.rig.engine.check_invariants();
}

#[test]
fn it_is_refused_without_the_rights_the_log_or_a_target() {
    let mut plain = users(settings());
    let ann = plain.create("ann");
    let begin = |user: &str| format!(r#""type":"auth.impersonate","userId":"{user}""#);
    assert_eq!(plain.admin(&begin(&ann)), "FORBIDDEN Impersonation needs the audit log");
    let mut users = audited();
    let (ann, _) = prepare(&mut users);
    assert_eq!(users.admin(&begin("x")), "NOT_FOUND User \"x\" not found");
    assert_eq!(users.admin(&begin("__superadmin__")), "FORBIDDEN Cannot impersonate a superadmin");
    assert_eq!(
        users.admin(&format!(r#"{},"ttlMs":10"#, begin(&ann))),
        "VALIDATION_ERROR Invalid \"ttlMs\": expected integer from 1000 to 900000"
    );
    assert_eq!(
        users.admin(&format!(r#"{},"readOnly":1"#, begin(&ann))),
        "VALIDATION_ERROR Invalid \"readOnly\": expected boolean"
    );
    // A client session would be its user's.
    let open = format!(r#""type":"session.open","session":"{}""#, "a".repeat(22));
    assert!(users.admin(&open).contains("epoch"));
    assert!(users.admin(&begin(&ann)).starts_with("CONFLICT A session is bound"));
    users.admin(r#""type":"session.close""#);
    // An admin is none.
    let boss = users.create("boss");
    users.admin(&format!(r#""type":"identity.assignRole","userId":"{boss}","roleName":"admin""#));
    let conn = users.connect();
    let login = r#""type":"identity.login","username":"boss","password":"password""#;
    assert!(users.ask(conn, login).contains("token"));
    assert_eq!(users.ask(conn, &begin(&ann)), "FORBIDDEN Superadmin role required");
}
