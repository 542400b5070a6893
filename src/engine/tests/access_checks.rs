//! The embedding program's own check of permissions.

use super::Rig;
use super::access::{answer, rig, tokens};
use crate::access::{Opinion, PermissionCheck, Principal};

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
