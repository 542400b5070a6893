//! Row rules with built-in users: roles count from the moment they are given.

use super::*;

#[test]
fn roles_lift_row_rules_at_once_and_metadata_of_users_is_worth_nothing() {
    let mut users = users(settings());
    let admin = users.admin;
    let id = users.create("ann");
    let list = users.data(admin, r#""type":"identity.listRoles""#);
    let role_id = |name: &str| -> String {
        let roles = list
            .get("roles")
            .and_then(Json::as_array)
            .unwrap_or(list.as_array().unwrap_or_default());
        let role = roles.iter().find(|role| role.get("name").and_then(Json::as_str) == Some(name));
        let id = role.and_then(|role| role.get("id")).and_then(Json::as_str);
        id.expect("a role").to_owned()
    };
    let assign = |name: &str| {
        format!(
            r#""type":"identity.assignRole","userId":"{id}","roleId":"{}","roleName":"{name}""#,
            role_id(name)
        )
    };
    let answer = users.admin(&assign("writer"));
    assert!(!answer.contains("VALIDATION"), "{answer}");
    let define = r#""type":"store.defineBucket","name":"b","config":{"key":"id",
        "schema":{"id":{"type":"string"},"team":{"type":"string"}},
        "rows":{"read":{"$or":[{"id":"{{ session.userId }}"},{"team":"{{ session.metadata.team }}"}]},
        "bypass":["admin"]}}"#;
    assert!(users.admin(define).contains("created"));
    for (id, team) in [(id.as_str(), "none"), ("other", "red")] {
        let insert =
            format!(r#""type":"store.insert","bucket":"b","data":{{"id":"{id}","team":"{team}"}}"#);
        assert!(users.admin(&insert).contains("_version"), "the superadmin is not subject to them");
    }
    let (ann, _) = users.login("ann");
    let update =
        format!(r#""type":"identity.updateUser","userId":"{id}","metadata":{{"team":"red"}}"#);
    let _ = users.ask(ann, &update);
    let live = users.ask(ann, r#""type":"store.live","bucket":"b""#);
    assert!(live.contains(&id) && !live.contains("other"), "{live}");
    users.rig.advance(5_000);
    let _ = users.rig.received(ann);
    let assign = assign("admin");
    let _ = users.admin(&assign);
    users.rig.advance(5_000);
    let pushed: Vec<String> = users.rig.received(ann).iter().map(Json::to_text).collect();
    assert!(pushed.len() == 1 && pushed[0].contains("other"), "{pushed:?}");
    let _ = users.admin(&assign.replace("assignRole", "removeRole"));
    users.rig.advance(5_000);
    let pushed: Vec<String> = users.rig.received(ann).iter().map(Json::to_text).collect();
    assert!(pushed.len() == 1 && !pushed[0].contains("other"), "{pushed:?}");
    users.rig.engine.check_invariants();
}
