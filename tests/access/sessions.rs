//! Sessions, subscriptions and what the audit log says of them.

use std::sync::mpsc;
use std::time::Duration;

use noexd::Server;
use noexd::access::{Answer, Session, Ticket, TokenValidator, Verdict};
use noexd::audit::{AuditFilter, AuditSink, Entry};
use serde_json::{Value, json};

use super::client::{Client, PASSWORD, built_in, create_user, login, start, superadmin};

fn subscribe(client: &mut Client, query: &str) -> Value {
    client.ok("store.subscribe", json!({"query": query}))["subscriptionId"].clone()
}

fn insert(client: &mut Client, id: &str) {
    client.ok("store.insert", json!({"bucket": "maps", "data": {"id": id}}));
}

/// The ids of the records in the newest push.
fn newest(pushes: &[Value]) -> Value {
    let records = pushes.last().expect("a push")["data"].as_array().expect("records");
    records.iter().map(|record| record["id"].clone()).collect()
}

#[test]
fn subscriptions_wait_for_a_session_and_catch_up() {
    let server = built_in(json!({"store": {"firstPushDelayMs": 0}}));
    let mut admin = superadmin(&server);
    create_user(&mut admin, "ann", &["reader"]);
    let (mut ann, _) = login(&server, "ann");
    subscribe(&mut ann, "all-maps");
    insert(&mut admin, "1");
    assert_eq!(newest(&ann.pushes()), json!(["1"]));
    ann.ok("identity.logout", json!({}));
    insert(&mut admin, "2");
    insert(&mut admin, "3");
    assert_eq!(ann.pushes().len(), 0, "nobody is logged in");
    // It still counts.
    let stats = admin.ok("server.stats", json!({}));
    assert_eq!(stats["connections"]["totalStoreSubscriptions"], 1);
    ann.ok("identity.login", json!({"username": "ann", "password": PASSWORD}));
    let pushes = ann.pushes();
    assert_eq!(pushes.len(), 1, "one push of the newest state");
    assert_eq!(newest(&pushes), json!(["1", "2", "3"]));
}

#[test]
fn subscriptions_end_with_the_right_to_them() {
    let server = built_in(json!({"store": {"firstPushDelayMs": 0}}));
    let mut admin = superadmin(&server);
    let ann = create_user(&mut admin, "ann", &[]);
    let on = |kind: &str, name: &str| {
        json!({"subjectType": "user", "subjectId": ann, "resourceType": kind,
               "resourceName": name, "operations": ["read"]})
    };
    let (mut client, _) = login(&server, "ann");
    assert_eq!(
        client.refused("store.subscribe", json!({"query": "all-maps"})),
        "FORBIDDEN No access to store.subscribe on all-maps"
    );
    // The bucket or the query: each is enough.
    for (kind, name) in [("bucket", "maps"), ("query", "all-maps"), ("bucket", "all-maps")] {
        admin.ok("identity.grant", on(kind, name));
        let id = subscribe(&mut client, "all-maps");
        insert(&mut admin, &format!("{kind} {name}"));
        assert_eq!(client.pushes().len(), 1);
        admin.ok("identity.revoke", on(kind, name));
        insert(&mut admin, &format!("no {kind} {name}"));
        let told = client.next().expect("a message");
        assert_eq!(
            told,
            json!({"type": "system", "event": "subscription_cancelled", "subscriptionId": id,
                   "reason": "No access to store.subscribe on all-maps"})
        );
        assert_eq!(client.pushes().len(), 0);
    }
}

#[test]
fn a_query_without_a_name_ends_with_the_right_to_its_bucket() {
    let server = built_in(json!({"store": {"firstPushDelayMs": 0}}));
    let mut admin = superadmin(&server);
    let ann = create_user(&mut admin, "ann", &[]);
    let read = json!({"subjectType": "user", "subjectId": ann, "resourceType": "bucket",
                      "resourceName": "maps", "operations": ["read"]});
    let (mut client, _) = login(&server, "ann");
    let refusal = "FORBIDDEN No access to store.live on maps";
    assert_eq!(client.refused("store.live", json!({"bucket": "maps"})), refusal);
    admin.ok("identity.grant", read.clone());
    let live = client.ok("store.live", json!({"bucket": "maps"}));
    insert(&mut admin, "seen");
    assert_eq!(client.pushes().len(), 1);
    admin.ok("identity.revoke", read);
    insert(&mut admin, "hidden");
    assert_eq!(
        client.next().expect("a message"),
        json!({"type": "system", "event": "subscription_cancelled",
               "subscriptionId": live["subscriptionId"],
               "reason": "No access to store.live on maps"})
    );
    assert_eq!(client.pushes().len(), 0);
    assert_eq!(client.refused("store.live", json!({"bucket": "maps"})), refusal);
    // Users and roles are not to be had this way either.
    let refused = client.refused("store.live", json!({"bucket": "_users"}));
    assert!(refused.starts_with("FORBIDDEN "), "{refused}");
}

#[test]
fn the_end_of_a_role_reaches_every_holder() {
    let server = built_in(json!({"store": {"firstPushDelayMs": 0}}));
    let mut admin = superadmin(&server);
    let role = admin.ok(
        "identity.createRole",
        json!({"name": "curator", "permissions": [{"allow": "store.*", "buckets": ["maps"]}]}),
    );
    let mut clients: Vec<Client> = (0..3)
        .map(|n| {
            create_user(&mut admin, &format!("user{n}"), &["curator"]);
            let mut client = login(&server, &format!("user{n}")).0;
            subscribe(&mut client, "all-maps");
            client
        })
        .collect();
    insert(&mut admin, "1");
    for client in &mut clients {
        assert_eq!(client.pushes().len(), 1);
    }
    admin.ok(
        "identity.updateRole",
        json!({"roleId": role["id"], "permissions": [{"allow": "store.*", "buckets": ["notes"]}]}),
    );
    insert(&mut admin, "2");
    for client in &mut clients {
        assert_eq!(client.next().expect("a message")["event"], "subscription_cancelled");
        assert_eq!(client.pushes().len(), 0);
        assert_eq!(
            client.refused("store.all", json!({"bucket": "maps"})),
            "FORBIDDEN No access to store.all on maps"
        );
        client.ok("store.all", json!({"bucket": "notes"}));
    }
}

/// Answers later, from another thread.
struct Slow(mpsc::Sender<(String, Ticket)>);

impl TokenValidator for Slow {
    fn validate(&mut self, token: &str, _now_ms: u64) -> Answer {
        let (token, queue) = (token.to_owned(), self.0.clone());
        Answer::Later(Box::new(move |ticket| {
            queue.send((token, ticket)).expect("somebody validates");
        }))
    }
}

struct Tell(mpsc::Sender<String>);

impl AuditSink for Tell {
    fn entry(&mut self, entry: &std::sync::Arc<Entry>) {
        self.0.send(entry.operation().to_owned()).expect("somebody listens");
    }
}

#[test]
fn an_embedding_program_judges_tokens_and_hears_of_everything() {
    let (queue, waiting) = mpsc::channel();
    let (told, heard) = mpsc::channel();
    let server = Server::builder()
        .json(r#"{"port": 0, "audit": {"tiers": ["admin"], "auth": true}}"#)
        .token_validator(Slow(queue))
        .audit_sink(Tell(told))
        .start()
        .expect("the server starts");
    let mut slow = Client::connect(&server);
    slow.send(r#"{"id":1,"type":"auth.login","token":"ann"}"#);
    slow.send(r#"{"id":2,"type":"auth.whoami"}"#);
    let (token, ticket) = waiting.recv().expect("a ticket");
    assert_eq!(token, "ann");
    // Nobody else waits.
    let mut other = Client::connect(&server);
    assert_eq!(other.ok("auth.whoami", json!({})), json!({"authenticated": false}));
    ticket.complete(Verdict::Session(Session::new("ann", vec!["admin".into()])));
    assert_eq!(slow.response(1).expect("a session")["userId"], "ann");
    assert_eq!(slow.response(2).expect("an answer")["userId"], "ann");
    other.send(r#"{"id":7,"type":"auth.login","token":"bob"}"#);
    drop(waiting.recv().expect("a ticket"));
    let refusal = other.response(7).expect_err("nobody decided");
    assert_eq!(refusal.to_string(), "INTERNAL_ERROR Internal server error");

    assert_eq!(server.revoke_sessions(None, Some("admin")), Ok(1));
    slow.assert_ended("Session revoked by administrator");
    assert_eq!(server.unrevoke("ann"), Ok(true));
    assert_eq!(server.unrevoke("ann"), Ok(false));
    let heard: Vec<String> = heard.try_iter().collect();
    assert_eq!(heard, ["auth.login", "auth.login", "session.revoked"]);
    assert_eq!(server.audit_len(), Ok(3));
    let filter = AuditFilter { success: Some(false), ..AuditFilter::default() };
    let failed = server.audit_entries(filter).expect("it runs");
    assert_eq!(failed.len(), 1);
    assert!(failed[0].contains("Internal server error"));
    server.stop_and_wait(Duration::ZERO).expect("stopped");
}

#[test]
fn what_was_recorded_is_in_the_file() {
    let directory = std::env::temp_dir().join(format!("noexd-access-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a directory");
    let path = directory.join("audit.jsonl");
    let config = json!({"audit": {"file": {"path": path, "restore": true}}});
    let mut entries = Vec::new();
    for round in 1..=2 {
        let server = start(config.clone());
        let mut client = Client::connect(&server);
        client.ok("server.stats", json!({}));
        let log = client.ok("audit.query", json!({}));
        entries = log["entries"].as_array().expect("entries").clone();
        // The queries of earlier rounds are there, this one is not.
        assert_eq!(entries.len(), 2 * round - 1);
        server.stop_and_wait(Duration::ZERO).expect("stopped");
    }
    let text = std::fs::read_to_string(&path).expect("the file");
    let lines: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.len(), 4);
    entries.reverse();
    assert_eq!(lines[..3], entries[..]);
    std::fs::remove_dir_all(&directory).expect("removed");
}

#[test]
fn identity_and_revocations_survive_a_restart() {
    let directory = std::env::temp_dir().join(format!("noexd-identity-{}", std::process::id()));
    let config = json!({"dataDir": directory});
    let server = built_in(config.clone());
    let mut admin = superadmin(&server);
    let ann = create_user(&mut admin, "ann", &["writer"]);
    let bob = create_user(&mut admin, "bob", &[]);
    let (mut client, token) = login(&server, "ann");
    insert(&mut client, "1");
    admin.ok("server.revokeSessions", json!({"userId": bob}));
    admin.ok(
        "identity.grant",
        json!({"subjectType": "user", "subjectId": bob, "resourceType": "bucket",
               "resourceName": "maps", "operations": ["read"]}),
    );
    server.stop_and_wait(Duration::ZERO).expect("stopped");

    let server = built_in(config);
    let mut client = Client::connect(&server);
    let session = client.ok("auth.login", json!({"token": token}));
    assert_eq!((&session["userId"], &session["roles"]), (&json!(ann), &json!(["writer"])));
    assert_eq!(client.ok("store.count", json!({"bucket": "maps"})), 1);
    let mut other = Client::connect(&server);
    let refused = other.refused("identity.login", json!({"username": "bob", "password": PASSWORD}));
    assert_eq!(refused, "SESSION_REVOKED Session has been revoked");
    let mut admin = superadmin(&server);
    let list = json!({"resourceType": "bucket", "resourceName": "maps"});
    assert_eq!(admin.ok("identity.getAcl", list)["entries"][0]["subjectName"], "bob");
    server.stop_and_wait(Duration::ZERO).expect("stopped");
    std::fs::remove_dir_all(&directory).expect("removed");
}

/// A directory of its own for one test, removed at the end.
struct Directory(std::path::PathBuf);

impl Directory {
    fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("noexd-{test}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a directory");
        Directory(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            eprintln!("{}: {error}", self.0.display());
        }
    }
}

fn synced(path: &std::path::Path) -> noexd::server::ServerThread {
    start(json!({
        "audit": {"tiers": ["admin", "write"], "file": {"path": path, "sync": "always"}},
        "buckets": {"maps": {"key": "id", "schema": {"id": {"type": "string"}}}},
        "queries": {"all-maps": {"bucket": "maps"}},
        "store": {"firstPushDelayMs": 0},
    }))
}

#[test]
fn a_response_waits_for_its_entry() {
    let directory = Directory::new("synced");
    let path = directory.0.join("audit.jsonl");
    let server = synced(&path);
    let mut client = Client::connect(&server);
    let mut other = Client::connect(&server);
    for connection in [&mut client, &mut other] {
        subscribe(connection, "all-maps");
    }
    for n in 1..=20 {
        insert(&mut client, &n.to_string());
        let lines = std::fs::read_to_string(&path).expect("the file").lines().count();
        assert!(lines >= n, "{lines} lines when the answer to request {n} has come");
        // The own push comes behind the response.
        assert_eq!(client.others.len(), 0);
        let push = client.next().expect("a push");
        assert_eq!(push["data"].as_array().map(Vec::len), Some(n));
    }
    assert_eq!(other.pushes().len(), 20);
    let refused = client.refused("store.insert", json!({"bucket": "maps"}));
    assert!(refused.starts_with("VALIDATION_ERROR"), "{refused}");
    let text = std::fs::read_to_string(&path).expect("the file");
    assert!(text.lines().last().expect("a line").contains("\"result\":\"error\""));
}

/// `/dev/full` takes nothing; the link is then pointed at a file that does.
#[cfg(target_os = "linux")]
#[test]
fn nothing_audited_runs_while_the_file_cannot_have_it() {
    use std::os::unix::fs::symlink;
    let directory = Directory::new("unavailable");
    let path = directory.0.join("audit.jsonl");
    symlink("/dev/full", &path).expect("a link");
    let server = synced(&path);
    let mut first = Client::connect(&server);
    first.send(r#"{"id":70,"type":"store.insert","bucket":"maps","data":{"id":"1"}}"#);
    let mut reader = Client::connect(&server);
    // Reads are not recorded: they go on.
    while reader.ok("store.count", json!({"bucket": "maps"})) == 0 {}
    // Whatever came before the failure was known waits like the first.
    let mut waiting = Vec::new();
    let refusal = loop {
        let mut attempt = Client::connect(&server);
        attempt.send(r#"{"id":72,"type":"server.stats"}"#);
        match attempt.try_receive() {
            Some(answer) => break answer,
            None => waiting.push(attempt),
        }
    };
    assert_eq!(refusal["message"], "Audit log unavailable");
    assert_eq!(refusal["code"], "INTERNAL_ERROR");
    std::fs::remove_file(&path).expect("unlinked");
    symlink(directory.0.join("real"), &path).expect("a link");
    assert_eq!(first.response(70).expect("inserted")["id"], "1");
    for mut attempt in waiting {
        attempt.response(72).expect("statistics");
    }
    reader.ok("server.stats", json!({}));
    let text = std::fs::read_to_string(&path).expect("the file");
    assert!(text.contains("Audit log unavailable"));
}

/// Who may not ask learns nothing of the file.
#[cfg(target_os = "linux")]
#[test]
fn authentication_comes_before_the_state_of_the_audit_file() {
    use std::os::unix::fs::symlink;
    let directory = Directory::new("unavailable-to-whom");
    let path = directory.0.join("audit.jsonl");
    symlink("/dev/full", &path).expect("a link");
    let server = start(json!({
        "auth": {"tokens": {"ada": {"userId": "ada", "roles": ["admin"]}}},
        "audit": {"tiers": ["admin", "write"], "file": {"path": path, "sync": "always"}},
    }));
    let mut waiting = Vec::new();
    loop {
        let mut attempt = Client::connect(&server);
        attempt.ok("auth.login", json!({"token": "ada"}));
        attempt.send(r#"{"id":72,"type":"server.stats"}"#);
        match attempt.try_receive() {
            Some(answer) => break assert_eq!(answer["message"], "Audit log unavailable"),
            None => waiting.push(attempt),
        }
    }
    let mut stranger = Client::connect(&server);
    let refusal = stranger.refused("server.stats", json!({}));
    assert_eq!(refusal, "UNAUTHORIZED Authentication required");
    std::fs::remove_file(&path).expect("unlinked");
    symlink(directory.0.join("real"), &path).expect("a link");
    for mut attempt in waiting {
        attempt.response(72).expect("statistics");
    }
}
