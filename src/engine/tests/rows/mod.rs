//! Row rules over the engine: who sees and changes which records.

mod explain;
mod leaks;
mod live;
mod matrix;
mod random;
mod sets;

use super::rig::Rig;
use crate::access::External;
use crate::app::ConnId;
use crate::config;
use crate::engine::{Engine, EngineOptions};
use crate::json::Json;

/// Everybody sees and changes what is his; moderators everything.
const OWN: &str = r#"{"key":"id","schema":{"id":{"type":"string","generated":"uuid"},
    "owner":{"type":"string"},"room":{"type":"string"},"text":{"type":"string"},
    "n":{"type":"number"},"code":{"type":"string","unique":true}},
    "indexes":["owner"],
    "rows":{"set":{"owner":"{{ session.userId }}"},
        "read":{"$or":[{"owner":"{{ session.userId }}"},{"room":"hall"}]},
        "update":{"owner":"{{ session.userId }}"},
        "bypass":["moderator"]}}"#;

const AUTH: &str = r#"{"required":false,"tokens":{
    "ann":{"userId":"ann","roles":["admin"]},
    "bob":{"userId":"bob","roles":["admin"],"metadata":{"team":"red","list":["a","b"]}},
    "mod":{"userId":"mod","roles":["admin","moderator"]}}}"#;

fn external(json: &str) -> Rig {
    external_with(json, EngineOptions { heartbeat_interval_ms: 0, ..EngineOptions::default() })
}

fn external_with(json: &str, options: EngineOptions) -> Rig {
    let mut rig = Rig::new(options);
    set_external(&mut rig.engine, json);
    rig
}

/// Logins by token.
pub(crate) fn set_external(engine: &mut Engine, json: &str) {
    let text = format!(r#"{{"auth":{json}}}"#);
    let mut options = config::Options::new();
    options.read_file(&text).expect("JSON");
    let Some(config::Auth::External(settings)) = options.resolve().expect("valid").config.auth
    else {
        panic!("external mode")
    };
    let read = |_: &std::path::Path| Err(std::io::ErrorKind::NotFound.into());
    let external = External::new(&settings, &read).expect("good settings");
    engine.set_external_auth(external, 60_000);
}

/// `CODE message {details}` of an error, the JSON of anything else.
fn ask(rig: &mut Rig, conn: ConnId, request: &str) -> String {
    let answer = rig.call(conn, &format!(r#"{{"id":1,{request}}}"#));
    let text = |name: &str| answer.get(name).and_then(Json::as_str).unwrap_or_default();
    match text("type") {
        "error" => {
            let details = answer.get("details").map(|details| format!(" {}", details.to_text()));
            format!("{} {}{}", text("code"), text("message"), details.unwrap_or_default())
        }
        _ => answer.get("data").map(Json::to_text).unwrap_or_default(),
    }
}

fn login(rig: &mut Rig, token: &str) -> ConnId {
    let conn = rig.connect();
    let _ = rig.received(conn);
    let answer = ask(rig, conn, &format!(r#""type":"auth.login","token":"{token}""#));
    assert!(answer.contains("userId"), "{answer}");
    conn
}

fn define(rig: &mut Rig, conn: ConnId, name: &str, config: &str) {
    let request = format!(r#""type":"store.defineBucket","name":"{name}","config":{config}"#);
    let answer = ask(rig, conn, &request);
    assert!(answer.contains("created"), "{answer}");
}
