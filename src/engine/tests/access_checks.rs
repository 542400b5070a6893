//! The embedding program's own check of permissions.

use super::Rig;
use super::access::{answer, rig, tokens};
use crate::access::{Opinion, PermissionCheck, Principal};
use crate::json::Json;

struct Check;

impl PermissionCheck for Check {
    fn check(&mut self, who: Principal<'_>, operation: &str, resource: &str) -> Opinion {
        match (who.user_id, operation, resource) {
            (Some("bob"), "store.get", "secret") => Opinion::Deny,
            (_, "store.get", "open") => Opinion::Allow,
            _ => Opinion::None,
        }
    }
}

#[test]
fn an_embedded_check_comes_before_the_rules() {
    let rules = r#""permissions":{"default":"deny","rules":[{"role":"writer","allow":"*"}]}"#;
    let mut rig = rig(&tokens(rules));
    rig.engine.set_permission_check(Box::new(Check));
    let conn = rig.connect();
    let is_allowed = |rig: &mut Rig, bucket: &str| {
        let request = format!(r#""type":"store.get","bucket":"{bucket}""#);
        !answer(rig, conn, &request).starts_with("FORBIDDEN")
    };
    answer(&mut rig, conn, r#""type":"auth.login","token":"t-bob""#);
    assert!(!is_allowed(&mut rig, "secret"));
    assert!(is_allowed(&mut rig, "anything"));
    answer(&mut rig, conn, r#""type":"auth.login","token":"t-ann""#);
    assert!(is_allowed(&mut rig, "open"));
    assert!(!is_allowed(&mut rig, "anything"));
}

/// Lets everybody have only what is his.
struct Owners;

impl PermissionCheck for Owners {
    fn check(&mut self, _: Principal<'_>, _: &str, _: &str) -> Opinion {
        Opinion::None
    }

    fn looks_at_records(&self) -> bool {
        true
    }

    fn check_record(
        &mut self,
        who: Principal<'_>,
        _: &str,
        _: &str,
        record: &serde_json::Value,
    ) -> Opinion {
        match record["owner"].as_str() == who.user_id {
            true => Opinion::Allow,
            false => Opinion::Deny,
        }
    }
}

#[test]
fn an_embedded_check_sees_the_record_that_a_request_names() {
    let rules = r#""permissions":{"default":"allow","rules":[]}"#;
    let mut rig = rig(&tokens(rules));
    rig.engine.set_permission_check(Box::new(Owners));
    let conn = rig.connect();
    answer(&mut rig, conn, r#""type":"auth.login","token":"t-root""#);
    let defined = r#""type":"store.defineBucket","name":"things","config":{"key":"id","schema":{"id":{"type":"number"},"owner":{"type":"string"}}}"#;
    answer(&mut rig, conn, defined);
    for (id, owner) in [(1, "root"), (2, "bob")] {
        let insert = format!(
            r#""type":"store.insert","bucket":"things","data":{{"id":{id},"owner":"{owner}"}}"#
        );
        assert!(!answer(&mut rig, conn, &insert).starts_with("FORBIDDEN"), "{insert}");
    }
    let on = |id: u32| {
        [
            format!(r#""type":"store.get","bucket":"things","key":{id}"#),
            format!(
                r#""type":"store.update","bucket":"things","key":{id},"data":{{"owner":"root"}}"#
            ),
            format!(
                r#""type":"store.insert","bucket":"things","data":{{"id":{id},"owner":"root"}}"#
            ),
            format!(
                r#""type":"store.upsert","bucket":"things","data":{{"id":{id},"owner":"root"}}"#
            ),
            format!(
                r#""type":"store.transaction","operations":[{{"op":"get","bucket":"things","key":1}},{{"op":"update","bucket":"things","key":{id},"data":{{"owner":"root"}}}}]"#
            ),
            format!(r#""type":"store.delete","bucket":"things","key":{id}"#),
        ]
    };
    for request in on(2) {
        let said = answer(&mut rig, conn, &request);
        assert!(said.starts_with("FORBIDDEN No permission for store."), "{request}: {said}");
    }
    for request in on(1).into_iter().chain(on(3)) {
        let said = answer(&mut rig, conn, &request);
        assert!(!said.starts_with("FORBIDDEN"), "{request}: {said}");
    }
}

#[test]
fn an_admin_acts_with_the_roles_that_he_names() {
    let mut rig = rig(&tokens(r#""required":true"#));
    rig.engine.set_audit(crate::audit::AuditLog::new(&crate::config::Audit::default()));
    let conn = rig.connect();
    answer(&mut rig, conn, r#""type":"auth.login","token":"t-root""#);
    let mut begin = |roles: &str| {
        let request = format!(r#""type":"auth.impersonate","userId":"zoe"{roles}"#);
        answer(&mut rig, conn, &request)
    };
    let missing = "VALIDATION_ERROR Missing or invalid \"roles\": expected array of strings";
    assert_eq!(begin(""), missing);
    assert_eq!(begin(r#","roles":"reader""#), missing);
    assert_eq!(
        begin(r#","roles":["admin"]"#),
        "VALIDATION_ERROR Invalid \"roles\": expected roles below level admin"
    );
    let until = 1_800_000_000_000_u64 + 300_000;
    assert_eq!(
        begin(r#","roles":["reader"]"#),
        format!(r#"{{"userId":"zoe","roles":["reader"],"until":{until}}}"#)
    );
    let writes = answer(&mut rig, conn, r#""type":"store.clear","bucket":"x""#);
    assert_eq!(writes, "FORBIDDEN Impersonation is read-only");
    rig.advance(300_001);
    assert!(answer(&mut rig, conn, r#""type":"auth.whoami""#).contains("root"));
    let reader = rig.connect();
    answer(&mut rig, reader, r#""type":"auth.login","token":"t-ann""#);
    let refused = answer(&mut rig, reader, r#""type":"auth.impersonate","userId":null"#);
    assert!(refused.contains(r#""until":null"#), "{refused}");
    let refused = answer(&mut rig, reader, r#""type":"auth.impersonate","userId":"x","roles":[]"#);
    assert!(refused.starts_with("FORBIDDEN Role level insufficient"), "{refused}");
}

#[test]
fn looking_again_and_again_leaves_one_entry_in_ten_minutes() {
    let mut rig = rig(&tokens(r#""required":true"#));
    rig.engine.set_audit(crate::audit::AuditLog::new(&crate::config::Audit::default()));
    let plain = rig.connect();
    answer(&mut rig, plain, r#""type":"auth.login","token":"t-root""#);
    let console = rig.connect();
    answer(&mut rig, console, r#""type":"auth.login","token":"t-root""#);
    answer(&mut rig, console, r#""type":"session.open""#);
    let recorded = |rig: &mut Rig, conn: &str| {
        let all = answer(rig, plain, r#""type":"audit.query","operation":"server.top""#);
        let raw = crate::json::parse(&all, 16).expect("JSON").to_json();
        let entries = raw.get("entries").and_then(Json::as_array).expect("entries").to_vec();
        let wanted = format!(r#""sessionId":"{conn}""#);
        let texts = entries.iter().map(Json::to_text);
        texts.filter(|text| text.contains(&wanted)).collect::<Vec<_>>()
    };
    for _ in 0..5 {
        answer(&mut rig, plain, r#""type":"server.top""#);
        answer(&mut rig, console, r#""type":"server.top""#);
    }
    // What fails is always told.
    answer(&mut rig, console, r#""type":"server.top","limit":0"#);
    assert_eq!(recorded(&mut rig, "conn-1").len(), 5);
    assert_eq!(recorded(&mut rig, "conn-2").len(), 2);
    rig.now.mono += 600_000;
    answer(&mut rig, console, r#""type":"server.top""#);
    let entries = recorded(&mut rig, "conn-2");
    assert_eq!(entries.len(), 3);
    assert!(entries[0].contains(r#""details":{"repeats":4}"#), "{entries:?}");
}
