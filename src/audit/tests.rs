use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc;

use super::*;
use crate::config::AuditSync;
use crate::protocol::{Incoming, parse_message};

const WHO: Who<'static> = Who {
    impersonated_by: None,
    user_id: Some("ann"),
    connection: "conn-7",
    address: crate::address::Address::Ip(std::net::IpAddr::V4(std::net::Ipv4Addr::new(
        192, 0, 2, 7,
    ))),
};

fn with_request<T>(text: &str, run: impl FnOnce(Operation, &Request<'_>) -> T) -> T {
    match parse_message(text, 128).expect("a message") {
        Incoming::Request(request) => {
            let operation = Operation::from_name(&request.operation).expect("an operation");
            run(operation, &request)
        }
        Incoming::Pong { .. } => panic!("a request"),
    }
}

fn log(tiers: &[Tier], auth: bool, max_entries: usize) -> AuditLog {
    AuditLog::new(&config::Audit { tiers: tiers.to_vec(), max_entries, file: None, auth })
}

pub(super) fn everything() -> AuditLog {
    log(&[Tier::Read, Tier::Write, Tier::Admin], true, 1000)
}

/// The entry that a successful request leaves.
fn entry(fields: &str) -> String {
    let mut log = everything();
    with_request(&format!(r#"{{"id":1,{fields}}}"#), |operation, request| {
        let note = log.note(operation, request).expect("recorded");
        log.record(&note, &WHO, Outcome::Success, 1000);
    });
    log.ring[0].json().to_owned()
}

fn resource(fields: &str) -> String {
    let raw = entry(fields);
    let parsed = crate::json::parse(&raw, 16).expect("valid JSON");
    parsed.get("resource").and_then(crate::json::Raw::as_str).expect("a resource").into_owned()
}

fn filter(fields: &str) -> Result<AuditFilter, String> {
    with_request(&format!(r#"{{"id":1,"type":"audit.query"{fields}}}"#), |_, request| {
        AuditFilter::of(request).map_err(|error| error.message.into_owned())
    })
}

#[test]
fn members_and_their_order() {
    assert_eq!(
        entry(r#""type":"identity.createUser","username":"mira","password":"s3cret""#),
        r#"{"timestamp":1000,"userId":"ann","sessionId":"conn-7","operation":"identity.createUser","resource":"user:mira","result":"success","details":{"username":"mira"},"remoteAddress":"192.0.2.7"}"#
    );
    let mut log = everything();
    with_request(
        r#"{"id":1,"type":"identity.login","password":"s3cret"}"#,
        |operation, request| {
            let note = log.note(operation, request).expect("recorded");
            let who = Who { user_id: None, ..WHO };
            log.record(&note, &who, Outcome::Error("Invalid \"credentials\""), 5);
        },
    );
    assert_eq!(
        log.ring.back().expect("an entry").json(),
        r#"{"timestamp":5,"userId":null,"sessionId":"conn-7","operation":"identity.login","resource":"*","result":"error","error":"Invalid \"credentials\"","details":{},"remoteAddress":"192.0.2.7"}"#
    );
}

#[test]
fn resources() {
    for (fields, expected) in [
        (r#""type":"store.get","bucket":"b","name":"stray""#, "b"),
        (r#""type":"store.get","name":"stray""#, "*"),
        (r#""type":"store.get","bucket":"""#, ""),
        (r#""type":"store.dropBucket","bucket":"stray","name":"n""#, "n"),
        (r#""type":"store.defineQuery","name":"q","config":{"bucket":"b"}"#, "q"),
        (r#""type":"store.subscribe","query":"q""#, "q"),
        (r#""type":"store.unsubscribe","subscriptionId":"sub-1""#, "*"),
        (r#""type":"store.stats","bucket":"stray""#, "*"),
        (r#""type":"store.transaction","bucket":"stray","operations":[]"#, "*"),
        (r#""type":"rules.registerRule","rule":{"id":"r"}"#, "r"),
        (r#""type":"rules.validateRule","rule":{"id":1}"#, "*"),
        (r#""type":"rules.unregisterRule","ruleId":"r""#, "r"),
        (r#""type":"rules.emit","topic":"t""#, "t"),
        (r#""type":"rules.setFact","key":"k""#, "k"),
        (r#""type":"rules.queryFacts","pattern":"p.*""#, "p.*"),
        (r#""type":"procedures.register","procedure":{"name":"p"}"#, "p"),
        (r#""type":"procedures.call","name":"p""#, "p"),
        (r#""type":"logic.defineView","definition":{"name":"v"}"#, "v"),
        (r#""type":"logic.defineConstraint","constraint":{"name":"c","on":"b"}"#, "c"),
        (r#""type":"logic.dropConstraint","name":"c""#, "c"),
        (r#""type":"logic.defineComputed","bucket":"b","name":"f""#, "b"),
        (r#""type":"logic.queryView","name":"v""#, "v"),
        (r#""type":"audit.query","userId":"x""#, "*"),
        (r#""type":"server.stats","name":"x""#, "*"),
        (r#""type":"server.revokeSessions","userId":"x""#, "user:x"),
        (r#""type":"server.revokeSessions","role":"x""#, "*"),
        (r#""type":"server.disconnect","connectionId":"conn-7""#, "conn:7"),
        (r#""type":"server.disconnect","userId":"u""#, "user:u"),
        (r#""type":"server.disconnect","remoteAddress":"192.0.2.7""#, "*"),
        (r#""type":"server.trace","connectionId":"conn-7""#, "conn:7"),
        (r#""type":"server.trace","ruleId":"r""#, "rule:r"),
        (r#""type":"server.trace","bucket":"b""#, "bucket:b"),
        (r#""type":"server.trace","bucket":7"#, "*"),
        (r#""type":"server.untrace","subscriptionId":"sub-1""#, "*"),
        (r#""type":"server.top""#, "*"),
        (r#""type":"server.top","connectionId":"conn-7""#, "conn:7"),
        (r#""type":"server.views","query":"q""#, "*"),
        (r#""type":"server.views","query":"q","bucket":"b""#, "bucket:b"),
        (r#""type":"server.insights","bucket":"b""#, "*"),
        (r#""type":"access.explain","operation":"store.get","userId":"u""#, "user:u"),
        (r#""type":"access.explain","operation":"store.get","connectionId":"conn-7""#, "conn:7"),
        (r#""type":"access.explain","operation":"store.get","roles":["writer"]"#, "*"),
        (r#""type":"auth.impersonate","userId":"u""#, "user:u"),
        (r#""type":"store.backup","name":"n","bucket":"stray""#, "n"),
        (r#""type":"store.backup""#, "*"),
        (r#""type":"store.restore","name":"n""#, "n"),
        (r#""type":"store.deleteBackup","name":"n""#, "n"),
        (r#""type":"store.backups","name":"stray""#, "*"),
        (r#""type":"access.defineSet","name":"s","bucket":"stray""#, "s"),
        (r#""type":"access.dropSet","name":"s""#, "s"),
        (r#""type":"store.subscribeMany","query":"stray","subscriptions":[]"#, "*"),
        (r#""type":"identity.login","username":"u""#, "user:u"),
        (r#""type":"identity.deleteUser","userId":"u""#, "user:u"),
        (r#""type":"identity.deleteRole","roleId":"r""#, "role:r"),
        (r#""type":"identity.createRole","name":"r""#, "r"),
        (r#""type":"identity.grant","resourceType":"bucket","resourceName":"b""#, "bucket:b"),
        (r#""type":"identity.grant","resourceType":"bucket""#, "*"),
        (r#""type":"identity.loginWithSecret","secret":"s""#, "*"),
        (r#""type":"auth.login","token":"t""#, "*"),
    ] {
        assert_eq!(resource(fields), expected, "{fields}");
    }
}

#[test]
fn no_entry_holds_a_secret() {
    for fields in [
        r#""type":"identity.login","username":"u","password":"HIDDEN""#,
        r#""type":"identity.signup","username":"u","password":"HIDDEN","email":"HIDDEN""#,
        r#""type":"identity.loginWithSecret","secret":"HIDDEN""#,
        r#""type":"identity.changePassword","userId":"u","currentPassword":"HIDDEN","newPassword":"HIDDEN""#,
        r#""type":"identity.resetPassword","userId":"u","newPassword":"HIDDEN""#,
        r#""type":"auth.login","token":"HIDDEN""#,
        r#""type":"store.insert","bucket":"b","data":{"x":"HIDDEN"}"#,
        r#""type":"store.transaction","operations":[{"op":"insert","bucket":"b","data":"HIDDEN"}]"#,
    ] {
        assert!(!entry(fields).contains("HIDDEN"), "{fields}");
    }
}

#[test]
fn entries_are_bounded() {
    let long = "x".repeat(1 << 20);
    let emoji = "😀".repeat(200);
    let text = entry(&format!(r#""type":"identity.login","username":"{long}""#));
    assert!(text.len() < 1200, "{}", text.len());
    assert!(text.contains(&format!("\"username\":\"{}…\"", "x".repeat(255))));
    // Surrogate pairs are not torn: 127 pairs and the ellipsis are 255 units.
    let cut = resource(&format!(r#""type":"rules.emit","topic":"{emoji}""#));
    assert_eq!(cut, format!("{}…", "😀".repeat(127)));
    assert_eq!(
        resource(&format!(r#""type":"rules.emit","topic":"{}""#, "é".repeat(256))).chars().count(),
        256
    );

    let many = format!("[{}]", ["\"read\""; 50].join(","));
    let fields =
        format!(r#""type":"identity.grant","operations":{many},"subjectId":{{"a":{{"b":1}}}}"#);
    let kept = format!("[{}]", ["\"read\""; 16].join(","));
    assert!(
        entry(&fields)
            .contains(&format!(r#""details":{{"subjectId":{{"a":{{}}}},"operations":{kept}}}"#))
    );
    let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
    let fields = format!(r#""type":"identity.login","username":{deep}"#);
    assert!(entry(&fields).contains(r#"{"username":[[]]}"#));

    let operations: Vec<_> = (0..40).map(|n| format!(r#"{{"bucket":"b{}"}}"#, n % 20)).collect();
    let fields = format!(r#""type":"store.transaction","operations":[{}]"#, operations.join(","));
    let buckets: Vec<_> = (0..16).map(|n| format!("\"b{n}\"")).collect();
    let details = format!(r#""details":{{"buckets":[{}],"operations":40}}"#, buckets.join(","));
    assert!(entry(&fields).contains(&details));
}

#[test]
fn many_subscriptions_are_told_by_what_they_name() {
    let details = |list: &str| {
        let text = entry(&format!(r#""type":"store.subscribeMany","subscriptions":{list}"#));
        let at = text.find(r#""details":"#).expect("details");
        let end = text.find(r#","remoteAddress""#).expect("the last member");
        text[at + 10..end].to_owned()
    };
    let list = r#"[{"query":"q","params":{"x":"HIDDEN"}},{"type":"store.subscribe","query":"r"},
        {"type":"store.live","bucket":"b","filter":{"x":"HIDDEN"}},
        {"type":"logic.subscribeView","name":"v"},{"query":7},{"type":"store.get","bucket":"no"},5]"#;
    assert_eq!(details(list), r#"{"queries":["q","r","b","v"],"subscriptions":7}"#);
    let many: Vec<_> = (0..40).map(|n| format!(r#"{{"query":"q{n}"}}"#)).collect();
    let names: Vec<_> = (0..16).map(|n| format!("\"q{n}\"")).collect();
    assert_eq!(
        details(&format!("[{}]", many.join(","))),
        format!(r#"{{"queries":[{}],"subscriptions":40}}"#, names.join(","))
    );
    assert_eq!(details("7"), r#"{"queries":[],"subscriptions":0}"#);
}

#[test]
fn tiers_select_what_is_recorded() {
    let admin = log(&[Tier::Admin], false, 10);
    assert!(admin.records(Operation::ServerStats));
    assert!(!admin.records(Operation::StoreInsert));
    assert!(!admin.records(Operation::AuthLogin));
    assert!(!admin.records(Operation::IdentityWhoami));
    let auth = log(&[Tier::Admin], true, 10);
    assert!(auth.records(Operation::AuthLogin));
    assert!(auth.records(Operation::IdentityUpdateUser));
    assert!(!auth.records(Operation::IdentityWhoami));
    let nothing = log(&[], true, 10);
    for operation in Operation::ALL {
        assert!(!nothing.records(*operation), "{operation:?}");
    }
    let mut nothing = nothing;
    nothing.session_event("session.revoked", Some("ann"), &WHO, 1);
    assert!(nothing.is_empty());
    let mut auth = auth;
    auth.session_event("session.revoked", Some("ann"), &Who { user_id: None, ..WHO }, 1);
    assert_eq!(
        auth.ring[0].json(),
        r#"{"timestamp":1,"userId":null,"sessionId":"conn-7","operation":"session.revoked","resource":"user:ann","result":"success","remoteAddress":"192.0.2.7"}"#
    );
}

fn filled(max_entries: usize) -> AuditLog {
    let mut log = log(&[Tier::Admin], false, max_entries);
    for (time, user, operation, outcome) in [
        (10, Some("ann"), "server.stats", Outcome::Success),
        (20, None, "server.stats", Outcome::Error("no")),
        (15, Some("bob"), "audit.query", Outcome::Success),
        (30, Some("ann"), "server.connections", Outcome::Error("no")),
        (40, Some("ann"), "server.stats", Outcome::Success),
    ] {
        with_request(&format!(r#"{{"id":1,"type":"{operation}"}}"#), |operation, request| {
            let note = log.note(operation, request).expect("recorded");
            log.record(&note, &Who { user_id: user, ..WHO }, outcome, time);
        });
    }
    log
}

fn times(log: &AuditLog, fields: &str) -> Vec<f64> {
    log.query(&filter(fields).expect("a filter")).map(Entry::timestamp).collect()
}

#[test]
fn queries() {
    let log = filled(100);
    assert_eq!(times(&log, ""), [40.0, 30.0, 15.0, 20.0, 10.0], "order of recording");
    assert_eq!(times(&log, r#","userId":"ann""#), [40.0, 30.0, 10.0]);
    assert!(times(&log, r#","userId":"""#).is_empty());
    assert_eq!(times(&log, r#","operation":"server.stats""#), [40.0, 20.0, 10.0]);
    assert!(times(&log, r#","operation":"server.*""#).is_empty());
    assert_eq!(times(&log, r#","result":"error""#), [30.0, 20.0]);
    assert_eq!(times(&log, r#","from":15,"to":30"#), [30.0, 15.0, 20.0]);
    assert_eq!(times(&log, r#","from":15.5"#), [40.0, 30.0, 20.0]);
    assert!(times(&log, r#","from":1e30"#).is_empty());
    assert!(times(&log, r#","from":1e400"#).is_empty());
    assert_eq!(times(&log, r#","to":-1e400"#).len(), 0);
    assert_eq!(times(&log, r#","limit":1e300"#).len(), 5);
    assert_eq!(times(&log, r#","userId":"ann","limit":2"#), [40.0, 30.0]);
    assert_eq!(times(&log, r#","userId":"ann","limit":1,"offset":1"#), [30.0]);
    assert!(times(&log, r#","offset":5"#).is_empty());
}

#[test]
fn the_ring_keeps_the_newest() {
    let log = filled(3);
    assert_eq!(times(&log, ""), [40.0, 30.0, 15.0]);
    assert_eq!((log.len(), log.recorded()), (3, 5));
}

#[test]
fn filters_are_checked() {
    for (fields, message) in [
        (r#","userId":null"#, r#"Invalid "userId": expected string"#),
        (r#","operation":1"#, r#"Invalid "operation": expected string"#),
        (r#","result":"Success""#, r#"Invalid "result": expected "success" or "error""#),
        (r#","result":null"#, r#"Invalid "result": expected "success" or "error""#),
        (r#","from":"1""#, r#"Invalid "from": expected number"#),
        (r#","from":null"#, r#"Invalid "from": expected number"#),
        (r#","to":true"#, r#"Invalid "to": expected number"#),
        (r#","limit":0"#, r#"Invalid "limit": expected positive integer"#),
        (r#","limit":1.5"#, r#"Invalid "limit": expected positive integer"#),
        (r#","limit":1e400"#, r#"Invalid "limit": expected positive integer"#),
        (r#","limit":null"#, r#"Invalid "limit": expected positive integer"#),
        (r#","offset":-1"#, r#"Invalid "offset": expected non-negative integer"#),
        (r#","limit":0,"userId":1"#, r#"Invalid "userId": expected string"#),
    ] {
        assert_eq!(filter(fields), Err(message.into()), "{fields}");
    }
}

struct Broken;

impl AuditSink for Broken {
    fn entry(&mut self, _: &Arc<Entry>) {
        panic!("this sink is broken");
    }
}

#[test]
fn a_broken_sink_changes_nothing() {
    let mut log = everything();
    log.add_sink(Box::new(Broken));
    log.session_event("session.expired", Some("ann"), &WHO, 1);
    log.session_event("session.expired", Some("bob"), &WHO, 2);
    assert_eq!((log.len(), log.sink_failures()), (2, 2));
}

/// A directory of its own for one test, removed at the end.
pub(super) struct Directory(PathBuf);

impl Directory {
    pub(super) fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("noexd-audit-{test}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("a directory");
        Directory(path)
    }

    pub(super) fn file(&self) -> PathBuf {
        self.0.join("audit.jsonl")
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("{}: {error}", self.0.display());
        }
    }
}

fn settings(path: &Path) -> config::AuditFile {
    config::AuditFile { sync: AuditSync::Always, ..config::AuditFile::new(path) }
}

/// Opens the file and returns what tells how many lines are safe.
fn open(settings: &config::AuditFile) -> (AuditFile, mpsc::Receiver<u64>) {
    let (sender, safe) = mpsc::channel();
    let on_synced = Box::new(move |count| sender.send(count).unwrap_or_default());
    (AuditFile::open(settings, on_synced, Box::new(|_| {})).expect("the file opens"), safe)
}

fn wait_for(safe: &mpsc::Receiver<u64>, count: u64) {
    while safe.recv().expect("the writer lives") < count {}
}

pub(super) fn record(log: &mut AuditLog, users: &[&str]) {
    for user in users {
        log.session_event("session.expired", Some(user), &WHO, 1);
    }
}

pub(super) fn users(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).expect("a file");
    assert!(text.ends_with('\n'));
    text.lines()
        .map(|line| {
            let raw = crate::json::parse(line, 16).expect("one JSON value per line");
            match raw.get("resource").and_then(crate::json::Raw::as_str) {
                Some(user) => user.trim_start_matches("user:").to_owned(),
                None => raw.get("count").expect("a note of dropped lines").text().to_owned(),
            }
        })
        .collect()
}

#[test]
fn the_file_has_the_entries_of_the_ring() {
    let directory = Directory::new("entries");
    fs::write(directory.file(), "{\"torn").expect("a torn line");
    let (file, safe) = open(&settings(&directory.file()));
    let mut log = everything();
    log.add_sink(file.sink());
    record(&mut log, &["a", "b\n"]);
    wait_for(&safe, 2);
    record(&mut log, &["c"]);
    file.close();
    let text = fs::read_to_string(directory.file()).expect("a file");
    let ring: Vec<_> = log.ring.iter().map(|entry| format!("{}\n", entry.json())).collect();
    assert_eq!(text, format!("{{\"torn\n{}", ring.concat()), "nothing of the old is changed");

    let lines = AuditFile::tail(&directory.file(), 100).expect("readable");
    let mut again = everything();
    again.restore(lines.iter().map(String::as_str));
    assert_eq!(again.ring, log.ring);
    assert_eq!(AuditFile::tail(&directory.file(), 2).expect("readable"), lines[2..]);
    assert_eq!(AuditFile::tail(&directory.0.join("none"), 2).expect("no file"), [""; 0]);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let (fresh, _safe) = open(&settings(&directory.0.join("fresh")));
        fresh.close();
        let mode = fs::metadata(directory.0.join("fresh")).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[test]
fn files_are_rotated_by_size() {
    let directory = Directory::new("rotation");
    let mut settings = settings(&directory.file());
    settings.max_files = 2;
    let mut log = everything();
    record(&mut log, &["a"]);
    let line = log.ring[0].json().len() as u64 + 1;
    settings.max_bytes = Some(2 * line);
    let (file, _safe) = open(&settings);
    log.add_sink(file.sink());
    record(&mut log, &["b", "c", "d", "e", "f", "g", "h"]);
    file.close();
    let rotated = |number: usize| directory.0.join(format!("audit.jsonl.{number}"));
    assert_eq!(users(&directory.file()), ["h"]);
    assert_eq!(users(&rotated(1)), ["f", "g"]);
    assert_eq!(users(&rotated(2)), ["d", "e"]);
    assert!(!rotated(3).exists());
}

#[test]
fn a_file_moved_away_is_opened_anew() {
    let directory = Directory::new("reopen");
    let (file, safe) = open(&settings(&directory.file()));
    let mut log = everything();
    log.add_sink(file.sink());
    record(&mut log, &["a"]);
    wait_for(&safe, 1);
    let moved = directory.0.join("moved");
    fs::rename(directory.file(), &moved).expect("moved");
    file.reopen();
    record(&mut log, &["b"]);
    file.close();
    assert_eq!(users(&moved), ["a"]);
    assert_eq!(users(&directory.file()), ["b"]);
}

#[test]
fn a_file_that_cannot_be_opened_anew_stays_in_use() {
    let directory = Directory::new("stays");
    let (inside, moved) = (directory.0.join("logs"), directory.0.join("moved"));
    fs::create_dir(&inside).expect("a directory");
    let (file, safe) = open(&settings(&inside.join("audit.jsonl")));
    let mut log = everything();
    log.add_sink(file.sink());
    record(&mut log, &["a"]);
    wait_for(&safe, 1);
    fs::rename(&inside, &moved).expect("moved");
    file.reopen();
    record(&mut log, &["b"]);
    wait_for(&safe, 2);
    assert!(!file.is_failing());
    file.close();
    assert_eq!(users(&moved.join("audit.jsonl")), ["a", "b"]);
}

/// `/dev/full` takes nothing; the link is then pointed at a file that does.
#[cfg(target_os = "linux")]
#[test]
fn what_could_not_be_written_is_written_later() {
    use std::os::unix::fs::symlink;
    let directory = Directory::new("full");
    symlink("/dev/full", directory.file()).expect("a link");
    let (file, safe) = open(&settings(&directory.file()));
    let mut log = everything();
    log.add_sink(file.sink());
    record(&mut log, &["first"]);
    while !file.is_failing() {
        std::thread::yield_now();
    }
    for n in 0..10_050 {
        record(&mut log, &[&n.to_string()]);
    }
    assert_eq!(log.len(), 1000, "service goes on");
    fs::remove_file(directory.file()).expect("unlinked");
    symlink(directory.0.join("real"), directory.file()).expect("a link");
    file.reopen();
    wait_for(&safe, 10_051);
    assert!(!file.is_failing());
    file.close();
    let users = users(&directory.0.join("real"));
    assert_eq!(users[..3], ["51", "50", "51"], "the note of dropped lines, then the rest");
    assert_eq!(users.len(), 10_001);
}

/// Links the file to somewhere else and has it opened anew.
#[cfg(target_os = "linux")]
fn point(directory: &Directory, to: &Path) {
    fs::remove_file(directory.file()).expect("unlinked");
    std::os::unix::fs::symlink(to, directory.file()).expect("a link");
}

#[cfg(target_os = "linux")]
fn wait_until_failing(file: &AuditFile) {
    while !file.is_failing() {
        std::thread::yield_now();
    }
}

/// `/dev/null` takes everything and cannot be synced.
#[cfg(target_os = "linux")]
#[test]
fn what_could_not_be_synced_is_written_once_more() {
    let directory = Directory::new("unsynced");
    std::os::unix::fs::symlink("/dev/null", directory.file()).expect("a link");
    let (file, safe) = open(&settings(&directory.file()));
    let mut log = everything();
    log.add_sink(file.sink());
    record(&mut log, &["a", "b"]);
    wait_until_failing(&file);
    record(&mut log, &["c"]);
    assert_eq!(safe.try_recv(), Err(mpsc::TryRecvError::Empty), "nothing is safe");
    point(&directory, &directory.0.join("real"));
    file.reopen();
    wait_for(&safe, 3);
    assert!(!file.is_failing());
    file.close();
    assert_eq!(users(&directory.0.join("real")), ["a", "b", "c"]);
}

/// The note of dropped lines is written, the lines behind it are not, because the
/// file is full and cannot be moved away.
#[cfg(target_os = "linux")]
#[test]
fn a_failure_that_ends_in_two_steps_leaves_nobody_waiting() {
    let directory = Directory::new("two-steps");
    std::os::unix::fs::symlink("/dev/full", directory.file()).expect("a link");
    let mut settings = settings(&directory.file());
    settings.max_bytes = Some(1_000_000);
    let (file, safe) = open(&settings);
    let mut log = everything();
    log.add_sink(file.sink());
    record(&mut log, &["first"]);
    wait_until_failing(&file);
    for n in 0..10_050 {
        record(&mut log, &[&n.to_string()]);
    }
    let (real, in_the_way) = (directory.0.join("real"), directory.0.join("audit.jsonl.1"));
    let full = format!("{{\"count\":\"{}\"}}\n", "x".repeat(999_900));
    fs::write(&real, &full).expect("a file");
    fs::create_dir_all(in_the_way.join("x")).expect("a directory");
    point(&directory, &real);
    file.reopen();
    while fs::metadata(&real).expect("a file").len() == full.len() as u64 {
        std::thread::yield_now();
    }
    assert!(file.is_failing());
    fs::remove_dir_all(&in_the_way).expect("removed");
    file.reopen();
    wait_for(&safe, 10_051);
    assert!(!file.is_failing());
    record(&mut log, &["after"]);
    wait_for(&safe, 10_052);
    file.close();
    let text = fs::read_to_string(&real).expect("a file");
    assert_eq!(text.lines().count(), 2);
    assert!(text.ends_with("\"operation\":\"audit.dropped\",\"count\":51}\n"));
}

#[test]
fn a_file_that_cannot_be_opened_is_an_error_at_start() {
    let directory = Directory::new("missing");
    let missing = settings(&directory.0.join("no/such/directory/audit.jsonl"));
    let error =
        AuditFile::open(&missing, Box::new(|_| {}), Box::new(|_| {})).expect_err("no directory");
    assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
}
