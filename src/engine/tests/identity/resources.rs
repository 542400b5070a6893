//! Rights to buckets, queries and views, and whose they are.

use super::*;

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
    let once = r#""type":"store.query","query":"q""#;
    for conn in [ann, eve] {
        assert_eq!(users.ask(conn, subscribe), refused);
        assert_eq!(users.ask(conn, once), refused);
    }
    let explain = |users: &mut Users, who: &str| {
        users.admin(&format!(
            r#""type":"access.explain","operation":"store.query","resource":"q","userId":"{who}""#
        ))
    };
    let why = explain(&mut users, eve_id);
    assert!(why.starts_with(r#"{"allowed":false,"#), "{why}");
    assert!(
        why.ends_with(r#""error":{"code":"FORBIDDEN","message":"No access to store.all on b"}}"#)
    );
    assert_eq!(explain(&mut users, "zz"), "NOT_FOUND User \"zz\" not found");
    assert!(users.ask(bob, once).starts_with(r#"[{"id":1"#));
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

#[test]
fn a_trace_ends_with_the_right_to_it() {
    let mut users = users(settings());
    let ann = users.create("ann");
    let role = |users: &mut Users, operation: &str| {
        users
            .admin(&format!(r#""type":"identity.{operation}","userId":"{ann}","roleName":"admin""#))
    };
    role(&mut users, "assignRole");
    let (conn, _) = users.login("ann");
    users.admin(r#""type":"store.defineBucket","name":"b","config":{"key":"id","schema":{"id":{"type":"number"}}}"#);
    let trace = users.data(conn, r#""type":"server.trace","bucket":"b""#);
    let id = trace.get("subscriptionId").and_then(Json::as_str).expect("an id").to_owned();
    assert_eq!(role(&mut users, "removeRole"), r#"{"removed":true}"#);
    let told: Vec<String> = users.rig.received(conn).iter().map(Json::to_text).collect();
    let cancelled = format!(
        r#"{{"type":"system","event":"subscription_cancelled","subscriptionId":"{id}","reason":"No access to server.trace on *"}}"#
    );
    assert!(told.contains(&cancelled), "{told:?}");
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
    assert_eq!(users.admin(r#""type":"logic.dropComputed","bucket":"_users""#), system);
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
